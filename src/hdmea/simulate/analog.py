"""The two analog channels of a recording: light, as a photodiode sees it, and frame pulses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.simulate.timeline import Timeline

LIGHT_BASE, LIGHT_GAIN, LIGHT_NOISE = 2000, 40, 20.0
PULSE_HEIGHT, PULSE_NOISE, PULSE_S = 20000, 20.0, 0.003
LIGHT_STREAM = 7
_BLOCK_S = 10
_NOISE_POOL = 1 << 20


def analog_blocks(timeline: Timeline, seed: int, step_counts: int) -> Iterator[npt.NDArray[np.int32]]:
    """Light and frame pulses in consecutive blocks (2, samples) of int32 ADC counts.

    step_counts: height of the light steps after the last frame.
    """
    rate = timeline.sampling_rate
    block_samples = round(_BLOCK_S * rate)
    rng = np.random.default_rng([seed, LIGHT_STREAM])
    pool = rng.standard_normal(_NOISE_POOL + block_samples, dtype=np.float32)
    light = timeline.by_refresh(timeline.mean_luminance(), 0.0, 0.0)
    light = np.concatenate([[0.0], light]) * LIGHT_GAIN + LIGHT_BASE  # dark before the first frame
    pulses = timeline.pulse_samples
    width = max(2, min(round(PULSE_S * rate), round(rate / 120)))
    # The sum of the pulse's rise stays a single peak of the difference, and wide enough for its 99.9th percentile.
    rise = np.array([1.0]) if rate <= 30000 else np.array([0.25, 0.75, 1.0])
    onsets = np.concatenate([[-width], pulses])
    for start in range(0, timeline.sample_count, block_samples):
        stop = min(start + block_samples, timeline.sample_count)
        samples = np.arange(start, stop)
        since = samples - _held(onsets, pulses, start, stop)
        pulse = np.where(since < width, rise[np.minimum(since, len(rise) - 1)], 0.0) * PULSE_HEIGHT
        clean = _held(light, timeline.refresh_samples, start, stop)
        for on, off in timeline.light_steps.tolist():
            clean[(samples >= on) & (samples < off)] += step_counts
        block = np.empty((2, len(samples)), np.int32)
        for channel, values, noise in ((0, clean, LIGHT_NOISE), (1, pulse, PULSE_NOISE)):
            at = int(rng.integers(len(pool) - len(samples)))
            block[channel] = np.rint(values + noise * pool[at : at + len(samples)])
        yield block


def _held(values: npt.NDArray[Any], changes: npt.NDArray[np.int64], start: int, stop: int) -> npt.NDArray[Any]:
    """values[n + 1] from changes[n] on, values[0] before, at each sample of [start, stop)."""
    first, last = np.searchsorted(changes, [start, stop - 1], side="right").tolist()
    edges = np.concatenate([[start], changes[first:last], [stop]])
    return np.repeat(values[first : last + 1], np.diff(edges))
