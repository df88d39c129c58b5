"""Local heaps: texts end to end, and a header that says where they are."""

from __future__ import annotations

import struct
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
    signature, version, size, free, data = _HEADER.unpack(source.read(address, _HEADER.size))
    if signature != b"HEAP" or version != 0:
        raise CorruptStructureError(f"there is no local heap at address {address}")
    return LocalHeap(size, free, data)
