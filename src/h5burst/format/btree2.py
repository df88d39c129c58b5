"""Version 2 B-trees: records of a fixed size, in order."""

from __future__ import annotations

import contextlib
import functools
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from h5burst._ext.h5parse import Source
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError

HEADER = struct.Struct("<4sBBIHHBBQHQ")
_PREFIX, _CHECKSUM = 6, 4
_MAX_DEPTH = 16  # a tree of this depth holds more records than a file of any size


class Child(NamedTuple):
    """A node as its parent points to it: address, its own records, and those below it, itself included."""

    address: int
    record_count: int
    total: int


class Shape(NamedTuple):
    """Properties that all nodes of a tree share."""

    kind: int
    node_bytes: int
    record_bytes: int


class Header(NamedTuple):
    """A tree's header: shape of its nodes, depth of its root (0: a leaf), the root."""

    shape: Shape
    depth: int
    root: Child


class Records(NamedTuple):
    """All records end to end, and the size of one."""

    data: bytes
    size: int


class _Level(NamedTuple):
    """Capacity of the nodes of one depth (0: leaves), and how a pointer to such a node is stored."""

    max_records: int  # records in a node
    max_below: int  # and in everything below it
    total_width: int  # bytes of that number in a pointer; leaves need none


@total("a B-tree header", reads=True)
def read_header(source: Source, address: int, kind: int) -> Header:
    """The header of a tree of records of this kind. Raises `CorruptStructureError`."""
    data = source.read_checked(address, HEADER.size + _CHECKSUM, "a B-tree header")
    signature, version, stored_kind, node_bytes, size, depth, _, _, *root = HEADER.unpack_from(data)
    if signature != b"BTHD" or version != 0 or stored_kind != kind:
        raise CorruptStructureError(f"there is no B-tree of type {kind} at address {address}")
    if depth > _MAX_DEPTH or not 0 < size <= node_bytes - _PREFIX - _CHECKSUM:
        raise CorruptStructureError("a B-tree header has impossible values")
    return Header(Shape(kind, node_bytes, size), depth, Child(*root))


class Nodes:
    """The nodes of one tree: how much they hold, and how they are read. source: None for a tree that is only written.

    width: bytes of a number of records in a pointer.
    """

    def __init__(self, source: Source | None, shape: Shape) -> None:
        self.source, self.shape = source, shape
        self._levels, self.width = _levels(shape.node_bytes, shape.record_bytes, 0)

    def max_records(self, depth: int) -> int:
        """Records that a node of a depth holds (0: a leaf)."""
        if depth >= len(self._levels):
            self._levels, self.width = _levels(self.shape.node_bytes, self.shape.record_bytes, depth)
        return self._levels[depth].max_records

    def pointer_bytes(self, depth: int) -> int:
        """Bytes of a pointer in a node of a depth: address, records of the node, and of all below it."""
        self.max_records(depth)
        return 8 + self.width + self._levels[depth - 1].total_width if depth else 0

    def read(self, child: Child, depth: int) -> tuple[bytes, list[Child]]:
        """The records of a node end to end, and the nodes right below it."""
        if self.source is None:
            raise ValueError("a new tree has no old nodes")
        if child.record_count > self.max_records(depth):
            raise CorruptStructureError("a B-tree node claims more records than fit")
        pointer, end = self.pointer_bytes(depth), _PREFIX + child.record_count * self.shape.record_bytes
        length = end + (child.record_count + 1) * pointer + _CHECKSUM
        data = self.source.read_checked(child.address, length, "a B-tree node")
        if data[:_PREFIX] != (b"BTIN" if depth else b"BTLF") + bytes([0, self.shape.kind]):
            raise CorruptStructureError(f"there is no B-tree node at address {child.address}")
        below = []
        for at in range(end, length - _CHECKSUM, pointer) if depth else ():
            count = int.from_bytes(data[at + 8 : at + 8 + self.width], "little")
            whole = int.from_bytes(data[at + 8 + self.width : at + pointer], "little") if depth > 1 else count
            below.append(Child(int.from_bytes(data[at : at + 8], "little"), count, whole))
        return data[_PREFIX:end], below


@functools.lru_cache(64)
def _levels(node_bytes: int, record_bytes: int, depth: int) -> tuple[tuple[_Level, ...], int]:
    """Capacities of nodes of each depth up to this one, and the bytes of a number of records in a pointer."""
    room = node_bytes - _PREFIX - _CHECKSUM
    max_records = room // record_bytes
    levels = [_Level(max_records, max_records, 0)]
    width = _width(max_records)
    for _ in range(depth):
        below = levels[-1]
        pointer = 8 + width + below.total_width
        max_records = (room - pointer) // (record_bytes + pointer)
        if max_records < 1:
            raise CorruptStructureError("the nodes of a B-tree are too small for it")
        max_below = (max_records + 1) * below.max_below + max_records
        levels.append(_Level(max_records, max_below, _width(max_below)))
    return tuple(levels), width


def _width(limit: int) -> int:
    """Bytes that hold numbers up to `limit`."""
    return (limit.bit_length() - 1) // 8 + 1


def cut(records: bytes, size: int) -> list[bytes]:
    """Records that are end to end, one by one."""
    return [records[at : at + size] for at in range(0, len(records), size)]


@total("a B-tree", reads=True)
def find_record(source: Source, address: int, kind: int, key_of: Callable[[bytes], Any], key: Any) -> bytes | None:
    """A record by its key, in which the records are ordered; None where there is none. Only what leads to it is read.

    Raises `CorruptStructureError`.
    """
    shape, depth, child = read_header(source, address, kind)
    nodes, size = Nodes(source, shape), shape.record_bytes
    while child.record_count:
        records, below = nodes.read(child, depth)
        first, last = 0, child.record_count
        while first < last:
            middle = (first + last) // 2
            record = records[middle * size : (middle + 1) * size]
            found = key_of(record)
            if found == key:
                return record
            first, last = (middle + 1, last) if found < key else (first, middle)
        if not depth:
            break
        child, depth = below[first], depth - 1
    return None


# ---------------------------------------------------------------- all records


@total("a B-tree", reads=True)
def read_records(source: Source, address: int, kind: int) -> Records:
    """Every record of the tree in its order. Raises `CorruptStructureError`."""
    shape, depth, root = read_header(source, address, kind)
    if root.total * shape.record_bytes > source.size:
        raise CorruptStructureError("a B-tree header has impossible values")
    out: list[bytes] = []
    left = _read_below(Nodes(source, shape), root, depth, root.total, out) if root.record_count else 0
    if left:
        raise CorruptStructureError("a B-tree holds another number of records than its header says")
    return Records(b"".join(out), shape.record_bytes)


def _read_below(nodes: Nodes, child: Child, depth: int, left: int, out: list[bytes]) -> int:
    """Append the records below a node in order; how many of the `left` expected ones are then still missing."""
    if child.record_count > left:
        raise CorruptStructureError("a B-tree node claims more records than fit")
    records, children = nodes.read(child, depth)
    if depth == 0:
        out.append(records)
        return left - child.record_count
    between = cut(records, nodes.shape.record_bytes)
    for number, below in enumerate(children):
        left = _read_below(nodes, below, depth - 1, left, out)
        if number < child.record_count:
            if left == 0:
                raise CorruptStructureError("a B-tree holds more records than its header says")
            out.append(between[number])
            left -= 1
    return left


def readable_records(source: Source, address: int, kind: int) -> tuple[Records, bool]:
    """As `read_records`, without what is below damaged nodes, and whether that is all; the header must be whole."""
    with contextlib.suppress(CorruptStructureError):
        return read_records(source, address, kind), True
    shape, depth, root = read_header(source, address, kind)
    nodes, out = Nodes(source, shape), []
    waiting, seen = [(root, depth)], {root.address}
    while waiting:
        node, level = waiting.pop()
        with contextlib.suppress(CorruptStructureError):
            records, below = nodes.read(node, level)
            out.append(records)
            new = [child for child in below if child.address not in seen]
            seen.update(child.address for child in new)
            waiting += [(child, level - 1) for child in new]
    return Records(b"".join(out), shape.record_bytes), False


def differing(source: Source, trees: tuple[int, int], kind: int) -> tuple[list[bytes], list[bytes]]:
    """Records that one of two trees has and the other does not. Nodes that both have are not read.

    Raises `CorruptStructureError`.
    """
    headers = [read_header(source, address, kind) for address in trees]
    waiting = [
        {header.root.address: (header.root, header.depth)} if header.root.record_count else {} for header in headers
    ]
    sides = [Nodes(source, header.shape) for header in headers]
    records_of: list[set[bytes]] = [set(), set()]
    while any(waiting):
        for address in waiting[0].keys() & waiting[1].keys():
            del waiting[0][address], waiting[1][address]
        deepest = max((depth for nodes in waiting for _, depth in nodes.values()), default=-1)
        for nodes, records, side in zip(waiting, records_of, sides, strict=True):
            for node, depth in [item for item in nodes.values() if item[1] == deepest]:
                del nodes[node.address]
                node_records, below = side.read(node, depth)
                records.update(cut(node_records, side.shape.record_bytes))
                nodes.update({child.address: (child, depth - 1) for child in below})
    return list(records_of[0] - records_of[1]), list(records_of[1] - records_of[0])
