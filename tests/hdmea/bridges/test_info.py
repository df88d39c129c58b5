"""`hdmea info`: what it says of a recording is what is in the file."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from h5burst.console import run as run_command
from hdmea.cli import app
from hdmea.pipeline import create_session
from hdmea.simulate import SimulatedRecording


def hdmea(*words: object) -> int:
    return run_command(app, [str(word) for word in words])


def test_json_holds_the_figures_of_the_file(
    simulated: Path, small_recording: SimulatedRecording, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hdmea("info", simulated, "--json") == 0

    (said,) = json.loads(capsys.readouterr().out)
    with h5py.File(simulated) as file:
        spikes = sum(len(unit["spike_times"]) for unit in file["units"].values())
        features = {name for unit in file["units"].values() for name in unit["features"]}
    assert said["units"]["count"] == 3
    assert said["units"]["spikes"] == spikes
    assert said["features"].keys() == features
    assert said["features"]["baseline_127"]["units"] == 3
    assert said["sections"].keys() == set(small_recording.movies)
    assert said["sections"]["step_up_5s_5i_b0_3x"] == {"presentations": 1, "trials": 3, "units": 3}
    assert said["duration_s"] == pytest.approx(small_recording.duration_s)
    assert said["acquisition_rate_hz"] == small_recording.sampling_rate
    assert said["bytes"] == simulated.stat().st_size
    assert said["not_run"]["fit_ln_model"] == ["sta_geometry/lnl"]
    assert said["missing"] == []
    assert not said["not_run"].keys() & {"section_spike_times", *said["steps"], "load_spikes"}


def test_text_names_units_sections_features_and_what_is_missing(
    simulated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hdmea("info", simulated) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{simulated}: simulated"
    assert any(line.startswith("  units     3, ") for line in lines)
    assert any(line.startswith("  section   baseline_127: 1 presentation, ") for line in lines)
    assert any(line.startswith("  feature   eimage_sta: 3 units") for line in lines)
    (not_run,) = (line for line in lines if line.startswith("  not run   "))
    assert {"track_axons", "fit_ln_model"} <= set(not_run.split(" (")[0].removeprefix("  not run   ").split(", "))
    assert not any("missing" in line for line in lines)


def test_missing_parts_are_counted_by_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = create_session("bare", output_dir=tmp_path)
    session.add_units({"unit_001": {"spike_times": np.arange(3, dtype=np.uint64)}, "unit_002": {}})
    session.add_feature("unit_001", "mine", {"a": 1})
    path = session.save()

    assert hdmea("info", path, "--json") == 0

    (said,) = json.loads(capsys.readouterr().out)
    loading = "load_recording, load_recording_with_eimage_sta or load_spikes"
    assert said["missing"] == [
        f"the acquisition rate (made by {loading})",
        "frame timestamps (made by load_recording or load_recording_with_eimage_sta)",
        "sections of the stimulus (made by add_section_time, add_section_windows or add_section_time_analog)",
        "the feature mine in 1 of 2 units (made by extract_features)",
    ]
    assert {"load_recording", "load_spikes", "compute_sta"} <= said["not_run"].keys()
    assert said["units"] == {"count": 2, "spikes": 3, "without_spikes": 1, "with_place": 0, "with_waveform": 0}
    assert said["duration_s"] is None


def test_what_is_not_a_recording_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.h5").write_bytes(b"not HDF5")

    assert hdmea("info", tmp_path / "a.h5") == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert hdmea("info", tmp_path / "none.h5") == 2


def test_a_directory_stands_for_the_recordings_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    for name in ("b", "a"):
        session = create_session(name, output_dir=results)
        session.add_units({"unit_001": {"spike_times": np.arange(3, dtype=np.uint64)}})
        session.save()
    (tmp_path / "none").mkdir()

    assert hdmea("info", results, "--json") == 0
    assert [one["dataset_id"] for one in json.loads(capsys.readouterr().out)] == ["a", "b"]
    assert hdmea("verify", results, "--json") == 1  # no electrodes
    assert [Path(one["file"]).name for one in json.loads(capsys.readouterr().out)] == ["a.h5", "b.h5"]
    assert hdmea("table", results, "-o", tmp_path / "t.csv") == 0
    assert [line.split(",")[0] for line in (tmp_path / "t.csv").read_text().splitlines()] == ["recording", "a", "b"]
    capsys.readouterr()
    for words in (("info", tmp_path / "none"), ("table", tmp_path / "none", "-o", tmp_path / "n.csv")):
        assert hdmea(*words) == 2
        assert f"{tmp_path / 'none'} is a directory without recordings (.h5)" in capsys.readouterr().err
