"""Counts of a layer for a page, block by block: values that are missing, by sample and by feature; how they are
distributed; what the mask says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from scpstore.core.matrix import MaskCode, ScpMatrix
from scpstore.core.sources import blocks

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

BINS = 60  # of a histogram
MAP_SHAPE = (120, 240)  # most parts of the map of what is missing
LOG_SPAN = 1000.0  # values that span more than this are binned by their logarithm


@dataclass
class LayerFigures:
    """Of a layer of (samples, features).

    missing: not a finite number, or in a sparse layer not stored; zeros: stored values of 0; per sample and feature.
    median (samples,), mean (features,): of the values that are there, NaN where there is none. counts (bins,) and edges
    (bins + 1,): how often values occur, in logarithmic bins where `log`; zeros are not among them then. by_code: how
    many values each `MaskCode` marks, None without a mask. map: share of values that are there, 0 to 1, by stretches of
    samples and of features.
    """

    shape: tuple[int, int]
    missing: tuple[Ints, Ints]
    zeros: tuple[Ints, Ints]
    median: Floats
    mean: Floats
    low: float
    high: float
    counts: Ints
    edges: Floats
    log: bool
    by_code: dict[str, int] | None
    map: Floats


@dataclass
class _Sums:
    """Sums of the first pass; present: values that are there."""

    present: tuple[Ints, Ints]
    zeros: tuple[Ints, Ints]
    total: Floats
    median: Floats
    map: Floats
    low: float = np.inf
    high: float = -np.inf
    min_positive: float = np.inf
    negative: bool = field(default=False)


def figures_of(layer: ScpMatrix, progress: Callable[[int], None] = lambda rows: None) -> LayerFigures:
    """Go through a layer twice, a block of rows at a time; progress: told the rows of each block."""
    rows, columns = layer.shape
    sums = _first_pass(layer.X, rows, columns, progress)
    log = not sums.negative and np.isfinite(sums.min_positive) and sums.high > LOG_SPAN * sums.min_positive
    edges = _edges(sums, bool(log))
    counts = np.zeros(len(edges) - 1, np.int64)
    for _, values, _, _ in _there(layer.X, progress):
        counts += np.histogram(values, edges)[0]
    missing = (columns - sums.present[0], rows - sums.present[1])
    with np.errstate(invalid="ignore"):
        mean = np.where(sums.present[1] > 0, sums.total / np.maximum(sums.present[1], 1), np.nan)
    return LayerFigures(
        (rows, columns), missing, sums.zeros, sums.median, mean, sums.low, sums.high, counts, edges, bool(log),
        _codes(layer), sums.map,
    )  # fmt: skip


def _there(matrix: Any, progress: Callable[[int], None]) -> Iterator[tuple[int, Floats, Ints, Ints]]:
    """First row of a block, and its finite values in the order of rows, with their row within the block and column."""
    for start, block in blocks(matrix):
        if sp.issparse(block):
            entries = block.tocsr().tocoo()
            values, row, column = entries.data, entries.row, entries.col
        else:
            block = np.asarray(block)
            row, column = np.nonzero(np.isfinite(block))
            values = block[row, column]
        kept = np.isfinite(values)
        progress(block.shape[0])
        yield start, values[kept].astype(np.float64), row[kept].astype(np.int64), column[kept].astype(np.int64)


def _first_pass(matrix: Any, rows: int, columns: int, progress: Callable[[int], None]) -> _Sums:
    height, width = (min(n, most) for n, most in zip((rows, columns), MAP_SHAPE, strict=True))
    sums = _Sums(
        (np.zeros(rows, np.int64), np.zeros(columns, np.int64)),
        (np.zeros(rows, np.int64), np.zeros(columns, np.int64)),
        np.zeros(columns), np.full(rows, np.nan), np.zeros((height, width)),
    )  # fmt: skip
    for start, values, row, column in _there(matrix, progress):
        for of, chosen in ((sums.present, slice(None)), (sums.zeros, values == 0)):
            np.add.at(of[0], row[chosen] + start, 1)
            of[1][:] += np.bincount(column[chosen], minlength=columns)
        sums.total += np.bincount(column, values, columns)
        cell = (row + start) * height // rows * width + column * width // columns
        sums.map += np.bincount(cell, minlength=height * width).reshape(height, width)
        for part in np.split(np.arange(len(row)), np.flatnonzero(np.diff(row)) + 1):
            if len(part):
                sums.median[row[part[0]] + start] = np.median(values[part])
        if len(values):
            sums.low, sums.high = min(sums.low, float(values.min())), max(sums.high, float(values.max()))
            sums.negative |= bool(values.min() < 0)
            sums.min_positive = min(sums.min_positive, float(values[values > 0].min(initial=np.inf)))
    sizes = [
        np.bincount(np.arange(n) * parts // n, minlength=parts) for n, parts in ((rows, height), (columns, width)) if n
    ]
    if len(sizes) == 2:
        sums.map /= np.outer(*sizes)
    return sums


def _edges(sums: _Sums, log: bool) -> Floats:
    if not np.isfinite(sums.low):
        return np.linspace(0.0, 1.0, 2)
    if log:
        return np.asarray(np.geomspace(sums.min_positive, sums.high * (1 + 1e-12), BINS + 1))
    low, high = (sums.low, sums.high) if sums.high > sums.low else (sums.low - 0.5, sums.high + 0.5)
    return np.linspace(low, high, BINS + 1)


def _codes(layer: ScpMatrix) -> dict[str, int] | None:
    """Number of values that each code marks. Codes that a sparse mask does not store are VALID."""
    if layer.M is None:
        return None
    counts = np.zeros(len(MaskCode), np.int64)
    for _, block in blocks(layer.M):
        stored = block.tocsr().data if sp.issparse(block) else np.asarray(block).ravel()
        counts += np.bincount(stored, minlength=len(MaskCode))
        counts[MaskCode.VALID] += block.shape[0] * block.shape[1] - len(stored)
    return {code.name: int(counts[code]) for code in MaskCode}
