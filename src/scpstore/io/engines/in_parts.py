"""Reports that do not fit into memory: a group of runs at a time, each by the reader of the report, into one file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from scpstore.core.joining import concat
from scpstore.core.structures import ScpContainer
from scpstore.io.engines.long_tables import Level, annotated
from scpstore.io.exceptions import IOFormatError, IOWriteError
from scpstore.io.exporters import save_hdf5, scratch_directory
from scpstore.io.importers import load_hdf5
from scpstore.io.tables import INDEX, with_cells
from scpstore.io.text import Table

_ROWS = 1_500_000  # of a report that are in memory at once, if no run has more


@dataclass(frozen=True)
class PartOfTable(Table):
    """Rows of some runs of a report.

    rows: where they are, as Parquet with the columns of the report; run: the column of runs. seen: by assay, what was
    said of the features so far.
    """

    rows: Path = Path()
    run: str = ""
    runs: tuple[str, ...] = ()
    seen: dict[str, tuple[Level, list[pl.DataFrame]]] = field(default_factory=dict)

    def read(self, columns: Sequence[str] | None = None, numbers: Sequence[str] = ()) -> pl.DataFrame:
        """As of `Table`, run by run."""
        wanted = list(self.columns if columns is None else columns)
        name = pl.col(self.run).cast(pl.String)
        rows = pl.scan_parquet(self.rows).filter(name.is_in(self.runs)).select(*wanted, name.alias(" run"))
        frame = rows.collect(engine="streaming")
        if len(self.runs) > 1:
            order = pl.col(" run").replace_strict(list(self.runs), list(range(len(self.runs))), return_dtype=pl.Int64)
            frame = frame.sort(order, maintain_order=True)
        frame = frame.select(wanted)
        return frame.with_columns(self.numbers([frame.get_column(name) for name in numbers]))

    def note(self, frame: pl.DataFrame, level: Level) -> None:
        """Keep what these rows say of the features of a level."""
        if level.annotations:
            said = frame.select(pl.col(level.feature, *level.annotations).cast(pl.String)).drop_nulls(level.feature)
            self.seen.setdefault(level.assay, (level, []))[1].append(said.unique(maintain_order=True))


def read_in_parts(
    table: Table,
    run: str,
    read: Callable[[Table], ScpContainer],
    out: str | os.PathLike[str],
    cells: str | os.PathLike[str] | None,
) -> ScpContainer:
    """The container of a report, written to `out` and loaded lazily from there.

    read: makes a container of a part of the report, without the cell table. Raises `IOWriteError` where `out` exists.
    """
    target = Path(out)
    if target.exists():
        raise IOWriteError("File already exists", target)
    directory = scratch_directory(target)
    with tempfile.TemporaryDirectory(prefix=".parts-", dir=directory) as name, _as_parquet(table, Path(name)) as rows:
        seen: dict[str, tuple[Level, list[pl.DataFrame]]] = {}
        parts, names = [], Path(name)
        for number, runs in enumerate(_groups(rows, run)):
            part = read(PartOfTable(table.path, table.columns, None, False, rows, run, runs, seen))
            for level, _ in seen.values():
                assay = part.assays[level.assay]
                assay.var = assay.var.drop(level.annotations, strict=False)
            save_hdf5(part, names / f"{number}.h5", compression=None)
            parts.append(names / f"{number}.h5")
            history = part.history
            del part
        if not parts:
            raise IOFormatError(f"{table.path} has no rows with a value in {run!r}")
        made = concat(parts)
        for name_of_assay, (level, frames) in seen.items():
            known = made.assays[name_of_assay].var
            said = annotated(pl.concat(frames).unique(maintain_order=True), level, known.get_column(INDEX).to_list())
            made.assays[name_of_assay].var = said.join(known, on=INDEX, how="left", maintain_order="left")
        made.history = history
        made.obs = with_cells(made.obs, None if cells is None else Path(cells))
        save_hdf5(made, target)
    return load_hdf5(target, lazy=True)


@contextmanager
def _as_parquet(table: Table, directory: Path) -> Iterator[Path]:
    """The rows of a table as a Parquet file: itself, or text that is brought into that form once."""
    if table.separator is None:
        yield table.path
        return
    rows = directory / "rows.parquet"
    table.sink(rows)
    yield rows


def _groups(rows: Path, run: str) -> list[tuple[str, ...]]:
    """Runs in the order of their first rows, in groups of so many rows."""
    scan = pl.scan_parquet(rows).select(pl.col(run).cast(pl.String)).with_row_index("row").drop_nulls(run)
    counts = scan.group_by(run).agg(pl.len().alias("rows"), pl.col("row").min()).sort("row").collect(engine="streaming")
    groups: list[list[str]] = []
    room = 0
    for name, count in counts.select(run, "rows").iter_rows():
        if not groups or count > room:
            groups.append([])
            room = _ROWS
        groups[-1].append(name)
        room -= count
    return [tuple(group) for group in groups]
