"""The commands `hdmea table` and `hdmea info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from h5burst import console, durable, format_bytes
from h5burst.console import output as screen
from hdmea.utils.discovery import recording_files
from hdmea.utils.exceptions import ConfigurationError

Files = Annotated[list[Path], typer.Argument(help="Recordings (.h5), or directories of them.")]


def table(
    files: Files,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The table: .parquet, .csv, .tsv, .arrow; -: print it, as CSV.")
    ],
    long: Annotated[bool, typer.Option("--long", help="One row a value instead of one row a unit.")] = False,
    traces: Annotated[
        Path | None, typer.Option(help="Also the spikes in each frame of each trial: .parquet or .arrow.")
    ] = None,
    bin_s: Annotated[float | None, typer.Option(help="Traces in even bins of so many seconds.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Write the units of recordings as a table: one row a unit, one column a feature.

    \b
    Examples:
      hdmea table results -o features.csv
      hdmea table results/*.h5 -o values.csv --long
      hdmea table results/simulated.h5 -o features.parquet --traces traces.parquet
    """
    from hdmea.bridges.tables import write_tables

    recordings = [console.existing_file(file) for file in recording_files(files)]
    if str(output) == "-":
        if traces is not None or screen.as_json:
            raise ConfigurationError("-o - prints the table alone: --traces and --json want a file for it")
        with durable.temporary_directory() as directory:
            write_tables(recordings, directory / "table.csv", long=long)
            screen.say((directory / "table.csv").read_text(encoding="utf-8").rstrip("\n"))
        return
    written = write_tables(recordings, output, long=long, traces=traces, bin_s=bin_s, overwrite=overwrite)
    screen.say(output)
    if traces is not None:
        screen.say(traces)
    sizes = ((written.recordings, "recordings"), (written.rows, "rows"), (written.columns, "columns"))
    screen.progress(", ".join(counted(number, plural) for number, plural in sizes))
    screen.result(
        {
            "file": str(output),
            "recordings": written.recordings,
            "rows": written.rows,
            "columns": written.columns,
            "traces": None if traces is None else {"file": str(traces), "rows": written.trace_rows},
        }
    )


def info(files: Files) -> None:
    """Say what recordings hold: units, sections, features, what is missing, and which steps were not run.

    Of an MCS-HDF5 file of Multi Channel DataManager: its recordings and streams.

    \b
    Examples:
      hdmea info results/simulated.h5
      hdmea info results --json
    """
    from hdmea.bridges.info import recording_info
    from hdmea.bridges.mcs_info import mcs_info, mcs_lines
    from hdmea.io.mcs_h5 import is_mcs_h5

    recordings: list[dict[str, Any]] = []
    for file in recording_files(files):
        is_vendors = is_mcs_h5(console.existing_file(file))
        one = mcs_info(file) if is_vendors else recording_info(file)
        if recordings:
            screen.say()
        for line in (mcs_lines if is_vendors else _lines)(one):
            screen.say(line)
        recordings.append(one)
    screen.result(recordings)


def _lines(one: dict[str, Any]) -> list[str]:
    units, rate, duration = one["units"], one["acquisition_rate_hz"], one["duration_s"]
    about = [
        "length not known" if duration is None else f"{duration:.1f} s",
        "rate not known" if rate is None else f"{rate:g} Hz",
        f"{one['frames']} frames",
    ]
    lines = [
        f"{one['file']}: {one['dataset_id']}",
        f"  file      {format_bytes(one['bytes'] or 0)}, layout {one['layout_version']}, saved {one['saved_at']}",
        f"  recording {', '.join(about)}",
        f"  units     {units['count']}, {counted(units['spikes'], 'spikes')}; "
        f"{units['without_spikes']} without spikes, {units['with_place']} with a place, "
        f"{units['with_waveform']} with a waveform",
    ]
    for name, section in one["sections"].items():
        counts = (counted(section[plural], plural) for plural in ("presentations", "trials"))
        lines.append(f"  section   {name}: {', '.join(counts)} in {counted(section['units'], 'units')}")
    for name, feature in one["features"].items():
        versions = f", version {' and '.join(feature['versions'])}" if feature["versions"] else ""
        lines.append(f"  feature   {name}: {counted(feature['units'], 'units')}{versions}")
    lines += [f"  missing   {missing}" for missing in one["missing"]]
    if one["not_run"]:
        lines.append(f"  not run   {', '.join(one['not_run'])} (--json says what each makes)")
    return [*lines, *(f"  warning   {text}" for text in one["warnings"])]


def counted(count: int, things: str) -> str:
    """A number of things, whose name is given in the plural."""
    return f"{count} {things.removesuffix('s') if count == 1 else things}"
