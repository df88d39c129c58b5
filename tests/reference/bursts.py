"""Bursts and clusters of bursts as their definitions say, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import poisson

Train = npt.NDArray[Any]


def by_intervals(
    times: Train, at_start: int, inside: int, between: int, shortest: int, min_spikes: int
) -> list[tuple[int, int]]:
    """Split where an interval is too long; drop what is before an interval that may start; join; drop."""
    intervals = np.diff(times)
    pieces = np.split(np.arange(len(times)), np.flatnonzero(intervals > inside) + 1)
    found: list[list[int]] = []
    for piece in pieces:
        starts = [k for k in piece[:-1] if intervals[k] <= at_start]
        if not starts:
            continue
        if found and times[starts[0]] - times[found[-1][1]] < between:
            found[-1][1] = piece[-1]
        else:
            found.append([starts[0], piece[-1]])
    return [(a, b + 1) for a, b in found if b - a + 1 >= min_spikes and times[b] - times[a] >= shortest]


def surprise(times: Train, first: int, last: int, rate: float) -> float:
    """Of the times first … last, both included."""
    return float(-poisson.logsf(last - first, rate * (times[last] - times[first])))  # P(X > n - 1)


def by_surprise(times: Train, rate: float, threshold: float, min_spikes: int) -> list[tuple[int, int]]:
    found, k, mean = [], 0, 1 / rate
    while k + 2 < len(times):
        if max(times[k + 1] - times[k], times[k + 2] - times[k + 1]) > mean / 2:
            k += 1
            continue
        ends = [k + 2]
        scores = [surprise(times, k, k + 2, rate)]
        while True:
            following = ends[-1] + 1
            best = ends[int(np.argmax(scores))]
            if following == len(times) or following > best + 10 or times[following] - times[following - 1] > 2 * mean:
                break
            ends.append(following)
            scores.append(surprise(times, k, following, rate))
        last = ends[int(np.argmax(scores))]
        starts, scores = [k], [max(scores)]
        while True:
            following = starts[-1] + 1
            best = starts[int(np.argmax(scores))]
            if last - following + 1 < 3 or following > best + 10:
                break
            starts.append(following)
            scores.append(surprise(times, following, last, rate))
        first = starts[int(np.argmax(scores))]
        if max(scores) >= threshold and last - first + 1 >= min_spikes:
            found.append((first, last + 1))
            k = last + 1
        else:
            k += 1
    return found


def linked(onsets: Sequence[Train], delays: npt.NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Pairs of bursts, numbered unit after unit, and how far apart; delays (units, units), negative: not neighbours."""
    starts = np.cumsum([0, *map(len, onsets)])
    found = []
    for u, own in enumerate(onsets):
        for k, onset in enumerate(own):
            for v, other in enumerate(onsets):
                if delays[u, v] < 0 or not len(other):
                    continue
                near = min(range(len(other)), key=lambda m: (abs(int(other[m]) - int(onset)), other[m]))
                if (apart := abs(int(other[near]) - int(onset))) <= delays[u, v]:
                    found.append((int(starts[u]) + k, int(starts[v]) + near, apart))
    return found
