"""FragPipe (IonQuant, Philosopher): combined_protein.tsv, combined_peptide.tsv, combined_ion.tsv and the like.

Columns as fragpipe.nesvilab.org/docs/tutorial_fragpipe_outputs.html describes them. What DIA-NN writes in its directory
`diann-output` is a report of DIA-NN.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from scpstore.core.structures import MaskCode, ScpContainer
from scpstore.io.delimited import Table, open_table
from scpstore.io.engines.long_tables import Level, from_wide
from scpstore.io.engines.shared import (
    PEPTIDES,
    PRECURSORS,
    PROTEINS,
    PathLike,
    Request,
    container_of,
    not_a_report,
)
from scpstore.io.exceptions import IOFormatError
from scpstore.io.report_kinds import DIANN, FRAGPIPE, report_of

_KINDS = tuple(f"{kind}{of}" for kind in ("", "MaxLFQ ") for of in ("", "Unique ", "Total ", "Razor "))
_INTENSITIES = tuple(f"{kind}Intensity" for kind in _KINDS)
_COUNTS = tuple(f"{kind}Spectral Count" for kind in ("", "Unique ", "Total ", "Razor "))
_TEXTS = ("Match Type", "Localization")
_SUFFIXES = sorted((*_INTENSITIES, *_COUNTS, "Apex Retention Time", *_TEXTS), key=len, reverse=True)
_TOTALS = ("Combined", "Summarized", "Total", "Unique", "Razor")  # no samples
_REPORT = ("Index", "NumberPSM", "ReferenceIntensity")  # of tmt-report: what follows the last is a sample each
_OF_REPORT = ("abundance", "ratio")
_CODES = {"MBR": MaskCode.MBR}  # of Match Type; "MS/MS" is valid, "unmatched" absent


def read_fragpipe(
    path: PathLike,
    cells: PathLike | None = None,
    *,
    layers: Sequence[str] = (),
    annotations: Sequence[str] | None = None,
) -> ScpContainer:
    r"""A container from FragPipe's `combined_protein.tsv`, `combined_peptide.tsv`, `combined_ion.tsv` and the like.

    A column is `{sample} {what}`, such as `cell_1 MaxLFQ Intensity`: what is measured is a layer, the longest name of
    one counts. Totals (`Combined …`, `Summarized …`) are no samples. Intensities of 0 are missing; `Match Type` MBR is
    MBR in the masks of the intensities. Of TMT, tmt-report's `abundance_*.tsv` and `ratio_*.tsv` have a sample a
    channel, after the column `ReferenceIntensity`; the layer is "abundance" or "ratio", which FragPipe writes as
    logarithms. Tables of one experiment (`protein.tsv`, `ion.tsv`) are refused.

    Parameters
    ----------
    path
        The table. A report of DIA-NN, as in the directory `diann-output`, is read by `read_diann`.
    cells
        As of `read_diann`.
    layers
        Which of the layers; empty: all.
    annotations
        Columns for `var`; None: all that are of no sample.

    Returns
    -------
    ScpContainer
        With the assay "proteins", "peptides" or "precursors".

    Raises
    ------
    FileNotFoundError, IOFormatError, ValidationError
        As of `read_diann`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from scptensor.io import read_fragpipe
    >>> header = "Protein ID\tGene\tCombined Total Peptides\ta Spectral Count\ta Intensity\ta MaxLFQ Intensity"
    >>> _ = Path("combined_protein.tsv").write_text(header + "\nP1\tG1\t4\t3\t10.5\t0\n")
    >>> container = read_fragpipe("combined_protein.tsv")
    >>> container.sample_ids.to_list(), container.list_layers("proteins")
    (['a'], ['Spectral Count', 'Intensity', 'MaxLFQ Intensity'])
    """
    table = open_table(Path(path))
    if report_of(table.columns) == DIANN:
        from scpstore.io.engines.diann import read_diann

        return read_diann(path, cells, layers=layers, annotations=annotations or ())
    columns, texts, fixed = _of_tmt_report(table) if set(_REPORT) <= set(table.columns) else _columns(table)
    feature, assay = _feature(table, fixed)
    channels = [name for name in fixed if name.endswith(" Abundance")]
    if channels:
        some = f"channels of TMT ({channels[0]!r}, …)"
        raise IOFormatError(f"{table.path} has {some}: read abundance_*.tsv of tmt-report")
    if not columns:
        raise not_a_report(table, "FragPipe", "columns such as 'run Intensity' or 'run Spectral Count'")
    request = Request(cells, None, layers, annotations or ())
    request.levels([Level(assay, feature, tuple(columns))], [*table.columns, *columns], table.path)
    columns = {name: columns[name] for name in (layers or columns) if name in columns}
    annotation_names = [name for name in (fixed if annotations is None else annotations) if name != feature]
    numbers = [name for by_run in columns.values() for name in by_run.values()]
    matched = texts.get("Match Type", {})
    parts = ["Modified Sequence", "Charge"] if assay == PRECURSORS else []
    names_read = list(dict.fromkeys([*fixed, *annotation_names, *parts, *matched.values()]))
    frame = table.read([*names_read, *(n for n in numbers if n not in names_read)], numbers)
    if assay == PRECURSORS:
        frame = frame.with_columns(pl.concat_str(pl.col(parts).cast(pl.String), separator=".").alias(feature))
    matrices = from_wide(table.path, frame, feature, columns, annotation_names)
    for layer in columns:
        if layer in _INTENSITIES and matched:
            matrices.codes[layer] = _codes(frame, matrices.runs, matched)
    zeros = tuple(name for name in columns if name not in (*_COUNTS, *_OF_REPORT))
    return container_of(
        table.path, FRAGPIPE, [(Level(assay, feature, tuple(columns), zero_is_missing=zeros), matrices)], request
    )


def _columns(table: Table) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]], list[str]]:
    """By layer the column of each sample; the same of what is text; columns of no sample."""
    columns: dict[str, dict[str, str]] = {}
    fixed = []
    for name in table.columns:
        suffix = next((suffix for suffix in _SUFFIXES if name.endswith(f" {suffix}")), None)
        sample = "" if suffix is None else name[: -len(suffix) - 1]
        if suffix is None or sample in _TOTALS:
            fixed.append(name)
        else:
            columns.setdefault(suffix, {})[sample] = name
    texts = {suffix: columns.pop(suffix) for suffix in _TEXTS if suffix in columns}
    return columns, texts, fixed


def _of_tmt_report(table: Table) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]], list[str]]:
    """As `_columns`, of tables of tmt-report."""
    first_sample = table.columns.index(_REPORT[-1]) + 1
    layer = next((name for name in _OF_REPORT if table.path.name.startswith(f"{name}_")), _OF_REPORT[0])
    samples = table.columns[first_sample:]
    return {layer: {name: name for name in samples}} if samples else {}, {}, list(table.columns[:first_sample])


def _feature(table: Table, fixed: Sequence[str]) -> tuple[str, str]:
    """The column of IDs, and the assay. Raises `IOFormatError`."""
    names = set(fixed)
    if set(_REPORT) <= names:
        return "Index", PEPTIDES if "Peptide" in names else PROTEINS
    if {"Modified Sequence", "Charge"} <= names:
        return "ion", PRECURSORS
    for name in ("Modified Sequence", "Peptide Sequence", "Sequence"):
        if name in names:
            return name, PEPTIDES
    if "Protein ID" in names:
        return "Protein" if "Protein" in names else "Protein ID", PROTEINS
    raise not_a_report(table, "FragPipe", "Protein ID, Peptide Sequence or Modified Sequence")


def _codes(frame: pl.DataFrame, runs: Sequence[str], matched: dict[str, str]) -> np.ndarray:  # type: ignore[type-arg]
    codes = np.zeros((len(runs), frame.height), np.int8)
    for row, run in enumerate(runs):
        if run in matched:
            codes[row] = (frame.get_column(matched[run]) == "MBR").fill_null(False).to_numpy() * np.int8(_CODES["MBR"])
    return codes
