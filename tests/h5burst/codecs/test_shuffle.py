"""The shuffle and checksum kernels against the obvious ones and against HDF5 itself."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from h5burst._ext import shuffle as kernels
from reference import shuffle as reference

ITEMSIZES = (1, 2, 3, 4, 5, 8, 12, 16, 17, 32, 100)
some_bytes = arrays(np.uint8, st.integers(0, 700), elements=st.integers(0, 255))


@given(some_bytes, st.sampled_from(ITEMSIZES))
def test_shuffle_is_the_obvious_one(data: Any, itemsize: int) -> None:
    out = np.empty_like(data)
    kernels.shuffle(data, itemsize, out)
    assert np.array_equal(out, reference.shuffle(data, itemsize))


@given(some_bytes, st.sampled_from(ITEMSIZES))
def test_unshuffle_undoes_shuffle(data: Any, itemsize: int) -> None:
    shuffled, back = np.empty_like(data), np.empty_like(data)
    kernels.shuffle(data, itemsize, shuffled)
    kernels.unshuffle(shuffled, itemsize, back)
    assert np.array_equal(back, data)


@pytest.mark.parametrize("itemsize", ITEMSIZES)
def test_shuffle_of_a_whole_chunk(itemsize: int) -> None:
    data = np.random.default_rng(itemsize).integers(0, 256, 100_003, dtype=np.uint8)
    out, back = np.empty_like(data), np.empty_like(data)
    kernels.shuffle(data, itemsize, out)
    assert np.array_equal(out, reference.shuffle(data, itemsize))
    kernels.unshuffle(out, itemsize, back)
    assert np.array_equal(back, data)


@given(some_bytes)
def test_fletcher32_is_the_obvious_one(data: Any) -> None:
    assert kernels.fletcher32(data) == reference.fletcher32(data.tobytes())


@pytest.mark.parametrize("size", [8191, 8192, 8193, 20_000, 70_001])
@pytest.mark.parametrize("kind", ["random", "ones", "zeros", "one at the end"])
def test_fletcher32_of_long_data(size: int, kind: str) -> None:
    data = {
        "random": np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8),
        "ones": np.full(size, 255, np.uint8),
        "zeros": np.zeros(size, np.uint8),
        "one at the end": np.r_[np.zeros(size - 1, np.uint8), np.uint8(1)],
    }[kind]
    assert kernels.fletcher32(data) == reference.fletcher32(data.tobytes())


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8", "c16", "V5"])
def test_both_are_hdf5s_own(dtype: str) -> None:
    data = np.random.default_rng(0).integers(0, 256, 3000 * np.dtype(dtype).itemsize, dtype=np.uint8).view(dtype)
    with h5py.File("memory.h5", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", data=data, chunks=data.shape, shuffle=True, fletcher32=True)
        dataset.flush()
        _, payload = dataset.id.read_direct_chunk((0,))
    stored = np.frombuffer(payload, np.uint8)
    out = np.empty_like(stored[:-4])
    kernels.shuffle(data.view(np.uint8), data.dtype.itemsize, out)
    assert np.array_equal(stored[:-4], out)
    assert int.from_bytes(payload[-4:], "little") == kernels.fletcher32(out)
