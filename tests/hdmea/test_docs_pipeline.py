"""The examples of the page on the pipeline run."""

from __future__ import annotations

from pathlib import Path

from support.docs_examples import console_commands, python_program, run_examples

PAGE = Path(__file__).parents[2] / "docs" / "pipeline_explained.md"


def test_examples_of_the_pipeline_run(tmp_path: Path) -> None:
    printed = run_examples(PAGE, tmp_path)

    assert "run load_recording first" in printed
    assert printed.count(": OK") == 3


def test_page_has_examples() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert len(python_program(text).strip().splitlines()) > 50
    assert len(console_commands(text)) == 1
