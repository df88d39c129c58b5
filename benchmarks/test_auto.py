"""Programs that use h5py, with `h5burst.auto`, beside h5py alone and beside a thread pool of sixty lines.

Each program as it is, on files that it made itself, in memory (/dev/shm) and on the disk, a fresh file each time.
`H5BURST_BENCH_AUTO` is a share of the size: 1 for 5000 cells x 8000 genes and ten minutes of 32 channels.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path

import anndata
import h5py
import numpy as np
import pynwb
import pytest
import scipy.sparse as sp
import xarray
from harness import versus
from naive import thread_pool

from h5burst import accelerate

SHARE = float(os.environ.get("H5BURST_BENCH_AUTO", "1"))
CELLS, GENES = max(64, int(5000 * SHARE)), 8000
RATE, SECONDS, CHANNELS = 30_000, max(4, int(600 * SHARE)), 32
PLACES = {"memory": "/dev/shm", "disk": None}
OTHERS = {"h5py alone": nullcontext, "thread pool": thread_pool.enabled}
TARGETS = {
    "h5ad dense": (3, 1.8), "h5ad counts": (3.5, 1.6), "nwb": (2.5, 1.8), "netcdf": (3, 1.8),
}  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore")


def expression():
    rng = np.random.default_rng(0)
    means = rng.gamma(0.5, 2, (CELLS, 1)) * rng.gamma(0.3, 2, (1, GENES))
    return rng.poisson(means).astype(np.float32)


def cells(kind):
    counts = expression()
    return anndata.AnnData(sp.csr_matrix(counts) if kind == "counts" else np.log1p(counts).round(3))


def traces():
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 12, (SECONDS * RATE // 10, CHANNELS)) + np.cumsum(
        rng.normal(0, 1, (SECONDS * RATE // 10, 1)), 0
    )
    return np.tile(noise.astype(np.int16), (10, 1))


class H5ad:
    def __init__(self, kind):
        self.data = cells(kind)

    def write(self, path):
        self.data.write_h5ad(path, compression="gzip")

    def read(self, path):
        X = anndata.read_h5ad(path).X
        return X.data if sp.issparse(X) else X


class Nwb:
    def __init__(self):
        self.data = traces()

    def write(self, path):
        file = pynwb.NWBFile("a recording", "1", datetime(2026, 1, 1, tzinfo=timezone.utc))
        group = file.create_electrode_group("shank", "of one", "cortex", file.create_device("probe"))
        for _ in range(CHANNELS):
            file.add_electrode(location="cortex", group=group)
        places = file.create_electrode_table_region(list(range(CHANNELS)), "all")
        data = pynwb.H5DataIO(self.data, compression="gzip", chunks=True)
        file.add_acquisition(pynwb.ecephys.ElectricalSeries("raw", data, places, rate=float(RATE)))
        with pynwb.NWBHDF5IO(path, "w") as io:
            io.write(file)

    def read(self, path):
        with pynwb.NWBHDF5IO(path, "r") as io:
            return io.read().acquisition["raw"].data[:]

    def windows(self, path):
        with pynwb.NWBHDF5IO(path, "r") as io:
            data = io.read().acquisition["raw"].data
            return [data[start : start + RATE].mean() for start in range(0, len(data), RATE)]


class NetCdf:
    def __init__(self):
        rng = np.random.default_rng(2)
        field = np.add.outer(np.sin(np.arange(int(2000 * SHARE) + 50) / 40), np.cos(np.arange(4000) / 60)) * 20
        self.data = xarray.Dataset(
            {"t": (("time", "x"), (field + rng.normal(0, 0.05, field.shape)).astype(np.float32).round(2))}
        )

    def write(self, path):
        encoding = {"t": {"zlib": True, "complevel": 4, "shuffle": True}}
        self.data.to_netcdf(path, engine="h5netcdf", encoding=encoding)

    def read(self, path):
        with xarray.open_dataset(path, engine="h5netcdf") as data:
            return data["t"].values


PROGRAMS = {"h5ad dense": lambda: H5ad("dense"), "h5ad counts": lambda: H5ad("counts"), "nwb": Nwb, "netcdf": NetCdf}


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request):
    return request.param, PROGRAMS[request.param]()


@pytest.fixture(params=PLACES)
def place(request):
    directory = Path(tempfile.mkdtemp(dir=PLACES[request.param]))
    yield directory
    shutil.rmtree(directory)


def auto(call, *args):
    with accelerate.enabled():
        return call(*args)


@pytest.mark.parametrize("other", OTHERS)
def test_write(benchmark, program, place, other):
    name, work = program
    ours, theirs = place / "ours.h5", place / "theirs.h5"

    def by_other():
        with OTHERS[other]():
            work.write(theirs)

    versus(
        benchmark,
        lambda: auto(work.write, ours),
        by_other,
        other_name=other,
        same=None,
        before=lambda: [path.unlink(missing_ok=True) for path in (ours, theirs)],
        target_ratio=TARGETS[name][0] if other == "h5py alone" else 1,
    )
    auto(work.write, ours)
    work.write(theirs)
    assert np.array_equal(work.read(ours), work.read(theirs))
    benchmark.extra_info.update(size_ratio=ours.stat().st_size / theirs.stat().st_size)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("how", ["read", "windows"])
def test_read(benchmark, program, place, other, how):
    name, work = program
    if not hasattr(work, how):
        pytest.skip("reads all at once")
    path = place / "file.h5"
    work.write(path)
    call = getattr(work, how)

    def by_other():
        with OTHERS[other]():
            return call(path)

    target = (1.1 if how == "windows" else TARGETS[name][1]) if other == "h5py alone" else 1
    versus(benchmark, lambda: auto(call, path), by_other, other_name=other, same=np.array_equal, target_ratio=target)


@pytest.mark.parametrize("filters", [{}, {"compression": "gzip"}], ids=["plain", "gzip"])
def test_small_datasets(benchmark, place, filters):
    """10 000 reads of 1 KiB: what is not taken over must cost nothing."""
    with h5py.File(place / "small.h5", "w") as file:
        for number in range(1000):
            file.create_dataset(f"d{number}", data=np.arange(128.0), **filters)

    def read():
        with h5py.File(place / "small.h5") as file:
            return sum(file[f"d{number % 1000}"][...][0] for number in range(10_000))

    versus(benchmark, lambda: auto(read), read, other_name="h5py alone", same=lambda a, b: a == b, target_ratio=0.97)


def test_many_tiny_chunks(benchmark, place):
    """100 000 chunks of 2 kB (a share of them), and one slice."""
    count = max(2000, int(100_000 * SHARE))
    with h5py.File(place / "chunks.h5", "w") as file:
        file.create_dataset(
            "x", data=np.arange(count * 256).reshape(count, 256) % 1000, chunks=(1, 256), compression="gzip"
        )

    def read():
        with h5py.File(place / "chunks.h5") as file:
            return file["x"][...].sum() + file["x"][count // 2 : count // 2 + 300].sum()

    versus(benchmark, lambda: auto(read), read, other_name="h5py alone", same=lambda a, b: a == b, target_ratio=1)


def test_scanpy(benchmark, place):
    """Counts are read, normalised, their principal components found, and all of it is written."""
    scanpy = pytest.importorskip("scanpy")
    raw, results = place / "raw.h5ad", place / "results.h5ad"
    cells("counts").write_h5ad(raw, compression="gzip")

    def analyse():
        data = scanpy.read_h5ad(raw)
        scanpy.pp.normalize_total(data)
        scanpy.pp.log1p(data)
        scanpy.pp.pca(data, n_comps=20)
        data.write_h5ad(results, compression="gzip")
        return data.obsm["X_pca"]

    versus(benchmark, lambda: auto(analyse), analyse, other_name="h5py alone", same=np.array_equal, rounds=3)
