"""The simulated ganglion cells: what is true of each, and the filters that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.simulate.options import CellOptions, CellType

KERNEL_FRAMES = 30
SECOND_LOBE = 0.3  # height of the time course's second lobe against its first
WEAK_COLOUR = 0.15
RF_SIGMA_PX = (1.0, 1.6)
TIME_TO_PEAK_S = (0.05, 0.09)
ADAPTATION_S = 0.4

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Population:
    """True properties of the units; every array has one entry a unit.

    rf_center: (units, 2) x (column) and y (row) in pixels of the noise movie, a pixel's centre at its integers;
    rf_sigma the same; polarity +1 (ON) or -1 (OFF); time_to_peak_s of the time course; preferred_direction_deg, from x
    to y (90 is to larger rows), NaN where a unit is not direction selective; preferred_orientation_deg of the axis
    along which, to either side, a unit prefers movement, NaN where it does not; colour_weights: (units, 2) green and
    blue; surround: amplitude of the surround against the centre's, 0 for none; surround_ratio: its size against the
    centre's; adaptation_s: time constant of the adaptation to the mean light; gain: factor on the rate; cell_type:
    number of the cell's type, -1 where there are no types.
    """

    rf_center: Floats
    rf_sigma: Floats
    polarity: npt.NDArray[np.int64]
    time_to_peak_s: Floats
    preferred_direction_deg: Floats
    preferred_orientation_deg: Floats
    colour_weights: Floats
    surround: Floats
    surround_ratio: Floats
    adaptation_s: Floats
    gain: Floats
    cell_type: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.polarity)

    @property
    def is_direction_selective(self) -> Bools:
        """(units,)"""
        return np.isfinite(self.preferred_direction_deg)

    @property
    def motion_axis_deg(self) -> Floats:
        """Along which a unit detects movement (units,), NaN for none."""
        return np.where(self.is_direction_selective, self.preferred_direction_deg, self.preferred_orientation_deg)

    @property
    def preferred_color(self) -> list[str]:
        """ "green" or "blue" for each unit."""
        return ["green" if green > blue else "blue" for green, blue in self.colour_weights]

    def part(self, units: slice) -> Population:
        """The population of some of the units."""
        return Population(*(getattr(self, name)[units] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Irregularities:
    """Deviations of units' spikes from what light makes them; every array has one entry a unit.

    drift_trend: ln(rate) changes from -trend to +trend over the recording; drift_wave, wave_period_s, wave_phase: and
    by wave · sin(2πt/period + phase). burst_probability: of a spike to be followed by more. is_silent: sees nothing.
    contaminated_by: number of the unit whose spikes are mixed in, -1 for none; contamination: their share, of what was
    asked for.
    """

    drift_trend: Floats
    drift_wave: Floats
    wave_period_s: Floats
    wave_phase: Floats
    burst_probability: Floats
    is_silent: Bools
    contaminated_by: npt.NDArray[np.int64]
    contamination: Floats

    def log_gain(self, unit: int, time_s: Floats, duration_s: float) -> Floats:
        """ln of the factor on a unit's rate at those times."""
        trend = self.drift_trend[unit] * (2 * time_s / max(duration_s, 1e-9) - 1)
        wave = np.sin(2 * np.pi * time_s / self.wave_period_s[unit] + self.wave_phase[unit])
        return np.asarray(trend + self.drift_wave[unit] * wave)


def draw_population(
    n_units: int,
    grid: tuple[int, int],
    ds_fraction: float,
    rng: np.random.Generator,
    cells: CellOptions | None = None,
    centers: Floats | None = None,
    types: Sequence[CellType] = (),
) -> Population:
    """`n_units` random cells.

    centers: (units, 2) of their receptive fields; None: anywhere well inside the stimulus grid (height, width). With
    types polarity, colour, times and direction are those of the types, and ds_fraction does not count.
    """
    cells = cells or CellOptions()
    height, width = grid
    margin = min(2.0, min(grid) / 4)
    inside = rng.uniform([margin, margin], [width - 1 - margin, height - 1 - margin], (n_units, 2))
    direction = rng.uniform(0, 360, n_units)
    direction[rng.permutation(n_units)[round(ds_fraction * n_units) :]] = np.nan
    strong_green = rng.permutation(n_units) % 2 == 0
    colours = np.where(strong_green[:, None], [1.0, WEAK_COLOUR], [WEAK_COLOUR, 1.0])
    drawn = Population(
        rf_center=inside if centers is None else np.asarray(centers, np.float64),
        rf_sigma=rng.uniform(*RF_SIGMA_PX, (n_units, 2)),
        polarity=np.where(rng.permutation(n_units) % 2 == 0, 1, -1).astype(np.int64),
        time_to_peak_s=rng.uniform(*TIME_TO_PEAK_S, n_units),
        preferred_direction_deg=direction,
        preferred_orientation_deg=np.full(n_units, np.nan),
        colour_weights=colours,
        surround=np.where(_some(n_units, cells.surround_fraction, rng), cells.surround_strength, 0.0),
        surround_ratio=np.full(n_units, cells.surround_ratio),
        adaptation_s=np.full(n_units, ADAPTATION_S),
        gain=np.ones(n_units),
        cell_type=np.full(n_units, -1, np.int64),
    )
    return _of_types(drawn, types, rng) if types else drawn


def _of_types(drawn: Population, types: Sequence[CellType], rng: np.random.Generator) -> Population:
    """The same cells with what their types say; as many of each type, in random order."""
    count = len(drawn)
    which = rng.permutation(np.arange(count) % len(types))
    kinds = [types[n] for n in which.tolist()]
    scatter = np.array([kind.scatter for kind in kinds]).reshape(-1, 1) * rng.standard_normal((count, 2))
    times = np.array([(kind.time_to_peak_s, kind.adaptation_s) for kind in kinds]).reshape(-1, 2) * np.exp(scatter)
    selective = np.array([kind.is_direction_selective for kind in kinds], np.bool_)
    colours = {"green": (1.0, WEAK_COLOUR), "blue": (WEAK_COLOUR, 1.0)}
    axial = np.array([kind.is_orientation_selective for kind in kinds], np.bool_)
    return replace(
        drawn,
        polarity=np.array([kind.polarity for kind in kinds], np.int64),
        time_to_peak_s=times[:, 0],
        preferred_direction_deg=np.where(selective, rng.uniform(0, 360, count), np.nan),
        preferred_orientation_deg=np.where(axial, rng.uniform(0, 180, count), np.nan),
        colour_weights=np.array([colours[kind.colour] for kind in kinds]).reshape(-1, 2),
        adaptation_s=times[:, 1],
        gain=np.exp(np.array([kind.gain_scatter for kind in kinds]) * rng.standard_normal(count)),
        cell_type=which.astype(np.int64),
    )


def draw_irregularities(n_units: int, cells: CellOptions, soma_xy: Floats, rng: np.random.Generator) -> Irregularities:
    """Drift, bursts, silence and contamination; soma_xy (units, 2) tells which cell is the nearest one."""
    silent = _some(n_units, cells.silent_fraction, rng)
    contaminated = _some(n_units, cells.contaminated_fraction, rng) if n_units > 1 else np.zeros(n_units, bool)
    distance = np.hypot(*(soma_xy[:, None, :] - soma_xy[None, :, :]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(axis=1) if n_units else np.empty(0, np.int64)
    return Irregularities(
        drift_trend=rng.normal(0, cells.drift, n_units),
        drift_wave=rng.normal(0, cells.drift / 2, n_units),
        wave_period_s=rng.uniform(120, 600, n_units),
        wave_phase=rng.uniform(0, 2 * np.pi, n_units),
        burst_probability=np.where(_some(n_units, cells.burst_fraction, rng), cells.burst_probability, 0.0),
        is_silent=silent,
        contaminated_by=np.where(contaminated, nearest, -1).astype(np.int64),
        contamination=np.where(contaminated, cells.contamination, 0.0),
    )


def _some(n_units: int, fraction: float, rng: np.random.Generator) -> Bools:
    return np.asarray(rng.permutation(n_units) < round(fraction * n_units))


def time_courses(population: Population, refresh_hz: float = 60.0) -> Floats:
    """Biphasic impulse responses (units, KERNEL_FRAMES), lag 0 first, polarity included, unit Euclidean norm.

    The difference of two gamma-shaped lobes, as fitted to macaque ganglion cells (Chichilnisky & Kalmar 2002).
    """
    lag_s = np.arange(KERNEL_FRAMES) / refresh_hz
    first = population.time_to_peak_s[:, None]

    def lobe(peak_s: Floats) -> Floats:
        scaled = lag_s / peak_s
        return np.asarray((scaled * np.exp(1 - scaled)) ** 6)

    kernel = lobe(first) - SECOND_LOBE * lobe(2.0 * first)
    kernel /= np.sqrt((kernel**2).sum(axis=1, keepdims=True))
    return population.polarity[:, None] * kernel


def as_lists(arrays: Any) -> dict[str, Any]:
    """A data class of arrays as plain lists for JSON; None for what is not a number."""
    values = {part.name: getattr(arrays, part.name) for part in fields(arrays)}
    return {name: _plain(np.asarray(value)) for name, value in values.items()}


def _plain(values: npt.NDArray[Any]) -> Any:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return [value if np.isfinite(value) else None for value in values.tolist()]
    return values.tolist()
