"""Bursts of trains: definitions, measures, and how often each method is wrong on trains whose bursts are known."""

from __future__ import annotations

import numpy as np
import pytest

from hdmea.spontaneous import BurstOptions, burst_measures, bursts_in
from support.simulated_bursts import KINDS, bursting_train, found_and_false, poisson_train

HOUR = 3600.0
# Least share found, most false ones an hour; docs/waves.md publishes what these simulations gave.
LIMITS = {
    ("max_interval", "regular bursts, quiet between"): (0.99, 0.5),
    ("max_interval", "irregular bursts, quiet between"): (0.97, 1.0),
    ("max_interval", "irregular bursts, active between"): (0.98, 6.0),
    ("log_isi", "regular bursts, quiet between"): (0.99, 0.5),
    ("log_isi", "irregular bursts, quiet between"): (0.97, 1.0),
    ("log_isi", "irregular bursts, active between"): (0.8, 40.0),
    ("poisson_surprise", "regular bursts, quiet between"): (0.99, 0.5),
    ("poisson_surprise", "irregular bursts, quiet between"): (0.95, 1.0),
    ("poisson_surprise", "irregular bursts, active between"): (0.98, 1.0),
}


@pytest.mark.parametrize(("method", "kind"), LIMITS)
def test_known_bursts_are_found_and_few_others(method, kind):
    true = hits = false = 0
    for seed in range(10):
        train, bursts = bursting_train(kind, HOUR / 2, seed)
        found = bursts_in(train, duration_s=HOUR / 2, options=BurstOptions(method=method))
        own_hits, own_false = found_and_false(bursts, np.column_stack([found.start_s, found.stop_s]))
        true, hits, false = true + len(bursts), hits + own_hits, false + own_false
    least, most = LIMITS[method, kind]
    assert true > 300
    assert hits / true >= least
    assert false / 5 <= most


@pytest.mark.parametrize(
    ("method", "rate_hz", "most"),
    [("max_interval", 0.5, 0.5), ("log_isi", 3.0, 0.5), ("poisson_surprise", 1.0, 5.0), ("max_interval", 3.0, 500.0)],
)
def test_poisson_trains_have_as_few_bursts_as_published(method, rate_hz, most):
    counts = [
        len(bursts_in(poisson_train(rate_hz, HOUR, seed), duration_s=HOUR, options=BurstOptions(method=method)))
        for seed in range(5)
    ]
    assert np.mean(counts) <= most


def test_the_kinds_of_activity_are_all_pinned():
    assert {kind for _, kind in LIMITS} == set(KINDS)


def test_limits_are_closed_and_bursts_at_the_distance_stay_apart():
    options = BurstOptions(
        min_spikes=2, start_interval_s=0.1, end_interval_s=0.25, between_s=0.8, duration_s=0.1, void=0.5
    )
    train = np.array([1.0, 1.1, 1.35, 2.15, 2.25, 4.0, 4.2])  # 0.8 s from 1.35 on: two bursts; 4.0: begins too slowly
    found = bursts_in(train, duration_s=10, options=options)
    assert found.spikes.tolist() == [[0, 3], [3, 5]]
    nearer = bursts_in(np.array([1.0, 1.1, 1.35, 2.149, 2.249]), duration_s=10, options=options)
    assert nearer.spikes.tolist() == [[0, 5]]


def test_measures_are_those_of_numbers_written_down():
    train = np.concatenate([at + np.arange(6) * 0.02 for at in (1.0, 5.0, 11.0)] + [[20.0, 30.0]])
    found = burst_measures(bursts_in(train, duration_s=60), len(train), 60)
    assert found["burst_count"] == 3
    assert found["burst_rate_per_min"] == 3
    assert found["burst_duration_s"] == pytest.approx(0.1)
    assert found["burst_spikes"] == 6
    assert found["burst_intraburst_rate_hz"] == pytest.approx(50)
    assert found["burst_spike_share"] == 18 / 20
    gaps = np.array([3.9, 5.9])
    assert found["inter_burst_interval_s"] == pytest.approx(4.9)
    assert found["inter_burst_interval_cv"] == pytest.approx(gaps.std(ddof=1) / gaps.mean())


def test_what_cannot_be_known_is_nan():
    empty = burst_measures(bursts_in([], duration_s=60), 0, 60)
    assert empty["burst_count"] == empty["burst_rate_per_min"] == 0
    assert all(np.isnan(empty[name]) for name in empty if name not in ("burst_count", "burst_rate_per_min"))


@pytest.mark.parametrize("method", ["max_interval", "log_isi", "poisson_surprise"])
def test_the_order_and_the_clock_of_spikes_do_not_matter(method):
    train, _ = bursting_train("irregular bursts, quiet between", 600, 4)
    options = BurstOptions(method=method)
    sorted_ones = bursts_in(train, duration_s=600, options=options)
    shuffled = bursts_in(np.random.default_rng(0).permutation(train), duration_s=600, options=options)
    assert shuffled.spikes.tolist() == sorted_ones.spikes.tolist()
    assert len(sorted_ones) > 5


def test_options_that_cannot_be_meant_are_refused():
    for wrong in (
        {"method": "other"},
        {"min_spikes": 1},
        {"method": "poisson_surprise", "min_spikes": 2},
        {"between_s": -1.0},
        {"start_interval_s": 0.3},
    ):
        with pytest.raises(ValueError, match=r"method|min_spikes|seconds|end_interval_s"):
            BurstOptions(**wrong)
    with pytest.raises(ValueError, match="not a number of seconds"):
        bursts_in([1.0, float("nan")])
    with pytest.raises(ValueError, match="duration_s"):
        bursts_in([1.0], duration_s=0)
