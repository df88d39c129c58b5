"""Repacking a file to gzip 4 beside h5repack: alternating rounds, medians, peak memory of both.

    python benchmarks/repack.py [--megabytes 2000] [--rounds 3] [--kinds full,int16,rounded]

Each side is a process of its own, as users run them. Times are of the wall and of the processor; on a machine that does
other things, look at the latter: h5repack has one thread, so that its processor time over ours is what one core gives,
and that times the number of cores about what the wall shows on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

MAKE = """
import h5py, numpy as np
random = np.random.default_rng(0)
made = {
    "full": lambda n: random.normal(size=(n, 100)),
    "rounded": lambda n: random.normal(size=(n, 100)).round(2),
    "int16": lambda n: (random.normal(size=(n, 100)) * 30).astype("i2"),
}[kind]
with h5py.File(path, "w") as file:
    width = made(1).dtype.itemsize * 100
    rows = megabytes * 1_000_000 // width
    data = file.create_dataset("x", (rows, 100), made(1).dtype)
    for at in range(0, rows, 50_000):
        data[at:at + 50_000] = made(min(50_000, rows - at))
"""
OURS = "import h5burst, sys; h5burst.repack(sys.argv[1], sys.argv[2], compression='gzip', compression_opts=4)"


class Run(NamedTuple):
    """Seconds of the wall and of the processor, peak memory, bytes of the result."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    size: int


def run(command: list[str], target: Path) -> Run:
    """Run a program that writes `target`, which is removed again."""
    start = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{command[0]} failed")
    size = target.stat().st_size
    target.unlink()
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, size)


def median(runs: list[Run]) -> Run:
    """The median of each figure, the largest of the peaks."""
    wall, cpu = (statistics.median(getattr(one, name) for one in runs) for name in ("wall_s", "cpu_s"))
    return Run(wall, cpu, max(one.peak_bytes for one in runs), runs[0].size)


def compare(kind: str, megabytes: int, rounds: int, directory: Path) -> None:
    """Print the rows of one kind of data."""
    source, target = directory / "source.h5", directory / "target.h5"
    make = f"kind, megabytes, path = {kind!r}, {megabytes}, {str(source)!r}\n{MAKE}"
    subprocess.run([sys.executable, "-c", make], check=True)
    sides = {
        "h5burst": [sys.executable, "-c", OURS, str(source), str(target)],
        "h5repack": ["h5repack", "-f", "GZIP=4", str(source), str(target)],
        "h5repack with shuffle": ["h5repack", "-f", "SHUF", "-f", "GZIP=4", str(source), str(target)],
    }
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, command in sides.items():
            runs[name].append(run(command, target))
    ours, size = median(runs["h5burst"]), source.stat().st_size
    for name, found in runs.items():
        one = median(found)
        times = f"{one.wall_s:7.2f} s wall  {one.cpu_s:7.2f} s CPU"
        ratios = f"{one.wall_s / ours.wall_s:5.1f}x wall  {one.cpu_s / ours.cpu_s:5.1f}x CPU"
        memory = f"{one.peak_bytes / 1e6:5.0f} MB peak"
        print(f"{kind:8} {name:22} {times}  {memory}  {one.size / size:.3f} of the size  {ratios}", flush=True)
    source.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default="full,int16,rounded")
    parser.add_argument("--directory", type=Path)
    given = parser.parse_args()
    if shutil.which("h5repack") is None:
        sys.exit("h5repack is not installed: it comes with HDF5's tools (apt install hdf5-tools)")
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {given.megabytes} MB, medians of {given.rounds}")
    with tempfile.TemporaryDirectory(dir=given.directory) as made:
        for kind in given.kinds.split(","):
            compare(kind, given.megabytes, given.rounds, Path(made))


if __name__ == "__main__":
    main()
