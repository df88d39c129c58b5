"""The compiled helpers against the obvious versions."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hdmea.features import helpers
from reference import features as reference

trains = st.lists(st.lists(st.integers(0, 500), max_size=40).map(sorted), min_size=0, max_size=5)
few = settings(max_examples=50)


def flat(trials: list[list[int]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    offsets = np.concatenate([[0], np.cumsum([len(trial) for trial in trials])]).astype(np.int64)
    return np.array([spike for trial in trials for spike in trial], np.int64), offsets


@few
@given(trials=trains, bin_samples=st.sampled_from([1.0, 7.0, 20.0, 2.5]), bins=st.integers(1, 60))
def test_bin_counts(trials: list[list[int]], bin_samples: float, bins: int) -> None:
    counts = helpers.bin_counts(*flat(trials), bin_samples, bins)
    # A histogram's last bin is closed; the reference leaves what lies on its edge out.
    np.testing.assert_array_equal(counts, reference.bin_counts(trials, bin_samples, bins))


@few
@given(trials=trains, windows=hnp.arrays(np.float64, (3, 2), elements=st.integers(-10, 520).map(float)))
def test_window_counts(trials: list[list[int]], windows: npt.NDArray[np.float64]) -> None:
    counts = helpers.window_counts(*flat(trials), windows)
    np.testing.assert_array_equal(counts, reference.window_counts(trials, windows))


@few
@given(
    rates=hnp.arrays(np.float64, st.integers(1, 200), elements=st.floats(0, 300)),
    frequency_hz=st.sampled_from([0.5, 1.0, 4.0, 10.0]),
)
def test_fourier_component(rates: npt.NDArray[np.float64], frequency_hz: float) -> None:
    amplitude, phase = helpers.fourier_component(rates, 0.02, frequency_hz)
    true_amplitude, true_phase = reference.fourier_component(rates, 0.02, frequency_hz)
    assert amplitude == pytest.approx(true_amplitude, rel=1e-9, abs=1e-9)
    if true_amplitude > 1e-6:
        assert abs(np.angle(np.exp(1j * (phase - true_phase)))) < 1e-6


@pytest.mark.parametrize("phase", [-2.5, -0.3, 0.0, 1.0, 3.0])
def test_fourier_component_of_a_sine_is_its_amplitude_and_phase(phase: float) -> None:
    times = (np.arange(200) + 0.5) * 0.02
    rates = 20 + 7 * np.sin(2 * np.pi * 2 * times + phase)
    amplitude, found = helpers.fourier_component(rates, 0.02, 2.0)
    assert amplitude == pytest.approx(7)
    assert found == pytest.approx(phase)


@few
@given(responses=hnp.arrays(np.float64, (3, 8), elements=st.floats(0.1, 100)), seed=st.integers(0, 99))
def test_permuted_vector_strengths(responses: npt.NDArray[np.float64], seed: int) -> None:
    indices = np.broadcast_to(np.arange(8), (20, 3, 8))
    orders = np.random.default_rng(seed).permuted(indices, axis=2)
    angles = np.arange(8) * np.pi / 4
    for harmonic in (1, 2):
        strengths = helpers.permuted_vector_strengths(responses, orders, angles, harmonic)
        expected = [
            reference.vector_strength(np.take_along_axis(responses, order, axis=1), angles, harmonic)
            for order in orders
        ]
        np.testing.assert_allclose(strengths, expected, rtol=1e-9, atol=1e-12)


@few
@given(
    amplitude=st.sampled_from([-40.0, -5.0, 12.0, 60.0]),
    x0=st.floats(2, 12),
    y0=st.floats(2, 10),
    sigmas=st.tuples(st.floats(0.8, 3), st.floats(0.8, 3)),
    noise=st.sampled_from([0.0, 0.5]),
)
def test_gaussian_fit(amplitude: float, x0: float, y0: float, sigmas: tuple[float, float], noise: float) -> None:
    shape = (13, 15)
    truth = np.array([amplitude, x0, y0, *sigmas, 127.0])
    image = reference.gaussian(truth, shape) + np.random.default_rng(0).normal(0, noise, shape)
    row, column = np.unravel_index(np.abs(image - 127).argmax(), shape)
    start = np.array([image[row, column] - 127, column, row, 1.5, 1.5, 127.0])
    found, squares, converged = helpers.fit_gaussian(image, start, 200)
    expected, expected_squares = reference.fit_gaussian(image, start)
    assert converged
    assert squares <= expected_squares * (1 + 1e-6) + 1e-9
    np.testing.assert_allclose(found[1:3], np.abs(expected[1:3]), atol=1e-3)
    if noise == 0:
        np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-4)


def test_gaussian_fit_of_a_flat_image_ends() -> None:
    found, squares, _ = helpers.fit_gaussian(np.zeros((5, 5)), np.array([0.0, 2, 2, 1.5, 1.5, 0]), 200)
    assert squares == 0
    assert found[0] == 0


def test_helpers_work_without_a_folder_for_their_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    real = helpers.numba.njit

    def refuses_to_cache(**options: bool) -> object:
        if options.get("cache"):
            raise RuntimeError("no locator available")
        return real(**options)

    monkeypatch.setattr(helpers.numba, "njit", refuses_to_cache)
    double = helpers.compiled(lambda x: 2 * x)
    assert double(4) == 8


def test_after_warming_up_extractors_compile_nothing() -> None:
    """A process that is forked from a warm one loads no machine code."""
    code = """
import numpy as np
from hdmea.features import helpers
from hdmea.features.moving_bar import _p_value
from hdmea.features.trials import Trials

names = ("bin_counts", "window_counts", "permuted_vector_strengths", "fit_gaussian", "fourier_component")
helpers.warm_up()
assert all(len(getattr(helpers, name).signatures) == 1 for name in names)
trials = Trials(np.array([3, 7]), np.array([0, 1, 2]), np.array([20, 20]), 10.0)
trials.psth(2.0, 0.5)
trials.window_rates([[0.0, 1.0]])
_p_value(np.ones((2, 8)), np.arange(8) * np.pi / 4, 2, {"permutations": 10, "permutation_seed": 0})
print({name: getattr(helpers, name).signatures for name in names if len(getattr(helpers, name).signatures) > 1})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "{}", done.stdout + done.stderr
