"""Binned rates and frame look-up, the obvious way."""

from __future__ import annotations

import numpy as np


def firing_rates(trains, bin_width, bins, rate_hz):
    """Counts of `np.histogram` between the bins' edges, times a rate: float32 (trains, bins)."""
    edges = np.arange(bins + 1) * bin_width
    rows = [(np.histogram(train, edges)[0] * rate_hz).astype(np.float32) for train in trains]
    return np.array(rows, np.float32).reshape(len(trains), bins)


def frames_at(times, starts):
    """The last frame that starts at or before each time, one comparison after the other in unbounded integers."""
    found = []
    for time in times.tolist():
        frame = 0
        for number, start in enumerate(starts.tolist()):
            if start <= time:
                frame = number
        found.append(frame)
    return np.array(found, np.int64)
