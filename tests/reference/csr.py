"""Compressed sparse rows, the obvious way: one element at a time."""

from __future__ import annotations

import numpy as np


def encode(dense):
    """data, indices and indptr of a dense matrix: every element that is not equal to zero, row by row."""
    rows, indices, indptr = [], [], [0]
    for row in dense:
        columns = [column for column, value in enumerate(row) if value != 0]
        rows.append(row[columns])
        indices += columns
        indptr.append(len(indices))
    data = np.concatenate([np.empty(0, dense.dtype), *rows]).astype(dense.dtype)
    return data, np.array(indices, np.int64), np.array(indptr, np.int64)


def decode(data, indices, indptr, columns):
    """The dense matrix: zeros to which every entry is added."""
    dense = np.zeros((len(indptr) - 1, columns), data.dtype)
    for row in range(len(dense)):
        for entry in range(indptr[row], indptr[row + 1]):
            dense[row, indices[entry]] = dense[row, indices[entry]] + data[entry]
    return dense
