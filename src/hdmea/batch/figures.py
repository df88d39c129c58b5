"""A recording's key figures, and the table of those of all recordings of a batch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from h5burst import durable, load_json
from hdmea.session.feature_layout import STA_PREFIX
from hdmea.steps.per_unit import get_nested, number
from hdmea.utils.cells import text_cell

if TYPE_CHECKING:
    from hdmea.session.session import PipelineSession

FIGURES = "figures"  # an attribute of the output's group `batch`: JSON
LEVEL = 0.05  # of the test of direction selectivity, after correction for the number of units
COLUMNS = (
    "units",
    "significant_fields",
    "axons_seen",
    "direction_selective",
    "alignment_valid",
    "nerve_head_status",
    "nerve_head_x",
    "nerve_head_y",
    "warnings",
)


def key_figures(session: PipelineSession) -> dict[str, Any]:
    """Counts of units and what was found of the recording, by `COLUMNS`; None for what no step has looked for."""
    units = list(session.units.values())
    head = get_nested(session.metadata, "ap_tracking", "all_ap_intersection") or {}
    valid = get_nested(session.metadata, "electrode_alignment", "valid")
    values = (
        len(units),
        _count(units, STA_PREFIX, lambda feature: get_nested(feature, "sta_geometry", "significant")),
        _count(units, "ap_tracking", lambda feature: get_nested(feature, "ap_pathway", "axon_seen")),
        _count(units, "", _is_selective),
        None if valid is None else bool(valid),
        None if head.get("status") is None else str(head["status"]),
        *(_finite(head.get(axis)) for axis in ("x", "y")),
        len(session.warnings),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _count(units: list[dict[str, Any]], prefix: str, judge: Any) -> int | None:
    """Units of which some feature of that name is judged true; None where none is judged at all."""
    judged = [[bool(one) for one in _judgements(unit, prefix, judge)] for unit in units]
    return sum(map(any, judged)) if any(judged) else None


def _judgements(unit: Mapping[str, Any], prefix: str, judge: Any) -> Iterator[Any]:
    for name, feature in (unit.get("features") or {}).items():
        if name.startswith(prefix) and (judgement := judge(feature)) is not None:
            yield judgement


def _is_selective(feature: Any) -> bool | None:
    """By the q-value of the test of direction; None for a feature without that test."""
    if get_nested(feature, "data", "dsi_p_value") is None:
        return None
    return number(get_nested(feature, "data", "q_value")) < LEVEL


def _finite(value: Any) -> float | None:
    as_number = number(value)
    return as_number if abs(as_number) < float("inf") else None


def stored_figures(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The figures in the attributes of an output's group `batch`; none in those of earlier versions."""
    try:
        return dict(load_json(attrs.get(FIGURES, "{}"), dict))
    except ValueError:
        return {}


def write_table(path: Path, recordings: Iterable[Mapping[str, Any]]) -> None:
    """A CSV, a recording a row: dataset_id, status, figures by `COLUMNS`; empty cells for what is not known.

    Text that a spreadsheet would compute is behind an apostrophe.
    """
    text = io.StringIO(newline="")
    rows = csv.DictWriter(text, ["dataset_id", "status", *COLUMNS], extrasaction="ignore", lineterminator="\n")
    rows.writeheader()
    rows.writerows(
        {name: text_cell(value) if isinstance(value, str) else value for name, value in recording.items()}
        for recording in recordings
    )
    with durable.replacing(path, overwrite=True) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
