"""AlphaDIA: matrices and precursors.tsv, of 1.x and 2.x.

Columns as alphadia.readthedocs.io, "Output format", names them; those of 2.x begin with `precursor.`, `pg.`, `raw.`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from scpstore.core.structures import ScpContainer
from scpstore.io.delimited import Table, open_table
from scpstore.io.engines.long_tables import Level, QValue, from_wide
from scpstore.io.engines.shared import (
    PEPTIDES,
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
    runs_among,
    with_channels,
)
from scpstore.io.report_kinds import ALPHADIA, ALPHADIA_PRECURSORS

# Columns of 2.x by those of 1.x, whose `intensity` is that of the protein group.
_NEWER = {
    "run": "raw.name", "mod_seq_charge_hash": "precursor.mod_seq_charge_hash", "pg": "pg.name",
    "qval": "precursor.qval",
    "pg_qval": "pg.qval", "intensity": "pg.intensity", "genes": "pg.genes", "proteins": "pg.proteins",
    "decoy": "precursor.decoy", "sequence": "precursor.sequence", "mods": "precursor.mods",
    "mod_sites": "precursor.mod_sites", "charge": "precursor.charge", "channel": "precursor.channel",
}  # fmt: skip
_FEATURES = {"mod_seq_charge_hash": PRECURSORS, "mod_seq_hash": PEPTIDES, "pg": PROTEINS}
_ANNOTATIONS = ("pg", "genes", "proteins", "decoy", "mods", "mod_sites", "sequence", "charge")
_NO_RUNS = ("channel", "elution_group_idx", "precursor_idx", "mz_library", "rt_library", "mobility_library", "score",
            "proba", "qval", "pg_qval", "pg_master", "n_precursors", "n_peptides", "rows")  # fmt: skip
_INTENSITY = "intensity"


def read_alphadia(
    path: PathLike,
    cells: PathLike | None = None,
    *,
    q_value: QValue | None = None,
    layers: Sequence[str] = (),
    annotations: Sequence[str] = (),
) -> ScpContainer:
    r"""A container from a matrix of AlphaDIA (`pg.matrix.tsv`, `precursor.matrix.tsv`), or its `precursors.tsv`.

    Of a matrix the layer is "intensity"; 0 is missing, rows that are repeated count once (`rows` in `var` says how many
    they were). Of `precursors.tsv` the proteins have their `intensity` (2.x: `pg.intensity`); precursors have
    `precursor.intensity`, and before 2.0, which does not write it, what is asked for by `layers`.

    Parameters
    ----------
    path
        The table (text or Parquet).
    cells, q_value, layers, annotations
        As of `read_diann`, for `precursors.tsv`.

    Returns
    -------
    ScpContainer
        With the assays that there are of "precursors", "peptides", "proteins".

    Raises
    ------
    FileNotFoundError, IOFormatError, ValidationError
        As of `read_diann`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from scptensor.io import read_alphadia
    >>> _ = Path("pg.matrix.tsv").write_text("pg\trun1\trun2\nP1\t10\t0\n")
    >>> read_alphadia("pg.matrix.tsv").assays["proteins"].layers["intensity"].X
    array([[10.], [nan]])
    """
    table = open_table(Path(path))
    request = Request(cells, q_value, layers, annotations)
    if {"run", "raw.name"} & set(table.columns):
        return _from_precursors(table, request)
    by_older = {_older(name): name for name in reversed(table.columns)}
    feature = next((by_older[name] for name in _FEATURES if name in by_older), None)  # the finest of them
    runs = [name for name in table.columns if name and _older(name) not in (*_ANNOTATIONS, *_FEATURES)]
    runs = runs_among(table, runs, _is_of_alphadia)
    if feature is None or not runs:
        raise not_a_report(table, "AlphaDIA", f"{', '.join(_FEATURES)} and a column a run")
    no_threshold(q_value, table)
    frame = table.read(None, runs)
    frame = frame.group_by(frame.columns, maintain_order=True).len("rows")
    annotation_names = [name for name in table.columns if name and name not in (feature, *runs)]
    assay = _FEATURES[_older(feature)]
    matrices = from_wide(
        table.path, frame, feature, {_INTENSITY: {run: run for run in runs}}, [*annotation_names, "rows"]
    )
    decoy = next((name for name in annotation_names if _older(name) == "decoy"), None)
    if decoy is not None:
        matrices.var = matrices.var.with_columns(_is_decoy(decoy).alias(decoy))
    level = Level(assay, feature, (_INTENSITY,), zero_is_missing=(_INTENSITY,))
    return container_of(table.path, ALPHADIA, [(level, matrices)], request)


def _older(name: str) -> str:
    """A column by its name in 1.x."""
    return next(
        (old for old, new in _NEWER.items() if new == name), name.removeprefix("precursor.").removeprefix("pg.")
    )


def _is_of_alphadia(name: str) -> bool:
    return name.startswith(("precursor.", "pg.", "peptide.", "raw.")) or name in _NO_RUNS


def _is_decoy(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).str.to_lowercase().is_in(["1", "1.0", "true"]).fill_null(False)


def _from_precursors(table: Table, request: Request) -> ScpContainer:
    names = {old: old if old in table.columns else new for old, new in _NEWER.items()}
    annotation_names = tuple(names[name] for name in _ANNOTATIONS)
    quantity = "precursor.intensity"
    levels = (
        Level(
            PRECURSORS, names["mod_seq_charge_hash"], (quantity, *request.layers), (names["qval"],), names["qval"],
            annotation_names,
            zero_is_missing=(quantity,),
        ),
        Level(
            PROTEINS, names["pg"], (names[_INTENSITY],), (names["pg_qval"],), names["pg_qval"], (names["genes"],),
            every_row=False, zero_is_missing=(names[_INTENSITY],), owns=("pg.", "pg_"),
        ),
    )  # fmt: skip
    present = [level for each in levels if (level := each.present(table.columns)) is not None]
    if not present:
        raise not_a_report(table, "AlphaDIA", f"{names['pg']} and {names[_INTENSITY]}")
    asked = request.levels(present, table.columns, table.path)
    has_channels, run = names["channel"] in table.columns, names["run"]
    more = [names[name] for name in ("channel", "decoy") if names[name] in table.columns]
    texts = dict.fromkeys([run, *more, *(n for level in asked for n in (level.feature, *level.annotations))])
    numbers = list(dict.fromkeys(n for level in asked for n in level.numbers))
    frame = table.read([*texts, *(n for n in numbers if n not in texts)], numbers)
    frame = frame.with_columns(pl.col([name for name in texts if name not in numbers]).cast(pl.String))
    samples = None
    if has_channels and frame.get_column(names["channel"]).n_unique() > 1:
        frame, samples = with_channels(table, frame, run, names["channel"])
    levels_read = long_report(table, frame, run, asked)
    if names["decoy"] in more:
        is_decoy = frame.select(_is_decoy(names["decoy"])).to_series()
        for level, matrices in levels_read:
            matrices.var = matrices.var.drop(names["decoy"], strict=False)
            marked(matrices, frame, level.feature, is_decoy, "decoy")
    links = links_of(pairs_of(frame, asked))
    return container_of(table.path, ALPHADIA_PRECURSORS, levels_read, request, links, samples)
