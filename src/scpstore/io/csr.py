"""Any sparse matrix as the three arrays of CSR, entry by entry, and back in its own format.

CSR itself goes through as it is. Column-wise and coordinate matrices are put in the order of rows block by block while
they are written, so that no second copy of them is made; what order their entries had is remembered where it cannot be
worked out ("stored"). Nothing is summed, sorted or dropped: explicit zeros and repeated entries stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from h5burst.arrays import csr

EntryOrder = Literal["row", "column", "stored"]
FORMATS = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")
_BLOCK_ENTRIES = 1 << 20
_MOST_BLOCKS = 32  # each block looks through the row numbers of all entries once
_SCAN = 1 << 20

IntArray = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class CsrParts:
    """CSR arrays of a matrix; data, indices and order (positions in the matrix) may be read block by block."""

    shape: tuple[int, int]
    data: Any
    indices: Any
    indptr: IntArray
    order: Any = None
    entry_order: EntryOrder = "row"


def csr_parts(matrix: Any) -> CsrParts:
    """The CSR arrays of a scipy sparse matrix or array of any format."""
    if matrix.format == "csr":
        count = int(matrix.indptr[-1])
        return CsrParts(matrix.shape, matrix.data[:count], matrix.indices[:count], matrix.indptr)
    if matrix.format == "dia":
        return csr_parts(_dia_to_csr(matrix))
    if matrix.format not in ("csc", "coo"):
        return csr_parts(matrix.tocsr())
    return _row_ordered(matrix)


def _dia_to_csr(matrix: Any) -> Any:
    """All places on the diagonals, zeros as well: scipy's own conversion would drop them."""
    places = [
        np.arange(max(0, o), max(0, min(matrix.shape[1], matrix.shape[0] + o, matrix.data.shape[1])))
        for o in matrix.offsets
    ]
    columns = np.concatenate([*places, np.zeros(0, np.int64)])
    rows = np.concatenate([*(c - o for c, o in zip(places, matrix.offsets, strict=True)), np.zeros(0, np.int64)])
    data = np.concatenate([*(matrix.data[i, c] for i, c in enumerate(places)), np.zeros(0, matrix.dtype)])
    order = np.lexsort((columns, rows))
    made = sp.csr_matrix(matrix.shape, dtype=matrix.dtype)
    made.data, made.indices = data[order], columns[order].astype(matrix.offsets.dtype)
    made.indptr = _indptr(rows, matrix.shape[0], matrix.offsets.dtype)
    return made


def _indptr(places: IntArray, length: int, dtype: Any) -> IntArray:
    """Where each row (or column) starts, from the row of every entry, in pieces."""
    counts = np.zeros(length, np.int64)
    for start in range(0, len(places), _SCAN):
        counts += np.bincount(places[start : start + _SCAN], minlength=length)
    indptr = np.zeros(length + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    return indptr if len(places) > np.iinfo(dtype).max else indptr.astype(dtype)


# ---------------------------------------------------------------- entries in the order of rows, block by block


def _row_ordered(matrix: Any) -> CsrParts:
    if matrix.format == "csc":
        count = int(matrix.indptr[-1])
        rows, data, pointers = matrix.indices[:count], matrix.data[:count], matrix.indptr

        def columns(places: IntArray) -> IntArray:
            return (np.searchsorted(pointers, places, side="right") - 1).astype(rows.dtype)

        column_dtype, pointer_dtype = rows.dtype, pointers.dtype
        order: EntryOrder = "column" if _is_sorted(rows, columns) else "stored"
    else:
        rows, data = matrix.row, matrix.data
        column_dtype = pointer_dtype = matrix.col.dtype
        if _is_sorted(rows):
            return CsrParts(matrix.shape, data, matrix.col, _indptr(rows, matrix.shape[0], pointer_dtype))

        def columns(places: IntArray) -> IntArray:
            return np.asarray(matrix.col[places])

        order = "column" if _is_sorted(rows, columns) else "stored"
    indptr = _indptr(rows, matrix.shape[0], pointer_dtype)
    entries = _RowOrder(rows, indptr)
    return CsrParts(
        matrix.shape,
        EntrySource(entries, data.dtype, lambda places: np.asarray(data[places])),
        EntrySource(entries, column_dtype, columns),
        indptr,
        EntrySource(entries, np.dtype(np.int64), lambda places: places) if order == "stored" else None,
        order,
    )


def _is_sorted(rows: IntArray, columns: Callable[[IntArray], IntArray] | None = None) -> bool:
    """Whether entries come by row, or, given the columns, by column and then by row; looked at in pieces."""
    for start in range(0, len(rows) - 1, _SCAN):
        piece = rows[start : start + _SCAN + 1]
        falling = piece[1:] < piece[:-1]
        if columns is not None:
            column = columns(np.arange(start, start + len(piece)))
            falling = (column[1:] < column[:-1]) | (falling & (column[1:] == column[:-1]))
        if falling.any():
            return False
    return True


class _RowOrder:
    """The positions of all entries in the order of rows (and, in a row, in their own), one block of rows at a time."""

    def __init__(self, rows: IntArray, indptr: IntArray) -> None:
        self.rows = rows
        self.indptr = indptr.astype(np.int64)
        per_block = max(_BLOCK_ENTRIES, -(-len(rows) // _MOST_BLOCKS))
        edges, row = [0], 0
        while row < len(self.indptr) - 1:
            beyond = int(np.searchsorted(self.indptr, self.indptr[row] + per_block, side="right")) - 1
            row = min(max(row + 1, beyond), len(self.indptr) - 1)
            edges.append(row)
        self.edges = edges
        self.starts = self.indptr[edges]
        self._cached: tuple[int, IntArray] = (-1, np.zeros(0, np.int64))

    def pieces(self, start: int, stop: int) -> Iterator[IntArray]:
        """Positions of the entries [start, stop) of the CSR order."""
        block = int(np.searchsorted(self.starts, start, side="right")) - 1
        while start < stop:
            places = self._block(block)
            first = int(self.starts[block])
            yield places[start - first : stop - first]
            start = max(start, first + len(places))
            block += 1

    def _block(self, block: int) -> IntArray:
        number, places = self._cached
        if number != block:
            places = self._find(self.edges[block], self.edges[block + 1])
            self._cached = (block, places)
        return places

    def _find(self, low: int, high: int) -> IntArray:
        found = []
        for start in range(0, len(self.rows), _SCAN):
            piece = self.rows[start : start + _SCAN]
            found.append(np.flatnonzero((piece >= low) & (piece < high)) + start)
        places = np.concatenate(found)
        return places[np.argsort(self.rows[places], kind="stable")]


class EntrySource:
    """One array of the CSR form (a `BlockSource`), gathered from the matrix as it is asked for."""

    def __init__(
        self, entries: _RowOrder, dtype: np.dtype[Any], gather: Callable[[IntArray], np.ndarray[Any, Any]]
    ) -> None:
        self._entries = entries
        self._gather = gather
        self.dtype = dtype
        self.shape = (len(entries.rows),)

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        pieces = [self._gather(places) for places in self._entries.pieces(start, stop)]
        joined = np.concatenate(pieces) if pieces else np.zeros(0, self.dtype)
        return np.ascontiguousarray(joined, dtype=self.dtype)


# ---------------------------------------------------------------- back


@dataclass(frozen=True)
class SparseKind:
    """What a sparse matrix was before it became CSR."""

    format: str = "csr"
    is_array: bool = False  # scipy's sparse array, not its older sparse matrix
    entry_order: EntryOrder = "row"
    block_shape: tuple[int, int] | None = None


def kind_of(matrix: Any, parts: CsrParts) -> SparseKind:
    """The kind of a scipy sparse matrix or array."""
    blocks = (int(matrix.blocksize[0]), int(matrix.blocksize[1])) if matrix.format == "bsr" else None
    return SparseKind(matrix.format, isinstance(matrix, sp.sparray), parts.entry_order, blocks)


def check_csr(shape: tuple[int, int], data: Any, indices: Any, indptr: Any) -> None:
    """Raise ValueError unless these arrays are a CSR matrix: what scipy's compiled code takes for granted."""
    if indptr.shape != (shape[0] + 1,) or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise ValueError(f"indptr must rise from 0 in {shape[0] + 1} steps")
    if indices.shape != data.shape or data.ndim != 1 or indptr[-1] != len(data):
        raise ValueError(f"{indptr[-1]} entries expected, found {data.shape} values and {indices.shape} column numbers")
    if len(indices) and (indices.min() < 0 or indices.max() >= shape[1]):
        raise ValueError(f"column numbers must lie in [0, {shape[1]})")


def from_csr(shape: tuple[int, int], data: Any, indices: Any, indptr: Any, kind: SparseKind, order: Any = None) -> Any:
    """The matrix of that kind. The arrays are taken over, not copied, where the format allows it.

    order: positions of the entries in the original (`CsrParts.order`); one that does not fit is left aside.
    """
    check_csr(shape, data, indices, indptr)
    family = "array" if kind.is_array else "matrix"
    if kind.format == "coo":
        return _coo(shape, data, indices, indptr, kind, order, getattr(sp, f"coo_{family}"))
    if kind.format == "csc":
        return _csc(shape, data, indices, indptr, kind, order, getattr(sp, f"csc_{family}"))
    made = _csr(shape, data, indices, indptr, getattr(sp, f"csr_{family}"))
    if kind.format == "csr":
        return made
    if kind.format == "bsr":
        return made.tobsr(blocksize=kind.block_shape)
    return made.asformat(kind.format)


def _csr(shape: tuple[int, int], data: Any, indices: Any, indptr: Any, make: Any) -> Any:
    """Not through scipy's constructor, which would choose other index dtypes."""
    made = make(shape, dtype=np.float64)
    made.data, made.indices, made.indptr = data, indices, indptr
    return made


def _rows_of(indptr: Any, dtype: Any) -> IntArray:
    return np.repeat(np.arange(len(indptr) - 1, dtype=dtype), np.diff(indptr))


def _is_permutation(order: Any, count: int) -> bool:
    if order is None or order.shape != (count,) or order.dtype.kind not in "iu":
        return False
    if count and (order.min() < 0 or order.max() >= count):
        return False
    seen = np.zeros(count, dtype=bool)
    seen[order] = True
    return bool(seen.all())


def _scattered(values: Any, order: Any) -> np.ndarray[Any, Any]:
    made = np.empty(len(values), values.dtype)
    made[order] = values
    return made


def _coo(shape: tuple[int, int], data: Any, cols: Any, indptr: Any, kind: SparseKind, order: Any, make: Any) -> Any:
    rows = _rows_of(indptr, cols.dtype)
    if kind.entry_order == "column":
        sequence = np.argsort(cols, kind="stable")
        rows, cols, data = rows[sequence], cols[sequence], data[sequence]
    elif kind.entry_order == "stored" and _is_permutation(order, len(data)):
        rows, cols, data = (_scattered(values, order) for values in (rows, cols, data))
    made = make(shape, dtype=np.float64)
    made.data = data
    set_places(made, rows, cols)
    return made


def set_places(coo: Any, rows: IntArray, cols: IntArray) -> None:
    """Give a coordinate matrix its row and column numbers as they are (newer scipy casts what `row` is set to)."""
    if hasattr(coo, "coords"):
        coo.coords = (rows, cols)
    else:
        coo.row, coo.col = rows, cols


def _csc(shape: tuple[int, int], data: Any, cols: Any, indptr: Any, kind: SparseKind, order: Any, make: Any) -> Any:
    made = make(shape, dtype=np.float64)
    made.indptr = _indptr(cols, shape[1], indptr.dtype)
    if kind.entry_order == "stored" and _is_permutation(order, len(data)):
        made.data = _scattered(data, order)
        made.indices = _scattered(_rows_of(indptr, cols.dtype), order)
        return made
    sequence = np.argsort(cols, kind="stable")  # scipy's conversion is as stable, but has no float16
    made.data, made.indices = data[sequence], _rows_of(indptr, cols.dtype)[sequence]
    return made


# ---------------------------------------------------------------- dense values as CSR


def dense_parts(values: Any) -> CsrParts:
    """The CSR arrays of a dense matrix or `BlockSource`, found block of rows by block of rows as they are read.

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
        self.step = max(1, _BLOCK_ENTRIES // max(1, self.shape[1]))
        self.pointers = np.zeros(self.shape[0] + 1, np.int64)
        for start in range(0, self.shape[0], self.step):
            stop = min(start + self.step, self.shape[0])
            self.pointers[start + 1 : stop + 1] = csr.row_pointers(self.rows(start, stop))[1:] + self.pointers[start]

    def rows(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        if isinstance(self.values, np.ndarray):
            return self.values[start:stop]
        return np.asarray(self.values.read(start, stop))


class DenseEntries:
    """Data or column numbers (a `BlockSource`) of a dense matrix as CSR."""

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
