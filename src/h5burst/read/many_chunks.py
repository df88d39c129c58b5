"""Many chunks of a local file, read and undone by threads that need no Python for it.

For the filters that `chunk_reading` knows. Whatever it does not read, sound or not, is for who reads chunk by chunk.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from h5burst._ext.chunk_reading import ChunkReading
from h5burst._ext.h5parse import Source
from h5burst.arrays.chunks import ChunkPlan
from h5burst.arrays.selection import AxisIndices
from h5burst.codecs.codec import Filter
from h5burst.format.chunk_index import ChunkIndex
from h5burst.read.decoded_chunks import MAX_BYTES
from h5burst.read.handle import FileHandle
from h5burst.runtime import simd
from h5burst.runtime.threads import help_with, helper_count

_FILTERS = (1, 2, 3, 32000)  # deflate, shuffle, fletcher32, lzf
_SHUFFLE, _MAX_FILTERS = 2, 8
_MIN_CHUNKS = 8  # of a request; fewer cost little each
_MAX_CHUNK_BYTES = 1 << 20
_BATCH_BYTES = 8 << 20  # of chunks of which a part is wanted
_KEPT_BYTES = MAX_BYTES // 2  # of the chunks of a request that are kept
_TASK_BYTES = 1 << 20  # that a thread takes at once

Array: TypeAlias = "np.ndarray[Any, Any]"
Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


def read(
    source: Source,
    plan: ChunkPlan,
    index: ChunkIndex,
    places: tuple[AxisIndices, ...],
    out: Array,
    kept: tuple[FileHandle, int] | None,
    threads: int | None,
) -> bool:
    """Read places of each axis into `out`, in C order, an array of opaque elements; False where it is left to others.

    Of the first axis they may be any, of others neighbours. False for few chunks, chunks that were never written, or
    are damaged, and files that are not read by a descriptor. `out` may be changed then. kept: as of `Elements`.
    """
    widths = _widths(plan.filters)
    is_known = widths is not None and source.reader is None and hasattr(os, "pread")
    if not is_known or plan.chunk_bytes > _MAX_CHUNK_BYTES or len(index.numbers) < _MIN_CHUNKS:
        return False
    if not all(isinstance(axis, range) and axis.step == 1 for axis in places[1:]):
        return False
    is_box = isinstance(places[0], range) and places[0].step == 1
    touched = [_touched(axis, length) for axis, length in zip(places, plan.chunks, strict=True)]
    if math.prod(map(len, touched)) < _MIN_CHUNKS:
        return False
    reader = _Reader(source, plan, index, widths or (), threads)
    if is_box:
        return reader.read(touched, touched[0], tuple((axis.start, axis.stop) for axis in places), out)  # type: ignore[union-attr]
    return _read_listed(reader, touched, places, out, kept)


def _read_listed(
    reader: _Reader,
    touched: Sequence[Numbers],
    places: tuple[AxisIndices, ...],
    out: Array,
    kept: tuple[FileHandle, int] | None,
) -> bool:
    """Rows by a list: bands of chunks are read whole, so many at once, and the rows taken from them.

    Where a band is one chunk and the request has few, those are kept for the next request.
    """
    rows, deep, bands = np.asarray(places[0], np.int64), reader.plan.chunks[0], touched[0]
    others = tuple((axis[0], axis[-1] + 1) for axis in places[1:])
    band_bytes = deep * math.prod(out.shape[1:]) * out.dtype.itemsize
    if band_bytes > _BATCH_BYTES:
        return False
    is_kept = band_bytes == reader.plan.chunk_bytes and len(bands) * band_bytes <= _KEPT_BYTES
    step = _BATCH_BYTES // band_bytes
    room = np.empty((min(step, len(bands)) * deep, *out.shape[1:]), out.dtype)
    for first in range(0, len(bands), step):
        numbers = bands[first : first + step]
        begin, end = np.searchsorted(rows, (numbers[0] * deep, (numbers[-1] + 1) * deep))
        part, here = room[: len(numbers) * deep], np.arange(len(numbers))
        missing = here if kept is None or not is_kept else _put_kept(kept, numbers, part)
        if len(missing):
            if not reader.read([numbers[missing], *touched[1:]], missing, ((0, len(part)), *others), part):
                return False
            if kept is not None and is_kept:
                _keep(kept, numbers, missing, part)
        wanted = rows[begin:end]
        wanted = wanted - (numbers - here)[np.searchsorted(numbers, wanted // deep)] * deep
        np.take(part, wanted, axis=0, out=out[begin:end], mode="clip")
    return True


def _put_kept(kept: tuple[FileHandle, int], numbers: Numbers, room: Array) -> Numbers:
    """Put chunks that are kept one after the other into memory; gives which of them are not."""
    file, dataset = kept
    memory = room.reshape(-1).view(np.uint8).reshape(len(numbers), -1)
    missing = []
    for place, chunk in enumerate(file.chunks.get_all(dataset, numbers.tolist())):
        if chunk is None:
            missing.append(place)
        else:
            memory[place] = chunk
    return np.array(missing, np.int64)


def _keep(kept: tuple[FileHandle, int], numbers: Numbers, places: Numbers, room: Array) -> None:
    file, dataset = kept
    memory = room.reshape(-1).view(np.uint8).reshape(len(numbers), -1)
    for place in places.tolist():
        file.chunks.put((dataset, int(numbers[place])), memory[place].copy())


class _Reader:
    """Of one dataset: whole chunks, put where they belong in an array."""

    def __init__(
        self, source: Source, plan: ChunkPlan, index: ChunkIndex, widths: Sequence[tuple[int, int]], threads: int | None
    ) -> None:
        self.plan, self._source, self._index, self._widths, self._threads = plan, source, index, widths, threads

    def read(self, touched: Sequence[Numbers], rows: Numbers, box: tuple[tuple[int, int], ...], out: Array) -> bool:
        """Fill `out`, which is `box`, with chunks of the grid. rows: as which chunks those of the first axis belong."""
        plan, index = self.plan, self._index
        numbers = np.zeros(1, np.int64)
        for along, length in zip(touched, plan.grid, strict=True):
            numbers = (numbers[:, None] * length + along).reshape(-1)
        at = np.searchsorted(index.numbers, numbers)
        if at[-1] == len(index.numbers) or not np.array_equal(index.numbers[at], numbers):
            return False
        starts = np.empty((len(numbers), len(plan.chunks)), np.int64)
        for axis, corner in enumerate(np.meshgrid(rows, *touched[1:], indexing="ij", copy=False)):
            np.multiply(corner.reshape(-1), plan.chunks[axis], out=starts[:, axis])
        helpers = helper_count(out.nbytes, self._threads)
        reading = ChunkReading(
            out.reshape(-1).view(np.uint8),
            box,
            plan.chunks,
            plan.dtype.itemsize,
            self._widths,
            np.empty(0, np.uint8),
            simd.level(),
            starts,
            index.addresses[at] + np.uint64(self._source.base),
            index.sizes[at],
            index.masks[at],
            self._source.descriptor,
            None,
            max(2, min(_TASK_BYTES // plan.chunk_bytes, len(numbers) // (2 * helpers + 2))),
        )
        help_with(reading.help, helpers)
        return bool(reading.finish())


def _widths(filters: Sequence[Filter]) -> tuple[tuple[int, int], ...] | None:
    """Number of each filter, and the width of elements for the shuffle; None where one is not known here."""
    if not 0 < len(filters) <= _MAX_FILTERS or not all(step.id in _FILTERS for step in filters):
        return None
    if any(step.id == _SHUFFLE and (len(step.values) < 1 or step.values[0] < 1) for step in filters):
        return None
    return tuple((step.id, step.values[0] if step.id == _SHUFFLE else 1) for step in filters)


def _touched(places: AxisIndices, length: int) -> Numbers:
    """The chunks along an axis that hold some of the places."""
    if isinstance(places, range) and places.step == 1:
        return np.arange(places[0] // length, places[-1] // length + 1)
    numbers: Numbers = np.asarray(places, np.int64) // length
    first_of_each: Numbers = numbers[np.concatenate([[True], numbers[1:] != numbers[:-1]])]
    return first_of_each
