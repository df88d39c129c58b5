"""Onset of a response, beyond the rate in quiet: a scan over all pairs of spikes. Compiled, so imported lazily."""

from __future__ import annotations

import numpy as np

from hdmea.features.arrays import Floats, Ints
from hdmea.features.compiling import compiled


@compiled
def _shortest_from(ends: Floats, apart: int, shortest: float) -> float:
    """The least of ends[i + apart] - ends[i] that is at least `shortest`; infinite where none is.

    Four minima by turns: one alone waits for itself at each step.
    """
    a = b = c = d = np.inf
    count = len(ends) - apart
    for i in range(0, count - 3, 4):
        first, second = ends[i + apart] - ends[i], ends[i + 1 + apart] - ends[i + 1]
        third, fourth = ends[i + 2 + apart] - ends[i + 2], ends[i + 3 + apart] - ends[i + 3]
        a = min(a, first if first >= shortest else np.inf)
        b = min(b, second if second >= shortest else np.inf)
        c = min(c, third if third >= shortest else np.inf)
        d = min(d, fourth if fourth >= shortest else np.inf)
    for i in range(count - count % 4, count):
        last = ends[i + apart] - ends[i]
        a = min(a, last if last >= shortest else np.inf)
    return min(min(a, b), min(c, d))


@compiled
def highest_segment(times: Floats, window: float, rate: float, shortest: float, max_ends: int) -> Floats:
    """The segment [a, b) whose spikes are least likely those of `rate`: [a, b, its rate], NaN where none exceeds it.

    Over a and b of the spikes' times (or b the window's end) with b - a >= shortest and more spikes than `rate` gives:
    the largest k ln(r / rate) - (r - rate)(b - a), k the spikes in [a, b), r = k / (b - a). Of segments with the same k
    the shortest is the best, so that one logarithm a k is enough. Of more than `max_ends` spikes, only every
    ceil(spikes / max_ends)-th is an end; all count. Source: Kulldorff 1997, Commun Stat Theory Methods 26:1481.

    times: (spikes,) sorted, 0 to `window`, ms; rates: spikes/ms.
    """
    count = len(times)
    segment = np.full(3, np.nan)
    step = max(1, -(-count // max_ends)) if count else 1
    ends = np.ascontiguousarray(times[::step])
    starts = len(ends)
    best = 0.0
    for apart in range(1, starts):
        length = _shortest_from(ends, apart, shortest)
        spikes = apart * step
        if length < np.inf and spikes > rate * length:
            gain = spikes * np.log(spikes / (rate * length)) - spikes + rate * length
            if gain > best:
                best, at = gain, 0
                while ends[at + apart] - ends[at] != length:
                    at += 1
                segment[0], segment[1], segment[2] = ends[at], ends[at + apart], spikes / length
    for i in range(starts):
        length = window - ends[i]
        spikes = count - i * step
        if length >= shortest and spikes > rate * length:
            gain = spikes * np.log(spikes / (rate * length)) - spikes + rate * length
            if gain > best:
                best = gain
                segment[0], segment[1], segment[2] = ends[i], window, spikes / length
    return segment


@compiled
def segments_without(
    times: Floats, trial: Ints, rates: Floats, window: float, shortest: float, max_ends: int
) -> Floats:
    """`highest_segment` of all trials but one, for each that may be left out: (trials, 3).

    times: (spikes,) of all trials, sorted; trial: (spikes,) whose each is; rates: (trials,) without each trial.
    """
    segments = np.empty((len(rates), 3))
    for left_out in range(len(rates)):
        segments[left_out] = highest_segment(times[trial != left_out], window, rates[left_out], shortest, max_ends)
    return segments


def warm_up() -> None:
    """Load or compile the functions of this module for the types that extractors call them with."""
    times, trial = np.array([1.0, 20.0]), np.array([0, 1])
    highest_segment(times, 400.0, 0.01, 10.0, 256)
    segments_without(times, trial, np.array([0.01, 0.01]), 400.0, 10.0, 256)
