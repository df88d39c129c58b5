"""The commit: new objects after the end of the file, new headers up to the root, then the superblock in one write."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import time
from typing import TYPE_CHECKING, Any

from h5burst.format import attribute, dense, references, superblock
from h5burst.format import object_header as oh
from h5burst.format.constants import ATTRIBUTES_IN_HEADER, UNDEFINED
from h5burst.format.object_header import Info, Message, ObjectHeader
from h5burst.model.errors import CorruptFileError, CorruptStructureError, UnsupportedFeatureError
from h5burst.model.tree import Array, Group, Storage, escape_attribute, escape_link
from h5burst.runtime import durable
from h5burst.write.changes import Change, Gone
from h5burst.write.edited_file import EditedFile
from h5burst.write.growing import Growing
from h5burst.write.native import NeedsLibhdf5Error, make_writer
from h5burst.write.sink import Sink

if TYPE_CHECKING:
    from h5burst._ext.h5emit import TreeWriter


def commit(file: EditedFile, root: Change, checked: TreeWriter, storage: Storage | None, threads: int | None) -> None:
    """Write the changes and switch to them. checked: what has seen all nodes that were put.

    Raises `NeedsLibhdf5Error` where only libhdf5 can; the file is then as it was.
    """
    try:
        with durable.annotating_oserror(file.path, "edit"):
            file.check_unchanged()
            version = 3 if file.start.version == 3 else 2  # programs that could read the file still can
            changed_ns = time.time_ns()
            address, end = _append(file, root, checked, storage, threads, version, changed_ns)
            os.fsync(file.descriptor)
            file.check_unchanged()
            _switch(file, address, end, version)
    except (CorruptStructureError, UnsupportedFeatureError) as error:
        file.cut_off()
        if isinstance(error, UnsupportedFeatureError):
            raise NeedsLibhdf5Error(str(error)) from error
        raise CorruptFileError(file.path, str(error)) from error
    except BaseException:
        if _is_as_it_was(file):
            file.cut_off()
        raise
    _tidy(file, end + references.MARK_BYTES, version, changed_ns)


def _append(
    file: EditedFile,
    root: Change,
    checked: TreeWriter,
    storage: Storage | None,
    threads: int | None,
    version: int,
    changed_ns: int,
) -> tuple[int, int]:
    """Everything but the superblock. Returns the new address of the root and the new end, both from the base."""
    base, start = file.start.base, file.appends_at - file.start.base
    with open_stream(file.descriptor) as stream:
        stream.seek(file.appends_at)
        with Sink(stream, True, threads) as sink:
            writer = make_writer(sink, storage, threads)
            with contextlib.closing(writer):
                writer.start_at(start)
                writer.share_names(checked)
                address = _Rewriter(file, writer, threads).rewrite(root)
                end = writer.append(b"")
                writer.append(references.encode_mark(address, end, version=version, changed_ns=changed_ns))
                if writer.finish() != end + references.MARK_BYTES:
                    raise AssertionError(f"{file.path}: an edit ended at another address than was planned")
    return address, base + end


def open_stream(descriptor: int) -> io.FileIO:
    """The file for writing; tests put one that fails in its place."""
    return io.FileIO(descriptor, "r+", closefd=False)


def _switch(file: EditedFile, root: int, end: int, version: int) -> None:
    """The one write that makes the edit valid. If it does not reach the disk, the old superblock is put back."""
    start = file.start
    new = superblock.encode(root, end, version=version, base=start.base, extension=start.extension)
    with open_stream(file.descriptor) as stream:
        try:
            _write_at(stream, start.base, new)
            os.fsync(file.descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                _write_at(stream, start.base, start.data[: len(new)])
                os.fsync(file.descriptor)
            raise


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


def _tidy(file: EditedFile, size: int, version: int, changed_ns: int) -> None:
    """Cut off what an earlier, interrupted edit left after the new end; set the time of change that the mark names."""
    with contextlib.suppress(OSError):
        if os.fstat(file.descriptor).st_size > size:
            os.ftruncate(file.descriptor, size)
        if version == 2 and os.utime in os.supports_fd:
            os.utime(file.descriptor, ns=(changed_ns, changed_ns))


class _Rewriter:
    """Writes changed objects, children before parents."""

    def __init__(self, file: EditedFile, writer: TreeWriter, threads: int | None) -> None:
        self._file, self._writer, self._threads = file, writer, threads

    def rewrite(self, change: Change) -> int:
        """The new address of a changed object."""
        existing = change.existing
        header = copy.copy(existing.header)
        header.messages = list(header.messages)
        if existing.links is not None and (change.children or header.first(oh.SYMBOL_TABLE)):
            new: dict[bytes, int | None] = {}
            for name, child in change.children.items():
                link = escape_link(name).encode()
                if isinstance(child, Gone):
                    if existing.links.find(link) is not None:
                        new[link] = None
                elif isinstance(child, Change):
                    if not child.is_empty:
                        new[link] = self.rewrite(child)
                else:
                    new[link] = self._emit(child)
            header.messages = existing.links.changed(self._writer.append, new)
        if change.rows:
            growing = Growing(self._file, existing.address, "a dataset")
            growing.append(self._writer, header, change.rows, self._threads)
        if change.attrs:
            self._change_attributes(header, change.attrs)
        return self._writer.append(oh.encode(header))

    def _emit(self, node: Group | Array) -> int:
        return self._writer.write(node)

    def _change_attributes(self, header: ObjectHeader, attrs: dict[str, Any]) -> None:
        found = header.first(oh.ATTRIBUTE_INFO)
        info = oh.decode_info(found.body, 2) if found else Info(UNDEFINED, UNDEFINED, False, False, 0)
        messages = self._attributes(header, info)
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
        header.messages = [*others, Message(oh.ATTRIBUTE_INFO, oh.NEVER_SHARED, oh.encode_info(info, 2)), *kept]

    def _attributes(self, header: ObjectHeader, info: Info) -> dict[bytes, Message]:
        found = [message for message in header.messages if message.type == oh.ATTRIBUTE]
        if info.heap != UNDEFINED:
            bodies = dense.read_attributes(self._file.source, info.heap, info.tree)
            found += [Message(oh.ATTRIBUTE, 0, body, order & 0xFFFF) for body, order in bodies]
        if any(message.flags & oh.SHARED for message in found):
            raise NeedsLibhdf5Error("shared attributes")
        return {attribute.stored_name(message.body): message for message in found}

    def _dense(self, info: Info, messages: list[Message]) -> Info:
        if info.tracked or info.indexed or any(message.body[0] != 3 for message in messages):
            raise NeedsLibhdf5Error("many attributes that are of the older kind, or whose order is kept")
        heap, tree = self._writer.dense_attributes([message.body for message in messages])
        return info._replace(heap=heap, tree=tree)
