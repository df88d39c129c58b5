"""Blosc: a codec that shuffles by itself; hdf5plugin brings it."""

from __future__ import annotations

import struct

from h5burst.codecs.plugin import PluginCodec
from h5burst.runtime.buffers import Bytes

_HEADER = struct.Struct("<4BIII")  # versions of format and LZ4, flags, item, bytes, of a block, of all of it
_COPIED_LZ4 = 0x22  # flags
_BLOCK_BYTES = 1 << 18


class Blosc(PluginCodec):
    """Blosc 1 with byte shuffle and LZ4."""

    name = filter_name = "blosc"
    filter_id = 32001
    library = "libh5blosc.so"
    default_level = 5
    is_shuffled = False

    def client_values(self, level: int, itemsize: int, chunk_bytes: int) -> tuple[int, ...]:
        # Revision of the filter, of the format, size of an item, bytes of a chunk, level, byte shuffle, lz4.
        return (2, 2, itemsize if itemsize < 256 else 1, chunk_bytes, level, 1, 1)

    def stored(self, data: Bytes, values: tuple[int, ...]) -> bytes:
        """The bytes as they are behind a header that says so."""
        whole = _HEADER.size + data.size
        return (
            _HEADER.pack(2, 1, _COPIED_LZ4, values[2], data.size, min(data.size, _BLOCK_BYTES), whole) + data.tobytes()
        )

    def claimed_size(self, data: Bytes) -> int:
        head = data[:16].tobytes()
        return int.from_bytes(head[4:8], "little") if data.size == int.from_bytes(head[12:16], "little") >= 16 else -1
