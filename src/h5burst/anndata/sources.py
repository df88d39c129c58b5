"""Matrices that are not in memory, as what the engine writes block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

_TOGETHER_BYTES = 16 << 20  # of rows that are made at once


class SlicedRows:
    """An array that is computed when it is sliced (dask's), as an `ArraySource`."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape: tuple[int, ...] = tuple(int(length) for length in array.shape)
        self.dtype = np.dtype(array.dtype)
        row_bytes = max(1, int(np.prod(self.shape[1:])) * self.dtype.itemsize)
        self._together = max(1, _TOGETHER_BYTES // row_bytes, max(array.chunks[0], default=1))
        self._first, self._rows = 0, np.empty((0, *self.shape[1:]), self.dtype)

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Rows [start, stop): a chunk of the array is computed once if rows are asked for in order."""
        parts = []
        while start < stop:
            if not self._first <= start < self._first + len(self._rows):
                self._first = start
                self._rows = np.ascontiguousarray(self._array[start : start + self._together].compute(), self.dtype)
            part = self._rows[start - self._first : stop - self._first]
            parts.append(part)
            start += len(part)
        return np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else self._rows[:0]


class DenseRows:
    """A CSR matrix as an `ArraySource` of dense rows."""

    def __init__(self, matrix: Any) -> None:
        self._matrix = matrix
        self.shape: tuple[int, ...] = matrix.shape
        self.dtype = matrix.dtype

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Rows [start, stop)."""
        dense: np.ndarray[Any, Any] = self._matrix[start:stop].toarray()
        return dense
