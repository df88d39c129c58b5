"""HDF5's filters: which a storage wish means, and their work on the bytes of one chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from h5burst._ext import shuffle as kernels
from h5burst.codecs import deflate, plugins
from h5burst.codecs.deflate import NO_PRECEDENT, Precedent
from h5burst.codecs.plugins import BLOSC, LZF, ZSTD
from h5burst.model.tree import Storage
from h5burst.runtime.buffers import Bytes, scratch

if TYPE_CHECKING:
    from typing_extensions import Buffer

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
CODECS = (None, "gzip", "lzf", "blosc", "zstd")
_PLUGINS = {"lzf": LZF, "blosc": BLOSC, "zstd": ZSTD}
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


def filters_for(storage: Storage, itemsize: int, chunk_bytes: int = 0) -> tuple[Filter, ...]:
    """The pipeline that a storage wish means for chunks of this size: shuffle, codec, fletcher32 always last.

    Raises ValueError for an unknown codec or a level outside 0-9.
    """
    codec, level = storage.codec, storage.level
    if codec not in CODECS:
        raise ValueError(f"unknown codec {codec!r}: choose one of {CODECS}")
    if level is not None and not 0 <= level <= 9:
        raise ValueError(f"level must be 0 to 9, got {level}")
    filters = []
    if codec in ("gzip", "lzf", "zstd") and itemsize > 1:  # blosc shuffles by itself
        filters.append(Filter(SHUFFLE, OPTIONAL, (itemsize,), "shuffle"))
    if codec == "gzip":
        filters.append(Filter(DEFLATE, OPTIONAL, (DEFAULT_GZIP_LEVEL if level is None else level,), "deflate"))
    elif codec is not None:
        number = _PLUGINS[codec]
        values = plugins.client_values(number, level, itemsize, chunk_bytes)
        filters.append(Filter(number, OPTIONAL, values, codec))
    filters.append(Filter(FLETCHER32, 0, (), "fletcher32"))
    return tuple(filters)


def register(filters: Sequence[Filter]) -> None:
    """Make sure that libhdf5 knows these filters."""
    if any(step.id in (BLOSC, ZSTD) for step in filters):
        plugins.register()


def is_threaded(filters: Sequence[Filter]) -> bool:
    """Whether `encode` needs no libhdf5 and its lock, so that it may work in any thread."""
    return can_decode(filters)


def can_decode(filters: Sequence[Filter]) -> bool:
    """Whether `decode` knows all these filters."""
    return all(step.id in (DEFLATE, SHUFFLE, FLETCHER32) or plugins.is_direct(step.id) for step in filters)


def precedent_of(data: Bytes, filters: Sequence[Filter], itemsize: int) -> Precedent:
    """What `encode` may go by for chunks of the same array. It costs several times an `encode`."""
    for step in filters:
        if step.id == DEFLATE and step.values[0] > 0:
            if filters[0].id != SHUFFLE or _is_better_unshuffled(data, step, itemsize):
                return deflate.precedent_of(data, step.values[0], 1, itemsize)
            shuffled = scratch("shuffled", data.size)
            kernels.shuffle(data, itemsize, shuffled)
            return deflate.precedent_of(shuffled, step.values[0], itemsize)
    return NO_PRECEDENT


def encode(
    data: Bytes, filters: Sequence[Filter], itemsize: int, precedent: Precedent = NO_PRECEDENT
) -> tuple[int, bytes | bytearray]:
    """Filter mask and payload of one chunk. precedent: of a chunk of the same array."""
    mask, planes = 0, 1
    current: Any = data
    for bit, step in enumerate(filters):
        if step.id == SHUFFLE and _is_better_unshuffled(data, filters[bit + 1], itemsize):
            mask |= 1 << bit
        elif step.id == SHUFFLE:
            shuffled = scratch("shuffled", data.size)
            kernels.shuffle(data, step.values[0] if step.values else itemsize, shuffled)
            current, planes = shuffled, max(1, step.values[0] if step.values else itemsize)
        elif step.id == FLETCHER32:
            current = _with_checksum(current)
        else:
            packed = _packed(current, step, planes, itemsize, precedent)
            if packed is None:
                mask |= 1 << bit
            else:
                current = packed
    return mask, current


def _is_better_unshuffled(data: Bytes, codec: Filter, itemsize: int) -> bool:
    return codec.id == DEFLATE and codec.values[0] > 0 and deflate.is_better_unshuffled(data, itemsize)


def _packed(data: Bytes, step: Filter, planes: int, itemsize: int, precedent: Precedent) -> bytes | bytearray | None:
    """What a codec makes of a chunk, None where it does not get smaller: it is then left out of that chunk."""
    if step.id in (DEFLATE, ZSTD) and step.values[0] == 0:
        return None  # level 0 means no compression
    if step.id != DEFLATE:
        return plugins.compress(step.id, step.values, data, itemsize)
    packed = deflate.compress(data, step.values[0], planes, itemsize if planes == 1 else 1, precedent)
    return packed if len(packed) < data.size else None


def _with_checksum(data: Any) -> bytearray:
    payload = data if isinstance(data, bytearray) else bytearray(memoryview(data))
    payload += kernels.fletcher32(np.frombuffer(payload, np.uint8)).to_bytes(4, "little")
    return payload


def decode(payload: Buffer, filters: Sequence[Filter], filter_mask: int, itemsize: int, out: Bytes) -> None:
    """Undo a pipeline into `out`, which is as long as a chunk. Raises `ChunkError` for damaged data."""
    current = np.frombuffer(memoryview(payload), np.uint8)
    shuffled = any(step.id == SHUFFLE and not filter_mask >> bit & 1 for bit, step in enumerate(filters))
    for bit in reversed(range(len(filters))):
        step = filters[bit]
        if filter_mask >> bit & 1:
            continue
        if step.id == FLETCHER32:
            current = _checked(current)
        elif step.id == SHUFFLE:
            if current.size != out.size:
                raise ChunkError(f"a chunk of {out.size} bytes came out as {current.size}")
            kernels.unshuffle(current, step.values[0] if step.values else itemsize, out)
            current = out
        else:
            current = _unpacked(current, step, out.size, shuffled)
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


def _unpacked(data: Bytes, step: Filter, size: int, shuffled: bool) -> Bytes:
    try:
        if step.id == DEFLATE:
            return np.frombuffer(deflate.decompress(data, size, shuffled=shuffled), np.uint8)
        return np.frombuffer(plugins.decompress(step.id, step.values, data, size), np.uint8)
    except ValueError as error:
        raise ChunkError(f"a {step.name or 'compressed'} chunk does not decompress ({error}): it is damaged") from error
