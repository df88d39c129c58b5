"""Datasets of the copy: their elements as they are stored, or through other filters, and the index of their chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from h5burst import codecs
from h5burst._ext.h5parse import Source
from h5burst.arrays import chunks
from h5burst.arrays.chunks import ChunkPlan
from h5burst.copying.elements import Translator
from h5burst.copying.output import CountingWriter, SizeProbe, Writer
from h5burst.format import btree2_update, chunk_btree1, chunk_tree, data_layout, external_files, local_heap
from h5burst.format import object_header as oh
from h5burst.format.address_offsets import AddressOffsets
from h5burst.format.chunk_index import ChunkIndex, read_index
from h5burst.format.constants import UNDEFINED
from h5burst.format.filter_pipeline import decode_filters, encode_filters
from h5burst.format.object_header import Message, OnUnreadable
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError
from h5burst.model.tree import Storage
from h5burst.runtime.threads import bounded_map
from h5burst.write import chunked

_BLOCK_BYTES = 8 << 20  # copied at once
_OF_GZIP = (codecs.SHUFFLE, codecs.DEFLATE, codecs.FLETCHER32)

Entries = np.ndarray[Any, np.dtype[np.uint64]]


class DatasetHeader(NamedTuple):
    """Facts of a dataset's header: shape (None: null) and largest shape, its elements' places, layout, filters."""

    shape: tuple[int, ...] | None
    limits: tuple[int, ...]
    places: AddressOffsets
    layout: bytes
    filters: bytes | None


@dataclass(frozen=True)
class Recoding:
    """Compression of datasets that are compressed anew."""

    storage: Storage
    threads: int | None

    def compact_limit(self, is_plain: bool) -> int:
        """Bytes of the largest array that comes into its object header, whose checksum is the only one for it."""
        return chunks.compact_limit(self.storage if is_plain else None)

    def filters(self, itemsize: int, chunk_bytes: int) -> tuple[codecs.Filter, ...]:
        return codecs.filters_for(self.storage, itemsize, chunk_bytes)


class _Run:
    """Elements in one run of bytes of the source, as a source of blocks."""

    def __init__(self, source: Source, address: int, shape: tuple[int, ...], itemsize: int) -> None:
        self._source, self._address = source, address
        self.shape, self.dtype = shape, np.dtype((np.void, itemsize))
        self._row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * itemsize

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        rows = np.empty((stop - start) * self._row_bytes, np.uint8)
        self._source.read_into(self._address + start * self._row_bytes, rows)
        return rows.view(self.dtype).reshape(stop - start, *self.shape[1:])


class DatasetCopier:
    """Copies the elements of datasets.

    recoding: for datasets whose elements are numbers or text of fixed length; None: all are copied as they are stored.
    is_tolerant: chunks may be left out.
    """

    def __init__(
        self, source: Source, translator: Translator, recoding: Recoding | None, *, is_tolerant: bool = False
    ) -> None:
        self._source, self._translator, self._recoding = source, translator, recoding
        self._is_tolerant = is_tolerant
        self._fitted: dict[bytes, tuple[codecs.Filter, ...]] = {}  # by the layout: a header may be made twice

    def messages(self, stored: DatasetHeader, writer: Writer, on_unreadable: OnUnreadable | None) -> list[Message]:
        """Write the elements; gives the messages of data layout and filters.

        on_unreadable: called for a chunk that does not decode, instead of raising; each is decoded then.
        """
        layout = data_layout.modern(stored.layout)
        if layout[1] == data_layout.CHUNKED and stored.shape is not None:
            body, filters = self._chunked(stored, layout, writer, on_unreadable)
        else:
            body, filters = self._whole(stored, layout, writer, on_unreadable)
        rewritten = [Message(oh.DATA_LAYOUT, 0, body)]
        return rewritten if filters is None else [*rewritten, Message(oh.FILTER_PIPELINE, oh.CONSTANT, filters)]

    def elements(self, raw: bytes, places: AddressOffsets, writer: Writer) -> bytes:
        """Elements of a header, such as a fill value."""
        return raw if isinstance(writer, SizeProbe) else self._translator.translate(raw, places, writer)

    def check_single(self, stored: DatasetHeader) -> None:
        """Raise `CorruptStructureError` for a dataset of one element that is text, or a sequence, and damaged."""
        layout = data_layout.modern(stored.layout)
        if stored.places.is_plain or stored.shape is None or math.prod(stored.shape) != 1:
            return
        if layout[1] == data_layout.COMPACT:
            self._translator.check(data_layout.decode_compact(layout)[: stored.places.size], stored.places)
        elif layout[1] == data_layout.CONTIGUOUS:
            address, size = data_layout.decode_contiguous(layout)
            if address != UNDEFINED and size == stored.places.size:
                self._translator.check(self._source.read(address, size), stored.places)

    # ------------------------------------------------------------ not in chunks

    def _whole(
        self, stored: DatasetHeader, layout: bytes, writer: Writer, on_unreadable: OnUnreadable | None
    ) -> tuple[bytes, bytes | None]:
        kind = layout[1]
        if kind == data_layout.COMPACT:
            elements = self.elements(data_layout.decode_compact(layout), stored.places, writer)
            return data_layout.with_compact(layout, elements), stored.filters
        if kind == data_layout.VIRTUAL:
            address, _ = data_layout.decode_virtual(layout)
            new = address if isinstance(writer, SizeProbe) else self._translator.collection(address, writer)
            return data_layout.with_virtual(layout, new), stored.filters
        if kind != data_layout.CONTIGUOUS:
            if stored.shape is None:
                return layout, stored.filters
            raise UnsupportedFeatureError(f"data layouts of class {kind}")
        address, size = data_layout.decode_contiguous(layout)
        if address == UNDEFINED or not size:
            return data_layout.encode_contiguous(UNDEFINED, size, version=layout[0]), stored.filters
        if self._recoding is not None and 0 < size <= self._recoding.compact_limit(stored.places.is_plain):
            elements = self.elements(self._source.read(address, size), stored.places, writer)
            return data_layout.encode_compact(elements), None
        if self._recoding is not None and stored.places.is_plain and stored.shape:
            plan = chunks.plan(stored.shape, np.dtype((np.void, stored.places.size)), self._recoding.storage)
            if plan is not None and plan.chunks:
                return self._encode_run(
                    _Run(self._source, address, stored.shape, stored.places.size), plan, layout, writer
                )
        new = self._copy_run(address, size, stored, writer, on_unreadable)
        return data_layout.encode_contiguous(new, size, version=layout[0]), None

    def _copy_run(
        self, address: int, size: int, stored: DatasetHeader, writer: Writer, on_unreadable: OnUnreadable | None
    ) -> int:
        """Copy bytes in one run. Returns their new address."""
        if isinstance(writer, SizeProbe):
            return 0
        if isinstance(writer, CountingWriter) and stored.places.is_plain:
            return writer.skip(size)
        if on_unreadable is not None and size > self._source.size - min(address, self._source.size):
            on_unreadable(f"the elements from byte {max(0, self._source.size - address)} on: the file ends before them")
            return self._copy_what_is_left(address, size, writer)
        self._source.check_range(address, size)
        step = max(1, _BLOCK_BYTES // stored.places.size) * stored.places.size
        new = writer.append(b"")
        block = np.empty(min(step, size), np.uint8)
        for at in range(0, size, step):
            part = block[: min(step, size - at)]
            self._source.read_into(address + at, part)
            if stored.places.is_plain:
                writer.append(part.data)
            else:
                self._append_translated(part, stored.places, writer)
        return new

    def _append_translated(self, part: Any, places: AddressOffsets, writer: Writer) -> None:
        """Elements behind each other although translating them may append collections: room first, then values."""
        at = writer.append(bytes(part.size))
        writer.patch(at, self._translator.translate(part, places, writer))

    def _copy_what_is_left(self, address: int, size: int, writer: Writer) -> int:
        new, left = writer.append(b""), max(0, self._source.size - address)
        for at in range(0, left, _BLOCK_BYTES):
            writer.append(self._source.read(address + at, min(_BLOCK_BYTES, left - at)))
        for at in range(left, size, _BLOCK_BYTES):
            writer.append(bytes(min(_BLOCK_BYTES, size - at)))
        return new

    def _encode_run(self, run: _Run, plan: ChunkPlan, layout: bytes, writer: Writer) -> tuple[bytes, bytes]:
        assert self._recoding is not None
        if layout not in self._fitted:
            self._fitted[layout] = chunks.fitted(run, plan)[1].filters
        plan = replace(plan, filters=self._fitted[layout])
        entries = np.zeros((plan.chunk_count, 3), np.uint64)
        if not isinstance(writer, SizeProbe):
            for chunk in chunks.encode(run, plan, self._recoding.threads):
                payload = memoryview(chunk.payload)
                entries[chunk.number] = writer.append(payload), payload.nbytes, chunk.filter_mask
        return chunked.index(writer, plan, entries)

    # ------------------------------------------------------------ chunks

    def _chunked(
        self, stored: DatasetHeader, layout: bytes, writer: Writer, on_unreadable: OnUnreadable | None
    ) -> tuple[bytes, bytes | None]:
        shape, itemsize = stored.shape or (), stored.places.size
        old_layout = data_layout.decode(layout, len(shape), itemsize)
        old = ChunkPlan(shape, np.dtype((np.void, itemsize)), old_layout.chunks, decode_filters(stored.filters))
        index = read_index(self._source, old_layout, shape, stored.limits, old.chunk_bytes, bool(old.filters))
        new, filters = self._new_plan(index, old, stored)
        if isinstance(writer, SizeProbe):
            numbers, entries = index.numbers, np.zeros((len(index.numbers), 3), np.uint64)
        elif isinstance(writer, CountingWriter) and stored.places.is_plain:
            writer.skip(index.stored_bytes)
            numbers, entries = index.numbers, np.zeros((len(index.numbers), 3), np.uint64)
        elif new is old and stored.places.is_plain and on_unreadable is None:
            numbers, entries = index.numbers, self._copy_chunks(index, writer)
        else:
            numbers, entries = self._encode_chunks(index, old, new, stored.places, writer, on_unreadable)
        if layout[0] == 3:
            places = [
                (int(address), int(size), int(mask), new.offset(int(number)))
                for number, (address, size, mask) in zip(numbers, entries, strict=True)
            ]
            tree = chunk_btree1.write(writer.append, places, new.chunks, itemsize)
            return chunk_btree1.layout_message(new.chunks, itemsize, tree), filters
        is_fixed = stored.limits == shape and len(numbers) == new.chunk_count and len(numbers) > 0
        if is_fixed and new.filters and not self._is_tolerant:
            return chunked.index(writer, new, entries)[0], filters
        return _growing(writer, new, numbers, entries), filters

    def _new_plan(self, index: ChunkIndex, old: ChunkPlan, stored: DatasetHeader) -> tuple[ChunkPlan, bytes | None]:
        """The same chunks through the filters that they shall have, and the message that says those.

        Chunks that some filter was not applied to are never copied so where gzip is all that there is: libhdf5 keeps
        that mark when it writes one again and its new bytes are as many as the old.
        """
        if not stored.places.is_plain or not old.shape or not codecs.can_decode(old.filters):
            return old, stored.filters
        is_masked = bool(index.masks.any()) and all(step.id in _OF_GZIP for step in old.filters)
        if self._recoding is not None:
            filters = self._recoding.filters(old.dtype.itemsize, old.chunk_bytes)
        elif is_masked:
            filters = old.filters
        else:
            return old, stored.filters
        if stored.limits == stored.shape:
            if stored.layout not in self._fitted:
                self._fitted[stored.layout] = self._without_useless_shuffle(filters, index, old)
            filters = self._fitted[stored.layout]
        if filters == old.filters and not is_masked:
            return old, stored.filters
        return replace(old, filters=filters), encode_filters(filters)

    def _without_useless_shuffle(
        self, filters: tuple[codecs.Filter, ...], index: ChunkIndex, old: ChunkPlan
    ) -> tuple[codecs.Filter, ...]:
        wholes = map(partial(self._sample, index, old), chunks.sampled(len(index.numbers)))
        return codecs.fitted(filters, (whole for whole in wholes if whole is not None), old.dtype.itemsize)

    def _sample(self, index: ChunkIndex, old: ChunkPlan, at: int) -> Any:
        """The bytes of a chunk; None for a damaged one, about which the copy of its elements says more."""
        payload, whole = np.empty(int(index.sizes[at]), np.uint8), np.empty(old.chunk_bytes, np.uint8)
        try:
            self._source.read_into(int(index.addresses[at]), payload)
            chunks.decode(payload.data, old, int(index.masks[at]), whole)
        except (CorruptStructureError, chunks.ChunkError):
            return None
        return whole

    def _copy_chunks(self, index: ChunkIndex, writer: Writer) -> Entries:
        """Copy payloads as they are, those that are side by side at once."""
        entries = np.stack([index.addresses, index.sizes, index.masks.astype(np.uint64)], axis=1)
        first = 0
        for last in _run_ends(index):
            start, stop = int(index.addresses[first]), int(index.addresses[last] + index.sizes[last])
            self._source.check_range(start, stop - start)
            payload = np.empty(stop - start, np.uint8)
            self._source.read_into(start, payload)
            new = writer.append(payload.data)
            for number in range(first, last + 1):
                entries[number, 0] = new + int(index.addresses[number]) - start
            first = last + 1
        return entries

    def _encode_chunks(
        self,
        index: ChunkIndex,
        old: ChunkPlan,
        new: ChunkPlan,
        places: AddressOffsets,
        writer: Writer,
        on_unreadable: OnUnreadable | None,
    ) -> tuple[Any, Entries]:
        """Decode chunks, and encode them for the copy. Returns the numbers of those that are there, and their entries.

        Chunks that are the same in the copy are decoded only to find out which are damaged.
        """
        if new is old and (on_unreadable is None or places.is_plain) and not codecs.can_decode(old.filters):
            if not places.is_plain:
                raise UnsupportedFeatureError("filters that cannot be undone here, on values of variable length")
            return index.numbers, self._copy_chunks(index, writer)
        hint = self._hint(index, old, new)
        threads = self._recoding.threads if self._recoding is not None and places.is_plain else 1
        if not codecs.is_threaded(new.filters):
            threads = 1

        def work(at: int) -> tuple[int, int, Any, str]:
            payload = np.empty(int(index.sizes[at]), np.uint8)
            try:
                self._source.read_into(int(index.addresses[at]), payload)
                whole = np.empty(old.chunk_bytes, np.uint8)
                chunks.decode(payload.data, old, int(index.masks[at]), whole)
            except (CorruptStructureError, chunks.ChunkError) as error:
                if on_unreadable is None:
                    raise CorruptStructureError(str(error)) from error
                return at, 0, None, str(error)
            if new is old and places.is_plain:
                return at, int(index.masks[at]), payload, ""
            if not places.is_plain:
                whole = np.frombuffer(self._translator.translate(whole, places, writer), np.uint8)
            mask, encoded = codecs.encode(whole, new.filters, new.dtype.itemsize, hint)
            return at, mask, encoded, ""

        entries = np.zeros((len(index.numbers), 3), np.uint64)
        kept = []
        for at, mask, payload, damage in bounded_map(work, range(len(index.numbers)), threads):
            if payload is None and on_unreadable is not None:
                on_unreadable(f"the chunk from element {new.offset(int(index.numbers[at]))} on: {damage}")
                continue
            view = memoryview(payload)
            entries[at] = writer.append(view), view.nbytes, mask
            kept.append(at)
        return index.numbers[kept], entries[kept]

    def _hint(self, index: ChunkIndex, old: ChunkPlan, new: ChunkPlan) -> Any:
        """A hint from one chunk for encoding the others."""
        if new is old or len(index.numbers) < chunks.MANY_CHUNKS:
            return None
        whole = self._sample(index, old, 0)
        return None if whole is None else codecs.encoding_hint(whole, new.filters, new.dtype.itemsize)


def moved_names(source: Source, body: bytes, writer: Writer) -> bytes:
    """The message that names other files with a dataset's elements; their names are copied."""
    heap = local_heap.read_header(source, external_files.heap_of(body))
    data = writer.append(source.read(heap.data, heap.size))
    return external_files.with_heap(body, writer.append(local_heap.encode(heap._replace(data=data))))


def _run_ends(index: ChunkIndex) -> Iterator[int]:
    """The last chunk of each run of chunks that are side by side in the file, none of them very long."""
    start = 0
    for number in range(len(index.numbers)):
        end = int(index.addresses[number] + index.sizes[number])
        is_last = number + 1 == len(index.numbers)
        if is_last or int(index.addresses[number + 1]) != end or end - int(index.addresses[start]) > _BLOCK_BYTES:
            yield number
            start = number + 1


def _growing(writer: Writer, plan: ChunkPlan, numbers: Any, entries: Entries) -> bytes:
    """An index that takes any chunks: the layout message."""
    places: Any = np.stack(np.unravel_index(numbers, plan.grid), axis=1) if len(numbers) else ()
    records = chunk_tree.records(entries, places, chunk_tree.size_width(plan))
    address = btree2_update.write(writer.append, chunk_tree.kind(plan), records) if records else UNDEFINED
    return chunk_tree.layout_message(plan, address)
