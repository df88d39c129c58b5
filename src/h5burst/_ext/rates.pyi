from typing import Any

from numpy.typing import NDArray

def binned(
    times: NDArray[Any], offsets: NDArray[Any], width: float, factor: float, counts: NDArray[Any], out: NDArray[Any]
) -> None: ...
def frame_at(times: NDArray[Any], starts: NDArray[Any], out: NDArray[Any]) -> None: ...
