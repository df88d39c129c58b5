"""Commands about this machine: doctor, bench, auto."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from h5burst import console
from h5burst.console import output


def doctor(
    directory: Annotated[
        Path, typer.Option("--directory", "-d", help="Where locks and the speed of the disk are tried.")
    ] = Path(),
) -> None:
    """Show what is installed and whether it works; exit code 1 and what to do where something is wrong.

    \b
    Examples:
      h5burst doctor
      h5burst doctor --directory results
    """
    from h5burst.installation import examine

    findings = examine(directory)
    console.print_rows([(finding.topic, finding.name, finding.value) for finding in findings])
    problems = [finding for finding in findings if finding.problem]
    for finding in problems:
        output.say(f"problem: {finding.name}: {finding.problem}")
    for finding in findings:
        if finding.warning:
            output.say(f"warning: {finding.name}: {finding.warning}")
    if not problems:
        output.say("OK")
    output.result([dataclasses.asdict(finding) for finding in findings])
    raise typer.Exit(int(bool(problems)))


def bench(
    directory: Annotated[
        Path | None, typer.Option("--directory", "-d", help="Where files are written; removed afterwards.")
    ] = None,
) -> None:
    """Measure a few works beside h5py and h5repack on this machine, in turns: about half a minute.

    \b
    Examples:
      h5burst bench
      h5burst bench --directory results --json
    """
    from h5burst.benching import measure

    if directory is not None and not directory.is_dir():
        raise NotADirectoryError(f"{directory} is not a directory")
    rows = []
    for row in measure(directory):
        rows.append(row)
        output.progress(f"{row.work}: {row.ratio:.1f} times {row.other}")
    table = [
        (row.work, f"{row.ours_s * 1e3:.1f} ms", row.other, f"{row.other_s * 1e3:.1f} ms", f"{row.ratio:.1f}x")
        for row in rows
    ]
    console.print_rows(table, ("work", "h5burst", "beside", "took", "ratio"))
    output.result([dataclasses.asdict(row) | {"ratio": row.ratio} for row in rows])


def auto(
    install: Annotated[
        bool, typer.Option("--install", help="Let H5BURST_AUTO=1 do for every program of this virtual environment.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take that back; nothing stays.")] = False,
) -> None:
    """Let programs of this virtual environment that use h5py read and write in threads, where H5BURST_AUTO is set.

    Without an option: say whether they do. H5BURST_AUTO=report also prints at the end what was taken over.

    \b
    Examples:
      h5burst auto
    """
    from h5burst.accelerate import installing

    if install and remove:
        raise typer.BadParameter("--install or --remove, not both")
    if install:
        paths = list(installing.install())
        output.say("written: " + ", ".join(map(str, paths)))
        output.say("programs use it with H5BURST_AUTO=1 in their environment; h5burst auto --remove takes it back")
    elif remove:
        paths = installing.remove()
        output.say("removed: " + (", ".join(map(str, paths)) or "nothing was there"))
    else:
        paths = [path for path in installing.files() if path.exists()]
        output.say(f"{'installed' if installing.is_installed() else 'not installed'} in {installing.files()[0].parent}")
    output.result({"installed": installing.is_installed(), "files": [str(path) for path in paths]})
