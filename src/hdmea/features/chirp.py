"""Responses to full-field flicker of several frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from hdmea.features.base import StimulusFeature, frames_to_seconds
from hdmea.features.registry import FeatureRegistry
from hdmea.features.trials import Floats, Trials, mean_over_trials, response_quality


@FeatureRegistry.register("chirp")
class Chirp(StimulusFeature):
    """Amplitude and phase of the response at each frequency of a series of steps, each followed by a gap.

    F1 is the Fourier component of the step's part of the mean PSTH at the step's own frequency: an amplitude of
    a sinusoidal modulation in spikes/s. Phases are against a sine that starts with the step. The bandwidth is the
    distance in octaves between the points where the amplitude, interpolated over log2 of the frequency, falls to half
    its maximum; NaN where it does not fall so far on both sides within the frequencies tested.

    Source: Enroth-Cugell & Robson 1966, J Physiol 187:517 (temporal harmonics of ganglion cells).
    """

    name: ClassVar[str] = "chirp"
    family: ClassVar[str] = "chirp"
    defaults: ClassVar[dict[str, Any]] = {
        **StimulusFeature.defaults,
        "frequencies_hz": [0.5, 1, 2, 4, 10],
        "step_frames": 240,
        "gap_frames": 60,
    }
    output_schema: ClassVar[dict[str, str]] = {
        "frequencies_hz": "float64 (frequencies,)",
        "f1_amplitude": "float64 (frequencies,), spikes/s",
        "f1_phase": "float64 (frequencies,), radians against the stimulus",
        "preferred_frequency": "Hz, of the largest amplitude; NaN without a response",
        "bandwidth": "octaves at half height; NaN where it is not reached on both sides",
        "response_quality": "Var_t(mean over trials) / mean over trials(Var_t)",
    }
    description: ClassVar[str] = "Tuning to the frequency of full-field flicker"

    def compute(self, trials: Trials, settings: Mapping[str, Any]) -> dict[str, Any]:
        from hdmea.features.helpers import fourier_component

        frequencies = np.asarray(settings["frequencies_hz"], np.float64)
        bin_s = settings["bin_ms"] / 1000
        step_s, gap_s = frames_to_seconds(settings["step_frames"]), frames_to_seconds(settings["gap_frames"])
        by_trial = trials.psth(len(frequencies) * (step_s + gap_s), bin_s)
        psth = mean_over_trials(by_trial)
        amplitude, phase = np.full(len(frequencies), np.nan), np.full(len(frequencies), np.nan)
        bins = round(step_s / bin_s)
        for n, frequency_hz in enumerate(frequencies):
            first = round(n * (step_s + gap_s) / bin_s)
            part = psth[first : first + bins]
            if len(part) == bins and np.isfinite(part).all():
                amplitude[n], phase[n] = fourier_component(part, bin_s, frequency_hz)
        responds = np.isfinite(amplitude).all() and amplitude.max() > 1e-9
        return {
            "frequencies_hz": frequencies,
            "f1_amplitude": amplitude,
            "f1_phase": np.where(amplitude > 1e-9, phase, np.nan),
            "preferred_frequency": float(frequencies[amplitude.argmax()]) if responds else float("nan"),
            "bandwidth": _bandwidth(frequencies, amplitude) if responds else float("nan"),
            "response_quality": response_quality(by_trial),
        }


def _bandwidth(frequencies: Floats, amplitude: Floats) -> float:
    """Octaves between the half-height points on both sides of the maximum."""
    order = np.argsort(frequencies)
    octaves, height = np.log2(frequencies[order]), amplitude[order]
    peak = int(height.argmax())
    return _half_height(octaves[peak:], height[peak:]) - _half_height(octaves[peak::-1], height[peak::-1])


def _half_height(octaves: Floats, height: Floats) -> float:
    """Where the height first falls to half of its first value, going outwards; NaN where it never does."""
    half = height[0] / 2
    below = np.flatnonzero(height <= half)
    if not len(below):
        return float("nan")
    n = int(below[0])
    share = (height[n - 1] - half) / (height[n - 1] - height[n])
    return float(octaves[n - 1] + share * (octaves[n] - octaves[n - 1]))


@FeatureRegistry.register("freq_step_5st_3x")
class FrequencySteps(Chirp):
    """`Chirp` for five steps from 0.5 to 10 Hz."""

    name: ClassVar[str] = "freq_step_5st_3x"
