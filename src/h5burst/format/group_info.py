"""The group info message: how many links a header may hold, and what links a group was made for."""

from __future__ import annotations

import functools
import struct

_LINKS_DEFAULT = 8  # links that a header holds when the message states no number
_MAX_STATED = 65535
_FEWEST = 6  # links with which a group goes back into its header, where it states a number
_HAS_LIMITS, _HAS_ESTIMATES = 1, 2  # flags


@functools.lru_cache(256)  # groups of few forms are written again and again
def allowing(old: bytes | None, count: int) -> bytes:
    """The message as it was, but for a larger number of links where the header holds more. old: None for no message.

    One that is cut short is taken for one that states nothing: it only advises writers.
    """
    flags = old[1] if old is not None and len(old) > 1 else 0
    at = 2 + (4 if flags & _HAS_LIMITS else 0)
    end = at + (4 if flags & _HAS_ESTIMATES else 0)
    if old is None or len(old) < end:
        old, flags, at, end = b"\0\0", 0, 2, 2
    limits, estimates = old[2:at], old[at:end]
    max_compact = int.from_bytes(limits[:2], "little") if limits else _LINKS_DEFAULT
    if count > max_compact:
        limits = struct.pack("<HH", min(count, _MAX_STATED), min(_FEWEST, count))
    return bytes([0, (flags & _HAS_ESTIMATES) | (_HAS_LIMITS if limits else 0)]) + limits + estimates
