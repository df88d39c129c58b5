from typing import Any

from numpy.typing import NDArray

def passages(
    frames: NDArray[Any], level: NDArray[Any], rise: NDArray[Any], on: NDArray[Any], off: NDArray[Any]
) -> None: ...
