"""Commands that are told to end while they touch files: `python told_to_end.py DIRECTORY CASES` prints what follows.

CASES: a JSON list of [words of the command, number of the signal, number of the touch before which it comes]. In the
place of a signal: "pipe", whose reader ends, or "terminal", which is closed; both streams lead there. Each
runs in a fork of this process, in a copy of DIRECTORY. Prints a JSON list of {"code", "touches", "error", "files"}.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import h5burst.cli
import hdmea.cli
import scpstore.cli
from h5burst import console

APPS = {"hdmea": hdmea.cli.app, "h5burst": h5burst.cli.app, "scptensor": scpstore.cli.app}
TOUCHES = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir"}


class Reader:
    """Reads what a command prints, as a program behind a pipe or a terminal does, until it ends."""

    def __init__(self, kind: str) -> None:
        import fcntl
        import termios

        self.end, self.stream = os.pipe() if kind == "pipe" else os.openpty()
        if kind == "terminal":
            os.setsid()
            fcntl.ioctl(self.stream, termios.TIOCSCTTY, 0)  # SIGHUP comes when it is closed
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self) -> None:
        while not self.ends.is_set():
            if select.select([self.end], [], [], 0.001)[0]:
                os.read(self.end, 1 << 16)
        os.close(self.end)

    def close(self) -> None:
        self.ends.set()
        self.thread.join()


def run(words: list[str], number: int | str, before: int, here: Path) -> None:
    """The command, in a child: it leaves its exit code and the number of touches in files beside the directory."""
    os.chdir(here)
    touches = itertools.count(1)  # in whichever thread: `next` takes one whole

    def touched(event: str, arguments: tuple[Any, ...]) -> None:
        is_touch = event in TOUCHES and any(is_below(argument, here) for argument in arguments)
        if is_touch and next(touches) == before:
            signal.raise_signal(number) if isinstance(number, int) else reader.close()

    sys.stdout = here.with_suffix(".out").open("w")
    sys.stderr = here.with_suffix(".err").open("w")
    if isinstance(number, str):
        reader = Reader(number)
        os.dup2(reader.stream, 1)
        os.dup2(reader.stream, 2)
        os.close(reader.stream)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.addaudithook(touched)
    program, *rest = words
    code = console.run(APPS[program], rest)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # as Python does at its end, where a failure gives another exit code
    here.with_suffix(".code").write_text(json.dumps([code, next(touches) - 1]))


def is_below(path: Any, here: Path) -> bool:
    return isinstance(path, (str, os.PathLike)) and Path(os.path.abspath(path)).is_relative_to(here)


def hashes(directory: Path) -> dict[str, str]:
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def outcome(case: tuple[list[str], int | str, int], directory: Path, temporary: Path) -> dict[str, Any]:
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
