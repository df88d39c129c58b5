"""A polars frame as a group of columns, with what the columns cannot say beside it (the extras).

extras:  columns            names in order (text)
         attribute height   of a frame without columns
         nulls/{column}     null mask, where the column's own values leave it open
         dtypes/{column}    the dtype as JSON text, where it is long
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import polars as pl

from h5burst.model.tree import Array, Group, escape_link
from h5burst.model.values import decode_value, encode_value
from scpstore.io.columns import decode_column, encode_column, object_array
from scpstore.io.dtypes import UnknownDtypeError
from scpstore.io.exceptions import IOFormatError, IOWriteError

COLUMNS, NULLS, DTYPES, HEIGHT = "columns", "nulls", "dtypes", "height"


def encode_frame(frame: pl.DataFrame, where: str) -> tuple[Group, Group]:
    """The group of columns, and the extras. Raises `IOWriteError` for a column that no file can hold."""
    columns, nulls, dtypes = Group(), Group(), Group()
    for series in frame.get_columns():
        try:
            column = encode_column(series)
        except UnknownDtypeError as error:
            raise IOWriteError(f"{where}/{series.name}: {error}") from error
        columns.children[series.name] = column.node
        if column.mask is not None:
            nulls.children[series.name] = Array(column.mask)
        if column.dtype is not None:
            dtypes.children[series.name] = Array(object_array([column.dtype]))
    extras = Group({COLUMNS: encode_value(object_array(frame.columns), scalars="attributes")})
    if not frame.columns:
        extras.attrs[HEIGHT] = frame.height
    extras.children.update({name: group for name, group in ((NULLS, nulls), (DTYPES, dtypes)) if group.children})
    return columns, extras


def decode_frame(group: Group, extras: Group | None, where: str) -> pl.DataFrame:
    """The frame in a group, whoever wrote it: columns in their saved order, others behind in name order.

    Raises `IOFormatError` for columns of different lengths or of no known form.
    """
    extras = extras or Group()
    for name, node in group.children.items():
        if isinstance(node, Group):
            warnings.warn(f"{where}/{name} is a group, not a column: it is left out", UserWarning, stacklevel=2)
    present = {name: node for name, node in group.children.items() if isinstance(node, Array)}
    saved = [name for name in _texts(extras, COLUMNS) if name in present]
    order = saved + sorted(present.keys() - set(saved), key=_stored_name)
    series = []
    for name in order:
        mask = _optional(extras, (NULLS, name))
        dtype = _optional(extras, (DTYPES, name))
        long_dtype = None if dtype is None else str(dtype.reshape(-1)[0])
        series.append(decode_column(name, present[name], mask, long_dtype, f"{where}/{name}"))
    lengths = {name: column.len() for name, column in zip(order, series, strict=True)}
    if len(set(lengths.values())) > 1:
        raise IOFormatError(f"{where}: columns of different lengths: {_summary(lengths)}")
    if not series and HEIGHT in extras.attrs:
        return _empty_frame(int(extras.attrs[HEIGHT]))
    return pl.DataFrame({column.name: column for column in series})


def _stored_name(name: str) -> bytes:
    return escape_link(name).encode("utf-8", "surrogatepass")


def _optional(extras: Group, path: tuple[str, ...]) -> np.ndarray[Any, Any] | None:
    if path not in extras:
        return None
    node = extras[path]
    return np.asarray(node.data) if isinstance(node, Array) and node.data is not None else None


def _texts(extras: Group, name: str) -> list[str]:
    node = extras.children.get(name)
    return decode_value(node, scalars="attributes").tolist() if isinstance(node, Array) else []


def _summary(lengths: dict[str, int]) -> str:
    some = list(lengths.items())[:8]
    return ", ".join(f"{name} {length}" for name, length in some) + (", …" if len(lengths) > len(some) else "")


def _empty_frame(height: int) -> pl.DataFrame:
    """A frame of rows without columns."""
    return pl.DataFrame({"": [None] * height}).drop("")
