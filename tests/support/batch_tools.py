"""What the tests of batches share: comparing files, running the command, workers that hang."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from h5burst import read_tree
from h5burst.model.tree import Array, Group
from hdmea.batch.run import BatchResult

PATIENCE_S = 900.0  # for what takes seconds on an idle machine: only what hangs is to fail
TIME_STAMPS = {"created_at", "updated_at", "saved_at", "extracted_at", "stage1_timestamp"}

needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a worker that hangs is made with a FIFO")


def write_spikes(path: Path, seed: int, units: int = 4, duration_s: float = 30.0) -> Path:
    rng = np.random.default_rng(seed)
    trains = [np.sort(rng.uniform(0, duration_s, rng.integers(20, 60))) for _ in range(units)]
    with h5py.File(path, "w") as file:
        file["spikes"] = np.concatenate(trains)
        file["sCount"] = np.array([len(train) for train in trains], np.int32)
        file["names"] = np.array([f"ch_{index}" for index in range(units)], "S8")
        file["epos"] = rng.uniform(0, 2000, (2, units))
        file["array"] = np.array(["test array"], "S12")
        file["summary/duration"] = np.array([duration_s])
    return path


def same_trees(one: Path, other: Path) -> bool:
    """Whether two files hold the same, time stamps aside."""
    nodes = [dict(read_tree(path).walk()) for path in (one, other)]
    return nodes[0].keys() == nodes[1].keys() and all(same_node(nodes[0][path], nodes[1][path]) for path in nodes[0])


def same_node(one: Array | Group, other: Array | Group) -> bool:
    attrs = [{k: v for k, v in node.attrs.items() if k not in TIME_STAMPS} for node in (one, other)]
    if type(one) is not type(other) or attrs[0].keys() != attrs[1].keys():
        return False
    if not all(_equal(attrs[0][name], attrs[1][name]) for name in attrs[0]):
        return False
    if isinstance(one, Array) and isinstance(other, Array):
        if one.data is None or other.data is None:
            return one.data is other.data
        return one.data.dtype == other.data.dtype and _equal(one.data, other.data)
    return True


def _equal(one: object, other: object) -> bool:
    """Whether values are the same, NaN like NaN."""
    arrays = np.asarray(one), np.asarray(other)
    return np.array_equal(*arrays, equal_nan=all(array.dtype.kind in "fc" for array in arrays))


def statuses(result: BatchResult) -> list[str]:
    return [outcome.status.value for outcome in result.outcomes]


def command(*arguments: str | Path, is_group: bool = False, **environment: str) -> subprocess.Popen[str]:
    """A running `hdmea batch`; is_group: with its workers a process group, which gets signals as one."""
    code = "import sys; from hdmea.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, "batch", *map(str, arguments)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=is_group,
    )


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.05)


HANGING_TABLE = "cluster_group.tsv"


def add_hanging(manifest: Path, name: str = "hangs") -> Path:
    """A recording, in a sorter's directory, whose worker waits for ever to read the labels of its clusters."""
    directory = manifest.parent / f"{name}.h5"
    directory.mkdir()
    np.save(directory / "spike_times.npy", np.arange(5))
    np.save(directory / "spike_clusters.npy", np.zeros(5, np.int64))
    (directory / "params.py").write_text("sample_rate = 20000.0\n")
    os.mkfifo(directory / HANGING_TABLE)
    with open(manifest, "a", encoding="utf-8") as stream:
        stream.write(f"{directory.name},{name}\n")
    return directory


def mend_hanging(directory: Path, good: Path) -> None:
    """Put a sound file in its place."""
    shutil.rmtree(directory)
    os.link(good, directory)


def holder(output: Path, name: str) -> int | None:
    """The process that works on a recording, as its lock says."""
    try:
        return int(json.loads((output / f".{name}.lock").read_text())["pid"])
    except (OSError, ValueError):
        return None


def wait_until_at_work(output: Path, name: str) -> None:
    """Wait until a recording's first step is run, as its log says."""

    def is_at_work() -> bool:
        try:
            return f"{name}: load_" in (output / "logs" / f"{name}.log").read_text(encoding="utf-8")
        except OSError:
            return False

    wait_for(is_at_work)
    assert holder(output, name) is not None


def holding_process(output: Path, name: str) -> int:
    """The process that works on a recording, which it must."""
    pid = holder(output, name)
    assert pid is not None, f"nobody works on {name}"
    return pid
