"""Search for references to a file's objects: they name addresses, so that what they lead to must stay there."""

from __future__ import annotations

import os
import struct

from h5burst._ext.h5parse import Source, lookup3
from h5burst.format import attribute, dense
from h5burst.format import object_header as oh
from h5burst.format.address_offsets import address_offsets_of
from h5burst.format.object_header import ObjectHeader
from h5burst.format.shared_messages import committed_datatype
from h5burst.format.superblock import Whole


def holds_references(source: Source, header: ObjectHeader) -> bool:
    """True where the elements or the attributes of one object are, or contain, references.

    Raises `CorruptStructureError`, and `UnsupportedFeatureError` where it cannot be told.
    """
    for message in header.messages:
        if message.type == oh.DATATYPE and _is_reference(source, message.body, bool(message.flags & oh.SHARED)):
            return True
    attributes = dense.all_attributes(source, header.messages)
    return any(message.flags & oh.SHARED or _attribute_refers(source, message.body) for message in attributes)


def _attribute_refers(source: Source, body: bytes) -> bool:
    stored = attribute.decode(body)
    return _is_reference(source, stored.datatype, stored.is_type_shared)


def _is_reference(source: Source, body: bytes, shared: bool) -> bool:
    return address_offsets_of(committed_datatype(source, body) if shared else body).holds_references


# ---------------------------------------------------------------- the mark of files that hold none

#
# It is behind the end of the file that the superblock names, where no reader looks. libhdf5 cuts a file off at that end
# whenever it flushes or closes one that is open for writing, even where it has changed nothing; so whatever libhdf5
# does to the file, the mark is gone. A program that is killed in between leaves the flag "open for writing" in a
# superblock of version 3, and such a file is not edited. A version 2 superblock has no such flag: there, the mark holds
# the time of the last change as well.

MARK_BYTES = 40
_MARK = struct.Struct("<8sqQQ")
_SIGNATURE = b"H5B\x00norf"
_FINENESS_NS = (1, 100, 1000, 10_000_000, 10**9, 2 * 10**9)  # of times that file systems keep; FAT has the last one


def encode_mark(root: int, end: int, *, version: int = 3, changed_ns: int = 0) -> bytes:
    """The bytes behind the end of a file that holds no references.

    root, end, version: as the superblock has them, both addresses from its base. changed_ns: the time of the file's
    last change, which its writer sets; it matters where the version is 2.
    """
    data = _MARK.pack(_SIGNATURE, changed_ns if version == 2 else 0, root, end)
    return data + lookup3(data).to_bytes(MARK_BYTES - _MARK.size, "little")


def is_kept_as(marked_ns: int, written_ns: int) -> bool:
    """True where a file that was given the one time of change may have the other: what is finer is cut off."""
    return any(written_ns == marked_ns // fineness * fineness for fineness in _FINENESS_NS)


def marked_ns(descriptor: int, start: Whole) -> int | None:
    """The time of change in the mark of an open file of this superblock, 0 where it needs none; None without a mark."""
    if start.version not in (2, 3):
        return None
    os.lseek(descriptor, start.end, os.SEEK_SET)
    data = os.read(descriptor, MARK_BYTES)
    if len(data) < MARK_BYTES:
        return None
    changed_ns: int = _MARK.unpack_from(data)[1]
    mark = encode_mark(start.root, start.end - start.base, version=start.version, changed_ns=changed_ns)
    return changed_ns if data == mark else None
