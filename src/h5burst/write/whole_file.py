"""Whole new files from trees: durable, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, cast

import h5py

from h5burst.format.constants import LIBVER
from h5burst.memory.scratch import Scratch
from h5burst.model.tree import Group, Storage
from h5burst.read.handle import keeping_open
from h5burst.runtime import durable
from h5burst.runtime.threads import thread_count
from h5burst.write import native, via_libhdf5
from h5burst.write.graft import fill
from h5burst.write.heap_sums import keep_sums
from h5burst.write.materialized import materialized
from h5burst.write.preflight import ReferenceOrSequenceError, validated
from h5burst.write.sink import BehindUserBlock


def write_tree(
    path: str | os.PathLike[str],
    tree: Group,
    *,
    storage: Storage | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    user_block: bytes = b"",
) -> None:
    """Write a tree as a new HDF5 file, which appears under its name only when it is complete and on disk.

    Parameters
    ----------
    path
        Of the file. Missing directories on the way are made.
    tree
        The root group.
    storage
        For arrays that name none themselves; None: uncompressed, with checksums.
    overwrite
        Whether an existing file may be replaced. Its permissions are kept.
    threads
        For the filters of large arrays; None: the CPUs that this process may use.
    user_block
        Bytes that stand before all that HDF5 writes, for programs that look at the beginning of a file: 512, 1024, ….

    Raises
    ------
    UnsupportedValueError
        Before the first byte, for what HDF5 cannot hold; it names the path in the tree.
    FileExistsError
        For an existing file without `overwrite`.
    ValueError
        For less than one thread, or a user block of another length.
    OSError
        When writing fails, or another process has the file open; the file that was there is untouched.

    Examples
    --------
    >>> import numpy as np
    >>> from h5burst import Array, Group, read_tree, write_tree
    >>> write_tree("example.h5", Group({"a": Array(np.arange(3), {"unit": "s"})}), overwrite=True)
    >>> read_tree("example.h5").children["a"].data
    array([0, 1, 2])
    """
    thread_count(threads)  # a number that cannot be is refused before anything is done
    if user_block and (len(user_block) < 512 or len(user_block) & (len(user_block) - 1)):
        raise ValueError(f"a user block has 512, 1024, 2048 … bytes, not {len(user_block)}")
    try:
        tree = validated(tree, storage=storage, target=os.fspath(path))
    except ReferenceOrSequenceError as error:
        if user_block:
            raise
        tree = cast(Group, error.materialized) or materialized(tree, (), os.fspath(path))
        with durable.replacing(Path(path), overwrite=overwrite) as temporary, keeping_open():
            via_libhdf5.write(temporary, tree, storage, threads)
            keep_sums(temporary)
        return
    with durable.replacing(Path(path), overwrite=overwrite) as temporary, keeping_open():
        try:
            if user_block:
                with BehindUserBlock(temporary, user_block) as stream:
                    native.write(cast(BinaryIO, stream), tree, storage=storage, threads=threads, base=stream.base)
            else:
                native.write(temporary, tree, storage=storage, threads=threads, flushing=True)
        except native.NeedsLibhdf5Error:
            # `replacing` holds the lock.
            options = {"libver": LIBVER, "locking": False, "track_order": tree.track_order}
            with h5py.File(temporary, "w", userblock_size=len(user_block), **options) as f:
                fill(f, tree, storage=storage, threads=threads)
            keep_sums(temporary)
            if user_block:
                with open(temporary, "r+b") as file:
                    file.write(user_block)


def write_tree_into_scratch(
    path: str | os.PathLike[str], tree: Group, scratch: Scratch, *, overwrite: bool = False, threads: int | None = None
) -> None:
    """Write a tree whose large arrays are in a scratch file already, by completing that file.

    They are not copied and nothing is compressed: the scratch file becomes the file at `path`, in the same file system.

    Parameters
    ----------
    path, tree, overwrite, threads
        As of `write_tree`.
    scratch
        Holds arrays of the tree.

    Raises
    ------
    NeedsLibhdf5Error
        For a tree that only libhdf5 can write; the scratch file is then what it was.
    UnsupportedValueError, FileExistsError, OSError
        As `write_tree`.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> from pathlib import Path
    >>> scratch = h5burst.Scratch(Path("."), "example")
    >>> tree = h5burst.Group({"a": h5burst.Array(scratch.store(np.arange(100_000)))})
    >>> h5burst.write_tree_into_scratch("completed.h5", tree, scratch, overwrite=True)
    >>> h5burst.read_tree("completed.h5").children["a"].data[-1]
    np.int64(99999)
    """
    tree = validated(tree, target=os.fspath(path))
    with (
        scratch.promote_to(Path(path), overwrite=overwrite) as descriptor,
        open(descriptor, "rb+", buffering=0, closefd=False) as stream,
        keeping_open(),
    ):
        native.complete(cast(BinaryIO, stream), scratch.size, tree, scratch.entries_of, threads=threads)
