"""Datasets whose chunks at the edge went through no filter, which libhdf5 makes on request and h5py does not offer."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5f, h5p, h5s, h5t

_DONT_FILTER_PARTIAL_CHUNKS = 2  # of libhdf5
Limits = tuple[int | None, ...] | None


def values(shape: tuple[int, ...]) -> Any:
    return (np.arange(np.prod(shape)) % 7).astype("i4").reshape(shape)


def made(path: Path, shape: tuple[int, ...], chunks: tuple[int, ...], largest: Limits, early: bool) -> None:
    """A file in which `x` is gzipped, with shuffle and checksum, but for the chunks at its edge."""
    library = ctypes.CDLL(h5p.__file__)
    if not hasattr(library, "H5Pset_chunk_opts"):
        pytest.skip("libhdf5 is not a library of its own here")
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk(chunks)
    creation.set_shuffle()
    creation.set_deflate(6)
    creation.set_fletcher32()
    if early:
        creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    assert library.H5Pset_chunk_opts(ctypes.c_int64(creation.id), _DONT_FILTER_PARTIAL_CHUNKS) >= 0
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    with h5py.File(h5f.create(bytes(path), fapl=access)) as file:
        limits = None if largest is None else tuple(h5s.UNLIMITED if limit is None else limit for limit in largest)
        space = h5s.create_simple(shape, limits)
        dataset = h5py.Dataset(h5d.create(file.id, b"x", h5t.STD_I32LE, space, creation))
        dataset[...] = values(shape)
        file["other"] = np.arange(3)
