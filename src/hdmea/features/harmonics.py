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
def _prefix_sums(x: Floats, offsets: Ints, length: int, cycles: Floats) -> Floats:
    """Sums of cosine, sine and count before each frame of a trial (trials, cycles, length + 1, 3)."""
    trials = len(offsets) - 1
    prefix = np.zeros((trials, len(cycles), length + 1, 3))
    for trial in range(trials):
        for i in range(len(cycles)):
            part = prefix[trial, i]
            for spike in range(offsets[trial], offsets[trial + 1]):
                at = int(x[spike]) + 1
                angle = 2 * np.pi * cycles[i] * x[spike]
                part[at, 0] += np.cos(angle)
                part[at, 1] += np.sin(angle)
                part[at, 2] += 1
            for frame in range(length):
                part[frame + 1, 0] += part[frame, 0]
                part[frame + 1, 1] += part[frame, 1]
                part[frame + 1, 2] += part[frame, 2]
    return prefix


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
    length = turns.shape[1] - 1
    prefix = _prefix_sums(x, offsets, length, cycles)
    windows, trials = len(starts), len(offsets) - 1
    found = np.zeros((1 + resamples, windows))
    shifts = np.zeros(trials, np.int64)
    state = start_state(seed, 0)
    for resample in range(1 + resamples):
        if resample > 0:
            for trial in range(trials):
                shifts[trial] = random_below(state, length)
        for i in range(windows):
            real, imaginary, count = 0.0, 0.0, 0.0
            for trial in range(trials):
                part = prefix[trial, i]
                low = (starts[i] - shifts[trial]) % length
                high = min(low + widths[i], length)
                beyond = low + widths[i] - high  # frames of the window that are at the trial's beginning
                cosine, sine = part[high, 0] - part[low, 0], part[high, 1] - part[low, 1]
                cosine += part[beyond, 0] * turns[i, length, 0] - part[beyond, 1] * turns[i, length, 1]
                sine += part[beyond, 1] * turns[i, length, 0] + part[beyond, 0] * turns[i, length, 1]
                real += cosine * turns[i, low, 0] + sine * turns[i, low, 1]
                imaginary += sine * turns[i, low, 0] - cosine * turns[i, low, 1]
                count += part[high, 2] - part[low, 2] + part[beyond, 2]
            if count > 0:
                found[resample, i] = 2 * (real * real + imaginary * imaginary) / count
    return found


def warm_up() -> None:
    """Load or compile the functions of this module for the types that extractors call them with."""
    x, offsets, one = np.zeros(1), np.array([0, 1]), np.array([1])
    fourier_sums(x, offsets, 0.0, 1.0, np.ones(1))
    rolled_rayleigh(x, offsets, frame_turns((1.0,), 2), one, one, np.ones(1), 1, 0)
