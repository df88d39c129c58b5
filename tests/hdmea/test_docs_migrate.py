"""The examples of the page for those who come from an earlier version run, and it names what is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import hdmea
from support.docs_examples import run_examples

PAGE = Path(__file__).parents[2] / "docs" / "migrate.md"


def test_examples_of_the_page_run(tmp_path: Path) -> None:
    assert f"{hdmea.__version__} {hdmea.__file__}" in run_examples(PAGE, tmp_path)


def test_names_to_assign_are_there() -> None:
    names = re.findall(r"`(hdmea(?:\.\w+)+)\.(DEFAULT_\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(names) == 5
    for module, name in names:
        assert hasattr(importlib.import_module(module), name)


def test_links_lead_somewhere() -> None:
    for page, anchor in re.findall(r"\]\((\w+\.md)(?:#([\w-]+))?\)", PAGE.read_text(encoding="utf-8")):
        lines = (PAGE.parent / page).read_text(encoding="utf-8").splitlines()
        headings = [re.sub(r"[^\w -]", "", line.strip("# ").lower()) for line in lines if line.startswith("#")]
        assert not anchor or anchor.replace("-", " ") in [heading.replace("-", " ") for heading in headings], anchor
