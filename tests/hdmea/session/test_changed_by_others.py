"""Sessions whose file another program changes between two of their own actions: nothing of theirs is lost unsaid."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hdmea import PipelineSession
from hdmea.session import file as session_file
from hdmea.session import recording_file
from hdmea.steps import run_step as step_module
from hdmea.steps.run_step import Outcome, run_step

TIMES = np.array([5, 8, 13], np.uint64)


def saved(path: Path) -> PipelineSession:
    session = PipelineSession("day1", output_dir=path.parent)
    session.add_units({"unit_001": {"spike_times": TIMES}})
    session.save(path)
    return session


def measure(session: PipelineSession) -> Any:
    """A step on a session and its file at once."""

    def step(recording: PipelineSession) -> Outcome[str]:
        recording.metadata["note"] = 1
        return Outcome("done", [("metadata", "note")])

    return run_step("measure", step, session, None)


def change(path: Path, locking: bool = True) -> None:
    code = "import sys, h5py\nwith h5py.File(sys.argv[1], 'r+', locking=sys.argv[2] == 'True') as f: "
    code += "f['metadata'].attrs['theirs'] = 5"
    subprocess.run([sys.executable, "-c", code, path, str(locking)], check=True)


def theirs(path: Path) -> Any:
    with h5py.File(path, "r") as file:
        return file["metadata"].attrs.get("theirs")


@pytest.mark.parametrize("lazy", [False, True])
def test_a_change_while_the_file_is_loaded(lazy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "day1.h5"
    saved(path)
    read = session_file.read

    def slow_read(*arguments: Any, **options: Any) -> Any:
        found = read(*arguments, **options)
        change(path)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(session_file, "read", slow_read)
        session = PipelineSession.load(path, lazy=lazy)
    session.add_metadata({"ours": 1})
    with pytest.raises(OSError, match="was changed"):  # by others; a lazy session cannot read it any more
        session.save()
    assert theirs(path) == 5


def test_a_change_before_a_step_has_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "day1.h5"
    session = saved(path)
    edited = recording_file.edited

    def later(*arguments: Any) -> Any:
        change(path)
        return edited(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(recording_file, "edited", later)
        with pytest.raises(OSError, match="was changed by others"):
            measure(session)
    session.add_metadata({"ours": 1})
    with pytest.raises(OSError, match="was changed by others"):
        session.save()
    assert theirs(path) == 5
    assert measure(PipelineSession.load(path)) == "done"


def test_a_change_without_locks_within_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "day1.h5"
    session = saved(path)
    read_tree = step_module.read_tree

    def beside(*arguments: Any, **options: Any) -> Any:
        found = read_tree(*arguments, **options)
        change(path, locking=False)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(step_module, "read_tree", beside)
        with pytest.raises(OSError, match="was changed by others"):
            measure(session)
    with pytest.raises(OSError, match="was changed by others"):
        session.save()
    assert theirs(path) == 5
