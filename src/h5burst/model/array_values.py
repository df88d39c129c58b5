"""Arrays of dtypes that HDF5 does not have, and what is stored in their place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from h5burst.model.encodings import Marker
from h5burst.model.source import ArraySource
from h5burst.model.tagged_json import load_json
from h5burst.model.text import escape_text, text_node
from h5burst.model.tree import Array, UnsupportedValueError

_STORED_KINDS = {"M": "i", "m": "i", "U": "O", "S": "S"}  # kind of a marked dtype -> that of what is stored
_MIN_REFUSED = 64 << 20  # bytes that text of fixed width may take
_WIDEST = 4096  # bytes of it for each character that is stored
_RECORDS = "records:"  # before the dtype of records that have text, as JSON


@runtime_checkable
class ViewableSource(ArraySource, Protocol):
    """An array source whose bytes can be taken for elements of another dtype of the same size."""

    def as_dtype(self, dtype: np.dtype[Any]) -> ArraySource: ...


def encode_array(array: np.ndarray[Any, Any], path: str) -> tuple[Array, str]:
    """The dataset that holds an array, and the dtype for its marker, "" where HDF5 has that itself."""
    form = _FORMS.get(array.dtype.kind)
    return (Array(array), "") if form is None else form(array, path)


def encode_source(source: ArraySource, path: str) -> tuple[Array, str]:
    """As the array that the source reads; what is stored as something else than its bytes is read for that."""
    if source.dtype.kind in "Mm" and isinstance(source, ViewableSource):
        return Array(source.as_dtype(np.dtype(f"{source.dtype.byteorder}i8"))), source.dtype.str
    if source.dtype.kind in "MmU":
        return encode_array(np.asarray(source), path)
    return Array(source), ""


def decode_array(data: np.ndarray[Any, Any] | ArraySource, marker: Marker) -> Any:
    """The array of a dataset with this marker; the data themselves where it names no dtype.

    Raises ValueError for a dtype that does not fit what is stored, or a marker of a newer version.
    """
    decode = _READERS.get(marker.version)
    if decode is None:
        raise ValueError(
            f"unknown marker {str(marker)[:80]!r}: the file was written by a newer version, update h5burst"
        )
    return decode(data, marker.parameter) if marker.parameter else data


def _instants(array: np.ndarray[Any, Any], path: str) -> tuple[Array, str]:
    return Array(array.view(f"{array.dtype.byteorder}i8")), array.dtype.str


def _fixed_bytes(array: np.ndarray[Any, Any], path: str) -> tuple[Array, str]:
    return (Array(array), "") if array.dtype.itemsize else (Array(array.astype("S1")), "|S0")


def _fixed_text(array: np.ndarray[Any, Any], path: str) -> tuple[Array, str]:
    return text_node(np.asarray(array, dtype=object).copy(), path), array.dtype.str


def _variable_text(array: np.ndarray[Any, Any], path: str) -> tuple[Array, str]:
    return text_node(np.asarray(array, dtype=object).copy(), path), "T"


def _objects(array: np.ndarray[Any, Any], path: str) -> tuple[Array, str]:
    return (Array(array) if array.size and _are_sequences(array) else text_node(array, path)), ""


def _are_sequences(array: np.ndarray[Any, Any]) -> bool:
    """True where arrays of variable length are in it that come back as they are; text in them would as bytes."""
    return all(
        type(item) is np.ndarray
        and (item.dtype.kind != "O" or _are_sequences(item) or all(type(text) is bytes for text in item.flat))
        for item in array.flat
    )


def _records(array: np.ndarray[Any, Any], path: str) -> tuple[Array, str]:
    """Records as they are, but for text, which is of variable length in the file, and bytes when it is read."""
    dtype, texts = array.dtype, []
    fields = dict(dtype.fields or {})
    for name in fields:
        kind = dtype[name].kind
        where = f"{path}, field {name!r}"
        if kind == "V" and dtype[name].base.hasobject:
            raise UnsupportedValueError("text in records inside of records", where)
        items = array[name].ravel().tolist() if kind in "OU" else []
        if kind == "U" or (kind == "O" and any(type(item) is not bytes for item in items)):
            if not all(type(item) is str and escape_text(item) == item for item in items):
                raise UnsupportedValueError("a field of objects must hold only text without NUL, or only bytes", where)
            texts.append(name)
    if not texts:
        return Array(array), ""
    stored = np.empty(array.shape, [(name, object if name in texts else dtype[name]) for name in fields])
    for name in fields:
        stored[name] = array[name]
    formats = [dtype[name].str if name in texts else "" for name in fields]
    offsets = [field[1] for field in fields.values()]
    layout = {"formats": formats, "offsets": offsets, "itemsize": dtype.itemsize}
    return Array(stored), _RECORDS + json.dumps(layout)


_Form: TypeAlias = Callable[[np.ndarray[Any, Any], str], "tuple[Array, str]"]

# Kind of dtype -> how such arrays are stored; all others HDF5 holds as they are.
_FORMS: dict[str, _Form] = {
    "M": _instants, "m": _instants, "S": _fixed_bytes, "U": _fixed_text, "T": _variable_text, "O": _objects,
    "V": _records,
}  # fmt: skip


def _decode(data: np.ndarray[Any, Any] | ArraySource, dtype: str) -> Any:
    if dtype == "T":
        return np.asarray(data).astype(np.dtypes.StringDType())
    if dtype.startswith(_RECORDS):
        return _decode_records(np.asarray(data), dtype[len(_RECORDS) :])
    try:
        target = np.dtype(dtype)
    except TypeError as error:
        raise ValueError(f"a marker names the dtype {dtype[:80]!r}, which does not exist") from error
    stored = np.asarray(data)
    if stored.dtype.kind != _STORED_KINDS.get(target.kind):
        raise ValueError(f"a marker says {str(target)[:80]} of an array of {stored.dtype}")
    if target.kind in "Mm":
        return stored.view(target)
    characters = sum(map(len, stored.flat)) if stored.dtype.kind == "O" else stored.size
    _check_size(target, stored.size, characters)
    return stored.astype(target)


def _check_size(target: np.dtype[Any], size: int, characters: int) -> None:
    """Raise `ValueError` where a marker claims far more memory than is stored."""
    if size * target.itemsize > max(_MIN_REFUSED, _WIDEST * (characters + size)):
        raise ValueError(f"a marker claims {str(target)[:80]} for {characters} characters in {size} items")


def _decode_records(stored: np.ndarray[Any, Any], layout: str) -> np.ndarray[Any, Any]:
    """Records with the text of their fields as `str`, in the dtype that they had."""
    description, names = load_json(layout, dict), stored.dtype.names or ()
    formats = [str(one) for one in description.get("formats", ())]
    if len(formats) != len(names) or not all(one[:2] in ("", "|O", "<U", ">U") for one in formats):
        raise ValueError(f"a marker of records does not fit the fields {', '.join(names)[:80]}")
    try:
        texts = {name: np.dtype(one) for name, one in zip(names, formats, strict=True) if one}
        kinds = [texts.get(name, stored.dtype[name]) for name in names]
        offsets, size = description["offsets"], description["itemsize"]
        target = np.dtype({"names": names, "formats": kinds, "offsets": offsets, "itemsize": size})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a marker of records has no dtype: {error}") from error
    plain = {name: _field_text(stored[name], name) for name in texts}
    _check_size(target, stored.size, stored.nbytes + sum(len(item) for field in plain.values() for item in field))
    records = np.zeros(stored.shape, target)
    for name in names:
        if name in plain:
            records[name] = np.array([*plain[name], None], object)[:-1].reshape(stored.shape)
        else:
            records[name] = stored[name]
    return records


def _field_text(values: np.ndarray[Any, Any], name: str) -> list[str]:
    plain = []
    for item in values.ravel().tolist():
        if not isinstance(item, (bytes, str)):
            raise ValueError(f"a marker says text of the field {name!r}, which has {values.dtype}")
        plain.append(item.decode() if isinstance(item, bytes) else item)
    return plain


_READERS: dict[int, Callable[[np.ndarray[Any, Any] | ArraySource, str], Any]] = {1: _decode}
