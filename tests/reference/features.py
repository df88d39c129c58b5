"""The helpers of the feature extractors, the obvious way."""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares


def bin_counts(trains, bin_samples, bins):
    """Spikes (trials, bins) by np.histogram."""
    edges = np.arange(bins + 1) * bin_samples
    counts = []
    for train in trains:
        inside = np.asarray(train)[(np.asarray(train) >= 0) & (np.asarray(train) < edges[-1])]
        counts.append(np.histogram(inside, edges)[0])
    return np.array(counts, float).reshape(len(trains), bins)


def window_counts(trains, windows):
    """Spikes (trials, windows) by masks."""
    return np.array(
        [[np.sum((np.asarray(t) >= a) & (np.asarray(t) < b)) for a, b in windows] for t in trains], float
    ).reshape(len(trains), len(windows))


def fourier_component(rates, bin_s, frequency_hz):
    """Amplitude and phase against a sine, by one complex sum."""
    times = (np.arange(len(rates)) + 0.5) * bin_s
    component = 2 * np.mean(np.asarray(rates) * np.exp(-2j * np.pi * frequency_hz * times))
    return abs(component), np.angle(component * 1j)


def vector_strength(responses, angles, harmonic):
    """|Σ r exp(i·harmonic·θ)| / Σ r of trial means."""
    mean = np.asarray(responses).mean(axis=0)
    return abs(np.sum(mean * np.exp(1j * harmonic * np.asarray(angles)))) / mean.sum()


def gaussian(parameters, shape):
    """amplitude · exp(…) + offset on a grid."""
    amplitude, x0, y0, sigma_x, sigma_y, offset = parameters
    y, x = np.mgrid[: shape[0], : shape[1]]
    return amplitude * np.exp(-(((x - x0) / sigma_x) ** 2) / 2 - ((y - y0) / sigma_y) ** 2 / 2) + offset


def fit_gaussian(image, start):
    """Parameters and squared residuals by scipy's least squares."""
    found = least_squares(lambda p: (gaussian(p, image.shape) - image).ravel(), start, method="lm")
    return found.x, 2 * found.cost
