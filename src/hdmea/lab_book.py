"""Commands about what was done to a recording's file: log, undo, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from h5burst import console, states
from hdmea.session import lab_book

File = Annotated[Path, typer.Argument(help="A recording file.")]


def log(file: File) -> None:
    """Show what was done to a recording, newest first: a line a step that wrote into it, with parameters and duration.

    Where a file has no history, because it is edited as a copy, the lines are kept in the file itself.
    Whoever gets the file can read this, and restore what was removed; h5burst repack drops it.

    \b
    Examples:
      hdmea log results/simulated.h5
    """
    states.show_log(file, noted=lab_book.noted(console.existing_file(file)))


def undo(file: File) -> None:
    """Take back the last step that wrote into a recording; exit code 1 where there is none. Nothing is lost.

    \b
    Examples:
      hdmea undo results/simulated.h5
    """
    states.undo(file)


def restore(
    file: File,
    at: Annotated[str, typer.Option("--at", help="The state: its number in `hdmea log`, or a time (UTC).")],
) -> None:
    """Make an earlier state of a recording the newest, by a commit: nothing is lost, and it can be undone.

    \b
    Examples:
      hdmea restore results/simulated.h5 --at 0
    """
    states.restore(file, at)
