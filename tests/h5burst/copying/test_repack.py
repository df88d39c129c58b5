"""Repacking beside what h5py says of both files: whatever is in the source is in the copy, at other addresses."""

from __future__ import annotations

import random
import re
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5p

import h5burst
from support.faithful import contents
from support.shared_messages import share_messages

FORMS: dict[str, dict[str, Any]] = {
    "earliest": {},
    "1.8": {"libver": "v108"},
    "latest": {"libver": "latest"},
    "user block": {"libver": "v110", "userblock_size": 512},
    "ordered": {"track_order": True},
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source.h5"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.h5"


def write_everything(path: Path, **options: Any) -> None:
    """A file with one of each kind that the format knows."""
    with h5py.File(path, "w", **options) as file:
        write_datasets(file)
        write_links_and_references(file)
        write_types(file)


def write_datasets(file: h5py.File) -> None:
    file["plain"] = np.arange(1000.0)
    table = np.arange(100_000).reshape(1000, 100)
    file.create_dataset("zipped", data=table, chunks=(100, 30), compression="gzip", maxshape=(None, 100))
    file.create_dataset("chunked", data=table, chunks=(100, 30))
    file.create_dataset("one chunk", data=table[:9], chunks=(9, 100), shuffle=True, fletcher32=True)
    file.create_dataset("both grow", data=table[:9, :9], chunks=(2, 3), maxshape=(None, None))
    file.create_dataset("a limit", data=table[:9, :9], chunks=(2, 3), maxshape=(20, 9))
    file.create_dataset("partly written", (50, 50), "i2", chunks=(10, 10), fillvalue=7)[0:5] = 3
    file.create_dataset("never written", (5, 5), "f4", fillvalue=np.nan)
    file.create_dataset("empty", (0, 3), "f8", maxshape=(None, 3))
    file["scalar"] = 5
    file["null"] = h5py.Empty("i4")
    file["big endian"] = np.arange(5, dtype=">i2")
    early = h5p.create(h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    early.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    early.set_chunk((5,))
    space = h5py.h5s.create_simple((22,))
    h5py.Dataset(h5py.h5d.create(file.id, b"early", h5py.h5t.STD_I32LE, space, early))[:] = np.arange(22)


def write_links_and_references(file: h5py.File) -> None:
    inner = file.create_group("g/h/ordered", track_order=True)
    for name in ("z", "b", "m"):
        inner[name] = 1
        inner.attrs[f"{name}?"] = name
    file["hard"] = file["plain"]
    file["g/h/up"] = file["g"]
    file["soft"] = h5py.SoftLink("/g/h")
    file["dangling"] = h5py.SoftLink("nowhere")
    file["external"] = h5py.ExternalLink("other.h5", "/x")
    references = [file["plain"].ref, file["g/h"].ref, h5py.Reference()]
    file["references"] = np.array(references, dtype=h5py.ref_dtype)
    file.create_dataset("zipped references", data=np.array(references * 50, dtype=h5py.ref_dtype), compression="gzip")
    regions = [file["zipped"].regionref[2:4, 5:9], file["chunked"].regionref[0], file["chunked"].regionref[::3, [1, 5]]]
    file["regions"] = np.array(regions, dtype=h5py.regionref_dtype)
    file["g"].attrs["to"] = file["hard"].ref
    file["g"].attrs["part"] = file["zipped"].regionref[1:2]
    file["plain"].make_scale("x")
    file["zipped"].dims[0].attach_scale(file["plain"])
    file["zipped"].dims[1].label = "columns"
    for number in range(600):
        file[f"many/n{number}"] = number
    mixed = np.dtype(
        [("to", h5py.ref_dtype), ("text", h5py.string_dtype()), ("rows", h5py.vlen_dtype("i4")), ("n", "i8")]
    )
    file.create_dataset("mixed", (3,), mixed)[1] = (file["g"].ref, "hello", np.arange(4, dtype="i4"), 5)
    lists = file.create_dataset("lists of references", (2,), h5py.vlen_dtype(h5py.ref_dtype))
    lists[0] = np.array(references, dtype=h5py.ref_dtype)


def write_types(file: h5py.File) -> None:
    file["type"] = np.dtype([("x", "i4"), ("y", "f8", (2,))])
    file.create_dataset("of a type", (3,), dtype=file["type"])
    file["of a type"].attrs.create("too", np.zeros(2, file["type"].dtype), dtype=file["type"])
    file["text"] = np.array(["a", "bcd", "", "ä"], dtype=object)
    words = file.create_dataset("zipped text", (300,), h5py.string_dtype(), chunks=(50,), compression="gzip")
    words[:] = ["x" * number for number in range(300)]
    file.create_dataset("enum", data=[1, 0], dtype=h5py.enum_dtype({"ON": 1, "OFF": 0}, "u1"))
    file["bool"] = np.array([True, False])
    file["opaque"] = np.array([b"abc", b"de"], dtype="V3")
    file["complex"] = np.array([1 + 2j])
    rows = file.create_dataset("rows", (3,), h5py.vlen_dtype("i4"))
    rows[0], rows[2] = [1, 2, 3], [5]
    file.attrs["null"] = h5py.Empty("f4")
    file.attrs["words"] = ["a", "bc"]
    for number in range(30):
        file["plain"].attrs[f"attribute {number}"] = number


@pytest.mark.parametrize(
    ("form", "compression"),
    [*((form, "keep") for form in FORMS), ("earliest", "gzip"), ("latest", "gzip"), ("1.8", None)],
)
def test_a_copy_holds_what_the_file_holds(source: Path, copy: Path, form: str, compression: str | None) -> None:
    write_everything(source, **FORMS[form])
    result = h5burst.repack(source, copy, compression=compression)
    keeps = compression == "keep"
    assert contents(copy, storage=keeps) == contents(source, storage=keeps)
    assert result.before_bytes == source.stat().st_size
    assert result.after_bytes == copy.stat().st_size
    if compression == "gzip":
        with h5py.File(copy) as file:
            assert file["chunked"].compression == "gzip"
            assert file["chunked"].chunks == (100, 30)


@pytest.mark.parametrize("form", ["earliest", "latest", "ordered"])
def test_h5py_goes_on_with_a_copy(source: Path, copy: Path, form: str) -> None:
    write_everything(source, **FORMS[form])
    h5burst.repack(source, copy)
    with h5py.File(copy, "r+") as file:
        for name in ("zipped", "both grow", "a limit", "partly written", "empty"):
            if file[name].maxshape != file[name].shape:
                file[name].resize((20, file[name].shape[1]))
            file[name][...] = 4
            assert (file[name][...] == 4).all()
        del file["of a type"], file["many/n5"], file["plain"]
        file.create_dataset("again", (2,), dtype=file["type"])
        file["many/new"] = 1
        file["g/h/ordered/last"] = 1
        assert list(file["g/h/ordered"]) == ["z", "b", "m", "last"]
        assert file["hard"][999] == 999
        file["text"][1] = "longer than it was"
        file["rows"][1] = np.arange(1000)
    with h5py.File(copy) as file:
        assert file["text"].asstr()[1] == "longer than it was"
        assert len(file["rows"][1]) == 1000


def test_a_copy_of_a_copy_is_the_same_file(source: Path, copy: Path, tmp_path: Path) -> None:
    write_everything(source)
    h5burst.repack(source, copy)
    h5burst.repack(copy, tmp_path / "third.h5")
    assert (tmp_path / "third.h5").read_bytes() == copy.read_bytes()


def test_shared_messages_become_own_ones(source: Path, copy: Path) -> None:
    with share_messages(source) as file:
        for number in range(60):
            made = file.create_dataset(f"d{number}", data=np.arange(20.0), chunks=(5,), compression="gzip")
            for other in range(number % 13):
                made.attrs[f"a{other}"] = np.arange(10)
    assert b"SMTB" in source.read_bytes()
    h5burst.repack(source, copy)
    assert b"SMTB" not in copy.read_bytes()
    assert contents(copy) == contents(source)
    assert h5burst.verify(copy) == []


def test_old_layouts_external_files_and_virtual_datasets(source: Path, copy: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "part.h5", "w") as part:
        part["x"] = np.arange(10)
    with h5py.File(source, "w", libver="latest") as file:
        layout = h5py.VirtualLayout((2, 10), "i8")
        layout[0] = h5py.VirtualSource(str(tmp_path / "part.h5"), "x", (10,))
        file.create_virtual_dataset("virtual", layout, fillvalue=-1)
        file.create_dataset("outside", (10,), "u1", external=[(str(tmp_path / "raw.bin"), 0, 10)])[:] = np.arange(10)
    h5burst.repack(source, copy)
    with h5py.File(copy) as file:
        assert file["virtual"].is_virtual
        np.testing.assert_array_equal(file["virtual"][...], [np.arange(10), np.full(10, -1)])
        np.testing.assert_array_equal(file["outside"][...], np.arange(10))


def test_large_attributes_and_many_ordered_links(source: Path, copy: Path) -> None:
    with h5py.File(source, "w", libver="latest", track_order=True) as file:
        for number in reversed(range(900)):
            file[f"n{number}"] = h5py.SoftLink("/x") if number % 3 else h5py.ExternalLink("o", "p")
        file["x"] = 1
        for number in reversed(range(300)):
            file.attrs[f"a{number}"] = np.full(number, number)
        file.attrs["large"] = np.arange(20_000)
        file.attrs["last"] = file["x"].ref
    h5burst.repack(source, copy)
    assert contents(copy) == contents(source)
    assert h5burst.verify(copy, deep=True) == h5burst.verify(source, deep=True)
    with h5py.File(copy, "r+") as file:
        file["later"], file.attrs["later"] = 1, 2
        del file["n7"], file.attrs["a7"]
        assert list(file)[-1] == "later"
        assert list(file.attrs)[-1] == "later"
        assert len(file) == 901


# ---------------------------------------------------------------- what is chosen


def test_a_selection_is_copied_with_the_groups_on_the_way(source: Path, copy: Path) -> None:
    write_everything(source)
    h5burst.repack(source, copy, select=["/g/h/ordered", "references", "of a type"])
    with h5py.File(copy) as file, h5py.File(source) as old:
        assert sorted(file) == ["g", "of a type", "references"]
        assert list(file["g/h"]) == ["ordered"]
        assert list(file["g/h/ordered"]) == ["z", "b", "m"]
        assert file[file["references"][1]] == file["g/h"]
        assert not file["references"][0]  # what it leads to is not there
        assert file["of a type"].dtype == old["of a type"].dtype
        assert h5py.h5o.get_info(file["references"].id).rc == 1


@pytest.mark.parametrize("path", ["nowhere", "g/nowhere", "plain/x", "soft/ordered"])
def test_a_selection_that_leads_nowhere_is_named(source: Path, copy: Path, path: str) -> None:
    write_everything(source)
    with pytest.raises(KeyError, match=path.split("/")[0]):
        h5burst.repack(source, copy, select=[path])
    assert not copy.exists()


def test_wrong_options_are_refused_before_anything_is_read(source: Path, copy: Path) -> None:
    with pytest.raises(ValueError, match="got 'zip'"):
        h5burst.repack(source, copy, compression="zip")
    with pytest.raises(ValueError, match="0 to 9"):
        h5burst.repack(source, copy, compression="gzip", compression_opts=10)
    with pytest.raises(ValueError, match="without a codec"):
        h5burst.repack(source, copy, compression_opts=4)
    with pytest.raises(KeyError, match="names no object"):
        h5burst.repack(source, copy, select=["/"])


def test_a_file_is_replaced_only_when_that_is_asked_for(source: Path, copy: Path) -> None:
    write_everything(source)
    copy.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        h5burst.repack(source, copy)
    with pytest.raises(FileExistsError):
        h5burst.repack(source, source)
    assert copy.read_bytes() == b"precious"
    before = contents(source, storage=False)
    h5burst.repack(source, source, compression="gzip", overwrite=True)
    assert contents(source, storage=False) == before


def test_a_file_that_is_written_to_is_not_copied(source: Path, copy: Path) -> None:
    with h5py.File(source, "w"), pytest.raises(BlockingIOError, match="open for writing"):
        h5burst.repack(source, copy)


def test_damage_is_an_error_that_names_the_object(source: Path, copy: Path) -> None:
    h5burst.write_tree(source, h5burst.Group({"g": h5burst.Group({"a": h5burst.Array(np.arange(5))})}))
    data = bytearray(source.read_bytes())
    data[data.index(b"OHDR") + 20] ^= 1
    source.write_bytes(data)
    with pytest.raises(h5burst.CorruptFileError, match="/g/a: "):
        h5burst.repack(source, copy)
    assert not copy.exists()


def test_memory_is_bounded(source: Path, copy: Path) -> None:
    with h5py.File(source, "w") as file:
        file.create_dataset("contiguous", data=np.zeros(8 << 20))
        file.create_dataset("chunked", data=np.zeros(8 << 20), chunks=(1 << 16,))
    for compression in ("keep", "gzip"):
        tracemalloc.start()
        h5burst.repack(source, copy, compression=compression, overwrite=True, threads=2)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 40 << 20, (compression, peak)


def test_progress_is_told(source: Path, copy: Path) -> None:
    write_everything(source)
    told: list[tuple[int, int]] = []
    h5burst.repack(source, copy, progress=lambda done, size: told.append((done, size)))
    assert told
    assert all(0 <= done <= size == source.stat().st_size for done, size in told)


def test_the_package_is_imported_without_h5py_plugins_for_a_copy(source: Path, copy: Path) -> None:
    write_everything(source)
    code = (
        f"import h5burst, sys; h5burst.repack({str(source)!r}, {str(copy)!r}); assert 'hdf5plugin' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("chunks", [3, 150])
def test_turned_bits_of_the_older_chunk_index_are_found(chunks: int, tmp_path: Path) -> None:
    path, copy = tmp_path / "a.h5", tmp_path / "b.h5"
    wanted = np.arange(40 * chunks, dtype="i4") * 1000
    with h5py.File(tmp_path / "old.h5", "w", libver=("earliest", "v108")) as file:
        file.create_dataset("x", data=wanted, chunks=(40,), compression="gzip", shuffle=True)
    h5burst.repack(tmp_path / "old.h5", path, compression="gzip")
    data, chance = path.read_bytes(), random.Random(chunks)
    nodes = [found.start() for found in re.finditer(b"TREE\1", data)]
    assert len(nodes) == (1 if chunks == 3 else 4)
    for node in nodes:
        (count,) = struct.unpack_from("<H", data, node + 6)
        for bit in [
            *range(8 * 28, 8 * 32),
            *chance.choices(range(8 * (24 + count * 32)), k=100),
        ]:  # the first mask, too
            turned = bytearray(data)
            turned[node + bit // 8] ^= 1 << bit % 8
            copy.write_bytes(turned)
            with pytest.raises(h5burst.CorruptFileError):
                h5burst.read_tree(copy)
            assert h5burst.verify(copy) != []


def test_an_older_chunk_index_with_checksums_is_edited_by_h5py(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(tmp_path / "old.h5", "w", libver=("earliest", "v108")) as file:
        data = np.arange(70 * 10)
        file.create_dataset("x", data=data, chunks=(10,), maxshape=(None,), compression="gzip", shuffle=True)
    h5burst.repack(tmp_path / "old.h5", path)
    for rows in (1000, 3000):
        with h5py.File(path, "r+") as file:
            file["x"].resize((rows,))
            file["x"][:] = np.arange(rows) * 3
        assert h5burst.verify(path, deep=True) == []
        np.testing.assert_array_equal(h5burst.read_tree(path)["x"].data, np.arange(rows) * 3)
