"""Spike-sorted recordings from elsewhere: the HDF5 layout of the retinal-wave repository (Eglen et al. 2014)."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from h5burst import Array, Group, read_tree
from hdmea.io.cmtr import UNKNOWN_ELECTRODE
from hdmea.utils.discovery import existing
from hdmea.utils.exceptions import DataLoadError

ON_GRID = 0.01  # of a pitch: positions this close to an electrode are on it
_REQUIRED = ("spikes", "sCount")
_READ_ERRORS = (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError)


def read_spikes(path: Path, acquisition_rate: float) -> tuple[dict[str, dict[str, Any]], float, dict[str, Any]]:
    """Units, duration in seconds and facts of a recording in the retinal-wave layout.

    The layout: `spikes` (seconds, all units end to end), `sCount` (spikes a unit), and where they are there `names`,
    `epos` (2, units) positions in µm, `array`, `meta/…`, `summary/duration`.

    Each unit has `spike_times` (uint64, round(seconds × rate), sorted), an empty `waveform`, and its place: `col` and
    `row` count electrodes from 1 along the first and second axis of `epos`, `global_id` counts them column by column.
    The place is told where the array's name gives the grid (columns x rows, pitch in µm, as in `APS_64x64_42um`) and
    all positions fall on it; else it is -1. `unit_meta` keeps `name`, `x_um` and `y_um` as they are in the file.

    Raises `FileNotFoundError`, and `DataLoadError` for another content.
    """
    existing(path)
    try:
        return _read(read_tree(path, lazy=True), path, acquisition_rate)
    except DataLoadError:
        raise
    except _READ_ERRORS as error:
        raise DataLoadError(f"{path} cannot be read as a spike file: {error}", path, error) from error


def _read(tree: Group, path: Path, rate: float) -> tuple[dict[str, dict[str, Any]], float, dict[str, Any]]:
    if missing := [name for name in _REQUIRED if name not in tree]:
        raise DataLoadError(f"{path} is not a spike file: it lacks {' and '.join(missing)}", path)
    counts = _counts(tree, path)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    samples, seconds = _samples(tree, bounds, rate, path)
    places, facts = _places(tree, len(counts), path), _facts(tree)
    units = {}
    for index, site in enumerate(places):
        train = np.sort(samples[bounds[index] : bounds[index + 1]])
        units[_unit_id(index)] = {"spike_times": train, "waveform": np.empty(0, np.float32), **site}
    return units, _duration(tree, seconds, path), facts


def _data(tree: Group, name: str) -> Any:
    """A dataset, still unread. `KeyError` where there is none, `ValueError` for a group or a null dataspace."""
    node = tree[name]
    if not isinstance(node, Array) or node.data is None:
        raise ValueError(f"{name} is not a dataset that holds anything")
    return node.data


def _dataset(tree: Group, name: str) -> np.ndarray[Any, Any]:
    """The elements of a dataset; raises as `_data`."""
    return np.asarray(_data(tree, name)[...])


def _counts(tree: Group, path: Path) -> npt.NDArray[np.int64]:
    """Spikes of each unit. Raises `DataLoadError` for what is not a count, and where they do not add up."""
    stored = np.ravel(_dataset(tree, "sCount")).astype(np.float64)
    wrong = np.flatnonzero(~((stored >= 0) & (stored == np.floor(stored)) & (stored < 2**53)))
    if len(wrong):
        raise DataLoadError(
            f"{path}: sCount of {_unit_id(wrong[0])} is {stored[wrong[0]]:g}, not a number of spikes", path
        )
    counts = stored.astype(np.int64)
    total = math.prod(_data(tree, "spikes").shape)  # what is said of them fits before they are read
    if counts.sum() != total:
        raise DataLoadError(f"{path}: sCount adds up to {counts.sum()} spikes, but there are {total}", path)
    return counts


def _samples(
    tree: Group, bounds: npt.NDArray[np.int64], rate: float, path: Path
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64]]:
    """All spikes in samples, and in seconds. Raises `DataLoadError` for a time that is none."""
    seconds = np.ravel(_dataset(tree, "spikes")).astype(np.float64)
    wrong = np.flatnonzero(~((seconds >= 0) & (seconds * rate < 2.0**63)))  # NaN is neither
    if len(wrong):
        unit_id = _unit_id(int(np.searchsorted(bounds, wrong[0], side="right")) - 1)
        problem = "beyond 2^63 samples" if seconds[wrong[0]] > 0 else "not a time from 0 on"
        raise DataLoadError(f"{path}: spikes of {unit_id} hold {seconds[wrong[0]]:g} s, {problem}", path)
    return np.rint(seconds * rate).astype(np.uint64), seconds


def _unit_id(index: int) -> str:
    return f"unit_{index + 1:03d}"


def _duration(tree: Group, seconds: npt.NDArray[np.float64], path: Path) -> float:
    """As the file says; never before the last spike; a second after it where the file says nothing."""
    last = float(seconds.max()) if seconds.size else 0.0
    if "summary/duration" not in tree:
        return last + 1.0
    stated = float(np.ravel(_dataset(tree, "summary/duration"))[0])
    if not 0 <= stated < np.inf:
        raise DataLoadError(f"{path}: summary/duration is {stated:g}, not a number of seconds", path)
    return max(stated, last)


def _places(tree: Group, count: int, path: Path) -> list[dict[str, Any]]:
    names = [_text(name) for name in np.ravel(_dataset(tree, "names"))] if "names" in tree else [""] * count
    if len(names) != count:
        raise DataLoadError(f"{path}: {len(names)} names for {count} units", path)
    unknown = {"row": UNKNOWN_ELECTRODE, "col": UNKNOWN_ELECTRODE, "global_id": UNKNOWN_ELECTRODE}
    if "epos" not in tree:
        return [{**unknown, "unit_meta": {"name": name}, "features": {}} for name in names]
    positions = np.asarray(_dataset(tree, "epos"), np.float64)
    if positions.shape != (2, count):
        raise DataLoadError(f"{path}: epos is {positions.shape}, not (2, {count})", path)
    wrong = np.flatnonzero(~np.isfinite(positions).all(axis=0))
    if len(wrong):
        raise DataLoadError(f"{path}: epos of {_unit_id(wrong[0])} is {positions[:, wrong[0]]}, not a position", path)
    sites = _sites(_text(np.ravel(_dataset(tree, "array"))[0]) if "array" in tree else "", positions)
    places = []
    for index, (name, (x, y)) in enumerate(zip(names, positions.T.tolist(), strict=True)):
        site = unknown if sites is None else sites[index]
        places.append({**site, "unit_meta": {"name": name, "x_um": x, "y_um": y}, "features": {}})
    return places


def _sites(array: str, positions: npt.NDArray[np.float64]) -> list[dict[str, int]] | None:
    """Each unit's electrode; None where the array's name gives no grid, or a position is off it."""
    match = re.search(r"(\d+)x(\d+)_(\d+(?:\.\d+)?)um", array)
    if match is None or not float(match[3]) > 0 or not positions.size:
        return None
    columns, rows, pitch = int(match[1]), int(match[2]), float(match[3])
    steps = [_steps(axis, pitch) for axis in positions]
    if any(axis is None for axis in steps):
        return None
    x, y = (axis for axis in steps if axis is not None)
    # How many pitches before the axis's zero the first electrode may be, so that all positions are on the array.
    room = [(int(axis.max()) - count + 1, int(axis.min())) for axis, count in ((x, columns), (y, rows))]
    if any(low > high for low, high in room):
        return None
    low, high = max(low for low, _ in room), min(high for _, high in room)
    # An array begins at the same distance from zero on both axes, if it can, and as close to it as it can.
    origins = [_nearest_to_zero(low, high)] * 2 if low <= high else [_nearest_to_zero(*span) for span in room]
    sites = zip((x - origins[0] + 1).tolist(), (y - origins[1] + 1).tolist(), strict=True)
    return [{"row": row, "col": col, "global_id": rows * (col - 1) + row} for col, row in sites]


def _steps(axis: npt.NDArray[np.float64], pitch: float) -> npt.NDArray[np.int64] | None:
    """Positions in whole pitches, what remains of the first one left out; None where they are not whole."""
    remainder = float(axis.min()) % pitch
    if pitch - remainder < ON_GRID * pitch:
        remainder -= pitch
    steps = (axis - remainder) / pitch
    whole = np.rint(steps)
    return whole.astype(np.int64) if np.abs(steps - whole).max() < ON_GRID else None


def _nearest_to_zero(low: int, high: int) -> int:
    return min(max(low, 0), high)


def _facts(tree: Group) -> dict[str, Any]:
    """Facts of the recording as a whole: `array` and everything under `meta`."""
    facts = {"array": _plain(_dataset(tree, "array"))} if "array" in tree else {}
    if isinstance(meta := tree.children.get("meta"), Group):
        facts |= {name: _plain(_dataset(meta, name)) for name, item in meta.children.items() if isinstance(item, Array)}
    return facts


def _plain(value: Any) -> Any:
    array = np.asarray(value)
    items = [_text(item) if isinstance(item, bytes) else item for item in array.ravel().tolist()]
    return items[0] if len(items) == 1 else items


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
