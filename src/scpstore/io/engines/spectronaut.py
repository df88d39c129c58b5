"""Spectronaut: long reports of any schema, and pivoted ones. Columns as its manual names them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from scpstore.core.exceptions import ValidationError
from scpstore.core.structures import AggregationLink, ScpContainer
from scpstore.io.delimited import Table, open_table
from scpstore.io.engines.in_parts import read_in_parts
from scpstore.io.engines.long_tables import Level, QValue, annotated, from_wide
from scpstore.io.engines.shared import (
    PRECURSORS,
    PROTEINS,
    SITES,
    PathLike,
    Request,
    container_of,
    long_report,
    marked,
    no_threshold,
    not_a_report,
    short_names,
)
from scpstore.io.exceptions import IOFormatError
from scpstore.io.report_kinds import SPECTRONAUT

_RUNS = ("R.FileName", "R.Label")  # the first that there is
_ID, _FRAGMENT_GROUP, _CHARGE, _DECOY = "EG.PrecursorId", "FG.Id", "FG.Charge", "EG.IsDecoy"
_SEQUENCES = ("EG.ModifiedSequence", "FG.LabeledSequence", "EG.ModifiedPeptide")
_OF_SITES = "PTM.Quantity"
_LEVELS = (
    Level(
        PRECURSORS, _ID, ("FG.Quantity", "EG.TotalQuantity (Settings)"), ("EG.Qvalue",), "EG.Qvalue",
        ("PG.Genes", "EG.ModifiedSequence", _CHARGE),
    ),
    Level(
        SITES, "PTM.CollapseKey", (_OF_SITES,),
        annotations=("PTM.ProteinId", "PTM.SiteAA", "PTM.SiteLocation", "PTM.Multiplicity", "PTM.ModificationTitle",
                     "PTM.FlankingRegion"),
        every_row=False, owns=("PTM.",),
    ),
    Level(
        PROTEINS, "PG.ProteinGroups", ("PG.Quantity",), ("PG.Qvalue",), "PG.Qvalue",
        ("PG.Genes", "PG.ProteinNames", "PG.ProteinDescriptions", "PG.UniProtIds"), every_row=False, owns=("PG.",),
    ),
)  # fmt: skip
_GROUPS = ("PG.ProteinGroups", "PG.ProteinAccessions")  # the first that there is
_QUANTITIES = {  # of an assay that there is not
    PRECURSORS: ("FG.Quantity", "EG.TotalQuantity (Settings)", "PEP.Quantity", "F.PeakArea"),
    SITES: (_OF_SITES,),
    PROTEINS: ("PG.Quantity",),
}
_PIVOTED = re.compile(r"\[\d+\] (?P<run>.+)\.(?P<column>(?:PG|PEP|EG|FG|PTM)\.[^.]+)")
_LABEL_FREE = ("LABEL_FREE", "LABEL FREE", "LABELFREE")


def read_spectronaut(
    path: PathLike,
    cells: PathLike | None = None,
    *,
    q_value: QValue | None = None,
    layers: Sequence[str] = (),
    annotations: Sequence[str] = (),
    out: PathLike | None = None,
) -> ScpContainer:
    r"""A container from a report of Spectronaut, long (`R.FileName`, …) or pivoted (`[1] run.raw.PG.Quantity`).

    Assays and layers are as of `read_diann`; "Filtered" is missing. A precursor is `EG.PrecursorId`; where a schema
    lacks it, `EG.ModifiedSequence` (else `FG.LabeledSequence`, `EG.ModifiedPeptide`), "." and `FG.Charge`, else
    `FG.Id`. Rows of fragments must agree. A protein is `PG.ProteinGroups`, else `PG.ProteinAccessions`, a site
    `PTM.CollapseKey` (with the quantity `PTM.Quantity`); a warning names quantities without such IDs. A run is
    `R.FileName`, else `R.Label`.

    Parameters
    ----------
    path
        The report.
    cells, q_value, layers, annotations
        As of `read_diann`; `PG.` columns are of the proteins. Of a pivoted report the columns are named without their
        run (`layers=["PG.IBAQ"]`).
    out
        As of `read_diann`, of a long report.

    Returns
    -------
    ScpContainer
        With those of the assays "precursors", "sites", "proteins" that the schema has.

    Raises
    ------
    FileNotFoundError, IOFormatError, ValidationError
        As of `read_diann`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from scptensor.io import read_spectronaut
    >>> rows = ["PG.ProteinGroups\t[1] a.raw.PG.Quantity\t[2] b.raw.PG.Quantity", "P1\t1.5\tFiltered"]
    >>> _ = Path("report.tsv").write_text("\n".join(rows))
    >>> read_spectronaut("report.tsv").assays["proteins"].layers["PG.Quantity"].X
    array([[1.5], [nan]])
    """
    table = open_table(Path(path))
    request = Request(cells, q_value, layers, annotations)
    run = next((name for name in _RUNS if name in table.columns), None)
    if run is not None:
        if out is None:
            return _from_long(table, run, request)
        of_part = replace(request, cells=None)
        return read_in_parts(table, run, lambda part: _from_long(part, run, of_part), out, cells)
    if out is not None:
        raise ValidationError(f"{table.path} is pivoted, and in memory as a whole: out is for long reports", "out")
    matches = {name: match for name in table.columns if (match := _PIVOTED.fullmatch(name))}
    names = short_names(dict.fromkeys(each["run"] for each in matches.values()))
    pivoted: dict[str, dict[str, str]] = {}
    for name, match in matches.items():
        by_run = pivoted.setdefault(match["column"], {})
        if names[match["run"]] in by_run:
            raise IOFormatError(f"{table.path}: {by_run[names[match['run']]]!r} and {name!r} are of the same run")
        by_run[names[match["run"]]] = name
    if not pivoted:
        raise not_a_report(table, "Spectronaut", "R.FileName or R.Label, or columns such as '[1] run.raw.PG.Quantity'")
    return _from_pivoted(table, pivoted, request)


def _levels(table: Table, columns: Sequence[str], request: Request, expected: str) -> list[Level]:
    names_known = [*columns, *([_ID] if _ID not in columns and _parts_of_id(columns) else [])]
    groups = next((name for name in _GROUPS if name in columns), _GROUPS[0])
    precursors, sites, proteins = _LEVELS
    precursors = replace(precursors, annotations=(groups, *precursors.annotations))
    at_hand = (precursors, sites, replace(proteins, feature=groups))
    present = [level for each in at_hand if (level := each.present(names_known)) is not None]
    if not present and "F.PeakArea" in columns:
        raise IOFormatError(f"{table.path} has quantities of fragments alone (F.PeakArea): export {expected}")
    if not present:
        raise not_a_report(table, "Spectronaut", expected)
    read = {name for level in present for name in level.quantities} | set(request.layers)
    assays = {level.assay for level in present}
    lost = [name for assay, names in _QUANTITIES.items() if assay not in assays for name in names]
    left = [name for name in lost if name in columns and name not in read]
    if left:
        message = f"{table.path}: quantities without the IDs of their features are not read: {', '.join(left)}"
        warnings.warn(message, UserWarning, stacklevel=4)
    if not isinstance(request.q_value, Mapping) and all(level.filter_by is None for level in present):
        no_threshold(request.q_value, table)
    return request.levels(present, names_known, table.path)


def _parts_of_id(columns: Sequence[str]) -> list[str]:
    """The columns that together are the ID of a precursor, where a schema lacks it; empty: there are none."""
    sequence = next((name for name in _SEQUENCES if name in columns), None)
    if sequence is not None and _CHARGE in columns:
        return [sequence, _CHARGE]
    return [_FRAGMENT_GROUP] if _FRAGMENT_GROUP in columns else []


def _read(table: Table, levels: Sequence[Level], texts: Sequence[str], numbers: Sequence[str]) -> pl.DataFrame:
    """The columns of these levels; the ID of a precursor is made where it is not there."""
    names = dict.fromkeys([*texts, *(n for level in levels for n in (level.feature, *level.annotations))])
    is_made = _ID in names and _ID not in table.columns
    parts = _parts_of_id(table.columns)
    if is_made:
        names = dict.fromkeys([*(name for name in names if name != _ID), *parts])
    frame = table.read([*names, *(n for n in numbers if n not in names)], list(numbers))
    frame = frame.with_columns(pl.col([name for name in names if name not in numbers]).cast(pl.String))
    return frame.with_columns(pl.concat_str(parts, separator=".").alias(_ID)) if is_made else frame


def _links(frame: pl.DataFrame, levels: Sequence[Level]) -> list[AggregationLink]:
    """The links of what is finer to proteins."""
    *finer, last = levels
    if last.assay != PROTEINS:
        return []
    pairs = ((level, frame.select(source_id=level.feature, target_id=last.feature)) for level in finer)
    return [
        AggregationLink(level.assay, PROTEINS, each.drop_nulls().unique(maintain_order=True)) for level, each in pairs
    ]


def _from_long(table: Table, run: str, request: Request) -> ScpContainer:
    needed = " or ".join(f"{level.feature} with {', '.join(level.quantities)}" for level in _LEVELS)
    levels = _levels(table, table.columns, request, needed)
    if any(name.startswith(("F.", "PTM.")) for name in table.columns):  # a row a fragment, or a site
        levels = [replace(level, every_row=False) for level in levels]
    more = [name for name in (_DECOY, "EG.Workflow") if name in table.columns]
    frame = _read(table, levels, [run, *more], list(dict.fromkeys(n for level in levels for n in level.numbers)))
    if run == _RUNS[1]:  # as a rule the file's name with its suffix
        labels = frame.get_column(run).drop_nulls().unique(maintain_order=True)
        frame = frame.with_columns(pl.col(run).replace(short_names(labels)))
    if "EG.Workflow" in more:
        workflows = [name for name in frame["EG.Workflow"].drop_nulls().unique() if name.upper() not in _LABEL_FREE]
        if workflows:
            message = f"{table.path}: EG.Workflow is {', '.join(workflows)}: channels are not told apart"
            warnings.warn(message, UserWarning, stacklevel=3)
    levels_read = long_report(table, frame, run, levels)
    if _DECOY in more:
        is_decoy = frame.get_column(_DECOY).str.to_lowercase().is_in(["true", "1"]).fill_null(False)
        for level, matrices in levels_read:
            marked(matrices, frame, level.feature, is_decoy, "decoy")
    return container_of(table.path, SPECTRONAUT, levels_read, request, _links(frame, levels))


def _from_pivoted(table: Table, pivoted: dict[str, dict[str, str]], request: Request) -> ScpContainer:
    """Reports with a column a run; rows of precursors may repeat what is known of their proteins."""
    needed = " or ".join(f"{level.feature} with [1] run.raw.{level.quantities[0]}" for level in _LEVELS)
    levels = _levels(table, [*table.columns, *pivoted], request, needed)
    numbers = [name for level in levels for layer in level.numbers for name in pivoted[layer].values()]
    frame = _read(table, levels, [], numbers)
    levels_read = []
    ids = {*table.columns, *(level.feature for level in levels)}
    of_proteins = ids.isdisjoint(level.feature for level in _LEVELS[:-1])  # a row each
    for level in levels:
        columns = {layer: pivoted[layer] for layer in level.numbers}
        rows = frame.select(level.feature, *(n for by_run in columns.values() for n in by_run.values()))
        matrices = from_wide(table.path, rows, level.feature, columns, every_row=level.every_row or of_proteins)
        matrices.var = annotated(frame, level, matrices.features)
        levels_read.append((level, matrices))
    return container_of(table.path, SPECTRONAUT, levels_read, request, _links(frame, levels))
