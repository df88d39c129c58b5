"""Files as h5py makes them, in every version of the format: all they hold is read, or refused alone and by name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from h5py import h5d, h5f, h5p, h5s, h5t

import h5burst
from h5burst import CorruptFileError, read_tree
from h5burst.checking import verify
from support.foreign_files import refused
from support.shared_messages import share_messages

LIBVERS = [("earliest", "v108"), ("earliest", "latest"), ("v108", "v108"), ("v110", "v110"), ("v112", "latest")]
NESTED = np.dtype([("x", "<i2"), ("y", [("r", ">f4"), ("deep", [("a", "u1", (2, 3))])]), ("name", "S5")], align=True)


def create(file: h5py.File, name: str, kind: h5t.TypeID, data: np.ndarray) -> None:
    """A dataset of a type in the file that h5py's upper level does not make."""
    made = h5d.create(file.id, name.encode(), kind, h5s.create_simple(data.shape))
    is_raw = isinstance(kind, (h5t.TypeBitfieldID, h5t.TypeStringID))  # its elements are the bytes of `data`
    made.write(h5s.ALL, h5s.ALL, data, kind if is_raw else None)


def integers_of_odd_width() -> dict[str, h5t.TypeID]:
    kinds = {}
    for base, size, precision, offset in [
        (h5t.STD_I32LE, 4, 17, 3), (h5t.STD_U16LE, 2, 10, 6), (h5t.STD_I64BE, 8, 63, 0), (h5t.STD_I64LE, 8, 50, 1),
    ]:  # fmt: skip
        kind = base.copy()
        kind.set_precision(precision)
        kind.set_offset(0)
        kind.set_size(size)
        kind.set_offset(offset)
        kinds[f"{size} bytes {precision} bits at {offset}"] = kind
    return kinds


def strings() -> dict[str, h5t.TypeID]:
    kinds = {}
    for padding in (h5t.STR_NULLTERM, h5t.STR_NULLPAD, h5t.STR_SPACEPAD):
        for charset in (h5t.CSET_ASCII, h5t.CSET_UTF8):
            kind = h5t.C_S1.copy()
            kind.set_size(7)
            kind.set_strpad(padding)
            kind.set_cset(charset)
            kinds[f"text {padding} {charset}"] = kind
    return kinds


def fill(file: h5py.File) -> None:
    rng = np.random.default_rng(3)
    for dtype in ["i1", "<i2", ">i4", "<u8", ">u8", "<f2", ">f4", "<f8", ">f8", "<c8", ">c16", "?", "S3", "V5", "g"]:
        data = rng.integers(0, 100, 12).astype(dtype if dtype != "V5" else "u1")
        data = np.array([bytes([i] * 5) for i in range(12)], "V5") if dtype == "V5" else data
        file[f"plain {dtype}"] = data.reshape(3, 4)
        file[f"chunked {dtype}"] = file[f"plain {dtype}"][()]
        file["/"].attrs[f"attribute {dtype}"] = data[:3]
        file.create_dataset(f"zipped {dtype}", data=data.reshape(3, 4), chunks=(2, 3), compression=1, shuffle=True)
        file[f"scalar {dtype}"] = data[0]
        file[f"empty {dtype}"] = h5py.Empty(data.dtype)
    for name, kind in integers_of_odd_width().items():
        create(file, name, kind, np.arange(9, dtype=kind.dtype))
    for name, kind in strings().items():
        create(file, name, kind, np.array([b"abc", b"", b"abcdef", b"a b "], "S7"))
    for name, kind in [("bits 8", h5t.STD_B8LE), ("bits 32", h5t.STD_B32BE)]:
        create(file, name, kind, np.arange(9, dtype=kind.dtype))
    bfloat = h5t.IEEE_F32LE.copy()
    bfloat.set_fields(15, 7, 8, 0, 7)
    bfloat.set_precision(16)
    bfloat.set_size(2)
    create(file, "bfloat16", bfloat, np.arange(9, dtype="f4"))
    compound = np.zeros(5, NESTED)
    compound["y"]["deep"]["a"] = rng.integers(0, 9, (5, 2, 3))
    compound["name"] = b"name"
    file["nested compound"] = compound
    file.create_dataset("arrays", (4,), np.dtype((">i2", (2, 3))), chunks=(2,))[...] = rng.integers(0, 9, (4, 2, 3))
    file.create_dataset("arrays by libhdf5", (4,), np.dtype((">i2", (2, 3))), chunks=(2,), **hdf5plugin.LZ4())[...] = (
        np.ones((4, 2, 3))
    )
    file["enumerated"] = np.array([1, 2, 1], h5py.enum_dtype({"ONE": 1, "TWO": 2}, basetype=">i2"))
    file["committed type"] = np.dtype([("a", "i4"), ("b", "f8")])
    file.create_dataset("of committed type", (3,), file["committed type"])
    ragged = file.create_dataset("ragged", (3,), h5py.vlen_dtype("<i4"))
    ragged[0], ragged[2] = [1, 2, 3], [4]
    file["words"] = ["a", "", "ünï", "x" * 5000]
    file.create_dataset("bytes", data=np.array([b"a", b"bc"], object), dtype=h5py.string_dtype("ascii"))
    file.create_dataset("words in chunks", data=["a", "bc"] * 50, chunks=(7,))
    file.create_dataset("filled", (10, 10), "i4", chunks=(3, 3), fillvalue=7)[2:4, 2] = 1
    file.create_dataset("never written", (10,), "f8", fillvalue=np.nan)
    file.create_dataset("compact", data=np.arange(5), dcpl=compact())
    group = file.create_group("ordered", track_order=True)
    for number in reversed(range(30)):
        group[f"member {number}"] = number
        group.attrs[f"attribute {number}"] = "text" * number
    file["soft"] = h5py.SoftLink("/ordered/member 3")
    file["dangling"] = h5py.SoftLink("/nowhere")
    file["hard"] = file["ordered"]
    file["external"] = h5py.ExternalLink("not there.h5", "/x")
    file["text"] = h5py.ExternalLink("text.txt", "/x")
    file["maximal"] = np.zeros(1)
    for limits, chunks in [((None,), (3,)), ((None, None), (2, 3)), ((9, None), (2, 3)), ((20, 30), (2, 3))]:
        shape = (7, 8)[: len(limits)]
        file.create_dataset(f"grows {limits}", data=np.ones(shape), maxshape=limits, chunks=chunks)


def compact() -> h5p.PropDCID:
    made = h5p.create(h5p.DATASET_CREATE)
    made.set_layout(h5d.COMPACT)
    return made


@pytest.mark.parametrize("libver", LIBVERS)
def test_every_version_of_the_format(libver: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no HDF5 file")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        fill(file)
    assert refused(path) == {}
    assert verify(path) == []


@pytest.mark.parametrize(
    "options",
    [
        {"userblock_size": 512},
        {"userblock_size": 4096, "libver": "latest"},
        {"fs_strategy": "page", "fs_page_size": 4096, "fs_persist": True, "libver": "latest"},
        {"fs_strategy": "fsm", "fs_persist": True, "fs_threshold": 1, "libver": "latest"},
        {"fs_strategy": "aggregate"},
        {"track_order": True},
        {"meta_block_size": 512, "alignment_threshold": 1, "alignment_interval": 512},
    ],
)
def test_file_spaces(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", **options) as file:
        fill(file)
        for number in range(40):
            file.attrs[f"attribute {number}"] = number
    assert refused(path) == {}


def test_messages_that_objects_share(tmp_path: Path) -> None:
    """Only libhdf5 reads them: in place of each object that has them, and of none that leads to it."""
    path = tmp_path / "a.h5"
    with share_messages(path) as file:
        fill(file)
        for name in "BC":
            group = file.create_group(name)
            group["x"] = np.arange(5)
            for number in range(3):
                group.attrs[f"attribute {number}"] = np.arange(40)
        file["A/linked"] = h5py.SoftLink("/B/x")
        file["A/own"] = 1
    assert refused(path) == {}
    assert verify(path) == []
    with h5burst.open(path) as opened:
        assert list(opened["A"]) == ["linked", "own"]
        np.testing.assert_array_equal(opened["A/linked"], np.arange(5))


@pytest.mark.parametrize("offsets", [2, 4, 8])
@pytest.mark.parametrize("lengths", [2, 4, 8])
def test_widths_of_addresses_and_lengths(offsets: int, lengths: int, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_sizes(offsets, lengths)
    with h5py.File(h5f.create(str(path).encode(), fcpl=creation)) as file:
        file["a"] = np.arange(100.0)
        file.create_dataset("b", data=np.arange(1000), chunks=(10,), compression=1)
        file["g/text"] = ["a", "b"]
        file["g"].attrs["x"] = [1, 2]
    assert refused(path) == {}


def test_what_numpy_has_no_type_for_costs_its_object_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["fine"] = np.arange(4)
        h5d.create(file.id, b"time", h5t.UNIX_D64LE, h5s.create_simple((3,)))
        for name, size in [(b"wide", 16), (b"odd", 3)]:
            kind = h5t.STD_I64LE.copy()
            kind.set_precision(24 if size == 3 else 64)
            kind.set_size(size)
            kind.set_precision(8 * size)
            h5d.create(file.id, name, kind, h5s.create_simple((3,)))
        file["g/also fine"] = "text"

    lazy = read_tree(path, lazy=True)
    np.testing.assert_array_equal(lazy["fine"].data, np.arange(4))
    assert lazy["g/also fine"].data[()] == "text"
    for name in ("odd", "time", "wide"):
        with pytest.raises(CorruptFileError, match=f"/{name}: "):
            np.asarray(lazy[name].data)
    with pytest.raises(
        CorruptFileError, match=r"/odd: numpy has no type for .*/time: .* may be sound.*/wide: "
    ) as caught:
        read_tree(path)
    assert [where for where, _ in caught.value.problems] == ["/odd", "/time", "/wide"]


REPACKS = [
    ("-f", "GZIP=1"), ("-f", "FLET", "-f", "GZIP=4"), ("-f", "SHUF", "-f", "GZIP=4", "-f", "FLET"), ("-f", "NONE"),
    ("-l", "CHUNK=2x3"), ("-l", "CONTI"), ("-l", "COMPA"), ("-L",), ("-f", "SOFF=0,IN"),
    ("-s", "20"), ("-s", "100:dtype"), ("-S", "PAGE", "-P", "1", "-G", "4096"), ("-S", "NONE"),
    ("-u", "", "-b", "1024"),
]  # fmt: skip


@pytest.mark.skipif(shutil.which("h5repack") is None, reason="the HDF5 tools are not installed")
@pytest.mark.parametrize("options", REPACKS)
def test_repacked_by_h5repack(options: tuple[str, ...], tmp_path: Path) -> None:
    source, path = tmp_path / "a.h5", tmp_path / "b.h5"
    block = tmp_path / "block"
    block.write_bytes(b"user" * 256)
    with h5py.File(source, "w") as file:
        file["a"] = np.arange(24).reshape(4, 6)
        file["b"] = np.linspace(0, 1, 24).reshape(4, 6)
        file["g/texts"] = ["a", "bc"]
        for number in range(5):  # whose messages can be shared
            made = file.create_dataset(f"like {number}", (20,), np.dtype([("a", "i4"), ("b", "f8")]), chunks=(5,))
            made.attrs["long"] = file["g"].attrs[f"{number}"] = np.arange(30)
    arguments = [str(block) if option == "" else option for option in options]
    subprocess.run(["h5repack", *arguments, str(source), str(path)], check=True)
    assert refused(path) == {}
