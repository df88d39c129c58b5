"""Commands about this machine: doctor, bench."""

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
