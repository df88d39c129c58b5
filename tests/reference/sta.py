"""The average of a movie around trigger frames, the obvious way: one window after the other."""

from __future__ import annotations

import numpy as np


def triggered_average(movie, trains, window):
    """Means (trains, window, …) float32 and counts: integers in Python's unbounded arithmetic, floats in double."""
    low, high = window
    exact = movie.dtype.kind in "bui"
    means, counts = [], []
    for train in trains:
        total = np.zeros((high - low, *movie.shape[1:]), object if exact else np.float64)
        count = 0
        for trigger in (int(trigger) for trigger in train):
            if trigger + low >= 0 and trigger + high <= len(movie):
                part = movie[trigger + low : trigger + high]
                with np.errstate(invalid="ignore", over="ignore"):
                    total = total + (part.astype(object) * 1 if exact else part.astype(np.float64))
                count += 1
        means.append(total.astype(np.float64) / count if count else np.full(total.shape, np.nan))
        counts.append(count)
    with np.errstate(over="ignore"):
        single = np.array(means, np.float64).astype(np.float32)
    return single.reshape(len(trains), high - low, *movie.shape[1:]), np.array(counts, np.int64)
