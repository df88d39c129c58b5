"""Lazily loaded containers: nothing of a layer is read before it is asked for, and saving streams it through."""

from __future__ import annotations

import copy
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import plain_layout
import polars as pl
import pytest
import scipy.sparse as sp
import scp_strategies as scp
from hypothesis import given, settings

from h5burst import StaleFileError
from scpstore import (
    Assay,
    MatrixMetadata,
    ProvenanceLog,
    ScpContainer,
    ScpMatrix,
    assert_identical,
    load_hdf5,
    save_hdf5,
)
from scpstore.core import difference, sources
from scpstore.io import IOFormatError, LazyMatrix


def a_container() -> ScpContainer:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 30)) * (rng.random((40, 30)) < 0.5)
    M = rng.integers(0, 7, X.shape).astype(np.int8)
    order = rng.permutation(60)
    coo = sp.coo_matrix((rng.normal(size=60), (order % 40, order % 30)), shape=X.shape)
    layers = {
        "dense": ScpMatrix(X, M, MatrixMetadata(confidence_scores=X.astype("f4"), creation_info={"by": ("me", 1)})),
        "csr": ScpMatrix(sp.csr_matrix(X), sp.csr_array(M)),
        "csc": ScpMatrix(sp.csc_array(X)),
        "coo": ScpMatrix(coo, None, MatrixMetadata(outlier_scores=coo.tocsr(), detection_limits=np.array(["a", "b"]))),
    }
    obs = pl.DataFrame({"_index": [f"s{n}" for n in range(40)], "t": [None, "x"] * 20})
    container = ScpContainer(obs, {"proteins": Assay(pl.DataFrame({"_index": [f"p{n}" for n in range(30)]}), layers)})
    container.history.append(ProvenanceLog("2024-01-01", "made", {"a": (1, 2)}, None, ""))
    return container


@pytest.fixture
def path(tmp_path: Path) -> Path:
    a_container().save(tmp_path / "a.h5")
    return tmp_path / "a.h5"


def layers_of(container: ScpContainer) -> dict[str, Any]:
    return dict(container.assays["proteins"].layers)


def test_a_lazily_loaded_container_equals_the_saved_one(path: Path) -> None:
    assert_identical(a_container(), load_hdf5(path, lazy=True))
    assert ScpContainer.load(path, lazy=True) == a_container()


def test_nothing_is_read_before_it_is_asked_for(path: Path) -> None:
    loaded = load_hdf5(path, lazy=True)
    assert loaded.shape == (40, 30)
    assert all(isinstance(matrix, LazyMatrix) for matrix in layers_of(loaded).values())
    assert all("in memory: nothing" in repr(matrix) for matrix in layers_of(loaded).values())
    dense = layers_of(loaded)["dense"]
    assert dense.shape == (40, 30)
    assert dense.X[3:5].shape == (2, 30)
    assert "in memory: nothing" in repr(dense)
    assert dense.X.mean() == pytest.approx(layers_of(a_container())["dense"].X.mean())
    assert "in memory: ['X']" in repr(dense)
    assert isinstance(dense.X, np.ndarray)
    assert dense.X is dense.X
    dense.release()
    assert "in memory: nothing" in repr(dense)


@pytest.mark.parametrize("name", ["dense", "csr", "csc", "coo"])
@pytest.mark.parametrize(("start", "stop"), [(0, 40), (3, 9), (39, 100), (5, 5), (-3, 40)])
def test_rows_are_read_alone(path: Path, name: str, start: int, stop: int) -> None:
    lazy = layers_of(load_hdf5(path, lazy=True))[name]
    rows = lazy.read_rows(start, stop)
    whole = layers_of(a_container())[name].X
    dense = [values.toarray() if sp.issparse(values) else values for values in (rows, whole)]
    np.testing.assert_array_equal(dense[0], dense[1][start:stop])
    assert "in memory: nothing" in repr(lazy)


@settings(max_examples=10)
@given(container=scp.containers())
def test_streaming_from_file_to_file_keeps_everything(
    tmp_path_factory: pytest.TempPathFactory, container: ScpContainer
) -> None:
    directory = tmp_path_factory.mktemp("lazy")
    save_hdf5(container, directory / "a.h5")
    save_hdf5(load_hdf5(directory / "a.h5", lazy=True), directory / "b.h5", compression_level=1)
    assert_identical(container, load_hdf5(directory / "b.h5"))


def test_saving_does_not_read_layers_into_memory(path: Path, tmp_path: Path) -> None:
    loaded = load_hdf5(path, lazy=True)
    save_hdf5(loaded, tmp_path / "b.h5", compression=None)
    assert all("in memory: nothing" in repr(matrix) for matrix in layers_of(loaded).values())
    assert load_hdf5(tmp_path / "b.h5") == a_container()


def test_what_was_changed_in_memory_is_saved(path: Path, tmp_path: Path) -> None:
    loaded = load_hdf5(path, lazy=True)
    layers_of(loaded)["dense"].X[0, 0] = 99.0
    layers_of(loaded)["csr"].M = None
    layers_of(loaded)["coo"].metadata.creation_info = {"new": True}
    save_hdf5(loaded, tmp_path / "b.h5")
    saved = layers_of(load_hdf5(tmp_path / "b.h5"))
    assert saved["dense"].X[0, 0] == 99.0
    assert saved["csr"].M is None
    assert saved["coo"].metadata.creation_info == {"new": True}


def test_it_may_be_saved_over_its_own_file_and_is_then_to_be_read_anew(path: Path) -> None:
    loaded = load_hdf5(path, lazy=True)
    save_hdf5(loaded, path, overwrite=True, compression_level=9)
    assert load_hdf5(path) == a_container()
    with pytest.raises(StaleFileError, match="was changed since"):
        _ = layers_of(loaded)["dense"].X[0]


def test_copies_and_selections(path: Path) -> None:
    loaded = load_hdf5(path, lazy=True)
    for made in (loaded.copy(), loaded.shallow_copy(), copy.copy(loaded)):
        assert_identical(made, a_container())
    rows = load_hdf5(path, lazy=True).filter_samples(["s3", "s1"])
    np.testing.assert_array_equal(
        rows.assays["proteins"].layers["dense"].X, layers_of(a_container())["dense"].X[[3, 1]]
    )


def test_files_of_an_earlier_implementation(tmp_path: Path) -> None:
    content = {
        "obs": {"_index": ["s"]},
        "assays": {
            "a": {"var": {"_index": ["p", "q"]}, "layers": {"raw": {"X": np.ones((1, 2)), "M": np.array([[0, 5]])}}}
        },
    }
    plain_layout.write(tmp_path / "theirs.h5", content)
    loaded = load_hdf5(tmp_path / "theirs.h5", lazy=True)
    save_hdf5(loaded, tmp_path / "ours.h5")
    assert_identical(load_hdf5(tmp_path / "ours.h5"), load_hdf5(tmp_path / "theirs.h5"))
    assert load_hdf5(tmp_path / "ours.h5").assays["a"].layers["raw"].M.dtype == np.int8


def test_a_wrong_shape_is_noticed_at_once(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["assays/proteins/layers/dense/M"]
        file["assays/proteins/layers/dense/M"] = np.zeros((2, 2), np.int8)
    with pytest.raises(IOFormatError, match="assays/proteins/layers/dense: M is"):
        load_hdf5(path, lazy=True)


def test_a_wrong_mask_is_noticed_when_it_is_read(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["assays/proteins/layers/csr/M_data"][0] = 9
    loaded = load_hdf5(path, lazy=True)
    with pytest.raises(IOFormatError, match="not a mask code"):
        _ = layers_of(loaded)["csr"].M[:]


_ONE_LAYER = """
import sys
import tracemalloc
import scpstore
def peak():  # not ru_maxrss, which a process inherits from the one that started it
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10
container = scpstore.load_hdf5(sys.argv[1], lazy=True)
before = peak()
total = sum(float(container.assays["a"].layers["3"].read_rows(row, row + 100).sum()) for row in range(0, 1000, 100))
scpstore.save_hdf5(container, sys.argv[2], compression_level=1)
print(total, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_large_file_is_used_in_little_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (1000, 6000)).astype(np.float64)  # 48 MB a layer, 384 MB in all
    frames = [pl.DataFrame({"_index": range(n)}) for n in X.shape]
    layers = {str(number): ScpMatrix(X) for number in range(8)}
    save_hdf5(ScpContainer(frames[0], {"a": Assay(frames[1], layers)}), tmp_path / "a.h5", compression_level=1)
    command = [sys.executable, "-c", _ONE_LAYER, str(tmp_path / "a.h5"), str(tmp_path / "b.h5")]
    total, grown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200).stdout.split()
    assert float(total) == X.sum()
    assert int(grown) < 100 << 20


# ---------------------------------------------------------------- slices read what they need

INDICES: list[Any] = [
    slice(3, 9), slice(None, None, -7), slice(30, 5, -4), slice(5, 5), 7, -1, [3, 1, 39], np.array([0, 0, 5]),
    np.arange(40) % 3 == 0, (slice(2, 9), slice(1, 30, 4)), ([4, 2], [1, 3]), (5, 6), (slice(None), [2, 0]),
    (np.arange(40) < 2, slice(0, 3)), Ellipsis, (Ellipsis, slice(0, 2)), [],
]  # fmt: skip


def as_array(values: Any) -> Any:
    return values.toarray() if sp.issparse(values) else np.asarray(values)


@pytest.mark.parametrize("name", ["dense", "csr"])
@pytest.mark.parametrize("place", range(len(INDICES)))
def test_a_lazy_layer_is_indexed_as_its_matrix(path: Path, name: str, place: int) -> None:
    key = INDICES[place]
    lazy, whole = layers_of(load_hdf5(path, lazy=True))[name], layers_of(a_container())[name]
    if name == "csr" and (key is Ellipsis or (isinstance(key, list) and not key)):
        pytest.skip("scipy has its own opinion")
    np.testing.assert_array_equal(as_array(lazy.X[key]), as_array(whole.X[key]))
    np.testing.assert_array_equal(as_array(lazy.M[key]), as_array(whole.M[key]))
    assert "in memory: nothing" in repr(lazy)


@pytest.mark.parametrize("key", [40, -41, [0, 40], [True] * 39])
def test_an_index_beyond_the_rows(path: Path, key: Any) -> None:
    with pytest.raises(IndexError):
        layers_of(load_hdf5(path, lazy=True))["dense"].X[key]


@pytest.mark.parametrize("name", ["dense", "csr", "csc", "coo"])
def test_arithmetic_and_methods_are_those_of_the_matrix(path: Path, name: str) -> None:
    whole = layers_of(a_container())[name].X
    for work in (
        lambda x: x * 2,
        lambda x: 2 * x,
        lambda x: x.sum(axis=0),
        lambda x: x @ np.ones((30, 1)),
        abs,
        np.abs,
    ):
        lazy = layers_of(load_hdf5(path, lazy=True))[name].X
        np.testing.assert_allclose(as_array(work(lazy)), as_array(work(whole)))


@pytest.mark.parametrize("rows", [None, 1, 7, 100])
def test_iteration_by_blocks(path: Path, rows: int | None) -> None:
    lazy = layers_of(load_hdf5(path, lazy=True))["dense"]
    np.testing.assert_array_equal(np.concatenate(list(lazy.X.iter_blocks(rows))), layers_of(a_container())["dense"].X)


@pytest.mark.parametrize("name", ["dense", "csr"])
def test_a_lazy_layer_is_used_as_its_matrix(path: Path, name: str) -> None:
    layers, whole = layers_of(load_hdf5(path, lazy=True)), layers_of(a_container())[name].X
    X = layers[name].X
    assert repr(X).startswith("<LazyRows (40, 30) float64 ")
    assert len(X) == 40
    np.testing.assert_array_equal(np.stack([as_array(row).ravel() for row in X]), as_array(whole))
    assert copy.deepcopy(X)[3, 4] == whole[3, 4]


def test_a_lazy_layer_takes_values(path: Path) -> None:
    layer = layers_of(load_hdf5(path, lazy=True))["dense"]
    layer.X[2, 3] = 7
    assert layer.X[2, 3] == 7
    np.testing.assert_array_equal(np.add.reduce(layer.X, axis=0), np.asarray(layer.X).sum(axis=0))


def test_a_lazy_layer_takes_no_output_of_numpy(path: Path) -> None:
    with pytest.raises(TypeError, match="NotImplemented"):
        np.add(np.ones((40, 30)), 1, out=layers_of(load_hdf5(path, lazy=True))["dense"].X)


def test_a_damaged_chunk_of_a_lazy_layer_says_where(path: Path) -> None:
    with h5py.File(path) as file:
        place = file["assays/proteins/layers/dense/X"].id.get_chunk_info(0)
    with path.open("r+b") as file:
        file.seek(place.byte_offset + place.size // 2)
        file.write(b"damage")
    loaded = load_hdf5(path, lazy=True)
    layer = layers_of(loaded)["dense"]
    for read in (lambda: layer.X[:3], lambda: layer.read_rows(0, 3), layer.load):
        with pytest.raises(IOFormatError, match=r"assays/proteins/layers/dense: .*checksum of a chunk is wrong"):
            read()
    with pytest.raises(IOFormatError, match=f"{path.name} is a damaged or truncated HDF5 file: .*checksum"):
        load_hdf5(path)


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_slices_and_selections_do_not_read_the_whole(tmp_path: Path, form: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 2000))  # 64 MB
    frames = [pl.DataFrame({"_index": range(n)}) for n in X.shape]
    matrix = X if form == "dense" else sp.csr_matrix(X)
    save_hdf5(ScpContainer(frames[0], {"a": Assay(frames[1], {"X": ScpMatrix(matrix)})}), tmp_path / "a.h5")
    lazy = load_hdf5(tmp_path / "a.h5", lazy=True)
    layer = lazy.assays["a"].layers["X"]
    works = [
        lambda: layer.X[:10],
        lambda: layer.X[[3999, 7], 5:50],
        lambda: lazy.filter_samples(sample_indices=[100, 3000]),
        lambda: lazy.filter_features("a", feature_indices=[0, 1999]),
    ]
    for work in works:
        tracemalloc.start()
        work()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 33 << 20
    np.testing.assert_array_equal(
        as_array(lazy.filter_features("a", feature_indices=[1999, 0]).assays["a"].X), X[:, [1999, 0]]
    )


@pytest.mark.parametrize("form", ["dense", "csr", "csc"])
def test_layers_of_files_are_compared_and_checked_by_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """A difference is at the place where it is; layers by rows are never in memory as a whole."""
    monkeypatch.setattr(sources, "_BLOCK_BYTES", 1 << 10)
    values = np.random.default_rng(0).random((60, 40))
    values[values < 0.3] = 0
    for name, changed in (("a", 0.5), ("b", 0.5), ("c", 0.25)):
        values[50, 7] = changed
        layer = ScpMatrix(values.copy() if form == "dense" else getattr(sp, f"{form}_matrix")(values))
        obs, var = (pl.DataFrame({"_index": [f"{n}" for n in range(length)]}) for length in values.shape)
        save_hdf5(ScpContainer(obs, {"p": Assay(var, {"X": layer})}), tmp_path / f"{name}.h5")
    a, b, c = (load_hdf5(tmp_path / f"{name}.h5", lazy=True) for name in "abc")
    found = difference(a, c)
    assert found is not None
    if form == "dense":
        assert "X[50, 7]: np.float64(0.5) != np.float64(0.25)" in found
    if form != "csc":  # of which rows do not say how it was stored
        monkeypatch.setattr("scpstore.io.rowreaders.decode_matrix", None)
    assert difference(a, b) is None
    layer = a.assays["p"].layers["X"]
    assert isinstance(layer, LazyMatrix)
    layer.check()
