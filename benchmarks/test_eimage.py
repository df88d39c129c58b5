"""Electrical images: 2 s of a full chip at 20 kHz, from a file in the page cache, on two threads."""

from __future__ import annotations

import statistics
import time

import h5py
import numpy as np
import pytest
from harness import alone, cached_read_bandwidth, memcpy_bandwidth, peak_memory, versus
from naive import eimage as naive
from scipy.signal import butter

import h5burst
from h5burst.runtime import simd
from hdmea.features.eimage_sta import compute_eimage_sta
from hdmea.kernels import eimage

RATE, ROWS, COLUMNS, SECONDS = 20_000.0, 65, 65, 2.0
FRAMES = int(RATE * SECONDS)
CUTOFF_HZ, ORDER, WINDOW = 100.0, 2, (-10, 40)
THREADS = 2
RECORDING_BYTES = FRAMES * ROWS * COLUMNS * 2


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A file of noise on drift and an offset; reading it once puts it into the page cache."""
    path = tmp_path_factory.mktemp("eimage") / "recording.h5"
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 20, (FRAMES + 4096) * 7).astype(np.float32)
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("sensor", (FRAMES, ROWS, COLUMNS), np.int16)
        for start in range(0, FRAMES, 2000):
            size = min(2000, FRAMES - start) * ROWS * COLUMNS
            block = np.resize(np.roll(noise, start * 13), size).reshape(-1, ROWS, COLUMNS)
            dataset[start : start + len(block)] = np.rint(block + 200).astype(np.int16)
    yield path
    path.unlink()


def trains(units, spikes_per_second=10.0):
    rng = np.random.default_rng(1)
    return [np.sort(rng.integers(0, FRAMES, int(spikes_per_second * SECONDS))) for _ in range(units)]


def ours(path, spikes, **options):
    with h5burst.open(path) as file:
        named = {f"unit_{number:03d}": train for number, train in enumerate(spikes, start=1)}
        images = compute_eimage_sta(
            file["sensor"],
            named,
            sampling_rate=RATE,
            duration_s=SECONDS,
            window_range=WINDOW,
            cutoff_hz=CUTOFF_HZ,
            filter_order=ORDER,
            threads=THREADS,
            **options,
        )
    return [feature["data"].reshape(WINDOW[1] - WINDOW[0], -1) for feature in images.features.values()]


def deviation(got, expected):
    """The largest difference, relative to the peak."""
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(got, expected, strict=True))


def shares(path, seconds):
    """Bytes of the recording a second, against what reading alone and copying alone reach in this run."""
    rate = RECORDING_BYTES / seconds
    return {
        "GB/s": rate / 1e9,
        "share_of_cached_read": rate / cached_read_bandwidth(str(path.parent)),
        "share_of_memcpy": rate / memcpy_bandwidth(),
    }


def median_seconds(function, rounds=3):
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def test_five_units_against_scipy(benchmark, recording):
    spikes = trains(5, 200.0)
    arguments = (recording, "sensor", spikes, WINDOW, CUTOFF_HZ, ORDER, RATE)
    result = versus(
        benchmark,
        lambda: ours(recording, spikes),
        lambda: naive.electrical_images(*arguments),
        other_name="scipy sosfiltfilt",
        same=lambda got, expected: deviation(got, expected) < 1e-4,
        target_ratio=16,
        target_s=0.18,
    )
    benchmark.extra_info.update(shares(recording, statistics.median(result.ours)))


def test_five_units_against_spikeinterface(benchmark, recording):
    pytest.importorskip("spikeinterface")
    spikes = trains(5, 200.0)
    versus(
        benchmark,
        lambda: ours(recording, spikes),
        lambda: naive.spikeinterface_images(recording, "sensor", spikes, WINDOW, CUTOFF_HZ, ORDER, RATE, THREADS),
        other_name="SpikeInterface, 2 threads",
        same=lambda got, expected: deviation(got, expected) < 0.05,  # it filters chunk by chunk
        target_ratio=10,
    )


def test_300_units(benchmark, recording):
    """Bound by adding 300 windows of 50 frames, ten times a second each, to sums that no cache holds."""
    spikes = trains(300)
    seconds = alone(benchmark, lambda: ours(recording, spikes))
    additions = sum(map(len, spikes)) * (WINDOW[1] - WINDOW[0]) * ROWS * COLUMNS
    filter_only = median_seconds(lambda: ours(recording, [np.empty(0, np.int64)]))
    benchmark.extra_info.update(
        {"GB/s": RECORDING_BYTES / seconds / 1e9, "Gadd/s": additions / max(seconds - filter_only, 1e-9) / 1e9}
    )


@pytest.mark.parametrize("variant", simd.available())
def test_variants(benchmark, recording, variant):
    spikes = trains(5)
    with simd.forced(variant):
        seconds = alone(benchmark, lambda: ours(recording, spikes))
    benchmark.extra_info.update(shares(recording, seconds))


@pytest.mark.parametrize("threads", [1, 2])
def test_kernel_on_memory(benchmark, threads):
    """Filter and sums alone: blocks that are in memory already."""
    block = np.random.default_rng(0).integers(-500, 500, (4096, ROWS * COLUMNS)).astype(np.int16)
    spikes = eimage.select_spikes(np.array([1000]), np.array([0, 1]), WINDOW, 8 * len(block))
    sos = butter(ORDER, CUTOFF_HZ, "highpass", fs=RATE, output="sos")

    def run():
        sums = eimage.FilteredSums(8 * len(block), ROWS * COLUMNS, spikes, WINDOW, sos, threads)
        for _ in range(8):
            sums.add(block)
        sums.images()

    seconds = alone(benchmark, run)
    rate = 8 * block.nbytes / seconds
    benchmark.extra_info.update({"GB/s": rate / 1e9, "share_of_memcpy": rate / memcpy_bandwidth()})


@pytest.mark.parametrize("side", ["ours", "scipy"])
def test_peak_memory(benchmark, recording, side):
    """Resident memory that the images of five units take beyond what the modules do."""
    setup = "import numpy as np, test_eimage as bench; from naive import eimage; from pathlib import Path"
    work = {
        "ours": f"bench.ours(Path({str(recording)!r}), bench.trains(5))",
        "scipy": f"eimage.electrical_images(Path({str(recording)!r}), 'sensor', "
        "bench.trains(5), bench.WINDOW, 100.0, 2, 2e4)",
    }[side]
    setup = f"import sys; sys.path.insert(0, {str(__file__).rsplit('/', 1)[0]!r}); {setup}"
    measured = {}
    alone(benchmark, lambda: measured.update(peak_memory(setup, work)), rounds=1)
    benchmark.extra_info["peak_MB"] = (measured["peak"] - measured["before"]) / 1e6
