"""The simulated ganglion cells: receptive fields, time courses, tuning, and how they turn light into rates.

A linear-nonlinear-Poisson cascade (Chichilnisky 2001, Network 12:199): light, high-passed by slow adaptation, is
weighted by a Gaussian receptive field, filtered by a biphasic time course and turned into a rate by a sigmoid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal

from hdmea.io.stimulus_config import FRAME_RATE_HZ
from hdmea.simulate.stimuli import GREY, Movie
from hdmea.simulate.timeline import Timeline

MAX_RATE_HZ = 80.0
THRESHOLD = 2.0  # drive at half the maximal rate, in standard deviations of a noise movie's drive
SLOPE = 1.6
ADAPTATION_S = 0.4
KERNEL_FRAMES = 30
SECOND_LOBE = 0.3  # height of the time course's second lobe against its first
DIRECTION_DRIVE = 5.0
DIRECTION_SHARPNESS = 2.0  # kappa of the von Mises tuning curve
WEAK_COLOUR = 0.15

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Population:
    """What is true of each unit; every array has one entry a unit.

    rf_center: (units, 2) x (column) and y (row) in stimulus pixels, a pixel's centre at its integers; rf_sigma the
    same; polarity +1 (ON) or -1 (OFF); time_to_peak_s of the time course; preferred_direction_deg NaN where a unit is
    not direction selective; colour_weights: (units, 2) green and blue.
    """

    rf_center: Floats
    rf_sigma: Floats
    polarity: npt.NDArray[np.int64]
    time_to_peak_s: Floats
    preferred_direction_deg: Floats
    colour_weights: Floats

    def __len__(self) -> int:
        return len(self.polarity)

    @property
    def is_direction_selective(self) -> npt.NDArray[np.bool_]:
        """(units,)"""
        return np.isfinite(self.preferred_direction_deg)

    @property
    def preferred_color(self) -> list[str]:
        """ "green" or "blue" for each unit."""
        return ["green" if green > blue else "blue" for green, blue in self.colour_weights]

    def part(self, units: slice) -> Population:
        """The population of some of the units."""
        return Population(*(getattr(self, name)[units] for name in self.__slots__))


def draw_population(n_units: int, grid: tuple[int, int], ds_fraction: float, rng: np.random.Generator) -> Population:
    """`n_units` random cells whose receptive fields' centres lie well inside the stimulus grid."""
    height, width = grid
    margin = min(2.0, min(grid) / 4)
    center = rng.uniform([margin, margin], [width - 1 - margin, height - 1 - margin], (n_units, 2))
    direction = rng.uniform(0, 360, n_units)
    direction[rng.permutation(n_units)[round(ds_fraction * n_units) :]] = np.nan
    strong_green = rng.permutation(n_units) % 2 == 0
    colours = np.where(strong_green[:, None], [1.0, WEAK_COLOUR], [WEAK_COLOUR, 1.0])
    return Population(
        rf_center=center,
        rf_sigma=rng.uniform(1.0, 1.6, (n_units, 2)),
        polarity=np.where(rng.permutation(n_units) % 2 == 0, 1, -1).astype(np.int64),
        time_to_peak_s=rng.uniform(0.05, 0.09, n_units),
        preferred_direction_deg=direction,
        colour_weights=colours,
    )


def receptive_fields(population: Population, grid: tuple[int, int]) -> Floats:
    """Spatial weights (units, height, width), each of unit Euclidean norm: noise drives all units alike."""
    rows, columns = np.mgrid[: grid[0], : grid[1]]
    x = (columns[None] - population.rf_center[:, 0, None, None]) / population.rf_sigma[:, 0, None, None]
    y = (rows[None] - population.rf_center[:, 1, None, None]) / population.rf_sigma[:, 1, None, None]
    weights = np.exp(-(x**2 + y**2) / 2)
    return np.asarray(weights / np.sqrt((weights**2).sum(axis=(1, 2), keepdims=True)))


def time_courses(population: Population) -> Floats:
    """Biphasic impulse responses (units, KERNEL_FRAMES), lag 0 first, polarity included, unit Euclidean norm.

    The difference of two gamma-shaped lobes, as fitted to macaque ganglion cells (Chichilnisky & Kalmar 2002).
    """
    lag_s = np.arange(KERNEL_FRAMES) / FRAME_RATE_HZ
    first = population.time_to_peak_s[:, None]

    def lobe(peak_s: Floats) -> Floats:
        scaled = lag_s / peak_s
        return np.asarray((scaled * np.exp(1 - scaled)) ** 6)

    kernel = lobe(first) - SECOND_LOBE * lobe(2.0 * first)
    kernel /= np.sqrt((kernel**2).sum(axis=1, keepdims=True))
    return population.polarity[:, None] * kernel


def firing_rates(population: Population, timeline: Timeline, grid: tuple[int, int]) -> Floats:
    """Each unit's rate in each counted frame of a session (frame_count, units), spikes/s."""
    weights = receptive_fields(population, grid)
    drive = _projected_light(population, timeline, weights)
    drive -= _adapted_level(drive)
    kernels = time_courses(population)
    drive = np.asarray(signal.oaconvolve(drive, kernels.T, axes=0))[: len(drive)]
    for movie, start in timeline.shown:
        _drive_by_motion(drive[start : start + movie.length], population, movie, weights)
    return np.asarray(MAX_RATE_HZ / (1 + np.exp(-SLOPE * (drive - THRESHOLD))))


def resting_rate_hz() -> float:
    """The rate without any drive, spikes/s."""
    return float(MAX_RATE_HZ / (1 + np.exp(SLOPE * THRESHOLD)))


def _projected_light(population: Population, timeline: Timeline, weights: Floats) -> Floats:
    """Contrast seen through each receptive field (frames, units)."""
    green, blue = (population.colour_weights / population.colour_weights.sum(axis=1, keepdims=True)).T
    drive = (timeline.backgrounds()[:, None] - GREY) / GREY * weights.sum(axis=(1, 2))
    for movie, start in timeline.shown:
        part = drive[start : start + movie.length]
        part[:] = green * _weighted(movie.green, weights)
        part += blue * _weighted(movie.blue, weights)
    return np.asarray(drive)


def _weighted(frames: npt.NDArray[np.uint8], weights: Floats) -> Floats:
    contrast = (frames.reshape(len(frames), -1).astype(np.float64) - GREY) / GREY
    if contrast.shape[1] == 1:
        return np.asarray(contrast * weights.sum(axis=(1, 2)))
    return np.asarray(contrast @ weights.reshape(len(weights), -1).T)


def _adapted_level(drive: Floats) -> Floats:
    """The slow mean that the retina takes as grey: a one-pole low-pass, settled on the first frame."""
    if not drive.size:
        return drive
    keep = np.exp(-1 / (ADAPTATION_S * FRAME_RATE_HZ))
    level, _ = signal.lfilter([1 - keep], [1, -keep], drive, axis=0, zi=keep * drive[:1])
    return np.asarray(level)


def _drive_by_motion(drive: Floats, population: Population, movie: Movie, weights: Floats) -> None:
    """Direction-selective units follow the moving bar itself, light or dark, with a von Mises tuning curve."""
    moving = np.flatnonzero(np.isfinite(movie.direction_deg))
    units = np.flatnonzero(population.is_direction_selective)
    if not len(moving) or not len(units):
        return
    seen = weights[units].reshape(len(units), -1)
    bar = np.abs(movie.green[moving].reshape(len(moving), -1) - float(movie.background)) / 255
    overlap = bar @ seen.T / seen.sum(axis=1)
    off_axis = np.deg2rad(movie.direction_deg[moving, None] - population.preferred_direction_deg[units])
    tuning = np.exp(DIRECTION_SHARPNESS * (np.cos(off_axis) - 1))
    drive[np.ix_(moving, units)] = DIRECTION_DRIVE * overlap * tuning
