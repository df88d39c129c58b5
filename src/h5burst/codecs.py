"""HDF5's filters: which a storage wish means, and their work on the bytes of one chunk."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from h5burst import deflating
from h5burst._ext import shuffle as kernels
from h5burst.buffers import Bytes, scratch
from h5burst.tree import Storage

if TYPE_CHECKING:
    from typing_extensions import Buffer

DEFLATE, SHUFFLE, FLETCHER32, LZF, BLOSC, ZSTD = 1, 2, 3, 32000, 32001, 32015
CODECS = (None, "gzip", "lzf", "blosc", "zstd")
OPTIONAL = 1  # flag: a chunk that a filter cannot make smaller is stored without it
DEFAULT_GZIP_LEVEL = 4


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a pipeline, in the order of writing: HDF5 filter id, flags (1 = optional), client values."""

    id: int
    flags: int
    values: tuple[int, ...]
    name: str = ""


class ChunkError(OSError):
    """A chunk that does not decode: its checksum, its compressed stream or its length is wrong."""


def filters_for(storage: Storage, itemsize: int) -> tuple[Filter, ...]:
    """The pipeline that a storage wish means: shuffle before a codec, fletcher32 always last.

    Raises ValueError for an unknown codec or a level outside 0-9.
    """
    if storage.codec not in CODECS:
        raise ValueError(f"unknown codec {storage.codec!r}: choose one of {CODECS}")
    level = storage.level
    if level is not None and not 0 <= level <= 9:
        raise ValueError(f"level must be 0 to 9, got {level}")
    filters = []
    if storage.codec in ("gzip", "lzf", "zstd") and itemsize > 1:
        filters.append(Filter(SHUFFLE, OPTIONAL, (itemsize,), "shuffle"))
    if storage.codec == "gzip":
        filters.append(Filter(DEFLATE, OPTIONAL, (DEFAULT_GZIP_LEVEL if level is None else level,), "deflate"))
    elif storage.codec is not None:
        raise ValueError(f"codec {storage.codec!r} is not built yet")
    filters.append(Filter(FLETCHER32, 0, (), "fletcher32"))
    return tuple(filters)


def with_chunk_size(filters: tuple[Filter, ...], itemsize: int, chunk_bytes: int) -> tuple[Filter, ...]:
    """The same pipeline with the client values that depend on the size of a chunk."""
    return filters


def register(filters: Sequence[Filter]) -> None:
    """Make sure that libhdf5 knows these filters."""
    if any(step.id in (BLOSC, ZSTD) for step in filters):
        importlib.import_module("hdf5plugin")


def can_decode(filters: Sequence[Filter]) -> bool:
    """Whether `decode` knows all these filters."""
    return all(step.id in (DEFLATE, SHUFFLE, FLETCHER32) for step in filters)


def encode(data: Bytes, filters: Sequence[Filter], itemsize: int) -> tuple[int, bytes | bytearray]:
    """Filter mask and payload of one chunk."""
    mask, planes = 0, 1
    current: Any = data
    for bit, step in enumerate(filters):
        if step.id == SHUFFLE:
            shuffled = scratch("shuffled", data.size)
            kernels.shuffle(data, step.values[0] if step.values else itemsize, shuffled)
            current, planes = shuffled, max(1, step.values[0] if step.values else itemsize)
        elif step.id == DEFLATE:
            # Level 0 means no compression, which HDF5's own filter, too, leaves out of the chunk.
            packed = deflating.compress(current, step.values[0], planes) if step.values[0] else None
            if packed is not None and len(packed) < data.size:
                current = packed
            else:
                mask |= 1 << bit
        else:
            current = _with_checksum(current)
    return mask, current


def _with_checksum(data: Any) -> bytearray:
    payload = data if isinstance(data, bytearray) else bytearray(memoryview(data))
    payload += kernels.fletcher32(np.frombuffer(payload, np.uint8)).to_bytes(4, "little")
    return payload


def decode(payload: Buffer, filters: Sequence[Filter], filter_mask: int, itemsize: int, out: Bytes) -> None:
    """Undo a pipeline into `out`, which is as long as a chunk. Raises `ChunkError` for damaged data."""
    current = np.frombuffer(payload, np.uint8)
    for bit in reversed(range(len(filters))):
        step = filters[bit]
        if filter_mask >> bit & 1:
            continue
        if step.id == FLETCHER32:
            current = _checked(current)
        elif step.id == DEFLATE:
            current = _inflated(current, out.size)
        elif step.id == SHUFFLE:
            if current.size != out.size:
                raise ChunkError(f"a chunk of {out.size} bytes came out as {current.size}")
            kernels.unshuffle(current, step.values[0] if step.values else itemsize, out)
            current = out
    if current.size != out.size:
        raise ChunkError(f"a chunk of {out.size} bytes came out as {current.size}")
    if current is not out:
        out[:] = current


def _checked(payload: Bytes) -> Bytes:
    if payload.size < 4:
        raise ChunkError("a chunk is too short for its checksum")
    data = payload[:-4]
    if kernels.fletcher32(data) != int.from_bytes(payload[-4:].tobytes(), "little"):
        raise ChunkError("the fletcher32 checksum of a chunk is wrong: the file is damaged")
    return data


def _inflated(data: Bytes, size: int) -> Bytes:
    try:
        return np.frombuffer(deflating.decompress(data, size), np.uint8)
    except ValueError as error:
        raise ChunkError(f"a gzip chunk does not decompress ({error}): the file is damaged") from error
