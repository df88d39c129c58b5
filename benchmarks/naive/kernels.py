"""Sections and averages around triggers the obvious numpy way: boolean masks and fancy indexing."""

from __future__ import annotations

import numpy as np


def cut(trains: list[np.ndarray], windows: np.ndarray) -> list[tuple[list[np.ndarray], np.ndarray]]:
    """Each train's part of each window, and the union of them."""
    result = []
    for train in trains:
        times = train.astype(np.int64)
        parts = [times[(times >= start) & (times < stop)] for start, stop in windows]
        result.append((parts, np.unique(np.concatenate(parts))))
    return result


def triggered_average(movie: np.ndarray, trains: list[np.ndarray], window: tuple[int, int]) -> np.ndarray:
    """The mean movie around each train's triggers."""
    lags = np.arange(*window)
    means = []
    for train in trains:
        inside = train[(train + window[0] >= 0) & (train + window[1] <= len(movie))]
        means.append(movie[inside[:, None] + lags].mean(axis=0, dtype=np.float64).astype(np.float32))
    return np.array(means)


def firing_rates(trains: list[np.ndarray], width: int, bins: int, rate_hz: float) -> np.ndarray:
    """Counts between bin edges, as a rate."""
    edges = np.arange(bins + 1) * width
    return np.array([(np.histogram(train, edges)[0] * rate_hz).astype(np.float32) for train in trains])
