"""Layers that stay in their file until they are asked for."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import scipy.sparse as sp

from h5burst.model.errors import CorruptFileError
from h5burst.model.tree import Array, Group, Node, Storage
from scpstore.core.exceptions import DimensionError
from scpstore.core.matrix import Matrix, MatrixMetadata, ScpMatrix
from scpstore.io.exceptions import IOFormatError
from scpstore.io.layers import METADATA, decode_mask, decode_metadata
from scpstore.io.matrices import CSR_PARTS, MatrixNodes, decode_matrix, has_matrix, stored_dtype, stored_shape


class LazyMatrix(ScpMatrix):
    """A layer of a file: X, M and metadata are read, each as a whole, when they are first asked for.

    What was read stays in memory until `release`. `read_rows` reads some rows of X and keeps nothing. Saving streams
    what was not read from file to file. When the file changes, reading raises `h5burst.model.errors.StaleFileError`.
    """

    def __init__(self, group: Group, extras: Group | None, where: str) -> None:
        self._group, self._extras, self._where = group, extras, where
        self._shape = stored_shape("X", group, where)
        self._read: dict[str, Any] = {}
        if has_matrix("M", group):
            mask_shape = stored_shape("M", group, where)
            if mask_shape != self._shape:
                raise DimensionError(f"X is {self._shape}, M is {mask_shape}", self._shape, mask_shape)

    def __repr__(self) -> str:
        return f"<LazyMatrix {self._shape} {self._where}, in memory: {list(self._read) or 'nothing'}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyMatrix:
        made = LazyMatrix(self._group, self._extras, self._where)  # nodes of a file do not change
        made._read = deepcopy(self._read, memo)
        return made

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._read["X"].shape) if "X" in self._read else self._shape

    @property
    def X(self) -> Matrix:
        return self._part("X")

    @X.setter
    def X(self, values: Matrix) -> None:
        self._read["X"] = values

    @property
    def M(self) -> Matrix | None:
        return self._part("M")

    @M.setter
    def M(self, codes: Matrix | None) -> None:
        self._read["M"] = codes

    @property
    def metadata(self) -> MatrixMetadata | None:
        found: MatrixMetadata | None = self._part("metadata")
        return found

    @metadata.setter
    def metadata(self, metadata: MatrixMetadata | None) -> None:
        self._read["metadata"] = metadata

    def release(self) -> None:
        """Forget what was read (and what was assigned): it will be read again."""
        self._read.clear()

    def read_rows(self, start: int, stop: int) -> Matrix:
        """Rows [start, stop) of X alone: an array, or a CSR matrix where X is sparse."""
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        stop = max(start, stop)
        if "X" in self._read or "X" in self._group.children:
            values = self._read["X"] if "X" in self._read else self._node("X").data
            if not sp.issparse(values):
                return np.asarray(values[start:stop])
            return values.tocsr()[start:stop]
        data, indices, indptr = (self._node(f"X_{part}").data for part in CSR_PARTS)
        edges = np.asarray(indptr[start : stop + 1]).astype(np.int64)
        first, last = int(edges[0]), int(edges[-1])
        made = sp.csr_matrix((stop - start, self._shape[1]), dtype=np.float64)
        made.data, made.indices = np.asarray(data[first:last]), np.asarray(indices[first:last])
        made.indptr = (edges - first).astype(made.indices.dtype)
        return made

    def stored_as(self, name: str) -> str:
        """What X or M is in the file, in words: "float64", "float32, coo, 1200 entries"; "" where it is not there."""
        if not has_matrix(name, self._group):
            return ""
        dtype = str(stored_dtype(name, self._group, self._where))
        if name in self._group.children:
            return dtype
        fmt = self._group.attrs.get(f"{name}_original_format", "csr")
        return f"{dtype}, {fmt}, {self._node(f'{name}_data').data.shape[0]} entries"

    def stored_nodes(self, name: str, storage: Storage) -> MatrixNodes | None:
        """The nodes of X or M as they lie in the file, to be streamed; None for what must be read to be saved."""
        if name in self._read or not has_matrix(name, self._group):
            return None
        dtype = stored_dtype(name, self._group, self._where)
        if dtype != np.int8 if name == "M" else dtype.kind != "f":
            return None  # of an earlier implementation: to be converted
        names = [name, *(f"{name}_{part}" for part in CSR_PARTS)]
        order = f"{name}_order"
        attrs = {key: value for key, value in self._group.attrs.items() if key.startswith(f"{name}_")}
        return MatrixNodes(
            {n: Array(self._node(n).data, storage=storage) for n in names if n in self._group.children},
            attrs,
            {n: Array(e.data, storage=storage) for n, e in self._extra_arrays() if n == order},
        )

    def stored_metadata(self, storage: Storage) -> Group | None:
        """The metadata as they lie in the file, to be streamed; None where there are none or they were read."""
        found = self._extras.children.get(METADATA) if self._extras is not None else None
        return _streamed(found, storage) if isinstance(found, Group) and "metadata" not in self._read else None

    def _extra_arrays(self) -> list[tuple[str, Array]]:
        children = self._extras.children if self._extras is not None else {}
        return [(name, node) for name, node in children.items() if isinstance(node, Array)]

    def _node(self, name: str) -> Array:
        node = self._group.children.get(name)
        if not isinstance(node, Array):
            raise IOFormatError(f"{self._where}: dataset {name} is missing")
        return node

    def _part(self, name: str) -> Any:
        if name in self._read:
            return self._read[name]
        try:
            found = self._decode(name)
        except CorruptFileError as error:
            raise IOFormatError(f"{self._where}: {error}") from error
        if found is not None:
            self._read[name] = found
        return found

    def _decode(self, name: str) -> Any:
        if name == "metadata":
            return decode_metadata(self._extras, self._where)
        if name == "M":
            return decode_mask(self._group, self._extras, self._where)
        values = decode_matrix("X", self._group, self._extras, self._where)
        return values if values.dtype.kind == "f" else values.astype(np.float64)


def _streamed(group: Group, storage: Storage) -> Group:
    """The same nodes; text and single values, which cannot be streamed, are read."""
    children: dict[str, Node] = {}
    for name, node in group.children.items():
        if isinstance(node, Group):
            children[name] = _streamed(node, storage)
        else:
            whole = node.data is not None and (node.data.dtype == object or not node.data.shape)
            children[name] = Array(np.asarray(node.data) if whole else node.data, node.attrs, storage)
    return Group(children, group.attrs)
