"""Every decoder of the format is total: whatever the bytes, it gives a value, or refuses them in one of two ways."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from h5burst._ext.h5parse import Source, SymbolTable, lookup3
from h5burst.format import (
    address_offsets,
    attribute,
    btree2,
    btree2_update,
    chunk_index,
    data_layout,
    dataspace,
    datatype,
    dense,
    external_files,
    filter_pipeline,
    fractal_heap,
    group_info,
    info_message,
    link_message,
    local_heap,
    object_header,
    shared_messages,
    superblock,
    symbol_table,
)
from h5burst.model.errors import CorruptStructureError, UnsupportedFeatureError

# From files of libhdf5, byte for byte: a message of each kind to begin with.
F8 = h5py.h5t.IEEE_F64LE.encode()[2:]
RECORD = h5py.h5t.py_create(np.dtype([("a", "i4"), ("b", "f8", 2)]), logical=True).encode()[2:]
ENUM = h5py.h5t.py_create(h5py.enum_dtype({"a": 1, "b": 2}), logical=True).encode()[2:]
TEXTS = bytes([0x19, 1, 1, 0, 16, 0, 0, 0]) + b"\x10\0\0\0\1\0\0\0\0\0\x08\0"
SPACE = bytes([2, 1, 1, 1]) + (4).to_bytes(8, "little") + b"\xff" * 8
LENGTHS = len(F8).to_bytes(2, "little") + len(SPACE).to_bytes(2, "little")
NAMED = b"\3\0\2\0" + LENGTHS + b"\0a\0" + F8 + SPACE + bytes(32)
CHUNKED = data_layout.encode((10, 10), 8, data_layout.FIXED_ARRAY, b"\x0a", 4096)

MESSAGES: dict[str, tuple[Callable[[bytes], Any], list[bytes]]] = {
    "attribute": (attribute.decode, [NAMED]),
    "name of an attribute": (attribute.stored_name, [NAMED]),
    "dataspace": (dataspace.extent, [SPACE]),
    "count of elements": (dataspace.element_count, [SPACE]),
    "datatype": (datatype.decode, [F8, RECORD, ENUM, TEXTS]),
    "places in a datatype": (address_offsets.address_offsets_of, [F8, RECORD, ENUM, TEXTS]),
    "chunked layout": (lambda body: data_layout.decode(body, 2, 8), [CHUNKED]),
    "contiguous layout": (data_layout.decode_contiguous, [data_layout.encode_contiguous(99, 8)]),
    "compact layout": (data_layout.decode_compact, [b"\3\0\2\0ab"]),
    "virtual layout": (data_layout.decode_virtual, [b"\4\3" + bytes(12)]),
    "layout of any version": (data_layout.modern, [b"\1\2\1" + bytes(5) + b"\7" * 8 + bytes([9, 0, 0, 0]) * 2]),
    "filters": (filter_pipeline.decode_filters, [bytes([2, 1, 1, 0, 0, 0, 1, 0, 4, 0, 0, 0])]),
    "fill value": (lambda body: filter_pipeline.fill_element(body, 4), [b"\3\x29\4\0\0\0abcd"]),
    "link": (link_message.decode, [link_message.encode(b"name", 99, 3)]),
    "name of a link": (link_message.name_of, [link_message.encode(b"name", 99)]),
    "link info": (lambda body: info_message.decode(body, 8), [b"\0\1" + bytes(24)]),
    "attribute info": (lambda body: info_message.decode(body, 2), [b"\0\3" + bytes(26)]),
    "group info": (lambda body: group_info.allowing(body, 9), [b"\0\3" + bytes(8)]),
    "shared message": (shared_messages.decode_place, [b"\3\2" + bytes(8)]),
    "symbol table": (symbol_table.decode_message, [bytes(16)]),
    "external files": (external_files.heap_of, [b"\1" + bytes(23)]),
}


def is_refused_or_read(decode: Callable[[Any], Any], body: Any) -> None:
    with contextlib.suppress(CorruptStructureError, UnsupportedFeatureError):
        decode(body)


@st.composite
def near(draw: st.DrawFn, known: list[bytes]) -> bytes:
    """Bytes that begin as a real message does: cut, with bytes changed, with some behind it; or any bytes at all."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=60))
    body = bytearray(draw(st.sampled_from(known)))
    for at, value in draw(st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)), max_size=4)):
        body[at] = value
    end = draw(st.one_of(st.just(len(body)), st.integers(0, len(body))))
    return bytes(body[:end]) + draw(st.binary(max_size=9))


@pytest.mark.parametrize("name", MESSAGES)
def test_decoders_of_messages_are_total(name: str) -> None:
    decode, known = MESSAGES[name]
    for whole in known:
        for end in range(len(whole)):
            is_refused_or_read(decode, whole[:end])

    @given(near(known))
    @example(b"")
    def check(body: bytes) -> None:
        is_refused_or_read(decode, body)

    check()


@pytest.mark.parametrize("name", MESSAGES)
def test_the_examples_are_read(name: str) -> None:
    decode, known = MESSAGES[name]
    for body in known:
        decode(body)


# ---------------------------------------------------------------- structures outside of headers


@functools.cache
def written(libver: Any) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver=libver) as file:
        group = file.create_group("many")
        for number in range(40):
            group.create_group(f"{number}")
            group.attrs[f"{number}"] = number
        file.create_dataset("grown", data=np.arange(99), chunks=(3,), maxshape=(None,), compression="gzip")
        file.create_dataset("fixed", data=np.arange(99), chunks=(3,), compression="gzip")
        file.create_dataset("tree", data=np.ones((9, 9)), chunks=(3, 3), maxshape=(None, None), compression="gzip")
    return stream.getvalue()


def source_of(data: bytes) -> Source:
    def fill(at: int, out: Any) -> None:
        memoryview(out)[:] = data[at : at + len(out)]

    return Source(-1, len(data), reader=fill)


def chunked(source: Source, kind: int, address: int) -> Any:
    layout = data_layout.ChunkedLayout((3,) if kind != data_layout.BTREE2 else (3, 3), kind, address, None)
    rank = len(layout.chunks)
    unlimited = (1 << 64) - 1
    limits = {data_layout.FIXED_ARRAY: (99,), data_layout.BTREE1: (99,)}.get(kind, (unlimited,) * rank)
    return chunk_index.read_index(source, layout, (99,) if rank == 1 else (9, 9), limits, 24 * 3 ** (rank - 1), True)


def heaps(source: Source, address: int) -> Any:
    heap = fractal_heap.FractalHeap(source, address)
    fractal_heap.read_huge_only(source, address)
    return heap.objects([bytes([0x10]) + b"\1" * 7, b"\0" * 8, b"\x20abcdefg"])


def older_group(source: Source, _: int = 0) -> Any:
    """The root's links, all and one, of a file whose first tree, heap and leaf are those of the root."""
    data = written("earliest")
    table = SymbolTable(source, data.index(b"TREE"), data.index(b"HEAP"))
    return table.links(), SymbolTable(source, data.index(b"TREE"), data.index(b"HEAP")).find(b"grown")


def test_the_older_group_is_read() -> None:
    data = written("earliest")
    links, grown = older_group(source_of(data))
    with h5py.File(io.BytesIO(data)) as file:
        places = {name: h5py.h5o.get_info(file[name].id).addr for name in file}
    assert {name.decode(): target for name, target in links} == places
    assert grown == places["grown"]


STRUCTURES: dict[str, tuple[bytes, bool, Callable[[Source, int], Any]]] = {
    "object header": (b"OHDR", True, object_header.decode),
    "object header, version 1": (b"\1\0", False, object_header.decode),
    "fractal heap": (b"FRHP", True, heaps),
    "B-tree of links": (b"BTHD", True, lambda source, at: btree2.read_records(source, at, 5)),
    "B-tree of attributes": (b"BTHD", True, lambda source, at: btree2.read_records(source, at, 8)),
    "index of links": (b"BTHD", True, lambda source, at: btree2_update.Index(source, at, 5, bytes).find(b"")),
    "links": (b"BTHD", True, lambda source, at: dense.read_links(source, 0, at)),
    "attributes": (b"BTHD", True, lambda source, at: dense.read_attributes(source, 0, at)),
    "extensible array": (b"EAHD", True, lambda source, at: chunked(source, data_layout.EXTENSIBLE_ARRAY, at)),
    "fixed array": (b"FAHD", True, lambda source, at: chunked(source, data_layout.FIXED_ARRAY, at)),
    "B-tree of chunks": (b"BTHD", True, lambda source, at: chunked(source, data_layout.BTREE2, at)),
    "older B-tree": (b"TREE", False, lambda source, at: chunked(source, data_layout.BTREE1, at)),
    "local heap": (b"HEAP", False, local_heap.read_header),
    "older group": (b"TREE", False, older_group),
    "names of an older group": (b"HEAP", False, older_group),
    "leaf of an older group": (b"SNOD", False, older_group),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_readers_of_structures_are_total(name: str) -> None:
    """A structure of a real file with bytes changed, under a right checksum where it has one."""
    signature, is_checked, read = STRUCTURES[name]
    data = written(("v110", "v110") if is_checked else "earliest")
    start = data.index(signature, 8)
    end = next((e for e in range(start + 8, start + 3000) if lookup3(data[start:e]) == _u32(data, e)), start + 60)
    is_refused_or_read(lambda at: read(source_of(data), at), start)

    changes = st.lists(st.tuples(st.integers(start, end - 1), st.integers(0, 255)), max_size=4)

    @given(changes, st.one_of(st.just(len(data)), st.integers(start, len(data))))
    def check(changed: list[tuple[int, int]], size: int) -> None:
        out = bytearray(data)
        for at, value in changed:
            out[at] = value
        if is_checked:
            out[end : end + 4] = lookup3(bytes(out[start:end])).to_bytes(4, "little")
        is_refused_or_read(lambda at: read(source_of(bytes(out[:size])), at), start)

    check()


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


@given(st.binary(max_size=120), st.sampled_from([b"", superblock.encode(48, 96), superblock.SIGNATURE + bytes(90)]))
def test_superblocks_are_total(rest: bytes, begin: bytes) -> None:
    content = begin + rest

    def fill(at: int, out: Any) -> None:
        memoryview(out)[:] = content[at : at + len(out)]

    is_refused_or_read(lambda reader: superblock.read_superblock(-1, len(content), reader), fill)
