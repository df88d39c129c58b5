"""FragPipe (IonQuant, Philosopher): combined_protein.tsv, combined_peptide.tsv, combined_ion.tsv and the like.

Columns as fragpipe.nesvilab.org/docs/tutorial_fragpipe_outputs.html describes them. What DIA-NN writes in its directory
`diann-output` is a report of DIA-NN.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from scpstore.core.structures import MaskCode, ScpContainer
from scpstore.io.delimited import Table, open_table
from scpstore.io.engines.long_tables import Level, from_wide
from scpstore.io.engines.shared import (
    GENES,
    PEPTIDES,
    PRECURSORS,
    PROTEINS,
    SITES,
    PathLike,
    Request,
    container_of,
    not_a_report,
)
from scpstore.io.exceptions import IOFormatError
from scpstore.io.report_kinds import DIANN, FRAGPIPE, OF_TMT_REPORT, report_of

_KINDS = tuple(f"{kind}{of}" for kind in ("", "MaxLFQ ") for of in ("", "Unique ", "Total ", "Razor "))
_INTENSITIES = tuple(f"{kind}Intensity" for kind in _KINDS)
_COUNTS = tuple(f"{kind}Spectral Count" for kind in ("", "Unique ", "Total ", "Razor "))
_TEXTS = ("Match Type", "Localization")
_LABELS = ("", "Light ", "Medium ", "Heavy ")  # of SILAC and the like, in *_label_quant.tsv
_RATIO = re.compile(r"(?:Median )?Log2 Ratios? [HML]{2}")
_MEASURED = re.compile(  # the shortest sample, so the longest name of what is measured
    rf"(?P<sample>.+?) (?P<layer>(?:{'|'.join(_LABELS[1:])})?"
    rf"(?:{'|'.join((*_INTENSITIES, *_COUNTS, 'Apex Retention Time', *_TEXTS))})|{_RATIO.pattern})"
)
_ION = ("Modified Sequence", "Charge", "Compensation Voltage")
_TOTALS = ("Combined", "Summarized", "Total", "Unique", "Razor", "Best")  # no samples
_OF_REPORT = ("abundance", "ratio")
# Of protein.tsv, ion.tsv, peptide.tsv, psm.tsv, and of one with labels.
_OF_ONE = frozenset({"Intensity", "Spectral Count", "Total Spectral Count", "Spectrum", "Light Intensity"})
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
    MBR in the masks of the intensities. Of SILAC (`combined_*_label_quant.tsv`) labels and ratios are layers
    ("Light Intensity", "Log2 Ratio HL"). Of TMT, tmt-report's `abundance_*.tsv` and `ratio_*.tsv` have a sample a
    channel, after the column `ReferenceIntensity`; the layer is "abundance" or "ratio", which FragPipe writes as
    logarithms. Tables of sites (`combined_site_*.tsv`) give the assay "sites", by their column `Index`. Tables of one
    experiment (`protein.tsv`, `ion.tsv`) are refused.

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
        With the assay "proteins", "genes", "peptides", "precursors" or "sites".

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
    columns, texts, fixed = _of_tmt_report(table) if set(OF_TMT_REPORT) <= set(table.columns) else _columns(table)
    feature, assay = _feature(table, fixed)
    channels = [name for name in fixed if name.endswith(" Abundance")]
    if channels:
        some = f"channels of TMT ({channels[0]!r}, …)"
        raise IOFormatError(f"{table.path} has {some}: read abundance_*.tsv of tmt-report")
    if not columns and _OF_ONE & set(table.columns):
        message = f"{table.path} is FragPipe's table of one experiment: read combined_protein.tsv, combined_ion.tsv, …"
        raise IOFormatError(message)
    if not columns:
        raise not_a_report(table, "FragPipe", "columns such as 'run Intensity' or 'run Spectral Count'")
    request = Request(cells, None, layers, annotations or ())
    request.levels([Level(assay, feature, tuple(columns))], [*table.columns, *columns], table.path)
    columns = {name: columns[name] for name in (layers or columns) if name in columns}
    annotation_names = [name for name in (fixed if annotations is None else annotations) if name != feature]
    numbers = [name for by_run in columns.values() for name in by_run.values()]
    parts = [name for name in _ION if name in table.columns] if assay == PRECURSORS else []
    types = [name for kind, by_run in texts.items() if kind.endswith("Match Type") for name in by_run.values()]
    names_read = list(dict.fromkeys([*fixed, *annotation_names, *parts, *types]))
    frame = table.read([*names_read, *(n for n in numbers if n not in names_read)], numbers)
    if assay == PRECURSORS:
        frame = frame.with_columns(_ions(frame, parts).alias(feature))
    matrices = from_wide(table.path, frame, feature, columns, annotation_names)
    for layer in columns:
        label = next(label for label in reversed(_LABELS) if layer.startswith(label))
        if layer.endswith("Intensity") and (matched := texts.get(f"{label}Match Type")):
            matrices.codes[layer] = _codes(frame, matrices.runs, matched)
    zeros = tuple(name for name in columns if name.endswith(("Intensity", "Apex Retention Time")))
    return container_of(
        table.path, FRAGPIPE, [(Level(assay, feature, tuple(columns), zero_is_missing=zeros), matrices)], request
    )


def _columns(table: Table) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]], list[str]]:
    """By layer the column of each sample; the same of what is text; columns of no sample."""
    columns: dict[str, dict[str, str]] = {}
    fixed = []
    of_one = any(_RATIO.fullmatch(name) for name in table.columns)  # "Light Intensity" is of no sample "Light"
    no_samples = (*_TOTALS, *(label.strip() for label in _LABELS[1:] if of_one))
    for name in table.columns:
        match = _MEASURED.fullmatch(name)
        if match is None or match["sample"] in no_samples:
            fixed.append(name)
        else:
            columns.setdefault(match["layer"], {})[match["sample"]] = name
    columns = _without_unknown_layers(columns)
    texts = {layer: columns.pop(layer) for layer in list(columns) if layer.endswith(_TEXTS)}
    _warn_of_lacking_columns(table, columns)
    return columns, texts, fixed


def _without_unknown_layers(columns: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """A quantity of an unknown name as a layer of the sample that it is of: `a iBAQ Intensity` is no sample "a iBAQ".

    Names of experiments hold no spaces, by the rules of FragPipe.
    """
    samples = {sample for by_run in columns.values() for sample in by_run}
    named: dict[str, dict[str, str]] = {}
    for layer, by_run in columns.items():
        for sample, column in by_run.items():
            owner = next((each for each in _starts(sample) if each in samples), sample)
            more = sample[len(owner) + 1 :]
            named.setdefault(f"{more} {layer}" if more else layer, {})[owner] = column
    return named


def _starts(sample: str) -> list[str]:
    """The parts of a name before each of its spaces."""
    return [sample[:place] for place, letter in enumerate(sample) if letter == " "]


def _warn_of_lacking_columns(table: Table, columns: dict[str, dict[str, str]]) -> None:
    samples = list(dict.fromkeys(sample for by_run in columns.values() for sample in by_run))
    lacking = [f"{sample} {layer}" for layer, by_run in columns.items() for sample in samples if sample not in by_run]
    if lacking:
        some = ", ".join(lacking[:4]) + (", …" if len(lacking) > 4 else "")
        message = f"{table.path}: samples lack columns that others have, and may be the same: no {some}"
        warnings.warn(message, UserWarning, stacklevel=4)


def _of_tmt_report(table: Table) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]], list[str]]:
    """As `_columns`, of tables of tmt-report."""
    first_sample = table.columns.index(OF_TMT_REPORT[-1]) + 1
    layer = next((name for name in _OF_REPORT if table.path.name.startswith(f"{name}_")), _OF_REPORT[0])
    samples = table.columns[first_sample:]
    return {layer: {name: name for name in samples}} if samples else {}, {}, list(table.columns[:first_sample])


def _feature(table: Table, fixed: Sequence[str]) -> tuple[str, str]:
    """The column of IDs, and the assay. Raises `IOFormatError`."""
    names = set(fixed)
    if set(OF_TMT_REPORT) <= names:
        for part, assay in (("-site_", SITES), ("_gene_", GENES)):
            if part in table.path.name:
                return "Index", assay
        return "Index", PEPTIDES if "Peptide" in names else PROTEINS
    if set(_ION[:2]) <= names:
        return "ion", PRECURSORS
    if "Index" in names:
        return "Index", SITES
    if "site" in table.path.name:
        raise not_a_report(table, "FragPipe", "the column Index, which names the sites")
    for name in ("Modified Sequence", "Peptide Sequence", "Sequence"):
        if name in names:
            return name, PEPTIDES
    if "Protein ID" in names:
        return "Protein" if "Protein" in names else "Protein ID", PROTEINS
    raise not_a_report(table, "FragPipe", "Protein ID, Peptide Sequence or Modified Sequence")


def _ions(frame: pl.DataFrame, parts: Sequence[str]) -> pl.Series:
    """IDs of ions: sequence and charge, and the voltage of FAIMS where several of one are there."""
    texts = frame.select(pl.col(parts).cast(pl.String).fill_null(""))
    ids = texts.select(pl.concat_str(_ION[:2], separator=".")).to_series()
    return ids if not ids.is_duplicated().any() else texts.select(pl.concat_str(parts, separator=".")).to_series()


def _codes(frame: pl.DataFrame, runs: Sequence[str], matched: dict[str, str]) -> np.ndarray:  # type: ignore[type-arg]
    codes = np.zeros((len(runs), frame.height), np.int8)
    for row, run in enumerate(runs):
        if run in matched:
            codes[row] = (frame.get_column(matched[run]) == "MBR").fill_null(False).to_numpy() * np.int8(_CODES["MBR"])
    return codes
