"""Commands about earlier states: log, undo, restore, follow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from h5burst import console
from h5burst.console import output
from h5burst.memory.budget import format_bytes
from h5burst.read.history import printable

File = Annotated[Path, typer.Argument(help="An HDF5 file.")]
At = Annotated[str | None, typer.Option("--at", help="An earlier state: its number in `h5burst log`, or a time.")]
Wait = Annotated[float, typer.Option(min=0.0, help="Seconds to wait while others write the file.")]


def state_of(text: str | None) -> Any:
    """The state that --at names: a number, else a time as text."""
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        return text


def log(
    file: File,
    paths: Annotated[bool, typer.Option("--paths", help="Show what each commit changed, too.")] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Also of a file for older programs that was copied without its times.")
    ] = False,
) -> None:
    """Show the commits of a file, newest first: number, time, what was done, bytes added.

    Whoever gets the file can read this, and restore what was removed; h5burst repack drops it.

    \b
    Examples:
      h5burst log results/simulated.h5
      h5burst log results/simulated.h5 --paths
    """
    show_log(file, paths=paths, trust=trust)


def show_log(file: Path, *, paths: bool = False, trust: bool = False, noted: list[str] | None = None) -> None:
    """Print a log. noted: what the file tells besides, in a way of the caller's."""
    import h5burst

    history = h5burst.log(console.existing_file(file), trust=trust)
    shown = []
    for commit in history:
        output.say(f"{commit}  (+{format_bytes(commit.bytes_added)})" if commit.way else str(commit))
        entry = dataclasses.asdict(commit)
        if paths and commit.way:
            entry["paths"] = _paths(file, commit.number)
            for change in entry["paths"] or ():
                output.say(f"    {change}")
        shown.append(entry)
    if not shown:
        output.say(f"no history: {history.reason}")
    for one in noted or ():
        output.say(printable(one))
    more = {} if noted is None else {"noted": noted}
    output.result({"file": str(file), "commits": shown, "reason": history.reason, **more})


def _paths(file: Path, number: int) -> list[str] | None:
    """Paths that a commit changed; None where one of its states was dropped."""
    import h5burst

    try:
        return [str(change) for change in h5burst.changes(file, number - 1, number)]
    except LookupError:
        return None


def restore(
    file: File,
    at: Annotated[str, typer.Option("--at", help="The state: its number in `h5burst log`, or a time (UTC).")],
    message: Annotated[str | None, typer.Option("--message", "-m", help="What the log shall say.")] = None,
    wait: Wait = 0.0,
) -> None:
    """Make an earlier state the newest, by a commit: nothing is lost, and it can be undone.

    \b
    Examples:
      h5burst restore results/simulated.h5 --at 0
    """
    import h5burst

    _report(file, lambda: h5burst.restore(console.existing_file(file), state_of(at), message, wait=wait))


def undo(file: File, wait: Wait = 0.0) -> None:
    """Restore the state before the one that shows; exit code 1 at the first one.

    \b
    Examples:
      h5burst undo results/simulated.h5
    """
    import h5burst

    _report(file, lambda: h5burst.undo(console.existing_file(file), wait=wait))


def _report(file: Path, work: Any) -> None:
    try:
        commit = work()
    except LookupError as error:
        output.result({"file": str(file), "error": str(error)})
        output.say(str(error))
        raise typer.Exit(1) from None
    output.say(f"{file}: {commit}")
    output.result({"file": str(file), "commit": dataclasses.asdict(commit)})


def follow(
    file: File,
    since: Annotated[int | None, typer.Option(min=0, help="Begin after this commit; without it, from now on.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0.0, help="End after so many seconds without a commit.")] = None,
) -> None:
    """Print commits as they come, and what each changed, until Ctrl-C; with --json a line each.

    \b
    Examples:
      h5burst follow results/simulated.h5 --since 0 --timeout 1
    """
    from h5burst.following import looks

    output.ends_with_reader = True
    for item in looks(file, since, timeout):
        if item is None:
            if console.is_reader_gone():
                raise typer.Exit(console.NO_READER)
            continue
        output.say(console.shown(item))
        output.line({"commit": dataclasses.asdict(item.commit), "paths": item.paths})
