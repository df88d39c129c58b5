"""Binned rates of trains of times, and the frame that is shown at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5burst import parallel_map, split_evenly, thread_count
from h5burst._ext import rates as _ext
from hdmea.kernels.trains import checked_integers, checked_offsets

_TIMES_A_THREAD = 100_000  # below, handing work to a thread costs more than doing it


def bin_count(duration: float, bin_width: float) -> int:
    """Number of bins that cover the time from 0 to `duration`."""
    return math.ceil(round(duration / bin_width, 6))


def firing_rates(
    times: NDArray[Any],
    offsets: NDArray[Any],
    *,
    bin_width: float,
    duration: float,
    rate_hz: float,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Count the times of each train in each bin, multiplied by `rate_hz`.

    Parameters
    ----------
    times : (n,) integers or floats
        All trains one after another, each in any order. NaN is in no bin.
    offsets : (trains + 1,) integers
        Train i is ``times[offsets[i] : offsets[i + 1]]``.
    bin_width, duration : float
        In the unit of `times`.
    rate_hz : float
        Bins in a second: the rate that one time in a bin stands for.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    (trains, bins) float32
        Rates in hertz; `bin_count` says how many bins.

    Raises
    ------
    TypeError
        `times` are not real numbers, or `offsets` not integers.
    ValueError
        `times` or `offsets` are not one-dimensional, `offsets` descend or leave `times`, `bin_width` is not positive,
        `duration` negative, or one of the numbers not finite.

    Notes
    -----
    Equal to ``np.histogram(train, np.arange(bins + 1) * bin_width)[0] * rate_hz``: a bin includes its first edge, the
    last bin also its last edge, and times outside the bins are not counted.
    """
    if not isinstance(times, np.ndarray) or times.dtype.kind not in "iuf":
        raise TypeError("times must be an array of integers or floats")
    if times.ndim != 1:
        raise ValueError(f"times must have one dimension, got shape {times.shape}")
    if not 0 < bin_width < math.inf:
        raise ValueError(f"bin_width must be positive, got {bin_width}")
    if not 0 <= duration < math.inf:
        raise ValueError(f"duration must not be negative, got {duration}")
    if not math.isfinite(rate_hz):
        raise ValueError(f"rate_hz must be finite, got {rate_hz}")
    offsets = checked_offsets(offsets, times.size)
    values = _as_double(times) if times.dtype.kind == "f" else _as_64_bits(times)
    rates = np.zeros((offsets.size - 1, bin_count(duration, bin_width)), np.float32)

    def count(piece: tuple[int, int]) -> None:
        first, last = piece
        scratch = np.empty(rates.shape[1], np.int64)
        _ext.binned(values, offsets[first : last + 1], float(bin_width), float(rate_hz), scratch, rates[first:last])

    if rates.size:
        parallel_map(count, split_evenly(len(rates), _pieces(values.size, threads)), threads)
    return rates


def frames_at(times: NDArray[Any], starts: NDArray[Any], *, threads: int | None = None) -> NDArray[np.int64]:
    """The frame that is shown at each time: the last one that starts at or before it.

    Parameters
    ----------
    times : (n,) integers
        In any order; ascending times are found fastest.
    starts : (frames,) integers
        The time at which each frame starts, in the unit of `times`; ascending, at least one.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    (n,) int64
        Numbers of frames. Times before the first frame give 0, times after the last one its number.

    Raises
    ------
    TypeError
        `times` or `starts` are not integers.
    ValueError
        They are not one-dimensional; `starts` is empty or descends.

    Notes
    -----
    Equal to ``np.clip(np.searchsorted(starts, times, side="right") - 1, 0, len(starts) - 1)`` in exact arithmetic.
    """
    values, frames = _as_64_bits(checked_integers(times, "times")), _as_64_bits(checked_integers(starts, "starts"))
    if frames.size == 0:
        raise ValueError("starts must hold at least one frame")
    if np.any(frames[1:] < frames[:-1]):
        raise ValueError("starts must ascend")
    frames_of = np.empty(values.size, np.int64)
    pieces = split_evenly(values.size, _pieces(values.size, threads))
    parallel_map(lambda piece: _ext.frame_at(values[slice(*piece)], frames, frames_of[slice(*piece)]), pieces, threads)
    return frames_of


def _pieces(size: int, threads: int | None) -> int:
    return min(thread_count(threads), 1 + size // _TIMES_A_THREAD)


def _as_64_bits(values: NDArray[Any]) -> NDArray[Any]:
    return np.require(values, np.uint64 if values.dtype.kind == "u" else np.int64, ["A", "C"])


def _as_double(values: NDArray[Any]) -> NDArray[Any]:
    return np.require(values, np.float64, ["A", "C"])
