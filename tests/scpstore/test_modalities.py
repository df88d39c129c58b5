"""Containers from MuData objects and `.h5mu` files, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

from scpstore import AggregationLink, Assay, MaskCode, ScpContainer, ScpMatrix, load_hdf5
from scpstore.core.exceptions import ValidationError
from scpstore.core.sources import LazyRows

mudata = pytest.importorskip("mudata")
from anndata.tests.helpers import assert_equal  # noqa: E402

from scpstore.io import IOFormatError, IOWriteError, from_mudata, read_h5mu, to_mudata, write_h5mu  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def an_object() -> Any:
    rng = np.random.default_rng(3)
    mods = {}
    for name, rows, columns in (("rna", 8, 5), ("prot", 6, 3), ("atac", 8, 2)):
        X = sp.random(rows, columns, 0.5, "csr", np.float32, rng)
        made = anndata.AnnData(rng.normal(size=(rows, columns)) if name == "prot" else X)
        made.obs_names = list(rng.permutation([f"c{n}" for n in range(rows)]))
        made.var_names = [f"{name}_g{n}" for n in range(columns)]
        made.obs["kind"] = pd.Categorical(rng.choice(["a", "b"], rows))
        made.obs["n"] = np.arange(rows)
        made.layers["raw"] = made.X.copy()
        made.obsm["X_pca"] = rng.normal(size=(rows, 2))
        made.obsp["graph"] = sp.random(rows, rows, 0.3, "csr", random_state=1)
        made.varm["l"] = rng.normal(size=(columns, 2))
        made.uns["of"] = {"name": name}
        mods[name] = made
    mdata = mudata.MuData(mods)
    mdata.obs["global"] = np.arange(mdata.n_obs)
    mdata.obsm["X_all"] = rng.normal(size=(mdata.n_obs, 3))
    mdata.uns["study"] = {"k": 3}
    return mdata


def assert_same(a: Any, b: Any) -> None:
    assert list(a.mod) == list(b.mod)
    for name in a.mod:
        assert_equal(a.mod[name], b.mod[name], exact=True)
    pd.testing.assert_frame_equal(a.obs, b.obs)
    for key in ("X_all",):
        np.testing.assert_array_equal(a.obsm[key], b.obsm[key])
    np.testing.assert_array_equal(a.obsmap["prot"], b.obsmap["prot"])
    assert dict(a.uns) == dict(b.uns)


def test_an_object_comes_back(tmp_path: Path) -> None:
    mdata = an_object()
    made = from_mudata(mdata)
    made.validate()
    assert made.list_assays() == ["rna", "prot", "atac"]
    prot, cells = made.assays["prot"].layers["X"], made.sample_ids.to_list()
    for row, name in enumerate(cells):
        if name in mdata.mod["prot"].obs_names:
            np.testing.assert_array_equal(prot.X[row], mdata.mod["prot"][name].X[0])
        else:
            assert np.isnan(prot.X[row]).all()
            assert (prot.M[row] == MaskCode.LOD).all()
    np.testing.assert_array_equal(made.assays["rna"].layers["X"].X.toarray(), mdata.mod["rna"][cells].X.toarray())
    assert_same(to_mudata(made), mdata)
    made.save(tmp_path / "a.h5")
    assert_same(to_mudata(load_hdf5(tmp_path / "a.h5")), mdata)
    some = made.filter_samples([name for name in cells if name != cells[2]])
    left = to_mudata(some)
    for name, adata in mdata.mod.items():
        kept = [cell for cell in adata.obs_names if cell != cells[2]]
        assert left.mod[name].obs_names.to_list() == kept
        np.testing.assert_array_equal(left.mod[name].obsm["X_pca"], adata[kept].obsm["X_pca"])
        np.testing.assert_array_equal(left.mod[name].obsp["graph"].toarray(), adata[kept].obsp["graph"].toarray())


@pytest.mark.parametrize("form", ["as it is", "csc", "masked"])
def test_matrices_of_a_backed_file_stay_in_it(tmp_path: Path, form: str) -> None:
    """Also those of modalities that lack cells, or have them in another order."""
    mdata = an_object()
    for adata in mdata.mod.values():
        if form == "csc" and sp.issparse(adata.X):
            adata.X, adata.layers["raw"] = adata.X.tocsc(), adata.layers["raw"].tocsc()
        if form == "masked":
            codes = np.arange(adata.n_obs * adata.n_vars).reshape(adata.shape) % 5
            adata.layers["raw_mask"] = codes.astype(np.int8)
    mdata.write(tmp_path / "a.h5mu")
    whole, backed = read_h5mu(tmp_path / "a.h5mu"), read_h5mu(tmp_path / "a.h5mu", backed=True)
    for name, assay in backed.assays.items():
        for layer in assay.layers.values():
            assert isinstance(layer.X, LazyRows) or (form == "csc" and name == "atac")
    assert backed.assays["prot"].layers["X"].X.format is None
    assert isinstance(backed.assays["prot"].layers["raw"].M, LazyRows)
    for name, assay in whole.assays.items():
        for key, layer in assay.layers.items():
            found = backed.assays[name].layers[key]
            np.testing.assert_array_equal(dense(found.X[[5, 0, 3]]), dense(layer.X[[5, 0, 3]]))
    assert backed == whole
    backed.save(tmp_path / "backed.h5")
    whole.save(tmp_path / "whole.h5")
    assert load_hdf5(tmp_path / "backed.h5") == load_hdf5(tmp_path / "whole.h5")
    assert_same(to_mudata(backed), to_mudata(whole))
    write_h5mu(backed, tmp_path / "again.h5mu")
    write_h5mu(load_hdf5(tmp_path / "backed.h5", lazy=True), tmp_path / "from container.h5mu")
    for name in ("again", "from container"):
        assert_same(mudata.read(tmp_path / f"{name}.h5mu"), to_mudata(whole))


def dense(values: Any) -> Any:
    return values.toarray() if sp.issparse(values) else np.asarray(values)


def test_damage_in_a_matrix_of_a_backed_file_is_named(tmp_path: Path) -> None:
    an_object().write(tmp_path / "a.h5mu")
    with h5py.File(tmp_path / "a.h5mu", "r+") as file:
        file["mod/rna/layers/raw/indices"][0] = 77
    layer = read_h5mu(tmp_path / "a.h5mu", backed=True).assays["rna"].layers["raw"].X
    with pytest.raises(IOFormatError, match=r"a\.h5mu:/mod/rna/layers/raw/X_indices: .*column"):
        layer[:]
    with h5py.File(tmp_path / "a.h5mu", "r+") as file:
        del file["mod/prot/X"]
        file["mod/prot/X"] = np.ones((6, 4))
        file["mod/prot/X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    with pytest.raises(IOFormatError, match=r"prot: X is of shape \(6, 4\), not \(6, 3\)"):
        read_h5mu(tmp_path / "a.h5mu", backed=True)


def a_container() -> ScpContainer:
    rng = np.random.default_rng(0)
    M = rng.integers(0, 6, (4, 3)).astype(np.int8)
    proteins = Assay(
        pl.DataFrame({"_index": ["P1", "P2", "P3"], "gene": ["A", None, "C"]}),
        {"PG.MaxLFQ": ScpMatrix(rng.normal(size=(4, 3)), M), "PG.Q.Value": ScpMatrix(rng.normal(size=(4, 3)))},
    )
    peptides = Assay(pl.DataFrame({"_index": ["a", "b"]}), {"X": ScpMatrix(sp.csr_matrix(rng.normal(size=(4, 2))))})
    link = AggregationLink("peptides", "proteins", pl.DataFrame({"source_id": ["a"], "target_id": ["P2"]}))
    obs = pl.DataFrame({"_index": list("dabc"), "group": ["x", "y", "z", "x"]})
    made = ScpContainer(obs, {"proteins": proteins, "peptides": peptides}, [link])
    made.log_operation("made", {"by": ["a", 1]})
    return made


def test_a_container_comes_back(tmp_path: Path) -> None:
    made = a_container()
    again = from_mudata(to_mudata(made))
    write_h5mu(made, tmp_path / "a.h5mu", compression="gzip")
    for found in (again, read_h5mu(tmp_path / "a.h5mu")):
        assert found.obs.equals(made.obs) or found.obs.cast({"group": pl.String}).equals(made.obs)
        assert found.links == made.links
        assert found.history == made.history
        assert found.list_assays() == made.list_assays()
        for name, assay in made.assays.items():
            assert found.assays[name].layers == assay.layers
            assert found.assays[name].feature_ids.equals(assay.feature_ids)
    assert mudata.read_h5mu(tmp_path / "a.h5mu").mod["proteins"].layers["mask"].shape == (4, 3)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    other = anndata.AnnData(np.ones((2, 2)))
    other.obs_names = ["x", "y"]
    shared = mudata.MuData({"a": anndata.AnnData(np.ones((2, 2))), "b": other}, axis=1)
    with pytest.raises(ValidationError, match="axis=1"):
        from_mudata(shared)
    write_h5mu(a_container(), tmp_path / "a.h5mu")
    with pytest.raises(IOWriteError, match="exists"):
        write_h5mu(a_container(), tmp_path / "a.h5mu")
    (tmp_path / "b.h5mu").write_bytes((tmp_path / "a.h5mu").read_bytes()[:3000])
    with pytest.raises(IOFormatError, match=r"b\.h5mu"):
        read_h5mu(tmp_path / "b.h5mu")


def test_commands_take_such_files(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from scpstore.cli import app

    made, path = a_container(), tmp_path / "a.h5"
    made.save(path)
    run = CliRunner().invoke
    for source, target in ((path, "b.h5mu"), (tmp_path / "b.h5mu", "c.h5")):
        done = run(app, ["convert", str(source), str(tmp_path / target)])
        assert done.exit_code == 0, done.output
    assert "proteins" in run(app, ["info", str(tmp_path / "b.h5mu")]).output
    assert run(app, ["verify", str(tmp_path / "b.h5mu")]).exit_code == 0
    assert load_hdf5(tmp_path / "c.h5").assays["proteins"].layers == made.assays["proteins"].layers
    refused = run(app, ["convert", str(path), str(tmp_path / "d.h5mu"), "--assay", "proteins"])
    assert refused.exit_code != 0
    assert not (tmp_path / "d.h5mu").exists()
