"""Containers from plain tables (samples × features or features × samples), and tables of containers."""

from __future__ import annotations

import csv
import itertools
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import scipy.sparse as sp

from h5burst import durable
from scpstore.core.exceptions import AssayNotFoundError, LayerNotFoundError, ValidationError
from scpstore.core.sources import whole
from scpstore.core.structures import Assay, ScpContainer, ScpMatrix
from scpstore.io.delimited import Table, is_text, open_table
from scpstore.io.exceptions import IOFormatError, writing
from scpstore.io.report_kinds import report_of

INDEX = "_index"
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
Orientation = Literal["samples_in_rows", "features_in_rows", "auto"]


def cells_path(path: str | os.PathLike[str]) -> Path:
    """The cell table that belongs to a matrix by its name: `x_data.csv` or `x.csv` has `x_cells.csv`."""
    path = Path(path)
    suffix = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    return path.with_name(f"{path.name.removesuffix(suffix).removesuffix('_data')}_cells{suffix}")


def read_table(
    path: str | os.PathLike[str],
    cells: str | os.PathLike[str] | None = None,
    assay: str = "proteins",
    *,
    orientation: Orientation = "samples_in_rows",
    layer: str = "X",
    annotations: Sequence[str] | None = None,
    samples: Sequence[str] | str | None = None,
) -> ScpContainer:
    r"""A container of one assay and one layer from a table of values.

    Parameters
    ----------
    path
        Text with tabs, commas or semicolons between its columns (`.csv`, `.tsv`, `.txt`, also `.gz`), or `.parquet`.
        The first column has the IDs of the rows, the header those of the columns. Empty values, NA and the like are
        NaN.
    cells
        A table about the samples, joined by the IDs in its first column; what does not match is told by a
        `UserWarning`. None: the file that `cells_path` names, if there is one.
    assay, layer
        What to call them.
    orientation
        "samples_in_rows", "features_in_rows", or "auto": as the IDs of the cell table stand.
    annotations
        Columns that are not values but belong to the rows (`var` of features in rows, `obs` of samples). None: with
        features in rows, those that hold text, and numbers beside them: all but the longest row of columns of numbers
        that no text interrupts; a `UserWarning` names these.
    samples
        With features in rows: the columns of values, as a list or as a pattern (a regular expression that fits the
        whole name); all others are annotations.

    Returns
    -------
    ScpContainer
        With one assay of one layer.

    Raises
    ------
    FileNotFoundError, IOFormatError
        There is no such file, or it is not such a table: the message names the line or column.
    ValidationError
        An orientation that there is not; "auto", and neither the rows nor the columns are named as the cells are;
        `samples` that there are not, or with samples in rows.

    Examples
    --------
    >>> from pathlib import Path
    >>> from scptensor.io import read_table
    >>> _ = Path("values.csv").write_text("cell,P1,P2\nA,1.5,2\nB,NA,4\n")
    >>> read_table("values.csv").assays["proteins"].X
    array([[1.5, 2. ], [nan, 4. ]])
    """
    table = open_table(Path(path))
    cells = Path(cells) if cells is not None else cells_path(path) if cells_path(path).exists() else None
    check_orientation(orientation)
    if len(table.columns) < 2:
        raise IOFormatError(f"{table.path} has one column only: expected IDs and values")
    frame = table.read()
    if orientation == "auto":
        orientation = _orientation(table, frame, cells)
    ids = _ids(frame.to_series(0))
    _warn_of_report(table, orientation, samples)
    texts = _annotations(table, frame, orientation, annotations, samples, cells)
    numeric = [name for name in table.columns[1:] if name not in set(texts)]
    values = table.numbers([frame.get_column(name) for name in numeric])
    X = np.empty((ids.len(), len(numeric)))
    for i, column in enumerate(values):
        X[:, i] = column.fill_null(float("nan")).to_numpy()
    rows = pl.DataFrame({INDEX: ids, **{name: frame.get_column(name) for name in texts}})
    columns = pl.DataFrame({INDEX: pl.Series(numeric, dtype=pl.String)})
    obs, var = (rows, columns) if orientation == "samples_in_rows" else (columns, rows)
    X = X if orientation == "samples_in_rows" else np.ascontiguousarray(X.T)
    return built(table.path, with_cells(obs, cells), {assay: (var, {layer: ScpMatrix(X)})})


def read_csv(
    path: str | os.PathLike[str], cells: str | os.PathLike[str] | None = None, assay: str = "proteins"
) -> ScpContainer:
    r"""A container from a table with samples in rows."""
    return read_table(path, cells, assay)


def built(path: Path, obs: pl.DataFrame, assays: dict[str, Any], links: Sequence[Any] = ()) -> ScpContainer:
    """A container of (var, layers) by assay; what does not fit is a fault of the file."""
    try:
        return ScpContainer(obs, {name: Assay(var, layers) for name, (var, layers) in assays.items()}, links)
    except ValueError as error:
        raise IOFormatError(f"{path}: {error}") from error


def _ids(series: pl.Series) -> pl.Series:
    texts: pl.Series = series.cast(pl.String).fill_null("").alias(INDEX)
    return texts


def check_orientation(orientation: str) -> None:
    """Raise `ValidationError` for one that there is not."""
    if orientation not in ("samples_in_rows", "features_in_rows", "auto"):
        raise ValidationError(
            f"orientation must be samples_in_rows, features_in_rows or auto, got {orientation!r}", "orientation"
        )


def _orientation(table: Table, frame: pl.DataFrame, cells: Path | None) -> Orientation:
    if cells is not None:
        ids = set(_cell_table(cells)[INDEX].to_list())
        rows, columns = len(ids & set(frame.to_series(0).to_list())), len(ids & set(table.columns[1:]))
        if rows != columns:
            return "samples_in_rows" if rows > columns else "features_in_rows"
    reason = "there is no cell table" if cells is None else f"neither fits the IDs in {cells}"
    message = f"{table.path}: are the samples in rows or in columns? {reason}: say orientation='samples_in_rows' or "
    raise ValidationError(f"{message}'features_in_rows'", "orientation")


def _warn_of_report(table: Table, orientation: str, samples: Sequence[str] | str | None) -> None:
    """Say that a reader knows which columns of a table are samples, and refuse it with samples in rows."""
    kind = report_of(table.columns)
    if kind is None or samples is not None:
        return
    message = f"{table.path} is a {kind}: read_report reads it, and knows which of its columns are samples"
    if orientation == "samples_in_rows":
        raise IOFormatError(message)
    warnings.warn(message, UserWarning, stacklevel=3)


def _annotations(
    table: Table,
    frame: pl.DataFrame,
    orientation: str,
    named: Sequence[str] | None,
    samples: Sequence[str] | str | None,
    cells: Path | None,
) -> list[str]:
    others = table.columns[1:]
    if samples is not None:
        if orientation != "features_in_rows" or named is not None:
            reason = "it is for features in rows" if named is None else "annotations says the same"
            raise ValidationError(f"samples does nothing here: {reason}", "samples")
        chosen = {n for n in others if re.fullmatch(samples, n)} if isinstance(samples, str) else set(samples)
        unknown = sorted(chosen - set(others))
        if unknown or not chosen:
            problem = repr(unknown[0]) if unknown else f"that fits {samples!r}"
            raise ValidationError(f"{table.path} has no column {problem}: there are {list(others)[:12]}", "samples")
        return [name for name in others if name not in chosen]
    if named is not None:
        unknown = [name for name in named if name not in table.columns]
        if unknown:
            raise IOFormatError(f"{table.path} has no column {unknown[0]!r}: there are {list(table.columns)[:12]}")
        return [name for name in named if name != table.columns[0]]
    if orientation == "samples_in_rows":
        return []
    texts = {name for name in others if is_text(frame[name])}
    ids = set() if cells is None else set(_cell_table(cells)[INDEX].to_list())
    if not texts or set(others) - texts <= ids:
        return [name for name in others if name in texts]
    if ids & set(others):
        values = ids & set(others)
    else:
        longest: list[str] = []
        for is_text_too, run in itertools.groupby(others, lambda name: name in texts):
            longest = max(longest, [] if is_text_too else list(run), key=len)
        values = set(longest)
    beside = [name for name in others if name not in values | texts]
    if beside:
        message = f"{table.path}: columns of numbers beside text are taken for annotations: {', '.join(beside)}"
        warnings.warn(f"{message}: say samples=[…] where they are samples", UserWarning, stacklevel=3)
    return [name for name in others if name not in values]


# ---------------------------------------------------------------- cells


def with_cells(obs: pl.DataFrame, cells: Path | None) -> pl.DataFrame:
    """`obs` with what a cell table says about its samples; a `UserWarning` names those without a match."""
    if cells is None:
        return obs
    table = _cell_table(cells)
    ids = obs.get_column(INDEX)
    unknown, missing = set(table[INDEX]) - set(ids), set(ids) - set(table[INDEX])
    for problem, which in (("without a row in the matrix", unknown), ("that it does not have", missing)):
        if which:
            warnings.warn(f"{cells}: {len(which)} samples {problem}: {sorted(which)[:5]}", UserWarning, stacklevel=3)
    clash = [name for name in table.columns if name in obs.columns and name != INDEX]
    return obs.drop(clash).join(table, on=INDEX, how="left", maintain_order="left")


def _cell_table(path: Path) -> pl.DataFrame:
    """A table about samples: its first column as text under "_index", columns of numbers as numbers."""
    table = open_table(path)
    frame = table.read()
    if table.separator is not None:
        frame = frame.with_columns(_typed(frame.get_column(name)) for name in table.columns[1:])
    frame = frame.with_columns(frame.to_series(0).cast(pl.String)).rename({table.columns[0]: INDEX})
    if frame[INDEX].n_unique() != frame.height:
        raise IOFormatError(f"{path}: sample IDs in column {table.columns[0]!r} are not unique")
    return frame


def _typed(series: pl.Series) -> pl.Series:
    """Text as whole numbers, numbers or booleans where all of it is."""
    filled = series.drop_nulls()
    if not filled.len():
        return series
    for dtype in (pl.Int64, pl.Float64):
        if filled.cast(dtype, strict=False).null_count() == 0:
            typed: pl.Series = series.cast(dtype)
            return typed
    if set(filled.str.to_lowercase().unique().to_list()) <= {"true", "false"}:
        return series.str.to_lowercase() == "true"
    return series


# ---------------------------------------------------------------- writing


def write_table(
    container: ScpContainer,
    path: str | os.PathLike[str],
    assay: str,
    layer: str,
    *,
    cells: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the values of one layer as a table, and the samples as another.

    NaN becomes an empty value. A mask, which tables have no place for, is left out with a `UserWarning`.

    Parameters
    ----------
    container
        Where it is taken from.
    path
        The suffix says the format: `.csv`, `.tsv` or `.txt` (tabs), `.parquet`.
    assay, layer
        Which layer.
    cells
        The table of samples (`obs`); None: by the name of the first: `x_data.csv` or `x.csv` has `x_cells.csv`.
    overwrite
        Replace files that are there.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    AssayNotFoundError, LayerNotFoundError
        There is no such assay or layer.
    IOWriteError
        A file exists, without `overwrite`.

    Examples
    --------
    >>> from scptensor import load_hdf5
    >>> from scptensor.io import write_table
    >>> [path.name for path in write_table(load_hdf5("cells.h5"), "peptides.csv", "peptides", "X")]
    ['peptides.csv', 'peptides_cells.csv']
    """
    path, cells = Path(path), cells_path(path) if cells is None else Path(cells)
    if assay not in container.assays:
        raise AssayNotFoundError(assay, container.assays)
    source = container.assays[assay]
    if layer not in source.layers:
        raise LayerNotFoundError(layer, assay, source.layers)
    matrix = source.layers[layer]
    if matrix.M is not None:
        warnings.warn(f"{path}: the mask of layer {layer!r} is left out", UserWarning, stacklevel=2)
    X = whole(matrix.X)
    X = X.toarray() if sp.issparse(X) else X
    names = [str(name) for name in source.feature_ids.to_list()]
    columns = {"": pl.Series([str(name) for name in container.sample_ids.to_list()], dtype=pl.String)}
    columns |= {f" {number}": pl.Series(np.ascontiguousarray(X[:, number])) for number in range(len(names))}
    _write(pl.DataFrame(columns), ["", *names], path, overwrite)
    others = [s for s in container.obs.get_columns() if s.name != container.sample_id_col]
    obs = pl.DataFrame({column.name: column for column in (container.sample_ids, *others)})
    _write(obs, obs.columns, cells, overwrite)
    return [path, cells]


def write_csv(
    container: ScpContainer,
    path: str | os.PathLike[str],
    assay: str,
    layer: str,
    *,
    cells: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the values of one layer as a table, and the samples as another, as `write_table` does."""
    write_table(container, path, assay, layer, cells=cells, overwrite=overwrite)


def _write(frame: pl.DataFrame, header: list[str], path: Path, overwrite: bool) -> None:
    parquet = path.suffix.lower() == ".parquet"
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested() or dtype == pl.Binary]
    nested = [] if parquet else nested
    if nested:
        message = f"{path}: columns that text has no place for are left out: {nested}"
        warnings.warn(message, UserWarning, stacklevel=3)
        header = [name for name in header if name not in nested]
    columns = [s for s in frame.get_columns() if s.name not in nested]
    frame = pl.DataFrame({s.name: s.fill_nan(None) if s.dtype.is_float() else s for s in columns})
    separator = "," if path.suffix.lower() == ".csv" else "\t"
    with writing(path), durable.replacing(path, overwrite=overwrite) as temporary:
        if parquet:
            frame.rename(dict(zip(frame.columns, header, strict=True))).write_parquet(temporary)
            return
        with open(temporary, "w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, delimiter=separator, lineterminator="\n").writerow(header)
            stream.write(frame.write_csv(include_header=False, separator=separator))
