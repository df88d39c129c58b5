"""Regularity with which the somata of a type cover the retina, against what chance would give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hdmea.population.chip_area import Region

Floats = npt.NDArray[np.float64]
Nulls = dict[int, list[Floats]]  # by number of somata their regularity by chance, without and with exclusion

NULLS = 500
MIN_SOMATA = 5  # somata
NAN = float("nan")
MAX_TRIES = 1000
_PAIRS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Mosaic:
    """The mosaic of one type in one recording; NaN where there are too few somata.

    coverage: summed areas of fields over the region's; regularity: mean over SD of nearest-neighbour distances,
    with its mean over random somata and the p-value (share of them that are as regular); the same with somata that keep
    a distance (`exclusion`); voronoi_regularity: mean over SD of the areas of Voronoi cells that lie in the region.
    """

    n: int
    density: float = NAN
    coverage: float = NAN
    regularity: float = NAN
    regularity_null: float = NAN
    p_value: float = NAN
    regularity_exclusion_null: float = NAN
    p_value_exclusion: float = NAN
    voronoi_regularity: float = NAN


def mosaic(
    somata: Floats,
    width: float,
    height: float,
    *,
    field_areas: Floats | None = None,
    exclusion: float = 0.6,
    seed: int = 0,
    region: Region | None = None,
    nulls: Nulls | None = None,
) -> Mosaic:
    """The mosaic of somata (n, 2) x and y in a rectangle of `width` x `height` from 0, all in one unit of length.

    field_areas: (n,) areas in that unit squared, NaN where not known; exclusion: the least distance of two somata of
    the second null; region: the part of the rectangle in which somata can be, default all of it; nulls: what chance
    gives by number of somata, filled for the next mosaics of that rectangle, exclusion, seed and region.

    Sources: Wässle & Riemann 1978, Proc R Soc B 200:441 (regularity); Cook 1996, Vis Neurosci 13:15 (its null depends
    on n and the region, so it is simulated); coverage: Devries & Baylor 1997, J Neurophysiol 78:2048.
    """
    points = np.asarray(somata, np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < MIN_SOMATA:
        return Mosaic(len(points))
    size = np.array([width, height], np.float64)
    area = float(size.prod()) if region is None else region.area_within(width, height)
    observed = regularity_index(points)
    nulls = {} if nulls is None else nulls
    if len(points) not in nulls:
        rng = np.random.default_rng(seed)
        nulls[len(points)] = [_null(rng, len(points), size, least, region) for least in (0.0, exclusion)]
    free, apart = nulls[len(points)]
    areas = np.empty(0) if field_areas is None else np.asarray(field_areas, np.float64)
    covered = float(np.nanmean(areas) * len(points) / area) if np.isfinite(areas).any() else NAN
    return Mosaic(
        len(points),
        density=len(points) / area,
        coverage=covered,
        regularity=observed,
        regularity_null=float(np.mean(free)),
        p_value=_share(free, observed),
        regularity_exclusion_null=float(np.mean(apart)),
        p_value_exclusion=_share(apart, observed),
        voronoi_regularity=voronoi_regularity(points, size),
    )


def regularity_index(points: Floats) -> float:
    """Mean over SD of each point's distance to the nearest other one; infinite for a perfect lattice."""
    return float(_regularities(points[None])[0])


def voronoi_regularity(points: Floats, size: Floats) -> float:
    """Mean over SD of the areas of Voronoi cells whose corners are all in [0, size]; NaN for fewer than three."""
    from scipy.spatial import ConvexHull, QhullError, Voronoi

    try:
        diagram = Voronoi(points)
    except (QhullError, ValueError):  # points on a line, or too few
        return NAN
    areas = []
    for region in (diagram.regions[n] for n in diagram.point_region):
        if region and -1 not in region:
            corners = diagram.vertices[region]
            if ((corners >= 0) & (corners <= size)).all():
                areas.append(ConvexHull(corners).volume)
    return float(np.mean(areas) / np.std(areas)) if len(areas) >= 3 and np.std(areas) > 0 else NAN


def _share(null: Floats, observed: float) -> float:
    return float((1 + (null >= observed).sum()) / (1 + len(null)))


def _null(rng: np.random.Generator, n: int, size: Floats, exclusion: float, region: Region | None) -> Floats:
    """The regularity of random points in the region (NULLS,), none nearer than `exclusion` to another if possible."""
    at_once = max(1, _PAIRS_AT_ONCE // n**2)
    return np.concatenate(
        [
            _regularities(_random(rng, min(at_once, NULLS - start), n, size, exclusion, region))
            for start in range(0, NULLS, at_once)
        ]
    )


def _random(
    rng: np.random.Generator, sets: int, n: int, size: Floats, exclusion: float, region: Region | None
) -> Floats:
    """Sets of points (sets, n, 2): of two that are too near the later one is drawn again."""
    points = _inside(rng, sets * n, size, region).reshape(sets, n, 2)
    unsettled = np.arange(sets)
    for _ in range(MAX_TRIES if exclusion else 0):
        near = _distances(points[unsettled]) < exclusion
        wrong = np.asarray((near & np.tri(n, k=-1, dtype=np.bool_)).any(axis=2))
        is_wrong = wrong.any(axis=1)
        unsettled, wrong = unsettled[is_wrong], wrong[is_wrong]
        if not len(unsettled):
            break
        drawn = points[unsettled]
        drawn[wrong] = _inside(rng, int(wrong.sum()), size, region)
        points[unsettled] = drawn
    return points


def _inside(rng: np.random.Generator, count: int, size: Floats, region: Region | None) -> Floats:
    """Random points in the region (count, 2)."""
    points = rng.random((count, 2)) * size
    if region is not None:
        outside = np.flatnonzero(~region.contains(points))
        for _ in range(MAX_TRIES):
            if not len(outside):
                break
            points[outside] = rng.random((len(outside), 2)) * size
            outside = outside[~region.contains(points[outside])]
    return points


def _distances(points: Floats) -> Floats:
    """(sets, n, n) of each point from each other one, infinite from itself."""
    x, y = points[..., 0], points[..., 1]
    distances = x[:, :, None] - x[:, None]
    distances *= distances
    across = y[:, :, None] - y[:, None]
    across *= across
    distances += across
    np.sqrt(distances, out=distances)
    distances.reshape(len(points), -1)[:, :: points.shape[1] + 1] = np.inf
    return np.asarray(distances)


def _regularities(points: Floats) -> Floats:
    nearest = _distances(points).min(axis=2)
    spread = nearest.std(axis=1)
    return np.asarray(np.divide(nearest.mean(axis=1), spread, out=np.full(len(points), np.inf), where=spread > 0))
