"""Peri-stimulus time histograms.

Spikes counted in bins, and smoothed. Compiled, so that extractors import it lazily.
"""

from __future__ import annotations

import numpy as np

from hdmea.features.arrays import Floats, Ints
from hdmea.features.compiling import compiled


@compiled
def bin_counts(x: Floats, offsets: Ints, first: float, width: float, bins: int) -> Floats:
    """Spikes (trials, bins) float64 in [first + i·width, first + (i + 1)·width); what is outside does not count.

    x: (spikes,) times, trials end to end; offsets: (trials + 1,) where each trial begins in it.
    """
    trials = len(offsets) - 1
    counts = np.zeros((trials, bins))
    for trial in range(trials):
        for spike in range(offsets[trial], offsets[trial + 1]):
            at = int(np.floor((x[spike] - first) / width))
            if 0 <= at < bins:
                counts[trial, at] += 1
    return counts


@compiled
def smoothed(values: Floats, sigma: float) -> Floats:
    """Rows (rows, bins) smoothed with a Gaussian of `sigma` bins, reflected at both ends (d c b a | a b c d | d c b a).

    The Gaussian is cut at 4 sigma, or at the row's length where that is less, and sums to one. Work is proportional to
    the values that are not zero: spikes are few.
    """
    rows, bins = values.shape
    radius = min(int(4 * sigma + 0.5), bins)
    if radius < 1:
        return np.copy(values)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    out = np.zeros((rows, bins))
    for row in range(rows):
        for at in range(bins):
            value = values[row, at]
            if value == 0:
                continue
            for image in (at, -1 - at, 2 * bins - 1 - at):
                for i in range(max(image - radius, 0), min(image + radius + 1, bins)):
                    out[row, i] += value * kernel[i - image + radius]
    return out


@compiled
def highest_means(values: Floats, ranked: Floats, width: int) -> Floats:
    """Means (trials, rows) of `values` over the `width` bins of each row in which `ranked` is highest.

    values: (trials, rows, bins); ranked: (rows, bins). Of equal bins the earlier ones count; 1 <= width <= bins.
    """
    trials, rows, bins = values.shape
    means = np.zeros((trials, rows))
    chosen = np.empty(width, np.int64)
    for row in range(rows):
        lowest = np.partition(ranked[row], bins - width)[bins - width]
        taken_bins, equal = 0, width - int((ranked[row] > lowest).sum())
        for i in range(bins):
            if ranked[row, i] == lowest:
                equal -= 1
            if ranked[row, i] > lowest or (ranked[row, i] == lowest and equal >= 0):
                chosen[taken_bins] = i
                taken_bins += 1
        for trial in range(trials):
            for at in chosen:
                means[trial, row] += values[trial, row, at]
    return means / width


def warm_up() -> None:
    """Load or compile the functions of this module for the types that extractors call them with."""
    bin_counts(np.zeros(1), np.array([0, 1]), 0.0, 1.0, 1)
    smoothed(np.ones((1, 3)), 1.0)
    highest_means(np.ones((1, 1, 3)), np.ones((1, 3)), 1)
