"""Spike-sorted recordings from elsewhere: the HDF5 layout of the retinal-wave repository (Eglen et al. 2014)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from hdmea.io.cmtr import UNKNOWN_ELECTRODE
from hdmea.utils.exceptions import DataLoadError

_REQUIRED = ("spikes", "sCount")
_READ_ERRORS = (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError)


def read_spikes(path: Path, acquisition_rate: float) -> tuple[dict[str, dict[str, Any]], float, dict[str, Any]]:
    """Units, duration in seconds and facts of a recording in the retinal-wave layout.

    The layout: `spikes` (seconds, all units end to end), `sCount` (spikes a unit), and where they are there `names`,
    `epos` (2, units) positions in µm, `array`, `meta/…`, `summary/duration`.

    Each unit has `spike_times` (uint64, round(seconds × rate), sorted), an empty `waveform`, and its place: `col` and
    `row` count electrodes from 1 along the first and second axis of `epos`, `global_id` counts them column by column;
    -1 where the file does not tell. `unit_meta` keeps `name`, `x_um` and `y_um` as they are in the file.

    Raises `FileNotFoundError`, and `DataLoadError` for another content.
    """
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with h5py.File(path, "r") as file:
            return _read(file, path, acquisition_rate)
    except DataLoadError:
        raise
    except _READ_ERRORS as error:
        raise DataLoadError(f"{path} cannot be read as a spike file: {error}", path, error) from error


def _read(file: h5py.File, path: Path, rate: float) -> tuple[dict[str, dict[str, Any]], float, dict[str, Any]]:
    if missing := [name for name in _REQUIRED if name not in file]:
        raise DataLoadError(f"{path} is no spike file: it lacks {' and '.join(missing)}", path)
    seconds = np.asarray(file["spikes"][()], np.float64).ravel()
    counts = np.asarray(file["sCount"][()]).ravel().astype(np.int64)
    if (counts.size and counts.min() < 0) or counts.sum() != seconds.size:
        raise DataLoadError(f"{path}: sCount adds up to {counts.sum()} spikes, but there are {seconds.size}", path)
    if seconds.size and not (np.isfinite(seconds).all() and seconds.min() >= 0):
        raise DataLoadError(f"{path}: spike times must be finite and not negative", path)
    samples = np.rint(seconds * rate).astype(np.uint64)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    places, facts = _places(file, len(counts), path), _facts(file)
    units = {}
    for index, place in enumerate(places):
        train = np.sort(samples[bounds[index] : bounds[index + 1]])
        units[f"unit_{index + 1:03d}"] = {"spike_times": train, "waveform": np.empty(0, np.float32), **place}
    return units, _duration(file, seconds), facts


def _duration(file: h5py.File, seconds: npt.NDArray[np.float64]) -> float:
    """As the file says; never before the last spike; a second after it where the file says nothing."""
    last = float(seconds.max()) if seconds.size else 0.0
    if "summary/duration" not in file:
        return last + 1.0
    return max(float(np.ravel(file["summary/duration"][()])[0]), last)


def _places(file: h5py.File, count: int, path: Path) -> list[dict[str, Any]]:
    names = [_text(name) for name in np.ravel(file["names"][()])] if "names" in file else [""] * count
    if len(names) != count:
        raise DataLoadError(f"{path}: {len(names)} names for {count} units", path)
    if "epos" not in file:
        unknown = {"row": UNKNOWN_ELECTRODE, "col": UNKNOWN_ELECTRODE, "global_id": UNKNOWN_ELECTRODE}
        return [{**unknown, "unit_meta": {"name": name}, "features": {}} for name in names]
    positions = np.asarray(file["epos"][()], np.float64)
    if positions.shape != (2, count):
        raise DataLoadError(f"{path}: epos is {positions.shape}, not (2, {count})", path)
    rows, pitch = _geometry(file, positions)
    places = []
    for name, (x, y) in zip(names, positions.T.tolist(), strict=True):
        col, row = round(x / pitch) + 1, round(y / pitch) + 1
        place = {"row": row, "col": col, "global_id": rows * (col - 1) + row}
        places.append({**place, "unit_meta": {"name": name, "x_um": x, "y_um": y}, "features": {}})
    return places


def _geometry(file: h5py.File, positions: npt.NDArray[np.float64]) -> tuple[int, float]:
    """Rows of the array and the distance of its electrodes in µm: by its name, else by the positions."""
    name = _text(np.ravel(file["array"][()])[0]) if "array" in file else ""
    if match := re.search(r"(\d+)x(\d+)_(\d+(?:\.\d+)?)um", name):
        return int(match[2]), float(match[3])
    steps = np.concatenate([np.diff(np.unique(axis)) for axis in positions])
    pitch = float(steps.min()) if steps.size else 1.0
    return round(positions[1].max(initial=0.0) / pitch) + 1, pitch


def _facts(file: h5py.File) -> dict[str, Any]:
    """What the file says of the recording as a whole: `array` and everything under `meta`."""
    facts = {"array": _plain(file["array"][()])} if "array" in file else {}
    if isinstance(meta := file.get("meta"), h5py.Group):
        facts |= {name: _plain(item[()]) for name, item in meta.items() if isinstance(item, h5py.Dataset)}
    return facts


def _plain(value: Any) -> Any:
    array = np.asarray(value)
    items = [_text(item) if isinstance(item, bytes) else item for item in array.ravel().tolist()]
    return items[0] if len(items) == 1 else items


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
