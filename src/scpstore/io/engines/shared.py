"""Parts that the readers of reports share: their options, names of runs, containers of what was read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

import polars as pl

from scpstore.core.exceptions import ValidationError
from scpstore.core.structures import AggregationLink, ScpContainer
from scpstore.io.delimited import Table
from scpstore.io.engines.in_parts import PartOfTable
from scpstore.io.engines.long_tables import Level, Matrices, QValue, from_long
from scpstore.io.engines.settings import settings_beside
from scpstore.io.exceptions import IOFormatError
from scpstore.io.report_kinds import RAW_SUFFIXES
from scpstore.io.tables import INDEX, built, with_cells

PathLike = str | os.PathLike[str]
PROTEINS, PRECURSORS, PEPTIDES, SITES, GENES = "proteins", "precursors", "peptides", "sites", "genes"


@dataclass(frozen=True)
class Request:
    """The arguments of a reader: see `read_diann`."""

    cells: PathLike | None = None
    q_value: QValue | None = None
    layers: Sequence[str] = ()
    annotations: Sequence[str] = ()

    def levels(self, levels: Sequence[Level], columns: Sequence[str], path: Path) -> list[Level]:
        """The levels with what was asked for besides. Raises `ValidationError` for a column that there is not."""
        if isinstance(self.layers, str) or isinstance(self.annotations, str):
            raise ValidationError("layers and annotations are lists of names", "layers")
        named = list(self.q_value) if isinstance(self.q_value, Mapping) else []
        adapted = list(levels)
        requests = [("q_values", n) for n in named] + [("quantities", n) for n in self.layers]
        for kind, name in [*requests, *(("annotations", name) for name in self.annotations)]:
            if name not in columns:
                raise ValidationError(f"{path} has no column {name!r}: there are {', '.join(columns)}", kind)
            owner = _owner(adapted, name)
            read_columns = adapted[owner].annotations if kind == "annotations" else adapted[owner].numbers
            if kind == "q_values" or name not in (*read_columns, adapted[owner].feature):
                more: dict[str, Any] = {kind: tuple(dict.fromkeys((*getattr(adapted[owner], kind), name)))}
                adapted[owner] = replace(adapted[owner], **more)
        return adapted


def _owner(levels: Sequence[Level], name: str) -> int:
    """The level that a column is about: the one whose names begin so, else the first."""
    lengths = [max((len(start) for start in level.owns if name.startswith(start)), default=0) for level in levels]
    return lengths.index(max(lengths))


def not_a_report(table: Table, engine: str, expected: str) -> IOFormatError:
    """The error for a table that is none of an engine's."""
    some = ", ".join(table.columns[:8]) + (", …" if len(table.columns) > 8 else "")
    return IOFormatError(f"{table.path} is not a report of {engine}: expected {expected}, found the columns {some}")


def no_threshold(q_value: QValue | None, table: Table) -> None:
    """Raise `ValidationError` where a threshold was given: the table has no q-values."""
    if q_value is not None:
        raise ValidationError(f"{table.path} has no q-values: q_value needs the main report", "q_value")


# ---------------------------------------------------------------- names


def run_name(path: str) -> str:
    """A run's name: the file's, without directories (of any system) and the suffix of a raw file."""
    name = PureWindowsPath(path).name
    name = name[:-3] if name.lower().endswith(".gz") else name
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in RAW_SUFFIXES else name


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """The run of each path or header: its name, or as a whole where the names are not unique."""
    names = {path: run_name(path) for path in paths}
    return names if len(set(names.values())) == len(names) else {path: path for path in names}


def runs_among(table: Table, names: Sequence[str], is_of_engine: Callable[[str], bool]) -> list[str]:
    """Of columns that may be runs those that are; a warning names the others, which are no samples.

    Where some are called as raw files are, the others are none; nor are those that the engine calls otherwise.
    """
    files = [name for name in names if run_name(name) != PureWindowsPath(name).name]
    runs = [name for name in files or names if not is_of_engine(name)]
    others = [name for name in names if name not in runs]
    if others and runs:
        some = ", ".join(others[:8]) + (", …" if len(others) > 8 else "")
        warnings.warn(f"{table.path}: columns that are no runs are taken for annotations: {some}", stacklevel=4)
    return runs


# ---------------------------------------------------------------- one row a run and feature


def with_channels(table: Table, frame: pl.DataFrame, run: str, channel: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows whose run is that of a run and channel, and what the new ones are of: run and channel by sample.

    Raises `IOFormatError` for rows without a channel beside those with one.
    """
    lacking = frame.get_column(channel).is_null().arg_true()
    if len(lacking):
        raise IOFormatError(f"{table.path}, line {lacking[0] + 2}: no value in {channel!r}, and other rows have one")
    name = pl.concat_str(pl.col(run), pl.col(channel), separator="_")
    channels = frame.select(name.alias(INDEX), run=pl.col(run), channel=pl.col(channel)).unique(maintain_order=True)
    return frame.with_columns(name.alias(run)), channels


def marked(matrices: Matrices, frame: pl.DataFrame, feature: str, mark: pl.Series, name: str) -> None:
    """Add to the annotations whether all rows of a feature have a mark."""
    marks = frame.select(pl.col(feature).alias(INDEX), mark.alias(name)).group_by(INDEX).agg(pl.col(name).all())
    matrices.var = matrices.var.join(marks.drop_nulls(INDEX), on=INDEX, how="left", maintain_order="left")


def links_of(pairs: pl.DataFrame | None) -> list[AggregationLink]:
    """The link of precursors to their proteins, from a frame of `source_id`, `target_id`."""
    if pairs is None:
        return []
    return [AggregationLink(PRECURSORS, PROTEINS, pairs.drop_nulls().unique(maintain_order=True))]


def long_report(table: Table, frame: pl.DataFrame, run: str, levels: Sequence[Level]) -> list[tuple[Level, Matrices]]:
    """The matrices of each level of a report with a row a run and feature."""
    if isinstance(table, PartOfTable):
        for level in levels:
            table.note(frame.filter(pl.col(run).is_not_null()), level)
    return [(level, from_long(table.path, frame, run, level)) for level in levels]


def pairs_of(frame: pl.DataFrame, levels: Sequence[Level]) -> pl.DataFrame | None:
    """IDs of precursors and of their proteins; None where there is one level alone."""
    if len(levels) < 2:
        return None
    return frame.select(source_id=levels[0].feature, target_id=levels[-1].feature)


# ---------------------------------------------------------------- the container


def container_of(
    path: Path,
    kind: str,
    assays: Sequence[tuple[Level, Matrices]],
    request: Request,
    links: Sequence[AggregationLink] = (),
    obs: pl.DataFrame | None = None,
) -> ScpContainer:
    """A container of all runs, those that an assay does not have are absent there; its history says where it is from.

    obs: what is known of the runs, by "_index".
    """
    runs = list(dict.fromkeys(run for _, each in assays for run in each.runs))
    parts = {}
    for level, matrices in assays:
        whole = matrices if matrices.runs == runs else matrices.of_runs(runs)
        parts[level.assay] = (matrices.var, whole.layers(level, request.q_value))
    table = pl.DataFrame({INDEX: pl.Series(runs, dtype=pl.String)})
    if obs is not None:
        table = table.join(obs, on=INDEX, how="left", maintain_order="left")
    cells = None if request.cells is None else Path(request.cells)
    made_container = built(path, with_cells(table, cells), parts, links)
    params: dict[str, Any] = {"file": path.name, "kind": kind}
    if request.q_value is not None:
        asked = request.q_value
        params["q_value"] = dict(asked) if isinstance(asked, Mapping) else asked
    version, settings = settings_beside(path, kind)
    if settings:
        params["settings"] = settings
    made_container.log_operation("read_report", params, software_version=version)
    return made_container
