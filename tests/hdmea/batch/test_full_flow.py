"""The flow `full` from the vendor's files to the end: immediately and as a batch, crashed and resumed, with gaps."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hdmea.batch.job import JobOptions, Status, run_job
from hdmea.batch.manifest import Recording
from hdmea.batch.run import BatchResult, plan, run_batch
from hdmea.pipeline import PipelineSession, get_flow_info, run_flow
from hdmea.session.validate_layout import check_recording
from hdmea.simulate import SimulatedRecording
from hdmea.steps import axons, flows
from hdmea.steps.step_call import StepCall
from hdmea.utils.exceptions import ConfigurationError, MissingInputError
from support.batch_tools import PATIENCE_S, statuses
from support.full_flow import BAR, NEED_NOISE, NOISE, STEP, UNITS, parameters_of, simulated
from support.hdmea_trees import assert_same_files

CRASH = """
import json, os, sys
from pathlib import Path
from hdmea.batch.manifest import Recording
from hdmea.batch.job import JobOptions, run_job
from hdmea.batch.run import plan

row, parameters, out, at = json.loads(sys.argv[1])
recording = Recording("small", Path(row["cmcr"]), Path(row["cmtr"]), playlist=row["playlist"])
options = JobOptions(checkpoint_steps=True)
(job,) = plan([recording], Path(out), flow="full", parameters=parameters, options=options)
run_job(job, report=lambda dataset_id, step: os._exit(9) if step == at else None)
"""


def immediately(recording: SimulatedRecording, directory: Path) -> Any:
    parameters = parameters_of(recording)
    parameters["add_section_time"]["playlist_name"] = recording.playlist_name
    return run_flow(
        "full", recording.cmcr_path, recording.cmtr_path, "small", output_dir=directory, parameters=parameters
    )


def as_batch(recording: SimulatedRecording, directory: Path) -> BatchResult:
    row = Recording("small", recording.cmcr_path, recording.cmtr_path, playlist=recording.playlist_name)
    return run_batch([row], directory, flow="full", parameters=parameters_of(recording), progress=False)


@pytest.fixture(scope="module")
def recording(full_recording: SimulatedRecording) -> SimulatedRecording:
    return full_recording


@pytest.fixture(scope="module")
def whole(recording: SimulatedRecording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the flow, run immediately and without interruption."""
    result = immediately(recording, tmp_path_factory.mktemp("whole"))
    assert result.success
    assert result.warnings == []
    return Path(result.hdf5_path)


def check_figures(result: BatchResult, path: Path) -> None:
    """The table's row against the values in the file, looked up there one by one."""
    (row,) = csv.DictReader(result.figures_path.read_text(encoding="utf-8").splitlines())
    with h5py.File(path) as file:
        features = [file[f"units/{unit}/features"] for unit in UNITS]
        fields = sum(bool(own[f"sta_{NOISE}/sta_geometry/significant"][()]) for own in features)
        axons_seen = sum(bool(own["ap_tracking/ap_pathway/axon_seen"][()]) for own in features)
        selective = sum(bool(own[BAR].attrs["q_value"] < 0.05) for own in features)
        valid = bool(file["metadata/electrode_alignment/valid"][()])
        head = file["metadata/ap_tracking/all_ap_intersection/status"].asstr()[()]
    counts = [row[name] for name in ("units", "significant_fields", "axons_seen", "direction_selective")]
    assert counts == [str(len(UNITS)), str(fields), str(axons_seen), str(selective)]
    assert fields > 0
    assert (row["dataset_id"], row["status"], row["alignment_valid"]) == ("small", "done", str(valid))
    assert row["nerve_head_status"] == head


def without_batch_group(path: Path, directory: Path) -> Path:
    """A copy of a batch's file without the recipe that only a batch writes."""
    session = PipelineSession.load(path)
    assert session.extra_nodes.pop("batch").attrs["recipe"]
    return Path(session.save(directory / "compared.h5"))


def test_batch_gives_the_file_of_immediate_steps(recording: SimulatedRecording, whole: Path, tmp_path: Path) -> None:
    result = as_batch(recording, tmp_path)

    assert statuses(result) == ["done"], result.outcomes
    check_figures(result, whole)
    again = as_batch(recording, tmp_path)
    assert statuses(again) == ["skipped"]
    assert again.outcomes[0].figures == result.outcomes[0].figures
    assert check_recording(tmp_path / "small.h5") == check_recording(whole) == []
    assert_same_files(without_batch_group(tmp_path / "small.h5", tmp_path), whole)


def test_every_step_leaves_its_results(recording: SimulatedRecording, whole: Path) -> None:
    session = PipelineSession.load(whole)

    assert list(session.units) == UNITS
    onsets = np.asarray(session.stimulus["section_time"]["iprgc_test"])[:, 0].astype(np.int64)
    assert np.abs(onsets - recording.truth.light_steps[:, 0]).max() <= 20
    assert {"cmcr_meta", "cmtr_meta", "electrode_alignment", "ap_tracking"} <= set(session.metadata)
    for unit in session.units.values():
        features = unit["features"]
        assert {"eimage_sta", f"sta_{NOISE}", "ap_tracking", BAR, "frif"} <= set(features)
        assert "geometry" in features["eimage_sta"]
        assert "lnl" in features[f"sta_{NOISE}"]["sta_geometry"]
        assert set(unit["spike_times_sectioned"]) == {NOISE, BAR, "iprgc_test"}
        assert "peaks_data" in unit["unit_meta"]
    assert sum("direction_section" in unit["spike_times_sectioned"][BAR] for unit in session.units.values()) >= 4


def test_batch_that_dies_in_the_middle_goes_on(recording: SimulatedRecording, whole: Path, tmp_path: Path) -> None:
    row = {"cmcr": str(recording.cmcr_path), "cmtr": str(recording.cmtr_path), "playlist": recording.playlist_name}
    task = json.dumps([row, parameters_of(recording), str(tmp_path), "track_axons"])
    assert subprocess.run([sys.executable, "-c", CRASH, task], timeout=PATIENCE_S, check=False).returncode == 9
    assert not (tmp_path / "small.h5").exists()
    assert (tmp_path / ".small.h5burst-checkpoint").exists()

    result = as_batch(recording, tmp_path)

    assert statuses(result) == ["done"], result.outcomes
    assert set(result.outcomes[0].step_seconds) & {"compute_sta", "fit_ln_model", "track_axons"} == {"track_axons"}
    assert not list(tmp_path.glob(".*"))
    assert_same_files(without_batch_group(tmp_path / "small.h5", tmp_path), whole)


def test_flow_that_fails_in_the_middle_goes_on(
    recording: SimulatedRecording, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*args: Any, **kwargs: Any) -> None:
        raise OSError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(axons, "track_axon", dies)
        with pytest.raises(OSError, match="the power is gone"):
            immediately(recording, tmp_path)

    assert immediately(recording, tmp_path).success
    assert_same_files(tmp_path / "small.h5", whole)


def test_flow_that_ends_before_each_step_goes_on(
    recording: SimulatedRecording, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_step = flows._run
    names = [step["step"] for step in get_flow_info("full")["steps"]][1:]

    def stops_at(name: str) -> Any:
        def run(step: StepCall, *arguments: Any) -> Any:
            if step.name == name:
                raise OSError(f"the power is gone at {name}")
            return run_step(step, *arguments)

        return run

    for name in names:
        monkeypatch.setattr(flows, "_run", stops_at(name))
        with pytest.raises(OSError, match=f"the power is gone at {name}"):
            immediately(recording, tmp_path)
    monkeypatch.setattr(flows, "_run", run_step)
    assert immediately(recording, tmp_path).success
    assert_same_files(tmp_path / "small.h5", whole)


class Crash(BaseException):
    """The end of a process, as far as one test can have it."""


def test_batch_that_ends_before_each_step_goes_on(recording: SimulatedRecording, whole: Path, tmp_path: Path) -> None:
    row = Recording("small", recording.cmcr_path, recording.cmtr_path, playlist=recording.playlist_name)
    recipe: dict[str, Any] = {"flow": "full", "steps": None, "parameters": parameters_of(recording)}
    (job,) = plan([row], tmp_path, options=JobOptions(checkpoint_steps=True), **recipe)
    names = [step.name for step in job.steps]
    begun: list[str] = []

    def run_until(name: str) -> None:
        def report(dataset_id: str, what: str) -> None:
            if what == name:
                raise Crash
            begun.append(what)

        with pytest.raises(Crash):
            run_job(job, report=report)

    for name in [*names[1:], "save"]:
        run_until(name)
    outcome = run_job(job)
    assert outcome.status is Status.DONE, outcome.reason
    assert begun[0] == names[0]
    # What the load did already, and a table that is not given: there is nothing to do, and nothing to note.
    nothing_to_do = {"add_cmtr_unit_info", "add_sys_meta_info", "annotate"}
    assert sorted(name for name in begun if name not in nothing_to_do) == sorted({*names} - nothing_to_do)
    assert_same_files(without_batch_group(tmp_path / "small.h5", tmp_path), whole)


# ---------------------------------------------------------------- recordings that lack something


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> SimulatedRecording:
    """Neither noise nor bar nor light steps after the last frame."""
    return simulated(tmp_path_factory.mktemp("bare"), STEP)


def test_steps_that_lack_their_movie_are_skipped_with_warnings(bare: SimulatedRecording, tmp_path: Path) -> None:
    result = immediately(bare, tmp_path / "flow")
    batch = as_batch(bare, tmp_path / "batch")

    assert result.success
    assert statuses(batch) == ["done"], batch.outcomes
    figures = batch.outcomes[0].figures
    assert [figures[name] for name in ("significant_fields", "direction_selective", "alignment_valid")] == [None] * 3
    skipped = [warning.partition(" is skipped: ")[0] for warning in result.warnings]
    assert sorted(skipped) == sorted([*NEED_NOISE, "section_by_direction"])
    session = PipelineSession.load(result.hdf5_path)
    assert [warning for warning in session.warnings if " is skipped: " in warning] == result.warnings
    assert not set(skipped) & session.completed_steps
    assert {"extract_soma_geometry", "track_axons", "extract_features"} <= session.completed_steps
    assert all(STEP in unit["features"] for unit in session.units.values())
    assert "compute_sta is skipped" in Path(batch.outcomes[0].log_path).read_text(encoding="utf-8")
    assert_same_files(without_batch_group(tmp_path / "batch" / "small.h5", tmp_path), result.hdf5_path)


def test_skipped_steps_are_noted_once(bare: SimulatedRecording, tmp_path: Path) -> None:
    first = immediately(bare, tmp_path)
    before = PipelineSession.load(first.hdf5_path).warnings

    assert immediately(bare, tmp_path).warnings == first.warnings
    assert PipelineSession.load(first.hdf5_path).warnings == before


def test_step_that_is_not_optional_ends_the_flow(bare: SimulatedRecording, tmp_path: Path) -> None:
    flow = tmp_path / "mine.json"
    flow.write_text(json.dumps({"steps": ["load_recording", "add_section_time", "section_spike_times", "compute_sta"]}))
    parameters = parameters_of(bare)
    parameters["add_section_time"]["playlist_name"] = bare.playlist_name
    paths = (bare.cmcr_path, bare.cmtr_path, "mine")

    for error in (MissingInputError, ValueError):
        with pytest.raises(error, match="whose name contains 'noise', and there are none among"):
            run_flow(flow, *paths, output_dir=tmp_path, parameters=parameters)
    parameters["compute_sta"] = {**parameters["compute_sta"], "optional": True}
    assert run_flow(flow, *paths, output_dir=tmp_path, parameters=parameters).success


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"no_such_step": {}}, "no_such_step"),
        ({"compute_sta": {"no_such": 1}}, "no_such"),
        ({"load_recording_with_eimage_sta": {"optional": True}}, "optional"),
    ],
)
def test_parameters_that_do_not_fit_end_the_flow_before_it_starts(
    bare: SimulatedRecording, tmp_path: Path, parameters: dict[str, dict[str, Any]], what: str
) -> None:
    with pytest.raises(ConfigurationError, match=what):
        run_flow("full", bare.cmcr_path, bare.cmtr_path, "small", output_dir=tmp_path, parameters=parameters)
    assert not (tmp_path / "small.h5").exists()
