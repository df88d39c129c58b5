"""Files that appear under their final name only when they are complete and on disk.

A file is written under a temporary name in the same directory, flushed to disk, renamed, and the directory flushed. The
temporary file is new, private and of a name that nobody knows before; the name says for what and by which process it
was made, so that the next save removes what a crash has left, and nothing that is still in use.

Two saves of one path both succeed, each whole: the last one to be renamed stays. A save holds a shared lock (`flock`)
on the file that it replaces, so that it fails at once where someone has that file open for writing, and nobody opens
it for writing meanwhile. Readers of the old file are not disturbed; they keep it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from h5burst._ext.descriptors import Descriptor
from h5burst.runtime import edit_locks, locks, private_files
from h5burst.runtime.attributes import FileAttributes

TEMPORARY_SUFFIX = ".h5burst-tmp"
SCRATCH_SUFFIX = ".h5burst-scratch"

_ADVICE = {
    errno.ENOSPC: "the disk is full: free space or choose another place",
    errno.EDQUOT: "the disk quota is used up: free space or choose another place",
    errno.EFBIG: "the file would grow over the limit of this process or file system (ulimit -f)",
    errno.EACCES: "permission denied: check the permissions of the file and its directory",
    errno.EPERM: "not permitted: check the permissions of the file and its directory",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.EIO: "the disk reports an error: check it, and save elsewhere",
    errno.ENOENT: "no such file or directory",
    errno.ENOTDIR: "a part of the path is not a directory",
    errno.EISDIR: "this is a directory: give the path of a file",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EAGAIN: "another process, or another handle here, has it open: close it there first",
    errno.EMFILE: "too many open files: close some (ulimit -n)",
}


class DurabilityWarning(UserWarning):
    """A file is complete and in place, but the disk has not confirmed its name: a power cut may undo the save."""


@contextlib.contextmanager
def replacing(path: Path, *, overwrite: bool, edited: bool = False) -> Iterator[Path]:
    """A temporary path in the directory of `path`; renamed to it when the block ends well, removed otherwise.

    The block finds an empty file there and may open it anew in any way but with a lock of its own. A symbolic link is
    followed. Permissions, owner (where this user may) and extended attributes of a replaced file are kept, missing
    directories are made. Raises `FileExistsError` for a file that is there, or has come meanwhile, without `overwrite`,
    else `OSError` (the class that fits the reason) naming `path` and what to do; whatever was under `path` is then as
    it was. Warns (`DurabilityWarning`) when the new file is in place but its directory could not be flushed.

    edited: the caller holds the file as those do who edit it, and the block reads the new one as others read files.
    """
    require_absent(path, overwrite)
    with annotating_oserror(path, "save"), contextlib.ExitStack() as stack:
        target, attributes = _prepared(path, stack, edited)
        private_files.remove_abandoned(target.parent, target.name, TEMPORARY_SUFFIX)
        temporary = private_files.new_path(target.parent, target.name, TEMPORARY_SUFFIX)
        process = os.getpid()
        try:
            held = private_files.create_at(temporary)
            stack.callback(held.close)
            if os.name == "nt":  # which renames nothing that is open
                held.close()
            elif edited:
                _downgrade_lock(held.fileno())
            yield temporary
            _finish(temporary, attributes)
            if os.name != "nt":
                _downgrade_lock(held.fileno())
            _put_in_place(temporary, path, target, stack, overwrite, edited)
        except BaseException:
            if os.getpid() == process:  # a forked child that leaves the block leaves its parent's file
                temporary.unlink(missing_ok=True)
            raise
        stack.close()
        _flush_directory(target)


@contextlib.contextmanager
def renaming(descriptor: int, current: Path, path: Path, *, overwrite: bool) -> Iterator[None]:
    """As `replacing`, for a file that exists: the block completes `current`, open and locked as `descriptor`.

    When the block ends well the file is on disk and called `path`, in the same file system; otherwise it keeps its
    name and is the caller's to restore.
    """
    require_absent(path, overwrite)
    with annotating_oserror(path, "save"), contextlib.ExitStack() as stack:
        target, attributes = _prepared(path, stack)
        yield
        attributes.give(descriptor)
        os.fsync(descriptor)
        _downgrade_lock(descriptor)
        _put_in_place(current, path, target, stack, overwrite)
        stack.close()
        _flush_directory(target)


def clear(directory: Path) -> None:
    """Remove what saves of any name have left in a directory whose process was killed."""
    for suffix in (TEMPORARY_SUFFIX, SCRATCH_SUFFIX):
        private_files.remove_all_abandoned(directory, suffix)


@contextlib.contextmanager
def temporary_directory(prefix: str | None = None, directory: Path | None = None) -> Iterator[Path]:
    """A directory for the block, of which nothing is left behind it, also where Ctrl-C comes while it is removed."""
    with contextlib.ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix=prefix, dir=directory)
        stack.callback(shutil.rmtree, made.name, ignore_errors=True)  # goes on where the first was interrupted
        stack.enter_context(made)
        yield Path(made.name)


class annotating_oserror:  # noqa: N801 - a block, as those of contextlib, without what a generator costs
    """Let an `OSError` about `path` name it and say what to do; the class stays the one that fits the reason.

    What libhdf5 meets comes as any class, depending on what it was asked for: a full disk may be a `ValueError`.
    """

    __slots__ = ("_path", "_verb")

    def __init__(self, path: str | os.PathLike[str], verb: str) -> None:
        self._path, self._verb = path, verb

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception):
            return
        number = error_number(error)
        foreign = (
            isinstance(error, OSError) and error.filename is not None and not _concerns(error.filename, self._path)
        )
        if number is None or foreign:
            return
        is_worded = isinstance(error, OSError) and error.strerror not in (None, os.strerror(number))
        says_all = isinstance(error, locks.SwmrWriterError)
        known_advice = None if says_all else _ADVICE.get(number)
        advice = known_advice or (str(error.strerror) if is_worded else os.strerror(number))  # type: ignore[attr-defined]
        raise OSError(number, f"Cannot {self._verb}: {advice}", os.fspath(self._path)) from error


def error_number(error: BaseException) -> int | None:
    """The system's error number behind an exception; libhdf5 and polars tell it only in their text."""
    match = re.search(r"errno = (\d+)" if os.name == "nt" else r"(?:errno = |os error )(\d+)", str(error))
    if match and int(match[1]):
        return int(match[1])
    return error.errno if isinstance(error, OSError) else None


def _concerns(filename: object, path: str | os.PathLike[str]) -> bool:
    """True for an error about `filename` from saving `path`: the file, its temporary one, or a directory above."""
    target = Path(os.path.realpath(path))
    real_path = Path(os.path.realpath(os.fsdecode(filename)))  # type: ignore[arg-type]
    if real_path in (target, *target.parents):
        return True
    return real_path.parent == target.parent and private_files.is_for(real_path.name, target.name, TEMPORARY_SUFFIX)


def require_regular(path: Path) -> None:
    """Raise `OSError` for a directory, a device, a pipe: anything there that is not a file that can be replaced."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, _ADVICE[errno.EISDIR], str(path))
    if not stat.S_ISREG(mode):
        kinds = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"))
        kind = next((name for test, name in kinds if test(mode)), "a device")
        raise OSError(errno.EINVAL, f"this is {kind}, not a regular file: give another path", str(path))


def require_absent(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise `FileExistsError` for a file that is there, unless it may be replaced."""
    if not overwrite and os.path.exists(path):
        raise _exists(path)


def _exists(path: str | os.PathLike[str]) -> FileExistsError:
    return FileExistsError(f"File already exists (overwrite=True or --overwrite replaces it): {os.fspath(path)}")


def _prepared(path: Path, stack: contextlib.ExitStack, edited: bool = False) -> tuple[Path, FileAttributes]:
    """The file behind `path`, held against writers if it exists, and the permissions and attributes to apply."""
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    require_regular(target)
    if target.exists() and not os.access(target, os.W_OK):  # what may not be written is not replaced either
        raise PermissionError(errno.EACCES, "not writable", str(target))
    _hold_off_writers(target, stack, edited)
    return target, FileAttributes.of(target)


def _hold_off_writers(target: Path, stack: contextlib.ExitStack, edited: bool) -> None:
    """Share a lock of the file that is going to be replaced; refuse where somebody writes or edits it.

    Where files are not locked it is closed again: Windows replaces nothing that is open.
    """
    try:
        held = Descriptor.open(target, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return
    locks.refuse_swmr_writer(held.fileno(), target)
    if not locks.are_used():
        held.close()
        return
    stack.callback(held.close)
    locks.share_or_fail(held.fileno(), target)
    if not edited:
        edit_locks.hold_off_editors(held.fileno(), target)


def _finish(temporary: Path, attributes: FileAttributes) -> None:
    """Bring the file to disk, with what the one that it replaces has."""
    held = Descriptor.open(temporary, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    try:
        attributes.give(held.fileno())
        os.fsync(held.fileno())
    finally:
        held.close()


def _put_in_place(
    current: Path, path: Path, target: Path, stack: contextlib.ExitStack, overwrite: bool, edited: bool = False
) -> None:
    """Give a complete file its name. What another save has put there meanwhile is replaced only with `overwrite`."""
    if overwrite:
        require_regular(target)
        _hold_off_writers(target, stack, edited)  # it may be another save's by now
        os.replace(current, target)
        return
    try:
        os.link(current, target, follow_symlinks=False)
    except FileExistsError:
        raise _exists(path) from None
    except (OSError, NotImplementedError):  # no hard links in this file system
        require_absent(path, overwrite)
        os.replace(current, target)
        return
    current.unlink()


def _flush_directory(target: Path) -> None:
    """Bring a rename to disk; the file is in place whatever comes of it."""
    if os.name == "nt":
        return
    try:
        held = Descriptor.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(held.fileno())
        finally:
            held.close()
    except OSError as error:
        if error.errno not in locks.UNSUPPORTED:
            warnings.warn(
                f"{target} is saved, but its directory could not be flushed to disk ({os.strerror(error.errno or 0)}): "
                "after a power cut the file may be what it was before; check the disk",
                DurabilityWarning,
                stacklevel=4,
            )


def _downgrade_lock(descriptor: int) -> None:
    """Weaken the lock before the rename: who opens the finished file for reading must not find it locked."""
    locks.try_shared(descriptor)
