"""Common parts of steps that work unit by unit: their units, how they fail, what a recording's axes mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from h5burst import parallel_map
from hdmea.session.session import PipelineSession
from hdmea.steps.frames import acquisition_rate_of, frame_timestamps_of
from hdmea.steps.reasons import without_result
from hdmea.steps.results import StepResult
from hdmea.steps.run_step import Outcome
from hdmea.utils.exceptions import HDMEAError, MissingInputError

if TYPE_CHECKING:
    from hdmea.geometry.electrical_image import ImageScale

IMAGE = "eimage_sta"
PITCH_UM = "electrode_pitch_um"  # metadata: distance of neighbouring electrodes, where the recording says it
DEFAULT_PITCH_UM = 16.0  # of the CMOS-MEA5000's chip of 65 x 65 electrodes

# What a computation may raise for one unit without stopping the others.
FAILURES = (ArithmeticError, HDMEAError, LookupError, RuntimeError, TypeError, ValueError)

Unit = dict[str, Any]


def run_units(
    name: str,
    recording: PipelineSession,
    pending: Sequence[str],
    skipped: int,
    compute: Callable[[str, Unit], tuple[dict[str, Any], str]],
    store: Callable[[str, Unit, dict[str, Any]], tuple[str, ...]],
) -> Outcome[StepResult]:
    """Compute something of every pending unit, in threads, and store it; a warning for each kind of failure.

    compute: gives what to store, and why it holds no finding (or an empty text). store: puts it into the unit and
    gives the path that changed.
    """
    started = time.perf_counter()
    outcome = Outcome(StepResult(recording.hdf5_path, name, units_skipped=skipped))
    result = outcome.result

    def attempt(unit_id: str) -> tuple[dict[str, Any] | None, str]:
        try:
            return compute(unit_id, recording.units[unit_id])
        except FAILURES as error:
            return None, f"{type(error).__name__}: {error}"

    reasons: dict[str, str] = {}
    for unit_id, (values, reason) in zip(pending, parallel_map(attempt, pending), strict=True):
        if reason:
            reasons[unit_id] = reason
        if values is not None:
            outcome.changed.append(store(unit_id, recording.units[unit_id], values))
            result.units_processed += 1
    for message in without_result(name, reasons):
        outcome.warn(message)
    result.failed_units, result.units_failed = list(reasons), len(reasons)
    result.warnings = outcome.warnings
    result.elapsed_seconds = time.perf_counter() - started
    return outcome


def units_with(recording: PipelineSession, feature: str, step: str, made_by: str) -> list[str]:
    """The units that have a feature with an array `data`. Raises `MissingInputError` where none has."""
    unit_ids = [unit_id for unit_id, unit in recording.units.items() if feature_data(unit, feature) is not None]
    if not unit_ids:
        raise MissingInputError(f"{step} needs the feature {feature} of some unit: run {made_by} first", step, feature)
    return unit_ids


def feature_data(unit: Mapping[str, Any], feature: str) -> Any:
    """A feature's array, which may be lazy; None where there is none."""
    stored = (unit.get("features") or {}).get(feature)
    data = stored.get("data") if isinstance(stored, Mapping) else None
    return None if isinstance(data, Mapping) else data


def has_part(unit: Mapping[str, Any], feature: str, part: str) -> bool:
    """True where a unit's feature has a key besides its data."""
    stored = (unit.get("features") or {}).get(feature)
    return isinstance(stored, Mapping) and stored.get(part) is not None


def put_part(unit_id: str, unit: Unit, feature: str, part: str, value: dict[str, Any]) -> tuple[str, ...]:
    """Set a key beside a feature's data; the path that changed."""
    unit["features"][feature] = {**unit["features"][feature], part: value}
    return ("units", unit_id, "features", feature, part)


def get_nested(values: Any, *path: str) -> Any:
    """Value at a path of keys in nested dicts; None where there is nothing."""
    for key in path:
        if not isinstance(values, Mapping) or key not in values:
            return None
        values = values[key]
    return values


def number(value: Any, missing: float = float("nan")) -> float:
    """A stored single value, of any shape, as a float."""
    return missing if value is None or np.size(value) == 0 else float(np.asarray(value).ravel()[0])


def frame_period_s(recording: PipelineSession, step: str) -> float:
    """The real time from one frame to the next, the median. Raises `MissingInputError` without frame timestamps."""
    samples = float(np.median(np.diff(frame_timestamps_of(recording, step))))
    return samples / acquisition_rate_of(recording, step)


def pitch_um(recording: PipelineSession) -> float:
    """Distance of neighbouring electrodes in µm: as the metadata say, else that of the usual chip."""
    pitch = number(recording.metadata.get(PITCH_UM))
    return pitch if np.isfinite(pitch) and pitch > 0 else DEFAULT_PITCH_UM


def image_scale(recording: PipelineSession, unit: Mapping[str, Any]) -> ImageScale:
    """Scale of the axes of a unit's electrical image."""
    from hdmea.geometry.electrical_image import ImageScale  # some twenty modules, which few steps need

    metadata = unit["features"][IMAGE].get("metadata") or {}
    rate = number(metadata.get("sampling_rate"), number(recording.metadata.get("acquisition_rate")))
    return ImageScale(rate, round(number(metadata.get("pre_samples"), 10.0)), pitch_um(recording))
