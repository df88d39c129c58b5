"""Chunk plans: how a dataset is cut, filtered and put together again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a pipeline, in the order of writing: HDF5 filter id, flags (1 = optional), client values."""

    id: int
    flags: int
    values: tuple[int, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """Shape and dtype of the dataset, shape of a chunk, filters in the order of writing (fletcher32 last)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    filters: tuple[Filter, ...]
