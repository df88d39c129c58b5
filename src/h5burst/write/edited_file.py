"""An HDF5 file that is about to be edited by appending: locked, its superblock read, its objects looked up."""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import os
import random
import time
import weakref
from pathlib import Path
from types import TracebackType

from h5burst._ext.descriptors import Descriptor
from h5burst._ext.h5parse import Source
from h5burst.format import info_message, references, superblock
from h5burst.format import object_header as oh
from h5burst.format.constants import UNDEFINED
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
from h5burst.write.links import GroupLinks
from h5burst.write.native import NeedsLibhdf5Error

_KNOWN_IN_EXTENSION = {0x13}  # K values of old B-trees: kept where they are, they change nothing for new objects
_BLOCK_BYTES, _BLOCKS = 1 << 13, 16  # of the file that are read and kept at a time
_OPENS = 3  # tries to open a file that is replaced just then
_TURN_S = (0.002, 0.008)  # for which who comes lets those try who wait already
_PAUSE_S = (0.001, 0.05)  # between two tries to get a file that others hold: random, so that they do not meet again


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

    __slots__ = ("address", "header", "links")

    def __init__(self, source: Source, address: int) -> None:
        self.address = address
        self.header = oh.decode(source, address)
        if self.header.links != 1:
            raise NeedsLibhdf5Error("an object that several hard links lead to")
        if any(message.type > oh.LAST_KNOWN for message in self.header.messages):
            raise NeedsLibhdf5Error("messages of an unknown kind")
        _complete(self.header)
        self.links = GroupLinks(source, self.header) if _is_group(self.header) else None

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
        self._deadline = time.monotonic() + waiting_time(wait)
        self.path = Path(os.path.realpath(path))
        self.copy_reason: str | None = None
        self._stack = contextlib.ExitStack()
        try:
            with durable.annotating_oserror(path, "edit"):
                self._wait()
            _edited.add(self)
            self._look()
            self._stack.enter_context(open_file.being_edited(self.stamp))
        except BaseException:
            self._stack.close()
            raise

    def _wait(self) -> None:
        """Open the file; as long as others hold it and there is time, again, each time by its path."""
        may_wait = self._deadline > time.monotonic()
        try:
            self._open()
            if not (may_wait and edit_locks.others_wait(self.descriptor)):
                return
            self._stack.close()  # they come first: who has just edited would else be the next one, again and again
            time.sleep(random.uniform(*_TURN_S))
        except BlockingIOError:
            if any(other.path == self.path for other in list(_edited)):
                gc.collect()  # an edit here that was interrupted or forgotten gives up its locks when it is collected
        with contextlib.ExitStack() as until_open:
            if may_wait:
                with contextlib.suppress(OSError):
                    waiting = Descriptor.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
                    until_open.callback(waiting.close)
                    edit_locks.note_waiting(waiting.fileno())
            self._try_again()

    def _try_again(self) -> None:
        shortest, longest = _PAUSE_S
        pause, seen, began = shortest, self._seen(), time.monotonic()
        while True:
            try:
                return self._open()
            except BlockingIOError:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    raise
            before, seen = seen, self._seen()
            # Who holds it for long is asked seldom; where one edit follows the other, each is soon over. Who has waited
            # for long looks more often then, so that all come to it.
            pause = min(longest, 2 * pause) if seen == before else 8 * shortest / (1 + 2 * (time.monotonic() - began))
            time.sleep(min(left, random.uniform(shortest, max(2 * shortest, pause))))

    def _seen(self) -> tuple[int, ...]:
        """Signs that others go on with the file."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return ()
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _open(self) -> None:
        for _ in range(_OPENS):
            flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
            self._held = held = Descriptor.open(self.path, flags)  # given up with this object: nobody need close it
            self.descriptor = held.fileno()
            with contextlib.ExitStack() as attempt:
                attempt.callback(held.close)
                attempt.enter_context(edit_locks.editing(self.descriptor, self.path))
                if self._is_at_path(self.descriptor):
                    self._stack.push(attempt.pop_all())
                    return
        raise BlockingIOError(errno.EAGAIN, "is replaced again and again", str(self.path))

    def _is_at_path(self, descriptor: int) -> bool:
        """True where the path still leads to this file."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _look(self) -> None:
        """The superblock, and whether all objects that an edit moves may move."""
        status = os.fstat(self.descriptor)
        self.stamp = open_file.Stamp.of(status)
        self.changed_ns, self.size = status.st_mtime_ns, status.st_size
        self._seen_ns = self.changed_ns
        self.process = os.getpid()
        self.is_marked = False
        self.history: History | None = None
        try:
            self.start = self._superblock(status.st_size)
            self.source = Source(self.descriptor, self.start.end, self.start.base, _BLOCK_BYTES, _BLOCKS)
            if self._only_replaced:
                return
            if self.start.is_open_for_writing:
                raise UnfinishedFileError(self.path)
            if not self.start.is_plain:
                raise NeedsLibhdf5Error("an old superblock with settings that a newer one does not hold")
            self._check_extension()
            self.history = History(self.descriptor, str(self.path), start=self.start)
            self.is_marked = self.history.is_marked
            if not self.is_marked and self._holds_references():
                raise NeedsLibhdf5Error("references between its objects")
        except (NeedsLibhdf5Error, UnsupportedFeatureError) as error:
            self.copy_reason = str(error)
        except CorruptStructureError as error:
            raise CorruptFileError(self.path, str(error)) from error

    def _superblock(self, size: int) -> superblock.Whole:
        """Before the error for a file that only libhdf5 understands, note what shows whether others change it."""
        try:
            return superblock.read_whole(self.descriptor, size)
        except UnsupportedFeatureError:
            guessed = superblock.guess(self.descriptor, size)
            if guessed is not None:
                self.start = guessed
            raise

    @functools.cached_property
    def reader(self) -> Reader:
        """Of what is edited more finely than object by object: datasets that grow."""
        return self._stack.enter_context(LazyReader(str(self.path)))

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
        try:
            with naming_file(self.path):
                return StoredObject(self.source, address)
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

    def check_unchanged(self, *, is_written: bool = False) -> None:
        """Raise `OSError` unless the file is still the one that was opened: locks do not work everywhere.

        is_written: by this edit, so that its time of change says nothing about others.
        """
        self.check_process()
        os.lseek(self.descriptor, self.start.base, os.SEEK_SET)
        is_same = os.read(self.descriptor, len(self.start.data)) == self.start.data
        # What libhdf5 changes in place leaves the superblock as it was.
        is_touched = not is_written and os.fstat(self.descriptor).st_mtime_ns != self._seen_ns
        if not is_same or is_touched or not self._is_at_path(self.descriptor):
            raise OSError(errno.EBUSY, "was changed by others in the meantime: edit it again", str(self.path))

    def check_process(self) -> None:
        """Raise `OSError` in a child that was forked since."""
        if self.process != os.getpid():
            raise OSError(errno.EBUSY, "a transaction ends in the process that began it", str(self.path))

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

    def close(self) -> None:
        self._stack.close()
        _edited.discard(self)

    def __enter__(self) -> EditedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
