"""p-values by resampling, and q-values over units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hdmea.features.arrays import Floats

TOLERANCE = 1e-9  # sums of the same numbers in another order differ by less, relatively


def t_quantile(probability: float, freedom: int) -> float:
    """Of Student's t: few trials know their own spread badly. NaN without a degree of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability)) if freedom > 0 else float("nan")


def resampling_p_value(null: npt.NDArray[np.float64], observed: float, tolerance: float = 0.0) -> float:
    """(1 + resamples that reach the observed value) / (1 + resamples).

    Source: Phipson & Smyth 2010, Stat Appl Genet Mol Biol 9:39.
    """
    reached = int((null >= observed - tolerance).sum())
    return (1 + reached) / (1 + len(null))


@dataclass(frozen=True, slots=True)
class RollTest:
    """The count in a window over all trials, and (resamples,) what it is where each trial is rolled at random."""

    observed: float
    null: Floats

    @property
    def increase(self) -> float:
        """p-value that the count is no higher than by chance."""
        return resampling_p_value(self.null, self.observed)

    @property
    def decrease(self) -> float:
        """p-value that the count is no lower than by chance."""
        return resampling_p_value(-self.null, -self.observed)

    def with_other(self, other: RollTest) -> RollTest:
        """Of the sum of both windows' counts."""
        return RollTest(self.observed + other.observed, self.null + other.null)


def roll_test(counts: Floats, window: int, resamples: int, seed: int, stream: int) -> RollTest:
    """Of the counts in the last `window` bins (trials, bins).

    Each trial's bins are rolled by a random shift of its own, which keeps bursts together; the statistic is the count
    in the last bins over all trials.
    """
    from hdmea.features.resampling import rolled_sums

    total = np.cumsum(np.concatenate([np.zeros((len(counts), 1)), counts, counts[:, :window]], axis=1), axis=1)
    shifted = total[:, window:-1] - total[:, : counts.shape[1]] if window else np.zeros_like(counts)
    observed = float(counts[:, counts.shape[1] - window :].sum())
    null = rolled_sums(np.ascontiguousarray(shifted), resamples, seed, stream)
    return RollTest(observed, null)


def counts_differ_p_value(first: Floats, second: Floats, conditions: npt.NDArray[np.int64], difference: float) -> float:
    """p-value, two-sided, that two counts a trial have the same mean, where trials are few and counts overdispersed.

    The variance of a count is φ times its mean: φ is the variance over trials of one condition by the mean, pooled over
    both counts and all conditions, and at least 1. (first − second) / √(φ (first + second)), summed over trials, is
    compared with Student's t of the degrees of freedom of φ. A permutation of three trials cannot be significant.

    first, second, conditions: (trials,); difference: the sum of first − second, less what is not of the counts. 1 where
    there are no counts.
    Source: McCullagh & Nelder 1989, Generalized Linear Models, 4.5 and 6.2.
    """
    from scipy.stats import t as student

    total = float(first.sum() + second.sum())
    if not total > 0:
        return 1.0
    groups = [conditions == condition for condition in np.unique(conditions)]
    freedom = 2 * (len(conditions) - len(groups))
    alike = [counts[group] for counts in (first, second) for group in groups]
    squares = sum(float(((counts - counts.mean()) ** 2).sum()) for counts in alike)
    dispersion = max(1.0, squares / freedom / (total / (2 * len(conditions)))) if freedom else 1.0
    z = abs(difference) / float(np.sqrt(dispersion * total))
    return float(2 * student.sf(z, freedom or np.inf))


def q_values(p_values: npt.ArrayLike) -> Floats:
    """Benjamini–Hochberg q-values of p-values (tests,); those that are NaN are not tests, and have none.

    q of the i-th smallest of m is the minimum over j >= i of p_j · m / j, at most 1. Source: Benjamini & Hochberg 1995,
    J R Stat Soc B 57:289.
    """
    p = np.asarray(p_values, np.float64)
    q = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    ratios = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(ratios[::-1])[::-1], 1.0)
    return q
