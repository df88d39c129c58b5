"""Pandas frames to polars frames and back, column by column, without pyarrow.

What a polars column cannot say of a pandas one (the order of categories, categories of numbers, a nullable dtype, a
unit of time) is in its `PandasDtypes`, a dict that is kept beside the frame, as `origin`: `{column: {"categories": …,
"ordered": …, "dtype": …}}` under `COLUMNS`, and the name and the dtype of the index.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from scpstore.core.exceptions import ValidationError
from scpstore.io.storage_dtypes import to_storage
from scpstore.io.stored import object_array

INDEX = "_index"
INDEX_NAME, INDEX_DTYPE = "index_name", "index_dtype"
COLUMNS = "columns"
PandasDtypes = dict[str, Any]
# Of pandas for a dtype that does not fit the values, or for a name in a file that is not that of a dtype.
_NOT_A_DTYPE = (TypeError, ValueError, OverflowError, NotImplementedError, ImportError)
_UNITS, _SECONDS = ("ms", "us", "ns"), "s"  # of times in polars; what pandas has besides


# ---------------------------------------------------------------- from pandas


def from_pandas(frame: Any, where: str) -> pl.DataFrame:
    """A pandas frame as a polars frame whose first column "_index" is the index, as text. Raises `ValidationError`."""
    return with_dtypes(frame, where)[0]


def with_dtypes(frame: Any, where: str) -> tuple[pl.DataFrame, PandasDtypes]:
    """As `from_pandas`, with what polars cannot say.

    Raises `ValidationError` that names the column that has no form.
    """
    ids = list(map(str, frame.index.tolist()))
    _check_names(frame, ids, where)
    by_name = {INDEX: pl.Series(INDEX, ids, dtype=pl.String)}
    columns: PandasDtypes = {}
    for name in frame.columns:
        if name == INDEX:
            continue
        by_name[name], dtypes_of = _from_series(frame[name], name, where)
        if dtypes_of:
            columns[name] = dtypes_of
    dtypes: PandasDtypes = {COLUMNS: columns} if columns else {}
    if isinstance(frame.index.name, str):
        dtypes[INDEX_NAME] = frame.index.name
    if frame.index.dtype != _text_dtype():
        dtypes[INDEX_DTYPE] = str(frame.index.dtype)
    return pl.DataFrame(by_name), dtypes


def _check_names(frame: Any, ids: list[str], where: str) -> None:
    dtype = frame.index.dtype
    kinds = set() if type(dtype).__name__ == "StringDtype" else set(map(type, frame.index.tolist()))
    is_text = all(issubclass(kind, str) for kind in kinds)
    if not is_text and not (isinstance(dtype, np.dtype) and dtype.kind in "biuf"):
        message = f"{where}: an index of dtype {dtype} cannot be stored: make it a column (reset_index()), or text"
        raise ValidationError(message, where)
    odd = [name for name in frame.columns if not isinstance(name, str)]
    if odd:
        raise ValidationError(f"{where}: column names must be text, got {odd[:3]}: rename them", where)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()].unique().tolist()
        raise ValidationError(f"{where}: columns {twice[:3]} appear more than once: rename or drop them", where)
    if INDEX in frame.columns and [str(value) for value in frame[INDEX]] != ids:
        message = f"{where}: a column {INDEX!r} with other values than the index: rename it"
        raise ValidationError(message, INDEX)


def _from_series(series: Any, name: str, where: str) -> tuple[pl.Series, PandasDtypes]:
    dtype = series.dtype
    kind = getattr(dtype, "kind", "O")
    title = type(dtype).__name__
    if title in ("IntervalDtype", "PeriodDtype", "SparseDtype"):
        advice = {"SparseDtype": "make it dense"}.get(title, "convert it to text or to its two ends")
        raise ValidationError(f"{where} column {name!r} of dtype {dtype} cannot be stored: {advice}", name)
    if hasattr(dtype, "categories"):
        return _from_categories(series, name, where)
    if kind in "mM":
        return _from_times(series, name)
    if isinstance(dtype, np.dtype) and kind in "biuf":
        return pl.Series(name, series.to_numpy()), {}
    missing = series.isna().to_numpy()
    if kind in "biuf":  # pandas' own dtypes, whose missing values are nulls
        values = series.to_numpy(dtype=dtype.numpy_dtype, na_value=dtype.numpy_dtype.type(0))
        return _with_nulls(pl.Series(name, values), missing), {"dtype": str(dtype)}
    column = _from_objects(series, name, where, missing)
    is_text = (title != "StringDtype" or dtype == _text_dtype()) and column.dtype == pl.String  # as pandas makes text
    return column, {} if is_text and not (len(missing) and missing.all()) else {"dtype": str(dtype)}


def _from_objects(series: Any, name: str, where: str, missing: np.ndarray[Any, Any]) -> pl.Series:
    values = [None if none else value for value, none in zip(series.tolist(), missing, strict=True)]
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 and not kinds <= {int, float}:
        names = sorted(kind.__name__ for kind in kinds)
        raise ValidationError(
            f"{where} column {name!r} holds values of different types ({', '.join(names)}): make it one", name
        )
    try:
        values_of = pl.Series(name, values, strict=True) if kinds else pl.Series(name, values, dtype=pl.String)
    except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        raise ValidationError(
            f"{where} column {name!r} holds values that have no column type: {error}", name
        ) from error
    if values_of.dtype == pl.Object:
        kind = next(iter(kinds)).__name__
        raise ValidationError(f"{where} column {name!r} holds values of type {kind}: convert them first", name)
    return values_of


def _with_nulls(series: pl.Series, missing: np.ndarray[Any, Any]) -> pl.Series:
    if not missing.any():
        return series
    return pl.select(pl.when(pl.Series(~missing)).then(series).alias(series.name)).to_series()


def _from_categories(series: Any, name: str, where: str) -> tuple[pl.Series, PandasDtypes]:
    """Text categories become an `Enum`, none at all text without values; of others the categories are remembered."""
    categories = series.dtype.categories
    codes = series.cat.codes.to_numpy()
    ordered = {"ordered": True} if series.dtype.ordered else {}
    if all(isinstance(category, str) for category in categories):
        texts = [None if code < 0 else categories[code] for code in codes.tolist()]
        usual = type(categories)(list(categories)).dtype == categories.dtype  # as pandas of this version makes them
        dtype = {} if usual else {"categories_dtype": str(categories.dtype)}
        is_text = len(texts) > 0 and len(categories) == 0 and usual and not ordered  # as `_texts` makes it
        return pl.Series(name, texts, dtype=pl.String if is_text else pl.Enum(list(categories))), {**dtype, **ordered}
    try:
        categories_, _ = _from_series(categories.to_series(), "categories", where)
    except ValidationError as error:
        raise ValidationError(f"{where} column {name!r}: its categories: {error}", name) from error
    places = pl.Series(codes.astype(np.int64)).replace(-1, None)
    values = (
        categories_.gather(places).alias(name)
        if categories_.len()
        else pl.Series(name, [None] * len(codes), dtype=categories_.dtype)
    )
    kept = np.asarray(categories)
    return values, {"categories": kept if kept.dtype != object else list(categories), **ordered}


def _from_times(series: Any, name: str) -> tuple[pl.Series, PandasDtypes]:
    unit = np.datetime_data(getattr(series.dtype, "base", series.dtype))[0]
    origin = {} if unit in _UNITS else {"unit": unit}
    unit = unit if unit in _UNITS else "us"
    if series.dtype.kind == "m":
        return pl.Series(name, series.to_numpy().astype(f"m8[{unit}]")), origin
    zone = getattr(series.dtype, "tz", None)
    utc = series.dt.tz_convert("UTC").dt.tz_localize(None) if zone is not None else series
    times = pl.Series(name, utc.to_numpy().astype(f"M8[{unit}]"))
    return times if zone is None else times.dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone)), origin


# ---------------------------------------------------------------- to pandas


def to_pandas(frame: pl.DataFrame, id_column: str, where: str, dtypes: PandasDtypes | None = None) -> Any:
    """A polars frame as a pandas frame with the IDs (as text) as its index; `dtypes`: of `with_dtypes`."""
    import pandas as pd

    dtypes = nested(dtypes)
    ids = [str(value) for value in frame.get_column(id_column).to_list()]
    index = _index_as_it_was(pd.Index(ids, dtype=_text_dtype(), name=dtypes.get(INDEX_NAME)), dtypes.get(INDEX_DTYPE))
    columns = {}
    for series in frame.get_columns():
        if series.name != id_column:
            dtypes_of = nested(dtypes, COLUMNS, series.name)
            columns[series.name] = _restored(series, where, dtypes_of)
    return pd.DataFrame(columns, index=index)


def nested(values: Any, *names: str) -> dict[str, Any]:
    """The dict below these names in values that may come from any file; an empty one where there is none."""
    for name in names:
        values = values.get(name) if isinstance(values, Mapping) else None
    return dict(values) if isinstance(values, Mapping) else {}


def _text_dtype() -> Any:
    """The dtype that pandas gives text: object, "str" from version 3 on."""
    import pandas as pd

    return pd.Index(["a"]).dtype


def _index_as_it_was(index: Any, dtype: Any) -> Any:
    if dtype is None:
        return index
    if dtype == "bool":
        return index == "True"
    try:
        return index.astype(dtype)
    except _NOT_A_DTYPE:
        return index


def _restored(series: pl.Series, where: str, dtypes_of: PandasDtypes) -> Any:
    """The values as the pandas column that they were; as they are where they no longer fit."""
    import pandas as pd

    if dtypes_of.get("dtype") == "object":
        return object_array(series.to_list())
    values = _to_values(series, where)
    if {"categories", "categories_dtype", "ordered"} & set(dtypes_of):
        names = dtypes_of.get("categories", getattr(series.dtype, "categories", None))
        names = names.to_list() if isinstance(names, pl.Series) else names
        if names is None or not set(series.drop_nulls().unique().to_list()) <= set(pd.Index(names).tolist()):
            return values
        try:
            categories = pd.Index(names, dtype=dtypes_of.get("categories_dtype"))
        except _NOT_A_DTYPE:
            categories = pd.Index(names)
        if categories.hasnans or not categories.is_unique:  # no categories of pandas, but of a file
            return values
        return pd.Categorical(series.to_list(), categories=categories, ordered=bool(dtypes_of.get("ordered")))
    if "dtype" in dtypes_of:
        try:
            return pd.array(series.to_list(), dtype=dtypes_of["dtype"])
        except _NOT_A_DTYPE:
            return values
    if dtypes_of.get("unit") == _SECONDS and isinstance(series.dtype, (pl.Datetime, pl.Duration)):
        return values.as_unit(_SECONDS)
    return values


def _to_values(series: pl.Series, where: str) -> Any:
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
        return _to_times(series, nulls)
    if isinstance(dtype, pl.String):
        return _texts(series)
    return _as_text(series, where)


def _texts(series: pl.Series) -> Any:
    """Text as objects; without any value as categories, because anndata writes no objects that are all None."""
    import pandas as pd

    if len(series) and series.null_count() == len(series):
        return pd.Categorical([None] * len(series), categories=pd.Index([], dtype=object))
    return object_array(series.to_list())


def _as_text(series: pl.Series, where: str) -> Any:
    warnings.warn(f"{where} column {series.name!r} of dtype {series.dtype} becomes text", UserWarning, stacklevel=5)
    texts = series.cast(pl.String) if isinstance(series.dtype, pl.Date) else to_storage(series).cast(pl.String)
    return _texts(texts)


def _to_times(series: pl.Series, nulls: np.ndarray[Any, Any]) -> Any:
    import pandas as pd

    dtype: Any = series.dtype
    letter = "m" if isinstance(dtype, pl.Duration) else "M"
    values = series.to_physical().fill_null(0).to_numpy().view(f"{letter}8[{dtype.time_unit}]").copy()
    values[nulls] = np.array("NaT", values.dtype)
    zone = getattr(dtype, "time_zone", None)
    times = pd.Series(values)
    return (times if zone is None else times.dt.tz_localize("UTC").dt.tz_convert(zone)).array


def times_as_text(frame: Any, where: str) -> None:
    """Replace columns of dates, times and durations of a pandas frame by their text (ISO 8601)."""
    for name in frame.columns:
        values, missing = frame[name], frame[name].isna()
        if values.dtype.kind in "mM" or _are_dates(values[~missing]):
            warnings.warn(f"{where} column {name!r} of dtype {values.dtype} becomes text", UserWarning, stacklevel=3)
            texts = [None if none else value.isoformat() for value, none in zip(values, missing, strict=True)]
            frame[name] = object_array(texts)


def missing_as_categories(frame: Any) -> None:
    """Make columns of objects that hold no value at all categories, which files have a form for."""
    import pandas as pd

    for name in frame.columns:
        if frame[name].dtype == object and len(frame) and frame[name].isna().all():
            frame[name] = pd.Categorical([None] * len(frame), categories=pd.Index([], dtype=object))


def _are_dates(values: Any) -> bool:
    return values.dtype == object and len(values) > 0 and all(hasattr(value, "isoformat") for value in values)
