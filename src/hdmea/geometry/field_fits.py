"""Gaussians, and differences of two, fitted to a receptive field's map in space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdmea.geometry.least_squares import Surface, SurfaceFit, fit_surface
from hdmea.geometry.robust import Floats
from hdmea.geometry.separable import Separation

NAN = float("nan")
MAX_STEPS = 200


# When a receptive field counts, and bounds of its fits.
MIN_Z = 5.0  # of the peak
MIN_SPIKES = 40  # that were averaged
NOISE_LAGS = 24  # earliest lags of 60 that noise is judged by (of fewer, the same part)
MIN_LAGS = 30  # an average must have
SIGMA = (0.3, 7.0)  # bounds of the fit's widths in pixels
MAX_OUTSIDE = 1.0  # of the centre beyond the grid, in pixels
SURROUND_SHARE = 0.95  # bounds of the surround's amplitude over the centre's and of its width
SURROUND_RATIO = (1.3, 5.0)
MIN_BIC = 10.0  # by which the BIC must fall for a surround
ROUND = 1.1  # ratio of widths below which there is no angle


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianFit:
    """A rotated Gaussian on an offset, in pixels.

    Attributes
    ----------
    center_x, center_y, center_x_se, center_y_se
        Column and row from 0, and their standard errors.
    sigma_x, sigma_y
        Along `theta`, the wider one, and across.
    amplitude, offset
        At the peak's lag, the average's unit, signed.
    theta
        Degrees in [0, 180) from x towards y, NaN where the widths' ratio is below `ROUND`.
    r_squared, bic
        Of the map in space; BIC up to a constant.

    Examples
    --------
    >>> from hdmea.geometry import GaussianFit
    >>> GaussianFit(sigma_x=2.0, sigma_y=1.0, theta=0.0).along("x")
    2.0
    """

    center_x: float = NAN
    center_y: float = NAN
    center_x_se: float = NAN
    center_y_se: float = NAN
    sigma_x: float = NAN
    sigma_y: float = NAN
    amplitude: float = NAN
    theta: float = NAN
    offset: float = NAN
    r_squared: float = NAN
    bic: float = NAN

    def along(self, axis: str) -> float:
        """SD of the Gaussian along an axis, over the other axis: √(σ₁² cos²θ + σ₂² sin²θ)."""
        theta = np.radians(self.theta) if np.isfinite(self.theta) else np.pi / 4
        parts = (np.cos(theta), np.sin(theta)) if axis == "x" else (np.sin(theta), np.cos(theta))
        return float(np.hypot(self.sigma_x * parts[0], self.sigma_y * parts[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class SurroundFit:
    """A difference of two Gaussians with one centre and one shape, in pixels.

    Attributes
    ----------
    center_x, center_y, center_x_se, center_y_se
        Column and row from 0, and their standard errors.
    sigma_exc, sigma_inh
        √(σ₁σ₂) of centre and surround.
    amp_exc, amp_inh
        At the peak's lag, the average's unit, of centre and surround.
    offset
        0: the model has none.
    r_squared, bic
        Of the map in space; BIC up to a constant.
    sigma_x, sigma_y, theta
        The centre's, as in `GaussianFit`.

    Examples
    --------
    >>> from hdmea.geometry import SurroundFit
    >>> SurroundFit(sigma_exc=1.0, sigma_inh=3.0).sigma_inh
    3.0
    """

    center_x: float = NAN
    center_y: float = NAN
    center_x_se: float = NAN
    center_y_se: float = NAN
    sigma_exc: float = NAN
    sigma_inh: float = NAN
    amp_exc: float = NAN
    amp_inh: float = NAN
    offset: float = NAN
    r_squared: float = NAN
    bic: float = NAN
    sigma_x: float = NAN
    sigma_y: float = NAN
    theta: float = NAN


def fit_field(space: Floats, peak: tuple[int, int], height: float) -> tuple[GaussianFit, str]:
    """A rotated Gaussian on an offset, positive at the peak (row, column), and why it does not hold (or empty).

    height: by which amplitude and offset are multiplied.
    """
    y, x = np.indices(space.shape)
    row, column = peak
    wide, (rows, columns) = np.log(SIGMA), space.shape
    start = [space.max(), column, row, np.log(1.3), np.log(1.1), 0.3, 0.0]
    low = [0, -2, -2, wide[0], wide[0], -10, -np.inf]
    high = [np.inf, columns + 1, rows + 1, wide[1], wide[1], 10, np.inf]
    if space.size <= len(start):
        return GaussianFit(), f"{space.size} pixels are too few for a fit"
    fit = fit_surface(Surface.GAUSSIAN_ON_OFFSET, x, y, space, start, (low, high), max_steps=MAX_STEPS)
    reason = _does_not_hold(fit, space.shape)
    if reason:
        return GaussianFit(), reason
    amplitude, center_x, center_y, _, _, _, offset = fit.parameters.tolist()
    sigma_x, sigma_y, theta = _axes(fit.parameters, ROUND)
    errors = fit.errors()
    return (
        GaussianFit(
            center_x=center_x,
            center_y=center_y,
            center_x_se=float(errors[1]),
            center_y_se=float(errors[2]),
            sigma_x=sigma_x,
            sigma_y=sigma_y,
            amplitude=amplitude * height,
            theta=theta,
            offset=offset * height,
            r_squared=_r_squared(fit, space),
            bic=_bic(fit),
        ),
        "",
    )


def _does_not_hold(fit: SurfaceFit, shape: tuple[int, ...]) -> str:
    _, x, y, along, across = fit.parameters[:5]
    outside = MAX_OUTSIDE
    if not fit.converged:
        return "the fit did not converge"
    if not (-outside <= x <= shape[1] - 1 + outside and -outside <= y <= shape[0] - 1 + outside):
        return "the fitted centre is outside the grid"
    if max(along, across) >= np.log(SIGMA[1]) - 1e-6:
        return f"the fitted width reaches {SIGMA[1]:g} pixels"
    return ""


def _axes(parameters: Floats, min_ratio: float) -> tuple[float, float, float]:
    """The wider σ, the narrower, and the wider's angle in degrees in [0, 180), NaN where they are much alike."""
    along, across = float(np.exp(parameters[3])), float(np.exp(parameters[4]))
    theta = float(np.degrees(parameters[5])) + (90.0 if across > along else 0.0)
    wide, narrow = max(along, across), min(along, across)
    return wide, narrow, theta % 180.0 if wide >= min_ratio * narrow else NAN


def _r_squared(fit: SurfaceFit, space: Floats) -> float:
    about_mean = float(((space - space.mean()) ** 2).sum())
    return 1 - fit.squares / about_mean if about_mean > 0 else NAN


def _bic(fit: SurfaceFit) -> float:
    return float(fit.points * np.log(max(fit.squares, 1e-300) / fit.points) + len(fit.parameters) * np.log(fit.points))


def fit_surround(parts: Separation, gaussian: GaussianFit) -> SurroundFit:
    """The better of two starts; empty where neither converges."""
    y, x = np.indices(parts.space.shape)
    sign = np.sign(parts.height * gaussian.amplitude) or 1.0
    space = sign * parts.space
    theta = np.radians(gaussian.theta) if np.isfinite(gaussian.theta) else 0.3
    wide, ratio = np.log(SIGMA), np.log(SURROUND_RATIO)
    begin = [abs(gaussian.amplitude / parts.height), gaussian.center_x, gaussian.center_y]
    begin += [np.log(gaussian.sigma_x), np.log(gaussian.sigma_y), theta]
    low = [0, -2, -2, wide[0], wide[0], -10, 0, ratio[0]]
    high = [np.inf, space.shape[1] + 1, space.shape[0] + 1, wide[1], wide[1], 10, SURROUND_SHARE, ratio[1]]
    if space.size <= len(low):
        return SurroundFit()
    fits = [
        fit_surface(Surface.GAUSSIANS_DIFFERENCE, x, y, space, [*begin, *guess], (low, high), max_steps=MAX_STEPS)
        for guess in ((0.2, 0.7), (0.05, 1.0))
    ]
    fit = min(fits, key=lambda one: one.squares)
    if _does_not_hold(fit, space.shape):
        return SurroundFit()
    amplitude, center_x, center_y, along, across, _, share, log_ratio = fit.parameters.tolist()
    sigma_x, sigma_y, theta = _axes(fit.parameters, ROUND)
    errors = fit.errors()
    height = sign * parts.height
    return SurroundFit(
        center_x=center_x,
        center_y=center_y,
        center_x_se=float(errors[1]),
        center_y_se=float(errors[2]),
        sigma_exc=float(np.exp((along + across) / 2)),
        sigma_inh=float(np.exp((along + across) / 2 + log_ratio)),
        amp_exc=amplitude * height,
        amp_inh=share * amplitude * height,
        offset=0.0,
        r_squared=_r_squared(fit, space),
        bic=_bic(fit),
        sigma_x=sigma_x,
        sigma_y=sigma_y,
        theta=theta,
    )
