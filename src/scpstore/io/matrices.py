"""One matrix as datasets of its layer's group, and back.

Dense: dataset `{name}`. Sparse: `{name}_data`, `{name}_indices`, `{name}_indptr` as CSR, with attributes of the group:

    {name}_format, {name}_shape                         "csr" and the shape
    {name}_original_format, {name}_original_class       where it was no csr matrix: "coo" …, "array"
    {name}_entry_order                                  "column", or "stored": then the extras hold `{name}_order`
    {name}_block_shape                                  of a block sparse matrix
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from h5burst.model.tree import Array, Group, Node, Storage
from scpstore.core.exceptions import MaskCodeError
from scpstore.core.matrix import check_codes, is_source, stored_values
from scpstore.io.csr import FORMATS, CsrParts, SparseKind, csr_parts, from_csr, kind_of
from scpstore.io.exceptions import IOFormatError, IOWriteError

CSR_PARTS = ("data", "indices", "indptr")


@dataclass
class MatrixNodes:
    """The datasets and group attributes of a matrix, and what goes to the extras."""

    children: dict[str, Node] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    extras: dict[str, Node] = field(default_factory=dict)


# ---------------------------------------------------------------- writing


def encode_matrix(name: str, values: Any, storage: Storage, where: str) -> MatrixNodes:
    """The nodes of a dense or sparse matrix or a `BlockSource`. Raises `IOWriteError` for anything that has no form."""
    if sp.issparse(values):
        return _encode_sparse(name, values, storage)
    if not is_source(values):
        values = np.asarray(values)
        if values.dtype == object:
            raise IOWriteError(f"{where}/{name} is an array of Python objects: convert it to numbers first")
        if values.dtype.kind not in "biufc":
            raise IOWriteError(f"{where}/{name} is no array of numbers: it has the dtype {values.dtype}")
    return MatrixNodes({name: Array(values, storage=storage)})


def _encode_sparse(name: str, matrix: Any, storage: Storage) -> MatrixNodes:
    parts = csr_parts(matrix)
    kind = kind_of(matrix, parts)
    nodes = csr_nodes(name, parts, storage)
    if kind.format != "csr":
        nodes.attrs[f"{name}_original_format"] = kind.format
    if kind.is_array:
        nodes.attrs[f"{name}_original_class"] = "array"
    if kind.entry_order != "row":
        nodes.attrs[f"{name}_entry_order"] = kind.entry_order
    if kind.block_shape is not None:
        nodes.attrs[f"{name}_block_shape"] = np.array(kind.block_shape, np.int64)
    return nodes


def csr_nodes(name: str, parts: CsrParts, storage: Storage) -> MatrixNodes:
    """The nodes of CSR arrays."""
    arrays = (parts.data, parts.indices, parts.indptr)
    nodes = MatrixNodes(
        {f"{name}_{part}": Array(a, storage=storage) for part, a in zip(CSR_PARTS, arrays, strict=True)}
    )
    nodes.attrs = {f"{name}_format": "csr", f"{name}_shape": np.array(parts.shape, np.int64)}
    if parts.order is not None:
        nodes.extras[f"{name}_order"] = Array(parts.order, storage=storage)
    return nodes


# ---------------------------------------------------------------- reading


def has_matrix(name: str, group: Group) -> bool:
    return name in group.children or f"{name}_data" in group.children


def stored_shape(name: str, group: Group, where: str) -> tuple[int, ...]:
    """The shape of a matrix, without reading it."""
    if name in group.children:
        return tuple(int(n) for n in _data(group, name, where).shape)
    if f"{name}_data" not in group.children:
        raise IOFormatError(f"{where} has neither {name} nor {name}_data")
    return _sparse_shape(name, group, where)


def stored_dtype(name: str, group: Group, where: str) -> np.dtype[Any]:
    """The dtype of a matrix, without reading it."""
    dtype: np.dtype[Any] = _data(group, name if name in group.children else f"{name}_data", where).dtype
    return dtype


def decode_matrix(name: str, group: Group, extras: Group | None, where: str) -> Any:
    """The matrix that is stored under a name. Raises `IOFormatError` for anything that is no matrix."""
    if name in group.children:
        return _materialised(_data(group, name, where))
    if f"{name}_data" not in group.children:
        raise IOFormatError(f"{where} has neither {name} nor {name}_data")
    stated = group.attrs.get(f"{name}_format", "csr")
    if stated != "csr":
        raise IOFormatError(f"{where}: {name}_format is {stated!r}, expected 'csr'")
    shape = _sparse_shape(name, group, where)
    arrays = [_materialised(_data(group, f"{name}_{part}", where)) for part in CSR_PARTS]
    kind = _stored_kind(name, group.attrs, where)
    order_node = extras.children.get(f"{name}_order") if extras is not None else None
    order = _materialised(order_node.data) if isinstance(order_node, Array) and kind.entry_order == "stored" else None
    try:
        return from_csr(shape, arrays[0], arrays[1], arrays[2], kind, order)
    except (ValueError, IndexError, TypeError) as error:
        raise IOFormatError(f"{where}/{name}_*: not a sparse matrix of shape {shape}: {error}") from error


def _data(group: Group, name: str, where: str) -> Any:
    node = group.children.get(name)
    if not isinstance(node, Array) or node.data is None:
        raise IOFormatError(f"{where}: dataset {name} is missing")
    if node.data.dtype.kind not in "biufc":
        raise IOFormatError(f"{where}/{name} holds no numbers: it has the dtype {node.data.dtype}")
    return node.data


def _materialised(data: Any) -> Any:
    return np.asarray(data)


def _sparse_shape(name: str, group: Group, where: str) -> tuple[int, int]:
    shape = np.asarray(group.attrs.get(f"{name}_shape", ()))
    if shape.shape != (2,) or shape.dtype.kind not in "iuf" or (shape < 0).any():
        raise IOFormatError(
            f"{where}: attribute {name}_shape must be the two sizes of the matrix, got {shape.tolist()}"
        )
    return int(shape[0]), int(shape[1])


def _stored_kind(name: str, attrs: dict[str, Any], where: str) -> SparseKind:
    fmt = attrs.get(f"{name}_original_format", "csr")
    order = attrs.get(f"{name}_entry_order", "row")
    if fmt not in FORMATS or order not in ("row", "column", "stored"):
        raise IOFormatError(f"{where}: unknown sparse format {fmt!r} with entries by {order!r}")
    blocks = attrs.get(f"{name}_block_shape")
    block_shape = None if blocks is None else (int(blocks[0]), int(blocks[1]))
    return SparseKind(fmt, attrs.get(f"{name}_original_class") == "array", order, block_shape)


def whole_codes(mask: Any, where: str) -> Any:
    """A mask as int8, whatever number type it was stored in. Raises `IOFormatError` unless it holds mask codes."""
    try:
        check_codes(stored_values(mask))
    except MaskCodeError as error:
        raise IOFormatError(f"{where}: {error}") from error
    return mask if mask.dtype == np.int8 else mask.astype(np.int8)
