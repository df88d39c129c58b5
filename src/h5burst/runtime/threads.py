"""One small pool of threads for everything that releases the GIL."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from h5burst.runtime import cgroups

Item = TypeVar("Item")
Result = TypeVar("Result")

_WORTH_A_THREAD = 256 << 10  # bytes
_MOST = 4096  # threads; more is a slip of the pen, and cannot be started
_lock = threading.Lock()
_pools: dict[tuple[int, int], _Pool] = {}
_inside = threading.local()


def thread_count(threads: int | None = None) -> int:
    """Number of threads that work may use.

    Parameters
    ----------
    threads : int, optional
        The requested number, at least 1.

    Returns
    -------
    int
        The requested; else that of `thread_limit`; else `H5BURST_NUM_THREADS`, else `SLURM_CPUS_PER_TASK` capped by the
        CPUs that this process may use, else those: the least of its affinity and the quotas of its control groups.

    Raises
    ------
    ValueError
        For less than 1, and for more than 4096.

    Examples
    --------
    >>> from h5burst import thread_count
    >>> thread_count(3)
    3
    """
    if threads is not None:
        if not 1 <= threads <= _MOST:
            raise ValueError(
                f"threads must be at least 1{'' if threads < 1 else f' and at most {_MOST}'}, got {threads}"
            )
        return threads
    limit = getattr(_inside, "limit", None) or _positive_int("H5BURST_NUM_THREADS")
    if limit is not None:
        return int(limit)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cpus = min(cpus, _quota() or cpus)
    slurm = _positive_int("SLURM_CPUS_PER_TASK")
    return min(cpus, slurm) if slurm is not None else cpus


@functools.cache
def _quota() -> int | None:
    """Whole CPUs that the control groups of this process give time for, as they were at the first look."""
    limits = cgroups.cpu_limits()
    return max(1, math.ceil(min(limits))) if limits else None


@contextlib.contextmanager
def thread_limit(threads: int | None) -> Iterator[None]:
    """For the block, and for what this thread does in it, that many threads are the default; None changes nothing.

    Where several threads of a process each have work of their own, a variable of the environment would be theirs all.

    Parameters
    ----------
    threads : int, optional
        As of `thread_count`.

    Yields
    ------
    None

    Raises
    ------
    ValueError
        As of `thread_count`.

    Examples
    --------
    >>> from h5burst import thread_count, thread_limit
    >>> with thread_limit(2):
    ...     print(thread_count())
    2
    """
    before = getattr(_inside, "limit", None)
    _inside.limit = before if threads is None else thread_count(threads)
    try:
        yield
    finally:
        _inside.limit = before


def _positive_int(variable: str) -> int | None:
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    if not text.isdigit() or not text.strip("0"):
        raise ValueError(f"{variable} must be a whole number of at least 1, got {text!r}")
    if len(text) > 9 or int(text) > _MOST:
        raise ValueError(f"{variable} must be at most {_MOST}, got {text[:20]}")
    return int(text)


class _Pool(ThreadPoolExecutor):
    """A pool that another one replaces when Ctrl-C comes while it starts a thread.

    Such a thread runs, but the pool does not know it: it would wait for work, and Python's end for it, for ever.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(threads, thread_name_prefix="h5burst", initializer=_mark_inside)
        self._threads_at_most, self.is_replaced = threads, False

    def submit(self, function: Callable[..., Result], /, *arguments: Any, **options: Any) -> Future[Result]:
        try:
            return super().submit(function, *arguments, **options)
        except RuntimeError:
            if not self.is_replaced:
                raise
            return pool(self._threads_at_most).submit(function, *arguments, **options)
        except BaseException as error:
            if not isinstance(error, Exception):
                self.is_replaced = True
                self.shutdown(wait=False)  # ends all its threads, when they have done what they were given
            raise


def pool(threads: int | None = None) -> ThreadPoolExecutor:
    """The shared executor of that many threads; made anew in a forked child."""
    key = (os.getpid(), thread_count(threads))
    with _lock:
        if key not in _pools or _pools[key].is_replaced:
            _pools[key] = _Pool(key[1])
        return _pools[key]


@contextlib.contextmanager
def _naming_what_threads_lack() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        problem = "no thread can be started: too little memory, or too many threads (ulimit -v, ulimit -u)"
        raise MemoryError(f"{problem}; with H5BURST_NUM_THREADS=1 none is started") from error


def _mark_inside() -> None:
    _inside.value = True


def parallel_map(function: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None) -> list[Result]:
    """`[function(item) for item in items]`, spread over the pool of threads.

    Parameters
    ----------
    function : callable
        Called in several threads at once; what takes long should release Python's lock.
    items : iterable
        Its arguments.
    threads : int, optional
        As of `thread_count`.

    Returns
    -------
    list
        Results in the order of the items. In the calling thread when there is nothing to spread, or when the caller is
        itself a worker: a pool that waits for itself would hang.

    Raises
    ------
    Exception
        The first error of `function`.

    Examples
    --------
    >>> from h5burst import parallel_map
    >>> parallel_map(abs, [-1, 2, -3])
    [1, 2, 3]
    """
    work: Sequence[Item] = list(items)
    count = min(thread_count(threads), len(work))
    if count <= 1 or getattr(_inside, "value", False):
        return [function(item) for item in work]
    with _naming_what_threads_lack():
        return list(pool(threads).map(function, work))


def bounded_map(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None
) -> Iterator[Result]:
    """The results of `function` in the order of `items`, computed in the pool a few ahead of the caller.

    Items are drawn by the calling thread, at most one more than there are threads beyond the result it holds, so that
    what is in flight stays bounded however many there are.
    """
    count, items = thread_count(threads), iter(items)
    first = list(itertools.islice(items, 2))
    if count <= 1 or getattr(_inside, "value", False) or len(first) < 2:  # one alone is not worth a change of threads
        yield from map(function, itertools.chain(first, items))
        return
    items = itertools.chain(first, items)
    executor = pool(threads)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            with _naming_what_threads_lack():
                waiting.append(executor.submit(function, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        give_up(waiting)


def give_up(waiting: Collection[Future[Any]]) -> None:
    """Cancel what has not begun, and wait for the rest."""
    for future in waiting:
        future.cancel()
    wait(waiting)


def helper_count(size: int, threads: int | None = None) -> int:
    """Number of other threads that so many bytes are worth; none for who is one of them. threads: all, at most."""
    if getattr(_inside, "value", False):
        return 0
    return max(0, min(thread_count(threads) - 1, size // _WORTH_A_THREAD))


def help_with(work: Callable[[], None], count: int) -> None:
    """Ask so many threads of the pool to call `work`. Fewer where the process ends, or may not start any."""
    try:
        for _ in range(count):
            pool().submit(work)
    except RuntimeError:
        return


def split_evenly(length: int, parts: int) -> list[tuple[int, int]]:
    """Half-open ranges that cover [0, length).

    Parameters
    ----------
    length : int
        Of the whole.
    parts : int
        At most so many ranges.

    Returns
    -------
    list of (int, int)
        None of them empty.

    Examples
    --------
    >>> from h5burst import split_evenly
    >>> split_evenly(10, 3)
    [(0, 3), (3, 6), (6, 10)]
    """
    parts = max(1, min(parts, length))
    edges = [length * part // parts for part in range(parts + 1)]
    return [(edges[i], edges[i + 1]) for i in range(parts) if edges[i] < edges[i + 1]]


def _after_fork_in_child() -> None:
    """A lock held, and threads alive, at the moment of a fork are neither in the child."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()
    _inside.value = False
    _quota.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
