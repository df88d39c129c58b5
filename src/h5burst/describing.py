"""Contents of a file: its objects as data, how each is stored, and how much of the file nothing leads to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from h5burst.copying.repacking import space
from h5burst.model.errors import CorruptFileError, UnsupportedFeatureError
from h5burst.model.tree import path_names
from h5burst.read.file_objects import FileLike, accepts_file_objects
from h5burst.read.history import At, History
from h5burst.read.lazy import open_tree
from h5burst.read.libhdf5_worker import client
from h5burst.read.libhdf5_worker.described import Described as Described
from h5burst.read.open_file import OpenFile
from h5burst.read.reader import stored_path
from h5burst.read.state_file import file_at


@dataclass(frozen=True)
class FileInfo:
    """A file, or a part of it.

    Attributes
    ----------
    path : str
        Of the file.
    bytes : int
        Its size, without the zeros that may follow its end.
    live_bytes, history_bytes, dead_bytes : int, optional
        What of that is for the state now, for earlier states and the log of commits, and for nothing; None where that
        cannot be told. `repack` drops the last two.
    reserve_bytes : int
        Zeros behind the end: they make the file look longer and take no space on the disk.
    groups, datasets : int
        Their numbers.
    data_bytes : int
        Bytes of their elements in the file.
    objects : list of Described
        Those at the path that was asked for and below, parents first.

    Examples
    --------
    >>> import h5burst
    >>> h5burst.save("a.h5", {"x": [1.0, 2.0]}, overwrite=True)
    >>> found = h5burst.info("a.h5")
    >>> found.groups, found.datasets, found.data_bytes, found.dead_bytes
    (1, 1, 16, 0)
    """

    path: str
    bytes: int
    live_bytes: int | None
    history_bytes: int | None
    dead_bytes: int | None
    reserve_bytes: int
    groups: int
    datasets: int
    data_bytes: int
    objects: tuple[Described, ...]


def info(path: FileLike, at: str | tuple[str, ...] = "/", *, state: At | None = None) -> FileInfo:
    """Contents of an HDF5 file, and how they are stored.

    Parameters
    ----------
    path
        The file, or a binary file object.
    at
        Path of an object, as stored or as a tuple of logical names; only this and what is below it is described.
    state
        An earlier state of the file, as `at` of `file_at`, which takes a copy of it; None: the newest. What the bytes
        of an earlier one are for is not told.

    Returns
    -------
    FileInfo
        Sizes, dead space, and every object.

    Raises
    ------
    KeyError
        Where `at` leads nowhere.
    LookupError
        For a state that there is not.
    CorruptFileError, OSError
        For a file that cannot be opened.

    Examples
    --------
    >>> import h5burst, numpy as np
    >>> h5burst.write_tree("a.h5", h5burst.Group({"x": h5burst.Array(np.arange(3.0))}), overwrite=True)
    >>> found = h5burst.info("a.h5")
    >>> found.datasets, found.objects[1].shape, found.objects[1].dtype
    (1, (3,), 'float64')
    """
    if state is None:
        return _info(path, at)
    with file_at(path, state) as then:
        return replace(contents(then, at), path=os.fspath(path), bytes=then.state.end, reserve_bytes=0)


@accepts_file_objects("path")
def _info(path: FileLike, at: str | tuple[str, ...]) -> FileInfo:
    content = contents(path, at)
    try:
        live, history, dead, _ = space(path)
    except OSError:
        return content  # it is damaged, or holds what is not copied
    return replace(content, live_bytes=live, history_bytes=history, dead_bytes=dead)


@accepts_file_objects("path")
def contents(path: FileLike, at: str | tuple[str, ...] = "/") -> FileInfo:
    """As `info`, but what the bytes are for is left None: to find it takes a walk over every structure of the file."""
    open_tree(path)  # what is not a whole HDF5 file is said in our words
    object_path = stored_path(path_names(at))
    below = object_path.rstrip("/") + "/"
    objects = tuple(item for item in describe(path) if item.path == object_path or item.path.startswith(below))
    if not objects:
        raise KeyError(f"{os.fspath(path)}: there is no object {object_path}")
    datasets = [item for item in objects if item.kind == "dataset"]
    size = os.path.getsize(path)
    used = _used_bytes(path, size)
    return FileInfo(
        os.fspath(path),
        used,
        None,
        None,
        None,
        size - used,
        sum(item.kind == "group" for item in objects),
        len(datasets),
        sum(item.stored_bytes for item in datasets),
        objects,
    )


def _used_bytes(path: str | os.PathLike[str], size: int) -> int:
    try:
        with OpenFile(path) as file:
            return History(file.descriptor, os.fspath(path)).used_bytes
    except (OSError, UnsupportedFeatureError):
        return size  # libhdf5 alone reads it


def describe(path: str | os.PathLike[str]) -> Iterator[Described]:
    """Every group and dataset of an HDF5 file of any origin, parents first. Raises `CorruptFileError`, `OSError`.

    libhdf5 looks at the file, in a process of its own.
    """
    with open(path, "rb"):
        pass
    absolute = os.path.abspath(path)
    for message in client.ask({"do": "describe", "path": absolute, "name": "/", "options": {}}):
        if "described" in message:
            yield _object_info(message["described"], message["value"].attrs)
        elif "error" in message:
            raise client.error_of(absolute, message)
        elif "died" in message:
            raise CorruptFileError(absolute, f"libhdf5 {message['died']} while reading it")


def _object_info(fields: dict[str, Any], attributes: dict[str, Any]) -> Described:
    lengths = {name: tuple(fields[name]) for name in ("shape", "maxshape", "chunks") if fields[name] is not None}
    return Described(**{**fields, **lengths, "attributes": attributes})
