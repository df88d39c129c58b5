"""The path by which scripts import the arithmetic of axons: lines, their direction, where they meet, polar coordinates.

The methods are those of `hdmea.geometry`: an intersection is a robust fit of bearings, and coordinates are
`hdmea.geometry.retina`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hdmea.geometry import find_nerve_head
from hdmea.geometry.retina import DVNTPosition, SomaPolarCoordinates, angle_correction, retinal_polar

__all__ = [
    "DEFAULT_CLUSTER_EPS",
    "DEFAULT_CLUSTER_MIN_SAMPLES",
    "APIntersection",
    "APPathway",
    "AxonInitialSegment",
    "RefinedSoma",
    "SomaPolarCoordinates",
    "calculate_direction_from_centroids",
    "calculate_enhanced_intersection",
    "calculate_optimal_intersection",
    "calculate_soma_polar_coordinates",
    "fit_line_to_centroids",
]

NAN = float("nan")
DEFAULT_CLUSTER_EPS = 5.0  # of a clustering that the robust fit does not need; without effect
DEFAULT_CLUSTER_MIN_SAMPLES = 3


class RefinedSoma(NamedTuple):
    """A soma: sample of its trough, column and row in electrodes."""

    t: float
    x: float
    y: float


class AxonInitialSegment(NamedTuple):
    """Beginning of an axon: sample, column and row in electrodes."""

    t: float
    x: float
    y: float


@dataclass(frozen=True)
class APPathway:
    """A line through an axon: y = slope · x + intercept, x the column and y the row, and its direction in degrees.

    start_x, start_y: where the axon begins on it; NaN where there is no line.
    """

    slope: float = NAN
    intercept: float = NAN
    r_value: float = NAN
    p_value: float = NAN
    std_err: float = NAN
    direction_angle: float = NAN
    start_x: float = NAN
    start_y: float = NAN


@dataclass(frozen=True)
class APIntersection:
    """Place where axons meet: column and row in electrodes, and the mean squared distance of their lines from it.

    NaN where the axons do not agree on a place.
    """

    x: float = NAN
    y: float = NAN
    mse: float = NAN
    rmse: float = NAN
    n_cells_used: int = 0
    method: str = ""


def calculate_direction_from_centroids(centroids: npt.ArrayLike) -> float:
    """Degrees in [0, 360), from x towards y, in which centroids advance in time; NaN for fewer than two.

    centroids: (n, 3 or more) time, column, row. The direction is that of the velocity by least squares.
    """
    points = np.asarray(centroids, np.float64)
    if points.ndim != 2 or points.shape[1] < 3:
        raise ValueError(f"centroids are (n, 3 or more): time, column, row; got {points.shape}")
    points = points[np.isfinite(points[:, :3]).all(axis=1)]
    if len(points) < 2 or not np.ptp(points[:, 0]):
        return NAN
    since = points[:, 0] - points[:, 0].mean()
    velocity = since @ (points[:, 1:3] - points[:, 1:3].mean(axis=0))
    return float(np.degrees(np.arctan2(velocity[1], velocity[0])) % 360) if velocity.any() else NAN


def fit_line_to_centroids(centroids: npt.ArrayLike) -> APPathway:
    """The line of row over column through centroids, by least squares, and the direction in which they advance.

    centroids: (n, 3 or more) time, column, row. A vertical axon has a direction, and no slope.
    """
    from scipy.stats import linregress

    points = np.asarray(centroids, np.float64)
    direction = calculate_direction_from_centroids(points)
    points = points[np.isfinite(points[:, :3]).all(axis=1)]
    if len(points) < 2:
        return APPathway()
    first = points[points[:, 0].argmin()]
    start = {"direction_angle": direction, "start_x": float(first[1]), "start_y": float(first[2])}
    if not np.ptp(points[:, 1]):
        return APPathway(**start)
    line = linregress(points[:, 1], points[:, 2])
    names = ("slope", "intercept", "rvalue", "pvalue", "stderr")
    slope, intercept, r, p, error = (float(getattr(line, name)) for name in names)
    return APPathway(slope, intercept, r, p, error, **start)


def calculate_optimal_intersection(
    pathways: Mapping[Any, Any] | Iterable[Any], *further: Any, **options: Any
) -> APIntersection | None:
    """Place where axons meet, by `hdmea.geometry.find_nerve_head`; None where they do not agree on a place.

    pathways: `APPathway`, or dicts with `direction_angle`, `start_x` and `start_y`, or a dict of them by unit.
    Options of a clustering are without effect.
    """
    given = list(pathways.values() if isinstance(pathways, Mapping) else pathways)
    rows = [[_entry(one, name) for name in ("start_x", "start_y", "direction_angle")] for one in given]
    axons = np.array(rows, np.float64).reshape(-1, 3)
    axons = axons[np.isfinite(axons).all(axis=1)]
    head = find_nerve_head(axons[:, :2], axons[:, 2])
    if head.status != "position":
        return None
    return APIntersection(head.x, head.y, head.rmse**2, head.rmse, head.n_cells_used, head.method)


calculate_enhanced_intersection = calculate_optimal_intersection


def _entry(pathway: Any, name: str) -> float:
    value = pathway.get(name, NAN) if isinstance(pathway, Mapping) else getattr(pathway, name, NAN)
    return NAN if value is None else float(value)


def calculate_soma_polar_coordinates(
    soma: Any, intersection: APIntersection | None, dvnt: DVNTPosition | None = None
) -> SomaPolarCoordinates:
    """A soma's polar coordinates about an intersection. soma: something with `x` (column) and `y` (row)."""
    at = intersection or APIntersection()
    return retinal_polar(at.x, at.y, _entry(soma, "y"), _entry(soma, "x"), dvnt)


def _calculate_angle_correction(intersection: APIntersection | None, dvnt: DVNTPosition | None = None) -> float:
    """Degrees from angles on the chip to angles in the retina, not wrapped; NaN where one of the two is not known."""
    at = intersection or APIntersection()
    return angle_correction(at.x, at.y, dvnt)
