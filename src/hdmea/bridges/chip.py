"""The electrodes of the chip that a recording was made with, as far as the recording says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hdmea.bridges import units as unit_facts
from hdmea.io.mcs_format import CHIP_SIDE
from hdmea.session.session import PipelineSession
from hdmea.steps.per_unit import IMAGE, feature_data, pitch_um

MCS_CHIP = "CMOS-MEA5000"
_ARRAY = re.compile(r"(\d+)x(\d+)_(\d+(?:\.\d+)?)um")


@dataclass(frozen=True, slots=True)
class Chip:
    """A grid of electrodes.

    name: as the recording has it; rows, cols: of the grid; pitch_um: distance of neighbours; x0_um, y0_um: place of the
    first electrode.
    """

    name: str
    rows: int
    cols: int
    pitch_um: float
    x0_um: float = 0.0
    y0_um: float = 0.0

    def __len__(self) -> int:
        return self.rows * self.cols

    def index(self, row: int | None, col: int | None) -> int | None:
        """The number of an electrode, row by row from 0; None for one that is not on the chip."""
        if row is None or col is None or not (1 <= row <= self.rows and 1 <= col <= self.cols):
            return None
        return (row - 1) * self.cols + col - 1

    def table(self) -> dict[str, np.ndarray]:
        """Columns `row` and `col` (from 1), `x_um` and `y_um` of all electrodes (electrodes,), row by row."""
        row, col = (axis.ravel() + 1 for axis in np.mgrid[: self.rows, : self.cols])
        x, y = self.x0_um + (col - 1) * self.pitch_um, self.y0_um + (row - 1) * self.pitch_um
        return {"row": row, "col": col, "x_um": x.astype(np.float64), "y_um": y.astype(np.float64)}


def chip_of(session: PipelineSession) -> Chip | None:
    """The chip of a recording: by the array's name, the vendor's numbers, or the size of electrical images.

    None where nothing says it.
    """
    meta = session.metadata.get("sys_meta")
    array = str(meta.get("array", "")) if isinstance(meta, Mapping) else ""
    if match := _ARRAY.search(array):
        chip = Chip(array, int(match[2]), int(match[1]), float(match[3]))
        return _placed(chip, session)
    pitch = pitch_um(session)
    if any("unit_num" in unit for unit in session.units.values()):
        return Chip(MCS_CHIP, CHIP_SIDE, CHIP_SIDE, pitch)
    for unit in session.units.values():
        image = feature_data(unit, IMAGE)
        if image is not None and len(image.shape) == 3:
            return Chip("not named in the recording", int(image.shape[1]), int(image.shape[2]), pitch)
    return None


def _placed(chip: Chip, session: PipelineSession) -> Chip | None:
    """The chip where the sorter's positions put it: the first electrode need not be at zero."""
    for unit in session.units.values():
        position = unit_facts.electrode_place(session, unit)
        if (
            position.row is not None
            and position.col is not None
            and position.x_um is not None
            and position.y_um is not None
        ):
            x0, y0 = (
                position.x_um - (position.col - 1) * chip.pitch_um,
                position.y_um - (position.row - 1) * chip.pitch_um,
            )
            return Chip(chip.name, chip.rows, chip.cols, chip.pitch_um, x0, y0)
    return None
