"""Edits of files with what only other programs write: shared messages, links in an order, groups of many links."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group
from support.shared_messages import share_messages


def write_shared(path: Path) -> None:
    with share_messages(path) as file:
        for number in range(30):
            made = file.create_dataset(f"d{number}", data=np.arange(20.0), chunks=(5,), compression="gzip")
            made.attrs["a"] = np.arange(10)


def write_ordered(path: Path) -> None:
    with h5py.File(path, "w", libver="latest", track_order=True) as file:
        for number in reversed(range(20)):
            file[f"d{number}"] = np.arange(number)
            file.attrs[f"a{number}"] = number


def write_ordered_many(path: Path) -> None:
    with h5py.File(path, "w", libver="latest", track_order=True) as file:
        for number in reversed(range(700)):
            file[f"d{number}"] = number


def write_dense(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(700):
            file[f"d{number}"] = number


def write_old(path: Path) -> None:
    with h5py.File(path, "w", libver="earliest") as file:
        for number in range(700):
            file[f"d{number}"] = number


@pytest.mark.parametrize("write", [write_shared, write_ordered, write_ordered_many, write_dense, write_old])
@pytest.mark.parametrize("repacked", [False, True])
def test_an_edit_changes_what_it_names_and_nothing_else(tmp_path: Path, write: Any, repacked: bool) -> None:
    path = tmp_path / "a.h5"
    write(path)
    if repacked:
        h5burst.repack(path, path, overwrite=True)
    with h5py.File(path) as file:
        names, before = list(file), {name: file[name][...] for name in file}
        attributes = list(file.attrs)
    with h5burst.edit(path) as tx:
        if write is write_shared:
            assert (tx.way == "append") == repacked, tx.reason
        tx.put(("new",), Array(np.arange(5)))
        tx.put(("group", "below"), Group({"x": Array(np.arange(3))}))
        tx.remove(("d3",))
        tx.set_attributes((), {"later": 1})
    with h5py.File(path, "r+") as file:
        expected = [name for name in names if name != "d3"]
        found = [name for name in file if name not in ("new", "group")]
        assert found == expected
        for name in expected:
            np.testing.assert_array_equal(file[name][...], before[name])
        assert [name for name in file.attrs if name != "later"] == attributes
        np.testing.assert_array_equal(file["new"][...], np.arange(5))
        file["by h5py"] = 1
        if write in (write_ordered, write_ordered_many):
            assert list(file)[-3:] == ["new", "group", "by h5py"]
    assert h5burst.verify(path) == []
