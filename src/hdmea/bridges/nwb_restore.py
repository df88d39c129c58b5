"""Restore into a session what an export of this package put into a NWB file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from h5burst import Array, Group, as_source
from hdmea.bridges.nwb_columns import DynamicTable, text_of
from hdmea.session.session import PipelineSession
from hdmea.steps.run_step import Outcome
from hdmea.steps.sectioning import SectionResult, TrialWindows, cut_trials
from hdmea.utils.exceptions import DataLoadError

FRAMES, LIGHT, PRESENTATIONS, TRIALS = "stimulus_frames", "light_reference_", "stimulus_presentations", "trials"
IMAGE_COLUMN, UNIT_COLUMNS = "average", "unit_columns"
WAVEFORM_COUNTS, WAVEFORM_SCALE = "waveform_mean_counts", "waveform_volts_per_count"
UNKNOWN = -1  # row, column and number of an electrode that is not known
NOT_VALUES = ("spike_times", "waveform", "firing_rate_10hz", "spike_times_sectioned")  # of a unit
_FROM_TEXT = {"True": True, "False": False}


def _group(tree: Group, *path: str) -> Group | None:
    node: Any = tree
    for name in path:
        node = node.children.get(name) if isinstance(node, Group) else None
    return node if isinstance(node, Group) else None


def provenance(tree: Group) -> dict[str, str]:
    """Origin of the data, as an export says it; empty for a file of another program."""
    group = _group(tree, "processing", "misc", "provenance")
    if group is None:
        return {}
    table = DynamicTable(group)
    if not (table.is_single("key") and table.is_single("value")):
        return {}
    table_rows = {str(key): str(value) for key, value in zip(table.single("key"), table.single("value"), strict=True)}
    return table_rows if table_rows.get("exported_by", "").startswith("hdmea ") else {}


def electrode_places(tree: Group, units: DynamicTable) -> list[dict[str, Any]]:
    """`row`, `col` and `global_id` of each unit's first electrode, -1 where not known, and its `x_um`, `y_um`."""
    unknown = {"row": UNKNOWN, "col": UNKNOWN, "global_id": UNKNOWN}
    places: list[dict[str, Any]] = [dict(unknown) for _ in range(len(units))]
    group = _group(tree, "general", "extracellular_ephys", "electrodes")
    if group is None or "electrodes" not in units or "electrodes_index" not in units:
        return places
    table = DynamicTable(group)
    names = {"row": "row", "col": "col", "x_um": "rel_x", "y_um": "rel_y"}
    columns = {name: table.single(stored) for name, stored in names.items() if table.is_single(stored)}
    for row, position in enumerate(places):
        electrodes = units.ragged("electrodes", row)
        if not len(electrodes) or not 0 <= int(electrodes[0]) < len(table):
            continue
        position["global_id"] = table.identifier(int(electrodes[0]))
        stated = {name: column[int(electrodes[0])] for name, column in columns.items()}
        position |= {name: int(stated[name]) for name in ("row", "col") if isinstance(stated.get(name), int)}
        position |= {name: float(stated[name]) for name in ("x_um", "y_um") if np.isfinite(stated.get(name, np.nan))}
    return places


def restore(tree: Group, session: PipelineSession, rate: float, origin: Mapping[str, str]) -> None:
    """Put back values, waveforms, averages, sections, light references and frames.

    Raises
    ------
    DataLoadError
        The notes of the export do not fit the tables.
    """
    units = _group(tree, "units")
    if units is not None and session.units:
        _restore_units(tree, DynamicTable(units), session, origin)
        _restore_averages(tree, session)
    _restore_light(tree, session)
    _restore_frames(tree, session, rate)
    _restore_sections(session, rate)
    session.completed_steps |= {step for step in origin.get("completed_steps", "").split(", ") if step}
    session.params_hash = origin.get("parameters_hash")
    session.created_at = origin.get("created_at", session.created_at)
    session.warnings += [text for key, text in origin.items() if key.startswith("warning_")]


# ---------------------------------------------------------------- units


def _restore_units(tree: Group, table: DynamicTable, session: PipelineSession, origin: Mapping[str, str]) -> None:
    places = {name: table.single(name) for name in ("row", "col") if table.is_single(name)}
    for row, unit in enumerate(session.units.values()):
        unit["unit_meta"] = {}
        unit |= {name: int(column[row]) for name, column in places.items()}
    _restore_waveforms(table, session, origin)
    notes = _group(tree, "processing", "misc", UNIT_COLUMNS)
    if notes is None:
        return
    said = DynamicTable(notes)
    rows = zip(*(said.single(name) for name in ("column", "type", "missing")), strict=True)
    for index, (column, kind, gaps) in enumerate(rows):
        if not table.is_single(column):
            raise DataLoadError(f"the table of units lacks the column {column} that {UNIT_COLUMNS} names")
        keys = [str(text_of(key)) for key in said.ragged("keys", index).tolist()]
        missing = {int(row) for row in gaps.split()}
        values = table.single(column)
        for row, unit in enumerate(session.units.values()):
            if row not in missing:
                _put(unit, keys, _typed(values[row], kind))


def _typed(value: Any, kind: str) -> Any:
    if kind == "Int64":
        return int(value)
    if kind == "Boolean":
        return _FROM_TEXT.get(value, bool(value))
    return float(value) if kind == "Float64" else value


def _put(values: dict[str, Any], keys: list[str], value: Any) -> None:
    if not keys or keys[0] in NOT_VALUES:
        raise DataLoadError(f"{UNIT_COLUMNS} names {'/'.join(keys) or 'no keys'}, which is not a single value")
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise DataLoadError(f"{UNIT_COLUMNS} names {'/'.join(keys)}, but {key} is a value itself")
    values[keys[-1]] = value


def _restore_waveforms(table: DynamicTable, session: PipelineSession, origin: Mapping[str, str]) -> None:
    """Waveforms as ADC counts: as they are stored, or from volts by the scale of the export."""
    scale = float(origin.get(WAVEFORM_SCALE, 1.0))
    name, factor = ("waveform_mean", scale) if "waveform_mean" in table else (WAVEFORM_COUNTS, 1.0)
    if table.dimensions(name) != 2:
        return
    for row, unit in enumerate(session.units.values()):
        unit["waveform"] = (np.asarray(table.rows(name)[row], np.float64) / factor).astype(np.float32)


def _restore_averages(tree: Group, session: PipelineSession) -> None:
    """Averages with their metadata, as the features they were, one unit after the other."""
    ids = list(session.units)
    module = _group(tree, "processing", "ecephys")
    for child in module.children.values() if module is not None else ():
        table = DynamicTable(child) if isinstance(child, Group) else None
        if table is None or IMAGE_COLUMN not in table or not table.is_single("unit"):
            continue
        feature = table.text_attribute("description").rpartition("feature ")[2]
        figures = [name for name in table.names if name not in ("unit", IMAGE_COLUMN) and table.is_single(name)]
        columns = {name: table.single(name) for name in figures}
        for row, unit_row in enumerate(table.single("unit")):
            if not 0 <= int(unit_row) < len(ids):
                raise DataLoadError(f"the table of {feature} names the unit {unit_row} of {len(ids)}")
            features = session.units[ids[int(unit_row)]].setdefault("features", {})
            data = np.asarray(table.rows(IMAGE_COLUMN)[row])
            metadata = {name: column[row] for name, column in columns.items()}
            features[feature] = {"data": data, "metadata": metadata, **(features.get(feature) or {})}
        session.memory.enforce_session(session)


# ---------------------------------------------------------------- time


def _restore_light(tree: Group, session: PipelineSession) -> None:
    presented = _group(tree, "stimulus", "presentation")
    traces = {}
    for name, child in presented.children.items() if presented is not None else ():
        data = child.children.get("data") if isinstance(child, Group) else None
        if name.startswith(LIGHT) and isinstance(data, Array) and data.data is not None:
            traces[name.removeprefix(LIGHT)] = session.stream(as_source(data.data))
    if traces:
        session.add_stimulus({"light_reference": traces})


def _restore_frames(tree: Group, session: PipelineSession, rate: float) -> None:
    series = _group(tree, "stimulus", "presentation", FRAMES)
    if series is None:
        return
    numbers, stored, start = (series.children.get(name) for name in ("data", "timestamps", "starting_time"))
    if isinstance(stored, Array):
        seconds = np.asarray(stored.data, np.float64)
    elif isinstance(start, Array) and isinstance(numbers, Array):
        frames = np.arange(len(np.asarray(numbers.data)))
        seconds = float(np.asarray(start.data).ravel()[0]) + frames / float(start.attrs["rate"])
    else:
        return
    samples = np.rint(seconds * rate).astype(np.uint64)
    session.add_metadata({"frame_timestamps": samples, "frame_time": samples / rate})
    session.add_stimulus({"frame_times": {"default": samples.copy()}})


def _restore_sections(session: PipelineSession, rate: float) -> None:
    """Presentations by stimulus, and the spikes of every trial cut anew."""
    tables = session.metadata.pop("nwb_intervals", {})
    bounds = session.stimulus.pop("section_time", {})
    session.metadata.pop("section_windows", None)
    shown = _by_stimulus(bounds.get(PRESENTATIONS), tables.get(PRESENTATIONS), "presentation")
    if shown:
        session.add_stimulus({"section_time": {name: rows.astype(np.uint64) for name, (rows, _) in shown.items()}})
    for name, (rows, margins) in _by_stimulus(bounds.get(TRIALS), tables.get(TRIALS), "trial").items():
        before, after = (round(seconds * rate) for seconds in margins)
        outcome = Outcome(SectionResult(True, 0, 1, 3, margins, before, after))
        cut_trials(session, {name: TrialWindows(rows, 1)}, (margins, before, after), outcome)


def _by_stimulus(
    bounds: Any, columns: Mapping[str, Any] | None, order: str
) -> dict[str, tuple[np.ndarray[Any, Any], tuple[float, float]]]:
    """Rows of one table of intervals by stimulus, in their order, and the margins of the first."""
    if bounds is None or not columns or not {"stimulus", order} <= columns.keys():
        return {}
    by_name = {}
    numbers = np.asarray(columns[order], np.int64)
    for name in dict.fromkeys(str(one) for one in columns["stimulus"].tolist()):
        rows = np.flatnonzero(columns["stimulus"] == name)
        rows = rows[np.argsort(numbers[rows], kind="stable")]
        margins = [float(columns[key][rows[0]]) if key in columns else 0.0 for key in ("pre_margin_s", "post_margin_s")]
        by_name[name] = np.asarray(bounds)[rows].astype(np.int64), (margins[0], margins[1])
    return by_name
