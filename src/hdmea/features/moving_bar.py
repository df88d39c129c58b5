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
from hdmea.features.significance import TOLERANCE, resampling_p_value, t_quantile
from hdmea.features.trials import Trials

NAN = float("nan")
MIN_SPIKES = 4  # fewer have a direction whatever they do
HARMONICS = ((1, "dsi", "preferred_direction"), (2, "osi", "preferred_orientation"))


class MovingBar(StimulusFeature):
    """Tuning to the direction of a bar: vector sums over directions, and permutation tests of them.

    The response to a direction is the mean rate of the 500 ms in which its PSTH is highest, wherever they are in the
    slot, less the slot's own lower quartile. Directions are permuted within each trial. A drift of the rate that adds
    to it falls out with the quartile; a drift of the response's own gain cannot be told from tuning.

    The highest 500 ms of noise are alike in all directions, because they were chosen, while single trials are not: a
    permutation within trials would hardly ever be reached by a unit without a response. So where the response is not
    there in trials that did not choose its frames, the directions of the mean are permuted instead, which is exact.

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
        "min_repeatability": 0.15,  # below it, the response is no more than noise that was chosen
        "permutations": 1000,
    }
    q_values: ClassVar[dict[str, str]] = {"q_value": "dsi_p_value"}
    output_schema: ClassVar[dict[str, str]] = {
        "directions_deg": "float64 (directions,)",
        "tuning_curve": "float64 (directions,), spikes/s",
        "dsi": "|sum r exp(i theta)| / sum r; NaN of fewer than four spikes",
        "osi": "|sum r exp(2 i theta)| / sum r",
        "preferred_direction": "degrees, 0 to 360; NaN where dsi is 0",
        "preferred_orientation": "degrees, 0 to 180; NaN where osi is 0",
        "preferred_direction_se": "degrees, jackknife over trials",
        "preferred_orientation_se": "degrees, jackknife over trials",
        "preferred_direction_ci95": "degrees to each side, 95 %: t quantile times the standard error, at most 180",
        "preferred_orientation_ci95": "degrees to each side, 95 %, at most 90",
        "response_repeatability": "share of the response that is there in trials that did not choose its frames",
        "dsi_p_value": "directions permuted within each trial; of the mean where the response does not repeat",
        "osi_p_value": "as dsi_p_value",
        "dsi_p_value_order": "as dsi_p_value, a line and a decay over the order of directions removed",
        "dsi_null": "mean DSI of the permutations",
        "dsi_corrected": "DSI of responses less what noise alone gives; NaN where dsi_p_value >= 0.05 or none repeats",
        "dsi_cv": "DSI of responses in frames that other trials chose, the noise of trials taken off; may exceed 1",
        "dsi_cv_low": "95 % interval of dsi_cv, jackknife over trials: lower end; thresholds belong on this one",
        "dsi_cv_high": "upper end",
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
        values |= cross_validated_dsi(slots.repeated, np.deg2rad(directions_deg))
        angles = np.deg2rad(directions_deg)
        for harmonic, index, preferred in HARMONICS:
            values[index], values[preferred] = vector_sum(tuning, angles, harmonic)
            values[f"{preferred}_se"] = error = _jackknife_se(slots.rates, angles, harmonic)
            values[f"{preferred}_ci95"] = min(t_quantile(0.975, len(trials) - 1) * error, 180 / harmonic)
        values["response_repeatability"] = slots.repeatability
        repeats = not slots.repeatability < settings["min_repeatability"]  # true where it is not known
        values |= _tests(slots, repeats, angles, settings["permutations"], trials.seed)
        if repeats and values["dsi_p_value"] < settings["direction_alpha"]:
            noise = np.sqrt(slots.median_hz / (len(trials) * 2 * np.sqrt(np.pi) * settings["sigma_ms"] / 1000))
            above = np.maximum(tuning - settings["noise_factor"] * noise, 0.0)
            values["dsi_corrected"] = vector_sum(above, angles, 1)[0]
        if len(trials.x) < MIN_SPIKES:
            values["dsi"] = values["osi"] = NAN
        return values

    def check_movie(self, frames: npt.NDArray[Any], settings: Mapping[str, Any]) -> list[str]:
        return direction_problems(frames, settings)


@dataclass(frozen=True, slots=True)
class SlotResponses:
    """Responses in each direction's slot, trial by trial.

    rates: (trials, directions), spikes/s above the slot's lower quartile; repeated: the same in the frames that the
    other trials chose, above the trial's own median; mean_hz, median_hz: (directions,) of the PSTH; repeatability: the
    share of the response that is there in trials that did not choose its frames, 0 of noise, up to 1; NaN for fewer
    than two trials.
    """

    rates: Floats
    repeated: Floats
    mean_hz: Floats
    median_hz: Floats
    repeatability: float


def slot_responses(trials: Trials, directions: int, settings: Mapping[str, Any]) -> SlotResponses | None:
    """The response in each direction's slot, trial by trial; None without a trial that holds all slots."""
    from hdmea.features.psth import bin_counts, highest_means, smoothed

    lead, length = int(settings["lead_frames"]), int(settings["direction_frames"])
    if not len(trials) or lead + directions * length > trials.length:
        return None
    counts = bin_counts(trials.x, trials.offsets, float(lead), 1.0, directions * length)
    sigma = settings["sigma_ms"] / 1000 / trials.period_s
    by_trial = smoothed(counts.reshape(-1, length), sigma).reshape(len(trials), directions, length)
    psth = by_trial.mean(axis=0)
    width = max(1, min(trials.frames_in(settings["window_ms"]), length // 2))
    highest = highest_means(by_trial, psth, width)
    mean = psth.mean(axis=1)
    others = _chosen_by_others(by_trial, width)
    chosen = float((highest.mean(axis=0) - mean).sum())
    above_mean = float((others - by_trial.mean(axis=2)).mean(axis=0).sum())
    return SlotResponses(
        rates=(highest - np.quantile(psth, 0.25, axis=1)) / trials.period_s,
        repeated=(others - np.median(by_trial, axis=2)) / trials.period_s,
        mean_hz=mean / trials.period_s,
        median_hz=np.median(psth, axis=1) / trials.period_s,
        repeatability=above_mean / chosen if len(trials) > 1 and chosen > 0 else NAN,
    )


def _chosen_by_others(by_trial: Floats, width: int) -> Floats:
    """Each trial's means (trials, directions) over the `width` frames with the highest mean of the other trials.

    by_trial: (trials, directions, frames). Of one trial nothing that counts.
    """
    from hdmea.features.psth import highest_means

    total = by_trial.sum(axis=0)
    return np.array([highest_means(sums[None], total - sums, width)[0] for sums in by_trial])


def cross_validated_dsi(repeated: Floats, angles: Floats) -> dict[str, float]:
    """`dsi_cv` and its 95 % interval, of responses (trials, directions) in frames that other trials chose.

    With V_t = sum over k of r_tk exp(i theta_k): the mean of V_s . V_t over pairs of different trials has no share of
    the trials' noise. Its root (0 where it is negative) over the sum of the mean responses.
    """
    count = len(repeated)
    names = "dsi_cv", "dsi_cv_low", "dsi_cv_high"
    if count < 2 or not repeated.sum() > 0:
        return dict.fromkeys(names, NAN)
    index = _paired_index(repeated, angles)
    if count < 3:
        return dict(zip(names, (max(index, 0.0), NAN, NAN), strict=True))
    without = np.array([_paired_index(np.delete(repeated, trial, axis=0), angles) for trial in range(count)])
    error = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    reach = float(t_quantile(0.975, count - 1) * error)
    return dict(zip(names, (max(index, 0.0), index - reach, index + reach), strict=True))


def _paired_index(repeated: Floats, angles: Floats) -> float:
    """The signed root of the squared vector sum without the trials' noise, over the sum of responses."""
    count = len(repeated)
    vectors = (repeated * np.exp(1j * angles)).sum(axis=1)
    squared = (abs(vectors.sum()) ** 2 - (np.abs(vectors) ** 2).sum()) / (count * (count - 1))
    total = float(repeated.mean(axis=0).sum())
    return float(np.sign(squared) * np.sqrt(abs(squared)) / total) if total > 0 else NAN


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


def _tests(slots: SlotResponses, repeats: bool, angles: Floats, permutations: int, seed: int) -> dict[str, float]:
    """Permutation tests of both harmonics, and of the first with a line and a decay over the order removed.

    Where no response repeats, its mean over trials is permuted in units of the root of the slot's mean rate, to which
    the highest frames of noise are proportional: a rate that drifts over the slots is no direction.
    """
    from hdmea.features.resampling import permuted_sums

    rates = slots.rates if repeats else (slots.rates.mean(axis=0) / _root(slots.mean_hz))[None]
    phases = np.exp(1j * np.outer([1, 2], angles))
    scale = TOLERANCE * float(np.abs(rates).sum(axis=1).mean())
    null = permuted_sums(rates, phases.real.copy(), phases.imag.copy(), permutations, seed, 0)
    observed = np.abs(phases @ rates.mean(axis=0))
    # What changes along the order takes part in the sum with a weight of its own: it leaves weights and responses.
    courses = _courses(len(angles))
    flat = phases[:1] - (phases[:1] @ courses) @ courses.T
    level = rates - (rates @ courses) @ courses.T if repeats else rates  # one value a direction: exchangeable as is
    null_order = permuted_sums(level, flat.real.copy(), flat.imag.copy(), permutations, seed, 1)
    left = len(angles) - 1 - courses.shape[1]
    if repeats and left > 0:  # what is left has fewer degrees of freedom than what is permuted
        null_order *= np.sqrt((len(angles) - 1) / left)
    return {
        "dsi_p_value": resampling_p_value(null[:, 0], float(observed[0]), scale),
        "osi_p_value": resampling_p_value(null[:, 1], float(observed[1]), scale),
        "dsi_p_value_order": resampling_p_value(null_order[:, 0], float(np.abs(flat @ level.mean(axis=0))[0]), scale),
        "dsi_null": float(null[:, 0].mean() / rates.mean(axis=0).sum()),
    }


def _courses(directions: int) -> Floats:
    """Drift and adaptation over the order of directions: a line and exp(-k), orthonormal (directions, 2 or fewer)."""
    order = np.arange(directions, dtype=np.float64)
    columns = np.stack([np.ones(directions), order, np.exp(-order)], axis=1)[:, : max(directions - 1, 1)]
    basis: Floats = np.linalg.qr(columns)[0][:, 1:]
    return basis


def _root(rates_hz: Floats) -> Floats:
    """Square roots, and 1 of nothing: what is divided by it is nothing as well."""
    return np.sqrt(np.where(rates_hz > 0, rates_hz, 1.0))
