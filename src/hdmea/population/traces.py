"""Firing rates of every unit and trial, of one length over all recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.features.trials import lies_in_sections
from hdmea.io.stimulus_config import inherited_stimulus_config
from hdmea.session.layout import DIRECTION_SECTION
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import get_nested, number

Floats = npt.NDArray[np.float64]
Rates = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

BAR_PADDING = 40  # frames before and after the bar's passage
LIGHT_STEP, LIGHT_BIN_S, LIGHT_BINS = "iprgc_test", 1 / 60, 7200
LIGHT_TOLERANCE = 0.1  # of a light step's length by which a trial may be off
LENGTH_TOLERANCE = 1  # frames by which a unit's trials may differ from the usual length


@dataclass
class Traces:
    """The rates of one stimulus: `rates` (n_trials, T) float32, Hz, by the key of each unit.

    dropped: trials that were left out.
    """

    rates: dict[str, Rates] = field(default_factory=dict)
    dropped: int = 0


def unit_key(recording: str, unit_id: str) -> str:
    """`{recording}_unit_{nnn}`, by which every row of every table is known."""
    return f"{recording}_{unit_id}"


def rates_between(samples: Ints, edges: Ints, rate_hz: float) -> Rates:
    """Spikes/s between neighbouring edges (edges - 1,): counts in [edge, next edge) over the interval.

    samples: (spikes,) sorted; edges: (n,) samples, ascending; rate_hz: samples a second.
    """
    counts = np.bincount(np.searchsorted(edges, samples, side="right"), minlength=len(edges) + 1)[1 : len(edges)]
    return np.asarray(counts / (np.diff(edges) / rate_hz), np.float32)


def recording_traces(session: PipelineSession) -> dict[str, Traces]:
    """The rates of one recording by stimulus, trials of a unit cut to the shortest of them.

    Stimuli with frames: between frames, the frames that begin within the trial. `iprgc_test`: bins of 1/60 s from the
    first sample. The moving bar cut by direction is `{movie}_{degrees}`: from 40 frames before the bar's passage over
    the unit's field to 40 after it.
    """
    rate_hz = number(session.metadata.get("acquisition_rate"))
    frames = np.asarray(session.metadata.get("frame_timestamps", ())).astype(np.int64)
    by_movie: dict[str, Traces] = {}
    min_frames: dict[str, int] = {}  # frames of a complete trial
    for unit_id, unit in session.units.items():
        key = unit_key(session.dataset_id, unit_id)
        spikes = np.sort(np.asarray(unit.get("spike_times", ())).astype(np.int64))
        of_frames = rates_between(spikes, frames, rate_hz)
        for movie, section in (unit.get("spike_times_sectioned") or {}).items():
            bounds = np.asarray(section["trials_start_end"]).astype(np.int64).reshape(-1, 2)
            rows = get_nested(session.stimulus, "section_time", movie)
            usable = bounds[lies_in_sections(bounds, rows)]
            traces = by_movie.setdefault(movie, Traces())
            if movie not in min_frames:  # reading a config takes as long as a unit's traces
                config = inherited_stimulus_config(movie)
                min_frames[movie] = -1 if config is None else config.section.trial_length_frame - LENGTH_TOLERANCE
            if movie == LIGHT_STEP:
                _add_light_steps(traces, key, spikes, usable, rate_hz)
            else:
                _add_movie(traces, key, of_frames, _spans(usable, frames), min_frames[movie])
            for name, spans in _passages(session, movie, section, frames):
                _add(by_movie.setdefault(name, Traces()), key, [of_frames[first:last] for first, last in spans])
    return by_movie


def _add_light_steps(traces: Traces, key: str, spikes: Ints, bounds: Ints, rate_hz: float) -> None:
    """Add a unit's trials of long light, in bins of a sixtieth of a second."""
    length = LIGHT_BINS * LIGHT_BIN_S * rate_hz
    whole = np.abs(np.diff(bounds, axis=1)[:, 0] - length) <= LIGHT_TOLERANCE * length
    traces.dropped = max(traces.dropped, int((~whole).sum()))
    bins = np.rint(np.arange(LIGHT_BINS + 1) * LIGHT_BIN_S * rate_hz).astype(np.int64)
    counts = [np.diff(np.searchsorted(spikes, start + bins)) for start in bounds[whole, 0]]
    _add(traces, key, [np.asarray(one / LIGHT_BIN_S, np.float32) for one in counts])


def _spans(bounds: Ints, frames: Ints) -> list[tuple[int, int]]:
    """Of each trial the first of its frames and the one after its last."""
    first, stop = np.searchsorted(frames, bounds[:, 0]), np.searchsorted(frames, bounds[:, 1], side="right")
    return list(zip(first.tolist(), stop.tolist(), strict=True))


def _add_movie(traces: Traces, key: str, of_frames: Rates, spans: list[tuple[int, int]], min_frames: int) -> None:
    """Add a unit's trials; of_frames: its rates between all frames; a whole trial has more than min_frames."""
    complete = [(first, stop) for first, stop in spans if stop - first > min_frames]  # a short one would cut all others
    traces.dropped = max(traces.dropped, len(spans) - len(complete))
    _add(traces, key, [of_frames[first : stop - 1] for first, stop in complete if stop - first > 1])


def _add(traces: Traces, key: str, trials: list[Rates]) -> None:
    if trials:
        shortest = min(map(len, trials))
        traces.rates[key] = np.stack([trial[:shortest] for trial in trials])


def _passages(
    session: PipelineSession, movie: str, section: Mapping[str, Any], frames: Ints
) -> Iterable[tuple[str, list[tuple[int, int]]]]:
    """By direction the first frame and the last about each passage of the bar."""
    directions = section.get(DIRECTION_SECTION)
    rows = get_nested(session.stimulus, "section_time", movie)
    if not isinstance(directions, Mapping) or rows is None:
        return
    padding = round(number(get_nested(directions, "_attrs", "padding_frames"), 10.0))
    start = int(np.asarray(rows).reshape(-1, 2)[0, 0])
    first = int(np.searchsorted(frames, start, side="right")) - 1 + 60  # where the movie begins in its section
    for angle, part in directions.items():
        if angle == "_attrs":
            continue
        bounds = np.asarray(part["section_bounds"]).reshape(-1, 2).astype(np.int64)
        seen = bounds[bounds[:, 1] > 0]
        on, off = seen[:, 0] + padding - BAR_PADDING, seen[:, 1] - padding + BAR_PADDING
        spans = [(first + a, first + b + 1) for a, b in zip(on.tolist(), off.tolist(), strict=True)]
        yield f"{movie}_{angle}", [(a, b) for a, b in spans if a >= 0 and b < len(frames)]


def usual_lengths(lengths: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Of units' trials and bins (n_trials, T), those whose bins differ from the usual number by a frame at most."""
    usual = Counter(bins for _, bins in lengths.values()).most_common(1)[0][0]
    return {key: one for key, one in lengths.items() if abs(one[1] - usual) <= LENGTH_TOLERANCE}
