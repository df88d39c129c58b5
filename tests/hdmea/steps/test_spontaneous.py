"""The steps of spontaneous activity: on simulated arrays, on files of every kind, in both modes, and as a flow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from hdmea.pipeline import (
    PipelineSession,
    create_session,
    find_waves,
    get_flow_info,
    load_spikes,
    measure_bursts,
    measure_synchrony,
    run_flow,
)
from hdmea.spontaneous import find_waves_in, sttc, waves_of
from hdmea.utils.exceptions import ConfigurationError, MissingInputError
from support import simulated_waves as made

STEPS = (measure_bursts, measure_synchrony, find_waves)


@pytest.fixture(scope="module")
def simulated() -> made.Simulated:
    return made.simulate_waves(made.array_60(), 900.0, 4)


@pytest.fixture
def wave_file(simulated, tmp_path) -> Path:
    return made.write_wave_file(tmp_path / "P9.h5", simulated.trains_s, simulated.positions_um, 900.0, age=9)


def test_steps_find_what_is_there(simulated, wave_file):
    session = load_spikes(wave_file, session=create_session("P9"))
    for step in STEPS:
        assert step(session=session) is session
    score = made.Score.of(simulated, find_waves_in(simulated.trains_s, simulated.positions_um, duration_s=900))
    waves = waves_of(session)
    assert len(waves) == score.true == score.found
    for wave, true in zip(waves, simulated.waves, strict=True):
        numbers = {int(name.removeprefix("unit_")) - 1 for name in wave.units}
        assert len(numbers & set(true.units.tolist())) >= 0.8 * len(true.units)
        assert wave.start_s == pytest.approx(true.start_s, abs=4)  # a lone burst beside it may have come before
    samples = [np.asarray(unit["spike_times"]) for unit in session.units.values()]
    wanted = sttc(samples, sampling_frequency=20_000, stop=900 * 20_000)
    np.testing.assert_allclose(session.metadata["synchrony"]["sttc"], wanted, atol=1e-6)
    profile = session.metadata["synchrony"]["sttc_over_distance"]
    near = profile["pairs"] > 50
    assert (profile["mean"] > profile["null_high"])[near].all()
    bursts = session.units["unit_030"]["features"]["bursts"]["data"]
    took_part = sum(29 in true.units for true in simulated.waves)
    assert bursts["burst_count"] >= took_part
    assert len(bursts["start_s"]) == bursts["burst_count"]


def test_both_modes_leave_the_same(wave_file, tmp_path):
    deferred = load_spikes(wave_file, session=create_session("P9", output_dir=tmp_path / "a"))
    path = load_spikes(wave_file, output_dir=tmp_path / "b").hdf5_path
    for step in STEPS:
        step(session=deferred)
        assert step(path).units_processed == 60
    found, saved = PipelineSession.load(path), PipelineSession.load(deferred.save())
    for name in ("waves", "synchrony"):
        _same(found.metadata[name], saved.metadata[name])
    _same(found.units["unit_001"]["features"], saved.units["unit_001"]["features"])
    for step in STEPS:
        assert step(path).units_processed == 0  # done before
        assert step(path, force=True).units_processed == 60
    assert [one.start_s for one in waves_of(PipelineSession.load(path))] == [one.start_s for one in waves_of(saved)]


def _same(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            _same(one[name], other[name])
    else:
        np.testing.assert_array_equal(one, other)


def test_the_flow_runs_on_a_file_with_the_least_there_can_be(simulated, tmp_path):
    made.write_wave_file(tmp_path / "least.h5", simulated.trains_s[:12], None, None)
    result = run_flow("waves", spikes_path=tmp_path / "least.h5", output_dir=tmp_path / "out")
    session = PipelineSession.load(result.hdf5_path)
    assert result.success
    assert any("no unit has a place" in warning for warning in session.warnings)
    assert all(np.isnan(wave.speed_um_s) for wave in waves_of(session))
    assert "sttc_over_distance" not in session.metadata["synchrony"]


def test_a_recording_without_spikes_or_with_silent_units_is_measured(tmp_path):
    silent = made.write_wave_file(tmp_path / "silent.h5", [np.empty(0)] * 6, made.grid(3, 2, 100.0), 60.0)
    session = load_spikes(silent, session=create_session("silent"))
    for step in STEPS:
        step(session=session)
    assert waves_of(session) == []
    again = PipelineSession.load(session.save(tmp_path / "saved.h5"))
    assert waves_of(again) == []
    assert np.isnan(again.metadata["synchrony"]["sttc"]).all()
    assert np.isnan(again.metadata["waves"]["measures"]["wave_spike_share"])


def test_the_earlier_name_of_the_flow_is_the_same_flow():
    assert get_flow_info("spontaneous") == get_flow_info("waves")
    assert [one["step"] for one in get_flow_info("waves")["steps"]][-3:] == [
        "measure_bursts",
        "measure_synchrony",
        "find_waves",
    ]


def test_commands_run_the_flow(simulated, wave_file, tmp_path):
    done = _hdmea("run", "--spikes", wave_file, "--flow", "waves", "-o", tmp_path / "out", "--json")
    summary = json.loads(done)
    assert {"measure_bursts", "measure_synchrony", "find_waves"} <= set(summary["steps"])
    assert len(waves_of(PipelineSession.load(Path(summary["file"])))) == len(simulated.waves)
    (tmp_path / "recordings.csv").write_text(f"spikes\n{wave_file}\n", encoding="utf-8")
    options = ["--set", 'find_waves.options={"min_units": 20}', "--jobs", "1"]
    _hdmea("batch", tmp_path / "recordings.csv", "--flow", "waves", "-o", tmp_path / "all", *options)
    assert min(len(one.units) for one in waves_of(PipelineSession.load(tmp_path / "all" / "P9.h5"))) >= 20


def _hdmea(*arguments) -> str:
    command = [sys.executable, "-m", "hdmea", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("step", "wrong"),
    [
        (measure_bursts, {"options": {"spikes": 3}}),
        (measure_bursts, {"options": {"method": "none"}}),
        (find_waves, {"options": {"min_spikes": "three"}}),
        (find_waves, {"options": 3}),
        (measure_synchrony, {"dt_s": 0.0}),
        (measure_synchrony, {"edges_um": [3.0, 1.0]}),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(step, wrong, wave_file):
    session = load_spikes(wave_file, session=create_session("P9"))
    with pytest.raises(ConfigurationError, match=step.__name__):
        step(**wrong, session=session)
    assert "synchrony" not in session.metadata
    assert "waves" not in session.metadata


def test_what_is_missing_is_named():
    empty = create_session("none")
    for step in STEPS:
        with pytest.raises(MissingInputError, match="units"):
            step(session=empty)
    with pytest.raises(MissingInputError, match="run find_waves first"):
        waves_of(empty)


DATA = os.environ.get("H5BURST_TEST_DATA", "")


@pytest.mark.skipif(not DATA, reason="H5BURST_TEST_DATA names no directory with retina_mea/")
def test_public_recordings_are_what_their_files_say_and_have_waves(tmp_path):
    """Two, or all ten of Maccione et al. 2014: facts of the file, and figures that such a recording can have."""
    files = sorted((Path(DATA) / "retina_mea").glob("*.h5"))
    assert len(files) == 10
    for file in files[:: 1 if os.environ.get("H5BURST_WHOLE") else 9]:
        few = {"measure_synchrony": {"shifts": 4}}
        result = run_flow("waves", spikes_path=file, output_dir=tmp_path, parameters=few)
        session = PipelineSession.load(result.hdf5_path)
        with h5py.File(file) as source:
            assert session.unit_count == int(source["summary/N"][0])
            assert session.duration_s() == float(source["summary/duration"][0])
            rates = [len(unit["spike_times"]) / session.duration_s() for unit in session.units.values()]
            np.testing.assert_allclose(rates, source["summary/frate"][...], rtol=1e-4)
        measures = session.metadata["waves"]["measures"]
        assert measures["wave_count"] > 20
        assert 50 < measures["wave_speed_um_s"] < 400
        profile = session.metadata["synchrony"]["sttc_over_distance"]
        assert profile["mean"][0] > profile["null_high"][0] + 0.05
        assert profile["decay_um"] > 3 * profile["decay_se_um"] > 0


@pytest.mark.skipif(not DATA, reason="H5BURST_TEST_DATA names no directory with mcs/")
def test_the_flow_runs_on_a_file_of_the_vendor(tmp_path):
    """19.7 s of eight electrodes without places: no wave, and a warning that there can be no speed."""
    (file,) = (Path(DATA) / "mcs").glob("*.h5")
    short = {"add_section_windows": {"length_s": 5.0}}
    session = PipelineSession.load(run_flow("waves", spikes_path=file, output_dir=tmp_path, parameters=short).hdf5_path)
    assert {"measure_bursts", "measure_synchrony", "find_waves"} <= session.completed_steps
    assert session.metadata["synchrony"]["sttc"].shape == (8, 8)
    assert any("no unit has a place" in warning for warning in session.warnings)
