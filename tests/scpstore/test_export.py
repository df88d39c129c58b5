"""What is saved of a container, how it is in the file, and what else than a container can be saved."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the filters with h5py
import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

import scpstore
from h5burst.codecs import registry
from h5burst.codecs.gzip import Gzip
from scpstore import AggregationLink, Assay, MatrixMetadata, ScpContainer, ScpMatrix, load_hdf5, save_hdf5
from scpstore.io import FORMAT_VERSION, SUPPORTED_VERSIONS

X = np.random.default_rng(0).normal(size=(6, 5))


def a_container() -> ScpContainer:
    obs = pl.DataFrame({"batch": list("aabbcc"), "_index": [f"s{n}" for n in range(6)]})
    var = pl.DataFrame({"_index": [f"p{n}" for n in range(5)]})
    layers = {"raw": ScpMatrix(X, (X > 1).astype(np.int8)), "log": ScpMatrix(sp.csr_matrix(X))}
    assays = {"proteins": Assay(var, layers), "peptides": Assay(var, {"raw": ScpMatrix(X)})}
    linkage = pl.DataFrame({"source_id": ["p0"], "target_id": ["p1"]})
    container = ScpContainer(obs, assays, [AggregationLink("peptides", "proteins", linkage)])
    container.log_operation("made", {})
    return container


def test_versions() -> None:
    assert FORMAT_VERSION == "1.0"
    assert "1.0" in SUPPORTED_VERSIONS


def test_root_attributes(tmp_path: Path) -> None:
    a_container().save(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["format_version"] == "1.0"
        assert file.attrs["scptensor_version"] == scpstore.__version__
        assert file.attrs["creation_time"].startswith("20")


LAYOUT = [
    "assays/peptides/layers/raw/X",
    "assays/peptides/var/_index",
    "assays/proteins/layers/log/X_data",
    "assays/proteins/layers/log/X_indices",
    "assays/proteins/layers/log/X_indptr",
    "assays/proteins/layers/raw/M",
    "assays/proteins/layers/raw/X",
    "assays/proteins/var/_index",
    "obs/_index",
    "obs/batch",
    "provenance/history/action",
    "provenance/history/description",
    "provenance/history/params",
    "provenance/history/software_version",
    "provenance/history/timestamp",
]


def test_the_documented_layout(tmp_path: Path) -> None:
    a_container().save(tmp_path / "a.h5")
    found: list[str] = []
    with h5py.File(tmp_path / "a.h5") as file:
        for top in ("obs", "assays", "provenance"):
            file[top].visititems(
                lambda _, item: found.append(item.name[1:]) if isinstance(item, h5py.Dataset) else None
            )
        log = file["assays/proteins/layers/log"]
        assert log.attrs["X_format"] == "csr"
        assert log.attrs["X_shape"].tolist() == [6, 5]
    assert sorted(found) == LAYOUT


@pytest.mark.skipif(shutil.which("h5ls") is None, reason="h5ls (hdf5-tools) is not installed")
def test_h5ls_shows_the_documented_layout(tmp_path: Path) -> None:
    a_container().save(tmp_path / "a.h5")
    listing = subprocess.run(["h5ls", "-r", str(tmp_path / "a.h5")], capture_output=True, text=True, check=True).stdout
    names = {line.split()[0] for line in listing.splitlines()}
    assert {f"/{name}" for name in LAYOUT} <= names


@pytest.mark.parametrize(
    ("compression", "level", "filters"),
    [("gzip", 4, {1, 2, 3}), ("lzf", 4, {32000}), ("blosc", 4, {32001}), ("zstd", 4, {32015}), (None, 4, set())],
)
def test_dense_matrices_are_stored_with_the_filter_whatever_their_size(
    tmp_path: Path, compression: str | None, level: int, filters: set[int]
) -> None:
    container = a_container()
    container.assays["proteins"].layers["tiny"] = ScpMatrix(X.astype("f4"))
    container.save(tmp_path / "a.h5", compression=compression, compression_level=level)
    with h5py.File(tmp_path / "a.h5") as file:
        for name in ("raw/X", "raw/M", "tiny/X", "log/X_data", "log/X_indices"):
            dataset = file[f"assays/proteins/layers/{name}"]
            creation = dataset.id.get_create_plist()
            used = {creation.get_filter(number)[0] for number in range(creation.get_nfilters())}
            assert used - {2, 3} == filters - {2, 3}, name
            if compression == "gzip":
                assert dataset.compression == "gzip"
                assert dataset.compression_opts == level
        np.testing.assert_array_equal(file["assays/proteins/layers/raw/X"][()], X)


def test_a_codec_that_somebody_registered_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = type("MyCodec", (Gzip,), {"levels": range(3, 7)})()
    monkeypatch.setitem(registry._by_name, "my_codec", mine)
    with pytest.raises(ValueError, match="compression level of my_codec must be a whole number from 3 to 6, got 9"):
        a_container().save(tmp_path / "a.h5", compression="my_codec", compression_level=9)
    a_container().save(tmp_path / "a.h5", compression="my_codec")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["assays/proteins/layers/raw/X"].compression == "gzip"


def test_dtypes_in_the_file(tmp_path: Path) -> None:
    container = a_container()
    container.assays["proteins"].layers["half"] = ScpMatrix(X.astype("f2"))
    container.save(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        layers = file["assays/proteins/layers"]
        assert layers["raw/X"].dtype == np.float64
        assert layers["raw/M"].dtype == np.int8
        assert layers["half/X"].dtype == np.float16


# ---------------------------------------------------------------- selections


def test_some_assays(tmp_path: Path) -> None:
    save_hdf5(a_container(), tmp_path / "a.h5", save_assays=["proteins"])
    loaded = load_hdf5(tmp_path / "a.h5")
    assert list(loaded.assays) == ["proteins"]
    assert loaded.links == []
    loaded.validate_links()


def test_some_layers_of_any_assay(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    save_hdf5(a_container(), tmp_path / "a.h5", save_layers=["log"])
    loaded = load_hdf5(tmp_path / "a.h5")
    assert {name: list(assay.layers) for name, assay in loaded.assays.items()} == {"proteins": ["log"], "peptides": []}
    assert not recwarn.list


def test_no_assays_and_no_layers(tmp_path: Path) -> None:
    save_hdf5(a_container(), tmp_path / "a.h5", save_assays=[], save_layers=[])
    assert load_hdf5(tmp_path / "a.h5").assays == {}


def test_unknown_names_are_skipped_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="no such assays: 'genes'; there are: proteins, peptides"):
        save_hdf5(a_container(), tmp_path / "a.h5", save_assays=["peptides", "genes"])
    assert list(load_hdf5(tmp_path / "a.h5").assays) == ["peptides"]
    with pytest.warns(UserWarning, match="no such layers: 'none'; there are: .*log"):
        save_hdf5(a_container(), tmp_path / "b.h5", save_layers=["raw", "none"])
    assert list(load_hdf5(tmp_path / "b.h5").assays["proteins"].layers) == ["raw"]


def test_a_name_instead_of_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="save_assays must be a list of names"):
        save_hdf5(a_container(), tmp_path / "a.h5", save_assays="proteins")


def test_without_obs_the_ids_stay(tmp_path: Path) -> None:
    save_hdf5(a_container(), tmp_path / "a.h5", save_obs=False)
    loaded = load_hdf5(tmp_path / "a.h5")
    assert loaded.obs.columns == ["_index"]
    assert loaded.sample_ids.to_list() == a_container().sample_ids.to_list()


def test_without_history(tmp_path: Path) -> None:
    save_hdf5(a_container(), tmp_path / "a.h5", save_history=False)
    assert load_hdf5(tmp_path / "a.h5").history == []
    with h5py.File(tmp_path / "a.h5") as file:
        assert "provenance" not in file


def test_the_container_is_not_changed_by_saving(tmp_path: Path) -> None:
    container = a_container()
    before = container.deepcopy()
    save_hdf5(container, tmp_path / "a.h5", save_obs=False, save_layers=["raw"])
    assert container == before


# ---------------------------------------------------------------- other containers


def test_any_object_of_the_same_shape_is_saved(tmp_path: Path) -> None:
    step = SimpleNamespace(
        timestamp="2024-01-01", action="made", params={"a": (1, 2)}, software_version=None, description=None
    )
    other = SimpleNamespace(
        obs=pl.DataFrame({"_index": ["s"]}),
        assays={
            "a": SimpleNamespace(
                var=pl.DataFrame({"_index": ["p", "q"]}),
                layers={
                    "raw": SimpleNamespace(X=np.ones((1, 2)), M=np.zeros((1, 2), np.int8)),
                    "m": SimpleNamespace(X=sp.coo_matrix((1, 2)), M=None),
                },
            )
        },
        history=[step],
    )  # fmt: skip
    save_hdf5(other, tmp_path / "a.h5")
    loaded = load_hdf5(tmp_path / "a.h5")
    assert loaded.assays["a"].layers["raw"].M.dtype == np.int8
    assert loaded.assays["a"].layers["m"].X.format == "coo"
    assert loaded.history[0].params == {"a": (1, 2)}
    assert loaded.obs.equals(other.obs)


def test_an_object_without_history_is_saved(tmp_path: Path) -> None:
    save_hdf5(SimpleNamespace(obs=pl.DataFrame({"_index": ["s"]}).lazy(), assays={}), tmp_path / "a.h5")
    assert load_hdf5(tmp_path / "a.h5").n_samples == 1


@pytest.mark.parametrize("ids_in", ["index", "column"])
def test_pandas_frames_are_saved(tmp_path: Path, ids_in: str) -> None:
    pd = pytest.importorskip("pandas")
    obs = pd.DataFrame({"kind": pd.Categorical(["b", "a"])}, index=["s1", "s2"])
    if ids_in == "column":
        obs = obs.rename_axis("_index").reset_index()
    var = pd.DataFrame({"mass": [1.5]}, index=["p"])
    other = SimpleNamespace(obs=obs, assays={"a": SimpleNamespace(var=var, layers={})}, history=[])
    save_hdf5(other, tmp_path / "a.h5")
    loaded = load_hdf5(tmp_path / "a.h5")
    assert loaded.obs.to_dict(as_series=False) == {"_index": ["s1", "s2"], "kind": ["b", "a"]}
    assert loaded.assays["a"].feature_ids.to_list() == ["p"]


def test_values_that_are_made_block_by_block(tmp_path: Path) -> None:
    class Ramp:
        shape, dtype = (5000, 40), np.dtype("f8")

        def read(self, start: int, stop: int) -> Any:
            return np.arange(start * 40, stop * 40, dtype="f8").reshape(-1, 40)

    frames = [pl.DataFrame({"_index": range(length)}) for length in Ramp.shape]
    metadata = MatrixMetadata(confidence_scores=Ramp())
    container = ScpContainer(frames[0], {"a": Assay(frames[1], {"X": ScpMatrix(Ramp(), metadata=metadata)})})
    container.save(tmp_path / "a.h5")
    loaded = load_hdf5(tmp_path / "a.h5").assays["a"].layers["X"]
    expected = np.arange(200_000, dtype="f8").reshape(5000, 40)
    np.testing.assert_array_equal(loaded.X, expected)
    np.testing.assert_array_equal(loaded.metadata.confidence_scores, expected)
