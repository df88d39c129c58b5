from typing import Any

from numpy.typing import NDArray

def count(dense: NDArray[Any], mask: int, counts: NDArray[Any], level: int) -> None: ...
def encode(
    dense: NDArray[Any],
    mask: int,
    pointers: NDArray[Any],
    start: int,
    data: NDArray[Any],
    narrow: NDArray[Any],
    wide: NDArray[Any],
    level: int,
) -> None: ...
def column_range(indices: NDArray[Any]) -> tuple[int, int]: ...
def repeats(indices: NDArray[Any], pointers: NDArray[Any]) -> bool: ...
def decode(
    data: NDArray[Any], indices: NDArray[Any], pointers: NDArray[Any], logical: bool, out: NDArray[Any]
) -> None: ...
