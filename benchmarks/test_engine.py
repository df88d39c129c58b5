"""The HDF5 engine against h5py: a session's 20 000 small datasets, and large arrays under gzip."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import workloads
from harness import (
    ROUNDS,
    alone,
    cached_read_bandwidth,
    cached_write_bandwidth,
    disk_write_bandwidth,
    limit,
    memcpy_bandwidth,
    versus,
)
from naive import tree as naive

import h5burst
from h5burst.model.tree import Array, Group, Storage
from h5burst.write import native

GZIP = Storage("gzip", 4)


TREES = {"session": workloads.session_tree, "arrays cut to 64": workloads.cut_tree}


@pytest.fixture(scope="module")
def tree():
    return workloads.session_tree()


@pytest.fixture
def paths(tmp_path):
    yield tmp_path / "ours.h5", tmp_path / "other.h5"
    for path in tmp_path.glob("*.h5"):
        path.unlink()


def count(tree):
    return sum(isinstance(node, Array) for _, node in tree.walk())


@pytest.mark.parametrize("kind", TREES)
def test_emit_tree(benchmark, kind, paths):
    """A new file from a tree in memory, left to the page cache."""
    ours, other = paths
    tree = TREES[kind]()
    versus(
        benchmark,
        lambda: native.write(ours, tree),
        lambda: naive.write(other, tree),
        other_name="h5py create_dataset",
        same=lambda *_: workloads.assert_same(ours, other) == count(tree),
        target_ratio=40,
        datasets=count(tree),
    )
    size, seconds = ours.stat().st_size, benchmark.extra_info["ours_s"]
    benchmark.extra_info.update(
        MB=size / 1e6,
        MB_other=other.stat().st_size / 1e6,
        share_of_page_cache_write=size / seconds / cached_write_bandwidth(str(ours.parent)),
    )


@pytest.mark.parametrize("kind", TREES)
def test_write_tree(benchmark, kind, paths):
    """The whole durable save: temporary file, fsync, rename; the other side with fsync, too."""
    ours, other = paths
    tree = TREES[kind]()
    versus(
        benchmark,
        lambda: h5burst.write_tree(ours, tree, overwrite=True),
        lambda: naive.write(other, tree, fsync=True),
        other_name="h5py create_dataset, fsync",
        same=lambda *_: workloads.assert_same(ours, other) == count(tree),
        target_ratio=15,
        datasets=count(tree),
    )
    size, seconds = ours.stat().st_size, benchmark.extra_info["ours_s"]
    benchmark.extra_info["share_of_disk_write"] = size / seconds / disk_write_bandwidth(str(ours.parent))


def test_graft(benchmark, tree, paths):
    """The units' groups into an open h5py file, which libhdf5 makes one by one: `h5burst.edit` is the fast way."""
    ours, other = paths
    units = tree["units"]

    def graft():
        with h5burst.open_file(ours, "w") as file:
            h5burst.graft(file, ("units",), units)

    def plain():
        with h5py.File(other, "w") as file:
            naive.fill(file.create_group("units"), units)

    versus(
        benchmark,
        graft,
        plain,
        other_name="h5py create_dataset",
        same=lambda *_: workloads.assert_same(ours, other) == count(units),
        datasets=count(units),
    )


ALIASES = {"stimulus/frame_time", "stimulus/frame_time/default"}  # a soft link, which visititems does not follow


def same_tree(got, expected):
    """Whether a tree holds every array and attribute that h5py read."""
    nodes = {"/".join(path): node for path, node in got.walk()}
    assert set(nodes) - ALIASES == set(expected)
    for name, (data, attrs) in expected.items():
        assert len(nodes[name].attrs) == len(attrs), name
        if isinstance(data, np.ndarray | np.generic) and data.dtype.kind != "O":  # text is bytes or objects
            np.testing.assert_array_equal(nodes[name].data, data)
    return True


def test_read_tree(benchmark, tree, paths):
    """Every array and attribute of the file, from the page cache."""
    path = paths[0]
    h5burst.write_tree(path, tree)
    versus(
        benchmark,
        lambda: h5burst.read_tree(path),
        lambda: naive.read(path),
        other_name="h5py visititems",
        same=same_tree,
        rounds=min(ROUNDS, 3),
        target_ratio=40,
        datasets=count(tree),
    )
    rate = path.stat().st_size / benchmark.extra_info["ours_s"]
    benchmark.extra_info["share_of_cached_read"] = rate / cached_read_bandwidth(str(path.parent))
    arrays = [node for _, node in h5burst.read_tree(path).walk() if isinstance(node, Array)]
    limit(
        benchmark,
        "copies of its arrays in memory, with an object for each",
        lambda: [Array(node.data.copy(), node.attrs) for node in arrays],
    )


def test_open_lazily(benchmark, tree, paths):
    h5burst.write_tree(paths[0], tree)
    alone(benchmark, lambda: h5burst.read_tree(paths[0], lazy=True), target_s=0.02)


# ---------------------------------------------------------------- gzip

ARRAYS = {
    "light trace, float32": lambda: _light(12_000_000),
    "60 % zeros, float64": lambda: _zeros(1000, 6000),
    "noise, int16": lambda: np.random.default_rng(0).normal(0, 20, 24_000_000).astype(np.int16),
}


def _light(samples):
    levels = np.repeat(np.random.default_rng(0).integers(2000, 12000, samples // 333 + 1), 333)[:samples]
    return (levels + np.rint(np.random.default_rng(1).normal(0, 20, samples))).astype(np.float32)


def _zeros(rows, columns):
    rng = np.random.default_rng(0)
    values = rng.lognormal(3, 1, (rows, columns))
    values[rng.random((rows, columns)) < 0.6] = 0
    return values


def _plain_gzip(path, data):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=data, compression="gzip", compression_opts=4, shuffle=True, fletcher32=True)


def _plain_read(path):
    with h5py.File(path, "r") as file:
        return file["data"][()]


@pytest.mark.parametrize("kind", ARRAYS)
def test_gzip_4_encode(benchmark, paths, kind):
    """Level 4 with shuffle and fletcher32 on both sides."""
    ours, other = paths
    data = ARRAYS[kind]()
    tree = Group({"data": Array(data, storage=GZIP)})
    versus(
        benchmark,
        lambda: native.write(ours, tree),
        lambda: _plain_gzip(other, data),
        other_name="h5py gzip",
        same=lambda *_: np.array_equal(_plain_read(ours), data),
        rounds=min(ROUNDS, 3),
    )
    seconds = benchmark.extra_info["ours_s"]
    benchmark.extra_info.update(
        MB_of_data=data.nbytes / 1e6,
        MB=ours.stat().st_size / 1e6,
        MB_other=other.stat().st_size / 1e6,
        MB_s=data.nbytes / seconds / 1e6,
        share_of_disk_write=ours.stat().st_size / seconds / disk_write_bandwidth(str(ours.parent)),
    )


@pytest.mark.parametrize("kind", ARRAYS)
def test_gzip_4_decode(benchmark, paths, kind):
    """The same file by both."""
    data = ARRAYS[kind]()
    h5burst.write_tree(paths[0], Group({"data": Array(data, storage=GZIP)}))
    versus(
        benchmark,
        lambda: h5burst.read_tree(paths[0])["data"].data,
        lambda: _plain_read(paths[0]),
        other_name="h5py gzip",
        same=np.array_equal,
        rounds=min(ROUNDS, 3),
    )
    rate = data.nbytes / benchmark.extra_info["ours_s"]
    benchmark.extra_info.update(
        MB_of_data=data.nbytes / 1e6, MB_s=rate / 1e6, share_of_memcpy=rate / memcpy_bandwidth()
    )
