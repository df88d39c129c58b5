from typing import Any

from numpy.typing import NDArray

def by_intervals(
    times: NDArray[Any], at_start: int, inside: int, between: int, shortest: int, min_spikes: int, out: NDArray[Any]
) -> int: ...
def surprises(times: NDArray[Any], bursts: NDArray[Any], rate: float, given: int, out: NDArray[Any]) -> None: ...
def by_surprise(
    times: NDArray[Any], rate: float, threshold: float, min_spikes: int, out: NDArray[Any], surprise: NDArray[Any]
) -> int: ...
def count_linked(
    onsets: NDArray[Any],
    offsets: NDArray[Any],
    links: NDArray[Any],
    units: NDArray[Any],
    delays: NDArray[Any],
    out: NDArray[Any],
) -> None: ...
def join_linked(
    onsets: NDArray[Any],
    offsets: NDArray[Any],
    links: NDArray[Any],
    units: NDArray[Any],
    delays: NDArray[Any],
    is_core: NDArray[Any],
    cluster: NDArray[Any],
) -> None: ...
