"""Transactions: what they write is what was asked for, by h5py's reading; the rest of the file is as it was."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, Storage, UnsupportedValueError
from h5burst._ext.h5parse import Source
from h5burst.format import btree2, info_message
from h5burst.format import object_header as oh
from h5burst.format.fractal_heap import read_huge_only
from reference.hdf5_tree import content


def units(count: int = 5) -> Group:
    made = {
        f"unit_{number:03d}": Group(
            {
                "spike_times": Array(np.arange(number * 10, dtype=np.uint64)),
                "waveform": Array(np.zeros(60, np.float32)),
            },
            {"row": number, "label": f"cell {number}"},
        )
        for number in range(count)
    }
    large = Array(np.arange(50_000.0), storage=Storage("gzip"))
    return Group({"units": Group(made), "large": large, "empty": Group()}, {"title": "before", "version": 1})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    h5burst.write_tree(tmp_path / "file.h5", units())
    return tmp_path / "file.h5"


def expected_after(tmp_path: Path, tree: Group) -> dict[str, Any]:
    h5burst.write_tree(tmp_path / "expected.h5", tree, overwrite=True)
    return content(tmp_path / "expected.h5")


def node(tree: Group, *path: str) -> Any:
    return tree[path]


def test_every_kind_of_change_at_once(path: Path, tmp_path: Path) -> None:
    feature = Group({"data": Array(np.arange(7), {"unit": "s"})}, {"made": "today"})
    with h5burst.edit(path) as tx:
        tx.put(("units", "unit_001", "features", "on_off"), feature)
        tx.put(("units", "unit_002", "waveform"), Array(np.ones(3)))
        tx.set_attributes(("units",), {"reviewed": True})
        tx.set_attributes((), {"title": "after", "version": None})
        tx.set_attributes(("units", "unit_000", "spike_times"), {"unit": "samples"})
        assert tx.remove(("units", "unit_004"))
        assert not tx.remove(("units", "nobody"))
        assert tx.way == "append"
    tree = units()
    node(tree, "units", "unit_001").children["features"] = Group({"on_off": feature})
    node(tree, "units", "unit_002").children["waveform"] = Array(np.ones(3))
    node(tree, "units").attrs["reviewed"] = True
    tree.attrs = {"title": "after"}
    node(tree, "units", "unit_000", "spike_times").attrs["unit"] = "samples"
    del node(tree, "units").children["unit_004"]
    assert content(path) == expected_after(tmp_path, tree)
    assert h5burst.verify(path) == []


def test_nothing_that_was_there_is_overwritten_but_the_superblock(path: Path) -> None:
    before, places = path.read_bytes(), addresses(path)
    with h5burst.edit(path) as tx:
        tx.put(("units", "unit_001", "new"), Array(np.arange(100_000)))
        tx.remove(("large",))
    after = path.read_bytes()
    assert after[48 : len(before)] == before[48:]
    assert len(after) > len(before)
    moved = {name for name, place in addresses(path).items() if place != places.get(name)}
    assert moved == {"/", "units", "units/unit_001", "units/unit_001/new"}


def addresses(path: Path) -> dict[str, int]:
    with h5py.File(path) as file:
        found = {"/": h5py.h5o.get_info(file.id).addr}
        file.visititems(lambda name, item: found.update({name: h5py.h5o.get_info(item.id).addr}))
    return found


def test_all_else_is_flushed_before_the_superblock_and_that_is_flushed_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, flushed = path.read_bytes(), []

    def seen(descriptor: int, real: Callable[[int], None]) -> None:
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            flushed.append(path.read_bytes())
        real(descriptor)

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, partial(seen, real=getattr(os, name)))
    with h5burst.edit(path) as tx:
        tx.put(("units", "unit_001", "new"), Array(np.arange(100_000)))
    after = path.read_bytes()
    assert flushed == [before[:48] + after[48:], after]


def test_if_the_superblock_cannot_be_flushed_the_old_one_is_put_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = path.read_bytes(), os.fsync

    def fails(descriptor: int) -> None:
        if path.read_bytes()[:48] != before[:48]:
            raise OSError(errno.EIO, "on purpose")
        real(descriptor)

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, fails, raising=False)
    tx = h5burst.edit(path)
    tx.set_attributes((), {"title": "after"})
    with pytest.raises(OSError, match=re.escape(str(path))):
        tx.__exit__(None, None, None)
    assert path.read_bytes() == before


def test_an_exception_leaves_the_file_as_it_was(path: Path) -> None:
    before = path.read_bytes()

    def half() -> None:
        with h5burst.edit(path) as tx:
            tx.put(("x",), Array(np.arange(10)))
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        half()
    assert path.read_bytes() == before


def test_an_edit_of_nothing_writes_nothing(path: Path) -> None:
    before = path.read_bytes()
    with h5burst.edit(path) as tx:
        assert not tx.remove(("units", "nobody", "at all"))
    assert path.read_bytes() == before


def test_reading_through_it_sees_the_changes_made_so_far(path: Path) -> None:
    with h5burst.edit(path) as tx:
        tx.put(("units", "unit_001", "features", "f"), Array(np.arange(3)))
        tx.remove(("units", "unit_000"))
        tx.set_attributes((), {"title": "after", "version": None})
        assert np.array_equal(tx["units", "unit_001", "features", "f"].data, np.arange(3))
        assert np.array_equal(tx["units", "unit_003", "spike_times"].data, np.arange(30, dtype=np.uint64))
        assert ("units", "unit_000") not in tx
        assert ("units", "unit_001", "waveform") in tx
        assert tx.tree().attrs == {"title": "after"}
        tx.put(("units", "unit_001", "features", "g"), Array(np.arange(4)))
        assert list(node(tx.tree(), "units", "unit_001", "features").children) == ["f", "g"]
        with pytest.raises(KeyError):
            tx["units", "unit_000"]
    with pytest.raises(ValueError, match="has ended"):
        tx.remove(("units",))


def test_what_the_caller_gave_is_not_changed(path: Path) -> None:
    given = Group({"a": Array(np.arange(3), {"x": 1})})
    with h5burst.edit(path) as tx:
        tx.put(("new",), given)
        tx.put(("new", "b"), Array(np.arange(4)))
        tx.set_attributes(("new",), {"y": 2})
        tx.set_attributes(("new", "a"), {"x": None, "z": 3})
        tx.remove(("new", "a"))
    assert list(given.children) == ["a"]
    assert given.attrs == {}
    assert given.children["a"].attrs == {"x": 1}


def test_sources_of_the_file_itself_stream_into_it(path: Path) -> None:
    tree = h5burst.read_tree(path, lazy=True)
    large: Any = node(tree, "large").data
    with h5burst.edit(path) as tx:
        tx.put(("copy",), Array(large, storage=Storage("gzip")))
        tx.put(("large",), Array(large, {"again": True}))
    with h5py.File(path) as file:
        assert np.array_equal(file["copy"], np.arange(50_000.0))
        assert np.array_equal(file["large"], np.arange(50_000.0))


class Blocks:
    """Rows that are made when they are asked for; how many at most."""

    shape, dtype = (4_000_000,), np.dtype("f8")
    most = 0

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        self.most = max(self.most, stop - start)
        return np.arange(start, stop, dtype=self.dtype)


@pytest.mark.parametrize("codec", [None, "gzip"])
def test_sources_are_read_in_blocks(path: Path, codec: str | None) -> None:
    blocks = Blocks()
    with h5burst.edit(path, threads=2) as tx:
        tx.put(("blocks",), Array(blocks, storage=Storage(codec)))
        assert not blocks.most
    assert 0 < 8 * blocks.most <= 4 << 20
    with h5py.File(path) as file:
        assert np.array_equal(file["blocks"], np.arange(4_000_000.0))


@pytest.mark.parametrize(
    "bad",
    [
        Array(np.array([1, "x"], dtype=object)),
        Group({"a": Group({"b": Array("text")})}),
        Array(np.array([h5burst.Reference("/large")], dtype=object)),
        Array(np.array([np.arange(2), np.arange(3)], dtype=object)),
        Group({}, {"a": h5burst.Reference("/large")}),
    ],
)
def test_what_cannot_be_held_is_refused_before_the_first_byte(path: Path, bad: Any) -> None:
    before = path.read_bytes()
    with h5burst.edit(path) as tx:
        with pytest.raises(UnsupportedValueError):
            tx.put(("x",), bad)
        with pytest.raises(UnsupportedValueError):
            tx.set_attributes((), {"x": object()})
    assert path.read_bytes() == before


def test_what_is_in_the_way_or_missing_is_said(path: Path) -> None:
    with h5burst.edit(path) as tx:
        with pytest.raises(OSError, match=r"/large in .* is a dataset, not a group"):
            tx.put(("large", "x"), Array(np.arange(3)))
        with pytest.raises(KeyError, match="nothing at /units/nobody"):
            tx.set_attributes(("units", "nobody"), {"a": 1})
        with pytest.raises(ValueError, match="the path is empty"):
            tx.put((), Group())
        with pytest.raises(ValueError, match="the path is empty"):
            tx.remove(())
        with pytest.raises(ValueError, match="is not a dataset"):
            tx.append(("units",), np.arange(3))


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_more_rows_than_a_dataset_was_made_for_are_refused_in_both_ways(libver: str, tmp_path: Path) -> None:
    """libhdf5 edits files of the older format; the words are the same."""
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        file.create_dataset("growing/a", data=np.zeros((5, 2)), maxshape=(6, 2))
        file.create_dataset("fixed", data=np.zeros((5, 2)))
    for name, limit in (("growing/a", 6), ("fixed", 5)):
        message = rf"/{name} holds at most {limit} rows: write it with Storage\(maxshape=\(None, …\)\)"
        with h5burst.edit(tmp_path / "a.h5") as tx, pytest.raises(ValueError, match=message):
            tx.append(tuple(name.split("/")), np.zeros((3, 2)))
    with h5burst.edit(tmp_path / "a.h5") as tx, pytest.raises(ValueError, match="/growing is not a dataset"):
        tx.append(("growing",), np.zeros((3, 2)))


def test_many_edits_one_after_another_and_h5py_between_them(path: Path, tmp_path: Path) -> None:
    for number in range(12):
        with h5burst.edit(path) as tx:
            tx.put(("runs", f"run {number}", "data"), Array(np.arange(number)))
            tx.set_attributes(("runs",), {"last": number})
            tx.remove(("runs", f"run {number - 3}"))
        with h5py.File(path, "r+") as file:
            file[f"theirs/{number}"] = np.arange(number + 1)
            file["runs"].attrs[f"seen {number}"] = "ä"
            del file[f"theirs/{number}"]
    with h5py.File(path) as file:
        assert sorted(file["runs"]) == ["run 10", "run 11", "run 9"]
        assert file["runs"].attrs["last"] == 11
        assert len(file["runs"].attrs) == 13
        assert len(file["units"]) == 5
    assert h5burst.verify(path) == []


def test_attributes_too_many_or_too_large_for_a_header(path: Path) -> None:
    many = {f"a{number}": number for number in range(300)}
    with h5burst.edit(path) as tx:
        tx.set_attributes(("units",), many)
        tx.set_attributes(("large",), {"big": np.arange(20_000), "text": "x" * 100_000})
    with h5burst.edit(path) as tx:
        tx.set_attributes(("units",), {"a7": "changed", "a8": None, "b": None})
        tx.set_attributes(("large",), {"small": 1})
    with h5py.File(path) as file:
        assert len(file["units"].attrs) == 299
        assert file["units"].attrs["a7"] == "changed"
        assert np.array_equal(file["large"].attrs["big"], np.arange(20_000))
        assert file["large"].attrs["text"] == "x" * 100_000
        assert file["large"].attrs["small"] == 1
    with h5burst.edit(path) as tx:
        tx.set_attributes(("units",), dict.fromkeys(many))
    with h5py.File(path) as file:
        assert dict(file["units"].attrs) == {}


def test_names_that_hdf5_cannot_hold_as_they_are(path: Path) -> None:
    with h5burst.edit(path) as tx:
        tx.put(("a/b", ".", "名前"), Array(np.arange(3), {"": 1}))
        tx.set_attributes(("a/b",), {"x/y": 2})
    with h5burst.edit(path) as tx:
        assert ("a/b", ".", "名前") in tx
        tx.put(("a/b", "c"), Array(np.arange(2)))
    tree = h5burst.read_tree(path)
    assert np.array_equal(node(tree, "a/b", ".", "名前").data, np.arange(3))
    assert node(tree, "a/b", ".", "名前").attrs == {"": 1}
    assert node(tree, "a/b").attrs == {"x/y": 2}


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="needs the tools of HDF5")
def test_the_tools_of_hdf5_read_the_result(path: Path) -> None:
    with h5burst.edit(path) as tx:
        tx.put(("units", "unit_001", "features"), Group({str(n): Array(np.arange(n)) for n in range(40)}))
        tx.put(("many",), Group({str(number): Group() for number in range(2000)}))
    with h5burst.edit(path) as tx:
        tx.put(("many", "one_more"), Array(np.arange(5)))
    for tool in (["h5dump", "-H"], ["h5stat"], ["h5ls", "-r"]):
        done = subprocess.run([*tool, str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "one_more" in subprocess.run(["h5ls", f"{path}/many"], capture_output=True, text=True, check=True).stdout


def test_bytes_left_by_an_interrupted_edit_are_written_over_and_cut_off(path: Path) -> None:
    end = path.stat().st_size
    with open(path, "ab") as stream:
        stream.write(b"\xee" * 1_000_000)
    assert content(path)
    with h5burst.edit(path) as tx:
        tx.set_attributes((), {"a": 1})
    assert end < path.stat().st_size < end + 100_000
    assert not path.read_bytes().rstrip(b"\0").endswith(b"\xee")
    assert h5burst.verify(path) == []


# ---------------------------------------------------------------- groups with many links


def assert_heap_says_what_it_holds(path: Path, name: str, count: int) -> None:
    """Number and bytes of the huge objects, and the last number that was given, in the header of a group's heap."""
    with open(path, "rb") as stream, h5py.File(path) as file:
        source = Source(stream.fileno(), path.stat().st_size)
        header = oh.decode(source, h5py.h5o.get_info(file[name].id).addr)
        info = header.first(oh.LINK_INFO)
        assert info is not None
        heap = read_huge_only(source, info_message.decode(info.body, 8).heap)
        assert heap is not None
        last_number, tree, stated, stored = heap
        rows = np.frombuffer(btree2.read_records(source, tree, 1).data, "<u8").reshape(-1, 3)
    assert len(rows) == stated == count
    assert rows[:, 1].sum() == stored
    assert rows[:, 2].max() <= last_number


@pytest.mark.parametrize("count", [500, 513, 3000, 20_000])
def test_groups_of_many_links_change_at_little_cost(tmp_path: Path, count: int) -> None:
    path = tmp_path / "many.h5"
    h5burst.write_tree(path, Group({"g": Group({f"n{number}": Array(np.array(number)) for number in range(count)})}))
    expected = {f"n{number}": number for number in range(count)}
    generator = np.random.default_rng(count)
    grown = []
    for turn in range(12):
        before = path.stat().st_size
        with h5burst.edit(path) as tx:
            for number in generator.integers(0, count, 3):
                tx.put(("g", f"n{number}"), Array(np.array(-turn)))
                expected[f"n{number}"] = -turn
            gone = f"n{generator.integers(0, count)}"
            assert tx.remove(("g", gone)) == (gone in expected)
            expected.pop(gone, None)
            tx.put(("g", f"new {turn}"), Array(np.array(turn)))
            expected[f"new {turn}"] = turn
            assert tx.way == "append"
        grown.append(path.stat().st_size - before)
    with h5py.File(path) as file:
        assert {name: int(item[()]) for name, item in file["g"].items()} == expected
        assert "nobody" not in file["g"]
    assert {name: int(item.data) for name, item in node(h5burst.read_tree(path), "g").children.items()} == expected
    assert sorted(grown)[len(grown) // 2] < 40_000
    if count > 513:
        assert_heap_says_what_it_holds(path, "g", len(expected))
    with h5py.File(path, "r+") as file:
        for number in range(50):
            file[f"g/theirs {number}"] = number
            del file["g"][f"new {number}" if number < 12 else f"theirs {number - 12}"]
    with h5burst.edit(path) as tx:
        tx.put(("g", "after them"), Array(np.array(1)))
    with h5py.File(path) as file:
        assert len(file["g"]) == len(expected) + 12 - 12 + 1
        assert int(file["g/after them"][()]) == 1


def test_a_large_group_that_becomes_small_goes_back_into_its_header(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    h5burst.write_tree(path, Group({"g": Group({str(number): Group() for number in range(600)})}))
    with h5burst.edit(path) as tx:
        tx.put(("g", "x"), Group())
    with h5burst.edit(path) as tx:
        for number in range(590):
            tx.remove(("g", str(number)))
    with h5burst.edit(path) as tx:
        tx.remove(("g", "x"))
    with h5py.File(path) as file:
        assert sorted(file["g"]) == [str(number) for number in range(590, 600)]


def test_names_of_equal_hash_are_kept_apart(tmp_path: Path) -> None:
    from h5burst._ext.h5emit import lookup3

    seen: dict[int, str] = {}
    pairs = []
    for number in range(400_000):
        name = f"k{number}"
        other = seen.setdefault(lookup3(name.encode()), name)
        if other != name:
            pairs.append((other, name))
    assert len(pairs) > 3
    path = tmp_path / "file.h5"
    h5burst.write_tree(path, Group({"g": Group({f"n{number}": Group() for number in range(600)})}))
    for first in (0, 1):
        with h5burst.edit(path) as tx:
            for pair in pairs:
                tx.put(("g", pair[first]), Group({}, {"name": pair[first]}))
    with h5py.File(path) as file:
        assert all(file["g"][name].attrs["name"] == name for pair in pairs for name in pair)
    with h5burst.edit(path) as tx:
        for one, other in pairs:
            tx.remove(("g", one))
            tx.set_attributes(("g", other), {"left": True})
    with h5py.File(path) as file:
        assert len(file["g"]) == 600 + len(pairs)
        assert all(file["g"][other].attrs["left"] for _, other in pairs)
        assert not any(one in file["g"] for one, _ in pairs)


# ---------------------------------------------------------------- datasets that grow


@pytest.mark.parametrize("codec", [None, "gzip", "lzf"])
@pytest.mark.parametrize("chunks", [None, (7, 2)])
def test_rows_behind_a_dataset(tmp_path: Path, codec: str | None, chunks: tuple[int, int] | None) -> None:
    path = tmp_path / "log.h5"
    storage = Storage(codec, chunks=chunks, maxshape=(None, 3))
    h5burst.write_tree(path, Group({"log": Group({"values": Array(np.zeros((0, 3), np.int32), storage=storage)})}))
    rows = np.arange(3 * 200, dtype=np.int32).reshape(-1, 3)
    at = 0
    for count in (1, 5, 0, 8, 100, 7, 14):
        with h5burst.edit(path) as tx:
            tx.append(("log", "values"), rows[at : at + count])
            tx.set_attributes(("log", "values"), {"rows": at + count})
            assert np.array_equal(np.asarray(tx["log", "values"].data), rows[: at + count])
            assert tx.way == "append"
        at += count
        with h5py.File(path) as file:
            assert np.array_equal(file["log/values"], rows[:at])
            assert file["log/values"].maxshape == (None, 3)
        assert np.array_equal(node(h5burst.read_tree(path), "log", "values").data, rows[:at])
    with h5py.File(path, "r+") as file:
        file["log/values"].resize(at + 30, axis=0)
        file["log/values"][at:] = rows[at : at + 30]
    with h5burst.edit(path) as tx:
        tx.append(("log", "values"), rows[at + 30 :])
    with h5py.File(path) as file:
        assert np.array_equal(file["log/values"], rows)
    assert h5burst.verify(path) == []


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_rows_behind_a_dataset_of_h5py(tmp_path: Path, libver: str) -> None:
    path = tmp_path / "theirs.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("x", data=np.arange(10.0), maxshape=(None,), chunks=(4,), compression="gzip", shuffle=True)
        file.create_dataset("two", data=np.ones((3, 5)), maxshape=(None, None), chunks=(2, 2), fletcher32=True)
    with h5burst.edit(path) as tx:
        tx.append(("x",), np.arange(10.0, 30.0))
        tx.append(("two",), np.zeros((4, 5)))
        assert tx.way == ("append" if libver == "latest" else "copy")
    with h5py.File(path, "r+") as file:
        assert np.array_equal(file["x"], np.arange(30.0))
        assert np.array_equal(file["two"], np.vstack([np.ones((3, 5)), np.zeros((4, 5))]))
        file["x"].resize((31,))
        file["two"].resize((9, 9))
    assert h5burst.verify(path) == []


def test_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    tree = {
        "fixed": Array(np.arange(20_000.0)),
        "limited": Array(np.arange(4), storage=Storage(maxshape=(6,))),
        "free": Array(np.zeros((2, 3)), storage=Storage(maxshape=(None, 3))),
    }
    h5burst.write_tree(path, Group(dict(tree)))
    before = path.read_bytes()
    with h5burst.edit(path) as tx:
        with pytest.raises(ValueError, match="at most 20000 rows"):
            tx.append(("fixed",), np.arange(3.0))
        with pytest.raises(ValueError, match="shape"):
            tx.append(("free",), np.zeros((2, 4)))
        with pytest.raises(ValueError, match="dtype"):
            tx.append(("free",), np.zeros((2, 3), np.float32))
        with pytest.raises(KeyError):
            tx.append(("nobody",), np.arange(3))
    assert path.read_bytes() == before
    with h5burst.edit(path) as tx:
        tx.append(("limited",), np.arange(2))
        with pytest.raises(ValueError, match="at most 6 rows"):
            tx.append(("limited",), np.arange(1))
    with h5py.File(path) as file:
        assert list(file["limited"]) == [0, 1, 2, 3, 0, 1]


def test_rows_behind_a_dataset_that_is_new_itself(path: Path) -> None:
    with h5burst.edit(path) as tx:
        tx.put(("log",), Array(np.arange(3), storage=Storage(maxshape=(None,))))
        tx.append(("log",), np.arange(4))
        tx.put(("bad",), Array(np.arange(3)))
        with pytest.raises(ValueError, match="maxshape"):
            tx.append(("bad",), np.arange(3))
    with h5py.File(path) as file:
        assert list(file["log"]) == [0, 1, 2, 0, 1, 2, 3]


def test_attributes_that_are_null_stay_when_others_of_a_new_node_are_set(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    h5burst.write_tree(path, Group({"old": Array(np.arange(3), {"null": None, "kept": 1})}))
    with h5burst.edit(path) as tx:
        tx.put(("array",), Array(np.arange(3), {"null": None, "gone": 1}))
        tx.put(("group",), Group({}, {"null": None}))
        for name in ("array", "group", "old"):
            tx.set_attributes((name,), {"more": 2, "gone": None})
        assert set(tx[("old",)].attrs) == {"null", "kept", "more"}
    with h5py.File(path) as file:
        assert set(file["array"].attrs) == set(file["group"].attrs) == {"null", "more"}
        assert set(file["old"].attrs) == {"null", "kept", "more"}
        assert isinstance(file["array"].attrs["null"], h5py.Empty)


def test_a_path_is_one_text_as_well(path: Path) -> None:
    """As h5py takes it, and as trees are read; it was taken for a path of single characters."""
    with h5burst.edit(path) as tx:
        tx.put("units/unit_001/rate", Array(np.array(4.5)))
        tx.put("log", Array(np.zeros(3), storage=Storage(chunks=(10,), maxshape=(None,))))
        tx.set_attributes("units", {"reviewed": True})
        assert tx.remove("/units/unit_004")
        with pytest.raises(ValueError, match="path is empty"):
            tx.put("/", Group())
    with h5burst.edit(path) as tx:
        tx.append("log", np.ones(2))
    with h5py.File(path, "r+") as file:
        h5burst.graft(file, "units/unit_002/rate", Array(np.array(5.5)))
        h5burst.set_attributes(file, "units/unit_002", {"reviewed": True})
        assert h5burst.remove(file, "units/unit_003")
    tree = h5burst.read_tree(path)
    assert list(tree.children) == ["empty", "large", "log", "units"]
    assert list(tree["units"].children) == ["unit_000", "unit_001", "unit_002"]
    assert tree["units/unit_001/rate"].data == 4.5
    assert tree["units/unit_002/rate"].data == 5.5
    assert tree["units"].attrs["reviewed"]
    assert tree["units/unit_002"].attrs["reviewed"]
    assert tree["log"].data.shape == (5,)
