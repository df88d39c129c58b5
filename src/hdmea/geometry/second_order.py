"""Second-order receptive fields: where a cell's spikes tell of contrast of either sign, of which averages know nothing.

An ON-OFF cell fires to light and to dark, and its spike-triggered average is zero. What its spikes change is the
variance of the light in its field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5burst import parallel_map
from hdmea.geometry.least_squares import Surface, fit_surface
from hdmea.geometry.robust import Floats

NAN = float("nan")
LAGS = 30  # frames before a spike that are looked at
WIDTH = 6  # frames over which the movie is averaged: about what a cell integrates
BLOB = 1.2  # pixels, SD of the Gaussian along which variance is measured, at every pixel
ALPHA = 0.01
MIN_SPIKES = 100
APART = 3  # windows of `LAGS` frames that shifts stay away from the spikes' own time
SIGMA = (0.3, 6.0)  # bounds of the field's width, in pixels
MAX_OFFSET = 2.0  # of its centre from the eigenvector's largest pixel


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondOrderField:
    """A cell's second-order field; without one all but `z`, `p_value` and `n_spikes` is NaN or 0.

    Attributes
    ----------
    n_spikes
        That count: those whose frames are in the movie.
    z
        The largest change of variance along a Gaussian of 1.2 pixels, over pixels and lags, in SD of shifted spikes.
    p_value
        Part of the shifts of the spikes against the movie whose largest change is as large.
    significant
        p < 0.01.
    sign
        1: more variance before spikes (ON-OFF cells), -1: less (cells that contrast suppresses, or that saturate).
    lag_frames
        From the middle of the frames where it is largest to the spike.
    eigenvalue
        Of that change of the covariance, as part of the movie's variance of a pixel.
    field
        float32 (height, width), its eigenvector: norm 1, the sign that makes the largest pixel positive.
    center_col, center_row, sigma
        Of a round Gaussian fitted to it, pixels.
    reason
        Why there is no field.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import second_order_fields
    >>> movie = np.random.default_rng(0).integers(0, 2, (3000, 9, 9), np.uint8)
    >>> second_order_fields(movie, [np.arange(100, 2900, 7)])[0].significant
    False
    """

    n_spikes: int = 0
    z: float = NAN
    p_value: float = NAN
    significant: bool = False
    sign: int = 0
    lag_frames: float = NAN
    eigenvalue: float = NAN
    field: NDArray[np.float32] = field(repr=False)
    center_col: float = NAN
    center_row: float = NAN
    sigma: float = NAN
    reason: str = ""


def second_order_fields(
    movie: NDArray[Any], trains: Sequence[NDArray[Any]], threads: int | None = None
) -> list[SecondOrderField]:
    """The second-order fields of cells that saw a noise movie.

    Parameters
    ----------
    movie
        (frames, height, width), uint8 or any real dtype.
    trains
        For each cell (spikes,) the frames of its spikes.
    threads
        The result does not depend on it.

    Returns
    -------
    list of SecondOrderField
        One a train.

    Raises
    ------
    ValueError
        The movie does not have three axes, is too short, or does not vary.

    Notes
    -----
    The spike-triggered covariance (Schwartz, Pillow, Rust & Simoncelli 2006, J Vis 6:484), tested along local Gaussians
    instead of along eigenvectors of noise: the variance before spikes less the square of the mean, at every pixel and
    lag, against the same spikes shifted by every number of frames around the movie, which keeps bursts together.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import second_order_fields
    >>> random = np.random.default_rng(0)
    >>> movie = random.integers(0, 2, (6000, 9, 9), np.uint8)
    >>> drive = np.convolve(movie[:, 3:6, 2:5].mean(axis=(1, 2)) - 0.5, np.ones(6))[:6000]
    >>> cell = second_order_fields(movie, [np.flatnonzero(random.random(6000) < drive**2)])[0]
    >>> cell.significant, cell.sign, round(cell.center_col), round(cell.center_row)
    (True, 1, 3, 4)
    """
    seen = _Seen(movie)
    return parallel_map(seen.field_of, list(trains), threads)


class _Seen:
    """The movie as windows of frames, and the transforms of its values along local Gaussians and of their squares."""

    def __init__(self, movie: NDArray[Any]) -> None:
        from scipy.fft import rfft

        if movie.ndim != 3:
            raise ValueError(f"a movie has axes (frames, height, width), got shape {movie.shape}")
        if len(movie) < (2 * APART + 4) * LAGS:
            raise ValueError(f"{len(movie)} frames are too few: at least {(2 * APART + 4) * LAGS} are needed")
        self.shape = movie.shape[1:]
        flat = np.asarray(movie, np.float32).reshape(len(movie), -1)
        flat = flat - flat.mean(axis=0)
        self.variance = float(np.mean(flat**2))
        if not self.variance > 0:
            raise ValueError("the movie does not vary")
        total = np.cumsum(np.concatenate([np.zeros((1, flat.shape[1])), flat], axis=0, dtype=np.float64), axis=0)
        ends = np.arange(1, len(flat) + 1)
        starts = np.maximum(ends - WIDTH, 0)
        # Frame f's window: it and those before it.
        self.windows = ((total[ends] - total[starts]) / (ends - starts)[:, None]).astype(np.float32)
        self.covariance = _covariance(self.windows.astype(np.float64))
        blobs = np.einsum("np,cp->cn", self.windows, _blobs(self.shape))
        self.linear, self.square = rfft(blobs, axis=1), rfft(blobs**2, axis=1)

    def field_of(self, train: NDArray[Any]) -> SecondOrderField:
        """Of one cell."""
        frames = len(self.windows)
        spikes = np.asarray(train, np.int64)
        spikes = spikes[(spikes >= LAGS + WIDTH) & (spikes < frames)]
        empty = np.full(self.shape, np.nan, np.float32)
        if len(spikes) < MIN_SPIKES:
            reason = f"{len(spikes)} spikes, at least {MIN_SPIKES} are needed"
            return SecondOrderField(n_spikes=len(spikes), field=empty, reason=reason)
        changes = self._changes(spikes)
        largest = np.abs(changes).max(axis=0)
        z, null = float(largest[:LAGS].max()), _null(largest)
        p_value = float((1 + (null >= z).sum()) / (1 + len(null)))
        if not p_value < ALPHA:
            reason = f"p {p_value:.2f} of the change of variance is not below {ALPHA:g}"
            return SecondOrderField(n_spikes=len(spikes), z=z, p_value=p_value, field=empty, reason=reason)
        pixel, lag = (int(i) for i in np.unravel_index(np.abs(changes[:, :LAGS]).argmax(), (len(changes), LAGS)))
        return self._significant_field(spikes, z, p_value, int(np.sign(changes[pixel, lag])), lag)

    def _changes(self, spikes: NDArray[np.int64]) -> Floats:
        """Variance along each Gaussian (pixels, frames), spikes so many frames later than the windows, in SD of it."""
        from scipy.fft import irfft, rfft

        frames = len(self.windows)
        counts = np.bincount(spikes, minlength=frames).astype(np.float32) / len(spikes)
        later = rfft(counts)
        # sum over f of counts[f] · value[f − d] for every d, around the movie's end.
        mean = irfft(np.conj(self.linear) * later, frames, axis=1)
        square = irfft(np.conj(self.square) * later, frames, axis=1)
        change = square - mean**2
        quiet = change[:, APART * LAGS : frames - APART * LAGS]
        change -= quiet.mean(axis=1, keepdims=True)
        change /= np.maximum(quiet.std(axis=1, keepdims=True), 1e-30)
        return np.asarray(change)

    def _significant_field(
        self, spikes: NDArray[np.int64], z: float, p_value: float, sign: int, lag: int
    ) -> SecondOrderField:
        windows = self.windows[spikes - lag].astype(np.float64)
        change = _covariance(windows) - self.covariance
        values, vectors = np.linalg.eigh(change)
        at = int(np.argmax(sign * values))
        vector = vectors[:, at] * np.sign(vectors[np.abs(vectors[:, at]).argmax(), at])
        column, row, sigma = _fitted(vector.reshape(self.shape))
        return SecondOrderField(
            n_spikes=len(spikes),
            z=z,
            p_value=p_value,
            significant=True,
            sign=sign,
            lag_frames=lag + (WIDTH - 1) / 2,
            eigenvalue=float(values[at]) / self.variance,
            field=vector.reshape(self.shape).astype(np.float32),
            center_col=column,
            center_row=row,
            sigma=sigma,
        )


def _covariance(values: Floats) -> Floats:
    """Of the columns (n, columns) of values."""
    centred = values - values.mean(axis=0)
    covariance: Floats = np.einsum("ni,nj->ij", centred, centred) / len(values)  # no threads of its own
    return covariance


def _blobs(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Gaussians of norm 1 about each pixel (pixels, pixels)."""
    rows, columns = (part.ravel() for part in np.indices(shape))
    squared = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    blobs = np.exp(-squared / (2 * BLOB**2))
    unit: NDArray[np.float32] = (blobs / np.linalg.norm(blobs, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _null(largest: Floats) -> Floats:
    """The largest change over `LAGS` frames, of shifts that are away from the spikes' own time."""
    windows = np.lib.stride_tricks.sliding_window_view(largest[APART * LAGS : len(largest) - APART * LAGS], LAGS)
    null: Floats = windows.max(axis=1)
    return null


def _fitted(image: Floats) -> tuple[float, float, float]:
    """Column, row and width of a round Gaussian; NaN where the fit does not converge."""
    y, x = (part.ravel().astype(np.float64) for part in np.indices(image.shape))
    row, column = (int(i) for i in np.unravel_index(image.argmax(), image.shape))
    low = [0.0, column - MAX_OFFSET, row - MAX_OFFSET, np.log(SIGMA[0])]
    high = [np.inf, column + MAX_OFFSET, row + MAX_OFFSET, np.log(SIGMA[1])]
    start = [float(image.max()), column, row, np.log(BLOB)]
    fit = fit_surface(Surface.ROUND_GAUSSIAN, x, y, image.ravel(), start, (low, high), max_steps=200)
    if not fit.converged:
        return NAN, NAN, NAN
    _, column_at, row_at, log_sigma = fit.parameters.tolist()
    return column_at, row_at, float(np.exp(log_sigma))
