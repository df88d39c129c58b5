"""Reports read in parts, into a file, are those that are read at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scpstore import ScpContainer, load_hdf5
from scpstore.core.exceptions import ValidationError
from scpstore.io import IOFormatError, IOWriteError, read_diann, read_report, read_spectronaut
from scpstore.io.engines import in_parts

REAL = Path(os.environ.get("H5BURST_TEST_DATA", "")) / "search_engine_reports"


def assert_same(parts: ScpContainer, whole: ScpContainer) -> None:
    """The same, features in any order."""
    assert parts.obs.sort("_index").equals(whole.obs.sort("_index"))
    assert parts.list_assays() == whole.list_assays()
    rows = [parts.sample_ids.to_list().index(name) for name in whole.sample_ids.to_list()]
    for name, assay in whole.assays.items():
        found = parts.assays[name]
        assert (
            found.var.sort("_index")
            .select(sorted(found.var.columns))
            .equals(assay.var.sort("_index").select(sorted(assay.var.columns)))
        )
        columns = [found.feature_ids.to_list().index(feature) for feature in assay.feature_ids.to_list()]
        assert list(found.layers) == list(assay.layers)
        for layer, matrix in assay.layers.items():
            np.testing.assert_array_equal(found.layers[layer].X[:][rows][:, columns], matrix.X)
            np.testing.assert_array_equal(found.layers[layer].M[:][rows][:, columns], matrix.M)
    for link, other in zip(parts.links, whole.links, strict=True):
        assert set(link.linkage.rows()) == set(other.linkage.rows())
    assert [step.params for step in parts.history] == [step.params for step in whole.history]


@pytest.mark.skipif(not REAL.is_dir(), reason="no real reports (H5BURST_TEST_DATA)")
@pytest.mark.parametrize("rows", [1, 700])
@pytest.mark.parametrize("suffix", ["tsv", "parquet"])
def test_a_real_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, suffix: str) -> None:
    path = REAL / "diann_1.9_report.tsv"
    if suffix == "parquet":
        frame = pl.read_csv(path, separator="\t", infer_schema_length=None)
        path = tmp_path / "report.parquet"
        frame.write_parquet(path)
    monkeypatch.setattr(in_parts, "_ROWS", rows)
    options: dict[str, Any] = {"q_value": 0.01, "layers": ["PG.Normalised"], "annotations": ["Protein.Names"]}
    options["layers"] = [name for name in options["layers"] if name in path.read_text(errors="replace")[:5000]] or []
    found = read_diann(path, out=tmp_path / "out.h5", **options)
    assert_same(found, read_diann(path, **options))
    left = {"out.h5", path.name} if suffix == "parquet" else {"out.h5"}
    assert {p.name for p in tmp_path.iterdir()} == left


@pytest.mark.skipif(not REAL.is_dir(), reason="no real reports (H5BURST_TEST_DATA)")
def test_a_real_report_of_spectronaut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_parts, "_ROWS", 1)
    path = REAL / "spectronaut_comma.tsv"
    assert_same(read_report(path, out=tmp_path / "out.h5"), read_spectronaut(path))


ROW = st.tuples(st.integers(0, 4), st.integers(0, 5), st.floats(0, 1e6, width=32), st.sampled_from(["", "G1", "G;2"]))


@given(st.lists(ROW, min_size=1, max_size=14, unique_by=lambda row: row[:2]), st.integers(1, 15))
@settings(max_examples=12, deadline=None)
def test_a_made_report_of_mixed_runs(tmp_path_factory: Any, rows: Any, at_once: int) -> None:
    directory = tmp_path_factory.mktemp("parts")
    lines = ["Run\tProtein.Group\tGenes\tPrecursor.Id\tPrecursor.Quantity\tQ.Value\tPG.MaxLFQ"]
    lines += [f"r{r}\tP{p // 2}\t{g}\tpep{p}\t{x!r}\t0.0{r}\t{r + p // 2}" for r, p, x, g in rows]
    (directory / "report.tsv").write_text("\n".join(lines) + "\n")
    (directory / "cells.csv").write_text("run,kind\n" + "".join(f"r{n},k{n}\n" for n in {row[0] for row in rows}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_parts, "_ROWS", at_once)
        found = read_diann(directory / "report.tsv", directory / "cells.csv", q_value=0.02, out=directory / "o.h5")
    order = list(dict.fromkeys(row[0] for row in rows))  # what differs from row to row is told run by run
    by_run = [line for _, line in sorted(enumerate(lines[1:]), key=lambda n: (order.index(rows[n[0]][0]), n[0]))]
    (directory / "report.tsv").write_text("\n".join([lines[0], *by_run]) + "\n")
    whole = read_diann(directory / "report.tsv", directory / "cells.csv", q_value=0.02)
    assert_same(found, whole)
    assert all(found.assays[name].var.equals(assay.var) for name, assay in whole.assays.items())


def test_what_is_wrong_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    head = "Run\tProtein.Group\tPrecursor.Id\tPrecursor.Quantity\tPG.MaxLFQ"
    path, out = tmp_path / "report.tsv", tmp_path / "out.h5"
    path.write_text(f"{head}\nr1\tP\ta\t1\t2\nr2\tP\ta\t1\t2\nr2\tP\tb\t1\t3\n")
    with pytest.raises(IOFormatError, match=r"Protein\.Group 'P' of run 'r2' appears with different quantities"):
        read_diann(path, out=out)
    path.write_text(f"{head}\nr1\tP\ta\t1\t2\nr1\tP\ta\t1\t2\n")
    with pytest.raises(IOFormatError, match=r"Precursor\.Id 'a' of run 'r1' appears more than once"):
        read_diann(path, out=out)
    path.write_text(f"{head}\tDecoy\nr1\tP\ta\t1\t2\t1\n")
    with pytest.raises(IOFormatError, match="has decoys"):
        read_diann(path, out=out)
    path.write_text(f"{head}\nr1\tP\ta\t1\n r2\tP\ta")
    with pytest.raises(IOFormatError, match="line 3: 3 fields"):
        read_diann(path, out=out)
    assert [p.name for p in tmp_path.iterdir()] == ["report.tsv"]
    out.write_text("mine")
    with pytest.raises(IOWriteError, match="exists"):
        read_diann(path, out=out)
    matrix = tmp_path / "report.pg_matrix.tsv"
    matrix.write_text("Protein.Group\tr1.raw\nP\t1\n")
    with pytest.raises(ValidationError, match="out is for reports"):
        read_diann(matrix, out=tmp_path / "other.h5")
    assert not (tmp_path / "other.h5").exists()
    with pytest.raises(IOFormatError):
        load_hdf5(out)
