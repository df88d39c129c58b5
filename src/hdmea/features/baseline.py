"""Spontaneous activity under a constant light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from hdmea.features.base import StimulusFeature
from hdmea.features.registry import FeatureRegistry
from hdmea.features.trials import Trials, mean_over_trials

VIOLATION_S = 0.0015  # of the refractory period: an interval that no single neuron makes


@FeatureRegistry.register("baseline")
class Baseline(StimulusFeature):
    """Rate and regularity of firing in the trials of a constant stimulus.

    Intervals between spikes are those within a trial. The rate's standard deviation is over bins of the PSTH.
    Source of the violation measure: Hill, Mehta & Kleinfeld 2011, J Neurosci 31:8699.
    """

    name: ClassVar[str] = "baseline"
    family: ClassVar[str] = "baseline"
    output_schema: ClassVar[dict[str, str]] = {
        "mean_rate": "spikes/s over all trials",
        "std_rate": "spikes/s, over bins of the mean PSTH",
        "cv_isi": "standard deviation over mean of the intervals; NaN for fewer than two",
        "median_isi_ms": "ms; NaN without intervals",
        "spike_count": "spikes in all trials",
        "isi_violations_ratio": "fraction of intervals below 1.5 ms; NaN without intervals",
        "quality_index": "1 - isi_violations_ratio",
    }
    description: ClassVar[str] = "Spontaneous rate, interval statistics and refractory violations"

    def compute(self, trials: Trials, settings: Mapping[str, Any]) -> dict[str, Any]:
        duration_s = trials.durations_s.sum()
        bin_s = settings["bin_ms"] / 1000
        psth = mean_over_trials(trials.psth(trials.durations_s.max(initial=0.0), bin_s))
        intervals_s = [np.diff(trials.of(trial)) / trials.rate for trial in range(len(trials))]
        isi_s = np.concatenate([*intervals_s, np.empty(0)])
        violations = float((isi_s < VIOLATION_S).mean()) if len(isi_s) else np.nan
        return {
            "mean_rate": float(len(trials.samples) / duration_s) if duration_s > 0 else np.nan,
            "std_rate": float(np.nanstd(psth)) if np.isfinite(psth).any() else np.nan,
            "cv_isi": float(isi_s.std() / isi_s.mean()) if len(isi_s) > 1 and isi_s.any() else np.nan,
            "median_isi_ms": float(np.median(isi_s) * 1000) if len(isi_s) else np.nan,
            "spike_count": len(trials.samples),
            "isi_violations_ratio": violations,
            "quality_index": 1 - violations,
        }


@FeatureRegistry.register("baseline_127")
class Baseline127(Baseline):
    """`Baseline` under mean grey."""

    name: ClassVar[str] = "baseline_127"
