"""Every filter, and every order of filters, that h5py and hdf5plugin write is read."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t, h5z

from h5burst import read_tree
from h5burst.checking import verify
from support.foreign_files import refused

SHUFFLE, DEFLATE, FLETCHER32, LZF, NBIT, SCALE_OFFSET = 2, 1, 3, 32000, 5, 6
STEPS = {SHUFFLE: (), DEFLATE: (4,), FLETCHER32: (), LZF: ()}


def filtered(file: h5py.File, name: str, data: np.ndarray, chunks: tuple[int, ...], filters: tuple[int, ...]) -> None:
    """A dataset whose chunks go through `filters` in their order. Only the lower level lets one choose that."""
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk(chunks)
    for number in filters:
        creation.set_filter(number, 0 if number == FLETCHER32 else h5z.FLAG_OPTIONAL, STEPS[number])
    space = h5s.create_simple(data.shape)
    made = h5d.create(file.id, name.encode(), h5t.py_create(data.dtype, logical=True), space, creation)
    made.write(h5s.ALL, h5s.ALL, data)


def kinds_of_data(rng: np.random.Generator) -> list[np.ndarray]:
    return [
        rng.integers(0, 9, (37, 11)).astype("<i4"),
        rng.normal(size=(37, 11)),  # hardly compressible: filters are left out of chunks
        np.zeros((37, 11), ">u2"),
        rng.integers(0, 255, (37, 11)).astype("u1").view("S1"),
    ]


@pytest.mark.parametrize("libver", ["earliest", "v110"])
def test_orders_of_filters(libver: str, tmp_path: Path) -> None:
    path, rng = tmp_path / "a.h5", np.random.default_rng(1)
    orders = [order for count in range(5) for order in itertools.permutations(STEPS, count)]
    orders += [
        (DEFLATE, DEFLATE), (DEFLATE, SHUFFLE, DEFLATE), (SHUFFLE, SHUFFLE), (FLETCHER32, FLETCHER32),
        (SHUFFLE, DEFLATE, DEFLATE, FLETCHER32), (FLETCHER32, SHUFFLE, DEFLATE, SHUFFLE, DEFLATE, FLETCHER32),
        (LZF, DEFLATE), (DEFLATE, LZF), (LZF, LZF),
    ]  # fmt: skip
    with h5py.File(path, "w", libver=(libver, "v110")) as file:
        for number, order in enumerate(orders):
            for kind, data in enumerate(kinds_of_data(rng)):
                for chunks in [(37, 11), (10, 4)]:
                    filtered(file, f"{number} {order} {kind} {chunks}", data, chunks, order)

    assert refused(path) == {}


PLUGINS: dict[str, Any] = {
    "bitshuffle": hdf5plugin.Bitshuffle(),
    "bitshuffle zstd": hdf5plugin.Bitshuffle(cname="zstd"),
    "bitshuffle none": hdf5plugin.Bitshuffle(cname="none"),
    "blosc": hdf5plugin.Blosc(),
    "blosc zlib": hdf5plugin.Blosc(cname="zlib", shuffle=hdf5plugin.Blosc.BITSHUFFLE),
    "blosc2": hdf5plugin.Blosc2(),
    "bzip2": hdf5plugin.BZip2(),
    "lz4": hdf5plugin.LZ4(),
    "zstd": hdf5plugin.Zstd(),
}
LOSSY: dict[str, Any] = {
    "zfp": hdf5plugin.Zfp(reversible=True),
    "sz3": hdf5plugin.SZ3(absolute=0.01),
    "sz": hdf5plugin.SZ(absolute=0.01),
    "sperr": hdf5plugin.Sperr(rate=16),
}


def test_filters_of_hdf5plugin(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.h5", np.random.default_rng(2)
    with h5py.File(path, "w") as file:
        for name, options in PLUGINS.items():
            for kind, data in enumerate(kinds_of_data(rng)[:3]):
                file.create_dataset(f"{name} {kind}", data=data, chunks=(10, 11), **options)
                file.create_dataset(f"{name} {kind} f", data=data, chunks=(10, 11), fletcher32=True, **options)
        for name, options in LOSSY.items():
            file.create_dataset(name, data=rng.normal(size=(64, 64)).cumsum(0), chunks=(32, 32), **options)
        for count, shape in enumerate([(32, 32), (16, 16, 3), (500,)]):
            pictures = rng.integers(0, 99, shape).astype("i2" if count else "u1")
            file.create_dataset(f"htj2k {count}", data=pictures, compression=hdf5plugin.Htj2k())
        file.create_dataset("fcidecomp", data=rng.integers(0, 99, (32, 32)).astype("u2"), **hdf5plugin.FciDecomp())
        file.create_dataset("scale-offset", data=np.arange(900).reshape(30, 30), chunks=(10, 30), scaleoffset=0)

        used = {
            plist.get_filter(index)[0]
            for plist in (dataset.id.get_create_plist() for dataset in file.values())
            for index in range(plist.get_nfilters())
        }
    brought = {
        made.filter_id for made in vars(hdf5plugin).values() if isinstance(getattr(made, "filter_id", None), int)
    }
    assert brought <= used  # a filter that a later hdf5plugin brings wants a dataset here

    assert refused(path) == {}
    assert verify(path) == []


def test_an_unknown_filter_costs_its_array_alone(tmp_path: Path) -> None:
    """A pipeline message that names a filter which nobody has; made by renaming bzip2's number in the file."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("other", data=np.arange(100.0), chunks=(10,), compression="gzip")
        file.create_dataset("unknown", data=np.arange(100.0), chunks=(10,), **hdf5plugin.BZip2())
        file["plain"] = np.arange(5)
    content = path.read_bytes()
    number = hdf5plugin.BZip2.filter_id.to_bytes(2, "little")
    places = [at for at in range(len(content)) if content[at : at + 2] == number and b"bzip2" in content[at : at + 24]]
    assert len(places) == 1
    path.write_bytes(content[: places[0]] + (65000).to_bytes(2, "little") + content[places[0] + 2 :])

    lazy = read_tree(path, lazy=True)
    np.testing.assert_array_equal(lazy["other"].data, np.arange(100.0))
    np.testing.assert_array_equal(lazy["plain"].data, np.arange(5))
    with pytest.raises(OSError, match=r"unknown: .*filter 65000 .bzip2.* is not installed"):
        lazy["unknown"].data[:]
    with pytest.raises(OSError, match=r"unknown: .*filter 65000 .bzip2.* is not installed"):
        read_tree(path)
    assert [problem.path for problem in verify(path)] == ["/unknown"]
