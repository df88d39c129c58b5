"""Direction and orientation tuning from a moving bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hdmea.features.arrays import Floats
from hdmea.features.base import COMMON_SCHEMA, StimulusFeature
from hdmea.features.movie_check import direction_problems
from hdmea.features.significance import TOLERANCE, resampling_p_value
from hdmea.features.trials import Trials

NAN = float("nan")
HARMONICS = ((1, "dsi", "preferred_direction"), (2, "osi", "preferred_orientation"))


class MovingBar(StimulusFeature):
    """Tuning to the direction of a bar: vector sums over directions, and permutation tests of them.

    The response to a direction is the mean rate of the 500 ms in which its PSTH is highest, wherever they are in the
    slot, less the slot's own lower quartile. Directions are permuted within each trial. A drift of the rate that adds
    to it falls out with the quartile; a drift of the response's own gain cannot be told from tuning.

    Sources: Taylor & Vaney 2002, J Neurosci 22:7712; Mazurek, Kager & Van Hooser 2014, Front Neural Circuits 8:92;
    Freedman & Lane 1983, J Bus Econ Stat 1:292. Definitions and figures: docs/measures.md.
    """

    family: ClassVar[str] = "moving_bar"
    timing: ClassVar[tuple[str, ...]] = ("directions_deg", "direction_frames")
    defaults: ClassVar[dict[str, Any]] = {
        "sigma_ms": 100.0,  # of the Gaussian that a slot's PSTH is smoothed with
        "window_ms": 500.0,
        "noise_factor": 2.75,  # standard errors of a Poisson unit's PSTH by which the highest 500 ms of noise stand out
        "direction_alpha": 0.05,
        "permutations": 1000,
    }
    q_values: ClassVar[dict[str, str]] = {"q_value": "dsi_p_value"}
    output_schema: ClassVar[dict[str, str]] = {
        "directions_deg": "float64 (directions,)",
        "tuning_curve": "float64 (directions,), spikes/s",
        "dsi": "|sum r exp(i theta)| / sum r",
        "osi": "|sum r exp(2 i theta)| / sum r",
        "preferred_direction": "degrees, 0 to 360; NaN where dsi is 0",
        "preferred_orientation": "degrees, 0 to 180; NaN where osi is 0",
        "preferred_direction_se": "degrees, jackknife over trials",
        "preferred_orientation_se": "degrees, jackknife over trials",
        "dsi_p_value": "directions permuted within each trial",
        "osi_p_value": "directions permuted within each trial",
        "dsi_p_value_order": "as dsi_p_value, the slope over the order of directions removed",
        "dsi_null": "mean DSI of the permutations",
        "dsi_corrected": "DSI of responses less what noise alone gives; NaN where dsi_p_value >= 0.05",
        "q_value": "Benjamini-Hochberg, of dsi_p_value over the units of the recording",
        **COMMON_SCHEMA,
    }
    description: ClassVar[str] = "Direction and orientation selectivity from a moving bar"

    def compute(self, trials: Trials, settings: Mapping[str, Any]) -> dict[str, Any]:
        directions_deg = np.asarray(settings["directions_deg"], np.float64)
        computed = [name for name in self.output_schema if name not in COMMON_SCHEMA and name not in self.q_values]
        values: dict[str, Any] = dict.fromkeys(computed, NAN) | {
            "directions_deg": directions_deg,
            "tuning_curve": np.full(len(directions_deg), NAN),
        }
        slots = slot_responses(trials, len(directions_deg), settings)
        if slots is None:
            return values
        values["tuning_curve"] = tuning = slots.rates.mean(axis=0)
        if not (len(trials.x) and tuning.sum() > 0):
            return values
        angles = np.deg2rad(directions_deg)
        for harmonic, index, preferred in HARMONICS:
            values[index], values[preferred] = vector_sum(tuning, angles, harmonic)
            values[f"{preferred}_se"] = _jackknife_se(slots.rates, angles, harmonic)
        values |= _tests(slots.rates, angles, settings, trials.seed)
        if values["dsi_p_value"] < settings["direction_alpha"]:
            noise = np.sqrt(slots.median_hz / (len(trials) * 2 * np.sqrt(np.pi) * settings["sigma_ms"] / 1000))
            above = np.maximum(tuning - settings["noise_factor"] * noise, 0.0)
            values["dsi_corrected"] = vector_sum(above, angles, 1)[0]
        return values

    def check_movie(self, frames: npt.NDArray[Any], settings: Mapping[str, Any]) -> list[str]:
        return direction_problems(frames, settings)


@dataclass(frozen=True, slots=True)
class SlotResponses:
    """rates: (trials, directions), spikes/s above the slot's lower quartile; median_hz: (directions,) of its PSTH."""

    rates: Floats
    median_hz: Floats


def slot_responses(trials: Trials, directions: int, settings: Mapping[str, Any]) -> SlotResponses | None:
    """The response in each direction's slot, trial by trial; None without a trial that holds all slots."""
    from hdmea.features.psth import bin_counts, smoothed

    lead, length = int(settings["lead_frames"]), int(settings["direction_frames"])
    if not len(trials) or lead + directions * length > trials.length:
        return None
    counts = bin_counts(trials.x, trials.offsets, float(lead), 1.0, directions * length)
    sigma = settings["sigma_ms"] / 1000 / trials.period_s
    by_trial = smoothed(counts.reshape(-1, length), sigma).reshape(len(trials), directions, length)
    psth = by_trial.mean(axis=0)
    width = max(1, min(trials.frames_in(settings["window_ms"]), length // 2))
    highest = np.argsort(-psth, axis=1, kind="stable")[:, :width]
    inside = np.take_along_axis(by_trial, np.broadcast_to(highest, (len(trials), *highest.shape)), axis=2)
    rates = (inside.mean(axis=2) - np.quantile(psth, 0.25, axis=1)) / trials.period_s
    return SlotResponses(rates, np.median(psth, axis=1) / trials.period_s)


def vector_sum(tuning: Floats, angles: Floats, harmonic: int) -> tuple[float, float]:
    """|Σ r exp(i·harmonic·θ)| / Σ r, and the angle of the sum in degrees within one period.

    NaN without a response; 0 and NaN where the responses to all directions are equal.
    """
    total = float(tuning.sum())
    if not total > 0:
        return NAN, NAN
    vector = (tuning * np.exp(1j * harmonic * angles)).sum()
    if abs(vector) < TOLERANCE * total:
        return 0.0, NAN
    period = 360 / harmonic
    angle = float(np.rad2deg(np.angle(vector)) / harmonic % period)
    near_zero = min(angle, period - angle) < TOLERANCE * period
    return float(abs(vector) / total), 0.0 if near_zero else angle


def _jackknife_se(rates: Floats, angles: Floats, harmonic: int) -> float:
    """Standard error of the preferred angle in degrees, from leaving out one trial at a time.

    NaN for fewer than two.
    """
    n = len(rates)
    if n < 2:
        return NAN
    without = (rates.sum(axis=0) - rates) / (n - 1)
    vectors = (without * np.exp(1j * harmonic * angles)).sum(axis=1)
    if (np.abs(vectors) <= TOLERANCE * np.abs(without).sum(axis=1)).any():  # equal where there are no spikes
        return NAN
    units = vectors / np.abs(vectors)
    around = np.angle(units * np.conj(units.sum()))
    return float(np.rad2deg(np.sqrt((n - 1) / n * (around**2).sum())) / harmonic)


def _tests(rates: Floats, angles: Floats, settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Permutation tests of both harmonics, and of the first with the slope over the order of directions removed."""
    from hdmea.features.resampling import permuted_sums

    phases = np.exp(1j * np.outer([1, 2], angles))
    scale = TOLERANCE * float(np.abs(rates).sum(axis=1).mean())
    permutations = settings["permutations"]
    null = permuted_sums(rates, phases.real.copy(), phases.imag.copy(), permutations, seed, 0)
    observed = np.abs(phases @ rates.mean(axis=0))
    # A slope over the order takes part in the sum with a weight of its own: it is removed from weights and responses.
    order = np.arange(len(angles)) - (len(angles) - 1) / 2
    slope = order / (order**2).sum() if len(angles) > 1 else order
    flat = phases[:1] - (phases[:1] @ slope)[:, None] * order
    level = rates - (rates @ slope)[:, None] * order
    null_order = permuted_sums(level, flat.real.copy(), flat.imag.copy(), permutations, seed, 1)
    return {
        "dsi_p_value": resampling_p_value(null[:, 0], float(observed[0]), scale),
        "osi_p_value": resampling_p_value(null[:, 1], float(observed[1]), scale),
        "dsi_p_value_order": resampling_p_value(null_order[:, 0], float(np.abs(flat @ level.mean(axis=0))[0]), scale),
        "dsi_null": float(null[:, 0].mean() / rates.mean(axis=0).sum()),
    }
