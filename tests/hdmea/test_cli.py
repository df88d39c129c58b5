"""The `hdmea` command: what it prints, its exit codes, one line for an error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from h5burst.console import run as run_command
from hdmea.cli import app
from hdmea.io import add_section_windows, create_recording_hdf5, section_spike_times
from hdmea.pipeline import PipelineSession
from hdmea.session.validate_layout import check_recording
from hdmea.simulate import SimulatedRecording
from support.hdmea_recordings import recording


def hdmea(*words: object) -> int:
    return run_command(app, [str(word) for word in words])


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    session = recording(tmp_path)
    add_section_windows(length_s=5.0, session=session)
    section_spike_times(session=session)
    session.add_feature("unit_001", "mine", {"x": np.arange(3)})
    return session.save()


# ---------------------------------------------------------------- help and errors


@pytest.mark.parametrize("command", ["demo", "simulate", "run", "annotate", "verify", "batch", "report"])
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert hdmea(command, "--help") == 0

    printed = capsys.readouterr().out
    assert "Examples:" in printed
    assert f"hdmea {command}" in printed


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert hdmea("--help") == 0

    printed = capsys.readouterr().out
    assert all(command in printed for command in ("demo", "simulate", "run", "verify", "report"))


def test_error_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hdmea("verify", tmp_path / "no.h5") == 2

    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error:")
    assert "no.h5" in lines[0]
    assert "Traceback" not in captured.err


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hdmea("verify", tmp_path / "no.h5", "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


def test_command_is_installed_and_quiet_without_a_terminal(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; from hdmea.cli import main; sys.exit(main())", "verify"]
    done = subprocess.run([*command, str(tmp_path / "no.h5")], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("simulate", "out", "--patch", "5"), "a patch is rows x columns"),
        (("simulate", "out", "--patch", "\u00b2x3"), "a patch is rows x columns"),
        (("run", ".", "--spikes", "a.h5"), "leave it away with --spikes"),
        (("run", "--spikes", "a.h5", "--flow", "nobodys"), "nobodys"),
    ],
)
def test_wrong_words_are_said_before_any_work(
    words: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hdmea(*words) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- verify


def test_verify_of_a_sound_recording_says_so(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hdmea("verify", stored) == 0

    assert capsys.readouterr().out == f"{stored}: OK\n"


def test_verify_of_a_simulated_recording_finds_nothing(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    from support.hdmea_steps import run_deferred, run_immediate, simulated_steps

    steps = simulated_steps(small_recording)

    assert check_recording(run_deferred(steps, tmp_path / "deferred").save(compression="gzip")) == []
    assert check_recording(run_immediate(steps, tmp_path / "immediate")) == []


def spoil(path: Path, what: str) -> None:
    with h5py.File(path, "r+") as file:
        unit, section = file["units/unit_001"], file["units/unit_001/spike_times_sectioned/window"]
        if what == "a root attribute is missing":
            del file.attrs["created_at"]
        elif what == "a group is missing":
            del file["stimulus"]
        elif what == "a unit has no place":
            del unit.attrs["row"]
        elif what == "spikes are missing":
            del unit["spike_times"]
        elif what == "spikes are of another type":
            spikes = unit["spike_times"][()]
            del unit["spike_times"]
            unit["spike_times"] = spikes.astype(np.int32)
        elif what == "spike count is wrong":
            unit.attrs["spike_count"] = 3
        elif what == "a trial is missing":
            del section["trials_spike_times/1"]
        elif what == "sections have another shape":
            del file["stimulus/section_time/window"]
            file["stimulus/section_time/window"] = np.zeros((2, 3), np.uint64)
        elif what == "a feature is not noted":
            file.attrs["features_extracted"] = "[]"
        elif what == "a step was interrupted":
            file["pipeline"].attrs["steps_in_progress"] = '["compute_sta"]'
        elif what == "a group that is not a unit":
            file.create_group("units/cell_1")
        else:
            raise ValueError(what)


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("a root attribute is missing", "created_at"),
        ("a group is missing", "group stimulus"),
        ("a unit has no place", "row"),
        ("spikes are missing", "spike_times"),
        ("spikes are of another type", "int32"),
        ("spike count is wrong", "spike_count is 3"),
        ("a trial is missing", "trials"),
        ("sections have another shape", "(2, 3)"),
        ("a feature is not noted", "mine"),
        ("a step was interrupted", "compute_sta"),
        ("a group that is not a unit", "cell_1"),
    ],
)
def test_verify_names_what_is_off_and_exits_with_1(
    stored: Path, capsys: pytest.CaptureFixture[str], what: str, named: str
) -> None:
    spoil(stored, what)

    assert hdmea("verify", stored) == 1

    assert named in capsys.readouterr().out


def test_verify_of_a_damaged_file_names_the_place(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(stored.read_bytes())
    spikes = PipelineSession.load(stored).units["unit_002"]["spike_times"].tobytes()
    at = content.index(spikes[:64])
    content[at + 20] ^= 0xFF
    stored.write_bytes(content)

    assert hdmea("verify", stored) == 1
    assert "unit_002/spike_times" in capsys.readouterr().out


def test_verify_of_an_incomplete_recording_lists_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create_recording_hdf5(tmp_path / "new.h5", "rec").close()

    assert hdmea("verify", tmp_path / "new.h5") == 1
    assert "group pipeline" in capsys.readouterr().out


# ---------------------------------------------------------------- simulate and run


def test_simulate_writes_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("simulate", tmp_path, "--units", 2, "--patch", "5x4", "--movies", "baseline_127", "--sensor-s", 1)

    assert hdmea(*words) == 0
    assert {"simulated.cmcr", "simulated.cmtr", "playlist.csv", "stimuli"} <= set(os.listdir(tmp_path))
    assert "2 units" in capsys.readouterr().out
    assert hdmea(*words) == 2
    assert hdmea(*words, "--overwrite") == 0


def test_run_makes_one_file_of_a_recording(
    small_recording: SimulatedRecording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "run",
        *("--cmcr", small_recording.cmcr_path, "--cmtr", small_recording.cmtr_path, "-o", tmp_path),
        *("--playlist", small_recording.playlist_name),
        *("--set", f"add_section_time.playlist_file_path={small_recording.playlist_path}"),
        *("--set", f"add_section_time.movie_length_file_path={small_recording.movie_length_path}"),
        *("--set", f"compute_sta.stimuli_dir={small_recording.stimuli_dir}"),
    ]

    assert hdmea(*words) == 0, capsys.readouterr().err

    path = Path(capsys.readouterr().out.strip())
    assert path == tmp_path / "simulated.h5"
    assert check_recording(path) == []
    session = PipelineSession.load(path)
    assert {"add_section_time", "section_spike_times", "compute_sta", "extract_features"} <= session.completed_steps
    assert hdmea(*words) == 2
    assert "overwrite" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="needs HDF5's own tools")
def test_hdf5s_own_tools_read_the_files(stored: Path) -> None:
    for tool in (["h5dump"], ["h5dump", "-H"], ["h5ls", "-r"], ["h5stat"]):
        done = subprocess.run([*tool, str(stored)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert tool[0] != "h5dump" or "unit_001" in done.stdout


def test_run_counts_what_a_feature_that_fails_alone_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spikes = tmp_path / "wave.h5"
    with h5py.File(spikes, "w") as file:
        file["spikes"], file["sCount"] = np.array([0.5, 1.5]), np.array([2])
    only = 'extract_features.features=["step_up_5s_5i_3x"]'
    words = ("run", "--spikes", spikes, "-o", tmp_path / "out", "--steps", "load_spikes,extract_features")

    assert hdmea(*words, "--set", only) == 0

    assert "0 features, 1 warning\n" in capsys.readouterr().err
    assert PipelineSession.load(tmp_path / "out" / "wave.h5").warnings


def test_features_that_there_are_not_are_told_with_one_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spikes = tmp_path / "wave.h5"
    with h5py.File(spikes, "w") as file:
        file["spikes"], file["sCount"] = np.array([0.5, 1.5]), np.array([2])

    wanted = 'extract_features.features=["no", "frif", "nor"]'

    assert hdmea("run", "--spikes", spikes, "-o", tmp_path / "out", "--set", wanted) == 2

    said = capsys.readouterr().err
    assert "Unknown features 'no', 'nor'; there are: baseline, " in said
    assert said.count("there are") == 1


def test_run_knows_the_features_of_an_imported_module(tmp_path: Path) -> None:
    own = tmp_path / "own_run_feature.py"
    own.write_text(
        """
from hdmea.features import FeatureExtractor, FeatureRegistry


@FeatureRegistry.register("unit_row")
class UnitRow(FeatureExtractor):
    def extract(self, unit_data, stimulus_data, config=None, metadata=None):
        return {"row": int(unit_data["row"])}
"""
    )
    spikes = tmp_path / "wave.h5"
    with h5py.File(spikes, "w") as file:
        file["spikes"], file["sCount"] = np.array([0.5, 1.5]), np.array([2])
    words = (
        "run",
        "--spikes",
        spikes,
        "-o",
        tmp_path,
        "--dataset-id",
        "made",
        "--steps",
        "load_spikes,extract_features",
    )
    code = "import sys; from hdmea.cli import main; sys.exit(main())"
    wanted = ["--set", 'extract_features.features=["unit_row"]', "--set", "extract_features.config_overrides={}"]
    arguments = [*map(str, words), *wanted, "--import", str(own)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
    unit = PipelineSession.load(tmp_path / "made.h5").units["unit_001"]
    assert unit["features"]["unit_row"]["data"] == {"row": -1}


# ---------------------------------------------------------------- annotate


def test_annotate_brings_a_row_into_each_recording(stored: Path, tmp_path: Path) -> None:
    table = tmp_path / "animals.tsv"
    table.write_text("Recording\tstrain\tage\nrec\tC57BL/6\t61\n")

    assert hdmea("annotate", table, stored) == 0

    assert PipelineSession.load(stored).metadata["gsheet_row"] == {"Recording": "rec", "strain": "C57BL/6", "age": 61}


def test_annotate_without_a_row_ends_with_1(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "animals.csv"
    table.write_text("recording,age\nother,61\n")

    assert hdmea("annotate", table, stored) == 1
    assert "no row" in capsys.readouterr().out
    assert hdmea("annotate", tmp_path / "none.csv", stored) == 2
