"""The earlier states of an edited file: which there are, and how each is found."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, TypeAlias

from h5burst._ext.h5parse import Source
from h5burst.format import history, references, superblock
from h5burst.format.history import Record, Trailer
from h5burst.model.errors import (
    CorruptFileError,
    CorruptStructureError,
    UnsupportedFeatureError,
    naming_file,
)
from h5burst.read.open_file import OpenFile, Stamp
from h5burst.runtime import durable, edit_locks

At: TypeAlias = "int | datetime | str | Commit"

_BLOCK_BYTES, _BLOCKS = 1 << 12, 16
_LOOKED_AT = 4 << 20, 64 << 20  # bytes before the end in which a record is looked for: with a mark there, without
_NS = 1_000_000_000
_DROPPED = "compacted: only this entry is kept, not the state"
_UNTRUSTED = "copied without its times, or written by a program that was killed"
TRUST_ADVICE = "log(path, trust=True) and `h5burst log --trust` show its earlier states"


@dataclass(frozen=True)
class Commit:
    """One state of a file, and the commit that made it.

    Attributes
    ----------
    number : int
        0 for the file as it was saved. Where another program ended a history, numbers go on: none names two states.
    time : datetime.datetime
        When it was made, with its zone (UTC).
    message : str, optional
        What the edit was given; None without one, and for the first state.
    program, version : str
        What made it; empty for the first state.
    bytes_added : int
        That the file became longer; the length of the file for the first state.
    way : str
        "append"; empty for the first state.
    restored_from : int, optional
        The state that was restored; None for any other commit.
    note : str, optional
        What else there is to know: that the state itself was dropped by compacting, or what ended an earlier history.

    Examples
    --------
    >>> import h5burst
    >>> h5burst.save("logged.h5", {"a": 1}, overwrite=True)
    >>> with h5burst.edit("logged.h5", "looked at again") as tx:
    ...     tx.set_attributes((), {"reviewed": True})
    >>> [(commit.number, commit.message) for commit in h5burst.log("logged.h5")]
    [(1, 'looked at again'), (0, None)]
    """

    number: int
    time: datetime
    message: str | None
    program: str
    version: str
    bytes_added: int
    way: str
    restored_from: int | None = None
    note: str | None = None

    def __str__(self) -> str:
        """The commit on one line, without what a terminal would take for a command."""
        parts = [f"{self.number}", f"{self.time:%Y-%m-%d %H:%M:%S}"]
        if self.message:
            parts.append(printable(self.message))
        if self.restored_from is not None:
            parts.append(f"(state {self.restored_from} again)")
        if self.note:
            parts.append(f"[{printable(self.note)}]")
        return "  ".join(parts)


def printable(text: str) -> str:
    """Text of a stranger on one line: what cannot be printed as its escape."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode() for one in text)


class HistoryState(NamedTuple):
    """One state of a file: its number, and what its superblock says (see `superblock.Whole`).

    head: the bytes at the base that open it.
    """

    number: int
    root: int
    end: int
    base: int
    head: bytes


class History:
    """The states of an open file; used while it stays open.

    reason: why there are no states but the one now. mark_ns: see `references.marked_ns`.
    is_untrusted: there are records, but the time of change is not that of the last one.
    """

    def __init__(
        self,
        descriptor: int,
        path: str,
        *,
        trust: bool = False,
        start: superblock.Whole | None = None,
        size: int | None = None,
    ) -> None:
        """start: its superblock, where the caller has read it and the file cannot change. size: its length just now."""
        self.path, self._descriptor = path, descriptor
        self._last: tuple[int, int] | None = None  # number and address of the newest record
        self.trailer: Trailer | None = None
        self.reason = ""
        self.is_untrusted, self._damage = False, ""
        with naming_file(path):
            self.start = self._superblock(size) if start is None else start
        status = os.fstat(descriptor)  # only now: an edit makes the file longer, then writes the superblock
        self._written_ns, self.size = status.st_mtime_ns, status.st_size
        self._source = Source(descriptor, status.st_size, self.start.base, _BLOCK_BYTES, _BLOCKS)
        self._look(trust)

    @classmethod
    def after_commit(
        cls,
        descriptor: int,
        path: str,
        start: superblock.Whole,
        stamp: Stamp,
        mark_ns: int,
        trailer: Trailer,
        newest: Record | None,
    ) -> History:
        """Give that of a file unchanged since a commit whose traces are known, so that none is read."""
        instance = cls.__new__(cls)
        instance.path, instance._descriptor, instance.start = path, descriptor, start
        instance.mark_ns, instance.trailer = mark_ns, trailer
        instance.reason, instance.is_untrusted, instance._damage = "", False, ""
        instance._written_ns, instance.size = stamp.written_ns, stamp.size
        instance._source = Source(descriptor, instance.size, start.base, _BLOCK_BYTES, _BLOCKS)
        instance._last = None if newest is None else (newest.number, newest.address)
        instance.newest = newest
        return instance

    def _superblock(self, size: int | None) -> superblock.Whole:
        """Read again where the file became longer between two looks: an edit was made in between."""
        size = os.fstat(self._descriptor).st_size if size is None else size
        try:
            return superblock.read_whole(self._descriptor, size)
        except CorruptStructureError:
            longer = os.fstat(self._descriptor).st_size
            if longer == size:
                raise
            return superblock.read_whole(self._descriptor, longer)

    @property
    def is_marked(self) -> bool:
        """True where the last writer has stated that the file holds no references, and nobody has written since."""
        return self.mark_ns is not None and self._has_time(self.mark_ns)

    def _has_time(self, mark_ns: int) -> bool:
        """True where nobody has written the file since this mark's time, as far as its superblock does not tell."""
        return self.start.version == 3 or references.is_kept_as(mark_ns, self._written_ns)

    @property
    def has_no_states(self) -> bool:
        """True where not even the state now counts as one: the file was edited in a way that leaves none."""
        return self._last is None and bool(self.reason)

    def _look(self, trust: bool) -> None:
        start = self.start
        self.mark_ns = mark_ns = references.marked_ns(self._descriptor, start)
        end = start.end - start.base
        self.trailer = history.read_trailer(self._source, end + (0 if mark_ns is None else references.MARK_BYTES))
        if self.trailer is not None and self.trailer.newest is not None and mark_ns is not None:
            try:
                number = history.read_number(self._source, self.trailer.newest)
            except CorruptStructureError as error:
                self._damage = f"its history is damaged: {error}"
                return
            if not trust and not self._has_time(mark_ns):
                self.is_untrusted = True
            else:
                self._last = number, self.trailer.newest
        elif mark_ns is None and self.trailer is not None:
            self.reason = self.trailer.reason

    @functools.cached_property
    def note(self) -> str:
        """A remark on a file without earlier states, such as what ended its history; often nothing."""
        if self._last is not None or self.reason or (self.trailer is not None and self.mark_ns is None):
            return ""
        if self.is_untrusted:
            return f"{_UNTRUSTED}: {TRUST_ADVICE}"
        return self._damage or self._interruption(is_marked=self.mark_ns is not None)

    @functools.cached_property
    def newest(self) -> Record | None:
        """The record of the last commit, None where there is none."""
        return None if self._last is None else self._read(history.Jump(*self._last))

    @functools.cached_property
    def _ended(self) -> Record | None:
        """The last record that is left of a history to which nothing leads any more."""
        return history.last_record(self._source, self.start.end - self.start.base, _LOOKED_AT[self.mark_ns is None])

    def _interruption(self, *, is_marked: bool) -> str:
        """The end of a history of which a record is left, in words."""
        last = self._ended
        if last is None:
            return ""
        if self.trailer is not None:
            return f"edited without a record after commit {last.number}"
        by = "interrupted by h5burst 0.2" if is_marked else "changed by another program"
        return f"{by} after commit {last.number}"

    # ------------------------------------------------------------ commits

    def commits(self) -> Iterator[Commit]:
        """All that there are, newest first."""
        if self.has_no_states:
            return
        if self.newest is None:
            yield self._bottom(self.number, self._written_ns, self.start.end, self.note)
            return
        note, first = "", self.newest
        for record in self.records():
            yield commit_of(record, note or None)
            note, first = "" if record.head else _DROPPED, record
        if note:
            yield self._bottom(first.number - 1, first.before_ns, 0, note)
        else:
            end = self._state(first.number - 1, first.head).end
            yield self._bottom(first.number - 1, first.before_ns, end, first.note)

    def _bottom(self, number: int, time_ns: int, end: int, note: str) -> Commit:
        return Commit(number, moment(time_ns), None, "", "", end, "", None, note or None)

    def _before(self, record: Record) -> Record | None:
        jump = record.jumps[0]
        if not jump.number:
            return None
        return self._read(jump)

    def _read(self, jump: history.Jump) -> Record:
        with naming_file(self.path):
            return history.read_record(self._source, jump.address, jump.number)

    def record(self, number: int) -> Record | None:
        """The record of a commit, by the shortest way; None where there is none."""
        if self._last is None or not 0 < number <= self._last[0]:
            return None
        with naming_file(self.path):
            record = history.read_earlier(self._source, self._last[1], number)
        return record if record.number == number else None

    def records(self) -> Iterator[Record]:
        """All records, newest first."""
        record = self.newest
        while record is not None:
            yield record
            record = self._before(record)

    # ------------------------------------------------------------ states

    @property
    def number(self) -> int:
        """Of the state now; where its history was ended, the first that this did not use."""
        if self._last is not None:
            return self._last[0]
        return 0 if self._ended is None else self._ended.number + 1

    @property
    def shown(self) -> int:
        """The state that now shows: the one that was restored last, if nothing was edited since."""
        number = self.number
        record = self.newest
        while record is not None and 0 <= record.restored_from < number:
            number = record.restored_from
            record = self.record(number)
        return number

    @property
    def oldest(self) -> int:
        """The number of the first state that can be read: compacting drops those before it."""
        low, high = 0, self.number
        while low < high:
            middle = (low + high) // 2
            if self._head_before(middle + 1):
                high = middle
            else:
                low = middle + 1
        return low

    @property
    def used_bytes(self) -> int:
        """Length of the file without what follows it as a reserve."""
        if self.trailer is None:
            return self.size
        mark = 0 if self.mark_ns is None else references.MARK_BYTES
        return self.start.end + mark + self.trailer.length

    def state(self, at: At) -> HistoryState:
        """A state by its number (negative: from the newest, -1), by the time at which it was the newest, or by commit.

        Raises `LookupError` for one that there is not, `TypeError` and `ValueError` for what names none.
        """
        number = self._number(at)
        now = HistoryState(
            self.number, self.start.root, self.start.end, self.start.base, self.start.data[: superblock.SIZE]
        )
        if number == now.number:
            return now
        head = self._head_before(number + 1)
        if not head:
            raise LookupError(f"{self.path}: there is no state {at}: {self._what_there_is(number)}")
        return self._state(number, head)

    def _head_before(self, number: int) -> bytes | None:
        """The superblock before a commit; None, or empty, where there is no such commit or that state was dropped."""
        if self._last is None or not 0 < number <= self._last[0]:
            return None
        with naming_file(self.path):
            return history.read_head(self._source, self._last[1], number)

    def _what_there_is(self, number: int) -> str:
        if self._last is None:
            return self.reason or self.note or "the file has no history"
        if 0 <= number < self.number:
            with naming_file(self.path):
                first = history.read_earlier(self._source, self._last[1], 1)
            return "it was dropped by compacting" if number >= first.number - 1 else first.note
        return f"the newest is {self.number}"

    def _state(self, number: int, head: bytes) -> HistoryState:
        """The state that a superblock of then names. Raises `CorruptFileError`."""
        try:
            rest = self._source.read(superblock.SIZE, superblock.SIZE) if head[8:9] == b"\0" else b""
            state = superblock.read_head(head + rest, self.start.base)
        except (CorruptStructureError, UnsupportedFeatureError) as error:
            problem = f"the record of commit {number + 1} holds no superblock: {error}"
            raise CorruptFileError(self.path, problem) from error
        if state.root >= state.end - state.base or state.end > self.start.end:
            raise CorruptFileError(self.path, f"the root of state {number} is outside the file")
        return HistoryState(number, state.root, state.end, state.base, head)

    def witness(self) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
        """Places of the file and what is there: as long as that is so, its states are the same."""
        head = (self.start.base, self.start.data[: superblock.SIZE])
        behind = self._source.read(self.start.end - self.start.base, self.used_bytes - self.start.end)
        return head, (self.start.end, behind)

    def holds(self, state: HistoryState) -> bool:
        """True where a state is one of this file's, now or earlier."""
        try:
            return self.state(state.number) == state
        except LookupError:
            return False

    def _number(self, at: At) -> int:
        if isinstance(at, bool):
            raise TypeError("a state is a number, a time or a commit, not a bool")
        if isinstance(at, int):
            if at < 0 and self.number + 1 + at < 0:
                raise LookupError(f"{self.path}: there is no state {at}: {self._what_there_is(-1)}")
            return at if at >= 0 else self.number + 1 + at
        if isinstance(at, Commit):
            return self._number_of(at)
        return self._number_at(ns_of(at))

    def _number_of(self, commit: Commit) -> int:
        following = self.record(commit.number + 1)
        record = self.newest if commit.number == self.number else None
        time_ns = following.before_ns if following is not None else record.time_ns if record is not None else None
        if commit.number > self.number or (time_ns is not None and moment(time_ns) != commit.time):
            raise LookupError(f"{self.path}: commit {commit.number} is not one of its history")
        return commit.number

    def _number_at(self, time_ns: int) -> int:
        """The newest commit that is not later; before the first: the first state."""
        record = self.newest
        while record is not None and record.time_ns > time_ns:
            for jump in sorted(filter(lambda jump: jump.number, record.jumps)):
                earlier = self._read(jump)
                if earlier.time_ns > time_ns or jump == record.jumps[0]:
                    record = earlier
                    break
            else:
                return record.number - 1
        return self.number if record is None else record.number


def commit_of(record: Record, note: str | None = None) -> Commit:
    """A record as users see it."""
    restored = None if record.restored_from < 0 else record.restored_from
    return Commit(
        record.number,
        moment(record.time_ns),
        record.message,
        record.program,
        record.version,
        record.bytes_added,
        "append",
        restored,
        note,
    )


def moment(time_ns: int) -> datetime:
    """A time of the file, to the microsecond; one that no calendar has as the nearest that it has."""
    seconds = min(max(time_ns // _NS, -62_135_596_800), 253_402_300_799)
    return datetime.fromtimestamp(seconds, timezone.utc).replace(microsecond=time_ns % _NS // 1000)


def ns_of(at: datetime | str) -> int:
    """A time as the last nanosecond of what it says (a datetime has microseconds). Raises TypeError and ValueError."""
    if isinstance(at, str):
        try:
            instant = datetime.fromisoformat(at.strip().replace("Z", "+00:00"))
        except ValueError as error:
            raise ValueError(f"{at!r} is no time: write it as 2026-05-04T12:30") from error
        instant = instant if instant.tzinfo is not None else instant.replace(tzinfo=timezone.utc)
    elif isinstance(at, datetime):
        instant = at
        if instant.tzinfo is None:
            raise ValueError("a datetime without a zone may be of any: give it one (timezone.utc)")
    else:
        raise TypeError(f"a state is a number, a time or a commit, not {type(at).__name__}")
    whole = instant.replace(microsecond=0)
    return int(whole.timestamp()) * _NS + instant.microsecond * 1000 + 999


# ---------------------------------------------------------------- what users call


class Log:
    """The commits of a file, newest first: what `log` gives. It is read when it is iterated over.

    Attributes
    ----------
    path : str
        Of the file.
    reason : str
        Why there are no commits, or none but one; empty where there are.

    Examples
    --------
    >>> import h5burst
    >>> h5burst.save("fresh.h5", {"a": 1}, overwrite=True)
    >>> [commit.number for commit in h5burst.log("fresh.h5")]
    [0]
    """

    def __init__(self, path: str | os.PathLike[str], trust: bool) -> None:
        self.path, self._trust = os.path.abspath(path), trust
        with opened(self.path, trust=trust) as root:
            self.reason = root.history.reason or root.history.note

    def __iter__(self) -> Iterator[Commit]:
        with opened(self.path, trust=self._trust) as root:
            yield from root.history.commits()


def is_only_appended_to(file: OpenFile, root: int) -> bool:
    """True where nobody but edits of ours has written an open file since: what was read of it is of one state.

    root: where its root group was. Edits leave what is there, and a record of how it was.
    """
    now = os.fstat(file.descriptor)
    if (now.st_size, now.st_mtime_ns) == (file.stamp.size, file.stamp.written_ns):
        return True
    if edit_locks.is_being_edited(file.descriptor, Path(file.path)):
        return True
    try:
        states = History(file.descriptor, file.path)
        return any(states.state(number).root == root for number in range(states.number - 1, states.oldest - 1, -1))
    except (OSError, LookupError, UnsupportedFeatureError):
        return False


class _Opened:
    """A file that is open, and its history."""

    def __init__(self, file: OpenFile, history: History) -> None:
        self.file, self.history = file, history

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def opened(path: str, *, trust: bool = False) -> _Opened:
    """A file open for reading, with its history. Raises `CorruptFileError`, other `OSError`s."""
    with durable.annotating_oserror(path, "read"):
        file = OpenFile(path)
    try:
        return _Opened(file, History(file.descriptor, path, trust=trust, size=file.stamp.size))
    except UnsupportedFeatureError as error:
        file.close()
        raise CorruptFileError(path, f"only libhdf5 reads it, so that it has no history: {error}") from error
    except BaseException:
        file.close()
        raise


def log(path: str | os.PathLike[str], trust: bool = False) -> Log:
    """The commits of a file, newest first; the last one is the state before the first edit.

    Parameters
    ----------
    path
        Of an HDF5 file. One that was never edited has one state; one that another program has changed since has one,
        whose note says so; one that is edited as a copy (see `Transaction.way`) has none, and `reason` says why.
    trust
        Show earlier states also where the file's time of change is not that of its last commit: it was copied without
        its times, or written by a program that was killed. Only files with a superblock of version 2 need this.

    Returns
    -------
    Log
        An iterable of `Commit`.

    Raises
    ------
    CorruptFileError
        For what is not a whole HDF5 file, and, while one iterates, for a record that is damaged; it names the record.
    OSError
        For a file that cannot be read.

    Examples
    --------
    >>> import numpy as np, h5burst
    >>> h5burst.save("edited.h5", {"a": np.arange(3)}, overwrite=True)
    >>> with h5burst.edit("edited.h5", "with b") as tx:
    ...     tx.put("b", h5burst.Array(np.arange(4)))
    >>> [commit.message for commit in h5burst.log("edited.h5")]
    ['with b', None]
    """
    return Log(path, trust)
