"""Blosc: a codec that shuffles by itself; hdf5plugin brings it."""

from __future__ import annotations

from h5burst.codecs.plugin import PluginCodec
from h5burst.runtime.buffers import Bytes


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

    def claimed_size(self, data: Bytes) -> int:
        head = data[:16].tobytes()
        return int.from_bytes(head[4:8], "little") if data.size == int.from_bytes(head[12:16], "little") >= 16 else -1
