"""Rows of a CSC matrix that is stored by columns in an `.h5ad` file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from scpstore.io.csr import INDEX_DTYPES, CsrParts, SparseKind
from scpstore.io.csr_decode import from_csr, index_array
from scpstore.io.exceptions import IOFormatError
from scpstore.io.matrices import CSR_PARTS, numbers
from scpstore.io.stored import StoredGroup

_BLOCK_ENTRIES = 1 << 20
_ROWS_TOGETHER = 2  # times as many as of other matrices are read at once: each time all entries are looked through


class ColumnRows:
    """A `RowReader` of the parts `X_data`, `X_indices`, `X_indptr` of CSC: each request looks through all entries.

    `convert` makes values or mask codes of what is read.
    """

    format: str | None = "csc"

    def __init__(
        self,
        stored: StoredGroup,
        shape: tuple[int, int],
        is_array: bool,
        convert: Callable[[Any], Any],
        dtype: np.dtype[Any],
    ) -> None:
        self._stored, self._is_array, self._convert = stored, is_array, convert
        self.shape, self.dtype = shape, dtype
        from h5burst.anndata import Recompressed

        data, places, indptr = self._arrays()
        with self._naming():
            self._by_rows = Recompressed(data, places, np.asarray(indptr), shape[0])
            if self._by_rows.shape != shape:
                raise ValueError(f"indptr is of {self._by_rows.shape[1]} columns")
        row_bytes = data.shape[0] * (data.dtype.itemsize + places.dtype.itemsize) // max(1, shape[0])
        self.row_bytes = max(1, row_bytes // _ROWS_TOGETHER)

    def read(self, start: int, stop: int) -> Any:
        """Rows [start, stop) as CSR."""
        start, stop = (min(max(0, edge), self.shape[0]) for edge in (start, stop))
        return self._taken(range(start, max(start, stop)))

    def read_rows(self, index: np.ndarray[Any, Any]) -> Any:
        """Rows by a list, ascending."""
        return self._taken(index)

    def _taken(self, rows: range | np.ndarray[Any, Any]) -> Any:
        with self._naming():
            data, columns, edges = self._by_rows.take(rows)
        columns = index_array(columns)
        kind = SparseKind("csr", self._is_array, "row")
        csr = from_csr((len(rows), self.shape[1]), data, columns, edges.astype(columns.dtype), kind)
        return self._convert(csr)

    def read_whole(self) -> Any:
        """The whole matrix as CSC."""
        with self._naming():
            data, places, indptr = (np.asarray(part) for part in self._arrays())
            transposed = from_csr(self.shape[::-1], data, places, indptr, SparseKind("csr", self._is_array, "row"))
        matrix = self.empty()
        matrix.data, matrix.indices, matrix.indptr = transposed.data, transposed.indices, transposed.indptr
        return self._convert(matrix)

    def empty(self) -> Any:
        """A matrix of its kind and shape without entries."""
        return (sp.csc_array if self._is_array else sp.csc_matrix)(self.shape, dtype=np.float64)

    def blocks_of_values(self) -> Iterator[np.ndarray[Any, Any]]:
        """All values in the order of the file, checked and converted."""
        data = self._arrays()[0]
        for start in range(0, data.shape[0], _BLOCK_ENTRIES):
            with self._naming():
                part = np.asarray(data[start : start + _BLOCK_ENTRIES])
            yield self._convert(part)

    def datasets(self) -> list[Any] | None:
        """The datasets data, indices and indptr."""
        with self._naming():
            assert self._by_rows.indptr[0] == 0  # all row numbers are looked at
        return self._arrays()

    def csr_parts(self) -> CsrParts:
        """The matrix in the order of rows, read block by block."""
        with self._naming():
            order = None if self._by_rows.is_sorted else self._by_rows.entries("order")
            indptr = self._by_rows.indptr
        data, columns = self._by_rows.entries("data"), self._by_rows.entries("indices")
        index_dtype = columns.dtype if columns.dtype in INDEX_DTYPES else np.dtype(np.int64)
        return CsrParts(
            self.shape,
            Converted(data, self._convert, self.dtype),
            Converted(columns, lambda part: part.astype(index_dtype), index_dtype),
            indptr.astype(index_dtype if indptr[-1] <= np.iinfo(index_dtype).max else np.int64),
            order,
            "column" if order is None else "stored",
        )

    @property
    def kind(self) -> SparseKind:
        """The kind of the matrix."""
        return SparseKind("csc", self._is_array, "column" if self._by_rows.is_sorted else "stored")

    def _arrays(self) -> list[Any]:
        return [numbers(self._stored, f"X_{part}") for part in CSR_PARTS]

    def _naming(self) -> _Naming:
        return _Naming(self._stored)


class _Naming:
    """Damage, and arrays that are not a matrix, as an `IOFormatError` that names the group."""

    def __init__(self, stored: StoredGroup) -> None:
        self._where, self._damage = stored.where, stored.naming_damage()

    def __enter__(self) -> None:
        self._damage.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._damage.__exit__(kind, error, trace)
        if isinstance(error, ValueError) and not isinstance(error, IOFormatError):
            raise IOFormatError(f"{self._where}/X_*: not a sparse matrix: {error}") from error


class Converted:
    """An `ArraySource` whose parts are converted as they are read."""

    def __init__(self, source: Any, convert: Callable[[Any], Any], dtype: np.dtype[Any]) -> None:
        self._source, self._convert = source, convert
        self.shape, self.dtype = source.shape, dtype

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Rows [start, stop)."""
        part: np.ndarray[Any, Any] = self._convert(self._source.read(start, stop))
        return part
