"""How regularly the somata of a type cover the retina, against what chance would give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NULLS = 500
FEWEST = 5  # somata
NAN = float("nan")
MOST_TRIES = 1000


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
    is_inside: Callable[[Floats], npt.NDArray[np.bool_]] | None = None,
) -> Mosaic:
    """The mosaic of somata (n, 2) x and y in a region of `width` x `height` from 0, all in one unit of length.

    field_areas: (n,) areas in that unit squared, NaN where not known; exclusion: the least distance of two somata of
    the second null; is_inside: which of points (m, 2) are in the region, where it is not the whole rectangle.

    Sources: Wässle & Riemann 1978, Proc R Soc B 200:441 (regularity); Cook 1996, Vis Neurosci 13:15 (its null depends
    on n and the region, so it is simulated); coverage: Devries & Baylor 1997, J Neurophysiol 78:2048.
    """
    points = np.asarray(somata, np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < FEWEST:
        return Mosaic(len(points))
    rng = np.random.default_rng(seed)
    size = np.array([width, height], np.float64)
    area = float(size.prod())
    if is_inside is not None:
        area *= float(is_inside(rng.random((20_000, 2)) * size).mean())
    observed = regularity_index(points)
    free = [regularity_index(_random(rng, len(points), size, 0.0, is_inside)) for _ in range(NULLS)]
    apart = [regularity_index(_random(rng, len(points), size, exclusion, is_inside)) for _ in range(NULLS)]
    known = np.empty(0) if field_areas is None else np.asarray(field_areas, np.float64)
    covered = float(np.nanmean(known) * len(points) / area) if np.isfinite(known).any() else NAN
    return Mosaic(
        len(points),
        density=len(points) / area,
        coverage=covered,
        regularity=observed,
        regularity_null=float(np.mean(free)),
        p_value=(1 + sum(one >= observed for one in free)) / (1 + NULLS),
        regularity_exclusion_null=float(np.mean(apart)),
        p_value_exclusion=(1 + sum(one >= observed for one in apart)) / (1 + NULLS),
        voronoi_regularity=voronoi_regularity(points, size),
    )


def regularity_index(points: Floats) -> float:
    """Mean over SD of each point's distance to the nearest other one; infinite for a perfect lattice."""
    from scipy.spatial import cKDTree

    nearest = cKDTree(points).query(points, k=2)[0][:, 1]
    spread = float(nearest.std())
    return float(nearest.mean() / spread) if spread > 0 else float("inf")


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


def _random(
    rng: np.random.Generator,
    n: int,
    size: Floats,
    exclusion: float,
    is_inside: Callable[[Floats], npt.NDArray[np.bool_]] | None,
) -> Floats:
    """Points anywhere in the region, one after the other, none nearer than `exclusion` to one before it if possible."""
    if not exclusion and is_inside is None:
        return np.asarray(rng.random((n, 2)) * size)
    points = np.empty((n, 2))
    for k in range(n):
        for _ in range(MOST_TRIES):
            point = rng.random(2) * size
            if is_inside is not None and not bool(is_inside(point[None])[0]):
                continue
            if not exclusion or not k or np.hypot(*(points[:k] - point).T).min() >= exclusion:
                break
        points[k] = point
    return points
