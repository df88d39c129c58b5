"""Files as users open them: as a tree, or as an `h5py.File`."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Literal

import h5py

from h5burst._ext.h5parse import lookup3
from h5burst.format.constants import LIBVER
from h5burst.format.superblock import SIZE
from h5burst.model.errors import UnfinishedFileError
from h5burst.model.tree import Group
from h5burst.read.lazy import open_tree
from h5burst.read.whole_file import load_tree
from h5burst.runtime import durable

_FLAGS_AT = 11  # place of the consistency flags in a superblock of version 2 or 3


def read_tree(path: str | os.PathLike[str], *, lazy: bool = False) -> Group:
    """The whole file as a tree.

    Parameters
    ----------
    path
        Of any HDF5 file.
    lazy
        Whether groups and arrays read themselves when they are looked into.

    Returns
    -------
    Group
        Variable-length text comes as object arrays of `str` (of `bytes` where the file calls it ASCII), scalar text
        attributes as `str`, other scalar attributes as numpy scalars, a null dataspace as None. Dangling links are left
        out.

    Raises
    ------
    CorruptFileError
        For a file that is damaged, cut short, or whose links form a cycle.
    OSError
        For a file that cannot be opened.
    """
    return open_tree(path) if lazy else load_tree(path)


def open_file(path: str | os.PathLike[str], mode: Literal["r", "r+", "a", "w", "x"] = "r") -> h5py.File:
    """An open `h5py.File` that creates objects as this package does: format 1.10, checksums in every header.

    Parameters
    ----------
    path
        Of the file.
    mode
        As of `h5py.File`.

    Raises
    ------
    OSError
        At once when someone else writes the file (or, for writing, reads it), as HDF5's lock tells; for a file that
        cannot be opened. The message names the path and what to do.
    UnfinishedFileError
        For a file that an interrupted writer left open.
    """
    with durable.annotating_oserror(path, "open"):
        durable.require_regular(Path(path))
        try:
            return h5py.File(os.fspath(path), mode, libver=None if mode == "r" else LIBVER)
        except OSError as error:
            if "consistency flags" not in str(error):
                raise
            raise UnfinishedFileError(path) from error


def open_unfinished(path: str | os.PathLike[str]) -> h5py.File:
    """A file that is marked as still being written, open for reading, whatever state its last edit left it in.

    Raises
    ------
    OSError
        Where libhdf5 cannot read it.
    """
    with open(path, "rb", buffering=0) as stream:
        head = bytearray(stream.read(SIZE))
    return h5py.File(_Unmarked(path, head), "r")


class _Unmarked(io.RawIOBase):
    """A file's bytes, but for the mark in its superblock."""

    def __init__(self, path: str | os.PathLike[str], head: bytearray) -> None:
        self._stream = open(path, "rb", buffering=0)  # noqa: SIM115  (closed with the file)
        head[_FLAGS_AT] = 0
        self._head = bytes(head[:-4]) + lookup3(bytes(head[:-4])).to_bytes(4, "little")

    def close(self) -> None:
        self._stream.close()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        start = self._stream.tell()
        count = self._stream.readinto(buffer) or 0
        inside = self._head[start : start + count]
        memoryview(buffer)[: len(inside)] = inside
        return count
