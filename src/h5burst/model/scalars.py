"""Single values and short lists: what is stored of each, as an attribute or a dataset of one element."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from h5burst.model.encodings import Encodings, Marker, TypeEncoding
from h5burst.model.tagged_json import from_json, to_json
from h5burst.model.text import escape_text
from h5burst.model.tree import UnsupportedValueError

PLAIN_SCALARS = (bool, int, float, complex, str)
_LIST_DTYPES: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float64, str: object}
_INT64 = range(-(2**63), 2**63)

EncodeScalar: TypeAlias = Callable[[Any, str], "tuple[Any, str]"]  # value, path -> what is stored, parameter
DecodeScalar: TypeAlias = Callable[[Any, str], Any]  # what is stored, parameter -> value


@dataclass(frozen=True)
class ScalarEncoding(TypeEncoding[EncodeScalar, DecodeScalar]):
    """is_list: it is stored as an array of one axis rather than as a single value."""

    is_list: bool = False


def encode_scalar(value: Any, path: str) -> tuple[Any, Marker | None]:
    """The stored form, and the marker it needs (None: a plain reader gets it right)."""
    if _is_plain(value):
        return value, None
    encoding = SCALARS.of(value)
    assert encoding is not None  # the last row takes every object
    stored, parameter = encoding.encode(value, path)
    return stored, encoding.marker(parameter)


def decode_scalar(stored: Any, marker: Marker) -> Any:
    """The value that `encode_scalar` was given."""
    return SCALARS.reader(marker).decode(stored, marker.parameter)


def plain_scalar(stored: Any) -> Any:
    """Python's own scalar for the dtypes that Python has; anything else as it is."""
    if isinstance(stored, (np.bool_, np.int64, np.float64, np.complex128)):
        return stored.item()
    return stored


# ---------------------------------------------------------------- what the table consists of


def _same(value: Any, path: str) -> tuple[Any, str]:
    return value, ""


def _numpy(value: np.generic, path: str) -> tuple[Any, str]:
    return (np.int64(value.view("i8")), value.dtype.str) if value.dtype.kind in "Mm" else (value, "")


def _numpy_value(stored: Any, parameter: str) -> Any:
    return np.int64(stored).view(np.dtype(parameter)) if parameter else stored


def _raw(value: bytes | np.bytes_, path: str) -> tuple[Any, str]:
    raw = value.tobytes() if isinstance(value, np.bytes_) else value
    return np.frombuffer(raw, np.uint8), ""


def _bytes(stored: Any, parameter: str) -> bytes:
    return np.asarray(stored, dtype=np.uint8).tobytes()


def _items(value: list[Any] | tuple[Any, ...], path: str) -> tuple[Any, str]:
    return np.array(value, dtype=_common_dtype(value)), ""


def _json(value: Any, path: str) -> tuple[str, str]:
    try:
        return to_json(value), ""
    except UnsupportedValueError as error:
        where = path if error.path == "$" else f"{path}: {error.path.removeprefix('$')}"
        raise UnsupportedValueError(str(error).rsplit(" (at ", 1)[0], where) from error


def _is_plain(value: Any) -> bool:
    return type(value) in PLAIN_SCALARS and (type(value) is not int or value in _INT64)


def _is_list_of(kind: type[list[Any]] | type[tuple[Any, ...]]) -> Callable[[Any], bool]:
    return lambda value: type(value) is kind and _common_dtype(value) is not None


def _common_dtype(items: Iterable[Any]) -> Any:
    kinds = {type(item) for item in items}
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    if kind is int and not all(item in _INT64 for item in items):
        return None
    if kind is str and any(escape_text(item) != item for item in items):
        return None
    return _LIST_DTYPES.get(kind)


SCALARS: Encodings[ScalarEncoding] = Encodings(
    ScalarEncoding("numpy.str", (np.str_,), lambda v, path: (str(v), ""), lambda stored, _: np.str_(stored)),
    ScalarEncoding("numpy.bytes", (np.bytes_,), _raw, lambda stored, _: np.bytes_(_bytes(stored, "")), is_list=True),
    ScalarEncoding("numpy", (np.generic,), _numpy, _numpy_value),
    ScalarEncoding("bytes", (bytes,), _raw, _bytes, accepts=lambda v: type(v) is bytes, is_list=True),
    ScalarEncoding(
        "list", (list,), _items, lambda v, _: np.asarray(v).tolist(), accepts=_is_list_of(list), is_list=True
    ),
    ScalarEncoding(
        "tuple", (tuple,), _items, lambda v, _: tuple(np.asarray(v).tolist()), accepts=_is_list_of(tuple), is_list=True
    ),
    ScalarEncoding("str", (), _same, lambda stored, _: stored),  # of text that is escaped
    ScalarEncoding("json", (object,), _json, lambda stored, _: from_json(stored)),
)
