"""Linear-nonlinear model of a cell's rate from what its filter sees of the noise movie, with held-out frames."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from hdmea.geometry import LNModel, NoiseMovie, fit_ln_models, model_record
from hdmea.session.feature_layout import sta_feature
from hdmea.session.session import PipelineSession
from hdmea.steps import sta
from hdmea.steps.per_unit import frame_period_s, has_part, number, put_part, units_with
from hdmea.steps.reasons import without_result
from hdmea.steps.results import StepResult
from hdmea.steps.rf_geometry import GEOMETRY
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.utils.exceptions import MissingInputError

STEP = "fit_ln_model"
MODEL = "lnl"


def fit_ln_model(
    hdf5_path: Target = None,
    *,
    movie_name: str | None = None,
    stimuli_dir: str | Path | None = None,
    force: bool = False,
    session: PipelineSession | None = None,
) -> StepResult | PipelineSession:
    """Fit a linear-nonlinear model to every unit's response to the noise movie (`hdmea.geometry.ln_model`).

    `units[id]["features"]["sta_{movie}"]["sta_geometry"]["lnl"]` holds the fields of `LNModel`: `a`, `b`, `a_norm`,
    `bits_per_spike`, `r_squared`, `log_likelihood` and `null_log_likelihood` (all on frames that the filter was not
    fitted to), `rectification_index`, `nonlinearity_index`, `threshold_g`, `g_bin_centers`, `rate_vs_g` (Hz of real
    time) and more. NaN and a `reason` where none was fitted.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    movie_name, stimuli_dir
        As of `extract_rf_geometry`; here the movie itself is needed.
    force
        Fit again what is there.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    StepResult or PipelineSession
        Counts of units; or `session`.

    Raises
    ------
    MissingInputError
        No unit has a receptive field of the movie, or there are no frame timestamps.
    ConfigurationError, FileNotFoundError
        No directory of stimuli is known, or it does not hold the movie.

    Notes
    -----
    The method is that of `hdmea.geometry.fit_ln_models`.

    Examples
    --------
    >>> from hdmea.features import fit_ln_model
    >>> from hdmea.pipeline import PipelineSession
    >>> session = PipelineSession.load("recording.h5")
    >>> session = fit_ln_model(stimuli_dir="stimuli", force=True, session=session)
    >>> model = session.units["unit_001"]["features"]["sta_dense_noise_15x15"]["sta_geometry"]["lnl"]
    >>> model["bits_per_spike"] > 0
    True
    """

    def step(recording: PipelineSession) -> Outcome[StepResult]:
        started = time.perf_counter()
        movie = movie_name or sta.noise_movie(recording)
        feature = sta_feature(movie)
        with_field = [
            unit_id
            for unit_id in units_with(recording, feature, STEP, "compute_sta")
            if has_part(recording.units[unit_id], feature, GEOMETRY)
        ]
        if not with_field:
            message = f"{STEP} needs the receptive fields of {movie}: run extract_rf_geometry first"
            raise MissingInputError(message, STEP, GEOMETRY)
        pending = [unit_id for unit_id in with_field if force or not _is_there(recording, unit_id, feature)]
        outcome = Outcome(StepResult(recording.hdf5_path, STEP, units_skipped=len(with_field) - len(pending)))
        if pending:
            models = _fitted(recording, movie, pending, stimuli_dir)
            _store(recording, feature, models, outcome)
        outcome.result.elapsed_seconds = time.perf_counter() - started
        return outcome

    return run_step(STEP, step, hdf5_path, session)


def _is_there(recording: PipelineSession, unit_id: str, feature: str) -> bool:
    return MODEL in recording.units[unit_id]["features"][feature][GEOMETRY]


def _fitted(
    recording: PipelineSession, movie: str, unit_ids: list[str], stimuli_dir: str | Path | None
) -> dict[str, LNModel]:
    prepared = NoiseMovie.of(sta._load_stimulus_movie(movie, stimuli_dir))
    feature = sta_feature(movie)
    trains, z_scores = [], []
    for unit_id in unit_ids:
        unit = recording.units[unit_id]
        frames = sta.frames_of_first_trial(recording, movie, unit)
        trains.append(np.empty(0, np.int64) if frames is None else frames)
        z_scores.append(number(unit["features"][feature][GEOMETRY].get("z")))
    models = fit_ln_models(prepared, trains, z_scores, frame_period_s(recording, STEP))
    return dict(zip(unit_ids, models, strict=True))


def _store(recording: PipelineSession, feature: str, models: dict[str, LNModel], outcome: Outcome[StepResult]) -> None:
    result = outcome.result
    reasons: dict[str, str] = {}
    for unit_id, model in models.items():
        unit = recording.units[unit_id]
        geometry: dict[str, Any] = {**unit["features"][feature][GEOMETRY], MODEL: model_record(model)}
        outcome.changed.append(put_part(unit_id, unit, feature, GEOMETRY, geometry))
        if model.reason:
            reasons[unit_id] = model.reason
    for message in without_result(STEP, reasons):
        outcome.warn(message)
    result.failed_units = list(reasons)
    result.units_processed, result.units_failed = len(models), len(result.failed_units)
    result.warnings = outcome.warnings
