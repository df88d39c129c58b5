"""Traces, scalars and response features: against spikes counted by hand and responses with known numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from hdmea.io import section_spike_times
from hdmea.population.responses import (
    filtered,
    light_step_indices,
    quality_index,
    response_features,
    sine_fit,
    sine_waves,
)
from hdmea.population.scalars import unit_scalars
from hdmea.population.traces import LIGHT_STEP, recording_traces, usual_lengths
from support.hdmea_recordings import FIRST_FRAME, FRAME_SAMPLES, recording, write_config

STEP = "step_up_5s_5i_b0_3x"


def at(frame: int) -> int:
    return FIRST_FRAME + FRAME_SAMPLES * frame


def test_rates_are_counts_between_frames_over_their_time(tmp_path: Path) -> None:
    session = recording(tmp_path, frames=3000)
    session.metadata["frame_timestamps"][500:] += 4  # one frame lasts longer
    rows = session.metadata["frame_timestamps"][[100, 800]].astype(np.uint64)[None]
    session.add_stimulus({"section_time": {"m": rows}})
    write_config(tmp_path, "m", start_frame=5, trial_length_frame=200, repeat=3)
    section_spike_times(session=session, config_dir=tmp_path)

    (traces,) = recording_traces(session).values()

    frames = session.metadata["frame_timestamps"].astype(int)
    for unit_id, unit in session.units.items():
        rates = traces.rates[f"rec_{unit_id}"]
        assert rates.shape == (3, 200)
        for trial in range(3):
            first = 165 + 200 * trial
            for frame in (0, 7, 120, 199):
                begin, end = frames[first + frame : first + frame + 2]
                count = sum(begin <= spike < end for spike in unit["spike_times"].astype(int).tolist())
                assert rates[trial, frame] == pytest.approx(count / ((end - begin) / 1000))


def test_light_steps_are_in_bins_of_a_sixtieth_and_short_trials_are_dropped(tmp_path: Path) -> None:
    session = recording(tmp_path, units=1, frames=50_000)
    session.units["unit_001"]["spike_times"] = np.arange(1000, 400_000, 50, dtype=np.uint64)  # 20 spikes/s
    rows = np.array([[1000, 121_000], [150_000, 270_000], [300_000, 360_000]], np.uint64)
    session.add_stimulus({"section_time": {LIGHT_STEP: rows}})
    session.metadata["section_windows"] = {LIGHT_STEP: {}}
    section_spike_times(session=session, config_dir=tmp_path, movie_names=None)

    traces = recording_traces(session)[LIGHT_STEP]

    (rates,) = traces.rates.values()
    assert rates.shape == (2, 7200)
    assert traces.dropped == 1
    assert rates.mean() == pytest.approx(20, rel=1e-3)


def test_units_of_another_length_are_rejected() -> None:
    lengths = {"a": (3, 600), "b": (3, 600), "c": (3, 601), "d": (2, 599), "e": (3, 598)}
    assert list(usual_lengths(lengths)) == ["a", "b", "c", "d"]


def test_direction_in_the_retina_is_turned_as_somata_are(tmp_path: Path) -> None:
    session = recording(tmp_path, units=2)
    session.units["unit_001"]["features"] = {
        "moving_h_bar_s5_d8_3x": {"data": {"preferred_direction": 300.0, "dsi_p_value": 0.01}},
        "ap_tracking": {"soma_polar_coordinates": {"angle_correction_applied": 90.0, "radius": 4.0, "quadrant": "Q2"}},
    }
    one, other = unit_scalars(session)
    assert (one["key"], one["total_unit_count"]) == ("rec_unit_001", 2)
    assert one["preferred_direction_retina"] == pytest.approx(30)
    assert (one["radius"], one["quadrant"], one["bar_dsi_p_value"]) == (4.0, "Q2", 0.01)
    assert np.isnan(other["preferred_direction_retina"])
    assert other["quadrant"] is None


# ---------------------------------------------------------------- response features


def test_filter_lets_slow_changes_through_in_phase_and_stops_fast_ones() -> None:
    time_s = np.arange(1200) / 60
    slow, fast = np.sin(2 * np.pi * 1.0 * time_s), np.sin(2 * np.pi * 25.0 * time_s)
    np.testing.assert_allclose(filtered(slow)[100:-100], slow[100:-100], atol=0.03)
    assert np.abs(filtered(fast)[100:-100]).max() < 0.02
    assert np.isnan(filtered(np.ones(5))).all()


def test_sine_fit_finds_what_was_put_in() -> None:
    time_s = np.arange(240) / 60
    values = 7 + 3 * np.sin(2 * np.pi * 2 * time_s + 0.5)
    np.testing.assert_allclose(sine_fit(sine_waves(0, 240, 2.0), values), (3, 0.5, 7, 1), atol=1e-9)


def test_step_and_flicker_features() -> None:
    step = np.full((3, 600), 5.0)
    step[:, 60:360] = 25.0  # sustained ON
    step[:, 75:105] = 65.0
    flicker = np.full((3, 1500), 10.0)
    for n, frequency_hz in enumerate((0.5, 1, 2, 4, 10)):
        start = 30 + 300 * n
        flicker[:, start : start + 240] += 6 * np.sin(2 * np.pi * frequency_hz * np.arange(240) / 60 + 0.3)
        flicker[:, start : start + 60] += 40 * (frequency_hz != 0.5)  # before it has settled

    found = response_features({STEP: step, "freq_step_5st_3x": flicker})

    assert found["step_on_peak"] == pytest.approx(60, abs=4)
    assert 0.2 < found["step_on_peak_time_s"] < 0.8
    assert found["step_on_sustained"] == pytest.approx(20, abs=0.5)
    assert found["step_off_peak"] < 22  # what is left of the light as the filter sees it
    assert found["step_up_QI"] == pytest.approx(1)
    for frequency_hz in (0.5, 1, 2, 4):
        assert found[f"freq_{frequency_hz:g}hz_amplitude"] == pytest.approx(6, abs=1.5)
        assert found[f"freq_{frequency_hz:g}hz_phase"] == pytest.approx(0.3, abs=0.3)
        assert found[f"freq_{frequency_hz:g}hz_r_squared"] > 0.8
    assert np.isnan(found["green_on_peak"])


def test_quality_of_noise_is_one_over_trials_and_of_equal_trials_one() -> None:
    noise = np.random.default_rng(0).normal(size=(4, 50_000))
    assert quality_index(noise) == pytest.approx(1 / 4, abs=0.01)
    assert quality_index(np.tile(noise[0], (3, 1))) == pytest.approx(1)


def test_light_step_index_is_the_mean_correlation_with_the_mean_trial() -> None:
    trials = np.abs(30 + 10 * np.random.default_rng(4).normal(size=(3, 7200)))
    sections = signal.bessel(5, 2.0, fs=60.0, output="sos")
    slow = signal.sosfiltfilt(sections, trials - trials[:, -60:].mean(axis=1, keepdims=True))[:, 120:]
    expected = np.mean([np.corrcoef(trial, slow.mean(axis=0))[0, 1] for trial in slow])
    np.testing.assert_allclose(light_step_indices(trials)["iprgc_2hz_QI"], expected, rtol=1e-9)


def test_light_step_indices_tell_repeated_responses_from_noise() -> None:
    rng = np.random.default_rng(1)
    time_s = np.arange(7200) / 60
    response = 10 + 20 * np.exp(-time_s / 20) * (1 + 0.5 * np.sin(2 * np.pi * 0.2 * time_s))
    repeated = rng.poisson(np.tile(response, (3, 1)) / 60) * 60.0
    noise = rng.poisson(np.full((3, 7200), 10 / 60)) * 60.0
    assert light_step_indices(repeated)["iprgc_2hz_QI"] > 0.8
    assert light_step_indices(noise)["iprgc_2hz_QI"] < 0.7
    silent = repeated.copy()
    silent[1] = 0
    found = light_step_indices(silent)
    assert (found["iprgc_2hz_QI"], found["iprgc_20hz_QI"]) == (0.0, 0.0)
    assert np.isnan(light_step_indices(None)["iprgc_2hz_QI"])


def test_correlation_of_two_long_steps_is_that_of_the_trials_and_0_of_noise() -> None:
    rng = np.random.default_rng(2)
    signal, noise = rng.normal(size=7200).cumsum() / 20, rng.normal(size=(4, 7200)).cumsum(axis=1) / 20
    white = light_step_indices(np.abs(10 + 3 * rng.normal(size=(4, 7200))))
    assert white["iprgc_2hz_QI"] == pytest.approx(0.5, abs=0.1)  # 1/sqrt(4)
    assert white["iprgc_2hz_r"] == pytest.approx(0, abs=0.15)
    trials = 60 + 20 * (signal / signal.std() + noise / noise.std(axis=1, keepdims=True)).clip(-2.9, 2.9)
    slow = filtered(trials - trials[:, -60:].mean(axis=1, keepdims=True), 2.0)[:, 120:]
    pairs = np.corrcoef(slow)[np.triu_indices(4, 1)].mean()
    assert light_step_indices(trials)["iprgc_2hz_r"] == pytest.approx(pairs, abs=0.1)


def test_what_lasts_in_light_is_told_from_what_begins_or_ends_with_it() -> None:
    lasting, begins, ends = (np.full((3, 7200), 5.0) for _ in range(3))
    lasting[:, :1800] = 25
    begins[:, :60] = 65
    ends[:, :1800] = 0
    for trials, onset, sustained in ((lasting, 20, 20), (begins, 30, 0), (ends, -5, -5)):
        found = light_step_indices(trials)
        assert (found["iprgc_onset"], found["iprgc_sustained"]) == pytest.approx((onset, sustained))
