"""A layer as a group: its matrices X and M, and its metadata among the extras."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp

from h5burst.model.tree import Array, Group, Storage, UnsupportedValueError
from h5burst.model.values import decode_value, encode_value, from_json, to_json
from scpstore.core.matrix import MatrixMetadata, ScpMatrix, is_source
from scpstore.io.exceptions import IOFormatError, IOWriteError
from scpstore.io.matrices import MatrixNodes, decode_matrix, encode_matrix, has_matrix, whole_codes

METADATA = "metadata"
METADATA_MATRICES = ("confidence_scores", "detection_limits", "imputation_quality", "outlier_scores")
CREATION_INFO = "creation_info"


@runtime_checkable
class _StoredLayer(Protocol):
    """A layer whose nodes lie in a file and need not be read to be saved."""

    def stored_nodes(self, name: str, storage: Storage) -> MatrixNodes | None: ...

    def stored_metadata(self, storage: Storage) -> Group | None: ...


def encode_layer(matrix: Any, storage: Storage, where: str) -> tuple[Group, Group]:
    """The group of a layer, and the extras. `matrix`: anything with X, and M and metadata if it has them."""
    group, extras = Group(), Group()
    for name in ("X", "M"):
        nodes = matrix.stored_nodes(name, storage) if isinstance(matrix, _StoredLayer) else None
        values = getattr(matrix, name, None) if nodes is None else None
        if values is not None:
            nodes = encode_matrix(name, values, storage, where)
        if nodes is not None:
            _add(nodes, group, extras)
    known = matrix.stored_metadata(storage) if isinstance(matrix, _StoredLayer) else None
    metadata = getattr(matrix, "metadata", None) if known is None else None
    if metadata is not None:
        known = _encode_metadata(metadata, storage, f"{where}/{METADATA}")
    if known is not None:
        extras.children[METADATA] = known
    return group, extras


def _add(nodes: MatrixNodes, group: Group, extras: Group) -> None:
    group.children.update(nodes.children)
    group.attrs.update(nodes.attrs)
    extras.children.update(nodes.extras)


def decode_layer(group: Group, extras: Group | None, where: str) -> ScpMatrix:
    """The layer in a group. Raises `IOFormatError` for datasets that are no matrix, and masks that hold no codes."""
    values = decode_matrix("X", group, extras, where)
    return ScpMatrix(values, decode_mask(group, extras, where), decode_metadata(extras, where))


def decode_mask(group: Group, extras: Group | None, where: str) -> Any:
    """The mask of the layer in a group, None where it has none."""
    if not has_matrix("M", group):
        return None
    return whole_codes(decode_matrix("M", group, extras, where), f"{where}/M")


def decode_metadata(extras: Group | None, where: str) -> MatrixMetadata | None:
    """The metadata among the extras of a layer, None where there are none."""
    metadata = extras.children.get(METADATA) if extras is not None else None
    if not isinstance(metadata, Group):
        return None
    return _decode_metadata(metadata, f"{where}/{METADATA}")


def _encode_metadata(metadata: Any, storage: Storage, where: str) -> Group:
    group = Group()
    for name in METADATA_MATRICES:
        values = getattr(metadata, name, None)
        if sp.issparse(values) or is_source(values):
            _add(encode_matrix(name, values, storage, where), group, group)
        elif values is not None:
            if isinstance(values, np.ndarray) and values.dtype == object:
                raise IOWriteError(f"{where}/{name} is an array of Python objects: convert it first")
            try:
                group.children[name] = encode_value(values, path=f"{where}/{name}")
            except UnsupportedValueError as error:
                raise IOWriteError(f"{where}/{name} cannot be stored: {error}") from error
    info = getattr(metadata, CREATION_INFO, None)
    if info is not None:
        try:
            group.children[CREATION_INFO] = encode_value(to_json(info))
        except UnsupportedValueError as error:
            raise IOWriteError(f"{where}/{CREATION_INFO} cannot be stored: {error}") from error
    return group


def _decode_metadata(group: Group, where: str) -> MatrixMetadata:
    fields: dict[str, Any] = {}
    for name in METADATA_MATRICES:
        if name in group.children:
            fields[name] = decode_value(group.children[name])
        elif has_matrix(name, group):
            fields[name] = decode_matrix(name, group, group, where)
    info = group.children.get(CREATION_INFO)
    if isinstance(info, Array):
        try:
            fields[CREATION_INFO] = from_json(decode_value(info))
        except (ValueError, TypeError) as error:
            raise IOFormatError(f"{where}/{CREATION_INFO} is no JSON: {error}") from error
    return MatrixMetadata(**fields)
