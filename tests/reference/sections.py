"""Trains cut by windows, the obvious way: a boolean mask each, in Python's unbounded integers."""

from __future__ import annotations

import numpy as np


def cut(trains, windows, before=0, after=0):
    """For each train its part of each window, and the sorted union of them without repeats: int64."""
    parts, unions = [], []
    for train in trains:
        times = [int(time) for time in train]
        own = []
        for start, stop in windows.tolist():
            inside = [max(start - before, 0) <= time < min(stop + after, 2**63) for time in times]
            own.append(np.array([time for time, yes in zip(times, inside, strict=True) if yes], np.int64))
        parts.append(own)
        unions.append(np.unique(np.concatenate([np.empty(0, np.int64), *own])))
    return parts, unions
