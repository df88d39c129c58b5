"""Responses to full-field flicker of several frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hdmea.features.arrays import Floats, Ints
from hdmea.features.base import COMMON_SCHEMA, StimulusFeature
from hdmea.features.movie_check import flicker_problems
from hdmea.features.significance import resampling_p_value
from hdmea.features.trials import Trials

NAN = float("nan")
OCTAVES_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))  # full width at half height of a Gaussian
FIT_STEPS = 50
MIN_WEIGHT = 1e-6
SETTLED = 1e-9  # of the largest weight

_BY_FREQUENCY = (
    "frequencies_hz", "f1_amplitude", "f1_se", "f1_phase", "f1_p_value", "f2_amplitude", "f2_p_value", "noise_floor",
)  # fmt: skip


class FrequencySteps(StimulusFeature):
    """Amplitude and phase of the response at each frequency of a series of steps, each followed by a gap.

    Steps of constant frequency, not the continuous sweep of Baden et al. 2016: the family's name is that of earlier
    versions. F1 and F2 are the components of the spike times at a step's own frequency and at twice that, over its
    whole periods. Both are tested by the Rayleigh statistic, against trials that are rolled.

    Sources: Enroth-Cugell & Robson 1966, J Physiol 187:517; Hochstein & Shapley 1976, J Physiol 262:265 (F2/F1).
    Definitions: docs/measures.md.
    """

    family: ClassVar[str] = "chirp"
    timing: ClassVar[tuple[str, ...]] = ("frequencies_hz", "nominal_frame_rate_hz", "step_frames", "gap_frames")
    defaults: ClassVar[dict[str, Any]] = {"resamples": 1000, "modulated_alpha": 0.05}
    output_schema: ClassVar[dict[str, str]] = {
        "nominal_frequencies_hz": "float64 (frequencies,), as in the config",
        "frequencies_hz": "float64 (frequencies,), as shown at the recording's own frame rate",
        "f1_amplitude": "float64 (frequencies,), spikes/s",
        "f1_se": "float64 (frequencies,), spikes/s, standard error over trials",
        "f1_phase": "float64 (frequencies,), radians against a sine that begins with the step; NaN without spikes",
        "f1_p_value": "float64 (frequencies,), Rayleigh statistic against rolled trials, for all frequencies",
        "f2_amplitude": "float64 (frequencies,), spikes/s",
        "f2_p_value": "float64 (frequencies,), as f1_p_value",
        "noise_floor": "float64 (frequencies,), spikes/s, root mean square amplitude of neighbouring frequencies",
        "preferred_frequency": "Hz, of the largest F1 among those with p < 0.05; NaN without one",
        "bandwidth": "octaves, full width at half height of a Gaussian over log2 frequency; NaN: see bandwidth_reason",
        "bandwidth_reason": "why there is no bandwidth; empty where there is one",
        "f2_f1_ratio": "F2 / F1 at the frequency of the largest F1 or F2 among those with p < 0.05",
        **COMMON_SCHEMA,
    }
    description: ClassVar[str] = "Tuning to the frequency of full-field flicker"

    def compute(self, trials: Trials, settings: Mapping[str, Any]) -> dict[str, Any]:
        nominal = np.asarray(settings["frequencies_hz"], np.float64)
        cycles = nominal / settings["nominal_frame_rate_hz"]  # a frame
        values: dict[str, Any] = {name: np.full(len(nominal), NAN) for name in _BY_FREQUENCY}
        values["nominal_frequencies_hz"] = nominal
        pitch = int(settings["step_frames"]) + int(settings["gap_frames"])
        starts = int(settings["lead_frames"]) + pitch * np.arange(len(nominal), dtype=np.int64)
        periods = np.floor(int(settings["step_frames"]) * cycles + 1e-9)
        widths = periods / cycles
        if len(trials) and periods.min() >= 1 and starts[-1] + widths[-1] <= trials.length:
            values["frequencies_hz"] = cycles / trials.period_s
            for n in range(len(nominal)):
                for name, value in _components(trials, starts[n], widths[n], int(periods[n])).items():
                    values[name][n] = value
            values["f1_p_value"], values["f2_p_value"] = _p_values(
                trials, starts, widths, cycles, settings["resamples"]
            )
        return values | _tuning(values, settings["modulated_alpha"])

    def check_movie(self, frames: npt.NDArray[Any], settings: Mapping[str, Any]) -> list[str]:
        return flicker_problems(frames, settings)


def _components(trials: Trials, start: int, width: float, periods: int) -> dict[str, float]:
    """Amplitudes and phase of one step of `width` frames that hold whole `periods`, with error and noise floor."""
    from hdmea.features.harmonics import fourier_sums

    # Whole periods in the same frames, next to the first harmonic and none of its multiples.
    neighbours = [n for n in (periods - 2, periods - 1, periods + 1, periods + 2) if n > 0 and n % periods]
    cycles = np.array([periods, 2 * periods, *neighbours]) / width
    sums = fourier_sums(trials.x, trials.offsets, float(start), float(start + width), cycles)
    by_trial = (sums[:, :, 0] + 1j * sums[:, :, 1]) * 2 / (width * trials.period_s)
    mean = by_trial.mean(axis=0)
    size = np.abs(mean)
    along = (by_trial[:, 0] * np.conj(mean[0])).real / size[0] if size[0] > 0 else np.zeros(len(trials))
    return {
        "f1_amplitude": float(size[0]),
        "f1_se": float(along.std(ddof=1) / np.sqrt(len(along))) if len(along) > 1 else NAN,
        "f1_phase": _against_sine(mean[0]) if size[0] > 0 else NAN,
        "f2_amplitude": float(size[1]),
        "noise_floor": float(np.sqrt((size[2:] ** 2).mean())) if neighbours else NAN,
    }


def _against_sine(component: complex) -> float:
    """Phase φ in (-π, π] of A sin(ωt + φ), whose component Σ exp(-iωt) is proportional to exp(i(φ - π/2))."""
    return float(np.angle(component * 1j))


def _p_values(trials: Trials, starts: Ints, widths: Floats, cycles: Floats, resamples: int) -> Floats:
    """p-values (2, frequencies) of both harmonics, times the number of frequencies, at most 1."""
    from hdmea.features.harmonics import frame_turns, rolled_rayleigh

    twice = (np.tile(starts, 2).astype(np.int64), np.tile(np.floor(widths), 2).astype(np.int64))
    both = np.concatenate([cycles, 2 * cycles])
    turns = frame_turns(tuple(both.tolist()), trials.length)
    statistics = rolled_rayleigh(trials.x, trials.offsets, turns, *twice, both, resamples, trials.seed)
    single = np.array([resampling_p_value(column[1:], column[0]) for column in statistics.T])
    return np.asarray(np.minimum(single * len(cycles), 1.0).reshape(2, -1))


def _tuning(values: Mapping[str, Any], alpha: float) -> dict[str, Any]:
    """Values over frequencies, where the unit is modulated."""
    f1, f2 = values["f1_amplitude"], values["f2_amplitude"]
    frequencies, modulated = values["frequencies_hz"], values["f1_p_value"] < alpha
    either = modulated | (values["f2_p_value"] < alpha)
    best = int(np.where(either, np.fmax(f1, f2), -1.0).argmax())
    ratio = float(f2[best] / f1[best]) if either.any() and f1[best] > 0 else NAN
    tuning = {"preferred_frequency": NAN, "bandwidth": NAN, "bandwidth_reason": "no frequency modulates the rate"}
    if modulated.any():
        tuning["preferred_frequency"] = float(frequencies[np.where(modulated, f1, -1.0).argmax()])
        tuning["bandwidth"], tuning["bandwidth_reason"] = bandwidth_octaves(frequencies, f1)
    return tuning | {"f2_f1_ratio": ratio}


def bandwidth_octaves(frequencies: Floats, amplitude: Floats) -> tuple[float, str]:
    """Full width at half height of a Gaussian over log2 of the frequency, and why there is none where it is NaN.

    A parabola is fitted to the logarithm of the amplitudes, weighted with the squares of the fitted amplitudes until
    they settle, which is the least-squares fit of the Gaussian itself (Guo 2011, IEEE Signal Process Mag 28:134).
    """
    order = np.argsort(frequencies)
    octaves, height = np.log2(frequencies[order]), amplitude[order]
    if len(height) < 3:
        return NAN, "fewer than three frequencies"
    peak = int(height.argmax())
    if peak in (0, len(height) - 1):
        return NAN, f"the largest response is that to the {'lowest' if peak == 0 else 'highest'} frequency"
    centred = octaves - octaves[peak]
    logs = np.log(np.maximum(height / height[peak], MIN_WEIGHT))
    powers = np.vander(centred, 3)
    weights, curve = np.exp(logs), np.zeros(3)
    for _ in range(FIT_STEPS):
        weighted = powers * (weights**2)[:, None]
        curve = np.linalg.solve(weighted.T @ powers, weighted.T @ logs)
        if not curve[0] < 0:
            return NAN, "the responses do not fall off on both sides"
        fitted = powers @ curve
        last, weights = weights, np.exp(np.maximum(fitted - fitted.max(), np.log(MIN_WEIGHT)))
        if np.abs(last - weights).max() <= SETTLED:
            break
    centre = -curve[1] / (2 * curve[0])
    if not centred[0] < centre < centred[-1]:
        return NAN, "the fitted peak is outside the frequencies that were shown"
    return float(OCTAVES_PER_SIGMA * np.sqrt(-1 / (2 * curve[0]))), ""
