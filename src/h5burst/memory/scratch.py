"""A file for arrays that do not fit in memory, where they stay usable.

Arrays are in the scratch file as they would in an uncompressed HDF5 file: in chunks that end in their checksum, behind
space for a superblock. So a save without compression need not copy them: what is missing of the HDF5 file is written
behind them, and the scratch file becomes the output.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from h5burst.arrays import chunks
from h5burst.arrays.chunks import ChunkPlan
from h5burst.arrays.readable import ReadableArray
from h5burst.format import superblock
from h5burst.model.source import ArraySource
from h5burst.model.tree import Storage
from h5burst.runtime import durable, private_files

DIRECTORY_VARIABLE = "H5BURST_SCRATCH"
SUFFIX = durable.SCRATCH_SUFFIX
_CACHED_CHUNKS = 4  # decoded, for many small reads side by side


class ScratchLostError(OSError):
    """The scratch file, or a part of it, is no longer there."""


def scratch_directory(beside: Path) -> Path:
    """The directory of scratch files.

    Parameters
    ----------
    beside : pathlib.Path
        The directory of the output.

    Returns
    -------
    pathlib.Path
        What `H5BURST_SCRATCH` names, else `beside`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from h5burst import scratch_directory
    >>> scratch_directory(Path("results")).name
    'results'
    """
    requested = os.environ.get(DIRECTORY_VARIABLE, "").strip()
    return Path(requested) if requested else beside


class Scratch:
    """A scratch file of this process, removed by `close` and at the interpreter's exit.

    Nobody but this user may read it. A child that is forked from this process may read arrays in it as long as this
    process has it; it stores none and removes nothing.

    Parameters
    ----------
    directory : pathlib.Path
        Made if need be.
    name : str
        Of what it is for: files that a killed process has left for the same name are removed first.

    Attributes
    ----------
    path : pathlib.Path
        Of the file.
    size : int
        Bytes used so far.

    Raises
    ------
    OSError
        It names the file and says what to do.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from h5burst import Scratch
    >>> scratch = Scratch(Path("."), "example")
    >>> stored = scratch.store(np.arange(100_000))
    >>> stored[10:13]
    array([10, 11, 12])
    >>> scratch.close()
    """

    def __init__(self, directory: Path, name: str) -> None:
        with durable.annotating_oserror(directory, "make a scratch file"):
            directory = directory.absolute()  # it is removed from wherever this process is then
            directory.mkdir(parents=True, exist_ok=True)
            private_files.remove_abandoned(directory, name, SUFFIX)
            self.path, self._descriptor = private_files.create(directory, name, SUFFIX)
        self._pid = os.getpid()
        self.size = superblock.SIZE  # bytes used so far
        self._lock = threading.Lock()
        self._cache: dict[tuple[int, int], np.ndarray[Any, Any]] = {}
        self._remover = weakref.finalize(self, _remove, self._descriptor, self.path, self._pid)
        _open_files.add(self)

    @property
    def is_ours(self) -> bool:
        """True where this process made it, rather than one that this process was forked from."""
        return os.getpid() == self._pid

    @property
    def is_open(self) -> bool:
        """True where the file is there: `close` removes it."""
        return bool(self._remover.alive)

    def close(self) -> None:
        """Remove the file; arrays in it cannot be read any more."""
        self._remover()

    def store(self, data: np.ndarray[Any, Any] | ArraySource, threads: int | None = None) -> ScratchArray:
        """Write an array or a stream of blocks to the file. It is checksummed, not flushed to disk.

        Parameters
        ----------
        data : numpy.ndarray or ArraySource
            Of any shape with elements, and any dtype without objects.
        threads : int, optional
            For checksums; None: the CPUs that this process may use.

        Returns
        -------
        ScratchArray
            The same elements, read on access.

        Raises
        ------
        OSError
            When the disk is full or the file has been deleted; the file is then as it was.
        """
        plan = plan_for(tuple(data.shape), data.dtype)
        entries = np.empty((plan.chunk_count, 3), np.uint64)
        self._check_there()
        with self._lock, durable.annotating_oserror(self.path, "move arrays to the scratch file"):
            end = self.size
            try:
                for chunk in chunks.encode(data, plan, threads):
                    payload = memoryview(chunk.payload).cast("B")
                    entries[chunk.number] = end, payload.nbytes, chunk.filter_mask
                    _write_at(self._descriptor, payload, end)
                    end += payload.nbytes
            except BaseException:
                os.ftruncate(self._descriptor, self.size)
                raise
            self.size = end
        return ScratchArray(self, plan, entries)

    def chunk(self, array: ScratchArray, number: int) -> tuple[bytes, int]:
        """Payload and filter mask of one chunk.

        Parameters
        ----------
        array : ScratchArray
            In this file.
        number : int
            Of the chunk, in row-major order.

        Raises
        ------
        ScratchLostError
            For a file that was cut short or closed.
        """
        if not self.is_open:
            raise ScratchLostError(errno.ENOENT, "the scratch file was closed and removed", str(self.path))
        address, size, mask = (int(value) for value in array.entries[number])
        payload = _read_at(self._descriptor, size, address)
        if len(payload) != size:
            raise ScratchLostError(errno.EIO, "the scratch file was cut short by another program", str(self.path))
        return payload, mask

    def decoded(self, array: ScratchArray, number: int) -> np.ndarray[Any, Any]:
        """One whole chunk of a one-dimensional array, from a small cache.

        Parameters
        ----------
        array : ScratchArray
            In this file.
        number : int
            Of the chunk.

        Returns
        -------
        numpy.ndarray
            Shape (elements of a chunk,), of the array's dtype.
        """
        key = (int(array.entries[0, 0]), number)
        with self._lock:
            chunk = self._cache.get(key)
        if chunk is None:
            payload, mask = self.chunk(array, number)
            raw = np.empty(array.plan.chunk_bytes, np.uint8)
            chunks.decode(payload, array.plan, mask, raw)
            chunk = raw.view(array.plan.dtype)
            with self._lock:
                while len(self._cache) >= _CACHED_CHUNKS:
                    del self._cache[next(iter(self._cache))]
                self._cache[key] = chunk
        return chunk

    def _renew(self) -> None:
        """In a forked child: a lock that another thread of the parent held would stay held for ever."""
        self._lock = threading.Lock()
        self._cache = {}

    def _check_there(self) -> None:
        if not self.is_ours:
            raise ScratchLostError(
                errno.EPERM, "the scratch file belongs to the process that this one was forked from", str(self.path)
            )
        if not self.is_open:
            raise ScratchLostError(errno.ENOENT, "the scratch file was closed and removed", str(self.path))
        if not self.path.exists():
            raise ScratchLostError(
                errno.ENOENT, "the scratch file was deleted by another program; what was in it can still be read",
                str(self.path),
            )  # fmt: skip

    def entries_of(self, data: Any, plan: ChunkPlan) -> np.ndarray[Any, np.dtype[np.uint64]] | None:
        """The addresses of the chunks of an array in this file."""
        if isinstance(data, ScratchArray) and data.scratch is self and data.plan == plan:
            return data.entries
        return None

    def bytes_among(self, arrays: Iterable[Any]) -> int:
        """Bytes of this file that these arrays take.

        Parameters
        ----------
        arrays : iterable
            Of anything: what is not in this file counts nothing, and what is there twice once.
        """
        wholes = (array.whole if isinstance(array, ScratchView) else array for array in arrays)
        ours = {id(one): one for one in wholes if isinstance(one, ScratchArray) and one.scratch is self}
        return sum(int(one.entries[:, 1].sum()) for one in ours.values())

    @contextlib.contextmanager
    def promote_to(self, path: Path, *, overwrite: bool) -> Iterator[int]:
        """Let the block complete the file behind `size`; then it is called `path`.

        When the block fails the file is again what it was. Arrays in it stay readable either way.

        Parameters
        ----------
        path : pathlib.Path
            The output.
        overwrite : bool
            Whether an existing output may be replaced.

        Yields
        ------
        int
            The descriptor to write to.
        """
        self._check_there()
        try:
            with durable.renaming(self._descriptor, self.path, path, overwrite=overwrite):
                yield self._descriptor
        except BaseException:
            os.ftruncate(self._descriptor, self.size)
            raise
        self._remover.detach()
        self._remover = weakref.finalize(self, _remove, self._descriptor, None, self._pid)
        self.path = path
        self.is_promoted = True

    is_promoted = False  # whether the file is an output now: nothing more may be written to it


def plan_for(shape: tuple[int, ...], dtype: np.dtype[Any]) -> ChunkPlan:
    """The plan by which an array is in a scratch file: that of an uncompressed dataset, for a small one as well."""
    plan = chunks.plan(shape, dtype) or chunks.plan(shape, dtype, Storage(chunks=shape))
    if plan is None or not plan.chunks:
        raise ValueError(f"an array of shape {shape} and dtype {dtype} is too small to be moved to a scratch file")
    return plan


class ScratchArray(ReadableArray):
    """An array in a scratch file, read on access, with numpy's behaviour for reading."""

    __slots__ = ("__weakref__", "entries", "plan", "scratch")

    def __init__(self, scratch: Scratch, plan: ChunkPlan, entries: np.ndarray[Any, np.dtype[np.uint64]]) -> None:
        self.scratch, self.plan, self.entries = scratch, plan, entries
        self._shape, self._dtype = plan.shape, plan.dtype

    @property
    def path(self) -> str:
        return str(self.scratch.path)

    def __repr__(self) -> str:
        return f"<ScratchArray {self.shape} {self.dtype} in {self.path}>"

    def _read(self, box: tuple[tuple[int, int], ...]) -> np.ndarray[Any, Any]:
        out = np.empty(tuple(stop - start for start, stop in box), self.dtype)
        chunks.read_into(lambda number: self.scratch.chunk(self, number), self.plan, out, box)
        return out

    def elements(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Elements [start, stop) of a one-dimensional array; quick for many small ranges side by side."""
        length = self.plan.chunks[0]
        first, last = start // length, max(start, stop - 1) // length
        if first != last:
            return self._read(((start, stop),))
        if start == stop:
            return np.empty(0, self.dtype)
        part: np.ndarray[Any, Any] = self.scratch.decoded(self, first)[start - first * length : stop - first * length]
        return np.array(part)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("an array in a scratch file belongs to this process: pass np.asarray(x) on")


class ScratchView(ReadableArray):
    """Consecutive elements of a one-dimensional array in a scratch file, as an array of any shape.

    dtype: of the same size as that array's, if not the same.
    """

    __slots__ = ("first", "whole")

    def __init__(
        self, whole: ScratchArray, first: int, shape: tuple[int, ...], dtype: np.dtype[Any] | None = None
    ) -> None:
        self.whole, self.first = whole, first
        self._shape, self._dtype = shape, whole.dtype if dtype is None else dtype

    def as_dtype(self, dtype: np.dtype[Any]) -> ScratchView:
        """The same bytes as elements of another dtype of the same size."""
        return ScratchView(self.whole, self.first, self.shape, dtype)

    @property
    def path(self) -> str:
        return self.whole.path

    def __repr__(self) -> str:
        return f"<ScratchView {self.shape} {self.dtype} in {self.path}>"

    def _read(self, box: tuple[tuple[int, int], ...]) -> np.ndarray[Any, Any]:
        if not box:
            return self.whole.elements(self.first, self.first + 1).reshape(()).view(self.dtype)
        (start, stop), rest = box[0], self.shape[1:]
        row = int(np.prod(rest, dtype=np.int64))
        flat = self.whole.elements(self.first + start * row, self.first + stop * row).view(self.dtype)
        rows = flat.reshape(stop - start, *rest)
        within = (slice(None), *(slice(*edge) for edge in box[1:]))
        picked: np.ndarray[Any, Any] = rows[within]
        return picked

    def __reduce__(self) -> tuple[Any, ...]:
        return self.whole.__reduce__()


# ---------------------------------------------------------------- files


def _remove(descriptor: int, path: Path | None, pid: int) -> None:
    """Close a scratch file; remove it unless it is an output by now, or another process's."""
    os.close(descriptor)
    if path is None or os.getpid() != pid:
        return
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def _write_at(descriptor: int, view: memoryview, offset: int) -> None:
    while view:
        if hasattr(os, "pwrite"):
            written = os.pwrite(descriptor, view, offset)
        else:
            os.lseek(descriptor, offset, os.SEEK_SET)
            written = os.write(descriptor, view)
        view, offset = view[written:], offset + written


_open_files: weakref.WeakSet[Scratch] = weakref.WeakSet()


def _after_fork() -> None:
    for scratch in list(_open_files):
        scratch._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


_seeking = threading.Lock()  # where a file has one position for all threads


def _read_at(descriptor: int, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    with _seeking:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)
