"""The response to an edge of light, ON or OFF: tested, with rates, latency and jitter.

Everything is in frames of the trial until it is returned. Definitions and figures: docs/measures.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from hdmea.features.arrays import Floats
from hdmea.features.significance import roll_test
from hdmea.features.trials import Trials

NAN = float("nan")

Span = tuple[int, int]  # frames [first, last)

# Of the measure; a config or a call may change them.
EDGE_DEFAULTS: dict[str, Any] = {
    "window_ms": 400.0,  # after an edge
    "sustained_from_ms": 500.0,
    "quiet_lead_ms": 1000.0,  # quiet for ON: the end of what precedes the edge ...
    "quiet_dark_ms": 2000.0,  # ... and the end of the dark phase
    "quiet_dark_no_lead_ms": 3000.0,
    "quiet_light_ms": 3000.0,  # quiet for OFF: the end of the light phase
    "settle_ms": 1000.0,  # after an edge nothing is quiet
    "fine_sigma_ms": 10.0,  # of the PSTH in bins of 1 ms that peaks and latencies come from
    "response_alpha": 0.01,
    "latency_alpha": 0.005,  # of every 200 units without a response, at most one has a latency on a side
    "resamples": 1000,
}

EDGE_SCHEMA = {
    "response": "spikes/s, mean of the 400 ms after the edge - quiet",
    "p_value": "that the response is no more than quiet activity (roll test)",
    "peak_rate": "spikes/s, maximum of the PSTH (1 ms bins, sigma 10 ms) in those 400 ms - quiet; NaN where p >= 0.01",
    "latency_ms": "ms from the edge to half the peak; NaN where p >= 0.005 or there from the first bin on",
    "sustained_rate": "spikes/s, mean from 500 ms after the edge to the end of its phase",
    "sustained_response": "spikes/s, sustained_rate - quiet",
    "transience": "1 - sustained_response / peak_rate; NaN where p >= 0.01",
    "first_spike_jitter_ms": "ms, SD over trials of the first spike in those 400 ms; NaN where p >= 0.01",
    "quiet_rate": "spikes/s, mean of the quiet frames",
}


@dataclass(frozen=True, slots=True)
class LightStep:
    """One step of light within a trial, in frames: dark from `before`, light from `on`, dark from `off` to `end`."""

    before: int
    on: int
    off: int
    end: int


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge of light, in frames: where it is, where its phase ends, and which frames are quiet for it."""

    at: int
    phase_end: int
    quiet: Sequence[Span]


def edges_of(step: LightStep, trials: Trials, settings: Mapping[str, Any]) -> tuple[Edge, Edge]:
    """The ON and the OFF edge of a step."""
    lead = step.on - step.before
    dark = _tail(step.off, step.end, trials, settings, "quiet_dark_ms" if lead else "quiet_dark_no_lead_ms")
    before = (step.on - min(lead, trials.frames_in(settings["quiet_lead_ms"])), step.on)
    light = _tail(step.on, step.off, trials, settings, "quiet_light_ms")
    return Edge(step.on, step.off, (before, dark)), Edge(step.off, step.end, (light,))


def _tail(start: int, stop: int, trials: Trials, settings: Mapping[str, Any], name: str) -> Span:
    """The end of a phase, of the length that a setting says, but not before it has settled (or its second half)."""
    longest = max(stop - start - trials.frames_in(settings["settle_ms"]), (stop - start) // 2, 0)
    return stop - min(trials.frames_in(settings[name]), longest), stop


@dataclass(frozen=True, slots=True)
class EdgeResponse:
    """What one edge does to a unit: rates in spikes/s; in_window: (trials,) spikes in the window of `window_s`."""

    response: float
    p_value: float
    p_value_decrease: float
    quiet_rate: float
    responsive: bool
    in_window: Floats
    window_s: float
    values: dict[str, float]


def edge_response(trials: Trials, counts: Floats, edge: Edge, settings: Mapping[str, Any], stream: int) -> EdgeResponse:
    """The response to an edge. counts: (trials, frames) of the trials; stream: tells the random numbers of tests apart.

    All is NaN without a trial, or where window or quiet are outside it.
    """
    window = min(trials.frames_in(settings["window_ms"]), edge.phase_end - edge.at)
    quiet = [counts[:, first:last] for first, last in edge.quiet]
    quiet_frames = sum(part.shape[1] for part in quiet)
    if not (len(trials) and window > 0 and quiet_frames and edge.at >= 0 and edge.phase_end <= trials.length):
        return EdgeResponse(NAN, NAN, NAN, NAN, False, np.full(len(trials), NAN), NAN, dict.fromkeys(EDGE_SCHEMA, NAN))
    in_window = counts[:, edge.at : edge.at + window]
    increase, decrease = roll_test(
        np.concatenate([*quiet, in_window], axis=1), window, settings["resamples"], trials.seed, stream
    )
    quiet_rate = float(sum(part.sum() for part in quiet) / len(trials) / quiet_frames / trials.period_s)
    per_trial = in_window.mean(axis=1) / trials.period_s - quiet_rate
    responsive = increase < settings["response_alpha"]
    sustained = _rate(counts, edge.at + trials.frames_in(settings["sustained_from_ms"]), edge.phase_end, trials)
    values = {
        "response": float(per_trial.mean()),
        "p_value": increase,
        "peak_rate": NAN,
        "latency_ms": NAN,
        "sustained_rate": sustained,
        "sustained_response": sustained - quiet_rate,
        "transience": NAN,
        "first_spike_jitter_ms": NAN,
        "quiet_rate": quiet_rate,
    }
    if responsive:
        window_ms = settings["window_ms"]
        fine = _fine_psth(trials, edge.at, window_ms, settings["fine_sigma_ms"])
        peak = float(fine.max()) - quiet_rate
        values["peak_rate"] = peak
        values["latency_ms"] = half_peak_ms(fine, quiet_rate) if increase < settings["latency_alpha"] else NAN
        values["transience"] = 1 - values["sustained_response"] / peak if peak > 0 else NAN
        values["first_spike_jitter_ms"] = _first_spike_jitter_ms(trials, edge.at, window_ms)
    window_s = window * trials.period_s
    response = values["response"]
    return EdgeResponse(response, increase, decrease, quiet_rate, responsive, in_window.sum(axis=1), window_s, values)


def _rate(counts: Floats, first: int, last: int, trials: Trials) -> float:
    return float(counts[:, first:last].mean() / trials.period_s) if last > first else NAN


def _fine_psth(trials: Trials, edge: int, window_ms: float, sigma_ms: float) -> Floats:
    """Spikes/s (ms,) in bins of 1 ms from an edge, mean over trials, smoothed with what is on both sides."""
    from hdmea.features.psth import bin_counts, smoothed

    frames_per_ms = 0.001 / trials.period_s
    pad = min(int(4 * sigma_ms), int(edge / frames_per_ms))
    first = edge - pad * frames_per_ms
    bins = pad + round(window_ms) + int(4 * sigma_ms)
    psth = bin_counts(trials.x, trials.offsets, first, frames_per_ms, bins).mean(axis=0) * 1000
    return np.asarray(smoothed(psth[None, :], sigma_ms)[0, pad : pad + round(window_ms)])


def half_peak_ms(rate: Floats, quiet_rate: float) -> float:
    """When a rate in bins of 1 ms first crosses the middle of quiet and peak, linear between the bins' centres.

    NaN where it is above already in the first bin: there is no onset.
    """
    half = quiet_rate + (rate.max() - quiet_rate) / 2
    at = int(np.argmax(rate >= half))
    if at == 0:
        return NAN
    return float(at - 0.5 + (half - rate[at - 1]) / (rate[at] - rate[at - 1]))


def _first_spike_jitter_ms(trials: Trials, edge: int, window_ms: float) -> float:
    """SD over the trials that have a spike in the window; NaN for fewer than two."""
    window = window_ms / 1000 / trials.period_s
    first = []
    for start, stop in pairwise(trials.offsets.tolist()):
        own = trials.x[start:stop]
        at = int(np.searchsorted(own, edge))
        if at < len(own) and own[at] < edge + window:
            first.append(own[at])
    return float(np.std(first, ddof=1) * trials.period_s * 1000) if len(first) > 1 else NAN
