"""One damaged object costs that object: its neighbours are read, and the error names all that are damaged."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from h5burst import Array, CorruptFileError, Group, read_tree, write_tree
from h5burst.checking import verify

DAMAGED = ["/group/b", "/group/inner"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of ours in which one byte of two object headers is wrong."""
    path = tmp_path / "a.h5"
    arrays = {name: Array(np.arange(5), {"name": name}) for name in "abc"}
    write_tree(path, Group({"group": Group({**arrays, "inner": Group(dict(arrays))}), "x": Array(np.ones(3))}))
    with h5py.File(path) as file:
        places = [h5py.h5o.get_info(file[name].id).addr for name in DAMAGED]
    content = bytearray(path.read_bytes())
    for place in places:
        content[place + 15] ^= 1
    path.write_bytes(content)
    return path


def test_lazily_the_neighbours_of_damaged_objects_are_read(path: Path) -> None:
    tree = read_tree(path, lazy=True)
    assert sorted(tree["group"].children) == ["a", "b", "c", "inner"]
    for name in "ac":
        assert list(tree[f"group/{name}"].data) == [0, 1, 2, 3, 4]
        assert tree[f"group/{name}"].attrs == {"name": name}
    assert list(tree["x"].data) == [1, 1, 1]


@pytest.mark.parametrize("name", ["b", "inner"])
@pytest.mark.parametrize("asked", ["data", "attrs", "children"])
def test_whatever_is_asked_of_a_damaged_object_raises(path: Path, name: str, asked: str) -> None:
    node = read_tree(path, lazy=True)["group"].children[name]
    for same in (node, pickle.loads(pickle.dumps(node))):  # noqa: S301
        with pytest.raises(CorruptFileError, match=f"/group/{name}: the checksum of the object header"):
            getattr(same, asked)


def test_a_damaged_object_is_not_written_as_if_it_were_sound(path: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError, match="/group/"):
        write_tree(tmp_path / "b.h5", read_tree(path, lazy=True))
    assert not (tmp_path / "b.h5").exists()


def test_eagerly_the_error_names_all(path: Path) -> None:
    with pytest.raises(CorruptFileError, match=r"2 objects cannot be read: /group/b: .*; /group/inner: ") as caught:
        read_tree(path)
    assert [where for where, _ in caught.value.problems] == DAMAGED
    assert [problem.path for problem in verify(path)] == DAMAGED


def test_a_damaged_object_is_asked_as_a_group_and_shown(path: Path) -> None:
    node = read_tree(path, lazy=True)["group"].children["inner"]
    with pytest.raises(CorruptFileError, match="/group/inner"):
        node["a"]
    with pytest.raises(CorruptFileError, match="/group/inner"):
        _ = "a" in node
    assert repr(node).startswith("<DamagedNode: /group/inner")
    assert node == node
    assert node != read_tree(path, lazy=True)["group"].children["inner"]
    assert len({node, node}) == 1
