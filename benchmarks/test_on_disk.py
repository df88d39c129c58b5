"""A recording that is read from the disk: its electrical images, and a session of it within a memory budget.

`H5BURST_BENCH_DISK_GB` (8) says how large the recording is; the disk takes three times as much.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import workloads
from harness import alone, limit, peak_memory, versus

from h5burst import parallel_map
from h5burst.read.blocks import read_ahead
from hdmea.features.eimage_sta import compute_eimage_sta
from hdmea.io.cmcr import open_recording
from hdmea.simulate import mcs_files

GIGABYTES = float(os.environ.get("H5BURST_BENCH_DISK_GB", "8"))
RATE, SIDE, BLOCK = 20_000, 65, 4096
SPIKES_PER_S, WINDOW = 10, (-10, 40)
BUDGET_BYTES = 2 << 30
LIBRARY = str(Path(__file__).parent)

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the page cache cannot be dropped")


class Noise:
    """Noise on an offset as long as it is wanted: pieces of one block that begin at different places."""

    dtype = np.dtype(np.int16)

    def __init__(self, frames: int) -> None:
        self.shape = (frames, SIDE, SIDE)
        noise = np.random.default_rng(0).normal(200, 20, (2 * BLOCK, SIDE, SIDE)).astype(np.float32)
        self._noise = np.rint(noise).astype(np.int16)

    def read(self, start, stop):
        at = start // BLOCK * 997 % BLOCK
        rows = (at + np.arange(stop - start)) % len(self._noise)
        return self._noise[rows]


@pytest.fixture(scope="module")
def recording():
    """A `.cmcr` file of `GIGABYTES` with the full chip at 20 kHz."""
    path = workloads.directory() / "on_disk" / "long.cmcr"
    path.parent.mkdir()
    frames = int(GIGABYTES * 1e9 / 2 / SIDE**2) // BLOCK * BLOCK
    mcs_files.write_cmcr(
        path,
        sampling_rate=RATE,
        sample_count=frames,
        analog=iter(np.zeros((frames // BLOCK, 2, BLOCK), np.int32)),
        sensor=Noise(frames),
        rng=np.random.default_rng(0),
    )
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())
    yield path
    path.unlink()


def forget(path):
    """Leave nothing of a file in the page cache."""
    with open(path, "rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_alone(path):
    """Every byte of the file by one thread into one buffer."""
    buffer = bytearray(8 << 20)
    with open(path, "rb", buffering=0) as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while stream.readinto(buffer):
            pass


def trains(frames, units):
    rng, count = np.random.default_rng(1), max(1, SPIKES_PER_S * frames // RATE)
    return {f"unit_{n:03d}": np.sort(rng.integers(0, frames, count)).astype(np.int64) for n in range(1, units + 1)}


def images(path, units):
    with open_recording(path) as source:
        frames = source.sensor.shape[0]
        compute_eimage_sta(
            source.sensor,
            trains(frames, units),
            sampling_rate=RATE,
            duration_s=frames / RATE,
            window_range=WINDOW,
            cutoff_hz=100.0,
            filter_order=2,
        )


@pytest.mark.parametrize(("units", "share"), [(100, 0.8), (400, 0.6)])
def test_electrical_images(benchmark, recording, units, share):
    """Against reading the file's bytes and no more; neither side finds any of them in the page cache."""
    versus(
        benchmark,
        lambda: images(recording, units),
        lambda: read_alone(recording),
        other_name="reading alone",
        same=None,
        rounds=1,
        warmup=False,
        before=lambda: forget(recording),
        target_ratio=share,
        units=units,
        MB=recording.stat().st_size / 1e6,
    )
    benchmark.extra_info["MB_s"] = benchmark.extra_info["MB"] / benchmark.extra_info["ours_s"]
    if units == 400:
        min_adding(benchmark, recording, units)


def min_adding(benchmark, path, units):
    """Windows of a block of single precision, each added to its unit's sums by numpy, as many as the recording has."""
    with open_recording(path) as source:
        count = sum(map(len, trains(source.sensor.shape[0], units).values()))
    length = WINDOW[1] - WINDOW[0]
    sums, block = np.zeros((units, length, SIDE, SIDE), np.float32), np.ones((512, SIDE, SIDE), np.float32)
    starts = np.random.default_rng(0).integers(0, len(block) - length, units)

    def add(unit):
        np.add(sums[unit], block[starts[unit] : starts[unit] + length], out=sums[unit])

    what = "adding a window a spike to sums in memory, with numpy on two threads"
    limit(benchmark, what, lambda: parallel_map(add, range(units), 2), times=count / units)


def test_blocks_of_the_recording(benchmark, recording):
    """What the product's own reading ahead gives, without any computing."""

    def ours():
        with open_recording(recording) as source:
            for _ in read_ahead(source.sensor, 512):
                pass

    versus(
        benchmark,
        ours,
        lambda: read_alone(recording),
        other_name="reading alone",
        same=None,
        rounds=1,
        warmup=False,
        before=lambda: forget(recording),
    )


def test_a_session_beyond_its_budget(benchmark, recording):
    """The whole sensor stream becomes part of a session of 2 GiB of memory, and is saved; in a process of its own."""
    output = workloads.directory() / "budget"
    setup = f"""
import sys; sys.path.insert(0, {LIBRARY!r})
from pathlib import Path
from h5burst import parallel_map
from hdmea.io.cmcr import open_recording
from hdmea.pipeline import create_session
parallel_map(len, ["a", "b"])
"""
    work = f"""
with open_recording({str(recording)!r}) as source, create_session(
    "long", output_dir={str(output)!r}, memory_budget={BUDGET_BYTES}
) as session:
    session.add_metadata({{"sensor": session.stream(source.sensor)}})
    session.save()
"""
    measured = {}
    forget(recording)
    alone(benchmark, lambda: measured.update(peak_memory(setup, work)), rounds=1, warmup=False)
    size = (output / "long.h5").stat().st_size
    (output / "long.h5").unlink()
    peak = measured["peak"] - measured["before"]
    assert peak < BUDGET_BYTES, f"{peak} bytes"
    benchmark.extra_info.update(MB=size / 1e6, MB_s=size / 1e6 / benchmark.extra_info["ours_s"], peak_MB=peak / 1e6)
