"""Files that others write while they are read or copied: one state, or an error that says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, StaleFileError
from h5burst.copying.objects import ObjectCopier
from h5burst.read.reader import Reader
from h5burst.runtime import edit_locks
from h5burst.runtime.locks import Answer

fcntl = pytest.importorskip("fcntl")
FORMS: list[Any] = ["earliest", ("v108", "v108"), ("v110", "v110"), "latest"]


def made(path: Path, libver: Any = "earliest") -> Path:
    with h5py.File(path, "w", libver=libver) as file:
        file["a"], file["g/b"], file["g/t"] = np.zeros(10), np.zeros(9000), ["x"] * 5
        file.create_dataset("c", data=np.zeros((40, 40)), chunks=(10, 10), compression="gzip")
    return path


def changed(path: Path) -> bool:
    """In place, by a program that takes no lock."""
    with h5py.File(path, "r+", locking=False) as file:
        file["g/b"][:] = 1
    return True


def edited(path: Path) -> bool:
    with h5burst.edit(path) as tx:
        tx.put("new", Array(np.arange(5)))
    return True


ACCESSES: dict[str, Callable[[h5burst.LazyFile], object]] = {
    "group": lambda file: file["g"],
    "names": lambda file: list(file["g"]),
    "whole": lambda file: file["g/b"][:],
    "part": lambda file: file["c"][3:5],
    "text": lambda file: file["g/t"][:],
    "attributes": lambda file: dict(file["a"].attrs),
}


@pytest.mark.parametrize("access", ACCESSES)
def test_what_somebody_has_just_opened_for_writing_is_refused(tmp_path: Path, access: str) -> None:
    """Nothing is changed yet, so that the file is not stale: what came was an error of the parser's own, of no file."""
    path = made(tmp_path / "file.h5")
    with h5burst.open(path) as file, path.open("rb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="another program has it open for writing") as raised:
            ACCESSES[access](file)
        assert raised.value.filename == str(path)


def test_the_arrays_of_a_lazy_tree_are_refused_as_well(tmp_path: Path) -> None:
    path = made(tmp_path / "file.h5")
    tree = h5burst.read_tree(path, lazy=True)
    arrays = [tree[name] for name in ("a", "c", "g/b")]
    with path.open("rb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        for array in arrays:
            assert isinstance(array, Array)
            assert isinstance(array.data, h5burst.LazyArray)
            with pytest.raises(BlockingIOError):
                array.data[:2]


@pytest.fixture
def while_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], object]], list[int]]:
    """Has work done whenever a file was read and is still open; gives the number of readings."""

    def during(work: Callable[[int], object]) -> list[int]:
        count, whole = [0], Reader.tree

        def tree(reader: Reader) -> Any:
            found = whole(reader)
            if not reader.is_lazy:
                count[0] += 1
                work(count[0])
            return found

        monkeypatch.setattr(Reader, "tree", tree)
        return count

    return during


@pytest.mark.parametrize("libver", FORMS)
def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, while_reading: Any, libver: Any) -> None:
    path = made(tmp_path / "file.h5", libver)
    count = while_reading(lambda number: number == 1 and changed(path))
    assert np.array_equal(h5burst.load(path)["g"]["b"], np.ones(9000))
    assert count == [2]


def test_a_file_that_never_stops_changing_is_an_error(tmp_path: Path, while_reading: Any) -> None:
    path = made(tmp_path / "file.h5")
    while_reading(lambda number: os.utime(path, ns=(number, number)))
    with pytest.raises(StaleFileError, match="was changed while it was read"):
        h5burst.read_tree(path)


@pytest.mark.parametrize("libver", FORMS)
def test_an_edit_of_ours_meanwhile_is_no_reason(tmp_path: Path, while_reading: Any, libver: Any) -> None:
    """It appends: the state that was read is whole, however many edits there were."""
    path = made(tmp_path / "file.h5", libver)
    count = while_reading(lambda number: number == 1 and [edited(path) for _ in range(3)])
    assert "new" not in h5burst.load(path)
    assert count == [1]


@pytest.mark.skipif(not hasattr(fcntl, "F_OFD_SETLK"), reason="locks of open files, of Linux")
def test_an_edit_that_is_not_committed_is_no_reason(tmp_path: Path, while_reading: Any) -> None:
    path = made(tmp_path / "file.h5")
    with path.open("r+b") as theirs:
        assert edit_locks._ask(theirs.fileno(), "F_WRLCK") is Answer.GRANTED
        count = while_reading(lambda number: os.pwrite(theirs.fileno(), b"appended", path.stat().st_size))
        assert len(h5burst.load(path)) == 3
        assert count == [1]
        fcntl.fcntl(theirs, fcntl.F_OFD_SETLK, edit_locks._request("F_UNLCK", edit_locks._BYTE))
        with pytest.raises(StaleFileError):  # nobody of ours
            h5burst.load(path)


def test_a_change_that_no_lock_kept_out_ends_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, copy = made(tmp_path / "file.h5"), tmp_path / "copy.h5"
    finish = ObjectCopier.finish
    work: list[Callable[[Path], object]] = [edited]

    def finished(copier: ObjectCopier) -> None:
        finish(copier)
        work[0](path)

    monkeypatch.setattr(ObjectCopier, "finish", finished)
    for verb in (h5burst.repack, h5burst.salvage):
        work[0] = edited
        verb(path, copy, overwrite=True)
        work[0] = changed
        copy.unlink()
        with pytest.raises(StaleFileError, match="was changed while it was copied"):
            verb(path, copy)
        assert sorted(os.listdir(tmp_path)) == ["file.h5"]


def test_salvage_waits_for_who_writes(tmp_path: Path) -> None:
    """It took half of what the writer was about to change, and told the rest as lost."""
    path = made(tmp_path / "file.h5")
    with path.open("rb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="is open for writing elsewhere"):
            h5burst.salvage(path, tmp_path / "copy.h5")
