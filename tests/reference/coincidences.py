"""Near times and lags of trains, by comparing every time with every other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Train = npt.NDArray[Any]


def near(train: Train, other: Train, dt: int) -> int:
    return sum(any(abs(int(t) - int(o)) <= dt for o in other) for t in train)


def tiled(train: Train, dt: int, start: int, stop: int) -> int:
    """The length of [start, stop] that is within dt of a time, one sample after another."""
    is_near = np.zeros(stop - start, bool)  # element k: from start + k to start + k + 1
    for t in train:
        is_near[max(int(t) - dt, start) - start : max(min(int(t) + dt, stop) - start, 0)] = True
    return int(is_near.sum())


def sttc(train: Train, other: Train, dt: int, start: int, stop: int) -> float:
    if not (len(train) and len(other)):
        return float("nan")
    terms = []
    for one, two in ((train, other), (other, train)):
        share = near(one, two, dt) / len(one)
        length = tiled(two, dt, start, stop) / (stop - start)
        terms.append(1.0 if share * length == 1 else (share - length) / (1 - share * length))
    return sum(terms) / 2


def lags(train: Train, other: Train, low: int, bin_samples: int, bins: int, *, same: bool) -> list[int]:
    counts = [0] * bins
    for k, t in enumerate(train):
        for m, o in enumerate(other):
            place = (int(o) - int(t) - low) // bin_samples
            if 0 <= place < bins and not (same and k == m):
                counts[place] += 1
    return counts


def merged(trains: Sequence[Train]) -> tuple[Train, Train]:
    """The trains end to end, and the offsets at which each begins and ends."""
    return np.concatenate([np.asarray(one, np.int64) for one in trains]), np.cumsum([0, *map(len, trains)])
