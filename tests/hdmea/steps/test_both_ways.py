"""The same file both ways.

Deferred-then-saved and immediate give identical trees, for simulated and real recordings.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hdmea.pipeline import PipelineSession, create_session
from hdmea.simulate import SimulatedRecording
from hdmea.steps import run_step
from support.bounds import WHOLE
from support.hdmea_steps import Step, run_deferred, run_immediate, simulated_steps, window_steps
from support.hdmea_trees import assert_same_files, assert_same_trees, assert_same_values


def test_simulated_recording_gives_the_same_file_both_ways(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    steps = simulated_steps(small_recording)

    immediate = run_immediate(steps, tmp_path / "immediate")
    deferred = run_deferred(steps, tmp_path / "deferred").save()

    assert_same_files(immediate, deferred)


@pytest.mark.parametrize("size", [0, 1 << 14])  # 1 << 14: all groups and arrays of up to 32 bytes are read at once
def test_file_too_large_to_be_read_whole_becomes_the_same(
    small_recording: SimulatedRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    steps = simulated_steps(small_recording)
    read_whole = run_immediate(steps, tmp_path / "read whole")

    monkeypatch.setattr(run_step, "READ_WHOLE_BYTES", size)
    read_lazily = run_immediate(steps, tmp_path / "read lazily")

    assert_same_files(read_lazily, read_whole)


def test_immediate_file_loads_as_the_session_that_the_deferred_way_ends_with(
    small_recording: SimulatedRecording, tmp_path: Path
) -> None:
    steps = simulated_steps(small_recording)
    session = run_deferred(steps, tmp_path / "deferred")

    loaded = PipelineSession.load(run_immediate(steps, tmp_path / "immediate"))

    assert loaded.is_saved
    assert loaded.completed_steps == session.completed_steps
    assert loaded.warnings == session.warnings
    for name in ("metadata", "stimulus", "source_files"):
        assert_same_values(getattr(loaded, name), getattr(session, name), name)
    assert_same_values(_without_times(loaded.units), _without_times(session.units), "units")


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(item) for key, item in value.items() if key not in ("created_at", "extracted_at")}
    return value


def test_every_step_gives_the_same_file_both_ways(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    steps = simulated_steps(small_recording)
    for count in range(1, len(steps)):
        immediate = run_immediate(steps[:count], tmp_path / f"immediate {count}")
        deferred = run_deferred(steps[:count], tmp_path / f"deferred {count}").save()
        assert_same_files(immediate, deferred)


def recordings(test_data: Path) -> list[Path]:
    found = sorted((test_data / "retina_mea").glob("*.h5"))
    assert len(found) == 10
    return found


@pytest.mark.parametrize("index", range(10) if WHOLE else (0, 3, 9))
def test_real_recording_goes_through_the_pipeline_both_ways(test_data: Path, tmp_path: Path, index: int) -> None:
    steps = window_steps(recordings(test_data)[index])

    immediate = run_immediate(steps, tmp_path / "immediate")
    session = run_deferred(steps, tmp_path / "deferred")

    deferred = session.save()
    assert_same_trees(immediate, deferred)
    if index == 0:
        assert_same_files(immediate, deferred)
    assert session.unit_count >= 224
    unit = session.units["unit_001"]
    assert unit["row"] >= 1
    assert unit["col"] >= 1
    assert set(unit["unit_meta"]) == {"name", "x_um", "y_um"}
    assert unit["features"]["baseline_127"]["data"]["spike_count"] >= 0


def touches_no_file(step: Step, session: PipelineSession, watched: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in watched.rglob("*")}
    returned = step.run(session=session)
    assert returned is session
    assert {path: path.stat().st_mtime_ns for path in watched.rglob("*")} == before


def test_step_with_a_session_returns_it_and_touches_no_file(
    small_recording: SimulatedRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    session = create_session("rec", output_dir=tmp_path / "out")

    for step in simulated_steps(small_recording):
        touches_no_file(step, session, tmp_path)
        assert session.is_deferred
        assert step.name in session.completed_steps

    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def made_once(small_recording: SimulatedRecording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_immediate(simulated_steps(small_recording), tmp_path_factory.mktemp("once"))


@pytest.mark.parametrize("lazy", [False, True])
def test_saving_a_loaded_session_gives_the_same_file(made_once: Path, tmp_path: Path, lazy: bool) -> None:
    session = PipelineSession.load(made_once, lazy=lazy)

    assert_same_files(session.save(tmp_path / "again.h5"), made_once)


READS: list[Callable[[PipelineSession], Any]] = [
    lambda session: session.units["unit_001"]["spike_times"][:5].tolist(),
    lambda session: sorted(session.units["unit_002"]["features"]),
    lambda session: session.metadata["acquisition_rate"],
    lambda session: {name: rows.shape for name, rows in session.stimulus["section_time"].items()},
]


@pytest.mark.parametrize("read", READS)
def test_lazily_loaded_session_reads_as_an_eager_one(made_once: Path, read: Callable[[PipelineSession], Any]) -> None:
    assert read(PipelineSession.load(made_once, lazy=True)) == read(PipelineSession.load(made_once))


def test_lazily_loaded_session_outlives_saving_to_its_own_file(made_once: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.h5"
    own.write_bytes(made_once.read_bytes())
    session = PipelineSession.load(own, lazy=True)
    session.add_metadata({"more": 1})

    session.save()

    assert (
        session.units["unit_001"]["spike_times"][0]
        == PipelineSession.load(made_once).units["unit_001"]["spike_times"][0]
    )
    assert PipelineSession.load(own).metadata["more"] == 1
