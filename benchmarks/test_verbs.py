"""The engine's verbs for plain arrays against h5py: dicts, open files, lazy slices, files far away."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from harness import ROUNDS, alone, versus

import h5burst

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.range_server import serving

DATASETS = 50_000
FEW = min(ROUNDS, 3)  # of the rows in which h5py takes seconds


@pytest.fixture(scope="module")
def results():
    """50 000 arrays of 4 to 80 numbers in 500 dicts, as a parameter sweep leaves behind."""
    rng = np.random.default_rng(0)
    return {
        f"run_{i:03}": {f"step_{k:02}": rng.normal(size=4 + (7 * k) % 77) for k in range(DATASETS // 500)}
        for i in range(500)
    }


def h5py_save(path, mapping):
    def fill(group, values):
        for name, value in values.items():
            if isinstance(value, dict):
                fill(group.create_group(name), value)
            else:
                group.create_dataset(name, data=value)

    with h5py.File(path, "w") as file:
        fill(file, mapping)


def h5py_load(path):
    def read(group):
        return {name: read(item) if isinstance(item, h5py.Group) else item[()] for name, item in group.items()}

    with h5py.File(path) as file:
        return read(file)


def same_dicts(found, expected):
    return found.keys() == expected.keys() and all(
        same_dicts(found[key], expected[key])
        if isinstance(expected[key], dict)
        else np.array_equal(found[key], expected[key])
        for key in expected
    )


def test_save_a_dict_of_50_000_arrays(benchmark, results, tmp_path):
    """Ours with fsync, as it always is."""
    versus(
        benchmark,
        lambda: h5burst.save(tmp_path / "ours.h5", results, overwrite=True),
        lambda: h5py_save(tmp_path / "other.h5", results),
        other_name="h5py create_dataset",
        same=lambda *_: same_dicts(h5py_load(tmp_path / "ours.h5"), results),
        rounds=FEW,
        datasets=DATASETS,
    )


def test_load_a_dict_of_50_000_arrays(benchmark, results, tmp_path):
    path = tmp_path / "results.h5"
    h5burst.save(path, results)
    versus(
        benchmark,
        lambda: h5burst.load(path),
        lambda: h5py_load(path),
        other_name="h5py items",
        same=same_dicts,
        rounds=FEW,
        datasets=DATASETS,
    )


# ---------------------------------------------------------------- datasets of an open h5py file

OPTIONS = {"chunks": (131_072,), "compression": "gzip", "compression_opts": 4, "shuffle": True}
KINDS = {
    "int16 samples": lambda: np.random.default_rng(0).normal(0, 20, 16_000_000).astype(np.int16),
    "float64, two decimals": lambda: np.random.default_rng(1).normal(0, 5, 4_000_000).round(2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_compress_into_an_open_file(benchmark, kind, tmp_path):
    data = KINDS[kind]()

    def write(path, into):
        with h5py.File(path, "w") as file:
            into(file.create_dataset("x", data.shape, data.dtype, **OPTIONS), data)

    def plain(dataset, data):
        dataset[...] = data

    versus(
        benchmark,
        lambda: write(tmp_path / "ours.h5", h5burst.compress_into),
        lambda: write(tmp_path / "other.h5", plain),
        other_name="h5py dataset[...] = x",
        same=lambda *_: np.array_equal(h5burst.load(tmp_path / "ours.h5")["x"], data),
        rounds=FEW,
        MB_of_data=data.nbytes / 1e6,
    )
    benchmark.extra_info["MB"] = (tmp_path / "ours.h5").stat().st_size / 1e6
    benchmark.extra_info["MB_other"] = (tmp_path / "other.h5").stat().st_size / 1e6


@pytest.mark.parametrize("kind", KINDS)
def test_decompress_from_an_open_file(benchmark, kind, tmp_path):
    data = KINDS[kind]()
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=data, **OPTIONS)
    with h5py.File(tmp_path / "x.h5") as file:
        versus(
            benchmark,
            lambda: h5burst.decompress_from(file["x"]),
            lambda: file["x"][...],
            other_name="h5py dataset[...]",
            same=np.array_equal,
            rounds=FEW,
            MB_of_data=data.nbytes / 1e6,
        )


# ---------------------------------------------------------------- lazy slices

ROWS, COLUMNS = 20_000, 250
SLICES = {
    "200 single rows": [int(row) for row in np.random.default_rng(2).integers(0, ROWS, 200)],
    "20 runs of 500 rows": [np.s_[k * 1000 : k * 1000 + 500] for k in range(20)],
    "one column": [np.s_[:, 7]],
    "every 100th row": [np.s_[::100]],
    "400 rows by a list": [np.sort(np.random.default_rng(3).choice(ROWS, 400, replace=False)).tolist()],
    "a mask of rows": [np.arange(ROWS) % 50 < 5],
}


@pytest.fixture(scope="module", params=["gzip", "contiguous"])
def matrix(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("slices") / "x.h5"
    data = np.random.default_rng(4).normal(0, 5, (ROWS, COLUMNS)).round(2)
    options = {"chunks": (500, COLUMNS), "compression": "gzip", "shuffle": True} if request.param == "gzip" else {}
    with h5py.File(path, "w", libver="v110") as file:
        file.create_dataset("x", data=data, **options)
    yield path
    path.unlink()


@pytest.mark.parametrize("kind", SLICES)
def test_lazy_slices(benchmark, kind, matrix):
    """Both files stay open; what was decoded is not kept."""
    with h5py.File(matrix, rdcc_nbytes=0) as other_file, h5burst.open(matrix) as file:
        ours, other = file["x"], other_file["x"]
        versus(
            benchmark,
            lambda: [ours[index] for index in SLICES[kind]],
            lambda: [other[index] for index in SLICES[kind]],
            other_name="h5py without its chunk cache",
            same=lambda a, b: all(map(np.array_equal, a, b)),
            rounds=FEW,
        )


# ---------------------------------------------------------------- far away


@pytest.mark.parametrize("side", ["h5burst", "h5py"])
def test_one_unit_of_a_far_session(benchmark, side, tmp_path):
    """21 000 datasets behind a web server on the loopback; what is counted are requests and bytes."""
    fsspec = pytest.importorskip("fsspec")
    rng = np.random.default_rng(5)
    movie = {"rate": rng.normal(size=400), "trials": rng.integers(0, 9, 200), "score": 0.5, "name": "bar"}
    movies = {f"movie_{k}": movie for k in range(17)}
    units = {
        f"unit_{number:03}": {"spike_times": rng.integers(0, 10**7, 9000), "waveform": rng.normal(size=82), **movies}
        for number in range(300)
    }
    path = tmp_path / "session.h5"
    h5burst.save(path, {"units": units})
    content = path.read_bytes()

    def with_h5burst(stream):
        with h5burst.open(stream) as file:
            return [item[()] for _, item in file["units/unit_150"].walk() if isinstance(item, h5burst.LazyArray)]

    def with_h5py(stream):
        found = []
        with h5py.File(stream) as file:
            file["units/unit_150"].visititems(
                lambda _, item: found.append(item[()]) if isinstance(item, h5py.Dataset) else None
            )
        return found

    with serving(content) as served:

        def read():
            served.clear()
            with fsspec.open(served.url, cache_type="readahead") as stream:
                values = {"h5burst": with_h5burst, "h5py": with_h5py}[side](stream)
            assert len(values) == 70

        alone(benchmark, read, rounds=FEW)
        benchmark.extra_info.update(
            requests=served.requests, MB_sent=served.sent / 1e6, share_of_file=served.sent / len(content)
        )
