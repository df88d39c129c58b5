"""The simulator: files as the format has them, a clock that the pipeline finds again, cells that do what they say."""

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
from hypothesis import given, settings
from hypothesis import strategies as st

from hdmea.io import cmcr
from hdmea.io.light_reference import frame_timestamps
from hdmea.io.stimulus_config import SectionKwargs, StimulusConfig, load_stimulus_config, save_stimulus_config
from hdmea.simulate import DEFAULT_PLAYLIST, FULL_PLAYLIST, SensorStream, SimulatedRecording, simulate_recording
from hdmea.simulate.population import (
    Population,
    draw_population,
    firing_rates,
    receptive_fields,
    resting_rate_hz,
    time_courses,
)
from hdmea.simulate.sensor import Footprint, draw_footprint, draw_somata
from hdmea.simulate.spikes import draw_spikes
from hdmea.simulate.stimuli import bar_frames, grid_of, render
from hdmea.simulate.timeline import arrange

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


def test_sorted_file_links_to_the_raw_one_of_its_folder(recording: SimulatedRecording) -> None:
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
        assert lengths[movie] == config.section.frame_count
        assert np.load(made.stimuli_dir / f"{movie}.npy", mmap_mode="r").shape == (lengths[movie], 15, 15)
        assert made.truth.section_frames[movie] == [(count + 180, lengths[movie])]
        count += 2 * 180 + lengths[movie] + 1


def test_truth_file_tells_the_cells(recording: SimulatedRecording) -> None:
    truth = json.loads(recording.truth_path.read_text())
    assert truth["unit_ids"] == recording.truth.unit_ids
    np.testing.assert_array_equal(truth["rf_center"], recording.truth.population.rf_center)
    assert len(truth["spike_count"]) == 3


@pytest.mark.parametrize("playlist", [DEFAULT_PLAYLIST, FULL_PLAYLIST])
def test_named_playlists_have_their_configs(playlist: tuple[str, ...]) -> None:
    grid = grid_of([load_stimulus_config(movie) for movie in playlist])
    for movie in playlist:
        config = load_stimulus_config(movie)
        assert render(config, grid).length == config.section.frame_count


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
    ],
)
def test_impossible_arguments_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        simulate_recording(tmp_path, **(SMALL | wrong))
    assert not list(tmp_path.iterdir())


def test_stimulus_of_a_config_of_ones_own(tmp_path: Path) -> None:
    mine = StimulusConfig("mine", SectionKwargs(10, 60, 2), "on_off", {"on_frames": 30, "background": 0})
    save_stimulus_config(mine, tmp_path)
    made = simulate_recording(
        tmp_path / "out", n_units=1, patch=(2, 2), playlist=["mine"], config_dir=tmp_path, sensor_duration_s=0
    )
    frames = np.load(made.stimuli_dir / "mine.npy")[:, 0, 0]
    np.testing.assert_array_equal(np.flatnonzero(frames), [*range(10, 40), *range(70, 100)])


def test_unknown_family_is_refused(tmp_path: Path) -> None:
    save_stimulus_config(StimulusConfig("odd", SectionKwargs(0, 60, 1), "juggling"), tmp_path)
    with pytest.raises(ValueError, match="juggling"):
        simulate_recording(tmp_path / "out", playlist=["odd"], config_dir=tmp_path)


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
    onset, offset = made.truth.frame_samples[[start + 240, start + 540]]
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


# ---------------------------------------------------------------- cells and spikes


def one_cell(polarity: int = 1, direction: float = np.nan) -> Population:
    return Population(
        rf_center=np.array([[7.0, 7.0]]),
        rf_sigma=np.array([[1.3, 1.3]]),
        polarity=np.array([polarity]),
        time_to_peak_s=np.array([0.06]),
        preferred_direction_deg=np.array([direction]),
        colour_weights=np.array([[1.0, 0.15]]),
    )


def rates_under(movie: str, cell: Population) -> np.ndarray[Any, Any]:
    shown = render(load_stimulus_config(movie), (15, 15))
    timeline = arrange([shown], sampling_rate=20000.0, pad_frames=180, repeats=1, duration_s=None)
    return firing_rates(cell, timeline, (15, 15))[180 : 180 + shown.length, 0]


def test_receptive_field_peaks_at_its_centre() -> None:
    population = draw_population(20, (15, 12), 0.5, np.random.default_rng(0))
    for field, center in zip(receptive_fields(population, (15, 12)), population.rf_center, strict=True):
        row, column = np.unravel_index(field.argmax(), field.shape)
        assert np.abs(np.array([column, row]) - center).max() <= 0.5
        assert (field**2).sum() == pytest.approx(1)


def test_time_course_is_biphasic_with_its_peak_in_time() -> None:
    for polarity in (1, -1):
        (kernel,) = polarity * time_courses(one_cell(polarity))
        assert kernel.argmax() == pytest.approx(0.06 * 60, abs=1)
        assert kernel.min() < -0.05 * kernel.max()


@pytest.mark.parametrize(("polarity", "brighter"), [(1, True), (-1, False)])
def test_on_cells_fire_to_light_and_off_cells_to_dark(polarity: int, brighter: bool) -> None:
    rates = rates_under("step_up_5s_5i_b0_3x", one_cell(polarity))
    on, off = rates[240:270].max(), rates[540:570].max()
    assert (on > 3 * off) == brighter
    assert (off > 3 * on) != brighter


def test_direction_selective_cell_prefers_its_direction() -> None:
    rates = rates_under("moving_h_bar_s5_d8_3x", one_cell(direction=90.0))
    by_direction = rates[60 : 60 + 4520].reshape(8, 565).sum(axis=1)
    assert by_direction.argmax() == 2
    assert by_direction[2] > 2 * by_direction[6]


def test_green_cell_prefers_green() -> None:
    rates = rates_under("green_blue_3s_3i_3x", one_cell())
    assert rates[120:480].sum() > 1.3 * rates[480:840].sum()


def test_population_has_as_many_direction_selective_units_as_asked() -> None:
    population = draw_population(40, (15, 15), 0.25, np.random.default_rng(3))
    assert population.is_direction_selective.sum() == 10
    assert set(population.polarity) == {-1, 1}
    assert set(population.preferred_color) == {"green", "blue"}


def test_spikes_have_the_rates_that_drove_them() -> None:
    cells = draw_population(40, (15, 15), 0.0, np.random.default_rng(0))
    timeline = arrange([], sampling_rate=20000.0, pad_frames=0, repeats=1, duration_s=300)
    spikes = draw_spikes(cells, timeline, (15, 15), seed=7)
    count = sum(len(train) for train in spikes)
    expected = 40 * 300 * resting_rate_hz()
    expected *= np.exp(-resting_rate_hz() * 0.002)  # what falls into a refractory period is lost
    assert count == pytest.approx(expected, rel=0.03)
    for train in spikes:
        assert np.diff(train).min() >= 40
        assert 0 <= train[0] <= train[-1] < timeline.sample_count


def test_a_units_spikes_do_not_depend_on_how_many_there_are() -> None:
    cells = draw_population(70, (15, 15), 0.0, np.random.default_rng(0))
    timeline = arrange([], sampling_rate=20000.0, pad_frames=0, repeats=1, duration_s=20)
    few, many = draw_spikes(cells.part(slice(0, 3)), timeline, (15, 15), 1), draw_spikes(cells, timeline, (15, 15), 1)
    for one, other in zip(few, many[:3], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("direction", [0.0, 90.0, 225.0])
def test_bar_moves_the_way_it_says(direction: float) -> None:
    frames = bar_frames(direction, 400, (15, 15), 3.0, 0, 255).astype(float)
    rows, columns = np.mgrid[:15, :15]
    seen = np.flatnonzero(frames.sum(axis=(1, 2)) > 3000)
    place = [[(frames[n] * axis).sum() / frames[n].sum() for axis in (columns, -rows)] for n in (seen[40], seen[-40])]
    angle = np.rad2deg(np.arctan2(place[1][1] - place[0][1], place[1][0] - place[0][0])) % 360
    assert abs((angle - direction + 180) % 360 - 180) < 1
    assert not frames[0].any()
    assert not frames[-1].any()


def test_noise_holds_each_pattern_for_four_frames() -> None:
    frames = render(load_stimulus_config("perfect_dense_noise_15x15_15hz_r42_3min"), (15, 15)).green
    assert frames.shape == (10800, 15, 15)
    held = frames.reshape(2700, 4, 15, 15)
    assert np.all(held == held[:, :1])
    assert set(np.unique(frames)) == {0, 255}
    assert np.abs(frames.mean(axis=0) - 127.5).max() < 15


# ---------------------------------------------------------------- the sensor


def test_footprint_is_deepest_at_its_soma_and_spreads_later() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        (soma,) = draw_somata(1, (12, 14), rng).tolist()
        footprint = draw_footprint(tuple(soma), (12, 14), 20000.0, rng)
        depth = footprint.template.astype(int).min(axis=0)
        row, column = np.unravel_index(depth.argmin(), depth.shape)
        assert [row + footprint.row, column + footprint.column] == soma
        assert footprint.template[:, row, column].argmin() == footprint.before
        assert (depth < 0).sum() > 5


def test_units_have_electrodes_of_their_own_while_there_are_enough() -> None:
    somata = draw_somata(12, (4, 3), np.random.default_rng(0))
    assert len(np.unique(somata, axis=0)) == 12
    assert len(draw_somata(30, (4, 3), np.random.default_rng(0))) == 30


def stream_of(frames: int = 5000) -> SensorStream:
    template = np.full((9, 2, 2), -100, np.int16)
    footprints = [Footprint(template, 4, 1, 1), Footprint(template, 4, 0, 0)]
    spikes = [np.array([2, 700, 2047, 2050, 4999]), np.array([], np.int64)]
    return SensorStream(frames, (4, 3), 20000.0, footprints, spikes, seed=3)


STREAM = stream_of()
WHOLE = STREAM.read(0, 5000)


@settings(max_examples=60)
@given(bounds=st.tuples(st.integers(0, 5000), st.integers(0, 5000)))
def test_any_range_of_the_sensor_is_always_the_same(bounds: tuple[int, int]) -> None:
    start, stop = sorted(bounds)
    np.testing.assert_array_equal(STREAM.read(start, stop), WHOLE[start:stop])


def test_sensor_shows_spikes_where_they_are() -> None:
    quiet = SensorStream(5000, (4, 3), 20000.0, [], [], seed=3).read(0, 5000)
    added = WHOLE.astype(int) - quiet
    assert set(np.unique(added[696:705, 1:3, 1:3])) == {-100}
    assert not added[705:2040].any()
    assert not added[696:705, 0, :].any()
    assert set(np.unique(added[2046:2052, 1:3, 1:3])) == {-200}  # two spikes at once


def test_range_outside_the_sensor_is_refused() -> None:
    with pytest.raises(ValueError, match="5000"):
        STREAM.read(0, 5001)


def test_file_holds_the_streams_first_part(tmp_path: Path) -> None:
    made = simulate_recording(tmp_path, **(SMALL | {"sensor_duration_s": 0.7}))
    with cmcr.open_recording(made.cmcr_path) as file:
        assert file.sensor is not None
        data = file.sensor.read(0, file.sensor.shape[0])
    assert data.shape == (14000, 6, 5)
    late = [train[train < 13900] for train in made.truth.spike_samples]
    for unit, train in enumerate(late):
        trace = data[:, made.truth.soma_row[unit] - 1, made.truth.soma_col[unit] - 1].astype(float)
        for spike in train:
            assert trace[spike] < np.median(trace[max(0, spike - 200) : spike + 200]) - 30
