"""Quantities that come one row a run and feature, or one column a run, as matrices of runs × features."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from scpstore.core.structures import MaskCode, ScpMatrix
from scpstore.io.exceptions import IOFormatError
from scpstore.io.tables import INDEX

QValue = float | Mapping[str, float]


@dataclass(frozen=True)
class Level:
    """The part of a report that belongs to one assay.

    feature: the column of IDs. quantities, q_values: columns that become a layer each, under their own names.
    filter_by: the q-value that a threshold without a name is about. annotations: columns about the features.
    every_row: whether a run and feature must have one row only; else rows that repeat them must agree.
    zero_is_missing: quantities of which 0 says that there is none. owns: how the names of columns begin that are
    about this assay, whoever asks for them.
    """

    assay: str
    feature: str
    quantities: tuple[str, ...]
    q_values: tuple[str, ...] = ()
    filter_by: str | None = None
    annotations: tuple[str, ...] = ()
    every_row: bool = True
    zero_is_missing: tuple[str, ...] = ()
    owns: tuple[str, ...] = ()

    def present(self, columns: Sequence[str]) -> Level | None:
        """The level with the columns that there are; None where there are no IDs or no quantities."""
        present_names = set(columns)
        quantities = tuple(name for name in self.quantities if name in present_names)
        if self.feature not in present_names or not quantities:
            return None
        return replace(
            self,
            quantities=quantities,
            q_values=tuple(name for name in self.q_values if name in present_names),
            filter_by=self.filter_by if self.filter_by in present_names else None,
            annotations=tuple(name for name in self.annotations if name in present_names and name != self.feature),
        )

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns that hold numbers."""
        return tuple(dict.fromkeys((*self.quantities, *self.q_values)))

    def thresholds(self, q_value: QValue | None) -> dict[str, float]:
        """By q-value, above what quantities are marked."""
        if q_value is None:
            return {}
        if isinstance(q_value, Mapping):
            return {name: float(limit) for name, limit in q_value.items() if name in self.q_values}
        return {} if self.filter_by is None else {self.filter_by: float(q_value)}


@dataclass
class Matrices:
    """Runs × features of one assay, by layer, before they become one.

    codes: by layer, mask codes of what is there; VALID where there is none.
    """

    runs: list[str]
    features: list[str]
    values: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    var: pl.DataFrame = field(default_factory=pl.DataFrame)
    codes: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    def of_runs(self, runs: list[str]) -> Matrices:
        """The same of all these runs: those that it does not have are absent."""
        places = [runs.index(run) for run in self.runs]
        expanded = replace(self, runs=runs, values={}, codes={})
        for name, values in self.values.items():
            expanded.values[name] = np.full((len(runs), len(self.features)), np.nan)
            expanded.values[name][places] = values
        for name, codes in self.codes.items():
            expanded.codes[name] = np.zeros((len(runs), len(self.features)), np.int8)
            expanded.codes[name][places] = codes
        return expanded

    def layers(self, level: Level, q_value: QValue | None) -> dict[str, ScpMatrix]:
        """The layers with their masks: what is absent is LOD, what is above a threshold FILTERED."""
        above = np.zeros((len(self.runs), len(self.features)), bool)
        for name, limit in level.thresholds(q_value).items():
            with np.errstate(invalid="ignore"):
                above |= self.values[name] > limit
        layers = {}
        for name, values in self.values.items():
            X = np.where(values == 0, np.nan, values) if name in level.zero_is_missing else values
            mask = np.where(np.isnan(X), np.int8(MaskCode.LOD), self.codes.get(name, np.int8(MaskCode.VALID)))
            if name in level.quantities:
                mask[above & ~np.isnan(X)] = MaskCode.FILTERED
            layers[name] = ScpMatrix(X, mask.astype(np.int8))
        return layers


def shown(feature: str) -> str:
    """An ID as a message shows it: groups of proteins may have thousands."""
    return repr(feature) if len(feature) <= 80 else f"{feature[:80]!r}…"


def from_long(path: Path, frame: pl.DataFrame, run: str, level: Level) -> Matrices:
    """One row a run and feature (and more of them, if they agree) as matrices.

    Of rows that repeat a feature a missing value contradicts no other, and the least of its q-values counts, as it does
    for who filters rows. Raises `IOFormatError` that names a run and a feature whose rows repeat or contradict each
    other.
    """
    identified = frame.filter(pl.col(run).is_not_null() & pl.col(level.feature).is_not_null())
    runs = identified.get_column(run).unique(maintain_order=True).to_list()
    features = identified.get_column(level.feature).unique(maintain_order=True).to_list()
    numbers = identified.select(run, level.feature, *level.numbers)
    numbers = numbers if level.every_row else _merged(path, numbers.unique(maintain_order=True), run, level)
    repeated = numbers.select(pl.struct(run, level.feature).is_duplicated()).to_series()
    if repeated.any():
        row = numbers.filter(repeated).row(0)
        problem = "appears more than once" if level.every_row else "appears with different quantities"
        raise IOFormatError(f"{path}: {level.feature} {shown(row[1])} of run {row[0]!r} {problem}")
    rows = numbers.get_column(run).replace_strict(dict(zip(runs, range(len(runs)), strict=True))).to_numpy()
    places = dict(zip(features, range(len(features)), strict=True))
    columns = numbers.get_column(level.feature).replace_strict(places).to_numpy()
    matrices = Matrices(runs, features, var=annotated(identified, level, features))
    for name in level.numbers:
        values = np.full((len(runs), len(features)), np.nan)
        values[rows, columns] = numbers.get_column(name).fill_null(float("nan")).to_numpy()
        matrices.values[name] = values
    return matrices


def _merged(path: Path, numbers: pl.DataFrame, run: str, level: Level) -> pl.DataFrame:
    """One row of those that repeat a run and feature where their quantities agree; the others as they are."""
    keys = [run, level.feature]
    repeated = numbers.filter(pl.struct(keys).is_duplicated())
    if repeated.is_empty():
        return numbers
    repeated = repeated.with_columns(pl.col(level.numbers).fill_nan(None))
    sets = repeated.group_by(keys, maintain_order=True).agg(pl.col(level.numbers).drop_nulls().unique())
    agree = (pl.col(name).list.len() <= 1 for name in level.numbers if name not in level.q_values)
    sets = sets.filter(pl.all_horizontal(pl.lit(True), *agree))
    for name in level.q_values:
        several = int((sets.get_column(name).list.len() > 1).sum())
        if several:
            message = f"{path}: rows of a {level.feature} differ in {name} ({several} times): the least counts"
            warnings.warn(message, UserWarning, stacklevel=2)
    merged = sets.select(*keys, *(pl.col(name).list.min() for name in level.numbers))
    return pl.concat([numbers.join(merged, on=keys, how="anti"), merged])


def annotated(frame: pl.DataFrame, level: Level, features: Sequence[str]) -> pl.DataFrame:
    """Annotations of each feature; values that differ from row to row are joined by ";"."""
    ids = pl.DataFrame({INDEX: pl.Series(list(features), dtype=pl.String)})
    if not level.annotations:
        return ids
    texts = [pl.col(name).cast(pl.String).drop_nulls().unique(maintain_order=True) for name in level.annotations]
    grouped = frame.group_by(level.feature, maintain_order=True).agg(texts)
    joined = grouped.with_columns(
        pl.when(pl.col(name).list.len() > 0).then(pl.col(name).list.join(";")).alias(name) for name in level.annotations
    )
    return ids.join(joined.rename({level.feature: INDEX}), on=INDEX, how="left", maintain_order="left")


def from_wide(
    path: Path,
    frame: pl.DataFrame,
    feature: str,
    columns: Mapping[str, Mapping[str, str]],
    annotations: Sequence[str] = (),
    every_row: bool = True,
) -> Matrices:
    """One row a feature (unless `every_row`, more of them, if they agree) as matrices.

    columns: by layer, the column of each run. Raises `IOFormatError` for a feature that appears more than once.
    """
    if not every_row:
        frame = frame.drop_nulls(feature).unique(maintain_order=True)
    ids = frame.get_column(feature).cast(pl.String).fill_null("")
    twice = ids.filter(ids.is_duplicated()).unique(maintain_order=True)
    if twice.len():
        problem = "more than once" if every_row else "with different quantities"
        raise IOFormatError(f"{path}: {feature} {shown(twice[0])} appears {problem}")
    runs = list(dict.fromkeys(run for by_run in columns.values() for run in by_run))
    var = pl.DataFrame({INDEX: ids, **{n: frame.get_column(n) for n in annotations if n != feature}})
    matrices = Matrices(runs, ids.to_list(), var=var)
    for layer, by_run in columns.items():
        values = np.full((len(runs), ids.len()), np.nan)
        for row, run in enumerate(runs):
            if run in by_run:
                values[row] = frame.get_column(by_run[run]).fill_null(float("nan")).to_numpy()
        matrices.values[layer] = values
    return matrices
