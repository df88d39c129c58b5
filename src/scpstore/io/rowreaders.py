"""Rows of a matrix that is stored in a file, read as they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from h5burst import LazyArray, as_source
from scpstore.io.csr import IntArray, check_places
from scpstore.io.csr_decode import index_array
from scpstore.io.exceptions import IOFormatError
from scpstore.io.matrices import (
    CSR_PARTS,
    decode_matrix,
    numbers,
    stored_format,
    stored_kind,
    stored_shape,
)
from scpstore.io.stored import StoredGroup

Convert = Callable[[Any], Any]
_POINTERS_BYTES = 1 << 26  # row pointers up to this size are read at once and kept


class StoredRows:
    """A `RowReader` of the dense or sparse matrix under a name.

    `convert` makes values or mask codes of what is read. `in_memory` gives the matrix once it is in memory, else None.
    """

    reads_in_threads = True

    def __init__(
        self, name: str, stored: StoredGroup, convert: Convert, dtype: np.dtype[Any], in_memory: Callable[[], Any]
    ) -> None:
        self._name, self._stored, self._convert, self._in_memory = name, stored, convert, in_memory
        rows, columns = stored_shape(name, stored)
        self.shape = (rows, columns)
        self.dtype = dtype
        self.format = stored_format(name, stored)
        self.row_bytes = columns * self.dtype.itemsize
        if self.format is not None:
            data, places = numbers(stored, f"{name}_data"), numbers(stored, f"{name}_indices")
            entries = max(data.shape, default=0) if data.shape else 0
            self.row_bytes = entries * (data.dtype.itemsize + places.dtype.itemsize) // max(1, rows)
        self._pointers: np.ndarray[Any, Any] | None = None

    def read(self, start: int, stop: int) -> Any:
        """Rows [start, stop): an array, or a CSR matrix."""
        values = self._in_memory()
        if values is not None:
            return (values.tocsr() if sp.issparse(values) else values)[start:stop]
        start, stop = (min(max(0, edge), self.shape[0]) for edge in (start, stop))
        stop = max(start, stop)
        with self._stored.naming_damage():
            if self.format is None:
                return self._convert(np.ascontiguousarray(numbers(self._stored, self._name)[start:stop]))
            return self._convert(self._csr_rows(range(start, stop)))

    def prefetch(self, rows: np.ndarray[Any, Any]) -> bool:
        """Have the system bring dense rows, ascending, into its cache; False where they are not stored as they are."""
        stored = numbers(self._stored, self._name) if self.format is None and self._in_memory() is None else None
        if not isinstance(stored, LazyArray) or stored.dtype != self.dtype:
            return False
        with self._stored.naming_damage():
            return stored.prefetch(rows)

    def read_into(self, rows: np.ndarray[Any, Any], out: np.ndarray[Any, Any]) -> bool:
        """Read dense rows, ascending, into memory of the dtype `dtype`; False where they are not stored so."""
        stored = numbers(self._stored, self._name)
        is_plain = isinstance(stored, LazyArray) and stored.dtype == out.dtype and out.dtype.kind == "f"
        if self._in_memory() is not None or not is_plain:
            return False
        with self._stored.naming_damage():
            stored.read_into(rows, out)
        return True

    def read_whole(self) -> Any:
        """The whole matrix, in its own format."""
        values = self._in_memory()
        if values is not None:
            return values
        with self._stored.naming_damage():
            return self._convert(decode_matrix(self._name, self._stored))

    def datasets(self) -> list[Any] | None:
        """The dataset of a dense matrix; data, indices and indptr of a CSR one, or of a CSC one (which is stored by
        rows) as they are read in the order of columns. None where it is to be read.
        """
        if self._in_memory() is not None or self.format not in (None, "csr", "csc"):
            return None
        names = [self._name] if self.format is None else [f"{self._name}_{part}" for part in CSR_PARTS]
        arrays = [numbers(self._stored, name) for name in names]
        if not all(isinstance(each, LazyArray) for each in arrays):
            return None
        return arrays if self.format != "csc" else self._by_columns(*arrays)

    def _by_columns(self, data: Any, indices: Any, indptr: Any) -> list[Any] | None:
        from h5burst.anndata import Recompressed

        if stored_kind(self._name, self._stored).entry_order != "column" or indptr.shape != (self.shape[0] + 1,):
            return None
        with self._stored.naming_damage():
            try:
                columns = Recompressed(data, indices, np.asarray(indptr), self.shape[1])
                pointers = columns.indptr
            except ValueError as error:
                raise IOFormatError(f"{self._stored.where}/{self._name}_*: not a sparse matrix: {error}") from error
        fits = pointers[-1] <= np.iinfo(indptr.dtype).max
        edges = as_source(pointers.astype(indptr.dtype) if fits else pointers)
        return [columns.entries("data"), columns.entries("indices"), edges]

    def empty(self) -> Any:
        """A sparse matrix of its kind and shape without entries."""
        family = "array" if stored_kind(self._name, self._stored).is_array else "matrix"
        return getattr(sp, f"{self.format}_{family}")(self.shape, dtype=np.float64)

    @property
    def read_rows(self) -> Callable[[np.ndarray[Any, Any]], Any] | None:
        """Rows of a sparse matrix by a list, ascending, of which only the entries are read; None for dense ones."""
        return None if self.format is None or self._in_memory() is not None else self._listed

    def _listed(self, index: np.ndarray[Any, Any]) -> Any:
        with self._stored.naming_damage():
            return self._convert(self._csr_rows(index))

    def _csr_rows(self, index: range | np.ndarray[Any, Any]) -> Any:
        """Some rows, ascending, as CSR."""
        data, indices, indptr = (numbers(self._stored, f"{self._name}_{part}") for part in CSR_PARTS)
        if indptr.shape != (self.shape[0] + 1,) or data.shape != indices.shape or data.ndim != 1:
            raise IOFormatError(f"{self._stored.where}/{self._name}_*: not a sparse matrix of shape {self.shape}")
        starts, stops = self._row_edges(indptr, index)
        begins = not len(index) or index[0] or starts[0] == 0
        ends = not len(index) or index[-1] + 1 < self.shape[0] or stops[-1] == data.shape[0]
        rises = bool((starts <= stops).all() and (stops[:-1] <= starts[1:]).all())
        if not (begins and ends and rises) or (len(index) and not 0 <= starts[0] <= stops[-1] <= data.shape[0]):
            raise IOFormatError(f"{self._stored.where}/{self._name}_indptr does not rise from 0 to {data.shape[0]}")
        family = sp.csr_array if stored_kind(self._name, self._stored).is_array else sp.csr_matrix
        csr = family((len(index), self.shape[1]), dtype=np.float64)
        pointers = np.zeros(len(index) + 1, np.int64)
        np.cumsum(stops - starts, out=pointers[1:])
        if isinstance(index, range):
            entries: Any = slice(int(starts[0]), int(stops[-1])) if len(index) else slice(0, 0)
        else:
            entries = np.repeat(starts - pointers[:-1], np.diff(pointers))
            entries += np.arange(len(entries))
        csr.data, places = _entries(data, entries), _entries(indices, entries)
        try:
            check_places(places, self.shape[1], "column")
        except ValueError as error:
            raise IOFormatError(f"{self._stored.where}/{self._name}_indices: {error}") from error
        csr.indices = index_array(places)
        csr.indptr = pointers.astype(csr.indices.dtype)
        return csr

    def _row_edges(self, indptr: Any, index: range | np.ndarray[Any, Any]) -> tuple[IntArray, IntArray]:
        """The beginnings and the ends of rows among the entries, as int64."""
        if indptr.dtype.kind not in "iu" or numbers(self._stored, f"{self._name}_indices").dtype.kind not in "iu":
            raise IOFormatError(
                f"{self._stored.where}/{self._name}_*: row pointers and column numbers must be integers"
            )
        if self._pointers is None and indptr.size * indptr.dtype.itemsize <= _POINTERS_BYTES:
            self._pointers = np.asarray(indptr)
        pointers = indptr if self._pointers is None else self._pointers
        if isinstance(index, range):
            edges = np.asarray(pointers[index.start : index.stop + 1])
            starts, stops = edges[:-1], edges[1:]
        else:
            starts, stops = np.asarray(pointers[index]), np.asarray(pointers[index + 1])
        if len(stops) and stops.dtype.kind == "u" and max(int(starts.max()), int(stops.max())) > np.iinfo(np.int64).max:
            raise IOFormatError(f"{self._stored.where}/{self._name}_indptr holds {int(stops.max())}")
        return starts.astype(np.int64), stops.astype(np.int64)


def _entries(array: Any, entries: slice | IntArray) -> np.ndarray[Any, Any]:
    """Entries of an array, read or not: a stretch of them, or numbers that ascend."""
    if isinstance(entries, slice) or not isinstance(array, LazyArray):
        return np.asarray(array[entries])
    out = np.empty(len(entries), array.dtype)
    array.read_into(entries, out)
    return out
