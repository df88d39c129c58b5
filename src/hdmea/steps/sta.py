"""Spike-triggered average of the noise movie: what was shown, on average, before a spike."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hdmea.geometry.movie_correlation import movie_correlation
from hdmea.geometry.receptive_field import hold_frames
from hdmea.io.stimulus_config import SHIPPED_CONFIG_DIR
from hdmea.kernels.sta import triggered_average
from hdmea.kernels.trains import as_int64, to_ragged
from hdmea.session.feature_layout import sta_feature
from hdmea.steps.frames import convert_sample_index_to_frame, frame_timestamps_of
from hdmea.steps.reasons import without_sections
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.steps.sectioning import PRE_MARGIN_FRAMES
from hdmea.utils.defaults import chosen_path
from hdmea.utils.exceptions import ConfigurationError, DataLoadError, MissingInputError, MissingMovieError

if TYPE_CHECKING:
    from hdmea.session.session import PipelineSession

logger = logging.getLogger(__name__)

STIMULI_DIR_VARIABLE = "HDMEA_STIMULI_DIR"
STEP = "compute_sta"
_SHIPPED_STIMULI = SHIPPED_CONFIG_DIR  # no movies ship
if TYPE_CHECKING:
    DEFAULT_STIMULI_DIR: str | Path  # scripts assign another path to this name; see __getattr__


@dataclass
class STAResult:
    """Result of `compute_sta`: counts of units, and the IDs of those for which there is no STA.

    Attributes
    ----------
    hdf5_path
        The recording's file; None for a session that was never saved.
    movie_name
        The noise movie.
    units_processed
        Units that got an STA.
    units_failed, failed_units
        How many units have none because no spike counts, and their IDs.
    cover_range
        (lo, hi) in frames, as it was asked for.
    elapsed_seconds
        Of the step.
    warnings
        What was logged as a warning on the way.

    Examples
    --------
    >>> from hdmea.features import compute_sta
    >>> result = compute_sta("recording.h5", stimuli_dir="stimuli", force=True)
    >>> result.movie_name, result.units_processed, result.failed_units
    ('dense_noise_15x15', 12, [])
    """

    hdf5_path: Path | None
    movie_name: str
    units_processed: int
    units_failed: int
    cover_range: tuple[int, int]
    elapsed_seconds: float
    warnings: list[str] = field(default_factory=list)
    failed_units: list[str] = field(default_factory=list)


def compute_sta(
    hdf5_path: Target = None,
    *,
    cover_range: tuple[int, int] = (-60, 0),
    use_multiprocessing: bool = True,
    stimuli_dir: str | Path | None = None,
    force: bool = False,
    session: PipelineSession | None = None,
) -> STAResult | PipelineSession:
    """The spike-triggered average (STA) of every unit for the noise movie's first presentation.

    For a spike in frame f of the movie, the frames `[f + lo, f + hi)` count, where they all are in the movie. The STA
    is their mean over spikes: float32 (hi − lo, height, width), NaN for a unit none of whose spikes count. It is
    exact for integer movies: integer sums, one division.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    cover_range
        (lo, hi) in frames.
    use_multiprocessing
        False: one thread.
    stimuli_dir
        Directory of `{movie}.npy` (frames, height, width); default what was assigned to `DEFAULT_STIMULI_DIR`, else the
        environment variable `HDMEA_STIMULI_DIR`.
    force
        Compute again what is there.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    STAResult or PipelineSession
        Counts of units; or `session`. `units[id]["features"]["sta_{movie}"]` holds `{"data": …, "metadata": {n_spikes,
        n_spikes_excluded, cover_range}}`.

    Raises
    ------
    ValueError
        `lo >= hi`; none or several sections whose name contains "noise"; an array that is not a movie.
    MissingInputError
        The movie's spikes were not sectioned, or there are no frame timestamps.
    ConfigurationError
        No directory of stimuli is known.
    FileNotFoundError
        It does not hold the movie.

    References
    ----------
    Chichilnisky 2001, Network: Comput. Neural Syst. 12:199.

    Examples
    --------
    >>> from hdmea.features import compute_sta
    >>> from hdmea.pipeline import PipelineSession
    >>> session = PipelineSession.load("recording.h5")
    >>> session = compute_sta(cover_range=(-30, 0), stimuli_dir="stimuli", force=True, session=session)
    >>> session.units["unit_001"]["features"]["sta_dense_noise_15x15"]["data"].shape
    (30, 15, 15)
    """
    lo, hi = (int(edge) for edge in cover_range)
    if lo >= hi:
        raise ValueError(f"Invalid cover_range {cover_range}: it must be (lo, hi) with lo < hi")

    def step(recording: PipelineSession) -> Outcome[STAResult]:
        started = time.perf_counter()
        movie = noise_movie(recording)
        outcome = Outcome(STAResult(recording.hdf5_path, movie, 0, 0, (lo, hi), 0.0))
        _compute(recording, movie, (lo, hi), stimuli_dir, 1 if not use_multiprocessing else None, force, outcome)
        outcome.result.warnings = outcome.warnings
        outcome.result.elapsed_seconds = time.perf_counter() - started
        return outcome

    return run_step(STEP, step, hdf5_path, session)


def noise_movie(recording: PipelineSession) -> str:
    """The one movie whose name contains "noise". `ValueError` for several, `MissingMovieError` for none."""
    sections = recording.stimulus.get("section_time") or {}
    if not sections:
        raise MissingInputError(f"{STEP} needs stimulus/section_time: run add_section_time first", STEP, "section_time")
    return _find_noise_movie_from_session(sections)


def _find_noise_movie_from_session(section_time: Mapping[str, Any]) -> str:
    """The one movie among sections whose name contains "noise". `ValueError` that says which there are otherwise."""
    movies = [movie for movie in section_time if "noise" in movie.lower()]
    needed = f"{STEP} needs one movie whose name contains 'noise', and there are"
    if not movies:
        raise MissingMovieError(f"{needed} none among {', '.join(section_time)}", STEP, "section_time")
    if len(movies) > 1:
        raise ValueError(f"{needed} several: {', '.join(movies)}")
    return str(movies[0])


def _compute(
    recording: PipelineSession,
    movie: str,
    cover_range: tuple[int, int],
    stimuli_dir: str | Path | None,
    threads: int | None,
    force: bool,
    outcome: Outcome[STAResult],
) -> None:
    trains = _first_trials(recording, movie, outcome)
    pending = [unit_id for unit_id in trains if force or not _has_sta(recording.units[unit_id], movie)]
    _warn_of_other_range(recording, movie, cover_range, set(trains) - set(pending))
    if not pending:
        return
    frames = _load_stimulus_movie(movie, stimuli_dir)
    _warn_of_short_movie(recording, movie, len(frames), outcome)
    _warn_of_correlated_movie(movie, frames, outcome)
    spikes, offsets = to_ragged([trains[unit_id] for unit_id in pending])
    shown = convert_sample_index_to_frame(spikes, frame_timestamps_of(recording, STEP)) - first_frame(recording, movie)
    images, counts = triggered_average(frames, shown, offsets, cover_range, threads=threads)
    totals = np.diff(offsets).tolist()
    for unit_id, image, count, total in zip(pending, images, counts.tolist(), totals, strict=True):
        if count == 0:
            outcome.warn(f"{unit_id}: no spike contributes to the STA of {movie}: it is NaN")
        figures = {"n_spikes": count, "n_spikes_excluded": total - count, "cover_range": cover_range}
        features = recording.units[unit_id].setdefault("features", {})
        features[sta_feature(movie)] = {"data": image, "metadata": figures}
        outcome.changed.append(("units", unit_id, "features", sta_feature(movie)))
    outcome.result.units_processed = len(pending)


def _has_sta(unit: dict[str, Any], movie: str) -> bool:
    feature = (unit.get("features") or {}).get(sta_feature(movie))
    return isinstance(feature, Mapping) and feature.get("data") is not None


def frames_of_first_trial(
    recording: PipelineSession, movie: str, unit: Mapping[str, Any]
) -> npt.NDArray[np.int64] | None:
    """The movie's frame in which each spike of a unit's first presentation fell; None where it was not sectioned."""
    section = (unit.get("spike_times_sectioned") or {}).get(movie) or {}
    trials = section.get("trials_spike_times") or {}
    trial = trials.get(0, trials.get("0"))
    if trial is None:
        return None
    shown: npt.NDArray[np.int64] = convert_sample_index_to_frame(
        as_int64(np.asarray(trial)), frame_timestamps_of(recording, STEP)
    )
    return shown - first_frame(recording, movie)


def _first_trials(recording: PipelineSession, movie: str, outcome: Outcome[STAResult]) -> dict[str, Any]:
    """Each unit's spikes of the movie's first presentation; units without are noted as failed."""
    trains: dict[str, Any] = {}
    for unit_id, unit in recording.units.items():
        section = (unit.get("spike_times_sectioned") or {}).get(movie) or {}
        trials = section.get("trials_spike_times") or {}
        trial = trials.get(0, trials.get("0"))
        if trial is None:
            outcome.result.failed_units.append(unit_id)
        else:
            trains[unit_id] = as_int64(np.asarray(trial))
    if recording.units and not trains:
        message = without_sections(STEP, movie, recording.stimulus.get("section_time") or {})
        raise MissingInputError(message, STEP, "spike_times_sectioned")
    for unit_id in outcome.result.failed_units:
        outcome.warn(f"{unit_id}: its spikes were not sectioned for {movie}: no STA")
    outcome.result.units_failed = len(outcome.result.failed_units)
    return trains


def _warn_of_other_range(
    recording: PipelineSession,
    movie: str,
    cover_range: tuple[int, int],
    skipped: set[str],
) -> None:
    """Log that what is there was asked for otherwise: of the call alone, so nothing is kept with the session."""
    for unit_id in sorted(skipped):
        covered = recording.units[unit_id]["features"][sta_feature(movie)].get("metadata", {}).get("cover_range")
        if covered is not None and tuple(covered) != cover_range:
            logger.warning("the STA that is there covers frames %s: pass force=True to compute it anew", tuple(covered))
            return


def default_stimuli_dir() -> Path:
    """The directory in `HDMEA_STIMULI_DIR`; where it names none, a path that counts as none given."""
    return Path(os.environ.get(STIMULI_DIR_VARIABLE) or _SHIPPED_STIMULI)


def assigned_stimuli_dir() -> str | Path:
    """Directory that a script assigned to `DEFAULT_STIMULI_DIR`; where none did, a path that counts as none given."""
    assigned: str | Path = globals().get("DEFAULT_STIMULI_DIR", _SHIPPED_STIMULI)
    return assigned


def __getattr__(name: str) -> Path:
    """`DEFAULT_STIMULI_DIR` as the environment says when it is read, until a script assigns it."""
    if name == "DEFAULT_STIMULI_DIR":
        return default_stimuli_dir()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def stimuli_directory(stimuli_dir: str | Path | None, assigned: str | Path, step: str) -> Path:
    """The directory of stimulus movies. Raises `ConfigurationError` where none is known."""
    given = None if stimuli_dir is not None and Path(stimuli_dir) == _SHIPPED_STIMULI else stimuli_dir
    directory = chosen_path(given, assigned, _SHIPPED_STIMULI, (STIMULI_DIR_VARIABLE,))
    if directory is _SHIPPED_STIMULI:
        raise ConfigurationError(
            f"{step} needs the directory of stimuli (movies as .npy): name it by stimuli_dir (in commands --stimuli) "
            f"or by {STIMULI_DIR_VARIABLE}"
        )
    return directory


def _load_stimulus_movie(movie_name: str, stimuli_dir: str | Path | None = None) -> np.ndarray[Any, Any]:
    """A movie's frames (frames, height, width), memory-mapped, from `{stimuli_dir}/{movie_name}.npy`.

    Raises `FileNotFoundError`; `DataLoadError` for what is not an array; `ValueError` for one that is not a movie;
    `ConfigurationError` where no directory is known.
    """
    path = stimuli_directory(stimuli_dir, assigned_stimuli_dir(), STEP) / f"{movie_name}.npy"
    if not path.exists():
        raise FileNotFoundError(f"Stimulus file not found: {path}, the frames of {movie_name}")
    try:
        frames: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataLoadError(f"{path} cannot be read as frames: {error}", path, error) from error
    if not isinstance(frames, np.ndarray) or frames.ndim != 3 or frames.dtype.kind not in "buif":
        shape = getattr(frames, "shape", "no array")
        raise ValueError(f"{path} must hold real numbers (frames, height, width), not {shape}")
    return frames


def first_frame(recording: PipelineSession, movie: str) -> int:
    """The frame of the recording that is the movie's first, in its first presentation."""
    start = np.asarray(recording.stimulus["section_time"][movie]).reshape(-1, 2)[0, 0]
    section_start: int = convert_sample_index_to_frame(int(start), frame_timestamps_of(recording, STEP))
    return section_start + PRE_MARGIN_FRAMES


def _warn_of_correlated_movie(movie: str, frames: npt.NDArray[Any], outcome: Outcome[STAResult]) -> None:
    correlation = movie_correlation(frames, hold_frames(frames))
    if correlation.correlated:
        outcome.warn(
            f"{movie} is correlated with itself ({correlation.largest:.2f}): receptive fields in its averages are "
            "wider and longer than they are; extract_rf_geometry(whiten=True) takes that out"
        )


def _warn_of_short_movie(recording: PipelineSession, movie: str, frames: int, outcome: Outcome[STAResult]) -> None:
    timestamps = frame_timestamps_of(recording, STEP)
    unit = next(u for u in recording.units.values() if movie in (u.get("spike_times_sectioned") or {}))
    start, end = convert_sample_index_to_frame(
        np.asarray(unit["spike_times_sectioned"][movie]["trials_start_end"])[0], timestamps
    )
    if end - start > frames:
        outcome.warn(
            f"{movie}.npy has {frames} frames, but its first trial lasts {end - start}: later spikes are excluded"
        )
