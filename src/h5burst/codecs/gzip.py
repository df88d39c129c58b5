"""Gzip: HDF5's deflate filter, which every HDF5 program reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from h5burst.codecs import deflate
from h5burst.codecs.codec import ChunkLayout, Codec
from h5burst.runtime.buffers import Bytes


class Gzip(Codec):
    """Zlib streams (RFC 1950), made and undone by `deflate`."""

    name = "gzip"
    filter_id = 1
    filter_name = "deflate"
    default_level = 4
    max_ratio = 1032  # of deflate: a match of 258 bytes in two bits

    def client_values(self, level: int, itemsize: int, chunk_bytes: int) -> tuple[int, ...]:
        return (level,)

    def encode(
        self, data: Bytes, values: tuple[int, ...], layout: ChunkLayout, hint: Any = None
    ) -> bytes | bytearray | None:
        if values[0] == 0:
            return None  # level 0 means no compression
        stride = layout.itemsize if layout.planes == 1 else 1
        packed = deflate.compress(data, values[0], layout.planes, stride, hint or deflate.NO_HINT)
        return packed if len(packed) < data.size else None

    def stored(self, data: Bytes, values: tuple[int, ...]) -> bytearray:
        return deflate.stored(data)

    def decode(self, data: Bytes, values: tuple[int, ...], size: int, *, is_exact: bool = True) -> Bytes:
        out = np.empty(size, np.uint8)
        return self.decode_into([data], values, [out], is_exact=is_exact)[0]

    def decode_into(
        self,
        datas: Sequence[Bytes],
        values: tuple[int, ...],
        outs: Sequence[Bytes],
        *,
        is_exact: bool = True,
    ) -> list[Bytes]:
        return deflate.decompress(datas, outs, is_exact=is_exact)

    def prefers_unshuffled(self, samples: Iterable[Bytes], values: tuple[int, ...], itemsize: int) -> bool:
        return values[0] > 0 and deflate.is_better_unshuffled(samples, itemsize)

    def hint(self, data: Bytes, values: tuple[int, ...], layout: ChunkLayout) -> Any:
        if values[0] == 0:
            return deflate.NO_HINT
        return deflate.hint_of(data, values[0], layout.planes, layout.itemsize if layout.planes == 1 else 1)
