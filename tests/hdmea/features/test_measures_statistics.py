"""Error rates, power and bias of the measures on units whose truth is known.

Each figure is that of a seeded sample with its binomial bounds. The samples are those of a quick run; with
H5BURST_WHOLE=1 they are twenty times as large, and so the bounds are narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from hdmea.features import FeatureRegistry
from hdmea.features.significance import counts_differ_p_value
from support.measured import (
    BAR,
    CHIRP,
    COLOURS,
    GREY,
    LENGTHS,
    SIZE,
    STEP,
    Floats,
    Make,
    assert_share,
    constant,
    extracted,
    values,
)
from support.spiking_units import Clock, Field, bursting_train, sectioned, tuned, unit_of


def pulsed(quiet_hz: float, *pulses: tuple[float, float, float]) -> Callable[[Floats], Floats]:
    """A rate that is higher in some spans of frames: (first, last, by how much)."""

    def rate(frames: Floats) -> Floats:
        return quiet_hz + sum(
            (more * ((frames >= first) & (frames < last)) for first, last, more in pulses), 0.0 * frames
        )

    return rate


def flat(movie: str, trials: int) -> Make:
    """Poisson units without any response."""

    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        return unit_of(clock, movie, LENGTHS[movie], [constant(rng.gamma(1.5, 6))] * trials, rng)

    return make


def bursting(movie: str, trials: int) -> Make:
    """Units without any response that fire in bursts of five spikes on average."""

    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        rate_hz, length = rng.uniform(3, 15), LENGTHS[movie]
        starts = [100 + length * trial for trial in range(trials)]
        trains = [bursting_train(clock, start, length, rate_hz, 5, rng) for start in starts]
        return sectioned(clock, movie, starts, length, trains)

    return make


# ---------------------------------------------------------------- direction


def place(rng: np.random.Generator) -> tuple[float, float]:
    """Anywhere on a screen of 300 pixels."""
    radius, angle = 150 * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    return radius * np.cos(angle), radius * np.sin(angle)


def responding(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
    """The same response to the bar in every direction."""
    rate = Field(*place(rng)).rate(rng.uniform(0.5, 10), [rng.uniform(10, 60)] * 8)
    return unit_of(clock, BAR, 4520, [rate] * 3, rng)


def drifting(responds: bool) -> Make:
    """A rate that rises or falls by half within each trial, to which a response adds."""

    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        quiet, sign = rng.uniform(2, 15), rng.choice([-1, 1])
        response = Field(*place(rng)).rate(0.0, [rng.uniform(10, 60) if responds else 0.0] * 8)

        def rate(frames: Floats) -> Floats:
            return response(frames) + quiet * (1 + sign * (frames / 4520 - 0.5))

        return unit_of(clock, BAR, 4520, [rate] * 3, rng)

    return make


def weakly_responding(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
    """The same response in every direction, hardly higher than what is there without it."""
    rate = Field(*place(rng)).rate(rng.uniform(2, 15), [rng.uniform(2, 15)] * 8)
    return unit_of(clock, BAR, 4520, [rate] * 3, rng)


def test_direction_of_responding_units_is_significant_as_often_as_it_says() -> None:
    units = extracted(BAR, responding, 250, seed=1)
    for name in ("dsi_p_value", "osi_p_value", "dsi_p_value_order"):
        assert_share(values(units, name) < 0.05, 0.03, 0.07)
    assert_share(np.isnan(values(units, "dsi_corrected")), at_least=0.93)
    assert_share(values(units, "response_repeatability") > 0.15, at_least=0.99)
    weak = extracted(BAR, weakly_responding, 120, seed=21)
    assert_share(values(weak, "dsi_p_value") < 0.05, at_most=0.07)


@pytest.mark.parametrize("trials", [2, 3, 10])
@pytest.mark.parametrize("kind", [flat, bursting])
def test_direction_of_units_without_a_response_is_significant_as_often_as_it_says(
    kind: Callable[[str, int], Make], trials: int
) -> None:
    """What is chosen from noise is alike in all directions: permuted within trials, hardly one would be (0.1 %)."""
    units = extracted(BAR, kind(BAR, trials), 40 if trials == 10 else 150, seed=2)
    for name in ("dsi_p_value", "osi_p_value", "dsi_p_value_order"):
        assert_share(values(units, name) < 0.05, 0.03, 0.07)
    assert_share(values(units, "response_repeatability") < 0.15, at_least=0.85)
    assert_share(values(units, "dsi_corrected") > 0, at_most=0.01)


@pytest.mark.parametrize("responds", [True, False])
def test_additive_drift_is_no_direction(responds: bool) -> None:
    assert_share(values(extracted(BAR, drifting(responds), 150, seed=3), "dsi_p_value") < 0.05, at_most=0.07)


def test_drift_of_the_responses_own_gain_is_told_by_the_order_test() -> None:
    """It looks like tuning, because directions always come in one order.

    Most of it goes with the slope over the order.
    """

    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        response, sign = Field(*place(rng)).rate(rng.uniform(2, 15), [rng.uniform(10, 60)] * 8), rng.choice([-1, 1])
        return unit_of(
            clock, BAR, 4520, [lambda frames: response(frames) * (1 + sign * (frames / 4520 - 0.5))] * 3, rng
        )

    units = extracted(BAR, make, 100, seed=4)
    assert_share(values(units, "dsi_p_value") < 0.05, at_least=0.5)
    assert_share(values(units, "dsi_p_value_order") < 0.05, at_most=0.10)


@pytest.mark.parametrize(
    ("dsi", "mean_hz", "found", "median_error_deg", "correction"),
    [
        (0.22, 22.0, 0.8, 12.0, 0.16),
        (0.22, 30.0, 0.95, 9.5, 0.08),
        (0.70, 10.0, 0.98, 7.0, 0.25),
        (0.70, 30.0, 0.98, 4.0, 0.08),
    ],
)
def test_direction_is_found(
    dsi: float, mean_hz: float, found: float, median_error_deg: float, correction: float
) -> None:
    preferred: list[float] = []

    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        preferred.append(rng.uniform(0, 360))
        rate = Field(*place(rng)).rate(5.0, tuned(dsi, preferred[-1], mean_hz))
        return unit_of(clock, BAR, 4520, [rate] * 3, rng)

    units = extracted(BAR, make, 80, seed=5)
    assert_share(values(units, "dsi_p_value") < 0.05, at_least=found)
    error = np.abs((values(units, "preferred_direction") - preferred + 180) % 360 - 180)
    assert_share(error < median_error_deg, at_least=0.5)
    assert np.nanmedian(values(units, "dsi_corrected")) == pytest.approx(dsi, abs=correction)
    # The jackknife's error is the true one's size: 68 % of errors are smaller.
    assert_share(error < values(units, "preferred_direction_se"), 0.5, 0.8)


# ---------------------------------------------------------------- steps of light


@pytest.mark.parametrize("trials", [3, 10])
@pytest.mark.parametrize("kind", [flat, bursting])
def test_units_without_a_response_have_none_and_no_latency(kind: Callable[[str, int], Make], trials: int) -> None:
    units = extracted(STEP, kind(STEP, trials), 300 if trials == 3 else 150, seed=6)
    for side in ("on", "off"):
        assert_share(values(units, f"{side}_p_value") < 0.005, at_most=0.005)
        assert_share(np.isfinite(values(units, f"{side}_latency_ms")), at_most=0.002)


def test_drift_within_trials_makes_few_responses() -> None:
    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        quiet_hz, sign = rng.uniform(2, 15), rng.choice([-1, 1])
        return unit_of(clock, STEP, 600, [lambda frames: quiet_hz * (1 + sign * (frames / 600 - 0.5))] * 3, rng)

    units = extracted(STEP, make, 200, seed=22)
    for side in ("on", "off"):
        assert_share(values(units, f"{side}_p_value") < 0.01, at_most=0.03)
        assert_share(np.isfinite(values(units, f"{side}_latency_ms")), at_most=0.02)


def opposite(frames: Floats, quiet_hz: float) -> Floats:
    """A strong response to light off, nothing during light but silence."""
    rate = np.where((frames >= 60) & (frames < 365), 0.1 * quiet_hz, quiet_hz)
    return rate + np.where(frames >= 365, 60 * np.exp(-(np.maximum(frames, 365) - 365) / 10), 0.0)


def test_strong_response_of_one_side_is_found_and_makes_none_of_the_other() -> None:
    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        quiet_hz = rng.uniform(1, 10)
        return unit_of(clock, STEP, 600, [lambda frames: opposite(frames, quiet_hz)] * 3, rng)

    units = extracted(STEP, make, 200, seed=7)
    assert_share(values(units, "off_p_value") < 0.01, at_least=0.99)
    assert_share(values(units, "on_p_value") < 0.01, at_most=0.01)
    assert_share(np.isfinite(values(units, "on_latency_ms")), at_most=0.005)
    assert_share(values(units, "on_off_index") == -1, at_least=0.98)


def test_weaker_response_beside_a_strong_opposite_one_is_found() -> None:
    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        more = pulsed(0.0, (64, 84, 30))
        return unit_of(clock, STEP, 600, [lambda frames: opposite(frames, 4.0) + more(frames)] * 3, rng)

    assert_share(values(extracted(STEP, make, 100, seed=8), "on_p_value") < 0.01, at_least=0.95)


# ---------------------------------------------------------------- quality


@pytest.mark.parametrize("trials", [2, 3, 7, 30])
def test_quality_of_noise_is_zero_and_that_of_a_response_does_not_depend_on_the_number_of_trials(trials: int) -> None:
    noise = values(extracted(STEP, flat(STEP, trials), 120, seed=10), "response_quality")
    assert abs(np.nanmean(noise)) < 4 * np.nanstd(noise) / np.sqrt(len(noise))

    def step(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        rate = pulsed(5.0, (65, 90, 60), (90, 360, 20))
        return unit_of(clock, STEP, 600, [rate] * trials, rng)

    units = extracted(STEP, step, 40, seed=11)
    quality = values(units, "response_quality")
    signal = 0.664  # of 600 trials of this unit
    assert quality.mean() == pytest.approx(signal, abs=4 * quality.std() / np.sqrt(len(quality)))
    raw = signal + (1 - signal) / trials  # what is left of the noise in the mean over trials
    assert values(units, "response_quality_raw").mean() == pytest.approx(
        raw, abs=4 * quality.std() / np.sqrt(len(quality))
    )


def test_quality_of_halves_shows_a_recording_that_runs_down() -> None:
    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        heights = np.linspace(60, 0, 10)
        rates = [lambda frames, h=height: 5 + h * ((frames > 65) & (frames < 90)) for height in heights]
        return unit_of(clock, STEP, 600, rates, rng)

    units = extracted(STEP, make, 20, seed=12)
    first, second = (values(units, f"response_quality_{half}_half") for half in ("first", "second"))
    assert_share(first > second, at_least=0.95)


# ---------------------------------------------------------------- colours


def colours(green: float, blue: float, silence: float = 1.0, trials: int = 3) -> Make:
    """ON responses of two heights; `silence` multiplies the rate while blue begins."""

    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        quiet_hz = rng.uniform(8, 20)

        def rate(frames: Floats) -> Floats:
            base = np.where((frames > 422) & (frames < 446), silence * quiet_hz, quiet_hz)
            return base + green * ((frames > 64) & (frames < 85)) + blue * ((frames > 424) & (frames < 445))

        return unit_of(clock, COLOURS, 720, [rate] * trials, rng)

    return make


@pytest.mark.parametrize(("trials", "least"), [(3, 0.0), (9, 0.01)])
def test_equal_colours_are_preferred_as_seldom_as_it_says(trials: int, least: float) -> None:
    units = extracted(COLOURS, colours(40, 40, trials=trials), 200, seed=13)
    assert_share(values(units, "preferred_color") != "none", least, 0.05)
    assert_share(values(units, "color_opponent"), at_most=0.01)


def test_counts_differ_as_often_as_it_says_whatever_their_dispersion() -> None:
    rng = np.random.default_rng(3)
    for dispersion in (1, 3):  # bursts of so many spikes
        counts = dispersion * rng.poisson(12 / dispersion, (1500, 2, 3)).astype(float)
        p_values = [counts_differ_p_value(a, b, np.zeros(3, np.int64), (a - b).sum()) for a, b in counts]
        assert_share(np.array(p_values) < 0.05, at_most=0.05)
    # Without a dispersion to estimate, it is the comparison of two Poisson counts, here by its normal approximation.
    p_value = counts_differ_p_value(np.array([60.0]), np.array([40.0]), np.zeros(1, np.int64), 20.0)
    assert p_value == pytest.approx(2 * norm.sf(20 / np.sqrt(100)))


def test_preference_and_opponency_are_found_and_told_apart() -> None:
    green = extracted(COLOURS, colours(60, 30, trials=9), 60, seed=14)
    assert_share(values(green, "preferred_color") == "green", at_least=0.95)
    of_three = extracted(COLOURS, colours(60, 20), 60, seed=14)
    assert_share(values(of_three, "preferred_color") == "green", at_least=0.7)
    assert not (values(of_three, "preferred_color") == "blue").any()
    assert_share(values(green, "color_opponent"), at_most=0.05)
    opponent = extracted(COLOURS, colours(60, 0, silence=0.1), 60, seed=15)
    assert_share(values(opponent, "color_opponent"), at_least=0.95)
    assert values(opponent, "color_opponency").min() > 0
    alone = extracted(COLOURS, colours(60, 0), 100, seed=16)
    assert_share(values(alone, "color_opponent"), at_most=0.05)


# ---------------------------------------------------------------- flicker

CYCLES = np.array([0.5, 1, 2, 4, 10]) / 60


def flickering(mean_hz: float, modulation: list[float]) -> Make:
    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        phases = rng.uniform(0, 2 * np.pi, 5)

        def rate(frames: Floats) -> Floats:
            total = np.full(len(frames), mean_hz)
            for n, (depth, phase) in enumerate(zip(modulation, phases, strict=True)):
                since = frames - 30 - 300 * n
                wave = np.sin(2 * np.pi * CYCLES[n] * since + phase)
                total += np.where((since >= 0) & (since < 240), mean_hz * depth * wave, 0.0)
            return total

        return unit_of(clock, CHIRP, 1500, [rate] * 3, rng)

    return make


@pytest.mark.parametrize("kind", [flat, bursting])
def test_units_that_do_not_follow_flicker_are_not_modulated(kind: Callable[[str, int], Make]) -> None:
    units = extracted(CHIRP, kind(CHIRP, 3), 200, seed=17)
    for name in ("f1_p_value", "f2_p_value"):
        assert_share((values(units, name) < 0.05).any(axis=1), at_most=0.05)
    # Without modulation the amplitude is that of neighbouring frequencies.
    ratio = np.mean(values(units, "f1_amplitude") ** 2) / np.mean(values(units, "noise_floor") ** 2)
    assert ratio == pytest.approx(1, abs=0.35 / np.sqrt(SIZE))


def test_weak_modulation_is_mostly_found_and_full_modulation_always() -> None:
    half = values(extracted(CHIRP, flickering(10.0, [0.5] * 5), 60, seed=24), "f1_p_value")
    full = values(extracted(CHIRP, flickering(10.0, [1.0] * 5), 60, seed=25), "f1_p_value")
    for step in range(5):
        assert_share(half[:, step] < 0.05, 0.7, 0.9)
        assert_share(full[:, step] < 0.05, at_least=0.99)


def test_modulation_is_found_with_its_amplitude_and_error() -> None:
    units = extracted(CHIRP, flickering(20.0, [0.2, 0.5, 0.9, 0.5, 0.2]), 60, seed=18)
    p_values, amplitudes = values(units, "f1_p_value"), values(units, "f1_amplitude")
    assert_share(p_values[:, 1:4] < 0.05, at_least=0.95)
    np.testing.assert_allclose(amplitudes[:, 1:4].mean(axis=0), [10, 18, 10], atol=0.8)
    assert values(units, "f1_se").mean() == pytest.approx(amplitudes[:, 2].std(), rel=0.35)
    assert_share(np.abs(values(units, "preferred_frequency") - 2 * 60.3 / 60) < 0.05, at_least=0.95)


# ---------------------------------------------------------------- baseline


def test_interval_measures_of_a_poisson_unit_are_one() -> None:
    clock = Clock(60.0, 20_000, 0)
    extractor = FeatureRegistry.get(GREY)()
    for seed, rate_hz in enumerate((3.0, 20.0)):
        unit = unit_of(clock, GREY, 15_000, [constant(rate_hz)], np.random.default_rng(seed))
        found = extractor.extract(unit, {}, None, clock.metadata)
        error = 4 / np.sqrt(found["spike_count"])
        for name in ("cv_isi", "cv2", "lv"):
            assert found[name] == pytest.approx(1, abs=error), name
        assert found["burst_index"] == pytest.approx(1, abs=4 / np.sqrt(found["spike_count"] * 0.01 * rate_hz))


def test_burst_index_of_a_bursting_unit_is_large() -> None:
    clock = Clock(60.0, 20_000, 0)
    train = bursting_train(clock, 100, 15_000, 5.0, 3, np.random.default_rng(0))
    found = FeatureRegistry.get(GREY)().extract(
        sectioned(clock, GREY, [100], 15_000, [train]), {}, None, clock.metadata
    )
    assert found["burst_index"] > 5
    assert found["lv"] > 1.2


# ---------------------------------------------------------------- the clock


def test_measures_do_not_depend_on_the_frame_rate() -> None:
    """The same cells seen through clocks of three rates, with jitter and dropped frames.

    The same values within error.
    """
    cells = [(place(np.random.default_rng([20, n])), 360 * n / 12) for n in range(12)]
    found = {}
    for hz in (58.9, 60.0, 60.7):
        rng = np.random.default_rng(int(hz * 10))
        clock = Clock(hz, 20_000, int(hz * 10), dropped=[300, 7000, 11_000])
        bars, steps = [], []
        for spot, preferred in cells:
            rates = [Field(*spot).rate(4.0, tuned(0.5, preferred, 60.0))] * 6
            bars.append(_bar_measures(unit_of(clock, BAR, 4520, rates[:3], rng), clock))
            step = pulsed(5.0, (66, 84, 80), (367, 385, 50))
            steps.append(
                FeatureRegistry.get(STEP)().extract(
                    unit_of(clock, STEP, 600, [step] * 12, rng), {}, None, clock.metadata
                )
            )
        found[hz] = bars, steps
        period_ms = 1000 / hz
        for name, frames in (("on_latency_ms", 6), ("off_latency_ms", 7)):
            latency = values(steps, name)
            assert latency.mean() == pytest.approx(frames * period_ms, abs=4 + 3 * latency.std() / np.sqrt(12))
    for name in ("dsi", "osi"):
        samples = [values(found[hz][0], name) for hz in found]
        _assert_same_mean(samples)
    _assert_same_mean([values(found[hz][1], "on_off_index") for hz in found])
    for hz in found:
        off = values(found[hz][0], "preferred_direction") - [preferred for _, preferred in cells]
        assert np.abs((off + 180) % 360 - 180).max() < 12


def _bar_measures(unit: dict[str, Any], clock: Clock) -> dict[str, Any]:
    return FeatureRegistry.get(BAR)().extract(unit, {}, None, clock.metadata)


def _assert_same_mean(samples: list[Floats]) -> None:
    """Of paired samples: their differences are zero within four standard errors."""
    for other in samples[1:]:
        difference = other - samples[0]
        assert abs(difference.mean()) < 4 * difference.std(ddof=1) / np.sqrt(len(difference)) + 1e-12
