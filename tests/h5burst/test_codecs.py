"""The filters of chunks: what other readers make of them, how small they are, what damage does."""

from __future__ import annotations

import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from h5burst import chunks, codecs, deflating, plugins
from h5burst._ext import huffman
from h5burst.chunks import ChunkError
from h5burst.tree import Storage

RNG = np.random.default_rng(7)
CODECS = [None, "gzip", "lzf", "blosc", "zstd"]
some_bytes = arrays(np.uint8, st.integers(0, 3000), elements=st.integers(0, 255))


def noise(size: int) -> Any:
    return RNG.integers(0, 256, size, dtype=np.uint8)


def skewed(size: int) -> Any:
    """Bytes of which no two need be alike in a row, though some are far more frequent than others."""
    return np.minimum(RNG.geometric(0.3, size), 255).astype(np.uint8)


# ---------------------------------------------------------------- literals and streams


@given(some_bytes)
def test_literal_blocks_are_deflate(data: Any) -> None:
    room = np.empty(huffman.bound(data.size), np.uint8)
    stream = room[: huffman.encode(data, room)].tobytes() + b"\x03\x00"
    assert zlib.decompress(stream, -15) == data.tobytes()


@pytest.mark.parametrize("size", [1, 2, 16_382, 16_383, 16_384, 65_534, 65_535, 65_536, 300_001])
@pytest.mark.parametrize("make", [noise, skewed, np.zeros, np.arange])
def test_literal_blocks_of_any_length(make: Any, size: int) -> None:
    data = make(size).astype(np.uint8)
    room = np.full(huffman.bound(size) + 64, 77, np.uint8)
    written = huffman.encode(data, room)
    assert written <= huffman.bound(size)
    assert np.all(room[huffman.bound(size) :] == 77)
    assert zlib.decompress(room[:written].tobytes() + b"\x03\x00", -15) == data.tobytes()


def test_codes_that_would_be_too_long_are_shortened() -> None:
    counts = [1, 1]
    while sum(counts) < 60_000:  # Fibonacci's numbers make the deepest tree
        counts.append(counts[-1] + counts[-2])
    data = RNG.permutation(np.repeat(np.arange(len(counts), dtype=np.uint8), counts))[:65_535]
    room = np.empty(huffman.bound(data.size), np.uint8)
    stream = room[: huffman.encode(data, room)].tobytes() + b"\x03\x00"
    assert zlib.decompress(stream, -15) == data.tobytes()


PLANES = {
    "noise, then zeros": np.concatenate([noise(40_000), np.zeros(40_000, np.uint8)]),
    "zeros, then noise": np.concatenate([np.zeros(40_000, np.uint8), noise(40_000)]),
    "zeros between": np.concatenate([skewed(40_000), np.zeros(40_000, np.uint8), skewed(40_000)]),
    "noise between": np.concatenate([np.zeros(40_000, np.uint8), skewed(40_000), np.zeros(40_000, np.uint8)]),
    "short": skewed(500),
    "empty": np.zeros(0, np.uint8),
}


@pytest.mark.parametrize("kind", PLANES)
@pytest.mark.parametrize("level", range(1, 10))
def test_streams_are_zlib_whatever_the_planes(kind: str, level: int) -> None:
    data = PLANES[kind]
    planes = max(1, data.size // 40_000)
    stream = bytes(deflating.compress(data, level, planes))
    assert zlib.decompress(stream) == data.tobytes()
    assert deflating.decompress(np.frombuffer(stream, np.uint8), data.size) == data.tobytes()


@given(some_bytes, st.integers(1, 9), st.sampled_from([1, 2, 3, 8]))
def test_any_bytes_come_back(data: Any, level: int, planes: int) -> None:
    stream = bytes(deflating.compress(data, level, planes))
    assert zlib.decompress(stream) == data.tobytes()


def test_matches_are_used_only_where_they_pay() -> None:
    assert [literal for _, _, literal in deflating._runs(PLANES["noise, then zeros"], 2, 4)] == [True, False]
    assert [literal for _, _, literal in deflating._runs(skewed(80_000), 2, 4)] == [True]


def test_a_stream_of_another_length_is_refused() -> None:
    stream = np.frombuffer(zlib.compress(bytes(1 << 20)), np.uint8)
    for size in (100, (1 << 20) - 1, (1 << 20) + 1):
        with pytest.raises(ValueError, match="does not hold"):
            deflating.decompress(stream, size)


# ---------------------------------------------------------------- pipelines


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("itemsize", [1, 4, 8, 16])
@pytest.mark.parametrize("make", [noise, skewed, np.zeros])
def test_a_chunk_comes_back(codec: str | None, itemsize: int, make: Any) -> None:
    data = make(48_000).astype(np.uint8)
    filters = codecs.filters_for(Storage(codec), itemsize, data.size)
    mask, payload = codecs.encode(data, filters, itemsize)
    if not codecs.can_decode(filters):
        assert codec == "lzf"
        return
    out = np.empty_like(data)
    codecs.decode(payload, filters, mask, itemsize, out)
    assert np.array_equal(out, data)


def test_what_a_codec_cannot_make_smaller_is_stored_without_it() -> None:
    data = noise(50_000)
    for codec in ("gzip", "lzf", "zstd"):
        filters = codecs.filters_for(Storage(codec), 1, data.size)
        mask, payload = codecs.encode(data, filters, 1)
        assert (mask, len(payload)) == (1, data.size + 4), codec


def test_level_0_stores() -> None:
    for codec in ("gzip", "zstd"):
        mask, payload = codecs.encode(np.zeros(8000, np.uint8), codecs.filters_for(Storage(codec, 0), 8), 8)
        assert (mask, len(payload)) == (2, 8004), codec


@pytest.mark.parametrize("codec", ["gzip", "blosc", "zstd", None])
def test_damage_anywhere_in_a_payload_is_noticed(codec: str | None) -> None:
    data = skewed(20_000)
    filters = codecs.filters_for(Storage(codec), 4, data.size)
    mask, payload = codecs.encode(data, filters, 4)
    out = np.empty_like(data)
    for at in RNG.integers(0, len(payload), 200):
        damaged = bytearray(payload)
        damaged[at] ^= 1 << int(RNG.integers(8))
        with pytest.raises(ChunkError):
            codecs.decode(damaged, filters, mask, 4, out)


@pytest.mark.parametrize("codec", ["gzip", "blosc", "zstd"])
def test_a_stream_without_checksum_that_is_cut_short_is_refused(codec: str) -> None:
    data = skewed(20_000)
    filters = codecs.filters_for(Storage(codec), 1, data.size)[:-1]
    mask, payload = codecs.encode(data, filters, 1)
    out = np.empty_like(data)
    for length in (0, 1, 3, len(payload) // 2, len(payload) - 1):
        with pytest.raises(ChunkError):
            codecs.decode(bytes(payload)[:length], filters, mask, 1, out)


def test_a_chunk_of_another_length_is_refused() -> None:
    filters = codecs.filters_for(Storage("gzip"), 4)
    mask, payload = codecs.encode(skewed(8000), filters, 4)
    for size in (7996, 8004):
        with pytest.raises(ChunkError):
            codecs.decode(payload, filters, mask, 4, np.empty(size, np.uint8))


def test_unknown_wishes_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown codec 'zip'"):
        codecs.filters_for(Storage("zip"), 8)
    for level in (-1, 10):
        with pytest.raises(ValueError, match="level must be 0 to 9"):
            codecs.filters_for(Storage("gzip", level), 8)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("gzip", {"compression": "gzip", "compression_opts": 6, "shuffle": True}),
        ("lzf", {"compression": "lzf", "shuffle": True}),
        ("blosc", "Blosc"),
        ("zstd", "Zstd"),
        (None, {}),
    ],
)
def test_filters_are_described_as_h5py_and_hdf5plugin_do(codec: str | None, options: Any) -> None:
    hdf5plugin = pytest.importorskip("hdf5plugin")
    plan = chunks.plan((20_000,), np.dtype("f8"), Storage(codec, 6 if codec else None))
    assert plan is not None
    if isinstance(options, str):
        options = dict(getattr(hdf5plugin, options)(clevel=6)) | {"shuffle": options == "Zstd"}
    with h5py.File("memory.h5", "w", driver="core", backing_store=False) as file:
        made = file.create_dataset("x", plan.shape, plan.dtype, chunks=plan.chunks, fletcher32=True, **options)
        creation = made.id.get_create_plist()
        theirs = [creation.get_filter(number)[:3] for number in range(creation.get_nfilters())]
    assert theirs == [(step.id, step.flags, step.values) for step in plan.filters]


def test_without_direct_plugins_libhdf5_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    data = skewed(40_000)
    filters = codecs.filters_for(Storage("blosc"), 8, data.size)
    direct = codecs.encode(data, filters, 8)
    monkeypatch.setattr(plugins, "_function", lambda filter_id: None)
    assert codecs.encode(data, filters, 8) == direct
    assert not codecs.can_decode(filters)


# ---------------------------------------------------------------- sizes, on real data


def real_data(folder: Path) -> dict[str, Any]:
    """Spike times as seconds and as samples, intervals, and protein matrices."""
    found = {}
    for path in sorted((folder / "retina_mea").glob("*.h5"))[:4]:
        with h5py.File(path, "r") as file:
            seconds = file["spikes"][()]
        samples = (seconds * 20_000).astype(np.uint64)
        found |= {
            f"{path.stem} s": seconds,
            f"{path.stem} samples": samples,
            f"{path.stem} intervals": np.diff(samples),
        }
    for path in sorted((folder / "single_cell_proteomics").glob("*.h5ad")):
        matrix = np.asarray(anndata.read_h5ad(path).X, np.float64)
        found |= {path.stem: matrix, f"{path.stem} f4": matrix.astype(np.float32), f"{path.stem} T": matrix.T.copy()}
    for path in sorted((folder / "single_cell_proteomics").glob("*_data.csv")):
        found[path.stem] = np.genfromtxt(path, delimiter=",", skip_header=1)[:, 1:]
    return found


def stored_bytes(data: Any, level: int) -> int:
    plan = chunks.plan(data.shape, data.dtype, Storage("gzip", level, always=True))
    assert plan is not None
    return sum(len(chunk.payload) for chunk in chunks.encode(data, plan))


def h5py_bytes(data: Any, level: int) -> int:
    plan = chunks.plan(data.shape, data.dtype, Storage("gzip", level, always=True))
    assert plan is not None
    with h5py.File("memory.h5", "w", driver="core", backing_store=False) as file:
        made = file.create_dataset("x", data=data, chunks=plan.chunks, compression=level, shuffle=True, fletcher32=True)
        return int(made.id.get_storage_size())


@pytest.mark.filterwarnings("ignore")
def test_levels_mean_what_users_expect(test_data: Path) -> None:
    for name, data in real_data(test_data).items():
        sizes = [stored_bytes(data, level) for level in range(10)]
        for lower, higher in pairwise(sizes):
            assert higher <= lower * 1.01, (name, sizes)
        assert sizes[4] <= h5py_bytes(data, 4), name
