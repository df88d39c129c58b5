"""Chunked data of a new dataset: its payloads, its index, and the messages that describe both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from h5burst import codecs
from h5burst._ext.shuffle import fletcher32
from h5burst.arrays import chunks
from h5burst.format import btree2_update, chunk_tree, data_layout, fixed_array
from h5burst.format.constants import UNDEFINED
from h5burst.format.filter_pipeline import encode_filters
from h5burst.format.fixed_array import Entries
from h5burst.model.source import as_source

if TYPE_CHECKING:
    from h5burst._ext.h5emit import TreeWriter

CHECKSUM_BYTES = 4


class Appender(Protocol):
    """Takes metadata of a file."""

    def append(self, metadata: bytes, /) -> int:
        """Append bytes. Returns their address."""
        ...


def store(
    writer: TreeWriter, data: Any, plan: chunks.ChunkPlan, threads: int | None, *, grows: bool = False
) -> tuple[bytes, bytes]:
    """Write an array's chunks and their index. Returns the bodies of the data layout and filter pipeline messages.

    grows: the dataset may be resized later, so that its index must take more chunks, of which nothing is known yet.
    """
    if not grows:
        data, plan = chunks.fitted(data, plan)
    entries = store_chunks(writer, data, plan, threads)
    if grows:
        return growing_index(writer, plan, entries)
    return index(writer, plan, entries)


def store_chunks(writer: TreeWriter, data: Any, plan: chunks.ChunkPlan, threads: int | None) -> Entries:
    """Write an array's chunks. Returns address, size and filter mask of each."""
    entries = np.empty((plan.chunk_count, 3), np.uint64)
    if is_stored_by_rows(plan):
        _store_rows(writer, data, plan, entries)
        return entries
    for chunk in chunks.encode(data, plan, threads):
        payload = memoryview(chunk.payload)
        entries[chunk.number] = writer.payload(payload), payload.nbytes, chunk.filter_mask
    return entries


def growing_index(writer: Appender, plan: chunks.ChunkPlan, entries: Entries) -> tuple[bytes, bytes]:
    """As `index`, for a dataset that may be resized."""
    records = chunk_tree.records_of_grid(entries, plan)
    address = btree2_update.write(writer.append, chunk_tree.kind(plan), records) if records else UNDEFINED
    return chunk_tree.layout_message(plan, address), encode_filters(plan.filters)


def index(writer: Appender, plan: chunks.ChunkPlan, entries: Entries) -> tuple[bytes, bytes]:
    """Write the index of chunks that are in the file: address, size and filter mask of each. Returns as `store`."""
    itemsize = plan.dtype.itemsize
    if len(entries) == 1:
        layout = data_layout.encode_single(plan.chunks, itemsize, *(int(value) for value in entries[0]))
    else:
        address = writer.append(b"")
        writer.append(fixed_array.encode(entries, fixed_array.size_width(plan.chunk_bytes), address))
        information = bytes([fixed_array.PAGE_BITS])
        layout = data_layout.encode(plan.chunks, itemsize, data_layout.FIXED_ARRAY, information, address)
    return layout, encode_filters(plan.filters)


def is_stored_by_rows(plan: chunks.ChunkPlan) -> bool:
    """True where chunks are in memory as they will be in the file, except for their checksum."""
    return plan.chunks[1:] == plan.shape[1:] and [step.id for step in plan.filters] == [codecs.FLETCHER32]


def _store_rows(writer: TreeWriter, data: Any, plan: chunks.ChunkPlan, entries: Entries) -> None:
    """Write rows without a copy: only a checksum is computed, which is faster than to copy them."""
    source, rows = as_source(data), plan.chunks[0]
    for number, first in enumerate(range(0, plan.shape[0], rows)):
        last = min(first + rows, plan.shape[0])
        band = source.read(first, last)
        if band.dtype != plan.dtype or band.shape != (last - first, *plan.shape[1:]):
            raise ValueError(f"rows {first} to {last} of a {plan.dtype} source came as {band.shape} {band.dtype}")
        entries[number] = store_band(writer, band, plan)


def store_band(writer: TreeWriter, band: np.ndarray[Any, Any], plan: chunks.ChunkPlan) -> tuple[int, int, int]:
    """Write the rows of one chunk that is stored by rows. Returns its address, size and filter mask."""
    payload = np.ascontiguousarray(band).reshape(-1).view(np.uint8)
    chunk_bytes = plan.chunk_bytes
    if payload.size < chunk_bytes:
        missing = chunk_bytes - payload.size
        element = plan.fill or bytes(plan.dtype.itemsize)
        payload = np.concatenate([payload, np.frombuffer(element * (missing // len(element)), np.uint8)])
    address = writer.payload(payload.data)
    writer.append(fletcher32(payload).to_bytes(CHECKSUM_BYTES, "little"))
    return address, chunk_bytes + CHECKSUM_BYTES, 0
