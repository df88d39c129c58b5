"""Types of cells: found where there are some, and none where there is only noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hdmea.io.stimulus_config import load_stimulus_configs
from hdmea.population import types
from hdmea.population.responses import smooth
from hdmea.population.traces import rates_between
from hdmea.population.types import (
    GROUPED_BY,
    STABLE,
    WIDTH,
    Responses,
    find_types,
    groups_of,
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


def realistic_population(cells: int, seed: int) -> tuple[list[Responses], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Cells of the simulator's twelve types as in its realistic recordings, and which of them are silent.

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
    found = []
    for movie, start in timeline.shown:
        section = CONFIGS[movie.name].section
        edges = [timeline.frame_samples[start + n :][: section.trial_length_frame] for n in section.trial_starts()]
        spikes = smooth([[rates_between(own, part, 20000.0) for part in edges] for own in fired])
        halves = np.stack([spikes[:, n::2].mean(axis=1) for n in (0, 1)]).astype(np.float32)
        found.append(Responses(spikes.mean(axis=1).astype(np.float32), np.arange(cells), halves))
    return found, drawn.cell_type, strays.is_silent


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


@pytest.mark.parametrize("seed", [5, 6])
def test_types_of_realistic_cells_are_found(seed: int) -> None:
    from sklearn.metrics import adjusted_rand_score

    responses, truth, silent = realistic_population(1200, seed)
    labels = np.empty(len(truth), np.int64)
    for group in range(4):
        own = GROUP_OF[truth] == group
        parts = [Responses(one.means[own], np.arange(own.sum()), one.halves[:, own]) for one in responses]  # type: ignore[index]
        labels[own] = 100 * group + find_types(trace_features(parts), max_types=20, bootstraps=1).labels
    assert adjusted_rand_score(truth, labels) >= 0.85
    assert adjusted_rand_score(truth[~silent], labels[~silent]) >= 0.9


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
            6,
            iprgc_2hz_r=[0.9, 0.9, 0.9, 0.1, nan, nan],
            iprgc_sustained=[5, -5, 5, 5, nan, nan],  # the second one fires when the light ends
            iprgc_onset=[5, -5, 50, 5, nan, nan],  # the third one when it begins
            bar_dsi_p_value=[0.01, 0.01, 0.5, 0.01, 0.5, nan],
            bar_osi_p_value=[nan, nan, nan, 0.01, 0.01, nan],
        )
    )
    direction, orientation = "direction selective", "orientation selective"
    assert found == ["ipRGC", direction, "other", direction, orientation, "other"]


def test_cells_without_selectivity_are_hardly_ever_called_selective() -> None:
    rng = np.random.default_rng(0)
    truly = np.arange(1000) < 100
    p = np.where(truly, 0.001, rng.random(1000))
    found = np.array(groups_of(columns(1000, bar_dsi_p_value=p, bar_osi_p_value=rng.random(1000))))
    assert (found[truly] == "direction selective").all()
    assert (found[~truly] == "direction selective").sum() <= 15  # 45 have a p below 0.05
    assert (found == "orientation selective").sum() <= 2


def test_shares_are_of_each_recording() -> None:
    names, shares = shares_by_recording(np.array([0, 0, 1, 1]), ["a", "a", "a", "b"])
    assert names == ["a", "b"]
    np.testing.assert_allclose(shares, [[2 / 3, 1 / 3], [0, 1]])


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        find_types(np.array([[np.nan, 1.0]]))
