"""Every example of the documentation runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.docs_examples import console_commands, python_program, run_examples

DOCS = Path(__file__).parents[2] / "docs"


def test_examples_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("anndata")
    printed = run_examples(DOCS / "scptensor.md", tmp_path)
    assert "File already exists" in printed
    assert "3 samples, 2 assays, 4 features" in printed
    assert '"n_samples": 2,' in printed


PAGE = (
    "text\n```python\nx = 1\n```\n```console\n$ scptensor --help\noutput\n```\n"
    "```text\ny\n```\n```python\nprint(x)\n```\n"
)


def test_blocks_keep_their_lines() -> None:
    assert python_program(PAGE).splitlines() == ["", "", "x = 1", *[""] * 9, "print(x)", ""]
    assert console_commands(PAGE) == ["scptensor --help"]


def test_an_example_that_fails_is_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nraise SystemExit('broken')\n```\n")
    with pytest.raises(AssertionError, match=r"the python blocks of page\.md failed:\nbroken"):
        run_examples(page, tmp_path)


def test_what_a_page_shows_must_be_printed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(6 * 7, 'units')\n```\n```output\n42 …\n```\n")
    assert run_examples(page, tmp_path) == "42 units\n"
    page.write_text("```python\nprint(6 * 7, 'units')\n```\n```output\n41 …\n```\n")
    with pytest.raises(AssertionError, match=r"program of page\.md does not say '41 …':\n42 units"):
        run_examples(page, tmp_path)
