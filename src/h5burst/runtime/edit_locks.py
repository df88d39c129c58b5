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
import sys
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
_WAITING = _BYTE - 1  # shared by who waits to edit it
_NAME_BYTES = 255


def hold(descriptor: int, path: str) -> contextlib.AbstractContextManager[None] | None:
    """Hold a file, open as `descriptor` for reading and writing, for one edit. Both locks end with the descriptor.

    Gives the lock file, as a block that holds it, where locks of the file do not do. Raises `BlockingIOError` where a
    writer, or another edit, has it; then nothing is held.
    """
    answer = _ask(descriptor, "F_WRLCK")  # first: who waits for other edits must not keep libhdf5's writers out
    if answer is Answer.REFUSED:
        raise BlockingIOError(errno.EAGAIN, "the file is being edited", path)
    if locks.try_shared(descriptor) is Answer.REFUSED:
        _ask(descriptor, "F_UNLCK")
        raise BlockingIOError(errno.EAGAIN, "the file is open for writing", path)
    return None if answer is Answer.GRANTED else _by_file(path)


@contextlib.contextmanager
def _by_file(path: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.holding(lock_file_of(Path(os.path.realpath(path)))))
        except locks.FileHeldError as error:
            message = f"the file is being edited ({error.strerror}: {error.filename})"
            raise BlockingIOError(errno.EAGAIN, message, path) from error
        except OSError as error:  # no file can be made there
            raise OSError(error.errno, error.strerror, path) from error
        yield


def hold_off_editors(descriptor: int, path: Path) -> None:
    """Let nobody edit an open file until it is closed; `BlockingIOError` where somebody does."""
    if _ask(descriptor, "F_RDLCK") is Answer.REFUSED:
        raise BlockingIOError(errno.EAGAIN, "the file is being edited", str(path))


def note_waiting(descriptor: int) -> None:
    """Let whoever edits an open file see, until it is closed, that somebody waits to edit it, too."""
    _ask(descriptor, "F_RDLCK", _WAITING)


def note_waiting_no_more(descriptor: int) -> None:
    """The end of `note_waiting` for a file that stays open."""
    _ask(descriptor, "F_UNLCK", _WAITING)


def others_wait(descriptor: int) -> bool:
    """True where somebody waits to edit an open file, as far as the system tells."""
    if not locks.are_used() or not hasattr(fcntl, "F_OFD_GETLK"):
        return False
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _request("F_WRLCK", _WAITING))
    except OSError:
        return False
    return int.from_bytes(answer[:2], sys.byteorder) != fcntl.F_UNLCK


def is_being_edited(descriptor: int, path: Path) -> bool:
    """True where a transaction has an open file."""
    if locks.are_used() and hasattr(fcntl, "F_OFD_GETLK"):
        with contextlib.suppress(OSError):
            answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _request("F_RDLCK", _BYTE))
            if int.from_bytes(answer[:2], sys.byteorder) != fcntl.F_UNLCK:
                return True
    return lock_file_of(path).exists()


def lock_file_of(path: Path) -> Path:
    """The file that says, on a file system without locks, that `path` is being edited."""
    name = f".{path.name}{LOCK_SUFFIX}"
    if len(os.fsencode(name)) > _NAME_BYTES:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}{LOCK_SUFFIX}"
    return path.with_name(name)


def _request(kind: str, byte: int) -> bytes:
    """A `struct flock`: kind, from the start, one byte, no process."""
    return struct.pack("hhqqi4x", getattr(fcntl, kind), os.SEEK_SET, byte, 1, 0)


def _ask(descriptor: int, kind: str, byte: int = _BYTE) -> Answer:
    """Ask for a lock of ours, without waiting."""
    if not locks.are_used() or not hasattr(fcntl, "F_OFD_SETLK"):
        return Answer.NONE
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _request(kind, byte))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return Answer.REFUSED
        if error.errno not in locks.UNSUPPORTED:
            raise
        return Answer.NONE
    return Answer.GRANTED
