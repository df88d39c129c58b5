"""`hdmea batch`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from h5burst.console import output
from hdmea.utils.exceptions import ConfigurationError
from hdmea.utils.problems import Problems

PlaylistFile = Annotated[Path | None, typer.Option(help="CSV of the playlists' movies.")]
MovieLengths = Annotated[Path | None, typer.Option(help="CSV of the movies' lengths in frames.")]
Stimuli = Annotated[Path | None, typer.Option(help="Directory of the movies' frames (.npy).")]
Configs = Annotated[Path | None, typer.Option(help="Directory of the stimulus configs (.json).")]

EXAMPLES = """
Run many recordings, one HDF5 file each. What is complete is skipped, what was checkpointed goes on.

\b
A manifest, recordings.csv, of what `hdmea simulate made` writes; "playlist" is for recordings with a stimulus:
  cmcr,cmtr,playlist
  made/simulated.cmcr,made/simulated.cmtr,simulated

\b
Examples:
  hdmea batch recordings.csv -o all --playlist-file made/playlist.csv --movie-lengths made/movie_length.csv
      --stimuli made/stimuli --configs made/configs --report
  hdmea batch spikes.csv -o waves --jobs 4 --memory-budget 4GiB --retries 1
  hdmea batch spikes.csv -o waves --skip-by-mark
  hdmea batch spikes.csv -o own --set add_section_windows.length_s=30 --import my_features.py
      --set 'extract_features.features=["baseline_127", "mine"]'
  hdmea batch spikes.csv -o waves --engine dask --scheduler tcp://head:8786
  hdmea batch spikes.csv -o waves --print-slurm > job.sh
"""


def batch(
    manifest: Annotated[Path, typer.Argument(help="CSV, JSON Lines or TOML, one recording a row; or a directory.")],
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Directory of the output files.")],
    flow: Annotated[str | None, typer.Option(help="Steps and parameters: a flow that ships, or a JSON file.")] = None,
    steps: Annotated[str | None, typer.Option(help="Steps, comma-separated; default the usual ones.")] = None,
    playlist_file: PlaylistFile = None,
    movie_lengths: MovieLengths = None,
    stimuli: Stimuli = None,
    configs: Configs = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="step.parameter=value (JSON, else text).")] = None,
    engine: Annotated[str, typer.Option(help="local (a process a recording) or dask.")] = "local",
    scheduler: Annotated[str | None, typer.Option(help="Address of the dask scheduler.")] = None,
    scheduler_file: Annotated[str | None, typer.Option(help="File that the dask scheduler wrote.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Recordings at once; default what fits.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each recording.")] = None,
    memory_budget: Annotated[str | None, typer.Option(help="Memory of one recording's arrays, as 4GiB.")] = None,
    array_task: Annotated[int | None, typer.Option(help="Number of this array task, from 0.")] = None,
    array_count: Annotated[int | None, typer.Option(help="How many array tasks there are.")] = None,
    print_slurm: Annotated[bool, typer.Option("--print-slurm", help="Print an sbatch script instead.")] = False,
    slurm_tasks: Annotated[
        int | None, typer.Option(min=1, help="Tasks of that script; default one a recording.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Redo what is complete.")] = False,
    checkpoint_steps: Annotated[bool, typer.Option(help="Checkpoint after every step.")] = False,
    compression: Annotated[str | None, typer.Option(help="gzip, lzf, blosc or zstd.")] = None,
    retries: Annotated[int, typer.Option(min=0, help="More tries of a recording that fails.")] = 0,
    import_: Annotated[
        list[str] | None, typer.Option("--import", help="Module with features of your own (name or .py file).")
    ] = None,
    skip_by_mark: Annotated[
        bool, typer.Option("--skip-by-mark", help="Skip files of the same steps and parameters without reading them.")
    ] = False,
    max_failures: Annotated[int | None, typer.Option(min=0, help="Start no more after more failures.")] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Write a page about each recording, and their index.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Show in index.html what is done while it runs; browsers renew it.")
    ] = False,
) -> None:
    from hdmea.batch.job import JobOptions
    from hdmea.batch.manifest import reject_directory
    from hdmea.batch.progress import print_summary
    from hdmea.batch.resources import plan_resources
    from hdmea.batch.run import plan, run_batch

    names = [name.strip() for name in steps.split(",")] if steps else None
    files = {"playlist_file_path": playlist_file, "movie_length_file_path": movie_lengths}
    problems, parameters = Problems(), {}
    with problems.noting():
        parameters = parameters_of(set_ or [], {**files, "stimuli_dir": stimuli, "config_dir": configs})
    if problems:  # what else is wrong is said with it
        with problems.noting():
            plan_resources(1, jobs, threads, memory_budget)
        with problems.noting():
            plan(manifest, output_dir, flow=flow, steps=names, options=JobOptions(compression=compression))
    problems.raise_any()
    if print_slurm:
        reject_directory(manifest)
        options = JobOptions(force, checkpoint_steps, compression)
        planned = plan(manifest, output_dir, flow=flow, steps=names, parameters=parameters, options=options)
        script = array_script(slurm_tasks or len(planned), threads, memory_budget)
        output.say(script)
        output.result({"script": script})
        return
    result = run_batch(
        manifest, output_dir, flow=flow, steps=names, parameters=parameters, engine=engine, scheduler=scheduler,
        scheduler_file=scheduler_file, jobs=jobs, threads=threads, memory_budget=memory_budget, array_task=array_task,
        array_count=array_count, force=force, checkpoint_steps=checkpoint_steps, compression=compression,
        retries=retries, max_failures=max_failures,
        progress=False if output.quiet else None, by_mark=skip_by_mark, imports=import_ or (), report=report,
        live=live,
    )  # fmt: skip
    print_summary(result.outcomes)
    output.say(f"summary: {result.summary_path}")
    written = {}
    if result.index_path is not None:
        output.say(f"pages: {result.index_path}")
        written["report"] = str(result.index_path)
    output.result({**result.summary, **written})
    raise typer.Exit(result.exit_code)


batch.__doc__ = EXAMPLES


def parameters_of(settings: list[str], files: Mapping[str, Path | None]) -> dict[str, dict[str, Any]]:
    """The parameters that options give: `--set` before what files every step takes that knows such a file.

    files: parameter to the path that was given. Raises `ConfigurationError` for a path that is not there.
    """
    from hdmea.step_table import STEPS

    problems = Problems()
    parameters: dict[str, dict[str, Any]] = {}
    for name, path in files.items():
        if path is None:
            continue
        with problems.noting():
            if not path.exists():
                raise FileNotFoundError(f"No such file or directory: {path}")
        for step in STEPS.values():
            if name in step.parameters():
                parameters.setdefault(step.name, {})[name] = str(path.absolute())
    with problems.noting():
        for step_name, step_settings in read_settings(settings).items():
            parameters.setdefault(step_name, {}).update(step_settings)
    problems.raise_any()
    return parameters


def read_settings(settings: list[str]) -> dict[str, dict[str, Any]]:
    """`step.parameter=value` options as parameters. Raises `ConfigurationError` for text of another form."""
    parameters: dict[str, dict[str, Any]] = {}
    for setting in settings:
        target, equals, text = setting.partition("=")
        step, dot, parameter = target.partition(".")
        if not (equals and dot and step and parameter):
            raise ConfigurationError(f"--set takes step.parameter=value, not {setting!r}")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        parameters.setdefault(step, {})[parameter] = value
    return parameters


_SLURM_THREADS, _SLURM_MEMORY = 4, "8GiB"  # asked for where nobody says; the login node's own say nothing
_OF_THE_SCRIPT = ("--slurm-tasks", "--array-task", "--array-count")  # options with a value that the script decides


def array_script(tasks: int, threads: int | None, memory_budget: str | None) -> str:
    """The Slurm script for this very command line, less what the script itself decides."""
    from h5burst import parse_bytes
    from hdmea.batch.cluster import slurm_script
    from hdmea.batch.resources import Resources, plan_resources

    words, skip = [], False
    for word in sys.argv[1:]:
        name = word.split("=", 1)[0]
        if skip or name in ("--print-slurm", *_OF_THE_SCRIPT):
            skip = not skip and name in _OF_THE_SCRIPT and "=" not in word
            continue
        words.append(word)
    plan_resources(1, 1, threads, memory_budget)  # raises what is wrong with them
    asked = Resources(1, threads or _SLURM_THREADS, parse_bytes(memory_budget or _SLURM_MEMORY))
    return slurm_script([*words, "--jobs", "1"], tasks, asked)
