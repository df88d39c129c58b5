"""The sensor's view of the spikes: footprints with axons, noise, and a stream of any length made on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CHIP_SIDE = 65
NOISE_COUNTS = 8.0
AMPLITUDE_COUNTS = (90.0, 180.0)
SENSOR_STREAM = 2
OFFSET_STREAM = 3
SHAPE_BEFORE_S = 0.0015
SHAPE_AFTER_S = 0.0035
AXON_ELECTRODES = 7
AXON_SAMPLES_PER_ELECTRODE_S = 0.0001
FIELD_HZ = 2.0
FIELD_COUNTS = 40.0
_BLOCK = 2048  # frames whose random numbers are drawn together
_POOL = 1 << 22
_GATHERED = 128  # frames whose noise is gathered at once: their copy stays in the second-level cache

Int16s = npt.NDArray[np.int16]


def spike_shape(time_s: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """An extracellular spike of trough -1 at time 0, with a slower positive wave after it."""
    t = np.asarray(time_s, np.float64)
    return np.asarray(-np.exp(-((t / 0.00018) ** 2) / 2) + 0.3 * np.exp(-(((t - 0.0007) / 0.0004) ** 2) / 2))


def shape_times(sampling_rate: float) -> npt.NDArray[np.float64]:
    """Seconds from the spike at each sample of a footprint."""
    before, after = (round(s * sampling_rate) for s in (SHAPE_BEFORE_S, SHAPE_AFTER_S))
    return np.arange(-before, after + 1) / sampling_rate


@dataclass(frozen=True, slots=True)
class Footprint:
    """One unit's spike on the electrodes near it: (samples, height, width) counts, with its corner on the patch."""

    template: Int16s
    before: int
    row: int
    column: int

    def soma_waveform(self, soma: tuple[int, int]) -> npt.NDArray[np.float64]:
        """The waveform at the soma's electrode (0-based row, column)."""
        return self.template[:, soma[0] - self.row, soma[1] - self.column].astype(np.float64)


def draw_somata(n_units: int, patch: tuple[int, int], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Electrodes (units, 2), 0-based row and column; no two units share one as long as there are enough."""
    count = patch[0] * patch[1]
    order = np.array([rng.permutation(count) for _ in range(-(-n_units // count))], np.int64).ravel()[:n_units]
    return np.stack(np.divmod(order, patch[1]), axis=1)


def draw_footprint(
    soma: tuple[int, int], patch: tuple[int, int], sampling_rate: float, rng: np.random.Generator
) -> Footprint:
    """A soma of sub-electrode extent and an axon that leads away from it, later and weaker with distance."""
    time_s = shape_times(sampling_rate)
    rows, columns = np.mgrid[: patch[0], : patch[1]]
    amplitude, angle = rng.uniform(*AMPLITUDE_COUNTS), rng.uniform(0, 2 * np.pi)
    away = np.hypot(rows - soma[0], columns - soma[1])
    field = amplitude * np.exp(-(away**2) / (2 * 0.7**2))
    signal = field * spike_shape(time_s)[:, None, None]
    for step in range(2, AXON_ELECTRODES + 1):
        there = np.hypot(rows - soma[0] - step * np.sin(angle), columns - soma[1] - step * np.cos(angle))
        strength = 0.2 * amplitude * 0.9**step * np.exp(-(there**2) / (2 * 0.5**2))
        signal += strength * spike_shape(time_s - step * AXON_SAMPLES_PER_ELECTRODE_S)[:, None, None]
    template = np.rint(signal).astype(np.int16)
    touched = np.argwhere(template.any(axis=0))
    (top, left), (bottom, right) = touched.min(axis=0), touched.max(axis=0) + 1
    return Footprint(
        np.ascontiguousarray(template[:, top:bottom, left:right]), int(np.searchsorted(time_s, 0)), int(top), int(left)
    )


class SensorStream:
    """The sensor data of a simulated recording, made block by block and never held whole.

    Any range of frames may be asked for, in any order, and is always the same for the same seed.
    """

    def __init__(
        self,
        frames: int,
        patch: tuple[int, int],
        sampling_rate: float,
        footprints: Sequence[Footprint],
        spikes: Sequence[npt.NDArray[np.int64]],
        seed: int,
    ) -> None:
        self._shape = (frames, *patch)
        self._rate = sampling_rate
        self._footprints = footprints
        self._seed = seed
        units = np.repeat(np.arange(len(spikes)), [len(train) for train in spikes])
        times = np.concatenate([*spikes, np.empty(0, np.int64)])
        order = np.argsort(times, kind="stable")
        self._spikes, self._units = times[order], units[order]
        rng = np.random.default_rng([seed, OFFSET_STREAM])
        pool = np.rint(rng.standard_normal(_POOL, dtype=np.float32) * NOISE_COUNTS).astype(np.int16)
        self._noise_at = np.lib.stride_tricks.sliding_window_view(pool, patch[0] * patch[1])
        self._offsets = np.rint(rng.normal(0, 60, patch[0] * patch[1])).astype(np.int16)

    @property
    def shape(self) -> tuple[int, ...]:
        """(frames, rows, columns)"""
        return self._shape

    @property
    def dtype(self) -> np.dtype[np.int16]:
        """int16, ADC counts."""
        return np.dtype(np.int16)

    def read(self, start: int, stop: int) -> Int16s:
        """Frames [start, stop) as (frames, rows, columns) int16."""
        if not 0 <= start <= stop <= self._shape[0]:
            raise ValueError(f"frames [{start}, {stop}) are not within the recording's {self._shape[0]}")
        frames = np.empty((stop - start, *self._shape[1:]), np.int16)
        self.read_into(start, frames)
        return frames

    def read_into(self, start: int, out: Int16s) -> None:
        """Frames [start, start + len(out)) into `out`: C-ordered (frames, rows, columns) int16."""
        stop = start + len(out)
        if not 0 <= start <= stop <= self._shape[0]:
            raise ValueError(f"frames [{start}, {stop}) are not within the recording's {self._shape[0]}")
        if out.shape[1:] != self._shape[1:] or out.dtype != np.int16 or not out.flags.c_contiguous:
            raise ValueError(f"out must be a C-ordered int16 array of shape (frames, {self._shape[1:]})")
        block = out.reshape(len(out), self._shape[1] * self._shape[2])
        for first in range(start - start % _BLOCK, stop, _BLOCK):
            begin, end = max(start, first), min(stop, first + _BLOCK)
            self._fill_with_noise(block[begin - start : end - start], first, begin - first)
        seconds = np.arange(start, stop) / self._rate
        field = np.rint(FIELD_COUNTS * np.sin(2 * np.pi * FIELD_HZ * seconds)).astype(np.int16)
        block += self._offsets
        block += field[:, None]
        self._add_spikes(out, start)

    def _fill_with_noise(self, out: Int16s, first: int, skip: int) -> None:
        """Noise of the random block that begins at frame `first`: each frame is a window at random into one pool."""
        rng = np.random.default_rng([self._seed, SENSOR_STREAM, first])
        at = rng.integers(0, len(self._noise_at), _BLOCK)[skip : skip + len(out)]
        for begin in range(0, len(out), _GATHERED):
            out[begin : begin + _GATHERED] = self._noise_at[at[begin : begin + _GATHERED]]

    def _add_spikes(self, frames: Int16s, start: int) -> None:
        if not self._footprints:
            return
        reach = max(len(footprint.template) for footprint in self._footprints)
        low, high = np.searchsorted(self._spikes, [start - reach, start + len(frames) + reach])
        for spike, unit in zip(self._spikes[low:high].tolist(), self._units[low:high].tolist(), strict=True):
            footprint = self._footprints[unit]
            length, height, width = footprint.template.shape
            begin = spike - footprint.before - start
            cut_head, cut_tail = max(0, -begin), min(length, len(frames) - begin)
            if cut_head < cut_tail:
                target = frames[
                    begin + cut_head : begin + cut_tail,
                    footprint.row : footprint.row + height,
                    footprint.column : footprint.column + width,
                ]
                target += footprint.template[cut_head:cut_tail]
