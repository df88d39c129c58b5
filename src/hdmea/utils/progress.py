"""A progress bar where somebody watches a terminal, nothing anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def watched() -> bool:
    """Whether progress goes to a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


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
