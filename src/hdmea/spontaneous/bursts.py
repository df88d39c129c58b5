"""Bursts of a train, by three methods, and what they are like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.kernels.bursts import interval_bursts, surprise_bursts, surprises
from hdmea.spontaneous.trains import NAN, Floats, Ints, Trains, trains_in_seconds

METHODS = ("max_interval", "log_isi", "poisson_surprise")
LOG_BINS = 10  # a decade


@dataclass(frozen=True)
class BurstOptions:
    """Options of the search for bursts.

    Attributes
    ----------
    method : str
        "max_interval", "log_isi" or "poisson_surprise".
    min_spikes : int
        Fewest spikes of a burst, by any method; at least 2, of "poisson_surprise" at least 3.
    start_interval_s, end_interval_s : float
        "max_interval": the longest interval with which a burst begins, and that it has inside.
    between_s, duration_s : float
        "max_interval": bursts closer than that are one; bursts shorter than that are none.
    void : float
        "log_isi": least void parameter between the peak of intervals inside bursts and one of those between them.
    peak_interval_s : float
        "log_isi": the peak of intervals inside bursts is at this interval at most.
    surprise : float
        "poisson_surprise": least surprise of a burst, a natural logarithm.

    Raises
    ------
    ValueError
        A method that there is not, or a number that cannot be meant.

    Examples
    --------
    >>> from hdmea.spontaneous import BurstOptions
    >>> BurstOptions(min_spikes=3).start_interval_s
    0.1
    """

    method: str = "max_interval"
    min_spikes: int = 6
    start_interval_s: float = 0.1
    end_interval_s: float = 0.25
    between_s: float = 0.8
    duration_s: float = 0.05
    void: float = 0.7
    peak_interval_s: float = 0.1
    surprise: float = 10.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"no method is called {self.method!r}; there are: {', '.join(METHODS)}")
        least = 3 if self.method == "poisson_surprise" else 2
        if self.min_spikes < least:
            raise ValueError(f"min_spikes must be at least {least} for {self.method}, got {self.min_spikes}")
        lengths = (self.start_interval_s, self.end_interval_s, self.between_s, self.duration_s, self.peak_interval_s)
        if not all(0 <= one < 1e6 for one in lengths):
            raise ValueError(f"intervals and durations must be seconds from 0 on, got {lengths}")
        if self.end_interval_s < self.start_interval_s:
            raise ValueError(
                f"end_interval_s ({self.end_interval_s}) must not be less than start_interval_s "
                f"({self.start_interval_s})"
            )


@dataclass(frozen=True)
class Bursts:
    """Bursts of one train, in order.

    Attributes
    ----------
    spikes : (bursts, 2) int64
        Half-open slices of the train.
    start_s, stop_s : (bursts,) float64
        First and last spike, from the recording's start.
    surprise : (bursts,) float64
        Poisson surprise, a natural logarithm, given the train's mean rate; by any method.

    Examples
    --------
    >>> from hdmea.spontaneous import bursts_in
    >>> found = bursts_in([1.0, 5.0, 5.02, 5.04, 5.06, 5.08, 5.1, 9.0], duration_s=10)
    >>> found.spikes.tolist(), found.start_s.tolist(), found.stop_s.tolist()
    ([[1, 7]], [5.0], [5.1])
    """

    spikes: Ints
    start_s: Floats
    stop_s: Floats
    surprise: Floats

    def __len__(self) -> int:
        return len(self.spikes)


def bursts_in(
    train_s: npt.ArrayLike, *, duration_s: float | None = None, options: BurstOptions | None = None
) -> Bursts:
    """The bursts of one train.

    Parameters
    ----------
    train_s : (n,) float
        Spikes in seconds from the recording's start; sorted first where they are not, counted in nanoseconds.
    duration_s : float, optional
        Length of the recording, of which the mean rate depends; spikes beyond it are left out. Default: to the last
        spike.
    options : BurstOptions, optional
        Method and parameters.

    Returns
    -------
    Bursts
        None for a train of too few spikes.

    Raises
    ------
    ValueError
        Times that are none, a duration that is not positive.

    Notes
    -----
    docs/waves.md has the three methods step by step, with their sources and how often each is wrong.

    Examples
    --------
    >>> from hdmea.spontaneous import BurstOptions, bursts_in
    >>> train_s = [1.0, 5.0, 5.02, 5.04, 9.0]
    >>> len(bursts_in(train_s)), len(bursts_in(train_s, options=BurstOptions(min_spikes=3, duration_s=0.03)))
    (0, 1)
    """
    trains = trains_in_seconds([train_s], duration_s)
    return bursts_of(trains, 0, options or BurstOptions())


def bursts_of(trains: Trains, index: int, options: BurstOptions) -> Bursts:
    """As `bursts_in`, of one of some trains that are checked."""
    train, rate = trains[index], len(trains[index]) / (trains.stop - trains.start)
    empty = np.empty((0, 2), np.int64)
    if len(train) < options.min_spikes:
        bursts, surprise = empty, np.empty(0)
    elif options.method == "poisson_surprise":
        bursts, surprise = surprise_bursts(train, rate=rate, threshold=options.surprise, min_spikes=options.min_spikes)
    else:
        bursts = _by_intervals(train, trains, options)
        surprise = surprises(train, bursts, rate=rate)
    first, last = train[bursts[:, 0]] - trains.start, train[bursts[:, 1] - 1] - trains.start
    return Bursts(bursts, first / trains.sampling_frequency, last / trains.sampling_frequency, surprise)


def _by_intervals(train: Ints, trains: Trains, options: BurstOptions) -> Ints:
    if options.method == "max_interval":
        return interval_bursts(
            train,
            at_start=trains.samples(options.start_interval_s, "start_interval_s"),
            inside=trains.samples(options.end_interval_s, "end_interval_s"),
            between=trains.samples(options.between_s, "between_s"),
            shortest=trains.samples(options.duration_s, "duration_s"),
            min_spikes=options.min_spikes,
        )
    limit_s = log_isi_threshold(np.diff(train) / trains.sampling_frequency, options.void, options.peak_interval_s)
    if np.isnan(limit_s):
        return np.empty((0, 2), np.int64)
    inside = trains.samples(limit_s, "the threshold")
    at_start = min(inside, trains.samples(options.peak_interval_s, "peak_interval_s"))
    return interval_bursts(train, at_start=at_start, inside=inside, between=0, min_spikes=options.min_spikes)


def log_isi_threshold(intervals_s: Floats, void: float, peak_interval_s: float) -> float:
    """The interval that parts those inside bursts from those between them, in seconds; NaN where there are no bursts.

    The histogram of the logarithms of intervals, ten bins a decade, smoothed by a Gaussian of one bin, has its peak of
    intervals inside bursts where it is highest at or below `peak_interval_s`; without a peak there, there are none. Of
    the peaks that follow, the first for which 1 - g / √(p q) reaches `void` (g the lowest value between the peaks, p
    and q theirs) gives the interval of g; where none does, `peak_interval_s` parts them.
    Source: Pasquale, Martinoia & Chiappalone 2010, J Comput Neurosci 29:213.
    """
    from scipy.ndimage import gaussian_filter1d

    positive = intervals_s[intervals_s > 0]
    if len(positive) < 2:
        return NAN
    logs = np.log10(positive)
    first, last = np.floor(logs.min() * LOG_BINS) - 3, np.ceil(logs.max() * LOG_BINS) + 3
    edges = np.arange(first, last + 1) / LOG_BINS
    height = gaussian_filter1d(np.histogram(logs, edges)[0].astype(np.float64), 1.0, mode="constant")
    centres = (edges[1:] + edges[:-1]) / 2
    peaks = np.flatnonzero((height[1:-1] > height[:-2]) & (height[1:-1] >= height[2:])) + 1
    inside = peaks[centres[peaks] <= np.log10(peak_interval_s)]
    if not len(inside):
        return NAN
    peak = inside[int(np.argmax(height[inside]))]
    for other in peaks[peaks > peak]:
        lowest = peak + int(np.argmin(height[peak : other + 1]))
        if 1 - height[lowest] / np.sqrt(height[peak] * height[other]) >= void:
            return float(10 ** centres[lowest])
    return peak_interval_s


def burst_measures(bursts: Bursts, spikes: int, duration_s: float) -> dict[str, float]:
    """Measures of the bursts of a train.

    Parameters
    ----------
    bursts : Bursts
        Of the train.
    spikes : int
        Spikes of the train.
    duration_s : float
        Length of the recording.

    Returns
    -------
    dict
        `burst_count`; `burst_rate_per_min`; means over bursts `burst_duration_s`, `burst_spikes` and
        `burst_intraburst_rate_hz` (intervals by duration); `burst_spike_share`, spikes in bursts of all;
        `inter_burst_interval_s`, mean from the last spike of a burst to the first of the next, and
        `inter_burst_interval_cv`, its standard deviation (n - 1) by its mean. NaN: means without a burst, a share
        without a spike, the interval of fewer than two bursts, its CV of fewer than three.

    Examples
    --------
    >>> from hdmea.spontaneous import burst_measures, bursts_in
    >>> train_s = [1.0, 5.0, 5.02, 5.04, 5.06, 5.08, 5.1, 9.0]
    >>> found = burst_measures(bursts_in(train_s, duration_s=10), 8, 10)
    >>> found["burst_count"], found["burst_rate_per_min"], found["burst_spike_share"]
    (1.0, 6.0, 0.75)
    """
    count = len(bursts)
    sizes, lengths = np.diff(bursts.spikes, axis=1)[:, 0], bursts.stop_s - bursts.start_s
    gaps = bursts.start_s[1:] - bursts.stop_s[:-1]
    lasting = lengths > 0
    return {
        "burst_count": float(count),
        "burst_rate_per_min": 60.0 * count / duration_s,
        "burst_duration_s": _mean(lengths),
        "burst_spikes": _mean(sizes),
        "burst_intraburst_rate_hz": _mean((sizes[lasting] - 1) / lengths[lasting]),
        "burst_spike_share": float(sizes.sum()) / spikes if spikes else NAN,
        "inter_burst_interval_s": _mean(gaps),
        "inter_burst_interval_cv": float(gaps.std(ddof=1) / gaps.mean()) if len(gaps) > 1 and gaps.mean() > 0 else NAN,
    }


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else NAN
