"""Proteome Discoverer: `*_Proteins.txt`, `*_PeptideGroups.txt`. Columns as its user guide names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from scpstore.core.structures import MaskCode, ScpContainer
from scpstore.io.delimited import open_table
from scpstore.io.engines.long_tables import Level, from_wide
from scpstore.io.engines.shared import PEPTIDES, PROTEINS, PathLike, Request, container_of, not_a_report
from scpstore.io.report_kinds import DISCOVERER
from scpstore.io.tables import INDEX

# "Abundance: F1: 126, Sample, A"; with "R-friendly" names "Abundance F1 126 Sample A".
_SAMPLE = re.compile(
    r"(?P<kind>Abundance|Abundances \((?:Scaled|Normalized)\)|Abundances (?:Scaled|Normalized)):? (?P<of>F\d+\b.*)"
)
_PLACE = re.compile(r"^(Found in Sample:? )\[?S\d+\]? (?=F)")
_FILE = re.compile(r"(F\d+(?:\.\d+)?)(?::? (.*))?")
_ANNOTATIONS = {
    "Accession": (
        "Master", "Protein FDR Confidence: Combined", "Description", "Gene Symbol", "Contaminant", "# Peptides",
        "# PSMs",
        "# Unique Peptides", "Coverage [%]", "Exp. q-value: Combined", "Entrez Gene ID",
    ),
    "Annotated Sequence": (
        "Annotated Sequence", "Sequence", "Modifications", "Master Protein Accessions", "Protein Accessions",
        "Positions in Master Proteins", "Confidence", "Contaminant", "# PSMs", "# Missed Cleavages",
        "Qvality q-value", "Qvality PEP",
    ),
}  # fmt: skip


def read_discoverer(path: PathLike, cells: PathLike | None = None, *, annotations: Sequence[str] = ()) -> ScpContainer:
    r"""A container from Proteome Discoverer's `*_Proteins.txt` or `*_PeptideGroups.txt`.

    Samples are only those of `Abundance: F…`, `Abundances (Scaled): F…` and `Abundances (Normalized): F…`, a layer
    each: never ratios, counts or `(Grouped)`. A sample is called by its file (`F1`), with its channel where a file has
    several (`F1_126`); what else the header says of it is `description` in `obs`. Quantities of samples where a feature
    is "Peak Found" are MBR in the mask.

    Parameters
    ----------
    path
        The table, exported as text.
    cells
        As of `read_diann`.
    annotations
        Further columns for `var`.

    Returns
    -------
    ScpContainer
        With the assay "proteins" or "peptides" (a feature is the annotated sequence with its modifications).

    Raises
    ------
    FileNotFoundError, IOFormatError, ValidationError
        As of `read_diann`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from scptensor.io import read_discoverer
    >>> header = "Accession\tAbundance Ratio: (B) / (A)\tAbundance: F1: Sample, A\tAbundance: F2: Sample, B"
    >>> _ = Path("x_Proteins.txt").write_text(header + "\nP1\t2\t10\t20\n")
    >>> read_discoverer("x_Proteins.txt").sample_ids.to_list()
    ['F1', 'F2']
    """
    table = open_table(Path(path))
    columns: dict[str, dict[str, str]] = {}
    for name in table.columns:
        if match := _SAMPLE.fullmatch(name):
            columns.setdefault(match["kind"], {})[match["of"]] = name
    is_protein = "Accession" in table.columns
    feature = "Accession" if is_protein else "Annotated Sequence"
    if not columns or feature not in table.columns:
        raise not_a_report(
            table, "Proteome Discoverer", "Accession or Annotated Sequence, and columns 'Abundance: F1: …'"
        )
    assay = PROTEINS if is_protein else PEPTIDES
    annotation_names = tuple(name for name in _ANNOTATIONS[feature] if name in table.columns)
    request = Request(cells, None, (), annotations)
    (level,) = request.levels(
        [Level(assay, feature, tuple(columns), annotations=annotation_names)], table.columns, table.path
    )
    numbers = [name for by_run in columns.values() for name in by_run.values()]
    names = _names(dict.fromkeys(of for by_run in columns.values() for of in by_run))
    plain = {_PLACE.sub(r"\1", column): column for column in table.columns}  # some number samples: "[S1] F1: …"
    found_in = {names[of]: plain[column] for of in names
                for column in (f"Found in Sample: {of}", f"Found in Sample {of}") if column in plain}  # fmt: skip
    texts = list(dict.fromkeys([feature, *level.annotations, *found_in.values()]))
    frame = table.read([*texts, *numbers], numbers)
    key = feature
    if not is_protein:
        key, modified = "peptide", [name for name in (feature, "Modifications") if name in table.columns]
        joined = pl.concat_str([pl.col(name).fill_null("") for name in modified], separator=" ").str.strip_chars()
        frame = frame.with_columns(joined.alias(key))
    by_name = {layer: {names[of]: column for of, column in by_run.items()} for layer, by_run in columns.items()}
    matrices = from_wide(table.path, frame, key, by_name, level.annotations)
    if found_in:
        codes = np.zeros((len(matrices.runs), frame.height), np.int8)
        for row, run in enumerate(matrices.runs):
            if run in found_in:
                peaks = (frame.get_column(found_in[run]).cast(pl.String) == "Peak Found").fill_null(False)
                codes[row] = peaks.to_numpy() * np.int8(MaskCode.MBR)
        matrices.codes = dict.fromkeys(by_name, codes)
    obs = pl.DataFrame({INDEX: list(names.values()), "description": list(names)})
    final = Level(assay, key, tuple(by_name), zero_is_missing=tuple(by_name))
    return container_of(table.path, DISCOVERER, [(final, matrices)], request, obs=obs)


def _names(headers: Sequence[str] | dict[str, None]) -> dict[str, str]:
    """A sample's name by what its header says: the file, and its channel where the file has several."""
    parts = {header: _FILE.match(header) for header in headers}
    files = [each[1] for each in parts.values() if each]
    names = {}
    for header, match in parts.items():
        file, rest = (match[1], match[2] or "") if match else (header, "")
        channel = re.split(r"[,\s]", rest.strip(), maxsplit=1)[0]
        names[header] = file if files.count(file) == 1 else f"{file}_{channel}"
    return names if len(set(names.values())) == len(names) else {header: header for header in headers}
