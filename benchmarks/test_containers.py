"""Containers to files and back: 5000 samples x 8000 features, 60 % zeros, with a mask; dense and sparse.

Values of several kinds, as real tables have them: with all digits, rounded, counts, float32 kept as float64.
"""

from __future__ import annotations

import os
import statistics
import time

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from harness import ROUNDS, alone, cached_read_bandwidth, disk_write_bandwidth, peak_memory, versus
from naive import containers as naive

from scpstore import Assay, MaskCode, ScpContainer, ScpMatrix, assert_identical, load_hdf5, save_hdf5
from scpstore.io import ContainerWriter

SAMPLES, FEATURES = 5000, 8000
FORMS = ("dense", "sparse")
KINDS = ("full digits", "rounded to 2", "rounded to 3", "counts", "float32 as float64")
MILLION, FEW, BLOCK = 1_000_000, 2_000, 10_000
TARGET_SAVE_S, TARGET_LOAD_S = 0.5, 0.25

pytestmark = pytest.mark.filterwarnings("ignore")


def matrices(form, kind="full digits"):
    """Log2 intensities (or counts), 60 % of them missing (zero, and marked so in the mask)."""
    rng = np.random.default_rng(0)
    X = np.empty((SAMPLES, FEATURES))
    for row in X:
        row[:] = rng.normal(20, 3, FEATURES) if kind != "counts" else rng.poisson(rng.gamma(1, 8, FEATURES))
        if kind.startswith("rounded"):
            np.round(row, int(kind[-1]), out=row)
        elif kind.startswith("float32"):
            row[:] = row.astype(np.float32)
        row[rng.random(FEATURES) < 0.6] = 0
    M = np.where(X == 0, np.int8(MaskCode.LOD), np.int8(MaskCode.VALID))
    return (X, M) if form == "dense" else (sp.csr_matrix(X), sp.csr_matrix(M))


def a_container(X, M):
    obs = pl.DataFrame({"_index": [f"cell{n}" for n in range(SAMPLES)]})
    var = pl.DataFrame({"_index": [f"P{n:05}" for n in range(FEATURES)]})
    return ScpContainer(obs, {"proteins": Assay(var, {"X": ScpMatrix(X, M)})})


@pytest.fixture(scope="module", params=FORMS)
def data(request):
    X, M = matrices(request.param)
    return request.param, X, M, a_container(X, M)


@pytest.fixture
def paths(tmp_path):
    yield tmp_path / "ours.h5", tmp_path / "other.h5"
    for path in tmp_path.iterdir():
        path.unlink()


OTHERS = {
    "anndata": (naive.save_anndata, naive.load_anndata),
    "h5py, float32": (naive.save_h5py, naive.load_h5py),
    "h5py, lossless": (lambda path, X, M: naive.save_h5py(path, X, M, None), naive.load_h5py),
}


def megabytes(path):
    return round(path.stat().st_size / 1e6, 1)


def equal(a, b):
    """Whether two matrices hold the same values (those of float32 as good as they can)."""
    if sp.issparse(a):
        return all(np.array_equal(getattr(a, part), getattr(b, part)) for part in ("data", "indices", "indptr"))
    return np.array_equal(a.astype(b.dtype, copy=False), b)


@pytest.mark.parametrize("other", OTHERS)
def test_save(benchmark, data, paths, other):
    form, X, M, container = data
    ours, theirs = paths
    if form == "sparse" and other == "h5py, float32":
        pytest.skip("sparse matrices keep their dtype in format 1.0")
    versus(
        benchmark,
        lambda: save_hdf5(container, ours),
        lambda: OTHERS[other][0](theirs, X, M),
        other_name=other,
        same=None,  # the equality of what is loaded is checked below
        before=lambda: [path.unlink(missing_ok=True) for path in paths],
        target_s=TARGET_SAVE_S,
    )
    save_hdf5(container, ours, overwrite=True)
    OTHERS[other][0](theirs, X, M)
    assert_identical(load_hdf5(ours), container)
    benchmark.extra_info.update(ours_MB=megabytes(ours), other_MB=megabytes(theirs))


@pytest.mark.parametrize("other", OTHERS)
def test_load(benchmark, data, paths, other):
    form, X, M, container = data
    ours, theirs = paths
    if form == "sparse" and other == "h5py, float32":
        pytest.skip("sparse matrices keep their dtype in format 1.0")
    save_hdf5(container, ours)
    OTHERS[other][0](theirs, X, M)

    def load_ours():
        layer = load_hdf5(ours).assays["proteins"].layers["X"]
        return [layer.X, layer.M]

    versus(
        benchmark,
        load_ours,
        lambda: OTHERS[other][1](theirs),
        other_name=other,
        same=lambda a, b: all(equal(x, y) for x, y in zip(a, b, strict=True)),
        target_ratio=5,
        target_s=TARGET_LOAD_S,
    )


@pytest.mark.parametrize("codec", ["gzip", "lzf", "blosc", "zstd", None])
def test_save_by_codec(benchmark, data, paths, codec):
    _form, _, _, container = data
    seconds = alone(benchmark, lambda: save_hdf5(container, paths[0], compression=codec, overwrite=True), rounds=3)
    stored = paths[0].stat().st_size
    benchmark.extra_info.update(
        MB=stored / 1e6, share_of_disk=stored / seconds / disk_write_bandwidth(str(paths[0].parent))
    )


@pytest.mark.parametrize("codec", ["gzip", "lzf", "blosc", "zstd", None])
def test_load_by_codec(benchmark, data, paths, codec):
    _form, _, _, container = data
    save_hdf5(container, paths[0], compression=codec)
    seconds = alone(benchmark, lambda: load_hdf5(paths[0]), rounds=3)
    stored = paths[0].stat().st_size
    benchmark.extra_info.update(share_of_cached_read=stored / seconds / cached_read_bandwidth(str(paths[0].parent)))


def test_one_layer_of_many_lazily(benchmark, data, paths):
    """To open a file and read a hundred rows of one of its layers."""
    _form, X, _M, container = data
    save_hdf5(container, paths[0])

    def rows():
        return load_hdf5(paths[0], lazy=True).assays["proteins"].layers["X"].read_rows(1000, 1100)

    got = rows()
    assert equal(got, X[1000:1100])
    alone(benchmark, rows)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS[1:])
def test_save_and_load_by_kind_of_values(benchmark, paths, form, kind):
    """Values as real tables have them, saved and loaded, against anndata: both ratios, both sizes."""
    X, M = matrices(form, kind)
    container = a_container(X, M)
    ours, theirs = paths
    versus(
        benchmark,
        lambda: save_hdf5(container, ours, overwrite=True),
        lambda: naive.save_anndata(theirs, X, M),
        other_name="anndata",
        same=None,  # the equality of what is loaded is checked below
        target_ratio=5 if kind.startswith("rounded") else 6,
    )
    save_hdf5(container, ours, overwrite=True)
    naive.save_anndata(theirs, X, M)
    os.sync()  # else the kernel writes pages of both files while they are read
    loaded, read = _alternating(lambda: load_hdf5(ours), lambda: naive.load_anndata(theirs))
    assert_identical(load_hdf5(ours), container)
    benchmark.extra_info.update(
        ours_MB=megabytes(ours),
        other_MB=megabytes(theirs),
        load_s=loaded,
        other_load_s=read,
        load_ratio=read / loaded,
        target_load_ratio=5,
    )


def _alternating(ours, other):
    """Median seconds of two functions that run in turn, after a warm-up of both."""
    times = [[], []]
    ours()
    other()
    for _ in range(ROUNDS):
        for spent, work in zip(times, (ours, other), strict=True):
            started = time.perf_counter()
            work()
            spent.append(time.perf_counter() - started)
    return [statistics.median(spent) for spent in times]


def a_block(rows=BLOCK):
    """Rows of a sparse matrix with 5 % of entries, values rounded to three decimals."""
    rng = np.random.default_rng(0)
    entries = FEW // 20
    places = np.sort(rng.integers(0, FEW, (rows, entries)), axis=1).astype(np.int32).reshape(-1)
    values = np.round(rng.normal(20, 3, rows * entries), 3)
    return sp.csr_matrix((values, places, np.arange(0, rows * entries + 1, entries)), (rows, FEW))


def build_a_million(path, block):
    obs = pl.DataFrame({"_index": [f"cell{n}" for n in range(MILLION)]})
    var = pl.DataFrame({"_index": [f"P{n}" for n in range(FEW)]})
    with ContainerWriter(path, obs, {"proteins": var}, overwrite=True) as writer:
        for _ in range(MILLION // BLOCK):
            writer.append("proteins", "X", block)


def test_a_million_cells_block_by_block(benchmark, paths):
    """100 million entries: seconds to build and save, and memory beyond the imports and one block."""
    setup = _setup() + "\nblock = bench.a_block()"
    measured = {}
    work = f"bench.build_a_million({str(paths[0])!r}, block)"
    seconds = alone(benchmark, lambda: measured.update(peak_memory(setup, work)), rounds=1, warmup=False, target_s=20)
    peak = (measured["peak"] - measured["before"]) / 1e6
    benchmark.extra_info.update(peak_MB=peak, target_peak_MB=300, MB=megabytes(paths[0]), entries_per_s=1e8 / seconds)


def test_ten_scattered_cells_of_a_million(benchmark, paths):
    build_a_million(paths[0], a_block())
    X = load_hdf5(paths[0], lazy=True).assays["proteins"].layers["X"].X
    rng = np.random.default_rng(1)
    assert X[rng.choice(MILLION, 10, replace=False)].nnz <= 10 * FEW // 20
    alone(benchmark, lambda: X[rng.choice(MILLION, 10, replace=False)], rounds=20, target_s=0.05)


_SETUP = (
    "import sys; sys.path.insert(0, {here!r}); import warnings; warnings.simplefilter('ignore'); "
    "import test_containers as bench"
)
_SAVE = {
    "ours": "bench.save_hdf5(container, {path!r}, overwrite=True)",
    "anndata": "bench.naive.save_anndata({path!r}, X, M)",
    "h5py, float32": "bench.naive.save_h5py({path!r}, X, M)",
}
_LOAD = {
    "ours": "kept = bench.load_hdf5({path!r})",
    "anndata": "kept = bench.naive.load_anndata({path!r})",
    "h5py, float32": "kept = bench.naive.load_h5py({path!r})",
}


@pytest.mark.parametrize("side", _SAVE)
def test_peak_memory_of_save(benchmark, data, paths, side):
    """Resident memory beyond the container itself."""
    form, *_ = data
    setup = _setup() + f"\nX, M = bench.matrices({form!r}); container = bench.a_container(X, M)"
    setup += "\nopen('/proc/self/clear_refs', 'w').write('5')"  # the peak of making the data does not count
    _measure(benchmark, setup, _SAVE[side].format(path=str(paths[0])))


@pytest.mark.parametrize("side", _LOAD)
def test_peak_memory_of_load(benchmark, data, paths, side):
    """Resident memory for what is loaded and whatever else it takes."""
    _form, X, M, container = data
    {"ours": lambda path, *_: save_hdf5(container, path), "anndata": naive.save_anndata}.get(side, naive.save_h5py)(
        paths[0], X, M
    )
    arrays = [values.data.nbytes + values.indices.nbytes if sp.issparse(values) else values.nbytes for values in (X, M)]
    benchmark.extra_info["data_MB"] = sum(arrays) / 1e6
    _measure(benchmark, _setup(), _LOAD[side].format(path=str(paths[0])))


def _setup():
    return _SETUP.format(here=str(__file__).rsplit("/", 1)[0])


def _measure(benchmark, setup, work):
    measured = {}
    alone(benchmark, lambda: measured.update(peak_memory(setup, work)), rounds=1)
    benchmark.extra_info["peak_MB"] = (measured["peak"] - measured["before"]) / 1e6
