"""Spike trains in one ragged array, cut by time windows.

Equal to a boolean mask for each train and window, and to `np.unique` of what a train's windows hold, but by binary
search: the trains are checked, and where need be sorted, once (`SortedTrains`), and cut as often as there are sets of
windows.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5burst import parallel_map, split_evenly, thread_count
from h5burst._ext import sections as _ext
from hdmea.kernels.trains import as_int64, checked_integers, checked_offsets

_INT64_MAX = np.iinfo(np.int64).max
_TIMES_A_THREAD = 100_000  # below, handing work to a thread costs more than doing it


@dataclass(frozen=True, slots=True)
class Sections:
    """Parts of each train in each window, as `SortedTrains.cut` gives them.

    Iteration gives each train's `windows` and `union`, train after train.

    Attributes
    ----------
    times : (n,) int64
        The times into which `bounds` point: the array that the trains were made of, unless a train did not ascend.
    bounds : (trains, windows, 2) int64
        Train i's part of window w is ``times[bounds[i, w, 0] : bounds[i, w, 1]]``.
    union_times : (m,) int64
        The times into which `union_bounds` point: the array that the trains were made of where that can be used as
        it is (ascending trains without repeated times, windows without gaps), else a new one.
    union_bounds : (trains, 2) int64
        Train i's times in any window, ascending and without repeats, are
        ``union_times[union_bounds[i, 0] : union_bounds[i, 1]]``.
    """

    times: NDArray[np.int64]
    bounds: NDArray[np.int64]
    union_times: NDArray[np.int64]
    union_bounds: NDArray[np.int64]

    def __iter__(self) -> Iterator[tuple[list[NDArray[np.int64]], NDArray[np.int64]]]:
        """Each train's `windows` and `union`, train after train."""
        times, union_times = self.times, self.union_times
        for windows, (start, stop) in zip(self.bounds.tolist(), self.union_bounds.tolist(), strict=True):
            yield [times[first:last] for first, last in windows], union_times[start:stop]

    def windows(self, train: int) -> list[NDArray[np.int64]]:
        """A train's part of each window."""
        times = self.times
        return [times[start:stop] for start, stop in self.bounds[train].tolist()]

    def union(self, train: int) -> NDArray[np.int64]:
        """A train's times that are in any window, ascending and without repeats."""
        start, stop = self.union_bounds[train].tolist()
        return self.union_times[start:stop]


class SortedTrains:
    """Spike trains as one ragged array (values, offsets).

    Parameters
    ----------
    times : (n,) integers
        In samples; uint64 and int64 are not copied. Negative times, and those that int64 cannot represent, are in no
        window.
    offsets : (trains + 1,) integers
        Train i is ``times[offsets[i] : offsets[i + 1]]``. A train that does not ascend is sorted into a copy, and its
        part of a window keeps the given order.
    threads : int, optional
        The result does not depend on it; see `h5burst.thread_count`.

    Raises
    ------
    TypeError, ValueError
        `times` or `offsets` are not one-dimensional arrays of integers, or `offsets` descend or leave `times`.
    """

    def __init__(self, times: NDArray[Any], offsets: NDArray[Any], *, threads: int | None = None) -> None:
        self._times = as_int64(checked_integers(times, "times"))
        self._offsets = checked_offsets(offsets, self._times.size)
        self._threads = threads
        worthwhile = min(thread_count(threads), 1 + self._times.size // _TIMES_A_THREAD)
        self._pieces = split_evenly(self._offsets.size - 1, worthwhile)
        order = np.empty(self._offsets.size - 1, np.uint8)
        parallel_map(
            lambda piece: _ext.order(self._times, self._part(piece), order[slice(*piece)]), self._pieces, threads
        )
        self._unsorted = np.flatnonzero(order == 0).tolist()
        self._without_repeats = bool((order == 2).all())
        self._ordered = self._times
        if self._unsorted:
            self._ordered = self._times.copy()
            parallel_map(lambda train: self._ordered[self._span(train)].sort(), self._unsorted, threads)

    def __len__(self) -> int:
        return self._offsets.size - 1

    def cut(self, windows: NDArray[Any], before: int = 0, after: int = 0) -> Sections:
        """Each train's times in [start − before, stop + after) of every window (start, stop), from time 0 on.

        Parameters
        ----------
        windows : (n, 2) integers
            In the unit of the times. They may overlap or be out of range; an empty window, or one whose stop is before
            its start, has no times.
        before, after : int
            Margins, in the unit of the times.

        Returns
        -------
        Sections
            The parts of all trains.

        Raises
        ------
        TypeError, ValueError
            `windows` are not integers (n, 2), or a margin is not an integer.
        """
        reach = _padded_windows(windows, before, after)
        bounds = self._find(reach)
        apart = _merged(reach)
        union = self._union(bounds if np.array_equal(apart, reach) else self._find(apart))
        return Sections(self._with_given_order(reach, bounds), bounds, *union)

    def _part(self, piece: tuple[int, int]) -> NDArray[np.int64]:
        return self._offsets[piece[0] : piece[1] + 1]

    def _span(self, train: int) -> slice:
        return slice(int(self._offsets[train]), int(self._offsets[train + 1]))

    def _with_given_order(self, reach: NDArray[np.int64], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
        """The buffer for `bounds`, in which trains that do not ascend are given their parts after all the times."""
        pieces, end = [self._times], self._times.size
        for train in self._unsorted:
            times, counts = self._times[self._span(train)], np.empty(len(reach), np.int64)
            _ext.count_within(times, reach, counts)
            parts_of = np.empty(counts.sum(), np.int64)
            _ext.take_within(times, reach, parts_of)
            bounds[train, :, 1] = end + np.cumsum(counts)
            bounds[train, :, 0] = bounds[train, :, 1] - counts
            pieces.append(parts_of)
            end += parts_of.size
        return np.concatenate(pieces) if self._unsorted else self._times

    def _find(self, reach: NDArray[np.int64]) -> NDArray[np.int64]:
        """The slice (trains, windows, 2) of each train, in ascending order, that falls in each window."""
        bounds = np.empty((len(self), len(reach), 2), np.int64)

        def find(piece: tuple[int, int]) -> None:
            _ext.slices(self._ordered, self._part(piece), reach, bounds[slice(*piece)])

        parallel_map(find, self._pieces, self._threads)
        return bounds

    def _union(self, slices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`union_times` and `union_bounds` of slices that ascend and are apart."""
        if slices.shape[1] == 1 and self._without_repeats:
            return self._ordered, slices[:, 0].copy()
        ends = np.zeros(len(self) + 1, np.int64)

        def count(piece: tuple[int, int]) -> None:
            _ext.count_union(self._ordered, slices[slice(*piece)], ends[piece[0] + 1 : piece[1] + 1])

        if self._without_repeats:
            ends[1:] = (slices[:, :, 1] - slices[:, :, 0]).sum(axis=1)
        else:
            parallel_map(count, self._pieces, self._threads)
        np.cumsum(ends, out=ends)
        times = np.empty(ends[-1], np.int64)

        def take(piece: tuple[int, int]) -> None:
            union = times[ends[piece[0]] : ends[piece[1]]]
            _ext.take_union(self._ordered, slices[slice(*piece)], self._without_repeats, union)

        parallel_map(take, self._pieces, self._threads)
        return times, np.stack([ends[:-1], ends[1:]], axis=1)


def _padded_windows(windows: NDArray[Any], before: int, after: int) -> NDArray[np.int64]:
    """The first and the last time of each window with its margins (n, 2), in exact arithmetic."""
    if not isinstance(windows, np.ndarray) or windows.dtype.kind not in "iu":
        raise TypeError("windows must be an array of integers")
    if windows.ndim != 2 or windows.shape[1] != 2:
        raise ValueError(f"windows must have shape (n, 2), got {windows.shape}")
    margins = _integer(before, "before"), _integer(after, "after")
    reach = np.empty(windows.shape, np.int64)
    for row, (start, stop) in enumerate(windows.tolist()):
        first, last = max(start - margins[0], 0), min(stop + margins[1] - 1, _INT64_MAX)
        reach[row] = (first, last) if first <= last else (0, -1)
    return reach


def _integer(value: int, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None


def _merged(reach: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same times as ascending windows that neither overlap nor touch."""
    merged: list[list[int]] = []
    for first, last in sorted(reach[reach[:, 0] <= reach[:, 1]].tolist()):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return np.array(merged, np.int64).reshape(-1, 2)
