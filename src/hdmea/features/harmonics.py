"""Fourier sums over spike times, and their distribution when trials are rolled. Compiled."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hdmea.features.arrays import Floats, Ints
from hdmea.features.compiling import compiled
from hdmea.features.resampling import random_below, start_state


@compiled
def fourier_sums(x: Floats, offsets: Ints, start: float, stop: float, cycles: Floats) -> Floats:
    """Σ exp(-2πi c (x - start)) over the spikes of [start, stop), by trial: (trials, cycles, 2), real and imaginary.

    x: (spikes,) frames, trials end to end; cycles: (cycles,) a frame.
    """
    trials = len(offsets) - 1
    sums = np.zeros((trials, len(cycles), 2))
    for trial in range(trials):
        for spike in range(offsets[trial], offsets[trial + 1]):
            if start <= x[spike] < stop:
                for i in range(len(cycles)):
                    angle = 2 * np.pi * cycles[i] * (x[spike] - start)
                    sums[trial, i, 0] += np.cos(angle)
                    sums[trial, i, 1] -= np.sin(angle)
    return sums


@compiled
def _add_up(x: Floats, first: int, last: int, cycle: float, sums: Floats) -> None:
    """Write the sums of cosine, sine and count before each frame of a trial, of the spikes x[first:last].

    cycle: a frame; sums: (length + 1, 3).
    """
    sums[:] = 0.0
    for spike in range(first, last):
        at = int(x[spike]) + 1
        angle = 2 * np.pi * cycle * x[spike]
        sums[at, 0] += np.cos(angle)
        sums[at, 1] += np.sin(angle)
        sums[at, 2] += 1
    for frame in range(len(sums) - 1):
        sums[frame + 1, 0] += sums[frame, 0]
        sums[frame + 1, 1] += sums[frame, 1]
        sums[frame + 1, 2] += sums[frame, 2]


@compiled
def _random_shifts(resamples: int, trials: int, length: int, seed: int) -> Ints:
    """Frames by which each trial is rolled (1 + resamples, trials): by none first, then at random."""
    shifts = np.zeros((1 + resamples, trials), np.int64)
    state = start_state(seed, 0)
    for resample in range(1, 1 + resamples):
        for trial in range(trials):
            shifts[resample, trial] = random_below(state, length)
    return shifts


@lru_cache(maxsize=16)
def frame_turns(cycles: tuple[float, ...], length: int) -> Floats:
    """Cosine and sine of the phase at which each frame of a trial begins: (cycles, length + 1, 2), read-only.

    cycles: a frame. The same for all units, so that it is kept.
    """
    angles = 2 * np.pi * np.outer(cycles, np.arange(length + 1))
    turns = np.stack([np.cos(angles), np.sin(angles)], axis=2)
    turns.setflags(write=False)
    return turns


@compiled
def rolled_rayleigh(
    x: Floats, offsets: Ints, turns: Floats, starts: Ints, widths: Ints, cycles: Floats, resamples: int, seed: int
) -> Floats:
    """Rayleigh statistic 2|Σ exp(iφ)|²/n of the spikes in some windows, trials rolled by whole frames at random.

    turns: `frame_turns` of `cycles`; starts, widths: (windows,) frames; cycles: (windows,) a frame, of the phase φ;
    each trial is rolled as a whole by a shift of its own, which all windows of a resample share. Returns (1 +
    resamples, windows): first as recorded.
    """
    length, trials = turns.shape[1] - 1, len(offsets) - 1
    shifts = _random_shifts(resamples, trials, length, seed)
    statistics = np.zeros((1 + resamples, len(starts)))
    sums = np.empty((length + 1, 3))  # of one trial and window at a time: they stay in the processor's cache
    for i in range(len(starts)):
        totals = np.zeros((1 + resamples, 3))
        end_cosine, end_sine = turns[i, length, 0], turns[i, length, 1]
        for trial in range(trials):
            _add_up(x, offsets[trial], offsets[trial + 1], cycles[i], sums)
            for resample in range(1 + resamples):
                low = starts[i] - shifts[resample, trial]
                if low < 0:
                    low += length
                high = min(low + widths[i], length)
                beyond = low + widths[i] - high  # frames of the window that are at the trial's beginning
                cosine, sine = sums[high, 0] - sums[low, 0], sums[high, 1] - sums[low, 1]
                cosine += sums[beyond, 0] * end_cosine - sums[beyond, 1] * end_sine
                sine += sums[beyond, 1] * end_cosine + sums[beyond, 0] * end_sine
                totals[resample, 0] += cosine * turns[i, low, 0] + sine * turns[i, low, 1]
                totals[resample, 1] += sine * turns[i, low, 0] - cosine * turns[i, low, 1]
                totals[resample, 2] += sums[high, 2] - sums[low, 2] + sums[beyond, 2]
        for resample in range(1 + resamples):
            if totals[resample, 2] > 0:
                real, imaginary = totals[resample, 0], totals[resample, 1]
                statistics[resample, i] = 2 * (real * real + imaginary * imaginary) / totals[resample, 2]
    return statistics


def warm_up() -> None:
    """Load or compile the functions of this module for the types that extractors call them with."""
    x, offsets, one = np.zeros(1), np.array([0, 1]), np.array([1])
    fourier_sums(x, offsets, 0.0, 1.0, np.ones(1))
    rolled_rayleigh(x, offsets, frame_turns((1.0,), 2), one, one, np.ones(1), 1, 0)
