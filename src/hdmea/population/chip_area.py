"""The part of the chip that retina covers: where electrical images of responding units are above noise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.bridges.extras import required

RADIUS = 3.0  # electrodes
FRAMES = slice(5, 9)  # of an image's window: 5 to 8, both included
FACTOR = 3.0
LEAST_QUALITY = 0.5  # of `step_up_QI`


def used_electrodes(images: Iterable[npt.NDArray[Any]]) -> npt.NDArray[np.bool_] | None:
    """Electrodes (rows, columns) whose SD over frames 5 to 8 exceeds three times the SD of those frames over all.

    images: (window, rows, columns) of the units that respond (`step_up_QI` above 0.5). None without an image.
    """
    used: npt.NDArray[np.bool_] | None = None
    for image in images:
        part = np.asarray(image, np.float64)[FRAMES]
        above = part.std(axis=0) > FACTOR * part.std()
        used = above if used is None else used | above
    return used


def chip_area(used: npt.NDArray[np.bool_], pitch_um: float) -> tuple[float, Any]:
    """The area of circles of three electrodes' radius about the used electrodes, in mm², and its shape (shapely).

    The shape is in electrodes, x the column and y the row.
    """
    shapely = required("shapely", "the chip's area")
    rows, columns = np.nonzero(used)
    circles = [shapely.Point(col, row).buffer(RADIUS) for row, col in zip(rows.tolist(), columns.tolist(), strict=True)]
    shape = shapely.union_all(circles)
    return float(shape.area * (pitch_um / 1000) ** 2), shape
