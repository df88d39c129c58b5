"""The dataspace message: the shape of a dataset or an attribute."""

from __future__ import annotations

import math
import struct

from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError

_NULL = 2  # type of a version 2 message
_HAS_LIMITS = 1  # flag


@total("a dataspace message")
def extent(message: bytes) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """Shape and largest shape; None for the shape of a null one."""
    version, rank, flags, kind = message[:4]
    if version not in (1, 2):
        raise CorruptStructureError("a dataspace message is of an unknown version")
    if version == 2 and kind == _NULL:
        return None, ()
    at = 8 if version == 1 else 4
    shape = struct.unpack_from(f"<{rank}Q", message, at)
    limits = struct.unpack_from(f"<{rank}Q", message, at + 8 * rank) if flags & _HAS_LIMITS else shape
    return shape, limits


def with_length(message: bytes, length: int) -> bytes:
    """The message with another length of the first axis."""
    at = 8 if message[0] == 1 else 4
    return message[:at] + length.to_bytes(8, "little") + message[at + 8 :]


def element_count(message: bytes) -> int:
    """Number of elements that it means; 0 for a null one. Raises `CorruptStructureError`."""
    shape, _ = extent(message)
    return 0 if shape is None else math.prod(shape)
