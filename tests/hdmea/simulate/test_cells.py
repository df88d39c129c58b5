"""Cells: that their rates follow from the movie's file by the documented formulas, and that they do what they say."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hdmea.io.stimulus_config import load_stimulus_config
from hdmea.simulate import TWELVE_TYPES, CellOptions, CellType
from hdmea.simulate.population import (
    Irregularities,
    Population,
    draw_irregularities,
    draw_population,
    time_courses,
)
from hdmea.simulate.response import firing_rates, receptive_fields, resting_rate_hz
from hdmea.simulate.spikes import discharge, spike_train
from hdmea.simulate.stimuli import render
from hdmea.simulate.timeline import Timeline, arrange

STEP, BAR, COLOURS, CHIRP = "step_up_5s_5i_b0_3x", "moving_h_bar_s5_d8_3x", "green_blue_3s_3i_3x", "freq_step_5st_3x"
NOISE = "perfect_dense_noise_15x15_15hz_r42_3min"
Floats = npt.NDArray[np.float64]


def one_cell(polarity: int = 1, direction: float = np.nan, surround: float = 0.0, **changes: Any) -> Population:
    cell = Population(
        rf_center=np.array([[7.3, 6.2]]),
        rf_sigma=np.array([[1.1, 1.5]]),
        polarity=np.array([polarity]),
        time_to_peak_s=np.array([0.06]),
        preferred_direction_deg=np.array([direction]),
        preferred_orientation_deg=np.array([np.nan]),
        colour_weights=np.array([[1.0, 0.15]]),
        surround=np.array([surround]),
        surround_ratio=np.array([2.2]),
        adaptation_s=np.array([0.4]),
        gain=np.array([1.0]),
        cell_type=np.array([-1]),
    )
    return dataclasses.replace(cell, **changes)


def timeline_of(*names: str) -> Timeline:
    movies = [render(load_stimulus_config(name), (15, 15)) for name in names]
    return arrange(movies, sampling_rate=20000.0, pad_frames=180, repeats=1, duration_s=None)


def rates_under(name: str, cell: Population) -> Floats:
    """In each frame of the movie (frames,)."""
    timeline = timeline_of(name)
    ((movie, start),) = timeline.shown
    number = timeline.counted_frame
    return firing_rates(cell, timeline, (15, 15))[(number >= start) & (number < start + movie.length), 0]


# ---------------------------------------------------------------- a reference, from docs/simulate.md


def gaussian(frames: npt.NDArray[Any], cell: Population, ratio: float = 1.0) -> Floats:
    """Weights on each pixel of a movie's frames; the noise movie's pixels are 15 to a side of any movie."""
    height, width = frames.shape[1:]
    rows, columns = np.mgrid[:height, :width]
    x, y = ((axis + 0.5) * 15 / size - 0.5 for axis, size in ((columns, width), (rows, height)))
    (cx, cy), (sx, sy) = cell.rf_center[0], cell.rf_sigma[0] * ratio
    bell = np.exp(-(((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2) / 2)
    return np.asarray(bell * (15 / height) * (15 / width) / np.sqrt(np.pi * cell.rf_sigma[0].prod()))


def reference_drive(directory: Path, name: str, cell: Population, frames: slice) -> Floats:
    """Contrast through the cell's field, before adaptation, straight from the files: (frames,)."""
    has_colours = (directory / f"{name}_green.npy").exists()
    parts = [("_green", 1 / 1.15), ("_blue", 0.15 / 1.15)] if has_colours else [("", 1.0)]
    total = 0.0
    for suffix, weight in parts:
        shown = np.load(directory / f"{name}{suffix}.npy", mmap_mode="r")[frames]
        field = gaussian(shown, cell) - cell.surround[0] * gaussian(shown, cell, 2.2)
        total = total + weight * np.array([((frame - 127.0) / 127 * field).sum() for frame in shown])
    return np.asarray(total)


def reference_rates(contrast: Floats) -> Floats:
    """Adaptation, time course and sigmoid of an ON cell with its peak at 60 ms, in frames of 1/60 s."""
    level, adapted = contrast[0], np.empty(len(contrast))
    for n, value in enumerate(contrast):
        level = level + (1 - np.exp(-1 / (0.4 * 60))) * (value - level)
        adapted[n] = value - level
    lag = np.arange(30) / 60
    kernel = (lag / 0.06 * np.exp(1 - lag / 0.06)) ** 6 - 0.3 * (lag / 0.12 * np.exp(1 - lag / 0.12)) ** 6
    kernel /= np.linalg.norm(kernel)
    return np.asarray(80 / (1 + np.exp(-1.6 * (np.convolve(adapted, kernel)[: len(adapted)] - 2))))


@pytest.fixture(scope="module")
def movie_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("movies")
    for name in (NOISE, BAR, COLOURS):
        render(load_stimulus_config(name), (15, 15)).save(directory)
    return directory


@pytest.mark.parametrize(
    ("name", "frames"),
    [(NOISE, slice(0, 700)), (BAR, slice(100, 800)), (BAR, slice(670, 1300)), (COLOURS, slice(100, 800))],
)
@pytest.mark.parametrize("surround", [0.0, 0.1])
def test_rates_follow_from_the_movies_file(name: str, frames: slice, surround: float, movie_files: Path) -> None:
    cell = one_cell(surround=surround)
    expected = reference_rates(reference_drive(movie_files, name, cell, frames))
    found = rates_under(name, cell)[frames]
    settled = slice(150, None)  # what the reference does not know of the frames before is forgotten by then
    np.testing.assert_allclose(found[settled], expected[settled], atol=0.25)
    assert found[settled].max() > 10


# ---------------------------------------------------------------- filters


def test_receptive_field_peaks_at_its_centre() -> None:
    population = draw_population(20, (15, 12), 0.5, np.random.default_rng(0))
    for field, center in zip(receptive_fields(population, (15, 12)), population.rf_center, strict=True):
        row, column = np.unravel_index(field.argmax(), field.shape)
        assert np.abs(np.array([column, row]) - center).max() <= 0.5
        assert (field**2).sum() == pytest.approx(1, abs=0.06)  # what of it is on the screen


def test_surround_is_wider_and_opposite() -> None:
    cells = draw_population(30, (15, 15), 0.0, np.random.default_rng(0), CellOptions(surround_fraction=0.5))
    fields = receptive_fields(cells, (15, 15))
    assert (cells.surround > 0).sum() == 15
    for field, surround in zip(fields, cells.surround, strict=True):
        assert (field.min() < -0.01) == (surround > 0)


@pytest.mark.parametrize("refresh_hz", [58.9, 60.0, 60.7])
def test_time_course_is_biphasic_with_its_peak_in_time(refresh_hz: float) -> None:
    for polarity in (1, -1):
        (kernel,) = polarity * time_courses(one_cell(polarity), refresh_hz)
        assert kernel.argmax() / refresh_hz == pytest.approx(0.06, abs=1 / refresh_hz)
        assert kernel.min() < -0.05 * kernel.max()


# ---------------------------------------------------------------- responses


@pytest.mark.parametrize(("polarity", "brighter"), [(1, True), (-1, False)])
def test_on_cells_fire_to_light_and_off_cells_to_dark(polarity: int, brighter: bool) -> None:
    rates = rates_under(STEP, one_cell(polarity))
    assert rates[295:301].max() < 10  # the light comes on at 300, and off at 600
    on, off = rates[300:330].max(), rates[600:630].max()
    assert (on > 3 * off) == brighter
    assert (off > 3 * on) != brighter


def test_responses_begin_after_the_configs_trials_and_leads() -> None:
    for name, lead in ((STEP, 60), (COLOURS, 60), (CHIRP, 30)):
        rates = rates_under(name, one_cell())
        for start in load_stimulus_config(name).section.trial_starts().tolist():
            before = rates[start + lead - 15 : start + lead + 1]
            after = rates[start + lead + 1 : start + lead + 31]
            assert before.max() < 0.6 * after.max(), name


@pytest.mark.parametrize("angle", [0.0, 45.0, 110.0, 225.0, 315.0])
def test_direction_selective_cell_prefers_its_direction(angle: float) -> None:
    rates = rates_under(BAR, one_cell(direction=angle))
    starts = load_stimulus_config(BAR).section.trial_starts()
    slots = np.stack([rates[start + 60 : start + 60 + 4400].reshape(8, 550) for start in starts]).mean(axis=0)
    response = np.sort(slots, axis=1)[:, -30:].mean(axis=1) - np.quantile(slots, 0.25, axis=1)
    vector = (response * np.exp(1j * np.deg2rad(45 * np.arange(8)))).sum()
    assert abs((np.rad2deg(np.angle(vector)) - angle + 180) % 360 - 180) < 22.5  # lanes miss its middle
    assert abs(vector) / response.sum() > 0.25


def test_other_cells_have_no_direction() -> None:
    slots = rates_under(BAR, one_cell())[120:4520].reshape(8, 550)
    response = np.sort(slots, axis=1)[:, -30:].mean(axis=1) - np.quantile(slots, 0.25, axis=1)
    vector = (response * np.exp(1j * np.deg2rad(45 * np.arange(8)))).sum()
    assert abs(vector) / response.sum() < 0.05  # in some directions a lane ends in its field


def test_direction_selective_cell_sees_noise_as_others_do() -> None:
    rates = rates_under(NOISE, one_cell(direction=30.0))
    frames = render(load_stimulus_config(NOISE), (15, 15)).frames().astype(np.float64) - 127.5
    average = np.tensordot(rates[60:] - rates[60:].mean(), frames[60 - 5 : -5], 1)
    row, column = np.unravel_index(average.argmax(), average.shape)
    assert np.hypot(column - 7.3, row - 6.2) < 1.2


def test_green_cell_prefers_green() -> None:
    rates = rates_under(COLOURS, one_cell())
    assert rates[180:210].max() > 1.3 * rates[540:570].max()


def test_population_has_what_was_asked_for() -> None:
    population = draw_population(40, (15, 15), 0.25, np.random.default_rng(3))
    assert population.is_direction_selective.sum() == 10
    assert set(population.polarity) == {-1, 1}
    assert set(population.preferred_color) == {"green", "blue"}


# ---------------------------------------------------------------- spikes


def steady(n_units: int, **changes: Any) -> Irregularities:
    nothing = np.zeros(n_units)
    plain = Irregularities(
        drift_trend=nothing,
        drift_wave=nothing,
        wave_period_s=nothing + 100,
        wave_phase=nothing,
        burst_probability=nothing,
        is_silent=np.zeros(n_units, bool),
        contaminated_by=np.full(n_units, -1),
        contamination=nothing,
    )
    return dataclasses.replace(plain, **changes)


def empty(duration_s: float) -> Timeline:
    return arrange([], sampling_rate=20000.0, pad_frames=0, repeats=1, duration_s=duration_s)


def spikes_of(cells: Population, irregularities: Irregularities, duration_s: float, **options: Any) -> Any:
    return discharge(cells, irregularities, CellOptions(**options), empty(duration_s), (15, 15), seed=7)


def test_spikes_have_the_rates_that_drove_them() -> None:
    cells = draw_population(40, (15, 15), 0.0, np.random.default_rng(0))
    spikes = spikes_of(cells, steady(40), 300).cells
    count = sum(len(train) for train in spikes)
    expected = 40 * 300 * resting_rate_hz()
    expected *= np.exp(-resting_rate_hz() * 0.002)  # what falls into a refractory period is lost
    assert count == pytest.approx(expected, rel=0.03)
    for train in spikes:
        assert np.diff(train).min() >= 40
        assert 0 <= train[0] <= train[-1] < 300 * 20000


def test_a_units_spikes_do_not_depend_on_how_many_there_are() -> None:
    cells = draw_population(70, (15, 15), 0.0, np.random.default_rng(0))
    few, many = (spikes_of(cells.part(slice(0, n)), steady(n), 20).cells[:3] for n in (3, 70))
    for one, other in zip(few, many, strict=True):
        np.testing.assert_array_equal(one, other)


def test_drift_changes_rates_as_the_truth_says() -> None:
    cells = draw_population(30, (15, 15), 0.0, np.random.default_rng(0))
    trend = np.linspace(-0.8, 0.8, 30)
    spikes = spikes_of(cells, steady(30, drift_trend=trend), 600).cells
    for train, change in zip(spikes, trend, strict=True):
        early, late = np.histogram(train, [0, 2e6, 1e7, 12e6])[0][[0, 2]]
        # Mean of exp(trend·u) over the last sixth of u from -1 to 1, against that over the first.
        expected = 2 * change * (1 - 1 / 6)
        assert np.log(late / early) == pytest.approx(expected, abs=4 * np.sqrt(1 / early + 1 / late))


def test_bursts_are_there_where_the_truth_says_and_rates_stay() -> None:
    cells = draw_population(20, (15, 15), 0.0, np.random.default_rng(0))
    bursting = np.where(np.arange(20) % 2, 0.3, 0.0)
    spikes = spikes_of(cells, steady(20, burst_probability=bursting), 600, burst_spikes=2.0).cells
    short = np.array([(np.diff(train) < 0.01 * 20000).mean() for train in spikes])
    assert short[bursting == 0].max() < 0.06  # Poisson at 3 Hz: 3 %
    # Of 1 + 0.3 · 2 spikes 0.6 follow within some ms.
    assert short[bursting > 0] == pytest.approx(0.6 / 1.6, abs=0.08)
    counts = np.array([len(train) for train in spikes])
    assert counts[bursting > 0].mean() == pytest.approx(counts[bursting == 0].mean(), rel=0.06)


def test_silent_cells_hardly_fire() -> None:
    cells = draw_population(10, (15, 15), 0.0, np.random.default_rng(0))
    silent = np.arange(10) < 4
    made = spikes_of(cells, steady(10, is_silent=silent), 300, silent_rate_hz=0.01)
    counts = np.array([len(train) for train in made.cells])
    assert counts[silent].max() < 15
    assert counts[~silent].min() > 300


def test_contaminated_units_hold_their_own_spikes_and_some_of_another() -> None:
    cells = draw_population(6, (15, 15), 0.0, np.random.default_rng(0))
    by = np.array([3, -1, -1, 0, -1, -1])
    share = np.where(by >= 0, 0.2, 0.0)
    made = spikes_of(cells, steady(6, contaminated_by=by, contamination=share), 300)
    for unit, source in enumerate(by):
        own, mixed = set(made.cells[unit].tolist()), set(made.sorted_units[unit].tolist())
        assert own <= mixed
        assert mixed - own <= (set(made.cells[source].tolist()) if source >= 0 else set())
        assert len(mixed - own) / len(mixed) == pytest.approx(share[unit], abs=0.01)
        assert made.contamination[unit] == pytest.approx(share[unit], abs=0.01)


def test_drawn_irregularities_are_as_many_as_asked_for() -> None:
    places = np.random.default_rng(1).uniform(0, 60, (50, 2))
    options = CellOptions(silent_fraction=0.1, burst_fraction=0.2, contaminated_fraction=0.3, drift=0.2)
    drawn = draw_irregularities(50, options, places, np.random.default_rng(0))
    assert (drawn.is_silent.sum(), (drawn.burst_probability > 0).sum(), (drawn.contaminated_by >= 0).sum()) == (
        5,
        10,
        15,
    )
    for unit in np.flatnonzero(drawn.contaminated_by >= 0):
        distance = np.hypot(*(places - places[unit]).T)
        assert drawn.contaminated_by[unit] == np.argsort(distance)[1]
    assert drawn.drift_trend.std() == pytest.approx(0.2, rel=0.35)


def test_spike_train_follows_steps_of_rate() -> None:
    edges = np.arange(0, 201) * 20000.0
    rate = np.where(np.arange(200) % 2, 80.0, 0.0)
    train = spike_train(rate, edges, 20000.0, np.random.default_rng(0))
    assert not ((train // 20000) % 2 == 0).any()
    assert len(train) == pytest.approx(100 * 80 * np.exp(-80 * 0.002), rel=0.03)


SPIKES_AS_A_HASH = """
import hashlib, sys
import numpy as np
from hdmea.io.stimulus_config import load_stimulus_config
from hdmea.simulate import REALISTIC
from hdmea.simulate.recording import draw_truth
from hdmea.simulate.stimuli import render
from hdmea.simulate.timeline import arrange
movies = [render(load_stimulus_config(name), (15, 15)) for name in sys.argv[1:]]
shown = arrange(movies, sampling_rate=20000.0, pad_frames=180, repeats=1, duration_s=None)
truth = draw_truth(24, (65, 65), shown, (15, 15), 0.5, REALISTIC, 0)
print(hashlib.sha256(np.concatenate(truth.spike_samples).tobytes()).hexdigest())
"""


def test_spikes_do_not_depend_on_the_number_of_threads() -> None:
    found = set()
    for threads in ("1", "3"):
        variables = {f"{library}_NUM_THREADS": threads for library in ("H5BURST", "OPENBLAS", "OMP", "MKL")}
        done = subprocess.run(
            [sys.executable, "-c", SPIKES_AS_A_HASH, NOISE, BAR],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout.strip())
    assert len(found) == 1


def test_cells_of_types_are_as_many_and_as_their_types_say() -> None:
    kinds = TWELVE_TYPES
    cells = draw_population(1200, (15, 15), 0.25, np.random.default_rng(3), types=kinds)
    assert np.bincount(cells.cell_type).tolist() == [100] * 12
    for n, kind in enumerate(kinds):
        own = cells.part(cells.cell_type == n)
        assert set(own.polarity.tolist()) == {kind.polarity}
        assert set(own.preferred_color) == {kind.colour}
        assert own.is_direction_selective.all() == own.is_direction_selective.any() == kind.is_direction_selective
        assert np.isfinite(own.preferred_orientation_deg).all() == kind.is_orientation_selective
        for values, middle in ((own.time_to_peak_s, kind.time_to_peak_s), (own.adaptation_s, kind.adaptation_s)):
            assert np.log(values / middle).std() == pytest.approx(kind.scatter, rel=0.3)
            assert np.median(values) == pytest.approx(middle, rel=0.03)
        assert np.log(own.gain).std() == pytest.approx(kind.gain_scatter, rel=0.3)


def test_orientation_selective_cell_prefers_both_ways_along_its_axis() -> None:
    axial = one_cell(preferred_orientation_deg=np.array([90.0]))
    slots = rates_under(BAR, axial)[120:4520].reshape(8, 550).max(axis=1)
    np.testing.assert_allclose(slots[:4], slots[4:], rtol=0.2)
    assert slots[[2, 6]].min() > 1.5 * slots[[0, 4]].max()


def test_sustained_cells_keep_their_response() -> None:
    transient, sustained = (rates_under(STEP, one_cell(adaptation_s=np.array([s]))) for s in (0.15, 60.0))
    late = slice(300 + 240, 300 + 300)
    assert transient[late].mean() < 1.2 * resting_rate_hz()
    assert sustained[late].mean() > 10 * resting_rate_hz()
    doubled = rates_under(STEP, one_cell(gain=np.array([2.0])))
    np.testing.assert_allclose(doubled, 2 * rates_under(STEP, one_cell()))


def test_what_cannot_be_a_type_is_refused() -> None:
    with pytest.raises(ValueError, match="polarity is 1 or -1"):
        CellType("both", polarity=0)
    with pytest.raises(ValueError, match="not both"):
        CellType("x", is_direction_selective=True, is_orientation_selective=True)
