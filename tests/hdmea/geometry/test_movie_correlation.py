"""Receptive fields under movies that are correlated with themselves: said, and taken out where asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.signal import lfilter

from hdmea.features import extract_rf_geometry
from hdmea.geometry import movie_correlation, receptive_field
from hdmea.pipeline import PipelineSession
from support.noise_cells import GRID, X, Y

KINDS = {
    "white": lambda white: white,
    "smoothed": lambda white: gaussian_filter(white, (0, 1.0, 1.0), mode="wrap"),
    "weakly smoothed": lambda white: gaussian_filter(white, (0, 0.5, 0.5), mode="wrap"),
    "in time": lambda white: lfilter([1], [1, -0.6], white, axis=0),
}


def patterns(rng: np.random.Generator, kind: str, count: int = 5400) -> np.ndarray:
    """A movie's patterns (count, 15, 15) of variance 1, cut from a larger one."""
    made = KINDS[kind](rng.standard_normal((count, GRID + 8, GRID + 8)))[:, 4:-4, 4:-4]
    return np.asarray(made / made.std())


def averages(rng: np.random.Generator, shown: np.ndarray, hold: int, count: int) -> Iterator[tuple]:
    """Averages of cells with round Gaussian fields and biphasic courses, with column, row, σ and lag."""
    frames = np.arange(30)
    flat = shown.reshape(len(shown), -1)
    for _ in range(count):
        x, y, sigma, lag = *rng.uniform(4, 10, 2), rng.uniform(1, 1.5), rng.uniform(3, 6)
        first, second = ((frames / at * np.exp(1 - frames / at)) ** 6 for at in (lag, 2 * lag))
        seen = (flat @ np.exp(-((X - x) ** 2 + (Y - y) ** 2) / 2 / sigma**2).ravel()).repeat(hold)
        drive = np.convolve(seen, first - 0.3 * second)[: len(seen)]
        rate = np.exp(0.8 * drive / drive.std())
        spikes = rng.poisson(rate * 5000 / rate.sum()).astype(float)
        spikes[:60] = 0
        shifted = np.stack([np.roll(spikes, -back) for back in range(59, -1, -1)])
        average = shifted.reshape(60, -1, hold).sum(axis=2) @ flat / spikes.sum()
        yield average.reshape(60, GRID, GRID), x, y, sigma, lag


def fields(kind: str, whiten: bool, seed: int = 1) -> tuple[float, float, float]:
    """Median width over the true one, median error of the lag, median error of the centre, of 6 cells."""
    rng = np.random.default_rng(seed)
    shown, found = patterns(rng, kind), []
    correlation = movie_correlation(np.repeat(shown, 4, axis=0), 4)
    for average, x, y, sigma, lag in averages(rng, shown, 4, 6):
        field = receptive_field(correlation.whitened(average) if whiten else average, last_frame=1, hold=4)
        assert field.significant
        away = np.hypot(field.center_col - x, field.center_row - y)
        found.append((field.equivalent_diameter / 2.3548 / sigma, field.time_course.peak_lag_frames - lag, away))
    width, late, away = np.nanmedian(found, axis=0).tolist()
    return width, late, away


@pytest.mark.parametrize(("kind", "correlated"), [(kind, kind != "white") for kind in KINDS])
def test_which_movies_are_correlated(kind: str, correlated: bool) -> None:
    shown = patterns(np.random.default_rng(0), kind)
    found = movie_correlation(np.repeat(shown, 4, axis=0), 4)
    assert found.correlated == correlated
    centred = shown - shown.mean(axis=0)
    by_numpy = [
        np.corrcoef(centred[1:].ravel(), centred[:-1].ravel())[0, 1],
        np.corrcoef(centred[:, 2:].ravel(), centred[:, :-2].ravel())[0, 1],
        np.corrcoef(centred[:, :, 1:].ravel(), centred[:, :, :-1].ravel())[0, 1],
    ]
    np.testing.assert_allclose([found.patterns[1], found.rows[2], found.columns[1]], by_numpy, atol=0.01)


def test_widths_come_back_to_what_they_are() -> None:
    """Blurred by the movie's own correlation a field is 1.5 times as wide, or its lag half a frame off."""
    wide, _, _ = fields("smoothed", whiten=False)
    assert wide > 1.4
    width, late, away = fields("smoothed", whiten=True)
    assert width == pytest.approx(1, abs=0.08)
    assert abs(late) < 0.3
    assert away < 0.25
    _, late, _ = fields("in time", whiten=False)
    assert late < -0.25
    width, late, away = fields("in time", whiten=True)
    assert abs(late) < 0.2
    assert width == pytest.approx(1, abs=0.05)
    assert away < 0.1


def test_a_white_movies_average_stays_as_it_is() -> None:
    rng = np.random.default_rng(2)
    found = movie_correlation(patterns(rng, "white"))
    average = rng.normal(size=(60, GRID, GRID))
    np.testing.assert_allclose(found.whitened(average), average - average.mean(axis=0))


def test_few_patterns_do_not_look_correlated_by_chance() -> None:
    rng = np.random.default_rng(3)
    assert not any(movie_correlation(rng.integers(0, 2, (rng.integers(10, 200), 3, 3))).correlated for _ in range(200))
    assert not movie_correlation(np.zeros((1, 1, 1))).correlated
    with pytest.raises(ValueError, match="axes"):
        movie_correlation(np.zeros((5, 5)))


@pytest.mark.parametrize("kind", ["white", "smoothed", "in time"])
def test_the_step_says_so_and_takes_it_out_where_asked(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    shown = patterns(rng, kind)
    average, _, _, sigma, _ = next(averages(rng, shown, 4, 1))
    np.save(tmp_path / "noise.npy", np.repeat(shown, 4, axis=0).astype(np.float32))
    session = PipelineSession("noise")
    session.metadata = {"acquisition_rate": 20_000.0, "frame_timestamps": np.arange(100) * 333}
    unit = {"features": {"sta_noise": {"data": average, "metadata": {"cover_range": (-59, 1)}}}}
    session.units["unit_000"] = unit

    def widths(**options: bool) -> tuple[float, dict, list[str]]:
        saved = session.save(tmp_path / "noise.h5", overwrite=True)
        done = extract_rf_geometry(saved, movie_name="noise", stimuli_dir=tmp_path, force=True, **options)
        stored = PipelineSession.load(saved).units["unit_000"]["features"]["sta_noise"]["sta_geometry"]
        return stored["equivalent_diameter"] / 2.3548 / sigma, stored, done.warnings

    width, stored, warnings = widths()
    assert any("correlated with itself" in warning for warning in warnings) == (kind != "white")
    assert (abs(stored["movie_correlation"]) > 0.1) == (kind != "white")
    assert not stored["whitened"]
    again, stored, warnings = widths(whiten=True)
    assert not warnings
    assert bool(stored["whitened"]) == (kind != "white")
    if kind == "smoothed":
        assert again < 0.8 * width
    else:
        assert again == pytest.approx(width, rel=0.1)


def test_without_the_movie_nothing_is_said_and_nothing_is_taken_out(tmp_path: Path) -> None:
    session = PipelineSession("noise")
    session.metadata = {"acquisition_rate": 20_000.0, "frame_timestamps": np.arange(100) * 333}
    average = np.random.default_rng(5).normal(size=(60, 15, 15))
    session.units["unit_000"] = {"features": {"sta_noise": {"data": average, "metadata": {}}}}
    extract_rf_geometry(session=session, movie_name="noise", stimuli_dir=tmp_path)
    assert np.isnan(session.units["unit_000"]["features"]["sta_noise"]["sta_geometry"]["movie_correlation"])
    with pytest.raises(FileNotFoundError, match="correlation"):
        extract_rf_geometry(session=session, movie_name="noise", stimuli_dir=tmp_path, whiten=True, force=True)
