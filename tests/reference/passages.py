"""When something bright passes over a pixel, by the definition: slow, and with nothing of the product."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def area_means(movie: npt.NDArray[Any], area: int) -> npt.NDArray[np.float64]:
    """Of each frame and pixel the sum over [place - area // 2, + area), what is outside being 0."""
    before, after = area // 2, area - area // 2
    padded = np.pad(movie.astype(np.float64), ((0, 0), (before, after), (before, after)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (area, area), axis=(1, 2))
    return np.asarray(windows.sum(axis=(3, 4)))[:, : movie.shape[1], : movie.shape[2]]


def passages_of_pixel(trace: npt.NDArray[Any], area: npt.NDArray[np.float64]) -> tuple[int, int] | None:
    """The passage [on, off) that is nearest to where `area` is first largest; None where the trace never rises."""
    values = trace.astype(np.float64)
    rises = np.diff(values, prepend=values[0])
    largest = rises.max()
    if largest <= 0:
        return None
    found: list[tuple[int, int, float]] = []
    on = -1
    for t in range(len(values)):
        if 2 * rises[t] > largest and (on < 0 or rises[t] > rises[on]):
            on = t
        elif on >= 0 and values[t] < values[on] - rises[on] / 2:
            found.append((on, t, rises[on]))
            on = -1
    if on >= 0:
        found.append((on, len(values), rises[on]))
    peak = int(area.argmax()) if area.max() > 0 else 0

    def gap(passage: tuple[int, int, float]) -> int:
        first, stop, _ = passage
        return first - peak if peak < first else max(peak - stop + 1, 0)

    first, stop, _ = min(found, key=lambda passage: (gap(passage), -passage[2], passage[0]))
    return first, stop
