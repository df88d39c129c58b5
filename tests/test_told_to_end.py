"""Commands that are told to end, by Ctrl-C, SIGTERM or SIGHUP, give back what they hold and leave files whole.

Those whose reader or terminal goes away finish what they do; a closed terminal tells them to end by SIGHUP, too.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import h5burst
import hdmea.cli
import scpstore.cli
from h5burst import console
from support.bounds import cases
from support.told_to_end import __file__ as driver

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")

RUN = "hdmea run made -o other --steps load_recording,add_section_time,section_spike_times"
COMMANDS = [
    "hdmea simulate other --units 1 --patch 2x2 --movies baseline_127 --sensor-s 0",
    RUN,
    "hdmea report results/a.h5",
    "hdmea info results/a.h5",
    "hdmea table results/a.h5 -o units.csv",
    "hdmea export results/a.h5 out.mat.h5",
    "hdmea annotate animals.csv results/a.h5",
    "hdmea verify results",
    "hdmea undo results/b.h5",
    "hdmea restore results/b.h5 --at 0",
    "h5burst ls results/a.h5",
    "h5burst cat results/a.h5::/units/unit_001/spike_times",
    "h5burst verify results/a.h5",
    "h5burst diff results/a.h5 results/a.h5",
    "h5burst repack results/a.h5 -o packed.h5 --compression gzip",
    "h5burst repack results/a.h5 --compression gzip",
    "h5burst salvage results/a.h5 saved.h5",
    "h5burst info results/a.h5",
    "h5burst log results/b.h5",
    "h5burst undo results/b.h5",
    "h5burst restore results/b.h5 --at 0",
    "h5burst verify results/a.h5 --deep",
    "hdmea log results/b.h5",
    "hdmea doctor .",
    "scptensor convert cells.h5 cells.h5ad",
    "scptensor report cells.h5",
    "scptensor verify cells.h5",
    "scptensor info cells.h5",
    "scptensor diff cells.h5 edited.h5",
    "scptensor log edited.h5",
    "scptensor undo edited.h5",
    "scptensor restore edited.h5 --at 0",
]
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
ROUNDS = cases(1, 40)  # of signals at each command


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording, what was made of it, twice edited, and a container, also edited."""
    here = tmp_path_factory.mktemp("told")
    made, results = here / "made", here / "results"
    words = ["--units", "3", "--patch", "3x3", "--movies", "step_up_5s_5i_b0_3x", "--sensor-s", "0", "--rate", "10000"]
    assert console.run(hdmea.cli.app, ["simulate", str(made), *words]) == 0
    steps = "load_recording,add_section_time,section_spike_times"
    assert (
        console.run(hdmea.cli.app, ["run", str(made), "-o", str(results), "--dataset-id", "a", "--steps", steps]) == 0
    )
    (here / "animals.csv").write_text("recording,age\na,61\nb,9\n")
    shutil.copy(results / "a.h5", results / "b.h5")
    with_edits = ["annotate", str(here / "animals.csv"), str(results / "b.h5"), "--recording-column", "recording"]
    assert console.run(hdmea.cli.app, with_edits) in (0, 1)
    (here / "cells.csv").write_text(",P1,P2\ncell1,1.0,2.0\ncell2,,4.0\n")
    assert console.run(scpstore.cli.app, ["convert", str(here / "cells.csv"), str(here / "cells.h5")]) == 0
    shutil.copy(here / "cells.h5", here / "edited.h5")
    with h5burst.edit(here / "edited.h5") as tx:
        tx.set_attributes((), {"note": "edited"})
    return here


def told(directory: Path, asked: list[tuple[list[str], int | str, int]]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, driver, str(directory), json.dumps(asked)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def whole(directory: Path) -> list[dict[str, Any]]:
    """Of each command what it does when nobody tells it to end."""
    return told(directory, [(command.split(), signal.SIGTERM, 0) for command in COMMANDS])


def test_commands_that_are_told_to_end_leave_files_whole(directory: Path, whole: list[dict[str, Any]]) -> None:
    words = [command.split() for command in COMMANDS]
    before = told(directory, [(["hdmea", "--version"], signal.SIGTERM, 0)])[0]["files"]
    assert [(" ".join(one), found["error"]) for one, found in zip(words, whole, strict=True) if found["code"]] == []

    chance, asked, finished = random.Random(4), [], []
    for number, (one, found) in enumerate(zip(words, whole, strict=True)):
        for turn in range(ROUNDS):
            asked.append((one, int(SIGNALS[(number + turn) % 3]), chance.randint(1, found["touches"])))
            finished.append(found["files"])
    ended = 0
    for (one, number, touch), found, done in zip(asked, told(directory, asked), finished, strict=True):
        if found["touches"] < touch:  # threads: this time it needed fewer, and was not told
            assert found["code"] == 0
            continue
        ended += 1
        what = (" ".join(one), signal.Signals(number).name, touch, found["error"])
        assert found["code"] == 128 + number, what
        said = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
        assert found["error"].splitlines()[-1] == said, what
        assert found["wrong"] == {}, what
        assert found["files"].keys() <= before.keys() | done.keys(), what
        assert before.keys() <= found["files"].keys(), what
    assert ended >= 0.9 * len(asked)


PRINTERS = {"ls", "cat"}  # which do nothing but print


@pytest.mark.parametrize("end", ["pipe", "terminal"])
def test_commands_whose_reader_goes_away_finish_or_end(directory: Path, whole: list[dict[str, Any]], end: str) -> None:
    words = [command.split() for command in COMMANDS]
    chance = random.Random(f"{end} 5")
    cases_of = [(one, found) for one, found in zip(words, whole, strict=True) for _ in range(ROUNDS)]
    asked: list[tuple[list[str], int | str, int]] = []
    asked += [(one, end, chance.randint(1, found["touches"])) for one, found in cases_of]
    for (one, done), (_, _, touch), found in zip(cases_of, asked, told(directory, asked), strict=True):
        what = (" ".join(one), end, touch, found["code"], found["wrong"])
        assert found["wrong"] == {}, what
        if end == "terminal" and found["touches"] >= touch:
            assert found["code"] == 129, what
            assert found["files"].keys() <= {*done["files"]}, what
        elif one[1] in PRINTERS:
            assert found["code"] in (0, 141), what
        else:
            assert found["code"] == 0, what
            assert found["files"].keys() == done["files"].keys(), what


@pytest.mark.parametrize("stream", ["pipe", "terminal"])
def test_follow_ends_with_its_reader(directory: Path, stream: str) -> None:
    """Without a commit that it could print."""
    ours, theirs = os.pipe() if stream == "pipe" else os.openpty()
    ignored = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    code = f"{ignored}; import sys; from h5burst.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", code, "follow", str(directory / "results" / "b.h5"), "--since", "0"]
    with subprocess.Popen(words, stdout=theirs, stderr=subprocess.PIPE, text=True) as process:
        os.close(theirs)
        assert os.read(ours, 1)
        os.close(ours)
        assert process.wait(60) == 141
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_ctrl_c_behind_a_commands_end_shows_no_traceback() -> None:
    code = """
import atexit, signal, sys
atexit.register(signal.raise_signal, signal.SIGINT)
from h5burst.starting import h5burst as main
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("package", ["h5burst", "hdmea", "scpstore"])
def test_ctrl_c_while_modules_are_imported_shows_no_traceback(package: str) -> None:
    code = f"""
import signal, sys
sys.addaudithook(lambda event, given: event == "import" and given[0] == "typer" and signal.raise_signal(signal.SIGINT))
from h5burst.starting import {package} as main
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
