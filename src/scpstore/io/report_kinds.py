"""Whose report a table is, told by the names of its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable

DIANN, SPECTRONAUT, FRAGPIPE = "DIA-NN report", "Spectronaut report", "FragPipe table"
DIANN_PHOSPHOSITES = "DIA-NN matrix of phosphosites"
MAXQUANT, MAXQUANT_PEPTIDES, MAXQUANT_EVIDENCE = "MaxQuant proteinGroups", "MaxQuant peptides", "MaxQuant evidence"
MAXQUANT_SITES, MAXQUANT_FORMS = "MaxQuant sites", "MaxQuant modificationSpecificPeptides"
MAXQUANT_OTHER = "MaxQuant table of spectra or features"
SAGE, SAGE_SPECTRA = "Sage lfq table", "Sage table of spectra"
ALPHADIA, ALPHADIA_PRECURSORS = "AlphaDIA matrix", "AlphaDIA precursors"
DISCOVERER = "Proteome Discoverer table"
MZTAB = "mzTab"  # told by its first line
# The one column of IDs in DIA-NN's matrices of genes, and what else is no run in them.
OF_GENES, NO_GENE_RUNS = "Genes", frozenset({"N.Sequences", "N.Proteotypic.Sequences"})
RAW_SUFFIXES = (".raw", ".d", ".mzml", ".mzxml", ".mgf", ".wiff", ".wiff2", ".dia", ".htrms", ".tdf")
# Of tmt-report, at every level (peptides and sites have no NumberPSM): what follows the last is a sample each.
OF_TMT_REPORT = ("Index", "MaxPepProb", "ReferenceIntensity")

Names = frozenset[str]


def _has(*names: str) -> Callable[[Names], bool]:
    return lambda columns: set(names) <= columns


def _any(*names: str) -> Callable[[Names], bool]:
    return lambda columns: bool(set(names) & columns)


def _ends(columns: Names, *suffixes: str) -> bool:
    return any(name.endswith(suffixes) for name in columns)


def _has_intensities(columns: Names) -> bool:
    """True where there are quantities as MaxQuant names them, of an experiment each."""
    return any(name.startswith(("Intensity ", "LFQ intensity ", "iBAQ ", "Reporter intensity ")) for name in columns)


# What evidence.txt has, and allPeptides.txt, which has points of peaks as well, lacks.
_OF_EVIDENCE = frozenset(
    {"Leading razor protein", "Leading Razor Protein", "Leading proteins", "Leading Proteins", "Peptide ID"}
)

# One row a kind; the first that fits counts. What is told apart by a column that others have as well stands first.
_KINDS: tuple[tuple[str, Callable[[Names], bool]], ...] = (
    (DIANN, _any("Precursor.Id", "Protein.Group")),
    (DIANN, lambda names: OF_GENES in names and _are_runs(names - {OF_GENES} - NO_GENE_RUNS)),
    (DIANN_PHOSPHOSITES, _has("Protein", "Residue", "Site")),
    (SPECTRONAUT, _any("R.FileName", "R.Label", "PG.ProteinGroups", "PG.ProteinAccessions", "EG.PrecursorId",
                       "PTM.CollapseKey")),
    (MAXQUANT_OTHER, _has("Raw file", "Scan number")),
    (MAXQUANT_OTHER, lambda names: {"Raw file", "Number of data points"} <= names and not names & _OF_EVIDENCE),
    (MAXQUANT_SITES, _has("Positions within proteins", "Localization prob")),
    (MAXQUANT_FORMS, _has("Sequence", "Modifications", "Mass Fractional Part")),
    (MAXQUANT_EVIDENCE, _has("Modified sequence", "Raw file", "Charge")),
    (MAXQUANT, _has("Protein IDs", "Majority protein IDs")),
    (MAXQUANT, lambda names: "Protein IDs" in names and "Sequence" not in names and _has_intensities(names)),
    (MAXQUANT_PEPTIDES, _has("Sequence", "Leading razor protein")),
    (SAGE_SPECTRA, _has("peptide", "scannr", "filename")),
    (SAGE, _has("peptide", "proteins", "q_value")),
    (ALPHADIA_PRECURSORS, lambda names: bool({"run", "raw.name"} & names) and _is_alphadia(names)),
    (ALPHADIA, lambda names: _is_alphadia(names) or bool({"pg", "pg.name"} & names)),
    (DISCOVERER, lambda names: bool({"Accession", "Annotated Sequence"} & names)
     and any(name.startswith(("Abundance:", "Abundance F", "Abundances (", "Abundances N")) for name in names)),
    (FRAGPIPE, _has(*OF_TMT_REPORT)),
    (FRAGPIPE, lambda names: bool({"Protein ID", "Peptide Sequence", "Index"} & names)
     and _ends(names, " Spectral Count", " Intensity")),
    (FRAGPIPE, lambda names: "Sequence" in names and _ends(names, " Spectral Count")),
    (FRAGPIPE, _has("Prev AA", "Next AA")),  # of one experiment
)  # fmt: skip


def _are_runs(names: Names) -> bool:
    return bool(names) and all(name.lower().endswith(RAW_SUFFIXES) for name in names)


def _is_alphadia(names: Names) -> bool:
    return any(name.removeprefix("precursor.") in ("mod_seq_charge_hash", "mod_seq_hash") for name in names)


def report_of(columns: Iterable[str]) -> str | None:
    """The report that has such columns; None: a table of another kind."""
    names = frozenset(columns)
    return next((kind for kind, fits in _KINDS if fits(names)), None)
