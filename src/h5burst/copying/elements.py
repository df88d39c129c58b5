"""Elements as the new file holds them: their bytes, with the addresses in them those of the copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from h5burst._ext.h5parse import Source, lookup3
from h5burst.copying.output import Writer
from h5burst.format.constants import UNDEFINED
from h5burst.format.datatype_places import Places
from h5burst.model.errors import CorruptStructureError

_PREFIX = 16  # bytes before the objects of a collection, and before the bytes of an object
_MARKED = b"GCOL\1sum"  # a collection whose objects carry a checksum of ours

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class _Collection(NamedTuple):
    """A collection of the global heap: its old bytes, its new address, and each object's place and length."""

    data: bytes
    address: int
    objects: dict[int, tuple[int, int]]


class Translator:
    """Makes elements of the source those of the copy.

    Collections of the global heap are copied whole; what refers to them, and what in them refers to objects, is set
    anew. new_address: of the copy of an object, 0 for what has none. lost: what to do about a value of variable length
    that is damaged, instead of raising; it is empty then.
    """

    def __init__(self, source: Source, new_address: Callable[[int], int]) -> None:
        self._source, self._new_address = source, new_address
        self.lost: Callable[[str], None] | None = None
        self._moved: dict[int, int] = {}  # collections
        self._held: dict[int, _Collection] = {}
        self._done: set[tuple[int, int]] = set()  # objects of the heap whose own addresses are set

    def translate(self, elements: bytes | Bytes, places: Places, writer: Writer) -> bytes:
        """The bytes of elements, end to end."""
        if places.is_plain or not len(elements):
            return bytes(elements)
        table = np.frombuffer(bytes(elements), np.uint8).reshape(-1, places.size).copy()
        self._set(table, places, writer)
        return bytes(table.data)

    def _set(self, table: Bytes, places: Places, writer: Writer) -> None:
        for at in places.objects:
            _put(table, at, self._mapped(_take(table, at), self._new_address))
        for at in places.regions:
            self._set_heap_ids(table, at, writer, None)
        for at, inner in places.sequences:
            self._set_heap_ids(table, at + 4, writer, inner)

    def _mapped(self, addresses: np.ndarray[Any, Any], new: Callable[[int], int]) -> np.ndarray[Any, Any]:
        old, inverse = np.unique(addresses, return_inverse=True)
        return np.array([new(int(address)) for address in old], np.uint64)[inverse.reshape(-1)]

    def _set_heap_ids(self, table: Bytes, at: int, writer: Writer, inner: Places | None) -> None:
        """Heap IDs at `at`: address of a collection, index in it. inner: of a sequence's items; None: regions."""
        old = _take(table, at)
        if inner is None or not inner.is_plain or self.lost is not None:
            lengths = None if inner is None else table[:, at - 4 : at].copy().view("<u4").reshape(-1)
            for row in range(len(table)):
                index = int.from_bytes(table[row, at + 8 : at + 12].tobytes(), "little")
                if _is_somewhere(int(old[row])) and (lengths is None or lengths[row]):
                    count = None if lengths is None else int(lengths[row])
                    if not self._is_set(int(old[row]), index, inner, count, writer):
                        table[row, at if lengths is None else at - 4 : at + 12] = old[row] = 0
        _put(table, at, self._mapped(old, lambda address: self.collection(address, writer)))

    def _is_set(self, address: int, index: int, inner: Places | None, count: int | None, writer: Writer) -> bool:
        """As `_set_object`; False for what is damaged, too, where that is tolerated."""
        try:
            return self._set_object(address, index, inner, count, writer)
        except CorruptStructureError as error:
            if self.lost is None:
                raise
            self.lost(f"a value of variable length: {error}")
            return False

    def _set_object(self, address: int, index: int, inner: Places | None, count: int | None, writer: Writer) -> bool:
        """Set the addresses in an object of the heap; False for a region of what is not in the copy."""
        if (address, index) in self._done:
            return True
        collection = self._hold(address, writer)
        if index not in collection.objects:
            raise CorruptStructureError(f"the global heap has no object {index} at address {address}")
        at, length = collection.objects[index]
        data = collection.data[at : at + length]
        if collection.data.startswith(_MARKED) and not _is_whole(collection.data, at, length):
            raise CorruptStructureError(f"the checksum of object {index} of the global heap at {address} is wrong")
        if inner is None:
            target = self._new_address(int.from_bytes(data[:8], "little"))
            if not target:
                return False
            new = target.to_bytes(8, "little") + data[8:]
        else:
            size = (count or 0) * inner.size
            if size > length:
                raise CorruptStructureError("a variable-length value is longer than its bytes in the heap")
            new = self.translate(data[:size], inner, writer) + data[size:]
        if collection.data.startswith(_MARKED):
            writer.patch(collection.address + at - _PREFIX + 4, (lookup3(new) or 1).to_bytes(4, "little"))
        writer.patch(collection.address + at, new)
        self._done.add((address, index))
        return True

    def collection(self, address: int, writer: Writer) -> int:
        """The new address of a collection of the global heap, which is copied when it is first asked for."""
        if not _is_somewhere(address):
            return address
        if address not in self._moved:
            self._moved[address] = writer.append(self._read(address))
        return self._moved[address]

    def _read(self, address: int) -> bytes:
        header = self._source.read(address, _PREFIX)
        size = int.from_bytes(header[8:], "little")
        if header[:5] != b"GCOL\1" or size < _PREFIX:
            raise CorruptStructureError(f"there is no collection of the global heap at address {address}")
        return self._source.read(address, size)

    def _hold(self, address: int, writer: Writer) -> _Collection:
        held = self._held.get(address)
        if held is None:
            data = self._read(address)
            if len(self._held) > 64:
                self._held.clear()
            held = self._held[address] = _Collection(data, self.collection(address, writer), _objects(data))
        return held


def _objects(data: bytes) -> dict[int, tuple[int, int]]:
    """Place and length of each object's bytes, by its index."""
    found, at = {}, _PREFIX
    while at + _PREFIX <= len(data):
        index, size = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 8 : at + 16], "little")
        if index == 0:
            break  # what is left is free
        if size > len(data) - at - _PREFIX:
            raise CorruptStructureError("an object of the global heap is longer than its collection")
        found[index] = (at + _PREFIX, size)
        at += _PREFIX + (size + 7) // 8 * 8
    return found


def _is_whole(collection: bytes, at: int, length: int) -> bool:
    """Whether the bytes of an object fit the checksum before them, if there is one."""
    stored = int.from_bytes(collection[at - _PREFIX + 4 : at - _PREFIX + 8], "little")
    return not stored or stored == (lookup3(collection[at : at + length]) or 1)


def _is_somewhere(address: int) -> bool:
    return address not in (0, UNDEFINED)


def _take(table: Bytes, at: int) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(table[:, at : at + 8]).view("<u8").reshape(-1)


def _put(table: Bytes, at: int, addresses: np.ndarray[Any, Any]) -> None:
    table[:, at : at + 8] = addresses.astype("<u8").view(np.uint8).reshape(-1, 8)
