"""Encodings of values that HDF5 or JSON do not have: tables of them, each with a name and a version.

What is stored says by a marker how: `name@version`, and after a colon what else its reader needs, such as a dtype:
`tuple@1`, `ndarray@1:<M8[ns]`. Files of the first layout have markers without a version, which is 1.

To change how a type is stored, put an encoding with the same name and the next version before the old one, and leave
the old one for the files that have it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

Encode = TypeVar("Encode", bound=Callable[..., Any])
Decode = TypeVar("Decode", bound=Callable[..., Any])

_TYPES_KNOWN = 512  # for which the table remembers its encodings


class Marker(NamedTuple):
    """Description of a stored value: name and version of its encoding, and what that needs besides."""

    name: str
    version: int = 1
    parameter: str = ""

    @classmethod
    def parse(cls, text: Any) -> Marker:
        """The marker that a file has. ValueError for what is not one."""
        if not isinstance(text, str):
            raise ValueError(f"a marker must be text, not {type(text).__name__}")
        return _parse(text)

    def __str__(self) -> str:
        return f"{self.name}@{self.version}{':' if self.parameter else ''}{self.parameter}"


@lru_cache(maxsize=1024)
def _parse(text: str) -> Marker:
    head, _, parameter = text.partition(":")
    name, _, version = head.partition("@")
    if version and not (version.isascii() and version.isdigit() and len(version) < 10):
        raise ValueError(f"unknown marker {text[:80]!r}")
    return Marker(name, int(version or 1), parameter)


@dataclass(frozen=True)
class TypeEncoding(Generic[Encode, Decode]):
    """One row of a table: whose values are stored how.

    Parameters
    ----------
    name : str
        In markers; "" for what is stored plainly and needs none.
    types : tuple of type
        Whose instances it stores; () for one that is no longer written, only read.
    encode, decode : callable
        As the table's user defines them.
    version : int
        Counted up when what is stored changes.
    accepts : callable, optional
        Whether a value of these types can be stored so; all are, if None.
    """

    name: str
    types: tuple[type, ...]
    encode: Encode
    decode: Decode
    version: int = 1
    accepts: Callable[[Any], bool] | None = None

    def marker(self, parameter: str = "") -> Marker:
        return Marker(self.name, self.version, parameter)


Row = TypeVar("Row", bound=TypeEncoding[Any, Any])


class Encodings(Generic[Row]):
    """A table of encodings. The first that takes a value stores it; name and version find the one that reads it."""

    def __init__(self, *rows: Row) -> None:
        self._rows = rows
        self._readers = {(row.name, row.version): row for row in rows if row.name}
        if len(self._readers) != sum(bool(row.name) for row in rows):
            raise ValueError("two encodings of the same name and version")
        self._for_type: dict[type, tuple[Row, ...]] = {}

    def of(self, value: Any) -> Row | None:
        """The encoding that stores a value; None where there is none."""
        kind = type(value)
        rows = self._for_type.get(kind)
        if rows is None:
            if len(self._for_type) >= _TYPES_KNOWN:
                self._for_type.clear()
            rows = self._for_type[kind] = tuple(row for row in self._rows if issubclass(kind, row.types))
        for row in rows:
            if row.accepts is None or row.accepts(value):
                return row
        return None

    def reader(self, marker: Marker) -> Row:
        """The encoding by which something was stored. ValueError for one that this version does not know."""
        row = self._readers.get((marker.name, marker.version))
        if row is not None:
            return row
        versions = sorted(version for name, version in self._readers if name == marker.name)
        hint = f", of which versions {versions} are known" if versions else ""
        message = f"unknown marker {str(marker)[:80]!r}{hint}: the file was written by a newer version, update h5burst"
        raise ValueError(message)
