"""Each value of each feature family against its definition, on spike trains that are known to the spike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from hdmea.features import FeatureRegistry
from hdmea.features.dense_noise import describe_sta
from hdmea.io.stimulus_config import SectionKwargs, StimulusConfig, save_stimulus_config
from hdmea.utils.exceptions import MissingInputError
from reference import features as reference

RATE = 20000.0
METADATA = {"acquisition_rate": RATE}
STEP, BAR, CHIRP = "step_up_5s_5i_b0_3x", "moving_h_bar_s5_d8_3x", "freq_step_5st_3x"
COLOURS, GREY, NOISE = "green_blue_3s_3i_3x", "baseline_127", "perfect_dense_noise_15x15_15hz_r42_3min"
DURATIONS_S = {STEP: 10.0, BAR: 4520 / 60, CHIRP: 25.0, COLOURS: 12.0, GREY: 3.0}


def unit_with(
    movie: str, trials_s: Sequence[npt.ArrayLike], duration_s: float | None = None, spacing_s: float = 100.0
) -> dict[str, Any]:
    """A unit whose trials hold spikes at these seconds, plus one before each and one after: those of a margin."""
    duration = round((duration_s or DURATIONS_S[movie]) * RATE)
    starts = (np.arange(len(trials_s)) * spacing_s * RATE).astype(np.int64) + 1000
    spikes = {}
    for trial, (start, seconds) in enumerate(zip(starts, trials_s, strict=True)):
        inside = start + np.rint(np.asarray(seconds, float) * RATE).astype(np.int64)
        spikes[trial] = np.concatenate([[start - 5], inside, [start + duration + 5]])
    section = {"trials_spike_times": spikes, "trials_start_end": np.stack([starts, starts + duration], axis=1)}
    return {"spike_times_sectioned": {movie: section}}


def extract(movie: str, unit: dict[str, Any], **config: Any) -> dict[str, Any]:
    return FeatureRegistry.get(movie)().extract(unit, {}, config=config or None, metadata=METADATA)


def all_nan(values: dict[str, Any]) -> bool:
    return all(np.isnan(np.asarray(value, float)).all() for value in values.values())


# ---------------------------------------------------------------- frif


def test_frif_counts_spikes_between_frames() -> None:
    frames = np.array([100, 433, 766, 1100], np.uint64)
    unit = {"spike_times": np.array([50, 100, 432, 433, 800, 801, 1100], np.uint64)}
    values = extract_frif(unit, frames)
    np.testing.assert_allclose(values["FRIF"], np.array([2 / 333, 1 / 333, 2 / 334]) * RATE, rtol=1e-6)
    np.testing.assert_array_equal(values["FRIF_x_axis"], np.array([100, 433, 766]) / RATE)
    assert (values["FRIF"].dtype, values["FRIF_x_axis"].dtype) == (np.float32, np.float64)


def extract_frif(unit: dict[str, Any], frames: npt.NDArray[Any], **config: Any) -> dict[str, Any]:
    metadata = {**METADATA, "frame_timestamps": frames}
    return FeatureRegistry.get("frif")().extract(unit, {}, config=config, metadata=metadata)


def test_frif_of_one_movie_is_the_mean_over_its_trials() -> None:
    unit = unit_with(STEP, [[0.005, 0.02], [0.005]], duration_s=0.05, spacing_s=999 / RATE)
    frames = 1000 + np.arange(10) * 333
    values = extract_frif(unit, frames, movie_name=STEP)
    np.testing.assert_allclose(values["FRIF"][:2], np.array([1.0, 0.5]) / 333 * RATE, rtol=1e-6)
    assert values["FRIF_x_axis"][0] == 0


def test_frif_without_frames_or_spikes_names_the_step() -> None:
    with pytest.raises(MissingInputError, match="load_recording"):
        extract_frif({"spike_times": np.array([1])}, np.empty(0))
    with pytest.raises(MissingInputError, match="load_recording"):
        extract_frif({}, np.array([1, 2]))


# ---------------------------------------------------------------- baseline


def test_baseline_values() -> None:
    intervals = np.array([0.1, 0.001, 0.2, 0.0005, 0.3])
    times = 0.2 + np.concatenate([[0], np.cumsum(intervals)])
    values = extract(GREY, unit_with(GREY, [times]))
    assert values["spike_count"] == 6
    assert values["mean_rate"] == pytest.approx(6 / 3)
    assert values["cv_isi"] == pytest.approx(intervals.std() / intervals.mean(), rel=1e-3)
    assert values["median_isi_ms"] == pytest.approx(100)
    assert values["isi_violations_ratio"] == pytest.approx(2 / 5)
    assert values["quality_index"] == pytest.approx(3 / 5)
    psth = reference.bin_counts([np.rint(times * RATE)], 400, 150)[0] / 0.02
    assert values["std_rate"] == pytest.approx(psth.std())


def test_baseline_intervals_do_not_cross_trials() -> None:
    values = extract(GREY, unit_with(GREY, [[0.5, 0.6], [0.5, 0.7]]))
    assert values["median_isi_ms"] == pytest.approx(150)


@pytest.mark.parametrize(("times", "count"), [([], 0), ([1.0], 1)])
def test_baseline_without_intervals(times: list[float], count: int) -> None:
    values = extract(GREY, unit_with(GREY, [times]))
    assert values["spike_count"] == count
    assert values["mean_rate"] == pytest.approx(count / 3)
    assert all_nan({k: values[k] for k in ("cv_isi", "median_isi_ms", "isi_violations_ratio", "quality_index")})


# ---------------------------------------------------------------- on_off


def test_on_off_values() -> None:
    burst = [0.101, 0.105, 0.110]  # three spikes of the bin 0.10-0.12
    sustained = np.arange(0.55, 5.0, 0.1)
    off = [5.061, 5.065]
    dark = np.arange(9.05, 10, 0.1)
    trials = [np.concatenate([burst, sustained, off, dark])] * 3
    values = extract(STEP, unit_with(STEP, trials))
    assert values["on_peak_rate"] == pytest.approx(150)
    assert values["on_latency_ms"] == pytest.approx(110)
    assert values["off_peak_rate"] == pytest.approx(100)
    assert values["off_latency_ms"] == pytest.approx(70)
    assert values["on_sustained_rate"] == pytest.approx(len(sustained) / 4.5)
    assert values["off_sustained_rate"] == pytest.approx(len(dark) / 4.5)
    assert values["baseline_rate"] == pytest.approx(10)
    assert values["on_off_index"] == pytest.approx((150 - 100) / 250)
    assert values["response_quality"] == pytest.approx(1)
    assert values["psth"].shape == (500,)


def test_on_off_psth_and_quality_are_those_of_the_trials() -> None:
    rng = np.random.default_rng(0)
    trials = [np.sort(rng.uniform(0, 10, 200)) for _ in range(3)]
    values = extract(STEP, unit_with(STEP, trials))
    rates = reference.bin_counts([np.rint(t * RATE) for t in trials], 400, 500) / 0.02
    np.testing.assert_allclose(values["psth"], rates.mean(axis=0))
    expected = rates.mean(axis=0).var() / np.mean([trial.var() for trial in rates])
    assert values["response_quality"] == pytest.approx(expected)


def test_on_off_bins_are_those_of_the_config() -> None:
    values = extract(STEP, unit_with(STEP, [[0.05]]), bin_ms=100.0)
    assert values["psth"].shape == (100,)
    assert values["on_peak_rate"] == pytest.approx(10)


def test_on_off_without_spikes() -> None:
    values = extract(STEP, unit_with(STEP, [[], [], []]))
    assert (values["on_peak_rate"], values["on_sustained_rate"]) == (0, 0)
    assert all_nan({k: values[k] for k in ("on_latency_ms", "on_off_index", "response_quality")})


def test_on_off_of_trials_cut_short_is_nan_where_data_are_missing() -> None:
    values = extract(STEP, unit_with(STEP, [[0.1], [0.1]], duration_s=6.0))
    assert values["on_peak_rate"] == pytest.approx(50)
    assert np.isfinite(values["psth"][:300]).all()
    assert np.isnan(values["psth"][310:]).all()
    assert np.isnan(values["baseline_rate"])
    assert np.isnan(values["response_quality"])


def test_trial_cut_short_does_not_count_where_it_lacks_data() -> None:
    unit = unit_with(STEP, [[5.7, 9.5], [5.7]])
    unit["spike_times_sectioned"][STEP]["trials_start_end"][1, 1] -= round(4 * RATE)  # ends after 6 s
    values = extract(STEP, unit)
    assert values["baseline_rate"] == pytest.approx(1)


# ---------------------------------------------------------------- chromatic


def test_chromatic_values() -> None:
    times = [*np.arange(0.05, 3, 0.1), *np.arange(3.05, 6, 0.5), *np.arange(6.05, 9, 0.3), 10.0]
    values = extract(COLOURS, unit_with(COLOURS, [times] * 9))
    assert values["green_on_rate"] == pytest.approx(10)
    assert values["green_off_rate"] == pytest.approx(2)
    assert values["blue_on_rate"] == pytest.approx(10 / 3)
    assert values["blue_off_rate"] == pytest.approx(1 / 3)
    green, blue = 6, (10 / 3 + 1 / 3) / 2
    assert values["color_opponency_index"] == pytest.approx((green - blue) / (green + blue))
    assert values["preferred_color"] == "green"
    assert values["response_quality"] == pytest.approx(1)


def test_chromatic_preference_for_blue_in_the_gap() -> None:
    values = extract(COLOURS, unit_with(COLOURS, [[9.5, 9.6, 9.7]] * 9))
    assert values["color_opponency_index"] == -1
    assert values["preferred_color"] == "blue"


def test_chromatic_without_spikes() -> None:
    values = extract(COLOURS, unit_with(COLOURS, [[]] * 9))
    assert values["preferred_color"] == "none"
    assert np.isnan(values["color_opponency_index"])


def test_chromatic_luminances_are_conditions_of_their_own() -> None:
    name = "green_blue_3s_3i_3x_64_128_255"
    trials = [[0.5 + group, 6.5 + group] for group in range(3) for _ in range(3)]
    values = extract(name, unit_with(name, trials, duration_s=12.0))
    assert values["response_quality"] == pytest.approx(1)
    mixed = extract(COLOURS, unit_with(COLOURS, trials))
    assert mixed["response_quality"] < 0.5


# ---------------------------------------------------------------- chirp


def spikes_at_rate(rate_of: Any, duration_s: float, offset: float) -> npt.NDArray[np.float64]:
    """Times that follow a rate as evenly as spikes can; `offset` (0 to 1) shifts them all within their intervals."""
    times = np.arange(0, duration_s, 1e-4)
    passed = np.floor(np.cumsum(rate_of(times)) * 1e-4 + offset)
    return times[np.flatnonzero(np.diff(passed, prepend=0) > 0)]


def test_chirp_amplitudes_phases_and_tuning() -> None:
    amplitudes = dict(zip([0.5, 1, 2, 4, 10], [20, 60, 100, 60, 10], strict=True))

    def rate_of(times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        rate = np.full(len(times), 110.0)
        for n, (frequency, amplitude) in enumerate(amplitudes.items()):
            step = (times >= n * 5) & (times < n * 5 + 4)
            rate[step] += amplitude * np.sin(2 * np.pi * frequency * (times[step] - n * 5) - 0.6)
        return rate

    values = extract(CHIRP, unit_with(CHIRP, [spikes_at_rate(rate_of, 25.0, n / 40) for n in range(40)]))
    shrink = np.sinc(np.array([0.5, 1, 2, 4, 10]) * 0.02)  # by averaging within bins
    np.testing.assert_allclose(values["f1_amplitude"], np.array([20, 60, 100, 60, 10]) * shrink, atol=1.5)
    np.testing.assert_allclose(values["f1_phase"][:4], -0.6, atol=0.08)
    assert values["preferred_frequency"] == 2
    height = values["f1_amplitude"]
    low = np.interp(height[2] / 2, height[:3], [-1, 0, 1])
    high = np.interp(-height[2] / 2, -height[2:], [1, 2, np.log2(10)])
    assert values["bandwidth"] == pytest.approx(high - low)


def test_chirp_of_the_psths_own_fourier_component() -> None:
    rng = np.random.default_rng(1)
    trials = [np.sort(rng.uniform(0, 25, 500)) for _ in range(3)]
    values = extract(CHIRP, unit_with(CHIRP, trials))
    psth = (reference.bin_counts([np.rint(t * RATE) for t in trials], 400, 1250) / 0.02).mean(axis=0)
    for n, frequency in enumerate([0.5, 1, 2, 4, 10]):
        amplitude, phase = reference.fourier_component(psth[n * 250 : n * 250 + 200], 0.02, frequency)
        assert values["f1_amplitude"][n] == pytest.approx(amplitude)
        assert values["f1_phase"][n] == pytest.approx(phase)


def test_chirp_bandwidth_that_leaves_the_tested_range_is_nan() -> None:
    values = extract(CHIRP, unit_with(CHIRP, [[0.5, 5.25, 10.125]] * 3))
    assert np.isfinite(values["preferred_frequency"])
    assert np.isnan(values["bandwidth"])


def test_chirp_without_spikes() -> None:
    values = extract(CHIRP, unit_with(CHIRP, [[]] * 3))
    np.testing.assert_array_equal(values["f1_amplitude"], 0)
    assert all_nan({k: values[k] for k in ("f1_phase", "preferred_frequency", "bandwidth", "response_quality")})


# ---------------------------------------------------------------- moving bar


def bar_trials(counts: npt.ArrayLike, trials: int = 3) -> list[npt.NDArray[np.float64]]:
    length = 565 / 60
    times = [n * length + (np.arange(count) + 0.5) * length / max(count, 1) for n, count in enumerate(counts)]
    return [np.concatenate(times)] * trials


@pytest.mark.parametrize("shift", range(8))
def test_bar_direction_is_the_vector_sum(shift: int) -> None:
    counts = np.roll([40, 20, 5, 4, 3, 4, 5, 20], shift)
    values = extract(BAR, unit_with(BAR, bar_trials(counts), spacing_s=200.0))
    np.testing.assert_allclose(values["tuning_curve"], counts / (565 / 60), rtol=1e-9)
    angles = np.arange(8) * np.pi / 4
    assert values["dsi"] == pytest.approx(abs((counts * np.exp(1j * angles)).sum()) / counts.sum())
    assert values["osi"] == pytest.approx(abs((counts * np.exp(2j * angles)).sum()) / counts.sum())
    assert abs((values["preferred_direction"] - 45 * shift + 180) % 360 - 180) < 1e-6
    assert values["dsi_p_value"] < 0.01


def test_bar_orientation() -> None:
    counts = [4, 4, 30, 4, 4, 4, 30, 4]
    values = extract(BAR, unit_with(BAR, bar_trials(counts), spacing_s=200.0))
    assert values["preferred_orientation"] == pytest.approx(90)
    assert values["osi"] > 0.5
    assert values["dsi"] < 1e-9
    assert values["osi_p_value"] < 0.01
    assert values["dsi_p_value"] > 0.9


def test_bar_p_values_of_untuned_units_are_uniform() -> None:
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(100):
        trials = [np.sort(rng.uniform(0, 4520 / 60, 400)) for _ in range(3)]
        p_values.append(extract(BAR, unit_with(BAR, trials, spacing_s=200.0))["dsi_p_value"])
    assert np.mean(np.array(p_values) < 0.05) <= 0.12
    assert 0.4 < np.mean(p_values) < 0.6


def test_bar_p_values_are_seeded() -> None:
    unit = unit_with(BAR, bar_trials([9, 8, 7, 9, 8, 8, 9, 6]), spacing_s=200.0)
    first, second = extract(BAR, unit), extract(BAR, unit)
    assert first["dsi_p_value"] == second["dsi_p_value"]
    assert extract(BAR, unit, permutations=99)["dsi_p_value"] * 100 == pytest.approx(
        round(extract(BAR, unit, permutations=99)["dsi_p_value"] * 100)
    )


def test_bar_without_spikes() -> None:
    values = extract(BAR, unit_with(BAR, [[]] * 3, spacing_s=200.0))
    np.testing.assert_array_equal(values["tuning_curve"], 0)
    assert all_nan({k: v for k, v in values.items() if k not in ("tuning_curve", "directions_deg")})


def test_bar_of_other_directions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"directions_deg": [10, 130, 250], "direction_frames": 60}
    save_stimulus_config(StimulusConfig("bars", SectionKwargs(0, 180, 2), "moving_bar", parameters), tmp_path)
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))
    unit = unit_with("bars", [[1.2, 1.4, 1.6], [1.2, 2.5]], duration_s=3.0)
    values = extract("moving_bar", unit, movie_name="bars")
    np.testing.assert_allclose(values["tuning_curve"], [0, 2, 0.5])


# ---------------------------------------------------------------- dense noise


def sta_with(parameters: npt.ArrayLike, frame: int, window: int = 60) -> npt.NDArray[np.float64]:
    sta = np.full((window, 13, 15), 127.0) + np.random.default_rng(0).normal(0, 0.5, (window, 13, 15))
    sta[frame] += reference.gaussian([*np.asarray(parameters), 0.0], (13, 15))
    return sta


@pytest.mark.parametrize("amplitude", [-30.0, 30.0])
def test_dense_noise_values(amplitude: float) -> None:
    sta = sta_with([amplitude, 6.3, 4.8, 1.2, 1.9], frame=55)
    feature = {"data": {"sta": sta.astype(np.float32)}, "metadata": {"cover_range": (-60, 0)}}
    values = extract(NOISE, {"features": {NOISE: feature}})
    np.testing.assert_allclose([values["center_x"], values["center_y"]], [6.3, 4.8], atol=0.05)
    np.testing.assert_allclose([values["sigma_x"], values["sigma_y"]], [1.2, 1.9], atol=0.1)
    assert values["amplitude"] == pytest.approx(amplitude, rel=0.05)
    assert values["peak_lag_frames"] == 5
    assert values["peak_lag_ms"] == pytest.approx(5000 / 60)
    assert values["polarity"] == np.sign(amplitude)
    peak = sta[55].max() if amplitude > 0 else sta[55].min()
    assert values["peak_z_score"] == pytest.approx((peak - sta.mean()) / sta.std(), rel=1e-3)
    image = sta[55]
    expected, squares = reference.fit_gaussian(image, [amplitude, 6, 5, 1.5, 1.5, 127.0])
    assert values["fit_residual"] == pytest.approx(squares / ((image - image.mean()) ** 2).sum(), rel=1e-3)
    assert values["sigma_x"] == pytest.approx(abs(expected[3]), rel=1e-3)


def test_dense_noise_lag_counts_from_the_spike() -> None:
    sta = sta_with([30, 6, 5, 1.2, 1.2], frame=20, window=40)
    feature = {"data": {"sta": sta}, "metadata": {"cover_range": (-30, 10)}}
    assert extract(NOISE, {"features": {NOISE: feature}})["peak_lag_frames"] == 10


@pytest.mark.parametrize("sta", [np.full((60, 15, 15), np.nan), np.full((60, 15, 15), 127.0), np.empty((0, 15, 15))])
def test_dense_noise_of_an_sta_that_tells_nothing(sta: npt.NDArray[np.float64]) -> None:
    assert all_nan(describe_sta(sta))


def test_dense_noise_of_an_edge_without_gaussian_is_nan_where_the_fit_fails() -> None:
    sta = np.full((10, 9, 9), 127.0)
    sta[4] += np.linspace(0, 30, 9)[None, :]
    values = describe_sta(sta)
    assert values["peak_lag_frames"] == 6
    assert np.isnan(values["center_x"])
    assert np.isnan(values["fit_residual"])


def test_dense_noise_without_sta_names_the_step() -> None:
    with pytest.raises(MissingInputError, match="compute_sta"):
        extract(NOISE, {"features": {}})


# ---------------------------------------------------------------- every family


@pytest.mark.parametrize("movie", [STEP, BAR, CHIRP, COLOURS, GREY])
def test_values_are_those_of_the_schema(movie: str) -> None:
    values = extract(movie, unit_with(movie, [[0.5, 1.0]] * 3, spacing_s=200.0))
    assert set(values) == set(FeatureRegistry.get(movie).output_schema)


@pytest.mark.parametrize("movie", [STEP, BAR, CHIRP, COLOURS, GREY])
def test_unit_without_trials_is_nan_all_through(movie: str) -> None:
    values = extract(movie, unit_with(movie, []))
    known = {"spike_count", "directions_deg", "frequencies_hz", "preferred_color"}
    assert all_nan({name: value for name, value in values.items() if name not in known})


@pytest.mark.parametrize("movie", [STEP, BAR, CHIRP, COLOURS, GREY])
def test_missing_section_names_the_step(movie: str) -> None:
    with pytest.raises(MissingInputError, match="section_spike_times"):
        extract(movie, {"spike_times_sectioned": {}})


def test_missing_rate_names_the_step() -> None:
    with pytest.raises(MissingInputError, match="load_recording"):
        FeatureRegistry.get(STEP)().extract(unit_with(STEP, [[1.0]]), {}, metadata={})


def test_family_serves_a_stimulus_that_its_config_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"on_frames": 60, "baseline_ms": 500}
    save_stimulus_config(StimulusConfig("short", SectionKwargs(0, 120, 2), "on_off", parameters), tmp_path)
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))
    unit = unit_with("short", [[0.101, 1.201], [0.101]], duration_s=2.0)
    values = extract("on_off", unit, movie_name="short")
    assert values["psth"].shape == (100,)
    assert (values["on_peak_rate"], values["off_peak_rate"]) == (50, 25)


@pytest.mark.parametrize("movie", [STEP, BAR, CHIRP, COLOURS, GREY, NOISE, "frif"])
def test_groups_of_a_file_give_what_dicts_give(tmp_path: Path, movie: str) -> None:
    rng = np.random.default_rng(2)
    shown = STEP if movie in (NOISE, "frif") else movie
    unit = unit_with(shown, [np.sort(rng.uniform(0, DURATIONS_S[shown], 99)) for _ in range(3)], spacing_s=200.0)
    unit["spike_times"] = np.sort(rng.integers(0, 100000, 500)).astype(np.uint64)
    sta = sta_with([20, 6, 5, 1.2, 1.2], 40)
    unit["features"] = {NOISE: {"data": {"sta": sta}, "metadata": {"cover_range": [-60, 0]}}}
    metadata = {"acquisition_rate": RATE, "frame_timestamps": np.arange(0, 100000, 333, dtype=np.uint64)}
    with h5py.File(tmp_path / "unit.h5", "w") as file:
        group = file.create_group("units/unit_001")
        group["spike_times"] = unit["spike_times"]
        section = group.create_group(f"spike_times_sectioned/{shown}")
        for trial, spikes in unit["spike_times_sectioned"][shown]["trials_spike_times"].items():
            section[f"trials_spike_times/{trial}"] = spikes
        section["trials_start_end"] = unit["spike_times_sectioned"][shown]["trials_start_end"]
        group[f"features/{NOISE}/sta"] = sta
        group[f"features/{NOISE}/sta"].attrs["cover_range"] = [-60, 0]
        file["metadata/acquisition_rate"] = np.array([RATE])
        file["metadata/frame_timestamps"] = metadata["frame_timestamps"]
        extractor = FeatureRegistry.get(movie)()
        from_file = extractor.extract(group, file.require_group("stimulus"), metadata=file["metadata"])
        from_dicts = extractor.extract(unit, {}, metadata=metadata)
    assert from_file.keys() == from_dicts.keys()
    for name, value in from_dicts.items():
        np.testing.assert_array_equal(from_file[name], value)
