"""Chunks that others write again, as many bytes as they had: libhdf5 then keeps the filter mask of the old ones."""

from __future__ import annotations

import contextlib
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, Storage, accelerate
from h5burst.accelerate import takeover

RNG = np.random.default_rng(18)
CHUNK = 8192  # elements
COUNT = 3  # chunks
NOISE = RNG.integers(0, 1 << 32, COUNT * CHUNK, np.uint32)
ZEROS = np.where(RNG.random(COUNT * CHUNK) < 0.6, 0, RNG.normal(20, 3, COUNT * CHUNK))
CASES = pytest.mark.parametrize("data", [NOISE, ZEROS], ids=["noise", "zeros"])
GZIP = {"chunks": (CHUNK,), "compression": "gzip", "shuffle": True, "fletcher32": True}


class Trial(contextlib.ExitStack):
    """A dataset in memory with the filters of another, which tells how long its only chunk gets."""

    def __init__(self, like: h5py.Dataset) -> None:
        super().__init__()
        file = self.enter_context(h5py.File(f"{id(self)}.h5", "w", driver="core", backing_store=False))
        self.noise = np.random.default_rng(1).integers(0, 256, like.chunks[0] * like.dtype.itemsize, np.uint8)
        self.dtype = like.dtype
        space = h5py.h5s.create_simple(like.chunks)
        self.made = h5py.Dataset(h5py.h5d.create(file.id, b"x", like.id.get_type(), space, like.id.get_create_plist()))

    def elements(self, count: int, bits: int) -> Any:
        """Random bytes, some of their bits, and zeros behind."""
        data = self.noise & ((1 << bits) - 1)
        data[count:] = 0
        return data.view(self.dtype)

    def size(self, data: Any) -> int:
        self.made[:] = data
        self.made.flush()
        return int(self.made.id.get_chunk_info(0).size)

    def of_size(self, wanted: int) -> Any:
        """Elements of which libhdf5 makes just so many bytes by all filters; None where none were found."""
        for bits in (8, 7, 6, 5):
            low, high = 0, self.noise.size
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if self.size(self.elements(middle, bits)) < wanted else (low, middle)
            for count in range(max(0, low - 40), min(self.noise.size, low + 40) + 1):
                data = self.elements(count, bits)
                if self.size(data) == wanted and not self.made.id.get_chunk_info(0).filter_mask:
                    return data
        return None


def chunks_of(dataset: h5py.Dataset) -> list[Any]:
    return [dataset.id.get_chunk_info(number) for number in range(dataset.id.get_num_chunks())]


def check(path: Path, expected: Any) -> None:
    with h5py.File(path) as file, h5burst.open(path) as ours:
        assert file["x"][()].tobytes() == expected.tobytes()
        assert ours["x"][()].tobytes() == expected.tobytes()
    assert h5burst.verify(path) == []


def rewritten(path: Path) -> int:
    """Let h5py write other elements to every chunk, of which it makes as many bytes. Returns for how many there are."""
    count = 0
    with h5py.File(path, "r+") as file:
        made = file["x"]
        expected, before = made[()], chunks_of(made)
        with Trial(made) as trial:
            for chunk in before:
                data, start = trial.of_size(chunk.size), chunk.chunk_offset[0]
                if data is not None:
                    made[start : start + CHUNK] = expected[start : start + CHUNK] = data
                    count += 1
        file.flush()
        assert [chunk.size for chunk in chunks_of(made)] == [chunk.size for chunk in before]
    check(path, expected)
    return count


@pytest.mark.parametrize("codec", ["gzip", "lzf", "zstd", "blosc"])
@CASES
def test_of_a_saved_file(tmp_path: Path, data: Any, codec: str) -> None:
    path = tmp_path / "x.h5"
    storage = Storage(codec, chunks=(CHUNK,))
    h5burst.write_tree(path, Group({"x": Array(data, storage=storage)}))
    with h5py.File(path) as file:
        assert {chunk.filter_mask for chunk in chunks_of(file["x"])} == {0}
    check(path, data)
    assert rewritten(path) == COUNT or codec != "gzip"


@CASES
def test_of_an_edited_file(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file["other"] = 1
    with h5burst.edit(path) as tx:
        tx.put("x", Array(data, storage=Storage("gzip", chunks=(CHUNK,))))
    assert rewritten(path) == COUNT


def put(made: h5py.Dataset, data: Any, is_accelerated: bool) -> None:
    if is_accelerated:
        with accelerate.enabled():
            made[...] = data
    else:
        h5burst.compress_into(made, data)


@pytest.mark.parametrize("is_accelerated", [False, True])
@CASES
def test_of_a_dataset_that_h5py_made(
    tmp_path: Path, data: Any, is_accelerated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "_threshold", 1)
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        put(file.create_dataset("x", data.shape, data.dtype, **GZIP), data, is_accelerated)
    check(path, data)
    assert rewritten(path) == COUNT


@CASES
def test_of_a_copy(tmp_path: Path, data: Any) -> None:
    source, path = tmp_path / "source.h5", tmp_path / "x.h5"
    with h5py.File(source, "w") as file:
        file.create_dataset("x", data=data, chunks=(CHUNK,))
    h5burst.repack(source, path, compression="gzip")
    check(path, data)
    assert rewritten(path) == COUNT


def marked(path: Path, data: Any) -> None:
    """As earlier versions wrote it: shuffle is left out of chunks that get smaller so, gzip of those that do not."""
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        made = file.create_dataset("x", data.shape, data.dtype, **(GZIP | {"fletcher32": False}))
        for number in range(COUNT):
            part = data[number * CHUNK :][:CHUNK].tobytes()
            mask, payload = (1, zlib.compress(part)) if number else (3, part)
            made.id.write_direct_chunk((number * CHUNK,), payload, mask)


@pytest.mark.parametrize("verb", ["compact", "repack", "repack with gzip", "salvage"])
@CASES
def test_of_a_copy_of_a_file_of_earlier_versions(tmp_path: Path, data: Any, verb: str) -> None:
    path, copy = tmp_path / "x.h5", tmp_path / "copy.h5"
    marked(path, data)
    if verb == "compact":
        h5burst.compact(path)
        path.rename(copy)
    elif verb == "salvage":
        h5burst.salvage(path, copy)
    else:
        h5burst.repack(path, copy, **({"compression": "gzip"} if "gzip" in verb else {}))
    check(copy, data)
    with h5py.File(copy) as file:
        assert {chunk.filter_mask for chunk in chunks_of(file["x"])} == {0}
    assert rewritten(copy) == COUNT


@pytest.mark.parametrize("is_accelerated", [False, True])
@CASES
def test_by_ours(tmp_path: Path, data: Any, is_accelerated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of chunks that are as long as ours get, and marked."""
    monkeypatch.setattr(takeover, "_threshold", 1)
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        put(file.create_dataset("x", data.shape, data.dtype, **GZIP), data, is_accelerated)
        sizes = [chunk.size for chunk in chunks_of(file["x"])]
        del file["x"]
        made = file.create_dataset("x", data.shape, data.dtype, **GZIP)
        for number, size in enumerate(sizes):
            made.id.write_direct_chunk((number * CHUNK,), bytes(size), 1)
        put(made, data, is_accelerated)
        assert [(chunk.size, chunk.filter_mask) for chunk in chunks_of(made)] == [(size, 0) for size in sizes]
    check(path, data)
