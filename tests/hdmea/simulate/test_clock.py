"""The display's clock: rates, jitter, dropped frames, and what comes after the last frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hdmea.io.stimulus_config import load_stimulus_config
from hdmea.simulate import ClockOptions, LightStepOptions
from hdmea.simulate.stimuli import render
from hdmea.simulate.timeline import Timeline, arrange

RATE = 20000.0


def timeline(
    seed: int = 0, steps: LightStepOptions | None = None, duration_s: float | None = None, **clock: Any
) -> Timeline:
    movie = render(load_stimulus_config("step_up_5s_5i_b0_30x"), (15, 15))
    return arrange(
        [movie],
        sampling_rate=RATE,
        pad_frames=180,
        repeats=1,
        duration_s=duration_s,
        clock=ClockOptions(**clock),
        light_steps=steps,
        rng=np.random.default_rng(seed),
    )


def test_plain_clock_is_even() -> None:
    made = timeline()
    np.testing.assert_array_equal(made.pulse_samples, np.rint((0.5 + np.arange(len(made.pulse_samples)) / 60) * RATE))
    assert not len(made.dropped_frames)


def test_rates_are_drawn_from_the_range_of_real_clocks() -> None:
    rates = [RATE / np.diff(timeline(seed, rate_hz=None).frame_samples).mean() for seed in range(30)]
    assert min(rates) > 58.89
    assert max(rates) < 60.71
    assert np.ptp(rates) > 1


def test_jitter_moves_frames_but_not_the_clock() -> None:
    made = timeline(rate_hz=59.3, jitter_s=0.0004)
    off_s = made.pulse_samples / RATE - (0.5 + np.arange(len(made.pulse_samples)) / 59.3)
    assert off_s.std() == pytest.approx(0.0004, rel=0.03)
    assert np.abs(np.corrcoef(off_s[1:], off_s[:-1])[0, 1]) < 0.03
    assert np.diff(made.pulse_samples).min() > 0.8 * RATE / 59.3


def test_wander_changes_the_rate_a_little_between_trials() -> None:
    made = timeline(wander=0.001)
    trials_s = np.diff(made.frame_samples[480 + 600 * np.arange(30)]) / RATE
    assert np.ptp(trials_s) / 10 == pytest.approx(0.002, rel=0.3)


def test_dropped_frames_double_an_interval_and_leave_nothing_out() -> None:
    made = timeline(seed=3, dropped_per_minute=6.0)
    intervals = np.diff(made.frame_samples)
    doubled = np.flatnonzero(intervals > 1.5 * RATE / 60)
    np.testing.assert_array_equal(doubled, made.dropped_frames[made.dropped_frames < len(intervals)])
    np.testing.assert_allclose(intervals[doubled], 2 * RATE / 60, atol=1)
    minutes = made.sample_count / RATE / 60
    assert len(doubled) == pytest.approx(6 * minutes, abs=4 * np.sqrt(6 * minutes))
    ((movie, start),) = made.shown
    assert made.frame_count >= start + movie.length + 180


def test_light_of_a_dropped_frame_lasts_twice_as_long() -> None:
    made = timeline(seed=3, dropped_per_minute=6.0)
    number = np.arange(made.frame_count, dtype=float)
    values = made.by_refresh(number, -1.0, -2.0)
    for frame in made.dropped_frames:
        assert (values == frame).sum() >= 2
    assert (values == -1.0).sum() == 4  # the uncounted pulses


def test_frames_end_before_light_steps_and_refreshes_go_on() -> None:
    steps = LightStepOptions(count=2, delay_s=3, on_s=4, off_s=5)
    made = timeline(steps=steps)
    last = made.pulse_samples[-1]
    np.testing.assert_allclose((made.light_steps - last) / RATE, [[3, 7], [12, 16]], atol=0.001)
    assert made.sample_count / RATE == pytest.approx(last / RATE + 3 + 2 * 9, abs=0.1)
    values = made.by_refresh(np.zeros(made.frame_count), 5.0, 9.0)
    after = made.refresh_samples > last
    lit = (values == 9.0)[after].sum()
    assert lit == pytest.approx(2 * 4 * 60, abs=2)
    assert set(values[after]) == {5.0, 9.0}


@pytest.mark.parametrize("seed", range(5))
def test_recording_is_long_enough_whatever_the_clock(seed: int) -> None:
    made = timeline(seed, rate_hz=None, wander=0.001, jitter_s=0.001, dropped_per_minute=20.0)
    assert made.frame_count >= 180 + 18240 + 180 + 1
    assert made.frame_samples[-1] < made.sample_count


def test_too_short_a_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="takes"):
        timeline(duration_s=100.0)


@pytest.mark.parametrize("wrong", [{"rate_hz": 5.0}, {"wander": 1.0}, {"jitter_s": 0.1}, {"dropped_per_minute": -1.0}])
def test_impossible_clocks_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="ClockOptions"):
        ClockOptions(**wrong)
