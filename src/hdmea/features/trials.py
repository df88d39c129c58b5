"""A unit's inputs, from a session's dicts or a file's groups alike, and its spikes trial by trial.

Stimuli are defined in frames, and the frame clock of a recording is neither exactly 60 Hz nor even. So a spike's time
in a trial is a number of frames of that very trial: `Trials`. Seconds appear only in what features return.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from h5burst import escape_link
from hdmea.features.arrays import Floats as Floats
from hdmea.features.arrays import Ints
from hdmea.utils.exceptions import MissingInputError


def member(container: Any, *path: str) -> Any:
    """Value at a path of names in dicts or HDF5 groups; None where there is nothing."""
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


def frame_timestamps(metadata: Any) -> Ints:
    """The sample at which each frame began (frames,) int64. Raises `MissingInputError` where there are none."""
    stored = None if metadata is None else member(metadata, "frame_timestamps")
    if stored is None or not len(stored):
        raise MissingInputError("no frame_timestamps: run load_recording first", None, "frame_timestamps")
    return np.asarray(stored).astype(np.int64, copy=False)


@dataclass(frozen=True, slots=True)
class Windows:
    """One unit's spikes in the windows of one section, without margins, in samples.

    starts: (windows,) first sample of each; lengths: (windows,) samples that each lasts; samples: (spikes,) int64 from
    the start of the spike's window, sorted, windows end to end; offsets: (windows + 1,) where each window begins in
    `samples`; rate: samples a second; numbers: (windows,) which of the section's windows they are.
    """

    starts: Ints
    lengths: Ints
    samples: Ints
    offsets: Ints
    rate: float
    numbers: Ints

    def __len__(self) -> int:
        return len(self.starts)

    def of(self, window: int) -> Ints:
        """The spikes of one window (spikes,)."""
        return self.samples[self.offsets[window] : self.offsets[window + 1]]

    @property
    def durations_s(self) -> Floats:
        """(windows,)"""
        return self.lengths / self.rate

    def intervals(self) -> tuple[Floats, Ints]:
        """Seconds (intervals,) between spikes of the same window, and the window (intervals,) of each."""
        window = np.repeat(np.arange(len(self)), self.offsets[1:] - self.offsets[:-1])
        is_within = window[1:] == window[:-1]
        return (self.samples[1:] - self.samples[:-1])[is_within] / self.rate, window[1:][is_within]


@dataclass(frozen=True, slots=True)
class Trials:
    """One unit's spikes in the complete trials of one movie, in frames of the trial itself.

    Attributes
    ----------
    x : ndarray of float64, shape (spikes,)
        i + (s - f_i) / (f_{i+1} - f_i) - i_0 of a spike at sample s, f the frame timestamps, i the last frame at or
        before s, i_0 the trial's first frame. Sorted, trials end to end.
    offsets : ndarray of int64, shape (trials + 1,)
        Where each trial begins in `x`.
    numbers : ndarray of int64, shape (trials,)
        Which of the section's trials these are: those that lack frames are left out.
    length : int
        Frames of a trial.
    period_s : float
        Mean over the trials of (time of their frames) / (number of frames); NaN without a trial.
    seed : int
        For random numbers: from the spikes and the movie's name, so that it depends on nothing else.
    """

    x: Floats
    offsets: Ints
    numbers: Ints
    length: int
    period_s: float
    seed: int

    def __len__(self) -> int:
        return len(self.numbers)

    def frames_in(self, duration_ms: float) -> int:
        """The whole number of frames that comes closest to a duration; 0 without a trial."""
        return round(duration_ms / 1000 / self.period_s) if len(self) else 0

    def counts(self) -> Floats:
        """Spikes (trials, frames) in each frame."""
        from hdmea.features.psth import bin_counts

        return bin_counts(self.x, self.offsets, 0.0, 1.0, self.length)


def lies_in_sections(trials: Ints, sections: Any) -> npt.NDArray[np.bool_]:
    """True for trials that are not empty and end no later than their section (trials,).

    trials: (n, 2) samples [start, stop), presentation by presentation; sections: (presentations, 2) samples, or None
    where they are not known: then only empty trials are not. Each presentation has the same number of trials; where
    that does not come out even, a trial is of the last presentation that began before it.
    """
    is_inside: npt.NDArray[np.bool_] = trials[:, 1] > trials[:, 0]
    if sections is None or not len(trials):
        return is_inside
    rows = np.asarray(sections).astype(np.int64).reshape(-1, 2)
    each, rest = divmod(len(trials), max(len(rows), 1))
    if rest:
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        section = np.maximum(np.searchsorted(rows[:, 0], trials[:, 0], side="right") - 1, 0)
    else:
        section = np.repeat(np.arange(len(rows)), each)
    return np.asarray(is_inside & (trials[:, 1] <= rows[section, 1]))


def left_out_trials(movie: str, trials: Ints, sections: Any, rate_hz: float) -> str | None:
    """Say which trials of a movie are not within their section, with numbers; None where all are.

    trials, sections: as of `lies_in_sections`.
    """
    beyond = np.flatnonzero(~lies_in_sections(trials, sections))
    if not len(beyond):
        return None
    end_s = "is not known" if sections is None else f"ends at {np.asarray(sections).max() / rate_hz:.2f} s"
    first, last = trials[beyond[0], 0] / rate_hz, trials[beyond, 1].max() / rate_hz
    return (
        f"{movie}: {len(beyond)} of {len(trials)} trials ({', '.join(map(str, beyond.tolist()))}; {first:.2f} to "
        f"{last:.2f} s) are not within their section, which {end_s}: left out. Compare the config with "
        "the movie's length"
    )


def sections_of(stimulus_data: Any, movie: str) -> Any:
    """First and last sample of each presentation of a movie (presentations, 2); None where they are not known."""
    return None if stimulus_data is None else member(stimulus_data, "section_time", movie)


def read_windows(
    unit_data: Any, movie: str, metadata: Any, sections: Any = None, block: Sequence[int] | None = None
) -> Windows | None:
    """A unit's spikes in the windows of one section; None where its spikes were not sectioned by it.

    sections: (presentations, 2) samples; windows that do not lie in them are left out. block: only windows [first,
    last) of the section.

    Raises `MissingInputError` without an acquisition rate.
    """
    section = member(unit_data, "spike_times_sectioned", movie)
    trains = None if section is None else member(section, "trials_spike_times")
    stored = None if section is None else member(section, "trials_start_end")
    if trains is None or stored is None:
        return None
    bounds = np.asarray(stored).astype(np.int64).reshape(-1, 2)
    lies_inside = np.ones(len(bounds), np.bool_) if sections is None else lies_in_sections(bounds, sections)
    if block is not None:
        lies_inside[: block[0]] = False
        lies_inside[block[1] :] = False
    numbers = np.flatnonzero(lies_inside).astype(np.int64)
    starts, lengths = bounds[numbers, 0], bounds[numbers, 1] - bounds[numbers, 0]
    by_number = {int(trial): trains[trial] for trial in trains}
    pieces = [np.asarray(by_number.get(trial, ())) for trial in numbers.tolist()]
    window = np.repeat(np.arange(len(starts)), [len(piece) for piece in pieces])
    samples = np.concatenate([*pieces, ()], dtype=np.int64, casting="unsafe") - starts[window]
    inside = (samples >= 0) & (samples < lengths[window])
    if not inside.all():
        samples, window = samples[inside], window[inside]
    if ((samples[1:] < samples[:-1]) & (window[1:] == window[:-1])).any():
        samples = samples[np.lexsort((samples, window))]
    offsets = np.searchsorted(window, np.arange(len(starts) + 1)).astype(np.int64)
    return Windows(starts, lengths, samples, offsets, acquisition_rate(metadata), numbers)


def read_trials(
    unit_data: Any,
    movie: str,
    metadata: Any,
    length: int | None = None,
    sections: Any = None,
    block: Sequence[int] | None = None,
) -> Trials | None:
    """A unit's complete trials of one movie; None where its spikes were not sectioned by it.

    length: frames of a trial, as its config says; None: those of the longest. A trial counts if that many frames of it
    were recorded, with the beginning of the frame after it, which is the last one's end, and if it lies in its section:
    sections, (presentations, 2) samples, None where they are not known. block: only the section's trials [first, last).

    Raises `MissingInputError` without an acquisition rate or frame timestamps.
    """
    windows = read_windows(unit_data, movie, metadata, sections, block)
    if windows is None:
        return None
    frames = frame_timestamps(metadata)
    first = np.searchsorted(frames, windows.starts, side="right") - 1
    recorded = np.searchsorted(frames, windows.starts + windows.lengths, side="right") - 1 - first
    frame_count = int(recorded.max(initial=0)) if length is None else length
    complete = np.flatnonzero((first >= 0) & (recorded >= frame_count) & (frame_count > 0)).astype(np.int64)
    numbers = windows.numbers[complete]
    seed = crc32(movie.encode(), crc32(windows.offsets.tobytes(), crc32(windows.samples.tobytes())))
    if not len(numbers):
        return Trials(np.empty(0), np.zeros(1, np.int64), numbers, frame_count, float("nan"), seed)
    at = first[complete]
    period_s = float((frames[at + frame_count] - frames[at]).mean() / frame_count / windows.rate)
    x, offsets = _in_frames(windows, complete, at, frame_count, frames)
    return Trials(x, offsets, numbers, frame_count, period_s, seed)


def _in_frames(windows: Windows, chosen: Ints, first: Ints, length: int, frames: Ints) -> tuple[Floats, Ints]:
    """Spikes of some windows in frames from each one's first frame, and where each window begins among them."""
    counts = np.diff(windows.offsets)[chosen]
    samples = np.concatenate([windows.of(number) for number in chosen.tolist()])
    trial = np.repeat(np.arange(len(chosen)), counts)
    lowest, highest = int(first.min()), int(first.max()) + length
    origin = frames[lowest]
    clock = (frames[lowest : highest + 1] - origin).astype(np.float64)
    # Piecewise linear between frame pulses: at a pulse exactly its frame's number.
    x = np.interp((samples + windows.starts[chosen][trial] - origin).astype(np.float64), clock, np.arange(len(clock)))
    x -= (first - lowest)[trial]
    inside = (x >= 0) & (x < length)
    offsets = np.searchsorted(trial[inside], np.arange(len(chosen) + 1)).astype(np.int64)
    return x[inside], offsets


def contrast_index(first: float, second: float) -> float:
    """(first − second) / (first + second); NaN where that is not defined."""
    total = first + second
    return (first - second) / total if total > 0 else float("nan")
