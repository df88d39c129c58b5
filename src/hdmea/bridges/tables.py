"""Tables of units: one row a unit and one column a feature, one row a value, or the spikes in each frame.

Recordings are read one after the other. The columns of a wide table are known only when the last one was read, so each
recording's rows wait in a temporary file until then: memory does not grow with the number of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from h5burst import durable
from hdmea.bridges import units as unit_facts
from hdmea.bridges.binned import sections_of, trials_of
from hdmea.bridges.table_files import FORMATS, TableWriter, checked_format
from hdmea.bridges.units import Source
from hdmea.features.scalars import Scalar
from hdmea.plot.figure_data import opened
from hdmea.session.session import PipelineSession
from hdmea.utils.exceptions import ConfigurationError

__all__ = ["FORMATS", "feature_frame", "trace_frames", "write_tables"]

SEPARATOR = "."  # between a stimulus and a value's name
EXACT = 1 << 53  # integers up to here are what they are as float64
_IDENTIFIER_TYPES = {
    "recording": pl.String(),
    "unit": pl.String(),
    "row": pl.Int64(),
    "col": pl.Int64(),
    "x_um": pl.Float64(),
    "y_um": pl.Float64(),
}
LONG_TYPES: dict[str, pl.DataType] = {
    **_IDENTIFIER_TYPES,
    "feature": pl.String(),
    "name": pl.String(),
    "value": pl.Float64(),
    "text": pl.String(),
    "type": pl.String(),
    "measured_in": pl.String(),
}
TRACE_TYPES: dict[str, pl.DataType] = {
    "recording": pl.String(),
    "unit": pl.String(),
    "stimulus": pl.String(),
    "trial": pl.Int32(),
    "start_s": pl.Float64(),
    "stop_s": pl.Float64(),
    "bins": pl.String(),
    "time_s": pl.List(pl.Float64()),
    "count": pl.List(pl.Int32()),
}
_TRACE_TEXTS = {
    "stimulus": "section of the stimulus",
    "trial": "number of the trial, from 0",
    "start_s": "s, start of the trial from the recording's start",
    "stop_s": "s, end of the trial from the recording's start",
    "bins": "frames of the stimulus, or even bins",
    "time_s": "s, the time base: when each bin begins, from the trial's start",
    "count": "count, spikes in each bin",
}
_LONG_TEXTS = {
    "feature": "stimulus or feature; empty for a value of the unit itself",
    "name": "the value's name",
    "value": "the number; missing for text and for integers beyond 2^53",
    "text": "the text, or the digits of an integer beyond 2^53; missing for a number",
    "type": "type of the value: bool, int, float or str",
    "measured_in": "unit of the value, where its feature says it",
}


@dataclass
class Columns:
    """Columns of a wide table as far as they are known: type and description, in the order of appearance."""

    types: dict[str, pl.DataType] = field(default_factory=lambda: dict[str, pl.DataType](_IDENTIFIER_TYPES))
    texts: dict[str, str] = field(default_factory=lambda: dict(unit_facts.DESCRIPTIONS))

    def note(self, frame: pl.DataFrame, texts: Mapping[str, str]) -> None:
        """Take the columns of one recording's rows to those that are known."""
        for name, dtype in frame.schema.items():
            self.types[name] = _common(self.types.get(name), dtype)
        self.texts |= {name: text for name, text in texts.items() if text}

    def fitted(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows with all columns, in their order; missing where a recording has none."""
        columns_of = [
            (_as_text(frame[name]) if dtype == pl.String else frame[name].cast(dtype)).alias(name)
            if name in frame.columns
            else pl.Series(name, [None] * len(frame), dtype)
            for name, dtype in self.types.items()
        ]
        return pl.DataFrame(columns_of)


def _common(one: pl.DataType | None, other: pl.DataType) -> pl.DataType:
    """The type that holds the values of both: nothing, bool, int, float, text in this order."""
    order: list[pl.DataType] = [pl.Null(), pl.Boolean(), pl.Int64(), pl.Float64(), pl.String()]
    return order[max(order.index(pl.Null() if one is None else one), order.index(other))]


def _as_text(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Boolean:
        return pl.Series([None if one is None else str(one) for one in column.to_list()], dtype=pl.String())
    text: pl.Series = column.cast(pl.String())
    return text


# ---------------------------------------------------------------- rows


def _identifiers(session: PipelineSession, unit_id: str, unit: Mapping[str, Any]) -> dict[str, Scalar]:
    electrode = unit_facts.electrode_place(session, unit)
    return {
        "recording": session.dataset_id,
        "unit": unit_id,
        "row": electrode.row,
        "col": electrode.col,
        "x_um": electrode.x_um,
        "y_um": electrode.y_um,
    }


def column_name(path: tuple[str, ...]) -> str:
    """The column of a value at that path of keys: `{stimulus}.{name}`."""
    return SEPARATOR.join(path)


def wide_rows(
    session: PipelineSession, *, doubles: bool = False
) -> tuple[pl.DataFrame, dict[str, str], dict[str, tuple[str, ...]]]:
    """A recording's units as rows; the descriptions of their columns, and the keys that lead to their values.

    doubles: with values that are there already by another name, as who puts them back wants them.

    Raises
    ------
    ConfigurationError
        Two values of a unit would be one column.
    """
    rows: list[dict[str, Scalar]] = []
    paths: dict[str, tuple[str, ...]] = {}
    for unit_id, unit in session.units.items():
        row = {**_identifiers(session, unit_id, unit), "spike_count": unit_facts.spike_count(unit)}
        for path, value in unit_facts.value_names(unit, doubles=doubles):
            name = column_name(path)
            if paths.setdefault(name, path) != path:
                raise ConfigurationError(
                    f"{session.dataset_id}: {paths[name]} and {path} would both be the column {name!r}; rename one of "
                    "them, or write one row a value (--long)"
                )
            row[name] = value
        rows.append(row)
    texts = {name: unit_facts.description_of(path) for name, path in paths.items()}
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([value_column(name, [row.get(name) for row in rows]) for name in names]), texts, paths


def value_column(name: str, values: Sequence[Scalar]) -> pl.Series:
    """The values as a column of the narrowest of bool, int, float and text that holds them all."""
    if name in _IDENTIFIER_TYPES:
        return pl.Series(name, values, _IDENTIFIER_TYPES[name])
    kinds = {type(one) for one in values if one is not None}
    if not kinds:
        return pl.Series(name, values, pl.Null())
    if str in kinds or any(isinstance(one, int) and not -(1 << 63) <= one < 1 << 63 for one in values):
        return pl.Series(name, [None if one is None else str(one) for one in values], pl.String())
    if float in kinds:
        return pl.Series(name, [None if one is None else float(one) for one in values], pl.Float64())
    if int in kinds:
        return pl.Series(name, [None if one is None else int(one) for one in values], pl.Int64())
    return pl.Series(name, values, pl.Boolean())


def filled(column: pl.Series) -> np.ndarray[Any, Any]:
    """A column without gaps, for programs that know none: missing text is empty, missing numbers and bools are NaN.

    Rows and columns of electrodes stay integers: -1 where they are not known.
    """
    if column.dtype == pl.String:
        return np.array([value or "" for value in column.to_list()], dtype=str)
    if column.name in unit_facts.PLACE:
        return np.asarray(column.fill_null(-1).to_numpy())
    if not column.null_count():
        return np.asarray(column.to_numpy())
    return np.asarray(column.cast(pl.Float64).fill_null(float("nan")).to_numpy())


def long_rows(session: PipelineSession) -> pl.DataFrame:
    """A recording's values, a row each; see `LONG_TYPES`."""
    rows: dict[str, list[Scalar]] = {name: [] for name in LONG_TYPES}
    for unit_id, unit in session.units.items():
        identifiers = _identifiers(session, unit_id, unit)
        values = [(("spike_count",), unit_facts.spike_count(unit)), *unit_facts.value_names(unit)]
        for path, value in values:
            if value is None:
                continue
            is_text = isinstance(value, str) or (isinstance(value, int) and abs(value) > EXACT)
            description = unit_facts.description_of(path)
            row = {
                **identifiers,
                "feature": path[0] if len(path) > 1 else "",
                "name": SEPARATOR.join(path[1:]) if len(path) > 1 else path[0],
                "value": None if is_text else float(value),
                "text": str(value) if is_text else None,
                "type": type(value).__name__,
                "measured_in": unit_facts.unit_of_measure(path[-1], description),
            }
            for name, entries in rows.items():
                entries.append(row[name])
    return pl.DataFrame(rows, schema=LONG_TYPES)


def trace_frames(source: Source, bin_s: float | None = None) -> Iterator[pl.DataFrame]:
    """The spikes of a recording in the frames of each trial, a table a section; see `TRACE_TYPES`.

    Parameters
    ----------
    source
        A session, or the path of its file.
    bin_s
        Even bins of that length in seconds; None: frames where the trials begin with one, else 0.1 s.

    Yields
    ------
    polars.DataFrame
        A row for each unit and trial of one section: the time base, and the counts of spikes as lists.

    Raises
    ------
    MissingInputError
        The recording has no acquisition rate.

    Examples
    --------
    >>> from hdmea import trace_frames
    >>> tables = list(trace_frames("recording.h5"))
    >>> [(table.height, table["stimulus"][0]) for table in tables]
    [(12, 'dense_noise_15x15'), (36, 'moving_h_bar_s5_d8_3x')]
    """
    session = opened(source)
    for stimulus in sections_of(session):
        trials = trials_of(session, stimulus, bin_s)
        times = [trials.times_s(trial) for trial in range(len(trials))]
        rows: dict[str, list[Any]] = {name: [] for name in TRACE_TYPES}
        for unit_id, unit in session.units.items():
            for trial, counts in enumerate(trials.counts(session, unit) or ()):
                how = "frames" if trials.in_frames else "even"
                row = (session.dataset_id, unit_id, stimulus, trial, trials.starts_s[trial], trials.stops_s[trial], how)
                for name, one in zip(TRACE_TYPES, (*row, times[trial], counts), strict=True):
                    rows[name].append(one)
        yield pl.DataFrame(rows, schema=TRACE_TYPES)


# ---------------------------------------------------------------- tables


def feature_frame(sources: Source | Iterable[Source], *, long: bool = False) -> pl.DataFrame:
    """The units of one or more recordings as a polars frame.

    Parameters
    ----------
    sources
        Sessions, or paths of files; one or several.
    long
        One row a value (columns `feature`, `name`, `value`, `text`, `type`, `measured_in`) instead of one row a unit.

    Returns
    -------
    polars.DataFrame
        Identifiers first: recording, unit, row, col, x_um, y_um.

    Raises
    ------
    ConfigurationError
        Two recordings, or two columns, of one name.

    Examples
    --------
    >>> from hdmea import feature_frame
    >>> frame = feature_frame("recording.h5")
    >>> frame.height, frame.columns[:4]
    (12, ['recording', 'unit', 'row', 'col'])
    """
    each = _sessions([sources] if isinstance(sources, (PipelineSession, str, Path)) else sources)
    if long:
        return pl.concat([pl.DataFrame(schema=LONG_TYPES), *(long_rows(session) for session in each)])
    columns, frames = Columns(), []
    for session in each:
        frame, texts, _ = wide_rows(session)
        columns.note(frame, texts)
        frames.append(frame)
    return pl.concat([pl.DataFrame(schema=columns.types), *(columns.fitted(frame) for frame in frames)])


def _sessions(sources: Iterable[Source]) -> Iterator[PipelineSession]:
    """The recordings one by one. Raises `ConfigurationError` for the second of one name."""
    seen: dict[str, str] = {}
    for source in sources:
        session = opened(source)
        name = str(session.hdf5_path or "a session") if isinstance(source, PipelineSession) else str(source)
        if session.dataset_id in seen:
            raise ConfigurationError(
                f"{seen[session.dataset_id]} and {name} are both called {session.dataset_id!r}: rows could not be told "
                "apart. Give each recording once, under a dataset_id of its own"
            )
        seen[session.dataset_id] = name
        yield session


@dataclass
class Written:
    """Extent of what was written: rows and columns of the table, and rows of the traces (None without them)."""

    recordings: int = 0
    rows: int = 0
    columns: int = 0
    trace_rows: int | None = None


def write_tables(
    sources: Iterable[Source],
    output: str | Path,
    *,
    long: bool = False,
    traces: str | Path | None = None,
    bin_s: float | None = None,
    overwrite: bool = False,
) -> Written:
    """Write the units of recordings as a table, and beside it, where asked for, their spikes in frames.

    Parameters
    ----------
    sources
        Sessions, or paths of files. They are read one after the other.
    output
        A file that ends in .parquet, .csv, .tsv or .arrow. Parquet and Arrow hold the unit and description of each
        column as metadata of its field.
    long
        One row a value instead of one row a unit.
    traces
        A second file, .parquet or .arrow: a row for each unit and trial, with the time base and the counts as lists.
    bin_s
        Of the traces: as in `trace_frames`.
    overwrite
        Replace files that are there.

    Returns
    -------
    Written
        `recordings`, `rows`, `columns` of the table, and `trace_rows` (None without traces).

    Raises
    ------
    ConfigurationError
        Another suffix, two recordings of one name, or a bin that is not positive.
    FileExistsError
        A file is there, without `overwrite`.
    MissingExtraError
        pyarrow is not installed and the format needs it.

    Examples
    --------
    >>> from hdmea import write_tables
    >>> written = write_tables(["recording.h5"], "units.csv", long=True)
    >>> written.recordings, written.columns
    (1, 12)
    """
    output = Path(output)
    paths = [output] if traces is None else [output, Path(traces)]
    if len(paths) > 1 and paths[0].resolve() == paths[1].resolve():
        raise ConfigurationError(f"the table and the traces cannot both be {output}")
    sources = list(sources)
    for path, lists in zip(paths, (False, True), strict=False):
        checked_format(path, lists=lists)
        durable.require_absent(path, overwrite)
        if any(isinstance(one, (str, Path)) and Path(one).resolve() == path.resolve() for one in sources):
            raise ConfigurationError(f"{path} is one of the recordings: write the table to another file")
    written = Written(trace_rows=None if traces is None else 0)
    with ExitStack() as stack:
        table = stack.enter_context(durable.replacing(output, overwrite=overwrite))
        writer = None
        if traces is not None:
            second = stack.enter_context(durable.replacing(Path(traces), overwrite=overwrite))
            writer = stack.enter_context(_writer(second, Path(traces), TRACE_TYPES, _TRACE_TEXTS))
        _write(sources, output, table, writer, long, bin_s, written)
    return written


def _writer(path: Path, named: Path, types: Mapping[str, pl.DataType], texts: Mapping[str, str]) -> TableWriter:
    every = {**unit_facts.DESCRIPTIONS, **texts}
    facts = {name: (unit_facts.unit_of_measure(name, every.get(name, "")), every.get(name, "")) for name in types}
    return TableWriter(path, checked_format(named), types, facts)


def _write(
    sources: Iterable[Source],
    output: Path,
    path: Path,
    traces: TableWriter | None,
    long: bool,
    bin_s: float | None,
    written: Written,
) -> None:
    def each() -> Iterator[PipelineSession]:
        for session in _sessions(sources):
            yield session
            written.recordings += 1
            if traces is None:
                continue
            for frame in trace_frames(session, bin_s):
                traces.write(frame)
                written.trace_rows = (written.trace_rows or 0) + len(frame)

    if long:
        written.columns = len(LONG_TYPES)
        with _writer(path, output, LONG_TYPES, _LONG_TEXTS) as writer:
            for session in each():
                frame = long_rows(session)
                writer.write(frame)
                written.rows += len(frame)
        return
    with durable.temporary_directory(f".{output.name}.", output.parent) as waiting:
        columns = Columns()
        parts: list[Path] = []
        for session in each():
            frame, texts, _ = wide_rows(session)
            columns.note(frame, texts)
            parts.append(waiting / f"{len(parts)}.arrow")
            frame.write_ipc(parts[-1])
        written.columns = len(columns.types)
        with _writer(path, output, columns.types, columns.texts) as writer:
            for part in parts:
                frame = columns.fitted(pl.read_ipc(part))
                writer.write(frame)
                written.rows += len(frame)
