"""Firing rate in frames: spikes between one frame pulse and the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hdmea.features.arrays import Floats, Ints
from hdmea.features.base import MEASURES_VERSION, MOVIE, FeatureExtractor
from hdmea.features.registry import FeatureRegistry
from hdmea.features.trials import acquisition_rate, frame_timestamps, member, read_windows, sections_of
from hdmea.utils.exceptions import MissingInputError


@dataclass(frozen=True, slots=True)
class _Clock:
    """Clock of all units. stored: the frame timestamps as given; axis: (frames - 1,) s; durations: in samples."""

    stored: Any
    rate: float
    axis: Floats
    durations: Floats


@FeatureRegistry.register("frif")
class Frif(FeatureExtractor):
    """Spikes in [frame i, frame i + 1), in Hz, over the whole recording; with `movie_name`, averaged over its trials.

    `FRIF_x_axis` is each frame's time in seconds: from the recording's start, or from the trial's. In trials, each has
    its own frames; those that lack some are left out, and the times are means over trials. Over the whole recording the
    times are one array in memory for all units, and read-only.
    """

    version: ClassVar[str] = MEASURES_VERSION
    required_inputs: ClassVar[tuple[str, ...]] = ("spike_times", "frame_timestamps", "acquisition_rate")
    output_schema: ClassVar[dict[str, str]] = {
        "FRIF": "float32 (frames - 1,), spikes/s between frames i and i + 1",
        "FRIF_x_axis": "float64 (frames - 1,), s, the time of frame i",
    }
    description: ClassVar[str] = "Firing rate between consecutive frames of the stimulus"
    in_threads: ClassVar[bool] = True
    _clock: _Clock | None = None

    def extract(
        self,
        unit_data: Any,
        stimulus_data: Any,
        config: Mapping[str, Any] | None = None,
        metadata: Any = None,
    ) -> dict[str, Any]:
        """See `FeatureExtractor.extract`. Raises `MissingInputError` without frame timestamps or spikes."""
        frames, rate = frame_timestamps(metadata), acquisition_rate(metadata)
        if movie := (config or {}).get(MOVIE):
            return self._of_trials(unit_data, movie, frames, metadata, sections_of(stimulus_data, movie))
        spikes = member(unit_data, "spike_times")
        if spikes is None:
            raise MissingInputError("no spike_times: run load_recording first", self.name, "spike_times")
        clock = self._clock_of(frames, rate, member(metadata, "frame_timestamps"))
        shown = np.searchsorted(frames, np.sort(np.asarray(spikes).astype(np.int64)), side="right") - 1
        counts = np.bincount(shown[(shown >= 0) & (shown < len(clock.axis))], minlength=len(clock.axis))
        return {"FRIF": (counts * rate / clock.durations).astype(np.float32), "FRIF_x_axis": clock.axis}

    def _clock_of(self, frames: Ints, rate: float, stored: Any) -> _Clock:
        """The frames' times and durations, computed once for all units of a recording."""
        clock = self._clock
        if clock is None or clock.stored is not stored or clock.rate != rate:
            clock = self._clock = _Clock(stored, rate, frames[:-1] / rate, np.diff(frames).astype(np.float64))
            clock.axis.flags.writeable = False
        return clock

    def _of_trials(self, unit_data: Any, movie: str, frames: Ints, metadata: Any, sections: Any) -> dict[str, Any]:
        windows = read_windows(unit_data, movie, metadata, sections)
        if windows is None:
            raise MissingInputError(f"no spikes of {movie!r}: run section_spike_times first", self.name, movie)
        ends = windows.starts + windows.lengths
        shown = [frames[(frames >= a) & (frames <= b)] - a for a, b in zip(windows.starts, ends, strict=True)]
        longest = max(map(len, shown), default=1)
        complete = [trial for trial, edges in enumerate(shown) if len(edges) == longest and longest > 1]
        if not complete:
            return {"FRIF": np.empty(0, np.float32), "FRIF_x_axis": np.empty(0)}
        edges: Ints = np.stack([shown[trial] for trial in complete])
        rates: Floats = np.stack(
            [
                np.diff(np.searchsorted(windows.of(trial), bin_edges)) / np.diff(bin_edges)
                for trial, bin_edges in zip(complete, edges, strict=True)
            ]
        )
        mean = rates.mean(axis=0) * windows.rate
        return {"FRIF": mean.astype(np.float32), "FRIF_x_axis": edges[:, :-1].mean(axis=0) / windows.rate}
