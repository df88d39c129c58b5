"""Batches of rows: every row once an epoch, in an order that a seed fixes, with the values of the layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from scpstore import Assay, ScpContainer, ScpMatrix, load_hdf5, save_hdf5
from scpstore.core.exceptions import ValidationError
from scpstore.io import from_anndata, iter_minibatches, minibatches, read_h5ad, write_h5ad
from support.anndata_releases import needs_backed_sparse


def a_container(rows: int, columns: int = 7, *, sparse: bool) -> ScpContainer:
    rng = np.random.default_rng(rows)
    X = np.where(rng.random((rows, columns)) < 0.4, rng.normal(size=(rows, columns)), 0).astype(np.float32)
    var = pl.DataFrame({"_index": [f"P{n}" for n in range(columns)]})
    obs = pl.DataFrame({"_index": pl.Series([f"c{n}" for n in range(rows)], dtype=pl.String)})
    return ScpContainer(obs, {"p": Assay(var, {"X": ScpMatrix(sp.csr_matrix(X) if sparse else X)})})


@given(
    st.integers(0, 60),
    st.integers(1, 20),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(1, 4000),
)
@settings(max_examples=60, deadline=None)
def test_every_row_comes_once_with_its_values(
    rows: int, batch: int, block: int, shuffle: bool, drop: bool, sparse: bool, at_once: int
) -> None:
    matrix = a_container(rows, sparse=sparse).assays["p"].layers["X"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minibatches, "_AT_ONCE_BYTES", at_once)
        options: dict[str, Any] = {"shuffle": shuffle, "drop_last": drop, "seed": 3}
        found = list(iter_minibatches(matrix, batch, block, **options))
        again = list(iter_minibatches(matrix, batch, block, to="csr", **options))
    order = np.concatenate([np.zeros(0, int), *(one.rows for one in found)])
    kept = rows // batch * batch if drop else rows
    assert len(order) == len(set(order.tolist())) == kept
    assert shuffle or order.tolist() == list(range(kept))
    assert all(len(one.rows) == batch for one in found[:-1])
    whole = matrix.X.toarray() if sparse else matrix.X
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.values, whole[one.rows])
        np.testing.assert_array_equal(other.rows, one.rows)
        np.testing.assert_array_equal(other.values.toarray(), one.values)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("chunk_rows", [None, 16])
def test_layers_of_files(tmp_path: Path, sparse: bool, chunk_rows: int | None) -> None:
    made = a_container(500, 300, sparse=sparse)
    save_hdf5(made, tmp_path / "a.h5", chunk_rows=chunk_rows)
    write_h5ad(made, tmp_path / "a.h5ad", "p", compression="gzip")
    X = made.assays["p"].layers["X"].X
    whole = X.toarray() if sparse else X
    lazy = load_hdf5(tmp_path / "a.h5", lazy=True).assays["p"].layers["X"]
    backed = read_h5ad(tmp_path / "a.h5ad", "p", backed=True).assays["p"].layers["X"]
    orders = []
    for layer in (lazy, backed):
        rows = []
        for batch in iter_minibatches(layer, 64, seed=5):
            np.testing.assert_array_equal(batch.values, whole[batch.rows])
            rows += batch.rows.tolist()
        assert sorted(rows) == list(range(500))
        assert rows != list(range(500))
        orders.append(rows)
    assert [b.rows.tolist() for b in iter_minibatches(lazy, 64, seed=5)] == [
        b.rows.tolist() for b in iter_minibatches(lazy, 64, seed=5)
    ]
    assert load_hdf5(tmp_path / "a.h5") == made
    with h5py.File(tmp_path / "a.h5") as file:
        layer = file["assays/p/layers/X"]
        if chunk_rows and not sparse:
            assert layer["X"].chunks == (16, 300)
        if chunk_rows and sparse:
            assert layer["X_data"].chunks[0] == pytest.approx(X.nnz * 16 / 500, abs=1)
    save_hdf5(load_hdf5(tmp_path / "a.h5", lazy=True), tmp_path / "b.h5", chunk_rows=50)
    assert load_hdf5(tmp_path / "b.h5") == made
    with h5py.File(tmp_path / "b.h5") as file:
        stored = file["assays/p/layers/X"]["X_data" if sparse else "X"]
        assert stored.chunks[0] == (pytest.approx(X.nnz / 10, abs=1) if sparse else 50)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("compression", ["gzip", None])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_batches_stay_as_they_are_while_later_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffle: bool, compression: Any, dtype: Any
) -> None:
    """Of dense files, many groups of rows: what is read together goes into the memory of earlier groups."""
    anndata = pytest.importorskip("anndata")
    values = np.random.default_rng(2).poisson(2, (700, 600)).astype(dtype)
    anndata.AnnData(values).write_h5ad(tmp_path / "a.h5ad", compression=compression)
    layer = read_h5ad(tmp_path / "a.h5ad", "p", backed=True).assays["p"].layers["X"]
    monkeypatch.setattr(minibatches, "_AT_ONCE_BYTES", 200_000)
    found = list(iter_minibatches(layer, 50, 4, shuffle=shuffle, seed=1))
    assert sorted(np.concatenate([batch.rows for batch in found])) == list(range(700))
    for batch in found:
        np.testing.assert_array_equal(batch.values, values[batch.rows])


def test_what_cannot_be_is_refused() -> None:
    layer = a_container(3, sparse=False).assays["p"].layers["X"]
    for wrong in ({"batch_size": 0}, {"block_rows": 0}, {"to": "pandas"}):
        with pytest.raises(ValidationError):
            iter_minibatches(layer, **wrong)
    with pytest.raises(ValueError, match="chunk_rows must be at least 1"):
        save_hdf5(a_container(3, sparse=False), "never.h5", chunk_rows=0)


@pytest.mark.parametrize("sparse", [False, pytest.param(True, marks=needs_backed_sparse)])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("compression", ["gzip", None])
def test_files_of_anndata(tmp_path: Path, sparse: bool, dtype: Any, compression: Any) -> None:
    """Read by this package and, where they are open to be changed, by anndata: the same batches of floats."""
    import anndata

    dense = np.random.default_rng(2).poisson(0.4, (300, 40)).astype(dtype)
    anndata.AnnData(sp.csr_matrix(dense) if sparse else dense).write_h5ad(tmp_path / "a.h5ad", compression=compression)
    batches = []
    for mode in ("r", "r+"):
        adata = anndata.read_h5ad(tmp_path / "a.h5ad", backed=mode)
        layer = from_anndata(adata, "p").assays["p"].layers["X"]
        batches.append(list(iter_minibatches(layer, 64, 4, seed=3)))
        adata.file.close()
    assert [len(batch.rows) for batch in batches[0]] == [64, 64, 64, 64, 44]
    for ours, theirs in zip(*batches, strict=True):
        np.testing.assert_array_equal(ours.rows, theirs.rows)
        np.testing.assert_array_equal(ours.values, dense[ours.rows])
        np.testing.assert_array_equal(ours.values, theirs.values)
        assert ours.values.dtype == theirs.values.dtype == (np.float32 if dtype == np.float32 else np.float64)
