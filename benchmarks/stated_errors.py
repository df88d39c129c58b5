"""Which part of the true values lies within the errors that are stated: the tables of docs/measures.md.

    python benchmarks/stated_errors.py [CELLS [TABLE ...]]

CELLS: cells a row (default 100; half of them where noise has heavy tails). TABLE: responses, bursts, mixed, images,
fields, maps, heads, waves (default all). Generators are those of the tests; a table is the same alone and among others.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import fdtri, stdtrit

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from hdmea.features import FeatureRegistry
from hdmea.geometry import (
    ImageScale,
    align,
    clean_image,
    find_nerve_head,
    receptive_field,
    soma_geometry,
    soma_polar,
    track_axon,
)
from hdmea.spontaneous import find_waves_in, over_distance
from support.electrode_cells import SPIKE, cell_image
from support.noise_cells import HOLD, noise_cell, respond, triggered
from support.simulated_waves import array_60, simulate_waves
from support.spiking_units import Clock, Field, bursting_train, sectioned, tuned, unit_of

STEP, BAR, CHIRP = "step_up_5s_5i_b0_3x", "moving_h_bar_s5_d8_3x", "freq_step_5st_3x"
LENGTHS = {STEP: 600, BAR: 4520, CHIRP: 1500}
TRIALS = (3, 10, 30)
POISSON, BURSTS, MIXED = "Poisson spikes", "bursts of 3", "a fifth of its spikes another unit's"
F1_STEP = 3  # the fourth frequency, of 4 Hz


class Table:
    """A row a stated error, a column a condition; a cell is the shares within the errors of 68 and 95 %."""

    def __init__(self, first: str) -> None:
        self.first, self.rows, self.columns = first, defaultdict[str, dict[str, str]](dict), dict[str, None]()

    def add(self, name: str, column: str, of_one: Any, of_two: Any) -> None:
        self.columns[column] = None
        self.rows[name][column] = f"{100 * np.mean(of_one):.0f}, {100 * np.mean(of_two):.0f} % of {np.size(of_one)}"

    def within(self, name: str, column: str, off: Any, error: Any, wide: Any = None) -> None:
        """What is off by less than a standard error, and by less than 1.96 or than `wide`, an interval's half."""
        off, error = np.ravel(off), np.ravel(error)
        wide = 1.96 * error if wide is None else np.ravel(wide)
        known = np.isfinite(off) & np.isfinite(error)
        self.add(name, column, off[known] < error[known], off[known] < wide[known])

    def show(self) -> None:
        print(f"| {self.first} | {' | '.join(self.columns)} |\n|{'---|' * (1 + len(self.columns))}")
        for name, cells in self.rows.items():
            print(f"| {name} | {' | '.join(cells.get(column, '–') for column in self.columns)} |")
        print(flush=True)


def turned(degrees: Any, turn: float = 360.0) -> Any:
    return np.abs((np.asarray(degrees) + turn / 2) % turn - turn / 2)


def units(movie: str, rate_of, trials: int, count: int, kind: str) -> Iterator[tuple[dict, float]]:
    """Measures and truth of units: of Poisson spikes, of bursts at the same rate, or with some of another unit's."""
    rng, clock, extractor = np.random.default_rng(1), Clock(60.3, 150_000, 1), FeatureRegistry.get(movie)()
    config, length = extractor.settings({"permutations": 1} if movie == BAR else {}, movie), LENGTHS[movie]
    starts = [100 + length * trial for trial in range(trials)]
    for _ in range(count):
        rate, truth = rate_of(rng)
        rate = evaluated_once(rate)
        if kind == BURSTS:
            trains = [bursting_train(clock, start, length, 1.0, 3, rng, rate) for start in starts]
            unit = sectioned(clock, movie, starts, length, trains)
        else:
            share, other = (0.25, evaluated_once(rate_of(rng)[0])) if kind == MIXED else (0.0, rate)
            mixed = [lambda frames, a=rate, b=other, part=share: a(frames) + part * b(frames)] * trials
            unit = unit_of(clock, movie, length, mixed, rng)
        yield extractor.extract(unit, {}, config, clock.metadata), truth


def evaluated_once(rate):
    """The same rate, remembered: every trial asks for it at the same frames."""
    known: dict[int, Any] = {}

    def of(frames):
        if len(frames) not in known:
            known[len(frames)] = rate(frames)
        return known[len(frames)]

    return of


def plateau(rng):
    at_ms = rng.uniform(60, 160)
    return lambda frames: 5 + 60 * (((frames - 60) / 60.3 >= at_ms / 1000) & (frames < 360)), at_ms


def steady(rng):
    return lambda frames: 5 + 60 * (((frames - 60) / 60.3 >= 0.08) & (frames < 360)), 0.0


def moving(rng):
    preferred = rng.uniform(0, 360)
    return Field(*rng.uniform(-100, 100, 2)).rate(4.0, tuned(0.3, preferred, 40.0)), preferred


def oriented(rng):
    preferred = rng.uniform(0, 180)
    heights = 40 * (1 + 0.6 * np.cos(2 * np.deg2rad(np.arange(8) * 45 - preferred)))
    return Field(*rng.uniform(-100, 100, 2)).rate(4.0, heights), preferred


def flickering(rng):
    phase = rng.uniform(0, 2 * np.pi)

    def rate(frames):
        inside = (frames >= 930) & (frames < 1170)
        return 20 * (1 + 0.5 * np.sin(2 * np.pi * 4 * (frames - 930) / 60 + phase) * inside)

    return rate, 10.0


def of_responses(count: int, kind: str) -> Table:
    """Latency, direction, index, orientation, F1, and changes of units that do not change."""
    table = Table(f"of a unit's response, {kind}")
    for trials in TRIALS:
        shown = f"{trials} trials"
        found = list(units(STEP, plateau, trials, count, kind))
        off = [abs(one["on_latency_ms"] - truth) for one, truth in found]
        table.within("`on_latency_se_ms`", shown, off, [one["on_latency_se_ms"] for one, _ in found])
        found = list(units(BAR, moving, trials, count, kind))
        off = turned([one["preferred_direction"] - truth for one, truth in found])
        se, ci95 = ([one[f"preferred_direction_{name}"] for one, _ in found] for name in ("se", "ci95"))
        table.within("`preferred_direction_se`, `preferred_direction_ci95`", shown, off, se, ci95)
        low, high = (np.array([one[f"dsi_cv_{end}"] for one, _ in found]) for end in ("low", "high"))
        part = stdtrit(trials - 1, 0.84) / stdtrit(trials - 1, 0.975)  # Student's t of 68 % over that of 95 %
        half = (high - low) / 2
        table.within("`dsi_cv_low`, `dsi_cv_high`", shown, abs((high + low) / 2 - 0.3), part * half, half)
        found = list(units(BAR, oriented, trials, count, kind))
        off = turned([one["preferred_orientation"] - truth for one, truth in found], 180)
        se, ci95 = ([one[f"preferred_orientation_{name}"] for one, _ in found] for name in ("se", "ci95"))
        table.within("`preferred_orientation_se`, `preferred_orientation_ci95`", shown, off, se, ci95)
        found = [one for one, _ in units(CHIRP, flickering, trials, count, kind)]
        off = [abs(one["f1_amplitude"][F1_STEP] - 10.0) for one in found]
        table.within("`f1_se`", shown, off, [one["f1_se"][F1_STEP] for one in found])
        if trials >= 6:
            p_value = np.array([one["change_p_value"] for one, _ in units(STEP, steady, trials, count, kind)])
            table.add("`change_p_value` of no change", shown, p_value > 0.32, p_value > 0.05)
    return table


def of_images(count: int) -> Table:
    """Somata and axons, with noise of several kinds."""
    table = Table("of an image of 50 spikes")
    kinds: dict[str, dict[str, Any]] = {
        "white noise": {},
        "white, correlated over 2 electrodes": {"reach": 2.0},
        "over 4 electrodes": {"reach": 4.0},
        "heavy tails (t3)": {"tails": True},
        "a second soma of 30 %": {"overlap": 0.3},
        "a neighbour of 10 %": {"neighbour": 0.1},
    }
    for kind, options in kinds.items():
        rng = np.random.default_rng(2)
        place, speed, way, slope = [], [], [], []
        for _ in range(count // 2 if options.get("tails") else count):
            image, cell = cell_image(rng, spikes=50, **options)
            clean = clean_image(image, ImageScale(20_000, SPIKE, 16.0))
            soma = soma_geometry(clean)
            place.append((abs(soma.center_col - cell.x), soma.center_col_se))
            place.append((abs(soma.center_row - cell.y), soma.center_row_se))
            axon = track_axon(clean, soma=soma)
            if axon.axon_seen:
                speed.append((abs(axon.velocity_m_s - cell.speed), axon.velocity_se))
                way.append((turned(axon.direction_angle - np.degrees(cell.direction)), axon.direction_angle_se))
                slope.append((abs(axon.slope - np.tan(cell.direction)), axon.std_err))
        table.within("`center_col_se`, `center_row_se` of a soma", kind, *np.transpose(place))
        table.within("`velocity_se`", kind, *np.transpose(speed))
        table.within("`direction_angle_se`", kind, *np.transpose(way))
        table.within("`std_err` of an axon's `slope`", kind, *np.transpose(slope))
    return table


def of_fields(count: int) -> Table:
    """Centres of receptive fields; bursts give every spike three times."""
    table = Table("of a receptive field")
    for spikes, each in ((200, 1), (1000, 1), (5000, 1), (1000, 3)):
        rng, off, error = np.random.default_rng(5), [], []
        for _ in range(count):
            cell = noise_cell(rng)
            field = receptive_field(
                triggered(each * respond(rng, cell, "sigmoid", spikes // each)[0]), last_frame=1, hold=HOLD
            )
            off += [abs(field.center_col - cell.x), abs(field.center_row - cell.y)]
            error += [field.center_col_se, field.center_row_se]
        kind = f"{spikes} spikes, {'bursts of 3' if each > 1 else 'Poisson'}"
        table.within("`center_col_se`, `center_row_se`, and `center_x_se`, `center_y_se`", kind, off, error)
    return table


def of_maps(count: int) -> Table:
    """Maps from chip to stimulus."""
    table = Table("of a map from chip to stimulus")
    grid = 16.0 * np.array([(x, y) for x in (8.0, 32.0, 56.0) for y in (8.0, 32.0, 56.0)])
    for pairs, tails in ((6, False), (8, False), (20, False), (60, False), (20, True)):
        rng, places, scales = np.random.default_rng(3), [], []
        for _ in range(count):
            turn = rng.uniform(0, 2 * np.pi)
            matrix = 0.012 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            somata = rng.uniform(0, 1024, (pairs, 2))
            noise = rng.standard_t(3, (pairs, 2)) / np.sqrt(3) if tails else rng.normal(size=(pairs, 2))
            found = align(somata, somata @ matrix.T + 7 + 0.4 * noise)
            if found.valid:
                away = found.predict(grid) - grid @ matrix.T - 7
                errors = found.predict_se(grid), found.predict_ci95(grid)
                places.append([np.abs(away), *(np.tile(one, (2, 1)).T for one in errors)])
                scales.append((abs(found.scale_px_per_um / 0.012 - 1), found.scale_relative_se))
        kind = f"{pairs} pairs{', heavy tails (t3)' if tails else ''}"
        table.within("`predict_se`, `predict_ci95`, `center_corrected_se`", kind, *np.swapaxes(places, 0, 1))
        table.within("`scale_relative_se`", kind, *np.transpose(scales))
    return table


def of_heads(count: int) -> Table:
    """Nerve heads and polar coordinates, of axons that err alone or together."""
    table = Table("of 60 axons, 3° each, seen over 40 electrodes")
    kinds = {"errors of their own": 0.0, "all bend by 0.05° an electrode": 0.05, "all bend by 0.1°": 0.1, "skewed": 0.0}
    for kind, bend in kinds.items():
        for distance in (25.0, 80.0) if bend else (25.0, 80.0, 1500.0):
            rng, ellipse, radius, angle, direction = np.random.default_rng(4), [], [], [], []
            for _ in range(count):
                way, somata = rng.uniform(0, 2 * np.pi), rng.uniform(2, 62, (60, 2))
                head = 32 + distance * np.array([np.cos(way), np.sin(way)])
                apart = np.hypot(*(head - somata).T)
                errors = 3 * (rng.exponential(1, 60) - 1 if kind == "skewed" else rng.normal(size=60))
                bent = bend * np.maximum(apart - 40, 0) / 2
                angles = np.degrees(np.arctan2(*(head - somata).T[::-1])) + errors + bent
                found = find_nerve_head(somata, angles)
                if found.status == "direction":
                    direction.append((turned(found.direction_deg - np.degrees(way)), found.direction_se_deg))
                if found.status != "position":
                    continue
                away = head - [found.x, found.y]
                used = found.n_cells_used
                limits = 2 * (used - 1) / (used - 2) * fdtri(2, used - 2, [0.6827, 0.95])
                ellipse.append(away @ np.linalg.solve(found.covariance, away) < limits)
                polar = soma_polar(found, *somata[0], 16.0)
                radius.append((abs(polar.radius_um - 16 * apart[0]), polar.radius_se_um))
                truth = np.degrees(np.arctan2(*(somata[0] - head)[::-1]))
                angle.append((turned(polar.angle_deg - truth), polar.angle_se_deg))
            shown = f"head {distance:.0f} electrodes away"
            if distance < 1500:
                table.add(f"`covariance`, `region_major`, `region_minor`: {kind}", shown, *np.transpose(ellipse))
                table.within(f"`radius_se_um`: {kind}", shown, *np.transpose(radius))
                table.within(f"`angle_se_deg`: {kind}", shown, *np.transpose(angle))
            else:
                table.within(f"`direction_se_deg`: {kind}", shown, *np.transpose(direction))
    return table


def of_waves(count: int) -> Table:
    """Speeds and directions of fronts, and decays of a synchrony that falls with distance."""
    table = Table("of waves over 60 electrodes, and of synchrony")
    for kind, options in {"85 % take part": {}, "every other unit takes part": {"recruited": 0.5}}.items():
        made = simulate_waves(array_60(), 80.0 * count, 6, **options)
        speed, way = [], []
        for wave in find_waves_in(made.trains_s, made.positions_um, duration_s=made.duration_s):
            true = max(
                made.waves, key=lambda one, own=wave: len(np.intersect1d(one.units, own.units)) * _shared(one, own)
            )
            if _shared(true, wave):
                speed.append((abs(wave.speed_um_s - true.speed_um_s), wave.speed_se_um_s))
                way.append((turned(wave.direction_deg - true.direction_deg), wave.direction_se_deg))
        table.within("`speed_se_um_s`", kind, *np.transpose(speed))
        table.within("`direction_se_deg`", kind, *np.transpose(way))
    rng, decays = np.random.default_rng(7), []
    for _ in range(count):
        places, own = rng.uniform(0, 1500, (60, 2)), rng.normal(0, 0.05, 60)  # a unit's error is in all of its pairs
        apart = np.hypot(*(places[:, None] - places).transpose(2, 0, 1))
        found = over_distance(0.6 * np.exp(-apart / 150 + own[:, None] + own), places, edges_um=np.arange(0, 1600, 40))
        decays.append((abs(found.decay_um - 150), found.decay_se_um))
    table.within("`decay_se_um`", "60 units that err", *np.transpose(decays))
    return table


def _shared(true: Any, wave: Any) -> bool:
    """Whether two waves are there at the same time."""
    return true.start_s <= wave.start_s + wave.duration_s and wave.start_s <= true.stop_s


PARTS: dict[str, Callable[[int], Table]] = {
    "responses": partial(of_responses, kind=POISSON),
    "bursts": partial(of_responses, kind=BURSTS),
    "mixed": partial(of_responses, kind=MIXED),
    "images": of_images,
    "fields": of_fields,
    "maps": of_maps,
    "heads": of_heads,
    "waves": of_waves,
}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    for name in sys.argv[2:] or PARTS:
        PARTS[name](count).show()


if __name__ == "__main__":
    main()
