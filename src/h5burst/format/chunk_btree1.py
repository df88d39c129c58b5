"""The version 1 B-tree of chunks, the index that all programs read; written at once from ordered chunks.

HDF5 has no checksum for its nodes. Ours carry one at their end, where libhdf5 has room for another child. It is gone
when libhdf5 writes the node again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from h5burst._ext.h5parse import Source, lookup3
from h5burst.format.constants import UNDEFINED
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError

_ROOM = 64  # children that a node has room for, twice the K of a file that names none
NODE_CHILDREN = _ROOM - 1  # of ours
_MARK = b"sum1"  # before the checksum
_CHUNKS = 1  # type of the nodes
_SUM_BYTES = 8  # with the mark
_HEADER = struct.Struct("<4sBBHQQ")

Append = Callable[[bytes], int]


class _Child(NamedTuple):
    key: bytes
    address: int


def write(
    append: Append, places: Sequence[tuple[int, int, int, tuple[int, ...]]], chunks: tuple[int, ...], element_bytes: int
) -> int:
    """Write a tree and give the address of its root; `UNDEFINED` for no chunks.

    places: address, bytes in the file, filter mask and first element of each chunk, in C order. chunks: their shape.
    """
    if not places:
        return UNDEFINED
    children = [_Child(_key(size, mask, (*first, 0)), address) for address, size, mask, first in places]
    last = places[-1][3]
    end = _key(0, 0, (*(at + length for at, length in zip(last, chunks, strict=True)), element_bytes))
    level = 0
    while True:
        children = _write_level(append, children, level, end)
        if len(children) == 1:
            return children[0].address
        level += 1


def layout_message(chunks: tuple[int, ...], element_bytes: int, address: int) -> bytes:
    """Version 3 of the data layout message, which has this index."""
    dimensions = (*chunks, element_bytes)
    return struct.pack(f"<BBBQ{len(dimensions)}I", 3, 2, len(dimensions), address, *dimensions)


def _key(size: int, mask: int, first: tuple[int, ...]) -> bytes:
    return struct.pack(f"<II{len(first)}Q", size, mask, *first)


def _write_level(append: Append, children: list[_Child], level: int, end: bytes) -> list[_Child]:
    """The nodes of one level, side by side; gives them as children of the next."""
    parts = [children[at : at + NODE_CHILDREN] for at in range(0, len(children), NODE_CHILDREN)]
    size = _node_bytes(len(end))
    start = append(b"")
    nodes = []
    for number, part in enumerate(parts):
        left = start + (number - 1) * size if number else UNDEFINED
        right = start + (number + 1) * size if number + 1 < len(parts) else UNDEFINED
        behind = parts[number + 1][0].key if number + 1 < len(parts) else end
        node = _HEADER.pack(b"TREE", _CHUNKS, level, len(part), left, right)
        node += b"".join(child.key + child.address.to_bytes(8, "little") for child in part) + behind
        node = node.ljust(size - _SUM_BYTES, b"\0")
        nodes.append(_Child(part[0].key, append(node + _sum(node))))
    return nodes


@total("a B-tree", reads=True)
def entries(source: Source, address: int, rank: int) -> np.ndarray[Any, Any]:
    """Each chunk in a tree, in its order: its bytes in the file ("size"), filter "mask", "first" element and "address".

    rank: axes of the dataset; of the first element there is one more, within an element.
    """
    dtype = np.dtype([("size", "<u4"), ("mask", "<u4"), ("first", "<i8", (rank + 1,)), ("address", "<u8")])
    key_bytes = 8 + 8 * (rank + 1)
    step = key_bytes + 8
    leaves: list[bytes] = []
    waiting: list[tuple[int, int | None]] = [(address, None)]
    seen: set[int] = set()
    total_count = 0
    while waiting:
        node_at, expected = waiting.pop()
        signature, kind, level, count, _, _ = _HEADER.unpack(source.read(node_at, _HEADER.size))
        if signature != b"TREE" or kind != _CHUNKS or expected not in (None, level) or node_at in seen:
            raise CorruptStructureError(f"there is no B-tree node where one should be, at address {node_at}")
        seen.add(node_at)
        total_count += count
        if total_count * step > source.size:
            raise CorruptStructureError("the nodes of a B-tree overlap")
        _check_node(source, node_at, key_bytes)
        body = source.read(node_at + _HEADER.size, count * step + key_bytes)
        if count and _place_in(body[-key_bytes:]) <= _place_in(body[-key_bytes - step : -step]):
            raise CorruptStructureError("a B-tree node ends before its last chunk")  # which libhdf5 would not find
        if level == 0:
            leaves.append(body[: count * step])
        else:
            below = np.frombuffer(body, dtype, count)["address"].tolist()
            waiting += [(child, level - 1) for child in reversed(below)]
    return np.frombuffer(b"".join(leaves), dtype)


def _place_in(key: bytes) -> tuple[int, ...]:
    """The first element of the chunk of a key, which begins with 8 bytes of its size and filter mask."""
    return struct.unpack_from(f"<{(len(key) - 8) // 8}q", key, 8)


def _check_node(source: Source, address: int, key_bytes: int) -> None:
    """Raise `CorruptStructureError` if a node that carries a checksum of ours does not fit it."""
    size = _node_bytes(key_bytes)
    if address + size > source.size:
        return
    node = source.read(address, size)
    stored = node[-_SUM_BYTES:]
    if stored.startswith(_MARK) and stored != _sum(node[:-_SUM_BYTES]):
        raise CorruptStructureError(f"the B-tree node at address {address} does not fit its checksum")


def _node_bytes(key_bytes: int) -> int:
    return _HEADER.size + _ROOM * (key_bytes + 8) + key_bytes


def _sum(node: bytes) -> bytes:
    return _MARK + lookup3(node).to_bytes(4, "little")
