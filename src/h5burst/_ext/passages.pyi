from typing import Any

from numpy.typing import NDArray

def passages(
    frames: NDArray[Any],
    scratch: NDArray[Any],
    state: NDArray[Any],
    open_frames: NDArray[Any],
    on: NDArray[Any],
    off: NDArray[Any],
    area: int,
) -> None: ...
