"""Interval statistics and contamination against other programs' values, and on units whose contamination is known."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

from hdmea.features.intervals import burst_index, contamination_hill, contamination_llobet, local_variability
from support.spiking_units import Clock, poisson_train

RATE = 20_000.0
GAPS = np.array([n * n * 37 % 2003 + 12 for n in range(3000)])
TRAIN = np.cumsum(np.where(GAPS == 30, 33, GAPS))  # no interval of 1.5 ms exactly, which rounding decides on
DURATION_S = (int(TRAIN[-1]) + 1000) / RATE

# SpikeInterface 0.100.6, isi_violations (1.5 ms, min_isi 0.5 ms) and the refractory-period contamination (1.5 ms,
# censored 0.5 ms) of TRAIN.
SPIKEINTERFACE_ISI_VIOLATIONS_RATIO = 0.21302250000000003
SPIKEINTERFACE_RP_CONTAMINATION = 0.2369218039195896


def test_contamination_agrees_with_spikeinterfaces_values() -> None:
    """Its ratio is Hill's F (1 - F), of which F is the smaller solution; its Llobet is ours."""
    found = contamination_hill(TRAIN, RATE, DURATION_S)
    assert found * (1 - found) == pytest.approx(SPIKEINTERFACE_ISI_VIOLATIONS_RATIO, rel=1e-9)
    assert contamination_llobet(TRAIN, RATE, DURATION_S) == pytest.approx(SPIKEINTERFACE_RP_CONTAMINATION, rel=1e-9)


def spikeinterface_metrics() -> ModuleType:
    for name in ("spikeinterface.metrics.quality.misc_metrics", "spikeinterface.qualitymetrics.misc_metrics"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    pytest.skip("spikeinterface is not installed (extra [neuro])")


def test_hill_agrees_with_spikeinterface_on_units_of_any_kind() -> None:
    theirs = spikeinterface_metrics()
    rng = np.random.default_rng(0)
    for rate_hz in (2.0, 10.0, 60.0):
        samples = np.unique(rng.integers(0, int(100 * RATE), int(100 * rate_hz)))
        samples = samples[np.concatenate([[True], (np.diff(samples) > 25) | (rng.random(len(samples) - 1) < 0.3)])]
        ratio = theirs.isi_violations([samples / RATE], 100.0, 0.0015, 0.0005)[0]
        found = contamination_hill(samples, RATE, 100.0)
        assert found == pytest.approx(0.5) if ratio > 0.25 else found * (1 - found) == pytest.approx(ratio)


def contaminated(rate_hz: float, share: float, seed: int) -> tuple[npt.NDArray[np.int64], float]:
    """A unit with a refractory period of 3 ms, and independent spikes of others, over ten minutes or so."""
    clock = Clock(60.0, 60_000, seed)
    rng = np.random.default_rng(seed)
    others = poisson_train(clock, 10, 59_000, lambda frames: np.full(len(frames), rate_hz * share), rng)
    own_hz = rate_hz * (1 - share)
    drawn = poisson_train(clock, 10, 59_000, lambda frames: np.full(len(frames), own_hz / (1 - own_hz * 0.003)), rng)
    own, last = [], -np.inf
    for spike in drawn.tolist():
        if spike - last >= 0.003 * RATE:
            own.append(spike)
            last = spike
    together = np.sort(np.concatenate([own, others]))
    together = together[np.concatenate([[True], np.diff(together) >= 0.0005 * RATE])]  # a sorter's dead time
    return together.astype(np.int64), float(clock.pulses[-1]) / RATE


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25])
def test_contamination_is_recovered(share: float) -> None:
    llobet, hill = [], []
    for seed in range(6):
        samples, duration_s = contaminated(25.0, share, seed)
        llobet.append(contamination_llobet(samples, RATE, duration_s))
        hill.append(contamination_hill(samples, RATE, duration_s))
    assert np.mean(llobet) == pytest.approx(share, abs=0.025)
    # Hill's formula leaves out the violations among the foreign spikes themselves, and so finds more than there are.
    assert share - 0.02 <= np.mean(hill) <= share * 1.35 + 0.01


def test_contamination_of_what_is_no_neuron_is_the_most_that_each_formula_tells() -> None:
    together = np.sort(np.random.default_rng(0).integers(0, 1_200_000, 2_400))
    assert contamination_hill(together, RATE, 60.0) == 0.5
    assert contamination_llobet(together, RATE, 60.0) == 1.0


@pytest.mark.parametrize("contamination", [contamination_hill, contamination_llobet])
def test_contamination_without_spikes_or_duration_is_nan(contamination) -> None:
    assert np.isnan(contamination(np.empty(0, np.int64), RATE, 10.0))
    assert np.isnan(contamination(np.array([5]), RATE, 0.0))
    assert contamination(np.array([5]), RATE, 10.0) == 0


def test_local_variability_is_the_published_formula() -> None:
    """Elephant's definitions, term by term (cv2: Holt et al. 1996; lv: Shinomoto et al. 2003)."""
    rng = np.random.default_rng(1)
    intervals = [rng.gamma(2.0, 0.05, 30), rng.gamma(0.5, 0.2, 25)]
    cv2, lv = [], []
    for own in intervals:
        for now, after in zip(own.tolist()[:-1], own.tolist()[1:], strict=True):
            cv2.append(2 * abs(after - now) / (after + now))
            lv.append(3 * (now - after) ** 2 / (now + after) ** 2)
    found = local_variability(np.concatenate(intervals), np.repeat([0, 1], [30, 25]))
    assert found["cv2"] == pytest.approx(np.mean(cv2))
    assert found["lv"] == pytest.approx(np.mean(lv))


def test_local_variability_does_not_see_a_slow_change_of_the_rate() -> None:
    interval = np.repeat([0.01, 0.1, 0.5], 200)
    assert local_variability(interval, np.zeros(600, np.int64))["lv"] < 0.02
    assert interval.std() / interval.mean() > 0.9


def test_regular_unit_has_no_local_variability_and_no_bursts() -> None:
    regular = np.full(50, 0.1)
    found = local_variability(regular, np.zeros(50, np.int64))
    assert found["cv2"] == pytest.approx(0, abs=1e-12)
    assert found["lv"] == pytest.approx(0, abs=1e-12)
    assert burst_index(regular, 10.0) == 0
    assert np.isnan(burst_index(np.empty(0), 0.0))
