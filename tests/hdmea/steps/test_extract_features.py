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
from hdmea.utils.exceptions import ConfigurationError, MissingInputError
from support.hdmea_recordings import recording

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
    result = extracted(session.save(), ["no_such_feature"])

    assert result.features_failed == ["no_such_feature"]
    assert len(result.warnings) == 1


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
    section_spike_times(session=made)
    compute_sta(cover_range=(-10, 0), stimuli_dir=tmp_path, session=made)
    path = made.save()

    result = extracted(path, [name])

    assert result.features_extracted == [name]
    features = PipelineSession.load(path).units["unit_001"]["features"]
    assert {"polarity", "peak_z_score"} <= set(features[name]["data"])
    assert features[f"sta_{name}"]["data"].shape == (10, 5, 5)
    assert extracted(path, [name]).features_skipped == [name]


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
