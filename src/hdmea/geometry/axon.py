"""A cell's axon on the chip: where its spike travels to, how fast, and whether it is seen at all.

The action potential runs along the axon as a small triphasic wave, delayed in proportion to the distance from the
soma. The image is filtered with such a wave in time, summed along all straight and slightly bent rays from the soma at
all velocities (so that a wave far below the noise of one electrode is seen), and the best ray is refined to a curve
and a line of time over distance by robust fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdmea.geometry import axon_path
from hdmea.geometry.axon_path import ANGLES, VELOCITIES, AxonPath, AxonSearch, refined
from hdmea.geometry.axon_waves import wave_image
from hdmea.geometry.electrical_image import CleanImage, Image, ImageScale, clean_image
from hdmea.geometry.neighbours import Neighbour, without_neighbours
from hdmea.geometry.robust import Bools, Floats
from hdmea.geometry.soma import FAR, SomaGeometry, soma_geometry
from hdmea.geometry.spatial_noise import correlated_covariance, spatial_noise

NAN = float("nan")
INDEPENDENT_MS = 0.3  # after which filtered noise is new
MAX_TRACES = 500  # of electrodes that tell the correlation in time


@dataclass(frozen=True, slots=True, kw_only=True)
class Axon:
    """An axon's path; x is the column, y the row, both in electrodes from 0; times in samples of the window and ms.

    Where `axon_seen` is False, all but `score`, `contrast`, what the ray scan found and `reason` is NaN.

    Attributes
    ----------
    axon_seen
        Whether it counts.
    score
        The best ray's sum, in SD (`significance` in the file).
    contrast
        The score minus the median over directions of the best ray in each.
    ray_angle, ray_velocity_m_s
        Of the best ray: degrees, m/s.
    direction_angle, direction_angle_se
        Degrees in [0, 360) from x towards y, from the path's first electrode to its last; standard error.
    velocity_m_s, velocity_se
        Along the path, m/s; standard error.
    length_um
        Along the path from the soma to its last electrode.
    length_censored
        The window ended before the wave was 2 electrodes farther: the axon may be longer.
    slope, intercept, std_err
        Of the straight line through the path, y = slope · x + intercept, NaN for a vertical one; standard error of
        slope.
    r_value
        The part of the path's electrodes' spread that is along the line, √(1 − across/all), with the slope's sign.
    p_value
        Of the line of time over distance against none (t, two-sided).
    slope_t
        That line's slope in standard errors.
    intercept_ms
        When it leaves the soma, after the trough there.
    lateral_offset
        Electrodes by which the path passes the soma.
    n_inliers
        Electrodes on the path.
    start
        Electrodes from the soma to the first of them.
    refined_soma
        (t, x, y): the soma's trough.
    axon_initial_segment
        (t, x, y): the first place of the path that is not hidden by the soma's own field.
    axon_centroids
        (n, 4) t, x, y and height in SD of the wave, sample by sample.
    n_unmixed
        Neighbours that were taken out of the image because an axon was seen with them in it.
    from_neighbour
        Whether the axon that was seen is theirs: without them there is none, and it does not count.
    reason
        Why it does not count.

    Examples
    --------
    >>> from hdmea.geometry import ImageScale, track_axon
    >>> from hdmea.pipeline import PipelineSession
    >>> image = PipelineSession.load("loaded.h5").units["unit_001"]["features"]["eimage_sta"]["data"]
    >>> axon = track_axon(image, ImageScale(sampling_rate_hz=20_000, spike_sample=10, pitch_um=16))
    >>> axon.axon_seen, round(axon.velocity_m_s, 1)  # it was simulated with 0.5 m/s
    (True, 0.5)
    """

    axon_seen: bool
    score: float = NAN
    contrast: float = NAN
    ray_angle: float = NAN
    ray_velocity_m_s: float = NAN
    direction_angle: float = NAN
    direction_angle_se: float = NAN
    velocity_m_s: float = NAN
    velocity_se: float = NAN
    length_um: float = NAN
    length_censored: bool = False
    slope: float = NAN
    intercept: float = NAN
    std_err: float = NAN
    r_value: float = NAN
    p_value: float = NAN
    slope_t: float = NAN
    intercept_ms: float = NAN
    lateral_offset: float = NAN
    n_inliers: int = 0
    start: float = NAN
    refined_soma: tuple[float, float, float] = (NAN, NAN, NAN)
    axon_initial_segment: tuple[float, float, float] = (NAN, NAN, NAN)
    axon_centroids: Floats = field(default_factory=lambda: np.empty((0, 4)), repr=False)
    n_unmixed: int = 0
    from_neighbour: bool = False
    reason: str = ""


def track_axon(
    image: NDArray[Any] | CleanImage,
    scale: ImageScale | None = None,
    soma: SomaGeometry | None = None,
    neighbours: Sequence[Neighbour] = (),
) -> Axon:
    """Find a cell's axon.

    Parameters
    ----------
    image
        (samples, rows, columns), or what `clean_image` made of one.
    scale
        Of an image that is not clean yet.
    soma
        Of the same image, where it is known.
    neighbours
        Other cells of the recording: where an axon is seen, those near by that are in the image as well are taken out
        of it, and it is looked for once more.

    Returns
    -------
    Axon
        `axon_seen` False, with its reason, where there is no soma or a condition (constants of `axon_path`) is not met.

    Raises
    ------
    ValueError
        `scale` is missing; as in `soma_geometry`.

    Notes
    -----
    A scan of rays from the soma for a wave that moves along them, then a robust fit of a curve and of a line of time
    over distance (Beaton & Tukey 1974, Technometrics 16:147), with the errors of White 1980, Econometrica 48:817.
    docs/geometry.md has its accuracy.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.geometry import ImageScale, track_axon
    >>> noise = np.random.default_rng(0).normal(size=(50, 24, 24))
    >>> axon = track_axon(noise, ImageScale(sampling_rate_hz=20_000, spike_sample=10, pitch_um=16))
    >>> axon.axon_seen, axon.reason.partition(":")[0]
    (False, 'no soma')
    """
    if not isinstance(image, CleanImage):
        if scale is None:
            raise ValueError("scale is needed with an image that clean_image has not seen")
        image = clean_image(image, scale)
    soma = soma or soma_geometry(image)
    if not soma.found:
        return Axon(axon_seen=False, reason=f"no soma: {soma.reason}")
    axon = _tracked(image, soma)
    if not (axon.axon_seen and neighbours):
        return axon
    alone, count = without_neighbours(image, soma, neighbours)
    if not count:
        return axon
    unmixed = replace(_tracked(alone, soma), n_unmixed=count)
    if unmixed.axon_seen:
        return unmixed
    return replace(unmixed, from_neighbour=True, reason=f"a neighbour's axon, without which: {unmixed.reason}")


def _tracked(clean: CleanImage, soma: SomaGeometry) -> Axon:
    search, waves = AxonSearch(clean, soma), wave_image(clean, soma)
    if waves is None:
        return Axon(axon_seen=False, reason="the filtered image has no noise to compare with")
    rays = search.rays(waves)
    angle = int(rays.best.argmax())
    bend, delay, velocity, _ = (int(i) for i in rays.where[angle])
    score = float(rays.best[angle])
    axon = Axon(
        axon_seen=False,
        score=score,
        contrast=score - float(np.median(rays.best)),
        ray_angle=float(np.degrees(ANGLES[angle])),
        ray_velocity_m_s=float(VELOCITIES[velocity]),
        refined_soma=(search.soma.trough_sample, search.x, search.y),
    )
    path = refined(search, waves, angle, bend, delay, velocity)
    if isinstance(path, str):
        return replace(axon, reason=path)
    described = _measured_axon(search, waves, path, axon)
    reason = _refused(search, path, described)
    if reason:
        return replace(axon, reason=reason)
    return replace(described, axon_seen=True, axon_centroids=_centroids(search, waves, path))


def _slope_error(path: AxonPath) -> float:
    """Standard error of time over distance, whatever the residuals' variance (sandwich; White 1980)."""
    design = np.stack([np.ones_like(path.u), path.u], axis=1)
    joint = path.weight * path.robust
    residuals = path.t - design @ path.line
    bread = np.linalg.pinv((design.T * joint) @ design)
    meat = (design.T * (joint * residuals) ** 2) @ design
    variance = (bread @ meat @ bread)[1, 1] * len(path.u) / max(int(path.inliers.sum()) - 2, 1)
    return float(np.sqrt(max(variance, 0)))


def _together(search: AxonSearch, waves: Image, path: AxonPath) -> float:
    """By how much the slope's error is larger because electrodes near each other err together; at least 1.

    Times are wrong by the noise's slope at the peak over the wave's curvature: their correlations are those of the
    slope of noise, in space times in time, far from the soma where no wave is.
    """
    slopes = np.diff(waves, axis=0)
    rows, columns = np.indices(search.clean.bad.shape)
    usable = (np.hypot(rows - search.y, columns - search.x) > FAR) & ~search.clean.bad
    step = search.scale.samples(INDEPENDENT_MS)
    noise = spatial_noise(slopes[:: max(step, 1)], usable)
    if np.isnan(noise.sd):
        return 1.0
    inside = path.inliers
    u, t = path.u[inside], path.t[inside]
    design = np.stack([np.ones_like(u), u], axis=1)
    root = np.sqrt((path.weight * path.robust)[inside])
    cosine, sine = np.cos(path.angle), np.sin(path.angle)
    x, y = u * cosine - path.across[inside] * sine, u * sine + path.across[inside] * cosine
    apart = np.abs(t[:, None] - t)
    correlation = noise.between(x, y) * np.interp(apart, np.arange(len(slopes)), _in_time(slopes, usable))
    scaled = design * root[:, None]
    alone = correlated_covariance(scaled, np.eye(len(u)), 1.0)[1, 1]
    return float(np.sqrt(max(correlated_covariance(scaled, correlation, 1.0)[1, 1] / alone, 1.0)))


def _in_time(slopes: Image, usable: Bools) -> Floats:
    """Correlation of noise by the samples in between (samples,), of electrodes without a signal."""
    quiet = slopes[:, usable]
    quiet = quiet[:, :: -(-quiet.shape[1] // MAX_TRACES)]
    quiet = quiet[:, np.abs(quiet).max(axis=0) < 4 * quiet.std()].astype(np.float64)
    power = np.abs(np.fft.rfft(quiet, 2 * len(quiet), axis=0)) ** 2
    autocovariance = np.fft.irfft(power.sum(axis=1))[: len(quiet)] / np.arange(len(quiet), 0, -1)
    correlation: Floats = autocovariance / autocovariance[0] if autocovariance[0] > 0 else np.eye(1, len(quiet))[0]
    return correlation


def _measured_axon(search: AxonSearch, waves: Image, path: AxonPath, axon: Axon) -> Axon:
    from scipy.special import stdtr

    scale = search.scale
    inliers = path.u[path.inliers]
    first, last = float(inliers.min()), float(inliers.max())
    chord = max(last - first, 1e-9)
    ends = [path.at(first), path.at(last)]
    angle = np.arctan2(ends[1][1] - ends[0][1], ends[1][0] - ends[0][0])
    stretch = path.arc(first, last) / chord if last > first else 1.0
    velocity = scale.pitch_um / 1000 * scale.samples_per_ms / path.line[1] * stretch
    slope_se = _slope_error(path) * _together(search, waves, path)
    slope_t = path.line[1] / max(slope_se, 1e-9)
    count = int(path.inliers.sum())
    begin = path.at(first)
    return replace(
        axon,
        direction_angle=float(np.degrees(angle) % 360),
        velocity_m_s=float(velocity),
        velocity_se=float(axon_path.ERROR_FACTOR * velocity * slope_se / path.line[1]),
        length_um=path.arc(0.0, path.end) * scale.pitch_um,
        length_censored=bool(path.line[0] + path.line[1] * (path.end + 2) >= search.last_fitted),
        p_value=float(2 * stdtr(max(count - 2, 1), -abs(slope_t))),
        slope_t=float(slope_t),
        intercept_ms=float((path.line[0] - search.trough) / scale.samples_per_ms),
        lateral_offset=float(path.curve[0]),
        n_inliers=count,
        start=first,
        axon_initial_segment=(
            float(path.line[0] + path.line[1] * first),
            float(search.x + begin[0]),
            float(search.y + begin[1]),
        ),
        **_straight_line(search, path, float(angle)),
    )


def _straight_line(search: AxonSearch, path: AxonPath, angle: float) -> dict[str, Any]:
    """The line through the middle of the path's electrodes in the path's direction, and its errors."""
    weight = path.weight * path.robust
    u, across = np.average(path.u, weights=weight), np.average(path.across, weights=weight)
    cosine, sine = np.cos(path.angle), np.sin(path.angle)
    x, y = search.x + u * cosine - across * sine, search.y + u * sine + across * cosine
    turn = angle - path.angle
    along = (path.u - u) * np.cos(turn) + (path.across - across) * np.sin(turn)
    beside = (path.across - across) * np.cos(turn) - (path.u - u) * np.sin(turn)
    spread_along, spread_beside = (float(np.average(part**2, weights=weight)) for part in (along, beside))
    count = int(path.inliers.sum())
    angle_se = np.sqrt(spread_beside / max(spread_along, 1e-12) / max(count - 2, 1))
    vertical = abs(np.cos(angle)) < 1e-6
    slope = NAN if vertical else float(np.tan(angle))
    straight = np.sqrt(spread_along / max(spread_along + spread_beside, 1e-12))
    return {
        "slope": slope,
        "intercept": NAN if vertical else float(y - slope * x),
        "std_err": NAN if vertical else float(angle_se / np.cos(angle) ** 2),
        "r_value": float(straight if vertical else np.copysign(straight, slope)),
        "direction_angle_se": float(np.degrees(angle_se)),
    }


def _refused(search: AxonSearch, path: AxonPath, axon: Axon) -> str:
    """The first condition that an axon does not meet; empty where it counts as seen."""
    low, high = axon_path.INTERCEPT_MS
    slow, fast = axon_path.VELOCITY_M_S
    conditions = {
        f"score {axon.score:.1f} is not above {axon_path.MIN_SCORE:g}": axon.score > axon_path.MIN_SCORE,
        f"contrast {axon.contrast:.1f} is not above {axon_path.MIN_CONTRAST:g}": axon.contrast > axon_path.MIN_CONTRAST,
        f"{axon.n_inliers} electrodes on the path": axon.n_inliers >= axon_path.MIN_INLIERS,
        f"the path spans {path.end - axon.start:.1f} electrodes": path.end - axon.start >= axon_path.MIN_EXTENT,
        f"time over distance has a slope of {axon.slope_t:.1f} SE": axon.slope_t > axon_path.MIN_SLOPE_T,
        f"the wave leaves the soma at {axon.intercept_ms:.2f} ms": low - 1e-9 <= axon.intercept_ms <= high + 1e-9,
        f"the path passes the soma at {axon.lateral_offset:.1f} electrodes": abs(axon.lateral_offset)
        < axon_path.MAX_OFFSET,
        f"the path begins at {axon.start:.1f} electrodes": axon.start < search.inner + axon_path.MAX_START,
        f"a velocity of {axon.velocity_m_s:.2f} m/s": slow < axon.velocity_m_s < fast,
    }
    return next((reason for reason, met in conditions.items() if not met), "")


def _centroids(search: AxonSearch, waves: Image, path: AxonPath) -> Floats:
    """Places of the wave at each sample: (n, 4) t, x, y, height; x and y NaN where it is lost in noise."""
    cosine, sine = np.cos(path.angle), np.sin(path.angle)
    along = search.dx * cosine + search.dy * sine
    across = search.dy * cosine - search.dx * sine
    near = (np.abs(across - np.polyval(path.curve[::-1], along)) < 2) & (along > search.inner)
    along, rows, columns = along[near], search.rows[near], search.columns[near]
    first = int(np.ceil(path.line[0] + path.line[1] * search.inner))
    last = min(int(np.floor(path.line[0] + path.line[1] * (path.end + 2))), search.last - 1)
    half = max(2.5, 1.5 / path.line[1])
    centroids = np.full((max(last - first + 1, 0), 4), np.nan)
    for n, t in enumerate(range(max(first, 0), last + 1)):
        here = np.abs(along - (t - path.line[0]) / path.line[1]) < half
        height = np.maximum(waves[t, rows[here], columns[here]], 0).astype(np.float64)
        centroids[n, 0] = t
        if height.size and height.max() > axon_path.MIN_PEAK:
            weights = np.where(height > 0.4 * height.max(), height, 0)
            total = weights.sum()
            centroids[n, 1:] = weights @ columns[here] / total, weights @ rows[here] / total, height.max()
    return centroids
