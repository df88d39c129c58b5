"""Long traces of samples: sums of blocks, and where a trace rises."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5burst._ext import traces as _ext

_SUMMED = tuple(map(np.dtype, ("i2", "u2", "i4", "i8")))
_COMPARED = tuple(map(np.dtype, ("i4", "i8", "f8")))


def block_sums(samples: NDArray[Any], length: int) -> NDArray[Any]:
    """Sums of consecutive blocks of samples.

    Parameters
    ----------
    samples : (n,) integers or floats
        The trace, in any unit.
    length : int
        Samples of a block, at least one.

    Returns
    -------
    (n // length,) int64 or float64
        int64 for integers, else float64, in the unit of `samples`. An incomplete last block is left out.

    Raises
    ------
    TypeError
        `samples` are not real numbers.
    ValueError
        `samples` are not one-dimensional, or `length` is less than one.
    """
    _check(samples)
    if length < 1:
        raise ValueError(f"length must be at least one, got {length}")
    count = samples.size // length
    if samples.dtype.kind == "f":
        return np.asarray(samples[: count * length].reshape(count, length).sum(axis=1, dtype=np.float64))
    sums = np.empty(count, np.int64)
    _ext.block_sums(_as(samples, _SUMMED, np.int64), length, sums)
    return sums


def rises(samples: NDArray[Any], above: float, out: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find where a trace rises by more than a limit from one sample to the next.

    Parameters
    ----------
    samples : (n,) integers or floats
        The trace, in any unit. Differences of integers are taken in 64 bits.
    above : float
        The limit, in the unit of `samples`; compared in double precision.
    out : (m,) int64
        Contiguous, of at least n - 1 elements; it is overwritten.

    Returns
    -------
    (rises,) int64
        Each k with ``samples[k + 1] - samples[k] > above``, ascending: a view of the first elements of `out`.

    Raises
    ------
    TypeError
        `samples` are not real numbers.
    ValueError
        `samples` are not one-dimensional, or `out` is too short or of another dtype.
    """
    _check(samples)
    if out.dtype != np.int64 or out.ndim != 1 or not out.flags.c_contiguous or out.size < samples.size - 1:
        raise ValueError(f"out must be contiguous int64 of at least {samples.size - 1} elements")
    wide = np.float64 if samples.dtype.kind == "f" else np.int64
    return out[: _ext.rises(_as(samples, _COMPARED, wide), float(above), out)]


def _check(samples: NDArray[Any]) -> None:
    if samples.dtype.kind not in "iuf":
        raise TypeError(f"samples must be integers or floats, got {samples.dtype}")
    if samples.ndim != 1:
        raise ValueError(f"samples must have one dimension, got shape {samples.shape}")


def _as(samples: NDArray[Any], accepted: tuple[np.dtype[Any], ...], otherwise: Any) -> NDArray[Any]:
    """The samples in one of the dtypes that the kernel knows."""
    return np.require(samples, samples.dtype if samples.dtype in accepted else otherwise, ["A", "C"])
