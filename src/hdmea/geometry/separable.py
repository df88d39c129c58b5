"""A spike-triggered average as one map in space times one course in time, by turns, with a Gaussian for the space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdmea.geometry.least_squares import Surface, fit_surface
from hdmea.geometry.robust import Bools, Floats

BLUR = np.array([0.6, 1.0, 0.6])


TIME_REACH = 8  # frames about the peak that the map is made of
BASELINE_REACH = 12  # frames from the peak beyond which a pixel's mean is its baseline
# Of the Gaussian:
SPACE_REACH = 4.5  # pixels about the peak that are fitted
SIGMA = (0.4, 4.0)  # bounds of its widths in pixels
MAX_OFFSET = 2.0  # of its centre from the peak in pixels
MIN_AMPLITUDE = 0.2  # part of the peak's value


@dataclass(frozen=True, slots=True)
class Separation:
    """weights: (height, width), the Gaussian's, of norm 1. time: (lags,) weighted sum of the average's pixels, signed.
    space: (height, width) the average's projection on `time` near its peak, over its norm. height: what one unit of
    `space` is at the time's peak, signed: space · height has the average's unit."""

    weights: Floats
    time: Floats
    space: Floats
    height: float


def held_mean(average: Floats, hold: int) -> Floats:
    """Moving mean over `hold` lags.

    Entry i is that of lags i − hold // 2 … i + (hold − 1) // 2; zero beyond the ends.
    """
    padded = np.zeros((len(average) + hold, *average.shape[1:]))
    padded[hold // 2 + 1 : hold // 2 + 1 + len(average)] = average  # a zero first, so that sums begin with none
    sums = np.cumsum(padded, axis=0)
    means: Floats = (sums[hold:] - sums[:-hold]) / hold
    return means


def blurred(average: Floats) -> Floats:
    """3 x 3 weights over the pixels of each lag, over the root of the sum of their squares inside the grid."""
    for axis in (1, 2):
        before, after = [slice(None)] * 3, [slice(None)] * 3
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        sums, squares = BLUR[1] * average, np.full(average.shape[axis], BLUR[1] ** 2)
        sums[tuple(after)] += BLUR[0] * average[tuple(before)]
        sums[tuple(before)] += BLUR[2] * average[tuple(after)]
        squares[1:] += BLUR[0] ** 2
        squares[:-1] += BLUR[2] ** 2
        average = sums / np.sqrt(squares[:, None] if axis == 1 else squares)
    return average


def without_baseline(average: Floats, peak_lag: int, reach: int) -> Floats:
    """Minus each pixel's mean over the lags farther than `reach` from the peak; as it is where there are none."""
    far = np.abs(np.arange(len(average)) - peak_lag) > reach
    return average - average[far].mean(axis=0) if far.any() else average


def separate(average: Floats, peak: tuple[int, int, int]) -> Separation:
    """Space and time of an average (lags, height, width) without baseline, about its peak (lag, row, column)."""
    lags, height, width = average.shape
    lag, row, column = peak
    flat = average.reshape(lags, -1)
    near = np.abs(np.arange(lags) - lag) <= TIME_REACH
    time = average[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].mean(axis=(1, 2))
    used = np.where(near, time, 0.0)
    weights = np.zeros((height, width))
    for _ in range(2):
        space = _projected(used, flat).reshape(height, width)
        weights = _gaussian_weights(space, row, column)
        time = np.einsum("tp,p->t", flat, weights.ravel())
        used = time
    used = np.where(near, time, 0.0)
    norm = float(np.sqrt(used @ used))
    top = float(used[np.abs(used).argmax()])
    space = _projected(used, flat).reshape(height, width)
    return Separation(weights, time, space, top / norm if norm > 0 else 0.0)


def _projected(time: Floats, flat: Floats) -> Floats:
    norm = float(np.sqrt(time @ time))
    projected: Floats = np.einsum("t,tp->p", time, flat) / (norm if norm > 0 else 1.0)
    return projected


def _gaussian_weights(space: Floats, row: int, column: int) -> Floats:
    """The Gaussian fitted to the map about the peak, of norm 1; one of σ 1.2 pixels where the map says nothing."""
    y, x = np.mgrid[: space.shape[0], : space.shape[1]]
    part: Bools = (np.abs(y - row) <= SPACE_REACH) & (np.abs(x - column) <= SPACE_REACH)
    sign = np.sign(space[row, column]) or 1.0
    top = abs(float(space[row, column]))
    wide, offset = np.log(SIGMA), MAX_OFFSET
    start = [max(top, 1e-9), column, row, 0.25, 0.2, 0.3]
    low = [MIN_AMPLITUDE * top + 1e-9, column - offset, row - offset, wide[0], wide[0], -10.0]
    high = [np.inf, column + offset, row + offset, wide[1], wide[1], 10.0]
    if part.sum() < len(start):
        fitted = np.array(start)
    else:
        fit = fit_surface(
            Surface.GAUSSIAN, x[part], y[part], sign * space[part], start, (low, high), max_steps=25, tolerance=1e-4
        )
        fitted = fit.parameters
    weights = gaussian(fitted, space.shape)
    norm = float(np.sqrt((weights**2).sum()))
    return weights / norm if norm > 0 else weights


def gaussian(parameters: Floats, shape: tuple[int, ...]) -> Floats:
    """`Surface.GAUSSIAN` of these parameters at every pixel."""
    amplitude, center_x, center_y, log_along, log_across, theta = parameters[:6]
    y, x = np.indices(shape)
    cosine, sine = np.cos(theta), np.sin(theta)
    along = cosine * (x - center_x) + sine * (y - center_y)
    across = cosine * (y - center_y) - sine * (x - center_x)
    bell: Floats = amplitude * np.exp(-0.5 * ((along / np.exp(log_along)) ** 2 + (across / np.exp(log_across)) ** 2))
    return bell
