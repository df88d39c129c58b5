"""Real recordings of spontaneous activity: baseline measures in both modes, against values computed independently.

A few of the ten by default; `H5BURST_WHOLE=1` takes them all.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from hdmea.pipeline import PipelineSession
from support.hdmea_steps import run_deferred, run_immediate, window_steps
from support.hdmea_trees import assert_same_trees

RECORDINGS = 10
SOME = (0, 9)  # the smallest, and one whose positions begin at one pitch
MEASURES = ("mean_rate", "cv_isi", "cv2", "lv", "median_isi_ms", "burst_index", "contamination_llobet")


@pytest.fixture(scope="module", params=range(RECORDINGS) if os.environ.get("H5BURST_WHOLE") else SOME)
def made(
    request: pytest.FixtureRequest, test_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, Path]:
    """A recording's own file, and what both modes make of it."""
    found = sorted((test_data / "retina_mea").glob("*.h5"))
    assert len(found) == RECORDINGS
    source: Path = found[request.param]
    steps = window_steps(source)
    immediate = run_immediate(steps, tmp_path_factory.mktemp("immediate"))
    deferred = run_deferred(steps, tmp_path_factory.mktemp("deferred")).save()
    return source, immediate, deferred


def trains_of(source: Path) -> tuple[list[npt.NDArray[np.float64]], float]:
    """Spike times in seconds, unit by unit, and the duration, as the file has them."""
    with h5py.File(source, "r") as file:
        ends = np.cumsum(file["sCount"][()])
        return np.split(file["spikes"][()], ends[:-1]), float(file["summary/duration"][0])


def expected(seconds: npt.NDArray[np.float64], duration_s: float) -> dict[str, float]:
    """Term by term, on times that are rounded to samples of 50 µs as the pipeline stores them."""
    samples = np.sort(np.rint(seconds * 20_000))
    windows = [
        samples[(samples >= start) & (samples < start + 12_000_000)]
        for start in range(0, int(duration_s * 20_000) - 12_000_000 + 1, 12_000_000)
    ]
    gaps = [np.diff(own) / 20_000 for own in windows]
    isi = np.concatenate(gaps)
    pairs = np.concatenate(
        [np.stack([own[:-1], own[1:]]) for own in gaps if len(own) > 1] or [np.empty((2, 0))], axis=1
    )
    pairs = pairs[:, pairs.sum(axis=0) > 0]
    rate = sum(map(len, windows)) / (600 * len(windows))
    count = len(samples)
    close = sum(int(((samples[n + 1 :][:200] - spike) <= 30).sum()) for n, spike in enumerate(samples))
    inside = 1 - close * (duration_s * 20_000 - 20 * count) / (count**2 * 20)
    contrast = np.abs(pairs[1] - pairs[0]) / pairs.sum(axis=0)
    return {
        "mean_rate": rate,
        "cv_isi": isi.std() / isi.mean() if len(isi) > 1 else np.nan,
        "cv2": 2 * contrast.mean() if contrast.size else np.nan,
        "lv": 3 * (contrast**2).mean() if contrast.size else np.nan,
        "median_isi_ms": np.median(isi) * 1000 if len(isi) else np.nan,
        "burst_index": (isi < 0.01).mean() / (1 - np.exp(-0.01 * rate)) if len(isi) else np.nan,
        "contamination_llobet": 1 - np.sqrt(inside) if inside >= 0 else 1.0,
    }


def baseline_of(unit: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = unit["features"]["baseline_127"]["data"]
    return values


def test_both_modes_write_equal_trees(made: tuple[Path, Path, Path]) -> None:
    _, immediate, deferred = made
    assert_same_trees(immediate, deferred)


def test_baseline_measures_are_those_computed_independently(made: tuple[Path, Path, Path]) -> None:
    source, immediate, _ = made
    trains, duration_s = trains_of(source)
    units = PipelineSession.load(immediate).units
    assert len(units) == len(trains)
    for index in range(0, len(trains), 7):
        found = baseline_of(units[f"unit_{index + 1:03d}"])
        own = expected(trains[index], duration_s)
        for name in MEASURES:
            assert found[name] == pytest.approx(own[name], rel=1e-6, nan_ok=True), (index, name)


def test_statistics_of_waves_hold(made: tuple[Path, Path, Path]) -> None:
    """What is known of retinal waves.

    Low rates, bursts far beyond chance, irregular firing, few refractory violations.
    """
    source, immediate, _ = made
    units = PipelineSession.load(immediate).units
    trains, duration_s = trains_of(source)
    rates = np.array([baseline_of(unit)["mean_rate"] for unit in units.values()])
    assert np.median(rates) == pytest.approx(np.median([len(own) / duration_s for own in trains]), rel=0.35)
    assert 0.01 < np.median(rates) < 2
    assert np.nanmedian([baseline_of(unit)["burst_index"] for unit in units.values()]) > 5
    assert np.nanmedian([baseline_of(unit)["cv_isi"] for unit in units.values()]) > 1.5
    assert np.nanmedian([baseline_of(unit)["isi_violations_ratio"] for unit in units.values()]) < 0.05


def test_electrodes_are_told_for_every_unit(made: tuple[Path, Path, Path]) -> None:
    _, immediate, _ = made
    units = PipelineSession.load(immediate).units.values()
    places = np.array([[unit["row"], unit["col"], unit["global_id"]] for unit in units])
    assert places[:, :2].min() >= 1
    assert places[:, :2].max() <= 64
    sites = np.unique(places[:, :2], axis=0)
    assert len(sites) == len(np.unique(places[:, 2]))
    distance = np.array(
        [[unit["unit_meta"]["x_um"] - 42 * unit["col"], unit["unit_meta"]["y_um"] - 42 * unit["row"]] for unit in units]
    )
    assert np.ptp(distance, axis=0).max() < 1e-6  # one origin for the whole array


def test_neighbours_fire_together_and_distant_units_do_not(made: tuple[Path, Path, Path]) -> None:
    """Waves spread over the retina: correlations of counts a second fall with the distance of the electrodes."""
    _, immediate, _ = made
    units = [unit for unit in PipelineSession.load(immediate).units.values() if len(unit["spike_times"]) > 100]
    last = max(int(unit["spike_times"][-1]) for unit in units)
    counts = [
        np.bincount(unit["spike_times"].astype(np.int64) // 20_000, minlength=last // 20_000 + 1) for unit in units
    ]
    correlation = np.corrcoef(np.array(counts))
    places = np.array([[unit["col"], unit["row"]] for unit in units]) * 42.0
    distance = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    pairs = np.triu(np.ones_like(distance, bool), 1)
    near, far = (np.median(correlation[pairs & which]) for which in (distance < 150, distance > 1500))
    assert near > 0.3
    assert near > 2 * far
