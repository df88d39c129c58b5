"""Chunked data: payloads, the index that finds them, and the messages that describe both."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from h5burst import chunks, codecs
from h5burst._ext.h5emit import lookup3
from h5burst._ext.shuffle import fletcher32

if TYPE_CHECKING:
    from h5burst._ext.h5emit import Emitter

Entries: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"  # (chunks, 3): address, size in the file, filter mask

CHUNKED = 2  # layout class
SINGLE_CHUNK, FIXED_ARRAY = 1, 3  # chunk indexing types
FILTERED_SINGLE_CHUNK = 2  # layout flag
FILTERED_CHUNKS = 1  # client ID of the array
PAGE_BITS = 10
PAGE = 1 << PAGE_BITS  # elements of a page
CHECKSUM_BYTES = 4
NAMED_FILTERS = 256  # filters from this ID on carry their name


def store(emitter: Emitter, data: Any, plan: chunks.ChunkPlan, threads: int | None) -> tuple[bytes, bytes]:
    """Write an array's chunks and their index. Returns the bodies of the data layout and filter pipeline messages."""
    entries = np.empty((plan.chunk_count, 3), np.uint64)
    if _is_stored_by_rows(plan):
        _store_rows(emitter, data, plan, entries)
    else:
        for chunk in chunks.encode(data, plan, threads):
            payload = memoryview(chunk.payload)
            entries[chunk.number] = emitter.payload(payload), payload.nbytes, chunk.filter_mask
    return index(emitter, plan, entries)


def index(emitter: Emitter, plan: chunks.ChunkPlan, entries: Entries) -> tuple[bytes, bytes]:
    """Write the index of chunks that lie in the file: address, size and filter mask of each. Returns as `store`."""
    if len(entries) == 1:
        address, size, mask = (int(value) for value in entries[0])
        layout = _layout(plan, FILTERED_SINGLE_CHUNK, SINGLE_CHUNK, struct.pack("<QI", size, mask), address)
    else:
        address = fixed_array(emitter, entries, _size_width(plan.chunk_bytes))
        layout = _layout(plan, 0, FIXED_ARRAY, bytes([PAGE_BITS]), address)
    return layout, filter_pipeline(plan.filters)


def _is_stored_by_rows(plan: chunks.ChunkPlan) -> bool:
    """Whether chunks lie in memory as they will in the file, but for their checksum."""
    return plan.chunks[1:] == plan.shape[1:] and [step.id for step in plan.filters] == [codecs.FLETCHER32]


def _store_rows(emitter: Emitter, data: Any, plan: chunks.ChunkPlan, entries: Entries) -> None:
    """Write rows from where they lie. There is nothing to compute but a checksum, faster than memory is copied."""
    rows = plan.chunks[0]
    for number, first in enumerate(range(0, plan.shape[0], rows)):
        last = min(first + rows, plan.shape[0])
        band = np.ascontiguousarray(data[first:last] if isinstance(data, np.ndarray) else data.read(first, last))
        if band.dtype != plan.dtype or band.shape != (last - first, *plan.shape[1:]):
            raise ValueError(f"rows {first} to {last} of a {plan.dtype} source came as {band.shape} {band.dtype}")
        payload = band.reshape(-1).view(np.uint8)
        if payload.size < plan.chunk_bytes:
            payload = np.concatenate([payload, np.zeros(plan.chunk_bytes - payload.size, np.uint8)])
        entries[number] = emitter.payload(payload.data), payload.size + CHECKSUM_BYTES, 0
        emitter.append(fletcher32(payload).to_bytes(CHECKSUM_BYTES, "little"))


def _layout(plan: chunks.ChunkPlan, flags: int, index_type: int, index_information: bytes, address: int) -> bytes:
    """Data layout message, version 4. The last dimension is the size of an element."""
    dimensions = (*plan.chunks, plan.dtype.itemsize)
    width = (max(dimensions).bit_length() + 7) // 8
    return b"".join(
        (
            bytes([4, CHUNKED, flags, len(dimensions), width]),
            *(length.to_bytes(width, "little") for length in dimensions),
            bytes([index_type]),
            index_information,
            address.to_bytes(8, "little"),
        )
    )


def filter_pipeline(filters: Sequence[chunks.Filter]) -> bytes:
    """Filter pipeline message, version 2."""
    body = bytes([2, len(filters)])
    for step in filters:
        name = step.name.encode() + b"\0" if step.id >= NAMED_FILTERS and step.name else b""
        lengths = (len(name), step.flags) if step.id >= NAMED_FILTERS else (step.flags,)
        body += struct.pack(f"<H{len(lengths)}HH", step.id, *lengths, len(step.values)) + name
        body += struct.pack(f"<{len(step.values)}I", *step.values)
    return body


def _size_width(chunk_bytes: int) -> int:
    """Bytes that hold a filtered chunk's size: one more than its unfiltered size needs, as it may have grown."""
    return min(1 + (chunk_bytes.bit_length() + 7) // 8, 8)


def fixed_array(emitter: Emitter, entries: Entries, width: int) -> int:
    """Write the index of more than one chunk: a fixed array, in pages when there are many.

    entries (n, 3) uint64: address, size in the file, filter mask; width: bytes of a size. Returns its address.
    """
    elements = _elements(entries, width)
    size = elements.shape[1]
    prefix = b"FAHD" + struct.pack("<BBBBQ", 0, FILTERED_CHUNKS, size, PAGE_BITS, len(entries))
    header_size = len(prefix) + 8 + 4
    header = emitter.append(_checked(prefix + struct.pack("<Q", emitter.append(b"") + header_size)))
    block = b"FADB" + struct.pack("<BBQ", 0, FILTERED_CHUNKS, header)
    if len(entries) <= PAGE:
        emitter.append(_checked(block + elements.tobytes()))
        return header
    pages = -(-len(entries) // PAGE)
    initialized = np.packbits(np.ones(pages, np.uint8)).tobytes()
    emitter.append(_checked(block + initialized))
    for start in range(0, len(entries), PAGE):
        emitter.append(_checked(elements[start : start + PAGE].tobytes()))
    return header


def _elements(entries: Entries, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """One row of bytes for each chunk: address (8), size (`width`), filter mask (4)."""
    fields = np.ascontiguousarray(entries, "<u8").view(np.uint8).reshape(len(entries), 3, 8)
    return np.concatenate([fields[:, 0], fields[:, 1, :width], fields[:, 2, :4]], axis=1)


def _checked(structure: bytes) -> bytes:
    return structure + lookup3(structure).to_bytes(4, "little")
