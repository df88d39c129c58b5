"""The filter pipeline and the fill value, as their messages give them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from h5burst.codecs import SHUFFLE, Filter
from h5burst.format.constants import FIRST_NAMED_FILTER
from h5burst.format.total import total
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError


def encode_filters(filters: Sequence[Filter]) -> bytes:
    """Filter pipeline message, version 2."""
    body = bytes([2, len(filters)])
    for step in filters:
        name = step.name.encode() + b"\0" if step.id >= FIRST_NAMED_FILTER and step.name else b""
        lengths = (len(name), step.flags) if step.id >= FIRST_NAMED_FILTER else (step.flags,)
        body += struct.pack(f"<H{len(lengths)}HH", step.id, *lengths, len(step.values)) + name
        body += struct.pack(f"<{len(step.values)}I", *step.values)
    return body


@total("a filter pipeline message")
def decode_filters(message: bytes | None) -> tuple[Filter, ...]:
    """The filters in the order of writing; version 1 pads each name to 8 bytes and the values to pairs."""
    if message is None:
        return ()
    version, count = message[0], message[1]
    if version not in (1, 2):
        raise UnsupportedFeatureError(f"filter pipelines of version {version}")
    at = 8 if version == 1 else 2
    filters = []
    for _ in range(count):
        step, at = _decode_filter(message, at, version)
        filters.append(step)
    return tuple(filters)


def _decode_filter(message: bytes, at: int, version: int) -> tuple[Filter, int]:
    (identity,) = struct.unpack_from("<H", message, at)
    at += 2
    length = 0
    if version == 1 or identity >= FIRST_NAMED_FILTER:
        (length,) = struct.unpack_from("<H", message, at)
        at += 2
    flags, count = struct.unpack_from("<HH", message, at)
    at += 4
    name = message[at : at + length].split(b"\0")[0].decode("utf-8", "replace")
    at += length
    values = struct.unpack_from(f"<{count}I", message, at)
    at += 4 * count
    if identity == SHUFFLE and 0 in values:
        raise CorruptStructureError("a shuffle filter of elements without bytes")
    if version == 1 and count % 2:
        at += 4
    return Filter(identity, flags, values, name), at


@total("a fill value message")
def fill_element(message: bytes | None, size: int) -> bytes | None:
    """The fill value that a dataset was given, one element of `size` bytes; None where it has HDF5's own."""
    if message is None:
        return None
    version = message[0]
    if version == 3:
        if not message[1] & 0x20:
            return None
        at = 2
    elif version in (1, 2):
        if version == 2 and not message[3]:
            return None
        at = 4
    else:
        raise UnsupportedFeatureError(f"fill values of version {version}")
    (length,) = struct.unpack_from("<I", message, at)
    value = message[at + 4 : at + 4 + length]
    if length == 0 or length == 0xFFFFFFFF:
        return None
    if len(value) != size:
        raise CorruptStructureError("a fill value is of another size than an element")
    return value


def decode_fill_value(message: bytes | None, size: int) -> bytes | None:
    """One element as chunks that were never written hold it; None for zeros."""
    value = fill_element(message, size)
    return value if value is not None and any(value) else None
