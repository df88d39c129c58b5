"""A container: the table of samples, the assays, the links between these, and the history of operations."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from copy import copy as shallow
from copy import deepcopy
from datetime import datetime, timezone
from html import escape
from typing import Any, ClassVar

import polars as pl

from h5burst import UnsupportedValueError, to_json
from scpstore.core.assay import Assay, check_ids
from scpstore.core.equality import Comparable
from scpstore.core.exceptions import AssayNotFoundError, DimensionError, StructureError, ValidationError
from scpstore.core.extras import Extras
from scpstore.core.files import checked_suffix, file_functions
from scpstore.core.history import AggregationLink, ProvenanceLog
from scpstore.core.selection import chosen


class ScpContainer(Comparable):
    """Samples (one row of `obs` each), assays over them, links between assays, and the history of operations.

    Parameters
    ----------
    obs
        Sample table with the unique IDs in `sample_id_col`.
    assays
        By name; each layer has one row a sample.
    links
        Pairs of features of two assays that are here.
    history
        The steps so far.
    sample_id_col
        Name of the ID column.
    extras
        What AnnData keeps beside the layers.
    validate_on_init
        False leaves the checks to `validate`.

    Raises
    ------
    ValidationError, ColumnNotFoundError, DimensionError
        Parts that do not fit together; all are `ValueError`s.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from scptensor import Assay, ScpContainer, ScpMatrix
    >>> proteins = Assay(pl.DataFrame({"_index": ["P1", "P2"]}), {"X": ScpMatrix(np.ones((3, 2)))})
    >>> container = ScpContainer(pl.DataFrame({"_index": ["A", "B", "C"]}), {"proteins": proteins})
    >>> container.save("three.h5")
    >>> ScpContainer.load("three.h5") == container
    True
    """

    compared: ClassVar[tuple[str, ...]] = ("sample_id_col", "obs", "assays", "links", "history", "extras")

    def __init__(
        self,
        obs: pl.DataFrame,
        assays: Mapping[str, Assay] | None = None,
        links: Iterable[AggregationLink] | None = None,
        history: Iterable[ProvenanceLog] | None = None,
        sample_id_col: str = "_index",
        *,
        extras: Extras | None = None,
        validate_on_init: bool = True,
    ) -> None:
        self.obs = obs
        self.sample_id_col = sample_id_col
        self.assays: dict[str, Assay] = dict(assays or {})
        self.links = list(links or [])
        self.history = list(history or [])
        self.extras = Extras() if extras is None else extras
        if validate_on_init:
            self.validate()

    def validate(self) -> None:
        """Raise where parts do not fit together, as the constructor does."""
        check_ids(self.obs, self.sample_id_col, "obs")
        for name, assay in self.assays.items():
            assay.validate()
            self._check_height(name, assay)
        self._check_links()

    # ------------------------------------------------------------ what there is

    @property
    def n_samples(self) -> int:
        """Number of samples."""
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
        """The IDs of the samples."""
        return self.obs.get_column(self.sample_id_col)

    def list_assays(self) -> list[str]:
        """The names of the assays, in order."""
        return list(self.assays)

    def list_layers(self, assay_name: str) -> list[str]:
        """The names of an assay's layers, in order.

        Parameters
        ----------
        assay_name
            The assay.

        Returns
        -------
        list of str
            Names.

        Raises
        ------
        AssayNotFoundError
            There is no such assay.
        """
        return list(self._assay(assay_name).layers)

    def assay_shape(self, assay_name: str) -> tuple[int, int]:
        """(samples, features) of an assay.

        Parameters
        ----------
        assay_name
            The assay.

        Returns
        -------
        tuple of int
            Two numbers.

        Raises
        ------
        AssayNotFoundError
            There is no such assay.
        """
        return self.n_samples, self._assay(assay_name).n_features

    def _assay(self, name: str) -> Assay:
        if name not in self.assays:
            raise AssayNotFoundError(name, self.assays)
        return self.assays[name]

    def summary(self) -> str:
        """A summary, one line a part."""
        lines = [f"{self.n_samples} samples, {len(self.assays)} assays, {self.n_features} features"]
        for name, assay in self.assays.items():
            layers = ", ".join(assay.layers) or "no layers"
            lines.append(f"assay {name}: {assay.n_features} features; {layers}")
        lines += [
            f"link {link.source_assay} -> {link.target_assay}: {link.linkage.height} pairs" for link in self.links
        ]
        lines += [f"history {step.timestamp} {step.action}" for step in self.history]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{assay.n_features}</td><td>{escape(', '.join(assay.layers))}</td></tr>"
            for name, assay in self.assays.items()
        )
        head = f"<b>ScpContainer</b>: {self.n_samples} samples, {self.n_features} features"
        return f"{head}<table><tr><th>assay</th><th>features</th><th>layers</th></tr>{rows}</table>"

    def __repr__(self) -> str:
        assays = ", ".join(f"{name} ({assay.n_features}: {list(assay.layers)})" for name, assay in self.assays.items())
        return f"<ScpContainer n_samples={self.n_samples}, assays: {assays or 'none'}>"

    # ------------------------------------------------------------ additions

    def add_assay(self, name: str, assay: Assay) -> ScpContainer:
        """Add an assay.

        Parameters
        ----------
        name
            Of the assay.
        assay
            Its layers have one row a sample.

        Returns
        -------
        ScpContainer
            This one.

        Raises
        ------
        StructureError
            The name is taken.
        DimensionError
            A layer has another number of rows.
        """
        if name in self.assays:
            raise StructureError(f"Assay '{name}' already exists")
        self._check_height(name, assay)
        self.assays[name] = assay
        return self

    def _check_height(self, name: str, assay: Assay) -> None:
        for layer, matrix in assay.layers.items():
            shape = matrix.shape
            if shape[0] != self.n_samples:
                message = f"Assay '{name}', layer '{layer}' has {shape[0]} samples, the container has {self.n_samples}"
                raise DimensionError(message, (self.n_samples, shape[1]), shape)

    def log_operation(
        self,
        action: str,
        params: dict[str, Any],
        description: str | None = None,
        software_version: str | None = None,
    ) -> None:
        """Append a step to the history, with the time of now (UTC, ISO 8601).

        Parameters
        ----------
        action
            What was done.
        params
            With which parameters.
        description
            In words.
        software_version
            Of the software that did it.

        Raises
        ------
        ValidationError
            Params that no file can hold, such as functions and frames.
        """
        try:
            to_json(params)
        except (UnsupportedValueError, RecursionError) as error:
            problem = f"params of {action!r} cannot be stored: {error}: name it in words, or give numbers, text, lists"
            raise ValidationError(problem, "params") from error
        now = datetime.now(timezone.utc).isoformat()
        self.history.append(ProvenanceLog(now, action, params, software_version, description))

    # ------------------------------------------------------------ copies

    def copy(self, deep: bool = True) -> ScpContainer:
        """A copy of this container."""
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
        return self._with(self.obs, assays, self.links, self.history, self.extras)

    def _with(self, obs: pl.DataFrame, assays: Any, links: Any, history: Any, extras: Extras) -> ScpContainer:
        """A container of these parts, which fit together as those of this one do."""
        container = ScpContainer(obs, assays, links, history, self.sample_id_col, extras=extras, validate_on_init=False)
        check_ids(obs, self.sample_id_col, "obs")  # a selection may name a sample twice
        return container

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
        """A new container of some samples, chosen in exactly one way. The step is added to the history.

        Parameters
        ----------
        sample_ids
            IDs, in the order wanted (or, given by position, any of the following).
        sample_indices
            Whole numbers (negative ones count from the end), or a slice.
        boolean_mask
            (n_samples,) bool.
        polars_expression
            On `obs`.
        copy
            False lets unchanged parts be shared.

        Returns
        -------
        ScpContainer
            A new one.

        Raises
        ------
        ValidationError, DimensionError
            Samples that there are not, a mask of another length, or not exactly one way of choosing.

        Examples
        --------
        >>> import polars as pl
        >>> from scptensor import load_hdf5
        >>> container = load_hdf5("cells.h5")
        >>> container.filter_samples(polars_expression=pl.col("group") == "treated").sample_ids.to_list()
        ['A', 'C']
        """
        index = chosen(
            self.obs, self.sample_id_col, "sample", sample_ids, sample_indices, boolean_mask, polars_expression
        )
        assays = {name: assay.select_samples(index, copy_data=copy) for name, assay in self.assays.items()}
        links, history = (deepcopy(self.links), deepcopy(self.history)) if copy else (self.links, self.history)
        container = self._with(self.obs[index], assays, links, history, self.extras.select_samples(index))
        container.log_operation("filter_samples", {"n_before": self.n_samples, "n_after": container.n_samples})
        return container

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
        """A new container with some features of one assay. The step is added to the history.

        Links lose the pairs whose feature is gone.

        Parameters
        ----------
        assay_name
            The assay.
        feature_ids, feature_indices, boolean_mask
            As of `filter_samples`; the mask is (features,) bool.
        polars_expression
            On `var`.
        copy
            False lets unchanged parts be shared.

        Returns
        -------
        ScpContainer
            A new one.

        Raises
        ------
        AssayNotFoundError
            There is no such assay.
        ValidationError, DimensionError
            As of `filter_samples`.

        Examples
        --------
        >>> from scptensor import load_hdf5
        >>> container = load_hdf5("cells.h5").filter_features("peptides", ["a", "c"])
        >>> container.assay_shape("peptides"), container.links[0].linkage.height
        ((3, 2), 2)
        """
        assay = self._assay(assay_name)
        index = chosen(
            assay.var, assay.feature_id_col, "feature", feature_ids, feature_indices, boolean_mask, polars_expression
        )
        assays = {
            name: assay.subset(index, copy_data=copy) if name == assay_name else deepcopy(other) if copy else other
            for name, other in self.assays.items()
        }
        links = [_linked(link, assay_name, assays[assay_name].feature_ids) for link in self.links]
        history = deepcopy(self.history) if copy else self.history
        container = self._with(self.obs, assays, links, history, self.extras.select_features(assay_name, index))
        params = {"assay": assay_name, "n_before": assay.n_features, "n_after": len(index)}
        container.log_operation("filter_features", params)
        return container

    def validate_links(self) -> None:
        """Raise unless every link joins two assays, and features, that there are.

        Raises
        ------
        AssayNotFoundError
            An assay is not there.
        ValidationError
            A feature ID is not there; it is a `ValueError`.
        """
        for link in self.links:
            for name in (link.source_assay, link.target_assay):
                self._assay(name)
        self._check_links()

    def _check_links(self) -> None:
        ids = {name: assay.feature_ids for name, assay in self.assays.items()} if self.links else {}
        for link in self.links:
            problem = link_problem(link, ids)
            if problem:
                raise ValidationError(problem, field="links")

    # ------------------------------------------------------------ files

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        compression: str | None = "gzip",
        compression_level: int = 4,
        overwrite: bool = False,
    ) -> None:
        """Write this container as an HDF5 file.

        Parameters
        ----------
        path
            Ends in `.h5` or `.hdf5`.
        compression, compression_level, overwrite
            As of `save_hdf5`.

        Raises
        ------
        ValueError
            Another suffix or compression.
        IOWriteError
            As of `save_hdf5`.
        """
        file_functions().save(
            self,
            checked_suffix(path),
            compression=compression,
            compression_level=compression_level,
            overwrite=overwrite,
        )

    def update(
        self,
        path: str | os.PathLike[str],
        *names: str,
        compression: str | None = "gzip",
        compression_level: int = 4,
    ) -> None:
        """Write some parts of this container into its file, whole or not at all; see `scpstore.io.update_hdf5`.

        Parameters
        ----------
        path
            Ends in `.h5` or `.hdf5`.
        names
            "obs", "proteins" (an assay), "proteins/var", "proteins/log2" (a layer).
        compression, compression_level
            Of these parts.

        Raises
        ------
        ValidationError, IOFormatError, IOWriteError
            As of `scpstore.io.update_hdf5`.
        """
        file_functions().update(
            self, checked_suffix(path), *names, compression=compression, compression_level=compression_level
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, lazy: bool = False) -> ScpContainer:
        """The container in an HDF5 file.

        Parameters
        ----------
        path
            Ends in `.h5` or `.hdf5`.
        lazy
            As of `load_hdf5`.

        Returns
        -------
        ScpContainer
            A new one.

        Raises
        ------
        ValueError
            Another suffix.
        FileNotFoundError, IOPasswordError, IOFormatError
            As of `load_hdf5`.
        """
        container: ScpContainer = file_functions().load(checked_suffix(path), lazy=lazy)
        return container


def link_problem(link: Any, ids: Mapping[str, pl.Series]) -> str | None:
    """The names of a link that are not there, in words; None where all are. ids: of the features, by assay."""
    title = f"Link {link.source_assay} -> {link.target_assay}"
    for name, column in ((link.source_assay, "source_id"), (link.target_assay, "target_id")):
        if name not in ids:
            return f"{title}: there is no assay '{name}' (there are: {', '.join(ids) or 'none'})"
        feature_ids = set(ids[name].to_list())
        missing = [
            item for item in link.linkage.get_column(column).unique(maintain_order=True) if item not in feature_ids
        ]
        if missing:
            return f"{title}: {column} not in '{name}': {missing[:5]}"
    return None


def _linked(link: AggregationLink, assay: str, ids: pl.Series) -> AggregationLink:
    """The link without the pairs whose feature in `assay` is not among `ids`."""
    linkage = link.linkage
    for name, column in ((link.source_assay, "source_id"), (link.target_assay, "target_id")):
        if name == assay:
            kept = set(ids.to_list())
            linkage = linkage.filter(pl.Series([item in kept for item in linkage[column].to_list()], dtype=pl.Boolean))
    return AggregationLink(link.source_assay, link.target_assay, linkage)
