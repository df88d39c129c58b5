"""Places of the electrodes of the vendor's arrays, by their labels.

Labels of 60-electrode arrays are two digits, column then row, "12" to "87"; of larger ones a letter for the column (I
and Q are left out) and the row, "A7". The corners of all of them are missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LETTERS = "ABCDEFGHJKLMNOPR"
_GRIDS = {60: 8, 120: 12, 252: 16, 256: 16}  # electrodes in the array's name -> side of its square
_NAME = re.compile(r"(?<!\d)(60|120|252|256)[A-Za-z]*MEA\s*(\d+)?(?:/\d+)?")
_OTHER = re.compile(r"linear|hexa|hexagonal|6x10|6well|multiwell|-well", re.IGNORECASE)
_SQUARE = re.compile(r"(?<!\d)(8|12|16)x(8|12|16)(?!\d)")
_SIX_BY_TEN_UM = 500  # 60MEA500/30 has six rows of ten


@dataclass(frozen=True, slots=True)
class ElectrodeGrid:
    """A square grid of electrodes. side: electrodes a row; pitch_um: None where the array's name does not say it."""

    side: int
    pitch_um: float | None

    @property
    def name(self) -> str | None:
        """As the rest of the package knows arrays, with columns, rows and pitch; None without a pitch."""
        return None if self.pitch_um is None else f"{self.side}x{self.side}_{self.pitch_um:g}um"

    def place(self, label: str) -> tuple[int, int] | None:
        """Row and column, from 1, of a label; None for one that is not on the grid."""
        if match := re.fullmatch(r"([1-8])([1-8])", label):
            column, row = int(match[1]), int(match[2])
        elif match := re.fullmatch(r"([A-HJ-PR])(\d{1,2})", label):
            column, row = LETTERS.index(match[1]) + 1, int(match[2])
        else:
            return None
        fits = max(row, column) <= self.side and row >= 1 and label[0].isdecimal() == (self.side == 8)
        return (row, column) if fits else None


def grid_of(layout: str, name: str, labels: Sequence[str], pitch_um: float | None = None) -> ElectrodeGrid | None:
    """The grid of an array, where its layout or name is one of the vendor's squares and all labels are on it.

    Parameters
    ----------
    layout, name : str
        `MeaLayout` and `MeaName` of the file.
    labels : sequence of str
        Of its electrodes.
    pitch_um : float, optional
        Distance of neighbouring electrodes, where the name does not say it.
    """
    if _OTHER.search(layout) or _OTHER.search(name):
        return None
    for text in (layout, name):
        side, stated = _side_and_pitch(text)
        if side is None or (side == 8 and stated == _SIX_BY_TEN_UM):
            continue
        pitch = pitch_um if pitch_um is not None else stated if stated is not None else _side_and_pitch(name)[1]
        grid = ElectrodeGrid(side, pitch)
        if labels and all(grid.place(label) is not None for label in labels):
            return grid
    return None


def _side_and_pitch(text: str) -> tuple[int | None, float | None]:
    """Side and pitch in µm that a text such as "60MEA200/30iR" or "16x16" tells."""
    if match := _NAME.search(text):
        return _GRIDS[int(match[1])], float(match[2]) if match[2] else None
    if (match := _SQUARE.search(text)) and match[1] == match[2]:
        return int(match[1]), None
    return None, None


def grid_labels(side: int) -> list[str]:
    """Labels of the electrodes of a square, column by column, without the corners that the vendor leaves out."""
    cut = {8: 1, 12: 3, 16: 1}[side]  # electrodes that a corner's triangle lacks along an edge
    labels = []
    for column in range(side):
        for row in range(side):
            from_corner = min(column, side - 1 - column) + min(row, side - 1 - row)
            if from_corner >= cut:
                labels.append(f"{column + 1}{row + 1}" if side == 8 else f"{LETTERS[column]}{row + 1}")
    return labels
