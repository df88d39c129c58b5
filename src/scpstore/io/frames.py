"""A polars frame as a group of columns, with what the columns cannot say beside it (the extras).

extras:  columns            names in order (text)
         attribute height   of a frame without columns
         nulls/{column}     null mask, where the column's own values leave it open
         dtypes/{column}    the dtype as JSON text, where it is long
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from h5burst import Array, Group, escape_link
from scpstore.core.exceptions import ValidationError
from scpstore.io.columns import decode_column, encode_column
from scpstore.io.dtypes import UnknownDtypeError
from scpstore.io.exceptions import IOFormatError, IOWriteError
from scpstore.io.pandasframes import from_pandas
from scpstore.io.stored import StoredGroup, object_array, texts_node

COLUMNS, NULLS, DTYPES, HEIGHT = "columns", "nulls", "dtypes", "height"
DEFAULT_ID = "_index"
_DEEPEST = 16  # names with "/" in files of others


def as_frame(frame: Any, where: str) -> pl.DataFrame:
    """A polars frame from what another library may have in its place."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if hasattr(frame, "iloc") and hasattr(frame, "columns"):  # pandas: the index has the IDs
        try:
            return from_pandas(frame.set_index(DEFAULT_ID) if DEFAULT_ID in frame.columns else frame, where)
        except ValidationError as error:
            raise IOWriteError(str(error)) from error
    raise IOWriteError(f"{where} must be a polars DataFrame, got {type(frame).__module__}.{type(frame).__name__}")


def encode_frame(frame: pl.DataFrame, where: str) -> StoredGroup:
    """The group of columns and the extras. Raises `IOWriteError` for a column that no file can hold."""
    stored, nulls, dtypes = StoredGroup(where), Group(), Group()
    for series in frame.get_columns():
        try:
            column = encode_column(series)
        except UnknownDtypeError as error:
            raise IOWriteError(f"{where}/{series.name}: {error}") from error
        stored.plain.children[series.name] = column.node
        if column.mask is not None:
            nulls.children[series.name] = Array(column.mask)
        if column.dtype is not None:
            dtypes.children[series.name] = Array(object_array([column.dtype]))
    stored.extra.children[COLUMNS] = texts_node(frame.columns)
    if not frame.columns:
        stored.extra.attrs[HEIGHT] = frame.height
    stored.extra.children.update({name: group for name, group in ((NULLS, nulls), (DTYPES, dtypes)) if group.children})
    return stored


def decode_frame(stored: StoredGroup) -> pl.DataFrame:
    """The frame in a group, written by any program: columns in their saved order, then others in order of name.

    A dataset in a group inside (of a column that another program named with a "/") is a column, too, if it is as long
    as the others. Raises `IOFormatError` for columns of different lengths or of no known form.
    """
    stored = stored.in_memory()
    present = {name: node for name, node in stored.plain.children.items() if isinstance(node, Array)}
    present.update(_nested_columns(stored, present))
    saved = [name for name in dict.fromkeys(stored.extra_texts(COLUMNS)) if name in present]
    order = saved + sorted(present.keys() - set(saved), key=_stored_name)
    series = [_column(stored, name, present[name]) for name in order]
    lengths = {name: column.len() for name, column in zip(order, series, strict=True)}
    if len(set(lengths.values())) > 1:
        raise IOFormatError(f"{stored.where}: columns of different lengths: {_summary(lengths)}")
    if not series and HEIGHT in stored.extra.attrs:
        return _empty_frame(stored)
    return pl.DataFrame({column.name: column for column in series})


def _column(stored: StoredGroup, name: str, node: Array) -> pl.Series:
    mask = stored.extra_value(NULLS, name)
    long_dtype = next(iter(stored.extra_texts(DTYPES, name)), None)
    return decode_column(name, node, mask, long_dtype, f"{stored.where}/{name}")


def _nested_columns(stored: StoredGroup, columns: dict[str, Array]) -> dict[str, Array]:
    """Datasets in groups below, by a name with "/"; those that are not as long as the columns are told and left out.

    A frame of ours has no such columns: it says which columns it has.
    """
    is_ours = COLUMNS in stored.extra.children
    height = next((_length(node) for node in columns.values()), None)
    datasets: dict[str, Array] = {}
    for name, node in stored.plain.children.items():
        if not isinstance(node, Group):
            continue
        inside = dict(_datasets(node, name, 1))
        fitting = {path: array for path, array in inside.items() if _length(array) in (height, None) or height is None}
        if is_ours or not inside or len(fitting) < len(inside):
            warnings.warn(f"{stored.where}/{name} is a group, not a column: it is left out", UserWarning, stacklevel=2)
        else:
            datasets.update(fitting)
    return datasets


def _datasets(group: Group, prefix: str, depth: int) -> Iterator[tuple[str, Array]]:
    for name, node in group.children.items():
        if isinstance(node, Array):
            yield f"{prefix}/{name}", node
        elif depth < _DEEPEST:
            yield from _datasets(node, f"{prefix}/{name}", depth + 1)


def _length(node: Array) -> int | None:
    shape = () if node.data is None else node.data.shape
    return shape[0] if len(shape) == 1 else None


def _stored_name(name: str) -> bytes:
    return escape_link(name).encode("utf-8", "surrogatepass")


def _summary(lengths: dict[str, int]) -> str:
    some = list(lengths.items())[:8]
    return ", ".join(f"{name} {length}" for name, length in some) + (", …" if len(lengths) > len(some) else "")


def _empty_frame(stored: StoredGroup) -> pl.DataFrame:
    """A frame of rows without columns."""
    height = np.asarray(stored.extra.attrs[HEIGHT])
    if height.shape or height.dtype.kind not in "iu" or not 0 <= int(height) < 2**32:
        raise IOFormatError(f"{stored.where}: the number of rows must be a whole number, got {height.tolist()!r:.60}")
    return pl.DataFrame({"": pl.repeat(None, int(height), eager=True)}).drop("")
