"""Links and attributes outside an object's header: a fractal heap, and a B-tree that lists what is in it."""

from __future__ import annotations

from h5burst._ext.h5parse import Source, checked_link, lookup3
from h5burst.format.btree2 import read_records
from h5burst.format.fractal_heap import FractalHeap
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError

_LINKS_BY_NAME, _ATTRIBUTES_BY_NAME = 5, 8  # record types
_SHARED = 2  # message flag


def read_links(source: Source, heap: int, tree: int) -> list[bytes]:
    """The link messages of a group; a record is a hash of 4 bytes and a heap ID of 7."""
    records = read_records(source, tree, _LINKS_BY_NAME)
    if records.size != 11:
        raise CorruptStructureError("the index of a group has records of another size")
    data = records.data
    ids = [data[at + 4 : at + 11] for at in range(0, len(data), 11)]
    opened = FractalHeap(source, heap)
    if len(set(ids)) < len(ids) or sum(map(is_huge, ids)) != opened.huge_count:
        raise CorruptStructureError("the index of a group lists other links than its heap holds")
    hashes = (int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 11))
    return [checked_link(body, name_hash) for body, name_hash in zip(opened.objects(ids), hashes, strict=True)]


def sealed_link(body: bytes) -> bytes:
    """A link message with the checksum that this package keeps behind it where the format has none.

    Huge objects of a heap carry no checksum. The format takes a link's length from the message itself, so other
    programs do not look at what follows. `checked_link` takes it off again.
    """
    return body + lookup3(body).to_bytes(4, "little")


def is_huge(heap_id: bytes) -> bool:
    """Whether a heap ID is of an object that is in the file by itself, without a checksum of the format."""
    return heap_id[0] >> 4 & 3 == 1


def huge_id(number: int) -> bytes:
    """The heap ID of the huge object of a number in a heap of links."""
    return b"\x10" + number.to_bytes(6, "little")


def read_attributes(source: Source, heap: int, tree: int) -> list[tuple[bytes, int]]:
    """The attribute messages of an object with their creation order.

    A record is a heap ID of 8 bytes, message flags, creation order (4 bytes) and a hash (4).
    """
    rows = _attribute_rows(source, tree)
    if any(row[8] & _SHARED for row in rows):
        raise UnsupportedFeatureError("shared attributes")
    bodies = FractalHeap(source, heap).objects([row[:8] for row in rows])
    return [(body, int.from_bytes(row[9:13], "little")) for body, row in zip(bodies, rows, strict=True)]


def read_shared_attributes(source: Source, heap: int, tree: int) -> list[tuple[bytes, int, bool]]:
    """As `read_attributes`, with those that are kept in a table for the whole file: their ID there, order, True."""
    rows = _attribute_rows(source, tree)
    own = iter(FractalHeap(source, heap).objects([row[:8] for row in rows if not row[8] & _SHARED]))
    return [
        (row[:8] if row[8] & _SHARED else next(own), int.from_bytes(row[9:13], "little"), bool(row[8] & _SHARED))
        for row in rows
    ]


def _attribute_rows(source: Source, tree: int) -> list[bytes]:
    records = read_records(source, tree, _ATTRIBUTES_BY_NAME)
    if records.size != 17:
        raise CorruptStructureError("the index of attributes has records of another size")
    return [records.data[at : at + 17] for at in range(0, len(records.data), 17)]
