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
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from h5burst import codecs, read_tree, write_tree
from h5burst._ext import huffman, lzf
from h5burst.arrays import chunks
from h5burst.arrays.chunks import ChunkError
from h5burst.codecs import deflate, pipeline, plugin
from h5burst.codecs.deflate import BlockCoding
from h5burst.model.tree import Array, Group, Storage

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


STRIDES = [1, 2, 3, 4, 8, 12, 16, 64, 100]


def inflated(data: Any, stride: int) -> bytes:
    """What plain zlib reads from blocks with matches; that they keep to their room is checked, too."""
    room = np.full(huffman.bound(data.size) + 64, 77, np.uint8)
    written = huffman.encode_matches(data, stride, room)
    assert written <= huffman.bound(data.size)
    assert np.all(room[huffman.bound(data.size) :] == 77)
    return zlib.decompress(room[:written].tobytes() + b"\x03\x00", -15)


@given(some_bytes, st.sampled_from(STRIDES))
def test_match_blocks_are_deflate(data: Any, stride: int) -> None:
    assert inflated(data, stride) == data.tobytes()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400)), max_size=60),
    st.sampled_from(STRIDES),
    st.integers(0, 20),
    st.integers(0, 2**32),
)
def test_match_blocks_of_runs_and_repeated_elements(runs: Any, stride: int, offset: int, seed: int) -> None:
    """Stretches of zeros, of one element again and again, of a few elements, of noise."""
    rng = np.random.default_rng(seed)
    elements = rng.integers(0, 256, (4, stride), dtype=np.uint8)
    parts = [rng.integers(0, 256, offset, dtype=np.uint8)]
    for kind, count in runs:
        choice = rng.integers(0, 4, count) if kind == 1 else np.zeros(count, np.intp)
        parts.append(elements[choice].reshape(-1) * np.uint8(kind > 0))
        if kind == 3:
            parts.append(rng.integers(0, 256, count * stride, dtype=np.uint8))
    data = np.concatenate(parts)
    assert inflated(data, stride) == data.tobytes()


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from([0, 0, 1, 2, 3, 15, 16, 17, 70, 900])), max_size=300),
    st.sampled_from([2, 4, 8, 16]),
    st.sampled_from([0, 255]),
    st.integers(0, 9000),
    st.integers(0, 2**32),
)
def test_match_blocks_of_runs_in_noise(runs: Any, stride: int, byte: int, before: int, seed: int) -> None:
    """So much noise first that nothing but runs of one byte is looked for any more."""
    rng = np.random.default_rng(seed)
    parts = [rng.integers(0, 256, before * stride, dtype=np.uint8)]
    for noisy, run in runs:
        parts.append(rng.integers(0, 256, noisy * stride, dtype=np.uint8))
        parts.append(np.full(run * stride, byte, np.uint8))
    data = np.concatenate(parts)
    if before % 3 == 0:  # the values before runs may have bytes in common
        data[stride - 1 :: stride] = byte if before % 2 else 64
    assert inflated(data, stride) == data.tobytes()


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("size", [1, 15, 16, 17, 65_534, 65_535, 65_536, 65_552, 300_001])
def test_match_blocks_of_any_length(size: int, stride: int) -> None:
    few = RNG.integers(0, 2, size).astype(np.uint8)
    repeated = np.resize(noise(min(size, 40_000)), size)  # beyond the window
    zeros_between = np.where(RNG.random(size // stride + 1) < 0.6, 0, 1)[:, None] * noise(stride)
    for data in (
        few,
        repeated,
        zeros_between.astype(np.uint8).reshape(-1)[:size],
        noise(size),
        np.zeros(size, np.uint8),
    ):
        assert inflated(np.ascontiguousarray(data), stride) == data.tobytes()


def test_a_block_of_more_matches_than_it_may_hold_ends_early() -> None:
    pairs = np.zeros((30_000, 2, 4), np.uint8)
    pairs[:, 1] = RNG.integers(1, 256, (30_000, 4))
    for repeats in (1, 2):
        data = np.repeat(pairs, repeats, axis=1).reshape(-1)
        assert inflated(data, 4) == data.tobytes()


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
    stream = bytes(deflate.compress(data, level, planes))
    assert zlib.decompress(stream) == data.tobytes()
    found = deflate.decompress([np.frombuffer(stream, np.uint8)], [np.empty_like(data)])
    assert np.array_equal(found[0], data)


@given(some_bytes, st.integers(1, 9), st.sampled_from([1, 2, 3, 8]))
@example(np.empty(0, np.uint8), 2, 2)
def test_any_bytes_come_back(data: Any, level: int, planes: int) -> None:
    stream = bytes(deflate.compress(data, level, planes))
    assert zlib.decompress(stream) == data.tobytes()


def test_matches_are_used_only_where_they_pay() -> None:
    assert ways_of(PLANES["noise, then zeros"]) == [BlockCoding.LITERALS, BlockCoding.REPETITION]
    assert ways_of(skewed(80_000)) == [BlockCoding.LITERALS]


def ways_of(data: Any) -> list[BlockCoding]:
    edges = deflate._edges(data.size, 2)
    return [way for _, _, way in deflate._runs(edges, deflate._choose_codings(data, edges, 4))]


def shuffled_chunk(values: Any) -> Any:
    """The bytes of numbers, those of one place together, as numpy shuffles them."""
    return np.ascontiguousarray(values.view(np.uint8).reshape(-1, values.itemsize).T).reshape(-1)


SHUFFLED = {
    "counts": lambda rng: np.where(rng.random(1 << 17) < 0.6, 0, rng.poisson(9, 1 << 17)).astype("f8"),
    "float32": lambda rng: np.where(rng.random(1 << 17) < 0.6, 0, rng.normal(20, 3, 1 << 17).astype("f4")).astype("f8"),
    "sorted": lambda rng: np.sort(rng.integers(0, 1 << 40, 1 << 17)),
    "constant": lambda rng: np.full(1 << 17, 7.0),
}


@pytest.mark.parametrize("level", [2, 4, 5])
@pytest.mark.parametrize("learnt", SHUFFLED)
@pytest.mark.parametrize("kind", SHUFFLED)
def test_shuffled_chunks_after_a_trial_on_one(kind: str, learnt: str, level: int) -> None:
    """Whatever the trial was on, zlib reads the stream; if it was on data of the kind, it is no longer than zlib's."""
    data, first = (
        shuffled_chunk(SHUFFLED[name](np.random.default_rng(seed))) for name, seed in ((kind, 1), (learnt, 2))
    )
    stream = bytes(deflate.compress(data, level, 8, 1, deflate.hint_of(first, level, 8)))
    assert zlib.decompress(stream) == data.tobytes()
    if kind == learnt:
        assert len(stream) <= 1.01 * len(zlib.compress(data, level)) + 1024


def test_counts_need_no_general_compressor() -> None:
    data = shuffled_chunk(SHUFFLED["counts"](np.random.default_rng(3)))
    hint = deflate.hint_of(data, 4, 8)
    edges = deflate._edges(data.size, 8)
    ways = deflate._choose_codings(data, edges, 4, hint.stretches)
    assert ways[:5] == [BlockCoding.REPETITION] * 5  # small whole numbers as float64: the low bytes are zeros
    assert BlockCoding.MATCHES not in ways


def numbers_with_zeros(size: int, dtype: str = "f8") -> Any:
    values = RNG.normal(20, 3, size).astype(dtype)
    values[RNG.random(size) < 0.6] = 0
    return values


@given(
    st.integers(0, 2**32 - 1), st.integers(0, 4), st.sampled_from([0.0, 0.3, 0.9]), st.sampled_from([1e-3, 1.0, 1e4])
)
@settings(max_examples=40)
def test_decimal_fractions_with_zeros_come_back(seed: int, decimals: int, zeros: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 20_000))
    numbers = np.where(rng.random(count) < zeros, 0.0, np.round(rng.normal(scale, scale, count), decimals))
    numbers[rng.random(count) < 0.01] = np.nan
    data = numbers.view(np.uint8)[: int(rng.integers(1, 8 * count + 1))]
    room = np.empty(huffman.bound(data.size), np.uint8)
    packed = room[: huffman.encode_matches(data, 8, room)]
    assert zlib.decompressobj(-15).decompress(packed.tobytes()) == data.tobytes()


@pytest.mark.parametrize(("decimals", "dtype"), [(1, "f8"), (2, "f8"), (3, "f8"), (1, "f4"), (2, "f4")])
@pytest.mark.parametrize("zeros", [0.6, 0.3])
def test_decimal_fractions_get_no_larger_than_by_zlib(decimals: int, dtype: str, zeros: float) -> None:
    rng = np.random.default_rng(decimals)
    for numbers in (rng.lognormal(2.3, 0.7, 1 << 17), rng.normal(20, 3, 1 << 17), rng.exponential(1, 1 << 17)):
        data = np.where(rng.random(1 << 17) < zeros, 0.0, np.round(numbers, decimals)).astype(dtype).view(np.uint8)
        width = np.dtype(dtype).itemsize
        filters = codecs.fitted(codecs.filters_for(Storage("gzip", 4), width, data.size), [data], width)
        _, payload = codecs.encode(data, filters, width)
        assert len(payload) - 4 <= 1.006 * len(zlib.compress(data.tobytes(), 4))


def test_few_matches_are_looked_for_where_they_are_enough() -> None:
    def way(data: Any, stride: int) -> BlockCoding:
        return deflate._choose_coding(data.view(np.uint8), stride, 4, deflate.NO_HINT)

    assert way(skewed(80_000), 1) is BlockCoding.LITERALS
    assert way(numbers_with_zeros(100_000), 8) is BlockCoding.ELEMENT_MATCHES
    text = np.frombuffer(b"".join(b"cell%07d " % n for n in range(10_000)), np.uint8)
    assert way(text, 1) is BlockCoding.QUICK_MATCHES


def test_shuffle_is_left_out_where_whole_elements_repeat() -> None:
    plan = chunks.plan((300_000,), np.dtype("f8"), Storage("gzip", 4))
    assert plan is not None
    for values, count in ((numbers_with_zeros(300_000), 2), (RNG.normal(20, 3, 300_000), 3)):
        for data in (values, Rows(values)):
            source, found = chunks.fitted(data, plan)
            assert len(found.filters) == count
            assert {chunk.filter_mask for chunk in chunks.encode(source, found)} == {0}


class Rows:
    """A source whose rows can be read once, in ascending order."""

    def __init__(self, values: Any) -> None:
        self.values, self.shape, self.dtype, self.at = values, values.shape, values.dtype, 0

    def read(self, start: int, stop: int) -> Any:
        assert start == self.at
        self.at = stop
        return self.values[start:stop]


@pytest.mark.parametrize("dtype", ["f8", "f4", "c16", "i8", "i2"])
def test_h5py_reads_what_was_not_shuffled(tmp_path: Path, dtype: str) -> None:
    values = numbers_with_zeros(400_000, dtype)
    path = tmp_path / "x.h5"
    write_tree(path, Group({"x": Array(values, storage=Storage("gzip", 4))}))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["x"][()], values)
        assert file["x"].shuffle == (dtype != "f8")
    np.testing.assert_array_equal(read_tree(path)["x"].data, values)


def test_half_the_effort_where_the_first_of_many_chunks_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Column numbers of a sparse matrix: libdeflate's lower level is better than zlib there."""
    columns = np.nonzero(RNG.random((300, 8000)) < 0.6)[1].astype(np.int32)
    noise_too = RNG.normal(20, 3, columns.size)
    monkeypatch.setattr(chunks, "MANY_CHUNKS", 3)
    asked = []
    encode = codecs.encode
    monkeypatch.setattr(codecs, "encode", lambda *args: asked.append(args[3].quick) or encode(*args))
    for values, level, quick in ((columns, 4, True), (columns, 6, False), (noise_too, 4, False), (columns, 0, False)):
        asked.clear()
        storage = Storage("gzip", level)
        write_tree(tmp_path / "x.h5", Group({"x": Array(values, storage=storage)}), overwrite=True)
        assert set(asked) == {quick}
        with h5py.File(tmp_path / "x.h5") as file:
            np.testing.assert_array_equal(file["x"][()], values)
    assert stored_bytes(columns, 4) <= h5py_bytes(columns, 4)


def test_chunks_like_the_first_are_not_compared_with_zlib_again(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    compress = zlib.compress
    monkeypatch.setattr(deflate.zlib, "compress", lambda *args: compared.append(1) or compress(*args))
    zeros, others, text = (
        values.view(np.uint8)
        for values in (
            numbers_with_zeros(1 << 17),
            numbers_with_zeros(1 << 17),
            RNG.integers(0, 5, 1 << 17) * 0x0101010101010101,
        )
    )
    hint = deflate.hint_of(zeros, 4, 1, 8)
    assert hint.way is BlockCoding.ELEMENT_MATCHES
    for data, count in ((zeros, 0), (others, 0), (text, 1), (noise(1 << 20), 1)):
        compared.clear()
        alike = deflate.compress(data, 4, 1, 8, hint)
        assert len(compared) == count
        assert alike == deflate.compress(data, 4, 1, 8)
        assert zlib.decompress(alike) == data.tobytes()
    assert deflate.hint_of(zeros, 6, 1, 8) == deflate.NO_HINT


@given(st.integers(1, 20), st.integers(0, 140_000), st.integers(0, 2**32))
def test_match_blocks_of_few_values(values: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    choice = rng.integers(0, 256, values).astype(np.uint8)
    data = choice[np.minimum(rng.geometric(0.4, size) - 1, values - 1)]
    if size > 70_000:
        data[1000:3000] = data[0]
        data[size // 3 : size // 2] = np.resize(data[:777], size // 2 - size // 3)
    if seed % 2 and size:
        data[-(seed % size) - 1] = 77  # one more that no sample shows
    assert inflated(data, 1) == data.tobytes()


@pytest.mark.parametrize("level", range(1, 10))
def test_levels_of_masks_and_numbers_with_zeros(level: int) -> None:
    """No larger than zlib makes them, whatever way was taken."""
    for data, stride in (
        (np.where(RNG.random(1 << 20) < 0.6, 3, 0).astype(np.uint8), 1),
        (numbers_with_zeros(1 << 17), 8),
    ):
        data = data.view(np.uint8)
        assert len(deflate.compress(data, level, 1, stride)) <= 1.01 * len(zlib.compress(data, min(level, 8)))


def test_a_stream_of_another_length_is_refused() -> None:
    stream = np.frombuffer(zlib.compress(bytes(1 << 20)), np.uint8)
    for size in (100, (1 << 20) - 1, (1 << 20) + 1):
        with pytest.raises(ValueError, match=r"longer than it should be|it holds 1048576 bytes"):
            deflate.decompress([stream], [np.empty(size, np.uint8)])


# ---------------------------------------------------------------- pipelines


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("itemsize", [1, 4, 8, 16])
@pytest.mark.parametrize("make", [noise, skewed, np.zeros])
def test_a_chunk_comes_back(codec: str | None, itemsize: int, make: Any) -> None:
    data = make(48_000).astype(np.uint8)
    filters = codecs.filters_for(Storage(codec), itemsize, data.size)
    mask, payload = codecs.encode(data, filters, itemsize)
    assert codecs.can_decode(filters)
    out = np.empty_like(data)
    codecs.decode(payload, filters, mask, itemsize, out)
    assert np.array_equal(out, data)


@given(some_bytes | st.builds(lambda part, times: np.tile(part, times), some_bytes, st.integers(1, 9)), st.booleans())
def test_lzf_comes_back_and_keeps_to_its_room(data: Any, tight: bool) -> None:
    room = np.full(data.size + data.size // 32 + 2, 77, np.uint8)
    written = lzf.encode(data, room)
    assert (written > 0) == (data.size > 0)
    out = np.empty_like(data)
    assert lzf.decode(room[:written], out) == (data.size > 0)
    assert np.array_equal(out, data)
    if data.size and tight:
        assert lzf.encode(data, room[: written - 1]) == 0
        assert np.all(room[written:] == 77)
        for wrong in (data.size - 1, data.size + 1):
            assert not lzf.decode(room[:written].copy(), np.empty(wrong, np.uint8))


@given(st.binary(max_size=400), st.integers(0, 5000))
def test_lzf_of_anything_is_read_or_refused(packed: bytes, size: int) -> None:
    """As the format says, item by item."""
    out, at, whole = bytearray(), 0, size > 0 and bool(packed)
    while whole and at < len(packed):
        code, at = packed[at], at + 1
        if code < 32:
            whole = at + code + 1 <= len(packed)
            out += packed[at : at + code + 1]
            at += code + 1
            continue
        length, distance = code >> 5, (code & 31) << 8
        extra = packed[at : at + (2 if length == 7 else 1)]
        if len(extra) < (2 if length == 7 else 1):
            whole = False
            break
        at += len(extra)
        length += 2 + (extra[0] if length == 7 else 0)
        distance += extra[-1] + 1
        whole = distance <= len(out)
        for _ in range(length if whole else 0):
            out.append(out[-distance])
    result = np.zeros(size, np.uint8)
    assert lzf.decode(np.frombuffer(packed, np.uint8), result) == (whole and len(out) == size)
    if whole and len(out) == size:
        assert result.tobytes() == bytes(out)


@pytest.mark.parametrize("codec", ["gzip", "lzf", "zstd", "blosc"])
@pytest.mark.parametrize("size", [1, 31, 32, 1000, 65_535, 65_536, 131_072, 131_073, 300_000])
def test_what_a_codec_cannot_make_smaller_is_stored(codec: str, size: int, tmp_path: Path) -> None:
    """As a stream of the codec, which is longer, so that no filter is left out: libhdf5 undoes it, too."""
    data = noise(size)
    filters = codecs.filters_for(Storage(codec), 1, size)
    mask, payload = codecs.encode(data, filters, 1)
    assert mask == 0
    assert size + 4 < len(payload) <= size + size // 32 + 32
    out = np.empty_like(data)
    codecs.decode(payload, filters, 0, 1, out)
    assert out.tobytes() == data.tobytes()
    codecs.prepare_libhdf5(filters)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk((size,))
        for step in filters:
            creation.set_filter(step.id, step.flags, step.values)
        made = h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple((size,)), creation)
        made.write_direct_chunk((0,), payload)
        assert file["x"][()].tobytes() == data.tobytes()


def test_level_0_stores() -> None:
    for codec in ("gzip", "zstd"):
        mask, payload = codecs.encode(np.zeros(8000, np.uint8), codecs.filters_for(Storage(codec, 0), 8), 8)
        assert mask == 0
        assert 8004 < len(payload) < 8040, codec


@pytest.mark.parametrize("codec", ["gzip", "lzf", "blosc", "zstd", None])
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


@pytest.mark.parametrize("codec", ["gzip", "lzf", "blosc", "zstd"])
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


@pytest.mark.parametrize("filter_id", [1, 32000])
def test_compressed_bytes_as_many_as_the_elements_may_be_shuffled(filter_id: int) -> None:
    def packed(row: Any) -> bytes:
        room = np.empty(2 * row.size, np.uint8)
        return zlib.compress(row) if filter_id == 1 else room[: lzf.encode(row, room)].tobytes()

    rng = np.random.default_rng(0)
    rows = (rng.integers(0, limit, 120).astype(np.uint8) for limit in range(2, 256) for _ in range(40))
    row = next(row for row in rows if len(packed(row)) == row.size)
    steps = (codecs.Filter(filter_id, 0, (), ""), codecs.Filter(2, 0, (4,), "shuffle"))
    shuffled = np.frombuffer(packed(row), np.uint8).reshape(-1, 4).T.tobytes()
    for count in (1, 2):
        outs = [np.zeros(row.size, np.uint8) for _ in range(count)]
        pipeline.decode_pair([shuffled] * count, steps, 0, 1, outs)
        for out in outs:
            np.testing.assert_array_equal(out, row)


def test_unknown_wishes_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown codec 'zip'"):
        codecs.filters_for(Storage("zip"), 8)
    for level in (-1, 10):
        with pytest.raises(ValueError, match="level of gzip must be a whole number from 0 to 9, got"):
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
    plan = chunks.plan((20_000,), np.dtype("f8"), Storage(codec, 6 if codec not in (None, "lzf") else None))
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
    monkeypatch.setattr(plugin, "_function", lambda library, filter_id: None)
    assert codecs.encode(data, filters, 8) == direct
    assert not codecs.can_decode(filters)


# ---------------------------------------------------------------- sizes, on real data


def real_data(directory: Path) -> dict[str, Any]:
    """Spike times as seconds and as samples, intervals, and protein matrices."""
    found = {}
    for path in sorted((directory / "retina_mea").glob("*.h5"))[:4]:
        with h5py.File(path, "r") as file:
            seconds = file["spikes"][()]
        samples = (seconds * 20_000).astype(np.uint64)
        found |= {
            f"{path.stem} s": seconds,
            f"{path.stem} samples": samples,
            f"{path.stem} intervals": np.diff(samples),
        }
    for path in sorted((directory / "single_cell_proteomics").glob("*.h5ad")):
        matrix = np.asarray(anndata.read_h5ad(path).X, np.float64)
        found |= {path.stem: matrix, f"{path.stem} f4": matrix.astype(np.float32), f"{path.stem} T": matrix.T.copy()}
    for path in sorted((directory / "single_cell_proteomics").glob("*_data.csv")):
        found[path.stem] = np.genfromtxt(path, delimiter=",", skip_header=1)[:, 1:]
    return found


def stored_bytes(data: Any, level: int) -> int:
    plan = chunks.plan(data.shape, data.dtype, Storage("gzip", level, compress_small=True))
    assert plan is not None
    return sum(len(chunk.payload) for chunk in chunks.encode(data, plan))


def h5py_bytes(data: Any, level: int) -> int:
    plan = chunks.plan(data.shape, data.dtype, Storage("gzip", level, compress_small=True))
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
