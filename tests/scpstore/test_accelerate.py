"""`accelerate` gives another package's classes our files, and `undo` takes that back."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import stand_ins

import scpstore
from scpstore import load_hdf5, save_hdf5
from scpstore.core import MissingDependencyError


@pytest.fixture(params=["dataclasses", "slots", "strict"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The package of that kind, under a name of its own; forgotten after the test."""
    name = f"stand_in_{request.param}"
    stand_ins.write(tmp_path / "site", request.param, name)
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield importlib.import_module(name)
    scpstore.undo()
    for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[module]


def a_container(theirs: Any) -> Any:
    X = np.array([[1.0, np.nan], [0.0, 2.5]])
    metadata = theirs.MatrixMetadata(detection_limits=np.array([0.5, 0.25]), creation_info={"by": ("me", 1)})
    layers = {
        "X": theirs.ScpMatrix(X, np.array([[0, 2], [5, 0]], np.int8), metadata),
        "sparse": theirs.ScpMatrix(sp.csr_matrix(np.nan_to_num(X))),
    }
    proteins = theirs.Assay(pl.DataFrame({"_index": ["p1", "p2"]}), layers)
    peptides = theirs.Assay(pl.DataFrame({"_index": ["a"]}), {"X": theirs.ScpMatrix(np.ones((2, 1), np.float32))})
    link = theirs.AggregationLink("peptides", "proteins", pl.DataFrame({"source_id": ["a"], "target_id": ["p2"]}))
    step = theirs.ProvenanceLog("2024-01-01", "log", {"base": 2, "axes": (0, 1)})
    obs = pl.DataFrame({"_index": ["s1", "s2"], "kind": ["x", None]})
    return theirs.ScpContainer(obs, {"proteins": proteins, "peptides": peptides}, [link], [step])


def ours(container: Any) -> scpstore.ScpContainer:
    """The same container of our classes, by way of plain attributes."""
    assays = {}
    for name, assay in container.assays.items():
        layers = {}
        for layer, matrix in assay.layers.items():
            known = matrix.metadata and scpstore.MatrixMetadata(
                detection_limits=matrix.metadata.detection_limits, creation_info=matrix.metadata.creation_info
            )
            layers[layer] = scpstore.ScpMatrix(matrix.X, matrix.M, known)
        assays[name] = scpstore.Assay(assay.var, layers)
    links = [scpstore.AggregationLink(x.source_assay, x.target_assay, x.linkage) for x in container.links]
    history = [scpstore.ProvenanceLog(x.timestamp, x.action, x.params) for x in container.history]
    return scpstore.ScpContainer(container.obs, assays, links, history)


def test_their_classes_go_in_and_come_out(theirs: Any, tmp_path: Path) -> None:
    done = scpstore.accelerate(theirs.__name__)
    assert f"{theirs.__name__}.ScpContainer.save" in done
    container = a_container(theirs)
    container.save(tmp_path / "a.h5")
    loaded = theirs.ScpContainer.load(tmp_path / "a.h5")
    assert type(loaded) is theirs.ScpContainer
    assert type(loaded.assays["proteins"]) is theirs.Assay
    assert type(loaded.assays["proteins"].layers["X"]) is theirs.ScpMatrix
    assert type(loaded.assays["proteins"].layers["X"].metadata) is theirs.MatrixMetadata
    assert type(loaded.links[0]) is theirs.AggregationLink
    assert type(loaded.history[0]) is theirs.ProvenanceLog
    scpstore.assert_identical(ours(loaded), ours(container))
    scpstore.assert_identical(load_hdf5(tmp_path / "a.h5"), ours(container))


def test_functions_of_the_module_io(theirs: Any, tmp_path: Path) -> None:
    scpstore.accelerate(theirs.__name__)
    io = importlib.import_module(f"{theirs.__name__}.io")
    io.save_hdf5(a_container(theirs), tmp_path / "a.h5", compression="lzf")
    assert type(io.load_hdf5(tmp_path / "a.h5")) is theirs.ScpContainer


def test_errors_are_theirs(theirs: Any, tmp_path: Path) -> None:
    scpstore.accelerate(theirs.__name__)
    io = importlib.import_module(f"{theirs.__name__}.io")
    container = a_container(theirs)
    container.save(tmp_path / "a.h5")
    with pytest.raises(io.IOWriteError, match=r"File already exists.*a\.h5"):
        container.save(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_text("nothing")
    with pytest.raises(io.IOFormatError, match="not an HDF5 file"):
        theirs.ScpContainer.load(tmp_path / "b.h5")
    with pytest.raises(ValueError, match="suffix"):
        container.save(tmp_path / "b.txt")


def test_undo_leaves_no_trace(theirs: Any) -> None:
    io = importlib.import_module(f"{theirs.__name__}.io")
    before = [dict(vars(theirs.ScpContainer)), dict(vars(io)), dict(vars(theirs))]
    assert scpstore.accelerate(theirs.__name__)
    assert scpstore.accelerate(theirs.__name__) == []
    scpstore.undo()
    scpstore.undo()
    assert [dict(vars(theirs.ScpContainer)), dict(vars(io)), dict(vars(theirs))] == before


def test_what_their_objects_have_no_room_for_is_told(theirs: Any, tmp_path: Path) -> None:
    container = ours(a_container(theirs))
    container.obs = container.obs.rename({"_index": "cell"})
    container.sample_id_col = "cell"
    save_hdf5(container, tmp_path / "a.h5")
    scpstore.accelerate(theirs.__name__)
    if theirs.KIND == "slots":
        with pytest.warns(UserWarning, match="has no room for sample_id_col"):
            theirs.ScpContainer.load(tmp_path / "a.h5")
    else:
        assert theirs.ScpContainer.load(tmp_path / "a.h5").sample_id_col == "cell"


def test_what_their_constructor_refuses_is_told(theirs: Any, tmp_path: Path) -> None:
    if theirs.KIND != "strict":
        pytest.skip("this one takes everything")
    container = ours(a_container(theirs))
    container.assays["x1"] = container.assays["peptides"]
    save_hdf5(container, tmp_path / "a.h5")
    scpstore.accelerate(theirs.__name__)
    io = importlib.import_module(f"{theirs.__name__}.io")
    with pytest.raises(io.IOFormatError, match="assays must not begin with x"):
        theirs.ScpContainer.load(tmp_path / "a.h5")


def test_a_package_without_io_gets_one_until_undone(theirs: Any, tmp_path: Path) -> None:
    name = theirs.__name__
    for part in (tmp_path / "site" / name / "io").iterdir():
        if part.is_file():
            part.unlink()
        else:
            for inner in part.iterdir():
                inner.unlink()
            part.rmdir()
    (tmp_path / "site" / name / "io").rmdir()
    importlib.invalidate_caches()
    scpstore.accelerate(name)
    assert callable(importlib.import_module(f"{name}.io").load_hdf5)
    scpstore.undo()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{name}.io")


def test_nothing_to_accelerate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scpstore.accelerate("scptensor") == []
    with pytest.raises(MissingDependencyError, match="there is no package not_there"):
        scpstore.accelerate("not_there")
    with pytest.raises(MissingDependencyError, match="has no ScpContainer, Assay, ScpMatrix"):
        scpstore.accelerate("json")
