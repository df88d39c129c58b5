"""The version 1 B-tree of chunks, the index that all programs read, written at once from ordered chunks."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from h5burst.format.constants import UNDEFINED

NODE_CHILDREN = 64  # twice the K of a file that names none
_CHUNKS = 1  # type of the nodes
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
    size = _HEADER.size + NODE_CHILDREN * (len(end) + 8) + len(end)
    start = append(b"")
    nodes = []
    for number, part in enumerate(parts):
        left = start + (number - 1) * size if number else UNDEFINED
        right = start + (number + 1) * size if number + 1 < len(parts) else UNDEFINED
        behind = parts[number + 1][0].key if number + 1 < len(parts) else end
        node = _HEADER.pack(b"TREE", _CHUNKS, level, len(part), left, right)
        node += b"".join(child.key + child.address.to_bytes(8, "little") for child in part) + behind
        nodes.append(_Child(part[0].key, append(node.ljust(size, b"\0"))))
    return nodes
