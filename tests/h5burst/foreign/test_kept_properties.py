"""What files of other libraries have besides values is in the tree that is read, and in the file that is written."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, ExternalLink, Group, SoftLink, Storage
from h5burst.write import whole_file

LAZY = pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
POINT = np.dtype([("x", "f4"), ("y", "i4")])


def write_foreign(path: Path, **options: Any) -> None:
    """A file by h5py with one of each; `options` as of `h5py.File`."""
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["x"] = [1, 2, 3]
    with h5py.File(path, "w", **options) as file:
        for name in "zba":
            file[name] = np.arange(3.0)
        group = file.create_group("group")
        make = group.create_dataset
        make("rows", data=np.arange(10, dtype="i4"), maxshape=(None,), chunks=(4,), fillvalue=-7, compression="gzip")
        make("both axes", data=np.ones((3, 4)), maxshape=(None, 40), chunks=(2, 3), fillvalue=np.nan)
        make("big-endian", data=np.arange(3, dtype=">i4"), maxshape=(9,), chunks=(2,), fillvalue=0x01020304)
        make("nothing yet", shape=(0, 5), dtype="u2", maxshape=(None, 5), chunks=(7, 5))
        make("fill alone", data=np.arange(3, dtype="u1"), fillvalue=255)
        make("fill of zero", data=np.arange(3, dtype="u1"), fillvalue=0)
        make("fill of text", data=np.array([b"ab", b"c"]), fillvalue=b"??")
        make("fill of a compound", data=np.zeros(2, POINT), maxshape=(5,), fillvalue=np.array((1.5, 2), POINT)[()])
        make("large", data=np.arange(40_000), fillvalue=-3)
        make("flags", data=np.array([True, False]), maxshape=(None,), fillvalue=True)
        for kind in ("i2", "f4", "f8", "S5"):
            group[f"null of {kind}"] = h5py.Empty(kind)
            group.attrs[f"null of {kind}"] = h5py.Empty(kind)
        group["null of text"] = h5py.Empty(h5py.string_dtype())
        group.attrs["null of ASCII"] = h5py.Empty(h5py.string_dtype("ascii"))
        group["soft"] = h5py.SoftLink("/z")
        group["relative"] = h5py.SoftLink("rows")
        group["soft to nothing"] = h5py.SoftLink("/nothing/here")
        group["external"] = h5py.ExternalLink("other.h5", "/x")
        group["external to nothing"] = h5py.ExternalLink("there is none.h5", "/x")
        if options.get("track_order"):
            ordered = file.create_dataset("ordered", data=[1], track_order=True)
            for name in "zyxabc":
                ordered.attrs[name] = name
            make("text", data=["a", "bc"], maxshape=(None,), dtype=h5py.string_dtype(), fillvalue="none")
            make("words", data=["a", "bc"], maxshape=(None,), dtype=h5py.string_dtype())
            make("sequences", (2,), h5py.vlen_dtype("i4"), maxshape=(None,), chunks=(3,))


def described(path: Path) -> dict[str, Any]:
    """Every member of a file with what h5py tells of it, names in the order in which h5py gives them."""
    found: dict[str, Any] = {}

    def add(group: h5py.Group) -> None:
        found[f"{group.name}@"] = [(name, str(group.attrs[name])) for name in group.attrs]
        found[f"{group.name} names"] = list(group)
        for name in group:
            where = f"{group.name.rstrip('/')}/{name}"
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                found[where] = type(link).__name__, link.path, getattr(link, "filename", None)
                continue
            item = group[name]
            if isinstance(item, h5py.Group):
                add(item)
                continue
            creation = item.id.get_create_plist()
            found[where] = {
                "shape": (item.shape, item.maxshape),
                "chunks": item.chunks if item.maxshape != item.shape else None,
                "dtype": (item.dtype, h5py.check_string_dtype(item.dtype)),
                "fill value": (creation.fill_value_defined(), None if item.shape is None else str(item.fillvalue)),
                "attributes": list(item.attrs),
                "elements": str(item[()]),
            }

    with h5py.File(path) as file:
        add(file)
    return found


@pytest.fixture
def unaided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written without libhdf5."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("libhdf5 was asked to write")

    monkeypatch.setattr(whole_file, "fill", refuse)


@LAZY
@pytest.mark.usefixtures("unaided")
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_tree_read_and_written_is_the_same_file(libver: str, lazy: bool, tmp_path: Path) -> None:
    write_foreign(tmp_path / "a.h5", libver=libver)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        h5burst.write_tree(tmp_path / "b.h5", h5burst.read_tree(tmp_path / "a.h5", lazy=lazy))
    assert described(tmp_path / "b.h5") == described(tmp_path / "a.h5")
    assert h5burst.verify(tmp_path / "b.h5") == []


@LAZY
def test_orders_and_text_that_grows_are_kept(lazy: bool, tmp_path: Path) -> None:
    write_foreign(tmp_path / "a.h5", track_order=True)
    h5burst.write_tree(tmp_path / "b.h5", h5burst.read_tree(tmp_path / "a.h5", lazy=lazy))
    ours, theirs = described(tmp_path / "b.h5"), described(tmp_path / "a.h5")
    assert ours["/ names"] == theirs["/ names"] == ["z", "b", "a", "group", "ordered"]
    assert ours["/ordered"]["attributes"] == list("zyxabc")
    # Of an ordered group the links, and what libhdf5 alone writes, come after the others.
    assert sorted(ours.pop("/group names")) == sorted(theirs.pop("/group names"))
    assert ours == theirs
    assert h5burst.verify(tmp_path / "b.h5") == []


@LAZY
def test_what_libhdf5_reads_for_us_has_the_same(lazy: bool, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    sizes = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    sizes.set_sizes(4, 4)  # addresses and lengths that the parser leaves to libhdf5
    name = tmp_path / "small.h5"
    h5py.h5f.create(str(name).encode(), h5py.h5f.ACC_TRUNC, sizes).close()
    write_foreign(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as source, h5py.File(name, "r+") as file:
        for member in source:
            source.copy(member, file, expand_soft=False, expand_external=False)
    h5burst.write_tree(tmp_path / "b.h5", h5burst.read_tree(name, lazy=lazy))
    assert described(tmp_path / "b.h5") == described(name)


@LAZY
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_datasets_grow_as_they_would_have(libver: str, lazy: bool, tmp_path: Path) -> None:
    write_foreign(tmp_path / "a.h5", libver=libver)
    h5burst.write_tree(tmp_path / "b.h5", h5burst.read_tree(tmp_path / "a.h5", lazy=lazy))
    with h5burst.edit(tmp_path / "b.h5") as tx:
        tx.append(("group", "rows"), np.array([10], np.int32))  # in a chunk that stays partly unwritten
        assert tx.way == "append"
    for name in ("a.h5", "b.h5"):
        with h5py.File(tmp_path / name, "r+") as file:
            file["group/rows"].resize((11,))
            file["group/rows"][10] = 10
            for member, shape in {"rows": (15,), "both axes": (5, 6), "big-endian": (9,), "flags": (4,)}.items():
                file["group"][member].resize(shape)
            file["group/fill of a compound"].resize((5,))
    assert described(tmp_path / "b.h5") == described(tmp_path / "a.h5")


def test_parallel_writing_into_h5py_leaves_fill_values_beyond_the_edge(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("rows", (5,), "i4", maxshape=(None,), chunks=(4,), fillvalue=-7)
        h5burst.compress_into(made, np.arange(5, dtype="i4"))
        made.resize((7,))
        assert made[:].tolist() == [0, 1, 2, 3, 4, -7, -7]


def test_the_codec_is_that_of_other_arrays(tmp_path: Path) -> None:
    write_foreign(tmp_path / "a.h5")
    tree = h5burst.read_tree(tmp_path / "a.h5")
    assert tree["group/rows"].storage == Storage("default", chunks=(4,), maxshape=(None,), fillvalue=-7)  # type: ignore[union-attr]
    assert tree["z"].storage is None  # type: ignore[union-attr]
    for codec in ("gzip", None):
        h5burst.write_tree(tmp_path / "b.h5", tree, storage=Storage(codec), overwrite=True)
        with h5py.File(tmp_path / "b.h5") as file:
            assert file["group/rows"].compression == codec
            assert file["group/large"].compression == codec


# ---------------------------------------------------------------- fill values that a user gives


def test_fill_values_are_written(tmp_path: Path) -> None:
    values = {"i": (np.arange(3), -1), "f": (np.ones(20_000), np.nan), "t": (np.array(["a"], object), "none")}
    tree = {name: Array(data, storage=Storage(fillvalue=fill)) for name, (data, fill) in values.items()}
    h5burst.write_tree(tmp_path / "a.h5", Group(tree))  # type: ignore[arg-type]
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["i"].fillvalue == -1
        assert np.isnan(file["f"].fillvalue)
        assert file["t"].fillvalue == b"none"


@pytest.mark.parametrize("fill", [1.5, "text", 300, [1, 2]])
def test_fill_values_that_the_dtype_does_not_hold_are_refused(fill: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"fill value .* uint8 \(at /a\)"):
        h5burst.write_tree(tmp_path / "a.h5", Group({"a": Array(np.zeros(3, "u1"), storage=Storage(fillvalue=fill))}))
    assert not (tmp_path / "a.h5").exists()


# ---------------------------------------------------------------- links


def test_links_are_in_the_tree(tmp_path: Path) -> None:
    write_foreign(tmp_path / "a.h5")
    for lazy in (False, True):
        group = h5burst.read_tree(tmp_path / "a.h5", lazy=lazy)["group"]
        assert isinstance(group, Group)
        assert group.links == {
            "soft": SoftLink("/z"),
            "relative": SoftLink("rows"),
            "soft to nothing": SoftLink("/nothing/here"),
            "external": ExternalLink("other.h5", "/x"),
            "external to nothing": ExternalLink("there is none.h5", "/x"),
        }
        assert np.asarray(group.children["external"].data).tolist() == [1, 2, 3]  # type: ignore[union-attr]


@LAZY
def test_a_link_whose_node_was_replaced_or_lost_its_target_is_written_as_a_node(lazy: bool, tmp_path: Path) -> None:
    write_foreign(tmp_path / "a.h5")
    tree = h5burst.read_tree(tmp_path / "a.h5", lazy=lazy)
    group = tree.children["group"]
    assert isinstance(group, Group)
    group.children["relative"] = Array(np.array([8]))
    del tree.children["z"]
    del group.children["external"]
    h5burst.write_tree(tmp_path / "b.h5", tree)
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["group/relative"][()].tolist() == [8]
        assert isinstance(file["group"].get("soft", getlink=True), h5py.HardLink)
        assert file["group/soft"][()].tolist() == [0, 1, 2]
        assert "external" not in list(file["group"])


@LAZY
def test_part_of_a_tree_has_the_links_that_lead_into_it(lazy: bool, tmp_path: Path) -> None:
    write_foreign(tmp_path / "a.h5")
    part = h5burst.read_tree(tmp_path / "a.h5", lazy=lazy)["group"]
    h5burst.write_tree(tmp_path / "part.h5", part)  # type: ignore[arg-type]
    h5burst.save(tmp_path / "grafted.h5", {})
    h5burst.save(tmp_path / "edited.h5", {})
    with h5py.File(tmp_path / "grafted.h5", "r+") as file:
        h5burst.graft(file, ("group",), part)
    with h5burst.edit(tmp_path / "edited.h5") as tx:
        tx.put(("group",), part)
        assert tx.way == "append"
    whole = described(tmp_path / "a.h5")
    for name, where in {"part.h5": "/", "grafted.h5": "group", "edited.h5": "group"}.items():
        with h5py.File(tmp_path / name) as file:
            group = file[where]
            assert isinstance(group.get("soft", getlink=True), h5py.HardLink)
            assert group["soft"][()].tolist() == [0, 1, 2]
            assert group.get("relative", getlink=True).path == "rows"
            assert group.get("external", getlink=True).filename == "other.h5"
            assert group.get("soft to nothing", getlink=True).path == "/nothing/here"
        if where == "group":
            kept = {key: value for key, value in described(tmp_path / name).items() if not key.endswith("/soft")}
            assert {key: whole[key] for key in kept if key not in ("/@", "/ names")} == {
                key: value for key, value in kept.items() if key not in ("/@", "/ names")
            }
        assert h5burst.verify(tmp_path / name) == []


@LAZY
def test_what_an_external_link_led_to_is_copied_where_it_leads_nowhere(lazy: bool, tmp_path: Path) -> None:
    write_foreign(tmp_path / "a.h5")
    (tmp_path / "elsewhere").mkdir()
    with pytest.warns(UserWarning, match="external links that lead to nothing from here.* /group/external ") as caught:
        h5burst.write_tree(tmp_path / "elsewhere/b.h5", h5burst.read_tree(tmp_path / "a.h5", lazy=lazy))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with h5py.File(tmp_path / "elsewhere/b.h5") as file:
        assert file["group/external"][()].tolist() == [1, 2, 3]
        assert file["group"].get("external to nothing", getlink=True).filename == "there is none.h5"


@LAZY
def test_names_of_committed_datatypes_are_left_out_with_a_warning(lazy: bool, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["types/point"] = POINT
        file.create_dataset("points", data=np.zeros(2, POINT), dtype=file["types/point"])
    with pytest.warns(UserWarning, match=r"committed datatypes.*: /types/point \(h5burst.repack copies") as caught:
        h5burst.write_tree(tmp_path / "b.h5", h5burst.read_tree(tmp_path / "a.h5", lazy=lazy))
    assert len(caught) == 1
    h5burst.repack(tmp_path / "a.h5", tmp_path / "c.h5")
    with h5py.File(tmp_path / "b.h5") as file, h5py.File(tmp_path / "c.h5") as repacked:
        assert file["points"].dtype == POINT
        assert repacked["types/point"].dtype == POINT


@LAZY
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_enums_are_kept(libver: str, lazy: bool, tmp_path: Path) -> None:
    kind = h5py.enum_dtype({"OFF": 0, "ON": 1, "ÉTEINT": -2}, "i2")
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        file.create_dataset("many", data=[0, 1, -2], dtype=kind)
        file.create_dataset("one", data=1, dtype=kind)
        file.attrs.create("one", 1, dtype=kind)
        file.attrs.create("many", [1, 0], dtype=kind)
    tree = h5burst.read_tree(tmp_path / "a.h5", lazy=lazy)
    assert tree.attrs["one"] == 1
    h5burst.write_tree(tmp_path / "b.h5", tree)
    with h5py.File(tmp_path / "b.h5") as file:
        for item in (file["many"], file["one"], file.attrs.get_id("one"), file.attrs.get_id("many")):
            assert h5py.check_enum_dtype(item.dtype) == {"OFF": 0, "ON": 1, "ÉTEINT": -2}
        assert file.attrs.get_id("one").shape == ()
        assert file["many"][:].tolist() == [0, 1, -2]


@LAZY
def test_a_virtual_dataset_of_its_own_file_is_read(lazy: bool, tmp_path: Path) -> None:
    """Its source's file is ".", which is no directory there."""
    layout = h5py.VirtualLayout((2, 4), "i8")
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        for row in range(2):
            file[f"row {row}"] = np.arange(4) + row
            layout[row] = h5py.VirtualSource(file[f"row {row}"])
        file.create_virtual_dataset("both", layout)
    h5burst.write_tree(tmp_path / "b.h5", h5burst.read_tree(tmp_path / "a.h5", lazy=lazy))
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["both"][...].tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]
    assert h5burst.verify(tmp_path / "a.h5") == []


# ---------------------------------------------------------------- netCDF4, which brings its own libhdf5

_MAKE = """
with netCDF4.Dataset("a.nc", "w") as file:
    file.createDimension("time", None), file.createDimension("x", 3)
    file.createVariable("time", "f8", ("time",))[:] = [1, 2]
    z = file.createVariable("z", "i4", ("time", "x"), fill_value=-9)
    z[:], z.units, z.about = [[1, 2, 3], [4, 5, 6]], "m", "it"
    file.createVariable("a", "f4", ("x",))[:] = [1, 2, 3]
    words = file.createVariable("words", str, ("time",))
    words[0], words[1] = "one", "two"
    file.zeta, file.alpha = "1", "2"
"""
_GROW = """
with netCDF4.Dataset("b.nc", "a") as file:
    assert file.dimensions["time"].isunlimited()
    assert list(file.variables) == ["time", "z", "a", "words"]
    assert file.ncattrs() == ["zeta", "alpha"]
    assert file["z"].ncattrs() == ["_FillValue", "units", "about"]
    file["time"][2], file["words"][2], file["z"][2, :2] = 3, "three", [7, 8]
with netCDF4.Dataset("b.nc") as file:
    assert file["time"][:].tolist() == [1, 2, 3]
    assert file["z"][:].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, None]]
    assert list(file["words"][:]) == ["one", "two", "three"]
"""


@LAZY
def test_unlimited_dimensions_of_netcdf4_still_grow(lazy: bool, tmp_path: Path) -> None:
    pytest.importorskip("netCDF4")

    def run(code: str) -> None:
        code = f"import netCDF4\n{code}"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-1500:]

    run(_MAKE)
    h5burst.write_tree(tmp_path / "b.nc", h5burst.read_tree(tmp_path / "a.nc", lazy=lazy))
    run(_GROW)
