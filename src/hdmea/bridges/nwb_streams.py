"""Data that pynwb writes part by part, so that no more than a part is in memory. Needs pynwb."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hdmf.backends.hdf5.h5_utils import H5DataIO
from hdmf.data_utils import AbstractDataChunkIterator, DataChunk

CHUNK_BYTES = 1 << 20
BLOCK_ELEMENTS = 1 << 20  # of a long trace that are read at once
SMALL_BYTES = 1 << 16  # less is written as it is: a chunk index would take more


class Parts(AbstractDataChunkIterator):  # type: ignore[misc, unused-ignore]
    """Rows of one dataset, in parts that are made when they are written.

    Parameters
    ----------
    parts
        Gives the parts (rows, …) from the first to the last.
    shape
        Of the whole.
    dtype
        Of the whole.
    """

    def __init__(self, parts: Callable[[], Iterator[Any]], shape: tuple[int, ...], dtype: Any) -> None:
        self._parts, self._shape, self._dtype = parts(), shape, np.dtype(dtype)
        self._row = 0

    def __iter__(self) -> Parts:
        return self

    def __next__(self) -> DataChunk:
        part = np.asarray(next(self._parts), self._dtype)
        while not len(part):
            part = np.asarray(next(self._parts), self._dtype)
        rows = slice(self._row, self._row + len(part))
        self._row = rows.stop
        return DataChunk(part, (rows, *(slice(0, length) for length in self._shape[1:])))

    def recommended_chunk_shape(self) -> tuple[int, ...]:
        row = int(np.prod(self._shape[1:], dtype=np.int64)) * self._dtype.itemsize
        return (max(1, min(self._shape[0], CHUNK_BYTES // max(row, 1))), *self._shape[1:])

    def recommended_data_shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> Any:
        return self._dtype

    @property
    def maxshape(self) -> tuple[int, ...]:
        return self._shape


def streamed(parts: Callable[[], Iterator[Any]], shape: tuple[int, ...], dtype: Any) -> Any:
    """A dataset for pynwb from parts: compressed and written as they come; a small one as an array."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size <= SMALL_BYTES:
        arrays = [np.asarray(part, dtype) for part in parts()]
        return np.concatenate(arrays).reshape(shape) if arrays else np.empty(shape, dtype)
    stream = Parts(parts, shape, dtype)
    return H5DataIO(
        stream, compression="gzip", compression_opts=4, shuffle=True, chunks=stream.recommended_chunk_shape()
    )


def streamed_array(array: Any) -> Any:
    """An array, a lazy one or a block source as a dataset for pynwb, read block by block along its first axis."""
    shape = tuple(int(length) for length in array.shape)
    row = int(np.prod(shape[1:], dtype=np.int64))
    step = max(1, BLOCK_ELEMENTS // max(row, 1))

    def blocks() -> Iterator[Any]:
        for start in range(0, shape[0], step):
            yield array[start : min(start + step, shape[0])]

    return streamed(blocks, shape, array.dtype)
