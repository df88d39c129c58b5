"""Polars dtypes as JSON text and back: a name, or {name: parameters} where the dtype has any."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import polars as pl

from h5burst import load_json

# Dtypes that are told by their name alone; those that an older polars does not have are left out.
_SIMPLE_NAMES = (
    *("Int8", "Int16", "Int32", "Int64", "Int128", "UInt8", "UInt16", "UInt32", "UInt64", "UInt128"),
    *("Float16", "Float32", "Float64", "Boolean", "String", "Binary", "Date", "Time", "Null"),
)
_SIMPLE: dict[str, Any] = {name: getattr(pl, name) for name in _SIMPLE_NAMES if hasattr(pl, name)}


class UnknownDtypeError(ValueError):
    """A dtype that cannot be stored, or a description that this version does not know."""


def dtype_to_json(dtype: pl.DataType) -> str:
    """The description of a dtype. Raises `UnknownDtypeError` for one that holds Python objects."""
    return json.dumps(_describe(dtype), separators=(",", ":"))


def dtype_from_json(text: str) -> pl.DataType:
    """The dtype that `dtype_to_json` described. Raises `UnknownDtypeError` for anything else."""
    try:
        dtype: pl.DataType = _build(load_json(text))
        return dtype
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnknownDtypeError(f"unknown polars dtype {text[:200]!r} (polars {pl.__version__})") from error


def _describe(dtype: pl.DataType) -> Any:
    name = type(dtype).__name__
    if name in _SIMPLE:
        return name
    if name in _PARAMETERS:
        return {name: _PARAMETERS[name][0](dtype)}
    if isinstance(dtype, getattr(pl, "BaseExtension", ())):
        return {"Extension": _PARAMETERS["Extension"][0](dtype)}
    raise UnknownDtypeError(f"a column of dtype {dtype} cannot be stored in a file: convert it first")


def _build(described: Any) -> Any:
    if isinstance(described, str):
        return _SIMPLE[described]()
    ((name, parameters),) = described.items()
    return _PARAMETERS[name][1](parameters)


def _categorical_parameters(dtype: Any) -> Any:
    if not hasattr(dtype, "categories"):  # polars before named categories
        return {"ordering": dtype.ordering}
    if dtype.categories.is_global():
        return None
    categories = dtype.categories
    return [categories.name(), categories.namespace(), _describe(categories.physical()())]


def _categorical(parameters: Any) -> Any:
    if parameters is None or not hasattr(pl, "Categories"):
        return pl.Categorical()
    if isinstance(parameters, dict):
        return pl.Categorical(parameters["ordering"])
    name, namespace, physical = parameters
    return pl.Categorical(pl.Categories(name, namespace, _SIMPLE[physical]))


_PARAMETERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "Datetime": (lambda d: [d.time_unit, d.time_zone], lambda p: pl.Datetime(p[0], p[1])),
    "Duration": (lambda d: d.time_unit, lambda p: pl.Duration(p)),
    "Decimal": (lambda d: [d.precision, d.scale], lambda p: pl.Decimal(p[0], p[1])),
    "Enum": (lambda d: d.categories.to_list(), lambda p: pl.Enum(p)),
    "Categorical": (_categorical_parameters, _categorical),
    "List": (lambda d: _describe(d.inner), lambda p: pl.List(_build(p))),
    "Array": (lambda d: [_describe(d.inner), d.size], lambda p: pl.Array(_build(p[0]), p[1])),
    "Struct": (
        lambda d: [[field.name, _describe(field.dtype)] for field in d.fields],
        lambda p: pl.Struct([pl.Field(name, _build(inner)) for name, inner in p]),
    ),
    "Map": (lambda d: [_describe(d.key), _describe(d.value)], lambda p: pl.Map(_build(p[0]), _build(p[1]))),
    "Extension": (
        lambda d: [d.ext_name(), _describe(d.ext_storage()), d.ext_metadata()],
        lambda p: pl.Extension(p[0], _build(p[1]), p[2]),
    ),
}
