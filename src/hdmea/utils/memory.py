"""How much memory arrays hold on to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def buffer_bytes(values: Any) -> int:
    """Bytes of all buffers that arrays at any depth of dicts, lists and tuples look at, each buffer counted once."""
    buffers: dict[int, int] = {}
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, np.ndarray):
            key, size = _buffer(value)
            buffers[key] = max(buffers.get(key, 0), size)
        elif isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple)):
            waiting.extend(value)
        elif not isinstance(value, (str, bytes, int, float, np.generic)) and hasattr(value, "read"):
            buffers[id(value)] = int(np.prod(value.shape, dtype=np.int64)) * value.dtype.itemsize
    return sum(buffers.values())


def _buffer(array: np.ndarray[Any, Any]) -> tuple[int, int]:
    """The identity and the size in bytes of the memory that an array is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    if array.base is None:
        return id(array), array.nbytes
    try:
        return id(array.base), memoryview(array.base).nbytes
    except TypeError:  # a base that does not show its memory
        return id(array.base), array.nbytes
