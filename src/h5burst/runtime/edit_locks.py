"""Locks of those who edit a file in transactions: shared with readers, exclusive among themselves.

Two locks are held. HDF5's own (`flock`), shared: it keeps libhdf5's writers out, lets readers in, and is refused where
a writer has the file open. And one of ours, exclusive, on a byte beyond any file's end: a lock of the open file (OFD),
so that it also works between threads; who replaces the file shares it. Both end with the process. Where the file
system, or the system, has no such locks, or `HDF5_USE_FILE_LOCKING=FALSE` switches them off, a lock file beside the
edited one takes the place of ours.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from h5burst.runtime import locks
from h5burst.runtime.locks import Answer

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_SUFFIX = ".h5burst-lock"
_BYTE = (1 << 63) - 2  # beyond the end of any file
_NAME_BYTES = 255


@contextlib.contextmanager
def editing(descriptor: int, path: Path) -> Iterator[None]:
    """Hold a file, open as `descriptor` for reading and writing, for one edit. Both locks end with the descriptor.

    Raises `BlockingIOError` where a writer, or another edit, has it.
    """
    locks.share_or_fail(descriptor, path)
    answer = _ask(descriptor, "F_WRLCK")
    if answer is Answer.REFUSED:
        raise BlockingIOError(errno.EAGAIN, "is being edited", str(path))
    if answer is Answer.GRANTED:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.holding(lock_file_of(path)))
        except locks.FileHeldError as error:
            message = f"is being edited ({error.strerror}: {error.filename})"
            raise BlockingIOError(errno.EAGAIN, message, str(path)) from error
        yield


def hold_off_editors(descriptor: int, path: Path) -> None:
    """Let nobody edit an open file until it is closed; `BlockingIOError` where somebody does."""
    if _ask(descriptor, "F_RDLCK") is Answer.REFUSED:
        raise BlockingIOError(errno.EAGAIN, "is being edited", str(path))


def lock_file_of(path: Path) -> Path:
    """The file that says, on a file system without locks, that `path` is being edited."""
    name = f".{path.name}{LOCK_SUFFIX}"
    if len(os.fsencode(name)) > _NAME_BYTES:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}{LOCK_SUFFIX}"
    return path.with_name(name)


def _ask(descriptor: int, kind: str) -> Answer:
    """Ask for our lock, without waiting."""
    if not locks.are_used() or not hasattr(fcntl, "F_OFD_SETLK"):
        return Answer.NONE
    # A `struct flock`: kind, from the start, one byte, no process.
    request = struct.pack("hhqqi4x", getattr(fcntl, kind), os.SEEK_SET, _BYTE, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return Answer.REFUSED
        if error.errno not in locks.UNSUPPORTED:
            raise
        return Answer.NONE
    return Answer.GRANTED
