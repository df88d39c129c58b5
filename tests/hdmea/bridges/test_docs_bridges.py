"""The examples on the pages of the bridges run."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.docs_examples import console_commands, python_program, run_examples

PAGES = Path(__file__).parents[3] / "docs" / "bridges"
NEEDED = {
    "tables": ("pyarrow",),
    "nwb": ("pynwb",),
    "spikeinterface": ("spikeinterface.core",),
    "sorters": (),
    "mcs": (),
    "matlab": ("hdf5storage",),
    "arrays": ("xarray",),
}


def test_each_bridge_has_a_page_with_an_example_and_the_list_names_it() -> None:
    overview = (PAGES / "README.md").read_text(encoding="utf-8")
    assert {page.stem for page in PAGES.glob("*.md")} == {*NEEDED, "README"}
    for name in NEEDED:
        text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
        assert f"({name}.md)" in overview
        assert len(python_program(text).strip().splitlines()) > 5
        assert name in ("spikeinterface", "arrays") or console_commands(text)


@pytest.mark.parametrize("name", NEEDED)
def test_examples_run(name: str, tmp_path: Path) -> None:
    for module in NEEDED[name]:
        found = pytest.importorskip(module)
        if name == "spikeinterface" and not hasattr(found, "create_sorting_analyzer"):
            pytest.skip("spikeinterface before 0.101 has no SortingAnalyzer")

    assert run_examples(PAGES / f"{name}.md", tmp_path)
