"""One job a recording: a lock file that says who holds it, and that a dead holder does not keep."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class RecordingLockedError(Exception):
    """Another job works on the recording."""


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold the lock file at `path` for the block; `RecordingLockedError` where somebody alive holds it.

    The operating system drops the lock with its holder; on a file system without locks, a holder of this host whose
    process is gone counts as dead, and one of another host as alive.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _acquire(path)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _me().encode(), 0) if hasattr(os, "pwrite") else os.write(descriptor, _me().encode())
        yield
    finally:
        path.unlink(missing_ok=True) if os.name != "nt" else None
        os.close(descriptor)
        path.unlink(missing_ok=True) if os.name == "nt" else None


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        holder = _holder(path)
        if not _lock(descriptor, holder):
            os.close(descriptor)
            raise RecordingLockedError(f"locked by {_describe(holder)} ({path})")
        # The holder before us may have removed the file between our open and our lock.
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        os.close(descriptor)


def _lock(descriptor: int, holder: dict[str, object] | None) -> bool:
    if fcntl is None:
        return holder is None or not _alive(holder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks on this file system
        return holder is None or not _alive(holder)
    return True


def _me() -> str:
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid()})


def _holder(path: Path) -> dict[str, object] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _describe(holder: dict[str, object] | None) -> str:
    return "another job" if holder is None else f"process {holder.get('pid')} on {holder.get('host')}"


def _alive(holder: dict[str, object]) -> bool:
    pid = holder.get("pid")
    if holder.get("host") != socket.gethostname() or not isinstance(pid, int):
        return True
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
