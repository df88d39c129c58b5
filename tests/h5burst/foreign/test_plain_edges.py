"""Datasets whose chunks at the edge went through no filter, which libhdf5 makes on request and h5py does not offer."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5f, h5p, h5s, h5t

import h5burst
from h5burst import CorruptFileError

_DONT_FILTER_PARTIAL_CHUNKS = 2  # of libhdf5
Limits = tuple[int | None, ...] | None

KINDS: dict[str, tuple[tuple[int, ...], tuple[int, ...], Limits, bool]] = {  # shape, chunks, largest shape, early
    "one": ((50,), (60,), (None,), False),
    "fixed": ((50, 23), (20, 10), (50, 23), False),
    "fits": ((40, 20), (20, 10), (40, 20), False),
    "growing": ((50, 23), (20, 10), (None, 23), False),
    "growing in both": ((50, 23), (20, 10), (None, None), False),
    "early": ((50, 23), (20, 10), (50, 23), True),
}


def values(shape: tuple[int, ...]) -> Any:
    return (np.arange(np.prod(shape)) % 7).astype("i4").reshape(shape)


def made(path: Path, kind: str) -> None:
    """A file in which `x` is gzipped, with shuffle and checksum, but for the chunks at its edge."""
    library = ctypes.CDLL(h5p.__file__)
    if not hasattr(library, "H5Pset_chunk_opts"):
        pytest.skip("libhdf5 is not a library of its own here")
    shape, chunks, largest, early = KINDS[kind]
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk(chunks)
    creation.set_shuffle()
    creation.set_deflate(6)
    creation.set_fletcher32()
    if early:
        creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    assert library.H5Pset_chunk_opts(ctypes.c_int64(creation.id), _DONT_FILTER_PARTIAL_CHUNKS) >= 0
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    with h5py.File(h5f.create(bytes(path), fapl=access)) as file:
        limits = None if largest is None else tuple(h5s.UNLIMITED if limit is None else limit for limit in largest)
        space = h5s.create_simple(shape, limits)
        dataset = h5py.Dataset(h5d.create(file.id, b"x", h5t.STD_I32LE, space, creation))
        dataset[...] = values(shape)
        file["other"] = np.arange(3)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_read_edited_and_copied(kind: str, tmp_path: Path) -> None:
    path, new = tmp_path / "edges.h5", tmp_path / "new.h5"
    made(path, kind)
    wanted = values(KINDS[kind][0])
    assert h5burst.verify(path, deep=True) == []
    assert np.array_equal(h5burst.read_tree(path)["x"].data, wanted)
    with h5burst.open(path) as file:
        assert np.array_equal(file["x"][-7:], wanted[-7:])
        assert file["x"].filters == ("shuffle", "gzip", "fletcher32")
    with h5burst.edit(path) as tx:
        tx.put("added", h5burst.Array(np.arange(4)))
        tx.set_attributes("x", {"unit": "s"})
        assert tx.way == "append"
    for verb, options in (
        (h5burst.repack, {"compression": "keep"}),
        (h5burst.repack, {"compression": None}),
        (h5burst.repack, {"compression": "zstd"}),
        (h5burst.salvage, {}),
    ):
        verb(path, new, overwrite=True, **options)
        is_equal(new, wanted)
    h5burst.compact(path)
    is_equal(path, wanted)


def is_equal(path: Path, wanted: Any) -> None:
    assert h5burst.verify(path, deep=True) == []
    assert np.array_equal(h5burst.read_tree(path)["x"].data, wanted)
    with h5py.File(path) as file:
        assert np.array_equal(file["x"][...], wanted)


@pytest.mark.parametrize("kind", ["growing", "growing in both"])
def test_rows_are_added_by_turns_with_libhdf5(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "edges.h5"
    made(path, kind)
    wanted = values(KINDS[kind][0])
    for turn, count in enumerate((3, 7, 25, 1)):
        rows = values((count, wanted.shape[1])) + turn
        with h5burst.edit(path) as tx:
            tx.append("x", rows)
        wanted = np.concatenate([wanted, rows])
        is_equal(path, wanted)
        with h5py.File(path, "r+") as file:
            file["x"].resize(len(wanted) + 2, axis=0)
            file["x"][-2:] = 9
        wanted = np.concatenate([wanted, np.full((2, wanted.shape[1]), 9, "i4")])
        is_equal(path, wanted)


def test_a_turned_bit_where_the_checksum_is_costs_that_chunk(tmp_path: Path) -> None:
    path, new = tmp_path / "edges.h5", tmp_path / "new.h5"
    made(path, "fixed")
    with h5py.File(path) as file:
        place = file["x"].id.get_chunk_info_by_coord((0, 0)).byte_offset
    data = bytearray(path.read_bytes())
    data[place + 5] ^= 4
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match="/x"):
        h5burst.read_tree(path)
    assert [problem.path for problem in h5burst.salvage(path, new).lost] == ["/x"]
    wanted = values((50, 23))
    wanted[:20, :10] = 0
    is_equal(new, wanted)
