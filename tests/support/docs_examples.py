"""Runs the examples of a document, so that none of them can go stale.

The ```python blocks of a page are one program, run in an empty directory; it prints the lines of the ```output blocks,
among others. In its ```console blocks, each line that
begins with "$ " is a command of this distribution, run in that directory after it; it prints the lines below it, among
others, where "…" is any text.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

COMMANDS = {"h5burst": "h5burst", "hdmea": "hdmea", "scpstore": "scpstore", "scptensor": "scpstore"}


def run_examples(page: Path, directory: Path, *, timeout_s: float = 120) -> str:
    """Run all examples of `page` in `directory` and return what they print.

    AssertionError with the output of one that fails.
    """
    script = directory / f"{page.stem}_examples.py"
    script.write_text(python_program(page.read_text(encoding="utf-8")), encoding="utf-8")
    printed = _run([sys.executable, str(script)], directory, f"the python blocks of {page.name}", timeout_s)
    script.unlink()
    _assert_says(printed, output_of_the_program(page.read_text(encoding="utf-8")), f"the program of {page.name}")
    for command, expected in console_commands_and_output(page.read_text(encoding="utf-8")):
        program, *arguments = shlex.split(command)
        assert program in COMMANDS, f"{page.name}: only {list(COMMANDS)} can be run, not {command!r}"
        start = f"import sys; from {COMMANDS[program]}.cli import main; sys.exit(main())"
        said = _run([sys.executable, "-c", start, *arguments], directory, f"{page.name}: {command}", timeout_s)
        _assert_says(said, expected, f"{page.name}: {command}")
        printed += said
    return printed


def _assert_says(said: str, expected: list[str], what: str) -> None:
    for line in expected:
        pattern = ".*".join(map(re.escape, line.split("…")))
        assert re.search(f"^{pattern}$", said, re.MULTILINE), f"{what} does not say {line!r}:\n{said}"


def python_program(text: str) -> str:
    """The ```python blocks of a page; every line keeps its number, so that a traceback points into the page."""
    return "\n".join(line if language == "python" else "" for line, language in _lines(text)) + "\n"


def output_of_the_program(text: str) -> list[str]:
    """The lines of the ```output blocks of a page, which show what its ```python blocks print."""
    return [line for line, language in _lines(text) if language == "output" and line.strip()]


def console_commands(text: str) -> list[str]:
    """What follows "$ " in the ```console blocks of a page."""
    return [command for command, _ in console_commands_and_output(text)]


def console_commands_and_output(text: str) -> list[tuple[str, list[str]]]:
    """Each command of the ```console blocks with the lines that the page shows below it."""
    found: list[tuple[str, list[str]]] = []
    for line, language in _lines(text):
        if language == "console" and line.startswith("$ "):
            found.append((line[2:], []))
        elif language == "console" and line.strip():
            found[-1][1].append(line)
    return found


def _lines(text: str) -> list[tuple[str, str]]:
    """Every line with the language of the block that it is in; "" outside of blocks, and for the fences."""
    found, language, inside = [], "", False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = not inside
            language = line[3:].strip() if inside else ""
            found.append((line, ""))
        else:
            found.append((line, language if inside else ""))
    return found


def _run(command: list[str], directory: Path, what: str, timeout_s: float) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"{what} failed:\n{done.stdout}{done.stderr}"
    return done.stdout
