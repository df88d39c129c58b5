"""Measures of a unit's mean responses, for a laboratory's thresholds.

Rates are filtered without phase shift (Bessel, order 5, 10 Hz) and cut at 400 Hz first. Our own tested measures stand
beside these in the table of cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hdmea.population.traces import LIGHT_STEP

Floats = npt.NDArray[np.float64]

FRAME_HZ = 60.0
CUTOFF_HZ, ORDER, MAX_HZ = 10.0, 5, 400.0
STEP = ("step_up_5s_5i_b0_3x", "step_up_5s_5i_b0_30x", "step_up_5s_5i_3x")
COLOURS, FLICKER = "green_blue_3s_3i_3x", "freq_step_5st_3x"
STEP_ON, STEP_OFF, STEP_END = 60, 360, 600
COLOUR_EDGES = {"green_on": (60, 240), "green_off": (240, 420), "blue_on": (420, 600), "blue_off": (600, 720)}
FREQUENCIES_HZ = (0.5, 1.0, 2.0, 4.0, 10.0)
FLICKER_LEAD, FLICKER_FRAMES, FLICKER_PITCH, FLICKER_SETTLED = 30, 240, 300, 60
SUSTAINED = 60  # frames at the end of a phase
MIN_RATE_HZ = 1.0
SHIFTS = 1999  # of the null of responses
MAX_TURNED = 5  # trials that are turned; of more, means of every fifth
TESTED = {"step_up": STEP, "green_blue": (COLOURS,), "freq_step": (FLICKER,)}
FORGOTTEN = round(10 * FRAME_HZ)  # bins after which a filter of 20 Hz knows nothing of a value any more
LIGHT_STEP_FEATURES = ("iprgc_2hz_QI", "iprgc_20hz_QI", "iprgc_2hz_r", "iprgc_onset", "iprgc_sustained")
NAN = float("nan")


def filtered(rates: npt.ArrayLike, cutoff_hz: float = CUTOFF_HZ, rate_hz: float = FRAME_HZ) -> Floats:
    """Rates (..., T) low-passed without phase shift; NaN where there are too few bins for it."""
    from scipy.signal import sosfiltfilt

    values = np.asarray(rates, np.float64)
    sections = _sections(cutoff_hz, rate_hz)
    if values.shape[-1] <= 3 * (2 * len(sections) + 1):
        return np.full(values.shape, np.nan)
    return np.asarray(sosfiltfilt(sections, values, axis=-1))


@lru_cache
def _sections(cutoff_hz: float, rate_hz: float) -> Floats:
    from scipy.signal import bessel

    return np.asarray(bessel(ORDER, cutoff_hz, fs=rate_hz, output="sos"))


def quality_index(trials: Floats) -> float:
    """Var_t(mean over trials) / mean over trials(Var_t) of (n_trials, T); NaN without variance.

    Source: Baden et al. 2016, Nature 529:345. Of noise it is 1 / n_trials.
    """
    within = trials.var(axis=1).mean() if trials.size else 0.0
    return float(trials.mean(axis=0).var() / within) if within > 0 else NAN


def response_p_values(trials: Floats, *, seed: int = 0) -> Floats:
    """p of each unit that its trials (units, n_trials, T) are not alike by what was shown (units,).

    The statistic is the covariance of the trials summed over their pairs; the null has each trial turned by a random
    time of its own, which keeps its bursts and rate; of more than five trials, the means of every fifth are turned.
    1 for a unit that never fires, NaN for less than two trials.
    """
    if trials.shape[1] > MAX_TURNED:
        trials = np.stack([trials[:, n::MAX_TURNED].mean(axis=1) for n in range(MAX_TURNED)], axis=1)
    units, count, bins = trials.shape
    if count < 2 or not units:
        return np.full(units, NAN)
    lags = np.random.default_rng(seed).integers(0, bins, (SHIFTS, count))
    waves = np.fft.rfft(trials - trials.mean(axis=2, keepdims=True), axis=2)
    observed, null = np.zeros(units), np.zeros((units, SHIFTS))
    for one in range(count):
        for other in range(one + 1, count):
            covariance = np.fft.irfft(waves[:, one].conj() * waves[:, other], bins, axis=1)
            observed += covariance[:, 0]
            null += covariance[:, (lags[:, other] - lags[:, one]) % bins]
    least = observed - 1e-9 * np.abs(observed)
    return np.asarray((1 + (null >= least[:, None]).sum(axis=1)) / (1 + SHIFTS))


def response_p_value(p_values: Mapping[str, float]) -> dict[str, float]:
    """The p-values of one unit by stimulus, and `response_p_value` of all: the smallest, corrected for their number."""
    values = {
        f"{name}_p_value": next((p_values[one] for one in names if one in p_values), NAN)
        for name, names in TESTED.items()
    }
    finite = [p for p in values.values() if not np.isnan(p)]
    return {**values, "response_p_value": min(1.0, len(finite) * min(finite)) if finite else NAN}


def response_features(rates: Mapping[str, npt.ArrayLike], *, are_smooth: bool = False) -> dict[str, float]:
    """The features of one unit from its rates by stimulus, (n_trials, T) Hz; those of stimuli that it lacks are NaN.

    are_smooth: whether those of steps, colours and flicker went through `smooth` already.
    """
    used = {name: np.asarray(rates[name], np.float64) for name in (*STEP, COLOURS, FLICKER) if name in rates}
    trials = used if are_smooth else {name: smooth(values) for name, values in used.items()}
    return {
        **_step(next((trials[name] for name in STEP if name in trials), None)),
        **_colours(trials.get(COLOURS)),
        **_flicker(trials.get(FLICKER)),
        **light_step_indices(rates.get(LIGHT_STEP)),
    }


def smooth(rates: npt.ArrayLike) -> Floats:
    """Rates (..., T) as features take them: at most 400 Hz, low-passed at 10 Hz without phase shift."""
    return filtered(np.minimum(np.asarray(rates, np.float64), MAX_HZ))


def _phase(mean: Floats, start: int, stop: int, quiet: float) -> dict[str, float]:
    """Peak and its time after the edge, sustained rate and their ratio, less the quiet rate."""
    part = mean[start:stop]
    if len(part) < SUSTAINED:
        return {"peak": NAN, "peak_time_s": NAN, "sustained": NAN, "sustained_ratio": NAN}
    peak, sustained = float(part.max() - quiet), float(part[-SUSTAINED:].mean() - quiet)
    return {
        "peak": peak,
        "peak_time_s": float(part.argmax() / FRAME_HZ),
        "sustained": sustained,
        "sustained_ratio": sustained / peak if peak > 0 else NAN,
    }


def _step(trials: Floats | None) -> dict[str, float]:
    mean = np.empty(0) if trials is None else trials.mean(axis=0)
    quiet = float(mean[:STEP_ON].mean()) if len(mean) else NAN
    phases = {"on": (STEP_ON, STEP_OFF), "off": (STEP_OFF, STEP_END)}
    values = {
        f"step_{side}_{name}": value
        for side, (start, stop) in phases.items()
        for name, value in _phase(mean, start, stop, quiet).items()
    }
    on, off = max(values["step_on_peak"], 0.0), max(values["step_off_peak"], 0.0)
    return {
        **values,
        "step_on_off_ratio": (on - off) / (on + off) if on + off > 0 else NAN,
        "step_up_QI": NAN if trials is None else quality_index(trials),
    }


def _colours(trials: Floats | None) -> dict[str, float]:
    mean = np.empty(0) if trials is None else trials.mean(axis=0)
    quiet = float(mean[:STEP_ON].mean()) if len(mean) else NAN
    values = {
        f"{edge}_{name}": value
        for edge, (start, stop) in COLOUR_EDGES.items()
        for name, value in _phase(mean, start, stop, quiet).items()
    }
    green, blue = (max(values[f"{c}_on_peak"], 0.0) + max(values[f"{c}_off_peak"], 0.0) for c in ("green", "blue"))
    return {
        **values,
        "green_blue_ratio": (green - blue) / (green + blue) if green + blue > 0 else NAN,
        "green_blue_QI": NAN if trials is None else quality_index(trials),
    }


def _flicker(trials: Floats | None) -> dict[str, float]:
    mean = np.empty(0) if trials is None else trials.mean(axis=0)
    measures: dict[str, float] = {}
    for n, frequency_hz in enumerate(FREQUENCIES_HZ):
        settled = 0 if frequency_hz == FREQUENCIES_HZ[0] else FLICKER_SETTLED
        start = FLICKER_LEAD + n * FLICKER_PITCH
        part = mean[start + settled : start + FLICKER_FRAMES]
        whole = len(part) == FLICKER_FRAMES - settled
        values = sine_fit(sine_waves(settled, len(part), frequency_hz), part) if whole else (NAN, NAN, NAN, NAN)
        names = ("amplitude", "phase", "offset", "r_squared")
        measures |= {f"freq_{frequency_hz:g}hz_{name}": value for name, value in zip(names, values, strict=True)}
    return {**measures, "freq_step_QI": NAN if trials is None else quality_index(trials)}


@lru_cache
def sine_waves(first: int, frames: int, frequency_hz: float) -> tuple[Floats, Floats]:
    """Sine, cosine and 1 in some frames from one on, (frames, 3), and the pseudo-inverse of that."""
    turn = 2 * np.pi * frequency_hz * np.arange(first, first + frames) / FRAME_HZ
    waves = np.stack([np.sin(turn), np.cos(turn), np.ones(frames)], axis=1)
    return waves, np.linalg.pinv(waves)


def sine_fit(waves: tuple[Floats, Floats], values: Floats) -> tuple[float, float, float, float]:
    """Amplitude, phase (radians, of A sin(2 π f t + φ)), offset and r² of the least-squares sine of `sine_waves`."""
    design, inverse = waves
    sine, cosine, offset = fit = inverse @ values
    total, rest = values - values.mean(), values - design @ fit
    variance = float(total @ total)
    r_squared = 1 - float(rest @ rest) / variance if variance > 0 else NAN
    return float(np.hypot(sine, cosine)), float(np.arctan2(cosine, sine)), float(offset), r_squared


def light_step_indices(rates: npt.ArrayLike | None) -> dict[str, float]:
    """Likeness of a unit's responses to long steps of light, and how long they last.

    `iprgc_2hz_QI`, `iprgc_20hz_QI`: each trial less the mean of its last second, low-passed (Bessel, order 5, zero
    phase) at 2 Hz, from 2 s to the end; at 20 Hz from 2 to 10 s. The index is the mean Pearson r of the trials with the
    mean trial; 0 where in some trial the mean rate of that part is below 1 Hz, the part is constant, or nothing in it
    reaches 1. Of noise it is 1/sqrt(n_trials), so `iprgc_2hz_r` is the correlation of two trials that the first one
    tells of. `iprgc_onset` and `iprgc_sustained`: the rate of the first 2 s, and from 2 to 10 s, less that of the last
    second, Hz; negative where light stops a cell. NaN without the stimulus.
    """
    if rates is None:
        return dict.fromkeys(LIGHT_STEP_FEATURES, NAN)
    return light_step_indices_of_units(np.asarray(rates, np.float64)[None])[0]


def light_step_indices_of_units(rates: npt.ArrayLike) -> list[dict[str, float]]:
    """`light_step_indices` of each of some units (units, n_trials, T), which are filtered together."""
    trials = np.asarray(rates, np.float64)
    second, count = round(FRAME_HZ), trials.shape[1]
    quiet = trials[..., -second:].mean(axis=-1, keepdims=True)
    slow_part, fast_part = slice(2 * second, None), slice(2 * second, 10 * second)
    all_slow, all_fast = (
        _likenesses(trials, quiet, part, cutoff_hz) for part, cutoff_hz in ((slow_part, 2.0), (fast_part, 20.0))
    )
    measured = []
    for unit, slow, fast in zip(trials, all_slow, all_fast, strict=True):
        mean = unit.mean(axis=0) - unit[:, -second:].mean()
        of_pairs = (count * slow**2 - 1) / (count - 1) if count > 1 else NAN
        lasting = (float(mean[: 2 * second].mean()), float(mean[fast_part].mean()))
        measured.append(dict(zip(LIGHT_STEP_FEATURES, (slow, fast, of_pairs, *lasting), strict=True)))
    return measured


def _likenesses(trials: Floats, quiet: Floats, part: slice, cutoff_hz: float) -> list[float]:
    """The likeness of each unit's trials; only what can be other than 0 is filtered, as far as it matters.

    trials, quiet: (units, n_trials, T) rates, and the mean (units, n_trials, 1) of the last second.
    """
    short = np.isnan(filtered(np.zeros(trials.shape[2]), cutoff_hz)).any() or not trials[:, :, part].size
    if short:
        return [NAN] * len(trials)
    fires = ~(trials[:, :, part].mean(axis=2) < MIN_RATE_HZ).any(axis=1)
    likeness = np.zeros(len(trials))
    if fires.any():
        stop = None if part.stop is None else part.stop + FORGOTTEN
        smoothed = filtered(trials[fires, :, :stop] - quiet[fires], cutoff_hz)[:, :, part]
        likeness[fires] = [_likeness(unit) for unit in smoothed]
    return [float(one) for one in likeness]


def _likeness(x: Floats) -> float:
    """Mean r of filtered trials (n_trials, T) of a unit that fires with their mean."""
    if np.isnan(x).any():
        return NAN
    if (np.ptp(x, axis=1) == 0).any() or (np.abs(x) < 1).all():
        return 0.0
    about = x - x.mean(axis=1, keepdims=True)
    mean = about.mean(axis=0)
    size = float(mean @ mean)
    if not size > 0:
        return 0.0
    return float(np.mean(np.minimum(about @ mean / np.sqrt(np.einsum("nt,nt->n", about, about) * size), 1.0)))
