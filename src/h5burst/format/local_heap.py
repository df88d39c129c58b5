"""Local heaps: texts end to end, and a header that says where they are."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from h5burst._ext.h5parse import Source
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError

_HEADER = struct.Struct("<4sB3xQQQ")


class LocalHeap(NamedTuple):
    """A header: bytes of the texts, place of the first free block among them, their address."""

    size: int
    free: int
    data: int


def encode(heap: LocalHeap) -> bytes:
    """The header."""
    return _HEADER.pack(b"HEAP", 0, *heap)


@total("the header of a local heap", reads=True)
def read_header(source: Source, address: int) -> LocalHeap:
    """The header at an address."""
    return _header(source, address)


def _header(source: Source, address: int) -> LocalHeap:
    signature, version, size, free, data = _HEADER.unpack(source.read(address, _HEADER.size))
    if signature != b"HEAP" or version != 0:
        raise CorruptStructureError(f"there is no local heap at address {address}")
    return LocalHeap(size, free, data)


def texts(source: Source, address: int) -> bytes:
    """The texts of the heap whose header is at an address, for a decoder that is total."""
    heap = _header(source, address)
    return source.read(heap.data, heap.size)


def texts_at(texts: bytes, places: Iterable[int]) -> list[bytes]:
    """Different texts of a heap, by their places. Raises `CorruptStructureError`, also where they overlap."""
    found, taken = [], 0
    for at in places:
        end = texts.find(b"\0", at)
        if at >= len(texts) or end < 0:
            raise CorruptStructureError("a name is outside the local heap")
        taken += end - at
        if taken > len(texts):  # before so much is copied
            raise CorruptStructureError("the names in a local heap overlap")
        found.append(texts[at:end])
    return found
