"""Transactions that meet faults, run in a process into which faults.c is preloaded; or that are killed at random.

    python crash_edits.py DIRECTORY WAY KIND          every operation in turn, with the fault KIND at it
    python crash_edits.py DIRECTORY WAY random COUNT  so many kills of a process that edits, at random moments

WAY: append or copy, as of a transaction; commits: several within one transaction, by appending. The first form needs
LD_PRELOAD. Prints as JSON how many cases there were, and what was wrong in which. The long run before a release:
`random 1000` for all ways.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

import h5burst
from h5burst import Array, Group, Storage

KINDS = {"none": 0, "kill": 1, "torn": 2, "enospc": 3, "eio": 3, "short": 4, "interrupt": 5}
ERRORS = {"enospc": errno.ENOSPC, "eio": errno.EIO}


def arm(directory: str, kind: int, at: int, number: int) -> None:
    faults = ctypes.CDLL(None)
    faults.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int]
    faults.fault_arm(directory.encode(), kind, at, number)


def operations() -> int:
    faults = ctypes.CDLL(None)
    faults.fault_count.restype = ctypes.c_long
    return int(faults.fault_count())


def start(path: Path, way: str) -> None:
    log = Array(np.zeros(1, np.int64), storage=Storage(maxshape=(None,), chunks=(100,)))
    many = Group({f"n{number}": Array(np.array(number)) for number in range(600)})
    kept = Array(np.arange(20_000.0))
    tree = Group({"log": log, "many": many, "kept": kept, "state": Group({}, {"state": 0})}, {"state": 0})
    h5burst.write_tree(path, tree, overwrite=True)
    if way == "copy":
        with h5py.File(path, "r+") as file:
            file.attrs["ref"] = file["kept"].ref


def step(path: Path, state: int) -> None:
    """From any state to `state`: every kind of change, each of which tells the state."""
    with h5burst.edit(path, threads=1 + state % 2) as tx:
        change(tx, state)


def change(tx: h5burst.Transaction, state: int) -> None:
    tx.put(("state",), Group({"data": Array(np.full(3000 + state % 7, state))}, {"state": state}))
    tx.put(("many", f"n{state % 600}"), Array(np.array(-state)))
    tx.put(("large",), Array(np.full(150_000, state), storage=Storage("gzip" if state % 2 else None)))
    tx.set_attributes((), {"state": state})
    tx.append(("log",), np.full(37, state, np.int64))


def steps(path: Path, way: str, states: range, begin: Callable[[], object] = lambda: None) -> None:
    """From one state to the next. begin: called before each."""
    if way != "commits":
        for state in states:
            begin()
            step(path, state)
        return
    with h5burst.edit(path, threads=1) as tx:
        for state in states:
            begin()
            change(tx, state)
            if state < states[-1]:  # whose commit is that of the block
                tx.commit()


def state_of(path: Path) -> int:
    """The state of a file that is whole; AssertionError, or another one, for half a state."""
    with h5py.File(path, "r") as file:
        state = int(file.attrs["state"])
        assert int(file["state"].attrs["state"]) == state
        assert len(file["many"]) == 600
        assert np.array_equal(file["kept"][:], np.arange(20_000.0))
        assert int(file["log"][-1]) == state
        if state:
            assert (file["state/data"][:] == state).all()
            assert (file["large"][:] == state).all()
            assert int(file["many"][f"n{state % 600}"][()]) == -state
    return state


def last_state(way: str) -> int:
    """To which the work goes from state 1: one edit, or two commits of one."""
    return 3 if way == "commits" else 2


def in_child(path: Path, way: str, kind: str, at: int) -> tuple[int, str]:
    """How the child ended (0: committed, 1: an OSError, -9: killed), and what its error said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status, message = 0, ""
        arm(str(path.parent), KINDS[kind], at, ERRORS.get(kind, 0))
        try:
            steps(path, way, range(2, last_state(way) + 1))
        except OSError as error:
            status, message = 1, str(error)
        arm("", 0, -1, 0)
        os.write(writing, message.encode())
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        message = stream.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), message


def wrongs(path: Path, way: str, kind: str, at: int) -> list[str]:
    """Everything that is not as promised when the fault strikes operation `at`."""
    start(path, way)
    step(path, 1)
    before, last = path.read_bytes(), last_state(way)
    status, message = in_child(path, way, kind, at)
    found = []
    try:
        state = state_of(path)
    except (OSError, AssertionError, KeyError) as error:
        return [f"half a state: {error!r}"]
    if not 1 <= state <= last or (status == 0 and state != last):
        found.append(f"ended with {status} in state {state}")
    if status == 1 and path.read_bytes()[: len(before)] != before and state == 1:
        found.append("an edit that failed has changed the file")
    if status == 1 and state == last:
        found.append("an edit that failed is in the file")
    if status not in (0, 1, -9) or (kind in ("none", "short", "interrupt") and status):
        found.append(f"ended with {status}: {message}")
    if status == 1 and str(path) not in message:
        found.append(f"the error does not name the file: {message}")
    step(path, last + 1)
    litter = sorted(name for name in os.listdir(path.parent) if name != path.name)
    if state_of(path) != last + 1 or litter or h5burst.read_tree(path).attrs["state"] != last + 1:
        found.append(f"the next edit did not work, or left {litter}")
    return found


def every_operation(path: Path, way: str, kind: str) -> tuple[int, dict[int, list[str]]]:
    start(path, way)
    step(path, 1)
    arm(str(path.parent), 0, -1, 0)
    steps(path, way, range(2, last_state(way) + 1))
    cases = range(operations() + 1) if kind not in ("short", "interrupt", "none") else range(1)
    arm("", 0, -1, 0)
    return len(cases), {at: found for at in cases if (found := wrongs(path, way, kind, at))}


def killed_at_random(path: Path, way: str, count: int) -> tuple[int, dict[int, list[str]], int]:
    """Kill a process that edits without pause; what is there must be a whole state, the last one known or a later.

    Gives as well how many kills came after at least one more edit was committed.
    """
    found: dict[int, list[str]] = {}
    later = 0
    state, chance = 0, random.Random(count)
    start(path, way)
    for number in range(count):
        if number % 50 == 0:
            start(path, way)
            state = 0
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            steps(path, way, range(state + 1, state + 1_000_000), functools.partial(os.write, writing, b"."))
        os.close(writing)
        for _ in range(chance.choice([1, 1, 2, 3])):  # edits that are begun, however busy the machine is
            os.read(reading, 1)
        time.sleep(0.05 * chance.random())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        try:
            now = state_of(path)
            if now < state:
                found[number] = [f"state {now} after {state}"]
            later += now > state
            state = now
        except (OSError, AssertionError, KeyError) as error:
            found[number] = [repr(error)]
            start(path, way)
            state = 0
    step(path, state + 1)
    return count, found, later


def main(directory: str, way: str, kind: str, count: str = "0") -> None:
    path = Path(directory).resolve() / "file.h5"
    if kind == "random":
        cases, found, later = killed_at_random(path, way, int(count))
        print(json.dumps({"cases": cases, "wrongs": found, "after an edit": later}))
        return
    cases, found = every_operation(path, way, kind)
    print(json.dumps({"cases": cases, "wrongs": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
