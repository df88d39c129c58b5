"""Transactions on other people's files: appended to, edited another whole way, or refused with the reason."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, CorruptFileError, Group


def fill(file: h5py.File) -> None:
    group = file.create_group("group")
    group.create_dataset("numbers", data=np.arange(50.0), chunks=(7,), compression="gzip")
    group.create_dataset("text", data=["one", "zwei"])
    group.attrs["a"] = 1
    file.create_group("other/below")
    file.attrs["title"] = "theirs"


def plain(path: Path, **options: Any) -> None:
    with h5py.File(path, "w", **options) as file:
        fill(file)


def old_groups(path: Path) -> None:
    plain(path, libver="earliest")


def earliest_with_many_links(path: Path) -> None:
    with h5py.File(path, "w", libver="earliest") as file:
        fill(file)
        for number in range(700):
            file.create_group(f"group/g{number}")


def user_block(path: Path) -> None:
    plain(path, userblock_size=1024)
    with open(path, "rb+") as stream:
        stream.write(b"ours alone")


def new_user_block(path: Path) -> None:
    plain(path, userblock_size=512, libver="v110")


def ordered(path: Path) -> None:
    with h5py.File(path, "w", track_order=True, libver="v110") as file:
        for name in "zyxwvutsrqponm":
            file.create_group(name).attrs["of"] = name
        fill(file)


def soft_links(path: Path) -> None:
    plain(path)
    with h5py.File(path, "r+") as file:
        file["soft"] = h5py.SoftLink("/group/numbers")
        file["outside"] = h5py.ExternalLink("nobody.h5", "/x")
        file["dangling"] = h5py.SoftLink("/nobody")


def committed_type(path: Path) -> None:
    plain(path, libver="v110")
    with h5py.File(path, "r+") as file:
        file["type"] = np.dtype("f4")
        file["group"].create_dataset("typed", (3,), dtype=file["type"])


def virtual(path: Path) -> None:
    plain(path, libver="v110")
    with h5py.File(path, "r+") as file:
        layout = h5py.VirtualLayout((50,), "f8")
        layout[:] = h5py.VirtualSource(".", "group/numbers", (50,))
        file.create_virtual_dataset("virtual", layout)


def made_with(path: Path, set_up: Callable[[h5py.h5p.PropFCID], None], access: Any = h5py.h5p.DEFAULT) -> None:
    settings = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    set_up(settings)
    with h5py.File(h5py.h5f.create(str(path).encode(), h5py.h5f.ACC_TRUNC, settings, access)) as file:
        fill(file)


def set_properties(settings: h5py.h5p.PropFCID, function: str, *arguments: int) -> None:
    """By a function of libhdf5 that h5py does not have."""
    found = getattr(ctypes.CDLL(h5py.h5p.__file__), function)
    found.argtypes = [ctypes.c_int64, *len(arguments) * [ctypes.c_uint]]
    assert found(settings.id, *arguments) >= 0


def wider_chunk_trees(path: Path) -> None:
    """Said in a superblock extension."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    made_with(path, lambda settings: set_properties(settings, "H5Pset_istore_k", 64), access)


APPENDED: list[Callable[[Path], None]] = [
    old_groups,
    earliest_with_many_links,
    user_block,
    new_user_block,
    ordered,
    soft_links,
    committed_type,
    virtual,
    wider_chunk_trees,
]


def hard_links(path: Path) -> None:
    plain(path)
    with h5py.File(path, "r+") as file:
        file["other/again"] = file["group"]


def references(path: Path) -> None:
    plain(path)
    with h5py.File(path, "r+") as file:
        file["group"].attrs["ref"] = file["group/numbers"].ref
        file["refs"] = np.array([file["group"].ref, file["other"].ref], dtype=h5py.ref_dtype)


def dimension_scales(path: Path) -> None:
    plain(path)
    with h5py.File(path, "r+") as file:
        file["x"] = np.arange(50)
        file["x"].make_scale("x")
        file["group/numbers"].dims[0].attach_scale(file["x"])


def reference_in_a_compound(path: Path) -> None:
    plain(path)
    with h5py.File(path, "r+") as file:
        row = np.empty(1, [("n", "i4"), ("where", h5py.ref_dtype)])
        row["n"], row["where"][0] = 7, file["group/numbers"].ref
        file["rows"] = row


def paged(path: Path) -> None:
    plain(path, fs_strategy="page", fs_page_size=4096, libver="v110")


def short_addresses(path: Path) -> None:
    made_with(path, lambda settings: settings.set_sizes(4, 4))


def superblock_1(path: Path) -> None:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_EARLIEST, h5py.h5f.LIBVER_V110)
    made_with(path, lambda settings: set_properties(settings, "H5Pset_istore_k", 64), access)
    assert path.read_bytes()[8] == 1


def many_links_by_order(path: Path) -> None:
    with h5py.File(path, "w", track_order=True, libver="v110") as file:
        for number in range(600):
            file.create_group(f"g{number}")
        fill(file)


def many_attributes_by_order(path: Path) -> None:
    plain(path, libver="v110", track_order=True)
    with h5py.File(path, "r+") as file:
        for number in range(300):
            file.attrs[f"a{number}"] = number


def shared_messages(path: Path) -> None:
    """Datatypes, dataspaces and attributes in a table of the file's own."""

    def share(settings: h5py.h5p.PropFCID) -> None:
        set_properties(settings, "H5Pset_shared_mesg_nindexes", 1)
        set_properties(settings, "H5Pset_shared_mesg_index", 0, 0x1F, 1)

    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    made_with(path, share, access)


COPIED: list[Callable[[Path], None]] = [
    hard_links,
    references,
    dimension_scales,
    reference_in_a_compound,
    paged,
    short_addresses,
    superblock_1,
    many_links_by_order,
    many_attributes_by_order,
    shared_messages,
]


def edit_all(path: Path) -> str:
    with h5burst.edit(path) as tx:
        tx.put(("group", "new", "deep"), Array(np.arange(5), {"unit": "s"}))
        tx.set_attributes((), {"title": "ours", "more": 2.5})
        tx.set_attributes(("group",), {"a": None, "b": "text"})
        tx.set_attributes(("group", "numbers"), {"unit": "m"})
        tx.put(("group", "text"), Array(np.array([1, 2])))
        assert tx.remove(("other", "below"))
        assert not tx.remove(("other", "nobody"))
        tx.put(("last",), Group({"x": Array(np.ones(3))}))
        assert np.array_equal(tx["group", "new", "deep"].data, np.arange(5))
        assert ("other", "below") not in tx
        if tx.way == "copy":
            assert tx.reason
    return tx.way


def edited_by_h5py(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["group/new/deep"] = np.arange(5)
        file["group/new/deep"].attrs["unit"] = "s"
        file.attrs["title"] = "ours"
        file.attrs["more"] = 2.5
        del file["group"].attrs["a"]
        file["group"].attrs["b"] = "text"
        file["group/numbers"].attrs["unit"] = "m"
        del file["group/text"]
        file["group/text"] = np.array([1, 2])
        del file["other/below"]
        file["last/x"] = np.ones(3)


@pytest.mark.parametrize("kind", [*APPENDED, *COPIED], ids=lambda kind: kind.__name__)
def test_files_of_every_kind_are_edited_whole(tmp_path: Path, kind: Callable[[Path], None]) -> None:
    path, reference = tmp_path / "file.h5", tmp_path / "reference.h5"
    kind(path)
    kind(reference)
    head, inode = path.read_bytes()[:512], path.stat().st_ino
    edited_by_h5py(reference)
    assert edit_all(path) == ("append" if kind in APPENDED else "copy")
    assert (path.stat().st_ino == inode) == (kind in APPENDED)
    assert settings_of(path) == settings_of(reference)
    assert picture(path) == picture(reference)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file.h5", "reference.h5"]
    if kind in (user_block, new_user_block):
        assert path.read_bytes()[:512] == head
    with h5py.File(path, "r+") as file:  # and h5py goes on with it
        file["group/theirs"] = np.arange(3)
        file["group"].attrs["theirs"] = 1
        del file["group/new"]
    with h5burst.edit(path) as tx:
        tx.set_attributes(("group",), {"c": 3})
    with h5py.File(path) as file:
        assert {name: file["group"].attrs[name] for name in ("b", "c", "theirs")} == {"b": "text", "c": 3, "theirs": 1}
        assert list(file["group/theirs"]) == [0, 1, 2]


def settings_of(path: Path) -> list[Any]:
    with h5py.File(path) as file:
        made, chunks = file.id.get_create_plist(), ctypes.c_uint()
        ask = ctypes.CDLL(h5py.h5p.__file__).H5Pget_istore_k
        ask.argtypes = [ctypes.c_int64, ctypes.c_void_p]
        assert ask(made.id, ctypes.byref(chunks)) >= 0
        return [chunks.value, made.get_sizes(), made.get_userblock()]


def picture(path: Path) -> dict[str, Any]:
    """Everything in a file by h5py; references as the names they lead to."""
    found: dict[str, Any] = {}

    def value(file: h5py.File, raw: Any) -> Any:
        if isinstance(raw, h5py.Reference):
            return file[raw].name if raw else None
        if isinstance(raw, (np.ndarray, np.void, tuple)) and getattr(raw, "dtype", None) is not None:
            if raw.dtype.names:
                return [value(file, item) for row in np.atleast_1d(raw) for item in row]
            return [value(file, item) for item in raw.ravel()] if raw.dtype.kind == "O" else raw.tolist()
        return raw

    def visit(file: h5py.File, group: h5py.Group, name: str) -> None:
        found[name] = ("group", {key: value(file, item) for key, item in group.attrs.items()})
        for key in group:
            link, below = group.get(key, getlink=True), f"{name}/{key}"
            if not isinstance(link, h5py.HardLink):
                found[below] = (type(link).__name__, link.path)
                continue
            item = group[key]
            if isinstance(item, h5py.Group):
                visit(file, item, below)
                continue
            attrs = {key: value(file, each) for key, each in item.attrs.items()}
            elements = value(file, item[()]) if isinstance(item, h5py.Dataset) else None
            found[below] = (type(item).__name__, str(item.dtype), attrs, elements)

    with h5py.File(path) as file:
        visit(file, file, "")
    return found


@pytest.mark.parametrize("kind", [references, dimension_scales], ids=lambda kind: kind.__name__)
def test_references_still_lead_where_they_did(tmp_path: Path, kind: Callable[[Path], None]) -> None:
    path = tmp_path / "file.h5"
    kind(path)
    with h5burst.edit(path) as tx:
        tx.set_attributes(("group", "numbers"), {"unit": "m"})
        tx.set_attributes(("group",), {"b": 1})
        assert "references" in tx.reason
    with h5py.File(path) as file:
        if kind is references:
            assert file[file["group"].attrs["ref"]].name == "/group/numbers"
            assert [file[found].name for found in file["refs"]] == ["/group", "/other"]
        else:
            assert file["group/numbers"].dims[0][0].name == "/x"


def test_a_reference_that_h5py_adds_after_a_transaction_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    plain(path)
    with h5py.File(path, "r+") as file:
        file["group"].attrs["room"] = np.arange(8)  # whose bytes another attribute may take
    with h5burst.edit(path) as tx:
        tx.set_attributes(("other",), {"a": 1})
        assert tx.way == "append"
    size = path.stat().st_size
    with h5py.File(path, "r+") as file:
        del file["group"].attrs["room"]
        file["group"].attrs["ref"] = file["other"].ref
    with h5burst.edit(path) as tx:
        tx.set_attributes(("other",), {"a": 2})
        assert tx.way == "copy", size
    with h5py.File(path) as file:
        assert file[file["group"].attrs["ref"]].attrs["a"] == 2


def test_an_object_that_two_hard_links_lead_to_is_changed_under_both(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    hard_links(path)
    with h5burst.edit(path) as tx:
        tx.put(("group", "x"), Array(np.arange(3)))
        assert "hard links" in tx.reason
    with h5py.File(path) as file:
        assert list(file["other/again/x"]) == [0, 1, 2]


def test_what_is_linked_twice_elsewhere_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    hard_links(path)
    with h5burst.edit(path) as tx:
        tx.put(("new",), Array(np.arange(3)))
        tx.remove(("group",))
        assert tx.way == "append"
    with h5py.File(path) as file:
        assert sorted(file) == ["new", "other"]
        assert list(file["other/again/numbers"][:3]) == [0, 1, 2]


def test_a_way_through_a_soft_link_is_followed_in_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    plain(path)
    with h5py.File(path, "r+") as file:
        file["soft"] = h5py.SoftLink("/group")
    with h5burst.edit(path) as tx:
        tx.put(("first",), Array(np.arange(2)))
        assert tx.way == "append"
        tx.put(("soft", "new"), Array(np.arange(3)))
        assert tx.way == "copy"
    with h5py.File(path) as file:
        assert list(file["group/new"]) == [0, 1, 2]
        assert list(file["first"]) == [0, 1]


def test_what_is_new_comes_last_where_the_order_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", track_order=True, libver="v110") as file:
        for name in "zya":
            file.create_group(name)
            file.attrs[name] = name
    for names in ("xm", "cbd"):
        with h5burst.edit(path) as tx:
            for name in names:
                tx.put((name,), Group())
                tx.set_attributes((), {name: name})
            tx.set_attributes((), {"y": "changed"})
            tx.put(("y",), Group())
            assert tx.way == "append"
    with h5py.File(path) as file:
        assert list(file.attrs) == list(file) == list("zyaxmcbd")
        orders = [h5py.h5a.get_info(file.id, name.encode()).corder for name in file.attrs]
        assert orders == list(range(8))


def test_an_exception_drops_the_copy(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    references(path)
    before = path.read_bytes()

    def half() -> None:
        with h5burst.edit(path) as tx:
            tx.put(("x",), Array(np.arange(3)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["file.h5"]


def test_settings_that_a_newer_superblock_does_not_hold_are_kept_by_editing_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="earliest"):
        pass
    data = bytearray(path.read_bytes())
    data[16:18] = (8).to_bytes(2, "little")  # K of the leaves of groups' B-trees
    path.write_bytes(data)
    with h5burst.edit(path) as tx:
        tx.put(("x",), Array(np.arange(3)))
        assert tx.way == "copy"
        assert "superblock" in tx.reason
    assert path.read_bytes()[16:18] == (8).to_bytes(2, "little")
    with h5py.File(path) as file:
        assert list(file["x"]) == [0, 1, 2]


def test_superblocks_keep_what_older_programs_read(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    for libver, before, after in (("earliest", 0, 2), ("v108", 2, 2), ("v110", 3, 3)):
        plain(path, libver=(libver, "v110"))
        assert path.read_bytes()[8] == before
        with h5burst.edit(path) as tx:
            tx.set_attributes((), {"a": 1})
            assert tx.way == "append"
        assert path.read_bytes()[8] == after


@pytest.mark.parametrize("damage", ["cut", "text", "root"])
def test_damaged_files_are_refused_and_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "file.h5"
    plain(path, libver="v110")
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[-100:]
    elif damage == "text":
        data = bytearray(b"this is not an HDF5 file at all" * 50)
    else:
        data[int.from_bytes(data[36:44], "little") + 9] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match=r"file\.h5"):
        h5burst.edit(path)
    assert path.read_bytes() == data
    with pytest.raises(FileNotFoundError):
        h5burst.edit(tmp_path / "nobody.h5")
    with pytest.raises(IsADirectoryError):
        h5burst.edit(tmp_path)
