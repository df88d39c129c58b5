"""The examples of docs/h5ad.md run."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.docs_examples import run_examples


def test_examples_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("mudata")
    assert "(at obs/measured)" in run_examples(Path(__file__).parents[3] / "docs" / "h5ad.md", tmp_path)
