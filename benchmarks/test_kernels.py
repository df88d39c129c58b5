"""The kernels against the obvious way, two threads each, beside what the machine could do at most."""

from __future__ import annotations

import statistics
import time
from functools import lru_cache

import numpy as np
import pytest
from harness import alone, limit, memcpy_bandwidth, peak_memory, versus
from naive import kernels as naive

from h5burst.runtime import simd
from h5burst.runtime.threads import parallel_map
from hdmea.kernels import rates, sta
from hdmea.kernels.sections import SortedTrains
from hdmea.kernels.trains import to_ragged

THREADS = 2
UNITS, SPIKES = 300, 12_000
SAMPLES = 24_000_000  # 20 minutes at 20 kHz


@lru_cache
def byte_additions() -> float:
    """Bytes that numpy adds a second, within the first-level cache, on all threads; best of five."""
    count, numbers = 20_000, 8192

    def add(_):
        first, second = np.ones(numbers, np.uint8), np.ones(numbers, np.uint8)
        for _ in range(count):
            np.add(first, second, out=first)

    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        parallel_map(add, range(THREADS), THREADS)
        seconds.append(time.perf_counter() - started)
    return THREADS * count * numbers / min(seconds)


def traffic(seconds: float, touched: int) -> dict[str, float]:
    """Bytes a second through memory, and their share of what a copy moves, which reads and writes each byte."""
    return {"GB/s": touched / seconds / 1e9, "share_of_memcpy": touched / seconds / (2 * memcpy_bandwidth())}


# ---------------------------------------------------------------- sections and rates


@lru_cache
def spikes() -> list[np.ndarray]:
    """No two spikes of a unit in one sample."""
    rng = np.random.default_rng(1)
    return [np.unique(rng.integers(0, SAMPLES, SPIKES)).astype(np.uint64) for _ in range(UNITS)]


def movies(gap: int) -> list[np.ndarray]:
    """Seven movies, one after the other, three trials each, so many samples apart."""
    length = SAMPLES // 7 // 3
    return [
        np.array([[(3 * movie + trial) * length, (3 * movie + trial + 1) * length - gap] for trial in range(3)])
        for movie in range(7)
    ]


@pytest.mark.parametrize("gap", [0, 1000])
def test_sections_of_300_units_and_7_movies(benchmark, gap):
    trains, shown = spikes(), movies(gap)

    def ours():
        prepared = SortedTrains(*to_ragged(trains), threads=THREADS)
        return [list(prepared.cut(windows)) for windows in shown]

    def same(got, expected):
        return all(
            np.array_equal(union, their_union) and all(map(np.array_equal, parts, their_parts))
            for movie, their_movie in zip(got, expected, strict=True)
            for (parts, union), (their_parts, their_union) in zip(movie, their_movie, strict=True)
        )

    result = versus(
        benchmark,
        ours,
        lambda: [naive.cut(trains, windows) for windows in shown],
        other_name="boolean masks",
        same=same,
        target_ratio=20,
    )
    cut = [trial for movie in ours() for trial in movie]
    whole = np.concatenate([union for _, union in cut])
    lengths = [len(each) for parts, union in cut for each in (*parts, union)]

    def least():
        base = whole.copy() if gap else whole
        return [base[:length] for length in lengths]

    limit(benchmark, "a view for each section" + (" and one copy of their spikes" if gap else ""), least)
    once = sum(train.nbytes for train in trains)  # joined (read and written), checked, and with gaps copied once more
    benchmark.extra_info.update(traffic(statistics.median(result.ours), (3 if gap == 0 else 5) * once))


def test_firing_rates(benchmark):
    trains = spikes()

    def ours():
        times, offsets = to_ragged(trains)
        return rates.firing_rates(times, offsets, bin_width=2000, duration=SAMPLES, rate_hz=10.0, threads=THREADS)

    versus(
        benchmark,
        ours,
        lambda: naive.firing_rates(trains, 2000, SAMPLES // 2000, 10.0),
        other_name="np.histogram",
        same=np.array_equal,
    )


# ---------------------------------------------------------------- the stimulus's average

FRAMES, SIDE, WINDOW = 10_800, 15, (-60, 0)
MOVIES = {
    "uint8": lambda noise: noise,
    "uint8, each frame held for 4": lambda noise: np.repeat(noise[: FRAMES // 4], 4, axis=0),
    "int16": lambda noise: noise.astype(np.int16) * 100 - 12_000,
    "float32": lambda noise: noise.astype(np.float32) / 255,
}


@lru_cache
def movie(name: str) -> np.ndarray:
    return MOVIES[name](np.random.default_rng(2).integers(0, 256, (FRAMES, SIDE, SIDE), dtype=np.uint8))


def triggers(units: int, count: int = SPIKES) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [np.sort(rng.integers(0, FRAMES, count)) for _ in range(units)]


def close(got, expected):
    return np.allclose(got, expected, rtol=1e-6, atol=1e-6)


def additions(counts: np.ndarray, pixels: int, seconds: float) -> dict[str, float]:
    """Additions that cutting windows out would take, a second, against what the machine adds at most."""
    rate = int(counts.sum()) * (WINDOW[1] - WINDOW[0]) * pixels / seconds
    return {"Gadd/s": rate / 1e9, "times_byte_additions": rate / byte_additions()}


@pytest.mark.parametrize("name", MOVIES)
def test_average_of_10_units(benchmark, name):
    frames, trains = movie(name), triggers(10)
    result = versus(
        benchmark,
        lambda: sta.triggered_average(frames, *to_ragged(trains), WINDOW, threads=THREADS)[0],
        lambda: naive.triggered_average(frames, trains, WINDOW),
        other_name="fancy indexing",
        same=close if name == "float32" else np.array_equal,
        target_ratio=30,
    )
    counts = sta.triggered_average(frames, *to_ragged(trains), WINDOW)[1]
    benchmark.extra_info.update(additions(counts, SIDE * SIDE, statistics.median(result.ours)))


@pytest.mark.parametrize("name", MOVIES)
@pytest.mark.parametrize("variant", simd.available())
def test_average_of_300_units(benchmark, name, variant):
    frames, joined = movie(name), to_ragged(triggers(UNITS))
    with simd.forced(variant):
        seconds = alone(benchmark, lambda: sta.triggered_average(frames, *joined, WINDOW, threads=THREADS), rounds=3)
        counts = sta.triggered_average(frames, *joined, WINDOW)[1]
    benchmark.extra_info.update(additions(counts, SIDE * SIDE, seconds))


# Read, not mapped: the pages of a mapped file would count as resident.
BIG = f"""
import numpy as np
from hdmea.kernels import sta
from hdmea.kernels.trains import to_ragged
rng = np.random.default_rng(3)
frames = rng.integers(0, 256, ({FRAMES}, 60, 300), dtype=np.uint8)
joined = to_ragged([np.sort(rng.integers(0, {FRAMES}, {SPIKES})) for _ in range(10)])
out = np.ones((10, 60, 60, 300), np.float32)
sta.triggered_average(frames[:100, :1, :1], *joined, (-60, 0), threads=2)
"""


def test_average_over_a_large_mapped_movie(benchmark, tmp_path):
    """0.97 GB of frames of 300 × 300; the result is 216 MB."""
    path = tmp_path / "movie.npy"
    made = np.lib.format.open_memmap(path, "w+", np.uint8, (FRAMES, 300, 300))
    rng = np.random.default_rng(4)
    for start in range(0, FRAMES, 400):
        made[start : start + 400] = rng.integers(0, 256, (400, 300, 300), dtype=np.uint8)
    made.flush()
    del made
    frames, joined = np.load(path, mmap_mode="r"), to_ragged(triggers(10))
    out = np.empty((10, 60, 300, 300), np.float32)
    seconds = alone(
        benchmark, lambda: sta.triggered_average(frames, *joined, WINDOW, out=out, threads=THREADS), rounds=3
    )
    counts = sta.triggered_average(movie("uint8"), *joined, WINDOW)[1]
    memory = peak_memory(BIG, "sta.triggered_average(frames, *joined, (-60, 0), out=out, threads=2)")
    extra = (memory["peak"] - memory["before"]) / 2**20
    benchmark.extra_info.update(additions(counts, 300 * 300, seconds), memory_beyond_MB=extra)
    path.unlink()
