"""What is loaded equals what was saved: to the bit, to the dtype, to the order."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import scp_strategies as scp
from hypothesis import given, settings
from hypothesis import strategies as st

from scpstore import Assay, ScpContainer, ScpMatrix, assert_identical, load_hdf5, save_hdf5
from scpstore.core.equality import frame_difference
from scpstore.io.csr import set_places


def examples(count: int) -> Any:
    """That many in the default profile, more in a thorough one."""
    usual = settings.default.max_examples
    return settings(max_examples=usual if usual > 100 else count)


def saved_and_loaded(container: Any, **options: Any) -> ScpContainer:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "container.h5"
        save_hdf5(container, path, **options)
        return load_hdf5(path)


def frame_back(frame: pl.DataFrame) -> pl.DataFrame:
    ids = pl.Series("the id", range(frame.height), dtype=pl.Int64)
    container = ScpContainer(frame.with_columns(ids), sample_id_col="the id")
    return saved_and_loaded(container).obs.drop("the id")


@examples(25)
@given(scp.containers())
def test_containers_come_back_equal(container: ScpContainer) -> None:
    loaded = saved_and_loaded(container)
    assert_identical(container, loaded)
    assert loaded == container


@examples(60)
@given(st.integers(0, scp.ROWS).flatmap(scp.frames))
def test_frames_of_every_dtype_come_back_equal(frame: pl.DataFrame) -> None:
    assert frame_difference(frame_back(frame), frame, "") is None


@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize("dtype", [*scp.INTEGER_DTYPES, *scp.FLOAT_DTYPES], ids=str)
def test_numbers_keep_width_and_extremes(dtype: Any, nulls: bool) -> None:
    low, high = pl.select(dtype.min()).item(), pl.select(dtype.max()).item()
    column = pl.Series("n", [low, high, 0, *([None] if nulls else [])], dtype=dtype)
    assert frame_difference(frame_back(pl.DataFrame({"n": column})), pl.DataFrame({"n": column}), "") is None


def test_null_and_nan_are_told_apart() -> None:
    column = pl.Series("f", [1.0, None, float("nan"), None])
    assert frame_back(pl.DataFrame(column))["f"].to_list()[1] is None
    assert np.isnan(frame_back(pl.DataFrame(column))["f"].to_list()[2])


def test_null_and_empty_text_are_told_apart() -> None:
    column = pl.Series("t", ["", None, "x", "a\0b", "100%"])
    assert frame_back(pl.DataFrame(column))["t"].to_list() == ["", None, "x", "a\0b", "100%"]


def test_a_null_and_the_number_that_stands_for_it_are_told_apart() -> None:
    column = pl.Series("n", [-(2**63), None, 2**63 - 1, 5])
    assert frame_back(pl.DataFrame(column))["n"].to_list() == column.to_list()


@pytest.mark.skipif(not hasattr(pl, "Map"), reason="this polars has no Map")
def test_maps_come_back() -> None:
    column = pl.Series("m", [{"a": 1, "b": None}, None, {}], dtype=pl.Map(pl.String, pl.Int16))
    back = frame_back(pl.DataFrame(column))["m"]
    assert back.dtype == column.dtype
    assert back.to_list() == column.to_list()


@pytest.mark.skipif(not hasattr(pl, "Extension"), reason="this polars has no extension dtypes")
@pytest.mark.filterwarnings("ignore:Extension type:UserWarning")
def test_extension_dtypes_come_back() -> None:
    column = pl.Series("x", [1, None, 3]).ext.to(pl.Extension("lab.barcode", pl.Int64, "v1"))
    back = frame_back(pl.DataFrame(column))["x"]
    assert back.dtype == column.dtype
    assert back.ext.storage().to_list() == [1, None, 3]


def test_enum_with_more_categories_than_an_attribute_holds() -> None:
    categories = [f"P{number:05}" for number in range(20_000)]
    column = pl.Series("e", ["P00007", None, "P19999"], dtype=pl.Enum(categories))
    back = frame_back(pl.DataFrame(column))["e"]
    assert back.dtype == column.dtype
    assert back.to_list() == column.to_list()


def test_thousands_of_columns_keep_their_order() -> None:
    names = [f"c{number}" for number in range(3000)]
    np.random.default_rng(0).shuffle(names)
    frame = pl.DataFrame({name: [index, None] for index, name in enumerate(names)})
    assert frame_difference(frame_back(frame), frame, "") is None


def test_frames_without_rows_keep_their_dtypes() -> None:
    schema = {"i": pl.Int8, "t": pl.String, "l": pl.List(pl.Date), "e": pl.Enum(["a"]), "n": pl.Null, "b": pl.Binary}
    frame = pl.DataFrame(schema=schema)
    assert frame_back(frame).schema == frame.schema


@examples(40)
@given(st.tuples(st.integers(0, 6), st.integers(0, 6)).flatmap(scp.matrices))
def test_matrices_come_back_equal(matrix: ScpMatrix) -> None:
    rows, columns = matrix.shape
    container = ScpContainer(
        pl.DataFrame({"_index": range(rows)}, schema={"_index": pl.Int64}),
        {"a": Assay(pl.DataFrame({"_index": range(columns)}, schema={"_index": pl.Int64}), {"X": matrix})},
    )
    assert_identical(container, saved_and_loaded(container))


def a_container(matrix: ScpMatrix) -> ScpContainer:
    obs = pl.DataFrame({"_index": [f"s{n}" for n in range(matrix.shape[0])]})
    var = pl.DataFrame({"_index": [f"p{n}" for n in range(matrix.shape[1])]})
    return ScpContainer(obs, {"proteins": Assay(var, {"X": matrix})})


COMPRESSIONS = [("gzip", 0), ("gzip", 4), ("gzip", 9), ("lzf", 4), ("blosc", 5), ("zstd", 3), (None, 4)]


@pytest.mark.parametrize(("compression", "level"), COMPRESSIONS)
@pytest.mark.parametrize("form", ["dense", "csr_matrix", "csc_array", "coo_matrix"])
def test_every_compression_keeps_every_bit(compression: str | None, level: int, form: str) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 70)) * (rng.random((60, 70)) < 0.4)
    X[3, 4], X[5, 6] = np.nan, -0.0
    M = rng.integers(0, 7, X.shape).astype(np.int8)
    matrix = ScpMatrix(X, M) if form == "dense" else ScpMatrix(getattr(sp, form)(X), sp.csr_matrix(M))
    container = a_container(matrix)
    assert_identical(container, saved_and_loaded(container, compression=compression, compression_level=level))


@pytest.mark.parametrize("fmt", ["csr", "csc", "coo"])
@pytest.mark.parametrize("family", ["matrix", "array"])
def test_entries_keep_order_repeats_and_explicit_zeros(fmt: str, family: str) -> None:
    rows, cols = np.array([2, 0, 0, 2, 1, 0]), np.array([1, 3, 0, 1, 2, 3])
    coo = getattr(sp, f"coo_{family}")((np.array([1.0, 0.0, -0.0, 4.0, 5.0, 6.0]), (rows, cols)), shape=(3, 4))
    matrix = coo if fmt == "coo" else scp._compressed(coo, fmt, family, np.dtype("i4"))
    container = a_container(ScpMatrix(matrix))
    loaded = saved_and_loaded(container).assays["proteins"].X
    assert type(loaded) is type(matrix)
    assert loaded.nnz == 6
    assert_identical(container, saved_and_loaded(container))


@pytest.mark.parametrize(("fmt", "index"), list(itertools.product(["csr", "csc", "coo"], ["i4", "i8"])))
def test_index_dtypes_come_back(fmt: str, index: str) -> None:
    matrix = sp.random(6, 5, 0.4, format=fmt, random_state=2)
    if fmt == "coo":
        set_places(matrix, matrix.row.astype(index), matrix.col.astype(index))
    else:
        matrix.indices, matrix.indptr = matrix.indices.astype(index), matrix.indptr.astype(index)
    loaded = saved_and_loaded(a_container(ScpMatrix(matrix))).assays["proteins"].X
    parts = ("row", "col") if fmt == "coo" else ("indices", "indptr")
    assert [getattr(loaded, part).dtype for part in parts] == [np.dtype(index)] * 2


def test_sparse_half_precision_comes_back() -> None:
    for fmt in ("csr", "csc"):
        values = getattr(sp, f"{fmt}_matrix")(
            (np.array([1.5, 2.5], np.float16), np.array([0, 1]), np.array([0, 1, 2])), shape=(2, 2)
        )
        container = a_container(ScpMatrix(values))
        assert_identical(container, saved_and_loaded(container))


def test_order_of_assays_and_layers_comes_back() -> None:
    var = pl.DataFrame({"_index": ["p"]})
    layer_names = ["z", "a", "Z", "10", "9"]
    layers = {name: ScpMatrix(np.ones((1, 1))) for name in layer_names}
    container = ScpContainer(pl.DataFrame({"_index": ["s"]}), {name: Assay(var, layers) for name in ["q", "b", "a"]})
    loaded = saved_and_loaded(container)
    assert list(loaded.assays) == ["q", "b", "a"]
    assert list(loaded.assays["b"].layers) == layer_names


def test_long_histories_come_back() -> None:
    container = ScpContainer(pl.DataFrame({"_index": ["s"]}))
    for number in range(2000):
        container.log_operation(f"step {number}", {"n": number, "t": (1, 2)}, description="" if number % 2 else None)
    assert_identical(container, saved_and_loaded(container))
