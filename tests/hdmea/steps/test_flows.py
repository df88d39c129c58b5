"""Flows: steps in JSON files, run on one recording."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hdmea.features import compute_sta, extract_soma_geometry
from hdmea.io import add_section_time_analog, section_spike_times
from hdmea.pipeline import (
    FlowResult,
    PipelineSession,
    add_section_time,
    extract_features,
    get_flow_info,
    list_available_flows,
    load_recording_with_eimage_sta,
    run_flow,
)
from hdmea.session.validate_layout import check_recording
from hdmea.simulate import SimulatedRecording
from hdmea.utils.exceptions import ConfigurationError


def write_flow(directory: Path, name: str, steps: Any) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps({"description": "ours", "steps": steps}), encoding="utf-8")


@pytest.fixture
def spikes_file(tmp_path: Path) -> Path:
    """Two cells' spikes in the retinal-wave layout."""
    path = tmp_path / "wave.h5"
    with h5py.File(path, "w") as file:
        file["spikes"] = np.linspace(0.1, 9.9, 30)
        file["sCount"] = np.array([10, 20], np.int32)
        file["epos"] = np.array([[0.0, 100.0], [0.0, 100.0]])
        file["array"] = "MCS_8x8_100um"
    return path


@pytest.fixture
def flow_dir(tmp_path: Path, small_recording: SimulatedRecording) -> Path:
    """The flow `whole`, its files beside the recording."""
    directory = small_recording.playlist_path.parent
    write_flow(
        directory,
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
    return directory


def test_shipped_flows_are_listed_and_described() -> None:
    names = list_available_flows()

    assert {"load", "electrical_images", "spontaneous"} <= set(names)
    for name in names:
        info = get_flow_info(name)
        assert info["name"] == {"spontaneous": "waves"}.get(name, name)
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


def stages_file(directory: Path, name: str, stages: Any) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps({"description": "staged", "stages": stages}), encoding="utf-8")


def test_flow_may_begin_with_spikes_sorted_elsewhere(tmp_path: Path, spikes_file: Path) -> None:
    windows = {"step": "add_section_windows", "arguments": {"length_s": 1.0}}
    write_flow(tmp_path / "flows", "waves", ["load_spikes", windows, "section_spike_times"])

    result = run_flow("waves", spikes_path=spikes_file, output_dir=tmp_path / "out", config_dir=tmp_path / "flows")

    assert result.success
    session = PipelineSession.load(result.hdf5_path)
    assert session.completed_steps == {"load_spikes", "add_section_windows", "section_spike_times"}


def test_flow_whose_recording_is_not_given_says_what_to_give(tmp_path: Path) -> None:
    write_flow(tmp_path, "waves", ["load_spikes"])

    with pytest.raises(ConfigurationError, match="give path"):
        run_flow("waves", "a.cmcr", config_dir=tmp_path)


def test_flow_in_the_directory_flows_of_the_configs_is_found(
    small_recording: SimulatedRecording, tmp_path: Path
) -> None:
    stages_file(
        tmp_path / "flows",
        "staged",
        {
            "load_recording": {},
            "add_section_windows": {"length_s": 10.0, "name": "ten"},
            "section_spike_times": {"enabled": True, "params": {"movie_names": ["ten"]}},
            "compute_sta": {"enabled": False},
            "extract_features": False,
        },
    )
    (tmp_path / "grey.json").write_text('{"section_kwargs": {}}')  # a stimulus config is not a flow

    assert list_available_flows(tmp_path) == ["staged"]
    assert [step["step"] for step in get_flow_info("staged", tmp_path)["steps"]] == [
        "load_recording",
        "add_section_windows",
        "section_spike_times",
    ]
    result = run_flow("staged", small_recording.cmcr_path, output_dir=tmp_path, config_dir=tmp_path, dataset_id="a")

    assert PipelineSession.load(result.hdf5_path).stimulus["section_time"].keys() == {"ten"}


def test_flow_may_be_given_by_its_path(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    stages_file(tmp_path, "mine", {"load": {"step": "load_recording"}})

    result = run_flow(tmp_path / "mine.json", small_recording.cmcr_path, output_dir=tmp_path, dataset_id="a")

    assert result.success


@pytest.mark.parametrize(
    "content",
    [
        {"stages": {}},
        {"stages": {"load_recording": 3}},
        {"stages": {"load_recording": {"params": []}}},
        {"stages": {"dance": {}}},
        {"stages": {"load_recording": {}, "load_spikes": {}}},
        {"steps": [{"step": "load_recording", "argments": {}}]},
        {"steps": ["load_recording", "section_spike_times"]},
        {"steps": {"load_recording": {}}},
        [],
    ],
)
def test_flow_of_another_form_is_a_configuration_error_that_names_the_file(tmp_path: Path, content: Any) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(content))

    with pytest.raises(ConfigurationError, match=r"bad\.json"):
        get_flow_info("bad", tmp_path)


def test_force_of_a_flow_follows_the_table_and_not_the_names(
    small_recording: SimulatedRecording, flow_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hdmea.steps import sta

    forced: list[bool] = []
    original = sta.compute_sta

    def compute_sta(*args: Any, stimuli_dir: Any = None, force: bool = False, **kwargs: Any) -> Any:
        forced.append(force)
        return original(*args, stimuli_dir=stimuli_dir, force=force, **kwargs)

    monkeypatch.setattr(sta, "compute_sta", compute_sta)
    paths = (small_recording.cmcr_path, small_recording.cmtr_path)
    run_flow("whole", *paths, output_dir=tmp_path, config_dir=flow_dir, force_load=True)
    run_flow("whole", *paths, output_dir=tmp_path, config_dir=flow_dir, force_extract=True)

    assert forced == [False, True]


def test_flow_that_is_no_json_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")

    with pytest.raises(ConfigurationError, match="cannot be read"):
        get_flow_info("bad", tmp_path)


def test_flow_with_a_number_of_thousands_of_digits_is_named(tmp_path: Path) -> None:
    (tmp_path / "long.json").write_text('{"steps": [{"step": "load_recording", "n": 1' + "0" * 5000 + "}]}")
    with pytest.raises(ConfigurationError, match=r"long\.json cannot be read as a flow: .*write it as text"):
        get_flow_info(str(tmp_path / "long.json"))


def test_flow_of_whole_recordings_has_its_steps_in_order() -> None:
    assert [step["step"] for step in get_flow_info("full")["steps"]] == [
        "load_recording_with_eimage_sta",
        "add_section_time",
        "add_section_time_analog",
        "section_spike_times",
        "compute_sta",
        "add_cmtr_unit_info",
        "add_sys_meta_info",
        "extract_soma_geometry",
        "extract_rf_geometry",
        "fit_ln_model",
        "annotate",
        "track_axons",
        "align_electrodes",
        "section_by_direction",
        "extract_features",
    ]


def test_immediate_script_works_on_one_path(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    made = load_recording_with_eimage_sta(
        small_recording.cmcr_path, small_recording.cmtr_path, "script", output_dir=tmp_path, duration_s=1.0
    )
    path = made.hdf5_path
    assert add_section_time(
        path,
        small_recording.playlist_name,
        playlist_file_path=small_recording.playlist_path,
        movie_length_file_path=small_recording.movie_length_path,
    )
    with h5py.File(path) as file:
        light = file["stimulus/light_reference/raw_ch1"][()]
    threshold = float(np.diff(light).max()) * 0.9
    assert add_section_time_analog(path, threshold, plot_duration=0.5, repeat=2)
    assert section_spike_times(path, config_dir=small_recording.config_dir).success
    noise = compute_sta(path, cover_range=(-20, 0), stimuli_dir=small_recording.stimuli_dir).movie_name
    assert extract_soma_geometry(path).units_processed == 3
    assert extract_features(path, ["frif"]).features_extracted == ["frif"]

    with h5py.File(path) as file:
        unit = file["units/unit_001"]
        assert {"eimage_sta", f"sta_{noise}", "frif"} <= set(unit["features"])
        assert unit[f"features/sta_{noise}/data"].shape[0] == 20
        assert "geometry" in unit["features/eimage_sta"]
        assert unit["features/eimage_sta/data"].attrs["n_spikes"] >= 0
        assert {"iprgc_test", noise} <= set(unit["spike_times_sectioned"])
        assert len(unit["spike_times_sectioned/iprgc_test/trials_spike_times"]) == 2
        rows = file["stimulus/section_time/iprgc_test"][()].astype(int)
        assert all(light[row] - light[row - 1] >= threshold for row in rows[:, 0])
    assert check_recording(path) == []


def test_flows_in_the_directory_of_the_variable_are_found_and_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_flow(tmp_path / "flows", "mine", ["load_recording", "add_sys_meta_info"])
    write_flow(tmp_path, "full", ["load_recording"])
    (tmp_path / "step.json").write_text('{"section_kwargs": {"start_frame": 0}, "family": "on_off"}')
    shipped = list_available_flows()
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))

    assert list_available_flows() == sorted([*shipped, "mine"])
    assert [step["step"] for step in get_flow_info("mine")["steps"]] == ["load_recording", "add_sys_meta_info"]
    assert [step["step"] for step in get_flow_info("full")["steps"]] == ["load_recording"]
    with pytest.raises(ConfigurationError, match=r"no flow 'none' in .*full.*mine"):
        get_flow_info("none")
