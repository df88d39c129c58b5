"""What the geometry of 300 units costs.

Cells are made up as in the tests (50 samples of 65 x 65 electrodes; a movie of 10 800 frames of 15 x 15 pixels).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from harness import alone

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from h5burst import parallel_map
from hdmea import geometry
from support.electrode_cells import SPIKE, cell_image, neighbouring_images, soma_wave
from support.noise_cells import FRAMES, HOLD, movie, noise_cell, respond, triggered

SCALE = geometry.ImageScale(20_000, SPIKE, 16.0)
UNITS, DIFFERENT = 300, 40  # more units than cells are the same again
WHICH = [number % DIFFERENT for number in range(UNITS)]


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [cell_image(rng)[0] for _ in range(DIFFERENT)]


@pytest.fixture(scope="module")
def counts():
    """Spikes of each frame."""
    rng = np.random.default_rng(1)
    return [respond(rng, noise_cell(rng, 0.35 * (n % 2)), "sigmoid", 2000)[0] for n in range(DIFFERENT)]


@pytest.fixture(scope="module")
def averages(counts):
    return [triggered(each) for each in counts]


def tracked(image):
    clean = geometry.clean_image(image, SCALE)
    soma = geometry.soma_geometry(clean)
    return geometry.track_axon(clean, soma=soma)


def of_field(average):
    return geometry.receptive_field(average, last_frame=1, hold=HOLD)


def each(benchmark, function, items, **extra):
    parallel_map(function, items[:2])
    alone(
        benchmark,
        lambda: parallel_map(function, [items[n] for n in WHICH]),
        rounds=2,
        warmup=False,
        units=UNITS,
        **extra,
    )


def test_soma(benchmark, images):
    each(benchmark, lambda image: geometry.soma_geometry(image, SCALE), images)


def test_soma_and_axon(benchmark, images):
    each(benchmark, tracked, images, target_s=3)


@pytest.mark.parametrize("bad", [0, 5])
def test_soma_among_bad_electrodes(benchmark, bad):
    """Of 50 spikes; electrodes with a spike deeper than the soma are looked at first, and left out."""
    rng, wave = np.random.default_rng(3), 400 * soma_wave((np.arange(50) - SPIKE) / 20)
    made = [cell_image(rng, spikes=50)[0] for _ in range(DIFFERENT)]
    for image in made:
        for row, column in rng.integers(0, 65, (bad, 2)):
            image[:, row, column] += wave
    each(benchmark, lambda image: geometry.soma_geometry(image, SCALE), made)


def test_soma_and_axon_beside_a_neighbour(benchmark):
    """Cells in whose image an axon is seen, and one neighbour each, which is taken out of it."""
    rng, made = np.random.default_rng(4), []
    for _ in range(DIFFERENT):
        image, other, *_ = neighbouring_images(rng, axon=True)
        made.append((image, geometry.Neighbour(geometry.soma_geometry(other, SCALE), other)))
    each(benchmark, lambda pair: geometry.track_axon(pair[0], SCALE, neighbours=[pair[1]]), made)


def test_receptive_field(benchmark, averages):
    each(benchmark, of_field, averages, target_s=1)


def test_linear_nonlinear_model(benchmark, counts, averages):
    prepared = geometry.NoiseMovie.of(movie())
    trains = [np.repeat(np.arange(FRAMES), each) for each in counts]
    fields = [of_field(average).z for average in averages]
    alone(
        benchmark,
        lambda: geometry.fit_ln_models(prepared, [trains[n] for n in WHICH], [fields[n] for n in WHICH], 1 / 60),
        rounds=2,
        warmup=False,
        units=UNITS,
        target_s=6,
    )


def test_nerve_head_and_alignment(benchmark):
    rng = np.random.default_rng(2)
    somata, angles = rng.uniform(2, 62, (UNITS, 2)), rng.uniform(0, 360, UNITS)
    placed = 0.19 * somata + rng.normal(0, 0.4, somata.shape)

    def both() -> None:
        geometry.find_nerve_head(somata, angles)
        geometry.align(16 * somata, placed)

    alone(benchmark, both, rounds=3, units=UNITS)


def test_second_order_fields(benchmark, counts):
    """ON-OFF cells of 1000 spikes and linear ones: the time is that of the transforms, whatever is found."""
    trains = [np.repeat(np.arange(FRAMES), counts[n]) for n in WHICH]
    shown = movie()
    geometry.second_order_fields(shown, trains[:2])
    alone(benchmark, lambda: geometry.second_order_fields(shown, trains), rounds=1, units=UNITS, target_s=60)
