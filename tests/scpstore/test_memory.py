"""Saving costs a few blocks beyond the container itself, whatever form its matrices have; loading no second copy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")

_PROGRAM = """
import sys
import numpy as np, polars as pl, scipy.sparse as sp
from scpstore import Assay, ScpContainer, ScpMatrix, load_hdf5, save_hdf5

def peak():  # not ru_maxrss, which a process inherits from the one that started it
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10

form, path = sys.argv[1:]
rows, columns, each = 4000, 5000, 2500  # 10 million entries
rng = np.random.default_rng(0)

def a_matrix():
    if form.startswith("dense"):
        X = np.zeros((rows, columns), order=form[-1])
        X[:, :each] = rng.integers(1, 200, (rows, 1))
        return X
    if form == "csc":
        data, indices = np.ones(rows * each), np.tile(np.arange(rows, dtype=np.int32), each)
        return sp.csc_matrix((data, indices, np.concatenate([np.arange(each + 1) * rows, np.full(each, each *
        rows)]).astype(np.int32)), shape=(rows, columns))
    data, cols = np.ones(rows * each), np.tile(np.arange(0, columns, 2, dtype=np.int32), rows)
    if form == "csr":
        return sp.csr_matrix((data, cols, np.arange(0, rows * each + 1, each, dtype=np.int32)), shape=(rows, columns))
    row = np.repeat(np.arange(rows - 1, -1, -1, dtype=np.int32), each)
    return sp.coo_matrix((data, (row, cols)), shape=(rows, columns))

small = ScpContainer(pl.DataFrame({"_index": ["s"]}), {"a": Assay(pl.DataFrame({"_index": ["p"]}), {"X":
ScpMatrix(np.ones((1, 1)))})})
save_hdf5(small, path)  # what is loaded and allocated once
load_hdf5(path)
frames = [pl.DataFrame({"_index": range(n)}) for n in (rows, columns)]
container = ScpContainer(frames[0], {"a": Assay(frames[1], {"X": ScpMatrix(a_matrix())})})
before = peak()
save_hdf5(container, path, compression_level=1, overwrite=True)
print(peak() - before)
"""

BLOCKS = 96 << 20  # for two threads; the matrices have 120 to 160 MB


@pytest.mark.parametrize("form", ["denseC", "denseF", "csr", "csc", "coo"])
def test_saving_needs_a_few_blocks(tmp_path: Path, form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, form, str(tmp_path / "a.h5")],
        capture_output=True, text=True, check=True, timeout=200, env={"H5BURST_NUM_THREADS": "2"},
    )  # fmt: skip
    assert int(done.stdout) < BLOCKS


_VERIFY = """
import sys
from pathlib import Path
import numpy as np, polars as pl
from scpstore import cli
from scpstore.io import ContainerWriter

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10

path, rows, columns = Path(sys.argv[1]), 1000, 20_000
frames = [pl.DataFrame({"_index": [str(n) for n in range(count)]}) for count in (rows, columns)]
rng = np.random.default_rng(0)
with ContainerWriter(path, frames[0], {"a": frames[1]}, compression=None) as writer:
    for _ in range(0, rows, 100):
        writer.append("a", "X", rng.random((100, columns)))
before = peak()
assert cli._problems(path) == []
print(peak() - before)
"""


def test_verifying_needs_a_few_blocks(tmp_path: Path) -> None:
    """A matrix of 160 MB."""
    command = [sys.executable, "-c", _VERIFY, str(tmp_path / "a.h5")]
    environment = {"H5BURST_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200, env=environment)
    assert int(done.stdout) < BLOCKS


_TO_H5AD = """
import sys
from pathlib import Path
import anndata, numpy as np, polars as pl, scipy.sparse as sp
from scpstore import Assay, ScpContainer, ScpMatrix, save_hdf5
from scpstore.io import ContainerWriter
from scpstore.io.formats import read_any, write_any

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10

form, path = sys.argv[1], Path(sys.argv[2])
small = ScpContainer(pl.DataFrame({"_index": ["s"]}), {"a": Assay(pl.DataFrame({"_index": ["p"]}), {"X":
ScpMatrix(np.ones((1, 1)))})})
save_hdf5(small, path)
write_any(read_any(path), path.with_suffix(".h5ad"))  # what is loaded and allocated once
rows, columns, step = 10_000, 2_000, 500
frames = [pl.DataFrame({"_index": [str(n) for n in range(count)]}) for count in (rows, columns)]

def block(start):
    rng = np.random.default_rng(start)
    made = rng.integers(1, 99, (step, columns)) / 7
    return made if form == "dense" else sp.csr_matrix(made * (rng.random((step, columns)) < 0.5))

with ContainerWriter(path, frames[0], {"a": frames[1]}, compression=None, overwrite=True) as writer:
    for start in range(0, rows, step):
        made = block(start)
        lod = made > 13
        writer.append("a", "X", made, (lod.astype(np.int8) * 2))
before = peak()
write_any(read_any(path), path.with_suffix(".h5ad"), overwrite=True)
print(peak() - before)
adata = anndata.read_h5ad(path.with_suffix(".h5ad"))
for start in range(0, rows, step):
    made, rest = block(start), slice(start, start + step)
    assert (adata.X[rest] != made).sum() == 0
    assert (adata.layers["mask"][rest] != (made > 13).astype(np.int8) * 2).sum() == 0
"""


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_converting_to_anndata_needs_a_few_blocks(tmp_path: Path, form: str) -> None:
    """A matrix of 160 MB, or 120 MB, with its mask."""
    pytest.importorskip("anndata")
    command = [sys.executable, "-c", _TO_H5AD, form, str(tmp_path / "a.h5")]
    environment = {"H5BURST_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200, env=environment)
    assert int(done.stdout) < BLOCKS


_FROM_H5AD = """
import sys
from pathlib import Path
import anndata, numpy as np, pandas as pd, scipy.sparse as sp
from h5burst.anndata import append, streamed, write_h5ad
from scpstore import load_hdf5
from scpstore.io.formats import read_any, write_any

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10

form, path = sys.argv[1], Path(sys.argv[2])
kind = sp.csr_matrix if form == "sparse" else np.asarray
write_h5ad(anndata.AnnData(kind(np.ones((2, 2), np.float32))), path)
write_any(read_any(path), path.with_suffix(".h5"))  # what is loaded and allocated once
rows, columns, step = 10_000, 4_000, 500

def block(start):
    rng = np.random.default_rng(start)
    made = rng.integers(1, 99, (step, columns), dtype=np.int8).astype(np.float32) / 8
    return kind(made * (rng.random((step, columns), np.float32) < 0.5) if form == "sparse" else made)

class Rows:
    shape, dtype = (rows, columns), np.dtype(np.float32)
    def read(self, start, stop):
        first = start // step * step
        parts = [block(n)[max(start - n, 0) : stop - n] for n in range(first, stop, step)]
        return np.concatenate(parts)

if form == "dense":
    write_h5ad(anndata.AnnData(streamed(Rows())), path)
elif form == "layers":
    class Codes(Rows):
        dtype = np.dtype(np.int8)
        def read(self, start, stop):
            return (super().read(start, stop) > 9).astype(np.int8) * 2
    write_h5ad(anndata.AnnData(layers={"log": streamed(Rows()), "log_mask": streamed(Codes())},
                               shape=(rows, columns)), path)
else:
    write_h5ad(anndata.AnnData(block(0)), path)
    for start in range(step, rows, step):
        append(path, anndata.AnnData(block(start), pd.DataFrame(index=[f"c{start + n}" for n in range(step)])))
Path("/proc/self/clear_refs").write_text("5")  # the peak is that of now
before = peak()
write_any(read_any(path), path.with_suffix(".h5"), overwrite=True)
print(peak() - before)
if form == "layers":
    again = path.with_name("again.h5ad")
    write_any(read_any(path), again)
    print(peak() - before)
layer = load_hdf5(path.with_suffix(".h5"), lazy=True).assays["proteins"].layers["log" if form == "layers" else "X"]
for start in range(0, rows, step):
    assert (layer.X[start : start + step] != block(start)).sum() == 0
    if form == "layers":
        assert ((layer.M[start : start + step] == 2) == (block(start) > 9)).all()
"""


@pytest.mark.parametrize("form", ["dense", "sparse", "layers"])
def test_x_and_layers_of_anndata_are_converted_in_blocks(tmp_path: Path, form: str) -> None:
    """A matrix of 160 MB; as a layer with a mask of 40 MB."""
    pytest.importorskip("anndata")
    command = [sys.executable, "-W", "ignore", "-c", _FROM_H5AD, form, str(tmp_path / "a.h5ad")]
    environment = {"H5BURST_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200, env=environment)
    assert max(map(int, done.stdout.split())) < BLOCKS


_COLUMNS = """
import sys
from pathlib import Path
import anndata, numpy as np, scipy.sparse as sp
from h5burst.anndata import concat, subset, write_h5ad
from scpstore import cli, load_hdf5
from scpstore.io import read_h5ad
from scpstore.io.formats import read_any, write_any

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10

def a_matrix(rows, columns):
    each = rows // 2
    places = np.arange(each, dtype=np.int32)[None] * 2 + (np.arange(columns, dtype=np.int32) % 2)[:, None]
    data = (np.arange(columns * each, dtype=np.int32) % 250 + 1).astype(np.float32)
    return sp.csc_matrix((data, places.reshape(-1), np.arange(columns + 1) * each), (rows, columns))

def work(path):
    again, container = path.with_name("again.h5ad"), path.with_suffix(".h5")
    write_any(read_any(path), container, overwrite=True)
    assert cli._problems(container) == []
    write_any(read_any(container), again, overwrite=True)
    lazy = read_h5ad(path, backed=True).assays["proteins"].layers["X"].X
    subset(path, np.arange(0, lazy.shape[0], 9), None, path.with_name("part.h5ad"), overwrite=True)
    concat([path, path], path.with_name("two.h5ad"), overwrite=True, index_unique="-")
    return again, container, lazy

path = Path(sys.argv[1])
write_h5ad(anndata.AnnData(a_matrix(4, 3)), path)
work(path)  # what is loaded and allocated once
write_h5ad(anndata.AnnData(a_matrix(20_000, 2_000)), path)
Path("/proc/self/clear_refs").write_text("5")  # the peak is that of now
before = peak()
again, container, lazy = work(path)
rows = lazy[[15_000, 3]]
print(peak() - before)
made = a_matrix(20_000, 2_000)
assert (rows != made[[15_000, 3]]).nnz == 0
for found in (anndata.read_h5ad(again).X, load_hdf5(container).assays["proteins"].layers["X"].X):
    assert found.format == "csc"
    for name in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(found, name), getattr(made, name)), name
two = anndata.read_h5ad(path.with_name("two.h5ad")).X
assert (two[:20_000] != made).nnz == 0 and (two[20_000:] != made).nnz == 0
assert (anndata.read_h5ad(path.with_name("part.h5ad")).X != made[::9]).nnz == 0
"""


def test_what_is_stored_by_columns_is_converted_verified_joined_and_cut_in_blocks(tmp_path: Path) -> None:
    """A CSC matrix of 160 MB."""
    pytest.importorskip("anndata")
    command = [sys.executable, "-W", "ignore", "-c", _COLUMNS, str(tmp_path / "a.h5ad")]
    environment = {"H5BURST_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < BLOCKS + (48 << 20)  # two million entries are sorted at once


_MODALITIES = """
import sys
from pathlib import Path
import anndata, mudata, numpy as np, pandas as pd, scipy.sparse as sp
from h5burst.anndata import write_h5mu
from scpstore import load_hdf5
from scpstore.io.formats import read_any, write_any

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10

def an_object(rows, columns):
    X = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    names = pd.DataFrame(index=[f"c{n}" for n in range(rows)])
    few = X[::-2, : columns // 4].copy()
    dense, fewer = anndata.AnnData(X, names), anndata.AnnData(few, names[::-2])
    fewer.layers["sparse"] = sp.csr_matrix(few % 7 == 1, dtype=np.float32)
    dense.var_names, fewer.var_names = ([f"{name}{n}" for n in range(len(part.var))] for name, part in
                                        (("a", dense), ("b", fewer)))
    return mudata.MuData({"dense": dense, "fewer": fewer})

mudata.set_options(pull_on_update=False)
path = Path(sys.argv[1])
write_h5mu(an_object(4, 4), path)
write_any(read_any(path), path.with_suffix(".h5"))  # what is loaded and allocated once
write_any(read_any(path.with_suffix(".h5")), path.with_name("again.h5mu"))
made = an_object(10_000, 4_000)
write_h5mu(made, path)
expected = [float(made.mod[name].X.sum(dtype=float)) for name in made.mod]
del made
Path("/proc/self/clear_refs").write_text("5")  # the peak is that of now
before = peak()
write_any(read_any(path), path.with_suffix(".h5"), overwrite=True)
write_any(read_any(path.with_suffix(".h5")), path.with_name("again.h5mu"), overwrite=True)
print(peak() - before)
again = mudata.read_h5mu(path.with_name("again.h5mu"))
assert np.allclose([float(again.mod[name].X.sum(dtype=float)) for name in again.mod], expected, rtol=1e-9)
del again
assays = load_hdf5(path.with_suffix(".h5"), lazy=True).assays
found = [sum(float(np.nansum(part, dtype=float)) for part in assays[name].layers["X"].X.iter_blocks())
         for name in ("dense", "fewer")]
assert np.allclose(found, expected, rtol=1e-9), (found, expected)
"""


def test_modalities_are_converted_in_blocks(tmp_path: Path) -> None:
    """A matrix of 160 MB; of half its cells, in another order, one of 20 MB, which gets a mask (and comes into memory
    to be written as a modality again).
    """
    pytest.importorskip("mudata")
    command = [sys.executable, "-W", "ignore", "-c", _MODALITIES, str(tmp_path / "a.h5mu")]
    environment = {"H5BURST_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < BLOCKS
