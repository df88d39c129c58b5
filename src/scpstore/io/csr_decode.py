"""The three arrays of CSR, written by any program, back to a sparse matrix of the format that it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from scpstore.io.csr import (
    INDEX_DTYPES,
    MAX_EMPTY_LENGTH,
    IntArray,
    SparseKind,
    check_compressed,
    check_size,
    pointers_of,
    set_places,
)


def from_csr(shape: tuple[int, int], data: Any, indices: Any, indptr: Any, kind: SparseKind, order: Any = None) -> Any:
    """The matrix of that kind. The arrays are taken over, not copied, where the format allows it.

    order: positions of the entries in the original (`CsrParts.order`); one that does not fit is left aside.
    """
    if data.ndim != 1:
        raise ValueError(f"values must be one list, got the shape {data.shape}")
    check_size(shape, len(data), kind.format)
    check_compressed(indptr, indices, len(data), *shape, "column")
    indices, indptr = index_array(indices), index_array(indptr)
    family = "array" if kind.is_array else "matrix"
    if kind.format == "coo":
        return _coo(shape, data, indices, indptr, kind, order, getattr(sp, f"coo_{family}"))
    if kind.format == "csc":
        return _csc(shape, data, indices, indptr, kind, order, getattr(sp, f"csc_{family}"))
    csr = _csr(shape, data, indices, indptr, getattr(sp, f"csr_{family}"))
    if kind.format == "csr":
        return csr
    if kind.format == "bsr":
        _check_blocks(csr, kind.block_shape)
        return csr.tobsr(blocksize=kind.block_shape)
    if kind.format == "dia":
        diagonals = np.unique(indices.astype(np.int64) - _rows_of(indptr, np.int64))
        _check_filled(len(diagonals) * shape[1], len(data), "dia")
    return csr.asformat(kind.format)


def _check_blocks(matrix: Any, blocks: tuple[int, int] | None) -> None:
    shape = matrix.shape
    if blocks is None or min(blocks) < 1 or shape[0] % blocks[0] or shape[1] % blocks[1]:
        raise ValueError(f"blocks of {blocks} do not cut a matrix of shape {shape}")
    rows = _rows_of(matrix.indptr, np.int64) // blocks[0]
    filled = np.unique(rows * (shape[1] // blocks[1]) + matrix.indices.astype(np.int64) // blocks[1])
    _check_filled(len(filled) * blocks[0] * blocks[1], len(matrix.data), "bsr")


def _check_filled(elements: int, entries: int, fmt: str) -> None:
    if elements > MAX_EMPTY_LENGTH + 64 * entries:
        raise ValueError(f"a {fmt} matrix with room for {elements} elements, but {entries} entries: store it as csr")


def index_array(values: IntArray) -> IntArray:
    """Row, column or entry numbers in a dtype that scipy's compiled code takes."""
    if values.dtype in INDEX_DTYPES and values.dtype.isnative:
        return values
    fits = not len(values) or int(values.max()) <= np.iinfo(np.int32).max
    return values.astype(np.int32 if fits else np.int64)


def _csr(shape: tuple[int, int], data: Any, indices: Any, indptr: Any, make: Any) -> Any:
    """Not through scipy's constructor, which would choose other index dtypes."""
    csr = make(shape, dtype=np.float64)
    csr.data, csr.indices, csr.indptr = data, indices, indptr
    return csr


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
    out = np.empty(len(values), values.dtype)
    out[order] = values
    return out


def _coo(shape: tuple[int, int], data: Any, cols: Any, indptr: Any, kind: SparseKind, order: Any, make: Any) -> Any:
    rows = _rows_of(indptr, cols.dtype)
    if kind.entry_order == "column":
        sequence = np.argsort(cols, kind="stable")
        rows, cols, data = rows[sequence], cols[sequence], data[sequence]
    elif kind.entry_order == "stored" and _is_permutation(order, len(data)):
        rows, cols, data = (_scattered(values, order) for values in (rows, cols, data))
    coo = make(shape, dtype=np.float64)
    coo.data = data
    set_places(coo, rows, cols)
    return coo


def _csc(shape: tuple[int, int], data: Any, cols: Any, indptr: Any, kind: SparseKind, order: Any, make: Any) -> Any:
    csc = make(shape, dtype=np.float64)
    csc.indptr = pointers_of(cols, shape[1], indptr.dtype)
    if kind.entry_order == "stored" and _is_permutation(order, len(data)):
        csc.data = _scattered(data, order)
        csc.indices = _scattered(_rows_of(indptr, cols.dtype), order)
        return csc
    sequence = np.argsort(cols, kind="stable")  # scipy's conversion is as stable, but has no float16
    csc.data, csc.indices = data[sequence], _rows_of(indptr, cols.dtype)[sequence]
    return csc
