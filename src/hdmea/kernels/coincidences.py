"""Counts of times of one train that are near times of another, and their distances: all pairs of many trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5burst import parallel_map, split_evenly, thread_count
from h5burst._ext import coincidences as _ext
from hdmea.kernels.trains import as_int64, checked_integers, checked_offsets

Counts = NDArray[np.int64]

_TABLE_CELLS = 1 << 22  # of a train; a window of so few samples is found by merging two trains instead
_TABLES_BYTES = 1 << 20  # that a thread looks into at a time
_MAX_LAGS = 1 << 28


def near_counts(times: NDArray[Any], offsets: NDArray[Any], *, dt: int, threads: int | None = None) -> Counts:
    """Count the times of each train that are within `dt` of a time of each train.

    Parameters
    ----------
    times : (n,) integers
        All trains one after another, each ascending, in samples; equal neighbours count twice.
    offsets : (trains + 1,) integers
        Train i is ``times[offsets[i] : offsets[i + 1]]``.
    dt : int
        In samples, at least 0 and less than 2^30; |difference| <= dt is near.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    (trains, trains) int64
        ``[i, j]``: times of train i that are near a time of train j.

    Raises
    ------
    TypeError
        `times` or `offsets` are not integers.
    ValueError
        `dt` is out of its range, a train descends, or `offsets` do not fit.

    Notes
    -----
    Each train is described by a table of cells of 2 dt + 1 samples: of each, the one gap that is not near. So a time is
    looked up in constant time, and all pairs take trains · n steps.
    """
    values, ends = _ascending(times, offsets)
    if not 0 <= dt < 1 << 30:
        raise ValueError(f"dt must be from 0 to 2^30 - 1 samples, got {dt}")
    trains = ends.size - 1
    near = np.zeros((trains, trains), np.int64)  # [j, i]: times of i near j
    if not values.size:
        return near
    start, width = int(values.min()), 2 * dt + 1
    cells = (int(values.max()) - start) // width + 3
    if cells > _TABLE_CELLS:
        parallel_map(
            lambda j: _ext.near_by_merging(values, ends, values[ends[j] : ends[j + 1]], dt, near[j]),
            range(trains),
            threads,
        )
        return np.asarray(near.T)
    cell, rest = np.empty(values.size, np.uint32), np.empty(values.size, np.uint32)
    _ext.split_times(values, width, start, cell, rest)
    at_once = max(1, min(_TABLES_BYTES // (8 * cells), -(-trains // thread_count(threads))))

    def count(piece: tuple[int, int]) -> None:
        first, last = piece
        tables = np.empty((last - first, cells, 2), np.uint32)
        for j in range(first, last):
            _ext.fill_cells(values[ends[j] : ends[j + 1]], dt, start, tables[j - first])
        _ext.near_by_cells(cell, rest, ends, tables, near[first:last])

    parallel_map(count, split_evenly(trains, -(-trains // at_once)), threads)
    return np.asarray(near.T)


def lag_counts(
    times: NDArray[Any],
    offsets: NDArray[Any],
    *,
    low: int,
    bin_samples: int,
    bins: int,
    pairs: Sequence[tuple[int, int]] | NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> Counts:
    """Cross-correlograms: how many times of a train are how long after times of another.

    Parameters
    ----------
    times : (n,) integers
        All trains one after another, each ascending, in samples; equal neighbours count twice.
    offsets : (trains + 1,) integers
        Train i is ``times[offsets[i] : offsets[i + 1]]``.
    low : int
        The first lag, in samples.
    bin_samples, bins : int
        Lags of bin k: from ``low + k * bin_samples`` on, `bin_samples` of them.
    pairs : (pairs, 2) integers, optional
        Trains (i, j); default all.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    (trains, trains, bins) or (pairs, bins) int64
        Pairs of times (of i, of j) by their lag: the time of j less that of i. A spike and itself are no pair.

    Raises
    ------
    TypeError
        `times` or `offsets` are not integers.
    ValueError
        A train descends, `offsets` do not fit, a bin is empty, there are more than 2^28 lags, or `pairs` name a train
        that is none.
    """
    values, ends = _ascending(times, offsets)
    if bin_samples < 1 or bins < 1 or bin_samples * bins > _MAX_LAGS:
        raise ValueError(f"{bins} bins of {bin_samples} samples: both must be at least 1, and lags 2^28 at most")
    bin_of = np.repeat(np.arange(bins, dtype=np.int32), bin_samples)
    trains = ends.size - 1
    itself = -low // bin_samples if 0 <= -low < bin_of.size else None
    if pairs is not None:
        chosen = np.asarray(pairs, np.int64).reshape(-1, 2)
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < trains):
            raise ValueError(f"pairs name trains from {chosen.min()} to {chosen.max()}; there are {trains}")
        some = np.zeros((len(chosen), bins), np.int64)

        def of_pair(index: int) -> None:
            i, j = chosen[index]
            _ext.lags_of_pair(values[ends[i] : ends[i + 1]], values[ends[j] : ends[j + 1]], low, bin_of, some[index])
            if i == j and itself is not None:
                some[index, itself] -= ends[i + 1] - ends[i]

        parallel_map(of_pair, range(len(chosen)), threads)
        return some
    order = np.argsort(values, kind="stable")
    owners = np.repeat(np.arange(trains, dtype=np.int32), np.diff(ends))[order]
    merged = values[order]
    counts = np.zeros((trains, trains, bins), np.int64)

    def of_trains(piece: tuple[int, int]) -> None:
        for i in range(*piece):
            _ext.lags_to_all(merged, owners, values[ends[i] : ends[i + 1]], low, bin_of, counts[i])
            if itself is not None:
                counts[i, i, itself] -= ends[i + 1] - ends[i]

    parallel_map(of_trains, split_evenly(trains, 8 * thread_count(threads)), threads)
    return counts


def _ascending(times: NDArray[Any], offsets: NDArray[Any]) -> tuple[Counts, Counts]:
    values = as_int64(checked_integers(times, "times"))
    ends = checked_offsets(offsets, values.size)
    values, ends = values[ends[0] : ends[-1]], ends - ends[0]
    falls = np.flatnonzero(values[1:] < values[:-1]) + 1
    if len(within := np.setdiff1d(falls, ends)):
        train = int(np.searchsorted(ends, within[0], side="right")) - 1
        raise ValueError(f"train {train} descends: sort it first")
    return np.ascontiguousarray(values), ends
