"""The tables of a NWB file: electrodes, units and their values, images, where all of it comes from. Needs pynwb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from hdmf.common import DynamicTable, DynamicTableRegion, VectorData, VectorIndex
from pynwb.misc import Units

from hdmea.bridges import tables
from hdmea.bridges import units as unit_facts
from hdmea.bridges.chip import MCS_CHIP, Chip
from hdmea.bridges.nwb_restore import IMAGE_COLUMN, UNIT_COLUMNS, WAVEFORM_COUNTS, WAVEFORM_SCALE
from hdmea.bridges.nwb_streams import streamed
from hdmea.bridges.scale import counts_to_volts
from hdmea.features.scalars import single_values
from hdmea.session.feature_layout import STA_PREFIX
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import IMAGE, feature_data

OWN_COLUMNS = ("recording", "unit")  # of the wide table: the file says them by other means
UNIT_NAME = "unit_name"


@dataclass(frozen=True, slots=True)
class ColumnNote:
    """Value that a column of the units is: its type, the keys that lead to it, and the units that do not have it."""

    column: str
    kind: str
    keys: tuple[str, ...]
    missing: list[int]


# ---------------------------------------------------------------- electrodes


def add_electrodes(pynwb: Any, file: Any, chip: Chip, location: str) -> None:
    """The chip as device, group and table of electrodes, row by row."""
    maker = {"manufacturer": "Multi Channel Systems"} if chip.name == MCS_CHIP else {}
    device = file.create_device(
        name="array",
        description=f"{chip.name}: {chip.rows} rows and {chip.cols} columns of electrodes, {chip.pitch_um:g} um apart",
        **maker,
    )
    group = file.create_electrode_group(
        name="chip", description="all electrodes of the array", location=location, device=device
    )
    columns, count = chip.table(), len(chip)
    data = {
        "location": ("where the electrode is", [location] * count),
        "group": ("the group it belongs to", [group] * count),
        "group_name": ("name of that group", ["chip"] * count),
        "rel_x": ("um, along the columns", columns["x_um"]),
        "rel_y": ("um, along the rows", columns["y_um"]),
        "row": ("row of the array, from 1", columns["row"]),
        "col": ("column of the array, from 1", columns["col"]),
    }
    columns_made = [VectorData(name=name, description=text, data=values) for name, (text, values) in data.items()]
    file.electrodes = pynwb.ecephys.ElectrodesTable(columns=columns_made, id=np.arange(count))


# ---------------------------------------------------------------- units


def add_units(
    file: Any, session: PipelineSession, chip: Chip | None, rate: float, volts_per_count: float | None
) -> None:
    """The table of units: spike times in seconds, places, waveforms, and a column for every single value."""
    count = session.unit_count
    spikes = VectorData(name="spike_times", description="s, spike times of each unit", data=_spike_times(session, rate))
    ends = np.cumsum([unit_facts.spike_count(unit) for unit in session.units.values()]).astype(np.uint64)
    columns: list[Any] = [
        VectorIndex(name="spike_times_index", target=spikes, data=ends),  # hdmf wants it before a streamed target
        spikes,
        VectorData(name=UNIT_NAME, description="ID of the unit in the recording", data=list(session.units)),
    ]
    if chip is not None:
        columns += _electrodes_of(session, chip, file.electrodes)
    frame, texts, paths = tables.wide_rows(session, doubles=True)
    notes = []
    for column in frame.iter_columns():
        if column.name in OWN_COLUMNS or column.dtype == pl.Null:
            continue
        name = _free_name(column.name, {each.name for each in columns})
        text = texts.get(column.name) or unit_facts.DESCRIPTIONS.get(column.name) or f"value {column.name} of hdmea"
        columns.append(VectorData(name=name, description=text, data=_filled(column)))
        if column.name in paths:
            missing = [row for row, value in enumerate(column.to_list()) if value is None]
            notes.append(ColumnNote(name, str(column.dtype), _keys(session, paths[column.name]), missing))
    waves, how = _waveforms(session, rate, volts_per_count)
    file.units = Units(
        name="units",
        description="sorted units of the recording",
        columns=columns + waves,
        id=np.arange(count),
        resolution=1.0 / rate,
        **how,
    )
    _note_columns(file, notes)


def _spike_times(session: PipelineSession, rate: float) -> Any:
    """Sorted, in seconds, unit after unit."""

    def trains() -> Iterator[Any]:
        for unit in session.units.values():
            yield np.sort(np.asarray(unit.get("spike_times", ()), np.uint64)) / rate

    total = sum(unit_facts.spike_count(unit) for unit in session.units.values())
    return streamed(trains, (total,), np.float64)


def _electrodes_of(session: PipelineSession, chip: Chip, table: Any) -> list[Any]:
    places = [unit_facts.electrode_place(session, unit) for unit in session.units.values()]
    indices = [chip.index(electrode.row, electrode.col) for electrode in places]
    placed = [index for index in indices if index is not None]
    if not placed:
        return []
    region = DynamicTableRegion(
        name="electrodes", description="electrode at which the unit was found", data=placed, table=table
    )
    ends = np.cumsum([index is not None for index in indices]).astype(np.uint64)
    return [region, VectorIndex(name="electrodes_index", target=region, data=ends)]


def _free_name(name: str, used: set[str]) -> str:
    """A column's name without slashes and colons, which the format does not take."""
    plain = name.replace("/", "_").replace(":", "_")
    free, number = plain, 2
    while free in used:
        free, number = f"{plain}_{number}", number + 1
    return free


def _filled(column: pl.Series) -> Any:
    """A column without gaps as pynwb takes it: text as a list."""
    values = tables.filled(column)
    return values.tolist() if values.dtype.kind == "U" else values


def waveform_scale(session: PipelineSession, stated: float | None) -> float | None:
    """Volts a count of the sorter's waveforms: as stated, else that of the sensor stream; None where nobody says."""
    scale = counts_to_volts(session, "SensorMeta")
    return stated if stated is not None else None if scale is None else scale[0]


def _waveforms(
    session: PipelineSession, rate: float, volts_per_count: float | None
) -> tuple[list[Any], dict[str, Any]]:
    """Mean waveforms (units, samples) in volts; of a scale that nobody states, as counts in a column of that name."""
    waves = [np.asarray(unit.get("waveform", ()), np.float32) for unit in session.units.values()]
    lengths = {wave.shape for wave in waves if wave.ndim == 1 and wave.size}
    if len(lengths) != 1:
        return [], {}
    (shape,) = lengths
    stacked = np.stack([wave if wave.shape == shape else np.full(shape, np.nan, np.float32) for wave in waves])
    factor = waveform_scale(session, volts_per_count)
    if factor is None:
        text = "mean waveform in ADC counts, whose scale is not known"
        return [VectorData(name=WAVEFORM_COUNTS, description=text, data=stacked)], {}
    text = f"volts: the mean waveform in ADC counts times {factor:g} V"
    return [VectorData(name="waveform_mean", description=text, data=stacked * np.float64(factor))], {
        "waveform_rate": rate,
        "waveform_unit": "volts",
    }


# ---------------------------------------------------------------- images


def add_images(file: Any, session: PipelineSession) -> None:
    """Spike-triggered averages and electrical images: a table each in the processing module `ecephys`."""
    names: dict[str, None] = {}
    for unit in session.units.values():
        names |= dict.fromkeys(n for n in unit.get("features") or {} if n == IMAGE or str(n).startswith(STA_PREFIX))
    for name in names:
        by_shape: dict[tuple[int, ...], list[str]] = {}
        for unit_id, unit in session.units.items():
            data = feature_data(unit, name)
            if data is not None and len(data.shape) == 3:
                by_shape.setdefault(tuple(data.shape), []).append(unit_id)
        for number, (shape, unit_ids) in enumerate(by_shape.items()):
            table = _image_table(session, name, f"{name}_{number + 1}" if number else name, shape, unit_ids, file.units)
            _module(file, "ecephys", "spike-triggered averages and electrical images").add(table)


def _module(file: Any, name: str, description: str) -> Any:
    return file.processing[name] if name in file.processing else file.create_processing_module(name, description)


def _image_table(
    session: PipelineSession, feature: str, name: str, shape: tuple[int, ...], unit_ids: list[str], units: Any
) -> Any:
    def averages() -> Iterator[Any]:
        for unit_id in unit_ids:
            yield np.asarray(feature_data(session.units[unit_id], feature), np.float32)[None]

    is_image = feature == IMAGE
    axes = "samples around the spike, rows, columns of electrodes" if is_image else "lags in frames, rows, columns"
    subject = (
        "electrical image (mean signal of every electrode)" if is_image else "spike-triggered average of the movie"
    )
    order = {unit_id: number for number, unit_id in enumerate(session.units)}
    columns = [
        DynamicTableRegion(
            name="unit", description="row of the table of units", data=[order[one] for one in unit_ids], table=units
        ),
        VectorData(
            name=IMAGE_COLUMN,
            description=f"{subject}: {axes}",
            data=streamed(averages, (len(unit_ids), *shape), np.float32),
        ),
    ]
    figures = [
        {".".join(path): value for path, value in single_values({"m": _metadata(session.units[one], feature)})}
        for one in unit_ids
    ]
    for key in dict.fromkeys(key for row in figures for key in row):
        column = tables.value_column(key, [row.get(key) for row in figures])
        if column.dtype != pl.Null:
            text = f"{key.partition('.')[2]}: how the average was made"
            columns.append(VectorData(name=key.partition(".")[2], description=text, data=_filled(column)))
    return DynamicTable(
        name=name, description=f"{subject}, feature {feature}", columns=columns, id=np.arange(len(unit_ids))
    )


def _metadata(unit: Mapping[str, Any], feature: str) -> dict[str, Any]:
    """A feature's metadata under another name, as those are left out among values."""
    metadata = unit["features"][feature].get("metadata")
    return dict(metadata) if isinstance(metadata, Mapping) else {}


# ---------------------------------------------------------------- where it comes from


def add_provenance(file: Any, session: PipelineSession, volts_per_count: float | None) -> None:
    """By what and from what the recording was made, as key and value."""
    from hdmea import __version__

    rows = {
        "dataset_id": session.dataset_id,
        "exported_by": f"hdmea {__version__}",
        "acquisition_rate_hz": repr(float(np.asarray(session.metadata["acquisition_rate"]).ravel()[0])),
        "created_at": session.created_at,
        "saved_at": session.saved_at,
        "parameters_hash": session.params_hash,
        "completed_steps": ", ".join(sorted(session.completed_steps)),
        **{name: str(path) for name, path in session.source_files.items() if path is not None},
    }
    duration = session.metadata.get("recording_duration_s")
    if duration is not None:
        rows["recording_duration_s"] = repr(float(np.asarray(duration).ravel()[0]))
    if (scale := waveform_scale(session, volts_per_count)) is not None:
        rows[WAVEFORM_SCALE] = repr(scale)
    for number, text in enumerate(session.warnings):
        rows[f"warning_{number + 1}"] = text
    for name, said in _versions(session).items():
        rows[f"feature {name}"] = said
    kept = {key: value for key, value in rows.items() if value}
    _module(file, "misc", "where the data come from").add(
        DynamicTable(
            name="provenance",
            description="by what and from what the recording was made",
            columns=[
                VectorData(name="key", description="what is said", data=list(kept)),
                VectorData(name="value", description="what it is", data=list(kept.values())),
            ],
            id=np.arange(len(kept)),
        )
    )


def _versions(session: PipelineSession) -> dict[str, str]:
    """Version and parameters' hash of each feature, where they are stored."""
    versions: dict[str, set[str]] = {}
    for unit in session.units.values():
        for name, feature in (unit.get("features") or {}).items():
            metadata = feature.get("metadata") if isinstance(feature, Mapping) else None
            said = [f"{key} {metadata[key]}" for key in ("version", "params_hash") if metadata and key in metadata]
            if said:
                versions.setdefault(str(name), set()).add(", ".join(said))
    return {name: "; ".join(sorted(said)) for name, said in versions.items()}


def _note_columns(file: Any, notes: list[ColumnNote]) -> None:
    """Note which value of hdmea each column of the units is, so that an import puts it back."""
    if not notes:
        return
    flat = [key for note in notes for key in note.keys]
    keys = VectorData(name="keys", description="keys that lead to the value in a unit", data=flat)
    ends = np.cumsum([len(note.keys) for note in notes]).astype(np.uint64)
    missing = [" ".join(map(str, note.missing)) for note in notes]
    _module(file, "misc", "where the data come from").add(
        DynamicTable(
            name=UNIT_COLUMNS,
            description="which value of hdmea each column of the units is",
            columns=[
                VectorData(name="column", description="of the table of units", data=[note.column for note in notes]),
                VectorData(name="type", description="of the value", data=[note.kind for note in notes]),
                VectorData(name="missing", description="rows of units that do not have the value", data=missing),
                keys,
                VectorIndex(name="keys_index", target=keys, data=ends),
            ],
            id=np.arange(len(notes)),
        )
    )


def _keys(session: PipelineSession, path: tuple[str, ...]) -> tuple[str, ...]:
    """All keys that lead to a value from its unit, those included that a path leaves out."""
    for unit in session.units.values():
        if keys := _resolved({"features": unit.get("features") or {}}, ("features", *path)) or _resolved(unit, path):
            return keys
    return path


def _resolved(values: Mapping[Any, Any], path: tuple[str, ...]) -> tuple[str, ...]:
    by_text = {str(key): value for key, value in values.items()}
    if path[0] in by_text:
        if len(path) == 1:
            return path
        inner = by_text[path[0]]
        if isinstance(inner, Mapping) and (rest := _resolved(inner, path[1:])):
            return (path[0], *rest)
    inner = by_text.get("data")
    rest = _resolved(inner, path) if isinstance(inner, Mapping) else ()
    return ("data", *rest) if rest else ()
