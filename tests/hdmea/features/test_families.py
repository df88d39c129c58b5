"""Each value of each feature family against its definition, on spike trains that are known to the spike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from hdmea.features import FeatureRegistry
from hdmea.features.chirp import bandwidth_octaves
from hdmea.features.edges import _half_heights_ms
from hdmea.features.moving_bar import vector_sum
from hdmea.io.stimulus_config import SectionKwargs, StimulusConfig, save_stimulus_config
from hdmea.utils.exceptions import ConfigurationError, MissingInputError
from reference import features as reference
from support.spiking_units import Clock, sectioned, unit_of

STEP, BAR, CHIRP = "step_up_5s_5i_b0_3x", "moving_h_bar_s5_d8_3x", "freq_step_5st_3x"
COLOURS, GREY, NOISE = "green_blue_3s_3i_3x", "baseline_127", "perfect_dense_noise_15x15_15hz_r42_3min"
LENGTHS = {STEP: 600, BAR: 4520, CHIRP: 1500, COLOURS: 720, GREY: 180}
FAMILIES = list(LENGTHS)

PERIOD_S = 0.0165  # 330 samples a frame: a clock of 60.6 Hz without jitter


class Even(Clock):
    def __init__(self, frames: int = 20_000) -> None:
        self.sampling = 20_000.0
        self.pulses = 1000 + 330 * np.arange(frames + 1, dtype=np.int64)


CLOCK = Even()


def unit_with(
    movie: str, trials: Sequence[npt.ArrayLike], length: int | None = None, clock: Clock = CLOCK
) -> dict[str, Any]:
    """A unit whose trials hold spikes at these frames, plus one before each and one after: those of a margin."""
    frames = length or LENGTHS[movie]
    starts = [50 + n * (frames + 10) for n in range(len(trials))]
    trains = [clock.samples_at(start + np.asarray(own, float)) for start, own in zip(starts, trials, strict=True)]
    unit = sectioned(clock, movie, starts, frames, trains)
    section = unit["spike_times_sectioned"][movie]
    for trial, (first, last) in enumerate(section["trials_start_end"].tolist()):
        train = section["trials_spike_times"][trial]
        section["trials_spike_times"][trial] = np.concatenate([[first - 5], train, [last, last + 5]])
    return unit


def extract(movie: str, unit: dict[str, Any], clock: Clock = CLOCK, **config: Any) -> dict[str, Any]:
    return FeatureRegistry.get(movie)().extract(unit, {}, config=config or None, metadata=clock.metadata)


def all_nan(values: dict[str, Any]) -> bool:
    return all(np.isnan(np.asarray(value, float)).all() for value in values.values())


def only(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names}


# ---------------------------------------------------------------- frif


def extract_frif(unit: dict[str, Any], frames: npt.NDArray[Any], **config: Any) -> dict[str, Any]:
    metadata = {"acquisition_rate": 20_000.0, "frame_timestamps": frames}
    return FeatureRegistry.get("frif")().extract(unit, {}, config=config, metadata=metadata)


def test_frif_counts_spikes_between_frames() -> None:
    frames = np.array([100, 433, 766, 1100], np.uint64)
    unit = {"spike_times": np.array([50, 100, 432, 433, 800, 801, 1100], np.uint64)}
    values = extract_frif(unit, frames)
    np.testing.assert_allclose(values["FRIF"], np.array([2 / 333, 1 / 333, 2 / 334]) * 20_000, rtol=1e-6)
    np.testing.assert_array_equal(values["FRIF_x_axis"], np.array([100, 433, 766]) / 20_000)
    assert (values["FRIF"].dtype, values["FRIF_x_axis"].dtype) == (np.float32, np.float64)


def test_frif_of_one_movie_is_the_mean_over_its_trials_in_their_own_frames() -> None:
    frames = np.array([0, 300, 600, 900, 1240, 1580, 1920], np.uint64)
    section = {
        "trials_spike_times": {0: np.array([10, 20, 400]), 1: np.array([910, 1300])},
        "trials_start_end": np.array([[0, 900], [900, 1920]]),
    }
    values = extract_frif({"spike_times_sectioned": {STEP: section}}, frames, movie_name=STEP)
    expected = (np.array([2, 1, 0]) / 300 + np.array([1, 1, 0]) / 340) / 2 * 20_000
    np.testing.assert_allclose(values["FRIF"], expected, rtol=1e-6)
    np.testing.assert_allclose(values["FRIF_x_axis"], np.array([0, 320, 640]) / 20_000)


def test_frif_leaves_out_a_trial_that_lacks_frames() -> None:
    frames = np.arange(0, 2000, 100, dtype=np.uint64)
    section = {
        "trials_spike_times": {0: np.array([10]), 1: np.array([1710, 1720])},
        "trials_start_end": np.array([[0, 500], [1700, 1900]]),
    }
    values = extract_frif({"spike_times_sectioned": {STEP: section}}, frames, movie_name=STEP)
    np.testing.assert_allclose(values["FRIF"], [200, 0, 0, 0, 0])


def test_frif_without_frames_or_spikes_names_the_step() -> None:
    with pytest.raises(MissingInputError, match="load_recording"):
        extract_frif({"spike_times": np.array([1])}, np.empty(0))
    with pytest.raises(MissingInputError, match="load_recording"):
        extract_frif({}, np.array([1, 2]))
    with pytest.raises(MissingInputError, match=f"no spikes of '{STEP}': run section_spike_times first"):
        extract_frif({"spike_times": np.array([1])}, np.array([1, 2]), movie_name=STEP)


def test_frif_of_trials_without_a_whole_frame_is_empty() -> None:
    section = {"trials_spike_times": {0: np.array([10])}, "trials_start_end": np.array([[5, 20]])}
    values = extract_frif({"spike_times_sectioned": {STEP: section}}, np.array([0, 100, 200]), movie_name=STEP)
    assert len(values["FRIF"]) == len(values["FRIF_x_axis"]) == 0


# ---------------------------------------------------------------- time


def test_spikes_count_in_the_frames_of_the_trial_not_in_seconds() -> None:
    """The same spikes by frames, on clocks of other rates and with a dropped frame: the same PSTH to the bit."""
    trials = [np.random.default_rng(n).uniform(0, 600, 80) for n in range(3)]
    trials = [own[np.abs(own - np.rint(own)) > 0.01] for own in trials]  # away from the bins' edges: samples are whole
    clocks = [Clock(hz, 3000, n, dropped=[300 + n]) for n, hz in enumerate((58.9, 60.0, 60.7))]
    found = [extract(STEP, unit_with(STEP, trials, clock=clock), clock) for clock in clocks]
    counts = [values["psth"] * 3 * values["frame_period_s"] for values in found]
    np.testing.assert_allclose(counts[0], counts[1], atol=1e-9)
    np.testing.assert_allclose(counts[0], counts[2], atol=1e-9)
    assert counts[0].sum() == pytest.approx(sum(map(len, trials)))


def test_frame_period_is_the_trials_own() -> None:
    clock = Clock(58.9, 3000, 0, dropped=[60])
    unit = unit_with(STEP, [[1.5]] * 3, clock=clock)
    windows = unit["spike_times_sectioned"][STEP]["trials_start_end"]
    expected = np.diff(windows).mean() / 600 / 20_000
    assert extract(STEP, unit, clock)["frame_period_s"] == pytest.approx(expected, rel=1e-12)


def test_trial_that_was_cut_short_is_left_out() -> None:
    unit = unit_with(STEP, [[10.5], [10.5], [10.5, 20.5]])
    section = unit["spike_times_sectioned"][STEP]
    section["trials_start_end"][2, 1] -= 1
    values = extract(STEP, unit)
    assert values["n_trials"] == 2
    assert values["psth"].sum() * PERIOD_S == pytest.approx(1)


def test_no_complete_trial_is_nan_all_through() -> None:
    metadata = {**CLOCK.metadata, "frame_timestamps": CLOCK.pulses[:600]}
    values = FeatureRegistry.get(STEP)().extract(unit_with(STEP, [[10.5]]), {}, metadata=metadata)
    assert values["n_trials"] == 0
    assert all_nan({name: value for name, value in values.items() if name != "n_trials"})


# ---------------------------------------------------------------- quality


def test_quality_is_the_signal_power_fraction_of_the_smoothed_psth() -> None:
    rng = np.random.default_rng(0)
    trials = [np.sort(rng.uniform(0, 600, 200)) for _ in range(4)]
    values = extract(STEP, unit_with(STEP, trials))
    psth = reference.smoothed(reference.bin_counts(trials, 0, 1, 600), 0.05 / PERIOD_S)
    qi = psth.mean(axis=0).var() / psth.var(axis=1).mean()
    assert values["response_quality_raw"] == pytest.approx(qi, rel=1e-2)  # spikes fall on whole samples
    assert values["response_quality"] == pytest.approx((4 * values["response_quality_raw"] - 1) / 3)
    for half, part in (("first", psth[:2]), ("second", psth[2:])):
        own = part.mean(axis=0).var() / part.var(axis=1).mean()
        assert values[f"response_quality_{half}_half"] == pytest.approx(2 * own - 1, abs=1e-2)


def test_quality_of_equal_trials_is_one() -> None:
    assert extract(STEP, unit_with(STEP, [[70.5, 80.5]] * 3))["response_quality"] == pytest.approx(1)


def test_quality_of_one_trial_is_nan() -> None:
    values = extract(STEP, unit_with(STEP, [[70.5, 80.5]]))
    assert all_nan({name: value for name, value in values.items() if name.startswith("response_quality")})


# ---------------------------------------------------------------- baseline


def seconds(*times: float) -> npt.NDArray[np.float64]:
    return np.array(times) / PERIOD_S


def test_baseline_values() -> None:
    intervals = np.array([0.1, 0.001, 0.2, 0.0005, 0.3])
    times = 0.2 + np.concatenate([[0], np.cumsum(intervals)])
    values = extract(GREY, unit_with(GREY, [seconds(*times)]))
    assert values["spike_count"] == 6
    duration_s = 180 * PERIOD_S
    assert values["mean_rate"] == pytest.approx(6 / duration_s)
    assert values["cv_isi"] == pytest.approx(intervals.std() / intervals.mean(), rel=1e-3)
    pairs = list(pairwise(intervals))
    assert values["cv2"] == pytest.approx(np.mean([2 * abs(b - a) / (a + b) for a, b in pairs]), rel=1e-3)
    assert values["lv"] == pytest.approx(np.mean([3 * ((b - a) / (a + b)) ** 2 for a, b in pairs]), rel=1e-3)
    assert values["median_isi_ms"] == pytest.approx(100, rel=1e-3)
    assert values["isi_violations_ratio"] == pytest.approx(2 / 5)
    assert values["quality_index"] == pytest.approx(3 / 5)
    assert values["burst_index"] == pytest.approx(0.4 / (1 - np.exp(-0.01 * 6 / duration_s)))
    rates = reference.bin_counts([times], 0, 0.02, int(duration_s / 0.02))[0] / 0.02
    assert values["std_rate"] == pytest.approx(rates.std())


def test_baseline_intervals_do_not_cross_trials() -> None:
    values = extract(GREY, unit_with(GREY, [seconds(0.5, 0.6), seconds(0.5, 0.7)]))
    assert values["median_isi_ms"] == pytest.approx(150, rel=1e-3)
    assert np.isnan(values["cv2"])


@pytest.mark.parametrize(("times", "count"), [([], 0), ([60.0], 1)])
def test_baseline_without_intervals(times: list[float], count: int) -> None:
    values = extract(GREY, unit_with(GREY, [times]))
    assert values["spike_count"] == count
    assert values["mean_rate"] == pytest.approx(count / 180 / PERIOD_S)
    names = ("cv_isi", "cv2", "lv", "burst_index", "median_isi_ms", "isi_violations_ratio", "quality_index")
    assert all_nan(only(values, *names))


def test_baseline_of_two_spikes_in_one_sample() -> None:
    values = extract(GREY, unit_with(GREY, [[60.0, 60.0, 60.0, 90.0]]))
    assert np.isfinite([values["cv_isi"], values["cv2"], values["lv"]]).all()


def test_baseline_needs_no_frames() -> None:
    section = {"trials_spike_times": {0: np.array([100, 300])}, "trials_start_end": np.array([[0, 2000]])}
    unit = {"spike_times": np.array([100, 300], np.uint64), "spike_times_sectioned": {"window": section}}
    extractor = FeatureRegistry.get(GREY)()
    metadata = {"acquisition_rate": 1000.0, "recording_duration_s": 2.0}
    values = extractor.extract(unit, {}, config={"movie_name": "window"}, metadata=metadata)
    assert (values["mean_rate"], values["median_isi_ms"], values["n_trials"]) == (1, 200, 0)
    assert np.isnan(values["response_quality"])
    assert values["contamination_hill"] == 0


# ---------------------------------------------------------------- on_off

QUIET_ON = [*range(0, 60), *range(600 - round(2 / PERIOD_S), 600)]
QUIET_OFF = range(360 - round(3 / PERIOD_S), 360)
WINDOW = round(0.4 / PERIOD_S)  # frames


def step_trial(on: int, off: int, quiet: int) -> npt.NDArray[np.float64]:
    """Spikes in frames: so many in each window, every `quiet`-th frame one elsewhere."""
    background = [frame + 0.5 for frame in range(0, 600, quiet) if not 60 <= frame < 90 and not 360 <= frame < 390]
    return np.sort([*background, *np.linspace(64, 68, on), *np.linspace(365, 369, off)])


def test_on_off_responses_are_windows_less_quiet() -> None:
    values = extract(STEP, unit_with(STEP, [step_trial(12, 5, 20)] * 3))
    quiet_on = sum(frame % 20 == 0 for frame in QUIET_ON) / len(QUIET_ON) / PERIOD_S
    quiet_off = sum(frame % 20 == 0 for frame in QUIET_OFF) / len(QUIET_OFF) / PERIOD_S
    assert values["baseline_rate"] == pytest.approx(quiet_on)
    assert values["off_baseline_rate"] == pytest.approx(quiet_off)
    on, off = 12 / WINDOW / PERIOD_S - quiet_on, 5 / WINDOW / PERIOD_S - quiet_off
    assert values["on_response"] == pytest.approx(on)
    assert values["off_response"] == pytest.approx(off)
    assert values["on_off_index"] == pytest.approx((on - off) / (on + off))
    assert max(values["on_p_value"], values["off_p_value"]) < 0.01


def test_on_off_sustained_rates_go_to_the_end_of_the_phase_within_the_trial() -> None:
    values = extract(STEP, unit_with(STEP, [step_trial(12, 5, 20)] * 3))
    after = round(0.5 / PERIOD_S)
    for side, first, last in (("on", 60 + after, 360), ("off", 360 + after, 600)):
        rate = sum(frame % 20 == 0 for frame in range(first, last)) / (last - first) / PERIOD_S
        assert values[f"{side}_sustained_rate"] == pytest.approx(rate)
        quiet = values["baseline_rate" if side == "on" else "off_baseline_rate"]
        assert values[f"{side}_sustained_response"] == pytest.approx(rate - quiet)
        # Three trials of 12 or 5 spikes, evenly spread over four frames: that is the segment, with its two ends.
        height = 3 * ({"on": 12, "off": 5}[side]) / (4 * PERIOD_S) / 3
        assert values[f"{side}_transience"] == pytest.approx(1 - (rate - quiet) / (height - quiet), abs=0.03)
    assert values["transience"] == values["on_transience"]


def test_on_off_psth_in_half_frames_where_asked() -> None:
    unit = unit_with(STEP, [[10.2, 10.7, 300.1], [10.4, 599.9], []])
    whole, halves = extract(STEP, unit), extract(STEP, unit, psth_bins_per_frame=2)
    counts = np.zeros(1200)
    counts[[20, 21, 600, 1199]] = 2, 1, 1, 1
    np.testing.assert_allclose(halves["psth"] * 3 * PERIOD_S / 2, counts, atol=1e-4)
    np.testing.assert_allclose(halves["psth"].reshape(-1, 2).mean(axis=1), whole["psth"])
    assert halves["on_response"] == whole["on_response"]


def test_on_off_peak_and_latency_are_those_of_the_scan_and_the_fine_psth() -> None:
    """From the definitions, with the obvious version of the scan; the error from the same of the other trials."""
    trials = [step_trial(12, 5, 20) + shift for shift in (0.0, 0.3, -0.2)]
    values = extract(STEP, unit_with(STEP, trials))
    milliseconds = [(own - 60) * PERIOD_S * 1000 for own in trials]
    fine = reference.smoothed(reference.bin_counts(milliseconds, -200, 1, 800) * 1000, 10)[:, 200:600]
    quiet = values["baseline_rate"]
    others = [np.delete(fine, trial, axis=0).sum(axis=0).argmax() for trial in range(3)]
    assert values["on_peak_rate"] == pytest.approx(fine[[0, 1, 2], others].mean() - quiet, rel=1e-2)

    def latency(used: list[int]) -> tuple[float, float]:
        own = [milliseconds[trial][(milliseconds[trial] >= 0) & (milliseconds[trial] < 400)] for trial in used]
        first, _, rate = reference.highest_segment(np.sort(np.concatenate(own)), 400, len(used) * quiet / 1000, 10)
        half = quiet + (rate * 1000 / len(used) - quiet) / 2
        psth = fine[used].mean(axis=0)
        after = int(np.flatnonzero(psth >= half)[0])
        return float(np.interp(half, psth[after - 1 : after + 1], [after - 0.5, after + 0.5])), first

    whole, first = latency([0, 1, 2])
    assert values["on_latency_ms"] == pytest.approx(whole, abs=0.3)
    assert values["on_latency_onset_ms"] == pytest.approx(first, abs=0.1)
    without = np.array([latency(used)[0] for used in ([1, 2], [0, 2], [0, 1])])
    assert values["on_latency_se_ms"] == pytest.approx(np.std(without) * np.sqrt(2), abs=0.3)
    spikes = [own[own >= 0].min() for own in milliseconds]
    assert values["on_first_spike_jitter_ms"] == pytest.approx(np.std(spikes, ddof=1), abs=0.1)


def test_on_off_one_trial_has_no_peak_and_no_error() -> None:
    """Even where its response is significant, as one that fills the window."""
    trial = np.sort([*np.arange(5.5, 600, 60), *np.arange(61, 84, 0.5)])
    values = extract(STEP, unit_with(STEP, [trial]), response_alpha=0.05, latency_alpha=0.05)
    assert np.isfinite([values["on_transience"], values["on_latency_onset_ms"]]).all()
    assert all_nan(only(values, "on_peak_rate", "on_latency_se_ms"))


def test_on_off_side_that_does_not_respond_counts_nothing() -> None:
    values = extract(STEP, unit_with(STEP, [step_trial(12, 0, 20)] * 3))
    assert values["on_off_index"] == 1
    assert all_nan(only(values, "off_peak_rate", "off_latency_ms", "off_transience", "off_first_spike_jitter_ms"))
    assert np.isfinite([values["off_response"], values["off_sustained_rate"]]).all()


def test_on_off_of_regular_activity_alone_has_no_index() -> None:
    values = extract(STEP, unit_with(STEP, [np.arange(0, 600, 7.3)] * 3))
    assert all_nan(only(values, "on_off_index", "on_latency_ms", "off_latency_ms", "transience"))


def test_on_off_without_spikes() -> None:
    values = extract(STEP, unit_with(STEP, [[], [], []]))
    assert (values["on_response"], values["on_sustained_rate"], values["on_p_value"]) == (0, 0, 1)
    assert all_nan(only(values, "on_latency_ms", "on_off_index", "response_quality"))


def test_on_off_half_height_of_a_ramp() -> None:
    rates = np.array(
        [
            [0.0, 0, 10, 20, 20],
            [0.0, 4, 20, 20, 20],
            [20.0, 10, 0, 0, 0],  # up from the start
            [0.0, 10, 0, 0, 0],  # never so high
        ]
    )
    found = _half_heights_ms(rates, np.zeros(4), np.array([20.0, 20, 20, 30]))
    np.testing.assert_allclose(found, [2.5, 1.5 + 6 / 16, np.nan, np.nan])


def test_on_off_of_a_stimulus_without_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_stimulus_config(StimulusConfig("bare", SectionKwargs(0, 600, 2), "on_off", {"on_frames": 300}), tmp_path)
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))
    trial = np.sort([*np.arange(1.5, 13), *np.arange(0.5, 600, 30)])
    values = extract("on_off", unit_with("bare", [trial] * 3, length=600), movie_name="bare")
    quiet = range(600 - round(3 / PERIOD_S), 600)  # the last three seconds instead of lead and two
    assert values["baseline_rate"] == pytest.approx(sum(frame % 30 == 0 for frame in quiet) / len(quiet) / PERIOD_S)
    assert values["on_off_index"] == 1


# ---------------------------------------------------------------- chromatic


def colour_trial(
    green_on: int, green_off: int, blue_on: int, blue_off: int, every: int = 24
) -> npt.NDArray[np.float64]:
    background = np.arange(0.5, 720, every)
    responses = [
        np.linspace(at + 4, at + 8, n)
        for at, n in zip((60, 240, 420, 600), (green_on, green_off, blue_on, blue_off), strict=True)
    ]
    return np.sort(np.concatenate([background, *responses]))


def test_chromatic_rates_and_responses() -> None:
    values = extract(COLOURS, unit_with(COLOURS, [colour_trial(20, 0, 10, 0)] * 9))
    for colour, first in (("green", 60), ("blue", 420)):
        trial = colour_trial(20, 0, 10, 0)
        on = ((trial >= first) & (trial < first + 180)).sum() / 180 / PERIOD_S
        end = min(first + 360, 720)
        off = ((trial >= first + 180) & (trial < end)).sum() / (end - first - 180) / PERIOD_S
        assert values[f"{colour}_on_rate"] == pytest.approx(on)
        assert values[f"{colour}_off_rate"] == pytest.approx(off)
    assert values["green_on_response"] > 1.8 * values["blue_on_response"] > 0
    green, blue = values["green_on_response"], values["blue_on_response"]
    assert values["color_opponency_index"] == pytest.approx((green - blue) / (green + blue))
    assert values["preferred_color"] == "green"
    assert values["preferred_color_p_value"] < 0.05
    assert not values["color_opponent"]
    assert values["color_opponency"] == pytest.approx(-blue / green)


def test_chromatic_preference_for_blue_in_the_gap() -> None:
    values = extract(COLOURS, unit_with(COLOURS, [colour_trial(0, 0, 0, 12)] * 9))
    assert values["color_opponency_index"] == -1
    assert values["preferred_color"] == "blue"
    assert values["blue_off_latency_ms"] == pytest.approx(4 * PERIOD_S * 1000, abs=8)


def test_chromatic_equal_responses_prefer_nothing() -> None:
    def rate(frames: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return 5.0 + 60 * ((frames >= 62) & (frames < 90)) + 60 * ((frames >= 422) & (frames < 450))

    values = extract(COLOURS, unit_of(CLOCK, COLOURS, 720, [rate] * 9, np.random.default_rng(1)))
    assert values["preferred_color"] == "none"
    assert values["color_opponency_index"] == pytest.approx(0, abs=0.1)


def test_chromatic_opponent_unit_is_excited_by_one_colour_and_silenced_by_the_other() -> None:
    rng = np.random.default_rng(4)

    def rate(frames: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        silenced = (frames >= 421) & (frames < 450)
        return np.where(silenced, 0.0, 30.0 + 60 * ((frames >= 62) & (frames < 90)))

    values = extract(COLOURS, unit_of(CLOCK, COLOURS, 720, [rate] * 9, rng))
    assert values["color_opponent"] is True
    assert values["color_opponency"] > 0.3
    assert values["color_opponency_p_value"] < 0.01
    assert values["blue_on_response"] < 0


def test_chromatic_without_spikes() -> None:
    values = extract(COLOURS, unit_with(COLOURS, [[]] * 9))
    assert (values["preferred_color"], values["color_opponent"]) == ("none", False)
    assert np.isnan(values["color_opponency_index"])


def test_chromatic_luminances_are_conditions_of_their_own() -> None:
    name = "green_blue_3s_3i_3x_64_128_255"
    trials = [[70.5 + 40 * group, 430.5 + 40 * group] for group in range(3) for _ in range(3)]
    values = extract(name, unit_with(name, trials, length=720))
    assert values["response_quality"] == pytest.approx(1)
    assert np.isnan(values["response_quality_first_half"])  # one trial a luminance
    mixed = extract(COLOURS, unit_with(COLOURS, trials))
    assert mixed["response_quality"] < 0.5


# ---------------------------------------------------------------- chirp

F1 = np.array([20.0, 60.0, 100.0, 60.0, 10.0])
CYCLES = np.array([0.5, 1, 2, 4, 10]) / 60  # a frame


def flicker_rate(frames: npt.NDArray[np.float64], phase: float = -0.6) -> npt.NDArray[np.float64]:
    rate = np.full(len(frames), 110.0)
    for n, (cycles, amplitude) in enumerate(zip(CYCLES, F1, strict=True)):
        since = frames - 30 - 300 * n
        rate += np.where((since >= 0) & (since < 240), amplitude * np.sin(2 * np.pi * cycles * since + phase), 0.0)
    return rate


def test_chirp_amplitudes_phases_and_tuning() -> None:
    unit = unit_of(CLOCK, CHIRP, 1500, [flicker_rate] * 12, np.random.default_rng(5))
    values = extract(CHIRP, unit)
    error = np.sqrt(2 * 110 / (12 * 240 * PERIOD_S)) * np.sqrt(2)  # of each amplitude, of a Poisson unit
    assert np.abs(values["f1_amplitude"] - F1).max() < 4 * error
    np.testing.assert_allclose(values["f1_phase"][:4], -0.6, atol=0.2)
    np.testing.assert_allclose(values["frequencies_hz"], CYCLES / PERIOD_S)
    np.testing.assert_array_equal(values["nominal_frequencies_hz"], [0.5, 1, 2, 4, 10])
    assert values["preferred_frequency"] == pytest.approx(2 / 60 / PERIOD_S)
    assert (values["f1_p_value"] < 0.05)[:4].all()
    assert values["noise_floor"].max() < 4 * error
    assert values["f2_f1_ratio"] < 0.1
    assert values["bandwidth_reason"] == ""
    assert 2 < values["bandwidth"] < 3.5


def test_chirp_components_are_those_of_the_spike_times() -> None:
    rng = np.random.default_rng(1)
    trials = [np.sort(rng.uniform(0, 1500, 500)) for _ in range(3)]
    values = extract(CHIRP, unit_with(CHIRP, trials))
    for n, cycles in enumerate(CYCLES):
        start = 30 + 300 * n
        sums = (
            reference.fourier_sums(trials, start, start + 240, [cycles, 2 * cycles]).mean(axis=0) * 2 / (240 * PERIOD_S)
        )
        assert values["f1_amplitude"][n] == pytest.approx(abs(sums[0]), rel=1e-2)  # spikes fall on whole samples
        assert values["f2_amplitude"][n] == pytest.approx(abs(sums[1]), rel=2e-2)
        assert abs(np.angle(np.exp(1j * values["f1_phase"][n]) / (sums[0] * 1j / abs(sums[0])))) < 0.02


def test_chirp_doubling_unit_has_a_ratio_above_one() -> None:
    def rate(frames: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        since = frames - 30 - 600  # the step of 2 Hz
        inside = (since >= 0) & (since < 240)
        return np.where(inside, 40 + 38 * np.sin(2 * np.pi * 2 * CYCLES[2] * since), 5.0)

    values = extract(CHIRP, unit_of(CLOCK, CHIRP, 1500, [rate] * 3, np.random.default_rng(2)))
    assert values["f2_f1_ratio"] > 2
    assert values["f2_p_value"][2] < 0.05


def test_chirp_bandwidth_of_a_gaussian_over_octaves() -> None:
    frequencies = np.array([0.5, 1, 2, 4, 10])
    height = 30 * np.exp(-0.5 * ((np.log2(frequencies) - 1.2) / 1.1) ** 2)
    width, reason = bandwidth_octaves(frequencies, height)
    assert (width, reason) == (pytest.approx(1.1 * 2.3548, rel=1e-3), "")


@pytest.mark.parametrize(
    ("heights", "reason"),
    [
        ([5, 4, 3, 2, 1], "lowest"),
        ([1, 2, 3, 4, 5], "highest"),
        ([5, 1, 6, 1, 5], "fall off"),
    ],
)
def test_chirp_bandwidth_is_nan_for_a_reason(heights: list[float], reason: str) -> None:
    width, why = bandwidth_octaves(np.array([0.5, 1, 2, 4, 10]), np.array(heights, float))
    assert np.isnan(width)
    assert reason in why


def test_chirp_of_an_unmodulated_unit_prefers_nothing() -> None:
    unit = unit_of(CLOCK, CHIRP, 1500, [lambda frames: np.full(len(frames), 12.0)] * 3, np.random.default_rng(3))
    values = extract(CHIRP, unit)
    assert all_nan(only(values, "preferred_frequency", "bandwidth", "f2_f1_ratio"))
    assert "no frequency" in values["bandwidth_reason"]


def test_chirp_without_spikes() -> None:
    values = extract(CHIRP, unit_with(CHIRP, [[]] * 3))
    np.testing.assert_array_equal(values["f1_amplitude"], 0)
    np.testing.assert_array_equal(values["f1_p_value"], 1)
    assert all_nan(only(values, "f1_phase", "preferred_frequency", "bandwidth", "response_quality"))


# ---------------------------------------------------------------- moving bar


def bar_trials(
    heights: Sequence[float], seed: int = 0, trials: int = 3, jitter: float = 0.3
) -> list[npt.NDArray[np.float64]]:
    """A burst of so many spikes somewhere in each direction's slot, the same in each trial but for some jitter."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(trials):
        own = [60 + 550 * k + 100 + 30 * k + np.arange(n) * 0.8 for k, n in enumerate(heights)]
        out.append(np.sort(np.concatenate(own) + rng.uniform(0, jitter, sum(heights))))
    return out


def expected_tuning(trials: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """The definition, step by step."""
    tuning = []
    for k in range(8):
        counts = reference.bin_counts(trials, 60 + 550 * k, 1, 550)
        mean = reference.smoothed(counts, 0.1 / PERIOD_S).mean(axis=0)
        highest = np.sort(mean)[-round(0.5 / PERIOD_S) :]
        tuning.append((highest.mean() - np.percentile(mean, 25)) / PERIOD_S)
    return np.array(tuning)


@pytest.mark.parametrize("shift", range(8))
def test_bar_direction_is_the_vector_sum(shift: int) -> None:
    trials = bar_trials(np.roll([40, 20, 5, 4, 3, 4, 5, 20], shift).tolist())
    values = extract(BAR, unit_with(BAR, trials))
    tuning = expected_tuning(trials)
    np.testing.assert_allclose(values["tuning_curve"], tuning, rtol=1e-2)
    angles = np.arange(8) * np.pi / 4
    assert values["dsi"] == pytest.approx(abs((tuning * np.exp(1j * angles)).sum()) / tuning.sum(), rel=1e-2)
    assert values["osi"] == pytest.approx(abs((tuning * np.exp(2j * angles)).sum()) / tuning.sum(), rel=1e-2)
    assert abs((values["preferred_direction"] - 45 * shift + 180) % 360 - 180) < 4
    assert values["preferred_direction_se"] < 4
    assert values["dsi_p_value"] < 0.01
    assert values["dsi_null"] < values["dsi"] / 2
    assert values["dsi_corrected"] == pytest.approx(values["dsi"], abs=0.2)


def test_bar_orientation() -> None:
    values = extract(BAR, unit_with(BAR, bar_trials([4, 4, 30, 4, 4, 4, 30, 4])))
    assert abs(values["preferred_orientation"] - 90) < 3
    assert values["osi"] > 0.5
    assert values["dsi"] < 0.05
    assert values["osi_p_value"] < 0.02
    assert values["dsi_p_value"] > 0.3
    assert np.isnan(values["dsi_corrected"])


def test_bar_lead_and_pause_between_slots_do_not_count() -> None:
    trials = bar_trials([20] * 8)
    before = extract(BAR, unit_with(BAR, trials))
    noisy = [np.sort(np.concatenate([own, np.linspace(0, 59, 200), np.linspace(4461, 4519, 200)])) for own in trials]
    np.testing.assert_allclose(extract(BAR, unit_with(BAR, noisy))["tuning_curve"], before["tuning_curve"], rtol=1e-9)


def test_bar_equal_responses_have_no_direction() -> None:
    equal = [np.concatenate([60 + 550 * k + 100 + np.arange(10) for k in range(8)])] * 3
    values = extract(BAR, unit_with(BAR, equal))
    assert (values["dsi"], values["osi"]) == (0, 0)
    assert (values["dsi_p_value"], values["dsi_p_value_order"]) == (1, 1)
    assert all_nan(only(values, "preferred_direction", "preferred_orientation", "dsi_corrected"))


def test_bar_angle_next_to_a_full_turn_is_zero() -> None:
    angles = np.arange(8) * np.pi / 4
    for turn in (-1e-12, 0.0, 1e-12):
        assert vector_sum(1 + np.cos(angles - turn), angles, 1)[1] == 0
    assert vector_sum(np.zeros(8), angles, 1) == (
        pytest.approx(np.nan, nan_ok=True),
        pytest.approx(np.nan, nan_ok=True),
    )


def test_bar_response_that_grows_with_the_order_alone_is_not_significant_in_the_order_test() -> None:
    heights = [5, 8, 11, 14, 17, 20, 23, 26]
    rng = np.random.default_rng(3)
    trials = [
        np.concatenate([60 + 550 * k + 100 + np.sort(rng.uniform(0, 4, n)) for k, n in enumerate(heights)])
        for _ in range(3)
    ]
    values = extract(BAR, unit_with(BAR, trials))
    assert values["dsi_p_value"] < 0.05
    assert values["dsi_p_value_order"] > 0.05


def test_bar_p_values_are_seeded_by_the_spikes_alone() -> None:
    unit = unit_with(BAR, bar_trials([9, 8, 7, 9, 8, 8, 9, 6]))
    first, second = extract(BAR, unit), extract(BAR, dict(reversed(unit.items())))
    assert first["dsi_p_value"] == second["dsi_p_value"]
    few = extract(BAR, unit, permutations=99)["dsi_p_value"] * 100
    assert few == pytest.approx(round(few))


def test_bar_one_trial_has_no_jackknife() -> None:
    values = extract(BAR, unit_with(BAR, bar_trials([40, 20, 5, 4, 3, 4, 5, 20], trials=1)))
    assert np.isfinite(values["dsi"])
    assert all_nan(only(values, "preferred_direction_se", "preferred_orientation_se", "response_quality"))


def test_bar_repeatability_is_what_other_trials_show_in_the_frames_that_some_chose() -> None:
    """One: the same spikes in each trial. None: those of each trial where no other has any."""
    same = extract(BAR, unit_with(BAR, bar_trials([20] * 8, jitter=0.0)))
    assert same["response_repeatability"] == pytest.approx(1)
    apart = [
        np.concatenate([60 + 550 * k + 100 + 150 * trial + np.arange(20) * 0.8 for k in range(8)]) for trial in range(3)
    ]
    values = extract(BAR, unit_with(BAR, apart))
    assert values["response_repeatability"] < 0
    assert np.isnan(values["dsi_corrected"])
    assert np.isnan(extract(BAR, unit_with(BAR, apart[:1]))["response_repeatability"])


def test_bar_of_a_response_that_does_not_repeat_is_tested_by_permuting_the_means_of_directions() -> None:
    """p against all 40 320 orders of the eight means over the root of their rates."""
    rng = np.random.default_rng(5)
    trials = [np.sort(rng.uniform(0, 4520, 800)) for _ in range(3)]
    values = extract(BAR, unit_with(BAR, trials), permutations=20_000)
    assert values["response_repeatability"] < 0.15
    counts = np.array([sum(((t >= 60 + 550 * k) & (t < 610 + 550 * k)).sum() for t in trials) for k in range(8)])
    heights = values["tuning_curve"] / np.sqrt(counts)
    phases = np.exp(1j * np.arange(8) * np.pi / 4)
    reached = abs(np.array(list(permutations(heights))) @ phases) >= abs(heights @ phases) * (1 - 1e-9)
    assert values["dsi_p_value"] == pytest.approx(reached.mean(), abs=5 * np.sqrt(0.25 / 20_000))


def test_bar_cross_validated_index_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(8)
    trials = [
        np.sort(rng.choice(one, len(one) * 3 // 4, replace=False)) for one in bar_trials([90, 50, 20, 9, 9, 9, 20, 50])
    ]
    values = extract(BAR, unit_with(BAR, trials))
    counts = reference.bin_counts(trials, 60, 1, 4400).reshape(24, 550)
    rates = reference.smoothed(counts, 0.1 / PERIOD_S).reshape(3, 8, 550) / PERIOD_S
    width, phases = round(0.5 / PERIOD_S), np.exp(1j * np.arange(8) * np.pi / 4)
    others = np.argsort(-(rates.sum(axis=0) - rates), axis=2, kind="stable")[:, :, :width]
    responses = np.take_along_axis(rates, others, axis=2).mean(axis=2) - np.median(rates, axis=2)
    vectors = responses @ phases

    def index(used: list[int]) -> float:
        pairs = [(vectors[s] * vectors[t].conj()).real for s in used for t in used if s != t]
        return float(np.sqrt(np.mean(pairs)) / responses[used].mean(axis=0).sum())

    assert values["dsi_cv"] == pytest.approx(index([0, 1, 2]), rel=1e-3)
    error = np.std([index([0, 1]), index([0, 2]), index([1, 2])]) * np.sqrt(2)
    assert values["dsi_cv_high"] - values["dsi_cv"] == pytest.approx(4.3027 * error, rel=2e-2)
    assert values["dsi_cv"] - values["dsi_cv_low"] == pytest.approx(4.3027 * error, rel=2e-2)


def test_bar_cross_validated_index_of_few_trials_and_of_few_spikes() -> None:
    two = extract(BAR, unit_with(BAR, bar_trials([40, 20, 5, 4, 3, 4, 5, 20], trials=2)))
    assert two["dsi_cv"] == pytest.approx(two["dsi"], abs=0.1)
    assert all_nan(only(two, "dsi_cv_low", "dsi_cv_high"))
    assert np.isnan(extract(BAR, unit_with(BAR, bar_trials([40, 20, 5, 4, 3, 4, 5, 20], trials=1)))["dsi_cv"])
    of_three = extract(BAR, unit_with(BAR, [[200.0], [201.0], [202.0]]))
    assert all_nan(only(of_three, "dsi", "osi"))
    assert np.isfinite(extract(BAR, unit_with(BAR, [[200.0], [201.0], [202.0, 203.0]]))["dsi"])


def test_bar_without_spikes() -> None:
    values = extract(BAR, unit_with(BAR, [[]] * 3))
    np.testing.assert_array_equal(values["tuning_curve"], 0)
    known = ("tuning_curve", "directions_deg", "n_trials", "frame_period_s")
    assert all_nan({name: value for name, value in values.items() if name not in known})


def test_bar_of_other_directions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"directions_deg": [10, 130, 250], "direction_frames": 60, "lead_frames": 5}
    save_stimulus_config(StimulusConfig("bars", SectionKwargs(0, 190, 2), "moving_bar", parameters), tmp_path)
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))
    trials = [5 + 60 + 30 + np.arange(6) * 0.5] * 2
    values = extract("moving_bar", unit_with("bars", trials, length=190), movie_name="bars")
    assert values["tuning_curve"].argmax() == 1
    assert values["preferred_direction"] == pytest.approx(130)


# ---------------------------------------------------------------- every family


@pytest.mark.parametrize("movie", FAMILIES)
def test_values_are_those_of_the_schema(movie: str) -> None:
    values = extract(movie, unit_with(movie, [[70.5, 90.0]] * 3))
    extractor = FeatureRegistry.get(movie)
    assert set(values) | set(extractor.q_values) == set(extractor.output_schema)


@pytest.mark.parametrize("movie", FAMILIES)
def test_unit_without_trials_is_nan_all_through(movie: str) -> None:
    values = extract(movie, unit_with(movie, []))
    known = {"spike_count", "directions_deg", "nominal_frequencies_hz", "preferred_color", "color_opponent"}
    known |= {
        "bandwidth_reason",
        "n_trials",
        "contamination_hill",
        "contamination_llobet",
        "n_duplicates",
        "presence_ratio",
    }
    assert all_nan({name: value for name, value in values.items() if name not in known})
    assert values["n_trials"] == 0


@pytest.mark.parametrize("movie", FAMILIES)
def test_missing_section_names_the_step(movie: str) -> None:
    with pytest.raises(MissingInputError, match="section_spike_times"):
        extract(movie, {"spike_times_sectioned": {}})


@pytest.mark.parametrize("lacking", ["acquisition_rate", "frame_timestamps"])
def test_missing_clock_names_the_step(lacking: str) -> None:
    metadata = {name: value for name, value in CLOCK.metadata.items() if name != lacking}
    with pytest.raises(MissingInputError, match="load_recording"):
        FeatureRegistry.get(STEP)().extract(unit_with(STEP, [[1.0]]), {}, metadata=metadata)


def test_family_serves_a_stimulus_that_its_config_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"on_frames": 60, "lead_frames": 30}
    save_stimulus_config(StimulusConfig("short", SectionKwargs(0, 150, 2), "on_off", parameters), tmp_path)
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))
    unit = unit_with("short", [np.arange(32.5, 44)] * 6, length=150)
    values = extract("on_off", unit, movie_name="short")
    assert values["psth"].shape == (150,)
    assert values["on_off_index"] == 1


def test_config_that_does_not_say_the_timing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_stimulus_config(StimulusConfig("short", SectionKwargs(0, 150, 2), "on_off", {}), tmp_path)
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match="'short' does not say on_frames"):
        extract("on_off", unit_with("short", [[1.0]], length=150), movie_name="short")


def test_laboratorys_config_of_a_known_stimulus_need_not_repeat_its_timing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))
    unit = unit_with(STEP, [step_trial(12, 0, 20)] * 3)
    save_stimulus_config(StimulusConfig(STEP, SectionKwargs(240, 600, 3)), tmp_path)
    assert extract(STEP, unit)["on_off_index"] == 1
    # One that cuts other trials says all of it itself.
    save_stimulus_config(StimulusConfig(STEP, SectionKwargs(300, 600, 3)), tmp_path)
    with pytest.raises(ConfigurationError, match="on_frames"):
        extract(STEP, unit)


@pytest.mark.parametrize("movie", [*FAMILIES, NOISE, "frif"])
def test_groups_of_a_file_give_what_dicts_give(tmp_path: Path, movie: str) -> None:
    rng = np.random.default_rng(2)
    shown = STEP if movie in (NOISE, "frif") else movie
    unit = unit_with(shown, [np.sort(rng.uniform(0, LENGTHS[shown], 99)) for _ in range(3)])
    sta = rng.normal(127, 1, (60, 13, 15))
    sta[48:54, 4:7, 5:8] += 20
    unit["features"] = {f"sta_{NOISE}": {"data": sta, "metadata": {"cover_range": [-60, 0]}}}
    metadata = CLOCK.metadata
    with h5py.File(tmp_path / "unit.h5", "w") as file:
        group = file.create_group("units/unit_001")
        group["spike_times"] = unit["spike_times"]
        section = group.create_group(f"spike_times_sectioned/{shown}")
        for trial, spikes in unit["spike_times_sectioned"][shown]["trials_spike_times"].items():
            section[f"trials_spike_times/{trial}"] = spikes
        section["trials_start_end"] = unit["spike_times_sectioned"][shown]["trials_start_end"]
        group[f"features/sta_{NOISE}/data"] = sta
        group[f"features/sta_{NOISE}/data"].attrs["cover_range"] = [-60, 0]
        for name, value in metadata.items():
            file[f"metadata/{name}"] = np.atleast_1d(value)
        extractor = FeatureRegistry.get(movie)()
        from_file = extractor.extract(group, file.require_group("stimulus"), metadata=file["metadata"])
        from_dicts = extractor.extract(unit, {}, metadata=metadata)
    assert from_file.keys() == from_dicts.keys()
    for name, value in from_dicts.items():
        np.testing.assert_array_equal(from_file[name], value)
