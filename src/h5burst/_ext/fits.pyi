from typing import Any

from numpy.typing import NDArray

PARAMETERS: tuple[int, ...]

def fit_surface(
    surface: int,
    x: NDArray[Any],
    y: NDArray[Any],
    values: NDArray[Any],
    parameters: NDArray[Any],
    low: NDArray[Any],
    high: NDArray[Any],
    max_steps: int,
    tolerance: float,
    normal: NDArray[Any],
) -> tuple[float, bool]: ...
def fit_polynomial(
    u: NDArray[Any],
    v: NDArray[Any],
    weights: NDArray[Any],
    prior: NDArray[Any],
    tuning: float,
    min_scale: float,
    rounds: int,
    coefficients: NDArray[Any],
    robust: NDArray[Any],
) -> bool: ...
def fit_rate(
    kind: int,
    drive: NDArray[Any],
    counts: NDArray[Any],
    frames: NDArray[Any],
    parameters: NDArray[Any],
    max_steps: int,
) -> tuple[float, bool]: ...
