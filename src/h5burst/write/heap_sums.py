"""Checksums of ours for what libhdf5 has written into the global heap of a file, before the file has its name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from h5burst._ext.h5parse import Source
from h5burst.format import global_heap as heap
from h5burst.format import object_header as oh
from h5burst.format import superblock
from h5burst.format.kept_in_heap import KeptInHeap
from h5burst.format.object_header import ObjectHeader
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError
from h5burst.read import kept_values
from h5burst.write.links import GroupLinks
from h5burst.write.native import NeedsLibhdf5Error

_BLOCK_BYTES = 8 << 20  # of elements, looked at at once


def keep_sums(path: Path) -> None:
    """Give each object of the heap that elements and attributes refer to its checksum, where it has none.

    path: of a file that nobody else knows yet. What this package's parser does not read keeps none.
    """
    with open(path, "r+b", buffering=0) as stream, contextlib.suppress(UnsupportedFeatureError, CorruptStructureError):
        descriptor = stream.fileno()
        start = superblock.read_whole(descriptor, os.fstat(descriptor).st_size)
        source = Source(descriptor, start.end, start.base, 1 << 15, 32)
        for address in sorted(_collections(source, start.root)):
            data = heap.read_collection(source, address)
            new = heap.summed(data, heap.objects(data))
            if new != data:
                stream.seek(start.base + address)
                stream.write(new)


def _collections(source: Source, root: int) -> set[int]:
    """Addresses of all collections that the objects of a file refer to."""
    kept, addresses = KeptInHeap(source), set[int]()
    for header in _headers(source, root):
        with contextlib.suppress(UnsupportedFeatureError, CorruptStructureError):
            for _, table, places in kept_values.attributes_of(source, header):
                addresses |= kept.collections(table, places)
        with contextlib.suppress(UnsupportedFeatureError, CorruptStructureError):
            stored = kept_values.elements_of(source, header)
            if stored is not None:
                elements, places = stored
                for part in elements.stored_parts(source, _BLOCK_BYTES):
                    addresses |= kept.collections(kept_values.as_table(part, places), places)
    return addresses


def _headers(source: Source, root: int) -> Iterator[ObjectHeader]:
    """The header of every object of a file, once."""
    waiting, seen = [root], {root}
    while waiting:
        header = oh.decode(source, waiting.pop())
        yield header
        if header.first(oh.LINK_INFO) is None and header.first(oh.SYMBOL_TABLE) is None:
            continue
        with contextlib.suppress(NeedsLibhdf5Error):
            for address in GroupLinks(source, header).addresses():
                if address not in seen:
                    seen.add(address)
                    waiting.append(address)
