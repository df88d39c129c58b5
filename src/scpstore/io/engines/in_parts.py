"""Reports that do not fit into memory: a group of runs at a time, each by the reader of the report, into one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from h5burst import durable
from scpstore.core.joining import concat
from scpstore.core.structures import AggregationLink, ScpContainer
from scpstore.io.delimited import Table
from scpstore.io.engines.long_tables import Level, annotated
from scpstore.io.exceptions import IOFormatError, IOWriteError
from scpstore.io.exporters import save_hdf5, scratch_directory
from scpstore.io.importers import load_hdf5
from scpstore.io.tables import INDEX, with_cells

_ROWS = 1_500_000  # of a report that are in memory at once, if no run has more


class Part(NamedTuple):
    """Runs that are read together, and the rows [start, stop) in which all theirs are."""

    runs: tuple[str, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class PartOfTable(Table):
    """Rows of some runs of a report.

    rows: where they are, as Parquet with the columns of the report; run: the column of runs; part: which of them. seen:
    by assay, what was said of the features so far, once each.
    """

    rows: Path = Path()
    run: str = ""
    part: Part = field(default_factory=lambda: Part((), 0, 0))
    seen: dict[str, tuple[Level, pl.DataFrame]] = field(default_factory=dict)

    def read(self, columns: Sequence[str] | None = None, numbers: Sequence[str] = ()) -> pl.DataFrame:
        """As of `Table`, run by run."""
        names = list(self.columns if columns is None else columns)
        name = pl.col(self.run).cast(pl.String)
        runs, start, stop = self.part
        rows = pl.scan_parquet(self.rows).slice(start, stop - start).filter(name.is_in(runs))
        frame = rows.select(*names, name.alias(" run")).collect(engine="streaming")
        if len(runs) > 1:
            order = pl.col(" run").replace_strict(list(runs), list(range(len(runs))), return_dtype=pl.Int64)
            frame = frame.sort(order, maintain_order=True)
        frame = frame.select(names)
        return frame.with_columns(self.numbers([frame.get_column(name) for name in numbers]))

    def note(self, frame: pl.DataFrame, level: Level) -> None:
        """Keep what these rows say of the features of a level."""
        if level.annotations:
            said = frame.select(pl.col(level.feature, *level.annotations).cast(pl.String)).drop_nulls(level.feature)
            before = [self.seen[level.assay][1]] if level.assay in self.seen else []
            self.seen[level.assay] = level, _once([*before, said])


def _once(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Rows of frames, each that repeats once."""
    return pl.concat(frames).unique(maintain_order=True)


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
    with durable.temporary_directory(".parts-", directory) as names, _as_parquet(table, names) as rows:
        seen: dict[str, tuple[Level, pl.DataFrame]] = {}
        pairs: dict[tuple[str, str], pl.DataFrame] = {}  # of features that belong together, by their assays
        parts = []
        for number, together in enumerate(_groups(rows, run)):
            part = read(PartOfTable(table.path, table.columns, None, False, rows, run, together, seen))
            for level, _ in seen.values():
                assay = part.assays[level.assay]
                assay.var = assay.var.drop(level.annotations, strict=False)
            for link in part.links:
                assays = (link.source_assay, link.target_assay)
                pairs[assays] = _once([*([pairs[assays]] if assays in pairs else []), link.linkage])
            part.links = []
            save_hdf5(part, names / f"{number}.h5", compression=None)
            parts.append(names / f"{number}.h5")
            history = part.history
            del part
        if not parts:
            raise IOFormatError(f"{table.path} has no rows with a value in {run!r}")
        container = concat(parts)
        container.links = [AggregationLink(source, target, linkage) for (source, target), linkage in pairs.items()]
        for name_of_assay, (level, said_of) in seen.items():
            var = container.assays[name_of_assay].var
            said = annotated(said_of, level, var.get_column(INDEX).to_list())
            container.assays[name_of_assay].var = said.join(var, on=INDEX, how="left", maintain_order="left")
        container.history = history
        container.obs = with_cells(container.obs, None if cells is None else Path(cells))
        save_hdf5(container, target)
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


def _groups(rows: Path, run: str) -> list[Part]:
    """Runs in the order of their first rows, in groups of so many rows."""
    scan = pl.scan_parquet(rows).select(pl.col(run).cast(pl.String)).with_row_index("row").drop_nulls(run)
    row = pl.col("row")
    spans = scan.group_by(run).agg(row.min().alias("start"), row.max().alias("last"), pl.len().alias("rows"))
    groups: list[Part] = []
    room = 0
    for name, start, last, count in spans.sort("start").collect(engine="streaming").iter_rows():
        if not groups or count > room:
            groups.append(Part((), start, last + 1))
            room = _ROWS
        runs, first, stop = groups[-1]
        groups[-1] = Part((*runs, name), first, max(stop, last + 1))
        room -= count
    return groups
