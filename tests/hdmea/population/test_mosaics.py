"""Mosaics and the chip's area, against lattices, random points and geometry worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from hdmea.population import mosaics
from hdmea.population.chip_area import Region, chip_area, used_electrodes
from hdmea.population.mosaics import mosaic, regularity_index, voronoi_regularity
from hdmea.population.mosaics_table import mosaics_table


def lattice(jitter: float, rng: np.random.Generator, side: int = 8, pitch: float = 8.0) -> np.ndarray:
    places = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * pitch + pitch / 2
    return np.asarray(places + rng.normal(0, jitter, places.shape))


def test_a_lattice_is_regular_and_random_somata_are_not() -> None:
    rng = np.random.default_rng(0)
    regular = mosaic(lattice(0.8, rng), 64, 64, field_areas=np.full(64, 100.0))
    assert regular.p_value == pytest.approx(1 / 501)
    assert regular.regularity > 3 > regular.regularity_null
    assert regular.coverage == pytest.approx(64 * 100 / 64**2)
    assert regular.density == pytest.approx(64 / 64**2)
    assert regular.voronoi_regularity > 5
    p_values = [mosaic(rng.random((40, 2)) * 64, 64, 64, seed=n).p_value for n in range(8)]
    assert min(p_values) > 0.004
    assert 0.2 < np.mean(p_values) < 0.8


def test_somata_that_keep_a_distance_are_judged_by_those_that_do() -> None:
    # 60 somata no nearer than 5 electrodes: more regular than chance, as regular as others that keep that distance.
    rng = np.random.default_rng(5)
    points: list[np.ndarray] = []
    while len(points) < 60:
        point = rng.random(2) * 64
        if all(np.hypot(*(point - one)) >= 5 for one in points):
            points.append(point)
    found = mosaic(np.array(points), 64, 64, exclusion=5.0)
    assert found.p_value < 0.01
    assert found.p_value_exclusion > 0.05
    assert found.regularity_exclusion_null > found.regularity_null


def test_chance_is_that_of_the_region_in_which_somata_can_be() -> None:
    # Along a narrow strip neighbours are those of points on a line, less regular than those of a plane.
    shapely = pytest.importorskip("shapely")
    strip = Region(shapely.box(-5, 0, 80, 2), 16.0)
    rng = np.random.default_rng(3)
    somata = [rng.random((30, 2)) * [64, 2] for _ in range(8)]
    within = [mosaic(points, 64, 64, seed=n, region=strip) for n, points in enumerate(somata)]
    assert {one.density for one in within} == {30 / (64 * 2)}
    assert 0.2 < np.mean([one.p_value for one in within]) < 0.8
    assert np.mean([mosaic(points, 64, 64, seed=n).p_value for n, points in enumerate(somata)]) > 0.8


def test_chance_is_simulated_once_for_each_number_of_somata(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    rows = [("a", kind, *place, 100.0) for kind in ("x", "y") for place in rng.random((9, 2)) * 64]
    rows += [("b", "x", *place, 100.0) for place in rng.random((6, 2)) * 64]
    columns = ["recording", "type", "soma_row", "soma_col", "field_area_um2"]
    cells = pl.DataFrame(rows, schema=columns, orient="row")
    numbers: list[int] = []
    simulate = mosaics._null

    def counting(generator: np.random.Generator, n: int, *rest: Any) -> Any:
        numbers.append(n)
        return simulate(generator, n, *rest)

    monkeypatch.setattr(mosaics, "_null", counting)
    table = mosaics_table(cells, {}, seed=2)
    assert sorted(numbers) == [6, 6, 9, 9]  # without and with exclusion
    assert table["type"].to_list() == ["x", "y", "x"]
    for row in table.iter_rows(named=True):
        own = cells.filter((pl.col("recording") == row["recording"]) & (pl.col("type") == row["type"]))
        alone = mosaic(own.select("soma_col", "soma_row").to_numpy(), 65, 65, seed=2)
        assert (alone.p_value, alone.p_value_exclusion) == (row["p_value"], row["p_value_exclusion"])


def test_regularity_of_a_perfect_lattice_and_of_too_few() -> None:
    points = lattice(0.0, np.random.default_rng(0))
    assert regularity_index(points) == np.inf
    assert np.isnan(mosaic(points[:4], 64, 64).regularity)
    assert np.isnan(voronoi_regularity(np.stack([np.arange(9.0), np.zeros(9)], axis=1), np.array([9.0, 1.0])))


def test_random_points_have_the_regularity_of_theory() -> None:
    rng = np.random.default_rng(1)
    # Of a Poisson process the ratio is sqrt(pi / (4 - pi)) = 1.913 (Cook 1996).
    found = np.mean([regularity_index(rng.random((2000, 2))) for _ in range(5)])
    assert found == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), abs=0.05)


# ---------------------------------------------------------------- the chip's area


def test_area_is_the_union_of_circles_about_used_electrodes() -> None:
    pytest.importorskip("shapely")
    images = np.random.default_rng(0).normal(0, 1, (2, 20, 40, 40))
    images[0, 6:8, 10, 10] = [-300, 300]
    images[1, 6:8, 10, 30] = [-300, 300]  # far from the other: two whole circles
    used = used_electrodes(images)
    assert used is not None
    assert np.argwhere(used).tolist() == [[10, 10], [10, 30]]
    region = chip_area(used, 16.0)
    assert region.area_mm2 == pytest.approx(2 * np.pi * (3 * 0.016) ** 2, rel=0.01)
    assert region.shape.bounds[1] == pytest.approx(7, abs=0.01)
    near = np.zeros((40, 40), bool)
    near[10, 10] = near[10, 11] = True
    lens = 2 * 9 * np.arccos(1 / 6) - 0.5 * np.sqrt(36 - 1)
    assert chip_area(near, 1000.0).area_mm2 == pytest.approx(2 * np.pi * 9 - lens, rel=0.01)
    assert used_electrodes([]) is None
