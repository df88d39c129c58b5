"""All locks of files: the advisory ones that HDF5 takes (`flock`), and lock files that name their holder.

`flock` ends with its holder, however that ends, but some file systems refuse it, and some grant it to everybody. So
nothing here rests on it alone: a file of ours names the process that made it, and a process of this machine is known
to run or not. Only for another machine's process does `flock` decide, and only where it is seen to refuse.

`HDF5_USE_FILE_LOCKING=FALSE` switches `flock` off, as it does for HDF5. Windows has none; there the system itself
refuses to replace or remove a file that is open.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from h5burst._ext.h5parse import lookup3
from h5burst.runtime.processes import Process, is_running

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}  # file systems without the call
PRIVATE = (
    os.O_RDWR
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)  # how a file of our own is made: new, not through a link of somebody else's
_PEEK = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
BY_SWMR = 4  # flag of a superblock of the version that has flags
_WITH_FLAGS = 3
SIGNATURE = b"\x89HDF\r\n\x1a\n"  # of a superblock
_SUPERBLOCK_BYTES = 48
_MAX_RECORD = 4096  # bytes of a lock file
_EMPTY_S = 60.0  # for so long a lock file without a holder counts as one that is being written
_TAKEOVERS = 3  # lock files above each other: each takes a crash at the very moment of taking over


class Answer(Enum):
    """Answer of a file system to a request for a lock."""

    GRANTED = "granted"
    REFUSED = "refused"
    NONE = "no locks here"


class SwmrWriterError(BlockingIOError):
    """A file whose superblock says that a SWMR writer is at work; the text says what to do."""


class FileHeldError(OSError):
    """A lock file that another process holds; the text says which."""


# ---------------------------------------------------------------- flock


def are_used() -> bool:
    """True where files are locked at all, in the eyes of HDF5 as well."""
    return fcntl is not None and os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() not in ("FALSE", "0")


def try_exclusive(descriptor: int) -> Answer:
    """Ask for an exclusive lock on an open file, without waiting."""
    return _ask(descriptor, fcntl.LOCK_EX) if are_used() else Answer.NONE


def try_shared(descriptor: int) -> Answer:
    """Ask for a shared lock on an open file, or to downgrade an exclusive one to it, without waiting."""
    return _ask(descriptor, fcntl.LOCK_SH) if are_used() else Answer.NONE


def share_or_fail(descriptor: int, path: Path) -> None:
    """Hold off writers of an open file. `BlockingIOError` where there is one."""
    if try_shared(descriptor) is Answer.REFUSED:
        raise BlockingIOError(errno.EAGAIN, "the file is open for writing", str(path))


def refuse_swmr_writer(descriptor: int, path: Path) -> None:
    """Raise `SwmrWriterError` where an open file says that a SWMR writer is at work, who holds no lock.

    libhdf5 gives up its lock when such writing begins; a flag in the superblock stays until the file is closed.
    """
    at, size = 0, os.fstat(descriptor).st_size
    while at + _SUPERBLOCK_BYTES <= size:
        os.lseek(descriptor, at, os.SEEK_SET)
        data = os.read(descriptor, _SUPERBLOCK_BYTES)
        if data[:8] == SIGNATURE:
            is_whole = lookup3(data[:44]) == int.from_bytes(data[44:48], "little")
            if data[8] == _WITH_FLAGS and is_whole and data[11] & BY_SWMR:
                state = "the file says that a SWMR writer is at work: if none is, run `h5clear -s` on it, or delete it"
                raise SwmrWriterError(errno.EAGAIN, state, str(path))
            return
        at = 2 * at or 512


def is_unheld(path: Path) -> bool:
    """True where the file system shows that nobody locks the file; False where its locks say nothing."""
    for _ in range(3):  # who asks the same at the same moment holds it for that moment
        try:
            first = os.open(path, _PEEK | os.O_RDWR)
        except OSError:
            return False
        try:
            if try_exclusive(first) is Answer.GRANTED:
                return _refuses_another(path)
        finally:
            os.close(first)
        time.sleep(0.02)
    return False


def _refuses_another(path: Path) -> bool:
    """True where a file that is locked exclusively is refused to another descriptor, else locks do nothing here."""
    try:
        second = os.open(path, _PEEK | os.O_RDWR)
    except OSError:
        return False
    try:
        return try_exclusive(second) is Answer.REFUSED
    finally:
        os.close(second)


def _ask(descriptor: int, kind: int) -> Answer:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return Answer.REFUSED
        if error.errno not in UNSUPPORTED:
            raise
        return Answer.NONE
    return Answer.GRANTED


# ---------------------------------------------------------------- lock files


@contextlib.contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold the lock file at `path` for the block. The directory is made.

    Raises `FileHeldError` where a process holds it that runs, or of which nobody can know; `OSError` for a path where
    something else is than a lock file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _held(path, _TAKEOVERS):
        yield


@contextlib.contextmanager
def _held(path: Path, takeovers: int) -> Iterator[None]:
    process = os.getpid()
    mine = _acquire(path, takeovers)
    try:
        yield
    finally:
        if (
            os.getpid() == process and (_record_at(path) or {}).get("nonce") == mine.nonce
        ):  # else it was removed by hand, or is a parent's
            path.unlink(missing_ok=True)
        mine.close()


@dataclass(frozen=True)
class _Record:
    """Content of a lock file of ours, and the descriptor that holds its `flock` (None on Windows)."""

    nonce: str
    descriptor: int | None

    @classmethod
    def write(cls, path: Path) -> _Record:
        """A new file that names this process, locked as far as the file system locks."""
        nonce = secrets.token_hex(8)
        record = {"host": socket.gethostname(), "pid": os.getpid(), "process": str(Process.current()), "nonce": nonce}
        descriptor = os.open(path, PRIVATE, 0o644)
        try:
            try_exclusive(descriptor)
            os.write(descriptor, json.dumps(record).encode())
        except BaseException as error:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename is None:
                raise OSError(error.errno, f"cannot lock: {error.strerror}", str(path)) from error
            raise
        if os.name == "nt":  # which renames and removes nothing that is open
            os.close(descriptor)
            return cls(nonce, None)
        return cls(nonce, descriptor)

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)


def _acquire(path: Path, takeovers: int) -> _Record:
    private = path.with_name(
        f".lock.{Process.current()}-{secrets.token_hex(8)}.h5burst-tmp"
    )  # `durable.clear` knows it
    written = _Record.write(private)
    held: _Record | None = None
    try:
        while held is None:
            held = _publish(private, written, path)
            record = None if held is not None else _record_at(path)
            if record is None:  # ours, or released since
                continue
            if not _is_dead(record, path):
                raise FileHeldError(errno.EAGAIN, f"locked by {_describe(record)}", str(path))
            if takeovers == 0:
                raise FileHeldError(errno.EAGAIN, "left by processes that ended: remove it", str(path))
            with _held(path.with_name(f"{path.name}.takeover"), takeovers - 1):  # one process alone decides
                if _record_at(path) == record:
                    os.replace(private, path)
                    held = written
        return held
    finally:
        private.unlink(missing_ok=True)
        if held is not written:
            written.close()


def _publish(private: Path, written: _Record, path: Path) -> _Record | None:
    """Give a written lock file its name, unless there is one; what holds it then."""
    try:
        os.link(private, path, follow_symlinks=False)
    except FileExistsError:
        return None
    except (OSError, NotImplementedError):  # a file system without hard links
        try:
            return _Record.write(path)
        except FileExistsError:
            return None
    return written


def _record_at(path: Path) -> dict[str, object] | None:
    """Content of a lock file, with its age in `written`; None where there is none. `OSError` for what is none."""
    try:
        descriptor = os.open(path, _PEEK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OSError(
            error.errno, "this is a link or cannot be read, and is not a lock file: remove it", str(path)
        ) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "this is not a regular file, and not a lock file: remove it", str(path))
        text = os.read(descriptor, _MAX_RECORD)
    finally:
        os.close(descriptor)
    try:
        content = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        content = None
    return {**(content if isinstance(content, dict) else {}), "written": status.st_mtime}


def _is_dead(record: dict[str, object], path: Path) -> bool:
    process = Process.parse(str(record.get("process")))
    pid = record.get("pid")
    if process is not None:
        gone = process.is_gone()
    elif isinstance(pid, int) and not isinstance(pid, bool) and record.get("host") == socket.gethostname():
        gone = not is_running(pid)  # as earlier versions wrote it
    elif not isinstance(record.get("host"), str):
        written = record["written"]
        return isinstance(written, float) and time.time() - written > _EMPTY_S
    else:
        gone = None
    return is_unheld(path) if gone is None else gone


def _describe(record: dict[str, object]) -> str:
    if "pid" not in record:
        return "another process"
    return f"process {record['pid']} on {record.get('host')} (remove the file if that process is gone)"
