"""Seeded permutations and rolls, compiled: the same numbers on any machine, thread count and order of units.

Random numbers are those of SplitMix64 (Steele, Lea & Flood 2014, OOPSLA, p. 453).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hdmea.features.arrays import Floats
from hdmea.features.compiling import compiled

State = npt.NDArray[np.uint64]


@compiled
def start_state(seed: int, stream: int) -> State:
    """The state of a sequence of random numbers; other streams of a seed are other sequences."""
    state = np.empty(1, np.uint64)
    state[0] = np.uint64(seed) * np.uint64(0x100000000) + np.uint64(stream)
    return state


@compiled
def random_below(state: State, count: int) -> int:
    """A whole number from 0 to count - 1, each equally likely to 2^-32; advances `state`."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return int(((z >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32))


@compiled
def permuted_sums(responses: Floats, cosines: Floats, sines: Floats, resamples: int, seed: int, stream: int) -> Floats:
    """|Σ_k mean over trials(r_k) (c_k + i s_k)|, the columns of `responses` permuted within each trial.

    responses: (trials, directions); cosines, sines: (sums, directions). Returns (resamples, sums) float64; the sums
    of one resample share its permutations.
    """
    trials, directions = responses.shape
    sums = len(cosines)
    lengths = np.empty((resamples, sums))
    order = np.arange(directions)
    mean = np.empty(directions)
    state = start_state(seed, stream)
    for resample in range(resamples):
        mean[:] = 0.0
        for trial in range(trials):
            for last in range(directions - 1, 0, -1):
                other = random_below(state, last + 1)
                order[last], order[other] = order[other], order[last]
            for k in range(directions):
                mean[k] += responses[trial, order[k]]
        for i in range(sums):
            real, imaginary = 0.0, 0.0
            for k in range(directions):
                real += mean[k] * cosines[i, k]
                imaginary += mean[k] * sines[i, k]
            lengths[resample, i] = np.sqrt(real * real + imaginary * imaginary) / trials
    return lengths


@compiled
def rolled_sums(values: Floats, resamples: int, seed: int, stream: int) -> Floats:
    """Sums over trials of one column a trial, drawn at random for each: (resamples,) float64.

    values: (trials, shifts), the statistic of each trial rolled by each possible shift.
    """
    trials, shifts = values.shape
    totals = np.zeros(resamples)
    state = start_state(seed, stream)
    for resample in range(resamples):
        for trial in range(trials):
            totals[resample] += values[trial, random_below(state, shifts)]
    return totals


@compiled
def largest_changes(values: Floats, resamples: int, seed: int, stream: int) -> tuple[Floats, int]:
    """Largest |mean before − mean after| √(c (n − c)/n) over cuts c, of `values` as they are and permuted.

    values: (n,), n at least 4; 2 <= c <= n − 2. Returns (1 + resamples,) float64, the first of the values as they are,
    and their cut: how many are before it.
    """
    count = len(values)
    changes = np.empty(1 + resamples)
    order = values.copy()
    total = order.sum()
    cut = 0
    state = start_state(seed, stream)
    for resample in range(1 + resamples):
        if resample > 0:
            for last in range(count - 1, 0, -1):
                other = random_below(state, last + 1)
                order[last], order[other] = order[other], order[last]
        best, before = -1.0, order[0]
        for c in range(2, count - 1):
            before += order[c - 1]
            change = abs(before / c - (total - before) / (count - c)) * np.sqrt(c * (count - c) / count)
            if change > best:
                best = change
                if resample == 0:
                    cut = c
        changes[resample] = best
    return changes, cut


def warm_up() -> None:
    """Load or compile the functions of this module for the types that extractors call them with."""
    ones = np.ones((1, 2))
    permuted_sums(ones, ones, ones, 1, 0, 0)
    rolled_sums(ones, 1, 0, 0)
    largest_changes(np.arange(6.0), 1, 0, 0)
