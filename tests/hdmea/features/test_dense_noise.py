"""The family of dense noise tells what the geometry of receptive fields finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hdmea.features import FeatureRegistry
from hdmea.features.dense_noise import DenseNoise, describe_sta
from hdmea.utils.exceptions import MissingInputError
from support.noise_cells import noise_cell, noise_spikes, respond, triggered

NOISE = "perfect_dense_noise_15x15_15hz_r42_3min"


def extract(unit: dict[str, Any]) -> dict[str, Any]:
    return FeatureRegistry.get(NOISE)().extract(unit, {})


def unit_with(sta: npt.NDArray[Any], **figures: Any) -> dict[str, Any]:
    return {"features": {f"sta_{NOISE}": {"data": sta, "metadata": {"cover_range": (-60, 0), **figures}}}}


def test_values_of_a_cell() -> None:
    rng = np.random.default_rng(0)
    cell = noise_cell(rng)
    values = extract(unit_with(127.5 + triggered(respond(rng, cell, "sigmoid", 5000)[0], first=1), n_spikes=5000))
    assert set(values) == set(DenseNoise.output_schema)
    assert (values["center_x"], values["center_y"]) == pytest.approx((cell.x, cell.y), abs=0.2)
    along_x = np.hypot(cell.wide * np.cos(cell.angle), cell.narrow * np.sin(cell.angle))
    along_y = np.hypot(cell.wide * np.sin(cell.angle), cell.narrow * np.cos(cell.angle))
    assert (values["sigma_x"], values["sigma_y"]) == pytest.approx((along_x, along_y), rel=0.12)
    assert values["polarity"] == cell.sign
    assert np.sign(values["amplitude"]) == cell.sign
    assert values["peak_lag_frames"] == pytest.approx(cell.lag, abs=0.4)
    assert np.isnan(values["peak_lag_ms"])  # the unit has no trial that tells how long a frame is
    assert values["peak_z_score"] > 20
    assert 0 < values["fit_residual"] < 0.25


@pytest.mark.parametrize("rate_hz", [58.9, 60.7])
def test_lags_in_ms_come_from_the_frames_of_the_trial(rate_hz: float) -> None:
    rng = np.random.default_rng(0)
    sta = 127.5 + triggered(respond(rng, noise_cell(rng), "sigmoid", 5000)[0], first=1)
    frames = np.round(np.arange(11_000) * 20_000 / rate_hz).astype(np.uint64)
    trial = {"trials_spike_times": {0: frames[50:500:7]}, "trials_start_end": np.array([[frames[20], frames[10_820]]])}
    unit = {**unit_with(sta, n_spikes=5000), "spike_times_sectioned": {NOISE: trial}}
    values = FeatureRegistry.get(NOISE)().extract(
        unit, {}, metadata={"frame_timestamps": frames, "acquisition_rate": 20_000.0}
    )
    assert values["peak_lag_ms"] == pytest.approx(values["peak_lag_frames"] * 1000 / rate_hz, rel=1e-5)


def test_lags_count_from_the_spike_whatever_the_window() -> None:
    rng = np.random.default_rng(1)
    cell = noise_cell(rng)
    sta = triggered(respond(rng, cell, "sigmoid", 5000)[0])  # its last frame is the spike's own
    assert describe_sta(sta, 1)["peak_lag_frames"] == pytest.approx(cell.lag, abs=0.4)
    later = np.concatenate([sta, np.random.default_rng(2).normal(0, sta[:20].std(), (9, 15, 15))])
    assert describe_sta(later, 10)["peak_lag_frames"] == pytest.approx(cell.lag, abs=0.4)


def test_noise_has_only_its_z() -> None:
    values = extract(unit_with(triggered(noise_spikes(np.random.default_rng(3), 800))))
    assert values["polarity"] == 0
    assert 2 < values["peak_z_score"] <= 5
    rest = [value for name, value in values.items() if name not in ("polarity", "peak_z_score")]
    assert np.isnan(rest).all()


@pytest.mark.parametrize("sta", [np.full((60, 15, 15), np.nan), np.empty((0, 15, 15)), np.ones((10, 15, 15))])
def test_an_average_that_tells_nothing(sta: npt.NDArray[np.float64]) -> None:
    assert np.isnan(list(describe_sta(sta).values())).all()


def test_few_spikes_tell_nothing() -> None:
    rng = np.random.default_rng(4)
    sta = triggered(respond(rng, noise_cell(rng), "sigmoid", 5000)[0])
    assert np.isnan(list(extract(unit_with(sta, n_spikes=30)).values())).all()


def test_a_gradient_is_no_field_with_a_centre() -> None:
    sta = np.random.default_rng(5).normal(127, 0.5, (60, 15, 15))
    sta[50:56] += np.linspace(-30, 30, 15)
    values = describe_sta(sta)
    assert values["polarity"] in (-1, 1)
    assert np.isfinite(values["peak_lag_frames"])
    assert np.isnan([values["center_x"], values["fit_residual"], values["amplitude"]]).all()


def test_without_sta_the_error_names_the_step() -> None:
    with pytest.raises(MissingInputError, match="compute_sta"):
        extract({"features": {}})
