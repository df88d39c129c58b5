"""Every kind of element in `uns`, written and read by us and by anndata; what has no encoding is refused by name."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

anndata = pytest.importorskip("anndata")
from anndata.tests.helpers import assert_equal  # noqa: E402

try:  # their place before anndata 0.11
    from anndata.io import sparse_dataset
    from anndata.io import write_elem as write_element
except ImportError:
    from anndata.experimental import sparse_dataset
    from anndata.experimental import write_elem as write_element

from h5burst import CorruptFileError, UnsupportedValueError  # noqa: E402
from h5burst.anndata import encodings, read_h5ad, write_h5ad  # noqa: E402
from support.anndata_releases import IS_BEFORE_0_11, IS_BEFORE_0_12  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


def with_raw() -> Any:
    adata = anndata.AnnData(np.eye(2), varm={"m": np.ones((2, 1))})
    adata.raw = adata.copy()
    return adata


RECORDS = np.array([("ü", 1, 2.5), ("", -1, 0.5)], dtype=[("name", "O"), ("n", "i4"), ("x", "f8")])
NULLABLE_TEXT = np.array(["a"], object) if IS_BEFORE_0_11 else pd.array(["a", None], dtype="string")
KEPT: dict[str, Any] = {
    "none": None, "true": True, "numpy bool": np.bool_(False), "int": 3, "large": 2**63, "float": 1.5,
    "float32": np.float32(2), "complex64": np.complex64(1 + 2j), "text": "ü", "no text": "", "numpy text": np.str_("x"),
    "number in an array": np.array(3), "text in an array": np.array("x"), "float16": np.array([1], np.float16),
    "complex": np.array([1 + 2j]), "big-endian": np.arange(3, dtype=">i4"), "booleans": np.array([True, False]),
    "bytes": np.array([b"ab", b"c"]), "empty": np.zeros((0, 3)), "no texts": np.array([], "U1"), "list": [1, 2],
    "texts": ["a", "ü"], "empty list": [], "fixed texts": np.array([["ab", "c"]]),
    "numpy strings": np.array(["a", "b"], dtype=np.dtypes.StringDType()) if not IS_BEFORE_0_12 else "x",
    "objects": np.array(["a", "bb"], dtype=object), "nested": {"a": {"b": {}, "c": 1}}, "records": RECORDS,
    "record array": RECORDS.view(np.recarray), "fixed records": np.array([(b"ab", 2)], [("s", "S3"), ("n", "i4")]),
    "unicode records": np.array([("ab", 2)], [("s", "U3"), ("n", "i4")]),
    "csr": sp.random(5, 4, 0.5, "csr", random_state=1), "csc": sp.random(5, 4, 0.5, "csc", random_state=1),
    "csr array": (sp.csr_matrix if IS_BEFORE_0_11 else sp.csr_array)(np.eye(3)),
    "explicit zeros": sp.csr_matrix(([0.0, 1], [1, 0], [0, 1, 2]), (2, 2)),
    "nullable integers": pd.array([1, None], dtype="Int8"), "unsigned": pd.array([1, None], dtype="UInt64"),
    "nullable booleans": pd.array([True, None], dtype="boolean"), "strings": NULLABLE_TEXT,
    "ordered": pd.Categorical(["a", None, "b"], categories=["b", "a", "c"], ordered=True),
    "categories of numbers": pd.Categorical([2.5, 1.5]), "of integers": pd.Categorical([3, 1, None]),
    "of booleans": pd.Categorical([True, False]), "no categories": pd.Categorical([]),
    "object in an object": anndata.AnnData(np.eye(2)), "raw of an object": with_raw().raw,
    "frame": pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": pd.Categorical(["u", None])}, index=["r", "s"]),
    "numbered frame": pd.DataFrame({"a": [1.5]}, index=[7]), "frame of an index": pd.DataFrame(index=["a"]),
    "empty frame": pd.DataFrame({"a": np.zeros(0)}), "slash in a column": pd.DataFrame({"a/b": [2], "a/c": ["x"]}),
    "index that is a column": pd.DataFrame({"x": ["r"]}, index=pd.Index(["r"], name="x")),
    "named index": pd.DataFrame({"a": [1]}, index=pd.Index(["r"], name="id")),
    "categorical index": pd.DataFrame({"a": [1, 2]}, index=pd.CategoricalIndex(["r", "s"])),
}  # fmt: skip


def with_settings(**wanted: Any) -> AbstractContextManager[Any]:
    """Those of the settings that this release of anndata has."""
    settings = getattr(anndata, "settings", None)
    known = {name: value for name, value in wanted.items() if hasattr(settings, name)}
    return settings.override(**known) if settings is not None and known else nullcontext()


def with_uns(value: Any) -> Any:
    adata = anndata.AnnData(np.eye(2, dtype=np.float32))
    adata.uns["there"] = value
    return adata


@pytest.mark.parametrize("name", KEPT)
def test_an_element_comes_back_as_anndata_gives_it(name: str, tmp_path: Path) -> None:
    adata = with_uns(KEPT[name])
    with with_settings(allow_write_nullable_strings=True, disallow_forward_slash_in_h5ad=False):
        adata.write_h5ad(tmp_path / "theirs.h5ad")
    write_h5ad(adata, tmp_path / "ours.h5ad", compression="gzip")
    expected = anndata.read_h5ad(tmp_path / "theirs.h5ad").uns
    for read, file in ((read_h5ad, "theirs"), (anndata.read_h5ad, "ours"), (read_h5ad, "ours")):
        found = read(tmp_path / f"{file}.h5ad").uns
        assert list(found) == list(expected)  # anndata 0.11 leaves None out
        for key in expected:
            assert type(found[key]) is type(expected[key])
            assert_equal(found[key], expected[key], exact=True)


def test_beside_anndata_0_11_files_are_those_that_it_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot read a file with None in it, leaves None out, and gives numbers as numpy's."""
    monkeypatch.setattr(encodings, "LEAVES_NONE_OUT", True)
    monkeypatch.setattr(encodings, "GIVES_NUMPY_SCALARS", True)
    write_h5ad(with_uns({"none": None, "below": {"none": None, "number": np.float32(2)}}), tmp_path / "ours.h5ad")
    found = read_h5ad(tmp_path / "ours.h5ad").uns["there"]
    assert found == {"below": {"number": 2}}
    assert type(found["below"]["number"]) is np.float32


@pytest.mark.parametrize(
    ("version", "is_older"), [("0.9.2", True), ("0.11.4", True), ("0.12.0rc1", False), ("1.1", False)]
)
def test_which_anndata_leaves_none_out(version: str, is_older: bool) -> None:
    assert encodings.is_before_0_12(version) is is_older


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


def sparse_objects() -> Any:
    matrix = sp.csr_matrix(np.eye(2))
    matrix.data = matrix.data.astype(object)
    return matrix


REFUSED: dict[str, tuple[Any, str]] = {
    "tuple": ((1, 2), "make it a list"),
    "series": (pd.Series([1]), "to_frame"),
    "date": (pd.Timestamp("2020-01-01"), "Timestamp"),
    "dates": (np.array(["2020-01-01"], "M8[s]"), "dates and times have no encoding: convert them to text"),
    "durations": (np.array([1], "m8[s]"), "durations"),
    "column of dates": (frame(when=pd.date_range("2020", periods=2)), r"dates.*uns/there/when"),
    "column of periods": (frame(when=pd.period_range("2020", periods=2)), r"uns/there/when"),
    "column of durations": (frame(took=pd.to_timedelta([1, 2])), r"durations.*uns/there/took"),
    "sparse objects": (sparse_objects(), "a sparse matrix of object"),
    "column of intervals": (frame(bins=pd.arrays.IntervalArray.from_breaks([0, 1, 2])), r"uns/there/bins"),
    "categories of dates": (pd.Categorical(pd.date_range("2020", periods=2)), "there/categories"),
    "index of dates": (pd.DataFrame({"a": [1]}, index=pd.date_range("2020", periods=1)), "there/_index"),
    "sparse column": (frame(a=pd.arrays.SparseArray([1, 0])), "SparseArray"),
    "nullable floats": (frame(a=pd.array([1.0, None], dtype="Float64")), "float64, where a missing value is NaN"),
    "mixed column": (frame(a=[1, "x"]), "objects of type int, not text"),
    "missing text": (
        frame(a=np.array(["x", None, "y"], object)).astype(object),
        "for missing values make it a categorical",
    ),
    "mixed list": ([1, "a"], "list of text and other values"),
    "ragged list": ([[1], [2, 3]], "make it a dict"),
    "list of objects": ([None, 1], "list of NoneType, int"),
    "objects": (np.array([1, None]), "not text"),
    "masked": (np.ma.array([1, 2], mask=[0, 1]), "masked array"),
    "coordinates": (sp.coo_matrix(np.eye(2)), r"\.tocsr\(\)"),
    "huge": (2**70, "does not fit 64 bits"),
    "bytes": (b"abc", "type bytes"),
    "object": (object(), "type object"),
    "number as a key": ({1: 2}, "not text, but int"),
    "slash in a key": ({"a/b": 1}, "slash"),
    "empty key": ({"": 1}, "cannot be the name"),
    "dot": ({".": 1}, "cannot be the name"),
    "number as a column": (pd.DataFrame({1: [1]}), "not text, but int"),
    "twice": (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than once"),
    "reserved": (frame(_index=[1]), "reserved"),
    "column in a column": (pd.DataFrame({"a": [1], "a/b": [2]}), "below another"),
    "column over a column": (pd.DataFrame({"a/b": [1], "a": [2]}), "above another"),
    "index of another column": (pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="a")), "rename one of them"),
    "field of dates": (np.array([(0,)], [("t", "M8[s]")]), "field 't'"),
    "deep": ({"x": {"y": {"z": (1,)}}}, "uns/there/x/y/z"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_encoding_is_refused_by_name(name: str, tmp_path: Path) -> None:
    value, message = REFUSED[name]
    target = tmp_path / "file.h5ad"
    target.write_bytes(b"what was there")
    with pytest.raises(UnsupportedValueError, match=message) as caught:
        write_h5ad(with_uns(value), target)
    assert "uns/there" in str(caught.value)
    assert target.read_bytes() == b"what was there"


def test_awkward_arrays_in_both_directions(tmp_path: Path) -> None:
    awkward = pytest.importorskip("awkward")
    value = awkward.Array([{"a": [1, 2.5], "b": "ü"}, {"a": [], "b": None}])
    adata = with_uns(value)
    adata.obsm["chains"] = awkward.Array([[{"v": 1}], [{"v": 2}, {"v": 3}]])
    adata.write_h5ad(tmp_path / "theirs.h5ad")
    write_h5ad(adata, tmp_path / "ours.h5ad", compression="gzip")
    expected = anndata.read_h5ad(tmp_path / "theirs.h5ad")
    for read, name in ((read_h5ad, "theirs"), (anndata.read_h5ad, "ours"), (read_h5ad, "ours")):
        found = read(tmp_path / f"{name}.h5ad")
        assert_equal(found, expected, exact=True)
        assert awkward.to_list(found.uns["there"]) == awkward.to_list(value)
    write_h5ad(adata[1:].copy(), tmp_path / "part.h5ad")
    assert awkward.to_list(anndata.read_h5ad(tmp_path / "part.h5ad").obsm["chains"]) == [[{"v": 2}, {"v": 3}]]


def test_a_damaged_awkward_array_is_named(tmp_path: Path) -> None:
    awkward = pytest.importorskip("awkward")
    write_h5ad(with_uns(awkward.Array([[1, 2], [3]])), tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        offsets = next(name for name in file["uns/there"] if "offsets" in name)
        file[f"uns/there/{offsets}"][:] = [0, 2, 99]
    with pytest.raises(CorruptFileError, match=r"/uns/there: .*awkward"):
        read_h5ad(tmp_path / "a.h5ad")


def test_dask_arrays_are_computed_as_they_are_written(tmp_path: Path) -> None:
    da = pytest.importorskip("dask.array")
    values = np.random.default_rng(0).normal(size=(1000, 30))
    adata = anndata.AnnData(da.from_array(values, chunks=(130, 7)))
    adata.layers["sparse"] = da.from_array(values, chunks=(100, 30)).map_blocks(sp.csr_matrix)
    adata.uns["texts"], adata.uns["one"] = da.from_array(np.array(["a", "bb"]), chunks=1), da.from_array(np.array(3.5))
    write_h5ad(adata, tmp_path / "file.h5ad", compression="gzip", as_dense="X")
    found = anndata.read_h5ad(tmp_path / "file.h5ad")
    assert np.array_equal(found.X, values)
    assert np.array_equal(found.layers["sparse"].toarray(), values)
    assert (found.uns["texts"].tolist(), found.uns["one"]) == (["a", "bb"], 3.5)
    adata.X = adata.layers["sparse"]
    write_h5ad(adata, tmp_path / "file.h5ad", as_dense="X")
    found = anndata.read_h5ad(tmp_path / "file.h5ad")
    assert isinstance(found.X, np.ndarray)
    assert np.array_equal(found.X, values)


def test_what_h5py_has_open_is_written_from_its_file(tmp_path: Path) -> None:
    values = np.arange(9.0).reshape(3, 3)
    with h5py.File(tmp_path / "source.h5", "w") as file:
        write_element(file, "sparse", sp.csc_matrix(values))
        file["below/dense"] = values
    with h5py.File(tmp_path / "source.h5") as file:
        adata = anndata.AnnData(np.eye(3))
        adata.layers["sparse"], adata.uns["dense"] = sparse_dataset(file["sparse"]), file["below/dense"]
        write_h5ad(adata, tmp_path / "file.h5ad")
    found = anndata.read_h5ad(tmp_path / "file.h5ad")
    assert found.layers["sparse"].format == "csc"
    assert np.array_equal(found.layers["sparse"].toarray(), values)
    assert np.array_equal(found.uns["dense"], values)
    with h5py.File(tmp_path / "memory.h5", "w", driver="core", backing_store=False) as file:
        adata = with_uns(file.create_dataset("x", data=values))
        with pytest.raises(OSError, match=r"memory\.h5"):
            write_h5ad(adata, tmp_path / "file.h5ad")
        write_h5ad(anndata.AnnData(np.eye(3)), tmp_path / "memory.h5")
        with pytest.raises(UnsupportedValueError, match="which is not in that file"):
            write_h5ad(adata, tmp_path / "file.h5ad")


@pytest.mark.parametrize("part", ["layers", "obsm", "obsp", "varm", "varp", "obs", "raw"])
def test_the_part_is_named(part: str, tmp_path: Path) -> None:
    adata = anndata.AnnData(np.eye(2))
    if part == "obs":
        adata.obs["x"] = pd.date_range("2020", periods=2)
    elif part == "raw":
        adata.raw = anndata.AnnData(np.eye(2), varm={"x": np.zeros((2, 2), "M8[s]")})
    else:
        getattr(adata, part)["x"] = np.zeros((2, 2), "M8[s]")
    where = {"raw": "raw/varm/x"}.get(part, f"{part}/x")
    with pytest.raises(UnsupportedValueError, match=where):
        write_h5ad(adata, tmp_path / "file.h5ad")
