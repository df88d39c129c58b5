"""Links and attributes outside an object's header: a fractal heap, and a B-tree that lists what is in it."""

from __future__ import annotations

from h5burst._ext.h5parse import Source
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
    return FractalHeap(source, heap).objects([data[at + 4 : at + 11] for at in range(0, len(data), 11)])


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
