"""Arrays and groups that read themselves on access, with numpy's behaviour."""

from __future__ import annotations

import copy
import inspect
import io
import multiprocessing
import operator
import os
import pickle
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import h5burst
from h5burst.arrays.selection import select
from h5burst.model.errors import CorruptFileError, StaleFileError
from h5burst.model.source import ArraySource
from h5burst.model.tree import Array, Group, Storage
from h5burst.read import lazy
from h5burst.read.decoded_chunks import DecodedChunks
from h5burst.read.lazy import LazyArray
from h5burst.runtime import locks
from support.decodings import counting_decoded

UNCHANGEABLE = r"cannot be changed in place: change x\[\.\.\.\].*tx\.put of h5burst\.edit"
CUBE = np.random.default_rng(3).integers(-99, 99, (40, 30, 20))


@pytest.fixture(params=["compact", "contiguous", "chunked", "compressed", "growing", "by libhdf5"])
def cube(request: pytest.FixtureRequest, tmp_path: Path) -> LazyArray:
    """The same numbers in every storage, lazily."""
    path = tmp_path / "cube.h5"
    data = CUBE[:4] if request.param == "compact" else CUBE
    options: dict[str, Any] = {
        "chunked": {"chunks": (7, 30, 3)},
        "compressed": {"chunks": (16, 4, 20), "compression": "gzip", "shuffle": True, "fletcher32": True},
        "growing": {"chunks": (5, 5, 5), "maxshape": (None, None, 20), "compression": "gzip"},
        "by libhdf5": {"chunks": (9, 9, 9), "scaleoffset": 0},
    }.get(request.param, {})
    if request.param == "compact":
        h5burst.write_tree(path, Group({"cube": Array(data)}))
    else:
        with h5py.File(path, "w", libver=("v110", "v110")) as file:
            file.create_dataset("cube", data=data, **options)
    return array_at(path, "cube")


def array_at(path: Path, name: str) -> LazyArray:
    node = h5burst.read_tree(path, lazy=True)[name]
    assert isinstance(node, Array)
    assert isinstance(node.data, LazyArray)
    return node.data


def same(found: Any, expected: Any) -> bool:
    return type(found) is type(expected) and found.dtype == expected.dtype and np.array_equal(found, expected)


INDICES: list[Any] = [
    (),
    ...,
    0,
    -1,
    (1, 2, 3),
    (1, ..., 3),
    (1, 2, 3, ...),
    slice(1, 3),
    slice(None, None, -1),
    slice(3, 0, -2),
    slice(5, 5),
    (slice(None), 4),
    (..., slice(2, 17, 5)),
    (0, slice(29, None, -7), slice(-3, None)),
    (None, 1),
    (slice(None), None, 3, ..., None),
    [3, 0, 1, 1],
    [],
    ([0, 1], [2, 3], [4, 5]),
    ([0, 1], slice(None), [4, 5]),
    (slice(None), [0, 5, 3], 2),
    (np.array([[0], [2]]), slice(1, 3), np.array([1, -2])),
    np.uint8(2),
    True,
    (np.newaxis, False),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing_is_numpys(cube: LazyArray, index: Any) -> None:
    assert same(cube[index], np.asarray(cube)[index])


def test_masks_of_one_and_of_several_axes(cube: LazyArray) -> None:
    whole = np.asarray(cube)
    assert same(cube[whole > 50], whole[whole > 50])
    assert same(cube[whole > 1000], whole[whole > 1000])
    rows = whole.sum(axis=(1, 2)) > 0
    assert same(cube[rows], whole[rows])
    assert same(cube[rows, 3:5], whole[rows, 3:5])
    assert same(cube[:, whole[0] > 0], whole[:, whole[0] > 0])


@pytest.mark.parametrize(
    "index", [99, -41, (0, 0, 0, 0), (..., ...), 1.5, "name", (0, [0, 99]), np.ones(3, bool)], ids=str
)
def test_wrong_indices_fail_as_numpys(index: Any, tmp_path: Path) -> None:
    h5burst.write_tree(tmp_path / "a.h5", Group({"cube": Array(CUBE)}))
    with pytest.raises(IndexError):
        CUBE[index]
    with pytest.raises(IndexError):
        array_at(tmp_path / "a.h5", "cube")[index]


@given(data=st.data(), shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7))
@settings(max_examples=300)
def test_any_selection_is_places_of_each_axis_and_an_index_into_them(
    data: st.DataObject, shape: tuple[int, ...]
) -> None:
    array = np.arange(int(np.prod(shape))).reshape(shape)
    basic = hnp.basic_indices(shape, allow_newaxis=True)
    advanced = hnp.integer_array_indices(shape) if shape and 0 not in shape else basic
    index = data.draw(basic | advanced)
    selection = select(index, shape)
    for places, length in zip(selection.places, shape, strict=True):
        assert sorted(set(places)) == list(places)  # ascending, none twice
        assert set(places) <= set(range(length))
    picked = array[np.ix_(*selection.places)] if shape else array
    assert same(np.asarray(picked[selection.within]), np.asarray(array[index]))


WIDE = np.random.default_rng(5).integers(0, 1000, (120, 90))
FEW_CHUNKS = [  # an index, and how many chunks of 10 x 30 hold what it asks for
    (np.s_[7], 3),
    (np.s_[7, 31], 1),
    (np.s_[::40], 9),
    (np.s_[119::-40, 0], 3),
    (np.s_[5:95:45, ::60], 4),
    (np.s_[[0, 119]], 6),
    (np.s_[[119, 0, 119, 5], 45], 2),
    (np.s_[3, [89, 2]], 2),
    (np.s_[[0, 110], [0, 89]], 4),
    (np.s_[np.arange(120) % 60 == 59], 6),
    (np.s_[WIDE < 0], 0),
    (np.s_[20:20], 0),
    (np.s_[...], 36),
]


@pytest.mark.parametrize(("index", "chunks"), FEW_CHUNKS, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("unwritten", [False, True])
def test_only_chunks_that_are_asked_for_are_read_and_each_once(
    index: Any, chunks: int, unwritten: bool, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "wide.h5", "w", libver="v110") as file:
        shape = (130, 90) if unwritten else WIDE.shape  # rows 120 to 130 are never written
        file.create_dataset("x", shape, WIDE.dtype, chunks=(10, 30), compression="gzip")[:120] = WIDE
    array = array_at(tmp_path / "wide.h5", "x")
    whole = np.vstack([WIDE, np.zeros((10, 90), WIDE.dtype)]) if unwritten else WIDE
    if unwritten and isinstance(index, np.ndarray) and index.dtype == bool:
        index = np.concatenate([index, np.zeros((10, *index.shape[1:]), bool)])
    with counting_decoded() as decoded:
        assert same(array[index], whole[index])
    assert len(decoded) == chunks


def test_rows_one_after_another_decode_a_chunk_once(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "wide.h5", "w", libver="v110") as file:
        file.create_dataset("x", data=WIDE, chunks=(10, 30), maxshape=(None, 90), compression="gzip")
        file["x"].resize(200, axis=0)  # chunks that were never written
        file["y"] = WIDE + 1
    array, other = array_at(tmp_path / "wide.h5", "x"), array_at(tmp_path / "wide.h5", "x")
    with counting_decoded() as decoded:
        assert np.array_equal(np.stack([array[row] for row in range(200)]), np.vstack([WIDE, np.zeros((80, 90), int)]))
        assert len(decoded) == 36
        assert [array[3, 31], array[119, 89], array[150, 2]] == [WIDE[3, 31], WIDE[119, 89], 0]
        assert len(decoded) == 36
        assert np.array_equal(other[5], WIDE[5])  # another array of the same file decodes for itself
        assert len(decoded) == 39
        array[7][:] = -1  # what was given belongs to the caller
        assert np.array_equal(array[7], WIDE[7])


def test_the_chunks_that_are_kept_are_bounded() -> None:
    kept = DecodedChunks(max_bytes=100)
    for number in range(5):
        kept.put((0, number), np.full(30, number, np.uint8))
        kept.get((0, 0))  # what is used stays
    found = [number for number in range(5) if kept.get((0, number)) is not None]
    assert found == [0, 3, 4]
    kept.put((1, 0), np.zeros(101, np.uint8))
    assert kept.get((1, 0)) is None
    assert kept.get((0, 4)) is not None


@pytest.mark.parametrize("shape", [(500,), (40, 700), (6, 5, 300_000)])
def test_places_of_a_contiguous_dataset(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Rows with gaps between them, and rows so long that each is read in parts."""
    data = np.random.default_rng(1).integers(0, 99, shape).astype(np.uint8)
    with h5py.File(tmp_path / "a.h5", "w", libver="v110") as file:
        file["x"] = data
    array = array_at(tmp_path / "a.h5", "x")
    rows = [np.s_[::3], np.s_[[0, 4, 5, 1]], np.s_[2, ..., 9] if len(shape) > 1 else np.s_[2]]
    for index in (*rows, np.s_[..., 5], np.s_[..., ::7], np.s_[..., [250, 3]]):
        assert same(np.asarray(array[index]), np.asarray(data[index]))


def test_it_looks_like_an_array(cube: LazyArray) -> None:
    whole = np.asarray(cube)
    assert whole.flags.c_contiguous
    assert (cube.shape, cube.dtype, cube.ndim, cube.size, cube.nbytes, cube.itemsize) == (
        (whole.shape, whole.dtype, whole.ndim, whole.size, whole.nbytes, whole.itemsize)
    )
    assert len(cube) == len(whole)
    assert isinstance(cube, ArraySource)
    assert same(cube.read(1, 3), whole[1:3])
    assert [int(row.sum()) for row in cube] == [int(row.sum()) for row in whole]
    assert whole[0, 0, 0] in cube
    assert 1000 not in cube
    assert "cube" in repr(cube)
    assert repr(CUBE.dtype.name)[1:-1] in repr(cube)


def test_it_computes_like_an_array(cube: LazyArray) -> None:
    whole = np.asarray(cube)
    assert same(cube + 1, whole + 1)
    assert same(2.5 * cube - cube, 2.5 * whole - whole)
    assert same(cube == whole, whole == whole)
    assert same(np.add.reduce(cube, axis=1), np.add.reduce(whole, axis=1))
    assert same(np.concatenate([cube, cube]), np.concatenate([whole, whole]))
    assert cube.mean() == np.mean(cube) == whole.mean()
    assert same(cube.astype("f4"), whole.astype("f4"))
    assert same(cube.T, whole.T)
    assert same(np.asarray(cube, dtype="f4"), whole.astype("f4"))
    total = np.zeros_like(whole)
    total += cube
    assert same(total, whole)
    with pytest.raises(AttributeError):
        _ = cube.no_such_thing


def test_it_cannot_be_written_to(cube: LazyArray) -> None:
    with pytest.raises(TypeError, match=UNCHANGEABLE):
        cube[0] = 1
    with pytest.raises(TypeError):
        np.add(1, 1, out=cube)  # type: ignore[call-overload]
    with pytest.raises(ValueError):
        np.asarray(cube, copy=False)
    for change in ("fill", "partition", "put", "resize", "setfield", "setflags", "sort"):
        with pytest.raises(TypeError, match=UNCHANGEABLE):
            getattr(cube, change)()
    with pytest.raises(ValueError, match="read-only"):
        cube.flat[0] = 5
    with pytest.raises(TypeError, match="read-only"):
        cube.data[0, 0, 0] = 5
    changed = np.array(cube)
    changed[0] = 5
    assert not np.array_equal(changed, cube)


def test_operators_in_place_are_refused(cube: LazyArray) -> None:
    names = ["add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and", "xor", "or"]
    for name in names:
        with pytest.raises(TypeError, match=UNCHANGEABLE):
            getattr(operator, f"i{name}")(cube, 2)


def test_what_the_refusal_of_operators_in_place_advises(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    h5burst.save(path, {"a": np.arange(6.0)})
    node = h5burst.read_tree(path, lazy=True)["a"]
    assert isinstance(node, Array)
    with pytest.raises(TypeError, match=UNCHANGEABLE):
        node.data += 1
    with h5burst.open(path) as file, pytest.raises(TypeError, match=UNCHANGEABLE):
        file["a"] += 1
    with h5burst.edit(path) as tx:
        node = tx["a"]
        assert isinstance(node, Array)
        values = node.data[...]
        values += 1
        tx.put("a", Array(values, node.attrs))
    assert np.array_equal(h5burst.load(path)["a"], np.arange(1.0, 7.0))


def documented_attributes(of: type) -> dict[str, str]:
    """The section "Attributes" of a docstring: the text after each name."""
    section = inspect.cleandoc(str(of.__doc__)).split("Attributes\n----------\n")[1].split("\n\n")[0]
    return dict(line.split(" : ") for line in section.splitlines() if not line.startswith(" "))


PYTHON_TYPES: dict[str, Any] = {
    "str": str, "int or None": (int, type(None)), "str or None": (str, type(None)), "tuple": tuple, "Mapping": Mapping,
    "numpy.dtype": np.dtype, "tuple of int": tuple, "tuple of str": tuple, "tuple of int or None": (tuple, type(None)),
}  # fmt: skip


@pytest.mark.parametrize("lost", ["nothing", "pickled", "read from a file object"])
def test_every_documented_attribute_is_there_on_every_kind_of_dataset(tmp_path: Path, lost: str) -> None:
    path = tmp_path / "kinds.h5"
    with h5py.File(path, "w") as file:
        file["plain"] = np.arange(6).reshape(2, 3)
        file["single"] = 2.5
        file["empty"] = np.empty((0, 4))
        file["records"] = np.array([(1, 2.0), (3, 4.0)], [("a", "i4"), ("b", "f8")])
        file["text"] = [f"text {k}" for k in range(70_000)]
        file.create_dataset("growing", data=np.arange(50), chunks=(20,), maxshape=(None,), compression="gzip")
        file.create_dataset("scaled", data=np.arange(50), chunks=(20,), scaleoffset=0)
        file.create_dataset("of arrays", shape=(4,), dtype=np.dtype(("i2", (2, 3))))
        file.create_dataset("bits", (3,), dtype=h5py.h5t.STD_B16LE)
        for name in file:
            file[name].attrs["unit"] = name
    documented = documented_attributes(LazyArray)
    assert {"shape", "dtype", "path", "name", "attrs", "chunks", "maxshape", "stamp"} <= set(documented)
    where: Any = io.BytesIO(path.read_bytes()) if lost == "read from a file object" else path
    arrays = {name: node.data for name, node in h5burst.read_tree(where, lazy=True).children.items()}  # type: ignore[union-attr]
    lazily = {name: data for name, data in arrays.items() if isinstance(data, LazyArray)}
    assert {"plain", "records", "text", "growing", "scaled", "of arrays", "bits"} <= set(lazily)
    with h5py.File(path) as file:
        for name, array in lazily.items():
            again = pickle.loads(pickle.dumps(array)) if lost == "pickled" else array  # noqa: S301
            for attribute, words in documented.items():
                assert isinstance(getattr(again, attribute), PYTHON_TYPES[words]), (name, attribute)
            assert (again.name, again.attrs["unit"]) == (f"/{name}", name)
            inner = again.shape[file[name].ndim :]  # of a datatype whose elements are arrays
            assert (again.shape, again.chunks) == (file[name].shape + inner, file[name].chunks)
            assert (again.maxshape, again.compression is None) == (
                file[name].maxshape + inner,
                name not in ("growing", "scaled"),
            )


def test_scalars(tmp_path: Path) -> None:
    arrays = {"number": np.array(2.5), "index": np.array(3)}
    h5burst.write_tree(tmp_path / "a.h5", Group({name: Array(value) for name, value in arrays.items()}))
    number, index = array_at(tmp_path / "a.h5", "number"), array_at(tmp_path / "a.h5", "index")
    assert (float(number), int(number), complex(number), bool(number), number[()]) == (2.5, 2, 2.5, True, 2.5)
    assert "xyzabc"[index] == "a"
    with pytest.raises(TypeError):
        len(number)
    with pytest.raises(TypeError):
        list(number)


def test_short_text_is_read_at_once_and_long_text_on_access(tmp_path: Path) -> None:
    short = np.array([["a", "ü"], ["", "long " * 100]], dtype=object)
    long = np.array([f"µ {i}" for i in range(70_000)], dtype=object)
    h5burst.write_tree(tmp_path / "a.h5", Group({"short": Array(short), "long": Array(long)}))
    members = h5burst.read_tree(tmp_path / "a.h5", lazy=True).children
    assert isinstance(members["short"].data, np.ndarray)  # type: ignore[union-attr]
    assert same(members["short"].data, short)  # type: ignore[union-attr]
    found = array_at(tmp_path / "a.h5", "long")
    assert found[69_999] == "µ 69999"
    assert found[5:7].tolist() == ["µ 5", "µ 6"]
    assert same(found[...], long)


def test_structured_arrays_give_their_fields(tmp_path: Path) -> None:
    records = np.array([(1, 2.0), (3, 4.0)], [("a", "i4"), ("b", "f8")])
    h5burst.write_tree(tmp_path / "a.h5", Group({"records": Array(records)}))
    found = array_at(tmp_path / "a.h5", "records")
    assert same(found["a"], records["a"])
    assert same(found[["b"]], records[["b"]])
    assert found[1]["b"] == 4.0


# ---------------------------------------------------------------- bounded reading


def test_a_slice_reads_only_the_chunks_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.create_dataset("data", data=np.arange(10_000).reshape(100, 100), chunks=(10, 10), compression="gzip")
    decoded = []
    decode = lazy.Elements.read.__globals__["codecs"].decode
    monkeypatch.setattr("h5burst.codecs.decode", lambda *args: (decoded.append(1), decode(*args))[1])
    assert array_at(path, "data")[25, 33:52].tolist() == list(range(2533, 2552))
    assert len(decoded) == 3


def test_rows_of_a_large_dataset_take_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.create_dataset("huge", (1 << 40, 4), "f8", chunks=(1000, 4), maxshape=(None, 4))[5000] = 7
    huge = array_at(path, "huge")
    assert huge.nbytes == 1 << 45
    assert huge[5000].tolist() == [7] * 4
    assert huge[(1 << 39) : (1 << 39) + 3].sum() == 0
    with pytest.raises(CorruptFileError, match="no memory holds"):
        np.asarray(huge)


# ---------------------------------------------------------------- groups


def test_groups_are_read_when_they_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "_READAHEAD_MEMBERS", 0)
    monkeypatch.setattr(lazy, "_READAHEAD_OF_ROOT", 0)
    tree = Group({"a": Group({"b": Group({"c": Array(np.arange(3))}, {"x": 1})}), "d": Array(None)})
    h5burst.write_tree(tmp_path / "a.h5", tree)
    opened: list[Any] = []
    children = lazy.Reader.children

    def counted(self: Any, *args: Any) -> Any:
        opened.append(args[1])
        return children(self, *args)

    monkeypatch.setattr(lazy.Reader, "children", counted)
    found = h5burst.read_tree(tmp_path / "a.h5", lazy=True)
    assert opened == []
    assert list(found.children) == ["a", "d"]
    assert opened == [()]
    assert found["a/b"].attrs == {"x": 1}
    assert opened == [(), ("a",)]
    assert found["a/b/c"].data.sum() == 3  # type: ignore[union-attr]
    assert opened == [(), ("a",), ("a", "b")]


def test_the_root_alone_reads_little_of_a_large_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of hundreds of units is opened for its metadata, too."""
    units = Group({f"unit_{number}": Group({"spikes": Group()}) for number in range(300)})
    h5burst.write_tree(tmp_path / "a.h5", Group({"units": units, "steps": Group({"done": Array(np.arange(2))})}))
    made: list[Any] = []
    members = lazy.LazyReader.lazy_members

    def counted(self: Any, *args: Any) -> Any:
        made.append(args)
        return members(self, *args)

    monkeypatch.setattr(lazy.LazyReader, "lazy_members", counted)
    found = h5burst.read_tree(tmp_path / "a.h5", lazy=True)
    assert found["steps/done"].data.sum() == 1  # type: ignore[union-attr]
    assert len(made) == 3
    assert len(found["units"].children) == 300  # type: ignore[union-attr]
    assert len(made) >= 600  # and what is in them


def test_members_of_a_lazy_group_behave_like_a_dict(tmp_path: Path) -> None:
    h5burst.write_tree(tmp_path / "a.h5", Group({name: Group(attrs={"name": name}) for name in "abc"}))

    def members() -> dict[str, Any]:
        return h5burst.read_tree(tmp_path / "a.h5", lazy=True).children

    plain = {name: Group({}, {"name": name}) for name in "abc"}
    assert isinstance(members(), dict)
    assert len(members()) == 3
    assert list(members()) == list(reversed(list(reversed(members())))) == ["a", "b", "c"]
    assert members() == plain
    assert plain == members()
    assert dict(members()) == {**members()} == members().copy() == members() | {} == {} | members() == plain
    assert "b" in members()
    assert members().get("z") is None
    assert members().pop("c").attrs == {"name": "c"}
    assert members().popitem()[0] == "c"
    assert list(members().items()) == list(plain.items())
    assert repr(members()) == repr(plain)
    changed = members()
    changed["d"] = Array(np.arange(3))
    del changed["a"]
    assert list(changed) == ["b", "c", "d"]
    changed |= {"e": Group()}
    changed.update(f=Group())
    assert changed.setdefault("e", Group({"x": Group()})).children == {}
    assert list(changed.keys()) == ["b", "c", "d", "e", "f"]
    changed.clear()
    assert not changed
    assert pickle.loads(pickle.dumps(members())) == plain  # noqa: S301
    assert copy.deepcopy(members()) == plain


def test_a_lazy_tree_is_written_without_reading_it_whole(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(3000, 100))
    tree = Group({"data": Array(data, {"unit": "µV"}, Storage("gzip")), "text": Array(np.array(["ü"], dtype=object))})
    h5burst.write_tree(tmp_path / "a.h5", tree)
    h5burst.write_tree(tmp_path / "b.h5", h5burst.read_tree(tmp_path / "a.h5", lazy=True))
    found = h5burst.read_tree(tmp_path / "b.h5")
    assert np.array_equal(found["data"].data, data)  # type: ignore[union-attr]
    assert found["data"].attrs == {"unit": "µV"}
    assert found["text"].data.tolist() == ["ü"]  # type: ignore[union-attr]


# ---------------------------------------------------------------- threads, processes, changed files


def test_threads_may_share_a_tree(tmp_path: Path) -> None:
    groups = {f"{i}": Group({f"{j}": Array(np.full(5000, i * j)) for j in range(5)}) for i in range(40)}
    h5burst.write_tree(tmp_path / "a.h5", Group(groups), storage=Storage("gzip"))
    for _ in range(3):
        tree = h5burst.read_tree(tmp_path / "a.h5", lazy=True)
        start = threading.Barrier(8)

        def total(_: int, tree: Group = tree, start: threading.Barrier = start) -> int:
            start.wait()
            return sum(int(node.data.sum()) for _, node in tree.walk() if isinstance(node, Array))

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(total, range(8))) == {5000 * sum(range(40)) * sum(range(5))}


def _sum(array: Any) -> int:
    return int(np.asarray(array).sum())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_reads_on(tmp_path: Path) -> None:
    h5burst.write_tree(tmp_path / "a.h5", Group({"data": Array(np.arange(300_000))}), storage=Storage("gzip"))
    array = array_at(tmp_path / "a.h5", "data")
    expected = _sum(array)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_sum, [array, array[:]]) == [expected] * 2
    assert _sum(array) == expected


def test_arrays_are_pickled_by_path(cube: LazyArray) -> None:
    pickled = pickle.dumps(cube)
    assert len(pickled) < 1000
    found = pickle.loads(pickled)  # noqa: S301
    assert same(found[...], cube[...])
    assert isinstance(copy.deepcopy(cube), LazyArray)


def test_the_working_directory_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5burst.write_tree(tmp_path / "a.h5", Group({"data": Array(np.arange(3))}))
    monkeypatch.chdir(tmp_path)
    tree = h5burst.read_tree("a.h5", lazy=True)
    monkeypatch.chdir("/")
    assert tree["data"].data.tolist() == [0, 1, 2]  # type: ignore[union-attr]


@pytest.mark.parametrize("is_known", [False, True], ids=["not read before", "read before"])
@pytest.mark.parametrize("kind", ["replaced", "edited", "removed"])
def test_a_changed_file_is_never_read_as_the_old_one(cube: LazyArray, kind: str, is_known: bool) -> None:
    tree = h5burst.read_tree(cube.path, lazy=True)
    if is_known:
        assert same(cube[1], CUBE[1])
    if kind == "replaced":
        h5burst.write_tree(cube.path, Group({"cube": Array(np.zeros(cube.shape))}), overwrite=True)
    elif kind == "edited":
        with h5py.File(cube.path, "r+") as file:
            file["cube"].attrs["x"] = 1
    else:
        os.unlink(cube.path)
    with pytest.raises(StaleFileError, match="changed"):
        cube[0]
    with pytest.raises(StaleFileError, match="changed"):
        list(tree.children)


@pytest.mark.parametrize("user_block", [0, 512])
def test_headers_are_read_at_the_first_access(user_block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", userblock_size=user_block) as file:
        file["flat"] = CUBE
        file.create_dataset("packed", data=CUBE, chunks=(7, 30, 3), compression="gzip")
    arrays = [array_at(path, name) for name in ("flat", "packed")]
    for array in arrays:
        assert same(array[5], CUBE[5])
    monkeypatch.setattr(lazy, "Reader", None)
    out = np.empty_like(CUBE)
    for array in arrays:
        for index in np.s_[-1, 3:9, [4, 1], ::7, (2, 3, 4), (..., 0)]:
            assert same(array[index], CUBE[index])
        array.read_into(out)
        assert same(out, CUBE)


@pytest.mark.parametrize("stored", ["<f4", ">f4", "<f8"])
@pytest.mark.parametrize("columns", [3, 700])  # short rows, and such as are read each into its place
def test_listed_rows_are_read_into_an_array(tmp_path: Path, stored: str, columns: int) -> None:
    values = np.random.default_rng(1).integers(-9, 9, (90, columns)).astype(stored)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["flat"] = values
        file.create_dataset("packed", data=values, chunks=(7, columns), compression="gzip", shuffle=True)
        some = file.create_dataset("some chunks", data=np.zeros_like(values), chunks=(7, columns))
        some[:7] = values[:7]
        written = some[()]
    lists = ([], [4], [0, 1, 2, 40, 41, 89], range(0, 90, 2), range(90))
    for name, expected in (("flat", values), ("packed", values), ("some chunks", written)):
        array = array_at(tmp_path / "a.h5", name)
        for rows in (np.array(each, np.int32) for each in lists):
            out = np.full((len(rows), columns), np.nan, "<f8" if stored == "<f8" else "<f4")
            array.read_into(rows, out)
            np.testing.assert_array_equal(out, expected[rows])
        for wrong, length in (([3, 2], 2), ([3, 3], 2), ([-1, 3], 2), ([3, 90], 2), ([1, 2], 3), ([[1, 2]], 2)):
            with pytest.raises(ValueError, match="rows"):
                array.read_into(np.array(wrong), np.empty((length, columns), stored))
        with pytest.raises(ValueError, match="dtype float64"):
            array.read_into(np.array([1.0, 2.0]), np.empty((2, columns), stored))


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system takes no advice about files")
def test_rows_are_brought_into_the_cache_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte of the rows is named, and no other; only of rows that are read by themselves."""
    values = np.arange(90.0 * 700).reshape(90, 700)
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        file["long"], file["short"] = values, values[:, :3].copy()
        file.create_dataset("packed", data=values, chunks=(7, 700), compression="gzip")
    first = (tmp_path / "a.h5").read_bytes().index(values[0].tobytes())
    named = set()
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, length, __: named.update(range(start, start + length)))
    monkeypatch.setattr(lazy, "_ADVISED_BYTES", 9_999)
    rows = np.array([2, 3, 4, 50])
    assert array_at(tmp_path / "a.h5", "long").prefetch(rows)
    assert named == {first + row * 5600 + byte for row in rows.tolist() for byte in range(5600)}
    assert not array_at(tmp_path / "a.h5", "short").prefetch(rows)
    assert not array_at(tmp_path / "a.h5", "packed").prefetch(rows)
    with pytest.raises(ValueError, match="ascending numbers"):
        array_at(tmp_path / "a.h5", "long").prefetch(np.array([3, 90]))


@pytest.mark.skipif(not locks.are_used(), reason="files are not locked here")
def test_an_array_that_was_read_is_refused_while_its_file_is_locked(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["flat"] = CUBE
    array = array_at(tmp_path / "a.h5", "flat")
    assert same(array[5], CUBE[5])
    with open(tmp_path / "a.h5", "rb") as writer:
        assert locks.try_exclusive(writer.fileno()) is locks.Answer.GRANTED
        with pytest.raises(OSError, match=r"a\.h5"):
            array[6]
    assert same(array[6], CUBE[6])


def test_damage_met_at_a_later_access_names_the_array(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("packed", data=CUBE, chunks=(1, 30, 20), compression="gzip")
        chunk = file["packed"].id.get_chunk_info(6)
    with open(tmp_path / "a.h5", "r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(bytes(chunk.size))
    array = array_at(tmp_path / "a.h5", "packed")
    assert same(array[5], CUBE[5])
    for index in (6, slice(None)):
        with pytest.raises(CorruptFileError, match="/packed: "):
            array[index]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system does not list descriptors there")
def test_thousands_of_arrays_of_many_files_leave_nothing_open(tmp_path: Path) -> None:
    h5burst.write_tree(tmp_path / "a.h5", Group({f"{number}": Array(CUBE[:1]) for number in range(3000)}))
    arrays = [node.data for node in h5burst.read_tree(tmp_path / "a.h5", lazy=True).children.values()]
    for number in range(50):
        h5burst.write_tree(tmp_path / f"{number}.h5", Group({"flat": Array(CUBE[:1])}))
        arrays.append(array_at(tmp_path / f"{number}.h5", "flat"))
    before = os.listdir("/proc/self/fd")
    for _ in range(2):
        for array in arrays:
            assert same(array[0], CUBE[0])
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_renamed_members_of_one_table_leave_others_alone(tmp_path: Path) -> None:
    table = np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")])
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["one"], file["two"] = table, table
    one = h5burst.read_tree(tmp_path / "x.h5")["one"].data  # type: ignore[union-attr]
    one.dtype.names = ("c", "d")
    for name in ("one", "two"):
        again = h5burst.read_tree(tmp_path / "x.h5")[name].data  # type: ignore[union-attr]
        assert again.dtype == table.dtype


def test_small_arrays_are_read_ahead_as_long_as_they_fit_and_others_read_themselves(tmp_path: Path) -> None:
    path = tmp_path / "tree.h5"
    arrays = {f"{number}": np.full(100 + number, float(number)) for number in range(12)}  # 800 to 888 bytes
    large = np.arange(1000.0)
    tree = Group({"large": Array(large), "none": Group(), "small": Group({n: Array(a) for n, a in arrays.items()})})
    h5burst.write_tree(path, tree)

    each = h5burst.read_tree(path, lazy=True, ahead=900 * 512)
    none = h5burst.read_tree(path, lazy=True, ahead=500 * 512)

    assert type(each.children["small"].children) is dict  # not one that is filled later
    assert isinstance(each.children["large"].data, LazyArray)
    assert all(isinstance(node.data, np.ndarray) for node in each.children["small"].children.values())
    assert all(isinstance(node.data, LazyArray) for node in none.children["small"].children.values())
    for found in (each, none):
        np.testing.assert_array_equal(found.children["large"].data[:], large)
        for name, node in found.children["small"].children.items():
            np.testing.assert_array_equal(np.asarray(node.data), arrays[name])


def test_what_is_read_ahead_is_bounded_in_sum(tmp_path: Path) -> None:
    path = tmp_path / "tree.h5"
    rows = 600
    h5burst.write_tree(path, Group({f"{number:03d}": Array(np.full(10, number)) for number in range(rows)}))

    found = h5burst.read_tree(path, lazy=True, ahead=80 * 512).children.values()

    assert sum(isinstance(node.data, np.ndarray) for node in found) == 512
    assert [int(node.data[3]) for node in found] == list(range(rows))


def test_attributes_of_what_was_read_cannot_be_set(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    h5burst.save(path, {"g": {"a": np.arange(6).reshape(3, 2)}})
    with h5burst.open(path) as file:
        array = file["g/a"]
        for owner, names in (
            (array, ("shape", "dtype", "ndim", "chunks", "maxshape", "name", "path", "attrs", "unknown")),
            (file, ("name", "filename", "attrs", "closed", "unknown")),
            (file["g"], ("name", "unknown")),
        ):
            for name in names:
                with pytest.raises(AttributeError):
                    setattr(owner, name, None)
        assert array.shape == (3, 2)


@pytest.mark.parametrize("lazy", [False, True])
def test_what_lies_beyond_an_external_link_has_its_names_there(lazy: bool, tmp_path: Path) -> None:
    """libhdf5 finds by them what only it reads."""
    with h5py.File(tmp_path / "target.h5", "w") as file:
        file["a/deep/x"] = np.arange(5)
        layout = h5py.VirtualLayout((5,), "i8")
        layout[:] = h5py.VirtualSource("target.h5", "a/deep/x", (5,))
        file.create_virtual_dataset("a/deep/v", layout)
        file["a/deep/below/y"] = np.arange(3)
    with h5py.File(tmp_path / "outer.h5", "w") as file:
        file["link"] = h5py.ExternalLink("target.h5", "a/deep")

    found = h5burst.read_tree(tmp_path / "outer.h5", lazy=lazy)

    np.testing.assert_array_equal(found["link/v"].data, np.arange(5))  # type: ignore[union-attr]
    np.testing.assert_array_equal(found["link/below/y"].data, np.arange(3))  # type: ignore[union-attr]
    if lazy:
        assert [found[path].data.name for path in ("link/x", "link/v", "link/below/y")] == [  # type: ignore[union-attr]
            "/a/deep/x",
            "/a/deep/v",
            "/a/deep/below/y",
        ]
