"""Commits within one transaction: each is one for all others, and the transaction goes on from it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, Storage

FORK = multiprocessing.get_context("fork") if os.name != "nt" else None
WAY = "is edited as a copy, which is committed at the end of its block alone"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = Array(np.zeros((0, 2)), storage=Storage("gzip", chunks=(5, 2), maxshape=(None, 2)))
    h5burst.write_tree(tmp_path / "file.h5", Group({"g": Group({"x": Array(np.arange(3))}), "rows": rows}))
    return tmp_path / "file.h5"


def names(path: Path) -> list[str]:
    """As another process finds them with h5py, which shares a file that is open here."""
    program = "import sys, h5py\nwith h5py.File(sys.argv[1]) as file:\n    print(*file['g'])"
    return subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    ).stdout.split()


def test_others_see_each_commit_while_the_block_goes_on(path: Path) -> None:
    seen = h5burst.follow(path, since=0, timeout=0)
    with h5burst.edit(path, "recording") as tx:
        tx.put("g/a", Array(np.arange(1)))
        assert names(path) == ["x"]
        tx.commit("first")
        assert names(path) == ["a", "x"]
        group = tx["g"]
        assert isinstance(group, Group)
        assert sorted(group.children) == ["a", "x"]
        tx.put("g/b", Array(np.arange(2)))
        tx.remove("g/x")
        tx.commit()
        assert names(path) == ["a", "b"]
        tx.commit("nothing has changed")
        assert [(item.commit.message, item.paths) for item in seen] == [
            ("first", ("/g/a",)),
            ("recording", ("/g/b", "/g/x")),
        ]
        tx.message = "at the end"
        tx.put("g/c", Array(np.arange(3)))
    assert names(path) == ["a", "b", "c"]
    assert [one.message for one in h5burst.log(path)] == ["at the end", "recording", "first", None]
    for number, expected in enumerate([["x"], ["a", "x"], ["a", "b"], ["a", "b", "c"]]):
        with h5burst.file_at(path, number) as stream, h5py.File(stream) as file:
            assert sorted(file["g"]) == expected
    assert h5burst.verify(path, deep=True) == []


def test_what_fails_later_leaves_the_last_commit(path: Path) -> None:
    def fail() -> None:
        with h5burst.edit(path) as tx:
            tx.put("g/a", Array(np.arange(1)))
            tx.commit()
            tx.put("g/b", Array(np.arange(1)))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(path) == ["a", "x"]
    assert len(list(h5burst.log(path))) == 2


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
@pytest.mark.parametrize("history", [True, False])
def test_they_leave_the_bytes_that_edits_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libver: Any, history: bool
) -> None:
    edited, committed = tmp_path / "edits.h5", tmp_path / "commits.h5"
    with h5py.File(edited, "w", libver=(libver, "latest") if libver != "latest" else "latest") as file:
        file["g/x"] = np.arange(3)
        file["g/many"] = np.arange(700)
    with h5burst.edit(edited, history=history) as tx:
        storage = Storage("gzip", chunks=(7, 2), maxshape=(None, 2))
        tx.put("rows", Array(np.zeros((0, 2), np.int32), storage=storage))
        tx.put("all", Group({f"n{number}": Array(np.array(number)) for number in range(600)}))
    shutil.copy2(edited, committed)
    start, clock = time.time_ns() + 10**9, iter(range(0))
    monkeypatch.setattr("h5burst.write.commit.time.time_ns", lambda: next(clock))

    def changes(tx: h5burst.Transaction, draw: np.random.Generator) -> None:
        tx.put(f"g/n{draw.integers(8)}", Array(draw.random(draw.integers(20))))
        tx.put(f"all/n{draw.integers(1200)}", Array(draw.random(3)))
        tx.remove(f"all/n{draw.integers(600)}")
        tx.set_attributes("g", {f"a{draw.integers(4)}": None if draw.random() < 0.3 else int(draw.integers(9))})
        for _ in range(2):
            tx.append("rows", draw.integers(0, 9, (draw.integers(9), 2), np.int32))

    draw, clock = np.random.default_rng(3), iter(range(start, 2 * start, 10**6))
    for _ in range(25):
        with h5burst.edit(edited, "a step", flush=False, history=history) as tx:
            changes(tx, draw)
    draw, clock = np.random.default_rng(3), iter(range(start, 2 * start, 10**6))
    with h5burst.edit(committed, "a step", flush=False, history=history) as tx:
        for _ in range(25):
            changes(tx, draw)
            tx.commit()
    assert len(list(h5burst.log(committed))) == (27 if history else 1)
    assert edited.read_bytes() == committed.read_bytes()


def test_rows_and_sources_of_the_file_itself(path: Path) -> None:
    draw, rows, made = np.random.default_rng(5), np.zeros((0, 2)), np.zeros((0, 2))
    with h5burst.edit(path, "rows", flush=False) as tx:
        for number in range(30):
            new = draw.random((draw.integers(1, 9), 2))
            rows = np.concatenate([rows, new])
            tx.append("rows", new)
            array = tx["g/x"]
            assert isinstance(array, Array)
            tx.put(f"g/copy{number}", Array(array.data if number < 20 else h5burst.open(path)["g/x"]))
            tx.commit()
            with h5burst.open(path) as file:
                assert np.array_equal(file["rows"][:], rows)
                assert file[f"g/copy{number}"][:].tolist() == [0, 1, 2]
            if number % 7 == 3:  # a dataset that was made since the block began
                tx.put("made", Array(np.zeros((2, 2)), storage=Storage(chunks=(3, 2), maxshape=(None, 2))))
                tx.commit()
                tx.append("made", new)
                made = new
    with h5py.File(path) as file:
        assert np.array_equal(file["rows"][:], rows)
        assert np.array_equal(file["made"][2:], made)
    assert h5burst.verify(path, deep=True) == []


@pytest.mark.skipif(FORK is None, reason="forks")
@pytest.mark.parametrize("locking", ["TRUE", "FALSE"])
def test_other_writers_stay_out_between_commits(path: Path, monkeypatch: pytest.MonkeyPatch, locking: str) -> None:
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", locking)

    def try_to(work: Any, queue: Any) -> None:
        try:
            work()
        except OSError as error:
            queue.put(type(error).__name__)
        else:
            queue.put("done")

    def told(work: Any) -> str:
        assert FORK is not None
        queue = FORK.SimpleQueue()
        process = FORK.Process(target=try_to, args=(work, queue))
        process.start()
        process.join()
        return str(queue.get())

    with h5burst.edit(path) as tx:
        for number in range(2):
            tx.set_attributes((), {"a": number})
            tx.commit()
            assert told(lambda: h5burst.edit(path)) == "BlockingIOError"
            assert told(lambda: tx.commit()) == "OSError"  # in a child
            if locking == "TRUE":
                assert told(lambda: h5py.File(path, "r+")) == "BlockingIOError"
    assert told(lambda: h5burst.edit(path)) == "done"


@pytest.mark.parametrize("change", ["in place", "touched", "replaced"])
def test_who_takes_no_lock_is_noticed_between_commits(path: Path, change: str) -> None:
    tx = h5burst.edit(path)
    tx.put("g/a", Array(np.arange(1)))
    tx.commit()
    content = path.read_bytes()
    time.sleep(0.01)  # file systems' clocks are coarse
    if change == "touched":
        os.utime(path)
    elif change == "in place":
        with path.open("r+b") as stream:
            stream.seek(len(content) // 2)
            stream.write(content[len(content) // 2 :][:1])
    else:
        path.with_name("other.h5").write_bytes(content)
        path.with_name("other.h5").replace(path)
    tx.put("g/b", Array(np.arange(1)))
    with pytest.raises(OSError, match="the file was changed by others"):
        tx.commit()
    assert path.read_bytes() == content
    with pytest.raises(ValueError, match="has ended"):
        tx.put("g/c", Array(np.arange(1)))
    with h5burst.edit(path) as tx:  # nothing is held any more
        tx.put("g/d", Array(np.arange(1)))
    assert names(path) == ["a", "d", "x"]


@pytest.mark.parametrize("at_flush", [0, 1])
def test_a_commit_that_fails_ends_the_transaction(path: Path, monkeypatch: pytest.MonkeyPatch, at_flush: int) -> None:
    flushes = []

    def is_full(descriptor: int) -> None:
        flushes.append(descriptor)
        if len(flushes) > at_flush:
            raise OSError(errno.ENOSPC, "full")

    with h5burst.edit(path) as tx:
        tx.put("g/a", Array(np.arange(1)))
        tx.commit()
        with path.open("rb") as stream, monkeypatch.context() as patched:
            before = stream.read(48)
            tx.put("g/b", Array(np.arange(1)))
            patched.setattr("h5burst.write.commit.flush_data", is_full)
            with pytest.raises(OSError, match="the disk is full"):
                tx.commit()
            stream.seek(0)
            assert stream.read(48) == before
        with pytest.raises(ValueError, match="has ended"):
            tx.put("g/c", Array(np.arange(1)))
    assert names(path) == ["a", "x"]
    assert h5burst.verify(path) == []
    with h5burst.edit(path) as tx:
        tx.put("g/d", Array(np.arange(1)))
    assert names(path) == ["a", "d", "x"]


def test_rows_after_a_commit_that_failed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was known of the index when it failed is not taken for what is in the file."""
    numbers = np.arange(1200.0).reshape(-1, 2)
    storage = Storage(None, chunks=(1, 2), maxshape=(None, 2))
    with h5burst.edit(path) as tx:
        tx.put("plain", Array(numbers[:300], storage=storage))

    def is_full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    with h5burst.edit(path) as tx:
        tx.append("plain", numbers[300:301])
        tx.commit()
        tx.append("plain", np.zeros((7, 2)))
        with monkeypatch.context() as patched:
            patched.setattr("h5burst.write.commit.flush_data", is_full)
            with pytest.raises(OSError, match="the disk is full"):
                tx.commit()
    for first in range(301, 600):
        with h5burst.edit(path, flush=False) as tx:
            tx.append("plain", numbers[first : first + 1])
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["plain"], numbers)


def test_a_commit_looks_at_the_file_three_times(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it writes, before the superblock, and behind it: each look takes as long as a page of Python."""
    looks: list[str] = []
    stat, fstat = os.stat, os.fstat
    with h5burst.edit(path, flush=False) as tx:
        tx.put("g/a", Array(np.arange(1)))
        tx.commit()
        tx.put("g/b", Array(np.arange(1)))
        monkeypatch.setattr(os, "stat", lambda *args, **options: looks.append("stat") or stat(*args, **options))
        monkeypatch.setattr(os, "fstat", lambda *args: looks.append("fstat") or fstat(*args))
        tx.commit()
        assert looks == ["stat", "stat", "fstat"]
        monkeypatch.undo()
    assert names(path) == ["a", "b", "x"]


def test_flushes_are_those_of_the_edit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    monkeypatch.setattr(os, "fdatasync", flushed.append)
    for flush in (True, False):
        with h5burst.edit(path, flush=flush) as tx:
            for number in range(3):
                tx.put("g/x", Array(np.arange(number)))
                tx.commit()
    assert len(flushed) == 6


def test_a_copy_is_committed_at_the_end_alone(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["reference"] = file["g/x"].ref
    with h5burst.edit(path) as tx:
        tx.put("g/a", Array(np.arange(1)))
        with pytest.raises(OSError, match=WAY) as caught:
            tx.commit()
        assert caught.value.errno == errno.ENOTSUP
        assert names(path) == ["x"]
        tx.put("g/b", Array(np.arange(1)))
    assert names(path) == ["a", "b", "x"]


def test_what_needs_a_copy_after_a_commit(path: Path) -> None:
    with h5py.File(path, "r+", libver="latest") as file:
        file["soft"] = h5py.SoftLink("/g")
    with h5burst.edit(path) as tx:
        tx.put("g/a", Array(np.arange(1)))
        tx.commit()
        tx.put("g/b", Array(np.arange(1)))
        tx.put("soft/c", Array(np.arange(1)))
        assert tx.way == "copy"
        with pytest.raises(OSError, match=WAY):
            tx.commit()
        assert names(path) == ["a", "x"]
    assert names(path) == ["a", "b", "c", "x"]


def test_a_message_is_checked_before_anything_is_done(path: Path) -> None:
    with h5burst.edit(path) as tx:
        tx.put("g/a", Array(np.arange(1)))
        with pytest.raises(ValueError, match="at most 4096 bytes"):
            tx.commit("m" * 5000)
        with pytest.raises(TypeError):
            tx.commit(3)  # type: ignore[arg-type]
        assert names(path) == ["x"]
    assert names(path) == ["a", "x"]
    with pytest.raises(ValueError, match="has ended"):
        tx.commit()


def test_without_a_history_there_is_none_after_commits(path: Path) -> None:
    with h5burst.edit(path, history=False) as tx:
        for number in range(3):
            tx.put(f"g/{number}", Array(np.arange(1)))
            tx.commit("not kept")
    assert [one.message for one in h5burst.log(path)] == [None]
    assert names(path) == ["0", "1", "2", "x"]
