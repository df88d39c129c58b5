"""Traces of a commit besides its objects: a record that leads to earlier ones, and a trailer.

The record is the last of the bytes before the new end of the file. It holds what the superblock was before the commit
(48 bytes: all that a commit changes in place), so that records lead to every earlier state. The trailer is behind the
mark (see `references`), where no reader looks and where libhdf5 cuts the file off: while it is there, nobody else has
changed the file. Addresses are counted from the base.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from h5burst._ext.h5parse import Source, lookup3, nearest_record
from h5burst.format.constants import UNDEFINED
from h5burst.format.superblock import SIZE
from h5burst.model.errors import CorruptStructureError

LONGEST_MESSAGE = 4096  # bytes of UTF-8
JUMP = 8  # a record leads to the last ones whose numbers are multiples of its powers
LEVELS = 5
SIGNATURE = b"H5B\x00comt"
STATE_DROPPED = 1  # flag: the state before this commit was dropped by compacting

_VERSION = 1
_RECORD = struct.Struct(f"<8sHHIQQqqQq{SIZE}s{2 * LEVELS}QHHHH")
_FLAGS_AT, _HEAD_AT = 10, 64
_CHECKSUM = 4
_READ_FIRST = 512  # bytes: most records are shorter
_BLOCK_BYTES = 1 << 20  # that are looked through at a time
_LONGEST = _RECORD.size + 4 * (1 << 16) + _CHECKSUM


class Jump(NamedTuple):
    """An earlier record: the number of its commit, its address."""

    number: int
    address: int


class Record(NamedTuple):
    """One commit.

    number: 1 for the first; address: of the record; time_ns: of the commit; before_ns: of the state before it;
    bytes_added: that the file became longer; restored_from: the state whose root it took, -1 for none; head: the first
    bytes of the superblock before it, empty where that state was dropped by compacting; jumps: earlier records, the one
    before this first; note: about the state before, where that is the first.
    """

    number: int
    address: int
    time_ns: int
    before_ns: int
    bytes_added: int
    restored_from: int
    head: bytes
    jumps: tuple[Jump, ...]
    message: str | None
    program: str
    version: str
    note: str

    def jumps_of_next(self) -> tuple[Jump, ...]:
        """Those of the record that follows this one."""
        jumps = {level: jump for level, jump in enumerate(self.jumps)}
        return tuple(
            Jump(self.number, self.address) if self.number % JUMP**level == 0 else jumps.get(level, _NOWHERE)
            for level in range(LEVELS)
        )


_NOWHERE = Jump(0, UNDEFINED)
NO_JUMPS = (_NOWHERE,) * LEVELS  # of the first record


def record_length(*texts: str | None) -> int:
    """Bytes of a record with these texts."""
    return _RECORD.size + sum(len(_encoded(text)) for text in texts) + _CHECKSUM


def encode_record(record: Record) -> bytes:
    """The bytes of a record. Raises ValueError for a text that is too long."""
    texts = [_encoded(text) for text in (record.message, record.program, record.version, record.note)]
    jumps = [part for jump in (*record.jumps, *[_NOWHERE] * (LEVELS - len(record.jumps))) for part in jump]
    data = _RECORD.pack(
        SIGNATURE,
        _VERSION,
        0 if record.head else STATE_DROPPED,
        _RECORD.size + sum(map(len, texts)) + _CHECKSUM,
        record.number,
        record.address,
        record.time_ns,
        record.before_ns,
        record.bytes_added,
        record.restored_from,
        record.head,
        *jumps,
        *map(len, texts),
    ) + b"".join(texts)
    return data + lookup3(data).to_bytes(_CHECKSUM, "little")


def _encoded(text: str | None) -> bytes:
    """A text; one that is not there is told from an empty one by a byte that UTF-8 does not have."""
    return b"\xff" if text is None else text.encode("utf-8", "surrogatepass")


def _decoded(text: bytes) -> str | None:
    return None if text == b"\xff" else text.decode("utf-8", "surrogatepass")


def read_record(source: Source, address: int, number: int | None = None) -> Record:
    """The record at an address, and of this number. Raises `CorruptStructureError`."""
    record = "the record of a commit" if number is None else f"the record of commit {number}"
    try:
        data = source.read(address, min(_READ_FIRST, max(0, source.size - address)))
        fields = _RECORD.unpack_from(data)
        signature, version, flags, length, own_number, own_address, *rest = fields
        if signature != SIGNATURE or version != _VERSION or not _RECORD.size + _CHECKSUM <= length <= _LONGEST:
            raise CorruptStructureError("there is none")
        if length > len(data):
            data = source.read(address, length)
        if lookup3(data[: length - _CHECKSUM]) != int.from_bytes(data[length - _CHECKSUM : length], "little"):
            raise CorruptStructureError("its checksum is wrong")
        if own_address != address or number not in (None, own_number):
            raise CorruptStructureError(f"it is that of commit {own_number}")
        texts = _texts(data[_RECORD.size : length - _CHECKSUM], fields[-4:])
    except (struct.error, UnicodeDecodeError, CorruptStructureError) as error:
        raise CorruptStructureError(f"{record} at address {address} cannot be read: {error}") from error
    time_ns, before_ns, bytes_added, restored_from, head, *numbers = rest
    jumps = tuple(map(Jump, numbers[: 2 * LEVELS : 2], numbers[1 : 2 * LEVELS : 2]))
    if any(jump.address != UNDEFINED and not (jump.number < own_number and jump.address < address) for jump in jumps):
        raise CorruptStructureError(f"{record} at address {address} leads to one that is not before it")
    message, program, by, note = texts
    return Record(
        own_number,
        address,
        time_ns,
        before_ns,
        bytes_added,
        restored_from,
        b"" if flags & STATE_DROPPED else head,
        jumps,
        message,
        program or "",
        by or "",
        note or "",
    )


def read_number(source: Source, address: int) -> int:
    """The number of the commit whose record is at an address. Raises `CorruptStructureError`."""
    number, _ = nearest_record(source, address, UNDEFINED)
    return number or read_record(source, address).number  # which says what is wrong


def read_earlier(source: Source, later: int, number: int) -> Record:
    """The record of commit `number`, or of the next one that there is after it; by the jumps of the record at `later`.

    Raises `CorruptStructureError`.
    """
    record = read_record(source, nearest_record(source, later, number)[1])
    while record.number > number:
        ahead = [jump for jump in record.jumps if jump.number >= number]
        if not ahead:
            break
        jump = min(ahead)
        record = read_record(source, jump.address, jump.number)  # which says what is wrong
    return record


def read_head(source: Source, later: int, number: int) -> bytes | None:
    """As of the record of commit `number` (see `read_earlier`); None where there is none.

    Raises `CorruptStructureError`.
    """
    nearest, address = nearest_record(source, later, number)
    if nearest != number:
        record = read_earlier(source, later, number)
        return record.head if record.number == number else None
    return b"" if source.read(address + _FLAGS_AT, 1)[0] & STATE_DROPPED else source.read(address + _HEAD_AT, SIZE)


def _texts(data: bytes, lengths: tuple[int, ...]) -> list[str | None]:
    if sum(lengths) != len(data):
        raise CorruptStructureError("its texts are of other lengths")
    texts, at = [], 0
    for length in lengths:
        texts.append(_decoded(data[at : at + length]))
        at += length
    return texts


# ---------------------------------------------------------------- the trailer behind the mark

_TRAILER_SIGNATURE = b"H5B\x00trlr"
_TRAILER = struct.Struct("<8sHHxxxxQQ")


class Trailer(NamedTuple):
    """The bytes behind the mark: their own length, the address of the newest record, or why there is none.

    reserve: zeros that follow it, so that libhdf5 finds a file that is long enough while a commit is made.
    """

    length: int
    newest: int | None
    reserve: int
    reason: str = ""


def trailer_length() -> int:
    """Bytes of a trailer without a reason."""
    return _TRAILER.size + _CHECKSUM


def encode_trailer(newest: int | None, reserve: int, reason: str = "") -> bytes:
    """The bytes of a trailer."""
    text = reason.encode()
    length = _TRAILER.size + len(text) + _CHECKSUM
    at = UNDEFINED if newest is None else newest
    data = _TRAILER.pack(_TRAILER_SIGNATURE, _VERSION, length, reserve, at) + text
    return data + lookup3(data).to_bytes(_CHECKSUM, "little")


def read_trailer(source: Source, address: int) -> Trailer | None:
    """The trailer at an address; None where there is none, or one of another version, of which nothing is known."""
    data = source.read(address, min(_READ_FIRST, max(0, source.size - address)))
    if len(data) < _TRAILER.size:
        return None
    signature, version, length, reserve, newest = _TRAILER.unpack_from(data)
    if signature != _TRAILER_SIGNATURE or version != _VERSION or not _TRAILER.size + _CHECKSUM <= length <= len(data):
        return None
    if lookup3(data[: length - _CHECKSUM]) != int.from_bytes(data[length - _CHECKSUM : length], "little"):
        return None
    reason = data[_TRAILER.size : length - _CHECKSUM].decode("utf-8", "replace")
    return Trailer(length, None if newest == UNDEFINED else newest, reserve, reason)


def last_record(source: Source, end: int, max_bytes: int) -> Record | None:
    """The last record among the bytes before `end`: no trailer leads to it. Only so many bytes are looked at."""
    end = min(end, source.size)
    for stop in range(end, max(0, end - max_bytes), -_BLOCK_BYTES):
        start = max(0, stop - _BLOCK_BYTES)
        data = source.read(start, min(end, stop + len(SIGNATURE) - 1) - start)
        at = data.rfind(SIGNATURE)
        while at >= 0:
            try:
                return read_record(source, start + at)
            except CorruptStructureError:
                at = data.rfind(SIGNATURE, 0, at)
    return None
