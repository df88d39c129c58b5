"""Version 2 B-trees: records of a fixed size, in order."""

from __future__ import annotations

import contextlib
import struct
from typing import NamedTuple, TypeAlias

from h5burst._ext.h5parse import Source
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError

_HEADER = struct.Struct("<4sBBIHHBBQHQ")
_PREFIX, _CHECKSUM = 6, 4
_MAX_DEPTH = 16  # a tree of this depth holds more records than a file of any size


class _Level(NamedTuple):
    """Capacity of the nodes of one depth (0: leaves), and how a pointer to such a node is stored."""

    most: int  # records in a node
    most_below: int  # and in everything below it
    total_width: int  # bytes of that number in a pointer; leaves need none


class _Tree(NamedTuple):
    """A tree that is being read: its type, the size of a record, its levels, and the records so far."""

    source: Source
    kind: int
    size: int
    levels: list[_Level]
    width: int  # bytes of a number of records in a pointer
    out: list[bytes]


class Records(NamedTuple):
    """All records end to end, and the size of one."""

    data: bytes
    size: int


@total("a B-tree", reads=True)
def read_records(source: Source, address: int, kind: int) -> Records:
    """Every record of the tree in its order. Raises `CorruptStructureError`."""
    header = source.read_checked(address, _HEADER.size + _CHECKSUM, "a B-tree header")
    signature, version, found, node_size, size, depth, _, _, root, root_count, total = _HEADER.unpack_from(header)
    if signature != b"BTHD" or version != 0 or found != kind:
        raise CorruptStructureError(f"there is no B-tree of type {kind} at address {address}")
    if total * size > source.size or depth > _MAX_DEPTH or not 0 < size <= node_size - _PREFIX - _CHECKSUM:
        raise CorruptStructureError("a B-tree header has impossible values")
    if root_count == 0:
        return Records(b"", size)
    levels, width = tree_levels(node_size, size, depth)
    tree = _Tree(source, kind, size, levels, width, [])
    _read_node(tree, root, root_count, depth, total)
    data = b"".join(tree.out)
    if len(data) != total * size:
        raise CorruptStructureError("a B-tree holds another number of records than its header says")
    return Records(data, size)


def readable_records(source: Source, address: int, kind: int) -> tuple[Records, bool]:
    """As `read_records`, without what is below damaged nodes, and whether that is all; the header must be whole."""
    try:
        return read_records(source, address, kind), True
    except CorruptStructureError:
        header = source.read_checked(address, _HEADER.size + _CHECKSUM, "a B-tree header")
    _, _, _, node_size, size, depth, _, _, root, root_count, _ = _HEADER.unpack_from(header)
    if depth > _MAX_DEPTH or not 0 < size <= node_size - _PREFIX - _CHECKSUM:
        raise CorruptStructureError("a B-tree header has impossible values")
    levels, width = tree_levels(node_size, size, depth)
    out: list[bytes] = []
    waiting, seen = [(root, root_count, depth)], {root}
    while waiting:
        node, count, level = waiting.pop()
        with contextlib.suppress(CorruptStructureError):
            pointer = 8 + width + levels[level - 1].total_width if level else 0
            length = _PREFIX + count * size + (count + 1) * pointer + _CHECKSUM
            data = source.read_checked(node, length, "a B-tree node")
            out.append(data[_PREFIX : _PREFIX + count * size])
            for at in range(_PREFIX + count * size, length - _CHECKSUM, pointer) if level else ():
                child = int.from_bytes(data[at : at + 8], "little")
                if child not in seen:
                    seen.add(child)
                    waiting.append((child, int.from_bytes(data[at + 8 : at + 8 + width], "little"), level - 1))
    return Records(b"".join(out), size), False


_Node: TypeAlias = "tuple[int, int]"  # still to be read: how many records it has, how many levels are below it


def differing(source: Source, trees: tuple[int, int], kind: int) -> tuple[list[bytes], list[bytes]]:
    """Records that one of two trees has and the other does not. Nodes that both have are not read.

    Raises `CorruptStructureError`.
    """
    sides = [_top(source, address, kind) for address in trees]
    waiting: list[dict[int, _Node]] = [dict(side[0]) for side in sides]
    found: list[set[bytes]] = [set(), set()]
    while any(waiting):
        for address in waiting[0].keys() & waiting[1].keys():
            del waiting[0][address], waiting[1][address]
        deepest = max((node[1] for nodes in waiting for node in nodes.values()), default=-1)
        for nodes, records, side in zip(waiting, found, sides, strict=True):
            for address, node in [item for item in nodes.items() if item[1][1] == deepest]:
                del nodes[address]
                own, below = _opened(_Tree(source, kind, side[1], side[2], side[3], []), address, node)
                records.update(own)
                nodes.update(below)
    return list(found[0] - found[1]), list(found[1] - found[0])


def _top(source: Source, address: int, kind: int) -> tuple[dict[int, _Node], int, list[_Level], int]:
    """The root node of a tree by its address, the size of a record, and the levels as of `tree_levels`."""
    header = source.read_checked(address, _HEADER.size + _CHECKSUM, "a B-tree header")
    signature, version, found, node_size, size, depth, _, _, root, count, total = _HEADER.unpack_from(header)
    if signature != b"BTHD" or version != 0 or found != kind:
        raise CorruptStructureError(f"there is no B-tree of type {kind} at address {address}")
    if total * size > source.size or depth > _MAX_DEPTH or not 0 < size <= node_size - _PREFIX - _CHECKSUM:
        raise CorruptStructureError("a B-tree header has impossible values")
    return {root: (count, depth)} if count else {}, size, *tree_levels(node_size, size, depth)


def _opened(tree: _Tree, address: int, node: _Node) -> tuple[list[bytes], dict[int, _Node]]:
    """The records of one node, and the nodes right below it by their addresses."""
    source, kind, size, levels, width, _ = tree
    count, depth = node
    if count > levels[depth].most:
        raise CorruptStructureError("a B-tree node claims more records than fit")
    pointer = 8 + width + levels[depth - 1].total_width if depth else 0
    length = _PREFIX + count * size + (count + 1) * pointer + _CHECKSUM
    data = source.read_checked(address, length, "a B-tree node")
    if data[:4] != (b"BTIN" if depth else b"BTLF") or data[4] != 0 or data[5] != kind:
        raise CorruptStructureError(f"there is no B-tree node at address {address}")
    records = [data[at : at + size] for at in range(_PREFIX, _PREFIX + count * size, size)]
    below = {}
    start = _PREFIX + count * size
    for at in range(start, start + (count + 1) * pointer, pointer) if depth else ():
        child = int.from_bytes(data[at : at + 8], "little")
        below[child] = (int.from_bytes(data[at + 8 : at + 8 + width], "little"), depth - 1)
    return records, below


def _width(limit: int) -> int:
    """Bytes that hold numbers up to `limit`."""
    return (limit.bit_length() - 1) // 8 + 1


def tree_levels(node_size: int, record_size: int, depth: int) -> tuple[list[_Level], int]:
    """What nodes of each depth up to this one hold, and the bytes of a number of records in a pointer."""
    room = node_size - _PREFIX - _CHECKSUM
    most = room // record_size
    levels = [_Level(most, most, 0)]
    width = _width(most)
    for _ in range(depth):
        below = levels[-1]
        pointer = 8 + width + below.total_width
        most = (room - pointer) // (record_size + pointer)
        if most < 1:
            raise CorruptStructureError("the nodes of a B-tree are too small for it")
        most_below = (most + 1) * below.most_below + most
        levels.append(_Level(most, most_below, _width(most_below)))
    return levels, width


def _read_node(tree: _Tree, address: int, count: int, depth: int, left: int) -> int:
    """Append the records below a node in order; how many of the `left` expected ones are then still missing."""
    source, kind, size, levels, width, out = tree
    if count > levels[depth].most or count > left:
        raise CorruptStructureError("a B-tree node claims more records than fit")
    pointer = 8 + width + levels[depth - 1].total_width if depth else 0
    length = _PREFIX + count * size + (count + 1) * pointer + _CHECKSUM
    node = source.read_checked(address, length, "a B-tree node")
    if node[:4] != (b"BTIN" if depth else b"BTLF") or node[4] != 0 or node[5] != kind:
        raise CorruptStructureError(f"there is no B-tree node at address {address}")
    if depth == 0:
        out.append(node[_PREFIX : _PREFIX + count * size])
        return left - count
    at = _PREFIX + count * size
    for child in range(count + 1):
        own = int.from_bytes(node[at + 8 : at + 8 + width], "little")
        child_address = int.from_bytes(node[at : at + 8], "little")
        left = _read_node(tree, child_address, own, depth - 1, left)
        if child < count:
            if left == 0:
                raise CorruptStructureError("a B-tree holds more records than its header says")
            out.append(node[_PREFIX + child * size : _PREFIX + (child + 1) * size])
            left -= 1
        at += pointer
    return left
