"""A CSR matrix that comes block by block, kept in unnamed files until it is written."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from scpstore.io.csr import CsrParts

_WRITE_BUFFER = 1 << 20


class SpooledArray:
    """One list of numbers in an unnamed file: appended to, then read by blocks (an `ArraySource`)."""

    def __init__(self, dtype: np.dtype[Any], directory: Path | None) -> None:
        self.dtype = np.dtype(dtype)
        self._file: Any = tempfile.TemporaryFile(dir=directory, buffering=_WRITE_BUFFER)  # noqa: SIM115
        self._lock = threading.Lock()
        self._length = 0

    @property
    def shape(self) -> tuple[int]:
        return (self._length,)

    def append(self, values: np.ndarray[Any, Any]) -> None:
        """Add numbers at the end."""
        self._file.write(np.ascontiguousarray(values, self.dtype).view(np.uint8).data)
        self._length += len(values)

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Numbers [start, stop)."""
        out = np.empty(stop - start, self.dtype)
        with self._lock:
            self._file.flush()
            self._file.seek(start * self.dtype.itemsize)
            done = self._file.readinto(out.view(np.uint8).data) if out.size else 0
            self._file.seek(0, os.SEEK_END)
        if done != out.nbytes:
            raise OSError(f"a temporary file was cut short: {done} of {out.nbytes} bytes")
        return out

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()


class CsrSpool:
    """Takes blocks of rows, gives them as `CsrParts` when all are there."""

    def __init__(self, columns: int, dtype: np.dtype[Any], directory: Path | None) -> None:
        self.columns = columns
        self.rows = 0
        self._data = SpooledArray(dtype, directory)
        self._indices = SpooledArray(np.dtype(np.int32 if columns <= np.iinfo(np.int32).max else np.int64), directory)
        self._counts: list[np.ndarray[Any, Any]] = []

    def append(self, block: Any) -> None:
        """Add rows: sparse of any format, or dense (zeros are left out).

        Raises ValueError for another width, or a dtype that would lose values.
        """
        if block.shape[1] != self.columns:
            raise ValueError(f"a block of {block.shape[1]} columns, expected {self.columns}")
        if not np.can_cast(block.dtype, self._data.dtype, "safe"):
            raise ValueError(f"a block of dtype {block.dtype}, expected {self._data.dtype}")
        if sp.issparse(block):
            rows = block.tocsr()
            count = int(rows.indptr[-1])
            data, indices, counts = rows.data[:count], rows.indices[:count], np.diff(rows.indptr)
        else:  # not by way of scipy, which knows no half precision
            block = np.asarray(block)
            numbers, indices = np.nonzero(block)
            data, counts = block[numbers, indices], np.bincount(numbers, minlength=len(block))
        self._data.append(data)
        self._indices.append(indices)
        self._counts.append(counts)
        self.rows += block.shape[0]

    def parts(self) -> CsrParts:
        """The matrix of all blocks so far."""
        pointers = np.zeros(self.rows + 1, np.int64)
        if self._counts:
            np.cumsum(np.concatenate(self._counts), out=pointers[1:])
        if pointers[-1] <= np.iinfo(np.int32).max:
            pointers = pointers.astype(self._indices.dtype)
        return CsrParts((self.rows, self.columns), self._data, self._indices, pointers)

    def close(self) -> None:
        """Give the disk space back."""
        self._data.close()
        self._indices.close()


class CsrRows:
    """The rows of a spool as a source of CSR blocks, which is written without going through blocks again."""

    format = "csr"

    def __init__(self, spool: CsrSpool) -> None:
        self._parts = spool.parts()
        self.shape = self._parts.shape
        self.dtype = np.dtype(self._parts.data.dtype)

    def csr_parts(self) -> CsrParts:
        """The arrays themselves."""
        return self._parts

    def read(self, start: int, stop: int) -> Any:
        """Rows [start, stop) as a CSR matrix."""
        edges = self._parts.indptr[start : stop + 1]
        first, last = int(edges[0]), int(edges[-1])
        arrays = (self._parts.data.read(first, last), self._parts.indices.read(first, last), edges - edges[0])
        return sp.csr_matrix(arrays, shape=(stop - start, self.shape[1]))


class DenseSpool:
    """Takes blocks of dense rows, gives them as a source of rows when all are there."""

    def __init__(self, columns: int, dtype: np.dtype[Any], directory: Path | None) -> None:
        self.columns = columns
        self.rows = 0
        self.dtype = np.dtype(dtype)
        self._numbers = SpooledArray(dtype, directory)

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.columns

    def append(self, block: Any) -> None:
        """Add rows. Raises ValueError for another width, or a dtype that would lose values."""
        rows = np.asarray(block)
        if rows.ndim != 2 or rows.shape[1] != self.columns:
            raise ValueError(f"a block of shape {rows.shape}, expected {self.columns} columns")
        if not np.can_cast(rows.dtype, self.dtype, "safe"):
            raise ValueError(f"a block of dtype {rows.dtype}, expected {self.dtype}")
        self._numbers.append(np.ascontiguousarray(rows, self.dtype).reshape(-1))
        self.rows += len(rows)

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Rows [start, stop)."""
        return self._numbers.read(start * self.columns, stop * self.columns).reshape(stop - start, self.columns)

    def close(self) -> None:
        """Give the disk space back."""
        self._numbers.close()
