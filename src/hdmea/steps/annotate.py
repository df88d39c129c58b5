"""Bring what a laboratory's table says of recordings and units into the recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdmea.session.session import PipelineSession
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.utils.discovery import existing
from hdmea.utils.exceptions import ConfigurationError, DataLoadError

if TYPE_CHECKING:
    import polars as pl

STEP = "annotate"
ROW, LABELS = "gsheet_row", "auto_label"
RECORDING_COLUMNS = ("dataset_id", "recording", "recording_id", "file_name", "filename", "file")
UNIT_COLUMNS = ("unit_id", "unit", "unit_num", "original_name")

Row = Mapping[str, Any]


def annotate(
    table: str | Path | None,
    hdf5_path: Target = None,
    *,
    recording_column: str | None = None,
    unit_column: str | None = None,
    force: bool = False,
    session: PipelineSession | None = None,
) -> bool | PipelineSession:
    r"""Bring the rows of a table that are about this recording into it.

    A row is about the recording whose `dataset_id` it names: exactly, else where one of the two names begins with the
    other and no second row's does. A table without a unit column gives `metadata["gsheet_row"][column]`; one with a
    unit column gives `units[id]["auto_label"][column]` of the units that its rows name (by ID, by the vendor's number
    or by the vendor's name).

    Parameters
    ----------
    table
        CSV, TSV (or tab-separated text) or Parquet; None: nothing is done, so that a flow may leave it open.
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    recording_column, unit_column
        Names of the columns; default the first that is called `dataset_id`, `recording`, `recording_id`, `file_name`,
        `filename`, `file`, and `unit_id`, `unit`, `unit_num`, `original_name` (small or capital letters). A table of
        units without a recording column is about this recording alone.
    force
        Replace annotations that are there.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    bool or PipelineSession
        Whether the recording has annotations of that kind (False, with a warning, where no row is about it); or
        `session`.

    Raises
    ------
    ConfigurationError
        A column is missing, or several rows fit.
    FileNotFoundError, DataLoadError
        Of the table.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hdmea.pipeline import PipelineSession, annotate
    >>> text = "unit_id,axon_type\nunit_001,rgc\nunit_003,ac\n"
    >>> session = PipelineSession.load("recording.h5")
    >>> _ = Path("labels.csv").write_text(text)
    >>> session = annotate("labels.csv", session=session)
    >>> session.units["unit_001"]["auto_label"]
    {'axon_type': 'rgc'}
    """

    def step(recording: PipelineSession) -> Outcome[bool]:
        outcome = Outcome(table is not None)
        if table is None:
            return outcome
        frame = read_table(Path(table))
        by_recording = _column(frame.columns, recording_column, RECORDING_COLUMNS)
        by_unit = _column(frame.columns, unit_column, UNIT_COLUMNS)
        if by_recording is None and by_unit is None:
            raise ConfigurationError(
                f"{table} has no column that names the recording ({', '.join(RECORDING_COLUMNS)}); "
                f"it has {', '.join(frame.columns)}: pass recording_column"
            )
        rows = list(frame.iter_rows(named=True))
        chosen_rows = (
            rows if by_recording is None else _rows_of(rows, by_recording, recording.dataset_id, by_unit, Path(table))
        )
        if not chosen_rows:
            outcome.warn(f"{STEP}: no row of {table} is about {recording.dataset_id}")
            outcome.result = False
        elif by_unit is None:
            _annotate_recording(recording, chosen_rows[0], force, outcome)
        else:
            _annotate_units(recording, chosen_rows, (by_recording, by_unit), force, Path(table), outcome)
        return outcome

    return run_step(STEP, step, hdf5_path, session)


def read_table(path: Path) -> pl.DataFrame:
    """A CSV, TSV or Parquet table. Raises `FileNotFoundError`, `DataLoadError`."""
    import polars as pl

    existing(path)
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame = pl.read_parquet(path)
        else:
            head = path.read_text(encoding="utf-8-sig", errors="replace").partition("\n")[0]
            frame = pl.read_csv(path, separator="\t" if "\t" in head else ",", infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataLoadError(f"{path} cannot be read as a table: {error}", path, error) from error
    return frame.rename({name: name.strip() for name in frame.columns})


def _column(columns: Sequence[str], requested: str | None, usual: Sequence[str]) -> str | None:
    if requested is not None:
        if requested not in columns:
            raise ConfigurationError(f"the table has no column {requested!r}; it has {', '.join(columns)}")
        return requested
    by_name = {name.lower().replace(" ", "_"): name for name in columns}
    return next((by_name[name] for name in usual if name in by_name), None)


# ---------------------------------------------------------------- recordings


def _rows_of(rows: Sequence[Row], column: str, dataset_id: str, by_unit: str | None, path: Path) -> list[Row]:
    """The rows about a recording: its own name, else the one name that it or that begins with it."""
    names = dict.fromkeys(str(row[column]).strip() for row in rows if row[column] is not None)
    fitting = [dataset_id] if dataset_id in names else [name for name in names if _begins(name, dataset_id)]
    fitting_rows = [row for row in rows if row[column] is not None and str(row[column]).strip() in fitting]
    if len(fitting) > 1:
        raise ConfigurationError(f"{path}: {dataset_id} fits several recordings: {', '.join(fitting)}")
    if by_unit is None and len(fitting_rows) > 1:
        raise ConfigurationError(f"{path}: {len(fitting_rows)} rows are about {fitting[0]}")
    return fitting_rows


def _begins(name: str, dataset_id: str) -> bool:
    return bool(name) and (dataset_id.startswith(name) or name.startswith(dataset_id))


def _annotate_recording(recording: PipelineSession, row: Row, force: bool, outcome: Outcome[bool]) -> None:
    if ROW in recording.metadata and not force:
        return
    recording.metadata[ROW] = dict(row)
    outcome.changed.append(("metadata", ROW))


# ---------------------------------------------------------------- units


def _annotate_units(
    recording: PipelineSession,
    rows: Sequence[Row],
    keys: tuple[str | None, str],
    force: bool,
    path: Path,
    outcome: Outcome[bool],
) -> None:
    labels: dict[str, dict[str, Any]] = {}
    unknown: list[str] = []
    names = _unit_names(recording)
    for row in rows:
        name = str(row[keys[1]]).strip()
        unit_id = names.get(name, names.get(name.removesuffix(".0")))
        if unit_id is None:
            unknown.append(name)
        elif unit_id in labels:
            raise ConfigurationError(f"{path}: two rows are about {unit_id} of {recording.dataset_id}")
        else:
            labels[unit_id] = {column: value for column, value in row.items() if column not in keys}
    if unknown:
        outcome.warn(f"{STEP}: {recording.dataset_id} has no units {', '.join(unknown)}")
    for unit_id, values in labels.items():
        unit = recording.units[unit_id]
        stored = unit.get(LABELS) or {}
        new = values if force else {name: value for name, value in values.items() if name not in stored}
        if new:
            unit[LABELS] = {**stored, **new}
            outcome.changed.append(("units", unit_id, LABELS))
    outcome.result = bool(labels)


def _unit_names(recording: PipelineSession) -> dict[str, str]:
    """Any name of a unit, to its ID; IDs are tried before the vendor's names."""
    names: dict[str, str] = {}
    for key in ("original_name", "unit_num"):
        names |= {str(unit[key]): unit_id for unit_id, unit in recording.units.items() if unit.get(key) is not None}
    return {**names, **{unit_id: unit_id for unit_id in recording.units}}
