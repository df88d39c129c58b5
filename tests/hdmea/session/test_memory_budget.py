"""Sessions within a memory budget: the same files and values as without, and nothing left behind."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from h5burst.memory.scratch import SUFFIX, ScratchLostError
from h5burst.memory.spill import min_budget
from hdmea.pipeline import PipelineSession, create_session
from hdmea.simulate import SimulatedRecording
from support.docs_examples import run_examples
from support.hdmea_steps import DATASET_ID, run_deferred, simulated_steps
from support.hdmea_trees import assert_same_files, assert_same_values

MIB = 1 << 20


def scratch_files(directory: Path) -> list[Path]:
    return sorted(directory.rglob(f"*{SUFFIX}"))


def run_within(recording: SimulatedRecording, directory: Path, budget: int | str) -> PipelineSession:
    session = create_session(DATASET_ID, output_dir=directory, memory_budget=budget)
    for step in simulated_steps(recording, images=False):
        step.run(session=session)
    return session


@pytest.fixture(scope="module")
def without_budget(small_recording: SimulatedRecording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole")
    return run_deferred(simulated_steps(small_recording, images=False), directory).save()


@pytest.mark.parametrize("budget", [None, "12MiB", "1GiB"])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_any_budget_gives_the_same_file(
    small_recording: SimulatedRecording,
    without_budget: Path,
    tmp_path: Path,
    budget: str | None,
    compression: str | None,
) -> None:
    session = run_within(small_recording, tmp_path, budget or min_budget())
    assert (session.memory_spilled_gb > 0) == (budget != "1GiB")
    assert bool(scratch_files(tmp_path)) == (budget != "1GiB")
    path = session.save(compression=compression)
    assert not scratch_files(tmp_path)
    assert_same_files(path, without_budget)
    whole = PipelineSession.load(without_budget)
    for name, trace in whole.stimulus["light_reference"].items():
        assert_same_values(np.asarray(session.stimulus["light_reference"][name]), trace)


def test_arrays_stay_within_the_budget_and_the_parts_add_up(
    small_recording: SimulatedRecording, tmp_path: Path
) -> None:
    session = run_within(small_recording, tmp_path, "8MiB")
    assert session.memory_resident_gb <= 8 * MIB / 1e9
    assert session.memory_resident_gb + session.memory_spilled_gb == pytest.approx(session.memory_estimate_gb, rel=1e-6)
    session.close()


def test_electrical_images_within_a_budget(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    whole = run_deferred(simulated_steps(small_recording)[:1], tmp_path / "whole")
    session = create_session(DATASET_ID, output_dir=tmp_path / "part", memory_budget="16MiB")
    simulated_steps(small_recording)[0].run(session=session)
    for unit_id, unit in whole.units.items():
        image = unit["features"]["eimage_sta"]["data"]
        other = np.asarray(session.units[unit_id]["features"]["eimage_sta"]["data"])
        assert np.abs(other - image).max() <= 1e-5 * np.abs(image).max()
    session.close()


def test_a_saved_session_goes_on(small_recording: SimulatedRecording, without_budget: Path, tmp_path: Path) -> None:
    session = create_session(DATASET_ID, output_dir=tmp_path, memory_budget="8MiB")
    for step in simulated_steps(small_recording, images=False):
        step.run(session=session)
        session.save()
        assert not scratch_files(tmp_path)
    assert_same_files(session.save(), without_budget)


def test_a_checkpoint_leaves_the_session_as_it_is_and_resumes(
    small_recording: SimulatedRecording, without_budget: Path, tmp_path: Path
) -> None:
    steps = simulated_steps(small_recording, images=False)
    session = create_session(DATASET_ID, output_dir=tmp_path, memory_budget="8MiB")
    for index, step in enumerate(steps):
        step.run(session=session)
        before = scratch_files(tmp_path)
        checkpoint = session.checkpoint(tmp_path / f"{index}.h5")
        assert scratch_files(tmp_path) == before
        resumed = PipelineSession.load(checkpoint, memory_budget="8MiB")
        resumed.output_dir = tmp_path / str(index)
        for rest in steps[index + 1 :]:
            rest.run(session=resumed)
        assert_same_files(resumed.save(), without_budget)
    session.close()


def test_a_file_larger_than_the_budget_is_read_lazily(without_budget: Path) -> None:
    session = PipelineSession.load(without_budget, memory_budget="8MiB")
    assert session.memory_resident_gb <= 8 * MIB / 1e9
    assert_same_values(
        np.asarray(session.stimulus["light_reference"]["raw_ch1"]),
        PipelineSession.load(without_budget).stimulus["light_reference"]["raw_ch1"],
    )


def test_a_save_that_fails_leaves_session_and_scratch(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    session = run_within(small_recording, tmp_path, "8MiB")
    (tmp_path / f"{DATASET_ID}.h5").mkdir()
    with pytest.raises(OSError, match=DATASET_ID):
        session.save(overwrite=True)
    assert session.is_deferred
    (tmp_path / f"{DATASET_ID}.h5").rmdir()
    assert session.save().exists()


def test_scratch_that_was_deleted_is_an_error_and_the_session_can_still_be_saved(
    small_recording: SimulatedRecording, without_budget: Path, tmp_path: Path
) -> None:
    session = run_within(small_recording, tmp_path, "8MiB")
    for path in scratch_files(tmp_path):
        path.unlink()
    with pytest.raises(ScratchLostError, match="deleted"):
        session.add_metadata({"large": np.zeros(4 * MIB)})
    del session.metadata["large"]
    assert_same_files(session.save(), without_budget)


def test_scratch_goes_to_the_directory_that_the_environment_names(
    small_recording: SimulatedRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("H5BURST_SCRATCH", str(tmp_path / "fast"))
    session = run_within(small_recording, tmp_path / "out", "8MiB")
    assert scratch_files(tmp_path / "fast")
    assert not (tmp_path / "out").exists()
    session.save()
    assert not scratch_files(tmp_path)


def test_a_scratch_directory_that_cannot_be_written_is_a_clear_error(
    small_recording: SimulatedRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("H5BURST_SCRATCH", str(tmp_path / "file"))
    with pytest.raises(OSError, match="scratch"):
        run_within(small_recording, tmp_path / "out", "8MiB")


def test_two_sessions_on_one_dataset_do_not_meet(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    one = run_within(small_recording, tmp_path, "8MiB")
    other = run_within(small_recording, tmp_path, "8MiB")
    assert len(scratch_files(tmp_path)) == 2
    other.close()
    assert len(scratch_files(tmp_path)) == 1
    assert np.asarray(one.stimulus["light_reference"]["raw_ch1"]).size
    one.save()


def test_the_scratch_of_a_killed_process_is_removed_by_the_next_session(
    small_recording: SimulatedRecording, tmp_path: Path
) -> None:
    code = (
        "import os, signal, numpy as np; from hdmea.pipeline import create_session\n"
        f"s = create_session({DATASET_ID!r}, output_dir={str(tmp_path)!r}, memory_budget='8MiB')\n"
        "s.add_metadata({'x': np.zeros(4 << 20)}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = scratch_files(tmp_path)
    session = run_within(small_recording, tmp_path, "8MiB")
    assert left not in scratch_files(tmp_path)
    session.close()
    assert not scratch_files(tmp_path)


def test_the_context_manager_saves_nothing_but_cleans_up_and_warns(
    small_recording: SimulatedRecording, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), run_within(small_recording, tmp_path, "8MiB"):
        assert scratch_files(tmp_path)
    assert "not saved" in caplog.text
    assert not list(tmp_path.iterdir())
    caplog.clear()
    with caplog.at_level(logging.WARNING), run_within(small_recording, tmp_path, "8MiB") as session:
        session.save()
    assert "not saved" not in caplog.text


def test_the_environment_sets_the_budget(
    small_recording: SimulatedRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("H5BURST_MEMORY_BUDGET", "8MiB")
    session = run_deferred(simulated_steps(small_recording, images=False), tmp_path)
    assert session.memory_spilled_gb > 0
    session.close()


def test_a_budget_smaller_than_a_block_says_the_least_that_works() -> None:
    with pytest.raises(ValueError, match=str(min_budget())):
        create_session("x", memory_budget=1000)


class Ramp:
    """A source of 16 MB."""

    shape, dtype = (4 * MIB,), np.dtype(np.float32)

    def read(self, start: int, stop: int) -> np.ndarray:
        return np.arange(start, stop, dtype=np.float32)


@pytest.mark.parametrize(("budget", "spilled_gb"), [("12MiB", 4 * 4 * MIB / 1e9), ("1GiB", 0.0)])
def test_a_stream_goes_where_it_fits(tmp_path: Path, budget: str, spilled_gb: float) -> None:
    session = create_session("x", output_dir=tmp_path, memory_budget=budget)
    ramp = session.stream(Ramp())
    assert (ramp.shape, ramp.dtype, ramp.ndim, ramp.size) == ((4 * MIB,), np.float32, 1, 4 * MIB)
    assert not hasattr(ramp, "name")  # an array, wherever it is, and not a dataset
    session.add_metadata({"ramp": ramp})
    assert session.memory_spilled_gb == pytest.approx(spilled_gb)
    path = session.save(compression="gzip")
    assert np.array_equal(PipelineSession.load(path).metadata["ramp"], Ramp().read(0, 4 * MIB))


def test_examples_of_the_page(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "memory.md"
    assert "of which 0.064 GB in the scratch file" in run_examples(page, tmp_path)
