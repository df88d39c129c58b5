"""The elements of a dataset whose header is read: any layout, any box of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from h5burst import codecs
from h5burst._ext.h5parse import Dataset, Kind, RowsInFile, Source
from h5burst.arrays import chunks
from h5burst.arrays.selection import AxisIndices, bounding_box, relative_index
from h5burst.codecs.filter_names import filter_name
from h5burst.codecs.gzip import Gzip
from h5burst.format import data_layout
from h5burst.format.chunk_index import ChunkIndex, find_chunk, read_index
from h5burst.format.constants import UNDEFINED
from h5burst.format.data_layout import CHUNKED, COMPACT, CONTIGUOUS, ChunkedLayout, Run
from h5burst.format.filter_pipeline import decode_fill_value, decode_filters
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError
from h5burst.read import many_chunks
from h5burst.read.block_cache import GAP_BYTES, CoalescedChunks
from h5burst.read.decoded_chunks import MAX_OF_ONE
from h5burst.read.handle import FileHandle
from h5burst.runtime import buffers
from h5burst.runtime.threads import parallel_map, split_evenly

Array: TypeAlias = "np.ndarray[Any, Any]"
Positions: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"

NEVER_WRITTEN = "was never written: read what you need of it lazily"
_SLAB_BYTES = 4 << 20  # of a contiguous dataset, read at once to pick elements from
_FEW_CHUNKS = 4
_SEARCHES = 4  # small reads before the whole index of chunks is read
_PIECES_BYTES = 1 << 22  # of rows that are copied from a file by one thread, where there are more
_GAP_BYTES = 1 << 13  # between rows of it that are read at once: they take as long as another call
_LONG_ROW_BYTES = 1 << 11  # a row that is wanted whole is read into its place, rather than with what is beside it
_MIN_UNWRITTEN = 1 << 30  # bytes of datasets that were never written, which any file may have
_POINTER = 8  # bytes of a text's place in an array of objects


class StorageInfo(NamedTuple):
    """Storage of a dataset.

    chunks: shape of a chunk, None for one that is not in chunks; maxshape: None along an axis without a limit; filters:
    their names, in the order of writing.
    """

    chunks: tuple[int, ...] | None
    maxshape: tuple[int | None, ...]
    filters: tuple[str, ...]


class Elements:
    """Reads a dataset's elements as they are in the file: arrays of opaque items, one axis for each of its dataspace.

    Nothing of the file is read before it is needed. kept: the file, which keeps chunks that may be asked for again,
    and the number of the dataset there. Raises `CorruptStructureError` and `UnsupportedFeatureError`.
    """

    def __init__(self, dataset: Dataset, kept: tuple[FileHandle, int] | None = None) -> None:
        if dataset.space is None:
            raise ValueError("a null dataspace has no elements")
        if dataset.external:
            raise UnsupportedFeatureError("external files, and fill values of the oldest kind")
        if len(dataset.layout) < 2 or not 3 <= dataset.layout[0] <= 5:
            raise UnsupportedFeatureError("data layouts of other versions than 3 to 5")
        self._kept = kept
        self.dataset = dataset
        self.shape = dataset.space
        self.raw = np.dtype((np.void, dataset.type.size))
        self.layout_class = dataset.layout[1]
        if self.layout_class > CHUNKED:
            raise UnsupportedFeatureError("virtual datasets")

    @property
    def is_plain(self) -> bool:
        """True where the bytes of elements in the file are those in memory."""
        return bool(self.dataset.type.kind == Kind.PLAIN and not self.dataset.type.subshape)

    @property
    def storage(self) -> StorageInfo:
        """Its storage."""
        limits = tuple(None if limit == UNDEFINED else limit for limit in self.dataset.limits)
        chunks_ = self.layout.chunks if self.layout_class == CHUNKED else None
        filters = tuple(filter_name(step.id, step.name) for step in decode_filters(self.dataset.filters))
        return StorageInfo(chunks_, limits, filters)

    @cached_property
    def fill(self) -> bytes | None:
        fill = decode_fill_value(self.dataset.fill, self.dataset.type.size)
        if fill is not None and self.dataset.type.kind in (Kind.UTF8, Kind.ASCII):
            raise UnsupportedFeatureError("fill values of variable length")
        return fill

    @cached_property
    def layout(self) -> ChunkedLayout:
        return data_layout.decode(self.dataset.layout, len(self.shape), self.dataset.type.size)

    @cached_property
    def plan(self) -> chunks.ChunkPlan:
        filters = decode_filters(self.dataset.filters)
        if not codecs.can_decode(filters):
            raise UnsupportedFeatureError("filters that only libhdf5's plugins know")
        return chunks.ChunkPlan(self.shape, self.raw, self.layout.chunks, filters)

    def index(self, source: Source) -> ChunkIndex:
        """The index of the chunks; read once, since the file may not change while it is read lazily."""
        if self._index is None:
            plan = self.plan
            index = read_index(
                source, self.layout, self.shape, self.dataset.limits, plan.chunk_bytes, self.dataset.filters is not None
            )
            if len(index.numbers):
                _check_sizes(index.stored_bytes, int(index.sizes.min()), plan, source.size)
            self._index = index
        return self._index

    _index: ChunkIndex | None = None
    _searches = 0

    def stored_bytes(self, source: Source) -> int:
        """Number of bytes of the file that hold elements."""
        if self.layout_class == COMPACT:
            return len(data_layout.decode_compact(self.dataset.layout))
        if self.layout_class == CONTIGUOUS:
            address, size = self._run
            return 0 if address == UNDEFINED else size
        return self.index(source).stored_bytes

    def unwritten_bytes(self, source: Source) -> int:
        """Bytes of memory that elements without storage take. Zeros take none until they are used."""
        type_ = self.dataset.type
        if self.layout_class == COMPACT:
            return 0
        is_text = type_.kind in (Kind.UTF8, Kind.ASCII)
        if self.fill is None and type_.kind == Kind.PLAIN:
            return 0
        whole = math.prod(self.shape) * (type_.size + (_POINTER if is_text else 0))
        if self.layout_class == CONTIGUOUS:
            return whole if self._run[0] == UNDEFINED else 0
        return max(0, whole - len(self.index(source).numbers) * self.plan.chunk_bytes)

    def read(
        self,
        source: Source,
        places: Sequence[AxisIndices] | None = None,
        *,
        out: Array | None = None,
        threads: int | None = None,
    ) -> Array:
        """The elements at some places of each axis, all of them if None.

        out: where to put them, C-contiguous, of their shape and the dtype `raw`; a new array if None.
        """
        places = tuple(map(range, self.shape) if places is None else places)
        shape = tuple(map(len, places))
        if 0 in shape:
            return np.empty(shape, self.raw) if out is None else out
        if self.layout_class == CHUNKED:
            return self._read_chunks(source, places, shape, out, threads)
        if self.layout_class == COMPACT:
            return _put(self._cut(data_layout.decode_compact(self.dataset.layout), places), out)
        address, size = self._run
        if address == UNDEFINED:
            return _put(self._filled(source, shape), out)
        if math.prod(self.shape) * self.raw.itemsize > size:
            raise CorruptStructureError("a dataset is longer than its storage")
        source.check_range(address, size)
        out = new_elements(shape, self.raw) if out is None else out
        _read_run(source, address, self.shape, places, out)
        return out

    @property
    def run(self) -> Run | None:
        """The address at which all elements are end to end; None where they are not, or were never written."""
        if self.layout_class != CONTIGUOUS or self._run.address == UNDEFINED:
            return None
        return self._run if math.prod(self.shape) * self.raw.itemsize <= self._run.size else None

    @cached_property
    def _run(self) -> Run:
        return data_layout.decode_contiguous(self.dataset.layout)

    @property
    def has_long_rows(self) -> bool:
        """True where rows are end to end, and long enough for each to be read by itself."""
        row_bytes = math.prod(self.shape[1:]) * self.raw.itemsize
        return self.run is not None and self.is_plain and bool(self.shape) and row_bytes >= _LONG_ROW_BYTES

    def rows(self, base: int) -> RowsInFile | None:
        """Its rows, where they are end to end and as in memory, and address 0 is at `base`; else None."""
        run = self.run
        if run is None or not self.is_plain or not self.shape:
            return None
        return RowsInFile(base + run.address, self.shape, self.dataset.type.dtype)

    def _cut(self, data: bytes, places: tuple[AxisIndices, ...]) -> Array:
        count = math.prod(self.shape)
        if len(data) < count * self.raw.itemsize:
            raise CorruptStructureError("compact data are cut short")
        whole: Array = np.frombuffer(data, self.raw, count).reshape(self.shape)
        return np.array(whole[relative_index(places, tuple((0, length) for length in self.shape))])

    def _filled(self, source: Source, shape: tuple[int, ...]) -> Array:
        """An array of fill values, which takes no memory while they are zeros."""
        if self.fill is None:
            return new_elements(shape, self.raw, zeros=True)
        if math.prod(shape) * self.raw.itemsize > max_fill_bytes(source.size):
            raise fill_too_large(shape)
        out = new_elements(shape, self.raw)
        out[...] = np.frombuffer(self.fill, self.raw)[0]
        return out

    # ------------------------------------------------------------ chunks

    def _read_chunks(
        self,
        source: Source,
        places: tuple[AxisIndices, ...],
        shape: tuple[int, ...],
        out: Array | None,
        threads: int | None,
    ) -> Array:
        plan = self.plan
        is_small = self._kept is not None and self._is_small_read(places, shape)
        try:
            if self._kept is not None and is_small and self._is_searched(source):
                search = self._search(source)
                return self._read_kept(
                    *self._kept, search, places, new_elements(shape, self.raw) if out is None else out
                )
            index = self.index(source)
            pieces = self._pieces(source, index, places)
            if pieces is not None:
                out = new_elements(shape, self.raw) if out is None else out
                _read_pieces(source, *pieces, out, threads=threads)
                return out
            fetch = self._fetch(source, self._coalesced(source, places))
            if self._kept is not None and is_small:
                return self._read_kept(
                    *self._kept, fetch, places, new_elements(shape, self.raw) if out is None else out
                )
            if len(index.numbers) == plan.chunk_count:
                out = new_elements(shape, self.raw) if out is None else out
                if not many_chunks.read(source, plan, index, places, out, self._kept, threads):
                    chunks.read_into(fetch, plan, out, places, threads)
                return out
            sparse = _put(self._filled(source, shape), out)
            numbers = index.numbers[_touches(index.numbers, plan, places)].tolist()
            parallel_map(
                lambda number: chunks.put_part(fetch(number), plan, chunks.part_of(plan, places, number), sparse),
                numbers,
                threads,
            )
            return sparse
        except chunks.ChunkError as error:
            raise CorruptStructureError(str(error)) from error

    def _pieces(
        self, source: Source, index: ChunkIndex, places: tuple[AxisIndices, ...]
    ) -> tuple[Positions, Positions] | None:
        """Address and bytes of each piece of a local file that holds some of the rows, one after the other.

        None where they have to be decoded, are not in one run each, or were never written.
        """
        plan = self.plan
        if plan.filters or source.reader is not None or plan.chunks[1:] != self.shape[1:]:
            return None
        for axis, length in zip(places[1:], self.shape[1:], strict=True):
            if not isinstance(axis, range) or axis != range(length):
                return None
        deep = plan.chunks[0]
        # Before there is a number for each chunk: a shape may claim any number of them.
        if isinstance(places[0], range) and places[0][-1] // deep - places[0][0] // deep >= len(index.numbers):
            return None
        starts, stops, chunk_numbers = _split(*_stretches(places[0]), deep)
        numbers = chunk_numbers.astype(np.int64)
        at = np.searchsorted(index.numbers, numbers)
        if at[-1] == len(index.numbers) or not np.array_equal(index.numbers[at], numbers):
            return None
        if not (index.sizes[at] == plan.chunk_bytes).all():
            return None
        row = np.uint64(math.prod(self.shape[1:]) * self.raw.itemsize)
        first_rows = chunk_numbers * np.uint64(deep)
        return index.addresses[at] + (starts - first_rows) * row, (stops - starts) * row

    def _is_small_read(self, places: tuple[AxisIndices, ...], shape: tuple[int, ...]) -> bool:
        """True where the decoded chunks are to be kept: few chunks, and a small part of them."""
        plan = self.plan
        wanted_bytes = math.prod(shape) * self.raw.itemsize
        if wanted_bytes > plan.chunk_bytes:
            return False  # as below, known before the chunks are
        touched = math.prod(len(chunks.touched(axis, chunk)) for axis, chunk in zip(places, plan.chunks, strict=True))
        return (
            touched <= _FEW_CHUNKS and plan.chunk_bytes <= MAX_OF_ONE and 4 * wanted_bytes <= touched * plan.chunk_bytes
        )

    def _read_kept(
        self, file: FileHandle, number: int, fetch: chunks.Fetch, places: tuple[AxisIndices, ...], out: Array
    ) -> Array:
        """Read parts of a few chunks, which are kept for a while."""
        plan, kept = self.plan, file.chunks
        for part in chunks.parts_of(plan, places):
            key = (number, part.number)
            whole = kept.get(key)
            if whole is None:
                stored = fetch(part.number)
                if stored is None:
                    chunks.put_part(None, plan, part, out, self.fill)
                    continue
                whole = np.empty(plan.chunk_bytes, np.uint8)
                chunks.decode(stored[0], plan, stored[1], whole)
                kept.put(key, whole)
            out[part.target] = whole.view(self.raw).reshape(plan.chunks)[part.source]
        return out

    def _coalesced(self, source: Source, places: tuple[AxisIndices, ...]) -> CoalescedChunks | None:
        """The needed chunks by the few requests that bring them, where every request is slow; else None."""
        if source.reader is None:
            return None
        index = self.index(source)
        needed = np.flatnonzero(_touches(index.numbers, self.plan, places))
        ranges = {int(index.numbers[at]): (int(index.addresses[at]), int(index.sizes[at])) for at in needed}
        return CoalescedChunks(source, ranges)

    def _is_searched(self, source: Source) -> bool:
        """True where a chunk is looked for in the index: the first few, before the whole index is worth its reading."""
        if self._index is not None or source.reader is not None or self._searches >= _SEARCHES:
            return False
        layout = self.layout
        return layout.kind == data_layout.BTREE2 and layout.address != UNDEFINED and not layout.plain_edges

    def _search(self, source: Source) -> chunks.Fetch:
        """As `_fetch`, without the index."""
        self._searches += 1
        plan, filtered = self.plan, self.dataset.filters is not None

        def fetch(number: int) -> tuple[Any, int] | None:
            chunk = find_chunk(source, self.layout, self.shape, plan.chunk_bytes, filtered, number)
            if chunk is None:
                return None
            _check_sizes(chunk.size, chunk.size, plan, source.size)
            payload = buffers.thread_buffer("stored chunk", chunk.size)
            source.read_into(chunk.address, payload)
            return payload, chunk.mask

        return fetch

    def _fetch(self, source: Source, coalesced: CoalescedChunks | None = None) -> chunks.Fetch:
        """A function from a chunk's number to its stored bytes and filter mask; coalesced: has them already."""
        index = self.index(source)

        def fetch(number: int) -> tuple[Any, int] | None:
            position = index.find(number)
            if position is None:
                return None
            address, size, mask = position
            if coalesced is not None:
                return coalesced.take(number), mask
            payload = buffers.thread_buffer("stored chunk", size)
            source.read_into(address, payload)
            return payload, mask

        return fetch

    def stored_parts(self, source: Source, max_bytes: int) -> Iterator[Array]:
        """All elements that are stored, in parts of about so many bytes: what was never written is left out.

        So the time that it takes is bounded by the file, whatever shape the dataset claims.
        """
        if self.layout_class == CHUNKED:
            index = self.index(source)
            if len(index.numbers) < self.plan.chunk_count:
                yield from (self._one_chunk(source, number) for number in index.numbers.tolist())
                return
        elif not self.stored_bytes(source):
            return
        if not self.shape:
            yield self.read(source)
            return
        band = self.plan.chunks[0] if self.layout_class == CHUNKED else 1
        row_bytes = max(1, math.prod(self.shape[1:]) * self.raw.itemsize)
        rows = max(1, max_bytes // (row_bytes * band)) * band
        for start in range(0, self.shape[0], rows):
            yield self.read(source, (range(start, min(start + rows, self.shape[0])), *map(range, self.shape[1:])))

    def _one_chunk(self, source: Source, number: int) -> Array:
        corner = zip(self.plan.offset(number), self.plan.chunks, self.shape, strict=True)
        places = tuple(range(at, min(at + chunk, length)) for at, chunk, length in corner)
        out = np.empty(tuple(map(len, places)), self.raw)
        try:
            chunks.read_into(self._fetch(source), self.plan, out, places, 1)
        except chunks.ChunkError as error:
            raise CorruptStructureError(str(error)) from error
        return out


def max_fill_bytes(file_size: int) -> int:
    """Bytes of elements that were never written which a file of this size may stand for, all its datasets together."""
    return max(_MIN_UNWRITTEN, Gzip.max_ratio * file_size)


def fill_too_large(shape: tuple[int, ...]) -> CorruptStructureError:
    """The refusal of elements that would take memory out of proportion to the file."""
    return CorruptStructureError(f"a dataset of shape {shape} {NEVER_WRITTEN}")


def _put(values: Array, out: Array | None) -> Array:
    if out is None:
        return values
    out[...] = values
    return out


def _touches(numbers: Array, plan: chunks.ChunkPlan, places: tuple[AxisIndices, ...]) -> Array:
    """The chunks that hold some of the places of each axis."""
    is_touched = np.ones(len(numbers), bool)
    rest = numbers
    for length, chunk, axis in reversed(list(zip(plan.grid, plan.chunks, places, strict=True))):
        rest, position = np.divmod(rest, length)
        needed = chunks.touched(axis, chunk)
        if isinstance(needed, range):
            is_touched &= (position >= needed.start) & (position < needed.stop)
        else:
            is_touched &= np.isin(position, needed)
    return is_touched


def _check_sizes(stored_bytes: int, smallest: int, plan: chunks.ChunkPlan, file_size: int) -> None:
    """Refuse what no chunk can hold before memory is set aside for it. smallest: stored bytes of a chunk."""
    if stored_bytes > file_size:
        raise CorruptStructureError("the chunks of a dataset overlap")
    ratio = codecs.max_ratio(plan.filters)
    if ratio is not None and plan.chunk_bytes > ratio * smallest + 64:
        raise CorruptStructureError("a chunk is larger than its stored bytes can hold")


def new_elements(shape: tuple[int, ...], dtype: np.dtype[Any], zeros: bool = False) -> Array:
    """Memory for elements, whose refusal is of a dataset that claims too many."""
    try:
        return np.zeros(shape, dtype) if zeros else np.empty(shape, dtype)
    except (ValueError, MemoryError) as error:
        raise CorruptStructureError(
            f"a dataset claims the shape {shape}, which no memory holds: read what you need lazily"
        ) from error


def _read_run(
    source: Source, address: int, shape: tuple[int, ...], places: tuple[AxisIndices, ...], out: Array
) -> None:
    """Read places of an array that is in one run at `address` into `out`, which is C-contiguous."""
    row = math.prod(shape[1:]) * out.dtype.itemsize
    lengths = zip(places[1:], shape[1:], strict=True)
    is_whole = all(isinstance(axis, range) and axis == range(length) for axis, length in lengths)
    if not shape or (is_whole and isinstance(places[0], range) and places[0].step == 1):
        first = places[0][0] if shape else 0
        source.read_into(address + first * row, out.reshape(-1).view(np.uint8))
        return
    if is_whole and source.reader is None:
        starts, stops = _stretches(places[0])
        gap = 0 if row >= _LONG_ROW_BYTES else _GAP_BYTES
        _read_pieces(source, address + starts * row, (stops - starts) * row, out, gap)
        return
    gap = GAP_BYTES if source.reader is not None else _GAP_BYTES
    if row > _SLAB_BYTES or row - _span_bytes(shape[1:], places[1:], out.dtype.itemsize) > gap:
        for number, i in enumerate(places[0]):
            _read_run(source, address + int(i) * row, shape[1:], places[1:], out[number])
        return
    inner = bounding_box(places[1:])
    slab = np.empty(0, out.dtype)
    for first, last in _slabs(np.asarray(places[0], np.int64), row, gap):
        low, high = int(places[0][first]), int(places[0][last - 1]) + 1
        if is_whole and high - low == last - first:
            source.read_into(address + low * row, out[first:last].reshape(-1).view(np.uint8))
            continue
        count = (high - low) * math.prod(shape[1:])
        slab = slab if slab.size >= count else np.empty(count, out.dtype)
        source.read_into(address + low * row, slab[:count].view(np.uint8))
        rows = slab[:count].reshape(high - low, *shape[1:])[tuple(slice(*edge) for edge in ((0, high - low), *inner))]
        here: tuple[AxisIndices, ...] = (places[0][first:last], *places[1:])
        out[first:last] = rows[relative_index(here, ((low, high), *inner))]


def _stretches(places: AxisIndices) -> tuple[Positions, Positions]:
    """The beginning of each stretch of neighbouring places, and its end."""
    if isinstance(places, range) and places.step == 1:
        return np.array([places.start], np.uint64), np.array([places.stop], np.uint64)
    numbers = np.asarray(places, np.uint64)
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    return numbers[np.concatenate([[0], breaks + 1])], numbers[np.append(breaks, len(numbers) - 1)] + np.uint64(1)


def _split(starts: Positions, stops: Positions, length: int) -> tuple[Positions, Positions, Positions]:
    """Stretches cut at the multiples of a length: the beginning, the end and the multiple of each part."""
    first, last = starts // length, (stops - 1) // length
    counts = (last - first + 1).astype(np.int64)
    if len(starts) == counts.sum():
        return starts, stops, first
    numbers = np.repeat(first, counts)
    numbers += (np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)).astype(np.uint64)
    begin, end = numbers * np.uint64(length), (numbers + 1) * np.uint64(length)
    return np.maximum(np.repeat(starts, counts), begin), np.minimum(np.repeat(stops, counts), end), numbers


def _read_pieces(
    source: Source,
    addresses: Positions,
    sizes: Positions,
    out: Array,
    gap_bytes: int = _GAP_BYTES,
    threads: int | None = None,
) -> None:
    """Fill `out`, which is C-contiguous, with pieces of a local file, one after the other.

    gap_bytes: as of `Source.read_pieces`.
    """
    target = out.reshape(-1).view(np.uint8)
    tasks = split_evenly(len(sizes), max(1, target.size // _PIECES_BYTES))
    ends = np.concatenate([np.zeros(1, np.uint64), np.cumsum(sizes)])

    def read(task: tuple[int, int]) -> None:
        chosen, to = slice(*task), target[int(ends[task[0]]) : int(ends[task[1]])]
        source.read_pieces(addresses[chosen], sizes[chosen], to, gap_bytes)

    parallel_map(read, tasks, threads)


def _span_bytes(shape: tuple[int, ...], places: tuple[AxisIndices, ...], itemsize: int) -> int:
    """Bytes of an array in C order from the first of some places to the last."""
    span, stride = itemsize, itemsize
    for length, (start, stop) in reversed(list(zip(shape, bounding_box(places), strict=True))):
        span += (stop - 1 - start) * stride
        stride *= length
    return span


def _slabs(rows: np.ndarray[Any, np.dtype[np.int64]], row_bytes: int, gap_bytes: int) -> Iterator[tuple[int, int]]:
    """Ascending rows in groups [first, last) to be read at once: none of it long, and with no long gaps."""
    gaps = np.flatnonzero((np.diff(rows) - 1) * row_bytes > gap_bytes) + 1
    most = max(1, _SLAB_BYTES // row_bytes)
    edges: list[int] = [0, *gaps.tolist(), len(rows)]
    for first, last in pairwise(edges):
        while first < last:
            upto = int(np.searchsorted(rows[first:last], rows[first] + most)) + first
            yield first, upto
            first = upto
