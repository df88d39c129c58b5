"""Reading HDF5 files without libhdf5: their metadata parsed in one pass, every checksum verified on the way."""

from __future__ import annotations

from h5burst.model.errors import UnsupportedFeatureError
from h5burst.model.tree import Group
from h5burst.read import fallback
from h5burst.read.file_objects import FileLike, FileObject, Location, locate
from h5burst.read.handle import FileHandle
from h5burst.read.reader import Reader
from h5burst.runtime.gc_pause import collection_paused


@collection_paused()
def load_tree(file: FileLike) -> Group:
    """The whole file as a tree, all arrays in memory.

    Raises `CorruptFileError` for a file that is damaged, cut short, or holds a cycle of links; other `OSError`s for
    one that cannot be opened.
    """
    location = locate(file)
    if isinstance(location, FileObject):
        with location.nearby() as near:
            return _load(near)
    return _load(location)


def _load(location: Location) -> Group:
    handle = FileHandle(location)
    try:
        with Reader(handle) as reader:
            return reader.tree()
    except UnsupportedFeatureError as why:
        return fallback.read_file(handle, why)
