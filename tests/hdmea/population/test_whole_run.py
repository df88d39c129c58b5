"""From simulated recordings of known types through a flow to the types that a population has, as the page says."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

from support.docs_examples import run_examples

pytest.importorskip("sklearn")
pytest.importorskip("shapely")
PAGE = Path(__file__).parents[3] / "docs" / "population.md"


def test_the_example_of_the_page_finds_the_types_of_its_cells(tmp_path: Path) -> None:
    from sklearn.metrics import adjusted_rand_score

    run_examples(PAGE, tmp_path, timeout_s=280)

    cells = pl.read_parquet(tmp_path / "population" / "cells.parquet")
    names = [f"retina_{n}" for n in range(3)]
    truths = [(tmp_path / "cells" / name / f"{name}_truth.json").read_text(encoding="utf-8") for name in names]
    truth = [kind for text in truths for kind in json.loads(text)["cell_type"]]
    assert cells["recording"].unique(maintain_order=True).to_list() == names
    assert set(cells["group"]) == {"other"}  # no bar was shown
    assert adjusted_rand_score(truth, cells["type"].to_list()) >= 0.9
    with h5py.File(tmp_path / "results" / "retina_1.h5") as file:
        measured = file["units/unit_003/features/step_up_5s_5i_b0_3x"].attrs
        [own] = cells.filter(pl.col("key") == "retina_1_unit_003").iter_rows(named=True)
        for name in ("on_off_index", "response_quality", "on_p_value", "n_trials"):
            np.testing.assert_equal(own[f"step_up_5s_5i_b0_3x.{name}"], float(measured[name]))
    types = pl.read_parquet(tmp_path / "population" / "types.parquet")
    assert types["is_stable"].all()
    shares = np.array(types["shares"].to_list())
    np.testing.assert_allclose(shares.sum(axis=0), 1)  # all cells of each recording are of some type
    page = (tmp_path / "population" / "index.html").read_text(encoding="utf-8")
    assert all(name in page for name in types["type"])
