"""MaxQuant: proteinGroups.txt, peptides.txt, evidence.txt, tables of sites, with TMT channels and SILAC labels.

Columns as its "Output tables" (cox-labs.github.io/coxdocs/output_tables.html) describe them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from scpstore.core.exceptions import ValidationError
from scpstore.core.structures import MaskCode, ScpContainer
from scpstore.io.delimited import Table, open_table
from scpstore.io.engines.long_tables import Level, annotated, from_long, from_wide
from scpstore.io.engines.shared import (
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
from scpstore.io.report_kinds import (
    MAXQUANT,
    MAXQUANT_EVIDENCE,
    MAXQUANT_FORMS,
    MAXQUANT_OTHER,
    MAXQUANT_PEPTIDES,
    MAXQUANT_SITES,
    report_of,
)
from scpstore.io.tables import INDEX

_IDS, _MAJORITY, _SEQUENCE = "Protein IDs", "Majority protein IDs", "Sequence"
_SITE, _OF_SITE = "site", ("Protein", "Amino acid", "Position")
_LAYERS = ("Intensity", "LFQ intensity", "iBAQ")
_MARKS = {
    "reverse": ("Reverse",),
    "contaminant": ("Potential contaminant", "Contaminant"),
    "by_site": ("Only identified by site",),
}
_ANNOTATIONS = {
    _IDS: (_MAJORITY, "Protein names", "Gene names", "Fasta headers"),
    _SEQUENCE: ("Proteins", "Leading razor protein", "Protein names", "Gene names", "Charges", "Unique (Proteins)"),
    _SITE: (
        "id",
        *_OF_SITE,
        "Proteins",
        "Positions within proteins",
        "Leading proteins",
        "Protein names",
        "Gene names",
        "Localization prob",
        "Sequence window",
    ),
}
_TABLES = {_IDS: (PROTEINS, MAXQUANT), _SEQUENCE: (PEPTIDES, MAXQUANT_PEPTIDES), _SITE: (SITES, MAXQUANT_SITES)}
_OF_EVIDENCE = (  # two are written in two ways, from version to version
    "Sequence", "Modifications", "Proteins", "Leading razor protein", "Leading Razor Protein", "Gene names",
    "Gene Names",
)  # fmt: skip
_REPORTER = re.compile(
    r"(?P<layer>Reporter intensity(?: corrected| not corrected| count)?) (?P<channel>\d+)(?: (?P<of>.+))?"
)
_RATIO = re.compile(r"(?P<layer>Ratio (?P<a>[HML])/(?P<b>[HML])(?: normalized)?)(?: (?P<of>.+))?")
_MULTIPLICITY = re.compile(r"___\d+$")  # of sites: how many modifications the peptide has
_ALL = "all"  # the sample of a table without experiments

Columns = dict[str, dict[str, str]]  # by layer, the column of each sample


def read_maxquant(
    path: PathLike,
    cells: PathLike | None = None,
    *,
    drop: Sequence[Literal["reverse", "contaminant", "by_site"]] = (),
    layers: Sequence[str] = (),
    annotations: Sequence[str] = (),
) -> ScpContainer:
    r"""A container from MaxQuant's proteinGroups.txt, peptides.txt, evidence.txt or a table of sites.

    "Intensity", "LFQ intensity" and "iBAQ" are layers, a sample an experiment. Of isobaric labels (TMT, iTRAQ) a
    sample is a channel, `{experiment}_{channel}`, and "Reporter intensity", "Reporter intensity corrected" and
    "Reporter intensity count" are the layers; intensities of whole sets go into `var`. Of SILAC, labels are layers
    ("Intensity L", "Intensity H"), and so are their ratios. Totals are no samples. Intensities of 0 are missing.

    Reverse hits, contaminants and groups that are identified by site alone are marked in `var` (`reverse`,
    `contaminant`, `by_site`).

    In evidence.txt a sample is an experiment, else a raw file, a feature a modified sequence and charge
    (`_SEQUENCE_.2`); intensities of rows that repeat both are added, "Evidence count" is their number; what was found
    by matching between runs alone is MBR in the mask.

    In a table of sites, such as "Phospho (STY)Sites.txt", a feature is a site (`P60709_S14`: protein, amino acid,
    position). "Intensity___1", "Intensity___2" and "Intensity___3" are layers of the same samples: the part of peptides
    with one, two, and three or more modifications.

    Parameters
    ----------
    path
        The table.
    cells
        As of `read_diann`.
    drop
        Which marked rows to leave out: "reverse", "contaminant", "by_site".
    layers
        Of all but evidence.txt: what stands before the experiment in further columns, such as
        "MS/MS count" or "Razor + unique peptides".
    annotations
        Further columns that go into `var`, such as "Score" or "Q-value".

    Returns
    -------
    ScpContainer
        With the assay "proteins", "peptides", "precursors" or "sites".

    Raises
    ------
    FileNotFoundError, IOFormatError
        As of `read_diann`.
    ValidationError
        Another word in `drop`, a column that there is not.

    Examples
    --------
    >>> from pathlib import Path
    >>> from scptensor.io import read_maxquant
    >>> rows = ["Protein IDs\tMajority protein IDs\tIntensity a\tIntensity b\tReverse", "P1;P2\tP1\t10\t0\t"]
    >>> _ = Path("proteinGroups.txt").write_text("\n".join(rows))
    >>> read_maxquant("proteinGroups.txt").assays["proteins"].layers["Intensity"].X
    array([[10.], [nan]])
    """
    table = open_table(Path(path))
    unknown = set(drop) - set(_MARKS)
    if isinstance(drop, str) or unknown:
        raise ValidationError(f"drop must be a list of {', '.join(_MARKS)}, got {drop!r}", "drop")
    request = Request(cells, None, layers, annotations)
    kind = report_of(table.columns)
    if kind == MAXQUANT_SITES:
        if lacking := [name for name in ("id", *_OF_SITE) if name not in table.columns]:
            raise not_a_report(table, "MaxQuant", f"the columns of a site: {', '.join(lacking)}")
        return _from_wide(table, _SITE, drop, request)
    if kind == MAXQUANT_FORMS:
        problem = "is MaxQuant's modificationSpecificPeptides: read peptides, or evidence for each modified sequence"
        raise IOFormatError(f"{table.path} {problem}")
    if kind == MAXQUANT_OTHER:
        message = f"{table.path} is MaxQuant's table of spectra or features: read proteinGroups, peptides or evidence"
        raise IOFormatError(message)
    if {"Modified sequence", "Raw file", "Charge"} <= set(table.columns):
        return _from_evidence(table, drop, request)
    feature = _IDS if _IDS in table.columns else _SEQUENCE
    if feature not in table.columns:
        raise not_a_report(table, "MaxQuant", f"{_IDS} (proteinGroups.txt), or {_SEQUENCE} (peptides.txt)")
    return _from_wide(table, feature, drop, request)


# ---------------------------------------------------------------- a column an experiment


def _from_wide(table: Table, feature: str, drop: Sequence[str], request: Request) -> ScpContainer:
    columns, others = _quantities(table, table.columns) if feature != _SITE else _of_multiplicities(table)
    for name in request.layers:
        by_run = {run: f"{name} {run}" for run in _samples(columns) if f"{name} {run}" in table.columns}
        if not by_run:
            raise ValidationError(f"{table.path} has no columns {name!r} of the samples", "layers")
        columns.setdefault(name, by_run)
    numbers = list(dict.fromkeys([*(n for by_run in columns.values() for n in by_run.values()), *others]))
    annotation_names = [name for name in _ANNOTATIONS[feature] if name in table.columns]
    assay, kind = _TABLES[feature]
    level = Level(assay, feature, tuple(columns), annotations=tuple(annotation_names))
    asked = Request(annotations=request.annotations).levels([level], table.columns, table.path)[0].annotations
    if feature == _SITE:
        frame = _with_sites(_read_marked(table, list(dict.fromkeys(["id", *_OF_SITE, *asked])), numbers, drop))
    else:
        frame = _read_marked(table, [feature, *asked], numbers, drop)
    matrices = from_wide(table.path, frame, feature, columns, [*asked, *others, *_MARKS])
    counts = tuple(name for name in columns if name not in request.layers and " count" not in name)
    made_level = Level(level.assay, feature, tuple(columns), zero_is_missing=counts)
    return container_of(table.path, kind, [(made_level, matrices)], request, obs=_channels(columns))


def _samples(columns: Columns) -> list[str]:
    return list(dict.fromkeys(run for by_run in columns.values() for run in by_run))


def _channels(columns: Columns) -> pl.DataFrame | None:
    """Set and channel of each sample of isobaric labels; None without any."""
    if not any(name.startswith("Reporter") for name in columns):
        return None
    samples = _samples(columns)
    parts = [sample.rpartition("_") for sample in samples]
    return pl.DataFrame({INDEX: samples, "set": [part[0] for part in parts], "channel": [part[2] for part in parts]})


def _of_multiplicities(table: Table) -> tuple[Columns, list[str]]:
    """As `_quantities`, of sites: what `Intensity a___1` says of the sample "a" is in the layer "Intensity___1"."""
    present = set(table.columns)
    multiplicities = ["", *sorted({match[0] for name in present if (match := _MULTIPLICITY.search(name))})]
    stripped = list(dict.fromkeys(_MULTIPLICITY.sub("", name) for name in table.columns))
    columns, others = _quantities(table, stripped)
    found = {
        layer + multiplicity: {
            run: name + multiplicity for run, name in by_run.items() if name + multiplicity in present
        }
        for layer, by_run in columns.items()
        for multiplicity in multiplicities
    }
    return {layer: by_run for layer, by_run in found.items() if by_run}, [n for n in others if n in present]


def _with_sites(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with IDs of sites: protein, amino acid, position; with MaxQuant's `id` where that is not unique."""
    protein, amino_acid, position = (pl.col(name).cast(pl.String).fill_null("") for name in _OF_SITE)
    site = pl.concat_str(protein, pl.lit("_"), amino_acid, position)
    return frame.with_columns(
        pl.when(site.is_duplicated()).then(site + "." + pl.col("id")).otherwise(site).alias(_SITE)
    )


def _quantities(table: Table, names: Sequence[str]) -> tuple[Columns, list[str]]:
    """By layer, the column of each sample; and columns of numbers that are of no sample, for `var`.

    Raises `IOFormatError` where there is no quantity.
    """
    experiments = _of_layers(names)
    reporters = _reporters(names)
    if reporters:
        return reporters, [name for by_run in experiments.values() for name in by_run.values()]
    ratios = [ratios_found for name in names if (ratios_found := _RATIO.fullmatch(name))]
    labels = {letter for match in ratios for letter in (match["a"], match["b"])}
    if labels:
        of_labels = _of_labels(names, labels)
        if not of_labels:
            raise not_a_report(table, "MaxQuant", "labels of SILAC with columns such as 'Intensity L run'")
        return of_labels, []
    if experiments:
        _check_no_labels(table, experiments)
        return experiments, []
    totals: Columns = {layer: {_ALL: layer} for layer in _LAYERS if layer in names}
    if not totals:
        raise not_a_report(table, "MaxQuant", "columns such as 'Intensity run' or 'LFQ intensity run'")
    _warn_of_one_sample(table)
    return totals, []


def _check_no_labels(table: Table, experiments: Columns) -> None:
    """Raise `IOFormatError` for intensities of labels without the ratios by which labels are known."""
    runs = set(_samples(experiments))
    labelled = [run for run in runs if {f"L {run}", f"H {run}"} <= runs]
    if labelled:
        raise IOFormatError(
            f"{table.path} has the columns 'Intensity L {labelled[0]}' and 'Intensity H {labelled[0]}', and no ratios "
            "'Ratio H/L', which say that L and H are labels: export these columns, too"
        )


def _warn_of_one_sample(table: Table) -> None:
    message = f"{table.path} names no experiments: all its raw files are one sample, {_ALL!r}"
    warnings.warn(message, UserWarning, stacklevel=5)


def _of_layers(names: Sequence[str]) -> Columns:
    columns: Columns = {}
    for layer in _LAYERS:
        by_run = {n[len(layer) + 1 :]: n for n in names if n.startswith(f"{layer} ")}
        by_run = {run: name for run, name in by_run.items() if not (layer == "iBAQ" and run == "peptides")}
        if by_run:
            columns[layer] = by_run
    return columns


def _reporters(names: Sequence[str]) -> Columns:
    """A sample a channel; where channels of experiments are there, those of none are their totals."""
    reporters = [match for name in names if (match := _REPORTER.fullmatch(name))]
    has_experiments = any(match["of"] for match in reporters)
    columns: Columns = {}
    for match in reporters:
        if bool(match["of"]) == has_experiments:
            sample = f"{match['of']}_{match['channel']}" if has_experiments else match["channel"]
            columns.setdefault(match["layer"], {})[sample] = match[0]
    return columns


def _of_labels(names: Sequence[str], labels: set[str]) -> Columns:
    """SILAC: a layer a label. An experiment may be called as a label is: it is one if it has labels of its own."""
    present, experiments = set(names), set()
    ratios = {match["of"] for name in names if (match := _RATIO.fullmatch(name))}
    for layer in _LAYERS:
        for name in names:
            label, _, of = name.removeprefix(f"{layer} ").partition(" ")
            if name.startswith(f"{layer} ") and label in labels and of and (f"{layer} {of}" in present or of in ratios):
                experiments.add(of)
    columns: Columns = {}
    for name in names:
        kind = next((each for each in _LAYERS if name == each or name.startswith(f"{each} ")), None)
        ratio = _RATIO.fullmatch(name)
        if ratio is not None:
            sample = ratio["of"] or _ALL
            if (sample in experiments) if experiments else not ratio["of"]:
                columns.setdefault(str(ratio["layer"]), {})[sample] = name
            continue
        if kind is None or name == "iBAQ peptides":
            continue
        rest = name[len(kind) + 1 :]
        label, _, of = rest.partition(" ")
        if experiments:
            if label in labels and of in experiments:
                columns.setdefault(f"{kind} {label}", {})[of] = name
            elif rest in experiments:
                columns.setdefault(kind, {})[rest] = name
        elif rest in labels or not rest:
            columns.setdefault(name, {})[_ALL] = name
    return columns


def _read_marked(table: Table, texts: Sequence[str], numbers: Sequence[str], drop: Sequence[str]) -> pl.DataFrame:
    """Columns, with the marks as booleans, without the rows that are dropped."""
    marked = [n for names in _MARKS.values() for n in names if n in table.columns]
    texts_read = list(dict.fromkeys([*texts, *marked]))
    frame = table.read([*texts_read, *(n for n in numbers if n not in texts_read)], list(numbers))
    frame = frame.with_columns(_mark(frame, name, columns) for name, columns in _MARKS.items())
    return frame.filter(~pl.any_horizontal(pl.lit(False), *(pl.col(name) for name in drop)))


def _mark(frame: pl.DataFrame, name: str, columns: Sequence[str]) -> pl.Series:
    present = [frame.get_column(column) for column in columns if column in frame.columns]
    marks = present[0].cast(pl.String).fill_null("").str.strip_chars() == "+" if present else None
    return (pl.repeat(False, frame.height, eager=True) if marks is None else marks).alias(name)


# ---------------------------------------------------------------- a row a finding


def _from_evidence(table: Table, drop: Sequence[str], request: Request) -> ScpContainer:
    """Evidence: rows of one sample, sequence and charge are added up."""
    if request.layers:
        raise ValidationError("layers are of proteinGroups.txt and peptides.txt", "layers")
    run = "Experiment" if "Experiment" in table.columns else "Raw file"
    reporters = _reporters([name for name in table.columns if _REPORTER.fullmatch(name)])
    labels = [f"Intensity {label}" for label in "LMH" if f"Intensity {label}" in table.columns]
    has_ratios = any(_RATIO.fullmatch(name) for name in table.columns)
    summed = [name for name in ("Intensity", *(labels if has_ratios else [])) if name in table.columns]
    numbers = [name for by_channel in reporters.values() for name in by_channel.values()] or summed
    if not numbers:
        raise not_a_report(table, "MaxQuant", "the column 'Intensity'")
    annotation_names = tuple(name for name in _OF_EVIDENCE if name in table.columns)
    level = Level(PRECURSORS, "precursor", tuple(numbers), annotations=annotation_names)
    asked = Request(annotations=request.annotations).levels([level], table.columns, table.path)[0].annotations
    ids = ["Modified sequence", "Charge"]
    types = ["Type"] if "Type" in table.columns else []
    frame = _read_marked(table, list(dict.fromkeys([run, "Raw file", *ids, *types, *asked])), numbers, drop)
    sample = pl.coalesce(pl.col(run), pl.col("Raw file")).alias("sample")
    frame = frame.with_columns(sample, pl.concat_str(ids, separator=".").alias("precursor"))
    lost = frame.get_column("sample").is_null().sum()
    if lost:
        raise IOFormatError(f"{table.path}: {lost} rows name neither an experiment nor a raw file")
    frame = frame.with_columns(pl.when(pl.col(name) > 0).then(name).alias(name) for name in numbers)
    is_there = pl.any_horizontal(pl.col(name).is_not_null() for name in numbers)
    is_match = (pl.col("Type") == "MULTI-MATCH") if types else pl.lit(False)
    added = frame.group_by("sample", "precursor", maintain_order=True).agg(
        *(pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()).alias(name) for name in numbers),
        pl.col("precursor").filter(is_there).len().cast(pl.Float64).alias("Evidence count"),
        (is_match | ~is_there).all().alias("matched"),
    )
    if reporters:
        added, layers, obs = _by_channel(added, reporters)
    else:
        layers, obs = summed, None
    counted = (*layers, "Evidence count")
    numbered = added.with_columns(pl.col("matched").cast(pl.Float64))
    level_read = Level(PRECURSORS, "precursor", (*counted, "matched"), zero_is_missing=("Evidence count",))
    matrices = from_long(table.path, numbered, "sample", level_read)
    is_matched = matrices.values.pop("matched") == 1
    matrices.codes = {name: np.where(is_matched, MaskCode.MBR, MaskCode.VALID).astype(np.int8) for name in counted}
    matrices.var = annotated(frame, Level(PRECURSORS, "precursor", counted, annotations=asked), matrices.features)
    marks = frame.group_by("precursor").agg(pl.col(name).any() for name in _MARKS).rename({"precursor": INDEX})
    matrices.var = matrices.var.join(marks, on=INDEX, how="left", maintain_order="left")
    final = Level(PRECURSORS, "precursor", counted, zero_is_missing=level_read.zero_is_missing)
    return container_of(table.path, MAXQUANT_EVIDENCE, [(final, matrices)], request, obs=obs)


def _by_channel(added: pl.DataFrame, reporters: Columns) -> tuple[pl.DataFrame, list[str], pl.DataFrame]:
    """Rows of samples as rows of samples and channels; the layers; set and channel of each new sample."""
    parts = []
    for channel in _samples(reporters):
        columns = [pl.col(by[channel]).alias(layer) for layer, by in reporters.items() if channel in by]
        others = (pl.col("precursor"), pl.col("Evidence count"), pl.col("matched"))
        name = pl.concat_str(pl.col("sample"), pl.lit(f"_{channel}"))
        parts.append(added.select(name, *others, *columns, set=pl.col("sample"), channel=pl.lit(channel)))
    whole = pl.concat(parts, how="diagonal")
    obs = whole.select(pl.col("sample").alias(INDEX), "set", "channel").unique(maintain_order=True)
    return whole.drop("set", "channel"), list(reporters), obs
