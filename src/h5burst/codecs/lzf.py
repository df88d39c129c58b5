"""LZF: h5py's quick filter. h5py's own code cannot be called from outside; the format is simple: `ext/codecs/lzf.h`."""

from __future__ import annotations

from typing import Any

import numpy as np

from h5burst._ext import lzf
from h5burst.codecs.codec import ChunkLayout, Codec
from h5burst.runtime.buffers import Bytes, thread_buffer

_LITERALS = 32  # the most in one item of a stream


class Lzf(Codec):
    """LZF streams as h5py writes them."""

    name = filter_name = "lzf"
    filter_id = 32000
    levels = None
    max_ratio = 88  # a copy of 264 bytes in three
    needs_size = True

    def client_values(self, level: int, itemsize: int, chunk_bytes: int) -> tuple[int, ...]:
        return (4, 261, chunk_bytes)  # revision of the filter, version of the library

    def encode(self, data: Bytes, values: tuple[int, ...], layout: ChunkLayout, hint: Any = None) -> bytes | None:
        out = thread_buffer("lzf", max(0, data.size - 1))
        return out[: lzf.encode(data, out)].tobytes() or None

    def stored(self, data: Bytes, values: tuple[int, ...]) -> bytes:
        """Literals alone."""
        full, left = divmod(data.size, _LITERALS)
        items = np.empty((full, 1 + _LITERALS), np.uint8)
        items[:, 0] = _LITERALS - 1
        items[:, 1:] = data[: full * _LITERALS].reshape(full, _LITERALS)
        return items.tobytes() + (bytes([left - 1]) + data[-left:].tobytes() if left else b"")

    def decode(self, data: Bytes, values: tuple[int, ...], size: int, *, is_exact: bool = True) -> Bytes:
        if not is_exact:
            raise ValueError("an LZF stream does not say how long it becomes")
        out = np.empty(size, np.uint8)
        if not lzf.decode(data, out):
            raise ValueError(f"it does not hold {size} bytes")
        return out
