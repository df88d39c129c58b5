"""Direction and orientation tuning from a moving bar."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hdmea.features.base import StimulusFeature, frames_to_seconds
from hdmea.features.registry import FeatureRegistry
from hdmea.features.trials import Floats, Trials, mean_over_trials, response_quality


@FeatureRegistry.register("moving_bar")
class MovingBar(StimulusFeature):
    """Tuning to the direction of a bar: vector sums over directions, and permutation tests of them.

    The response r to a direction is the mean rate over its frames. A p-value is the share of permutations whose index
    is at least the one measured, the measured one among them (Phipson & Smyth 2010); directions are permuted within
    each trial, so that slow changes of the rate between trials do not count.

    Sources: Taylor & Vaney 2002, J Neurosci 22:7712; Mazurek, Kager & Van Hooser 2014, Front Neural Circuits 8:92;
    Baden et al. 2016, Nature 529:345.
    """

    name: ClassVar[str] = "moving_bar"
    family: ClassVar[str] = "moving_bar"
    defaults: ClassVar[dict[str, Any]] = {
        **StimulusFeature.defaults,
        "directions_deg": [0, 45, 90, 135, 180, 225, 270, 315],
        "direction_frames": 565,
        "permutations": 1000,
        "permutation_seed": 0,
    }
    output_schema: ClassVar[dict[str, str]] = {
        "directions_deg": "float64 (directions,)",
        "tuning_curve": "float64 (directions,), spikes/s",
        "dsi": "|sum r exp(i theta)| / sum r",
        "osi": "|sum r exp(2 i theta)| / sum r",
        "preferred_direction": "degrees, 0 to 360",
        "preferred_orientation": "degrees, 0 to 180",
        "dsi_p_value": "permutation test",
        "osi_p_value": "permutation test",
        "response_quality": "Var_t(mean over trials) / mean over trials(Var_t)",
    }
    description: ClassVar[str] = "Direction and orientation selectivity from a moving bar"

    def compute(self, trials: Trials, settings: Mapping[str, Any]) -> dict[str, Any]:
        directions_deg = np.asarray(settings["directions_deg"], np.float64)
        length_s = frames_to_seconds(settings["direction_frames"])
        starts = np.arange(len(directions_deg)) * length_s
        rates = trials.window_rates(np.stack([starts, starts + length_s], axis=1))
        tuning = mean_over_trials(rates)
        angles = np.deg2rad(directions_deg)
        psth = trials.psth(len(directions_deg) * length_s, settings["bin_ms"] / 1000)
        values: dict[str, Any] = {"directions_deg": directions_deg, "tuning_curve": tuning}
        for harmonic, index, preferred in ((1, "dsi", "preferred_direction"), (2, "osi", "preferred_orientation")):
            strength, angle = vector_sum(tuning, angles, harmonic)
            values[index], values[preferred] = strength, angle
            values[f"{index}_p_value"] = _p_value(rates, angles, harmonic, settings)
        return values | {"response_quality": response_quality(psth)}


def vector_sum(tuning: Floats, angles: Floats, harmonic: int) -> tuple[float, float]:
    """|Σ r exp(i·harmonic·θ)| / Σ r, and the angle of the sum in degrees within one period; NaN without a response."""
    total = tuning.sum()
    if not total > 0:
        return float("nan"), float("nan")
    vector = (tuning * np.exp(1j * harmonic * angles)).sum()
    return float(abs(vector) / total), float(np.rad2deg(np.angle(vector)) / harmonic % (360 / harmonic))


def _p_value(rates: Floats, angles: Floats, harmonic: int, settings: Mapping[str, Any]) -> float:
    from hdmea.features.helpers import permuted_vector_strengths

    complete = np.ascontiguousarray(rates[np.isfinite(rates).all(axis=1)])
    if not complete.sum() > 0:
        return float("nan")
    orders = _orders(settings["permutations"], *complete.shape, settings["permutation_seed"])
    strengths = permuted_vector_strengths(complete, orders, angles, harmonic)
    measured, _ = vector_sum(complete.mean(axis=0), angles, harmonic)
    reached = int((strengths >= measured * (1 - 1e-12)).sum())
    return (reached + 1) / (len(strengths) + 1)


@lru_cache(maxsize=8)
def _orders(permutations: int, trials: int, directions: int, seed: int) -> npt.NDArray[np.int64]:
    """The same random orders for every unit (permutations, trials, directions)."""
    indices = np.broadcast_to(np.arange(directions), (permutations, trials, directions))
    orders = np.ascontiguousarray(np.random.default_rng(seed).permuted(indices, axis=2), np.int64)
    orders.flags.writeable = False
    return orders


@FeatureRegistry.register("moving_h_bar_s5_d8_3x")
class MovingBarEightDirections(MovingBar):
    """`MovingBar` for eight directions."""

    name: ClassVar[str] = "moving_h_bar_s5_d8_3x"
