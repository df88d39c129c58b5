"""Zlib streams made fast: each stretch of the bytes as matches or as mere literals, whichever suits it.

Shuffled numbers lie in planes of very different kinds: noise in the low bytes, long repetitions in the high ones. A
plane in which matches would save next to nothing becomes Huffman-coded literals, smaller and many times faster
than what a general compressor makes of it; the rest goes to libdeflate.
"""

from __future__ import annotations

import zlib
from itertools import pairwise

import deflate
from isal import isal_zlib

from h5burst._ext import huffman
from h5burst.buffers import Bytes, scratch

LEAST_STRETCH = 16 * 1024  # bytes; in shorter planes one code for all is better than one each
LONGEST_STRETCH = 256 * 1024
SAMPLE = 16 * 1024
# What share of all the compressed bytes the matches in one stretch must save to be worth their time, by level.
_LEAST_SHARE = (1.0, 0.01, 0.01, 0.0025, 0.0025, 0.0025, 0.001, 0.001, 0.0005, 0.0005)
_SURE_SHARE = 0.05  # beyond it the quick estimate is taken at its word
_ISAL_ERROR: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub calls the class an instance
_HEADER = b"\x78\x9c"
_LAST_BLOCK = b"\x03\x00"  # empty, with the fixed code
_LIBDEFLATE_LEVELS = (0, 1, 2, 4, 5, 6, 7, 8, 9, 10)


def compress(data: Bytes, level: int, planes: int) -> bytearray:
    """A zlib stream of `data`, which consists of `planes` stretches of equal length."""
    runs = _runs(data, planes, level)
    if len(runs) == 1 and not runs[0][2]:
        return deflate.zlib_compress(data, _LIBDEFLATE_LEVELS[level])
    stream = bytearray(_HEADER)
    for start, stop, literal in runs:
        if literal:
            stream += _literals(data[start:stop])
        elif stop < data.size:
            stream += _open_stream(data[start:stop], level)
        else:
            stream += deflate.deflate_compress(data[start:stop], _LIBDEFLATE_LEVELS[level])
    if runs[-1][2]:
        stream += _LAST_BLOCK
    stream += deflate.adler32(data).to_bytes(4, "big")
    return stream


def _runs(data: Bytes, planes: int, level: int) -> list[tuple[int, int, bool]]:
    """Start, stop, and whether mere literals suit: neighbours of one kind are one run."""
    edges = _edges(data.size, planes)
    stretches = list(pairwise(edges))
    gains = [huffman.gain(data[start:stop]) for start, stop in stretches]
    total = sum(literal - saved for literal, saved in gains)
    runs: list[tuple[int, int, bool]] = []
    for (start, stop), (_, saved) in zip(stretches, gains, strict=True):
        literal = not _matches_pay(data[start:stop], saved, total, level)
        if runs and runs[-1][2] == literal:
            runs[-1] = (runs[-1][0], stop, literal)
        else:
            runs.append((start, stop, literal))
    return runs


def _matches_pay(data: Bytes, saved: float, total: float, level: int) -> bool:
    """Whether matches in a stretch save enough of the `total`; where the estimate is close, a sample is compressed."""
    least = _LEAST_SHARE[level] * total
    if not least / 4 < saved < _SURE_SHARE * total:
        return saved >= least
    sample = data[max(0, data.size - SAMPLE) // 2 :][:SAMPLE]
    difference = len(_literals(sample)) - len(deflate.deflate_compress(sample, _LIBDEFLATE_LEVELS[level]))
    return difference * data.size / sample.size >= least


def _edges(size: int, planes: int) -> list[int]:
    """Where the stretches begin that are looked at one by one, and where the last ends."""
    if size // planes < LEAST_STRETCH:
        planes = 1
    plane = size // planes
    parts = max(1, plane // LONGEST_STRETCH)
    return [number * plane + plane * part // parts for number in range(planes) for part in range(parts)] + [size]


def _literals(data: Bytes) -> memoryview:
    """Deflate blocks of literals, in a buffer that the next call overwrites."""
    room = scratch("literals", huffman.bound(data.size))
    return room[: huffman.encode(data, room)].data


def _open_stream(data: Bytes, level: int) -> bytes:
    """Deflate blocks after which others may follow, which libdeflate does not make."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9)
    return packer.compress(data.data) + packer.flush(zlib.Z_SYNC_FLUSH)


def decompress(data: Bytes, size: int) -> bytes:
    """The `size` bytes behind a zlib stream. Raises ValueError for a damaged one, or one of another length."""
    unpacker = isal_zlib.decompressobj(15)  # stops at `size`, whatever a malicious stream would become
    try:
        whole = unpacker.decompress(data, size)
    except _ISAL_ERROR as error:
        raise ValueError(str(error)) from error
    if len(whole) != size or not unpacker.eof:
        raise ValueError(f"it does not hold {size} bytes")
    return whole
