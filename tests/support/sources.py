"""Arrays in memory as sources that are read block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Rows:
    """All that a source of a user has to have, and the ranges of rows that were asked for.

    Each block is a copy, as that of a reader of files.
    """

    def __init__(self, data: npt.ArrayLike) -> None:
        self.data: np.ndarray[Any, Any] = np.asarray(data)
        self.shape: tuple[int, ...] = self.data.shape
        self.dtype: np.dtype[Any] = self.data.dtype
        self.asked: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        self.asked.append((start, stop))
        return self.data[start:stop].copy()

    @property
    def max_rows(self) -> int:
        """Of all that was asked for at once."""
        return max((stop - start for start, stop in self.asked), default=0)
