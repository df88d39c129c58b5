"""Native emission: a whole new HDF5 file, written front to back without the HDF5 library.

The structures are those of the HDF5 File Format Specification, version 3.0, as HDF5 1.10 writes them: superblock 3,
version 2 object headers, small arrays in compact layout inside their header, larger ones in chunks that end in
fletcher32, many links or large attributes in dense storage. Every structure carries a checksum but the global heap,
for which the format has none.

=====================  ===============================================================================
superblock             `superblock.py`
datatype messages      `datatypes.py`, by way of h5py, so that a type is what h5py makes of it
chunk indexes, layout  `datalayouts.py`
object headers         `ext/h5messages.h`; their checksums, several at once: `ext/h5checksums.h`
global heap            `ext/h5heap.h`
dense storage          `ext/h5dense.h`: fractal heap and version 2 B-tree
the walk over a tree   `ext/h5emit.pyx`
=====================  ===============================================================================
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from typing import Any, BinaryIO, TypeAlias

import h5py
import numpy as np

from h5burst import chunks, codecs
from h5burst._ext.h5emit import Emitter, NotCovered
from h5burst._ext.preallocate import preallocate
from h5burst.emit import datalayouts, superblock
from h5burst.emit.datatypes import datatype_message
from h5burst.kernels import simd
from h5burst.threads import thread_count
from h5burst.tree import Array, Group, Storage, escape_attribute, escape_link

__all__ = ["NotCovered", "complete", "write"]

FLUSHED_BYTES = 8 << 20
PREALLOCATED_BYTES = 16 << 20  # at a time, in a file that is larger than what `write` is given at once
LARGE_BYTES = 1 << 20

Placed: TypeAlias = "Callable[[Any, chunks.ChunkPlan], np.ndarray[Any, np.dtype[np.uint64]] | None]"


def write(
    target: BinaryIO | str | os.PathLike[str],
    tree: Group,
    *,
    storage: Storage | None = None,
    threads: int | None = None,
    flushing: bool = False,
) -> None:
    """Write `tree` as a new HDF5 file.

    target: a path, where the file is made or replaced in place, or a seekable binary stream at its beginning.
    storage: for arrays that name none themselves. threads: for the filters of large arrays. flushing: let the disk take
    bytes while others are made, so that little is left for the caller's fsync. Raises `NotCovered`
    before the first byte for a tree that only libhdf5 can write (or refuse), ValueError for a wrong codec, level or
    chunk shape. An interrupted write leaves what no reader takes for an HDF5 file, because the superblock comes last.
    """
    with _Sink(target, flushing, threads) as sink:
        _write(sink, tree, storage, threads)


def complete(
    stream: BinaryIO,
    start: int,
    tree: Group,
    placed: Placed,
    *,
    storage: Storage | None = None,
    threads: int | None = None,
) -> None:
    """Make an HDF5 file of one that holds chunks already: everything else is written from byte `start` on.

    stream: open for reading and writing, its first `superblock.SIZE` bytes free. placed: gives the chunk entries
    (address, size, filter mask) of an array that lies in the stream by the plan it is asked about, None for any other
    array. Raises as `write`.
    """
    stream.seek(start)
    with _Sink(stream, True, threads) as sink:
        _write(sink, tree, storage, threads, start, placed)


def _write(
    sink: _Sink,
    tree: Group,
    storage: Storage | None,
    threads: int | None,
    start: int = 0,
    placed: Placed = lambda data, plan: None,
) -> None:
    def plan(data: Any, wish: Storage | None) -> chunks.ChunkPlan:
        found = chunks.plan(tuple(data.shape), data.dtype, wish or storage)
        if found is None or not found.chunks:
            raise NotCovered("an array that is neither compact nor chunked")
        return found

    def compact_limit(wish: Storage | None) -> int:
        codecs.filters_for(wish or storage or Storage(), 1)  # an unknown codec is an error for small arrays, too
        return chunks.compact_limit(wish or storage)

    def store(data: Any, wish: Storage | None) -> tuple[bytes, bytes]:
        found = plan(data, wish)
        entries = placed(data, found)
        return (
            datalayouts.store(emitter, data, found, threads)
            if entries is None
            else datalayouts.index(emitter, found, entries)
        )

    emitter = Emitter(
        (Array, Group, h5py.Empty),
        (escape_link, escape_attribute),
        describe=datatype_message,
        compact_limit=compact_limit,
        scalar_limit=chunks.COMPACT_LIMIT,
        check=plan,
        store=store,
        sink=sink,
        level=simd.level(),
    )
    with contextlib.closing(emitter):
        if start:
            emitter.start_at(start)
        else:
            emitter.append(bytes(superblock.SIZE))  # its place, until the addresses that it holds are known
        root = emitter.emit(tree)
        end = emitter.finish()
    sink.write_at_start(superblock.encode(root, end))


class _Sink:
    """Where the bytes go. A path is opened with the first of them: a tree that is not covered leaves it alone."""

    def __init__(self, target: BinaryIO | str | os.PathLike[str], flushing: bool, threads: int | None) -> None:
        self._target = target
        self._flushing = flushing
        self._threads = threads
        self._stream: Any = None
        self._opened = contextlib.ExitStack()
        self._waiting = 0  # bytes that no one has asked the disk to take
        self._end = 0  # of what is written
        self._preallocated = 0  # where the room ends that was asked for; 0 before the first time
        self._refused = False  # it is not asked for again

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, *error: object) -> None:
        if self._preallocated:
            with contextlib.suppress(OSError):  # what is too much is free again when the file is gone
                os.ftruncate(self._stream.fileno(), os.fstat(self._stream.fileno()).st_size)
        self._opened.close()

    def write(self, view: memoryview) -> None:
        """Write all of a view: a raw stream may take less than it is given."""
        if self._stream is None:
            self._stream = self._open(self._target)
            self._end = self._stream.tell()
        view = view.cast("B")
        self.expect(view.nbytes)
        while view:
            written = self._stream.write(view)
            if not written:
                raise OSError(f"{getattr(self._stream, 'name', 'the stream')}: nothing more can be written")
            view = view[written:]

    def descriptor(self) -> int:
        """Of the file that a thread may write to instead; -1 if it is none, or if work has one thread alone."""
        return self._stream.fileno() if self._is_file() and thread_count(self._threads) > 1 else -1

    def expect(self, size: int) -> None:
        """Take note that `size` bytes are written next; all before them have been."""
        if self._flushing and self._waiting >= FLUSHED_BYTES:
            self._start_flushing()
        self._preallocate(size)
        self._waiting += size
        self._end += size

    def _is_file(self) -> bool:
        return isinstance(self._stream, io.FileIO)

    def _preallocate(self, size: int) -> None:
        """Room on the disk before the bytes come: found at once it is found faster, and lies in one piece."""
        end = self._end + size
        if size < LARGE_BYTES or end <= self._preallocated or self._refused or not self._is_file():
            return
        start = max(self._end, self._preallocated)
        self._preallocated = max(start + PREALLOCATED_BYTES, end)
        self._refused = not preallocate(self._stream.fileno(), start, self._preallocated - start)

    def _start_flushing(self) -> None:
        """Let the disk take what was written while more is made, so that little is left for an fsync at the end."""
        if hasattr(os, "posix_fadvise") and self._is_file():
            with contextlib.suppress(OSError):  # a mere wish
                os.posix_fadvise(
                    self._stream.fileno(), self._end - self._waiting, self._waiting, os.POSIX_FADV_DONTNEED
                )
        self._waiting = 0

    def _open(self, target: BinaryIO | str | os.PathLike[str]) -> Any:
        if isinstance(target, (str, os.PathLike)):
            return self._opened.enter_context(open(target, "wb", buffering=0))
        return target

    def write_at_start(self, data: bytes) -> None:
        """Overwrite the first bytes and leave the stream at its end."""
        end = self._end
        self._stream.seek(0)
        self.write(memoryview(data))
        self._end = end
        self._stream.seek(end)
