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
    """One list of numbers in an unnamed file: appended to, then read by blocks (a `BlockSource`)."""

    def __init__(self, dtype: np.dtype[Any], folder: Path | None) -> None:
        self.dtype = np.dtype(dtype)
        self._file: Any = tempfile.TemporaryFile(dir=folder, buffering=_WRITE_BUFFER)  # noqa: SIM115
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
        made = np.empty(stop - start, self.dtype)
        with self._lock:
            self._file.flush()
            self._file.seek(start * self.dtype.itemsize)
            done = self._file.readinto(made.view(np.uint8).data) if made.size else 0
            self._file.seek(0, os.SEEK_END)
        if done != made.nbytes:
            raise OSError(f"a temporary file was cut short: {done} of {made.nbytes} bytes")
        return made

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()


class CsrSpool:
    """Takes blocks of rows, gives them as `CsrParts` when all are there."""

    def __init__(self, columns: int, dtype: np.dtype[Any], folder: Path | None) -> None:
        self.columns = columns
        self.rows = 0
        self._data = SpooledArray(dtype, folder)
        self._indices = SpooledArray(np.dtype(np.int32 if columns <= np.iinfo(np.int32).max else np.int64), folder)
        self._counts: list[np.ndarray[Any, Any]] = []

    def append(self, block: Any) -> None:
        """Add rows: sparse of any format, or dense (zeros are left out).

        Raises ValueError for another width, or a dtype that would lose values.
        """
        rows = block.tocsr() if sp.issparse(block) else sp.csr_matrix(np.asarray(block))
        if rows.shape[1] != self.columns:
            raise ValueError(f"a block of {rows.shape[1]} columns, expected {self.columns}")
        if not np.can_cast(rows.dtype, self._data.dtype, "safe"):
            raise ValueError(f"a block of dtype {rows.dtype}, expected {self._data.dtype}")
        count = int(rows.indptr[-1])
        self._data.append(rows.data[:count])
        self._indices.append(rows.indices[:count])
        self._counts.append(np.diff(rows.indptr))
        self.rows += rows.shape[0]

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
