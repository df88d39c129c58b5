"""Electrical images of a recording: the contract, on a simulated patch of a chip."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.signal import butter

import h5burst
from hdmea.features.eimage_sta import EImageOptions, compute_eimage_sta, iter_eimage_sta
from reference import eimage as reference
from support.sources import Rows

RATE = 20_000.0
FRAMES, ROWS, COLUMNS = 30_000, 5, 8
ATTRIBUTES = {
    "n_spikes",
    "n_spikes_excluded",
    "cutoff_hz",
    "filter_order",
    "pre_samples",
    "post_samples",
    "sampling_rate",
    "spike_limit",
    "skip_highpass",
}


@pytest.fixture(scope="module")
def spikes():
    rng = np.random.default_rng(1)
    return {
        "unit_001": np.sort(rng.integers(0, FRAMES, 200)).astype(np.uint64),
        "unit_007": rng.permutation(np.concatenate([rng.integers(100, 25_000, 60), [0, 3, FRAMES - 1, FRAMES + 500]])),
        "unit_003": np.empty(0, np.uint64),
        "unit_1000": np.array([12_345]),
    }


@pytest.fixture(scope="module")
def recording(spikes):
    """Noise, drift and an ADC offset, with each unit's waveform on its own electrode."""
    rng = np.random.default_rng(2)
    drift = rng.normal(0, 0.5, (FRAMES, 1, 1)).cumsum(axis=0)
    data = 2000 + drift + rng.normal(0, 15, (FRAMES, ROWS, COLUMNS))
    shape = -120 * np.exp(-(((np.arange(-10, 40) - 2) / 4.0) ** 2))
    for number, train in enumerate(spikes.values()):
        for spike in train.astype(int):
            if 10 <= spike < FRAMES - 40:
                data[spike - 10 : spike + 40, number, 2 * number] += shape
    return np.rint(data).astype(np.int16)


def compute(recording, spikes, **options):
    source = recording if isinstance(recording, (Rows, h5burst.LazyArray)) else Rows(recording)
    return compute_eimage_sta(source, spikes, **{"sampling_rate": RATE, **options})


def expected(recording, spikes, frames=FRAMES, window=(-10, 40), sos=None, limit=10_000):
    flat = recording[:frames].reshape(frames, -1)
    trains = [[spike for spike in train.tolist()] for train in spikes.values()]
    means, used, excluded = reference.electrical_images(flat, trains, window, sos, limit)
    return means.reshape(*means.shape[:2], ROWS, COLUMNS), used, excluded


def assert_images(result, means, used, excluded, tolerance=1e-4):
    for feature, mean, count, outside in zip(result.features.values(), means, used, excluded, strict=True):
        assert feature["data"].dtype == np.float32
        assert feature["data"].flags.c_contiguous
        assert feature["metadata"]["n_spikes"] == count
        assert feature["metadata"]["n_spikes_excluded"] == outside
        np.testing.assert_allclose(feature["data"], mean, rtol=0, atol=tolerance * np.abs(mean).max())


@pytest.mark.parametrize(("cutoff_hz", "filter_order"), [(100.0, 2), (300.0, 4), (10.0, 1)])
def test_image_is_the_mean_of_the_filtered_recording_around_spikes(recording, spikes, cutoff_hz, filter_order):
    result = compute(recording, spikes, cutoff_hz=cutoff_hz, filter_order=filter_order)
    sos = butter(filter_order, cutoff_hz, "highpass", fs=RATE, output="sos")
    assert list(result.features) == list(spikes)
    assert_images(result, *expected(recording, spikes, sos=sos))


def test_peak_lies_on_the_units_electrode(recording, spikes):
    features = compute(recording, spikes).features
    for number, unit_id in enumerate(spikes):
        image = features[unit_id]["data"]
        assert image.shape == (50, ROWS, COLUMNS)
        if unit_id != "unit_003":
            _, row, column = np.unravel_index(np.argmin(image), image.shape)
            assert (row, column) == (number, 2 * number)


def test_metadata_tell_how_the_image_was_made(recording, spikes):
    metadata = compute(recording, spikes, window_range=(-5, 7), spike_limit=50).features["unit_007"]["metadata"]
    assert set(metadata) == ATTRIBUTES
    assert metadata == {
        "n_spikes": 50,
        "n_spikes_excluded": 4,
        "cutoff_hz": 100.0,
        "filter_order": 2,
        "pre_samples": 5,
        "post_samples": 7,
        "sampling_rate": RATE,
        "spike_limit": 50,
        "skip_highpass": False,
    }


def test_skip_highpass_subtracts_each_electrodes_mean(recording, spikes):
    result = compute(recording, spikes, skip_highpass=True, cutoff_hz=0.0)
    assert_images(result, *expected(recording, spikes), tolerance=1e-6)
    assert result.features["unit_001"]["metadata"]["skip_highpass"] is True


def test_skip_highpass_takes_the_mean_over_the_analysed_duration(recording, spikes):
    result = compute(recording, spikes, skip_highpass=True, duration_s=0.5)
    inside = {name: train[train < 10_000] for name, train in spikes.items()}
    assert_images(result, *expected(recording, inside, 10_000)[:2], [len(t) for t in _outside(inside, 10_000)], 1e-6)


def _outside(spikes, frames):
    return [[t for t in train.tolist() if t < 10 or t + 40 > frames] for train in spikes.values()]


def test_duration_limits_what_is_read_and_which_spikes_take_part(recording, spikes):
    source = Rows(recording)
    result = compute(source, spikes, duration_s=0.75)
    assert source.asked[-1][1] == 15_000
    inside = {name: train[train < 15_000] for name, train in spikes.items()}
    sos = butter(2, 100.0, "highpass", fs=RATE, output="sos")
    assert_images(result, *expected(recording, inside, 15_000, sos=sos))


def test_spikes_after_the_end_of_a_short_recording_are_excluded(recording):
    result = compute(recording, {"unit_001": np.array([500, FRAMES + 10])})
    assert result.features["unit_001"]["metadata"]["n_spikes_excluded"] == 1


def test_spike_limit_takes_the_first_included_spikes(recording):
    train = np.array([5, 9000, 100, 8000, 300])
    limited = compute(recording, {"unit_001": train}, spike_limit=2).features["unit_001"]
    first = compute(recording, {"unit_001": np.array([100, 300])}).features["unit_001"]
    np.testing.assert_array_equal(limited["data"], first["data"])
    assert limited["metadata"]["n_spikes"] == 2
    assert limited["metadata"]["n_spikes_excluded"] == 1
    unlimited = compute(recording, {"unit_001": train}, spike_limit=None).features["unit_001"]["metadata"]
    assert (unlimited["n_spikes"], unlimited["spike_limit"]) == (4, None)


def test_units_without_spikes_are_nan_and_named(recording, spikes):
    result = compute(recording, {**spikes, "unit_004": np.array([2])})
    assert result.without_spikes == ["unit_003", "unit_004"]
    assert np.isnan(result.features["unit_003"]["data"]).all()
    assert result.features["unit_004"]["metadata"]["n_spikes_excluded"] == 1
    assert result.filter_seconds > 0


def test_no_units_give_no_images(recording):
    source = Rows(recording)
    assert compute(source, {}).features == {}
    assert source.asked == []


@pytest.mark.parametrize("chunk_duration_s", [0.001, 0.0333, 0.2, 10.0])
@pytest.mark.parametrize("skip_highpass", [False, True])
def test_chunk_duration_changes_nothing_but_what_is_read_at_once(recording, spikes, chunk_duration_s, skip_highpass):
    whole = compute(recording, spikes, skip_highpass=skip_highpass)
    source = Rows(recording)
    pieces = compute(source, spikes, skip_highpass=skip_highpass, chunk_duration_s=chunk_duration_s)
    assert source.max_rows <= chunk_duration_s * RATE
    assert [stop for _, stop in source.asked[:-1]] == [start for start, _ in source.asked[1:]]
    for unit_id, feature in whole.features.items():
        peak = np.abs(feature["data"]).max()
        np.testing.assert_allclose(pieces.features[unit_id]["data"], feature["data"], rtol=0, atol=1e-6 * peak)


def test_threads_change_no_bit(recording, spikes):
    one, three = (compute(recording, spikes, threads=threads).features for threads in (1, 3))
    for unit_id in spikes:
        np.testing.assert_array_equal(one[unit_id]["data"], three[unit_id]["data"])


@pytest.mark.parametrize("skip_highpass", [False, True])
def test_budget_changes_no_more_than_rounding(recording, spikes, skip_highpass):
    whole = compute(recording, spikes, skip_highpass=skip_highpass)
    source = Rows(recording)
    seen = []
    tight = compute(
        source,
        spikes,
        skip_highpass=skip_highpass,
        budget_bytes=80_000,
        threads=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    passes = sum(start == 0 for start, _ in source.asked)
    assert passes > 1
    assert source.max_rows < 4096
    assert seen[-1] == (passes * FRAMES, passes * FRAMES)
    assert seen == sorted(seen)
    assert list(tight.features) == list(spikes)
    for unit_id, feature in whole.features.items():
        assert tight.features[unit_id]["metadata"] == feature["metadata"]
        peak = np.abs(feature["data"]).max()
        np.testing.assert_allclose(tight.features[unit_id]["data"], feature["data"], rtol=0, atol=1e-6 * peak)


def test_budget_below_the_least_is_refused_with_the_least(recording, spikes):
    with pytest.raises(ValueError, match=r"budget_bytes: 1000 B is too little, .* take at least (\d+) bytes") as caught:
        compute(recording, spikes, budget_bytes=1000)
    least = int(str(caught.value).split()[-2])
    assert list(compute(recording[:1000], spikes, budget_bytes=least).features) == list(spikes)


def test_images_can_be_taken_one_by_one(recording, spikes):
    source = Rows(recording)
    images = iter_eimage_sta(source, spikes, EImageOptions(sampling_rate=RATE))
    assert source.asked == []
    whole = compute(recording, spikes).features
    for unit_id, feature in images:
        np.testing.assert_array_equal(feature["data"], whole[unit_id]["data"])


def test_file_is_read_as_the_array(recording, spikes, tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["plain"] = recording
        file.create_dataset("packed", data=recording, chunks=(700, 5, 8), compression="gzip", shuffle=True)
    whole = compute(recording, spikes).features
    for name in ("plain", "packed"):
        with h5burst.open(tmp_path / "raw.h5") as file:
            features = compute(file[name], spikes).features
        for unit_id in spikes:
            np.testing.assert_array_equal(features[unit_id]["data"], whole[unit_id]["data"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cutoff_hz": RATE / 2}, "cutoff_hz must be between 0 and half the sampling rate"),
        ({"cutoff_hz": 0.0}, "cutoff_hz must be between 0"),
        ({"cutoff_hz": float("nan")}, "cutoff_hz must be between 0"),
        ({"filter_order": 0}, "filter_order must be a whole number from 1"),
        ({"filter_order": 1.5}, "filter_order must be a whole number from 1"),
        ({"filter_order": 99}, "filter_order must be a whole number from 1"),
        ({"window_range": (40, 40)}, "window_range must be whole samples"),
        ({"window_range": (3, -3)}, "window_range must be whole samples"),
        ({"window_range": (-1.5, 3)}, "window_range must be whole samples"),
        ({"duration_s": 0.0}, "duration_s must be a positive number"),
        ({"duration_s": -1.0}, "duration_s must be a positive number"),
        ({"duration_s": float("inf")}, "duration_s must be a positive number"),
        ({"duration_s": 1e-6}, "duration_s: nothing to analyse"),
        ({"chunk_duration_s": 0.0}, "chunk_duration_s must be a positive number"),
        ({"sampling_rate": 0.0}, "sampling_rate must be a positive number"),
        ({"spike_limit": 0}, "spike_limit must be at least 1"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"duration_s": 5 / RATE}, "too short for this filter: 5 frames"),
    ],
)
def test_bad_arguments_are_named(recording, spikes, options, message):
    with pytest.raises(ValueError, match=message):
        compute(recording, spikes, **options)


def test_bad_spikes_and_sources_are_named(recording):
    with pytest.raises(TypeError, match=r"spikes of unit_001 must be whole samples, got float64"):
        compute(recording, {"unit_001": np.array([1.5])})
    with pytest.raises(ValueError, match=r"spikes of unit_001 must have one dimension"):
        compute(recording, {"unit_001": np.array([[1]])})
    with pytest.raises(ValueError, match=r"source must have shape \(frames, rows, columns\)"):
        compute(recording[:, 0], {"unit_001": np.array([100])})
    with pytest.raises(TypeError, match="int16 or float32, got float64"):
        compute(recording.astype(float), {"unit_001": np.array([100])})
