"""Any sparse matrix as the three arrays of CSR, entry by entry.

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

EntryOrder = Literal["row", "column", "stored"]
INDEX_DTYPES = (np.dtype(np.int32), np.dtype(np.int64))
FORMATS = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")
BLOCK_ENTRIES = 1 << 20
_MAX_BLOCKS = 32  # each block looks through the row numbers of all entries once
_SCAN = 1 << 20
MAX_EMPTY_LENGTH = 1 << 24  # rows or columns without entries that a matrix may have before it counts as unreasonable
_SLOW_LENGTH = 1 << 20  # of formats that make a Python object a row

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


@dataclass(frozen=True)
class SparseKind:
    """The kind of a sparse matrix before it became CSR."""

    format: str
    is_array: bool
    entry_order: EntryOrder
    block_shape: tuple[int, int] | None = None


def kind_of(matrix: Any, parts: CsrParts) -> SparseKind:
    """The kind of a scipy sparse matrix or array."""
    blocks = (int(matrix.blocksize[0]), int(matrix.blocksize[1])) if matrix.format == "bsr" else None
    return SparseKind(matrix.format, isinstance(matrix, sp.sparray), parts.entry_order, blocks)


def check_size(shape: tuple[int, int], entries: int, fmt: str) -> None:
    """Raise ValueError for a matrix whose memory the entries in the file do not justify.

    The row pointers are in the file; a format that needs more than these (a pointer a column, an object a row) may
    have so many only where there are entries, too.
    """
    most = {"csr": None, "coo": None, "dok": None, "csc": shape[1], "lil": shape[0]}.get(fmt, max(shape))
    spare = _SLOW_LENGTH if fmt == "lil" else MAX_EMPTY_LENGTH
    if most is not None and most > spare + 64 * entries:
        raise ValueError(f"a {fmt} matrix of shape {shape} with {entries} entries: store it as csr")


def check_compressed(pointers: Any, places: Any, entries: int, length: int, width: int, axis: str) -> None:
    """Raise ValueError unless these arrays are what scipy's compiled code takes for granted.

    pointers (length + 1,): integers that rise from 0 to `entries`; places (entries,): integers in [0, width), which
    are `axis` ("column", "row"). Nothing is computed with them before their range is known.
    """
    for name, array in (("indptr", pointers), (f"{axis} numbers", places)):
        if array.dtype.kind not in "iu" or array.ndim != 1:
            raise ValueError(f"{name} must be a list of integers, got {array.dtype} of shape {array.shape}")
    if len(pointers) != length + 1:
        raise ValueError(f"indptr must have {length + 1} numbers, got {len(pointers)}")
    if int(pointers[0]) != 0 or bool((pointers[1:] < pointers[:-1]).any()):
        raise ValueError(f"indptr must rise from 0 in {length + 1} steps")
    if int(pointers[-1]) != entries or len(places) != entries:
        raise ValueError(
            f"{int(pointers[-1])} entries expected, found {entries} values and {len(places)} {axis} numbers"
        )
    check_places(places, width, axis)


def check_places(places: Any, width: int, axis: str) -> None:
    """Raise ValueError unless all row or column numbers are in [0, width)."""
    if len(places) and (int(places.min()) < 0 or int(places.max()) >= width):
        raise ValueError(f"{axis} numbers must be in [0, {width}), got {int(places.min())} to {int(places.max())}")


def check_matrix(matrix: Any) -> None:
    """Raise ValueError for a scipy sparse matrix whose arrays (which anyone can change) are not a matrix."""
    rows, columns = matrix.shape
    check_size(matrix.shape, int(matrix.nnz), matrix.format)
    if matrix.format in ("csr", "csc"):
        length, width, axis = (rows, columns, "column") if matrix.format == "csr" else (columns, rows, "row")
        count = int(matrix.indptr[-1]) if len(matrix.indptr) and matrix.indptr.dtype.kind in "iu" else 0
        entries = min(max(count, 0), len(matrix.data))
        check_compressed(matrix.indptr, matrix.indices[:entries], entries, length, width, axis)
    elif matrix.format == "coo":
        if not len(matrix.row) == len(matrix.col) == len(matrix.data):
            raise ValueError("row numbers, column numbers and values must be as many")
        check_places(matrix.row, rows, "row")
        check_places(matrix.col, columns, "column")


def csr_parts(matrix: Any) -> CsrParts:
    """The CSR arrays of a scipy sparse matrix or array of any format. ValueError for arrays that are not a matrix."""
    check_matrix(matrix)
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
    csr = sp.csr_matrix(matrix.shape, dtype=matrix.dtype)
    csr.data, csr.indices = data[order], columns[order].astype(matrix.offsets.dtype)
    csr.indptr = pointers_of(rows, matrix.shape[0], matrix.offsets.dtype)
    return csr


def pointers_of(places: IntArray, length: int, dtype: Any) -> IntArray:
    """The start of each row (or column), from the row of every entry, in pieces."""
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
            return CsrParts(matrix.shape, data, matrix.col, pointers_of(rows, matrix.shape[0], pointer_dtype))

        def columns(places: IntArray) -> IntArray:
            return np.asarray(matrix.col[places])

        order = "column" if _is_sorted(rows, columns) else "stored"
    indptr = pointers_of(rows, matrix.shape[0], pointer_dtype)
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
    """True where entries come by row, or, given the columns, by column and then by row; looked at in pieces."""
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
        per_block = max(BLOCK_ENTRIES, -(-len(rows) // _MAX_BLOCKS))
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
        matches = []
        for start in range(0, len(self.rows), _SCAN):
            piece = self.rows[start : start + _SCAN]
            matches.append(np.flatnonzero((piece >= low) & (piece < high)) + start)
        places = np.concatenate(matches)
        return places[np.argsort(self.rows[places], kind="stable")]


class EntrySource:
    """One array of the CSR form (an `ArraySource`), gathered from the matrix as it is asked for."""

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


def set_places(coo: Any, rows: IntArray, cols: IntArray) -> None:
    """Give a coordinate matrix its row and column numbers as they are (newer scipy casts what `row` is set to)."""
    if hasattr(coo, "coords"):
        coo.coords = (rows, cols)
    else:
        coo.row, coo.col = rows, cols
