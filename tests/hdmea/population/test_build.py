"""A population from files of recordings: tables, one file, a page, and what a second run does."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

from h5burst import console
from hdmea.cli import app
from hdmea.io import section_spike_times
from hdmea.population import parts
from hdmea.population.build import build_population
from hdmea.utils.exceptions import ConfigurationError
from support.hdmea_recordings import recording

STEP = "step_up_5s_5i_b0_3x"

pytest.importorskip("sklearn")
pytest.importorskip("shapely")


def saved(directory: Path, name: str, units: int, seed: int) -> Path:
    """A recording of cells that answer light: half of them on, half of them off."""
    session = recording(directory, units=units, frames=3000, seed=seed, dataset_id=name)
    frames = session.metadata["frame_timestamps"].astype(int)
    rng = np.random.default_rng(seed)
    session.add_stimulus({"section_time": {STEP: frames[[100, 2500]].astype(np.uint64)[None]}})
    on = 100 + 60 + 240 + 600 * np.arange(3) + 60
    for n, unit in enumerate(session.units.values()):
        starts = on if n % 2 else on + 300
        response = [rng.uniform(frames[start], frames[start + 60], 40) for start in starts]
        background = rng.uniform(0, frames[-1], 60)
        unit["spike_times"] = np.sort(np.concatenate([background, *response])).astype(np.uint64)
        image = np.random.default_rng(seed).normal(size=(20, 65, 65)).astype(np.float32)
        image[6:8, 10, 10 + n] = [-300, 300]
        unit["features"]["eimage_sta"] = {"data": image}
    section_spike_times(session=session)
    return session.save(directory / f"{name}.h5")


def test_population_of_two_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [saved(tmp_path, "one", 40, 0), saved(tmp_path, "two", 35, 1)]

    made = build_population(files, tmp_path / "population", most_types=4)

    assert (made.recordings, made.cells) == (2, 75)
    cells = pl.read_parquet(tmp_path / "population" / "cells.parquet")
    assert cells["key"].to_list()[:2] == ["one_unit_001", "one_unit_002"]
    assert cells["key"].n_unique() == 75
    on = cells.filter(pl.col("unit").str.tail(1).cast(pl.Int64) % 2 == 0)  # n of the loop is odd
    assert (on["step_on_off_ratio"] > 0.5).all()
    assert cells["type"].n_unique() >= 2
    assert cells.filter(pl.col("recording") == "one")["total_unit_count"].to_list() == [40] * 40
    with h5py.File(tmp_path / "population" / "population.h5") as file:
        rates = file[f"traces/{STEP}/rates"]
        assert rates.shape == (75, 3, 600)
        assert file[f"traces/{STEP}/keys"].asstr()[41] == "two_unit_002"
        own = parts.traces_of(tmp_path / "population" / "parts" / "two.h5")[STEP].rates["two_unit_002"]
        np.testing.assert_array_equal(rates[41], own)
    areas = pl.read_parquet(tmp_path / "population" / "areas.parquet")
    assert areas["electrodes"].to_list() == [40, 35]  # a row of neighbours: all of its circles overlap
    assert areas["area_mm2"][0] == pytest.approx((39 * 6 + np.pi * 9) * 0.016**2, rel=0.05)
    types = pl.read_parquet(tmp_path / "population" / "types.parquet")
    assert types["cells"].sum() == 75
    assert all(len(shares) == 2 for shares in types["shares"])
    assert "75 cells of 2 recordings" in (tmp_path / "population" / "index.html").read_text(encoding="utf-8")

    read: list[str] = []
    monkeypatch.setattr(parts, "recording_traces", lambda session: read.append(session.dataset_id) or {})
    again = build_population(files, tmp_path / "population", most_types=4)
    assert read == []
    assert again.cells == 75


def test_a_changed_recording_is_read_anew(tmp_path: Path) -> None:
    file = saved(tmp_path, "one", 3, 0)
    build_population([file], tmp_path / "population")
    saved_again = saved(tmp_path / "again", "one", 5, 2)
    file.write_bytes(saved_again.read_bytes())
    assert build_population([file], tmp_path / "population").cells == 5


def test_names_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = saved(tmp_path, "one", 2, 0)
    with pytest.raises(ConfigurationError, match="two recordings are named one"):
        build_population([file, file], tmp_path / "out")
    with pytest.raises(ConfigurationError, match="no recordings gone"):
        build_population([file], tmp_path / "out", chips={"chip": ["one", "gone"]})
    assert console.run(app, ["population", str(file), "-o", str(tmp_path / "out"), "--chip", "nonsense"]) != 0
