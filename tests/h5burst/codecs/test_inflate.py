"""Zlib streams undone by our own code: as zlib does it, whoever made the stream, and nothing beyond the room given."""

from __future__ import annotations

import threading
import zlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h5burst import Storage, codecs
from h5burst._ext import inflate
from h5burst.arrays import chunks
from h5burst.codecs import deflate
from h5burst.runtime import simd

GUARD = 64  # bytes after the room, which must stay as they are
LEVELS = range(len(simd.available()))
STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED)


def geometric(size: int) -> np.ndarray[Any, Any]:
    """Bytes of which each is half as frequent as the one before: codes of up to 15 bits."""
    return np.minimum(np.random.default_rng(0).geometric(0.5, size), 255).astype(np.uint8)


def repeats(size: int) -> np.ndarray[Any, Any]:
    """Pieces of 3 to 300 bytes that were there 1 to 32 768 bytes before, amid noise: every kind of match."""
    rng = np.random.default_rng(1)
    data = bytearray(rng.integers(0, 256, 40, np.uint8).tobytes())
    while len(data) < size:
        distance = int(min(len(data), 1 << rng.integers(0, 16)) - rng.integers(0, 2)) or 1
        for _ in range(int(rng.integers(3, 300))):
            data.append(data[-distance])
        data += rng.integers(0, 256, int(rng.integers(0, 20)), np.uint8).tobytes()
    return np.frombuffer(bytes(data[:size]), np.uint8)


MADE = {
    "noise": lambda size: np.random.default_rng(2).integers(0, 256, size, np.uint8),
    "two values": lambda size: (np.random.default_rng(3).random(size) < 0.4).astype(np.uint8),
    "few values": lambda size: np.random.default_rng(4).integers(0, 5, size, np.uint8),
    "geometric": geometric,
    "repeats": repeats,
    "zeros": lambda size: np.zeros(size, np.uint8),
    "largest bytes": lambda size: np.full(size, 255, np.uint8),
    "rounded": lambda size: np.random.default_rng(5).normal(10, 3, size // 8 + 1).round(2).view(np.uint8)[:size],
}


def packed(data: Any, level: int = 4, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> np.ndarray[Any, Any]:
    packer = zlib.compressobj(level, zlib.DEFLATED, 15, 9, strategy)
    return np.frombuffer(packer.compress(bytes(data)) + packer.flush(), np.uint8)


def unpacked(stream: Any, room: int, level: int) -> bytes | str:
    """What becomes of a stream in memory of exactly that room; checked that nothing else is written."""
    memory = np.full(room + GUARD, 201, np.uint8)
    result = inflate.inflate(stream.copy(), memory[:room], level)
    assert (memory[room:] == 201).all()
    return result if isinstance(result, str) else memory[:result].tobytes()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", MADE)
def test_streams_of_zlib_come_back(kind: str, level: int) -> None:
    for size in (1, 300, 5_000, 400_000):
        data = MADE[kind](size)
        for strategy in STRATEGIES:
            stream = packed(data, 6, strategy)
            assert unpacked(stream, size, level) == data.tobytes(), (size, strategy)
        assert unpacked(packed(data, 0), size, level) == data.tobytes(), size


@pytest.mark.parametrize("level", LEVELS)
def test_streams_of_ours_come_back_two_at_once(level: int) -> None:
    datas = [make(200_000) for make in MADE.values()] + [np.zeros(0, np.uint8), MADE["few values"](100)]
    streams = [np.frombuffer(bytes(deflate.compress(data, 4, 1)), np.uint8) for data in datas[:-2]]
    streams += [packed(data) for data in datas[-2:]]
    numbers = [n for k in range(len(datas)) for n in (k, (3 * k + 1) % len(datas))]
    for first, second in pairwise(numbers):
        rooms = [np.full(datas[n].size + GUARD, 201, np.uint8) for n in (first, second)]
        found = inflate.inflate_both(streams[first], rooms[0][:-GUARD], streams[second], rooms[1][:-GUARD], level)
        assert found == (datas[first].size, datas[second].size)
        for room, n in zip(rooms, (first, second), strict=True):
            assert np.array_equal(room[:-GUARD], datas[n])
            assert (room[-GUARD:] == 201).all()


def test_a_damaged_stream_beside_a_good_one_costs_only_itself() -> None:
    good = MADE["rounded"](100_000)
    stream = packed(good)
    damaged = stream.copy()
    damaged[stream.size // 2 :] = 0
    for order in ((stream, damaged), (damaged, stream)):
        rooms = [np.empty(good.size, np.uint8) for _ in order]
        found = inflate.inflate_both(order[0], rooms[0], order[1], rooms[1], simd.level())
        for result, room, each in zip(found, rooms, order, strict=True):
            if each is stream:
                assert result == good.size
                assert np.array_equal(room, good)
            else:
                assert isinstance(result, str)


def as_zlib(stream: Any, room: int) -> bytes | None:
    """What zlib makes of a stream; None for an error, or more than there is room for."""
    unpacker = zlib.decompressobj()
    try:
        whole = unpacker.decompress(stream.tobytes(), room + 1)
    except zlib.error:
        return None
    return whole if unpacker.eof and len(whole) <= room else None


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("size", [40, 3_000])
def test_a_stream_cut_anywhere_or_with_too_little_room_is_refused(kind: str, size: int) -> None:
    data = MADE[kind](size)
    stream = packed(data)
    for length in {*range(0, min(stream.size, 60)), *range(0, stream.size, 37), stream.size - 1}:
        assert isinstance(unpacked(stream[:length], size, simd.level()), str), length
    for room in {0, 1, size // 2, size - 1}:
        assert isinstance(unpacked(stream, room, simd.level()), str), room
    assert unpacked(stream, size + 1000, simd.level()) == data.tobytes()


@given(
    st.sampled_from(sorted(MADE)),
    st.integers(1, 6_000),
    st.integers(0, 9),
    st.sampled_from(STRATEGIES),
    st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), max_size=4),
    st.sampled_from(LEVELS),
)
@settings(max_examples=400, deadline=None)
def test_a_changed_stream_is_what_zlib_says(
    kind: str, size: int, effort: int, strategy: int, changes: list[tuple[int, int]], level: int
) -> None:
    stream = packed(MADE[kind](size), effort, strategy).copy()
    for at, value in changes:
        stream[at % stream.size] = value
    expected = as_zlib(stream, size)
    found = unpacked(stream, size, level)
    assert found == expected or (expected is None and isinstance(found, str))


@given(st.binary(max_size=300), st.integers(0, 2_000))
@settings(max_examples=400, deadline=None)
def test_blocks_of_anything_are_what_zlib_says(blocks: bytes, room: int) -> None:
    """Behind a good header, so that block headers and codes are what is random; the checksum is wrong in both."""
    stream = np.frombuffer(b"\x78\x9c" + blocks, np.uint8)
    raw = zlib.decompressobj(-15)
    try:
        whole = raw.decompress(blocks, room + 1)
        is_whole = raw.eof and len(whole) <= room
    except zlib.error:
        is_whole = False
    found = unpacked(stream, room, simd.level())
    assert isinstance(found, str)
    if is_whole:  # then nothing but the checksum is wrong
        assert found == ("it is cut short" if len(raw.unused_data) < 4 else "its checksum is wrong")
    elif found == "its checksum is wrong":
        raise AssertionError("zlib refuses these blocks")


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_wrong_is_said(level: int) -> None:
    stream = packed(MADE["rounded"](20_000))
    for change, what in (
        ({0: 0x79}, "it is not a zlib stream"),
        ({1: 0xBB}, "it is not a zlib stream"),  # a dictionary that nobody has
        ({2: 0x07}, "a block is of no known kind"),
        ({-1: int(stream[-1]) ^ 1}, "its checksum is wrong"),
    ):
        damaged = stream.copy()
        for at, value in change.items():
            damaged[at] = value
        assert unpacked(damaged, 20_000, level) == what
    far = np.frombuffer(b"\x78\x9c\x4b\x04\x02\x02\x00" + bytes(8), np.uint8)  # "a", then three bytes from too far back
    assert as_zlib(far, 100) is None
    assert isinstance(unpacked(far, 100, level), str)


def test_two_thousand_mutated_streams_one_by_one_and_in_pairs() -> None:
    """Bits turned, bytes lost, added and moved, streams cut: the bytes of zlib, or an error where zlib has one."""
    rng = np.random.default_rng(20)
    kinds = sorted(MADE)
    last = (packed(MADE["rounded"](300)), 300, MADE["rounded"](300).tobytes())
    good = 0
    for case in range(2_000):
        data = MADE[kinds[case % len(kinds)]](int(rng.integers(1, 3_000)))
        stream = packed(data, int(rng.integers(0, 10)), STRATEGIES[int(rng.integers(0, len(STRATEGIES)))])
        for _ in range(int(rng.integers(0, 3))):
            stream = _mutated(stream, rng)
        room = data.size + int(rng.integers(-1, 2))
        expected = as_zlib(stream, room)
        good += expected is not None
        for level in LEVELS:
            found = unpacked(stream, room, level)
            assert found == expected or (expected is None and isinstance(found, str)), (case, level)
        rooms = [np.full(size + GUARD, 201, np.uint8) for size in (room, last[1])]
        pair = inflate.inflate_both(stream, rooms[0][:-GUARD], last[0], rooms[1][:-GUARD], LEVELS[case % len(LEVELS)])
        for result, memory, wanted in zip(pair, rooms, (expected, last[2]), strict=True):
            assert (memory[-GUARD:] == 201).all()
            assert isinstance(result, str) if wanted is None else memory[:result].tobytes() == wanted, case
        last = (stream, room, expected)
    assert 300 < good < 1_500


def _mutated(stream: Any, rng: np.random.Generator) -> Any:
    at = int(rng.integers(0, min(stream.size, 100 if rng.random() < 0.5 else stream.size)))
    match int(rng.integers(0, 5)):
        case 0:
            changed = stream.copy()
            changed[at] ^= 1 << rng.integers(0, 8)
            return changed
        case 1:
            return np.delete(stream, at) if stream.size > 1 else stream
        case 2:
            return np.insert(stream, at, int(rng.integers(0, 256))).astype(np.uint8)
        case 3:
            return stream[: max(1, at)].copy()
        case _:
            return np.concatenate([stream[:at], stream[int(rng.integers(0, stream.size)) :]])


CHUNK = 4_096  # elements


def _stored(damage: int | None = None) -> tuple[chunks.ChunkPlan, Any, dict[int, tuple[bytes, int]]]:
    """Twenty-one chunks of a dataset, some of them stored without the shuffle: its plan, values and chunks."""
    rng = np.random.default_rng(7)
    values = rng.integers(0, 9, 21 * CHUNK - 100).astype(np.float64)
    values[5 * CHUNK : 8 * CHUNK] = rng.normal(10, 3, 3 * CHUNK).round(2)
    filters = codecs.filters_for(Storage("gzip", 4), 8, 8 * CHUNK)
    plan = chunks.ChunkPlan(values.shape, values.dtype, (CHUNK,), filters[:-1])
    whole = np.zeros(21 * CHUNK)
    whole[: values.size] = values
    stored = {}
    for number in range(21):
        left_out = number % 7 > 4  # the shuffle, as other programs may, and the number of its filter
        part = whole[number * CHUNK :][:CHUNK].view(np.uint8)
        _, payload = codecs.encode(part, plan.filters[left_out:], 8)
        stored[number] = (bytes(payload), int(left_out))
    assert {mask for _, mask in stored.values()} == {0, 1}
    if damage is not None:
        payload, mask = stored[damage]
        stored[damage] = (payload[:40] + bytes(len(payload) - 40), mask)
    return plan, values, stored


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("missing", [None, 0, 1, 20])
def test_chunks_in_pairs_are_what_was_stored(threads: int, missing: int | None) -> None:
    plan, values, stored = _stored()
    memory = threading.local()

    def fetch(number: int) -> tuple[Any, int] | None:  # into the same memory each time, as files are read
        if number == missing:
            return None
        payload, mask = stored[number]
        memory.buffer = getattr(memory, "buffer", bytearray(1 << 16))
        memory.buffer[: len(payload)] = payload
        return memoryview(memory.buffer)[: len(payload)], mask

    out = np.full(values.shape, -1.0)
    chunks.read_into(fetch, plan, out, threads=threads)
    expected = values.copy()
    if missing is not None:
        expected[missing * CHUNK : (missing + 1) * CHUNK] = 0
    assert np.array_equal(out, expected)
    part = np.full(values.size - 1_100, -1.0)
    chunks.read_into(fetch, plan, part, [(1_000, values.size - 100)], threads=threads)
    assert np.array_equal(part, expected[1_000:-100])


@pytest.mark.parametrize("damage", [2, 3, 6, 20])
def test_a_damaged_chunk_of_a_pair_is_an_error(damage: int) -> None:
    plan, values, stored = _stored(damage)
    with pytest.raises(codecs.ChunkError, match="does not decompress"):
        chunks.read_into(stored.get, plan, np.empty(values.shape))
