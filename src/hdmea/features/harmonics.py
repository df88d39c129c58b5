"""Fourier sums over spike times, and their distribution when trials are rolled. Compiled."""

from __future__ import annotations

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
    """Sums of cosine, sine and count before each frame of a trial that is played twice (trials, cycles, 3, 2·length +
    1).
    """
    trials = len(offsets) - 1
    prefix = np.zeros((trials, len(cycles), 3, 2 * length + 1))
    for trial in range(trials):
        for i in range(len(cycles)):
            part = prefix[trial, i]
            turn = 2 * np.pi * cycles[i] * length
            again_cosine, again_sine = np.cos(turn), np.sin(turn)
            for spike in range(offsets[trial], offsets[trial + 1]):
                at = int(x[spike]) + 1
                angle = 2 * np.pi * cycles[i] * x[spike]
                cosine, sine = np.cos(angle), np.sin(angle)
                part[0, at] += cosine
                part[1, at] += sine
                part[2, at] += 1
                part[0, at + length] += cosine * again_cosine - sine * again_sine
                part[1, at + length] += sine * again_cosine + cosine * again_sine
                part[2, at + length] += 1
            for k in range(3):
                for frame in range(2 * length):
                    part[k, frame + 1] += part[k, frame]
    return prefix


@compiled
def rolled_rayleigh(
    x: Floats, offsets: Ints, length: int, starts: Ints, widths: Ints, cycles: Floats, resamples: int, seed: int
) -> Floats:
    """Rayleigh statistic 2|Σ exp(iφ)|²/n of the spikes in some windows, trials rolled by whole frames at random.

    starts, widths: (windows,) frames; cycles: (windows,) a frame, of the phase φ; each trial is rolled as a whole by a
    shift of its own, which all windows of a resample share. Returns (1 + resamples, windows): first as recorded.
    """
    prefix = _prefix_sums(x, offsets, length, cycles)
    backs = 2 * np.pi * np.outer(cycles, np.arange(length))  # phases count from a window's start
    back_cosines, back_sines = np.cos(backs), np.sin(backs)
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
                high = low + widths[i]
                cosine, sine = part[0, high] - part[0, low], part[1, high] - part[1, low]
                real += cosine * back_cosines[i, low] + sine * back_sines[i, low]
                imaginary += sine * back_cosines[i, low] - cosine * back_sines[i, low]
                count += part[2, high] - part[2, low]
            if count > 0:
                found[resample, i] = 2 * (real * real + imaginary * imaginary) / count
    return found


def warm_up() -> None:
    """Load or compile the functions of this module for the types that extractors call them with."""
    x, offsets, one = np.zeros(1), np.array([0, 1]), np.array([1])
    fourier_sums(x, offsets, 0.0, 1.0, np.ones(1))
    rolled_rayleigh(x, offsets, 2, one, one, np.ones(1), 1, 0)
