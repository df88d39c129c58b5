"""Elements of chunk indices, and the pages in which long arrays of them lie."""

from __future__ import annotations

import struct
from typing import NamedTuple

from h5burst._ext.h5parse import Damage, Source

UNDEFINED = (1 << 64) - 1


class Element(NamedTuple):
    """One chunk: where it lies (`UNDEFINED`: nowhere), how many bytes, which filters were left out."""

    address: int
    size: int
    mask: int


def decode_elements(data: bytes, width: int, chunk_bytes: int, filtered: bool) -> list[Element]:
    """Elements of `width` bytes: an address; with filters also the size, and the filter mask of 4 bytes."""
    if not filtered:
        if width != 8:
            raise Damage("the elements of a chunk index are of another size")
        return [Element(address, chunk_bytes, 0) for (address,) in struct.iter_unpack("<Q", data)]
    if not 13 <= width <= 20:
        raise Damage("the elements of a chunk index are of another size")
    return [
        Element(
            int.from_bytes(data[at : at + 8], "little"),
            int.from_bytes(data[at + 8 : at + width - 4], "little"),
            int.from_bytes(data[at + width - 4 : at + width], "little"),
        )
        for at in range(0, len(data), width)
    ]


def read_pages(
    source: Source,
    address: int,
    bitmap: bytes,
    first_bit: int,
    count: int,
    page: int,
    width: int,
    chunk_bytes: int,
    filtered: bool,
) -> list[Element]:
    """`count` elements in pages of `page`, each page with a checksum. A page without its bit was never written."""
    if first_bit + -(-count // page) > 8 * len(bitmap):
        raise Damage("a chunk index does not say which of its pages were written")
    out: list[Element] = []
    for number in range(-(-count // page)):
        here = min(page, count - number * page)
        bit = first_bit + number
        if bitmap[bit >> 3] & (0x80 >> (bit & 7)):
            data = source.read_checked(address, here * width + 4, "a page of a chunk index")
            out += decode_elements(data[:-4], width, chunk_bytes, filtered)
        else:
            out += [Element(UNDEFINED, 0, 0)] * here
        address += here * width + 4
    return out
