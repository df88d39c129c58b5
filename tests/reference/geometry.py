"""The compiled loops of geometry, the obvious way."""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares, minimize


def second_difference_medians(image):
    """Median over time of |second difference|, by numpy."""
    return np.median(np.abs(np.diff(image, 2, axis=0)), axis=0)


def filtered(image, weights, gain):
    """A banded matrix product."""
    samples, taps = weights.shape
    band = np.zeros((samples, samples + taps - 1))
    for t in range(samples):
        band[t, t : t + taps] = weights[t]
    reach = taps // 2
    return band[:, reach : reach + samples] @ image * gain


def best_rays(image, paths, times, min_steps):
    """Sums along each ray, one step after the other."""
    best, where = np.zeros(len(paths)), np.zeros((len(paths), 4), int)
    for angle, bends in enumerate(paths):
        for bend, path in enumerate(bends):
            for delay, velocities in enumerate(times):
                for velocity, time in enumerate(velocities):
                    steps = np.flatnonzero((path >= 0) & (np.cumsum(time < 0) == 0))
                    values = image[time[steps], path[steps]]
                    if not len(values):
                        continue
                    scores = np.cumsum(values) / np.sqrt(np.maximum(np.arange(len(values)) + 1, min_steps))
                    if scores.max() > best[angle] + 1e-5:
                        best[angle] = scores.max()
                        where[angle] = bend, delay, velocity, steps[scores.argmax()]
    return best, where


def surface(name, p, x, y):
    """The surfaces that are fitted."""
    if name in ("ROUND_GAUSSIAN", "MONOPOLE"):
        square = ((x - p[1]) ** 2 + (y - p[2]) ** 2) / np.exp(p[3]) ** 2
        return p[0] * (np.exp(-square / 2) if name == "ROUND_GAUSSIAN" else (1 + square / 1.6**2) ** -1.5)
    along = np.cos(p[5]) * (x - p[1]) + np.sin(p[5]) * (y - p[2])
    across = np.cos(p[5]) * (y - p[2]) - np.sin(p[5]) * (x - p[1])
    square = (along / np.exp(p[3])) ** 2 + (across / np.exp(p[4])) ** 2
    if name == "GAUSSIANS_DIFFERENCE":
        return p[0] * (np.exp(-square / 2) - p[6] * np.exp(-square / 2 / np.exp(p[7]) ** 2))
    return p[0] * np.exp(-square / 2) + (p[6] if name == "GAUSSIAN_ON_OFFSET" else 0)


def fit_surface(name, x, y, values, start, low, high):
    """Parameters, squares and standard errors by scipy's bounded least squares with numerical derivatives."""
    found = least_squares(
        lambda p: surface(name, p, x, y) - values, start, bounds=(low, high), xtol=1e-12, ftol=1e-12, gtol=1e-12
    )
    variance = 2 * found.cost / (len(values) - len(start))
    return found.x, 2 * found.cost, np.sqrt(np.diag(np.linalg.pinv(found.jac.T @ found.jac)) * variance)


def fit_polynomial(u, v, weights, degree, min_scale, prior, rounds=6):
    """Tukey's reweighting with numpy's least squares."""
    robust = prior.copy()
    for _ in range(rounds):
        root = np.sqrt(weights * robust)
        coefficients = np.linalg.lstsq(np.vander(u, degree + 1, increasing=True) * root[:, None], v * root, rcond=None)[
            0
        ]
        residuals = v - np.polyval(coefficients[::-1], u)
        scale = max(1.4826 * np.median(np.abs(residuals)), min_scale)
        part = np.abs(residuals) / (4.685 * scale)
        robust = prior * np.where(part < 1, (1 - part**2) ** 2, 0)
    return coefficients, robust


def fit_rate(kind, drive, counts, frames, start):
    """The largest Poisson likelihood by scipy's Nelder-Mead."""

    def misses(p):
        if kind == 0:
            rate = np.exp(np.clip(p[0] + p[1] * drive, -30, 30))
        else:
            rate = np.exp(p[0]) / (1 + np.exp(-np.clip(p[1] + p[2] * drive, -30, 30)))
        rate = np.maximum(rate, 1e-9)
        return (frames * rate - counts * np.log(rate)).sum()

    found = minimize(misses, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-7, "maxiter": 4000})
    return found.x, -found.fun
