"""Correlation of a noise movie with itself, and averages without that correlation.

The spike-triggered average of a correlated movie is the field blurred by the movie's own correlation: too wide in
space, too long in time. White noise has none beyond the frames for which it holds a pattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdmea.geometry.robust import Floats

MAX_PATTERNS, MAX_SIDE = 4096, 64  # of a movie that are looked at: from its start, and about its middle
REACH_PATTERNS, REACH_PIXELS = 12, 8
MIN_PATTERNS = 100  # that tell anything
MIN_CORRELATION = 0.1  # correlation from which on widths are not to be trusted
MIN_SD = 5.0  # and by which it is beyond that of as much white noise
RIDGE = 0.02  # on the movie's variance: what is weaker in the movie than that is not raised


@dataclass(frozen=True, slots=True)
class MovieCorrelation:
    """Correlations of a movie's pixels with their neighbours in time and space, its mean picture removed.

    Attributes
    ----------
    patterns
        (13,) by patterns in between, 1 at 0.
    rows, columns
        (9,) likewise by pixels.
    hold
        Frames for which it shows a pattern.
    noise_sd
        Of a correlation of as much white noise.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import movie_correlation
    >>> movie = np.random.default_rng(0).integers(0, 2, (2000, 15, 15))
    >>> movie_correlation(movie).correlated
    False
    >>> movie_correlation(movie[1:] + movie[:-1]).correlated
    True
    """

    patterns: Floats
    rows: Floats
    columns: Floats
    hold: int
    noise_sd: float

    @property
    def largest(self) -> float:
        """The largest correlation of different patterns or pixels, by its size; with its sign."""
        others = np.concatenate([self.patterns[1:], self.rows[1:], self.columns[1:]])
        return float(others[np.abs(others).argmax()])

    @property
    def correlated(self) -> bool:
        """True where it is above 0.1, and beyond that of as much white noise."""
        return abs(self.largest) > max(MIN_CORRELATION, MIN_SD * self.noise_sd)

    def whitened(self, average: NDArray[Any]) -> Floats:
        """A spike-triggered average without the movie's correlation.

        Parameters
        ----------
        average
            (lags, height, width).

        Returns
        -------
        ndarray
            float64 (lags, height, width): (C + λI)⁻¹ along each axis, C the movie's correlation, λ 0.02.

        Notes
        -----
        Theunissen et al. 2001, Network 12:289. Correlations are taken to be those of time times those of rows times
        those of columns, as in movies that were smoothed.
        """
        whitened = np.asarray(average, np.float64)
        whitened = whitened - whitened.mean(axis=0)
        for axis, (correlation, step) in enumerate(((self.patterns, self.hold), (self.rows, 1), (self.columns, 1))):
            whitened = _undone(whitened, axis, correlation, step)
        return whitened


def movie_correlation(movie: NDArray[Any], hold: int = 1) -> MovieCorrelation:
    """Measure how a movie is correlated with itself, on its first 4096 patterns and the 64 x 64 pixels in its middle.

    Parameters
    ----------
    movie
        (frames, height, width), any real dtype.
    hold
        Frames for which it shows each pattern (`hold_frames`).

    Returns
    -------
    MovieCorrelation
        0 for movies of fewer than 100 patterns, and between pixels that are more than half the picture apart.

    Raises
    ------
    ValueError
        It does not have three axes.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import movie_correlation
    >>> white = np.random.default_rng(0).normal(size=(2000, 15, 16))
    >>> round(float(movie_correlation(white[:, :, 1:] + white[:, :, :-1]).columns[1]), 1)
    0.5
    """
    if np.ndim(movie) != 3:
        raise ValueError(f"a movie has axes (frames, height, width), got shape {np.shape(movie)}")
    first = [max(0, (side - MAX_SIDE) // 2) for side in movie.shape[1:]]
    rows, columns = (slice(one, one + MAX_SIDE) for one in first)
    part = np.asarray(movie[: MAX_PATTERNS * hold : hold, rows, columns], np.float32)
    part = part - part.mean(axis=0)
    power = float(np.einsum("tyx,tyx->", part, part)) / max(part.size, 1)
    few = len(part) < MIN_PATTERNS
    along = [
        np.eye(1, reach + 1)[0] if few else _correlations(np.moveaxis(part, axis, 0), reach, power)
        for axis, reach in enumerate((REACH_PATTERNS, REACH_PIXELS, REACH_PIXELS))
    ]
    return MovieCorrelation(along[0], along[1], along[2], hold, float(np.sqrt(2 / max(part.size, 1))))


def _correlations(part: NDArray[np.float32], reach: int, power: float) -> Floats:
    """Correlation along the first axis by steps in between; 0 where there are none."""
    correlations = np.zeros(reach + 1)
    correlations[0] = 1
    for step in range(1, min(reach, len(part) // 2) + 1):
        product = np.einsum("abc,abc->", part[step:], part[:-step])
        correlations[step] = product / max(part[step:].size * power, 1e-30)
    return correlations


def _undone(average: Floats, axis: int, correlation: Floats, step: int) -> Floats:
    """(C + λI)⁻¹ along an axis, C the correlation of entries that are whole steps apart; as it is without any."""
    if np.abs(correlation[1:]).max() < MIN_CORRELATION / 2:
        return average
    size = average.shape[axis]
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    is_related = (apart % step == 0) & (apart // step < len(correlation))
    matrix = np.where(is_related, correlation[np.minimum(apart // step, len(correlation) - 1)], 0.0)
    inverse = np.linalg.inv(matrix + RIDGE * np.eye(size)) * (1 + RIDGE)
    moved = np.einsum("ij,j...->i...", inverse, np.moveaxis(average, axis, 0))
    return np.moveaxis(moved, 0, axis)
