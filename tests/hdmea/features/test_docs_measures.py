"""docs/measures.md names every value, and its example works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hdmea.features import FeatureRegistry
from hdmea.features.base import MEASURES_VERSION
from support.docs_examples import run_examples

PAGE = Path(__file__).resolve().parents[3] / "docs" / "measures.md"
NAMED = set(re.findall(r"`([A-Za-z0-9_]+)`", PAGE.read_text(encoding="utf-8")))
EDGES = re.compile(r"(?:green|blue)_(?:on|off)_(.+)")


@pytest.mark.parametrize("family", ["on_off", "chromatic", "moving_bar", "chirp", "baseline", "frif"])
def test_every_value_is_described(family: str) -> None:
    for name in FeatureRegistry.get(family).output_schema:
        edge = EDGES.fullmatch(name)
        assert name in NAMED or (edge and edge[1] in NAMED), name


def test_version_is_that_of_the_page() -> None:
    assert f"**{MEASURES_VERSION}**" in PAGE.read_text(encoding="utf-8")
    assert FeatureRegistry.get("on_off").version == MEASURES_VERSION


def test_example_runs(tmp_path: Path) -> None:
    run_examples(PAGE, tmp_path)
