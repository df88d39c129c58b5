"""Buffers kept by each thread, because memory is slow when it is touched for the first time."""

from __future__ import annotations

import threading
from typing import Any, TypeAlias

import numpy as np

Bytes: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"


class _Buffers(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[str, Bytes] = {}


_of_thread = _Buffers()


def thread_buffer(name: str, size: int) -> Bytes:
    """This thread's buffer for one name, its content undefined; valid until asked for again."""
    buffer = _of_thread.buffers.get(name)
    if buffer is None or buffer.size < size:
        buffer = _of_thread.buffers[name] = np.empty(size, np.uint8)
    return buffer[:size]
