"""Linear-nonlinear models: the figures of docs/geometry.md, held out; noise is not explained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from h5burst.runtime.threads import thread_count
from hdmea.geometry import ln_model
from hdmea.geometry.ln_model import LNModel, describe_curve, fit_ln_models
from hdmea.geometry.noise_movie import FoldPlan, NoiseMovie
from support.bounds import at_least, at_most, cases, row
from support.noise_cells import FRAMES, HOLD, movie, noise_cell, noise_spikes, patterns, respond

PERIOD_S = 1 / 59.7


@pytest.fixture(autouse=True)
def _every_unit_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ln_model, "MIN_SPIKES", 1)


@pytest.fixture(scope="module")
def prepared() -> NoiseMovie:
    return NoiseMovie.of(movie())


def fits(prepared: NoiseMovie, counts: list[np.ndarray]) -> list[LNModel]:
    trains = [np.repeat(np.arange(FRAMES), c) for c in counts]
    return fit_ln_models(prepared, trains, [9.0] * len(trains), PERIOD_S)


def true_bits(counts: np.ndarray, rate: np.ndarray) -> float:
    null = counts.mean()
    seen = counts > 0
    nats = (counts[seen] * np.log(rate[seen] / null)).sum() - (rate - null).sum()
    return float(nats / counts.sum() / np.log(2))


def full_average_bits(counts: np.ndarray) -> tuple[float, float]:
    """A simple method: the whole average (30 lags, all pixels) as the filter, an exponential.

    Bits in sample, held out.
    """
    shown = patterns().reshape(len(patterns()), -1).repeat(HOLD, axis=0)
    lags, train = 30, np.arange(FRAMES) < FRAMES // 2
    train[:lags] = False
    bits = []
    average = np.stack([(counts * train)[lags:] @ shown[lags - lag : FRAMES - lag] for lag in range(lags)])
    average = average / (counts * train).sum() - shown[train].mean(axis=0)
    drive = np.zeros(FRAMES)
    for lag in range(lags):
        drive[lag:] += shown[: FRAMES - lag] @ average[lag]
    drive = (drive - drive[train].mean()) / drive[train].std()
    null = counts[train].mean()

    def misses(slope: float) -> float:
        """Minus the log likelihood over the spikes, the level at its best."""
        return float(
            np.log(np.exp(slope * drive[train]).mean()) - slope * (counts @ (drive * train)) / counts[train].sum()
        )

    slope = minimize_scalar(misses, bounds=(-1, 8), method="bounded").x
    level = counts[train].sum() / np.exp(slope * drive[train]).sum()
    for part in (train, ~train & (np.arange(FRAMES) >= FRAMES // 2 + lags)):
        rate = level * np.exp(slope * drive[part])
        nats = (counts[part] * np.log(rate / null)).sum() - (rate - null).sum()
        bits.append(nats / counts[part].sum() / np.log(2))
    return bits[0], bits[1]


@pytest.mark.parametrize(("spikes", "most"), [(200, -0.04), (2000, -0.003)])
def test_noise_is_not_explained(prepared: NoiseMovie, spikes: int, most: float) -> None:
    rng = np.random.default_rng(81)
    counts = [noise_spikes(rng, spikes) for _ in range(cases(12, 60))]
    models = fits(prepared, counts)
    exponential = np.array([m.bits["exponential"] for m in models])
    simple = [full_average_bits(c) for c in counts[:4]]
    row(
        f"noise {spikes}",
        bits=f"{np.median(exponential):.3f}",
        in_sample=f"{np.median([m.bits_in_sample for m in models]):.3f}",
        full_in_sample=f"{np.median([s[0] for s in simple]):.2f}",
        full_held_out=f"{np.median([s[1] for s in simple]):.2f}",
    )
    at_least(exponential < 0, 0.98)
    assert np.median(exponential) < most
    assert min(s[0] for s in simple) > 0.3  # the simple method explains noise, in sample
    assert max(s[1] for s in simple) < min(exponential)


# kind, spikes, least median of bits over the true model's, the chosen kind, its share
ROWS = [
    ("sigmoid", 200, 0.86, "logistic", 0.0),
    ("sigmoid", 1000, 0.93, "logistic", 0.8),
    ("sigmoid", 4000, 0.95, "logistic", 0.97),
    ("exp", 2000, 0.93, "exponential", 0.75),
    ("softplus", 2000, 0.93, "logistic", 0.95),
]


@pytest.mark.parametrize(("kind", "spikes", "least", "chosen", "share"), ROWS)
def test_cells_are_explained(
    prepared: NoiseMovie, kind: str, spikes: int, least: float, chosen: str, share: float
) -> None:
    rng = np.random.default_rng(82)
    responses = []
    for _ in range(cases(12, 60)):
        cell = noise_cell(rng)
        responses.append((cell, *respond(rng, cell, kind, spikes)))
    models = fits(prepared, [counts for _, counts, _ in responses])
    true = np.array([true_bits(counts, rate) for _, counts, rate in responses])
    part = np.array([m.bits_per_spike for m in models]) / true
    r_squared = np.array([m.r_squared for m in models])
    true_r = np.array([np.corrcoef(counts, rate)[0, 1] ** 2 for _, counts, rate in responses])
    simple = [full_average_bits(counts)[1] for _, counts, _ in responses[:3]]
    row(
        f"{kind} {spikes}",
        bits=f"{np.median([m.bits_per_spike for m in models]):.3f}",
        true=f"{np.median(true):.3f}",
        part=f"{np.median(part):.3f}",
        r2=f"{np.median(r_squared):.3f}",
        true_r2=f"{np.median(true_r):.3f}",
        kinds={k: sum(m.kind == k for m in models) for k in ("exponential", "logistic", "histogram")},
        curve={
            k: f"{np.median([_curve_error(m, c, r, k) for m, (c, _, r) in zip(models, responses, strict=True)]):.3f}"
            for k in ("exponential", "logistic")
        },
        full_held_out=f"{np.median(simple):.2f}",
    )
    assert np.median(part) > least
    at_least([m.kind == chosen for m in models], share)
    assert np.median(r_squared) > 0.85 * np.median(true_r) - 0.01
    assert np.median(simple) < np.median([m.bits_per_spike for m in models])


def _curve_error(model: LNModel, cell: Any, rate: np.ndarray, kind: str) -> float:
    """RMS error of a model's curve against the true rate in tenths of the true drive, over the true rates' spread."""
    g = (cell.drive - cell.drive.mean()) / cell.drive.std()
    if kind == "exponential":
        found = PERIOD_S * np.exp(model.a_norm * g + np.log(1) + _intercept(model))
    else:
        found = PERIOD_S * model.logistic_rate_hz / (1 + np.exp(-model.logistic_slope * (g - model.logistic_midpoint)))
    edges = np.quantile(cell.drive, np.linspace(0, 1, 11))
    place = np.clip(np.searchsorted(edges, cell.drive, "right") - 1, 0, 9)
    means = [np.bincount(place, part, 10) / np.bincount(place, minlength=10) for part in (found, rate)]
    return float(np.sqrt(((means[0] - means[1]) ** 2).sum() / ((means[1] - means[1].mean()) ** 2).sum()))


def _intercept(model: LNModel) -> float:
    """Of the exponential in g, from that in the movie's unit."""
    return model.b + model.a * model.g_mean


def test_fields_are_consistent(prepared: NoiseMovie) -> None:
    rng = np.random.default_rng(83)
    cell = noise_cell(rng)
    counts, rate = respond(rng, cell, "sigmoid", 4000)
    model = fits(prepared, [counts])[0]
    gain = (model.log_likelihood - model.null_log_likelihood) / np.log(2) / model.n_spikes
    assert gain == pytest.approx(model.bits_per_spike)
    assert model.bits_per_spike == model.bits[model.kind]
    assert model.bits_in_sample == pytest.approx(model.bits_per_spike, abs=0.1)
    assert model.n_frames == FRAMES - 29
    assert model.n_spikes == counts[29:].sum()
    assert model.a * model.g_sd == pytest.approx(model.a_norm)
    assert model.dt == PERIOD_S
    assert model.space.shape == (15, 15)
    assert (model.space**2).sum() == pytest.approx(1)
    assert np.abs(model.time[round(cell.lag) - 2 : round(cell.lag) + 3]).max() == np.abs(model.time).max()
    assert model.g_bin_counts.sum() == counts[29:].sum()
    assert (model.g_bin_counts / model.rate_vs_g)[1:].sum() == pytest.approx(
        (FRAMES - 29) * PERIOD_S * (len(model.rate_vs_g) - 1) / len(model.rate_vs_g), rel=0.01
    )
    assert (np.diff(model.g_bin_centers) > 0).all()
    assert model.rate_vs_g.mean() == pytest.approx(counts[29:].sum() / (FRAMES - 29) / PERIOD_S, rel=0.01)
    assert model.logistic_rate_hz == pytest.approx(rate.max() / PERIOD_S, rel=0.6)
    fitted = model.logistic_rate_hz / (
        1 + np.exp(-model.logistic_slope * (model.g_bin_centers - model.logistic_midpoint))
    )
    np.testing.assert_allclose(fitted, model.rate_vs_g, atol=0.2 * model.rate_vs_g.max())
    assert 0 < model.rectification_index < 1
    assert model.nonlinearity_index > 0
    assert model.g_bin_centers[0] < model.threshold_g < model.g_bin_centers[-1]


def test_the_frame_period_only_scales_rates() -> None:
    shown = NoiseMovie.of(movie())
    rng = np.random.default_rng(84)
    train = np.repeat(np.arange(FRAMES), respond(rng, noise_cell(rng), "exp", 1000)[0])
    at_60, at_30 = (fit_ln_models(shown, [train], [9.0], period)[0] for period in (1 / 60, 1 / 30))
    assert at_60.bits_per_spike == at_30.bits_per_spike
    np.testing.assert_allclose(at_60.rate_vs_g, 2 * at_30.rate_vs_g)
    assert at_60.b == pytest.approx(at_30.b + np.log(2))
    assert at_60.logistic_rate_hz == pytest.approx(2 * at_30.logistic_rate_hz)


def test_the_same_whatever_the_threads_and_the_company(prepared: NoiseMovie) -> None:
    rng = np.random.default_rng(85)
    trains = [np.repeat(np.arange(FRAMES), respond(rng, noise_cell(rng), "sigmoid", 800)[0]) for _ in range(5)]
    one = fit_ln_models(prepared, trains, [9.0] * 5, PERIOD_S, threads=1)
    several = fit_ln_models(prepared, trains[::-1], [9.0] * 5, PERIOD_S, threads=max(3, thread_count()))[::-1]
    for a, b in zip(one, several, strict=True):
        assert (a.bits_per_spike, a.a, a.b, a.kind) == (b.bits_per_spike, b.a, b.b, b.kind)
        np.testing.assert_array_equal(a.time, b.time)


def test_the_averages_are_those_of_each_fold() -> None:
    """Against the definition: the mean of the movie before each training spike, minus that of training frames."""
    rng = np.random.default_rng(86)
    plan = FoldPlan(folds=3, block_frames=40, lags=12)
    shown = np.repeat(rng.integers(0, 256, (110, 4, 3)).astype(np.uint8), 3, axis=0)[:325]
    prepared_here = NoiseMovie.of(shown, plan)
    trains = [rng.integers(-20, 400, 300), rng.integers(0, 325, 50)]
    averages = prepared_here.averages(trains)
    flat = shown.reshape(325, -1).astype(float)
    for train, found in zip(trains, averages, strict=True):
        for fold in range(4):
            part = (np.arange(325) // 40) % 3
            tested = part == fold
            windows = [tested[max(i - 11, 0) : i + 1].any() for i in range(325)]
            training = ~np.array(windows) if fold < 3 else np.ones(325, bool)
            training[:11] = False
            used = [s for s in train if 0 <= s < 325 and training[s]]
            expected = np.mean([flat[s - 11 : s + 1] for s in used], axis=0) - flat[training].mean(axis=0)
            np.testing.assert_allclose(found[fold], expected, atol=1e-4)
            if fold < 3:
                np.testing.assert_array_equal(prepared_here.training[fold], training)
                assert not (prepared_here.tested[fold] & training).any()


def test_units_without_a_field_or_spikes_are_not_fitted(prepared: NoiseMovie, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the limit as it is
    train = np.arange(0, FRAMES, 20)
    models = fit_ln_models(prepared, [train, train[:50], train], [5.0, 20.0, np.nan], PERIOD_S)
    assert [bool(m.reason) for m in models] == [True] * 3
    assert "z" in models[0].reason
    assert "spikes" in models[1].reason
    for model in models:
        assert np.isnan([model.bits_per_spike, model.a, model.b, model.r_squared, model.log_likelihood]).all()
    assert fit_ln_models(prepared, [], [], PERIOD_S) == []


def test_spikes_in_one_fold_only_have_a_reason(prepared: NoiseMovie) -> None:
    train = np.arange(300).repeat(2)  # no training spikes for the other folds' filters
    model = fit_ln_models(prepared, [train[train < 200]], [9.0], PERIOD_S)[0]
    assert "fold" in model.reason


def test_arguments_that_do_not_fit(prepared: NoiseMovie) -> None:
    with pytest.raises(ValueError, match="one of both"):
        fit_ln_models(prepared, [np.arange(3)], [], PERIOD_S)
    with pytest.raises(ValueError, match="frame_period_s"):
        fit_ln_models(prepared, [], [], 0)
    with pytest.raises(ValueError, match="frame numbers"):
        fit_ln_models(prepared, [np.array([0.5])], [9.0], PERIOD_S)
    with pytest.raises(ValueError, match="axes"):
        NoiseMovie.of(np.zeros((100, 4)))
    with pytest.raises(ValueError, match="too few"):
        NoiseMovie.of(np.zeros((100, 4, 4)))
    with pytest.raises(ValueError, match="folds"):
        FoldPlan(folds=1)
    with pytest.raises(ValueError, match="lags"):
        FoldPlan(lags=300)


def test_figures_of_known_curves() -> None:
    line = describe_curve(lambda g: 10 + g, -2, 2)
    assert line["rectification_index"] == pytest.approx(0)
    assert line["nonlinearity_index"] == pytest.approx(0, abs=1e-6)
    assert line["threshold_g"] == pytest.approx(0)
    assert describe_curve(lambda g: np.maximum(g, 0), -2, 2)["rectification_index"] == pytest.approx(1)
    bend = describe_curve(lambda g: np.exp(0.7 * g), -2, 2)
    assert bend["rectification_index"] == pytest.approx(1 - np.exp(-0.7))
    assert bend["nonlinearity_index"] == pytest.approx(0.7 * 2, abs=0.02)
    assert bend["threshold_g"] == pytest.approx(np.log(np.cosh(1.4)) / 0.7, abs=0.01)
    saturating = describe_curve(np.tanh, 0.0, 3.0)
    assert saturating["rectification_index"] == pytest.approx(0)
    falling = describe_curve(lambda g: -g, -2, 2)
    assert np.isnan(list(falling.values())).all()


def test_models_without_enough_gain_are_exponential(prepared: NoiseMovie, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(87)
    counts, _ = respond(rng, noise_cell(rng), "sigmoid", 2000)
    assert fits(prepared, [counts])[0].kind != "exponential"
    monkeypatch.setattr(ln_model, "MIN_GAIN", 10.0)
    assert fits(prepared, [counts])[0].kind == "exponential"


def test_poisson_counts_of_a_flat_curve_have_no_bits(prepared: NoiseMovie) -> None:
    rng = np.random.default_rng(88)
    models = fits(prepared, [rng.poisson(1.0, FRAMES) for _ in range(6)])
    at_most([m.bits_per_spike > 0.001 for m in models], 0.02)
