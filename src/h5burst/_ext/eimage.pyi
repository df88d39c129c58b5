from typing import Any

import numpy as np

TILE: int
MAX_SECTIONS: int

_Array = np.ndarray[Any, np.dtype[Any]]

def add_filtered(
    block: _Array,
    first_tile: int,
    last_tile: int,
    coefficients: _Array,
    forward: _Array | None,
    windows: _Array,
    ends: _Array,
    carrying: _Array,
    carry: _Array,
    sums: _Array,
    lost: _Array | None,
    states: _Array,
    filtered: _Array,
    padded: _Array,
    state: _Array,
    level: int,
) -> None: ...
def add_raw(
    block: _Array,
    first_tile: int,
    last_tile: int,
    windows: _Array,
    sums: _Array | None,
    totals: _Array,
    padded: _Array,
    level: int,
) -> None: ...
def finish_filtered(
    sums: _Array,
    states: _Array,
    coefficients: _Array,
    scale: float,
    out: _Array,
    filtered: _Array,
    level: int,
) -> None: ...
