"""The `hdmea` command: demo, simulate, run, batch, verify."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from h5burst import console
from hdmea.batch.command import batch

app = typer.Typer(
    help="Multi-electrode-array recordings of a retina: from the vendor's files to one HDF5 file a recording.",
    epilog=console.EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command(epilog=console.EPILOG)(batch)


@app.command(epilog=console.EPILOG)
def demo(
    output_dir: Annotated[Path | None, typer.Option("--output-dir", "-o", help="Keep all files here.")] = None,
    units: Annotated[int | None, typer.Option(min=1, help="Units to simulate; default 40, with --full 100.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another retina.")] = 0,
    full: Annotated[
        bool, typer.Option("--full", help="A whole chip, seven stimuli, and all that makes real recordings awkward.")
    ] = False,
) -> None:
    """Simulate a recording, run the whole pipeline on it, and print what was recovered beside the truth.

    The full recording takes 2.2 GB of disk while the demonstration lasts.

    \b
    Examples:
      hdmea demo
      hdmea demo --output-dir demo --units 100
      hdmea demo --full
    """
    units = units or (100 if full else 40)
    if output_dir is not None:
        _demo(output_dir, units, seed, full)
        return
    with TemporaryDirectory() as folder:
        _demo(Path(folder), units, seed, full)


def _demo(folder: Path, units: int, seed: int, full: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from h5burst import format_bytes
    from hdmea import demo, demo_full

    make, analyse, compare = (
        (demo_full.simulate_full, demo_full.analyse_full, demo_full.compare_full)
        if full
        else (demo.simulate_demo, demo.analyse, demo.compare)
    )
    screen = Console()
    started = time.perf_counter()
    recording = make(folder, units, seed)
    simulated = time.perf_counter()
    screen.print(f"simulated {units} units, {recording.duration_s / 60:.1f} minutes ({simulated - started:.1f} s)")
    session = analyse(recording, folder)
    analysed = time.perf_counter()
    path = session.save(overwrite=True)
    saved = time.perf_counter()
    screen.print(f"analysed in {analysed - simulated:.1f} s, saved in {saved - analysed:.2f} s: ", end="")
    screen.print(f"{path.name}, {format_bytes(path.stat().st_size)}")
    table = Table("against the truth", "found", "")
    findings = compare(session, recording)
    for finding in findings:
        table.add_row(finding.what, finding.result, "[green]yes[/]" if finding.passed else "[red]no[/]")
    screen.print(table)
    if not all(finding.passed for finding in findings):
        raise typer.Exit(1)


@app.command(epilog=console.EPILOG)
def simulate(
    output_dir: Annotated[Path, typer.Argument(help="Folder for the files.")],
    name: Annotated[str, typer.Option(help="Name of the .cmcr and .cmtr files.")] = "simulated",
    units: Annotated[int, typer.Option(min=0, help="Units.")] = 40,
    patch: Annotated[str, typer.Option(help="Rows x columns of the sensor patch, up to 65x65.")] = "16x16",
    movies: Annotated[str | None, typer.Option(help="Movies of the playlist, comma-separated.")] = None,
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
      hdmea simulate recording --units 100 --patch 16x16 --sensor-s 10
      hdmea simulate chip --patch 65x65 --duration-s 1200 --sensor-s 10 --realistic
    """
    from hdmea.simulate import DEFAULT_PLAYLIST, REALISTIC, simulate_recording

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
    typer.echo(f"{recording.cmcr_path}\n{recording.cmtr_path}\nplaylist {recording.playlist_name!r}: ", nl=False)
    typer.echo(f"{len(recording.movies)} movies, {recording.duration_s:.0f} s, {units} units")


def _patch(text: str) -> tuple[int, int]:
    rows, _, columns = text.lower().partition("x")
    if not (rows.isdigit() and columns.isdigit()):
        raise typer.BadParameter(f"a patch is rows x columns, such as 16x16, not {text!r}")
    return int(rows), int(columns)


@app.command(epilog=console.EPILOG)
def run(
    cmcr: Annotated[Path | None, typer.Option(help="Raw recording (.cmcr).")] = None,
    cmtr: Annotated[Path | None, typer.Option(help="Spike-sorted recording (.cmtr).")] = None,
    spikes: Annotated[Path | None, typer.Option(help="Instead: spikes sorted elsewhere (HDF5).")] = None,
    dataset_id: Annotated[str | None, typer.Option(help="Name of the output; default the input's.")] = None,
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Folder of the output.")] = Path("artifacts"),
    playlist: Annotated[str | None, typer.Option(help="Playlist that was shown.")] = None,
    flow: Annotated[str | None, typer.Option(help="Steps and parameters: a flow that ships, or a JSON file.")] = None,
    steps: Annotated[str | None, typer.Option(help="Steps, comma-separated; default the usual ones.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="step.parameter=value (JSON, else text).")] = None,
    memory_budget: Annotated[str | None, typer.Option(help="Memory of the recording's arrays, as 4GiB.")] = None,
    compression: Annotated[str | None, typer.Option(help="gzip, lzf, blosc or zstd.")] = None,
    import_: Annotated[
        list[str] | None, typer.Option("--import", help="Module with features of your own (name or .py file).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that is there.")] = False,
) -> None:
    """Run the pipeline on one recording and save it once, at the end.

    \b
    Examples:
      hdmea run --cmcr a.cmcr --cmtr a.cmtr --playlist full --set compute_sta.stimuli_dir=stimuli
      hdmea run --spikes retina.h5 --set add_section_windows.length_s=60 -o results
    """
    from hdmea.batch.command import read_settings
    from hdmea.batch.manifest import recording_of
    from hdmea.batch.recipe import read_parameters, steps_for
    from hdmea.pipeline import create_session
    from hdmea.utils.names import recording_path
    from hdmea.utils.user_modules import import_modules

    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)
    import_modules(import_ or ())
    names, parameters = read_parameters(flow) if flow is not None else (None, {})
    for step, own in read_settings(set_ or []).items():
        parameters.setdefault(step, {}).update(own)
    if steps:
        names = [name.strip() for name in steps.split(",")]
    paths = {"cmcr": cmcr, "cmtr": cmtr, "spikes": spikes}
    recording = recording_of({**paths, "dataset_id": dataset_id, "playlist": playlist}, Path.cwd(), "the command line")
    path = recording_path(output_dir, recording.dataset_id)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; --overwrite replaces it")
    with create_session(recording.dataset_id, output_dir=output_dir, memory_budget=memory_budget) as session:
        for step_ in steps_for(recording, names, parameters):
            started = time.perf_counter()
            step_.run(session)
            typer.echo(f"{step_.name}: {time.perf_counter() - started:.2f} s", err=True)
        typer.echo(session.save(overwrite=overwrite, compression=compression))


@app.command(epilog=console.EPILOG)
def verify(files: Annotated[list[Path], typer.Argument(help="Recordings (.h5).")]) -> None:
    """Open and read everything, and check the layout; exit code 1 and a list when something is off.

    \b
    Examples:
      hdmea verify results/recording.h5
    """
    from hdmea.session.validate_layout import check_recording

    broken = 0
    for file in files:
        problems = check_recording(file)
        typer.echo(f"{file}: {'sound' if not problems else f'{len(problems)} problems'}")
        for problem in problems:
            typer.echo(f"  {problem}")
        broken += bool(problems)
    raise typer.Exit(int(broken > 0))


def main() -> int:
    return console.run(app)
