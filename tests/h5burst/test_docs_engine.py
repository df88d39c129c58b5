"""The page for those who know h5py: its examples run."""

from __future__ import annotations

from pathlib import Path

import pytest

import h5burst
from support.docs_examples import run_examples

PAGE = Path(__file__).parents[2] / "docs" / "engine.md"


def test_the_examples_of_the_page_run(tmp_path: Path) -> None:
    for needed in ("anndata", "pynwb", "hdf5storage", "fsspec", "dask.array"):
        pytest.importorskip(needed)
    printed = run_examples(PAGE, tmp_path)
    assert "/samples" in printed  # the damaged object is named


def test_the_reference_names_verbs_that_are_there() -> None:
    text = PAGE.read_text(encoding="utf-8").split("## Reference")[1]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    verbs = {part.split("(")[0].strip(" `") for row in rows for part in row.split("`, `")}
    assert {"save", "load", "open", "edit", "verify"} <= verbs
    assert [verb for verb in verbs if not callable(getattr(h5burst, verb))] == []
