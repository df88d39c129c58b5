"""A lock that a fork leaves behind: another thread of the parent may hold it for ever in the child."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager


class ProcessLock:
    """A reentrant lock of one process; in a forked child it is a new one."""

    __slots__ = ("_lock", "_process")

    def __init__(self) -> None:
        self._lock, self._process = threading.RLock(), os.getpid()

    def of_this_process(self) -> AbstractContextManager[bool]:
        """The lock itself, to be held in a `with` block.

        An `__enter__` of Python's could be interrupted when it has acquired the lock and not yet returned.
        """
        if self._process != os.getpid():
            self._lock, self._process = threading.RLock(), os.getpid()
        return self._lock
