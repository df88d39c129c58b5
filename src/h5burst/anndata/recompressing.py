"""Sparse matrices of files that are compressed along one axis, as if along the other, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

IntArray = np.ndarray[Any, np.dtype[Any]]
_BLOCK_ENTRIES = 1 << 19  # that are looked through at once
_WINDOW_ENTRIES = 1 << 21  # that are brought into the other order at once


class Recompressed:
    """A sparse matrix of a file by its other axis: CSC row by row, or CSR column by column.

    Rows are all over a matrix that is stored by columns. So every request goes through the numbers of all entries once,
    a block at a time, and keeps those that are asked for: its memory is that of the result and of a block, its time
    that of reading the whole matrix. The whole in the other order takes a pass for every 2 million entries and each of
    its arrays.

    Parameters
    ----------
    data, indices
        The arrays of the matrix, in memory or of a file.
    indptr
        Its third, in memory.
    length
        Of the other axis: rows of CSC.

    Raises
    ------
    ValueError
        For arrays that are not those of a matrix; for numbers outside the other axis, when they are looked at.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from h5burst.anndata import Recompressed
    >>> csc = sp.csc_matrix([[1.0, 2.0], [0.0, 3.0]])
    >>> rows = Recompressed(csc.data, csc.indices, csc.indptr, 2)
    >>> data, columns, edges = rows.take(range(0, 1))
    >>> data, columns, edges
    (array([1., 2.]), array([0, 1], dtype=int32), array([0, 2]))
    """

    def __init__(self, data: Any, indices: Any, indptr: Any, length: int) -> None:
        pointers = np.asarray(indptr)
        if any(part.dtype.kind not in "iu" or len(part.shape) != 1 for part in (indices, pointers)):
            raise ValueError("its indices and indptr are not lists of whole numbers")
        self._edges = pointers.astype(np.int64)  # of the axis along which it is stored
        is_whole = len(self._edges) and self._edges[0] == 0 and self._edges[-1] == data.shape[0] == indices.shape[0]
        if not is_whole or (np.diff(self._edges) < 0).any():
            raise ValueError("its indptr does not rise from 0 to the number of its entries")
        self._data, self._indices, self._length = data, indices, length
        self.shape = (length, len(self._edges) - 1)

    # ------------------------------------------------------------ what one pass says

    @cached_property
    def _counted(self) -> tuple[IntArray, bool]:
        """`indptr` and `is_sorted`."""
        counts, is_sorted, before = np.zeros(self._length, np.int64), True, 0
        for start, numbers in self._blocks():
            counts += np.bincount(numbers, minlength=self._length)
            falls = np.flatnonzero(numbers[1:] < numbers[:-1]) + start + 1
            if numbers[0] < before:
                falls = np.append(falls, start)
            is_sorted = is_sorted and bool(np.isin(falls, self._edges).all())
            before = int(numbers[-1])
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]), is_sorted

    @property
    def indptr(self) -> IntArray:
        """The beginning of each row among the entries in the order of rows."""
        return self._counted[0]

    @property
    def is_sorted(self) -> bool:
        """True where the row numbers of each column ascend (repeated ones count as that)."""
        return self._counted[1]

    def _blocks(self) -> Iterator[tuple[int, IntArray]]:
        for start in range(0, self._indices.shape[0], _BLOCK_ENTRIES):
            numbers = np.asarray(self._indices[start : start + _BLOCK_ENTRIES])
            low, high = int(numbers.min()), int(numbers.max())
            if low < 0 or high >= self._length:
                raise ValueError(f"its indices are {low} to {high}, of {self._length}")
            yield start, numbers if numbers.dtype != np.uint64 else numbers.astype(np.int64)

    # ------------------------------------------------------------ rows

    def take(self, rows: range | IntArray) -> tuple[np.ndarray[Any, Any], IntArray, IntArray]:
        """Some rows, ascending: their values, columns, and where each begins.

        Parameters
        ----------
        rows
            A range of step 1, or numbers that ascend.

        Returns
        -------
        data, indices, indptr
            As CSR has them.
        """
        counts, parts = self._gathered(rows, ("data", "indices"))
        return parts[0], parts[1], np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])

    def entries(self, name: str) -> RecompressedEntries:
        """An array of the matrix in the order of rows: "data", "indices", or "order", where each was before.

        Parameters
        ----------
        name
            Which.

        Returns
        -------
        RecompressedEntries
            A source that is read in ascending order.
        """
        return RecompressedEntries(self, name)

    def _gathered(self, rows: range | IntArray, names: tuple[str, ...]) -> tuple[IntArray, list[Any]]:
        """The number of entries of each of some rows, and their named arrays, row after row."""
        lookup = None
        if not isinstance(rows, range):
            lookup = np.full(self._length, -1, np.int64)
            lookup[rows] = np.arange(len(rows))
        found: list[IntArray] = []
        gathered: list[list[Any]] = [[self._empty(name)] for name in names]
        for start, numbers in self._blocks():
            if lookup is None:
                assert isinstance(rows, range)
                wanted = np.flatnonzero((numbers >= rows.start) & (numbers < rows.stop))
                of_rows = numbers[wanted].astype(np.int64) - rows.start
            else:
                of_rows = lookup[numbers]
                wanted = np.flatnonzero(of_rows >= 0)
                of_rows = of_rows[wanted]
            if not len(wanted):
                continue
            found.append(of_rows.astype(np.int32 if len(rows) < 1 << 31 else np.int64))
            for name, pieces in zip(names, gathered, strict=True):
                pieces.append(self._named(name, start, len(numbers), wanted))
        places = np.concatenate(found) if found else np.zeros(0, np.int32)
        found.clear()
        order = np.argsort(places, kind="stable")
        counts = np.bincount(places, minlength=len(rows))
        del places
        arrays = []
        for pieces in gathered:
            joined = np.concatenate(pieces)
            pieces.clear()
            arrays.append(joined[order])
        return counts, arrays

    def dtype_of(self, name: str) -> np.dtype[Any]:
        """The dtype of one of the arrays of `entries`."""
        return np.dtype(np.int64) if name == "order" else np.dtype(getattr(self, f"_{name}").dtype)

    def _empty(self, name: str) -> np.ndarray[Any, Any]:
        return np.empty(0, self.dtype_of(name))

    def _named(self, name: str, start: int, count: int, wanted: IntArray) -> np.ndarray[Any, Any]:
        """Of a block of entries those that are wanted."""
        if name == "data":
            return np.asarray(self._data[start : start + count])[wanted]
        positions = wanted + start
        if name == "order":
            return positions
        columns: IntArray = np.searchsorted(self._edges, positions, "right") - 1
        return columns.astype(self._indices.dtype)


class RecompressedEntries:
    """One array of a `Recompressed` matrix, an `ArraySource`; some 2 million entries are in memory.

    Parameters
    ----------
    matrix
        Whose.
    name
        Of `Recompressed.entries`.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from h5burst.anndata import Recompressed
    >>> csc = sp.csc_matrix([[1.0, 2.0], [0.0, 3.0]])
    >>> Recompressed(csc.data, csc.indices, csc.indptr, 2).entries("data").read(0, 3)
    array([1., 2., 3.])
    """

    def __init__(self, matrix: Recompressed, name: str) -> None:
        self._matrix, self._name = matrix, name
        self.shape = (int(matrix._edges[-1]),)
        self.dtype = matrix.dtype_of(name)
        self._window: tuple[int, np.ndarray[Any, Any]] = (0, np.empty(0, self.dtype))

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Entries [start, stop).

        Parameters
        ----------
        start, stop
            Half-open.

        Returns
        -------
        numpy.ndarray
            In memory of their own.
        """
        out = np.empty(stop - start, self.dtype)
        at = start
        while at < stop:
            first, values = self._window
            if not first <= at < first + len(values):
                first, values = self._window = self._window_of(at)
            part = values[at - first : stop - first]
            out[at - start : at - start + len(part)] = part
            at += len(part)
        return out

    def __getitem__(self, key: slice) -> np.ndarray[Any, Any]:
        start, stop, _ = key.indices(self.shape[0])
        return self.read(start, max(start, stop))

    def _window_of(self, entry: int) -> tuple[int, np.ndarray[Any, Any]]:
        """The rows around an entry, so many as fit."""
        self._window = (0, np.empty(0, self.dtype))  # before there is another
        edges = self._matrix.indptr
        first = int(np.searchsorted(edges, entry, "right")) - 1
        last = max(first + 1, int(np.searchsorted(edges, edges[first] + _WINDOW_ENTRIES, "right")) - 1)
        return int(edges[first]), self._matrix._gathered(range(first, last), (self._name,))[1][0]
