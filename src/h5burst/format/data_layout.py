"""The data layout message of chunked data: shape of a chunk, kind and address of the index that finds them."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError

CHUNKED = 2  # layout class
BTREE1, SINGLE, IMPLICIT, FIXED_ARRAY, EXTENSIBLE_ARRAY, BTREE2 = range(6)  # kinds of index; the first is the older one
EDGE_CHUNKS_UNFILTERED, SINGLE_FILTERED = 1, 2  # flags
_MAX_CHUNK_BYTES = (1 << 32) - 1
_MAX_BYTES = 1 << 62


class ChunkedLayout(NamedTuple):
    """What the layout message says of a chunked dataset.

    chunks: shape of a chunk. kind: type of the index, 0 for the older B-tree. single: size and filter mask of the only
    chunk, where the message itself has them.
    """

    chunks: tuple[int, ...]
    kind: int
    address: int
    single: tuple[int, int] | None


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


def decode(message: bytes, rank: int, element_bytes: int) -> ChunkedLayout:
    """A layout message of version 3 to 5, which differs from 4 only in larger chunks, of a dataset that is chunked."""
    try:
        layout, stored = _decode_version_3(message) if message[0] == 3 else _decode_version_4(message)
    except (struct.error, IndexError, ValueError) as error:
        raise CorruptStructureError("a chunked layout message is too short") from error
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
    if flags & EDGE_CHUNKS_UNFILTERED:
        raise UnsupportedFeatureError("edge chunks without filters")
    at = 5 + rank * width
    *chunks, element_bytes = (int.from_bytes(message[i : i + width], "little") for i in range(5, at, width))
    kind = message[at]
    single = None
    if kind == SINGLE and flags & SINGLE_FILTERED:
        single = struct.unpack_from("<QI", message, at + 1)
    if not SINGLE <= kind <= BTREE2:
        raise UnsupportedFeatureError(f"chunk indices of type {kind}")
    return ChunkedLayout(tuple(chunks), kind, struct.unpack("<Q", message[-8:])[0], single), element_bytes
