"""Elements and attributes as bytes, of whatever datatype, where they keep values in the global heap.

The parser reads text itself, and checks it. Compounds with text, sequences of variable length and references to regions
are left to libhdf5, which knows nothing of our checksums: what they refer to is checked through these bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np

from h5burst._ext.h5parse import Dataset, Kind, Source
from h5burst.arrays.selection import Box
from h5burst.format import attribute, data_layout, dataspace, dense
from h5burst.format import object_header as oh
from h5burst.format.address_offsets import AddressOffsets, address_offsets_of
from h5burst.format.kept_in_heap import KeptInHeap, Misfit, Table
from h5burst.format.object_header import Message, ObjectHeader
from h5burst.format.shared_messages import committed_datatype
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError
from h5burst.read.elements import Elements

_BLOCK_BYTES = 8 << 20


class _RawType(NamedTuple):
    size: int
    kind: int = Kind.PLAIN
    subshape: tuple[int, ...] = ()


class _RawDataset(NamedTuple):
    """The fields of the parser's `Dataset` that `Elements` looks at; elements are so many bytes each."""

    space: tuple[int, ...]
    limits: tuple[int, ...]
    type: _RawType
    layout: bytes
    filters: bytes | None
    fill: bytes | None
    external: bool


def elements_of(source: Source, header: ObjectHeader) -> tuple[Elements, AddressOffsets] | None:
    """The elements of a dataset; None where they keep nothing in the heap, and for other objects.

    Raises `CorruptStructureError`, `UnsupportedFeatureError`.
    """
    type_, space, layout = (header.first(kind) for kind in (oh.DATATYPE, oh.DATASPACE, oh.DATA_LAYOUT))
    if type_ is None or space is None or layout is None:
        return None
    places = _places(source, type_.body, bool(type_.flags & oh.SHARED))
    if not keeps_values(places):
        return None
    filters, fill = header.first(oh.FILTER_PIPELINE), header.first(oh.FILL_VALUE)
    shape, limits = dataspace.extent(_own(space))
    if shape is None:
        return None
    is_old = header.first(oh.OLD_FILL_VALUE) is not None and fill is None
    dataset = _RawDataset(
        shape,
        limits,
        _RawType(places.size),
        data_layout.modern(layout.body),
        None if filters is None else _own(filters),
        None if fill is None else _own(fill),
        is_old or header.first(oh.EXTERNAL_FILES) is not None,
    )
    return Elements(cast(Dataset, dataset)), places


def attributes_of(source: Source, header: ObjectHeader) -> Iterator[tuple[bytes, Table, AddressOffsets]]:
    """Stored name, elements and their places of each attribute that keeps values in the heap.

    Those that the parser cannot cut out are left out. Raises `CorruptStructureError`.
    """
    for message in dense.all_attributes(source, header.messages):
        if _is_shared(message):
            continue
        try:
            stored = attribute.decode(message.body)
            places = _places(source, stored.datatype, stored.is_type_shared)
            if stored.is_space_shared or not keeps_values(places):
                continue
        except UnsupportedFeatureError:
            continue
        length = dataspace.element_count(stored.dataspace) * places.size
        if length > len(stored.elements):
            raise CorruptStructureError("the elements of an attribute are cut short")
        yield stored.stored_name, as_table(np.frombuffer(stored.elements[:length], np.uint8), places), places


def check_elements(source: Source, header: ObjectHeader, box: Box | None, misfit: Misfit) -> None:
    """Raise `CorruptStructureError` unless what elements of a dataset (all, if None) keep in the heap is whole.

    misfit: is told of collections whose note of free space is wrong, which matters to libhdf5 alone.
    What this parser cannot cut out of the file, and other objects, are passed over.
    """
    try:
        stored = elements_of(source, header)
        if stored is None:
            return
        elements, places = stored
        kept = KeptInHeap(source, misfit)
        if box is None:
            for part in elements.stored_parts(source, _BLOCK_BYTES):
                kept.check(as_table(part, places), places)
        else:
            rows = [range(*edge) for edge in box[: len(elements.shape)]]  # further axes are those of an array datatype
            kept.check(as_table(elements.read(source, rows), places), places)
    except UnsupportedFeatureError:
        return


def check_attributes(source: Source, header: ObjectHeader, name: bytes | None, misfit: Misfit) -> None:
    """The same of the attribute of a stored name (all, if None)."""
    kept = KeptInHeap(source, misfit)
    for stored, table, places in attributes_of(source, header):
        if name is None or stored == name:
            try:
                kept.check(table, places)
            except CorruptStructureError as error:
                raise CorruptStructureError(f"attribute {stored.decode(errors='replace')!r}: {error}") from error


def keeps_values(places: AddressOffsets) -> bool:
    """True where elements keep values in the global heap."""
    return bool(places.sequences or places.regions)


def as_table(elements: np.ndarray[Any, Any], places: AddressOffsets) -> Table:
    """The bytes of elements as a row each."""
    table: Table = np.ascontiguousarray(elements).reshape(-1).view(np.uint8).reshape(-1, places.size)
    return table


def _places(source: Source, body: bytes, is_shared: bool) -> AddressOffsets:
    return address_offsets_of(committed_datatype(source, body) if is_shared else body)


def _is_shared(message: Message) -> bool:
    return bool(message.flags & oh.SHARED)


def _own(message: Message) -> bytes:
    if _is_shared(message):
        raise UnsupportedFeatureError("shared messages")
    return message.body
