"""Power cuts during edits and restores: all that may be on the disk then is the old file or the new one.

The writes, changes of length and flushes of a commit are recorded. A crash may come after any of them; of what was not
flushed by then, any part may be lost, and a write may be torn at any 512 bytes.
"""

from __future__ import annotations

import io
import itertools
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array
from h5burst.write import commit

SECTOR = 512
MOST_EXHAUSTIVE = 10  # operations that are not flushed; of more, random subsets
Operation = tuple[str, int, bytes]  # "write", place, bytes; "length", bytes, none; "flush"


class Recorder:
    """What is written to a file, in its order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.operations: list[Operation] = []
        own = self.operations

        class Stream(io.FileIO):
            def write(self, data: Any) -> int:
                own.append(("write", self.tell(), bytes(data)))
                return super().write(data)

        def truncate(descriptor: int, length: int, real: Callable[[int, int], None] = os.ftruncate) -> None:
            own.append(("length", length, b""))
            real(descriptor, length)

        monkeypatch.setattr(commit, "open_stream", lambda descriptor: Stream(descriptor, "r+", closefd=False))
        monkeypatch.setattr(os, "ftruncate", truncate)
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, lambda _: own.append(("flush", 0, b"")))


def torn(operation: Operation, chance: random.Random) -> Operation:
    """Some of the sectors of a write."""
    kind, place, data = operation
    return kind, place, data[: SECTOR * chance.randrange(len(data) // SECTOR + 1)]


def applied(before: bytes, operations: list[Operation]) -> bytes:
    data = bytearray(before)
    for kind, at, content in operations:
        if kind == "length":
            data = data[:at] + bytes(max(0, at - len(data)))
        elif kind == "write":
            data += bytes(max(0, at - len(data)))
            data[at : at + len(content)] = content
    return bytes(data)


def crash_states(before: bytes, operations: list[Operation], chance: random.Random) -> Iterator[tuple[bytes, bool]]:
    """What may be on the disk, and whether the commit had been reported by then."""
    for stop in range(len(operations) + 1):
        flushes = [number for number in range(stop) if operations[number][0] == "flush"]
        kept = flushes[-1] if flushes else 0
        base = applied(before, operations[:kept])
        waiting = [operation for operation in operations[kept:stop] if operation[0] != "flush"]
        subsets: Any = itertools.product((False, True), repeat=len(waiting))
        if len(waiting) > MOST_EXHAUSTIVE:
            subsets = [[chance.random() < 0.5 for _ in waiting] for _ in range(1 << MOST_EXHAUSTIVE)]
        for chosen in subsets:
            some = [operation for operation, is_there in zip(waiting, chosen, strict=True) if is_there]
            yield applied(base, some), stop == len(operations)
            for number, operation in enumerate(some):
                if operation[0] == "write" and len(operation[2]) > SECTOR:
                    yield applied(base, [*some[:number], torn(operation, chance), *some[number + 1 :]]), False


def values(path: Path) -> Any:
    """What h5py and this package read; an error where they cannot, or differ."""
    with h5py.File(path) as file:
        found = {name: file[name][()].tolist() for name in file}
    if {name: value.tolist() for name, value in h5burst.load(path).items()} != found or h5burst.verify(path):
        raise OSError("it is damaged")
    return found


def bad_states(
    path: Path, before: bytes, operations: list[Operation], allowed: list[Any], scratch: Path
) -> tuple[int, int]:
    """How many crash states there are, and how many are neither the old nor, once it was reported, the new file."""
    count = bad = 0
    for data, is_reported in set(crash_states(before, operations, random.Random(0))):
        scratch.write_bytes(data)
        count += 1
        try:
            bad += values(scratch) not in (allowed[1:] if is_reported else allowed)
        except (OSError, KeyError, RuntimeError, ValueError):  # as h5py says it
            bad += 1
    return count, bad


def works(path: Path) -> Iterator[tuple[bool, Callable[[], Any]]]:
    """Edits and restores, one after the other; whether it is an edit."""

    def edit(number: int) -> None:
        with h5burst.edit(path, f"edit {number}", threads=1) as tx:
            tx.put("b", Array(np.arange(400 * number)))
            tx.put("c", Array(np.full(3, number)))

    yield True, lambda: edit(1)
    yield True, lambda: edit(2)
    yield False, lambda: h5burst.undo(path)
    yield False, lambda: h5burst.restore(path, 2)


def without(operations: list[Operation], number: int) -> list[Operation]:
    """The operations without one of the flushes."""
    flushes = [place for place, operation in enumerate(operations) if operation[0] == "flush"]
    return [operation for place, operation in enumerate(operations) if place != flushes[number]]


def test_a_power_cut_leaves_the_old_or_the_new_file_and_each_flush_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, scratch = tmp_path / "file.h5", tmp_path / "crashed.h5"
    h5burst.save(path, {"a": np.arange(30), "b": np.arange(5)})
    recorder = Recorder(monkeypatch)
    total = 0
    for is_edit, work in works(path):
        before, old = path.read_bytes(), values(path)
        recorder.operations.clear()
        work()
        operations, allowed = list(recorder.operations), [old, values(path)]
        assert [kind for kind, _, _ in operations].count("flush") == 2
        count, bad = bad_states(path, before, operations, allowed, scratch)
        assert bad == 0
        total += count
        assert bad_states(path, before, without(operations, 1), allowed, scratch)[1] > 0
        if is_edit:  # a restore's root is on the disk already
            assert bad_states(path, before, without(operations, 0), allowed, scratch)[1] > 0
    assert total >= 20
