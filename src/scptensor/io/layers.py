"""A layer as a group: its matrices X and M, and its metadata among the extras."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from h5burst.tree import Array, Group, Storage, UnsupportedValueError
from h5burst.values import decode_value, encode_value, from_json, to_json
from scptensor.core.matrix import MatrixMetadata, ScpMatrix, is_source
from scptensor.io.exceptions import IOFormatError, IOWriteError
from scptensor.io.matrices import MatrixNodes, decode_matrix, encode_matrix, has_matrix, whole_codes

METADATA = "metadata"
METADATA_MATRICES = ("confidence_scores", "detection_limits", "imputation_quality", "outlier_scores")
CREATION_INFO = "creation_info"


def encode_layer(matrix: Any, storage: Storage, where: str) -> tuple[Group, Group]:
    """The group of a layer, and the extras. `matrix`: anything with X, and M and metadata if it has them."""
    group, extras = Group(), Group()
    for name in ("X", "M"):
        values = getattr(matrix, name, None)
        if values is not None:
            _add(encode_matrix(name, values, storage, where), group, extras)
    metadata = getattr(matrix, "metadata", None)
    if metadata is not None:
        extras.children[METADATA] = _encode_metadata(metadata, storage, f"{where}/{METADATA}")
    return group, extras


def _add(nodes: MatrixNodes, group: Group, extras: Group) -> None:
    group.children.update(nodes.children)
    group.attrs.update(nodes.attrs)
    extras.children.update(nodes.extras)


def decode_layer(group: Any, extras: Group | None, where: str, *, lazy: bool = False) -> ScpMatrix:
    """The layer in a group. Raises `IOFormatError` for datasets that are no matrix, and masks that hold no codes."""
    mask = decode_matrix("M", group, extras, where) if has_matrix("M", group) else None
    if mask is not None:
        mask = whole_codes(mask, f"{where}/M")
    metadata = extras.children.get(METADATA) if extras is not None else None
    return ScpMatrix(
        decode_matrix("X", group, extras, where),
        mask,
        _decode_metadata(metadata, f"{where}/{METADATA}") if isinstance(metadata, Group) else None,
    )


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
