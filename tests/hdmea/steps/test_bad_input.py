"""Bad input: each case gets the contract's error or a documented result, and what was there before is intact."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from hdmea.features import compute_sta
from hdmea.io import add_section_time, add_section_windows, section_spike_times
from hdmea.pipeline import PipelineSession, extract_features
from hdmea.steps import run_step
from hdmea.utils.exceptions import CheckpointError, MissingInputError
from support.hdmea_recordings import FIRST_FRAME, FRAME_SAMPLES, recording, write_config
from support.hdmea_trees import assert_same_files, assert_same_values
from support.open_elsewhere import open_elsewhere

DATA = Path(__file__).parents[2] / "data" / "hdmea"

Immediate = Callable[[Path], Any]

IMMEDIATE_STEPS: dict[str, Immediate] = {
    "add_section_time": lambda path: add_section_time(path, "p"),
    "add_section_windows": lambda path: add_section_windows(path, length_s=1.0),
    "section_spike_times": lambda path: section_spike_times(path),
    "compute_sta": lambda path: compute_sta(path),
    "extract_features": lambda path: extract_features(path, ["frif"]),
}


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Code in a process of its own, with the test helpers on its path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


# ---------------------------------------------------------------- files that are none


@pytest.mark.parametrize("name", IMMEDIATE_STEPS)
def test_step_on_a_missing_file_is_file_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        IMMEDIATE_STEPS[name](tmp_path / "no.h5")

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["empty", "text", "truncated"])
@pytest.mark.parametrize("name", IMMEDIATE_STEPS)
def test_step_on_an_unreadable_file_is_an_os_error_and_leaves_it(tmp_path: Path, name: str, kind: str) -> None:
    whole = recording(tmp_path / "whole").save().read_bytes()
    path = tmp_path / "odd.h5"
    path.write_bytes({"empty": b"", "text": b"no HDF5", "truncated": whole[: len(whole) // 2]}[kind])
    before = path.read_bytes()

    with pytest.raises(OSError, match="corrupted or incomplete"):
        IMMEDIATE_STEPS[name](path)

    assert path.read_bytes() == before


@pytest.mark.parametrize("name", IMMEDIATE_STEPS)
def test_step_on_hdf5_that_is_no_recording_is_a_checkpoint_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1

    with pytest.raises(CheckpointError, match="other"):
        IMMEDIATE_STEPS[name](path)


@pytest.mark.parametrize("name", [name for name in IMMEDIATE_STEPS if name != "extract_features"])
def test_step_whose_input_is_missing_leaves_the_file(tmp_path: Path, name: str) -> None:
    session = recording(tmp_path)
    session.metadata.clear()
    session.stimulus.clear()
    path = session.save()
    before = path.read_bytes()

    with pytest.raises(MissingInputError):
        IMMEDIATE_STEPS[name](path)

    assert path.read_bytes() == before


# ---------------------------------------------------------------- files that are open elsewhere


@pytest.mark.parametrize("name", IMMEDIATE_STEPS)
def test_step_on_a_file_that_is_written_elsewhere_is_the_contracts_error(tmp_path: Path, name: str) -> None:
    path = recording(tmp_path).save()

    with open_elsewhere(path, "r+"), pytest.raises(OSError, match="already open for writing"):
        IMMEDIATE_STEPS[name](path)

    assert PipelineSession.load(path).completed_steps == {"load_recording"}


def test_step_on_a_file_that_is_read_elsewhere_does_not_disturb_the_reader(tmp_path: Path) -> None:
    path = recording(tmp_path).save()

    with open_elsewhere(path, "r"):
        add_section_windows(path, length_s=1.0)

    assert "window" in PipelineSession.load(path).stimulus["section_time"]


def test_save_over_a_file_that_is_being_written_elsewhere_is_an_os_error(tmp_path: Path) -> None:
    path = recording(tmp_path).save()
    session = recording(tmp_path, units=1)

    with open_elsewhere(path, "r+"), pytest.raises(OSError, match="open"):
        session.save(overwrite=True)

    assert session.is_deferred
    assert PipelineSession.load(path).unit_count == 3


def test_load_of_a_file_that_is_being_written_elsewhere_says_so(tmp_path: Path) -> None:
    path = recording(tmp_path).save()

    with open_elsewhere(path, "r+"), pytest.raises(CheckpointError, match="already open for writing"):
        PipelineSession.load(path)


def test_reading_goes_on_while_others_read(tmp_path: Path) -> None:
    path = recording(tmp_path).save()

    with open_elsewhere(path, "r"):
        assert PipelineSession.load(path).unit_count == 3


def test_file_that_changed_while_a_step_ran_is_an_error_and_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recording(tmp_path).save()
    write = run_step._write_changes

    def write_late(*arguments: Any) -> str:
        shutil.copy(path, path.with_suffix(".other"))
        path.with_suffix(".other").replace(path)  # without asking for a lock
        return write(*arguments)

    monkeypatch.setattr(run_step, "_write_changes", write_late)
    with pytest.raises(OSError, match="changed by others"):
        add_section_windows(path, length_s=1.0)


# ---------------------------------------------------------------- no place to write


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a directory that nobody can write to")
def test_save_to_a_place_that_takes_no_files_is_an_os_error_with_the_path(tmp_path: Path) -> None:
    session = recording(tmp_path)

    for save in (session.save, session.checkpoint):
        with pytest.raises(OSError, match="hdmea-test"):
            save("/proc/hdmea-test.h5")

    assert session.is_deferred
    assert session.hdf5_path is None


READ_ONLY = """
import os, sys
from pathlib import Path
from support.hdmea_recordings import recording
from hdmea.io import add_section_windows, section_spike_times
from hdmea.pipeline import PipelineSession
path = Path(sys.argv[1])
add_section_windows(length_s=1.0, session=PipelineSession.load(path))  # imports what it needs
session = recording(path.parent)
path.chmod(0o444)
if os.geteuid() == 0:  # the superuser may write anywhere
    os.seteuid(65534)
for write in (lambda: add_section_windows(path, length_s=1.0), lambda: session.save(overwrite=True)):
    try:
        write()
    except OSError as error:
        assert "permission" in str(error).lower() and str(path) in str(error), error
        print("refused")
assert session.is_deferred
"""


@pytest.mark.skipif(os.name == "nt", reason="takes rights away as POSIX does")
def test_read_only_file_is_an_os_error_and_intact() -> None:
    with TemporaryDirectory() as directory:  # pytest's own are closed to other users
        Path(directory).chmod(0o755)
        path = recording(Path(directory)).save()
        before = path.read_bytes()

        done = run_python(READ_ONLY, path)

        assert done.stdout.split() == ["refused", "refused"], done.stderr
        assert path.read_bytes() == before


LIMITED = """
import resource, sys
from pathlib import Path
from support.hdmea_recordings import recording
from hdmea.io import add_section_windows, section_spike_times
from hdmea.pipeline import PipelineSession
path, what = Path(sys.argv[1]), sys.argv[2]
session = PipelineSession.load(path)
session.add_metadata({"large": bytes(3_000_000)})
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 2000, size + 2000))
try:
    if what == "save":
        session.save()
    elif what == "checkpoint":
        session.checkpoint(path)
    else:
        section_spike_times(path)
except OSError as error:
    assert str(path) in str(error), error
    assert what == "step" or session.is_deferred
    print("refused")
"""


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files as POSIX does")
@pytest.mark.parametrize("what", ["save", "checkpoint", "step"])
def test_no_room_on_the_disk_is_an_os_error_and_the_file_is_intact(tmp_path: Path, what: str) -> None:
    session = recording(tmp_path)
    add_section_windows(length_s=0.01, session=session)
    path = session.save()
    copy = Path(shutil.copy(path, tmp_path / "copy.h5"))

    done = run_python(LIMITED, path, what)

    assert done.stdout.strip() == "refused", done.stderr
    assert_same_files(path, copy)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["copy.h5", "rec.h5"]
    section_spike_times(path)
    assert "window" in PipelineSession.load(path).units["unit_001"]["spike_times_sectioned"]


# ---------------------------------------------------------------- interrupted


KILLED = """
import os, sys
from hdmea.io import section_spike_times
count = 0
def killing(flush):
    def counted(descriptor):
        global count
        count += 1
        if count == int(sys.argv[2]):
            os._exit(9)
        flush(descriptor)
    return counted
for name in {"fsync", "fdatasync"} & set(dir(os)):
    setattr(os, name, killing(getattr(os, name)))
section_spike_times(sys.argv[1])
"""


@pytest.mark.skipif(os.name == "nt", reason="kills a process as POSIX does")
@pytest.mark.parametrize("flush", [1, 2])
def test_step_killed_while_it_writes_is_undone_or_done_and_runs_again_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, flush: int
) -> None:
    session = recording(tmp_path)
    add_section_windows(length_s=1.0, session=session)
    path = session.save()
    copy = Path(shutil.copy(path, tmp_path / "copy.h5"))
    expected = recording(tmp_path / "expected")
    for step in (add_section_windows, section_spike_times):
        step(session=expected, **({"length_s": 1.0} if step is add_section_windows else {}))
    expected.save()

    assert run_python(KILLED, path, flush).returncode == 9

    assert_same_files(path, copy if flush == 1 else expected.save(overwrite=True))
    if flush == 1:
        section_spike_times(path)
    assert_same_files(path, expected.save(overwrite=True))
    assert caplog.text == ""


@pytest.mark.skipif(shutil.which("h5clear") is None, reason="needs HDF5's h5clear")
def test_step_of_the_first_version_that_was_killed_is_named_and_can_be_repaired_and_redone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(shutil.copy(DATA / "first_version_interrupted.h5", tmp_path / "rec.h5"))
    for movie in ("dense_noise_5x5", "grey"):
        write_config(tmp_path / "configs", movie, start_frame=0, trial_length_frame=10, repeat=1)

    def redo() -> None:
        section_spike_times(path, config_dir=tmp_path / "configs", force=True)

    for use in (lambda: PipelineSession.load(path), redo):
        with pytest.raises((OSError, CheckpointError), match=r"section_spike_times was interrupted.*h5clear -s"):
            use()
    subprocess.run(["h5clear", "-s", str(path)], check=True)
    redo()
    assert "section_spike_times was interrupted" in caplog.text
    caplog.clear()
    session = PipelineSession.load(path)
    assert all("grey" in unit["spike_times_sectioned"] for unit in session.units.values())
    redo()
    assert "interrupted" not in caplog.text


@pytest.mark.skipif(os.name == "nt", reason="kills a process as POSIX does")
def test_step_killed_before_it_writes_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = recording(tmp_path).save()
    before = path.read_bytes()
    code = """
import os, sys
from hdmea.steps import run_step
run_step._write_changes = lambda *arguments: os._exit(9)
from hdmea.io import add_section_windows
add_section_windows(sys.argv[1], length_s=1.0)
"""

    assert run_python(code, path).returncode == 9

    assert path.read_bytes() == before
    assert add_section_windows(path, length_s=1.0) is True


# ---------------------------------------------------------------- units


def odd_trains() -> dict[str, list[int]]:
    frame = [FIRST_FRAME + FRAME_SAMPLES * n for n in range(2000)]
    return {
        "unit_001": [],
        "unit_002": [frame[500]],
        "unit_003": [frame[900], frame[300], frame[1200], frame[301]],
        "unit_004": [frame[500], frame[500], frame[500], frame[800]],
        "unit_005": [0, frame[0], frame[1999], frame[1999] + 100_000],
    }


def odd_recording(output_dir: Path, tmp_path: Path) -> PipelineSession:
    session = recording(output_dir, units=0)
    session.add_units(
        {
            unit_id: {"spike_times": np.array(train, np.uint64), "waveform": np.zeros(3, np.float32), "features": {}}
            for unit_id, train in odd_trains().items()
        }
    )
    timestamps = session.metadata["frame_timestamps"]
    session.add_stimulus({"section_time": {"noise": timestamps[[200, 1900]][None]}})
    write_config(tmp_path / "configs", "noise", start_frame=0, trial_length_frame=400, repeat=3)
    return session


def test_units_with_no_one_unsorted_and_duplicate_spikes_go_through_both_ways(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 255, (400, 3, 3), dtype=np.uint8))
    deferred = odd_recording(tmp_path / "deferred", tmp_path)
    path = odd_recording(tmp_path / "immediate", tmp_path).save()

    for where in ({"session": deferred}, {"hdf5_path": path}):
        arguments: dict[str, Any] = where
        section_spike_times(config_dir=tmp_path / "configs", **arguments)
        compute_sta(cover_range=(-5, 0), stimuli_dir=tmp_path, **arguments)
        extract_features(features=["frif", "baseline_127"], config_overrides={"movie_name": "noise"}, **arguments)

    assert_same_files(deferred.save(), path)
    stas = {unit_id: unit["features"]["sta_noise"]["metadata"]["n_spikes"] for unit_id, unit in deferred.units.items()}
    assert stas == {"unit_001": 0, "unit_002": 1, "unit_003": 2, "unit_004": 3, "unit_005": 0}
    assert np.isnan(deferred.units["unit_001"]["features"]["sta_noise"]["data"]).all()
    rates = {unit_id: unit["features"]["frif"]["data"]["FRIF"].sum() for unit_id, unit in deferred.units.items()}
    assert rates["unit_001"] == 0


def used_bytes(path: Path) -> int:
    """Bytes of a file without what is kept of earlier states; `bytes` is without the reserve."""
    found = h5burst.info(path)
    return found.bytes - (found.history_bytes or 0)


@pytest.mark.parametrize("count", [0, 600])  # more links than an object header has
def test_any_number_of_units_goes_through_both_ways(tmp_path: Path, count: int) -> None:
    deferred = recording(tmp_path / "deferred", units=count, frames=300)
    path = recording(tmp_path / "immediate", units=count, frames=300).save()

    for where in ({"session": deferred}, {"hdf5_path": path}):
        arguments: dict[str, Any] = where
        add_section_windows(length_s=1.0, **arguments)
        section_spike_times(**arguments)

    own = deferred.save()
    assert used_bytes(path) == pytest.approx(used_bytes(own), rel=1.0)
    one, other = PipelineSession.load(own), PipelineSession.load(path)
    assert one.unit_count == other.unit_count == count
    for unit_id in list(one.units)[:: max(count // 20, 1)]:
        for unit in (one.units[unit_id], other.units[unit_id]):
            unit["spike_times_sectioned"]["window"].pop("created_at")
        assert_same_values(one.units[unit_id], other.units[unit_id])
