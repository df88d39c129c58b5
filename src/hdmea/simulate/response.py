"""From a movie to firing rates: each cell's filters over what it is shown, refresh by refresh.

A linear-nonlinear cascade (Chichilnisky 2001, Network 12:199): light, less a slow adaptation to its mean, is weighted
by a Gaussian field (less a wider one, the surround), filtered by a biphasic time course and turned into a rate by a
sigmoid. A direction-selective cell has two more fields, before and behind its centre along its preferred direction.
Their filtered signals a and b drive a motion detector (Hassenstein & Reichardt 1956; see Borst & Egelhaaf 1989, Trends
Neurosci 12:297): a, delayed, times b, less b, delayed, times a. It is positive for what moves from a to b, whether
light or dark, and is divided by the signals' own size, so that it tells direction and not contrast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal

from hdmea.simulate.movies import GREY, WHITE, Floats, Movie
from hdmea.simulate.population import Population, time_courses
from hdmea.simulate.timeline import Timeline

MAX_RATE_HZ = 80.0
THRESHOLD = 2.0  # drive at half the maximal rate, in standard deviations of a noise movie's drive
SLOPE = 1.6
DETECTOR_SPACING_PX = 1.5  # between the detector's two fields, in pixels of the noise movie
DETECTOR_DELAY_S = 0.1  # what moves 15 of those pixels a second takes so long from one field to the other
DETECTOR_GAIN = 4.0
LINEAR_SHARE = 0.6  # of the linear drive that a direction-selective cell keeps
AXIAL_SHARE = 0.3  # that an orientation-selective one keeps


@dataclass(frozen=True, slots=True)
class _Views:
    """Gaussian weights (views,) in pixels of the noise movie; unit: whose each is."""

    unit: npt.NDArray[np.int64]
    center: Floats
    sigma: Floats
    gain: Floats

    def profiles(self, grid: tuple[int, int], of_grid: tuple[int, int]) -> tuple[Floats, Floats]:
        """Their weights along rows (views, height) and columns (views, width) of a movie of `of_grid` pixels.

        A field of the noise movie's `grid` has the same weight in sum on any movie, of larger or smaller pixels.
        """
        scales = [count / unit for count, unit in zip(of_grid, grid, strict=True)]
        rows, columns = (
            np.exp(-((_centers(count, scale) - self.center[:, 1 - axis, None]) ** 2) / (2 * sigma**2)) / scale
            for axis, (count, scale, sigma) in enumerate(
                zip(of_grid, scales, (self.sigma[:, 1:], self.sigma[:, :1]), strict=True)
            )
        )
        return rows * self.gain[:, None], columns


def _centers(count: int, scale: float) -> Floats:
    """Places of `count` pixels, `scale` of them on one pixel of the noise movie, in the latter's pixels."""
    return np.asarray((np.arange(count) - (scale - 1) / 2) / scale)


def receptive_fields(population: Population, grid: tuple[int, int]) -> Floats:
    """Spatial weights (units, height, width) on the noise movie.

    The centre has unit Euclidean norm, noise drives alike.
    """
    views = _views(population)
    linear = len(population) + int((population.surround > 0).sum())
    rows, columns = (axis[:linear] for axis in views.profiles(grid, grid))
    fields = np.zeros((len(population), *grid))
    np.add.at(fields, views.unit[:linear], rows[:, :, None] * columns[:, None, :])
    return fields


def firing_rates(population: Population, timeline: Timeline, grid: tuple[int, int]) -> Floats:
    """Each unit's rate during each refresh of a session (refreshes, units), spikes/s.

    grid: height and width of the noise movie, in whose pixels fields are given.
    """
    views, units = _views(population), len(population)
    centre, surround, detectors = np.split(
        _seen(views, population, timeline, grid), [units, units + int((population.surround > 0).sum())], axis=1
    )
    centre[:, population.surround > 0] += surround
    owners = views.unit[len(views.unit) - detectors.shape[1] :]
    kernels = time_courses(population, timeline.refresh_hz)
    drive = _filtered(centre, kernels, population.adaptation_s, timeline.refresh_hz)
    if len(owners):
        both = _filtered(detectors, kernels[owners], population.adaptation_s[owners], timeline.refresh_hz)
        motion = _motion(both, round(DETECTOR_DELAY_S * timeline.refresh_hz))
        selective = np.isfinite(population.motion_axis_deg)
        either = ~population.is_direction_selective[selective]
        motion[:, either] = np.abs(motion[:, either])
        kept = np.where(either, AXIAL_SHARE, LINEAR_SHARE)
        drive[:, selective] = kept * drive[:, selective] + DETECTOR_GAIN * motion
    return np.asarray(population.gain * MAX_RATE_HZ / (1 + np.exp(-SLOPE * (drive - THRESHOLD))))


def resting_rate_hz() -> float:
    """The rate without any drive, spikes/s."""
    return float(MAX_RATE_HZ / (1 + np.exp(SLOPE * THRESHOLD)))


def _views(population: Population) -> _Views:
    """Centres of all, surrounds (negative) of the units that have one, and detectors.

    First fields, then second ones.
    """
    units, around = np.arange(len(population)), population.surround > 0
    sigma, gain = population.rf_sigma, 1 / np.sqrt(np.pi * population.rf_sigma.prod(axis=1))
    selective = np.isfinite(population.motion_axis_deg)
    angle = np.deg2rad(population.motion_axis_deg[selective])
    step = DETECTOR_SPACING_PX / 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    center, wider = population.rf_center, sigma * population.surround_ratio[:, None]
    owner = np.concatenate([units, units[around], np.tile(units[selective], 2)])
    return _Views(
        owner,
        np.concatenate([center, center[around], center[selective] - step, center[selective] + step]),
        np.concatenate([sigma, wider[around], sigma[selective], sigma[selective]]),
        np.concatenate([gain, -(gain * population.surround)[around], gain[selective], gain[selective]]),
    )


def _seen(views: _Views, population: Population, timeline: Timeline, grid: tuple[int, int]) -> Floats:
    """Contrast (luminance - grey)/grey seen through each view (refreshes, views)."""
    colours = population.colour_weights / population.colour_weights.sum(axis=1, keepdims=True)
    green, blue = colours[views.unit].T
    weight = np.prod([axis.sum(axis=1) for axis in views.profiles(grid, grid)], axis=0)
    by_frame = (timeline.backgrounds()[:, None] - GREY) / GREY * weight
    patterns: dict[str, Floats] = {}
    for movie, start in timeline.shown:
        if movie.name not in patterns:
            patterns[movie.name] = _patterns_seen(views, movie, green, blue, grid)
        by_frame[start : start + movie.length] = patterns[movie.name][movie.shown]
    dark, lit = (weight * (level - GREY) / GREY for level in (0, WHITE))
    return timeline.by_refresh(by_frame, dark, lit)


def _patterns_seen(views: _Views, movie: Movie, green: Floats, blue: Floats, grid: tuple[int, int]) -> Floats:
    """Contrast of each of a movie's patterns through each view (patterns, views)."""
    rows, columns = views.profiles(grid, movie.grid)
    seen = movie.green.project(rows, columns)
    if movie.has_colours:
        seen = green * seen + blue * movie.blue.project(rows, columns)
    return np.asarray((seen - GREY * rows.sum(axis=1) * columns.sum(axis=1)) / GREY)


def _filtered(drive: Floats, kernels: Floats, adaptation_s: Floats, refresh_hz: float) -> Floats:
    """Remove the slow mean, as adaptation does (a one-pole low-pass, settled on the first refresh), in time."""
    if not drive.size:
        return drive
    level = np.empty_like(drive)
    for constant_s in np.unique(adaptation_s):
        same, keep = adaptation_s == constant_s, np.exp(-1 / (constant_s * refresh_hz))
        level[:, same], _ = signal.lfilter([1 - keep], [1, -keep], drive[:, same], axis=0, zi=keep * drive[:1, same])
    return np.asarray(signal.oaconvolve(drive - level, kernels.T, axes=0))[: len(drive)]


def _motion(both: Floats, delay: int) -> Floats:
    """Motion from the first fields to the second ones (refreshes, cells), between -1 and 1.

    Both: first, then second.
    """
    late = np.concatenate([both[:1].repeat(delay, axis=0), both])[: len(both)]
    first, second = np.split(both, 2, axis=1)
    late_first, late_second = np.split(late, 2, axis=1)
    opponent = late_first * second - first * late_second
    return np.asarray(opponent / (1 + (late_first**2 + late_second**2 + first**2 + second**2) / 2))
