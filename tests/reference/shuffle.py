"""HDF5's byte shuffle and its fletcher32 checksum, the obvious way."""

from __future__ import annotations

from typing import Any

import numpy as np

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def shuffle(data: Bytes, itemsize: int) -> Bytes:
    """Byte k of every element one after another; bytes beyond the last whole element stay at the end."""
    whole = data.size // itemsize * itemsize
    return np.concatenate([data[:whole].reshape(-1, itemsize).T.ravel(), data[whole:]])


def fletcher32(data: bytes) -> int:
    """Sums of big-endian 16-bit words, and of those sums, with end-around carry; an odd byte is a high one."""
    low = high = 0
    padded = data + b"\0" if len(data) % 2 else data
    for at in range(0, len(padded), 2):
        low += int.from_bytes(padded[at : at + 2], "big")
        low = (low & 0xFFFF) + (low >> 16)
        high += low
        high = (high & 0xFFFF) + (high >> 16)
    return high << 16 | low
