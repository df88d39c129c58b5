"""Compounds with members of variable-length text are written as h5py writes them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from h5burst import Array, Group, UnsupportedValueError, write_tree


@pytest.mark.parametrize("count", [0, 3, 9000])
def test_members_of_text_read_as_h5py_wrote_them(count: int, tmp_path: Path) -> None:
    rows = [(f"gène {n}", n / 2, "") for n in range(count)]
    records = np.array(rows, dtype=[("name", "O"), ("x", "f8"), ("note", "O")])
    write_tree(tmp_path / "file.h5", Group({"records": Array(records)}))
    with h5py.File(tmp_path / "file.h5") as file:
        stored = file["records"]
        assert h5py.check_string_dtype(stored.dtype["name"]).encoding == "utf-8"
        found = [(name.decode(), x, note.decode()) for name, x, note in stored[:].tolist()]
    assert found == rows


@pytest.mark.parametrize("bad", [1, None, "a\0b"])
def test_members_of_anything_else_are_refused(bad: object, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValueError, match="/records"):
        write_tree(tmp_path / "file.h5", Group({"records": Array(np.array([(bad, 1)], [("name", "O"), ("n", "i4")]))}))
    assert not (tmp_path / "file.h5").exists()
