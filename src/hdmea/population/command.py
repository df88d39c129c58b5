"""`hdmea population`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from h5burst import console
from h5burst.console import output
from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.inputs import recording_files


def population(
    files: Annotated[list[Path], typer.Argument(help="Recordings (.h5), or directories of them.")],
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Directory of the tables.")],
    chip: Annotated[
        list[str] | None, typer.Option(help="name=recording,recording: match the units of one chip's recordings.")
    ] = None,
    most_types: Annotated[int, typer.Option(min=1, help="The largest number of types that is tried.")] = 60,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Recordings at once.")] = None,
) -> None:
    """Bring recordings together as one population of cells: traces, features, types, mosaics, matches.

    What an earlier call has read of a recording is not read again.

    \b
    Examples:
      hdmea population results -o population
    """
    from hdmea.population.build import build_population

    recordings = [console.existing_file(file) for file in recording_files(files)]
    made = build_population(
        recordings, output_dir, chips=_chips(chip or []), most_types=most_types, seed=seed, threads=threads,
        progress=output.progress,
    )  # fmt: skip
    for text in made.warnings:
        output.progress(text)
    output.say(f"{made.cells} cells of {made.recordings} recordings: {made.directory / 'index.html'}")
    output.result(
        {
            "directory": str(made.directory),
            "recordings": made.recordings,
            "cells": made.cells,
            "rejected": made.rejected,
            "types": {group: found.k for group, found in made.typing.items()},
            "warnings": made.warnings,
        }
    )


def _chips(given: list[str]) -> dict[str, list[str]]:
    chips = {}
    for text in given:
        name, equals, recordings = text.partition("=")
        if not (name and equals and recordings):
            raise ConfigurationError(f"--chip takes name=recording,recording, not {text!r}")
        chips[name] = [one.strip() for one in recordings.split(",")]
    return chips
