"""A plane through the onsets of a wave: how fast it goes, and where to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdmea.spontaneous.trains import NAN, Floats

MIN_UNITS = 5  # units
TRIMMED_SD = 3.0
ROUNDS = 5
P_VALUE = 0.01


@dataclass(frozen=True)
class PlaneFit:
    """Speed and direction of a front that passes over units; see `fit_plane`."""

    speed_um_s: float
    speed_se_um_s: float
    direction_deg: float
    direction_se_deg: float
    r_squared: float


NO_FIT = PlaneFit(NAN, NAN, NAN, NAN, NAN)


def fit_plane(onsets_s: Floats, positions_um: Floats) -> PlaneFit:
    """Fit onset = c + s · position by least squares; the speed is 1 / |s|, the direction that of s.

    Units whose residual is beyond three standard deviations (1.4826 times the median absolute deviation) are left out
    and the rest is fitted again, five times at most. Standard errors are those of least squares, carried over to speed
    and direction to first order. No fit: fewer than five units, or units on one line. All but `r_squared` are NaN where
    a plane explains no more than chance (F test of both slopes, p >= 0.01).

    onsets_s (units,); positions_um (units, 2).
    """
    kept = np.isfinite(onsets_s) & np.isfinite(positions_um).all(axis=1)
    fit = NO_FIT
    for _ in range(ROUNDS):
        if kept.sum() < MIN_UNITS:
            return NO_FIT
        centre = positions_um[kept].mean(axis=0)
        design = np.column_stack([np.ones(len(onsets_s)), positions_um - centre])
        of_kept = design[kept]
        if np.linalg.matrix_rank(of_kept) < 3:
            return NO_FIT
        solution = np.linalg.lstsq(of_kept, onsets_s[kept], rcond=None)[0]
        residuals = onsets_s - design @ solution
        fit = _plane_fit(of_kept, onsets_s[kept], residuals[kept], solution)
        scale = 1.4826 * float(np.median(np.abs(residuals[kept] - np.median(residuals[kept]))))
        still = kept & (np.abs(residuals) <= TRIMMED_SD * scale + 1e-9)
        if still.sum() == kept.sum():
            break
        kept = still
    return fit


def _plane_fit(design: Floats, onsets: Floats, residuals: Floats, solution: Floats) -> PlaneFit:
    slope = solution[1:]
    left, total = float(residuals @ residuals), float(((onsets - onsets.mean()) ** 2).sum())
    if not total > 0:
        return NO_FIT
    from scipy.special import fdtrc

    freedom = len(onsets) - 3
    explained = max(total - left, 0.0)
    r_squared = explained / total
    steepness = float(np.hypot(*slope))
    is_exact = left <= 1e-18 * total
    p = 0.0 if is_exact else float(fdtrc(2, freedom, explained / 2 / (left / freedom)))
    if not (p < P_VALUE and steepness > 0):
        return PlaneFit(NAN, NAN, NAN, NAN, r_squared)
    covariance = left / freedom * np.linalg.inv(design.T @ design)[1:, 1:]
    along, across = slope / steepness, np.array([-slope[1], slope[0]]) / steepness
    return PlaneFit(
        1 / steepness,
        float(np.sqrt(along @ covariance @ along)) / steepness**2,
        float(np.degrees(np.arctan2(slope[1], slope[0])) % 360 % 360),  # once more, as -1e-15 % 360 is 360
        float(np.degrees(np.sqrt(across @ covariance @ across) / steepness)),
        r_squared,
    )
