"""The encoder of gzip's streams for a dataset: the quickest one whose streams are about as short as zlib's.

Zlib at the dataset's level is what h5py would have used. The others are tried on samples, in a fixed order, so that the
same data always make the same file.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import deflate
import numpy as np
from isal import isal_zlib

from h5burst._ext import huffman
from h5burst.runtime.buffers import Bytes, thread_buffer

Encoder: TypeAlias = "Callable[[Bytes], bytes | bytearray]"

_QUICK_LEVELS = 4  # gzip's up to this one may be longer
_MAX_AT_QUICK, _MOST = 1.045, 1.015  # how long those of samples may be, so that no file gets longer by 6 % or 3 %
_HEADER, _LAST_BLOCK = b"\x78\x9c", b"\x03\x00"  # of zlib streams; an empty block with the fixed code


def literals(data: Bytes) -> bytes | bytearray:
    """A stream without matches: of numbers that do not repeat it is as short as any."""
    blocks = thread_buffer("literals", huffman.bound(data.size))
    written = huffman.encode(data, blocks)
    return b"".join((_HEADER, blocks[:written].data, _LAST_BLOCK, deflate.adler32(data).to_bytes(4, "big")))


def by_isal(data: Bytes) -> bytes:
    packed: bytes = isal_zlib.compress(data.data, 1)
    return packed


def by_libdeflate(data: Bytes, level: int) -> bytes | bytearray:
    return deflate.zlib_compress(data, level)


def by_zlib(data: Bytes, level: int) -> bytes:
    return zlib.compress(data.data, level)


def quickest(samples: Sequence[Bytes], level: int) -> Encoder:
    """The quickest encoder for data like these samples, at a level of gzip."""
    longest = (_MAX_AT_QUICK if level <= _QUICK_LEVELS else _MOST) * _size(partial(by_zlib, level=level), samples)
    ways: list[Any] = [literals, by_isal, *(partial(by_libdeflate, level=k) for k in range(1, min(level + 2, 12)))]
    for way in ways:
        if _size(way, samples) <= longest:
            return way  # type: ignore[no-any-return]
    return partial(by_zlib, level=level)


def _size(way: Encoder, samples: Sequence[Bytes]) -> int:
    return sum(len(way(np.ascontiguousarray(sample))) for sample in samples)
