"""Place of each cell's soma on the chip, from its electrical image."""

from __future__ import annotations

from typing import Any

import numpy as np

from hdmea.geometry import soma_geometry, soma_record
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import IMAGE, Unit, feature_data, has_part, image_scale, put_part, run_units
from hdmea.steps.per_unit import units_with as _units_with
from hdmea.steps.results import StepResult
from hdmea.steps.run_step import Outcome, Target, run_step

STEP = "extract_soma_geometry"
GEOMETRY = "geometry"


def extract_soma_geometry(
    hdf5_path: Target = None, *, force: bool = False, session: PipelineSession | None = None
) -> StepResult | PipelineSession:
    """Fit the soma in every unit's electrical image (`hdmea.geometry.soma`).

    `units[id]["features"]["eimage_sta"]["geometry"]` holds the fields of `SomaGeometry`: `center_row`, `center_col`
    (electrodes from 0, between electrodes), their standard errors and places in µm, `peak_row`, `peak_col`, `size_x`,
    `size_y`, `area`, `equivalent_diameter`, `diff_map` (rows, columns) and more. NaN and a `reason` where there is no
    soma. A unit that fails is a warning.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    force
        Fit again units that have it; otherwise they are skipped.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    StepResult or PipelineSession
        Counts of units; or `session`.

    Raises
    ------
    MissingInputError
        No unit has an electrical image.

    Notes
    -----
    The method is that of `hdmea.geometry.soma_geometry`.

    Examples
    --------
    >>> from hdmea.features import extract_soma_geometry
    >>> from hdmea.pipeline import PipelineSession
    >>> session = extract_soma_geometry(session=PipelineSession.load("loaded.h5"))
    >>> soma = session.units["unit_001"]["features"]["eimage_sta"]["geometry"]
    >>> round(soma["center_col"], 1), round(soma["center_row"], 1)  # electrodes
    (6.2, 8.1)
    """

    def step(recording: PipelineSession) -> Outcome[StepResult]:
        with_image = _units_with(recording, IMAGE, STEP, "load_recording_with_eimage_sta")
        pending = [name for name in with_image if force or not has_part(recording.units[name], IMAGE, GEOMETRY)]

        def compute(unit_id: str, unit: Unit) -> tuple[dict[str, Any], str]:
            geometry = soma_geometry(np.asarray(feature_data(unit, IMAGE)), image_scale(recording, unit))
            return soma_record(geometry), geometry.reason

        def store(unit_id: str, unit: Unit, record: dict[str, Any]) -> tuple[str, ...]:
            return put_part(unit_id, unit, IMAGE, GEOMETRY, record)

        return run_units(STEP, recording, pending, len(with_image) - len(pending), compute, store)

    return run_step(STEP, step, hdf5_path, session)
