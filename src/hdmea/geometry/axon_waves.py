"""The image in which a travelling wave stands out: filtered in time, the soma's own field removed, in SD of noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hdmea.geometry import axon_path
from hdmea.geometry.axon_path import trough_sample
from hdmea.geometry.electrical_image import CleanImage, Image, ImageScale, filtered_in_time
from hdmea.geometry.robust import MAD_TO_SD, Bools, Floats
from hdmea.geometry.soma import SomaGeometry


@lru_cache(maxsize=16)
def _wave_weights(samples: int, samples_per_ms: float) -> Image:
    """(samples, taps): a triphasic wave of zero mean and norm 1, at the window's ends cut and of norm 1 again."""
    reach = round(0.6 * samples_per_ms)
    ms = np.arange(-reach, reach + 1) / samples_per_ms
    wave = -_bell(ms, 0.14) + 0.35 * _bell(ms + 0.28, 0.15) + 0.3 * _bell(ms - 0.32, 0.18)
    wave = (wave - wave.mean()) / np.linalg.norm(wave - wave.mean())
    index = np.arange(samples)[:, None] + np.arange(-reach, reach + 1)
    weights: Floats = np.where((index >= 0) & (index < samples), wave, 0.0)
    weights /= np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 0.3)
    return np.ascontiguousarray(weights, np.float32)


def _bell(ms: Floats, sigma: float) -> Floats:
    bell: Floats = np.exp(-((ms / sigma) ** 2) / 2)
    return bell


def wave_image(clean: CleanImage, soma: SomaGeometry) -> Image | None:
    """Trough of a travelling wave that each electrode sees at each sample, in SD of noise; 0 where bad.

    The soma's own field is removed first: its waveform times the median, in each ring of one electrode about the soma,
    of its amplitude (an axon fills little of a ring). Noise counts the error of that. None where nothing is noisy.
    """
    scale, shape = clean.scale, clean.bad.shape
    row, column = int(soma.peak_row), int(soma.peak_col)
    trough = trough_sample(clean, soma)
    window = clean.traces[max(trough - scale.samples(0.3), 0) : trough + scale.samples(1.3)]
    waveform, window = window[:, row, column], window.reshape(len(window), -1)
    share = np.einsum("t,te->e", waveform, window) / np.einsum("t,t->", waveform, waveform)  # no threads of its own
    rows, columns = np.indices(shape)
    ring = np.rint(np.hypot(rows - soma.center_row, columns - soma.center_col)).astype(np.int64).ravel()
    fields = _ring_medians(share.astype(np.float64), ring, ~clean.bad.ravel())[ring]
    traces = np.multiply.outer(clean.traces[:, row, column], fields.astype(np.float32)).reshape(-1, *shape)
    np.subtract(clean.traces, traces, out=traces)
    noise = np.hypot(
        np.maximum(clean.noise_sd.ravel(), axon_path.MIN_NOISE * clean.typical_noise),
        axon_path.MODEL_ERROR * np.abs(fields) * np.abs(waveform).max(),
    )
    good = ~clean.bad.ravel()
    gain = np.zeros(noise.size, np.float32)
    gain[good] = 1 / noise[good]
    waves = filtered_in_time(traces, _wave_weights(len(traces), scale.samples_per_ms), gain)
    spread = MAD_TO_SD * float(
        np.median(np.abs(waves[_quiet_samples(len(traces), scale)].reshape(-1, good.size)[:, good]))
    )
    if not spread > 0:
        return None
    waves /= np.float32(spread)
    return waves


def _ring_medians(values: Floats, ring: NDArray[np.int64], used: Bools) -> Floats:
    """Median of each ring's used values; 0 in rings 0 and 1 and where there are at most 5."""
    values, inside = values[used], ring[used].astype(np.int16)
    order = np.argsort(values)
    order = order[np.argsort(inside[order], kind="stable")]  # by radix, several times as fast as np.lexsort
    ordered = values[order]
    counts = np.bincount(inside, minlength=int(ring.max()) + 1)
    ends = np.cumsum(counts)
    middle = np.minimum(ends - counts + counts // 2, len(ordered) - 1)
    medians: Floats = np.where(counts > 5, ordered[middle], 0.0)
    medians[:2] = 0.0
    return medians


def _quiet_samples(samples: int, scale: ImageScale) -> NDArray[np.int64]:
    """Samples at both ends of the window, where neither soma nor axon is expected."""
    step = scale.samples_per_ms * 0.1
    early, late = np.arange(3) * step, samples - np.array([3, 2, 1]) * step
    return np.unique(np.clip(np.rint(np.concatenate([early, late])).astype(np.int64), 0, samples - 1))
