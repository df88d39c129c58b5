"""Zlib streams made fast: each stretch of the bytes with all matches, with few, or with none, whichever suits it.

Shuffled numbers are in planes of very different kinds: noise in the low bytes, long repetitions in the high ones. A
plane in which matches would save next to nothing becomes Huffman-coded literals, smaller and many times faster
than what a general compressor makes of it. Zeros among numbers, and bytes of few values, want but the matches that are
quick to find (`ext/codecs/matches.h`), and so do decimal fractions; the rest goes to libdeflate. Level 1 is ISA-L's.
Streams are undone by `ext/codecs/inflate.h`, which takes several literals at once and two streams at once, straight
into the array.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import deflate
import numpy as np
from isal import isal_zlib

from h5burst._ext import huffman, inflate
from h5burst._ext import shuffle as kernels
from h5burst.runtime import simd
from h5burst.runtime.buffers import Bytes, thread_buffer

MIN_STRETCH = 16 * 1024  # bytes; in shorter planes one code for all is better than one each
MAX_STRETCH = 256 * 1024
SAMPLE = 16 * 1024
LONGER_SAMPLE = 32 * 1024
# What share of all the compressed bytes the matches in one stretch must save to be worth their time, by level.
_MIN_GAIN = (1.0, 0.01, 0.01, 0.0025, 0.0025, 0.0025, 0.001, 0.001, 0.0005, 0.0005)
_CONFIDENT_GAIN = 0.05  # beyond it the quick estimate is taken at its word
# How long a result may be, compared with zlib's at the same level, by level.
_MAX_SIZE_RATIO = (1.0, 1.01, 1.01, 1.01, 1.005, 1.005)
_QUICK_PRICE = 1.02  # by how much it may be longer than the best of the ways, if it takes a fraction of the time
_COLD_START = 1.02  # what a sample misses of the repetitions of numbers in a whole chunk
_MIN_SIZE_RATIO = 0.98
_WORTH_A_LOOK = 1.35  # up to here the quick estimate of unshuffled bytes may be far too large
_LOOKED_AT = 4096  # elements
_MAX_DISTINCT = 0.95  # share of the values of two decimals that differ; with all digits nearly all do
_SIMILARITY = 0.1  # by how much samples of two chunks may differ that are taken to be of one kind
_ISAL_LEVEL = 1  # of HDF5 and of ISA-L: who asks for it wants speed
_HEADER = b"\x78\x9c"
_MAX_STORED = 0xFFFF  # bytes of a block
_LAST_BLOCK = b"\x03\x00"  # empty, with the fixed code
_LIBDEFLATE_LEVELS = (0, 1, 2, 4, 5, 6, 7, 8, 9, 10)  # of libdeflate, for those of zlib
_ELEMENT_LEVELS = (0, 1, 2, 4, 4, 6, 7, 8, 9, 10)  # for whole elements: 5 takes a fifth longer
_QUICK_LEVELS = (0, 1, 1, 2, 2, 3)  # often enough
_LAST_QUICK_LEVEL = len(_QUICK_LEVELS) - 1  # beyond it, size is what counts


class BlockCoding(Enum):
    """Coding of a stretch of bytes."""

    REPETITION = "repetition"  # of one byte
    LITERALS = "literals"  # no matches
    ELEMENT_MATCHES = "element matches"  # those that begin at elements of an array
    QUICK_MATCHES = "quick matches"  # what a general compressor finds with little effort
    MATCHES = "matches"  # what it finds with the effort of the level


@dataclass(frozen=True, slots=True)
class EncodingHint:
    """Results of trying several ways on one chunk, for others of the same array.

    quick: for shuffled bytes, a lower level of libdeflate, too, makes a stream no longer than zlib's.
    stretches: for shuffled bytes in which `BlockCoding.ELEMENT_MATCHES` do as well as `BlockCoding.MATCHES`, what suits
    each stretch. way: for others, what suits them, and `sizes`: what `BlockCoding.LITERALS` and
    `BlockCoding.ELEMENT_MATCHES` make of a sample.
    """

    quick: bool = False
    stretches: tuple[BlockCoding, ...] = ()
    way: BlockCoding | None = None
    sizes: tuple[int, int] = (0, 0)


NO_HINT = EncodingHint()
_GENERAL = (BlockCoding.QUICK_MATCHES, BlockCoding.MATCHES)


def compress(data: Bytes, level: int, planes: int, stride: int = 1, hint: EncodingHint = NO_HINT) -> bytes | bytearray:
    """A zlib stream of `data`, which consists of `planes` stretches of equal length.

    stride: bytes of an element of data that are not shuffled.
    """
    if level == _ISAL_LEVEL:
        return isal_zlib.compress(data.data, _ISAL_LEVEL)
    if planes > 1:
        edges = _edges(data.size, planes)
        runs = _runs(edges, _choose_codings(data, edges, level, hint.stretches))
        if hint.quick and [way for _, _, way in runs] == [BlockCoding.MATCHES]:
            runs = [(0, data.size, BlockCoding.QUICK_MATCHES)]
        return _stream(data, runs, level, stride)
    if level <= _LAST_QUICK_LEVEL:
        return _stream(data, [(0, data.size, _choose_coding(data, stride, level, hint))], level, stride)
    both = (
        _stream(data, [(0, data.size, way)], level, stride)
        for way in (BlockCoding.ELEMENT_MATCHES, BlockCoding.MATCHES)
    )
    return min(both, key=len)


def _stream(data: Bytes, runs: list[tuple[int, int, BlockCoding]], level: int, stride: int) -> bytes | bytearray:
    if len(runs) == 1 and runs[0][2] in _GENERAL:
        return deflate.zlib_compress(data, _libdeflate_level(runs[0][2], level, stride))
    stream = bytearray(_HEADER)
    for start, stop, way in runs:
        if way is BlockCoding.REPETITION:
            stream += _repetition(data[start:stop])
        elif way not in _GENERAL:
            stream += _blocks(data[start:stop], way, stride)
        elif stop < data.size:
            stream += _open_stream(data[start:stop], level)
        else:
            stream += deflate.deflate_compress(data[start:stop], _libdeflate_level(way, level, stride))
    if runs[-1][2] not in _GENERAL:
        stream += _LAST_BLOCK
    stream += deflate.adler32(data).to_bytes(4, "big")
    return stream


def _libdeflate_level(way: BlockCoding, level: int, stride: int) -> int:
    if way is BlockCoding.QUICK_MATCHES:
        return _QUICK_LEVELS[level]
    return (_LIBDEFLATE_LEVELS if stride == 1 else _ELEMENT_LEVELS)[level]


def stored(data: Bytes) -> bytearray:
    """A zlib stream of the bytes as they are: `data` is not empty."""
    parts: list[bytes | memoryview] = [_HEADER]
    for start in range(0, data.size, _MAX_STORED):
        block = data[start : start + _MAX_STORED]
        is_last = start + block.size == data.size
        parts += [struct.pack("<BHH", is_last, block.size, block.size ^ 0xFFFF), block.data]
    return bytearray().join([*parts, deflate.adler32(data).to_bytes(4, "big")])


def hint_of(data: Bytes, level: int, planes: int, stride: int = 1) -> EncodingHint:
    """A hint for `compress` on chunks like this one. It costs several times as much as to compress the chunk."""
    if level == _ISAL_LEVEL or level > _LAST_QUICK_LEVEL:
        return NO_HINT
    if planes == 1:
        return EncodingHint(way=_choose_coding(data, stride, level, NO_HINT), sizes=_sample_sizes(data, stride))
    edges = _edges(data.size, planes)
    ways = _choose_codings(data, edges, level)
    if BlockCoding.MATCHES not in ways:
        return NO_HINT
    zlibs, runs = len(zlib.compress(data.data, level)), _runs(edges, ways)
    longest = min(_MAX_SIZE_RATIO[level] * zlibs, _QUICK_PRICE * len(_stream(data, runs, level, 1)))
    stretches = _choose_codings(data, edges, level, tuple(ways))
    if len(_stream(data, _runs(edges, stretches), level, 1)) <= longest:
        return EncodingHint(stretches=tuple(ways))
    if len(runs) > 1:
        return NO_HINT
    quick = EncodingHint(quick=True)
    return quick if len(compress(data, level, planes, 1, quick)) <= zlibs else NO_HINT


def is_better_unshuffled(samples: Iterable[Bytes], itemsize: int) -> bool:
    """True where streams of chunks like these are clearly shorter without the byte shuffle: whole elements repeat.

    Many planes of noise with the same zeros in each say eight times where the zeros are. An estimate on some elements
    of each.
    """
    middles = [_middle(data, 2 * LONGER_SAMPLE, itemsize).copy() for data in samples]
    middles = [middle for middle in middles if middle.size >= MIN_STRETCH]
    parts = [_middle(middle, LONGER_SAMPLE, itemsize) for middle in middles]
    matched = sum(huffman.matched_size(part, itemsize) for part in parts)
    shuffled = sum(_shuffled_size(part, itemsize) for part in parts)
    if matched < _MIN_SIZE_RATIO * shuffled:
        return True
    if matched >= _WORTH_A_LOOK * shuffled or not any(_has_few_values(part, itemsize) for part in parts):
        return False
    # A general compressor finds more of what repeats in a longer stretch.
    longer = sum(len(deflate.zlib_compress(middle, _QUICK_LEVELS[4])) for middle in middles)
    return longer < _MIN_SIZE_RATIO * sum(_shuffled_size(middle, itemsize) for middle in middles)


def _has_few_values(sample: Bytes, itemsize: int) -> bool:
    """True where values other than 0 repeat, as they do with few digits."""
    if itemsize not in (2, 4, 8) or sample.size < _LOOKED_AT * itemsize:
        return False
    values = sample[: _LOOKED_AT * itemsize].view(f"u{itemsize}")
    values = values[values != 0]
    return values.size >= _LOOKED_AT // 16 and bool(np.unique(values).size < _MAX_DISTINCT * values.size)


def _middle(data: Bytes, most: int, itemsize: int) -> Bytes:
    count = min(data.size, most) // itemsize * itemsize
    return data[(data.size - count) // 2 // itemsize * itemsize :][:count]


def _shuffled_size(sample: Bytes, itemsize: int) -> float:
    """An estimate of what a sample takes when it is shuffled."""
    shuffled = thread_buffer("shuffled sample", sample.size)
    kernels.shuffle(sample, itemsize, shuffled)
    plane = sample.size // itemsize
    gains = [huffman.gain(shuffled[start : start + plane]) for start in range(0, sample.size, plane)]
    return sum(literal - saved for literal, saved in gains)


def _choose_coding(data: Bytes, stride: int, level: int, hint: EncodingHint) -> BlockCoding:
    """The coding for unshuffled bytes: the quickest whose result, on a sample, is not longer than zlib's."""
    sizes = _sample_sizes(data, stride)
    if hint.way and all(abs(size / same - 1) < _SIMILARITY for size, same in zip(sizes, hint.sizes, strict=True)):
        return hint.way
    sample = _sample(data, stride)
    longest = _MAX_SIZE_RATIO[level] * len(zlib.compress(sample.data, level))
    if sizes[0] <= longest:
        return BlockCoding.LITERALS
    if sizes[1] <= longest * (_COLD_START if stride == 8 else 1):
        return BlockCoding.ELEMENT_MATCHES
    quick = len(deflate.zlib_compress(sample, _QUICK_LEVELS[level])) <= longest
    return BlockCoding.QUICK_MATCHES if quick else BlockCoding.MATCHES


def _sample(data: Bytes, stride: int) -> Bytes:
    return data[max(0, data.size - LONGER_SAMPLE) // 2 // stride * stride :][:LONGER_SAMPLE]


def _sample_sizes(data: Bytes, stride: int) -> tuple[int, int]:
    """Bytes that literals, and that few matches, make of a sample."""
    sample = _sample(data, stride)
    return len(_blocks(sample, BlockCoding.LITERALS, stride)), len(_blocks(sample, BlockCoding.ELEMENT_MATCHES, stride))


def _choose_codings(
    data: Bytes, edges: list[int], level: int, earlier: tuple[BlockCoding, ...] = ()
) -> list[BlockCoding]:
    """The coding for each stretch of shuffled bytes.

    earlier: what suits the stretches of a chunk of the same array, in which quick matches do as well as general ones.
    """
    stretches = [data[start:stop] for start, stop in pairwise(edges)]
    repeats = [not (stretch != stretch[:1]).any() for stretch in stretches]  # empty ones, too
    gains = [(0.0, 0.0) if same else huffman.gain(part) for part, same in zip(stretches, repeats, strict=True)]
    total = sum(literal - saved for literal, saved in gains)
    ways = []
    for number, (part, (_, saved)) in enumerate(zip(stretches, gains, strict=True)):
        before = earlier[number] if len(earlier) == len(stretches) else None
        if repeats[number]:
            ways.append(BlockCoding.REPETITION)
        elif _matches_pay(part, saved, total, level, before):
            ways.append(BlockCoding.ELEMENT_MATCHES if earlier else BlockCoding.MATCHES)
        else:
            ways.append(BlockCoding.LITERALS)
    if BlockCoding.MATCHES in ways:  # one run for all of them: what may follow a general compressor's block is slow
        return [BlockCoding.MATCHES if way is BlockCoding.REPETITION else way for way in ways]
    return ways


def _runs(edges: list[int], ways: list[BlockCoding]) -> list[tuple[int, int, BlockCoding]]:
    """Start, stop and way of stretches: neighbours of one kind are one run."""
    runs: list[tuple[int, int, BlockCoding]] = []
    for (start, stop), way in zip(pairwise(edges), ways, strict=True):
        if runs and runs[-1][2] is way:
            runs[-1] = (runs[-1][0], stop, way)
        else:
            runs.append((start, stop, way))
    return runs


def _matches_pay(data: Bytes, saved: float, total: float, level: int, before: BlockCoding | None) -> bool:
    """True where matches in a stretch save enough of the `total`.

    Where the estimate is close, what suited the same stretch `before` counts, else a sample is compressed.
    """
    least = _MIN_GAIN[level] * total
    if not least / 4 < saved < _CONFIDENT_GAIN * total:
        return saved >= least
    if before is not None:
        return before in _GENERAL
    sample = data[max(0, data.size - SAMPLE) // 2 :][:SAMPLE]
    difference = len(_blocks(sample, BlockCoding.LITERALS, 1)) - len(
        deflate.deflate_compress(sample, _LIBDEFLATE_LEVELS[level])
    )
    return difference * data.size / sample.size >= least


def _edges(size: int, planes: int) -> list[int]:
    """Bounds of the stretches that are looked at one by one."""
    if size // planes < MIN_STRETCH:
        planes = 1
    plane = size // planes
    parts = max(1, plane // MAX_STRETCH)
    return [number * plane + plane * part // parts for number in range(planes) for part in range(parts)] + [size]


def _blocks(data: Bytes, way: BlockCoding, stride: int) -> memoryview:
    """Deflate blocks of literals, or with few matches, in a buffer that the next call overwrites."""
    out_buffer = thread_buffer("blocks", huffman.bound(data.size))
    if way is BlockCoding.LITERALS:
        return out_buffer[: huffman.encode(data, out_buffer)].data
    return out_buffer[: huffman.encode_matches(data, stride, out_buffer)].data


def _repetition(data: Bytes) -> bytes:
    """Deflate blocks of one byte repeated, after which others may follow: what ISA-L makes of them is as short."""
    packer = isal_zlib.compressobj(_ISAL_LEVEL, zlib.DEFLATED, -15)
    return packer.compress(data.data) + packer.flush(zlib.Z_SYNC_FLUSH)


def _open_stream(data: Bytes, level: int) -> bytes:
    """Deflate blocks after which others may follow, which libdeflate does not make."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9)
    return packer.compress(data.data) + packer.flush(zlib.Z_SYNC_FLUSH)


def decompress(datas: Sequence[Bytes], outs: Sequence[Bytes], *, is_exact: bool = True) -> list[Bytes]:
    """The bytes behind one zlib stream or two, as many as each `out` has; at most so many with is_exact False.

    Two at once take less time than one after the other. Raises ValueError for a damaged stream, or a wrong length.
    Nothing is written beyond `outs`, whatever a malicious stream would become.
    """
    level = _instructions()
    results: tuple[int | str, ...]
    if len(datas) == 2:
        results = inflate.inflate_both(datas[0], outs[0], datas[1], outs[1], level)
    else:
        results = tuple(inflate.inflate(data, out, level) for data, out in zip(datas, outs, strict=True))
    outputs = []
    for result, out in zip(results, outs, strict=True):
        if isinstance(result, str):
            raise ValueError(result)
        if is_exact and result != out.size:
            raise ValueError(f"it holds {result} bytes, not {out.size}")
        outputs.append(out[:result])
    return outputs


def _instructions() -> int:
    try:
        return simd.level()
    except ValueError as error:  # which would be taken for damage here
        raise RuntimeError(str(error)) from error
