"""Peaks, transience and latencies of steps of light, of units whose rate is known.

Figures are means over seeded units; their bounds are those of docs/measures.md, a few standard errors wide, and exclude
what the maximum of a noisy PSTH gives (a plateau of 60 spikes/s: a peak of 116, transience 0.47, 26 ms late).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from hdmea.features.onset import highest_segment, segments_without
from support.bounds import at_least, at_most
from support.measured import LENGTHS, SIZE, STEP, Floats, Make, constant, extracted, values
from support.spiking_units import Clock, bursting_train, sectioned, unit_of

ONSET_S = 0.08  # after the light


def stepping(trials: int, quiet_hz: float, more_hz: float, shape: str = "plateau") -> Make:
    """More spikes from `ONSET_S` after light on: a plateau, half of it from 200 ms on, 200 ms of it, or a decay."""

    def rate(frames: Floats) -> Floats:
        since = (frames - 60) / 60.3 - ONSET_S
        height = {
            "plateau": 1.0,
            "half": np.where(since < 0.2, 1.0, 0.5),
            "short": since < 0.2,
            "decay": np.exp(-np.maximum(since, 0) / 0.1),
            "bump": np.exp(-0.5 * ((since - 0.08) / 0.04) ** 2),
        }[shape]
        return np.asarray(quiet_hz + more_hz * ((since >= (-1 if shape == "bump" else 0)) & (frames < 360)) * height)

    return lambda clock, rng: unit_of(clock, STEP, 600, [rate] * trials, rng)


def late_ms(units: list[dict[str, Any]]) -> Floats:
    return np.asarray(values(units, "on_latency_ms") - 1000 * ONSET_S)


@pytest.mark.parametrize(
    ("more_hz", "peak", "peak_sd", "transience_sd", "latest_ms", "latency_sd"),
    [(20, 4, 26, 0.33, 8, 42), (60, 6, 37, 0.18, 5, 15), (150, 10, 55, 0.12, 3, 8)],
)
def test_plateaus_have_their_height_no_transience_and_their_latency(
    more_hz: float, peak: float, peak_sd: float, transience_sd: float, latest_ms: float, latency_sd: float
) -> None:
    units = extracted(STEP, stepping(3, 5.0, more_hz), 150, seed=int(more_hz))
    peaks, transience, late = values(units, "on_peak_rate"), values(units, "on_transience"), late_ms(units)
    assert np.nanmean(peaks) == pytest.approx(more_hz, abs=peak)
    assert np.nanstd(peaks) < peak_sd
    assert np.nanmean(transience) == pytest.approx(0, abs=0.1 if more_hz == 20 else 0.03)
    assert np.nanstd(transience) < transience_sd
    assert abs(np.nanmean(late)) < latest_ms
    assert np.nanstd(late) < latency_sd
    if more_hz > 20:
        assert abs(np.nanmedian(values(units, "on_latency_onset_ms") - 1000 * ONSET_S)) < 4
        at_least(np.isfinite(late), 0.97)


@pytest.mark.parametrize(("shape", "expected", "tolerance"), [("half", 0.40, 0.04), ("short", 1.0, 0.02)])
def test_transience_does_not_depend_on_the_trials(shape: str, expected: float, tolerance: float) -> None:
    """Of 'half' the scan takes the 320 ms of the window at a mean of 82 % as one segment where noise is large."""
    found = [
        np.nanmean(values(extracted(STEP, stepping(trials, 5.0, 60.0, shape), count, seed=31), "on_transience"))
        for trials, count in ((2, 100), (3, 100), (30, 12))
    ]
    np.testing.assert_allclose(found, expected, atol=2 * tolerance)
    assert np.ptp(found) < 3 * tolerance


@pytest.mark.parametrize(
    ("shape", "more_hz", "half_ms", "early", "apart_ms"),
    [("decay", 150.0, 0.0, (-12, -4), 4), ("bump", 100.0, 80 - 40 * np.sqrt(2 * np.log(2)), (-18, -4), 6)],
)
def test_latency_of_a_response_with_a_peak_is_early_by_as_much_with_any_number_of_trials(
    shape: str, more_hz: float, half_ms: float, early: tuple[float, float], apart_ms: float
) -> None:
    """Half of the height of the segment, which is less than that of the peak of a decay or of a Gaussian."""
    found = [
        np.nanmedian(late_ms(extracted(STEP, stepping(trials, 5.0, more_hz, shape), count, seed=32))) - half_ms
        for trials, count in ((3, 150), (30, 20))
    ]
    assert all(early[0] < one < early[1] for one in found), found
    assert abs(found[0] - found[1]) < apart_ms


def test_two_trials_of_a_weak_plateau_look_a_little_transient() -> None:
    """By the noise of the segment's height; by that of a PSTH's maximum it would be 0.6 and more."""
    transience = values(extracted(STEP, stepping(2, 5.0, 20.0), 200, seed=38), "on_transience")
    assert np.isfinite(transience).sum() > 50
    assert 0 < np.nanmean(transience) < 0.25


def test_latency_of_400_units_has_no_bias() -> None:
    late = late_ms(extracted(STEP, stepping(3, 5.0, 60.0), 400, seed=33))
    assert abs(np.nanmedian(late)) <= 3
    assert abs(np.nanmean(late)) <= 5


@pytest.mark.parametrize(("trials", "count", "share"), [(3, 150, 0.5), (10, 60, 0.58)])
def test_latency_error_is_of_the_size_of_the_errors(trials: int, count: int, share: float) -> None:
    units = extracted(STEP, stepping(trials, 5.0, 60.0), count, seed=34)
    late, error = late_ms(units), values(units, "on_latency_se_ms")
    known = np.isfinite(error)
    at_least(known, 0.9)
    off = np.abs(late - np.nanmedian(late))[known]
    at_least(off < error[known], share)
    at_least(off < 2 * error[known], share + 0.25)


def bursting_in_slow_waves(spikes: int) -> Make:
    """No response: bursts of so many spikes on average, more often at some times of each trial than at others."""

    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        def slow(frames: Floats) -> Floats:
            phase, turns = rng.uniform(0, 2 * np.pi), rng.uniform(1, 4)
            return np.asarray(1 + 0.8 * np.sin(2 * np.pi * turns * frames / 600 + phase))

        starts = [100 + 600 * trial for trial in range(3)]
        trains = [bursting_train(clock, start, 600, rng.uniform(3, 15), spikes, rng, slow) for start in starts]
        return sectioned(clock, STEP, starts, LENGTHS[STEP], trains)

    return make


@pytest.mark.parametrize("spikes", [10, 20, 40])
def test_units_that_burst_in_slow_waves_respond_in_no_more_than_two_percent(spikes: int) -> None:
    units = extracted(STEP, bursting_in_slow_waves(spikes), 300, seed=35)
    for side in ("on", "off"):
        at_most(np.isfinite(values(units, f"{side}_first_spike_jitter_ms")), 0.02)
        at_most(np.isfinite(values(units, f"{side}_latency_ms")), 0.01)


def test_the_scan_takes_less_than_five_milliseconds_a_unit() -> None:
    """Of 1500 spikes in the window, of which every twelfth is an end, and without each of 30 trials once."""
    rng = np.random.default_rng(0)
    times, trial, quiet = np.sort(rng.uniform(0, 400, 1500)), rng.integers(0, 30, 1500), np.full(30, 0.1)
    seconds = []
    for _ in range(6):  # the first compiles
        start = time.process_time()
        highest_segment(times, 400.0, 0.1, 10.0, 128)
        segments_without(times, trial, quiet, 400.0, 10.0, 128)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.005


def test_flat_units_of_one_trial_have_no_peak() -> None:
    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        return unit_of(clock, STEP, 600, [constant(rng.gamma(1.5, 6))], rng)

    units = extracted(STEP, make, 30, seed=36)
    assert np.isnan(values(units, "on_peak_rate")).all()
    assert len(units) == 30 * SIZE
