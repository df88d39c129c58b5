"""Checks of values in the global heap that elements refer to (of variable length, references to regions).

The format has no checksum for it. This package keeps one with each object of the heap (`format.global_heap`). The
compiled parser checks that of text. What only libhdf5 reads, it reads without a look at them: here it is checked first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from h5burst._ext.h5parse import Source
from h5burst.format import global_heap as heap
from h5burst.format.address_offsets import AddressOffsets
from h5burst.format.constants import UNDEFINED
from h5burst.model.errors import CorruptStructureError

_MAX_HELD = 64  # collections

Table: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"
Misfit: TypeAlias = "Callable[[int], object]"


class KeptInHeap:
    """The objects of one file's global heap that elements refer to.

    misfit: is told the address of a collection whose note of free space is wrong.
    """

    def __init__(self, source: Source, misfit: Misfit = lambda address: None) -> None:
        self._source, self._misfit = source, misfit
        self._held: dict[int, tuple[bytes, dict[int, heap.Object]]] = {}

    def check(self, elements: Table, places: AddressOffsets) -> None:
        """Raise `CorruptStructureError` unless all that elements refer to is whole, and theirs alone.

        elements: their bytes, of shape (count, bytes of one).
        """
        for places_, rows in self._tables(elements, places):
            for at, inner in places_.sequences:
                self._check_sequences(rows[:, at : at + 16], inner)
            for at in places_.regions:
                for address, index in _pairs(rows, at):
                    if address not in (0, UNDEFINED):
                        self._whole(address, index)

    def collections(self, elements: Table, places: AddressOffsets) -> set[int]:
        """The addresses of all collections that hold something of elements."""
        addresses: set[int] = set()
        for places_, rows in self._tables(elements, places):
            starts = [*places_.regions, *(at + 4 for at, _ in places_.sequences)]
            addresses.update(address for at in starts for address, _ in _pairs(rows, at))
        return addresses - {0, UNDEFINED}

    def _tables(self, elements: Table, places: AddressOffsets) -> Iterator[tuple[AddressOffsets, Table]]:
        """Elements, and those of the sequences in them that refer to others, at any depth."""
        yield places, elements
        for at, inner in places.sequences:
            if inner.is_plain:
                continue
            for count, address, index in _references(elements[:, at : at + 16]):
                if count and address not in (0, UNDEFINED):
                    data = self._whole(address, index)[: count * inner.size]
                    if len(data) < count * inner.size:
                        raise CorruptStructureError("a value is longer than what the global heap holds of it")
                    yield from self._tables(np.frombuffer(data, np.uint8).reshape(count, inner.size), inner)

    def _check_sequences(self, references: Table, inner: AddressOffsets) -> None:
        seen: set[tuple[int, int]] = set()
        for count, address, index in _references(references):
            if not count and (not index or not self._is_ours(address)):
                continue
            data, item = self._object(address, index)
            if not heap.has_sum(data, item):
                continue
            if item.length != count * inner.size:
                raise CorruptStructureError("a reference to the global heap has another length than what is there")
            if count and (address, index) in seen:
                raise CorruptStructureError("two references lead to one value in the global heap")
            seen.add((address, index))

    def _is_ours(self, address: int) -> bool:
        """True where something empty is an object of the heap, as in files of this package: others keep none."""
        if address in (0, UNDEFINED):
            return False
        try:
            return heap.is_marked(self._collection(address)[0])
        except CorruptStructureError:
            return False

    def _whole(self, address: int, index: int) -> bytes:
        data, item = self._object(address, index)
        return data[item.at : item.at + item.length]

    def _object(self, address: int, index: int) -> tuple[bytes, heap.Object]:
        data, objects = self._collection(address)
        item = objects.get(index)
        if item is None:
            raise CorruptStructureError(f"the global heap has no object {index} at address {address}")
        if not heap.is_whole(data, item):
            raise CorruptStructureError("the checksum of a value of variable length in the global heap is wrong")
        return data, item

    def _collection(self, address: int) -> tuple[bytes, dict[int, heap.Object]]:
        held = self._held.get(address)
        if held is None:
            if len(self._held) >= _MAX_HELD:
                self._held.pop(next(iter(self._held)))
            data = heap.read_collection(self._source, address)
            held = self._held[address] = data, heap.objects(data)
            if not heap.fits(data, held[1]):
                self._misfit(address)
        return held


def _references(rows: Table) -> Iterator[tuple[int, int, int]]:
    """Length, address of the collection and index of values of variable length."""
    packed = np.ascontiguousarray(rows)
    fields: list[list[int]] = [
        packed[:, start:stop].copy().view(kind).reshape(-1).tolist()
        for start, stop, kind in ((0, 4, "<u4"), (4, 12, "<u8"), (12, 16, "<u4"))
    ]
    return zip(*fields, strict=True)


def _pairs(rows: Table, at: int) -> set[tuple[int, int]]:
    """Addresses of collections and indices in them at a place of each element, each once."""
    addresses = rows[:, at : at + 8].copy().view("<u8").reshape(-1).tolist()
    indices = rows[:, at + 8 : at + 12].copy().view("<u4").reshape(-1).tolist()
    return set(zip(addresses, indices, strict=True))
