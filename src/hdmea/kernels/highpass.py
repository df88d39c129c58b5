"""Zero-phase filtering of recordings that come in blocks, equal to `scipy.signal.sosfiltfilt` over the whole.

Forward states go from block to block, and both ends are extended and started as scipy does it (Gustafsson, IEEE Trans.
Signal Process. 44, 988, 1996, is the other way; this one is the odd extension by `3 · taps` samples). States are double
precision, samples between the two passes single precision.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from h5burst import split_evenly, thread_count
from h5burst._ext import eimage as _ext

# of its start-up that the backward pass may still show: far below the noise of single precision

Doubles: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"
Samples: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True, slots=True)
class SosFilter:
    """A filter as second-order sections, and what its zero-phase use over a whole recording needs.

    Attributes
    ----------
    sos : (sections, 6) float64
        The sections, as those of scipy.
    coefficients : (sections, 5) float64
        b0, b1, b2, a1 and a2 of each section.
    rest : (sections, 2) float64
        The states of the filter once it has settled on an input of constant 1.
    pad_frames : int
        By how many frames each end of a recording is extended.
    """

    sos: Doubles
    coefficients: Doubles
    rest: Doubles
    pad_frames: int

    @classmethod
    def of(cls, sos: Any) -> SosFilter:
        """Check the sections of a filter, as `scipy.signal.butter(..., output="sos")` gives them.

        Parameters
        ----------
        sos : (sections, 6) array
            Second-order sections.

        Returns
        -------
        SosFilter
            The filter.

        Raises
        ------
        TypeError, ValueError
            `sos` are not such sections, or the filter is not stable.
        """
        from scipy.signal import sosfilt_zi

        sections = np.ascontiguousarray(sos, dtype=np.float64)
        if sections.ndim != 2 or sections.shape[1] != 6 or not 1 <= len(sections) <= _ext.MAX_SECTIONS:
            raise ValueError(f"sos must have shape (1 to {_ext.MAX_SECTIONS}, 6), got {sections.shape}")
        if not np.isfinite(sections).all() or (sections[:, 3] != 1).any():
            raise ValueError("sos must be finite, and its a0 column 1")
        if _slowest_pole(sections) >= 1:
            raise ValueError("sos is not stable: it has a pole on or outside the unit circle")
        taps = 2 * len(sections) + 1 - min((sections[:, 2] == 0).sum(), (sections[:, 5] == 0).sum())
        coefficients = np.ascontiguousarray(sections[:, [0, 1, 2, 4, 5]])
        return cls(sections, coefficients, sosfilt_zi(sections), 3 * int(taps))

    @property
    def orders(self) -> int:
        """State variables of one electrode."""
        return 2 * len(self.sos)

    def transitions(self, frames: int) -> Doubles:
        """Transitions of the states over 0, 1, … `frames` frames of zero input.

        Parameters
        ----------
        frames : int
            The largest number of frames.

        Returns
        -------
        (frames + 1, orders, orders) float64
            One matrix for each number of frames.
        """
        powers = np.empty((frames + 1, self.orders, self.orders))
        powers[0] = np.eye(self.orders)
        powers[1:2] = self._transition()
        filled = 2
        while filled <= frames:
            more = min(filled - 1, frames + 1 - filled)
            powers[filled : filled + more] = powers[filled - 1] @ powers[1 : more + 1]
            filled += more
        return powers

    def _transition(self) -> Doubles:
        """One sample of zero input, as a matrix: the recursion run on each unit state."""
        states = np.eye(self.orders)
        moved = np.empty_like(states)
        value = np.zeros(self.orders)
        for section, (b0, b1, b2, a1, a2) in enumerate(self.coefficients):
            result = b0 * value + states[2 * section]
            moved[2 * section] = b1 * value - a1 * result + states[2 * section + 1]
            moved[2 * section + 1] = b2 * value - a2 * result
            value = result
        return moved

    def state_at_start(self, first: Samples) -> Doubles:
        """States of the forward pass before the recording's first frame."""
        rows = first.astype(np.float64)
        extension = 2 * rows[0] - rows[:0:-1]
        return self._filtered(extension, self.at_rest(extension[0]))[1]

    def state_at_end(self, forward: Doubles, last: Samples) -> Doubles:
        """States of the backward pass after the recording's last frame."""
        rows = last.astype(np.float64)
        extension, _ = self._filtered(2 * rows[-1] - rows[-2::-1], forward)
        return self._filtered(extension[::-1], self.at_rest(extension[-1]))[1]

    def at_rest(self, level: Samples) -> Doubles:
        """States of a filter whose input has always been the same."""
        return (self.rest[..., None] * level.astype(np.float64)).reshape(self.orders, -1)

    def _filtered(self, rows: Doubles, states: Doubles) -> tuple[Doubles, Doubles]:
        from scipy.signal import sosfilt

        filtered, final = sosfilt(self.sos, rows, axis=0, zi=states.reshape(len(self.sos), 2, -1))
        return filtered, final.reshape(self.orders, -1)


def _slowest_pole(sections: Doubles) -> float:
    """The largest radius of a pole: roots of z² + a1 z + a2."""
    return max(float(np.abs(np.roots(section[3:])).max(initial=0.0)) for section in sections)


def tile_count(channels: int) -> int:
    """Number of tiles of channels that the compiled code works on."""
    return -(-channels // _ext.TILE)


def to_tiles(states: Doubles) -> Doubles:
    """States of a filter in the order of the compiled code.

    Parameters
    ----------
    states : (orders, channels) float64
        States of each channel.

    Returns
    -------
    (tiles, orders, channels of a tile) float64
        The same states; zeros for the channels that the last tile lacks.
    """
    orders, channels = states.shape
    padded = np.zeros((orders, tile_count(channels) * _ext.TILE))
    padded[:, :channels] = states
    return np.ascontiguousarray(padded.reshape(orders, -1, _ext.TILE).swapaxes(0, 1))


def from_tiles(states: Doubles, channels: int) -> Doubles:
    """The inverse of `to_tiles`."""
    return np.ascontiguousarray(states.swapaxes(0, 1).reshape(states.shape[1], -1)[:, :channels])


def tile_ranges(channels: int, threads: int | None) -> list[tuple[int, int]]:
    """Ranges of tiles to distribute over threads: several for each, so that no thread waits long for another."""
    return split_evenly(tile_count(channels), 4 * thread_count(threads))


class ThreadBuffers(threading.local):
    """Buffers of one thread, kept from call to call, since the first use of new memory is slow.

    A call (purpose, size, dtype) gives a buffer of at least `size` elements, with any content.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, np.ndarray[Any, Any]] = {}

    def __call__(self, purpose: str, size: int, dtype: Any) -> np.ndarray[Any, Any]:
        buffer = self._buffers.get(purpose)
        if buffer is None or buffer.size < size or buffer.dtype != dtype:
            buffer = self._buffers[purpose] = np.empty(max(size, 1), dtype)
        return buffer


def checked_block(block: Any) -> Samples:
    """A block of a recording in C order.

    Parameters
    ----------
    block : (frames, channels) int16 or float32
        The samples.

    Returns
    -------
    (frames, channels) int16 or float32
        The same samples; a copy only where they are in another order.

    Raises
    ------
    TypeError
        `block` is not an array of int16 or float32 in native byte order.
    ValueError
        `block` does not have two axes, or has no channels.
    """
    if not isinstance(block, np.ndarray):
        raise TypeError(f"block must be a numpy array, got {type(block).__name__}")
    if block.dtype not in (np.dtype(np.int16), np.dtype(np.float32)):
        raise TypeError(f"block must be int16 or float32, got {block.dtype}")
    if block.ndim != 2 or block.shape[1] < 1:
        raise ValueError(f"block must have shape (frames, channels) with at least one channel, got {block.shape}")
    return np.ascontiguousarray(block, dtype=block.dtype.newbyteorder("="))
