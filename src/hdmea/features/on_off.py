"""Responses to steps of light: on for some seconds, then dark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from hdmea.features.base import SECTION, StimulusFeature, frames_to_seconds
from hdmea.features.registry import FeatureRegistry
from hdmea.features.trials import Floats, Trials, contrast_index, mean_over_trials, response_quality


@FeatureRegistry.register("on_off")
class OnOff(StimulusFeature):
    """ON and OFF responses to a step of light that begins with the trial.

    The PSTH is the mean over trials. Peaks are those of the first `transient_ms` after light on and light off, and
    latency is the time from there to the middle of the peak's bin (the first of equal ones). The sustained rate is the
    mean from there to the phase's end, the baseline that of the last `baseline_ms` of the dark phase, just before the
    next step.

    Sources: Akerman, Smyth & Thompson 2002, Neuron 36:623 (index); Baden et al. 2016, Nature 529:345 (quality).
    """

    name: ClassVar[str] = "on_off"
    family: ClassVar[str] = "on_off"
    defaults: ClassVar[dict[str, Any]] = {
        **StimulusFeature.defaults,
        "on_frames": 300,
        "trial_frames": 600,
        "transient_ms": 500.0,
        "baseline_ms": 1000.0,
    }
    output_schema: ClassVar[dict[str, str]] = {
        "on_peak_rate": "spikes/s, highest bin of the first 500 ms of light",
        "off_peak_rate": "spikes/s, highest bin of the first 500 ms of dark",
        "on_latency_ms": "ms from light on to the ON peak; NaN without spikes there",
        "off_latency_ms": "ms from light off to the OFF peak; NaN without spikes there",
        "on_sustained_rate": "spikes/s, mean from 500 ms of light to its end",
        "off_sustained_rate": "spikes/s, mean from 500 ms of dark to its end",
        "baseline_rate": "spikes/s, mean of the last second of dark",
        "on_off_index": "(ON - OFF) / (ON + OFF) of the peaks",
        "response_quality": "Var_t(mean over trials) / mean over trials(Var_t)",
        "psth": "float64 (bins,), spikes/s, mean over trials",
    }
    description: ClassVar[str] = "ON and OFF responses to a step of light"

    def compute(self, trials: Trials, settings: Mapping[str, Any]) -> dict[str, Any]:
        trial_frames = (settings.get(SECTION) or {}).get("trial_length_frame", settings["trial_frames"])
        end_s, off_s = frames_to_seconds(trial_frames), frames_to_seconds(settings["on_frames"])
        bin_s, transient_s = settings["bin_ms"] / 1000, settings["transient_ms"] / 1000
        by_trial = trials.psth(end_s, bin_s)
        psth = mean_over_trials(by_trial)
        on_peak, on_latency = _peak(psth, 0.0, transient_s, bin_s)
        off_peak, off_latency = _peak(psth, off_s, off_s + transient_s, bin_s)
        baseline_s = max(off_s, end_s - settings["baseline_ms"] / 1000)
        windows = [(transient_s, off_s), (off_s + transient_s, end_s), (baseline_s, end_s)]
        on_sustained, off_sustained, baseline = mean_over_trials(trials.window_rates(windows)).tolist()
        return {
            "on_peak_rate": on_peak,
            "off_peak_rate": off_peak,
            "on_latency_ms": on_latency,
            "off_latency_ms": off_latency,
            "on_sustained_rate": on_sustained,
            "off_sustained_rate": off_sustained,
            "baseline_rate": baseline,
            "on_off_index": contrast_index(on_peak, off_peak),
            "response_quality": response_quality(by_trial),
            "psth": psth,
        }


def _peak(psth: Floats, start_s: float, stop_s: float, bin_s: float) -> tuple[float, float]:
    """Height of the highest bin within [start, stop), and ms from start to its middle; NaN where there is none."""
    first, last = (int(np.ceil(edge / bin_s - 1e-9)) for edge in (start_s, stop_s))
    part = psth[first:last]
    if not len(part) or not np.isfinite(part).all():
        return float("nan"), float("nan")
    peak = int(part.argmax())
    latency_ms = ((first + peak + 0.5) * bin_s - start_s) * 1000 if part[peak] > 0 else float("nan")
    return float(part[peak]), float(latency_ms)


@FeatureRegistry.register("step_up_5s_5i_b0_3x")
class StepUpFromBlack3(OnOff):
    """`OnOff` for three steps from black."""

    name: ClassVar[str] = "step_up_5s_5i_b0_3x"


@FeatureRegistry.register("step_up_5s_5i_b0_30x")
class StepUpFromBlack30(OnOff):
    """`OnOff` for thirty steps from black."""

    name: ClassVar[str] = "step_up_5s_5i_b0_30x"


@FeatureRegistry.register("step_up_5s_5i_3x")
class StepUp3(OnOff):
    """`OnOff` for three steps."""

    name: ClassVar[str] = "step_up_5s_5i_3x"
