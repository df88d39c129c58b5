"""Binned rates against `np.histogram`, frame look-up against `np.searchsorted`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdmea.kernels import rates
from hdmea.kernels.trains import to_ragged
from reference import rates as reference


@pytest.fixture(autouse=True, scope="module")
def _small_work_is_spread_too():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rates, "_TIMES_A_THREAD", 3)
        yield


def values(dtype):
    """Times near each other and near bins' edges, and the dtype's extremes."""
    if dtype.kind == "f":
        special = [0.0, -0.0, np.nan, np.inf, -np.inf, 0.1, 0.3, 0.1 + 0.2, 1e300, -5e-324]
        return st.one_of(st.sampled_from(special), st.integers(-3, 40).map(lambda n: n * 0.1), st.floats(-1, 4))
    limits = np.iinfo(dtype)
    return st.one_of(st.integers(max(limits.min, -3), 100), st.sampled_from([limits.min, limits.max]))


@st.composite
def trains(draw):
    dtype = np.dtype(draw(st.sampled_from(["u8", "i8", "i4", "f8", "f4"])))
    drawn = draw(st.lists(st.lists(values(dtype), max_size=30), max_size=5))
    with np.errstate(over="ignore"):
        return [np.array(train, dtype) for train in drawn]


def joined(many):
    if many and many[0].dtype.kind == "f":
        return np.concatenate(many), np.cumsum([0, *map(len, many)])
    return to_ragged(many)


@given(trains(), st.sampled_from([1, 2, 7, 0.1, 0.3, 1 / 3, 1e-3, 10.5]), st.integers(1, 40), st.integers(1, 3))
@settings(max_examples=300)
def test_rates_equal_histogram(many, width, bins, threads):
    got = rates.firing_rates(*joined(many), bin_width=width, duration=bins * width, rate_hz=1 / width, threads=threads)
    expected = reference.firing_rates(many, width, bins, 1 / width)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, expected, strict=True)


def test_the_last_bin_holds_its_end_and_the_others_do_not():
    got = rates.firing_rates(np.array([0, 10, 20, 21, -1]), np.array([0, 5]), bin_width=10, duration=20, rate_hz=2)
    assert got.tolist() == [[2, 4]]


@pytest.mark.parametrize(
    ("duration", "width", "bins"), [(0, 1, 0), (1.05, 0.1, 11), (120.0, 0.1, 1200), (0.3, 0.1, 3), (30001, 3000, 11)]
)
def test_bins_cover_the_duration(duration, width, bins):
    assert rates.bin_count(duration, width) == bins
    got = rates.firing_rates(np.empty(0, np.int64), np.array([0, 0]), bin_width=width, duration=duration, rate_hz=1)
    assert got.shape == (1, bins)


def test_rates_without_trains():
    assert rates.firing_rates(*to_ragged([]), bin_width=1, duration=5, rate_hz=1).shape == (0, 5)


def test_errors_of_rates_name_the_argument():
    times, offsets, good = np.array([1, 2]), np.array([0, 2]), {"bin_width": 1, "duration": 5, "rate_hz": 1}
    with pytest.raises(TypeError, match="times must be an array of integers or floats"):
        rates.firing_rates([1, 2], offsets, **good)
    with pytest.raises(TypeError, match="times must be an array of integers or floats"):
        rates.firing_rates(times.astype(complex), offsets, **good)
    with pytest.raises(ValueError, match="times must have one dimension"):
        rates.firing_rates(times.reshape(1, 2), offsets, **good)
    with pytest.raises(ValueError, match=r"offsets must be trains \+ 1 ascending numbers"):
        rates.firing_rates(times, np.array([0, 3]), **good)
    for name, bad in (("bin_width", 0), ("bin_width", np.nan), ("duration", -1), ("duration", np.inf)):
        with pytest.raises(ValueError, match=f"{name} must"):
            rates.firing_rates(times, offsets, **{**good, name: bad})
    with pytest.raises(ValueError, match="rate_hz must be finite"):
        rates.firing_rates(times, offsets, **{**good, "rate_hz": np.nan})


# ---------------------------------------------------------------- frames

CODES = ["u8", "i8", "i4", "u2"]


@st.composite
def integers(draw, least=0, ascending=False):
    dtype = np.dtype(draw(st.sampled_from(CODES)))
    drawn = draw(st.lists(values(dtype), min_size=least, max_size=40))
    return np.array(sorted(drawn) if ascending else drawn, dtype)


@given(integers(), integers(least=1, ascending=True), st.integers(1, 3))
@settings(max_examples=300)
def test_frames_equal_the_obvious_way(times, starts, threads):
    got = rates.frames_at(times, starts, threads=threads)
    np.testing.assert_array_equal(got, reference.frames_at(times, starts), strict=True)


@pytest.mark.parametrize("order", ["ascending", "descending", "any"])
def test_frames_equal_searchsorted(order):
    rng = np.random.default_rng(0)
    starts = np.sort(rng.integers(0, 10**6, 3000)).astype(np.uint64)
    times = rng.integers(0, 10**6 + 5000, 20_000).astype(np.uint64)
    times = {"ascending": np.sort(times), "descending": np.sort(times)[::-1], "any": times}[order]
    expected = np.clip(np.searchsorted(starts, times, side="right") - 1, 0, starts.size - 1)
    np.testing.assert_array_equal(rates.frames_at(times, starts, threads=2), expected)


def test_errors_of_frames_name_the_argument():
    good = np.array([1, 2])
    with pytest.raises(TypeError, match="times must be an array of integers"):
        rates.frames_at(good.astype(float), good)
    with pytest.raises(TypeError, match="starts must be an array of integers"):
        rates.frames_at(good, good.astype(float))
    with pytest.raises(ValueError, match="starts must hold at least one frame"):
        rates.frames_at(good, good[:0])
    with pytest.raises(ValueError, match="starts must ascend"):
        rates.frames_at(good, good[::-1])
    with pytest.raises(ValueError, match="starts must have one dimension"):
        rates.frames_at(good, good.reshape(1, 2))
