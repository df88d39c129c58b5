"""Each kind of report has a reader, a row in the table of docs/scptensor.md, and is recognised."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import polars as pl
import pytest

from scpstore import io
from scpstore.io import read_report
from scpstore.io import report_kinds as kinds
from scpstore.io.engines.any_report import READERS

REAL = Path(os.environ.get("H5BURST_TEST_DATA", "")) / "search_engine_reports"
PAGE = Path(__file__).parents[2] / "docs" / "scptensor.md"
FILES = {
    "alphadia_1.10.tsv": {kinds.ALPHADIA, kinds.ALPHADIA_PRECURSORS},
    "diann_1.9_report.tsv": {kinds.DIANN},
    "fragpipe_combined_ion.tsv": {kinds.FRAGPIPE},
    "maxquant_evidence.txt": {kinds.MAXQUANT_EVIDENCE},
    "maxquant_proteinGroups_short_rows.txt": {kinds.MAXQUANT},
    "proteome_discoverer_PeptideGroups.txt": {kinds.DISCOVERER},
    "sage_lfq.tsv": {kinds.SAGE},
    "spectronaut_comma.tsv": {kinds.SPECTRONAUT},
}


def rows_of_the_table() -> list[str]:
    """The lines of the page's first table."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| you have"))
    return [line for line in lines[first + 2 : first + 40] if line.startswith("|")]


def test_the_page_names_every_reader_and_no_other() -> None:
    named = {name for row in rows_of_the_table() for name in re.findall(r"`(read_\w+)\(", row.split(" | ")[1])}
    readers = {name for name in io.__all__ if name.startswith("read_")} - {"read_csv"}  # read_table of one suffix
    assert named == readers, "the first table of docs/scptensor.md and the readers of scpstore.io"
    assert {read.__name__ for read in READERS.values()} <= named


def test_every_kind_has_a_reader() -> None:
    assert {kind for kind, _ in kinds._KINDS} <= set(READERS)


@pytest.mark.skipif(not REAL.is_dir(), reason="no real reports (H5BURST_TEST_DATA)")
@pytest.mark.parametrize("name", FILES)
def test_a_real_report_is_recognised(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        container = read_report(REAL / name)
    assert container.history[0].params["kind"] in FILES[name]
    assert container.n_samples > 0
    assert container.list_assays()


@pytest.mark.skipif(not REAL.is_dir(), reason="no real reports (H5BURST_TEST_DATA)")
@pytest.mark.parametrize("name", FILES)
def test_a_real_report_goes_to_anndata_and_mudata(name: str, tmp_path: Path) -> None:
    """All values and masks of it come back from the files."""
    pytest.importorskip("anndata")
    pytest.importorskip("mudata")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        container = read_report(REAL / name)
        io.write_h5mu(container, tmp_path / "a.h5mu")
        again = io.read_h5mu(tmp_path / "a.h5mu")
        for assay, part in container.assays.items():
            layer = next(iter(part.layers))
            io.write_h5ad(container, tmp_path / f"{assay}.h5ad", assay, layer, layers="all")
            alone = io.read_h5ad(tmp_path / f"{assay}.h5ad", assay).assays[assay]
            assert alone.layers == {"X" if each == layer else each: matrix for each, matrix in part.layers.items()}
            assert alone.var.cast(pl.String).equals(part.var.cast(pl.String))
            assert again.assays[assay].layers == part.layers
            assert again.assays[assay].var.cast(pl.String).equals(part.var.cast(pl.String))
