"""Parts of AnnData beside the layers, which a container keeps for it."""

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
    """Values of more features than those of the assay: AnnData's `raw`.

    Parameters
    ----------
    X
        (samples, raw features), dense or sparse.
    var
        Table of the raw features.
    varm
        Arrays or frames of one row a raw feature, by name.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from scptensor.core import RawValues
    >>> RawValues(np.ones((3, 5)), pl.DataFrame({"_index": list("abcde")})).X.shape
    (3, 5)
    """

    compared: ClassVar[tuple[str, ...]] = ("X", "var", "varm")

    X: Matrix
    var: pl.DataFrame
    varm: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class AssayExtras(Comparable):
    """Parts of AnnData beside the layers for the features of one assay.

    Parameters
    ----------
    varm
        Arrays or frames of one row a feature, by name.
    varp
        Matrices (features, features), by name.
    raw
        All features.
    origin
        What AnnData had that the assay itself cannot say (dtypes, the order of categories, which layer was its X).

    Examples
    --------
    >>> import numpy as np
    >>> from scptensor.core import AssayExtras
    >>> AssayExtras(varm={"PCs": np.ones((2, 10))}).is_empty()
    False
    """

    compared: ClassVar[tuple[str, ...]] = ("varm", "varp", "raw", "origin")

    varm: dict[str, Any] = field(default_factory=dict)
    varp: dict[str, Any] = field(default_factory=dict)
    raw: RawValues | None = None
    origin: dict[str, Any] = field(default_factory=dict)

    def is_empty(self) -> bool:
        """True where there is nothing in it."""
        return not self.varm and not self.varp and self.raw is None and not self.origin


@dataclass(eq=False)
class Extras(Comparable):
    """Parts of AnnData beside the layers, for the samples and the assays.

    Parameters
    ----------
    obsm
        Arrays, sparse matrices or frames of one row a sample, by name.
    obsp
        Matrices (samples, samples), by name.
    uns
        Nested dicts of anything that a file can hold.
    assays
        What belongs to the features of an assay, by its name.
    origin
        As of `AssayExtras`, for `obs`.

    Examples
    --------
    >>> import numpy as np
    >>> from scptensor import load_hdf5
    >>> from scptensor.core import Extras
    >>> container = load_hdf5("cells.h5")
    >>> container.extras = Extras(obsm={"X_pca": np.arange(6.0).reshape(3, 2)})
    >>> container.filter_samples(["C"]).extras.obsm["X_pca"]
    array([[4., 5.]])
    """

    compared: ClassVar[tuple[str, ...]] = ("obsm", "obsp", "uns", "assays", "origin")

    obsm: dict[str, Any] = field(default_factory=dict)
    obsp: dict[str, Any] = field(default_factory=dict)
    uns: dict[str, Any] = field(default_factory=dict)
    assays: dict[str, AssayExtras] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)

    def is_empty(self) -> bool:
        """True where there is nothing in it."""
        return not (self.obsm or self.obsp or self.uns or self.origin) and all(
            assay.is_empty() for assay in self.assays.values()
        )

    def names(self) -> dict[str, list[str]]:
        """Names of the parts by kind, such as "obsm" or "proteins varm"; kinds without any are left out."""
        names_by_kind = {name: list(getattr(self, name)) for name in ("obsm", "obsp", "uns")}
        for assay, assay_extras in self.assays.items():
            names_by_kind |= {f"{assay} {name}": list(getattr(assay_extras, name)) for name in ("varm", "varp")}
            names_by_kind[f"{assay} raw"] = (
                [] if assay_extras.raw is None else [f"{assay_extras.raw.var.height} features"]
            )
        return {name: names for name, names in names_by_kind.items() if names}

    def select_samples(self, index: Index) -> Extras:
        """The extras of these rows, in this order.

        Parameters
        ----------
        index
            (rows,) whole numbers.

        Returns
        -------
        Extras
            New ones.
        """
        assays = {
            name: AssayExtras(
                dict(of_assay.varm), dict(of_assay.varp), _raw_rows(of_assay.raw, index), deepcopy(of_assay.origin)
            )
            for name, of_assay in self.assays.items()
        }
        return Extras(
            _each(self.obsm, rows_of, index),
            _each(self.obsp, _square, index),
            deepcopy(self.uns),
            assays,
            deepcopy(self.origin),
        )

    def select_features(self, assay: str, index: Index) -> Extras:
        """The extras of these features of an assay; its raw values stay, they have features of their own.

        Parameters
        ----------
        assay
            The assay's name.
        index
            (features,) whole numbers.

        Returns
        -------
        Extras
            New ones.
        """
        assays = dict(self.assays)
        if assay in assays:
            of_assay = assays[assay]
            assays[assay] = AssayExtras(
                _each(of_assay.varm, rows_of, index),
                _each(of_assay.varp, _square, index),
                of_assay.raw,
                deepcopy(of_assay.origin),
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
