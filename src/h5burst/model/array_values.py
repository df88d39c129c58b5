"""Arrays of dtypes that HDF5 does not have, and what is stored in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from h5burst.model.encodings import Marker
from h5burst.model.source import ArraySource
from h5burst.model.text import text_node
from h5burst.model.tree import Array

_STORED_KINDS = {"M": "i", "m": "i", "U": "O", "S": "S"}  # kind of a marked dtype -> that of what is stored
_LEAST_REFUSED = 64 << 20  # bytes that text of fixed width may take
_WIDEST = 4096  # bytes of it for each character that is stored


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
    return text_node(array, path), ""


_Form: TypeAlias = Callable[[np.ndarray[Any, Any], str], "tuple[Array, str]"]

# Kind of dtype -> how such arrays are stored; all others HDF5 holds as they are.
_FORMS: dict[str, _Form] = {
    "M": _instants, "m": _instants, "S": _fixed_bytes, "U": _fixed_text, "T": _variable_text, "O": _objects,
}  # fmt: skip


def _decode(data: np.ndarray[Any, Any] | ArraySource, dtype: str) -> Any:
    if dtype == "T":
        return np.asarray(data).astype(np.dtypes.StringDType())
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
    if stored.size * target.itemsize > max(_LEAST_REFUSED, _WIDEST * (characters + stored.size)):
        raise ValueError(f"a marker claims {str(target)[:80]} for {characters} characters in {stored.size} items")
    return stored.astype(target)


_READERS: dict[int, Callable[[np.ndarray[Any, Any] | ArraySource, str], Any]] = {1: _decode}
