"""A file with a thousand commits is an ordinary file for others, and so is any of its states."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest

import h5burst
from h5burst import Array

COMMITS = 1000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written by anndata; each commit replaces a layer."""
    found = tmp_path_factory.mktemp("thousand") / "cells.h5ad"
    anndata.AnnData(np.zeros((4, 3)), layers={"counts": np.zeros((4, 3))}).write_h5ad(found)
    encoding = {"encoding-type": "array", "encoding-version": "0.2.0"}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, lambda _: None)  # nobody cuts the power here
        for number in range(1, COMMITS + 1):
            with h5burst.edit(found, f"counted {number} times") as tx:
                tx.put("layers/counts", Array(np.full((4, 3), float(number)), encoding))
                assert tx.way == "append"
    return found


def test_anndata_reads_the_newest_and_an_earlier_state(path: Path) -> None:
    assert (anndata.read_h5ad(path).layers["counts"] == COMMITS).all()
    for number in (0, 1, COMMITS // 2, COMMITS - 1):
        with h5burst.file_at(path, number) as stream:
            found = anndata.read_h5ad(stream)
        assert (found.layers["counts"] == number).all()
        assert found.shape == (4, 3)


def test_h5py_reads_every_state(path: Path) -> None:
    with h5py.File(path) as file:
        assert (file["layers/counts"][()] == COMMITS).all()
    for number in range(0, COMMITS + 1, 37):
        with h5burst.file_at(path, number) as stream, h5py.File(stream) as file:
            assert (file["layers/counts"][()] == number).all()
    log = list(h5burst.log(path))
    assert [commit.number for commit in log] == list(range(COMMITS, -1, -1))
    assert log[1].message == f"counted {COMMITS - 1} times"


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="needs HDF5's tools (Debian: hdf5-tools)")
def test_h5dump_reads_it(path: Path) -> None:
    done = subprocess.run(["h5dump", "-d", "/layers/counts", path], capture_output=True, text=True, check=True)
    assert done.stdout.count(f"{COMMITS}, {COMMITS}, {COMMITS}") == 4
    whole = subprocess.run(["h5dump", path], capture_output=True, text=True, check=True)
    assert whole.stderr == ""
    assert f"{COMMITS - 1}," not in whole.stdout
