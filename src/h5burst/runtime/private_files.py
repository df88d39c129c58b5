"""Files of our own beside a user's: names with the owner's PID and a random part, and rights for their owner alone."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import time
from pathlib import Path

from h5burst._ext.descriptors import Descriptor
from h5burst.runtime import locks
from h5burst.runtime.processes import Process

_NAME_BYTES = 255  # of one name, in the file systems that matter
_QUIET_S = 24 * 3600.0  # a file of another machine's process is let alone for so long after its last change
_OWNER = r"(?P<owner>[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]+-[0-9a-f]+)-[0-9a-f]{16}"


def new_path(directory: Path, name: str, suffix: str) -> Path:
    """A path for a file of our own beside what is or will be called `name`; nobody can know it before.

    Others know by the name (`is_for`) and by the process in it (`is_abandoned`) whose it is and whether it is in use.
    """
    return directory / f".{_stem(name, suffix)}.{Process.current()}-{secrets.token_hex(8)}{suffix}"


def create_at(path: Path) -> Descriptor:
    """A new, empty file, open and locked. Nobody but the user may read it, and no link is followed."""
    held = Descriptor.open(path, locks.PRIVATE, 0o600)
    locks.try_exclusive(held.fileno())
    return held


def create(directory: Path, name: str, suffix: str) -> tuple[Path, int]:
    """`create_at` of a `new_path`, and its descriptor, which the caller closes."""
    path = new_path(directory, name, suffix)
    try:
        return path, create_at(path).detach()
    except FileExistsError:
        raise
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def is_for(candidate: str, name: str, suffix: str) -> bool:
    """True where a file of this name was made by `create_at`, of this version or an earlier one, for `name`."""
    return _names_for(name, suffix).fullmatch(candidate) is not None


def _names_for(name: str, suffix: str) -> re.Pattern[str]:
    return re.compile(rf"\.{re.escape(_stem(name, suffix))}(\.{_OWNER}|\.[0-9a-f]{{32}}|){re.escape(suffix)}")


def remove_abandoned(directory: Path, name: str, suffix: str) -> list[Path]:
    """Remove the files made for `name` whose process is gone; the paths that were removed."""
    return _remove_matching(directory, _names_for(name, suffix), suffix)


def remove_all_abandoned(directory: Path, suffix: str) -> list[Path]:
    """Remove the files made for any name whose process is known to have ended; the paths that were removed.

    What has no such process in its name is let alone: `remove_abandoned` knows for what it was made.
    """
    return _remove_matching(directory, re.compile(rf"\..+\.{_OWNER}{re.escape(suffix)}", re.DOTALL), suffix)


def _remove_matching(directory: Path, names: re.Pattern[str], suffix: str) -> list[Path]:
    matching = [directory / entry.name for entry in os.scandir(directory) if names.fullmatch(entry.name)]
    return [path for path in matching if is_abandoned(path, suffix) and _removed(path)]


def _removed(path: Path) -> bool:
    """Remove a file, unless it is another user's, in a directory where only its owner may."""
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        return False
    return True


def is_abandoned(path: Path, suffix: str) -> bool:
    """True where the process that made a file is known to have ended.

    Of this machine's processes that is known; of another machine's, and where the name tells no process (earlier
    versions), the file system's lock decides, if it is one that refuses.
    """
    try:
        status = path.lstat()
    except OSError:
        return False
    if not stat.S_ISREG(status.st_mode):
        return False
    match = re.search(rf"\.{_OWNER}{re.escape(suffix)}$", path.name)
    process = Process.parse(match["owner"]) if match else None
    gone = process.is_gone() if process else None
    if gone is not None:
        return gone
    if os.name == "nt":
        return True  # Windows refuses to remove what is open
    quiet = process is None or time.time() - status.st_mtime > _QUIET_S
    return quiet and locks.is_unheld(path)


def _stem(name: str, suffix: str) -> str:
    """A name, or its hash where the whole would be too long for a file system."""
    longest = len(f".{Process('0' * 8, '0' * 8, 1 << 32, 1 << 63)}-{'0' * 16}") + len(suffix) + 1
    if len(os.fsencode(name)) + longest <= _NAME_BYTES:
        return name
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
