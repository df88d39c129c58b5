"""Spontaneous activity under a constant light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from hdmea.features.arrays import Ints
from hdmea.features.base import COMMON_SCHEMA, MOVIE, SECTION, TRIALS, StimulusFeature
from hdmea.features.intervals import (
    VIOLATION_S,
    burst_index,
    contamination_hill,
    contamination_llobet,
    local_variability,
    presence_ratio,
)
from hdmea.features.quality import trial_quality
from hdmea.features.trials import Trials, Windows, member, read_trials, read_windows, scalar, sections_of
from hdmea.utils.exceptions import MissingInputError

NAN = float("nan")


class Baseline(StimulusFeature):
    """Rate and regularity of firing in the windows of a constant stimulus, and contamination over the whole recording.

    Intervals between spikes are those within a window. Frames are not needed, but for the quality: the windows of a
    recording without a stimulus will do.
    """

    family: ClassVar[str] = "baseline"
    defaults: ClassVar[dict[str, Any]] = {"bin_ms": 20.0}
    required_inputs: ClassVar[tuple[str, ...]] = ("spike_times_sectioned", "acquisition_rate")
    output_schema: ClassVar[dict[str, str]] = {
        "mean_rate": "spikes/s over all windows",
        "std_rate": "spikes/s, standard deviation over bins of 20 ms (bin_ms) of the mean over windows",
        "cv_isi": "standard deviation over mean of the intervals; NaN for fewer than two",
        "cv2": "mean of 2 |I' - I| / (I' + I) over neighbouring intervals; NaN for fewer than two",
        "lv": "mean of 3 ((I' - I) / (I' + I))^2 over neighbouring intervals; NaN for fewer than two",
        "median_isi_ms": "ms; NaN without intervals",
        "burst_index": "share of intervals below 10 ms, over that of a Poisson unit of the same rate",
        "spike_count": "spikes in all windows",
        "isi_violations_ratio": "plain fraction of intervals below 1.5 ms; NaN without intervals",
        "quality_index": "1 - isi_violations_ratio",
        "contamination_hill": "share of foreign spikes, of the whole recording (Hill et al. 2011)",
        "contamination_llobet": "share of foreign spikes, of the whole recording (Llobet et al. 2022)",
        "presence_ratio": "share of the recording's whole minutes in which the unit has a spike",
        "n_duplicates": "spikes at the same sample as the one before, in the whole recording",
        **COMMON_SCHEMA,
    }
    description: ClassVar[str] = "Spontaneous rate, interval statistics, refractory violations and contamination"

    def extract(
        self,
        unit_data: Any,
        stimulus_data: Any,
        config: Mapping[str, Any] | None = None,
        metadata: Any = None,
    ) -> dict[str, Any]:
        """See `FeatureExtractor.extract`. Raises `MissingInputError` where the unit has no spikes of the movie."""
        settings = self.settings(config)
        sections = sections_of(stimulus_data, settings[MOVIE])
        windows = read_windows(unit_data, settings[MOVIE], metadata, sections, settings.get(TRIALS))
        if windows is None:
            message = f"no spikes of {settings[MOVIE]!r}: run section_spike_times first"
            raise MissingInputError(message, self.name, "spike_times_sectioned")
        values = _of_windows(windows, settings["bin_ms"] / 1000)
        return (
            values
            | _of_recording(unit_data, metadata, windows.rate)
            | _repeats(unit_data, metadata, settings, sections)
        )


def _of_windows(windows: Windows, bin_s: float) -> dict[str, Any]:
    duration_s = windows.durations_s.sum()
    isi_s, of_window = windows.intervals()
    violations = float((isi_s < VIOLATION_S).mean()) if len(isi_s) else NAN
    mean_rate = float(len(windows.samples) / duration_s) if duration_s > 0 else NAN
    return {
        "mean_rate": mean_rate,
        "std_rate": _std_rate(windows, bin_s),
        "cv_isi": float(isi_s.std() / isi_s.mean()) if len(isi_s) > 1 and isi_s.any() else NAN,
        **local_variability(isi_s, of_window),
        "median_isi_ms": float(np.median(isi_s) * 1000) if len(isi_s) else NAN,
        "burst_index": burst_index(isi_s, mean_rate),
        "spike_count": len(windows.samples),
        "isi_violations_ratio": violations,
        "quality_index": 1 - violations,
    }


def _std_rate(windows: Windows, bin_s: float) -> float:
    """Of the bins that are wholly in all windows; NaN without one."""
    bins = int(windows.durations_s.min(initial=np.inf) / bin_s + 1e-9) if len(windows) else 0
    if not bins:
        return NAN
    bin_of = np.floor(windows.samples / (bin_s * windows.rate)).astype(np.int64)
    counts = np.bincount(bin_of[bin_of < bins], minlength=bins)  # of all windows: whole numbers, exact in any order
    return float((counts / len(windows) / bin_s).std())


def _of_recording(unit_data: Any, metadata: Any, rate: float) -> dict[str, Any]:
    """Contamination, presence and duplicates of all spikes of the recording; NaN where its duration is not known."""
    stored, stated = member(unit_data, "spike_times"), member(metadata, "recording_duration_s")
    duration_s = np.nan_to_num(scalar(stated), posinf=0.0) if stated is not None else 0.0
    samples: Ints = np.sort(np.asarray(() if stored is None else stored).astype(np.int64))
    return {
        "contamination_hill": contamination_hill(samples, rate, duration_s),
        "contamination_llobet": contamination_llobet(samples, rate, duration_s),
        "presence_ratio": presence_ratio(samples, rate, duration_s),
        "n_duplicates": int((np.diff(samples) == 0).sum()),
    }


def _repeats(unit_data: Any, metadata: Any, settings: Mapping[str, Any], sections: Any) -> dict[str, Any]:
    """Measures that need trials in frames; NaN for windows of a recording without frames."""
    section, stored = settings[SECTION], member(metadata, "frame_timestamps")
    trials: Trials | None = None
    if stored is not None and len(stored):
        length = None if section is None else int(section["trial_length_frame"])
        trials = read_trials(unit_data, settings[MOVIE], metadata, length, sections, settings.get(TRIALS))
    if trials is None:
        return dict.fromkeys(COMMON_SCHEMA, NAN) | {"n_trials": 0}
    common = {"n_trials": len(trials), "frame_period_s": trials.period_s}
    return {**trial_quality(trials, np.zeros(len(trials), np.int64)), **common}
