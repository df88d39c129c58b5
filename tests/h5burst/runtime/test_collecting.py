"""The garbage collector is held back, and let go again."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from h5burst import read_tree, write_tree
from h5burst.model.errors import CorruptFileError
from h5burst.model.tree import Array, Group
from h5burst.runtime.gc_pause import collection_paused


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was_afterwards(enabled: bool) -> None:
    @collection_paused()
    def inside(error: Exception | None) -> bool:
        if error:
            raise error
        return gc.isenabled()

    try:
        (gc.enable if enabled else gc.disable)()
        assert inside(None) is False
        assert inside(None) is False
        assert gc.isenabled() is enabled
        with pytest.raises(KeyError):
            inside(KeyError("x"))
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_a_load_that_fails_leaves_the_collector_on(tmp_path: Path) -> None:
    write_tree(tmp_path / "a.h5", Group({"x": Array(np.arange(100_000))}))
    raw = bytearray((tmp_path / "a.h5").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "a.h5").write_bytes(raw)
    with pytest.raises(CorruptFileError):
        read_tree(tmp_path / "a.h5")
    assert gc.isenabled()


def test_no_collection_while_a_tree_is_read(tmp_path: Path) -> None:
    many = Group({str(number): Group({"x": Array(np.arange(3))}) for number in range(5000)})
    write_tree(tmp_path / "a.h5", many)
    collections = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            collections.append(info["generation"])

    gc.collect()
    gc.callbacks.append(note)
    try:
        read_tree(tmp_path / "a.h5")
    finally:
        gc.callbacks.remove(note)
    assert len(collections) <= 2


def test_overlapping_pauses_of_threads_leave_the_collector_on() -> None:
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with collection_paused():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    gc.enable()
    other = threading.Thread(target=first)
    other.start()
    first_in.wait(10)
    with collection_paused():  # it began while the collector was off already
        second_in.set()
        first_out.wait(10)
        assert not gc.isenabled()
    other.join()
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_another_thread_pauses_has_its_collector() -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with collection_paused():
            inside.set()
            leave.wait(10)

    gc.enable()
    other = threading.Thread(target=hold)
    other.start()
    inside.wait(10)
    child = os.fork()
    if child == 0:
        healthy = gc.isenabled()
        with collection_paused():
            healthy = healthy and not gc.isenabled()
        os._exit(0 if healthy and gc.isenabled() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    leave.set()
    other.join()
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_within_a_pause_ends_it_itself() -> None:
    gc.enable()
    with collection_paused():
        child = os.fork()
        if child == 0:
            paused = not gc.isenabled()
    if child == 0:
        os._exit(0 if paused and gc.isenabled() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert gc.isenabled()
