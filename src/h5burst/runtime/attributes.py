"""Properties of a file besides its bytes: permissions, owner, extended attributes; kept when it is replaced."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import threading
from dataclasses import dataclass
from pathlib import Path

_ACCESS_ACL, _DEFAULT_ACL = "system.posix_acl_access", "system.posix_acl_default"
_NOT_OURS = {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL}  # labels that the system alone gives
_asking = threading.Lock()


@dataclass(frozen=True)
class FileAttributes:
    """Permissions, owner and extended attributes of one file; None for the owner: that of whoever makes it."""

    mode: int
    owner: tuple[int, int] | None = None
    extended: tuple[tuple[str, bytes], ...] = ()

    @classmethod
    def of(cls, target: Path) -> FileAttributes:
        """Those of the file at `target`, or those that a new file there would have."""
        try:
            status = target.stat()
        except FileNotFoundError:
            return cls(_mode_of_new(target.parent))
        return cls(stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid), _extended(target))

    def give(self, descriptor: int) -> None:
        """Give them to an open file of our own.

        The owner, the group and what the system guards are kept where this user may. Where the group cannot be kept
        its rights are not handed to another group: they become those of everybody.
        """
        if os.name == "nt":
            return
        mode, extended = self.mode, self.extended
        if self.owner is not None and not _chown(descriptor, *self.owner):
            mode = mode & ~(stat.S_IRWXG | stat.S_ISGID | stat.S_ISUID) | (mode & stat.S_IRWXO) << 3
            extended = tuple((name, value) for name, value in extended if name != _ACCESS_ACL)
        os.fchmod(descriptor, mode)
        for name, value in extended:
            try:
                os.setxattr(descriptor, name, value)
            except OSError as error:
                if name.startswith("user.") or error.errno not in _NOT_OURS:
                    raise


def _chown(descriptor: int, user: int, group: int) -> bool:
    """Keep owner and group as far as possible; whether the group is kept."""
    status = os.fstat(descriptor)
    if status.st_uid != user:
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, user, group)
            return True
    if status.st_gid == group:
        return True
    try:
        os.fchown(descriptor, -1, group)
    except PermissionError:
        return False
    return True


def _extended(path: Path) -> tuple[tuple[str, bytes], ...]:
    if not hasattr(os, "listxattr"):
        return ()
    attributes = []
    try:
        for name in os.listxattr(path):
            attributes.append((name, os.getxattr(path, name)))
    except OSError as error:
        if error.errno not in _NOT_OURS | {errno.ENODATA}:
            raise
    return tuple(attributes)


def _mode_of_new(directory: Path) -> int:
    """The permissions that `open(path, "w")` would give a file there.

    From the directory's default ACL, else the umask.
    """
    try:
        entries = os.getxattr(directory, _DEFAULT_ACL)[4:]
    except (OSError, AttributeError):
        return 0o666 & ~_umask()
    # Entries of tag, permissions, ID (acl(5), linux/posix_acl_xattr.h). A mask stands for the group class.
    rights = {tag: bits for tag, bits, _ in struct.iter_unpack("<HHI", entries)}
    user: int
    group: int
    others: int
    user, group, others = rights.get(0x01, 6), rights.get(0x10, rights.get(0x04, 0)), rights.get(0x20, 0)
    return 0o666 & (user << 6 | group << 3 | others)


def _umask() -> int:
    """This process's umask, which only setting it tells where there is no /proc."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    with _asking:
        current = os.umask(0o077)
        os.umask(current)
        return current
