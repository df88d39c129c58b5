"""Extraction for many units: what is extracted, skipped and failed, and what is left as it was."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from hdmea.features import FeatureExtractor, FeatureRegistry
from hdmea.io.stimulus_config import SectionKwargs, StimulusConfig, save_stimulus_config
from hdmea.steps.extract import extract_for_units
from hdmea.utils.exceptions import ConfigurationError

RATE = 1000.0
GREY, STEP = "baseline_127", "step_up_5s_5i_b0_3x"
NOISE = "perfect_dense_noise_15x15_15hz_r42_3min"
METADATA = {"acquisition_rate": RATE, "frame_timestamps": np.arange(0, 4000, 17, dtype=np.uint64)}


@pytest.fixture(autouse=True)
def _restored_registry() -> Iterator[None]:
    before = dict(FeatureRegistry._classes)
    yield
    FeatureRegistry._classes.clear()
    FeatureRegistry._classes.update(before)


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


def test_sta_under_the_same_name_is_kept_and_is_no_feature(units: dict[str, dict[str, Any]]) -> None:
    rng = np.random.default_rng(0)
    for unit in units.values():
        unit["spike_times_sectioned"][NOISE] = section()
        figures = {"n_spikes": 3, "n_spikes_excluded": 1, "cover_range": (-60, 0)}
        unit["features"][NOISE] = {"data": {"sta": rng.normal(size=(60, 5, 5))}, "metadata": dict(figures)}
    first = {unit_id: unit["features"][NOISE]["data"]["sta"] for unit_id, unit in units.items()}
    for expected in (([NOISE], []), ([], [NOISE])):
        result = extract_for_units(units, {}, METADATA, [NOISE])
        assert (result.extracted, result.skipped) == expected
    for unit_id, unit in units.items():
        feature = unit["features"][NOISE]
        assert feature["data"]["sta"] is first[unit_id]
        assert "center_x" in feature["data"]
        assert feature["metadata"]["n_spikes"] == 3
        assert set(feature["metadata"]) > {"cover_range", "version", "params_hash", "extracted_at"}


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
