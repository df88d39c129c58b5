"""The addresses of the chunks of a dataset: the five indices of the current format, and the B-tree of the older one."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from h5burst._ext.h5parse import Source
from h5burst.format import chunk_btree1, extensible_array, fixed_array
from h5burst.format.btree2 import find_record, read_records
from h5burst.format.chunk_index_elements import ChunkElement, ChunkElements, ElementFormat
from h5burst.format.constants import UNDEFINED
from h5burst.format.data_layout import BTREE1, BTREE2, FIXED_ARRAY, IMPLICIT, SINGLE, ChunkedLayout
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError

_NO_FILTER = 0xFFFFFFFF  # of a filter mask: a bit for each filter that was left out

Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


@dataclass(frozen=True, slots=True)
class ChunkIndex:
    """The chunks that were written: linear (C order) number in the dataset's grid, ascending, and where each is."""

    numbers: Numbers
    addresses: np.ndarray[Any, np.dtype[np.uint64]]
    sizes: np.ndarray[Any, np.dtype[np.uint64]]
    masks: np.ndarray[Any, np.dtype[np.uint32]]

    def find(self, number: int) -> tuple[int, int, int] | None:
        """Address, size in the file and filter mask of a chunk; None if it was never written."""
        numbers = self.numbers
        is_at_its_number = number < len(numbers) and numbers[number] == number  # all before it were written
        at = number if is_at_its_number else int(np.searchsorted(numbers, number))
        if at == len(self.numbers) or self.numbers[at] != number:
            return None
        return int(self.addresses[at]), int(self.sizes[at]), int(self.masks[at])

    @property
    def stored_bytes(self) -> int:
        # Not numpy's sum: hostile sizes must not wrap around.
        return sum(self.sizes.tolist())


@total("a chunk index", reads=True)
def read_index(
    source: Source,
    layout: ChunkedLayout,
    shape: tuple[int, ...],
    limits: tuple[int, ...],
    chunk_bytes: int,
    filtered: bool,
) -> ChunkIndex:
    """Every written chunk of a dataset. limits: its maximum dimensions, all ones (64 bits) for none.

    Where the layout says that chunks at the edge went through no filter, their masks here say so, too.
    """
    index = _read_index(source, layout, shape, limits, chunk_bytes, filtered)
    if filtered and layout.plain_edges and len(index.numbers):
        index.masks[_at_edge(index.numbers, shape, layout.chunks)] = _NO_FILTER
    return index


@total("a chunk index", reads=True)
def find_chunk(
    source: Source, layout: ChunkedLayout, shape: tuple[int, ...], chunk_bytes: int, filtered: bool, number: int
) -> ChunkElement | None:
    """One chunk by its number, where the index is a version 2 B-tree; None where it was never written.

    Only the nodes that lead to it are read.
    """
    rank, rest = len(shape), number
    key = [0] * rank
    for axis, length in reversed(list(enumerate(_grid(shape, layout.chunks)))):
        rest, key[axis] = divmod(rest, length)
    unpack = struct.Struct(f"<{rank}Q").unpack
    kind = 11 if filtered else 10
    record = find_record(source, layout.address, kind, lambda data: unpack(data[-8 * rank :]), tuple(key))
    if record is None:
        return None
    size, mask, fixed = chunk_bytes, 0, len(record) - 8 * rank
    if fixed != 8 and not (filtered and 13 <= fixed <= 20):
        raise CorruptStructureError("the records of a chunk index are of another size")
    if filtered:
        size = int.from_bytes(record[8 : fixed - 4], "little")
        mask = int.from_bytes(record[fixed - 4 : fixed], "little")
    address = int.from_bytes(record[:8], "little")
    return None if address == UNDEFINED else ChunkElement(address, size, mask)


def _at_edge(numbers: Numbers, shape: tuple[int, ...], chunks: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A mask of the chunks that reach beyond the array."""
    edge = np.zeros(len(numbers), bool)
    for position, length, chunk in zip(np.unravel_index(numbers, _grid(shape, chunks)), shape, chunks, strict=True):
        edge |= (position + 1) * chunk > length
    return edge


def _read_index(
    source: Source,
    layout: ChunkedLayout,
    shape: tuple[int, ...],
    limits: tuple[int, ...],
    chunk_bytes: int,
    filtered: bool,
) -> ChunkIndex:
    grid = _grid(shape, layout.chunks)
    if math.prod(grid) >= 1 << 62:
        raise CorruptStructureError("a dataset claims more chunks than any file holds")
    if layout.address == UNDEFINED or 0 in grid:
        return _index(grid, np.empty((0, len(grid)), np.int64), [])
    if layout.kind == BTREE1:
        return _from_old_tree(source, layout, grid)
    if layout.kind == BTREE2:
        return _from_btree2(source, layout, grid, chunk_bytes, filtered)
    whole = _whole_grid(shape, limits, layout.chunks)
    written = _read_elements(source, layout, whole, chunk_bytes, filtered)
    coordinates = _coordinates([coordinate for coordinate, _ in written], whole, limits)
    return _index(grid, coordinates, [element for _, element in written])


def _grid(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-length // chunk) for length, chunk in zip(shape, chunks, strict=True))


def _whole_grid(shape: tuple[int, ...], limits: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...]:
    """The grid by which arrays of chunks are numbered: that of the largest shape the dataset may take."""
    largest = tuple(now if limit == UNDEFINED else limit for now, limit in zip(shape, limits, strict=True))
    return _grid(largest, chunks)


def _read_elements(
    source: Source, layout: ChunkedLayout, whole: tuple[int, ...], chunk_bytes: int, filtered: bool
) -> ChunkElements:
    count = math.prod(whole)
    form = ElementFormat(0, chunk_bytes, filtered)
    if layout.kind == SINGLE:
        size, mask = layout.single or (chunk_bytes, 0)
        return [(0, ChunkElement(layout.address, size, mask))]
    if layout.kind == IMPLICIT:
        if count * chunk_bytes > source.size:
            raise CorruptStructureError("a dataset claims more chunks than the file has room for")
        return [(i, ChunkElement(layout.address + i * chunk_bytes, chunk_bytes, 0)) for i in range(count)]
    if layout.kind == FIXED_ARRAY:
        return fixed_array.read_elements(source, layout.address, count, form)
    return extensible_array.read_elements(source, layout.address, chunk_bytes, filtered)


def _coordinates(places: list[int], whole: tuple[int, ...], limits: tuple[int, ...]) -> Numbers:
    """Grid coordinates (n, rank) of places in the array of chunks, in which an unlimited axis varies slowest."""
    unlimited = [axis for axis, limit in enumerate(limits) if limit == UNDEFINED]
    order = sorted(range(len(whole)), key=lambda axis: axis not in unlimited)
    out = np.empty((len(places), len(whole)), np.int64)
    rest = np.array(places, dtype=np.int64)
    for axis in reversed(order[1:]):
        rest, out[:, axis] = np.divmod(rest, whole[axis])
    if order:
        out[:, order[0]] = rest
    return out


def _index(grid: tuple[int, ...], coordinates: Numbers, elements: list[ChunkElement]) -> ChunkIndex:
    columns = np.array([(e.address, e.size, e.mask) for e in elements], np.uint64).reshape(-1, 3)
    return _placed(grid, coordinates, columns)


def _placed(grid: tuple[int, ...], coordinates: Numbers, columns: np.ndarray[Any, np.dtype[np.uint64]]) -> ChunkIndex:
    """Chunks outside the grid are left over from a larger shape. columns: address, size and filter mask of each."""
    inside = np.all((coordinates >= 0) & (coordinates < np.array(grid, dtype=np.int64)), axis=1)
    numbers = np.zeros(len(columns), np.int64)
    for axis, length in enumerate(grid):
        numbers = numbers * length + np.where(inside, coordinates[:, axis], 0)
    order = np.argsort(numbers, kind="stable")
    order = order[inside[order]]
    numbers = numbers[order]
    if (numbers[1:] == numbers[:-1]).any():
        raise CorruptStructureError("two chunks of a dataset are at the same place")
    columns = columns[order]
    return ChunkIndex(numbers, columns[:, 0].copy(), columns[:, 1].copy(), columns[:, 2].astype(np.uint32))


def _from_btree2(
    source: Source, layout: ChunkedLayout, grid: tuple[int, ...], chunk_bytes: int, filtered: bool
) -> ChunkIndex:
    """Records of address, with filters size and mask, and the chunk's coordinates in the grid."""
    records = read_records(source, layout.address, 11 if filtered else 10)
    rank = len(grid)
    fixed = records.size - 8 * rank
    if fixed != 8 and not (filtered and 13 <= fixed <= 20):
        raise CorruptStructureError("the records of a chunk index are of another size")
    rows = np.frombuffer(records.data, np.uint8).reshape(-1, records.size)
    columns = np.zeros((len(rows), 3), "<u8")
    columns[:, 0] = rows[:, :8].copy().view("<u8")[:, 0]
    columns[:, 1] = chunk_bytes
    if filtered:
        sizes = np.zeros((len(rows), 8), np.uint8)
        sizes[:, : fixed - 12] = rows[:, 8 : fixed - 4]
        columns[:, 1] = sizes.view("<u8")[:, 0]
        columns[:, 2] = rows[:, fixed - 4 : fixed].copy().view("<u4")[:, 0]
    written = columns[:, 0] != UNDEFINED
    return _placed(grid, rows[:, fixed:].copy().view("<i8")[written], columns[written])


def _from_old_tree(source: Source, layout: ChunkedLayout, grid: tuple[int, ...]) -> ChunkIndex:
    """Keys of size, filter mask and the coordinates of the chunk's first element, one more for the element itself."""
    written = chunk_btree1.entries(source, layout.address, len(grid))
    first, chunk = written["first"][:, :-1], np.array(layout.chunks, np.int64)
    if written["first"][:, -1].any() or (first % chunk).any():
        raise CorruptStructureError("a chunk of a dataset is not on its grid")
    rises, ties = np.zeros(max(0, len(first) - 1), bool), np.ones(max(0, len(first) - 1), bool)
    for axis in first.T:
        rises |= ties & (axis[1:] > axis[:-1])
        ties &= axis[1:] == axis[:-1]
    if not rises.all():  # libhdf5 would look for them elsewhere
        raise CorruptStructureError("the chunks of a dataset are not in their order")
    columns = np.stack([written[name].astype(np.uint64) for name in ("address", "size", "mask")], axis=1)
    return _placed(grid, first // chunk, columns)
