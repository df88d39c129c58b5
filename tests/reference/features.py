"""The helpers of the feature extractors, the obvious way."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d


def bin_counts(trains, first, width, bins):
    """Spikes (trials, bins) by np.histogram, whose last bin is closed: what is on its edge is left out before."""
    edges = first + np.arange(bins + 1) * width
    counts = [np.histogram([x for x in train if edges[0] <= x < edges[-1]], edges)[0] for train in trains]
    return np.array(counts, float).reshape(len(trains), bins)


def smoothed(values, sigma):
    """Each row convolved with a Gaussian that is cut at four sigma, reflected at its ends."""
    return gaussian_filter1d(np.asarray(values, float), sigma, axis=1, mode="reflect", truncate=4.0)


def fourier_sums(trains, start, stop, cycles):
    """Σ exp(-2πi c (x - start)) of each trial, by one complex sum (trials, cycles)."""
    return np.array(
        [[np.sum(np.exp(-2j * np.pi * c * (t[(t >= start) & (t < stop)] - start))) for c in cycles] for t in trains]
    )


def rayleigh(trains, length, shifts, start, width, cycles):
    """2|Σ exp(iφ)|²/n of the spikes in a window, after each trial was rolled by its shift."""
    rolled = np.concatenate([(np.asarray(t) + s) % length for t, s in zip(trains, shifts, strict=True)])
    inside = rolled[(rolled >= start) & (rolled < start + width)]
    return 2 * abs(np.exp(2j * np.pi * cycles * inside).sum()) ** 2 / len(inside) if len(inside) else 0.0


def highest_segment(times, window, rate, shortest, step=1):
    """Begin, end and rate of the segment [a, b) that is least likely at a rate: all pairs of ends, one by one."""
    times = np.asarray(times, float)
    best, found = 0.0, (np.nan, np.nan, np.nan)
    for i in range(0, len(times), step):
        for j in [*range(i + step, len(times), step), len(times)]:
            end = times[j] if j < len(times) else window
            length = end - times[i]
            if length < shortest or not (j - i) / length > rate:
                continue
            gain = (j - i) * np.log((j - i) / length / rate) - ((j - i) / length - rate) * length
            if gain > best:
                best, found = gain, (times[i], end, (j - i) / length)
    return found
