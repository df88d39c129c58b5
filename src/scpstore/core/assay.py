"""One kind of measurement of all samples: its features and its layers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, MutableMapping
from typing import Any, ClassVar

import numpy as np
import polars as pl

from scpstore.core.equality import Comparable
from scpstore.core.exceptions import ColumnNotFoundError, DimensionError, ValidationError
from scpstore.core.matrix import ScpMatrix
from scpstore.core.sources import Matrix


def check_ids(frame: pl.DataFrame, column: str, table: str) -> None:
    """Raise unless `column` is in `frame` and no two rows have the same value there.

    A `UserWarning` tells of an ID that is null, and of IDs that look the same (other Unicode forms of one text).
    """
    if column not in frame.columns:
        raise ColumnNotFoundError(column, table, frame.columns)
    ids = frame.get_column(column)
    if ids.n_unique() != ids.len():
        twice = ids.filter(ids.is_duplicated()).unique(maintain_order=True).head(5).to_list()
        raise ValidationError(f"IDs in column '{column}' of {table} are not unique: {twice}", field=column)
    if ids.null_count():
        message = f"the ID in row {ids.is_null().arg_max()} of {table} is null: nothing can be joined to it"
        warnings.warn(message, UserWarning, stacklevel=4)
    if ids.dtype == pl.String and bool((ids.str.len_bytes() != ids.str.len_chars()).any()):
        alike = ids.str.normalize("NFC").is_duplicated() & ids.is_not_null()
        if alike.any():
            message = (
                f"IDs of {table} look the same, and are other characters (NFC, NFD): {ids.filter(alike).to_list()[:4]}"
            )
            warnings.warn(message, UserWarning, stacklevel=4)


class Assay(Comparable):
    """Features (one row of `var` each) and layers of values over them.

    Parameters
    ----------
    var
        Feature table with the unique IDs in `feature_id_col`.
    layers
        Matrices by name, each (samples, features) as wide as `var` is high.
    feature_id_col
        Name of the ID column.
    validate_on_init
        False leaves the checks to `validate`.

    Raises
    ------
    ValidationError, ColumnNotFoundError, DimensionError
        IDs that are not unique, no ID column, a layer of another width; all are `ValueError`s.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from scptensor import Assay, ScpMatrix
    >>> assay = Assay(pl.DataFrame({"_index": ["P1", "P2"]}), {"X": ScpMatrix(np.ones((3, 2)))})
    >>> assay.n_features, assay.X.shape
    (2, (3, 2))
    """

    compared: ClassVar[tuple[str, ...]] = ("feature_id_col", "var", "layers")

    def __init__(
        self,
        var: pl.DataFrame,
        layers: Mapping[str, ScpMatrix] | None = None,
        feature_id_col: str = "_index",
        *,
        validate_on_init: bool = True,
    ) -> None:
        self.var = var
        self.feature_id_col = feature_id_col
        self.layers: MutableMapping[str, ScpMatrix] = dict(layers or {})
        if validate_on_init:
            self.validate()

    def validate(self) -> None:
        """Raise where IDs are not unique or a layer has another width, as the constructor does."""
        check_ids(self.var, self.feature_id_col, "var")
        for name, matrix in self.layers.items():
            self._check_width(name, matrix)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.var.height

    @property
    def feature_ids(self) -> pl.Series:
        """The IDs of the features."""
        return self.var.get_column(self.feature_id_col)

    @property
    def X(self) -> Matrix | None:
        """The values of the layer named "X"; None where there is no such layer."""
        return self.layers["X"].X if "X" in self.layers else None

    def add_layer(self, name: str, matrix: ScpMatrix) -> None:
        """Add a layer, or put it in the place of the one of that name.

        Parameters
        ----------
        name
            Of the layer.
        matrix
            (samples, features), as wide as `var` is high.

        Raises
        ------
        DimensionError
            Another width.
        """
        self._check_width(name, matrix)
        self.layers[name] = matrix

    def _check_width(self, name: str, matrix: ScpMatrix) -> None:
        shape = matrix.shape
        if shape[1] != self.n_features:
            message = f"Layer '{name}' has {shape[1]} features, its assay has {self.n_features}"
            raise DimensionError(message, (shape[0], self.n_features), shape)

    def subset(self, feature_indices: Any, copy_data: bool = True) -> Assay:
        """The assay of these features, in this order.

        Parameters
        ----------
        feature_indices
            Whole numbers (negative ones count from the end), a slice or a mask (features,) of bool.
        copy_data
            False lets arrays be shared where nothing is left out.

        Returns
        -------
        Assay
            A new one.
        """
        index = as_indices(feature_indices, self.n_features, "feature_indices")
        whole = not copy_data and np.array_equal(index, np.arange(self.n_features))
        columns = None if whole else index
        layers = {name: m.subset(columns=columns, copy_data=copy_data) for name, m in self.layers.items()}
        return Assay(self.var[index], layers, self.feature_id_col)

    def select_samples(self, index: np.ndarray[Any, Any], *, copy_data: bool = True) -> Assay:
        """The assay of these rows, in this order."""
        layers = {name: m.subset(rows=index, copy_data=copy_data) for name, m in self.layers.items()}
        return Assay(self.var, layers, self.feature_id_col)

    def __repr__(self) -> str:
        return f"<Assay n_features={self.n_features}, layers={list(self.layers)}>"


def as_indices(chosen: Any, length: int, name: str) -> np.ndarray[Any, Any]:
    """Positions in [0, length) as int64, from integers (negative ones count from the end), a slice or a mask."""
    if isinstance(chosen, slice):
        return np.arange(length)[chosen]
    index = np.asarray(chosen.to_numpy() if isinstance(chosen, pl.Series) else chosen)
    if index.dtype == bool:
        if index.shape != (length,):
            message = f"{name}: a boolean mask must have the shape ({length},), got {index.shape}"
            raise DimensionError(message, (length,), index.shape)
        return np.flatnonzero(index)
    if index.size == 0:
        return np.zeros(0, np.int64)
    if index.dtype.kind not in "iu" or index.ndim != 1:
        raise ValidationError(f"{name} must be a list of whole numbers, got {index.dtype} of shape {index.shape}", name)
    if index.min() < -length or index.max() >= length:
        raise ValidationError(f"{name} must be in [0, {length}), got {index.min()} to {index.max()}", name)
    return np.where(index < 0, index + length, index).astype(np.int64)
