"""Compiled loops against obvious ones, and what their wrappers refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h5burst._ext import electrode_images, fits
from hdmea.geometry.electrical_image import best_rays, filtered_in_time
from hdmea.geometry.least_squares import Surface, fit_polynomial, fit_surface
from hdmea.geometry.robust import mad_sd, masked_median, tukey_weights, wrapped
from hdmea.geometry.separable import blurred, held_mean
from reference import geometry as reference

few = settings(max_examples=25, deadline=None)


@few
@given(samples=st.integers(3, 70), electrodes=st.integers(1, 140), seed=st.integers(0, 99))
def test_second_difference_medians(samples: int, electrodes: int, seed: int) -> None:
    image = np.random.default_rng(seed).normal(0, 50, (samples, electrodes)).astype(np.float32)
    out = np.empty(electrodes, np.float32)
    electrode_images.second_difference_medians(image, out)
    np.testing.assert_allclose(out, reference.second_difference_medians(image.astype(float)), rtol=1e-4, atol=1e-4)


@few
@given(
    columns=st.integers(1, 60), seed=st.integers(0, 99), equal=st.booleans(), scale=st.sampled_from([1e-30, 1, 1e30])
)
def test_row_medians(columns: int, seed: int, equal: bool, scale: float) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.normal(0, 1, (7, columns)) * scale).astype(np.float32)
    if equal:
        values = np.float32(np.round(values / scale))
    used = rng.random(columns) < 0.6
    used[rng.integers(columns)] = True
    out = np.empty(7, np.float32)
    electrode_images.row_medians(values, used.view(np.uint8), out)
    np.testing.assert_array_equal(out, np.median(values[:, used], axis=1))


@few
@given(samples=st.integers(1, 40), reach=st.integers(0, 12), seed=st.integers(0, 99), columns=st.integers(1, 70))
def test_filter(samples: int, reach: int, seed: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(samples, 2, columns)).astype(np.float32)
    weights = rng.normal(size=(samples, 2 * reach + 1)).astype(np.float32)
    gain = rng.uniform(0.5, 2, 2 * columns).astype(np.float32)
    expected = reference.filtered(image.reshape(samples, -1).astype(float), weights, gain)
    np.testing.assert_allclose(filtered_in_time(image, weights, gain).reshape(samples, -1), expected, atol=1e-4)


@few
@given(seed=st.integers(0, 999), min_steps=st.integers(1, 8))
def test_rays(seed: int, min_steps: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(20, 3, 5)).astype(np.float32)
    paths = rng.integers(-1, 15, (4, 3, 9)).astype(np.int32)
    times = np.sort(rng.integers(0, 26, (2, 3, 9)), axis=2)
    times = np.where(times < 20, times, -1).astype(np.int32)
    found = best_rays(image, paths, times, min_steps)
    best, where = reference.best_rays(image.reshape(20, -1).astype(float), paths, times, min_steps)
    np.testing.assert_allclose(found.best, best, rtol=1e-5, atol=1e-5)
    clear = best > 0
    np.testing.assert_array_equal(found.where[clear], where[clear])


def test_rays_and_filters_refuse_what_does_not_fit() -> None:
    image = np.zeros((5, 2, 2), np.float32)
    paths, times = np.zeros((1, 1, 3), np.int32), np.zeros((1, 1, 3), np.int32)
    for bad_paths, bad_times in ((paths + 4, times), (paths, times + 5), (paths[..., :2], times)):
        with pytest.raises(ValueError, match="within the image"):
            best_rays(image, bad_paths, bad_times, 1)
    with pytest.raises(ValueError, match="do not fit"):
        filtered_in_time(image, np.zeros((5, 2), np.float32), np.zeros(4, np.float32))


TRUTHS = {
    Surface.ROUND_GAUSSIAN: [3.0, 4.2, 3.1, 0.3],
    Surface.MONOPOLE: [3.0, 4.2, 3.1, 0.3],
    Surface.GAUSSIAN: [3.0, 4.2, 3.1, 0.6, 0.1, 0.5],
    Surface.GAUSSIAN_ON_OFFSET: [3.0, 4.2, 3.1, 0.6, 0.1, 0.5, -0.4],
    Surface.GAUSSIANS_DIFFERENCE: [3.0, 4.2, 3.1, 0.4, -0.1, 0.5, 0.4, 0.8],
}
LOW = [0, -2, -2, -2, -2, -10]
HIGH = [50, 12, 12, 2.5, 2.5, 10]
MORE = {Surface.GAUSSIAN_ON_OFFSET: ([-9], [9]), Surface.GAUSSIANS_DIFFERENCE: ([0, 0.2], [0.95, 1.7])}


@pytest.mark.parametrize("surface", list(Surface))
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_surfaces(surface: Surface, noise: float) -> None:
    truth = np.array(TRUTHS[surface])
    size = 4 if surface in (Surface.ROUND_GAUSSIAN, Surface.MONOPOLE) else 6
    low, high = (limits[:size] + more for limits, more in zip((LOW, HIGH), MORE.get(surface, ([], [])), strict=True))
    y, x = (part.ravel().astype(float) for part in np.mgrid[:9, :10])
    rng = np.random.default_rng(0)
    values = reference.surface(surface.name, truth, x, y) + rng.normal(0, noise, x.size)
    start = truth + rng.uniform(-0.1, 0.1, len(truth))
    fit = fit_surface(surface, x, y, values, start, (low, high), max_steps=300)
    expected, squares, errors = reference.fit_surface(surface.name, x, y, values, start, low, high)
    assert fit.converged
    assert fit.squares <= squares * (1 + 1e-6) + 1e-12
    np.testing.assert_allclose(fit.parameters, truth if noise == 0 else expected, atol=1e-4 if noise == 0 else 0.02)
    if noise:
        np.testing.assert_allclose(fit.errors(), errors, rtol=0.1)


@pytest.mark.parametrize("surface", list(Surface))
def test_derivatives_of_surfaces(surface: Surface) -> None:
    """The normal equations against numerical derivatives."""
    truth = np.array(TRUTHS[surface])
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 9, (2, 40))
    jacobian = np.stack(
        [
            (reference.surface(surface.name, truth + step, x, y) - reference.surface(surface.name, truth - step, x, y))
            / 2e-5
            for step in np.eye(len(truth)) * 1e-5
        ],
        axis=1,
    )
    values = reference.surface(surface.name, truth, x, y)
    fit = fit_surface(surface, x, y, values, truth, (truth - 1, truth + 1))
    np.testing.assert_allclose(fit.normal, jacobian.T @ jacobian, rtol=1e-5, atol=1e-6)


def test_bounds_hold_and_flat_values_end() -> None:
    y, x = (part.ravel().astype(float) for part in np.mgrid[:7, :7])
    values = reference.surface("ROUND_GAUSSIAN", [5.0, 3.0, 3.0, 0.0], x, y)
    fit = fit_surface(Surface.ROUND_GAUSSIAN, x, y, values, [1, 5, 5, 0], ([0, 4, 4, -1], [np.inf, 6, 6, 1]))
    assert (fit.parameters[1:3] >= 4).all()
    flat = fit_surface(Surface.ROUND_GAUSSIAN, x, y, 0 * x, [1, 3, 3, 0], ([0, 0, 0, -1], [9, 6, 6, 1]))
    assert flat.squares == pytest.approx(0, abs=1e-9)
    assert np.isfinite(flat.errors()).all()


def test_surfaces_refuse_what_does_not_fit() -> None:
    x = np.arange(9.0)
    bounds = [0] * 4, [9] * 4
    with pytest.raises(ValueError, match="one length"):
        fit_surface(Surface.MONOPOLE, x, x[:8], x, [1, 1, 1, 1], bounds)
    with pytest.raises(ValueError, match="at least 4"):
        fit_surface(Surface.MONOPOLE, x[:3], x[:3], x[:3], [1, 1, 1, 1], bounds)
    with pytest.raises(ValueError, match="4 parameters"):
        fit_surface(Surface.MONOPOLE, x, x, x, [1, 1, 1], bounds)
    with pytest.raises(ValueError, match="finite"):
        fit_surface(Surface.MONOPOLE, x, x, x * np.nan, [1, 1, 1, 1], bounds)


@few
@given(count=st.integers(5, 60), degree=st.integers(0, 2), seed=st.integers(0, 99))
def test_polynomials(count: int, degree: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    u, weights, prior = rng.uniform(0, 20, count), rng.uniform(1, 5, count), rng.uniform(0.5, 1, count)
    v = 1 + 0.5 * u - 0.02 * u**2 + rng.normal(0, 0.3, count)
    v[: count // 6] += 30
    fit = fit_polynomial(u, v, weights, degree, min_scale=0.2, prior=prior)
    coefficients, robust = reference.fit_polynomial(u, v, weights, degree, 0.2, prior)
    assert fit is not None
    np.testing.assert_allclose(fit.robust, robust, atol=1e-3)
    np.testing.assert_allclose(fit.coefficients, coefficients, atol=1e-3, rtol=1e-3)


def test_polynomials_refuse_what_does_not_fit() -> None:
    one = np.ones(1)
    with pytest.raises(ValueError, match="one length"):
        fit_polynomial(one, np.ones(2), one, 1, min_scale=1)
    with pytest.raises(ValueError, match="one length"):
        fit_polynomial(np.empty(0), np.empty(0), np.empty(0), 1, min_scale=1)


@few
@given(kind=st.sampled_from([0, 1]), seed=st.integers(0, 99), spikes=st.sampled_from([0.05, 0.5, 3.0]))
def test_rates(kind: int, seed: int, spikes: float) -> None:
    rng = np.random.default_rng(seed)
    drive = rng.normal(size=600)
    frames = rng.integers(1, 4, 600).astype(float)
    rate = spikes * (np.exp(0.7 * drive) if kind == 0 else 3 / (1 + np.exp(-1.8 * (drive - 0.5))))
    counts = rng.poisson(rate * frames).astype(float)
    start = np.array(
        [np.log(counts.sum() / frames.sum() + 1e-9), 0.0] if kind == 0 else [np.log(4 * spikes), -1.0, 1.0]
    )
    found = start.copy()
    reached, converged = fits.fit_rate(kind, drive, counts, frames, found, 200)
    expected, likelihood = reference.fit_rate(kind, drive, counts, frames, start)
    assert converged
    assert reached >= likelihood - 1e-2
    if kind == 0:
        np.testing.assert_allclose(found, expected, atol=0.01)


def test_rates_without_spikes_end() -> None:
    drive, none, frames = np.linspace(-2, 2, 50), np.zeros(50), np.ones(50)
    for kind, start in ((0, np.zeros(2)), (1, np.array([0.0, -1.0, 1.0]))):
        reached, _ = fits.fit_rate(kind, drive, none, frames, start, 100)
        assert np.isfinite(reached)
        assert np.isfinite(start).all()


@few
@given(seed=st.integers(0, 99), axis=st.sampled_from([0, 1]))
def test_masked_median(seed: int, axis: int) -> None:
    rng = np.random.default_rng(seed)
    values, used = rng.normal(size=(7, 8)), rng.random((7, 8)) < 0.5
    with np.errstate(all="ignore"), pytest.warns() if (~used.any(axis=axis)).any() else np.errstate():
        expected = np.nanmedian(np.where(used, values, np.nan), axis=axis)
    np.testing.assert_allclose(masked_median(values, used, axis), expected)


def test_small_statistics() -> None:
    values = np.random.default_rng(0).normal(3, 2, 20_000)
    assert mad_sd(values) == pytest.approx(2, rel=0.03)
    assert mad_sd(np.append(values, [1e9] * 50)) == pytest.approx(2, rel=0.03)
    assert np.isnan(mad_sd(np.empty(0)))
    np.testing.assert_allclose(tukey_weights(np.array([0, 4.685, -9.0]), 1.0), [1, 0, 0])
    np.testing.assert_allclose(wrapped([np.pi, -np.pi, 3 * np.pi, 0.5]), [-np.pi, -np.pi, -np.pi, 0.5])


@pytest.mark.parametrize("hold", [1, 2, 3, 4, 5])
def test_held_mean(hold: int) -> None:
    average = np.random.default_rng(0).normal(size=(20, 2, 3))
    found = held_mean(average, hold)
    for pixel in np.ndindex(2, 3):
        expected = np.convolve(average[(slice(None), *pixel)], np.ones(hold) / hold, "same")
        np.testing.assert_allclose(found[(slice(None), *pixel)], expected, atol=1e-12)


def test_blur_keeps_the_variance_of_white_noise() -> None:
    noise = np.random.default_rng(0).normal(size=(4000, 5, 6))
    np.testing.assert_allclose(blurred(noise).std(axis=0), 1, atol=0.06)
    spot = np.zeros((1, 5, 6))
    spot[0, 2, 3] = 1
    image = blurred(spot)[0]
    assert image.argmax() == 2 * 6 + 3
    assert image[2, 2] / image[2, 3] == pytest.approx(0.6)
    assert image[1, 2] / image[2, 3] == pytest.approx(0.36)
