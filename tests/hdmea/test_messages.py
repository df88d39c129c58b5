"""Every command's wrong inputs, one by one: one line that says what is wrong, where, and what to do; exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import h5burst.cli
import hdmea.cli
from h5burst import Array, Group, write_tree
from h5burst.console import run
from hdmea.pipeline import PipelineSession
from hdmea.simulate import SimulatedRecording

APPS = {"h5burst": h5burst.cli.app, "hdmea": hdmea.cli.app}


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with good and bad files, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "good.h5", Group({"x": Array(np.arange(9000))}))
    (tmp_path / "cut.h5").write_bytes((tmp_path / "good.h5").read_bytes()[:5000])
    (tmp_path / "text.h5").write_text("no HDF5 at all")
    (tmp_path / "empty.h5").write_bytes(b"")
    (tmp_path / "directory.h5").mkdir()
    (tmp_path / "a.cmcr").write_bytes(b"x")
    (tmp_path / "spikes.h5").write_bytes((tmp_path / "good.h5").read_bytes())
    (tmp_path / "flow.json").write_text('{"steps": [{"step": "nosuch"}]}')
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "m.csv").write_text("spikes,dataset_id\nspikes.h5,a\nspikes.h5,a\n")
    (tmp_path / "none.csv").write_text("spikes\n")
    (tmp_path / "bad.csv").write_text("colour\nred\n")
    (tmp_path / "one.csv").write_text("spikes\nspikes.h5\n")
    return tmp_path


WRONG = [
    ("h5burst info missing.h5", ["missing.h5", "No such file"]),
    ("h5burst info directory.h5", ["directory.h5", "directory"]),
    ("h5burst info text.h5", ["text.h5", "HDF5"]),
    ("h5burst info cut.h5", ["cut.h5", "damaged or incomplete"]),
    ("h5burst info empty.h5", ["empty.h5", "HDF5"]),
    ("h5burst ls missing.h5", ["missing.h5", "No such file"]),
    ("h5burst ls good.h5::/nowhere", ["good.h5", "/nowhere"]),
    ("h5burst info good.h5::/nowhere", ["good.h5", "/nowhere"]),
    ("h5burst cat good.h5", ["good.h5", "is a group", "h5burst ls"]),
    ("h5burst cat good.h5::/nowhere", ["good.h5", "/nowhere"]),
    ("h5burst cat good.h5::/x --attribute u", ["good.h5", "/x@u"]),
    ("h5burst cat good.h5::/x --slice 1:2:3:4", ["1:2:3:4", "not a selection"]),
    ("h5burst cat good.h5::/x --slice 5,5", ["5,5", "2 axes", "1"]),
    ("h5burst cat good.h5::/x --slice 9000", ["row 9000", "9000 rows"]),
    ("h5burst cat missing.h5::/x", ["missing.h5", "No such file"]),
    (
        "hdmea run --spikes spikes.h5 --dataset-id good -o . --steps nosuch --flow nowhere --set a --stimuli lost "
        "--compression zip --memory-budget 1x --import nomodule",
        [
            "8 things are wrong",
            "nomodule",
            "'nowhere'",
            "lost",
            "not 'a'",
            "'zip'",
            "(overwrite=True or --overwrite replaces it): good.h5",
            "nosuch",
            "'1x'",
        ],
    ),
    (
        "hdmea batch one.csv -o out --steps nosuch --set a --stimuli lost --compression zip --memory-budget 1x",
        ["5 things are wrong", "lost", "not 'a'", "'zip'", "nosuch", "'1x'"],
    ),
    (
        "hdmea run nosuchdir -o out --flow nowhere --set a --compression zip --memory-budget 1x --import nomodule",
        ["6 things are wrong", "nosuchdir is not a directory", "nomodule", "'nowhere'", "not 'a'", "'zip'", "'1x'"],
    ),
    (
        "hdmea batch missing.csv -o out --set a --compression zip --memory-budget 1x",
        ["4 things are wrong", "not 'a'", "'zip'", "missing.csv", "'1x'"],
    ),
    ("h5burst diff good.h5 missing.h5", ["missing.h5", "No such file"]),
    ("h5burst diff good.h5 text.h5", ["text.h5", "HDF5"]),
    ("h5burst diff good.h5 good.h5::/nowhere", ["good.h5", "/nowhere"]),
    ("h5burst repack missing.h5", ["missing.h5", "No such file"]),
    ("h5burst repack text.h5", ["text.h5", "HDF5"]),
    ("h5burst repack cut.h5 -o new.h5", ["cut.h5", "cut short"]),
    ("h5burst repack good.h5 -o spikes.h5", ["spikes.h5", "already exists"]),
    ("h5burst repack good.h5 -o new.h5 --compression zip", ["zip", "gzip"]),
    ("h5burst repack good.h5 -o new.h5 --compression gzip --level 10", ["0 to 9", "10"]),
    ("h5burst repack good.h5 -o new.h5 --level 4", ["without a codec"]),
    ("h5burst repack good.h5 -o new.h5 --select /nowhere", ["/nowhere", "good.h5"]),
    ("h5burst repack good.h5 --select /x", ["--output"]),
    ("h5burst repack good.h5 spikes.h5 -o new.h5", ["new.h5", "not a directory", "several files"]),
    ("h5burst salvage missing.h5 new.h5", ["missing.h5", "No such file"]),
    ("h5burst salvage text.h5 new.h5", ["text.h5", "nothing of it can be read"]),
    ("h5burst salvage cut.h5 good.h5", ["good.h5", "already exists"]),
    ("h5burst salvage cut.h5 cut.h5", ["cut.h5", "elsewhere"]),
    ("h5burst bench --directory nowhere", ["nowhere", "not a directory"]),
    ("h5burst verify missing.h5", ["missing.h5", "No such file"]),
    ("h5burst verify directory.h5", ["directory.h5", "directory"]),
    ("hdmea verify missing.h5", ["missing.h5", "No such file"]),
    ("hdmea verify directory.h5", ["directory.h5", "directory"]),
    ("hdmea run", ["--cmcr", "--cmtr", "--spikes"]),
    ("hdmea run --cmcr missing.cmcr", ["missing.cmcr", "No such file"]),
    ("hdmea run --cmcr a.cmcr --spikes spikes.h5", ["spikes is for recordings"]),
    ("hdmea run --spikes spikes.h5 --steps nosuch", ["nosuch", "load_spikes"]),
    ("hdmea run --spikes spikes.h5 --set length=5", ["step.parameter=value", "length=5"]),
    ("hdmea run --spikes spikes.h5 --set load_spikes.nosuch=5", ["nosuch", "acquisition_rate"]),
    ("hdmea run --spikes spikes.h5 --compression zip", ["zip", "gzip"]),
    ("hdmea run --spikes spikes.h5 --memory-budget lots", ["lots", "4GiB"]),
    ("hdmea run --spikes spikes.h5 --memory-budget 1", ["smaller than", "at least"]),
    ("hdmea run --spikes spikes.h5 --flow flow.json", ["flow.json", "nosuch"]),
    ("hdmea run --spikes spikes.h5 --flow broken.json", ["broken.json"]),
    ("hdmea run --spikes spikes.h5 --flow missing.json", ["missing.json"]),
    ("hdmea run --spikes spikes.h5 --import nosuchmodule", ["nosuchmodule"]),
    ("hdmea run --spikes spikes.h5 --stimuli nowhere", ["nowhere", "No such file or directory"]),
    ("hdmea run --spikes spikes.h5", ["spikes.h5"]),
    ("hdmea run --spikes spikes.h5 --dataset-id good -o .", ["good.h5", "--overwrite"]),
    ("hdmea batch missing.csv -o out", ["missing.csv", "No such manifest"]),
    ("hdmea batch missing -o out", ["missing", "No such manifest"]),
    ("hdmea batch good.h5 -o out", ["good.h5", ".csv"]),
    ("hdmea batch m.csv -o out", ["m.csv", "'a'", "twice"]),
    ("hdmea batch none.csv -o out", ["none.csv", "no recording"]),
    ("hdmea batch bad.csv -o out", ["bad.csv", "row 2"]),
    ("hdmea batch one.csv -o out --engine cloud", ["cloud", "local"]),
    ("hdmea batch one.csv -o out --compression zip", ["zip", "gzip"]),
    ("hdmea batch one.csv -o out --memory-budget lots", ["lots", "4GiB"]),
    ("hdmea batch one.csv -o out --array-task 5", ["--array-count"]),
    ("hdmea batch one.csv -o out --playlist-file no.csv", ["no.csv"]),
    (
        "hdmea batch one.csv -o out --steps load_spikes,nosuch --compression zip --engine cloud",
        ["nosuch", "zip", "cloud"],
    ),
    ("hdmea simulate directory.h5 --movies nosuch", ["nosuch"]),
]


@pytest.mark.parametrize(("line", "parts"), WRONG, ids=[line for line, _ in WRONG])
def test_a_wrong_input_is_one_line_that_says_what_and_where(
    directory: Path, capsys: pytest.CaptureFixture[str], line: str, parts: list[str]
) -> None:
    before = set(os.listdir(directory))
    program, *words = line.split()

    code = run(APPS[program], words)

    captured = capsys.readouterr()
    errors = [text for text in captured.err.splitlines() if text.startswith("error:")]
    assert (code, len(errors)) == (2, 1), captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert "unsaved" not in captured.err
    assert "not saved" not in captured.err
    assert "errno =" not in captured.err, "libhdf5's own words"
    for part in parts:
        assert part in errors[0]
        assert errors[0].count(str(directory / part)) <= 1, "a path is named once"
    assert set(os.listdir(directory)) - before <= {"artifacts"}


# ---------------------------------------------------------------- options that all commands have


def test_every_wrong_thing_of_a_run_is_in_one_message(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "run --spikes missing.h5 --compression zip --memory-budget lots --import nosuchmodule --set a=1"
    assert run(APPS["hdmea"], line.split()) == 2
    error = capsys.readouterr().err
    for part in ("missing.h5", "zip", "lots", "nosuchmodule", "a=1"):
        assert part in error


@pytest.mark.parametrize("program", ["h5burst", "hdmea"])
def test_the_version_is_that_of_the_package(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(APPS[program], ["--version"]) == 0
    assert h5burst.__version__ in capsys.readouterr().out
    assert run(APPS[program], ["verify", "--version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["h5burst"] == h5burst.__version__


@pytest.mark.parametrize("program", ["h5burst", "hdmea"])
def test_verify_goes_on_after_a_missing_file(directory: Path, program: str, capsys: pytest.CaptureFixture[str]) -> None:
    session = PipelineSession("rec", output_dir=directory)
    session.add_units({})
    session.save(directory / "rec.h5")

    assert run(APPS[program], ["verify", "text.h5", "missing.h5", "rec.h5"]) == 2

    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == "text.h5: 1 problem"
    assert captured.out.splitlines()[-1] == "rec.h5: OK"
    assert captured.err.strip() == "error: No such file: missing.h5"


@pytest.mark.parametrize("command", ["info", "verify"])
def test_names_in_a_file_give_a_terminal_no_commands(
    directory: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    session = PipelineSession("rec", output_dir=directory)
    session.add_units({})
    session.save(directory / "rec.h5")
    with h5py.File(directory / "rec.h5", "r+") as file:
        file.attrs["dataset_id"] = "red\x1b[31m"
        file.create_group("units/clear\x1b[2J")

    run(APPS["hdmea"], [command, "rec.h5"])

    said = "".join(capsys.readouterr())
    assert "\x1b" not in said
    assert "\\x1b" in said


def test_both_verifies_say_the_same_of_a_damaged_file(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for program in ("h5burst", "hdmea"):
        assert run(APPS[program], ["verify", "cut.h5", "text.h5"]) == 1
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def test_json_is_the_whole_result_and_quiet_is_nothing(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for program in ("h5burst", "hdmea"):
        assert run(APPS[program], ["verify", "text.h5", "missing.h5", "--json"]) == 2
        damaged, missing = json.loads(capsys.readouterr().out)
        assert len(damaged["problems"]) == 1
        assert "No such file" in missing["error"]
        assert run(APPS[program], ["verify", "text.h5", "--quiet"]) == 1
        assert capsys.readouterr() == ("", "")
    assert run(APPS["h5burst"], ["--json", "ls", "good.h5"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [item["path"] for item in content["objects"]] == ["/", "/x"]
    assert content["objects"][1]["shape"] == [9000]
    assert run(APPS["h5burst"], ["ls", "text.h5", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["type"] == "CorruptFileError"


def test_verify_of_what_is_no_recording_says_what_it_is(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(directory / "scp.h5", Group({}, {"scptensor_version": "1"}))
    assert run(APPS["hdmea"], ["verify", "scp.h5", "good.h5"]) == 1
    printed = capsys.readouterr().out
    assert "but a container of scptensor" in printed
    assert "but another HDF5 file" in printed
    assert printed.count("problem") == 2


def test_run_takes_all_that_simulate_wrote(
    small_recording: SimulatedRecording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_recording
    words = [
        *("run", "--cmcr", made.cmcr_path, "--cmtr", made.cmtr_path, "--playlist", made.playlist_name, "-o", tmp_path),
        *("--playlist-file", made.playlist_path, "--movie-lengths", made.movie_length_path),
        *("--stimuli", made.stimuli_dir, "--configs", made.config_dir, "--json"),
    ]
    assert run(APPS["hdmea"], [str(word) for word in words]) == 0
    captured = capsys.readouterr()
    content = json.loads(captured.out)
    session = PipelineSession.load(content["file"])
    assert content["units"] == session.unit_count > 0
    assert content["sections"] == sorted(session.stimulus["section_time"])
    assert set(content["step_seconds"]) == session.completed_steps
    assert f"{session.unit_count} units, {len(content['sections'])} sections" in captured.err


def test_batch_table_is_whole_where_nobody_looks(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(APPS["hdmea"], ["batch", "one.csv", "-o", "o" * 100, "--steps", "load_spikes"]) == 1
    captured = capsys.readouterr()
    row = next(line for line in captured.out.splitlines() if "failed" in line)
    assert f"{'o' * 100}/logs/spikes.log" in row
    assert "…" not in row


def test_characters_that_the_locale_lacks_are_printed_somehow(tmp_path: Path) -> None:
    session = PipelineSession("Zürich-é", output_dir=tmp_path)
    session.add_units({})
    path = session.save()
    code = "import sys; from hdmea.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "verify", path],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.endswith("OK\n")) == (0, True), done.stderr
