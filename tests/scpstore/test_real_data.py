"""Published matrices become containers, are saved with every compression, and come back equal."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from scpstore import Assay, MaskCode, ScpContainer, ScpMatrix, assert_identical, load_hdf5, save_hdf5
from scpstore.io import from_anndata, read_csv, to_anndata

SETS = ("plexDIA", "SCoPE2_Leduc", "nanoPOTS")
CODECS = ("gzip", "lzf", "blosc", "zstd", None)


@pytest.fixture(params=SETS)
def container(request: pytest.FixtureRequest, test_data: Path) -> ScpContainer:
    """A matrix with its cells, a mask of what is low, and a sparse layer of what is high."""
    directory = test_data / "single_cell_proteomics"
    if request.param == "nanoPOTS":
        anndata = pytest.importorskip("anndata")
        made = from_anndata(anndata.read_h5ad(directory / "nanoPOTS.h5ad"))
    else:
        made = read_csv(directory / f"{request.param}_data.csv")
    proteins = made.assays["proteins"]
    X = proteins.layers["X"].X
    mask = np.where(np.nanquantile(X, 0.2) > X, MaskCode.LOD, MaskCode.VALID).astype(np.int8)
    proteins.layers["X"].M = mask
    proteins.add_layer("high", ScpMatrix(sp.csc_matrix(np.where(X > 1, X, 0)), sp.csr_matrix(mask)))
    made.log_operation("imported", {"set": request.param, "cut": np.float32(0.2)})
    return made


def test_the_cells_are_there(container: ScpContainer) -> None:
    assert container.n_samples > 60
    assert container.n_features > 1000
    assert "cell_type" in container.obs.columns
    assert container.obs["cell_type"].null_count() == 0


@pytest.mark.parametrize("codec", CODECS)
def test_every_compression(container: ScpContainer, tmp_path: Path, codec: str | None) -> None:
    save_hdf5(container, tmp_path / "a.h5", compression=codec)
    assert_identical(container, load_hdf5(tmp_path / "a.h5"))
    assert_identical(container, load_hdf5(tmp_path / "a.h5", lazy=True))


@pytest.mark.skipif(shutil.which("h5ls") is None, reason="h5ls (hdf5-tools) is not installed")
def test_h5ls_shows_the_layout(container: ScpContainer, tmp_path: Path) -> None:
    container.save(tmp_path / "a.h5")
    listing = subprocess.run(["h5ls", "-r", str(tmp_path / "a.h5")], capture_output=True, text=True, check=True).stdout
    shape = f"{{{container.n_samples}, {container.n_features}}}"
    lines = {" ".join(line.split()) for line in listing.splitlines()}
    assert f"/obs/cell_type Dataset {{{container.n_samples}}}" in lines
    assert f"/assays/proteins/layers/X/X Dataset {shape}" in lines
    assert f"/assays/proteins/layers/X/M Dataset {shape}" in lines
    assert f"/assays/proteins/layers/high/X_indptr Dataset {{{container.n_samples + 1}}}" in lines
    assert "/provenance/history/params Dataset {1}" in lines


def test_anndata_and_csv_of_one_set_agree(test_data: Path) -> None:
    anndata = pytest.importorskip("anndata")
    directory = test_data / "single_cell_proteomics"
    by_csv = read_csv(directory / "plexDIA_data.csv")
    by_anndata = from_anndata(anndata.read_h5ad(directory / "plexDIA.h5ad"))
    assert by_csv.sample_ids.to_list() == by_anndata.sample_ids.to_list()
    a, b = by_csv.assays["proteins"], by_anndata.assays["proteins"]
    assert a.feature_ids.to_list() == b.feature_ids.to_list()
    np.testing.assert_allclose(a.X, b.X, rtol=1e-6, atol=1e-6)


def test_results_go_on_as_anndata(container: ScpContainer, tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    container.save(tmp_path / "a.h5")
    to_anndata(load_hdf5(tmp_path / "a.h5"), "proteins", "X").write_h5ad(tmp_path / "a.h5ad")
    back = from_anndata(anndata.read_h5ad(tmp_path / "a.h5ad"))
    assert back.assays["proteins"].layers["X"] == container.assays["proteins"].layers["X"]


def test_a_selection_keeps_its_links_to_the_samples(container: ScpContainer) -> None:
    kept = container.filter_samples(container.obs["cell_type"].to_numpy() == container.obs["cell_type"][0])
    assert 0 < kept.n_samples < container.n_samples
    assert isinstance(kept.assays["proteins"], Assay)
