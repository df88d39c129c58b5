"""Offsets of addresses in the elements of a datatype: references, and values of variable length."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from h5burst.format.datatype import MAX_DEPTH
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError

_REFERENCE, _COMPOUND, _ENUMERATION, _VARIABLE_LENGTH, _ARRAY, _OPAQUE, _COMPLEX = 7, 6, 8, 9, 10, 5, 11
_BODY_BYTES = {0: 12, 1: 20, 2: 10, 3: 8, 4: 12, _REFERENCE: 8}  # of the messages without parts
_OBJECT, _REGION = 0, 1  # types of references
_MAX_PLACES = 1 << 20  # of addresses in one element


class AddressOffsets(NamedTuple):
    """Offsets of addresses in one element of `size` bytes.

    objects, regions: offsets of references. sequences: offsets of variable-length values, with what their items hold.
    """

    size: int
    objects: tuple[int, ...] = ()
    regions: tuple[int, ...] = ()
    sequences: tuple[tuple[int, AddressOffsets], ...] = ()

    @property
    def is_plain(self) -> bool:
        """True where elements are the same bytes in every file."""
        return not (self.objects or self.regions or self.sequences)

    @property
    def holds_references(self) -> bool:
        """True where elements refer to objects, at any depth."""
        return bool(self.objects or self.regions) or any(inner.holds_references for _, inner in self.sequences)


@lru_cache(maxsize=4096)  # files have few datatypes, each many times
@total("a datatype message")
def address_offsets_of(datatype: bytes) -> AddressOffsets:
    """Of the body of a datatype message.

    Raises `UnsupportedFeatureError` for references of kinds that this module does not know, `CorruptStructureError`.
    """
    places, end = _walk(datatype, 0, 0)
    if end > len(datatype):
        raise CorruptStructureError("a datatype message is too short")
    return places


def _walk(body: bytes, at: int, depth: int) -> tuple[AddressOffsets, int]:
    """The offsets in a datatype that begins at `at`, and where it ends."""
    if depth > MAX_DEPTH:
        raise CorruptStructureError(f"a datatype nests more than {MAX_DEPTH} deep")
    first, size = struct.unpack_from("<II", body, at)
    kind, version, bits = first & 15, first >> 4 & 15, first >> 8
    if not size:
        raise CorruptStructureError("a datatype has no size")
    if kind == _REFERENCE:
        return _reference(bits & 15, size), at + _BODY_BYTES[kind]
    if kind in _BODY_BYTES:
        return AddressOffsets(size), at + _BODY_BYTES[kind]
    if kind == _OPAQUE:
        return AddressOffsets(size), at + 8 + (bits & 0xFF)
    if kind == _VARIABLE_LENGTH:
        inner, at = _walk(body, at + 8, depth + 1)
        if size != 16:
            raise UnsupportedFeatureError("variable-length values of another size than 16 bytes")
        return AddressOffsets(size, sequences=((0, inner),)), at
    if kind == _ARRAY:
        rank = body[at + 8]
        inner, at = _walk(body, at + (9 + 4 * rank if version >= 3 else 12 + 8 * rank), depth + 1)
        return _repeated(inner, size), at
    if kind == _ENUMERATION:
        return AddressOffsets(size), _behind_enumeration(body, at, version, bits & 0xFFFF, depth)
    if kind == _COMPLEX:  # of numbers of one type
        return AddressOffsets(size), _walk(body, at + 8, depth + 1)[1]
    if kind == _COMPOUND:
        return _compound(body, at + 8, version, bits & 0xFFFF, size, depth)
    raise UnsupportedFeatureError(f"datatypes of class {kind}")


def _reference(kind: int, size: int) -> AddressOffsets:
    if (kind, size) == (_OBJECT, 8):
        return AddressOffsets(size, objects=(0,))
    if (kind, size) == (_REGION, 12):
        return AddressOffsets(size, regions=(0,))
    raise UnsupportedFeatureError("references of the kinds that HDF5 1.12 brought")


def _repeated(inner: AddressOffsets, size: int) -> AddressOffsets:
    if inner.is_plain or not inner.size:
        return AddressOffsets(size)
    count = size // inner.size
    if count * (len(inner.objects) + len(inner.regions) + len(inner.sequences)) > _MAX_PLACES:
        raise UnsupportedFeatureError("arrays of very many references in one element")
    return _joined(size, [(k * inner.size, inner) for k in range(count)])


def _joined(size: int, members: list[tuple[int, AddressOffsets]]) -> AddressOffsets:
    return AddressOffsets(
        size,
        tuple(at + offset for at, member in members for offset in member.objects),
        tuple(at + offset for at, member in members for offset in member.regions),
        tuple((at + offset, inner) for at, member in members for offset, inner in member.sequences),
    )


def _behind_enumeration(body: bytes, at: int, version: int, count: int, depth: int) -> int:
    base, at = _walk(body, at + 8, depth + 1)
    for _ in range(count):
        at = _behind_name(body, at, version)
    return at + count * base.size


def _compound(body: bytes, at: int, version: int, count: int, size: int, depth: int) -> tuple[AddressOffsets, int]:
    members = []
    width = 4 if version < 3 else max(1, -(-size.bit_length() // 8))
    for _ in range(count):
        at = _behind_name(body, at, version)
        offset = int.from_bytes(body[at : at + width], "little")
        at += width
        lengths = (0, 0, 0, 0)
        if version == 1:
            rank = body[at]
            lengths = struct.unpack_from("<4I", body, at + 12)
            at += 28
        inner, at = _walk(body, at, depth + 1)
        if version == 1 and rank:
            inner = _repeated(inner, inner.size * int(np.prod(lengths[:rank], dtype=np.int64)))
        members.append((offset, inner))
    return _joined(size, members), at


def _behind_name(body: bytes, at: int, version: int) -> int:
    length = body.index(b"\0", at) - at + 1
    return at + (length if version >= 3 else (length + 7) // 8 * 8)
