"""The data layout message: where the elements of a dataset are, of chunked ones how they are found."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError

COMPACT, CONTIGUOUS, CHUNKED, VIRTUAL = range(4)  # layout classes
BTREE1, SINGLE, IMPLICIT, FIXED_ARRAY, EXTENSIBLE_ARRAY, BTREE2 = range(6)  # kinds of index; the first is the older one
EDGE_CHUNKS_UNFILTERED, SINGLE_FILTERED = 1, 2  # flags
_MAX_CHUNK_BYTES = (1 << 32) - 1
_MAX_BYTES = 1 << 62
_OLD_ADDRESS = 8  # place of the address in a message of version 1 or 2; compact ones have none


@total("a data layout message")
def modern(message: bytes) -> bytes:
    """A message of version 3 or later, made of one of version 1 or 2."""
    version, rank, kind = message[0], message[1], message[2]
    if version not in (1, 2):
        return message
    at = _OLD_ADDRESS if kind == COMPACT else _OLD_ADDRESS + 8
    address = message[_OLD_ADDRESS:at]
    dimensions = struct.unpack_from(f"<{rank}I", message, at)
    if kind == CHUNKED:
        return bytes([3, CHUNKED, rank]) + address + struct.pack(f"<{rank}I", *dimensions)
    if kind == CONTIGUOUS:
        return encode_contiguous(int.from_bytes(address, "little"), math.prod(dimensions))
    (size,) = struct.unpack_from("<I", message, at + 4 * rank)
    return bytes([3, COMPACT]) + struct.pack("<H", size) + message[at + 4 * rank + 4 :][:size]


# ---------------------------------------------------------------- not in chunks


class Run(NamedTuple):
    """Elements in one run of the file: its address (UNDEFINED where nothing was written), its bytes."""

    address: int
    size: int


@total("a contiguous layout message")
def decode_contiguous(message: bytes) -> Run:
    """Of version 3 and later, as all below."""
    return Run(*struct.unpack_from("<QQ", message, 2))


def encode_contiguous(address: int, size: int, *, version: int = 3) -> bytes:
    """See `decode_contiguous`."""
    return bytes([version, CONTIGUOUS]) + struct.pack("<QQ", address, size)


@total("a compact layout message")
def decode_compact(message: bytes) -> bytes:
    """The elements, which are in the message."""
    (size,) = struct.unpack_from("<H", message, 2)
    if size > len(message) - 4:
        raise CorruptStructureError("compact data are cut short")
    return message[4 : 4 + size]


def encode_compact(elements: bytes) -> bytes:
    """See `decode_compact`."""
    return bytes([3, COMPACT]) + struct.pack("<H", len(elements)) + elements


def with_compact(message: bytes, elements: bytes) -> bytes:
    """The message with other elements, of the same length."""
    return message[:4] + elements


@total("a virtual layout message")
def decode_virtual(message: bytes) -> tuple[int, int]:
    """Address of a collection of the global heap, and the index in it of the mappings."""
    address, index = struct.unpack_from("<QI", message, 2)
    return address, index


def with_virtual(message: bytes, address: int) -> bytes:
    """The message with its mappings in another collection."""
    return message[:2] + address.to_bytes(8, "little") + message[10:]


# ---------------------------------------------------------------- in chunks


class ChunkedLayout(NamedTuple):
    """Content of the layout message of a chunked dataset.

    chunks: shape of a chunk. kind: type of the index, 0 for the older B-tree. single: size and filter mask of the only
    chunk, where the message itself has them. plain_edges: chunks that reach beyond the array went through no filter.
    """

    chunks: tuple[int, ...]
    kind: int
    address: int
    single: tuple[int, int] | None
    plain_edges: bool = False


def encode(
    chunks: tuple[int, ...], element_bytes: int, kind: int, index_information: bytes, address: int, flags: int = 0
) -> bytes:
    """Version 4 of the message. The last dimension of a chunk is the size of an element."""
    dimensions = (*chunks, element_bytes)
    width = (max(dimensions).bit_length() + 7) // 8
    return b"".join(
        (
            bytes([4, CHUNKED, flags, len(dimensions), width]),
            *(length.to_bytes(width, "little") for length in dimensions),
            bytes([kind]),
            index_information,
            address.to_bytes(8, "little"),
        )
    )


def encode_single(chunks: tuple[int, ...], element_bytes: int, address: int, size: int, mask: int) -> bytes:
    """The message of data in one filtered chunk. size: its bytes in the file; mask: filters that were left out."""
    return encode(chunks, element_bytes, SINGLE, struct.pack("<QI", size, mask), address, SINGLE_FILTERED)


@total("a chunked layout message")
def decode(message: bytes, rank: int, element_bytes: int) -> ChunkedLayout:
    """A layout message of version 3 to 5, which differs from 4 only in larger chunks, of a dataset that is chunked."""
    layout, stored = _decode_version_3(message) if message[0] == 3 else _decode_version_4(message)
    if len(layout.chunks) != rank or stored != element_bytes or 0 in layout.chunks:
        raise CorruptStructureError("the chunks of a dataset do not fit its shape or datatype")
    if math.prod(layout.chunks) * element_bytes > (_MAX_CHUNK_BYTES if message[0] < 5 else _MAX_BYTES):
        raise CorruptStructureError("the chunks of a dataset are larger than chunks can be")
    return layout


def _decode_version_3(message: bytes) -> tuple[ChunkedLayout, int]:
    rank, address = message[2], struct.unpack_from("<Q", message, 3)[0]
    *chunks, element_bytes = struct.unpack_from(f"<{rank}I", message, 11)
    return ChunkedLayout(tuple(chunks), 0, address, None), element_bytes


def _decode_version_4(message: bytes) -> tuple[ChunkedLayout, int]:
    flags, rank, width = message[2:5]
    at = 5 + rank * width
    *chunks, element_bytes = (int.from_bytes(message[i : i + width], "little") for i in range(5, at, width))
    kind = message[at]
    single = None
    if kind == SINGLE and flags & SINGLE_FILTERED:
        single = struct.unpack_from("<QI", message, at + 1)
    if not SINGLE <= kind <= BTREE2:
        raise UnsupportedFeatureError(f"chunk indices of type {kind}")
    plain_edges = bool(flags & EDGE_CHUNKS_UNFILTERED)
    return ChunkedLayout(tuple(chunks), kind, struct.unpack("<Q", message[-8:])[0], single, plain_edges), element_bytes
