"""Dense values as the three arrays of CSR, found block of rows by block of rows as they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from h5burst import csr
from scpstore.io.csr import BLOCK_ENTRIES, CsrParts


def dense_parts(values: Any) -> CsrParts:
    """The CSR arrays of a dense matrix or `ArraySource`, found block of rows by block of rows as they are read.

    Equal to those of `scipy.sparse.csr_matrix(values)`.
    """
    rows = _DenseRows(values)
    index = csr.index_dtype(rows.shape, int(rows.pointers[-1]))
    pointers = rows.pointers.astype(index, copy=False)
    return CsrParts(
        rows.shape, DenseEntries(rows, rows.dtype, csr.read_data), DenseEntries(rows, index, csr.read_indices), pointers
    )


class _DenseRows:
    """Rows of a dense matrix or source, a block at a time, and where each row's entries begin."""

    def __init__(self, values: Any) -> None:
        self.values = values
        self.shape = (int(values.shape[0]), int(values.shape[1]))
        self.dtype = np.dtype(values.dtype)
        self.step = max(1, BLOCK_ENTRIES // max(1, self.shape[1]))
        self.pointers = np.zeros(self.shape[0] + 1, np.int64)
        for start in range(0, self.shape[0], self.step):
            stop = min(start + self.step, self.shape[0])
            self.pointers[start + 1 : stop + 1] = csr.row_pointers(self.rows(start, stop))[1:] + self.pointers[start]

    def rows(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        if isinstance(self.values, np.ndarray):
            return self.values[start:stop]
        return np.asarray(self.values.read(start, stop))


class DenseEntries:
    """Data or column numbers (an `ArraySource`) of a dense matrix as CSR."""

    def __init__(self, rows: _DenseRows, dtype: np.dtype[Any], extract: Callable[..., np.ndarray[Any, Any]]) -> None:
        self._rows = rows
        self._extract = extract
        self.dtype = dtype
        self.shape = (int(rows.pointers[-1]),)

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        made = np.empty(stop - start, self.dtype)
        pointers = self._rows.pointers
        done = start
        while done < stop:
            first = int(np.searchsorted(pointers, done, "right")) - 1
            last = min(int(np.searchsorted(pointers, stop, "left")), first + self._rows.step)
            base, until = int(pointers[first]), min(stop, int(pointers[last]))
            block = self._rows.rows(first, last)
            made[done - start : until - start] = self._extract(
                block, pointers[first : last + 1] - base, done - base, until - base
            )
            done = until
        return made
