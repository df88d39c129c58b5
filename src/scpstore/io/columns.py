"""One column of a frame as one dataset, and back.

The dataset holds what any reader understands: a missing number is NaN (an integer column with nulls appears as floats
where these hold its values exactly), missing text is "". Attributes say what the dataset cannot, and only then:

    polars_dtype   the dtype as JSON text ("@" where it is long: then it is among the extras)
    nulls          "fill": every cell that holds the fill value is null; "mask": those that the mask in the extras marks
    units          of dates and times, for the human reader

Nothing is kept twice: a cell that another program edited is read as it now is.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from h5burst import Array, decode_value, encode_value
from scpstore.io.dtypes import UnknownDtypeError, dtype_from_json, dtype_to_json
from scpstore.io.exceptions import IOFormatError
from scpstore.io.storage_dtypes import cast, from_storage, is_plain, storage_dtype, to_storage, units
from scpstore.io.stored import object_array

DTYPE, NULLS, UNITS = "polars_dtype", "nulls", "units"
_LONG_TEXT = 4096  # a description beyond this is a dataset, not an attribute
_EXACT_IN_FLOAT64 = 2**53


@dataclass(frozen=True)
class Column:
    """A column's dataset, and what goes to the extras: the null mask and a long dtype, if it has any."""

    node: Array
    mask: np.ndarray[Any, Any] | None = None
    dtype: str | None = None


# ---------------------------------------------------------------- writing


def encode_column(series: pl.Series) -> Column:
    """The dataset of a column. Raises `UnknownDtypeError` for a dtype of Python objects."""
    described = dtype_to_json(series.dtype)
    stored = to_storage(series)
    nulls = stored.is_null().to_numpy() if stored.null_count() else None
    values = _filled(stored)
    node = encode_value(values, scalars="attributes")
    assert isinstance(node, Array)
    if not is_plain(series.dtype) or nulls is not None:
        node.attrs[DTYPE] = described if len(described) <= _LONG_TEXT else "@"
    counted = units(series.dtype)
    if counted is not None:
        node.attrs[UNITS] = counted
    if nulls is None:
        return Column(node, None, _if_long(described, node))
    ambiguous = bool((_is_fill(values) != nulls).any())
    node.attrs[NULLS] = "mask" if ambiguous else "fill"
    return Column(node, nulls if ambiguous else None, _if_long(described, node))


def _if_long(described: str, node: Array) -> str | None:
    return described if node.attrs.get(DTYPE) == "@" else None


def _filled(stored: pl.Series) -> np.ndarray[Any, Any]:
    """The values of a series of a stored dtype, with the fill value for null."""
    dtype = stored.dtype
    if isinstance(dtype, pl.String):
        return object_array(stored.fill_null("").to_list())
    if stored.null_count():
        if isinstance(dtype, pl.Boolean) or (dtype.is_integer() and _fits_float64(stored)):
            stored = stored.cast(pl.Float64)
        fill = float("nan") if stored.dtype.is_float() else _fill_value(stored.drop_nulls().to_numpy().dtype)
        stored = stored.fill_null(fill)
    return np.asarray(stored.to_numpy())


def _fits_float64(integers: pl.Series) -> bool:
    values = integers.drop_nulls().to_numpy()
    return not values.size or bool(values.min() >= -_EXACT_IN_FLOAT64 and values.max() <= _EXACT_IN_FLOAT64)


def _fill_value(dtype: np.dtype[Any]) -> int:
    """The integer that stands for null: the lowest, for unsigned ones the highest."""
    limits = np.iinfo(dtype)
    return int(limits.min if dtype.kind == "i" else limits.max)


def _is_fill(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values))
    if values.dtype.kind in "iu":
        return np.asarray(values == _fill_value(values.dtype))
    return np.asarray(values == "") if values.dtype == object else np.zeros(values.shape, dtype=bool)


# ---------------------------------------------------------------- reading


def decode_column(
    name: str, node: Array, mask: Any = None, long_dtype: str | None = None, where: str = ""
) -> pl.Series:
    """The column in a dataset, written by any program.

    mask, long_dtype: from the extras. A value that no longer fits the dtype that the column had makes it a plain one,
    with a `UserWarning`. Raises `IOFormatError` for a dataset that is not a column.
    """
    values = _column_values(node, where)
    plain = _plain_series(name, values)
    marker = node.attrs.get(DTYPE)
    if not isinstance(marker, str):
        return plain
    try:
        dtype = dtype_from_json(long_dtype or "" if marker == "@" else marker)
        nulls = _nulls(values, node.attrs.get(NULLS), mask)
        return from_storage(_as_stored(plain, storage_dtype(dtype), nulls), dtype)
    except (UnknownDtypeError, ValueError, TypeError, KeyError, AttributeError, pl.exceptions.PolarsError) as error:
        first_line = str(error).strip().splitlines()[0]
        warnings.warn(
            f"{where} no longer fits the dtype that it was saved with ({first_line}): read as {plain.dtype}",
            UserWarning,
            stacklevel=2,
        )
        return plain


def _column_values(node: Array, where: str) -> np.ndarray[Any, Any]:
    values = decode_value(node, scalars="attributes")
    if values is None or np.ndim(values) != 1:
        raise IOFormatError(f"{where} is not a column: it has the shape {np.shape(values)}, expected one dimension")
    values = np.asarray(values)
    if values.dtype.kind == "S" or (values.dtype == object and bytes in set(map(type, values))):
        try:
            texts = [v if isinstance(v, str) else v.decode("utf-8") for v in values.tolist()]
        except UnicodeDecodeError as error:
            raise IOFormatError(f"{where} holds text that is not UTF-8 ({error})") from error
        return object_array(texts)
    if values.dtype.kind not in "biufO" or values.dtype.itemsize > 8:
        raise IOFormatError(f"{where} is not a column: it has the dtype {values.dtype}")
    return values


def _plain_series(name: str, values: np.ndarray[Any, Any]) -> pl.Series:
    if values.dtype == object:
        return pl.Series(name, values.tolist(), dtype=pl.String)
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    if native.dtype == np.float16 and not hasattr(pl, "Float16"):
        native = native.astype(np.float32)
    return pl.Series(name, native)


def _nulls(values: np.ndarray[Any, Any], how: Any, mask: Any) -> Any:
    """The cells that are null, as a mask (None: no cell)."""
    if how is None:
        return None
    fill = _is_fill(values)
    if how == "mask" and mask is not None and np.shape(mask) == fill.shape:
        return fill & np.asarray(mask, dtype=bool)
    return fill


def _as_stored(plain: pl.Series, stored: pl.DataType, nulls: np.ndarray[Any, Any] | None) -> pl.Series:
    if nulls is not None:
        kept = pl.Series(~nulls, dtype=pl.Boolean)
        plain = pl.select(pl.when(kept).then(plain).alias(plain.name)).to_series()
    if plain.dtype == stored:
        return plain
    converted = cast(plain, stored)
    if not cast(converted, plain.dtype).equals(plain, null_equal=True):
        raise ValueError(f"values that are not {stored}")
    return converted
