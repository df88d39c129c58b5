"""The commit: new objects after the end of the file, new headers up to the root, then the superblock in one write."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from h5burst.format import attribute, dense, history, info_message, references, superblock
from h5burst.format import object_header as oh
from h5burst.format.constants import ATTRIBUTES_IN_HEADER, UNDEFINED
from h5burst.format.info_message import Info
from h5burst.format.object_header import Message, ObjectHeader
from h5burst.model.errors import CorruptFileError, CorruptStructureError, UnsupportedFeatureError
from h5burst.model.tree import Storage, escape_attribute, escape_link
from h5burst.read.history import State
from h5burst.runtime import durable
from h5burst.write.changes import Change, Removed
from h5burst.write.edited_file import EditedFile
from h5burst.write.native import NeedsLibhdf5Error, make_writer
from h5burst.write.notes import Note, record_of
from h5burst.write.reserve import Reserve
from h5burst.write.sink import Sink

if TYPE_CHECKING:
    from h5burst._ext.h5emit import TreeWriter
    from h5burst.write.appendable import AppendableDataset


def commit(
    file: EditedFile,
    root: Change | State,
    checked: TreeWriter | None,
    growing: Mapping[int, AppendableDataset],
    storage: Storage | None,
    threads: int | None,
    note: Note | None,
) -> str:
    """Write the changes and switch to them.

    root: a state of earlier whose root becomes that of the file again. checked: what has seen all nodes that were put.
    growing: datasets that rows were checked for, by address. note: what the record of the commit says; None: it leaves
    none. Gives what could not be done, for people. Raises `NeedsLibhdf5Error` where only libhdf5 can; the file is then
    as it was.
    """
    with durable.annotating_oserror(file.path, "edit"):
        file.check_unchanged()  # nothing was written yet: what is behind the end now is of others
    try:
        with durable.annotating_oserror(file.path, "edit"):
            append = _Append(file, note)
            new_root, end = append.write(root, checked, growing, storage, threads)
            flush_data(file.descriptor)
            file.check_unchanged(is_written=True)
            could_not = _switch(file, new_root, end, append)
    except (CorruptStructureError, UnsupportedFeatureError) as error:
        file.cut_off()
        if isinstance(error, UnsupportedFeatureError):
            raise NeedsLibhdf5Error(str(error)) from error
        raise CorruptFileError(file.path, str(error)) from error
    except BaseException:
        if _is_as_it_was(file):
            file.cut_off()
        raise
    append.tidy()
    return could_not


class _Append:
    """The bytes that one commit appends: objects, the record, the mark and the trailer behind the new end."""

    def __init__(self, file: EditedFile, note: Note | None) -> None:
        self._file, self._note = file, note
        self._at = file.appends_at
        self.version = 3 if file.start.version == 3 else 2  # programs that could read the file still can
        newest = None if file.history is None else file.history.newest
        # A `datetime` has microseconds: two commits are never of the same one.
        self.changed_ns = max(time.time_ns(), 0 if newest is None else newest.time_ns + 1000)
        self._reserve = Reserve(file.descriptor, self._at, file.has_reserve)
        self._size = 0  # of all but the reserve

    def write(
        self,
        root: Change | State,
        checked: TreeWriter | None,
        growing: Mapping[int, AppendableDataset],
        storage: Storage | None,
        threads: int | None,
    ) -> tuple[int, int]:
        """Everything but the superblock. Returns the new address of the root, from the base, and the new end."""
        file, base = self._file, self._file.start.base
        with open_stream(file.descriptor) as stream:
            stream.seek(self._at)
            with Sink(stream, True, threads, self._reserve.before) as sink:
                writer = make_writer(sink, storage, threads)
                with contextlib.closing(writer):
                    writer.start_at(self._at - base)
                    if checked is not None:
                        writer.share_names(checked)
                    rewriter = _Rewriter(file, writer, growing, threads)
                    address = root.root if isinstance(root, State) else rewriter.rewrite(root)
                    newest = self._record(writer)
                    end = writer.append(b"")
                    mark = references.encode_mark(address, end, version=self.version, changed_ns=self.changed_ns)
                    writer.append(mark)
                    writer.append(history.encode_trailer(newest, self._reserve.needed(base + end)))
                    self._size = base + end + len(mark) + history.trailer_length()
                    if base + writer.finish() != self._size:
                        raise AssertionError(f"{file.path}: an edit ended at another address than was planned")
        self._reserve.before(self._size)
        return address, base + end

    def _record(self, writer: TreeWriter) -> int | None:
        """Append the record of this commit; its address, None where it leaves none."""
        if self._note is None or self._file.history is None:
            return None
        address = writer.append(b"")
        record = record_of(self._file, self._note, address, self.changed_ns, self._at)
        return writer.append(history.encode_record(record))

    def set_time(self) -> str:
        """The time of change that the mark names; why it could not be set."""
        if self.version == 2 and os.utime in os.supports_fd:
            try:
                os.utime(self._file.descriptor, ns=(self.changed_ns, self.changed_ns))
            except OSError as error:
                return f"its time of change cannot be set ({error.strerror}): earlier states are not offered"
        return ""

    def flush_head(self) -> None:
        """Bring the superblock to the disk; the time of change as well where the mark names it."""
        (os.fsync if self.version == 2 else flush_data)(self._file.descriptor)

    def tidy(self) -> None:
        """Cut off what an earlier, interrupted edit left after the new end."""
        with contextlib.suppress(OSError):
            if self._reserve.cut(self._size):
                self.set_time()


def open_stream(descriptor: int) -> io.FileIO:
    """The file for writing; tests put one that fails in its place."""
    return io.FileIO(descriptor, "r+", closefd=False)


def flush_data(descriptor: int) -> None:
    """Bring what was written to the disk, with the file's length, but not its times."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _switch(file: EditedFile, root: int, end: int, append: _Append) -> str:
    """The one write that makes the edit valid. If it does not reach the disk, the old superblock is put back."""
    start = file.start
    new = superblock.encode(root, end, version=append.version, base=start.base, extension=start.extension)
    with open_stream(file.descriptor) as stream:
        try:
            _write_at(stream, start.base, new)
            could_not = append.set_time()
            append.flush_head()
        except BaseException:
            with contextlib.suppress(OSError):
                _write_at(stream, start.base, start.data[: len(new)])
                os.fsync(file.descriptor)
            raise
    return could_not


def _write_at(stream: io.FileIO, place: int, data: bytes) -> None:
    while data:
        stream.seek(place)
        written = stream.write(data) or 0
        if not written:
            raise OSError(f"{stream.name}: nothing more can be written")
        place, data = place + written, data[written:]


def _is_as_it_was(file: EditedFile) -> bool:
    try:
        os.lseek(file.descriptor, file.start.base, os.SEEK_SET)
        return os.read(file.descriptor, len(file.start.data)) == file.start.data
    except OSError:
        return False


class _Rewriter:
    """Writes changed objects, children before parents."""

    def __init__(
        self, file: EditedFile, writer: TreeWriter, growing: Mapping[int, AppendableDataset], threads: int | None
    ) -> None:
        self._file, self._writer, self._growing, self._threads = file, writer, growing, threads

    def rewrite(self, change: Change) -> int:
        """The new address of a changed object."""
        existing = change.existing
        header = copy.copy(existing.header)
        header.messages = list(header.messages)
        if existing.links is not None and (change.children or header.first(oh.SYMBOL_TABLE)):
            new: dict[bytes, int | None] = {}
            for name, child in change.children.items():
                link = escape_link(name).encode()
                if isinstance(child, Removed):
                    if existing.links.find(link) is not None:
                        new[link] = None
                elif isinstance(child, Change):
                    if not child.is_empty:
                        new[link] = self.rewrite(child)
                else:
                    new[link] = self._writer.write(child)
            header.messages = existing.links.changed(self._writer.append, new)
        if change.rows:
            self._growing[existing.address].append(self._writer, header, change.rows, self._threads)
        if change.attrs:
            self._change_attributes(header, change.attrs)
        return self._writer.append(oh.encode(header))

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
        found = dense.all_attributes(self._file.source, header.messages)
        if any(message.flags & oh.SHARED for message in found):
            raise NeedsLibhdf5Error("shared attributes")
        return {attribute.stored_name(one.body): one._replace(order=one.order & 0xFFFF) for one in found}

    def _dense(self, info: Info, messages: list[Message]) -> Info:
        if info.tracked or info.indexed or any(message.body[0] != 3 for message in messages):
            raise NeedsLibhdf5Error("many attributes that are of the older kind, or whose order is kept")
        heap, tree = self._writer.dense_attributes([message.body for message in messages])
        return info._replace(heap=heap, tree=tree)
