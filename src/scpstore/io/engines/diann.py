"""DIA-NN: main reports and matrices, of 1.7 to 2.x.

Columns as github.com/vdemichev/DiaNN names them, "Main output reference".
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from scpstore.core.exceptions import ValidationError
from scpstore.core.structures import ScpContainer
from scpstore.io.delimited import Table, open_table
from scpstore.io.engines.in_parts import read_in_parts
from scpstore.io.engines.long_tables import Level, QValue, from_wide
from scpstore.io.engines.shared import (
    GENES,
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
    short_names,
    with_channels,
)
from scpstore.io.exceptions import IOFormatError
from scpstore.io.report_kinds import DIANN, DIANN_PHOSPHOSITES, NO_GENE_RUNS, OF_GENES, report_of

_ID, _SEQUENCE, _CHANNEL, _DECOY = "Precursor.Id", "Modified.Sequence", "Channel", "Decoy"
_LEVELS = (
    Level(
        PRECURSORS, _ID, ("Precursor.Quantity", "Precursor.Normalised"), ("Q.Value",), "Q.Value",
        ("Protein.Group", "Protein.Ids", "Genes", _SEQUENCE, "Stripped.Sequence", "Precursor.Charge"),
    ),
    Level(
        PROTEINS, "Protein.Group", ("PG.MaxLFQ", "PG.Quantity", "PG.Normalised"), ("PG.Q.Value",), "PG.Q.Value",
        ("Protein.Ids", "Protein.Names", "Genes", "First.Protein.Description"), every_row=False,
        owns=("PG.", "Genes.", "GG.", "Protein.", "First.Protein", "Global.PG.", "Lib.PG."),
    ),
)  # fmt: skip
_ANNOTATIONS = (
    "Protein.Group", "Protein.Ids", "Protein.Names", "Genes", "First.Protein.Description", "Proteotypic",
    "Stripped.Sequence", _SEQUENCE, "Precursor.Charge", _ID, "N.Sequences", "N.Proteotypic.Sequences",
)  # fmt: skip
_OF_REPORTS = re.compile(  # columns of main reports and libraries, which are no runs
    r"(Precursor|PG|Genes|GG|Lib|Global|Protein|Ms1|Peptidoform|PTM|Predicted|Translated|Channel)\.[A-Z].*"
    r"|[NC]\.Term|RT|iRT|IM|iIM|PEP|Q\.Value|Evidence|Decoy|Channel|Flags"
)
_LABEL = r"\([^()\-:]+-[A-Za-z*]+-[^()\-:]+\)"  # (mTRAQ-n-4), (SILAC-K-H): label, site, channel
_RUN_OF_CHANNEL = re.compile(r"\.(raw|d|mzml|wiff2?|dia)-[^\\/.]+$", re.IGNORECASE)
_LABEL_CHANNEL = r"\([^()\-:]+-[A-Za-z*]+-([^()\-:]+)\)"


def read_diann(
    path: PathLike,
    cells: PathLike | None = None,
    *,
    q_value: QValue | None = None,
    precursors: PathLike | None = None,
    layers: Sequence[str] = (),
    annotations: Sequence[str] = (),
    out: PathLike | None = None,
) -> ScpContainer:
    r"""A container from DIA-NN: its main report (text or Parquet), or a matrix (`*.pg_matrix.tsv` and the like).

    The main report gives the assays "precursors" and "proteins" and the link from one to the other. Quantities
    (`Precursor.Quantity`, `PG.MaxLFQ`, …) and the q-values of a run (`Q.Value`, `PG.Q.Value`) are layers under their
    own names; what was not measured is NaN, in the mask LOD. A quantity of 0 is what DIA-NN says of a precursor that
    it identified without a signal: it stays 0. No row is dropped; decoys are marked in `var` (`decoy`).

    A plexDIA report has a sample for each run and channel (`run_channel`); labels are taken out of `Precursor.Id` and
    `Modified.Sequence`, so that channels share features.

    Matrices of genes (`*.gg_matrix.tsv`, `*.unique_genes_matrix.tsv`) give the assay "genes", with the layer
    "Genes.MaxLFQ", or "Genes.MaxLFQ.Unique" where the file's name has "unique_genes".

    Parameters
    ----------
    path
        The report or matrix.
    cells
        A table about the samples, joined by the IDs in its first column (as in `Run`, of plexDIA `run_channel`).
    q_value
        Quantities whose q-value (`Q.Value`, `PG.Q.Value`) is above are marked FILTERED in the mask; a dict names
        others, each for the assay that it is about: `{"Lib.Q.Value": 0.01, "Lib.PG.Q.Value": 0.01}`. Where rows of a
        group differ in one, as they may in `Lib.PG.Q.Value`, the least counts, and a warning says so.
    precursors
        Beside a protein matrix: the precursor matrix. None: the one that is named like it, if there is one.
    layers, annotations
        Further columns of the main report, as layers or in `var`, of the assay that they are about: those that begin
        with `PG.`, `Genes.` and the like of the proteins, others of the precursors.
    out
        Of a main report that is larger than the memory: the container's file, into which it is read a group of runs at
        a time; what is returned is loaded lazily from there. Features are in the order of their first run.

    Returns
    -------
    ScpContainer
        With the assays "precursors" and "proteins", or one of these or "genes" alone; its history has the file, and
        DIA-NN's version and command where its log is beside the report.

    Raises
    ------
    FileNotFoundError, IOFormatError
        There is no such file; it has not the columns of such a report; rows that repeat or contradict a run and ID,
        one of which is named.
    ValidationError
        A column was asked for that there is not.

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
    request = Request(cells, q_value, layers, annotations)
    if report_of(table.columns) == DIANN_PHOSPHOSITES:
        raise IOFormatError(
            f"{table.path} is DIA-NN's matrix of phosphosites, which has no reader: read the main report"
        )
    if "Run" in table.columns or "File.Name" in table.columns:
        run = "Run" if "Run" in table.columns else "File.Name"
        if out is None:
            return _from_report(table, run, request)
        of_part = replace(request, cells=None)
        return read_in_parts(table, run, lambda part: _from_report(_without_decoys(part), run, of_part), out, cells)
    if out is not None:
        raise ValidationError(f"{table.path} is a matrix, which is in memory as a whole: out is for reports", "out")
    no_threshold(q_value, table)
    request.levels([], table.columns, table.path) if not (layers or annotations) else _only_reports(table)
    sibling = Path(str(table.path).replace(".pg_matrix.", ".pr_matrix."))
    if precursors is None and sibling != table.path and sibling.exists():
        precursors = sibling
    if precursors is not None and _of_matrix(table)[0] != PROTEINS:
        raise ValidationError(f"{table.path} is no protein matrix: precursors go beside one", "precursors")
    tables = [table] if precursors is None else [open_table(Path(precursors)), table]
    return _from_matrices(tables, request)


def _without_decoys(table: Table) -> Table:
    """The table. Raises `IOFormatError` for decoys: whether targets have their IDs is not known of other parts."""
    if _DECOY in table.columns and _is_decoy(table.read([_DECOY]).get_column(_DECOY)).any():
        raise IOFormatError(f"{table.path} has decoys, which are not read in parts: leave out `out`, or the decoys")
    return table


def _is_decoy(column: pl.Series) -> pl.Series:
    marks: pl.Series = column.cast(pl.String).str.to_lowercase().is_in(["1", "1.0", "true"]).fill_null(False)
    return marks


def _only_reports(table: Table) -> None:
    raise IOFormatError(f"{table.path} is a matrix of one quantity: layers and annotations are of the main report")


def _from_report(table: Table, run: str, request: Request) -> ScpContainer:
    present = [level for candidate in _LEVELS if (level := candidate.present(table.columns)) is not None]
    if not present:
        needed = " or ".join(f"{level.feature} with {', '.join(level.quantities)}" for level in _LEVELS)
        raise not_a_report(table, "DIA-NN", needed)
    if not isinstance(request.q_value, Mapping) and all(level.filter_by is None for level in present):
        no_threshold(request.q_value, table)
    levels = request.levels(present, table.columns, table.path)
    more = [name for name in (_CHANNEL, _DECOY, _ID, _SEQUENCE) if name in table.columns]
    texts = dict.fromkeys([run, *more, *(n for level in levels for n in (level.feature, *level.annotations))])
    numbers = dict.fromkeys(name for level in levels for name in level.numbers)
    frame = table.read([*texts, *(n for n in numbers if n not in texts)], list(numbers))
    frame = frame.with_columns(pl.col([name for name in texts if name not in numbers]).cast(pl.String))
    if run == "File.Name":
        paths = frame.get_column(run).drop_nulls().unique(maintain_order=True)
        frame = frame.with_columns(pl.col(run).replace(short_names(paths)))
    frame, samples = _by_channel(table, frame, run)
    frame, decoys = _with_marked_decoys(table, frame, levels)
    assays = []
    for level in levels:
        rows = frame
        if decoys and level.assay == PROTEINS:  # a group that targets have, too, is theirs
            is_decoys = pl.col("decoy").all().over(level.feature)
            rows = frame.filter(~pl.col("decoy") | is_decoys)
        ((_, matrices),) = long_report(table, rows, run, [level])
        if decoys:
            marked(matrices, rows, level.feature, rows.get_column("decoy"), "decoy")
        assays.append((level, matrices))
    return container_of(table.path, DIANN, assays, request, links_of(pairs_of(frame, levels)), samples)


def _by_channel(table: Table, frame: pl.DataFrame, run: str) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """A plexDIA report by run and channel, without labels in its IDs; any other as it is."""
    if _ID not in frame.columns:
        return frame, None
    in_labels = pl.col(_ID).str.extract(_LABEL_CHANNEL).alias("in labels")
    frame = frame.with_columns(in_labels)
    channels = frame.get_column("in labels")
    if _CHANNEL in frame.columns:
        has_values = frame.get_column(_CHANNEL).fill_null("").str.strip_chars().str.len_chars().sum() > 0
        if not has_values:
            return frame.drop("in labels"), None
        contradicts = (channels != frame.get_column(_CHANNEL)).fill_null(False).arg_true()
        if len(contradicts):
            row = int(contradicts[0])
            raise IOFormatError(
                f"{table.path}, line {row + 2}: {_ID} {frame[_ID][row]!r} is not of channel {frame[_CHANNEL][row]!r}"
            )
    elif channels.n_unique() < 2:  # one label, or none: not a plexDIA report
        return frame.drop("in labels"), None
    else:  # before DIA-NN 2
        frame = frame.with_columns(pl.col("in labels").alias(_CHANNEL))
    frame, samples = with_channels(table, frame.drop("in labels"), run, _CHANNEL)
    labelled = [name for name in (_ID, _SEQUENCE) if name in frame.columns]
    return frame.with_columns(pl.col(labelled).str.replace_all(_LABEL, "")), samples


def _with_marked_decoys(table: Table, frame: pl.DataFrame, levels: Sequence[Level]) -> tuple[pl.DataFrame, bool]:
    """Decoys marked in a column, under IDs of their own where targets have the same. True: there is the column."""
    if _DECOY not in frame.columns:
        return frame, False
    frame = frame.with_columns(decoy=_is_decoy(frame.get_column(_DECOY)))
    if levels[0].feature == _ID:
        shared = frame.filter("decoy").join(frame.filter(~pl.col("decoy")), on=_ID, how="semi").get_column(_ID)
        if shared.len():
            message = f"{table.path}: {shared.n_unique()} decoys have IDs of targets: they get the prefix DECOY_"
            warnings.warn(message, UserWarning, stacklevel=4)
            is_shared = pl.col("decoy") & pl.col(_ID).is_in(shared.unique().to_list())
            frame = frame.with_columns(pl.when(is_shared).then("DECOY_" + pl.col(_ID)).otherwise(_ID).alias(_ID))
    return frame, True


def _check_no_channels(table: Table, frame: pl.DataFrame, runs: Sequence[str]) -> None:
    """Raise `IOFormatError` for a matrix of plexDIA: its rows are of several channels, or its columns of one each."""
    ids = frame.get_column(_ID).cast(pl.String) if _ID in frame.columns else pl.Series(dtype=pl.String)
    labels = ids.str.extract(_LABEL_CHANNEL).drop_nulls().unique().sort().to_list()
    channel = next((name for name in runs if _RUN_OF_CHANNEL.search(name)), None)
    if channel is not None or len(labels) > 1:
        problem = f"columns of channels ({channel!r})" if channel else f"labels of channels {labels}"
        raise IOFormatError(f"{table.path} has {problem}: read the main report, of which each channel is a sample")


def _of_matrix(table: Table) -> tuple[str, str, str]:
    """The assay of a matrix, its column of IDs, its quantity."""
    if _ID in table.columns:
        return PRECURSORS, _ID, "Precursor.Normalised"
    if "Protein.Group" in table.columns or OF_GENES not in table.columns:
        return PROTEINS, "Protein.Group", "PG.MaxLFQ"
    return GENES, OF_GENES, "Genes.MaxLFQ.Unique" if "unique_genes" in table.path.name else "Genes.MaxLFQ"


def _from_matrices(tables: Sequence[Table], request: Request) -> ScpContainer:
    """Matrices: annotation columns, then one a run."""
    assays, pairs = [], None
    for table in tables:
        assay, feature, quantity = _of_matrix(table)
        if "Product.Mz" in table.columns:
            raise IOFormatError(f"{table.path} is a spectral library of DIA-NN: read its report or matrices")
        others = [name for name in table.columns if name not in (*_ANNOTATIONS, *NO_GENE_RUNS)]
        runs = runs_among(table, others, lambda name: _OF_REPORTS.fullmatch(name) is not None)
        if feature not in table.columns or not runs:
            raise not_a_report(
                table, "DIA-NN", "Run or File.Name, or Protein.Group, Precursor.Id or Genes and one column a run"
            )
        names = {run: column for column, run in short_names(runs).items()}
        annotation_names = [name for name in table.columns if name not in runs]
        frame = table.read(numbers=runs)
        _check_no_channels(table, frame, runs)
        matrices = from_wide(table.path, frame, feature, {quantity: names}, annotation_names)
        assays.append((Level(assay, feature, (quantity,)), matrices))
        if assay == PRECURSORS and len(tables) > 1:
            pairs = frame.select(source_id=_ID, target_id="Protein.Group")
    if pairs is not None:
        pairs = pairs.filter(pl.col("target_id").is_in(assays[-1][1].features))
    return container_of(tables[-1].path, DIANN, assays, request, links_of(pairs))
