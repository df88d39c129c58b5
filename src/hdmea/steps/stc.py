"""Second-order receptive fields of cells whose spike-triggered average knows nothing: ON-OFF cells."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from hdmea.geometry import second_order_fields, second_order_record
from hdmea.session.feature_layout import sta_feature
from hdmea.session.session import PipelineSession
from hdmea.steps import sta
from hdmea.steps.per_unit import has_part, put_part, units_with
from hdmea.steps.reasons import without_result
from hdmea.steps.results import StepResult
from hdmea.steps.run_step import Outcome, Target, run_step

STEP = "compute_stc"
PART = "stc"


def compute_stc(
    hdf5_path: Target = None,
    *,
    movie_name: str | None = None,
    stimuli_dir: str | Path | None = None,
    force: bool = False,
    session: PipelineSession | None = None,
) -> StepResult | PipelineSession:
    """Look for a second-order field in every unit's response to the noise movie (`hdmea.geometry.second_order`).

    `units[id]["features"]["sta_{movie}"]["stc"]` holds the fields of `SecondOrderField`: `significant`, `p_value`, `z`,
    `sign` (1: the variance of light rises before spikes, as of ON-OFF cells), `field` (height, width), its
    `eigenvalue`, `center_col`, `center_row`, `sigma`, `lag_frames`. NaN and a `reason` where nothing is significant.
    The step is optional: no flow has it.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    movie_name, stimuli_dir
        As of `extract_rf_geometry`; here the movie itself is needed.
    force
        Compute again what is there.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    StepResult or PipelineSession
        Counts of units; or `session`.

    Raises
    ------
    MissingInputError
        No unit has a spike-triggered average of the movie, or there are no frame timestamps.
    ConfigurationError, FileNotFoundError
        No directory of stimuli is known, or it does not hold the movie.

    Notes
    -----
    The method is that of `hdmea.geometry.second_order_fields`.

    Examples
    --------
    >>> from hdmea.features import compute_stc
    >>> from hdmea.pipeline import PipelineSession
    >>> session = PipelineSession.load("recording.h5")
    >>> session = compute_stc(stimuli_dir="stimuli", session=session)
    >>> session.units["unit_001"]["features"]["sta_dense_noise_15x15"]["stc"]["field"].shape
    (15, 15)
    """

    def step(recording: PipelineSession) -> Outcome[StepResult]:
        started = time.perf_counter()
        movie = movie_name or sta.noise_movie(recording)
        feature = sta_feature(movie)
        with_sta = units_with(recording, feature, STEP, "compute_sta")
        pending = [unit_id for unit_id in with_sta if force or not has_part(recording.units[unit_id], feature, PART)]
        outcome = Outcome(StepResult(recording.hdf5_path, STEP, units_skipped=len(with_sta) - len(pending)))
        if pending:
            _compute(recording, movie, pending, stimuli_dir, outcome)
        outcome.result.elapsed_seconds = time.perf_counter() - started
        return outcome

    return run_step(STEP, step, hdf5_path, session)


def _compute(
    recording: PipelineSession,
    movie: str,
    pending: list[str],
    stimuli_dir: str | Path | None,
    outcome: Outcome[StepResult],
) -> None:
    frames, feature = sta._load_stimulus_movie(movie, stimuli_dir), sta_feature(movie)
    trains = [sta.frames_of_first_trial(recording, movie, recording.units[unit_id]) for unit_id in pending]
    fields = second_order_fields(frames, [np.empty(0, np.int64) if one is None else one for one in trains])
    for unit_id, one in zip(pending, fields, strict=True):
        path = put_part(unit_id, recording.units[unit_id], feature, PART, second_order_record(one))
        outcome.changed.append(path)
    reasons = {unit_id: one.reason for unit_id, one in zip(pending, fields, strict=True) if one.reason}
    for message in without_result(STEP, {name: why for name, why in reasons.items() if "spikes" in why}):
        outcome.warn(message)
    result = outcome.result
    result.failed_units = list(reasons)
    result.units_processed, result.units_failed = len(pending), len(reasons)
    result.warnings = outcome.warnings
