"""From simulated recordings of known types through a flow to the types that a population has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hdmea.pipeline import run_flow
from hdmea.population.build import build_population
from hdmea.simulate import REALISTIC, TWELVE_TYPES, CellOptions, simulate_recording

pytest.importorskip("sklearn")
pytest.importorskip("shapely")

MOVIES = ("step_up_5s_5i_b0_3x", "green_blue_3s_3i_3x", "freq_step_5st_3x")
KINDS = (TWELVE_TYPES[0], TWELVE_TYPES[3], TWELVE_TYPES[5], TWELVE_TYPES[6])


def analysed(directory: Path, number: int, units: int) -> tuple[Path, list[str]]:
    """The file of one simulated recording, and the true type of each unit."""
    name = f"retina_{number}"
    cells = CellOptions(surround_fraction=0.4, drift=0.1, burst_fraction=0.2)
    options = replace(REALISTIC, cells=cells, types=KINDS, alignment=None)
    made = simulate_recording(
        directory / name,
        name=name,
        n_units=units,
        patch=(12, 12),
        playlist=MOVIES,
        sensor_duration_s=2.0,
        seed=number,
        options=options,
    )
    files = {"playlist_file_path": made.playlist_path, "movie_length_file_path": made.movie_length_path}
    parameters = {"add_section_time": {"playlist_name": made.playlist_name, **files}}
    found = run_flow("full", made.cmcr_path, made.cmtr_path, output_dir=directory / "results", parameters=parameters)
    truth = json.loads(made.truth_path.read_text(encoding="utf-8"))
    return found.hdf5_path, [KINDS[n].name for n in truth["cell_type"]]


def test_types_of_simulated_recordings_are_found_in_their_population(tmp_path: Path) -> None:
    from sklearn.metrics import adjusted_rand_score

    made = [analysed(tmp_path, number, 24) for number in range(3)]
    result = build_population([path for path, _ in made], tmp_path / "population", max_types=8)

    cells = pl.read_parquet(tmp_path / "population" / "cells.parquet")
    truth = [name for _, names in made for name in names]
    assert result.cells == len(truth) == 72
    assert not result.failed
    assert set(cells["group"]) == {"other"}  # no bar was shown
    assert adjusted_rand_score(truth, cells["type"].to_list()) >= 0.9
    types = pl.read_parquet(tmp_path / "population" / "types.parquet")
    assert types["is_stable"].any()
    shares = np.array(types["shares"].to_list())
    np.testing.assert_allclose(shares.sum(axis=0), 1)  # all cells of each recording are of some type
    page = (tmp_path / "population" / "index.html").read_text(encoding="utf-8")
    assert all(name in page for name in types["type"])
