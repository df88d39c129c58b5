"""Earlier states as they are read, compared and restored. The truth is what h5py reads."""

from __future__ import annotations

import io
import os
import pickle
import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, StaleFileError, Storage
from reference.hdf5_tree import content


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "file.h5"
    units = Group({f"unit_{n:03d}": Group({"spikes": Array(np.arange(n + 3))}) for n in range(20)})
    many = Group({f"m{n:04d}": Array(np.array(n)) for n in range(540)})  # indexed from the first edit on
    log = Array(np.zeros(3), storage=Storage("gzip", chunks=(100,), maxshape=(None,)))
    h5burst.write_tree(found, Group({"units": units, "many": many, "log": log}))
    return found


def edit_once(path: Path, chance: random.Random, number: int) -> None:
    with h5burst.edit(path, f"edit {number}") as tx:
        unit = f"unit_{chance.randrange(20):03d}"
        work = chance.randrange(6)
        if work == 0:
            tx.put(("units", unit, f"new {number}"), Group({"dsi": Array(np.array(chance.random()))}))
        elif work == 1:
            tx.append("log", np.full(1 + chance.randrange(60), number, float))
        elif work == 2:
            tx.set_attributes(("units", unit), {"number": number})
        elif work == 3:
            tx.put(("many", f"m{chance.randrange(900):04d}"), Array(np.array(number)))
        elif work == 4:
            tx.remove(("many", f"m{chance.randrange(540):04d}"))
            tx.set_attributes("log", {"number": number})
        else:
            tx.put(("units", unit, "spikes"), Array(np.arange(number)))
            tx.set_attributes((), {"number": number})


def edits(path: Path, count: int, seed: int = 0) -> list[dict[str, Any]]:
    chance, truth = random.Random(seed), [content(path)]
    for number in range(1, count + 1):
        edit_once(path, chance, number)
        truth.append(content(path))
    return truth


def tops(names: set[str]) -> set[str]:
    """Those that are not below another of them."""
    return {name for name in names if not any(f"{above}/" in f"{name}/" and above != name for above in names)}


def expected_changes(old: dict[str, Any], new: dict[str, Any]) -> set[tuple[str, str]]:
    """By brute force, from what h5py read of both states."""
    old, new = ({"/" + name.strip("/"): value for name, value in state.items()} for state in (old, new))
    found = {("removed", name) for name in tops(old.keys() - new.keys())}
    found |= {("added", name) for name in tops(new.keys() - old.keys())}
    return found | {("changed", name) for name in old.keys() & new.keys() if old[name] != new[name]}


def test_changes_are_those_that_comparing_all_finds(path: Path) -> None:
    truth = edits(path, 20)
    chance = random.Random(1)
    pairs = [(n, n + 1) for n in range(20)] + [(chance.randrange(21), chance.randrange(21)) for _ in range(40)]
    for since, until in pairs:
        found = h5burst.changes(path, since, until)
        names = {(change.kind, change.path) for change in found}
        assert len(names) == len(found)
        missing = expected_changes(truth[since], truth[until]) - names
        assert not missing
        for kind, name in names - expected_changes(truth[since], truth[until]):
            assert kind == "changed"  # put again with equal content, or changed and changed back
            assert abs(since - until) > 1, name


def test_changes_say_what(path: Path) -> None:
    with h5burst.edit(path) as tx:
        tx.set_attributes(("many", "m0001"), {"unit": "s"})
        tx.append("log", np.ones(5))
        tx.put(("many", "m0002"), Group({"a": Array(np.arange(3))}))
        tx.remove("units")
        node = Array(np.arange(7))
        tx.put("twice", Group({"a": node, "b": node}))
    found = {change.path: (change.kind, change.message) for change in h5burst.changes(path, 0)}
    assert found == {
        "/log": ("changed", "elements"),
        "/many/m0001": ("changed", "attributes"),
        "/many/m0002": ("changed", "a dataset before, a group now"),
        "/twice": ("added", "group"),
        "/units": ("removed", "group"),
    }
    assert h5burst.changes(path, 1) == []
    back = {change.path: change.kind for change in h5burst.changes(path, 1, 0)}
    assert (back["/twice"], back["/units"]) == ("removed", "added")


def test_any_state_is_read_by_all_that_reads(path: Path, tmp_path: Path) -> None:
    truth = edits(path, 8)
    for number in (0, 5, 8):
        with h5burst.file_at(path, number) as stream:
            copy = tmp_path / "then.h5"
            copy.write_bytes(stream.read())
            with h5py.File(stream) as file:
                assert list(file["many"]) == sorted(file["many"])
        assert content(copy) == truth[number]
        assert h5burst.diff(copy, path, state=(None, number)) == []
        lazy = h5burst.read_tree(path, lazy=True, at=number)
        h5burst.write_tree(tmp_path / "again.h5", lazy, overwrite=True)
        assert content(tmp_path / "again.h5").keys() == truth[number].keys()
        with h5burst.open(path, at=number) as opened:
            assert np.array_equal(opened["log"][:], h5burst.load(copy)["log"])
        assert h5burst.verify(path, at=number) == []
        assert np.array_equal(h5burst.load(path, at=number)["log"], h5burst.load(copy)["log"])
    assert h5burst.info(path, state=0).datasets == 20 + 540 + 1
    for bad in (9, -10):
        with pytest.raises(LookupError):
            h5burst.open(path, at=bad)
    with pytest.raises(TypeError, match="at a path"):
        h5burst.open(io.BytesIO(path.read_bytes()), at=0)


def test_what_was_opened_stays_readable_through_edits(path: Path) -> None:
    edits(path, 5)
    with h5burst.open(path, at=3) as file:
        log = file["log"]
        expected = log[:]
        tree = h5burst.read_tree(path, lazy=True, at=3)
        chance = random.Random(5)
        for number in range(30):
            edit_once(path, chance, number)
        assert np.array_equal(log[:], expected)
        assert np.array_equal(tree["log"].data[:], expected)
        assert list(file["units"]) == [f"unit_{n:03d}" for n in range(20)]
        again = pickle.loads(pickle.dumps(log))  # noqa: S301
        assert np.array_equal(again[:], expected)
        stream = pickle.loads(pickle.dumps(h5burst.file_at(path, 3)))  # noqa: S301
        with h5py.File(stream) as then:
            assert np.array_equal(then["log"][:], expected)


def test_a_file_of_a_state_keeps_writers_out_and_edits_not(path: Path) -> None:
    edits(path, 2)
    stream = h5burst.file_at(path, 1)
    with pytest.raises(OSError, match="lock"):
        h5py.File(path, "r+")
    edits(path, 1)
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        stream.read(1)
    with h5py.File(path, "r+"), pytest.raises(BlockingIOError):
        h5burst.file_at(path, 1)
    with pytest.raises(LookupError, match="changed by another program"):
        h5burst.file_at(path, 1)


def test_states_of_a_file_that_others_changed_are_stale(path: Path) -> None:
    edits(path, 3)
    log = h5burst.open(path, at=1)["log"]
    pickled = pickle.dumps(log)
    with h5py.File(path, "r+", locking=False) as file:  # as where there are no locks
        file.attrs["by"] = "h5py"
    with pytest.raises(StaleFileError):
        log[:]
    with pytest.raises(StaleFileError):
        pickle.loads(pickled)[:]  # noqa: S301


def test_a_stream_reads_as_any_other(path: Path) -> None:
    edits(path, 2)
    data = path.read_bytes()
    with h5burst.file_at(path, -1) as stream:
        assert stream.read() == data
        assert (stream.seek(-8, os.SEEK_END), stream.read(100)) == (len(data) - 8, data[-8:])
        assert (stream.seek(20), stream.tell(), stream.read(50)) == (20, 20, data[20:70])
        assert (stream.seekable(), stream.readable(), stream.writable()) == (True, True, False)
        with pytest.raises(ValueError, match="negative"):
            stream.seek(-1)
    with h5burst.file_at(path, 0) as stream:
        then = stream.read()
        assert then[48:] == data[48:]
        assert then[:48] != data[:48]


def test_restoring_is_a_commit_that_can_be_restored_again(path: Path) -> None:
    truth = edits(path, 6)
    commit = h5burst.restore(path, 4)
    assert (commit.number, commit.restored_from, commit.message) == (7, 4, "restored state 4")
    assert content(path) == truth[4]
    edits(path, 1, seed=7)
    assert h5burst.restore(path, 6, "as it was").message == "as it was"
    assert content(path) == truth[6]
    h5burst.restore(path, 7)
    assert content(path) == truth[4]
    assert [commit.restored_from for commit in h5burst.log(path)][:4] == [7, 6, None, 4]
    assert h5burst.changes(path, 4) == []
    assert h5burst.verify(path, deep=True) == []
    with pytest.raises(LookupError, match="no state 99"):
        h5burst.restore(path, 99)
    assert next(iter(h5burst.log(path))).number == 10


def test_undo_goes_back_one_by_one(path: Path) -> None:
    truth = edits(path, 4)
    shown = []
    for _ in range(4):
        h5burst.undo(path)
        shown.append(content(path))
    assert shown == truth[3::-1]
    with pytest.raises(LookupError, match="the first state"):
        h5burst.undo(path)
    h5burst.restore(path, 3)
    edits(path, 1, seed=9)
    h5burst.undo(path)
    assert content(path) == truth[3]
    h5burst.undo(path)
    assert content(path) == truth[2]


def test_undo_of_a_restored_state_that_was_compacted(path: Path) -> None:
    truth = edits(path, 4)
    h5burst.undo(path)
    h5burst.compact(path, keep=1)
    with pytest.raises(LookupError, match=r"shows state 3 again, .* dropped by compacting \(`restore` reaches state 4"):
        h5burst.undo(path)
    assert content(path) == truth[3]
    h5burst.restore(path, 4)
    assert content(path) == truth[4]
    with pytest.raises(LookupError, match="the first state"):
        h5burst.undo(path)


class KnowsLength(io.FileIO):
    """A file whose length was taken when it was opened, as libhdf5 takes it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.length = path.stat().st_size

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return super().seek(self.length + offset) if whence == os.SEEK_END else super().seek(offset, whence)


@pytest.mark.parametrize("keep", [0, 2])
@pytest.mark.parametrize("version", ["v108", "v110"])
def test_h5py_opens_a_compacted_file_during_its_first_edit(tmp_path: Path, keep: int, version: str) -> None:
    path = tmp_path / "others.h5"
    with h5py.File(path, "w", libver=("earliest", version)) as file:
        file["a"] = np.arange(50_000)
    with h5burst.edit(path) as tx:
        tx.remove("a")
    for number in range(3):
        with h5burst.edit(path) as tx:
            tx.set_attributes((), {"number": number})
    before = h5burst.info(path)
    saved = h5burst.compact(path, keep)
    told = h5burst.info(path)
    assert saved > 400_000
    assert (told.live_bytes <= before.live_bytes, told.dead_bytes) == (True, 0)
    assert told.live_bytes + told.history_bytes + told.reserve_bytes == path.stat().st_size
    assert path.stat().st_size - told.reserve_bytes < 5_000
    assert h5burst.compact(path, keep) == 0
    with KnowsLength(path) as stream:
        with h5burst.edit(path) as tx:
            tx.put("later", Array(np.arange(5_000)))
        with h5py.File(stream) as file:
            assert file["later"][-1] == 4999
    assert h5burst.verify(path, deep=True) == []


def test_nothing_to_restore(path: Path) -> None:
    with pytest.raises(LookupError, match="nothing to undo"):
        h5burst.undo(path)
    with h5py.File(path, "r+") as file:
        file.attrs["reference"] = file["units"].ref
    with pytest.raises(LookupError, match="references between its objects"):
        h5burst.restore(path, 0)


def test_a_state_of_a_file_of_another_program_is_restored(path: Path) -> None:
    with h5py.File(path, "w", libver=("earliest", "v108")) as file:
        file["a/b"] = np.arange(5)
    before = content(path)
    with h5burst.edit(path) as tx:
        tx.remove("a")
    h5burst.undo(path)
    assert content(path) == before
    with h5py.File(path, "r+") as file:
        file["a/c"] = 1
    assert h5burst.verify(path, deep=True) == []


def test_an_annotated_matrix_at_an_earlier_state(tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    path = tmp_path / "cells.h5ad"
    anndata.AnnData(np.arange(12.0).reshape(4, 3)).write_h5ad(path)
    for number in range(5):
        with h5burst.edit(path) as tx:
            tx.put("X", Array(np.full((4, 3), float(number))))
    with h5burst.file_at(path, 0) as stream:
        assert np.array_equal(anndata.read_h5ad(stream).X, np.arange(12.0).reshape(4, 3))
    with h5burst.file_at(path, 3) as stream:
        assert np.array_equal(anndata.read_h5ad(stream).X, np.full((4, 3), 2.0))
    assert np.array_equal(anndata.read_h5ad(path).X, np.full((4, 3), 4.0))
