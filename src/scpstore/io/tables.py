"""Matrices and cell tables as CSV files: samples × features, with the sample IDs in the first column."""

from __future__ import annotations

import csv
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from h5burst import durable
from scpstore.core.exceptions import AssayNotFoundError, LayerNotFoundError
from scpstore.core.sources import whole
from scpstore.core.structures import Assay, ScpContainer, ScpMatrix
from scpstore.io.exceptions import IOFormatError, IOWriteError

INDEX = "_index"
_MISSING = ["", "NA", "NaN", "nan", "null", "None"]


def cells_path(path: str | os.PathLike[str]) -> Path:
    """The cell table that belongs to a matrix by its name: `x_data.csv` or `x.csv` has `x_cells.csv`."""
    path = Path(path)
    return path.with_name(f"{path.stem.removesuffix('_data')}_cells{path.suffix}")


def read_csv(
    path: str | os.PathLike[str], cells: str | os.PathLike[str] | None = None, assay: str = "proteins"
) -> ScpContainer:
    """A container of one assay and one layer "X" from a matrix (samples × features, a header of feature IDs).

    cells: a table about the samples, whose first column has their IDs (in any order); None: the file that `cells_path`
    names, if there is one. Empty cells and NA are NaN. Raises `IOFormatError` for what is no such table.
    """
    path = Path(path)
    features = _header(path)[1:]
    schema = {INDEX: pl.String()} | {f"column {number}": pl.Float64() for number in range(len(features))}
    table = _read(path, has_header=False, skip_rows=1, schema=schema, null_values=_MISSING)
    ids = table[INDEX].fill_null("")
    values = table.drop(INDEX).fill_null(float("nan"))
    X = np.ascontiguousarray(values.to_numpy()) if features else np.zeros((ids.len(), 0))
    cells = Path(cells) if cells is not None else cells_path(path) if cells_path(path).exists() else None
    obs = pl.DataFrame({INDEX: ids}) if cells is None else _obs(ids, cells)
    try:
        return ScpContainer(
            obs, {assay: Assay(pl.DataFrame({INDEX: features}, schema={INDEX: pl.String}), {"X": ScpMatrix(X)})}
        )
    except ValueError as error:
        raise IOFormatError(f"{path}: {error}") from error


def _header(path: Path) -> list[str]:
    with open(path, encoding="utf-8-sig", newline="") as stream:
        header = next(csv.reader(stream), [])
    if not header:
        raise IOFormatError(f"{path} is empty: expected a header of feature IDs")
    return header


def _read(path: Path, **options: Any) -> pl.DataFrame:
    try:
        return pl.read_csv(path, **options)
    except pl.exceptions.PolarsError as error:
        raise IOFormatError(f"{path} is no table as expected: {str(error).splitlines()[0][:200]}") from error


def _obs(ids: pl.Series, path: Path) -> pl.DataFrame:
    """What the cell table says about these samples, in their order."""
    names = _header(path)
    table = _read(path, infer_schema_length=None, schema_overrides={names[0]: pl.String()})
    table = table.rename({table.columns[0]: INDEX})
    if table[INDEX].n_unique() != table.height:
        raise IOFormatError(f"{path}: sample IDs in column {names[0]!r} are not unique")
    unknown, missing = set(table[INDEX]) - set(ids), set(ids) - set(table[INDEX])
    for what, which in (("without a row in the matrix", unknown), ("that it does not have", missing)):
        if which:
            warnings.warn(f"{path}: {len(which)} samples {what}: {sorted(which)[:5]}", UserWarning, stacklevel=4)
    return pl.DataFrame({INDEX: ids}).join(table, on=INDEX, how="left", maintain_order="left")


def write_csv(
    container: ScpContainer,
    path: str | os.PathLike[str],
    assay: str,
    layer: str,
    *,
    cells: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the values of one layer as a CSV file, NaN as empty cells, and `obs` as another (None: `cells_path`).

    A mask, which CSV has no place for, is left out with a `UserWarning`. Raises `AssayNotFoundError`,
    `LayerNotFoundError`, and `IOWriteError` for an existing file without `overwrite`.
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


def _write(frame: pl.DataFrame, header: list[str], path: Path, overwrite: bool) -> None:
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested() or dtype == pl.Binary]
    if nested:
        warnings.warn(f"{path}: columns that CSV has no place for are left out: {nested}", UserWarning, stacklevel=3)
        header = [name for name in header if name not in nested]
    columns = [s for s in frame.get_columns() if s.name not in nested]
    frame = pl.DataFrame({s.name: s.fill_nan(None) if s.dtype.is_float() else s for s in columns})
    try:
        with (
            durable.replacing(path, overwrite=overwrite) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as stream,
        ):
            csv.writer(stream, lineterminator="\n").writerow(header)
            stream.write(frame.write_csv(include_header=False))
    except FileExistsError as error:
        raise IOWriteError("File already exists", path) from error
    except OSError as error:
        raise IOWriteError(error.strerror or str(error), path) from error
