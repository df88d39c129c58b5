"""A population from a directory of recordings: tables, one HDF5 file, and a page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

import h5burst
from h5burst import durable, parallel_map
from hdmea.batch.job import Status
from hdmea.batch.run import Engine
from hdmea.population import matching, parts
from hdmea.population.chip_area import Region, chip_area
from hdmea.population.mosaics_table import mosaics_table
from hdmea.population.part_jobs import read_parts
from hdmea.population.traces import unit_key, usual_lengths
from hdmea.population.types import (
    GROUPED_BY,
    NO_RESPONSE,
    WIDTH,
    Responses,
    Typing,
    are_small,
    find_types,
    groups_of,
    is_unresponsive,
    shares_by_recording,
    trace_features,
)
from hdmea.report.population import SUMMARY, TRACES, write_population_page
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import IMAGE, feature_data, get_nested, number
from hdmea.utils.exceptions import ConfigurationError

MAX_HALVES = 4000  # cells that tell what of the responses repeats
MIN_CELLS = 50  # of a group, to look for types in
PARTS = "parts"


@dataclass(frozen=True)
class _Means:
    """Filtered means of one stimulus (units, T), the units' keys, and their parts with each one's first unit."""

    keys: list[str]
    values: npt.NDArray[np.float32]
    parts: list[Path]
    starts: npt.NDArray[np.int64]  # of each part, the number of its first unit

    def responses(self, units: Sequence[int], movie: str) -> Responses:
        """Of some units (ascending), with what repeats of them."""
        chosen = np.asarray(units, np.int64)
        step = max(1, -(-len(chosen) // MAX_HALVES))
        some = np.arange(0, len(chosen), step)
        bounds = np.searchsorted(chosen[some], [*self.starts.tolist(), len(self.keys)])
        halves = []
        for part, start, first, last in zip(self.parts, self.starts, bounds[:-1], bounds[1:], strict=True):
            if first < last:
                halves_of = parts.halves_of(part, movie, (chosen[some[first:last]] - start).tolist())
                if halves_of is None:
                    return Responses(self.values[chosen])
                halves.append(halves_of[:, :, : self.values.shape[1]])
        return Responses(self.values[chosen], some, np.concatenate(halves, axis=1))


Means = dict[str, _Means]


@dataclass
class PopulationResult:
    """Result of `build_population`.

    Attributes
    ----------
    directory
        With `cells.parquet`, `types.parquet`, `mosaics.parquet`, `areas.parquet`, `matches.parquet`, `population.h5`
        and `index.html`.
    recordings, cells
        How many there are.
    rejected
        By stimulus, how many units have trials of another length than the others.
    failed
        Recordings that could not be read, and why.
    typing
        By group of cells, the types that were found.
    warnings
        What was left out, and why.
    stopped_by
        Number of the signal that ended it before it was complete; the next call goes on from there.
    """

    directory: Path
    recordings: int
    cells: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    typing: dict[str, Typing] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    stopped_by: int | None = None


def build_population(
    recordings: Sequence[Path],
    output_dir: str | Path,
    *,
    chips: Mapping[str, Sequence[str]] | None = None,
    max_types: int = 60,
    type_width: float = WIDTH,
    seed: int = 0,
    engine: Engine | None = None,
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
    max_types
        The largest number of types that is tried.
    type_width
        SD by which responses of one type scatter at least, as a share of their size; types that differ by less than
        some three of it are one.
    seed
        Of everything random.
    engine
        What reads the recordings; default processes of this machine.
    progress
        Takes a line for each step.

    Returns
    -------
    PopulationResult
        Counts, types and warnings. A recording that cannot be read is left out, and is in `failed`.

    Raises
    ------
    ConfigurationError
        No recordings, two of one name, a chip with a recording that is not there, or none that can be read.
    """
    directory = Path(output_dir).absolute()
    check_names(recordings, chips)
    for folder in (directory, directory / PARTS):
        if folder.is_dir():
            durable.clear(folder)
    read = read_parts(recordings, directory / PARTS, engine or Engine())
    result = PopulationResult(directory, len(recordings), stopped_by=read.stopped_by)
    if read.stopped_by is not None:
        return result
    result.failed = {one.dataset_id: one.reason for one in read.outcomes if one.status is not Status.DONE}
    result.warnings += [f"{name} is left out: {why}" for name, why in result.failed.items()]
    readable = [path for path in recordings if path.stem not in result.failed]
    if not readable:
        raise ConfigurationError(f"no recording can be read: {'; '.join(result.warnings)}")
    part_paths = [parts.part_path(path, directory / PARTS) for path in readable]
    progress(f"read {len(part_paths)} recordings")
    cells = pl.concat([parts.rows_of(part) for part in part_paths], how="diagonal_relaxed")
    result.cells = len(cells)
    means = _means(part_paths)
    cells = _with_types(cells, means, result, (max_types, type_width, seed, directory / PARTS), progress)
    content = {"traces": _traces(part_paths, result), "types": _responses(cells, means)}
    del means  # of all cells: they would take as much memory as all tables
    with ThreadPoolExecutor(1) as pool:  # traces are read and compressed while tables are made
        written = pool.submit(h5burst.save, directory / TRACES, content, **parts.COMPRESSION, overwrite=True)
        regions, electrodes = _regions(part_paths)
        tables = {
            "cells": cells,
            "types": _types_table(cells, result),
            "mosaics": mosaics_table(cells, regions, seed),
            "areas": _areas_table(regions, electrodes),
            "matches": _matches_table({path.stem: path for path in readable}, chips or {}, result, seed),
        }
        written.result()
    progress("traces")
    for name, table in tables.items():
        with durable.replacing(directory / f"{name}.parquet", overwrite=True) as temporary:
            table.write_parquet(temporary)
    with durable.replacing(directory / SUMMARY, overwrite=True) as temporary:
        said = {"warnings": result.warnings, "rejected": result.rejected, "failed": result.failed, "seed": seed}
        temporary.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    progress("tables")
    write_population_page(directory)
    return result


def check_names(recordings: Sequence[Path], chips: Mapping[str, Sequence[str]] | None = None) -> None:
    """Raise `ConfigurationError` for no recordings, two of one name, and a chip of recordings that are not there."""
    names = [path.stem for path in recordings]
    if not names or (twice := [name for name, count in Counter(names).items() if count > 1]):
        raise ConfigurationError("no recordings" if not names else f"two recordings are named {', '.join(twice)}")
    if unknown := sorted({one for chip in (chips or {}).values() for one in chip} - set(names)):
        raise ConfigurationError(f"no recordings {', '.join(unknown)}; there are {', '.join(names)}")


# ---------------------------------------------------------------- traces


def _traces(part_paths: Sequence[Path], result: PopulationResult) -> dict[str, Any]:
    """All traces by stimulus, `rates` and `keys`; rates are read part by part when they are written."""
    groups = [parts.groups_of(part) for part in part_paths]
    stored: dict[str, Any] = {}
    for movie in dict.fromkeys(movie for by_movie in groups for movie in by_movie):
        stretches = [group for by_movie in groups for group in by_movie.get(movie, [])]
        lengths = {key: (rates.shape[1], rates.shape[2]) for keys, rates in stretches for key in keys}
        kept = usual_lengths(lengths) if lengths else {}
        if rejected := len(lengths) - len(kept):
            result.rejected[movie] = rejected
            result.warnings.append(f"{movie}: {rejected} units have other trials than the rest, and are left out")
        if kept:
            rates = _Rates(stretches, kept)
            stored[movie] = {"rates": rates, "keys": np.array(rates.keys, object)}
    return stored


class _Rates:
    """The rates of one stimulus (units, trials, bins) float32, read from parts a stretch of units at a time."""

    dtype = np.dtype(np.float32)

    def __init__(self, stretches: Sequence[tuple[list[str], Any]], kept: Mapping[str, tuple[int, int]]) -> None:
        trials, bins = (min(one[axis] for one in kept.values()) for axis in (0, 1))
        self._stretches = [(keys, rates) for keys, rates in stretches if keys[0] in kept]  # units of one shape
        self.keys = [key for keys, _ in self._stretches for key in keys]
        self.shape = len(self.keys), trials, bins
        self._starts = np.cumsum([0, *(len(keys) for keys, _ in self._stretches)])

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        block = np.empty((stop - start, *self.shape[1:]), np.float32)
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        for n in range(first, len(self._stretches)):
            begin, end = max(int(self._starts[n]), start), min(int(self._starts[n + 1]), stop)
            if begin >= end:
                break
            offset = int(self._starts[n])
            rates = np.asarray(self._stretches[n][1][begin - offset : end - offset])
            block[begin - start : end - start] = rates[:, : self.shape[1], : self.shape[2]]
        return block


def _means(part_paths: Sequence[Path]) -> Means:
    """By stimulus the filtered means of units of the usual length, cut to the shortest; a part is read at a time."""
    by_movie: dict[str, list[tuple[Path, list[str], Any]]] = {}
    for part in part_paths:
        for movie, (keys, means) in parts.means_of(part).items():
            by_movie.setdefault(movie, []).append((part, keys, means))
    joined: Means = {}
    for movie, stretches in by_movie.items():
        kept = usual_lengths({str(n): (0, means.shape[1]) for n, (_, _, means) in enumerate(stretches)})
        chosen = [stretches[int(n)] for n in kept]
        shortest = min(means.shape[1] for _, _, means in chosen)
        keys = [key for _, unit_keys, _ in chosen for key in unit_keys]
        starts = np.cumsum([0, *(len(unit_keys) for _, unit_keys, _ in chosen)])[:-1].astype(np.int64)
        values = np.empty((len(keys), shortest), np.float32)
        for start, (_, unit_keys, means) in zip(starts.tolist(), chosen, strict=True):
            values[start : start + len(unit_keys)] = np.asarray(means)[:, :shortest]
        joined[movie] = _Means(keys, values, [part for part, _, _ in chosen], starts)
    return joined


# ---------------------------------------------------------------- types


def _with_types(
    cells: pl.DataFrame,
    means: Means,
    result: PopulationResult,
    how: tuple[int, float, int, Path],
    progress: Callable[[str], Any],
) -> pl.DataFrame:
    """The cells with their group and, where their group has types, type, posterior and stability of the type.

    how: the largest number of types, their width, the seed, and where fits are kept.
    """
    max_types, width, seed, directory = how
    groups = np.array(groups_of({name: cells[name].to_numpy().astype(np.float64) for name in GROUPED_BY}), object)
    keys = cells["key"].to_list()
    places = {movie: {key: n for n, key in enumerate(means_of.keys)} for movie, means_of in means.items()}
    has_all = np.array([all(key in by_key for by_key in places.values()) for key in keys]) & bool(means)
    unresponsive = is_unresponsive(cells["response_p_value"].to_numpy().astype(np.float64))
    if count := int(unresponsive.sum()):
        result.warnings.append(f"{count} cells are in no type: their responses do not repeat over trials")
    types = np.full(len(keys), None, object)
    posterior, stability = np.full(len(keys), np.nan), np.full(len(keys), np.nan)
    for group in dict.fromkeys(groups.tolist()):
        if group == NO_RESPONSE:
            continue
        cells_of = np.flatnonzero((groups == group) & has_all & ~unresponsive)
        if len(cells_of) < MIN_CELLS:
            few = f"{len(cells_of)} cells that respond and have all stimuli, at least {MIN_CELLS} for types"
            result.warnings.append(f"{group}: {few}")
            continue
        responses = (
            one.responses([places[movie][keys[n]] for n in cells_of.tolist()], movie) for movie, one in means.items()
        )
        features = trace_features(responses, width=width)
        kept = directory / f"types_{group.replace(' ', '_')}.json"
        typing = find_types(features, max_types=max_types, seed=seed, progress=progress, kept=kept)
        result.typing[group] = typing
        if typing.reason:
            result.warnings.append(f"{group}: {typing.reason}")
        types[cells_of] = [f"{group} {label}" for label in typing.labels.tolist()]
        posterior[cells_of], stability[cells_of] = typing.posterior, typing.stability[typing.labels]
    return cells.with_columns(
        pl.Series("group", groups.tolist(), pl.String()),
        pl.Series("type", types.tolist(), pl.String()),
        pl.Series("type_posterior", posterior),
        pl.Series("type_stability", stability),
    )


def _responses(cells: pl.DataFrame, means: Means) -> dict[str, Any]:
    """The mean response of each type's cells: `names` of types, and by stimulus `means` (types, bins) in Hz."""
    kinds = dict(cells.filter(pl.col("type").is_not_null()).select("key", "type").iter_rows())
    names = sorted(set(kinds.values()))
    number = {name: n for n, name in enumerate(names)}
    by_movie: dict[str, Any] = {}
    for movie, movie_means in means.items():
        type_of = np.array([number[kinds[key]] if key in kinds else -1 for key in movie_means.keys])
        chosen = [movie_means.values[type_of == n].mean(axis=0) for n in range(len(names))]
        by_movie[movie] = np.stack(chosen) if names else np.empty((0, movie_means.values.shape[1]))
    return {"names": names, "means": {movie: rates.astype(np.float32) for movie, rates in by_movie.items()}}


def _types_table(cells: pl.DataFrame, result: PopulationResult) -> pl.DataFrame:
    """A row a type: group, cells, stability, whether it is stable, and small, its share of each recording's cells."""
    table = []
    of_each = dict(cells.group_by("recording", maintain_order=True).len().iter_rows())
    for group, typing in result.typing.items():
        recordings_of = cells.filter((pl.col("group") == group) & pl.col("type").is_not_null())["recording"].to_list()
        shares = shares_by_recording(typing.labels, recordings_of, of_each)
        small = are_small(group, typing.sizes)
        for n in range(typing.k):
            entry = {"group": group, "type": f"{group} {n}", "cells": int(typing.sizes[n])}
            entry |= {"stability": float(typing.stability[n]), "is_stable": bool(typing.is_stable[n])}
            entry |= {"is_small": bool(small[n])}
            entry |= {"recordings": list(of_each), "shares": shares[:, n].tolist()}
            table.append(entry)
    return pl.DataFrame(table, schema=_TYPES_SCHEMA)


_TYPES_SCHEMA = {
    **{"group": pl.String(), "type": pl.String(), "cells": pl.Int64(), "stability": pl.Float64()},
    **{
        "is_stable": pl.Boolean(),
        "is_small": pl.Boolean(),
        "recordings": pl.List(pl.String()),
        "shares": pl.List(pl.Float64()),
    },
}


def _regions(part_paths: Sequence[Path]) -> tuple[dict[str, Region], dict[str, int]]:
    """By recording the part of the chip that retina covers, and on how many electrodes responding units are seen."""
    used = {part.stem: parts.used_of(part) for part in part_paths}
    known = {name: (where, pitch) for name, (where, pitch) in used.items() if where is not None and where.any()}
    areas = parallel_map(lambda one: chip_area(*one), known.values())
    return dict(zip(known, areas, strict=True)), {name: int(where.sum()) for name, (where, _) in known.items()}


def _areas_table(regions: Mapping[str, Region], electrodes: Mapping[str, int]) -> pl.DataFrame:
    """A row a recording: how many electrodes its responding units are seen on, and the area about them in mm²."""
    table = [
        {"recording": name, "electrodes": electrodes[name], "area_mm2": region.area_mm2}
        for name, region in regions.items()
    ]
    schema = {"recording": pl.String(), "electrodes": pl.Int64(), "area_mm2": pl.Float64()}
    return pl.DataFrame(table, schema=schema)


# ---------------------------------------------------------------- the same cell in several recordings


def _matches_table(
    paths: Mapping[str, Path], chips: Mapping[str, Sequence[str]], result: PopulationResult, seed: int
) -> pl.DataFrame:
    """A row a unit of a chip's recordings: which cell it is of; and with which posterior it is the one before it."""
    table = []
    for chip, given in chips.items():
        names = [name for name in given if name in paths]
        units = [_units(name, PipelineSession.load(paths[name], lazy=True)) for name in names]
        matches = {
            (a, b): matching.match_units(units[a], units[b], seed=seed)
            for a in range(len(units))
            for b in range(a + 1, len(units))
        }
        for (a, b), one in matches.items():
            if one.reason:
                result.warnings.append(f"{chip}: {names[a]} and {names[b]} are not matched: {one.reason}")
        posteriors = {
            frozenset((units[a].keys[i], units[b].keys[j])): p
            for (a, b), one in matches.items()
            for i, j, p in zip(one.first.tolist(), one.second.tolist(), one.posterior.tolist(), strict=True)
        }
        for n, cell in enumerate(matching.chains([one.keys for one in units], matches)):
            for before, key in zip([None, *cell], cell, strict=False):
                same = None if before is None else posteriors.get(frozenset((before, key)))
                table.append({"chip": chip, "cell": f"{chip}_cell_{n:04d}", "key": key, "posterior": same})
    schema = {"chip": pl.String(), "cell": pl.String(), "key": pl.String(), "posterior": pl.Float64()}
    return pl.DataFrame(table, schema=schema)


def _units(name: str, session: PipelineSession) -> matching.Units:
    keys, somata, images = [], [], []
    for unit_id, unit in session.units.items():
        image = feature_data(unit, IMAGE)
        if image is None:
            continue
        soma = get_nested(unit.get("features"), IMAGE, "geometry") or {}
        keys.append(unit_key(name, unit_id))
        somata.append([number(soma.get("center_row")), number(soma.get("center_col"))])
        images.append(np.asarray(image))
    return matching.Units(keys, np.reshape(np.array(somata, np.float64), (-1, 2)), images)
