"""Python's garbage collector, while thousands of objects are made that are to stay."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.RLock()  # a pause may end while this thread begins another: when it is collected
_pausing: dict[int, int] = {}  # pauses by their identity: the thread of each
_was_enabled = False  # before the first of them


@contextmanager
def collection_paused() -> Iterator[None]:
    """Hold back the garbage collector while many objects are made, in a `with` block or as a decorator.

    Yields
    ------
    None
        Collections go on at the end, if they were on before.

    Examples
    --------
    >>> from h5burst import collection_paused
    >>> with collection_paused():
    ...     many = [{} for _ in range(1000)]
    """
    pause = _Pause()
    try:
        pause.begin()
        yield
    finally:
        pause.end()


class _Pause:
    """One block. An interruption at any moment ends it: at the latest with this object."""

    def begin(self) -> None:
        global _was_enabled
        with _lock:
            if not _pausing:
                _was_enabled = gc.isenabled()
            _pausing[id(self)] = threading.get_ident()
            gc.disable()

    def end(self) -> None:
        """May be called again, for instance where the first call was interrupted."""
        global _was_enabled
        with _lock:
            _pausing.pop(id(self), None)
            if not _pausing and _was_enabled:
                gc.enable()
                _was_enabled = False

    def __del__(self) -> None:
        if id(self) in _pausing or (not _pausing and _was_enabled):
            self.end()


def _after_fork() -> None:
    """Of the threads that paused the collector, a forked child has the one that forked."""
    this_thread = threading.get_ident()
    others = [pause for pause, thread in _pausing.items() if thread != this_thread]
    for pause in others:
        del _pausing[pause]
    if others and not _pausing and _was_enabled:
        gc.enable()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork)
