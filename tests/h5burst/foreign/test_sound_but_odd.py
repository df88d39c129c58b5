"""Sound files that are odd: not called damaged, copied where that can be done, and refused with the right reason."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array

NATIVE_COMPLEX = hasattr(h5py.h5t, "COMPLEX_IEEE_F64LE")


@pytest.mark.skipif(not NATIVE_COMPLEX, reason="needs libhdf5 2")
def test_native_complex_numbers_are_repacked(tmp_path: Path) -> None:
    values = np.arange(5) + 1j * np.arange(5)[::-1]
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        space = h5py.h5s.create_simple((5,))
        dataset = h5py.h5d.create(file.id, b"z", h5py.h5t.COMPLEX_IEEE_F64LE, space)
        h5py.Dataset(dataset)[...] = values
        assert dataset.get_type().get_class() == 11
    h5burst.repack(tmp_path / "a.h5", tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        assert np.array_equal(file["z"][...], values)
    assert h5burst.salvage(tmp_path / "a.h5", tmp_path / "c.h5").lost == ()


def test_complex_numbers_of_half_precision_are_read(tmp_path: Path) -> None:
    dtype = np.dtype([("r", "f2"), ("i", "f2")])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        kind = h5py.h5t.create(h5py.h5t.COMPOUND, 4)
        kind.insert(b"r", 0, h5py.h5t.IEEE_F16LE)
        kind.insert(b"i", 2, h5py.h5t.IEEE_F16LE)
        dataset = h5py.h5d.create(file.id, b"z", kind, h5py.h5s.create_simple((2,)))
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([(1, 2), (3, 4)], dtype), kind)
    with h5burst.open(tmp_path / "a.h5") as file:
        assert file["z"][:].tolist() == [(1.0, 2.0), (3.0, 4.0)]


@pytest.mark.parametrize("depth", [63, 64, 65, 200, 2000])
def test_very_deep_groups_are_sound_and_are_copied(tmp_path: Path, depth: int) -> None:
    whole, copy, deepest = tmp_path / "a.h5", tmp_path / "b.h5", "g/" * depth

    def check(path: Path) -> None:
        with h5py.File(path) as file:
            group = file[deepest]
            assert group["x"][()] == depth
            assert group["loop"] == group
            assert group["up"] == file[deepest[:-2] or "/"]
            assert group["up"].attrs["number"] == depth - 1

    with h5py.File(whole, "w", libver="latest") as file:
        group = file
        for number in range(depth):
            group.attrs["number"] = number
            above, group = group, group.create_group("g")
        group["x"], group["loop"], group["up"] = depth, group, above
    assert h5burst.verify(whole) == []
    assert h5burst.repack(whole, copy).objects == depth + 2
    check(copy)
    assert h5burst.salvage(whole, copy, overwrite=True).lost == ()
    check(copy)
    with h5burst.edit(whole) as tx:
        tx.put("more", Array(np.arange(5)))
        tx.set_attributes(deepest[: 2 * (depth // 2)], {"found": True})
        assert (tx.way == "copy") == (depth // 2 > 256)
    if depth <= 256:
        assert len(h5burst.changes(whole, 0)) == 2
    h5burst.compact(whole)
    check(whole)
    with h5py.File(whole) as file:
        assert file["g/" * (depth // 2)].attrs["found"]


def test_groups_without_an_end_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("h5burst.copying.objects._DEEPEST", 300)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/" * 310 + "x"] = 1
    with pytest.raises(OSError, match="more than 300 groups inside each other: h5repack may do it"):
        h5burst.repack(tmp_path / "a.h5", tmp_path / "b.h5")
    assert not (tmp_path / "b.h5").exists()


def test_a_file_of_a_family_says_so(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "fam%d.h5", "w", driver="family", memb_size=4096) as file:
        file["x"] = np.arange(5000)
    with pytest.raises(h5burst.CorruptFileError, match="one of several files"):
        h5burst.load(tmp_path / "fam0.h5")


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_what_a_file_object_gives_is_told(tmp_path: Path, kind: type) -> None:
    class Odd(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return kind(super().read(size))  # type: ignore[no-any-return]

    h5burst.save(tmp_path / "a.h5", {"a": 1})
    with pytest.raises(TypeError, match=f"gives {kind.__name__} where it is read"):
        h5burst.load(Odd((tmp_path / "a.h5").read_bytes()))
