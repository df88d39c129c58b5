"""`.h5mu` files: mudata reads what we write, and we read what mudata writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import h5burst
from h5burst.anndata import read_h5ad, read_h5mu, update, write_h5ad, write_h5mu
from support.anndata_releases import nullable_text

mudata = pytest.importorskip("mudata")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def an_object(axis: int = 0, *, overlapping: bool = True) -> Any:
    rng = np.random.default_rng(3)
    mods = {}
    for number, (name, rows, columns) in enumerate((("rna", 8, 5), ("prot", 6, 3), ("atac", 8, 2))):
        X = (
            sp.random(rows, columns, 0.5, "csr", np.float32, rng)
            if name != "prot"
            else rng.normal(size=(rows, columns))
        )
        made = anndata.AnnData(X)
        cells = [f"c{n}" for n in range(rows)] if overlapping else [f"{name}{n}" for n in range(rows)]
        made.obs_names = list(rng.permutation(cells)) if axis == 0 else [f"{name}_c{n}" for n in range(rows)]
        made.var_names = [f"{name}_g{n}" for n in range(columns)] if axis == 0 else [f"g{n}" for n in range(columns)]
        made.obs["kind"] = pd.Categorical(rng.choice(["a", "b"], rows), ordered=bool(number))
        made.obs["text"] = nullable_text(["x", None] * (rows // 2))
        made.var["n"] = np.arange(columns)
        made.layers["raw"] = X.copy()
        made.obsm["X_pca"] = rng.normal(size=(rows, 2))
        mods[name] = made
    mods["rna"].raw = mods["rna"].copy()
    mdata = mudata.MuData(mods, axis=axis)
    mdata.obs["global"] = np.arange(mdata.n_obs)
    mdata.obs["words"] = ["one", "two"] * (mdata.n_obs // 2) + ["one"] * (mdata.n_obs % 2)
    mdata.obsm["X_all"] = rng.normal(size=(mdata.n_obs, 3))
    mdata.obsp["graph"] = sp.eye(mdata.n_obs, format="csr")
    mdata.uns["of"] = {"k": 3}
    return mdata


def assert_same(a: Any, b: Any) -> None:
    assert list(a.mod) == list(b.mod)
    assert a.axis == b.axis
    for name in a.mod:
        from anndata.tests.helpers import assert_equal

        assert_equal(a.mod[name], b.mod[name], exact=True)
    for table in ("obs", "var"):
        pd.testing.assert_frame_equal(getattr(a, table), getattr(b, table))
    for part in ("obsm", "varm", "obsp", "varp", "obsmap", "varmap"):
        ours, theirs = getattr(a, part), getattr(b, part)
        assert set(ours) == set(theirs)
        for key in ours:
            one, other = (x.toarray() if sp.issparse(x) else np.asarray(x) for x in (ours[key], theirs[key]))
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
    assert dict(a.uns) == dict(b.uns)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("overlapping", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_both_ways(tmp_path: Path, axis: int, overlapping: bool, compression: Any) -> None:
    mdata = an_object(axis, overlapping=overlapping)
    ours, theirs = tmp_path / "ours.h5mu", tmp_path / "theirs.h5mu"
    write_h5mu(mdata, ours, compression=compression)
    mdata.write(theirs)
    expected = mudata.read_h5mu(theirs)
    for found in (mudata.read_h5mu(ours), read_h5mu(ours), read_h5mu(theirs)):
        assert_same(found, expected)
    assert h5burst.verify(ours) == []


def test_the_file_is_one_of_mudata(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path = tmp_path / "a.h5mu"
    write_h5mu(an_object(), path)
    assert path.read_bytes().startswith(b"MuData (format-version=0.1.0")
    mudata.read_h5mu(path)
    assert not [w for w in recwarn if "not created by muon" in str(w.message)]
    with h5py.File(path) as file:
        assert file.userblock_size == 512
        assert file.attrs["encoding-type"] == "MuData"
    assert mudata.read_h5ad(path, "prot").shape == (6, 3)
    with pytest.raises(FileExistsError):
        write_h5mu(an_object(), path, overwrite=False)


@pytest.mark.parametrize("by", ["ours", "theirs"])
def test_elements_are_updated_in_place(tmp_path: Path, by: str) -> None:
    mdata, path = an_object(), tmp_path / "a.h5mu"
    if by == "ours":
        write_h5mu(mdata, path)
    else:
        mdata.write(path)
    mdata.mod["prot"].obsm["X_umap"] = np.ones((6, 2))
    mdata.mod["rna"].obs["late"] = np.arange(8)
    mdata.obs["global"] = mdata.obs["global"] * 3
    update(path, mdata, "mod/prot/obsm/X_umap", "mod/rna/obs", "obs")
    found = mudata.read_h5mu(path)
    assert set(found.mod["prot"].obsm) == {"X_pca", "X_umap"}
    assert found.mod["rna"].obs["late"].to_list() == list(range(8))
    assert found.obs["global"].to_list() == mdata.obs["global"].to_list()
    assert path.read_bytes().startswith(b"MuData")
    with pytest.raises(KeyError, match="no modality 'odd'"):
        update(path, mdata, "mod/odd/obs")


def test_other_files_and_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5mu"
    write_h5mu(an_object(), path)
    with pytest.raises(ValueError, match=r"read_h5mu\(path\)\.mod"):
        read_h5ad(path)
    write_h5ad(an_object().mod["rna"], tmp_path / "a.h5ad")
    with pytest.raises(ValueError, match="it is a file of anndata, not of MuData"):
        read_h5mu(tmp_path / "a.h5ad")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "damaged.h5mu").write_bytes(content)
    if h5burst.verify(tmp_path / "damaged.h5mu"):
        with pytest.raises(OSError, match="damaged"):
            read_h5mu(tmp_path / "damaged.h5mu")
    odd = an_object()
    odd.uns["day"] = pd.Timestamp("2026-01-01")
    with pytest.raises(TypeError, match="uns/day"):
        write_h5mu(odd, tmp_path / "odd.h5mu")
    assert not (tmp_path / "odd.h5mu").exists()


@pytest.mark.parametrize("length", [1, 511, 768])
def test_a_user_block_has_a_length_of_hdf5(tmp_path: Path, length: int) -> None:
    with pytest.raises(ValueError, match="512, 1024"):
        h5burst.write_tree(tmp_path / "a.h5", h5burst.Group(), user_block=b"x" * length)


def test_files_behind_a_user_block_are_edited_and_repacked(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    tree = h5burst.Group({f"d{n}": h5burst.Array(np.arange(50_000) + n) for n in range(3)})
    h5burst.write_tree(path, tree, user_block=b"program".ljust(1024, b"\0"), storage=h5burst.Storage("gzip"))
    with h5burst.edit(path) as tx:
        tx.put("more", h5burst.Array(np.arange(7)))
        assert tx.way == "append"
    h5burst.compact(path)
    with h5py.File(path) as file:
        assert file.userblock_size == 1024
        assert file["d2"][-1] == 50_001
        assert file["more"].shape == (7,)
    assert path.read_bytes().startswith(b"program")
    assert h5burst.verify(path) == []
