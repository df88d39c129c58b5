"""Checkpoint after each step, load, finish: the final file equals the uninterrupted one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdmea.pipeline import PipelineSession
from hdmea.simulate import SimulatedRecording
from support.hdmea_steps import run_deferred, run_immediate, simulated_steps
from support.hdmea_trees import assert_same_files

STEPS = 5


@pytest.fixture(scope="module")
def uninterrupted(small_recording: SimulatedRecording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    steps = simulated_steps(small_recording)
    assert len(steps) == STEPS
    return run_deferred(steps, tmp_path_factory.mktemp("whole")).save()


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("done", range(1, STEPS + 1))
def test_session_that_was_checkpointed_and_loaded_ends_with_the_same_file(
    small_recording: SimulatedRecording, uninterrupted: Path, tmp_path: Path, done: int, lazy: bool
) -> None:
    steps = simulated_steps(small_recording)
    checkpoint = run_deferred(steps[:done], tmp_path).checkpoint(tmp_path / "c.h5", checkpoint_name=f"step {done}")

    session = PipelineSession.load(checkpoint, lazy=lazy)
    for step in steps[done:]:
        step.run(session=session)

    assert session.is_deferred == (done < STEPS)
    assert_same_files(session.save(tmp_path / "final.h5"), uninterrupted)


def test_session_that_was_checkpointed_after_every_step_ends_with_the_same_file(
    small_recording: SimulatedRecording, uninterrupted: Path, tmp_path: Path
) -> None:
    first, *others = simulated_steps(small_recording)
    session = run_deferred([first], tmp_path)
    for step in others:
        session = PipelineSession.load(session.checkpoint(tmp_path / "c.h5"))
        step.run(session=session)

    assert_same_files(session.save(tmp_path / "final.h5"), uninterrupted)


def test_session_goes_on_after_its_checkpoint_as_if_there_had_been_none(
    small_recording: SimulatedRecording, uninterrupted: Path, tmp_path: Path
) -> None:
    first, *others = simulated_steps(small_recording)
    session = run_deferred([first], tmp_path)
    for step in others:
        session.checkpoint(tmp_path / "c.h5")
        step.run(session=session)

    assert_same_files(session.save(), uninterrupted)


@pytest.mark.parametrize("done", range(1, STEPS))
def test_file_of_immediate_steps_is_finished_as_a_session(
    small_recording: SimulatedRecording, uninterrupted: Path, tmp_path: Path, done: int
) -> None:
    steps = simulated_steps(small_recording)
    session = PipelineSession.load(run_immediate(steps[:done], tmp_path))
    for step in steps[done:]:
        step.run(session=session)

    assert_same_files(session.save(), uninterrupted)


@pytest.mark.parametrize("done", range(1, STEPS))
def test_checkpoint_is_finished_by_immediate_steps(
    small_recording: SimulatedRecording, uninterrupted: Path, tmp_path: Path, done: int
) -> None:
    steps = simulated_steps(small_recording)
    path = run_deferred(steps[:done], tmp_path).save()
    for step in steps[done:]:
        step.run(hdf5_path=path)

    assert_same_files(path, uninterrupted)
