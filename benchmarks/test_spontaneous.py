"""Synchrony of all pairs and the flow `waves`, beside elephant, SpikeInterface and numpy."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from harness import alone, peak_memory, versus

from hdmea.pipeline import run_flow
from hdmea.spontaneous import cross_correlograms, sttc

RATE, HOUR_S, DT_S = 20_000, 3600, 0.05
PAIRS = 300 * 299 // 2


@lru_cache
def hour() -> list[np.ndarray]:
    """300 Poisson units of an hour, 4.6 million spikes."""
    rng = np.random.default_rng(0)
    return [np.unique(rng.integers(0, RATE * HOUR_S, rng.integers(2000, 30_000))) for _ in range(300)]


def ours_of_all():
    return sttc(hour(), dt=DT_S, sampling_frequency=RATE, stop=RATE * HOUR_S)


def numpy_sttc(some: list[np.ndarray], dt: int, stop: int) -> np.ndarray:
    """What twenty lines of numpy make of it: the nearest spikes by searchsorted."""
    count = len(some)
    tiled, share, found = np.empty(count), np.empty((count, count)), np.empty((count, count))
    for i, train in enumerate(some):
        inside = np.minimum(np.diff(train), 2 * dt).sum() + 2 * dt
        tiled[i] = (inside - max(0, dt - train[0]) - max(0, train[-1] + dt - stop)) / stop
    for j, other in enumerate(some):
        padded = np.concatenate([[-(2**60)], other, [2**60]])
        for i, train in enumerate(some):
            place = np.searchsorted(other, train)
            share[i, j] = (np.minimum(train - padded[place], padded[place + 1] - train) <= dt).mean()
    for i in range(count):
        for j in range(count):
            p, q, t, u = share[i, j], share[j, i], tiled[i], tiled[j]
            first = 1.0 if p * u == 1 else (p - u) / (1 - p * u)
            second = 1.0 if q * t == 1 else (q - t) / (1 - q * t)
            found[i, j] = (first + second) / 2
    return found


def test_tiling_coefficients_beside_numpy(benchmark):
    """60 of the units: 1770 pairs."""
    few, stop = hour()[:60], RATE * HOUR_S
    found = versus(
        benchmark,
        lambda: sttc(few, dt=DT_S, sampling_frequency=RATE, stop=stop),
        lambda: numpy_sttc(few, round(DT_S * RATE), stop),
        other_name="numpy",
        same=lambda a, b: np.allclose(a, b, rtol=0, atol=1e-12),
        target_ratio=8,
    )
    assert found.ratio > 4


def test_tiling_coefficients_beside_elephant(benchmark):
    """One pair of elephant's, all 44 850 of ours: its windows grow with time, so that results are not the same."""
    elephant = pytest.importorskip("elephant.spike_train_correlation")
    neo, quantities = pytest.importorskip("neo"), pytest.importorskip("quantities")
    pair = [neo.SpikeTrain(one / RATE, units="s", t_stop=HOUR_S) for one in hour()[:2]]
    found = versus(
        benchmark,
        ours_of_all,
        lambda: elephant.spike_time_tiling_coefficient(*pair, dt=DT_S * quantities.s),
        other_name="elephant, one pair",
        same=None,
        rounds=3,
        pairs=PAIRS,
    )
    benchmark.extra_info["ratio_a_pair"] = found.ratio * PAIRS
    assert found.ratio * PAIRS > 1000


def test_tiling_coefficients_of_4096_channels(benchmark):
    """15 minutes, 3.7 million spikes, 8.4 million pairs."""
    setup = """
import numpy as np
from hdmea.spontaneous import sttc
rng = np.random.default_rng(1)
some = [np.unique(rng.integers(0, 18_000_000, rng.integers(100, 1700))) for _ in range(4096)]
"""
    memory = peak_memory(setup, "sttc(some, dt=0.05, sampling_frequency=20_000, stop=18_000_000)")
    rng = np.random.default_rng(1)
    some = [np.unique(rng.integers(0, 900 * RATE, rng.integers(100, 1700))) for _ in range(4096)]
    taken = alone(
        benchmark,
        lambda: sttc(some, dt=DT_S, sampling_frequency=RATE, stop=900 * RATE),
        rounds=1,
        warmup=False,
        target_s=300,
        **memory,
    )
    assert taken < 300


def test_correlograms_beside_spikeinterface(benchmark):
    """All pairs of 300 units of ten minutes, ± 50 ms in bins of 1 ms."""
    core = pytest.importorskip("spikeinterface.core")
    post = pytest.importorskip("spikeinterface.postprocessing")
    some = [train[train < 600 * RATE] for train in hour()]
    labels = np.repeat(np.arange(len(some)), [len(one) for one in some])
    order = np.argsort(np.concatenate(some), kind="stable")
    sorting = core.NumpySorting.from_samples_and_labels([np.concatenate(some)[order]], [labels[order]], RATE)

    def same(a, b):
        return bool(np.abs(a[0].sum() - b[0].sum()) <= 1e-3 * a[0].sum())  # edges of bins, and spikes of one sample

    found = versus(
        benchmark,
        lambda: cross_correlograms(some, window_s=0.05, bin_s=0.001, sampling_frequency=RATE),
        lambda: post.compute_correlograms(sorting, window_ms=100.0, bin_ms=1.0, method="numba"),
        other_name="SpikeInterface",
        same=same,
        rounds=3,
        target_ratio=3,
    )
    assert found.ratio > 1


def test_correlogram_beside_elephant(benchmark):
    """One pair of elephant's, all pairs of ours."""
    elephant = pytest.importorskip("elephant.spike_train_correlation")
    conversion = pytest.importorskip("elephant.conversion")
    neo, quantities = pytest.importorskip("neo"), pytest.importorskip("quantities")
    pair = [
        conversion.BinnedSpikeTrain(
            neo.SpikeTrain(one / RATE, units="s", t_stop=HOUR_S), bin_size=1 * quantities.ms, tolerance=None
        )
        for one in hour()[:2]
    ]
    found = versus(
        benchmark,
        lambda: cross_correlograms(hour(), window_s=0.05, bin_s=0.001, sampling_frequency=RATE),
        lambda: elephant.cross_correlation_histogram(*pair, window=[-50, 50]),
        other_name="elephant, one pair",
        same=None,
        rounds=3,
        pairs=PAIRS,
    )
    benchmark.extra_info["ratio_a_pair"] = found.ratio * PAIRS
    assert found.ratio * PAIRS > 500


@pytest.mark.skipif(
    "H5BURST_TEST_DATA" not in os.environ, reason="H5BURST_TEST_DATA names no directory with retina_mea/"
)
def test_flow_of_ten_recordings(benchmark, tmp_path):
    """Load, windows, bursts, synchrony with 20 shifts, waves, and saving, one recording after the other."""
    files = sorted((Path(os.environ["H5BURST_TEST_DATA"]) / "retina_mea").glob("*.h5"))

    def ours():
        for file in files:
            run_flow("waves", spikes_path=file, output_dir=tmp_path, force_load=True, force_extract=True)

    alone(benchmark, ours, rounds=1, warmup=False, recordings=len(files), target_s=30)
