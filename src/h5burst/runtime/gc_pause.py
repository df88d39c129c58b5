"""Python's garbage collector, while thousands of objects are made that are to stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """No garbage collection within the block, or the function that this decorates.

    The collector looks at all objects again whenever their number has grown by a quarter: while a tree of thousands of
    arrays is made it takes a third of the time and finds nothing. Objects that nothing refers to go as always.
    """
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()
