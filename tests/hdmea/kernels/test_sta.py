"""Averages around triggers against the mean over windows cut one by one."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h5burst.runtime import simd
from hdmea.kernels import sta
from hdmea.kernels.trains import to_ragged
from reference import sta as reference

INTEGERS = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"]
FLOATS = ["f2", "f4", "f8", "g"]


def average(movie, trains, window, **options):
    return sta.triggered_average(
        movie, *to_ragged([np.asarray(train, np.int64) for train in trains]), window, **options
    )


def assert_average(got, movie, trains, window):
    means, counts = got
    expected, expected_counts = reference.triggered_average(movie, trains, window)
    assert means.dtype == np.float32
    assert means.shape == expected.shape
    np.testing.assert_array_equal(counts, expected_counts, strict=True)
    if movie.dtype.kind in "bui":
        np.testing.assert_array_equal(means, expected)
    else:
        np.testing.assert_allclose(means, expected, rtol=1e-6, atol=1e-6)


def held(rng, movie, most):
    """The movie's patterns, each held for up to `most` frames."""
    return np.repeat(movie, rng.integers(1, most + 1, len(movie)), axis=0)[: len(movie)]


@st.composite
def movies(draw):
    dtype = np.dtype(draw(st.sampled_from(INTEGERS + FLOATS)))
    shape = (draw(st.integers(0, 30)), *draw(st.sampled_from([(1, 1), (3, 5), (8, 9), (2, 0), (130,), (2, 2, 2)])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype.kind == "f":
        movie = rng.normal(0, 10, shape).astype(dtype)
    elif dtype.itemsize == 8:
        movie = rng.integers(0 if dtype.kind == "u" else -(2**50), 2**50, shape).astype(dtype)
    elif dtype.kind == "b":
        movie = rng.random(shape) < 0.5
    else:
        limits = np.iinfo(dtype)
        movie = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        if movie.size:
            movie.flat[0], movie.flat[-1] = limits.min, limits.max
    movie = held(rng, movie, draw(st.sampled_from([1, 1, 4])))
    if draw(st.booleans()):
        movie = np.asfortranarray(movie)
    return movie


TRIGGER = st.one_of(st.integers(-5, 35), st.sampled_from([-(2**63), 2**63 - 1]))
TRAINS = st.lists(st.lists(TRIGGER, max_size=30), max_size=5)
WINDOWS = st.sampled_from([(-6, 0), (0, 1), (-3, 4), (2, 9), (-1, 0), (-40, 0), (-(2**61), -(2**61) + 1), (-30, 0)])


@given(movies(), TRAINS, WINDOWS, st.integers(1, 3), st.sampled_from(simd.available()))
@settings(max_examples=300)
def test_average_equals_the_mean_of_windows(movie, trains, window, threads, variant):
    with simd.forced(variant):
        got = average(movie, trains, window, threads=threads)
    assert_average(got, movie, trains, window)


@pytest.mark.parametrize("code", ["u1", "i2", "i8", "f8"])
@pytest.mark.parametrize("part", ["tile", "sums", "lags"])
def test_tiles_blocks_of_trains_and_of_lags_make_no_difference(monkeypatch, code, part):
    rng = np.random.default_rng(3)
    movie = held(rng, rng.integers(0, 200, (150, 20, 11)).astype(code), 3)
    trains = [rng.integers(-5, 160, size) for size in (0, 1, 200, 50, 90, 7, 300)]
    if part == "tile":
        monkeypatch.setattr(sta, "TILE_BYTES", 64 * 40 * int(code[1]))
    elif part == "sums":
        monkeypatch.setattr(sta, "SUM_BYTES", 64 * 8 * 12 * 5)
    else:
        monkeypatch.setattr(sta, "LAGS", 4)
    for threads in (1, 3):
        assert_average(average(movie, trains, (-10, 1), threads=threads), movie, trains, (-10, 1))


@pytest.mark.parametrize("code", ["?", "u1", "i1", "i2", "u2", "i4", "i8", "f4", "f8"])
def test_variants_and_threads_agree_bit_for_bit(code):
    rng = np.random.default_rng(4)
    movie = (rng.normal(0, 80, (2500, 9, 8)) if code.startswith("f") else rng.integers(0, 128, (2500, 9, 8))).astype(
        code
    )
    trains = [rng.integers(0, 2500, size) for size in (3, 800, 20_000)]
    first, _ = average(movie, trains, (-13, 2), threads=1)
    for variant in simd.available():
        for threads in (1, 2, 5):
            with simd.forced(variant):
                again, _ = average(movie, trains, (-13, 2), threads=threads)
            assert again.tobytes() == first.tobytes()


@pytest.mark.parametrize("code", ["u1", "i1", "u2", "i2", "i4"])
@pytest.mark.parametrize("repeats", [63, 64, 5_000, 300_000])
def test_many_triggers_on_one_frame_stay_exact(code, repeats):
    """More than one digit of weights; sums beyond 32 bits."""
    limits = np.iinfo(code)
    movie = np.array([[limits.max, limits.min, 1], [limits.min, limits.max, 0], [7, 8, 9]], code)
    trains = [np.repeat([1, 2], [repeats, 3]), [2]]
    means, counts = average(movie, trains, (-1, 1))
    weights = {1: repeats, 2: 3}
    for lag in range(2):
        total = sum(count * movie[frame - 1 + lag].astype(object) for frame, count in weights.items())
        expected = (total.astype(np.float64) / (repeats + 3)).astype(np.float32)
        np.testing.assert_array_equal(means[0, lag], expected)
    assert counts.tolist() == [repeats + 3, 1]


def test_a_movie_that_never_changes_is_its_own_average():
    movie = np.full((5000, 4, 4), 201, np.uint8)
    means, counts = average(movie, [np.tile(np.arange(5000), 40)], (-20, 0))
    assert (means == 201).all()
    assert counts.tolist() == [40 * 4980]


def test_what_is_not_finite_stays_where_it_was_shown():
    movie = np.ones((6, 3))
    movie[2, 0], movie[2, 1], movie[4, 1], movie[5, 2] = np.nan, np.inf, -np.inf, np.nan
    trains = [[1, 2], [3], [3, 5], [6]]
    with np.errstate(invalid="ignore"):
        assert_average(average(movie, trains, (-1, 0)), movie, trains, (-1, 0))
        assert_average(average(movie, trains, (-2, 0)), movie, trains, (-2, 0))
    assert np.isfinite(average(movie, [[1, 2]], (-1, 0))[0]).all()


def test_single_precision_movies_are_summed_in_double():
    movie = np.array([[1.0], [2.0**-40]], np.float32)
    means, _ = average(movie, [np.repeat([1, 2], [1, 2**20])], (-1, 0))
    assert means[0, 0, 0] == np.float32((1 + 2.0**-20) / (2**20 + 1))


def test_edges_of_the_movie_and_no_trigger_at_all():
    movie = np.arange(20, dtype=np.uint8).reshape(10, 2)
    means, counts = average(movie, [[2, 3], [10], [11], [1], []], (-3, 0))
    assert counts.tolist() == [1, 1, 0, 0, 0]
    assert means[0].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert means[1].tolist() == [[14, 15], [16, 17], [18, 19]]
    assert np.isnan(means[2:]).all()
    assert average(movie, [], (-3, 0))[0].shape == (0, 3, 2)


def test_unsigned_triggers_beyond_int64_do_not_count():
    movie = np.ones((5, 1), np.uint8)
    triggers = np.array([2**64 - 1, 3, 2**63], np.uint64)
    assert sta.triggered_average(movie, triggers, np.array([0, 3]), (-1, 0))[1].tolist() == [1]


def test_memory_mapped_read_only_strided_and_foreign_movies(tmp_path):
    rng = np.random.default_rng(5)
    movie = rng.integers(-300, 300, (60, 7, 9)).astype(np.int16)
    np.save(tmp_path / "movie.npy", movie)
    trains = [rng.integers(0, 60, 40)]
    mapped = np.load(tmp_path / "movie.npy", mmap_mode="r")
    tall = np.zeros((120, 14, 9), np.int16)
    tall[::2, ::2] = movie
    for same in (mapped, tall[::2, ::2], movie.astype(">i2"), movie[::-1].copy()[::-1], np.asfortranarray(movie)):
        assert_average(average(same, trains, (-5, 2)), movie, trains, (-5, 2))


def test_out_is_written_and_returned(tmp_path):
    movie = np.arange(20, dtype=np.uint8).reshape(10, 2)
    out = np.full((1, 3, 2), 5, np.float32)
    means, _ = average(movie, [[4]], (-3, 0), out=out)
    assert means is out
    assert out[0].tolist() == [[2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((1, 3, 3), np.float32),
        np.zeros((1, 3, 2)),
        np.zeros((2, 3, 1), np.float32).T,
        np.zeros((1, 3, 2), ">f4"),
    ],
)
def test_an_out_that_does_not_fit_is_refused(out):
    with pytest.raises(ValueError, match="out must be"):
        average(np.zeros((10, 2), np.uint8), [[4]], (-3, 0), out=out)


@pytest.mark.parametrize("triggers", [200, 200_000])
@pytest.mark.parametrize("code", ["u1", "f4"])
def test_memory_beyond_movie_and_result_is_bounded(code, triggers):
    rng = np.random.default_rng(6)
    movie = rng.integers(0, 255, (3000, 40, 40), np.uint8).astype(code)
    ends = to_ragged([rng.integers(0, 3000, triggers) for _ in range(12)])
    out = np.empty((12, 30, 40, 40), np.float32)
    tracemalloc.start()
    sta.triggered_average(movie, *ends, (-30, 0), out=out, threads=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_errors_name_the_argument():
    movie, triggers, offsets = np.zeros((5, 2, 2), np.uint8), np.array([3]), np.array([0, 1])
    with pytest.raises(TypeError, match=r"movie must be .* got list"):
        sta.triggered_average([[1]], triggers, offsets, (-1, 0))
    with pytest.raises(TypeError, match=r"movie must be .* got an array of complex128"):
        sta.triggered_average(movie.astype(complex), triggers, offsets, (-1, 0))
    with pytest.raises(ValueError, match="movie must have frames and pixels"):
        sta.triggered_average(movie[:, 0, 0], triggers, offsets, (-1, 0))
    with pytest.raises(TypeError, match="triggers must be an array of integers"):
        sta.triggered_average(movie, triggers * 1.0, offsets, (-1, 0))
    with pytest.raises(ValueError, match="offsets must be"):
        sta.triggered_average(movie, triggers, np.array([0, 2]), (-1, 0))
    for window in ((-1,), (0.5, 1), 3, None):
        with pytest.raises(TypeError, match="window must be two integers"):
            sta.triggered_average(movie, triggers, offsets, window)
    for window in ((0, 0), (1, -1), (-(2**63), 0)):
        with pytest.raises(ValueError, match="window must be"):
            sta.triggered_average(movie, triggers, offsets, window)
    with pytest.raises(ValueError, match="threads must be at least 1"):
        sta.triggered_average(movie, triggers, offsets, (-1, 0), threads=0)


@pytest.mark.parametrize("code", ["i8", "u8"])
def test_integers_whose_sum_could_leave_64_bits_are_refused(code):
    movie = np.full((5, 2), 2**61, code)
    assert (average(movie, [[1, 2, 3]], (-1, 0))[0] == 2**61).all()
    with pytest.raises(ValueError, match="movie holds integers up to 2305843009213693952"):
        average(movie, [[1, 2, 3, 4]], (-1, 0))
