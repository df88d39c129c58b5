"""The statement "holds no references" behind the end of a file: it spares looking at all objects; libhdf5 drops it."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, UnfinishedFileError
from h5burst.format import superblock
from h5burst.format.history import trailer_length
from h5burst.format.references import MARK_BYTES, encode_mark
from h5burst.write.edited_file import EditedFile
from reference.hdf5_tree import content


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "file.h5"
    group = Group({"numbers": Array(np.arange(50.0), {"unit": "m"}), "other": Group({"a": Array(np.arange(9))})})
    h5burst.write_tree(found, Group({"group": group, "large": Array(np.arange(30_000))}, {"title": "ours"}))
    return found


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose objects were all looked at."""
    found: list[Path] = []
    real = EditedFile._holds_references

    def counted(self: EditedFile) -> bool:
        found.append(self.path)
        return real(self)

    monkeypatch.setattr(EditedFile, "_holds_references", counted)
    return found


def set_one(path: Path, value: int) -> str:
    with h5burst.edit(path) as tx:
        tx.set_attributes(("group",), {"value": value})
        return tx.way


def whole(path: Path) -> superblock.Whole:
    with open(path, "rb") as stream:
        return superblock.read_whole(stream.fileno(), path.stat().st_size)


def test_what_this_package_wrote_is_not_looked_through(path: Path, looks: list[Path]) -> None:
    assert whole(path).end == path.stat().st_size - MARK_BYTES
    os.utime(path, (1, 1))
    for value in range(3):
        assert set_one(path, value) == "append"
        os.utime(path, (1, 1))  # as a copy without its times
    h5burst.compact(path)
    assert not looks


def test_an_edit_that_ended_before_its_commit_leaves_the_mark(path: Path, looks: list[Path]) -> None:
    def half() -> None:
        with h5burst.edit(path) as tx:
            tx.put(("x",), Array(np.arange(10)))
            raise RuntimeError("on purpose")

    before = path.read_bytes()
    with pytest.raises(RuntimeError):
        half()
    assert path.read_bytes() == before
    with open(path, "ab") as stream:
        stream.write(b"\xee" * 5000)  # what a killed one leaves
    set_one(path, 1)
    assert not looks
    with open(path, "rb") as stream:
        stream.seek(whole(path).end)
        behind = stream.read()
    assert behind.startswith(encode_mark(whole(path).root, whole(path).end))
    assert b"\xee" not in behind[MARK_BYTES + trailer_length() :]


@pytest.mark.parametrize("options", [{}, {"driver": "core"}, {"driver": "stdio"}, {"libver": "latest"}], ids=str)
def test_whatever_opens_the_file_for_writing_drops_the_mark(
    path: Path, looks: list[Path], options: dict[str, Any]
) -> None:
    with h5py.File(path, "r", **options):
        pass
    set_one(path, 1)
    assert not looks
    with h5py.File(path, "r+", **options):
        pass  # nothing is changed: even so
    assert whole(path).end == path.stat().st_size
    set_one(path, 2)
    set_one(path, 3)
    assert len(looks) == 1


def by_a_python_object(path: Path) -> None:
    with open(path, "rb+") as stream, h5py.File(stream, "r+"):
        pass


def by_one_writer_beside_readers(path: Path) -> None:
    with h5py.File(path, "r+", libver="latest") as file:
        file.swmr_mode = True


def by_h5clear(path: Path) -> None:
    subprocess.run(["h5clear", "-s", str(path)], check=True)


@pytest.mark.parametrize("opens", [by_a_python_object, by_one_writer_beside_readers, by_h5clear])
def test_other_ways_of_writing_drop_the_mark(path: Path, looks: list[Path], opens: Callable[[Path], None]) -> None:
    if opens is by_h5clear and shutil.which("h5clear") is None:
        pytest.skip("needs HDF5's h5clear")
    opens(path)
    assert whole(path).end == path.stat().st_size
    set_one(path, 1)
    assert len(looks) == 1


@pytest.mark.skipif(shutil.which("h5jam") is None, reason="needs HDF5's own tools")
def test_the_tools_of_hdf5_take_a_file_with_a_mark(path: Path, tmp_path: Path, looks: list[Path]) -> None:
    block, framed, repacked = tmp_path / "block", tmp_path / "framed.h5", tmp_path / "repacked.h5"
    block.write_bytes(b"a user block")
    subprocess.run(["h5jam", "-i", path, "-u", block, "-o", framed], check=True)
    subprocess.run(["h5repack", framed, repacked], check=True)
    subprocess.run(["h5diff", "-v", path, repacked], check=True, capture_output=True)
    subprocess.run(["h5stat", framed], check=True, capture_output=True)
    for file in (framed, repacked):
        assert h5burst.verify(file) == []
    assert set_one(framed, 5) == "copy"  # its superblock names the base address that it had before
    assert framed.read_bytes().startswith(b"a user block")
    with h5py.File(framed) as file:
        assert file["group"].attrs["value"] == 5
    assert not looks


def test_equal_saves_are_equal_byte_for_byte(path: Path, tmp_path: Path) -> None:
    tree = h5burst.read_tree(path)
    for name in ("one", "other"):
        h5burst.write_tree(tmp_path / name, tree)
        h5burst.repack(path, tmp_path / f"{name}.copy")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert (tmp_path / "one.copy").read_bytes() == (tmp_path / "other.copy").read_bytes()


def test_the_mark_is_not_dead_space_and_not_needed(path: Path, tmp_path: Path, looks: list[Path]) -> None:
    assert h5burst.info(path).dead_bytes == 0
    data, expected = path.read_bytes(), content(path)
    found: Any = h5burst.read_tree(io.BytesIO(data))["group/numbers"]
    assert np.array_equal(found.data, np.arange(50))
    for cut in (1, MARK_BYTES):
        path.write_bytes(data[:-cut])
        assert h5burst.verify(path) == []
        assert content(path) == expected
        assert h5burst.salvage(path, tmp_path / "salvaged.h5", overwrite=True).lost == ()
        set_one(path, 1)
        assert looks
        del looks[:]
    path.write_bytes(data[: -MARK_BYTES - 1])
    with pytest.raises(h5burst.CorruptFileError, match="cut short"):
        set_one(path, 1)
    assert not looks


def test_files_that_hold_references_are_never_marked(path: Path, tmp_path: Path, looks: list[Path]) -> None:
    with h5py.File(path, "r+") as file:
        file["group/other"].attrs["ref"] = file["large"].ref
    tree = h5burst.read_tree(path)
    h5burst.write_tree(tmp_path / "written.h5", tree)
    h5burst.repack(path, tmp_path / "repacked.h5")
    h5burst.salvage(path, tmp_path / "salvaged.h5")
    for name in ("written.h5", "repacked.h5", "salvaged.h5"):
        assert set_one(tmp_path / name, 1) == "copy"
        assert set_one(tmp_path / name, 2) == "copy"
    assert len(looks) == 6


def test_a_reference_in_room_that_was_there_is_noticed(path: Path) -> None:
    """Root, end of file, length and time are as they were: only that the mark is gone tells of the reference."""
    with h5py.File(path, "r+") as file:
        file["group"].attrs["room"] = np.arange(8)
    set_one(path, 1)
    before, status = whole(path), path.stat()
    with h5py.File(path, "r+") as file:
        del file["group"].attrs["room"]
        file["group"].attrs["ref"] = file["large"].ref
    after = whole(path)
    assert (after.root, after.end) == (before.root, before.end)
    with open(path, "ab") as stream:
        stream.write(b"\xee" * MARK_BYTES)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with h5burst.edit(path) as tx:
        tx.set_attributes(("large",), {"a": 1})
        assert tx.way == "copy"
    with h5py.File(path) as file:
        assert file[file["group"].attrs["ref"]].attrs["a"] == 1


_WRITES = """
import h5py, os, signal, sys
file = h5py.File(sys.argv[1], "r+")
file["group"].attrs["value"] = file["large"].ref
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_writer_that_was_killed_does_not_leave_a_mark_that_counts(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _WRITES, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert whole(path).end + MARK_BYTES == path.stat().st_size  # it is there, but so is the flag
    with pytest.raises(UnfinishedFileError):
        set_one(path, 1)


def test_in_a_file_for_older_programs_the_mark_is_good_for_its_time(path: Path, looks: list[Path]) -> None:
    with h5py.File(path, "w", libver=("earliest", "v108")) as file:
        file.create_group("group")
    for value in range(3):
        set_one(path, value)
    assert whole(path).version == 2
    assert len(looks) == 1
    os.utime(path, (1, 1))  # a superblock of version 2 has no flag that tells of a killed writer
    set_one(path, 3)
    assert len(looks) == 2


@pytest.mark.parametrize("differs", ["root", "end", "checksum"])
def test_marks_of_other_states_do_not_count(path: Path, looks: list[Path], differs: str) -> None:
    start = whole(path)
    mark = bytearray(encode_mark(start.root + 8 * (differs == "root"), start.end - 8 * (differs == "end")))
    if differs == "checksum":
        mark[-1] ^= 1
    with open(path, "rb+") as stream:
        stream.seek(start.end)
        stream.write(mark)
    set_one(path, 2)
    assert len(looks) == 1
