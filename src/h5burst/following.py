"""Commits of others as they come: a file is looked at again and again, and what is new is told."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from h5burst.changed import changes_between
from h5burst.read.history import Commit, History, commit_of, opened

_SHORTEST_S, _LONGEST_S, _GROWTH = 0.002, 0.1, 1.25  # between two looks
_COMMIT_S = 1.0  # for so long a first look that is not trusted may have fallen into a commit


@dataclass(frozen=True)
class Followed:
    """A commit that has come.

    Attributes
    ----------
    commit : Commit
        The commit.
    paths : tuple of str, optional
        Of the objects that it added, removed or changed; None where that cannot be told, because the file was replaced,
        compacted, or changed by another program.

    Examples
    --------
    >>> import h5burst
    >>> h5burst.save("followed.h5", {"a": 1}, overwrite=True)
    >>> with h5burst.edit("followed.h5", "reviewed") as tx:
    ...     tx.set_attributes("a", {"ok": True})
    >>> [item.paths for item in h5burst.follow("followed.h5", since=0, timeout=0)]
    [('/a',)]
    """

    commit: Commit
    paths: tuple[str, ...] | None

    def __str__(self) -> str:
        """The commit and its paths on one line."""
        paths_text = "anything may have changed" if self.paths is None else ", ".join(self.paths) or "nothing"
        return f"{self.commit}: {paths_text}"


def follow(path: str | os.PathLike[str], since: int | None = None, timeout: float | None = None) -> Iterator[Followed]:
    """Each new commit of a file, as soon as it is there. One that is slow to ask gets every commit all the same.

    Each look opens the path anew, every 2 to 100 ms. On a network file system a commit is seen when the client's cache
    has expired. A file that is not there yet is waited for.

    Parameters
    ----------
    path
        Of an HDF5 file.
    since
        The number of a commit: those after it come first. None: from now on.
    timeout
        Seconds without a commit after which it ends; None: never.

    Yields
    ------
    Followed
        A commit and the paths that it changed.

    Raises
    ------
    CorruptFileError
        For what is not a whole HDF5 file, and for a damaged record.
    OSError
        For a file that cannot be read.

    Examples
    --------
    >>> import h5burst
    >>> h5burst.save("followed.h5", {"a": 1}, overwrite=True)
    >>> with h5burst.edit("followed.h5", "reviewed") as tx:
    ...     tx.set_attributes((), {"ok": True})
    >>> for item in h5burst.follow("followed.h5", since=0, timeout=0.01):
    ...     print(item.commit.message, item.paths)
    reviewed ('/',)
    """
    return (item for item in looks(path, since, timeout) if item is not None)


def looks(path: str | os.PathLike[str], since: int | None, timeout: float | None) -> Iterator[Followed | None]:
    """As `follow`, and None behind each look that found nothing."""
    watch = _Watch(os.path.abspath(path), since)
    pause, last = _SHORTEST_S, time.monotonic()
    while True:
        is_there = False
        for item in watch.look():
            is_there = True
            yield item
        if is_there:
            pause, last = _SHORTEST_S, time.monotonic()
            continue
        if timeout is not None and time.monotonic() - last >= timeout:
            return
        yield None
        time.sleep(pause)
        pause = min(_LONGEST_S, pause * _GROWTH)


@dataclass(frozen=True)
class _Seen:
    """Marks of one state of a file among all others: the file, its superblock and length, its newest commit."""

    inode: tuple[int, int]
    size: int
    base: int
    head: bytes
    commit: Commit


class _Watch:
    def __init__(self, path: str, since: int | None) -> None:
        self._path, self._since = path, since
        self._seen: _Seen | None = None
        self._began = time.monotonic()

    def look(self) -> Iterator[Followed]:
        """Yield what has come since the last look."""
        if self._is_as_seen():
            return
        # Once a state was seen, what comes is held against it; the time of change is another while a commit is made.
        try:
            with opened(self._path, trust=self._seen is not None) as log:
                if log.file.locked_for_writing:
                    return  # another program is writing it: what it leaves is seen later
                history = log.history
                status = os.fstat(log.file.descriptor)
                newest = next(iter(history.commits()), None)
                if newest is None:
                    return  # a file without states: see `log`
                before, start = self._seen, history.start
                if before is None and history.is_untrusted and time.monotonic() - self._began < _COMMIT_S:
                    if self._since is None:
                        self._since = History(log.file.descriptor, self._path, trust=True).number
                    return  # a commit may be under way: looked at again
                self._seen = _Seen(_inode(status), status.st_size, start.base, start.data[:48], newest)
                items = list(self._new(before, history))
        except FileNotFoundError:
            return
        for number, commit in items:
            yield self._told(number, commit)

    def _new(self, before: _Seen | None, history: History) -> Iterator[tuple[int | None, Commit]]:
        """The commits that are new, and the number before each; None where what it changed cannot be told."""
        assert self._seen is not None
        newest = self._seen.commit
        if before is None:
            first = newest.number if self._since is None else self._since
        elif self._goes_on(before, history):
            first = before.commit.number
        else:
            yield None, newest
            return
        for number in range(first + 1, newest.number + 1):
            record = history.record(number)
            if record is not None:
                yield number - 1, commit_of(record)

    def _goes_on(self, before: _Seen, history: History) -> bool:
        """True where what was seen is an earlier state of the file."""
        assert self._seen is not None
        try:
            state = history.state(before.commit.number)
        except LookupError:
            return False
        return before.inode == self._seen.inode and state.head == before.head

    def _told(self, number: int | None, commit: Commit) -> Followed:
        try:
            # Its time of change is another while the next commit is made: `look` has seen that the history is sound.
            changes = None if number is None else changes_between(self._path, number, commit, trust=True)
            paths = None if changes is None else tuple(change.path for change in changes)
        except LookupError:  # it was compacted or changed meanwhile
            paths = None
        return Followed(commit, paths)

    def _is_as_seen(self) -> bool:
        """True where the file is the one that was seen last: one look at its status and 48 bytes."""
        if self._seen is None:
            return False
        try:
            descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError:
            return True
        try:
            status = os.fstat(descriptor)
            if _inode(status) != self._seen.inode or status.st_size != self._seen.size:
                return False
            os.lseek(descriptor, self._seen.base, os.SEEK_SET)
            return os.read(descriptor, len(self._seen.head)) == self._seen.head
        finally:
            os.close(descriptor)


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
