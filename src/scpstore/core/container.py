"""All that is known of a set of samples: their table, the assays, how these belong together, what was done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from copy import copy as shallow
from copy import deepcopy
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from scpstore.core.assay import Assay, as_indices, check_ids
from scpstore.core.exceptions import AssayNotFoundError, DimensionError, StructureError, ValidationError
from scpstore.core.history import AggregationLink, ProvenanceLog

SUFFIXES = (".h5", ".hdf5")


class ScpContainer:
    """Samples (one row of `obs` each), assays over them, links between assays, and the history of operations.

    obs: sample table with the unique IDs in `sample_id_col`. assays: by name; each layer has one row a sample.
    Raises `ValidationError`, `ColumnNotFoundError` or `DimensionError` (all are `ValueError`s) where parts do not fit.
    """

    def __init__(
        self,
        obs: pl.DataFrame,
        assays: Mapping[str, Assay] | None = None,
        links: Iterable[AggregationLink] | None = None,
        history: Iterable[ProvenanceLog] | None = None,
        sample_id_col: str = "_index",
    ) -> None:
        check_ids(obs, sample_id_col, "obs")
        self.obs = obs
        self.sample_id_col = sample_id_col
        self.assays: dict[str, Assay] = {}
        self.links = list(links or [])
        self.history = list(history or [])
        for name, assay in (assays or {}).items():
            self.add_assay(name, assay)

    # ------------------------------------------------------------ what there is

    @property
    def n_samples(self) -> int:
        return self.obs.height

    @property
    def n_features(self) -> int:
        """Features of all assays together."""
        return sum(assay.n_features for assay in self.assays.values())

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, n_features)."""
        return self.n_samples, self.n_features

    @property
    def sample_ids(self) -> pl.Series:
        return self.obs.get_column(self.sample_id_col)

    def __repr__(self) -> str:
        assays = ", ".join(f"{name} ({assay.n_features}: {list(assay.layers)})" for name, assay in self.assays.items())
        return f"<ScpContainer n_samples={self.n_samples}, assays: {assays or 'none'}>"

    def __eq__(self, other: object) -> bool:
        """Equal to the bit: values, dtypes, formats and order of everything, NaN equal to the same NaN."""
        from scpstore.core.compare import difference

        return type(other) is type(self) and difference(self, other) is None

    __hash__ = None  # type: ignore[assignment]

    # ------------------------------------------------------------ additions

    def add_assay(self, name: str, assay: Assay) -> ScpContainer:
        """Add an assay and return this container. Raises `StructureError` where the name is taken."""
        if name in self.assays:
            raise StructureError(f"Assay '{name}' already exists")
        for layer, matrix in assay.layers.items():
            shape = matrix.shape
            if shape[0] != self.n_samples:
                message = f"Assay '{name}', layer '{layer}' has {shape[0]} samples, the container has {self.n_samples}"
                raise DimensionError(message, (self.n_samples, shape[1]), shape)
        self.assays[name] = assay
        return self

    def log_operation(
        self,
        action: str,
        params: dict[str, Any],
        description: str | None = None,
        software_version: str | None = None,
    ) -> None:
        """Append a step to the history, with the time of now (UTC, ISO 8601)."""
        now = datetime.now(timezone.utc).isoformat()
        self.history.append(ProvenanceLog(now, action, params, software_version, description))

    # ------------------------------------------------------------ copies

    def copy(self, deep: bool = True) -> ScpContainer:
        """A copy: `deepcopy()`, or `shallow_copy()` with deep=False."""
        return self.deepcopy() if deep else self.shallow_copy()

    def deepcopy(self) -> ScpContainer:
        """A copy that shares nothing that can be changed with this one."""
        return deepcopy(self)

    def shallow_copy(self) -> ScpContainer:
        """A copy with its own lists and dicts, whose frames and arrays are those of this container."""
        assays = {}
        for name, assay in self.assays.items():
            assays[name] = shallow(assay)
            assays[name].layers = shallow(assay.layers)
        return ScpContainer(self.obs, assays, self.links, self.history, self.sample_id_col)

    # ------------------------------------------------------------ selections

    def filter_samples(
        self,
        sample_ids: Any = None,
        *,
        sample_indices: Any = None,
        boolean_mask: Any = None,
        polars_expression: pl.Expr | None = None,
        copy: bool = True,
    ) -> ScpContainer:
        """A new container of some samples, chosen in exactly one way.

        sample_ids: IDs, in the order wanted (or positionally any of the following). sample_indices: positions.
        boolean_mask: (n_samples,). polars_expression: on `obs`. copy: False lets unchanged parts be shared.
        The step is added to the history.
        """
        index = _chosen(
            self.obs, self.sample_id_col, "sample", sample_ids, sample_indices, boolean_mask, polars_expression
        )
        assays = {name: assay.select_samples(index, copy_data=copy) for name, assay in self.assays.items()}
        links, history = (deepcopy(self.links), deepcopy(self.history)) if copy else (self.links, self.history)
        made = ScpContainer(self.obs[index], assays, links, history, self.sample_id_col)
        made.log_operation("filter_samples", {"n_before": self.n_samples, "n_after": made.n_samples})
        return made

    def filter_features(
        self,
        assay_name: str,
        feature_ids: Any = None,
        *,
        feature_indices: Any = None,
        boolean_mask: Any = None,
        polars_expression: pl.Expr | None = None,
        copy: bool = True,
    ) -> ScpContainer:
        """A new container with some features of one assay, chosen as in `filter_samples` (expression: on `var`).

        Links lose the pairs whose feature is gone. Raises `AssayNotFoundError`. The step is added to the history.
        """
        if assay_name not in self.assays:
            raise AssayNotFoundError(assay_name, self.assays)
        assay = self.assays[assay_name]
        index = _chosen(
            assay.var, assay.feature_id_col, "feature", feature_ids, feature_indices, boolean_mask, polars_expression
        )
        assays = {
            name: assay.subset(index, copy_data=copy) if name == assay_name else deepcopy(other) if copy else other
            for name, other in self.assays.items()
        }
        links = [_linked(link, assay_name, assays[assay_name].feature_ids) for link in self.links]
        history = deepcopy(self.history) if copy else self.history
        made = ScpContainer(self.obs, assays, links, history, self.sample_id_col)
        params = {"assay": assay_name, "n_before": assay.n_features, "n_after": len(index)}
        made.log_operation("filter_features", params)
        return made

    def validate_links(self) -> None:
        """Raise unless every link joins two assays, and features, that there are.

        `AssayNotFoundError` for an assay, `ValidationError` (a `ValueError`) for feature IDs.
        """
        for link in self.links:
            for name, column in ((link.source_assay, "source_id"), (link.target_assay, "target_id")):
                if name not in self.assays:
                    raise AssayNotFoundError(name, self.assays)
                known = set(self.assays[name].feature_ids.to_list())
                ids = link.linkage.get_column(column).unique(maintain_order=True).to_list()
                missing = [item for item in ids if item not in known]
                if missing:
                    message = (
                        f"Link {link.source_assay} -> {link.target_assay}: {column} not in '{name}': {missing[:5]}"
                    )
                    raise ValidationError(message, field=column)

    # ------------------------------------------------------------ files

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        compression: str | None = "gzip",
        compression_level: int = 4,
        overwrite: bool = False,
    ) -> None:
        """Write this container as an HDF5 file (`.h5` or `.hdf5`; another suffix is a ValueError).

        See `scpstore.save_hdf5` for the parameters and errors.
        """
        from scpstore.io.exporters import save_hdf5

        save_hdf5(
            self,
            _checked_suffix(path),
            compression=compression,
            compression_level=compression_level,
            overwrite=overwrite,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, lazy: bool = False) -> ScpContainer:
        """The container in an HDF5 file (`.h5` or `.hdf5`; another suffix is a ValueError).

        See `scpstore.load_hdf5` for the parameters and errors.
        """
        from scpstore.io.importers import load_hdf5

        return load_hdf5(_checked_suffix(path), lazy=lazy)


def _checked_suffix(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"Unsupported file suffix {path.suffix!r} of {path}: use {' or '.join(SUFFIXES)}")
    return path


def _linked(link: AggregationLink, assay: str, ids: pl.Series) -> AggregationLink:
    """The link without the pairs whose feature in `assay` is not among `ids`."""
    linkage = link.linkage
    for name, column in ((link.source_assay, "source_id"), (link.target_assay, "target_id")):
        if name == assay:
            kept = set(ids.to_list())
            linkage = linkage.filter(pl.Series([item in kept for item in linkage[column].to_list()], dtype=pl.Boolean))
    return AggregationLink(link.source_assay, link.target_assay, linkage)


def _chosen(
    frame: pl.DataFrame, id_column: str, kind: str, ids: Any, indices: Any, mask: Any, expression: Any
) -> np.ndarray[Any, Any]:
    """Positions in `frame` of what exactly one of the four ways chooses."""
    given = [choice is not None for choice in (ids, indices, mask, expression)]
    if sum(given) != 1:
        ways = f"{kind}_ids, {kind}_indices, boolean_mask, polars_expression"
        raise ValidationError(f"choose in exactly one way ({ways}), got {sum(given)}", field=kind)
    if ids is not None:
        if isinstance(ids, pl.Expr):
            expression = ids
        elif _is_index(ids, frame.schema[id_column]):
            indices = ids
        else:
            return _positions(frame.get_column(id_column), ids, kind)
    if expression is not None:
        mask = frame.select(expression).to_series()
        if mask.dtype != pl.Boolean:
            raise ValidationError(f"polars_expression must be boolean, got {mask.dtype}", field="polars_expression")
        mask = mask.fill_null(False)
        mask = mask.new_from_index(0, frame.height) if mask.len() == 1 != frame.height else mask
    if mask is not None:
        values = np.asarray(mask)
        if values.dtype != bool:
            raise ValidationError(f"boolean_mask must be boolean, got {values.dtype}", field="boolean_mask")
        return as_indices(values, frame.height, "boolean_mask")
    return as_indices(indices, frame.height, f"{kind}_indices")


def _is_index(chosen: Any, id_dtype: pl.DataType) -> bool:
    """Whether what was given in the place of IDs is a mask, a slice, or positions (where IDs are no integers)."""
    if isinstance(chosen, slice):
        return True
    if isinstance(chosen, str):
        return False
    kind = np.asarray(chosen).dtype.kind
    return kind == "b" or (kind in "iu" and not id_dtype.is_integer())


def _positions(known: pl.Series, ids: Any, kind: str) -> np.ndarray[Any, Any]:
    wanted: Sequence[Any] = [ids] if isinstance(ids, str) else list(ids)
    places = {value: index for index, value in enumerate(known.to_list())}
    missing = [value for value in wanted if value not in places]
    if missing:
        raise ValidationError(f"{kind} IDs not found: {missing[:5]}", field=f"{kind}_ids")
    return np.array([places[value] for value in wanted], dtype=np.int64)
