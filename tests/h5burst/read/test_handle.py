"""Files that are kept open between reads: when, how many, what others may do meanwhile, and in which state."""

from __future__ import annotations

import itertools
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, LazyArray
from h5burst.format.superblock import read_whole
from h5burst.read.handle import FileHandle, State
from h5burst.read.lazy import open_tree
from support.openings import counting_opens

posix = pytest.mark.skipif(os.name == "nt", reason="Windows keeps nothing open")
lists_descriptors = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are not listed")
ROWS = np.arange(4000.0).reshape(1000, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file["rows"], file["group/more"] = ROWS, np.arange(5)
        file.create_dataset("packed", data=ROWS, chunks=(100, 4), compression="gzip")
    return path


def through_pickle(array: Any) -> Any:
    return pickle.loads(pickle.dumps(array))  # noqa: S301 - what was written here


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


KEYS = [(), ..., 0, -1, np.int64(1), slice(None), slice(1, 3), slice(2, 0), slice(None, None, 2), slice(-2, None)]
KEYS += [slice(5, 9), 7, -9, True]


@posix
@pytest.mark.parametrize("dtype", ["i4", ">i4", "c8"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (0, 3), ()])
def test_slices_of_a_kept_array_are_those_of_numpy(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    whole = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=whole)
    with h5burst.open(tmp_path / "a.h5") as opened:
        array = opened["a"]
        assert np.array_equal(array[...], whole)
        for key in itertools.chain.from_iterable(itertools.product(KEYS, repeat=count) for count in range(4)):
            try:
                expected: Any = whole[key]
            except IndexError:
                with pytest.raises(IndexError):
                    array[key]
                continue
            found = array[key]
            assert type(found) is type(expected), key
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape), key
            assert np.array_equal(found, expected), key


@posix
def test_slices_of_rows_of_a_kept_array_look_at_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5burst.open(path) as file:
        rows = file["rows"]
        assert rows[3, 1] == ROWS[3, 1]  # finds where they are
        monkeypatch.setattr(LazyArray, "_reader", None)
        assert np.array_equal(rows[5, 1:3], ROWS[5, 1:3])
        assert np.array_equal(rows[10:200], ROWS[10:200])
        assert rows[-1, -1] == ROWS[-1, -1]


@posix
def test_an_open_file_is_opened_once_however_much_is_read(path: Path) -> None:
    with counting_opens() as opens, h5burst.open(path) as file:
        rows, packed = file["rows"], file["packed"]
        for number in range(20):
            assert np.array_equal(rows[number], ROWS[number])
            assert np.array_equal(packed[40 * number], ROWS[40 * number])
        assert list(file["group"]) == ["more"]
        assert file["group/more"][-1] == 4
    assert opens["a.h5"] == 1


@lists_descriptors
@pytest.mark.parametrize("end", ["close", "with", "forgotten"])
def test_nothing_is_held_after_close(path: Path, end: str) -> None:
    before = descriptors()
    file = h5burst.open(path)
    rows = file["rows"]
    assert rows[3, 1] == ROWS[3, 1]
    assert descriptors() == before + 1
    if end == "close":
        file.close()
    elif end == "with":
        with file:
            pass
    else:
        del file
        assert rows[4, 1] == ROWS[4, 1]  # the array still has the handle
        del rows
    assert descriptors() == before


@lists_descriptors
def test_arrays_of_a_closed_file_open_it_for_each_read(path: Path) -> None:
    with h5burst.open(path) as file:
        rows = file["rows"]
    before = descriptors()
    assert np.array_equal(rows[5], ROWS[5])
    assert descriptors() == before


@lists_descriptors
def test_few_files_are_kept_open(tmp_path: Path) -> None:
    before = descriptors()
    files = []
    for number in range(30):
        h5burst.save(tmp_path / f"{number}.h5", {"x": np.arange(3) + number})
        files.append(h5burst.open(tmp_path / f"{number}.h5"))
    assert descriptors() <= before + 8
    for _ in range(2):
        assert [int(file["x"][0]) for file in files] == list(range(30))
    for file in files:
        file.close()
    assert descriptors() == before


def test_others_may_write_between_two_reads_and_are_noticed(path: Path) -> None:
    with h5burst.open(path) as file:
        rows = file["rows"]
        assert rows[0, 0] == 0
        with h5py.File(path, "r+") as other:  # takes HDF5's lock for itself
            other["rows"][0] = 7
        with pytest.raises(h5burst.StaleFileError):
            rows[0]
        with pytest.raises(h5burst.StaleFileError):
            file["group"]


@posix
@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_a_kept_file_that_is_gone_is_stale(path: Path, change: str) -> None:
    with h5burst.open(path) as file:
        rows = file["rows"]
        assert rows[0, 0] == 0
        if change == "removed":
            path.unlink()
        else:
            h5burst.save(path, {"rows": ROWS}, overwrite=True)
        for _ in range(2):
            with pytest.raises(h5burst.StaleFileError):
                rows[0]


@posix
def test_a_fork_does_not_disturb_what_is_kept_open(path: Path) -> None:
    with h5burst.open(path) as file:
        rows = file["rows"]
        assert rows[0, 0] == 0
        child = os.fork()
        if not child:
            is_right = all(np.array_equal(rows[number], ROWS[number]) for number in range(50))
            os._exit(0 if is_right else 1)
        for number in range(50):
            assert np.array_equal(rows[number], ROWS[number])
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert np.array_equal(rows[1], ROWS[1])


def test_a_handle_is_pickled_by_place_and_stamp(path: Path) -> None:
    with h5burst.open(path) as file:
        rows = through_pickle(file["rows"])
        assert np.array_equal(rows[2], ROWS[2])
    assert np.array_equal(through_pickle(rows)[2], ROWS[2])
    with open(path, "ab") as stream:
        stream.write(b"\0")
    with pytest.raises(h5burst.StaleFileError):
        through_pickle(rows)[2]


def test_threads_share_a_kept_file(path: Path) -> None:
    wrong: list[int] = []

    def read(array: h5burst.LazyArray, first: int) -> None:
        wrong.extend(number for number in range(first, 1000, 8) if not np.array_equal(array[number], ROWS[number]))

    with h5burst.open(path) as file:
        arrays = file["rows"], file["packed"]
        threads = [threading.Thread(target=read, args=(arrays[k % 2], k)) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@posix
def test_kept_files_make_room_for_others(tmp_path: Path, path: Path) -> None:
    resource = pytest.importorskip("resource")
    h5burst.save(tmp_path / "b.h5", {"x": np.arange(3)})
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with h5burst.open(path) as file:
        assert file["rows"][0, 0] == 0
        taken: list[int] = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[0]), limits[1]))
            with pytest.raises(OSError, match="Too many open files"):
                taken.extend(os.open(path, os.O_RDONLY) for _ in range(256))
            assert h5burst.load(tmp_path / "b.h5")["x"].tolist() == [0, 1, 2]
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert file["rows"][0, 0] == 0


def state_of(path: Path) -> State:
    """The newest state, read from the superblock."""
    with open(path, "rb") as stream:
        start = read_whole(stream.fileno(), path.stat().st_size)
    return State(start.root, start.base, start.end)


def change_nothing(path: Path) -> None:
    pass


def add_one(path: Path) -> None:
    with h5burst.edit(path) as tx:
        assert tx.way == "append"
        tx.put(("group", "later"), Array(np.arange(2)))


@pytest.mark.parametrize("later", [change_nothing, add_one])
def test_a_handle_looks_at_the_state_it_was_given(tmp_path: Path, later: Callable[[Path], None]) -> None:
    path = tmp_path / "a.h5"
    h5burst.write_tree(path, Group({"group": Group({"x": Array(ROWS)}), "gone": Array(np.arange(9))}))
    first = state_of(path)
    with h5burst.edit(path) as tx:
        assert tx.way == "append"
        tx.put(("group", "x"), Array(-ROWS))
        tx.remove(("gone",))
    later(path)
    tree = open_tree(FileHandle(str(path), state=first))
    assert sorted(tree.children) == ["gone", "group"]
    assert np.array_equal(tree["group/x"].data[:], ROWS)  # type: ignore[union-attr]
    again = through_pickle(tree["group/x"].data)  # type: ignore[union-attr]
    assert np.array_equal(again[1:3], ROWS[1:3])
    assert np.array_equal(open_tree(path)["group/x"].data[:], -ROWS)  # type: ignore[union-attr]


def test_a_handle_whose_making_was_interrupted_ends_in_silence() -> None:
    FileHandle.__new__(FileHandle).__del__()
