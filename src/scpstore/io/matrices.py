"""One matrix as datasets of its layer's group, and back.

Dense: dataset `{name}`. Sparse: `{name}_data`, `{name}_indices`, `{name}_indptr` as CSR, with attributes of the group:

    {name}_format, {name}_shape                         "csr" and the shape
    {name}_original_format, {name}_original_class       where it was not a csr matrix: "coo" …, "array"
    {name}_entry_order                                  "column", or "stored": then the extras hold `{name}_order`
    {name}_block_shape                                  of a block sparse matrix
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from h5burst import Array, Group, Storage, is_source
from scpstore.core.exceptions import MaskCodeError
from scpstore.core.matrix import check_codes, stored_values
from scpstore.core.sources import blocks, is_sparse_source
from scpstore.io.csr import FORMATS, CsrParts, SparseKind, csr_parts, kind_of
from scpstore.io.csr_decode import from_csr
from scpstore.io.exceptions import IOFormatError, IOWriteError
from scpstore.io.spool import CsrSpool
from scpstore.io.stored import StoredGroup

CSR_PARTS = ("data", "indices", "indptr")
_LARGEST = 2**62


@dataclass(frozen=True)
class Target:
    """Storage of matrices, and where blocks that must be counted first are kept meanwhile.

    chunk_rows: how many rows are compressed together; None: as the engine chooses. Leaving it closes what was kept.
    """

    storage: Storage
    directory: Path | None = None
    chunk_rows: int | None = None
    spools: ExitStack = field(default_factory=ExitStack, repr=False, compare=False)

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *error: object) -> None:
        self.spools.close()

    def dense(self, shape: tuple[int, ...]) -> Storage:
        """Storage of a dense matrix."""
        if self.chunk_rows is None or not all(shape):
            return self.storage
        return replace(self.storage, chunks=(min(self.chunk_rows, shape[0]), *shape[1:]))

    def entries(self, count: int, rows: int) -> Storage:
        """Storage of the entries of a sparse matrix."""
        if self.chunk_rows is None or not count:
            return self.storage
        return replace(self.storage, chunks=(min(count, max(1, -(-count * self.chunk_rows // max(1, rows)))),))


# ---------------------------------------------------------------- writing


def encode_matrix(name: str, values: Any, target: Target, where: str) -> StoredGroup:
    """A group with a dense or sparse matrix or a source. Raises `IOWriteError` for anything that has no form."""
    if sp.issparse(values):
        return _encode_sparse(name, values, target, where)
    if is_sparse_source(values):
        nodes = csr_nodes(name, source_parts(values, target), target, where)
        kind = getattr(getattr(values, "reader", None), "kind", None)
        if kind is not None:
            nodes.plain.attrs |= _kind_attrs(name, kind)
        return nodes
    if not is_source(values):
        if isinstance(values, np.ma.MaskedArray):
            raise IOWriteError(f"{where}/{name} is a masked array: fill it first, and say in M what is missing")
        values = np.asarray(values)
        if values.dtype == object:
            raise IOWriteError(f"{where}/{name} is an array of Python objects: convert it to numbers first")
        if values.dtype.kind not in "biufc":
            raise IOWriteError(f"{where}/{name} is not an array of numbers: it has the dtype {values.dtype}")
    return StoredGroup(where, Group({name: Array(values, storage=target.dense(values.shape))}))


def source_parts(source: Any, target: Target) -> CsrParts:
    """The CSR arrays of a source: its own, where it has them, else those of its blocks, which are read once."""
    if hasattr(source, "csr_parts"):
        parts: CsrParts = source.csr_parts()
        return parts
    spool = CsrSpool(int(source.shape[1]), np.dtype(source.dtype), target.directory)
    target.spools.enter_context(closing(spool))
    for _, block in blocks(source):
        spool.append(block)
    return spool.parts()


def _encode_sparse(name: str, matrix: Any, target: Target, where: str) -> StoredGroup:
    if matrix.dtype.kind not in "biufc":
        raise IOWriteError(f"{where}/{name} is not a matrix of numbers: it has the dtype {matrix.dtype}")
    try:
        parts = csr_parts(matrix)
    except ValueError as error:
        raise IOWriteError(
            f"{where}/{name} is not a {matrix.format} matrix of shape {matrix.shape}: {error}"
        ) from error
    kind = kind_of(matrix, parts)
    nodes = csr_nodes(name, parts, target, where)
    nodes.plain.attrs |= _kind_attrs(name, kind)
    return nodes


def _kind_attrs(name: str, kind: SparseKind) -> dict[str, Any]:
    """The attributes of a matrix that was not a csr matrix."""
    attrs: dict[str, Any] = {}
    if kind.format != "csr":
        attrs[f"{name}_original_format"] = kind.format
    if kind.is_array:
        attrs[f"{name}_original_class"] = "array"
    if kind.entry_order != "row":
        attrs[f"{name}_entry_order"] = kind.entry_order
    if kind.block_shape is not None:
        attrs[f"{name}_block_shape"] = np.array(kind.block_shape, np.int64)
    return attrs


def csr_nodes(name: str, parts: CsrParts, target: Target, where: str) -> StoredGroup:
    """A group with CSR arrays."""
    nodes = StoredGroup(where)
    of_entries = target.entries(int(parts.data.shape[0]), parts.shape[0])
    for part, array in zip(CSR_PARTS, (parts.data, parts.indices, parts.indptr), strict=True):
        storage = target.storage if part == "indptr" else of_entries
        nodes.plain.children[f"{name}_{part}"] = Array(array, storage=storage)
    nodes.plain.attrs = {f"{name}_format": "csr", f"{name}_shape": np.array(parts.shape, np.int64)}
    if parts.order is not None:
        nodes.extra.children[f"{name}_order"] = Array(parts.order, storage=of_entries)
    return nodes


# ---------------------------------------------------------------- reading


def has_matrix(name: str, stored: StoredGroup) -> bool:
    """True where a matrix is stored under a name."""
    return name in stored.plain.children or f"{name}_data" in stored.plain.children


def stored_shape(name: str, stored: StoredGroup) -> tuple[int, ...]:
    """The shape of a matrix, without reading it."""
    if name in stored.plain.children:
        return tuple(int(n) for n in numbers(stored, name).shape)
    _check_format(name, stored)
    return _sparse_shape(name, stored)


def stored_dtype(name: str, stored: StoredGroup) -> np.dtype[Any]:
    """The dtype of a matrix, without reading it."""
    dtype: np.dtype[Any] = numbers(stored, name if name in stored.plain.children else f"{name}_data").dtype
    return dtype


def stored_format(name: str, stored: StoredGroup) -> str | None:
    """The sparse format that a matrix was saved from; None for a dense one."""
    return None if name in stored.plain.children else stored_kind(name, stored).format


def decode_matrix(name: str, stored: StoredGroup) -> Any:
    """The matrix that is stored under a name. Raises `IOFormatError` for anything that is not a matrix."""
    if name in stored.plain.children:
        return np.asarray(numbers(stored, name))
    _check_format(name, stored)
    shape, kind = _sparse_shape(name, stored), stored_kind(name, stored)
    arrays = [np.asarray(numbers(stored, f"{name}_{part}")) for part in CSR_PARTS]
    order = stored.extra_value(f"{name}_order") if kind.entry_order == "stored" else None
    try:
        return from_csr(shape, arrays[0], arrays[1], arrays[2], kind, order)
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise IOFormatError(f"{stored.where}/{name}_*: not a sparse matrix of shape {shape}: {error}") from error


def _check_format(name: str, stored: StoredGroup) -> None:
    if f"{name}_data" not in stored.plain.children:
        raise IOFormatError(f"{stored.where} has neither {name} nor {name}_data")
    stated = stored.text(f"{name}_format", "csr")
    if stated != "csr":
        raise IOFormatError(f"{stored.where}: {name}_format is {stated!r}, expected 'csr'")


def numbers(stored: StoredGroup, name: str) -> Any:
    """The data of a dataset, read or not. Raises `IOFormatError` unless it holds numbers."""
    node = stored.plain.children.get(name)
    if not isinstance(node, Array) or node.data is None:
        raise IOFormatError(f"{stored.where}: dataset {name} is missing")
    if node.data.dtype.kind not in "biufc":
        raise IOFormatError(f"{stored.where}/{name} holds no numbers: it has the dtype {node.data.dtype}")
    return node.data


def _sizes(stored: StoredGroup, attribute: str, least: int) -> tuple[int, int] | None:
    """An attribute of two whole numbers; None where there is none, `IOFormatError` for one that holds anything else."""
    value = stored.plain.attrs.get(attribute)
    if value is None:
        return None
    sizes = np.asarray(value)
    fits = sizes.shape == (2,) and sizes.dtype.kind in "iuf" and bool(np.isfinite(sizes).all())
    if not fits or any(size < least or size > _LARGEST or size != int(size) for size in sizes.tolist()):
        given_value = f"{sizes.dtype} of shape {sizes.shape}" if sizes.size > 2 else repr(sizes.tolist())
        raise IOFormatError(f"{stored.where}: attribute {attribute} must be two whole numbers, got {given_value}")
    return int(sizes[0]), int(sizes[1])


def _sparse_shape(name: str, stored: StoredGroup) -> tuple[int, int]:
    shape = _sizes(stored, f"{name}_shape", 0)
    if shape is None:
        raise IOFormatError(
            f"{stored.where}: attribute {name}_shape must be the two sizes of the matrix: it is missing"
        )
    return shape


def stored_kind(name: str, stored: StoredGroup) -> SparseKind:
    """The kind of a sparse matrix when it was saved. Raises `IOFormatError` for a format or order that there is not."""
    fmt = stored.text(f"{name}_original_format", "csr")
    order = stored.text(f"{name}_entry_order", "row")
    if fmt not in FORMATS or order not in ("row", "column", "stored"):
        raise IOFormatError(f"{stored.where}: unknown sparse format {fmt!r} with entries by {order!r}")
    is_array = stored.text(f"{name}_original_class", "matrix") == "array"
    return SparseKind(fmt, is_array, order, _sizes(stored, f"{name}_block_shape", 1))  # type: ignore[arg-type]


def whole_codes(mask: Any, where: str) -> Any:
    """A mask as int8, stored in any number type. Raises `IOFormatError` unless it holds mask codes."""
    try:
        check_codes(stored_values(mask))
    except MaskCodeError as error:
        raise IOFormatError(f"{where}: {error}") from error
    return mask if mask.dtype == np.int8 else mask.astype(np.int8)


def float_values(values: Any, where: str) -> Any:
    """Values as floats. Raises `IOFormatError` for complex numbers, which would lose a part."""
    if values.dtype.kind == "c":
        raise IOFormatError(f"{where} holds complex numbers ({values.dtype}), which are not values of a layer")
    return values if values.dtype.kind == "f" else values.astype(np.float64)
