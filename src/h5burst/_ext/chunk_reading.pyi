from collections.abc import Sequence
from typing import Any

import numpy as np

_Bytes = np.ndarray[Any, np.dtype[np.uint8]]
_Words = np.ndarray[Any, np.dtype[np.uint64]]

MISSING: int

class ChunkReading:
    def __new__(
        cls,
        out: _Bytes,
        box: Sequence[tuple[int, int]],
        chunk: Sequence[int],
        itemsize: int,
        filters: Sequence[tuple[int, int]],
        fill: _Bytes,
        level: int,
        starts: np.ndarray[Any, np.dtype[np.int64]],
        addresses: _Words,
        sizes: _Words,
        masks: np.ndarray[Any, np.dtype[np.uint32]],
        descriptor: int,
        payloads: Sequence[bytes | None] | None,
        at_once: int,
    ) -> ChunkReading: ...
    def help(self) -> None: ...
    def finish(self) -> bool: ...
