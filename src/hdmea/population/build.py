"""A population from a directory of recordings: tables, one HDF5 file, and a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import h5burst
from h5burst import durable, parallel_map
from hdmea.population import matching, parts
from hdmea.population.chip_area import chip_area
from hdmea.population.mosaics import mosaic
from hdmea.population.page import write_page
from hdmea.population.responses import COLOURS, FLICKER, MOST_HZ, STEP, filtered
from hdmea.population.scalars import Row
from hdmea.population.traces import LENGTH_TOLERANCE
from hdmea.population.types import Typing, find_types, groups_of, shares_by_recording, trace_features
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import IMAGE, feature_data, inside, number
from hdmea.utils.exceptions import ConfigurationError

COMPONENTS = (8, 20)  # sparse components of a stimulus, and loadings of each that are not zero
FEWEST_CELLS = 50  # of a group, to look for types in
CHIP_SIDE = 65.0  # electrodes


@dataclass
class PopulationResult:
    """What `build_population` wrote.

    Attributes
    ----------
    directory
        With `cells.parquet`, `types.parquet`, `mosaics.parquet`, `matches.parquet`, `population.h5` and `index.html`.
    recordings, cells
        How many there are.
    rejected
        By stimulus, how many units have trials of another length than the others.
    typing
        By group of cells, the types that were found.
    warnings
        What was left out, and why.
    """

    directory: Path
    recordings: int
    cells: int
    rejected: dict[str, int] = field(default_factory=dict)
    typing: dict[str, Typing] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def build_population(
    recordings: Sequence[Path],
    output_dir: str | Path,
    *,
    chips: Mapping[str, Sequence[str]] | None = None,
    most_types: int = 60,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[str], Any] = lambda text: None,
) -> PopulationResult:
    """Bring recordings together as one population, resuming what an earlier call did.

    Parameters
    ----------
    recordings
        HDF5 files of recordings.
    output_dir
        Directory, made if need be. Parts of recordings stay in `parts`, so that a second call reads new ones only.
    chips
        Name of a chip to the names of its recordings, in their order: units are matched within it.
    most_types
        The largest number of types that is tried.
    seed
        Of everything random.
    threads
        Recordings at once.
    progress
        Takes a line for each step.

    Returns
    -------
    PopulationResult
        Counts, types and warnings.

    Raises
    ------
    ConfigurationError
        No recordings, two of one name, or a chip with a recording that is not there.
    """
    directory = Path(output_dir)
    names = [path.stem for path in recordings]
    if not names or (twice := [name for name, count in Counter(names).items() if count > 1]):
        raise ConfigurationError("no recordings" if not names else f"two recordings are named {', '.join(twice)}")
    if unknown := sorted({one for chip in (chips or {}).values() for one in chip} - set(names)):
        raise ConfigurationError(f"no recordings {', '.join(unknown)}; there are {', '.join(names)}")
    directory.mkdir(parents=True, exist_ok=True)
    made = list(parallel_map(lambda path: parts.part_of(path, directory / "parts"), list(recordings), threads))
    progress(f"read {len(made)} recordings")
    rows = [row for part in made for row in parts.rows_of(part)]
    result = PopulationResult(directory, len(made), len(rows))
    means = _write_traces(made, directory / "population.h5", result)
    progress("traces")
    _add_types(rows, means, result, most_types, seed, progress)
    tables = {
        "cells": pl.DataFrame(rows, infer_schema_length=None, strict=False),
        "types": _types_table(rows, result),
        "mosaics": _mosaics_table(rows, seed),
        "areas": _areas_table(made),
        "matches": _matches_table({path.stem: path for path in recordings}, chips or {}, result, seed),
    }
    for name, table in tables.items():
        with durable.replacing(directory / f"{name}.parquet", overwrite=True) as temporary:
            table.write_parquet(temporary)
    title = f"{result.cells} cells of {result.recordings} recordings"
    write_page(directory / "index.html", title, result.warnings, tables)
    return result


# ---------------------------------------------------------------- traces


def _write_traces(made: Sequence[Path], path: Path, result: PopulationResult) -> dict[str, dict[str, Any]]:
    """All traces as `/traces/{stimulus}/{rates, keys}`, part by part; each unit's filtered mean of what types need."""
    lengths: dict[str, dict[str, tuple[int, int]]] = {}
    for part in made:
        for movie, own in parts.lengths_of(part).items():
            lengths.setdefault(movie, {}).update(own)
    kept = {movie: _of_usual_length(own) for movie, own in lengths.items() if own}
    for movie, own in lengths.items():
        if rejected := len(own) - len(kept.get(movie, {})):
            result.rejected[movie] = rejected
            result.warnings.append(f"{movie}: {rejected} units have other trials than the rest, and are left out")
    means: dict[str, dict[str, Any]] = {movie: {} for movie in (*STEP, COLOURS, FLICKER)}
    stored: dict[str, Any] = {}
    for movie, own in kept.items():
        shape = len(own), min(n for n, _ in own.values()), min(n for _, n in own.values())
        stored[movie] = {"rates": _Rates(made, movie, list(own), shape), "keys": np.array(list(own), object)}
    h5burst.save(path, {"traces": stored}, overwrite=True)
    for part in made:
        for movie, traces in parts.traces_of(part, means).items():
            for key in traces.rates.keys() & kept.get(movie, {}).keys():
                bins = stored[movie]["rates"].shape[2]
                mean = np.minimum(traces.rates[key][:, :bins], MOST_HZ).mean(axis=0)
                means[movie][key] = filtered(mean).astype(np.float32)
    return {movie: own for movie, own in means.items() if own}


class _Rates:
    """The rates of one stimulus (units, trials, bins) float32, read from parts block by block."""

    dtype = np.dtype(np.float32)

    def __init__(self, made: Sequence[Path], movie: str, keys: Sequence[str], shape: tuple[int, int, int]) -> None:
        self.shape, self._movie, self._keys, self._made = shape, movie, keys, made
        self._part_of = {key: part for part in made for key in parts.lengths_of(part).get(movie, {})}
        self._read: tuple[Path | None, Mapping[str, Any]] = (None, {})

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        block = np.empty((stop - start, *self.shape[1:]), np.float32)
        for n, key in enumerate(self._keys[start:stop]):
            part = self._part_of[key]
            if self._read[0] != part:
                self._read = (part, parts.traces_of(part, (self._movie,))[self._movie].rates)
            block[n] = self._read[1][key][: self.shape[1], : self.shape[2]]
        return block


def _of_usual_length(lengths: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    usual = Counter(bins for _, bins in lengths.values()).most_common(1)[0][0]
    return {key: one for key, one in lengths.items() if abs(one[1] - usual) <= LENGTH_TOLERANCE}


# ---------------------------------------------------------------- types and mosaics


def _add_types(
    rows: list[Row],
    means: Mapping[str, Mapping[str, Any]],
    result: PopulationResult,
    most: int,
    seed: int,
    progress: Callable[[str], Any],
) -> None:
    """Into each row its group, and where its group has types, its type with posterior and stability."""
    names = ("iprgc_2hz_QI", "bar_dsi_p_value", "bar_osi_p_value")
    index, direction, orientation = (np.array([row[name] for row in rows], np.float64) for name in names)
    for row, group in zip(rows, groups_of(index, direction, orientation), strict=True):
        row |= {"group": group, "type": None, "type_posterior": float("nan"), "type_stability": float("nan")}
    stimuli = [movie for movie in means if means[movie]]
    for group in dict.fromkeys(row["group"] for row in rows):
        own = [row for row in rows if row["group"] == group and all(row["key"] in means[movie] for movie in stimuli)]
        if not stimuli or len(own) < FEWEST_CELLS:
            result.warnings.append(f"{group}: {len(own)} cells with all stimuli, at least {FEWEST_CELLS} for types")
            continue
        traces = [np.stack([means[movie][row["key"]] for row in own]).astype(np.float64) for movie in stimuli]
        features = trace_features(traces, [COMPONENTS] * len(traces))
        found = result.typing[group] = find_types(features, most=most, seed=seed, progress=progress)
        if found.reason:
            result.warnings.append(f"{group}: {found.reason}")
        for row, label, share in zip(own, found.labels.tolist(), found.posterior.tolist(), strict=True):
            row |= {"type": f"{group} {label}", "type_posterior": share}
            row["type_stability"] = float(found.stability[label])


def _types_table(rows: Sequence[Row], result: PopulationResult) -> pl.DataFrame:
    """A row a type: group, cells, stability, whether it is stable, and its share of each recording's cells."""
    table = []
    for group, found in result.typing.items():
        own = [row for row in rows if row["group"] == group and row["type"] is not None]
        names, shares = shares_by_recording(found.labels, [row["recording"] for row in own])
        for n in range(found.k):
            entry = {"group": group, "type": f"{group} {n}", "cells": int(found.sizes[n])}
            entry |= {"stability": float(found.stability[n]), "is_stable": bool(found.is_stable[n])}
            entry |= {"recordings": names, "shares": shares[:, n].tolist()}
            table.append(entry)
    return pl.DataFrame(table, schema=_TYPES_SCHEMA)


_TYPES_SCHEMA = {
    **{"group": pl.String(), "type": pl.String(), "cells": pl.Int64(), "stability": pl.Float64()},
    **{"is_stable": pl.Boolean(), "recordings": pl.List(pl.String()), "shares": pl.List(pl.Float64())},
}


def _mosaics_table(rows: Sequence[Row], seed: int) -> pl.DataFrame:
    """A row a type and recording with enough somata; lengths in electrodes."""
    members: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["type"] is not None and np.isfinite([row["soma_row"], row["soma_col"]]).all():
            members.setdefault((row["recording"], row["type"]), []).append(row)
    table = []
    for (recording, kind), own in members.items():
        somata = np.array([[row["soma_col"], row["soma_row"]] for row in own])
        found = mosaic(somata, CHIP_SIDE, CHIP_SIDE, seed=seed)
        values = {name: getattr(found, name) for name in found.__dataclass_fields__}
        table.append({"recording": recording, "type": kind, **values})
    schema = None if table else {"recording": pl.String(), "type": pl.String(), "n": pl.Int64()}
    return pl.DataFrame(table, schema=schema)


def _areas_table(made: Sequence[Path]) -> pl.DataFrame:
    """A row a recording: how many electrodes its responding units are seen on, and the area about them in mm²."""
    table = []
    for part in made:
        used, pitch = parts.used_of(part)
        if used is not None and used.any():
            area = chip_area(used, pitch)[0]
            table.append({"recording": part.stem, "electrodes": int(used.sum()), "area_mm2": area})
    return pl.DataFrame(table, schema={"recording": pl.String(), "electrodes": pl.Int64(), "area_mm2": pl.Float64()})


# ---------------------------------------------------------------- the same cell in several recordings


def _matches_table(
    paths: Mapping[str, Path], chips: Mapping[str, Sequence[str]], result: PopulationResult, seed: int
) -> pl.DataFrame:
    """A row a unit of a chip's recordings: which cell it is of; and with which posterior it is the one before it."""
    table = []
    for chip, names in chips.items():
        units = [_units(PipelineSession.load(paths[name], lazy=True)) for name in names]
        found = {
            (a, b): matching.match_units(units[a], units[b], seed=seed)
            for a in range(len(units))
            for b in range(a + 1, len(units))
        }
        for (a, b), one in found.items():
            if one.reason:
                result.warnings.append(f"{chip}: {names[a]} and {names[b]} are not matched: {one.reason}")
        posteriors = {
            frozenset((units[a].keys[i], units[b].keys[j])): p
            for (a, b), one in found.items()
            for i, j, p in zip(one.first.tolist(), one.second.tolist(), one.posterior.tolist(), strict=True)
        }
        for n, cell in enumerate(matching.chains([one.keys for one in units], found)):
            for before, key in zip([None, *cell], cell, strict=False):
                same = None if before is None else posteriors.get(frozenset((before, key)))
                table.append({"chip": chip, "cell": f"{chip}_cell_{n:04d}", "key": key, "posterior": same})
    schema = {"chip": pl.String(), "cell": pl.String(), "key": pl.String(), "posterior": pl.Float64()}
    return pl.DataFrame(table, schema=schema)


def _units(session: PipelineSession) -> matching.Units:
    keys, somata, images = [], [], []
    for unit_id, unit in session.units.items():
        image = feature_data(unit, IMAGE)
        if image is None:
            continue
        soma = inside(unit.get("features"), IMAGE, "geometry") or {}
        keys.append(f"{session.dataset_id}_{unit_id}")
        somata.append([number(soma.get("center_row")), number(soma.get("center_col"))])
        images.append(np.asarray(image))
    return matching.Units(keys, np.reshape(np.array(somata, np.float64), (-1, 2)), images)
