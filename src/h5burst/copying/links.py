"""The links of a group in the source, and what its copy says of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from h5burst._ext.h5parse import Source
from h5burst.format import dense, symbol_table
from h5burst.format import object_header as oh
from h5burst.format.constants import UNDEFINED
from h5burst.format.object_header import Info, Message
from h5burst.model.errors import CorruptStructureError

_COMPACT_DEFAULT = 8  # links that a header holds when it names no number itself
_MOST_SAID = 65535
_HAS_LIMITS, _HAS_ESTIMATES = 1, 2  # flags of the group info message


class FoundLink(NamedTuple):
    """A link: its name, its message, the address that it leads to (None: a soft or external one), its order."""

    name: bytes
    body: bytes
    address: int | None
    order: int | None

    def with_address(self, address: int) -> bytes:
        """The message of a hard link that leads elsewhere."""
        at = _behind_name(self.body)
        return self.body[:at] + address.to_bytes(8, "little")


def read(source: Source, found: Sequence[Message], info: Info) -> list[FoundLink]:
    """All links of a group, by their order where it is kept, else by name."""
    bodies = [message.body for message in found if message.type == oh.LINK]
    if info.heap != UNDEFINED:
        bodies += dense.read_links(source, info.heap, info.tree)
    for message in found:
        if message.type == oh.SYMBOL_TABLE:
            if len(message.body) < 16:
                raise CorruptStructureError("a symbol table message is too short")
            tree, heap = struct.unpack_from("<QQ", message.body)
            bodies += [oh.encode_link(name, target) for name, target in symbol_table.read_links(source, tree, heap)]
    links = [FoundLink(link.name, body, link.address, link.order) for link, body in _decoded(bodies)]
    if info.tracked:
        return sorted(links, key=lambda link: link.order or 0)
    return sorted(links, key=lambda link: link.name)


def _decoded(bodies: Sequence[bytes]) -> list[tuple[oh.Link, bytes]]:
    return [(oh.decode_link(body), body) for body in bodies]


def _behind_name(body: bytes) -> int:
    flags = body[1]
    at = 2 + (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    return at + width + int.from_bytes(body[at : at + width], "little")


def group_info(old: bytes | None, count: int) -> bytes:
    """The group info message, which allows as many links in the header as there are."""
    body = b"\0\0" if old is None or len(old) < 2 else old
    has_limits = bool(body[1] & _HAS_LIMITS)
    limits, estimates = (body[2:6], body[6:10]) if has_limits else (b"", body[2:6])
    most = int.from_bytes(limits[:2], "little") if has_limits else _COMPACT_DEFAULT
    if count > most:
        limits = struct.pack("<HH", min(count, _MOST_SAID), min(6, count))
    flags = (body[1] & _HAS_ESTIMATES) | (_HAS_LIMITS if limits else 0)
    return bytes([0, flags]) + limits + (estimates if body[1] & _HAS_ESTIMATES else b"")


def attribute_rows(source: Source, info: Info) -> list[tuple[bytes, int, bool]]:
    """Attribute messages outside the header, their order, and whether the first is an ID in the file's table."""
    return dense.read_shared_attributes(source, info.heap, info.tree)
