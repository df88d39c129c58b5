"""Edits beside a program without locks that changes the file in place: its superblock and size stay as they were."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import h5burst

IN_PLACE = {
    "a member is renamed": "f.move('n1', 'm1')",
    "a member leads elsewhere": "del f['n1']; f['n1'] = h5py.SoftLink('/n2')",
    "an attribute of the root": "f.attrs.modify('of_root', 77)",
    "values": "f['n1'][...] = 7",
}


def made(path: Path, kind: str) -> None:
    with h5py.File(path, "w", libver="earliest" if kind == "earliest" else "latest") as file:
        for number in range(4):
            file[f"n{number}"] = np.arange(10)
        file.attrs["of_root"] = 1
        if kind == "copied":
            file["reference"] = np.array([file["n1"].ref], h5py.ref_dtype)


def changed_by_h5py(path: Path, how: str) -> dict[str, object]:
    """What h5py, which takes no lock, has made of the file."""
    code = f"import sys, h5py\nwith h5py.File(sys.argv[1], 'r+', locking=False) as f: {IN_PLACE[how]}"
    subprocess.run([sys.executable, "-c", code, path], check=True)
    return found(path)


def found(path: Path) -> dict[str, object]:
    with h5py.File(path, "r") as file:
        values = {name: file[name][:].tolist() for name in file if name != "reference"}
        return {**values, "of_root": file.attrs["of_root"]}


@pytest.mark.skipif(os.name == "nt", reason="Windows locks what is open")
@pytest.mark.parametrize("how", IN_PLACE)
@pytest.mark.parametrize("kind", ["earliest", "latest", "copied"])
def test_an_edit_does_not_undo_it(kind: str, how: str, tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    made(path, kind)
    theirs: dict[str, object] = {}

    def edited() -> None:
        nonlocal theirs
        with h5burst.edit(path) as tx:
            tx.put("ours", h5burst.Array(np.arange(3)))
            assert tx.way == ("copy" if kind == "copied" else "append")
            size = path.stat().st_size
            theirs = changed_by_h5py(path, how)
            assert path.stat().st_size == size

    with pytest.raises(OSError, match="the file was changed by others"):
        edited()
    assert found(path) == theirs
    assert h5burst.verify(path) == []
    with h5burst.edit(path) as tx:
        tx.put("ours", h5burst.Array(np.arange(3)))
    assert found(path) == {**theirs, "ours": [0, 1, 2]}


@pytest.mark.skipif(os.name == "nt", reason="Windows locks what is open")
def test_a_compaction_does_not_undo_it(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    made(path, "latest")
    theirs: dict[str, object] = {}

    def change(done: int, of: int) -> None:
        if not theirs:
            theirs.update(changed_by_h5py(path, "a member is renamed"))

    with pytest.raises(OSError, match="the file was changed by others"):
        h5burst.repack(path, path, compression="gzip", overwrite=True, progress=change)
    assert found(path) == theirs


@pytest.mark.skipif(os.name == "nt", reason="Windows replaces nothing that is open")
@pytest.mark.parametrize("kind", ["latest", "copied"])
def test_other_names_of_the_file_show_an_edit_that_appends_and_keep_the_old_state_else(
    kind: str, tmp_path: Path
) -> None:
    path, other = tmp_path / "file.h5", tmp_path / "other.h5"
    made(path, kind)
    os.link(path, other)
    before = found(other)
    with h5burst.edit(path) as tx:
        with pytest.raises(BlockingIOError):
            h5burst.edit(other)
        tx.put("ours", h5burst.Array(np.arange(3)))
    assert found(path) == {**before, "ours": [0, 1, 2]}
    assert found(other) == (before if kind == "copied" else found(path))
    with h5burst.edit(other) as tx:
        tx.put("more", h5burst.Array(np.arange(2)))
    assert ("more" in found(path)) == (kind == "latest")
    assert h5burst.verify(path) == h5burst.verify(other) == []
