"""Dense matrices to CSR (compressed sparse rows), whole, block by block or a stretch of it, and back.

The parts equal those of `scipy.sparse.csr_matrix(dense)`: row by row, columns ascending, NaN kept, −0.0 dropped. All
integer and float dtypes and bool are taken, in any memory order; other byte orders and unaligned arrays are copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from h5burst._ext import csr as _ext
from h5burst.runtime import simd
from h5burst.runtime.threads import parallel_map, split_evenly, thread_count

_INT32_MAX = np.iinfo(np.int32).max
_PIECES = 4  # of work for each thread, so that one slow piece does not keep the others waiting


@dataclass(frozen=True, slots=True)
class CsrParts:
    """data (entries,), indices (entries,) the columns, indptr (rows + 1,): row r is `data[indptr[r]:indptr[r + 1]]`."""

    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]


def index_dtype(shape: tuple[int, int], entries: int) -> np.dtype[Any]:
    """The dtype of indices and indptr that scipy would choose: int32 where everything fits, else int64."""
    return np.dtype(np.int32 if max(*shape, entries) <= _INT32_MAX else np.int64)


def row_pointers(dense: NDArray[Any], *, threads: int | None = None) -> NDArray[np.int64]:
    """The row pointers (rows + 1,) int64 of `dense` as CSR: all that must be known before its parts can be streamed.

    Raises
    ------
    TypeError
        `dense` is not an array of a bool, integer or float dtype.
    ValueError
        `dense` is not two-dimensional.
    """
    return _row_pointers(_checked_dense(dense), threads)


def encode(dense: NDArray[Any], *, threads: int | None = None) -> CsrParts:
    """The CSR parts of `dense` (rows, columns), index dtype as `index_dtype` says. Errors as `row_pointers`."""
    dense = _checked_dense(dense)
    pointers = _row_pointers(dense, threads)
    index = index_dtype(dense.shape, int(pointers[-1]))
    parts = CsrParts(np.empty(pointers[-1], dense.dtype), np.empty(pointers[-1], index), pointers.astype(index))
    _fill(dense, pointers, 0, parts.data, parts.indices, threads)
    return parts


def encode_blocks(
    blocks: Iterable[NDArray[Any]],
    *,
    indices_dtype: DTypeLike = np.int64,
    threads: int | None = None,
) -> Iterator[CsrParts]:
    """CSR parts of a matrix that comes as blocks of rows, one block at a time; no more than that is held.

    A part's `indptr` (rows of the block + 1,) int64 goes on from the part before, so that all parts' data and indices
    concatenated, and their pointers without each later part's first, are the matrix.

    Raises
    ------
    TypeError, ValueError
        As `row_pointers`; also when a block's dtype or number of columns differs from the first one's, or a column
        does not fit `indices_dtype`.
    """
    index = np.dtype(indices_dtype)
    if index not in (np.int32, np.int64):
        raise TypeError(f"indices_dtype must be int32 or int64, got {index}")
    done = 0
    first: tuple[np.dtype[Any], int] | None = None
    for block in blocks:
        block = _checked_dense(block, "blocks")
        dtype, columns = first = first or (block.dtype, block.shape[1])
        if (block.dtype, block.shape[1]) != first:
            raise ValueError(
                f"blocks must agree in dtype and columns: {dtype} × {columns}, then {block.dtype} × {block.shape[1]}"
            )
        if index == np.int32 and columns > _INT32_MAX:
            raise ValueError(f"indices_dtype int32 cannot hold {columns} columns")
        pointers = _row_pointers(block, threads) + done
        parts = CsrParts(np.empty(pointers[-1] - done, block.dtype), np.empty(pointers[-1] - done, index), pointers)
        _fill(block, pointers, done, parts.data, parts.indices, threads)
        done = int(pointers[-1])
        yield parts


def read_data(
    dense: NDArray[Any], pointers: NDArray[np.int64], start: int, stop: int, *, threads: int | None = None
) -> NDArray[Any]:
    """`data[start:stop]` of `dense` as CSR, computed without the rest. pointers: `row_pointers(dense)`.

    Raises
    ------
    TypeError, ValueError
        As `row_pointers`; also when `pointers` do not fit `dense` or [start, stop) is not within its entries.
    """
    dense, pointers = _checked_stretch(dense, pointers, start, stop)
    data = np.empty(stop - start, dense.dtype)
    _fill(dense, pointers, start, data, np.empty(0, np.int32), threads)
    return data


def read_indices(
    dense: NDArray[Any], pointers: NDArray[np.int64], start: int, stop: int, *, threads: int | None = None
) -> NDArray[Any]:
    """`indices[start:stop]` of `dense` as CSR, dtype as `index_dtype` says; otherwise as `read_data`."""
    dense, pointers = _checked_stretch(dense, pointers, start, stop)
    indices = np.empty(stop - start, index_dtype(dense.shape, int(pointers[-1])))
    _fill(dense, pointers, start, np.empty(0, dense.dtype), indices, threads)
    return indices


def decode(
    data: NDArray[Any],
    indices: NDArray[Any],
    indptr: NDArray[Any],
    columns: int,
    *,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """The dense matrix (rows, columns), C order, dtype of `data`; equal to `csr_matrix(...).toarray()`.

    indptr (rows + 1,) points into data and indices; it need not begin at 0, so a slice of it gives a block of rows.
    Columns may stand in any order; entries of the same place are added up. out: where to write, instead of a new array.

    Raises
    ------
    TypeError
        `data` is not bool, integer or float, or `indices` or `indptr` not integer.
    ValueError
        Shapes do not fit; `indptr` descends or leaves the data; a column is outside [0, columns); `out` has another
        shape or dtype, or is not C-contiguous and writable.
    """
    data, indices, pointers = _checked_parts(data, indices, indptr, columns, thread_count(threads))
    shape = (pointers.size - 1, columns)
    if out is None:
        out = np.zeros(shape, data.dtype)  # fresh pages are zero already, which saves a pass over them
    elif out.shape != shape or out.dtype != data.dtype or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(
            f"out must be C-contiguous, writable, {data.dtype} of shape {shape}; got {out.dtype} of shape {out.shape}"
        )
    else:
        out[...] = 0
    half = data.dtype == np.float16
    if half and _ext.repeats(indices, pointers):
        rows = np.repeat(np.arange(shape[0]), np.diff(pointers))
        np.add.at(out, (rows, indices[pointers[0] : pointers[-1]]), data[pointers[0] : pointers[-1]])
        return out
    if half:
        data = data + data.dtype.type(0)  # 0 + −0.0 is 0.0
    values, target = _as_number(data), _as_number(out)

    def rows_of(piece: tuple[int, int]) -> None:
        first, last = piece
        _ext.decode(values, indices, pointers[first : last + 1], data.dtype == np.bool_, target[first:last])

    parallel_map(rows_of, split_evenly(shape[0], _PIECES * thread_count(threads)), threads)
    return out


def _row_pointers(dense: NDArray[Any], threads: int | None) -> NDArray[np.int64]:
    pointers = np.zeros(dense.shape[0] + 1, np.int64)
    words, mask, level = _words(dense), _mask(dense.dtype), simd.level()

    def count(piece: tuple[int, int]) -> None:
        _ext.count(words[piece[0] : piece[1]], mask, pointers[piece[0] + 1 : piece[1] + 1], level)

    parallel_map(count, split_evenly(dense.shape[0], _PIECES * thread_count(threads)), threads)
    return np.cumsum(pointers, out=pointers)


def _fill(
    dense: NDArray[Any],
    pointers: NDArray[np.int64],
    start: int,
    data: NDArray[Any],
    indices: NDArray[Any],
    threads: int | None,
) -> None:
    """Entries from `start` on into `data` and `indices`; one that is empty is left out."""
    stop = start + max(data.size, indices.size)
    first = int(np.searchsorted(pointers, start, "right")) - 1
    last = int(np.searchsorted(pointers, stop, "left"))
    words, mask, level, values = _words(dense), _mask(dense.dtype), simd.level(), _words(data)
    none = np.empty(0, np.int32), np.empty(0, np.int64)

    def encode_rows(piece: tuple[int, int]) -> None:
        begin, end = first + piece[0], first + piece[1]
        begin_entry, end_entry = max(start, int(pointers[begin])), min(stop, int(pointers[end]))
        here = slice(begin_entry - start, end_entry - start)
        narrow, wide = (indices[here], none[1]) if indices.dtype == np.int32 else (none[0], indices[here])
        _ext.encode(words[begin:end], mask, pointers[begin : end + 1], begin_entry, values[here], narrow, wide, level)

    if stop > start:
        parallel_map(encode_rows, split_evenly(last - first, _PIECES * thread_count(threads)), threads)


def _words(array: NDArray[Any]) -> NDArray[Any]:
    """The same elements as unsigned integers of their size; long double stays."""
    return array if array.dtype.char == "g" else array.view(f"u{array.dtype.itemsize}")


def _mask(dtype: np.dtype[Any]) -> int:
    """The bits of which one must be set in a value that is not zero: all but a float's sign."""
    return 2 ** (8 * dtype.itemsize - (dtype.kind == "f")) - 1 if dtype.char != "g" else 0


def _as_number(array: NDArray[Any]) -> NDArray[Any]:
    """A dtype in which the kernel adds with the same result: integers wrap alike, signed or not."""
    return array if array.dtype.char in "fdg" else _words(array)


def _checked_dense(dense: NDArray[Any], name: str = "dense") -> NDArray[Any]:
    if not isinstance(dense, np.ndarray) or dense.dtype.kind not in "biuf":
        what = f"an array of {dense.dtype}" if isinstance(dense, np.ndarray) else type(dense).__name__
        raise TypeError(f"{name} must be an array of a bool, integer or float dtype, got {what}")
    if dense.ndim != 2:
        raise ValueError(f"{name} must have two dimensions, got shape {dense.shape}")
    return np.require(dense, dense.dtype.newbyteorder("="), "A")


def _checked_stretch(
    dense: NDArray[Any], pointers: NDArray[np.int64], start: int, stop: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    dense = _checked_dense(dense)
    pointers = _checked_pointers(pointers, "pointers")
    if pointers.size != dense.shape[0] + 1 or pointers[0] != 0:
        raise ValueError(f"pointers must be row_pointers(dense): {dense.shape[0] + 1} of them, the first 0")
    if not 0 <= start <= stop <= pointers[-1]:
        raise ValueError(f"start and stop must be in 0 … {pointers[-1]} in this order, got {start} and {stop}")
    return dense, pointers


def _checked_pointers(pointers: NDArray[Any], name: str) -> NDArray[np.int64]:
    if not isinstance(pointers, np.ndarray) or pointers.dtype.kind not in "iu":
        raise TypeError(f"{name} must be an array of integers")
    if pointers.ndim != 1 or pointers.size < 1 or np.any(pointers[1:] < pointers[:-1]) or pointers[0] < 0:
        raise ValueError(f"{name} must be rows + 1 ascending numbers, none negative")
    return np.ascontiguousarray(pointers, np.int64)


def _checked_parts(
    data: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any], columns: int, threads: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    pointers = _checked_pointers(indptr, "indptr")
    if not isinstance(data, np.ndarray) or data.dtype.kind not in "biuf":
        raise TypeError("data must be an array of a bool, integer or float dtype")
    if not isinstance(indices, np.ndarray) or indices.dtype.kind not in "iu":
        raise TypeError("indices must be an array of integers")
    if columns < 0:
        raise ValueError(f"columns must not be negative, got {columns}")
    if data.ndim != 1 or indices.shape != data.shape:
        raise ValueError(f"data and indices must be of one length, got shapes {data.shape} and {indices.shape}")
    if pointers[-1] > data.size:
        raise ValueError(f"indptr ends at {pointers[-1]}, past the {data.size} entries of data")
    data = np.require(data, data.dtype.newbyteorder("="), ["A", "C"])
    indices = np.require(indices, indices.dtype if indices.dtype == np.int32 else np.int64, ["A", "C"])
    used = indices[pointers[0] : pointers[-1]]

    def column_range(piece: tuple[int, int]) -> tuple[int, int]:
        return _ext.column_range(used[piece[0] : piece[1]])

    for low, high in parallel_map(column_range, split_evenly(used.size, threads), threads):
        if low < 0 or high >= columns:
            raise ValueError(f"indices must be in [0, {columns}), found {low if low < 0 else high}")
    return data, indices, pointers
