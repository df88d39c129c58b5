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
from hdmea.geometry import ImageScale, clean_image, soma_geometry, track_axon
from support.electrode_cells import SPIKE, cell_image
from support.spiking_units import Clock, Field, bursting_train, sectioned, tuned, unit_of

STEP, BAR, CHIRP = "step_up_5s_5i_b0_3x", "moving_h_bar_s5_d8_3x", "freq_step_5st_3x"
LENGTHS = {STEP: 600, BAR: 4520, CHIRP: 1500}
TRIALS = (3, 10, 30)


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
        return 20 * (1 + 0.5 * np.sin(2 * np.pi * 4 * (frames - 30 - 300) / 60) * ((frames >= 330) & (frames < 630)))

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


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print("| stated error | units | 68 % | 95 % | values |\n|---|---|---|---|---|")
    of_responses(count)
    of_somata(count)


if __name__ == "__main__":
    main()
