"""What AnnData keeps beside the layers, and a container keeps for it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl
import scipy.sparse as sp

from h5burst import is_source
from scpstore.core.equality import Comparable
from scpstore.core.sources import Matrix, take

Index = np.ndarray[Any, Any]


@dataclass(eq=False)
class RawValues(Comparable):
    """Values of more features than those of the assay: AnnData's `raw`, with one row a sample."""

    compared: ClassVar[tuple[str, ...]] = ("X", "var", "varm")

    X: Matrix
    var: pl.DataFrame
    varm: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class AssayExtras(Comparable):
    """varm: arrays or frames of one row a feature. varp: matrices of features × features. raw: all features.

    origin: what AnnData had that the assay itself cannot say (dtypes, the order of categories, which layer was its X).
    """

    compared: ClassVar[tuple[str, ...]] = ("varm", "varp", "raw", "origin")

    varm: dict[str, Any] = field(default_factory=dict)
    varp: dict[str, Any] = field(default_factory=dict)
    raw: RawValues | None = None
    origin: dict[str, Any] = field(default_factory=dict)

    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.varm and not self.varp and self.raw is None and not self.origin


@dataclass(eq=False)
class Extras(Comparable):
    """obsm: arrays, sparse matrices or frames of one row a sample. obsp: matrices of samples × samples.

    uns: nested dicts of anything that a file can hold. assays: what belongs to the features of an assay, by its name.
    origin: as of `AssayExtras`, for `obs`.
    """

    compared: ClassVar[tuple[str, ...]] = ("obsm", "obsp", "uns", "assays", "origin")

    obsm: dict[str, Any] = field(default_factory=dict)
    obsp: dict[str, Any] = field(default_factory=dict)
    uns: dict[str, Any] = field(default_factory=dict)
    assays: dict[str, AssayExtras] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)

    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not (self.obsm or self.obsp or self.uns or self.origin) and all(
            assay.is_empty() for assay in self.assays.values()
        )

    def select_samples(self, index: Index) -> Extras:
        """What is left for these rows, in this order."""
        assays = {
            name: AssayExtras(dict(known.varm), dict(known.varp), _raw_rows(known.raw, index), deepcopy(known.origin))
            for name, known in self.assays.items()
        }
        return Extras(
            _each(self.obsm, rows_of, index),
            _each(self.obsp, _square, index),
            deepcopy(self.uns),
            assays,
            deepcopy(self.origin),
        )

    def select_features(self, assay: str, index: Index) -> Extras:
        """What is left for these features of an assay; its raw values stay, they have features of their own."""
        assays = dict(self.assays)
        if assay in assays:
            known = assays[assay]
            assays[assay] = AssayExtras(
                _each(known.varm, rows_of, index), _each(known.varp, _square, index), known.raw, deepcopy(known.origin)
            )
        return Extras(dict(self.obsm), dict(self.obsp), deepcopy(self.uns), assays, deepcopy(self.origin))


def _each(values: dict[str, Any], part: Callable[[Any, Index], Any], index: Index) -> dict[str, Any]:
    return {name: part(value, index) for name, value in values.items()}


def rows_of(values: Any, index: Index) -> Any:
    """These rows of an array, a sparse matrix, a source or a frame, in its own format."""
    if is_source(values):
        return take(values, index, None)
    if sp.issparse(values):
        return values.tocsr()[index].asformat(values.format)
    return values[index]


def _square(values: Any, index: Index) -> Any:
    if is_source(values):
        return take(values, index, index)
    if sp.issparse(values):
        return values.tocsr()[index][:, index].asformat(values.format)
    return values[np.ix_(index, index)]


def _raw_rows(raw: RawValues | None, index: Index) -> RawValues | None:
    return None if raw is None else RawValues(rows_of(raw.X, index), raw.var, dict(raw.varm))
