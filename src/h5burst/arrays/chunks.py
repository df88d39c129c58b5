"""Chunk plans: how a dataset is cut, filtered and put together again.

`plan` decides, and `fitted` once the elements are there; `encode` turns data into the payloads that are in the file,
`read_into` turns payloads back into data. Payloads are exactly what HDF5's own filter pipeline would read, so they go
into a file by direct chunk write or by whoever writes the file's bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from h5burst import codecs
from h5burst.arrays.selection import AxisIndices
from h5burst.codecs import ChunkError, Filter
from h5burst.model.source import ArraySource, as_source
from h5burst.model.tree import Storage, fill_bytes
from h5burst.runtime.buffers import Bytes, thread_buffer
from h5burst.runtime.threads import bounded_map, parallel_map

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "COMPACT_LIMIT",
    "ChunkError",
    "ChunkPlan",
    "EncodedChunk",
    "Filter",
    "compact_limit",
    "decode",
    "encode",
    "fitted",
    "plan",
    "plan_text",
    "read_into",
]

COMPACT_LIMIT = 60 * 1024  # bytes of an array that still are in its object header, whose message holds 64 KiB
COMPACT_LIMIT_WITH_CODEC = 8 * 1024  # compression does not pay below this
CHUNK_BYTES = 1 << 20
GROWING_CHUNK_BYTES = 1 << 16  # of a dataset that may grow and is not larger now
MANY_CHUNKS = 32  # with so many the first is worth a trial
FEW_CHUNKS = 8  # enough for several threads
MAX_CHUNK_BYTES = (1 << 32) - 1  # of the file format
SAMPLED_CHUNKS = 8  # of a dataset, for a choice of its filters
_ENOUGH_FOR_PAIRS = 16  # chunks of a request; of fewer each goes to the next free thread
_MAX_BYTES_OF_PAIRED = 4 << 20  # of each chunk, so that two need little memory
_TASK_BYTES = 1 << 20  # of decoded chunks that a thread is given at a time
_MIN_TASKS = 32  # of a request, where it has so many chunks: threads end at about the same time
_COPYING_TASKS = 8  # of a request, where chunks are only copied: more would take longer than the copies

Fetch: TypeAlias = "Callable[[int], tuple[Buffer, int] | None]"
Box: TypeAlias = "Sequence[tuple[int, int]]"


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """Shape and dtype of the dataset, shape of a chunk, filters in the order of writing (fletcher32 last).

    fill: the element that chunks hold beyond the array's edge, which shows when it grows; None for zeros.
    `chunks` is () for what HDF5 can hold only contiguous and unfiltered: large scalars, much variable-length text.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    filters: tuple[Filter, ...]
    fill: bytes | None = None

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each axis; edge chunks may exceed the array."""
        return tuple(-(-length // chunk) for length, chunk in zip(self.shape, self.chunks, strict=True))

    @property
    def chunk_count(self) -> int:
        return math.prod(self.grid)

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one chunk before filtering; edge chunks are padded to it."""
        return math.prod(self.chunks) * self.dtype.itemsize

    def offset(self, index: int) -> tuple[int, ...]:
        """Coordinates of the first element of the chunk with this linear (C order) index."""
        coordinates = np.unravel_index(index, self.grid)
        return tuple(int(k) * chunk for k, chunk in zip(coordinates, self.chunks, strict=True))


class EncodedChunk(NamedTuple):
    """One chunk as it is in the file: linear (C order) number, first element, filter mask, bytes.

    Bit i of `filter_mask` set: filter i of the plan was not applied.
    """

    number: int
    offset: tuple[int, ...]
    filter_mask: int
    payload: bytes | bytearray | memoryview


def compact_limit(storage: Storage | None) -> int:
    """Bytes of the largest array (with axes) that `plan` leaves in its object header."""
    if storage is None:
        return COMPACT_LIMIT
    if (
        storage.maxshape is not None
        or storage.chunks is not None
        or (storage.compress_small and storage.codec is not None)
    ):
        return 0
    return COMPACT_LIMIT if storage.codec is None else COMPACT_LIMIT_WITH_CODEC


def plan(shape: tuple[int, ...], dtype: np.dtype[Any], storage: Storage | None = None) -> ChunkPlan | None:
    """Choose how an array is stored: None for compact storage in its object header, else chunks and filters.

    dtype: of the bytes in the file; for variable-length text there is `plan_text`. What is not compact ends in HDF5's
    fletcher32 checksum. Raises ValueError for an unknown codec, a level
    outside 0-9, and `storage.chunks` that do not fit the shape.
    """
    storage = storage or Storage()
    codecs.check_codec(storage)  # however small the array
    size = math.prod(shape) * dtype.itemsize
    if storage.maxshape is not None:
        return _plan_growing(shape, dtype, storage, storage.maxshape)
    if not size or size <= compact_limit(storage) or (not shape and size <= COMPACT_LIMIT):
        return None
    if not shape:
        return ChunkPlan(shape, dtype, (), ())
    chunks = _given_chunks(storage.chunks, shape) if storage.chunks else _cut(shape, dtype.itemsize)
    chunk_bytes = math.prod(chunks) * dtype.itemsize
    if chunk_bytes > MAX_CHUNK_BYTES:
        raise ValueError(f"chunks of {chunk_bytes} bytes: HDF5 holds at most {MAX_CHUNK_BYTES}")
    return ChunkPlan(shape, dtype, chunks, codecs.filters_for(storage, dtype.itemsize, chunk_bytes))


def _plan_growing(
    shape: tuple[int, ...], dtype: np.dtype[Any], storage: Storage, largest: tuple[int | None, ...]
) -> ChunkPlan:
    """Chunks of a dataset that may be resized: smaller ones for one that is small now.

    No smaller than a few threads need: the planes of shuffled bytes are coded one by one where they are long enough,
    which is faster and makes them shorter (`codecs.deflate.MIN_STRETCH`).
    """
    if len(largest) != len(shape) or not shape:
        raise ValueError(f"maxshape {largest} does not fit an array of shape {shape}: one length for each axis")
    if any(limit is not None and limit < max(length, 1) for length, limit in zip(shape, largest, strict=True)):
        raise ValueError(f"maxshape {largest} is smaller than the shape {shape}")
    if storage.chunks is not None:
        if len(storage.chunks) != len(shape) or min(storage.chunks) < 1:
            raise ValueError(f"chunks {storage.chunks} do not fit an array of shape {shape}: one length >= 1 an axis")
        limits = zip(storage.chunks, largest, strict=True)
        chunks = tuple(chunk if limit is None else min(chunk, limit) for chunk, limit in limits)
    else:
        size = math.prod(shape) * dtype.itemsize
        target = min(max(size // FEW_CHUNKS, min(size, 2 * GROWING_CHUNK_BYTES), GROWING_CHUNK_BYTES), CHUNK_BYTES)
        extents = [max(length, 1) if limit is None else limit for length, limit in zip(shape, largest, strict=True)]
        if largest[0] is None:
            extents[0] = max(extents[0], target // max(1, math.prod(extents[1:]) * dtype.itemsize))
        chunks = _cut(tuple(extents), dtype.itemsize, target)
    chunk_bytes = math.prod(chunks) * dtype.itemsize
    if chunk_bytes > MAX_CHUNK_BYTES:
        raise ValueError(f"chunks of {chunk_bytes} bytes: HDF5 holds at most {MAX_CHUNK_BYTES}")
    fill = None if storage.fillvalue is None else fill_bytes(storage.fillvalue, dtype)
    return ChunkPlan(shape, dtype, chunks, codecs.filters_for(storage, dtype.itemsize, chunk_bytes), fill)


def plan_text(shape: tuple[int, ...], element_bytes: int = 16, storage: Storage | None = None) -> ChunkPlan | None:
    """As `plan`, for variable-length text, whose elements in the file are references of 16 bytes, and compounds of it.

    HDF5 refuses filters on them, the checksum as well as codecs.
    """
    if storage is not None and storage.maxshape is not None:
        cut = _plan_growing(
            shape, np.dtype((np.void, element_bytes)), replace(storage, fillvalue=None), storage.maxshape
        )
        return replace(cut, filters=())
    if element_bytes * math.prod(shape) <= COMPACT_LIMIT:
        return None
    return ChunkPlan(shape, np.dtype((np.void, element_bytes)), (), ())


def _given_chunks(chunks: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(chunks) != len(shape) or min(chunks) < 1:
        raise ValueError(f"chunks {chunks} do not fit an array of shape {shape}: one length >= 1 for each axis")
    return tuple(min(chunk, length) for chunk, length in zip(chunks, shape, strict=True))


def _cut(shape: tuple[int, ...], itemsize: int, target: int = CHUNK_BYTES) -> tuple[int, ...]:
    """Chunks of about `target` bytes: the leading axes are cut first, into even parts, so that rows stay whole."""
    chunks = list(shape)
    for axis, length in enumerate(shape):
        row_bytes = math.prod(chunks[axis + 1 :]) * itemsize
        if length * row_bytes <= target:
            break
        most = max(1, target // row_bytes)
        chunks[axis] = -(-length // -(-length // most))
    return tuple(chunks)


def fitted(
    data: np.ndarray[Any, Any] | ArraySource, plan: ChunkPlan
) -> tuple[np.ndarray[Any, Any] | ArraySource, ChunkPlan]:
    """The plan for a new dataset of these elements, without the byte shuffle where it is of no use; and what to encode.

    Chunks all over an array in memory are looked at; of a source those of its first rows, which are kept until they are
    asked for again.
    """
    _check_shape(data, plan)
    if not plan.chunk_count or codecs.is_fitted(plan.filters):
        return data, plan
    source: np.ndarray[Any, Any] | ArraySource = data
    if isinstance(data, np.ndarray):
        count, begun = plan.chunk_count, data
    else:
        begun = data.read(0, min(plan.chunks[0], plan.shape[0]))
        count, source = math.prod(plan.grid[1:]), _Begun(data, begun)

    def chunk(number: int) -> Bytes:
        corner = plan.offset(number)
        return _padded(begun[tuple(slice(at, at + size) for at, size in zip(corner, plan.chunks, strict=True))], plan)

    filters = codecs.fitted(plan.filters, map(chunk, sampled(count)), plan.dtype.itemsize)
    return source, replace(plan, filters=filters)


def sampled(count: int) -> list[int]:
    """The numbers of the chunks that are looked at: a few, evenly spread."""
    samples = min(count, SAMPLED_CHUNKS)
    return [count * (2 * number + 1) // (2 * samples) for number in range(samples)]


class _Begun:
    """A source whose first rows were read; they are given when they are asked for."""

    def __init__(self, source: ArraySource, rows: np.ndarray[Any, Any]) -> None:
        self._source, self.shape, self.dtype = source, source.shape, source.dtype
        self._rows: np.ndarray[Any, Any] | None = rows

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        rows, self._rows = self._rows, None
        if rows is not None and (start, stop) == (0, len(rows)):
            return rows
        return self._source.read(start, stop)


def _check_shape(data: np.ndarray[Any, Any] | ArraySource, plan: ChunkPlan) -> None:
    if tuple(data.shape) != plan.shape:
        raise ValueError(f"data of shape {tuple(data.shape)} for a plan of shape {plan.shape}")


def encode(
    data: np.ndarray[Any, Any] | ArraySource, plan: ChunkPlan, threads: int | None = None
) -> Iterator[EncodedChunk]:
    """Every chunk of `data` in ascending order, filtered in threads, a bounded number of them in flight.

    data: an array of any strides and byte order, or an `ArraySource`, whose rows are asked for in ascending order, each
    once, by the calling thread. A payload is valid for as long as the caller holds it.
    """
    _check_shape(data, plan)
    parts = _parts(data, plan)
    hint = None
    if plan.chunk_count >= MANY_CHUNKS:
        first = next(parts)
        hint = codecs.encoding_hint(_padded(first[2], plan), plan.filters, plan.dtype.itemsize)
        parts = chain([first], parts)

    def filtered(item: tuple[int, tuple[int, ...], np.ndarray[Any, Any]]) -> EncodedChunk:
        index, offset, part = item
        mask, payload = codecs.encode(_padded(part, plan), plan.filters, plan.dtype.itemsize, hint)
        return EncodedChunk(index, offset, mask, payload)

    if not codecs.is_threaded(plan.filters):
        threads = 1  # the caller may hold the lock that libhdf5 then needs
    return bounded_map(filtered, parts, threads)


def _parts(
    data: np.ndarray[Any, Any] | ArraySource, plan: ChunkPlan
) -> Iterator[tuple[int, tuple[int, ...], np.ndarray[Any, Any]]]:
    """Index, offset and elements of every chunk, edge chunks cut at the array's edge."""
    source = as_source(data)
    index = 0
    for first in range(0, plan.shape[0], plan.chunks[0]):
        rows = min(plan.chunks[0], plan.shape[0] - first)
        band = source.read(first, first + rows)
        if band.shape != (rows, *plan.shape[1:]):
            raise ValueError(f"rows {first} to {first + rows} came with shape {band.shape}")
        columns = (range(0, length, chunk) for length, chunk in zip(plan.shape[1:], plan.chunks[1:], strict=True))
        for corner in product(*columns):
            box = (slice(None), *(slice(at, at + chunk) for at, chunk in zip(corner, plan.chunks[1:], strict=True)))
            yield index, (first, *corner), band[box]
            index += 1


def _padded(part: np.ndarray[Any, Any], plan: ChunkPlan) -> Bytes:
    """The bytes of a whole chunk: `part` itself where it is in one run, else a copy, padded at the array's edge."""
    if part.dtype != plan.dtype:
        if not np.can_cast(part.dtype, plan.dtype, "equiv"):
            raise ValueError(f"data of dtype {part.dtype} for a plan of dtype {plan.dtype}")
        part = part.astype(plan.dtype)
    raw = np.dtype((np.void, plan.dtype.itemsize))  # bytes as they are, padding between fields included
    if part.shape == plan.chunks and part.flags.c_contiguous:
        return part.reshape(-1).view(np.uint8)
    whole = thread_buffer("padded", plan.chunk_bytes)
    target = whole.view(raw).reshape(plan.chunks)
    if part.shape != plan.chunks:
        whole[:] = 0
        if plan.fill is not None:
            target[...] = np.frombuffer(plan.fill, raw)[0]
    np.copyto(target[tuple(slice(length) for length in part.shape)], part.view(raw))
    return whole


def decode(payload: Buffer, plan: ChunkPlan, filter_mask: int, out: Bytes) -> None:
    """Undo the filters of one chunk straight into `out` (uint8, `plan.chunk_bytes` long).

    Raises `ChunkError` when the checksum or the compressed stream is wrong, or the length is not a chunk's.
    """
    codecs.decode(payload, plan.filters, filter_mask, plan.dtype.itemsize, out)


class ChunkPart(NamedTuple):
    """The wanted part of one chunk: its linear (C order) number, an index into it, and one into the result."""

    number: int
    source: tuple[Any, ...]
    target: tuple[slice, ...]


def parts_of(plan: ChunkPlan, places: Sequence[AxisIndices]) -> Iterator[ChunkPart]:
    """Every chunk that holds some of the places of each axis, in ascending order, each once."""
    if len(places) == 1 and isinstance(places[0], range) and places[0].step == 1:
        yield from _stretches(places[0], *plan.chunks)
        return
    axes, grid = [], plan.grid
    for axis, chunk in zip(places, plan.chunks, strict=True):
        axes.append([(k, *_span(axis, chunk, k)) for k in touched(axis, chunk)])
    for spans in product(*axes):
        number = 0
        for span, count in zip(spans, grid, strict=True):
            number = number * count + span[0]
        yield _part(plan, number, [span[1] for span in spans], [span[2] for span in spans])


def _stretches(places: range, chunk: int) -> Iterator[ChunkPart]:
    """As `parts_of`, of neighbouring places of one axis."""
    for number in touched(places, chunk):
        low = number * chunk
        first, last = max(low, places.start), min(low + chunk, places.stop)
        source, target = slice(first - low, last - low, 1), slice(first - places.start, last - places.start)
        yield ChunkPart(number, (source,), (target,))


def part_of(plan: ChunkPlan, places: Sequence[AxisIndices], number: int) -> ChunkPart:
    """The wanted part of one chunk, which holds some of the places of each axis."""
    coordinates = np.unravel_index(number, plan.grid)
    spans = [_span(axis, chunk, int(k)) for axis, chunk, k in zip(places, plan.chunks, coordinates, strict=True)]
    return _part(plan, number, [span[0] for span in spans], [span[1] for span in spans])


def touched(places: AxisIndices, chunk: int) -> Sequence[int]:
    """The chunks along an axis that hold some of the places, in ascending order."""
    if not len(places):
        return ()
    if isinstance(places, range) and places.step <= chunk:
        return range(places[0] // chunk, places[-1] // chunk + 1)
    numbers: list[int] = np.unique(np.asarray(places, np.int64) // chunk).tolist()
    return numbers


def _span(places: AxisIndices, chunk: int, k: int) -> tuple[slice | np.ndarray[Any, Any], slice]:
    """Of the k-th chunk along an axis: an index into it, and what it fills of the result."""
    low, high = k * chunk, (k + 1) * chunk
    if isinstance(places, range):
        first = max(0, -(-(low - places.start) // places.step))
        last = min(len(places), -(-(high - places.start) // places.step))
        return slice(places[first] - low, places[last - 1] + 1 - low, places.step), slice(first, last)
    first, last = (int(edge) for edge in np.searchsorted(places, (low, high)))
    return places[first:last] - low, slice(first, last)


def _part(plan: ChunkPlan, number: int, inner: list[Any], target: list[slice]) -> ChunkPart:
    if any(isinstance(index, np.ndarray) for index in inner):
        inner = list(np.ix_(*(np.arange(chunk)[index] for chunk, index in zip(plan.chunks, inner, strict=True))))
    return ChunkPart(number, tuple(inner), tuple(target))


def read_into(
    fetch: Fetch,
    plan: ChunkPlan,
    out: np.ndarray[Any, Any],
    box: Box | Sequence[AxisIndices] | None = None,
    threads: int | None = None,
    fill: bytes | None = None,
) -> None:
    """Read a part of the dataset into `out`, decoding its chunks in threads, each once.

    fetch: gives payload and filter mask of the chunk with a linear (C order) index, None for one that was never
    written; called from several threads at once. out: C-ordered, of the plan's dtype and the part's shape. box: one
    (start, stop), or ascending places, for each axis, the whole array if None. fill: one element's bytes for chunks
    never written (zeros).
    """
    places = places_of(box, plan.shape)
    if out.shape != tuple(map(len, places)) or out.dtype.itemsize != plan.dtype.itemsize:
        raise ValueError(f"out of shape {out.shape}, {out.dtype} for the part {box} of a {plan.dtype} dataset")
    if not out.flags.c_contiguous:
        raise ValueError("out must be C-contiguous")
    if not out.size:
        return
    target = out.view(np.dtype((np.void, plan.dtype.itemsize)))
    parts = list(parts_of(plan, places))
    is_paired = plan.filters and len(parts) >= _ENOUGH_FOR_PAIRS and plan.chunk_bytes <= _MAX_BYTES_OF_PAIRED
    at_once = 2 if is_paired else 1
    groups = [parts[first : first + at_once] for first in range(0, len(parts), at_once)]
    if plan.filters:
        together = min(_TASK_BYTES // max(1, at_once * plan.chunk_bytes), len(groups) // _MIN_TASKS) or 1
    else:
        together = -(-len(groups) // _COPYING_TASKS)
    tasks = [groups[first : first + together] for first in range(0, len(groups), together)]

    def put(task: list[list[ChunkPart]]) -> None:
        for group in task:
            _put_parts(fetch, plan, group, target, fill)

    parallel_map(put, tasks, threads)


def places_of(box: Box | Sequence[AxisIndices] | None, shape: tuple[int, ...]) -> tuple[AxisIndices, ...]:
    """The places of each axis that a box covers; the whole array if None."""
    if box is None:
        return tuple(range(length) for length in shape)
    return tuple(range(*edge) if isinstance(edge, tuple) else edge for edge in box)


def _put_parts(
    fetch: Fetch, plan: ChunkPlan, parts: Sequence[ChunkPart], out: np.ndarray[Any, Any], fill: bytes | None
) -> None:
    """Fetch one chunk or two, and put what is asked for of them where it belongs in `out`."""
    first = fetch(parts[0].number)
    if len(parts) == 1 or first is None:
        put_part(first, plan, parts[0], out, fill)
        for part in parts[1:]:
            put_part(fetch(part.number), plan, part, out, fill)
        return
    payload = np.frombuffer(memoryview(first[0]), np.uint8)
    kept: Any = thread_buffer("first of two chunks", payload.size)  # `fetch` may use the memory again
    kept[:] = payload
    second = fetch(parts[1].number)
    if second is None or second[1] != first[1]:
        put_part((kept, first[1]), plan, parts[0], out, fill)
        put_part(second, plan, parts[1], out, fill)
        return
    wholes = [_whole_chunk(plan, part, out, number) for number, part in enumerate(parts)]
    codecs.decode_pair([kept, second[0]], plan.filters, first[1], plan.dtype.itemsize, wholes)
    for whole, part in zip(wholes, parts, strict=True):
        _put_whole_chunk(whole, plan, part, out)


def put_part(
    stored: tuple[Buffer, int] | None,
    plan: ChunkPlan,
    part: ChunkPart,
    out: np.ndarray[Any, Any],
    fill: bytes | None = None,
) -> None:
    """Decode a chunk and put what is asked for of it where it belongs in `out`, an array of opaque elements.

    stored: payload and filter mask of the chunk, None for one that was never written.
    """
    if stored is None:
        out[part.target] = np.zeros((), out.dtype) if fill is None else np.frombuffer(fill, out.dtype)[0]
        return
    whole = _whole_chunk(plan, part, out)
    decode(stored[0], plan, stored[1], whole)
    _put_whole_chunk(whole, plan, part, out)


def _is_in_place(plan: ChunkPlan, target: np.ndarray[Any, Any]) -> bool:
    return target.shape == plan.chunks and target.flags.c_contiguous


def _whole_chunk(plan: ChunkPlan, part: ChunkPart, out: np.ndarray[Any, Any], number: int = 0) -> Bytes:
    """Memory for a decoded chunk: that where it belongs, if it is in one run there."""
    target = out[part.target]
    if _is_in_place(plan, target):
        return target.reshape(-1).view(np.uint8)
    return thread_buffer(f"chunk {number}", plan.chunk_bytes)


def _put_whole_chunk(whole: Bytes, plan: ChunkPlan, part: ChunkPart, out: np.ndarray[Any, Any]) -> None:
    """Copy what is asked for of a chunk from its memory, unless that is where it belongs."""
    target = out[part.target]
    if not _is_in_place(plan, target):
        target[...] = whole.view(out.dtype).reshape(plan.chunks)[part.source]
