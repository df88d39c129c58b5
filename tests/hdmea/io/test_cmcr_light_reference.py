"""Light reference: block means and frame timestamps against the obvious whole-array versions."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.signal import find_peaks

from hdmea.io import light_reference as light
from support.sources import Rows


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(light, "BLOCK_SAMPLES", 37)


def reference_timestamps(channel: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    steps = np.diff(channel.astype(np.int64))
    if not steps.size:
        return np.empty(0, np.int64)
    scale = np.percentile(steps, 99.9)
    if scale <= 0:
        scale = steps.max()
    if scale <= 0:
        return np.empty(0, np.int64)
    peaks, found = find_peaks(steps / scale, height=0)
    return peaks[found["peak_heights"] > 0.1][4:]


small_ints = hnp.arrays(np.int32, st.integers(0, 300), elements=st.integers(-9, 9))
plateaus = st.builds(np.repeat, small_ints, st.integers(1, 4))
full_range = hnp.arrays(np.int32, st.integers(0, 120), elements=st.integers(-(2**31), 2**31 - 1))


@given(channel=st.one_of(small_ints, plateaus, full_range))
def test_timestamps_equal_whole_array_peaks(channel: npt.NDArray[np.int32]) -> None:
    found = light.frame_timestamps(Rows(channel))
    assert found.dtype == np.uint64
    np.testing.assert_array_equal(found, reference_timestamps(channel))


def test_timestamps_of_pulses_are_their_rising_edges_but_for_four() -> None:
    channel = np.zeros(20000, np.int32)
    onsets = np.arange(50, 19900, 333)
    for onset in onsets:
        channel[onset : onset + 60] = 1000
    np.testing.assert_array_equal(light.frame_timestamps(Rows(channel)), onsets[4:] - 1)


def test_rare_pulses_are_scaled_by_the_highest() -> None:
    channel = np.zeros(100_000, np.int32)
    for onset in range(1000, 100_000, 9000):
        channel[onset : onset + 10] = 500
    assert np.percentile(np.diff(channel), 99.9) == 0
    np.testing.assert_array_equal(light.frame_timestamps(Rows(channel)), np.arange(1000, 100_000, 9000)[4:] - 1)


def test_flat_channel_gives_none_and_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hdmea"):
        assert light.frame_timestamps(Rows(np.full(5000, 7, np.int32))).size == 0
    assert "flat" in caplog.text


@given(
    channel=hnp.arrays(np.int32, st.integers(0, 500), elements=st.integers(-(2**31), 2**31 - 1)),
    block=st.integers(1, 90),
)
def test_block_means_are_exact(channel: npt.NDArray[np.int32], block: int) -> None:
    count = len(channel) // block
    sums = channel[: count * block].astype(np.int64).reshape(count, block).sum(axis=1)
    raw, (pairs, means) = light.reduced_traces(Rows(channel), [2, block])
    np.testing.assert_array_equal(means, (sums / block).astype(np.float32))
    np.testing.assert_array_equal(raw, channel.astype(np.float32))
    assert len(pairs) == len(channel) // 2


def test_light_reference_names_and_lengths() -> None:
    channels = {"ch1": Rows(np.arange(4005, dtype=np.int32)), "ch2": Rows(np.zeros(4005, np.int32))}
    reference = light.light_reference(channels, 20000.0)
    assert set(reference) == {f"{rate}_ch{n}" for rate in ("raw", "1khz", "10hz") for n in (1, 2)}
    assert all(trace.dtype == np.float32 for trace in reference.values())
    np.testing.assert_array_equal(reference["raw_ch1"], np.arange(4005))
    np.testing.assert_array_equal(reference["1khz_ch1"], np.arange(200) * 20 + 9.5)
    np.testing.assert_array_equal(reference["10hz_ch1"], [999.5, 2999.5])


def test_no_more_than_one_block_is_asked_for() -> None:
    channel = Rows(np.arange(5000, dtype=np.int32))
    light.light_reference({"ch1": channel}, 20000.0)
    light.frame_timestamps(channel)
    assert channel.max_rows <= 2000  # one block of the 10 Hz means
