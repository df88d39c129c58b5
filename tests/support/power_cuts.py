"""What may be on a disk after a power cut: files and directories whose changes reach the disk in any order.

What was flushed is there. Of all other changes, any may be there and any may be lost, each write torn at any 512
bytes: lengths before or after bytes, names before or after what they lead to. A rename, or a link, is there or not.
"""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
_HEAD = struct.Struct("<4Q")


@dataclass(frozen=True)
class Operation:
    """One of a trace: kind, inode, offset and data as recorder.c has them."""

    kind: str
    inode: int
    offset: int
    data: bytes

    @property
    def is_flush(self) -> bool:
        return self.kind in "sS"


def read_trace(path: Path) -> list[Operation]:
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        kind, inode, offset, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        found.append(Operation(chr(kind), inode, offset, data[at : at + length]))
        at += length
    return found


@dataclass
class Disk:
    """entries: what the directory names; files: the bytes of each inode."""

    entries: dict[str, int] = field(default_factory=dict)
    files: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, directory: Path) -> Disk:
        found = cls()
        for path in directory.iterdir():
            found.entries[path.name] = path.stat().st_ino
            found.files[path.stat().st_ino] = path.read_bytes()
        return found

    def copy(self) -> Disk:
        return Disk(dict(self.entries), dict(self.files))

    def name(self, operation: Operation) -> None:
        """Apply a change of names."""
        if operation.kind == "u":
            self.entries.pop(operation.data.decode(), None)
            return
        if operation.kind == "c":
            self.entries[operation.data.decode()] = operation.inode
            return
        before, after, _ = operation.data.decode().split("\0")
        if operation.kind == "r":
            self.entries.pop(before, None)
        self.entries[after] = operation.inode


def written(data: bytes, operations: list[Operation]) -> bytes:
    out = bytearray(data)
    for one in operations:
        if one.kind == "t":
            out = out[: one.offset] + bytes(max(0, one.offset - len(out)))
        else:
            out += bytes(max(0, one.offset - len(out)))
            out[one.offset : one.offset + len(one.data)] = one.data
    return bytes(out)


def _subsets(operations: list[Operation], most: int, chance: random.Random) -> Iterator[list[Operation]]:
    if len(operations) <= most:
        chosen = itertools.product((False, True), repeat=len(operations))
    else:
        rows = [tuple(chance.random() < 0.5 for _ in operations) for _ in range(1 << most)]
        chosen = iter([*rows, (False,) * len(operations), (True,) * len(operations)])
    for row in chosen:
        yield [one for one, is_there in zip(operations, row, strict=True) if is_there]


def _contents(data: bytes, waiting: list[Operation], most: int, chance: random.Random) -> Iterator[bytes]:
    for some in _subsets(waiting, most, chance):
        yield written(data, some)
        for number, one in enumerate(some):
            if one.kind == "w" and len(one.data) > SECTOR:
                cut = SECTOR * chance.randrange(1, -(-len(one.data) // SECTOR))
                parts = (one.data[:cut], 0), (one.data[cut:], cut)
                part, moved = parts[chance.randrange(2)]
                torn = Operation("w", one.inode, one.offset + moved, part)
                yield written(data, [*some[:number], torn, *some[number + 1 :]])


def crash_states(
    before: Disk, operations: list[Operation], name: str, most: int = 10, seed: int = 0
) -> Iterator[tuple[bytes | None, bool]]:
    """What may be under a name, None for nothing, and whether success had been reported by then."""
    chance = random.Random(seed)
    disk, waiting, names = before.copy(), dict[int, list[Operation]](), list[Operation]()
    for number, operation in enumerate([None, *operations]):
        if operation is None:
            pass
        elif operation.kind == "s":
            disk.files[operation.inode] = written(
                disk.files.get(operation.inode, b""), waiting.pop(operation.inode, [])
            )
        elif operation.kind == "S":
            for one in names:
                disk.name(one)
            names = []
        elif operation.kind in "wt":
            waiting.setdefault(operation.inode, []).append(operation)
        else:
            names.append(operation)
        inodes = set()
        for some in _subsets(names, most, chance):
            then = disk.copy()
            for one in some:
                then.name(one)
            inodes.add(then.entries.get(name))
        for inode in inodes:
            if inode is None:
                yield None, number == len(operations)
                continue
            for data in _contents(disk.files.get(inode, b""), waiting.get(inode, []), most, chance):
                yield data, number == len(operations)
