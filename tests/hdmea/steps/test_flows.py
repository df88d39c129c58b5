"""Flows: steps in JSON files, run on one recording."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from hdmea.pipeline import FlowResult, PipelineSession, get_flow_info, list_available_flows, run_flow
from hdmea.simulate import SimulatedRecording
from hdmea.utils.exceptions import ConfigurationError


def write_flow(folder: Path, name: str, steps: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"description": "ours", "steps": steps}), encoding="utf-8")


@pytest.fixture
def flow_dir(tmp_path: Path, small_recording: SimulatedRecording) -> Path:
    """The flow `whole`, its files beside the recording."""
    folder = small_recording.playlist_path.parent
    write_flow(
        folder,
        "whole",
        [
            {"step": "load_recording"},
            {
                "step": "add_section_time",
                "arguments": {
                    "playlist_name": small_recording.playlist_name,
                    "playlist_file_path": "playlist.csv",
                    "movie_length_file_path": "movie_length.csv",
                },
            },
            {"step": "section_spike_times", "arguments": {"config_dir": "configs"}},
            {"step": "compute_sta", "arguments": {"stimuli_dir": "stimuli"}},
            {"step": "extract_features", "arguments": {"features": ["frif", "baseline_127"]}},
        ],
    )
    return folder


def test_shipped_flows_are_listed_and_described() -> None:
    names = list_available_flows()

    assert {"load", "electrical_images", "spontaneous"} <= set(names)
    for name in names:
        info = get_flow_info(name)
        assert info["name"] == name
        assert info["description"]
        assert info["steps"]


def test_shipped_flow_loads_a_recording(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    result = run_flow("load", small_recording.cmcr_path, small_recording.cmtr_path, "mine", output_dir=tmp_path)

    assert isinstance(result, FlowResult)
    assert result.success
    assert result.hdf5_path == tmp_path / "mine.h5"
    assert result.load_result.num_units == 3
    assert result.extraction_result is None


@pytest.mark.parametrize("name", ["electrical_images", "spontaneous"])
def test_other_shipped_flows_run(small_recording: SimulatedRecording, tmp_path: Path, name: str) -> None:
    result = run_flow(name, small_recording.cmcr_path, small_recording.cmtr_path, output_dir=tmp_path)

    assert result.success
    unit = PipelineSession.load(result.hdf5_path).units["unit_001"]
    assert "eimage_sta" in unit["features"] or "minute" in unit["spike_times_sectioned"]


def test_flow_runs_its_steps_in_order(small_recording: SimulatedRecording, flow_dir: Path, tmp_path: Path) -> None:
    result = run_flow(
        "whole", small_recording.cmcr_path, small_recording.cmtr_path, output_dir=tmp_path, config_dir=flow_dir
    )

    assert result.success
    assert result.extraction_result is not None
    assert result.extraction_result.features_extracted == ["frif", "baseline_127"]
    session = PipelineSession.load(result.hdf5_path)
    assert session.completed_steps == {
        "load_recording",
        "add_section_time",
        "section_spike_times",
        "compute_sta",
        "extract_features",
    }


def test_flow_again_skips_what_was_done(
    small_recording: SimulatedRecording, flow_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = (small_recording.cmcr_path, small_recording.cmtr_path)
    first = run_flow("whole", *paths, output_dir=tmp_path, config_dir=flow_dir)
    before = first.hdf5_path.read_bytes()

    with caplog.at_level(logging.WARNING, "hdmea"):
        again = run_flow("whole", *paths, output_dir=tmp_path, config_dir=flow_dir)

    assert again.success
    assert again.extraction_result is not None
    assert again.extraction_result.features_skipped == ["frif", "baseline_127"]
    assert "skipped" in caplog.text
    assert first.hdf5_path.read_bytes() == before


def test_flow_with_force_does_everything_anew(
    small_recording: SimulatedRecording, flow_dir: Path, tmp_path: Path
) -> None:
    paths = (small_recording.cmcr_path, small_recording.cmtr_path)
    run_flow("whole", *paths, output_dir=tmp_path, config_dir=flow_dir)

    extract = run_flow("whole", *paths, output_dir=tmp_path, config_dir=flow_dir, force_extract=True)
    load = run_flow("whole", *paths, output_dir=tmp_path, config_dir=flow_dir, force_load=True)

    for result in (extract, load):
        assert result.extraction_result is not None
        assert result.extraction_result.features_extracted == ["frif", "baseline_127"]


def test_flow_with_a_feature_that_fails_is_no_success(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    steps = [{"step": "load_recording"}, {"step": "extract_features", "arguments": {"features": ["baseline_127"]}}]
    write_flow(tmp_path / "flows", "failing", steps)

    result = run_flow(
        "failing",
        small_recording.cmcr_path,
        small_recording.cmtr_path,
        output_dir=tmp_path,
        config_dir=tmp_path / "flows",
    )

    assert not result.success
    assert result.extraction_result is not None
    assert result.extraction_result.features_failed == ["baseline_127"]


def test_unknown_flow_is_a_configuration_error_that_lists_what_there_is() -> None:
    with pytest.raises(ConfigurationError, match=r"electrical_images.*load.*spontaneous"):
        run_flow("nope", "x.cmcr")


@pytest.mark.parametrize(
    "steps",
    [
        None,
        [],
        [{"step": "compute_sta"}],
        [{"step": "load_recording"}, {"step": "os.system"}],
        [{"step": "load_recording", "arguments": {"session": 1}}],
        [{"step": "load_recording"}, {"step": "compute_sta", "arguments": {"no_such": 1}}],
        [{"step": "load_recording"}, "compute_sta"],
        [{"step": "load_recording"}, {"step": "compute_sta", "arguments": []}],
    ],
)
def test_malformed_flow_is_a_configuration_error_before_anything_runs(
    small_recording: SimulatedRecording, tmp_path: Path, steps: Any
) -> None:
    write_flow(tmp_path / "flows", "bad", steps)

    with pytest.raises(ConfigurationError):
        run_flow("bad", small_recording.cmcr_path, output_dir=tmp_path / "out", config_dir=tmp_path / "flows")

    assert not (tmp_path / "out").exists()


def test_flow_that_is_no_json_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")

    with pytest.raises(ConfigurationError, match="cannot be read"):
        get_flow_info("bad", tmp_path)
