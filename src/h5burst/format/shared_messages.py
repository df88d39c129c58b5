"""Messages that a header shares: with a committed datatype, or through the table of shared messages of the file."""

from __future__ import annotations

import struct
from typing import NamedTuple

from h5burst._ext.h5parse import Source
from h5burst.format import object_header as oh
from h5burst.format.constants import UNDEFINED
from h5burst.format.fractal_heap import FractalHeap
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError

TABLE = 0x0F  # type of the message in the superblock extension that says where the table is
_IN_HEAP, _COMMITTED = 1, 2  # where a shared message is
_ENTRY = struct.Struct("<BBHIHHHQQ")
_MAX_INDICES = 8
_OFTEN_SEEN = 4096  # messages kept decoded


class SharedPlace(NamedTuple):
    """The place of a shared message: at the address of a committed datatype, or under an ID in the heap of its kind."""

    address: int | None
    heap_id: bytes


@total("a shared message")
def decode_place(body: bytes) -> SharedPlace:
    """The place that the body of a message with the flag "shared" names. Raises `CorruptStructureError`."""
    if len(body) < 10 or not 1 <= body[0] <= 3:
        raise CorruptStructureError("a shared message is too short, or of an unknown version")
    if body[0] == 3 and body[1] == _IN_HEAP:
        return SharedPlace(None, body[2:10])
    if body[0] == 3 and body[1] != _COMMITTED:
        raise CorruptStructureError("a shared message is in an unknown place")
    at = 8 if body[0] == 1 else 2
    if len(body) < at + 8:
        raise CorruptStructureError("a shared message is too short")
    return SharedPlace(int(struct.unpack_from("<Q", body, at)[0]), b"")


def encode_committed(address: int) -> bytes:
    """The body of a datatype message that is that of a committed datatype."""
    return bytes([3, _COMMITTED]) + address.to_bytes(8, "little")


def committed_datatype(source: Source, body: bytes) -> bytes:
    """The datatype message of the committed datatype that the body of a shared one names.

    Raises `CorruptStructureError`, and `UnsupportedFeatureError` for a message in the table of the file.
    """
    address = decode_place(body).address
    if address is None:
        raise UnsupportedFeatureError("messages shared through a table")
    message = oh.decode(source, address).first(oh.DATATYPE)
    if message is None:
        raise CorruptStructureError(f"there is no committed datatype at address {address}")
    return message.body


class SharedMessages:
    """The table of one file's shared messages. extension: address of its superblock extension, or UNDEFINED."""

    def __init__(self, source: Source, extension: int) -> None:
        self._source = source
        self._heaps: list[tuple[int, int]] = []  # kinds of messages as bits, address of the heap
        self._bodies: dict[tuple[int, bytes], bytes] = {}
        if extension == UNDEFINED:
            return
        table = oh.decode(source, extension).first(TABLE)
        if table is not None:
            self._open(table.body)

    @total("the table of shared messages", reads=True)
    def _open(self, body: bytes) -> None:
        if len(body) < 10 or not 0 < body[9] <= _MAX_INDICES:
            raise CorruptStructureError("the shared message table message has impossible values")
        address, count = int.from_bytes(body[1:9], "little"), body[9]
        table = self._source.read_checked(address, 4 + count * _ENTRY.size + 4, "the table of shared messages")
        if table[:4] != b"SMTB":
            raise CorruptStructureError(f"there is no table of shared messages at address {address}")
        for at in range(4, 4 + count * _ENTRY.size, _ENTRY.size):
            fields = _ENTRY.unpack_from(table, at)
            self._heaps.append((fields[2], fields[-1]))

    def body(self, kind: int, heap_id: bytes) -> bytes:
        """The body of a message of this type. Raises `CorruptStructureError`, `UnsupportedFeatureError`."""
        key = (kind, heap_id)
        body = self._bodies.get(key)
        if body is None:
            heap = next((address for kinds, address in self._heaps if kinds >> kind & 1), UNDEFINED)
            if heap == UNDEFINED:
                raise UnsupportedFeatureError(f"messages of type {kind} shared through a table that has none")
            body = FractalHeap(self._source, heap).objects([heap_id])[0]
            if len(self._bodies) > _OFTEN_SEEN:
                self._bodies.clear()
            self._bodies[key] = body
        return body
