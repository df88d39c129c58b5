"""Which part of the true values lies within the errors that are stated: the table of docs/measures.md.

    python benchmarks/stated_errors.py [CELLS]

CELLS: cells a row (default 100). Generators are those of the tests.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from hdmea.features import FeatureRegistry
from hdmea.geometry import ImageScale, align, clean_image, find_nerve_head, soma_geometry, track_axon
from support.electrode_cells import SPIKE, cell_image
from support.spiking_units import Clock, Field, bursting_train, sectioned, tuned, unit_of

STEP, BAR, CHIRP = "step_up_5s_5i_b0_3x", "moving_h_bar_s5_d8_3x", "freq_step_5st_3x"
LENGTHS = {STEP: 600, BAR: 4520, CHIRP: 1500}
TRIALS = (3, 10, 30)
F1_STEP = 3  # the fourth frequency, of 4 Hz


def units(movie: str, rate_of, trials: int, count: int, bursts: bool) -> Iterator[tuple[dict, float]]:
    """Measures and truth of units: of Poisson spikes, or of bursts of three at the same rate."""
    rng, clock, extractor = np.random.default_rng(1), Clock(60.3, 150_000, 1), FeatureRegistry.get(movie)()
    config = extractor.settings({"permutations": 1} if movie == BAR else {}, movie)
    for _ in range(count):
        rate, truth = rate_of(rng)
        length = LENGTHS[movie]
        if bursts:
            starts = [100 + length * trial for trial in range(trials)]
            trains = [bursting_train(clock, start, length, 1.0, 3, rng, rate) for start in starts]
            unit = sectioned(clock, movie, starts, length, trains)
        else:
            unit = unit_of(clock, movie, length, [rate] * trials, rng)
        yield extractor.extract(unit, {}, config, clock.metadata), truth


def plateau(rng):
    return lambda frames: 5 + 60 * (((frames - 60) / 60.3 >= 0.08) & (frames < 360)), 80.0


def moving(rng):
    preferred = rng.uniform(0, 360)
    return Field(*rng.uniform(-100, 100, 2)).rate(4.0, tuned(0.3, preferred, 40.0)), preferred


def flickering(rng):
    def rate(frames):
        return 20 * (1 + 0.5 * np.sin(2 * np.pi * 4 * (frames - 930) / 60) * ((frames >= 930) & (frames < 1170)))

    return rate, 10.0


def row(name: str, condition: str, of_one: list[float], of_two: list[float]) -> None:
    print(f"| {name} | {condition} | {100 * np.mean(of_one):.0f} % | {100 * np.mean(of_two):.0f} % | {len(of_one)} |")


def of_responses(count: int) -> None:
    """Latency, direction and index, each of 3, 10 and 30 trials, of Poisson spikes and of bursts."""
    for bursts in (False, True):
        for trials in TRIALS:
            kind = f"{trials} trials, {'bursts of 3' if bursts else 'Poisson'}"
            few = max(count // (3 if trials == 30 else 1), 10)
            off = [
                (abs(one["on_latency_ms"] - truth), one["on_latency_se_ms"])
                for one, truth in units(STEP, plateau, trials, few, bursts)
            ]
            off = [(error, se) for error, se in off if np.isfinite(se)]
            row("`on_latency_se_ms`", kind, [e < se for e, se in off], [e < 1.96 * se for e, se in off])
            found = list(units(BAR, moving, trials, max(few // 2, 10), bursts))
            turned = [abs((one["preferred_direction"] - truth + 180) % 360 - 180) for one, truth in found]
            row(
                "`preferred_direction_se`, `_ci95`",
                kind,
                [e < one["preferred_direction_se"] for e, (one, _) in zip(turned, found, strict=True)],
                [e < one["preferred_direction_ci95"] for e, (one, _) in zip(turned, found, strict=True)],
            )
            half = [(one["dsi_cv_high"] - one["dsi_cv_low"]) / 2 for one, _ in found]
            middle = [(one["dsi_cv_high"] + one["dsi_cv_low"]) / 2 for one, _ in found]
            part = {3: 1.32 / 4.30, 10: 1.06 / 2.26, 30: 1.02 / 2.05}[trials]  # t of 68 % over t of 95 %
            row(
                "`dsi_cv_low`, `dsi_cv_high`",
                kind,
                [abs(m - 0.3) < part * h for m, h in zip(middle, half, strict=True)],
                [abs(m - 0.3) < h for m, h in zip(middle, half, strict=True)],
            )


def of_somata(count: int) -> None:
    """Places and velocities, with noise of several kinds."""
    kinds = {
        "white": {},
        "noise correlated over 2 electrodes": {"reach": 2.0},
        "over 4 electrodes": {"reach": 4.0},
        "heavy tails (t3)": {"tails": True},
        "a second soma of 30 %": {"overlap": 0.3},
    }
    for kind, options in kinds.items():
        rng = np.random.default_rng(2)
        place, velocity = [], []
        for _ in range(count // 2 if options.get("tails") else count):
            image, cell = cell_image(rng, spikes=50, **options)
            clean = clean_image(image, ImageScale(20_000, SPIKE, 16.0))
            soma = soma_geometry(clean)
            place += [
                abs(soma.center_col - cell.x) / soma.center_col_se,
                abs(soma.center_row - cell.y) / soma.center_row_se,
            ]
            axon = track_axon(clean, soma=soma)
            if axon.axon_seen:
                velocity.append(abs(axon.velocity_m_s - cell.speed) / axon.velocity_se)
        row("`center_col_se`, `center_row_se`", kind, [z < 1 for z in place], [z < 1.96 for z in place])
        row("`velocity_se`", kind, [z < 1 for z in velocity], [z < 1.96 for z in velocity])


def of_changes(count: int) -> None:
    """`change_p_value` of units that do not change: what is not above 0.32 and 0.05; and F1 with its error."""
    for bursts in (False, True):
        for trials in TRIALS:
            kind = f"{trials} trials, {'bursts of 3' if bursts else 'Poisson'}"
            few = max(count // (3 if trials == 30 else 1), 10)
            if trials >= 6:
                p_value = np.array([one["change_p_value"] for one, _ in units(STEP, plateau, trials, few, bursts)])
                row("`change_p_value` of no change", kind, list(p_value > 0.32), list(p_value > 0.05))
            found = [
                (one["f1_amplitude"][F1_STEP], one["f1_se"][F1_STEP])
                for one, _ in units(CHIRP, flickering, trials, few, bursts)
            ]
            away = [abs(f1 - 10.0) / se for f1, se in found]
            row("`f1_se`", kind, [z < 1 for z in away], [z < 1.96 for z in away])


def of_maps(count: int) -> None:
    """Maps from chip to stimulus, and nerve heads, whose axons err alone or together."""
    from scipy.special import fdtri

    grid = 16.0 * np.array([(x, y) for x in (8.0, 32.0, 56.0) for y in (8.0, 32.0, 56.0)])
    for pairs, tails in ((6, False), (8, False), (20, False), (60, False), (20, True)):
        rng, of_one, of_two = np.random.default_rng(3), [], []
        for _ in range(count):
            turn = rng.uniform(0, 2 * np.pi)
            matrix = 0.012 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            somata = rng.uniform(0, 1024, (pairs, 2))
            noise = rng.standard_t(3, (pairs, 2)) / np.sqrt(3) if tails else rng.normal(size=(pairs, 2))
            found = align(somata, somata @ matrix.T + 7 + 0.4 * noise)
            if found.valid:
                away = np.abs(found.predict(grid) - grid @ matrix.T - 7)
                of_one += list((away < found.predict_se(grid)[:, None]).ravel())
                of_two += list((away < found.predict_ci95(grid)[:, None]).ravel())
        row("`predict_se`, `predict_ci95`", f"{pairs} pairs{', heavy tails (t3)' if tails else ''}", of_one, of_two)
    kinds = {"white": 0.0, "all bend by 0.05° an electrode": 0.05, "by 0.1°": 0.1, "skewed errors": 0.0}
    for kind, bend in kinds.items():
        for distance in (25.0, 80.0):
            rng, of_one, of_two = np.random.default_rng(4), [], []
            for _ in range(count):
                way, somata = rng.uniform(0, 2 * np.pi), rng.uniform(2, 62, (60, 2))
                head = 32 + distance * np.array([np.cos(way), np.sin(way)])
                apart = np.hypot(*(head - somata).T)
                errors = 3 * (rng.exponential(1, 60) - 1 if kind == "skewed errors" else rng.normal(size=60))
                angles = (
                    np.degrees(np.arctan2(*(head - somata).T[::-1])) + errors + bend * np.maximum(apart - 40, 0) / 2
                )
                found = find_nerve_head(somata, angles)
                if found.status == "position":
                    away = head - [found.x, found.y]
                    square = away @ np.linalg.solve(found.covariance, away)
                    used = found.n_cells_used
                    limits = [2 * (used - 1) / (used - 2) * fdtri(2, used - 2, part) for part in (0.6827, 0.95)]
                    of_one.append(square < limits[0])
                    of_two.append(square < limits[1])
            row("nerve head's ellipse", f"60 axons, {distance:.0f} electrodes away, {kind}", of_one, of_two)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print("| stated error | units | 68 % | 95 % | values |\n|---|---|---|---|---|")
    of_responses(count)
    of_changes(count)
    of_somata(count)
    of_maps(count)


if __name__ == "__main__":
    main()
