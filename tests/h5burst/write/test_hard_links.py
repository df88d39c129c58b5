"""A node that is at several places of a tree is one object of the file, with a hard link for each of its names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group


def written(path: Path, tree: Group) -> Path:
    h5burst.write_tree(path, tree)
    return path


def names_of(path: Path, *names: str) -> list[tuple[int, int]]:
    """What libhdf5 says of each name: the address of its object, and how many hard links lead to that."""
    with h5py.File(path) as file:
        infos = [h5py.h5o.get_info(file[name].id) for name in names]
    return [(info.addr, info.rc) for info in infos]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    small, large = Array(np.arange(3)), Array(np.arange(200_000.0), {"unit": "s"})
    group = Group({"small": small}, {"kind": "both"})
    units = {f"u{i}": Group({"small": small, "large": large, "group": group}) for i in range(2)}
    return written(tmp_path / "shared.h5", Group(units))


def test_libhdf5_counts_the_names(shared: Path) -> None:
    for name, count in [("small", 3), ("large", 2), ("group", 2)]:
        first, second = names_of(shared, f"u0/{name}", f"u1/{name}")
        assert first == second
        assert first[1] == count
    assert names_of(shared, "u0", "u1")[0][1] == 1


def test_libhdf5_keeps_the_object_until_its_last_name_is_gone(shared: Path) -> None:
    with h5py.File(shared, "r+") as file:
        del file["u0"]
        np.testing.assert_array_equal(file["u1/large"][:], np.arange(200_000.0))
        np.testing.assert_array_equal(file["u1/group/small"][:], [0, 1, 2])
    assert names_of(shared, "u1/large", "u1/group") == [
        (names_of(shared, "u1/large")[0][0], 1),
        names_of(shared, "u1/group")[0],
    ]
    assert h5burst.verify(shared) == []


def test_a_shared_node_is_read_as_one_and_cannot_be_changed_in_place(shared: Path) -> None:
    tree = h5burst.read_tree(shared)
    assert tree["u0/large"] is tree["u1/large"]
    assert tree["u0/group"] is tree["u1/group"]
    with pytest.raises(ValueError, match="read-only"):
        tree["u0/large"].data[0] = 1
    with h5py.File(shared) as file:
        np.testing.assert_array_equal(tree["u1/large"].data, file["u0/large"][:])


def test_written_again_the_names_stay(shared: Path, tmp_path: Path) -> None:
    again = written(tmp_path / "again.h5", h5burst.read_tree(shared))
    assert [count for _, count in names_of(again, "u0/small", "u0/large", "u0/group")] == [3, 2, 2]


def test_an_edit_shares_over_all_that_it_puts(shared: Path) -> None:
    node = Array(np.arange(5000.0))
    with h5burst.edit(shared) as tx:
        for unit in range(4):
            tx.put(("units", f"u{unit}"), Group({"axis": node}))
    assert len(set(names_of(shared, *(f"units/u{unit}/axis" for unit in range(4))))) == 1
    with h5burst.edit(shared) as tx:
        tx.put(("units", "u1", "axis"), Array(np.zeros(2)))
        tx.remove(("units", "u0"))
    with h5py.File(shared) as file:
        assert file["units/u1/axis"].shape == (2,)
        np.testing.assert_array_equal(file["units/u2/axis"][:], np.arange(5000.0))
        np.testing.assert_array_equal(file["units/u3/axis"][:], np.arange(5000.0))


def test_the_bytes_are_there_once(tmp_path: Path) -> None:
    data = np.random.default_rng(1).random(100_000)
    one, many = Array(data), [Array(data.copy()) for _ in range(10)]
    shared = written(tmp_path / "one.h5", Group({str(i): one for i in range(10)}))
    apart = written(tmp_path / "ten.h5", Group({str(i): node for i, node in enumerate(many)}))
    assert shared.stat().st_size < apart.stat().st_size / 9


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="needs HDF5's own tools")
def test_the_tools_of_hdf5_say_hard_link(shared: Path) -> None:
    dump = subprocess.run(["h5dump", "-H", str(shared)], capture_output=True, text=True, check=True).stdout
    assert "HARDLINK" in dump
