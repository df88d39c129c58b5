"""Fractal heaps: where groups and objects keep links and attributes that are too many for their header."""

from __future__ import annotations

import bisect
import struct
from typing import NamedTuple

from h5burst._ext.h5parse import Source, lookup3
from h5burst.format.btree2 import read_records
from h5burst.format.constants import UNDEFINED
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError

_HEADER = struct.Struct("<4sBHHBI12QHQQHHQH")
_CHECKSUM = 4
_DIRECT_BLOCKS_CHECKED = 2
_MANAGED, _HUGE, _TINY = 0, 1, 2
HUGE_PLACES = 1  # B-tree record type: places of huge objects by their number
PLACE = struct.Struct("<QQQ")  # such a record: address, length, number


class _Table(NamedTuple):
    """The doubling table: `width` blocks a row; rows 0 and 1 of `start` bytes a block, every further row twice that."""

    width: int
    start: int
    largest: int
    offset_width: int
    blocks_checked: bool

    def block_size(self, row: int) -> int:
        return self.start << max(0, row - 1)


class FractalHeap:
    """The objects of one heap by their ID."""

    @total("a fractal heap", reads=True)
    def __init__(self, source: Source, address: int) -> None:
        header = source.read_checked(address, _HEADER.size + _CHECKSUM, "a fractal heap header")
        fields = _HEADER.unpack_from(header)
        signature, version, id_length, filters_length, flags, max_managed = fields[:6]
        width, start, largest, heap_bits, _, root, rows = fields[18:]
        if signature != b"FRHP" or version != 0:
            raise CorruptStructureError(f"there is no fractal heap at address {address}")
        if filters_length:
            raise UnsupportedFeatureError("filtered fractal heaps")
        if heap_bits > 64 or not 0 < width <= 1024 or not _is_power(start) or not _is_power(largest) or rows > 64:
            raise CorruptStructureError("a fractal heap header has impossible values")
        self._source, self._address = source, address
        self._table = _Table(width, start, largest, (heap_bits + 7) // 8, bool(flags & _DIRECT_BLOCKS_CHECKED))
        self._length_width = _length_width(largest, max_managed)
        self._id_length = id_length
        self._huge_tree: int = fields[7]
        self.huge_count: int = fields[15]
        self._huge: dict[int, tuple[int, int]] | None = None
        self._starts: list[int] = []  # heap offset of each direct block, ascending
        self._blocks: list[tuple[int, int]] = []  # its address and size
        self._held: tuple[int, bytes] = (-1, b"")
        self._held_bytes = 0  # of all blocks that were read
        if root != UNDEFINED:
            if rows:
                self._list_blocks(root, rows, 0)
            else:
                self._add_block(root, 0, start)

    @property
    def block_places(self) -> list[int]:
        """Addresses of its direct blocks."""
        return [address for address, _ in self._blocks]

    def _add_block(self, address: int, offset: int, size: int) -> None:
        self._starts.append(offset)
        self._blocks.append((address, size))

    def _list_blocks(self, address: int, rows: int, offset: int) -> None:
        """The direct blocks below an indirect block."""
        table = self._table
        prefix = 13 + table.offset_width
        length = prefix + 8 * rows * table.width + _CHECKSUM
        block = self._source.read_checked(address, length, "a fractal heap's indirect block")
        self._check_prefix(block, b"FHIB", offset)
        for row in range(rows):
            size = table.block_size(row)
            for column in range(table.width):
                at = prefix + 8 * (row * table.width + column)
                child = int.from_bytes(block[at : at + 8], "little")
                if child != UNDEFINED:
                    if size <= table.largest:
                        self._add_block(child, offset, size)
                    else:
                        self._list_blocks(child, (size // (table.start * table.width)).bit_length(), offset)
                offset += size
                if offset >> 8 * table.offset_width and child != UNDEFINED:
                    raise CorruptStructureError("a fractal heap is larger than its addresses")

    def _check_prefix(self, block: bytes, signature: bytes, offset: int) -> None:
        """Version, the heap's address and the offset stand at the beginning of each block."""
        width = self._table.offset_width
        if (
            block[:5] != signature + b"\0"
            or int.from_bytes(block[5:13], "little") != self._address
            or int.from_bytes(block[13 : 13 + width], "little") != offset
        ):
            raise CorruptStructureError("a block of a fractal heap is not where it should be")

    def _block(self, number: int) -> bytes:
        """A direct block, checked; the last one used is kept, for objects come in about the order of the blocks."""
        if self._held[0] != number:
            (address, size), offset = self._blocks[number], self._starts[number]
            block = self._source.read(address, size)
            self._check_prefix(block, b"FHDB", offset)
            if self._table.blocks_checked:
                self._check_block(block)
            self._held = (number, block)
            self._held_bytes += size
        return self._held[1]

    def _check_block(self, block: bytes) -> None:
        """The checksum of a direct block stands behind its prefix, and counts as zeros."""
        at = 13 + self._table.offset_width
        if lookup3(block[:at] + bytes(4) + block[at + 4 :]) != int.from_bytes(block[at : at + 4], "little"):
            raise CorruptStructureError("the checksum of a fractal heap's block is wrong")

    @total("a fractal heap", reads=True)
    def objects(self, ids: list[bytes]) -> list[bytes]:
        """The objects of these IDs, in the same order."""
        out = [b""] * len(ids)
        managed = []
        for i, identity in enumerate(ids):
            kind = identity[0] >> 4 & 3
            if identity[0] >> 6 or kind > _TINY:
                raise CorruptStructureError("an ID of a fractal heap is of an unknown kind")
            if kind == _MANAGED:
                managed.append((*self._managed_place(identity), i))
            else:
                out[i] = self._tiny_object(identity) if kind == _TINY else self._huge_object(identity)
        used = 0
        for offset, length, i in sorted(managed):
            number = bisect.bisect_right(self._starts, offset) - 1
            if number < 0:
                raise CorruptStructureError("an object is before its fractal heap")
            block, at = self._block(number), offset - self._starts[number]
            used += length
            if used > self._held_bytes:
                raise CorruptStructureError("the objects of a fractal heap overlap")
            if length == 0 or at + length > len(block):
                raise CorruptStructureError("an object of a fractal heap is outside its block")
            out[i] = block[at : at + length]
        return out

    def _managed_place(self, identity: bytes) -> tuple[int, int]:
        middle = 1 + self._table.offset_width
        if middle + self._length_width > len(identity):
            raise CorruptStructureError("an ID of a fractal heap is too short")
        return (
            int.from_bytes(identity[1:middle], "little"),
            int.from_bytes(identity[middle : middle + self._length_width], "little"),
        )

    def _tiny_object(self, identity: bytes) -> bytes:
        if self._id_length > 18:
            length, start = ((identity[0] & 15) << 8 | identity[1]) + 1, 2
        else:
            length, start = (identity[0] & 15) + 1, 1
        if start + length > len(identity):
            raise CorruptStructureError("an object inside an ID of a fractal heap is longer than it")
        return identity[start : start + length]

    def _huge_object(self, identity: bytes) -> bytes:
        if self._id_length >= 17:  # the ID has room for address and length
            address, length = struct.unpack_from("<QQ", identity, 1)
            return self._source.read(address, length)
        if self._huge is None:
            records = read_records(self._source, self._huge_tree, HUGE_PLACES)
            if records.size != PLACE.size:
                raise CorruptStructureError("the index of huge objects has records of another size")
            self._huge = {number: (at, length) for at, length, number in PLACE.iter_unpack(records.data)}
        location = self._huge.get(int.from_bytes(identity[1:9], "little"))
        if location is None:
            raise CorruptStructureError("a huge object of a fractal heap is not in its index")
        return self._source.read(*location)


def _length_width(largest: int, max_managed: int) -> int:
    """Bytes of a managed object's length in its ID: what offsets in the largest direct block take, or its greatest
    length.

    libhdf5 rounds the two in different ways: an offset below 2^16 takes two bytes, a length of 2^16 takes three.
    """
    return min((largest.bit_length() + 6) // 8, (max(max_managed, 1).bit_length() - 1) // 8 + 1)


def _is_power(number: int) -> bool:
    return 0 < number < 1 << 40 and number & (number - 1) == 0


class HugeOnly(NamedTuple):
    """A heap whose objects are all huge: last number given to one, address of their index, how many, their bytes.

    The HDF5 specification calls the number "next huge object ID"; libhdf5 adds 1 before it uses it.
    """

    last_number: int
    tree: int
    objects: int
    stored_bytes: int


@total("a fractal heap", reads=True)
def read_huge_only(source: Source, address: int) -> HugeOnly | None:
    """The header of a heap with huge objects alone, found by their numbers; None for any other heap."""
    fields = _HEADER.unpack_from(source.read_checked(address, _HEADER.size + _CHECKSUM, "a fractal heap header"))
    if fields[0] != b"FRHP" or fields[1] != 0:
        raise CorruptStructureError(f"there is no fractal heap at address {address}")
    last_number, tree = fields[6:8]
    managed, stored_bytes, count, _, tiny = fields[13:18]
    if managed or tiny or not count or fields[2] >= 17 or fields[3]:
        return None
    return HugeOnly(last_number, tree, count, stored_bytes)


def encode_huge_only(last_number: int, tree: int, count: int, stored_bytes: int, id_bytes: int = 7) -> bytes:
    """The header of a heap that keeps every object as a huge one: more than one byte is too large for a block.

    tree: address of the index that finds them by their numbers, of which `last_number` is the last that was ever given.
    id_bytes: 7 for links, 8 for attributes.
    """
    doubling_table = (4, 512, 65536, 32, 1, UNDEFINED, 0)  # what blocks there would be: none
    data = _HEADER.pack(
        *(b"FRHP", 0, id_bytes, 0, _DIRECT_BLOCKS_CHECKED, 1),
        *(last_number, tree, 0, UNDEFINED, 0, 0, 0, 0, stored_bytes, count, 0, 0),
        *doubling_table,
    )
    return data + lookup3(data).to_bytes(_CHECKSUM, "little")
