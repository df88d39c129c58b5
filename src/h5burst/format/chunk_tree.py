"""Version 2 B-trees as the index of a dataset's chunks: the form for datasets that may be resized."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from typing import Any

from h5burst.arrays.chunks import ChunkPlan
from h5burst.format import data_layout
from h5burst.format.btree2_update import NODE_BYTES
from h5burst.format.fixed_array import size_width as width_of

_PLAIN, _FILTERED = 10, 11  # record types
_SPLIT_PERCENT, _MERGE_PERCENT = 100, 40


def kind(plan: ChunkPlan) -> int:
    """The type of the records."""
    return _FILTERED if plan.filters else _PLAIN


def size_width(plan: ChunkPlan) -> int:
    """Bytes of a chunk's size in a record; 0 without filters: all chunks are of one size."""
    return width_of(plan.chunk_bytes) if plan.filters else 0


def records(entries: Any, coordinates: Any, width: int) -> list[bytes]:
    """Records of chunks. entries (n, 3): address, size, filter mask; coordinates (n, rank): in the grid of chunks."""
    return [record(tuple(map(int, e)), tuple(map(int, c)), width) for e, c in zip(entries, coordinates, strict=True)]


def records_of_grid(entries: Any, plan: ChunkPlan, above: int = 0) -> list[bytes]:
    """Records of all chunks of a grid, in its order, where so many rows of chunks are above it."""
    grid, width = plan.grid, size_width(plan)
    places = itertools.product(range(above, above + grid[0]), *map(range, grid[1:]))
    return [record(entry, coordinate, width) for entry, coordinate in zip(entries.tolist(), places, strict=True)]


def record(entry: Sequence[int], coordinates: Sequence[int], width: int) -> bytes:
    """One record: address; with filters size and filter mask; coordinates."""
    address, size, mask = entry
    filtered = size.to_bytes(width, "little") + mask.to_bytes(4, "little") if width else b""
    return address.to_bytes(8, "little") + filtered + struct.pack(f"<{len(coordinates)}Q", *coordinates)


def coordinates_of(rank: int) -> Any:
    """The key of records: their coordinates, in which they are ordered."""
    return lambda data: struct.unpack(f"<{rank}Q", data[-8 * rank :])


def layout_message(plan: ChunkPlan, address: int) -> bytes:
    """The body of the data layout message, which ends in the address."""
    information = struct.pack("<IBB", NODE_BYTES, _SPLIT_PERCENT, _MERGE_PERCENT)
    return data_layout.encode(plan.chunks, plan.dtype.itemsize, data_layout.BTREE2, information, address)


def leading_to(message: bytes, address: int) -> bytes:
    """A data layout message with another address."""
    return message[:-8] + address.to_bytes(8, "little")
