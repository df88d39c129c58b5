"""Repacking: a file written anew, without dead space, perhaps compressed otherwise, perhaps only a part of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from h5burst import codecs
from h5burst._ext.h5parse import Source
from h5burst.copying.datasets import Recoding
from h5burst.copying.objects import Keep, ObjectCopier
from h5burst.copying.output import CountingWriter, Output
from h5burst.copying.states import write_states
from h5burst.format import references, superblock
from h5burst.format.history import encode_trailer
from h5burst.model.errors import (
    CorruptFileError,
    CorruptStructureError,
    StaleFileError,
    UnfinishedFileError,
    UnsupportedFeatureError,
)
from h5burst.model.tree import Storage, escape_link, path_names
from h5burst.read.file_objects import FileLike, accepts_file_objects
from h5burst.read.history import History, HistoryState, is_only_appended_to
from h5burst.read.open_file import OpenFile
from h5burst.runtime import durable
from h5burst.runtime.gc_pause import collection_paused
from h5burst.runtime.threads import thread_count
from h5burst.write.edited_file import EditedFile
from h5burst.write.reserve import leave_reserve

KEEP = "keep"
_BLOCK_BYTES, _BLOCKS = 1 << 16, 64  # of the source, held in memory
_COPIED_BYTES = 8 << 20  # of a user block, at once
Progress = Callable[[int, int], None]


class Repacked(NamedTuple):
    """Sizes of a file before and after.

    Attributes
    ----------
    before_bytes, after_bytes : int
        Size of the file.
    objects : int
        Objects that were copied.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("plain.h5", {"a": np.zeros(100_000)}, overwrite=True)
    >>> done = h5burst.repack("plain.h5", "small.h5", compression="gzip", overwrite=True)
    >>> done.objects, done.after_bytes < done.before_bytes
    (2, True)
    """

    before_bytes: int
    after_bytes: int
    objects: int


@accepts_file_objects("src")
@collection_paused()
def repack(
    src: FileLike,
    dst: str | os.PathLike[str],
    *,
    compression: str | int | None = KEEP,
    compression_opts: int | None = None,
    select: Iterable[str] | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Repacked:
    """Write a copy of an HDF5 file that holds what the file holds, in bounded memory.

    Attributes, references to objects and regions, hard, soft and external links, committed datatypes, maximal shapes,
    chunks, fill values, dimension scales, the order of creation, a user block: all is in the copy as it is in the file.
    Chunks whose filters do not change are copied as they are stored.

    Parameters
    ----------
    src
        An HDF5 file, written by whatever program; a path, or a binary file object.
    dst
        The copy, which appears when it is whole. It may be `src`, with `overwrite`. Missing directories on the way are
        made.
    compression
        "keep" leaves each dataset's filters as they are; "gzip", "lzf", "zstd" or "blosc" compresses all datasets of
        numbers and text of fixed length with shuffle and a checksum (and what else `codecs.storage_for` takes); None
        stores them uncompressed, with a checksum.
        Datasets of a few kilobytes that are not in chunks come into their headers, which have a checksum; those
        compressed by a filter that this package does not know itself (such as blosc2 or bitshuffle) are left as they
        are.
    compression_opts
        The codec's level, 0 to 9; None for its default. "lzf" has no levels.
    select
        A path of a group or dataset, or several; only these are copied, with all that is below them and the groups on
        the way. References to other objects become null references.
    overwrite
        Whether an existing `dst` may be replaced.
    threads
        For compression; None: the CPUs that this process may use.
    progress
        Called now and then with the bytes of the source that were read and its size.

    Returns
    -------
    Repacked
        Bytes of the two files, and the number of objects in the copy.

    Raises
    ------
    KeyError
        For a path in `select` that leads nowhere.
    ValueError
        For an unknown codec or level, and a level of what has none.
    FileExistsError
        For an existing `dst` without `overwrite`.
    BlockingIOError
        For a file that another program has open for writing.
    CorruptFileError
        For a file that is damaged; `salvage` takes what is left of it.
    StaleFileError
        For a file that a program without locks writes meanwhile.
    OSError
        When reading or writing fails, or the file holds what cannot be copied; the message names it.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("plain.h5", {"a": np.arange(100_000)}, overwrite=True)
    >>> h5burst.repack("plain.h5", "small.h5", compression="gzip", overwrite=True).objects
    2
    """
    thread_count(threads)  # a number that cannot be is refused before anything is done
    storage = chosen_storage(compression, compression_opts)
    recoding = None if storage is None else Recoding(storage, threads)
    source, target = Path(os.path.realpath(src)), Path(os.path.realpath(dst))
    keep = None if select is None else _selected([select] if isinstance(select, str) else select)
    if source == target:
        durable.require_absent(dst, overwrite)
        return repack_in_place(source, recoding=recoding, keep=keep, progress=progress)
    with OpenFile(src) as file:
        if file.locked_for_writing:
            raise BlockingIOError(f"{os.fspath(src)} is open for writing elsewhere: close it there first")
        with durable.replacing(Path(dst), overwrite=overwrite) as temporary:
            objects, root, after = _copy(file.descriptor, src, temporary, recoding, keep, progress)
            if not is_only_appended_to(file, root):
                raise StaleFileError(src, "while it was copied")
    return Repacked(file.stamp.size, after, objects)


def repack_in_place(
    path: str | os.PathLike[str],
    *,
    recoding: Recoding | None = None,
    keep: Keep | None = None,
    progress: Progress | None = None,
    only_smaller: bool = False,
    states: int | None = None,
) -> Repacked:
    """Replace a file by its copy. only_smaller: unless that is not smaller.

    states: how many earlier ones are kept, of a file that is edited further; None: as `repack`, not even a reserve.
    """
    with EditedFile(path, only_replaced=True) as file:
        with naming_damage(path):
            before = History(file.descriptor, str(file.path)).used_bytes
        try:
            with durable.replacing(file.path, overwrite=True, edited=True) as temporary:
                objects, _, after = _copy(file.descriptor, path, temporary, recoding, keep, progress, states)
                if only_smaller and after >= before:
                    raise _NotSmallerError
                file.check_unchanged()
        except _NotSmallerError:
            return Repacked(before, before, 0)
    return Repacked(before, after, objects)


def compact(path: str | os.PathLike[str], keep: int = 0, *, min_dead: float = 0.0) -> int:
    """Write a file anew without what is dead in it; the new one replaces it when it is whole.

    Everything that can be reached is kept, as by `repack`. Earlier states and their messages are dropped, but for those
    that `keep` asks for.

    Parameters
    ----------
    path
        An HDF5 file that transactions append to.
    keep
        So many states before the newest stay, with their numbers, sharing what they share. `log` then shows the commits
        before them as well, as compacted. With 0 the file is as one that was just saved, without a history.
    min_dead
        Share of the file, 0 to 1, that the new one must save; with less of it nothing is done. To find that out takes a
        look at each object, not at the data.

    Returns
    -------
    int
        Bytes that were saved; 0 where the new file would not be smaller, which is then dropped.

    Raises
    ------
    TypeError, ValueError
        For a number of states that cannot be.
    BlockingIOError
        Somebody writes or edits the file.
    OSError
        It cannot be read, there is no room for the new one, or it holds what cannot be copied; it is then as it was.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("edited.h5", {"a": np.zeros(100_000)}, overwrite=True)
    >>> with h5burst.edit("edited.h5") as tx:
    ...     tx.remove(("a",))
    True
    >>> h5burst.compact("edited.h5") > 700_000
    True
    """
    if isinstance(keep, bool) or not isinstance(keep, int):
        raise TypeError(f"keep is a number of states, not {type(keep).__name__}")
    if keep < 0:
        raise ValueError(f"keep is a number of states from 0 on, got {keep}")
    if min_dead > 0 and not _saves(path, keep, min_dead):
        return 0
    result = repack_in_place(path, only_smaller=True, states=keep)
    return result.before_bytes - result.after_bytes


def _saves(path: str | os.PathLike[str], keep: int, share: float) -> bool:
    """True where a file without what only dropped states need would be shorter by this share of it."""
    with _measured(path) as file:
        used = file.history.used_bytes
        state = file.history.state(max(file.history.number - keep, file.history.oldest))
        return state.end - file.live(state) >= share * used


class _NotSmallerError(Exception):
    """The copy is dropped."""


def chosen_storage(compression: str | int | None, level: int | None) -> Storage | None:
    """Storage of all datasets; None where each stays as it is. Raises ValueError."""
    if compression != KEEP:
        return codecs.storage_for(compression, level)
    if level is not None:
        raise ValueError("a level without a codec: give compression, too")
    return None


def _selected(paths: Iterable[str]) -> Keep:
    """The names of what is copied, as a tree."""
    keep: Keep = {}
    for path in paths:
        names = [escape_link(name).encode() for name in path_names(path)]
        if not names:
            raise KeyError(f"{path!r} names no object: leave select out to copy the whole file")
        below = keep
        for name in names[:-1]:
            below = below.setdefault(name, {})
            if below is None:
                break
        else:
            below[names[-1]] = None
    return keep


def _copy(
    descriptor: int,
    path: str | os.PathLike[str],
    target: Path,
    recoding: Recoding | None,
    keep: Keep | None,
    progress: Progress | None,
    states: int | None = None,
) -> tuple[int, int, int]:
    """Copy a file; returns the number of objects, where the root was, and the length of the copy but for a reserve."""
    size = os.fstat(descriptor).st_size
    changed_ns: int | None = None
    is_appended_to = states is not None
    with naming_damage(path) as copiers:
        start = superblock.read_whole(descriptor, size)
        if start.is_open_for_writing:
            raise UnfinishedFileError(path)
        source = Source(descriptor, start.end, start.base, _BLOCK_BYTES, _BLOCKS)
        with Output(target, start.base) as output:
            _copy_user_block(descriptor, start.base, output)
            copier = ObjectCopier(source, output, start.extension, recoding)
            copiers.append(copier)
            if progress is not None:
                copier.progress = lambda: progress(min(output.end, size), size)
            if keep is not None:
                copier.require(start.root, keep)
            history = History(descriptor, os.fspath(path)) if states else None
            if states and history is not None and history.newest is not None:
                changed_ns = write_states(output, copier, history, states)
            else:
                write_file(output, copier, start, keep)
                is_appended_to = is_appended_to and not copier.holds_references
                if is_appended_to:
                    output.append(encode_trailer(None, 0))  # what follows is told from the file by it
                    output.flush()
        if is_appended_to:
            leave_reserve(target)
        if changed_ns is not None:
            os.utime(target, ns=(changed_ns, changed_ns))
        return copier.objects, start.root, output.end


class Space(NamedTuple):
    """Uses of the bytes of a file.

    live: the state now; history: earlier states, and the records of commits; dead: nothing; reserve: zeros behind the
    end, which take no space on the disk.
    """

    live: int
    history: int
    dead: int
    reserve: int


def space(path: str | os.PathLike[str]) -> Space:
    """Uses of a file's bytes; to find out takes a look at each object. Raises as `repack`."""
    with _measured(path) as file:
        history = file.history
        used = history.used_bytes
        is_marked = history.is_marked
        tail = used - history.start.end if history.trailer is not None else references.MARK_BYTES if is_marked else 0
        live = file.live(history.state(-1)) + tail
        first = history.state(history.oldest)
        dead = used - live if history.newest is None else first.end - file.live(first)
        return Space(live, used - live - dead, dead, file.size - used)


class _Measured(NamedTuple):
    """An open file whose states are measured."""

    descriptor: int
    size: int
    history: History
    copiers: list[ObjectCopier]

    def live(self, state: HistoryState) -> int:
        """Length of a file that would hold a state alone."""
        source = Source(self.descriptor, state.end, state.base, _BLOCK_BYTES, _BLOCKS)
        counted = CountingWriter(superblock.SIZE)
        copier = ObjectCopier(source, counted, self.history.start.extension, None)
        self.copiers[:] = [copier]
        copier.copy_all(state.root)
        return state.base + counted.end


@contextlib.contextmanager
def _measured(path: str | os.PathLike[str]) -> Iterator[_Measured]:
    with OpenFile(path) as file, naming_damage(path) as copiers:
        history = History(file.descriptor, file.path)
        yield _Measured(file.descriptor, file.stamp.size, history, copiers)


def write_file(output: Output, copier: ObjectCopier, start: superblock.Whole, keep: Keep | None = None) -> None:
    """All of the new file from its superblock on, which is written last."""
    superblock_at = output.append(bytes(superblock.SIZE))
    root = copier.copy_all(start.root, keep)
    output.flush()
    version = 3 if start.version == 3 else 2  # older programs read at most that
    end = output.end
    if version == 3 and not copier.holds_references:
        output.append(references.encode_mark(root, end - start.base))
        output.flush()
    output.patch(superblock_at, superblock.encode(root, end, version=version, base=start.base))


@contextlib.contextmanager
def naming_damage(path: str | os.PathLike[str]) -> Iterator[list[ObjectCopier]]:
    """Errors about the structure of the source as those that users know, with the object's path."""
    copiers: list[ObjectCopier] = []
    try:
        yield copiers
    except CorruptStructureError as error:
        raise CorruptFileError(path, f"{_where(copiers)}{error}") from error
    except UnsupportedFeatureError as error:
        problem = f"{_where(copiers)}{error}"
        raise OSError(f"{os.fspath(path)} cannot be copied faithfully: {problem}: h5repack may do it") from error


def _where(copiers: list[ObjectCopier]) -> str:
    return f"{path_of(copiers[0].where)}: " if copiers else ""


def path_of(names: tuple[bytes, ...]) -> str:
    """Stored names from the root as a path."""
    return "/" + b"/".join(names).decode("utf-8", "backslashreplace").lstrip("/")


def _copy_user_block(descriptor: int, length: int, output: Output) -> None:
    for at in range(0, length, _COPIED_BYTES):
        os.lseek(descriptor, at, os.SEEK_SET)
        output.append(os.read(descriptor, min(_COPIED_BYTES, length - at)))
