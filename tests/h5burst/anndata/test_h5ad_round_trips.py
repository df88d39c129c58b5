"""Whole AnnData objects to files and back: anndata itself is the oracle, in both directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

anndata = pytest.importorskip("anndata")
from anndata.tests.helpers import assert_equal, gen_adata  # noqa: E402

from h5burst.anndata import read_h5ad, write_h5ad  # noqa: E402
from support.anndata_releases import IS_BEFORE_0_11  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
X_TYPES = {
    "csr": sp.csr_matrix, "csc": sp.csc_matrix, "csr array": sp.csr_array, "csc array": sp.csc_array,
    "dense": np.asarray, "none": None,
}  # fmt: skip
if IS_BEFORE_0_11:  # it stores matrices alone
    X_TYPES = {name: kind for name, kind in X_TYPES.items() if "array" not in name}


def generated(kind: str, form: str = "csr") -> Any:
    """An object of anndata's own generator, without what its writer or ours refuses."""
    adata = gen_adata((31, 23), X_type=X_TYPES[kind], sparse_fmt=form)
    for values in (adata.obsm, adata.varm, adata.uns):
        for name in [name for name in values if "awk" in name or "xdataset" in name]:
            del values[name]
    if kind != "none":
        adata.raw = adata.copy()
    return adata


@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.parametrize("kind", X_TYPES)
def test_generated_objects_in_both_directions(kind: str, form: str, tmp_path: Path) -> None:
    adata = generated(kind, form)
    adata.write_h5ad(tmp_path / "theirs.h5ad")
    write_h5ad(adata, tmp_path / "ours.h5ad", compression="gzip")
    expected = anndata.read_h5ad(tmp_path / "theirs.h5ad")
    assert_equal(read_h5ad(tmp_path / "theirs.h5ad"), expected, exact=True)
    assert_equal(anndata.read_h5ad(tmp_path / "ours.h5ad"), expected, exact=True)
    assert_equal(read_h5ad(tmp_path / "ours.h5ad"), expected, exact=True)
    if kind != "none":
        assert type(read_h5ad(tmp_path / "ours.h5ad").X) is type(expected.X)


@pytest.mark.parametrize("name", ["nanoPOTS", "plexDIA"])
def test_real_files_of_an_earlier_version(name: str, test_data: Path, tmp_path: Path) -> None:
    path = test_data / "single_cell_proteomics" / f"{name}.h5ad"
    expected = anndata.read_h5ad(path)
    adata = read_h5ad(path)
    assert_equal(adata, expected, exact=True)
    write_h5ad(adata, tmp_path / "again.h5ad", compression="zstd")
    import hdf5plugin  # noqa: F401  (anndata needs it for zstd)

    assert_equal(anndata.read_h5ad(tmp_path / "again.h5ad"), expected, exact=True)


def analysed() -> Any:
    """What scanpy's usual steps leave in an object: their names, structures and types, with made-up numbers.

    Those of normalize_total, log1p, highly_variable_genes, pca, neighbors, leiden and rank_genes_groups.
    """
    rng = np.random.default_rng(5)
    counts = rng.poisson(2, (60, 40)).astype(np.float32)
    adata = anndata.AnnData(sp.csr_matrix(np.log1p(counts)))
    adata.raw = adata.copy()
    adata = adata[:, :30].copy()
    adata.layers["counts"] = sp.csr_matrix(counts[:, :30])
    batch = pd.Categorical(rng.choice(["b", "a"], 60), categories=["b", "a", "unused"], ordered=True)
    adata.obs = pd.DataFrame(
        {
            "batch": batch,
            "leiden": pd.Categorical.from_codes(rng.integers(-1, 2, 60), ["0", "1"]),
            "passed": pd.array(rng.choice([True, False, None], 60), dtype="boolean"),
            "count": pd.array(rng.choice([1, 2, None], 60), dtype="Int16"),
            "total": counts.sum(1),
        },
        index=adata.obs_names,
    )
    adata.var["highly_variable"] = rng.random(30) < 0.5
    adata.obsm["X_pca"] = rng.normal(size=(60, 5)).astype(np.float32)
    adata.varm["PCs"] = rng.normal(size=(30, 5))
    adata.obsp["distances"] = sp.random(60, 60, 0.1, "csr", random_state=1)
    adata.obsp["connectivities"] = adata.obsp["distances"].astype(np.float32)
    genes = np.array([[f"gène{n}" for n in rng.permutation(30)] for _ in "ba"], dtype=object)
    names = np.rec.fromarrays(list(genes), dtype=[("b", "O"), ("a", "O")])
    scores = np.rec.fromarrays(list(rng.normal(size=(2, 30)).astype("f4")), dtype=[("b", "f4"), ("a", "f4")])
    adata.uns = {
        "log1p": {"base": None},
        "hvg": {"flavor": "seurat"},
        "pca": {
            "params": {"zero_center": True, "use_highly_variable": False, "mask_var": None},
            "variance": rng.random(5),
            "variance_ratio": rng.random(5).astype("f4"),
        },
        "neighbors": {
            "connectivities_key": "connectivities",
            "distances_key": "distances",
            "params": {"n_neighbors": 5, "method": "umap", "random_state": 0, "metric": "euclidean", "n_pcs": 5},
        },
        "leiden": {"params": {"n_iterations": -1, "random_state": 0, "resolution": 1.0}},
        "leiden_colors": ["#1f77b4", "#ff7f0e"],
        "rank_genes_groups": {
            "params": {"groupby": "batch", "method": "t-test", "use_raw": True, "reference": "rest"},
            "names": names,
            "scores": scores,
            "pvals": scores.astype([("b", "f8"), ("a", "f8")]),
        },
    }
    return adata


def test_what_scanpy_puts_in(tmp_path: Path) -> None:
    adata = analysed()
    adata.write_h5ad(tmp_path / "theirs.h5ad")
    write_h5ad(adata, tmp_path / "ours.h5ad", compression="gzip")
    expected = anndata.read_h5ad(tmp_path / "theirs.h5ad")
    assert_equal(anndata.read_h5ad(tmp_path / "ours.h5ad"), expected, exact=True)
    found = read_h5ad(tmp_path / "ours.h5ad")
    assert_equal(found, expected, exact=True)
    assert (
        found.uns["rank_genes_groups"]["names"]["a"].tolist() == adata.uns["rank_genes_groups"]["names"]["a"].tolist()
    )
    assert found.uns["log1p"] == expected.uns["log1p"]
    assert list(found.obs["batch"].cat.categories) == ["b", "a", "unused"]
    assert found.obs["batch"].cat.ordered
    assert found.obs["leiden"].isna().any()
    assert found.raw.shape == (60, 40)


def test_views_are_written_as_what_they_show(tmp_path: Path) -> None:
    adata = generated("csr")
    view = adata[[5, 2, 9], adata.var_names[3:7]]
    write_h5ad(view.copy(), tmp_path / "copy.h5ad")
    write_h5ad(view, tmp_path / "view.h5ad")
    assert_equal(read_h5ad(tmp_path / "view.h5ad"), anndata.read_h5ad(tmp_path / "copy.h5ad"), exact=True)


def test_text_columns_become_categorical_as_anndata_makes_them(tmp_path: Path) -> None:
    adata = anndata.AnnData(np.eye(4), obs=pd.DataFrame({"type": ["b", "a10", "a2", "a2"]}, index=list("wxyz")))
    kept = adata.copy()
    write_h5ad(kept, tmp_path / "kept.h5ad", convert_strings_to_categoricals=False)
    assert read_h5ad(tmp_path / "kept.h5ad").obs["type"].dtype == adata.obs["type"].dtype != "category"
    write_h5ad(adata, tmp_path / "changed.h5ad")
    assert list(read_h5ad(tmp_path / "changed.h5ad").obs["type"].cat.categories) == ["a2", "a10", "b"]


def test_more_columns_than_an_old_attribute_names(tmp_path: Path) -> None:
    """More names than an attribute held in old files."""
    names = [f"a name of fifty characters or so for column number {n}" for n in range(1500)]
    table = pd.DataFrame(np.arange(1500.0).reshape(1, -1), index=["a"], columns=names)
    adata = anndata.AnnData(np.eye(1), obs=table)
    write_h5ad(adata, tmp_path / "wide.h5ad")
    pd.testing.assert_frame_equal(read_h5ad(tmp_path / "wide.h5ad").obs, table)
    pd.testing.assert_frame_equal(anndata.read_h5ad(tmp_path / "wide.h5ad").obs, table)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
@pytest.mark.parametrize("kind", ["csr", "dense"])
def test_objects_of_nothing(shape: tuple[int, int], kind: str, tmp_path: Path) -> None:
    adata = anndata.AnnData(X_TYPES[kind](np.zeros(shape)))  # type: ignore[misc]
    write_h5ad(adata, tmp_path / "empty.h5ad", compression="gzip")
    assert_equal(anndata.read_h5ad(tmp_path / "empty.h5ad"), adata, exact=True)
    assert_equal(read_h5ad(tmp_path / "empty.h5ad"), adata, exact=True)
