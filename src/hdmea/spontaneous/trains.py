"""Input of the functions of this room: trains in samples or in seconds, checked once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.kernels.trains import as_int64, checked_integers

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NAN = float("nan")
NANOSECONDS = 1e9  # in which times that come in seconds are counted


@dataclass(frozen=True)
class Trains:
    """Trains end to end, within a recording.

    Attributes
    ----------
    times : (n,) int64
        Samples, train after train, each ascending, none outside [start, stop].
    offsets : (trains + 1,) int64
        Train i is ``times[offsets[i] : offsets[i + 1]]``.
    start, stop : int
        The recording, in samples.
    sampling_frequency : float
        Samples a second.
    """

    times: Ints
    offsets: Ints
    start: int
    stop: int
    sampling_frequency: float

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Ints:
        """The samples of one train."""
        if not 0 <= index < len(self):
            raise IndexError(f"train {index} of {len(self)}")
        return self.times[self.offsets[index] : self.offsets[index + 1]]

    @property
    def counts(self) -> Ints:
        """Spikes of each train."""
        return np.diff(self.offsets)

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return (self.stop - self.start) / self.sampling_frequency

    def samples(self, seconds: float, name: str) -> int:
        """Seconds, not negative, rounded to samples (to even, where two are as near)."""
        if not 0 <= seconds < math.inf:
            raise ValueError(f"{name} must be a number of seconds from 0 on, got {seconds}")
        return round(seconds * self.sampling_frequency)

    def shifted(self, rng: np.random.Generator) -> Trains:
        """Each train shifted by a number of samples of its own, each equally likely, what leaves at one end enters at
        the other: intervals and bursts stay, what trains have in common goes.
        """
        length = self.stop - self.start
        by = rng.integers(0, length, len(self))
        moved = (self.times - self.start + np.repeat(by, self.counts)) % length
        before = np.repeat(np.arange(len(self)) * length, self.counts)  # sorts all trains at once, each in its place
        moved = np.sort(moved + before) - before + self.start
        return Trains(moved, self.offsets, self.start, self.stop, self.sampling_frequency)


def trains_of(
    trains: Sequence[npt.NDArray[Any]], sampling_frequency: float, start: int = 0, stop: int | None = None
) -> Trains:
    """Trains in samples, sorted; spikes outside [start, stop] are left out. stop: default the last spike of all.

    Raises `TypeError` for trains that are not integers, `ValueError` for a rate that is not positive or an empty span.
    """
    if not 0 < sampling_frequency < math.inf:
        raise ValueError(f"sampling_frequency must be positive, got {sampling_frequency}")
    checked = [as_int64(checked_integers(np.asarray(train), f"train {i}")) for i, train in enumerate(trains)]
    end = max([start + 1, *(int(train.max()) for train in checked if train.size)]) if stop is None else int(stop)
    if not start < end:
        raise ValueError(f"stop ({end}) must be after start ({start})")
    kept = [_within(train, int(start), end) for train in checked]
    offsets = np.cumsum([0, *map(len, kept)])
    times = np.concatenate([*kept, np.empty(0, np.int64)])
    return Trains(times, offsets, int(start), end, float(sampling_frequency))


def trains_in_seconds(trains_s: Sequence[npt.ArrayLike], duration_s: float | None = None) -> Trains:
    """Trains in seconds from the recording's start, counted in nanoseconds. duration_s: default the last spike of all.

    Raises `ValueError` for a time that is none.
    """
    ticks = [_ticks(train, i) for i, train in enumerate(trains_s)]
    if duration_s is not None and not 0 < duration_s < 1e9:
        raise ValueError(f"duration_s must be a positive number of seconds, got {duration_s}")
    stop = None if duration_s is None else round(duration_s * NANOSECONDS)
    return trains_of(ticks, NANOSECONDS, 0, stop)


def _ticks(train_s: npt.ArrayLike, index: int) -> Ints:
    seconds = np.asarray(train_s, np.float64)
    if seconds.ndim != 1:
        raise ValueError(f"train {index} must have one dimension, got shape {seconds.shape}")
    if seconds.size and not (np.isfinite(seconds).all() and np.abs(seconds).max() < 1e9):
        raise ValueError(f"train {index} has a time that is not a number of seconds")
    return np.rint(seconds * NANOSECONDS).astype(np.int64)


def _within(train: Ints, start: int, stop: int) -> Ints:
    ordered = train if bool(np.all(train[1:] >= train[:-1])) else np.sort(train)
    first, last = np.searchsorted(ordered, [start, stop + 1])
    return ordered[first:last]
