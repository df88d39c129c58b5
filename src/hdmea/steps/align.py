"""The map from the chip to the stimulus, from cells whose soma and receptive field are both known."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from hdmea.geometry import Alignment, align, alignment_record, to_movie_pixels
from hdmea.session.feature_layout import sta_feature
from hdmea.session.session import PipelineSession
from hdmea.steps import sta
from hdmea.steps.per_unit import (
    IMAGE,
    Unit,
    feature_data,
    has_part,
    number,
    put_part,
    units_with,
)
from hdmea.steps.results import StepResult
from hdmea.steps.rf_geometry import GEOMETRY as FIELD
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.steps.soma import GEOMETRY as SOMA
from hdmea.utils.exceptions import ConfigurationError, MissingInputError

STEP = "align_electrodes"
ALIGNMENT = "electrode_alignment"
BAR_MOVIE = "moving_h_bar_s5_d8_3x"
BAR_PIXELS = 300  # of the bar movie's side, where it is not at hand


def align_electrodes(
    hdf5_path: Target = None,
    *,
    movie_name: str | None = None,
    bar_movie_name: str = BAR_MOVIE,
    stimuli_dir: str | Path | None = None,
    force: bool = False,
    session: PipelineSession | None = None,
) -> StepResult | PipelineSession:
    """Find where the chip is in the stimulus (`hdmea.geometry.alignment`), and where each soma is.

    `metadata["electrode_alignment"]` holds the fields of `Alignment`, in pixels of the noise movie, with the units it
    was fitted to. Every unit with a soma gets in `features/eimage_sta/geometry`: `center_corrected_row`,
    `center_corrected_col` (pixels of the bar movie) and `center_corrected_se`; NaN where the map is not valid.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    movie_name
        The noise movie; default the one whose name contains "noise".
    bar_movie_name, stimuli_dir
        The movie in whose pixels corrected centres are; its size is read where it is at hand (else 300 x 300).
    force
        Align again.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    StepResult or PipelineSession
        Counts of units; or `session`.

    Raises
    ------
    MissingInputError
        No unit has a soma geometry, or none a receptive field.

    Notes
    -----
    The method is that of `hdmea.geometry.align`.

    Examples
    --------
    >>> from hdmea.features import align_electrodes
    >>> from hdmea.pipeline import PipelineSession
    >>> session = PipelineSession.load("recording.h5")
    >>> session = align_electrodes(stimuli_dir="stimuli", force=True, session=session)
    >>> alignment = session.metadata["electrode_alignment"]
    >>> alignment["valid"], round(alignment["rotation_deg"])
    (True, 31)
    """

    def step(recording: PipelineSession) -> Outcome[StepResult]:
        started = time.perf_counter()
        movie = movie_name or sta.noise_movie(recording)
        somata = _with_part(recording, IMAGE, SOMA, "extract_soma_geometry")
        fields = _with_part(recording, sta_feature(movie), FIELD, "extract_rf_geometry")
        outcome = Outcome(StepResult(recording.hdf5_path, STEP))
        if not force and ALIGNMENT in recording.metadata:
            outcome.result.units_skipped = len(somata)
            return outcome
        pairs = [unit_id for unit_id in somata if unit_id in fields and _is_pair(somata[unit_id], fields[unit_id])]
        alignment = _aligned(pairs, somata, fields)
        factor = _factor(recording, movie, bar_movie_name, stimuli_dir)
        recording.metadata[ALIGNMENT] = _stored(alignment, pairs, factor)
        outcome.changed.append(("metadata", ALIGNMENT))
        for unit_id, soma in somata.items():
            corrected = {**soma, **_corrected(alignment, soma, factor)}
            outcome.changed.append(put_part(unit_id, recording.units[unit_id], IMAGE, SOMA, corrected))
        if not alignment.valid:
            outcome.warn(f"{STEP}: the chip cannot be aligned with the stimulus: {alignment.reason}")
        result = outcome.result
        result.units_processed, result.warnings = len(somata), outcome.warnings
        result.elapsed_seconds = time.perf_counter() - started
        return outcome

    return run_step(STEP, step, hdf5_path, session)


def _with_part(recording: PipelineSession, feature: str, part: str, made_by: str) -> dict[str, Unit]:
    parts = {
        unit_id: recording.units[unit_id]["features"][feature][part]
        for unit_id in units_with(recording, feature, STEP, made_by)
        if has_part(recording.units[unit_id], feature, part)
    }
    if not parts:
        raise MissingInputError(f"{STEP} needs {feature}/{part}: run {made_by} first", STEP, part)
    return parts


def _is_pair(soma: Unit, field: Unit) -> bool:
    places = (soma.get("center_col_um"), soma.get("center_row_um"), field.get("center_col"), field.get("center_row"))
    return bool(field.get("significant")) and all(np.isfinite(number(value)) for value in places)


def _aligned(pairs: list[str], somata: dict[str, Unit], fields: dict[str, Unit]) -> Alignment:
    chip = [[number(somata[name]["center_col_um"]), number(somata[name]["center_row_um"])] for name in pairs]
    field = [[number(fields[name]["center_col"]), number(fields[name]["center_row"])] for name in pairs]
    errors = np.array(
        [
            np.sqrt(
                (number(fields[name].get("center_col_se")) ** 2 + number(fields[name].get("center_row_se")) ** 2) / 2
            )
            for name in pairs
        ]
    )
    shape = (len(pairs), 2)
    usable = len(pairs) > 0 and bool(np.isfinite(errors).all())
    return align(np.reshape(chip, shape), np.reshape(field, shape), errors if usable else None)


def _factor(recording: PipelineSession, movie: str, bar_movie: str, stimuli_dir: str | Path | None) -> float:
    """Pixels of the bar movie along one of the noise movie: the ratio of their widths."""
    unit_id = units_with(recording, sta_feature(movie), STEP, "compute_sta")[0]
    grid = feature_data(recording.units[unit_id], sta_feature(movie)).shape[2]
    width = BAR_PIXELS
    try:
        path = sta.stimuli_directory(stimuli_dir, sta.assigned_stimuli_dir(), STEP) / f"{bar_movie}.npy"
        if path.exists():
            width = np.load(path, mmap_mode="r", allow_pickle=False).shape[2]
    except ConfigurationError:
        pass  # no directory of stimuli is known: the usual size
    return float(width / grid)


def _stored(alignment: Alignment, pairs: list[str], factor: float) -> dict[str, Any]:
    return {**alignment_record(alignment), "unit_ids": list(pairs), "bar_pixels_per_noise_pixel": factor}


def _corrected(alignment: Alignment, soma: Unit, factor: float) -> dict[str, float]:
    soma_um = np.array([number(soma.get("center_col_um")), number(soma.get("center_row_um"))])
    if not (alignment.valid and np.isfinite(soma_um).all()):
        return dict.fromkeys(("center_corrected_row", "center_corrected_col", "center_corrected_se"), float("nan"))
    col, row = to_movie_pixels(alignment.predict(soma_um), factor)
    error = float(alignment.predict_se(soma_um)) * factor
    return {"center_corrected_row": float(row), "center_corrected_col": float(col), "center_corrected_se": error}
