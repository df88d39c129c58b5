"""Elements of chunk indices, and the pages in which long arrays of them are."""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias

from h5burst._ext.h5parse import Source
from h5burst.format.constants import UNDEFINED
from h5burst.model.errors import CorruptStructureError


class ChunkElement(NamedTuple):
    """One chunk: where it is, how many bytes, which filters were left out."""

    address: int
    size: int
    mask: int


ChunkElements: TypeAlias = "list[tuple[int, ChunkElement]]"  # number and element of each chunk that was written


class ElementFormat(NamedTuple):
    """Form of the elements of an index: bytes of one; bytes of a chunk; whether chunks are filtered."""

    width: int
    chunk_bytes: int
    filtered: bool

    def check(self) -> None:
        if not 13 <= self.width <= 20 if self.filtered else self.width != 8:
            raise CorruptStructureError("the elements of a chunk index are of another size")


def decode_elements(data: bytes, form: ElementFormat, first: int) -> ChunkElements:
    """Elements from place `first` on: an address; with filters also the size, and the filter mask of 4 bytes."""
    form.check()
    if not form.filtered:
        addresses = enumerate(struct.iter_unpack("<Q", data), first)
        return [(number, ChunkElement(at, form.chunk_bytes, 0)) for number, (at,) in addresses if at != UNDEFINED]
    out = []
    for start in range(0, len(data), form.width):
        at = int.from_bytes(data[start : start + 8], "little")
        if at != UNDEFINED:
            size = int.from_bytes(data[start + 8 : start + form.width - 4], "little")
            mask = int.from_bytes(data[start + form.width - 4 : start + form.width], "little")
            out.append((first + start // form.width, ChunkElement(at, size, mask)))
    return out


def read_pages(
    source: Source, address: int, bitmap: bytes, first_bit: int, count: int, page: int, form: ElementFormat, first: int
) -> ChunkElements:
    """`count` elements in pages of `page`, each page with a checksum. A page without its bit was never written."""
    if first_bit + -(-count // page) > 8 * len(bitmap):
        raise CorruptStructureError("a chunk index does not say which of its pages were written")
    out: ChunkElements = []
    for number in range(-(-count // page)):
        here = min(page, count - number * page)
        bit = first_bit + number
        if bitmap[bit >> 3] & (0x80 >> (bit & 7)):
            data = source.read_checked(address, here * form.width + 4, "a page of a chunk index")
            out += decode_elements(data[:-4], form, first + number * page)
        address += here * form.width + 4
    return out
