"""Parts of recordings in a population: rows and traces, kept beside the results, so that a second run resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

import h5burst
from h5burst import Group, collection_paused, durable, keeping_open, read_tree
from hdmea.population.chip_area import MIN_QUALITY, used_electrodes
from hdmea.population.responses import (
    COLOURS,
    FLICKER,
    STEP,
    light_step_indices_of_units,
    response_features,
    response_p_value,
    response_p_values,
    smooth,
)
from hdmea.population.scalars import Row, unit_scalars
from hdmea.population.traces import LIGHT_STEP, Rates, Traces, recording_traces, usual_lengths
from hdmea.session import layout
from hdmea.session.file import session_from_tree
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import IMAGE, feature_data, pitch_um

VERSION = 7  # of what a part holds
AHEAD_BYTES = 1 << 27  # of small arrays that are read at once: thousands of single reads take seconds a recording
COMPRESSION: dict[str, Any] = {"compression": "gzip", "compression_opts": 1}  # rates are mostly 0
USED_OF_FEATURES = {  # of what else a unit's features hold all is kept
    (IMAGE, "geometry"): ("center_row", "center_col"),
    ("ap_tracking",): ("soma_polar_coordinates",),
    ("frif",): (),
}
FOR_TYPES = (*STEP, COLOURS, FLICKER)

_TEXTS = ("key", "recording", "unit", "axon_type", "quadrant", "anatomical_quadrant")
_DTYPES = {list: pl.List(pl.Float64()), int: pl.Int64(), float: pl.Float64()}


def part_path(recording: Path, directory: Path) -> Path:
    """The HDF5 file of a recording's part; its rows are beside it, as Parquet."""
    return directory / f"{recording.stem}.h5"


def is_current(recording: Path, directory: Path) -> bool:
    """True where the part of a recording is there, whole, and of this very file."""
    path = part_path(recording, directory)
    mark = path.with_suffix(".json")
    if not (path.exists() and path.with_suffix(".parquet").exists() and mark.exists()):
        return False
    try:
        return bool(json.loads(mark.read_text(encoding="utf-8")) == _stamp(recording))
    except ValueError:
        return False


def _stamp(recording: Path) -> dict[str, Any]:
    status = recording.stat()
    source = str(recording.absolute())
    return {"version": VERSION, "source": source, "mtime_ns": status.st_mtime_ns, "size": status.st_size}


def make_part(recording: Path, directory: Path) -> Path:
    """Compute a recording's part and write it into `directory`, its mark last of all; its HDF5 file.

    Raises what a file that is no recording raises.
    """
    path, stamp = part_path(recording, directory), _stamp(recording)
    mark = path.with_suffix(".json")
    directory.mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)
    with collection_paused(), keeping_open():
        session = _opened(recording)
        traces = recording_traces(session)
        rows = unit_scalars(session)
        smoothed, p_values = {}, {}
        for movie in (movie for movie in traces if movie in FOR_TYPES):
            smoothed[movie], p_values[movie] = _smoothed(traces[movie])
        light_steps = _light_steps(traces[LIGHT_STEP]) if LIGHT_STEP in traces else {}
        for row in rows:
            key = row["key"]
            rates: dict[str, npt.NDArray[Any]] = {
                movie: units[key] for movie, units in smoothed.items() if key in units
            }
            row |= response_features(rates, are_smooth=True) | light_steps.get(key, {})
            row |= response_p_value({movie: units[key] for movie, units in p_values.items() if key in units})
        responding = [row["unit"] for row in rows if row["step_up_QI"] > MIN_QUALITY]
        images = (feature_data(session.units[unit_id], IMAGE) for unit_id in responding)
        used = used_electrodes(image for image in images if image is not None)
        content = {
            "traces": {movie: _stacked(by_key) for movie, by_key in traces.items()},
            "means": {movie: _means(by_key) for movie, by_key in smoothed.items() if by_key},
            "used_electrodes": used,
            "pitch_um": pitch_um(session),
        }
        h5burst.save(path, content, **COMPRESSION, overwrite=True)
    with durable.replacing(path.with_suffix(".parquet"), overwrite=True) as temporary:
        _table(rows).write_parquet(temporary)
    with durable.replacing(mark, overwrite=True) as temporary:
        temporary.write_text(json.dumps(stamp), encoding="utf-8")
    return path


def _opened(recording: Path) -> PipelineSession:
    """A recording, named as its file, as a lazily read session, whose small arrays are read at once."""
    tree = read_tree(recording, lazy=True, ahead=AHEAD_BYTES)
    _drop_unused(tree)
    with layout.reading_session(recording):
        session = PipelineSession.from_stored(session_from_tree(tree, recording, lazy=True), recording)
    session.dataset_id = recording.stem
    return session


def _drop_unused(tree: Group) -> None:
    """Take out of a tree what no table is made of: to decode it takes as long as all that is used."""
    for unit in _groups_in(_group_at(tree, "units")):
        for section in _groups_in(_group_at(unit, "spike_times_sectioned")):
            section.children.pop("trials_spike_times", None)
            section.children.pop("full_spike_times", None)
            for direction in _groups_in(_group_at(section, layout.DIRECTION_SECTION)):
                direction.children.pop("trials", None)
        features = _group_at(unit, "features")
        for path, used in USED_OF_FEATURES.items():
            feature = features
            for name in path:
                feature = _group_at(feature, name)
            for name in [name for name in feature.children if name not in used]:
                del feature.children[name]


def _group_at(group: Group, name: str) -> Group:
    """A group in a group; an empty one where there is none."""
    node = group.children.get(name)
    return node if isinstance(node, Group) else Group()


def _groups_in(group: Group) -> list[Group]:
    return [node for node in group.children.values() if isinstance(node, Group)]


def _smoothed(traces: Traces) -> tuple[dict[str, npt.NDArray[np.float64]], dict[str, float]]:
    """Every unit's filtered trials (n_trials, T), and p that they are not alike; units of one shape together."""
    filtered: dict[str, npt.NDArray[np.float64]] = {}
    p_values: dict[str, float] = {}
    for keys, rates in _groups(traces):
        trials = smooth(rates)
        filtered |= dict(zip(keys, trials, strict=True))
        p_values |= dict(zip(keys, response_p_values(trials).tolist(), strict=True))
    return filtered, p_values


def _light_steps(traces: Traces) -> dict[str, dict[str, float]]:
    """Every unit's indices of long light; units of one shape together."""
    indices: dict[str, dict[str, float]] = {}
    for keys, rates in _groups(traces):
        indices |= dict(zip(keys, light_step_indices_of_units(rates), strict=True))
    return indices


def _means(smoothed: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, Any]:
    """The mean over trials of each unit of the usual length, cut to the shortest: `keys`, `means`, `halves`."""
    kept = usual_lengths({key: (trials.shape[0], trials.shape[1]) for key, trials in smoothed.items()})
    shortest = min(bins for _, bins in kept.values())
    cut = [smoothed[key][:, :shortest] for key in kept]
    content = {"keys": list(kept), "means": np.stack([trials.mean(axis=0) for trials in cut]).astype(np.float32)}
    if all(len(trials) > 1 for trials in cut):
        halves = [[trials[n::2].mean(axis=0) for trials in cut] for n in (0, 1)]
        content["halves"] = np.array(halves, np.float32)
    return content


def _groups(traces: Traces) -> list[tuple[list[str], Rates]]:
    """Keys of units that have the same trials, and their rates as one array (units, n_trials, T)."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for key, rates in traces.rates.items():
        groups.setdefault(rates.shape, []).append(key)
    return [(keys, np.stack([traces.rates[key] for key in keys])) for keys in groups.values()]


def _stacked(traces: Traces) -> dict[str, Any]:
    groups = {str(n): {"keys": keys, "rates": rates} for n, (keys, rates) in enumerate(_groups(traces))}
    return {"dropped": traces.dropped, "groups": groups}


def _table(rows: list[Row]) -> pl.DataFrame:
    names = list(rows[0]) if rows else []
    schema = {name: pl.String() if name in _TEXTS else _DTYPES[type(rows[0][name])] for name in names}
    return pl.DataFrame([list(row.values()) for row in rows], schema=schema, orient="row")


# ---------------------------------------------------------------- what a part holds


def rows_of(part: Path) -> pl.DataFrame:
    """The rows of a part, one a unit."""
    return pl.read_parquet(part.with_suffix(".parquet"))


def used_of(part: Path) -> tuple[npt.NDArray[np.bool_] | None, float]:
    """The electrodes (rows, columns) that a recording's responding units are seen on, and their distance in µm."""
    stored = h5burst.load(part, lazy=True)
    used = stored["used_electrodes"]
    return None if used is None else np.asarray(used, np.bool_), float(stored["pitch_um"])


def means_of(part: Path) -> dict[str, tuple[list[str], Any]]:
    """By stimulus the keys and the filtered means (units, T) of what types are found from, not yet read."""
    stored = h5burst.load(part, lazy=True)["means"]
    return {
        str(movie): (list(map(str, stored_means["keys"])), stored_means["means"])
        for movie, stored_means in stored.items()
    }


def halves_of(part: Path, movie: str, units: Sequence[int]) -> npt.NDArray[np.float32] | None:
    """The means over every other trial (2, units, T) of some of the units of `means_of`; None for single trials."""
    stored = h5burst.load(part, lazy=True)["means"][movie]
    return np.asarray(stored["halves"])[:, list(units)] if "halves" in stored else None


def groups_of(part: Path) -> dict[str, list[tuple[list[str], Any]]]:
    """By stimulus the keys of units that have the same trials, and their rates (units, n_trials, T), not yet read."""
    return {
        str(movie): [(list(map(str, group["keys"])), group["rates"]) for group in stored["groups"].values()]
        for movie, stored in h5burst.load(part, lazy=True)["traces"].items()
    }
