"""What all programs do with their command line: exit codes, errors of one line, several files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import h5burst
import h5burst.cli
from h5burst import console


def program(work: Any) -> typer.Typer:
    """A program with a command `do`."""
    app = typer.Typer()
    app.callback()(lambda: None)
    app.command("do")(work)
    return app


@pytest.mark.parametrize(("code", "expected"), [(3, 3), (None, 0), ("in words", 2)])
def test_an_exit_gives_its_code(code: Any, expected: int) -> None:
    def leave() -> None:
        raise SystemExit(code)

    assert console.run(program(leave), ["do"]) == expected


def test_an_interrupt_is_said_and_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def wait() -> None:
        raise KeyboardInterrupt

    assert console.run(program(wait), ["do"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_option_that_there_is_not_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(program(lambda: None), ["do", "--nonsense"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "--nonsense" in lines[0]


def test_every_file_is_tried_and_the_code_says_that_one_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()

    def size(path: Path) -> dict[str, Any]:
        if path.name == "b":
            raise KeyError(f"{path}: there is no object /x")
        return {"bytes": path.stat().st_size}

    files = [tmp_path / "a", tmp_path / "b", tmp_path / "lost", tmp_path / "c"]

    def sizes(as_json: bool = typer.Option(False, "--json")) -> int:
        console.output.as_json = as_json
        return console.each_file(files, size)

    assert console.run(program(sizes), ["do", "--json"]) == 2
    captured = capsys.readouterr()
    results = json.loads(captured.out)
    assert [result.get("bytes") for result in results] == [0, None, None, 0]
    assert f"error: {tmp_path / 'b'}: there is no object /x" in captured.err
    assert f"No such file: {tmp_path / 'lost'}" in captured.err
    files[:] = [tmp_path / "a", tmp_path / "c"]
    assert console.run(program(sizes), ["do"]) == 0


def test_what_is_not_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=f"{tmp_path} is a directory: give a file"):
        console.existing_file(tmp_path)
    with pytest.raises(OSError, match="/dev/null is not a regular file"):
        console.existing_file(Path("/dev/null"))


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="pipes of POSIX")
@pytest.mark.parametrize("words", [["ls"], ["cat"], ["follow", "--since", "0"]])
def test_what_does_nothing_but_print_ends_as_a_closed_pipe_ends_it(words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    h5burst.save(path, {"numbers": np.arange(200_000)})
    with h5burst.edit(path) as tx:
        tx.put(("more",), h5burst.Array(np.arange(3)))
    place = f"{path}::/numbers" if words == ["cat"] else str(path)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "h5burst", words[0], place, *words[1:]],
            stdout=stream, stderr=subprocess.PIPE, check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, b"")


def test_signals_are_as_they_were_after_a_command() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert console.run(program(lambda: None), ["do"]) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")
def test_a_hangup_that_is_ignored_ends_no_command() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert console.run(program(lambda: signal.raise_signal(signal.SIGHUP)), ["do"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_a_signal_breaks_is_told_as_the_signal(capsys: pytest.CaptureFixture[str]) -> None:
    def library_that_knows_no_signals() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            time.sleep(1)
        except BaseException as error:
            raise OSError("Unable to synchronously open file") from error

    assert console.run(program(library_that_knows_no_signals), ["do"]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "ended by SIGTERM\n"


class Finalized:
    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_within_a_finalizer_ends_the_command(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python drops what is raised there, and the command went on to its end."""

    def work() -> None:
        Finalized(number)
        for _ in range(200):
            time.sleep(0.05)

    before = sys.unraisablehook, signal.getsignal(number)
    assert console.run(program(work), ["do"]) == 128 + number
    assert capsys.readouterr().err.splitlines()[-1] in ("ended by SIGTERM", "interrupted")
    assert (sys.unraisablehook, signal.getsignal(number)) == before


def test_an_interrupt_before_the_command_begins_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_options_of", lambda app: signal.raise_signal(signal.SIGINT))
    assert console.run(program(lambda: None), ["do"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not delete a directory in use")
def test_a_working_directory_that_was_deleted_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, gone = Path.cwd(), tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    try:
        assert console.run(program(lambda: print(Path.cwd())), ["do"]) == 2
    finally:
        os.chdir(before)
    assert "the working directory is not there any more" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["ls a.h5", "info a.h5", "verify a.h5 --deep", "cat a.h5::/x", "diff a.h5 a.h5"])
def test_too_many_open_files_says_what_helps(words: str, tmp_path: Path) -> None:
    h5burst.save(tmp_path / "a.h5", {"x": np.arange(3)})
    code = f"""
import os, resource, sys
import h5burst.cli
from h5burst import console
console.run(h5burst.cli.app, {words.split()})  # all modules are imported
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
taken = []
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    sys.exit(console.run(h5burst.cli.app, {words.split()}))
"""
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert "Too many open files" in line
    assert "this process may have 20 open: allow it more (ulimit -n 1024)" in line


def test_a_place_behind_a_file_is_told_how_it_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(h5burst.cli.app, ["cat", str(tmp_path / "a.h5"), "/units/unit_001"]) == 2
    assert "an object of a file is written FILE::/units/unit_001" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk of Linux")
def test_results_that_cannot_be_written_are_an_error_that_says_so(tmp_path: Path) -> None:
    h5burst.save(tmp_path / "a.h5", {"x": np.arange(3)})
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "h5burst", "info", str(tmp_path / "a.h5"), "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "what is printed cannot be written: No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1
