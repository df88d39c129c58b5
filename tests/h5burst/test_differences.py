"""What `diff` finds: each kind of difference, by its path, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, Storage

BASE = {
    "a": np.arange(10.0), "i": np.arange(3), "t": np.array(["x", "y"], object), "c": np.array([1 + 2j]),
    "r": np.array([(1, 2.0)], [("n", "i4"), ("f", "f8")]),
}  # fmt: skip


def files(tmp_path: Path, changed: dict[str, Any], attrs: dict[str, Any] | None = None) -> tuple[Path, Path]:
    paths = tmp_path / "a.h5", tmp_path / "b.h5"
    for path, arrays, given in zip(paths, (BASE, {**BASE, **changed}), ({"u": 1.5}, attrs or {"u": 1.5}), strict=True):
        children = {name: Array(data) for name, data in arrays.items() if data is not None}
        h5burst.write_tree(path, Group({"g": Group(children, given)}), overwrite=True)
    return paths


@pytest.mark.parametrize(
    ("changed", "attrs", "path", "kind", "words"),
    [
        ({"a": None}, None, "/g/a", "only in a", "first"),
        ({"new": np.zeros(1)}, None, "/g/new", "only in b", "second"),
        ({"a": np.arange(10.0, dtype="f4")}, None, "/g/a", "type", "float64 and float32"),
        ({"a": np.arange(9.0)}, None, "/g/a", "shape", "(10,) and (9,)"),
        ({"a": np.r_[np.arange(9.0), 5]}, None, "/g/a", "value", "1 of 10 values differ, by at most 4"),
        ({"t": np.array(["x", "z"], object)}, None, "/g/t", "value", "[1]: y and z"),
        ({"r": np.array([(1, 3.0)], [("n", "i4"), ("f", "f8")])}, None, "/g/r", "value", "1 of 1"),
        ({"c": np.array([1 + 3j])}, None, "/g/c", "value", "by at most 1"),
        ({}, {"u": 2.5}, "/g@u", "attribute", "1.5 and 2.5"),
        ({}, {"u": np.float32(1.5)}, "/g@u", "attribute", "float64"),
        ({}, {"u": "1.5"}, "/g@u", "attribute", "1.5"),
        ({}, {"u": np.array([1.5, 1.5])}, "/g@u", "attribute", "shape"),
        ({}, {"v": 1}, "/g@u", "attribute", "only in the first"),
    ],
)
def test_a_difference_is_found(
    tmp_path: Path, changed: dict[str, Any], attrs: dict[str, Any] | None, path: str, kind: str, words: str
) -> None:
    found = h5burst.diff(*files(tmp_path, changed, attrs))
    assert (found[0].path, found[0].kind) == (path, kind)
    assert words in str(found[0])
    assert len(found) == (2 if attrs == {"v": 1} else 1)


def test_a_group_in_place_of_a_dataset_is_one_difference(tmp_path: Path) -> None:
    h5burst.write_tree(tmp_path / "a.h5", Group({"x": Array(np.zeros(1))}))
    h5burst.write_tree(tmp_path / "b.h5", Group({"x": Group({"y": Array(np.zeros(1))})}))
    assert [found.kind for found in h5burst.diff(tmp_path / "a.h5", tmp_path / "b.h5")] == ["kind"]


def test_storage_and_not_a_number_do_not_count(tmp_path: Path) -> None:
    data = np.where(np.arange(50_000) % 7 == 0, np.nan, np.arange(50_000.0))
    for name, storage in (("a", None), ("b", Storage("gzip", chunks=(999,)))):
        h5burst.write_tree(tmp_path / f"{name}.h5", Group({"x": Array(data, storage=storage)}))
    assert h5burst.diff(tmp_path / "a.h5", tmp_path / "b.h5") == []


def test_tolerances_are_those_of_numpy(tmp_path: Path) -> None:
    a, b = files(tmp_path, {"a": np.arange(10.0) * (1 + 1e-6)}, {"u": 1.5 + 1e-7})
    assert len(h5burst.diff(a, b)) == 2
    assert h5burst.diff(a, b, rtol=1e-5) == []
    assert h5burst.diff(a, b, atol=1e-4) == []
    assert [found.path for found in h5burst.diff(a, b, atol=1e-6)] == ["/g/a"]
    with pytest.raises(ValueError, match="negative"):
        h5burst.diff(a, b, rtol=-1)


def test_paths_choose_what_is_compared(tmp_path: Path) -> None:
    a, b = files(tmp_path, {"i": np.arange(3.0)})
    assert h5burst.diff(a, b, at="/g/a") == []
    assert [found.kind for found in h5burst.diff(a, a, at=("/g/i", "/g/a"))] == ["type", "shape"]
    with pytest.raises(KeyError, match=r"b\.h5.*nowhere"):
        h5burst.diff(a, b, at=("/g", "/nowhere"))


def test_references_are_equal_when_they_lead_to_the_same_object(tmp_path: Path) -> None:
    for name, target in (("a", "x"), ("b", "same"), ("c", "other")):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["x"] = np.arange(3)
            file["same"] = file["x"]
            file["other"] = np.arange(3)
            file["to"] = np.array([file[target].ref], dtype=h5py.ref_dtype)
            file.attrs["to"] = file[target].ref
    assert h5burst.diff(tmp_path / "a.h5", tmp_path / "b.h5") == []
    assert len(h5burst.diff(tmp_path / "a.h5", tmp_path / "c.h5")) == 2


def test_what_cannot_be_read_is_a_difference(tmp_path: Path) -> None:
    data = np.arange(50_000)
    for name in "ab":
        h5burst.write_tree(tmp_path / f"{name}.h5", Group({"x": Array(data), "y": Array(data)}))
    raw = bytearray((tmp_path / "b.h5").read_bytes())
    raw[5000] ^= 1
    (tmp_path / "b.h5").write_bytes(raw)
    found = h5burst.diff(tmp_path / "a.h5", tmp_path / "b.h5")
    assert [difference.kind for difference in found] == ["unreadable"]
    assert "checksum" in found[0].message


@pytest.mark.parametrize("place", ["/g/a", "/g/sub", "/g"])
def test_what_cannot_be_read_in_one_file_is_a_difference(tmp_path: Path, place: str) -> None:
    tree = Group({"g": Group({"a": Array(np.arange(10.0)), "sub": Group({"x": Array(np.arange(3))})})})
    for name in ("a.h5", "b.h5"):
        h5burst.write_tree(tmp_path / name, tree)
    with h5py.File(tmp_path / "b.h5") as file:
        address = h5py.h5o.get_info(file[place].id).addr
    content = bytearray((tmp_path / "b.h5").read_bytes())
    content[address + 6 : address + 10] = b"\xff" * 4  # the size of its header
    (tmp_path / "b.h5").write_bytes(content)
    for pair in (("a.h5", "b.h5"), ("b.h5", "a.h5")):
        (found,) = h5burst.diff(*(tmp_path / name for name in pair))
        assert (found.path, found.kind) == (place, "unreadable")
        assert f"the object header at address {address}" in found.message


def test_null_dataspaces_are_equal_to_each_other_alone(tmp_path: Path) -> None:
    for name, data in (("a.h5", np.arange(3)), ("b.h5", None)):
        h5burst.write_tree(tmp_path / name, Group({"x": Array(data)}))
    (found,) = h5burst.diff(tmp_path / "a.h5", tmp_path / "b.h5")
    assert (found.path, found.kind, found.message) == ("/x", "shape", "null in one file, not in the other")
    assert h5burst.diff(tmp_path / "b.h5", tmp_path / "b.h5") == []


def test_sequences_and_references_are_compared_by_what_they_hold(tmp_path: Path) -> None:
    def made(name: str, last: list[int], target: str) -> Path:
        with h5py.File(tmp_path / name, "w") as file:
            file["x"], file["y"], file["z"] = 1, 2, 3
            rows = file.create_dataset("rows", (2,), h5py.vlen_dtype("i4"))
            rows[0], rows[1] = [1, 2], last
            file["at"] = np.array([file[target].ref], dtype=h5py.ref_dtype)
            del file["z"]
        return tmp_path / name

    first = made("a.h5", [3], "x")
    assert h5burst.diff(first, made("b.h5", [3], "x")) == []
    for last in ([3, 4], [4]):
        (found,) = h5burst.diff(first, made("b.h5", last, "x"))
        assert (found.path, found.kind) == ("/rows", "value")
        assert "1 of 2 values differ; the first at [1]: [3] and " in found.message
    for target in ("y", "z"):  # the last leads nowhere
        (found,) = h5burst.diff(first, made("b.h5", [3], target))
        assert (found.path, found.kind) == ("/at", "value")
    assert h5burst.diff(tmp_path / "b.h5", tmp_path / "b.h5") == []


def test_records_of_other_fields_differ(tmp_path: Path) -> None:
    for name, field in (("a.h5", "b"), ("b.h5", "c")):
        h5burst.write_tree(tmp_path / name, Group({"x": Array(np.zeros(2, [("a", "i4"), (field, "i4")]))}))
    assert [found.kind for found in h5burst.diff(tmp_path / "a.h5", tmp_path / "b.h5")] == ["type", "value"]


def write_pair(tmp_path: Path, one: Callable[[h5py.File], Any], other: Callable[[h5py.File], Any]) -> list[str]:
    """Paths of the differences of two files that differ by what is done to them."""
    for name, change in (("a.h5", one), ("b.h5", other)):
        with h5py.File(tmp_path / name, "w", libver="latest") as file:
            file["x"] = np.arange(10)
            change(file)
    assert h5burst.diff(tmp_path / "a.h5", tmp_path / "a.h5") == []
    return [found.path for found in h5burst.diff(tmp_path / "a.h5", tmp_path / "b.h5")]


def region(file: h5py.File, stop: int) -> None:
    dataset = file.create_dataset("r", (1,), h5py.regionref_dtype)
    dataset[0] = file["x"].regionref[2:stop]


def sides(file: h5py.File, left: int) -> None:
    file.create_dataset("e", data=np.array([0, 1, 1]), dtype=h5py.enum_dtype({"LEFT": left, "RIGHT": 1 - left}))


UNSEEN: dict[str, tuple[Callable[[h5py.File], Any], Callable[[h5py.File], Any], str]] = {
    "region": (lambda f: region(f, 5), lambda f: region(f, 6), "/r"),
    "enumeration": (lambda f: sides(f, 0), lambda f: sides(f, 1), "/e"),
    "committed type": (lambda f: f.__setitem__("t", np.dtype("f4")), lambda f: None, "/t"),
    "dangling soft link": (
        lambda f: f.__setitem__("s", h5py.SoftLink("/here")),
        lambda f: f.__setitem__("s", h5py.SoftLink("/there")),
        "/s",
    ),
    "dangling soft link in one": (lambda f: f.__setitem__("s", h5py.SoftLink("/here")), lambda f: None, "/s"),
    "external link": (
        lambda f: f.__setitem__("s", h5py.ExternalLink("one.h5", "/x")),
        lambda f: f.__setitem__("s", h5py.ExternalLink("two.h5", "/x")),
        "/s",
    ),
    "maximal shape": (
        lambda f: f.create_dataset("g", (3,), "i4", maxshape=(None,), chunks=(3,)),
        lambda f: f.create_dataset("g", (3,), "i4", maxshape=(9,), chunks=(3,)),
        "/g",
    ),
    "growing or fixed": (
        lambda f: f.create_dataset("g", (3,), "i4", maxshape=(None,), chunks=(3,)),
        lambda f: f.create_dataset("g", (3,), "i4", chunks=(3,)),
        "/g",
    ),
    "another committed type": (
        lambda f: f.__setitem__("t", np.dtype("f4")),
        lambda f: f.__setitem__("t", np.dtype("i4")),
        "/t",
    ),
    "fill value": (
        lambda f: f.create_dataset("g", data=[1, 2], maxshape=(None,), fillvalue=7),
        lambda f: f.create_dataset("g", data=[1, 2], maxshape=(None,), fillvalue=8),
        "/g",
    ),
    "type without elements": (
        lambda f: f.create_dataset("n", data=h5py.Empty("f4")),
        lambda f: f.create_dataset("n", data=h5py.Empty("i2")),
        "/n",
    ),
}


@pytest.mark.parametrize("kind", UNSEEN)
def test_what_is_no_value_differs_too(tmp_path: Path, kind: str) -> None:
    one, other, path = UNSEEN[kind]
    assert write_pair(tmp_path, one, other) == [path]


def test_a_group_that_holds_itself_is_sound_and_equal_to_itself(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "n.h5", "w") as file:
        group = file.create_group("g")
        group["x"] = 1
        group["itself"] = group
    assert h5burst.diff(tmp_path / "n.h5", tmp_path / "n.h5") == []
    assert h5burst.verify(tmp_path / "n.h5") == []
    with pytest.raises(h5burst.CorruptFileError, match="a cycle is not a tree"):
        h5burst.load(tmp_path / "n.h5")
