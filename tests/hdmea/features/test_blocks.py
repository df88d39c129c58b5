"""Blocks of trials, changes over trials, and recordings whose first frames are missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hdmea.features import FeatureRegistry
from hdmea.features.resampling import largest_changes
from hdmea.steps.extract import extract_for_units
from hdmea.utils.exceptions import ConfigurationError
from support.bounds import at_least, at_most
from support.hdmea_trees import assert_same_values
from support.measured import STEP, Floats, Make, extracted, values
from support.spiking_units import Clock, bursting_train, sectioned, unit_of

THIRTY = "step_up_5s_5i_b0_30x"
BLOCKS = {"control": [0, 8], "drug": [8, 16]}


def fading(clock: Clock, rng: np.random.Generator, trials: int = 16, last: int = 8) -> dict[str, Any]:
    """A response of 60 spikes/s that is gone after the first trials."""

    def rate(height: float) -> Any:
        return lambda frames: 4.0 + height * ((frames >= 64) & (frames < 90))

    return unit_of(clock, THIRTY, 600, [rate(60.0 if trial < last else 0.0) for trial in range(trials)], rng)


def test_blocks_are_features_of_their_own() -> None:
    rng, clock = np.random.default_rng(0), Clock(60.2, 15_000, 0)
    units = {f"unit_{n:03d}": fading(clock, rng) for n in range(4)}
    result = extract_for_units(units, {}, clock.metadata, [THIRTY], config_overrides={"blocks": BLOCKS})
    names = [THIRTY, f"{THIRTY}@control", f"{THIRTY}@drug"]
    assert result.extracted == names
    for unit in units.values():
        whole, control, drug = (unit["features"][name]["data"] for name in names)
        assert [part["n_trials"] for part in (whole, control, drug)] == [16, 8, 8]
        assert control["on_response"] > 2 * whole["on_response"] * 0.8
        assert abs(drug["on_response"]) < 5
        # A block is what a recording of these trials alone would give.
        section = unit["spike_times_sectioned"][THIRTY]
        alone = {
            "trials_spike_times": {n: section["trials_spike_times"][n] for n in range(8)},
            "trials_start_end": section["trials_start_end"][:8],
        }
        extractor = FeatureRegistry.get(THIRTY)()
        other = extractor.extract({"spike_times_sectioned": {THIRTY: alone}}, {}, None, clock.metadata)
        assert_same_values(dict(control), other, "block")
    one = extract_for_units(units, {}, clock.metadata, [f"{THIRTY}@drug"], config_overrides={"blocks": BLOCKS})
    assert one.skipped == [f"{THIRTY}@drug"]
    unknown = extract_for_units(units, {}, clock.metadata, [f"{THIRTY}@wash"], config_overrides={"blocks": BLOCKS})
    assert unknown.failed == [f"{THIRTY}@wash"]
    assert "no block 'wash'; there are: control, drug" in unknown.warnings[0]


def test_a_block_of_trials_alone() -> None:
    clock = Clock(60.2, 15_000, 0)
    unit = fading(clock, np.random.default_rng(1))
    found = FeatureRegistry.get(THIRTY)().extract(unit, {}, {"trials": [2, 7]}, clock.metadata)
    assert found["n_trials"] == 5


@pytest.mark.parametrize("wrong", [[3], [5, 2], ["a", "b"], [-1, 3], 4, [0.0, 2.0]])
def test_a_block_that_is_none_is_an_error_that_says_so(wrong: Any) -> None:
    for given in ({"trials": wrong}, {"blocks": {"x": wrong}}):
        with pytest.raises(ConfigurationError, match=r"must be \[first, last\)"):
            FeatureRegistry.get(THIRTY)().settings(given)
    with pytest.raises(ConfigurationError, match="names with"):
        FeatureRegistry.get(THIRTY)().settings({"blocks": [[0, 3]]})


def test_a_recording_says_from_which_trial_on_its_units_respond_otherwise() -> None:
    rng, clock = np.random.default_rng(2), Clock(60.2, 15_000, 0)
    units = {f"unit_{n:03d}": fading(clock, rng) for n in range(5)}
    result = extract_for_units(units, {}, clock.metadata, [THIRTY])
    assert any("5 of 5 units respond otherwise from trial 8 on" in text for text in result.warnings)
    same = {f"unit_{n:03d}": fading(clock, rng, last=16) for n in range(5)}
    assert extract_for_units(same, {}, clock.metadata, [THIRTY]).warnings == []


def steady(burst: int) -> Make:
    def make(clock: Clock, rng: np.random.Generator) -> dict[str, Any]:
        if burst == 1:
            return unit_of(clock, THIRTY, 600, [lambda frames: np.full(len(frames), 8.0)] * 16, rng)
        starts = [100 + 600 * trial for trial in range(16)]
        trains = [bursting_train(clock, start, 600, 8.0, burst, rng) for start in starts]
        return sectioned(clock, THIRTY, starts, 600, trains)

    return make


def test_changes_of_units_that_do_not_change_are_as_seldom_as_it_says() -> None:
    for burst, count in ((1, 150), (5, 50)):
        p_values = values(extracted(THIRTY, steady(burst), count, seed=61), "change_p_value")
        at_most(p_values < 0.05, 0.07)
        at_least(p_values < 0.5, 0.4)


def test_a_change_is_found_where_it_is() -> None:
    units = extracted(THIRTY, fading, 60, seed=62)
    at_least(values(units, "change_p_value") < 0.01, 0.98)
    at_least(np.abs(values(units, "change_trial") - 8) <= 1, 0.95)
    few = extracted(STEP, lambda clock, rng: unit_of(clock, STEP, 600, [lambda f: 5 + 0 * f] * 5, rng), 3, seed=63)
    assert np.isnan(values(few, "change_trial")).all()


def test_largest_change_is_that_of_all_cuts() -> None:
    rng = np.random.default_rng(3)
    for count in (4, 6, 13):
        own: Floats = rng.normal(size=count)
        changes, cut = largest_changes(own, 50, 1, 0)
        sizes = {
            c: abs(own[:c].mean() - own[c:].mean()) * np.sqrt(c * (count - c) / count) for c in range(2, count - 1)
        }
        assert changes[0] == pytest.approx(max(sizes.values()))
        assert cut == max(sizes, key=lambda c: sizes[c])
        assert len(changes) == 51


def test_frames_missing_at_the_start_cost_the_trials_that_lack_them() -> None:
    """Timestamps that begin in the middle of the second trial: the others give what they gave."""
    clock = Clock(60.2, 15_000, 0)
    unit = fading(clock, np.random.default_rng(4), trials=8, last=8)
    extractor = FeatureRegistry.get(THIRTY)()
    whole = extractor.extract(unit, {}, {"trials": [2, 8]}, clock.metadata)
    late = {**clock.metadata, "frame_timestamps": clock.metadata["frame_timestamps"][1000:]}
    found = extractor.extract(unit, {}, None, late)
    assert found["n_trials"] == 6
    for name in ("on_response", "on_peak_rate", "on_sustained_rate", "response_quality", "frame_period_s"):
        assert found[name] == pytest.approx(whole[name], rel=1e-12), name
    np.testing.assert_allclose(found["psth"], whole["psth"])


def test_presence_and_duplicates() -> None:
    spikes = np.sort(np.concatenate([np.arange(0, 60_000, 500), [500, 500], np.arange(130_000, 180_000, 700)]))
    section = {"trials_spike_times": {0: spikes}, "trials_start_end": np.array([[0, 10_000]])}
    unit = {"spike_times": spikes.astype(np.uint64), "spike_times_sectioned": {"grey": section}}
    metadata = {"acquisition_rate": 1000.0, "recording_duration_s": 290.0}
    found = FeatureRegistry.get("baseline_127")().extract(unit, {}, {"movie_name": "grey"}, metadata)
    assert found["presence_ratio"] == 2 / 4  # minutes 0 and 2 of 0 to 3; the fifth is not whole
    assert found["n_duplicates"] == 2
    metadata["recording_duration_s"] = 50.0
    short = FeatureRegistry.get("baseline_127")().extract(unit, {}, {"movie_name": "grey"}, metadata)
    assert np.isnan(short["presence_ratio"])
