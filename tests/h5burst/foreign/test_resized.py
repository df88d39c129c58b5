"""Datasets of our files say their largest shape: libhdf5 resizes them within it, and refuses what is beyond."""

from __future__ import annotations

from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (libhdf5 then knows blosc and zstd)
import numpy as np
import pytest

from h5burst import Array, Group, Storage, graft, open_file, read_tree, write_tree
from h5burst.checking import verify

CODECS = [None, "gzip", "lzf", "zstd", "blosc"]


def write(path: Path, data: np.ndarray, storage: Storage, how: str) -> None:
    if how == "whole":
        write_tree(path, Group({"a": Array(data, storage=storage)}))
        return
    with open_file(path, "w") as file:
        graft(file, ("a",), Array(data, storage=storage))


@pytest.mark.parametrize("how", ["whole", "grafted"])
@pytest.mark.parametrize("codec", CODECS)
def test_growing_beyond_the_largest_shape_is_refused(codec: str | None, how: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    data = np.arange(4000.0).reshape(1000, 4)
    write(path, data, Storage(codec, chunks=(100, 4)), how)

    with h5py.File(path, "r+") as file:
        assert file["a"].maxshape == (1000, 4)
        with pytest.raises((ValueError, RuntimeError), match="dimension cannot exceed the existing maximal size"):
            file["a"].resize((1001, 4))

    np.testing.assert_array_equal(read_tree(path)["a"].data, data)
    assert not verify(path)


@pytest.mark.parametrize("chunks", [(100, 4), (300, 3), (1000, 4)])
@pytest.mark.parametrize("codec", CODECS)
def test_shrunk_and_grown_again(codec: str | None, chunks: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    data = np.arange(4000.0).reshape(1000, 4)
    write(path, data, Storage(codec, chunks=chunks), "whole")
    shapes = [(1000, 4), (999, 4), (650, 2), (1, 1), (0, 4), (400, 4), (1000, 3), (1000, 4)]
    if chunks == data.shape:  # libhdf5 cannot bring its own filtered single chunks back from nothing
        shapes.remove((0, 4))
    for shape in shapes:
        with h5py.File(path, "r+") as file:
            file["a"].resize(shape)
            file["a"][:, :1] = 5
            expected = file["a"][()]

        np.testing.assert_array_equal(read_tree(path)["a"].data, expected)
        np.testing.assert_array_equal(np.asarray(read_tree(path, lazy=True)["a"].data), expected)
    assert not verify(path)


@pytest.mark.parametrize("shape", [(1,), (10,), (8, 0), (0,), (3, 1, 2)])
def test_small_arrays_say_their_shape_and_are_not_resized(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_tree(path, Group({"a": Array(np.ones(shape)), "text": Array(np.full(shape, "x", object))}))

    with h5py.File(path, "r+") as file:
        for name in file:
            assert file[name].maxshape == shape
            with pytest.raises((TypeError, ValueError)):
                file[name].resize(tuple(length + 1 for length in shape))
    assert read_tree(path)["a"].data.shape == shape
