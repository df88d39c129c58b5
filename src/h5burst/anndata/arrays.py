"""Elements that are one dataset: arrays, text, records, single values; and lists, which become arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from h5burst.anndata import encodings as spec
from h5burst.anndata.elements import DATES, DURATIONS, Decoder, Element, Encoder, register
from h5burst.model.tree import Array, Node, UnsupportedValueError

_INT64 = range(-(1 << 63), 1 << 63)
_ADVICE = {"M": DATES, "m": DURATIONS}

# ---------------------------------------------------------------- single values


@register
class Null(Element):
    """None."""

    name, version, types = "null", "0.1.0", (type(None),)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        return Array(None)

    def decode(self, node: Any, where: str, decoder: Decoder) -> None:
        return None


@register
class Bytes(Element):
    """Bytes, of which no file is written."""

    name, version = "bytes", "0.2.0"

    def decode(self, node: Any, where: str, decoder: Decoder) -> Any:
        value = data_of(node)[()]
        if not isinstance(value, (np.generic, bytes)):
            raise ValueError("it is not a number")
        return value if spec.GIVES_NUMPY_SCALARS or isinstance(value, bytes) else value.item()


@register
class Number(Bytes):
    """A number or a boolean."""

    name, version = "numeric-scalar", "0.2.0"
    types = (bool, np.bool_, int, float, complex, np.number)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        if type(value) is int and value not in _INT64 and value not in range(1 << 64):
            raise UnsupportedValueError(f"the integer {value} does not fit 64 bits: make it text", where)
        return Array(np.asarray(value))


@register
class Text(Element):
    """One text."""

    name, version, types = "string", "0.2.0", (str,)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        return Array(np.array(str(value), dtype=object))

    def decode(self, node: Any, where: str, decoder: Decoder) -> str:
        return str(as_text(data_of(node)).reshape(-1)[0])


# ---------------------------------------------------------------- arrays


@register
class DenseArray(Element):
    """An array of numbers, booleans or bytes; of no axis: a single value."""

    name, version, types = "array", "0.2.0", (np.ndarray,)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        array = np.asarray(value)
        if not array.shape:
            return encoder.encode(array[()], where)
        if array.dtype.kind in _ADVICE:
            raise UnsupportedValueError(f"an array of {array.dtype}: {_ADVICE[array.dtype.kind]}", where)
        return Array(array)

    def decode(self, node: Any, where: str, decoder: Decoder) -> Any:
        data = data_of(node)
        return data if data.shape else data[()]


@register
class TextArray(Element):
    """Text of any shape, in memory an object array of `str`."""

    name, version = "string-array", "0.2.0"

    def takes(self, value: Any) -> bool:
        return isinstance(value, np.ndarray) and value.dtype.kind in "OUT" and bool(value.shape)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        return Array(_texts(np.asarray(value), where))

    def decode(self, node: Any, where: str, decoder: Decoder) -> Any:
        text = as_text(data_of(node))
        return text if text.shape else str(text[()])


@register
class RecordArray(Element):
    """A structured array; its fields of text are of variable length."""

    name, version = "rec-array", "0.2.0"

    def takes(self, value: Any) -> bool:
        return isinstance(value, np.ndarray) and value.dtype.names is not None and bool(value.shape)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        formats = []
        for name, (dtype, *_) in value.dtype.fields.items():
            if dtype.kind in _ADVICE or (dtype.kind in "UO" and dtype.shape):
                advice = _ADVICE.get(dtype.kind, "split it")
                raise UnsupportedValueError(f"a field {name!r} of {dtype}: {advice}", where)
            if dtype.kind == "O":
                _texts(value[name], f"{where}/{name}")
            formats.append((name, object if dtype.kind in "UO" else dtype))
        return Array(np.asarray(value).astype(formats))

    def decode(self, node: Any, where: str, decoder: Decoder) -> Any:
        return decode_records(data_of(node))


@register
class MaskedArray(Element):
    """Has no encoding."""

    types = (np.ma.MaskedArray,)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        raise UnsupportedValueError("a masked array has no encoding: fill it, and store the mask beside it", where)


@register
class PandasArray(Element):
    """An array of numpy that pandas holds."""

    types = (pd.arrays.NumpyExtensionArray,)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        return encoder.encode(value.to_numpy(), where)


@register
class List(Element):
    """Sequences that numpy makes an array of."""

    types = (list,)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        if any(isinstance(item, str) for item in value) and not all(isinstance(item, str) for item in value):
            raise UnsupportedValueError("a list of text and other values: make it one of them", where)
        try:
            array = np.array(value)
        except ValueError as error:
            raise UnsupportedValueError(f"a list that is not an array ({error}): make it a dict", where) from error
        if array.dtype.kind == "O":
            kinds = sorted({type(item).__name__ for item in value})
            raise UnsupportedValueError(f"a list of {', '.join(kinds)}: make it an array or a dict", where)
        return encoder.encode(array, where)


# ---------------------------------------------------------------- what is stored


def _texts(array: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    if array.dtype.kind != "O":
        return array.astype(object)
    odd = {kind.__name__ for kind in set(map(type, array.flat)) if not issubclass(kind, str)}
    if odd:
        is_missing = odd <= {"float", "NoneType", "NAType"}
        advice = "for missing values make it a categorical or a string array" if is_missing else "make it one type"
        raise UnsupportedValueError(f"objects of type {', '.join(sorted(odd))}, not text: {advice}", where)
    return array


def data_of(node: Node) -> np.ndarray[Any, Any]:
    """The array of a dataset. Raises ValueError for a group, and a null dataspace."""
    if not isinstance(node, Array):
        raise ValueError("it is not a dataset")
    if node.data is None:
        raise ValueError("its dataspace is null")
    return np.asarray(node.data)


def as_text(stored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Text of variable or fixed length as an object array of `str`. Raises ValueError for anything else."""
    if stored.dtype.kind == "O":
        if set(map(type, stored.flat)) <= {str}:
            return stored
    elif stored.dtype.kind != "S":
        raise ValueError(f"its dataset holds {stored.dtype}, not text")
    texts: np.ndarray[Any, Any] = np.empty(stored.shape, object)
    texts.reshape(-1)[:] = list(_decoded(stored))
    return texts


def _decoded(stored: np.ndarray[Any, Any]) -> Iterator[str]:
    for item in stored.flat:
        yield item.decode("utf-8") if isinstance(item, bytes) else item


def decode_records(stored: np.ndarray[Any, Any]) -> Any:
    """A compound with its members of text as `str`: objects for variable length, "U" for fixed."""
    fields = stored.dtype.fields
    if fields is None:
        raise ValueError(f"its dataset holds {stored.dtype}, not records")
    formats: list[tuple[str, Any]] = []
    for name, (dtype, *_) in fields.items():
        formats.append((name, f"U{dtype.itemsize}" if dtype.kind == "S" else dtype))
    records = np.empty(stored.shape, np.dtype(formats))
    for name, (dtype, *_) in fields.items():
        records[name] = as_text(stored[name]) if dtype.kind in "OS" else stored[name]
    return records


def unmarked_array(stored: np.ndarray[Any, Any]) -> Any:
    """An array of an old file: text of fixed length is text, and a single value where it has one element."""
    if stored.dtype.names is not None:
        return decode_records(stored)
    if stored.dtype.kind == "O":
        stored = as_text(stored)
    elif stored.dtype.kind == "S":
        stored = as_text(stored).astype(str)
        if stored.shape == (1,):
            return stored[0]
    return stored if stored.shape else stored[()]
