"""What a programmer adds to h5py in an afternoon: gzip and shuffle of whole datasets in threads, by zlib and numpy.

The honest rival of `h5burst.auto`: Python's zlib releases the lock, so a pool of threads uses all cores.
"""

from __future__ import annotations

import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product

import h5py
import numpy as np
from h5py._hl import dataset as h5py_dataset

POOL = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
READ, WRITE, MAKE = h5py.Dataset.__getitem__, h5py.Dataset.__setitem__, h5py_dataset.make_new_dset


def suits(dataset):
    only = {"gzip", "shuffle"} >= set(dataset._filters)
    return dataset.chunks and dataset.compression == "gzip" and only and dataset.dtype.kind in "iuf" and dataset.size


def corners(shape, chunks, start, stop):
    spans = [(start, stop), *((0, length) for length in shape[1:])]
    return list(product(*(range(a // c * c, b, c) for (a, b), c in zip(spans, chunks, strict=True))))


def place(corner, chunks):
    return tuple(slice(at, at + length) for at, length in zip(corner, chunks, strict=True))


def read(dataset, selection=..., new_dtype=None):
    whole = selection is Ellipsis or (isinstance(selection, tuple) and selection == ()) or selection == slice(None)
    rows = isinstance(selection, slice) and selection.step in (None, 1) and dataset.shape
    if new_dtype is not None or not (whole or rows) or not suits(dataset):
        return READ(dataset, selection) if new_dtype is None else READ(dataset, selection, new_dtype)
    start, stop, _ = slice(None).indices(dataset.shape[0]) if whole else selection.indices(dataset.shape[0])
    shape, chunks, dtype, shuffled = dataset.shape, dataset.chunks, dataset.dtype, dataset.shuffle
    out = np.zeros((stop - start, *shape[1:]), dtype)  # no h5py in threads: who waits for them may hold its lock

    def decode(item):
        corner, payload = item
        raw = np.frombuffer(zlib.decompress(payload), np.uint8)
        if shuffled:
            raw = np.ascontiguousarray(raw.reshape(dtype.itemsize, -1).T)
        chunk = raw.reshape(-1).view(dtype).reshape(chunks)
        first, last = max(corner[0], start), min(corner[0] + chunks[0], stop)
        target = out[(slice(first - start, last - start), *place(corner, chunks)[1:])]
        target[...] = chunk[(slice(first - corner[0], last - corner[0]), *map(slice, target.shape[1:]))]

    list(POOL.map(decode, [(c, dataset.id.read_direct_chunk(c)[1]) for c in corners(shape, chunks, start, stop)]))
    return out


def write(dataset, selection, data):
    whole = selection is Ellipsis or (isinstance(selection, tuple) and selection == ()) or selection == slice(None)
    if not whole or not suits(dataset) or getattr(data, "shape", None) != dataset.shape or data.dtype != dataset.dtype:
        return WRITE(dataset, selection, data)

    shape, chunks, dtype = dataset.shape, dataset.chunks, dataset.dtype
    shuffled, level = dataset.shuffle, dataset.compression_opts

    def encode(corner):
        chunk, part = np.zeros(chunks, dtype), data[place(corner, chunks)]
        chunk[tuple(map(slice, part.shape))] = part
        raw = chunk.reshape(-1).view(np.uint8)
        if shuffled:
            raw = np.ascontiguousarray(raw.reshape(-1, dtype.itemsize).T)
        return corner, zlib.compress(raw, level)

    for corner, payload in POOL.map(encode, corners(shape, chunks, 0, shape[0])):
        dataset.id.write_direct_chunk(corner, payload)


def make(parent, shape=None, dtype=None, data=None, *args, **options):
    if not isinstance(data, np.ndarray) or options.get("compression") != "gzip" or data.dtype.kind not in "iuf":
        return MAKE(parent, shape, dtype, data, *args, **options)
    made = MAKE(parent, data.shape, dtype or data.dtype, None, *args, **options)
    write(h5py.Dataset(made), ..., data)
    return made


@contextmanager
def enabled():
    h5py.Dataset.__getitem__, h5py.Dataset.__setitem__, h5py_dataset.make_new_dset = read, write, make
    try:
        yield
    finally:
        h5py.Dataset.__getitem__, h5py.Dataset.__setitem__, h5py_dataset.make_new_dset = READ, WRITE, MAKE
