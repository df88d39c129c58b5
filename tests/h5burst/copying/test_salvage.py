"""Salvage: of a damaged file all that is not damaged, and every loss named."""

from __future__ import annotations

import os
import re
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

import h5burst
from h5burst import Array, CorruptFileError, Group, Storage
from support.faithful import contents


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    return tmp_path / "damaged.h5"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return tmp_path / "saved.h5"


def write(path: Path, libver: str = "latest") -> None:
    with h5py.File(path, "w", libver=libver) as file:
        for name in ("first", "second", "third"):
            group = file.create_group(name)
            group["values"] = np.arange(100.0)
            group["text"] = [name] * 5
            group.attrs["name"] = name
        file.create_dataset("chunked", data=np.arange(1000), chunks=(100,), fletcher32=True, fillvalue=-1)
        file["to"] = np.array([file["second"].ref, file["third/values"].ref], dtype=h5py.ref_dtype)
        file["again"] = file["third/values"]


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x55
    path.write_bytes(data)


def header_of(path: Path, name: str) -> int:
    with h5py.File(path) as file:
        return int(h5py.h5o.get_info(file[name].id).addr)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_nothing_is_lost_of_a_sound_file(damaged: Path, saved: Path, libver: str) -> None:
    write(damaged, libver)
    result = h5burst.salvage(damaged, saved)
    assert result.lost == ()
    assert result.nameless == 0
    assert contents(saved) == contents(damaged)


def test_what_is_copied_without_being_decoded_is_read_afterwards(damaged: Path, saved: Path) -> None:
    """Chunks that only libhdf5's plugins undo: damage in them was not listed."""
    with h5py.File(damaged, "w") as file:
        made = [
            file.create_dataset(name, data=np.arange(5000), chunks=(1000,), **hdf5plugin.LZ4())
            for name in ("bad", "good")
        ]
        place = made[0].id.get_chunk_info(2).byte_offset
    data = bytearray(damaged.read_bytes())
    data[place : place + 400] = b"\xff" * 400
    damaged.write_bytes(data)
    assert [problem.path for problem in h5burst.salvage(damaged, saved).lost] == ["/bad"]
    assert h5burst.open(saved)["bad"][:2000].tolist() == list(range(2000))
    assert h5burst.open(saved)["good"][:].tolist() == list(range(5000))


def test_what_is_left_of_a_file_cut_short_is_sound(damaged: Path, saved: Path) -> None:
    """Where the end of a group's header is lost, what is left is a group: it was an object of no kind."""
    with h5py.File(damaged, "w", libver="earliest") as file:
        for name in "abcdef":
            group = file.create_group(f"{name}/below")
            group["x"] = np.arange(40)
            for number in range(6):
                group.attrs[f"attribute {number}"] = "long enough to go elsewhere" * 3
    content = damaged.read_bytes()
    for length in range(1000, len(content), 371):
        damaged.write_bytes(content[:length])
        h5burst.salvage(damaged, saved, overwrite=True)
        assert h5burst.verify(saved) == [], length


def test_one_damaged_object_costs_that_object(damaged: Path, saved: Path) -> None:
    write(damaged)
    flip(damaged, header_of(damaged, "second/values") + 30)
    result = h5burst.salvage(damaged, saved)
    assert [problem.path for problem in result.lost] == ["/second/values"]
    with h5py.File(saved) as file:
        assert list(file["second"]) == ["text"]
        assert file["first/values"][99] == 99
        assert file[file["to"][0]] == file["second"]


def test_references_to_what_is_lost_are_null(damaged: Path, saved: Path) -> None:
    write(damaged)
    flip(damaged, header_of(damaged, "third/values") + 30)
    result = h5burst.salvage(damaged, saved)
    assert {problem.path for problem in result.lost} == {"/again"}  # the first of its two names
    with h5py.File(saved, "r+") as file:
        assert file[file["to"][0]] == file["second"]
        assert not file["to"][1]
        assert "again" not in file
        assert list(file["third"]) == ["text"]


def test_a_damaged_chunk_costs_its_elements(damaged: Path, saved: Path) -> None:
    write(damaged)
    with h5py.File(damaged) as file:
        place = file["chunked"].id.get_chunk_info(3).byte_offset
    flip(damaged, place + 5)
    result = h5burst.salvage(damaged, saved)
    assert len(result.lost) == 1
    assert result.lost[0].path == "/chunked"
    assert "(300,)" in result.lost[0].message
    assert "checksum" in result.lost[0].message
    with h5py.File(saved) as file:
        expected = np.arange(1000)
        expected[300:400] = -1
        np.testing.assert_array_equal(file["chunked"][...], expected)


def test_objects_of_a_damaged_group_are_found_without_their_names(damaged: Path, saved: Path) -> None:
    write(damaged)
    flip(damaged, header_of(damaged, "second") + 30)
    result = h5burst.salvage(damaged, saved)
    assert result.nameless == 2
    assert [problem.path for problem in result.lost] == ["/second"]
    with h5py.File(saved) as file:
        found = [item[...] for item in file["h5burst.nameless"].values()]
        assert sorted(len(values) for values in found) == [5, 100]
        assert sorted(file) == ["again", "chunked", "first", "h5burst.nameless", "third", "to"]
    assert h5burst.verify(saved, deep=True) == []


@pytest.mark.parametrize("version", [2, 3])
def test_one_turned_bit_of_the_superblock_costs_nothing(damaged: Path, saved: Path, version: int) -> None:
    if version == 3:
        h5burst.save(damaged, {"x": np.arange(9)})
    else:
        with h5py.File(damaged, "w", libver=("v108", "v108")) as file:
            file["x"] = np.arange(9)
    data = damaged.read_bytes()
    assert data[8] == version
    for bit in range(8 * 48):
        turned = bytearray(data)
        turned[bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(turned)
        (problem,) = h5burst.salvage(damaged, saved, overwrite=True).lost
        assert problem.path == "/", bit
        assert h5burst.load(saved)["x"].tolist() == list(range(9)), bit


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_lost_superblock_or_root_leaves_the_objects(damaged: Path, saved: Path, libver: str) -> None:
    write(damaged, libver)
    root = header_of(damaged, "/")
    data = bytearray(damaged.read_bytes())
    data[root : root + 8] = bytes(8)
    damaged.write_bytes(data)
    result = h5burst.salvage(damaged, saved)
    assert result.lost[0].path == "/"
    with h5py.File(saved) as file:
        names: list[str] = []
        file["h5burst.nameless"].visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        assert len(names) == 8
    assert h5burst.verify(saved) == []


def test_a_file_that_is_cut_short_gives_what_is_left(damaged: Path, saved: Path) -> None:
    tree = Group({f"d{k}": Array(np.arange(20_000.0) + k, storage=Storage("gzip")) for k in range(20)})
    h5burst.write_tree(damaged, tree)
    os.truncate(damaged, damaged.stat().st_size // 2)
    result = h5burst.salvage(damaged, saved)
    assert any("cut short" in problem.message for problem in result.lost)
    assert result.nameless >= 8
    with h5py.File(saved) as file:
        for item in file["h5burst.nameless"].values():
            np.testing.assert_array_equal(item[...] - item[0], np.arange(20_000.0))


def test_random_damage_never_stops_a_salvage(damaged: Path, saved: Path) -> None:
    write(damaged)
    whole = damaged.read_bytes()
    random = np.random.default_rng(5)
    outcomes = set()
    for _ in range(60):
        data = bytearray(whole)
        for place in random.integers(48, len(data), 8):
            data[place] = random.integers(256)
        damaged.write_bytes(data)
        result = h5burst.salvage(damaged, saved, overwrite=True)
        outcomes.add(bool(result.lost))
        assert h5burst.verify(saved) == [], [str(problem) for problem in result.lost]
    assert outcomes == {True}


def test_what_has_nothing_to_read_is_refused(damaged: Path, saved: Path) -> None:
    damaged.write_bytes(b"no HDF5 at all" * 1000)
    with pytest.raises(CorruptFileError, match="nothing of it can be read"):
        h5burst.salvage(damaged, saved)
    assert not saved.exists()
    with pytest.raises(ValueError, match="elsewhere"):
        h5burst.salvage(damaged, damaged, overwrite=True)
    saved.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        h5burst.salvage(damaged, saved)
    assert saved.read_bytes() == b"precious"


def many(path: Path, way: str) -> dict[str, float]:
    """A group of many links, in each form that has an index."""
    values = {f"unit_{k:03}": float(k) for k in range(600)}
    if way == "h5py":
        with h5py.File(path, "w", libver="latest") as file:
            for name, value in values.items():
                file[name] = value
        return values
    h5burst.save(path, values)
    if way == "edited":
        with h5burst.edit(path) as tx:
            tx.put(("first",), Array(np.array(-1.0)))
        values["first"] = -1.0
    return values


@pytest.mark.parametrize("way", ["saved", "edited", "h5py"])
@pytest.mark.parametrize(
    "structure", [b"FRHP", b"FHDB", b"FHIB", b"BTHD\0\5", b"BTHD\0\1", b"BTLF\0\5", b"BTIN\0\5", b"BTLF\0\1"]
)
def test_damage_in_the_index_of_a_large_group_costs_few_members(
    damaged: Path, saved: Path, way: str, structure: bytes
) -> None:
    values = many(damaged, way)
    data = damaged.read_bytes()
    live = data[: len(data) - 40]
    place = live.rfind(structure)
    if place < 0 or (way == "edited" and structure[:2] == b"FH"):
        pytest.skip("this form has no such structure")
    for behind in (2, 30):
        turned = bytearray(data)
        turned[place + behind] ^= 0x10
        damaged.write_bytes(turned)
        result = h5burst.salvage(damaged, saved, overwrite=True)
        assert h5burst.verify(saved) == []
        left = h5burst.load(saved)
        left.pop("h5burst.nameless", None)
        assert len(values) - len(left) <= 2, (behind, result.lost)
        assert all(left[name] == values[name] for name in left)
        assert [problem.path for problem in result.lost][:1] == (["/"] if result.lost else [])


def turned(path: Path, place: int, target: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    target.write_bytes(data)
    return target


@pytest.fixture
def changed_twice(tmp_path: Path) -> Path:
    """A large group, one member of which was replaced by two edits, another one removed."""
    path = tmp_path / "edited.h5"
    h5burst.save(path, {"units": {f"unit_{k:03}": float(k) for k in range(600)}})
    for value in (-1.0, -2.0):
        with h5burst.edit(path) as tx:
            tx.put("units/unit_005", Array(np.array(value)))
    with h5burst.edit(path) as tx:
        tx.remove("units/unit_007")
    return path


def test_no_earlier_state_takes_the_place_of_a_member_whose_link_is_damaged(
    changed_twice: Path, damaged: Path, saved: Path
) -> None:
    newest = changed_twice.read_bytes().rfind(b"unit_005")
    for behind in (3, 9):  # in the name, in the address
        turned(changed_twice, newest + behind, damaged)
        result = h5burst.salvage(damaged, saved, overwrite=True)
        with h5py.File(saved) as file:
            assert len(file["units"]) == 598
            assert "unit_005" not in file["units"]
            left = {item[()] for item in file["h5burst.nameless"].values() if isinstance(item, h5py.Dataset)}
        assert left == {-2.0}  # the newest; earlier states of the group hold the others
        assert "(598 are brought)" in result.lost[0].message


def test_a_member_that_may_be_an_earlier_state_of_itself_is_told(
    changed_twice: Path, damaged: Path, saved: Path
) -> None:
    h5burst.restore(changed_twice, 1)  # its link is before that of a later state
    places = [match.start() for match in re.finditer(re.escape(b"BTLF\0\1"), changed_twice.read_bytes())]
    is_told = False
    for place in places:
        result = h5burst.salvage(turned(changed_twice, place + 30, damaged), saved, overwrite=True)
        with h5py.File(saved) as file:
            value = file["units/unit_005"][()]
            assert "unit_007" in file["units"]
        is_told = any(problem.path == "/units/unit_005" for problem in result.lost)
        assert value == -1.0 or is_told, place
        if is_told:
            break
    assert is_told
