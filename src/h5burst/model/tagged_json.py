"""JSON that gives back what went in: plain JSON stays plain, everything else is tagged.

A tagged value is `{"__type__": name, "value": …}`; a dict that could be taken for one is itself tagged.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from numpy.lib import format as npy_format

from h5burst.model import pandas_scalars
from h5burst.model.tree import UnsupportedValueError

TAG = "__type__"
Kind = TypeVar("Kind")
_KIND_NAMES: dict[type, str] = {list: "list", dict: "object", str: "text"}
_MAX_JSON = 1 << 28  # characters of one text that is read
_MAX_INT_BITS = 14_000  # more than Python writes as decimal text (4300 digits)
_USUAL_NAN = struct.pack(">d", math.nan)


def to_json(value: Any) -> str:
    """`value` as JSON text that `from_json` turns back into it.

    Holds None, bool, int, float (also nan, inf), complex, str, bytes, list, tuple, set, frozenset, dict with any
    hashable keys, numpy scalars and arrays, date, datetime (fixed offset or IANA zone), time, timedelta, Decimal,
    UUID and Path. Members of an IntEnum or a string enum are kept as their plain value. Raises
    `UnsupportedValueError` (with the path inside the value) for anything else.
    """
    try:
        return json.dumps(_to_plain(value, "$"), ensure_ascii=False, allow_nan=False)
    except RecursionError as error:
        raise UnsupportedValueError("a value that is nested too deep, or holds itself", "$") from error


def from_json(text: str) -> Any:
    """The value that `to_json` was given; plain JSON as `json.loads` gives it. ValueError for text that is neither."""
    try:
        return _from_plain(load_json(text))
    except (KeyError, TypeError, IndexError, AttributeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise ValueError(f"not a tagged JSON value: {error!r} in {text[:80]!r}") from error


def load_json(text: Any, kind: type[Kind] | None = None) -> Any:
    """What JSON text from a file says: the one reader of JSON that is not ours.

    Parameters
    ----------
    text
        An attribute, the content of a file, whatever came in its place.
    kind
        What the text must hold: `list`, `dict`, `str`; anything if None.

    Returns
    -------
    Any
        As `json.loads` gives it.

    Raises
    ------
    ValueError
        For what is not text, is not JSON or of another kind, is nested too deep, is longer than 2^28 characters, or
        needs more memory than there is.
    """
    if not isinstance(text, str):
        raise ValueError(f"JSON text was expected, not {type(text).__name__}")
    if len(text) > _MAX_JSON:
        raise ValueError(f"JSON of {len(text)} characters, longer than any that is read: {text[:80]!r}…")
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"JSON that is nested too deep: {text[:80]!r}") from error
    except ValueError as error:
        raise ValueError(f"not JSON ({error}): {text[:80]!r}") from error
    except MemoryError as error:
        raise ValueError(f"JSON of {len(text)} characters needs more memory than there is: {text[:80]!r}…") from error
    if kind is not None and not isinstance(found, kind):
        raise ValueError(f"a JSON {_KIND_NAMES.get(kind, kind.__name__)} was expected: {text[:80]!r}")
    return found


def load_texts(text: Any) -> list[str]:
    """A JSON list of texts from a file. ValueError for anything else."""
    found = load_json(text, list)
    if not all(isinstance(item, str) for item in found):
        raise ValueError(f"a JSON list of texts was expected: {text[:80]!r}")
    return list(found)


def _tagged(name: str, value: Any) -> dict[str, Any]:
    return {TAG: name, "value": value}


def _to_plain(value: Any, path: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.generic):
        return _tagged("numpy.scalar", _array_parts(np.asarray(value), path))
    if isinstance(value, np.ndarray):
        if isinstance(value, np.ma.MaskedArray):
            parts = [_array_parts(np.asarray(value.data), path), _array_parts(np.ma.getmaskarray(value), path)]
            return _tagged("numpy.masked", parts)
        return _tagged("numpy.ndarray", _array_parts(value, path))
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _MAX_INT_BITS else _tagged("int", hex(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _tagged("float", _float_text(float(value)))
    if isinstance(value, str):
        text = str.__str__(value)
        return text if _is_utf8(text) else _tagged("str", text.encode("utf-8", "surrogatepass").hex())
    if isinstance(value, Mapping):
        return _mapping_to_plain(value, path)
    if isinstance(value, list):
        return _items(value, path)
    if (scalar := pandas_scalars.parts_of(value)) is not None:
        return _tagged("pandas", scalar)
    for kind, (name, encode, _) in _CODECS.items():
        if isinstance(value, kind):
            return _tagged(name, encode(value, path))
    raise UnsupportedValueError(f"{type(value).__name__} cannot be kept", path)


def _float_text(value: float) -> str:
    """`repr`, and for a NaN other than the usual one its bits as well."""
    raw = struct.pack(">d", value)
    return repr(value) if value == value or raw == _USUAL_NAN else f"nan:{raw.hex()}"


def _float_from_text(text: str) -> float:
    return float(struct.unpack(">d", bytes.fromhex(text[4:]))[0]) if text.startswith("nan:") else float(text)


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _mapping_to_plain(value: Mapping[Any, Any], path: str) -> Any:
    if TAG not in value and all(isinstance(key, str) and _is_utf8(key) for key in value):
        return {str.__str__(key): _to_plain(item, f"{path}.{key}") for key, item in value.items()}
    return _tagged("dict", [[_to_plain(k, path), _to_plain(v, f"{path}[{k!r}]")] for k, v in value.items()])


def _items(value: Any, path: str) -> list[Any]:
    return [_to_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]


def _array_parts(array: np.ndarray[Any, Any], path: str) -> dict[str, Any]:
    if array.dtype.hasobject:
        if array.dtype != object:
            raise UnsupportedValueError(f"an array of {array.dtype} cannot be kept", path)
        return {"dtype": "|O", "shape": list(array.shape), "items": _items(array.ravel().tolist(), path)}
    descr = npy_format.dtype_to_descr(array.dtype)
    raw = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return {"dtype": descr, "shape": list(array.shape), "base64": raw}


def _array_from_parts(parts: dict[str, Any]) -> np.ndarray[Any, Any]:
    shape = tuple(parts["shape"])
    if parts["dtype"] == "|O":
        items: np.ndarray[Any, Any] = np.empty(len(parts["items"]), dtype=object)
        for index, item in enumerate(parts["items"]):
            items[index] = _from_plain(item)
        return items.reshape(shape)
    dtype = np.dtype(_descr(parts["dtype"]))
    if dtype.itemsize == 0:
        return np.empty(shape, dtype)
    array: np.ndarray[Any, Any] = np.frombuffer(base64.b64decode(parts["base64"]), dtype=dtype).reshape(shape).copy()
    return array


def _descr(descr: Any) -> Any:
    """JSON turned the tuples of a structured dtype's description into lists."""
    if isinstance(descr, str):
        return descr
    return [
        (tuple(f[0]) if isinstance(f[0], list) else f[0], _descr(f[1]), *(tuple(extra) for extra in f[2:]))
        for f in descr
    ]


def _zone(value: datetime | time) -> str | None:
    return value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None


def _datetime_parts(value: datetime, path: str) -> list[Any]:
    if value.tzinfo is not None and _zone(value) is None and not isinstance(value.tzinfo, timezone):
        raise UnsupportedValueError(f"time zone {value.tzinfo!r} cannot be kept", path)
    text = value.replace(tzinfo=None).isoformat() if _zone(value) else value.isoformat()
    return [text, _zone(value), value.fold, *_offset_name(value)]


def _offset_name(value: datetime | time) -> list[str]:
    """The name that somebody has given to a fixed offset, if so."""
    if not isinstance(value.tzinfo, timezone):
        return []
    name = value.tzinfo.tzname(None)
    return [] if name == timezone(value.tzinfo.utcoffset(None)).tzname(None) else [name]


def _time_parts(value: time, path: str) -> Any:
    zone = _zone(value)
    if value.tzinfo is not None and zone is None and not isinstance(value.tzinfo, timezone):
        raise UnsupportedValueError(f"time zone {value.tzinfo!r} cannot be kept", path)
    name = _offset_name(value)
    if zone is None and not value.fold and not name:
        return value.isoformat()
    return [value.replace(tzinfo=None).isoformat() if zone else value.isoformat(), zone, value.fold, *name]


def _time_from_parts(parts: Any) -> time:
    if isinstance(parts, str):
        return time.fromisoformat(parts)
    value = time.fromisoformat(parts[0])
    return value.replace(tzinfo=_time_zone(value, parts), fold=parts[2])


def _time_zone(value: datetime | time, parts: list[Any]) -> Any:
    if parts[1]:
        return ZoneInfo(parts[1])
    if len(parts) > 3 and isinstance(value.tzinfo, timezone):
        return timezone(value.tzinfo.utcoffset(None), str(parts[3]))
    return value.tzinfo


def _datetime_from_parts(parts: list[Any]) -> datetime:
    value = datetime.fromisoformat(parts[0])
    return value.replace(tzinfo=_time_zone(value, parts), fold=parts[2])


_Codec = tuple[str, Callable[[Any, str], Any], Callable[[Any], Any]]

# Order matters: a datetime is also a date.
_CODECS: dict[type, _Codec] = {
    tuple: ("tuple", _items, lambda v: tuple(map(_from_plain, v))),
    frozenset: ("frozenset", lambda v, p: _items(sorted(v, key=repr), p), lambda v: frozenset(map(_from_plain, v))),
    set: ("set", lambda v, p: _items(sorted(v, key=repr), p), lambda v: set(map(_from_plain, v))),
    complex: (
        "complex",
        lambda v, p: [_float_text(v.real), _float_text(v.imag)],
        lambda v: complex(*map(_float_from_text, v)),
    ),
    bytes: ("bytes", lambda v, p: base64.b64encode(v).decode("ascii"), base64.b64decode),
    bytearray: (
        "bytearray",
        lambda v, p: base64.b64encode(v).decode("ascii"),
        lambda v: bytearray(base64.b64decode(v)),
    ),
    datetime: ("datetime", _datetime_parts, _datetime_from_parts),
    date: ("date", lambda v, p: v.isoformat(), date.fromisoformat),
    time: ("time", _time_parts, _time_from_parts),
    timedelta: (
        "timedelta",
        lambda v, p: [v.days, v.seconds, v.microseconds],
        lambda v: timedelta(days=v[0], seconds=v[1], microseconds=v[2]),
    ),
    Decimal: ("decimal", lambda v, p: str(v), Decimal),
    UUID: ("uuid", lambda v, p: str(v), UUID),
    PurePath: ("path", lambda v, p: str(v), Path),
}


def _from_tagged(name: str, value: Any) -> Any:
    if name == "numpy.scalar":
        return _array_from_parts(value)[()]
    if name == "numpy.ndarray":
        return _array_from_parts(value)
    if name == "numpy.masked":
        data, mask = (_array_from_parts(parts) for parts in value)
        return np.ma.masked_array(data, mask=mask)
    if name == "pandas":
        return pandas_scalars.from_parts(value)
    if name == "int":
        return int(value, 16)
    if name == "float":
        return _float_from_text(value)
    if name == "str":
        return bytes.fromhex(value).decode("utf-8", "surrogatepass")
    if name == "dict":
        return {_from_plain(key): _from_plain(item) for key, item in value}
    for known, _, decode in _CODECS.values():
        if known == name:
            return decode(value)
    raise ValueError(f"unknown type {name!r} in a tagged JSON value")


def _from_plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_plain(item) for item in value]
    if isinstance(value, dict):
        if TAG in value:
            return _from_tagged(value[TAG], value["value"])
        return {key: _from_plain(item) for key, item in value.items()}
    return value
