"""Pandas frames to polars frames and back, column by column, without pyarrow."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import polars as pl

from scpstore.core.exceptions import ValidationError
from scpstore.io.storage_dtypes import to_storage
from scpstore.io.stored import object_array

INDEX = "_index"


def from_pandas(frame: Any, where: str) -> pl.DataFrame:
    """A pandas frame as a polars frame whose first column "_index" is the index, as text."""
    if INDEX in frame.columns:
        frame = frame.drop(columns=INDEX)
    columns = {INDEX: pl.Series(INDEX, [str(name) for name in frame.index], dtype=pl.String)}
    for name in frame.columns:
        columns[str(name)] = _from_pandas_series(frame[name], str(name), where)
    return pl.DataFrame(columns)


def _from_pandas_series(series: Any, name: str, where: str) -> pl.Series:
    dtype = series.dtype
    if hasattr(dtype, "categories"):
        return _from_categories(series, name)
    kind = getattr(dtype, "kind", "O")
    missing = series.isna().to_numpy()
    if kind in "mM":
        return _from_pandas_times(series, name)
    if isinstance(dtype, np.dtype) and kind in "biuf":
        return pl.Series(name, series.to_numpy())
    if kind in "biuf" and not isinstance(dtype, np.dtype):  # pandas' own dtypes, whose missing values are nulls
        values = series.to_numpy(dtype=dtype.numpy_dtype, na_value=dtype.numpy_dtype.type(0))
        return _with_nulls(pl.Series(name, values), missing)
    values = [None if none else value for value, none in zip(series.tolist(), missing, strict=True)]
    try:
        return pl.Series(name, values, strict=True) if any(v is not None for v in values) else _no_text(name, values)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise ValidationError(f"{where} column {name!r} holds values of different types: {error}", name) from error


def _no_text(name: str, values: list[Any]) -> pl.Series:
    return pl.Series(name, values, dtype=pl.String)


def _with_nulls(series: pl.Series, missing: np.ndarray[Any, Any]) -> pl.Series:
    if not missing.any():
        return series
    return pl.select(pl.when(pl.Series(~missing)).then(series).alias(series.name)).to_series()


def _from_categories(series: Any, name: str) -> pl.Series:
    categories = series.dtype.categories
    values = [None if code < 0 else code for code in series.cat.codes.tolist()]
    if all(isinstance(category, str) for category in categories):
        texts = [None if code is None else categories[code] for code in values]
        return pl.Series(name, texts, dtype=pl.Enum(list(categories)))
    return pl.Series(name, [None if code is None else categories[code].item() for code in values])


def _from_pandas_times(series: Any, name: str) -> pl.Series:
    unit = np.datetime_data(getattr(series.dtype, "base", series.dtype))[0]
    unit = unit if unit in ("ms", "us", "ns") else "us"
    if series.dtype.kind == "m":
        return pl.Series(name, series.to_numpy().astype(f"m8[{unit}]"))
    zone = getattr(series.dtype, "tz", None)
    utc = series.dt.tz_convert("UTC").dt.tz_localize(None) if zone is not None else series
    made = pl.Series(name, utc.to_numpy().astype(f"M8[{unit}]"))
    return made if zone is None else made.dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone))


def to_pandas(frame: pl.DataFrame, id_column: str, where: str) -> Any:
    """A polars frame as a pandas frame with the IDs (as text) as its index."""
    import pandas as pd

    index = pd.Index([str(value) for value in frame.get_column(id_column).to_list()], dtype=object)
    columns = {s.name: _to_pandas_values(s, where) for s in frame.get_columns() if s.name != id_column}
    return pd.DataFrame(columns, index=index)


def _to_pandas_values(series: pl.Series, where: str) -> Any:
    import pandas as pd

    dtype, nulls = series.dtype, series.is_null().to_numpy()
    if isinstance(dtype, (pl.Enum, pl.Categorical)):
        names = dtype.categories.to_list() if isinstance(dtype, pl.Enum) else None
        return pd.Categorical(series.to_list(), categories=names)
    if dtype.is_integer() and "128" in str(dtype):
        return _as_text(series, where)
    if isinstance(dtype, pl.Boolean) or dtype.is_integer():
        values = series.fill_null(False if isinstance(dtype, pl.Boolean) else 0).to_numpy()
        masked = pd.arrays.BooleanArray if isinstance(dtype, pl.Boolean) else pd.arrays.IntegerArray
        return masked(values.copy(), nulls.copy()) if nulls.any() else values
    if dtype.is_float():
        return series.fill_null(float("nan")).to_numpy()
    if isinstance(dtype, (pl.Datetime, pl.Duration)):
        return _to_pandas_times(series, nulls)
    if isinstance(dtype, pl.String):
        return object_array(series.to_list())
    return _as_text(series, where)


def _as_text(series: pl.Series, where: str) -> Any:
    warnings.warn(f"{where} column {series.name!r} of dtype {series.dtype} becomes text", UserWarning, stacklevel=4)
    texts = series.cast(pl.String) if isinstance(series.dtype, pl.Date) else to_storage(series).cast(pl.String)
    return object_array(texts.to_list())


def _to_pandas_times(series: pl.Series, nulls: np.ndarray[Any, Any]) -> Any:
    import pandas as pd

    dtype: Any = series.dtype
    letter = "m" if isinstance(dtype, pl.Duration) else "M"
    values = series.to_physical().fill_null(0).to_numpy().view(f"{letter}8[{dtype.time_unit}]").copy()
    values[nulls] = np.array("NaT", values.dtype)
    zone = getattr(dtype, "time_zone", None)
    made = pd.Series(values)
    return (made if zone is None else made.dt.tz_localize("UTC").dt.tz_convert(zone)).array


def times_as_text(frame: Any, where: str) -> None:
    """Replace columns of dates, times and durations of a pandas frame by their text (ISO 8601)."""
    for name in frame.columns:
        if frame[name].dtype.kind in "mM":
            warnings.warn(
                f"{where} column {name!r} of dtype {frame[name].dtype} becomes text", UserWarning, stacklevel=3
            )
            texts = [
                None if none else value.isoformat() for value, none in zip(frame[name], frame[name].isna(), strict=True)
            ]
            frame[name] = object_array(texts)
