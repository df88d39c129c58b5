"""Correlation of the noise of neighbouring electrodes, and what it does to the errors of fits.

Electrodes that share amplifiers, or hear the same distant cells, do not err independently. Errors of a fit that counts
each as a witness of its own are too small then, by the root of about the number of electrodes that err together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdmea.geometry.robust import MAD_TO_SD, Bools, Floats

REACH = 8  # electrodes up to which correlations count
MIN_FAR = 200  # electrodes without a signal, fewer of which tell nothing
SIGNAL = 3.5  # SD from which an electrode carries a signal


@dataclass(frozen=True, slots=True)
class SpatialNoise:
    """Correlation of noise by distance, from electrodes without signals.

    sd: of an electrode's values in the unit of their own noise SD; NaN where it is not known. correlation:
    (REACH² + 1,) by the square of the distance in electrodes; 0 where it is not known, and beyond.
    """

    sd: float
    correlation: Floats

    def between(self, x: Floats, y: Floats) -> Floats:
        """Correlations (points, points) of electrodes at these places."""
        squared = np.rint((x[:, None] - x) ** 2 + (y[:, None] - y) ** 2).astype(np.int64)
        matrix: Floats = np.where(squared <= REACH**2, self.correlation[np.minimum(squared, REACH**2)], 0.0)
        return matrix


def spatial_noise(values: NDArray[np.floating], usable: Bools) -> SpatialNoise:
    """Of values (repeats, rows, columns), each in the unit of its electrode's noise SD, independent in repeats.

    usable: (rows, columns) good electrodes away from what is known to be a signal. What stands out of the others, with
    its neighbours, is left out.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2
    from scipy.ndimage import binary_dilation

    unknown = SpatialNoise(float("nan"), np.eye(1, REACH**2 + 1)[0])
    if usable.sum() < MIN_FAR:
        return unknown
    sd = MAD_TO_SD * float(np.median(np.abs(values[:, usable])))
    if not sd > 0:
        return unknown
    signals = usable & (np.abs(values) > SIGNAL * sd).any(axis=0)
    quiet = usable & ~binary_dilation(signals, np.ones((3, 3)))
    if quiet.sum() < MIN_FAR:
        return unknown
    rows, columns = (next_fast_len(size + REACH, real=True) for size in quiet.shape)
    power = np.abs(rfft2(np.where(quiet, values, 0.0), (rows, columns))) ** 2
    products = irfft2(power.sum(axis=0), (rows, columns))
    pairs = irfft2(np.abs(rfft2(quiet.astype(np.float64), (rows, columns))) ** 2, (rows, columns)) * len(values)
    steps = np.arange(-REACH, REACH + 1)
    steps_y, steps_x = (part.ravel() for part in np.meshgrid(steps, steps, indexing="ij"))
    squared = steps_y**2 + steps_x**2
    near = squared <= REACH**2
    squared, at = squared[near], (steps_y[near] % rows, steps_x[near] % columns)
    total = np.bincount(squared, products[at], REACH**2 + 1)
    count = np.bincount(squared, np.maximum(pairs[at], 0), REACH**2 + 1)
    mean = np.divide(total, count, out=np.zeros(REACH**2 + 1), where=count > 0.5)
    return SpatialNoise(sd, mean / mean[0])


def correlated_covariance(jacobian: Floats, correlation: Floats, squares: float) -> Floats:
    """Covariance of least squares' parameters whose errors have these correlations; never less than without them.

    (JᵀJ)⁻¹ Jᵀ R J (JᵀJ)⁻¹ · squares / trace((I − H) R), H = J (JᵀJ)⁻¹ Jᵀ: what the fit took up of errors that run
    together is not among its residuals. jacobian: (points, parameters); squares: sum of squared residuals.
    """
    scales = np.sqrt(np.maximum((jacobian**2).sum(axis=0), 1e-300))  # so that no unit makes a parameter look singular
    scaled = jacobian / scales
    inverse = np.linalg.pinv(scaled.T @ scaled, hermitian=True)
    points, parameters = jacobian.shape
    freedom = max(points - parameters, 1)
    left = points - float(np.trace(inverse @ scaled.T @ correlation @ scaled))
    variance = squares / max(left, freedom / 10)
    covariance = inverse @ (scaled.T @ correlation @ scaled) @ inverse * variance
    alone = inverse * squares / freedom
    larger = np.maximum(np.diag(covariance), np.diag(alone))
    roots = np.sqrt(np.maximum(larger, 0) / np.maximum(np.diag(covariance), 1e-300))
    widened: Floats = covariance * np.outer(roots, roots) / np.outer(scales, scales)
    return widened
