"""Collections of the global heap as bytes: their objects, and of a damaged collection those that are whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from h5burst._ext.h5parse import Source, lookup3
from h5burst.model.errors import CorruptStructureError

PREFIX = 16  # bytes before the objects of a collection, and before the bytes of an object
SUM_AT = 4  # of our checksum, in the prefix of an object
SMALLEST = 4096  # bytes of a collection
_MAGIC = b"GCOL\1"
_MARK = b"sum"  # behind it: the objects of the collection carry a checksum of ours


class Object(NamedTuple):
    """An object of a collection: its index in it, and the place and length of its bytes."""

    number: int
    at: int
    length: int

    @property
    def end(self) -> int:
        """The address at which the next one begins."""
        return self.at + (self.length + 7) // 8 * 8


def read_collection(source: Source, address: int) -> bytes:
    """All bytes of a collection. Raises `CorruptStructureError`."""
    return source.read(address, declared_bytes(source, address))


def declared_bytes(source: Source, address: int) -> int:
    """The length that a collection's first bytes say. Raises `CorruptStructureError`."""
    header = source.read(address, PREFIX)
    size = int.from_bytes(header[8:], "little")
    if header[:5] != _MAGIC:
        raise CorruptStructureError(f"there is no collection of the global heap at address {address}")
    if size < PREFIX:
        raise CorruptStructureError(f"the collection of the global heap at address {address} claims {size} bytes")
    return size


def is_marked(data: bytes) -> bool:
    """True where the objects of a collection carry a checksum of ours."""
    return data[5:8] == _MARK


def checksum(data: bytes) -> bytes:
    """Of an object's bytes, as it is stored; 0 is what others store."""
    return (lookup3(data) or 1).to_bytes(4, "little")


def is_whole(data: bytes, item: Object) -> bool:
    """True where the bytes of an object fit the checksum before them, if there is one."""
    stored = _stored_sum(data, item)
    return not is_marked(data) or stored == bytes(4) or stored == checksum(data[item.at : item.at + item.length])


def has_sum(data: bytes, item: Object) -> bool:
    """True where an object carries a checksum of ours."""
    return is_marked(data) and _stored_sum(data, item) != bytes(4)


def objects(data: bytes) -> dict[int, Object]:
    """The objects of a sound collection by their index. Raises `CorruptStructureError`."""
    by_index: dict[int, Object] = {}
    at = PREFIX
    while at + PREFIX <= len(data):
        item = _object_at(data, at)
        if item.number == 0:
            break  # what is left is free
        if item.length > len(data) - item.at:
            raise CorruptStructureError("an object of the global heap is longer than its collection")
        by_index[item.number] = item
        at = item.end
    return by_index


def fits(data: bytes, items: dict[int, Object]) -> bool:
    """True where the note of free space, behind the last of these objects, says where the collection ends.

    libhdf5 takes it for right, and may read without end where it is not.
    """
    at = max((item.end for item in items.values()), default=PREFIX)
    note = data[at : at + PREFIX]
    return len(note) < PREFIX or int.from_bytes(note[8:], "little") == len(data) - at


def whole_objects(data: bytes, size: int) -> dict[int, Object]:
    """Of a collection that may be damaged the objects that are whole. data: `size` bytes of it, and what follows."""
    items = list(_walk(data, size))
    times = Counter(item.number for item in items)
    return {item.number: item for item in items if times[item.number] == 1}


def _walk(data: bytes, size: int) -> Iterator[Object]:
    """One object behind the other; behind one that is damaged, the next that fits its checksum."""
    marked, at, follows = is_marked(data), PREFIX, True
    while at + PREFIX <= len(data):
        item = _object_at(data, at)
        has_sum = marked and _stored_sum(data, item) != bytes(4)
        fits = item.number > 0 and item.length <= len(data) - item.at
        is_good = fits and has_sum and is_whole(data, item)
        if at >= size and not is_good:
            return  # the length that is stored is damaged, if anything is left here
        is_within = fits and item.length <= size - item.at  # the free space, turned into an object, is not
        if is_good or (is_within and follows and not has_sum):
            yield item
            at, follows = item.end, True
        elif not marked or data[at : at + 8] == bytes(8):
            return  # without checksums there is no way on; or what is left is free
        else:
            at, follows = at + 8, False


def packed(data: bytes, kept: dict[int, Object]) -> bytes:
    """A collection of some objects of another, without what is between them."""
    parts = [data[item.at - PREFIX : item.end].ljust(item.end - item.at + PREFIX, b"\0") for item in kept.values()]
    body = b"".join(parts)
    size = max(SMALLEST, PREFIX + len(body), (len(data) + 7) // 8 * 8)
    free = size - PREFIX - len(body)
    if free >= PREFIX:
        body += bytes(8) + free.to_bytes(8, "little")
    return (_MAGIC + data[5:8] + size.to_bytes(8, "little") + body).ljust(size, b"\0")


def summed(data: bytes, items: dict[int, Object]) -> bytes:
    """A collection each of whose objects carries a checksum of ours; those that carry one keep it."""
    new = bytearray(data)
    if not fits(data, items):
        at = max((item.end for item in items.values()), default=PREFIX)
        new[at + 8 : at + PREFIX] = (len(data) - at).to_bytes(8, "little")
    new[5:8] = _MARK
    for item in items.values():
        if not is_marked(data) or _stored_sum(data, item) == bytes(4):
            at = item.at - PREFIX + SUM_AT
            new[at : at + 4] = checksum(data[item.at : item.at + item.length])
    return bytes(new)


def _object_at(data: bytes, at: int) -> Object:
    return Object(
        int.from_bytes(data[at : at + 2], "little"), at + PREFIX, int.from_bytes(data[at + 8 : at + PREFIX], "little")
    )


def _stored_sum(data: bytes, item: Object) -> bytes:
    start = item.at - PREFIX + SUM_AT
    return data[start : start + 4]
