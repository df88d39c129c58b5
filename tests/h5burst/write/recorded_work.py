"""One piece of work on a file, run in a process into which recorder.c is preloaded.

    python recorded_work.py DIRECTORY TRACE WORK

Makes what the work needs in DIRECTORY, prints "ready", waits for a line, and does the work, its system calls in TRACE.
The file that counts is DIRECTORY/file.h5 (of "summary": batch_summary.json).
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

import h5burst
from h5burst import Array, Group
from h5burst.runtime import durable


def content(number: int) -> dict[str, np.ndarray]:
    return {"a": np.arange(400 * number), "b": np.full(3, number)}


def edit(path: Path, number: int) -> None:
    with h5burst.edit(path, f"edit {number}", threads=1) as tx:
        for name, value in content(number).items():
            tx.put(name, Array(value))


@functools.cache
def transaction(path: Path) -> h5burst.Transaction:
    """One that has been committed once."""
    tx = h5burst.edit(path, "before", threads=1)
    tx.put("a", Array(np.arange(70)))
    tx.commit()
    return tx


def commit_within(path: Path) -> None:
    tx = transaction(path)
    for name, value in content(5).items():
        tx.put(name, Array(value))
    tx.commit("within")


def edit_large(path: Path) -> None:
    with h5burst.edit(path, "large", threads=1) as tx:
        for number in range(4):
            tx.put(f"large{number}", Array(np.full(60_000, number)))


def save(path: Path) -> None:
    h5burst.save(path, content(2), overwrite=True)


def save_anew(path: Path) -> None:
    h5burst.save(path, content(2))


def promote_scratch(path: Path) -> None:
    scratch = h5burst.Scratch(path.parent, "file")
    tree = Group({name: Array(value) for name, value in content(2).items()})
    tree.children["large"] = Array(scratch.store(np.arange(20_000)))
    h5burst.write_tree_into_scratch(path, tree, scratch, overwrite=True, threads=1)


def summary(path: Path) -> None:
    with durable.replacing(path.with_name("batch_summary.json"), overwrite=True) as temporary:
        temporary.write_text('{"written": 2}\n', encoding="utf-8")


def repack(path: Path) -> None:
    h5burst.repack(path, path, overwrite=True)


WORKS: dict[str, Callable[[Path], object]] = {
    "save": save,
    "save_anew": save_anew,
    "edit": lambda path: edit(path, 4),
    "edit_large": edit_large,
    "commit": commit_within,
    "edit_copy": lambda path: edit(path, 4),
    "restore": lambda path: h5burst.restore(path, 1),
    "undo": h5burst.undo,
    "compact": h5burst.compact,
    "compact_keep": lambda path: h5burst.compact(path, 1),
    "repack": repack,
    "scratch": promote_scratch,
    "summary": summary,
}


def prepare(path: Path, work: str) -> None:
    if work == "summary":
        path.with_name("batch_summary.json").write_text('{"written": 1}\n', encoding="utf-8")
        return
    if work == "save_anew":
        return
    h5burst.save(path, content(1))
    for number in (2, 3):
        edit(path, number)
    if work == "commit":
        transaction(path)
    if work == "edit_copy":
        with h5py.File(path, "r+") as file:
            file.attrs["reference"] = file["a"].ref


def main(directory: str, trace: str, work: str) -> None:
    path = Path(directory).resolve() / "file.h5"
    recorder = ctypes.CDLL(None)
    prepare(path, work)
    print("ready", flush=True)
    sys.stdin.readline()
    recorder.record_begin(str(path.parent).encode(), trace.encode())
    WORKS[work](path)
    recorder.record_end()


if __name__ == "__main__":
    main(*sys.argv[1:])
