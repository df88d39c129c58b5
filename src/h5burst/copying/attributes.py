"""Attribute messages taken apart and put together."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError

_SHARED_TYPE, _SHARED_SPACE = 1, 2  # flags


class Attribute(NamedTuple):
    """An attribute message of any version: its name with what ends it, datatype and dataspace messages, elements.

    is_type_shared, is_space_shared: the two are places of shared messages instead. charset: that of the name, which
    version 3 says.
    """

    version: int
    name: bytes
    datatype: bytes
    dataspace: bytes
    elements: bytes
    is_type_shared: bool
    is_space_shared: bool
    charset: int

    @property
    def stored_name(self) -> bytes:
        """The name alone."""
        return self.name.split(b"\0")[0]


def decode(body: bytes) -> Attribute:
    """Raises `CorruptStructureError`, `UnsupportedFeatureError` for an unknown version."""
    if len(body) < 9:
        raise CorruptStructureError("an attribute message is too short")
    version = body[0]
    if not 1 <= version <= 3:
        raise UnsupportedFeatureError(f"attribute message version {version}")
    flags = body[1] if version > 1 else 0
    at, parts = 9 if version == 3 else 8, []
    for length in struct.unpack_from("<HHH", body, 2):
        parts.append(body[at : at + length])
        if len(parts[-1]) != length:
            raise CorruptStructureError("the parts of an attribute message are longer than it")
        at += (length + 7) // 8 * 8 if version == 1 else length
    charset = body[8] if version == 3 else 0
    name, datatype, dataspace = parts
    return Attribute(
        version, name, datatype, dataspace, body[at:], bool(flags & _SHARED_TYPE), bool(flags & _SHARED_SPACE), charset
    )


def encode(attribute: Attribute) -> bytes:
    """The body of the message, of the version that it was read from."""
    flags = attribute.is_type_shared * _SHARED_TYPE | attribute.is_space_shared * _SHARED_SPACE
    parts = (attribute.name, attribute.datatype, attribute.dataspace)
    head = struct.pack("<BBHHH", attribute.version, flags, *map(len, parts))
    if attribute.version == 3:
        head += bytes([attribute.charset])
    elif attribute.version == 1:
        parts = tuple(part.ljust((len(part) + 7) // 8 * 8, b"\0") for part in parts)  # type: ignore[assignment]
    return head + b"".join(parts) + attribute.elements


def element_count(dataspace: bytes) -> int:
    """How many elements a dataspace message means; 0 for a null one. Raises `CorruptStructureError`."""
    shape, _ = extent(dataspace)
    return 0 if shape is None else math.prod(shape)


def extent(dataspace: bytes) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """Shape and largest shape of a dataspace message; None for the shape of a null one."""
    if len(dataspace) < 4 or dataspace[0] not in (1, 2):
        raise CorruptStructureError("a dataspace message is too short, or of an unknown version")
    version, rank, flags = dataspace[0], dataspace[1], dataspace[2]
    if version == 2 and dataspace[3] == 2:
        return None, ()
    at = 8 if version == 1 else 4
    try:
        shape = struct.unpack_from(f"<{rank}Q", dataspace, at)
        limits = struct.unpack_from(f"<{rank}Q", dataspace, at + 8 * rank) if flags & 1 else shape
    except struct.error as error:
        raise CorruptStructureError("a dataspace message is too short for its dimensions") from error
    return shape, limits
