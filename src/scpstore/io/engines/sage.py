"""Sage: lfq.tsv and lfq.parquet. Columns as its source (github.com/lazear/sage) writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from scpstore.core.structures import ScpContainer
from scpstore.io.delimited import Table, open_table
from scpstore.io.engines.long_tables import Level, Matrices, annotated, from_long, from_wide
from scpstore.io.engines.shared import (
    PEPTIDES,
    PRECURSORS,
    PathLike,
    Request,
    container_of,
    not_a_report,
    runs_among,
    short_names,
)
from scpstore.io.exceptions import IOFormatError
from scpstore.io.report_kinds import SAGE, SAGE_SPECTRA, report_of

_ANNOTATIONS = ("peptide", "stripped_peptide", "charge", "proteins", "is_decoy", "q_value", "score", "spectral_angle")
_RUN, _INTENSITY, _ID = "filename", "intensity", "precursor"


def read_sage(path: PathLike, cells: PathLike | None = None, *, q_value: float | None = None) -> ScpContainer:
    r"""A container from Sage's `lfq.tsv` or `lfq.parquet`: the layer "intensity", 0 is missing.

    A feature is a peptide and charge (`PEPTIDE.2`); where Sage has added charges up, a peptide. Q-values are of a
    feature, and in `var`.

    Parameters
    ----------
    path
        The table. `results.sage.tsv` is one of spectra, and refused.
    cells
        As of `read_diann`.
    q_value
        Quantities of features whose `q_value` is above are marked FILTERED in the mask.

    Returns
    -------
    ScpContainer
        With the assay "precursors" or "peptides".

    Raises
    ------
    FileNotFoundError, IOFormatError
        As of `read_diann`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from scptensor.io import read_sage
    >>> rows = ["peptide\tcharge\tproteins\tq_value\tscore\ta.mzML.gz\tb.mzML.gz", "PEPTIDEK\t2\tP1\t0.001\t0.9\t10\t0"]
    >>> _ = Path("lfq.tsv").write_text("\n".join(rows))
    >>> read_sage("lfq.tsv").assays["precursors"].layers["intensity"].X
    array([[10.], [nan]])
    """
    table = open_table(Path(path))
    if report_of(table.columns) == SAGE_SPECTRA:
        message = f"{table.path} is Sage's table of spectra, not of quantities: search with LFQ, and read lfq.tsv"
        raise IOFormatError(message)
    if not {"peptide", "proteins"} <= set(table.columns):
        raise not_a_report(table, "Sage", "peptide, charge, proteins and a column a run")
    is_long = _RUN in table.columns and _INTENSITY in table.columns
    others = [name for name in table.columns if name not in _ANNOTATIONS]
    runs = [] if is_long else runs_among(table, others, lambda name: name.endswith(("_q", "_qvalue", "_q_value")))
    annotation_names = [name for name in table.columns if name in _ANNOTATIONS or (not is_long and name not in runs)]
    if not is_long and not runs:
        raise not_a_report(table, "Sage", "a column a run, or filename and intensity")
    frame = table.read(None, [_INTENSITY] if is_long else runs)
    frame = frame.with_columns(_ids(frame).alias(_ID))
    has_charges = bool(frame["charge"].cast(pl.Float64).gt(0).any()) if "charge" in frame.columns else False
    level = Level(
        PRECURSORS if has_charges else PEPTIDES,
        _ID,
        (_INTENSITY,),
        annotations=tuple(annotation_names),
        zero_is_missing=(_INTENSITY,),
    )
    matrices = _long(table, frame, level) if is_long else _wide(table, frame, level, runs)
    container = container_of(table.path, SAGE, [(level, matrices)], Request(cells))
    if q_value is not None:
        _mark(container.assays[level.assay], matrices, q_value)
        container.history[-1].params["q_value"] = q_value
    return container


def _ids(frame: pl.DataFrame) -> pl.Expr:
    if "charge" not in frame.columns:
        return pl.col("peptide")
    charge = pl.col("charge").cast(pl.Float64).cast(pl.Int64)
    with_charge = pl.concat_str(pl.col("peptide"), charge.cast(pl.String), separator=".")
    return pl.when(charge > 0).then(with_charge).otherwise(pl.col("peptide"))


def _long(table: Table, frame: pl.DataFrame, level: Level) -> Matrices:
    paths = frame.get_column(_RUN).drop_nulls().unique(maintain_order=True)
    return from_long(table.path, frame.with_columns(pl.col(_RUN).replace(short_names(paths))), _RUN, level)


def _wide(table: Table, frame: pl.DataFrame, level: Level, runs: list[str]) -> Matrices:
    names = {run: column for column, run in short_names(runs).items()}
    matrices = from_wide(table.path, frame, _ID, {_INTENSITY: names})
    matrices.var = annotated(frame, level, matrices.features)
    return matrices


def _mark(assay: object, matrices: Matrices, q_value: float) -> None:
    from scpstore.core.structures import MaskCode

    if "q_value" not in matrices.var.columns:
        return
    above = matrices.var.get_column("q_value").cast(pl.Float64).to_numpy() > q_value
    matrix = assay.layers[_INTENSITY]  # type: ignore[attr-defined]
    matrix.M[np.broadcast_to(above, matrix.X.shape) & ~np.isnan(matrix.X)] = MaskCode.FILTERED
