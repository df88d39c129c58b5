"""Transactions beside others: writers are kept out, readers are not, and see whole states; dead space goes."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import h5burst
from h5burst import Array, Group, Storage
from h5burst.runtime import edit_locks
from reference.hdf5_tree import content
from support.batch_tools import wait_for

FORK = multiprocessing.get_context("fork") if os.name != "nt" else None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    h5burst.write_tree(tmp_path / "file.h5", Group({"a": Array(np.arange(10)), "g": Group()}, {"state": 0}))
    return tmp_path / "file.h5"


@pytest.fixture(params=["locks", "none"])
def locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "none":
        monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    return str(request.param)


def elsewhere(work: Any, *arguments: Any) -> str:
    """What `work` says in another process."""
    assert FORK is not None
    queue = FORK.SimpleQueue()
    process = FORK.Process(target=lambda: queue.put(work(*arguments)))
    process.start()
    answer = str(queue.get())
    process.join()
    return answer


def try_edit(path: Path) -> str:
    try:
        with h5burst.edit(path) as tx:
            tx.set_attributes((), {"second": True})
    except OSError as error:
        return type(error).__name__
    return "edited"


def try_h5py(path: Path, mode: Any) -> str:
    try:
        with h5py.File(path, mode) as file:
            return str(int(file.attrs["state"]))
    except OSError as error:
        return type(error).__name__


@pytest.mark.skipif(os.name == "nt", reason="forks")
def test_a_second_edit_is_refused_at_once_in_threads_and_processes(path: Path, locks: str) -> None:
    answers: list[str] = []
    with h5burst.edit(path) as tx:
        tx.set_attributes((), {"first": True})
        assert try_edit(path) == "BlockingIOError"
        assert elsewhere(try_edit, path) == "BlockingIOError"
        thread = threading.Thread(target=lambda: answers.append(try_edit(path)))
        thread.start()
        thread.join()
    assert answers == ["BlockingIOError"]
    assert try_edit(path) == "edited"
    assert elsewhere(try_edit, path) == "edited"
    assert set(h5burst.read_tree(path).attrs) == {"state", "first", "second"}
    assert [item.name for item in path.parent.iterdir()] == ["file.h5"]


@pytest.mark.skipif(os.name == "nt", reason="forks")
def test_an_open_writer_keeps_edits_out_and_they_keep_it_out(path: Path) -> None:
    with h5burst.edit(path):
        assert elsewhere(try_h5py, path, "r+") == "BlockingIOError"
        assert elsewhere(try_h5py, path, "r") == "0"
        assert h5burst.read_tree(path).attrs["state"] == 0
        with pytest.raises(BlockingIOError):
            h5burst.write_tree(path, Group(), overwrite=True)
    with h5py.File(path, "r+"):
        assert elsewhere(try_edit, path) == "BlockingIOError"
        assert try_edit(path) == "BlockingIOError"


@pytest.mark.skipif(os.name == "nt", reason="forks")
def test_a_forked_child_that_lives_on_holds_no_lock_of_an_edit(path: Path) -> None:
    assert FORK is not None
    ends = FORK.Event()
    with h5burst.edit(path) as tx:
        tx.set_attributes((), {"state": 1})
        child = FORK.Process(target=ends.wait, daemon=True)
        child.start()
        assert elsewhere(try_h5py, path, "r+") == "BlockingIOError"  # it gave up nothing of its parent's
        assert elsewhere(try_edit, path) == "BlockingIOError"
    assert elsewhere(try_h5py, path, "r+") == "1"
    assert elsewhere(try_edit, path) == "edited"
    assert child.is_alive()
    ends.set()
    child.join()


@pytest.mark.parametrize("other", ["edit", "replace"])
def test_without_locks_an_edit_that_others_were_faster_than_raises(
    path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    tx = h5burst.edit(path)
    tx.set_attributes((), {"mine": True})
    if other == "edit":
        with h5py.File(path, "r+") as file:
            file["theirs"] = np.arange(100)
    else:
        h5burst.write_tree(path, Group({}, {"theirs": True}), overwrite=True)
    with pytest.raises(OSError, match="changed by others"):
        tx.__exit__(None, None, None)
    found = h5burst.read_tree(path)
    assert "mine" not in found.attrs
    assert "theirs" in found.children or "theirs" in found.attrs


def test_without_locks_the_directory_must_take_a_lock_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def holding(lock: Path) -> None:
        raise PermissionError(13, "Permission denied", str(lock))

    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    monkeypatch.setattr("h5burst.runtime.edit_locks.locks.holding", holding)
    with pytest.raises(PermissionError, match="check the permissions of the file and its directory") as raised:
        h5burst.edit(path)
    assert raised.value.filename == str(path)


def test_a_touch_within_an_edit_is_a_change_by_others(path: Path) -> None:
    """What libhdf5 changes in place may leave no other trace."""
    before = path.read_bytes()
    tx = h5burst.edit(path)
    tx.put("new", Array(np.arange(3)))
    os.utime(path)
    with pytest.raises(OSError, match="changed by others"):
        tx.__exit__(None, None, None)
    assert path.read_bytes() == before


def test_who_has_the_file_open_keeps_the_old_state(path: Path) -> None:
    with h5py.File(path, "r") as file:
        with h5burst.edit(path) as tx:
            tx.put(("a",), Array(np.zeros(3)))
            tx.set_attributes((), {"state": 1})
        assert list(file["a"][:]) == list(range(10))
        assert file.attrs["state"] == 0
        with h5py.File(path, "r") as again:  # libhdf5 shares what is open in one process
            assert again.attrs["state"] == 0
    with h5py.File(path, "r") as file:
        assert list(file["a"][:]) == [0, 0, 0]


def read_for_ever(path: Path, stop: Any, results: Any) -> None:
    """Count whole states by h5py and by our reader; the first half state ends it."""
    count = 0
    try:
        while not stop.is_set():
            try:
                file = h5py.File(path, "r")
            except OSError as error:  # libhdf5 looks at the length first, then at the superblock: between the two
                if "truncated file" not in str(error):
                    raise
                continue
            with file:
                state = int(file.attrs["state"])
                assert (file["data"][:] == state).all()
                assert len(file["many"]) == 600 + state
            tree = h5burst.read_tree(path)
            data: Any = tree["data"]
            assert (data.data == tree.attrs["state"]).all()
            assert len(tree["many"].children) == 600 + tree.attrs["state"]
            count += 1
        results.put(count)
    except BaseException as error:  # told to the test
        results.put(repr(error))
        raise


@pytest.mark.skipif(os.name == "nt", reason="forks")
def test_readers_beside_a_writer_see_whole_states_only(tmp_path: Path) -> None:
    assert FORK is not None
    path = tmp_path / "file.h5"
    many = Group({f"n{number}": Group() for number in range(600)})
    h5burst.write_tree(path, Group({"data": Array(np.zeros(20_000)), "many": many}, {"state": 0}))
    stop, results = FORK.Event(), FORK.SimpleQueue()
    readers = [FORK.Process(target=read_for_ever, args=(path, stop, results)) for _ in range(2)]
    for reader in readers:
        reader.start()
    for state in range(1, 60):
        with h5burst.edit(path) as tx:
            tx.put(("data",), Array(np.full(20_000, float(state))))
            tx.put(("many", f"new {state}"), Group())
            tx.set_attributes((), {"state": state})
    stop.set()
    counts = [results.get() for _ in readers]
    for reader in readers:
        reader.join()
    assert all(isinstance(count, int) and count > 0 for count in counts), counts


def test_a_child_of_the_process_does_not_commit(path: Path) -> None:
    if FORK is None:
        pytest.skip("forks")
    tx = h5burst.edit(path)
    tx.set_attributes((), {"a": 1})

    def leave() -> str:
        try:
            tx.__exit__(None, None, None)
        except OSError as error:
            return str(error)
        return "committed"

    assert "in the process that began it" in elsewhere(leave) or "busy" in elsewhere(leave)
    with tx:
        pass
    assert h5burst.read_tree(path).attrs["a"] == 1


@pytest.mark.skipif(FORK is None, reason="forks")
@pytest.mark.parametrize("how", ["put", "leave", "fail", "forget"])
@pytest.mark.parametrize("way", ["append", "copy"])
def test_nothing_that_a_child_does_reaches_the_edit_of_its_parent(
    tmp_path: Path, way: str, how: str, locks: str
) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["a"] = np.arange(10)
        if way == "copy":
            file["r"] = np.array([file["a"].ref], h5py.ref_dtype)
    holder = [h5burst.edit(path)]
    holder[0].put("ours", Array(np.arange(100_000)))
    assert holder[0].way == way

    def child() -> str:
        try:
            if how == "put":
                holder[0].put("theirs", Array(np.arange(3)))
            elif how == "forget":
                holder.clear()
                gc.collect()
            else:
                error = ValueError() if how == "fail" else None
                holder[0].__exit__(None if error is None else ValueError, error, None)
        except OSError as error:
            return str(error)
        return "nothing"

    said = elsewhere(child)
    assert "in the process that began it" in said if how in ("put", "leave") else said == "nothing"
    others = sorted(os.listdir(tmp_path))
    assert (".file.h5.h5burst-lock" in others) == (locks == "none")
    holder[0].__exit__(None, None, None)
    with h5py.File(path) as file:
        assert sorted(file) == (["a", "ours", "r"] if way == "copy" else ["a", "ours"])
        assert file["ours"][-1] == 99_999
    assert os.listdir(tmp_path) == ["file.h5"]


# ---------------------------------------------------------------- against a model

NAMES = st.sampled_from(["a", "b", "c/d", "名"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)
LEAVES = st.integers(0, 5).map(lambda count: Array(np.arange(count), {"n": count}))
NODES = LEAVES | st.dictionaries(NAMES, LEAVES, max_size=2).map(Group)
ATTRS = st.dictionaries(NAMES, st.none() | st.integers(0, 9) | st.just("text"), min_size=1, max_size=2)
EDITS = st.lists(
    st.tuples(st.just("put"), PATHS, NODES)
    | st.tuples(st.just("remove"), PATHS, st.none())
    | st.tuples(st.just("attributes"), st.just(()) | PATHS, ATTRS),
    max_size=5,
)


def apply(tree: Group, verb: str, path: tuple[str, ...], given: Any) -> bool:
    """The same on plain objects in memory; whether it could be done."""
    at: Any = tree
    for name in path[:-1] if verb != "attributes" else path:
        if not isinstance(at, Group):
            return False
        if name not in at.children:
            if verb != "put":
                return False
            at.children[name] = Group()
        at = at.children[name]
    if verb == "attributes":
        at.attrs = {key: value for key, value in {**at.attrs, **given}.items() if value is not None}
        return True
    if not isinstance(at, Group) or (verb == "remove" and path[-1] not in at.children):
        return False
    if verb == "remove":
        del at.children[path[-1]]
    else:
        at.children[path[-1]] = clone(given)
    return True


def clone(node: Any) -> Any:
    if isinstance(node, Array):
        return Array(node.data, dict(node.attrs))
    return Group({name: clone(child) for name, child in node.children.items()}, dict(node.attrs))


@settings(max_examples=40, deadline=None)
@given(st.lists(EDITS, max_size=4), st.sampled_from(["edits", "edits and h5py", "commits of one edit"]))
def test_any_sequence_of_edits_equals_the_model(
    tmp_path_factory: pytest.TempPathFactory, transactions: list[Any], how: str
) -> None:
    directory = tmp_path_factory.mktemp("model")
    path, model = directory / "file.h5", Group()
    h5burst.write_tree(path, model)
    whole = h5burst.edit(path) if how == "commits of one edit" else None
    for number, edits in enumerate(transactions):
        with contextlib.nullcontext(whole) if whole is not None else h5burst.edit(path) as tx:
            for verb, where, given in edits:
                trial = clone(model)
                possible = apply(trial, verb, where, given)
                model = trial if possible else model
                if verb == "remove":
                    assert tx.remove(where) == possible
                    continue
                act = (lambda w=where, g=given: tx.put(w, g)) if verb == "put" else (
                    lambda w=where, g=given: tx.set_attributes(w, g)
                )  # fmt: skip
                if possible:
                    act()
                else:
                    with pytest.raises((OSError, KeyError)):
                        act()
        if whole is not None:
            whole.commit()
        if how == "edits and h5py":
            with h5py.File(path, "r+") as file:
                file.attrs[f"theirs {number}"] = number
            model.attrs[f"theirs {number}"] = number
    if whole is not None:
        whole.__exit__(None, None, None)
    h5burst.write_tree(directory / "expected.h5", model)
    assert content(path) == content(directory / "expected.h5")
    shutil.rmtree(directory)


# ---------------------------------------------------------------- dead space


def test_compacting_drops_what_is_dead_and_nothing_else(path: Path) -> None:
    with h5burst.edit(path) as tx:
        tx.put(("log",), Array(np.arange(5), storage=Storage(maxshape=(None,))))
        tx.put(("packed",), Array(np.arange(100_000), {"text": "ä"}, Storage("gzip")))
    for number in range(10):
        with h5burst.edit(path) as tx:
            tx.put(("large",), Array(np.full(50_000, number)))
            tx.append(("log",), np.arange(5))
    before, size = content(path), h5burst.info(path).bytes
    saved = h5burst.compact(path)
    assert h5burst.info(path).bytes == size - saved
    assert saved > 9 * 400_000
    assert content(path) == before
    assert h5burst.verify(path) == []
    assert h5burst.compact(path) == 0
    with h5burst.edit(path) as tx:
        tx.append(("log",), np.arange(5))
    assert len(h5burst.read_tree(path)["log"].data) == 60
    assert [item.name for item in path.parent.iterdir()] == ["file.h5"]


def test_compacting_keeps_references_hard_links_and_user_blocks(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["a"] = np.arange(1000)
        file["again"] = file["a"]
        file["dead"] = np.zeros(100_000)
        file["references"] = np.array([file["a"].ref], dtype=h5py.ref_dtype)
    block = bytes(range(256)) * 2
    with open(path, "r+b") as stream:
        stream.write(block)
    with h5py.File(path, "r+") as file:
        del file["dead"]
        file["b"] = 1
    with h5burst.edit(path) as tx:
        tx.set_attributes((), {"edited": True})
    saved = h5burst.compact(path)
    assert saved > 700_000
    assert h5burst.info(path).dead_bytes == 0
    assert path.read_bytes()[:512] == block
    with h5py.File(path, "r+") as file:
        assert file[file["references"][0]] == file["again"] == file["a"]
        del file["a"]
        assert file["again"][999] == 999


REPLACING: dict[str, Any] = {
    "save": lambda path: h5burst.save(path, {"a": 1}, overwrite=True),
    "write_tree": lambda path: h5burst.write_tree(path, Group({"a": Array(np.arange(3))}), overwrite=True),
    "repack": lambda path: h5burst.repack(path.with_name("other.h5"), path, overwrite=True),
    "salvage": lambda path: h5burst.salvage(path.with_name("other.h5"), path, overwrite=True),
    "compact": h5burst.compact,
    "edit": h5burst.edit,
}


@pytest.mark.parametrize("verb", REPLACING)
def test_a_file_that_a_swmr_writer_has_open_is_not_replaced(tmp_path: Path, verb: str, locks: str) -> None:
    path = tmp_path / "swmr.h5"
    h5burst.save(tmp_path / "other.h5", {"b": 2})
    with h5py.File(path, "w", libver="latest") as file:
        rows = file.create_dataset("rows", (3,), "i8", chunks=(10,), maxshape=(None,))
        file.swmr_mode = True
        says = "interrupted" if verb == "edit" else "the file says that a SWMR writer is at work"
        with pytest.raises(OSError, match=f"{says}.*h5clear -s") as refused:
            REPLACING[verb](path)
        assert "swmr.h5" in str(refused.value)
        rows.resize((5,))
        rows[3:] = 7
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["other.h5", "swmr.h5"]
    with h5py.File(path) as file:
        assert file["rows"][:].tolist() == [0, 0, 0, 7, 7]
    if verb != "edit":
        REPLACING[verb](path)


def test_who_waits_comes_before_who_has_just_edited(path: Path) -> None:
    done = threading.Event()

    def other() -> None:
        with h5burst.edit(path, wait=60) as tx:
            tx.set_attributes((), {"by": "other"})
        done.set()

    waiting = threading.Thread(target=other)
    with h5burst.edit(path) as tx:
        waiting.start()
        with open(path, "rb") as stream:
            wait_for(lambda: edit_locks.others_wait(stream.fileno()))
        tx.set_attributes((), {"number": 0})
    mine = 0
    while not done.is_set():
        mine += 1
        with h5burst.edit(path, wait=60) as tx:
            tx.set_attributes((), {"number": mine})
    waiting.join()
    assert mine < 60  # it would be a matter of luck, of some milliseconds beside some microseconds
    with open(path, "rb") as stream:
        assert not edit_locks.others_wait(stream.fileno())
    with pytest.raises(BlockingIOError), h5burst.edit(path), h5burst.edit(path, wait=0.05):
        pass
