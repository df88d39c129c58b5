"""Every polars dtype as one of the plain ones that any reader of a file understands, and back exactly.

Plain are integers of up to 64 bits, floats, booleans and text; nulls stay nulls. Dates and times become their integer
counts, 128-bit integers, decimals, categories and bytes (base64) become text, nested values the engine's tagged JSON:
plain but for floats that JSON numbers are not, which are tagged with their bits.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import polars as pl

from h5burst import from_json, to_json

Dtype: TypeAlias = Any  # an instance of a polars dtype

_PLAIN = (pl.Boolean, pl.String)
_AS_TEXT = tuple(getattr(pl, n) for n in ("Decimal", "Categorical", "Enum", "Int128", "UInt128") if hasattr(pl, n))
_NESTED = tuple(getattr(pl, n) for n in ("List", "Array", "Struct", "Map") if hasattr(pl, n))
_EXTENSION: Any = getattr(pl, "BaseExtension", ())
_MAP: Any = getattr(pl, "Map", ())
_DAY, _NANOSECOND = "days", "nanoseconds"
_UNITS = {"ns": _NANOSECOND, "us": "microseconds", "ms": "milliseconds"}


def is_plain(dtype: Dtype) -> bool:
    """True where a column of this dtype can be told from its dataset alone."""
    return isinstance(dtype, _PLAIN) or dtype.is_float() or (dtype.is_integer() and not isinstance(dtype, _AS_TEXT))


def storage_dtype(dtype: Dtype) -> Dtype:
    """The dtype of `to_storage` of such a column."""
    if isinstance(dtype, _EXTENSION):
        return storage_dtype(dtype.ext_storage())
    if is_plain(dtype):
        return dtype
    if dtype.is_temporal():
        return pl.Int32() if isinstance(dtype, pl.Date) else pl.Int64()
    return pl.Float64() if isinstance(dtype, pl.Null) else pl.String()


def units(dtype: Dtype) -> str | None:
    """The unit of the integers of a temporal column, in the words of the CF conventions; None for other dtypes."""
    if isinstance(dtype, pl.Date):
        return f"{_DAY} since 1970-01-01"
    if isinstance(dtype, pl.Datetime):
        zone = "" if dtype.time_zone is None else "Z"
        return f"{_UNITS[dtype.time_unit]} since 1970-01-01T00:00:00{zone}"
    if isinstance(dtype, pl.Duration):
        return _UNITS[dtype.time_unit]
    return f"{_NANOSECOND} since midnight" if isinstance(dtype, pl.Time) else None


def cast(series: pl.Series, dtype: Dtype) -> pl.Series:
    """`series` in another dtype; a polars error where a value has no place in it."""
    cast_series: pl.Series = series.cast(dtype, strict=True)
    return cast_series


def to_storage(series: pl.Series) -> pl.Series:
    """`series` in its storage dtype."""
    dtype: Dtype = series.dtype
    if isinstance(dtype, _EXTENSION):
        extended: Any = series
        return to_storage(extended.ext.storage())
    if is_plain(dtype):
        return series
    if dtype.is_temporal():
        return series.to_physical()
    if isinstance(dtype, pl.Null):
        return cast(series, pl.Float64())
    if isinstance(dtype, pl.Binary):
        return series.bin.encode("base64")
    if isinstance(dtype, _NESTED):
        texts = [None if row is None else to_json(row) for row in _rows(series)]
        return pl.Series(series.name, texts, dtype=pl.String)
    return cast(series, pl.String())


def from_storage(plain: pl.Series, dtype: Dtype) -> pl.Series:
    """The series that `to_storage` was given. Raises ValueError or a polars error for values that do not fit."""
    if isinstance(dtype, _EXTENSION):
        stored: Any = from_storage(plain, dtype.ext_storage())
        extended: pl.Series = stored.ext.to(dtype)
        return extended
    if plain.dtype == dtype:
        return plain
    if isinstance(dtype, pl.Null):
        if plain.null_count() != plain.len():
            raise ValueError("values in a column that had none")
        return pl.Series(plain.name, [None] * plain.len(), dtype=pl.Null)
    if isinstance(dtype, pl.Binary):
        return plain.str.decode("base64", strict=True)
    if isinstance(dtype, _NESTED):
        rows = [None if text is None else from_json(text) for text in plain.to_list()]
        return _from_rows(rows, dtype).alias(plain.name)
    return cast(plain, dtype)


# ---------------------------------------------------------------- nested values, one level at a time


def _entries_dtype(dtype: Any) -> Dtype:
    """A map as the list of its pairs."""
    return pl.List(pl.Struct({"key": dtype.key, "value": dtype.value}))


def _rows(series: pl.Series) -> list[Any]:
    """The values as what JSON has: lists, dicts, text, numbers, booleans, None."""
    dtype: Dtype = series.dtype
    if isinstance(dtype, _MAP):
        return _rows(cast(series, _entries_dtype(dtype)))
    if isinstance(dtype, pl.Array):
        return _rows(series.arr.to_list())
    if isinstance(dtype, pl.List):
        return _list_rows(series)
    if isinstance(dtype, pl.Struct):
        names = [field.name for field in dtype.fields]
        columns = [_rows(column) for column in struct_columns(series)]
        values = zip(*columns, strict=True) if columns else [()] * series.len()
        nulls = series.is_null().to_list()
        return [None if null else dict(zip(names, row, strict=True)) for null, row in zip(nulls, values, strict=True)]
    if dtype.is_float():
        return _float_rows(series)
    return to_storage(series).to_list()


def struct_columns(series: pl.Series) -> list[pl.Series]:
    """The fields of a series of structs (by place: polars takes a name such as "*" for a pattern)."""
    dtype: Any = series.dtype
    return series.struct.unnest().get_columns() if dtype.fields else []


def _list_rows(series: pl.Series) -> list[Any]:
    lengths = series.list.len().to_list()
    items = iter(_rows(series.filter(series.list.len() > 0).explode()))
    return [None if length is None else [next(items) for _ in range(length)] for length in lengths]


def _float_rows(series: pl.Series) -> list[Any]:
    """Floats; a NaN with bits of its own as a numpy scalar, which tagged JSON keeps to the bit."""
    values = series.to_list()
    for row in series.is_nan().fill_null(False).arg_true().to_list():
        value = series.gather([row]).to_numpy()
        if value.tobytes() != np.array([np.nan], dtype=value.dtype).tobytes():
            values[row] = value[0]
    return values


def _from_rows(rows: list[Any], dtype: Any) -> pl.Series:
    if isinstance(dtype, _MAP):
        return cast(_from_rows(rows, _entries_dtype(dtype)), dtype)
    if isinstance(dtype, pl.Array):
        return _from_rows(rows, pl.List(dtype.inner)).list.to_array(dtype.size)
    if isinstance(dtype, pl.List):
        return _lists_from_rows(rows, dtype)
    if isinstance(dtype, pl.Struct):
        return _structs_from_rows(rows, dtype)
    if dtype.is_float():
        return _floats_from_rows(rows, dtype)
    return from_storage(pl.Series(rows, dtype=storage_dtype(dtype), strict=True), dtype)


def lists_of(items: pl.Series, lengths: list[int | None]) -> pl.Series:
    """`items` cut into lists of these lengths; None makes a null."""
    filled = [length for length in lengths if length]
    rows = pl.Series(np.repeat(np.arange(len(filled)), filled))
    cut = pl.DataFrame({"row": rows, "item": items}).group_by("row", maintain_order=True).agg("item").get_column("item")
    # Lists with items in their order, and one without items at the end; then each row picks its own.
    distinct = pl.concat([cut, pl.Series([[]], dtype=pl.List(items.dtype))])
    numbers = iter(range(len(filled)))
    places = [None if length is None else next(numbers) if length else len(filled) for length in lengths]
    return distinct.gather(pl.Series(places, dtype=pl.UInt32))


def _lists_from_rows(rows: list[Any], dtype: Any) -> pl.Series:
    items = _from_rows([item for row in rows if row is not None for item in row], dtype.inner)
    return lists_of(items, [None if row is None else len(row) for row in rows])


def _structs_from_rows(rows: list[Any], dtype: Any) -> pl.Series:
    missing = [row is None for row in rows]
    if not dtype.fields:
        return pl.Series([None if none else {} for none in missing], dtype=dtype)
    fields = {f.name: _from_rows([None if row is None else row[f.name] for row in rows], f.dtype) for f in dtype.fields}
    structs = pl.DataFrame(fields).to_struct()
    if not any(missing):
        return structs
    return pl.select(pl.when(pl.Series(missing, dtype=pl.Boolean).not_()).then(structs)).to_series()


def _floats_from_rows(rows: list[Any], dtype: Any) -> pl.Series:
    """Numbers, numpy scalars (a NaN with its bits), or text: how files of the first round spell special floats."""
    numbers = pl.Series([float(row.partition(":")[0]) if isinstance(row, str) else row for row in rows], dtype=dtype)
    values = numbers.fill_null(float("nan")).to_numpy().copy()
    odd = [(index, row) for index, row in enumerate(rows) if isinstance(row, (str, np.generic))]
    for index, row in odd:
        if isinstance(row, np.generic):
            values[index] = row
        elif row.startswith("NaN:"):
            values.view(f"u{values.dtype.itemsize}")[index] = int(row[4:], 16)
    if not odd:
        return numbers
    exact = pl.Series(values, dtype=dtype)
    return pl.select(pl.when(numbers.is_not_null()).then(exact)).to_series()
