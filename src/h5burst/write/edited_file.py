"""An HDF5 file that is about to be edited by appending: locked, its superblock read, its objects looked up."""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import io
import os
import random
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any

from h5burst._ext.descriptors import Descriptor
from h5burst._ext.h5parse import Source
from h5burst.format import info_message, references, superblock
from h5burst.format import object_header as oh
from h5burst.format.constants import UNDEFINED
from h5burst.format.history import Record, Trailer
from h5burst.format.info_message import NO_INFO
from h5burst.format.object_header import Message, ObjectHeader
from h5burst.model.errors import (
    CorruptFileError,
    CorruptStructureError,
    UnfinishedFileError,
    UnsupportedFeatureError,
    naming_file,
)
from h5burst.read import open_file
from h5burst.read.history import History
from h5burst.read.lazy import LazyReader
from h5burst.read.reader import Reader
from h5burst.runtime import durable, edit_locks
from h5burst.write.kept_state import KeptState, keep, take
from h5burst.write.links import GroupLinks
from h5burst.write.native import NeedsLibhdf5Error

_KNOWN_IN_EXTENSION = {0x13}  # K values of old B-trees: kept where they are, they change nothing for new objects
_BLOCK_BYTES, _BLOCKS = 1 << 13, 16  # of the file that are read and kept at a time
_OPENS = 3  # tries to open a file that is replaced just then
_TURN_S = (0.001, 0.004)  # for which who comes lets those try who wait already
_PAUSE_S = (0.0003, 0.05)  # between two tries to get a file that others hold: random, so that they do not meet again
_SOON_S = 0.002  # the longest of them where one edit follows the other
_FLAGS = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def waiting_time(wait: float) -> float:
    """Seconds. Raises `TypeError` and `ValueError` for what is no length of time."""
    if isinstance(wait, bool) or not isinstance(wait, (int, float)):
        raise TypeError(f"wait is a number of seconds, not {type(wait).__name__}")
    if not 0 <= wait < float("inf"):
        raise ValueError(f"wait is a number of seconds from 0 on, got {wait}")
    return float(wait)


_edited: weakref.WeakSet[EditedFile] = weakref.WeakSet()  # here; one that is forgotten is until it is collected


class StoredObject:
    """An object of the file: address, header as version 2 has it, links of a group (None for other objects)."""

    __slots__ = ("_is_group", "_links", "_source", "address", "header")

    @classmethod
    def written(cls, source: Source, address: int, header: ObjectHeader, links: GroupLinks | None) -> StoredObject:
        """An object that was just written, which is not read again."""
        new = cls.__new__(cls)
        new.address, new.header, new._source, new._links = address, header, source, links
        new._is_group = links is not None or _is_group(header)
        return new

    def __init__(self, source: Source, address: int) -> None:
        self.address = address
        self.header = oh.decode(source, address)
        if self.header.links != 1:
            raise NeedsLibhdf5Error("an object that several hard links lead to")
        if any(message.type > oh.LAST_KNOWN for message in self.header.messages):
            raise NeedsLibhdf5Error("messages of an unknown kind")
        _complete(self.header)
        self._source = source
        self._links: GroupLinks | None = None
        self._is_group = _is_group(self.header)
        _ = self.links  # what cannot be read is refused at once

    @property
    def links(self) -> GroupLinks | None:
        if self._links is None and self._is_group:
            self._links = GroupLinks(self._source, self.header)
        return self._links

    @property
    def is_dataset(self) -> bool:
        return self.header.first(oh.DATA_LAYOUT) is not None


def _is_group(header: ObjectHeader) -> bool:
    return any(message.type in (oh.LINK_INFO, oh.SYMBOL_TABLE, oh.LINK) for message in header.messages)


def _complete(header: ObjectHeader) -> None:
    """A version 2 header says that it has attributes; one that was of version 1 does not yet."""
    if header.first(oh.ATTRIBUTE) is not None and header.first(oh.ATTRIBUTE_INFO) is None:
        body = info_message.encode(NO_INFO, 2)
        header.messages.append(Message(oh.ATTRIBUTE_INFO, oh.NEVER_SHARED, body))


class EditedFile:
    """Open and locked for one edit until `close`. It is written to by `commit` alone.

    The locks end with the object, too, if it is never closed.

    Raises `CorruptFileError`, `UnfinishedFileError`, and `OSError` with the path and what to do. `copy_reason`: why it
    cannot be edited by appending; None where it can. only_replaced: it is to be replaced as a whole; its objects are
    not looked at. wait: how many seconds it is tried again where others hold it.
    """

    def __init__(self, path: str | os.PathLike[str], *, only_replaced: bool = False, wait: float = 0) -> None:
        self._only_replaced = only_replaced
        self._wait_s, self._began = waiting_time(wait), time.monotonic()
        self.name = os.path.abspath(path)
        self.copy_reason: str | None = None
        self._objects: dict[int, StoredObject] = {}
        self.growing: dict[int, Any] = {}  # `AppendableDataset`s by address
        self._left: KeptState | None = None  # for the next edit, once this one is made
        self._stack = contextlib.ExitStack()
        self._is_waiting, self.descriptor, self.process = False, -1, os.getpid()
        _edited.add(self)
        try:
            try:
                self._hold()
            except OSError:
                with durable.annotating_oserror(path, "edit"):
                    raise
            self._look()
            open_file.begin_edit(self.stamp)
            self._stack.callback(open_file.end_edit, self.stamp)
        except BaseException:
            self._stack.close()
            self._close()
            _edited.discard(self)
            raise

    @functools.cached_property
    def path(self) -> Path:
        """The file itself, behind all symbolic links."""
        return Path(os.path.realpath(self.name))

    def _hold(self) -> None:
        """Open and lock the file; as long as others hold it and there is time, again, each time at its path."""
        self._open()
        if self._wait_s and edit_locks.others_wait(self.descriptor):  # they come first: who has just edited would else
            pause = random.uniform(*_TURN_S)  # be the next one, again and again
        else:
            try:
                return self._lock()
            except BlockingIOError:
                others = [other for other in list(_edited) if other is not self]
                if any(other.name == self.name or other.path == self.path for other in others):
                    gc.collect()  # an edit here that was forgotten gives up its locks when it is collected
            pause = _PAUSE_S[0]
        if not self._wait_s:
            return self._lock()
        self._is_waiting = True
        edit_locks.note_waiting(self.descriptor)
        self._lock_in_time(pause)
        edit_locks.note_waiting_no_more(self.descriptor)

    def _lock_in_time(self, pause: float) -> None:
        shortest, longest = _PAUSE_S
        seen = self._seen()
        while True:
            time.sleep(max(0.0, min(self._left_s(), pause)))
            try:
                return self._lock()
            except BlockingIOError:
                if self._left_s() <= 0:
                    raise
            before, seen = seen, self._seen()
            # Who holds it for long is asked seldom; where one edit follows the other, each is soon over. Who has waited
            # for long looks more often then, so that all come to it.
            waited = time.monotonic() - self._began
            pause = min(longest, 2 * pause) if seen == before else _SOON_S / (1 + 2 * waited)
            pause = random.uniform(shortest, max(2 * shortest, pause))

    def _left_s(self) -> float:
        return self._began + self._wait_s - time.monotonic()

    def _seen(self) -> tuple[int, ...]:
        """Signs that others go on with the file."""
        try:
            status = os.stat(self.name)
        except FileNotFoundError:
            return ()
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _open(self) -> None:
        self._held = Descriptor.open(self.name, _FLAGS)  # given up with this object: nobody need close it
        self.descriptor = self._held.fileno()
        if self._is_waiting:
            edit_locks.note_waiting(self.descriptor)

    def _close(self) -> None:
        if self.descriptor >= 0:
            self.descriptor = -1
            self._held.close()

    def leave_locks_to_parent(self) -> None:
        """In a forked child, where nothing can be done with an edit: have nothing open under its number.

        Locks end when nobody has open what was locked: the child would hold them longer than the edit.
        """
        if self.descriptor >= 0:
            nothing = Descriptor.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing.fileno(), self.descriptor, inheritable=False)

    def _lock(self) -> None:
        """Lock the file that is at the path. Raises `BlockingIOError`; then it is not locked."""
        for _ in range(_OPENS):
            if self.descriptor < 0:
                self._open()
            lock_file = edit_locks.hold(self.descriptor, self.name)
            if lock_file is not None:
                try:
                    self._stack.enter_context(lock_file)
                except BlockingIOError:
                    self._close()  # with HDF5's lock; and Windows replaces nothing that is open
                    raise
            if self._is_at_path(os.fstat(self.descriptor)):
                return
            self._stack.close()
            self._close()
        raise BlockingIOError(errno.EAGAIN, "the file is replaced again and again", self.name)

    def _is_at_path(self, status: os.stat_result) -> bool:
        """True where the path still leads to this file."""
        try:
            return os.path.samestat(status, os.stat(self.name))
        except FileNotFoundError:
            return False

    def _look(self) -> None:
        """The superblock, and whether all objects that an edit moves may move."""
        status = os.fstat(self.descriptor)
        self._note_stamp(open_file.Stamp.of(status))
        self.is_marked = False
        self.history: History | None = None
        try:
            if not self._only_replaced and self._take_over(take(self.stamp)):
                return
            self.start = self._superblock(status.st_size)
            self.source = Source(self.descriptor, self.start.end, self.start.base, _BLOCK_BYTES, _BLOCKS)
            if self._only_replaced:
                return
            if self.start.is_open_for_writing:
                raise UnfinishedFileError(self.name)
            if not self.start.is_plain:
                raise NeedsLibhdf5Error("an old superblock with settings that a newer one does not hold")
            self._check_extension()
            self.history = History(self.descriptor, self.name, start=self.start)
            self.is_marked = self.history.is_marked
            if not self.is_marked and self._holds_references():
                raise NeedsLibhdf5Error("references between its objects")
        except (NeedsLibhdf5Error, UnsupportedFeatureError) as error:
            self.copy_reason = str(error)
        except CorruptStructureError as error:
            raise CorruptFileError(self.name, str(error)) from error

    def _note_stamp(self, stamp: open_file.Stamp) -> None:
        self.stamp = stamp
        self.changed_ns = self._seen_ns = stamp.written_ns
        self.size = stamp.size

    def _take_over(self, kept: KeptState | None) -> bool:
        """Take over what the last edit here knew of the file, which has its stamp, if nobody has changed it since."""
        if kept is None:
            return False
        kept.source.look_through(self.descriptor, kept.start.end)
        if not kept.source.holds(0, kept.start.data):
            return False
        history = History.after_commit(
            self.descriptor, self.name, kept.start, self.stamp, kept.mark_ns, kept.trailer, kept.newest
        )
        if not history.is_marked:
            return False
        self.start, self.source, self.history, self.is_marked = kept.start, kept.source, history, True
        self._objects, self.growing = kept.objects, kept.growing
        return True

    def keep(
        self,
        status: os.stat_result,
        start: superblock.Whole,
        mark_ns: int,
        trailer: Trailer,
        newest: Record | None,
    ) -> None:
        """Let the next edit here know what this one, which is made, has left. status: of the file since."""
        stamp = open_file.Stamp.of(status)
        self._left = KeptState(stamp, start, self.source, mark_ns, trailer, newest, self._objects, self.growing)

    def _superblock(self, size: int) -> superblock.Whole:
        """Before the error for a file that only libhdf5 understands, note what shows whether others change it."""
        try:
            return superblock.read_whole(self.descriptor, size)
        except UnsupportedFeatureError:
            guessed = superblock.guess(self.descriptor, size)
            if guessed is not None:
                self.start = guessed
                self.source = Source(self.descriptor, guessed.end, guessed.base, _BLOCK_BYTES, _BLOCKS)
            raise

    @functools.cached_property
    def stream(self) -> io.FileIO:
        """The file, for writing."""
        return io.FileIO(self.descriptor, "r+", closefd=False)

    @functools.cached_property
    def reader(self) -> Reader:
        """Of what is edited more finely than object by object: datasets that grow."""
        return LazyReader(self.name)

    def _check_extension(self) -> None:
        if self.start.extension != UNDEFINED:
            kinds = {message.type for message in oh.decode(self.source, self.start.extension).messages}
            if kinds - _KNOWN_IN_EXTENSION:
                raise NeedsLibhdf5Error("a superblock extension (paged space, shared messages or a driver)")

    def _holds_references(self) -> bool:
        """Look at every object. The mark makes this unnecessary for the next edit."""
        waiting, seen = [self.start.root], {self.start.root}
        while waiting:
            header = oh.decode(self.source, waiting.pop())
            if references.holds_references(self.source, header):
                return True
            for address in GroupLinks(self.source, header).addresses() if _is_group(header) else ():
                if address not in seen:
                    seen.add(address)
                    waiting.append(address)
        return False

    def look_up(self, address: int) -> StoredObject:
        """An object of the file.

        Raises `CorruptFileError`, and `NeedsLibhdf5Error` for one that must stay where it is.
        """
        cached = self._objects.get(address)
        if cached is not None:
            return cached
        try:
            with naming_file(self.name):
                stored = self._objects[address] = StoredObject(self.source, address)
                return stored
        except UnsupportedFeatureError as error:
            raise NeedsLibhdf5Error(str(error)) from error

    # ------------------------------------------------------------ writing

    @property
    def appends_at(self) -> int:
        """The first address of an edit: after the end, a mark and a trailer, which stay valid until it is made."""
        if self.history is None or self.history.mark_ns is None:
            return self.start.end
        trailer = self.history.trailer
        return self.start.end + references.MARK_BYTES + (0 if trailer is None else trailer.length)

    @property
    def has_reserve(self) -> bool:
        """True where what follows is the reserve of an earlier edit."""
        return self.history is not None and self.history.trailer is not None and self.appends_at > self.start.end

    def begin_commit(self) -> os.stat_result:
        """As `check_unchanged`, before anything is written; what is known of the file changes from here on."""
        self._left = None
        return self.check_unchanged()

    def check_unchanged(self, *, is_written: bool = False) -> os.stat_result:
        """Give its status. Raise `OSError` unless it is still the one that was opened: locks do not work everywhere.

        is_written: by this edit, so that its time of change says nothing about others.
        """
        self.check_process()
        try:
            status = os.stat(self.name)  # that of the open file, where the path still leads to it
            is_same = status.st_ino == self.stamp.inode and status.st_dev == self.stamp.device
        except FileNotFoundError:
            is_same = False
        # What libhdf5 changes in place leaves the superblock as it was.
        is_touched = is_same and not is_written and status.st_mtime_ns != self._seen_ns
        if not is_same or is_touched or not self.source.holds(0, self.start.data):
            raise OSError(errno.EBUSY, "the file was changed by others in the meantime: edit it again", self.name)
        return status

    def check_process(self) -> None:
        """Raise `OSError` in a child that was forked since."""
        if self.process != os.getpid():
            raise OSError(errno.EBUSY, "a transaction ends in the process that began it", self.name)

    def cut_off(self) -> None:
        """Remove what an edit that failed has left after the end; a forked child removes nothing of its parent's."""
        if self.process != os.getpid():
            return
        with contextlib.suppress(OSError):  # it is only space: no reader looks there, and the next edit writes over it
            os.ftruncate(self.descriptor, self.appends_at)
            os.ftruncate(self.descriptor, max(self.appends_at, self.size))
            if self.is_marked and self.start.version == 2 and os.utime in os.supports_fd:
                os.utime(self.descriptor, ns=(self.changed_ns, self.changed_ns))  # that of its mark
            self._seen_ns = os.fstat(self.descriptor).st_mtime_ns

    def made(self, old: int, address: int, header: ObjectHeader, listed: dict[bytes, Message] | None) -> None:
        """Take note of an object that is written anew, in the place of one at `old`.

        listed: its links, where they are all in the header.
        """
        links = None if listed is None else GroupLinks.written(header, listed)
        self._objects.pop(old, None)
        self._objects[address] = StoredObject.written(self.source, address, header, links)

    def go_on(self) -> None:
        """After a commit: be as the next edit would find it, open and locked all along."""
        self._forget_reader()
        if self._left is not None:
            self._note_stamp(self._left.stamp)  # who writes it since is met by the next commit
        if not self._take_over(self._left):
            self._left = None
            self._objects, self.growing, self.copy_reason = {}, {}, None
            self._look()
        open_file.begin_edit(self.stamp)

    def _forget_reader(self) -> None:
        reader = self.__dict__.pop("reader", None)
        if reader is not None:
            reader.__exit__(None, None, None)

    def close(self) -> None:
        """Let go of the file; the next edit gets to know what this one knows, if it was made."""
        left, self._left = self._left, None
        if left is not None:
            left.source.look_through(-1, left.start.end)
            keep(left)  # before others may edit it
        self._forget_reader()
        self._stack.close()
        self._close()
        _edited.discard(self)

    def __enter__(self) -> EditedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _after_fork_in_child() -> None:
    for edited in list(_edited):
        edited.leave_locks_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
