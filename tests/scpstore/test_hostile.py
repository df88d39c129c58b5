"""Malformed files: refused as `IOFormatError` before memory is asked for or compiled code sees them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from scpstore import Assay, MatrixMetadata, ProvenanceLog, ScpContainer, ScpMatrix, load_hdf5, save_hdf5
from scpstore.core import ValidationError
from scpstore.io import IOFormatError, IOWriteError

ROWS, COLUMNS = 5, 4
LAYER = "assays/a/layers/X"


def a_container(matrix: Any) -> ScpContainer:
    rows = matrix.shape[0]
    kinds = pl.Series(["x"] * rows, dtype=pl.Categorical)  # of a dtype that is stored as text
    obs = pl.DataFrame({"_index": [f"s{n}" for n in range(rows)], "kind": kinds})
    var = pl.DataFrame({"_index": [f"p{n}" for n in range(matrix.shape[1])]})
    layer = ScpMatrix(matrix, None, MatrixMetadata(confidence_scores=sp.csr_matrix(matrix)))
    container = ScpContainer(obs, {"a": Assay(var, {"X": layer})})
    container.history.append(ProvenanceLog("2024", "made", {"a": (1,)}))
    return container


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_hdf5(a_container(sp.csr_matrix(np.eye(ROWS, COLUMNS))), tmp_path / "a.h5")
    return tmp_path / "a.h5"


def replaced(file: Any, name: str, values: Any) -> None:
    del file[name]
    file[name] = values


ARRAYS: dict[str, tuple[str, Any]] = {
    "unsigned pointers that wrap": ("X_indptr", np.array([0, 4_000_000_000, 5, 3, 4, 4], np.uint32)),
    "unsigned 64-bit pointers": ("X_indptr", np.array([0, 2**64 - 1, 2, 3, 4, 4], np.uint64)),
    "pointers that fall": ("X_indptr", np.array([0, 3, 2, 3, 4, 4], np.int32)),
    "pointers that do not begin at 0": ("X_indptr", np.array([1, 1, 2, 3, 4, 4], np.int32)),
    "pointers that are NaN": ("X_indptr", np.array([0, np.nan, 2, 3, 4, 4])),
    "pointers of floats": ("X_indptr", np.array([0.0, 1, 2, 3, 4, 4])),
    "complex pointers": ("X_indptr", np.array([0, 1, 2, 3, 4, 4], complex)),
    "pointers of two axes": ("X_indptr", np.zeros((6, 1), np.int32)),
    "no pointers": ("X_indptr", np.zeros(0, np.int32)),
    "boolean pointers": ("X_indptr", np.zeros(6, bool)),
    "columns out of range": ("X_indices", np.array([0, 1, 2, 4], np.int32)),
    "columns below 0": ("X_indices", np.array([0, 1, 2, -1], np.int32)),
    "columns of floats": ("X_indices", np.array([0.0, 1, 2, 3])),
    "columns that are complex": ("X_indices", np.array([0, 1, 2, 3], complex)),
    "columns beyond 2**63": ("X_indices", np.array([0, 1, 2, 2**64 - 1], np.uint64)),
    "values of two axes": ("X_data", np.ones((4, 1))),
    "complex values": ("X_data", np.array([1j, 2, 3, 4])),
}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "lil", "dok", "dia"])
@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_are_not_a_matrix(path: Path, case: str, form: str, lazy: bool) -> None:
    with h5py.File(path, "r+") as file:
        name, values = ARRAYS[case]
        replaced(file, f"{LAYER}/{name}", values)
        file[LAYER].attrs["X_original_format"] = form
        if form == "bsr":
            file[LAYER].attrs["X_block_shape"] = [1, 1]
    with pytest.raises(IOFormatError, match=r"assays/a/layers/X.*a\.h5|assays/a/layers/X"):
        load_hdf5(path, lazy=lazy).assays["a"].layers["X"].X[:]


ATTRIBUTES: dict[str, tuple[str, Any]] = {
    "more columns than features": ("X_shape", [ROWS, 10**9]),
    "more rows than samples": ("X_shape", [10**9, COLUMNS]),
    "an infinite shape": ("X_shape", [np.inf, 4.0]),
    "a shape that is NaN": ("X_shape", [np.nan, 4.0]),
    "a shape of halves": ("X_shape", [5.5, 4.0]),
    "a negative shape": ("X_shape", [-5, 4]),
    "a huge shape": ("X_shape", np.array([2**63, 4], np.uint64)),
    "a scalar shape": ("X_shape", 5),
    "a shape of text": ("X_shape", "5x4"),
    "a shape of no numbers": ("X_shape", np.zeros(0, np.int64)),
    "a long shape": ("X_shape", np.zeros(10_000, np.int64)),
    "a format that is an array": ("X_format", np.array([1, 2])),
    "an original format that is an array": ("X_original_format", np.array([1, 2])),
    "an entry order that is an array": ("X_entry_order", np.zeros(0)),
    "a class that is a number": ("X_original_class", 3),
    "blocks as a scalar": ("X_block_shape", 3),
    "blocks of 0": ("X_block_shape", [0, 0]),
    "blocks of text": ("X_block_shape", "2"),
}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("case", ATTRIBUTES)
def test_attributes_that_are_not_what_they_should_be(path: Path, case: str, lazy: bool) -> None:
    with h5py.File(path, "r+") as file:
        name, value = ATTRIBUTES[case]
        file[LAYER].attrs["X_original_format"] = "bsr" if "block" in name else "csc"
        file[LAYER].attrs[name] = value
    with pytest.raises(IOFormatError, match="assays/a/layers/X"):
        load_hdf5(path, lazy=lazy).assays["a"].layers["X"].X[:]


def edit_root(attribute: str, value: Any) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        file.attrs[attribute] = value

    return edit


def edit_dataset(name: str, values: Any) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        replaced(file, name, values)

    return edit


def edit_dtype(text: Any) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        marked: list[str] = []
        file.visititems(lambda name, item: marked.append(name) if "polars_dtype" in item.attrs else None)
        assert marked
        for name in marked:
            file[name].attrs["polars_dtype"] = text

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        edit_root("format_version", np.array([1, 2])),
        edit_root("sample_id_col", np.array([1, 2])),
        edit_dataset("scptensor/assay_order", 3),
        edit_dataset("scptensor/assay_order", np.zeros(0)),
        edit_dataset("scptensor/assays/a/layer_order", 1.5),
        edit_dataset("scptensor/obs/columns", np.zeros((2, 2))),
        edit_dataset("scptensor/provenance/history/params", np.array([b"[0, "], dtype="S4")),
        edit_dataset("scptensor/provenance/history/params", ["[" * 100_000]),
        edit_dataset("provenance/history/params", ["[" * 100_000]),
        edit_dataset("provenance/history/params", 3),
        edit_dtype("[" * 100_000),
        edit_dtype('{"List":' * 100_000),
        edit_dtype('{"List":' * 500 + '"Int8"' + "}" * 500),
        edit_dtype(7),
        edit_dataset("provenance/history/action", 3),
    ],
)
@pytest.mark.filterwarnings("default:obs/kind no longer fits:UserWarning")
def test_marks_that_are_something_else_end_in_an_error_of_the_format_or_are_left_aside(path: Path, edit: Any) -> None:
    with h5py.File(path, "r+") as file:
        edit(file)
    try:
        loaded = load_hdf5(path)
    except IOFormatError:
        return
    assert loaded.assays["a"].layers["X"].X.toarray().tolist() == np.eye(ROWS, COLUMNS).tolist()


@pytest.mark.parametrize("form", ["csc", "lil", "bsr", "dia"])
def test_metadata_of_any_shape_take_no_more_memory_than_the_file_justifies(path: Path, form: str) -> None:
    """Of the shape of metadata nothing else in the file tells."""
    where = f"scptensor/{LAYER}/metadata"
    with h5py.File(path, "r+") as file:
        rows = 2_000_000 if form == "lil" else ROWS
        replaced(file, f"{where}/confidence_scores_indptr", np.minimum(np.arange(rows + 1), 4).astype(np.int32))
        file[where].attrs["confidence_scores_shape"] = [rows, 10**9]
        file[where].attrs["confidence_scores_original_format"] = form
        file[where].attrs["confidence_scores_block_shape"] = [1, 10**9]
    tracemalloc.start()
    with pytest.raises(IOFormatError, match=r"metadata/confidence_scores_\*"):
        load_hdf5(path)
    assert tracemalloc.get_traced_memory()[1] < 300 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("lazy", [False, True])
def test_complex_values_are_not_cut_to_their_real_part(path: Path, lazy: bool) -> None:
    with h5py.File(path, "r+") as file:
        for name in ("X_data", "X_indices", "X_indptr"):
            del file[LAYER][name]
        file[LAYER]["X"] = np.full((ROWS, COLUMNS), 1 + 2j)
    with pytest.raises(IOFormatError, match=r"assays/a/layers/X.* holds complex numbers"):
        load_hdf5(path, lazy=lazy)


# ---------------------------------------------------------------- what loading refuses is refused when it is saved


def broken(name: str, values: Any, form: str = "csr") -> Any:
    matrix = sp.csr_matrix(np.eye(ROWS, COLUMNS)).asformat(form)
    setattr(matrix, name, values)
    return matrix


@pytest.mark.parametrize(
    "matrix",
    [
        broken("indptr", np.array([1, 1, 2, 3, 4, 4], np.int32)),
        broken("indptr", np.array([0, 3, 2, 3, 4, 4], np.int32)),
        broken("indptr", np.array([0, 1, 2, 3, 9, 9], np.int32)),
        broken("indices", np.array([0, 1, 2, 9], np.int32)),
        broken("indices", np.array([0, 1, 2, -1], np.int32)),
        broken("indices", np.array([0, 1, 2, 9], np.int32), "csc"),
        broken("indptr", np.array([0, 3, 2, 3, 4], np.int32), "csc"),
    ],
)
def test_a_broken_sparse_matrix_is_not_saved(tmp_path: Path, matrix: Any) -> None:
    container = a_container(sp.csr_matrix(np.eye(ROWS, COLUMNS)))
    container.assays["a"].layers["X"].X = matrix
    with pytest.raises(IOWriteError, match=r"assays/a/layers/X/X is not a cs[rc] matrix of shape \(5, 4\)"):
        save_hdf5(container, tmp_path / "b.h5")
    assert not (tmp_path / "b.h5").exists()


def test_coordinates_out_of_range_are_not_saved(tmp_path: Path) -> None:
    matrix = sp.coo_matrix((np.ones(1), ([0], [0])), shape=(ROWS, COLUMNS))
    matrix.row[0] = 99
    container = a_container(sp.csr_matrix(np.eye(ROWS, COLUMNS)))
    container.assays["a"].layers["X"].X = matrix
    with pytest.raises(IOWriteError, match="row numbers must be in"):
        save_hdf5(container, tmp_path / "b.h5")


def test_values_that_would_lose_a_part_are_refused() -> None:
    with pytest.raises(ValidationError, match="complex"):
        ScpMatrix(np.ones((2, 2), complex))
    with pytest.raises(ValidationError, match="masked array"):
        ScpMatrix(np.ma.masked_array(np.ones((2, 2)), mask=np.eye(2)))
