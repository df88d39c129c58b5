from typing import Any

from numpy.typing import NDArray

def choose(
    columns: NDArray[Any],
    places: NDArray[Any],
    edges: NDArray[Any],
    counts: NDArray[Any],
    is_left: NDArray[Any],
    placed: NDArray[Any],
) -> int: ...
def compress(values: NDArray[Any], is_left: NDArray[Any], out: NDArray[Any]) -> int: ...
