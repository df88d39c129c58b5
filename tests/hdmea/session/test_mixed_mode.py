"""A session in the place of a path, and sessions beside their files."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdmea.io import add_section_time, add_section_windows, section_spike_times
from hdmea.io.spike_sectioning import SectionResult
from hdmea.pipeline import PipelineSession
from hdmea.simulate import SimulatedRecording
from hdmea.steps.section_windows import WINDOWS
from support.hdmea_recordings import recording, write_config, write_playlist
from support.hdmea_steps import run_deferred, run_immediate, simulated_steps
from support.hdmea_trees import assert_same_files


def test_deferred_session_in_the_place_of_a_path_is_saved_first_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = recording(tmp_path)

    with caplog.at_level(logging.WARNING, "hdmea"):
        assert add_section_windows(session, length_s=2.0) is True

    assert "saving" in caplog.text
    assert session.is_saved
    assert session.hdf5_path == tmp_path / "rec.h5"
    assert "window" in PipelineSession.load(session.hdf5_path).stimulus["section_time"]


def test_session_in_the_place_of_a_path_holds_what_its_file_holds(tmp_path: Path) -> None:
    session = recording(tmp_path)
    add_section_windows(session, length_s=2.0)
    result = section_spike_times(session)

    assert isinstance(result, SectionResult)
    assert session.is_saved
    assert session.stimulus["section_time"]["window"].shape == (10, 2)
    assert session.metadata[WINDOWS]["window"]["length_s"] == 2.0
    own, again = session.hdf5_path, session.save(tmp_path / "again.h5")
    assert own is not None
    assert_same_files(own, again)


def test_saved_session_in_the_place_of_a_path_is_not_saved_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = recording(tmp_path)
    session.save()

    with caplog.at_level(logging.WARNING, "hdmea"):
        add_section_windows(session, length_s=2.0)

    assert not caplog.records


def test_stale_session_is_saved_before_its_file_is_used(tmp_path: Path) -> None:
    session = recording(tmp_path)
    path = session.save()
    session.add_units({"unit_001": {"spike_times": np.array([1, 2, 3], np.uint64)}})
    add_section_windows(session, length_s=2.0)

    section_spike_times(session)

    section = PipelineSession.load(path).units["unit_001"]["spike_times_sectioned"]["window"]
    np.testing.assert_array_equal(section["full_spike_times"], [1, 2, 3])


def test_step_done_already_is_file_exists_with_a_session_in_the_place_of_a_path(tmp_path: Path) -> None:
    session = recording(tmp_path)
    add_section_windows(session, length_s=2.0)

    with pytest.raises(FileExistsError):
        add_section_windows(session, length_s=1.0)

    assert session.is_saved


def test_with_both_the_session_counts(tmp_path: Path) -> None:
    path = recording(tmp_path / "file").save()
    before = path.read_bytes()
    session = recording(tmp_path / "session")

    returned = add_section_windows(path, length_s=2.0, session=session)

    assert returned is session
    assert session.is_deferred
    assert path.read_bytes() == before


def test_with_neither_it_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="hdf5_path or session"):
        add_section_windows(length_s=2.0)


def test_loaded_checkpoint_in_the_place_of_a_path_stays_a_checkpoint(tmp_path: Path) -> None:
    checkpoint = recording(tmp_path).checkpoint(tmp_path / "c.h5", checkpoint_name="loaded")
    session = PipelineSession.load(checkpoint)

    add_section_windows(session, length_s=2.0)

    again = PipelineSession.load(checkpoint)
    assert again.checkpoint_name == "loaded"
    assert again.is_checkpoint_file
    assert session.is_checkpoint_file


def test_lazily_loaded_session_works_in_the_place_of_a_path(tmp_path: Path) -> None:
    path = recording(tmp_path).save()
    session = PipelineSession.load(path, lazy=True)

    add_section_windows(session, length_s=2.0)
    section_spike_times(session)

    assert session.units["unit_001"]["spike_times_sectioned"]["window"]["trials_start_end"].shape == (10, 2)
    assert_same_files(session.save(tmp_path / "again.h5"), path)


def test_failed_write_leaves_the_session_deferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = recording(tmp_path)
    path = session.save()
    before = PipelineSession.load(path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, full, raising=False)
    with pytest.raises(OSError, match="the disk is full"):
        add_section_windows(session, length_s=2.0)

    assert session.is_deferred
    assert set(PipelineSession.load(path).stimulus) == set(before.stimulus)
    monkeypatch.undo()
    session.save()
    assert "window" in PipelineSession.load(path).stimulus["section_time"]


@pytest.mark.parametrize("turn", [0, 1])
def test_modes_by_turns_give_the_same_file(small_recording: SimulatedRecording, tmp_path: Path, turn: int) -> None:
    steps = simulated_steps(small_recording, images=False)
    session = run_deferred(steps[:1], tmp_path / "mixed")

    for number, step in enumerate(steps[1:]):
        if number % 2 == turn:
            step.run(hdf5_path=session)
        else:
            step.run(session=session)

    assert_same_files(session.ensure_saved(), run_immediate(steps, tmp_path / "immediate"))


def test_every_step_warns_alike_both_ways(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = write_playlist(tmp_path / "lists", {"p": ["a", "gone"]}, {"a": 100})
    write_config(tmp_path / "configs", "a", start_frame=0, trial_length_frame=20, repeat=2)
    session, path = recording(tmp_path / "s"), recording(tmp_path / "f").save()

    texts = []
    for where in ({"session": session}, {"hdf5_path": path}):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "hdmea"):
            add_section_time(playlist_name="p", **files, **where)  # type: ignore[arg-type]
            section_spike_times(config_dir=tmp_path / "configs", **where)  # type: ignore[arg-type]
        texts.append([record.message for record in caplog.records])

    assert texts[0] == texts[1]
    assert len(texts[0]) == 1
    assert session.warnings == PipelineSession.load(path).warnings == texts[0]
