"""The example of the page on geometry runs."""

from __future__ import annotations

from pathlib import Path

from support.docs_examples import run_examples

PAGE = Path(__file__).parents[3] / "docs" / "geometry.md"


def test_the_example_of_the_page_runs(tmp_path: Path) -> None:
    assert run_examples(PAGE, tmp_path).strip() == "30.4 21.7 False"
