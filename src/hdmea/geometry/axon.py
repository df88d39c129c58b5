"""A cell's axon on the chip: where its spike travels to, how fast, and whether it is seen at all.

The action potential runs along the axon as a small triphasic wave, delayed in proportion to the distance from the
soma. The image is filtered with such a wave in time, summed along all straight and slightly bent rays from the soma at
all velocities (so that a wave far below the noise of one electrode is seen), and the best ray is refined to a curve
and a line of time over distance by robust fits.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdmea.geometry.electrical_image import (
    CleanImage,
    Image,
    ImageScale,
    best_rays,
    clean_image,
    filtered_in_time,
)
from hdmea.geometry.least_squares import fit_polynomial
from hdmea.geometry.robust import MAD_TO_SD, Bools, Floats
from hdmea.geometry.soma import SomaGeometry, soma_geometry

NAN = float("nan")
ANGLES = np.arange(72) * (2 * np.pi / 72)
CURVATURES = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])  # radians an electrode
VELOCITIES = np.exp(np.linspace(np.log(0.1), np.log(2.4), 18))  # m/s
DELAYS_MS = np.array([0.0, 0.2])
LONGEST = 60  # electrodes along a ray
FEWEST_STEPS = 6  # a ray's sum is divided by the root of at least so many


@dataclass(frozen=True, slots=True)
class AxonLimits:
    """When an axon counts as seen, and constants of the search.

    least_score, least_contrast: of the best ray, in SD. least_inliers, least_extent: electrodes on the path, and
    electrodes' distances that they span. least_slope_t: the slope of time over distance in its standard errors.
    intercept_ms: of that line at the soma, after the trough there. most_offset: electrodes by which the path passes the
    soma. most_start: electrodes from where rays begin to the first inlier. velocity_m_s: bounds. longest_gap:
    electrodes without an inlier after which the path ends.
    clip: of the filtered image in rays, in SD; model_error: of the soma's own field, as part of it; least_noise: of an
    electrode, as part of the typical; least_peak: of an electrode on the path, in SD; error_factor: on the
    standard error of velocity, measured; edge_ms: at the window's end that are not used; censored_ms: before its
    end, from where a path may go on unseen.
    """

    least_score: float = 6.5
    least_contrast: float = 2.5
    least_inliers: int = 6
    least_extent: float = 3.0
    least_slope_t: float = 6.0
    intercept_ms: tuple[float, float] = (-0.2, 0.45)
    most_offset: float = 2.5
    most_start: float = 10.0
    velocity_m_s: tuple[float, float] = (0.05, 4.0)
    longest_gap: float = 6.0
    clip: float = 5.0
    model_error: float = 0.1
    least_noise: float = 0.7
    least_peak: float = 3.5
    error_factor: float = 1.3
    edge_ms: float = 0.1
    censored_ms: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Axon:
    """An axon's path; x is the column, y the row, both in electrodes from 0; times in samples of the window and ms.

    axon_seen: whether it counts; where it does not, all but score, contrast, what the ray scan found and `reason` is
    NaN. score: the best ray's sum, in SD (`significance` in the file). contrast: the score minus the median over
    directions of the best ray in each. ray_angle, ray_velocity_m_s: of the best ray.

    direction_angle: degrees in [0, 360) from x towards y, from the path's first electrode to its last; …_se.
    velocity_m_s, velocity_se: along the path. length_um: along the path from the soma to its last electrode;
    length_censored: the wave was still on the chip, or might have been, when the window ended. slope, intercept: of the
    straight line through the path, y = slope · x + intercept, NaN for a vertical one; std_err: of slope. r_value: the
    part of the path's electrodes' spread that lies along the line, √(1 − across/all), with the slope's sign. p_value:
    of the line of time over distance against none (t, two-sided). n_inliers: electrodes on the path. start: electrodes
    from the soma to the first of them.

    refined_soma, axon_initial_segment: (t, x, y): the soma's trough; the first place of the path that is not hidden by
    the soma's own field. axon_centroids: (n, 4) t, x, y and height in SD of the wave, sample by sample.
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
    reason: str = ""


def track_axon(
    image: NDArray[Any] | CleanImage,
    scale: ImageScale | None = None,
    soma: SomaGeometry | None = None,
    limits: AxonLimits | None = None,
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

    Returns
    -------
    Axon
        `axon_seen` False, with its reason, where there is no soma or a condition of `limits` is not met.

    Raises
    ------
    ValueError
        As in `soma_geometry`.
    """
    limits = limits or AxonLimits()
    if not isinstance(image, CleanImage):
        if scale is None:
            raise ValueError("scale is needed with an image that clean_image has not seen")
        image = clean_image(image, scale)
    soma = soma or soma_geometry(image)
    if not soma.found:
        return Axon(axon_seen=False, reason=f"no soma: {soma.reason}")
    search = _Search(image, soma, limits)
    waves = wave_image(image, soma, limits)
    if waves is None:
        return Axon(axon_seen=False, reason="the filtered image has no noise to compare with")
    return _tracked(search, waves)


@lru_cache(maxsize=16)
def _wave_weights(samples: int, samples_per_ms: float) -> Image:
    """(samples, taps): a triphasic wave of zero mean and norm 1, at the window's ends cut and of norm 1 again."""
    reach = round(0.6 * samples_per_ms)
    ms = np.arange(-reach, reach + 1) / samples_per_ms
    wave = -_bell(ms, 0.14) + 0.35 * _bell(ms + 0.28, 0.15) + 0.3 * _bell(ms - 0.32, 0.18)
    wave = (wave - wave.mean()) / np.linalg.norm(wave - wave.mean())
    place = np.arange(samples)[:, None] + np.arange(-reach, reach + 1)
    weights = np.where((place >= 0) & (place < samples), wave, 0.0)
    weights /= np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 0.3)
    return np.ascontiguousarray(weights, np.float32)


def _bell(ms: Floats, sigma: float) -> Floats:
    bell: Floats = np.exp(-((ms / sigma) ** 2) / 2)
    return bell


def wave_image(clean: CleanImage, soma: SomaGeometry, limits: AxonLimits) -> Image | None:
    """How much of a travelling wave's trough each electrode sees at each sample, in SD of noise; 0 where bad.

    The soma's own field is removed first: its waveform times the median, in each ring of one electrode about the soma,
    of its amplitude (an axon fills little of a ring). Noise counts the error of that. None where nothing is noisy.
    """
    scale, shape = clean.scale, clean.bad.shape
    row, column = int(soma.peak_row), int(soma.peak_col)
    trough = _trough_sample(clean, soma)
    window = clean.traces[max(trough - scale.samples(0.3), 0) : trough + scale.samples(1.3)]
    waveform, window = window[:, row, column], window.reshape(len(window), -1)
    share = np.einsum("t,te->e", waveform, window) / np.einsum("t,t->", waveform, waveform)  # no threads of its own
    rows, columns = np.indices(shape)
    ring = np.rint(np.hypot(rows - soma.center_row, columns - soma.center_col)).astype(np.int64).ravel()
    fields = _ring_medians(share.astype(np.float64), ring, ~clean.bad.ravel())[ring]
    traces = clean.traces - (clean.traces[:, row, column][:, None] * fields.astype(np.float32)).reshape(-1, *shape)
    noise = np.hypot(
        np.maximum(clean.noise_sd.ravel(), limits.least_noise * clean.typical_noise),
        limits.model_error * np.abs(fields) * np.abs(waveform).max(),
    )
    good = ~clean.bad.ravel()
    gain = np.zeros(noise.size, np.float32)
    gain[good] = 1 / noise[good]
    waves = filtered_in_time(traces, _wave_weights(len(traces), scale.samples_per_ms), gain)
    spread = MAD_TO_SD * float(
        np.median(np.abs(waves[_quiet_samples(len(traces), scale)].reshape(-1, good.size)[:, good]))
    )
    return waves / np.float32(spread) if spread > 0 else None


def _trough_sample(clean: CleanImage, soma: SomaGeometry) -> int:
    return min(max(round(soma.trough_sample), 0), len(clean.traces) - 1)


def _ring_medians(values: Floats, ring: NDArray[np.int64], used: Bools) -> Floats:
    """Median of each ring's used values; 0 in rings 0 and 1 and where there are at most 5."""
    order = np.lexsort((values[used], ring[used]))
    ordered = values[used][order]
    counts = np.bincount(ring[used], minlength=int(ring.max()) + 1)
    ends = np.cumsum(counts)
    middle = np.minimum(ends - counts + counts // 2, len(ordered) - 1)
    medians: Floats = np.where(counts > 5, ordered[middle], 0.0)
    medians[:2] = 0.0
    return medians


def _quiet_samples(samples: int, scale: ImageScale) -> NDArray[np.int64]:
    """Samples at both ends of the window, where neither soma nor axon is expected."""
    step = scale.samples_per_ms * 0.1
    early, late = np.arange(3) * step, samples - np.array([3, 2, 1]) * step
    return np.unique(np.clip(np.rint(np.concatenate([early, late])).astype(np.int64), 0, samples - 1))


class _Search:
    """One cell's search: its soma and the geometry that every stage uses. Distances in electrodes, times in samples."""

    def __init__(self, clean: CleanImage, soma: SomaGeometry, limits: AxonLimits) -> None:
        self.clean, self.soma, self.limits, self.scale = clean, soma, limits, clean.scale
        self.x, self.y = soma.center_col, soma.center_row
        self.trough = float(_trough_sample(clean, soma))
        self.inner = max(2.5, 3.5 * min(soma.sigma, 60 / clean.scale.pitch_um))
        self.samples = len(clean.traces)
        self.last = self.samples - clean.scale.samples(limits.edge_ms)
        rows, columns = np.nonzero(~clean.bad)
        self.rows, self.columns = rows, columns
        self.dx, self.dy = columns - self.x, rows - self.y

    def samples_an_electrode(self, velocity_m_s: Floats | float) -> Any:
        return self.scale.pitch_um / 1000 / velocity_m_s * self.scale.samples_per_ms

    def paths(self, steps: Floats) -> NDArray[np.int32]:
        """Electrodes of all rays, −1 beyond the chip and on bad ones."""
        rows, columns = self.clean.bad.shape
        bend = CURVATURES[:, None] * steps
        chord = steps * np.sinc(bend / (2 * np.pi))
        angle = ANGLES[:, None, None] + bend / 2
        at_x = np.rint(self.x + chord * np.cos(angle)).astype(np.int32)
        at_y = np.rint(self.y + chord * np.sin(angle)).astype(np.int32)
        inside = (at_x >= 0) & (at_x < columns) & (at_y >= 0) & (at_y < rows)
        flat = np.where(inside, at_y * columns + at_x, 0)
        inside &= ~self.clean.bad.ravel()[flat]
        return np.where(inside, flat, -1).astype(np.int32)

    def times(self, steps: Floats) -> NDArray[np.int32]:
        """Samples at which waves of all delays and velocities reach the steps, −1 from the window's end on."""
        delays = DELAYS_MS[:, None, None] * self.scale.samples_per_ms
        times = np.rint(self.trough + delays + steps * self.samples_an_electrode(VELOCITIES)[:, None])
        return np.where(times < self.last, times, -1).astype(np.int32)


@dataclass(frozen=True, slots=True)
class _Path:
    """Along a ray's axis u and across it: lateral offset (polynomial in u), time (line in u), and the inliers.

    u, across, t, weight: of the electrodes that were fitted; robust: their robust weights in the line of time. end:
    the last inlier's u before a long gap.
    """

    angle: float
    curve: Floats
    line: Floats
    u: Floats
    across: Floats
    t: Floats
    weight: Floats
    robust: Floats
    end: float

    @property
    def inliers(self) -> Bools:
        return self.robust > 0.1

    def at(self, u: Floats | float) -> tuple[Any, Any]:
        """Offsets (x, y) from the soma of the curve at u."""
        lateral = np.polyval(self.curve[::-1], u)
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return u * cosine - lateral * sine, u * sine + lateral * cosine

    def arc(self, first: float, last: float) -> float:
        """Length of the curve between two u."""
        u = np.linspace(first, last, 50)
        slopes = np.polyval(np.polyder(self.curve[::-1]), u) if len(self.curve) > 1 else np.zeros(50)
        return float(np.sqrt(1 + slopes**2).mean() * (last - first))


def _tracked(search: _Search, waves: Image) -> Axon:
    limits = search.limits
    steps = np.arange(np.ceil(search.inner), LONGEST + 1)
    clipped = np.clip(waves, -limits.clip, limits.clip)
    rays = best_rays(clipped, search.paths(steps), search.times(steps), FEWEST_STEPS)
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
    path = _refined(search, waves, angle, bend, delay, velocity)
    if isinstance(path, str):
        return replace(axon, reason=path)
    described = _described(search, path, axon)
    reason = _refused(search, path, described)
    if reason:
        return replace(axon, reason=reason)
    return replace(described, axon_seen=True, axon_centroids=_centroids(search, waves, path))


def _refined(search: _Search, waves: Image, angle: int, bend: int, delay: int, velocity: int) -> _Path | str:
    """The curve and the line of time through the electrodes along the best ray, or why there are none."""
    limits, scale = search.limits, search.scale
    theta = float(ANGLES[angle])
    along = search.dx * np.cos(theta) + search.dy * np.sin(theta)
    across = search.dy * np.cos(theta) - search.dx * np.sin(theta)
    curve = np.array([0.0, 0.0, CURVATURES[bend] / 2])
    line = np.array(
        [search.trough + DELAYS_MS[delay] * scale.samples_per_ms, search.samples_an_electrode(VELOCITIES[velocity])]
    )
    beyond = (along > search.inner) & (along < LONGEST)
    along, across = along[beyond], across[beyond]
    rows, columns = search.rows[beyond], search.columns[beyond]
    last = search.samples - 2 * scale.samples(limits.edge_ms)
    path: _Path | None = None
    for width, tolerance_ms in ((2.5, 0.25), *[(1.8, 0.2)] * 4):
        expected = line[0] + line[1] * along
        near = np.abs(across - np.polyval(curve[::-1], along)) < width
        near &= (expected < last) & (expected > search.trough - scale.samples(0.1))
        if near.sum() < 4:
            return "fewer than 4 electrodes lie along the best ray"
        tolerance = tolerance_ms * scale.samples_per_ms
        t, height = _peaks(waves[:, rows[near], columns[near]], expected[near], tolerance)
        seen = (height > limits.least_peak) & np.isfinite(t)
        if seen.sum() < 4:
            return "fewer than 4 electrodes along the best ray see the wave"
        found = _fit_path(theta, along[near][seen], across[near][seen], t[seen], height[seen], scale)
        if found is None:
            return "the path's fit is singular"
        if found.line[1] <= 0:
            return "the wave does not move away from the soma"
        path, curve, line = found, found.curve, found.line
    assert path is not None
    u = np.sort(path.u[path.inliers])
    if len(u) == 0:
        return "no electrode lies on the path"
    gaps = np.flatnonzero(np.diff(u) > limits.longest_gap)
    return replace(path, end=float(u[gaps[0]] if len(gaps) else u[-1]))


def _peaks(waves: Image, expected: Floats, tolerance: float) -> tuple[Floats, Floats]:
    """Time (by a parabola) and height of each electrode's peak around the expected time; NaN at the window's edge."""
    samples = np.arange(len(waves))[:, None]
    inside = np.abs(samples - expected) <= tolerance
    peak = np.where(inside, waves, -np.inf).argmax(axis=0)
    each = np.arange(waves.shape[1])
    height = waves[peak, each].astype(np.float64)
    middle = np.clip(peak, 1, len(waves) - 2)
    before, here, after = (waves[middle + step, each].astype(np.float64) for step in (-1, 0, 1))
    curvature = before - 2 * here + after
    shift = np.where(curvature < 0, 0.5 * (before - after) / np.where(curvature < 0, curvature, 1), 0.0)
    t = middle + np.clip(shift, -0.6, 0.6)
    return np.where(np.abs(peak - expected) < tolerance - 0.5, t, np.nan), height


def _fit_path(theta: float, u: Floats, across: Floats, t: Floats, height: Floats, scale: ImageScale) -> _Path | None:
    weight = np.minimum(height, 12.0) ** 2
    degree = 2 if np.ptp(u) > 12 else 1
    lateral = fit_polynomial(u, across, weight, degree, least_scale=0.25)
    if lateral is None:
        return None
    least_ms = 0.0075
    line = fit_polynomial(u, t, weight, 1, least_scale=least_ms * scale.samples_per_ms, prior=lateral.robust)
    if line is None:
        return None
    curve = np.zeros(3)
    curve[: degree + 1] = lateral.coefficients
    return _Path(theta, curve, line.coefficients, u, across, t, weight, line.robust, NAN)


def _slope_error(path: _Path) -> float:
    """Standard error of time over distance, whatever the residuals' variance (sandwich; White 1980)."""
    design = np.stack([np.ones_like(path.u), path.u], axis=1)
    joint = path.weight * path.robust
    residuals = path.t - design @ path.line
    bread = np.linalg.pinv((design.T * joint) @ design)
    meat = (design.T * (joint * residuals) ** 2) @ design
    variance = (bread @ meat @ bread)[1, 1] * len(path.u) / max(int(path.inliers.sum()) - 2, 1)
    return float(np.sqrt(max(variance, 0)))


def _described(search: _Search, path: _Path, axon: Axon) -> Axon:
    from scipy.special import stdtr

    limits, scale = search.limits, search.scale
    inliers = path.u[path.inliers]
    first, last = float(inliers.min()), float(inliers.max())
    chord = max(last - first, 1e-9)
    ends = [path.at(first), path.at(last)]
    angle = np.arctan2(ends[1][1] - ends[0][1], ends[1][0] - ends[0][0])
    stretch = path.arc(first, last) / chord if last > first else 1.0
    velocity = scale.pitch_um / 1000 * scale.samples_per_ms / path.line[1] * stretch
    slope_se = _slope_error(path)
    slope_t = path.line[1] / max(slope_se, 1e-9)
    count = int(path.inliers.sum())
    begin = path.at(first)
    return replace(
        axon,
        direction_angle=float(np.degrees(angle) % 360),
        velocity_m_s=float(velocity),
        velocity_se=float(limits.error_factor * velocity * slope_se / path.line[1]),
        length_um=path.arc(0.0, path.end) * scale.pitch_um,
        length_censored=bool(
            path.line[0] + path.line[1] * path.end >= search.samples - limits.censored_ms * scale.samples_per_ms
        ),
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


def _straight_line(search: _Search, path: _Path, angle: float) -> dict[str, float]:
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


def _refused(search: _Search, path: _Path, axon: Axon) -> str:
    """The first condition that an axon does not meet; empty where it counts as seen."""
    limits = search.limits
    low, high = limits.intercept_ms
    slow, fast = limits.velocity_m_s
    conditions = {
        f"score {axon.score:.1f} is not above {limits.least_score:g}": axon.score > limits.least_score,
        f"contrast {axon.contrast:.1f} is not above {limits.least_contrast:g}": axon.contrast > limits.least_contrast,
        f"{axon.n_inliers} electrodes on the path": axon.n_inliers >= limits.least_inliers,
        f"the path spans {path.end - axon.start:.1f} electrodes": path.end - axon.start >= limits.least_extent,
        f"time over distance has a slope of {axon.slope_t:.1f} SE": axon.slope_t > limits.least_slope_t,
        f"the wave leaves the soma at {axon.intercept_ms:.2f} ms": low - 1e-9 <= axon.intercept_ms <= high + 1e-9,
        f"the path passes the soma at {axon.lateral_offset:.1f} electrodes": abs(axon.lateral_offset)
        < limits.most_offset,
        f"the path begins at {axon.start:.1f} electrodes": axon.start < search.inner + limits.most_start,
        f"a velocity of {axon.velocity_m_s:.2f} m/s": slow < axon.velocity_m_s < fast,
    }
    return next((reason for reason, met in conditions.items() if not met), "")


def _centroids(search: _Search, waves: Image, path: _Path) -> Floats:
    """Where the wave is at each sample: (n, 4) t, x, y, height; x and y NaN where it is lost in noise."""
    cosine, sine = np.cos(path.angle), np.sin(path.angle)
    along = search.dx * cosine + search.dy * sine
    across = search.dy * cosine - search.dx * sine
    near = (np.abs(across - np.polyval(path.curve[::-1], along)) < 2) & (along > search.inner)
    along, rows, columns = along[near], search.rows[near], search.columns[near]
    first = int(np.ceil(path.line[0] + path.line[1] * search.inner))
    last = min(int(np.floor(path.line[0] + path.line[1] * (path.end + 2))), search.last - 1)
    half = max(2.5, 1.5 / path.line[1])
    found = np.full((max(last - first + 1, 0), 4), np.nan)
    for n, t in enumerate(range(max(first, 0), last + 1)):
        here = np.abs(along - (t - path.line[0]) / path.line[1]) < half
        height = np.maximum(waves[t, rows[here], columns[here]], 0).astype(np.float64)
        found[n, 0] = t
        if height.size and height.max() > search.limits.least_peak:
            weights = np.where(height > 0.4 * height.max(), height, 0)
            total = weights.sum()
            found[n, 1:] = weights @ columns[here] / total, weights @ rows[here] / total, height.max()
    return found
