"""Whole trees: what is refused before the first byte, what falls back to libhdf5, what a save promises."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst.model.tree import Array, Group, Storage, UnsupportedValueError
from h5burst.write import native
from h5burst.write.preflight import MAX_DEPTH, validate
from reference.hdf5_tree import content, every_kind, write_plainly


def nested(depth: int) -> Group:
    group = Group()
    for _ in range(depth):
        group = Group({"g": group})
    return group


def with_cycle() -> Group:
    inner = Group()
    inner.children["up"] = outer = Group({"down": inner})
    return outer


def objects(*items: Any) -> Any:
    data = np.empty(len(items), dtype=object)
    data[:] = items
    return data


REFUSED: dict[str, tuple[Any, str]] = {
    "mixed objects": (Array(objects("a", 1)), "/x"),
    "str and bytes": (Array(objects("a", b"b")), "/x"),
    "any object": (Array(objects({}, None)), "/x"),
    "instants": (Array(np.array(["2024-01-01"], "M8[s]")), "/x"),
    "fixed text": (Array(np.array(["text"])), "/x"),
    "fields of objects": (Array(np.zeros(2, [("a", "O")])), "/x"),
    "elements of no bytes": (Array(np.zeros(2, "V0")), "/x"),
    "text with NUL": (Array(objects("a\0b")), "/x"),
    "bytes with NUL": (Array(objects(b"a\0b")), "/x"),
    "a lone surrogate": (Array(objects("\ud800")), "/x"),
    "a list": (Array([1, 2]), "/x"),
    "a number": (Array(3.5), "/x"),
    "too many axes": (Array(np.zeros((1,) * 33)), "/x"),
    "no node": (3, "/x"),
    "a deep one": (Group({"y": Group({"z": Array(np.array("U"))})}), "/x/y/z"),
    "an attribute of text with NUL": (Array(None, {"a": "b\0"}), "/x@a"),
    "an attribute with a surrogate": (Array(None, {"a": "\ud800"}), "/x@a"),
    "an attribute of bytes with NUL": (Group(attrs={"a": b"b\0"}), "/x@a"),
    "a large integer": (Group(attrs={"a": 1 << 64}), "/x@a"),
    "a negative one": (Group(attrs={"a": -(1 << 63) - 1}), "/x@a"),
    "a list as attribute": (Group(attrs={"a": [1]}), "/x@a"),
    "a dict as attribute": (Group(attrs={"a": {}}), "/x@a"),
    "fixed text as attribute": (Group(attrs={"a": np.array(["text"])}), "/x@a"),
    "a name of bytes": (Group({b"y": Array(None)}), "/x"),  # type: ignore[dict-item]
    "a number as name": (Group(attrs={3: 4}), "/x"),  # type: ignore[dict-item]
    "a long name": (Group({"y" * 70_000: Array(None)}), "/x/yyy"),
    "a cycle": (with_cycle(), "/x/down/up"),
    "too deep": (nested(MAX_DEPTH + 1), "/x/g/g"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_held_is_refused_before_the_first_byte(tmp_path: Path, kind: str) -> None:
    node, where = REFUSED[kind]
    path = tmp_path / "directory" / "a.h5"
    with pytest.raises(UnsupportedValueError) as caught:
        h5burst.write_tree(path, Group({"x": node, "fine": Array(np.arange(3))}))
    assert caught.value.path.startswith(where)
    assert not path.parent.exists()


HELD: dict[str, Any] = {
    "0-d": Array(np.array(1.5)),
    "numpy scalar": Array(np.float32(2)),
    "empty text": Array(objects()),
    "32 axes": Array(np.zeros((1,) * 32)),
    "deep": nested(MAX_DEPTH - 2),
    "largest integer": Group(attrs={"a": (1 << 64) - 1, "b": -(1 << 63)}),
    "same node twice": Group({"a": (twice := Group({"x": Array(np.arange(3))})), "b": twice}),
    "typed null": Array(h5py.Empty(np.dtype("i2")), {"a": h5py.Empty(np.dtype("i2"))}),
    "numpy text": Group(attrs={"a": np.str_("ä"), "b": np.bytes_(b"x")}),
}


@pytest.mark.parametrize("kind", HELD)
def test_what_can_be_held_is_written(tmp_path: Path, kind: str) -> None:
    tree = Group({"x": HELD[kind]})
    validate(tree)
    h5burst.write_tree(tmp_path / "a.h5", tree)
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file) == ["x"]


@pytest.mark.parametrize(
    "storage",
    [Storage("zip"), Storage("gzip", 10), Storage("gzip", -1), Storage(chunks=(1, 2, 3)), Storage(chunks=(0,))],
)
@pytest.mark.parametrize("where", ["array", "tree"])
def test_wrong_storage_is_refused_before_the_first_byte(tmp_path: Path, storage: Storage, where: str) -> None:
    tree = Group({"x": Array(np.arange(10), storage=storage if where == "array" else None)})
    with pytest.raises(ValueError, match=r"codec|level|chunks"):
        h5burst.write_tree(tmp_path / "a.h5", tree, storage=storage if where == "tree" else None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("route", ["native", "libhdf5"])
@pytest.mark.parametrize("codec", [None, "gzip", "lzf", "blosc", "zstd"])
def test_both_routes_write_what_h5py_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, route: str, codec: str | None
) -> None:
    pytest.importorskip("hdf5plugin")
    if route == "libhdf5":

        def refuse(*args: Any, **options: Any) -> None:
            raise native.NeedsLibhdf5Error("anything")

        monkeypatch.setattr(native, "write", refuse)
    h5burst.write_tree(tmp_path / "ours.h5", every_kind(), storage=Storage(codec) if codec else None)
    write_plainly(tmp_path / "theirs.h5", every_kind())
    ours, theirs = content(tmp_path / "ours.h5"), content(tmp_path / "theirs.h5")
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_files_are_of_the_format_with_checksums(tmp_path: Path) -> None:
    with h5burst.open_file(tmp_path / "a.h5", "w") as file:
        h5burst.graft(file, ("x",), Array(np.arange(3)))
    assert (tmp_path / "a.h5").read_bytes()[8] >= 2  # version of the superblock
    assert b"OHDR" in (tmp_path / "a.h5").read_bytes()


def test_an_error_of_a_source_leaves_the_old_file(tmp_path: Path) -> None:
    class Broken:
        shape, dtype = (100_000, 10), np.dtype("f8")

        def read(self, start: int, stop: int) -> Any:
            if start > 50_000:
                raise ZeroDivisionError
            return np.zeros((stop - start, 10))

    path = tmp_path / "a.h5"
    h5burst.write_tree(path, Group({"old": Array(np.arange(3))}))
    with pytest.raises(ZeroDivisionError):
        h5burst.write_tree(path, Group({"new": Array(Broken())}), overwrite=True)
    assert list(h5burst.read_tree(path).children) == ["old"]
    assert [found.name for found in tmp_path.iterdir()] == ["a.h5"]


def test_lazily_read_scalars_are_written_again(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["number"] = 3.5
        file["byte"] = np.int8(3)
        file["record"] = np.array((1, 2.0), dtype=[("a", "i4"), ("b", "f8")])
        file["text"] = "hello"
        file["fixed"] = np.bytes_(b"abc")
    tree = h5burst.read_tree(tmp_path / "a.h5", lazy=True)
    h5burst.write_tree(tmp_path / "b.h5", tree)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        h5burst.graft(file, ("grafted",), tree)
    with (
        h5py.File(tmp_path / "a.h5") as first,
        h5py.File(tmp_path / "b.h5") as second,
        h5py.File(tmp_path / "c.h5") as third,
    ):
        for name in first:
            assert second[name].shape == third["grafted"][name].shape == ()
            assert second[name].dtype == third["grafted"][name].dtype == first[name].dtype
            assert second[name][()] == third["grafted"][name][()] == first[name][()]


def test_the_earlier_path_still_works_with_a_warning() -> None:
    sys.modules.pop("h5burst.store", None)
    with pytest.warns(DeprecationWarning, match=r"h5burst\.store is deprecated"):
        store = importlib.import_module("h5burst.store")
    assert store.write_tree is h5burst.write_tree
