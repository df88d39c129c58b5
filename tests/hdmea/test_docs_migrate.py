"""The examples of the page for those who come from an earlier version run, and it names what is there."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import hdmea
from hdmea import script_check
from support.docs_examples import run_examples

PAGE = Path(__file__).parents[2] / "docs" / "migrate.md"


def test_examples_of_the_page_run(tmp_path: Path) -> None:
    assert f"{hdmea.__version__} {hdmea.__file__}" in run_examples(PAGE, tmp_path)


def test_names_to_assign_are_there() -> None:
    names = re.findall(r"`(hdmea(?:\.\w+)+)\.(DEFAULT_\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(names) == 5
    for module, name in names:
        assert hasattr(importlib.import_module(module), name)


def test_values_that_are_said_to_differ_are_values_that_are_written() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = page.partition("**Same name, other unit or scale.**")[2].partition("**Axons.**")[0]
    first = [row.split("|")[1] for row in table.splitlines() if row.startswith("| ") and "value" not in row]
    names = {
        part
        for cell in first
        for quoted in re.findall(r"`([\w/*\"\[\]]+)`", cell)
        for part in re.findall(r"\w{2,}", quoted)
    }
    assert len(names) >= 18
    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(hdmea.__file__).parent.rglob("*.py"))
    source = source.replace(Path(script_check.__file__).read_text(encoding="utf-8"), "")
    side = "on_", "off_"  # put before the names of a fit's fields
    missing = [name for name in names if name not in source and not (name.startswith(side) and '"on_"' in source)]
    assert missing == []


def test_fields_that_shrank_are_as_much_smaller_as_the_page_says() -> None:
    before, now = 1.48, 0.95  # of the true sigma
    page = PAGE.read_text(encoding="utf-8")
    sigmas, areas = re.search(r"divide by ([\d.]+) what a script compares sigmas with; by ([\d.]+)", page).groups()  # type: ignore[union-attr]
    assert (float(sigmas), float(areas)) == (round(before / now, 2), round((before / now) ** 2, 1))
    for name in ("size_x", "size_y"):
        assert f"{sigmas} times smaller" in script_check.CHANGED[name]
    assert f"{areas} times smaller" in script_check.CHANGED["area"]


def test_links_lead_somewhere() -> None:
    for page, anchor in re.findall(r"\]\((\w+\.md)(?:#([\w-]+))?\)", PAGE.read_text(encoding="utf-8")):
        lines = (PAGE.parent / page).read_text(encoding="utf-8").splitlines()
        headings = [re.sub(r"[^\w -]", "", line.strip("# ").lower()) for line in lines if line.startswith("#")]
        assert not anchor or anchor.replace("-", " ") in [heading.replace("-", " ") for heading in headings], anchor


DOCTOR = "import sys; from h5burst.cli import main; sys.exit(main())"


def problems(path: Path) -> list[str]:
    """What `h5burst doctor` says with a directory first on the path, its places as the page has them."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", DOCTOR, "doctor"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    found = [line for line in done.stdout.splitlines() if line.startswith("problem: hdmea")]
    return [line.replace(str(path), "/home/me/pipeline") for line in found]


def test_doctor_says_what_the_page_says(tmp_path: Path) -> None:
    shown = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("problem: hdmea")]
    earlier = tmp_path / "installed" / "hdmea-0.9.dist-info"
    earlier.mkdir(parents=True)
    (earlier / "METADATA").write_text("Metadata-Version: 2.1\nName: hdmea\nVersion: 0.9\n", encoding="utf-8")
    (earlier / "RECORD").write_text("hdmea/__init__.py,,\n", encoding="utf-8")
    (earlier.parent / "hdmea").mkdir()
    (earlier.parent / "hdmea" / "__init__.py").touch()  # Python 3.12 and later leave out files that are not there
    checkout = tmp_path / "checkout"
    (checkout / "hdmea").mkdir(parents=True)
    (checkout / "hdmea" / "__init__.py").touch()

    assert problems(earlier.parent) + problems(checkout) == shown
