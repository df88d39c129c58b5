"""Version 2 B-trees that are never changed in place: new records go into new nodes, untouched nodes are kept.

A tree is written at once from ordered records, or derived from one that is in the file: the nodes on the way to what
changed are written anew, up to a new header, and point to the others where they are.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from h5burst._ext.h5emit import tree_node
from h5burst._ext.h5parse import Source, lookup3
from h5burst.format.btree2 import HEADER, Child, Header, Nodes, Shape, cut, read_header
from h5burst.format.constants import UNDEFINED

NODE_BYTES = 2048
_SPLIT_PERCENT, _MERGE_PERCENT = 100, 40
_NODES_KEPT = 4096
_FEW = 8  # records that are put into a leaf one by one

Append = Callable[[bytes], int]
Key = Callable[[bytes], Any]


class _Node(NamedTuple):
    """A node, or what is to become one or several: records, one child more than records."""

    records: list[bytes]
    children: list[Child]


class Index:
    """One tree in the file: finds records by their key, and derives new trees from it.

    key: of a record; records are ordered by it, and few have equal ones.
    """

    def __init__(self, source: Source, address: int, kind: int, key: Key) -> None:
        self.address, self.header = address, read_header(source, address, kind)
        self._tree = _Tree(source, self.header.shape, key, None)

    def find(self, key: Any) -> list[bytes]:
        """The records of this key, in order."""
        root = self.header.root
        return self._find(root, self.header.depth, key) if root.record_count else []

    def _find(self, child: Child, depth: int, key: Any) -> list[bytes]:
        node, key_of = self._tree.node(child, depth), self._tree.key
        first = bisect.bisect_left(node.records, key, key=key_of)
        last = bisect.bisect_right(node.records, key, first, key=key_of)
        if not depth:
            return node.records[first:last]
        out: list[bytes] = []
        for number in range(first, last + 1):
            out += self._find(node.children[number], depth - 1, key)
            out += node.records[number : number + 1] if number < last else []
        return out

    def updated(self, append: Append, puts: Sequence[bytes], removed: Sequence[bytes] = ()) -> Index | None:
        """A tree with some records more, or in the place of those of an equal key, and without others, which are there.

        None where a node would become too empty: then the caller writes a tree anew, from all records. It knows the
        nodes that this one has read or written, and may be used when they are in the file.
        """
        tree, root = self._tree, self.header.root
        if not root.record_count:
            return None
        tree.append = append
        try:
            if len(puts) > 1 or removed:
                puts, removed = sorted(puts, key=tree.key), sorted(removed, key=tree.key)
            run = tree.changed(root, self.header.depth, puts, removed)
            if run is None or not (run.records or run.children):
                return None
            new = Index.__new__(Index)
            new._tree = tree
            new.address, new.header = tree.finish(run, self.header.depth)
            return new
        finally:
            tree.append = None


def write(append: Append, kind: int, records: Sequence[bytes], node_bytes: int = NODE_BYTES) -> int:
    """A new tree of ordered records, at least one, all of one size. Returns the address of its header."""
    tree = _Tree(None, Shape(kind, node_bytes, len(records[0])), bytes, append)
    return tree.finish(_Node(list(records), []), 0)[0]


class _Tree(Nodes):
    """Reads nodes of the old tree, writes those of the new one."""

    def __init__(self, source: Source | None, shape: Shape, key: Key, append: Append | None) -> None:
        super().__init__(source, shape)
        self.key, self.append = key, append
        self.nodes: dict[int, _Node] = {}  # read so far

    def node(self, child: Child, depth: int) -> _Node:
        node = self.nodes.get(child.address)
        if node is None:
            records, children = self.read(child, depth)
            node = self._keep(child.address, _Node(cut(records, self.shape.record_bytes), children))
        return node

    def _keep(self, address: int, node: _Node) -> _Node:
        if len(self.nodes) >= _NODES_KEPT:
            self.nodes.clear()
        self.nodes[address] = node
        return node

    def changed(self, child: Child, depth: int, puts: Sequence[bytes], removed: Sequence[bytes]) -> _Node | None:
        """A node's records and children after the change, any number of them; None where a node becomes too empty."""
        node = self.node(child, depth)
        self.nodes.pop(child.address, None)  # another takes its place
        if not depth:
            return self._changed_leaf(node, puts, removed)
        if not removed and node.records and self.key(node.records[-1]) < self.key(puts[0]):
            run = self.changed(node.children[-1], depth - 1, puts, removed)
            if run is None or self._is_too_empty(run, depth - 1):
                return None
            between, pieces = self.split(run, depth - 1)
            return _Node(node.records + between, node.children[:-1] + pieces)
        keys = list(map(self.key, node.records))
        records: list[bytes] = []
        children: list[Child] = []
        first = gone = 0
        for number, below in enumerate(node.children):
            is_last = number == len(keys)
            stop = len(puts) if is_last else bisect.bisect_left(puts, keys[number], key=self.key)
            lost = len(removed) if is_last else bisect.bisect_left(removed, keys[number], key=self.key)
            if stop > first or lost > gone:
                run = self.changed(below, depth - 1, puts[first:stop], removed[gone:lost])
                if run is None or self._is_too_empty(run, depth - 1):
                    return None
                between, pieces = self.split(run, depth - 1)
                records += between
                children += pieces
            else:
                children.append(below)
            first, gone = stop, lost
            if is_last:
                break
            if gone < len(removed) and self.key(removed[gone]) == keys[number]:
                return None  # it stands between two nodes
            if first < len(puts) and self.key(puts[first]) == keys[number]:
                records.append(puts[first])
                first += 1
            else:
                records.append(node.records[number])
        return _Node(records, children)

    def _is_too_empty(self, run: _Node, depth: int) -> bool:
        return len(run.records) < self.max_records(depth) * _MERGE_PERCENT // 100

    def _changed_leaf(self, node: _Node, puts: Sequence[bytes], removed: Sequence[bytes]) -> _Node:
        if not removed and node.records and self.key(node.records[-1]) < self.key(puts[0]):
            return _Node([*node.records, *puts], [])  # as where rows are appended
        gone = set(removed)
        records = [one for one in node.records if one not in gone] if gone else node.records.copy()
        if len(puts) > _FEW:
            replaced = set(map(self.key, puts))
            records = [one for one in records if self.key(one) not in replaced]
            return _Node(sorted([*records, *puts], key=self.key), [])
        for put in puts:
            first = bisect.bisect_left(records, self.key(put), key=self.key)
            del records[first : bisect.bisect_right(records, self.key(put), first, key=self.key)]
        for put in puts:
            bisect.insort_right(records, put, key=self.key)
        return _Node(records, [])

    def split(self, run: _Node, depth: int) -> tuple[list[bytes], list[Child]]:
        """Write a run as one node, or as several of about the same size with a record between each two."""
        max_records, count = self.max_records(depth), len(run.records)
        if count <= max_records:
            return [], [self._write_node(run.records, run.children, depth)]
        pieces = max(1, -(-(count + 1) // (max_records + 1)))
        between: list[bytes] = []
        out: list[Child] = []
        spread, at = count - (pieces - 1), 0
        for piece in range(pieces):
            length = spread * (piece + 1) // pieces - spread * piece // pieces
            children = run.children[at : at + length + 1] if run.children else []
            out.append(self._write_node(run.records[at : at + length], children, depth))
            between += run.records[at + length : at + length + 1]
            at += length + 1
        return between, out

    def _write_node(self, records: list[bytes], children: list[Child], depth: int) -> Child:
        shape, count_width = self.shape, self.width
        total = self.pointer_bytes(depth) - 8 - count_width if depth else 0  # bytes of both numbers
        address = self._put(tree_node(shape.kind, records, children, count_width, total, shape.node_bytes))
        self._keep(address, _Node(records, children))
        return Child(address, len(records), len(records) + sum([child.total for child in children]))

    def _put(self, data: bytes) -> int:
        if self.append is None:
            raise ValueError("this tree is only read")
        return self.append(data)

    def finish(self, run: _Node, depth: int) -> tuple[int, Header]:
        """Write a run at the top: a root above it for as long as it takes more than one node.

        Returns the address of the header, and what it says.
        """
        between, pieces = self.split(run, depth)
        while len(pieces) > 1:
            depth += 1
            between, pieces = self.split(_Node(between, pieces), depth)
        root, shape = pieces[0], self.shape
        fields = (b"BTHD", 0, shape.kind, shape.node_bytes, shape.record_bytes, depth, _SPLIT_PERCENT, _MERGE_PERCENT)
        data = HEADER.pack(*fields, root.address if root.record_count else UNDEFINED, root.record_count, root.total)
        return self._put(data + lookup3(data).to_bytes(4, "little")), Header(shape, depth, root)
