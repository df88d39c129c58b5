"""Matrices that are not in memory: what they are, and how rows and columns of them are read.

A source has `shape`, `dtype` and `read(start, stop)`, which gives rows [start, stop). One whose `format` is text (as a
scipy matrix has it) gives CSR matrices, any other arrays.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias

import numpy as np
import scipy.sparse as sp

from h5burst import is_source, parallel_map

Matrix: TypeAlias = Any  # numpy array, scipy sparse matrix or array, or a source that is read block by block
_BLOCK_BYTES = 1 << 23  # of rows that are read at once
_GAP_BYTES = 1 << 17  # rows that are not wanted but read, rather than reading twice
_SPARSE_SHARE = 8  # rows of a sparse source that does not say are taken to be this much smaller than dense ones
_ENTRY_BYTES = 12  # of a sparse matrix: a value and a column


class RowReader(Protocol):
    """The source of the rows of a matrix; `format` is None for dense ones."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    format: str | None

    def read(self, start: int, stop: int) -> Any:
        """Rows [start, stop): an array, or a CSR matrix."""
        ...

    def read_whole(self) -> Any:
        """The whole matrix, in its own format."""
        ...


def is_sparse_source(values: Any) -> bool:
    """True where these values are read as blocks of CSR."""
    return is_source(values) and isinstance(getattr(values, "format", None), str)


def whole(values: Matrix) -> Matrix:
    """The matrix in memory; nothing is kept of a source."""
    if isinstance(values, LazyRows):
        return values.read_whole()
    if not is_source(values):
        return values
    if is_sparse_source(values):
        return sp.vstack([block for _, block in blocks(values)] or [sp.csr_matrix(values.shape, dtype=values.dtype)])
    return values.read(0, values.shape[0])


def rows_at_once(values: Matrix, budget: int = _BLOCK_BYTES) -> int:
    """Number of rows that make a block of `budget` bytes."""
    row_bytes: int | None = getattr(values, "row_bytes", None) if is_source(values) else None
    if row_bytes is None and sp.issparse(values):
        row_bytes = int(values.nnz) * _ENTRY_BYTES // max(1, values.shape[0])
    if row_bytes is None:
        share = _SPARSE_SHARE if is_sparse_source(values) else 1
        row_bytes = int(values.shape[1]) * np.dtype(values.dtype).itemsize // share
    return max(1, budget // max(1, row_bytes))


def blocks(values: Matrix, rows: int | None = None) -> Iterator[tuple[int, Any]]:
    """The matrix as (first row, rows) from the top, `rows` of them at a time (None: about 8 MiB)."""
    step = rows or rows_at_once(values)
    read = values.read if is_source(values) else None
    sliceable = values.tocsr() if sp.issparse(values) else values
    for start in range(0, values.shape[0], step):
        stop = min(start + step, values.shape[0])
        yield start, sliceable[start:stop] if read is None else read(start, stop)


def take(
    values: Matrix,
    rows: np.ndarray[Any, Any] | None,
    columns: np.ndarray[Any, Any] | None,
    room: np.ndarray[Any, Any] | None = None,
) -> Any:
    """These rows and columns (index arrays without negative numbers, None: all) of a source, in memory.

    Only stretches that hold wanted rows are read, a block at a time. `room`: dense memory for at least so many rows,
    which may be used.
    """
    sparse = is_sparse_source(values)
    index = np.arange(values.shape[0]) if rows is None else np.asarray(rows, np.int64)
    is_ascending = bool((index[1:] > index[:-1]).all())
    rows_wanted, places = (index, index) if is_ascending else np.unique(index, return_inverse=True)

    def read(run: np.ndarray[Any, Any]) -> Any:
        first = int(run[0])
        block = values.read(first, int(run[-1]) + 1)
        block = block if len(run) == block.shape[0] else block[run - first]
        return block if columns is None else block[:, columns]

    if columns is None and not sparse and hasattr(values, "read_into"):  # as they are stored, into their places
        rows = np.empty((len(rows_wanted), values.shape[1]), values.dtype) if room is None else room[: len(rows_wanted)]
        if values.read_into(rows_wanted, rows):
            return rows if is_ascending else rows[places]
    threads = None if getattr(values, "reads_in_threads", False) else 1
    read_rows = getattr(values, "read_rows", None)
    if read_rows is not None and len(rows_wanted) and rows_wanted[-1] - rows_wanted[0] >= len(rows_wanted):
        most = rows_at_once(values)  # a list of rows in one request, a block of them at a time
        lists = [rows_wanted[start : start + most] for start in range(0, len(rows_wanted), most)]
        parts = parallel_map(read_rows, lists, threads)
        parts = parts if columns is None else [part[:, columns] for part in parts]
    else:
        parts = parallel_map(read, list(_runs(rows_wanted, values)), threads)
    width = values.shape[1] if columns is None else len(columns)
    if sparse:
        picked = _stacked(parts) if parts else sp.csr_matrix((0, width), dtype=values.dtype)
        return picked if is_ascending else picked[places]
    joined = np.concatenate(parts) if parts else np.empty((0, width), values.dtype)
    return joined if is_ascending else joined[places]


def _stacked(parts: list[Any]) -> Any:
    return parts[0].tocsr() if len(parts) == 1 else sp.vstack(parts, format="csr")


def _runs(rows_wanted: np.ndarray[Any, Any], values: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Sorted rows in stretches: each of at most a block, and broken where a gap costs more than reading anew."""
    if not len(rows_wanted):
        return
    gap = rows_at_once(values, _GAP_BYTES)
    most = rows_at_once(values)
    for run in np.split(rows_wanted, np.flatnonzero(np.diff(rows_wanted) > gap) + 1):
        edges = np.searchsorted(run, np.arange(run[0], run[-1] + 1, most)[1:])
        yield from (part for part in np.split(run, edges) if len(part))


# ---------------------------------------------------------------- a matrix that reads itself

_OPERATORS: dict[Any, Callable[[Any, Any], Any]] = {
    np.add: operator.add, np.subtract: operator.sub, np.multiply: operator.mul, np.true_divide: operator.truediv,
    np.matmul: operator.matmul, np.power: operator.pow, np.equal: operator.eq, np.not_equal: operator.ne,
    np.less: operator.lt, np.less_equal: operator.le, np.greater: operator.gt, np.greater_equal: operator.ge,
}  # fmt: skip
_SPARSE_ARRAYS = frozenset({"data", "indices", "indptr", "row", "col", "nnz", "blocksize", "offsets", "rows"})


class LazyRows(np.lib.mixins.NDArrayOperatorsMixin):
    """A matrix of a file, with the behaviour of the array or sparse matrix that it is read as.

    `x[rows, columns]` (as of an array or CSR matrix), `iter_blocks()` and selections of containers read what they
    need. Everything else (arithmetic, numpy's functions, `sum`, `toarray`, …, assignments) reads the whole, which
    then stays in memory where the owner keeps it.
    """

    def __init__(self, reader: RowReader, keep: Callable[[], Any] | None = None) -> None:
        self._reader = reader
        self._keep = keep or reader.read_whole
        self.shape = reader.shape
        self.dtype = reader.dtype
        self.format = reader.format
        self.row_bytes: int | None = getattr(reader, "row_bytes", None)
        self.read_rows: Callable[[np.ndarray[Any, Any]], Any] | None = getattr(reader, "read_rows", None)
        if self.format is None and hasattr(reader, "read_into"):
            self.read_into: Callable[[np.ndarray[Any, Any], np.ndarray[Any, Any]], bool] = reader.read_into
        if hasattr(reader, "csr_parts"):  # as `scpstore.io.csr.CsrParts`, of a matrix that is not stored by rows
            self.csr_parts: Callable[[], Any] = reader.csr_parts
        self.prefetch: Callable[[np.ndarray[Any, Any]], bool] = getattr(reader, "prefetch", lambda _: False)
        self.reads_in_threads: bool = getattr(reader, "reads_in_threads", False)  # several of its blocks at once

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def reader(self) -> RowReader:
        """The source of the rows."""
        return self._reader

    def __repr__(self) -> str:
        return f"<LazyRows {self.shape} {self.dtype} {self.format or 'dense'}>"

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int) -> Any:
        """Rows [start, stop): an array, or a CSR matrix."""
        return self._reader.read(start, stop)

    def read_whole(self) -> Any:
        """The whole matrix, in its own format; it is not kept."""
        return self._reader.read_whole()

    def iter_blocks(self, rows: int | None = None) -> Iterator[Any]:
        """All rows from the top, `rows` of them at a time (None: about 8 MiB)."""
        return (block for _, block in blocks(self, rows))

    def __getitem__(self, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        rows, rest = (parts[0], parts[1:]) if parts else (slice(None), ())
        if rows is Ellipsis:
            rows, rest = slice(None), rest if len(rest) < 2 else rest[-1:]
        if isinstance(rows, slice):
            chosen = range(self.shape[0])[rows]
            low, high = (min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1) if chosen else (0, 0)
            block = self.read(low, high)
            inner = (slice(None, None, chosen.step), *rest)
            return block[inner]
        index = np.asarray(rows)
        if index.ndim > 1 or rows is None or (index.dtype.kind not in "biu" and index.size):
            return self._keep()[key]
        if index.dtype == bool and index.shape != (self.shape[0],):
            raise IndexError(f"a boolean index of shape {index.shape} does not fit {self.shape[0]} rows")
        index = np.flatnonzero(index) if index.dtype == bool else _wrapped(index.astype(np.int64), self.shape[0])
        if index.ndim == 0:
            inner = (0, *rest)
            return self.read(int(index), int(index) + 1)[inner]
        block = take(self, index, None)
        paired = rest and np.ndim(rest[0]) and not isinstance(rest[0], slice)
        inner = (np.arange(len(index)) if paired else slice(None), *rest)
        return block[inner]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._keep()[key] = value

    def __iter__(self) -> Iterator[Any]:
        for block in self.iter_blocks():
            yield from block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if self.format is not None:
            raise TypeError("a sparse matrix does not become an array by itself: use x.toarray() or x[rows].toarray()")
        array: np.ndarray[Any, Any] = self._keep()
        return np.array(array, dtype=dtype) if copy else np.asarray(array, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(target, LazyRows) for target in kwargs.get("out", ())):
            return NotImplemented
        given = [x._keep() if isinstance(x, LazyRows) else x for x in inputs]
        if method == "__call__" and len(given) == 2 and ufunc in _OPERATORS and any(map(sp.issparse, given)):
            return _OPERATORS[ufunc](*given)
        if method == "__call__" and len(given) == 1 and sp.issparse(given[0]) and hasattr(given[0], ufunc.__name__):
            return getattr(given[0], ufunc.__name__)()
        return getattr(ufunc, method)(*given, **kwargs)

    def __getattr__(self, name: str) -> Any:
        kind = np.ndarray if self.__dict__.get("format") is None else getattr(sp, f"{self.format}_matrix")
        if name.startswith("_") or not (hasattr(kind, name) or (self.format is not None and name in _SPARSE_ARRAYS)):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._keep(), name)

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyRows:
        return LazyRows(self._reader)  # what is in a file does not change


def _wrapped(index: np.ndarray[Any, Any], length: int) -> np.ndarray[Any, Any]:
    """Positions with negative ones counted from the end."""
    if index.size and (index.min() < -length or index.max() >= length):
        raise IndexError(f"rows {index.min()} to {index.max()} are out of bounds for {length} rows")
    return np.where(index < 0, index + length, index)
