"""Values that are behind references: a turned bit in them, or in the reference, is an error that names the object."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, CorruptFileError, Group, Storage, write_tree

ROWS = [(f"gène {k}", k / 2, "" if k % 3 else f"note {k}") for k in range(40)]
RECORDS = np.array(ROWS, [("name", "O"), ("x", "f8"), ("note", "O")])
TEXTS = np.array([f"text number {k}" for k in range(5000)], object)  # their references have no checksum of HDF5's


def sequences() -> Any:
    out = np.empty(4, object)
    out[:] = [np.arange(k + 1, dtype="i4") for k in range(4)]
    return out


def nested() -> Any:
    """Sequences of texts."""
    out = np.empty(2, object)
    out[:] = [np.array(["inner one", "inner two"], object), np.array(["inner three"], object)]
    return out


TREES: dict[str, tuple[Callable[[], Group], str, bytes]] = {
    "compound": (lambda: Group({"x": Array(RECORDS)}), "/x", "gène 7".encode()),
    "growing compound": (
        lambda: Group({"x": Array(RECORDS, storage=Storage(maxshape=(None,), chunks=(16,)))}),
        "/x",
        "gène 7".encode(),
    ),
    "one record": (lambda: Group({"x": Array(RECORDS[9])}), "/x", "gène 9".encode()),
    "attribute": (lambda: Group({"x": Array(np.arange(3), {"y": RECORDS[:9]})}), "/x", "gène 7".encode()),
    "root's attribute": (lambda: Group({}, {"y": RECORDS[:9]}), "/", "gène 7".encode()),
    "sequences": (lambda: Group({"x": Array(sequences())}), "/x", np.arange(4, dtype="i4").tobytes()),
    "sequences of text": (lambda: Group({"x": Array(nested())}), "/x", b"inner three"),
}


def turned(path: Path, place: int, bit: int = 0) -> Path:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    damaged = path.with_name("damaged.h5")
    damaged.write_bytes(data)
    return damaged


def ways_to_read(path: Path) -> dict[str, Callable[[], Any]]:
    def opened() -> Any:
        with h5burst.open(path) as file:
            found = file.get("x", file)
            return dict(found.attrs), found[...] if "x" in file else None

    def lazily() -> Any:
        root = h5burst.read_tree(path, lazy=True)
        found = root.children.get("x", root)
        return dict(found.attrs), np.asarray(found.data) if isinstance(found, Array) else None

    return {"read": lambda: h5burst.read_tree(path), "lazy": lazily, "open": opened}


@pytest.mark.parametrize("kind", TREES)
def test_a_turned_bit_is_an_error_that_names_the_object(kind: str, tmp_path: Path) -> None:
    make, where, text = TREES[kind]
    whole, tree = tmp_path / "whole.h5", make()
    write_tree(whole, tree)
    assert h5burst.verify(whole, deep=True) == []
    for read in ways_to_read(whole).values():
        read()
    damaged = turned(whole, whole.read_bytes().index(text) + len(text) - 1)
    assert [problem.path for problem in h5burst.verify(damaged)] == [where]
    for way, read in ways_to_read(damaged).items():
        with pytest.raises(CorruptFileError, match="checksum of a value") as raised:
            read()
        assert f"{damaged}: {where}" in str(raised.value), way


@pytest.mark.parametrize("kind", ["compound", "sequences", "sequences of text"])
def test_what_an_edit_by_copy_adds_is_checked(kind: str, tmp_path: Path) -> None:
    make, where, text = TREES[kind]
    path = tmp_path / "edited.h5"
    with h5py.File(path, "w") as file:  # references keep objects where they are
        file["a"] = np.arange(3)
        file["r"] = np.array([file["a"].ref], h5py.ref_dtype)
    if kind == "compound":
        with h5burst.edit(path) as tx:
            tx.put("x", make().children["x"])
            assert tx.way == "copy"
    else:
        write_tree(path, make(), overwrite=True)
        with h5burst.edit(path) as tx:
            tx.put("new", Array(np.arange(3)))
    damaged = turned(path, path.read_bytes().index(text) + len(text) - 1)
    assert [problem.path for problem in h5burst.verify(damaged)] == [where]


def test_a_part_is_read_where_another_is_damaged(tmp_path: Path) -> None:
    write_tree(tmp_path / "whole.h5", Group({"x": Array(RECORDS)}))
    damaged = turned(tmp_path / "whole.h5", (tmp_path / "whole.h5").read_bytes().index("gène 7".encode()))
    with h5burst.open(damaged) as file:
        assert file["x"][:7].tolist() == ROWS[:7]
        with pytest.raises(CorruptFileError, match="/x"):
            file["x"][5:9]


def test_salvage_brings_all_other_records(tmp_path: Path) -> None:
    write_tree(tmp_path / "whole.h5", Group({"x": Array(RECORDS)}))
    damaged = turned(tmp_path / "whole.h5", (tmp_path / "whole.h5").read_bytes().index("gène 7".encode()))
    result = h5burst.salvage(damaged, tmp_path / "saved.h5")
    assert [problem.path for problem in result.lost] == ["/x"]
    assert h5burst.verify(tmp_path / "saved.h5", deep=True) == []
    found = h5burst.read_tree(tmp_path / "saved.h5")["x"].data.tolist()
    assert found == [("", *row[1:]) if number == 7 else row for number, row in enumerate(ROWS)]


@pytest.mark.parametrize("bit", [0, 1, 2, 3, 4])
def test_salvage_writes_no_collection_of_a_length_that_libhdf5_refuses(tmp_path: Path, bit: int) -> None:
    whole, saved = tmp_path / "whole.h5", tmp_path / "saved.h5"
    with h5py.File(whole, "w") as file:
        ragged = file.create_dataset("ragged", (5,), h5py.vlen_dtype("i4"))
        for k in range(5):
            ragged[k] = np.arange(k)
    h5burst.repack(whole, whole, overwrite=True)
    h5burst.salvage(turned(whole, whole.read_bytes().index(b"GCOL") + 8, bit), saved)
    assert h5burst.verify(saved, deep=True) == []
    with h5py.File(saved) as file:
        assert [row.tolist() for row in file["ragged"]] == [list(range(k)) for k in range(5)]


def test_turned_references_to_many_texts_are_errors(tmp_path: Path) -> None:
    """No bit of a reference leads to another text: it has another length, or another element refers to it, too."""
    whole = tmp_path / "whole.h5"
    write_tree(whole, Group({"x": Array(TEXTS)}))
    with h5py.File(whole) as file:
        first = file["x"].id.get_offset()
    draw, refused = random.Random(5), 0
    for bit in draw.sample(range(8 * first, 8 * (first + 16 * len(TEXTS))), 120):
        damaged = turned(whole, bit // 8, bit % 8)
        problems = h5burst.verify(damaged)
        if problems:
            refused += 1
            assert [problem.path for problem in problems] == ["/x"]
            continue
        assert h5burst.read_tree(damaged)["x"].data.tolist() == TEXTS.tolist()
    assert refused == 120


def test_salvage_gives_up_both_elements_that_refer_to_one_text(tmp_path: Path) -> None:
    whole = tmp_path / "whole.h5"
    write_tree(whole, Group({"x": Array(TEXTS)}))
    with h5py.File(whole) as file:
        first = file["x"].id.get_offset()
    damaged = turned(whole, first + 16 * 100 + 12)  # its index
    data = damaged.read_bytes()
    index = [int.from_bytes(data[first + 16 * k + 12 :][:4], "little") for k in range(90, 110)]
    assert len(set(index)) == 19
    result = h5burst.salvage(damaged, tmp_path / "saved.h5")
    assert {problem.path for problem in result.lost} == {"/x"}
    assert h5burst.verify(tmp_path / "saved.h5", deep=True) == []
    found = h5burst.read_tree(tmp_path / "saved.h5")["x"].data
    differing = np.flatnonzero(found != TEXTS).tolist()
    assert len(differing) == 2
    assert 100 in differing
    assert [found[k] for k in differing] == ["", ""]


def test_texts_of_other_programs_may_share_what_they_refer_to(tmp_path: Path) -> None:
    """Only texts with a checksum of ours are known to be referred to once."""
    path = tmp_path / "theirs.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.array([f"text {k}" for k in range(10)], object)
    with h5py.File(path) as file:
        first = file["x"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[first + 16 : first + 32] = data[first : first + 16]
    path.write_bytes(data)
    assert h5burst.read_tree(path)["x"].data[:3].tolist() == ["text 0", "text 0", "text 2"]


@pytest.mark.parametrize("where", [0, 8], ids=["index", "size"])
@pytest.mark.parametrize("kind", ["text", "records"])
def test_a_wrong_note_of_free_space_is_found_although_texts_are_whole(kind: str, where: int, tmp_path: Path) -> None:
    """libhdf5 may read such a collection without end, or not at all."""
    whole = tmp_path / "whole.h5"
    write_tree(whole, Group({"x": Array(TEXTS[:20] if kind == "text" else RECORDS)}))
    data = whole.read_bytes()
    collection = data.rindex(b"GCOL")
    size = int.from_bytes(data[collection + 8 :][:8], "little")
    at = collection + 16
    while int.from_bytes(data[at : at + 2], "little"):
        at += 16 + (int.from_bytes(data[at + 8 :][:8], "little") + 7) // 8 * 8
    assert int.from_bytes(data[at + 8 :][:8], "little") == collection + size - at
    damaged = turned(whole, at + where, 1)
    problems = h5burst.verify(damaged)
    assert [problem.path for problem in problems] == ["/x"]
    wanted = h5burst.read_tree(whole)["x"].data.tolist()
    if kind == "text":  # records are read by libhdf5
        assert h5burst.read_tree(damaged)["x"].data.tolist() == wanted
        assert "free space" in problems[0].message
    for verb in (h5burst.salvage, h5burst.repack)[: 1 + (where == 8)]:
        verb(damaged, tmp_path / "new.h5", overwrite=True)
        assert h5burst.verify(tmp_path / "new.h5", deep=True) == []
        assert h5burst.read_tree(tmp_path / "new.h5")["x"].data.tolist() == wanted
