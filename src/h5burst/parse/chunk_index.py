"""Where the chunks of a dataset lie: the five indices of the current format, and the B-tree of the older one."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from h5burst._ext.h5parse import Damage, Source, Uncovered
from h5burst.parse import symbol_table
from h5burst.parse.btree2 import read_records
from h5burst.parse.extensible_array import read_elements as read_extensible_array
from h5burst.parse.paged import UNDEFINED, Element, ElementFormat, Placed, decode_elements, read_pages

_SINGLE, _IMPLICIT, _FIXED_ARRAY, _EXTENSIBLE_ARRAY, _BTREE2 = 1, 2, 3, 4, 5
_EDGE_CHUNKS_UNFILTERED, _SINGLE_FILTERED = 1, 2  # flags
_MAX_CHUNK_BYTES = (1 << 32) - 1
_MAX_BYTES = 1 << 62

Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


class ChunkedLayout(NamedTuple):
    """What the layout message says of a chunked dataset.

    chunks: shape of a chunk. kind: type of the index, 0 for the older B-tree. single: size and filter mask of the only
    chunk, where the message itself has them.
    """

    chunks: tuple[int, ...]
    kind: int
    address: int
    single: tuple[int, int] | None


def parse_layout(message: bytes, rank: int, element_bytes: int) -> ChunkedLayout:
    """The body of a layout message, version 3 to 5 (which differs from 4 only in larger chunks), of a dataset that is chunked."""
    try:
        layout, stored = _parse_version_3(message) if message[0] == 3 else _parse_version_4(message)
    except (struct.error, IndexError, ValueError) as error:
        raise Damage("a chunked layout message is too short") from error
    if len(layout.chunks) != rank or stored != element_bytes or 0 in layout.chunks:
        raise Damage("the chunks of a dataset do not fit its shape or datatype")
    if math.prod(layout.chunks) * element_bytes > (_MAX_CHUNK_BYTES if message[0] < 5 else _MAX_BYTES):
        raise Damage("the chunks of a dataset are larger than chunks can be")
    return layout


def _parse_version_3(message: bytes) -> tuple[ChunkedLayout, int]:
    rank, address = message[2], struct.unpack_from("<Q", message, 3)[0]
    *chunks, element_bytes = struct.unpack_from(f"<{rank}I", message, 11)
    return ChunkedLayout(tuple(chunks), 0, address, None), element_bytes


def _parse_version_4(message: bytes) -> tuple[ChunkedLayout, int]:
    flags, rank, width = message[2:5]
    if flags & _EDGE_CHUNKS_UNFILTERED:
        raise Uncovered("edge chunks without filters")
    at = 5 + rank * width
    *chunks, element_bytes = (int.from_bytes(message[i : i + width], "little") for i in range(5, at, width))
    kind = message[at]
    single = None
    if kind == _SINGLE and flags & _SINGLE_FILTERED:
        single = struct.unpack_from("<QI", message, at + 1)
    if not _SINGLE <= kind <= _BTREE2:
        raise Uncovered(f"chunk indices of type {kind}")
    return ChunkedLayout(tuple(chunks), kind, struct.unpack("<Q", message[-8:])[0], single), element_bytes


@dataclass(frozen=True, slots=True)
class ChunkIndex:
    """The chunks that were written: linear (C order) number in the dataset's grid, ascending, and where each lies."""

    numbers: Numbers
    addresses: np.ndarray[Any, np.dtype[np.uint64]]
    sizes: np.ndarray[Any, np.dtype[np.uint64]]
    masks: np.ndarray[Any, np.dtype[np.uint32]]

    def find(self, number: int) -> tuple[int, int, int] | None:
        """Address, size in the file and filter mask of a chunk; None if it was never written."""
        at = int(np.searchsorted(self.numbers, number))
        if at == len(self.numbers) or self.numbers[at] != number:
            return None
        return int(self.addresses[at]), int(self.sizes[at]), int(self.masks[at])

    @property
    def stored_bytes(self) -> int:
        # Not numpy's sum: hostile sizes must not wrap around.
        return sum(self.sizes.tolist())


def read_index(
    source: Source,
    layout: ChunkedLayout,
    shape: tuple[int, ...],
    limits: tuple[int, ...],
    chunk_bytes: int,
    filtered: bool,
) -> ChunkIndex:
    """Every written chunk of a dataset. limits: its maximum dimensions, all ones (64 bits) for none."""
    grid = _grid(shape, layout.chunks)
    if math.prod(grid) >= 1 << 62:
        raise Damage("a dataset claims more chunks than any file holds")
    if layout.address == UNDEFINED or 0 in grid:
        return _index(grid, np.empty((0, len(grid)), np.int64), [])
    if layout.kind == 0:
        return _from_old_tree(source, layout, grid)
    if layout.kind == _BTREE2:
        return _from_btree2(source, layout, grid, chunk_bytes, filtered)
    whole = _whole_grid(shape, limits, layout.chunks)
    written = _read_elements(source, layout, whole, chunk_bytes, filtered)
    coordinates = _coordinates([place for place, _ in written], whole, limits)
    return _index(grid, coordinates, [element for _, element in written])


def _grid(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-length // chunk) for length, chunk in zip(shape, chunks, strict=True))


def _whole_grid(shape: tuple[int, ...], limits: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...]:
    """The grid by which arrays of chunks are numbered: that of the largest shape the dataset may take."""
    largest = tuple(now if limit == UNDEFINED else limit for now, limit in zip(shape, limits, strict=True))
    return _grid(largest, chunks)


def _read_elements(
    source: Source, layout: ChunkedLayout, whole: tuple[int, ...], chunk_bytes: int, filtered: bool
) -> Placed:
    count = math.prod(whole)
    form = ElementFormat(0, chunk_bytes, filtered)
    if layout.kind == _SINGLE:
        size, mask = layout.single or (chunk_bytes, 0)
        return [(0, Element(layout.address, size, mask))]
    if layout.kind == _IMPLICIT:
        if count * chunk_bytes > source.size:
            raise Damage("a dataset claims more chunks than the file has room for")
        return [(i, Element(layout.address + i * chunk_bytes, chunk_bytes, 0)) for i in range(count)]
    if layout.kind == _FIXED_ARRAY:
        return _read_fixed_array(source, layout.address, count, form)
    return read_extensible_array(source, layout.address, chunk_bytes, filtered)


_FIXED_HEADER = struct.Struct("<4sBBBBQQ")


def _read_fixed_array(source: Source, address: int, count: int, form: ElementFormat) -> Placed:
    header = source.read_checked(address, _FIXED_HEADER.size + 4, "a chunk index")
    signature, version, client, width, page_bits, entries, block = _FIXED_HEADER.unpack_from(header)
    if signature != b"FAHD" or version != 0 or client != int(form.filtered) or page_bits > 63:
        raise Damage(f"there is no fixed array at address {address}")
    if entries != count or entries * width > source.size:
        raise Damage("a chunk index is of another size than the dataset's grid")
    if block == UNDEFINED:
        return []
    return _read_fixed_block(source, block, address, count, 1 << page_bits, form._replace(width=width))


def _read_fixed_block(source: Source, address: int, header: int, count: int, page: int, form: ElementFormat) -> Placed:
    pages = -(-count // page) if count > page else 0
    prefix = 14 + -(-pages // 8)
    block = source.read_checked(address, prefix + (0 if pages else count * form.width) + 4, "a chunk index")
    if block[:5] != b"FADB\0" or int.from_bytes(block[6:14], "little") != header:
        raise Damage(f"there is no fixed array at address {address}")
    if pages:
        return read_pages(source, address + len(block), block[14:prefix], 0, count, page, form, 0)
    return decode_elements(block[prefix:-4], form, 0)


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


def _index(grid: tuple[int, ...], coordinates: Numbers, elements: list[Element]) -> ChunkIndex:
    """Chunks outside the grid are left over from a larger shape."""
    inside = np.all((coordinates >= 0) & (coordinates < np.array(grid, dtype=np.int64)), axis=1)
    numbers = np.zeros(len(elements), np.int64)
    for axis, length in enumerate(grid):
        numbers = numbers * length + np.where(inside, coordinates[:, axis], 0)
    order = np.argsort(numbers, kind="stable")
    order = order[inside[order]]
    numbers = numbers[order]
    if (numbers[1:] == numbers[:-1]).any():
        raise Damage("two chunks of a dataset lie at the same place")
    columns = np.array([(e.address, e.size, e.mask) for e in elements], np.uint64).reshape(-1, 3)[order]
    return ChunkIndex(numbers, columns[:, 0].copy(), columns[:, 1].copy(), columns[:, 2].astype(np.uint32))


def _from_btree2(
    source: Source, layout: ChunkedLayout, grid: tuple[int, ...], chunk_bytes: int, filtered: bool
) -> ChunkIndex:
    """Records of address, with filters size and mask, and the chunk's coordinates in the grid."""
    records = read_records(source, layout.address, 11 if filtered else 10)
    rank = len(grid)
    fixed = records.size - 8 * rank
    if fixed != 8 and not (filtered and 13 <= fixed <= 20):
        raise Damage("the records of a chunk index are of another size")
    rows = [records.data[at : at + records.size] for at in range(0, len(records.data), records.size)]
    placed = decode_elements(b"".join(row[:fixed] for row in rows), ElementFormat(fixed, chunk_bytes, filtered), 0)
    coordinates = [struct.unpack(f"<{rank}q", rows[number][fixed:]) for number, _ in placed]
    return _index(grid, np.array(coordinates, np.int64).reshape(-1, rank), [element for _, element in placed])


def _from_old_tree(source: Source, layout: ChunkedLayout, grid: tuple[int, ...]) -> ChunkIndex:
    """Keys of size, filter mask and the coordinates of the chunk's first element, one more for the element itself."""
    rank = len(grid)
    elements, coordinates = [], []
    for key, address in symbol_table.entries(source, layout.address, kind=1, key_size=8 + 8 * (rank + 1)):
        size, mask, *first = struct.unpack(f"<II{rank + 1}q", key)
        if any(at % chunk for at, chunk in zip(first, layout.chunks, strict=False)):
            raise Damage("a chunk of a dataset is not on its grid")
        elements.append(Element(address, size, mask))
        coordinates.append([at // chunk for at, chunk in zip(first, layout.chunks, strict=False)])
    return _index(grid, np.array(coordinates, np.int64).reshape(-1, rank), elements)
