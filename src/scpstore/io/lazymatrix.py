"""Layers that stay in their file until they are asked for."""

from __future__ import annotations

from collections import deque
from copy import deepcopy
from typing import Any

import numpy as np

from h5burst import Array, Group, LazyArray, Node, Storage
from scpstore.core.exceptions import DimensionError
from scpstore.core.matrix import MatrixMetadata, ScpMatrix
from scpstore.core.sources import LazyRows, Matrix, blocks
from scpstore.io.layers import METADATA, decode_mask, decode_metadata
from scpstore.io.matrices import (
    CSR_PARTS,
    Target,
    decode_matrix,
    float_values,
    has_matrix,
    stored_dtype,
    stored_shape,
    whole_codes,
)
from scpstore.io.rowreaders import StoredRows
from scpstore.io.stored import StoredGroup

INT8 = np.dtype(np.int8)
_CUT_OTHERWISE = ("bsr", "dia")


class LazyMatrix(ScpMatrix):
    """A layer of a file: X and M are read by rows as they are indexed, metadata when asked for.

    What was read as a whole (by arithmetic, by `load`, by an assignment) stays in memory until `release`. Saving
    streams what was not read from file to file. When the file changes, reading raises
    `h5burst.model.errors.StaleFileError`. `load_hdf5(…, lazy=True)` makes them.

    Parameters
    ----------
    stored
        The layer's group in the file.

    Examples
    --------
    >>> from scptensor import load_hdf5
    >>> layer = load_hdf5("cells.h5", lazy=True).assays["proteins"].layers["X"]
    >>> layer
    <LazyMatrix (3, 2) assays/proteins/layers/X, in memory: nothing>
    >>> layer.read_rows(0, 1)
    array([[1., 2.]])
    """

    def __init__(self, stored: StoredGroup) -> None:
        self._stored = stored
        self._read: dict[str, Any] = {}
        dtype = stored_dtype("X", stored)
        self._rows = {"X": self._reader("X", dtype if dtype.kind == "f" else np.dtype(np.float64))}
        if dtype.kind == "c":
            float_values(np.empty(0, dtype), f"{stored.where}/X")
        self._shape = self._rows["X"].shape
        if has_matrix("M", stored):
            mask_shape = stored_shape("M", stored)
            if mask_shape != self._shape:
                raise DimensionError(f"X is {self._shape}, M is {mask_shape}", self._shape, mask_shape)
            self._rows["M"] = self._reader("M", INT8)

    def __repr__(self) -> str:
        return f"<LazyMatrix {self._shape} {self._stored.where}, in memory: {list(self._read) or 'nothing'}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyMatrix:
        copied = LazyMatrix(self._stored)  # nodes of a file do not change
        copied._read = deepcopy(self._read, memo)
        return copied

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples, features)."""
        return tuple(self._read["X"].shape) if "X" in self._read else self._shape

    @property
    def X(self) -> Matrix:
        return self._values("X")

    @X.setter
    def X(self, values: Matrix) -> None:
        self._read["X"] = values

    @property
    def M(self) -> Matrix | None:
        return self._values("M")

    @M.setter
    def M(self, codes: Matrix | None) -> None:
        self._read["M"] = codes

    @property
    def metadata(self) -> MatrixMetadata | None:
        metadata: MatrixMetadata | None = self.kept("metadata")
        return metadata

    @metadata.setter
    def metadata(self, metadata: MatrixMetadata | None) -> None:
        self._read["metadata"] = metadata

    def load(self) -> LazyMatrix:
        """Read all of it now, to stay in memory until `release`; gives this layer."""
        for name in ("X", "M", "metadata"):
            self.kept(name)
        return self

    def check(self) -> None:
        """Read all of it, a block of rows at a time, and keep nothing.

        Raises
        ------
        IOFormatError
            The file is damaged there.
        """
        for name, rows in self._rows.items():
            if name not in self._read:
                is_cut = rows.format in _CUT_OTHERWISE  # which rows alone do not show
                deque([rows.read_whole()] if is_cut else blocks(LazyRows(rows)), maxlen=0)
                self._check_order(name)
        if "metadata" not in self._read:
            self._decode("metadata")

    def _check_order(self, name: str) -> None:
        """Read the order that entries had, where it is stored."""
        order = self._stored.extra.children.get(f"{name}_order")
        if isinstance(order, Array) and isinstance(order.data, LazyArray):
            with self._stored.naming_damage():
                deque(order.data.iter_blocks(), maxlen=0)

    def release(self) -> None:
        """Forget what was read (and what was assigned): it will be read again."""
        self._read.clear()

    def read_rows(self, start: int, stop: int) -> Matrix:
        """Rows [start, stop) of X alone."""
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        return self._rows["X"].read(start, max(start, stop))

    def in_memory(self, name: str) -> Any:
        """X, M or metadata if it was read or assigned, else None."""
        return self._read.get(name)

    def kept(self, name: str) -> Any:
        """X, M or metadata in memory: read now, unless it was before, and kept.

        Parameters
        ----------
        name
            "X", "M" or "metadata".

        Returns
        -------
        object
            What was read.

        Raises
        ------
        IOFormatError
            The file is damaged there.
        """
        if name in self._read:
            return self._read[name]
        with self._stored.naming_damage():
            value = self._decode(name)
        if value is not None:
            self._read[name] = value
        return value

    def stored_as(self, name: str) -> str:
        """The form of X or M in the file, in words.

        Parameters
        ----------
        name
            "X" or "M".

        Returns
        -------
        str
            Such as "float64" or "float32, coo, 1200 entries"; "" where it is not there.
        """
        if not has_matrix(name, self._stored):
            return ""
        dtype = str(stored_dtype(name, self._stored))
        fmt = self._rows[name].format
        if fmt is None:
            return dtype
        entries = self._stored.plain.children[f"{name}_data"]
        if not isinstance(entries, Array) or entries.data is None:
            return dtype
        return f"{dtype}, {fmt}, {entries.data.shape[0]} entries"

    def stored_nodes(self, name: str, target: Target) -> StoredGroup | None:
        """The nodes of X or M as they are in the file, to be streamed; None for what must be read to be saved.

        Parameters
        ----------
        name
            "X" or "M".
        target
            How they will be stored.

        Returns
        -------
        StoredGroup or None
            Nodes by name.
        """
        if name in self._read or not has_matrix(name, self._stored):
            return None
        dtype = stored_dtype(name, self._stored)
        if dtype != np.int8 if name == "M" else dtype.kind != "f":
            return None  # of an earlier implementation: to be converted
        names = {name, *(f"{name}_{part}" for part in CSR_PARTS)}
        attrs = {key: value for key, value in self._stored.plain.attrs.items() if key.startswith(f"{name}_")}
        plain, extra = self._stored.plain.children, self._stored.extra.children
        return StoredGroup(
            self._stored.where,
            Group({n: self._streamed(n, e.data, target) for n, e in _arrays(plain) if n in names}, attrs),
            Group({n: self._streamed(n, e.data, target) for n, e in _arrays(extra) if n == f"{name}_order"}),
        )

    def _streamed(self, name: str, data: Any, target: Target) -> Array:
        if len(data.shape) == 2:
            return Array(data, storage=target.dense(data.shape))
        is_of_rows = name.endswith("_indptr") or not data.shape
        return Array(data, storage=target.storage if is_of_rows else target.entries(data.shape[0], self._shape[0]))

    def stored_metadata(self, storage: Storage) -> Group | None:
        """The metadata as they are in the file, to be streamed; None where there are none or they were read."""
        metadata = self._stored.extra.children.get(METADATA)
        return _streamed(metadata, storage) if isinstance(metadata, Group) and "metadata" not in self._read else None

    def _reader(self, name: str, dtype: np.dtype[Any]) -> StoredRows:
        where, convert = f"{self._stored.where}/{name}", whole_codes if name == "M" else float_values
        return StoredRows(name, self._stored, lambda part: convert(part, where), dtype, lambda: self.in_memory(name))

    def _values(self, name: str) -> Any:
        if name in self._read or name not in self._rows:
            return self._read.get(name)
        return LazyRows(self._rows[name], lambda: self.kept(name))

    def _decode(self, name: str) -> Any:
        if name == "metadata":
            return decode_metadata(self._stored)
        if name == "M":
            return decode_mask(self._stored)
        return float_values(decode_matrix("X", self._stored), f"{self._stored.where}/X")


def _arrays(children: dict[str, Node]) -> list[tuple[str, Array]]:
    return [(name, node) for name, node in children.items() if isinstance(node, Array)]


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
