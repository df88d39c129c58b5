"""`hdmea population`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from h5burst import console
from h5burst.console import output
from hdmea.utils.discovery import recording_files
from hdmea.utils.exceptions import ConfigurationError


def population(
    files: Annotated[list[Path], typer.Argument(help="Recordings (.h5), or directories of them.")],
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Directory of the tables.")],
    chip: Annotated[
        list[str] | None, typer.Option(help="name=recording,recording: match the units of one chip's recordings.")
    ] = None,
    max_types: Annotated[int, typer.Option(min=1, help="The largest number of types that is tried.")] = 60,
    type_width: Annotated[
        float, typer.Option(min=0.01, max=1, help="SD within a type, of responses of size 1; smaller: more types.")
    ] = 0.15,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    engine: Annotated[
        str, typer.Option(help="What reads recordings: local (processes of this machine) or dask.")
    ] = "local",
    scheduler: Annotated[str | None, typer.Option(help="Address of the dask scheduler.")] = None,
    scheduler_file: Annotated[str | None, typer.Option(help="File that the dask scheduler wrote.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Recordings at once; default what fits.")] = None,
    retries: Annotated[int, typer.Option(min=0, help="More tries of a recording that fails.")] = 0,
    array_task: Annotated[int | None, typer.Option(help="Only read this array task's share, numbered from 0.")] = None,
    array_count: Annotated[int | None, typer.Option(help="How many array tasks there are.")] = None,
    print_slurm: Annotated[bool, typer.Option("--print-slurm", help="Print an sbatch script instead.")] = False,
    slurm_tasks: Annotated[
        int | None, typer.Option(min=1, help="Tasks of that script; default one a recording.")
    ] = None,
) -> None:
    """Bring recordings together as one population of cells: traces, features, types, mosaics, matches.

    What an earlier call has read of a recording is not read again. An array job (--print-slurm) reads a share of the
    recordings in each task; the same command without it then makes the tables. Exit code 1: a recording was left out.

    \b
    Examples:
      hdmea population results -o population
      hdmea population results -o population --engine dask --scheduler tcp://head:8786
      hdmea population results -o population --print-slurm --slurm-tasks 20 > job.sh
    """
    from hdmea.batch.cluster import array_share, share_of
    from hdmea.batch.command import array_script
    from hdmea.batch.job import Status
    from hdmea.batch.run import Engine
    from hdmea.population.build import PARTS, build_population, check_names
    from hdmea.population.part_jobs import read_parts

    recordings = [console.existing_file(file) for file in recording_files(files)]
    chips = _chips(chip or [])
    check_names(recordings, chips)
    if print_slurm:
        script = array_script(slurm_tasks or len(recordings), None, None)
        output.say(script)
        output.result({"script": script})
        return
    progress = False if output.quiet else None
    how = Engine(engine, scheduler, scheduler_file, jobs, retries=retries, progress=progress)
    share = array_share(array_task, array_count)
    if share is not None:
        read = read_parts(share_of(recordings, *share), output_dir.absolute() / PARTS, how)
        failed = {one.dataset_id: one.reason for one in read.outcomes if one.status is not Status.DONE}
        for name, why in failed.items():
            output.progress(f"{name}: {why}")
        output.say(f"read {len(read.outcomes) - len(failed)} of {len(recordings)} recordings")
        output.result({"recordings": len(read.outcomes), "failed": failed})
        raise typer.Exit(128 + read.stopped_by if read.stopped_by is not None else int(bool(failed)))
    result = build_population(
        recordings,
        output_dir,
        chips=chips,
        max_types=max_types,
        type_width=type_width,
        seed=seed,
        engine=how,
        progress=output.progress,
    )
    if result.stopped_by is not None:
        raise typer.Exit(128 + result.stopped_by)
    for text in result.warnings:
        output.progress(text)
    output.say(f"{result.cells} cells of {result.recordings} recordings: {result.directory / 'index.html'}")
    output.result(
        {
            "directory": str(result.directory),
            "recordings": result.recordings,
            "cells": result.cells,
            "rejected": result.rejected,
            "failed": result.failed,
            "types": {group: typing.k for group, typing in result.typing.items()},
            "warnings": result.warnings,
        }
    )
    raise typer.Exit(int(bool(result.failed)))


def activity(
    files: Annotated[list[Path], typer.Argument(help="Recordings (.h5), or directories of them.")],
    output_file: Annotated[Path, typer.Option("--output", "-o", help="The table: .parquet, .csv, .tsv or .arrow.")],
    plot: Annotated[
        Path | None, typer.Option(help="Also each measure against age, by laboratory: .png, .svg or .pdf.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Write the spontaneous activity of recordings as a table: one row a recording, after the flow waves.

    \b
    Examples:
      hdmea activity waves -o activity.csv
      hdmea activity waves -o activity.parquet --plot by_age.png
    """
    from hdmea.population.activity import write_activity

    recordings = [console.existing_file(file) for file in recording_files(files)]
    table = write_activity(recordings, output_file, plot, overwrite=overwrite)
    for path in (output_file, plot):
        if path is not None:
            output.say(path)
    output.result({"file": str(output_file), "recordings": len(table), "plot": None if plot is None else str(plot)})


def _chips(given: list[str]) -> dict[str, list[str]]:
    chips = {}
    for text in given:
        name, equals, recordings = text.partition("=")
        if not (name and equals and recordings):
            raise ConfigurationError(f"--chip takes name=recording,recording, not {text!r}")
        chips[name] = [one.strip() for one in recordings.split(",")]
    return chips
