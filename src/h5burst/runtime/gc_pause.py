"""Python's garbage collector, while thousands of objects are made that are to stay."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Pauses(threading.local):
    """How many blocks of this thread pause the collector."""

    count = 0


_lock = threading.Lock()
_own = _Pauses()
_count = 0  # of all threads
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
    _pause()
    try:
        yield
    finally:
        _resume()


def _pause() -> None:
    global _count, _was_enabled
    with _lock:
        if _count == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _count += 1
        _own.count += 1


def _resume() -> None:
    global _count
    with _lock:
        _count -= 1
        _own.count -= 1
        if _count == 0 and _was_enabled:
            gc.enable()


def _after_fork() -> None:
    """Of the threads that paused the collector, a forked child has the one that forked."""
    global _count
    paused, _count = _count, _own.count
    if paused and not _count and _was_enabled:
        gc.enable()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork)
