"""What a tree cannot keep is refused with its path, and never changed silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from h5burst import Array, Group, Reference, UnsupportedValueError, read_tree, write_tree


@pytest.mark.parametrize("kind", ["dataset", "attribute", "attribute array", "ragged"])
def test_references_stay_references(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        target = file.create_group("target")
        if kind == "dataset":
            file.create_dataset("x", data=[target.ref, h5py.Reference()], dtype=h5py.ref_dtype)
        elif kind == "attribute":
            file["x"] = 1
            file["x"].attrs["at"] = target.ref
        elif kind == "attribute array":
            file["x"] = 1
            file["x"].attrs.create("at", [target.ref, target.ref], dtype=h5py.ref_dtype)
        else:
            made = file.create_dataset("x", (1,), h5py.vlen_dtype(h5py.ref_dtype))
            made[0] = np.array([target.ref], h5py.ref_dtype)

    tree = read_tree(path)
    found: Any = tree["x"].attrs.get("at", tree["x"].data)
    first = np.asarray(found, dtype=object).ravel()[0]
    assert (first[0] if kind == "ragged" else first) == Reference("/target")
    write_tree(tmp_path / "b.h5", tree)
    again = read_tree(tmp_path / "b.h5")
    assert np.array_equal(np.asarray(again["x"].attrs.get("at", again["x"].data), dtype=object), np.asarray(found))
    del tree.children["target"]
    with pytest.raises(UnsupportedValueError, match=r"not in the tree \(at /x"):
        write_tree(tmp_path / "c.h5", tree)
    assert not (tmp_path / "c.h5").exists()


@pytest.mark.parametrize("mask", [False, [False, True, False]])
def test_a_masked_array_is_refused(mask: Any, tmp_path: Path) -> None:
    masked = np.ma.masked_array([1.0, 2.0, 3.0], mask=mask)
    for tree in (Group({"x": Array(masked)}), Group({"x": Group(attrs={"a": masked})})):
        with pytest.raises(UnsupportedValueError, match=r"masked.*\(at /x"):
            write_tree(tmp_path / "a.h5", tree)
