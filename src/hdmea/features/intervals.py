"""Statistics of the intervals between spikes, and how much of a unit is not of one neuron."""

from __future__ import annotations

import numpy as np

from hdmea.features.arrays import Floats, Ints

NAN = float("nan")

VIOLATION_S = 0.0015  # refractory period: an interval that no single neuron makes
CENSORED_S = 0.0005  # spikes closer than this cannot be told apart by the sorter
BURST_S = 0.010
MINUTE_S = 60.0


def local_variability(intervals: Floats, windows: Ints) -> dict[str, float]:
    """`cv2` and `lv` over all pairs of neighbouring intervals of the same window but pairs of zeros; NaN without one.

    CV2 = mean of 2|I' - I| / (I' + I) (Holt, Softky, Koch & Douglas 1996, J Neurophysiol 75:1806); LV = mean of
    3((I' - I) / (I' + I))² (Shinomoto, Shima & Tanji 2003, Neural Comput 15:2823). Both are 1 for a Poisson unit.

    intervals: (intervals,) s; windows: (intervals,) the window that each is of.
    """
    total = intervals[1:] + intervals[:-1]
    kept = (windows[1:] == windows[:-1]) & (total > 0)  # spikes of one and the same sample are not intervals
    contrast = (intervals[1:] - intervals[:-1])[kept] / total[kept]
    if not len(contrast):
        return {"cv2": NAN, "lv": NAN}
    return {"cv2": float(2 * np.abs(contrast).mean()), "lv": float(3 * (contrast**2).mean())}


def burst_index(isi_s: Floats, rate_hz: float) -> float:
    """Share of intervals below 10 ms, over that of a Poisson unit of the same rate; NaN without intervals."""
    if not len(isi_s) or not rate_hz > 0:
        return NAN
    return float((isi_s < BURST_S).mean() / -np.expm1(-rate_hz * BURST_S))


def presence_ratio(samples: Ints, rate: float, duration_s: float) -> float:
    """Share of the whole minutes of a recording that have a spike; NaN of less than a minute.

    samples: (spikes,); rate: samples a second.
    """
    minutes = int(duration_s / MINUTE_S + 1e-9)
    if not minutes:
        return NAN
    minute = np.floor_divide(samples, round(MINUTE_S * rate))
    return len(np.unique(minute[minute < minutes])) / minutes


def contamination_hill(samples: Ints, rate: float, duration_s: float) -> float:
    """Share of spikes that are not of the unit, from intervals below the refractory period.

    The smaller solution F of violations = 2 (τ_R - τ_C) N² F (1 - F) / T (Hill, Mehta & Kleinfeld 2011, J Neurosci
    31:8699); 0.5, the most that it can tell, where there are more violations than any F explains. NaN without spikes.

    samples: (spikes,) sorted; rate: samples a second.
    """
    count = len(samples)
    if not (count and duration_s > 0):
        return NAN
    violations = int((np.diff(samples) < VIOLATION_S * rate).sum())
    share = violations * duration_s / (2 * (VIOLATION_S - CENSORED_S) * count**2)
    return float((1 - np.sqrt(1 - 4 * share)) / 2) if share <= 0.25 else 0.5


def contamination_llobet(samples: Ints, rate: float, duration_s: float) -> float:
    """Share of spikes that are not of the unit, from all pairs of spikes within the refractory period.

    1 - √(1 - n (T - 2 N τ_C) / (N² (τ_R - τ_C))), n the pairs, contamination by spikes that are independent of the
    unit's (Llobet, Wyngaard & Barbour 2022, bioRxiv 2022.02.08.479192); 1 where the root has no real value, NaN
    without spikes.

    samples: (spikes,) sorted; rate: samples a second.
    """
    count = len(samples)
    if not (count and duration_s > 0):
        return NAN
    refractory, censored = (round(seconds * rate) for seconds in (VIOLATION_S, CENSORED_S))
    if refractory <= censored:
        return NAN
    first = np.flatnonzero(np.diff(samples) <= refractory)  # of a pair at least; few spikes have such a neighbour
    until = np.searchsorted(samples, samples[first] + refractory, side="right")
    pairs = int((until - first - 1).sum())
    inside = 1 - pairs * (duration_s * rate - 2 * count * censored) / (count**2 * (refractory - censored))
    return float(1 - np.sqrt(inside)) if inside >= 0 else 1.0
