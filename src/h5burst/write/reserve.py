"""Zeros behind a file that is edited, so that whoever opens it during a commit finds it long enough.

libhdf5 asks for the length of the file, then reads the superblock; a commit between the two would make the file seem
shorter than its superblock says ("truncated file"). So the file is always longer than what is written to it next. The
zeros are a hole: they take no space on the disk, and are part of no figure of size.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from h5burst._ext.descriptors import Descriptor

MIN_RESERVE, MAX_RESERVE = 1 << 16, 1 << 20  # bytes
_COMMITS = 128  # of the size of this one, which a reader may sleep through between its two looks
_STEP = 2  # lengthened to so many times what is needed: most commits then leave the length alone
_BLOCK = 512  # bytes: the unit of `st_blocks`


class Reserve:
    """The length of an open file while bytes are appended to it.

    start: where the first of them goes. has_reserve: zeros follow it already, not what an interrupted edit has left.
    size: the length now. is_used: not on Windows, nor in file systems where a hole takes space.
    """

    def __init__(self, descriptor: int, start: int, has_reserve: bool, size: int) -> None:
        self._descriptor, self._start, self._has_reserve = descriptor, start, has_reserve
        self.original = self._length = size
        self.is_used = os.name != "nt"

    def needed(self, end: int) -> int:
        """Number of bytes that shall follow `end`, the end of what is written."""
        return min(MAX_RESERVE, max(MIN_RESERVE, _COMMITS * (end - self._start))) if self.is_used else 0

    def before(self, end: int) -> None:
        """Make the file long enough; called before bytes up to `end` are written."""
        if self.is_used and self._length < end + self.needed(end):
            self._lengthen(end + min(MAX_RESERVE, _STEP * self.needed(end)))

    def _lengthen(self, length: int) -> None:
        before = os.fstat(self._descriptor)
        try:
            os.ftruncate(self._descriptor, length)
        except OSError:  # a limit of the process or the file system: what is written will meet it, or not
            self.is_used = False
            return
        allocated = (os.fstat(self._descriptor).st_blocks - before.st_blocks) * _BLOCK
        self._length = length
        if before.st_size < length and 2 * allocated > length - before.st_size:  # no holes here
            self.is_used = False
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, before.st_size)
                self._length = before.st_size

    def cut(self, end: int, size: int) -> bool:
        """Shorten the file, of this size, where more than a reserve follows `end`; whether that was so."""
        max_reserve = MAX_RESERVE if self.is_used else 0
        is_clean = self._has_reserve or self.original <= self._start
        if size <= end + (max_reserve if is_clean else 0):
            return False
        if not is_clean:
            os.ftruncate(self._descriptor, end)
        os.ftruncate(self._descriptor, end + self.needed(end))
        return True


def leave_reserve(path: Path) -> None:
    """Let zeros follow a file that is written anew, for its first edit."""
    with contextlib.closing(Descriptor.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))) as held:
        end = os.fstat(held.fileno()).st_size
        Reserve(held.fileno(), end, True, end).before(end)
