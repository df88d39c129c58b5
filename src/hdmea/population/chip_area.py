"""The part of the chip that retina covers: where electrical images of responding units are above noise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.bridges.extras import required

RADIUS = 3.0  # electrodes
QUAD_SEGMENTS = 16  # sides of a quarter of a circle
FRAMES = slice(5, 9)  # of an image's window: 5 to 8, both included
FACTOR = 3.0
MIN_QUALITY = 0.5  # of `step_up_QI`


def used_electrodes(images: Iterable[npt.NDArray[Any]]) -> npt.NDArray[np.bool_] | None:
    """Electrodes (rows, columns) whose SD over frames 5 to 8 exceeds three times the SD of those frames over all.

    images: (window, rows, columns) of the units that respond (`step_up_QI` above 0.5). None without an image.
    """
    used: npt.NDArray[np.bool_] | None = None
    for image in images:
        part = np.asarray(image[FRAMES], np.float64)
        above = part.std(axis=0) > FACTOR * part.std()
        used = above if used is None else used | above
    return used


@dataclass(frozen=True)
class Region:
    """The part of a chip that retina covers: its shape (shapely) in electrodes, x the column and y the row."""

    shape: Any
    pitch_um: float

    @property
    def area_mm2(self) -> float:
        return float(self.shape.area * (self.pitch_um / 1000) ** 2)

    def area_within(self, width: float, height: float) -> float:
        """The area, in electrodes squared, of what of it lies in a rectangle from 0."""
        shapely = required("shapely", "the chip's area")
        return float(self.shape.intersection(shapely.box(0, 0, width, height)).area)

    def contains(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """True for each of points (m, 2), x and y, that is in it."""
        shapely = required("shapely", "the chip's area")
        return np.asarray(shapely.contains_xy(self.shape, points[:, 0], points[:, 1]), np.bool_)


def chip_area(used: npt.NDArray[np.bool_], pitch_um: float) -> Region:
    """The circles of three electrodes' radius about the used electrodes."""
    shapely = required("shapely", "the chip's area")
    rows, columns = np.nonzero(used)
    shape = shapely.union_all(shapely.buffer(shapely.points(columns, rows), RADIUS, quad_segs=QUAD_SEGMENTS))
    shapely.prepare(shape)
    return Region(shape, pitch_um)
