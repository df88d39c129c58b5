"""A progress bar where somebody watches a terminal, nothing anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


def watched() -> bool:
    """Whether progress goes to a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def progress(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """The items one by one, with a bar on a terminal's stderr that vanishes at the end."""
    if not watched():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description, total=total, console=Console(stderr=True), transient=True)


@contextmanager
def reporting(description: str) -> Iterator[Callable[[int, int], None] | None]:
    """A function to tell (done, to do), drawn as a bar on a terminal's stderr; None where nobody watches."""
    if not watched():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description)
        yield lambda done, total: bar.update(task, completed=done, total=total)
