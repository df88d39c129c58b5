"""Commands about what edits have made of a container's file: log, undo, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from h5burst import states

File = Annotated[Path, typer.Argument(help="A container's file (.h5, .h5ad).")]


def log(file: File) -> None:
    """Show the edits of a container's file, newest first. A file that was saved and never edited has one entry.

    Whoever gets the file can read this, and restore what was removed; h5burst repack drops it.

    \b
    Examples:
      scptensor log cells.h5
    """
    states.log(file)


def undo(file: File) -> None:
    """Take back the last edit of a container's file; exit code 1 where there is none. Nothing is lost.

    \b
    Examples:
      scptensor undo cells.h5
    """
    states.undo(file)


def restore(
    file: File,
    at: Annotated[str, typer.Option("--at", help="The state: its number in `scptensor log`, or a time (UTC).")],
) -> None:
    """Make an earlier state of a container's file the newest, by a commit: nothing is lost, and it can be undone.

    \b
    Examples:
      scptensor restore cells.h5 --at 0
    """
    states.restore(file, at)
