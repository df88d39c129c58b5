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
from hdmea.features.significance import RollTest, roll_test
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
    "response_alpha": 0.005,
    "latency_alpha": 0.002,  # of every 200 units without a response, at most one has a latency on a side
    "resamples": 1000,
}

SHORTEST_MS = 10.0  # segment in which a unit fires more than in quiet
MIN_QUIET_HZ = 0.5 / 3  # of all trials together: half a spike in three seconds, where there was none
MAX_ENDS = 128  # spikes at which such a segment may begin and end; of more, every second, third, ...

EDGE_SCHEMA = {
    "response": "spikes/s, mean of the 400 ms after the edge - quiet",
    "p_value": "that the response is no more than quiet activity (roll test)",
    "peak_rate": "spikes/s, each trial's PSTH (1 ms bins, sigma 10 ms) where that of the others is highest in those "
    "400 ms, mean over trials, - quiet; NaN where p >= 0.005, and of one trial",
    "latency_ms": "ms from the edge to half the rate of the segment in which the unit fires most unlike in quiet; "
    "NaN where p >= 0.002 or there from the first bin on",
    "latency_se_ms": "ms, jackknife over trials of latency_ms; NaN for one trial, or where one left out has no latency",
    "latency_onset_ms": "ms from the edge to that segment's first spike; NaN where p >= 0.002",
    "sustained_rate": "spikes/s, mean from 500 ms after the edge to the end of its phase",
    "sustained_response": "spikes/s, sustained_rate - quiet",
    "transience": "1 - sustained_response / (rate of that segment - quiet); NaN where p >= 0.005",
    "first_spike_jitter_ms": "ms, SD over trials of the first spike in those 400 ms; NaN where p >= 0.005",
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
    """Response of a unit to one edge: rates in spikes/s; in_window: (trials,) spikes in the window of `window_s`.

    test: of the increase; None without a trial.
    """

    response: float
    p_value: float
    p_value_decrease: float
    quiet_rate: float
    responsive: bool
    in_window: Floats
    window_s: float
    values: dict[str, float]
    test: RollTest | None = None


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
    test = roll_test(np.concatenate([*quiet, in_window], axis=1), window, settings["resamples"], trials.seed, stream)
    increase = test.increase
    quiet_rate = float(sum(part.sum() for part in quiet) / len(trials) / quiet_frames / trials.period_s)
    per_trial = in_window.mean(axis=1) / trials.period_s - quiet_rate
    responsive = increase < settings["response_alpha"]
    sustained = _rate(counts, edge.at + trials.frames_in(settings["sustained_from_ms"]), edge.phase_end, trials)
    values = dict.fromkeys(EDGE_SCHEMA, NAN) | {
        "response": float(per_trial.mean()),
        "p_value": increase,
        "sustained_rate": sustained,
        "sustained_response": sustained - quiet_rate,
        "quiet_rate": quiet_rate,
    }
    if responsive:
        quiet_hz = np.sum([part.sum(axis=1) for part in quiet], axis=0) / quiet_frames / trials.period_s
        onsets = Onsets.of(trials, edge.at, quiet_hz, settings)
        values["peak_rate"] = onsets.peak_rate()
        if (height := onsets.segment()[2] - quiet_rate) > 0:
            values["transience"] = 1 - values["sustained_response"] / height
        if increase < settings["latency_alpha"]:
            values |= onsets.latencies()
        values["first_spike_jitter_ms"] = _first_spike_jitter_ms(trials, edge.at, settings["window_ms"])
    window_s = window * trials.period_s
    response = values["response"]
    return EdgeResponse(
        response, increase, test.decrease, quiet_rate, responsive, in_window.sum(axis=1), window_s, values, test
    )


def _rate(counts: Floats, first: int, last: int, trials: Trials) -> float:
    return float(counts[:, first:last].mean() / trials.period_s) if last > first else NAN


@dataclass(frozen=True, slots=True)
class Onsets:
    """The window after an edge, trial by trial, in ms from the edge.

    times: the spikes in it; rates: (trials, ms) PSTHs in bins of 1 ms, spikes/s; quiet_hz: (trials,).
    """

    times: list[Floats]
    rates: Floats
    quiet_hz: Floats

    @classmethod
    def of(cls, trials: Trials, edge: int, quiet_hz: Floats, settings: Mapping[str, Any]) -> Onsets:
        """Of some trials, whose activity in quiet is known."""
        window_ms, ms_per_frame = settings["window_ms"], trials.period_s * 1000
        times = [trials.x[start:stop] for start, stop in pairwise(trials.offsets.tolist())]
        since = [(x[(x >= edge) & (x < edge + window_ms / ms_per_frame)] - edge) * ms_per_frame for x in times]
        return cls(since, _fine_psths(trials, edge, window_ms, settings["fine_sigma_ms"]), quiet_hz)

    def peak_rate(self) -> float:
        """Each trial's rate where that of all others is highest, mean over trials, above quiet; NaN of one trial."""
        if len(self.rates) < 2:
            return NAN
        at = (self.rates.sum(axis=0) - self.rates).argmax(axis=1)
        return float(self.rates[np.arange(len(at)), at].mean() - self.quiet_hz.mean())

    def segment(self) -> tuple[float, float, float]:
        """Begin, end and rate of one trial (spikes/s) of the segment that is most unlike quiet; NaN without one."""
        from hdmea.features.onset import highest_segment

        pooled, quiet = np.sort(np.concatenate(self.times)), _min_quiet(self.quiet_hz.sum()).item()
        window = float(self.rates.shape[1])
        first, last, rate = highest_segment(pooled, window, quiet, SHORTEST_MS, MAX_ENDS).tolist()
        return first, last, rate * 1000 / len(self.times)

    def latencies(self) -> dict[str, float]:
        """`latency_ms`, its standard error, and where the segment begins."""
        count = len(self.times)
        summed, segment = self.rates.sum(axis=0), self.segment()
        latency = _half_heights_ms((summed / count)[None], self.quiet_hz.mean(), segment[2]).item()
        error = NAN
        if count > 1 and not np.isnan(latency):
            quiet = (self.quiet_hz.sum() - self.quiet_hz) / (count - 1)
            without = _half_heights_ms((summed - self.rates) / (count - 1), quiet, self._rates_without())
            error = float(np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum()))
        return {"latency_ms": latency, "latency_se_ms": error, "latency_onset_ms": segment[0]}

    def _rates_without(self) -> Floats:
        """The rate of `segment` (trials,) without each of the trials."""
        from hdmea.features.onset import segments_without

        count = len(self.times)
        pooled, trial = np.concatenate(self.times), np.repeat(np.arange(count), [len(times) for times in self.times])
        order = np.argsort(pooled, kind="stable")
        others = np.nonzero(~np.eye(count, dtype=np.bool_))[1].reshape(count, count - 1)
        quiet = _min_quiet(self.quiet_hz[others].sum(axis=1))
        window = float(self.rates.shape[1])
        segments = segments_without(pooled[order], trial[order], quiet, window, SHORTEST_MS, MAX_ENDS)
        rates: Floats = segments[:, 2] * 1000 / (count - 1)
        return rates


def _min_quiet(summed_hz: Floats) -> Floats:
    """Spikes/ms of all trials in quiet, where there may have been none."""
    return np.asarray(np.maximum(summed_hz, MIN_QUIET_HZ) / 1000)


def _fine_psths(trials: Trials, edge: int, window_ms: float, sigma_ms: float) -> Floats:
    """Spikes/s (trials, ms) in bins of 1 ms from an edge, smoothed with what is on both sides."""
    from hdmea.features.psth import bin_counts, smoothed

    frames_per_ms = 0.001 / trials.period_s
    pad = min(int(4 * sigma_ms), int(edge / frames_per_ms))
    first = edge - pad * frames_per_ms
    bins = pad + round(window_ms) + int(4 * sigma_ms)
    counts = bin_counts(trials.x, trials.offsets, first, frames_per_ms, bins)
    return np.asarray(smoothed(counts * 1000, sigma_ms)[:, pad : pad + round(window_ms)])


def _half_heights_ms(rates: Floats, quiet_hz: Floats, heights_hz: Floats | float) -> Floats:
    """First crossing by rates (rows, ms) of the middle of quiet and a height (rows,), linear between the bins' centres.

    NaN where one never does, or is above already in the first bin: there is no onset.
    """
    half = np.broadcast_to(quiet_hz + (heights_hz - quiet_hz) / 2, len(rates))
    row, at = np.arange(len(rates)), np.argmax(rates >= half[:, None], axis=1)
    crossings = np.full(len(rates), NAN)
    crossing = at > 0
    row, at = row[crossing], at[crossing]
    before = rates[row, at - 1]
    crossings[crossing] = at - 0.5 + (half[crossing] - before) / (rates[row, at] - before)
    return crossings


def _first_spike_jitter_ms(trials: Trials, edge: int, window_ms: float) -> float:
    """SD over the trials that have a spike in the window; NaN for fewer than two."""
    window = window_ms / 1000 / trials.period_s
    first = []
    for start, stop in pairwise(trials.offsets.tolist()):
        spikes = trials.x[start:stop]
        at = int(np.searchsorted(spikes, edge))
        if at < len(spikes) and spikes[at] < edge + window:
            first.append(spikes[at])
    return float(np.std(first, ddof=1) * trials.period_s * 1000) if len(first) > 1 else NAN
