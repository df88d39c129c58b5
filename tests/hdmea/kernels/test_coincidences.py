"""Near times and lags of many trains against comparisons of every time with every other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdmea.kernels import coincidences
from reference import coincidences as brute

few_times = st.lists(st.integers(0, 300), max_size=25).map(lambda t: np.array(sorted(t), np.int64))
trains = st.lists(few_times, min_size=1, max_size=5)


@given(trains, st.integers(0, 60), st.integers(-(2**40), 2**40), st.sampled_from([1, 3]))
def test_near_counts_are_those_of_all_comparisons(some, dt, shift, threads):
    times, offsets = brute.merged([train + shift for train in some])
    found = coincidences.near_counts(times, offsets, dt=dt, threads=threads)
    assert found.tolist() == [[brute.near(a, b, dt) for b in some] for a in some]


@given(trains, st.integers(0, 20))
def test_both_ways_to_find_near_times_agree(some, dt):
    times, offsets = brute.merged(some)
    by_cells = coincidences.near_counts(times, offsets, dt=dt)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coincidences, "_TABLE_CELLS", 0)
        by_merging = coincidences.near_counts(times, offsets, dt=dt)
    np.testing.assert_array_equal(by_cells, by_merging)


@given(trains, st.integers(-80, 40), st.integers(1, 9), st.integers(1, 20), st.sampled_from([1, 3]))
def test_lags_are_those_of_all_pairs_of_times(some, low, bin_samples, bins, threads):
    times, offsets = brute.merged(some)
    found = coincidences.lag_counts(times, offsets, low=low, bin_samples=bin_samples, bins=bins, threads=threads)
    wanted = [[brute.lags(a, b, low, bin_samples, bins, same=a is b) for b in some] for a in some]
    assert found.tolist() == wanted
    pairs = [(i, j) for i in range(len(some)) for j in range(len(some))][::-1]
    chosen = coincidences.lag_counts(times, offsets, low=low, bin_samples=bin_samples, bins=bins, pairs=pairs)
    assert chosen.tolist() == [wanted[i][j] for i, j in pairs]


def test_a_wide_window_and_a_long_recording_need_little_memory():
    """Cells, of which there is a table a train, are never many: a window of a sample in a day is found by merging."""
    times, offsets = np.array([0, 2**40, 5, 2**40 + 1], np.uint64), np.array([0, 2, 4])
    assert coincidences.near_counts(times, offsets, dt=1).tolist() == [[2, 1], [1, 2]]
    assert coincidences.near_counts(times, offsets, dt=2**30 - 1).tolist() == [[2, 2], [2, 2]]


def test_wrong_arguments_are_refused():
    times, offsets = np.array([3, 1]), np.array([0, 2])
    with pytest.raises(ValueError, match="train 0 descends"):
        coincidences.near_counts(times, offsets, dt=1)
    with pytest.raises(ValueError, match="dt must be"):
        coincidences.near_counts(times[:1], offsets // 2, dt=-1)
    with pytest.raises(ValueError, match="at least 1"):
        coincidences.lag_counts(times[:1], offsets // 2, low=0, bin_samples=0, bins=3)
    with pytest.raises(ValueError, match="there are 1"):
        coincidences.lag_counts(times[:1], offsets // 2, low=0, bin_samples=1, bins=3, pairs=[(0, 1)])
    with pytest.raises(TypeError, match="integers"):
        coincidences.near_counts(times * 1.0, offsets, dt=1)
