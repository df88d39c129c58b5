"""How much of a response repeats from trial to trial."""

from __future__ import annotations

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
    groups = [np.flatnonzero(condition == value) for value in np.unique(condition)]
    half = [len(group) // 2 for group in groups]
    raw = [_quality_index(psth[group]) for group in groups if len(group) > 1]
    return {
        "response_quality": _mean([_power_fraction(psth[group]) for group in groups]),
        "response_quality_raw": _mean(raw),
        "response_quality_first_half": _mean([_power_fraction(psth[g[:n]]) for g, n in zip(groups, half, strict=True)]),
        "response_quality_second_half": _mean(
            [_power_fraction(psth[g[len(g) - n :]]) for g, n in zip(groups, half, strict=True)]
        ),
    }


def _smoothed_psth(trials: Trials) -> Floats:
    from hdmea.features.psth import smoothed

    if not len(trials):
        return np.empty((0, 0))
    return smoothed(trials.counts(), SIGMA_S / trials.period_s)


def _quality_index(psth: Floats) -> float:
    """Var_t(mean over trials) / mean over trials(Var_t) of (trials, bins); NaN without any variance."""
    within = psth.var(axis=1).mean() if psth.size else 0.0
    return float(psth.mean(axis=0).var() / within) if within > 0 else float("nan")


def _power_fraction(psth: Floats) -> float:
    n = len(psth)
    return (n * _quality_index(psth) - 1) / (n - 1) if n > 1 else float("nan")


def _mean(values: list[float]) -> float:
    """Mean of the numbers among them; NaN where there is none."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")
