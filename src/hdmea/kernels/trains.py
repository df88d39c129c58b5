"""Ragged arrays (values, offsets) of integers, as several kernels take them: the checks that they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_ragged(trains: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The trains as one array, and the offsets at which each begins and ends.

    Parameters
    ----------
    trains : sequence of (n,) integers
        One array a train, in samples.

    Returns
    -------
    values : (sum of all n,) integers
        The trains one after another. Trains of one integer dtype keep it; without any train it is int64.
    offsets : (trains + 1,) int64
        Train i is ``values[offsets[i] : offsets[i + 1]]``.

    Raises
    ------
    TypeError
        A train is not an array of integers, or no integer dtype holds the dtypes of all trains.
    ValueError
        A train is not one-dimensional.
    """
    for train in trains:
        checked_integers(train, "trains")
    offsets = np.zeros(len(trains) + 1, np.int64)
    np.cumsum([train.size for train in trains], out=offsets[1:])
    joined = np.concatenate(trains) if trains else np.empty(0, np.int64)
    return checked_integers(joined, "trains"), offsets


def checked_integers(values: NDArray[Any], name: str) -> NDArray[Any]:
    """`values`, if they are a one-dimensional array of integers.

    Parameters
    ----------
    values : (n,) integers
        The array to check.
    name : str
        What an error calls the array.

    Returns
    -------
    (n,) integers
        The same array.

    Raises
    ------
    TypeError
        `values` are not an array of integers.
    ValueError
        `values` are not one-dimensional.
    """
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu":
        given_type = f"an array of {values.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
        raise TypeError(f"{name} must be an array of integers, got {given_type}")
    if values.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {values.shape}")
    return values


def checked_offsets(offsets: NDArray[Any], size: int) -> NDArray[np.int64]:
    """Offsets of a ragged array as contiguous int64.

    Parameters
    ----------
    offsets : (trains + 1,) integers
        Where each train begins, and where the last one ends.
    size : int
        Number of values that the offsets point into.

    Returns
    -------
    (trains + 1,) int64
        The same numbers.

    Raises
    ------
    TypeError
        `offsets` are not an array of integers.
    ValueError
        `offsets` are not one-dimensional or empty, do not ascend, or are outside [0, size].
    """
    offsets = checked_integers(offsets, "offsets")
    if offsets.size < 1 or offsets[0] < 0 or offsets[-1] > size or np.any(offsets[1:] < offsets[:-1]):
        raise ValueError(f"offsets must be trains + 1 ascending numbers from 0 to {size} at most")
    return np.ascontiguousarray(offsets, np.int64)


def as_int64(values: NDArray[Any]) -> NDArray[np.int64]:
    """The integers as contiguous int64, without a copy where they have 64 bits."""
    if values.dtype in (np.dtype(np.int64), np.dtype(np.uint64)):
        return np.require(values, None, ["A", "C"]).view(np.int64)
    return np.ascontiguousarray(values, np.int64)
