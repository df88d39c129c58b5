"""Edits one after the other in one process: the next one takes over what the last one knew, if nobody was between."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, Storage
from h5burst._ext.h5parse import Source
from h5burst.format import object_header as oh
from h5burst.format import superblock
from h5burst.read.history import History
from h5burst.runtime import edit_locks
from h5burst.write import kept_state


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "a.h5"
    growing = Storage("gzip", chunks=(7, 2), maxshape=(None, 2))
    rows = Array(np.zeros((0, 2), np.int32), storage=growing)
    h5burst.write_tree(found, Group({"g": Group({"x": Array(np.arange(3))}), "rows": rows}))
    return found


def reads_of_headers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found, real = [], oh.decode

    def decode(source: Source, address: int, lost: object = None) -> oh.ObjectHeader:
        found.append(address)
        return real(source, address)

    monkeypatch.setattr(oh, "decode", decode)
    return found


def test_the_next_edit_reads_no_header_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = reads_of_headers(monkeypatch)
    for number in range(3):
        with h5burst.edit(path, f"edit {number}") as tx:
            tx.put("g/x", Array(np.arange(number)))
        assert bool(read) == (number == 0)
        read.clear()
    assert [one.message for one in h5burst.log(path)] == ["edit 2", "edit 1", "edit 0", None]
    with h5py.File(path) as file:
        assert file["g/x"][:].tolist() == [0, 1]


@pytest.mark.parametrize("change", ["in place", "grown", "touched", "replaced"])
def test_after_others_it_looks_again(path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    with h5burst.edit(path) as tx:
        tx.put("g/x", Array(np.arange(1)))
    if change == "touched":
        os.utime(path, ns=(1, 1))
    elif change == "replaced":
        h5burst.save(path, {"g": {"z": 1}}, overwrite=True)
    else:
        with h5py.File(path, "r+") as file:
            if change == "grown":
                file["g/y"] = np.arange(4)
            else:
                file["g/x"][0] = 77
    read = reads_of_headers(monkeypatch)
    with h5burst.edit(path) as tx:
        tx.put("g/new", Array(np.arange(2)))
    assert read
    with h5py.File(path) as file:
        expected = {"in place": "x new", "grown": "x y new", "touched": "x new", "replaced": "z new"}[change]
        assert set(file["g"]) == set(expected.split())
        if change == "in place":
            assert file["g/x"][0] == 77


def test_what_is_kept_is_what_is_in_the_file(path: Path) -> None:
    draw = np.random.default_rng(36)
    for number in range(60):
        with h5burst.edit(path, f"edit {number}", flush=False) as tx:
            tx.put(f"g/n{draw.integers(8)}", Array(draw.random(draw.integers(20))))
            tx.set_attributes("g", {f"a{draw.integers(4)}": None if draw.random() < 0.3 else number})
            tx.append("rows", draw.integers(0, 9, (draw.integers(4), 2), np.int32))
        (kept,) = [one for one in kept_state._kept.values() if one.stamp.inode == path.stat().st_ino]
        with path.open("rb") as stream:
            descriptor = stream.fileno()
            assert kept.start == superblock.read_whole(descriptor, path.stat().st_size)
            history = History(descriptor, str(path))
            known = kept.mark_ns, kept.trailer, kept.newest
            assert known == (history.mark_ns, history.trailer, history.newest)
            source = Source(descriptor, kept.start.end)
            for address, existing in kept.objects.items():
                assert oh.decode(source, address) == existing.header


@pytest.mark.parametrize(
    "options", [{"libver": "earliest"}, {"libver": "latest", "userblock_size": 512}], ids=["old", "user block"]
)
def test_files_of_others_are_taken_over_as_well(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "theirs.h5"
    with h5py.File(path, "w", **options) as file:
        file["g/x"] = np.arange(3)
    for number in range(4):
        with h5burst.edit(path, f"edit {number}") as tx:
            tx.put(f"g/n{number}", Array(np.arange(number)))
        (kept,) = [one for one in kept_state._kept.values() if one.stamp.inode == path.stat().st_ino]
        with path.open("rb") as stream:
            assert kept.start == superblock.read_whole(stream.fileno(), path.stat().st_size)
    with h5py.File(path) as file:
        assert sorted(file["g"]) == ["n0", "n1", "n2", "n3", "x"]
    for number in range(5):
        with h5burst.file_at(path, number) as state, h5py.File(state) as file:
            assert len(file["g"]) == 1 + number


def test_rows_of_incomplete_chunks_edit_by_edit(path: Path) -> None:
    draw, rows = np.random.default_rng(7), np.zeros((0, 2), np.int32)
    for number in range(40):
        new = draw.integers(0, 99, (draw.integers(1, 10), 2), np.int32)
        rows = np.concatenate([rows, new])
        with h5burst.edit(path, flush=False) as tx:
            tx.append("rows", new)
        if number % 11 == 10:  # somebody else has the last chunk in hand
            with h5py.File(path, "r+") as file:
                file["rows"][-1] = rows[-1] = -number
        with h5py.File(path) as file:
            assert np.array_equal(file["rows"][:], rows)


def test_many_rows_extend_the_index_node_by_node(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    storage = Storage(None, chunks=(1,), maxshape=(None,))
    h5burst.write_tree(path, Group({"rows": Array(np.zeros(0), storage=storage)}))
    for first in range(0, 5000, 250):
        with h5burst.edit(path, history=False, flush=False) as tx:
            tx.append("rows", np.arange(first, first + 250.0))
    for row in range(5000, 5300):
        with h5burst.edit(path, history=False, flush=False) as tx:
            tx.append("rows", np.array([float(row)]))
    with h5py.File(path) as file:
        assert np.array_equal(file["rows"][:], np.arange(5300))
    assert h5burst.verify(path) == []


def test_an_edit_that_failed_leaves_nothing_to_take_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def edit(name: str, length: int) -> None:
        with h5burst.edit(path) as tx:
            tx.put(name, Array(np.arange(length)))

    def is_full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    edit("g/x", 1)
    with monkeypatch.context() as patched:
        patched.setattr("h5burst.write.commit.flush_data", is_full)
        with pytest.raises(OSError, match="full"):
            edit("g/x", 2)
    edit("g/y", 3)
    with h5py.File(path) as file:
        assert [len(file[name]) for name in ("g/x", "g/y")] == [1, 3]


def test_no_more_files_are_kept_than_a_few(tmp_path: Path) -> None:
    for number in range(10):
        h5burst.save(tmp_path / f"{number}.h5", {"a": 1})
        with h5burst.edit(tmp_path / f"{number}.h5") as tx:
            tx.set_attributes((), {"b": 2})
    assert len(kept_state._kept) <= 4


def test_without_flush_nothing_waits_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    monkeypatch.setattr(os, "fdatasync", flushed.append)
    with h5burst.edit(path, flush=False) as tx:
        tx.put("g/x", Array(np.arange(5)))
    assert flushed == []
    with h5burst.edit(path) as tx:
        tx.put("g/x", Array(np.arange(6)))
    assert len(flushed) == 2


def test_who_waits_for_an_edit_keeps_no_libhdf5_writer_out(path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    first, second, third = (os.open(path, os.O_RDWR) for _ in range(3))
    try:
        assert edit_locks.hold(first, str(path)) is None
        fcntl.flock(first, fcntl.LOCK_UN)
        with pytest.raises(BlockingIOError):
            edit_locks.hold(second, str(path))
        fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as libhdf5 does
        os.close(first)
        first = os.open(path, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            edit_locks.hold(second, str(path))
        assert not edit_locks.others_wait(second)
        fcntl.flock(third, fcntl.LOCK_UN)
        assert edit_locks.hold(first, str(path)) is None  # the second holds nothing
    finally:
        for descriptor in (first, second, third):
            os.close(descriptor)
