"""Nodes into open files: into any kind of file, over what was there, whole or not at all."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import h5burst
from h5burst.model.tree import Array, Group, Node, Storage, UnsupportedValueError
from h5burst.write import graft
from reference.hdf5_tree import content, every_kind, write_plainly


@pytest.fixture
def file(tmp_path: Path) -> Iterator[h5py.File]:
    with h5burst.open_file(tmp_path / "open.h5", "w") as opened:
        yield opened


def filled(path: Path, tree: Group, storage: Storage | None = None) -> dict[str, Any]:
    """What h5py reads of a tree that was written into an open file."""
    with h5burst.open_file(path, "w") as opened:
        graft.fill(opened, tree, storage=storage)
    return content(path)


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name] != other[name]] == []


# ---------------------------------------------------------------- the same as h5py


@pytest.mark.parametrize("storage", [None, Storage("gzip"), Storage("gzip", compress_small=True), Storage(None)])
def test_every_kind_reads_as_h5py_wrote_it(tmp_path: Path, storage: Storage | None) -> None:
    write_plainly(tmp_path / "theirs.h5", every_kind())
    assert_same(filled(tmp_path / "ours.h5", every_kind(), storage), content(tmp_path / "theirs.h5"))


NAMES = st.text(max_size=8) | st.sampled_from(["a/b", ".", "..", "%~", "/", "\0", "\ud800", "名前"])
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
VALUES: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.complex_numbers()
    | TEXT
    | TEXT.map(lambda text: text.encode())
    | st.sampled_from(
        [np.float16(1.5), np.bool_(True), np.arange(6).reshape(2, 3)[:, ::-1], np.zeros((0, 2)), np.float32(2)]
    )
    | st.lists(TEXT, max_size=3).map(lambda items: np.array([*items, ""], dtype=object)[:-1])
)
ARRAYS = st.sampled_from(
    [
        None,
        np.array(3.5),
        np.arange(10, dtype=">i2"),
        np.arange(12.0).reshape(3, 4).T,
        np.array([True, False]),
        np.array([b"ab", b"c"]),
        np.array(["x", "ä"], dtype=object),
        np.array([b"\xff"], dtype=object),
        np.arange(9000, dtype=complex),
        np.zeros(4, [("a", "i4"), ("b", "f2", (2,))]),
    ]
)
STORAGES = st.sampled_from([None, Storage(), Storage("gzip"), Storage("gzip", 1, compress_small=True), Storage("lzf")])
ATTRS = st.dictionaries(NAMES, VALUES, max_size=3)
TREES: st.SearchStrategy[Node] = st.recursive(
    st.builds(Array, ARRAYS, ATTRS, STORAGES),
    lambda nodes: st.builds(Group, st.dictionaries(NAMES, nodes, max_size=4), ATTRS),
    max_leaves=10,
)


@settings(max_examples=40)
@given(tree=TREES)
def test_any_tree_reads_as_h5py_wrote_it(tree: Node, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("trees")
    whole = Group({"only": tree})
    write_plainly(directory / "theirs.h5", whole)
    with h5burst.open_file(directory / "ours.h5", "w") as opened:
        h5burst.graft(opened, ("only",), tree)
    assert_same(content(directory / "ours.h5"), content(directory / "theirs.h5"))
    shutil.rmtree(directory)


@pytest.mark.skipif(shutil.which("h5diff") is None, reason="needs h5diff (Debian: hdf5-tools)")
def test_h5diff_finds_no_difference(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tree = Group(
        {
            f"unit_{unit}": Group(
                {"times": Array(np.sort(rng.integers(0, 1 << 40, 500)), {"unit": "sample_index"})}
                | {str(trial): Array(rng.random(trial)) for trial in range(20)},
                {"row": unit, "col": 2.5, "name": "ü"},
            )
            for unit in range(20)
        }
    )
    filled(tmp_path / "ours.h5", tree)
    write_plainly(tmp_path / "theirs.h5", tree)
    done = subprocess.run(
        ["h5diff", "-v", tmp_path / "ours.h5", tmp_path / "theirs.h5"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_full_disk_is_said_to_be_one(tmp_path: Path) -> None:
    """libhdf5 meets it while it creates a dataset, which h5py calls a ValueError."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "session.h5"
    many = Group({str(number): Array(np.arange(6000) + number) for number in range(100)})
    with h5burst.open_file(path, "w") as opened:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
        try:
            with pytest.raises(OSError, match="Cannot change") as failed:
                h5burst.graft(opened, ("many",), many)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert failed.value.errno == errno.EFBIG
    assert failed.value.filename == str(path)


# ---------------------------------------------------------------- layout


def test_small_arrays_lie_in_their_header_and_large_ones_are_checked(file: h5py.File) -> None:
    h5burst.graft(file, ("small",), Array(np.arange(100)))
    h5burst.graft(file, ("large",), Array(np.arange(100_000)))
    assert file["small"].id.get_create_plist().get_layout() == h5py.h5d.COMPACT
    assert file["large"].fletcher32
    assert file["large"].chunks is not None


@pytest.mark.parametrize("codec", ["gzip", "lzf", "blosc", "zstd"])
def test_codecs_are_read_by_h5py(tmp_path: Path, codec: str) -> None:
    pytest.importorskip("hdf5plugin")
    data = np.arange(300_000.0).reshape(300, 1000) % 77
    with h5burst.open_file(tmp_path / "a.h5", "w") as opened:
        h5burst.graft(opened, ("x",), Array(data, storage=Storage(codec)))
    with h5py.File(tmp_path / "a.h5") as opened:
        assert np.array_equal(opened["x"][()], data)
        assert opened["x"].id.get_storage_size() < data.nbytes / 2


@pytest.mark.parametrize("links", [0, 1, 31, 32, 33, 300, 3000])
def test_groups_of_any_size_take_more_links(file: h5py.File, links: int) -> None:
    h5burst.graft(file, ("g",), Group({str(number): Array(np.arange(3)) for number in range(links)}))
    for number in range(40):
        h5burst.graft(file, ("g", f"one more {number}"), Array(np.arange(number)))
    assert len(file["g"]) == links + 40
    assert list(file["g/one more 5"]) == [0, 1, 2, 3, 4]


def test_attributes_over_64_kib_and_many_of_them(file: h5py.File) -> None:
    attrs: dict[str, Any] = {"large": np.arange(100_000), "text": "x" * 100_000}
    attrs |= {"texts": np.array(["y" * 50] * 5000, dtype=object)} | {str(number): number for number in range(300)}
    h5burst.graft(file, ("x",), Array(np.arange(3), attrs))
    assert np.array_equal(file["x"].attrs["large"], np.arange(100_000))
    assert file["x"].attrs["text"] == "x" * 100_000
    assert list(file["x"].attrs["texts"]) == ["y" * 50] * 5000
    assert [file["x"].attrs[str(number)] for number in range(300)] == list(range(300))


def test_a_source_is_read_block_by_block(file: h5py.File) -> None:
    class Source:
        shape, dtype = (1000, 500), np.dtype("f4")
        most = 0

        def read(self, start: int, stop: int) -> Any:
            self.most = max(self.most, stop - start)
            return np.arange(start * 500, stop * 500, dtype="f4").reshape(-1, 500)

    source = Source()
    h5burst.graft(file, ("large",), Array(source))
    assert np.array_equal(file["large"][()], np.arange(500_000, dtype="f4").reshape(1000, 500))
    assert source.most * 500 * 4 <= 1 << 20


# ---------------------------------------------------------------- into files that exist


def test_missing_groups_on_the_way_are_made(file: h5py.File) -> None:
    h5burst.graft(file, ("a/b", "c", "d"), Array(np.arange(3)))
    assert list(file["%~a%2Fb/c/d"]) == [0, 1, 2]


def test_what_is_there_is_replaced(file: h5py.File) -> None:
    h5burst.graft(file, ("g", "x"), Group({"old": Array(np.arange(3))}))
    h5burst.graft(file, ("g", "y"), Array(np.arange(2)))
    h5burst.graft(file, ("g", "x"), Array(np.arange(4.0), {"new": True}))
    assert sorted(file["g"]) == ["x", "y"]
    assert list(file["g/x"]) == [0, 1, 2, 3]
    assert file["g/x"].attrs["new"]


def test_what_is_there_stays_when_the_new_fails(file: h5py.File) -> None:
    class Broken:
        shape, dtype = (100_000, 10), np.dtype("f8")

        def read(self, start: int, stop: int) -> Any:
            raise OSError("the disk is gone")

    h5burst.graft(file, ("g",), Group({"x": Array(np.arange(3))}))
    with pytest.raises(OSError, match="the disk is gone"):
        h5burst.graft(file, ("g",), Group({"y": Array(Broken())}))
    assert list(file) == ["g"]
    assert list(file["g/x"]) == [0, 1, 2]


def test_a_dataset_in_the_way_is_said(file: h5py.File) -> None:
    h5burst.graft(file, ("x",), Array(np.arange(3)))
    with pytest.raises(OSError, match=r"/x in .*open\.h5 is a dataset"):
        h5burst.graft(file, ("x", "y"), Array(np.arange(3)))


def test_what_cannot_be_held_changes_nothing(file: h5py.File) -> None:
    h5burst.graft(file, ("x",), Array(np.arange(3)))
    with pytest.raises(UnsupportedValueError, match="/x/deep/bad"):
        h5burst.graft(file, ("x",), Group({"deep": Group({"good": Array(np.arange(3)), "bad": Array(np.array("U"))})}))
    assert list(file["x"]) == [0, 1, 2]


def test_an_empty_path_is_refused(file: h5py.File) -> None:
    with pytest.raises(ValueError, match="path is empty"):
        h5burst.graft(file, (), Group())
    with pytest.raises(ValueError, match="path is empty"):
        h5burst.remove(file, ())


def test_into_a_file_of_the_oldest_format(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "old.h5", "w", libver="earliest") as old:
        old.create_group("there")
        h5burst.graft(old, ("there", "new"), every_kind().children["numbers"])
        h5burst.set_attributes(old, ("there",), {"a": 1, "text": "ä"})
    with h5py.File(tmp_path / "new.h5", "w") as new:
        h5burst.graft(new, ("there", "new"), every_kind().children["numbers"])
        h5burst.set_attributes(new, ("there",), {"a": 1, "text": "ä"})
    assert_same(content(tmp_path / "old.h5"), content(tmp_path / "new.h5"))


def test_an_attribute_too_large_for_the_oldest_format_is_said(tmp_path: Path) -> None:
    with (
        h5py.File(tmp_path / "old.h5", "w", libver="earliest") as old,
        pytest.raises(UnsupportedValueError, match="needs a file of"),
    ):
        h5burst.graft(old, ("x",), Array(np.arange(3), {"large": np.arange(20_000)}))


def test_into_a_file_that_was_emitted(tmp_path: Path) -> None:
    h5burst.write_tree(tmp_path / "a.h5", every_kind())
    with h5burst.open_file(tmp_path / "a.h5", "r+") as opened:
        h5burst.graft(opened, ("new", "group"), every_kind().children["large"])
        assert h5burst.remove(opened, ("large",))
        opened.move("new/group", "large")
        assert h5burst.remove(opened, ("new",))
    write_plainly(tmp_path / "b.h5", every_kind())
    assert_same(content(tmp_path / "a.h5"), content(tmp_path / "b.h5"))


# ---------------------------------------------------------------- attributes and removal


def test_attributes_are_created_and_replaced_and_others_stay(file: h5py.File) -> None:
    h5burst.graft(file, ("x",), Array(np.arange(3), {"stays": 1, "goes": "old"}))
    h5burst.set_attributes(file, ("x",), {"goes": np.arange(4), "new": None, "texts": np.array(["ä"], dtype=object)})
    attrs = file["x"].attrs
    assert attrs["stays"] == 1
    assert list(attrs["goes"]) == [0, 1, 2, 3]
    assert isinstance(attrs["new"], h5py.Empty)
    assert list(attrs["texts"]) == ["ä"]
    h5burst.set_attributes(file, (), {"of the root": True})
    assert file.attrs["of the root"]


def test_attributes_that_cannot_be_held_change_nothing(file: h5py.File) -> None:
    h5burst.graft(file, ("x",), Array(np.arange(3), {"a": 1}))
    with pytest.raises(UnsupportedValueError, match="/x@b"):
        h5burst.set_attributes(file, ("x",), {"a": 2, "b": np.array(["U"])})
    assert file["x"].attrs["a"] == 1
    with pytest.raises(KeyError):
        h5burst.set_attributes(file, ("nowhere",), {"a": 2})


def test_removal(file: h5py.File) -> None:
    h5burst.graft(file, ("a/b", "c"), Group({"d": Array(np.arange(3))}))
    assert not h5burst.remove(file, ("a/b", "nothing"))
    assert not h5burst.remove(file, ("nothing", "at", "all"))
    assert not h5burst.remove(file, ("a/b", "c", "d", "below a dataset"))
    assert h5burst.remove(file, ("a/b", "c"))
    assert list(file["%~a%2Fb"]) == []


class Failing:
    """A source that ends in the middle."""

    shape, dtype = (1 << 20,), np.dtype(np.float64)

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        if start:
            raise KeyboardInterrupt
        return np.ones(stop - start)


@pytest.mark.parametrize("path", [("new",), ("old",), ("deep", "below", "new")])
def test_a_graft_that_fails_leaves_nothing_that_can_be_read(file: h5py.File, path: tuple[str, ...]) -> None:
    h5burst.graft(file, ("old",), Array(np.arange(4)))
    with pytest.raises(KeyboardInterrupt):
        h5burst.graft(file, path, Group({"first": Array(np.arange(3)), "second": Array(Failing())}, {"a": 1}))
    assert list(file) == ["old"]
    assert list(file["old"]) == [0, 1, 2, 3]
