"""The native writer: a whole new HDF5 file, written front to back without the HDF5 library.

The structures are those of the HDF5 File Format Specification, version 3.0, as HDF5 1.10 writes them: superblock 3,
version 2 object headers, small arrays in compact layout inside their header, larger ones in chunks that end in
fletcher32, many links or large attributes in dense storage. Every structure carries a checksum but the global heap,
for which the format has none.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any, BinaryIO, TypeAlias

import h5py
import numpy as np

from h5burst import codecs
from h5burst._ext.h5emit import NeedsLibhdf5Error, TreeWriter, Vocabulary
from h5burst.arrays import chunks
from h5burst.format import datatype, references, superblock
from h5burst.model.tree import (
    MAX_DEPTH,
    Array,
    Group,
    Storage,
    escape_attribute,
    escape_link,
    fill_bytes,
    storage_of,
)
from h5burst.runtime import simd
from h5burst.write import chunked
from h5burst.write.sink import Sink

__all__ = ["NeedsLibhdf5Error", "complete", "write"]

_PLANS_KEPT = 1024
_DEFAULT = Storage()
_VOCABULARY = Vocabulary((Array, Group, h5py.Empty), datatype.encode)
ChunkLookup: TypeAlias = "Callable[[Any, chunks.ChunkPlan], np.ndarray[Any, np.dtype[np.uint64]] | None]"


def write(
    target: BinaryIO | str | os.PathLike[str],
    tree: Group,
    *,
    storage: Storage | None = None,
    threads: int | None = None,
    flushing: bool = False,
    base: int = 0,
) -> None:
    """Write `tree` as a new HDF5 file.

    target: a path, where the file is made or replaced in place, or a seekable binary stream at its beginning.
    storage: for arrays that name none themselves. threads: for the filters of large arrays; with more than one, another
    writes a large file while its objects are laid out. flushing: let the disk take bytes while others are made, so that
    little is left for the caller's fsync. base: where the stream begins in the file, behind a user block. Raises
    `NeedsLibhdf5Error` before the first byte for a tree that only libhdf5 can write (or refuse), ValueError for a wrong
    codec, level or chunk shape. An interrupted write leaves what no reader takes for an HDF5 file, because the
    superblock comes last.
    """
    with Sink(target, flushing, threads) as sink:
        _write(sink, tree, storage, threads, base=base)


def complete(
    stream: BinaryIO,
    start: int,
    tree: Group,
    existing_chunks: ChunkLookup,
    *,
    storage: Storage | None = None,
    threads: int | None = None,
) -> None:
    """Make an HDF5 file of one that holds chunks already: everything else is written from byte `start` on.

    stream: open for reading and writing, its first `superblock.SIZE` bytes free. existing_chunks: gives the chunk
    entries (address, size, filter mask) of an array that is in the stream by the plan it is asked about, None for any
    other array. Raises as `write`.
    """
    stream.seek(start)
    with Sink(stream, True, threads) as sink:
        _write(sink, tree, storage, threads, start, existing_chunks)


def _write(
    sink: Sink,
    tree: Group,
    storage: Storage | None,
    threads: int | None,
    start: int = 0,
    existing_chunks: ChunkLookup = lambda data, plan: None,
    base: int = 0,
) -> None:
    writer = make_writer(sink, storage, threads, existing_chunks)
    with contextlib.closing(writer):
        if start:
            writer.start_at(start)
        else:
            writer.append(bytes(superblock.SIZE))  # its place, until the addresses that it holds are known
        root = writer.write(tree)
        end = writer.append(b"")
        writer.append(references.encode_mark(root, end))  # for this writer writes no references
        writer.finish()
    sink.write_at_start(superblock.encode(root, end + base, base=base))


class _Arrays:
    """Storage of the arrays of one file, chosen as the compiled writer comes to them."""

    def __init__(self, storage: Storage | None, threads: int | None, existing_chunks: ChunkLookup) -> None:
        self._storage, self._threads, self._existing_chunks = storage, threads, existing_chunks
        self._planned: dict[tuple[tuple[int, ...], np.dtype[Any], Storage | None], chunks.ChunkPlan] = {}

    def compact_limit(self, requested: Storage | None) -> int:
        """Bytes up to which an array is in its header."""
        if requested is None and self._storage is None:
            return chunks.COMPACT_LIMIT
        chosen = storage_of(requested, self._storage)
        codecs.check_codec(chosen or _DEFAULT)  # is an error for small arrays, too
        return chunks.compact_limit(chosen)

    def plan(self, data: Any, requested: Storage | None) -> chunks.ChunkPlan:
        """Called before the first byte, and when the array is written; arrays of one shape are stored the same way."""
        key = tuple(data.shape), data.dtype, storage_of(requested, self._storage)
        if requested is not None and requested.fillvalue is not None:  # which is not part of a storage's hash
            return _new_plan(*key)
        try:
            plan = self._planned.get(key)
        except TypeError:  # chunks in a list, which is not hashable
            return _new_plan(*key)
        if plan is None:
            plan = _new_plan(*key)
            if len(self._planned) < _PLANS_KEPT:
                self._planned[key] = plan
        return plan

    def store(self, writer: TreeWriter, data: Any, requested: Storage | None) -> tuple[bytes, bytes]:
        """Write the chunks of an array, unless they are there; gives the bodies of its layout and filter messages."""
        plan = self.plan(data, requested)
        entries = self._existing_chunks(data, plan)
        if entries is not None:
            return chunked.index(writer, plan, entries)
        grows = requested is not None and requested.maxshape is not None
        return chunked.store(writer, data, plan, self._threads, grows=grows)


def _new_plan(shape: tuple[int, ...], dtype: np.dtype[Any], requested: Storage | None) -> chunks.ChunkPlan:
    plan = chunks.plan(shape, dtype, requested)
    if plan is None or not plan.chunks:
        raise NeedsLibhdf5Error("an array that is neither compact nor chunked")
    return plan


def make_writer(
    sink: Sink, storage: Storage | None, threads: int | None, existing_chunks: ChunkLookup = lambda data, plan: None
) -> TreeWriter:
    """A writer that writes through `sink`; the rest as in `write` and `complete`."""
    return TreeWriter(
        _VOCABULARY,
        (escape_link, escape_attribute),
        _Arrays(storage, threads, existing_chunks),
        scalar_limit=chunks.COMPACT_LIMIT,
        max_depth=MAX_DEPTH,
        fill_bytes=fill_bytes,
        sink=sink,
        level=simd.level(),
    )
