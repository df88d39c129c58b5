"""Every unit's spikes, cut into the trials of each movie."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hdmea.io.section_time import (
    WINDOWS,
    acquisition_rate_of,
    convert_frame_to_sample_index,
    convert_sample_index_to_frame,
    frame_timestamps_of,
)
from hdmea.io.session_file import stage1_completed
from hdmea.io.stimulus_config import SectionKwargs, load_stimulus_configs
from hdmea.pipeline.both_ways import AlreadyDoneError, Outcome, Target, run_step
from hdmea.utils.clock import utc_now
from hdmea.utils.exceptions import ConfigurationError, MissingInputError

if TYPE_CHECKING:
    from hdmea.pipeline.session import PipelineSession

Samples = npt.NDArray[np.int64]

# From a section's first frame to its movie's: fixed, whatever the margins that the section was made with.
PRE_MARGIN_FRAMES = 60
STEP = "section_spike_times"


@dataclass
class SectionResult:
    """What `section_spike_times` did: how many units and movies, and the margins in seconds and samples."""

    success: bool
    units_processed: int
    movies_processed: int
    trial_repeats: int
    pad_margin: tuple[float, float]
    pre_samples: int
    post_samples: int
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Trials:
    """The trials of one movie: first and last sample of each (n, 2), and how often its config repeats them."""

    start_end: Samples
    repeat: int


def section_spike_times(
    hdf5_path: Target = None,
    *,
    movie_names: Sequence[str] | None = None,
    trial_repeats: int = 3,
    pad_margin: tuple[float, float] = (0.0, 0.0),
    force: bool = False,
    config_dir: str | Path | None = None,
    session: PipelineSession | None = None,
) -> SectionResult | PipelineSession:
    """Cut every unit's spikes into trials, as each movie's config says; a regular window is one trial.

    Parameters
    ----------
    movie_names
        Default: all that have a section.
    pad_margin
        Seconds before and after each trial whose spikes belong to it as well: those in [start − pre, end + post).
    config_dir
        Folder of `{movie}.json`; default `HDMEA_CONFIG_DIR`, else the configs that ship with the package.
    trial_repeats
        Deprecated, without effect: the configs say how many trials there are.

    Returns
    -------
    SectionResult or PipelineSession
        `units[id]["spike_times_sectioned"][movie]` holds `trials_spike_times` (trial → int64 samples),
        `full_spike_times` (their sorted union without repeats) and `trials_start_end` (n, 2), without margins.

    Raises
    ------
    MissingInputError
        No recording, no section of a movie, or no frame timestamps.
    ValueError
        Configs that are missing or invalid, all of them listed.
    FileExistsError
        A movie was sectioned before, without `force`; with a session a warning.
    """
    if trial_repeats != 3:
        message = "trial_repeats has no effect: the stimulus configs say how many trials there are"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
    margin = _checked_margin(pad_margin)

    def step(recording: PipelineSession) -> Outcome[SectionResult]:
        movies = _movies(recording, movie_names)
        if not force and (done := [movie for movie in movies if _is_done(recording, movie)]):
            raise AlreadyDoneError(f"{STEP} was done already ({', '.join(done)})")
        rate = acquisition_rate_of(recording, STEP)
        before, after = (round(seconds * rate) for seconds in margin)
        trials = trials_of(recording, movies, config_dir)
        outcome = Outcome(SectionResult(True, 0, len(movies), trial_repeats, margin, before, after))
        cut = _cut(recording, trials, (before, after))
        _store(recording, cut, trials, (margin, before, after), outcome)
        return outcome

    return run_step(STEP, step, hdf5_path, session)


def _checked_margin(pad_margin: Sequence[float]) -> tuple[float, float]:
    margin = tuple(float(seconds) for seconds in pad_margin)
    if len(margin) != 2 or not all(0 <= seconds < float("inf") for seconds in margin):
        raise ConfigurationError(f"pad_margin must be two times in seconds that are not negative, not {pad_margin}")
    return margin[0], margin[1]


def _movies(recording: PipelineSession, wanted: Sequence[str] | None) -> list[str]:
    if not stage1_completed(recording):
        raise MissingInputError(f"{STEP} needs units: run load_recording first", STEP, "units")
    sections = recording.stimulus.get("section_time") or {}
    movies = list(sections) if wanted is None else list(dict.fromkeys(wanted))
    if not movies or (missing := [movie for movie in movies if movie not in sections]):
        what = f"sections of {', '.join(missing)}" if movies else "sections"
        message = f"{STEP} needs {what} in stimulus/section_time: run add_section_time (or add_section_windows) first"
        raise MissingInputError(message, STEP, "section_time")
    return movies


def _is_done(recording: PipelineSession, movie: str) -> bool:
    return any(movie in (unit.get("spike_times_sectioned") or {}) for unit in recording.units.values())


# ---------------------------------------------------------------- when the trials were


def trials_of(recording: PipelineSession, movies: Sequence[str], config_dir: str | Path | None) -> dict[str, Trials]:
    """When each movie's trials were. Raises `ValueError` that lists every config that is missing or invalid."""
    sections = recording.stimulus["section_time"]
    windows = recording.metadata.get(WINDOWS) or {}
    configs = load_stimulus_configs([movie for movie in movies if movie not in windows], config_dir)
    trials: dict[str, Trials] = {}
    for movie in movies:
        rows = np.asarray(sections[movie]).astype(np.int64).reshape(-1, 2)
        if movie in configs:
            kwargs = configs[movie].section
            trials[movie] = Trials(_trial_samples(rows, kwargs, frame_timestamps_of(recording, STEP)), kwargs.repeat)
        else:
            trials[movie] = Trials(rows, 1)
    return trials


def _trial_samples(rows: Samples, kwargs: SectionKwargs, timestamps: Samples) -> Samples:
    """First and last sample of every trial of every presentation (n, 2), presentation by presentation."""
    section_start = convert_sample_index_to_frame(rows[:, 0], timestamps)
    first = (section_start[:, None] + PRE_MARGIN_FRAMES + kwargs.trial_starts()[None, :]).ravel()
    bounds = np.stack([first, first + kwargs.trial_length_frame], axis=1)
    samples: Samples = convert_frame_to_sample_index(bounds, timestamps).astype(np.int64)
    return samples


# ---------------------------------------------------------------- cutting


def _cut(
    recording: PipelineSession, trials: dict[str, Trials], margin: tuple[int, int]
) -> dict[str, dict[str, tuple[Samples, list[Samples]]]]:
    """For each movie and unit: the union of its trials' spikes, and each trial's, views of one buffer."""
    trains = {unit_id: _sorted_spikes(unit) for unit_id, unit in recording.units.items() if _has_spikes(unit)}
    return {
        movie: {unit_id: _cut_train(train, shown.start_end, margin) for unit_id, train in trains.items()}
        for movie, shown in trials.items()
    }


def _has_spikes(unit: dict[str, Any]) -> bool:
    return unit.get("spike_times") is not None


def _sorted_spikes(unit: dict[str, Any]) -> Samples:
    spikes = np.asarray(unit["spike_times"]).astype(np.int64)
    return np.sort(spikes) if np.any(spikes[1:] < spikes[:-1]) else spikes


def _cut_train(train: Samples, start_end: Samples, margin: tuple[int, int]) -> tuple[Samples, list[Samples]]:
    first = np.searchsorted(train, np.maximum(start_end[:, 0] - margin[0], 0))
    last = np.maximum(np.searchsorted(train, start_end[:, 1] + margin[1]), first)
    pieces = [train[start:stop] for start, stop in zip(first.tolist(), last.tolist(), strict=True)]
    buffer = np.concatenate([*pieces, train[:0]])
    bounds = np.concatenate([[0], np.cumsum(last - first)]).tolist()
    return np.unique(buffer), [buffer[start:stop] for start, stop in itertools.pairwise(bounds)]


def _store(
    recording: PipelineSession,
    cut: dict[str, dict[str, tuple[Samples, list[Samples]]]],
    trials: dict[str, Trials],
    margins: tuple[tuple[float, float], int, int],
    outcome: Outcome[SectionResult],
) -> None:
    now = utc_now()
    pad_margin, before, after = margins
    for movie, by_unit in cut.items():
        start_end, repeat = trials[movie].start_end, trials[movie].repeat
        for unit_id, (full, pieces) in by_unit.items():
            section = {
                "full_spike_times": full,
                "trials_spike_times": dict(enumerate(pieces)),
                "trials_start_end": start_end.copy(),
                "trial_repeats": repeat,
                "pad_margin": pad_margin,
                "pre_samples": before,
                "post_samples": after,
                "created_at": now,
            }
            recording.units[unit_id].setdefault("spike_times_sectioned", {})[movie] = section
            outcome.changed.append(("units", unit_id, "spike_times_sectioned", movie))
    outcome.result.units_processed = sum(_has_spikes(unit) for unit in recording.units.values())
    for unit_id, unit in recording.units.items():
        if not _has_spikes(unit):
            outcome.warn(f"{unit_id} has no spike_times: not sectioned")
    outcome.result.warnings = outcome.warnings
