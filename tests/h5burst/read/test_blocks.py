"""Blocks of rows from HDF5 datasets, and reading ahead."""

from __future__ import annotations

import os
import threading

import h5py
import numpy as np
import pytest

import h5burst
from h5burst.model.source import BufferedSource
from h5burst.read.blocks import read_ahead
from support.decodings import counting_decoded

DATA = np.random.default_rng(0).integers(-999, 999, (101, 7, 5)).astype(np.int16)

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


def rows_of(path, name="group/data", step=7, **part):
    with h5burst.open(path) as file:
        return [(first, block.copy()) for first, block in read_ahead(file[name], step, **part)]


@pytest.mark.parametrize("options", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_layout_reads_as_h5py_does(dataset, options):
    path = dataset(**options)
    with h5py.File(path) as file:
        expected = file["group/data"][()]
    for step in (1, 7, 10, 16, 50, 101, 500):
        for start, stop in ((0, None), (3, 40), (90, 95)):
            blocks = rows_of(path, step=step, start=start, stop=stop)
            assert [first for first, _ in blocks] == list(range(start, stop or 101, step))
            np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), expected[start:stop])
            assert blocks[0][1].dtype == expected.dtype


@pytest.mark.parametrize("start", [0, 40])
def test_chunks_are_decoded_once(dataset, start):
    path = dataset(chunks=(30, 7, 5), compression="gzip")
    with counting_decoded() as decoded:
        blocks = rows_of(path, start=start)
    assert len(decoded) == 4 - start // 30
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), DATA[start:])


def test_unwritten_data_have_the_fill_value(tmp_path):
    path = tmp_path / "sparse.h5"
    with h5py.File(path, "w") as file:
        chunked = file.create_dataset("chunked", (40, 4), "i2", chunks=(10, 2), fillvalue=-7)
        chunked[15:17] = 3
        file.create_dataset("contiguous", (40, 4), "i2", fillvalue=-7)
        expected = {name: file[name][()] for name in file}
    for name, whole in expected.items():
        np.testing.assert_array_equal(np.concatenate([block for _, block in rows_of(path, name)]), whole)


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
        blocks = rows_of(tmp_path / path, name, start=5, stop=60)
        np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), DATA[5:60])


def test_a_truncated_file_raises_oserror(dataset):
    path = dataset()
    with h5burst.open(path) as file:
        blocks = read_ahead(file["group/data"], 101)
        os.truncate(path, os.path.getsize(path) - 1000)
        with pytest.raises(OSError):
            next(blocks)


def test_a_damaged_chunk_raises_oserror_at_its_block(dataset):
    path = dataset(chunks=(50, 7, 5), compression="gzip", fletcher32=True)
    with h5py.File(path) as file:
        place = file["group/data"].id.get_chunk_info(1)
    with open(path, "r+b") as stream:
        stream.seek(place.byte_offset + place.size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 255]))
    with h5burst.open(path) as file:
        blocks = read_ahead(file["group/data"], 20)
        np.testing.assert_array_equal(next(blocks)[1], DATA[:20])
        np.testing.assert_array_equal(next(blocks)[1], DATA[20:40])
        with pytest.raises(OSError, match="group/data"):
            next(blocks)


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
