"""Codecs of other packages: two plugins beside each other, and entry points that do not load."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array, Group, Storage, codecs
from h5burst.codecs import registry
from h5burst.codecs.plugin import PluginCodec
from h5burst.read.lazy import LazyArray
from h5burst.runtime.buffers import Bytes

hdf5plugin = pytest.importorskip("hdf5plugin")
NUMBERS = np.repeat(np.arange(30_000), 3)


class Lz4(PluginCodec):
    """LZ4 as HDF5's filter stores it. Its levels are its own: a block of 2**(10 + level) bytes."""

    name, filter_name = "lz4-blocks", "HDF5 lz4 filter; see http://www.hdfgroup.org"
    filter_id = 32004
    library = "libh5lz4.so"
    levels = range(1, 13)
    default_level = 12

    def client_values(self, level: int, itemsize: int, chunk_bytes: int) -> tuple[int, ...]:
        return (1 << 10 + level,)

    def claimed_size(self, data: Bytes) -> int:
        return int.from_bytes(data[:8].tobytes(), "big") if data.size >= 12 else -1


@pytest.fixture(autouse=True)
def a_second_plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The registry as it is, and with the codec; afterwards as it was."""
    monkeypatch.setattr(registry, "_by_name", dict(registry._by_name))
    monkeypatch.setattr(registry, "_by_id", dict(registry._by_id))
    codecs.register(Lz4())
    return


def filter_numbers(path: Path, name: str) -> list[int]:
    with h5py.File(path) as file:
        creation = file[name].id.get_create_plist()
        return [creation.get_filter(k)[0] for k in range(creation.get_nfilters())]


def test_each_of_two_plugins_writes_and_reads_what_is_its_own(tmp_path: Path) -> None:
    assert {"zstd", "lz4-blocks"} <= set(codecs.names())
    path = tmp_path / "a.h5"
    tree = {name: Array(NUMBERS, {}, Storage(name)) for name in ("zstd", "lz4-blocks")}
    h5burst.write_tree(path, Group(dict(tree)))
    assert filter_numbers(path, "zstd") == [2, 32015, 3]
    assert filter_numbers(path, "lz4-blocks") == [2, 32004, 3]
    lazily = h5burst.read_tree(path, lazy=True).children
    for name in tree:
        with h5py.File(path) as file:
            assert np.array_equal(file[name], NUMBERS)
            assert file[name].id.get_storage_size() < NUMBERS.nbytes / 4
        array = lazily[name].data  # type: ignore[union-attr]
        assert isinstance(array, LazyArray)
        assert (array.compression, array.filters) == (name, ("shuffle", name, "fletcher32"))
        assert np.array_equal(array[100:200], NUMBERS[100:200])
        assert np.array_equal(h5burst.load(path)[name], NUMBERS)
    assert not list(h5burst.verify(path))
    h5burst.repack(path, tmp_path / "b.h5", compression="lz4-blocks", compression_opts=12)
    assert filter_numbers(tmp_path / "b.h5", "zstd")[1] == 32004


@pytest.mark.parametrize(
    ("codec", "good", "bad", "message"),
    [
        ("lz4-blocks", 12, 0, "level of lz4-blocks must be .*1 to 12, got 0"),
        ("lz4-blocks", 1, 13, "level of lz4-blocks must be .*1 to 12, got 13"),
        ("zstd", 0, 12, "level of zstd must be .*0 to 9, got 12"),
    ],
)
def test_an_option_is_judged_by_the_rules_of_its_codec(
    codec: str, good: int, bad: int, message: str, tmp_path: Path
) -> None:
    h5burst.save(tmp_path / "good.h5", {"a": NUMBERS}, compression=codec, compression_opts=good)
    with pytest.raises(ValueError, match=message):
        h5burst.save(tmp_path / "bad.h5", {"a": NUMBERS}, compression=codec, compression_opts=bad)
    with pytest.raises(ValueError, match=message):
        h5burst.repack(tmp_path / "good.h5", tmp_path / "bad.h5", compression=codec, compression_opts=bad)
    with pytest.raises(ValueError, match=message):
        h5burst.write_tree(tmp_path / "bad.h5", Group({"small": Array(np.arange(3), {}, Storage(codec, bad))}))
    assert not (tmp_path / "bad.h5").exists()


def test_damage_is_told_of_the_codec_whose_data_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    for name in ("zstd", "lz4-blocks"):
        storage = Storage(name, chunks=NUMBERS.shape)
        h5burst.write_tree(path, Group({"x": Array(NUMBERS, {}, storage)}), overwrite=True)
        with h5py.File(path, "r+") as file:  # a chunk without the checksum, of the other codec
            mask, packed = file["x"].id.read_direct_chunk((0,))
            file["x"].id.write_direct_chunk((0,), b"\xff" * (len(packed) - 4), mask | 4)
        stored = {"zstd": "zstd", "lz4-blocks": "HDF5 lz4 filter"}[name]
        with pytest.raises(h5burst.CorruptFileError, match=rf"/x: .*{stored}.* does not decompress"):
            h5burst.read_tree(path)


def test_a_name_or_number_that_is_taken_is_refused_with_the_name_of_the_holder() -> None:
    class Other(Lz4):
        name = "other"

    with pytest.raises(ValueError, match=r"a codec 'other' \(filter 32004\) is registered: Lz4"):
        codecs.register(Other())
    assert "other" not in codecs.names()
    codecs.register(Lz4())  # the same class again


def test_an_entry_point_that_does_not_load_is_a_warning_and_the_rest_works(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name, value = "broken", "no_such_package:Codec"

        def load(self) -> Any:
            raise ModuleNotFoundError("No module named 'no_such_package'")

    class Taken(Point):
        name, value = "taken", "somewhere:Zstd"

        def load(self) -> Any:
            return type("Zstd", (Lz4,), {"name": "zstd", "filter_id": 32015})

    class Exits(Point):
        name, value = "exits", "a_script:Codec"

        def load(self) -> Any:
            sys.exit(3)

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point(), Taken(), Exits()])
    registry._load_entry_points.cache_clear()
    with pytest.warns(RuntimeWarning) as told:
        assert codecs.by_id(9999) is None
    assert codecs.by_name("zstd").library == "libh5zstd.so"  # type: ignore[attr-defined]
    assert [str(warning.message) for warning in told] == [
        "the codec of the entry point broken = no_such_package:Codec cannot be loaded: "
        "ModuleNotFoundError: No module named 'no_such_package'",
        "the codec of the entry point taken = somewhere:Zstd cannot be loaded: "
        "ValueError: a codec 'zstd' (filter 32015) is registered: Zstd",
        "the codec of the entry point exits = a_script:Codec cannot be loaded: SystemExit: 3",
    ]


@pytest.fixture(autouse=True)
def entry_points_anew() -> Iterator[None]:
    yield
    registry._load_entry_points.cache_clear()
