"""Cells that see white noise: their fields, spikes and spike-triggered averages, with the truth.

Shares no code and no constant with the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

HOLD, GRID, FRAMES = 4, 15, 10800
Y, X = np.mgrid[:GRID, :GRID].astype(float)


@lru_cache(maxsize=2)
def patterns(seed=3):
    """Black and white patterns (2700, 15, 15) as −1 and 1."""
    return np.random.default_rng(seed).integers(0, 2, (FRAMES // HOLD, GRID, GRID)) * 2.0 - 1


def movie(seed=3):
    """The patterns, each for four frames, as 0 and 255."""
    return np.repeat(((patterns(seed) + 1) * 127.5).astype(np.uint8), HOLD, axis=0)


@dataclass
class NoiseCell:
    x: float
    y: float
    wide: float
    narrow: float
    angle: float
    sign: int
    lag: float
    drive: np.ndarray

    @property
    def size(self):
        return np.sqrt(self.wide * self.narrow)


def noise_cell(rng, surround=0.0):
    """A cell with a rotated Gaussian field (minus `surround` of one 2.2 times as wide) and a biphasic time course."""
    x, y = rng.uniform(2, 12, 2)
    wide, narrow, angle = rng.uniform(1.0, 1.6), rng.uniform(0.8, 1.4), rng.uniform(0, np.pi)
    along = np.cos(angle) * (X - x) + np.sin(angle) * (Y - y)
    across = np.cos(angle) * (Y - y) - np.sin(angle) * (X - x)
    square = (along / wide) ** 2 + (across / narrow) ** 2
    field = np.exp(-square / 2) - surround * np.exp(-square / 2 / 2.2**2)
    seconds, peak = np.arange(30) / 60, rng.uniform(0.05, 0.09)

    def lobe(at):
        return (seconds / at * np.exp(1 - seconds / at)) ** 6

    course, sign = lobe(peak) - 0.3 * lobe(2 * peak), int(rng.choice([-1, 1]))
    seen = (patterns().reshape(len(patterns()), -1) @ field.ravel()).repeat(HOLD)
    drive = np.convolve(seen, sign * course)[:FRAMES]
    return NoiseCell(x, y, wide, narrow, angle, sign, peak * 60, drive / drive.std())


RATES = {
    "sigmoid": lambda d: 1 / (1 + np.exp(-1.6 * (d - 2))),
    "exp": lambda d: np.exp(0.8 * d),
    "softplus": lambda d: np.logaddexp(0, 2 * (d - 0.5)),
    "weak": lambda d: np.exp(0.25 * d),
    "half": lambda d: np.exp(0.5 * d),
}


def respond(rng, cell, kind, spikes):
    """Spikes in each frame and their expectation, `spikes` in all on average."""
    rate = RATES[kind](cell.drive)
    rate = rate * spikes / rate.sum()
    return rng.poisson(rate), rate


def noise_spikes(rng, spikes, kind="poisson"):
    """Spikes in each frame of a cell that does not see the movie: even, slowly modulated, or bursting."""
    if kind == "modulated":
        rate = np.exp(np.convolve(rng.standard_normal(FRAMES + 600), np.ones(601) / np.sqrt(601), "valid"))
        return rng.poisson(rate / rate.sum() * spikes)
    if kind == "bursting":
        starts = rng.integers(60, FRAMES - 20, spikes // 5)
        places = (starts[:, None] + rng.integers(0, 8, (len(starts), 5))).ravel()
        return np.bincount(places, minlength=FRAMES)
    return np.bincount(rng.integers(60, FRAMES, spikes), minlength=FRAMES)


def triggered(counts, lags=60, first=0):
    """Average (lags, 15, 15) of the movie before spikes; the last lag shown is `first` frames before the spike's."""
    counts = np.asarray(counts, float).copy()
    counts[: lags + first] = 0
    shifted = np.stack([np.roll(counts, -(lag + first)) for lag in range(lags - 1, -1, -1)])
    by_pattern = shifted.reshape(lags, -1, HOLD).sum(axis=2)
    average = by_pattern @ patterns().reshape(len(patterns()), -1) / max(counts.sum(), 1)
    return (average * 127.5).reshape(lags, GRID, GRID)


def old_field(average):
    """A simple method: a Gaussian along the axes fitted to the lag with the largest value: x, y, σ (geometric mean)."""
    from scipy.optimize import least_squares

    centred = average - average.mean()
    lag, row, column = np.unravel_index(np.abs(centred).argmax(), average.shape)
    image = centred[lag]

    def misses(p):
        height, x, y, sx, sy, offset = p
        return (height * np.exp(-0.5 * (((X - x) / sx) ** 2 + ((Y - y) / sy) ** 2)) + offset - image).ravel()

    found = least_squares(misses, [image[row, column], column, row, 1.5, 1.5, 0], method="lm", max_nfev=400)
    if not found.success:
        return np.nan, np.nan, np.nan
    return found.x[1], found.x[2], np.sqrt(abs(found.x[3] * found.x[4]))
