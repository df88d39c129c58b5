"""Simulated chip: places of cells, paths of axons, electrodes that work, and its place under the stimulus.

Places are (x, y) = (column, row) in electrodes, 0-based, an electrode's centre at its integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hdmea.simulate.options import AlignmentOptions, AxonOptions, ChipOptions, NoiseOptions

CHIP_SIDE = 65
OFF_CENTRE = 0.4  # a soma is at most so far from its electrode's centre, so that it is clear which one that is
STRAIGHT = 1e-6  # radians/electrode: less than this is drawn as this
MAX_TURN = 0.5  # radians between an axon's start and the straight line to the nerve head

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Layout:
    """Somata and axons; every array has one entry a unit, but nerve_head (2,).

    soma_xy (units, 2); amplitude counts at the soma; soma_sigma electrodes; is_monopole; axon_speed m/s; axon_ratio the
    soma's amplitude over the axon's; axon_sigma electrodes; axon_curvature radians/electrode, positive from x to y;
    axon_start radians, the direction in which it leaves the soma; axon_length electrodes, to the nerve head;
    wave_period electrodes and wave_phase of its change of amplitude.
    """

    soma_xy: Floats
    amplitude: Floats
    soma_sigma: Floats
    is_monopole: Bools
    axon_speed: Floats
    axon_ratio: Floats
    axon_sigma: Floats
    axon_curvature: Floats
    axon_start: Floats
    axon_length: Floats
    wave_period: Floats
    wave_phase: Floats
    nerve_head: Floats

    def __len__(self) -> int:
        return len(self.soma_xy)

    @property
    def soma_electrode(self) -> npt.NDArray[np.int64]:
        """Row and column of the nearest electrode (units, 2), 0-based."""
        return np.rint(self.soma_xy[:, ::-1]).astype(np.int64)

    def path(self, unit: int, distance: Floats) -> Floats:
        """Places (n, 2) on a unit's axon at those distances along it, electrodes."""
        turn, start = self.axon_curvature[unit], self.axon_start[unit]
        angle = start + turn * distance
        step = np.stack([np.sin(angle) - np.sin(start), np.cos(start) - np.cos(angle)], axis=1)
        return np.asarray(self.soma_xy[unit] + step / turn)

    def nearest_on_path(self, unit: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Distance along a unit's axon of its point nearest to each place, and distance of the place from it."""
        turn, start = self.axon_curvature[unit], self.axon_start[unit]
        middle = self.soma_xy[unit] + np.array([-np.sin(start), np.cos(start)]) / turn
        dx, dy = x - middle[0], y - middle[1]
        from_start = np.arctan2(dy * np.sign(turn), dx * np.sign(turn)) - (start - np.pi / 2)
        along = ((from_start + np.pi) % (2 * np.pi) - np.pi) / turn
        lateral = np.abs(np.hypot(dx, dy) - 1 / np.abs(turn))
        return np.asarray(along), np.asarray(lateral)

    def visible_chord(
        self, unit: int, patch: tuple[int, int], max_delay_s: float, pitch_um: float
    ) -> tuple[float, float]:
        """Direction (radians) and length (electrodes) of the axon's part on the patch that is reached in that time.

        NaN and 0 where there is none.
        """
        reach = min(self.axon_length[unit], max_delay_s * self.axon_speed[unit] * 1e6 / pitch_um)
        distance = np.arange(0, reach, 0.25)
        places = self.path(unit, distance)
        outside = ((places < -0.5) | (places > np.array(patch[::-1]) - 0.5)).any(axis=1)
        last = int(outside.argmax()) - 1 if outside.any() else len(distance) - 1
        if last < 1:
            return float("nan"), 0.0
        dx, dy = places[last] - places[0]
        return float(np.arctan2(dy, dx)), float(distance[last])


@dataclass(frozen=True, slots=True)
class Electrodes:
    """The sensor's electrodes: noise_sd (rows, columns) counts, and which ones give a constant."""

    noise_sd: npt.NDArray[np.float32]
    is_dead: Bools
    autocorrelation: float
    common_sd: float
    is_white: bool


@dataclass(frozen=True, slots=True)
class TrueAlignment:
    """Stimulus pixel = matrix · (x, y) + shift, for (x, y) in electrodes; what the matrix is made of besides."""

    matrix: Floats
    shift: Floats
    scale_px_per_um: float
    rotation_deg: float
    mirrored: bool

    def to_pixels(self, places: Floats) -> Floats:
        """Pixels of the noise movie (n, 2), x and y, over places on the chip (n, 2)."""
        return np.asarray(places @ self.matrix.T + self.shift)


def draw_electrodes(
    patch: tuple[int, int], chip: ChipOptions, noise: NoiseOptions, rng: np.random.Generator
) -> Electrodes:
    """Noise of each electrode, and the faults. `ValueError` where there are more faulty columns than columns."""
    if chip.dead_columns + chip.noisy_columns >= max(patch[1], 2) or chip.noisy_electrodes > patch[0] * patch[1]:
        raise ValueError(f"more faulty columns or electrodes than a patch of {patch[0]} x {patch[1]} can have")
    noise_sd = noise.counts * np.exp(rng.normal(0, 1, patch) * noise.spread)
    columns = rng.permutation(patch[1])
    dead, noisy = np.split(columns[: chip.dead_columns + chip.noisy_columns], [chip.dead_columns])
    noise_sd[:, noisy] *= rng.uniform(5, 20, len(noisy))
    some = rng.permutation(noise_sd.size)[: chip.noisy_electrodes]
    noise_sd.ravel()[some] *= rng.uniform(5, 30, len(some))
    is_dead = np.zeros(patch, bool)
    is_dead[:, dead] = True
    noise_sd[is_dead] = 0
    plain = noise.is_white and not (chip.dead_columns or chip.noisy_columns or chip.noisy_electrodes)
    return Electrodes(noise_sd.astype(np.float32), is_dead, noise.autocorrelation, noise.common * noise.counts, plain)


def draw_layout(
    n_units: int,
    patch: tuple[int, int],
    chip: ChipOptions,
    axons: AxonOptions,
    rng: np.random.Generator,
    is_dead: Bools | None = None,
) -> Layout:
    """Somata on working electrodes of a patch (rows, columns), and axons from each to the nerve head."""
    soma_xy = draw_somata(n_units, patch, rng, is_dead)[:, ::-1] + rng.uniform(-OFF_CENTRE, OFF_CENTRE, (n_units, 2))
    head = _nerve_head(patch, axons, rng)
    way = head - soma_xy
    length = np.hypot(*way.T)
    turn = rng.normal(0, axons.curvature * chip.pitch_um / 1000, n_units)
    most = 2 * np.sin(MAX_TURN) / np.maximum(length, 1e-6)
    turn = np.clip(turn, -most, most)
    turn = np.where(np.abs(turn) < STRAIGHT, STRAIGHT, turn)
    half = np.arcsin(turn * length / 2)
    speed = _log_uniform(axons.speed_m_s, n_units, rng)
    return Layout(
        soma_xy=soma_xy,
        amplitude=rng.uniform(*chip.amplitude_counts, n_units),
        soma_sigma=rng.uniform(*chip.soma_sigma_um, n_units) / chip.pitch_um,
        is_monopole=rng.permutation(n_units) < round(chip.monopole_fraction * n_units),
        axon_speed=speed,
        axon_ratio=_log_uniform(axons.soma_ratio, n_units, rng),
        axon_sigma=rng.uniform(*axons.sigma_um, n_units) / chip.pitch_um,
        axon_curvature=turn,
        axon_start=np.arctan2(way[:, 1], way[:, 0]) - half,
        axon_length=2 * half / turn,
        wave_period=rng.uniform(50, 130, n_units) / chip.pitch_um,
        wave_phase=rng.uniform(0, 2 * np.pi, n_units),
        nerve_head=head,
    )


def draw_somata(
    n_units: int, patch: tuple[int, int], rng: np.random.Generator, is_dead: Bools | None = None
) -> npt.NDArray[np.int64]:
    """Electrodes (units, 2), 0-based row and column; no two units share one as long as there are enough."""
    usable = np.arange(patch[0] * patch[1]) if is_dead is None else np.flatnonzero(~is_dead)
    rounds = -(-n_units // len(usable))
    order = np.array([rng.permutation(usable) for _ in range(rounds)], np.int64).ravel()[:n_units]
    return np.stack(np.divmod(order, patch[1]), axis=1)


def _log_uniform(limits: tuple[float, float], count: int, rng: np.random.Generator) -> Floats:
    return np.asarray(np.exp(rng.uniform(float(np.log(limits[0])), float(np.log(limits[1])), count)))


def _nerve_head(patch: tuple[int, int], axons: AxonOptions, rng: np.random.Generator) -> Floats:
    distance, angle = rng.uniform(0.8, 1.4) * max(patch), rng.uniform(0, 2 * np.pi)
    middle = (np.array(patch[::-1]) - 1) / 2
    if axons.nerve_head is not None:
        return np.asarray(axons.nerve_head, np.float64)
    return np.asarray(middle + distance * np.array([np.cos(angle), np.sin(angle)]))


def draw_alignment(
    patch: tuple[int, int],
    grid: tuple[int, int],
    options: AlignmentOptions,
    pitch_um: float,
    rng: np.random.Generator,
) -> TrueAlignment:
    """The map from the chip to a noise movie of `grid` pixels: middle on middle, but for a shift."""
    angle, mirrored = rng.uniform(0, 360), bool(rng.integers(2))
    rotation_deg = angle if options.rotation_deg is None else options.rotation_deg
    mirrored = mirrored if options.mirrored is None else options.mirrored
    cos, sin = np.cos(np.deg2rad(rotation_deg)), np.sin(np.deg2rad(rotation_deg))
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([1.0, -1.0 if mirrored else 1.0])
    matrix = matrix * options.scale * pitch_um
    middles = [(np.array(shape[::-1]) - 1) / 2 for shape in (patch, grid)]
    shift = middles[1] - matrix @ middles[0] + rng.normal(0, options.shift_px, 2)
    return TrueAlignment(matrix, shift, options.scale, float(rotation_deg), mirrored)
