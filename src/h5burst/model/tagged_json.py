"""JSON that gives back what went in: plain JSON stays plain, everything else is tagged.

A tagged value is `{"__type__": marker, "value": …}` (see `encodings`). A dict that could be taken for one is itself
tagged.
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
from typing import Any, TypeAlias, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from numpy.lib import format as npy_format

from h5burst.model import pandas_scalars
from h5burst.model.encodings import Encodings, Marker, TypeEncoding
from h5burst.model.tree import UnsupportedValueError

TAG = "__type__"
Kind = TypeVar("Kind")
_KIND_NAMES: dict[type, str] = {list: "list", dict: "object", str: "text"}
_MAX_JSON = 1 << 28  # characters of one text that is read
_MAX_INT_BITS = 14_000  # more than Python writes as decimal text (4300 digits)
_USUAL_NAN = struct.pack(">d", math.nan)


def to_json(value: Any) -> str:
    """A value as JSON text that `from_json` turns back into it.

    Parameters
    ----------
    value
        None, bool, int, float (also nan, inf), complex, str, bytes, list, tuple, set, frozenset, dict with any hashable
        keys, numpy scalars and arrays, single values of pandas, date, datetime (fixed offset or IANA zone), time,
        timedelta, Decimal, UUID and Path. Members of an IntEnum or a string enum are kept as their plain value.

    Returns
    -------
    str
        Plain JSON stays plain; anything else is tagged with its encoding and version.

    Raises
    ------
    UnsupportedValueError
        For anything else, with the path inside the value; also for what is nested too deep.

    Examples
    --------
    >>> from h5burst import to_json
    >>> to_json({"a": [1, None], "b": (1, 2)})
    '{"a": [1, null], "b": {"__type__": "tuple@1", "value": [1, 2]}}'
    """
    try:
        return json.dumps(_to_plain(value, "$"), ensure_ascii=False, allow_nan=False)
    except RecursionError as error:
        raise UnsupportedValueError("a value that is nested too deep, or holds itself", "$") from error


def from_json(text: str) -> Any:
    """The value that `to_json` was given; plain JSON as `json.loads` gives it.

    Parameters
    ----------
    text : str
        JSON text, of any origin: nothing of it is executed.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        For text that is neither, is nested too deep, or has tags of a newer version.

    Examples
    --------
    >>> from h5burst import from_json
    >>> from_json('{"b": {"__type__": "tuple@1", "value": [1, 2]}}')
    {'b': (1, 2)}
    """
    try:
        return _from_plain(load_json(text))
    except (KeyError, TypeError, IndexError, AttributeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise ValueError(f"not a tagged JSON value: {error!r} in {text[:80]!r}") from error


def load_json(text: Any, kind: type[Kind] | None = None) -> Any:
    """Read JSON text from a file: the one reader of JSON that is not ours.

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

    Examples
    --------
    >>> from h5burst import load_json
    >>> load_json('{"a": 1}', dict)
    {'a': 1}
    """
    if not isinstance(text, str):
        raise ValueError(f"JSON text was expected, not {type(text).__name__}")
    if len(text) > _MAX_JSON:
        raise ValueError(f"JSON of {len(text)} characters, longer than any that is read: {text[:80]!r}…")
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"JSON that is nested too deep: {text[:80]!r}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error}): {text[:80]!r}") from error
    except ValueError as error:  # Python's limit for the digits of a whole number
        raise ValueError(f"JSON with a number of thousands of digits (write it as text): {text[:80]!r}") from error
    except MemoryError as error:
        raise ValueError(f"JSON of {len(text)} characters needs more memory than there is: {text[:80]!r}…") from error
    if kind is not None and not isinstance(value, kind):
        raise ValueError(f"a JSON {_KIND_NAMES.get(kind, kind.__name__)} was expected: {text[:80]!r}")
    return value


def load_texts(text: Any) -> list[str]:
    """A JSON list of texts from a file.

    Parameters
    ----------
    text
        An attribute, the content of a file, whatever came in its place.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        For anything else.

    Examples
    --------
    >>> from h5burst import load_texts
    >>> load_texts('["a", "b"]')
    ['a', 'b']
    """
    texts = load_json(text, list)
    if not all(isinstance(item, str) for item in texts):
        raise ValueError(f"a JSON list of texts was expected: {text[:80]!r}")
    return list(texts)


# ---------------------------------------------------------------- the table


def _to_plain(value: Any, path: str) -> Any:
    is_plain = _MOSTLY_PLAIN.get(type(value))
    if is_plain is not None and is_plain(value):
        return value
    encoding = _ENCODINGS.of(value)
    if encoding is None:
        problem = (
            f"{type(value).__name__} cannot be kept: make arrays, numbers, text, or lists and dicts of these of it"
        )
        raise UnsupportedValueError(problem, path)
    plain = encoding.encode(value, path)
    return {TAG: str(encoding.marker()), "value": plain} if encoding.name else plain


def _from_plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_plain(item) for item in value]
    if isinstance(value, dict):
        if TAG in value:
            return _ENCODINGS.reader(Marker.parse(value[TAG])).decode(value["value"])
        return {key: _from_plain(item) for key, item in value.items()}
    return value


# ---------------------------------------------------------------- what it consists of


def _float_text(value: float) -> str:
    """`repr`, and for a NaN other than the usual one its bits as well."""
    raw = struct.pack(">d", value)
    return repr(value) if value == value or raw == _USUAL_NAN else f"nan:{raw.hex()}"


def _float_from_text(text: str) -> float:
    return float(struct.unpack(">d", bytes.fromhex(text[4:]))[0]) if text.startswith("nan:") else float(text)


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _is_plain_mapping(value: Mapping[Any, Any]) -> bool:
    return TAG not in value and all(isinstance(key, str) and _is_utf8(key) for key in value)


def _plain_mapping(value: Mapping[str, Any], path: str) -> dict[str, Any]:
    return {str.__str__(key): _to_plain(item, f"{path}.{key}") for key, item in value.items()}


def _pairs(value: Mapping[Any, Any], path: str) -> list[Any]:
    return [[_to_plain(k, path), _to_plain(v, f"{path}[{k!r}]")] for k, v in value.items()]


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
    dtype = np.dtype(descr_of_json(parts["dtype"]))
    if dtype.itemsize == 0:
        return np.empty(shape, dtype)
    array: np.ndarray[Any, Any] = np.frombuffer(base64.b64decode(parts["base64"]), dtype=dtype).reshape(shape).copy()
    return array


def descr_of_json(descr: Any) -> Any:
    """numpy's description of a dtype, whose tuples JSON turned into lists."""
    if isinstance(descr, str):
        return descr
    return [
        (tuple(f[0]) if isinstance(f[0], list) else f[0], descr_of_json(f[1]), *(tuple(extra) for extra in f[2:]))
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
    """The name of a fixed offset, if it was given one."""
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


def _masked_parts(value: np.ma.MaskedArray[Any, Any], path: str) -> list[Any]:
    return [_array_parts(np.asarray(value.data), path), _array_parts(np.ma.getmaskarray(value), path)]


def _masked_from_parts(parts: list[Any]) -> Any:
    data, mask = (_array_from_parts(part) for part in parts)
    return np.ma.masked_array(data, mask=mask)


def _sorted_items(value: Any, path: str) -> list[Any]:
    return _items(sorted(value, key=repr), path)


def _base64(value: bytes | bytearray, path: str) -> str:
    return base64.b64encode(value).decode("ascii")


def _text(value: Any, path: str) -> str:
    return str(value)


def _same(stored: Any) -> Any:
    return stored


# Types of most values, and whether JSON has a value of them as it is: these need not be looked up.
_MOSTLY_PLAIN: dict[type, Callable[[Any], bool]] = {str: str.isascii, float: math.isfinite}

_Row: TypeAlias = TypeEncoding[Callable[[Any, str], Any], Callable[[Any], Any]]  # value, path -> JSON; JSON -> value

# The first row that takes a value stores it: a datetime is also a date. Rows without a name are plain JSON.
_ENCODINGS: Encodings[_Row] = Encodings(
    TypeEncoding("", (type(None), bool), lambda v, p: v, _same),
    TypeEncoding(
        "numpy.scalar", (np.generic,), lambda v, p: _array_parts(np.asarray(v), p), lambda v: _array_from_parts(v)[()]
    ),
    TypeEncoding("numpy.masked", (np.ma.MaskedArray,), _masked_parts, _masked_from_parts),
    TypeEncoding("numpy.ndarray", (np.ndarray,), _array_parts, _array_from_parts),
    TypeEncoding("", (int,), lambda v, p: int(v), _same, accepts=lambda v: v.bit_length() <= _MAX_INT_BITS),
    TypeEncoding("int", (int,), lambda v, p: hex(v), lambda v: int(v, 16)),
    TypeEncoding("", (float,), lambda v, p: float(v), _same, accepts=math.isfinite),
    TypeEncoding("float", (float,), lambda v, p: _float_text(float(v)), _float_from_text),
    TypeEncoding("", (str,), lambda v, p: str.__str__(v), _same, accepts=_is_utf8),
    TypeEncoding(
        "str",
        (str,),
        lambda v, p: str.__str__(v).encode("utf-8", "surrogatepass").hex(),
        lambda v: bytes.fromhex(v).decode("utf-8", "surrogatepass"),
    ),
    TypeEncoding("", (Mapping,), _plain_mapping, _same, accepts=_is_plain_mapping),
    TypeEncoding("dict", (Mapping,), _pairs, lambda v: {_from_plain(key): _from_plain(item) for key, item in v}),
    TypeEncoding("", (list,), _items, _same),
    TypeEncoding(
        "pandas", (object,), pandas_scalars.parts_of, pandas_scalars.from_parts, accepts=pandas_scalars.is_one
    ),
    TypeEncoding("tuple", (tuple,), _items, lambda v: tuple(map(_from_plain, v))),
    TypeEncoding("frozenset", (frozenset,), _sorted_items, lambda v: frozenset(map(_from_plain, v))),
    TypeEncoding("set", (set,), _sorted_items, lambda v: set(map(_from_plain, v))),
    TypeEncoding(
        "complex",
        (complex,),
        lambda v, p: [_float_text(v.real), _float_text(v.imag)],
        lambda v: complex(*map(_float_from_text, v)),
    ),
    TypeEncoding("bytes", (bytes,), _base64, base64.b64decode),
    TypeEncoding("bytearray", (bytearray,), _base64, lambda v: bytearray(base64.b64decode(v))),
    TypeEncoding("datetime", (datetime,), _datetime_parts, _datetime_from_parts),
    TypeEncoding("date", (date,), lambda v, p: v.isoformat(), date.fromisoformat),
    TypeEncoding("time", (time,), _time_parts, _time_from_parts),
    TypeEncoding(
        "timedelta",
        (timedelta,),
        lambda v, p: [v.days, v.seconds, v.microseconds],
        lambda v: timedelta(days=v[0], seconds=v[1], microseconds=v[2]),
    ),
    TypeEncoding("decimal", (Decimal,), _text, Decimal),
    TypeEncoding("uuid", (UUID,), _text, UUID),
    TypeEncoding("path", (PurePath,), _text, Path),
)
