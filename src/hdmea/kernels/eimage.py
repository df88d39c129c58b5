"""Electrical images: the mean of every electrode around a unit's spikes, summed while a recording streams by.

The zero-phase filter is never written out. Its backward half is linear, so it commutes with the sum over spikes: each
block is filtered forward and its windows are summed; what is after a window enters as the backward filter's state at
the window's end, summed over spikes as well; the backward filter then runs once over each unit's mean. A block's states
start from rest at its end, and the state they missed, a linear function of the blocks to come, is added as those come
(`carry`). So the result is exact for any block length, and nothing but one block and the sums is in memory.

Sums are single precision, so that they become the images in place, with the rounding error of each kept in two bytes
more: six bytes an element, against eight in double, and a third faster where memory is the limit. n spikes leave an
error below 6e-11 n of the peak, however alike they are; the plain single precision sum was off by 1e-3 at 200 000 equal
ones. States are double. Unfiltered int16 windows are summed exactly, in 32 bits up to 65 535 spikes a unit and in
double beyond.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from h5burst import ArraySource, parallel_map, read_ahead, simd, split_evenly, thread_count
from h5burst._ext import eimage as _ext
from hdmea.kernels import trains
from hdmea.kernels.highpass import (
    Doubles,
    Floats,
    Samples,
    SosFilter,
    ThreadBuffers,
    checked_block,
    from_tiles,
    tile_count,
    tile_ranges,
    to_tiles,
)

BLOCK_FRAMES = 4096  # a tile of so many filtered frames fills half a megabyte, and stays in the second-level cache
MAX_SECTIONS: int = _ext.MAX_SECTIONS
EXACT_SPIKES = 65_535  # of 16 bits that surely fit into 32
NEGLIGIBLE_STATE = 1e-25  # of a state's weight: beyond double precision, whatever it is multiplied by

Integers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


@dataclass(frozen=True, slots=True)
class SelectedSpikes:
    """The spikes that are used, in order of time.

    Attributes
    ----------
    times : (n,) int64
        Sample of each spike.
    units : (n,) int64
        Number of each spike's unit.
    used : (units,) int64
        How many spikes of each unit are used.
    excluded : (units,) int64
        How many are not because their window is not inside the recording.
    """

    times: Integers
    units: Integers
    used: Integers
    excluded: Integers


def select_spikes(
    spikes: Integers, offsets: Integers, window: tuple[int, int], frames: int, limit: int | None = None
) -> SelectedSpikes:
    """Each unit's first `limit` spikes (in time) whose window is inside the recording.

    Parameters
    ----------
    spikes : (n,) integers
        Samples of all units one after another, each unit's in any order. A repeated spike is used as often as it is
        repeated.
    offsets : (units + 1,) integers
        Unit u's spikes are ``spikes[offsets[u]:offsets[u + 1]]``.
    window : (lo, hi)
        A spike at sample t stands for the frames [t + lo, t + hi).
    frames : int
        Length of the recording.
    limit : int, optional
        Most spikes of a unit; without it, all are used.

    Returns
    -------
    SelectedSpikes
        The spikes in order of time, and how many each unit has.

    Raises
    ------
    TypeError
        `spikes` or `offsets` are not arrays of integers.
    ValueError
        `offsets` do not ascend within `spikes`, `window` is empty, or `limit` is negative.
    """
    offsets = trains.checked_offsets(offsets, trains.checked_integers(spikes, "spikes").size)
    spikes = trains.as_int64(spikes[offsets[0] : offsets[-1]])
    low, high = checked_window(window)
    if limit is not None and limit < 0:
        raise ValueError(f"limit must not be negative, got {limit}")
    units = np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))
    inside = (spikes >= -low) & (spikes <= frames - high)
    excluded = np.bincount(units[~inside], minlength=len(offsets) - 1)
    times, units = spikes[inside], units[inside]
    order = np.lexsort((times, units))
    times, units = times[order], units[order]
    if limit is not None:
        first = np.searchsorted(units, np.arange(len(offsets) - 1))
        kept = np.arange(len(units)) - first[units] < limit
        times, units = times[kept], units[kept]
    used = np.bincount(units, minlength=len(offsets) - 1)
    order = np.argsort(times, kind="stable")
    return SelectedSpikes(times[order], units[order], used.astype(np.int64), excluded.astype(np.int64))


def checked_window(window: tuple[int, int]) -> tuple[int, int]:
    """The window as two Python integers.

    Parameters
    ----------
    window : (lo, hi)
        First frame, and one past the last, relative to a spike.

    Returns
    -------
    (int, int)
        The same numbers.

    Raises
    ------
    ValueError
        `lo` is not less than `hi`.
    """
    low, high = (int(edge) for edge in window)
    if low >= high:
        raise ValueError(f"window must have lo < hi, got ({low}, {high})")
    return low, high


class ImageSums(Protocol):
    """Takes a recording's blocks in ascending order, then gives the mean windows."""

    def add(self, block: Samples) -> None:
        """Take the next block.

        Parameters
        ----------
        block : (frames, channels) int16 or float32
            The frames that follow those of the block before.
        """

    def images(self) -> Floats:
        """The mean windows, once all blocks were given.

        Returns
        -------
        (units, window, channels) float32
            In the unit of the blocks; NaN for a unit of which no spike is used.
        """
        ...


class _Windows:
    """Rows of a block, and the rows of a unit's window that each belongs to."""

    def __init__(self, spikes: SelectedSpikes, window: tuple[int, int]) -> None:
        self._times, self._units = spikes.times, spikes.units
        self._low, self._high = window

    def inside(self, start: int, stop: int) -> Integers:
        """(n, 4): unit, first row in the block [start, stop), first row in the window, rows; by unit, then time."""
        first = np.searchsorted(self._times, start - self._high, side="right")
        last = np.searchsorted(self._times, stop - self._low, side="left")
        times, units = self._times[first:last], self._units[first:last]
        begin = np.maximum(times + self._low, start)
        rows = np.minimum(times + self._high, stop) - begin
        table = np.stack([units, begin - start, begin - (times + self._low), rows], axis=1)
        return np.ascontiguousarray(table[np.argsort(units, kind="stable")])

    def ending(self, start: int, stop: int) -> Integers:
        """(n, 2): unit and row in the block of windows that end in it, row and unit descending."""
        first, last = np.searchsorted(self._times, [start - self._high, stop - self._high], side="left")
        rows = self._times[first:last] + self._high - start
        units = self._units[first:last]
        return np.ascontiguousarray(np.stack([units, rows], axis=1)[np.lexsort((units, rows))[::-1]])


class FilteredSums:
    """Sums for images of the recording filtered forwards and backwards.

    Parameters
    ----------
    frames, channels : int
        Of the whole recording.
    spikes : SelectedSpikes
        The spikes to average around.
    window : (lo, hi)
        First frame, and one past the last, relative to a spike.
    sos : (sections, 6) array
        Second-order sections of a stable filter.
    threads : int, optional
        The result does not depend on it.

    Raises
    ------
    ValueError
        `sos` is not such a filter, or the recording is not longer than scipy's padding of it.
    """

    def __init__(
        self,
        frames: int,
        channels: int,
        spikes: SelectedSpikes,
        window: tuple[int, int],
        sos: Any,
        threads: int | None = None,
    ) -> None:
        self._cascade = SosFilter.of(sos)
        if frames <= self._cascade.pad_frames:
            raise ValueError(
                f"the recording is too short for this filter: {frames} frames, "
                f"it needs more than {self._cascade.pad_frames}"
            )
        low, high = checked_window(window)
        self._frames, self._channels, self._threads, self._level = frames, channels, threads, simd.level()
        self._spikes, self._windows = spikes, _Windows(spikes, (low, high))
        units, tiles, orders = len(spikes.used), tile_count(channels), self._cascade.orders
        self._window = high - low
        self._sums = np.zeros((units, tiles, self._window, _ext.TILE), np.float32)
        self._lost: Samples | None = np.zeros(self._sums.shape, np.uint16)
        self._states = np.zeros((units, tiles, orders, _ext.TILE))
        self._carry = np.zeros((units, orders, orders))
        self._powers = self._cascade.transitions(min(BLOCK_FRAMES, frames))
        self._forward: Doubles | None = None
        self._done = 0
        self._head: list[Samples] = []
        self._last: Samples = np.empty((0, channels), np.int16)
        self._scratch = ThreadBuffers()

    def add(self, block: Samples) -> None:
        """Take the next block.

        Parameters
        ----------
        block : (frames, channels) int16 or float32
            The frames that follow those of the block before, any number of them. The array may be overwritten after
            this call.
        """
        block = checked_block(block)
        self._remember_last(block)
        if self._forward is None:
            block = np.concatenate([*self._head, block]) if self._head else block
            if len(block) <= self._cascade.pad_frames:
                self._head = [block.copy()]
                return
            self._head = []
            self._forward = to_tiles(self._cascade.state_at_start(block[: self._cascade.pad_frames + 1]))
        for start in range(0, len(block), BLOCK_FRAMES):
            self._add(block[start : start + BLOCK_FRAMES])

    def _remember_last(self, block: Samples) -> None:
        """Keep the recording's last frames, from which its end is extended."""
        keep = self._cascade.pad_frames + 1
        if self._frames - self._done - sum(map(len, self._head)) - len(block) < keep:
            self._last = np.concatenate([self._last.astype(block.dtype), block[-keep:]])[-keep:]

    def _add(self, block: Samples) -> None:
        start, stop = self._done, self._done + len(block)
        windows, ends = self._windows.inside(start, stop), self._windows.ending(start, stop)
        carrying = np.flatnonzero(np.abs(self._carry).max(axis=(1, 2), initial=0) > NEGLIGIBLE_STATE).astype(np.int64)
        size = len(block) * _ext.TILE

        def run(tiles: tuple[int, int]) -> None:
            filtered, padded = self._scratch("filtered", size, np.float32), self._scratch("padded", size, block.dtype)
            state = self._scratch("state", self._cascade.orders * _ext.TILE, np.float64)
            _ext.add_filtered(
                block, *tiles, self._cascade.coefficients, self._forward, windows, ends, carrying, self._carry,
                self._sums, self._lost, self._states, filtered, padded, state, self._level,
            )  # fmt: skip

        parallel_map(run, tile_ranges(self._channels, self._threads), self._threads)
        self._carry = self._carry @ self._powers[len(block)]
        np.add.at(self._carry, ends[:, 0], self._powers[len(block) - ends[:, 1]])
        self._done = stop

    def images(self) -> Floats:
        """The mean windows, once all frames were given; they are stored in place of the sums.

        Returns
        -------
        (units, window, channels) float32
            In the unit of the blocks; NaN for a unit of which no spike is used.

        Raises
        ------
        ValueError
            Not all frames were given.
        """
        if self._done != self._frames or self._forward is None:
            raise ValueError(f"{self._frames} frames were announced, {self._done} have come")
        np.add.at(self._carry, self._windows.ending(self._frames, self._frames + 1)[:, 0], self._powers[0])
        self._lost = None  # less than half of a sum's last bit
        forward = from_tiles(self._forward, self._channels)
        end = to_tiles(self._cascade.state_at_end(forward, self._last))
        images = _in_place(self._sums, self._channels)

        def run(units: tuple[int, int]) -> None:
            filtered = np.empty(self._window * _ext.TILE, np.float32)
            sums = np.empty(self._sums.shape[1:], np.float32)
            for unit in range(*units):
                sums[...] = self._sums[unit]
                states = self._states[unit] + self._carry[unit] @ end
                count = int(self._spikes.used[unit])
                scale = 1 / count if count else np.nan
                _ext.finish_filtered(
                    sums, states, self._cascade.coefficients, scale, images[unit], filtered, self._level
                )

        parallel_map(run, split_evenly(len(images), 4 * thread_count(self._threads)), self._threads)
        return images


def _in_place(sums: Samples, channels: int) -> Floats:
    """Room for (window, channels) float32 of each unit, in the unit's own part of the sums."""
    units, tiles, window, width = sums.shape
    room = sums.reshape(units, tiles * window * width).view(np.float32)
    return room[:, : window * channels].reshape(units, window, channels)


class RawSums:
    """Sums for images of the unfiltered recording, less each electrode's mean over all frames.

    Parameters
    ----------
    frames, channels : int
        Of the whole recording.
    spikes : SelectedSpikes
        The spikes to average around.
    window : (lo, hi)
        First frame, and one past the last, relative to a spike.
    threads : int, optional
        The result does not depend on it.

    Raises
    ------
    ValueError
        The recording is empty.
    """

    def __init__(
        self, frames: int, channels: int, spikes: SelectedSpikes, window: tuple[int, int], threads: int | None = None
    ) -> None:
        if frames < 1:
            raise ValueError("the recording is empty")
        low, high = checked_window(window)
        self._frames, self._channels, self._threads, self._level = frames, channels, threads, simd.level()
        self._spikes, self._windows = spikes, _Windows(spikes, (low, high))
        self._shape = (len(spikes.used), tile_count(channels), high - low, _ext.TILE)
        self._sums: Samples | None = None
        self._totals = np.zeros((tile_count(channels), _ext.TILE))
        self._done = 0
        self._scratch = ThreadBuffers()

    def add(self, block: Samples) -> None:
        """Take the next block.

        Parameters
        ----------
        block : (frames, channels) int16 or float32
            The frames that follow those of the block before, any number of them, always of one dtype.
        """
        block = checked_block(block)
        if self._sums is None:
            fits = block.dtype == np.int16 and self._spikes.used.max(initial=0) <= EXACT_SPIKES
            self._dtype = block.dtype
            self._sums = np.zeros(self._shape, np.int32 if fits else np.float64)
        if block.dtype != self._dtype:
            raise TypeError(f"block must be {self._dtype} as those before, got {block.dtype}")
        if not len(block):
            return
        windows = self._windows.inside(self._done, self._done + len(block))

        def run(tiles: tuple[int, int]) -> None:
            padded = self._scratch("padded", len(block) * _ext.TILE, block.dtype)
            _ext.add_raw(block, *tiles, windows, self._sums, self._totals, padded, self._level)

        parallel_map(run, tile_ranges(self._channels, self._threads), self._threads)
        self._done += len(block)

    def images(self) -> Floats:
        """The mean windows, once all frames were given; they are stored in place of the sums.

        Returns
        -------
        (units, window, channels) float32
            In the unit of the blocks; NaN for a unit of which no spike is used.

        Raises
        ------
        ValueError
            Not all frames were given.
        """
        if self._done != self._frames or self._sums is None:
            raise ValueError(f"{self._frames} frames were announced, {self._done} have come")
        images = _in_place(self._sums, self._channels)
        window = self._shape[2]
        level = self._totals.reshape(-1)[: self._channels] / self._frames
        for unit, count in enumerate(self._spikes.used):
            sums = self._sums[unit].swapaxes(0, 1).reshape(window, -1)[:, : self._channels]
            images[unit] = sums / count - level if count else np.nan
        return images


@dataclass(frozen=True, slots=True)
class ElectricalImages:
    """The mean window of every unit, and how many spikes are in it.

    Attributes
    ----------
    means : (units, window, channels) float32
        In the unit of the recording; NaN for a unit of which no spike is used.
    used : (units,) int64
        How many spikes of each unit are used.
    excluded : (units,) int64
        How many are not because their window is not inside the recording.
    compute_seconds : float
        Seconds of filtering and summing, without those of waiting for the source.
    """

    means: Floats
    used: Integers
    excluded: Integers
    compute_seconds: float


class SpikeWindows(NamedTuple):
    """The spikes to average around, as `select_spikes` takes them.

    Attributes
    ----------
    spikes : (n,) integers
        Samples of all units one after another.
    offsets : (units + 1,) integers
        Unit u's spikes are ``spikes[offsets[u]:offsets[u + 1]]``.
    window : (lo, hi)
        First frame, and one past the last, relative to a spike.
    limit : int, optional
        Most spikes of a unit; without it, all are used.
    """

    spikes: Integers
    offsets: Integers
    window: tuple[int, int]
    limit: int | None = None


def electrical_images(
    source: ArraySource,
    windows: SpikeWindows,
    *,
    sos: Any = None,
    frames: int | None = None,
    block_frames: int = BLOCK_FRAMES,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> ElectricalImages:
    """Average a recording around the spikes of all units, in one pass over it.

    Parameters
    ----------
    source : ArraySource
        (frames, …) int16 or float32; all axes but the first are channels. Read in ascending order, one block ahead.
    windows : SpikeWindows
        The spikes of all units, the window around each, and how many of each unit are used at most.
    sos : (sections, 6) array, optional
        Filter the whole recording forwards and backwards, as `scipy.signal.sosfiltfilt` does, before averaging. Without
        it, each channel's mean over all frames is subtracted.
    frames : int, optional
        Only so many of the source's first frames are the recording.
    block_frames : int
        Most frames read at once; two such blocks are in memory. It changes the result by rounding alone.
    threads : int, optional
        Results do not depend on it.
    progress : callable, optional
        Called after each block with the number of frames done.

    Returns
    -------
    ElectricalImages
        The mean window of every unit, in the unit of `source`, and the numbers of spikes.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described, or the recording is not longer than scipy's padding of this filter.

    Notes
    -----
    The electrical image is the spike-triggered average of all electrodes (Litke et al. 2004, IEEE Trans. Nucl. Sci.
    51:1434). The module's docstring tells how the filter is applied without writing out the filtered recording.
    """
    frames = source.shape[0] if frames is None else frames
    if not 0 <= frames <= source.shape[0]:
        raise ValueError(f"frames must be between 0 and the source's {source.shape[0]}, got {frames}")
    if block_frames < 1:
        raise ValueError(f"block_frames must be at least 1, got {block_frames}")
    channels = int(np.prod(source.shape[1:]))
    spikes, offsets, window, limit = windows
    selected = select_spikes(spikes, offsets, window, frames, limit)
    sums: ImageSums
    if sos is None:
        sums = RawSums(frames, channels, selected, window, threads)
    else:
        sums = FilteredSums(frames, channels, selected, window, sos, threads)
    seconds = 0.0
    for start, block in read_ahead(source, block_frames, stop=frames):
        began = time.perf_counter()
        sums.add(block.reshape(len(block), channels))
        seconds += time.perf_counter() - began
        if progress is not None:
            progress(start + len(block))
    began = time.perf_counter()
    means = sums.images()
    seconds += time.perf_counter() - began
    return ElectricalImages(means, selected.used, selected.excluded, seconds)


def unit_bytes(window: tuple[int, int], channels: int, sos: Any = None) -> int:
    """Memory for the sums of one unit.

    Parameters
    ----------
    window : (lo, hi)
        First frame, and one past the last, relative to a spike.
    channels : int
        Number of channels.
    sos : (sections, 6) array, optional
        The filter, if there is one.

    Returns
    -------
    int
        Bytes.
    """
    low, high = checked_window(window)
    per_electrode = 6 * (high - low) if sos is not None else 8 * (high - low)
    orders = 0 if sos is None else SosFilter.of(sos).orders
    return tile_count(channels) * _ext.TILE * (per_electrode + 8 * orders)


def block_bytes(channels: int, itemsize: int, frames: int, threads: int | None = None) -> int:
    """Memory that does not depend on the number of units: two blocks, and each thread's buffers."""
    scratch = _ext.TILE * (4 + itemsize) * min(frames, BLOCK_FRAMES)
    return 2 * frames * channels * itemsize + thread_count(threads) * scratch
