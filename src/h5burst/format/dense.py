"""Links and attributes outside an object's header: a fractal heap, and B-trees that list what is in it.

Any heap is read. What this package writes keeps each of them as a huge object of its heap: bytes anywhere in the file,
found by a B-tree of numbers. A B-tree of names finds the number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from h5burst._ext.h5parse import Source, SymbolTable, checked_link, lookup3
from h5burst.format import btree2_update, info_message, link_message, symbol_table
from h5burst.format import object_header as oh
from h5burst.format.btree2 import cut, read_records
from h5burst.format.constants import UNDEFINED
from h5burst.format.fractal_heap import HUGE_PLACES, PLACE, FractalHeap, encode_huge_only
from h5burst.format.object_header import Message
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError

LINK_RECORD, _ATTRIBUTE_RECORD = 11, 17  # bytes of a record by name


class Kind(NamedTuple):
    """Types of the records of a listing, by name and by order; bytes of a heap ID and of an order."""

    by_name: int
    by_order: int
    id_bytes: int
    order_bytes: int


LINKS = Kind(5, 6, 7, 8)
ATTRIBUTES = Kind(8, 9, 8, 4)


# ---------------------------------------------------------------- links


def all_links(source: Source, messages: Sequence[Message]) -> list[bytes]:
    """The link messages of a group, in its header and outside; of one of the older format, as they would be."""
    return [message.body for message in messages if message.type == oh.LINK] + links_outside(source, messages)


def links_outside(source: Source, messages: Sequence[Message]) -> list[bytes]:
    """Those of `all_links` that are not in the header."""
    info, bodies = info_message.find(messages, oh.LINK_INFO), []
    if info.heap != UNDEFINED:
        bodies += read_links(source, info.heap, info.tree)
    for message in messages:
        if message.type == oh.SYMBOL_TABLE:
            links = SymbolTable(source, *symbol_table.decode_message(message.body)).links()
            bodies += [link_message.encode(*link) for link in links]
    return bodies


def read_links(source: Source, heap: int, tree: int) -> list[bytes]:
    """The link messages of a group that are outside its header."""
    records = read_records(source, tree, LINKS.by_name)
    if records.size != LINK_RECORD:
        raise CorruptStructureError("the index of a group has records of another size")
    rows = cut(records.data, LINK_RECORD)
    ids = [row[4:] for row in rows]
    opened = FractalHeap(source, heap)
    if len(set(ids)) < len(ids) or sum(map(is_huge, ids)) != opened.huge_count:
        raise CorruptStructureError("the index of a group lists other links than its heap holds")
    return [checked_link(body, link_hash(row)) for body, row in zip(opened.objects(ids), rows, strict=True)]


def sealed_link(body: bytes) -> bytes:
    """A link message with the checksum that this package keeps behind it where the format has none.

    Huge objects of a heap carry no checksum. The format takes a link's length from the message itself, so other
    programs do not look at what follows. `checked_link` takes it off again.
    """
    return body + lookup3(body).to_bytes(4, "little")


def link_record(name: bytes, number: int) -> bytes:
    """The record of a link that is the huge object of a number: hash of the name, heap ID."""
    return lookup3(name).to_bytes(4, "little") + huge_id(number)


def link_hash(record: bytes) -> int:
    """The hash of the name in the record of a link."""
    return int.from_bytes(record[:4], "little")


def link_number(record: bytes) -> int:
    """The number of the huge object in the record of a link."""
    return int.from_bytes(record[5:LINK_RECORD], "little")


def is_huge(heap_id: bytes) -> bool:
    """True where a heap ID is of an object that is in the file by itself, without a checksum of the format."""
    return heap_id[0] >> 4 & 3 == 1


def huge_id(number: int, id_bytes: int = LINKS.id_bytes) -> bytes:
    """The heap ID of the huge object of a number."""
    return b"\x10" + number.to_bytes(id_bytes - 1, "little")


# ---------------------------------------------------------------- attributes


def all_attributes(source: Source, messages: Sequence[Message]) -> list[Message]:
    """The attribute messages of an object, in its header and outside; of those outside, the body of shared ones is
    their ID in the table of the file.
    """
    info = info_message.find(messages, oh.ATTRIBUTE_INFO)
    inside = [message for message in messages if message.type == oh.ATTRIBUTE]
    return inside if info.heap == UNDEFINED else inside + _read_attributes(source, info.heap, info.tree)


def read_attributes(source: Source, heap: int, tree: int) -> list[tuple[bytes, int]]:
    """The attribute messages of an object that are outside its header, with their creation order."""
    messages = _read_attributes(source, heap, tree)
    if any(message.flags & oh.SHARED for message in messages):
        raise UnsupportedFeatureError("shared attributes")
    return [(message.body, message.order) for message in messages]


def _read_attributes(source: Source, heap: int, tree: int) -> list[Message]:
    """A record is a heap ID of 8 bytes, message flags, creation order (4 bytes) and a hash (4)."""
    records = read_records(source, tree, ATTRIBUTES.by_name)
    if records.size != _ATTRIBUTE_RECORD:
        raise CorruptStructureError("the index of attributes has records of another size")
    rows = cut(records.data, _ATTRIBUTE_RECORD)
    bodies = iter(FractalHeap(source, heap).objects([row[:8] for row in rows if not row[8] & oh.SHARED]))
    return [
        Message(
            oh.ATTRIBUTE, row[8], row[:8] if row[8] & oh.SHARED else next(bodies), int.from_bytes(row[9:13], "little")
        )
        for row in rows
    ]


# ---------------------------------------------------------------- writing


class Item(NamedTuple):
    """One link or attribute: its stored name, its message, its place in the order of making."""

    name: bytes
    body: bytes
    order: int


class DenseAddresses(NamedTuple):
    """Addresses of the heap, the index by name and that by order."""

    heap: int
    names: int
    orders: int


def write(
    append: Callable[[bytes], int], kind: Kind, items: Iterable[Item], *, by_order: bool = False
) -> DenseAddresses:
    """Write at least one item. by_order: whether there is an index by order."""
    items = list(items)
    bodies = [sealed_link(item.body) if kind is LINKS else item.body for item in items]
    at = append(b"".join(bodies))
    places = []
    for number, body in enumerate(bodies, 1):
        places.append(PLACE.pack(at, len(body), number))
        at += len(body)
    by_name = sorted((lookup3(item.name), item.name, _name_record(kind, item, k)) for k, item in enumerate(items, 1))
    names = btree2_update.write(append, kind.by_name, [record for _, _, record in by_name])
    orders = UNDEFINED
    if by_order:
        ordered = sorted((item.order, _order_record(kind, item, k)) for k, item in enumerate(items, 1))
        orders = btree2_update.write(append, kind.by_order, [record for _, record in ordered])
    huge = btree2_update.write(append, HUGE_PLACES, places)
    heap = append(encode_huge_only(len(items), huge, len(items), sum(map(len, bodies)), kind.id_bytes))
    return DenseAddresses(heap, names, orders)


def _name_record(kind: Kind, item: Item, number: int) -> bytes:
    if kind is LINKS:
        return link_record(item.name, number)
    name_hash = lookup3(item.name).to_bytes(4, "little")
    return _order_record(kind, item, number) + name_hash


def _order_record(kind: Kind, item: Item, number: int) -> bytes:
    order, heap_id = item.order.to_bytes(kind.order_bytes, "little"), huge_id(number, kind.id_bytes)
    return order + heap_id if kind is LINKS else heap_id + b"\0" + order
