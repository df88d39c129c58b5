"""Somata: the figures of docs/geometry.md on cells with their truth, and what happens without one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hdmea.geometry import electrical_image, soma
from hdmea.geometry.electrical_image import ImageScale, clean_image
from hdmea.geometry.soma import SomaGeometry, soma_geometry
from support.bounds import at_least, at_most, cases, reaches, row
from support.electrode_cells import MS, SPIKE, Cell, cell_image, old_soma, soma_wave


def scale(pitch: float = 16.0) -> ImageScale:
    return ImageScale(20_000, SPIKE, pitch)


def found_and_true(
    seed: int, count: int, **options: Any
) -> tuple[list[SomaGeometry], list[Cell], list[tuple[float, float]]]:
    rng = np.random.default_rng(seed)
    pitch = options.get("pitch", 16.0)
    found, true, old = [], [], []
    for _ in range(count):
        image, cell = cell_image(rng, **options)
        found.append(soma_geometry(image, scale(pitch)))
        true.append(cell)
        old.append(old_soma(image))
    return found, true, old


def distances(places: list[tuple[float, float]], cells: list[Cell]) -> np.ndarray:
    return np.array([np.hypot(x - c.x, y - c.y) for (x, y), c in zip(places, cells, strict=True)])


# name, options, claimed median and 95 % point of the error in electrodes, share whose error is below one electrode
ROWS: list[tuple[str, dict[str, Any], float, float, float]] = [
    ("16 um n=50", {"spikes": 50}, 0.0075, 0.016, 1.0),
    ("32 um n=50", {"spikes": 50, "pitch": 32.0}, 0.014, 0.12, 1.0),
    ("16 um monopole n=500", {"monopole": True}, 0.009, 0.018, 1.0),
    ("32 um monopole n=500", {"monopole": True, "pitch": 32.0}, 0.018, 0.036, 1.0),
    ("6 dead columns", {"dead_columns": 6}, 0.0065, 0.014, 1.0),
    ("4 noisy columns, 30 electrodes", {"spikes": 50, "noisy_columns": 4, "noisy_electrodes": 30}, 0.0075, 0.018, 1.0),
    (
        "32 um 6 dead, 2 noisy columns, 20 electrodes",
        {"pitch": 32.0, "dead_columns": 6, "noisy_columns": 2, "noisy_electrodes": 20},
        0.016,
        0.6,
        0.96,
    ),
    ("neighbour 10 %", {"neighbour": 0.1}, 0.0055, 0.013, 1.0),
    ("within 4 of the edge", {"near_edge": True}, 0.0055, 0.013, 1.0),
    ("20 counts n=50", {"spikes": 50, "amplitude": 20.0}, 0.038, 0.085, 1.0),
]


@pytest.mark.parametrize(("name", "options", "median", "most", "near"), ROWS, ids=[row[0] for row in ROWS])
def test_position(name: str, options: dict[str, Any], median: float, most: float, near: float) -> None:
    found, true, old = found_and_true(11, cases(24, 240), **options)
    errors = distances([(s.center_col, s.center_row) for s in found], true)
    old_errors = distances(old, true)
    within = [abs(s.center_col - c.x) <= 2 * s.center_col_se for s, c in zip(found, true, strict=True) if s.found]
    sizes = np.array([s.sigma / c.sigma for s, c in zip(found, true, strict=True)])
    row(
        name,
        error=errors,
        off=np.mean(~(errors <= 1)),
        nan=np.mean(np.isnan(errors)),
        size=f"{np.nanmean(sizes):.2f}±{np.nanstd(sizes):.2f}",
        inside_2se=np.mean(within),
        simple=old_errors,
        simple_off=np.mean(old_errors > 1),
    )
    reaches(errors, median, most)
    at_least(errors <= 1, near if near < 1 else 0.999)
    at_least(within, 0.85)
    assert np.nanmedian(errors) < 0.25 * np.median(old_errors)
    assert np.nanmedian(np.abs(sizes - 1)) < 0.05


def test_noisy_columns_mislead_a_simple_method_and_not_this_one() -> None:
    found, true, old = found_and_true(5, cases(24, 120), spikes=50, noisy_columns=4, noisy_electrodes=30)
    at_least(distances(old, true) > 1, 0.5)
    at_most(distances([(s.center_col, s.center_row) for s in found], true) > 1, 0.01)


def test_bad_electrodes_are_found_and_few_good_ones_called_bad() -> None:
    rng = np.random.default_rng(2)
    missed, wrong = [], []
    for _ in range(10):
        image, cell = cell_image(rng, dead_columns=3, noisy_columns=2, noisy_electrodes=20)
        bad = clean_image(image, scale()).bad
        missed.extend(~bad[cell.bad])
        wrong.extend(bad[~cell.bad])
    at_most(missed, 0.02)
    at_most(wrong, 0.002)


def test_dead_electrodes_next_to_the_peak_are_flagged() -> None:
    image, cell = cell_image(np.random.default_rng(3), axon=False)
    row_, column = round(cell.y), round(cell.x)
    assert not soma_geometry(image, scale()).near_bad
    image[:, row_, column + 1] = 0
    found = soma_geometry(image, scale())
    assert found.near_bad
    assert found.n_bad == 1
    assert np.hypot(found.center_col - cell.x, found.center_row - cell.y) < 0.1


def test_units_of_sizes_and_places() -> None:
    image, cell = cell_image(np.random.default_rng(4), axon=False, spikes=5000, pitch=32.0)
    found = soma_geometry(image, scale(32.0))
    assert found.model == "gaussian"
    assert found.center_col_um == pytest.approx(32 * cell.x, abs=1)
    assert found.center_row_um == pytest.approx(32 * cell.y, abs=1)
    assert found.sigma_um == pytest.approx(32 * cell.sigma, rel=0.02)
    assert found.equivalent_diameter == pytest.approx(2.3548 * cell.sigma, rel=0.02)
    assert found.area_um2 == pytest.approx(np.pi / 4 * found.equivalent_diameter_um**2)
    assert found.amplitude == pytest.approx(-cell.amplitude * soma_wave(MS).min(), rel=0.02)
    assert (found.peak_row, found.peak_col) == (round(cell.y), round(cell.x))
    assert found.trough_ms == pytest.approx(0, abs=0.02)
    assert found.r_squared > 0.99
    assert found.diff_map.shape == (65, 65)
    assert found.diff_map.argmax() == round(cell.y) * 65 + round(cell.x)


def test_the_model_with_less_residual_is_taken() -> None:
    rng = np.random.default_rng(6)
    for monopole, model in ((False, "gaussian"), (True, "monopole")):
        models = [
            soma_geometry(cell_image(rng, axon=False, spikes=5000, monopole=monopole, pitch=32.0)[0], scale(32.0)).model
            for _ in range(10)
        ]
        assert models == [model] * 10


def test_size_spans_the_electrodes_above_half_of_the_peak() -> None:
    rows, columns = np.mgrid[:20, :30]
    image = np.zeros((50, 20, 30))
    image[10, 7:10, 11:15] = -100  # 3 rows, 4 columns
    image[10, 8, 12] = -150
    image[10, 2, 2] = -90  # above half of the peak, but apart
    image += np.random.default_rng(0).normal(0, 0.5, image.shape) + 0 * rows * columns
    found = soma_geometry(image, scale())
    assert (found.size_y, found.size_x) == (3, 4)


def test_an_image_of_noise_has_no_soma(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    found = [soma_geometry(rng.normal(0, 1, (50, 65, 65)), scale()) for _ in range(20)]
    assert not any(s.found for s in found)
    assert all("z" in s.reason and np.isfinite(s.z) and np.isnan(s.center_row) for s in found)
    assert all(np.isnan(s.diff_map).all() and np.isnan(s.peak_row) for s in found)
    monkeypatch.setattr(soma, "MIN_Z", 1.0)
    lax = soma_geometry(rng.normal(0, 1, (50, 65, 65)), scale())
    assert lax.found or "converge" in lax.reason


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((50, 9, 9)), "varies"),
        (np.full((50, 9, 9), np.nan), "varies"),
        (np.random.default_rng(0).normal(size=(45, 9, 9)), "window"),
        (np.random.default_rng(0).normal(size=(49, 9, 9)), "window"),
    ],
)
def test_without_data_there_is_a_reason(image: np.ndarray, reason: str) -> None:
    found = soma_geometry(image, scale())
    assert reason in found.reason
    assert np.isnan(found.z)
    assert not found.found


def test_few_good_electrodes_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = cell_image(np.random.default_rng(8), axon=False)
    image[:, np.ones((65, 65), bool)] = np.where(np.arange(65 * 65) % 65 < 63, image.reshape(50, -1), 0)
    monkeypatch.setattr(soma, "MIN_ELECTRODES", 50)
    assert "good electrodes" in soma_geometry(image, scale()).reason


def test_values_that_are_not_finite_only_cost_their_electrodes() -> None:
    image, cell = cell_image(np.random.default_rng(9))
    image[3, round(cell.y), round(cell.x) - 1] = np.nan
    found = soma_geometry(image, scale())
    assert found.n_bad == 1
    assert np.hypot(found.center_col - cell.x, found.center_row - cell.y) < 0.1


def test_times_are_in_ms_at_any_sampling_rate() -> None:
    image, cell = cell_image(np.random.default_rng(10), spikes=5000)
    twice = np.repeat(image, 2, axis=0) + np.random.default_rng(0).normal(0, 0.2, (100, 65, 65))
    found = soma_geometry(twice, ImageScale(40_000, 20, 16.0))
    assert np.hypot(found.center_col - cell.x, found.center_row - cell.y) < 0.05
    assert found.trough_ms == pytest.approx(0, abs=0.05)


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="axes"):
        clean_image(np.zeros((50, 9)), scale())
    with pytest.raises(ValueError, match="outside"):
        clean_image(np.zeros((5, 9, 9)), scale())
    with pytest.raises(ValueError, match="scale"):
        soma_geometry(np.zeros((50, 9, 9)))
    with pytest.raises(ValueError, match="pitch_um"):
        ImageScale(20_000, 10, 0)
    with pytest.raises(ValueError, match="spike_sample"):
        ImageScale(20_000, -1, 16)


def test_limits_of_noise_are_the_constants_of_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = cell_image(np.random.default_rng(12), noisy_columns=2)
    assert clean_image(image, scale()).bad.any()
    monkeypatch.setattr(electrical_image, "BAD_LINE", 1e9)
    monkeypatch.setattr(electrical_image, "SUSPECT", 1e9)
    assert not clean_image(image, scale()).bad.any()
