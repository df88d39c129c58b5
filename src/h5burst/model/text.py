"""Text that HDF5 cannot hold as it is, in percent escapes: NUL ends it there, and lone surrogates are not UTF-8."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import numpy as np

from h5burst.model.encodings import Marker
from h5burst.model.source import ArraySource
from h5burst.model.tree import Array, UnsupportedValueError

TEXT = "h5burst.text"
_ESCAPED = Marker("escaped")


def escape_text(text: str) -> str:
    """The text as it is stored: itself, or NUL, lone surrogates and "%" as percent escapes."""
    if "\0" not in text and (text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)):
        return text
    return "".join(_percent(c) if c in "%\0" or "\ud800" <= c <= "\udfff" else c for c in text)


def unescape_text(stored: str) -> str:
    """The text that `escape_text` was given, where that changed it."""
    return unquote(stored, errors="surrogatepass")


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def text_node(array: np.ndarray[Any, Any], path: str = "") -> Array:
    """An object array of `str`, or of `bytes`, as a dataset. `UnsupportedValueError` (with the path) for any other."""
    flat = array.ravel().tolist()
    if all(type(item) is str for item in flat):
        escaped = [escape_text(item) for item in flat]
        if escaped == flat:
            return Array(array)
        stored = np.empty(len(flat), dtype=object)
        # One flag speaks for all items, so a "%" that needed no escape gets one too.
        stored[:] = [e if e != item else item.replace("%", "%25") for item, e in zip(flat, escaped, strict=True)]
        return Array(stored.reshape(array.shape), {TEXT: str(_ESCAPED)})
    if all(type(item) is bytes for item in flat) and not any(b"\0" in item for item in flat):
        return Array(array)
    problem = "an object array must hold only str, only bytes without NUL, or only arrays of numbers"
    raise UnsupportedValueError(problem, path or "/")


def plain_text(node: Array, data: np.ndarray[Any, Any] | ArraySource) -> Any:
    """The data of a dataset, with the text in it unescaped if need be."""
    if TEXT not in node.attrs:
        return data
    marker = Marker.parse(node.attrs[TEXT])
    if marker != _ESCAPED:
        raise ValueError(f"unknown marker {TEXT}: {str(marker)[:80]!r}: the file was written by a newer version")
    items = np.asarray(data).ravel().tolist()
    plain = np.empty(len(items), dtype=object)
    plain[:] = [unescape_text(item) for item in items]
    return plain.reshape(data.shape)
