"""Parts of containers written into their files, in place."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

import h5burst
from scpstore import AggregationLink, Assay, MatrixMetadata, ScpContainer, ScpMatrix, load_hdf5
from scpstore.core.exceptions import ValidationError
from scpstore.io import IOWriteError, update_hdf5


def a_container() -> ScpContainer:
    rng = np.random.default_rng(0)
    proteins = Assay(
        pl.DataFrame({"_index": ["P1", "P2", "P3"]}),
        {"X": ScpMatrix(rng.normal(size=(4, 3)), np.zeros((4, 3), np.int8)), "raw": ScpMatrix(rng.normal(size=(4, 3)))},
    )
    peptides = Assay(pl.DataFrame({"_index": ["a", "b"]}), {"X": ScpMatrix(rng.normal(size=(4, 2)))})
    link = AggregationLink("peptides", "proteins", pl.DataFrame({"source_id": ["a"], "target_id": ["P2"]}))
    obs = pl.DataFrame({"_index": list("abcd"), "group": ["x", "y", None, "x"]})
    made = ScpContainer(obs, {"proteins": proteins, "peptides": peptides}, [link])
    made.log_operation("made", {})
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    a_container().save(tmp_path / "a.h5")
    return tmp_path / "a.h5"


@pytest.mark.parametrize("lazy", [False, True])
def test_the_file_becomes_the_container(path: Path, lazy: bool) -> None:
    made = load_hdf5(path, lazy=lazy)
    proteins = made.assays["proteins"]
    log2 = ScpMatrix(np.ones((4, 3)), None, MatrixMetadata(creation_info={"by": "test"}))
    proteins.add_layer("log2", log2)
    made.obs = made.obs.with_columns(n=pl.Series([1, 2, 3, 4]))
    proteins.var = proteins.var.with_columns(gene=pl.Series(["A", "B", "C"]))
    made.links.clear()
    made.add_assay("new", Assay(pl.DataFrame({"_index": ["q"]}), {"X": ScpMatrix(np.full((4, 1), 7.0))}))
    made.update(path, "proteins/log2", "obs", "proteins/var", "new")
    found = load_hdf5(path)
    assert [step.action for step in found.history] == ["made", "update"]
    assert found.list_assays() == ["proteins", "peptides", "new"]
    assert found.list_layers("proteins") == ["X", "raw", "log2"]
    original = a_container()
    assert found.assays["peptides"] == original.assays["peptides"]
    assert found.assays["proteins"].layers["X"] == original.assays["proteins"].layers["X"]
    assert found.assays["proteins"].layers["log2"] == log2
    assert found.assays["proteins"].var.equals(proteins.var)
    assert found.obs.equals(made.obs)
    assert found.links == []
    assert h5burst.verify(path) == []
    assert "update proteins/log2, obs, proteins/var, new" in [commit.message for commit in h5burst.log(path)]


def test_what_is_gone_is_removed_and_the_rest_replaced(path: Path) -> None:
    made = load_hdf5(path)
    del made.assays["proteins"].layers["raw"]
    made.assays["proteins"].layers["X"].M = None
    made.assays["proteins"].layers["X"].X[0, 0] = 99.0
    made.update(path, "proteins/raw", "proteins/X")
    assert load_hdf5(path) == made
    del made.assays["peptides"]
    made.links.clear()
    update_hdf5(made, path, "peptides")
    assert load_hdf5(path) == made


def test_what_others_did_between_two_updates_stays(path: Path) -> None:
    made = load_hdf5(path)
    made.assays["proteins"].add_layer("one", ScpMatrix(np.ones((4, 3))))
    made.update(path, "proteins/one")
    with h5py.File(path, "r+") as file:
        file["assays/proteins/layers/by h5py/X"] = np.zeros((4, 3))
    made.assays["proteins"].add_layer("two", ScpMatrix(np.full((4, 3), 2.0)))
    made.update(path, "proteins/two")
    assert set(load_hdf5(path).list_layers("proteins")) == {"X", "raw", "one", "two", "by h5py"}


def test_other_samples_features_and_names_are_refused(path: Path) -> None:
    before, made = load_hdf5(path), load_hdf5(path)
    with pytest.raises(ValidationError, match="neither the container nor the file has 'odd'"):
        made.update(path, "odd")
    with pytest.raises(ValidationError, match="needs the names"):
        made.update(path)
    with pytest.raises(ValidationError, match="other samples"):
        made.filter_samples(["b", "a"]).update(path, "obs")
    with pytest.raises(ValidationError, match="other features in 'proteins'"):
        made.filter_features("proteins", ["P2", "P1", "P3"]).update(path, "proteins/X")
    with h5py.File(path, "r+"), pytest.raises(IOWriteError):
        made.update(path, "obs")
    with pytest.raises(FileNotFoundError):
        made.update(path.with_name("b.h5"), "obs")
    assert len(made.history) == 1
    assert load_hdf5(path) == before
