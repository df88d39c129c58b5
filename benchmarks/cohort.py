"""Cells as programs that learn take them, files joined and edited, beside anndata.

`python benchmarks/cohort.py [DIRECTORY]` prints a table for each: rows a second of CPU time (all threads), seconds of
CPU time and of the clock, and the memory beyond that before. Both sides work in alternation on the same files, and
results are compared.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse as sp

from h5burst.anndata import concat, update, write_h5ad
from scpstore import Assay, ScpContainer, ScpMatrix, load_hdf5, save_hdf5
from scpstore.io import iter_minibatches, read_h5ad

CELLS, GENES, ROUNDS = 50_000, 2_000, 3
BATCH, BATCHES = 256, 16


def main(directory: Path) -> None:
    """All tables."""
    warnings.filterwarnings("ignore")
    minibatches(directory)
    edits(directory)
    joined(directory)


def matrix(kind: str, seed: int = 0) -> Any:
    """CSR with 5 % of entries, or dense with two decimals."""
    rng = np.random.default_rng(seed)
    if kind == "sparse":
        made = sp.random(CELLS, GENES, 0.05, "csr", np.float32, rng)
        made.data = np.log1p(rng.poisson(2, made.nnz) + 1).astype(np.float32)
        return made
    return np.round(rng.lognormal(2, 1, (CELLS, GENES)), 2).astype(np.float32)


def minibatches(directory: Path) -> None:
    """Rows a CPU second of shuffled batches."""
    print(
        f"{CELLS} x {GENES} float32, {BATCHES} batches of {BATCH} rows: rows a second of CPU time, medians of {ROUNDS}"
    )
    print(
        f"{'file':24s} {'block':>5s} {'anndata backed':>15s} {'.h5ad':>9s} {'container':>10s} {'chunk_rows=256':>15s}"
    )
    for kind in ("sparse", "dense"):
        X = matrix(kind)
        var, obs = (pl.DataFrame({"_index": [f"{c}{n}" for n in range(k)]}) for c, k in (("g", GENES), ("c", CELLS)))
        for compression in ("gzip", None):
            paths = [directory / f"{name}.{suffix}" for name, suffix in (("a", "h5ad"), ("b", "h5"), ("c", "h5"))]
            anndata.AnnData(X).write_h5ad(paths[0], compression=compression)
            container = ScpContainer(obs, {"p": Assay(var, {"X": ScpMatrix(X)})})
            save_hdf5(container, paths[1], compression=compression, overwrite=True)
            save_hdf5(container, paths[2], compression=compression, overwrite=True, chunk_rows=256)
            del container
            for block in (1, 16):
                sides = [partial(of_anndata, paths[0], block), *(partial(of_ours, path, block) for path in paths)]
                found: list[list[float]] = [[] for _ in sides]
                for _ in range(ROUNDS):
                    for rates, side in zip(found, sides, strict=True):
                        rates.append(side())
                cells = [statistics.median(rates) for rates in found]
                theirs, ours = cells[0], [f"{rate:.0f} ({rate / cells[0]:.1f}x)" for rate in cells[1:]]
                print(f"{kind}, {compression}, {block}: {theirs:.0f}; {', '.join(ours)}", flush=True)


def of_anndata(path: Path, block: int) -> float:
    """Shuffled batches by indexing a backed object."""
    adata = anndata.read_h5ad(path, backed="r")
    starts = np.random.default_rng(1).permutation(np.arange(0, CELLS, block))
    begin = time.process_time()
    for number in range(BATCHES):
        chosen = starts[number * BATCH // block : (number + 1) * BATCH // block]
        rows = np.sort((chosen[:, None] + np.arange(block)).reshape(-1))
        batch = adata.X[rows]
        batch = batch.toarray() if sp.issparse(batch) else np.asarray(batch)
        assert batch.shape == (BATCH, GENES)
    adata.file.close()
    return BATCHES * BATCH / (time.process_time() - begin)


def of_ours(path: Path, block: int) -> float:
    """A whole epoch, since what is read together is shuffled together."""
    container = read_h5ad(path, "p", backed=True) if path.suffix == ".h5ad" else load_hdf5(path, lazy=True)
    layer = container.assays["p"].layers["X"]
    begin, done = time.process_time(), 0
    for batch in iter_minibatches(layer, BATCH, block, seed=1):
        done += len(batch.rows)
        assert batch.values.shape[1] == GENES
    assert done == CELLS
    return done / (time.process_time() - begin)


def edits(directory: Path) -> None:
    """A table of a large file replaced."""
    path = directory / "large.h5ad"
    adata = anndata.AnnData(matrix("dense"))
    write_h5ad(adata, path)
    adata.obs["cluster"] = pd.Categorical(np.random.default_rng(0).choice(list("abc"), CELLS))
    spent = []
    for _ in range(ROUNDS):
        begin, cpu = time.perf_counter(), time.process_time()
        update(path, adata, "obs")
        spent.append((time.perf_counter() - begin, time.process_time() - cpu))
    wall, used = (statistics.median(times) for times in zip(*spent, strict=True))
    begin = time.perf_counter()
    adata.write_h5ad(directory / "again.h5ad")
    theirs = time.perf_counter() - begin
    size = path.stat().st_size >> 20
    print(f"obs of a file of {size} MB: update {wall:.3f} s ({used:.3f} s CPU), anndata {theirs:.2f} s")
    assert anndata.read_h5ad(path, backed="r").obs.equals(adata.obs)


def joined(directory: Path) -> None:
    """Four files joined on disk, each side in a process of its own."""
    for number in range(4):
        genes = [f"g{n}" for n in np.random.default_rng(number // 2).permutation(GENES + 100 * (number // 2))[:GENES]]
        names = [f"{number}_{n}" for n in range(CELLS)]
        made = anndata.AnnData(matrix("sparse", number), pd.DataFrame(index=names), pd.DataFrame(index=genes))
        for compression in (None, "gzip"):
            made.write_h5ad(directory / f"{compression}{number}.h5ad", compression=compression)
    for compression in ("None", "gzip"):
        for join in ("inner", "outer"):
            for side in ("ours", "theirs"):
                command = [sys.executable, __file__, "--join", side, compression, join, str(directory)]
                said = [
                    subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() for _ in range(3)
                ]
                medians = [statistics.median(map(float, column)) for column in zip(*said, strict=True)]
                cpu, wall, memory = medians
                figures = f"{cpu:.2f} s CPU, {wall:.2f} s, {memory:.0f} MB"
                print(f"join {join}, {compression}: {side} {figures}", flush=True)


def join_once(side: str, compression: str, join: str, directory: Path) -> None:
    """One join, which prints seconds of CPU time and of the clock, and megabytes."""
    warnings.filterwarnings("ignore")
    from anndata.experimental import concat_on_disk

    paths = [directory / f"{compression}{number}.h5ad" for number in range(4)]
    out = directory / f"joined_{side}.h5ad"
    out.unlink(missing_ok=True)
    before, cpu, wall = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time(), time.perf_counter()
    (concat if side == "ours" else concat_on_disk)(paths, out, join=join)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(time.process_time() - cpu, time.perf_counter() - wall, used / 1024)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--join"]:
        join_once(*sys.argv[2:5], Path(sys.argv[5]))
    elif len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name))
