"""Where in a window a unit fires more than in quiet: a scan over all pairs of spikes. Compiled, so imported lazily."""

from __future__ import annotations

import numpy as np

from hdmea.features.arrays import Floats
from hdmea.features.compiling import compiled


@compiled
def highest_segment(times: Floats, window: float, rate: float, shortest: float, most_ends: int) -> Floats:
    """The segment [a, b) whose spikes are least likely those of `rate`: [a, b, its rate], NaN where none exceeds it.

    Over a and b of the spikes' times (or b the window's end) with b - a >= shortest and more spikes than `rate` gives:
    the largest k ln(r / rate) - (r - rate)(b - a), k the spikes in [a, b), r = k / (b - a). Of segments with the same k
    the shortest is the best, so that one logarithm a k is enough. Of more than `most_ends` spikes, only every
    ceil(spikes / most_ends)-th is an end; all count. Source: Kulldorff 1997, Commun Stat Theory Methods 26:1481.

    times: (spikes,) sorted, 0 to `window`, ms; rates: spikes/ms.
    """
    count = len(times)
    found = np.full(3, np.nan)
    step = max(1, -(-count // most_ends)) if count else 1
    ends = np.ascontiguousarray(times[::step])
    starts = len(ends)
    best = 0.0
    for apart in range(1, starts):
        length, at = np.inf, -1
        for i in range(starts - apart):
            between = ends[i + apart] - ends[i]
            if shortest <= between < length:
                length, at = between, i
        spikes = apart * step
        if at >= 0 and spikes > rate * length:
            gain = spikes * np.log(spikes / (rate * length)) - spikes + rate * length
            if gain > best:
                best = gain
                found[0], found[1], found[2] = ends[at], ends[at + apart], spikes / length
    for i in range(starts):
        length = window - ends[i]
        spikes = count - i * step
        if length >= shortest and spikes > rate * length:
            gain = spikes * np.log(spikes / (rate * length)) - spikes + rate * length
            if gain > best:
                best = gain
                found[0], found[1], found[2] = ends[i], window, spikes / length
    return found


def warm_up() -> None:
    """Load or compile the functions of this module for the types that extractors call them with."""
    highest_segment(np.array([1.0, 20.0]), 400.0, 0.01, 10.0, 256)
