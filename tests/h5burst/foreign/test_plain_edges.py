"""Datasets whose chunks at the edge went through no filter: read, edited, appended to, copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import CorruptFileError
from support.plain_edges import Limits, made, values

KINDS: dict[str, tuple[tuple[int, ...], tuple[int, ...], Limits, bool]] = {  # shape, chunks, largest shape, early
    "one": ((50,), (60,), (None,), False),
    "fixed": ((50, 23), (20, 10), (50, 23), False),
    "fits": ((40, 20), (20, 10), (40, 20), False),
    "growing": ((50, 23), (20, 10), (None, 23), False),
    "growing in both": ((50, 23), (20, 10), (None, None), False),
    "early": ((50, 23), (20, 10), (50, 23), True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_read_edited_and_copied(kind: str, tmp_path: Path) -> None:
    path, new = tmp_path / "edges.h5", tmp_path / "new.h5"
    made(path, *KINDS[kind])
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
    made(path, *KINDS[kind])
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
    made(path, *KINDS["fixed"])
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
