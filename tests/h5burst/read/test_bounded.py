"""Reading, checking and describing any file takes steps and memory in proportion to its size: counted, not timed.

A step is a call of a function, of Python or of C, as the interpreter's profiler sees it.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, CorruptFileError, Group
from h5burst._ext.h5parse import Source
from h5burst.model.errors import CorruptStructureError

STEPS_A_BYTE, MIN_STEPS = 8, 20_000
MEMORY_A_BYTE, MIN_MEMORY = 60, 24 << 20


def read_lazily(path: Path) -> None:
    for _, node in h5burst.read_tree(path, lazy=True).walk():
        with contextlib.suppress(CorruptFileError):
            if isinstance(node, Array) and node.data is not None and node.data.nbytes < 1 << 24:
                np.asarray(node.data)


WAYS: dict[str, Callable[[Path], Any]] = {"read": h5burst.read_tree, "lazy": read_lazily, "verify": h5burst.verify}


def steps_of(way: Callable[[Path], Any], path: Path) -> int:
    """How many functions are called; an error of the contract ends the count, any other is raised."""
    counted = 0

    def count(frame: Any, event: str, arg: Any) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        with contextlib.suppress(OSError):
            way(path)
    finally:
        sys.setprofile(None)
    return counted


def peak_of(way: Callable[[Path], Any], path: Path) -> int:
    tracemalloc.start()
    try:
        with contextlib.suppress(OSError):
            way(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def assert_bounded(path: Path, what: Any = "", ways: tuple[str, ...] = tuple(WAYS)) -> None:
    size = path.stat().st_size
    for name in ways:
        assert steps_of(WAYS[name], path) <= MIN_STEPS + STEPS_A_BYTE * size, (name, what)


# ---------------------------------------------------------------- honest files


def old_groups(path: Path, groups: int) -> None:
    with h5py.File(path, "w", libver="earliest") as file:
        for number in range(groups):
            group = file.create_group(f"group {number}")
            group["numbers"], group.attrs["text"] = np.arange(3), "abc"
            group["link"] = h5py.SoftLink(f"/group {(number + 1) % groups}/numbers")


def new_groups(path: Path, groups: int) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(groups):
            group = file.create_group(f"group {number}")
            group["numbers"], group.attrs["text"] = np.arange(3), "abc"
            for more in range(12):
                group.attrs[f"attribute {more}"] = more


def chunks(path: Path, groups: int) -> None:
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_dataset("data", data=np.arange(16 * groups), chunks=(16,), maxshape=(None,), compression=1)


def chain(path: Path, groups: int) -> None:
    """Soft links each of which leads to the next."""
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(groups):
            file[f"a{number}"] = h5py.SoftLink(f"/a{number + 1}")
        file[f"a{groups}"] = 1


def one_path(path: Path, groups: int) -> None:
    """Two links through each of many groups: as many paths as two to the power of their number."""
    with h5py.File(path, "w", libver="latest") as file:
        group = file
        for _ in range(min(groups, 100)):
            group = group.create_group("left")
            group.parent["right"] = group
            group.parent["soft"] = h5py.SoftLink("left")


@pytest.mark.parametrize("make", [old_groups, new_groups, chunks, chain, one_path])
def test_steps_grow_as_the_file_does(make: Callable[[Path, int], None], tmp_path: Path) -> None:
    small, large = tmp_path / "small.h5", tmp_path / "large.h5"
    make(small, 60)
    make(large, 480)
    for name in ("read", "verify") if make is one_path else WAYS:  # a walk over a lazy tree goes all paths
        few, many = steps_of(WAYS[name], small), steps_of(WAYS[name], large)
        assert many <= 1.4 * 8 * few + MIN_STEPS, (name, few, many)


def test_empty_arrays_take_no_more_steps_than_short_ones(tmp_path: Path) -> None:
    """Half the trials of a recording of few spikes hold none."""
    paths = []
    for elements in (0, 1):
        paths.append(tmp_path / f"{elements}.h5")
        h5burst.write_tree(paths[-1], Group({f"a{number}": Array(np.arange(elements)) for number in range(200)}))
    empty, short = (steps_of(h5burst.read_tree, path) for path in paths)
    assert empty <= short + 100, (empty, short)
    for node in h5burst.read_tree(paths[0]).children.values():
        assert isinstance(node, Array)
        assert node.data is not None
        assert (node.data.shape, node.data.dtype) == ((0,), np.int64)
        assert np.asarray(node.data).flags.writeable


def test_a_long_chain_of_soft_links_leads_nowhere_and_its_end_somewhere(tmp_path: Path) -> None:
    """libhdf5 follows 16 soft links one after another."""
    chain(tmp_path / "a.h5", 3000)
    with h5py.File(tmp_path / "a.h5") as file:
        followed = {name for name in file if is_found(file, name)}
    for lazy in (False, True):
        tree = h5burst.read_tree(tmp_path / "a.h5", lazy=lazy)
        assert set(tree.children) == followed
    assert len(followed) == 17


def is_found(file: h5py.File, name: str) -> bool:
    try:
        return file[name] is not None
    except (RuntimeError, KeyError):
        return False


# ---------------------------------------------------------------- dishonest ones


def pointers(data: bytes) -> tuple[list[int], list[int]]:
    """Where structures of the old format begin, and the places that point to one."""
    signatures = (b"TREE", b"SNOD", b"HEAP")
    starts = [at for at in range(0, len(data) - 8, 8) if data[at : at + 4] in signatures or _is_header(data, at)]
    known = {at.to_bytes(8, "little") for at in starts}
    return starts, [at for at in range(0, len(data) - 8, 8) if data[at : at + 8] in known]


def _is_header(data: bytes, at: int) -> bool:
    """Version 1, and one link to it."""
    return data[at : at + 2] == b"\1\0" and data[at + 4 : at + 8] == b"\1\0\0\0"


def test_mutants_of_old_groups_are_read_in_bounded_steps(tmp_path: Path) -> None:
    """Their structures carry no checksums: pointers lead anywhere, counts say anything."""
    good, bad = tmp_path / "good.h5", tmp_path / "bad.h5"
    old_groups(good, 8)
    data, rng = good.read_bytes(), random.Random(7)
    starts, places = pointers(data)
    assert len(places) > 40
    for number in range(60):
        changed = bytearray(data)
        for _ in range(rng.choice([1, 2, 4, 16])):
            if rng.random() < 0.6:
                at = rng.choice(places)
                changed[at : at + 8] = rng.choice(starts).to_bytes(8, "little")
            else:
                changed[rng.randrange(len(data))] = rng.choice([0, 1, 2, 0x7F, 0xFF, rng.randrange(256)])
        bad.write_bytes(changed)
        assert_bounded(bad, number)


@pytest.mark.parametrize("kind", ["every group is the largest", "every header goes on in the largest"])
def test_structures_that_are_shared_are_not_read_for_ever(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        for number in range(200):
            file.create_group(f"g{number}")
        large = file.create_group("large")
        for number in range(600):
            large[f"member {number:04} {'x' * 40}"] = h5py.SoftLink("/g1")
        for number in range(100):
            large.attrs[f"attribute {number}"] = "x" * 200
    data = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        headers = {name: h5py.h5o.get_info(file[name].id).addr for name in file}
    target = headers.pop("large")
    body = bytes(data[target + 16 : target + 40])
    for at in headers.values():
        if kind.startswith("every group"):
            found = data.find(b"\x11\x00\x10\x00", target, target + 4000)
            data[at + 16 : at + 40] = data[found : found + 24] if found > 0 else body
        else:
            length = int.from_bytes(data[target + 8 : target + 12], "little")
            data[at + 16 : at + 24] = b"\x10\x00\x10\x00\x00\x00\x00\x00"
            data[at + 24 : at + 40] = (target + 16).to_bytes(8, "little") + length.to_bytes(8, "little")
    path.write_bytes(data)
    assert_bounded(path, ways=("read", "verify"))  # a walk over a lazy tree goes all paths


def test_structures_may_take_16_times_the_length_of_the_file_and_a_mebibyte(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(10_000))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        source = Source(descriptor, 10_000)
        for _ in range((16 * 10_000 + (1 << 20)) // 1000):
            source.read(0, 1000)
        with pytest.raises(CorruptStructureError, match="its structures overlap: together they are many times as long"):
            source.read(0, 1000)
    finally:
        os.close(descriptor)


GROWING = {"chunks": (1000,), "maxshape": (None,)}  # whose index has no room for chunks that were never written
BOMBS: dict[str, Callable[[h5py.File], Any]] = {
    "text": lambda file: file.create_dataset("t", (1 << 27,), h5py.string_dtype(), **GROWING),
    "many texts": lambda file: [
        file.create_dataset(f"t{n}", (45_000_000,), h5py.string_dtype(), **GROWING) for n in range(40)
    ],
    "fill values": lambda file: file.create_dataset("f", (1 << 40,), "i4", fillvalue=7, **GROWING),
    "contiguous fill values": lambda file: file.create_dataset("c", (1 << 50,), "f8", fillvalue=7),
    "a sparse dataset": lambda file: file.create_dataset("s", (1 << 60,), "i4", fillvalue=7, **GROWING).__setitem__(
        5, 1
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_was_never_written_takes_neither_memory_nor_steps(bomb: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        BOMBS[bomb](file)
    assert path.stat().st_size < 30_000
    assert_bounded(path)
    for name in ("lazy", "verify") if bomb == "many texts" else WAYS:  # of many, one GiB is read
        assert peak_of(WAYS[name], path) <= MIN_MEMORY + MEMORY_A_BYTE * path.stat().st_size
    with pytest.raises(CorruptFileError, match=r"a\.h5: .*(never written|no memory holds).*lazily"):
        h5burst.read_tree(path)
    assert h5burst.verify(path) == []  # it is sound


def test_datasets_of_fill_values_share_one_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("h5burst.read.elements._MIN_UNWRITTEN", 1 << 24)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for number in range(50):
            file.create_dataset(f"t{number}", (1 << 21,), "u1", fillvalue=1)
    with pytest.raises(CorruptFileError) as caught:
        h5burst.read_tree(path)
    assert len(caught.value.problems) == 42  # eight are read


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("deep", [False, True])
def test_a_pipe_keeps_nobody_waiting(deep: bool, tmp_path: Path) -> None:
    """Neither as the file itself nor as one that a file names."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="pipe is not a regular file"):
        h5burst.verify(pipe, deep=deep)
    assert not h5burst.is_hdf5(pipe)
    assert not h5burst.is_hdf5(tmp_path)
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_external(bytes(pipe), 0, 24)
    layout = h5py.VirtualLayout((3,), "i8")
    layout[:] = h5py.VirtualSource("pipe", "x", (3,))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(3)
        file["link"] = h5py.ExternalLink("pipe", "/x")
        h5py.h5d.create(file.id, b"raw", h5py.h5t.NATIVE_INT64, h5py.h5s.create_simple((3,)), creation)
        file.create_virtual_dataset("virtual", layout)
    tree = h5burst.read_tree(tmp_path / "a.h5", lazy=True)
    assert list(tree.children) == ["raw", "virtual", "x"]
    found = h5burst.verify(tmp_path / "a.h5", deep=deep)
    assert [(problem.path, "pipe is not a regular file" in problem.message) for problem in found] == [
        ("/raw", True),
        ("/virtual", True),
    ]
