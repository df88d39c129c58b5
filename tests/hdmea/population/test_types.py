"""Types of cells: found where there are some, and none where there is only noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hdmea.io.stimulus_config import load_stimulus_configs
from hdmea.population import types
from hdmea.population.responses import response_p_value, response_p_values, smooth
from hdmea.population.traces import rates_between
from hdmea.population.types import (
    GROUPED_BY,
    STABLE,
    WIDTH,
    Responses,
    are_small,
    find_types,
    groups_of,
    is_unresponsive,
    shares_by_recording,
    sparse_components,
    trace_features,
)
from hdmea.simulate import REALISTIC, TWELVE_TYPES
from hdmea.simulate.options import ClockOptions, LightStepOptions
from hdmea.simulate.population import draw_irregularities, draw_population
from hdmea.simulate.response import firing_rates
from hdmea.simulate.spikes import discharge
from hdmea.simulate.stimuli import render
from hdmea.simulate.timeline import arrange

pytest.importorskip("sklearn")
Floats = npt.NDArray[np.float64]
KINDS = 12
GRID = (15, 15)
CONFIGS = load_stimulus_configs(("step_up_5s_5i_b0_3x", "green_blue_3s_3i_3x", "freq_step_5st_3x"), None)
GROUP_OF = np.array([0] * 7 + [1] * 2 + [2] * 2 + [3])  # of each of the twelve types


def population(noise: float, seed: int = 0, cells: int = 40) -> tuple[list[Responses], npt.NDArray[np.int64]]:
    """Means over two trials of 12 types, whose noise has that SD.

    Time courses to light steps and flicker differ in sign, delay, decay and tuning.
    """
    rng = np.random.default_rng(seed)
    step_time, flicker_time = np.arange(600) / 60, np.arange(1500) / 60
    kinds = [
        (sign, decay, best) for sign in (1, -1) for decay in (0.3, 1.5, 6.0) for best in (0.5, 4.0)
    ]  # ON or OFF; transient to sustained; slow or fast flicker
    traces: list[list[Floats]] = [[], []]
    truth = np.repeat(np.arange(KINDS), cells)
    for kind in truth:
        sign, decay, best = kinds[kind]
        gain = rng.lognormal(0, 0.3)
        onset = 1.0 if sign > 0 else 6.0
        since = step_time - onset
        step = np.where(since > 0, np.exp(-np.maximum(since, 0) / decay), 0)
        flicker = sum(
            np.exp(-np.abs(np.log2(f / best)))
            * np.sin(2 * np.pi * f * flicker_time)
            * ((flicker_time >= 0.5 + 5 * n) & (flicker_time < 4.5 + 5 * n))
            for n, f in enumerate((0.5, 1, 2, 4, 10))
        )
        for one, clean in zip(traces, (step, flicker), strict=True):
            one.append(gain * clean + np.sqrt(2) * noise * rng.normal(size=(2, len(clean))))
    return [responses(np.array(one).transpose(1, 0, 2)) for one in traces], truth


def responses(halves: Floats) -> Responses:
    """Of two trials (2, cells, T)."""
    means, own = halves.mean(axis=0).astype(np.float32), halves.astype(np.float32)
    return Responses(means, np.arange(halves.shape[1]), own)


def spiking_population(cells: int, seed: int) -> tuple[list[Responses], npt.NDArray[np.int64]]:
    """Poisson spikes of simulated cells in three trials: two signs, two colours, three times to the peak.

    Within a type times differ by 5 % and rates by 30 %. The noise of the means has 0.3 times the SD of the responses.
    """
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(KINDS), cells)
    timeline = arrange(
        [render(CONFIGS[name], GRID) for name in CONFIGS],
        sampling_rate=20000.0, pad_frames=180, repeats=1, duration_s=None, clock=ClockOptions(),
        light_steps=LightStepOptions(), rng=rng,
    )  # fmt: skip
    drawn = replace(
        draw_population(len(truth), GRID, 0.0, rng),
        polarity=np.where(truth % 2 == 0, 1, -1),
        colour_weights=np.where((truth // 2 % 2 == 0)[:, None], [1, 0.15], [0.15, 1]),
        time_to_peak_s=np.array([0.045, 0.07, 0.11])[truth // 4] * rng.lognormal(0, 0.05, len(truth)),
    )
    rates = firing_rates(drawn, timeline, GRID) * rng.lognormal(0, 0.3, len(truth))
    found = []
    for movie, start in timeline.shown:
        section = CONFIGS[movie.name].section
        trials = [rates[start + first :][: section.trial_length_frame].T for first in section.trial_starts()]
        spikes = smooth(rng.poisson(np.stack(trials, axis=1) / 60) * 60)
        halves = np.stack([spikes[:, n::2].mean(axis=1) for n in (0, 1)]).astype(np.float32)
        found.append(Responses(spikes.mean(axis=1).astype(np.float32), np.arange(len(truth)), halves))
    return found, truth


@dataclass(frozen=True)
class Cells:
    """Simulated cells: their responses, true types, which never fire, and which the test of responses takes."""

    responses: list[Responses]
    truth: npt.NDArray[np.int64]
    silent: npt.NDArray[np.bool_]
    responds: npt.NDArray[np.bool_]


def realistic_population(cells: int, seed: int, kept: float = 1.0) -> Cells:
    """Cells of the simulator's twelve types as in its realistic recordings; each spike is kept with a probability.

    Surrounds, bursts, drift, units mixed with others, fields partly off the screen; three trials of each stimulus.
    """
    rng = np.random.default_rng(seed)
    timeline = arrange(
        [render(CONFIGS[name], GRID) for name in CONFIGS],
        sampling_rate=20000.0, pad_frames=180, repeats=1, duration_s=None, clock=REALISTIC.clock,
        light_steps=LightStepOptions(), rng=rng,
    )  # fmt: skip
    drawn = draw_population(cells, GRID, 0.0, rng, REALISTIC.cells, rng.uniform(-1, 15, (cells, 2)), TWELVE_TYPES)
    strays = draw_irregularities(cells, REALISTIC.cells, rng.uniform(0, 1000, (cells, 2)), rng)
    fired = discharge(drawn, strays, REALISTIC.cells, timeline, GRID, seed).sorted_units
    fired = [own[rng.random(len(own)) < kept] for own in fired]
    found, p_values = [], []
    for movie, start in timeline.shown:
        section = CONFIGS[movie.name].section
        edges = [timeline.frame_samples[start + n :][: section.trial_length_frame] for n in section.trial_starts()]
        spikes = smooth([[rates_between(own, part, 20000.0) for part in edges] for own in fired])
        halves = np.stack([spikes[:, n::2].mean(axis=1) for n in (0, 1)]).astype(np.float32)
        found.append(Responses(spikes.mean(axis=1).astype(np.float32), np.arange(cells), halves))
        p_values.append(response_p_values(spikes).tolist())
    names = [movie.name for movie, _ in timeline.shown]
    p = [
        response_p_value({name: own[n] for name, own in zip(names, p_values, strict=True)})["response_p_value"]
        for n in range(cells)
    ]
    return Cells(found, drawn.cell_type, strays.is_silent, ~is_unresponsive(np.array(p)))


def typed_agreement(cells: Cells) -> float:
    """Adjusted Rand index of the cells that respond, each group by itself."""
    from sklearn.metrics import adjusted_rand_score

    labels = np.full(len(cells.truth), -1)
    for group in range(4):
        own = (GROUP_OF[cells.truth] == group) & cells.responds
        parts = [Responses(one.means[own], np.arange(own.sum()), one.halves[:, own]) for one in cells.responses]  # type: ignore[index]
        labels[own] = 100 * group + find_types(trace_features(parts), max_types=20, bootstraps=1).labels
    return float(adjusted_rand_score(cells.truth[cells.responds], labels[cells.responds]))


def agreement(made: tuple[list[Responses], npt.NDArray[np.int64]], width: float = WIDTH) -> float:
    from sklearn.metrics import adjusted_rand_score

    traces, truth = made
    found = find_types(trace_features(traces, width=width), max_types=20, bootstraps=1)
    return float(adjusted_rand_score(truth, found.labels))


def test_twelve_types_are_found_and_noise_lowers_the_agreement() -> None:
    low, high = (agreement(population(noise), 0.1) for noise in (0.1, 1.5))  # SD, of responses of about 1
    assert low >= 0.9
    assert high < low


def test_types_of_other_times_to_the_peak_are_told_apart_by_a_small_width() -> None:
    made = spiking_population(40, 0)
    assert agreement(made, 0.03) >= 0.9
    assert agreement(made) < 0.8  # at 45 and 70 ms responses differ by a quarter of their size


@pytest.mark.parametrize(("cells", "seed"), [(1200, 5), (1200, 6), (600, 7)])
def test_types_of_realistic_cells_are_found(cells: int, seed: int) -> None:
    made = realistic_population(cells, seed)
    assert typed_agreement(made) >= 0.9
    assert not (made.responds & made.silent).any()
    assert (made.responds | made.silent).mean() >= 0.95


def test_types_that_differ_in_two_of_many_responses_are_two() -> None:
    """Variances at their least value, counted as parameters, made one type of these."""
    rng = np.random.default_rng(1)
    features = 0.4 * rng.normal(size=(420, 43))
    features[:300, :20] += 4 * rng.normal(size=(5, 20))[np.arange(300) % 5]
    features[300:360, 30:32] += 5
    found = find_types(features, max_types=10, bootstraps=1)
    assert found.k == 7
    assert len(set(found.labels[300:360].tolist())) == len(set(found.labels[360:].tolist())) == 1
    assert found.labels[300] != found.labels[400]


@pytest.mark.parametrize("trials", [3, 30])
def test_cells_that_fire_at_random_do_not_respond(trials: int) -> None:
    """Poisson spikes in bursts, at rates that drift over the trials: 5 % have p below 0.05, and none is a discovery."""
    rng = np.random.default_rng(8)
    time_s = np.arange(2100) / 60
    drift = np.exp(0.3 * np.sin(2 * np.pi * (time_s / rng.uniform(120, 600, (2000, 1)) + rng.random((2000, 1)))))
    spikes = rng.poisson(rng.lognormal(0.5, 1, (2000, 1)) * drift / 60) * rng.integers(1, 4, (2000, 2100))
    p = response_p_values(smooth(60 * spikes.reshape(2000, trials, -1)))
    assert 0.03 <= (p < 0.05).mean() <= 0.07
    assert is_unresponsive(p).mean() >= 0.999
    found = np.array(groups_of(columns(2000, response_p_value=p)))
    assert (found == "no response").mean() >= 0.999


def test_p_of_responses_is_that_of_trials_turned_at_random() -> None:
    rng = np.random.default_rng(3)
    locked = np.exp(-0.5 * ((np.arange(150) - 60) / 5) ** 2) * np.array([0, 1, 2])[:, None, None]
    trials = rng.normal(size=(3, 3, 150)) + locked
    p = response_p_values(trials)
    for unit, found in zip(trials, p, strict=True):
        turned = [np.mean([np.roll(trial, rng.integers(150)) for trial in unit], axis=0).var() for _ in range(4000)]
        expected = np.mean(np.array(turned) >= unit.mean(axis=0).var())
        assert found == pytest.approx(expected, abs=0.03)
    assert p[2] < 0.01
    assert response_p_values(np.zeros((1, 3, 150)))[0] == 1  # it never fires
    assert np.isnan(response_p_values(trials[:, :1])).all()
    assert not is_unresponsive(np.array([np.nan])).any()


def test_many_trials_show_a_faint_response() -> None:
    rng = np.random.default_rng(5)
    faint = rng.normal(size=(20, 30, 150)) + 0.7 * np.exp(-0.5 * ((np.arange(150) - 60) / 5) ** 2)
    assert (response_p_values(faint) < 0.05).mean() >= 0.9
    assert (response_p_values(faint[:, :3]) < 0.05).mean() < 0.9


def test_p_of_all_stimuli_is_corrected_for_their_number() -> None:
    found = response_p_value({"green_blue_3s_3i_3x": 0.01, "freq_step_5st_3x": 0.5})
    assert found["response_p_value"] == 0.02
    assert np.isnan(found["step_up_p_value"])
    assert np.isnan(response_p_value({})["response_p_value"])


def test_responses_that_do_not_repeat_are_no_features() -> None:
    rng = np.random.default_rng(0)
    noise = responses(rng.normal(size=(2, 300, 200)))
    assert trace_features([noise]).shape[1] <= 1
    found = find_types(np.empty((300, 0)))
    assert found.reason == "no stable type: the cells have no responses that repeat and differ"
    assert not found.is_stable.any()


def test_types_that_are_there_are_stable() -> None:
    traces, _ = population(0.1)
    found = find_types(trace_features(traces), max_types=16, starts=2, bootstraps=4)
    assert found.reason == ""
    assert found.is_stable.mean() >= 0.8
    assert found.sizes.sum() == len(found.labels)


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_has_no_stable_type(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = find_types(rng.normal(size=(400, 10)), max_types=10, starts=2, bootstraps=5, seed=seed)
    assert found.reason.startswith("no stable type")
    assert not found.is_stable.any()
    heavy = find_types(rng.standard_t(3, size=(400, 10)), max_types=10, starts=2, bootstraps=5, seed=seed)
    assert (heavy.stability >= STABLE).sum() <= 1  # BIC takes two components for heavy tails


def test_the_same_seed_gives_the_same_types() -> None:
    traces, _ = population(0.3, cells=20)
    features = trace_features(traces, 4, 20)
    one, other = (find_types(features, max_types=6, starts=1, bootstraps=2, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.stability, other.stability)


def test_interrupted_fits_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces, _ = population(0.3, cells=12)
    features = trace_features(traces, 4, 20)
    options = {"max_types": 6, "starts": 1, "bootstraps": 3, "threads": 1}
    whole = find_types(features, **options)  # type: ignore[arg-type]
    fitted, fits = types._fitted, []

    def counted(*arguments: Any) -> Any:
        fits.append(arguments[1])
        if len(fits) == 4:
            raise KeyboardInterrupt
        return fitted(*arguments)

    monkeypatch.setattr(types, "_fitted", counted)
    with pytest.raises(KeyboardInterrupt):
        find_types(features, **options, kept=tmp_path / "kept.json")  # type: ignore[arg-type]
    assert fits == [1, 2, 3, 4]
    again = find_types(features, **options, kept=tmp_path / "kept.json")  # type: ignore[arg-type]
    assert fits[4:7] == [4, 5, 6]
    np.testing.assert_array_equal(again.labels, whole.labels)
    np.testing.assert_array_equal(again.stability, whole.stability)
    assert again.bic == whole.bic
    done = len(fits)
    find_types(features, **options, kept=tmp_path / "kept.json")  # type: ignore[arg-type]
    assert len(fits) == done + 1  # the labels' own fit
    find_types(features + 1e-3, **options, kept=tmp_path / "kept.json")  # type: ignore[arg-type]
    assert len(fits) > done + 4  # other features: everything anew


def test_of_many_cells_some_are_fitted_and_all_have_types(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, 2000)
    features = 12.0 * np.eye(3)[truth] + rng.normal(0, 1, (2000, 3))
    fitted, sizes = types._fitted, []

    def counted(x: Floats, *arguments: Any) -> Any:
        sizes.append(len(x))
        return fitted(x, *arguments)

    monkeypatch.setattr(types, "_fitted", counted)
    monkeypatch.setattr(types, "MAX_FITTED", 300)
    found = find_types(features, max_types=5, starts=1, bootstraps=3)
    assert max(sizes) == 300
    assert (found.k, found.sizes.sum()) == (3, 2000)
    assert found.is_stable.all()
    assert all(len(set(truth[found.labels == n])) == 1 for n in range(3))


def test_threads_do_not_change_types() -> None:
    traces, _ = population(0.3, cells=12)
    features = trace_features(traces, 4, 20)
    one, two = (find_types(features, max_types=7, starts=1, bootstraps=2, threads=n) for n in (1, 2))
    assert one.bic == two.bic
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.stability, two.stability)


def test_sparse_components_have_so_many_loadings_and_find_where_the_variance_is() -> None:
    rng = np.random.default_rng(2)
    values = 0.1 * rng.normal(size=(300, 40))
    values[:, 5:10] += rng.normal(size=(300, 1))
    values[:, 20:25] += 0.5 * rng.normal(size=(300, 1))
    loadings = sparse_components(values, 2, 5)
    assert [np.flatnonzero(row).tolist() for row in loadings] == [[5, 6, 7, 8, 9], [20, 21, 22, 23, 24]]
    np.testing.assert_allclose((loadings**2).sum(axis=1), 1)


def columns(cells: int, **given: Any) -> dict[str, Floats]:
    """What groups are made of; NaN where it is not given."""
    return {name: np.asarray(given.get(name, np.full(cells, np.nan)), np.float64) for name in GROUPED_BY}


def test_groups_come_before_types() -> None:
    nan = np.nan
    found = groups_of(
        columns(
            7,
            iprgc_2hz_r=[0.9, 0.9, 0.9, 0.1, nan, nan, nan],
            iprgc_sustained=[5, -5, 5, 5, nan, nan, nan],  # the second one fires when the light ends
            iprgc_onset=[5, -5, 50, 5, nan, nan, nan],  # the third one when it begins
            bar_dsi_p_value=[0.01, 0.01, 0.5, 0.01, 0.5, nan, nan],
            bar_osi_p_value=[nan, nan, nan, 0.01, 0.01, nan, nan],
            response_p_value=[0.9, 0.001, 0.001, 0.9, 0.001, 0.9, nan],  # nan: single trials
        )
    )
    direction, orientation = "direction selective", "orientation selective"
    assert found == ["ipRGC", direction, "other", direction, orientation, "no response", "other"]


def test_cells_without_selectivity_are_hardly_ever_called_selective() -> None:
    rng = np.random.default_rng(0)
    truly = np.arange(1000) < 100
    p = np.where(truly, 0.001, rng.random(1000))
    found = np.array(groups_of(columns(1000, bar_dsi_p_value=p, bar_osi_p_value=rng.random(1000))))
    assert (found[truly] == "direction selective").all()
    assert (found[~truly] == "direction selective").sum() <= 15  # 45 have a p below 0.05
    assert (found == "orientation selective").sum() <= 2


def test_types_that_false_discoveries_alone_could_make_are_small() -> None:
    # At a rate of false discoveries of 5 % ten of 200 selective cells are expected to be none.
    sizes = np.array([110, 75, 10, 5])
    assert are_small("direction selective", sizes).tolist() == [False, False, True, True]
    assert are_small("orientation selective", sizes).tolist() == [False, False, True, True]
    assert not are_small("other", sizes).any()
    assert not are_small("ipRGC", sizes).any()


def test_shares_are_of_all_cells_of_each_recording() -> None:
    shares = shares_by_recording(np.array([0, 0, 1, 1]), ["a", "a", "a", "b"], {"a": 4, "b": 2, "c": 3})
    np.testing.assert_allclose(shares, [[2 / 4, 1 / 4], [0, 1 / 2], [0, 0]])


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        find_types(np.array([[np.nan, 1.0]]))
