"""Single parts in the groups of an open file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import scp_strategies as scp
from hypothesis import given, settings
from hypothesis import strategies as st

from scpstore import Assay, ScpContainer, ScpMatrix, load_hdf5
from scpstore.core.equality import difference, frame_difference
from scpstore.io import (
    IOFormatError,
    IOWriteError,
    deserialize_dataframe,
    deserialize_provenance,
    serialize_dataframe,
    serialize_dense_matrix,
    serialize_provenance,
    serialize_sparse_matrix,
)
from support.sources import Rows


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Any]:
    with h5py.File(tmp_path / "open.h5", "w") as opened:
        yield opened


@settings(max_examples=30)
@given(st.integers(0, scp.ROWS).flatmap(scp.frames), st.sampled_from(["obs", "a/b", "deep/er/still", "%~odd"]))
def test_frames_come_back(tmp_path_factory: pytest.TempPathFactory, frame: pl.DataFrame, place: str) -> None:
    path = tmp_path_factory.mktemp("frames") / "a.h5"
    with h5py.File(path, "w") as file:
        serialize_dataframe(frame, file.create_group(place))
        assert frame_difference(deserialize_dataframe(file[place]), frame, "") is None
    with h5py.File(path) as file:
        assert frame_difference(deserialize_dataframe(file[place]), frame, "") is None


def test_frames_of_one_file_do_not_mix(file: Any) -> None:
    frames = {name: pl.DataFrame({"b": [None, index], "a": ["", None]}) for index, name in enumerate(["x", "y", "x/y"])}
    for name, frame in frames.items():
        serialize_dataframe(frame, file.require_group(name))
    with pytest.warns(UserWarning, match="x/y is a group, not a column"):
        assert deserialize_dataframe(file["x"]).equals(frames["x"])
    assert deserialize_dataframe(file["y"]).equals(frames["y"])


def test_an_object_column_is_refused(file: Any) -> None:
    with pytest.raises(IOWriteError, match=r"dtype Object.*"):
        serialize_dataframe(pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}), file.create_group("obs"))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", ">f8", "i8"])
def test_dense_matrices_keep_their_dtype(file: Any, dtype: str) -> None:
    X = np.arange(12).reshape(3, 4).astype(dtype)
    serialize_dense_matrix(X, file, "values", compression_level=7)
    assert file["values"].dtype == np.dtype(dtype)
    assert file["values"].compression == "gzip"
    assert file["values"].compression_opts == 7
    np.testing.assert_array_equal(file["values"][()], X)


def test_dense_matrix_without_compression_and_with_a_wrong_one(file: Any) -> None:
    serialize_dense_matrix(np.ones((2, 3)), file, compression=None)
    assert file["X"].compression is None
    with pytest.raises(ValueError, match="compression must be one of"):
        serialize_dense_matrix(np.ones((2, 3)), file, "Y", compression="rar")
    with pytest.raises(IOWriteError, match="is an array of Python objects"):
        serialize_dense_matrix(np.array([[object()]]), file, "Y")
    with pytest.raises(TypeError, match="use serialize_sparse_matrix"):
        serialize_dense_matrix(sp.csr_matrix((2, 3)), file, "Y")


@pytest.mark.parametrize("fmt", scp.SPARSE_FORMATS)
def test_sparse_matrices_are_csr(file: Any, fmt: str) -> None:
    X = sp.random(7, 5, 0.4, format=fmt, random_state=0)
    serialize_sparse_matrix(X, file, "N")
    parts = [file[f"N_{part}"][()] for part in ("data", "indices", "indptr")]
    assert file.attrs["N_format"] == "csr"
    made = sp.csr_matrix(tuple(parts), shape=tuple(file.attrs["N_shape"]))
    np.testing.assert_array_equal(made.toarray(), X.toarray())
    assert file["N_data"].compression == "gzip"


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 1), (3000, 1000)])
@pytest.mark.parametrize("streamed", [False, True])
def test_dense_values_become_csr_as_scipy_does_it(file: Any, shape: tuple[int, int], streamed: bool) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=shape) * (rng.random(shape) < 0.3)
    X[:1, :1] = -0.0
    blocks = Rows(X)
    serialize_sparse_matrix(blocks if streamed else X, file)
    expected = sp.csr_matrix(X)
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(file[f"X_{part}"][()], getattr(expected, part))
        assert file[f"X_{part}"].dtype == getattr(expected, part).dtype
    assert blocks.max_rows <= 1100


def test_a_file_made_part_by_part_loads(tmp_path: Path) -> None:
    X = np.arange(6.0).reshape(2, 3)
    obs = pl.DataFrame({"z": [None, 1], "_index": ["a", "b"]})
    container = ScpContainer(obs, {"p": Assay(pl.DataFrame({"_index": ["x", "y", "z"]}), {"raw": ScpMatrix(X)})})
    container.log_operation("made", {"a": (1, 2)}, "")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["format_version"] = "1.0"
        serialize_dataframe(obs, file.create_group("obs"))
        serialize_dataframe(container.assays["p"].var, file.create_group("assays/p/var"))
        serialize_dense_matrix(X, file.create_group("assays/p/layers/raw"))
        serialize_provenance(container.history, file.create_group("provenance/history"))
    assert load_hdf5(tmp_path / "a.h5") == container


@settings(max_examples=40)
@given(st.lists(scp.steps, max_size=6))
def test_histories_come_back(tmp_path_factory: pytest.TempPathFactory, history: list[Any]) -> None:
    with h5py.File(tmp_path_factory.mktemp("history") / "a.h5", "w") as file:
        group = file.create_group("provenance/history")
        serialize_provenance(history, group)
        assert difference(deserialize_provenance(group), history) is None
        assert difference(deserialize_provenance(file["provenance"]), history) is None


def test_an_empty_group_is_an_empty_history(file: Any) -> None:
    assert deserialize_provenance(file.create_group("provenance")) == []


def test_params_without_a_form_are_refused(file: Any) -> None:
    from scpstore import ProvenanceLog

    with pytest.raises(IOWriteError, match=r"params of step 0 cannot be stored.*object"):
        serialize_provenance([ProvenanceLog("t", "a", {"x": object()})], file.create_group("h"))


def test_what_is_no_frame_and_no_history(file: Any) -> None:
    file["g/a"], file["g/b"] = [1, 2], [1, 2, 3]
    with pytest.raises(IOFormatError, match="/g: columns of different lengths"):
        deserialize_dataframe(file["g"])
    file["h/action"] = ["x"]
    with pytest.raises(IOFormatError, match="/h/timestamp: missing"):
        deserialize_provenance(file["h"])
