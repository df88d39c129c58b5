"""Whole chunks of a dataset written: filtered in threads, handed to libhdf5 by the calling thread, in h5py's lock."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5t

from h5burst._ext import lzf
from h5burst._ext import shuffle as kernels
from h5burst.accelerate.boxes import Box
from h5burst.accelerate.encoders import quickest
from h5burst.accelerate.facts import DEFLATE, FLETCHER32, SHUFFLE, Facts, has_class_of_its_dtype, is_safe_cast
from h5burst.accelerate.helpers import ahead
from h5burst.codecs import registry
from h5burst.direct_chunks import masked_chunks, put_chunk
from h5burst.runtime.buffers import Bytes, thread_buffer
from h5burst.runtime.gc_pause import collection_paused
from h5burst.runtime.threads import helper_count

_BATCH_BYTES = 1 << 20  # that are handed to a thread at once
_MAX_CHUNK_BYTES = 16 << 20  # of which each thread needs a few at once
_MAX_MEMORY = 48 << 20
_SAMPLE_BYTES = 64 << 10
_SAMPLES = 3
_CHUNKS_A_SAMPLE = 8  # so that trials take a small part of the time
_SAME_ENCODER = 64 << 20  # bytes that are encoded before the encoder is chosen anew


class _Made(NamedTuple):
    offset: tuple[int, ...]
    payload: bytes


def reason_not_written(facts: Facts, box: Box, shape: tuple[int, ...]) -> str:
    """Empty where a box is written here; else why it is left to h5py."""
    if not facts.is_writable:
        return "open for reading alone"
    if facts.chunk_bytes > _MAX_CHUNK_BYTES:
        return "chunks of many megabytes"
    if any(step.number == DEFLATE and not 1 <= step.level <= 9 for step in facts.steps):
        return "gzip without compression"
    for (start, stop), length, extent in zip(box, facts.chunk, shape, strict=True):
        if start % length or (stop % length and stop != extent):
            return "parts of chunks"
    return ""


def can_convert(dtype: np.dtype[Any], facts: Facts) -> bool:
    """True where elements of this dtype become those in the file as they are, or by a cast that loses nothing."""
    if dtype == facts.dtype:
        try:
            return bool(h5t.py_create(dtype) == facts.file_type)
        except TypeError:
            return False
    return is_safe_cast(dtype, facts.dtype) and has_class_of_its_dtype(facts)


def write_box(dataset: h5py.Dataset, facts: Facts, box: Box, data: np.ndarray[Any, Any]) -> None:
    """Write an array of the box's shape. In h5py's lock; the threads need it not, and collect no garbage that does."""
    corners = list(product(*(range(start, stop, chunk) for (start, stop), chunk in zip(box, facts.chunk, strict=True))))
    if facts.masked is None:
        facts.masked = masked_chunks(dataset.id)
    with collection_paused():
        way = _encoder(facts, box, data, corners)
        per_batch = max(1, _BATCH_BYTES // facts.chunk_bytes)
        batches = [corners[first : first + per_batch] for first in range(0, len(corners), per_batch)]
        threads = max(1, min(helper_count(data.nbytes) + 1, _MAX_MEMORY // (3 * facts.chunk_bytes), len(batches)))
        at_work = threads + 1 if threads > 1 else 1  # one is waited for, and written, while the others go on
        for encoded in ahead(lambda batch: list(_made(facts, box, data, batch, way)), batches, at_work):
            for chunk in encoded:
                put_chunk(dataset.id, chunk.offset, chunk.payload, facts.masked)
    facts.encoded_bytes += data.nbytes


def _made(
    facts: Facts, box: Box, data: np.ndarray[Any, Any], corners: list[tuple[int, ...]], way: Any
) -> Iterator[_Made]:
    for corner in corners:
        yield _Made(corner, _filtered(_bytes_of(facts, box, data, corner), facts, way))


def _part(facts: Facts, box: Box, data: np.ndarray[Any, Any], corner: tuple[int, ...]) -> np.ndarray[Any, Any]:
    part: np.ndarray[Any, Any] = data[
        tuple(
            slice(at - start, at - start + length)
            for at, (start, _), length in zip(corner, box, facts.chunk, strict=True)
        )
    ]
    return part


def _bytes_of(facts: Facts, box: Box, data: np.ndarray[Any, Any], corner: tuple[int, ...]) -> Bytes:
    """The bytes of a whole chunk, padded with the fill value beyond the dataset's edge."""
    part = _part(facts, box, data, corner)
    raw = np.dtype((np.void, facts.dtype.itemsize))
    if part.dtype == facts.dtype and part.shape == facts.chunk and part.flags.c_contiguous:
        return part.reshape(-1).view(raw).view(np.uint8)
    whole = thread_buffer("whole chunk", facts.chunk_bytes)
    target = whole.view(raw).reshape(facts.chunk)
    if part.shape != facts.chunk:
        whole[:] = 0
        if facts.fill:
            target[...] = np.frombuffer(facts.fill, raw)[0]
    inside = target[tuple(map(slice, part.shape))]
    if part.dtype == facts.dtype:
        np.copyto(inside, part.view(raw))
    else:
        inside[...] = part.astype(facts.dtype, order="C").view(raw)
    return whole


def _filtered(data: Bytes, facts: Facts, way: Any) -> bytes:
    """Payload of a chunk, as libhdf5 would make it but for the encoder. No filter is left out."""
    current = data
    for step in facts.steps:
        if step.number == SHUFFLE:
            shuffled = thread_buffer("shuffled chunk", current.size)
            kernels.shuffle(current, step.width, shuffled)
            current = shuffled
        elif step.number == FLETCHER32:
            current = _with_checksum(current)
        else:
            encoded = way(current) if step.number == DEFLATE else _lzf(current)
            if encoded is None or len(encoded) >= current.size:
                codec = registry.by_id(step.number)
                assert codec is not None
                encoded = codec.stored(current, ())
                assert encoded is not None
            current = np.frombuffer(encoded, np.uint8)
    return current.tobytes()


def _with_checksum(data: Bytes) -> Bytes:
    summed = np.empty(data.size + 4, np.uint8)
    summed[:-4] = data
    summed[-4:] = np.frombuffer(kernels.fletcher32(data).to_bytes(4, "little"), np.uint8)
    return summed


def _lzf(data: Bytes) -> bytes | None:
    out = thread_buffer("lzf", data.size)
    written = lzf.encode(data, out[: data.size - 1])
    return out[:written].tobytes() if written else None


def _encoder(facts: Facts, box: Box, data: np.ndarray[Any, Any], corners: list[tuple[int, ...]]) -> Any:
    """The maker of gzip's streams; chosen by elements of some chunks."""
    gzip = next((step for step in facts.steps if step.number == DEFLATE), None)
    if gzip is None:
        return None
    if facts.encoder is None or facts.encoded_bytes > _SAME_ENCODER:
        count = max(1, min(_SAMPLES, len(corners) // _CHUNKS_A_SAMPLE))
        places = [len(corners) * (2 * k + 1) // (2 * count) for k in range(count)]
        samples = [_sample(facts, _bytes_of(facts, box, data, corners[number])) for number in places]
        facts.encoder, facts.encoded_bytes = quickest(samples, gzip.level), 0
    return facts.encoder


def _sample(facts: Facts, data: Bytes) -> Bytes:
    """Some elements from the middle of a chunk, as the encoder will get them."""
    size = min(data.size, _SAMPLE_BYTES) // facts.dtype.itemsize * facts.dtype.itemsize or data.size
    first = (data.size - size) // 2 // facts.dtype.itemsize * facts.dtype.itemsize
    sample: Bytes = data[first : first + size].copy()
    for step in facts.steps:
        if step.number == DEFLATE:
            break
        if step.number == SHUFFLE:
            shuffled = np.empty(size, np.uint8)
            kernels.shuffle(sample, step.width, shuffled)
            sample = shuffled
    return sample
