"""Progress bars where somebody watches a terminal, nothing anywhere else."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

_drawn: list[Progress] = []  # the bars that are on the terminal: one within another shares its place


def watched() -> bool:
    """True where progress goes to a terminal, and this is who draws there: the main thread of no worker."""
    if multiprocessing.parent_process() is not None or threading.current_thread() is not threading.main_thread():
        return False
    return sys.stderr is not None and sys.stderr.isatty() and not _is_quiet()


def _is_quiet() -> bool:
    from h5burst.console import output

    return output.quiet


@contextmanager
def reporting(description: str) -> Iterator[Callable[[int, int], None] | None]:
    """A function to tell (done, to do), drawn as a bar on a terminal's stderr; None where nobody watches.

    Until it is told for the first time, the bar moves to and fro. One within another is drawn below it.
    """
    if not watched():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    if _drawn:
        task = _drawn[0].add_task(description, total=None)
        try:
            yield lambda done, total: _drawn[0].update(task, completed=done, total=total)
        finally:
            _drawn[0].remove_task(task)
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        _drawn.append(bar)
        try:
            task = bar.add_task(description, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        finally:
            _drawn.clear()
