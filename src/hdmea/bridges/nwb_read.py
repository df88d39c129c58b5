"""NWB files to sessions: units and intervals of any file, and all that an export of this package put there.

Read by the engine's own reader: libhdf5 does not open the file in this process, and pynwb is not needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from h5burst import Array, CorruptFileError, Group, read_tree
from hdmea.bridges import nwb_restore
from hdmea.bridges.nwb_columns import DynamicTable, text_of
from hdmea.io.cmcr import DEFAULT_RATE_HZ
from hdmea.io.unit_names import unit_names
from hdmea.session.session import PipelineSession
from hdmea.step_table import loading_steps
from hdmea.steps.load import common_metadata, finish_units
from hdmea.steps.load_recording import TAIL_S
from hdmea.utils.discovery import existing
from hdmea.utils.exceptions import DataLoadError

LONGEST_S = 1e9
LONGEST_RATES_S = 7 * 86400.0  # longer than that, bins of 100 ms would take more memory than the spikes
_BESIDES = ("spike_times", "waveform_mean", "waveform_sd", "waveforms", "electrodes", "electrode_group")


def load_nwb(
    path: str | Path,
    dataset_id: str | None = None,
    *,
    acquisition_rate: float | None = None,
    output_dir: str | Path = "artifacts",
    memory_budget: int | str | None = None,
) -> PipelineSession:
    """Read units and intervals of a NWB file (2.x) into a session.

    Parameters
    ----------
    path
        The file. It need not be one of this package.
    dataset_id
        Default: as an export of this package says, else the file's stem.
    acquisition_rate
        Hz, turns seconds into samples. Default: what an export of this package says, else 1 over the resolution of the
        spike times, else the rate of an electrical series, else 20 000 Hz with a warning.
    output_dir, memory_budget
        As of `PipelineSession`.

    Returns
    -------
    PipelineSession
        Deferred. `units[id]`: `spike_times` (uint64 samples), `waveform`, places, and other columns of the units in
        `unit_meta`. Each table of intervals is a section of its name in `stimulus["section_time"]` (rows [start, stop)
        in samples), its other columns are in `metadata["nwb_intervals"]`. Of an export: also features, sections and
        sectioned spikes, averages, light references and frames.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataLoadError
        It is not a NWB 2 file, or its units cannot be read as what they should be.

    Examples
    --------
    >>> from hdmea import export_nwb
    >>> from hdmea.io import load_nwb
    >>> facts = {"start_time": "2024-05-01T10:30:00+02:00", "without_subject": True}
    >>> session = load_nwb(export_nwb("recording.h5", "day1.nwb", facts))
    >>> session.dataset_id, session.unit_count, session.units["unit_001"]["spike_times"].dtype
    ('recording', 12, dtype('uint64'))
    """
    path = existing(path)
    try:
        tree = read_tree(path, lazy=True)
        _check(tree, path)
        return _session(tree, path, dataset_id, acquisition_rate, output_dir, memory_budget)
    except DataLoadError:
        raise
    except (CorruptFileError, OSError, LookupError, ValueError, TypeError, OverflowError) as error:
        raise DataLoadError(f"{path} cannot be read as a NWB file: {error}", path, error) from error


def _check(tree: Group, path: Path) -> None:
    version = text_of(tree.attrs.get("nwb_version", ""))
    old = tree.children.get("nwb_version")
    if not version and isinstance(old, Array):
        raise DataLoadError(f"{path} is a NWB file of version 1, which is not read: convert it to NWB 2", path)
    if not version:
        raise DataLoadError(f"{path} is not a NWB file: it has no attribute nwb_version", path)
    if not re.match(r"(NWB-)?2\.", version):
        raise DataLoadError(f"{path} is a NWB file of version {version}; versions 2.x are read", path)


def _session(
    tree: Group,
    path: Path,
    dataset_id: str | None,
    rate_hz: float | None,
    output_dir: str | Path,
    memory_budget: int | str | None,
) -> PipelineSession:
    origin = nwb_restore.provenance(tree)
    name = dataset_id or origin.get("dataset_id") or path.stem
    session = PipelineSession(name, output_dir=Path(output_dir), memory_budget=memory_budget)
    session.source_files = {"nwb_path": path}
    table = DynamicTable(units) if isinstance(units := tree.children.get("units"), Group) else None
    rate = _rate(tree, table, origin, rate_hz, session)
    if table is None or "spike_times" not in table:
        _warn(session, f"{path} has no units with spike times")
    else:
        session.add_units(_units(table, tree, rate, path, session))
    last = max((int(unit["spike_times"][-1]) for unit in session.units.values() if len(unit["spike_times"])), default=0)
    duration = _duration_s(origin, last / rate, path)
    if duration > LONGEST_RATES_S:
        _warn(session, f"{path} is {duration / 86400:.1f} days long: rates in bins of 100 ms are left out")
    else:
        finish_units(session.units, rate, duration)
    session.add_metadata({**common_metadata(name, rate, duration), "sys_meta": _facts(tree)})
    _add_intervals(tree, session, rate)
    if origin:
        nwb_restore.restore(tree, session, rate, origin)
    if not session.completed_steps & set(loading_steps()):
        session.mark_step_complete("load_spikes")
    return session


def _duration_s(origin: Mapping[str, str], last_s: float, path: Path) -> float:
    """As an export says, never before the last spike; without one a second after it."""
    stated = float(origin.get("recording_duration_s", 0))
    if not 0 <= stated < LONGEST_S or not last_s < LONGEST_S:
        raise DataLoadError(f"{path} says {max(stated, last_s):g} s, which is not the length of a recording", path)
    return max(stated, last_s) if stated else last_s + TAIL_S


def _warn(session: PipelineSession, message: str) -> None:
    session.warnings.append(message)


def _rate(
    tree: Group, table: DynamicTable | None, origin: Mapping[str, str], given: float | None, session: PipelineSession
) -> float:
    if given is not None:
        if not 0 < given < float("inf"):
            raise DataLoadError(f"acquisition_rate must be positive, not {given}")
        return float(given)
    if "acquisition_rate_hz" in origin:
        stated = float(origin["acquisition_rate_hz"])
        if not 0 < stated < float("inf"):
            raise DataLoadError(f"the file's provenance says a rate of {stated:g} Hz: give acquisition_rate")
        return stated
    resolution = np.nan if table is None else table.attribute("spike_times", "resolution")
    if np.isfinite(resolution) and 0 < resolution < 1:
        return float(round(1 / resolution, 6))
    for rate in _series_rates(tree.children.get("acquisition")):
        return rate
    _warn(session, f"the file does not say at which rate it was sampled: taken as {DEFAULT_RATE_HZ:g} Hz")
    return DEFAULT_RATE_HZ


def _series_rates(group: Any) -> Iterator[float]:
    """Rates of the electrical series among the acquired data."""
    for child in group.children.values() if isinstance(group, Group) else ():
        if not isinstance(child, Group) or text_of(child.attrs.get("neurodata_type", "")) != "ElectricalSeries":
            continue
        start = child.children.get("starting_time")
        rate = float(start.attrs.get("rate", np.nan)) if start is not None else np.nan
        if np.isfinite(rate) and rate > 0:
            yield rate


def _facts(tree: Group) -> dict[str, Any]:
    """Facts of the file itself: identifier, description, start time, and `general`'s texts."""
    texts: dict[str, Any] = {}
    for group in (tree, tree.children.get("general")):
        for name, child in group.children.items() if isinstance(group, Group) else ():
            if (
                isinstance(child, Array)
                and child.data is not None
                and len(values := np.ravel(np.asarray(child.data))) == 1
            ):
                texts[name] = text_of(values[0])
    return texts


# ---------------------------------------------------------------- units


def _units(
    table: DynamicTable, tree: Group, rate: float, path: Path, session: PipelineSession
) -> dict[str, dict[str, Any]]:
    names = _names(table)
    places = nwb_restore.electrode_places(tree, table)
    waves = table.rows("waveform_mean") if table.dimensions("waveform_mean") == 2 else None
    others = {name: table.single(name) for name in table.names if name not in _BESIDES and table.is_single(name)}
    units: dict[str, dict[str, Any]] = {}
    outside = 0
    for row, name in enumerate(names):
        seconds = np.asarray(table.ragged("spike_times", row), np.float64)
        kept = seconds[(seconds >= 0) & (seconds * rate < 2.0**63)]  # NaN is neither
        outside += len(seconds) - len(kept)
        units[name] = {
            "spike_times": np.sort(np.rint(kept * rate)).astype(np.uint64),
            "waveform": np.empty(0, np.float32) if waves is None else np.asarray(waves[row], np.float32),
            **places[row],
            "unit_meta": {"nwb_id": table.identifier(row), **{key: column[row] for key, column in others.items()}},
            "features": {},
        }
        units[name]["unit_meta"] |= {key: units[name].pop(key) for key in ("x_um", "y_um") if key in units[name]}
    if outside:
        _warn(session, f"{path}: {outside} spike times are NaN or before the session's start and were left out")
    return units


def _names(table: DynamicTable) -> list[str]:
    """IDs as an export gave them, else by the table's, else by row."""
    stored = table.single("unit_name") if table.is_single("unit_name") else []
    if stored and stored == unit_names(stored):
        return [str(name) for name in stored]
    return unit_names([table.identifier(row) for row in range(len(table))])


# ---------------------------------------------------------------- intervals


def _add_intervals(tree: Group, session: PipelineSession, rate: float) -> None:
    group = tree.children.get("intervals")
    sections: dict[str, Any] = {}
    columns: dict[str, Any] = {}
    for name, child in group.children.items() if isinstance(group, Group) else ():
        if not isinstance(child, Group):
            continue
        table = DynamicTable(child)
        if not (table.is_single("start_time") and table.is_single("stop_time")) or not len(table):
            continue
        bounds = np.stack([np.asarray(table.single(one), np.float64) for one in ("start_time", "stop_time")], axis=1)
        good = np.isfinite(bounds).all(axis=1) & (bounds >= 0).all(axis=1)
        if not good.all():
            _warn(session, f"intervals {name}: {int((~good).sum())} rows without both times, or before 0, left out")
        sections[name] = np.rint(bounds[good] * rate).astype(np.uint64)
        others = [one for one in table.names if one not in ("start_time", "stop_time") and table.is_single(one)]
        columns[name] = {one: np.asarray(table.single(one))[good] for one in others}
    if sections:
        session.add_stimulus({"section_time": sections})
        session.add_metadata(
            {"nwb_intervals": columns, "section_windows": {name: {"nwb_intervals": name} for name in sections}}
        )
