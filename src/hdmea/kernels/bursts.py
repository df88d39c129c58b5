"""Bursts of trains of times, and bursts of many trains that began near each other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5burst._ext import bursts as _ext
from hdmea.kernels.trains import as_int64, checked_integers, checked_offsets

Slices = NDArray[np.int64]


def interval_bursts(
    times: NDArray[Any], *, at_start: int, inside: int, between: int, shortest: int = 0, min_spikes: int = 2
) -> Slices:
    """Bursts by the lengths of their intervals, the maximum-interval method.

    Parameters
    ----------
    times : (n,) integers
        Ascending, in samples.
    at_start, inside : int
        A burst begins with an interval of at most `at_start` samples, and goes on while they are at most `inside`.
    between : int
        Bursts that are less than so many samples apart, from the last spike to the first, are one.
    shortest, min_spikes : int
        Bursts of fewer samples from the first spike to the last, or of fewer spikes, are none;
        looked at last.

    Returns
    -------
    (bursts, 2) int64
        Half-open slices of `times`, ascending.

    Raises
    ------
    TypeError
        `times` are not integers.
    ValueError
        They have another number of axes, or descend.
    """
    values = _train(times)
    out = np.empty((values.size // 2 + 1, 2), np.int64)
    return out[: _ext.by_intervals(values, at_start, inside, between, shortest, min_spikes, out)]


def surprise_bursts(
    times: NDArray[Any], *, rate: float, threshold: float, min_spikes: int = 3
) -> tuple[Slices, NDArray[np.float64]]:
    """Bursts that a Poisson train would not have, the Poisson-surprise method.

    Parameters
    ----------
    times : (n,) integers
        Ascending, in samples.
    rate : float
        Times that are expected in a sample; positive.
    threshold : float
        Least surprise of a burst, -ln of a probability.
    min_spikes : int
        Least number of spikes of a burst.

    Returns
    -------
    bursts : (bursts, 2) int64
        Half-open slices of `times`, ascending.
    surprise : (bursts,) float64
        Of each.

    Raises
    ------
    TypeError
        `times` are not integers.
    ValueError
        They have another number of axes, or descend, or `rate` is not positive.
    """
    values = _train(times)
    _check_rate(rate)
    out, surprise = np.empty((values.size // 3 + 1, 2), np.int64), np.empty(values.size // 3 + 1)
    count = _ext.by_surprise(values, float(rate), float(threshold), min_spikes, out, surprise)
    return out[:count], surprise[:count]


def surprises(times: NDArray[Any], bursts: Slices, *, rate: float, given: int = 0) -> NDArray[np.float64]:
    """The Poisson surprise of each burst: -ln P(X >= its spikes), X Poisson of mean rate · duration.

    Parameters
    ----------
    times : (n,) integers
        Ascending, in samples.
    bursts : (bursts, 2) int64
        Half-open slices of `times`, none of them empty.
    rate : float
        Times that are expected in a sample; positive.
    given : int
        Spikes of each burst that are not counted, as one that is there anyway.

    Returns
    -------
    (bursts,) float64
        Infinite for several spikes of one sample.

    Raises
    ------
    TypeError
        `times` are not integers.
    ValueError
        They have another number of axes, or descend, a burst is not in them, or `rate` is not positive.
    """
    values = _train(times)
    _check_rate(rate)
    slices = np.ascontiguousarray(bursts, np.int64).reshape(-1, 2)
    if slices.size and not (slices.min() >= 0 and slices.max() <= values.size and np.all(slices[:, 0] < slices[:, 1])):
        raise ValueError(f"bursts must be slices, none empty, of {values.size} times")
    out = np.empty(len(slices))
    _ext.surprises(values, slices, float(rate), given, out)
    return out


class Neighbours:
    """Pairs of neighbouring units, and how long after each other their onsets may be to belong together.

    Parameters
    ----------
    units : int
        How many there are.
    first, second : (pairs,) integers
        Units that are neighbours of each other, each pair once.
    delays : (pairs,) integers
        The largest difference of onsets, in samples.
    """

    def __init__(self, units: int, first: NDArray[Any], second: NDArray[Any], delays: NDArray[Any]) -> None:
        both = np.concatenate([first, second]).astype(np.int64)
        others = np.concatenate([second, first]).astype(np.int32)
        if both.size and not (both.min() >= 0 and both.max() < units):
            raise ValueError(f"pairs name units from {both.min()} to {both.max()}; there are {units}")
        order = np.lexsort((others, both))
        self.links = np.searchsorted(both[order], np.arange(units + 1))
        self.units = np.ascontiguousarray(others[order])
        self.delays = np.concatenate([delays, delays]).astype(np.int64)[order]


def linked_counts(onsets: NDArray[Any], offsets: NDArray[Any], neighbours: Neighbours) -> NDArray[np.int32]:
    """To how many neighbouring units each burst is linked.

    A burst is linked to a neighbouring unit where the onset of that unit's that is nearest in time (the earlier of two
    equally near) is within the delay of the two units.

    Parameters
    ----------
    onsets : (bursts,) integers
        In samples, unit after unit, those of a unit ascending and all different.
    offsets : (units + 1,) integers
        Unit u has ``onsets[offsets[u] : offsets[u + 1]]``.
    neighbours : Neighbours
        Of these units.

    Returns
    -------
    (bursts,) int32
        Numbers of units.

    Raises
    ------
    TypeError
        `onsets` or `offsets` are not integers.
    ValueError
        `offsets` do not fit `onsets` or `neighbours`.
    """
    values, ends = _checked(onsets, offsets, neighbours)
    out = np.empty(values.size, np.int32)
    _ext.count_linked(values, ends, neighbours.links, neighbours.units, neighbours.delays, out)
    return out


def clusters(
    onsets: NDArray[Any], offsets: NDArray[Any], neighbours: Neighbours, is_core: NDArray[Any]
) -> NDArray[np.int32]:
    """The cluster that each burst is of.

    Core bursts are of one cluster with the core bursts that they are linked to, as of `linked_counts`. Another burst is
    of that of the core burst, among those that it is linked to, that is nearest in time (of equally near ones that of
    the unit of the smallest number), or of none.

    Parameters
    ----------
    onsets, offsets, neighbours
        As of `linked_counts`.
    is_core : (bursts,) bool
        Which bursts are core.

    Returns
    -------
    (bursts,) int32
        The first core burst of the cluster, which names it; -1 for a burst of none.

    Raises
    ------
    TypeError
        `onsets` or `offsets` are not integers.
    ValueError
        The lengths do not fit each other.
    """
    values, ends = _checked(onsets, offsets, neighbours)
    core = np.ascontiguousarray(is_core, np.uint8)
    if core.shape != values.shape:
        raise ValueError(f"is_core has the shape {core.shape}, onsets have {values.shape}")
    out = np.empty(values.size, np.int32)
    _ext.join_linked(values, ends, neighbours.links, neighbours.units, neighbours.delays, core, out)
    return out


def _checked(onsets: NDArray[Any], offsets: NDArray[Any], neighbours: Neighbours) -> tuple[Slices, Slices]:
    values = as_int64(checked_integers(onsets, "onsets"))
    ends = checked_offsets(offsets, values.size)
    if ends.size != neighbours.links.size or ends[0] != 0 or ends[-1] != values.size:
        raise ValueError(f"offsets {ends.shape} must cover {values.size} onsets of {neighbours.links.size - 1} units")
    return values, ends


def _train(times: NDArray[Any]) -> NDArray[np.int64]:
    values = as_int64(checked_integers(times, "times"))
    if np.any(values[1:] < values[:-1]):
        raise ValueError("times must ascend")
    return values


def _check_rate(rate: float) -> None:
    if not 0 < rate < math.inf:
        raise ValueError(f"rate must be positive, got {rate}")
