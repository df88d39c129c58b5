"""Spikes of a section counted trial by trial, in the frames of the stimulus or in even bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.features.trials import Windows, read_windows
from hdmea.features.trials import sections_of as section_rows
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import number
from hdmea.utils.exceptions import ConfigurationError, MissingInputError

DEFAULT_BIN_S = 0.1  # of a section that does not begin with a frame

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TrialBins:
    """Trials of one section, and the bins in which their spikes are counted.

    Attributes
    ----------
    stimulus : str
        The section's name.
    starts_s, stops_s : ndarray of float64, shape (trials,)
        Seconds from the recording's start.
    edges : tuple of ndarray of float64, each (bins + 1,)
        For each trial the edges of its bins in samples from the trial's first sample.
    rate_hz : float
        Samples a second.
    in_frames : bool
        Whether a bin is a frame of the stimulus; else all are equally long.

    Examples
    --------
    >>> from hdmea.bridges.binned import trials_of
    >>> from hdmea.pipeline import PipelineSession
    >>> trials = trials_of(PipelineSession.load("recording.h5"), "moving_h_bar_s5_d8_3x")
    >>> len(trials), trials.in_frames, trials.starts_s
    (3, True, array([20.417, 22.337, 24.257]))
    """

    stimulus: str
    starts_s: Floats
    stops_s: Floats
    edges: tuple[Floats, ...]
    rate_hz: float
    in_frames: bool

    def __len__(self) -> int:
        return len(self.starts_s)

    def times_s(self, trial: int) -> Floats:
        """Beginnings of a trial's bins (bins,), in seconds from the trial's start."""
        return self.edges[trial][:-1] / self.rate_hz

    def counts(self, session: PipelineSession, unit: Mapping[str, Any]) -> list[Counts] | None:
        """A unit's spikes in each bin, by trial; None where it has none of this section.

        Parameters
        ----------
        session
            The recording.
        unit
            One of its units.

        Returns
        -------
        list of ndarray, or None
            For each trial int32 (bins,).
        """
        windows = read_windows(unit, self.stimulus, session.metadata, section_rows(session.stimulus, self.stimulus))
        if windows is None or len(windows) != len(self):
            return None
        return [
            np.diff(np.searchsorted(windows.of(trial), edges)).astype(np.int32)
            for trial, edges in enumerate(self.edges)
        ]


def sections_of(session: PipelineSession) -> list[str]:
    """The sections by which spikes were cut, in the order of the units' dicts.

    Parameters
    ----------
    session
        A recording.

    Returns
    -------
    list of str
        Names.

    Examples
    --------
    >>> from hdmea.bridges.binned import sections_of
    >>> from hdmea.pipeline import PipelineSession
    >>> sections_of(PipelineSession.load("recording.h5"))
    ['dense_noise_15x15', 'moving_h_bar_s5_d8_3x']
    """
    names: dict[str, None] = {}
    for unit in session.units.values():
        names |= dict.fromkeys(str(name) for name in unit.get("spike_times_sectioned") or {})
    return list(names)


def trials_of(session: PipelineSession, stimulus: str, bin_s: float | None = None) -> TrialBins:
    """The trials of a section and their bins.

    Parameters
    ----------
    session
        A recording with sectioned spikes.
    stimulus
        The section.
    bin_s
        Length of even bins in seconds. None: one bin a frame, where each trial begins with a frame; else 0.1 s.

    Returns
    -------
    TrialBins
        Where their bins begin and end.

    Raises
    ------
    MissingInputError
        No unit has trials of that section, or the recording has no rate.
    ConfigurationError
        A bin that is not a positive number.

    Examples
    --------
    >>> from hdmea.bridges.binned import trials_of
    >>> from hdmea.pipeline import PipelineSession
    >>> trials = trials_of(PipelineSession.load("recording.h5"), "moving_h_bar_s5_d8_3x", bin_s=0.1)
    >>> len(trials), trials.times_s(0)[:3]
    (3, array([0. , 0.1, 0.2]))
    """
    if bin_s is not None and not 0 < bin_s < float("inf"):
        raise ConfigurationError(f"bin_s must be a positive number of seconds, not {bin_s}")
    windows = _any_windows(session, stimulus)
    stored = session.metadata.get("frame_timestamps")
    frames = np.empty(0, np.int64) if stored is None else np.asarray(stored).astype(np.int64)
    starts, lengths = windows.starts, windows.lengths
    in_frames = bin_s is None and len(starts) > 0 and bool(np.isin(starts, frames).all())
    if in_frames:
        edges = [_frame_edges(frames, start, start + length) for start, length in zip(starts, lengths, strict=True)]
    else:
        edges = [_even_edges(length, (bin_s or DEFAULT_BIN_S) * windows.rate) for length in lengths]
    rate = windows.rate
    return TrialBins(stimulus, starts / rate, (starts + lengths) / rate, tuple(edges), rate, in_frames)


def _any_windows(session: PipelineSession, stimulus: str) -> Windows:
    if not number(session.metadata.get("acquisition_rate")) > 0:
        raise MissingInputError("the recording has no acquisition_rate: run load_recording first", None, "metadata")
    for unit in session.units.values():
        windows = read_windows(unit, stimulus, session.metadata, section_rows(session.stimulus, stimulus))
        if windows is not None:
            return windows
    names_there = ", ".join(sections_of(session)) or "none: run section_spike_times first"
    message = f"{session.dataset_id} has no sectioned spikes of {stimulus!r}; there are: {names_there}"
    raise MissingInputError(message, None, "spike_times_sectioned")


def _frame_edges(frames: npt.NDArray[np.int64], start: int, stop: int) -> Floats:
    first, last = np.searchsorted(frames, start, side="left"), np.searchsorted(frames, stop, side="right")
    return (frames[first:last] - start).astype(np.float64)


def _even_edges(length: int, bin_samples: float) -> Floats:
    """Whole bins only; a spike at the very sample at which a bin begins is in that bin, whatever the rounding."""
    count = int(length / bin_samples + 1e-9)
    return np.round(np.arange(count + 1) * bin_samples, 6)
