"""How often this process opens files, by the file's name."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_watching: list[Counter[str]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        _watching[-1][os.path.basename(os.fspath(arguments[0]))] += 1


sys.addaudithook(_note)  # there is no way to remove it


@contextmanager
def counting_opens() -> Iterator[Counter[str]]:
    """The counter of the files that the block opens; libhdf5's own openings are not seen."""
    counter: Counter[str] = Counter()
    _watching.append(counter)
    try:
        yield counter
    finally:
        _watching.pop()
