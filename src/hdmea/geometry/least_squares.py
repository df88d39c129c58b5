"""Least squares of surfaces and of robust polynomials: what is checked before the compiled fits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5burst._ext import fits as _ext
from hdmea.geometry.robust import TUKEY, Floats

ROUNDS = 6  # of reweighting


class Surface(IntEnum):
    """Surfaces that can be fitted, and their parameters in order. Angles in radians, from x towards y.

    ROUND_GAUSSIAN: A, x, y, ln σ: A·exp(−d²/2σ²).
    MONOPOLE: A, x, y, ln σ: A·(1 + d²/(1.6σ)²)^−1.5, about the field of a point source over a plane of electrodes.
    GAUSSIAN: A, x, y, ln σ₁, ln σ₂, θ: σ₁ along the angle θ, σ₂ across it.
    GAUSSIAN_ON_OFFSET: the same, and a constant.
    GAUSSIANS_DIFFERENCE: as GAUSSIAN, k, ln q: A·(centre − k·surround), the surround q times as wide.
    """

    ROUND_GAUSSIAN = 0
    MONOPOLE = 1
    GAUSSIAN = 2
    GAUSSIAN_ON_OFFSET = 3
    GAUSSIANS_DIFFERENCE = 4


@dataclass(frozen=True, slots=True)
class SurfaceFit:
    """parameters in the order of `Surface`; squares: sum of squared residuals of `points` values; normal: JᵀJ."""

    parameters: Floats
    squares: float
    converged: bool
    normal: Floats
    points: int

    def errors(self) -> Floats:
        """Standard errors of the parameters from the residuals' variance; 0 for one that the data do not see."""
        scales = np.sqrt(np.maximum(np.diag(self.normal), 1e-300))  # so that no unit makes a parameter look singular
        inverse = np.linalg.pinv(self.normal / np.outer(scales, scales), hermitian=True)
        variance = np.maximum(np.diag(inverse), 0) * self.squares / max(self.points - len(self.normal), 1)
        errors: Floats = np.sqrt(variance) / scales
        return errors


def fit_surface(
    surface: Surface,
    x: ArrayLike,
    y: ArrayLike,
    values: ArrayLike,
    start: ArrayLike,
    bounds: tuple[ArrayLike, ArrayLike],
    *,
    max_steps: int = 40,
    tolerance: float = 1e-6,
) -> SurfaceFit:
    """The surface with least squares to `values` at the places (x, y), by Levenberg-Marquardt (Marquardt 1963).

    Parameters
    ----------
    x, y, values
        (points,) finite floats; at least as many as parameters.
    start
        (parameters,) first guess, moved into the bounds.
    bounds
        Lowest and highest (parameters,). A step that would leave them ends there.
    max_steps
        Accepted steps until the fit counts as not converged.
    tolerance
        Converged where no parameter moves by more than this part of itself (+ 0.001), or where the squares fall by
        less than a thousandth of the residuals' variance: along a flat valley, where widths and heights stand for each
        other, more steps tell nothing.

    Raises
    ------
    ValueError
        Shapes do not fit, too few points, or a value that is not finite.
    """
    at_x, at_y, given = (np.ascontiguousarray(part, np.float64).ravel() for part in (x, y, values))
    size = _ext.PARAMETERS[surface]
    begin, lower, upper = (np.array(part, np.float64) for part in (start, *bounds))
    if not (at_x.size == at_y.size == given.size >= size):
        raise ValueError(f"{surface.name} needs x, y and values of one length, at least {size}")
    if not begin.shape == lower.shape == upper.shape == (size,):
        raise ValueError(f"{surface.name} has {size} parameters: start and both bounds must have as many")
    if not (np.isfinite(given).all() and np.isfinite(begin).all()):
        raise ValueError(f"{surface.name}: values and start must be finite")
    parameters = np.clip(begin, lower, upper)
    normal = np.empty((size, size))
    squares, converged = _ext.fit_surface(
        surface, at_x, at_y, given, parameters, lower, upper, max_steps, tolerance, normal
    )
    return SurfaceFit(parameters, squares, converged, normal, given.size)


def round_jacobian(surface: Surface, parameters: Floats, x: Floats, y: Floats) -> Floats:
    """Derivatives (points, 4) of a ROUND_GAUSSIAN or a MONOPOLE by its parameters."""
    height, column, row, log_sigma = parameters.tolist()
    dx, dy = x - column, y - row
    if surface is Surface.MONOPOLE:
        width = (1.6 * np.exp(log_sigma)) ** 2
        ratio = 1 + (dx**2 + dy**2) / width
        value, slope = ratio**-1.5, 3 * height * ratio**-2.5 / width
    else:
        width = np.exp(2 * log_sigma)
        value = np.exp(-(dx**2 + dy**2) / (2 * width))
        slope = height * value / width
    return np.stack([value, slope * dx, slope * dy, slope * (dx**2 + dy**2)], axis=1)


@dataclass(frozen=True, slots=True)
class Polynomial:
    """coefficients: the lowest power first; robust: (points,) Tukey's weights times those given before."""

    coefficients: Floats
    robust: Floats


def fit_polynomial(
    u: NDArray[Any],
    v: NDArray[Any],
    weights: NDArray[Any],
    degree: int,
    *,
    min_scale: float,
    prior: NDArray[Any] | None = None,
) -> Polynomial | None:
    """v(u) by iteratively reweighted least squares (Tukey's biweight, 4.685 times 1.4826 · MAD); None where singular.

    Parameters
    ----------
    u, v, weights
        (points,) floats, at least one.
    min_scale
        Residuals' scale is at least this, in the unit of v.
    prior
        (points,) weights in [0, 1] to begin with, for example the robust weights of another fit.
    """
    at, given, share = (np.ascontiguousarray(part, np.float64) for part in (u, v, weights))
    begin = np.ones(len(at)) if prior is None else np.ascontiguousarray(prior, np.float64)
    if not len(at) == len(given) == len(share) == len(begin) > 0:
        raise ValueError("u, v, weights and prior must have one length, at least 1")
    coefficients, robust = np.zeros(degree + 1), np.empty(len(begin))
    done = _ext.fit_polynomial(at, given, share, begin, TUKEY, min_scale, ROUNDS, coefficients, robust)
    return Polynomial(coefficients, robust) if done else None
