"""Light reference from the analog channels: reduced traces, and the frames that the pulses mark.

Channels come as block sources (samples,), so that their length does not matter for memory.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from h5burst import ArraySource, CastSource
from hdmea.kernels import traces

BLOCK_SAMPLES = 1 << 20  # of a block that is worked on at once; with more, it leaves the processor's cache
REDUCED_RATES = {"1khz": 1000.0, "10hz": 10.0}
PULSE_PERCENTILE = 99.9
PULSE_HEIGHT = 0.1
DROPPED_PULSES = 4
_ROUNDING = 1e-9  # of a bound that is compared in double precision: what is this near is looked at again

logger = logging.getLogger(__name__)

Trace = npt.NDArray[np.float32]
Ints = npt.NDArray[np.integer[Any]]


def light_reference(
    channels: Mapping[str, ArraySource], rate_hz: float, stream: Callable[[ArraySource], Any] = lambda source: None
) -> dict[str, Any]:
    """`raw_ch1`, `1khz_ch1`, `10hz_ch1` and the same for every other channel, float32 ADC counts.

    stream: takes a raw channel that is too long for memory elsewhere and gives the array; None: it goes into memory.
    """
    reference: dict[str, Any] = {}
    for name, channel in channels.items():
        lengths = {label: samples_per_block(rate_hz, reduced_hz) for label, reduced_hz in REDUCED_RATES.items()}
        spilled = stream(CastSource(channel, np.dtype(np.float32)))
        raw, means = reduced_traces(channel, list(lengths.values()), keep_raw=spilled is None)
        reference[f"raw_{name}"] = raw if spilled is None else spilled
        reference |= {f"{label}_{name}": trace for label, trace in zip(lengths, means, strict=True)}
    return reference


def samples_per_block(rate_hz: float, reduced_hz: float) -> int:
    """Samples of `rate_hz` that make one of `reduced_hz`, at least one."""
    return max(1, round(rate_hz / reduced_hz))


def reduced_traces(channel: ArraySource, lengths: Sequence[int], *, keep_raw: bool = True) -> tuple[Trace, list[Trace]]:
    """The channel as float32 (samples,), and for each length the means of consecutive blocks of so many samples.

    keep_raw: without it the first is empty. An incomplete last block is left out. Means are exact for integers: one
    sum in integers, one division. The channel
    is read once.
    """
    samples = channel.shape[0]
    raw = np.empty(samples if keep_raw else 0, np.float32)
    means = [np.empty(samples // length, np.float32) for length in lengths]
    common = math.lcm(*lengths)
    for start, block in _blocks(channel, max(1, BLOCK_SAMPLES // common) * common):
        if keep_raw:
            raw[start : start + len(block)] = block
        for length, trace in zip(lengths, means, strict=True):
            sums = traces.block_sums(block, length)
            trace[start // length : start // length + len(sums)] = sums / length
    return raw, means


def frame_timestamps(channel: ArraySource) -> npt.NDArray[np.uint64]:
    """Samples at which frames begin: peaks of the channel's difference that rise above a tenth of its pulses.

    The difference is divided by its 99.9th percentile, or by its maximum where that is not positive; peaks (local
    maxima, of a plateau its middle) higher than 0.1 count, but for the first four. A flat channel gives none, and a
    warning on this module's logger.
    """
    return pulse_samples(channel)[DROPPED_PULSES:]


def pulse_samples(channel: ArraySource) -> npt.NDArray[np.uint64]:
    """As `frame_timestamps`, with the first four pulses."""
    top = _TopValues(max(channel.shape[0] - 1, 0), PULSE_PERCENTILE)
    for _, steps in _rises(channel, top.smallest):
        top.add(steps)
    scale = top.percentile()
    if scale <= 0:
        scale = top.maximum()
    if scale <= 0:
        logger.warning("the frame-pulse channel is flat: no frame timestamps")
        return np.empty(0, np.uint64)
    return _peaks_above(channel, scale).astype(np.uint64)


class _TopValues:
    """A percentile of values that come in blocks: keeps only as many of the largest as it depends on."""

    def __init__(self, count: int, percent: float) -> None:
        self._rank = (count - 1) * (percent / 100)
        self._keep = max(1, count - int(np.floor(max(self._rank, 0))))
        self._largest: npt.NDArray[Any] = np.empty(0, np.int64)

    def smallest(self) -> float:
        """Bound that values must be above to matter."""
        return float(self._largest[0]) if len(self._largest) >= self._keep else -math.inf

    def add(self, values: Ints) -> None:
        if len(self._largest) >= self._keep:
            values = values[values > self._largest[0]]
        if not len(values):
            return
        merged = np.concatenate([self._largest, values])
        if len(merged) > self._keep:
            merged = np.partition(merged, len(merged) - self._keep)[len(merged) - self._keep :]
        self._largest = merged  # its first is its smallest once it is full

    def percentile(self) -> float:
        """By linear interpolation between the two nearest ranks, as `numpy.percentile`; 0 without values."""
        if not len(self._largest):
            return 0.0
        ranked = np.sort(self._largest[np.argpartition(self._largest, min(1, len(self._largest) - 1))[:2]])
        return float(ranked[0] + (ranked[-1] - ranked[0]) * (self._rank - np.floor(self._rank)))

    def maximum(self) -> float:
        return float(self._largest.max()) if len(self._largest) else 0.0


def _peaks_above(channel: ArraySource, scale: float) -> npt.NDArray[np.int64]:
    """Middles of the local maxima of the difference whose height over `scale` is above `PULSE_HEIGHT`.

    A peak's samples are all above the threshold, and so is a neighbour that is higher than they are: what is
    below needs not be kept.
    """
    indices, heights = [], []
    for places, steps in _rises(channel, lambda: scale * PULSE_HEIGHT):
        high = steps / scale > PULSE_HEIGHT
        indices.append(places[high])
        heights.append(steps[high])
    at, height = np.concatenate([*indices, np.empty(0, np.int64)]), np.concatenate([*heights, np.empty(0, np.int64)])
    if not len(at):
        return at
    adjacent = np.diff(at) == 1
    starts = np.concatenate([[True], ~adjacent | (np.diff(height) != 0)])
    first = np.flatnonzero(starts)
    last = np.concatenate([first[1:], [len(at)]]) - 1
    # Equal neighbours are one plateau; it is a peak when the samples before and after it are lower.
    rises = np.ones(len(first), bool)
    rises[1:] = ~adjacent[first[1:] - 1] | (height[first[1:]] > height[first[1:] - 1])
    falls = np.ones(len(first), bool)
    falls[:-1] = ~adjacent[last[:-1]] | (height[last[:-1]] > height[last[:-1] + 1])
    inside = (at[first] > 0) & (at[last] < channel.shape[0] - 2)
    peak = rises & falls & inside
    return np.asarray((at[first][peak] + at[last][peak]) // 2)


def _blocks(channel: ArraySource, step: int) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    for start in range(0, channel.shape[0], step):
        yield start, channel.read(start, min(start + step, channel.shape[0]))


def _rises(channel: ArraySource, above: Callable[[], float]) -> Iterator[tuple[npt.NDArray[np.int64], Ints]]:
    """Yield where `numpy.diff` of the channel is above a bound, or hardly below it, with its values, by blocks.

    above: the bound of the next block. Differences are wide enough not to overflow.
    """
    at_rises = np.empty(BLOCK_SAMPLES, np.int64)
    for start in range(0, channel.shape[0] - 1, BLOCK_SAMPLES):
        block = channel.read(start, min(start + BLOCK_SAMPLES + 1, channel.shape[0]))
        bound = above()
        at = traces.rises(block, bound - abs(bound) * _ROUNDING, at_rises)
        wide = block if block.dtype.kind == "f" else block.astype(np.int64)
        yield at + start, wide[at + 1] - wide[at]
