"""Containers of several batches as one: all their samples, the features of all."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from h5burst import is_source
from scpstore.core.assay import Assay
from scpstore.core.container import ScpContainer
from scpstore.core.exceptions import ValidationError
from scpstore.core.extras import Extras
from scpstore.core.files import file_functions
from scpstore.core.history import AggregationLink
from scpstore.core.matrix import MaskCode, ScpMatrix
from scpstore.core.sources import LazyRows, is_sparse_source, whole

Containers = Sequence[Any] | Mapping[str, Any]


def concat(
    containers: Containers,
    *,
    label: str | None = None,
    keys: Sequence[str] | None = None,
    index_unique: str | None = None,
) -> ScpContainer:
    """One container of the samples of several, such as batches of runs of one design.

    Assays and layers are those of any; features are all, in the order of their first appearance. What a container does
    not have is NaN in dense layers, in the mask LOD, and nothing in sparse ones; masks are kept. Tables have the
    columns of all; where they say different things of one feature, the first counts, with a `UserWarning`. Links are
    joined; the history has the steps of all, and this one. Layers of files stay there: `save` streams them.

    Parameters
    ----------
    containers
        `ScpContainer`s, or paths of files (which are loaded lazily), in order; of a mapping, its names are `keys`.
    label
        A column of `obs` that says from which container a sample is.
    keys
        Names of the containers, for `label` and `index_unique`; None: "0", "1", ….
    index_unique
        What stands between ID and key; None: IDs stay as they are.

    Returns
    -------
    ScpContainer
        A new one. Of `extras` it has the `obsm` that all have in one width; a `UserWarning` names what is left out.

    Raises
    ------
    ValidationError
        No containers; sample IDs that several have (`index_unique` makes them different); other ID columns of one
        assay; a layer that is dense in one and sparse in another.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from scptensor import Assay, ScpContainer, ScpMatrix, concat
    >>> def batch(cells, proteins):
    ...     layer = ScpMatrix(np.ones((len(cells), len(proteins))))
    ...     assay = Assay(pl.DataFrame({"_index": proteins}), {"X": layer})
    ...     return ScpContainer(pl.DataFrame({"_index": cells}), {"proteins": assay})
    >>> both = concat({"monday": batch(["A"], ["P1", "P2"]), "friday": batch(["B"], ["P3", "P1"])}, label="day")
    >>> both.assays["proteins"].X
    array([[ 1.,  1., nan],
           [ 1., nan,  1.]])
    >>> both.obs["day"].to_list()
    ['monday', 'friday']
    """
    if isinstance(containers, Mapping):
        if keys is not None:
            raise ValidationError("keys are those of the mapping: give one of them", "keys")
        keys, containers = list(containers), list(containers.values())
    parts = [_opened(one) for one in containers]
    names = [str(number) for number in range(len(parts))] if keys is None else list(keys)
    if not parts or len(names) != len(parts) or len(set(names)) != len(names):
        raise ValidationError(f"{len(parts)} containers and the keys {names}: one different key each", "keys")
    obs, id_column = _samples(parts, names, label, index_unique)
    assays = {name: _joined_assay(parts, name) for name in dict.fromkeys(n for part in parts for n in part.assays)}
    history = []
    for part in parts:
        history += [step for step in deepcopy(part.history) if step not in history]
    joined = ScpContainer(obs, assays, _links(parts), history, id_column, extras=_extras(parts))
    joined.log_operation("concat", {"keys": names, "n_samples": [part.n_samples for part in parts]})
    return joined


def _opened(one: Any) -> ScpContainer:
    if isinstance(one, (str, os.PathLike)):
        loaded: ScpContainer = file_functions().load(one, lazy=True)
        return loaded
    if not isinstance(one, ScpContainer):
        raise ValidationError(f"concat takes containers and paths, got {type(one).__name__}", "containers")
    return one


def _samples(
    parts: Sequence[ScpContainer], names: Sequence[str], label: str | None, index_unique: str | None
) -> tuple[pl.DataFrame, str]:
    id_column = parts[0].sample_id_col
    frames = []
    for part, name in zip(parts, names, strict=True):
        frame = part.obs if part.sample_id_col == id_column else part.obs.rename({part.sample_id_col: id_column})
        if index_unique is not None:
            unique = pl.concat_str(pl.col(id_column).cast(pl.String), pl.lit(f"{index_unique}{name}"))
            frame = frame.with_columns(unique.alias(id_column))
        frames.append(frame if label is None else frame.with_columns(pl.lit(name).alias(label)))
    obs = _below_each_other(frames, "obs")
    twice = obs.get_column(id_column).is_duplicated()
    if twice.any():
        which = obs.get_column(id_column).filter(twice).unique(maintain_order=True).head(5).to_list()
        message = f"sample IDs that several containers have: {which}: index_unique='-' appends their keys"
        raise ValidationError(message, "containers")
    return obs, id_column


def _below_each_other(frames: Sequence[pl.DataFrame], table: str) -> pl.DataFrame:
    """Rows of frames with the columns of all; categories of text are joined."""
    enums = {name for frame in frames for name, dtype in frame.schema.items() if isinstance(dtype, pl.Enum)}
    joined = {}
    for name in enums:
        dtypes: list[Any] = [frame.schema[name] for frame in frames if name in frame.columns]
        if all(isinstance(dtype, pl.Enum) for dtype in dtypes):
            joined[name] = pl.Enum(list(dict.fromkeys(text for dtype in dtypes for text in dtype.categories)))
    cast = [frame.cast({name: dtype for name, dtype in joined.items() if name in frame.columns}) for frame in frames]
    try:
        return pl.concat(cast, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise ValidationError(f"{table}: columns of the containers do not fit together: {error}", table) from error


# ---------------------------------------------------------------- assays


def _joined_assay(parts: Sequence[ScpContainer], name: str) -> Assay:
    assays = [part.assays.get(name) for part in parts]
    present = [assay for assay in assays if assay is not None]
    id_column = present[0].feature_id_col
    if any(assay.feature_id_col != id_column for assay in present):
        columns = [assay.feature_id_col for assay in present]
        raise ValidationError(f"assay '{name}' has the ID columns {columns}: rename them", "feature_id_col")
    var = _features([assay.var for assay in present], id_column, name)
    places = {feature: row for row, feature in enumerate(var.get_column(id_column).to_list())}
    columns_of = [
        None if assay is None else np.array([places[f] for f in assay.feature_ids.to_list()], np.int64)
        for assay in assays
    ]
    layers = {}
    for layer in dict.fromkeys(layer for assay in present for layer in assay.layers):
        matrices = [None if assay is None else assay.layers.get(layer) for assay in assays]
        layers[layer] = _joined_layer(parts, matrices, columns_of, (f"{name}/{layer}", var.height))
    return Assay(var, layers, id_column)


def _features(frames: Sequence[pl.DataFrame], id_column: str, name: str) -> pl.DataFrame:
    """The features of all; of one that several have, the first value that is there of each column."""
    if all(frame.equals(frames[0]) for frame in frames[1:]):
        return frames[0]
    joined = _below_each_other(frames, f"assay '{name}'")
    others = [column for column in joined.columns if column != id_column]
    flat = [column for column in others if not joined.schema[column].is_nested()]
    grouped = joined.group_by(id_column, maintain_order=True)
    if flat:
        counts = grouped.agg(pl.col(flat).drop_nulls().n_unique()).select(flat).max()
        odd = [column for column in flat if (counts[column][0] or 0) > 1]
        if odd:
            message = f"assay '{name}': features differ in {', '.join(odd)}: the first container that says it counts"
            warnings.warn(message, UserWarning, stacklevel=4)
    firsts = grouped.agg(pl.col(others).drop_nulls().first()) if others else grouped.agg()
    return firsts.select(joined.columns)


def _joined_layer(
    parts: Sequence[ScpContainer],
    matrices: Sequence[ScpMatrix | None],
    columns_of: Sequence[np.ndarray[Any, Any] | None],
    labels: tuple[str, int],
) -> ScpMatrix:
    where, width = labels
    values = [None if matrix is None else matrix.X for matrix in matrices]
    kinds = {_is_sparse(X) for X in values if X is not None}
    if len(kinds) > 1:
        raise ValidationError(f"layer {where} is dense in one container and sparse in another: convert one", "layers")
    is_sparse = kinds.pop()
    heights = [part.n_samples for part in parts]
    X = _Stacked(values, heights, columns_of, width, 0 if is_sparse else np.nan)
    masks = [None if matrix is None else matrix.M for matrix in matrices]
    lacks = any(X is None for X in values) or any(c is not None and len(c) < width for c in columns_of)
    if any(matrix is not None and matrix.metadata is not None for matrix in matrices):
        warnings.warn(f"layer {where}: metadata of matrices are left out", UserWarning, stacklevel=4)
    M = None
    if any(mask is not None for mask in masks) or (lacks and not is_sparse):
        sparse_masks = is_sparse and all(mask is None or _is_sparse(mask) for mask in masks)
        plain = [
            _Valid((height, len(columns)), sparse_masks)
            if X is not None and mask is None and columns is not None
            else mask
            for X, mask, height, columns in zip(values, masks, heights, columns_of, strict=True)
        ]
        fill = 0 if sparse_masks else int(MaskCode.LOD)
        M = _Stacked([_dense_mask(m, sparse_masks) for m in plain], heights, columns_of, width, fill, np.dtype(np.int8))
    is_stored = any(is_source(X) for X in values if X is not None)
    if is_stored:
        return ScpMatrix(LazyRows(X), None if M is None else LazyRows(M))
    return ScpMatrix(X.read_whole(), None if M is None else M.read_whole())


def _is_sparse(values: Any) -> bool:
    return sp.issparse(values) or is_sparse_source(values)


def _dense_mask(mask: Any, sparse_masks: bool) -> Any:
    return whole(mask).toarray() if mask is not None and not sparse_masks and _is_sparse(mask) else mask


class _Valid:
    """A mask of nothing but VALID, as a source."""

    def __init__(self, shape: tuple[int, int], sparse: bool) -> None:
        self.shape, self.dtype = shape, np.dtype(np.int8)
        self.format = "csr" if sparse else None

    def read(self, start: int, stop: int) -> Any:
        shape = (stop - start, self.shape[1])
        return sp.csr_matrix(shape, dtype=np.int8) if self.format else np.zeros(shape, np.int8)


class _Stacked:
    """Matrices one below the other, each column at its place, as a `RowReader`. None: nothing is known of the rows."""

    def __init__(
        self,
        parts: Sequence[Any],
        heights: Sequence[int],
        columns_of: Sequence[np.ndarray[Any, Any] | None],
        width: int,
        fill: float,
        dtype: np.dtype[Any] | None = None,
    ) -> None:
        self._parts, self._columns, self._fill = list(parts), list(columns_of), fill
        self._edges = np.cumsum([0, *heights])
        present = [part for part in parts if part is not None]
        self.dtype = dtype or np.result_type(*(part.dtype for part in present))
        self.format = "csr" if any(_is_sparse(part) for part in present) else None
        self.shape = (int(self._edges[-1]), width)

    def read(self, start: int, stop: int) -> Any:
        """Rows [start, stop): an array, or a CSR matrix."""
        blocks = []
        for part, columns, first, last in zip(
            self._parts, self._columns, self._edges[:-1], self._edges[1:], strict=True
        ):
            low, high = max(start, int(first)), min(stop, int(last))
            if low < high:
                blocks.append(self._placed(part, columns, low - int(first), high - int(first)))
        if self.format:
            empty = sp.csr_matrix((0, self.shape[1]), dtype=self.dtype)
            return sp.csr_matrix(sp.vstack(blocks, format="csr", dtype=self.dtype)) if blocks else empty
        return np.concatenate(blocks) if blocks else np.empty((0, self.shape[1]), self.dtype)

    def read_whole(self) -> Any:
        """The whole matrix."""
        return self.read(0, self.shape[0])

    def _placed(self, part: Any, columns: np.ndarray[Any, Any] | None, start: int, stop: int) -> Any:
        shape = (stop - start, self.shape[1])
        if part is None or columns is None:
            return sp.csr_matrix(shape, dtype=self.dtype) if self.format else np.full(shape, self._fill, self.dtype)
        rows = part.read(start, stop) if is_source(part) else (part.tocsr() if sp.issparse(part) else part)[start:stop]
        if self.format:
            rows = sp.csr_matrix(rows)
            block_out = sp.csr_matrix((rows.data, columns[rows.indices], rows.indptr), shape=shape)
            block_out.sort_indices()
            return block_out
        block_out = np.full(shape, self._fill, self.dtype)
        block_out[:, columns] = rows
        return block_out


# ---------------------------------------------------------------- what belongs to them


def _links(parts: Sequence[ScpContainer]) -> list[AggregationLink]:
    pairs: dict[tuple[str, str], list[pl.DataFrame]] = {}
    for part in parts:
        for link in part.links:
            pairs.setdefault((link.source_assay, link.target_assay), []).append(link.linkage)
    return [
        AggregationLink(source, target, _below_each_other(frames, "links").unique(maintain_order=True))
        for (source, target), frames in pairs.items()
    ]


def _extras(parts: Sequence[ScpContainer]) -> Extras:
    names = [name for name in parts[0].extras.obsm if all(name in part.extras.obsm for part in parts)]
    obsm = {}
    for name in names:
        arrays = [part.extras.obsm[name] for part in parts]
        if all(isinstance(array, np.ndarray) and array.shape[1:] == arrays[0].shape[1:] for array in arrays):
            obsm[name] = np.concatenate(arrays)
    left = {
        f"{kind} {name}"
        for part in parts
        for kind, of_kind in part.extras.names().items()
        for name in of_kind
        if kind != "obsm" or name not in obsm
    }
    if left:
        warnings.warn(f"left out of the extras: {', '.join(sorted(left)[:8])}", UserWarning, stacklevel=3)
    return Extras(obsm)
