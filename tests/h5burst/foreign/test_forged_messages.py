"""Header messages that are shorter than what they say, under a right checksum, in every verb: an error of the file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, CorruptFileError, Group
from h5burst._ext.h5parse import lookup3
from support.verbs import misbehaviours

# Types of messages, as the file format specification numbers them.
KINDS = {
    "dataspace": 0x01,
    "link info": 0x02,
    "datatype": 0x03,
    "fill value": 0x05,
    "link": 0x06,
    "external files": 0x07,
    "layout": 0x08,
    "group info": 0x0A,
    "filters": 0x0B,
    "attribute": 0x0C,
    "symbol table": 0x11,
    "attribute info": 0x15,
    "reference count": 0x16,
}
LENGTHS = (0, 1, 2, 8)
OBJECTS = 2  # of each kind are forged


def write(path: Path, libver: Any, *, refers: bool) -> None:
    """refers: whether it has what only a copy is edited for."""
    with h5py.File(path, "w", libver=libver) as file:
        file["plain"] = np.arange(20)
        file["plain"].attrs["unit"] = "mV"
        file.create_dataset("chunked", data=np.arange(200), chunks=(30,), compression="gzip", maxshape=(None,))
        file.create_dataset("filled", (30,), "i4", chunks=(4,), fillvalue=7)[5] = 1
        file.create_dataset("outside", (4,), "i4", external=[(str(path.with_suffix(".raw")), 0, 16)])
        file.create_dataset("compact", data=np.arange(3), dcpl=_compact(), dtype="i8", shape=(3,))
        file["record"] = np.array([(1, 2.0, b"a")], [("a", "i4"), ("b", "f8"), ("c", "S3")])
        if refers:
            file["refers"] = np.array([file["plain"].ref], h5py.ref_dtype)
            file["again"] = file["plain"]
        file["soft"] = h5py.SoftLink("/plain")
        file["few/one"], file["few/other"] = 1, h5py.SoftLink("/plain")
        many = file.create_group("many")
        for number in range(20):
            many.create_group(f"{number}")
            many.attrs[f"{number}"] = number


def _compact() -> Any:
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_layout(h5py.h5d.COMPACT)
    return made


def headers(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Start of each version 2 object header, where its messages begin, and where they end."""
    at = data.find(b"OHDR\x02")
    while at >= 0:
        flags = data[at + 5]
        begin = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        end = begin + width + int.from_bytes(data[begin : begin + width], "little")
        if lookup3(data[at:end]) == int.from_bytes(data[end : end + 4], "little"):
            yield at, begin + width, end
        at = data.find(b"OHDR\x02", at + 1)


def cut(data: bytes, kind: int, length: int) -> Iterator[bytes]:
    """The file with one message of a type cut to so many bytes, for each object that has one longer than that."""
    for start, begin, end in headers(data):
        frame = 6 if data[start + 5] & 4 else 4
        at = begin
        while end - at >= frame:
            size = int.from_bytes(data[at + 1 : at + 3], "little")
            if data[at] == kind and size > length:
                head = data[at : at + 1] + length.to_bytes(2, "little") + data[at + 3 : at + frame]
                rest = head + data[at + frame : at + frame + length] + data[at + frame + size : end]
                gone = size - length
                if gone >= frame:
                    rest += b"\0" + (gone - frame).to_bytes(2, "little") + bytes(gone - 3)
                else:
                    rest += bytes(gone)
                out = bytearray(data)
                out[at:end] = rest
                out[end : end + 4] = lookup3(bytes(out[start:end])).to_bytes(4, "little")
                yield bytes(out)
                break
            at += frame + size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["append", "copy"])
def test_a_message_that_is_cut_short_is_damage(kind: str, way: str, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.h5", tmp_path / "a.h5"
    write(whole, ("v110", "v110") if way == "append" else "latest", refers=way == "copy")
    data = whole.read_bytes()
    wrong = set()
    for length in LENGTHS:
        for number, forged in enumerate(islice(cut(data, KINDS[kind], length), OBJECTS)):
            path.write_bytes(forged)
            wrong |= {f"{kind} {number} cut to {length}: {what}" for what in misbehaviours(path)}
    assert not wrong, "\n".join(sorted(wrong))


def test_messages_are_found_and_cut(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", "latest", refers=True)
    data = (tmp_path / "a.h5").read_bytes()
    found = {name: sum(1 for _ in cut(data, kind, 0)) for name, kind in KINDS.items()}
    assert {name for name, count in found.items() if not count} <= {"symbol table"}
    assert all(struct.unpack_from("<8s", forged)[0] == data[:8] for forged in cut(data, KINDS["layout"], 3))


@pytest.mark.parametrize("messages", [0, 3])
def test_an_older_header_without_messages_is_damage(messages: int, tmp_path: Path) -> None:
    """No bytes are copied from it, to nowhere: `tests/sanitize.sh tests/h5burst/foreign/test_forged_messages.py`."""
    whole, path = tmp_path / "whole.h5", tmp_path / "a.h5"
    with h5py.File(whole, "w", libver=("earliest", "v108")) as file:
        file["plain"], file["other"] = np.arange(3), 1
        address = h5py.h5o.get_info(file["plain"].id).addr
    data = bytearray(whole.read_bytes())
    assert data[address] == 1  # its version
    data[address + 2 : address + 4] = messages.to_bytes(2, "little")
    data[address + 8 : address + 12] = bytes(4)  # bytes of messages
    path.write_bytes(data)
    assert list(misbehaviours(path)) == []
    with pytest.raises(h5burst.CorruptFileError, match="plain"):
        h5burst.read_tree(path)
    with h5burst.open(path) as file:
        assert file["other"][()] == 1


@pytest.mark.parametrize(
    ("at", "new", "problem"),
    [
        (0, b"LOST", r"there is no collection of the global heap at address \d+"),
        (8, bytes(8), r"the collection of the global heap at address \d+ claims 0 bytes"),
    ],
)
def test_loading_and_copying_tell_a_damaged_collection_of_texts_alike(
    at: int, new: bytes, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.h5"
    h5burst.write_tree(path, Group({"words": Array(np.array(["one", "two"], dtype=object))}))
    data = bytearray(path.read_bytes())
    place = data.index(b"GCOL") + at
    data[place : place + len(new)] = new
    path.write_bytes(data)
    for verb in (h5burst.read_tree, lambda path: h5burst.repack(path, tmp_path / "b.h5")):
        with pytest.raises(CorruptFileError, match=rf"a\.h5: /words: {problem}\."):
            verb(path)
