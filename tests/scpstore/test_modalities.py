"""Containers from MuData objects and `.h5mu` files, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

from scpstore import AggregationLink, Assay, MaskCode, ScpContainer, ScpMatrix, load_hdf5
from scpstore.core.exceptions import ValidationError

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
