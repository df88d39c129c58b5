"""A cell's receptive field from its spike-triggered average: whether there is one, its place, size, sign and time
course.

Pixels are counted from 0, their centres at integers; x is the column, y the row. Lags are frames before the spike.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdmea.geometry import field_fits, separable
from hdmea.geometry.field_fits import GaussianFit, SurroundFit, fit_field, fit_surround
from hdmea.geometry.robust import Floats, mad_sd
from hdmea.geometry.separable import (
    Separation,
    blurred,
    held_mean,
    separate,
    without_baseline,
)
from hdmea.geometry.time_course import TimeCourse, describe_time_course

NAN = float("nan")
HALF_MAXIMUM = 2 * np.sqrt(2 * np.log(2))  # full width, of σ


@dataclass(frozen=True, slots=True, kw_only=True)
class OnOffFields:
    """Fields of brighter light (ON) and of darker light (OFF) before spikes, each at its own strongest lag, judged and
    fitted by itself; NaN where its z is not above the limit. A biphasic cell has both at one place."""

    on_z: float = NAN
    off_z: float = NAN
    on_lag_frames: float = NAN
    off_lag_frames: float = NAN
    on: GaussianFit = field(default_factory=GaussianFit)
    off: GaussianFit = field(default_factory=GaussianFit)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceptiveField:
    """A receptive field. Where `significant` is False, all but z and reason is NaN, and polarity 0.

    Places are in pixels from 0, x the column and y the row.

    Attributes
    ----------
    significant
        Whether it counts.
    z
        The peak of the average, smoothed over held frames and 3 x 3 pixels, over its noise SD.
    polarity
        +1 or −1, the peak's sign.
    peak_frame
        Index into the average of the lag of the largest value of the time course.
    peak_row, peak_col
        Of the peak's pixel.
    model
        That was chosen: "gaussian", or "surround" where its BIC is lower by more than `MIN_BIC`.
    center_row, center_col, center_row_se, center_col_se
        Of the chosen model, and their standard errors; NaN where the fit does not hold.
    sigma_major, sigma_minor, theta
        Of the chosen model's centre, as in `GaussianFit`.
    size_x, size_y
        Full widths at half maximum along the grid's axes.
    equivalent_diameter, area
        Diameter of the circle of the same area; area of the ellipse at half maximum.
    r_squared
        Of the chosen model.
    bic_difference
        By which the surround's BIC is lower.
    noise_sd
        Of one pixel and lag.
    time_course
        Figures of the time course.
    gaussian_fit, dog
        Both fits.
    on_off
        Where light brightened and where it darkened before spikes, each fitted by itself.
    sta_time_course
        (lags,), the average's unit, the factor of the Gaussian of amplitude 1.
    space
        (height, width), the average's unit at the peak's lag.
    diff_map
        (height, width), highest minus lowest lag of each pixel, smoothed over held frames.
    reason, fit_reason
        Why there is no field, and why no fit.

    Examples
    --------
    >>> from hdmea.geometry import receptive_field
    >>> from hdmea.pipeline import PipelineSession
    >>> unit = PipelineSession.load("recording.h5").units["unit_001"]
    >>> field = receptive_field(unit["features"]["sta_dense_noise_15x15"]["data"], hold=1)
    >>> field.significant, field.model
    (True, 'gaussian')
    """

    significant: bool
    z: float
    polarity: int = 0
    peak_frame: float = NAN
    peak_row: float = NAN
    peak_col: float = NAN
    model: str = ""
    center_row: float = NAN
    center_col: float = NAN
    center_row_se: float = NAN
    center_col_se: float = NAN
    sigma_major: float = NAN
    sigma_minor: float = NAN
    theta: float = NAN
    size_x: float = NAN
    size_y: float = NAN
    equivalent_diameter: float = NAN
    area: float = NAN
    r_squared: float = NAN
    bic_difference: float = NAN
    noise_sd: float = NAN
    time_course: TimeCourse = field(default_factory=TimeCourse)
    gaussian_fit: GaussianFit = field(default_factory=GaussianFit)
    dog: SurroundFit = field(default_factory=SurroundFit)
    on_off: OnOffFields = field(default_factory=OnOffFields)
    sta_time_course: Floats = field(repr=False)
    space: Floats = field(repr=False)
    diff_map: Floats = field(repr=False)
    reason: str = ""
    fit_reason: str = ""

    @property
    def center_shape(self) -> GaussianFit:
        """Widths and angle of the chosen model's centre."""
        return GaussianFit(sigma_x=self.sigma_major, sigma_y=self.sigma_minor, theta=self.theta)


def receptive_field(
    average: NDArray[Any],
    *,
    last_frame: int = 0,
    hold: int = 4,
    n_spikes: int | None = None,
    on_off: bool = True,
) -> ReceptiveField:
    """Detect and fit a receptive field.

    Parameters
    ----------
    average
        (lags, height, width) the spike-triggered average of white noise, the earliest frame first.
    last_frame
        Of its window [first, last) in frames from the spike's: 0 where the frame before the spike's is the last.
    hold
        Frames for which the movie shows each pattern (`hold_frames`).
    n_spikes
        That were averaged, where it is known.
    on_off
        Whether `on_off` of the result is computed, which takes two fits more; else it is NaN.

    Returns
    -------
    ReceptiveField
        Not significant, with its reason, where a condition (constants of `field_fits`) is not met.

    Raises
    ------
    ValueError
        `average` does not have three axes, or `hold` is less than 1.

    Notes
    -----
    The average is taken apart into a map in space and a course in time; a rotated Gaussian and a difference of two are
    fitted to the map by least squares (Marquardt 1963, J. SIAM 11:431) and compared by BIC (Schwarz 1978, Ann. Stat.
    6:461). docs/geometry.md has its accuracy.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import receptive_field
    >>> average = np.random.default_rng(0).normal(0, 1, (60, 15, 15))
    >>> receptive_field(average).significant
    False
    >>> y, x = np.mgrid[:15, :15]
    >>> average[50:56] += 30 * np.exp(-((x - 4) ** 2 + (y - 9) ** 2) / 4)
    >>> field = receptive_field(average)
    >>> round(field.center_col, 1), round(field.center_row, 1), field.polarity
    (4.0, 9.0, 1)
    """
    average = np.asarray(average, np.float64)
    if average.ndim != 3:
        raise ValueError(f"a spike-triggered average has axes (lags, height, width), got shape {average.shape}")
    if hold < 1:
        raise ValueError(f"hold must be at least one frame, got {hold}")
    reason = _unfit(average, n_spikes, hold)
    if reason:
        return _nothing(average, NAN, reason)
    detection = _Detection.of(average, hold)
    if not detection.z > field_fits.MIN_Z:
        return _nothing(average, detection.z, f"z {detection.z:.2f} of the peak is not above {field_fits.MIN_Z:g}")
    described = _measured_field(average, detection, last_frame)
    return replace(described, on_off=_on_off(detection, last_frame)) if on_off else described


def hold_frames(movie: NDArray[Any]) -> int:
    """Frames for which a movie shows each pattern: its shortest run of equal frames but the last.

    Parameters
    ----------
    movie
        (frames, …), any dtype.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import hold_frames
    >>> hold_frames(np.repeat(np.arange(6), 4))
    4
    """
    flat = np.asarray(movie).reshape(len(movie), -1)
    if len(flat) < 2:
        return 1
    starts = np.flatnonzero(np.append(True, (flat[1:] != flat[:-1]).any(axis=1)))
    runs = np.diff(starts)
    return int(runs.min()) if len(runs) else len(flat)


def _unfit(average: Floats, n_spikes: int | None, hold: int) -> str:
    if n_spikes is not None and n_spikes < field_fits.MIN_SPIKES:
        return f"{n_spikes} {'spike' if n_spikes == 1 else 'spikes'}, at least {field_fits.MIN_SPIKES} are needed"
    if len(average) < max(field_fits.MIN_LAGS, 4 * hold):
        return f"{len(average)} lags, at least {max(field_fits.MIN_LAGS, 4 * hold)} are needed"
    if average.size == 0 or not np.isfinite(average).all():
        return "the average is empty or not finite"
    return ""


def _nothing(average: Floats, z: float, reason: str) -> ReceptiveField:
    shape = average.shape[1:]
    return ReceptiveField(
        significant=False,
        z=z,
        sta_time_course=np.full(len(average), np.nan),
        space=np.full(shape, np.nan),
        diff_map=np.full(shape, np.nan),
        reason=reason,
    )


@dataclass(frozen=True, slots=True)
class _Detection:
    """The average smoothed in time, that in space too, in SD of noise; the peak (lag, row, column) and its z."""

    held: Floats
    standard: Floats
    noise_lags: int
    near: slice
    peak: tuple[int, int, int]
    z: float

    @classmethod
    def of(cls, average: Floats, hold: int) -> _Detection:
        lags = len(average)
        noise_lags = min(field_fits.NOISE_LAGS, lags * field_fits.NOISE_LAGS // 60)
        held = held_mean(average - average.mean(axis=0), hold)
        smooth = blurred(held)
        spread = mad_sd(smooth[hold // 2 : noise_lags - (hold - 1) // 2])  # lags whose mean is of noise lags alone
        standard = smooth / spread if spread > 0 else np.zeros_like(smooth)
        near = slice(noise_lags, lags - (hold - 1) // 2)
        peak_at = np.unravel_index(np.abs(standard[near]).argmax(), standard[near].shape)
        peak = int(peak_at[0]) + noise_lags, int(peak_at[1]), int(peak_at[2])
        return cls(held, standard, noise_lags, near, peak, abs(float(standard[peak])))


def _measured_field(average: Floats, detection: _Detection, last_frame: int) -> ReceptiveField:
    lag, row, column = detection.peak
    polarity = int(np.sign(detection.standard[detection.peak]))
    flat = without_baseline(average - average.mean(axis=0), lag, separable.BASELINE_REACH)
    near = flat[detection.noise_lags :]
    parts = separate(near, (lag - detection.noise_lags, row, column))
    time_course = describe_time_course(
        np.concatenate([np.zeros(detection.noise_lags), parts.time]), lag, separable.TIME_REACH, last_frame
    )
    gaussian, fit_reason = _fit_gaussian(parts, (row, column))
    surround = fit_surround(parts, gaussian) if not fit_reason else SurroundFit()
    chosen = _chosen(gaussian, surround)
    top = float(parts.weights.max())
    return ReceptiveField(
        significant=True,
        z=detection.z,
        polarity=polarity,
        peak_frame=time_course.peak_frame,
        peak_row=row,
        peak_col=column,
        noise_sd=mad_sd(average[: detection.noise_lags] - average.mean(axis=0)),
        time_course=time_course,
        gaussian_fit=gaussian,
        dog=surround,
        sta_time_course=np.einsum("thw,hw->t", flat, parts.weights) * top,
        space=parts.space * parts.height,
        diff_map=np.ptp(detection.held, axis=0),
        fit_reason=fit_reason,
        **chosen,
    )


def _fit_gaussian(parts: Separation, peak: tuple[int, int]) -> tuple[GaussianFit, str]:
    sign = np.sign(parts.space[peak]) or 1.0
    return fit_field(sign * parts.space, peak, sign * parts.height)


def _chosen(gaussian: GaussianFit, surround: SurroundFit) -> dict[str, Any]:
    """Place and size of the model that is chosen."""
    difference = gaussian.bic - surround.bic
    with_surround = bool(difference > field_fits.MIN_BIC)
    one = surround if with_surround else gaussian
    shape = GaussianFit(sigma_x=one.sigma_x, sigma_y=one.sigma_y, theta=one.theta)
    diameter = HALF_MAXIMUM * np.sqrt(one.sigma_x * one.sigma_y)
    return {
        "model": "" if np.isnan(one.center_x) else "surround" if with_surround else "gaussian",
        "center_row": one.center_y,
        "center_col": one.center_x,
        "center_row_se": one.center_y_se,
        "center_col_se": one.center_x_se,
        "sigma_major": one.sigma_x,
        "sigma_minor": one.sigma_y,
        "theta": one.theta,
        "size_x": HALF_MAXIMUM * shape.along("x"),
        "size_y": HALF_MAXIMUM * shape.along("y"),
        "equivalent_diameter": float(diameter),
        "area": float(np.pi / 4 * diameter**2),
        "r_squared": one.r_squared,
        "bic_difference": difference,
    }


def _on_off(detection: _Detection, last_frame: int) -> OnOffFields:
    values: dict[str, Any] = {}
    for name, sign in (("on", 1.0), ("off", -1.0)):
        signed = sign * detection.standard[detection.near]
        peak_at = np.unravel_index(signed.argmax(), signed.shape)
        values[f"{name}_z"] = float(signed[peak_at])
        if signed[peak_at] > field_fits.MIN_Z:
            lag = int(peak_at[0]) + detection.noise_lags
            values[f"{name}_lag_frames"] = float(len(detection.held) - lag - last_frame)
            values[name], _ = fit_field(sign * detection.held[lag], (int(peak_at[1]), int(peak_at[2])), sign)
    return OnOffFields(**values)
