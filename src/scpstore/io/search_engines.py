"""Containers from the reports of DIA-NN, Spectronaut and MaxQuant.

Columns as their documentation names them: DIA-NN's main report and matrices (github.com/vdemichev/DiaNN, "Main output
reference"), Spectronaut's report schemas, MaxQuant's table description of proteinGroups.txt.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Literal

import numpy as np
import polars as pl

from scpstore.core.exceptions import ValidationError
from scpstore.core.structures import AggregationLink, ScpContainer
from scpstore.io.exceptions import IOFormatError
from scpstore.io.long_tables import Level, Matrices, annotated, from_long, from_wide
from scpstore.io.tables import INDEX, built, with_cells
from scpstore.io.text import Table, open_table

PathLike = str | os.PathLike[str]
PROTEINS, PRECURSORS = "proteins", "precursors"

_DIANN = (
    Level(
        PRECURSORS, "Precursor.Id", ("Precursor.Quantity", "Precursor.Normalised"), ("Q.Value",), "Q.Value",
        ("Protein.Group", "Protein.Ids", "Genes", "Modified.Sequence", "Stripped.Sequence", "Precursor.Charge"),
    ),
    Level(
        PROTEINS, "Protein.Group", ("PG.MaxLFQ", "PG.Quantity", "PG.Normalised"), ("PG.Q.Value",), "PG.Q.Value",
        ("Protein.Ids", "Protein.Names", "Genes", "First.Protein.Description"), every_row=False,
    ),
)  # fmt: skip
_DIANN_ANNOTATIONS = (
    "Protein.Group", "Protein.Ids", "Protein.Names", "Genes", "First.Protein.Description", "Proteotypic",
    "Stripped.Sequence", "Modified.Sequence", "Precursor.Charge", "Precursor.Id", "N.Sequences",
    "N.Proteotypic.Sequences",
)  # fmt: skip
_SPECTRONAUT = (
    Level(
        PRECURSORS, "EG.PrecursorId", ("FG.Quantity", "EG.TotalQuantity (Settings)"), ("EG.Qvalue",), "EG.Qvalue",
        ("PG.ProteinGroups", "PG.Genes", "EG.ModifiedSequence", "FG.Charge"),
    ),
    Level(
        PROTEINS, "PG.ProteinGroups", ("PG.Quantity",), ("PG.Qvalue",), "PG.Qvalue",
        ("PG.Genes", "PG.ProteinNames", "PG.ProteinDescriptions", "PG.UniProtIds"), every_row=False,
    ),
)  # fmt: skip
_PIVOTED = re.compile(r"\[\d+\] (?P<run>.+)\.(?P<column>(?:PG|PEP|EG|FG)\.[^.]+)")
_RAW_SUFFIXES = (".raw", ".d", ".mzml", ".wiff", ".wiff2", ".dia", ".htrms", ".tdf")
_MAXQUANT_IDS, _MAJORITY = "Protein IDs", "Majority protein IDs"
_MAXQUANT_LAYERS = ("Intensity", "LFQ intensity", "iBAQ")
_MAXQUANT_MARKS = {
    "reverse": ("Reverse",),
    "contaminant": ("Potential contaminant", "Contaminant"),
    "by_site": ("Only identified by site",),
}


def read_diann(
    path: PathLike,
    cells: PathLike | None = None,
    *,
    q_value: float | None = None,
    precursors: PathLike | None = None,
) -> ScpContainer:
    r"""A container from DIA-NN: its main report (text or Parquet), or a matrix (`*.pg_matrix.tsv`, `*.pr_matrix.tsv`).

    The main report gives the assays "precursors" and "proteins" and the link from one to the other. Each quantity
    (`Precursor.Quantity`, `PG.MaxLFQ`, …) and each q-value is a layer under its own name; what was not measured is
    NaN, in the mask LOD. Nothing is dropped.

    Parameters
    ----------
    path
        The report or matrix.
    cells
        A table about the runs, joined by the IDs in its first column (as in `Run`).
    q_value
        Quantities whose q-value (`Q.Value`, `PG.Q.Value`) is above are marked FILTERED in the mask.
    precursors
        Beside a protein matrix: the precursor matrix. None: the one that is named like it, if there is one.

    Returns
    -------
    ScpContainer
        With the assays "precursors" and "proteins", or "proteins" alone.

    Raises
    ------
    FileNotFoundError, IOFormatError
        There is no such file; it has not the columns of such a report; rows that repeat or contradict a run and ID,
        one of which is named.

    Examples
    --------
    >>> from pathlib import Path
    >>> from scptensor.io import read_diann
    >>> rows = ["Protein.Group\tGenes\trun1.raw\trun2.raw", "P1\tG1\t1.5\t2.5", "P2\tG2\t\t4"]
    >>> _ = Path("report.pg_matrix.tsv").write_text("\n".join(rows))
    >>> container = read_diann("report.pg_matrix.tsv")
    >>> container.assays["proteins"].layers["PG.MaxLFQ"].M
    array([[0, 2], [0, 0]], dtype=int8)
    """
    table = open_table(Path(path))
    if "Run" in table.columns or "File.Name" in table.columns:
        return _from_report(table, "Run" if "Run" in table.columns else "File.Name", _DIANN, cells, q_value, "DIA-NN")
    _no_threshold(q_value, table)
    sibling = Path(str(table.path).replace(".pg_matrix.", ".pr_matrix."))
    if precursors is None and sibling != table.path and sibling.exists():
        precursors = sibling
    tables = [table] if precursors is None else [open_table(Path(precursors)), table]
    return _from_matrices(tables, cells)


def read_spectronaut(path: PathLike, cells: PathLike | None = None, *, q_value: float | None = None) -> ScpContainer:
    r"""A container from a report of Spectronaut, long (`R.FileName`, …) or pivoted (`[1] run.raw.PG.Quantity`).

    Assays and layers are as of `read_diann`; "Filtered" is missing.

    Parameters
    ----------
    path
        The report.
    cells, q_value
        As of `read_diann`.

    Returns
    -------
    ScpContainer
        With the assays "precursors" and "proteins", or one of them.

    Raises
    ------
    FileNotFoundError, IOFormatError
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
    if "R.FileName" in table.columns:
        return _from_report(table, "R.FileName", _SPECTRONAUT, cells, q_value, "Spectronaut")
    matches = {name: found for name in table.columns if (found := _PIVOTED.fullmatch(name))}
    names = _short_names(dict.fromkeys(found["run"] for found in matches.values()))
    pivoted: dict[str, dict[str, str]] = {}
    for name, found in matches.items():
        by_run = pivoted.setdefault(found["column"], {})
        if names[found["run"]] in by_run:
            raise IOFormatError(f"{table.path}: {by_run[names[found['run']]]!r} and {name!r} are of the same run")
        by_run[names[found["run"]]] = name
    if not pivoted:
        raise _not_a_report(table, "Spectronaut", "R.FileName, or columns such as '[1] run.raw.PG.Quantity'")
    return _from_pivoted(table, pivoted, cells, q_value)


def read_maxquant(
    path: PathLike,
    cells: PathLike | None = None,
    *,
    drop: Sequence[Literal["reverse", "contaminant", "by_site"]] = (),
) -> ScpContainer:
    r"""A container from MaxQuant's proteinGroups.txt: "Intensity", "LFQ intensity" and "iBAQ" as layers.

    Intensities of 0 are missing. Reverse hits, contaminants and groups that are identified by site alone are marked
    in `var` (`reverse`, `contaminant`, `by_site`).

    Parameters
    ----------
    path
        The table.
    cells
        As of `read_diann`.
    drop
        Which marked groups to leave out: "reverse", "contaminant", "by_site".

    Returns
    -------
    ScpContainer
        With the assay "proteins".

    Raises
    ------
    FileNotFoundError, IOFormatError
        As of `read_diann`.
    ValidationError
        Another word in `drop`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from scptensor.io import read_maxquant
    >>> rows = ["Protein IDs\tMajority protein IDs\tIntensity a\tIntensity b\tReverse", "P1;P2\tP1\t10\t0\t"]
    >>> _ = Path("proteinGroups.txt").write_text("\n".join(rows))
    >>> read_maxquant("proteinGroups.txt").assays["proteins"].layers["Intensity"].X
    array([[10.], [nan]])
    """
    table = open_table(Path(path))
    if _MAXQUANT_IDS not in table.columns:
        raise _not_a_report(table, "MaxQuant", _MAXQUANT_IDS)
    unknown = set(drop) - set(_MAXQUANT_MARKS)
    if isinstance(drop, str) or unknown:
        raise ValidationError(f"drop must be a list of {', '.join(_MAXQUANT_MARKS)}, got {drop!r}", "drop")
    columns: dict[str, dict[str, str]] = {}
    for layer in _MAXQUANT_LAYERS:
        by_run = {n[len(layer) + 1 :]: n for n in table.columns if n.startswith(f"{layer} ")}
        by_run = {run: name for run, name in by_run.items() if not (layer == "iBAQ" and run == "peptides")}
        if by_run:
            columns[layer] = by_run
    if not columns:
        raise _not_a_report(table, "MaxQuant", "columns such as 'Intensity run' or 'LFQ intensity run'")
    numbers = [name for by_run in columns.values() for name in by_run.values()]
    known = [n for n in (_MAJORITY, "Protein names", "Gene names", "Fasta headers") if n in table.columns]
    marked = [n for names in _MAXQUANT_MARKS.values() for n in names if n in table.columns]
    frame = table.read([_MAXQUANT_IDS, *known, *marked, *numbers], numbers)
    marks = [_mark(frame, name, columns_of) for name, columns_of in _MAXQUANT_MARKS.items()]
    frame = frame.with_columns(marks)
    kept = frame.filter(~pl.any_horizontal(pl.lit(False), *(pl.col(name) for name in drop)))
    made = from_wide(table.path, kept, _MAXQUANT_IDS, columns, [*known, *_MAXQUANT_MARKS])
    level = Level(PROTEINS, _MAXQUANT_IDS, tuple(columns), zero_is_missing=True)
    return _container(table.path, [(level, made)], cells, None, [])


def _mark(frame: pl.DataFrame, name: str, columns: Sequence[str]) -> pl.Series:
    there = [frame.get_column(column) for column in columns if column in frame.columns]
    marks = there[0].fill_null("").str.strip_chars() == "+" if there else pl.repeat(False, frame.height, eager=True)
    return marks.alias(name)


def _not_a_report(table: Table, engine: str, expected: str) -> IOFormatError:
    some = ", ".join(table.columns[:8]) + (", …" if len(table.columns) > 8 else "")
    return IOFormatError(f"{table.path} is not a report of {engine}: expected {expected}, found the columns {some}")


def _no_threshold(q_value: float | None, table: Table) -> None:
    if q_value is not None:
        raise ValidationError(f"{table.path} has no q-values: q_value needs the main report", "q_value")


def run_name(path: str) -> str:
    """A run's name: the file's, without directories (of any system) and the suffix of a raw file."""
    name = PureWindowsPath(path).name
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in _RAW_SUFFIXES else name


# ---------------------------------------------------------------- one row a run and feature


def _from_report(
    table: Table, run: str, levels: Sequence[Level], cells: PathLike | None, q_value: float | None, engine: str
) -> ScpContainer:
    present = [level for known in levels if (level := known.present(table.columns)) is not None]
    if not present:
        wanted = " or ".join(f"{level.feature} with {', '.join(level.quantities)}" for level in levels)
        raise _not_a_report(table, engine, wanted)
    if q_value is not None and all(level.filter_by is None for level in present):
        _no_threshold(q_value, table)
    texts = dict.fromkeys([run, *(n for level in present for n in (level.feature, *level.annotations))])
    numbers = dict.fromkeys(name for level in present for name in level.numbers)
    frame = table.read([*texts, *numbers], list(numbers)).with_columns(pl.col(list(texts)).cast(pl.String))
    if run == "File.Name":
        paths = frame.get_column(run).drop_nulls().unique(maintain_order=True)
        frame = frame.with_columns(pl.col(run).replace(_short_names(paths)))
    made = [(level, from_long(table.path, frame, run, level)) for level in present]
    pairs = frame.select(source_id=present[0].feature, target_id=present[-1].feature) if len(present) > 1 else None
    return _container(table.path, made, cells, q_value, _links(pairs))


def _links(pairs: pl.DataFrame | None) -> list[AggregationLink]:
    if pairs is None:
        return []
    return [AggregationLink(PRECURSORS, PROTEINS, pairs.drop_nulls().unique(maintain_order=True))]


def _container(
    path: Path,
    assays: Sequence[tuple[Level, Matrices]],
    cells: PathLike | None,
    q_value: float | None,
    links: Sequence[AggregationLink],
) -> ScpContainer:
    """A container of all runs; those that an assay does not have are absent there."""
    runs = list(dict.fromkeys(run for _, made in assays for run in made.runs))
    parts = {}
    for level, made in assays:
        places = [runs.index(run) for run in made.runs]
        for name, values in made.values.items():
            aligned = np.full((len(runs), len(made.features)), np.nan)
            aligned[places] = values
            made.values[name] = aligned
        made.runs = runs
        parts[level.assay] = (made.var, made.layers(level, q_value))
    obs = pl.DataFrame({INDEX: pl.Series(runs, dtype=pl.String)})
    return built(path, with_cells(obs, None if cells is None else Path(cells)), parts, links)


# ---------------------------------------------------------------- one column a run


def _from_matrices(tables: Sequence[Table], cells: PathLike | None) -> ScpContainer:
    """DIA-NN's matrices: annotation columns, then one a run."""
    assays, pairs = [], None
    for table in tables:
        assay = PRECURSORS if "Precursor.Id" in table.columns else PROTEINS
        feature = "Precursor.Id" if assay == PRECURSORS else "Protein.Group"
        runs = [name for name in table.columns if name not in _DIANN_ANNOTATIONS]
        if feature not in table.columns or not runs:
            raise _not_a_report(
                table, "DIA-NN", "Run or File.Name, or Protein.Group or Precursor.Id and one column a run"
            )
        names = {run: column for column, run in _short_names(runs).items()}
        known = [name for name in table.columns if name in _DIANN_ANNOTATIONS]
        frame = table.read(numbers=runs)
        quantity = "Precursor.Normalised" if assay == PRECURSORS else "PG.MaxLFQ"
        made = from_wide(table.path, frame, feature, {quantity: names}, known)
        assays.append((Level(assay, feature, (quantity,)), made))
        if assay == PRECURSORS and len(tables) > 1:
            pairs = frame.select(source_id="Precursor.Id", target_id="Protein.Group")
    if pairs is not None:
        pairs = pairs.filter(pl.col("target_id").is_in(assays[-1][1].features))
    return _container(tables[-1].path, assays, cells, None, _links(pairs))


def _short_names(paths: Iterable[str]) -> dict[str, str]:
    """The run of each path or header: its name, or as a whole where the names are not unique."""
    names = {path: run_name(path) for path in paths}
    return names if len(set(names.values())) == len(names) else {path: path for path in names}


def _from_pivoted(
    table: Table, pivoted: dict[str, dict[str, str]], cells: PathLike | None, q_value: float | None
) -> ScpContainer:
    """Spectronaut's reports with a column a run; rows of precursors may repeat what is known of their proteins."""
    quantities = [name for known in _SPECTRONAUT for name in known.numbers if name in pivoted]
    present = [level for known in _SPECTRONAUT if (level := known.present([*table.columns, *quantities])) is not None]
    if not present:
        wanted = " or ".join(f"{level.feature} with [1] run.raw.{level.quantities[0]}" for level in _SPECTRONAUT)
        raise _not_a_report(table, "Spectronaut", wanted)
    if q_value is not None and all(level.filter_by is None for level in present):
        _no_threshold(q_value, table)
    texts = dict.fromkeys(name for level in present for name in (level.feature, *level.annotations))
    numbers = [name for level in present for layer in level.numbers for name in pivoted[layer].values()]
    frame = table.read([*texts, *numbers], numbers)
    made = []
    for level in present:
        columns = {layer: pivoted[layer] for layer in level.numbers}
        rows = frame.select(level.feature, *(n for by_run in columns.values() for n in by_run.values()))
        every_row = level.every_row or "EG.PrecursorId" not in table.columns
        matrices = from_wide(table.path, rows, level.feature, columns, every_row=every_row)
        matrices.var = annotated(frame, level, matrices.features)
        made.append((level, matrices))
    pairs = frame.select(source_id=present[0].feature, target_id=present[-1].feature) if len(present) > 1 else None
    return _container(table.path, made, cells, q_value, _links(pairs))
