"""The command `hdmea report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from h5burst import console
from h5burst.console import output as screen


def report(
    source: Annotated[Path, typer.Argument(help="A recording (.h5), a directory of them, or of a population.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The page; default beside the file.")] = None,
    units: Annotated[str | None, typer.Option(help="Only these units, comma-separated.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is not a report.")] = False,
) -> None:
    """Write a recording as one HTML page that opens from disk; of a directory, a page each and their index.

    Exit code 1 where a recording of the directory has no page: the index says why. The directory of a
    population (`hdmea population`) is one page.

    \b
    Examples:
      hdmea report results/simulated.h5
      hdmea report results/simulated.h5 -o page.html --units unit_001,unit_002
      hdmea report results
      hdmea report population
    """
    from hdmea.report.directory import without_page
    from hdmea.report.population import is_population
    from hdmea.report.write import write_report

    if not source.is_dir():
        console.existing_file(source)
    names = None if units is None else [name.strip() for name in units.split(",") if name.strip()]
    path = write_report(source, output, units=names, overwrite=overwrite)
    screen.say(path)
    without = [str(file) for file in without_page(source)] if source.is_dir() and not is_population(source) else []
    for file in without:
        screen.progress(f"no page about {file}: {path} says why")
    of_directory = {"without_page": without} if source.is_dir() else {}
    screen.result({"file": str(path), "bytes": path.stat().st_size, **of_directory})
    raise typer.Exit(int(bool(without)))
