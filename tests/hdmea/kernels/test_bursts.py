"""Bursts, and clusters of bursts, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import poisson

from hdmea.kernels import bursts
from reference import bursts as slow

times = st.lists(st.integers(0, 40) | st.integers(0, 3), max_size=80).map(
    lambda gaps: np.cumsum(np.array(gaps, np.int64))
)


@given(times, st.integers(0, 12), st.integers(0, 20), st.integers(0, 40), st.integers(0, 15), st.integers(2, 6))
def test_bursts_by_intervals_are_those_of_the_definition(train, at_start, more, between, shortest, min_spikes):
    found = bursts.interval_bursts(
        train, at_start=at_start, inside=at_start + more, between=between, shortest=shortest, min_spikes=min_spikes
    )
    assert list(map(tuple, found.tolist())) == slow.by_intervals(
        train, at_start, at_start + more, between, shortest, min_spikes
    )


@given(st.lists(st.integers(1, 40) | st.integers(1, 3), max_size=60), st.floats(0.5, 5), st.integers(3, 6))
def test_bursts_by_surprise_are_those_of_the_definition(gaps, threshold, min_spikes):
    train = np.cumsum(np.array(gaps, np.int64))
    rate = len(train) / (train[-1] + 1) if len(train) else 1.0
    found, surprise = bursts.surprise_bursts(train, rate=rate, threshold=threshold, min_spikes=min_spikes)
    assert list(map(tuple, found.tolist())) == slow.by_surprise(train, rate, threshold, min_spikes)
    assert surprise == pytest.approx([slow.surprise(train, a, b - 1, rate) for a, b in found.tolist()], rel=1e-9)


@pytest.mark.parametrize(("expected", "count"), [(1e-6, 3), (0.5, 4), (4.0, 20), (30.0, 31), (400.0, 390), (50.0, 200)])
def test_surprise_is_that_of_scipy_s_poisson_distribution(expected, count):
    train = np.linspace(0, 1_000_000, count).astype(np.int64)
    found = bursts.surprises(train, np.array([[0, count]]), rate=expected / 1_000_000)
    assert found[0] == pytest.approx(-poisson.logsf(count - 1, expected), rel=1e-10)


some_onsets = st.lists(st.lists(st.integers(0, 120), max_size=6, unique=True).map(sorted), min_size=1, max_size=7)


@given(some_onsets, st.integers(0, 2**32 - 1))
def test_clusters_are_connected_components(onsets, seed):
    rng = np.random.default_rng(seed)
    units = len(onsets)
    delays = rng.integers(-15, 15, (units, units))
    delays = np.maximum(delays, delays.T)
    np.fill_diagonal(delays, -1)
    first, second = np.nonzero(np.triu(delays >= 0, 1))
    neighbours = bursts.Neighbours(units, first, second, delays[first, second])
    joined, offsets = np.array([one for own in onsets for one in own], np.int64), np.cumsum([0, *map(len, onsets)])
    links = slow.linked([np.array(own) for own in onsets], delays)

    counts = bursts.linked_counts(joined, offsets, neighbours)
    assert counts.tolist() == [sum(a == k for a, _, _ in links) for k in range(len(joined))]

    is_core = counts >= 2
    found = bursts.clusters(joined, offsets, neighbours, is_core)
    between = [(a, b) for a, b, _ in links if is_core[a] and is_core[b]]
    rows, columns = np.array(between, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(between)), (rows, columns)), (len(joined), len(joined)))
    _, label = connected_components(graph, directed=False)
    for k in range(len(joined)):
        if is_core[k]:
            assert found[k] == min(m for m in range(len(joined)) if is_core[m] and label[m] == label[k])
        else:
            near = [(apart, b) for a, b, apart in links if a == k and is_core[b]]
            least = min((apart for apart, _ in near), default=None)
            first_listed = next((b for apart, b in near if apart == least), None)
            assert found[k] == (-1 if first_listed is None else found[first_listed])


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="ascend"):
        bursts.interval_bursts(np.array([2, 1]), at_start=1, inside=1, between=1)
    with pytest.raises(ValueError, match="rate must be positive"):
        bursts.surprise_bursts(np.array([1, 2]), rate=0.0, threshold=1.0)
    with pytest.raises(ValueError, match="slices"):
        bursts.surprises(np.array([1, 2]), np.array([[0, 3]]), rate=1.0)
    pair = bursts.Neighbours(2, np.array([0]), np.array([1]), np.array([3]))
    with pytest.raises(ValueError, match="cover"):
        bursts.linked_counts(np.array([1]), np.array([0, 1]), pair)
    with pytest.raises(ValueError, match="is_core"):
        bursts.clusters(np.array([1]), np.array([0, 1, 1]), pair, np.zeros(2, bool))
    with pytest.raises(ValueError, match="there are 2"):
        bursts.Neighbours(2, np.array([0]), np.array([2]), np.array([3]))
