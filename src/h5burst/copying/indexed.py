"""Links and attributes that are too many or too long for a header: a heap of huge objects, and indices of it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from h5burst._ext.h5parse import lookup3
from h5burst.copying.output import Writer
from h5burst.format import btree2_update, dense
from h5burst.format.constants import UNDEFINED
from h5burst.format.fractal_heap import encode_huge_only

_HUGE = 1  # type of the records that say where objects are
_HUGE_ID = 0x10  # first byte of the ID of an object that is in the file by itself


class Kind(NamedTuple):
    """What is indexed: types of the records by name and by order, bytes of a heap ID and of an order."""

    by_name: int
    by_order: int
    id_bytes: int
    order_bytes: int


LINKS = Kind(5, 6, 7, 8)
ATTRIBUTES = Kind(8, 9, 8, 4)


class Item(NamedTuple):
    """One link or attribute: its stored name, its message, its place in the order of making."""

    name: bytes
    body: bytes
    order: int


class Stored(NamedTuple):
    """Addresses of the heap, the index by name and that by order."""

    heap: int
    names: int
    orders: int


def write(writer: Writer, kind: Kind, items: Sequence[Item], *, by_order: bool) -> Stored:
    """Write at least one item. by_order: whether there is an index by order."""
    bodies = [dense.sealed_link(item.body) if kind is LINKS else item.body for item in items]
    place = writer.append(b"".join(bodies))
    places = []
    for number, body in enumerate(bodies, 1):
        places.append(struct.pack("<QQQ", place, len(body), number))
        place += len(body)
    ids = [bytes([_HUGE_ID]) + number.to_bytes(kind.id_bytes - 1, "little") for number in range(1, len(items) + 1)]
    by_name = sorted((lookup3(item.name), item.name, _name_record(kind, item, ids[k])) for k, item in enumerate(items))
    names = btree2_update.write(writer.append, kind.by_name, [record for _, _, record in by_name])
    orders = UNDEFINED
    if by_order:
        ordered = sorted((item.order, _order_record(kind, item, ids[k])) for k, item in enumerate(items))
        orders = btree2_update.write(writer.append, kind.by_order, [record for _, record in ordered])
    huge = btree2_update.write(writer.append, _HUGE, places)
    stored = sum(map(len, bodies))
    heap = writer.append(encode_huge_only(len(items), huge, len(items), stored, kind.id_bytes))
    return Stored(heap, names, orders)


def _name_record(kind: Kind, item: Item, heap_id: bytes) -> bytes:
    name_hash = lookup3(item.name).to_bytes(4, "little")
    if kind is LINKS:
        return name_hash + heap_id
    return heap_id + b"\0" + item.order.to_bytes(kind.order_bytes, "little") + name_hash


def _order_record(kind: Kind, item: Item, heap_id: bytes) -> bytes:
    order = item.order.to_bytes(kind.order_bytes, "little")
    return order + heap_id if kind is LINKS else heap_id + b"\0" + order
