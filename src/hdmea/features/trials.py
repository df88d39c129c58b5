"""A unit's inputs, from a session's dicts or a file's groups alike, and its spikes trial by trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from h5burst.model.tree import escape_link
from hdmea.io.stimulus_config import FRAME_RATE_HZ
from hdmea.utils.exceptions import MissingInputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COMPLETE_TOLERANCE_S = 1.5 / FRAME_RATE_HZ  # frames fall on whole samples, and a trial ends with its last one


def member(container: Any, *path: str) -> Any:
    """What lies at a path of names in dicts or HDF5 groups; None where there is nothing."""
    for name in path:
        # A file's group holds a name that HDF5 cannot hold in its escaped form; a dict holds it as it is.
        key = name if isinstance(container, Mapping) and not hasattr(container, "id") else escape_link(name)
        if container is None or key not in container:
            return None
        container = container[key]
    return container


def scalar(value: Any) -> float:
    """A number from a Python scalar or an array or dataset of one."""
    return float(np.asarray(value).ravel()[0])


def acquisition_rate(metadata: Any) -> float:
    """Hz. Raises `MissingInputError` where the metadata do not tell."""
    rate = None if metadata is None else member(metadata, "acquisition_rate")
    if rate is None:
        raise MissingInputError("no acquisition_rate: run load_recording first", None, "acquisition_rate")
    return scalar(rate)


@dataclass(frozen=True, slots=True)
class Trials:
    """One unit's spikes in the trials of one movie, without margins.

    samples: (spikes,) int64 from the trial's start, trials end to end; offsets: (trials + 1,) where each begins in it;
    lengths: (trials,) samples that each trial lasts; rate: samples a second.
    """

    samples: Ints
    offsets: Ints
    lengths: Ints
    rate: float

    def __len__(self) -> int:
        return len(self.lengths)

    def of(self, trial: int) -> Ints:
        """The spikes of one trial (spikes,)."""
        return self.samples[self.offsets[trial] : self.offsets[trial + 1]]

    @property
    def durations_s(self) -> Floats:
        """(trials,)"""
        return self.lengths / self.rate

    def psth(self, duration_s: float, bin_s: float) -> Floats:
        """Spikes/s (trials, bins) in whole bins from the trial's start; NaN where a trial ended before the bin did."""
        from hdmea.features.helpers import bin_counts

        bins = int(np.floor(duration_s / bin_s + 1e-9))
        counts = bin_counts(self.samples, self.offsets, bin_s * self.rate, bins)
        ends = np.arange(1, bins + 1) * bin_s
        counts[ends[None, :] > self.durations_s[:, None] + COMPLETE_TOLERANCE_S] = np.nan
        return np.asarray(counts / bin_s)

    def window_rates(self, windows_s: npt.ArrayLike) -> Floats:
        """Spikes/s (trials, windows) in [start, stop) seconds; NaN where a trial ended before the window did."""
        from hdmea.features.helpers import window_counts

        windows = np.asarray(windows_s, np.float64).reshape(-1, 2)
        counts = window_counts(self.samples, self.offsets, windows * self.rate)
        counts[windows[None, :, 1] > self.durations_s[:, None] + COMPLETE_TOLERANCE_S] = np.nan
        return np.asarray(counts / (windows[:, 1] - windows[:, 0]))


def read_trials(unit_data: Any, movie: str, metadata: Any) -> Trials | None:
    """A unit's trials of one movie; None where its spikes were not sectioned by it.

    Raises `MissingInputError` without an acquisition rate.
    """
    section = member(unit_data, "spike_times_sectioned", movie)
    spikes = None if section is None else member(section, "trials_spike_times")
    windows = None if section is None else member(section, "trials_start_end")
    if spikes is None or windows is None:
        return None
    windows = np.asarray(windows).astype(np.int64).reshape(-1, 2)
    trains = {int(trial): spikes[trial] for trial in spikes}
    relative = []
    for trial, (start, stop) in enumerate(windows.tolist()):
        train = np.sort(np.asarray(trains.get(trial, ()))).astype(np.int64)
        relative.append(train[(train >= start) & (train < stop)] - start)
    offsets = np.concatenate([[0], np.cumsum([len(train) for train in relative])]).astype(np.int64)
    samples = np.concatenate([*relative, np.empty(0, np.int64)])
    return Trials(samples, offsets, windows[:, 1] - windows[:, 0], acquisition_rate(metadata))


def mean_over_trials(rates: Floats) -> Floats:
    """Mean over the first axis of what there is; NaN where no trial has a value."""
    there = np.isfinite(rates)
    count = there.sum(axis=0)
    total = np.where(there, rates, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def response_quality(psth: Floats) -> float:
    """Var_t(mean over trials) / mean over trials(Var_t): 1 for identical trials, about 1/trials for noise.

    psth: (trials, bins); trials with missing bins are left out. NaN without trials or without any variance.
    Source: Baden et al. 2016, Nature 529:345, "response quality index".
    """
    complete = psth[np.isfinite(psth).all(axis=1)]
    if not complete.size:
        return float("nan")
    within = complete.var(axis=1).mean()
    return float(complete.mean(axis=0).var() / within) if within > 0 else float("nan")


def contrast_index(first: float, second: float) -> float:
    """(first − second) / (first + second); NaN where that is not defined."""
    total = first + second
    return (first - second) / total if total > 0 else float("nan")
