"""Waves on simulated arrays whose waves are known, on Poisson trains, and the fits against numbers written down."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import vonmises

from hdmea.spontaneous import WaveOptions, find_waves_in, rayleigh_test, wave_measures
from hdmea.spontaneous.wave_fit import fit_plane
from hdmea.spontaneous.waves import hull_area_mm2, neighbour_pairs
from support import simulated_waves as made

ARRAYS = {"8x8": made.array_8x8(), "60": made.array_60(), "64x64": made.array_64x64()}


@pytest.mark.parametrize(("array", "minutes", "seeds"), [("8x8", 60, 3), ("60", 60, 3), ("64x64", 10, 1)])
def test_known_waves_are_found_with_their_speed_and_direction(array, minutes, seeds):
    scores = []
    for seed in range(seeds):
        simulated = made.simulate_waves(ARRAYS[array], 60.0 * minutes, seed)
        waves = find_waves_in(simulated.trains_s, simulated.positions_um, duration_s=simulated.duration_s)
        scores.append(made.Score.of(simulated, waves))
    true, found, false = (sum(getattr(one, name) for one in scores) for name in ("true", "found", "false"))
    speeds = np.concatenate([one.speed_errors for one in scores])
    directions = np.concatenate([one.direction_errors for one in scores])
    assert true >= 8
    assert found >= 0.95 * true
    assert false <= 0.02 * found
    assert np.mean(np.abs(speeds) < 0.1) >= 0.95  # NaN is not
    assert np.mean(np.abs(directions) < 10) >= 0.95
    assert np.nanmedian(np.abs(speeds)) < 0.03


@pytest.mark.parametrize("share", [0.85, 0.5])
def test_irregular_places_and_few_units_do_not_tear_waves_apart(share):
    """300 units of an array of 4096, in clumps; of those that a wave passes, all but some or every other one bursts."""
    rng = np.random.default_rng(12)
    centres = rng.uniform(200, 2400, (40, 2))
    places = np.unique(np.rint((centres[rng.integers(0, 40, 300)] + rng.normal(0, 120, (300, 2))) / 42) * 42, axis=0)
    simulated = made.simulate_waves(places, 3600.0, 2, share=(0.2, 0.9), recruited=share)
    score = made.Score.of(simulated, find_waves_in(simulated.trains_s, places, duration_s=3600.0))
    assert score.found >= 0.95 * score.true
    assert score.false <= (0.05 if share > 0.8 else 0.4) * score.true
    assert np.nanmedian(np.abs(score.speed_errors)) < 0.05


@pytest.mark.parametrize("rate_hz", [0.2, 1.0, 2.0, 5.0])
def test_poisson_units_have_at_most_one_wave_an_hour(rate_hz):
    rng = np.random.default_rng(7)
    trains = [rng.uniform(0, 7200, rng.poisson(rate_hz * 7200)) for _ in ARRAYS["60"]]
    assert len(find_waves_in(trains, ARRAYS["60"], duration_s=7200)) <= 2


def test_each_wave_says_who_took_part_when_and_where():
    places = made.grid(5, 4, 100.0)
    burst = np.arange(10) * 0.1
    trains = [3 + x / 200 + burst for x, _ in places]
    trains[0] = np.array([50.0])  # inactive
    trains[7] = np.append(trains[7], [70.0, 71.0])
    (wave,) = find_waves_in(trains, places, duration_s=100)
    assert set(wave.units) == set(range(1, 20))
    assert wave.onsets_s.tolist() == sorted(wave.onsets_s)
    assert wave.start_s == 3.0
    assert wave.duration_s == pytest.approx(2 + 0.9)
    assert wave.spikes == 190
    assert wave.unit_share == 1.0  # of the active ones
    assert wave.area_mm2 == pytest.approx((400 * 300 - 100 * 100 / 2) * 1e-6)
    assert wave.speed_um_s == pytest.approx(200)
    assert wave.direction_deg == pytest.approx(0, abs=1e-6) or wave.direction_deg == pytest.approx(360, abs=1e-6)
    assert wave.origin_um[0] == 0


def test_two_waves_at_once_in_two_places_are_two():
    places = np.concatenate([made.grid(5, 5, 100.0), made.grid(5, 5, 100.0) + np.array([3000, 0])])
    trains = [10 + (place[1] if place[0] < 1000 else 400 - place[1]) / 150 + np.arange(12) * 0.1 for place in places]
    waves = find_waves_in(trains, places, duration_s=60)
    assert sorted(round(wave.direction_deg) for wave in waves) == [90, 270]


def test_without_positions_events_of_units_at_once_are_found():
    simulated = made.simulate_waves(ARRAYS["60"], 3600.0, 5, speed_um_s=(3000.0, 5000.0), share=(0.6, 1.0))
    waves = find_waves_in(simulated.trains_s, None, duration_s=3600.0)
    score = made.Score.of(simulated, waves)
    assert score.found >= 0.95 * score.true
    assert score.false <= 0.02 * score.true
    assert all(np.isnan([wave.speed_um_s, wave.direction_deg, wave.area_mm2, *wave.origin_um]).all() for wave in waves)


def test_units_without_a_place_are_left_out():
    places = made.grid(4, 4, 100.0)
    trains = [3 + x / 200 + np.arange(10) * 0.1 for x, _ in places]
    places[5] = np.nan
    (wave,) = find_waves_in(trains, places, duration_s=100)
    assert 5 not in wave.units
    assert len(wave.units) == 15


def test_no_waves_where_there_is_little():
    assert find_waves_in([], np.empty((0, 2)), duration_s=1) == []
    assert find_waves_in([[1.0]] * 3, np.zeros((3, 2)), duration_s=9) == []
    line = np.stack([np.arange(8) * 100.0, np.zeros(8)], axis=1)
    (wave,) = find_waves_in([1 + x / 200 + np.arange(9) * 0.1 for x, _ in line], line, duration_s=60)
    assert wave.area_mm2 == 0
    assert np.isnan(wave.speed_um_s)


def test_errors_of_the_fitted_plane_are_what_repetitions_show():
    rng = np.random.default_rng(4)
    places = rng.uniform(0, 2000, (40, 2))
    slope = np.array([np.cos(np.radians(250)), np.sin(np.radians(250))]) / 180
    fits = [fit_plane(places @ slope + rng.normal(0, 0.5, 40), places) for _ in range(400)]
    speeds, directions = np.array([f.speed_um_s for f in fits]), np.array([f.direction_deg for f in fits])
    assert speeds.mean() == pytest.approx(180, rel=0.01)
    assert directions.mean() == pytest.approx(250, abs=0.5)
    assert speeds.std() == pytest.approx(np.mean([f.speed_se_um_s for f in fits]), rel=0.15)
    assert directions.std() == pytest.approx(np.mean([f.direction_se_deg for f in fits]), rel=0.15)


def test_onsets_without_a_direction_have_no_speed_in_99_of_100():
    rng = np.random.default_rng(9)
    places = rng.uniform(0, 1000, (30, 2))
    fitted = [np.isfinite(fit_plane(rng.normal(0, 1, 30), places).speed_um_s) for _ in range(500)]
    assert np.mean(fitted) < 0.03


def test_rayleigh_s_p_values_are_uniform_and_find_a_bias():
    rng = np.random.default_rng(2)
    p = np.array([rayleigh_test(rng.uniform(0, 360, 25)).p_value for _ in range(800)])
    assert abs((p < 0.05).mean() - 0.05) < 0.02
    assert abs(p.mean() - 0.5) < 0.03
    biased = rayleigh_test(np.degrees(vonmises.rvs(2, loc=1.0, size=40, random_state=1)))
    assert biased.p_value < 1e-4
    assert biased.direction_deg == pytest.approx(np.degrees(1.0), abs=15)
    assert rayleigh_test([float("nan")]).count == 0


def test_measures_of_a_recording():
    places = made.grid(4, 4, 100.0)
    starts = [5.0, 25.0, 65.0]
    trains = [np.concatenate([at + x / 200 + np.arange(10) * 0.1 for at in starts]) for x, _ in places]
    waves = find_waves_in(trains, places, duration_s=120)
    found = wave_measures(waves, spikes=600, units=20, duration_s=120)
    assert found["wave_count"] == 3
    assert found["wave_rate_per_min"] == 1.5
    assert found["wave_interval_s"] == pytest.approx(30)
    assert found["wave_spike_share"] == 480 / 600
    assert found["wave_coverage"] == 16 / 20
    assert found["wave_direction_length"] == pytest.approx(1)
    assert found["wave_fitted_share"] == 1


def test_neighbours_and_hulls_of_odd_places():
    twice = np.array([[0.0, 0], [0, 0], [300, 0], [0, 300], [300, 300], [1000, 0]])
    first, second = neighbour_pairs(twice, 320.0)
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    assert (0, 1) in pairs
    assert {(2, 5), (5, 2)} & pairs  # bridged
    assert not {(0, 5), (5, 0)} & pairs
    assert np.isnan(hull_area_mm2(np.array([[0.0, np.nan]])))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="positions"):
        find_waves_in([[1.0]], np.zeros((2, 2)), duration_s=3)
    for wrong in ({"min_spikes": 1}, {"radius_um": 0.0}, {"min_speed_um_s": 0.0}, {"min_units": 1}):
        with pytest.raises(ValueError, match="must be"):
            WaveOptions(**wrong)
