"""Repacking a file to gzip 4 beside h5repack, each side a process of its own, as users run them.

H5BURST_BENCH_REPACK_MB (200) is the size of the file. h5repack has one thread: its processor time over ours is what one
core gives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from harness import versus_processes

MEGABYTES = int(os.environ.get("H5BURST_BENCH_REPACK_MB", "200"))
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
OURS = """
import h5burst, sys
h5burst.repack(sys.argv[1], sys.argv[2], compression="gzip", compression_opts=4, overwrite=True)
"""
SAME = """
import h5py, sys
ours, theirs = (h5py.File(path)["x"] for path in sys.argv[1:])
assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
for at in range(0, len(ours), 50_000):
    assert (ours[at:at + 50_000] == theirs[at:at + 50_000]).all()
"""


@pytest.mark.skipif(shutil.which("h5repack") is None, reason="needs h5repack (Debian: hdf5-tools)")
@pytest.mark.parametrize(("kind", "target"), [("full", 6), ("int16", 6), ("rounded", 3)])
def test_repack(benchmark, kind, target, tmp_path):
    source, ours, theirs = (tmp_path / name for name in ("source.h5", "ours.h5", "theirs.h5"))
    make = f"kind, megabytes, path = {kind!r}, {MEGABYTES}, {str(source)!r}\n{MAKE}"
    subprocess.run([sys.executable, "-c", make], check=True)
    versus_processes(
        benchmark,
        [sys.executable, "-c", OURS, str(source), str(ours)],
        ["h5repack", "-f", "SHUF", "-f", "GZIP=4", str(source), str(theirs)],
        other_name="h5repack, shuffle and gzip",
        rounds=2,
        target_ratio=target,
    )
    subprocess.run([sys.executable, "-c", SAME, str(ours), str(theirs)], check=True)
    files = {"MB": source, "ours_MB": ours, "other_MB": theirs}
    benchmark.extra_info.update({name: path.stat().st_size / 1e6 for name, path in files.items()})
