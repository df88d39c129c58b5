"""How much of a response repeats from trial to trial."""

from __future__ import annotations

import math

import numpy as np

from hdmea.features.arrays import Floats, Ints
from hdmea.features.trials import Trials

SIGMA_S = 0.050  # of the Gaussian that PSTHs are smoothed with


def response_quality(trials: Trials, condition: Ints) -> dict[str, float]:
    """The quality of a unit's response, raw, and of the first and the last half of its trials.

    With QI = Var_t(mean over trials) / mean over trials(Var_t) of the PSTHs in 1-frame bins (Baden et al. 2016, Nature
    529:345), the quality is (n·QI − 1)/(n − 1): the signal power over the total power of Sahani & Linden 2003 (NIPS
    15:125), whose expectation does not depend on the number n of trials, and is 0 for noise.

    condition: (trials,) what each trial showed; the quality is the mean over conditions of two trials or more.
    """
    psth = _smoothed_psth(trials)
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


def _smoothed_psth(trials: Trials) -> Floats:
    from hdmea.features.psth import smoothed

    if not len(trials):
        return np.empty((0, 0))
    return smoothed(trials.counts(), SIGMA_S / trials.period_s)


def _mean(values: list[float]) -> float:
    """Mean of the numbers among them; NaN where there is none."""
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else float("nan")
