"""Zstandard; hdf5plugin brings it."""

from __future__ import annotations

from typing import Any

from h5burst.codecs.codec import ChunkLayout
from h5burst.codecs.plugin import PluginCodec
from h5burst.runtime.buffers import Bytes

_MAGIC = b"\x28\xb5\x2f\xfd"
_ONE_SEGMENT_OF_4_BYTES = b"\xa0"  # descriptor of a frame: its size follows in so many bytes
_MAX_IN_BLOCK = 128 << 10


class Zstd(PluginCodec):
    """Zstandard frames (RFC 8878)."""

    name = filter_name = "zstd"
    filter_id = 32015
    library = "libh5zstd.so"
    default_level = 3

    def client_values(self, level: int, itemsize: int, chunk_bytes: int) -> tuple[int, ...]:
        return (level,)

    def encode(self, data: Bytes, values: tuple[int, ...], layout: ChunkLayout, hint: Any = None) -> bytes | None:
        return super().encode(data, values, layout) if values[0] else None  # level 0 means no compression

    def stored(self, data: Bytes, values: tuple[int, ...]) -> bytearray:
        """A frame of raw blocks (RFC 8878, 3.1.1.2)."""
        frame = bytearray(_MAGIC + _ONE_SEGMENT_OF_4_BYTES + data.size.to_bytes(4, "little"))
        for start in range(0, data.size, _MAX_IN_BLOCK):
            block = data[start : start + _MAX_IN_BLOCK]
            is_last = start + block.size == data.size
            frame += (block.size << 3 | is_last).to_bytes(3, "little")
            frame += block.data
        return frame

    def claimed_size(self, data: Bytes) -> int:
        """RFC 8878, 3.1.1.1: the frame's header may say it."""
        head = data[:18].tobytes()
        if data.size < 9 or head[:4] != _MAGIC:
            return -1
        is_single_segment, code = head[4] >> 5 & 1, head[4] >> 6
        width = (is_single_segment, 2, 4, 8)[code]
        start = 5 + (1 - is_single_segment) + (0, 1, 2, 4)[head[4] & 3]
        return int.from_bytes(head[start : start + width], "little") + (256 if code == 1 else 0) if width else -1
