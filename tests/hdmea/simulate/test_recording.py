"""Simulated recordings as files: as the format has them, complete, the same for the same seed, with their truth."""

from __future__ import annotations

import ast
import csv
import json
import uuid
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hdmea.io import cmcr, cmtr
from hdmea.io.light_reference import frame_timestamps
from hdmea.io.stimulus_config import load_stimulus_config
from hdmea.simulate import (
    FULL_PLAYLIST,
    REALISTIC,
    CellOptions,
    ChipOptions,
    LightStepOptions,
    SimulatedRecording,
    SimulationOptions,
    simulate_recording,
)
from hdmea.simulate.stimuli import render
from hdmea.simulate.timeline import arrange
from support.docs_examples import run_examples

SMALL: dict[str, Any] = {"n_units": 3, "patch": (6, 5), "playlist": ["baseline_127"], "sensor_duration_s": 0.2}

TYPE_IDS = {
    "/": "cabb6cdd-47e0-417a-8e04-5664cbbc449b",
    "Acquisition": "650d88ce-9f24-4b20-ac2b-254defd12761",
    "Acquisition/Sensor Data": "15e5a1fe-df2f-421b-8b60-23eeb2213c45",
    "Acquisition/Sensor Data/SensorData 1 1": "49da47df-f397-4121-b5da-35317a93e705",
    "Acquisition/Sensor Data/SensorMeta": "ab2aa189-2e72-4148-a2ef-978119223412",
    "Acquisition/Analog Data": "9217aeb4-59a0-4d7f-bdcd-0371c9fd66eb",
    "Acquisition/Analog Data/ChannelData 1": "5efe7932-dcfe-49ff-ba53-25accff5d622",
    "Acquisition/Analog Data/ChannelMeta": "9e8ac9cd-5571-4ee5-bbfa-8e9d9c436daa",
    "Spike Sorter": "7263d1b7-f57a-42de-8f51-5d6326d22f2a",
    "Spike Sorter/Unit 2": "0e5a97df-9de0-4a22-ab8c-54845c1ff3b9",
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> SimulatedRecording:
    return simulate_recording(tmp_path_factory.mktemp("simulated"), **SMALL)


# ---------------------------------------------------------------- files


def test_every_node_has_its_identity(recording: SimulatedRecording) -> None:
    seen: set[str] = set()
    for path in (recording.cmcr_path, recording.cmtr_path):
        with h5py.File(path, "r") as file:
            nodes: dict[str, Any] = {"/": file}
            file.visititems(nodes.__setitem__)
            for name, node in nodes.items():
                for attribute in ("ID.Type", "ID.TypeID", "ID.Instance", "ID.InstanceID"):
                    assert isinstance(node.attrs[attribute], np.bytes_), (name, attribute)
                if name in TYPE_IDS:
                    assert node.attrs["ID.TypeID"].decode() == TYPE_IDS[name]
                instance = node.attrs["ID.InstanceID"].decode()
                assert str(uuid.UUID(instance)) == instance
                assert instance not in seen
                seen.add(instance)


def test_raw_file_has_the_formats_shapes_and_types(recording: SimulatedRecording) -> None:
    with h5py.File(recording.cmcr_path, "r") as file:
        assert file.attrs["ID.Type"] == b"RawData"
        assert file.attrs["FileVersion"] == 1
        assert {"ProgramName", "ProgramVersion", "DateTime"} <= set(file.attrs)
        sensor, analog = file["Acquisition/Sensor Data"], file["Acquisition/Analog Data"]
        assert (sensor.attrs["SubType"], analog.attrs["SubType"]) == (b"CMosSensor", b"Auxiliary")
        assert (sensor["SensorData 1 1"].dtype, sensor["SensorData 1 1"].shape) == (np.int16, (4000, 6, 5))
        channels = analog["ChannelData 1"]
        assert (channels.dtype, channels.shape) == (np.int32, (2, round(recording.duration_s * 20000)))
        duration_us = file.attrs["LB.RecordingDuration"]
        assert (duration_us.dtype, duration_us.shape) == (np.int64, (1,))
        assert duration_us[0] == channels.shape[1] * 50
        meta = ("Tick", "ADZero", "Exponent", "Unit", "ConversionFactor")
        assert sensor["SensorMeta"].dtype.names == ("RegionID", "GroupID", *meta)
        assert analog["ChannelMeta"].dtype.names == ("ChannelID", "GroupID", *meta)


def test_sorted_file_links_to_the_raw_one_of_its_directory(recording: SimulatedRecording) -> None:
    with h5py.File(recording.cmtr_path, "r") as file:
        assert file.attrs["ID.Type"] == b"ProcessedData"
        link = file.get("Acquisition", getlink=True)
        assert isinstance(link, h5py.ExternalLink)
        assert (link.filename, link.path) == (recording.cmcr_path.name, "/Acquisition")
        peaks = file["Spike Sorter/Unit 1/Peaks"]
        assert peaks.dtype.names[:5] == ("Timestamp", "PeakAmplitude", "IncludePeak", "1", "2")
        assert peaks.dtype["Timestamp"] == np.int64
        assert set(np.unique(peaks["IncludePeak"])) <= {0, 1}
        assert np.all(np.diff(peaks["Timestamp"]) >= 0)
        assert file["Spike Sorter/Units"].dtype == file["Spike Sorter/Unit 1/Unit Info"].dtype
        assert file["Spike Sorter/Unit 1/Unit Info"].shape == (1,)


def test_sub_threshold_peaks_are_among_the_spikes(tmp_path: Path) -> None:
    made = simulate_recording(tmp_path, n_units=2, patch=(3, 3), playlist=[], duration_s=60, sensor_duration_s=0)
    with h5py.File(made.cmtr_path, "r") as file:
        flags = file["Spike Sorter/Unit 1/Peaks"]["IncludePeak"]
    assert (flags == 1).sum() == len(made.truth.spike_samples[0])
    assert (flags == 0).sum() > 0


def test_same_seed_gives_the_same_bytes(recording: SimulatedRecording, tmp_path: Path) -> None:
    again = simulate_recording(tmp_path, **SMALL)
    for name in ("cmcr_path", "cmtr_path", "playlist_path", "movie_length_path", "truth_path"):
        assert getattr(again, name).read_bytes() == getattr(recording, name).read_bytes(), name


def test_another_seed_gives_another_recording(recording: SimulatedRecording, tmp_path: Path) -> None:
    other = simulate_recording(tmp_path, seed=1, **SMALL)
    assert not np.array_equal(other.truth.population.rf_center, recording.truth.population.rf_center)
    assert not np.array_equal(other.truth.spike_samples[0], recording.truth.spike_samples[0])
    assert other.cmcr_path.read_bytes() != recording.cmcr_path.read_bytes()


def test_existing_recording_is_kept_unless_told(recording: SimulatedRecording) -> None:
    before = recording.cmcr_path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite"):
        simulate_recording(recording.cmcr_path.parent, seed=5, **SMALL)
    assert recording.cmcr_path.read_bytes() == before


def test_playlist_lengths_configs_and_frames_fit_together(tmp_path: Path) -> None:
    movies = ["step_up_5s_5i_b0_3x", "baseline_127"]
    made = simulate_recording(tmp_path, n_units=1, patch=(2, 2), playlist=movies, sensor_duration_s=0)
    with made.playlist_path.open() as file:
        (row,) = csv.DictReader(file)
    assert row["playlist_name"] == made.playlist_name
    assert [name.split(".")[0] for name in ast.literal_eval(row["movie_names"])] == movies
    with made.movie_length_path.open() as file:
        lengths = {row["movie_name"]: int(row["movie_length"]) for row in csv.DictReader(file)}
    count = 0
    for movie in movies:
        config = load_stimulus_config(movie, made.config_dir)
        assert config.section.frame_count <= lengths[movie] < config.section.frame_count + 121
        assert np.load(made.stimuli_dir / f"{movie}.npy", mmap_mode="r").shape == (lengths[movie], 15, 15)
        assert made.truth.section_frames[movie] == [(count + 180, lengths[movie])]
        count += 2 * 180 + lengths[movie] + 1


def test_units_have_averages_and_unmixing_around_their_somata(recording: SimulatedRecording) -> None:
    with h5py.File(recording.cmtr_path, "r") as file:
        for unit in range(3):
            group = file[f"Spike Sorter/Unit {unit + 1}"]
            size = int(group["Unit Info"]["RoiSize"][0])
            averages, unmixing = group["RoiSTAs"][()], group["Unmixing"][()]
            assert averages.shape == (32, size)
            assert unmixing.shape == (size,)
            # Weighted so, the region's averages give the spike of the electrode that sees the soma best.
            best = averages[:, averages.min(axis=0).argmin()]
            assert np.corrcoef(averages @ unmixing, best)[0, 1] > 0.999


def test_truth_file_tells_the_cells(recording: SimulatedRecording) -> None:
    truth = json.loads(recording.truth_path.read_text())
    assert truth["unit_ids"] == recording.truth.unit_ids
    np.testing.assert_array_equal(truth["rf_center"], recording.truth.population.rf_center)
    assert len(truth["spike_count"]) == 3


def test_full_playlist_is_seven_stimuli_within_twenty_minutes() -> None:
    configs = [load_stimulus_config(movie) for movie in FULL_PLAYLIST]
    movies = [render(config, (15, 15)) for config in configs]
    timeline = arrange(movies, sampling_rate=20000.0, pad_frames=180, repeats=1, duration_s=1200)
    assert len(FULL_PLAYLIST) == 7
    assert timeline.sample_count == 24_000_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"patch": (66, 3)},
        {"patch": (0, 3)},
        {"n_units": -1},
        {"sampling_rate": 30000.0},
        {"sampling_rate": 500.0},
        {"repeats": 0},
        {"duration_s": 2.0},
        {"playlist": ["no_such_movie"]},
        {"options": SimulationOptions(chip=ChipOptions(dead_columns=5))},
    ],
)
def test_impossible_arguments_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        simulate_recording(tmp_path, **(SMALL | wrong))
    assert not list(tmp_path.iterdir())


def test_no_units_and_no_sensor(tmp_path: Path) -> None:
    made = simulate_recording(tmp_path, n_units=0, patch=(2, 2), playlist=[], duration_s=2, sensor_duration_s=0)
    with h5py.File(made.cmtr_path, "r") as file:
        assert list(file["Spike Sorter"]) == ["Units"]
        assert "Sensor Data" not in file["Acquisition"]


# ---------------------------------------------------------------- the clock


@pytest.mark.parametrize("sampling_rate", [1000.0, 2000.0, 10000.0, 20000.0, 25000.0, 40000.0, 50000.0, 100000.0])
def test_frame_pulses_are_found_where_frames_begin(tmp_path: Path, sampling_rate: float) -> None:
    made = simulate_recording(
        tmp_path, n_units=0, playlist=["baseline_127"], sensor_duration_s=0, sampling_rate=sampling_rate
    )
    with cmcr.open_recording(made.cmcr_path) as file:
        found = frame_timestamps(file.channels["ch2"]).astype(np.int64)
    true = made.truth.frame_samples
    assert len(found) == len(true)
    assert np.abs(found - true).max() <= 1


def test_light_follows_the_movie_in_its_frames(tmp_path: Path) -> None:
    made = simulate_recording(tmp_path, n_units=0, playlist=["step_up_5s_5i_b0_3x"], sensor_duration_s=0)
    ((start, _),) = made.truth.section_frames["step_up_5s_5i_b0_3x"]
    with cmcr.open_recording(made.cmcr_path) as file:
        light = file.channels["ch1"].read(0, file.sample_count)
    onset, offset = made.truth.frame_samples[[start + 300, start + 600]]
    dark, bright = light[onset - 2000 : onset].mean(), light[onset : onset + 2000].mean()
    assert bright > dark + 5000
    assert light[offset - 200 : offset].mean() == pytest.approx(bright, rel=0.01)
    assert light[offset : offset + 200].mean() == pytest.approx(dark, rel=0.01)


def test_playlist_repeats_show_each_movie_again(tmp_path: Path) -> None:
    made = simulate_recording(tmp_path, repeats=2, **SMALL)
    assert made.truth.section_frames == {"baseline_127": [(180, 180), (180 + 360 + 181, 180)]}


def test_recording_may_go_on_after_the_playlist(tmp_path: Path) -> None:
    made = simulate_recording(tmp_path, duration_s=15.0, **SMALL)
    assert made.duration_s == 15.0
    assert made.truth.frame_samples[-1] > 14.9 * 20000


def test_units_may_have_no_cut_outs(tmp_path: Path) -> None:
    made = simulate_recording(tmp_path, cutout_samples=0, **SMALL)
    units = cmtr.CmtrRecording(made.cmtr_path).units(made.sampling_rate)
    assert [len(unit["waveform"]) for unit in units.values()] == [0, 0, 0]


# ---------------------------------------------------------------- awkward recordings


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> SimulatedRecording:
    return simulate_recording(
        tmp_path_factory.mktemp("awkward"),
        n_units=12,
        patch=(20, 18),
        playlist=["step_up_5s_5i_b0_3x", "baseline_127"],
        sensor_duration_s=1.0,
        options=REALISTIC,
        seed=2,
    )


def test_awkward_recording_is_the_same_again(awkward: SimulatedRecording, tmp_path: Path) -> None:
    again = simulate_recording(
        tmp_path,
        n_units=12,
        patch=(20, 18),
        playlist=["step_up_5s_5i_b0_3x", "baseline_127"],
        sensor_duration_s=1.0,
        options=REALISTIC,
        seed=2,
    )
    for name in ("cmcr_path", "cmtr_path", "truth_path"):
        assert getattr(again, name).read_bytes() == getattr(awkward, name).read_bytes(), name


def test_awkward_frames_are_found_where_they_begin(awkward: SimulatedRecording) -> None:
    with cmcr.open_recording(awkward.cmcr_path) as file:
        found = frame_timestamps(file.channels["ch2"]).astype(np.int64)
    true = awkward.truth.frame_samples
    assert len(found) == len(true)
    assert np.abs(found - true).max() <= 1
    rate = 20000 / np.median(np.diff(true))
    assert 58.8 < rate < 60.8
    assert abs(rate - 60) > 0.05  # this seed's clock


def test_truth_file_is_strict_json_with_all_that_was_drawn(awkward: SimulatedRecording) -> None:
    truth = json.loads(awkward.truth_path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert truth["version"] == 2
    units = len(truth["unit_ids"])
    chip = truth["chip"]
    per_unit = ("soma_xy", "axon_speed", "axon_visible_angle_deg", "axon_visible_length", "axon_curvature")
    assert all(len(chip[name]) == units for name in per_unit)
    assert len(chip["nerve_head"]) == 2
    assert len(chip["dead_columns"]) == 1
    assert np.shape(truth["alignment"]["matrix"]) == (2, 2)
    assert {"drift_trend", "burst_probability", "is_silent", "contaminated_by"} <= set(truth["irregularities"])
    assert truth["options"]["clock"]["rate_hz"] is None
    assert 58.9 <= truth["clock"]["rate_hz"] <= 60.7
    assert [event["start"] for event in truth["events"]["step_up_5s_5i_b0_3x"]] == [300, 900, 1500]
    assert truth["light_steps"] == awkward.truth.light_steps.tolist()


def test_alignment_in_the_truth_takes_somata_to_fields(awkward: SimulatedRecording) -> None:
    truth = json.loads(awkward.truth_path.read_text())
    matrix, shift = np.array(truth["alignment"]["matrix"]), np.array(truth["alignment"]["shift"])
    error = np.array(truth["rf_center"]) - (np.array(truth["chip"]["soma_xy"]) @ matrix.T + shift)
    assert 0.1 < np.sqrt((error**2).mean()) < 0.8  # 0.4 px of scatter a side
    assert np.sqrt(abs(np.linalg.det(matrix))) / 16 == pytest.approx(0.19 / 16)
    assert (np.linalg.det(matrix) < 0) == truth["alignment"]["mirrored"]


def test_silent_and_contaminated_units_are_read_as_they_are(tmp_path: Path) -> None:
    cells = CellOptions(silent_fraction=0.5, silent_rate_hz=0.0, contaminated_fraction=0.5)
    options = SimulationOptions(cells=cells)
    made = simulate_recording(tmp_path, options=options, **(SMALL | {"n_units": 8}))
    silent, by = made.truth.irregularities.is_silent, made.truth.irregularities.contaminated_by
    units = cmtr.CmtrRecording(made.cmtr_path).units(made.sampling_rate)
    assert silent.sum() == (by >= 0).sum() == 4
    for n, unit in enumerate(units.values()):
        np.testing.assert_array_equal(unit["spike_times"], made.truth.spike_samples[n])
        assert len(unit["spike_times"]) > 0 or silent[n]
        assert np.isnan(unit["waveform"]).all() == (len(unit["spike_times"]) == 0)


def test_light_steps_come_after_the_last_frame(awkward: SimulatedRecording) -> None:
    onsets = awkward.truth.light_steps
    assert len(onsets) == 2
    with cmcr.open_recording(awkward.cmcr_path) as file:
        light = file.channels["ch1"].read(0, file.sample_count).astype(float)
        pulses = frame_timestamps(file.channels["ch2"]).astype(np.int64)
    assert pulses[-1] + 4.9 * 20000 < onsets[0, 0]
    for on, off in onsets:
        assert light[on : on + 100].mean() - light[on - 100 : on].mean() == pytest.approx(8000, abs=20)
        assert light[off - 100 : off].mean() - light[off : off + 100].mean() == pytest.approx(8000, abs=20)
        assert light[on] - light[on - 1] > 7000


def test_cells_answer_light_steps(tmp_path: Path) -> None:
    steps = LightStepOptions(count=3, delay_s=4, on_s=3, off_s=3)
    made = simulate_recording(
        tmp_path,
        n_units=6,
        patch=(3, 3),
        playlist=["baseline_127"],
        sensor_duration_s=0,
        options=SimulationOptions(light_steps=steps),
    )
    on_cells = np.flatnonzero(made.truth.population.polarity == 1)
    for unit in on_cells:
        train = made.truth.spike_samples[unit]
        counts = [np.diff(np.searchsorted(train, [on - 6000, on, on + 6000])) for on in made.truth.light_steps[:, 0]]
        before, after = np.sum(counts, axis=0)
        assert after > 3 * before + 5
    assert made.duration_s == pytest.approx(0.5 + (4 + 541) / 60 + 1 + 4 + 18, abs=0.02)


def test_units_on_dead_columns_are_not_made_and_dead_columns_are_flat(awkward: SimulatedRecording) -> None:
    electrodes = awkward.truth.electrodes
    dead = electrodes.is_dead
    assert not dead[awkward.truth.soma_row - 1, awkward.truth.soma_col - 1].any()
    with cmcr.open_recording(awkward.cmcr_path) as file:
        assert file.sensor is not None
        data = file.sensor.read(0, 20000)
    assert dead.sum() == 20
    assert (np.ptp(data[:, dead], axis=0) == 0).all()
    assert (np.ptp(data[:, ~dead], axis=0) > 0).all()


def test_examples_of_the_page_on_simulation_run(tmp_path: Path) -> None:
    printed = run_examples(Path(__file__).parents[3] / "docs" / "simulate.md", tmp_path)
    assert "] 2\n" in printed  # light steps
