"""Units as every bridge tells them: who they are, where they are, and their single values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from hdmea.features.scalars import Scalar, unit_values, without_doubles
from hdmea.report.values import explanation
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import number, pitch_um

Source: TypeAlias = PipelineSession | str | Path

IDENTIFIERS = ("recording", "unit", "row", "col", "x_um", "y_um")
PLACE = ("row", "col")
UNITS = {"x_um": "um", "y_um": "um", "spike_count": "count"}
DESCRIPTIONS = {
    "recording": "dataset ID of the recording",
    "unit": "ID of the unit in the recording",
    "row": "row of the unit's electrode, from 1; missing where it is not known",
    "col": "column of the unit's electrode, from 1; missing where it is not known",
    "x_um": "um, along the columns, from the first electrode or as the sorter stated it",
    "y_um": "um, along the rows, from the first electrode or as the sorter stated it",
    "spike_count": "count, spikes of the whole recording",
}
# What a description may begin with, as `docs/measures.md` states units.
_UNIT = re.compile(
    r"(spikes/s|um\^2|um|m/s|ms|s|Hz|degrees|pixels|radians|octaves|electrodes|frames|luminance|count|%)(?=$|[ ,;(])"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a unit: its electrode's row and column from 1, and µm; None for what is not known."""

    row: int | None
    col: int | None
    x_um: float | None
    y_um: float | None


def electrode_place(session: PipelineSession, unit: Mapping[str, Any]) -> Place:
    """A unit's place: µm as the sorter stated them, else from its electrode and the recording's pitch."""
    row, col = (_electrode(unit.get(name)) for name in PLACE)
    meta = unit.get("unit_meta")
    stated = [number(meta.get(name)) for name in ("x_um", "y_um")] if isinstance(meta, Mapping) else []
    if stated and np.isfinite(stated).all():
        return Place(row, col, *stated)
    if row is None or col is None:
        return Place(row, col, None, None)
    pitch = pitch_um(session)
    return Place(row, col, (col - 1) * pitch, (row - 1) * pitch)


def _electrode(value: Any) -> int | None:
    as_number = number(value)
    return int(as_number) if np.isfinite(as_number) and as_number >= 1 else None


def value_names(unit: Mapping[str, Any], *, doubles: bool = False) -> Iterator[tuple[tuple[str, ...], Scalar]]:
    """A unit's single values by path, without those that are its identifiers, and each once unless `doubles`."""
    values = unit_values(unit)
    for path, value in (values if doubles else without_doubles(values)).items():
        if len(path) > 1 or path[0] not in IDENTIFIERS:
            yield path, value


def spike_count(unit: Mapping[str, Any]) -> int:
    """Spikes of the whole recording; nothing is read for it."""
    train = unit.get("spike_times")
    return 0 if train is None else len(train)


def description_of(path: tuple[str, ...]) -> str:
    """Description of a value, its unit first; empty where it is not known."""
    return DESCRIPTIONS.get(path[0], "") if len(path) == 1 else explanation("/".join(path))


def unit_of_measure(name: str, description: str) -> str:
    """The unit in which a column is, as its description begins; empty where it says none."""
    match = _UNIT.match(description)
    return UNITS.get(name) or ("" if match is None else match[1])
