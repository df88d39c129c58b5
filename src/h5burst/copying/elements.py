"""Elements as the new file holds them: their bytes, with the addresses in them those of the copies."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from h5burst._ext.h5parse import Source
from h5burst.copying.output import Writer
from h5burst.format import global_heap as heap
from h5burst.format.address_offsets import AddressOffsets
from h5burst.format.constants import UNDEFINED
from h5burst.format.object_header import OnUnreadable
from h5burst.model.errors import CorruptStructureError

_READ_BEHIND = 1 << 17  # bytes of a collection whose length is damaged
_SEQUENCE = struct.Struct("<IQI")  # of a value of variable length: its length, address of the collection, index

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class _Collection(NamedTuple):
    """A collection of the global heap as it is in the copy, addresses in it aside: its bytes, its objects by index."""

    data: bytes
    objects: dict[int, heap.Object]


class Translator:
    """Makes elements of the source those of the copy.

    Collections of the global heap are copied whole; what refers to them, and what in them refers to objects, is set
    anew; objects without a checksum get one of ours.

    new_address: of the copy of an object, 0 for what has none. on_unreadable: called for a damaged value of variable
    length, instead of raising; it is empty then. is_tolerant: of damaged collections, what is whole is copied.
    """

    def __init__(self, source: Source, new_address: Callable[[int], int], *, is_tolerant: bool = False) -> None:
        self._source, self._new_address, self._is_tolerant = source, new_address, is_tolerant
        self.on_unreadable: OnUnreadable | None = None
        self._moved: dict[int, int] = {}  # collections
        self._held: dict[int, _Collection] = {}
        self._done: set[tuple[int, int]] = set()  # objects of the heap whose own addresses are set

    def translate(self, elements: bytes | Bytes, places: AddressOffsets, writer: Writer) -> bytes:
        """The bytes of elements, end to end."""
        if places.is_plain or not len(elements):
            return bytes(elements)
        table = np.frombuffer(bytes(elements), np.uint8).reshape(-1, places.size).copy()
        self._set(table, places, writer)
        return bytes(table.data)

    def _set(self, table: Bytes, places: AddressOffsets, writer: Writer) -> None:
        for at in places.objects:
            _put(table, at, self._mapped(_take(table, at), self._new_address))
        for at in places.regions:
            self._set_heap_ids(table, at, writer, None)
        for at, inner in places.sequences:
            self._set_heap_ids(table, at + 4, writer, inner)

    def _mapped(self, addresses: np.ndarray[Any, Any], new: Callable[[int], int]) -> np.ndarray[Any, Any]:
        old, inverse = np.unique(addresses, return_inverse=True)
        return np.array([new(int(address)) for address in old], np.uint64)[inverse.reshape(-1)]

    def _set_heap_ids(self, table: Bytes, at: int, writer: Writer, inner: AddressOffsets | None) -> None:
        """Heap IDs at `at`: address of a collection, index in it. inner: of a sequence's items; None: regions."""
        old = _take(table, at)
        if inner is None or not inner.is_plain or self.on_unreadable is not None:
            lengths = None if inner is None else table[:, at - 4 : at].copy().view("<u4").reshape(-1)
            indices = table[:, at + 8 : at + 12].copy().view("<u4").reshape(-1)
            shared = self._shared(old, indices, lengths) if self.on_unreadable is not None and inner is not None else ()
            for row in range(len(table)):
                index = int(indices[row])
                if row in shared:
                    self._lose("two references lead to one value in the global heap")
                    table[row, at - 4 : at + 12] = old[row] = 0
                elif _is_somewhere(int(old[row])) and (lengths is None or lengths[row]):
                    count = None if lengths is None else int(lengths[row])
                    if not self._is_set(int(old[row]), index, inner, count, writer):
                        table[row, at if lengths is None else at - 4 : at + 12] = old[row] = 0
        _put(table, at, self._mapped(old, lambda address: self.collection(address, writer)))

    def _shared(self, addresses: Any, indices: Any, lengths: Any) -> frozenset[int]:
        """Rows whose references lead to one value with a checksum of ours: all but one of them are damaged."""
        _, inverse, times = np.unique(np.stack([addresses, indices]), axis=1, return_inverse=True, return_counts=True)
        rows = np.flatnonzero((times[inverse.reshape(-1)] > 1) & (lengths > 0))
        return frozenset(row for row in rows.tolist() if self._has_sum(int(addresses[row]), int(indices[row])))

    def _has_sum(self, address: int, index: int) -> bool:
        try:
            data = heap.read_collection(self._source, address)
            item = heap.objects(data).get(index)
        except CorruptStructureError:
            return False
        return item is not None and heap.has_sum(data, item)

    def _lose(self, damage: str) -> None:
        assert self.on_unreadable is not None
        self.on_unreadable(f"a value of variable length: {damage}")

    def _is_set(
        self, address: int, index: int, inner: AddressOffsets | None, count: int | None, writer: Writer
    ) -> bool:
        """As `_set_object`; False for what is damaged, too, where that is tolerated."""
        try:
            return self._set_object(address, index, inner, count, writer)
        except CorruptStructureError as error:
            if self.on_unreadable is None:
                raise
            self._lose(str(error))
            return False

    def _set_object(
        self, address: int, index: int, inner: AddressOffsets | None, count: int | None, writer: Writer
    ) -> bool:
        """Set the addresses in an object of the heap; False for a region of what is not in the copy."""
        if (address, index) in self._done:
            return True
        new_address = self.collection(address, writer)
        item, data = self._object(address, index)
        if inner is None:
            target = self._new_address(int.from_bytes(data[:8], "little"))
            if not target:
                return False
            new = target.to_bytes(8, "little") + data[8:]
        else:
            size = self._size(data, inner, count)
            new = data if inner.is_plain else self.translate(data[:size], inner, writer) + data[size:]
        if new != data:
            writer.patch(new_address + item.at - heap.PREFIX + heap.SUM_AT, heap.checksum(new))
            writer.patch(new_address + item.at, new)
        self._done.add((address, index))
        return True

    def _object(self, address: int, index: int) -> tuple[heap.Object, bytes]:
        """An object of the heap: its place, its bytes. Raises `CorruptStructureError`."""
        collection = self._hold(address)
        item = collection.objects.get(index)
        if item is None:
            raise CorruptStructureError(f"the global heap has no object {index} at address {address}")
        if not heap.is_whole(collection.data, item):
            raise CorruptStructureError(f"the checksum of object {index} of the global heap at {address} is wrong")
        return item, collection.data[item.at : item.at + item.length]

    def _size(self, data: bytes, inner: AddressOffsets, count: int | None) -> int:
        """Bytes of a sequence in its object of the heap. Of what may be damaged the two are known to be one length."""
        size = (count or 0) * inner.size
        if size > len(data) or (self._is_tolerant and size < len(data)):
            raise CorruptStructureError("a variable-length value has another length than its bytes in the heap")
        return size

    def check(self, elements: bytes, places: AddressOffsets) -> None:
        """Raise `CorruptStructureError` where a value of variable length among elements cannot be read."""
        for start in range(0, len(elements), places.size) if not places.is_plain else ():
            for at, inner in places.sequences:
                count, address, index = _SEQUENCE.unpack_from(elements, start + at)
                if count and _is_somewhere(address):
                    _, data = self._object(address, index)
                    self.check(data[: self._size(data, inner, count)], inner)

    def collection(self, address: int, writer: Writer) -> int:
        """The new address of a collection of the global heap, which is copied when it is first asked for."""
        if not _is_somewhere(address):
            return address
        if address not in self._moved:
            self._moved[address] = writer.append(self._hold(address).data)
        return self._moved[address]

    def _hold(self, address: int) -> _Collection:
        held = self._held.get(address)
        if held is None:
            if len(self._held) > 64:
                self._held.clear()
            sound = self._salvaged if self._is_tolerant else self._as_stored
            held = self._held[address] = sound(address)
        return held

    def _as_stored(self, address: int) -> _Collection:
        return _sound(heap.read_collection(self._source, address))

    def _salvaged(self, address: int) -> _Collection:
        """The whole objects of a collection, as a sound one."""
        left = self._source.size - min(address, self._source.size)
        try:
            size = heap.declared_bytes(self._source, address)
        except CorruptStructureError:
            size = 0
        is_said = heap.PREFIX <= size <= left
        data = self._source.read(address, min(left, (size if is_said else 0) + _READ_BEHIND))
        if not is_said and not heap.is_marked(data):
            raise CorruptStructureError(f"there is no collection of the global heap at address {address}")
        kept = heap.whole_objects(data, size if is_said else len(data))
        if is_said and size % 8 == 0 and kept == _all_objects(data[:size]):  # libhdf5 reads no other size
            return _Collection(heap.summed(data[:size], kept), kept)
        return _sound(heap.packed(data, kept))


def _sound(data: bytes) -> _Collection:
    objects = heap.objects(data)
    return _Collection(heap.summed(data, objects), objects)


def _all_objects(data: bytes) -> dict[int, heap.Object]:
    try:
        return heap.objects(data)
    except CorruptStructureError:
        return {}


def _is_somewhere(address: int) -> bool:
    return address not in (0, UNDEFINED)


def _take(table: Bytes, at: int) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(table[:, at : at + 8]).view("<u8").reshape(-1)


def _put(table: Bytes, at: int, addresses: np.ndarray[Any, Any]) -> None:
    table[:, at : at + 8] = addresses.astype("<u8").view(np.uint8).reshape(-1, 8)
