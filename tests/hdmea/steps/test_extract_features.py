"""`extract_features` as a step of the pipeline: what it returns, skips, redoes and refuses."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import h5py
import numpy as np
import pytest

from hdmea.features import compute_sta
from hdmea.io import add_section_windows, list_features, section_spike_times
from hdmea.pipeline import ExtractionResult, PipelineSession, extract_features
from hdmea.session.session import SaveState
from hdmea.utils.exceptions import ConfigurationError, MissingInputError
from support.hdmea_recordings import FIRST_FRAME, FRAME_SAMPLES, recording, write_config

OVERRIDES = {"movie_name": "window"}


@pytest.fixture
def session(tmp_path: Path) -> PipelineSession:
    made = recording(tmp_path)
    add_section_windows(length_s=4.0, session=made)
    section_spike_times(session=made)
    return made


def extracted(path: Path, features: list[str], **arguments: object) -> ExtractionResult:
    result = extract_features(path, features, **arguments)  # type: ignore[arg-type]
    assert isinstance(result, ExtractionResult)
    return result


def test_result_names_what_was_extracted_and_the_file_holds_it(session: PipelineSession) -> None:
    path = session.save()

    result = extracted(path, ["frif", "baseline_127"], config_overrides=OVERRIDES)

    assert result.hdf5_path == path
    assert result.features_extracted == ["frif", "baseline_127"]
    assert (result.features_skipped, result.features_failed, result.warnings) == ([], [], [])
    with h5py.File(path, "r") as file:
        assert set(list_features(file, "unit_003")) == {"frif", "baseline_127"}
        assert json.loads(file.attrs["features_extracted"]) == ["baseline_127", "frif"]
        feature = file["units/unit_003/features/frif"]
        assert {"version", "params_hash", "extracted_at"} <= set(feature.attrs)
        assert feature["FRIF"].dtype == np.float32


def test_with_a_session_it_returns_the_session(session: PipelineSession) -> None:
    assert extract_features(features=["frif"], session=session) is session

    assert session.units["unit_001"]["features"]["frif"]["metadata"]["version"]
    assert "extract_features" in session.completed_steps


def test_what_is_there_is_skipped_without_force(session: PipelineSession) -> None:
    extract_features(features=["frif"], session=session)
    path, kept = session.save(), session.units["unit_001"]["features"]["frif"]
    before = path.read_bytes()

    result = extracted(path, ["frif"])
    extract_features(features=["frif"], session=session)

    assert (result.features_extracted, result.features_skipped) == ([], ["frif"])
    assert session.units["unit_001"]["features"]["frif"] is kept
    assert session.is_saved
    assert path.read_bytes() == before
    assert extracted(path, ["frif"], force=True).features_extracted == ["frif"]


def test_feature_without_its_section_is_failed_with_a_warning(
    session: PipelineSession, caplog: pytest.LogCaptureFixture
) -> None:
    path = session.save()

    with caplog.at_level(logging.WARNING, "hdmea"):
        result = extracted(path, ["step_up_5s_5i_3x", "frif"])

    assert result.features_failed == ["step_up_5s_5i_3x"]
    assert result.features_extracted == ["frif"]
    assert len(result.warnings) == 1
    assert "step_up_5s_5i_3x" in caplog.text
    assert PipelineSession.load(path).warnings == result.warnings


def test_unknown_feature_is_failed_with_a_warning(session: PipelineSession) -> None:
    path = session.save()

    result = extracted(path, ["no_such_feature"])
    again = extracted(path, ["no_such_feature"])

    assert result.features_failed == ["no_such_feature"]
    assert len(result.warnings) == 1
    assert PipelineSession.load(path).warnings == result.warnings == again.warnings  # once


def test_a_feature_that_alone_is_asked_for_and_fails_is_a_warning_of_the_session(session: PipelineSession) -> None:
    made = extract_features(features=["step_up_5s_5i_3x"], session=session)

    assert isinstance(made, PipelineSession)
    assert made.warnings == ["feature step_up_5s_5i_3x: no section 'step_up_5s_5i_3x' in this recording"]
    assert made.save_state is SaveState.DEFERRED
    assert "extract_features" not in made.completed_steps


def test_one_unit_that_fails_is_a_warning_and_the_rest_go_on(session: PipelineSession) -> None:
    del session.units["unit_002"]["spike_times"]

    result = extracted(session.save(), ["frif"])

    assert result.features_extracted == ["frif"]
    assert len(result.warnings) == 1
    assert "unit_002" in result.warnings[0]


def test_sta_and_values_of_a_movie_are_two_features(tmp_path: Path) -> None:
    name = "perfect_dense_noise_15x15_15hz_r42_3min"
    np.save(tmp_path / f"{name}.npy", np.random.default_rng(0).integers(0, 255, (1500, 5, 5), dtype=np.uint8))
    made = recording(tmp_path)
    made.add_stimulus({"section_time": {name: made.metadata["frame_timestamps"][[0, 1900]][None]}})
    write_config(tmp_path / "configs", name, start_frame=0, trial_length_frame=1500, repeat=1)
    section_spike_times(session=made, config_dir=tmp_path / "configs")
    compute_sta(cover_range=(-10, 0), stimuli_dir=tmp_path, session=made)
    path = made.save()

    result = extracted(path, [name])

    assert result.features_extracted == [name]
    features = PipelineSession.load(path).units["unit_001"]["features"]
    assert {"polarity", "peak_z_score"} <= set(features[name]["data"])
    assert features[f"sta_{name}"]["data"].shape == (10, 5, 5)
    assert extracted(path, [name]).features_skipped == [name]


@pytest.mark.parametrize("movie", ["green_blue_3s_3i_3x", "baseline_127", "frif"])
def test_trials_of_another_stimulus_in_a_file_are_left_out_of_features(tmp_path: Path, movie: str) -> None:
    """A file cut with a config of nine trials, where the section holds three: six are of what was shown next."""
    made = recording(tmp_path, frames=7000)
    section = FIRST_FRAME + FRAME_SAMPLES * np.array([[300, 300 + 2640]])  # a movie of 2340 frames with its margins
    made.add_stimulus({"section_time": {"green_blue_3s_3i_3x": section.astype(np.uint64)}})
    starts = FIRST_FRAME + FRAME_SAMPLES * (300 + 60 + 120 + np.arange(9) * 720)
    bounds = np.stack([starts, starts + 720 * FRAME_SAMPLES], axis=1)
    whole, right = (PipelineSession.load(made.checkpoint(tmp_path / f"{name}.h5")) for name in ("nine", "three"))
    for session, count in ((whole, 9), (right, 3)):
        for unit in session.units.values():
            spikes = unit["spike_times"].astype(np.int64)
            trials = {n: spikes[(spikes >= a) & (spikes < b)] for n, (a, b) in enumerate(bounds[:count].tolist())}
            unit["spike_times_sectioned"] = {
                "green_blue_3s_3i_3x": {
                    "trials_spike_times": trials,
                    "trials_start_end": bounds[:count],
                    "full_spike_times": np.concatenate(list(trials.values())),
                }
            }
        extract_features(features=[movie], session=session, config_overrides={"movie_name": "green_blue_3s_3i_3x"})

    for unit_id, unit in whole.units.items():
        ours, expected = (one["features"][movie]["data"] for one in (unit, right.units[unit_id]))
        for name in expected:
            np.testing.assert_array_equal(ours[name], expected[name], err_msg=name)
        assert ours.get("n_trials", 3) == 3
    (said,) = [text for text in whole.warnings if "left out" in text]
    assert "6 of 9 trials (3, 4, 5, 6, 7, 8;" in said
    assert not [text for text in right.warnings if "left out" in text]


def test_session_without_a_recording_names_the_step_to_run(tmp_path: Path) -> None:
    empty = PipelineSession(dataset_id="empty", output_dir=tmp_path)
    path = empty.save()

    with pytest.raises(MissingInputError, match="load_recording"):
        extract_features(session=empty)
    with pytest.raises(MissingInputError, match="load_recording"):
        extract_features(path)


def test_recording_without_units_has_no_features_to_extract(tmp_path: Path) -> None:
    path = recording(tmp_path, units=0).save()

    result = extracted(path, ["frif"])

    assert (result.features_failed, result.warnings) == ([], [])


def test_overrides_that_json_cannot_hold_are_a_configuration_error(session: PipelineSession) -> None:
    with pytest.raises(ConfigurationError):
        extract_features(features=["frif"], config_overrides={"x": object()}, session=session)
