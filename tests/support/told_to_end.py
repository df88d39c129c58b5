"""Commands that are told to end while they touch files: `python told_to_end.py DIRECTORY CASES` prints what follows.

CASES: a JSON list of [words of the command, number of the signal, number of the touch before which it comes]. Each
runs in a fork of this process, in a copy of DIRECTORY. Prints a JSON list of {"code", "touches", "error", "files"}.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5burst.cli
import hdmea.cli
import scpstore.cli
from h5burst import console

APPS = {"hdmea": hdmea.cli.app, "h5burst": h5burst.cli.app, "scptensor": scpstore.cli.app}
TOUCHES = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir"}


def run(words: list[str], number: int, before: int, here: Path) -> None:
    """The command, in a child: it leaves its exit code and the number of touches in files beside the directory."""
    os.chdir(here)
    touches = itertools.count(1)  # in whichever thread: `next` takes one whole

    def touched(event: str, arguments: tuple[Any, ...]) -> None:
        is_touch = event in TOUCHES and any(is_below(argument, here) for argument in arguments)
        if is_touch and next(touches) == before:
            signal.raise_signal(number)

    sys.stdout = here.with_suffix(".out").open("w")
    sys.stderr = here.with_suffix(".err").open("w")
    sys.addaudithook(touched)
    program, *rest = words
    code = console.run(APPS[program], rest)
    sys.stderr.flush()
    here.with_suffix(".code").write_text(json.dumps([code, next(touches) - 1]))


def is_below(path: Any, here: Path) -> bool:
    return isinstance(path, (str, os.PathLike)) and Path(os.path.abspath(path)).is_relative_to(here)


def hashes(directory: Path) -> dict[str, str]:
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def outcome(case: tuple[list[str], int, int], directory: Path, temporary: Path) -> dict[str, Any]:
    here = temporary / "case"
    shutil.copytree(directory, here)
    child = os.fork()
    if child == 0:
        try:
            run(*case, here)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    code, touches = json.loads(here.with_suffix(".code").read_text())
    wrong = {str(path.relative_to(here)): wrong_with(path) for path in sorted(here.rglob("*.h5"))}
    found = {
        "code": code,
        "touches": touches,
        "error": here.with_suffix(".err").read_text(),
        "files": hashes(here),
        "wrong": {name: why for name, why in wrong.items() if why},
    }
    shutil.rmtree(here)
    return found


def wrong_with(path: Path) -> str:
    """Whether a file of ours is damaged, or still held by somebody."""
    if problems := h5burst.verify(path):
        return str(problems[0])
    try:
        with h5burst.edit(path):
            return ""
    except OSError as error:
        return str(error)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        found = [outcome(tuple(case), Path(sys.argv[1]), Path(place).resolve()) for case in json.loads(sys.argv[2])]
    print(json.dumps(found))
