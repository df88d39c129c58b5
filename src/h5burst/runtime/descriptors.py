"""Descriptors that are closed with what holds them: an interruption at any moment leaves none open."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Any


class Descriptor:
    """An open file by its number. Closed by `close`, or when nobody holds this object any more.

    An interruption (Ctrl-C) comes between two steps of the interpreter. Between the call that opens a file and the
    assignment of what it gave, the number would be lost and the file open for good, its locks held. So the number goes
    from the system into this object, and back to be closed, within one step.
    """

    __slots__ = ("_numbers",)

    def __init__(self, make: Callable[..., int], *arguments: Any) -> None:
        """make: `os.open`, `os.dup` or the like, a function that is not written in Python."""
        self._numbers: list[int] = []
        self._numbers.extend(map(make, *((argument,) for argument in arguments)))

    @classmethod
    def open(cls, path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> Descriptor:
        return cls(os.open, path, flags, mode)

    def fileno(self) -> int:
        """The number. ValueError when it is closed."""
        if not self._numbers:
            raise ValueError("the file is closed")
        return self._numbers[0]

    def detach(self) -> int:
        """The number, which is the caller's to close from here on."""
        return self._numbers.pop()

    def close(self) -> None:
        if self._numbers:
            _exhaust(map(os.close, map(self._numbers.pop, (0,))))

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # the second: it was never made
            self.close()


_exhaust: Callable[[Iterable[object]], object] = list
