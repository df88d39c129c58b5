"""Groups of the older format: names in a local heap, entries in the leaves of a version 1 B-tree."""

from __future__ import annotations

import bisect
import struct

from h5burst._ext.h5parse import Source
from h5burst.format import chunk_btree1, local_heap
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError

_TREE_HEADER, _ENTRY = 24, 40
_SOFT_LINK = 2  # cache type of an entry
_LINK = struct.Struct("<QQI4xI12x")  # place of the name, target, cache type; place of a soft link's path
_GROUP_NODES, _CHUNK_NODES = 0, 1  # types of a B-tree
_MOST_LEVELS = 256


@total("a symbol table message")
def decode_message(body: bytes) -> tuple[int, int]:
    """Addresses of the tree of a group and of the heap with its names."""
    tree, heap = struct.unpack_from("<QQ", body)
    return tree, heap


@total("a group of the older format", reads=True)
def read_links(source: Source, tree: int, heap: int) -> list[tuple[bytes, int | bytes]]:
    """Stored name and target (an address, or the path of a soft link) of every link, in order."""
    names = local_heap.texts(source, heap)
    links: list[tuple[bytes, int | bytes]] = []
    taken = 0
    for _, address in _entries(source, tree, kind=_GROUP_NODES, key_size=8):
        taken = _add_links(links, source, address, names, taken)
    return links


@total("a group of the older format", reads=True)
def find_link(source: Source, tree: int, heap: int, name: bytes) -> int | bytes | None:
    """The target of one link: a node of each level of the tree is read. None where the order of names leads nowhere."""
    names, place, level = local_heap.texts(source, heap), tree, _MOST_LEVELS
    while level:
        node = source.read(place, _TREE_HEADER)
        is_lower, (count,) = node[5] < level, struct.unpack_from("<H", node, 6)
        if node[:4] != b"TREE" or node[4] != _GROUP_NODES or not is_lower or not count:
            return None
        level = node[5]
        numbers = struct.unpack(f"<{2 * count}Q", source.read(place + _TREE_HEADER + 8, count * 16))
        # By the last name of each child; only those on the way are cut out, for they might all be one long name.
        child = bisect.bisect_left(numbers[1::2], name, key=lambda at: local_heap.texts_at(names, (at,))[0])
        if child == count:
            return None
        place = numbers[2 * child]
    links: list[tuple[bytes, int | bytes]] = []
    _add_links(links, source, place, names, 0)
    return dict(links).get(name)


def _add_links(links: list[tuple[bytes, int | bytes]], source: Source, address: int, names: bytes, taken: int) -> int:
    """Take in name and target of the links in one node. taken: bytes of names before it; returns those with it."""
    node = source.read(address, 8)
    if node[:5] != b"SNOD\1":
        raise CorruptStructureError(f"there is no symbol table node at address {address}")
    (count,) = struct.unpack_from("<H", node, 6)
    if (len(links) + count) * _ENTRY > source.size:
        raise CorruptStructureError("the nodes of a group overlap")
    rows = list(_LINK.iter_unpack(source.read(address + 8, count * _ENTRY)))
    stored = local_heap.texts_at(names, [name for name, *_ in rows])
    targets: list[int | bytes] = [target for _, target, _, _ in rows]
    soft = [number for number, (_, _, cached, _) in enumerate(rows) if cached == _SOFT_LINK]
    if soft:
        paths = local_heap.texts_at(names, [rows[number][3] for number in soft])
        for number, path in zip(soft, paths, strict=True):
            targets[number] = path
    links += zip(stored, targets, strict=True)
    taken += sum(map(len, stored)) + sum(len(target) for target in targets if isinstance(target, bytes))
    if taken > len(names):
        raise CorruptStructureError("the names in a local heap overlap")
    return taken


def _entries(source: Source, address: int, kind: int, key_size: int) -> list[tuple[bytes, int]]:
    """Key and child of each entry in the leaves, in order. kind: 0 for groups, 1 for chunks."""
    found: list[tuple[bytes, int]] = []
    waiting: list[tuple[int, int | None]] = [(address, None)]
    seen: set[int] = set()
    total = 0
    while waiting:
        place, expected = waiting.pop()
        node = source.read(place, _TREE_HEADER)
        level, (count,) = node[5], struct.unpack_from("<H", node, 6)
        if node[:4] != b"TREE" or node[4] != kind or expected not in (None, level) or place in seen:
            raise CorruptStructureError(f"there is no B-tree node where one should be, at address {place}")
        seen.add(place)
        total += count
        if total * (key_size + 8) > source.size:
            raise CorruptStructureError("the nodes of a B-tree overlap")
        if kind == _CHUNK_NODES:
            chunk_btree1.check_node(source, place, key_size)
        body = source.read(place + _TREE_HEADER, count * (key_size + 8) + (key_size if kind == _CHUNK_NODES else 0))
        if (
            kind == _CHUNK_NODES
            and count
            and _place_in(body[-key_size:]) <= _place_in(body[-2 * key_size - 8 : -key_size - 8])
        ):
            raise CorruptStructureError("a B-tree node ends before its last chunk")  # which libhdf5 would not find
        pairs = [
            (body[at : at + key_size], int.from_bytes(body[at + key_size : at + key_size + 8], "little"))
            for at in range(0, count * (key_size + 8), key_size + 8)
        ]
        if level == 0:
            found += pairs
        else:
            waiting += [(child, level - 1) for _, child in reversed(pairs)]
    return found


def _place_in(key: bytes) -> tuple[int, ...]:
    """The first element of the chunk of a key, which begins with 8 bytes of its size and filter mask."""
    return struct.unpack_from(f"<{(len(key) - 8) // 8}q", key, 8)


entries = total("a B-tree", reads=True)(_entries)
