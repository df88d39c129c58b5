"""What a population takes of each recording: rows and traces, kept beside the results, so that a second run resumes."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import h5burst
from h5burst import durable
from hdmea.population.chip_area import LEAST_QUALITY, used_electrodes
from hdmea.population.responses import response_features
from hdmea.population.scalars import Row, unit_scalars
from hdmea.population.traces import Traces, recording_traces
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import IMAGE, feature_data, pitch_um

VERSION = 2  # of what a part holds


def part_of(recording: Path, directory: Path) -> Path:
    """The part of a recording in `directory`, computed anew unless it is of this very file; its HDF5 file."""
    path = directory / f"{recording.stem}.h5"
    mark = path.with_suffix(".json")
    status = recording.stat()
    stamp = {"version": VERSION, "source": str(recording), "mtime_ns": status.st_mtime_ns, "size": status.st_size}
    if path.exists() and mark.exists() and _read_json(mark) == stamp:
        return path
    session = PipelineSession.load(recording, lazy=True)
    traces = recording_traces(session)
    rows = unit_scalars(session)
    for row in rows:
        row |= response_features({movie: t.rates[row["key"]] for movie, t in traces.items() if row["key"] in t.rates})
    responding = [row["unit"] for row in rows if row["step_up_QI"] > LEAST_QUALITY]
    images = (feature_data(session.units[unit_id], IMAGE) for unit_id in responding)
    used = used_electrodes(image for image in images if image is not None)
    directory.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"rows": json.dumps(rows), "traces": {movie: _stacked(t) for movie, t in traces.items()}}
    content |= {"used_electrodes": used, "pitch_um": pitch_um(session)}
    h5burst.save(path, content, overwrite=True)
    with durable.replacing(mark, overwrite=True) as temporary:
        temporary.write_text(json.dumps(stamp), encoding="utf-8")
    return path


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None


def _stacked(traces: Traces) -> dict[str, Any]:
    """The rates of units that have the same trials, as one array: (units, n_trials, T)."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for key, rates in traces.rates.items():
        groups.setdefault(rates.shape, []).append(key)
    return {
        "dropped": traces.dropped,
        "groups": {
            str(n): {"keys": keys, "rates": np.stack([traces.rates[key] for key in keys])}
            for n, keys in enumerate(groups.values())
        },
    }


def used_of(part: Path) -> tuple[npt.NDArray[np.bool_] | None, float]:
    """The electrodes (rows, columns) that a recording's responding units are seen on, and their distance in µm."""
    stored = h5burst.load(part, lazy=True)
    used = stored["used_electrodes"]
    return None if used is None else np.asarray(used, np.bool_), float(stored["pitch_um"])


def rows_of(part: Path) -> list[Row]:
    """The rows of a part, one a unit."""
    rows: list[Row] = json.loads(str(h5burst.load(part, lazy=True)["rows"]))
    return rows


def traces_of(part: Path, movies: Container[str] | None = None) -> dict[str, Traces]:
    """The rates of a part by stimulus, of some or of all; arrays are read."""
    found: dict[str, Traces] = {}
    for movie, stored in h5burst.load(part, lazy=True)["traces"].items():
        if movies is not None and movie not in movies:
            continue
        rates: dict[str, npt.NDArray[np.float32]] = {}
        for group in _members(stored["groups"]):
            array = np.asarray(group["rates"])
            rates |= {str(key): array[n] for n, key in enumerate(group["keys"])}
        found[str(movie)] = Traces(rates, dropped=int(stored["dropped"]))
    return found


def lengths_of(part: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """Trials and bins (n_trials, T) of each unit by stimulus; no rates are read."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for movie, stored in h5burst.load(part, lazy=True)["traces"].items():
        own = found.setdefault(str(movie), {})
        for group in _members(stored["groups"]):
            _, trials, bins = group["rates"].shape
            own |= {str(key): (int(trials), int(bins)) for key in group["keys"]}
    return found


def _members(groups: Mapping[str, Any]) -> list[Any]:
    return [groups[name] for name in groups]
