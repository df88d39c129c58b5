"""The whole pipeline on a simulated recording finds what was put into it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hdmea.features.eimage_sta import compute_eimage_sta
from hdmea.io import cmcr
from hdmea.pipeline import (
    PipelineSession,
    add_section_time,
    compute_sta,
    create_session,
    extract_features,
    section_spike_times,
)
from hdmea.pipeline import load_recording as load
from hdmea.simulate import (
    DEFAULT_PLAYLIST,
    REALISTIC,
    AxonOptions,
    CellOptions,
    SimulatedRecording,
    simulate_recording,
)

NOISE, GREY, STEP, BAR, COLOURS, CHIRP = DEFAULT_PLAYLIST
N_UNITS = 40
IMAGE_S = 15.0


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> SimulatedRecording:
    directory = tmp_path_factory.mktemp("truth")
    return simulate_recording(directory, n_units=N_UNITS, patch=(8, 7), sensor_duration_s=IMAGE_S, cutout_samples=8)


@pytest.fixture(scope="module")
def session(recording: SimulatedRecording) -> PipelineSession:
    session = create_session(cmcr_path=recording.cmcr_path, cmtr_path=recording.cmtr_path)
    load(recording.cmcr_path, recording.cmtr_path, session=session)
    add_section_time(
        playlist_name=recording.playlist_name,
        playlist_file_path=recording.playlist_path,
        movie_length_file_path=recording.movie_length_path,
        session=session,
    )
    section_spike_times(config_dir=recording.config_dir, session=session)
    compute_sta(stimuli_dir=recording.stimuli_dir, session=session)
    extract_features(session=session)
    return session


def values(session: PipelineSession, feature: str, name: str) -> npt.NDArray[Any]:
    """One value of one feature for all units, in the order of the truth."""
    return np.array([unit["features"][feature]["data"][name] for unit in session.units.values()])


def test_spikes_places_and_frames_are_read_back(session: PipelineSession, recording: SimulatedRecording) -> None:
    truth = recording.truth
    assert list(session.units) == truth.unit_ids
    for n, unit in enumerate(session.units.values()):
        np.testing.assert_array_equal(unit["spike_times"], truth.spike_samples[n])
        assert (unit["row"], unit["col"]) == (truth.soma_row[n], truth.soma_col[n])
    found = session.metadata["frame_timestamps"].astype(np.int64)
    assert np.abs(found - truth.frame_samples).max() <= 1


def test_trials_lie_where_the_stimulus_was_shown(session: PipelineSession, recording: SimulatedRecording) -> None:
    frames = recording.truth.frame_samples
    ((start, _),) = recording.truth.section_frames[STEP]
    windows = session.units["unit_001"]["spike_times_sectioned"][STEP]["trials_start_end"]
    assert np.abs(windows[:, 0] - frames[start + 240 + 600 * np.arange(3)]).max() <= 1
    onsets = frames[start + 300 + 600 * np.arange(3)]
    light = session.stimulus["light_reference"]["raw_ch1"]
    for onset in onsets:
        assert light[onset + 10 : onset + 200].mean() > light[onset - 200 : onset - 10].mean() + 5000


def test_every_feature_is_there_for_every_unit(session: PipelineSession) -> None:
    for unit in session.units.values():
        assert set(unit["features"]) == {"frif", f"sta_{NOISE}", *DEFAULT_PLAYLIST}


def test_receptive_field_centres_within_half_a_pixel(session: PipelineSession, recording: SimulatedRecording) -> None:
    found = np.stack([values(session, NOISE, "center_x"), values(session, NOISE, "center_y")], axis=1)
    distance = np.hypot(*(found - recording.truth.population.rf_center).T)
    assert (distance < 0.5).mean() >= 0.95


def test_receptive_field_sizes(session: PipelineSession, recording: SimulatedRecording) -> None:
    found = np.stack([values(session, NOISE, "sigma_x"), values(session, NOISE, "sigma_y")], axis=1)
    assert np.median(np.abs(found / recording.truth.population.rf_sigma - 1)) < 0.15


def test_polarity_of_all(session: PipelineSession, recording: SimulatedRecording) -> None:
    np.testing.assert_array_equal(values(session, NOISE, "polarity"), recording.truth.population.polarity)
    np.testing.assert_array_equal(np.sign(values(session, STEP, "on_off_index")), recording.truth.population.polarity)


def test_cells_fire_to_the_edge_of_light_that_they_prefer(
    session: PipelineSession, recording: SimulatedRecording
) -> None:
    # 400 ms from each edge on: light comes on 60 frames into a trial, and stays for 300.
    for unit, polarity in zip(session.units.values(), recording.truth.population.polarity, strict=True):
        section = unit["spike_times_sectioned"][STEP]
        counts = np.zeros(2, int)
        for trial, (start, _) in enumerate(section["trials_start_end"].astype(int).tolist()):
            since = (section["trials_spike_times"][trial].astype(int) - start) / recording.sampling_rate
            counts += [int(((since >= edge) & (since < edge + 0.4)).sum()) for edge in (1.0, 6.0)]
        assert (counts[0] - counts[1]) * polarity > 0.5 * counts.sum()


def test_peak_lag_is_the_time_courses(session: PipelineSession, recording: SimulatedRecording) -> None:
    # A pattern is held for four frames, so that the STA's peak is up to so many away from the filter's.
    lag_s = values(session, NOISE, "peak_lag_frames") / 60
    assert np.abs(lag_s - recording.truth.population.time_to_peak_s).max() < 4 / 60


def test_direction_selective_units_and_their_directions(
    session: PipelineSession, recording: SimulatedRecording
) -> None:
    population = recording.truth.population
    selective = population.is_direction_selective
    assert selective.sum() == 10
    p_values = values(session, BAR, "dsi_p_value")
    assert np.all(p_values[selective] < 0.05)
    off = values(session, BAR, "preferred_direction") - population.preferred_direction_deg
    assert np.abs((off[selective] + 180) % 360 - 180).max() < 22.5
    assert (p_values[~selective] < 0.05).mean() <= 0.2
    assert values(session, BAR, "dsi")[selective].min() > values(session, BAR, "dsi")[~selective].max()


def test_preferred_colours(session: PipelineSession, recording: SimulatedRecording) -> None:
    found, truth = values(session, COLOURS, "preferred_color"), np.array(recording.truth.population.preferred_color)
    assert np.all((found == truth) | (found == "none"))
    assert (found == truth).mean() > 0.9  # three trials: a weak preference is not always seen


def test_flicker_is_followed(session: PipelineSession) -> None:
    amplitudes = values(session, CHIRP, "f1_amplitude")
    assert np.all(amplitudes.max(axis=1) > 10)
    assert np.all(values(session, CHIRP, "response_quality") > 0.4)


def test_resting_rate(session: PipelineSession) -> None:
    counts = values(session, GREY, "spike_count")
    assert 1 < counts.mean() / 3 < 6
    assert np.nanmax(values(session, GREY, "isi_violations_ratio")) == 0


def test_electrical_images_peak_on_the_somas_electrode(session: PipelineSession, recording: SimulatedRecording) -> None:
    spikes = {unit_id: unit["spike_times"] for unit_id, unit in session.units.items()}
    with cmcr.open_recording(recording.cmcr_path) as file:
        assert file.sensor is not None
        made = compute_eimage_sta(file.sensor, spikes, sampling_rate=recording.sampling_rate, duration_s=IMAGE_S)
    assert len(made.features) == N_UNITS
    truth = recording.truth
    for unit_id, row, column in zip(truth.unit_ids, truth.soma_row, truth.soma_col, strict=True):
        image = np.asarray(made.features[unit_id]["data"])
        _, peak_row, peak_column = np.unravel_index(np.abs(image).argmax(), image.shape)
        assert (peak_row + 1, peak_column + 1) == (row, column)


def test_recording_holds_the_sensor_for_the_images(recording: SimulatedRecording) -> None:
    with cmcr.open_recording(recording.cmcr_path) as file:
        assert file.sensor is not None
        assert file.sensor.shape == (round(IMAGE_S * 20000), 8, 7)


# ---------------------------------------------------------------- a larger chip, with axons, as real recordings are


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> SimulatedRecording:
    options = replace(
        REALISTIC,
        cells=CellOptions(drift=0.2, burst_fraction=0.3),
        axons=AxonOptions(nerve_head=(70.0, 12.0), soma_ratio=(10.0, 15.0), waveform="triphasic"),
    )
    directory = tmp_path_factory.mktemp("awkward")
    noise_only = {"n_units": 8, "patch": (26, 40), "playlist": [NOISE], "sensor_duration_s": 8.0, "seed": 5}
    return simulate_recording(directory, options=options, **noise_only)


@pytest.fixture(scope="module")
def images(awkward: SimulatedRecording) -> list[npt.NDArray[np.float64]]:
    truth = awkward.truth
    trains = {name: train.astype(np.uint64) for name, train in zip(truth.unit_ids, truth.spike_samples, strict=True)}
    with cmcr.open_recording(awkward.cmcr_path) as file:
        assert file.sensor is not None
        made = compute_eimage_sta(file.sensor, trains, sampling_rate=awkward.sampling_rate, duration_s=8.0)
    return [np.asarray(made.features[name]["data"], np.float64) for name in truth.unit_ids]


def test_images_show_the_soma(awkward: SimulatedRecording, images: list[npt.NDArray[np.float64]]) -> None:
    layout, electrodes = awkward.truth.layout, awkward.truth.electrodes
    usual = electrodes.noise_sd < 20
    for unit, image in enumerate(images):
        depth = np.where(usual, -image.min(axis=0), 0)
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        assert np.hypot(column - layout.soma_xy[unit, 0], row - layout.soma_xy[unit, 1]) < 1
        assert abs(int(image[:, row, column].argmin()) - 10) <= 1


def test_images_show_the_axon_on_its_way(awkward: SimulatedRecording, images: list[npt.NDArray[np.float64]]) -> None:
    layout, electrodes = awkward.truth.layout, awkward.truth.electrodes
    looked_at = 0
    for unit, image in enumerate(images):
        speed = layout.axon_speed[unit] * 1e6 / 16 / 20000  # electrodes a sample
        distance = np.arange(6.0, min(layout.axon_length[unit], 34 * speed), 1.0)
        places = np.rint(layout.path(unit, distance)).astype(int)
        on_chip = ((places >= 0) & (places < [40, 26])).all(axis=1)
        distance, places = distance[on_chip], places[on_chip]
        usual = electrodes.noise_sd[places[:, 1], places[:, 0]]
        good = (usual > 0) & (usual < 20)
        if good.sum() < 5:
            continue
        looked_at += 1
        traces = image[:, places[good, 1], places[good, 0]]
        late = traces.argmin(axis=0) - 10 - distance[good] / speed
        assert np.median(np.abs(late)) <= 2
        assert np.median(-traces.min(axis=0)) > 0.3 * layout.amplitude[unit] / layout.axon_ratio[unit]
    assert looked_at >= 4


def test_real_clocks_frames_are_found_and_the_fields_with_them(awkward: SimulatedRecording, tmp_path: Path) -> None:
    session = create_session(cmcr_path=awkward.cmcr_path, cmtr_path=awkward.cmtr_path, output_dir=tmp_path)
    load(awkward.cmcr_path, awkward.cmtr_path, session=session)
    found = session.metadata["frame_timestamps"].astype(np.int64)
    assert np.abs(found - awkward.truth.frame_samples).max() <= 1
    add_section_time(
        playlist_name=awkward.playlist_name,
        playlist_file_path=awkward.playlist_path,
        movie_length_file_path=awkward.movie_length_path,
        session=session,
    )
    section_spike_times(config_dir=awkward.config_dir, session=session)
    compute_sta(stimuli_dir=awkward.stimuli_dir, session=session)
    extract_features(features=[NOISE], session=session)
    centres = np.stack([values(session, NOISE, "center_x"), values(session, NOISE, "center_y")], axis=1)
    distance = np.hypot(*(centres - awkward.truth.population.rf_center).T)
    on_screen = ((awkward.truth.population.rf_center >= 0.5) & (awkward.truth.population.rf_center <= 13.5)).all(axis=1)
    assert on_screen.sum() >= 6
    assert (distance[on_screen] < 0.5).mean() >= 0.8
