"""A file that is open for reading: found, locked, and known to be the one that was meant."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from h5burst._ext.descriptors import Descriptor
from h5burst.model.errors import StaleFileError
from h5burst.read.file_objects import FileObject, Location
from h5burst.runtime import locks


class Stamp(NamedTuple):
    """Tells a file from whatever may take its place: device and inode, bytes, time of the last write.

    Also the time of the inode's own last change: any program can set the other one back, as archivers do.
    """

    device: int
    inode: int
    size: int
    written_ns: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp of a file whose status this is."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


_edited: dict[tuple[int, int], Stamp] = {}  # files that a transaction here has open, as they were when it began


def begin_edit(stamp: Stamp) -> None:
    """Until `end_edit`, who expects the file to have this stamp finds it so, although bytes are appended to it."""
    _edited[stamp[:2]] = stamp


def end_edit(stamp: Stamp) -> None:
    """The end of what `begin_edit` began."""
    _edited.pop(stamp[:2], None)


_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_FLAGS |= getattr(os, "O_NONBLOCK", 0)  # a pipe must not make us wait for its writer


class OpenFile:
    """A regular file, open for reading until `close`, under the shared lock that HDF5 readers take.

    expected: the file must still be this one, else `StaleFileError`. locked_for_writing: another program has it open
    for writing. is_locked: its file system has locks, and this one has it.
    """

    reader: Callable[[int, Any], None] | None = None  # fills a buffer from an offset on, in place of the descriptor

    def __init__(self, path: str | os.PathLike[str], expected: Stamp | None = None) -> None:
        self.path = os.fspath(path) if os.path.isabs(path) else os.path.abspath(path)
        self.location: Location = self.path
        try:
            self.held = Descriptor.open(self.path, _FLAGS)
        except FileNotFoundError:
            if expected is not None:
                raise StaleFileError(self.path) from None
            raise
        try:
            self.descriptor = self.held.fileno()
            status = os.fstat(self.descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(f"{self.path} is a directory, not an HDF5 file")
            if not stat.S_ISREG(status.st_mode):
                raise OSError(f"{self.path} is not a regular file")
            self.stamp = Stamp.of(status)
            if expected not in (None, self.stamp) and expected != _edited.get(self.stamp[:2]):
                raise StaleFileError(self.path)
            answer = locks.try_shared(self.descriptor)
            self.locked_for_writing = answer is locks.Answer.REFUSED
            self.is_locked = answer is locks.Answer.GRANTED
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.held.close()

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OpenObject:
    """A file object, as `OpenFile`: what it is open for and who locks it is the business of who opened it."""

    locked_for_writing = False

    def __init__(self, file: FileObject, expected: Stamp | None = None) -> None:
        self.location: Location = file
        self.path = file.path
        self.descriptor = file.descriptor
        self.reader = None if file.descriptor >= 0 else file.read_into
        self.stamp = Stamp(0, 0, file.current_size(), 0, 0)
        if expected is not None and expected != self.stamp:
            raise StaleFileError(self.path)

    def close(self) -> None:
        """The object stays open: it is not ours."""

    def __enter__(self) -> OpenObject:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
