"""A chunk of 1 MiB on one thread: gzip as this package makes and undoes it, beside zlib and the libraries it stands on.

A row says what our own coder buys: speed and size for each kind of data that users keep.
"""

from __future__ import annotations

import zlib

import deflate
import numpy as np
import pytest
from harness import versus
from isal import isal_zlib

from h5burst import Storage, codecs
from h5burst.codecs import deflate as ours

BYTES = 1 << 20


def _kinds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    count = BYTES // 8
    present = rng.random(count) < 0.4
    intensity = rng.lognormal(8, 2, count)
    normal = rng.normal(10, 3, count)
    names = [f"sp|P{number:05d}|PROT{number % 9973}_HUMAN" for number in rng.integers(0, 99_999, 60_000)]
    return {
        "full-digit floats": intensity,
        "full-digit floats, 60 % zeros": np.where(present, intensity, 0.0),
        "two decimals": np.round(normal, 2),
        "three decimals": np.round(normal, 3),
        "three decimals, 60 % zeros": np.where(present, np.round(normal, 3), 0.0),
        "float32 as float64": intensity.astype(np.float32).astype(np.float64),
        "counts as float64": rng.negative_binomial(0.5, 0.1, count).astype(np.float64),
        "counts as int32": rng.negative_binomial(0.5, 0.1, 2 * count).astype(np.int32),
        "int16 samples": rng.normal(0, 20, 4 * count).astype(np.int16),
        "sorted spike times": np.sort(rng.integers(0, 72_000_000, count)).astype(np.uint64),
        "mask": ((rng.random(BYTES) < 0.3) * rng.integers(1, 4, BYTES)).astype(np.uint8),
        "text": np.frombuffer(" ".join(names).encode()[:BYTES], np.uint8),
    }


KINDS = _kinds()
OTHERS = {
    "zlib": {1: lambda data: zlib.compress(data, 1), 4: lambda data: zlib.compress(data, 4)},
    "ISA-L": {1: lambda data: isal_zlib.compress(data, 1), 4: lambda data: isal_zlib.compress(data, 2)},
    "libdeflate": {1: lambda data: deflate.zlib_compress(data, 1), 4: lambda data: deflate.zlib_compress(data, 4)},
}

DECODERS = {
    "zlib": lambda stream, size: zlib.decompress(stream),
    "ISA-L": lambda stream, size: isal_zlib.decompress(stream.data, 15, size),
    "libdeflate": deflate.zlib_decompress,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [1, 4])
@pytest.mark.parametrize("other", OTHERS)
def test_chunk(benchmark, other, level, kind):
    """Shuffle and codec together.

    The other side is given the arrangement of bytes in which it gets the smaller result.
    """
    array = KINDS[kind]
    data, itemsize = array.view(np.uint8), array.dtype.itemsize
    filters = codecs.filters_for(Storage("gzip", level), itemsize, data.size)
    shuffled = np.ascontiguousarray(data.reshape(-1, itemsize).T).reshape(-1)
    compress = OTHERS[other][level]
    arranged = min((data, shuffled), key=lambda candidate: len(compress(candidate)))
    _, payload = codecs.encode(data, filters, itemsize)
    restored = np.empty(data.size, np.uint8)
    mask, payload = codecs.encode(data, filters, itemsize)
    codecs.decode(payload, filters, mask, itemsize, restored)
    assert np.array_equal(restored, data)
    versus(
        benchmark,
        lambda: codecs.encode(data, filters, itemsize),
        lambda: compress(arranged),
        other_name=f"{other}, level {level}",
        same=None,
        ours_share=len(payload) / data.size,
        other_share=len(compress(arranged)) / data.size,
        megabyte_per_s=BYTES / 1e6,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", DECODERS)
def test_two_chunks_are_inflated(benchmark, other, kind):
    """Streams of level 4, as they are in a file, two at once as in a load of many chunks; without the shuffle."""
    array = KINDS[kind]
    data, itemsize = array.view(np.uint8), array.dtype.itemsize
    filters = codecs.filters_for(Storage("gzip", 4), itemsize, data.size)
    _mask, payload = codecs.encode(data, filters, itemsize)
    stream = np.frombuffer(payload, np.uint8)[:-4]  # what follows is the checksum of the last filter
    streams, outs = [stream, stream.copy()], [np.empty_like(data), np.empty_like(data)]
    versus(
        benchmark,
        lambda: ours.decompress(streams, outs),
        lambda: [DECODERS[other](each, data.size) for each in streams],
        other_name=other,
        same=lambda a, b: all(bytes(x) == bytes(y) for x, y in zip(a, b, strict=True)),
        megabyte_per_s=2 * BYTES / 1e6,
    )
