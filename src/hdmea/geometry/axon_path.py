"""An axon's path: the best ray from the soma, refined to a curve in space and a line of time over distance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdmea.geometry.electrical_image import CleanImage, Image, ImageScale, RaySums, best_rays
from hdmea.geometry.least_squares import fit_polynomial
from hdmea.geometry.robust import Bools, Floats
from hdmea.geometry.soma import SomaGeometry

NAN = float("nan")

ANGLES = np.arange(72) * (2 * np.pi / 72)
CURVATURES = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])  # radians an electrode
VELOCITIES = np.exp(np.linspace(np.log(0.1), np.log(2.4), 18))  # m/s
DELAYS_MS = np.array([0.0, 0.2])
LONGEST = 60  # electrodes along a ray
MIN_STEPS = 6  # a ray's sum is divided by the root of at least so many


# When an axon counts as seen, and constants of the search.
MIN_SCORE = 6.5  # of the best ray, in SD
MIN_CONTRAST = 2.5
MIN_INLIERS = 6  # electrodes on the path, and electrodes' distances that they span
MIN_EXTENT = 3.0
MIN_SLOPE_T = 6.0  # the slope of time over distance in its standard errors
INTERCEPT_MS = (-0.2, 0.45)  # bounds of that line at the soma, after the trough there
MAX_OFFSET = 2.5  # electrodes by which the path passes the soma
MAX_START = 10.0  # electrodes from where rays begin to the first inlier
VELOCITY_M_S = (0.05, 4.0)  # bounds
LONGEST_GAP = 6.0  # electrodes without an inlier after which the path ends
CLIP = 5.0  # of the filtered image in rays, in SD
MODEL_ERROR = 0.1  # of the soma's own field, as part of it
MIN_NOISE = 0.7  # of an electrode, as part of the typical
MIN_PEAK = 3.5  # of an electrode on the path, in SD
ERROR_FACTOR = 1.3  # on the standard error of velocity, measured
EDGE_MS = 0.1  # at the window's end that are not used


def trough_sample(clean: CleanImage, soma: SomaGeometry) -> int:
    """The sample of the soma's trough, within the window."""
    return min(max(round(soma.trough_sample), 0), len(clean.traces) - 1)


class AxonSearch:
    """One cell's search: its soma and the geometry that every stage uses. Distances in electrodes, times in samples."""

    def __init__(self, clean: CleanImage, soma: SomaGeometry) -> None:
        self.clean, self.soma, self.scale = clean, soma, clean.scale
        self.x, self.y = soma.center_col, soma.center_row
        self.trough = float(trough_sample(clean, soma))
        self.inner = max(2.5, 3.5 * min(soma.sigma, 60 / clean.scale.pitch_um))
        self.samples = len(clean.traces)
        self.last = self.samples - clean.scale.samples(EDGE_MS)
        self.last_fitted = self.samples - 2 * clean.scale.samples(EDGE_MS)
        rows, columns = np.nonzero(~clean.bad)
        self.rows, self.columns = rows, columns
        self.dx, self.dy = columns - self.x, rows - self.y

    def samples_an_electrode(self, velocity_m_s: Floats | float) -> Any:
        return self.scale.pitch_um / 1000 / velocity_m_s * self.scale.samples_per_ms

    def paths(self, steps: Floats) -> NDArray[np.int32]:
        """Electrodes of all rays, −1 beyond the chip and on bad ones."""
        rows, columns = self.clean.bad.shape
        dx, dy = _ray_offsets(float(steps[0]), len(steps))
        at_x = np.rint(self.x + dx).astype(np.int32)
        at_y = np.rint(self.y + dy).astype(np.int32)
        inside = (at_x >= 0) & (at_x < columns) & (at_y >= 0) & (at_y < rows)
        flat = np.where(inside, at_y * columns + at_x, 0)
        inside &= ~self.clean.bad.ravel()[flat]
        return np.where(inside, flat, -1).astype(np.int32)

    def times(self, steps: Floats) -> NDArray[np.int32]:
        """Samples at which waves of all delays and velocities reach the steps, −1 from the window's end on."""
        delays = DELAYS_MS[:, None, None] * self.scale.samples_per_ms
        times = np.rint(self.trough + delays + steps * self.samples_an_electrode(VELOCITIES)[:, None])
        return np.where(times < self.last, times, -1).astype(np.int32)

    def rays(self, waves: Image) -> RaySums:
        """The best ray of each angle over the image of waves."""
        steps = np.arange(np.ceil(self.inner), LONGEST + 1, dtype=np.float64)
        clipped = np.clip(waves, -CLIP, CLIP)
        return best_rays(clipped, self.paths(steps), self.times(steps), MIN_STEPS)


@lru_cache(maxsize=32)
def _ray_offsets(first: float, count: int) -> tuple[Floats, Floats]:
    """Electrodes in x and y from the soma (angles, curvatures, steps) of the steps first, first + 1, …; read-only."""
    steps = first + np.arange(count)
    bend = CURVATURES[:, None] * steps
    chord = steps * np.sinc(bend / (2 * np.pi))
    angle = ANGLES[:, None, None] + bend / 2
    dx, dy = chord * np.cos(angle), chord * np.sin(angle)
    dx.setflags(write=False)
    dy.setflags(write=False)
    return dx, dy


@dataclass(frozen=True, slots=True)
class AxonPath:
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


def refined(search: AxonSearch, waves: Image, angle: int, bend: int, delay: int, velocity: int) -> AxonPath | str:
    """The curve and the line of time through the electrodes along the best ray, or why there are none."""
    scale = search.scale
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
    path: AxonPath | None = None
    for width, tolerance_ms in ((2.5, 0.25), *[(1.8, 0.2)] * 4):
        expected = line[0] + line[1] * along
        near = np.abs(across - np.polyval(curve[::-1], along)) < width
        near &= (expected < search.last_fitted) & (expected > search.trough - scale.samples(0.1))
        if near.sum() < 4:
            return "fewer than 4 electrodes are along the best ray"
        tolerance = tolerance_ms * scale.samples_per_ms
        t, height = _peaks(waves[:, rows[near], columns[near]], expected[near], tolerance)
        seen = (height > MIN_PEAK) & np.isfinite(t)
        if seen.sum() < 4:
            return "fewer than 4 electrodes along the best ray see the wave"
        fit = _fit_path(theta, along[near][seen], across[near][seen], t[seen], height[seen], scale)
        if fit is None:
            return "the path's fit is singular"
        if fit.line[1] <= 0:
            return "the wave does not move away from the soma"
        path, curve, line = fit, fit.curve, fit.line
    assert path is not None
    u = np.sort(path.u[path.inliers])
    if len(u) == 0:
        return "no electrode is on the path"
    gaps = np.flatnonzero(np.diff(u) > LONGEST_GAP)
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


def _fit_path(theta: float, u: Floats, across: Floats, t: Floats, height: Floats, scale: ImageScale) -> AxonPath | None:
    weight = np.minimum(height, 12.0) ** 2
    degree = 2 if np.ptp(u) > 12 else 1
    lateral = fit_polynomial(u, across, weight, degree, min_scale=0.25)
    if lateral is None:
        return None
    min_ms = 0.0075
    line = fit_polynomial(u, t, weight, 1, min_scale=min_ms * scale.samples_per_ms, prior=lateral.robust)
    if line is None:
        return None
    curve = np.zeros(3)
    curve[: degree + 1] = lateral.coefficients
    return AxonPath(theta, curve, line.coefficients, u, across, t, weight, line.robust, NAN)
