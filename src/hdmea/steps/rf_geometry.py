"""The receptive field of each cell, from its spike-triggered average."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hdmea.geometry import MovieCorrelation, field_record, hold_frames, movie_correlation, receptive_field
from hdmea.session.feature_layout import sta_feature
from hdmea.session.session import PipelineSession
from hdmea.steps import sta
from hdmea.steps.per_unit import (
    Unit,
    feature_data,
    frame_period_s,
    has_part,
    number,
    put_part,
    run_units,
    units_with,
)
from hdmea.steps.results import StepResult
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.utils.exceptions import ConfigurationError

STEP = "extract_rf_geometry"
GEOMETRY = "sta_geometry"
USUAL_HOLD_FRAMES = 4  # of a 15 Hz movie on a 60 Hz screen, where the movie is not at hand


def extract_rf_geometry(
    hdf5_path: Target = None,
    *,
    movie_name: str | None = None,
    stimuli_dir: str | Path | None = None,
    whiten: bool = False,
    force: bool = False,
    session: PipelineSession | None = None,
) -> StepResult | PipelineSession:
    """Detect and fit the receptive field in every unit's spike-triggered average (`hdmea.geometry.receptive_field`).

    `units[id]["features"]["sta_{movie}"]["sta_geometry"]` holds the fields of `ReceptiveField` and `TimeCourse`:
    `center_row`, `center_col` (pixels from 0), `size_x`, `size_y`, `area`, `equivalent_diameter`, `peak_frame`,
    `sta_time_course`, `diff_map`; `gaussian_fit`, `DoG` and `ONOFF_model`. Without a significant field they are NaN.
    `movie_correlation` is the movie's largest with itself (NaN where the movie is not at hand): above 0.1, which is a
    warning too, fields are wider than they are, unless `whitened`.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    movie_name
        Default: the one whose name contains "noise".
    stimuli_dir
        As of `compute_sta`; from the movie comes how long each pattern is shown (without it: 4 frames), and its
        correlation with itself.
    whiten
        Fit averages without that correlation (`MovieCorrelation.whitened`), where it is above 0.1.
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
        No unit has an STA of the movie.
    ConfigurationError, FileNotFoundError
        `whiten`, and the movie is not at hand.

    Notes
    -----
    The method is that of `hdmea.geometry.receptive_field`.

    Examples
    --------
    >>> from hdmea.features import extract_rf_geometry
    >>> from hdmea.pipeline import PipelineSession
    >>> session = PipelineSession.load("recording.h5")
    >>> session = extract_rf_geometry(stimuli_dir="stimuli", force=True, session=session)
    >>> field = session.units["unit_001"]["features"]["sta_dense_noise_15x15"]["sta_geometry"]
    >>> field["significant"], field["polarity"]
    (True, 1)
    """

    def step(recording: PipelineSession) -> Outcome[StepResult]:
        movie = movie_name or sta.noise_movie(recording)
        feature = sta_feature(movie)
        with_sta = units_with(recording, feature, STEP, "compute_sta")
        pending = [name for name in with_sta if force or not has_part(recording.units[name], feature, GEOMETRY)]
        correlation = _correlation(movie, stimuli_dir, whiten) if pending else None
        whitens = correlation is not None and whiten and correlation.correlated
        correlation_values = {
            "movie_correlation": float("nan") if correlation is None else correlation.largest,
            "whitened": whitens,
        }
        frame_s = frame_period_s(recording, STEP)

        def compute(unit_id: str, unit: Unit) -> tuple[dict[str, Any], str]:
            metadata = unit["features"][feature].get("metadata") or {}
            average = np.asarray(feature_data(unit, feature))
            field = receptive_field(
                correlation.whitened(average) if correlation is not None and whitens else average,
                last_frame=_last_frame(metadata.get("cover_range")),
                hold=USUAL_HOLD_FRAMES if correlation is None else correlation.hold,
                n_spikes=None if metadata.get("n_spikes") is None else round(number(metadata["n_spikes"])),
            )
            return {**field_record(field, frame_s), **correlation_values}, "" if field.significant else field.reason

        def store(unit_id: str, unit: Unit, record: dict[str, Any]) -> tuple[str, ...]:
            return put_part(unit_id, unit, feature, GEOMETRY, record)

        outcome = run_units(STEP, recording, pending, len(with_sta) - len(pending), compute, store)
        if correlation is not None and correlation.correlated and not whitens:
            outcome.warn(
                f"{movie} is correlated with itself ({correlation.largest:.2f}): receptive fields are wider and longer "
                "than they are; extract_rf_geometry(whiten=True) takes that out"
            )
        return outcome

    return run_step(STEP, step, hdf5_path, session)


def _last_frame(cover_range: Any) -> int:
    return 0 if cover_range is None else int(np.asarray(cover_range).ravel()[1])


def _correlation(movie: str, stimuli_dir: str | Path | None, needed: bool) -> MovieCorrelation | None:
    """Correlation of the movie with itself, and how long it shows a pattern; None where it is not at hand."""
    try:
        path = sta.stimuli_directory(stimuli_dir, sta.assigned_stimuli_dir(), STEP) / f"{movie}.npy"
    except ConfigurationError:
        if needed:
            raise
        return None
    if not path.exists():
        if needed:
            raise FileNotFoundError(f"Stimulus file not found: {path}, whose correlation is to be taken out")
        return None
    frames = np.load(path, mmap_mode="r", allow_pickle=False)
    return movie_correlation(frames, hold_frames(frames))
