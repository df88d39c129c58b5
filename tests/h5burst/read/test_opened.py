"""`h5burst.open`: groups as mappings, arrays that slice as h5py's."""

from __future__ import annotations

import io
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, CorruptFileError, Group, LazyArray, LazyGroup, StaleFileError, Storage

CUBE = np.random.default_rng(2).integers(0, 99, (60, 40, 5))


@pytest.fixture(params=["earliest", "latest", "h5burst"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same content by h5py in its oldest and newest format, and by this package."""
    place = tmp_path / "file.h5"
    if request.param == "h5burst":
        units = {f"unit_{k}": Group({"spikes": Array(np.arange(k))}, {"row": k}) for k in range(3)}
        cube = Array(CUBE, {"unit": "mV"}, Storage("gzip", chunks=(16, 40, 5)))
        tree = {
            "cube": cube,
            "units": Group(units),
            "name": Array(np.array("Ada", dtype=object)),
            "n": Array(np.array(7)),
        }
        h5burst.write_tree(place, Group(tree, {"version": 3}, {"alias": "/units/unit_1"}))
    else:
        with h5py.File(place, "w", libver=request.param) as file:
            file.attrs["version"] = 3
            file.create_dataset("cube", data=CUBE, chunks=(16, 40, 5), compression="gzip").attrs["unit"] = "mV"
            for k in range(3):
                file.create_dataset(f"units/unit_{k}/spikes", data=np.arange(k))
                file[f"units/unit_{k}"].attrs["row"] = k
            file["name"], file["n"] = "Ada", 7
            file["alias"] = h5py.SoftLink("/units/unit_1")
    return place


def test_it_is_what_h5py_shows(path: Path) -> None:
    with h5burst.open(path) as file, h5py.File(path) as other:
        assert sorted(file) == sorted(other)
        assert sorted(file.keys()) == sorted(other.keys())
        assert len(file) == len(other)
        assert dict(file.attrs) == dict(other.attrs)
        assert (file.name, file["units"].name, file["units/unit_2/spikes"].name) == (
            "/",
            "/units",
            "/units/unit_2/spikes",
        )
        assert file["units"]["unit_1"].attrs["row"] == 1
        assert file["alias/spikes"][()].tolist() == [0]
        assert file["/units/unit_2"]["/cube"].shape == CUBE.shape
        assert file["units"][("unit_2", "spikes")][:].tolist() == [0, 1]
        assert file["units/./unit_2//spikes"].shape == (2,)
        assert file["name"][()] == "Ada"
        assert file["n"][()] == 7
        assert [name for name, _ in file["units"].items()] == ["unit_0", "unit_1", "unit_2"]
        assert file.get("lost") is None
        assert file.get("lost/further", 5) == 5
        assert file["/"] == file


@pytest.mark.parametrize(
    "index",
    [
        np.s_[...], np.s_[()], 5, -1, np.s_[3, 4, 2], np.s_[::7], np.s_[50:2:-3], np.s_[..., 1], np.s_[:, [0, 39]],
        np.s_[[3, 50, 4]], np.s_[np.arange(60) % 9 == 0], np.s_[5:5], np.s_[CUBE[:, :, 0] > 50], np.s_[2, ..., ::2],
    ],
    ids=str,
)  # fmt: skip
def test_slices_are_numpys(index: Any, path: Path) -> None:
    with h5burst.open(path) as file:
        found = file["cube"][index]
    expected = CUBE[index]
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_arrays_say_how_they_are_stored(path: Path) -> None:
    with h5burst.open(path) as file:
        cube = file["cube"]
        assert (cube.shape, cube.dtype, cube.ndim, cube.size, cube.nbytes) == (
            (CUBE.shape, CUBE.dtype, 3, CUBE.size, CUBE.nbytes)
        )
        assert (cube.chunks, cube.maxshape, cube.compression) == ((16, 40, 5), CUBE.shape, "gzip")
        assert dict(cube.attrs) == {"unit": "mV"}
        assert len(cube) == 60
        spikes = file["units/unit_2/spikes"]
        assert (spikes.chunks, spikes.compression, dict(spikes.attrs)) == (None, None, {})


def test_blocks_and_buffers(path: Path) -> None:
    with h5burst.open(path) as file:
        cube = file["cube"]
        blocks = list(cube.iter_blocks())
        np.testing.assert_array_equal(np.concatenate(blocks), CUBE)
        assert [len(block) for block in cube.iter_blocks(25)] == [25, 25, 10]
        whole = np.empty(CUBE.shape, CUBE.dtype)
        cube.read_into(whole)
        np.testing.assert_array_equal(whole, CUBE)
        rows = np.empty((4, 40, 5), np.float64)  # converted
        cube.read_into(50, rows)
        np.testing.assert_array_equal(rows, CUBE[50:54])
        turned = np.empty((5, 40, 60), CUBE.dtype).T  # not C-ordered
        cube.read_into(turned)
        np.testing.assert_array_equal(turned, CUBE)
        single = np.empty((), np.int64)
        file["n"].read_into(single)
        assert single == 7
        for start, shape in ((57, (4, 40, 5)), (-1, (4, 40, 5)), (0, (4, 40, 6))):
            with pytest.raises(ValueError, match="rows"):
                cube.read_into(start, np.empty(shape, CUBE.dtype))
        with pytest.raises(ValueError, match="rows"):
            cube.read_into(np.empty((59, 40, 5), CUBE.dtype))
        with pytest.raises(TypeError, match="cast"):
            cube.read_into(0, np.empty((4, 40, 5), "M8[s]"))
        with pytest.raises(TypeError, match="numpy array, not list"):
            cube.read_into([1])
        with pytest.raises(ValueError, match="at least 1"):
            list(cube.iter_blocks(0))
        with pytest.raises(TypeError, match="no rows"):
            list(file["n"].iter_blocks())


def test_what_is_not_there(path: Path) -> None:
    with h5burst.open(path) as file:
        for lost in ("lost", "units/lost", "cube/lost", "units/unit_1/spikes/lost", ("units", "")):
            assert lost not in file
            with pytest.raises(KeyError, match="nothing at"):
                file[lost]
        assert 5 not in file
        with pytest.raises(TypeError, match="a path is one text or a tuple of names, not 5"):
            file[5]  # type: ignore[index]


def test_everything_below_is_visited_once(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/sub/x"] = 1
        file["g/y"] = 2
        file["again"] = file["g/sub"]
        file["g/loop"] = file["g"]
        file["soft"] = h5py.SoftLink("/g/y")
        file["nowhere"] = h5py.SoftLink("/lost")
        seen: list[str] = []
        file.visit(seen.append)
    with h5burst.open(tmp_path / "a.h5") as opened:
        found: list[str] = []
        opened.visit(found.append)
        assert len(found) == len(set(found)) == len(seen) == 4  # g, sub, x, y, whatever their names
        assert opened.visititems(lambda name, item: name if isinstance(item, LazyArray) else None) in ("again/x", "g/y")
        assert not {"soft", "nowhere"} & set(found)
        assert opened["g/loop/loop/loop/sub/x"][()] == 1  # hard links may run in a circle
        assert "nowhere" in list(opened)
        assert "nowhere" not in opened
        with pytest.raises(KeyError):
            opened["nowhere"]


def test_links_into_other_files(tmp_path: Path) -> None:
    h5burst.save(tmp_path / "b.h5", {"g": {"x": np.arange(4)}})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["there"] = h5py.ExternalLink("b.h5", "/g")
        file["direct"] = h5py.ExternalLink("b.h5", "/g/x")
        file["lost"] = h5py.ExternalLink("c.h5", "/g")
        file["circle"] = h5py.ExternalLink("a.h5", "/circle")
    with h5burst.open(tmp_path / "a.h5") as opened:
        assert opened["there/x"][1:].tolist() == [1, 2, 3]
        assert opened["direct"][0] == 0
        for name in ("lost", "circle", "there/no"):
            assert name not in opened
            with pytest.raises(KeyError):
                opened[name]


def test_kinds_without_elements_and_what_libhdf5_reads(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["null"] = h5py.Empty("f4")
        file["type"] = np.dtype([("a", "i2"), ("b", "f8")])
        file["ragged"] = np.array([np.arange(2), np.arange(3)], dtype=object).astype(h5py.vlen_dtype("i4"))
        file.create_dataset("scaled", data=np.arange(100), chunks=(10,), scaleoffset=0).attrs["note"] = "by libhdf5"
        file["scaled"].attrs["reference"] = file["null"].ref
        file.create_dataset("matrix", (4,), dtype=np.dtype(("i2", (2, 3))), chunks=(2,))[...] = np.ones((4, 2, 3))
    with h5burst.open(tmp_path / "a.h5") as opened:
        assert (opened["null"].shape, opened["null"].dtype, opened["null"][()]) == (None, np.dtype("f4"), None)
        with pytest.raises(IndexError, match="no elements"):
            opened["null"][0]
        assert opened["type"].dtype == np.dtype([("a", "i2"), ("b", "f8")])
        assert [part.tolist() for part in opened["ragged"][:]] == [[0, 1], [0, 1, 2]]
        scaled = opened["scaled"]
        assert scaled[[90, 5]].tolist() == [90, 5]
        assert (scaled.chunks, scaled.maxshape, scaled.filters) == ((10,), (100,), ("scaleoffset",))
        assert scaled.attrs["note"] == "by libhdf5"
        assert scaled.attrs["reference"].path == "/null"
        assert (opened["matrix"].shape, opened["matrix"].chunks, opened["matrix"].maxshape) == (
            ((4, 2, 3), (2, 2, 3), (4, 2, 3))
        )


def test_a_file_that_this_process_writes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/x"] = np.arange(5)
        file["g"].attrs["a"] = 1
        file["null"] = h5py.Empty("f8")
        with h5burst.open(tmp_path / "a.h5") as opened:
            assert opened["g/x"][1:3].tolist() == [1, 2]
            assert opened["g"].attrs["a"] == 1
            assert opened["/g"]["/g/x"].shape == (5,)
            assert list(opened["g"]) == ["x"]
            assert opened["null"].shape is None
            found: list[str] = []
            opened.visit(found.append)
            assert sorted(found) == ["g", "g/x", "null"]
            with pytest.raises(KeyError):
                opened["g/y"]


def test_one_damaged_object_costs_that_object(tmp_path: Path) -> None:
    h5burst.save(tmp_path / "a.h5", {name: {"x": np.arange(9), "large": np.arange(90_000)} for name in "abc"})
    content = bytearray((tmp_path / "a.h5").read_bytes())
    with h5py.File(tmp_path / "a.h5") as file:
        content[h5py.h5o.get_info(file["b"].id).addr + 12] ^= 255
        content[file["c/large"].id.get_chunk_info(0).byte_offset + 7] ^= 1
    (tmp_path / "a.h5").write_bytes(content)
    with h5burst.open(tmp_path / "a.h5") as opened:
        assert list(opened) == ["a", "b", "c"]
        assert "b" in opened
        with pytest.raises(CorruptFileError, match="/b"):
            opened["b"]
        with pytest.raises(CorruptFileError, match="/b"):
            opened["b/x"]
        with pytest.raises(CorruptFileError, match="/c/large"):
            opened["c/large"][:5]
        assert opened["c/x"][3] == 3
        assert opened["a/large"][-1] == 89_999


def test_a_walk_goes_on_past_what_is_damaged(tmp_path: Path) -> None:
    h5burst.save(tmp_path / "a.h5", {name: {"x": np.arange(9), "y": {"z": np.arange(3)}} for name in "abc"})
    content = bytearray((tmp_path / "a.h5").read_bytes())
    with h5py.File(tmp_path / "a.h5") as file:
        for path in ("a/y", "b"):
            content[h5py.h5o.get_info(file[path].id).addr + 12] ^= 255
    (tmp_path / "a.h5").write_bytes(content)
    found: list[str] = []
    with h5burst.open(tmp_path / "a.h5") as opened, pytest.raises(CorruptFileError) as caught:
        opened.visit(found.append)
    assert found == ["a", "a/x", "c", "c/x", "c/y", "c/y/z"]
    assert [path for path, _ in caught.value.problems] == ["/a/y", "/b"]


def test_a_walk_takes_h5pys_way_and_meets_committed_types(tmp_path: Path) -> None:
    """A committed type of variable length, as netCDF4 makes them, ended the walk; it went through groups last."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ragged"] = h5py.vlen_dtype(np.int32)
        file["pair"] = np.dtype([("a", "i4"), ("b", "f8")])
        file["pair"].attrs["unit"] = "mV"
        for path in ("a/b/c", "a/d", "b", "z/a/x", "z/b"):
            file[path] = 1
        expected: list[str] = []
        file.visit(expected.append)
    with h5burst.open(tmp_path / "a.h5") as opened:
        walked = dict(opened.walk())
        assert list(walked) == expected
        assert (walked["pair"].dtype, dict(walked["pair"].attrs)) == (
            np.dtype([("a", "i4"), ("b", "f8")]),
            {"unit": "mV"},
        )
        assert (walked["ragged"].dtype, dict(walked["ragged"].attrs)) == (None, {})


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_damage_anywhere_is_an_oserror_or_harmless(libver: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        for k in range(12):
            options = {"chunks": (20,), "compression": "gzip"} if k else {}
            file.create_dataset(f"g{k % 3}/x{k}", data=np.arange(30 * k), **options)
            file[f"g{k % 3}"].attrs[f"a{k}"] = "text"
        file["soft"] = h5py.SoftLink("/g1/x4")
        file["text"] = ["a", "b"]
    content = (tmp_path / "a.h5").read_bytes()
    rng = np.random.default_rng(8)
    outcomes = {"read": 0, "refused": 0}
    messages = []
    for place in rng.integers(0, len(content), 120):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        try:
            with h5burst.open(io.BytesIO(bytes(damaged))) as opened:
                for name, item in opened.walk():
                    assert isinstance(name, str)
                    dict(item.attrs)
                    if isinstance(item, LazyArray):
                        item[()]
            outcomes["read"] += 1
        except OSError as error:
            messages.append(str(error))
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 5
    assert all("<BytesIO>" in message for message in messages)


def test_a_closed_file_gives_nothing_more_but_arrays_stay(path: Path) -> None:
    with h5burst.open(path) as file:
        cube, units = file["cube"], file["units"]
        assert not file.closed
    assert file.closed
    for use in (lambda: file["cube"], lambda: list(file), lambda: units["unit_1"], lambda: len(units), file.__enter__):
        with pytest.raises(ValueError, match="was closed"):
            use()
    np.testing.assert_array_equal(cube[5], CUBE[5])


def test_a_file_that_was_changed_is_stale(path: Path) -> None:
    file = h5burst.open(path)
    units = file["units"]
    os.utime(path, ns=(1, 1))
    for use in (lambda: file["cube"], lambda: units["unit_1"]):
        with pytest.raises(StaleFileError):
            use()


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(CorruptFileError, match=r"text\.h5"):
        h5burst.open(tmp_path / "text.h5")
    with pytest.raises(FileNotFoundError):
        h5burst.open(tmp_path / "lost.h5")
    with pytest.raises(IsADirectoryError):
        h5burst.open(tmp_path)


# ---------------------------------------------------------------- readers side by side


def _sum_of(array: Any) -> int:
    return int(array[10:50].sum())


def test_threads_share_arrays_and_files(path: Path) -> None:
    file = h5burst.open(path)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda k: file["cube"][k], range(60)))
        np.testing.assert_array_equal(np.stack(rows), CUBE)
        cube = file["cube"]
        parts = list(pool.map(lambda k: cube[k::7, :, ::2], range(7)))
    for k, part in enumerate(parts):
        np.testing.assert_array_equal(part, CUBE[k::7, :, ::2])


def test_pickled_objects_open_the_file_again(path: Path) -> None:
    file = h5burst.open(path)
    for name in ("cube", "units", "units/unit_2"):
        again = pickle.loads(pickle.dumps(file[name]))  # noqa: S301
        assert type(again) is type(file[name])
        assert again.name == file[name].name
    assert pickle.loads(pickle.dumps(file["units"]))["unit_2/spikes"][:].tolist() == [0, 1]  # noqa: S301
    assert list(pickle.loads(pickle.dumps(file))) == list(file)  # noqa: S301


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_arrays_that_they_were_sent(method: str, path: Path) -> None:
    file = h5burst.open(path)
    file["cube"][0]
    with get_context(method).Pool(2) as pool:
        assert pool.map(_sum_of, [file["cube"]] * 4) == [int(CUBE[10:50].sum())] * 4


def test_dask_takes_lazy_arrays(path: Path) -> None:
    dask_array = pytest.importorskip("dask.array")
    with h5burst.open(path) as file:
        for chunks in ("auto", (20, 40, 5), file["cube"].chunks):
            lazily = dask_array.from_array(file["cube"], chunks=chunks)
            assert lazily.shape == CUBE.shape
            np.testing.assert_array_equal(lazily.compute(scheduler="threads"), CUBE)
        assert lazily.chunksize == (16, 40, 5)
        assert int(lazily[::3].sum().compute(scheduler="threads")) == int(CUBE[::3].sum())
        assert dask_array.from_array(file["cube"]).name == dask_array.from_array(file["cube"]).name


def test_what_dask_holds_is_not_in_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """dask copies what numpy's ufuncs are handed over to: the whole array was read, and kept."""
    dask_array = pytest.importorskip("dask.array")
    read = []
    pick = h5burst.LazyArray._pick

    def counted(array: h5burst.LazyArray, places: Any) -> Any:
        found = pick(array, places)
        read.append(found.size)
        return found

    monkeypatch.setattr(h5burst.LazyArray, "_pick", counted)
    with h5burst.open(path) as file:
        lazily = dask_array.from_array(file["cube"], chunks=(16, 40, 5))
        assert sum(read) == 0
        np.testing.assert_array_equal(lazily[:16].compute(scheduler="sync"), CUBE[:16])
        assert sum(read) == CUBE[:16].size


def test_methods_read_when_they_are_called(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5burst.open(path) as file:
        cube = file["cube"]
        with monkeypatch.context() as patched:
            patched.setattr(h5burst.LazyArray, "_read", lambda *_: pytest.fail("it was read"))
            mean = cube.mean
            assert hasattr(cube, "copy")
            assert hasattr(cube, "sort")
            assert not hasattr(cube, "no_such_method")
        assert mean() == CUBE.mean()


@pytest.mark.parametrize("change", ["sort", "fill", "partition", "put", "resize"])
def test_methods_that_would_change_an_array_are_refused(change: str, path: Path) -> None:
    """They changed a copy, and said nothing."""
    with h5burst.open(path) as file, pytest.raises(TypeError, match="cannot be changed in place"):
        getattr(file["cube"], change)(0)


def test_loaders_that_index_single_rows(path: Path) -> None:
    """As a data loader for training asks: `len`, and single rows in any order."""
    with h5burst.open(path) as file:
        cube = file["cube"]
        order = np.random.default_rng(0).permutation(len(cube))
        batches = [np.stack([cube[int(k)] for k in order[start : start + 16]]) for start in range(0, len(cube), 16)]
    np.testing.assert_array_equal(np.concatenate(batches), CUBE[order])


def test_groups_are_groups(path: Path) -> None:
    with h5burst.open(path) as file:
        assert isinstance(file["units"], LazyGroup)
        assert file["units"] == file["/units"]
        assert file["units"] != file
        assert len({file["units"], file["/units"], file}) == 2
        assert "units" in repr(file["units"])
        assert file.filename == str(path)


def test_an_open_file_is_looked_at_anew(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    h5burst.save(path, {"a": {"x": np.arange(3)}, "b": np.arange(4)})
    with h5burst.open(path) as file:
        group, array = file["a"], file["b"]
        assert not file.refresh()
        assert not group.refresh()
        with h5py.File(path, "r+") as other:  # in place, by another program
            other["b"][0] = 70
            other["a"].attrs["unit"] = "s"
            other["c"] = 1
        with pytest.raises(h5burst.StaleFileError):
            file["b"]
        assert file.refresh()
        assert not file.refresh()
        assert file["b"][0] == 70
        assert sorted(file) == ["a", "b", "c"]
        with pytest.raises(h5burst.StaleFileError):
            array[0]
        with pytest.raises(h5burst.StaleFileError):
            group["x"]
        assert group.refresh()
        assert group.attrs["unit"] == "s"
        assert group["x"][:].tolist() == [0, 1, 2]
        h5burst.save(path, {"a": np.arange(2)}, overwrite=True)  # another file at the path
        assert file.refresh()
        assert file["a"].shape == (2,)
        with pytest.raises(KeyError, match="not a group any more"):
            group.refresh()
    with pytest.raises(ValueError, match="was closed"):
        file.refresh()


def test_an_earlier_state_is_left_for_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    h5burst.save(path, {"a": 1})
    for number in (1, 2):
        with h5burst.edit(path) as tx:
            tx.set_attributes((), {"number": number})
    with h5burst.open(path, at=1) as file:
        assert file.attrs["number"] == 1
        assert file.refresh()
        assert file.attrs["number"] == 2


def test_a_dataset_is_looked_at_anew(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    storage = h5burst.Storage("gzip", chunks=(4,), maxshape=(None,))
    rows = h5burst.Array(np.arange(3.0), storage=storage)
    h5burst.write_tree(path, h5burst.Group({"rows": rows, "other": h5burst.Array(np.arange(4))}))
    with h5burst.open(path) as file:
        rows, other = file["rows"], file["other"]
        assert not rows.refresh()
        with h5burst.edit(path) as tx:
            tx.append("rows", np.array([3.0, 4.0]))
            tx.set_attributes("rows", {"unit": "s"})
        assert rows.refresh()
        assert not rows.refresh()
        assert rows[:].tolist() == [0, 1, 2, 3, 4]
        assert (rows.shape, rows.attrs["unit"]) == ((5,), "s")
        again = pickle.loads(pickle.dumps(rows))  # noqa: S301
        with pytest.raises(h5burst.StaleFileError):
            other[0]
        with h5py.File(path, "r+") as by_others:
            by_others["rows"].resize((1,))
        assert again.refresh()
        assert again[:].tolist() == [0]
    assert rows.refresh()  # also when what it was taken out of is closed
    assert rows.shape == (1,)
    with h5burst.edit(path) as tx:
        tx.put("rows", h5burst.Group())
        tx.remove("other")
    with pytest.raises(KeyError, match="not a dataset any more"):
        rows.refresh()
    with pytest.raises(KeyError, match="nothing at"):
        other.refresh()


@pytest.mark.parametrize("codec", [None, "gzip"])
def test_a_few_elements_are_looked_up_in_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str | None
) -> None:
    """A version 2 B-tree of many chunks, some of which were never written, is not read as a whole for one of them."""
    path, numbers = tmp_path / "file.h5", np.arange(6000.0).reshape(2000, 3)
    with h5py.File(path, "w", libver="latest") as file:
        options: dict[str, Any] = {"chunks": (5, 2), "maxshape": (None, None), "fillvalue": -1.0}
        data = file.create_dataset("data", (2003, 3), float, compression=codec, **options)
        data[:2000] = numbers
        expected = data[:]

    def is_not_read(*_: object) -> None:
        raise AssertionError("the whole index is read")

    with monkeypatch.context() as patched:
        patched.setattr("h5burst.read.elements.read_index", is_not_read)
        for row in (0, 1, 999, 1999, 2000, 2002):
            with h5burst.open(path) as file:
                array = file["data"]
                assert array[row, 0] == expected[row, 0]
                assert array[row, 2] == expected[row, 2]
    with h5burst.open(path) as file:
        array = file["data"]
        for row in range(0, 2003, 200):  # more of them, and then all
            assert array[row, 1] == expected[row, 1]
        np.testing.assert_array_equal(array, expected)
