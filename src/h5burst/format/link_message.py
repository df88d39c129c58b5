"""The link message: a link of a group, in its header or in its index."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from h5burst.format.object_header import Message
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError

_WIDTH, _ORDERED, _OF_A_KIND, _WITH_CHARSET = 0x03, 0x04, 0x08, 0x10  # flags
_SOFT = 1


class Link(NamedTuple):
    """A link: its stored name; the address it leads to, None for a soft or external one; its order, None untracked."""

    name: bytes
    address: int | None
    order: int | None


def _name_at(body: bytes) -> tuple[int, int]:
    """The offsets at which the name begins and ends."""
    flags = body[1]
    at = 2 + (1 if flags & _OF_A_KIND else 0) + (8 if flags & _ORDERED else 0) + (1 if flags & _WITH_CHARSET else 0)
    width = 1 << (flags & _WIDTH)
    return at + width, at + width + int.from_bytes(body[at : at + width], "little")


@total("a link message")
def decode(body: bytes) -> Link:
    """A link message."""
    if body[:2] == b"\x01\x00" and len(body) == 11 + body[2] > 11:  # as in `name_of`
        return Link(body[3:-8], int.from_bytes(body[-8:], "little"), None)
    flags, (at, end) = body[1], _name_at(body)
    is_hard = not (flags & _OF_A_KIND and body[2])
    order = struct.unpack_from("<q", body, 3 if flags & _OF_A_KIND else 2)[0] if flags & _ORDERED else None
    address = struct.unpack_from("<Q", body, end)[0] if is_hard else None
    if body[0] != 1 or end > len(body) or at == end:
        raise CorruptStructureError("the name of a link is outside its message")
    return Link(body[at:end], address, order)


@total("a link message")
def name_of(body: bytes) -> bytes:
    """The stored name in a link message. Raises `CorruptStructureError`."""
    if body[:2] == b"\x01\x00" and len(body) == 11 + body[2] > 11:  # a hard link as this package writes it
        return body[3:-8]
    return decode(body).name


@total("a link message")
def by_name(messages: Iterable[Message]) -> dict[bytes, Message]:
    """Link messages by the stored names in them. Raises `CorruptStructureError`."""
    messages_by_name = {}
    for message in messages:
        body = message.body
        is_plain = body[:2] == b"\x01\x00" and len(body) == 11 + body[2] > 11  # as in `name_of`: without its call
        messages_by_name[body[3:-8] if is_plain else decode(body).name] = message
    return messages_by_name


@total("a link message")
def length_of(data: bytes) -> int:
    """Length of the link message that `data` begins with."""
    flags, (_, end) = data[1], _name_at(data)
    end += 2 + struct.unpack_from("<H", data, end)[0] if flags & _OF_A_KIND and data[2] else 8
    if flags & 0xE0 or end > len(data):
        raise CorruptStructureError("a link message is longer than its place")
    return end


@total("a link message")
def leading_to(body: bytes, address: int) -> bytes:
    """A hard link's message, leading elsewhere."""
    return body[: _name_at(body)[1]] + address.to_bytes(8, "little")


def encode(name: bytes, target: int | bytes, order: int | None = None) -> bytes:
    """A hard link to an address, or a soft one to a path; order: where the group counts the making of its links."""
    if order is None and not isinstance(target, bytes) and len(name) < 256 and name.isascii():
        return b"\x01\x00%c%b%b" % (len(name), name, target.to_bytes(8, "little"))
    flags = width = 1 if len(name) > 255 else 0
    parts = []
    if isinstance(target, bytes):
        flags |= _OF_A_KIND
        parts.append(bytes([_SOFT]))
    if order is not None:
        flags |= _ORDERED
        parts.append(order.to_bytes(8, "little"))
    if not name.isascii():
        flags |= _WITH_CHARSET
        parts.append(b"\x01")
    parts += [len(name).to_bytes(1 + width, "little"), name]
    parts += (
        [len(target).to_bytes(2, "little"), target] if isinstance(target, bytes) else [target.to_bytes(8, "little")]
    )
    return b"".join((bytes([1, flags]), *parts))
