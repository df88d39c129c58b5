"""Files as users open them: as a tree, or as an `h5py.File`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import h5py

from h5burst.format.constants import LIBVER
from h5burst.model.errors import UnfinishedFileError, UnsupportedFeatureError
from h5burst.model.tree import Group, escape_link
from h5burst.read.file_objects import FileLike, locate
from h5burst.read.history import At
from h5burst.read.lazy import LazyReader, load_tree, open_tree
from h5burst.read.state_file import located, located_meanwhile
from h5burst.runtime import durable


def read_tree(path: FileLike, *, lazy: bool = False, ahead: int = 0, at: At | None = None) -> Group:
    """The whole file as a tree.

    Parameters
    ----------
    path
        Of any HDF5 file, or a binary file object (`read`, `seek`): `io.BytesIO`, an open file, a file of fsspec.
    lazy
        Whether groups and arrays read themselves when they are looked into.
    ahead
        Of a lazy tree: how many bytes of arrays are read at once, and all groups with them, those of other files that
        external links lead to as well, since thousands of small arrays are read much faster together. An array that is
        larger than a 512th of it, and what is beyond it, reads itself as ever. 1: groups alone are read. 0: everything
        reads itself.
    at
        An earlier state of the file, as of `file_at`; None: the newest.

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
    LookupError
        For a state that there is not.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("read.h5", {"a": np.arange(3)}, overwrite=True)
    >>> h5burst.read_tree("read.h5", lazy=True).children["a"].data[1:]
    array([1, 2])
    """
    if lazy:
        return open_tree(path if at is None else located(path, at), ahead)
    with located_meanwhile(path, at) as local_path:
        return load_tree(local_path)


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

    Returns
    -------
    h5py.File
        Close it, or use it as a context manager.

    Examples
    --------
    >>> import h5burst
    >>> with h5burst.open_file("new.h5", "w") as file:
    ...     file.attrs["unit"] = "spikes/s"
    """
    with durable.annotating_oserror(path, "open"):
        durable.require_regular(Path(path))
        try:
            return h5py.File(os.fspath(path), mode, libver=None if mode == "r" else LIBVER)
        except OSError as error:
            if "consistency flags" not in str(error):
                raise
            raise UnfinishedFileError(path) from error


def unfinished_attributes(path: str | os.PathLike[str], names: tuple[str, ...]) -> dict[str, Any]:
    """The attributes of a group in a file that is marked as still being written, in the state that its last edit left.

    Raises
    ------
    KeyError
        There is no such object.
    UnfinishedFileError
        Only libhdf5 reads it.
    OSError
        The file cannot be read, or another program is writing it now.

    Parameters
    ----------
    path : path-like
        Of the file.
    names : tuple of str
        Logical names of the group; () for the root.

    Returns
    -------
    dict
        Its attributes, as stored.

    Examples
    --------
    >>> import h5burst
    >>> h5burst.write_tree("whole.h5", h5burst.Group({}, {"step": "load"}), overwrite=True)
    >>> h5burst.unfinished_attributes("whole.h5", ())
    {'step': 'load'}
    """
    try:
        with LazyReader(locate(path), unfinished=True) as reader:
            node = reader.at("/".join(map(escape_link, names)).encode("utf-8", "surrogateescape"))
    except UnsupportedFeatureError as error:
        raise UnfinishedFileError(path) from error
    if node is None:
        raise KeyError(f"there is no {'/'.join(names)} in {os.fspath(path)}")
    return dict(node.attrs)
