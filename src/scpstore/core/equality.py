"""Bitwise equality: dtypes, formats, order, signs of zero and payloads of NaN count.

`difference` finds the first place where two values differ and says it in one line; None means that there is none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import polars as pl
import scipy.sparse as sp

from h5burst import is_source
from scpstore.core.sources import blocks, is_sparse_source, whole

_BLOCK_BYTES = 1 << 22


class Comparable:
    """A structure that equals another of its type when the attributes that `compared` names do, to the bit."""

    compared: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and difference(self, other) is None

    __hash__ = None  # type: ignore[assignment]


def assert_identical(a: Any, b: Any) -> None:
    """Raise unless two containers (or parts of them) are equal to the bit.

    Parameters
    ----------
    a, b
        Structures, frames, arrays, or dicts and lists of them.

    Raises
    ------
    AssertionError
        Names the first difference and its place.

    Examples
    --------
    >>> from scptensor import assert_identical, load_hdf5
    >>> assert_identical(load_hdf5("cells.h5"), load_hdf5("cells.h5", lazy=True))
    """
    problem = difference(a, b)
    if problem is not None:
        raise AssertionError(problem)


def difference(a: Any, b: Any, path: str = "") -> str | None:
    """The first difference between two structures, as text with its place.

    Parameters
    ----------
    a, b
        Structures, frames, arrays, or dicts and lists of them.
    path
        Begins the place.

    Returns
    -------
    str or None
        None where they are equal to the bit.

    Examples
    --------
    >>> from scptensor import load_hdf5
    >>> from scptensor.core import difference
    >>> container = load_hdf5("cells.h5")
    >>> difference(container, container.filter_samples(["A"]))
    '.obs: 3 != 1 rows'
    """
    if is_source(a) and is_source(b) and a.shape == b.shape and a.dtype == b.dtype:
        if not is_sparse_source(a) and not is_sparse_source(b):
            return _first(_array_difference(x, y, path, row) for row, x, y in _side_by_side(a, b))
        both_rows = all(is_sparse_source(side) and getattr(side, "format", "") == "csr" for side in (a, b))
        if both_rows and all(difference(x, y) is None for _, x, y in _side_by_side(a, b)):
            return None
    a, b = (whole(values) if is_source(values) else values for values in (a, b))
    if isinstance(a, Comparable) and isinstance(b, Comparable) and (isinstance(a, type(b)) or isinstance(b, type(a))):
        return _first(difference(getattr(a, name), getattr(b, name), f"{path}.{name}") for name in a.compared)
    if isinstance(a, Mapping) and isinstance(b, Mapping) and not sp.issparse(a):  # a dok matrix is a mapping, too
        return _mapping_difference(a, b, path)
    if type(a) is not type(b):
        return f"{path}: {type(a).__name__} != {type(b).__name__}"
    if isinstance(a, pl.DataFrame):
        return frame_difference(a, b, path)
    if sp.issparse(a):
        return _sparse_difference(a, b, path)
    if isinstance(a, np.ndarray):
        return _array_difference(a, b, path)
    return _plain_difference(a, b, path)


def _mapping_difference(a: Mapping[Any, Any], b: Mapping[Any, Any], path: str) -> str | None:
    if list(a) != list(b) or [type(key) for key in a] != [type(key) for key in b]:
        return f"{path}: keys {list(a)} != {list(b)}"
    return _first(difference(a[key], b[key], f"{path}[{key!r}]") for key in a)


def _plain_difference(a: Any, b: Any, path: str) -> str | None:
    if isinstance(a, (list, tuple)):
        if len(a) != len(b):
            return f"{path}: {len(a)} != {len(b)} items"
        return _first(difference(a[index], b[index], f"{path}[{index}]") for index in range(len(a)))
    if isinstance(a, np.generic):
        return _array_difference(np.asarray(a), np.asarray(b), path)
    if isinstance(a, float):
        return None if struct.pack("d", a) == struct.pack("d", b) else f"{path}: {a!r} != {b!r}"
    if isinstance(a, complex):
        return difference([a.real, a.imag], [b.real, b.imag], path)
    return None if a == b else f"{path}: {a!r} != {b!r}"


def _first(problems: Any) -> str | None:
    return next((item for item in problems if item is not None), None)


# ---------------------------------------------------------------- matrices


def _side_by_side(a: Any, b: Any) -> Iterator[tuple[int, Any, Any]]:
    """The blocks of two sources: first row, rows of each."""
    return ((row, block, b.read(row, row + block.shape[0])) for row, block in blocks(a))


def _array_difference(a: Any, b: Any, path: str, first_row: int = 0) -> str | None:
    if type(a) is not type(b) or a.dtype != b.dtype or a.shape != b.shape:
        return f"{path}: {_outline(a)} != {_outline(b)}"
    if a.dtype.hasobject:  # records with objects become tuples
        return difference(a.ravel().tolist(), b.ravel().tolist(), path)
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)  # a view where the array is contiguous
    step = max(1, _BLOCK_BYTES // max(1, a.dtype.itemsize))
    for start in range(0, flat_a.size, step):
        piece_a, piece_b = flat_a[start : start + step], flat_b[start : start + step]
        if piece_a.tobytes() != piece_b.tobytes():
            index = start + _first_index(piece_a, piece_b)
            indices = [int(i) for i in np.unravel_index(index, a.shape)]
            indices[:1] = [row + first_row for row in indices[:1]]
            return f"{path}{indices}: {flat_a[index]!r} != {flat_b[index]!r}"
    return None


def _first_index(a: Any, b: Any) -> int:
    return next(i for i in range(a.size) if a[i : i + 1].tobytes() != b[i : i + 1].tobytes())


def _outline(values: Any) -> str:
    return f"{type(values).__name__} {getattr(values, 'dtype', '')} {getattr(values, 'shape', '')}"


_PARTS = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "row", "col"),
}


def _sparse_difference(a: Any, b: Any, path: str) -> str | None:
    if a.dtype != b.dtype or a.shape != b.shape:
        return f"{path}: {_outline(a)} != {_outline(b)}"
    if a.format not in _PARTS:  # lil, dok, dia: no order of their own
        a, b = _sorted_coo(a), _sorted_coo(b)
    for name in _PARTS[a.format]:
        part_a, part_b = getattr(a, name), getattr(b, name)
        stored = int(a.indptr[-1]) if name in ("data", "indices") and a.format in ("csr", "csc") else None
        problem = _array_difference(part_a[:stored], part_b[:stored], f"{path}.{name}")
        if problem is not None:
            return problem
    return None


def _sorted_coo(values: Any) -> Any:
    coo = values.tocoo(copy=True)
    order = np.lexsort((coo.col, coo.row))
    coo.data, coo.row, coo.col = coo.data[order], coo.row[order].astype(np.int64), coo.col[order].astype(np.int64)
    return coo


# ---------------------------------------------------------------- frames


def frame_difference(a: pl.DataFrame, b: pl.DataFrame, path: str) -> str | None:
    """The first difference of two frames: column order, dtypes, nulls, values."""
    if a.columns != b.columns:
        return f"{path}: columns {a.columns} != {b.columns}"
    if a.height != b.height:
        return f"{path}: {a.height} != {b.height} rows"
    return _first(_series_difference(a[name], b[name], f"{path}[{name!r}]") for name in a.columns)


def _series_difference(a: pl.Series, b: pl.Series, path: str) -> str | None:
    if a.dtype != b.dtype:
        return f"{path}: {a.dtype} != {b.dtype}"
    null_a, null_b = a.is_null(), b.is_null()
    if not null_a.equals(null_b):
        return f"{path}: nulls at rows {null_a.arg_true().to_list()[:9]} != {null_b.arg_true().to_list()[:9]}"
    valid_a, valid_b = a.drop_nulls(), b.drop_nulls()
    if a.dtype.is_float():
        return _array_difference(valid_a.to_numpy(), valid_b.to_numpy(), path)
    if isinstance(a.dtype, (pl.List, pl.Array)):
        return _list_difference(valid_a, valid_b, path)
    if isinstance(a.dtype, pl.Struct):
        if not a.dtype.fields:
            return None
        # By place: polars takes a name such as "*" for a pattern.
        fields = zip(valid_a.struct.unnest().get_columns(), valid_b.struct.unnest().get_columns(), strict=True)
        return _first(_series_difference(x, y, f"{path}.{x.name}") for x, y in fields)
    if a.dtype.is_temporal():
        valid_a, valid_b = valid_a.to_physical(), valid_b.to_physical()
    return None if valid_a.to_list() == valid_b.to_list() else _value_difference(valid_a, valid_b, path)


def _list_difference(a: pl.Series, b: pl.Series, path: str) -> str | None:
    if isinstance(a.dtype, pl.Array):
        a, b = a.arr.to_list(), b.arr.to_list()
    length_a, length_b = a.list.len(), b.list.len()
    if not length_a.equals(length_b):
        return f"{path}: lists of different lengths"
    filled = length_a > 0
    return _series_difference(a.filter(filled).explode(), b.filter(filled).explode(), f"{path}[]")


def _value_difference(a: pl.Series, b: pl.Series, path: str) -> str | None:
    pairs = zip(a.to_list(), b.to_list(), strict=True)
    return next((f"{path}[{row}]: {x!r} != {y!r}" for row, (x, y) in enumerate(pairs) if x != y), None)
