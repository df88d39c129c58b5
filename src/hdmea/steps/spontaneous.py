"""Input of the steps of spontaneous activity, from a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from hdmea.session.session import PipelineSession
from hdmea.spontaneous.records import recording_trains
from hdmea.spontaneous.trains import Floats, Trains
from hdmea.steps.frames import acquisition_rate_of
from hdmea.steps.per_unit import number, pitch_um
from hdmea.utils.choices import there_are
from hdmea.utils.exceptions import ConfigurationError, MissingInputError

Options = TypeVar("Options")


@dataclass(frozen=True)
class Activity:
    """Trains of all units of a recording, and their places: (units, 2) µm, NaN where unknown."""

    unit_ids: list[str]
    trains: Trains
    places: Floats

    @property
    def known_places(self) -> Floats | None:
        """The places; None where none is known."""
        return self.places if np.isfinite(self.places).all(axis=1).any() else None


def activity_of(recording: PipelineSession, step: str) -> Activity:
    """Raises `MissingInputError` for a recording without units, or whose length nothing tells."""
    unit_ids = list(recording.units)
    if not unit_ids:
        raise MissingInputError(f"{step} needs units, and the recording has none", step, "units")
    rate, duration_s = acquisition_rate_of(recording, step), recording.duration_s()
    if not duration_s > 0:
        raise MissingInputError(f"{step} needs the recording's length, and nothing tells it", step, "duration")
    pitch = pitch_um(recording)
    places = np.array([place_um(recording.units[name], pitch) for name in unit_ids])
    return Activity(unit_ids, recording_trains(recording, unit_ids, rate, duration_s), places)


def place_um(unit: Mapping[str, Any], pitch: float) -> tuple[float, float]:
    """As the source says it in µm, else from the electrode, counted from 1, and the pitch."""
    meta = unit.get("unit_meta") or {}
    x, y = number(meta.get("x_um")), number(meta.get("y_um"))
    if np.isfinite(x) and np.isfinite(y):
        return x, y
    column, row = number(unit.get("col")), number(unit.get("row"))
    if column >= 0 and row >= 0:
        return (column - 1) * pitch, (row - 1) * pitch
    return float("nan"), float("nan")


def options_from(kind: type[Options], given: Options | Mapping[str, Any] | None, step: str) -> Options:
    """Options as such, as a dict of their fields, or none. Raises `ConfigurationError` for what cannot be them."""
    if isinstance(given, kind):
        return given
    if given is not None and not isinstance(given, Mapping):
        raise ConfigurationError(f"{step}: options must be a {kind.__name__} or a dict of its fields, not {given!r}")
    names = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    if unknown := sorted(set(map(str, given or {})) - set(names)):
        raise ConfigurationError(f"{step}: no option is called {', '.join(unknown)}; {there_are(unknown[0], names)}")
    try:
        return kind(**(given or {}))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{step}: {error}") from error
