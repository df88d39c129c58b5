"""Attribute messages of all versions."""

from __future__ import annotations

import struct
from typing import NamedTuple

from h5burst.format.total import total
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


@total("an attribute message")
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


def stored_name(body: bytes) -> bytes:
    """The name in a message of any version, also where what follows the name is damaged."""
    if len(body) < 9 or not 1 <= body[0] <= 3:
        raise CorruptStructureError("an attribute message is too short, or of an unknown version")
    at = 9 if body[0] == 3 else 8
    return body[at : at + int.from_bytes(body[2:4], "little")].split(b"\0")[0]
