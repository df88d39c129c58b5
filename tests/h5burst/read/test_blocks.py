"""Blocks of rows from HDF5 datasets, and reading ahead."""

from __future__ import annotations

import os
import threading

import h5py
import numpy as np
import pytest

from h5burst.model.source import ArraySource, BufferedSource
from h5burst.read.blocks import DatasetBlocks, read_ahead
from support.decodings import counting_decoded

DATA = np.random.default_rng(0).integers(-999, 999, (101, 7, 5)).astype(np.int16)
positional = pytest.mark.skipif(not hasattr(os, "preadv"), reason="the system does not read by position")

LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (10, 3, 5)},
    "gzip": {"chunks": (16, 7, 5), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "one chunk": {"chunks": (101, 7, 5), "compression": "gzip"},
    "wider than long": {"chunks": (1, 2, 2)},
    "lzf": {"chunks": (16, 7, 5), "compression": "lzf"},
    "big endian": {"dtype": ">i2"},
    "floats": {"dtype": "f4", "chunks": (9, 7, 5), "compression": "gzip"},
}


@pytest.fixture
def dataset(tmp_path):
    def make(**options):
        path = tmp_path / "data.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("group/data", data=DATA, **options)
        return path

    return make


@pytest.mark.parametrize("options", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_layout_reads_as_h5py_does(dataset, options):
    path = dataset(**options)
    with h5py.File(path) as file:
        expected = file["group/data"][()]
    with DatasetBlocks(path, "group/data") as source:
        assert isinstance(source, ArraySource)
        assert source.shape == expected.shape
        assert source.dtype == expected.dtype
        for step in (1, 7, 10, 16, 50, 101, 500):
            blocks = [source.read(start, min(start + step, 101)) for start in range(0, 101, step)]
            np.testing.assert_array_equal(np.concatenate(blocks), expected)
        np.testing.assert_array_equal(source.read(90, 95), expected[90:95])
        np.testing.assert_array_equal(source.read(3, 40), expected[3:40])
        assert source.read(4, 4).shape == (0, 7, 5)


@positional
@pytest.mark.parametrize(
    ("options", "layout"),
    [
        (LAYOUTS["contiguous"], "contiguous"),
        (LAYOUTS["gzip"], "chunked"),
        (LAYOUTS["chunked"], "chunked"),
        (LAYOUTS["lzf"], "chunked"),
        (LAYOUTS["big endian"], "contiguous"),
    ],
)
def test_plain_data_are_read_past_the_library(dataset, options, layout):
    with DatasetBlocks(dataset(**options), "group/data") as source:
        assert source.layout == layout


def test_chunks_are_decoded_once_in_ascending_order(dataset):
    with (
        DatasetBlocks(dataset(chunks=(30, 7, 5), compression="gzip"), "group/data") as source,
        counting_decoded() as decoded,
    ):
        for start in range(0, 101, 7):
            source.read(start, min(start + 7, 101))
    assert len(decoded) == 4


def test_unwritten_data_have_the_fill_value(tmp_path):
    path = tmp_path / "sparse.h5"
    with h5py.File(path, "w") as file:
        chunked = file.create_dataset("chunked", (40, 4), "i2", chunks=(10, 2), fillvalue=-7)
        chunked[15:17] = 3
        file.create_dataset("contiguous", (40, 4), "i2", fillvalue=-7)
    for name in ("chunked", "contiguous"):
        with h5py.File(path) as file, DatasetBlocks(path, name) as source:
            np.testing.assert_array_equal(source.read(0, 40), file[name][()])


def test_user_blocks_virtual_and_external_data(tmp_path):
    with h5py.File(tmp_path / "user.h5", "w", userblock_size=512) as file:
        file["data"] = DATA
    layout = h5py.VirtualLayout(DATA.shape, "i2")
    layout[...] = h5py.VirtualSource(tmp_path / "user.h5", "data", DATA.shape)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("external", data=DATA, external=[(str(tmp_path / "raw.bin"), 0, DATA.nbytes)])
        file["link"] = h5py.ExternalLink("user.h5", "data")
    for path, name in [("user.h5", "data"), ("other.h5", "virtual"), ("other.h5", "external"), ("other.h5", "link")]:
        with DatasetBlocks(tmp_path / path, name) as source:
            np.testing.assert_array_equal(source.read(5, 60), DATA[5:60])


@positional
def test_external_link_to_plain_data_is_read_from_its_own_file(tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["data"] = DATA
    with h5py.File(tmp_path / "linking.h5", "w") as file:
        file["link"] = h5py.ExternalLink("raw.h5", "data")
    with DatasetBlocks(tmp_path / "linking.h5", "link") as source:
        assert source.layout == "contiguous"
        np.testing.assert_array_equal(source.read(0, 101), DATA)


def test_truncated_file_raises_oserror(dataset):
    path = dataset()
    with DatasetBlocks(path, "group/data") as source:
        os.truncate(path, os.path.getsize(path) - 1000)
        with pytest.raises(OSError):
            source.read(0, 101)


def test_damaged_chunk_raises_oserror(dataset):
    path = dataset(chunks=(50, 7, 5), compression="gzip", fletcher32=True)
    with h5py.File(path) as file:
        place = file["group/data"].id.get_chunk_info(1)
    with open(path, "r+b") as stream:
        stream.seek(place.byte_offset + place.size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 255]))
    with DatasetBlocks(path, "group/data") as source:
        np.testing.assert_array_equal(source.read(0, 50), DATA[:50])
        for start, stop in ((50, 101), (60, 70), (60, 70)):  # a part of a band is kept only when it was read whole
            with pytest.raises(OSError, match="group/data"):
                source.read(start, stop)


def test_what_is_not_a_dataset_of_rows_is_refused(tmp_path, dataset):
    path = dataset()
    with h5py.File(path, "a") as file:
        file["scalar"] = 3
        file["null"] = h5py.Empty("f4")
    with pytest.raises(KeyError):
        DatasetBlocks(path, "missing")
    with pytest.raises(KeyError, match="not a dataset"):
        DatasetBlocks(path, "group")
    for name in ("scalar", "null"):
        with pytest.raises(ValueError, match="has no rows"):
            DatasetBlocks(path, name)
    with pytest.raises(FileNotFoundError):
        DatasetBlocks(tmp_path / "missing.h5", "data")
    with h5py.File(path, "a"):
        pass  # nothing holds the file open


def test_bad_buffers_and_rows_are_refused(dataset):
    with DatasetBlocks(dataset(), "group/data") as source:
        for out in (np.empty((2, 7, 5), np.int32), np.empty((2, 5, 7), np.int16), np.empty((4, 7, 5), np.int16)[::2]):
            with pytest.raises(ValueError, match="out must be"):
                source.read_into(0, out)
        with pytest.raises(ValueError, match="rows 100 to 102"):
            source.read(100, 102)
        with pytest.raises(ValueError, match="rows -1 to"):
            source.read(-1, 2)


class Counting:
    """A source that fills buffers and notes which thread read what."""

    shape, dtype = (10, 2), np.dtype(np.int16)

    def __init__(self):
        self.reads = []

    def read(self, start, stop):
        out = np.empty((stop - start, 2), np.int16)
        self.read_into(start, out)
        return out

    def read_into(self, start, out):
        self.reads.append((start, len(out), threading.current_thread() is threading.main_thread()))
        out[...] = np.arange(start, start + len(out))[:, None]


def test_reading_is_one_block_ahead_in_another_thread():
    source = Counting()
    assert isinstance(source, BufferedSource)
    seen, buffers = [], set()
    for first, block in read_ahead(source, 4):
        seen.append((first, block[:, 0].tolist()))
        buffers.add(block.__array_interface__["data"][0])
        assert len(source.reads) <= len(seen) + 1
    assert seen == [(0, [0, 1, 2, 3]), (4, [4, 5, 6, 7]), (8, [8, 9])]
    assert source.reads == [(0, 4, False), (4, 4, False), (8, 2, False)]
    assert len(buffers) == 2


def test_read_ahead_of_a_part_and_of_nothing():
    assert [(first, len(block)) for first, block in read_ahead(Counting(), 3, start=2, stop=7)] == [(2, 3), (5, 2)]
    assert list(read_ahead(Counting(), 3, start=4, stop=4)) == []
    for arguments in ({"step": 0}, {"step": 1, "stop": 11}, {"step": 1, "start": 5, "stop": 4}):
        with pytest.raises(ValueError, match="rows"):
            list(read_ahead(Counting(), **arguments))


def test_error_of_the_source_comes_at_its_block():
    class Failing(Counting):
        def read_into(self, start, out):
            if start == 4:
                raise OSError("disk gone")
            super().read_into(start, out)

    blocks = read_ahead(Failing(), 4)
    assert next(blocks)[0] == 0
    with pytest.raises(OSError, match="disk gone"):
        next(blocks)


def test_abandoned_reader_leaves_no_thread():
    before = threading.active_count()
    blocks = read_ahead(Counting(), 2)
    next(blocks)
    blocks.close()
    assert threading.active_count() == before
