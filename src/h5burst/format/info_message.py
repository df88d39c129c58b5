"""The link info and attribute info messages: where the index of what a header does not hold is."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from h5burst.format import object_header as oh
from h5burst.format.constants import UNDEFINED
from h5burst.format.object_header import Message
from h5burst.format.total import total


class Info(NamedTuple):
    """A link info or attribute info message: addresses of the heap and of the index by name.

    tracked, indexed: whether the order of making is kept, and has an index of its own; next_order: the next one's.
    """

    heap: int
    tree: int
    tracked: bool
    indexed: bool
    next_order: int


_PLAIN = struct.Struct("<BBQQ")
NO_INFO = Info(UNDEFINED, UNDEFINED, False, False, 0)


def find(messages: Iterable[Message], kind: int) -> Info:
    """The message of a kind (`LINK_INFO`, `ATTRIBUTE_INFO`) among those of a header; `NO_INFO` where there is none."""
    for message in messages:
        if message.type == kind:
            return decode(message.body, 8 if kind == oh.LINK_INFO else 2)
    return NO_INFO


@total("a link info or attribute info message")
def decode(body: bytes, order_bytes: int) -> Info:
    """order_bytes: of the order: 8 for links, 2 for attributes."""
    if not body[1] & 3:
        _, _, heap, tree = _PLAIN.unpack_from(body)
        return Info(heap, tree, False, False, 0)
    tracked, indexed = bool(body[1] & 1), bool(body[1] & 2)
    at = 2 + (order_bytes if tracked else 0)
    heap, tree = struct.unpack_from("<QQ", body, at)
    return Info(heap, tree, tracked, indexed, int.from_bytes(body[2:at], "little"))


def encode(info: Info, order_bytes: int, order_tree: int = UNDEFINED) -> bytes:
    """As `decode`. order_tree: address of the index by order, where there is to be one."""
    if not (info.tracked or info.indexed):
        return _PLAIN.pack(0, 0, info.heap, info.tree)
    flags = info.tracked | info.indexed << 1
    order = info.next_order.to_bytes(order_bytes, "little") if info.tracked else b""
    last = order_tree.to_bytes(8, "little") if info.indexed else b""
    return bytes([0, flags]) + order + struct.pack("<QQ", info.heap, info.tree) + last
