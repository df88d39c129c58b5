"""Boxes of a dataset read: chunks as they are stored, undone in threads into an array.

Chunks of a file that is open for reading alone are read by the threads from the file's descriptor; all others by
libhdf5, in the calling thread, which holds h5py's lock. The threads need neither that lock nor Python.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from itertools import islice
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5t

from h5burst._ext.chunk_reading import MISSING, ChunkReading
from h5burst.accelerate.boxes import Box, starts_of, touched, volume
from h5burst.accelerate.facts import Facts, has_class_of_its_dtype, is_safe_cast
from h5burst.direct_chunks import stored_chunks
from h5burst.runtime import simd
from h5burst.runtime.threads import help_with, helper_count

_BATCH_BYTES = 1 << 20  # that a thread takes at once
_MAX_MEMORY = 48 << 20  # of all threads, beside the result
_CONVERTED_BYTES = 16 << 20  # that are read before their elements are converted
_STAGES = 3  # at most, of a chunk between the file and its place
_MAX_PAIRED = 4 << 20  # bytes of a chunk of which two are undone at once
_SHARE_FOR_LOCATIONS = 4  # all chunks are looked up once a fourth of them is asked for


class _Locations(NamedTuple):
    """Addresses of chunks, by their number in C order, ascending."""

    numbers: np.ndarray[Any, np.dtype[np.int64]]
    addresses: np.ndarray[Any, np.dtype[np.uint64]]
    sizes: np.ndarray[Any, np.dtype[np.uint64]]
    masks: np.ndarray[Any, np.dtype[np.uint32]]


class _Chunks(NamedTuple):
    """Some chunks of a box: as the kernel takes them."""

    starts: np.ndarray[Any, np.dtype[np.int64]]
    addresses: np.ndarray[Any, np.dtype[np.uint64]]
    sizes: np.ndarray[Any, np.dtype[np.uint64]]
    masks: np.ndarray[Any, np.dtype[np.uint32]]
    payloads: list[bytes | None] | None


def max_threads(facts: Facts) -> int:
    """Number of threads that may work on these chunks at once, for their memory; 0 for chunks too large."""
    paired = 2 if facts.chunk_bytes <= _MAX_PAIRED else 1
    return _MAX_MEMORY // (_STAGES * paired * facts.chunk_bytes)


def can_give(facts: Facts, dtype: np.dtype[Any]) -> bool:
    """True where h5py gives the elements of the file as they are, cast without loss, or some of their fields."""
    if dtype == facts.dtype:
        return bool(h5t.py_create(dtype) == facts.file_type)
    if dtype.names and facts.dtype.names:
        return all(name in facts.dtype.names and dtype[name] == facts.dtype[name] for name in dtype.names)
    return is_safe_cast(facts.dtype, dtype) and has_class_of_its_dtype(facts)


def read_as(dataset: h5py.Dataset, facts: Facts, box: Box, shape: tuple[int, ...], out: np.ndarray[Any, Any]) -> bool:
    """As `read_box`, into elements of a dtype that `can_give` allows: some rows of chunks after the other."""
    if out.dtype == facts.dtype:
        return read_box(dataset, facts, box, shape, out)
    (start, stop), *others = box
    row_bytes = volume(tuple(others)) * facts.dtype.itemsize
    rows = max(1, _CONVERTED_BYTES // (row_bytes * facts.chunk[0])) * facts.chunk[0]
    first = start
    while first < stop:
        last = min(stop, (first // facts.chunk[0]) * facts.chunk[0] + rows)
        band = np.empty((last - first, *out.shape[1:]), facts.dtype)
        if not read_box(dataset, facts, ((first, last), *others), shape, band):
            return False
        target = out[first - start : last - start]
        if out.dtype.names:
            for name in out.dtype.names:
                target[name] = band[name]
        else:
            target[...] = band
        first = last
    return True


def read_box(dataset: h5py.Dataset, facts: Facts, box: Box, shape: tuple[int, ...], out: np.ndarray[Any, Any]) -> bool:
    """Read a box into `out`, in C order, in h5py's lock. False where only h5py can tell what is wrong."""
    starts = starts_of(box, facts.chunk)
    if facts.descriptor >= 0 and _has_locations(dataset, facts, shape, len(starts)):
        chunks = _located(facts.locations, starts, shape, facts.chunk)
        if not _are_sane(chunks.sizes, facts):
            return False
        return _finished([_begun(facts, box, out, chunks)])
    facts.read_directly += len(starts)
    return _read_directly(dataset, facts, box, starts, out)


def _has_locations(dataset: h5py.Dataset, facts: Facts, shape: tuple[int, ...], needed: int) -> bool:
    """True where all chunks are looked up: now, where it takes less than one after another."""
    if facts.locations is None:
        count = math.prod(-(-length // chunk) for length, chunk in zip(shape, facts.chunk, strict=True))
        if (facts.read_directly + needed) * _SHARE_FOR_LOCATIONS < count:
            return False
        facts.locations = _look_up(dataset, shape, facts.chunk)
    return True


def _look_up(dataset: h5py.Dataset, shape: tuple[int, ...], chunk: tuple[int, ...]) -> _Locations:
    offsets, addresses, sizes, masks = array("q"), array("Q"), array("Q"), array("L")

    def keep(info: Any) -> None:
        offsets.extend(info.chunk_offset)
        addresses.append(info.byte_offset)
        sizes.append(info.size)
        masks.append(info.filter_mask)

    dataset.id.chunk_iter(keep)
    corners = np.frombuffer(offsets, np.int64).reshape(-1, len(shape)) if offsets else np.empty((0, len(shape)), int)
    numbers = _numbers(corners, shape, chunk)
    order = np.argsort(numbers, kind="stable")
    return _Locations(
        numbers[order],
        np.array(addresses, np.uint64)[order],
        np.array(sizes, np.uint64)[order],
        np.array(masks, np.uint32)[order],
    )


def _numbers(
    starts: np.ndarray[Any, Any], shape: tuple[int, ...], chunk: tuple[int, ...]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    numbers = np.zeros(len(starts), np.int64)
    for k, (extent, length) in enumerate(zip(shape, chunk, strict=True)):
        numbers = numbers * -(-extent // length) + starts[:, k] // length
    return numbers


def _located(
    locations: _Locations, starts: np.ndarray[Any, Any], shape: tuple[int, ...], chunk: tuple[int, ...]
) -> _Chunks:
    needed = _numbers(starts, shape, chunk)
    places = np.searchsorted(locations.numbers, needed)
    places[places == len(locations.numbers)] = 0
    if not len(locations.numbers):
        nothing = np.zeros(len(starts), np.uint64)
        return _Chunks(starts, np.full(len(starts), MISSING, np.uint64), nothing, nothing.astype(np.uint32), None)
    is_there = (locations.numbers[places] == needed) & (locations.sizes[places] > 0)
    return _Chunks(
        starts,
        np.where(is_there, locations.addresses[places], np.uint64(MISSING)),
        locations.sizes[places],
        locations.masks[places],
        None,
    )


def _are_sane(sizes: np.ndarray[Any, Any], facts: Facts) -> bool:
    """True where no chunk says that it is much longer than what it becomes, which would need memory for nothing."""
    return not len(sizes) or int(sizes.max()) <= 2 * facts.chunk_bytes + 4096


def _begun(
    facts: Facts, box: Box, out: np.ndarray[Any, Any], chunks: _Chunks, helpers: int | None = None
) -> ChunkReading:
    """A reading that other threads help with: so many of them at most."""
    count = len(chunks.starts)
    threads = _threads(facts, count) if helpers is None else helpers + 1
    at_once = max(1, min(_BATCH_BYTES // facts.chunk_bytes, count // (2 * threads)))
    if at_once == 1 and count >= 4 * threads and facts.chunk_bytes <= _MAX_PAIRED:
        at_once = 2
    reading = ChunkReading(
        out.reshape(-1).view(np.uint8),
        box,
        facts.chunk,
        facts.dtype.itemsize,
        [(step.number, step.width) for step in facts.steps],
        np.frombuffer(facts.fill, np.uint8),
        simd.level(),
        chunks.starts,
        chunks.addresses,
        chunks.sizes,
        chunks.masks,
        facts.descriptor if chunks.payloads is None else -1,
        chunks.payloads,
        at_once,
    )
    help_with(reading.help, threads - 1)
    return reading


def _threads(facts: Facts, count: int) -> int:
    """Number of threads that so many chunks are worth, the caller's own included."""
    return max(1, min(max_threads(facts), helper_count(count * facts.chunk_bytes) + 1))


def _finished(readings: list[ChunkReading]) -> bool:
    sound = [reading.finish() for reading in readings]  # each, sound or not: they write into the caller's array
    return all(sound)


def _read_directly(
    dataset: h5py.Dataset,
    facts: Facts,
    box: Box,
    starts: np.ndarray[Any, Any],
    out: np.ndarray[Any, Any],
) -> bool:
    """As `read_box`, the bytes of chunks by libhdf5: batches are undone while the next one is read."""
    threads = _threads(facts, len(starts))
    per_batch = max(1, min(_BATCH_BYTES // facts.chunk_bytes, -(-len(starts) // (2 * threads))))
    waiting: deque[ChunkReading] = deque()
    sound = True
    stored = stored_chunks(dataset.id, map(tuple, starts.tolist()))
    try:
        for first in range(0, len(starts), per_batch):
            part = starts[first : first + per_batch]
            batch = list(islice(stored, len(part)))
            payloads = [None if chunk is None else chunk[0] for chunk in batch]
            masks = np.array([0 if chunk is None else chunk[1] for chunk in batch], np.uint32)
            sizes = np.array([0 if payload is None else len(payload) for payload in payloads], np.uint64)
            addresses = np.array([MISSING if payload is None else 0 for payload in payloads], np.uint64)
            chunks = _Chunks(part, addresses, sizes, masks, payloads)
            waiting.append(_begun(facts, box, out, chunks, int(threads > 1)))
            if len(waiting) > threads:
                sound &= waiting.popleft().finish()
    except (OSError, RuntimeError):
        sound = False
    finally:
        sound &= _finished(list(waiting))
    return sound


def is_worth_it(facts: Facts, box: Box, shape: tuple[int, ...]) -> str:
    """Empty where a box is read faster here; else why it is left to h5py."""
    if not max_threads(facts):
        return "chunks of many megabytes"
    whole = touched(box, facts.chunk, shape)
    if 2 * volume(box) < volume(whole):
        return "parts of chunks"
    return ""
