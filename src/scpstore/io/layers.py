"""A layer as a group: its matrices X and M, and its metadata among the extras."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp

from h5burst import (
    Array,
    Group,
    Storage,
    UnsupportedValueError,
    decode_value,
    encode_value,
    from_json,
    is_source,
    to_json,
)
from scpstore.io.classes import OURS, Classes
from scpstore.io.exceptions import IOFormatError, IOWriteError
from scpstore.io.matrices import Target, decode_matrix, encode_matrix, float_values, has_matrix, whole_codes
from scpstore.io.stored import StoredGroup

METADATA = "metadata"
METADATA_MATRICES = ("confidence_scores", "detection_limits", "imputation_quality", "outlier_scores")
CREATION_INFO = "creation_info"


@runtime_checkable
class _StoredLayer(Protocol):
    """A layer whose nodes are in a file and need not be read to be saved."""

    def stored_nodes(self, name: str, target: Target) -> StoredGroup | None: ...

    def stored_metadata(self, storage: Storage) -> Group | None: ...


def encode_layer(matrix: Any, target: Target, where: str) -> StoredGroup:
    """The group of a layer and the extras. `matrix`: anything with X, and M and metadata if it has them."""
    stored = StoredGroup(where)
    for name in ("X", "M"):
        nodes = matrix.stored_nodes(name, target) if isinstance(matrix, _StoredLayer) else None
        values = getattr(matrix, name, None) if nodes is None else None
        if values is not None:
            nodes = encode_matrix(name, values, target, where)
        if nodes is not None:
            _add(nodes, stored.plain, stored.extra)
    metadata_group = matrix.stored_metadata(target.storage) if isinstance(matrix, _StoredLayer) else None
    metadata = getattr(matrix, "metadata", None) if metadata_group is None else None
    if metadata is not None:
        metadata_group = _encode_metadata(metadata, target, f"{where}/{METADATA}")
    if metadata_group is not None:
        stored.extra.children[METADATA] = metadata_group
    return stored


def _add(nodes: StoredGroup, plain: Group, extra: Group) -> None:
    plain.children.update(nodes.plain.children)
    plain.attrs.update(nodes.plain.attrs)
    extra.children.update(nodes.extra.children)


def decode_layer(stored: StoredGroup, classes: Classes = OURS) -> Any:
    """The layer in a group. Raises `IOFormatError` for datasets that are not a matrix, and masks that hold no codes."""
    values = float_values(decode_matrix("X", stored), f"{stored.where}/X")
    return classes.matrix(X=values, M=decode_mask(stored), metadata=decode_metadata(stored, classes))


def decode_mask(stored: StoredGroup) -> Any:
    """The mask of the layer in a group, None where it has none."""
    return whole_codes(decode_matrix("M", stored), f"{stored.where}/M") if has_matrix("M", stored) else None


def decode_metadata(stored: StoredGroup, classes: Classes = OURS) -> Any:
    """The metadata among the extras of a layer, None where there are none."""
    group = stored.extra.children.get(METADATA)
    if not isinstance(group, Group):
        return None
    where = f"{stored.where}/{METADATA}"
    holder = StoredGroup(where, group, group)  # what else a matrix needs is in the same group
    fields: dict[str, Any] = {}
    for name in METADATA_MATRICES:
        if name in group.children:
            fields[name] = decode_value(group.children[name])
        elif has_matrix(name, holder):
            fields[name] = decode_matrix(name, holder)
    info = group.children.get(CREATION_INFO)
    if isinstance(info, Array):
        try:
            fields[CREATION_INFO] = from_json(decode_value(info))
        except (ValueError, TypeError, RecursionError) as error:
            raise IOFormatError(f"{where}/{CREATION_INFO} is not JSON: {error}") from error
    return classes.metadata(**fields)


def _encode_metadata(metadata: Any, target: Target, where: str) -> Group:
    group = Group()
    for name in METADATA_MATRICES:
        values = getattr(metadata, name, None)
        if sp.issparse(values) or is_source(values):
            _add(encode_matrix(name, values, target, where), group, group)
        elif values is not None:
            if isinstance(values, np.ndarray) and values.dtype == object:
                raise IOWriteError(f"{where}/{name} is an array of Python objects: convert it first")
            if isinstance(values, np.ma.MaskedArray):
                raise IOWriteError(f"{where}/{name} is a masked array: fill it first")
            try:
                group.children[name] = encode_value(values, path=f"{where}/{name}")
            except UnsupportedValueError as error:
                raise IOWriteError(f"{where}/{name} cannot be stored: {error}") from error
    info = getattr(metadata, CREATION_INFO, None)
    if info is not None:
        try:
            group.children[CREATION_INFO] = encode_value(to_json(info))
        except (UnsupportedValueError, RecursionError) as error:
            raise IOWriteError(f"{where}/{CREATION_INFO} cannot be stored: {error}") from error
    return group
