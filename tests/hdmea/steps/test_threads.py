"""Every measure has the same bits on 1, 2 and 5 threads: of every step that computes, and of every registered feature.

Steps and features come from their lists, so that a new one is looked at as soon as it is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdmea.features import FeatureRegistry
from hdmea.features.families import FAMILIES
from hdmea.io.stimulus_config import inherited_stimulus_config
from hdmea.pipeline import PipelineSession, create_session
from hdmea.step_table import STEPS
from hdmea.steps.extract import extract_for_units
from support.electrode_cells import SPIKE, cell_image
from support.full_flow import BAR, NOISE, STEP, parameters_of, simulated
from support.hdmea_trees import assert_same_trees, assert_same_values
from support.spiking_units import Clock, unit_of

THREADS = (1, 2, 5)
BEFORE = ("load_recording_with_eimage_sta", "add_section_time", "section_spike_times", "add_cmtr_unit_info")
NO_MEASURES = {"copy_section"}
OF_RAW_FILES = {"add_electrode_images"}  # makes the images of load_recording_with_eimage_sta, of raw MCS-HDF5 files
MEASURING = [
    name for name, step in STEPS.items() if step.redo_with == "analysis" and name not in NO_MEASURES | OF_RAW_FILES
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """By threads, the file after every step, of six units under noise, the moving bar and a step of light."""
    recording = simulated(tmp_path_factory.mktemp("made"), NOISE, BAR, STEP)
    arguments = parameters_of(recording)
    arguments["add_section_time"]["playlist_name"] = recording.playlist_name
    arguments["compute_stc"] = {"stimuli_dir": str(recording.stimuli_dir)}
    arguments[BEFORE[0]] = {"cmcr_path": recording.cmcr_path, "cmtr_path": recording.cmtr_path}
    files = {}
    with pytest.MonkeyPatch.context() as patch:
        for threads in THREADS:
            patch.setenv("H5BURST_NUM_THREADS", str(threads))
            session = create_session("threads", output_dir=tmp_path_factory.mktemp("out"))
            for name in BEFORE:
                STEPS[name].function(session=session, **arguments.get(name, {}))
            with_axons(session)
            for name in MEASURING:
                STEPS[name].function(session=session, **arguments.get(name, {}))
            files[threads] = session.save()
    return files


def with_axons(session: PipelineSession) -> None:
    """Images of cells with axons, in place of those of the small recording, which are kept under another name."""
    rng = np.random.default_rng(5)
    for unit in session.units.values():
        own = unit["features"]
        own["as_loaded"] = own["eimage_sta"]
        own["eimage_sta"] = {
            "data": cell_image(rng, spikes=50)[0],
            "metadata": {**own["as_loaded"]["metadata"], "sampling_rate": 20_000.0, "pre_samples": SPIKE},
        }


@pytest.mark.parametrize("threads", THREADS[1:])
def test_every_step_gives_the_same_bits(saved: dict[int, Path], threads: int) -> None:
    assert_same_trees(saved[1], saved[threads])


def test_every_step_had_something_to_measure(saved: dict[int, Path]) -> None:
    session = PipelineSession.load(saved[1])
    assert set(MEASURING) <= set(session.completed_steps)
    units = session.units.values()
    assert any(unit["features"]["eimage_sta"]["geometry"]["z"] > 6 for unit in units)
    assert any(unit["features"]["ap_tracking"]["ap_pathway"]["axon_seen"] for unit in units)
    field = f"sta_{NOISE}"
    assert any(unit["features"][field]["sta_geometry"]["significant"] for unit in units)
    assert any(np.isfinite(unit["features"][field]["stc"]["z"]) for unit in units)
    assert any(np.isfinite(unit["features"][BAR]["data"]["dsi_cv"]) for unit in units)


# Of the third version of the measures, where a file holds them.
OF_STEPS = {"peak_rate", "transience", "latency_ms", "latency_se_ms", "latency_onset_ms", "p_value"}
THIRD = {
    f"{STEP}/data": {f"{side}_{name}" for side in ("on", "off") for name in OF_STEPS}
    | {"on_off_index", "change_trial", "change_p_value", "response_quality", "n_trials"},
    f"{BAR}/data": {"dsi_cv", "dsi_cv_low", "dsi_cv_high", "dsi_p_value_order", "preferred_direction_ci95"}
    | {"preferred_orientation_ci95", "response_repeatability", "q_value", "change_trial", "change_p_value"},
    "eimage_sta/geometry": {"isolated", "n_skipped", "misfit", "overlapped", "center_row_se", "center_col_se"},
    "ap_tracking/ap_pathway": {"from_neighbour", "n_unmixed", "velocity_se", "direction_angle_se", "std_err"},
    f"sta_{NOISE}/sta_geometry": {"movie_correlation", "whitened", "center_row_se", "center_col_se"},
    f"sta_{NOISE}/stc": {"z", "p_value", "significant", "sign", "lag_frames", "eigenvalue", "field", "center_col"},
}


@pytest.mark.parametrize("place", THIRD)
def test_every_name_of_the_third_version_is_in_the_file(saved: dict[int, Path], place: str) -> None:
    for unit_id, unit in PipelineSession.load(saved[1]).units.items():
        feature, part = place.split("/")
        assert set(unit["features"][feature][part]) >= THIRD[place], unit_id


# ---------------------------------------------------------------- features

NAMES = sorted(set(FeatureRegistry.list_all()) - set(FAMILIES))  # families without a stimulus have no trials


def units_of_all_stimuli(clock: Clock) -> dict[str, dict[str, Any]]:
    """Four units with trials of every stimulus that ships, the second half of each louder, and averages of noise."""
    units: dict[str, dict[str, Any]] = {f"unit_{n:03d}": {"features": {}} for n in range(1, 5)}
    rng = np.random.default_rng(8)
    for n, unit in enumerate(units.values()):
        for movie in NAMES:
            config = inherited_stimulus_config(movie)
            length = min(config.section.trial_length_frame, 4520) if config else 600
            made = unit_of(clock, movie, length, [lambda x, top=length / 2: np.where(x < top, 6.0, 25.0)] * 6, rng)
            unit.setdefault("spike_times_sectioned", {}).update(made["spike_times_sectioned"])
            unit["spike_times"] = made["spike_times"]
            average = rng.normal(0, 1, (60, 15, 15))
            average[40:46, 4 + n, 7:9] += 20 * (-1) ** n
            metadata = {"cover_range": [-60, 0], "n_spikes": 500}
            unit["features"][f"sta_{movie}"] = {"data": average, "metadata": metadata}
    return units


def test_values_of_baseline_and_colours_of_the_third_version_are_stored() -> None:
    clock = Clock(60.2, 40_000, 3)
    units, colours = units_of_all_stimuli(clock), "green_blue_3s_3i_3x"
    extract_for_units(units, {}, clock.metadata, ["baseline_127", colours])
    for unit in units.values():
        own = unit["features"]
        assert {"presence_ratio", "n_duplicates", "cv2", "lv"} <= set(own["baseline_127"]["data"])
        edges = {f"{color}_{side}_{name}" for color in ("green", "blue") for side in ("on", "off") for name in OF_STEPS}
        assert edges | {"preferred_color_p_value", "color_opponency_p_value"} <= set(own[colours]["data"])


@pytest.mark.parametrize("name", NAMES)
def test_every_feature_gives_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, found = Clock(60.2, 40_000, 3), {}
    for threads in THREADS:
        monkeypatch.setenv("H5BURST_NUM_THREADS", str(threads))
        found[threads] = units_of_all_stimuli(clock)
        result = extract_for_units(found[threads], {}, clock.metadata, [name])
        assert (result.extracted, result.failed) == ([name], [])
    for threads in THREADS[1:]:
        for unit_id, unit in found[1].items():
            one, other = (each["features"][name]["data"] for each in (unit, found[threads][unit_id]))
            assert_same_values(one, other, f"{unit_id} {name} on {threads} threads")
