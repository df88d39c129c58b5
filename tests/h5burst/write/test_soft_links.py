"""Soft links of a tree: written by both writers, followed by every reader, kept by edits beside them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from h5burst import Array, Group, edit, graft, read_tree, verify, write_tree


def tree() -> Group:
    times = Group({"default": Array(np.arange(5, dtype=np.uint64))})
    return Group({"stimulus": Group({"times": times}, links={"time": "times", "größe": "/stimulus/times/default"})})


def check(path: Path) -> None:
    with h5py.File(path) as file:
        assert file["stimulus"].get("time", getlink=True).path == "times"
        assert file["stimulus/time/default"] == file["stimulus/times/default"]
        assert file["stimulus/größe"][()].tolist() == [0, 1, 2, 3, 4]
    assert not verify(path)
    stimulus = read_tree(path)["stimulus"]
    assert isinstance(stimulus, Group)
    np.testing.assert_array_equal(stimulus["time/default"].data, np.arange(5))  # type: ignore[union-attr]


def test_soft_links_are_written_and_followed(tmp_path: Path) -> None:
    write_tree(tmp_path / "a.h5", tree())

    check(tmp_path / "a.h5")


def test_h5py_writes_the_same_links(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        graft(file, ("stimulus",), tree().children["stimulus"])

    check(tmp_path / "a.h5")


def test_an_edit_beside_them_keeps_them(tmp_path: Path) -> None:
    write_tree(tmp_path / "a.h5", tree())

    with edit(tmp_path / "a.h5") as tx:
        tx.put(("stimulus", "section"), Array(np.arange(3)))

    check(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["stimulus/section"].shape == (3,)


@pytest.mark.parametrize("count", [10, 2000])
def test_soft_links_in_groups_of_any_size(tmp_path: Path, count: int) -> None:
    group = Group({f"n{n}": Array(np.array([n])) for n in range(count)}, links={"last": f"n{count - 1}"})

    write_tree(tmp_path / "a.h5", group)

    with h5py.File(tmp_path / "a.h5") as file:
        assert file["last"][0] == count - 1
