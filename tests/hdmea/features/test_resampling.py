"""The compiled counts, sums and resamples against obvious versions, and what a resampling test must keep."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import false_discovery_control

from hdmea.features import harmonics, onset, psth, resampling
from hdmea.features.significance import q_values, resampling_p_value, roll_test
from reference import features as reference

few = settings(max_examples=40, deadline=None)
trains = st.lists(st.lists(st.integers(0, 499), max_size=40).map(sorted), min_size=1, max_size=5)


def flat(trials: list[list[int]], scale: float = 1.0) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    offsets = np.concatenate([[0], np.cumsum([len(trial) for trial in trials])]).astype(np.int64)
    return np.array([spike * scale for trial in trials for spike in trial], np.float64), offsets


@few
@given(
    trials=trains,
    first=st.sampled_from([0.0, 3.5, -2.0]),
    width=st.sampled_from([1.0, 7.0, 2.5]),
    bins=st.integers(1, 60),
)
def test_bin_counts(trials: list[list[int]], first: float, width: float, bins: int) -> None:
    counts = psth.bin_counts(*flat(trials), first, width, bins)
    np.testing.assert_array_equal(counts, reference.bin_counts(trials, first, width, bins))


@few
@given(
    values=hnp.arrays(
        np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=30, max_side=60), elements=st.integers(0, 3)
    ),
    sigma=st.floats(0.3, 7),
)
def test_smoothing_is_a_reflected_gaussian(values: npt.NDArray[np.float64], sigma: float) -> None:
    np.testing.assert_allclose(psth.smoothed(values, sigma), reference.smoothed(values, sigma), atol=1e-12)


@few
@given(
    times=hnp.arrays(np.float64, st.integers(0, 60), elements=st.floats(0, 399.9)),
    rate=st.floats(1e-4, 0.2),
    shortest=st.sampled_from([5.0, 10.0, 50.0]),
    max_ends=st.sampled_from([256, 20, 7]),
)
def test_highest_segment_is_that_of_all_pairs(
    times: npt.NDArray[np.float64], rate: float, shortest: float, max_ends: int
) -> None:
    times = np.sort(times)
    found = onset.highest_segment(times, 400.0, rate, shortest, max_ends)
    step = max(1, -(-len(times) // max_ends))
    expected = reference.highest_segment(times, 400.0, rate, shortest, step)

    def gain(segment: npt.ArrayLike) -> float:  # of equal ones either will do
        first, last, own = np.asarray(segment).tolist()
        return (last - first) * (own * np.log(own / rate) - own + rate)

    assert np.isnan(found[0]) == np.isnan(expected[0])
    if not np.isnan(found[0]):
        assert gain(found) == pytest.approx(gain(expected), rel=1e-9, abs=1e-9)


def test_smoothing_keeps_the_sum_even_where_the_kernel_is_longer_than_the_row() -> None:
    values = np.array([[0.0, 5.0, 1.0], [2.0, 0.0, 0.0]])
    np.testing.assert_array_equal(psth.smoothed(values, 0.0), values)
    np.testing.assert_allclose(psth.smoothed(values, 0.8).sum(axis=1), [6, 2])


@few
@given(
    values=hnp.arrays(np.float64, (2, 3, 24), elements=st.integers(0, 4)),
    ranked=hnp.arrays(np.float64, (3, 24), elements=st.integers(0, 4)),
    width=st.integers(1, 24),
)
def test_means_over_the_highest_bins(
    values: npt.NDArray[np.float64], ranked: npt.NDArray[np.float64], width: int
) -> None:
    """Whole numbers, so that many bins are equal: the earlier ones count."""
    chosen = np.argsort(-ranked, axis=1, kind="stable")[:, :width]
    expected = [[own[row][chosen[row]].mean() for row in range(3)] for own in values]
    np.testing.assert_allclose(psth.highest_means(values, ranked, width), expected, rtol=1e-12)


@few
@given(trials=trains, start=st.sampled_from([0.0, 30.5]), width=st.sampled_from([100.0, 240.0]))
def test_fourier_sums(trials: list[list[int]], start: float, width: float) -> None:
    x, offsets = flat(trials, 0.77)
    cycles = np.array([0.5, 1, 10]) / 60
    found = harmonics.fourier_sums(x, offsets, start, start + width, cycles)
    own = [np.array(trial) * 0.77 for trial in trials]
    np.testing.assert_allclose(
        found[..., 0] + 1j * found[..., 1], reference.fourier_sums(own, start, start + width, cycles), atol=1e-9
    )


@few
@given(trials=trains, seed=st.integers(0, 99))
def test_rolled_rayleigh_statistics_are_those_of_rolled_spikes(trials: list[list[int]], seed: int) -> None:
    x, offsets = flat(trials, 0.9)
    starts, widths, cycles = np.array([10, 300]), np.array([240, 120]), np.array([0.5, 4]) / 60
    turns = harmonics.frame_turns(tuple(cycles.tolist()), 450)
    found = harmonics.rolled_rayleigh(x, offsets, turns, starts, widths, cycles, 5, seed)
    state = resampling.start_state(seed, 0)
    own = [np.array(trial) * 0.9 for trial in trials]
    for resample in range(6):
        shifts = [resampling.random_below(state, 450) if resample else 0 for _ in own]
        expected = [
            reference.rayleigh(own, 450, shifts, *window) for window in zip(starts, widths, cycles, strict=True)
        ]
        np.testing.assert_allclose(found[resample], expected, atol=1e-7)


def test_permutations_keep_each_trials_responses_and_reach_every_order() -> None:
    responses = np.array([[1.0, 10.0, 100.0]])
    weights = np.array([[1.0, 2.0, 3.0]])
    found = resampling.permuted_sums(responses, weights, np.zeros((1, 3)), 6000, 7, 0)[:, 0]
    values, counts = np.unique(found, return_counts=True)
    assert sorted(values) == sorted(
        {
            a + 2 * b + 3 * c
            for a, b, c in [(1, 10, 100), (1, 100, 10), (10, 1, 100), (10, 100, 1), (100, 1, 10), (100, 10, 1)]
        }
    )
    assert counts.min() > 1000 - 5 * np.sqrt(1000)  # five standard deviations


def test_permutations_of_trials_are_independent() -> None:
    responses = np.array([[1.0, 0.0], [1.0, 0.0]])
    found = resampling.permuted_sums(responses, np.array([[1.0, 0.0]]), np.zeros((1, 2)), 8000, 3, 0)[:, 0]
    shares = np.array([np.mean(found == value) for value in (0.0, 0.5, 1.0)])
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=0.03)


def test_random_numbers_are_even() -> None:
    state = resampling.start_state(12, 1)
    counts = np.bincount([resampling.random_below(state, 7) for _ in range(14_000)], minlength=7)
    assert ((counts - 2000) ** 2 / 2000).sum() < 22.5  # chi-square of 6 degrees of freedom, p = 0.001


def test_random_numbers_are_those_of_the_published_generator() -> None:
    """SplitMix64 from state 0: the first outputs of its authors' reference implementation."""
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    state = resampling.start_state(0, 0)
    assert [resampling.random_below(state, 1 << 31) for _ in published] == [value >> 33 for value in published]


def test_streams_and_seeds_differ() -> None:
    values = np.arange(50.0)[None, :]
    one, again, other, stream = (
        resampling.rolled_sums(values, 20, *which) for which in ((1, 0), (1, 0), (2, 0), (1, 1))
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, stream)


def test_resamples_are_the_same_on_any_number_of_threads() -> None:
    responses = np.random.default_rng(0).random((3, 8))
    weights = np.ones((2, 8)) * np.arange(8)

    def sums(seed: int) -> npt.NDArray[np.float64]:
        return resampling.permuted_sums(responses, weights, weights, 200, seed, 0)

    alone = [sums(seed) for seed in range(16)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(sums, reversed(range(16))))
    np.testing.assert_array_equal(alone, together[::-1])


def test_roll_test_of_all_shifts() -> None:
    """Few enough bins that the distribution of the null is known: each shift equally likely."""
    counts = np.array([[0.0, 0, 0, 0, 0, 0, 0, 4]])
    found = roll_test(counts, 2, 20_000, 5, 0)
    increase, decrease = found.increase, found.decrease
    assert increase == pytest.approx(2 / 8, abs=0.015)  # two shifts put the four spikes into the last two bins
    assert decrease == 1


def test_p_values_count_the_observed_and_never_are_zero() -> None:
    assert resampling_p_value(np.zeros(999), 1.0) == 1 / 1000
    assert resampling_p_value(np.ones(999), 1.0) == 1
    assert resampling_p_value(np.full(9, 1 - 1e-12), 1.0, 1e-9) == 1


@few
@given(p=hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)))
def test_q_values_are_benjamini_and_hochbergs(p: npt.NDArray[np.float64]) -> None:
    np.testing.assert_allclose(q_values(p), false_discovery_control(p, method="bh"), rtol=1e-12)


def test_q_values_leave_out_what_has_no_p() -> None:
    np.testing.assert_allclose(q_values([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])
    assert len(q_values([])) == 0
