"""AnnData in and out: what comes back is what went in, or it is refused by name."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

from scpstore import (
    AggregationLink,
    Assay,
    MatrixMetadata,
    ScpContainer,
    ScpMatrix,
    assert_identical,
    load_hdf5,
    save_hdf5,
)
from scpstore.core import ValidationError, sources
from scpstore.core.sources import LazyRows
from scpstore.io import IOFormatError, anndata_layers, from_anndata, read_h5ad, to_anndata, write_h5ad
from support.anndata_releases import needs_backed_sparse, nullable_text

anndata = pytest.importorskip("anndata")


def rich() -> Any:
    rng = np.random.default_rng(1)
    obs = pd.DataFrame(
        {
            "grade": pd.Categorical(["lo", "hi", "lo"], categories=["lo", "mid", "hi"], ordered=True),
            "batch": pd.Categorical([1, 2, 1], categories=[1, 2, 3]),
            "count": pd.array([1, None, 3], dtype="Int32"),
            "full": pd.array([1, 2, 3], dtype="Int16"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "note": nullable_text(["a", None, "c"]),
            "when": pd.array(["2024-01-01", None, "2024-01-03"], dtype="datetime64[s]"),
        },
        index=pd.Index(["c1", "c2", "c3"], name="cell"),
    )
    var = pd.DataFrame({"gene": ["A", "B"]}, index=pd.Index(["p1", "p2"], name="protein"))
    adata = anndata.AnnData(X=rng.integers(0, 9, (3, 2)).astype(np.int32), obs=obs, var=var)
    adata.layers["X"] = sp.csr_matrix(np.array([[1, 0], [0, 2], [3, 0]], np.int16))
    adata.layers["flags"] = np.array([[True, False], [False, True], [True, True]])
    adata.layers["log"] = rng.normal(size=(3, 2)).astype(np.float32)
    adata.obsm["X_pca"] = rng.normal(size=(3, 4))
    adata.obsm["table"] = pd.DataFrame({"a": [1, 2, 3]}, index=obs.index)
    adata.obsp["near"] = sp.csr_matrix(np.arange(9.0).reshape(3, 3))
    adata.varm["PCs"] = rng.normal(size=(2, 4))
    adata.varp["corr"] = np.array([[1.0, 0.5], [0.5, 1.0]])
    adata.uns["pca"] = {"variance": np.array([2.0, 1.0]), "params": {"zero_center": True, "use": "all"}}
    adata.uns["names"] = ["a", "b"]
    kinds = [("lo", "O"), ("hi", "O")]  # as scanpy's rank_genes_groups
    adata.uns["ranked"] = {
        "names": np.array([("p1", "p2"), ("p2", "größer")], kinds),
        "scores": np.array([(2.5, 1.0), (0.5, 0.25)], [("lo", "f4"), ("hi", "f4")]),
    }
    raw = anndata.AnnData(
        X=rng.normal(size=(3, 5)), obs=obs[[]], var=pd.DataFrame({"n": range(5)}, index=[f"r{i}" for i in range(5)])
    )
    adata.raw = raw
    return adata


def through_file(container: ScpContainer, tmp_path: Path) -> ScpContainer:
    save_hdf5(container, tmp_path / "a.h5")
    loaded = load_hdf5(tmp_path / "a.h5")
    assert_identical(container, loaded)
    return loaded


@pytest.mark.parametrize("by_file", [False, True])
def test_all_parts_come_back(tmp_path: Path, by_file: bool) -> None:
    adata = rich()
    container = from_anndata(adata)
    back = to_anndata(through_file(container, tmp_path) if by_file else container, "proteins", layers="all")
    assert [name for name in back.layers if name is not None] == ["X", "flags", "log"]  # None: X, in anndata 0.13
    pd.testing.assert_frame_equal(back.obs, adata.obs, check_index_type=False)
    pd.testing.assert_frame_equal(back.var, adata.var, check_index_type=False)
    assert back.X.dtype == np.int32
    np.testing.assert_array_equal(back.X, adata.X)
    for name in adata.layers:
        assert back.layers[name].dtype == adata.layers[name].dtype, name
        assert (back.layers[name] != adata.layers[name]).sum() == 0
    np.testing.assert_array_equal(back.obsm["X_pca"], adata.obsm["X_pca"])
    pd.testing.assert_frame_equal(back.obsm["table"], adata.obsm["table"], check_names=False, check_index_type=False)
    assert (back.obsp["near"] != adata.obsp["near"]).nnz == 0
    np.testing.assert_array_equal(back.varm["PCs"], adata.varm["PCs"])
    np.testing.assert_array_equal(back.varp["corr"], adata.varp["corr"])
    assert back.uns["pca"]["params"] == {"zero_center": True, "use": "all"}
    assert back.uns["names"] == ["a", "b"]
    np.testing.assert_array_equal(back.uns["pca"]["variance"], [2.0, 1.0])
    np.testing.assert_array_equal(back.raw.X, adata.raw.X)
    assert list(back.raw.var_names) == list(adata.raw.var_names)


def test_a_layer_called_X_does_not_replace_X() -> None:
    container = from_anndata(rich())
    assert list(container.assays["proteins"].layers) == ["main", "X", "flags", "log"]
    np.testing.assert_array_equal(container.assays["proteins"].layers["main"].X, rich().X)
    np.testing.assert_array_equal(container.assays["proteins"].layers["X"].X.toarray(), rich().layers["X"].toarray())


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1])
def test_whole_numbers_that_floats_do_not_hold_are_refused_by_name(value: int) -> None:
    adata = anndata.AnnData(X=np.ones((2, 2)), layers={"counts": np.array([[1, 2], [3, value]])})
    with pytest.raises(ValidationError, match=r"'counts' holds whole numbers that float64 does not"):
        from_anndata(adata)


def test_whole_numbers_that_floats_hold_stay_beyond_two_to_the_53() -> None:
    adata = anndata.AnnData(X=np.array([[2**60, -(2**55)]]))
    assert to_anndata(from_anndata(adata), "proteins").X.tolist() == [[2**60, -(2**55)]]


def test_changed_values_stay_floats() -> None:
    container = from_anndata(anndata.AnnData(X=np.array([[1, 2]])))
    container.assays["proteins"].layers["X"].X[0, 0] = 0.5
    assert to_anndata(container, "proteins").X.tolist() == [[0.5, 2.0]]


def test_complex_layers_are_refused() -> None:
    with pytest.raises(ValidationError, match="'X' has the dtype complex128"):
        from_anndata(anndata.AnnData(X=np.array([[1j]])))


def test_selections_take_the_extras_along() -> None:
    container = from_anndata(rich())
    part = container.filter_samples(["c3", "c1"]).filter_features("proteins", ["p2"])
    adata, back = rich(), to_anndata(part, "proteins", layers="all")
    np.testing.assert_array_equal(back.obsm["X_pca"], adata.obsm["X_pca"][[2, 0]])
    assert back.obsm["table"]["a"].tolist() == [3, 1]
    np.testing.assert_array_equal(back.obsp["near"].toarray(), adata.obsp["near"].toarray()[[2, 0]][:, [2, 0]])
    np.testing.assert_array_equal(back.varm["PCs"], adata.varm["PCs"][[1]])
    assert back.varp["corr"].tolist() == [[1.0]]
    assert back.raw.shape == (2, 5)
    np.testing.assert_array_equal(back.raw.X, adata.raw.X[[2, 0]])


def test_repeated_ids_are_refused_or_made_unique() -> None:
    adata = anndata.AnnData(X=np.ones((2, 3)))
    adata.var_names = ["ACTB", "ALB", "ACTB"]
    with pytest.raises(ValidationError, match=r"var: IDs appear more than once: \['ACTB'\].*make_unique=True"):
        from_anndata(adata)
    made = from_anndata(adata, make_unique=True)
    assert made.assays["proteins"].feature_ids.to_list() == ["ACTB", "ALB", "ACTB-1"]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.Series(pd.interval_range(0, 2)).array, "'odd' of dtype interval.* cannot be stored"),
        (pd.arrays.SparseArray([0.0, 1.0]), "'odd' of dtype Sparse.*make it dense"),
        (pd.array([1, "a"], dtype=object), "'odd' holds values of different types"),
    ],
)
def test_columns_without_a_form_are_refused_by_name(column: Any, message: str) -> None:
    adata = anndata.AnnData(X=np.ones((2, 1)))
    adata.obs["odd"] = column
    with pytest.raises(ValidationError, match=message):
        from_anndata(adata)


def test_names_that_clash_are_refused() -> None:
    adata = anndata.AnnData(X=np.ones((2, 1)))
    adata.obs = pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"], index=adata.obs_names)
    with pytest.raises(ValidationError, match=r"columns \['a'\] appear more than once"):
        from_anndata(adata)
    adata.obs = pd.DataFrame({"_index": ["x", "y"]}, index=adata.obs_names)
    with pytest.raises(ValidationError, match="'_index' with other values than the index"):
        from_anndata(adata)


def test_masks_of_several_layers_come_back() -> None:
    var, obs = pl.DataFrame({"_index": ["a", "b"]}), pl.DataFrame({"_index": ["x"]})
    codes = {"X": np.array([[0, 2]], np.int8), "log": np.array([[5, 0]], np.int8)}
    layers = {name: ScpMatrix(np.ones((1, 2)), mask) for name, mask in codes.items()}
    container = ScpContainer(obs, {"p": Assay(var, layers)})
    adata = to_anndata(container, "p", "X", layers=["log"])
    assert sorted(name for name in adata.layers if name is not None) == ["log", "log_mask", "mask"]
    assert from_anndata(adata, "p").assays["p"] == container.assays["p"]


def test_a_backed_file_stays_in_its_file(tmp_path: Path) -> None:
    adata = rich()
    adata.X = sp.csr_matrix(adata.X.astype(np.float32))
    del adata.obs["when"]
    del adata.uns["names"]
    adata.write_h5ad(tmp_path / "a.h5ad")
    lazy = read_h5ad(tmp_path / "a.h5ad", backed=True)
    X = lazy.assays["proteins"].layers["main"].X
    assert not sp.issparse(X)
    np.testing.assert_array_equal(X[[2, 0]].toarray(), adata.X.toarray()[[2, 0]])
    save_hdf5(lazy, tmp_path / "b.h5")
    assert_identical(load_hdf5(tmp_path / "b.h5").assays, read_h5ad(tmp_path / "a.h5ad").assays)


@pytest.mark.parametrize("x", ["dense", "csr", "csc", "none"])
def test_layers_of_a_backed_file_stay_in_it(tmp_path: Path, x: str) -> None:
    """What is read, selected and written is what it would be in memory."""
    from anndata.tests.helpers import assert_equal

    values = np.arange(12.0).reshape(4, 3)
    layers = {
        "columns": sp.csc_matrix(values),
        "columns_mask": sp.csc_matrix((values > 7).astype(np.int8)),
        "whole columns": sp.csc_matrix(values.astype(np.int32)),
        "mask": (np.arange(12).reshape(4, 3) % 7).astype(np.int8),
        "counts": sp.csr_matrix(values.astype(np.int64)),
        "counts_mask": sp.csr_matrix((values > 9).astype(np.int8)),
        "flags": values > 3,
        "single": values.astype(np.float32),
        "other_mask": np.full((4, 3), 9, np.int8),
        "single_mask": np.full((4, 3), 7, np.int8),  # no code
    }
    X = {"dense": values, "csr": sp.csr_matrix(values), "csc": sp.csc_matrix(values), "none": None}[x]
    path = tmp_path / "a.h5ad"
    anndata.AnnData(X, pd.DataFrame(index=list("abcd")), pd.DataFrame(index=list("PQR")), layers=layers).write_h5ad(
        path
    )
    whole, backed = read_h5ad(path), read_h5ad(path, backed=True)
    assert backed == whole
    found = backed.assays["proteins"].layers
    assert list(found) == list(whole.assays["proteins"].layers)
    lazy = {name for name, layer in found.items() if isinstance(layer.X, LazyRows)}
    expected = set(found) - ({"X"} if x == "none" else set())
    assert {"columns", "whole columns", "counts", "flags"} < expected
    assert lazy == expected
    assert isinstance(found["counts"].M, LazyRows)
    assert isinstance(found["columns"].M, LazyRows)
    save_hdf5(backed, tmp_path / "backed.h5")
    assert_identical(load_hdf5(tmp_path / "backed.h5").assays, whole.assays)
    assert backed.filter_samples(["a", "c"]).assays == whole.filter_samples(["a", "c"]).assays
    for name, layer in backed.filter_samples(["c", "a"]).assays["proteins"].layers.items():  # entries in any order
        expected_layer = whole.filter_samples(["c", "a"]).assays["proteins"].layers[name]
        assert type(layer.X) is type(expected_layer.X)
        for values, others in ((layer.X, expected_layer.X), (layer.M, expected_layer.M)):
            assert (
                np.array_equal(values.toarray(), others.toarray())
                if sp.issparse(values)
                else others is None or (np.array_equal(values, others))
            )
    again = tmp_path / "again.h5ad"
    write_h5ad(backed, again, "proteins", layers="all")
    expected_adata, adata = (to_anndata(each, "proteins", layers="all") for each in (whole, read_h5ad(again)))
    assert_equal(adata, expected_adata, exact=True)
    assert adata.layers["counts"].dtype == np.int64
    assert adata.layers["whole columns"].format == "csc"
    assert adata.layers["whole columns"].dtype == np.int32


@pytest.mark.parametrize("seed", range(3))
def test_columns_of_a_backed_file_keep_the_order_of_their_entries(tmp_path: Path, seed: int) -> None:
    """Repeated and unsorted entries, too, on the way into a container and out of it."""
    rng = np.random.default_rng(seed)
    made = sp.random(40, 9, 0.4, "csc", random_state=seed)
    if seed:
        rng.shuffle(made.indices)  # in any order, some of them twice in a column
        made.has_sorted_indices = False
    anndata.AnnData(sp.csr_matrix((40, 9)), layers={"columns": made}).write_h5ad(tmp_path / "a.h5ad")
    whole, backed = read_h5ad(tmp_path / "a.h5ad"), read_h5ad(tmp_path / "a.h5ad", backed=True)
    layer = backed.assays["proteins"].layers["columns"].X
    assert isinstance(layer, LazyRows)
    rows = rng.permutation(40)[:7]
    np.testing.assert_array_equal(layer[rows].toarray(), made[rows].toarray())
    np.testing.assert_array_equal(layer[3:11].toarray(), made[3:11].toarray())
    save_hdf5(backed, tmp_path / "a.h5")
    assert_identical(load_hdf5(tmp_path / "a.h5").assays, whole.assays)


def test_a_damaged_layer_of_columns_is_named(tmp_path: Path) -> None:
    layer = sp.csc_matrix(np.eye(3))
    anndata.AnnData(np.eye(3), layers={"columns": layer}).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file["layers/columns/indices"][0] = 7
    backed = read_h5ad(tmp_path / "a.h5ad", backed=True)
    with pytest.raises(IOFormatError, match=r"a\.h5ad:/layers/columns/X_\*: .* of 3"):
        backed.assays["proteins"].layers["columns"].X[0:1]
    with pytest.raises(IOFormatError, match=r"a\.h5ad:/layers/columns/X_\*"):
        write_h5ad(backed, tmp_path / "b.h5ad", "proteins", layers="all")


def test_a_damaged_layer_of_a_backed_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    layer = sp.csr_matrix(np.eye(3))
    anndata.AnnData(np.eye(3), layers={"raw": layer, "wide": np.ones((3, 3))}).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file["layers/raw/indices"][0] = 7
    backed = read_h5ad(path, backed=True)
    with pytest.raises(IOFormatError, match=r"a\.h5ad:/layers/raw/X_indices: .*column"):
        backed.assays["proteins"].layers["raw"].X[0:1]
    with h5py.File(path, "r+") as file:
        del file["layers/wide"]
        file["layers/wide"] = np.ones((3, 4))
        file["layers/wide"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    with pytest.raises(IOFormatError, match=r"a\.h5ad: .*wide"):
        read_h5ad(path, backed=True)


def test_a_damaged_h5ad_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.h5ad").write_bytes(b"no such thing")
    with pytest.raises(IOFormatError, match=r"a\.h5ad cannot be read as an AnnData file"):
        read_h5ad(tmp_path / "a.h5ad")


# ---------------------------------------------------------------- what frames beside obs and var say


def some(**members: Any) -> Any:
    return anndata.AnnData(
        np.arange(12.0).reshape(6, 2),
        pd.DataFrame(index=[f"c{n}" for n in range(6)]),
        pd.DataFrame(index=["p", "q"]),
        **members,
    )


def a_frame(index: Any) -> pd.DataFrame:
    columns = {
        "grade": pd.Categorical(list("aabbca"), categories=list("cbaz"), ordered=True),
        "batch": pd.Categorical([1, 2, 1, 2, 1, 1], categories=[2, 1, 5]),
        "count": pd.array([1, None, 3] * 2, dtype="Int16"),
        "text": pd.array(["a", None, "c"] * 2, dtype="string"),
        "when": np.array(["2024-01-01"] * 6, "M8[s]"),
    }
    return pd.DataFrame(columns, index=index)


def back(adata: Any, tmp_path: Path) -> Any:
    return to_anndata(through_file(from_anndata(adata), tmp_path), "proteins", layers="all")


def test_frames_beside_obs_come_back_with_the_order_of_categories_and_their_dtypes(tmp_path: Path) -> None:
    adata = some()
    adata.obsm["table"] = a_frame(adata.obs_names)
    adata.uns["tables"] = {"of text/labels": a_frame(pd.Index(list("uvwxyz"), name="label"))}
    adata.uns["numbered"] = a_frame(pd.Index([5, 3, 1, 2, 4, 6], name="_index"))
    genes = pd.Index([f"g{n}" for n in range(6)], name="gene")
    adata.raw = anndata.AnnData(np.ones((6, 6)), adata.obs, a_frame(genes), varm={"table": a_frame(genes)})
    found = back(adata, tmp_path)
    for ours, theirs in [
        (found.obsm["table"], adata.obsm["table"]),
        (found.uns["tables"]["of text/labels"], adata.uns["tables"]["of text/labels"]),
        (found.uns["numbered"], adata.uns["numbered"]),
        (found.raw.var, adata.raw.var),
        (found.raw.varm["table"], adata.raw.varm["table"]),
    ]:
        pd.testing.assert_frame_equal(ours, theirs)


def test_frames_keep_their_dtypes_in_selections() -> None:
    adata = some()
    adata.obsm["table"] = a_frame(adata.obs_names)
    adata.varm["table"] = pd.DataFrame({"c": pd.Categorical(["x", "y"], ordered=True)}, index=adata.var_names)
    container = from_anndata(adata).filter_samples(["c4", "c0"]).filter_features("proteins", ["q"])
    chosen = to_anndata(container, "proteins")
    pd.testing.assert_frame_equal(chosen.obsm["table"], adata.obsm["table"].loc[["c4", "c0"]])
    pd.testing.assert_frame_equal(chosen.varm["table"], adata.varm["table"].loc[["q"]])


def test_arrays_of_pandas_in_uns_come_back(tmp_path: Path) -> None:
    arrays = {
        "groups": pd.Categorical(["b", "a", None], categories=["b", "a", "c"], ordered=True),
        "counts": pd.array([1, None, 2**62], dtype="Int64"),
    }
    found = back(some(uns=arrays), tmp_path).uns
    for name, values in arrays.items():
        pd.testing.assert_extension_array_equal(found[name], values)


@pytest.mark.parametrize(
    "values",
    [
        [b"a", b"\x00b", None] * 2,
        [1, 2, None] * 2,
        [True, None, False] * 2,
        [date(2024, 1, 1), None, date(1999, 12, 31)] * 2,
        [[1, 2], [3, 4], [5, 6]] * 2,
        [["a"], [], ["b", "c"]] * 2,
    ],
)
def test_columns_of_objects_come_back_as_objects(tmp_path: Path, values: list[Any]) -> None:
    adata = some()
    adata.obs["mixed"] = pd.Series(values, index=adata.obs_names, dtype=object)
    found = back(adata, tmp_path).obs["mixed"]
    assert found.dtype == object
    assert found.tolist() == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize("dtype", ["string", "object", "float64"])
def test_categories_keep_their_dtype(tmp_path: Path, dtype: str) -> None:
    categories = pd.Index([] if dtype == "float64" else ["b", "a"], dtype=dtype)
    adata = some()
    adata.obs["c"] = pd.Categorical([None] * 6, categories=categories)
    assert back(adata, tmp_path).obs["c"].dtype == adata.obs["c"].dtype


def edited(container: ScpContainer, path: Path, texts: dict[str, str]) -> ScpContainer:
    """The container from a file in which some texts were replaced."""
    save_hdf5(container, path)
    with h5py.File(path, "r+") as file:
        for place, text in texts.items():
            file[f"extras/{place}"][...] = text
    return load_hdf5(path)


@pytest.mark.parametrize("name", ["nonsense", "decimal128(3,2)[pyarrow]", "datetime64[ns, Nowhere]"])
def test_a_name_in_a_file_that_is_not_that_of_a_dtype_is_passed_over(name: str, tmp_path: Path) -> None:
    grades = pd.Index(["lo", "mid", "hi"], dtype="string")
    obs = pd.DataFrame({"grade": pd.Categorical(["lo", "hi", "lo"], grades, True)}, ["c1", "c2", "c3"])
    obs["count"] = pd.array([1, None, 3], dtype="Int32")
    obs["when"] = pd.array(["2024-01-01", None, "2024-01-03"], dtype="datetime64[s]")
    adata = anndata.AnnData(np.ones((3, 2), np.int16), obs, pd.DataFrame(index=["p1", "p2"]))
    adata.uns["table"] = pd.DataFrame({"a": [1, 2]}, [7, 8])
    columns = "origin/frame/columns"
    names = (f"{columns}/grade/categories_dtype", f"{columns}/count/dtype", f"{columns}/when/unit")
    others = ("origin/members/uns/table/index_dtype", "assays/proteins/origin/dtypes/X")
    container = edited(from_anndata(adata), tmp_path / "a.h5", dict.fromkeys((*names, *others), name))
    found = to_anndata(container, "proteins")
    assert found.obs["grade"].cat.categories.tolist() == ["lo", "mid", "hi"]
    assert found.obs["grade"].cat.ordered
    assert found.obs["grade"].tolist() == ["lo", "hi", "lo"]
    assert found.obs["count"].tolist()[::2] == [1, 3]
    assert found.obs["when"].tolist()[::2] == [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-03")]
    assert found.uns["table"].index.tolist() == ["7", "8"]
    assert np.array_equal(found.X, adata.X)


@pytest.mark.parametrize(
    "place",
    ["origin/frame", "origin/frame/columns", "origin/frame/columns/grade", "origin/members", "origin/members/uns",
     "assays/proteins/origin/frame", "assays/proteins/origin/dtypes"],
)  # fmt: skip
def test_text_in_a_file_where_origins_were_is_passed_over(place: str, tmp_path: Path) -> None:
    obs = pd.DataFrame({"grade": pd.Categorical(["lo", "hi", "lo"], ["lo", "mid", "hi"], True)}, ["c1", "c2", "c3"])
    var = pd.DataFrame({"n": pd.array([1, None], dtype="Int32")}, ["p1", "p2"])
    adata = anndata.AnnData(np.ones((3, 2), np.int16), obs, var)
    adata.uns["table"] = pd.DataFrame({"a": [1, 2]}, [7, 8])
    path = tmp_path / "a.h5"
    save_hdf5(from_anndata(adata), path)
    with h5py.File(path, "r+") as file:
        del file[f"extras/{place}"]
        file[f"extras/{place}"] = "text"
    found = to_anndata(load_hdf5(path), "proteins")
    assert found.obs["grade"].tolist() == ["lo", "hi", "lo"]
    assert found.var["n"].tolist()[:1] == [1]
    assert [int(name) for name in found.uns["table"].index] == [7, 8]
    assert np.array_equal(found.X, adata.X)


@pytest.mark.parametrize("names", [[2.5, 2.5, 7.5], [2.5, 7.5, np.nan]])
def test_categories_in_a_file_that_are_none(names: list[float], tmp_path: Path) -> None:
    adata = some()
    adata.obs["c"] = pd.Categorical([2.5, 7.5] * 3, [2.5, 7.5, 9.5])
    path = tmp_path / "a.h5"
    save_hdf5(from_anndata(adata), path)
    with h5py.File(path, "r+") as file:
        file["extras/origin/frame/columns/c/categories"][...] = names
    assert to_anndata(load_hdf5(path), "proteins").obs["c"].tolist() == [2.5, 7.5] * 3


def test_a_column_of_numbers_where_one_of_times_was() -> None:
    container = from_anndata(rich())
    container.obs = container.obs.with_columns(pl.Series("when", [1, 2, 3]))
    assert to_anndata(container, "proteins").obs["when"].tolist() == [1, 2, 3]


def test_no_X_is_no_X_again(tmp_path: Path) -> None:
    adata = some()
    adata.layers["log"] = np.ones((6, 2))
    del adata.X
    container = from_anndata(adata)
    assert container.list_layers("proteins") == ["log"]
    found = back(adata, tmp_path)
    assert found.X is None
    assert list(found.layers) == ["log"]
    assert to_anndata(container, "proteins").X.sum() == 12  # the only layer, where no others are asked for


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("layers", np.ma.masked_array(np.ones((6, 2)), np.eye(6, 2)), r"layer 'odd' is a masked array: fill it first"),
        ("obsm", np.ma.masked_array(np.ones((6, 2)), np.eye(6, 2)), r"obsm/odd is a masked array: fill it first"),
        ("uns", {"below": np.ma.masked_array([1, 2], [0, 1])}, r"uns/odd/below is a masked array: fill it first"),
        ("uns", anndata.AnnData(np.ones((2, 2))), r"uns/odd is an AnnData object: make it an assay of its own"),
        ("uns", pd.DataFrame([[1, 2]]), r"uns/odd: column names must be text, got \[0, 1\]"),
        (
            "uns",
            pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])),
            r"uns/odd: an index of dtype object",
        ),
        ("obs", np.array([1j] * 6), r"obs column 'odd' holds values of type complex: convert them first"),
    ],
)
def test_what_would_change_is_refused_by_its_place(part: str, value: Any, message: str) -> None:
    adata = some()
    getattr(adata, part)["odd"] = value
    with pytest.raises(ValidationError, match=message):
        from_anndata(adata)


def test_columns_of_date_objects_become_text_in_h5ad_files(tmp_path: Path) -> None:
    adata = some()
    adata.obs["day"] = pd.Series([date(2024, 1, 2), None] * 3, index=adata.obs_names, dtype=object)
    with pytest.warns(UserWarning, match="'day' of dtype object becomes text"):
        write_h5ad(from_anndata(adata), tmp_path / "a.h5ad", "proteins")
    assert anndata.read_h5ad(tmp_path / "a.h5ad").obs["day"].dropna().unique().tolist() == ["2024-01-02"]


def test_x_is_read_once_where_it_is_the_layer_none(tmp_path: Path) -> None:
    """anndata 0.13 keeps X as the layer None; whatever the release, a container has it once, under a name of text."""
    adata = some()
    if None not in list(adata.layers):  # an earlier release: what the later one looks like

        class Newer:
            layers: ClassVar[dict[Any, Any]] = {"twice": adata.X * 2, None: adata.X}

            def __getattr__(self, name: str) -> Any:
                return getattr(adata, name)

        adata_like: Any = Newer()
    else:
        adata.layers["twice"] = adata.X * 2
        adata_like = adata
    container = from_anndata(adata_like)
    assert container.list_layers("proteins") == ["X", "twice"]
    save_hdf5(container, tmp_path / "a.h5")
    assert load_hdf5(tmp_path / "a.h5") == container


# ---------------------------------------------------------------- what AnnData has no place for


def worked_on() -> ScpContainer:
    X = np.arange(6.0).reshape(3, 2)
    known = MatrixMetadata(
        confidence_scores=X / 10, outlier_scores=sp.csr_matrix(X), creation_info={"by": ("DIA-NN", 1.9), "n": {1: None}}
    )
    var = pl.DataFrame({"_index": ["P1", "P2"]})
    layers = {
        "X": ScpMatrix(X, metadata=known),
        "log": ScpMatrix(np.log2(X + 1), metadata=MatrixMetadata(creation_info={})),
    }
    container = ScpContainer(pl.DataFrame({"_index": list("abc")}), {"p": Assay(var, layers)})
    container.log_operation("log2", {"base": 2, "shape": (3, 2), "at": date(2024, 1, 2)}, "in words", "1.0")
    return container


@pytest.mark.parametrize("by_file", [False, True])
def test_history_and_metadata_come_back(tmp_path: Path, by_file: bool) -> None:
    container = worked_on()
    if by_file:
        write_h5ad(container, tmp_path / "a.h5ad", "p", "X", layers="all")
        back = read_h5ad(tmp_path / "a.h5ad", "p")
    else:
        back = from_anndata(to_anndata(container, "p", "X", layers="all"), "p")
    assert back == container
    assert "scptensor" not in back.extras.uns


def test_links_travel_until_their_assays_are_there(tmp_path: Path) -> None:
    container = worked_on()
    container.add_assay("precursors", Assay(pl.DataFrame({"_index": ["x", "y"]}), {"X": ScpMatrix(np.ones((3, 2)))}))
    pairs = pl.DataFrame({"source_id": ["x", "y"], "target_id": ["P1", "P2"], "weight": [0.5, 1.5]})
    container.links.append(AggregationLink("precursors", "p", pairs))
    for _ in range(2):
        write_h5ad(container, tmp_path / "a.h5ad", "p", "X", overwrite=True)
        container = read_h5ad(tmp_path / "a.h5ad", "p")
        assert container.links == []
        save_hdf5(container, tmp_path / "a.h5", overwrite=True)
        container = load_hdf5(tmp_path / "a.h5")
    stored = to_anndata(container, "p").uns["scptensor"]["links"]["0"]
    assert (stored["source_assay"], stored["target_assay"]) == ("precursors", "p")
    assert stored["linkage"].to_dict("list") == pairs.to_dict(as_series=False)


def test_arrays_about_other_cells_are_left_out() -> None:
    for change in (lambda a: a[1:].copy(), lambda a: a[[1, 0, 2]].copy(), lambda a: a[:, [1, 0]].copy()):
        adata = change(to_anndata(worked_on(), "p", "X", layers="all"))
        with pytest.warns(UserWarning, match="is of other samples or features: it is left out"):
            known = from_anndata(adata, "p").assays["p"].layers["X"].metadata
        assert known.confidence_scores is None
        assert known.creation_info == worked_on().assays["p"].layers["X"].metadata.creation_info
    adata.uns["scptensor"]["history"] = np.array(["not JSON"], object)
    with pytest.raises(ValidationError, match="uns/scptensor is not what it should be"):
        from_anndata(adata, "p")


def test_what_cannot_be_stored_is_told_when_it_is_logged() -> None:
    container = worked_on()
    for wrong in (np.log2, lambda x: x, pl.DataFrame()):
        with pytest.raises(ValidationError, match="params of 'f' cannot be stored"):
            container.log_operation("f", {"fn": wrong})
    assert len(container.history) == 1


def test_record_arrays_are_equal_after_a_file(tmp_path: Path) -> None:
    """As `scanpy.tl.rank_genes_groups` leaves them."""
    adata = some()
    adata.uns["ranked"] = {"names": np.rec.array([("p1", 2.5), ("p2", 1.5)], dtype=[("lo", "O"), ("hi", "f4")])}
    container = from_anndata(adata)
    save_hdf5(container, tmp_path / "a.h5")
    assert load_hdf5(tmp_path / "a.h5") == container


def test_mudata_is_told_apart() -> None:
    class MuData:
        mod: ClassVar[dict[str, Any]] = {"rna": None, "prot": None}
        obsmap: ClassVar[dict[str, Any]] = {}

    with pytest.raises(ValidationError, match=r"this is a MuData object: take one of its modalities \(rna, prot\)"):
        from_anndata(MuData())


@pytest.mark.parametrize("mode", ["r", pytest.param("r+", marks=needs_backed_sparse)])
def test_a_list_of_rows_of_a_backed_file_is_one_request(tmp_path: Path, mode: Any) -> None:
    """However the file is open: by our own reader, or, where it may be changed, by anndata."""
    rng = np.random.default_rng(3)
    values = sp.random(20_000, 2000, 0.001, "csr", dtype=np.float32, random_state=4)
    anndata.AnnData(values).write_h5ad(tmp_path / "a.h5ad")
    adata = anndata.read_h5ad(tmp_path / "a.h5ad", backed=mode)
    layer = from_anndata(adata).assays["proteins"].layers["X"].X
    calls: list[Any] = []
    plain, listed = layer.reader.read, layer.read_rows
    layer.reader.read = lambda start, stop: calls.append((start, stop)) or plain(start, stop)
    layer.read_rows = lambda index: calls.append(len(index)) or listed(index)
    rows = rng.permutation(20_000)[:64]
    assert (layer[rows, 3:9] != values[rows, 3:9]).nnz == 0
    assert calls == [64]
    calls.clear()
    assert (layer[100:103] != values[100:103]).nnz == 0
    assert calls == [(100, 103)]
    assert (layer[[15_000, 1, 15_000]] != values[[15_000, 1, 15_000]]).nnz == 0
    adata.file.close()


@pytest.mark.parametrize("sparse", [False, True])
def test_a_layer_of_whole_numbers_is_looked_through_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sparse: bool
) -> None:
    """Of a file: to check its places and to see whether all numbers fit, before it is streamed."""
    counts = np.random.default_rng(0).poisson(0.5, (40, 7)).astype(np.int32)
    adata = anndata.AnnData(sp.csr_matrix(counts) if sparse else counts)
    from_anndata(adata, "p").save(tmp_path / "a.h5")
    looks = []
    monkeypatch.setattr(anndata_layers, "blocks", lambda values: looks.append(values.shape) or sources.blocks(values))
    write_h5ad(load_hdf5(tmp_path / "a.h5", lazy=True), tmp_path / "b.h5ad", "p")
    assert looks == [(40, 7)]
    X = anndata.read_h5ad(tmp_path / "b.h5ad").X
    assert X.dtype == np.int32
    np.testing.assert_array_equal(X.toarray() if sparse else X, counts)
