"""Extensible arrays: the chunk index of datasets that may grow along one axis."""

from __future__ import annotations

import struct
from typing import NamedTuple

from h5burst._ext.h5parse import Source
from h5burst.format.chunk_index_elements import ChunkElements, ElementFormat, decode_elements, read_pages
from h5burst.format.constants import UNDEFINED
from h5burst.model.errors import CorruptStructureError

_HEADER = struct.Struct("<4sBBBBBBBB6QQ")
_CHECKSUM = 4


class _Shape(NamedTuple):
    """Sizes that follow from the header.

    A super block of number k stands for 2^(k // 2) data blocks of 2^((k + 1) // 2) times `min_elements`. Those of the
    first `inner` super blocks hang from the index block itself.
    """

    header: int
    form: ElementFormat
    index_elements: int
    min_elements: int
    inner: int
    super_blocks: int
    page: int
    offset_width: int

    def blocks_in(self, number: int) -> int:
        return 1 << number // 2

    def elements_in(self, number: int) -> int:
        return self.min_elements << (number + 1) // 2


def read_elements(source: Source, address: int, chunk_bytes: int, filtered: bool) -> ChunkElements:
    """Every element that was set."""
    header = source.read_checked(address, _HEADER.size + _CHECKSUM, "a chunk index")
    fields = _HEADER.unpack_from(header)
    signature, version, client, width, bits, index_elements, min_elements, pointers, page_bits = fields[:9]
    index_block = fields[15]
    if signature != b"EAHD" or version != 0 or client != int(filtered):
        raise CorruptStructureError(f"there is no extensible array at address {address}")
    if bits > 64 or page_bits > 32 or not _is_power(min_elements) or not _is_power(pointers):
        raise CorruptStructureError("the header of an extensible array has impossible values")
    if index_block == UNDEFINED:
        return []
    shape = _Shape(
        address,
        ElementFormat(width, chunk_bytes, filtered),
        index_elements,
        min_elements,
        2 * (pointers.bit_length() - 1),
        1 + bits - (min_elements.bit_length() - 1),
        1 << page_bits,
        (bits + 7) // 8,
    )
    return _read_index_block(source, index_block, shape, 2 * (pointers - 1))


def _is_power(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def _read_index_block(source: Source, address: int, shape: _Shape, direct: int) -> ChunkElements:
    outer = max(0, shape.super_blocks - shape.inner)
    start = 14 + shape.index_elements * shape.form.width
    block = source.read_checked(address, start + 8 * (direct + outer) + _CHECKSUM, "a chunk index")
    _check_prefix(block, b"EAIB", shape)
    out = decode_elements(block[14:start], shape.form, 0)
    addresses = struct.unpack_from(f"<{direct + outer}Q", block, start)
    first, used = shape.index_elements, 0
    for number in range(shape.super_blocks):
        blocks, elements = shape.blocks_in(number), shape.elements_in(number)
        if number < shape.inner:
            for i, child in enumerate(addresses[used : used + blocks]):
                out += _read_data_block(source, child, shape, elements, b"", 0, first + i * elements)
            used += blocks
        else:
            out += _read_super_block(source, addresses[direct + number - shape.inner], shape, number, first)
        first += blocks * elements
    return out


def _check_prefix(block: bytes, signature: bytes, shape: _Shape) -> None:
    if block[:5] != signature + b"\0" or int.from_bytes(block[6:14], "little") != shape.header:
        raise CorruptStructureError("a block of an extensible array is not where it should be")


def _read_super_block(source: Source, address: int, shape: _Shape, number: int, first: int) -> ChunkElements:
    if address == UNDEFINED:
        return []
    blocks, elements = shape.blocks_in(number), shape.elements_in(number)
    pages = elements // shape.page if elements > shape.page else 0
    start = 14 + shape.offset_width
    bitmap = blocks * (-(-pages // 8))
    block = source.read_checked(address, start + bitmap + 8 * blocks + _CHECKSUM, "a chunk index")
    _check_prefix(block, b"EASB", shape)
    written = block[start : start + bitmap]
    out: ChunkElements = []
    for i, child in enumerate(struct.unpack_from(f"<{blocks}Q", block, start + bitmap)):
        out += _read_data_block(source, child, shape, elements, written, i * pages, first + i * elements)
    return out


def _read_data_block(
    source: Source, address: int, shape: _Shape, elements: int, bitmap: bytes, first_bit: int, first: int
) -> ChunkElements:
    if address == UNDEFINED:
        return []
    start = 14 + shape.offset_width
    paged = elements > shape.page
    length = start + (0 if paged else elements * shape.form.width) + _CHECKSUM
    block = source.read_checked(address, length, "a chunk index")
    _check_prefix(block, b"EADB", shape)
    if paged:
        return read_pages(source, address + length, bitmap, first_bit, elements, shape.page, shape.form, first)
    return decode_elements(block[start:-_CHECKSUM], shape.form, first)
