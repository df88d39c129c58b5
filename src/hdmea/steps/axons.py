"""Each cell's axon, from its electrical image, and the optic-nerve head that the axons lead to."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from h5burst import parallel_map
from hdmea.geometry import (
    Neighbour,
    SomaGeometry,
    axon_record,
    find_nerve_head,
    head_record,
    soma_geometry,
    soma_polar,
    track_axon,
)
from hdmea.geometry.retina import DVNTPosition, parse_dvnt_from_center_xy, retinal_polar
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import (
    FAILURES,
    IMAGE,
    Unit,
    feature_data,
    image_scale,
    number,
    pitch_um,
    run_units,
    units_with,
)
from hdmea.steps.results import StepResult
from hdmea.steps.run_step import Outcome, Target, run_step

logger = logging.getLogger(__name__)

STEP = "track_axons"
AP_TRACKING = "ap_tracking"
NAN = float("nan")


def track_axons(
    hdf5_path: Target = None,
    *,
    max_units: int | None = None,
    filter_by_cell_type: bool = True,
    cell_type_filter: str = "rgc",
    force: bool = False,
    session: PipelineSession | None = None,
) -> StepResult | PipelineSession:
    """Follow the axon in every unit's electrical image (`hdmea.geometry.axon`), and find the optic-nerve head.

    `units[id]["features"]["ap_tracking"]` holds `refined_soma` and `axon_initial_segment` (`t`, `x`, `y`: x is the
    column, y the row, in electrodes from 0; t in samples of the window), `post_processed_data/axon_centroids`
    (n, 4), `ap_pathway` (slope, angle, velocity, length and more, with errors), `soma_polar_coordinates` (about the
    head; in the retina as well where `metadata["gsheet_row"]["Center_xy"]` says the chip's place, as "L, 1.5, -0.8":
    the eye, ventral, nasal). An axon that is a neighbour's, whose spikes come together with the unit's, is not the
    unit's: `axon_seen` is False and `from_neighbour` True. `metadata["ap_tracking"]["all_ap_intersection"]` holds the
    head.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    max_units
        The first so many units only.
    filter_by_cell_type, cell_type_filter
        Only units one of whose labels in `auto_label` is this text; without any labels all units.
    force
        Track again what is there.
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
    The methods are those of `hdmea.geometry.track_axon`, `find_nerve_head` and `soma_polar`.

    Examples
    --------
    >>> from hdmea.features import track_axons
    >>> from hdmea.pipeline import PipelineSession
    >>> session = track_axons(session=PipelineSession.load("loaded.h5"))
    >>> pathway = session.units["unit_001"]["features"]["ap_tracking"]["ap_pathway"]
    >>> pathway["axon_seen"], round(pathway["velocity_m_s"], 1)
    (True, 0.5)
    """

    def step(recording: PipelineSession) -> Outcome[StepResult]:
        started = time.perf_counter()
        with_image = units_with(recording, IMAGE, STEP, "load_recording_with_eimage_sta")
        chosen = _of_type(recording, with_image, cell_type_filter) if filter_by_cell_type else with_image
        chosen = chosen[:max_units]
        pending = [unit_id for unit_id in chosen if force or _tracked(recording.units[unit_id]) is None]

        somata = _somata(recording, with_image) if pending else {}

        def compute(unit_id: str, unit: Unit) -> tuple[dict[str, Any], str]:
            scale = image_scale(recording, unit)
            others = [
                Neighbour(soma, feature_data(recording.units[other], IMAGE))
                for other, soma in somata.items()
                if other != unit_id
            ]
            axon = track_axon(np.asarray(feature_data(unit, IMAGE)), scale, somata.get(unit_id), others)
            return axon_record(axon, scale), axon.reason

        def store(unit_id: str, unit: Unit, record: dict[str, Any]) -> tuple[str, ...]:
            unit["features"][AP_TRACKING] = record
            return ("units", unit_id, "features", AP_TRACKING)

        outcome = run_units(STEP, recording, pending, len(chosen) - len(pending), compute, store)
        if pending:
            _add_head(recording, outcome)
        outcome.result.elapsed_seconds = time.perf_counter() - started
        return outcome

    return run_step(STEP, step, hdf5_path, session)


def compute_ap_tracking(
    hdf5_path: Target = None,
    model_path: str | Path | None = None,
    *,
    session: PipelineSession | None = None,
    max_units: int | None = None,
    filter_by_cell_type: bool = True,
    cell_type_filter: str = "rgc",
    force: bool = False,
    **ignored: Any,
) -> StepResult | PipelineSession:
    """`track_axons` under an earlier name. No network is needed: a model's path and its options are ignored.

    ignored: options of a network, such as its batch size or device; they are named in a warning.
    """
    if model_path is not None or ignored:
        given = [*(["model_path"] if model_path is not None else []), *ignored]
        logger.warning("compute_ap_tracking needs no model: %s ignored", ", ".join(given))
    return track_axons(
        hdf5_path,
        max_units=max_units,
        filter_by_cell_type=filter_by_cell_type,
        cell_type_filter=cell_type_filter,
        force=force,
        session=session,
    )


def compute_ap_tracking_batch(
    hdf5_paths: Iterable[str | Path], model_path: str | Path | None = None, **options: Any
) -> list[StepResult]:
    """`compute_ap_tracking` of several files, one after the other; options are its own. Raises what it raises."""
    results = [compute_ap_tracking(Path(path), model_path, **options) for path in hdf5_paths]
    return [result for result in results if isinstance(result, StepResult)]


def retinal_place(recording: PipelineSession) -> DVNTPosition | None:
    """Place of the chip's centre in the retina, by `metadata/gsheet_row/Center_xy`; None where that does not tell."""
    row = recording.metadata.get("gsheet_row")
    said = row.get("Center_xy") if isinstance(row, Mapping) else None
    if isinstance(said, np.ndarray) and said.size == 1:
        said = said.item()
    return parse_dvnt_from_center_xy(said.decode() if isinstance(said, bytes) else said)


def _somata(recording: PipelineSession, unit_ids: list[str]) -> dict[str, SomaGeometry]:
    """The somata of units, as far as they have any: what may be in each other's images."""

    def attempt(unit_id: str) -> SomaGeometry | None:
        unit = recording.units[unit_id]
        try:
            geometry = soma_geometry(np.asarray(feature_data(unit, IMAGE)), image_scale(recording, unit))
        except FAILURES:  # the unit's own search says what is wrong
            return None
        return replace(geometry, diff_map=np.empty((0, 0), np.float32))

    somata = zip(unit_ids, parallel_map(attempt, unit_ids), strict=True)
    return {unit_id: soma for unit_id, soma in somata if soma is not None and soma.found}


def _of_type(recording: PipelineSession, unit_ids: list[str], cell_type: str) -> list[str]:
    """The units with that label; all where no unit of the recording has labels."""
    labels = {
        unit_id: {str(value).strip().lower() for value in (recording.units[unit_id].get("auto_label") or {}).values()}
        for unit_id in unit_ids
    }
    if not any(labels.values()):
        return unit_ids
    return [unit_id for unit_id in unit_ids if cell_type.strip().lower() in labels[unit_id]]


def _tracked(unit: Mapping[str, Any]) -> Mapping[str, Any] | None:
    record = (unit.get("features") or {}).get(AP_TRACKING)
    return record if isinstance(record, Mapping) and "ap_pathway" in record else None


def _add_head(recording: PipelineSession, outcome: Outcome[StepResult]) -> None:
    """The nerve head from all axons that are seen, and each soma's polar coordinates about it."""
    tracked = {unit_id: record for unit_id, unit in recording.units.items() if (record := _tracked(unit)) is not None}
    seen = {unit_id: each for unit_id, each in tracked.items() if bool(each["ap_pathway"].get("axon_seen"))}
    places = [[number(each["refined_soma"]["x"]), number(each["refined_soma"]["y"])] for each in seen.values()]
    angles = [number(each["ap_pathway"]["direction_angle"]) for each in seen.values()]
    head = find_nerve_head(np.reshape(places, (len(seen), 2)), np.array(angles, np.float64))
    if head.status != "position":
        outcome.warn(
            f"{STEP}: no optic-nerve head is accepted ({head.reason}): the polar coordinates of {len(tracked)} units "
            "are NaN, and later stages that need them drop these cells"
        )
    position = retinal_place(recording)
    pitch = pitch_um(recording)
    for unit_id, record in tracked.items():
        soma = record["refined_soma"]
        x, y = number(soma["x"]), number(soma["y"])
        polar = asdict(soma_polar(head, x, y, pitch)) | asdict(retinal_polar(head.x, head.y, y, x, position))
        recording.units[unit_id]["features"][AP_TRACKING] = {**record, "soma_polar_coordinates": polar}
        if (path := ("units", unit_id, "features", AP_TRACKING)) not in outcome.changed:
            outcome.changed.append(path)
    recording.metadata[AP_TRACKING] = {
        "n_units": len(tracked),
        "n_axons": len(seen),
        **_place_record(position),
        "all_ap_intersection": {**head_record(head, pitch), "mse": head.rmse**2, "unit_ids": list(seen)},
    }
    outcome.changed.append(("metadata", AP_TRACKING))
    outcome.result.warnings = outcome.warnings


def _place_record(position: DVNTPosition | None) -> dict[str, Any]:
    """A place in the retina under the names that tables use; NaN where it is not known."""
    dv, nt, eye = (NAN, NAN, NAN) if position is None else position
    names = (("dvnt_dv", "dvnt_nt", "dvnt_lr"), ("DV_position", "NT_position", "LR_position"))
    return {name: value for one in names for name, value in zip(one, (dv, nt, eye), strict=True)}
