"""CSC matrices by rows, a block of entries in memory at a time."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from h5burst import read_tree
from h5burst.anndata import Recompressed, concat, read_h5ad, recompressing, subset


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_are_those_of_scipy(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 12))
    seed, share = data.draw(st.integers(0, 99)), data.draw(st.sampled_from([0, 0.1, 0.6, 1]))
    csc = sp.random(rows, columns, share, "csc", np.float32, seed)
    if data.draw(st.booleans()):
        np.random.default_rng(seed).shuffle(csc.indices)
        csc.has_sorted_indices = False
    csr = csc.tocsr()
    blocks = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    dtype = data.draw(st.sampled_from(["i4", "i8", "u4", "u8"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recompressing, "_BLOCK_ENTRIES", blocks[0])
        patch.setattr(recompressing, "_WINDOW_ENTRIES", blocks[1])
        found = Recompressed(csc.data, csc.indices.astype(dtype), csc.indptr, rows)
        np.testing.assert_array_equal(found.indptr, csr.indptr)
        for name in ("data", "indices"):
            entries = found.entries(name)
            start = data.draw(st.integers(0, csc.nnz))
            stop = data.draw(st.integers(start, csc.nnz))
            np.testing.assert_array_equal(entries.read(start, stop), getattr(csr, name)[start:stop])
            np.testing.assert_array_equal(entries[:], getattr(csr, name))
        order = found.entries("order")[:]
        np.testing.assert_array_equal(csc.data[order], csr.data)
        again = sp.csc_matrix((csc.data, csc.indices, csc.indptr), csc.shape)
        assert again.has_sorted_indices == found.is_sorted
        chosen = np.flatnonzero(np.random.default_rng(seed).random(rows) < 0.5)
        for part in (chosen, range(rows // 3, rows)):
            values, places, edges = found.take(part)
            expected = csr[np.asarray(part, int)]
            np.testing.assert_array_equal(values, expected.data)
            np.testing.assert_array_equal(places, expected.indices)
            np.testing.assert_array_equal(edges, expected.indptr)


@pytest.mark.parametrize(
    ("indices", "indptr"), [([0, 3], [0, 1, 2]), ([0, -1], [0, 1, 2]), ([0, 1], [0, 1, 3]), ([0, 1], [0, 2, 1])]
)
def test_arrays_that_are_no_matrix_are_refused(indices: Any, indptr: Any) -> None:
    with pytest.raises(ValueError, match="its ind"):
        Recompressed(np.ones(2), np.array(indices), np.array(indptr), 3).take(range(3))


def test_a_matrix_by_columns_is_joined_and_cut_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recompressing, "_BLOCK_ENTRIES", 1 << 15)
    monkeypatch.setattr(recompressing, "_WINDOW_ENTRIES", 1 << 16)
    made = sp.random(20_000, 300, 0.3, "csc", np.float32, np.random.default_rng(0))
    anndata.AnnData(made, pd.DataFrame(index=[f"c{n}" for n in range(20_000)])).write_h5ad(tmp_path / "a.h5ad")
    whole = made.data.nbytes + made.indices.nbytes
    read_tree(tmp_path / "a.h5ad")
    tracemalloc.start()
    concat([tmp_path / "a.h5ad", tmp_path / "a.h5ad"], tmp_path / "two.h5ad", index_unique="-")
    subset(tmp_path / "a.h5ad", slice(5000, 9000), slice(0, 100), tmp_path / "part.h5ad")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < whole, f"{peak} of {whole} bytes"  # scipy's own way takes three times as many
    two = read_h5ad(tmp_path / "two.h5ad").X
    assert (two != sp.vstack([made, made], format="csr")).nnz == 0
    assert (made[5000:9000, :100].tocsr() != read_h5ad(tmp_path / "part.h5ad").X).nnz == 0
