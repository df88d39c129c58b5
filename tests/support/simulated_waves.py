"""Arrays that waves run over, with known truth: numbers, starts, speeds, directions, who took part. Shares nothing with
the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def grid(columns: int, rows: int, pitch_um: float) -> Floats:
    x, y = np.meshgrid(np.arange(columns) * pitch_um, np.arange(rows) * pitch_um)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def array_8x8() -> Floats:
    """64 electrodes, 200 µm apart."""
    return grid(8, 8, 200.0)


def array_60() -> Floats:
    """8 x 8 electrodes, 200 µm apart, without the corners."""
    places = grid(8, 8, 200.0)
    corner = np.isin(places[:, 0], (0, 1400)) & np.isin(places[:, 1], (0, 1400))
    return places[~corner]


def array_64x64() -> Floats:
    """4096 electrodes, 42 µm apart."""
    return grid(64, 64, 42.0)


@dataclass(frozen=True)
class TrueWave:
    start_s: float
    stop_s: float
    units: npt.NDArray[np.int64]
    speed_um_s: float
    direction_deg: float


@dataclass
class Simulated:
    positions_um: Floats
    trains_s: list[Floats]
    duration_s: float
    waves: list[TrueWave] = field(default_factory=list)


def simulate_waves(
    positions_um: Floats,
    duration_s: float,
    seed: int,
    *,
    interval_s: tuple[float, float] = (25.0, 90.0),
    speed_um_s: tuple[float, float] = (100.0, 300.0),
    share: tuple[float, float] = (0.3, 1.0),
    recruited: float = 0.85,
    jitter_s: float = 0.15,
    burst_s: float = 1.2,
    burst_hz: float = 12.0,
    background_hz: tuple[float, float] = (0.02, 0.3),
    lone_bursts_per_min: float = 0.1,
) -> Simulated:
    """Plane fronts that cross a disc of the array, one after another; Poisson spikes and lone bursts besides."""
    rng = np.random.default_rng(seed)
    units = len(positions_um)
    rates = rng.uniform(*background_hz, units)
    spikes: list[list[Floats]] = [[rng.uniform(0, duration_s, rng.poisson(rate * duration_s))] for rate in rates]
    for own in spikes:
        for at in rng.uniform(0, duration_s, rng.poisson(lone_bursts_per_min * duration_s / 60)):
            own.append(_burst(at, burst_s, burst_hz, rng))
    truth = []
    at = rng.uniform(*interval_s) / 2
    while True:
        speed, angle = rng.uniform(*speed_um_s), rng.uniform(0, 2 * np.pi)
        wanted = rng.uniform(*share) * units
        centre = positions_um[rng.integers(units)]
        away = np.hypot(*(positions_um - centre).T)
        inside = np.flatnonzero(away <= np.sort(away)[int(wanted) - 1])
        along = positions_um[inside] @ np.array([np.cos(angle), np.sin(angle)])
        front = at + (along - along.min()) / speed
        if front.max() + 4 * burst_s > duration_s:
            break
        taking_part = np.flatnonzero(rng.random(len(inside)) < recruited)
        for k in taking_part:
            onset = front[k] + rng.normal(0, jitter_s)
            spikes[inside[k]].append(_burst(max(onset, 0.0), burst_s, burst_hz, rng))
        stop = float(front[taking_part].max()) + burst_s
        truth.append(
            TrueWave(float(front[taking_part].min()), stop, inside[taking_part], speed, np.degrees(angle) % 360)
        )
        at = stop + rng.uniform(*interval_s)
    trains = [np.sort(np.concatenate(own)) for own in spikes]
    return Simulated(positions_um, [t[t < duration_s] for t in trains], duration_s, truth)


def _burst(at: float, burst_s: float, burst_hz: float, rng: np.random.Generator) -> Floats:
    """Spikes at irregular intervals, faster at first."""
    length = burst_s * rng.gamma(6, 1 / 6)
    count = max(4, rng.poisson(length * burst_hz))
    gaps = rng.gamma(2, 0.5, count - 1) * np.linspace(0.6, 1.4, count - 1)
    return at + np.concatenate([[0.0], np.cumsum(gaps) / gaps.sum() * length])


@dataclass
class Score:
    """How the waves that were found compare with the true ones."""

    true: int
    found: int
    false: int
    speed_errors: Floats  # relative
    direction_errors: Floats  # degrees

    @staticmethod
    def of(simulated: Simulated, waves: Sequence[Any]) -> Score:
        """A true wave is found once, by a wave of its time that shares half of the units of both."""
        used: set[int] = set()
        speeds, directions = [], []
        for true in simulated.waves:
            best, most = -1, 0
            for k, wave in enumerate(waves):
                overlaps = wave.start_s <= true.stop_s and wave.start_s + wave.duration_s >= true.start_s
                common = len(np.intersect1d(wave.units, true.units)) if overlaps and k not in used else 0
                if common > most and 2 * common >= len(true.units) and 2 * common >= len(wave.units):
                    best, most = k, common
            if best >= 0:
                used.add(best)
                speeds.append(waves[best].speed_um_s / true.speed_um_s - 1)
                directions.append((waves[best].direction_deg - true.direction_deg + 180) % 360 - 180)
        return Score(len(simulated.waves), len(used), len(waves) - len(used), np.array(speeds), np.array(directions))


def write_wave_file(
    path: Path, trains_s: Sequence[Floats], positions_um: Floats | None, duration_s: float | None, **meta: Any
) -> Path:
    """A file in the layout of the public recordings of retinal waves, by h5py; without names and what is None."""
    with h5py.File(path, "w") as file:
        file["spikes"] = np.concatenate([*trains_s, np.empty(0)])
        file["sCount"] = np.array([len(train) for train in trains_s], np.int32)
        if positions_um is not None:
            file["epos"] = positions_um.T
        if duration_s is not None:
            file["summary/duration"] = np.array([duration_s])
        for name, value in meta.items():
            file[f"meta/{name}"] = np.array([value.encode() if isinstance(value, str) else value])
    return path
