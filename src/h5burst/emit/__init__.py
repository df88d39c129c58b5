"""Native emission: a whole new HDF5 file, written front to back without the HDF5 library.

The structures are those of the HDF5 File Format Specification, version 3.0, as HDF5 1.10 writes them: superblock 3,
version 2 object headers, small arrays in compact layout inside their header, larger ones in chunks that end in
fletcher32, many links or large attributes in dense storage. Every structure carries a checksum but the global heap,
for which the format has none.

=====================  ===============================================================================
superblock             `superblock.py`
datatype messages      `datatypes.py`, by way of h5py, so that a type is what h5py makes of it
chunk indexes, layout  `datalayouts.py`
object headers         `ext/h5messages.h`
global heap            `ext/h5heap.h`
dense storage          `ext/h5dense.h`: fractal heap and version 2 B-tree
the walk over a tree   `ext/h5emit.pyx`
=====================  ===============================================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, BinaryIO

import h5py

from h5burst import chunks
from h5burst._ext.h5emit import Emitter, NotCovered
from h5burst.emit import datalayouts, superblock
from h5burst.emit.datatypes import datatype_message
from h5burst.tree import Array, Group, Storage, escape_attribute, escape_link

__all__ = ["NotCovered", "write"]


def write(
    target: BinaryIO | str | os.PathLike[str],
    tree: Group,
    *,
    storage: Storage | None = None,
    threads: int | None = None,
) -> None:
    """Write `tree` as a new HDF5 file.

    target: a path, where the file is made or replaced in place, or a seekable binary stream at its beginning.
    storage: for arrays that name none themselves. threads: for the filters of large arrays. Raises `NotCovered`
    before the first byte for a tree that only libhdf5 can write (or refuse); an interrupted write leaves a stream that
    no reader takes for an HDF5 file, because the superblock comes last.
    """
    if isinstance(target, (str, os.PathLike)):
        with open(target, "wb", buffering=0) as stream:
            _write(stream, tree, storage, threads)
    else:
        _write(target, tree, storage, threads)


def _write(stream: Any, tree: Group, storage: Storage | None, threads: int | None) -> None:
    put = _writer(stream)

    def plan(data: Any, wish: Storage | None) -> chunks.ChunkPlan:
        found = chunks.plan(tuple(data.shape), data.dtype, wish or storage)
        if found is None or not found.chunks:
            raise NotCovered("an array that is neither compact nor chunked")
        return found

    def check(data: Any, wish: Storage | None) -> None:
        try:
            plan(data, wish)
        except ValueError as error:
            raise NotCovered(str(error)) from error

    def store(data: Any, wish: Storage | None) -> tuple[bytes, bytes]:
        return datalayouts.store(emitter, data, plan(data, wish), threads)

    emitter = Emitter(
        (Array, Group, h5py.Empty),
        (escape_link, escape_attribute),
        describe=datatype_message,
        compact_limit=lambda wish: chunks.compact_limit(wish or storage),
        scalar_limit=chunks.COMPACT_LIMIT,
        check=check,
        store=store,
        write=put,
        base=superblock.SIZE,
    )
    emitter.survey(tree)
    put(memoryview(bytes(superblock.SIZE)))
    root = emitter.emit(tree)
    end = emitter.flush()
    stream.seek(0)
    put(memoryview(superblock.encode(root, end)))
    stream.seek(end)


def _writer(stream: Any) -> Callable[[memoryview], None]:
    """A function that writes all of a view: raw streams may take less than they are given."""

    def write_all(view: memoryview) -> None:
        view = view.cast("B")
        while view:
            written = stream.write(view)
            if not written:
                raise OSError(f"{getattr(stream, 'name', 'the stream')}: nothing more can be written")
            view = view[written:]

    return write_all
