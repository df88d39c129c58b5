"""Measures of the waves of a recording, taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdmea.spontaneous.trains import NAN, Floats
from hdmea.spontaneous.waves import Wave


@dataclass(frozen=True)
class Rayleigh:
    """Rayleigh's test of directions.

    Attributes
    ----------
    count : int
        Directions.
    length : float
        Length of the mean of their unit vectors, from 0 to 1; NaN without one.
    direction_deg : float
        Of that mean; NaN without a direction.
    p_value : float
        Of a length as large where directions are uniform; NaN without a direction.

    Examples
    --------
    >>> from hdmea.spontaneous import rayleigh_test
    >>> rayleigh_test([0.0, 180.0]).length < 1e-15
    True
    """

    count: int
    length: float
    direction_deg: float
    p_value: float


def rayleigh_test(directions_deg: Sequence[float] | Floats) -> Rayleigh:
    """Rayleigh's test of directions against uniformity.

    Parameters
    ----------
    directions_deg : (n,) float
        Degrees; NaN are left out.

    Returns
    -------
    Rayleigh
        Mean direction and p-value.

    Notes
    -----
    p = exp(√(1 + 4 n + 4 (n² - R²)) - (1 + 2 n)) with R = n · length. Source: Zar 1999, Biostatistical Analysis, 4th
    ed., eq. 27.4, after Greenwood & Durand 1955.

    Examples
    --------
    >>> from hdmea.spontaneous import rayleigh_test
    >>> found = rayleigh_test([80, 90, 100, 95, 85])
    >>> round(found.direction_deg), found.p_value < 0.01
    (90, True)
    """
    angles = np.asarray(directions_deg, np.float64)
    angles = np.radians(angles[np.isfinite(angles)])
    count = len(angles)
    if not count:
        return Rayleigh(0, NAN, NAN, NAN)
    east, north = float(np.cos(angles).mean()), float(np.sin(angles).mean())
    length = float(min(np.hypot(east, north), 1.0))
    p = float(np.exp(np.sqrt(1 + 4 * count + 4 * count**2 * (1 - length**2)) - (1 + 2 * count)))
    return Rayleigh(count, length, float(np.degrees(np.arctan2(north, east)) % 360), min(p, 1.0))


def wave_measures(waves: Sequence[Wave], *, spikes: int, units: int, duration_s: float) -> dict[str, float]:
    """Measures of the waves of a recording.

    Parameters
    ----------
    waves : sequence of Wave
        Of one recording, in the order of their starts.
    spikes, units : int
        Spikes of all units, and active units, of the recording.
    duration_s : float
        Its length.

    Returns
    -------
    dict
        `wave_count`; `wave_rate_per_min`; `wave_interval_s`, the median time from the start of a wave to that of the
        next, and `wave_interval_cv`, standard deviation (n - 1) by mean; medians over waves `wave_duration_s`,
        `wave_units`, `wave_unit_share`, `wave_area_mm2`, `wave_speed_um_s` (over those with a fitted front);
        `wave_fitted_share`, waves with a fitted front; `wave_spike_share`, spikes in waves of all; `wave_coverage`,
        share of the active units that took part in a wave at least once; `wave_direction_deg`,
        `wave_direction_length`, `wave_direction_p_value` of `rayleigh_test`. NaN: what needs more waves than there are.

    Examples
    --------
    >>> from hdmea.spontaneous import wave_measures
    >>> found = wave_measures([], spikes=100, units=60, duration_s=600)
    >>> found["wave_count"], found["wave_spike_share"], found["wave_interval_s"]
    (0.0, 0.0, nan)
    """
    count = len(waves)
    intervals = np.diff([wave.start_s for wave in waves]) if count > 1 else np.empty(0)
    bias = rayleigh_test([wave.direction_deg for wave in waves])
    reached = np.unique(np.concatenate([wave.units for wave in waves])) if count else np.empty(0)
    cv = float(intervals.std(ddof=1) / intervals.mean()) if len(intervals) > 1 and intervals.mean() > 0 else NAN
    return {
        "wave_count": float(count),
        "wave_rate_per_min": 60.0 * count / duration_s,
        "wave_interval_s": _median(intervals),
        "wave_interval_cv": cv,
        "wave_duration_s": _median([wave.duration_s for wave in waves]),
        "wave_units": _median([len(wave.units) for wave in waves]),
        "wave_unit_share": _median([wave.unit_share for wave in waves]),
        "wave_area_mm2": _median([wave.area_mm2 for wave in waves]),
        "wave_speed_um_s": _median([wave.speed_um_s for wave in waves]),
        "wave_fitted_share": float(np.mean([np.isfinite(wave.speed_um_s) for wave in waves])) if count else NAN,
        "wave_spike_share": sum(wave.spikes for wave in waves) / spikes if spikes else NAN,
        "wave_coverage": len(reached) / units if units else NAN,
        "wave_direction_deg": bias.direction_deg,
        "wave_direction_length": bias.length,
        "wave_direction_p_value": bias.p_value,
    }


def _median(values: Sequence[float] | Floats) -> float:
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return float(np.median(finite)) if len(finite) else NAN
