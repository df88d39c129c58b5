"""Other threads for work that goes on without them: none that cannot come is waited for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from h5burst.runtime import threads

Item = TypeVar("Item")
Result = TypeVar("Result")

_WORTH_A_THREAD = 256 << 10  # bytes


def helper_count(size: int) -> int:
    """Number of other threads that so many bytes are worth; none for who is one of them."""
    if threading.current_thread().name.startswith("h5burst"):
        return 0
    return max(0, min(threads.thread_count() - 1, size // _WORTH_A_THREAD))


def help_with(work: Callable[[], None], count: int) -> None:
    """Ask so many threads of the pool to call `work`. Fewer where the process ends, or may not start any."""
    try:
        for _ in range(count):
            threads.pool().submit(work)
    except RuntimeError:
        return


def ahead(function: Callable[[Item], Result], items: Iterable[Item], count: int) -> Iterator[Result]:
    """The results of `function` in the order of `items`, at most `count` of them at work in the pool.

    In the calling thread for a count of 1, and where no thread can be started.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            future = _submitted(function, item) if count > 1 else None
            if future is not None:
                waiting.append(future)
                if len(waiting) >= count:
                    yield waiting.popleft().result()
                continue
            while waiting:
                yield waiting.popleft().result()
            yield function(item)
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.give_up(waiting)


def _submitted(function: Callable[[Item], Result], item: Item) -> Future[Result] | None:
    try:
        return threads.pool().submit(function, item)
    except RuntimeError:
        return None
