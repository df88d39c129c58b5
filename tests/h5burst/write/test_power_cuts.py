"""Power cuts: whatever reaches the disk of what was not flushed, the old or the new file is there.

The system calls of saves, edits, restores, compactions, scratch files that become outputs and summaries are recorded
from outside; `support.power_cuts` says what may then be on the disk at any moment. Without any one of the flushes, or
with the superblock before the bytes, there are states that are neither.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import pytest

import h5burst
from support.power_cuts import Disk, Operation, crash_states, read_trace

HERE = Path(__file__).parent
WHOLE = bool(os.environ.get("H5BURST_WHOLE"))
MAX_UNFLUSHED = 12 if WHOLE else 4  # operations that are not flushed, of which all subsets are looked at
APPENDING = ("edit", "edit_large", "commit", "restore", "undo")
REPLACING = ("save", "save_anew", "edit_copy", "compact", "compact_keep", "repack", "scratch", "summary")

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcc") is None, reason="system calls are recorded with gcc and LD_PRELOAD"
)


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("recorder") / "recorder.so"
    source = HERE.parent / "runtime" / "recorder.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"], check=True)
    return library


class Done(NamedTuple):
    """A piece of work: the disk before it, what was done, what is read of it before and after, and where."""

    before: Disk
    operations: list[Operation]
    old: Any
    new: Any
    path: Path
    scratch: Path


def done(recorder: Path, directory: Path, work: str) -> Done:
    place, trace = directory / "place", directory / "trace"
    place.mkdir()
    command = [sys.executable, HERE / "recorded_work.py", place, trace, work]
    environment = {**os.environ, "LD_PRELOAD": str(recorder)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        path = place / ("batch_summary.json" if work == "summary" else "file.h5")
        before, old = Disk.of(place), seen(path)
        process.communicate("go\n")
    assert process.returncode == 0
    return Done(before, read_trace(trace), old, seen(path), path, directory / path.name)


def seen(path: Path) -> Any:
    """What h5py, this package and `verify` find, and the log; None without a file; an error where they differ."""
    if not path.exists():
        return None
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    with h5py.File(path) as file:
        found = {name: file[name][()].tolist() for name in file}
    if {name: value.tolist() for name, value in h5burst.load(path).items()} != found or h5burst.verify(path):
        raise OSError("it is damaged")
    log = [(commit.number, commit.message, commit.note) for commit in h5burst.log(path)]
    return found, log


def bad_states(one: Done, operations: list[Operation], max_bad: int = 100) -> tuple[int, list[str]]:
    """How many states there are, and what is wrong in those that are neither file, or the old one when reported.

    max_bad: no more are looked for.
    """
    looked_at: set[tuple[bytes, bool]] = set()
    bad = []
    for data, is_reported in crash_states(one.before, operations, one.path.name, MAX_UNFLUSHED):
        state = b"" if data is None else hashlib.sha256(data).digest(), is_reported
        if state in looked_at:
            continue
        looked_at.add(state)
        if len(bad) >= max_bad:
            break
        one.scratch.unlink(missing_ok=True)
        if data is not None:
            one.scratch.write_bytes(data)
        try:
            found = seen(one.scratch)
        except (OSError, KeyError, RuntimeError, ValueError) as error:  # as h5py says it
            bad.append(repr(error))
            continue
        if found != one.new and (is_reported or found != one.old):
            bad.append(f"{'reported: ' if is_reported else ''}{found}"[:200])
    return len(looked_at), bad


@pytest.mark.parametrize("work", APPENDING + REPLACING)
def test_a_power_cut_leaves_the_old_or_the_new_file(recorder: Path, tmp_path: Path, work: str) -> None:
    one = done(recorder, tmp_path, work)
    assert one.old != one.new
    flushes = [number for number, operation in enumerate(one.operations) if operation.is_flush]
    assert [one.operations[number].kind for number in flushes] == (["s", "s"] if work in APPENDING else ["s", "S"])
    count, bad = bad_states(one, one.operations)
    assert bad == []
    assert count > 1
    print(f"{work}: {count} states")
    for left_out in flushes:  # each is needed
        less = [operation for number, operation in enumerate(one.operations) if number != left_out]
        assert bad_states(one, less, 1)[1] != [], f"flush {flushes.index(left_out)} is not needed"


@pytest.mark.parametrize("work", APPENDING)
def test_the_superblock_before_the_bytes_is_found(recorder: Path, tmp_path: Path, work: str) -> None:
    one = done(recorder, tmp_path, work)
    first = next(number for number, operation in enumerate(one.operations) if operation.is_flush)
    switch = next(number for number, operation in enumerate(one.operations) if number > first and operation.kind == "w")
    assert (one.operations[switch].offset, len(one.operations[switch].data)) == (0, 48)
    early = [*one.operations[:switch], *one.operations[switch + 1 :]]
    early.insert(0, one.operations[switch])
    assert bad_states(one, early, 1)[1] != []
