from typing import Any

from numpy.typing import NDArray

def second_difference_medians(image: NDArray[Any], out: NDArray[Any]) -> None: ...
def row_medians(rows: NDArray[Any], used: NDArray[Any], out: NDArray[Any]) -> None: ...
def filtered(image: NDArray[Any], weights: NDArray[Any], scale: NDArray[Any], out: NDArray[Any]) -> None: ...
def best_rays(
    image: NDArray[Any],
    paths: NDArray[Any],
    times: NDArray[Any],
    min_steps: int,
    best: NDArray[Any],
    where: NDArray[Any],
) -> None: ...
