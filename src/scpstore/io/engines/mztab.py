"""mzTab 1.0 of proteomics: its proteins and peptides. Columns as the specification of HUPO-PSI names them."""

from __future__ import annotations

import csv
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from scpstore.core.structures import ScpContainer
from scpstore.io.delimited import open_text
from scpstore.io.engines.long_tables import Level, Matrices, annotated, from_wide
from scpstore.io.engines.shared import PEPTIDES, PRECURSORS, PROTEINS, PathLike, Request, container_of, run_name
from scpstore.io.exceptions import IOFormatError
from scpstore.io.report_kinds import MZTAB
from scpstore.io.tables import INDEX

_LAYER, _PEPTIDE, _LINE = "abundance", "peptide", " line"
_ABUNDANCE = re.compile(r"(protein|peptide)_abundance_assay\[(\d+)\]")
_VARIABLE = re.compile(r"(?:protein|peptide|smallmolecule)_abundance_study_variable\[\d+\]")
_OF_ASSAY = re.compile(r"assay\[(\d+)\]-(ms_run_ref|quantification_reagent|sample_ref)")
_LOCATION = re.compile(r"ms_run\[(\d+)\]-location")
_ROWS_OF = {"PRH": "PRT", "PEH": "PEP"}
# OpenMS: a protein that is in a group has rows about itself besides, and in groups of groups; quantities are of groups.
_RESULT, _DESCRIBING = "opt_global_result_type", ("protein_details", "general_protein_group")
_DECOYS = ("opt_global_cv_PRIDE:0000303_decoy_hit", "opt_global_cv_MS:1002217_decoy_peptide")
_ANNOTATIONS = {
    "PRH": ("description", "taxid", "species", "database", "ambiguity_members", "protein_coverage"),
    "PEH": ("sequence", "modifications", "charge", "accession", "unique"),
}


@dataclass
class _Sections:
    """Metadata by key; by prefix the names of columns, and rows, each of which ends with the number of its line."""

    metadata: dict[str, str] = field(default_factory=dict)
    headers: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, list[list[str]]] = field(default_factory=dict)


def is_mztab(path: Path) -> bool:
    """True where the first line that is no comment is one of the metadata of mzTab."""
    try:
        with open_text(path) as stream:
            line = next((line for line in stream if line.strip() and not line.startswith("COM\t")), "")
    except (UnicodeDecodeError, OSError, EOFError):
        return False
    return line.startswith("MTD\t")


def read_mztab(path: PathLike, cells: PathLike | None = None) -> ScpContainer:
    r"""A container from an mzTab file of proteomics: the layer "abundance" of its proteins and peptides.

    A sample is an assay (`assay[1]`), which of labelled runs is a channel; `obs` says its run, reagent and sample.
    Study variables are means of several assays, and no samples. "null" is missing; 0 stays 0. Rows in which OpenMS only
    describes a protein of a group (`protein_details`) are no features; its decoys are marked in `var` (`decoy`).

    Parameters
    ----------
    path
        The file.
    cells
        A table about the samples, joined by the IDs in its first column (`assay[1]`, …).

    Returns
    -------
    ScpContainer
        With those of the assays "precursors" (sequence, modifications and charge; "peptides" where no charge is
        given) and "proteins" that have abundances of assays.

    Raises
    ------
    FileNotFoundError, IOFormatError
        There is no such file; it is not mzTab of proteomics, has no abundances of assays (spectra, or study variables
        alone), or a line is not as it should be, which is named.

    Examples
    --------
    >>> from pathlib import Path
    >>> from scptensor.io import read_mztab
    >>> header = "PRH\taccession\tprotein_abundance_assay[1]"
    >>> _ = Path("result.mzTab").write_text(f"MTD\tmzTab-version\t1.0.0\n{header}\nPRT\tP1\t2.5\nPRT\tP2\tnull\n")
    >>> read_mztab("result.mzTab").assays["proteins"].layers["abundance"].X
    array([[2.5, nan]])
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"No such file: {file}")
    if not is_mztab(file):
        raise IOFormatError(f"{file} is not mzTab: expected lines that begin with MTD")
    sections = _sections(file)
    if "SMH" in sections.headers or "SML" in sections.rows or sections.metadata.get("mzTab-version", "").endswith("-M"):
        raise IOFormatError(
            f"{file} is mzTab of small molecules (mzTab-M), which is not read: only that of proteomics is"
        )
    parts = {header: _assay(file, sections, header) for header in ("PEH", "PRH")}
    lacking = {
        header: _what_there_is(sections.headers[header])
        for header in ("PEH", "PRH")
        if not parts[header] and header in sections.headers
    }
    assays = [part for part in parts.values() if part is not None]
    if not assays:
        content = next((each for each in lacking.values() if each), "no abundances")
        raise IOFormatError(f"{file} has {content}: expected protein_abundance_assay[1] or peptide_abundance_assay[1]")
    for header, content in lacking.items():
        if content:
            message = f"{file}: {'peptides' if header == 'PEH' else 'proteins'} are not read: they have {content}"
            warnings.warn(message, UserWarning, stacklevel=2)
    return container_of(file, MZTAB, assays, Request(cells), obs=_samples(sections.metadata))


def _sections(path: Path) -> _Sections:
    sections = _Sections()
    with open_text(path) as stream:
        for number, fields in enumerate(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
            prefix, *values = fields or [""]
            if prefix == "MTD" and len(values) >= 2:
                sections.metadata[values[0].strip()] = values[1].strip()
            elif prefix in ("PRH", "PEH", "PSH", "SMH"):
                if prefix in sections.headers or len(set(values)) < len(values):
                    raise IOFormatError(f"{path}, line {number}: {prefix} or names in it are repeated")
                sections.headers[prefix] = values
            elif prefix in _ROWS_OF.values():
                header = sections.headers.get({"PRT": "PRH", "PEP": "PEH"}[prefix])
                if header is None or len(values) != len(header):
                    expected = "no header before it" if header is None else f"the header has {len(header) + 1}"
                    raise IOFormatError(f"{path}, line {number}: {len(fields)} fields, {expected}")
                sections.rows.setdefault(prefix, []).append([*values, str(number)])
            elif prefix == "SML":
                sections.rows.setdefault(prefix, [])
    return sections


def _what_there_is(columns: list[str]) -> str:
    """The content of a section without abundances of assays, in words; empty: nothing is about them."""
    if any(map(_ABUNDANCE.fullmatch, columns)):
        return "abundances of assays that are all null"
    return "study variables alone" if any(map(_VARIABLE.fullmatch, columns)) else ""


def _assay(path: Path, sections: _Sections, header: str) -> tuple[Level, Matrices] | None:
    names = sections.headers.get(header, [])
    runs = {f"assay[{match[2]}]": name for name in names if (match := _ABUNDANCE.fullmatch(name))}
    if not runs:
        return None
    rows = sections.rows.get(_ROWS_OF[header], [])
    frame = pl.DataFrame(rows, schema=dict.fromkeys([*names, _LINE], pl.String), orient="row")
    frame = frame.with_columns(
        pl.when(pl.col(n).str.strip_chars() != "null").then(pl.col(n).str.strip_chars()) for n in names
    )
    needed = "accession" if header == "PRH" else "sequence"
    if needed not in names:
        raise IOFormatError(f"{path}: {header} has no column {needed!r}")
    frame = frame.with_columns(_numbers(path, frame, name) for name in runs.values())
    has_number = pl.any_horizontal(pl.col(name).is_not_null() for name in runs.values())
    whole = frame
    if _RESULT in names:
        frame = frame.filter(has_number | ~pl.col(_RESULT).is_in(_DESCRIBING).fill_null(False))
    if not frame.select(has_number.any()).item():
        return None
    has_charge = "charge" in names and frame["charge"].null_count() < frame.height
    key = "accession" if header == "PRH" else _PEPTIDE
    if header == "PEH":
        parts = [pl.col("sequence")]
        if "modifications" in names:
            of_mods = pl.when(pl.col("modifications") != "0").then("[" + pl.col("modifications") + "]")
            parts.append(of_mods.fill_null(""))
        if has_charge:
            parts.append(("." + pl.col("charge")).fill_null(""))
        frame = frame.with_columns(pl.concat_str(parts).alias(key))
    annotation_names = tuple(name for name in _ANNOTATIONS[header] if name in names)
    assay = PROTEINS if header == "PRH" else PRECURSORS if has_charge else PEPTIDES
    level = Level(assay, key, (_LAYER,), annotations=annotation_names)
    matrices = from_wide(path, frame.select(key, *runs.values()), key, {_LAYER: runs}, every_row=header == "PRH")
    matrices.var = _with_decoys(annotated(frame, level, matrices.features), whole if header == "PRH" else frame, key)
    return level, matrices


def _with_decoys(var: pl.DataFrame, frame: pl.DataFrame, key: str) -> pl.DataFrame:
    """The table of features with `decoy`, where the file says it: of a group by the row about its first protein."""
    name = next((each for each in _DECOYS if each in frame.columns), None)
    if name is None:
        return var
    is_decoy = pl.col(name).is_in(["1", "1.0", "true"]).all().alias("decoy")
    said = frame.drop_nulls(name).group_by(pl.col(key).alias(INDEX)).agg(is_decoy)
    return var.join(said, on=INDEX, how="left", maintain_order="left").with_columns(pl.col("decoy").fill_null(False))


def _numbers(path: Path, frame: pl.DataFrame, name: str) -> pl.Series:
    column = frame.get_column(name)
    numbers: pl.Series = column.cast(pl.Float64, strict=False)
    wrong = (numbers.is_null() & column.is_not_null()).arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise IOFormatError(f"{path}, line {frame[_LINE][row]}, column {name!r}: {column[row]!r} is not a number")
    return numbers


def _samples(metadata: dict[str, str]) -> pl.DataFrame:
    """The metadata of each assay: its run, reagent and sample."""
    runs = {match[1]: run_name(location) for key, location in metadata.items() if (match := _LOCATION.fullmatch(key))}
    said: dict[str, dict[str, str]] = {}
    for key, value in metadata.items():
        if match := _OF_ASSAY.fullmatch(key):
            if match[2] == "ms_run_ref":
                value = "|".join(runs.get(n, f"ms_run[{n}]") for n in re.findall(r"ms_run\[(\d+)\]", value))
            elif match[2] == "quantification_reagent":
                value = value.strip("[]").split(",")[2].strip() if value.count(",") >= 3 else value
            said.setdefault(f"assay[{match[1]}]", {})[match[2]] = value
    columns = {"run": "ms_run_ref", "reagent": "quantification_reagent", "sample": "sample_ref"}
    frame = {INDEX: list(said), **{n: [each.get(key) for each in said.values()] for n, key in columns.items()}}
    table = pl.DataFrame(frame, schema=dict.fromkeys(frame, pl.String))
    return table.select(INDEX, *(name for name in columns if table[name].null_count() < table.height))
