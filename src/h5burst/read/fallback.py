"""Where reading goes over to libhdf5: in a child process, so that no file can harm this one.

There is one exception: a file that this very process has open for writing through h5py. libhdf5 here knows what is not
on disk yet, and has the file open anyway.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from h5burst._ext.h5parse import UnsupportedFeatureError
from h5burst.model.errors import CorruptFileError, UnfinishedFileError
from h5burst.model.tree import Array, Group, Node
from h5burst.read.libhdf5_worker import client, libhdf5
from h5burst.read.libhdf5_worker.protocol import Unread
from h5burst.read.node_factory import LazyNodeFactory


class InUseError(UnsupportedFeatureError):
    """A file that is open for writing, as HDF5's lock tells (`is_locked`) or the mark in the file."""

    def __init__(self, *, is_locked: bool) -> None:
        super().__init__("files that are open for writing")
        self.is_locked = is_locked


def _is_open_here(path: str) -> bool:
    """Whether this process has a file open through h5py."""
    if "h5py" not in sys.modules:
        return False
    import h5py

    for file in h5py.h5f.get_obj_ids(types=h5py.h5f.OBJ_FILE):
        try:
            if os.path.samefile(h5py.h5f.get_name(file), path):
                return True
        except OSError:
            continue  # not a file of the file system
    return False


def _refusal(path: str, why: InUseError) -> OSError:
    if not why.is_locked:
        return UnfinishedFileError(path)
    return BlockingIOError(errno.EAGAIN, "Cannot read: another program has it open for writing: close it there", path)


def read_file(
    path: str | os.PathLike[str], why: UnsupportedFeatureError, makers: LazyNodeFactory | None = None
) -> Group:
    """A whole file, which the parser gave up because of `why`."""
    path = os.path.abspath(path)
    if isinstance(why, InUseError):
        if not _is_open_here(path):
            raise _refusal(path, why)
        node = libhdf5.read_node(path, "/", makers)
    else:
        node = read_node(path, "/", makers)
    if not isinstance(node, Group):
        raise CorruptFileError(path, "its root is not a group")
    return node


def read_node(path: str, name: str, makers: LazyNodeFactory | None = None) -> Node | None:
    """An object and all below it; None for what is neither group nor dataset."""
    node: Node | None = client.read("node", path, name, lazy=makers is not None)
    if makers is not None and node is not None:
        _make_lazy(path, node, makers)
    return node


def _make_lazy(path: str, node: Node, makers: LazyNodeFactory) -> None:
    for part in [node, *(below for _, below in node.walk())] if isinstance(node, Group) else [node]:
        if isinstance(part, Array) and isinstance(part.data, Unread):
            part.data = makers.by_name(path, *part.data)


def holds(path: str, name: str) -> bool:
    """Whether a stored path leads to anything."""
    return client.read("holds", path, name) is not None


def read_attribute(path: str, name: str, attribute: str) -> Any:
    """One attribute of an object."""
    return client.read("attribute", path, name, attribute=attribute)


def read_box(path: str, name: str, box: Sequence[tuple[int, int]], *, in_use: bool) -> np.ndarray[Any, Any]:
    """A box of a dataset. in_use: the file is open for writing."""
    if in_use and _is_open_here(path):
        return libhdf5.read_box(path, name, box)
    found: np.ndarray[Any, Any] = client.read("box", path, name, box=[list(edge) for edge in box])
    return found
