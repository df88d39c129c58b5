"""Measures of pairs against brute force, numpy and formulas written down a second time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdmea.spontaneous import (
    correlation_index,
    count_correlation,
    cross_correlograms,
    over_distance,
    pair_q_values,
    sttc,
    sttc_p_values,
)
from hdmea.spontaneous.distance import null_matrices
from hdmea.spontaneous.synchrony import sttc_of
from hdmea.spontaneous.trains import trains_of
from reference import coincidences as brute

RATE = 1000.0
some_trains = st.lists(
    st.lists(st.integers(0, 400), max_size=20).map(lambda t: np.array(sorted(t), np.int64)), min_size=2, max_size=4
)


@given(some_trains, st.integers(0, 500), st.integers(-5, 40), st.integers(60, 420))
def test_sttc_is_that_of_brute_force(trains, window, start, stop):
    found = sttc(trains, dt=window / RATE, sampling_frequency=RATE, start=start, stop=stop)
    kept = [train[(train >= start) & (train <= stop)] for train in trains]
    wanted = [[brute.sttc(a, b, window, start, stop) for b in kept] for a in kept]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found, found.T)


def test_sttc_of_trains_that_fill_the_recording_is_one():
    full = np.arange(0, 100, 5)
    assert sttc([full, full], dt=0.01, sampling_frequency=RATE, stop=100).tolist() == [[1, 1], [1, 1]]


def test_independent_trains_of_an_hour_have_a_coefficient_around_zero():
    """Windows that grow with time, as those that keep a relative tolerance do, would give 0.06."""
    rng = np.random.default_rng(3)
    trains = [np.sort(rng.integers(0, 72_000_000, 3600)) for _ in range(12)]
    found = sttc(trains, sampling_frequency=20_000, stop=72_000_000)
    assert np.abs(found[np.triu_indices(12, 1)]).max() < 0.04
    assert abs(found[np.triu_indices(12, 1)].mean()) < 0.005


@given(some_trains, st.integers(1, 60))
def test_correlation_index_is_that_of_all_pairs_of_spikes(trains, window):
    found = correlation_index(trains, dt=window / RATE, sampling_frequency=RATE, stop=500)
    for i, a in enumerate(trains):
        for j, b in enumerate(trains):
            if i == j or not (len(a) and len(b)):
                assert np.isnan(found[i, j])
            else:
                near = np.abs(a[:, None] - b[None, :]) <= window
                assert found[i, j] == pytest.approx(near.sum() * 500 / (len(a) * len(b) * 2 * window), rel=1e-12)


@given(some_trains, st.integers(3, 90))
def test_count_correlation_is_numpy_s(trains, width):
    found = count_correlation(trains, bin_s=width / RATE, sampling_frequency=RATE, stop=400)
    edges = np.arange(0, 401, width)
    counts = [[((train >= low) & (train < low + width)).sum() for low in edges[:-1]] for train in trains]
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = np.corrcoef(counts)
    constant = np.ptp(counts, axis=1) == 0
    wanted[constant] = np.nan
    wanted[:, constant] = np.nan
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_correlograms_are_histograms_of_lags():
    rng = np.random.default_rng(1)
    trains = [np.unique(rng.integers(0, 50_000, 900)) for _ in range(4)]
    counts, edges_s = cross_correlograms(trains, window_s=0.03, bin_s=0.003, sampling_frequency=RATE)
    assert edges_s == pytest.approx(np.arange(-30, 31, 3) / RATE)
    for i, a in enumerate(trains):
        for j, b in enumerate(trains):
            lags = (b[None, :] - a[:, None]).ravel()
            lags = lags[lags != 0] if i == j else lags
            wanted, _ = np.histogram(lags[(lags >= -30) & (lags < 30)], np.arange(-30.0, 31, 3))
            assert counts[i, j].tolist() == wanted.tolist()
    some, _ = cross_correlograms(trains, window_s=0.03, bin_s=0.003, sampling_frequency=RATE, pairs=[(2, 1), (3, 3)])
    assert some.tolist() == [counts[2, 1].tolist(), counts[3, 3].tolist()]


def test_p_values_of_independent_trains_are_uniform_and_those_of_related_ones_small():
    rng = np.random.default_rng(5)
    trains = [np.sort(rng.integers(0, 200_000, 300)) for _ in range(30)]
    trains.append(np.sort(trains[0] + rng.integers(-20, 21, 300)))
    p = sttc_p_values(trains, sampling_frequency=RATE, stop=200_000, shifts=49, seed=2)
    independent = p[np.triu_indices(30, 1)]
    assert abs(independent.mean() - 0.5) < 0.05
    assert abs((independent <= 0.1).mean() - 0.1) < 0.05
    assert p[0, 30] == 1 / 50
    q = pair_q_values(p)
    assert np.isnan(np.diag(q)).all()
    np.testing.assert_array_equal(q, q.T)
    assert (q[np.triu_indices(31, 1)] >= p[np.triu_indices(31, 1)]).all()


def test_a_decay_is_found_with_an_error_that_covers_the_truth():
    """Fields of 40 simulated retinas: what a unit has in common with others falls with distance; 150 µm is true."""
    inside, errors = 0, []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        places = rng.uniform(0, 1500, (60, 2))
        apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
        noise = rng.normal(0, 0.05, 60)  # of a unit: pairs are not independent
        matrix = 0.6 * np.exp(-apart / 150) * np.exp(noise[:, None] + noise[None, :])
        found = over_distance(matrix, places, edges_um=np.arange(0, 1600, 40), bootstraps=60, seed=seed)
        inside += abs(found.decay_um - 150) < 2.5 * found.decay_se_um + 4  # bins of 40 µm are worth some µm
        errors.append(found.decay_um - 150)
    assert inside >= 36
    assert abs(np.mean(errors)) < 8


def test_bins_count_each_pair_once_and_leave_out_what_has_no_place():
    places = np.array([[0.0, 0], [3, 4], [6, 8], [np.nan, 0]])
    matrix = np.arange(16.0).reshape(4, 4)
    matrix[0, 2] = np.nan
    found = over_distance(matrix, places, edges_um=[0, 5, 10], bootstraps=0)
    assert found.pairs.tolist() == [0, 2]
    assert np.isnan(found.mean[0])
    assert found.mean[1] == (matrix[0, 1] + matrix[1, 2]) / 2
    assert np.isnan(found.decay_um)
    assert np.isnan(found.null_low).all()


def test_shifted_trains_keep_their_intervals_and_make_a_band_around_zero():
    rng = np.random.default_rng(8)
    common = rng.integers(0, 100_000, 150)
    trains = trains_of([np.sort((common + rng.integers(-9, 10, 150)) % 100_000) for _ in range(12)], RATE, 0, 100_000)
    moved = trains.shifted(np.random.default_rng(1))
    for i in range(12):
        gaps = [np.sort(np.diff(np.append(t[i] % 100_000, t[i][0] % 100_000 + 100_000))) for t in (trains, moved)]
        assert gaps[0].tolist() == gaps[1].tolist()
    places = np.stack([np.arange(12.0), np.zeros(12)], axis=1)
    found = over_distance(
        sttc_of(trains), places, edges_um=[0, 4, 8, 12], null=null_matrices(trains, sttc_of, 20), bootstraps=0
    )
    assert (found.null_low < 0.02).all()
    assert (found.null_high > -0.02).all()
    assert (found.mean > found.null_high + 0.2).all()


def test_wrong_arguments_are_refused():
    train = np.array([1, 2])
    with pytest.raises(ValueError, match="sampling_frequency"):
        sttc([train], sampling_frequency=0)
    with pytest.raises(ValueError, match="must be after start"):
        sttc([train], sampling_frequency=1, start=4, stop=4)
    with pytest.raises(TypeError, match="train 0"):
        sttc([train / 2], sampling_frequency=1)
    with pytest.raises(ValueError, match="dt must be"):
        sttc([train], sampling_frequency=1, dt=float("nan"))
    with pytest.raises(ValueError, match="a sample at least"):
        correlation_index([train], sampling_frequency=1, dt=0.1)
    with pytest.raises(ValueError, match="fewer than two bins"):
        count_correlation([train], sampling_frequency=1, bin_s=9)
    with pytest.raises(ValueError, match="shifts"):
        sttc_p_values([train], sampling_frequency=1, shifts=0)
    with pytest.raises(ValueError, match="ascending"):
        over_distance(np.zeros((1, 1)), np.zeros((1, 2)), edges_um=[1, 0])
    with pytest.raises(ValueError, match="same units"):
        over_distance(np.zeros((1, 1)), np.zeros((2, 2)))
