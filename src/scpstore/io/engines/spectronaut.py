"""Spectronaut: long reports of any schema, and pivoted ones. Columns as its manual names them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from scpstore.core.exceptions import ValidationError
from scpstore.core.structures import ScpContainer
from scpstore.io.delimited import Table, open_table
from scpstore.io.engines.in_parts import read_in_parts
from scpstore.io.engines.long_tables import Level, QValue, annotated, from_wide
from scpstore.io.engines.shared import (
    PRECURSORS,
    PROTEINS,
    PathLike,
    Request,
    container_of,
    links_of,
    long_report,
    marked,
    no_threshold,
    not_a_report,
    pairs_of,
    short_names,
)
from scpstore.io.exceptions import IOFormatError
from scpstore.io.report_kinds import SPECTRONAUT

_RUN, _ID, _CHARGE, _DECOY = "R.FileName", "EG.PrecursorId", "FG.Charge", "EG.IsDecoy"
_SEQUENCES = ("EG.ModifiedSequence", "FG.LabeledSequence")
_LEVELS = (
    Level(
        PRECURSORS, _ID, ("FG.Quantity", "EG.TotalQuantity (Settings)"), ("EG.Qvalue",), "EG.Qvalue",
        ("PG.Genes", "EG.ModifiedSequence", _CHARGE),
    ),
    Level(
        PROTEINS, "PG.ProteinGroups", ("PG.Quantity",), ("PG.Qvalue",), "PG.Qvalue",
        ("PG.Genes", "PG.ProteinNames", "PG.ProteinDescriptions", "PG.UniProtIds"), every_row=False, owns=("PG.",),
    ),
)  # fmt: skip
_GROUPS = ("PG.ProteinGroups", "PG.ProteinAccessions")  # the first that there is
_QUANTITIES = {  # of the assay that there is not, where there is this alone
    PROTEINS: ("FG.Quantity", "EG.TotalQuantity (Settings)", "PEP.Quantity", "F.PeakArea"),
    PRECURSORS: ("PG.Quantity",),
}
_OF_SITES = "PTM.Quantity"
_PIVOTED = re.compile(r"\[\d+\] (?P<run>.+)\.(?P<column>(?:PG|PEP|EG|FG)\.[^.]+)")
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
    lacks it, `EG.ModifiedSequence` (else `FG.LabeledSequence`), "." and `FG.Charge`. Rows of fragments must agree. A
    protein is `PG.ProteinGroups`, else `PG.ProteinAccessions`; a warning names quantities without such IDs.

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
        With the assays "precursors" and "proteins", or one of them.

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
    if _RUN in table.columns:
        if out is None:
            return _from_long(table, request)
        of_part = replace(request, cells=None)
        return read_in_parts(table, _RUN, lambda part: _from_long(part, of_part), out, cells)
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
        raise not_a_report(table, "Spectronaut", "R.FileName, or columns such as '[1] run.raw.PG.Quantity'")
    return _from_pivoted(table, pivoted, request)


def _levels(table: Table, columns: Sequence[str], request: Request, expected: str) -> list[Level]:
    has_sequence = _CHARGE in columns and any(name in columns for name in _SEQUENCES)
    names_known = [*columns, *([_ID] if has_sequence and _ID not in columns else [])]
    groups = next((name for name in _GROUPS if name in columns), _GROUPS[0])
    at_hand = (replace(_LEVELS[0], annotations=(groups, *_LEVELS[0].annotations)), replace(_LEVELS[1], feature=groups))
    present = [level for each in at_hand if (level := each.present(names_known)) is not None]
    if not present:
        raise not_a_report(table, "Spectronaut", expected)
    read = {name for level in present for name in level.quantities} | set(request.layers)
    lost = (*(_QUANTITIES[present[0].assay] if len(present) == 1 else ()), _OF_SITES)
    left = [name for name in lost if name in columns and name not in read]
    if left:
        message = f"{table.path}: quantities without the IDs of their features are not read: {', '.join(left)}"
        warnings.warn(message, UserWarning, stacklevel=4)
    if request.q_value is not None and all(level.filter_by is None for level in present):
        no_threshold(request.q_value, table)
    return request.levels(present, names_known, table.path)


def _read(table: Table, levels: Sequence[Level], texts: Sequence[str], numbers: Sequence[str]) -> pl.DataFrame:
    """The columns of these levels; the ID of a precursor is made where it is not there."""
    names = dict.fromkeys([*texts, *(n for level in levels for n in (level.feature, *level.annotations))])
    is_made = _ID in names and _ID not in table.columns
    sequence = next((name for name in _SEQUENCES if name in table.columns), "")
    if is_made:
        names = dict.fromkeys([*(name for name in names if name != _ID), sequence, _CHARGE])
    frame = table.read([*names, *(n for n in numbers if n not in names)], list(numbers))
    frame = frame.with_columns(pl.col([name for name in names if name not in numbers]).cast(pl.String))
    ids = pl.concat_str(pl.col(sequence), pl.col(_CHARGE), separator=".") if is_made else None
    return frame if ids is None else frame.with_columns(ids.alias(_ID))


def _from_long(table: Table, request: Request) -> ScpContainer:
    needed = " or ".join(f"{level.feature} with {', '.join(level.quantities)}" for level in _LEVELS)
    levels = _levels(table, table.columns, request, needed)
    if any(name.startswith("F.") for name in table.columns):  # a row a fragment
        levels = [replace(level, every_row=False) for level in levels]
    more = [name for name in (_DECOY, "EG.Workflow") if name in table.columns]
    frame = _read(table, levels, [_RUN, *more], list(dict.fromkeys(n for level in levels for n in level.numbers)))
    if "EG.Workflow" in more:
        workflows = [name for name in frame["EG.Workflow"].drop_nulls().unique() if name.upper() not in _LABEL_FREE]
        if workflows:
            message = f"{table.path}: EG.Workflow is {', '.join(workflows)}: channels are not told apart"
            warnings.warn(message, UserWarning, stacklevel=3)
    levels_read = long_report(table, frame, _RUN, levels)
    if _DECOY in more:
        is_decoy = frame.get_column(_DECOY).str.to_lowercase().is_in(["true", "1"]).fill_null(False)
        for level, matrices in levels_read:
            marked(matrices, frame, level.feature, is_decoy, "decoy")
    return container_of(table.path, SPECTRONAUT, levels_read, request, links_of(pairs_of(frame, levels)))


def _from_pivoted(table: Table, pivoted: dict[str, dict[str, str]], request: Request) -> ScpContainer:
    """Reports with a column a run; rows of precursors may repeat what is known of their proteins."""
    needed = " or ".join(f"{level.feature} with [1] run.raw.{level.quantities[0]}" for level in _LEVELS)
    levels = _levels(table, [*table.columns, *pivoted], request, needed)
    numbers = [name for level in levels for layer in level.numbers for name in pivoted[layer].values()]
    frame = _read(table, levels, [], numbers)
    levels_read = []
    for level in levels:
        columns = {layer: pivoted[layer] for layer in level.numbers}
        rows = frame.select(level.feature, *(n for by_run in columns.values() for n in by_run.values()))
        every_row = level.every_row or _ID not in (*table.columns, *(each.feature for each in levels))
        matrices = from_wide(table.path, rows, level.feature, columns, every_row=every_row)
        matrices.var = annotated(frame, level, matrices.features)
        levels_read.append((level, matrices))
    return container_of(table.path, SPECTRONAUT, levels_read, request, links_of(pairs_of(frame, levels)))
