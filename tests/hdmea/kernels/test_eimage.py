"""Electrical images and zero-phase filtering against the obvious way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter

from h5burst.runtime import simd
from hdmea.kernels import eimage
from hdmea.kernels.highpass import SosFilter
from reference import eimage as reference
from support.sources import Rows

RATE = 20_000


def sections(cutoff_hz=100.0, order=2, kind="highpass"):
    return butter(order, cutoff_hz, kind, fs=RATE, output="sos")


def recording(frames, channels, dtype=np.int16, seed=0, offset=0.0):
    """Noise, slow drift and an offset, within int16."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 20, (frames, channels)) + rng.normal(0, 1, (frames, channels)).cumsum(axis=0) + offset
    return np.rint(noise).clip(-32768, 32767).astype(dtype)


def joined(spikes_by_unit):
    arrays = [np.asarray(spikes, np.int64) for spikes in spikes_by_unit]
    return np.concatenate([np.empty(0, np.int64), *arrays]), np.cumsum([0, *map(len, arrays)])


def images(data, spikes_by_unit, window=(-10, 40), limit=None, **options):
    windows = eimage.SpikeWindows(*joined(spikes_by_unit), window, limit)
    return eimage.electrical_images(Rows(data), windows, **options)


def assert_close_images(got, data, spikes_by_unit, window, sos, limit=None, tolerance=1e-5):
    means, used, excluded = reference.electrical_images(data, spikes_by_unit, window, sos, limit)
    assert got.used.tolist() == used
    assert got.excluded.tolist() == excluded
    assert got.means.dtype == np.float32
    assert got.means.shape == means.shape
    filtered = reference.highpass(data, sos) if sos is not None else data
    for mine, theirs in zip(got.means, means, strict=True):
        scale = max(np.abs(theirs).max(), filtered.std() * 1e-2)
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance * scale)


# --- the filter -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [0, 1, 15])
def test_recording_no_longer_than_the_padding_is_refused(frames):
    sos = sections(order=4)
    assert SosFilter.of(sos).pad_frames == 15
    with pytest.raises(ValueError, match=f"too short for this filter: {frames} frames, it needs more than 15"):
        images(recording(frames, 2), [[5]], sos=sos)


def test_shortest_recording_is_exact():
    sos = sections(order=4)
    data = recording(16, 5)
    got = images(data, [[5, 7], [0]], (0, 9), sos=sos)
    assert_close_images(got, data, [[5, 7], [0]], (0, 9), sos)


def test_transitions_are_powers_of_one_sample():
    cascade = SosFilter.of(sections(order=3))
    powers = cascade.transitions(37)
    one = powers[1]
    for count in (0, 1, 2, 5, 37):
        np.testing.assert_allclose(powers[count], np.linalg.matrix_power(one, count), rtol=1e-9, atol=1e-12)
    assert cascade.transitions(0).shape == (1, 4, 4)


@pytest.mark.parametrize(
    ("sos", "message"),
    [
        (np.ones((1, 5)), "sos must have shape"),
        (np.ones((0, 6)), "sos must have shape"),
        (np.ones((17, 6)), "sos must have shape"),
        ([[1, 0, 0, 2, 0, 0]], "a0 column 1"),
        ([[np.nan, 0, 0, 1, 0, 0]], "finite"),
        ([[1, 0, 0, 1, -2, 1]], "not stable"),
    ],
)
def test_bad_sections_are_refused(sos, message):
    with pytest.raises(ValueError, match=message):
        SosFilter.of(sos)


# --- images -----------------------------------------------------------------------------------------------------------

SPIKES = st.lists(st.lists(st.integers(-30, 830), max_size=30), max_size=5)


@settings(max_examples=60)
@given(
    spikes_by_unit=SPIKES,
    frames=st.integers(20, 800),
    block_frames=st.sampled_from([1, 3, 16, 100, 333, 4096]),
    channels=st.sampled_from([1, 5, 32, 33, 64, 70]),
    window=st.sampled_from([(-10, 40), (0, 1), (-60, -20), (30, 31), (-5, 700)]),
    dtype=st.sampled_from([np.int16, np.float32]),
    threads=st.sampled_from([1, 2, 3]),
    limit=st.sampled_from([None, 0, 1, 7]),
    sos=st.sampled_from([None, sections(), sections(20, 3), sections(3000, 5)]),
)
def test_images_are_means_over_windows_of_the_whole(
    spikes_by_unit, frames, block_frames, channels, window, dtype, threads, limit, sos
):
    data = recording(frames, channels, dtype, seed=frames)
    got = images(
        data, spikes_by_unit, window, sos=sos, limit=limit, block_frames=block_frames, threads=threads
    )  # fmt: skip
    assert_close_images(got, data, spikes_by_unit, window, sos, limit, tolerance=1e-4)


@pytest.mark.parametrize(("cutoff_hz", "order"), [(1, 2), (1, 5), (100, 2), (300, 8)])
def test_images_of_long_recordings(cutoff_hz, order):
    rng = np.random.default_rng(3)
    data = recording(100_000, 7, offset=-25_000)
    spikes = [rng.integers(0, len(data), 3000), [0, 99_960, 10, 99_961, 99_959], rng.integers(0, len(data), 2)]
    sos = sections(cutoff_hz, order)
    assert_close_images(images(data, spikes, sos=sos), data, spikes, (-10, 40), sos)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("sos", [None, sections(), sections(order=4), sections(order=7)])
def test_variants_give_the_same_bits(sos, dtype):
    rng = np.random.default_rng(4)
    data = recording(9000, 75, dtype)
    spikes = [rng.integers(0, len(data), 200), rng.integers(0, len(data), 7)]
    results = []
    for variant in simd.available():
        with simd.forced(variant):
            results.append(images(data, spikes, sos=sos).means)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("sos", [None, sections()])
def test_threads_and_other_units_change_no_bit(sos):
    rng = np.random.default_rng(5)
    data = recording(6000, 300)
    spikes = [rng.integers(0, len(data), 50) for _ in range(9)]
    whole = images(data, spikes, sos=sos, threads=1).means
    for threads in (2, 3, 8):
        np.testing.assert_array_equal(images(data, spikes, sos=sos, threads=threads).means, whole)
    np.testing.assert_array_equal(images(data, spikes[4:6], sos=sos).means, whole[4:6])


def test_order_of_spikes_changes_no_bit():
    rng = np.random.default_rng(6)
    data = recording(6000, 40)
    spikes = rng.integers(0, len(data), 300)
    expected = images(data, [np.sort(spikes)], sos=sections(), limit=100).means
    np.testing.assert_array_equal(images(data, [spikes], sos=sections(), limit=100).means, expected)


def test_unfiltered_int16_windows_are_exact():
    data = recording(5000, 33, offset=30_000)
    spikes = [np.arange(100, 4000, 7), [17] * 1000]
    got = images(data, spikes, block_frames=512)
    level = data.sum(axis=0, dtype=np.int64) / len(data)
    for unit, times in enumerate(spikes):
        total = sum(data[t - 10 : t + 40].astype(np.int64) for t in times)
        np.testing.assert_array_equal(got.means[unit], (total / len(times) - level).astype(np.float32))


def test_unfiltered_sums_beyond_32_bits_are_exact():
    data = np.full((100, 2), -32768, np.int16)
    data[:50] = 32767
    count = 70_000
    got = images(data, [[20] * count], (0, 30))
    np.testing.assert_array_equal(got.means[0], np.full((30, 2), 32767.5, np.float32))
    assert got.used.tolist() == [count]


def test_unfiltered_float_samples_on_an_offset_keep_their_precision():
    data = recording(3000, 4, np.float32, offset=30_000)
    spikes = [np.random.default_rng(0).integers(10, 2960, 5000)]
    expected, _, _ = reference.electrical_images(data, spikes, (-10, 40))
    np.testing.assert_allclose(images(data, spikes).means, expected, rtol=0, atol=1e-5)


def test_single_precision_sums_hold_for_very_many_spikes():
    data = recording(2000, 1)
    data[1000] = 3000
    spikes = [np.random.default_rng(0).integers(980, 1000, 200_000), [995] * 200_000]
    assert_close_images(images(data, spikes, sos=sections()), data, spikes, (-10, 40), sections())


def test_spikes_whose_window_leaves_the_recording_are_counted_apart():
    data = recording(1000, 2)
    spikes = [[9, 10, 960, 961, -4, 5000, 500, 500], []]
    got = images(data, spikes, sos=sections())
    assert got.used.tolist() == [4, 0]
    assert got.excluded.tolist() == [4, 0]
    assert np.isnan(got.means[1]).all()
    extremes = [[np.iinfo(np.int64).max, np.iinfo(np.int64).min]]
    assert images(data, extremes, sos=sections()).excluded.tolist() == [2]


def test_limit_takes_the_first_spikes_that_count():
    data = recording(1000, 2)
    spikes = [[700, 3, 200, 100, 800]]
    got = images(data, spikes, limit=2)
    np.testing.assert_array_equal(got.means, images(data, [[100, 200]]).means)
    assert (got.used.tolist(), got.excluded.tolist()) == ([2], [1])


def test_frames_cut_the_recording_short():
    data = recording(3000, 4)
    spikes = [[5, 100, 1990, 2500]]
    got = images(data, spikes, sos=sections(), frames=2000)
    assert_close_images(got, data[:2000], spikes, (-10, 40), sections())


def test_source_is_read_once_in_order_and_in_blocks():
    source = Rows(recording(1000, 3))
    seen = []
    windows = eimage.SpikeWindows(*joined([[500]]), (-10, 40))
    eimage.electrical_images(source, windows, sos=sections(), block_frames=300, progress=seen.append)
    assert source.asked == [(0, 300), (300, 600), (600, 900), (900, 1000)]
    assert seen == [300, 600, 900, 1000]


def test_trailing_axes_are_channels():
    data = recording(500, 12)
    square = images(data.reshape(500, 3, 4), [[50, 60]], sos=sections())
    np.testing.assert_array_equal(square.means, images(data, [[50, 60]], sos=sections()).means)


def test_dead_electrodes_are_exactly_zero():
    data = np.full((5000, 3), 1234, np.int16)
    data[:, 1] = recording(5000, 1)[:, 0]
    got = images(data, [[100, 2000]], sos=sections())
    np.testing.assert_allclose(got.means[0][:, [0, 2]], 0, atol=1e-8)


def test_more_units_than_spikes_and_no_units():
    data = recording(300, 2)
    assert images(data, [], sos=sections()).means.shape == (0, 50, 2)
    assert images(data, []).means.shape == (0, 50, 2)
    assert np.isnan(images(data, [[], [], []], sos=sections()).means).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"window": (5, 5)}, ValueError, r"window must have lo < hi, got \(5, 5\)"),
        ({"spikes": np.array([1.0])}, TypeError, "spikes must be an array of integers"),
        ({"spikes": np.zeros((1, 1), np.int64)}, ValueError, "spikes must have one dimension"),
        ({"offsets": np.array([0, 2])}, ValueError, r"offsets must be trains \+ 1 ascending numbers"),
        ({"offsets": np.array([1, 0])}, ValueError, r"offsets must be trains \+ 1 ascending numbers"),
        ({"offsets": np.array([], np.int64)}, ValueError, r"offsets must be trains \+ 1 ascending numbers"),
        ({"offsets": np.array([0.0, 1.0])}, TypeError, "offsets must be an array of integers"),
        ({"limit": -1}, ValueError, "limit must not be negative"),
        ({"frames": 2000}, ValueError, "frames must be between 0 and the source's 1000"),
        ({"block_frames": 0}, ValueError, "block_frames must be at least 1"),
        ({"threads": 0}, ValueError, "threads must be at least 1"),
        ({"source": Rows(np.zeros((100, 2)))}, TypeError, "block must be int16 or float32, got float64"),
    ],
)
@pytest.mark.parametrize("sos", [None, sections()])
def test_bad_arguments_are_named(change, error, message, sos):
    change = dict(change)
    windows = eimage.SpikeWindows(np.array([50]), np.array([0, 1]), (-10, 40))
    windows = windows._replace(**{name: change.pop(name) for name in windows._fields if name in change})
    with pytest.raises(error, match=message):
        eimage.electrical_images(**{"source": Rows(recording(1000, 2)), "windows": windows, "sos": sos, **change})


def test_sums_refuse_a_recording_that_is_not_complete():
    spikes = eimage.select_spikes(*joined([[50]]), (-10, 40), 1000)
    for sums in (
        eimage.FilteredSums(1000, 2, spikes, (-10, 40), sections()),
        eimage.RawSums(1000, 2, spikes, (-10, 40)),
    ):
        sums.add(recording(400, 2))
        with pytest.raises(ValueError, match="1000 frames were announced, 400 have come"):
            sums.images()


def test_bytes_are_what_the_sums_take():
    spikes = eimage.select_spikes(*joined([[50]] * 3), (-10, 40), 1000)
    sums = eimage.FilteredSums(1000, 100, spikes, (-10, 40), sections(order=4))
    held = sums._sums.nbytes + sums._lost.nbytes + sums._states.nbytes
    assert held == 3 * eimage.unit_bytes((-10, 40), 100, sections(order=4))


def test_raw_sums_refuse_what_does_not_follow() -> None:
    spikes = eimage.select_spikes(np.array([5]), np.array([0, 1]), (0, 2), frames=10)
    with pytest.raises(ValueError, match="the recording is empty"):
        eimage.RawSums(0, 1, spikes, (0, 2))
    sums = eimage.RawSums(10, 1, spikes, (0, 2))
    sums.add(np.zeros((4, 1), np.int16))
    sums.add(np.zeros((0, 1), np.int16))
    with pytest.raises(TypeError, match="block must be int16 as those before, got float32"):
        sums.add(np.zeros((6, 1), np.float32))
    with pytest.raises(ValueError, match="10 frames were announced, 4 have come"):
        sums.images()
