"""How many threads: what cannot be is refused before anything is done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import h5burst
from h5burst import Array, Group
from h5burst.runtime import cgroups, threads


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Files of the system to fill in, on a machine of 64 CPUs."""
    files: dict[str, str] = {}
    monkeypatch.setattr(cgroups, "lines", lambda path: files.get(str(path), "").split("\n"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    for variable in ("H5BURST_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(variable, raising=False)
    threads._quota.cache_clear()
    yield files
    threads._quota.cache_clear()


def cpu_groups(of: str, **contents: str) -> dict[str, str]:
    """The file that names the groups, and below /sys/fs/cgroup others, by path with __ for /."""
    return {"/proc/self/cgroup": of} | {
        f"/sys/fs/cgroup/{name.replace('__', '/').replace('_max', '.max').replace('_cfs', '.cfs')}": text
        for name, text in contents.items()
    }


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 64),
        (cpu_groups("0::/", cpu_max="max 100000"), 64),
        (cpu_groups("0::/", cpu_max="400000 100000"), 4),
        (cpu_groups("0::/a/b", a__b__cpu_max="max 100000", a__cpu_max="250000 100000"), 3),
        (cpu_groups("0::/", cpu_max="50000 100000"), 1),
        (cpu_groups("4:cpu:/x\n0::/", cpu__cpu_cfs_quota_us="150000", cpu__cpu_cfs_period_us="100000"), 2),
        (cpu_groups("4:cpu:/", cpu__cpu_cfs_quota_us="-1", cpu__cpu_cfs_period_us="100000"), 64),
    ],
    ids=["none", "2, no quota", "2, four CPUs", "2, group above", "2, half a CPU", "1, one and a half", "1, no quota"],
)
def test_a_quota_of_a_container_is_obeyed(machine: dict[str, str], files: dict[str, str], count: int) -> None:
    machine.update(files)
    assert threads.thread_count() == count
    assert threads.thread_count(7) == 7


def test_a_thread_has_a_limit_of_its_own(machine: dict[str, str]) -> None:
    with threads.thread_limit(3):
        assert threads.thread_count() == 3
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(threads.thread_count).result() == 64
        with threads.thread_limit(None):
            assert threads.thread_count() == 3
    assert threads.thread_count() == 64


@pytest.mark.parametrize("text", ["100000", "1" + "0" * 5000])
def test_threads_that_cannot_be_started_are_refused_at_once(
    machine: dict[str, str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("H5BURST_NUM_THREADS", text)
    with pytest.raises(ValueError, match="H5BURST_NUM_THREADS must be at most 4096"):
        threads.thread_count()
    with pytest.raises(ValueError, match="at most 4096"):
        threads.thread_count(100_000)


SMALL = Group({"a": Array(np.arange(3))})  # for which no thread is needed
VERBS: dict[str, Callable[..., Any]] = {
    "write_tree": lambda path, **options: h5burst.write_tree(path.with_name("new.h5"), SMALL, **options),
    "save": lambda path, **options: h5burst.save(path.with_name("new.h5"), {"a": 1}, **options),
    "repack": lambda path, **options: h5burst.repack(path, path.with_name("new.h5"), **options),
    "edit": lambda path, **options: h5burst.edit(path, **options),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    h5burst.write_tree(tmp_path / "a.h5", SMALL)
    return tmp_path / "a.h5"


@pytest.mark.parametrize("verb", VERBS)
def test_no_threads_are_refused_at_once(verb: str, path: Path) -> None:
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        VERBS[verb](path, threads=0)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("verb", VERBS)
def test_a_variable_that_is_no_number_is_named_at_once(verb: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("H5BURST_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="H5BURST_NUM_THREADS must be a whole number of at least 1, got 'many'"):
        VERBS[verb](path)
    assert list(path.parent.iterdir()) == [path]


def test_ctrl_c_while_a_thread_starts_lets_python_end() -> None:
    """The executors of the standard library do not know a thread whose start was interrupted, and wait for it."""
    code = """
import threading
from h5burst import parallel_map
from h5burst.runtime import threads
start = threading.Thread.start
def interrupted(self):
    start(self)
    threading.Thread.start = start
    raise KeyboardInterrupt
threading.Thread.start = interrupted
before = threads.pool(2)
try:
    parallel_map(abs, range(4), 2)
except KeyboardInterrupt:
    print("interrupted")
print(parallel_map(abs, range(4), 2), before.submit(abs, -5).result())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "interrupted\n[0, 1, 2, 3] 5\n"


def test_no_threads_are_refused_for_a_graft(path: Path) -> None:
    with (
        h5burst.open_file(path, "r+") as file,
        pytest.raises(ValueError, match="threads must be at least 1, got 0"),
    ):
        h5burst.graft(file, "b", Array(np.arange(3)), threads=0)
