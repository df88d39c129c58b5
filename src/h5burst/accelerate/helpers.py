"""Other threads for work that goes on without them: none that cannot come is waited for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from h5burst.runtime import threads

Item = TypeVar("Item")
Result = TypeVar("Result")


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
