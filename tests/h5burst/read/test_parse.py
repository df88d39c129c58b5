"""Files of every format, read without libhdf5 as h5py reads them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst._ext.h5parse import lookup3
from h5burst.format import datatype
from h5burst.model.errors import CorruptStructureError, UnfinishedFileError
from h5burst.model.tree import Array, Group, Reference
from h5burst.read.libhdf5_worker import client, libhdf5
from h5burst.write import native
from reference.hdf5_reading import differences, read_plainly
from reference.hdf5_tree import _fill, every_kind

FORMATS: dict[str, Any] = {
    "v110": ("v110", "v110"),
    "latest": "latest",
    "v108": ("v108", "v108"),
    "earliest": ("earliest", "latest"),
}


@pytest.fixture
def unaided(monkeypatch: pytest.MonkeyPatch) -> None:
    """No help from libhdf5."""

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError(f"libhdf5 was asked to read {arguments}")

    monkeypatch.setattr(libhdf5, "open_file", refuse)
    monkeypatch.setattr(client, "read", refuse)


@pytest.fixture(params=FORMATS)
def new_file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[h5py.File]:
    with h5py.File(tmp_path / "new.h5", "w", libver=FORMATS[request.param]) as file:
        yield file


def check(path: str | Path, expected: Group | None = None) -> Group:
    """Eager and lazy, the file reads as by h5py."""
    expected = expected or read_plainly(path)
    tree = h5burst.read_tree(path)
    assert differences(tree, expected) == []
    arrays = [id(node.data) for _, node in tree.walk() if isinstance(node, Array)]
    for path_, node in tree.walk():
        if isinstance(node, Array) and isinstance(node.data, np.ndarray):
            assert node.data.flags.writeable == (arrays.count(id(node.data)) == 1), path_
    assert differences(_thawed(h5burst.read_tree(path, lazy=True)), expected) == []
    return tree


def _thawed(group: Group) -> Group:
    children = {
        name: _thawed(node)
        if isinstance(node, Group)
        else Array(None if node.data is None else node.data[...], node.attrs)
        for name, node in group.children.items()
    }
    return Group(children, group.attrs)


def closed(file: h5py.File) -> str:
    name: str = file.filename
    file.close()
    return name


@pytest.mark.parametrize("libver", FORMATS)
def test_every_kind_of_object(libver: str, tmp_path: Path) -> None:
    tree = every_kind()
    if libver == "earliest":  # version 1 headers hold no attributes of 64 KiB
        del tree.children["attributes"].children["larger than a message"]  # type: ignore[union-attr]
    with h5py.File(tmp_path / "a.h5", "w", libver=FORMATS[libver]) as file:
        _fill(file, tree)
    check(tmp_path / "a.h5")


def test_every_kind_of_object_as_we_write_it(tmp_path: Path) -> None:
    native.write(tmp_path / "a.h5", every_kind())
    check(tmp_path / "a.h5")


# ---------------------------------------------------------------- datasets


CHUNKED: dict[str, dict[str, Any]] = {
    "one chunk": {"shape": (20, 30), "chunks": (20, 30)},
    "one filtered chunk": {"shape": (20, 30), "chunks": (20, 30), "compression": "gzip", "shuffle": True},
    "one chunk with checksum": {"shape": (200, 30), "chunks": (200, 30), "fletcher32": True},
    "one chunk, larger than the array": {"shape": (20,), "chunks": (30,), "maxshape": (30,), "compression": "gzip"},
    "fixed array": {"shape": (20, 31), "chunks": (7, 10)},
    "fixed array, filtered": {"shape": (20, 31), "chunks": (7, 10), "compression": "gzip", "fletcher32": True},
    "fixed array in pages": {"shape": (3000,), "chunks": (1,), "shuffle": True, "compression": 1},
    "fixed array, may grow": {"shape": (20, 31), "chunks": (7, 10), "maxshape": (40, 77)},
    "extensible array": {"shape": (20, 31), "chunks": (7, 10), "maxshape": (None, 31)},
    "extensible array, second axis": {
        "shape": (20, 31),
        "chunks": (7, 10),
        "maxshape": (50, None),
        "compression": "gzip",
    },
    "B-tree": {"shape": (20, 31), "chunks": (7, 10), "maxshape": (None, None)},
    "B-tree, filtered and deep": {
        "shape": (300, 31),
        "chunks": (1, 3),
        "maxshape": (None, None),
        "compression": "gzip",
    },
}


@pytest.mark.usefixtures("unaided")
@pytest.mark.parametrize("kind", CHUNKED)
def test_chunk_indices(kind: str, new_file: h5py.File) -> None:
    options = dict(CHUNKED[kind])
    shape = options.pop("shape")
    data = np.random.default_rng(1).integers(0, 50, shape)
    new_file.create_dataset("data", data=data, **options)
    node = check(closed(new_file), Group({"data": Array(data)}))["data"]
    assert isinstance(node, Array)
    assert np.array_equal(node.data, data)


@pytest.mark.usefixtures("unaided")
@pytest.mark.parametrize("filtered", [False, True])
def test_long_extensible_arrays_lie_in_pages(filtered: bool, new_file: h5py.File) -> None:
    made = new_file.create_dataset("data", (140_000,), "i4", chunks=(1,), maxshape=(None,), fletcher32=filtered)
    for place in (0, 5, 500, 17_000, 17_001, 33_000, 70_123, 139_999):
        made[place] = place + 1
    check(closed(new_file))


@pytest.mark.usefixtures("unaided")
@pytest.mark.parametrize("maxshape", [(40, 77), (None, 77), (77, None), (None, None)])
def test_chunks_that_were_never_written_hold_the_fill_value(maxshape: Any, new_file: h5py.File) -> None:
    for fill in (None, 0, -7):
        made = new_file.create_dataset(
            f"filled with {fill}", (30, 50), "i4", chunks=(7, 10), maxshape=maxshape, fillvalue=fill, compression=2
        )
        made[8:20, 33:41] = 5
        made[29, 49] = 9
        new_file.create_dataset(f"empty {fill}", (30, 50), "i4", chunks=(7, 10), maxshape=maxshape, fillvalue=fill)
        new_file.create_dataset(f"contiguous {fill}", (30, 50), "i4", fillvalue=fill)
    expected = {name: Array(item[...]) for name, item in new_file.items()}
    check(closed(new_file), Group(expected))


@pytest.mark.usefixtures("unaided")
@pytest.mark.parametrize("maxshape", [(60, 70), (None, 70), (60, None), (None, None)])
def test_datasets_that_grew_and_shrank(maxshape: Any, new_file: h5py.File) -> None:
    made = new_file.create_dataset("data", (30, 50), "i4", chunks=(7, 10), maxshape=maxshape)
    made[...] = np.arange(1500).reshape(30, 50)
    made.resize((15, 23))
    new_file.flush()
    made.resize((45, 31))
    made[40:, 5:] = -1
    expected = Group({"data": Array(made[...])})
    check(closed(new_file), expected)


@pytest.mark.usefixtures("unaided")
@pytest.mark.parametrize("padding", [h5py.h5t.STR_NULLTERM, h5py.h5t.STR_NULLPAD, h5py.h5t.STR_SPACEPAD])
def test_text_of_fixed_length_in_every_padding(padding: int, new_file: h5py.File) -> None:
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(5)
    kind.set_strpad(padding)
    raw = np.array([b"ab   ", b"abcde", b"a\0b  ", b"     ", b"", b"a b\0\0"], "S5")
    space = h5py.h5s.create_simple(raw.shape)
    made = h5py.h5d.create(new_file.id, b"text", kind, space)
    made.write(space, space, raw, kind)
    attribute = h5py.h5a.create(made, b"one", kind, h5py.h5s.create(h5py.h5s.SCALAR))
    attribute.write(raw[:1].reshape(()), kind)
    check(closed(new_file))


@pytest.mark.usefixtures("unaided")
def test_array_datatypes_and_committed_ones(new_file: h5py.File) -> None:
    new_file["type"] = np.dtype("<i4")
    new_file.create_dataset("committed", (4,), new_file["type"])[...] = range(4)
    new_file.attrs.create("committed", 5, dtype=new_file["type"])
    new_file.create_dataset("arrays", (3,), np.dtype(("<f4", (2, 2))))[...] = np.arange(12).reshape(3, 2, 2)
    new_file.create_dataset("array chunks", (30,), np.dtype(("<f4", (2,))), chunks=(7,))[...] = np.ones((30, 2))
    new_file.attrs.create("arrays", np.arange(6, dtype="<u2").reshape(3, 2), dtype=np.dtype(("<u2", (2,))))
    check(closed(new_file))


def test_what_only_libhdf5_reads(new_file: h5py.File) -> None:
    new_file.create_dataset("scaled", data=np.arange(100), scaleoffset=0, chunks=(10,))
    new_file["long"] = np.array([1.5], np.longdouble)
    new_file["plain"] = np.arange(3)
    new_file["plain"].attrs["long"] = np.longdouble(0.1)
    new_file["plain"].attrs["short"] = 4
    kind = h5py.h5t.STD_B16LE
    bits = h5py.h5d.create(new_file.id, b"bits", kind, h5py.h5s.create_simple((3,)))
    bits.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, 2, 3], "u2"), kind)
    check(closed(new_file))


def test_ragged_rows_and_references(new_file: h5py.File) -> None:
    ragged = new_file.create_dataset("ragged", (2,), h5py.vlen_dtype(np.int32))
    ragged[0], ragged[1] = [1, 2], [3]
    new_file.create_dataset("references", data=[ragged.ref, h5py.Reference()], dtype=h5py.ref_dtype)
    path = closed(new_file)
    for lazy in (False, True):
        tree = h5burst.read_tree(path, lazy=lazy)
        assert [row.tolist() for row in tree["ragged"].data[...]] == [[1, 2], [3]]
        assert tree["references"].data[...].tolist() == [Reference("/ragged"), Reference("")]


def test_virtual_and_external_data(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "source.h5", "w") as source:
        source["data"] = np.arange(10)
    layout = h5py.VirtualLayout((10,), int)
    layout[:] = h5py.VirtualSource(tmp_path / "source.h5", "data", (10,))
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("external", (5,), "i4", external=[(str(tmp_path / "raw.bin"), 0, 20)])[...] = range(5)
    check(tmp_path / "a.h5")


# ---------------------------------------------------------------- groups, links, attributes


@pytest.mark.usefixtures("unaided")
@pytest.mark.parametrize("count", [0, 1, 8, 9, 50, 3000])
@pytest.mark.parametrize("ordered", [False, True])
def test_groups_of_every_size(count: int, ordered: bool, new_file: h5py.File) -> None:
    group = new_file.create_group("group", track_order=ordered)
    empty = new_file.create_group("empty")
    rng = np.random.default_rng(count)
    names = [f"{number:x}" * int(rng.integers(1, 30)) for number in rng.permutation(count)]
    for name in names:
        group[name] = empty
    path, expected = closed(new_file), names if ordered else sorted(names)
    for lazy in (False, True):
        tree = h5burst.read_tree(path, lazy=lazy)
        assert list(tree["group"].children) == expected


@pytest.mark.usefixtures("unaided")
@pytest.mark.parametrize("ordered", [False, True])
def test_attributes_of_every_number_and_size(ordered: bool, new_file: h5py.File) -> None:
    for count in (1, 8, 9, 300):
        group = new_file.create_group(f"{count}", track_order=ordered)
        for number in np.random.default_rng(1).permutation(count):
            group.attrs[f"attribute {number}"] = number if number % 3 else f"text {number}"
    if new_file.libver[0] != "earliest":
        new_file.attrs["large"] = np.arange(30_000)
        new_file.attrs["huge"] = np.arange(300_000)
        new_file.attrs["medium"] = np.arange(700)
    check(closed(new_file))


@pytest.mark.usefixtures("unaided")
def test_headers_that_grew_in_several_chunks(new_file: h5py.File) -> None:
    group = new_file.create_group("group")
    data = group.create_dataset("data", data=np.arange(5))
    for number in range(8):
        data.attrs[f"attribute {number}"] = "x" * 200 * number
        group[f"link {number}"] = number
        new_file.flush()
    for number in range(0, 8, 2):
        del data.attrs[f"attribute {number}"], group[f"link {number}"]
    check(closed(new_file))


@pytest.mark.usefixtures("unaided")
def test_links(new_file: h5py.File, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w", libver=new_file.libver) as other:
        other["group/data"] = np.arange(3)
        other["back"] = h5py.SoftLink("/group/data")
    new_file["group/inner/data"] = np.arange(4)
    new_file["hard"] = new_file["group/inner"]
    new_file["soft"] = h5py.SoftLink("/group/inner/data")
    new_file["group/relative"] = h5py.SoftLink("inner/./data")
    new_file["through"] = h5py.SoftLink("/chain/data")
    new_file["chain"] = h5py.SoftLink("group/inner")
    new_file["nowhere"] = h5py.SoftLink("/no/such")
    new_file["out"] = h5py.ExternalLink("other.h5", "/group")
    new_file["out soft"] = h5py.ExternalLink("other.h5", "/back")
    new_file["out nowhere"] = h5py.ExternalLink("other.h5", "/no/such")
    new_file["no file"] = h5py.ExternalLink("missing.h5", "/")
    new_file["across"] = h5py.SoftLink("/out/data")
    tree = check(closed(new_file))
    assert {"soft", "through", "out", "across"} <= set(tree.children)
    assert not {"nowhere", "out nowhere", "no file"} & set(tree.children)


@pytest.mark.usefixtures("unaided")
def test_soft_links_in_a_circle_lead_nowhere(new_file: h5py.File) -> None:
    new_file["data"] = 1
    new_file["itself"] = h5py.SoftLink("/itself")
    new_file["a"], new_file["b"] = h5py.SoftLink("/b/x"), h5py.SoftLink("/a/x")
    assert list(h5burst.read_tree(closed(new_file)).children) == ["data"]


@pytest.mark.usefixtures("unaided")
def test_hard_links_to_one_dataset_share_it(new_file: h5py.File) -> None:
    new_file["a"] = np.arange(3)
    new_file["b"] = new_file["a"]
    tree = h5burst.read_tree(closed(new_file))
    assert tree["a"] is tree["b"]


@pytest.mark.usefixtures("unaided")
@pytest.mark.parametrize("libver", FORMATS)
def test_files_behind_a_user_block(libver: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver=FORMATS[libver], userblock_size=1024) as file:
        file["data"] = np.arange(100_000)
        file["text"] = ["a", "b"]
        file.create_dataset("chunks", data=np.arange(1000), chunks=(10,), compression="gzip")
    check(tmp_path / "a.h5")


@pytest.mark.usefixtures("unaided")
def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        h5py.h5g.create(file.id, b"caf\xe9")
    assert list(h5burst.read_tree(tmp_path / "a.h5").children) == ["caf\udce9"]


# ---------------------------------------------------------------- files in use


def test_a_file_open_for_writing_here_reads_what_was_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver=("v110", "v110")) as file:
        file["data"] = np.arange(3)
        for lazy in (False, True):
            tree = h5burst.read_tree(tmp_path / "a.h5", lazy=lazy)
            assert "data" in tree.children


def test_a_file_open_for_writing_elsewhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    h5burst.write_tree(path, Group())
    with open(path, "rb+") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        with pytest.raises(OSError, match=r"a\.h5"):
            h5burst.read_tree(path)
    h5burst.read_tree(path)


def test_a_file_whose_writer_died_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    h5burst.write_tree(path, Group())
    data = bytearray(path.read_bytes())
    data[11] |= 1
    data[44:48] = lookup3(bytes(data[:44])).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UnfinishedFileError, match="h5clear"):
        h5burst.read_tree(path)


def test_missing_files_folders_and_pipes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for lazy in (False, True):
        with pytest.raises(FileNotFoundError):
            h5burst.read_tree(tmp_path / "missing", lazy=lazy)
        with pytest.raises(IsADirectoryError):
            h5burst.read_tree(tmp_path, lazy=lazy)
        with pytest.raises(OSError, match="not a regular file"):
            h5burst.read_tree(tmp_path / "pipe", lazy=lazy)


def test_reading_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    h5burst.write_tree(
        path,
        Group({name: node for name, node in every_kind().children.items() if name != "numbers" and name != "shapes"}),
    )
    before = os.listdir("/proc/self/fd")
    tree, lazy = h5burst.read_tree(path), h5burst.read_tree(path, lazy=True)
    assert differences(_thawed(lazy), tree) == []
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize("kind", [3, 5])  # string, opaque
def test_elements_larger_than_numpy_holds_are_damage(kind: int) -> None:
    for size, held in (((1 << 31) - 1, True), (1 << 31, False), (0xFF000003, False)):
        message = bytes([0x10 | kind, 0, 0, 0]) + size.to_bytes(4, "little")
        if held:
            assert datatype.decode(message).size == size
        else:
            with pytest.raises(CorruptStructureError, match="more than numpy holds"):
                datatype.decode(message)
