"""Widths, counts and lengths that the format encodes by classes of size: below, at and above each threshold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from h5burst import Array, ExternalLink, Group, Storage, read_tree, verify, write_tree
from reference.hdf5_tree import content, write_plainly
from support.foreign_files import refused

# What decides: 64 KiB messages, lengths of two or three bytes in heap IDs (2^16), blocks of the heap (2^17 … 2^19).
BYTES = sorted(
    size
    for limit in [1 << 12, 65_400, 65_472, 65_500, 1 << 16, 131_008, 1 << 17, 1 << 18, 1 << 19]
    for size in [limit - 8, limit, limit + 8]
)


@pytest.mark.parametrize("others", [0, 40])
def test_sizes_of_attributes(others: int, tmp_path: Path) -> None:
    tree = Group({f"{size}": Group(attrs={"a": np.arange(size // 8) * 0.5}) for size in BYTES})
    for child in tree.children.values():
        child.attrs |= {f"other {number}": number for number in range(others)}
    ours, theirs = tmp_path / "ours.h5", tmp_path / "theirs.h5"
    write_tree(ours, tree)
    with h5py.File(theirs, "w", libver="latest") as file:
        for name, child in tree.children.items():
            for key, value in child.attrs.items():
                file.require_group(name).attrs[key] = value

    for path in (ours, theirs):
        assert refused(path) == {}
        read = read_tree(path)
        for size in BYTES:
            np.testing.assert_array_equal(read[f"{size}"].attrs["a"], np.arange(size // 8) * 0.5)


# ---------------------------------------------------------------- links, names, attributes

# 8: links and attributes in a header; 256: counts and lengths of one byte; 4096: objects that a heap manages itself.
COUNTS = [limit + step for limit in (8, 32, 256, 512) for step in (-1, 0, 1)]
NAME_LENGTHS = [limit + step for limit in (8, 64, 256, 4080) for step in (-1, 0, 1)]


def both(tmp_path: Path, tree: Group) -> list[Path]:
    """The tree as we write it, and as libhdf5 writes it in its oldest, our and its newest format."""
    paths = [tmp_path / "ours.h5"]
    write_tree(paths[0], tree)
    for libver in ("earliest", ("v110", "v110"), "latest"):
        paths.append(tmp_path / f"{libver[0]}.h5")
        write_plainly(paths[-1], tree, libver=libver)
    return paths


def assert_read_by_both(paths: list[Path], tree: Group) -> None:
    expected = content(paths[-1])
    assert set(expected) >= {f"/{name}" for name in tree.children}
    for path in paths:
        assert refused(path) == {}
        assert verify(path) == []
        assert content(path) == expected


def test_numbers_of_links(tmp_path: Path) -> None:
    tree = Group({f"{count}": Group({f"{n:05}": Group() for n in range(count)}) for count in COUNTS})
    assert_read_by_both(both(tmp_path, tree), tree)


def test_numbers_of_attributes(tmp_path: Path) -> None:
    tree = Group({f"{count}": Group(attrs={f"{n:05}": n for n in range(count)}) for count in COUNTS})
    assert_read_by_both(both(tmp_path, tree), tree)


@pytest.mark.parametrize("others", [0, 20])
def test_lengths_of_names(others: int, tmp_path: Path) -> None:
    """Alone in their group's header, and among others in dense storage."""
    groups = {}
    for length in NAME_LENGTHS:
        more = {f"other {n}": Group() for n in range(others)}
        groups[f"{length}"] = Group({"n" * length: Group(), **more}, {"a" * length: length, **dict.fromkeys(more, 1)})
    tree = Group(groups)
    assert_read_by_both(both(tmp_path, tree), tree)


def test_lengths_of_soft_links(tmp_path: Path) -> None:
    """Beyond 4 KiB they are huge objects of a heap."""
    path = tmp_path / "a.h5"
    lengths = sorted({limit + step for limit in (256, 4040, 4096, 32_000) for step in range(-40, 41, 8)})
    with h5py.File(path, "w", libver="latest") as file:
        file["data"] = 5
        group = file.create_group("links")
        for length in lengths:
            group[f"{length}"] = h5py.SoftLink("/" * (length - 4) + "data")
    assert refused(path) == {}
    assert len(read_tree(path)["links"].children) == len(lengths)  # type: ignore[union-attr]


# Of links that we write ourselves: 255 bytes of name, 4000 of what they lead to, 256 members of one group.
@pytest.mark.parametrize("count", [255, 256, 257])
@pytest.mark.parametrize("length", [1, 255, 256, 257, 3990, 4000, 4010])
def test_links_of_any_length_and_number(count: int, length: int, tmp_path: Path) -> None:
    soft = {f"{n:03}" + "s" * min(length, 1000): "/" + "x" * length for n in range(count - 2)}
    external = {"external": ExternalLink("f" * min(length, 250), "/" + "y" * length)}
    write_tree(tmp_path / "a.h5", Group({"of": Group({"data": Array(np.arange(2))}, links={**soft, **external})}))
    with h5py.File(tmp_path / "a.h5") as file:
        group = file["of"]
        assert len(group) == count
        assert {name: group.get(name, getlink=True).path for name in soft} == soft
        found = group.get("external", getlink=True)
        assert (found.filename, found.path) == (external["external"].file, external["external"].path)
        assert group["data"][...].tolist() == [0, 1]
    read = read_tree(tmp_path / "a.h5")["of"]
    assert read.links == {**soft, **external}  # type: ignore[union-attr]
    assert verify(tmp_path / "a.h5") == []


def test_sizes_of_headers(tmp_path: Path) -> None:
    """A header says its own size in 1, 2 or 4 bytes: every size near 256, and near 64 KiB."""
    sizes = [*range(180, 260), *range(65_400, 65_560, 4)]
    tree = Group({f"{size}": Group(attrs={"a": np.zeros(size, "u1"), "b": 1}) for size in sizes})
    ours, theirs = tmp_path / "ours.h5", tmp_path / "theirs.h5"
    write_tree(ours, tree)
    with h5py.File(theirs, "w", libver="latest") as file:
        for name, child in tree.children.items():
            file.create_group(name).attrs.update(child.attrs)
    for path in (ours, theirs):
        assert refused(path) == {}
        assert verify(path) == []
        assert content(path) == content(theirs)


def test_numbers_of_axes(tmp_path: Path) -> None:
    tree = Group({f"{rank}": Array(np.arange(2.0).reshape((1,) * (rank - 1) + (2,))) for rank in range(1, 33)})
    assert_read_by_both(both(tmp_path, tree), tree)


# ---------------------------------------------------------------- chunks, elements, text

CHUNKS = [1, 2, 3, 4, 5, 15, 16, 17, 255, 256, 257, 1023, 1024, 1025]


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("maxshape", [None, (None,), (None, None)])
@pytest.mark.parametrize("compression", [None, 1])
def test_numbers_of_chunks(libver: str, maxshape: Any, compression: int | None, tmp_path: Path) -> None:
    """Each index of chunks: B-trees, fixed and extensible arrays, whose blocks and pages hold powers of two."""
    path = tmp_path / "a.h5"
    rank = 1 if maxshape is None else len(maxshape)
    with h5py.File(path, "w", libver=libver) as file:
        for count in CHUNKS:
            data = np.arange(2 * count, dtype="u2").reshape((2 * count, 1)[:rank] if rank == 2 else (2 * count,))
            options = {"chunks": (2, 1)[:rank], "maxshape": maxshape, "compression": compression}
            file.create_dataset(f"{count}", data=data, **options)
    assert refused(path) == {}
    assert verify(path) == []


@pytest.mark.parametrize("codec", [None, "gzip"])
@pytest.mark.parametrize("maxshape", [False, True])
def test_numbers_of_our_chunks(codec: Any, maxshape: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    arrays: dict[str, Any] = {}
    for count in CHUNKS:
        storage = Storage(codec, chunks=(2,), maxshape=(None,) if maxshape else None, compress_small=True)
        arrays[f"{count}"] = Array(np.arange(2 * count, dtype="u2"), storage=storage)
    write_tree(path, Group(arrays))
    with h5py.File(path) as file:
        for count in CHUNKS:
            assert file[f"{count}"][...].tolist() == list(range(2 * count))
    assert refused(path) == {}
    assert verify(path) == []


# The edges of a chunk, and the bytes of a compressed one, are stored in as many bytes as the largest of them needs.
@pytest.mark.parametrize("codec", [None, "gzip"])
@pytest.mark.parametrize("limit", [1 << 8, 1 << 16])
def test_sizes_of_chunks(limit: int, codec: Any, tmp_path: Path) -> None:
    edges = [limit - 1, limit, limit + 1]
    growing = [None, (None,), (None, None)]
    for libver in ("earliest", "latest"):
        with h5py.File(tmp_path / f"{libver}.h5", "w", libver=libver) as file:
            for edge in edges:
                for number, maxshape in enumerate(growing):
                    shape = (edge + 1, 1)[: 1 if maxshape is None else len(maxshape)]
                    chunks = (edge, 1)[: len(shape)]
                    made = file.create_dataset(f"{edge} {number}", shape, "u1", chunks=chunks, maxshape=maxshape,
                                               compression=codec)  # fmt: skip
                    made[:3], made[edge:] = 1, 2
    arrays = {}
    for edge in edges:
        for number, maxshape in enumerate(growing):
            rank = 1 if maxshape is None else len(maxshape)
            data = np.zeros((edge + 1, 1)[:rank], "u1")
            data[:3], data[edge:] = 1, 2
            storage = Storage(codec, chunks=(edge, 1)[:rank], maxshape=maxshape, compress_small=True)
            arrays[f"{edge} {number}"] = Array(data, storage=storage)
    write_tree(tmp_path / "ours.h5", Group(arrays))  # type: ignore[arg-type]
    for name in ("earliest", "latest", "ours"):
        assert refused(tmp_path / f"{name}.h5") == {}
        assert verify(tmp_path / f"{name}.h5") == []
        with h5py.File(tmp_path / f"{name}.h5") as file:
            for key, array in arrays.items():
                assert file[key].chunks == array.storage.chunks
                np.testing.assert_array_equal(file[key][...], array.data)


def test_sizes_of_fill_values(tmp_path: Path) -> None:
    sizes = [1, 7, 8, 9, 255, 256, 257, 65_000]
    fills = {f"{size}": np.bytes_(b"f" * size) for size in sizes}
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        for name, fill in fills.items():
            file.create_dataset(name, (2,), f"S{name}", chunks=(1,), maxshape=(None,), fillvalue=fill)
    write_tree(tmp_path / "ours.h5", read_tree(tmp_path / "theirs.h5"))
    for name in ("theirs", "ours"):
        assert refused(tmp_path / f"{name}.h5") == {}
        with h5py.File(tmp_path / f"{name}.h5", "r+") as file:
            for key, fill in fills.items():
                file[key].resize((3,))
                assert file[key][2] == file[key].fillvalue == fill


def test_sizes_of_datasets(tmp_path: Path) -> None:
    """Compact, contiguous and in chunks; 64 KiB is the most that a header's message holds."""
    sizes = [limit + step for limit in (256, 4096, 8192, 65_464, 65_500, 65_536, 131_072) for step in (-1, 0, 1)]
    tree = Group({f"{size}": Array(np.arange(size, dtype=np.uint8)) for size in sizes})
    paths = both(tmp_path, tree)
    compact = tmp_path / "compact.h5"
    with h5py.File(compact, "w", libver="latest") as file:
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.COMPACT)
        for size in [size for size in sizes if size < 65_500]:
            space = h5py.h5s.create_simple((size,))
            dataset = h5py.h5d.create(file.id, f"{size}".encode(), h5py.h5t.NATIVE_UINT8, space, layout)
            dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(size, dtype=np.uint8))
    assert refused(compact) == {}
    assert_read_by_both(paths, tree)


def test_lengths_of_text(tmp_path: Path) -> None:
    """In heap collections of 4 KiB and more, whose objects have lengths of their own."""
    lengths = [limit + step for limit in (1, 8, 256, 4064, 4080, 4096, 65_536) for step in (-1, 0, 1)]
    words = np.array(["x" * length for length in lengths], dtype=object)
    children: dict[str, Any] = {f"{n}": Array(words[n : n + 1]) for n in range(len(words))}
    attrs = {f"{length}": "y" * length for length in lengths if length < 60_000}
    tree = Group({**children, "all": Array(words)}, attrs)
    assert_read_by_both(both(tmp_path, tree), tree)


def test_sizes_of_types(tmp_path: Path) -> None:
    """Text of fixed length; compounds, whose members' offsets take as many bytes as the compound's size needs."""
    sizes = [limit + step for limit in (8, 256, 65_536) for step in (-1, 0, 1)]
    texts = {f"S{size}": Array(np.array([b"a" * size, b"b"], f"S{size}")) for size in sizes}
    records = {}
    for size in sizes:
        dtype = np.dtype([("a", f"S{size - 2}"), ("b", "u1"), ("c", "u1")])
        records[f"record {size}"] = Array(np.array([(b"x" * (size - 2), 1, 2)], dtype))
    fields = {}
    for count in (1, 7, 8, 9, 127, 128, 129):
        dtype = np.dtype([(f"field {n}", "u2") for n in range(count)])
        fields[f"{count} fields"] = Array(np.zeros(2, dtype))
    tree = Group({**texts, **records, **fields})
    assert_read_by_both(both(tmp_path, tree), tree)


@pytest.mark.parametrize("sizes", [(2, 2), (4, 4), (2, 8), (8, 4), (8, 8)])
def test_sizes_of_addresses_and_lengths(sizes: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    properties = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    properties.set_sizes(*sizes)
    with h5py.File(h5py.h5f.create(str(path).encode(), h5py.h5f.ACC_TRUNC, properties)) as file:
        for count in (1, 7) if 2 in sizes else (1, 8, 9, 33, 257):  # libhdf5 cannot read more in so small a file
            group = file.create_group(f"{count}")
            for number in range(count):
                group.attrs[f"{number}"] = "text"
                group[f"{number}"] = number
        file.create_dataset("chunked", data=np.arange(600), chunks=(7,), compression=1)
    assert refused(path) == {}
    assert verify(path) == []
