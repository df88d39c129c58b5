"""Parts of datasets of many chunks: the bytes that are asked for, or whole chunks that are undone without Python."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
import pytest

from h5burst.model.errors import CorruptFileError
from h5burst.read import lazy, many_chunks
from h5burst.read.lazy import LazyArray
from support.decodings import counting_decoded

FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "gzip": {"compression": "gzip"},
    "shuffle gzip fletcher32": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "lzf": {"compression": "lzf"},
}
KEYS = [
    np.s_[:],
    np.s_[3:1900],
    np.s_[1::37],
    np.sort(np.random.default_rng(1).choice(2000, 60, replace=False)),
    np.r_[5:9, 30:31, 64:200, 1990:2000],
    np.array([0, 1999]),
    np.random.default_rng(2).integers(-2000, 2000, 50),
]


def stored(path: Path, values: Any, chunks: tuple[int, ...], **options: Any) -> LazyArray:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, chunks=chunks, **options)
    return lazy.open_tree(os.fspath(path)).children["x"].data  # type: ignore[return-value]


def rows_of(key: Any) -> np.ndarray[Any, Any]:
    return np.unique(np.arange(2000)[key])


@pytest.mark.parametrize("base", [0, 512])
@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize(
    ("shape", "chunks"), [((2000,), (32,)), ((2000, 6), (32, 6)), ((2000, 6), (32, 4)), ((2000, 3, 5), (64, 1, 5))]
)
def test_parts_are_those_of_the_array(
    tmp_path: Path, shape: tuple[int, ...], chunks: tuple[int, ...], filters: str, base: int
) -> None:
    values = np.random.default_rng(0).integers(0, 9, shape).astype("<i4")
    options = {**FILTERS[filters]}
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=base) as file:
        file.create_dataset("x", shape, values.dtype, chunks=chunks, **options)
        for first in reversed(range(0, len(values), chunks[0])):  # the order of the file is another
            file["x"][first : first + chunks[0]] = values[first : first + chunks[0]]
    array = lazy.open_tree(os.fspath(tmp_path / "a.h5")).children["x"].data
    for key in KEYS:
        np.testing.assert_array_equal(array[key], values[key])
        if len(shape) > 1:
            np.testing.assert_array_equal(array[key, 1:3], values[key, 1:3])
            np.testing.assert_array_equal(array[rows_of(key)[:, None], [0, 2]], values[rows_of(key)][:, [0, 2]])
        rows = rows_of(key)
        out = np.empty((len(rows), *shape[1:]), values.dtype)
        array.read_into(rows, out)
        np.testing.assert_array_equal(out, values[rows])


def test_chunks_that_are_asked_for_are_undone_each_once_without_python(tmp_path: Path) -> None:
    values = np.arange(4000)
    array = stored(tmp_path / "a.h5", values, (40,), compression="gzip", maxshape=(None,))
    array.attrs  # noqa: B018  the header is read
    with counting_decoded() as decoded, mock.patch.object(many_chunks, "_BATCH_BYTES", 10 * 320):
        np.testing.assert_array_equal(array[np.arange(7, 4000, 160)], values[7::160])
        assert len(decoded) == 25
    with mock.patch("h5burst.codecs.pipeline.decode_pair", side_effect=AssertionError("by Python")):
        np.testing.assert_array_equal(array[:], values)


def test_chunks_of_small_requests_are_kept_for_the_next_one(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 9, (4000, 3))
    array = stored(tmp_path / "a.h5", values, (40, 3), compression="gzip")
    with counting_decoded() as decoded:
        for rows in (np.arange(0, 4000, 80), np.arange(3, 4000, 80), np.arange(0, 4000, 9)):
            np.testing.assert_array_equal(array[rows], values[rows])
        assert len(decoded) == 100  # 50 of the first, no more of the second, the others of the third
    with mock.patch.object(many_chunks, "_KEPT_BYTES", 0), counting_decoded() as decoded:
        np.testing.assert_array_equal(array[np.arange(0, 4000, 80)], values[::80])
        assert len(decoded) == 50


def test_a_filter_that_a_chunk_did_not_go_through(tmp_path: Path) -> None:
    values = np.arange(640, dtype="<i4")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("x", (640,), "<i4", chunks=(32,), compression="gzip")
        data[:] = values
        data.id.write_direct_chunk((64,), values[64:96].tobytes(), filter_mask=1)
    array = lazy.open_tree(os.fspath(tmp_path / "a.h5")).children["x"].data
    np.testing.assert_array_equal(array[:], values)
    np.testing.assert_array_equal(array[::9], values[::9])


@pytest.mark.parametrize("key", [np.s_[:], np.arange(0, 3200, 50)])
def test_a_damaged_chunk_is_an_error_and_not_wrong_numbers(tmp_path: Path, key: Any) -> None:
    values = np.arange(3200)
    stored(tmp_path / "a.h5", values, (32,), compression="gzip", fletcher32=True)
    with h5py.File(tmp_path / "a.h5") as file:
        place = file["x"].id.get_chunk_info(50).byte_offset + 20
    with open(tmp_path / "a.h5", "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 16]))
    array = lazy.open_tree(os.fspath(tmp_path / "a.h5")).children["x"].data
    with pytest.raises(CorruptFileError, match="/x"):
        array[key]
    np.testing.assert_array_equal(array[:1600:50], values[:1600:50])  # its neighbours are whole


@pytest.mark.parametrize("filters", ["none", "gzip"])
def test_chunks_that_were_never_written_are_the_fill_value(tmp_path: Path, filters: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("x", (3200,), "i4", chunks=(32,), fillvalue=-7, **FILTERS[filters])
        data[320:640] = np.arange(320)
        expected = data[:]
    array = lazy.open_tree(os.fspath(tmp_path / "a.h5")).children["x"].data
    for key in (np.s_[:], np.s_[330:600], np.arange(0, 3200, 11), np.arange(320, 640, 3)):
        np.testing.assert_array_equal(array[key], expected[key])


@pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="the system counts no bytes that are read")
@pytest.mark.parametrize("chunks", [None, (50_000,)])
def test_of_what_is_stored_as_it_is_only_what_is_asked_for_is_read(tmp_path: Path, chunks: Any) -> None:
    values = np.arange(2_000_000)
    array = stored(tmp_path / "a.h5", values, chunks)
    array[:10]
    rows = np.concatenate([np.arange(at, at + 100) for at in range(0, 2_000_000, 20_000)])
    before = bytes_read()
    np.testing.assert_array_equal(array[rows], values[rows])
    part = array[1_000_000:1_000_100]
    used = bytes_read() - before
    np.testing.assert_array_equal(part, values[1_000_000:1_000_100])
    assert used < 2 * (rows.nbytes + part.nbytes)  # whole chunks would be all of the file


def bytes_read() -> int:
    with open("/proc/self/io") as file:
        return int(next(line for line in file if line.startswith("rchar")).split()[1])
