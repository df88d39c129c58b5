"""`.h5ad` files, written and read by `h5burst.anndata` and by anndata itself, gzipped: sparse and dense, beside sizes.

Sparse: 50 000 cells x 2 000 genes with 10 % of entries, as CSR: counts, and their logarithms as scanpy leaves them.
Dense: 5 000 x 8 000, 60 % zeros, of the kinds of `test_containers.py`.
"""

from __future__ import annotations

from importlib.metadata import version

import anndata
import deflate
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from harness import limit, versus
from test_containers import matrices, megabytes

from h5burst import parallel_map
from h5burst.anndata import read_h5ad, read_h5mu, write_h5ad, write_h5mu

CELLS, GENES, SHARE = 50_000, 2_000, 0.1
KINDS = ("sparse counts", "sparse log1p", "dense rounded to 2", "dense rounded to 3", "dense counts",
         "dense float32 as float64", "dense full digits")  # fmt: skip
TARGETS = {"dense": {"write": 5, "read": 4}, "sparse": {"write": 6, "read": 4}}

pytestmark = pytest.mark.filterwarnings("ignore")


def an_object(kind):
    form, _, of = kind.partition(" ")
    if form == "dense":
        return anndata.AnnData(matrices("dense", of)[0])
    rng = np.random.default_rng(1)
    per_cell = int(GENES * SHARE)
    places = np.concatenate([np.sort(rng.choice(GENES, per_cell, replace=False)) for _ in range(CELLS)])
    counts = (1 + rng.poisson(rng.gamma(0.5, 4, places.size))).astype(np.float32)
    X = sp.csr_matrix((counts, places.astype(np.int32), np.arange(0, places.size + 1, per_cell)), (CELLS, GENES))
    if of == "log1p":
        depth = np.repeat(np.add.reduceat(counts, X.indptr[:-1]), per_cell)
        X.data = np.log1p(counts / depth * 1e4).astype(np.float32)
    return anndata.AnnData(X)


@pytest.fixture(scope="module", params=KINDS)
def adata(request):
    return request.param, an_object(request.param)


def same(a, b):
    a, b = a.X, b.X
    if sp.issparse(a):
        return all(np.array_equal(getattr(a, part), getattr(b, part)) for part in ("data", "indices", "indptr"))
    return np.array_equal(a, b)


def test_write(benchmark, adata, tmp_path):
    kind, data = adata
    ours, theirs = tmp_path / "ours.h5ad", tmp_path / "theirs.h5ad"
    versus(
        benchmark,
        lambda: write_h5ad(data, ours, compression="gzip"),
        lambda: data.write_h5ad(theirs, compression="gzip"),
        other_name="anndata",
        same=None,  # what is in the files is compared when they are read
        before=lambda: [path.unlink(missing_ok=True) for path in (ours, theirs)],
        target_ratio=TARGETS[kind.split()[0]]["write"],
    )
    write_h5ad(data, ours, compression="gzip")
    data.write_h5ad(theirs, compression="gzip")
    benchmark.extra_info.update(ours_MB=megabytes(ours), other_MB=megabytes(theirs))


def test_read(benchmark, adata, tmp_path):
    """Each its own file; and ours reads what anndata wrote."""
    kind, data = adata
    ours, theirs = tmp_path / "ours.h5ad", tmp_path / "theirs.h5ad"
    write_h5ad(data, ours, compression="gzip")
    data.write_h5ad(theirs, compression="gzip")
    versus(
        benchmark,
        lambda: read_h5ad(ours),
        lambda: anndata.read_h5ad(theirs),
        other_name="anndata",
        same=same,
        target_ratio=TARGETS[kind.split()[0]]["read"],
    )


def test_read_what_anndata_wrote(benchmark, adata, tmp_path):
    kind, data = adata
    theirs = tmp_path / "theirs.h5ad"
    data.write_h5ad(theirs, compression="gzip")
    versus(
        benchmark,
        lambda: read_h5ad(theirs),
        lambda: anndata.read_h5ad(theirs),
        other_name="anndata, its own file",
        same=same,
        target_ratio=TARGETS[kind.split()[0]]["read"],
    )
    streams = list(compressed_chunks(theirs))
    limit(
        benchmark,
        "libdeflate for its chunks, on two threads",
        lambda: parallel_map(lambda each: deflate.zlib_decompress(*each), streams, 2),
    )


def compressed_chunks(path):
    """Each chunk of the matrix as it is stored, with the number of its bytes once it is not."""
    with h5py.File(path) as file:
        matrix = file["X"]
        for data in [matrix] if isinstance(matrix, h5py.Dataset) else [matrix["data"], matrix["indices"]]:
            size = int(np.prod(data.chunks)) * data.dtype.itemsize
            for place in range(data.id.get_num_chunks()):
                info = data.id.get_chunk_info(place)
                yield data.id.read_direct_chunk(info.chunk_offset)[1], size


@pytest.fixture(scope="module")
def mdata():
    """Counts and dense proteins of the same cells."""
    mudata = pytest.importorskip("mudata")
    rna, protein = an_object("sparse counts"), anndata.AnnData(matrices("dense", "rounded to 2")[0])
    return mudata.MuData({"rna": rna[: protein.n_obs].copy(), "protein": protein})


@pytest.mark.parametrize("work", ["write", "read"])
def test_h5mu(benchmark, mdata, tmp_path, work):
    """`.h5mu` files of two modalities, gzipped; each side reads its own."""
    mudata = pytest.importorskip("mudata")
    ours, theirs = tmp_path / "ours.h5mu", tmp_path / "theirs.h5mu"
    write = (lambda: write_h5mu(mdata, ours, compression="gzip"), lambda: mdata.write(theirs, compression="gzip"))
    read = (lambda: read_h5mu(ours), lambda: mudata.read_h5mu(theirs))
    for side in write:
        side()
    versus(
        benchmark,
        *(write if work == "write" else read),
        other_name=f"mudata {version('mudata')}",
        same=(lambda a, b: all(same(a.mod[name], b.mod[name]) for name in a.mod)) if work == "read" else None,
        ours_MB=megabytes(ours),
        other_MB=megabytes(theirs),
    )
