"""Sparse matrices, and matrices that are not in memory: of files, and dask's."""

from __future__ import annotations

import os
from typing import Any

import anndata
import h5py
import numpy as np
import scipy.sparse as sp

from h5burst.anndata import encodings as spec
from h5burst.anndata.arrays import DenseArray, data_of
from h5burst.anndata.elements import Decoder, Element, Encoder, group_of, register
from h5burst.anndata.sources import SlicedRows, Streamed
from h5burst.model.errors import CorruptFileError
from h5burst.model.tree import Array, Group, Node, Storage, UnsupportedValueError
from h5burst.read.files import read_tree


@register
class Csr(Element):
    """A matrix of compressed rows."""

    name, version = "csr_matrix", "0.1.0"
    types = (sp.csr_matrix, sp.csr_array)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        if value.data.dtype.kind not in "biufc":
            raise UnsupportedValueError(f"a sparse matrix of {value.dtype}", where)
        parts = {name: _source(getattr(value, name), where) for name in spec.SPARSE_PARTS}
        return sparse_node(type(self), value.shape, parts, encoder.growing)

    def decode(self, node: Any, where: str, decoder: Decoder) -> Any:
        return sparse_matrix(node, self.name[:3])


@register
class Csc(Csr):
    """A matrix of compressed columns."""

    name = "csc_matrix"
    types = (sp.csc_matrix, sp.csc_array)


@register
class Stored(Element):
    """A dataset or a sparse matrix that h5py has open: it is read from its file while it is written."""

    def takes(self, value: Any) -> bool:
        is_sparse = (
            type(value).__module__.startswith("anndata.") and hasattr(value, "group") and hasattr(value, "format")
        )
        return isinstance(value, h5py.Dataset) or is_sparse

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        opened = value if isinstance(value, h5py.Dataset) else value.group
        node = stored_node(opened.file.filename, opened.name, encoder.growing)
        if node is None:
            raise UnsupportedValueError(f"{opened.name} of {opened.file.filename}, which is not in that file", where)
        return node


@register
class StreamedArray(Element):
    """A source of rows: it is read while it is written."""

    types = (Streamed,)

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        return DenseArray.marked(Array(_source(value, where)))


@register
class Dask(Element):
    """A dask array: dense ones are computed block by block as they are written, sparse ones whole."""

    def takes(self, value: Any) -> bool:
        return hasattr(type(value), "dask") and hasattr(type(value), "compute")

    def encode(self, value: Any, where: str, encoder: Encoder) -> Node:
        if not isinstance(value._meta, np.ndarray) or value.dtype.kind not in "biufc" or not value.shape:
            return encoder.encode(value.compute(), where)
        return DenseArray.marked(Array(SlicedRows(value)))


def _source(values: Any, where: str) -> Any:
    if not isinstance(values, Streamed):
        return np.asarray(values)
    if values.source is None:
        raise UnsupportedValueError("a part of a matrix that is to be streamed", where)
    return values.source


def sparse_node(kind: type[Csr], shape: Any, parts: dict[str, Any], growing: Storage) -> Group:
    """The group of a sparse matrix. parts: the data of its arrays; growing: their storage."""
    children: dict[str, Node] = {name: DenseArray.marked(Array(data, {}, growing)) for name, data in parts.items()}
    return kind.marked(Group(children, {spec.SHAPE: np.array(shape, np.int64)}))


def sparse_matrix(node: Node, form: str) -> Any:
    """A CSR or CSC matrix, or array where anndata's settings say so. Raises ValueError for anything else."""
    if form not in ("csr", "csc"):
        raise ValueError(f"a sparse matrix of the format {form!r}")
    is_array = getattr(getattr(anndata, "settings", None), "use_sparse_array_on_read", False)  # not before 0.11
    kind = getattr(sp, f"{form}_{'array' if is_array else 'matrix'}")
    stored_shape = node.attrs.get(spec.SHAPE, node.attrs.get("h5sparse_shape"))
    children = group_of(node).children
    shape = tuple(int(length) for length in np.asarray(stored_shape).reshape(-1))
    data, indices, indptr = (data_of(children[part]) for part in spec.SPARSE_PARTS)
    if len(shape) != 2 or any(part.ndim != 1 for part in (data, indices, indptr)):
        raise ValueError(f"a sparse matrix of the shape {shape}, with parts of other than one axis")
    matrix = kind(shape, dtype=data.dtype)
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    matrix.check_format(full_check=True)
    return matrix


def stored_node(path: str | os.PathLike[str], name: str, growing: Storage) -> Node | None:
    """A matrix of a file, to be read as it is written; None where there is none.

    growing: for the arrays of a sparse one. Raises UnsupportedValueError for one that is neither CSR nor CSC,
    CorruptFileError for one of which a part is missing.
    """
    node = spec.matrix_of(read_tree(path, lazy=True), name)
    if node is None:
        return None
    if isinstance(node, Array):
        return DenseArray.marked(Array(node.data))
    form = next((kind.name[:3] for kind in (Csr, Csc) if kind.is_of(node)), None)
    form = form or spec.text_of(node.attrs.get("h5sparse_format", ""))  # of a file from before the encodings
    if form not in ("csr", "csc"):
        raise UnsupportedValueError(f"a sparse matrix of the format {form!r} in {os.fspath(path)}", name)
    parts = {}
    for part in spec.SPARSE_PARTS:
        stored = node.children.get(part)
        if not isinstance(stored, Array):
            raise CorruptFileError(path, f"/{name}: its dataset {part!r} is missing", [(f"/{name}", part)])
        parts[part] = stored.data
    shape = node.attrs.get(spec.SHAPE, node.attrs.get("h5sparse_shape"))
    return sparse_node(Csr if form == "csr" else Csc, shape, parts, growing)


def is_left(node: Node) -> bool:
    """True for a matrix of numbers that is dense, CSR or CSC, with all its parts: it can stay in its file."""
    if isinstance(node, Array):
        return node.data is not None and len(node.data.shape) == 2 and node.data.dtype.kind in "biuf"
    parts = [node.children.get(part) for part in spec.SPARSE_PARTS]
    shape = np.asarray(node.attrs.get(spec.SHAPE, ()))
    is_whole = all(isinstance(part, Array) and part.data is not None for part in parts)
    return (Csr.is_of(node) or Csc.is_of(node)) and is_whole and shape.shape == (2,) and shape.dtype.kind in "iu"


def shape_of(node: Node) -> tuple[int, ...]:
    """The shape of a matrix that `is_left`."""
    stored: Any = node.data.shape if isinstance(node, Array) else np.asarray(node.attrs[spec.SHAPE])  # type: ignore[union-attr]
    return tuple(int(length) for length in stored)
