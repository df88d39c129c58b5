"""Messages that no program writes, or only a damaged file holds: each is refused with the words that say why."""

from __future__ import annotations

import struct
from typing import Any

import h5py
import numpy as np
import pytest

from h5burst._ext.h5emit import NeedsLibhdf5Error
from h5burst.format import (
    attribute,
    data_layout,
    dataspace,
    datatype,
    filter_pipeline,
    link_message,
    object_header,
    shared_messages,
)
from h5burst.format.address_offsets import address_offsets_of
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError

PLAIN = np.dtype([("a", "<f8"), ("b", "<i4")])


def stored(dtype: Any) -> bytes:
    """The datatype message that libhdf5 itself makes of a dtype."""
    kind = dtype if isinstance(dtype, h5py.h5t.TypeID) else h5py.h5t.py_create(np.dtype(dtype), logical=True)
    return bytes(kind.encode()[datatype.ENCODING_PREFIX :])


def changed(message: bytes, at: int, new: bytes) -> bytes:
    assert message[at : at + len(new)] != new
    return message[:at] + new + message[at + len(new) :]


def variable_length(base: bytes) -> bytes:
    return bytes([datatype.VARIABLE_LENGTH | 0x10, 0, 0, 0]) + struct.pack("<I", 16) + base


def array(base: bytes, count: int, size: int) -> bytes:
    """One axis of `count` elements, in the message's version 3."""
    return bytes([datatype.ARRAY | 0x30, 0, 0, 0]) + struct.pack("<IBI", size, 1, count) + base


def nested(depth: int) -> bytes:
    """Arrays of one element inside each other."""
    message = stored("<i4")
    for _ in range(depth):
        message = array(message, 1, 4)
    return message


def reference() -> bytes:
    return stored(h5py.ref_dtype)


def spaced_text_member() -> bytes:
    message, text = stored([("a", "S4")]), stored("S4")
    return changed(message, message.index(text) + 1, b"\2")


OF_SECONDS = stored(h5py.opaque_dtype(np.dtype("M8[s]")))


def complaint_of(part: object) -> str:
    """The name of a case: what is said of it."""
    return part if isinstance(part, str) else ""


# ---------------------------------------------------------------- datatypes as numpy's


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"", "too short, or has impossible values"),
        (stored("<i4")[:9], "too short, or has impossible values"),
        (nested(40), "a datatype nests more than 32 deep"),
        (changed(stored("<i4"), 4, bytes(4)), "a datatype has no size"),
        (changed(stored("S4"), 4, b"\xff" * 4), "more than numpy holds"),
        (
            changed(OF_SECONDS, 8, b"NUMPY:?9"),
            r"an opaque datatype is tagged b'NUMPY:\?9",
        ),
        (changed(OF_SECONDS, 4, b"\x04"), "an opaque datatype of 4 bytes is tagged"),
        (changed(stored(PLAIN), 8, b"b"), "a compound datatype has no members, or two of one name"),
        (changed(stored(PLAIN), 1, b"\0"), "a compound datatype has no members"),
        (changed(stored(PLAIN), 16, b"\x09"), "a member of a compound is outside it"),
        (stored(h5py.enum_dtype({"a": 0, "b": 1}, basetype="<i4"))[:-1], "an enumeration has fewer values than names"),
        (changed(array(stored("<i4"), 1, 4), 8, b"\0"), "an array datatype has 0 axes"),
        (array(stored("<i4"), 3, 8), "the size of an array datatype is not that of its elements"),
    ],
    ids=complaint_of,
)
def test_a_datatype_that_cannot_be_is_damage(message: bytes, complaint: str) -> None:
    with pytest.raises(CorruptStructureError, match=complaint):
        datatype.decode(message)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (changed(stored("<i4"), 0, bytes([datatype.FIXED_POINT | 0x60])), "datatype version 6"),
        (changed(stored("<i4"), 10, b"\x10"), "integers of odd sizes"),
        (changed(stored("<f8"), 16, struct.pack("<I", 1000)), "floating-point numbers other than IEEE 754"),
        (changed(stored("S4"), 1, b"\x05"), "strings of unknown padding or character set"),
        (variable_length(stored("<i4")), "variable-length sequences"),
        (reference(), "reference datatypes"),
        (changed(stored("<c16"), 4, b"\x18"), "complex numbers of an unusual layout"),
        (stored(h5py.h5t.NATIVE_B8), "bit field datatypes"),
        (spaced_text_member(), "compounds with text of another padding or of variable length"),
    ],
    ids=complaint_of,
)
def test_a_datatype_that_only_libhdf5_converts_is_left_to_it(message: bytes, complaint: str) -> None:
    with pytest.raises(UnsupportedFeatureError, match=complaint):
        datatype.decode(message)


@pytest.mark.parametrize(
    ("dtype", "complaint"),
    [
        (np.dtype([("a", object)]), "a dtype with objects in it"),
        (np.dtype([(f"{n:0500}", "<i4") for n in range(80)]), "a dtype with a very long description"),
    ],
    ids=complaint_of,
)
def test_dtypes_that_are_not_written_here(dtype: np.dtype[Any], complaint: str) -> None:
    with pytest.raises(NeedsLibhdf5Error, match=complaint):
        datatype.encode(dtype)


# ---------------------------------------------------------------- where addresses are in them


def test_places_of_references_at_any_depth() -> None:
    assert address_offsets_of(reference()).objects == (0,)
    assert address_offsets_of(stored(h5py.regionref_dtype)).regions == (0,)
    assert address_offsets_of(array(reference(), 3, 24)).objects == (0, 8, 16)
    record = address_offsets_of(stored([("n", "<i4"), ("at", h5py.ref_dtype)]))
    assert (record.size, record.objects) == (12, (4,))
    lists = address_offsets_of(variable_length(reference()))
    assert (lists.size, lists.objects, lists.holds_references) == (16, (), True)
    assert not address_offsets_of(variable_length(stored("<i4"))).holds_references
    assert address_offsets_of(stored(PLAIN)).is_plain
    assert address_offsets_of(stored(h5py.enum_dtype({"a": 0, "b": 1}, basetype="<i4"))).is_plain


@pytest.mark.parametrize(
    ("message", "error", "complaint"),
    [
        (bytes([0x16, 2, 0, 0, 8, 0, 0, 0]), CorruptStructureError, "a datatype message is too short"),
        (stored(PLAIN)[:-30], CorruptStructureError, "a datatype message is too short"),
        (nested(40), CorruptStructureError, "a datatype nests more than 32 deep"),
        (changed(stored("<i4"), 0, b"\x1c"), UnsupportedFeatureError, "datatypes of class 12"),
        (changed(reference(), 1, b"\x02"), UnsupportedFeatureError, "references of the kinds that HDF5 1.12 brought"),
        (
            array(reference(), 1 << 21, 1 << 24),
            UnsupportedFeatureError,
            "arrays of very many references in one element",
        ),
        (
            changed(variable_length(stored("<i4")), 4, b"\x20"),
            UnsupportedFeatureError,
            "variable-length values of another size than 16 bytes",
        ),
    ],
    ids=complaint_of,
)
def test_places_that_cannot_be_told(message: bytes, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        address_offsets_of(message)


# ---------------------------------------------------------------- other messages


@pytest.mark.parametrize(
    ("message", "error", "complaint"),
    [
        (bytes([3, 1]), UnsupportedFeatureError, "filter pipelines of version 3"),
        (bytes([2, 1, 2, 0]), CorruptStructureError, "a filter pipeline message is too short"),
        (
            bytes([2, 1]) + struct.pack("<HHHI", 2, 0, 1, 0),
            CorruptStructureError,
            "a shuffle filter of elements without bytes",
        ),
    ],
    ids=complaint_of,
)
def test_filter_pipelines(message: bytes, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        filter_pipeline.decode_filters(message)


@pytest.mark.parametrize(
    ("message", "error", "complaint"),
    [
        (bytes([4, 0]), UnsupportedFeatureError, "fill values of version 4"),
        (bytes([3, 0x20, 9]), CorruptStructureError, "a fill value message is too short"),
        (bytes([3, 0x20]) + struct.pack("<I", 2) + b"ab", CorruptStructureError, "of another size than an element"),
    ],
    ids=complaint_of,
)
def test_fill_values(message: bytes, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        filter_pipeline.fill_element(message, 4)


def layout(flags: int = 0, kind: int = data_layout.FIXED_ARRAY) -> bytes:
    return data_layout.encode((10, 10), 8, kind, b"\x0a", 4096, flags)


@pytest.mark.parametrize(
    ("message", "error", "complaint"),
    [
        (layout(kind=9), UnsupportedFeatureError, "chunk indices of type 9"),
        (layout()[:6], CorruptStructureError, "a chunked layout message is too short"),
        (data_layout.encode((10,), 8, 3, b"\x0a", 0), CorruptStructureError, "do not fit its shape or datatype"),
        (data_layout.encode((10, 0), 8, 3, b"\x0a", 0), CorruptStructureError, "do not fit its shape or datatype"),
        (data_layout.encode((1 << 20, 1 << 20), 8, 3, b"\x0a", 0), CorruptStructureError, "larger than chunks can be"),
    ],
    ids=complaint_of,
)
def test_data_layouts(message: bytes, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        data_layout.decode(message, 2, 8)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"\3\2", "too short, or of an unknown version"),
        (b"\4\2" + bytes(8), "too short, or of an unknown version"),
        (b"\3\7" + bytes(8), "a shared message is in an unknown place"),
        (b"\1\0" + bytes(10), "a shared message is too short"),
    ],
    ids=complaint_of,
)
def test_places_of_shared_messages(body: bytes, complaint: str) -> None:
    with pytest.raises(CorruptStructureError, match=complaint):
        shared_messages.decode_place(body)


def test_a_message_that_no_header_holds() -> None:
    header = object_header.ObjectHeader(messages=[object_header.Message(object_header.ATTRIBUTE, 0, bytes(65536))])
    with pytest.raises(ValueError, match="a message of 65536 bytes: a header holds at most 65535"):
        object_header.encode(header)


@pytest.mark.parametrize(
    ("body", "error", "complaint"),
    [
        (b"\1\0", CorruptStructureError, "an attribute message is too short"),
        (b"\4" + bytes(9), UnsupportedFeatureError, "attribute message version 4"),
        (struct.pack("<BBHHHB", 3, 0, 9, 9, 9, 0), CorruptStructureError, "longer than it"),
    ],
    ids=complaint_of,
)
def test_attributes(body: bytes, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        attribute.decode(body)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [(b"\3\1\0\0", "of an unknown version"), (b"\2\2\0\1" + bytes(8), "a dataspace message is too short")],
)
def test_dataspaces(body: bytes, complaint: str) -> None:
    with pytest.raises(CorruptStructureError, match=complaint):
        dataspace.extent(body)


@pytest.mark.parametrize(
    ("body", "complaint"), [(b"\1", "a link message is too short"), (b"\1\x08\1\x09abc", "outside its message")]
)
def test_links(body: bytes, complaint: str) -> None:
    with pytest.raises(CorruptStructureError, match=complaint):
        link_message.decode(body)
