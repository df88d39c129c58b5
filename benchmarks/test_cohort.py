"""Cohorts beside the packages that laboratories use for them; whatever is not installed is skipped by name.

    python -m pip install alphapepttools directlfq torch annbatch   # annbatch wants Python 3.12

Reports: real ones of `H5BURST_TEST_DATA`, stretched, read into a container and by the readers of alphapepttools and of
directlfq. Batches to learn from: a file of anndata's, by it, AnnLoader, annbatch. Files joined: concat_on_disk.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from harness import peak_memory, versus

from h5burst.anndata import concat, update, write_h5ad
from scpstore import Assay, ScpContainer, ScpMatrix, load_hdf5, save_hdf5
from scpstore.io import iter_minibatches, read_h5ad, read_report

REPORTS = Path(os.environ.get("H5BURST_TEST_DATA", "")) / "search_engine_reports"
COPIES = 40  # of each row of a real report
CELLS, GENES, BATCH = 10_000, 2_000, 256  # of dense files a fifth of the cells
JOINED = 20_000  # cells of each of two files; of dense ones a tenth

pytestmark = pytest.mark.filterwarnings("ignore")


def other_of(package: str) -> str:
    return f"{package} {version(package)}"


# ---------------------------------------------------------------- reports of search engines


def stretched(name: str, texts: tuple[str, ...], runs: tuple[str, ...], directory: Path) -> Path:
    """A report with its rows many times: of ten times as many runs, where a row is of a run, and more features."""
    rows = pl.read_csv(REPORTS / name, separator="\t", infer_schema=False)
    copies = []
    for number in range(COPIES):
        run, letters = (number // 4, "W" * (number % 4)) if runs else (0, "W" * number)
        changed = [pl.col(column) + f"_{run}" for column in runs]
        copies.append(rows.with_columns(*changed, *(pl.col(name) + letters for name in texts)))
    path = directory / name
    pl.concat(copies).write_csv(path, separator="\t")
    return path


REPORT_COLUMNS = {
    "diann_1.9_report.tsv": (
        ("Protein.Group", "Protein.Ids", "Genes", "Modified.Sequence", "Stripped.Sequence", "Precursor.Id"),
        ("Run", "File.Name"),
    ),
    "maxquant_proteinGroups_short_rows.txt": (("Protein IDs", "Majority protein IDs", "id"), ()),
    "fragpipe_combined_ion.tsv": (("Peptide Sequence", "Modified Sequence", "Protein", "Protein ID"), ()),
}


def by_alphapepttools(path: Path) -> Any:
    from alphapepttools import io

    if path.name.startswith("maxquant"):
        return io.read_pg_table(str(path), "maxquant").X
    return io.read_psm_table(str(path), "diann", level="precursors").X


def by_directlfq(path: Path) -> Any:
    from directlfq.utils import import_data

    kind = "fragpipe_precursors" if path.name.startswith("fragpipe") else "diann_precursors"
    return import_data(str(path), input_type_to_use=kind).drop(columns=["protein", "ion"]).to_numpy(float)


OTHERS = {
    ("diann_1.9_report.tsv", "alphapepttools"): (by_alphapepttools, "precursors", "Precursor.Normalised"),
    ("maxquant_proteinGroups_short_rows.txt", "alphapepttools"): (by_alphapepttools, "proteins", "Intensity"),
    ("diann_1.9_report.tsv", "directlfq"): (by_directlfq, "precursors", "Precursor.Quantity"),
    ("fragpipe_combined_ion.tsv", "directlfq"): (by_directlfq, "precursors", "Intensity"),
}


def known(values: Any) -> np.ndarray[Any, Any]:
    """What was measured."""
    values = np.asarray(values, np.float32).reshape(-1)
    return values[(values != 0) & ~np.isnan(values)]


@pytest.mark.skipif(not REPORTS.is_dir(), reason="no real reports (H5BURST_TEST_DATA)")
@pytest.mark.parametrize(("name", "other"), OTHERS)
def test_report(benchmark, tmp_path, name, other):
    """Ours makes all layers of all assays with their masks; the others one table of one quantity, without some rows."""
    pytest.importorskip(other)
    read, assay, layer = OTHERS[name, other]
    path = stretched(name, *REPORT_COLUMNS[name], tmp_path)
    versus(
        benchmark,
        lambda: read_report(path),
        partial(read, path),
        other_name=other_of(other),
        same=lambda ours, theirs: bool(np.isin(known(theirs), known(ours.assays[assay].layers[layer].X)).all()),
        rounds=3,
        MB=path.stat().st_size / 1e6,
    )
    ours = read_report(path).assays[assay].layers[layer].X
    benchmark.extra_info.update(our_values=len(known(ours)), their_values=len(known(read(path))))


# ---------------------------------------------------------------- batches to learn from


FORMS = {
    "gzip": ("sparse", "gzip"),
    "not compressed": ("sparse", None),
    "dense gzip": ("dense", "gzip"),
    "dense not compressed": ("dense", None),
}


@pytest.fixture(scope="module", params=FORMS)
def cells(request, tmp_path_factory):
    """A file of anndata's, and a container of the same, saved for rows."""
    directory = tmp_path_factory.mktemp("cells")
    form, compression = FORMS[request.param]
    X = counts(CELLS) if form == "sparse" else counts(CELLS // 5).toarray()
    anndata.AnnData(X).write_h5ad(directory / "cells.h5ad", compression=compression)
    obs, var = (pl.DataFrame({"_index": [f"{n}" for n in range(length)]}) for length in X.shape)
    container = ScpContainer(obs, {"p": Assay(var, {"X": ScpMatrix(X)})})
    save_hdf5(container, directory / "cells.h5", compression=compression, chunk_rows=256)
    return directory / "cells.h5ad", directory / "cells.h5", X.shape[0]


def counts(rows: int, seed: int = 0) -> Any:
    """CSR with 5 % of entries, as scanpy's logarithms."""
    rng = np.random.default_rng(seed)
    made = sp.random(rows, GENES, 0.05, "csr", np.float32, rng)
    made.data = np.log1p(rng.poisson(2, made.nnz) + 1).astype(np.float32)
    return made


def ours_of(path: Path, block: int) -> float:
    container = read_h5ad(path, "p", backed=True) if path.suffix == ".h5ad" else load_hdf5(path, lazy=True)
    layer = container.assays["p"].layers["X"]
    return sum(float(batch.values.sum(dtype=float)) for batch in iter_minibatches(layer, BATCH, block, seed=1))


def by_backed_anndata(path: Path, block: int) -> float:
    adata = anndata.read_h5ad(path, backed="r")
    starts = np.random.default_rng(1).permutation(np.arange(0, adata.n_obs, block))
    rows = (starts[:, None] + np.arange(block)).reshape(-1)
    total = 0.0
    for first in range(0, adata.n_obs, BATCH):
        values = adata.X[np.sort(rows[first : first + BATCH])]
        total += float((values.toarray() if sp.issparse(values) else values).sum(dtype=float))
    adata.file.close()
    return total


def by_annloader(path: Path, block: int) -> float:
    pytest.importorskip("torch")
    from anndata.experimental import AnnLoader

    if block != 1:
        pytest.skip("AnnLoader draws rows one by one")
    adata = anndata.read_h5ad(path, backed="r")
    return sum(float(batch.X.double().sum()) for batch in AnnLoader(adata, batch_size=BATCH, shuffle=True))


def by_annbatch(path: Path, block: int) -> float:
    """From a Zarr store, which is the format that it reads."""
    annbatch = pytest.importorskip("annbatch")
    if not sp.issparse(anndata.read_h5ad(path, backed="r")[:1].X):
        pytest.skip("sparse matrices alone")
    import zarr

    store = path.with_suffix(".zarr")
    if not store.exists():
        anndata.read_h5ad(path).write_zarr(store)
    X = anndata.io.sparse_dataset(zarr.open_group(store, mode="r")["X"])
    loader = annbatch.Loader(chunk_size=block, preload_nchunks=8192 // block, batch_size=BATCH, shuffle=True)
    return sum(float(batch["X"].toarray().sum(dtype=float)) for batch in loader.add_dataset(X))


LOADERS = {"anndata": by_backed_anndata, "AnnLoader": by_annloader, "annbatch": by_annbatch}


@pytest.mark.parametrize("file", ["h5ad", "container"])
@pytest.mark.parametrize("block", [1, 16])
@pytest.mark.parametrize("other", LOADERS)
def test_minibatches(benchmark, cells, other, block, file):
    """A whole epoch in batches of 256 dense rows, drawn one by one or in blocks."""
    h5ad, container, height = cells
    path = h5ad if file == "h5ad" else container
    LOADERS[other](h5ad, block)  # skips ahead of the first round
    result = versus(
        benchmark,
        partial(ours_of, path, block),
        partial(LOADERS[other], h5ad, block),
        other_name=f"{other} ({other_of('anndata')})" if other == "AnnLoader" else other_of(other),
        same=np.isclose,
        rounds=3,
    )
    rates = {f"{side}_rows_per_cpu_s": height / result.extra[f"{side}_cpu_s"] for side in ("ours", "other")}
    benchmark.extra_info.update(rates)


def by_requests(layer: Any, requests: list[np.ndarray[Any, Any]]) -> float:
    """Lists of rows, each of them one request; gives the sum of the last."""
    for rows in requests:
        values = layer[rows]
    return float((values.data if sp.issparse(values) else values).sum(dtype=float))


@pytest.mark.parametrize("block", [1, 16])
def test_rows_of_one_request(benchmark, cells, block):
    """256 rows of an `.h5ad` file in one request, ten times: each drawn alone, or in blocks of neighbours."""
    path, _, height = cells
    rng = np.random.default_rng(2)
    drawn = (rng.choice(height // block, BATCH // block, replace=False) * block for _ in range(10))
    requests = [np.sort((starts[:, None] + np.arange(block)).reshape(-1)) for starts in drawn]
    adata = anndata.read_h5ad(path, backed="r")
    layer = read_h5ad(path, "p", backed=True).assays["p"].layers["X"].X
    result = versus(
        benchmark,
        partial(by_requests, layer, requests),
        partial(by_requests, adata.X, requests),
        other_name=f"{other_of('anndata')}, backed",
        same=np.isclose,
    )
    adata.file.close()
    rows = BATCH * len(requests)
    rates = {f"{side}_rows_per_cpu_s": rows / result.extra[f"{side}_cpu_s"] for side in ("ours", "other")}
    benchmark.extra_info.update(rates)


# ---------------------------------------------------------------- files joined and edited


def joinable(directory: Path, form: str, compression: str | None) -> list[Path]:
    """Two files; half of the genes of the second are in another order."""
    paths = []
    for number in range(2):
        genes = np.random.default_rng(number).permutation(GENES)
        X = counts(JOINED, number)
        if form == "dense":
            X = X[: JOINED // 10].toarray()
        obs = pd.DataFrame(index=[f"{number}_{n}" for n in range(X.shape[0])])
        adata = anndata.AnnData(X, obs, pd.DataFrame(index=[f"g{n}" for n in genes]))
        paths.append(directory / f"{number}.h5ad")
        adata.write_h5ad(paths[-1], compression=compression)
    return paths


def same_files(ours: Path, theirs: Path) -> bool:
    a, b = (anndata.read_h5ad(path) for path in (ours, theirs))
    values = (a.X != b.X).nnz == 0 if sp.issparse(b.X) else np.array_equal(a.X, b.X)
    return bool(values) and a.obs.equals(b.obs) and a.var_names.equals(b.var_names)


@pytest.mark.parametrize("compression", ["gzip", None], ids=["gzip", "not compressed"])
@pytest.mark.parametrize("form", ["sparse", "dense"])
def test_concat(benchmark, tmp_path, form, compression):
    """Two files whose genes are in another order, from disk to disk; outputs are not compressed."""
    from anndata.experimental import concat_on_disk

    paths, ours, theirs = joinable(tmp_path, form, compression), tmp_path / "ours.h5ad", tmp_path / "theirs.h5ad"
    versus(
        benchmark,
        lambda: concat(paths, ours),
        lambda: concat_on_disk(paths, theirs),
        other_name=f"concat_on_disk ({other_of('anndata')})",
        same=None,  # the files are compared below
        before=lambda: [path.unlink(missing_ok=True) for path in (ours, theirs)],
        rounds=3,
        target_ratio=5,
    )
    concat(paths, ours, overwrite=True)
    concat_on_disk(paths, theirs)
    assert same_files(ours, theirs)
    names = [str(path) for path in paths]
    sides = {
        "ours": ("from h5burst.anndata import concat", f"concat({names!r}, {str(ours)!r}, overwrite=True)"),
        "other": ("from anndata.experimental import concat_on_disk", f"concat_on_disk({names!r}, {str(theirs)!r})"),
    }
    theirs.unlink()
    for side, (setup, work) in sides.items():
        found = peak_memory(f"import warnings; warnings.simplefilter('ignore'); {setup}", work)
        benchmark.extra_info[f"{side}_peak_MB"] = (found["peak"] - found["before"]) / 1e6


def test_update_of_obs(benchmark, tmp_path):
    """The table of cells of a dense file of 160 MB, replaced; anndata writes all again."""
    path = tmp_path / "large.h5ad"
    adata = anndata.AnnData(np.ones((JOINED, GENES), np.float32))
    write_h5ad(adata, path)
    adata.obs["cluster"] = pd.Categorical(np.random.default_rng(0).choice(list("abc"), JOINED))
    again = tmp_path / "again.h5ad"
    versus(
        benchmark,
        lambda: update(path, adata, "obs"),
        lambda: adata.write_h5ad(again),
        other_name=f"{other_of('anndata')}, written again",
        same=None,  # compared below
        rounds=3,
        target_s=0.1,
    )
    assert anndata.read_h5ad(path, backed="r").obs.equals(adata.obs)
    shutil.rmtree(tmp_path)
