"""Locks on file systems that lock, that cannot, and that only say so.

Nothing of a living process is taken or removed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from h5burst.runtime import edit_locks, locks, private_files
from h5burst.runtime.processes import Process
from support import faulty

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="preloads a library into processes")
FILE_SYSTEMS = [
    {},
    {"FAULT_FLOCK": "enosys"},
    {"FAULT_FLOCK": "granted"},
    {"FAULT_FLOCK": "granted", "FAULT_LINK": "eperm"},
]
SUFFIX = ".h5burst-tmp"

HOLD = """
import sys
from pathlib import Path
from h5burst.runtime import locks
try:
    with locks.holding(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
except locks.FileHeldError as error:
    print("refused", error.strerror, flush=True)
"""
SCRATCH = """
import sys
from pathlib import Path
import numpy as np
from h5burst.memory.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]), "data")
stored = scratch.store(np.arange(100_000))
print("stored", flush=True)
sys.stdin.readline()
again = scratch.store(np.arange(100_000))
print(int(np.asarray(stored).sum() == np.asarray(again).sum()), flush=True)
scratch.close()
"""
SAVE = """
import sys
from pathlib import Path
import numpy as np
import h5burst
from h5burst.model.tree import Array, Group
path, number = Path(sys.argv[1]), int(sys.argv[2])
for _ in range(12):
    h5burst.write_tree(path, Group({str(i): Array(np.full(5000, number)) for i in range(20)}), overwrite=True)
    tree = h5burst.read_tree(path)
    values = {int(v) for node in tree.children.values() for v in np.unique(node.data)}
    assert len(values) == 1 and len(tree.children) == 20, values
"""


@contextmanager
def running(code: str, *arguments: object, **faults: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=faulty.environment(**faults),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def answered(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return said(process)


@pytest.mark.parametrize("faults", FILE_SYSTEMS, ids=str)
def test_one_of_two_holds_a_lock_file_and_a_dead_holder_does_not_keep_it(
    tmp_path: Path, faults: dict[str, str]
) -> None:
    lock = tmp_path / "lock"
    with running(HOLD, lock, **faults) as first:
        assert said(first) == "held"
        with running(HOLD, lock, **faults) as second:
            assert said(second).startswith(f"refused locked by process {first.pid} on ")
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert lock.exists()
        with running(HOLD, lock, **faults) as third:
            assert said(third) == "held"
            assert json.loads(lock.read_text())["pid"] == third.pid
            answered(third)
            third.wait()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("faults", FILE_SYSTEMS[1:], ids=str)
def test_of_many_who_find_a_dead_holder_one_takes_the_lock(tmp_path: Path, faults: dict[str, str]) -> None:
    lock = tmp_path / "lock"
    with running(HOLD, lock, **faults) as first:
        said(first)
    for _ in range(2):
        assert lock.exists()
        crowd = [
            subprocess.Popen(
                [sys.executable, "-c", HOLD, lock],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=faulty.environment(**faults),
            )
            for _ in range(4)
        ]
        words = [said(process).split()[0] for process in crowd]
        for process in crowd:  # the winner leaves the lock behind
            process.kill()
            process.communicate()
        assert sorted(words) == ["held", "refused", "refused", "refused"]


@pytest.mark.parametrize("faults", FILE_SYSTEMS, ids=str)
def test_a_live_scratch_file_is_never_taken_for_abandoned(tmp_path: Path, faults: dict[str, str]) -> None:
    with running(SCRATCH, tmp_path, **faults) as first:
        assert said(first) == "stored"
        with running(SCRATCH, tmp_path, **faults) as second:
            assert said(second) == "stored"
            assert answered(first) == "1"
            first.wait()
            assert answered(second) == "1"
            second.wait()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("faults", FILE_SYSTEMS[1:], ids=str)
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path, faults: dict[str, str]) -> None:
    with running(SCRATCH, tmp_path, **faults) as first:
        said(first)
    assert len(list(tmp_path.iterdir())) == 1
    with running(SCRATCH, tmp_path, **faults) as second:
        assert said(second) == "stored"
        assert len(list(tmp_path.iterdir())) == 1
        assert answered(second) == "1"
        second.wait()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("faults", FILE_SYSTEMS[1:], ids=str)
def test_savers_of_one_path_all_succeed_and_every_file_is_whole(tmp_path: Path, faults: dict[str, str]) -> None:
    path = tmp_path / "a.h5"
    savers = [
        subprocess.Popen([sys.executable, "-c", SAVE, path, str(number)], env=faulty.environment(**faults))
        for number in range(3)
    ]
    assert [saver.wait() for saver in savers] == [0, 0, 0]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.h5"]


# ---------------------------------------------------------------- lock files that are none


def test_a_link_is_no_lock_file_and_its_target_is_left_alone(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(OSError, match="not a lock file: remove it"), locks.holding(tmp_path / "lock"):
        pass
    assert victim.read_text() == "precious"


def test_a_pipe_is_no_lock_file_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(OSError, match="not a lock file: remove it"), locks.holding(tmp_path / "lock"):
        pass


@pytest.mark.parametrize("content", ["", "{", '{"host": 1}', "[" * 100_000, '{"pid": 99999999999999999999}', "\0"])
def test_a_lock_file_of_nonsense_never_crashes(tmp_path: Path, content: str) -> None:
    lock = tmp_path / "lock"
    lock.write_text(content)
    with pytest.raises(locks.FileHeldError), locks.holding(lock):
        pass
    os.utime(lock, (time.time() - 100, time.time() - 100))
    with locks.holding(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert not lock.exists()


def test_a_lock_of_another_machine_is_kept_where_nothing_can_be_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "lock"
    elsewhere = {"host": "elsewhere", "pid": 1, "process": str(Process("0" * 8, "0" * 8, 1, 1))}
    lock.write_text(json.dumps(elsewhere))
    monkeypatch.setattr(locks, "fcntl", None)
    with pytest.raises(locks.FileHeldError, match="process 1 on elsewhere"), locks.holding(lock):
        pass
    monkeypatch.undo()
    with locks.holding(lock):  # this file system refuses locks to others, and gave this one
        pass


def test_a_lock_removed_by_hand_and_taken_by_another_is_not_removed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with locks.holding(lock):
        lock.unlink()
        lock.write_text('{"host": "elsewhere", "pid": 1}')
    assert lock.exists()


# ---------------------------------------------------------------- processes and private files


def test_a_process_is_told_from_its_successor_of_the_same_number() -> None:
    own = Process.current()
    assert Process.parse(str(own)) == own
    assert own.is_gone() is False
    assert Process(own.machine, own.boot, own.pid, own.started + 1).is_gone() is True
    assert Process(own.machine, "00000000", own.pid, own.started).is_gone() is True
    assert Process("00000000", own.boot, own.pid, own.started).is_gone() is None


def test_a_killed_child_that_nobody_waited_for_is_gone() -> None:
    child = os.fork()
    if child == 0:
        signal.pause()
    os.kill(child, signal.SIGKILL)
    try:
        own = Process.current()
        deadline = time.monotonic() + 10
        while not Process(own.machine, own.boot, child, 0).is_gone():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.waitpid(child, 0)


def test_another_machines_file_is_let_alone_for_a_day(tmp_path: Path) -> None:
    mine, descriptor = private_files.create(tmp_path, "data", SUFFIX)
    os.close(descriptor)
    theirs = tmp_path / mine.name.replace(Process.current().machine, "0" * 8)
    mine.rename(theirs)
    assert private_files.remove_abandoned(tmp_path, "data", SUFFIX) == []
    os.utime(theirs, (time.time() - 90_000, time.time() - 90_000))
    assert private_files.remove_abandoned(tmp_path, "data", SUFFIX) == [theirs]


def test_private_files_have_names_that_fit_and_that_nobody_else_uses(tmp_path: Path) -> None:
    for name in ("a.h5", "ä" * 125, "x" * 250):
        path, descriptor = private_files.create(tmp_path, name, SUFFIX)
        os.close(descriptor)
        assert path.stat().st_mode & 0o777 == 0o600
        assert private_files.is_for(path.name, name, SUFFIX)
        assert not private_files.is_for(path.name, f"{name}.b", SUFFIX)
        assert path.suffix == SUFFIX
    link = tmp_path / f".a.h5{SUFFIX}"
    link.symlink_to(tmp_path / "x")
    assert private_files.remove_abandoned(tmp_path, "a.h5", SUFFIX) == []


def test_a_link_planted_at_a_guessed_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_files.secrets, "token_hex", lambda count: "0" * 2 * count)
    path, descriptor = private_files.create(tmp_path, "a.h5", SUFFIX)
    os.close(descriptor)
    path.unlink()
    victim = tmp_path / "victim"
    for content in ("precious", None):  # a link to nothing would make a file elsewhere
        victim.unlink() if content is None else victim.write_text(content)
        path.unlink(missing_ok=True)
        path.symlink_to(victim)
        with pytest.raises(FileExistsError):
            private_files.create(tmp_path, "a.h5", SUFFIX)
        assert (victim.read_text() if victim.exists() else None) == content


def test_lock_files_of_edits_have_names_that_fit(tmp_path: Path) -> None:
    short, long = edit_locks.lock_file_of(tmp_path / "a.h5"), edit_locks.lock_file_of(tmp_path / ("ü" * 120 + ".h5"))
    assert short.name == f".a.h5{edit_locks.LOCK_SUFFIX}"
    assert long.name.endswith(edit_locks.LOCK_SUFFIX)
    with locks.holding(long):
        assert long.exists()
    assert edit_locks.lock_file_of(tmp_path / ("ü" * 121 + ".h5")) != long
