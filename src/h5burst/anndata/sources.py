"""Matrices that are not in memory, as what the engine writes block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from h5burst.model.source import ArraySource

_TOGETHER_BYTES = 16 << 20  # of rows that are made at once


class Streamed(np.ndarray[Any, Any]):
    """Stands for an `ArraySource` in objects that take arrays alone: it has no memory, and is read as it is written.

    Only the whole of it can be written: what is computed from it has no source.
    """

    source: ArraySource | None = None


def streamed(source: ArraySource) -> Streamed:
    """An array that stands for a source in an `AnnData`, for `write_h5ad` to read it block by block.

    Parameters
    ----------
    source
        The values: any `h5burst.ArraySource`, such as an array of `read_tree(…, lazy=True)`.

    Returns
    -------
    Streamed
        Of the shape and dtype of the source, without memory. For writing alone: as an array it has no values, and what
        is made from it is refused by `write_h5ad`.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> from h5burst import Array, Group, read_tree, write_tree
    >>> from h5burst.anndata import read_h5ad, streamed, write_h5ad
    >>> write_tree("large.h5", Group({"counts": Array(np.ones((1000, 500)))}))
    >>> counts = read_tree("large.h5", lazy=True).children["counts"].data
    >>> write_h5ad(anndata.AnnData(streamed(counts)), "large.h5ad")
    >>> float(read_h5ad("large.h5ad").X.sum())
    500000.0
    """
    stand_in = np.broadcast_to(np.zeros((), source.dtype), source.shape).view(Streamed)
    stand_in.source = source
    return stand_in


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
