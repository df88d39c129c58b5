"""Firing rate in frames: spikes between one frame pulse and the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from hdmea.features.base import MOVIE, FeatureExtractor
from hdmea.features.registry import FeatureRegistry
from hdmea.features.trials import acquisition_rate, mean_over_trials, member, read_trials
from hdmea.utils.exceptions import MissingInputError


@FeatureRegistry.register("frif")
class Frif(FeatureExtractor):
    """Spikes in [frame i, frame i + 1), in Hz, over the whole recording; with `movie_name`, averaged over its trials.

    `FRIF_x_axis` is each frame's time in seconds: from the recording's start, or from the trial's.
    """

    name: ClassVar[str] = "frif"
    required_inputs: ClassVar[tuple[str, ...]] = ("spike_times", "frame_timestamps", "acquisition_rate")
    output_schema: ClassVar[dict[str, str]] = {
        "FRIF": "float32 (frames - 1,), spikes/s between frames i and i + 1",
        "FRIF_x_axis": "float64 (frames - 1,), s, the time of frame i",
    }
    description: ClassVar[str] = "Firing rate between consecutive frames of the stimulus"

    def extract(
        self,
        unit_data: Any,
        stimulus_data: Any,
        config: Mapping[str, Any] | None = None,
        metadata: Any = None,
    ) -> dict[str, Any]:
        """See `FeatureExtractor.extract`. Raises `MissingInputError` without frame timestamps or spikes."""
        stored = None if metadata is None else member(metadata, "frame_timestamps")
        if stored is None or not len(stored):
            raise MissingInputError("no frame_timestamps: run load_recording first", self.name, "frame_timestamps")
        frames, rate = np.asarray(stored).astype(np.int64), acquisition_rate(metadata)
        if movie := (config or {}).get(MOVIE):
            return self._of_trials(unit_data, movie, frames, metadata)
        spikes = member(unit_data, "spike_times")
        if spikes is None:
            raise MissingInputError("no spike_times: run load_recording first", self.name, "spike_times")
        counts = np.diff(np.searchsorted(np.sort(np.asarray(spikes).astype(np.int64)), frames))
        return {"FRIF": (counts * rate / np.diff(frames)).astype(np.float32), "FRIF_x_axis": frames[:-1] / rate}

    def _of_trials(self, unit_data: Any, movie: str, frames: np.ndarray[Any, Any], metadata: Any) -> dict[str, Any]:
        trials = read_trials(unit_data, movie, metadata)
        if trials is None:
            raise MissingInputError(f"no spikes of {movie!r}: run section_spike_times first", self.name, movie)
        windows = np.asarray(member(unit_data, "spike_times_sectioned", movie, "trials_start_end")).astype(np.int64)
        shown = [frames[(frames >= start) & (frames <= stop)] - start for start, stop in windows.reshape(-1, 2)]
        longest = max(shown, key=len, default=np.empty(0, np.int64))
        rates = np.full((len(shown), max(len(longest) - 1, 0)), np.nan)
        for trial, edges in enumerate(shown):
            counts = np.diff(np.searchsorted(trials.of(trial), edges))
            rates[trial, : len(counts)] = counts * trials.rate / np.diff(edges)
        return {"FRIF": mean_over_trials(rates).astype(np.float32), "FRIF_x_axis": longest[:-1] / trials.rate}
