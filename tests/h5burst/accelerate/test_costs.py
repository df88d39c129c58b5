"""What taking over costs beside h5py alone: memory, the first call, and calls that are left to h5py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

MIB = 2**20
PROGRAM = """
import json, os, sys, time
os.environ["H5BURST_NUM_THREADS"] = "4"
is_auto, work, path = sys.argv[1] == "auto", sys.argv[2], sys.argv[3]
import h5py
import numpy as np

if is_auto:
    import h5burst.auto


def most():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024


if work == "write":
    data = (np.arange(40_000_000) // 7 % 30_000).astype(np.int32).reshape(-1, 400)
with h5py.File(path, "w" if work == "write" else "r") as file:
    if work == "write":
        open("/proc/self/clear_refs", "w").write("5")
        before = most()
        file.create_dataset("x", data=data, chunks=(1000, 400), compression="gzip", compression_opts=1, shuffle=True)
    elif work == "read":
        open("/proc/self/clear_refs", "w").write("5")
        before = most()
        file["x"][...]
    else:
        before, started = most(), time.process_time()
        file["x"][0 : 10 if work == "left" else 1000]
first_s = time.process_time() - started if work in ("left", "taken") else None
print(json.dumps({"bytes": most() - before, "first_s": first_s}))
"""


def figures(side: str, work: str, path: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, side, work, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert not done.returncode, done.stderr
    result: dict[str, float] = json.loads(done.stdout)
    return result


class Written(NamedTuple):
    """A file that h5py alone wrote, and the memory that this took."""

    path: Path
    bytes: float


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    path = tmp_path_factory.mktemp("alone") / "x.h5"
    return Written(path, figures("alone", "write", path)["bytes"])


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_is_h5pys_and_64_mib(written: Written, tmp_path: Path) -> None:
    """160 MB in 100 chunks of 1.6 MB, in four threads."""
    assert figures("auto", "write", tmp_path / "auto.h5")["bytes"] <= written.bytes + 64 * MIB
    alone = figures("alone", "read", written.path)["bytes"]
    assert alone > 150 * MIB  # the result; so memory is seen
    assert figures("auto", "read", written.path)["bytes"] <= alone + 64 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("work", ["left", "taken"])
def test_the_first_call_takes_a_few_milliseconds_more(work: str, written: Written) -> None:
    """CPU time of the first call in its process, which is left to h5py or taken over: the quickest of five."""
    first = {side: min(figures(side, work, written.path)["first_s"] for _ in range(5)) for side in ("alone", "auto")}
    assert first["auto"] - first["alone"] <= 0.005
