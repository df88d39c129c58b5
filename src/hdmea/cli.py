"""The `hdmea` command."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated, Any

import typer

from h5burst import codecs, console, durable
from h5burst import memory_budget as resolve_budget
from h5burst.console import output
from hdmea.batch.command import Configs, MovieLengths, PlaylistFile, Stimuli, batch
from hdmea.bridges.command import counted, info, table
from hdmea.bridges.export_command import export
from hdmea.lab_book import log, restore, undo
from hdmea.population.command import activity, population
from hdmea.report.command import report
from hdmea.utils.discovery import Inputs, find_inputs, recording_files
from hdmea.utils.exceptions import ConfigurationError

if TYPE_CHECKING:
    from hdmea.pipeline import PipelineSession
    from hdmea.steps.step_call import StepCall
    from hdmea.utils.problems import Problems

app = typer.Typer(
    help="Multi-electrode-array recordings of a retina: from the vendor's files to one HDF5 file a recording.",
    epilog=console.EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=console.SETTINGS,
)


def demo(
    output_dir: Annotated[Path | None, typer.Option("--output-dir", "-o", help="Keep all files here.")] = None,
    units: Annotated[int | None, typer.Option(min=1, help="Units to simulate; default 40, with --full 100.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another retina.")] = 0,
    full: Annotated[
        bool, typer.Option("--full", help="A whole chip, seven stimuli, and all that makes real recordings awkward.")
    ] = False,
) -> None:
    """Simulate a recording, run the whole pipeline on it, and print what was recovered beside the truth.

    It also writes a page about the recording, and says where that is: in the output directory, else in a temporary one.
    The full recording takes 2.2 GB of disk while the demonstration lasts.

    \b
    Examples:
      hdmea demo
      hdmea demo --output-dir demo --units 100
      hdmea demo --full
    """
    from hdmea.report.page import may_write

    units, name = units or (100 if full else 40), "full.html" if full else "demo.html"
    if output_dir is not None:
        may_write(output_dir / name, overwrite=False)
        _demo(output_dir, lambda: output_dir / name, units, seed, full)
        return
    with durable.temporary_directory() as directory:
        _demo(directory, lambda: Path(mkdtemp(prefix="hdmea_demo_")) / name, units, seed, full)


def _demo(directory: Path, page_of: Callable[[], Path], units: int, seed: int, full: bool) -> None:
    from h5burst import format_bytes
    from hdmea import demo, demo_full
    from hdmea.report import write_report

    make, analyse, compare = (
        (demo_full.simulate_full, demo_full.analyse_full, demo_full.compare_full)
        if full
        else (demo.simulate_demo, demo.analyse, demo.compare)
    )
    started = time.perf_counter()
    recording = make(directory, units, seed)
    simulated = time.perf_counter()
    output.say(f"simulated {units} units, {recording.duration_s / 60:.1f} minutes ({simulated - started:.1f} s)")
    session = analyse(recording, directory)
    analysed = time.perf_counter()
    path = session.ensure_saved() if full else session.save(overwrite=True)  # the batch has saved it
    saved = time.perf_counter()
    how = "" if full else f", saved in {saved - analysed:.2f} s"
    size = format_bytes(path.stat().st_size)
    output.say(f"analysed{' and saved' if full else ''} in {analysed - simulated:.1f} s{how}: {path.name}, {size}")
    findings = compare(session, recording)
    rows = [(finding.subject, finding.result, "yes" if finding.passed else "no") for finding in findings]
    console.print_rows(rows, ("result", "against the truth", "right"))
    page = write_report(path, page_of())
    output.say(f"to look at, in any browser: {page}")
    output.result(
        {
            "file": str(path),
            "report": str(page),
            "simulate_s": simulated - started,
            "analyse_s": analysed - simulated,
            "save_s": saved - analysed,
            "findings": [{"what": one.subject, "found": one.result, "as_true": bool(one.passed)} for one in findings],
        }
    )
    if not all(finding.passed for finding in findings):
        raise typer.Exit(1)


def simulate(
    output_dir: Annotated[Path, typer.Argument(help="Directory for the files.")],
    name: Annotated[str, typer.Option(help="Name of the .cmcr and .cmtr files.")] = "simulated",
    units: Annotated[int, typer.Option(min=0, help="Units.")] = 40,
    patch: Annotated[str, typer.Option(help="Rows x columns of the sensor patch, up to 65x65.")] = "16x16",
    movies: Annotated[
        str | None, typer.Option(help="Movies of the playlist, comma-separated; a wrong name lists those there are.")
    ] = None,
    duration_s: Annotated[float | None, typer.Option(help="Length; default as long as the playlist takes.")] = None,
    sensor_s: Annotated[float | None, typer.Option(help="Seconds with sensor data; default all of it.")] = None,
    rate: Annotated[float, typer.Option(help="Samples a second.")] = 20000.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
    realistic: Annotated[bool, typer.Option("--realistic", help="With all that makes real ones awkward.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Write a simulated recording with known truth: .cmcr, .cmtr, playlist, movie lengths, stimuli, configs.

    \b
    Examples:
      hdmea simulate made --units 5 --patch 8x8 --sensor-s 1
      hdmea simulate chip --patch 65x65 --duration-s 1200 --sensor-s 10 --realistic
    """
    from hdmea.simulate import DEFAULT_PLAYLIST, REALISTIC, simulate_recording

    for suffix in (".cmcr", ".cmtr"):
        durable.require_absent(output_dir / f"{name}{suffix}", overwrite)
    recording = simulate_recording(
        output_dir,
        name=name,
        n_units=units,
        patch=_patch(patch),
        playlist=DEFAULT_PLAYLIST if movies is None else tuple(movie.strip() for movie in movies.split(",")),
        duration_s=duration_s,
        sensor_duration_s=sensor_s,
        sampling_rate=rate,
        seed=seed,
        overwrite=overwrite,
        options=REALISTIC if realistic else None,
    )
    output.say(f"{recording.cmcr_path}\n{recording.cmtr_path}")
    output.say(
        f"playlist {recording.playlist_name!r}: {counted(len(recording.movies), 'movies')}, "
        f"{recording.duration_s:.0f} s, {counted(units, 'units')}"
    )
    names = [item.name for item in fields(recording) if item.name.endswith(("path", "dir"))]
    files = {name: getattr(recording, name) for name in names}
    output.result({**files, "playlist": recording.playlist_name, "movies": recording.movies, "units": units})


def _patch(text: str) -> tuple[int, int]:
    rows, _, columns = text.lower().partition("x")
    if not (rows.isdecimal() and columns.isdecimal()):
        raise typer.BadParameter(f"a patch is rows x columns, such as 16x16, not {text!r}")
    return int(rows), int(columns)


def run(
    directory: Annotated[
        Path | None, typer.Argument(help="Holds a recording and what goes with it; options say what is elsewhere.")
    ] = None,
    cmcr: Annotated[Path | None, typer.Option(help="Raw recording (.cmcr).")] = None,
    cmtr: Annotated[Path | None, typer.Option(help="Spike-sorted recording (.cmtr).")] = None,
    spikes: Annotated[
        Path | None, typer.Option(help="Instead: spikes sorted elsewhere (HDF5, or Kilosort's directory).")
    ] = None,
    dataset_id: Annotated[str | None, typer.Option(help="Name of the output; default the input's.")] = None,
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Directory of the output.")] = Path(
        "artifacts"
    ),
    playlist: Annotated[str | None, typer.Option(help="Playlist that was shown.")] = None,
    playlist_file: PlaylistFile = None,
    movie_lengths: MovieLengths = None,
    stimuli: Stimuli = None,
    configs: Configs = None,
    flow: Annotated[str | None, typer.Option(help="Steps and parameters: a flow that ships, or a JSON file.")] = None,
    steps: Annotated[str | None, typer.Option(help="Steps, comma-separated; default the usual ones.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="step.parameter=value (JSON, else text).")] = None,
    memory_budget: Annotated[str | None, typer.Option(help="Memory of the recording's arrays, as 4GiB.")] = None,
    compression: Annotated[str | None, typer.Option(help="gzip, lzf, blosc or zstd.")] = None,
    import_: Annotated[
        list[str] | None, typer.Option("--import", help="Module with features of your own (name or .py file).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that is there.")] = False,
    page: Annotated[bool, typer.Option("--report", help="Write a page about it beside the output.")] = False,
) -> None:
    """Run the pipeline on one recording and save it once, at the end. Prints the output's path.

    \b
    Examples:
      hdmea simulate made --units 5 --patch 8x8 --sensor-s 1
      hdmea run made -o results --report
      hdmea run --cmcr made/simulated.cmcr --cmtr made/simulated.cmtr --playlist simulated
          --playlist-file made/playlist.csv --movie-lengths made/movie_length.csv
          --stimuli made/stimuli --configs made/configs --dataset-id again -o results
      hdmea run --spikes spikes.h5 --set add_section_windows.length_s=60 -o results
    """
    from hdmea.batch.command import parameters_of
    from hdmea.batch.recipe import read_parameters
    from hdmea.utils.problems import Problems

    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.ERROR if output.quiet else logging.WARNING)
    if directory is None and not (cmcr or cmtr or spikes):
        raise ConfigurationError("name a recording: hdmea run DIRECTORY, or the options --cmcr, --cmtr or --spikes")
    problems, request = Problems(), _Request()
    inputs = Inputs(cmcr, cmtr, playlist, playlist_file, movie_lengths, stimuli, configs)
    if directory is not None:
        if spikes is not None:
            raise typer.BadParameter("a directory is for .cmcr and .cmtr files: leave it away with --spikes")
        with problems.noting():
            inputs = find_inputs(directory, inputs)
            output.progress(f"found {inputs}")
            if inputs.cmtr is None:
                logging.warning("no sorted spikes (.cmtr) in %s, so no units: --cmtr names the file", directory)
            if inputs.cmcr is None:
                logging.warning("no raw recording (.cmcr) in %s, so no frame pulses: --cmcr names the file", directory)
    are_found = not problems
    with problems.noting():
        if flow is not None:
            request.names, request.parameters = read_parameters(flow)
    if steps:
        request.names = [name.strip() for name in steps.split(",")]
    with problems.noting():
        files = {"playlist_file_path": inputs.playlist_file, "movie_length_file_path": inputs.movie_lengths}
        directories = {"stimuli_dir": inputs.stimuli, "config_dir": inputs.configs}
        for step, arguments in parameters_of([], {**files, **directories}).items():
            request.parameters.setdefault(step, {}).update(arguments)
    with problems.noting():  # apart, so that what is wrong here does not hide the files
        for step, arguments in parameters_of(set_ or [], {}).items():
            request.parameters.setdefault(step, {}).update(arguments)
    row = None
    if are_found:
        row = {"cmcr": inputs.cmcr, "cmtr": inputs.cmtr, "spikes": spikes, "dataset_id": dataset_id}
        row["playlist"] = inputs.playlist
    request.page = page
    prepared = _prepared(row, request, output_dir, memory_budget, compression, overwrite, import_ or (), problems)
    _run_steps(*prepared, overwrite=overwrite, compression=compression, page=page)


@dataclass
class _Request:
    """Steps that are asked for, and their parameters."""

    names: list[str] | None = None
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    page: bool = False


def _prepared(
    row: dict[str, Any] | None,
    request: _Request,
    output_dir: Path,
    memory_budget: str | None,
    compression: str | None,
    overwrite: bool,
    modules: Sequence[str],
    problems: Problems,
) -> tuple[PipelineSession, list[StepCall]]:
    """The session and its steps. Raises all that is wrong and can be known before the first step.

    Without a row, `problems` say already why there is no recording.
    """
    from hdmea.batch.manifest import recording_of
    from hdmea.batch.recipe import steps_for
    from hdmea.pipeline import create_session
    from hdmea.report.page import may_write
    from hdmea.steps.section_time import requested_movies
    from hdmea.utils.names import recording_path
    from hdmea.utils.user_modules import import_modules

    with problems.noting():
        import_modules(modules)
    with problems.noting():
        codecs.storage_for(compression)
    for name in ("cmcr", "cmtr", "spikes"):
        if row is not None and row[name] is not None:
            with problems.noting():
                if name != "spikes" or not row[name].is_dir():  # sorters write directories
                    console.existing_file(row[name])
    with problems.noting():
        resolve_budget(memory_budget)
    if row is None:
        problems.raise_any()
    assert row is not None
    session, steps = None, []
    with problems.noting():
        recording = recording_of(row, Path.cwd(), "the command line")
        path = recording_path(output_dir, recording.dataset_id)
        with problems.noting():
            durable.require_absent(path, overwrite)
        if request.page:
            with problems.noting():
                may_write(path.with_suffix(".html"), overwrite)
        with problems.noting():
            steps = steps_for(recording, request.names, request.parameters)
            for step in steps:
                if step.name == "add_section_time":
                    requested_movies(**step.arguments)
        with problems.noting():
            session = create_session(recording.dataset_id, output_dir=output_dir, memory_budget=memory_budget)
    problems.raise_any()
    assert session is not None
    return session, steps


def _run_steps(
    session: PipelineSession, steps: list[StepCall], *, overwrite: bool, compression: str | None, page: bool
) -> None:
    seconds: dict[str, float] = {}
    with session:
        for step in steps:
            started = time.perf_counter()
            step.run(session=session)
            seconds[step.name] = time.perf_counter() - started
            output.progress(f"{step.name}: {seconds[step.name]:.2f} s")
        path = session.save(overwrite=overwrite, compression=compression)
        summary = _summary(session)
    sections, features, warnings = (counted(len(summary[kind]), kind) for kind in ("sections", "features", "warnings"))
    names = f" ({', '.join(summary['features'])})" if summary["features"] else ""
    output.progress(f"{counted(summary['units'], 'units')}, {sections}, {features}{names}, {warnings}")
    output.say(path)
    written = {}
    if page:
        from hdmea.report import write_report

        written = {"report": str(write_report(path, overwrite=overwrite))}
        output.say(written["report"])
    file = shlex.quote(str(path))
    look = [f"hdmea info {file}", *([] if page else [f"hdmea report {file}"]), f"hdmea table {file} -o units.csv"]
    output.progress(f"next: {'; '.join(look)}")
    output.result({"file": str(path), **written, **summary, "step_seconds": seconds})


def _summary(session: PipelineSession) -> dict[str, Any]:
    """Summary of what a run has made of a recording."""
    from hdmea.bridges.info import recording_info

    info = recording_info(session)
    lists = {name: sorted(info[name]) for name in ("sections", "features", "steps")} | {"warnings": info["warnings"]}
    return {"dataset_id": info["dataset_id"], "units": info["units"]["count"], **lists}


def annotate(
    table: Annotated[Path, typer.Argument(help="CSV, TSV or Parquet: a row a recording, or a row a unit.")],
    files: Annotated[list[Path], typer.Argument(help="Recordings (.h5), or directories of them; changed in place.")],
    recording_column: Annotated[str | None, typer.Option(help="Column that names the recording.")] = None,
    unit_column: Annotated[str | None, typer.Option(help="Column that names the unit.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace annotations that are there.")] = False,
) -> None:
    """Bring the rows of a table into the recordings that they are about; exit code 1 when one has no row.

    \b
    Examples:
      hdmea annotate animals.csv results
      hdmea annotate celltypes.csv results/simulated.h5 --recording-column file --unit-column cell

    animals.csv has a column recording, celltypes.csv the columns file and cell; their other columns are brought in.
    """
    from hdmea.io import annotate as annotate_file

    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.ERROR if output.quiet else logging.WARNING)
    annotated: dict[str, bool] = {}
    for file in recording_files(files):
        annotated[str(file)] = annotate_file(
            table, console.existing_file(file), recording_column=recording_column, unit_column=unit_column, force=force
        )
        output.say(f"{file}: {'annotated' if annotated[str(file)] else 'no row'}")
    output.result(annotated)
    raise typer.Exit(int(not all(annotated.values())))


def verify(
    files: Annotated[list[Path], typer.Argument(help="Recordings (.h5), or directories of them.")],
    deep: Annotated[bool, typer.Option("--deep", help="Let libhdf5 read everything once more.")] = False,
) -> None:
    """Open and read everything, and check the layout; exit code 1 and a list when something is off.

    \b
    Examples:
      hdmea verify results/simulated.h5
      hdmea verify results --deep
    """
    from hdmea.session.validate_layout import check_recording

    def problems_of(file: Path) -> list[Any]:
        return check_recording(console.existing_file(file), deep=deep)

    raise typer.Exit(console.check_files(recording_files(files), problems_of))


def doctor(
    scripts: Annotated[list[Path], typer.Argument(help="Scripts (.py), or directories of them.")],
) -> None:
    """Look through scripts that import hdmea, without running them; exit code 1 when something is found.

    It prints each line that puts a directory first in sys.path, which may hide this package behind an earlier one, each
    imported name that is missing, and each name whose meaning has changed (docs/migrate.md).

    \b
    Examples:
      hdmea doctor my_features.py
    """
    from hdmea.script_check import check_scripts

    findings = [finding for path in scripts for finding in check_scripts(path)]
    for one in findings:
        output.say(f"{one.path}:{one.line}: {one.kind}: {one.message}")
    if not findings:
        output.say("OK")
    output.result([asdict(one) for one in findings])
    raise typer.Exit(int(bool(findings)))


_COMMANDS: tuple[Callable[..., None], ...] = (
    *(demo, simulate, run, batch),
    *(population, activity),
    *(report, info, table, export),
    *(annotate, verify, doctor),
    *(log, undo, restore),
)
for _command in _COMMANDS:
    app.command(epilog=console.EPILOG)(_command)


def main() -> int:
    return console.run(app)
