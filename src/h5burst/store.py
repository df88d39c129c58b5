"""Trees to HDF5 files and back: the one place in the product that creates or reads datasets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Literal, cast

import h5py

from h5burst.memory.scratch import Scratch
from h5burst.model.errors import UnfinishedFileError
from h5burst.model.tree import Group, Storage
from h5burst.read.lazy import open_tree
from h5burst.read.whole_file import load_tree
from h5burst.runtime import durable
from h5burst.write import native
from h5burst.write.graft import LIBVER, fill, graft, remove, set_attributes
from h5burst.write.preflight import validate

__all__ = [
    "LIBVER",
    "graft",
    "open_file",
    "read_tree",
    "remove",
    "set_attributes",
    "write_tree",
    "write_tree_into_scratch",
]


def write_tree(
    path: str | os.PathLike[str],
    tree: Group,
    *,
    storage: Storage | None = None,
    overwrite: bool = False,
    threads: int | None = None,
) -> None:
    """Write `tree` as a new HDF5 file that appears under `path` only when it is complete and on disk.

    storage: for arrays that name none themselves (None: uncompressed). Raises `UnsupportedValueError` before the
    first byte for what HDF5 cannot hold, `FileExistsError` for an existing file without `overwrite`, `OSError` with
    the path when writing fails or another process has the file open; the file that was there is then untouched.
    """
    validate(tree, storage=storage)
    with durable.replacing(Path(path), overwrite=overwrite) as temporary:
        try:
            native.write(temporary, tree, storage=storage, threads=threads, flushing=True)
        except native.NotCovered:
            with h5py.File(temporary, "w", libver=LIBVER, locking=False) as f:  # `replacing` holds the lock
                fill(f, tree, storage=storage, threads=threads)


def write_tree_into_scratch(
    path: str | os.PathLike[str], tree: Group, scratch: Scratch, *, overwrite: bool = False, threads: int | None = None
) -> None:
    """As `write_tree` without compression, by completing the scratch file that already holds the large arrays.

    They are not copied; the scratch file becomes the file at `path`, in the same file system. Raises as `write_tree`,
    and `emit.NotCovered` for a tree that only libhdf5 can write; the scratch file is then what it was.
    """
    validate(tree)
    with (
        scratch.becoming(Path(path), overwrite=overwrite) as descriptor,
        open(descriptor, "rb+", buffering=0, closefd=False) as stream,
    ):
        native.complete(cast(BinaryIO, stream), scratch.size, tree, scratch.entries_of, threads=threads)


def open_file(path: str | os.PathLike[str], mode: Literal["r", "r+", "a", "w", "x"] = "r") -> h5py.File:
    """An open `h5py.File` that creates objects as this package does: format 1.10, checksums in every header.

    Takes HDF5's lock: `OSError` at once when someone else writes the file (or, for writing, reads it). A file that an
    interrupted writer left open is refused, too. Every `OSError` names the path and what to do.
    """
    with durable.explaining(path, "open"):
        durable.require_regular(Path(path))
        try:
            return h5py.File(os.fspath(path), mode, libver=None if mode == "r" else LIBVER)
        except OSError as error:
            if "consistency flags" not in str(error):
                raise
            raise UnfinishedFileError(path) from error


def read_tree(path: str | os.PathLike[str], *, lazy: bool = False) -> Group:
    """The whole file as a tree; with `lazy`, groups and arrays read themselves on access.

    Variable-length text comes as object arrays of `str` (of `bytes` where the file calls it ASCII), scalar text
    attributes as `str`, other scalar attributes as numpy scalars, a null dataspace as None. Links that lead nowhere
    are left out. Raises `CorruptFileError` for a file that is damaged, cut short, or whose links run in a circle.
    """
    return open_tree(path) if lazy else load_tree(path)
