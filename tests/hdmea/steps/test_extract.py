"""Extraction for many units: what is extracted, skipped and failed, and what is left as it was."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from hdmea.features import FeatureExtractor, FeatureRegistry
from hdmea.features.base import MEASURES_VERSION
from hdmea.io.stimulus_config import SectionKwargs, StimulusConfig, save_stimulus_config
from hdmea.pipeline import PipelineSession, extract_features
from hdmea.report import write_report
from hdmea.steps.extract import extract_for_units
from hdmea.utils.exceptions import ConfigurationError
from support.hdmea_recordings import recording
from support.hdmea_trees import assert_same_values
from support.spiking_units import Clock, Field, tuned, unit_of

RATE = 1000.0
GREY, STEP = "baseline_127", "step_up_5s_5i_b0_3x"
NOISE = "perfect_dense_noise_15x15_15hz_r42_3min"
METADATA = {"acquisition_rate": RATE, "frame_timestamps": np.arange(0, 4000, 17, dtype=np.uint64)}


@pytest.fixture(autouse=True)
def _restored_registry() -> Iterator[None]:
    before = dict(FeatureRegistry._registry)
    yield
    FeatureRegistry._registry.clear()
    FeatureRegistry._registry.update(before)


def section(duration: int = 3000) -> dict[str, Any]:
    return {"trials_spike_times": {0: np.array([10, 20, 500])}, "trials_start_end": np.array([[0, duration]])}


@pytest.fixture
def units() -> dict[str, dict[str, Any]]:
    return {
        f"unit_{n:03d}": {
            "spike_times": np.array([10, 20, 500], np.uint64),
            "spike_times_sectioned": {GREY: section()},
            "features": {},
        }
        for n in (1, 2, 3)
    }


def test_values_and_marks_go_into_the_units(units: dict[str, dict[str, Any]]) -> None:
    result = extract_for_units(units, {}, METADATA, [GREY])
    assert (result.extracted, result.skipped, result.failed, result.warnings) == ([GREY], [], [], [])
    assert result.changed == [("units", unit_id, "features", GREY) for unit_id in units]
    for unit in units.values():
        feature = unit["features"][GREY]
        assert feature["data"]["spike_count"] == 3
        assert set(feature["metadata"]) == {"version", "params_hash", "extracted_at"}
        assert feature["metadata"]["params_hash"].startswith("sha256:")


def test_params_hash_tells_parameters_apart(units: dict[str, dict[str, Any]]) -> None:
    hashes = []
    for overrides in (None, {}, {"bin_ms": 10.0}):
        extract_for_units(units, {}, METADATA, [GREY], config_overrides=overrides, force=True)
        hashes.append(units["unit_001"]["features"][GREY]["metadata"]["params_hash"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_is_there_is_skipped_unless_forced(units: dict[str, dict[str, Any]]) -> None:
    extract_for_units(units, {}, METADATA, [GREY])
    before = dict(units["unit_001"]["features"][GREY])
    again = extract_for_units(units, {}, METADATA, [GREY])
    assert (again.extracted, again.skipped, again.changed) == ([], [GREY], [])
    assert units["unit_001"]["features"][GREY] == before
    forced = extract_for_units(units, {}, METADATA, [GREY], force=True)
    assert (forced.extracted, len(forced.changed)) == ([GREY], 3)


def test_only_units_that_lack_it_are_done(units: dict[str, dict[str, Any]]) -> None:
    units["unit_002"]["features"][GREY] = {"data": {"mine": 1}, "metadata": {}}
    result = extract_for_units(units, {}, METADATA, [GREY])
    assert [path[1] for path in result.changed] == ["unit_001", "unit_003"]
    assert units["unit_002"]["features"][GREY]["data"] == {"mine": 1}


def test_one_unit_that_fails_is_a_warning(units: dict[str, dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    del units["unit_002"]["spike_times_sectioned"][GREY]
    with caplog.at_level(logging.WARNING, "hdmea"):
        result = extract_for_units(units, {}, METADATA, [GREY])
    assert result.extracted == [GREY]
    assert len(result.warnings) == 1
    assert "unit_002" in result.warnings[0]
    assert "unit_002" in caplog.text
    assert GREY not in units["unit_002"]["features"]


def test_missing_section_fails_with_a_warning(units: dict[str, dict[str, Any]]) -> None:
    result = extract_for_units(units, {}, METADATA, [STEP, GREY])
    assert (result.extracted, result.failed) == ([GREY], [STEP])
    assert STEP in result.warnings[0]
    assert all(STEP not in unit["features"] for unit in units.values())


def test_unknown_name_fails_and_lists_the_known(units: dict[str, dict[str, Any]]) -> None:
    result = extract_for_units(units, {}, METADATA, ["no_such_feature"])
    assert result.failed == ["no_such_feature"]
    assert GREY in result.warnings[0]


def test_movie_name_points_at_another_section(units: dict[str, dict[str, Any]]) -> None:
    for unit in units.values():
        unit["spike_times_sectioned"] = {"other_grey": section()}
    result = extract_for_units(units, {}, METADATA, [GREY], config_overrides={"movie_name": "other_grey"})
    assert result.extracted == [GREY]
    assert units["unit_001"]["features"][GREY]["data"]["spike_count"] == 3


def test_stimulus_whose_config_names_a_family(
    units: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_stimulus_config(StimulusConfig("my_grey", SectionKwargs(0, 180, 1), "baseline"), tmp_path)
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))
    for unit in units.values():
        unit["spike_times_sectioned"]["my_grey"] = section()
    assert extract_for_units(units, {}, METADATA, ["my_grey"]).extracted == ["my_grey"]


def test_invalid_config_fails_with_what_is_wrong(
    units: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{GREY}.json").write_text("{}")
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(tmp_path))
    result = extract_for_units(units, {}, METADATA, [GREY])
    assert result.failed == [GREY]
    assert "section_kwargs" in result.warnings[0]


def test_without_names_everything_with_its_input_is_extracted(units: dict[str, dict[str, Any]]) -> None:
    for unit in units.values():
        unit["spike_times_sectioned"]["movie_without_config"] = section()
    result = extract_for_units(units, {}, METADATA)
    assert (result.extracted, result.failed) == (["frif", GREY], [])
    units["unit_001"]["features"].clear()
    assert extract_for_units(units, {}, {"acquisition_rate": RATE}).extracted == [GREY]


def test_sta_is_a_feature_of_its_own(units: dict[str, dict[str, Any]]) -> None:
    rng = np.random.default_rng(0)
    for unit in units.values():
        unit["spike_times_sectioned"][NOISE] = section()
        figures = {"n_spikes": 3, "n_spikes_excluded": 1, "cover_range": (-60, 0)}
        unit["features"][f"sta_{NOISE}"] = {"data": rng.normal(size=(60, 5, 5)), "metadata": dict(figures)}
    first = {unit_id: unit["features"][f"sta_{NOISE}"] for unit_id, unit in units.items()}
    for expected in (([NOISE], []), ([], [NOISE])):
        result = extract_for_units(units, {}, METADATA, [NOISE])
        assert (result.extracted, result.skipped) == expected
    for unit_id, unit in units.items():
        feature = unit["features"][NOISE]
        assert unit["features"][f"sta_{NOISE}"] is first[unit_id]
        assert "center_x" in feature["data"]
        assert set(feature["metadata"]) == {"version", "params_hash", "extracted_at"}


def test_keys_that_scripts_put_beside_the_values_stay(units: dict[str, dict[str, Any]]) -> None:
    unit = units["unit_001"]
    unit["features"]["frif"] = {"data": {}, "metadata": {}, "note": {"by": "hand"}}

    extract_for_units(units, {}, METADATA, ["frif"], force=True)

    assert unit["features"]["frif"]["note"] == {"by": "hand"}
    assert "FRIF" in unit["features"]["frif"]["data"]


def test_no_sta_fails_and_names_the_step(units: dict[str, dict[str, Any]]) -> None:
    for unit in units.values():
        unit["spike_times_sectioned"][NOISE] = section()
    result = extract_for_units(units, {}, METADATA, [NOISE])
    assert result.failed == [NOISE]
    assert "compute_sta" in result.warnings[0]


def test_no_units() -> None:
    stimulus = {"section_time": {GREY: np.zeros((1, 2))}}
    result = extract_for_units({}, stimulus, METADATA, [GREY, STEP])
    assert (result.extracted, result.failed, result.changed) == ([GREY], [STEP], [])


def test_overrides_that_json_cannot_hold_are_refused(units: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(ConfigurationError):
        extract_for_units(units, {}, METADATA, [GREY], config_overrides={"bin_ms": 20.0, "object": object()})


class Fragile(FeatureExtractor):
    """An extractor of somebody else's."""

    name: ClassVar[str] = "fragile"

    def extract(
        self, unit_data: Any, stimulus_data: Any, config: Mapping[str, Any] | None = None, metadata: Any = None
    ) -> dict[str, Any]:
        if len(unit_data["spike_times"]) == 0:
            raise ZeroDivisionError("no spikes to divide by")
        return {"first": int(unit_data["spike_times"][0]), "config": dict(config or {})}


def test_extractor_of_ones_own(units: dict[str, dict[str, Any]]) -> None:
    FeatureRegistry.register("fragile")(Fragile)
    units["unit_003"]["spike_times"] = np.empty(0, np.uint64)
    result = extract_for_units(units, {}, METADATA, ["fragile"], config_overrides={"gain": 2})
    assert result.extracted == ["fragile"]
    assert result.warnings == ["feature fragile failed for unit_003: no spikes to divide by"]
    assert units["unit_001"]["features"]["fragile"]["data"] == {"first": 10, "config": {"gain": 2}}


def test_features_and_session_have_one_length_of_the_recording(tmp_path: Path) -> None:
    """Here 20.007 s of light; bins of 100 ms, from which the baseline's measures took it, end at 20 s."""

    class Length(FeatureExtractor):
        name: ClassVar[str] = "length"

        def extract(
            self, unit_data: Any, stimulus_data: Any, config: Mapping[str, Any] | None = None, metadata: Any = None
        ) -> dict[str, Any]:
            return {"s": metadata["recording_duration_s"]}

    FeatureRegistry.register("length")(Length)
    session = recording(tmp_path)
    assert "recording_duration_s" not in session.metadata
    extract_features(features=["length"], session=session)
    assert session.duration_s() == 20.007
    assert session.units["unit_001"]["features"]["length"]["data"]["s"] == 20.007


def test_extractor_whose_required_input_is_missing_is_left_out(units: dict[str, dict[str, Any]]) -> None:
    class Needs(Fragile):
        required_inputs: ClassVar[tuple[str, ...]] = ("spike_times", "light_reference", "waveform")

    FeatureRegistry.register("needs")(Needs)
    stimulus: dict[str, Any] = {"light_reference": {"raw_ch1": np.zeros(3)}}
    assert "needs" not in extract_for_units(units, stimulus, METADATA).extracted
    for unit in units.values():
        unit["waveform"] = np.ones(4)
    assert "needs" not in extract_for_units(units, {"light_reference": {}}, METADATA).extracted
    assert "needs" in extract_for_units(units, stimulus, METADATA).extracted


def test_noise_without_an_sta_is_left_out_where_nobody_asks_for_it(units: dict[str, dict[str, Any]]) -> None:
    for unit in units.values():
        unit["spike_times_sectioned"][NOISE] = section()
    assert NOISE not in extract_for_units(units, {}, METADATA).extracted + extract_for_units(units, {}, METADATA).failed


def test_values_of_another_version_are_kept_with_a_warning(units: dict[str, dict[str, Any]]) -> None:
    extract_for_units(units, {}, METADATA, [GREY])
    for unit_id in ("unit_001", "unit_002"):
        units[unit_id]["features"][GREY]["metadata"]["version"] = "1.0.0"
    again = extract_for_units(units, {}, METADATA, [GREY])
    assert again.skipped == [GREY]
    assert "2 units keep values of version 1.0.0" in again.warnings[0]
    assert "force=True" in again.warnings[0]
    assert extract_for_units(units, {}, METADATA, [GREY], force=True).warnings == []
    assert extract_for_units(units, {}, METADATA, [GREY]).warnings == []


LATER_THAN_2 = ("dsi_cv", "dsi_cv_low", "dsi_cv_high", "preferred_direction_ci95", "change_trial", "change_p_value")


def test_values_of_release_2_are_read_from_a_file_and_kept_with_a_warning(clock: Clock, tmp_path: Path) -> None:
    """As release 2.2 stored them: without the names that came later, under its version."""
    session = PipelineSession(dataset_id="old", output_dir=tmp_path)
    units = bar_units(clock, [0.7, 0.2])
    extract_for_units(units, {}, clock.metadata, [BAR])
    for unit in units.values():
        unit |= {"waveform": np.ones(3, np.float32), "row": 1, "col": 1, "global_id": 1}
        unit["features"][BAR]["metadata"]["version"] = "2.2.0"
        unit["features"][BAR]["data"]["dsi"] = 0.123
        for name in LATER_THAN_2:
            del unit["features"][BAR]["data"][name]
    session.add_units(units)
    session.add_metadata({"dataset_id": "old", **clock.metadata})
    session.mark_step_complete("load_recording")
    path = session.save()

    result: Any = extract_features(path, [BAR])

    assert result.features_skipped == [BAR]
    assert any("2 units keep values of version 2.2.0" in warning for warning in result.warnings)
    for unit_id, unit in PipelineSession.load(path).units.items():
        assert_same_values(dict(unit["features"][BAR]["data"]), dict(units[unit_id]["features"][BAR]["data"]), unit_id)
    assert write_report(path).is_file()
    anew: Any = extract_features(path, [BAR], force=True)
    assert anew.warnings == []
    for unit in PipelineSession.load(path).units.values():
        assert unit["features"][BAR]["metadata"]["version"] == MEASURES_VERSION
        assert unit["features"][BAR]["data"]["dsi"] != 0.123
        assert set(LATER_THAN_2) <= set(unit["features"][BAR]["data"])


# ---------------------------------------------------------------- values over all units


BAR = "moving_h_bar_s5_d8_3x"


def bar_units(clock: Clock, tuning: list[float]) -> dict[str, dict[str, Any]]:
    """Units of these direction selectivities."""
    rng = np.random.default_rng(0)
    fields = [Field(20.0 * n, -10.0).rate(5.0, tuned(dsi, 40.0 * n, 40.0)) for n, dsi in enumerate(tuning)]
    return {f"unit_{n + 1:03d}": unit_of(clock, BAR, 4520, [rate] * 3, rng) for n, rate in enumerate(fields)}


def column(units: Mapping[str, Mapping[str, Any]], name: str) -> list[float]:
    return [unit["features"][BAR]["data"][name] for unit in units.values()]


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(59.2, 14_000, 0)


def test_q_values_are_over_all_units(clock: Clock) -> None:
    units = bar_units(clock, [0.7, 0.0, 0.5, 0.0, 0.0])
    extract_for_units(units, {}, clock.metadata, [BAR])
    np.testing.assert_allclose(column(units, "q_value"), false_discovery_control(column(units, "dsi_p_value")))


def test_q_values_are_written_anew_when_units_change_and_not_otherwise(clock: Clock) -> None:
    units = bar_units(clock, [0.7, 0.0, 0.5])
    late = units.pop("unit_003")
    extract_for_units(units, {}, clock.metadata, [BAR])
    first = column(units, "q_value")
    again = extract_for_units(units, {}, clock.metadata, [BAR])
    assert (again.skipped, again.changed) == ([BAR], [])
    units["unit_003"] = late
    more = extract_for_units(units, {}, clock.metadata, [BAR])
    assert set(more.changed) == {("units", unit_id, "features", BAR) for unit_id in units}
    assert column(units, "q_value")[:2] != first
    np.testing.assert_allclose(column(units, "q_value"), false_discovery_control(column(units, "dsi_p_value")))


def test_units_without_a_p_have_no_q(clock: Clock) -> None:
    units = bar_units(clock, [0.7, 0.0])
    silent = units["unit_002"]["spike_times_sectioned"][BAR]
    silent["trials_spike_times"] = {trial: np.empty(0, np.int64) for trial in range(3)}
    extract_for_units(units, {}, clock.metadata, [BAR])
    assert np.isnan(column(units, "q_value")[1])
    assert column(units, "q_value")[0] == column(units, "dsi_p_value")[0]


def test_measures_are_the_same_in_any_order_of_units_and_on_any_thread(clock: Clock) -> None:
    def fresh() -> dict[str, dict[str, Any]]:
        return bar_units(clock, [0.7, 0.2, 0.0, 0.4])

    units, backwards = fresh(), dict(reversed(fresh().items()))
    extract_for_units(units, {}, clock.metadata, [BAR])
    extract_for_units(backwards, {}, clock.metadata, [BAR])
    alone = fresh()
    with ThreadPoolExecutor(4) as pool:
        parts = [{unit_id: unit} for unit_id, unit in alone.items()]
        list(pool.map(lambda part: extract_for_units(part, {}, clock.metadata, [BAR]), parts))
    for unit_id, unit in units.items():
        mine = unit["features"][BAR]["data"]
        for other in (backwards, alone):
            theirs = other[unit_id]["features"][BAR]["data"]
            for name in mine.keys() - ({"q_value"} if other is alone else set()):
                np.testing.assert_array_equal(mine[name], theirs[name])


def test_only_extractors_that_say_so_run_in_threads(
    units: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's extractor may keep what it likes in itself."""
    monkeypatch.setenv("H5BURST_NUM_THREADS", "3")
    ran: dict[str, set[int]] = {"careless": set(), "careful": set()}

    class Careless(Fragile):
        def extract(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            ran[self.name].add(threading.get_ident())
            return super().extract(*args, **kwargs)

    class Careful(Careless):
        in_threads = True

    FeatureRegistry.register("careless")(Careless)
    FeatureRegistry.register("careful")(Careful)
    extract_for_units(units, {}, METADATA, ["careless", "careful"])
    assert ran["careless"] == {threading.get_ident()}
    assert threading.get_ident() not in ran["careful"]


def test_both_modes_write_the_same_q_values(clock: Clock, tmp_path: Path) -> None:
    """Units that come later change the q-values of those before, on a file as in a session."""

    def session(name: str) -> tuple[PipelineSession, Any]:
        made = PipelineSession(dataset_id="rec", output_dir=tmp_path / name)
        units = bar_units(clock, [0.7, 0.0, 0.5])
        for unit in units.values():
            unit |= {"waveform": np.ones(3, np.float32), "row": 1, "col": 1, "global_id": 1}
        made.add_units(units)
        made.add_metadata({"dataset_id": "rec", **clock.metadata})
        made.mark_step_complete("load_recording")
        late = made.units["unit_003"]["spike_times_sectioned"].pop(BAR)
        made.add_metadata({"late": 1})
        return made, late

    deferred, late = session("deferred")
    extract_features(features=[BAR], session=deferred)
    deferred.units["unit_003"]["spike_times_sectioned"][BAR] = late
    extract_features(features=[BAR], session=deferred)
    immediate, late = session("immediate")
    path = immediate.save()
    extract_features(path, [BAR])
    loaded = PipelineSession.load(path)
    loaded.units["unit_003"]["spike_times_sectioned"][BAR] = late
    loaded.save(overwrite=True)
    extract_features(path, [BAR])
    one, other = PipelineSession.load(deferred.save()), PipelineSession.load(path)
    assert column(one.units, "q_value") == column(other.units, "q_value")
    for unit_id, unit in one.units.items():
        assert_same_values(unit["features"][BAR]["data"], other.units[unit_id]["features"][BAR]["data"])
    np.testing.assert_allclose(column(one.units, "q_value"), false_discovery_control(column(one.units, "dsi_p_value")))


def test_config_that_differs_from_the_movie_is_a_warning(
    units: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = np.zeros((2040, 2, 2), np.uint8)
    for unit in units.values():
        unit["spike_times_sectioned"] = {STEP: section()}
    np.save(tmp_path / f"{STEP}.npy", movie)
    monkeypatch.setenv("HDMEA_STIMULI_DIR", str(tmp_path))
    result = extract_for_units(units, {}, METADATA, [STEP])
    assert result.extracted == [STEP]
    assert f"the config of {STEP} and the movie" in result.warnings[0]
    for start in (300, 900, 1500):
        movie[start : start + 300] = 255
    np.save(tmp_path / f"{STEP}.npy", movie)
    assert extract_for_units(units, {}, METADATA, [STEP], force=True).warnings == []
