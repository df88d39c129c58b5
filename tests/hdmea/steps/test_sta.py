"""`compute_sta`, rule by rule."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from hdmea.features.sta import STAResult, compute_sta
from hdmea.io import add_section_windows, section_spike_times
from hdmea.pipeline import PipelineSession
from hdmea.utils.exceptions import ConfigurationError, DataLoadError, MissingInputError
from support.hdmea_recordings import FIRST_FRAME, FRAME_SAMPLES, recording, write_config

MOVIE = "Dense_NOISE"
START, FRAMES = 100, 300


def at(frame: int) -> int:
    return FIRST_FRAME + FRAME_SAMPLES * frame


def sectioned(tmp_path: Path, movie: npt.NDArray[Any] | None = None, *, presentations: int = 1) -> PipelineSession:
    """A recording whose noise movie plays from frame 160; its frames are in `tmp_path`."""
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (FRAMES, 4, 3), dtype=np.uint8) if movie is None else movie
    np.save(tmp_path / f"{MOVIE}.npy", frames)
    made = recording(tmp_path / "out")
    rows = [[at(START + 500 * n), at(START + 60 + FRAMES + 120 + 500 * n)] for n in range(presentations)]
    made.add_stimulus({"section_time": {MOVIE: np.array(rows, np.uint64), "other": np.array([[0, 9]], np.uint64)}})
    write_config(tmp_path / "configs", MOVIE, start_frame=0, trial_length_frame=FRAMES, repeat=1)
    section_spike_times(movie_names=[MOVIE], config_dir=tmp_path / "configs", session=made)
    return made


def expected_sta(
    spikes: npt.NDArray[Any], frames: npt.NDArray[Any], lo: int, hi: int
) -> tuple[npt.NDArray[np.float32], int]:
    """The mean over windows, the slow and obvious way."""
    shown = (spikes.astype(int) - FIRST_FRAME) // FRAME_SAMPLES - (START + 60)
    windows = [frames[f + lo : f + hi] for f in shown if f + lo >= 0 and f + hi <= len(frames)]
    return np.mean(np.array(windows, np.float64), axis=0).astype(np.float32), len(windows)


def stored(session: PipelineSession, unit: str = "unit_001") -> dict[str, Any]:
    found: dict[str, Any] = session.units[unit]["features"][f"sta_{MOVIE}"]
    return found


@pytest.mark.parametrize("window", [(-60, 0), (-5, 3), (0, 1), (2, 4)])
def test_sta_is_the_mean_over_counted_spikes_exactly(tmp_path: Path, window: tuple[int, int]) -> None:
    session = sectioned(tmp_path)

    assert compute_sta(cover_range=window, stimuli_dir=tmp_path, session=session) is session

    frames = np.load(tmp_path / f"{MOVIE}.npy")
    for unit_id, unit in session.units.items():
        spikes = unit["spike_times_sectioned"][MOVIE]["trials_spike_times"][0]
        expected, count = expected_sta(spikes, frames, *window)
        found = stored(session, unit_id)
        assert found["data"].dtype == np.float32
        assert found["data"].shape == (window[1] - window[0], 4, 3)
        np.testing.assert_array_equal(found["data"], expected)
        assert found["metadata"] == {
            "n_spikes": count,
            "n_spikes_excluded": len(spikes) - count,
            "cover_range": window,
        }
    assert "compute_sta" in session.completed_steps


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64", "bool", "uint16", ">i4", "float16"])
def test_movie_of_any_real_dtype(tmp_path: Path, dtype: str) -> None:
    frames = np.random.default_rng(2).normal(0, 50, (FRAMES, 3, 2)).astype(dtype)
    session = sectioned(tmp_path, frames)

    compute_sta(cover_range=(-10, 0), stimuli_dir=tmp_path, session=session)

    spikes = session.units["unit_002"]["spike_times_sectioned"][MOVIE]["trials_spike_times"][0]
    expected, _ = expected_sta(spikes, frames, -10, 0)
    np.testing.assert_allclose(stored(session, "unit_002")["data"], expected, rtol=1e-5, atol=1e-4)


def test_only_the_first_presentation_counts(tmp_path: Path) -> None:
    once, twice = sectioned(tmp_path), sectioned(tmp_path, presentations=2)

    for session in (once, twice):
        compute_sta(stimuli_dir=tmp_path, session=session)

    np.testing.assert_array_equal(stored(once)["data"], stored(twice)["data"])


def test_use_multiprocessing_does_not_change_the_result(tmp_path: Path) -> None:
    one, many = sectioned(tmp_path), sectioned(tmp_path)

    compute_sta(stimuli_dir=tmp_path, use_multiprocessing=False, session=one)
    compute_sta(stimuli_dir=tmp_path, use_multiprocessing=True, session=many)

    np.testing.assert_array_equal(stored(one)["data"], stored(many)["data"])


def test_unit_without_counted_spikes_gets_nan_and_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    session = sectioned(tmp_path)
    trials = session.units["unit_001"]["spike_times_sectioned"][MOVIE]["trials_spike_times"]
    trials[0] = np.array([at(START + 60)], np.int64)  # frame 0: its window begins before the movie

    with caplog.at_level(logging.WARNING, "hdmea"):
        compute_sta(stimuli_dir=tmp_path, session=session)

    assert "unit_001" in caplog.text
    assert np.isnan(stored(session)["data"]).all()
    assert stored(session)["metadata"]["n_spikes"] == 0
    assert stored(session)["metadata"]["n_spikes_excluded"] == 1


def test_file_holds_the_sta_with_its_figures_on_the_dataset(tmp_path: Path) -> None:
    path = sectioned(tmp_path).save()

    result = compute_sta(path, cover_range=(-4, 0), stimuli_dir=tmp_path)

    assert isinstance(result, STAResult)
    assert (result.hdf5_path, result.movie_name, result.cover_range) == (path, MOVIE, (-4, 0))
    assert (result.units_processed, result.units_failed, result.failed_units, result.warnings) == (3, 0, [], [])
    assert result.elapsed_seconds > 0
    with h5py.File(path, "r") as file:
        sta = file[f"units/unit_001/features/sta_{MOVIE}/data"]
        assert sta.dtype == np.float32
        assert sta.attrs["n_spikes"] > 0
        assert sta.attrs["n_spikes_excluded"] >= 0
        np.testing.assert_array_equal(sta.attrs["cover_range"], [-4, 0])


def test_stimuli_dir_defaults_to_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = sectioned(tmp_path)
    monkeypatch.delenv("HDMEA_STIMULI_DIR", raising=False)
    with pytest.raises(ConfigurationError, match="HDMEA_STIMULI_DIR"):
        compute_sta(session=session)

    monkeypatch.setenv("HDMEA_STIMULI_DIR", str(tmp_path))
    compute_sta(session=session)

    assert stored(session)["data"].ndim == 3


@pytest.mark.parametrize("window", [(0, 0), (5, -5)])
def test_empty_cover_range_is_a_value_error(tmp_path: Path, window: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cover_range"):
        compute_sta(cover_range=window, session=PipelineSession(dataset_id="x"))


@pytest.mark.parametrize("movies", [["a", "b"], ["noise_1", "NoiseTwo", "b"]])
def test_none_or_several_noise_movies_are_a_value_error(tmp_path: Path, movies: list[str]) -> None:
    session = recording(tmp_path)
    session.add_stimulus({"section_time": {movie: np.array([[0, 9]], np.uint64) for movie in movies}})

    with pytest.raises(ValueError, match="noise"):
        compute_sta(stimuli_dir=tmp_path, session=session)


def test_missing_sections_name_the_step_to_run_in_both_modes(tmp_path: Path) -> None:
    session = recording(tmp_path)
    with pytest.raises(MissingInputError, match="add_section_time"):
        compute_sta(stimuli_dir=tmp_path, session=session)

    session.add_stimulus({"section_time": {MOVIE: np.array([[0, 9]], np.uint64)}})
    path = session.save()
    with pytest.raises(MissingInputError, match="section_spike_times"):
        compute_sta(stimuli_dir=tmp_path, session=session)
    with pytest.raises(MissingInputError, match="section_spike_times"):
        compute_sta(path, stimuli_dir=tmp_path)


def test_unit_that_was_not_sectioned_is_failed_and_the_rest_go_on(tmp_path: Path) -> None:
    session = sectioned(tmp_path)
    del session.units["unit_002"]["spike_times_sectioned"]
    path = session.save()

    result = compute_sta(path, stimuli_dir=tmp_path)

    assert isinstance(result, STAResult)
    assert (result.units_processed, result.units_failed, result.failed_units) == (2, 1, ["unit_002"])
    assert len(result.warnings) == 1


def test_missing_movie_is_file_not_found(tmp_path: Path) -> None:
    session = sectioned(tmp_path)
    (tmp_path / f"{MOVIE}.npy").unlink()

    with pytest.raises(FileNotFoundError, match=MOVIE):
        compute_sta(stimuli_dir=tmp_path, session=session)


def test_pickled_movie_is_not_loaded(tmp_path: Path) -> None:
    session = sectioned(tmp_path)
    np.save(tmp_path / f"{MOVIE}.npy", np.array([{"a": 1}], dtype=object))

    with pytest.raises(DataLoadError):
        compute_sta(stimuli_dir=tmp_path, session=session)


@pytest.mark.parametrize("frames", [np.zeros((5, 4)), np.zeros((5, 4, 3), complex), np.array([["a"]])])
def test_array_that_is_no_movie_is_a_value_error(tmp_path: Path, frames: npt.NDArray[Any]) -> None:
    session = sectioned(tmp_path)
    np.save(tmp_path / f"{MOVIE}.npy", frames)

    with pytest.raises(ValueError, match="height"):
        compute_sta(stimuli_dir=tmp_path, session=session)


def test_movie_shorter_than_its_trial_excludes_later_spikes_and_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = sectioned(tmp_path)
    frames = np.load(tmp_path / f"{MOVIE}.npy")[:100]
    np.save(tmp_path / f"{MOVIE}.npy", frames)

    with caplog.at_level(logging.WARNING, "hdmea"):
        compute_sta(cover_range=(-5, 0), stimuli_dir=tmp_path, session=session)

    spikes = session.units["unit_001"]["spike_times_sectioned"][MOVIE]["trials_spike_times"][0]
    expected, count = expected_sta(spikes, frames, -5, 0)
    np.testing.assert_array_equal(stored(session)["data"], expected)
    assert stored(session)["metadata"]["n_spikes"] == count
    assert "100 frames" in caplog.text


def test_what_is_there_is_skipped_without_force(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    session = sectioned(tmp_path)
    compute_sta(cover_range=(-5, 0), stimuli_dir=tmp_path, session=session)
    path, kept = session.save(), stored(session)["data"]

    with caplog.at_level(logging.WARNING, "hdmea"):
        compute_sta(cover_range=(-9, 0), stimuli_dir=tmp_path, session=session)
        result = compute_sta(path, cover_range=(-9, 0), stimuli_dir=tmp_path)

    assert isinstance(result, STAResult)
    assert result.units_processed == 0
    assert stored(session)["data"] is kept
    assert session.is_saved
    assert "(-5, 0)" in caplog.text

    compute_sta(cover_range=(-9, 0), stimuli_dir=tmp_path, force=True, session=session)
    assert stored(session)["data"].shape == (9, 4, 3)


def test_only_units_without_an_sta_are_computed(tmp_path: Path) -> None:
    session = sectioned(tmp_path)
    compute_sta(stimuli_dir=tmp_path, session=session)
    kept = stored(session, "unit_001")["data"]
    del session.units["unit_002"]["features"][f"sta_{MOVIE}"]

    compute_sta(stimuli_dir=tmp_path, session=session)

    assert stored(session, "unit_001")["data"] is kept
    assert stored(session, "unit_002")["data"].ndim == 3


def test_values_of_a_feature_of_the_same_name_stay(tmp_path: Path) -> None:
    session = sectioned(tmp_path)
    session.add_feature("unit_001", MOVIE, {"center_x": 1.5}, {"version": "1"})
    path = session.save()

    compute_sta(path, stimuli_dir=tmp_path)

    features = PipelineSession.load(path).units["unit_001"]["features"]
    assert features[MOVIE] == {"data": {"center_x": 1.5}, "metadata": {"version": "1"}}
    assert set(features[f"sta_{MOVIE}"]["metadata"]) == {"n_spikes", "n_spikes_excluded", "cover_range"}


def test_no_units_is_a_result_of_none(tmp_path: Path) -> None:
    session = recording(tmp_path, units=0)
    session.add_stimulus({"section_time": {MOVIE: np.array([[0, 9]], np.uint64)}})

    result = compute_sta(session.save(), stimuli_dir=tmp_path)

    assert isinstance(result, STAResult)
    assert result.units_processed == 0


def test_noise_is_looked_for_among_windows_as_well(tmp_path: Path) -> None:
    session = sectioned(tmp_path)
    add_section_windows(length_s=1.0, name="noise_free", session=session)

    with pytest.raises(ValueError, match="several"):
        compute_sta(stimuli_dir=tmp_path, session=session)
