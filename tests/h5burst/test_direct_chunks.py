"""Parallel filters for datasets that h5py holds open."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

import h5burst

DATA = np.random.default_rng(0).normal(0, 9, (210, 95)).round(1)
FILTERS: dict[str, dict[str, Any]] = {
    "gzip": {"compression": "gzip", "compression_opts": 6},
    "gzip, shuffle, fletcher32": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "lzf": {"compression": "lzf", "shuffle": True},
    "checksum": {"fletcher32": True},
    "chunks alone": {},
    "blosc": dict(hdf5plugin.Blosc()),
    "zstd": dict(hdf5plugin.Zstd()),
    "scaleoffset, by h5py": {"scaleoffset": 1},
    "bitshuffle, by h5py": dict(hdf5plugin.Bitshuffle()),
}
SELECTIONS = [
    np.s_[...],
    np.s_[()],
    np.s_[7],
    np.s_[-1, 3],
    np.s_[::17, 5:80],
    np.s_[[0, 200], 4],
    np.s_[3:3],
    np.s_[:, [1]],
]


@pytest.fixture(params=["path", "memory", "core", "1.8"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        opened = h5py.File(io.BytesIO(), "w")
    elif request.param == "core":
        opened = h5py.File(tmp_path / "core.h5", "w", driver="core", backing_store=False)
    else:
        opened = h5py.File(tmp_path / "a.h5", "w", libver="earliest" if request.param == "1.8" else "latest")
    with opened:
        yield opened


@pytest.mark.parametrize("filters", FILTERS)
def test_both_ways_as_h5py(filters: str, file: h5py.File) -> None:
    dataset = file.create_dataset("x", DATA.shape, DATA.dtype, chunks=(50, 30), **FILTERS[filters])
    h5burst.compress_into(dataset, DATA)
    np.testing.assert_array_equal(dataset[...], DATA)
    dataset[3] = np.arange(95)  # in libhdf5's cache now, not in the file
    for selection in SELECTIONS:
        found, expected = h5burst.decompress_from(dataset, selection), dataset[selection]
        assert type(found) is type(expected), selection
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "data",
    [
        np.arange(40, dtype=">i2"),
        np.arange(40) % 3 == 0,
        np.arange(40) * 1j,
        np.array([(k, k / 2) for k in range(40)], dtype=[("a", "i2"), ("b", "f8")]),
        np.array([b"%d" % k for k in range(40)]),
        np.array([f"{k}µ" for k in range(40)], dtype=object),
        np.zeros((0, 4)),
        np.arange(40, dtype="f2"),
    ],
    ids=lambda data: str(data.dtype),
)
def test_other_elements(data: np.ndarray[Any, Any], file: h5py.File) -> None:
    dtype = h5py.string_dtype() if data.dtype.kind == "O" else data.dtype
    chunks = (7, *data.shape[1:])
    dataset = file.create_dataset(
        "x", data.shape, dtype, chunks=chunks, maxshape=(None, *data.shape[1:]), compression="gzip", shuffle=True
    )
    h5burst.compress_into(dataset, data)
    expected = dataset[...]
    np.testing.assert_array_equal(expected if data.dtype.kind != "O" else dataset.asstr()[...], data)
    np.testing.assert_array_equal(h5burst.decompress_from(dataset), expected)
    np.testing.assert_array_equal(h5burst.decompress_from(dataset, np.s_[1:3]), expected[1:3])


def test_what_is_not_in_chunks_is_h5pys(file: h5py.File) -> None:
    h5burst.compress_into(file.create_dataset("contiguous", (5,), "i4"), np.arange(5))
    h5burst.compress_into(file.create_dataset("scalar", (), "i4"), np.array(7))
    assert h5burst.decompress_from(file["contiguous"], np.s_[1:]).tolist() == [1, 2, 3, 4]
    assert h5burst.decompress_from(file["scalar"], ()) == 7


def test_chunks_that_were_never_written_hold_the_fill_value(file: h5py.File) -> None:
    dataset = file.create_dataset("x", (100, 10), "i4", chunks=(10, 10), fillvalue=-5, compression="gzip")
    dataset[25] = 1
    np.testing.assert_array_equal(h5burst.decompress_from(dataset), dataset[...])
    np.testing.assert_array_equal(h5burst.decompress_from(dataset, np.s_[::9, 3]), dataset[::9, 3])


class Rows:
    """A source of three members, which notes what is asked of it."""

    shape, dtype = (100, 20), np.dtype(np.float32)

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        self.asked.append((start, stop))
        return np.repeat(np.arange(start, stop, dtype=np.float32), 20).reshape(-1, 20)


@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"scaleoffset": 2}], ids=str)
def test_sources_are_read_in_order_and_once(options: dict[str, Any], file: h5py.File) -> None:
    source = Rows()
    dataset = file.create_dataset("x", source.shape, source.dtype, chunks=(30, 20), **options)
    h5burst.compress_into(dataset, source)
    assert [start for start, _ in source.asked] + [100] == [0] + [stop for _, stop in source.asked]
    np.testing.assert_array_equal(dataset[:, 7], np.arange(100))


def test_a_lazy_array_goes_into_an_open_file(file: h5py.File, tmp_path: Path) -> None:
    h5burst.save(tmp_path / "from.h5", {"x": DATA}, compression="gzip")
    dataset = file.create_dataset("x", DATA.shape, DATA.dtype, chunks=True, compression="gzip")
    with h5burst.open(tmp_path / "from.h5") as lazily:
        h5burst.compress_into(dataset, lazily["x"])
    np.testing.assert_array_equal(dataset[...], DATA)


def test_dtypes_are_cast_as_same_kind_or_refused(file: h5py.File) -> None:
    dataset = file.create_dataset("x", DATA.shape, "f4", chunks=(50, 30), compression="gzip")
    h5burst.compress_into(dataset, DATA)
    np.testing.assert_array_equal(dataset[...], DATA.astype("f4"))
    whole = file.create_dataset("n", (4,), "i4", chunks=(4,), compression="gzip")
    with pytest.raises(TypeError, match="float64 cannot be cast to the int32 of the dataset /n"):
        h5burst.compress_into(whole, np.arange(4.5)[:4])


def test_wrong_arguments(file: h5py.File, tmp_path: Path) -> None:
    dataset = file.create_dataset("x", (4,), "i4", chunks=(4,), compression="gzip")
    with pytest.raises(ValueError, match=r"shape \(5,\) for the dataset /x of \(4,\)"):
        h5burst.compress_into(dataset, np.arange(5))
    with pytest.raises(TypeError, match="a dataset of an open h5py file is needed, not Group"):
        h5burst.decompress_from(file["/"])
    with pytest.raises(IndexError, match="out of bounds"):
        h5burst.decompress_from(dataset, 9)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        closed = other.create_dataset("x", (4,), "i4", chunks=(4,), compression="gzip")
    with pytest.raises(ValueError, match="closed"):
        h5burst.decompress_from(closed)
    with pytest.raises(ValueError, match="closed"):
        h5burst.compress_into(closed, np.arange(4))


def test_a_file_that_is_open_for_reading_stays_as_it_is(tmp_path: Path) -> None:
    """libhdf5 took the chunks, and failed when the file was closed."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.arange(100), chunks=(10,), compression="gzip")
    before = (tmp_path / "a.h5").read_bytes()
    with h5py.File(tmp_path / "a.h5") as file:
        made = file["x"]
        with pytest.raises(OSError, match="/x cannot be written: its file is open for reading"):
            h5burst.compress_into(made, np.zeros(100, int))
    assert (tmp_path / "a.h5").read_bytes() == before


def test_a_masked_array_is_refused(file: h5py.File) -> None:
    """What was under the mask was written."""
    made = file.create_dataset("x", (3,), "i4", chunks=(3,), compression="gzip")
    with pytest.raises(TypeError, match="a masked array cannot be kept: fill it first"):
        h5burst.compress_into(made, np.ma.masked_array([1, 2, 3], [0, 1, 0], dtype="i4"))


def test_a_damaged_chunk_is_an_error(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("x", data=DATA, chunks=(50, 30), compression="gzip", fletcher32=True)
        place = dataset.id.get_chunk_info(1)
    content = bytearray((tmp_path / "a.h5").read_bytes())
    content[place.byte_offset + 20] ^= 255
    (tmp_path / "a.h5").write_bytes(content)
    with h5py.File(tmp_path / "a.h5") as file:
        with pytest.raises(OSError, match="damaged"):
            h5burst.decompress_from(file["x"])
        np.testing.assert_array_equal(h5burst.decompress_from(file["x"], np.s_[100:]), DATA[100:])


def test_callers_that_hold_h5pys_lock_do_not_hang(file: h5py.File) -> None:
    """`visititems` calls its function with the lock that every h5py call takes."""
    for number in range(3):
        dataset = file.create_dataset(f"x{number}", DATA.shape, "f8", chunks=(20, 20), compression="gzip")
        h5burst.compress_into(dataset, DATA, threads=4)
    found: list[Any] = []
    file.visititems(lambda _, item: found.append(h5burst.decompress_from(item, threads=4)))
    assert all(np.array_equal(array, DATA) for array in found)
    assert len(found) == 3


def test_threads_may_read_one_dataset(file: h5py.File) -> None:
    dataset = file.create_dataset("x", DATA.shape, "f8", chunks=(20, 20), compression="gzip", shuffle=True)
    h5burst.compress_into(dataset, DATA)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda row: h5burst.decompress_from(dataset, row), range(210)))
    np.testing.assert_array_equal(np.stack(parts), DATA)
