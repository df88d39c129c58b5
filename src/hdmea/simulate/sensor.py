"""The sensor's view of the spikes: fields of somata and axons, noise, and a stream of any length made on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hdmea.simulate.chip import Electrodes, Floats, Layout
from hdmea.simulate.options import AxonOptions

SENSOR_STREAM = 2
OFFSET_STREAM = 3
SHAPE_BEFORE_S = 0.0015
SHAPE_AFTER_S = 0.0035
FIELD_HZ = 2.0
FIELD_COUNTS = 40.0
MIN_COUNTS = 0.05  # of a spike's field: less is left out
_RANDOM_BLOCK = 2048  # frames whose random numbers are drawn together
_BLOCK = 512  # frames that are made together
_POOL = 1 << 22
_COMMON_POOL = 1 << 20
_COMMON_TAPS = 5
_GATHERED = 64  # frames whose noise is gathered at once: their copy stays in the second-level cache

Int16s = npt.NDArray[np.int16]
Floats32 = npt.NDArray[np.float32]


def soma_shape(time_s: npt.ArrayLike) -> Floats:
    """An extracellular spike: a trough of -0.94 at time 0, and a slower positive wave after it."""
    t = np.asarray(time_s, np.float64)
    return np.asarray(-_bell(t, 0.00018) + 0.3 * _bell(t - 0.0007, 0.0004))


def triphasic_shape(time_s: npt.ArrayLike) -> Floats:
    """A spike that passes by on an axon.

    The currents ahead and behind it make it positive before and after its trough.
    """
    t = np.asarray(time_s, np.float64)
    return np.asarray(-_bell(t, 0.00013) + 0.35 * _bell(t + 0.00028, 0.00014) + 0.3 * _bell(t - 0.00032, 0.00018))


AXON_SHAPES = {"soma": soma_shape, "triphasic": triphasic_shape}


def _bell(t: Floats, sigma: float) -> Floats:
    return np.asarray(np.exp(-((t / sigma) ** 2) / 2))


def field(distance: Floats, sigma: float, monopole: bool) -> Floats:
    """A source's field at that distance, 1 at its middle.

    A Gaussian, or a point source 1.6 sigma below the electrodes.
    """
    if monopole:
        return np.asarray((1 + (distance / (1.6 * sigma)) ** 2) ** -1.5)
    return _bell(distance, sigma)


@dataclass(frozen=True, slots=True)
class Footprint:
    """One unit's spike on the electrodes that see it: where it is not nothing, in the order of time.

    sample: (n,) from the footprint's first, `before` samples before the spike; electrode: (n,) row by row on the patch;
    counts: (n,) float32, or int16 in whole counts.
    """

    sample: npt.NDArray[np.int64]
    electrode: npt.NDArray[np.int64]
    counts: Floats32 | Int16s
    before: int

    @property
    def length(self) -> int:
        """Samples."""
        return int(self.sample[-1]) + 1 if len(self.sample) else 0


def shape_times(sampling_rate: float, after_s: float = SHAPE_AFTER_S) -> Floats:
    """Seconds from the spike at each sample of a footprint."""
    before, after = (round(s * sampling_rate) for s in (SHAPE_BEFORE_S, after_s))
    return np.arange(-before, after + 1) / sampling_rate


def footprint(
    layout: Layout,
    unit: int,
    patch: tuple[int, int],
    sampling_rate: float,
    *,
    pitch_um: float = 16.0,
    axons: AxonOptions | None = None,
    is_dead: npt.NDArray[np.bool_] | None = None,
) -> Footprint:
    """Image of a unit's spike on the patch's electrodes (rows, columns): its soma, and its axon, later along its way.

    axons: where the axon is seen from, its modulation and waveform; default as simulated recordings have them.
    """
    seen = axons or AxonOptions()
    rows, columns = (axis.astype(np.float64) for axis in np.divmod(np.arange(patch[0] * patch[1]), patch[1]))
    x, y = layout.soma_xy[unit]
    monopole, amplitude = bool(layout.is_monopole[unit]), layout.amplitude[unit]
    soma = amplitude * field(np.hypot(columns - x, rows - y), layout.soma_sigma[unit], monopole)
    along, lateral = layout.nearest_on_path(unit, columns, rows)
    axon = amplitude / layout.axon_ratio[unit] * field(lateral, layout.axon_sigma[unit], False)
    axon *= 1 / (1 + np.exp(-2 * np.clip(along - seen.start_um / pitch_um, -50, 50)))
    axon *= 1 + seen.modulation * np.sin(along / layout.wave_period[unit] + layout.wave_phase[unit])
    axon[(along < 0) | (along > layout.axon_length[unit])] = 0
    delay_s = along * pitch_um * 1e-6 / layout.axon_speed[unit]
    working = np.ones(len(soma), bool) if is_dead is None else ~is_dead.ravel()
    soma_seen, axon_seen = (np.flatnonzero((part > MIN_COUNTS) & working) for part in (soma, axon))
    time_s = shape_times(sampling_rate, SHAPE_AFTER_S + delay_s[axon_seen].max(initial=0.0))
    signal = np.zeros((len(time_s), len(soma)), np.float32)
    signal[:, soma_seen] = soma_shape(time_s)[:, None] * soma[soma_seen]
    signal[:, axon_seen] += axon[axon_seen] * AXON_SHAPES[seen.waveform](time_s[:, None] - delay_s[axon_seen])
    sample, electrode = np.nonzero(np.abs(signal) > MIN_COUNTS)
    return Footprint(sample, electrode, signal[sample, electrode], int(np.searchsorted(time_s, 0)))


def _in_whole_counts(part: Footprint) -> Footprint:
    counts = np.rint(part.counts).astype(np.int16)
    seen = counts != 0
    return Footprint(part.sample[seen], part.electrode[seen], counts[seen], part.before)


class SensorStream:
    """The sensor data of a simulated recording, made block by block and never held whole.

    Any range of frames may be asked for, in any order, by any number of threads, and is always the same for the same
    seed. Each electrode has an offset, noise of its own (a first-order autoregressive process), and what all share:
    slow waves and common noise. `simulate_recording` writes one into the `.cmcr`.

    Parameters
    ----------
    frames : int
        Samples of the stream.
    electrodes : Electrodes
        Noise and faults of a patch.
    sampling_rate : float
        Hz.
    footprints : sequence of Footprint
        What the electrodes see of each cell's spike.
    spikes : sequence of numpy.ndarray
        Each cell's spikes, (spikes,) int64 samples.
    seed : int
        Of the noise.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.simulate import NoiseOptions, SensorStream
    >>> from hdmea.simulate.chip import draw_electrodes
    >>> from hdmea.simulate.options import ChipOptions
    >>> electrodes = draw_electrodes((6, 6), ChipOptions(), NoiseOptions(), np.random.default_rng(1))
    >>> SensorStream(1000, electrodes, 20_000.0, [], [], seed=1).read(0, 10).shape
    (10, 6, 6)
    """

    def __init__(
        self,
        frames: int,
        electrodes: Electrodes,
        sampling_rate: float,
        footprints: Sequence[Footprint],
        spikes: Sequence[npt.NDArray[np.int64]],
        seed: int,
    ) -> None:
        self._shape = (frames, *electrodes.noise_sd.shape)
        self._width = electrodes.noise_sd.size
        self._electrodes = electrodes
        self._rate = sampling_rate
        if electrodes.is_white:
            footprints = [_in_whole_counts(part) for part in footprints]
        self._footprints = footprints
        self._flat = [part.sample * self._width + part.electrode for part in footprints]
        self._reach = max((part.length for part in footprints), default=0)
        self._seed = seed
        units = np.repeat(np.arange(len(spikes)), [len(train) for train in spikes])
        times = np.concatenate([*spikes, np.empty(0, np.int64)])
        order = np.argsort(times, kind="stable")
        self._spikes, self._units = times[order], units[order]
        rng = np.random.default_rng([seed, OFFSET_STREAM])
        pool = rng.standard_normal(_POOL, dtype=np.float32)
        kind = np.dtype(np.int16 if electrodes.is_white else np.float32)
        if electrodes.is_white:
            pool = np.rint(pool * electrodes.noise_sd.flat[0])
        self._noise_at = np.lib.stride_tricks.sliding_window_view(pool.astype(kind, copy=False), self._width)
        self._offsets = np.rint(rng.normal(0, 60, self._width)).astype(kind)
        rho = electrodes.autocorrelation
        self._gain = electrodes.noise_sd.ravel() * np.float32(np.sqrt((1 - rho**2) / (1 - rho**8)))
        self._shares = (~electrodes.is_dead).ravel().astype(np.float32)
        self._common = _common_noise(electrodes.common_sd, rng)

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames, rows and columns."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[np.int16]:
        """int16, ADC counts."""
        return np.dtype(np.int16)

    def read(self, start: int, stop: int) -> Int16s:
        """Frames [start, stop) as a new array.

        Parameters
        ----------
        start, stop : int
            Half-open range of frames.

        Returns
        -------
        numpy.ndarray
            (frames, rows, columns) int16, ADC counts.
        """
        if not 0 <= start <= stop <= self._shape[0]:
            raise ValueError(f"frames [{start}, {stop}) are not within the recording's {self._shape[0]}")
        frames = np.empty((stop - start, *self._shape[1:]), np.int16)
        self.read_into(start, frames)
        return frames

    def read_into(self, start: int, out: Int16s) -> None:
        """Frames [start, start + len(out)) into an array of the caller's.

        Parameters
        ----------
        start : int
            The first frame.
        out : numpy.ndarray
            (frames, rows, columns) int16, C-ordered.

        Raises
        ------
        ValueError
            For another shape or dtype, or frames outside the recording.
        """
        stop = start + len(out)
        if not 0 <= start <= stop <= self._shape[0]:
            raise ValueError(f"frames [{start}, {stop}) are not within the recording's {self._shape[0]}")
        if out.shape[1:] != self._shape[1:] or out.dtype != np.int16 or not out.flags.c_contiguous:
            raise ValueError(f"out must be a C-ordered int16 array of shape (frames, {self._shape[1:]})")
        whole = out.reshape(len(out), self._width)
        buffer = np.empty((min(_BLOCK, len(out)), self._width), np.float32)
        for begin in range(start, stop, _BLOCK):
            target = whole[begin - start : begin - start + _BLOCK]
            if self._electrodes.is_white:
                self._fill_white(target, begin)
                self._add_spikes(target, begin)
                continue
            block = buffer[: len(target)]
            self._fill(block, begin)
            self._add_spikes(block, begin)
            np.rint(block, out=block)
            target[:] = np.clip(block, -32768, 32767, out=block)

    def _fill_white(self, block: Int16s, begin: int) -> None:
        """Everything but spikes, in whole counts, for electrodes that differ in their offsets alone."""
        windows = self._windows(begin, begin + len(block))
        for first in range(0, len(block), _GATHERED):
            block[first : first + _GATHERED] = self._noise_at[windows[first : first + _GATHERED]]
        block += self._offsets
        block += np.rint(self._waves(begin, len(block))).astype(np.int16)[:, None]

    def _waves(self, begin: int, count: int) -> Floats:
        """The slow waves that all electrodes share (count,)."""
        return np.asarray(FIELD_COUNTS * np.sin(2 * np.pi * FIELD_HZ * np.arange(begin, begin + count) / self._rate))

    def _fill(self, block: Floats32, begin: int) -> None:
        """Everything but spikes."""
        windows = self._windows(begin - 3, begin + len(block))
        shared = self._waves(begin, len(block))
        shared += self._common[np.arange(begin, begin + len(block)) % len(self._common)]
        rho = np.float32(self._electrodes.autocorrelation)
        for first in range(0, len(block), _GATHERED):
            part = block[first : first + _GATHERED]
            noise = self._noise_at[windows[first : first + len(part) + 3]]
            if rho:  # 1 + ρB + ρ²B² + ρ³B³: the autoregressive process to 1 % of its variance and better
                noise[1:] += rho * noise[:-1].copy()
                noise[3:] += rho**2 * noise[1:-2].copy()
            np.multiply(noise[3:], self._gain, out=part)
            part += self._offsets
            part += shared[first : first + len(part), None].astype(np.float32) * self._shares

    def _windows(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Beginning in the pool of each frame's noise: random numbers of the block that the frame is in."""
        drawn = []
        for first in range(start - start % _RANDOM_BLOCK, stop, _RANDOM_BLOCK):
            rng = np.random.default_rng([self._seed, SENSOR_STREAM, first + _RANDOM_BLOCK])
            at = rng.integers(0, len(self._noise_at), _RANDOM_BLOCK)
            drawn.append(at[max(start - first, 0) : stop - first])
        return np.concatenate(drawn)

    def _add_spikes(self, block: Floats32 | Int16s, begin: int) -> None:
        flat = block.reshape(-1)
        low, high = np.searchsorted(self._spikes, [begin - self._reach, begin + len(block) + self._reach])
        for spike, unit in zip(self._spikes[low:high].tolist(), self._units[low:high].tolist(), strict=True):
            part = self._footprints[unit]
            ahead = spike - part.before - begin
            if ahead >= len(block) or ahead + part.length <= 0:
                continue
            first, last = 0, len(part.sample)
            if ahead < 0 or ahead + part.length > len(block):
                first, last = np.searchsorted(part.sample, [-ahead, len(block) - ahead]).tolist()
            flat[self._flat[unit][first:last] + ahead * self._width] += part.counts[first:last]


def _common_noise(common_sd: float, rng: np.random.Generator) -> Floats:
    """Noise that all electrodes share, a moving average over some samples; it repeats after 2^20 of them."""
    white = rng.standard_normal(_COMMON_POOL)
    return np.asarray(sum(np.roll(white, tap) for tap in range(_COMMON_TAPS)) * (common_sd / np.sqrt(_COMMON_TAPS)))
