"""Repeatability of a response from trial to trial."""

from __future__ import annotations

import math

import numpy as np

from hdmea.features.arrays import Floats, Ints
from hdmea.features.significance import TOLERANCE, resampling_p_value
from hdmea.features.trials import Trials

SIGMA_S = 0.050  # of the Gaussian that PSTHs are smoothed with


def trial_quality(trials: Trials, condition: Ints) -> dict[str, float]:
    """`response_quality` and `change_point` of a unit.

    condition: (trials,) what each trial showed.
    """
    psth = _smoothed_psth(trials)
    return response_quality(psth, condition) | change_point(psth, condition, trials)


def response_quality(psth: Floats, condition: Ints) -> dict[str, float]:
    """The quality of a unit's response, raw, and of the first and the last half of its trials.

    With QI = Var_t(mean over trials) / mean over trials(Var_t) of the PSTHs in 1-frame bins (Baden et al. 2016, Nature
    529:345), the quality is (n·QI − 1)/(n − 1): the signal power over the total power of Sahani & Linden 2003 (NIPS
    15:125), whose expectation does not depend on the number n of trials, and is 0 for noise.

    psth: (trials, frames), smoothed; the quality is the mean over conditions of two trials or more.
    """
    variances = psth.var(axis=1) if psth.size else np.empty(0)

    def quality_index(group: Ints) -> float:
        """Of some of the trials; NaN without any variance."""
        within = variances[group].mean()
        return float(psth[group].mean(axis=0).var() / within) if within > 0 else float("nan")

    def power_fraction(group: Ints) -> float:
        n = len(group)
        return (n * quality_index(group) - 1) / (n - 1) if n > 1 else float("nan")

    groups = [np.flatnonzero(condition == value) for value in np.unique(condition)]
    return {
        "response_quality": _mean([power_fraction(group) for group in groups]),
        "response_quality_raw": _mean([quality_index(group) for group in groups if len(group) > 1]),
        "response_quality_first_half": _mean([power_fraction(group[: len(group) // 2]) for group in groups]),
        "response_quality_second_half": _mean([power_fraction(group[(len(group) + 1) // 2 :]) for group in groups]),
    }


MIN_TO_CHANGE = 6  # trials, at least two of them on each side
RESAMPLES = 1000


def change_point(psth: Floats, condition: Ints, trials: Trials) -> dict[str, float]:
    """From which trial on a unit responds otherwise than before, and whether that is more than chance.

    A trial's response is its PSTH's share in the mean of the other trials, less the mean over trials of its condition;
    the change is where the means before and after differ most, in their standard error (Page 1955, Biometrika 42:523),
    tested by permuting the trials. NaN of fewer than six trials and without spikes. psth: (trials, frames), smoothed.
    """
    from hdmea.features.resampling import largest_changes

    nothing = {"change_trial": float("nan"), "change_p_value": float("nan")}
    if len(psth) < MIN_TO_CHANGE or not psth.any():
        return nothing
    shares = np.einsum("tb,tb->t", psth, psth.sum(axis=0) - psth)
    for value in np.unique(condition):
        shares[condition == value] -= shares[condition == value].mean()
    changes, at = largest_changes(shares, RESAMPLES, trials.seed, 7)
    p_value = resampling_p_value(changes[1:], float(changes[0]), TOLERANCE * float(np.abs(shares).max()))
    return {"change_trial": float(trials.numbers[at]), "change_p_value": p_value}


def _smoothed_psth(trials: Trials) -> Floats:
    from hdmea.features.psth import smoothed

    if not len(trials):
        return np.empty((0, 0))
    return smoothed(trials.counts(), SIGMA_S / trials.period_s)


def _mean(values: list[float]) -> float:
    """Mean of the numbers among them; NaN where there is none."""
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else float("nan")
