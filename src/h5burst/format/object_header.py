"""Object headers as lists of messages, read and written whole: what an edit copies of an object it only touches.

Headers of version 1 and 2 are read; version 2 is written, because it holds the same message bodies. For loading trees
there is the compiled parser, which looks into the messages; here they stay the bytes that they are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from h5burst._ext.h5emit import object_header
from h5burst._ext.h5parse import Source
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError

NIL = 0x00
DATASPACE = 0x01
LINK_INFO = 0x02
DATATYPE = 0x03
OLD_FILL_VALUE = 0x04
FILL_VALUE = 0x05
LINK = 0x06
EXTERNAL_FILES = 0x07
DATA_LAYOUT = 0x08
GROUP_INFO = 0x0A
FILTER_PIPELINE = 0x0B
ATTRIBUTE = 0x0C
COMMENT = 0x0D
OLD_MODIFICATION_TIME = 0x0E
CONTINUATION = 0x10
SYMBOL_TABLE = 0x11
MODIFICATION_TIME = 0x12
ATTRIBUTE_INFO = 0x15
REFERENCE_COUNT = 0x16
LAST_KNOWN = 0x17

SHARED, NEVER_SHARED, CONSTANT = 0x02, 0x04, 0x01  # message flags
TIMES, PHASE_CHANGE, ORDER_INDEXED, ORDER_TRACKED = 0x20, 0x10, 0x08, 0x04  # header flags; the order of attributes
MESSAGE_LIMIT = 65535  # bytes of one message
_LONGEST = 1 << 26  # bytes of one header: far beyond any that a program writes


_FRAME = struct.Struct("<BHB")  # before a message of version 2

OnUnreadable: TypeAlias = "Callable[[str], None]"


class Message(NamedTuple):
    """One message: its type, its flags, its body; order: when the attribute was made, where the header counts that."""

    type: int
    flags: int
    body: bytes
    order: int = 0


@dataclass(slots=True)
class ObjectHeader:
    """A header's messages without padding and continuations, and what its prefix says.

    flags: those of version 2 that say how the prefix and the messages are framed. times: 16 bytes with TIMES; phase: 4
    bytes with PHASE_CHANGE. links: hard links that lead to the object.
    """

    flags: int = 0
    times: bytes = b""
    phase: bytes = b""
    links: int = 1
    messages: list[Message] = field(default_factory=list)

    def first(self, kind: int) -> Message | None:
        """The first message of a type."""
        for message in self.messages:
            if message.type == kind:
                return message
        return None

    def replace(self, kind: int, message: Message) -> None:
        """Put `message` in the place of the first one of a type, or at the end where there is none."""
        for number, old in enumerate(self.messages):
            if old.type == kind:
                self.messages[number] = message
                return
        self.messages.append(message)


def encode(header: ObjectHeader) -> bytes:
    """A version 2 header in one chunk, its checksum at the end."""
    return object_header(header.flags, header.times, header.phase, header.messages)


def reference_count(links: int) -> Message:
    """The message that says how many hard links lead to an object."""
    return Message(REFERENCE_COUNT, 0, b"\0" + links.to_bytes(4, "little"))


@total("an object header", reads=True)
def decode(source: Source, address: int, on_unreadable: OnUnreadable | None = None) -> ObjectHeader:
    """The header at an address. Raises `CorruptStructureError` for what is none, or is damaged.

    on_unreadable: called for parts behind the first that cannot be read, instead of raising.
    """
    start = source.read(address, min(16, max(0, source.size - address)))
    if start[:4] == b"OHDR":
        return _version_2(source, address, start, on_unreadable)
    if start[:2] == b"\x01\x00":
        return _version_1(source, address, start, on_unreadable)
    raise CorruptStructureError(f"there is no object header at address {address}")


def _version_2(source: Source, address: int, start: bytes, on_unreadable: OnUnreadable | None) -> ObjectHeader:
    flags = start[5]
    if start[4] != 2 or flags & 0xC0:
        raise CorruptStructureError(f"the object header at address {address} is of an unknown version")
    header = ObjectHeader(flags & (TIMES | PHASE_CHANGE | ORDER_INDEXED | ORDER_TRACKED))
    at = 6 + (16 if flags & TIMES else 0) + (4 if flags & PHASE_CHANGE else 0)
    width = 1 << (flags & 3)
    prefix = source.read(address, at + width)
    if flags & TIMES:
        header.times = prefix[6:22]
    if flags & PHASE_CHANGE:
        header.phase = prefix[at - 4 : at]
    size = int.from_bytes(prefix[at:], "little")
    waiting = [(address, at + width, size, "an object header")]
    framed = 6 if flags & ORDER_TRACKED else 4
    total = 0
    while waiting:
        part_at, skipped, size, part = waiting.pop(0)
        total += size
        _check_length(total, address, source)
        try:
            chunk = source.read_checked(part_at, skipped + size + 4, part)
            if skipped == 4 and chunk[:4] != b"OCHK":
                raise CorruptStructureError(f"no object header goes on at address {part_at}")
        except CorruptStructureError as error:
            if on_unreadable is None or skipped != 4:
                raise
            on_unreadable(f"a part of its header: {error}")
            continue
        for message in _messages_2(chunk, skipped, skipped + size, framed):
            if message.type == CONTINUATION:
                next_place, length = struct.unpack_from("<QQ", message.body)
                if length < 8:
                    raise CorruptStructureError("a part of an object header is too short")
                waiting.append((next_place, 4, length - 8, "a part of an object header"))
            elif message.type == REFERENCE_COUNT:
                (header.links,) = struct.unpack_from("<I", message.body, 1)
                header.messages.append(message)
            else:
                header.messages.append(message)
    return header


def _check_length(total: int, address: int, source: Source) -> None:
    if total > min(_LONGEST, source.size):
        raise CorruptStructureError(f"the object header at address {address} is too long, or its parts run in a cycle")


def _messages_2(chunk: bytes, at: int, end: int, framed: int) -> list[Message]:
    out = []
    while end - at >= framed:  # less is a gap
        kind, size, flags = _FRAME.unpack_from(chunk, at)
        order = int.from_bytes(chunk[at + 4 : at + 6], "little") if framed == 6 else 0
        at += framed
        if size > end - at:
            raise CorruptStructureError("a message is outside its object header")
        if kind != NIL:
            out.append(Message(kind, flags, chunk[at : at + size], order))
        at += size
    return out


def _version_1(source: Source, address: int, start: bytes, on_unreadable: OnUnreadable | None) -> ObjectHeader:
    _, _, _, links, size = struct.unpack_from("<BBHII", start)
    header = ObjectHeader(links=links)
    waiting = [(address + 16, size)]
    total = 0
    while waiting:
        part_at, size = waiting.pop(0)
        total += size
        _check_length(total, address, source)
        try:
            chunk, at = source.read(part_at, size), 0
        except CorruptStructureError as error:
            if on_unreadable is None or part_at == address + 16:
                raise
            on_unreadable(f"a part of its header: {error}")
            continue
        while len(chunk) - at >= 8:
            kind, length, flags = struct.unpack_from("<HHB", chunk, at)
            at += 8
            if length > len(chunk) - at:
                raise CorruptStructureError("a message is outside its object header")
            body = chunk[at : at + length]
            at += length
            if kind == CONTINUATION:
                waiting.append(struct.unpack_from("<QQ", body))
            elif kind == MODIFICATION_TIME:
                header.flags |= TIMES
                header.times = 4 * body[4:8]
            elif kind != NIL:
                header.messages.append(Message(kind, flags, body))
    return header
