"""Each cell's spikes while the moving bar passes over its receptive field, by direction and repetition."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hdmea.geometry import to_movie_pixels
from hdmea.io.stimulus_config import StimulusConfig, load_stimulus_config
from hdmea.session.feature_layout import STA_PREFIX
from hdmea.session.layout import DIRECTION_SECTION
from hdmea.session.session import PipelineSession
from hdmea.steps import sta
from hdmea.steps.align import ALIGNMENT, BAR_MOVIE, BAR_PIXELS
from hdmea.steps.bar_timing import BarTiming, timing_of_movie, timing_of_table
from hdmea.steps.frames import convert_sample_index_to_frame, frame_timestamps_of
from hdmea.steps.per_unit import IMAGE, number
from hdmea.steps.reasons import without_sections
from hdmea.steps.rf_geometry import GEOMETRY as FIELD
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.steps.soma import GEOMETRY as SOMA
from hdmea.utils.discovery import existing
from hdmea.utils.exceptions import ConfigurationError, MissingInputError

STEP = "section_by_direction"
DIRECTION_LIST = [0, 45, 90, 135, 180, 225, 270, 315]  # degrees, of the shipped bar movie
N_DIRECTIONS, N_REPETITIONS = 8, 3
DEFAULT_MOVIE_NAME = BAR_MOVIE
STA_GEOMETRY_FEATURE = "sta_perfect_dense_noise_15x15_15hz_r42_3min"
if TYPE_CHECKING:
    DEFAULT_STIMULI_DIR: str | Path  # scripts assign another path to this name; see __getattr__
_UNCOMMON = (".pkl", ".pickle")


@dataclass
class DirectionSectionResult:
    """Result of `section_by_direction`: counts of units, and the IDs of those whose field's centre is not known.

    Attributes
    ----------
    hdf5_path
        The recording's file; None for a session that was never saved.
    movie_name
        The bar movie.
    units_processed
        Units that were cut.
    units_skipped
        Units that had been cut before.
    units_failed, failed_units
        How many units have no known centre within the movie, and their IDs.
    padding_frames
        As it was asked for.
    elapsed_seconds
        Of the step.
    warnings
        What was logged as a warning on the way.

    Examples
    --------
    >>> from hdmea.features import section_by_direction
    >>> result = section_by_direction("recording.h5", stimuli_dir="stimuli", config_dir="stimuli", force=True)
    >>> result.movie_name, result.units_processed, result.failed_units
    ('moving_h_bar_s5_d8_3x', 12, [])
    """

    hdf5_path: Path | None
    movie_name: str
    units_processed: int = 0
    units_skipped: int = 0
    units_failed: int = 0
    failed_units: list[str] = field(default_factory=list)
    padding_frames: int = 10
    elapsed_seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)


def section_by_direction(
    hdf5_path: Target = None,
    *,
    movie_name: str = DEFAULT_MOVIE_NAME,
    on_off_dict_path: str | Path | None = None,
    padding_frames: int = 10,
    stimuli_dir: str | Path | None = None,
    config_dir: str | Path | None = None,
    force: bool = False,
    output_path: str | Path | None = None,
    unit_ids: Sequence[str] | None = None,
    session: PipelineSession | None = None,
) -> DirectionSectionResult | PipelineSession:
    """Cut every unit's spikes by the bar's passages over its receptive field.

    Stores `units[id]["spike_times_sectioned"][movie]["direction_section"]`: for each direction in degrees `trials`
    (repetition -> int64 frames of the movie, one a spike) and `section_bounds` (repetitions, 2) int64, the frames
    [on - padding, off + padding] in which they are; and `_attrs` (directions, repetitions, padding, the centre). A
    repetition in which the bar does not pass has the bounds -1 and no spikes.

    The centre is that of the fitted field, else where the soma is in the stimulus by `align_electrodes`; units
    without either are listed as failed. Passages come from the movie, or from a table.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    movie_name
        The bar movie.
    on_off_dict_path
        A table (`.npz`, CSV, Parquet): row, col, on_0 ... on_23, off_0 ... off_23. A `.pkl` is code and is not opened:
        the movie is used instead, with a warning.
    padding_frames
        Frames before and after each passage that belong to it.
    stimuli_dir
        As of `compute_sta`; scripts may assign `DEFAULT_STIMULI_DIR` of this module, too.
    config_dir
        Directory of `{movie}.json`, which says where the directions are; default as of `section_spike_times`.
    force
        Cut again units that were cut before.
    output_path
        Immediate mode: work on a copy of the file, which is written there.
    unit_ids
        Default all.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    DirectionSectionResult or PipelineSession
        Counts of an immediate call; or `session`.

    Raises
    ------
    MissingInputError
        The movie's spikes were not sectioned, or there are no frame timestamps.
    ConfigurationError
        Unknown units, a negative padding, neither movie nor table.
    FileNotFoundError, DataLoadError
        Of the movie or the table.

    Examples
    --------
    >>> from hdmea.features import section_by_direction
    >>> from hdmea.pipeline import PipelineSession
    >>> session = PipelineSession.load("recording.h5")
    >>> at = {"stimuli_dir": "stimuli", "config_dir": "stimuli"}
    >>> session = section_by_direction(**at, unit_ids=["unit_001"], force=True, session=session)
    >>> section = session.units["unit_001"]["spike_times_sectioned"]["moving_h_bar_s5_d8_3x"]["direction_section"]
    >>> [angle for angle in section if angle != "_attrs"], section[45]["section_bounds"].shape
    ([0, 45, 90, 135, 180, 225, 270, 315], (3, 2))
    """
    if padding_frames < 0:
        raise ConfigurationError(f"padding_frames must not be negative, not {padding_frames}")

    def step(recording: PipelineSession) -> Outcome[DirectionSectionResult]:
        started = time.perf_counter()
        outcome = Outcome(DirectionSectionResult(recording.hdf5_path, movie_name, padding_frames=padding_frames))
        pending = _wanted(recording, movie_name, unit_ids, force, outcome.result)
        if pending:
            config = load_stimulus_config(movie_name, config_dir)
            timing = _timing(movie_name, config, on_off_dict_path, stimuli_dir, outcome)
            _section(recording, movie_name, pending, timing, config, padding_frames, outcome)
        outcome.result.warnings = outcome.warnings
        outcome.result.elapsed_seconds = time.perf_counter() - started
        return outcome

    return run_step(STEP, step, _target(hdf5_path, output_path, session), session)


def _target(hdf5_path: Target, output_path: str | Path | None, session: PipelineSession | None) -> Target:
    if output_path is None or session is not None or hdf5_path is None:
        return hdf5_path
    source = existing(hdf5_path.ensure_saved() if isinstance(hdf5_path, PipelineSession) else hdf5_path)
    target = Path(output_path)
    if not (target.exists() and target.samefile(source)):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return target


def _wanted(
    recording: PipelineSession, movie: str, unit_ids: Sequence[str] | None, force: bool, result: DirectionSectionResult
) -> list[str]:
    if unknown := [name for name in unit_ids or () if name not in recording.units]:
        raise ConfigurationError(f"no units {', '.join(unknown)}; there are: {', '.join(recording.units) or 'none'}")
    chosen = list(recording.units if unit_ids is None else dict.fromkeys(unit_ids))
    sectioned = [name for name in chosen if movie in (recording.units[name].get("spike_times_sectioned") or {})]
    if chosen and not sectioned:
        message = without_sections(STEP, movie, recording.stimulus.get("section_time") or {})
        raise MissingInputError(message, STEP, "spike_times_sectioned")
    sections = {name: recording.units[name]["spike_times_sectioned"][movie] for name in sectioned}
    pending = [name for name in sectioned if force or DIRECTION_SECTION not in sections[name]]
    result.units_skipped = len(sectioned) - len(pending)
    return pending


def _timing(
    movie: str,
    config: StimulusConfig,
    table: str | Path | None,
    stimuli_dir: str | Path | None,
    outcome: Outcome[DirectionSectionResult],
) -> BarTiming:
    directions = len(config.parameters.get("directions_deg", DIRECTION_LIST))
    if table is not None and Path(table).suffix.lower() not in _UNCOMMON:
        return timing_of_table(Path(table), directions, (BAR_PIXELS, BAR_PIXELS))
    try:
        assigned = globals().get("DEFAULT_STIMULI_DIR", sta.assigned_stimuli_dir())
        timing = timing_of_movie(sta.stimuli_directory(stimuli_dir, assigned, STEP) / f"{movie}.npy", config)
    except (ConfigurationError, FileNotFoundError):
        if table is not None:
            return timing_of_table(Path(table), directions, (BAR_PIXELS, BAR_PIXELS))  # says how to convert it
        raise
    if table is not None:
        outcome.warn(f"{STEP}: {table} is a pickle, which is code, and is not opened: the movie's own timing is used")
    return timing


def _section(
    recording: PipelineSession,
    movie: str,
    unit_ids: Sequence[str],
    timing: BarTiming,
    config: StimulusConfig,
    padding: int,
    outcome: Outcome[DirectionSectionResult],
) -> None:
    timestamps = frame_timestamps_of(recording, STEP)
    first = sta.first_frame(recording, movie)
    for unit_id in unit_ids:
        unit = recording.units[unit_id]
        center = _center(recording, unit)
        passages = None if center is None else timing.at(*center)
        if center is None or passages is None:
            outcome.result.failed_units.append(unit_id)
            continue
        frames = convert_sample_index_to_frame(np.asarray(unit["spike_times"]).astype(np.int64), timestamps) - first
        section = unit["spike_times_sectioned"][movie]
        section[DIRECTION_SECTION] = _by_direction(frames, passages, center, config, padding)
        outcome.changed.append(("units", unit_id, "spike_times_sectioned", movie))
        outcome.result.units_processed += 1
    if failed := outcome.result.failed_units:
        outcome.warn(f"{STEP}: the field's centre is not known, or outside the movie, for {', '.join(failed)}")
    outcome.result.units_failed = len(failed)


def _by_direction(
    frames: npt.NDArray[np.int64],
    passages: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
    center: tuple[float, float],
    config: StimulusConfig,
    padding: int,
) -> dict[Any, Any]:
    on, off = (side.astype(np.int64) for side in passages)
    repetitions = len(on)
    degrees = [_degrees(angle) for angle in config.parameters.get("directions_deg", DIRECTION_LIST)]
    directions: dict[Any, Any] = {}
    for n, angle in enumerate(degrees):
        seen = on[:, n] >= 0
        bounds = np.stack([on[:, n] - padding, off[:, n] + padding], axis=1)
        bounds[~seen] = -1
        trials = {
            repetition: frames[(frames >= bounds[repetition, 0]) & (frames <= bounds[repetition, 1])]
            if seen[repetition]
            else np.empty(0, np.int64)
            for repetition in range(repetitions)
        }
        directions[angle] = {"trials": trials, "section_bounds": bounds}
    directions["_attrs"] = {
        "direction_list": np.array(degrees),
        "n_directions": len(degrees),
        "n_repetitions": repetitions,
        "padding_frames": padding,
        "cell_center_row": center[0],
        "cell_center_col": center[1],
    }
    return directions


def _degrees(angle: float) -> Any:
    return int(angle) if float(angle).is_integer() else float(angle)


# ---------------------------------------------------------------- centres


def _center(recording: PipelineSession, unit: Mapping[str, Any]) -> tuple[float, float] | None:
    """Row and column of a unit's field in pixels of the bar movie: of the fit, else by the soma's place, else None."""
    features = unit.get("features") or {}
    for name, feature in features.items():
        geometry = feature.get(FIELD) if name.startswith(STA_PREFIX) and isinstance(feature, Mapping) else None
        if isinstance(geometry, Mapping):
            center = [number(geometry.get(axis)) for axis in ("center_row", "center_col")]
            if np.isfinite(center).all():
                row, col = to_movie_pixels(center, _factor(recording, feature))
                return float(row), float(col)
    soma = (features.get(IMAGE) or {}).get(SOMA) or {}
    center = [number(soma.get(axis)) for axis in ("center_corrected_row", "center_corrected_col")]
    return (center[0], center[1]) if np.isfinite(center).all() else None


def _factor(recording: PipelineSession, feature: Mapping[str, Any]) -> float:
    factor = (recording.metadata.get(ALIGNMENT) or {}).get("bar_pixels_per_noise_pixel")
    return float(BAR_PIXELS / feature["data"].shape[2]) if factor is None else number(factor)


def __getattr__(name: str) -> Path:
    """`DEFAULT_STIMULI_DIR` as the environment says when it is read, until a script assigns it."""
    if name == "DEFAULT_STIMULI_DIR":
        return sta.default_stimuli_dir()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
