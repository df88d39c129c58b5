"""Lazily read text of any number of items is written like any other data, in every way to write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from h5burst import Array, Group, UnsupportedValueError, edit, graft, open_file, read_tree, write_tree

WORDS = np.array([f"Wort {n}" for n in range(65_537)], dtype=object)  # more than are read at once
RECORD = np.dtype([("name", h5py.string_dtype()), ("n", "i4")])


def by_edit(path: Path, node: Group) -> None:
    write_tree(path, Group())
    with edit(path) as tx:
        tx.put(("g",), node)


def by_graft(path: Path, node: Group) -> None:
    write_tree(path, Group())
    with open_file(path, "r+") as file:
        graft(file, ("g",), node)


WAYS: dict[str, Callable[[Path, Group], Any]] = {
    "write_tree": lambda path, node: write_tree(path, Group({"g": node})),
    "edit": by_edit,
    "graft": by_graft,
}


@pytest.mark.parametrize("way", WAYS)
def test_lazily_read_text_is_written(way: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/words"] = WORDS
        file["g/words"].attrs["language"] = "de"
        file["g/bytes"] = np.array([word.encode() for word in WORDS], h5py.string_dtype("ascii"))
        file["g/numbers"] = np.arange(5)
        file["g"].create_dataset("records", (3,), RECORD)[1] = ("é", 5)
    lazy = read_tree(tmp_path / "a.h5", lazy=True)["g"]
    assert isinstance(lazy, Group)

    WAYS[way](tmp_path / "b.h5", lazy)

    with h5py.File(tmp_path / "b.h5") as file:
        assert file["g/words"].asstr()[...].tolist() == WORDS.tolist()
        assert file["g/words"].attrs["language"] == "de"
        assert h5py.check_string_dtype(file["g/bytes"].dtype).encoding == "ascii"
        assert file["g/bytes"][65_536] == b"Wort 65536"
        assert file["g/numbers"][...].tolist() == [0, 1, 2, 3, 4]
        assert file["g/records"][1].tolist() == ("é".encode(), 5)


def test_a_cycle_beside_lazy_text_is_named(tmp_path: Path) -> None:
    write_tree(tmp_path / "a.h5", Group({"words": Array(WORDS)}))
    tree = read_tree(tmp_path / "a.h5", lazy=True)
    around = Group({"words": tree["words"]})
    around.children["again"] = around
    with pytest.raises(UnsupportedValueError, match="a group that holds itself"):
        write_tree(tmp_path / "b.h5", around)
    deep: Group = Group({"words": tree["words"]})
    for _ in range(3000):
        deep = Group({"g": deep})
    with pytest.raises(UnsupportedValueError, match="more than 128 groups"):
        write_tree(tmp_path / "b.h5", Group({"first": tree["words"], "deep": deep}))


@pytest.mark.parametrize("lazy", [False, True])
def test_sequences_that_are_read_lazily_are_written(lazy: bool, tmp_path: Path) -> None:
    """Alone, and beside a reference, which is what the writer meets first."""
    rows = np.array([np.arange(3, dtype="i4"), np.arange(2, dtype="i4")], dtype=object)
    for name, referring in (("rows", False), ("both", True)):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("rows", data=rows, dtype=h5py.vlen_dtype("i4"))
            if referring:
                file.create_dataset("a", data=[file["rows"].ref], dtype=h5py.ref_dtype)
        write_tree(tmp_path / f"{name}.h5", read_tree(tmp_path / "a.h5", lazy=lazy))
        with h5py.File(tmp_path / f"{name}.h5") as file:
            assert [list(row) for row in file["rows"]] == [[0, 1, 2], [0, 1]]
            assert file["rows"].dtype.metadata == h5py.vlen_dtype("i4").metadata
