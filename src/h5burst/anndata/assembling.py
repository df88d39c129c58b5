"""Matrices put together of rows and columns of stored ones, a block of rows in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from h5burst._ext import csr_entries
from h5burst.anndata import encodings as spec
from h5burst.anndata.arrays import DenseArray
from h5burst.anndata.matrices import Csr, sparse_node
from h5burst.anndata.recompressing import Recompressed
from h5burst.model.tree import Array, Group, Node, Storage
from h5burst.read.blocks import read_ahead
from h5burst.read.lazy import LazyArray

IntArray = np.ndarray[Any, np.dtype[Any]]
_BLOCK_ENTRIES = 1 << 21  # that are looked through at once
_BLOCK_BYTES = 8 << 20  # of dense rows
_GATHERED_BYTES = 32 << 20  # of chosen rows that are brought together at once: each time all of a file may be needed
_REMEMBERED_ENTRIES = 24 << 20  # of all pieces, of which the first look keeps columns: some 5 bytes each
_GAP_BYTES = 64 << 10  # that are not wanted but read, rather than reading twice


@dataclass(frozen=True)
class Piece:
    """Rows and columns of one matrix.

    matrix: a node of a file, an array or sparse matrix in memory, None for rows that are missing. height: how many
    rows it gives. rows: which, in order; None for all. columns: for each column wanted where it is in the matrix, -1
    where it is not; None for all as they are.
    """

    matrix: Any
    height: int
    rows: IntArray | None = None
    columns: IntArray | None = None


def is_sparse(matrix: Any) -> bool:
    """True where a node or a matrix in memory is sparse."""
    return isinstance(matrix, Group) or sp.issparse(matrix)


def assembled(pieces: Sequence[Piece], width: int, storage: Storage, fill: Any = None) -> Node:
    """The node of the pieces one below the other: CSR where any of them is sparse, else dense.

    fill: what missing values of dense ones are; None: NaN, for which whole numbers become float64. Those of sparse
    ones are 0. Raises ValueError for another `fill` of sparse ones.
    """
    if not any(is_sparse(piece.matrix) for piece in pieces):
        return DenseArray.marked(Array(JoinedRows(pieces, width, fill)))
    if fill is not None and fill != 0:
        raise ValueError(f"fill_value={fill!r} would make a sparse matrix dense: leave it out, or make it dense before")
    rows = CsrPieces(pieces, width)
    growing = Storage(storage.codec, storage.level, maxshape=(None,))
    parts = {"data": rows.entries("data"), "indices": rows.entries("indices"), "indptr": rows.indptr}
    return sparse_node(Csr, (len(rows.indptr) - 1, width), parts, growing)


# ---------------------------------------------------------------- dense


class InOrder:
    """An array that is asked for from the first row to the last.

    Whole chunks are read ahead, each decoded once; what is stored as it is, is read where it is wanted.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype
        deep = (array.chunks or (1,))[0] if isinstance(array, LazyArray) else 1
        self._is_plain = isinstance(array, LazyArray) and not array.filters and bool(self.shape)
        row_bytes = max(1, int(np.prod(self.shape[1:])) * self.dtype.itemsize)
        self._step = max(1, _BLOCK_BYTES // (deep * row_bytes)) * deep
        self._blocks: Iterator[tuple[int, np.ndarray[Any, Any]]] = iter(())
        self._first, self._block = 0, np.empty((0, *self.shape[1:]), self.dtype)

    def parts(self, start: int, stop: int) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
        """The rows [start, stop) piece by piece, and where each begins; a piece is valid until the next."""
        if not isinstance(self._array, LazyArray):
            yield start, np.asarray(self._array[start:stop])
            return
        if self._is_plain:
            if len(self._block) < stop - start:
                self._block = np.empty((stop - start, *self.shape[1:]), self.dtype)
            self._array.read_into(start, self._block[: stop - start])
            yield start, self._block[: stop - start]
            return
        while start < stop:
            if not self._first <= start < self._first + len(self._block):
                self._go_to(start)
            part = self._block[start - self._first : stop - self._first]
            yield start, part
            start += len(part)
        if stop == self.shape[0]:
            self._blocks, self._first, self._block = iter(()), 0, self._block[:0].copy()

    def _go_to(self, row: int) -> None:
        if row != self._first + len(self._block) or not len(self._block):
            begin = row // self._step * self._step
            self._blocks = read_ahead(self._array, self._step, start=begin)
        self._first, self._block = next(self._blocks)

    def fill(self, start: int, out: np.ndarray[Any, Any]) -> None:
        """The rows from `start` on into memory, cast to its dtype."""
        if self._is_plain:
            self._array.read_into(start, out)
            return
        for first, part in self.parts(start, start + len(out)):
            out[first - start : first - start + len(part)] = part


class JoinedRows:
    """Dense pieces as an `ArraySource` of rows."""

    def __init__(self, pieces: Sequence[Piece], width: int, fill: Any = None) -> None:
        self._pieces = [(piece, _data_of(piece.matrix)) for piece in pieces]
        self._gathered = [
            None if piece.rows is None else _Gathered(data, np.arange(data.shape[0] + 1), piece.rows)
            for piece, data in self._pieces
        ]
        self._in_order = [None if data is None else InOrder(data) for _, data in self._pieces]
        self._starts = np.cumsum([0, *(piece.height for piece in pieces)])
        self.shape = (int(self._starts[-1]), width)
        dtypes = {np.dtype(data.dtype) for _, data in self._pieces if data is not None}
        self.dtype = np.result_type(*dtypes) if dtypes else np.dtype(np.float64)
        lacks = any(
            piece.height and (data is None or (piece.columns is not None and bool((piece.columns < 0).any())))
            for piece, data in self._pieces
        )
        self._fill = np.nan if fill is None else fill
        if lacks:
            self.dtype = _holding(self.dtype, self._fill)

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Rows [start, stop)."""
        rows_out = np.empty((stop - start, self.shape[1]), self.dtype)
        for number in range(*_overlapping(self._starts, start, stop)):
            piece, _ = self._pieces[number]
            before = int(self._starts[number])
            first, last = max(start, before), min(stop, int(self._starts[number + 1]))
            out = rows_out[first - start : last - start]
            in_order = self._in_order[number]
            if in_order is None:
                out[:] = self._fill
                continue
            gathered = self._gathered[number]
            if gathered is not None:
                self._put(gathered.parts(first - before, last - before), piece.columns, out)
                continue
            if piece.columns is None:
                in_order.fill(first - before, out)
                continue
            for begin, rows in in_order.parts(first - before, last - before):
                first_row = begin - (first - before)
                self._put(rows, piece.columns, out[first_row : first_row + len(rows)])
        return rows_out

    def _put(self, rows: np.ndarray[Any, Any], columns: IntArray | None, out: np.ndarray[Any, Any]) -> None:
        if columns is None:
            out[:] = rows
            return
        if not rows.shape[1]:
            out[:] = self._fill
            return
        if rows.dtype == out.dtype:
            np.take(rows, columns, axis=1, out=out, mode="clip")
        else:
            out[:] = np.take(rows, columns, axis=1, mode="clip")
        missing = columns < 0
        if missing.any():
            out[:, missing] = self._fill


def _data_of(matrix: Any) -> Any:
    return matrix.data if isinstance(matrix, Array) else matrix


def _holding(dtype: np.dtype[Any], fill: Any) -> np.dtype[Any]:
    """A dtype for these values and the missing one."""
    if dtype.kind == "f" and isinstance(fill, (int, float)):
        return dtype
    if dtype.kind == "b" and not isinstance(fill, (bool, np.bool_)):
        raise ValueError("columns of booleans are missing: fill_value=False (or True) says what is there")
    return np.result_type(dtype, np.min_scalar_type(fill)) if fill == fill else np.dtype(np.float64)


class _Gathered:
    """Chosen parts of an array, brought together block by block in the order of the file; one block is kept.

    edges: where part n of the array begins and ends; wanted: the parts, in order.
    """

    def __init__(self, array: Any, edges: IntArray, wanted_numbers: IntArray) -> None:
        self._array, self._edges, self._wanted = array, edges, wanted_numbers
        self._bytes = max(1, int(np.prod(array.shape[1:])) * np.dtype(array.dtype).itemsize)  # of an element of axis 0
        lengths = edges[wanted_numbers + 1] - edges[wanted_numbers]
        self._ends = np.concatenate([[0], np.cumsum(lengths)])
        self._block = (0, 0, np.empty((0, *array.shape[1:]), array.dtype))

    def parts(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """The parts [start, stop) of those wanted, one after the other."""
        pieces = []
        while start < stop:
            first, last, values = self._block
            if not first <= start < last:
                most = int(self._ends[start]) + max(1, _GATHERED_BYTES // self._bytes)
                last = max(start + 1, int(np.searchsorted(self._ends, most, "right")) - 1)
                first, values = start, self._read(self._wanted[start:last])
                self._block = (first, last, values)
            end = min(stop, last)
            origin = int(self._ends[first])
            pieces.append(values[int(self._ends[start]) - origin : int(self._ends[end]) - origin])
            start = end
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.empty((0, *self._array.shape[1:]), self._array.dtype)

    def _read(self, wanted_numbers: IntArray) -> np.ndarray[Any, Any]:
        places, back = np.unique(wanted_numbers, return_inverse=True)
        starts, stops = self._edges[places], self._edges[places + 1]
        lengths = stops - starts
        to = np.concatenate([[0], np.cumsum(lengths)])
        gathered = np.empty((int(to[-1]), *self._array.shape[1:]), self._array.dtype)
        for run in self._runs(starts, stops):
            first = int(starts[run.start])
            block = np.asarray(self._array[first : int(stops[run.stop - 1])])
            entries_of = (
                block[_ranges(starts[run] - first, lengths[run])] if len(block) != lengths[run].sum() else block
            )
            gathered[int(to[run.start]) : int(to[run.stop])] = entries_of
        return gathered if np.array_equal(places, wanted_numbers) else gathered[_ranges(to[:-1][back], lengths[back])]

    def _runs(self, starts: IntArray, stops: IntArray) -> Iterator[slice]:
        """Parts that are read in one request: near to each other, and not more than a block."""
        gap, most = max(1, _GAP_BYTES // self._bytes), max(1, _BLOCK_BYTES // self._bytes)
        breaks = np.flatnonzero(starts[1:] - stops[:-1] > gap) + 1
        for begin, end in pairwise([0, *breaks.tolist(), len(starts)]):
            first = begin
            while first < end:
                last = max(first + 1, int(np.searchsorted(stops[:end], starts[first] + most, "right")))
                yield slice(first, last)
                first = last


def _ranges(starts: IntArray, lengths: IntArray) -> IntArray:
    """The numbers from each start on, so many, one after the other."""
    numbers: IntArray = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    numbers += np.arange(len(numbers))
    return numbers


def _overlapping(starts: IntArray, start: int, stop: int) -> tuple[int, int]:
    first = int(np.searchsorted(starts, start, "right")) - 1
    last = int(np.searchsorted(starts, stop, "left"))
    return max(0, first), min(last, len(starts) - 1)


# ---------------------------------------------------------------- sparse


class CsrPieces:
    """Pieces as the three arrays of CSR: `indptr`, and the entries as sources."""

    def __init__(self, pieces: Sequence[Piece], width: int) -> None:
        self.pieces = [_SparsePiece(piece, width) for piece in pieces]
        room = _REMEMBERED_ENTRIES
        for each in self.pieces:
            room -= each.remember(room)
        lengths = np.concatenate([np.zeros(1, np.int64), *(piece.lengths() for piece in self.pieces)])
        indptr = np.cumsum(lengths)
        present = [piece for piece in self.pieces if piece.is_present]
        self.dtypes = {
            name: np.result_type(*(getattr(piece, name).dtype for piece in present)) for name in ("data", "indices")
        }
        is_small = indptr[-1] < 1 << 31 and self.dtypes["indices"].itemsize <= 4
        self.indptr = indptr.astype(np.int32) if is_small else indptr
        row_starts = np.cumsum([0, *(piece.height for piece in self.pieces)])
        self.entry_starts = indptr[row_starts]
        for piece, first, last in zip(self.pieces, row_starts[:-1], row_starts[1:], strict=True):
            piece.edges = indptr[first : last + 1] - indptr[first]

    def entries(self, name: str) -> _Entries:
        """The array "data" or "indices"."""
        return _Entries(self, name)


class _Entries:
    """All entries of one array, as an `ArraySource`."""

    def __init__(self, rows: CsrPieces, name: str) -> None:
        self._rows, self._name = rows, name
        self.shape = (int(rows.entry_starts[-1]),)
        self.dtype = rows.dtypes[name]

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Entries [start, stop)."""
        starts, out = self._rows.entry_starts, np.empty(stop - start, self.dtype)
        for number in range(*_overlapping(starts, start, stop)):
            before = int(starts[number])
            first, last = max(start, before), min(stop, int(starts[number + 1]))
            if first < last:
                piece = self._rows.pieces[number]
                piece.fill(self._name, first - before, out[first - start : last - start])
        return out


class _Chosen(NamedTuple):
    """Of some entries: how many of each row are left, which (0 or 1), and the places of the columns of these."""

    counts: IntArray
    is_left: IntArray
    placed: IntArray

    @classmethod
    def of(cls, columns: IntArray, edges: IntArray, places: IntArray, width: int) -> _Chosen:
        """The entries of these columns, row after row; places: of each column, -1 for nowhere.

        Raises IndexError for a column that there is not.
        """
        is_known = columns.dtype.isnative and columns.dtype.str[1:] in ("i4", "i8", "u4", "u8")
        counts, is_left = np.empty(len(edges) - 1, np.int64), np.empty(len(columns), np.uint8)
        placed = np.empty(len(columns), np.uint16 if width <= 1 << 16 else np.uint32)
        numbers = np.ascontiguousarray(columns if is_known else columns.astype(np.int64))
        left = csr_entries.choose(numbers, places.astype(np.int32), edges - edges[0], counts, is_left, placed)
        if left < 0:
            raise IndexError(f"columns {numbers.min()} to {numbers.max()} of {len(places)}")
        return cls(counts, is_left, placed[:left])


def _compressed(values: np.ndarray[Any, Any], is_left: IntArray) -> np.ndarray[Any, Any]:
    """The values that are left."""
    if values.dtype.itemsize not in (1, 2, 4, 8):
        left: IntArray = values[is_left.view(bool)]
        return left
    out, plain = np.empty(len(values), values.dtype), f"u{values.dtype.itemsize}"
    return out[: csr_entries.compress(np.ascontiguousarray(values).view(plain), is_left, out.view(plain))]


class _Remembered:
    """Entries of a piece that are left, and their columns, which are decoded once."""

    def __init__(self, entries: int) -> None:
        self.is_left, self._parts = np.zeros(entries, np.uint8), list[IntArray]()
        self._columns: IntArray | None = None

    def add(self, chosen: _Chosen, start: int) -> None:
        """Keep the entries from `start` on."""
        self.is_left[start : start + len(chosen.is_left)] = chosen.is_left
        self._parts.append(chosen.placed.copy())

    def columns(self, start: int, stop: int, dtype: np.dtype[Any]) -> IntArray:
        """Of the entries that are left, [start, stop)."""
        if self._columns is None:
            self._columns, self._parts = np.concatenate(self._parts), []
        return self._columns[start:stop].astype(dtype)


class _SparsePiece:
    def __init__(self, piece: Piece, width: int) -> None:
        self.height, self._rows, self._width = piece.height, piece.rows, width
        self.is_present = piece.matrix is not None
        self.edges = np.zeros(1, np.int64)  # of the entries that are left, by row
        self._ends_of_all = self.edges  # of all entries
        self._places: IntArray | None = None  # of each column of the matrix: where it goes, -1 for nowhere
        self._drops = False
        self._gathered: dict[str, _Gathered] = {}
        self._in_order: dict[str, InOrder] = {}
        self._remembered: _Remembered | None = None
        if not self.is_present:
            return
        self.data, self.indices, self._indptr, columns = csr_arrays(piece.matrix)
        if piece.columns is not None:
            is_kept = piece.columns >= 0
            self._places = np.full(columns, -1, self.indices.dtype)
            self._places[piece.columns[is_kept]] = np.flatnonzero(is_kept)
            self._drops = bool((self._places < 0).any())
            if not self._drops and np.array_equal(self._places, np.arange(columns)):
                self._places = None
        if width > np.iinfo(self.indices.dtype).max:
            raise ValueError(f"{width} columns do not fit indices of {self.indices.dtype}")

    def remember(self, room: int) -> int:
        """Keep what `lengths` finds of columns, where there is room for it; gives the number of entries."""
        if not self._drops:
            return 0
        lengths = np.diff(self._indptr)
        entries = int((lengths if self._rows is None else lengths[self._rows]).sum())
        if entries > room:
            return 0
        self._remembered = _Remembered(entries)
        return entries

    def lengths(self) -> IntArray:
        """Entries of each row that are left."""
        if not self.is_present:
            return np.zeros(self.height, np.int64)
        lengths = np.diff(self._indptr)
        lengths = lengths if self._rows is None else lengths[self._rows]
        if not self._drops or not lengths.sum():
            return lengths
        self._ends_of_all = edges = np.concatenate([[0], np.cumsum(lengths)])
        counts = np.zeros(self.height, np.int64)
        row = 0
        while row < self.height:
            stop = max(row + 1, int(np.searchsorted(edges, edges[row] + _BLOCK_ENTRIES, "right")) - 1)
            chosen = self._choose(row, stop)
            if self._remembered is not None:
                self._remembered.add(chosen, int(edges[row]))
            counts[row:stop] = chosen.counts
            row = stop
        return counts

    def _choose(self, first: int, last: int) -> _Chosen:
        """Those of the entries of the rows [first, last) that are left."""
        assert self._places is not None
        edges = self._ends_of_all[first : last + 1]
        return _Chosen.of(self._stored("indices", first, last), edges, self._places, self._width)

    def fill(self, name: str, start: int, out: np.ndarray[Any, Any]) -> None:
        """Of the entries that are left, those of the array "data" or "indices" from `start` on, into memory."""
        if self._rows is not None or self._drops:
            out[:] = self._gathered_entries(name, start, start + len(out))
            return
        if name not in self._in_order:
            self._in_order = {name: InOrder(getattr(self, name))}  # of the other no block stays
        in_order = self._in_order[name]
        if self._places is None or name == "data":
            in_order.fill(start, out)
            return
        for first, part in in_order.parts(start, start + len(out)):
            out[first - start : first - start + len(part)] = self._placed(part)

    def _gathered_entries(self, name: str, start: int, stop: int) -> np.ndarray[Any, Any]:
        if self._remembered is not None and name == "indices":
            return self._remembered.columns(start, stop, self.indices.dtype)
        first = int(np.searchsorted(self.edges, start, "right")) - 1
        last = int(np.searchsorted(self.edges, stop, "left"))
        if not self._drops:
            values = self._stored(name, first, last)
            values = values if name == "data" else self._placed(values)
        elif self._remembered is not None:
            begin, end = int(self._ends_of_all[first]), int(self._ends_of_all[last])
            values = _compressed(self._stored(name, first, last), self._remembered.is_left[begin:end])
        elif name == "indices":
            values = self._choose(first, last).placed.astype(self.indices.dtype)
        else:
            values = _compressed(self._stored(name, first, last), self._choose(first, last).is_left)
        return values[start - int(self.edges[first]) : stop - int(self.edges[first])]

    def _placed(self, columns: IntArray) -> IntArray:
        """The places to which columns go; a negative number, too, is an IndexError."""
        if self._places is None:
            return columns
        placed: IntArray = self._places.take(columns.view(f"u{columns.dtype.itemsize}"))
        return placed

    def _stored(self, name: str, start: int, stop: int) -> np.ndarray[Any, Any]:
        """The stored values of the rows [start, stop) of the piece, one after the other."""
        if self._rows is None:
            return np.asarray(getattr(self, name)[int(self._indptr[start]) : int(self._indptr[stop])])
        if name not in self._gathered:
            if not self._drops or self._remembered is not None:
                self._gathered.clear()  # the other is not asked for again, or all over again
            self._gathered[name] = _Gathered(getattr(self, name), self._indptr, self._rows)
        return self._gathered[name].parts(start, stop)


def csr_arrays(matrix: Any) -> tuple[Any, Any, IntArray, int]:
    """Data, indices, row pointers (in memory, int64) and the width; dense ones are brought into memory."""
    if isinstance(matrix, Group) and Csr.is_of(matrix):
        data, indices, indptr = (stored_data(matrix, part) for part in spec.SPARSE_PARTS)
        shape = np.asarray(matrix.attrs[spec.SHAPE]).reshape(-1)
        pointers = np.asarray(indptr).astype(np.int64)
        is_whole = len(pointers) == int(shape[0]) + 1 and pointers[0] == 0 and pointers[-1] == data.shape[0]
        if not is_whole or (np.diff(pointers) < 0).any():
            raise ValueError("its indptr does not rise from 0 to the number of its entries")
        return data, indices, pointers, int(shape[1])
    if isinstance(matrix, Group):
        rows, columns = (int(length) for length in np.asarray(matrix.attrs[spec.SHAPE]).reshape(-1))
        data, indices, indptr = (stored_data(matrix, part) for part in spec.SPARSE_PARTS)
        by_rows = Recompressed(data, indices, indptr, rows)
        if by_rows.shape[1] != columns:
            raise ValueError(f"its indptr is of {by_rows.shape[1]} columns, its shape of {columns}")
        return by_rows.entries("data"), by_rows.entries("indices"), by_rows.indptr, columns
    if not sp.issparse(matrix):
        matrix = _sparse_of(_data_of(matrix))
    csr = matrix.tocsr()
    return csr.data, csr.indices, csr.indptr.astype(np.int64), csr.shape[1]


def stored_data(group: Group, name: str) -> Any:
    """The array of that name. Raises ValueError where there is none."""
    node = group.children.get(name)
    if not isinstance(node, Array) or node.data is None:
        raise ValueError(f"a sparse matrix has no {name}")
    return node.data


def _sparse_of(data: Any) -> Any:
    step = max(1, _BLOCK_BYTES // max(1, int(np.prod(data.shape[1:])) * data.dtype.itemsize))
    blocks = [sp.csr_matrix(np.asarray(data[start : start + step])) for start in range(0, data.shape[0], step)]
    return sp.vstack(blocks, format="csr") if blocks else sp.csr_matrix(data.shape, dtype=data.dtype)
