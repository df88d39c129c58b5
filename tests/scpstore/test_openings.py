"""How often a container opens its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from scptensor import Assay, ScpContainer, ScpMatrix, load_hdf5, save_hdf5
from support.openings import counting_opens


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    layers = {name: ScpMatrix(np.ones((3, 2))) for name in ("X", "log")}
    assay = Assay(var=pl.DataFrame({"_index": ["p", "q"]}), layers=layers)
    path = tmp_path / "c.h5"
    save_hdf5(ScpContainer(obs=pl.DataFrame({"_index": ["a", "b", "c"]}), assays={"prot": assay}), path)
    return path


@pytest.mark.parametrize("lazy", [False, True])
def test_a_load_opens_the_file_once(stored: Path, lazy: bool) -> None:
    with counting_opens() as opens:
        load_hdf5(stored, lazy=lazy)
    assert opens["c.h5"] == 1


def test_a_lazy_save_opens_its_source_at_most_twice(stored: Path, tmp_path: Path) -> None:
    container = load_hdf5(stored, lazy=True)
    with counting_opens() as opens:
        save_hdf5(container, tmp_path / "d.h5")
    assert 1 <= opens["c.h5"] <= 2
    assert load_hdf5(tmp_path / "d.h5") == load_hdf5(stored)
