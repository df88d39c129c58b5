"""One bit turned in files that were edited, copied and restored: what is read is right, or an error that says where.

A seeded sample for every kind of file. More: `H5BURST_TURNED_BITS=1000`; each bit once, and a sample of those in rooms
that nobody reads: `H5BURST_TURNED_BITS=all`, in pieces `H5BURST_PIECE=0/8` … `7/8`. From another seed:
`H5BURST_SEED=5`.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, CorruptFileError, Group, Storage

BITS = os.environ.get("H5BURST_TURNED_BITS", "15")
PIECE, PIECES = map(int, os.environ.get("H5BURST_PIECE", "0/1").split("/"))
OF_ROOMS = 2_000  # bits of rooms that nobody reads, beside all others
SALVAGES = 50  # beside all others, one in so many damaged files is salvaged
SEED = int(os.environ.get("H5BURST_SEED", "1"))
Content = dict[str, tuple[Any, ...]]  # by path, "path@name" for attributes


def content(node: Group | Array) -> Content:
    """All values of a tree that was read, as what can be compared."""
    found: Content = {}
    for names, item in node.walk():
        where = "/" + "/".join(names)
        found[where] = () if isinstance(item, Group) else as_bytes(item.data)
        found |= {f"{where}@{name}": as_bytes(value) for name, value in item.attrs.items()}
    return found


def as_bytes(value: Any) -> tuple[Any, ...]:
    array = np.asarray(value)
    kept = repr(array.tolist()) if array.dtype.hasobject else array.tobytes()
    return str(array.dtype), array.shape, kept


def of_h5py(path: Path) -> Content:
    """What h5py reads of all that is there."""
    found: Content = {}

    def visit(name: str, item: Any) -> None:
        found[name] = as_bytes(item[()]) if isinstance(item, h5py.Dataset) and item.shape is not None else ()
        found.update({f"{name}@{key}": as_bytes(value) for key, value in item.attrs.items()})

    with h5py.File(path) as file:
        visit("/", file)
        file.visititems(visit)
    return found


def reads_the_same(path: Path, wanted: Content) -> bool:
    try:
        return of_h5py(path) == wanted
    except (OSError, RuntimeError, KeyError, ValueError, MemoryError):
        return False


# ---------------------------------------------------------------- the kinds of files


def texts(count: int) -> Any:
    return np.array([f"text {'é' * (k % 7)}{k}" for k in range(count)], object)


def attributes(path: Path) -> None:
    """In headers, and in dense storage; added by edits as well."""
    few = {"n": 7, "t": "text", "a": np.arange(5.0), "ts": texts(3), "b": np.bytes_(b"bytes")}
    tree = Group(
        {"few": Array(np.arange(3), few), "many": Group({}, {f"k{k}": k * 1.5 for k in range(40)})}, {"r": "s"}
    )
    h5burst.write_tree(path, tree)
    with h5burst.edit(path) as tx:
        tx.set_attributes("few", {f"e{k}": f"edited {k}" for k in range(20)})


def saved(path: Path) -> None:
    """A dict of many kinds of values: markers, lists, compressed chunks, arrays of objects."""
    value = {
        "numbers": [1, 2.5, True, None, 3 + 4j],
        "nested": {"list": [1, "two", [b"three", {"four": 4}]], "empty": {}, 5: "integer key"},
        "chunks": (np.arange(9000) // 7).reshape(300, 30),
        "noise": np.random.default_rng(1).random(400),
        "dates": np.array(["2020-01-01", "NaT"], "M8[D]"),
        "texts": texts(20),
    }
    h5burst.save(path, value, compression="gzip")


def with_texts(path: Path) -> None:
    h5burst.write_tree(path, Group({"one": Array(np.array("single", object)), "some": Array(texts(60))}))


def indexed(path: Path) -> None:
    """A group whose links an edit has put behind an index."""
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for k in range(530):
            file[f"many/m{k:04}"] = k
    with h5burst.edit(path) as tx:
        tx.put("many/new", Array(np.arange(3)))
    h5burst.repack(path, path, compression=None, overwrite=True)


def few_indexed(path: Path) -> None:
    """The same form with few links, so that each bit of the file can be turned."""
    with mock.patch("h5burst.write.links.LINKS_IN_HEADER", 8):
        h5burst.write_tree(path, Group({"many": Group({f"m{k:02}": Array(np.array(k)) for k in range(12)})}))
        for k in range(3):
            with h5burst.edit(path) as tx:
                tx.put(f"many/new{k}", Array(np.arange(k)))


def edited(path: Path) -> None:
    with_texts(path)
    for k in range(3):
        with h5burst.edit(path) as tx:
            tx.put(f"new{k}", Array(np.arange(40 * k), {"note": f"of edit {k}"}))
            tx.put("grows", Array(np.zeros((0, 2), "i2"), storage=Storage("gzip", maxshape=(None, 2))))
            tx.append("grows", np.arange(40, dtype="i2").reshape(20, 2))


def compacted(path: Path) -> None:
    edited(path)
    h5burst.compact(path)


def restored(path: Path) -> None:
    edited(path)
    h5burst.restore(path, at=1)


def foreign(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["one"] = "single"
        file["some"] = texts(60)
        file["plain"] = np.arange(60.0)
        file["large"] = np.arange(1200)
        file.create_dataset("chunks", data=np.arange(300), chunks=(110,), compression="gzip")
        file.create_dataset("ragged", (5,), h5py.vlen_dtype("i4"))
        for k in range(5):
            file["ragged"][k] = np.arange(k)
        file["plain"].attrs.update({"n": 7, "t": "text", "ts": ["p", "q"]} | {f"k{k}": k for k in range(12)})
        for k in range(20):
            file[f"group/m{k}"] = k


def repacked(path: Path) -> None:
    foreign(path)
    h5burst.repack(path, path, compression=None, overwrite=True)


def repacked_with_gzip(path: Path) -> None:
    foreign(path)
    h5burst.repack(path, path, compression="gzip", overwrite=True)


def salvaged(path: Path) -> None:
    edited(path.with_name("sound.h5"))
    h5burst.salvage(path.with_name("sound.h5"), path)


KINDS: dict[str, Callable[[Path], None]] = {
    make.__name__: make
    for make in (
        saved,
        attributes,
        with_texts,
        indexed,
        few_indexed,
        edited,
        compacted,
        restored,
        repacked,
        repacked_with_gzip,
        salvaged,
    )
}


# ---------------------------------------------------------------- what is asked of each

NAMED = re.compile(
    r"(\d+ objects cannot be read: )?/|it is not an HDF5 file|.*superblock"
)  # the objects, or what the file begins with


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_is_right_or_an_error(tmp_path: Path, kind: str) -> None:
    whole, damaged, copy = (tmp_path / name for name in ("whole.h5", "damaged.h5", "copy.h5"))
    KINDS[kind](whole)
    data, draw = whole.read_bytes(), random.Random(f"{kind} {SEED}")
    wanted, theirs = content(h5burst.read_tree(whole)), of_h5py(whole)
    counts = dict.fromkeys(("refused", "salvaged", "read by both", "for libhdf5 alone"), 0)
    bits = turned_bits(data, draw)
    salvages_all = BITS != "all"
    file = Damaged(damaged, data)
    for bit in bits:
        file.turn(bit)
        problems = h5burst.verify(damaged)
        try:
            found = content(h5burst.read_tree(damaged))
        except CorruptFileError as error:
            counts["refused"] += 1
            is_right = bool(problems) and str(damaged) in str(error) and bool(NAMED.match(error.message))
        else:
            is_right = found == wanted
        assert is_right, bit
        if not problems:  # libhdf5 may never come back from what has some
            is_read = reads_the_same(damaged, theirs)
            counts["read by both" if is_read else "for libhdf5 alone"] += 1
            assert is_read or h5burst.verify(damaged, deep=True), bit
        elif salvages_all or draw.random() < 1 / SALVAGES:
            counts["salvaged"] += salvage_is_right(damaged, copy, wanted, bit)
    print(f"{kind}: {len(bits)} bits of {len(data)} bytes: {counts}")


def turned_bits(data: bytes, draw: random.Random) -> list[int]:
    """Which bits are turned; of a sample, none in rooms that nobody reads."""
    used = live(data)
    if BITS != "all":
        return [8 * int(draw.choice(used)) + draw.randrange(8) for _ in range(int(BITS))]
    rooms = np.setdiff1d(np.arange(len(data)), used)
    bits = [8 * int(at) + bit for at in used for bit in range(8)]
    bits += [8 * int(draw.choice(rooms)) + draw.randrange(8) for _ in range(OF_ROOMS if len(rooms) else 0)]
    return bits[PIECE::PIECES]


class Damaged:
    """A file in which one bit at a time is turned."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data, self.count, self.last = path, data, 0, 0
        path.write_bytes(data)

    def turn(self, bit: int) -> None:
        with self.path.open("r+b") as file:
            for at, mask in ((self.last, 0), (bit // 8, 1 << bit % 8)):
                file.seek(at)
                file.write(bytes([self.data[at] ^ mask]))
        self.last, self.count = bit // 8, self.count + 1
        os.utime(self.path, ns=(self.count, self.count))  # quicker than the clock of some file systems


def live(data: bytes) -> Any:
    """Bytes near others than 0: there is room between the parts of an edited file that nobody reads."""
    return np.flatnonzero(np.convolve(np.frombuffer(data, np.uint8) != 0, np.ones(17), "same") > 0.5)


def salvage_is_right(damaged: Path, copy: Path, wanted: Content, bit: int) -> bool:
    """Whether anything was left; what is there is right, or told as lost."""
    try:
        lost = [problem.path.split("@")[0] for problem in h5burst.salvage(damaged, copy, overwrite=True).lost]
    except CorruptFileError:
        return False
    assert h5burst.verify(copy) == [], bit
    for path, value in content(h5burst.read_tree(copy)).items():
        is_told = any(path.startswith(where) for where in lost) or path.startswith("/h5burst.nameless")
        assert is_told or wanted.get(path) == value, (bit, path)
    return True
