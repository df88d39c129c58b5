"""A terminal or a pipe that goes away ends what is shown, not the work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from h5burst import console
from hdmea.batch.progress import BatchProgress
from hdmea.batch.run import run_batch
from support.batch_tools import statuses

pytestmark = pytest.mark.skipif(not hasattr(os, "openpty"), reason="terminals of POSIX")

MakeManifest = Callable[..., Path]
CODE = "import sys, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from hdmea.cli import main; sys.exit(main())"


def start(manifest: Path, output: Path, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    words = ["batch", str(manifest), "-o", str(output), "--steps", "load_spikes", "--jobs", "1"]
    return subprocess.Popen([sys.executable, "-c", CODE, *words], stdout=stdout, stderr=stderr, start_new_session=True)


def recordings_of(output: Path) -> list[str]:
    return [one["status"] for one in json.loads((output / "batch_summary.json").read_text())["recordings"]]


def test_a_pipe_that_closes_early_ends_no_batch(spikes_manifest: MakeManifest, tmp_path: Path) -> None:
    manifest, out = spikes_manifest(3), tmp_path / "out"
    reader, writer = os.pipe()
    process = start(manifest, out, writer, writer)
    os.close(writer)
    assert os.read(reader, 1)  # it has begun to print
    os.close(reader)
    assert process.wait(120) == 0
    assert recordings_of(out) == ["done"] * 3


def test_a_terminal_that_goes_away_ends_no_batch(spikes_manifest: MakeManifest, tmp_path: Path) -> None:
    manifest, out = spikes_manifest(3), tmp_path / "out"
    ours, theirs = os.openpty()
    process = start(manifest, out, theirs, theirs)
    os.close(theirs)
    assert os.read(ours, 1)
    os.close(ours)  # every write to the other end is EIO now
    assert process.wait(120) == 0
    assert recordings_of(out) == ["done"] * 3


def test_a_script_whose_terminal_goes_away_ends_its_batch(
    spikes_manifest: MakeManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the command, standard error is as Python made it."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", closefd=False) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        result = run_batch(spikes_manifest(2), tmp_path / "out", steps=["load_spikes"], progress=True)
        monkeypatch.undo()
        assert statuses(result) == ["done", "done"]
    os.close(writer)


def test_bars_on_a_terminal_that_goes_away_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w", closefd=False) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with console.lasting_streams(), BatchProgress(2) as bars:
            assert bars._bars is not None
            os.close(ours)
            for number in range(3):
                bars.report("rec", f"step {number}")
                bars.say("more")
        monkeypatch.undo()
    os.close(theirs)
