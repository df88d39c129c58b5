"""References and sequences of variable length: what is read of them is written so that it leads to the same objects."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, Reference, UnsupportedValueError
from support.faithful import contents


def objects(*items: object) -> np.ndarray:
    out = np.empty(len(items), object)
    for place, item in enumerate(items):
        out[place] = item
    return out


def test_a_tree_with_references_is_written_as_it_was_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["x"] = np.arange(5.0)
        file["g/y"] = np.arange(10.0).reshape(5, 2)
        file["x"].make_scale("time")
        file["g/y"].dims[0].attach_scale(file["x"])
        file["to"] = np.array([[file["x"].ref, h5py.Reference()], [file["g"].ref, file["/"].ref]], h5py.ref_dtype)
        file.attrs["one"] = file["g/y"].ref
        file["g"].attrs["two"] = np.array([file["g"].ref, file["x"].ref], h5py.ref_dtype)
        rows = file.create_dataset("rows", (3,), h5py.vlen_dtype("i2"))
        rows[0], rows[2] = [1, 2, 3], [4]
        mixed = np.dtype([("to", h5py.ref_dtype), ("n", "i4")])
        file.create_dataset("mixed", (2,), mixed)[0] = (file["to"].ref, 7)
    h5burst.write_tree(tmp_path / "b.h5", h5burst.read_tree(tmp_path / "a.h5"))
    ours, theirs = contents(tmp_path / "b.h5", storage=False), contents(tmp_path / "a.h5", storage=False)
    for name in ("/x@", "/g@", "/@", "/rows@", "/g/y@"):
        assert sorted(part[:2] for part in ours[name]) == sorted(part[:2] for part in theirs[name])
    for name in ("/to", "/rows", "/mixed", "/x", "/g/y"):
        assert [ours[name][0], ours[name][2], ours[name][5]] == [theirs[name][0], theirs[name][2], theirs[name][5]]
    assert ours.keys() == theirs.keys()
    assert h5burst.diff(tmp_path / "a.h5", tmp_path / "b.h5") == []
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["g/y"].dims[0]["time"] == file["x"]
        assert file["x"].is_scale


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (objects(Reference("/nowhere")), "/nowhere, which is not in the tree"),
        (objects(Reference("/x", True)), "a region"),
        (objects(Reference("/x"), "text"), "only text, only references or only arrays"),
        (objects(np.arange(2), np.arange(2.0)), "different dtypes"),
        (objects(np.zeros((2, 2))), "one axis"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_path(tmp_path: Path, data: np.ndarray, words: str) -> None:
    tree = Group({"x": Array(np.arange(3)), "g": Group({"bad": Array(data)})})
    with pytest.raises(UnsupportedValueError, match=words) as caught:
        h5burst.write_tree(tmp_path / "a.h5", tree)
    assert caught.value.path == "/g/bad"
    assert list(tmp_path.iterdir()) == []


def test_a_transaction_refuses_references_with_their_path(tmp_path: Path) -> None:
    h5burst.write_tree(tmp_path / "a.h5", Group({"x": Array(np.arange(3))}))
    before = (tmp_path / "a.h5").read_bytes()
    with h5burst.edit(tmp_path / "a.h5") as tx, pytest.raises(UnsupportedValueError, match="by write_tree") as caught:
        tx.put(("to",), Array(objects(Reference("/x"))))
    assert caught.value.path == "/to"
    assert (tmp_path / "a.h5").read_bytes() == before


def test_names_that_were_escaped_are_referred_to(tmp_path: Path) -> None:
    tree = Group({"a/b": Array(np.arange(3)), "to": Array(objects(Reference("/%~a%2Fb")), {"note": "kept"})})
    h5burst.write_tree(tmp_path / "a.h5", tree)
    again = h5burst.read_tree(tmp_path / "a.h5")
    assert again["to"].data.tolist() == [Reference("/%~a%2Fb")]
    assert again["to"].attrs == {"note": "kept"}
