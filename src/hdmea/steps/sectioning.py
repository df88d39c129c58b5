"""Every unit's spikes, cut into the trials of each movie."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from h5burst import collection_paused
from hdmea.features.trials import left_out_trials, lies_in_sections
from hdmea.io.stimulus_config import (
    CONFIG_DIR_VARIABLE,
    SHIPPED_CONFIG_DIR,
    SectionKwargs,
    StimulusConfig,
    has_stimulus_config,
    load_stimulus_configs,
)
from hdmea.kernels.sections import SortedTrains
from hdmea.kernels.trains import as_int64, to_ragged
from hdmea.session.file import stage1_completed
from hdmea.steps.frames import (
    acquisition_rate_of,
    convert_frame_to_sample_index,
    convert_sample_index_to_frame,
    frame_timestamps_of,
)
from hdmea.steps.run_step import AlreadyDoneError, Outcome, Target, run_step
from hdmea.steps.section_time import PLAYLIST_MOVIES
from hdmea.steps.section_windows import WINDOWS
from hdmea.utils.clock import utc_now
from hdmea.utils.defaults import chosen_path
from hdmea.utils.exceptions import ConfigurationError, MissingInputError

if TYPE_CHECKING:
    from hdmea.session.session import PipelineSession

Samples = npt.NDArray[np.int64]

# From a section's first frame to its movie's: fixed, whatever the margins that the section was made with.
PRE_MARGIN_FRAMES = 60
STEP = "section_spike_times"
DEFAULT_CONFIG_DIR: str | Path = SHIPPED_CONFIG_DIR  # scripts assign another path to this name


@dataclass
class SectionResult:
    """Result of `section_spike_times`: numbers of units and movies, and the margins in seconds and samples.

    Attributes
    ----------
    success
        True: what fails raises.
    units_processed, movies_processed
        Units and movies (sections) that were cut.
    trial_repeats
        As it was given; without effect.
    pad_margin
        (before, after) in seconds, as it was asked for.
    pre_samples, post_samples
        The same in samples.
    warnings
        What was logged as a warning on the way.

    Examples
    --------
    >>> from hdmea.pipeline import add_section_windows, section_spike_times
    >>> add_section_windows("loaded.h5", length_s=10.0)
    True
    >>> result = section_spike_times("loaded.h5", pad_margin=(0.5, 0.0))
    >>> result.units_processed, result.movies_processed, result.pre_samples
    (12, 1, 500)
    """

    success: bool
    units_processed: int
    movies_processed: int
    trial_repeats: int
    pad_margin: tuple[float, float]
    pre_samples: int
    post_samples: int
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TrialWindows:
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

    A trial that ends after its section is left out, with a warning that says which and by how much: what was recorded
    then is another stimulus.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    movie_names
        Default: all that have a section. Those that are not of the playlist and have no config (analog sections,
        windows) are then cut row by row.
    trial_repeats
        Deprecated, without effect: the configs say how many trials there are.
    pad_margin
        Seconds before and after each trial whose spikes belong to it as well: those in [start − pre, end + post).
    force
        Cut again movies that were cut before.
    config_dir
        Directory of `{movie}.json`; default what was assigned to `DEFAULT_CONFIG_DIR`, else `HDMEA_CONFIG_DIR`, else
        the configs that ship with the package.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    SectionResult or PipelineSession
        Counts of an immediate call; or `session`. `units[id]["spike_times_sectioned"][movie]` holds
        `trials_spike_times` (trial → int64 samples), `full_spike_times` (their sorted union without repeats) and
        `trials_start_end` (n, 2) int64, without margins.

    Raises
    ------
    MissingInputError
        No recording, no section of a movie, or no frame timestamps.
    ValueError
        Configs that are missing or invalid, all of them listed.
    ConfigurationError
        A margin that is negative or no pair.
    FileExistsError
        Immediate mode, without `force`: a movie was cut before. With a session that is a warning.

    Examples
    --------
    >>> from hdmea.pipeline import PipelineSession, add_section_windows, section_spike_times
    >>> session = add_section_windows(length_s=10.0, session=PipelineSession.load("loaded.h5"))
    >>> session = section_spike_times(session=session)
    >>> section = session.units["unit_001"]["spike_times_sectioned"]["window"]
    >>> section["trials_start_end"][0], len(section["trials_spike_times"])
    (array([    0, 10000]), 4)
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
        directory = chosen_path(config_dir, DEFAULT_CONFIG_DIR, SHIPPED_CONFIG_DIR, (CONFIG_DIR_VARIABLE,))
        outcome = Outcome(SectionResult(True, 0, len(movies), trial_repeats, margin, before, after))
        trials = trials_of(recording, movies, directory, outcome, named=movie_names is not None)
        cut_trials(recording, trials, (margin, before, after), outcome)
        return outcome

    return run_step(STEP, step, hdf5_path, session)


def _checked_margin(pad_margin: Sequence[float]) -> tuple[float, float]:
    margin = tuple(float(seconds) for seconds in pad_margin)
    if len(margin) != 2 or not all(0 <= seconds < float("inf") for seconds in margin):
        raise ConfigurationError(f"pad_margin must be two times in seconds that are not negative, not {pad_margin}")
    return margin[0], margin[1]


def _movies(recording: PipelineSession, requested: Sequence[str] | None) -> list[str]:
    if not stage1_completed(recording):
        raise MissingInputError(f"{STEP} needs units: run load_recording first", STEP, "units")
    sections = recording.stimulus.get("section_time") or {}
    movies = list(sections) if requested is None else list(dict.fromkeys(requested))
    if not movies or (missing := [movie for movie in movies if movie not in sections]):
        needed = f"sections of {', '.join(missing)}" if movies else "sections"
        message = f"{STEP} needs {needed} in stimulus/section_time: run add_section_time (or add_section_windows) first"
        raise MissingInputError(message, STEP, "section_time")
    return movies


def _is_done(recording: PipelineSession, movie: str) -> bool:
    return any(movie in (unit.get("spike_times_sectioned") or {}) for unit in recording.units.values())


# ---------------------------------------------------------------- when the trials were


def trials_of(
    recording: PipelineSession, movies: Sequence[str], config_dir: Path, outcome: Outcome[Any], *, named: bool
) -> dict[str, TrialWindows]:
    """Times of each movie's trials; a section that needs no config is cut row by row.

    Trials that do not lie in their section are left out, those that the recording's end cuts short are kept, both with
    a warning. named: the movies were asked for by name. Raises `ValueError` that lists every config that is missing or
    invalid.
    """
    sections = recording.stimulus["section_time"]
    with_config = [movie for movie in movies if _needs_config(recording, movie, config_dir, named)]
    configs = load_stimulus_configs(with_config, config_dir)
    trials: dict[str, TrialWindows] = {}
    for movie in movies:
        rows = np.asarray(sections[movie]).astype(np.int64).reshape(-1, 2)
        if movie in configs:
            trials[movie] = _trials_within(recording, configs[movie], rows, outcome)
        else:
            trials[movie] = TrialWindows(rows, 1)
    return trials


def _trials_within(
    recording: PipelineSession, config: StimulusConfig, rows: Samples, outcome: Outcome[Any]
) -> TrialWindows:
    """The trials that a config says, but for those that do not lie in their section."""
    timestamps, rate_hz = frame_timestamps_of(recording, STEP), acquisition_rate_of(recording, STEP)
    samples = _trial_samples(rows, config.section, timestamps)
    if (message := left_out_trials(config.movie, samples, rows, rate_hz)) is not None:
        outcome.warn(f"{STEP}: {message}")
    samples = samples[lies_in_sections(samples, rows)]
    shown = np.diff(convert_sample_index_to_frame(samples, timestamps), axis=1)[:, 0]
    for trial in np.flatnonzero(shown < config.section.trial_length_frame).tolist():
        outcome.warn(
            f"{STEP}: {config.movie}: the recording ends {shown[trial]} frames after the start of trial {trial}, which "
            f"takes {config.section.trial_length_frame}: features leave it out"
        )
    return TrialWindows(samples, config.section.repeat)


def _needs_config(recording: PipelineSession, movie: str, config_dir: Path, named: bool) -> bool:
    """Windows never do; a movie that is asked for by name does.

    Of the others those of the playlist, where it is known.
    """
    if movie in (recording.metadata.get(WINDOWS) or {}):
        return False
    playlist = recording.metadata.get(PLAYLIST_MOVIES)
    if named or playlist is None or movie in list(playlist):
        return True
    return has_stimulus_config(movie, config_dir)


def _trial_samples(rows: Samples, kwargs: SectionKwargs, timestamps: Samples) -> Samples:
    """First and last sample of every trial of every presentation (n, 2), presentation by presentation."""
    section_start = convert_sample_index_to_frame(rows[:, 0], timestamps)
    first = (section_start[:, None] + PRE_MARGIN_FRAMES + kwargs.trial_starts()[None, :]).ravel()
    bounds = np.stack([first, first + kwargs.trial_length_frame], axis=1)
    samples: Samples = convert_frame_to_sample_index(bounds, timestamps).astype(np.int64)
    return samples


# ---------------------------------------------------------------- cutting


def _spike_trains(recording: PipelineSession, outcome: Outcome[SectionResult]) -> dict[str, npt.NDArray[Any]]:
    trains = {}
    for unit_id, unit in recording.units.items():
        spikes = unit.get("spike_times")
        if spikes is None:
            outcome.warn(f"{unit_id} has no spike_times: not sectioned")
            continue
        train = np.asarray(spikes)
        trains[unit_id] = as_int64(train if train.dtype.kind in "iu" else train.astype(np.int64))
    return trains


@collection_paused()
def cut_trials(
    recording: PipelineSession,
    trials: Mapping[str, TrialWindows],
    margins: tuple[tuple[float, float], int, int],
    outcome: Outcome[SectionResult],
) -> None:
    """Every unit's spikes of each movie's trials, into the session; margins: in seconds, and both in samples."""
    spikes = _spike_trains(recording, outcome)
    trains = SortedTrains(*to_ragged(list(spikes.values())))
    now = utc_now()
    pad_margin, before, after = margins
    for movie, shown in trials.items():
        cut = trains.cut(shown.start_end, before, after)
        how = {
            "trial_repeats": shown.repeat,
            "pad_margin": pad_margin,
            "pre_samples": before,
            "post_samples": after,
            "created_at": now,
        }
        for unit_id, (parts, union) in zip(spikes, cut, strict=True):
            section = {
                "full_spike_times": union.copy(),
                "trials_spike_times": dict(enumerate(_in_one_buffer(parts))),
                "trials_start_end": shown.start_end.copy(),
                **how,
            }
            recording.units[unit_id].setdefault("spike_times_sectioned", {})[movie] = section
            outcome.changed.append(("units", unit_id, "spike_times_sectioned", movie))
    outcome.result.units_processed = len(spikes)
    outcome.result.warnings = outcome.warnings


def _in_one_buffer(pieces: list[Samples]) -> list[Samples]:
    """Copies of the pieces, views of one new buffer: so that changing one changes nothing else."""
    buffer = np.concatenate(pieces) if pieces else np.empty(0, np.int64)
    ends = list(accumulate(map(len, pieces), initial=0))
    return [buffer[start:stop] for start, stop in pairwise(ends)]
