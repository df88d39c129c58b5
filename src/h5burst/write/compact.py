"""Dropping what is no longer reachable: every edit by appending leaves what it replaced behind."""

from __future__ import annotations

import os

from h5burst._ext.h5parse import CorruptStructureError, UnsupportedFeatureError
from h5burst.format import object_header as oh
from h5burst.model.errors import CorruptFileError
from h5burst.read.libhdf5_worker import client
from h5burst.runtime import durable
from h5burst.write.edited_file import EditedFile
from h5burst.write.links import GroupLinks
from h5burst.write.native import NeedsLibhdf5Error


def compact(path: str | os.PathLike[str]) -> int:
    """Write a file anew without what is dead in it; the new one replaces it when it is whole.

    Datasets are copied as they are stored, by libhdf5 in its child process.

    Parameters
    ----------
    path
        An HDF5 file that transactions append to.

    Returns
    -------
    int
        Bytes that were saved; 0 where the new file would not be smaller, which is then dropped.

    Raises
    ------
    BlockingIOError
        Somebody writes or edits the file.
    OSError
        It cannot be read, there is no room for the new one, or it holds what such a copy would not keep (references,
        objects with several hard links, a user block); it is then as it was.
    """
    with EditedFile(path) as file:
        _require_plain(file)
        before = os.path.getsize(file.path)
        try:
            with durable.replacing(file.path, overwrite=True, edited=True) as temporary:
                client.copy(os.fspath(file.path), os.fspath(temporary))
                saved = before - os.path.getsize(temporary)
                if saved <= 0:
                    raise _NotSmallerError
                file.check_unchanged()
        except _NotSmallerError:
            return 0
        return saved


class _NotSmallerError(Exception):
    """The new file is dropped."""


def _require_plain(file: EditedFile) -> None:
    reason = file.why_not
    try:
        if reason is None and file.start.base:
            reason = "a user block"
        if reason is None:
            _require_single_links(file)
    except NeedsLibhdf5Error as error:
        reason = str(error)
    except UnsupportedFeatureError as error:
        reason = str(error)
    except CorruptStructureError as error:
        raise CorruptFileError(file.path, str(error)) from error
    if reason is not None:
        raise OSError(f"{file.path} is not compacted, because it has {reason}: use h5repack")


def _require_single_links(file: EditedFile) -> None:
    """Raise `NeedsLibhdf5Error` unless each object has one link: of several, each would get a copy of its own."""
    waiting = [file.start.root]
    while waiting:
        header = oh.decode(file.source, waiting.pop())
        if header.links != 1:
            raise NeedsLibhdf5Error("objects that several hard links lead to")
        waiting += GroupLinks(file.source, header).addresses()
