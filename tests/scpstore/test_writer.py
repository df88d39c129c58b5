"""Containers in blocks: the writer gives the file that saving the whole gives; CSR sources are read once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from scpstore import Assay, ScpContainer, ScpMatrix, assert_identical, load_hdf5, save_hdf5
from scpstore.core import AssayNotFoundError
from scpstore.io import ContainerWriter, IOWriteError


def frames(samples: int, features: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    return pl.DataFrame({"_index": [f"s{n}" for n in range(samples)]}, schema={"_index": pl.String}), pl.DataFrame(
        {"_index": [f"p{n}" for n in range(features)]}, schema={"_index": pl.String}
    )


def a_matrix(samples: int, features: int, form: str, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    dense = np.where(rng.random((samples, features)) < 0.3, rng.normal(size=(samples, features)), 0)
    return dense.astype(np.float32) if form == "dense" else sp.csr_matrix(dense)


def a_mask(samples: int, features: int, form: str) -> Any:
    codes = np.random.default_rng(9).integers(0, 7, (samples, features)).astype(np.int8)
    return codes if form == "dense" else sp.csr_matrix(codes)


@settings(max_examples=20)
@given(edges=st.lists(st.integers(0, 30), max_size=5).map(sorted), form=st.sampled_from(["dense", "sparse"]))
def test_blocks_give_the_file_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, edges: list[int], form: str
) -> None:
    directory = tmp_path_factory.mktemp("writer")
    obs, var = frames(30, 7)
    X, M = a_matrix(30, 7, form), a_mask(30, 7, form)
    with ContainerWriter(directory / "a.h5", obs, {"p": var, "empty": var.head(0)}, compression="zstd") as writer:
        for start, stop in zip([0, *edges], [*edges, 30], strict=True):
            writer.append("p", "X", X[start:stop], M[start:stop])
        assert not (directory / "a.h5").exists()
    expected = ScpContainer(obs, {"p": Assay(var, {"X": ScpMatrix(X, M)}), "empty": Assay(var.head(0))})
    assert_identical(load_hdf5(directory / "a.h5"), expected)
    assert sorted(path.name for path in directory.iterdir()) == ["a.h5"]


def test_nothing_is_written_when_it_ends_in_an_exception(tmp_path: Path) -> None:
    obs, var = frames(2, 2)

    def interrupted() -> None:
        with ContainerWriter(tmp_path / "a.h5", obs, {"p": var}) as writer:
            writer.append("p", "X", np.ones((2, 2)))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_missing_samples_are_told(tmp_path: Path) -> None:
    obs, var = frames(3, 2)
    writer = ContainerWriter(tmp_path / "a.h5", obs, {"p": var})
    writer.append("p", "X", np.ones((2, 2)))
    with pytest.raises(IOWriteError, match="layer 'X' of 'p': 2 samples, obs has 3"):
        writer.close()
    assert not list(tmp_path.iterdir())
    with pytest.raises(IOWriteError, match="closed"):
        writer.append("p", "X", np.ones((1, 2)))


def test_blocks_that_do_not_fit(tmp_path: Path) -> None:
    obs, var = frames(3, 2)
    writer = ContainerWriter(tmp_path / "a.h5", obs, {"p": var})
    with pytest.raises(AssayNotFoundError):
        writer.append("q", "X", np.ones((1, 2)))
    writer.append("p", "X", np.ones((1, 2), np.float32))
    with pytest.raises(ValueError, match="layer 'X' of 'p': a block of dtype float64, expected float32"):
        writer.append("p", "X", np.ones((1, 2)))
    with pytest.raises(ValueError, match="expected 2 columns"):
        writer.append("p", "X", np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match="a mask comes with all blocks or with none"):
        writer.append("p", "X", np.ones((1, 2), np.float32), np.zeros((1, 2), np.int8))
    with pytest.raises(IOWriteError, match="4 samples, obs has 3"):
        writer.append("p", "X", np.ones((3, 2), np.float32))
    writer.abort()
    (tmp_path / "b.h5").touch()
    with pytest.raises(IOWriteError, match="File already exists"):
        ContainerWriter(tmp_path / "b.h5", obs, {"p": var})
    with pytest.raises(ValueError, match="compression must be one of"):
        ContainerWriter(tmp_path / "c.h5", obs, {"p": var}, compression="zip")


class CsrBlocks:
    """A source of CSR blocks that counts what is read."""

    format = "csr"

    def __init__(self, matrix: Any) -> None:
        self._matrix = matrix
        self.shape, self.dtype = matrix.shape, matrix.dtype
        self.rows_read = 0

    def read(self, start: int, stop: int) -> Any:
        self.rows_read += stop - start
        return self._matrix[start:stop]


def test_a_source_of_csr_blocks_is_read_once(tmp_path: Path) -> None:
    matrix = a_matrix(50, 20, "sparse")
    source = CsrBlocks(matrix)
    obs, var = frames(50, 20)
    save_hdf5(ScpContainer(obs, {"p": Assay(var, {"X": ScpMatrix(source)})}), tmp_path / "a.h5")
    assert source.rows_read == 50
    expected = ScpContainer(obs, {"p": Assay(var, {"X": ScpMatrix(matrix)})})
    assert_identical(load_hdf5(tmp_path / "a.h5"), expected)
    part = ScpContainer(obs, {"p": Assay(var, {"X": ScpMatrix(source)})}).filter_samples(["s3", "s1"])
    np.testing.assert_array_equal(part.assays["p"].X.toarray(), matrix.toarray()[[3, 1]])


_LARGE = """
import sys
import numpy as np, polars as pl, scipy.sparse as sp
from scpstore import load_hdf5
from scpstore.io import ContainerWriter
def memory(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) << 10
rows, features, blocks = 5000, 1000, 16
rng = np.random.default_rng(0)
block = sp.random(rows, features, 0.2, "csr", np.float64, rng)
obs = pl.DataFrame({"_index": np.arange(rows * blocks)})
var = pl.DataFrame({"_index": np.arange(features)})
before = memory("VmRSS")
with ContainerWriter(sys.argv[1], obs, {"p": var}, compression_level=1) as writer:
    for _ in range(blocks):
        writer.append("p", "X", block)
layer = load_hdf5(sys.argv[1], lazy=True).assays["p"].layers["X"]
assert (layer.X[rows * 3 : rows * 3 + 10] != block[:10]).nnz == 0
assert (layer.X[[rows * 5 + 1, 2]] != block[[1, 2]]).nnz == 0
print(memory("VmHWM") - before, 12 * block.nnz * blocks)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_is_bounded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LARGE, str(tmp_path / "a.h5")], capture_output=True, text=True, check=True
    )
    grown, data = map(int, done.stdout.split())
    assert data > 150 << 20
    assert grown < 100 << 20
