"""Buffers kept by each thread, because memory is slow when it is touched for the first time."""

from __future__ import annotations

import threading
from typing import Any, TypeAlias

import numpy as np

Bytes: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[str, Bytes] = {}


_scratch = _Scratch()


def scratch(purpose: str, size: int) -> Bytes:
    """This thread's buffer for one purpose, its content undefined; valid until asked for again."""
    buffer = _scratch.buffers.get(purpose)
    if buffer is None or buffer.size < size:
        buffer = _scratch.buffers[purpose] = np.empty(size, np.uint8)
    return buffer[:size]
