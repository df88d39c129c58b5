"""Too little memory, other threads that change what is saved, and signals: an error or a whole file, never a crash."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from h5burst import Array, Group, Storage, read_tree, verify, write_tree

_SCARCE = """
import os, resource, sys
import numpy as np
import h5burst
from h5burst import Array, Group, Storage

path, more = sys.argv[1], int(sys.argv[2])
small = Group({"a": Array(np.arange(3_000_000.0))})
first = path + ".first"  # what is imported and kept is there before the limit is
h5burst.write_tree(first, Group({"a": Array(np.arange(50_000))}), storage=Storage("gzip"))
h5burst.read_tree(first), h5burst.verify(first), os.remove(first)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))
ways = {
    "read": lambda: h5burst.read_tree(path),
    "verify": lambda: h5burst.verify(path),
    "save": lambda: h5burst.write_tree(path, small, storage=Storage("gzip"), overwrite=True),
}
try:
    found = ways[sys.argv[3]]()
    print("fine" if found is None or isinstance(found, Group) else [problem.message for problem in found] or "fine")
except MemoryError:
    print("MemoryError")
except OSError as error:
    print(error)
"""
_WORDS = ("fine", "MemoryError", "memory", "start")  # a thread, or the child that runs libhdf5, that cannot start


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("way", ["read", "verify", "save"])
@pytest.mark.parametrize("more", [1 << 20, 20 << 20, 60 << 20])
def test_too_little_memory_is_said(way: str, more: int, tmp_path: Path) -> None:
    """Address space for one MiB, 20 or 60 more, where an array of 80 MB is read and one of 24 MB is compressed."""
    path = tmp_path / "a.h5"
    storage = Storage("gzip")
    old = np.arange(10_000_000.0) % 1000
    write_tree(path, Group({"old": Array(old), "small": Array(np.arange(3))}), storage=storage)
    done = subprocess.run(
        [sys.executable, "-c", _SCARCE, str(path), str(more), way], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert any(word in done.stdout for word in _WORDS), done.stdout
    if way == "read":
        assert "fine" not in done.stdout  # else the limit is no limit
    kept = read_tree(path)
    if way != "save" or "fine" not in done.stdout:
        np.testing.assert_array_equal(kept["old"].data, old)  # type: ignore[union-attr]
    else:
        np.testing.assert_array_equal(kept["a"].data, np.arange(3_000_000.0))  # type: ignore[union-attr]
    assert [name.name for name in tmp_path.iterdir()] == ["a.h5"]


def test_a_tree_that_another_thread_changes_is_an_error_or_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    tree = Group({f"{n}": Array(np.full(10, n)) for n in range(2000)})
    write_tree(path, tree)
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            tree.children[f"new {number % 50}"] = Group({"x": Array(np.arange(number % 7))}, {"a": number})
            tree.children.pop(f"new {(number + 25) % 50}", None)

    thread = threading.Thread(target=change)
    thread.start()
    outcomes = []
    try:
        for _ in range(30):
            try:
                write_tree(path, tree, overwrite=True)
                outcomes.append("saved")
            except RuntimeError as error:
                outcomes.append(str(error))
            found = read_tree(path)
            assert len(found.children) >= 2000
            assert all(found.children[f"{n}"].data[0] == n for n in range(0, 2000, 100))  # type: ignore[union-attr, index]
    finally:
        stop.set()
        thread.join()
    assert verify(path) == []
    assert [name.name for name in tmp_path.iterdir()] == ["a.h5"]


_SAVER = """
import signal, sys
import numpy as np
from h5burst import Array, Group, Storage, write_tree

if sys.argv[2] == "handled":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
number = 0
print("begin", flush=True)
while True:
    number += 1
    arrays = {f"{n}": Array(np.full(30_000, number)) for n in range(40)}
    write_tree(sys.argv[1], Group(arrays), storage=Storage("gzip"), overwrite=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
@pytest.mark.parametrize("kind", ["handled", "default"])
@pytest.mark.parametrize("seed", range(3))
def test_two_signals_to_end_leave_one_whole_file(kind: str, seed: int, tmp_path: Path) -> None:
    path, rng = tmp_path / "a.h5", np.random.default_rng(seed)
    write_tree(path, Group({f"{n}": Array(np.full(30_000, 0)) for n in range(40)}))
    saver = subprocess.Popen([sys.executable, "-c", _SAVER, str(path), kind], stdout=subprocess.PIPE, text=True)
    assert saver.stdout is not None
    assert saver.stdout.readline() == "begin\n"
    time.sleep(rng.uniform(0.01, 0.2))
    saver.send_signal(signal.SIGTERM)
    time.sleep(rng.uniform(0, 0.005))
    saver.send_signal(signal.SIGTERM)
    saver.communicate(timeout=60)
    assert saver.returncode in (143, -signal.SIGTERM)
    assert verify(path) == []
    tree = read_tree(path)
    assert len({int(node.data[k]) for node in tree.children.values() for k in (0, -1)}) == 1  # type: ignore[union-attr, index]
    write_tree(path, tree, overwrite=True)
    assert [name.name for name in tmp_path.iterdir()] == ["a.h5"]  # what was left is cleared by the next save
