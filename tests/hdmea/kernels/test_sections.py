"""Trains cut by windows against boolean masks and `np.unique`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdmea.kernels import sections as sections_module
from hdmea.kernels.sections import SortedTrains
from hdmea.kernels.trains import to_ragged
from reference import sections as reference

EXTREMES = [0, 1, 2**31, 2**32, 2**63 - 2, 2**63 - 1]


def integers(dtype):
    """Values that meet each other often, and the dtype's extremes."""
    limits = np.iinfo(dtype)
    extremes = [value for value in [*EXTREMES, limits.min, limits.max] if limits.min <= value <= limits.max]
    return st.one_of(st.integers(max(limits.min, -5), 60), st.sampled_from(extremes))


@st.composite
def trains(draw):
    dtype = np.dtype(draw(st.sampled_from(["u8", "i8", "i4", "u2"])))
    drawn = draw(st.lists(st.lists(integers(dtype), max_size=25), max_size=6))
    ascending = draw(st.booleans())
    return [np.array(sorted(train) if ascending else train, dtype) for train in drawn]


@st.composite
def windows(draw):
    dtype = np.dtype(draw(st.sampled_from(["i8", "u8", "i4"])))
    rows = draw(st.lists(st.tuples(integers(dtype), integers(dtype)), max_size=6))
    return np.array(rows, dtype).reshape(-1, 2)


def assert_cut(sections, given_trains, given_windows, before=0, after=0):
    parts, unions = reference.cut(given_trains, given_windows, before, after)
    assert sections.bounds.shape == (len(given_trains), len(given_windows), 2)
    assert sections.times.dtype == sections.bounds.dtype == sections.union_times.dtype == np.int64
    for train, (own, union) in enumerate(zip(parts, unions, strict=True)):
        got = sections.windows(train)
        assert len(got) == len(own)
        for mine, theirs in zip(got, own, strict=True):
            assert mine.dtype == np.int64
            assert mine.tolist() == theirs.tolist()
        assert sections.union(train).tolist() == union.tolist()
    for train, (windows, union) in enumerate(sections):
        assert [part.tolist() for part in windows] == [part.tolist() for part in sections.windows(train)]
        assert union.tolist() == sections.union(train).tolist()


@pytest.fixture(autouse=True, scope="module")
def _small_work_is_spread_too():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections_module, "_TIMES_A_THREAD", 10)
        yield


@given(trains(), windows(), st.sampled_from([0, 3, -2, 2**63]), st.sampled_from([0, 5, -1, 2**63]), st.integers(1, 3))
@settings(max_examples=300)
def test_cut_equals_boolean_masks_and_unique(many, rows, before, after, threads):
    sections = SortedTrains(*to_ragged(many), threads=threads).cut(rows, before, after)
    assert_cut(sections, many, rows, before, after)


def test_overlapping_touching_empty_and_reversed_windows():
    many = [np.array([1, 2, 2, 3, 5, 8, 8, 13], np.uint64)]
    rows = np.array([[0, 4], [2, 9], [9, 13], [5, 5], [9, 2], [100, 200]])
    sections = SortedTrains(*to_ragged(many)).cut(rows)
    assert [part.tolist() for part in sections.windows(0)] == [[1, 2, 2, 3], [2, 2, 3, 5, 8, 8], [], [], [], []]
    assert sections.union(0).tolist() == [1, 2, 3, 5, 8]


def test_a_train_that_does_not_ascend_keeps_its_order():
    many = [np.array([5, 1, 5, 3], np.uint64), np.array([1, 3, 5], np.uint64)]
    sections = SortedTrains(*to_ragged(many)).cut(np.array([[1, 6], [5, 6]]))
    assert [part.tolist() for part in sections.windows(0)] == [[5, 1, 5, 3], [5, 5]]
    assert [part.tolist() for part in sections.windows(1)] == [[1, 3, 5], [5]]
    assert sections.union(0).tolist() == [1, 3, 5]


def test_trains_are_not_changed():
    times = np.array([5, 1, 3], np.uint64)
    SortedTrains(times, np.array([0, 3])).cut(np.array([[0, 9]]))
    assert times.tolist() == [5, 1, 3]


@pytest.mark.parametrize("dtype", [np.uint64, np.int64])
def test_ascending_trains_are_cut_into_views(dtype):
    times = np.arange(20).astype(dtype)
    sections = SortedTrains(times, np.array([0, 10, 20])).cut(np.array([[2, 5]]))
    assert np.shares_memory(sections.windows(0)[0], times)
    assert np.shares_memory(sections.union(0), times)


def test_the_union_is_a_copy_where_times_repeat_or_windows_lie_apart():
    times, offsets, touching = np.array([1, 2, 2, 5]), np.array([0, 4]), np.array([[0, 3], [3, 9]])
    assert SortedTrains(times, offsets).cut(touching).union(0).tolist() == [1, 2, 5]
    apart = SortedTrains(times[[0, 1, 3]], np.array([0, 3])).cut(np.array([[0, 2], [5, 9]]))
    assert apart.union(0).tolist() == [1, 5]


def test_trains_once_made_are_cut_again_and_again():
    many = [np.array([1, 4, 9]), np.array([9, 2])]
    made = SortedTrains(*to_ragged(many))
    assert len(made) == 2
    for rows in (np.array([[0, 5]]), np.array([[2, 10], [0, 1]]), np.empty((0, 2), int)):
        assert_cut(made.cut(rows), many, rows)


def test_offsets_may_leave_times_out():
    sections = SortedTrains(np.array([7, 1, 2, 3, 7]), np.array([1, 3, 4])).cut(np.array([[0, 9]]))
    assert [sections.union(train).tolist() for train in (0, 1)] == [[1, 2], [3]]


def test_read_only_and_strided_times():
    times = np.arange(20, dtype=np.uint64)[::2]
    times.flags.writeable = False
    assert SortedTrains(times, np.array([0, 10])).cut(np.array([[3, 9]])).union(0).tolist() == [4, 6, 8]


def test_without_trains_or_windows():
    nothing = SortedTrains(*to_ragged([])).cut(np.array([[0, 5]]))
    assert nothing.bounds.shape == (0, 1, 2)
    assert nothing.union_times.size == 0
    empty = SortedTrains(*to_ragged([np.empty(0, np.uint64)] * 3)).cut(np.array([[0, 5]]))
    assert [empty.union(train).size for train in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_many_trains_over_many_threads(threads):
    rng = np.random.default_rng(2)
    many = [np.sort(rng.integers(0, 10_000, size)).astype(np.uint64) for size in rng.integers(0, 300, 40)]
    many[7] = many[7][::-1].copy()
    rows = rng.integers(0, 10_000, (9, 2))
    assert_cut(SortedTrains(*to_ragged(many), threads=threads).cut(rows, 20, 30), many, rows, 20, 30)


def test_errors_name_the_argument():
    times, offsets = np.array([1, 2]), np.array([0, 2])
    with pytest.raises(TypeError, match="times must be an array of integers, got an array of float64"):
        SortedTrains(times.astype(float), offsets)
    with pytest.raises(ValueError, match=r"times must have one dimension, got shape \(1, 2\)"):
        SortedTrains(times.reshape(1, 2), offsets)
    for bad in ([0, 3], [1, 0], [-1, 2], []):
        with pytest.raises(ValueError, match=r"offsets must be trains \+ 1 ascending numbers from 0 to 2"):
            SortedTrains(times, np.array(bad, np.int64))
    with pytest.raises(TypeError, match="offsets must be an array of integers, got list"):
        SortedTrains(times, [0, 2])
    good = SortedTrains(times, offsets)
    with pytest.raises(TypeError, match="windows must be an array of integers"):
        good.cut(np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"windows must have shape \(n, 2\), got \(3,\)"):
        good.cut(np.zeros(3, int))
    with pytest.raises(TypeError, match="before must be an integer, got float"):
        good.cut(np.zeros((1, 2), int), before=0.5)
    with pytest.raises(TypeError, match="after must be an integer, got str"):
        good.cut(np.zeros((1, 2), int), after="1")


def test_end_to_end_keeps_the_dtype_and_refuses_what_is_no_train():
    joined, offsets = to_ragged([np.array([2, 1], np.uint64), np.array([], np.uint64), np.array([3], np.uint64)])
    assert joined.dtype == np.uint64
    assert offsets.tolist() == [0, 2, 2, 3]
    with pytest.raises(TypeError, match="trains must be an array of integers, got an array of float64"):
        to_ragged([np.array([1.0])])
    with pytest.raises(TypeError, match="trains must be an array of integers"):
        to_ragged([np.array([1], np.uint64), np.array([1], np.int64)])
    with pytest.raises(ValueError, match="trains must have one dimension"):
        to_ragged([np.zeros((1, 1), int)])
