"""The compiled helpers against the obvious versions."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdmea.features import helpers
from reference import features as reference

few = settings(max_examples=50)


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
from hdmea.features import FeatureRegistry, harmonics, helpers, psth, resampling

compiled = {
    f"{module.__name__}.{name}": function
    for module in (harmonics, helpers, psth, resampling)
    for name, function in vars(module).items()
    if hasattr(function, "signatures") and function.__module__ == module.__name__
}
helpers.warm_up()
before = {name: len(function.signatures) for name, function in compiled.items()}
assert sum(map(bool, before.values())) >= 8, before  # the others are called by these
frames = np.arange(20000) * 333
metadata = {"acquisition_rate": 20000.0, "frame_timestamps": frames.astype(np.uint64), "recording_duration_s": 333.0}
spikes = np.sort(np.random.default_rng(0).integers(0, frames[-1], 8000))
for movie, (length, trials) in {
    "baseline_127": (180, 1), "step_up_5s_5i_b0_3x": (600, 3), "green_blue_3s_3i_3x": (720, 9),
    "freq_step_5st_3x": (1500, 3), "moving_h_bar_s5_d8_3x": (4520, 3), "frif": (600, 3),
}.items():
    windows = np.array([[frames[i * length + 50], frames[(i + 1) * length + 50]] for i in range(trials)])
    trains = {i: spikes[(spikes >= a) & (spikes < b)] for i, (a, b) in enumerate(windows)}
    for light in (frames[360 + 50], frames[60 + 50]):  # a response, so that every part of the measures runs
        trains[0] = np.sort(np.concatenate([trains[0], light + np.arange(60) * 50]))
    section = {"trials_spike_times": trains, "trials_start_end": windows}
    unit = {"spike_times": spikes.astype(np.uint64), "spike_times_sectioned": {movie: section}}
    FeatureRegistry.get(movie)().extract(unit, {}, metadata=metadata)
print({name: function.signatures for name, function in compiled.items() if len(function.signatures) != before[name]})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "{}", done.stdout + done.stderr
