from typing import Any

from numpy.typing import NDArray

STRIP: int
LAGS: int

def runs(rows: NDArray[Any], starts: NDArray[Any]) -> int: ...
def pack(rows: NDArray[Any], starts: NDArray[Any], runs: int, strip: int, out: NDArray[Any]) -> None: ...
def count(
    triggers: NDArray[Any], offsets: NDArray[Any], low: int, high: int, frames: int, out: NDArray[Any]
) -> None: ...
def add(
    triggers: NDArray[Any],
    offsets: NDArray[Any],
    low: int,
    high: int,
    frames: int,
    lag: int,
    starts: NDArray[Any],
    strips: NDArray[Any],
    bytes_a_pixel: int,
    before: NDArray[Any],
    weights: NDArray[Any],
    sums: NDArray[Any],
    level: int,
) -> None: ...
def finish(sums: NDArray[Any], counts: NDArray[Any], bias: int, out: NDArray[Any]) -> None: ...
