"""Elements of `.h5ad` files replaced, and cells added, in place: anndata reads what the object has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata.tests.helpers import assert_equal

import h5burst
from h5burst.anndata import append, encodings, read_h5ad, update, write_h5ad

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def an_object(rows: int = 6, *, first: int = 0, kind: str = "csr", columns: int = 4) -> anndata.AnnData:
    rng = np.random.default_rng(first)
    dense = np.where(rng.random((rows, columns)) < 0.5, rng.normal(5, 2, (rows, columns)), 0).astype(np.float32)
    X = dense if kind == "dense" else getattr(sp, f"{kind}_matrix")(dense)
    made = anndata.AnnData(X, pd.DataFrame(index=[f"c{first + n}" for n in range(rows)]))
    made.var_names = [f"g{n}" for n in range(columns)]
    made.obs["batch"] = pd.Categorical(["a", "b"] * (rows // 2) + ["a"] * (rows % 2))
    made.obs["n"] = np.arange(rows)
    made.obsm["X_pca"] = rng.normal(size=(rows, 2))
    made.layers["counts"] = X.copy()
    made.uns["neighbors"] = {"k": 15, "method": "umap"}
    return made


def written(made: anndata.AnnData, path: Path, by: str) -> Path:
    if by == "theirs":
        made.write_h5ad(path, compression="gzip")
    else:
        write_h5ad(made, path, compression="gzip")
    return path


def plain(matrix: Any) -> np.ndarray[Any, Any]:
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def assert_same(found: anndata.AnnData, expected: anndata.AnnData) -> None:
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    pd.testing.assert_frame_equal(found.var, expected.var)
    np.testing.assert_array_equal(plain(found.X), plain(expected.X))
    for part in ("layers", "obsm", "obsp"):
        ours = {name for name in getattr(found, part) if name is not None}
        assert ours == {name for name in getattr(expected, part) if name is not None}
        for name in ours:
            np.testing.assert_array_equal(plain(getattr(found, part)[name]), plain(getattr(expected, part)[name]))
    assert_equal(dict(found.uns), dict(expected.uns))


@pytest.mark.parametrize("by", ["ours", "theirs"])
@pytest.mark.parametrize("kind", ["csr", "dense"])
def test_named_elements_become_those_of_the_object(tmp_path: Path, by: str, kind: str) -> None:
    made = an_object(kind=kind)
    path = written(made, tmp_path / "a.h5ad", by)
    before = anndata.read_h5ad(path)
    made.obs["cluster"] = ["x", "y", "x", "x", "y", "y"]
    made.obs["n"] = made.obs["n"] * 2
    made.obsm["X_umap"] = np.ones((6, 2))
    made.obsp["distances"] = sp.eye(6, format="csr")
    made.uns["neighbors"] = {"k": 30}
    made.X = made.X * 2
    del made.obsm["X_pca"]
    update(path, made, "obsm/X_umap", "uns/neighbors")
    found = anndata.read_h5ad(path)
    assert set(found.obsm) == {"X_pca", "X_umap"}
    assert dict(found.uns["neighbors"]) == {"k": 30}
    pd.testing.assert_frame_equal(found.obs, before.obs)
    update(path, made, "obs", "X", "obsp", "obsm/X_pca")
    assert_same(anndata.read_h5ad(path), made)
    assert_same(read_h5ad(path), made)
    assert "update obs, X, obsp, obsm/X_pca" in [commit.message for commit in h5burst.log(path)]
    assert h5burst.verify(path) == []


def test_a_column_is_added_replaced_and_removed(tmp_path: Path) -> None:
    made = an_object()
    path = written(made, tmp_path / "a.h5ad", "ours")
    made.obs["leiden"] = ["0", "1", "0", "1", "0", "0"]
    made.obs["n"] = np.arange(6) + 0.5
    update(path, made, "obs/leiden", "obs/n")
    found = anndata.read_h5ad(path)
    assert found.obs.columns.to_list() == ["batch", "n", "leiden"]
    assert found.obs["leiden"].dtype == "category"
    np.testing.assert_array_equal(found.obs["n"], made.obs["n"])
    del made.obs["leiden"]
    update(path, made, "obs/leiden")
    assert anndata.read_h5ad(path).obs.columns.to_list() == ["batch", "n"]


def test_what_h5py_did_between_two_edits_stays(tmp_path: Path) -> None:
    import h5py

    made = an_object()
    path = written(made, tmp_path / "a.h5ad", "theirs")
    made.obsm["one"] = np.ones((6, 1))
    update(path, made, "obsm/one")
    with h5py.File(path, "r+") as file:
        file["obsm/by h5py"] = np.zeros((6, 2))
        file["obsm/by h5py"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    made.obsm["two"] = np.full((6, 1), 2.0)
    update(path, made, "obsm/two")
    assert set(anndata.read_h5ad(path).obsm) == {"X_pca", "one", "two", "by h5py"}


def test_other_cells_and_names_that_there_are_not_are_refused(tmp_path: Path) -> None:
    made = an_object()
    path = written(made, tmp_path / "a.h5ad", "ours")
    content = path.read_bytes()
    turned = made[::-1].copy()
    with pytest.raises(ValueError, match="the same names in another order"):
        update(path, turned, "obsm/X_pca")
    with pytest.raises(ValueError, match="the same names in another order"):
        update(path, turned, "obs")
    with pytest.raises(ValueError, match="has 6 obs_names, the object 5"):
        update(path, made[:5].copy(), "X")
    for name in ("obsm/unknown", "obs/unknown", "odd", "X/data"):
        with pytest.raises(KeyError):
            update(path, made, name)
    made.uns["odd"] = pd.Timestamp("2026-01-01")
    made.obsm["X_pca"] = made.obsm["X_pca"] * 2
    with pytest.raises(TypeError, match="uns/odd"):
        update(path, made, "obsm/X_pca", "uns/odd")
    with pytest.raises(ValueError, match="needs the names"):
        update(path, made)
    assert path.read_bytes() == content
    renamed = made.copy()
    renamed.obs_names = [f"new{n}" for n in range(6)]
    update(path, renamed, "obs")
    assert anndata.read_h5ad(path).obs_names[0] == "new0"


def test_a_backed_object_sees_what_was_written(tmp_path: Path) -> None:
    path = written(an_object(), tmp_path / "a.h5ad", "ours")
    backed = read_h5ad(path, backed="r")
    backed.obs["late"] = np.arange(6)
    update(path, backed, "obs")
    assert anndata.read_h5ad(path).obs["late"].to_list() == list(range(6))
    np.testing.assert_array_equal(plain(backed.to_memory().X), plain(an_object().X))


@pytest.mark.parametrize("by", ["ours", "theirs"])
@pytest.mark.parametrize("kind", ["csr", "dense"])
def test_cells_are_added(tmp_path: Path, by: str, kind: str) -> None:
    made = an_object(kind=kind)
    made.raw = made.copy()
    path = written(made, tmp_path / "a.h5ad", by)
    parts = [made]
    for first, rows in ((6, 3), (9, 1), (10, 5)):
        more = an_object(rows, first=first, kind=kind)
        more.raw = more.copy()
        more.obs["batch"] = pd.Categorical([f"z{first}"] * rows)
        append(path, more[:, ["g2", "g0", "g1", "g3"]].copy())
        parts.append(more)
    expected = anndata.concat(parts, join="outer")
    expected.uns = made.uns
    expected.obs["batch"] = expected.obs["batch"].astype("category")
    found = anndata.read_h5ad(path)
    assert_same(found, expected)
    np.testing.assert_array_equal(plain(found.raw.X), plain(expected.raw.X))
    assert_same(read_h5ad(path), expected)
    assert h5burst.verify(path) == []


def test_cells_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = written(an_object(), tmp_path / "a.h5ad", "ours")
    content = path.read_bytes()
    with pytest.raises(ValueError, match="names already: c5"):
        append(path, an_object(2, first=5))
    with pytest.raises(ValueError, match="other genes than the object, such as g4"):
        append(path, an_object(2, first=6, columns=5))
    more = an_object(2, first=6)
    del more.layers["counts"]
    with pytest.raises(ValueError, match=r"has the layers \['counts'\], the new cells have \[\]"):
        append(path, more)
    assert path.read_bytes() == content
    made = an_object()
    made.obsp["graph"] = np.eye(6)
    write_h5ad(made, path)
    with pytest.raises(ValueError, match=r"obsp \(graph\)"):
        append(path, an_object(2, first=6))


def test_a_table_of_a_large_file_is_replaced_without_reading_the_rest(tmp_path: Path) -> None:
    import time

    made = anndata.AnnData(np.zeros((2000, 10_000), np.float32))
    path = tmp_path / "large.h5ad"
    write_h5ad(made, path)
    made.obs["n"] = np.arange(2000)
    spent = []
    for _ in range(3):
        start = time.process_time()
        update(path, made, "obs")
        spent.append(time.process_time() - start)
    assert path.stat().st_size < 82e6
    assert min(spent) < 0.1, spent


def test_members_of_uns_are_removed_and_none_is_kept(tmp_path: Path) -> None:
    made = an_object()
    path = written(made, tmp_path / "a.h5ad", "ours")
    made.uns["nothing"], made.uns["gone"] = None, 1
    made.uns["other"] = {"deep": {"er": 1}}
    update(path, made, "uns/nothing", "uns/other", "uns/gone")
    found = anndata.read_h5ad(path).uns
    assert found["gone"] == 1
    if not encodings.LEAVES_NONE_OUT:
        assert found["nothing"] is None
    del made.uns["gone"]
    made.uns["other"]["deep"]["er"] = 2
    update(path, made, "uns/gone", "uns/other/deep/er")
    found = anndata.read_h5ad(path).uns
    assert "gone" not in found
    assert found["other"]["deep"]["er"] == 2
    with pytest.raises(KeyError, match="neither the object nor the file has uns/never"):
        update(path, made, "uns/never")


def test_beside_anndata_0_11_none_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot read a file with None in it: an element that became None leaves the file."""
    monkeypatch.setattr(encodings, "LEAVES_NONE_OUT", True)
    made = an_object()
    path = written(made, tmp_path / "a.h5ad", "ours")
    made.uns["neighbors"] = made.uns["never"] = None
    update(path, made, "uns/neighbors", "uns/never")
    with h5py.File(path) as file:
        assert list(file["uns"]) == []
