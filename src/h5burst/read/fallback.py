"""Reading by libhdf5: in a child process, so that no file can harm this one.

There is one exception: a file that this very process has open for writing through h5py. libhdf5 here knows what is not
on disk yet, and has the file open anyway.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from h5burst.model.errors import CorruptFileError, UnfinishedFileError, UnsupportedFeatureError
from h5burst.model.source import ArraySource
from h5burst.model.tree import Array, Group, Node
from h5burst.read.damaged import DamagedNode
from h5burst.read.elements import StorageInfo
from h5burst.read.file_objects import Location, library_path, path_of
from h5burst.read.handle import FileHandle
from h5burst.read.libhdf5_worker import client, libhdf5
from h5burst.read.libhdf5_worker.protocol import Unread

ByName: TypeAlias = Callable[[FileHandle, tuple[str, ...], tuple[int, ...], "np.dtype[Any]"], ArraySource]
"""Gives an array of a lazy tree that only libhdf5 reads, by its file, names from the root, shape and dtype."""


class InUseError(UnsupportedFeatureError):
    """A file that is open for writing, as HDF5's lock tells (`is_locked`) or the mark in the file."""

    def __init__(self, *, is_locked: bool) -> None:
        super().__init__("files that are open for writing")
        self.is_locked = is_locked


def _is_open_here(path: str) -> bool:
    """True where this process has a file open through h5py, which is flushed then, so that it stays as it is."""
    if "h5py" not in sys.modules:
        return False
    import h5py

    for file in h5py.h5f.get_obj_ids(types=h5py.h5f.OBJ_FILE):
        try:
            if os.path.samefile(h5py.h5f.get_name(file), path):
                h5py.h5f.flush(file)
                return True
        except OSError:
            continue  # not a file of the file system
    return False


def refusal(path: str, why: InUseError) -> OSError:
    """The error of a file that is open for writing elsewhere."""
    if not why.is_locked:
        return UnfinishedFileError(path)
    return BlockingIOError(errno.EAGAIN, "Cannot read: another program has it open for writing: close it there", path)


def read_file(handle: FileHandle, why: UnsupportedFeatureError, by_name: ByName | None = None) -> Group:
    """A whole file, which the parser gave up because of `why`."""
    if isinstance(why, InUseError):
        if handle.is_far or not _is_open_here(handle.path):
            raise refusal(handle.path, why)
        handle.stamp = None  # it was flushed just now
        here = None if by_name is None else lambda _, *of: by_name(handle, *of)
        node = libhdf5.read_node(handle.path, "/", here)
    else:
        node = read_node(handle, "/", by_name)
    if not isinstance(node, Group):
        raise CorruptFileError(handle.path, "its root is not a group")
    return node


def read_node(handle: FileHandle, name: str, by_name: ByName | None = None) -> Node | None:
    """An object and all below it; None for what is neither group nor dataset."""
    node: Node | None = _read("node", handle, name, lazy=by_name is not None)
    if by_name is not None and node is not None:
        _make_lazy(handle, node, by_name)
    return node


def _make_lazy(handle: FileHandle, node: Node, by_name: ByName) -> None:
    for part in [node, *(below for _, below in node.walk())] if isinstance(node, Group) else [node]:
        if isinstance(part, DamagedNode):
            part.error = _renamed(part.error, handle.location)
        elif isinstance(part, Array) and isinstance(part.data, Unread):
            part.data = by_name(handle, *part.data)


def holds(handle: FileHandle, name: str) -> bool:
    """True where a stored path leads to anything."""
    return _read("holds", handle, name) is not None


def read_attribute(handle: FileHandle, name: str, attribute: str) -> Any:
    """One attribute of an object."""
    return _read("attribute", handle, name, attribute=attribute)


def read_storage(handle: FileHandle, name: str) -> StorageInfo:
    """Storage of a dataset."""
    attributes = _read("storage", handle, name).attrs
    limits = tuple(None if limit < 0 else limit for limit in attributes["maxshape"].tolist())
    chunks = attributes["chunks"]
    return StorageInfo(None if chunks is None else tuple(chunks.tolist()), limits, tuple(attributes["filters"].split()))


def read_box(handle: FileHandle, name: str, box: Sequence[tuple[int, int]], *, in_use: bool) -> np.ndarray[Any, Any]:
    """A box of a dataset. in_use: the file is open for writing."""
    if in_use and not handle.is_far and _is_open_here(handle.path):
        return libhdf5.read_box(handle.path, name, box)
    values: np.ndarray[Any, Any] = _read("box", handle, name, box=[list(edge) for edge in box])
    return values


def _read(do: str, handle: FileHandle, name: str, **options: Any) -> Any:
    """Have the child read. Errors name the file as its user knows it, not a copy of it."""
    try:
        return client.read(do, library_path(handle.location), name, **options)
    except CorruptFileError as error:
        renamed = _renamed(error, handle.location)
        if renamed is error:
            raise
        raise renamed from error


def _renamed(error: CorruptFileError, location: Location) -> CorruptFileError:
    """An error about a private copy of a file object, as one about the object."""
    if isinstance(location, str) or error.path != library_path(location):
        return error
    return type(error)(path_of(location), error.message, error.problems)
