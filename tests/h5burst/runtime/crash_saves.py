"""Saves that meet faults, run in a process into which faults.c is preloaded.

    python crash_saves.py DIRECTORY ROUTE KIND

Saves a new tree over an old file once for every operation that changes anything, each time with the fault KIND at
that operation, in a forked child; then looks what is there. Prints as JSON how many cases there were, and what was
wrong in which.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import sys
from pathlib import Path

import h5py
import numpy as np

import h5burst
from h5burst.format.constants import LIBVER
from h5burst.model.tree import Array, Group, Storage
from h5burst.runtime import durable
from h5burst.write import graft

KINDS = {"none": 0, "kill": 1, "torn": 2, "enospc": 3, "eio": 3, "eacces": 3, "short": 4, "interrupt": 5}
ERRORS = {"enospc": errno.ENOSPC, "eio": errno.EIO, "eacces": errno.EACCES}

faults = ctypes.CDLL(None)
faults.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int]
faults.fault_count.restype = ctypes.c_long


def tree(generation: int, route: str) -> Group:
    numbers = np.arange(200_000, dtype=np.int64) * generation
    many = 70 if route == "native" else 10  # natively more than one buffer; libhdf5 writes each by itself
    return Group(
        {
            "large": Array(numbers),
            "packed": Array(numbers % 1000, storage=Storage("gzip")),
            "many": Group({str(i): Array(numbers[: 6000 + i]) for i in range(many)}),
            "small": Group({str(i): Array(np.arange(i), {"generation": generation}) for i in range(20)}),
        },
        {"generation": generation},
    )


def generation_of(path: Path, route: str) -> int:
    """Which of the trees is under `path`, whole; raises where it is none of them."""
    with h5py.File(path, "r") as f:
        generation = int(f.attrs["generation"])
        expected = tree(generation, route)
        for where, node in expected.walk():
            if isinstance(node, Array):
                assert np.array_equal(f["/".join(where)][()], node.data), where
                assert all(f["/".join(where)].attrs[name] == value for name, value in node.attrs.items()), where
    return generation


def save(path: Path, generation: int, route: str) -> None:
    if route == "native":
        h5burst.write_tree(path, tree(generation, route), overwrite=True, threads=2)
        return
    with (
        durable.replacing(path, overwrite=True) as temporary,
        h5py.File(temporary, "w", libver=LIBVER, locking=False) as f,
    ):
        graft.fill(f, tree(generation, route), storage=None)


def in_child(path: Path, route: str, kind: str, at: int) -> tuple[int, str]:
    """How the child ended (0: saved, 1: an OSError, -9: killed), and what its error said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status, message = 0, ""
        faults.fault_arm(str(path.parent).encode(), KINDS[kind], at, ERRORS.get(kind, 0))
        try:
            save(path, 2, route)
        except OSError as error:
            status, message = 1, str(error)
        faults.fault_arm(b"", 0, -1, 0)
        os.write(writing, message.encode())
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        message = stream.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, message


def wrongs(path: Path, route: str, kind: str, at: int) -> list[str]:
    """Everything that is not as promised when the fault strikes operation `at`."""
    status, message = in_child(path, route, kind, at)
    found = []
    try:
        generation = generation_of(path, route)
    except (OSError, AssertionError, KeyError) as error:
        return [f"neither the old nor the new file: {error!r}"]
    if status == 0 and generation != 2:
        found.append("said to be saved, but the old file is there")
    if kind in ("none", "short", "interrupt") and status != 0:
        found.append(f"not saved: {message}")
    if status not in (0, 1, -9):
        found.append(f"ended with {status}")
    if status == 1 and str(path) not in message:
        found.append(f"the error does not name the file: {message}")
    litter = sorted(name for name in os.listdir(path.parent) if name != path.name)
    if litter and status != -9:
        found.append(f"litter although the process lived on: {litter}")
    save(path, 1, route)
    litter = sorted(name for name in os.listdir(path.parent) if name != path.name)
    if generation_of(path, route) != 1 or litter:
        found.append(f"the next save left {litter}")
    return found


def main(directory: str, route: str, kind: str) -> None:
    path = Path(directory).resolve() / "session.h5"
    save(path, 1, route)
    faults.fault_arm(str(path.parent).encode(), 0, -1, 0)
    save(path, 1, route)
    operations = int(faults.fault_count())
    faults.fault_arm(b"", 0, -1, 0)
    cases = range(operations + 1) if kind not in ("short", "interrupt") else range(1)
    reports = {at: found for at in cases if (found := wrongs(path, route, kind, at))}
    print(json.dumps({"cases": len(cases), "wrongs": reports}))


if __name__ == "__main__":
    main(*sys.argv[1:])
