"""The commit: new objects after the end of the file, new headers up to the root, then the superblock in one write."""

from __future__ import annotations

import contextlib
import io
import os
import time
from typing import TYPE_CHECKING, Any

from h5burst._ext.h5parse import Source
from h5burst.format import attribute, dense, history, info_message, references, superblock
from h5burst.format import object_header as oh
from h5burst.format.constants import ATTRIBUTES_IN_HEADER, UNDEFINED
from h5burst.format.history import Trailer
from h5burst.format.info_message import Info
from h5burst.format.object_header import Message, ObjectHeader
from h5burst.model.errors import CorruptFileError, CorruptStructureError, UnsupportedFeatureError
from h5burst.model.tree import escape_attribute, escape_link
from h5burst.read.history import HistoryState
from h5burst.runtime import durable
from h5burst.write.changes import ObjectChange, Removed
from h5burst.write.edit_writer import EditWriter
from h5burst.write.edited_file import EditedFile
from h5burst.write.native import NeedsLibhdf5Error
from h5burst.write.notes import EditNote, record_of
from h5burst.write.reserve import Reserve

if TYPE_CHECKING:
    from h5burst._ext.h5emit import TreeWriter


def commit(
    file: EditedFile,
    root: ObjectChange | HistoryState,
    writer: EditWriter,
    note: EditNote | None,
    *,
    flush: bool = True,
) -> str:
    """Write the changes and switch to them.

    root: a state of earlier whose root becomes that of the file again. writer: what has seen all nodes that were put.
    note: what the record of the commit says; None: it leaves none. flush: wait for the disk, before the switch and
    after it. Gives what could not be done, for people. Raises `NeedsLibhdf5Error` where only libhdf5 can; the file is
    then as it was.
    """
    with durable.annotating_oserror(file.name, "edit"):
        status = file.begin_commit()  # nothing was written yet: what is behind the end now is of others
    try:
        with durable.annotating_oserror(file.name, "edit"):
            append = _Append(file, note, flush, status.st_size)
            new_root, end = append.write(root, writer)
            append.flush_bytes()
            file.check_unchanged(is_written=True)
            start, could_not = _switch(file, new_root, end, append)
    except (CorruptStructureError, UnsupportedFeatureError) as error:
        file.cut_off()
        if isinstance(error, UnsupportedFeatureError):
            raise NeedsLibhdf5Error(str(error)) from error
        raise CorruptFileError(file.name, str(error)) from error
    except BaseException:
        if _is_as_it_was(file):
            file.cut_off()
        raise
    append.leave(start, append.tidy())
    return could_not


class _Append:
    """The bytes that one commit appends: objects, the record, the mark and the trailer behind the new end."""

    def __init__(self, file: EditedFile, note: EditNote | None, flush: bool, size: int) -> None:
        """size: of the file with what is behind its end."""
        self._file, self._note, self._flush = file, note, flush
        self._at = file.appends_at
        self.version = 3 if file.start.version == 3 else 2  # programs that could read the file still can
        newest = None if file.history is None else file.history.newest
        # A `datetime` has microseconds: two commits are never of the same one.
        self.changed_ns = max(time.time_ns(), 0 if newest is None else newest.time_ns + 1000)
        self._reserve = Reserve(file.descriptor, self._at, file.has_reserve, size)
        self._size = 0  # of all but the reserve
        self._newest: history.Record | None = None

    def write(self, root: ObjectChange | HistoryState, writer: EditWriter) -> tuple[int, int]:
        """Everything but the superblock. Returns the new address of the root, from the base, and the new end."""
        file, base = self._file, self._file.start.base
        file.stream.seek(self._at)
        with writer.writing_to(file.stream, self._at - base, self._reserve.before) as tree:
            address = (
                root.root if isinstance(root, HistoryState) else _Rewriter(file, tree, writer.threads).rewrite(root)
            )
            newest = self._record(tree)
            end = tree.append(b"")
            mark = references.encode_mark(address, end, version=self.version, changed_ns=self.changed_ns)
            tree.append(mark)
            reserve = self._reserve.needed(base + end)
            trailer = history.encode_trailer(newest, reserve)
            tree.append(trailer)
            self._trailer = Trailer(len(trailer), newest, reserve)
            self._size = base + end + len(mark) + self._trailer.length
            if base + tree.finish() != self._size:
                raise AssertionError(f"{file.name}: an edit ended at another address than was planned")
        self._reserve.before(self._size)
        return address, base + end

    def _record(self, writer: TreeWriter) -> int | None:
        """Append the record of this commit; its address, None where it leaves none."""
        if self._note is None or self._file.history is None:
            return None
        address = writer.append(b"")
        self._newest = record_of(self._file, self._note, address, self.changed_ns, self._at)
        return writer.append(history.encode_record(self._newest))

    def set_time(self) -> str:
        """The time of change that the mark names; why it could not be set."""
        if self.version == 2 and os.utime in os.supports_fd:
            try:
                os.utime(self._file.descriptor, ns=(self.changed_ns, self.changed_ns))
            except OSError as error:
                return f"its time of change cannot be set ({error.strerror}): earlier states are not offered"
        return ""

    def flush_bytes(self) -> None:
        """Bring what was appended to the disk."""
        if self._flush:
            flush_data(self._file.descriptor)

    def flush_head(self) -> None:
        """Bring the superblock to the disk; the time of change as well where the mark names it."""
        if self._flush:
            (os.fsync if self.version == 2 else flush_data)(self._file.descriptor)

    def leave(self, start: superblock.Whole, status: os.stat_result) -> None:
        """Let the next edit of this process know what is in the file now."""
        self._file.keep(status, start, self.changed_ns if self.version == 2 else 0, self._trailer, self._newest)

    def tidy(self) -> os.stat_result:
        """Cut off what an earlier, interrupted edit left after the new end. Gives the status of the file then."""
        status = os.fstat(self._file.descriptor)
        try:
            if not self._reserve.cut(self._size, status.st_size):
                return status
            self.set_time()
        except OSError:
            pass  # it is only space
        return os.fstat(self._file.descriptor)


def flush_data(descriptor: int) -> None:
    """Bring what was written to the disk, with the file's length, but not its times."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _switch(file: EditedFile, root: int, end: int, append: _Append) -> tuple[superblock.Whole, str]:
    """The one write that makes the edit valid. If it does not reach the disk, the old superblock is put back."""
    start, stream = file.start, file.stream
    new = superblock.encode(root, end, version=append.version, base=start.base, extension=start.extension)
    try:
        _write_at(stream, start.base, new)
        could_not = append.set_time()
        append.flush_head()
    except BaseException:
        with contextlib.suppress(OSError):
            _write_at(stream, start.base, start.data[: len(new)])
            os.fsync(file.descriptor)
        raise
    whole = superblock.Whole(append.version, start.base, root, end, new, start.extension, True)
    return whole, could_not


def _write_at(stream: io.FileIO, offset: int, data: bytes) -> None:
    while data:
        stream.seek(offset)
        written = stream.write(data) or 0
        if not written:
            raise OSError(f"{stream.name}: nothing more can be written")
        offset, data = offset + written, data[written:]


def _is_as_it_was(file: EditedFile) -> bool:
    try:
        size = os.fstat(file.descriptor).st_size
        return Source(file.descriptor, size, slots=1).holds(file.start.base, file.start.data)
    except OSError:
        return False


class _Rewriter:
    """Writes changed objects, children before parents."""

    def __init__(self, file: EditedFile, writer: TreeWriter, threads: int | None) -> None:
        self._file, self._writer, self._threads = file, writer, threads

    def rewrite(self, change: ObjectChange) -> int:
        """The new address of a changed object."""
        existing = change.existing
        old = existing.header
        listed = None
        header = ObjectHeader(old.flags, old.times, old.phase, old.links, list(old.messages))
        if existing.links is not None and (change.children or header.first(oh.SYMBOL_TABLE)):
            new: dict[bytes, int | None] = {}
            for name, child in change.children.items():
                link = escape_link(name).encode()
                if isinstance(child, Removed):
                    if existing.links.find(link) is not None:
                        new[link] = None
                elif isinstance(child, ObjectChange):
                    if not child.is_empty:
                        new[link] = self.rewrite(child)
                else:
                    new[link] = self._writer.write(child)
            header.messages, listed = existing.links.changed(self._writer.append, new)
        grown = None
        if change.rows:
            growing = self._file.growing[existing.address]
            grown = growing.append(self._file, existing.address, self._writer, header, change.rows, self._threads)
        if change.attrs:
            self._change_attributes(header, change.attrs)
        address = self._writer.append(oh.encode(header))
        self._file.made(existing.address, address, header, listed)
        if grown is not None:
            del self._file.growing[existing.address]
            self._file.growing[address] = grown
        return address

    def _change_attributes(self, header: ObjectHeader, attrs: dict[str, Any]) -> None:
        info, messages = info_message.find(header.messages, oh.ATTRIBUTE_INFO), self._attributes(header)
        set_now = {name: value for name, value in attrs.items() if value is not None}
        for name in attrs.keys() - set_now.keys():
            messages.pop(escape_attribute(name).encode(), None)
        order = info.next_order
        for name, body in zip(set_now, self._writer.attribute_messages(set_now), strict=True):
            stored = escape_attribute(name).encode()
            old = messages.get(stored)
            messages[stored] = Message(oh.ATTRIBUTE, 0, body, order if old is None else old.order)
            order += old is None
        others = [m for m in header.messages if m.type not in (oh.ATTRIBUTE, oh.ATTRIBUTE_INFO)]
        largest = max((len(message.body) for message in messages.values()), default=0)
        if len(messages) <= ATTRIBUTES_IN_HEADER and largest <= oh.MESSAGE_LIMIT and order <= oh.MESSAGE_LIMIT:
            info = info._replace(heap=UNDEFINED, tree=UNDEFINED, next_order=order)
            kept = list(messages.values())
        else:
            info, kept = self._dense(info, list(messages.values())), []
        header.messages = [*others, Message(oh.ATTRIBUTE_INFO, oh.NEVER_SHARED, info_message.encode(info, 2)), *kept]

    def _attributes(self, header: ObjectHeader) -> dict[bytes, Message]:
        messages = dense.all_attributes(self._file.source, header.messages)
        if any(message.flags & oh.SHARED for message in messages):
            raise NeedsLibhdf5Error("shared attributes")
        return {attribute.stored_name(one.body): one._replace(order=one.order & 0xFFFF) for one in messages}

    def _dense(self, info: Info, messages: list[Message]) -> Info:
        if info.tracked or info.indexed or any(message.body[0] != 3 for message in messages):
            raise NeedsLibhdf5Error("many attributes that are of the older kind, or whose order is kept")
        heap, tree = self._writer.dense_attributes([message.body for message in messages])
        return info._replace(heap=heap, tree=tree)
