"""Files that appear under their final name only when they are complete and on disk.

A file is written under a temporary name in the same folder, flushed to disk, renamed, and the folder flushed. The
temporary name follows from the final one, so that the next save finds, and replaces, what a crash has left.

One writer a file. A save holds two advisory locks of the kind that HDF5 itself takes (`flock`): an exclusive one on
its temporary file, so that a second save to the same path fails at once, and a shared one on the file it replaces,
so that it fails at once where someone has that file open for writing, and nobody opens it for writing meanwhile.
Readers of the old file are not disturbed; they keep it. Both locks end with the process, however it ends.
`HDF5_USE_FILE_LOCKING=FALSE` switches them off, as it does for HDF5. Windows has no such locks; there the system
itself refuses to replace a file that is open.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY_SUFFIX = ".h5burst-tmp"
_NAME_BYTES = 255  # of one name, in the file systems that matter

_ADVICE = {
    errno.ENOSPC: "the disk is full: make room or choose another place",
    errno.EDQUOT: "the disk quota is used up: make room or choose another place",
    errno.EFBIG: "the file would grow over the limit of this process or file system (ulimit -f)",
    errno.EACCES: "permission denied: check the rights of the file and its folder",
    errno.EPERM: "not permitted: check the rights of the file and its folder",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.EIO: "the disk reports an error: check it, and save elsewhere",
    errno.ENOENT: "no such file or folder",
    errno.ENOTDIR: "a part of the path is no folder",
    errno.EISDIR: "this is a folder: give the path of a file",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EAGAIN: "another process, or another handle here, has it open: close it there first",
    errno.EMFILE: "too many open files: close some (ulimit -n)",
}
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}  # file systems without the call


@contextlib.contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary path in the folder of `path`; renamed to it when the block ends well, removed otherwise.

    The block finds an empty file there and may open it anew in any way but with a lock of its own. A symbolic link is
    followed, the permissions of a replaced file are kept, missing folders are made. Raises `FileExistsError` for an
    existing file without `overwrite`, else `OSError` (the class that fits the reason) naming `path` and what to do;
    whatever was under `path` is then as it was.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"File already exists: {path}")
    with explaining(path, "save"), contextlib.ExitStack() as stack:
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = _replaceable_mode(target)
        stack.enter_context(_shared_lock(target))
        temporary = target.with_name(temporary_name(target.name))
        lock = stack.enter_context(_own_temporary(temporary))
        try:
            yield temporary
            _finish(temporary, mode)
            _let_readers_in(lock)
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        stack.close()
        _flush_folder(target.parent)


@contextlib.contextmanager
def renaming(descriptor: int, current: Path, path: Path, *, overwrite: bool) -> Iterator[None]:
    """As `replacing`, for a file that exists: the block completes `current`, open and locked as `descriptor`.

    When the block ends well the file is on disk and called `path`, in the same file system; otherwise it keeps its
    name and is the caller's to restore.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"File already exists: {path}")
    with explaining(path, "save"), contextlib.ExitStack() as stack:
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = _replaceable_mode(target)
        stack.enter_context(_shared_lock(target))
        yield
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
        _let_readers_in(descriptor if _locking() else None)
        os.replace(current, target)
        stack.close()
        _flush_folder(target.parent)


def lock_or_fail(descriptor: int, path: Path) -> None:
    """Hold an open file for this process alone, as long as it is open. `BlockingIOError` where another holds it."""
    if _locking():
        _try_lock(descriptor, fcntl.LOCK_EX, path)


def is_abandoned(path: Path) -> bool:
    """Whether a file that its process held by `lock_or_fail` has lost that process."""
    if not _locking():
        return os.name == "nt"  # Windows refuses to remove what is open
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        _try_lock(descriptor, fcntl.LOCK_EX, path)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def temporary_name(name: str) -> str:
    """The name under which a file is written that will be called `name`."""
    plain = f".{name}{TEMPORARY_SUFFIX}"
    if len(os.fsencode(plain)) <= _NAME_BYTES:
        return plain
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}{TEMPORARY_SUFFIX}"


@contextlib.contextmanager
def explaining(path: str | os.PathLike[str], verb: str) -> Iterator[None]:
    """Let an `OSError` about `path` name it and say what to do; the class stays the one that fits the reason.

    What libhdf5 meets comes as any class, depending on what it was asked for: a full disk may be a `ValueError`.
    """
    try:
        yield
    except Exception as error:
        number = error_number(error)
        foreign = isinstance(error, OSError) and error.filename is not None and not _concerns(error.filename, path)
        if number is None or foreign:
            raise
        advice = _ADVICE.get(number, os.strerror(number))
        raise OSError(number, f"Cannot {verb}: {advice}", os.fspath(path)) from error


def error_number(error: BaseException) -> int | None:
    """The system's error number behind an exception; libhdf5 tells it only in its text."""
    found = re.search(r"errno = (\d+)", str(error))
    if found and int(found[1]):
        return int(found[1])
    return error.errno if isinstance(error, OSError) else None


def _concerns(filename: object, path: str | os.PathLike[str]) -> bool:
    """Whether an error about `filename` is about saving `path`: the file, its temporary one, or a folder above."""
    target = Path(os.path.realpath(path))
    found = Path(os.path.realpath(os.fsdecode(filename)))  # type: ignore[arg-type]
    return found in (target, target.with_name(temporary_name(target.name)), *target.parents)


def _replaceable_mode(target: Path) -> int | None:
    """The permissions to keep, None where nothing is replaced. What may not be written is not replaced either."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(target))
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "not writable", str(target))
    return stat.S_IMODE(mode)


def _finish(temporary: Path, mode: int | None) -> None:
    """Bring the file to disk, with the permissions of the one it replaces."""
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    """Bring a rename to disk."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------- locks


def _locking() -> bool:
    return fcntl is not None and os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() not in ("FALSE", "0")


def _try_lock(descriptor: int, kind: int, path: Path) -> None:
    """Take an advisory lock at once or raise `BlockingIOError`; a file system without locks has none to take."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise BlockingIOError(errno.EAGAIN, "is open for writing", str(path)) from error
        if error.errno not in _UNSUPPORTED:
            raise


@contextlib.contextmanager
def _shared_lock(target: Path) -> Iterator[None]:
    """Hold off writers of the file that is going to be replaced; refuse where there is one."""
    if not _locking():
        yield
        return
    try:
        descriptor = os.open(target, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    try:
        _try_lock(descriptor, fcntl.LOCK_SH, target)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _own_temporary(temporary: Path) -> Iterator[int | None]:
    """An empty temporary file that is ours alone, and the descriptor that holds its lock (None without locks)."""
    if not _locking():
        temporary.unlink(missing_ok=True)  # Windows refuses while another save has it open
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
        yield None
        return
    descriptor = _open_locked(temporary)
    try:
        if os.fstat(descriptor).st_size:  # left by a crash
            temporary.unlink()
            os.close(descriptor)
            descriptor = _open_locked(temporary)
        yield descriptor
    finally:
        os.close(descriptor)


def _open_locked(temporary: Path) -> int:
    """Open the temporary file, new or left by a crash, under an exclusive lock."""
    while True:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _try_lock(descriptor, fcntl.LOCK_EX, temporary)
            # Between open and lock another save may have renamed this very file to its final name.
            if _is_at(descriptor, temporary):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _let_readers_in(lock: int | None) -> None:
    """Weaken the lock before the rename: who opens the finished file for reading must not find it locked."""
    if lock is not None:
        _try_lock(lock, fcntl.LOCK_SH, Path())
