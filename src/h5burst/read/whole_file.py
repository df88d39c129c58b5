"""Reading HDF5 files without libhdf5: their metadata parsed in one pass, every checksum verified on the way."""

from __future__ import annotations

from h5burst.model.errors import UnsupportedFeatureError
from h5burst.model.tree import Group
from h5burst.read import fallback
from h5burst.read.file_objects import FileLike, FileObject, locate
from h5burst.read.handle import FileHandle
from h5burst.read.reader import Reader
from h5burst.runtime.gc_pause import collection_paused


@collection_paused()
def load_tree(file: FileLike | FileHandle) -> Group:
    """The whole file as a tree, all arrays in memory: of a handle, the state that it looks at.

    Raises `CorruptFileError` for a file that is damaged, cut short, or holds a cycle of links; other `OSError`s for
    one that cannot be opened.
    """
    if isinstance(file, FileHandle):
        return _load(file)
    location = locate(file)
    if isinstance(location, FileObject):
        with location.nearby() as near:
            return _load(FileHandle(near))
    return _load(FileHandle(location))


def _load(handle: FileHandle) -> Group:
    try:
        with Reader(handle) as reader:
            return reader.tree()
    except UnsupportedFeatureError as why:
        return fallback.read_file(handle, why)
