"""Trees to HDF5 files and back: the one place in the product that creates or reads datasets."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import h5py

from h5burst.memory.scratch import Scratch
from h5burst.model.errors import UnfinishedFileError
from h5burst.model.tree import Group, Node, Storage, escape_link, unescape
from h5burst.read.lazy import open_tree
from h5burst.read.whole_file import load_tree
from h5burst.runtime import durable
from h5burst.write import graft as grafting
from h5burst.write import native
from h5burst.write.preflight import check_attributes, validate

LIBVER = ("v110", "v110")  # version 2 object headers: every header and index carries a checksum
_changing = threading.RLock()  # one change of an open file at a time; h5py's own lock must not be held so long
_REPLACEMENT = "%~h5burst-new"  # no logical name is stored under it: "~" is never escaped to "%~…~"


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
                grafting.fill(f, tree, storage=storage, threads=threads)


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


def graft(
    parent: h5py.Group,
    path: tuple[str, ...],
    node: Node,
    *,
    storage: Storage | None = None,
    threads: int | None = None,
) -> None:
    """Create `node` below an open group, replacing what is there; missing groups on the way are made.

    path: logical names, at least one. What is replaced disappears only when the new node is complete. Raises
    `UnsupportedValueError` before anything is changed, `OSError` when a dataset is in the way.
    """
    if not path:
        raise ValueError("graft needs the name of the node: the path is empty")
    validate(node, storage=storage, path=(*_names(parent), *path))
    with _changing, durable.explaining(parent.file.filename, "change"):
        group = _group_at(parent, path[:-1])
        link = escape_link(path[-1])
        if not _linked(group, link):
            grafting.create(group, link, node, storage=storage, threads=threads)
            return
        try:
            grafting.create(group, _REPLACEMENT, node, storage=storage, threads=threads)
        except BaseException:
            _unlink(group, _REPLACEMENT)
            raise
        del group[link]
        group.move(_REPLACEMENT, link)


def set_attributes(parent: h5py.Group, path: tuple[str, ...], attrs: Mapping[str, Any]) -> None:
    """Create or replace attributes of the object at `path` (() for `parent` itself); others stay.

    Raises `KeyError` where there is no such object, `UnsupportedValueError` before anything is changed.
    """
    check_attributes(attrs, (*_names(parent), *path))
    with _changing, durable.explaining(parent.file.filename, "change"):
        target = parent["/".join(map(escape_link, path))] if path else parent
        grafting.write_attributes(target, attrs)


def remove(parent: h5py.Group, path: tuple[str, ...]) -> bool:
    """Remove the object at `path` with everything below it; False where there was none."""
    if not path:
        raise ValueError("remove needs the name of the node: the path is empty")
    with _changing:
        group: Any = parent
        for name in path[:-1]:
            group = group.get(escape_link(name)) if _linked(group, escape_link(name)) else None
            if not isinstance(group, h5py.Group):
                return False
        return _unlink(group, escape_link(path[-1]))


def _names(group: h5py.Group) -> tuple[str, ...]:
    return tuple(unescape(part) for part in (group.name or "").split("/") if part)


def _linked(group: h5py.Group, link: str) -> bool:
    return bool(group.id.links.exists(link.encode()))


def _unlink(group: h5py.Group, link: str) -> bool:
    found = _linked(group, link)
    if found:
        group.id.unlink(link.encode())
    return found


def _group_at(parent: h5py.Group, path: tuple[str, ...]) -> h5py.Group:
    """The group at `path`, made where it is missing. By h5py's lower level: thousands of grafts come this way."""
    for name in path:
        link = escape_link(name)
        try:
            child = h5py.h5o.open(parent.id, link.encode())
        except KeyError:
            if _linked(parent, link):  # to nowhere
                raise
            parent = grafting.create_group(parent, link)
            continue
        if not isinstance(child, h5py.h5g.GroupID):
            where = f"{parent.name}/{link}".replace("//", "/")
            raise OSError(f"{where} in {parent.file.filename} is a dataset, not a group: remove it first")
        parent = h5py.Group(child)
    return parent


def read_tree(path: str | os.PathLike[str], *, lazy: bool = False) -> Group:
    """The whole file as a tree; with `lazy`, groups and arrays read themselves on access.

    Variable-length text comes as object arrays of `str` (of `bytes` where the file calls it ASCII), scalar text
    attributes as `str`, other scalar attributes as numpy scalars, a null dataspace as None. Links that lead nowhere
    are left out. Raises `CorruptFileError` for a file that is damaged, cut short, or whose links run in a circle.
    """
    return open_tree(path) if lazy else load_tree(path)
