"""One job a recording: a lock file that says who holds it, and that a dead holder does not keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from h5burst import locks


class RecordingLockedError(Exception):
    """Another job works on the recording."""


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold the lock file at `path` for the block; `RecordingLockedError` where somebody holds it who may be alive.

    A holder of this machine is known to run or not, whatever the file system makes of locks. One of another machine
    counts as dead where the file system refuses locks to others and gives this one, else as alive.
    """
    held = locks.holding(path)
    try:
        held.__enter__()
    except locks.FileHeldError as error:
        raise RecordingLockedError(f"{error.strerror} ({path})") from error
    try:
        yield
    finally:
        held.__exit__(None, None, None)
