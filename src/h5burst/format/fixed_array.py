"""Fixed arrays: the chunk index of data of one size, in pages when there are many chunks."""

from __future__ import annotations

import struct
from typing import Any, TypeAlias

import numpy as np

from h5burst._ext.h5emit import lookup3
from h5burst._ext.h5parse import Source
from h5burst.format.chunk_index_elements import ChunkElements, ElementFormat, decode_elements, read_pages
from h5burst.format.constants import UNDEFINED
from h5burst.model.errors import CorruptStructureError

Entries: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"  # (chunks, 3): address, size in the file, filter mask

PAGE_BITS = 10
PAGE = 1 << PAGE_BITS  # elements of a page
_FILTERED = 1  # client ID: elements have a size and a mask
_HEADER = struct.Struct("<4sBBBBQQ")
_CHECKSUM = 4


def encode(entries: Entries, width: int, address: int) -> bytes:
    """The index of more than one filtered chunk, as it is stored from `address` on.

    entries (n, 3) uint64: address, size in the file, filter mask; width: bytes of a size.
    """
    elements = _elements(entries, width)
    block_address = address + _HEADER.size + _CHECKSUM
    header = _HEADER.pack(b"FAHD", 0, _FILTERED, elements.shape[1], PAGE_BITS, len(entries), block_address)
    block = b"FADB" + struct.pack("<BBQ", 0, _FILTERED, address)
    if len(entries) <= PAGE:
        return _checked(header) + _checked(block + elements.tobytes())
    initialized = np.packbits(np.ones(-(-len(entries) // PAGE), np.uint8)).tobytes()
    pages = (_checked(elements[start : start + PAGE].tobytes()) for start in range(0, len(entries), PAGE))
    return b"".join((_checked(header), _checked(block + initialized), *pages))


def size_width(chunk_bytes: int) -> int:
    """Bytes that hold a filtered chunk's size: one more than its unfiltered size needs, as it may have grown."""
    return min(1 + (chunk_bytes.bit_length() + 7) // 8, 8)


def _elements(entries: Entries, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """One row of bytes for each chunk: address (8), size (`width`), filter mask (4)."""
    fields = np.ascontiguousarray(entries, "<u8").view(np.uint8).reshape(len(entries), 3, 8)
    return np.concatenate([fields[:, 0], fields[:, 1, :width], fields[:, 2, :4]], axis=1)


def _checked(structure: bytes) -> bytes:
    return structure + lookup3(structure).to_bytes(4, "little")


def read_elements(source: Source, address: int, count: int, form: ElementFormat) -> ChunkElements:
    """Every element that was set. count: chunks of the whole grid."""
    header = source.read_checked(address, _HEADER.size + _CHECKSUM, "a chunk index")
    signature, version, client, width, page_bits, entries, block = _HEADER.unpack_from(header)
    if signature != b"FAHD" or version != 0 or client != int(form.filtered) or page_bits > 63:
        raise CorruptStructureError(f"there is no fixed array at address {address}")
    if entries != count or entries * width > source.size:
        raise CorruptStructureError("a chunk index is of another size than the dataset's grid")
    if block == UNDEFINED:
        return []
    return _read_block(source, block, address, count, 1 << page_bits, form._replace(width=width))


def _read_block(source: Source, address: int, header: int, count: int, page: int, form: ElementFormat) -> ChunkElements:
    pages = -(-count // page) if count > page else 0
    prefix = 14 + -(-pages // 8)
    block = source.read_checked(address, prefix + (0 if pages else count * form.width) + 4, "a chunk index")
    if block[:5] != b"FADB\0" or int.from_bytes(block[6:14], "little") != header:
        raise CorruptStructureError(f"there is no fixed array at address {address}")
    if pages:
        return read_pages(source, address + len(block), block[14:prefix], 0, count, page, form, 0)
    return decode_elements(block[prefix:-4], form, 0)
