"""The names, messages and default paths that scripts rely on besides the functions themselves."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hdmea.features import FeatureRegistry, compute_sta, section_by_direction
from hdmea.features.base import DictAdapter, FeatureExtractor
from hdmea.io import add_section_time, section_spike_times
from hdmea.io.cmcr import load_cmcr_data
from hdmea.io.cmtr import load_cmtr_data
from hdmea.pipeline import PipelineSession, create_session, load_recording, load_recording_with_eimage_sta
from hdmea.pipeline.runner import get_frame_timestamps
from hdmea.simulate import SimulatedRecording
from hdmea.utils.exceptions import ConfigurationError, MissingInputError
from support.hdmea_recordings import recording, write_config, write_playlist

VALUES = {
    "hdmea.io.section_time": {
        "PRE_MARGIN_FRAME_NUM": 60,
        "POST_MARGIN_FRAME_NUM": 120,
        "DEFAULT_PAD_FRAME": 180,
    },
    "hdmea.features": {"DIRECTION_LIST": [0, 45, 90, 135, 180, 225, 270, 315]},
    "hdmea.features.dsgc_direction": {
        "N_DIRECTIONS": 8,
        "N_REPETITIONS": 3,
        "DEFAULT_MOVIE_NAME": "moving_h_bar_s5_d8_3x",
        "STA_GEOMETRY_FEATURE": "sta_perfect_dense_noise_15x15_15hz_r42_3min",
    },
}
NAMES = {
    "hdmea.io.section_time": ("DEFAULT_PLAYLIST_PATH", "DEFAULT_MOVIE_LENGTH_PATH", "convert_sample_index_to_frame"),
    "hdmea.io.spike_sectioning": ("DEFAULT_CONFIG_DIR", "section_spike_times"),
    "hdmea.features.sta": ("DEFAULT_STIMULI_DIR", "_load_stimulus_movie", "_find_noise_movie_from_session"),
    "hdmea.features.dsgc_direction": ("DEFAULT_STIMULI_DIR", "DirectionSectionResult", "section_by_direction"),
    "hdmea.features.ap_tracking": ("compute_ap_tracking",),
    "hdmea.features.eimage_sta": ("compute_eimage_sta",),
    "hdmea.features.base": ("DictAdapter",),
    "hdmea.io.cmcr": ("load_cmcr_data", "add_sys_meta_info"),
    "hdmea.io.cmtr": ("load_cmtr_data", "add_cmtr_unit_info"),
    "hdmea.pipeline.runner": ("get_frame_timestamps",),
    "hdmea.pipeline.loader": ("load_session_from_hdf5", "load_hdf5_to_session"),
    "hdmea.pipeline": ("load_session_from_hdf5", "load_hdf5_to_session"),
    "hdmea.io": ("add_section_time_analog", "annotate", "copy_section", "load_session_from_hdf5"),
    "hdmea.features": (
        "extract_soma_geometry",
        "extract_rf_geometry",
        "fit_ln_model",
        "align_electrodes",
        "track_axons",
        "section_by_direction",
    ),
}


@pytest.mark.parametrize("module", NAMES)
def test_names_are_there(module: str) -> None:
    for name in NAMES[module]:
        assert getattr(importlib.import_module(module), name) is not None


@pytest.mark.parametrize("module", VALUES)
def test_constants_have_their_values(module: str) -> None:
    found = importlib.import_module(module)
    assert {name: getattr(found, name) for name in VALUES[module]} == VALUES[module]


# ---------------------------------------------------------------- default paths


@pytest.fixture
def directories(tmp_path: Path) -> dict[str, Path]:
    """Four directories, each with its own playlist (one movie more each), config and noise movie."""
    found = {}
    for number, name in enumerate(("argument", "assigned", "variable", "second")):
        directory = tmp_path / name
        movies = [f"noise_{n}" for n in range(1)] + [f"m{n}" for n in range(number)]
        write_playlist(directory, {"p": movies}, {movie: 60 for movie in movies})
        for movie in movies:
            write_config(directory, movie, start_frame=0, trial_length_frame=10 * (number + 1), repeat=1)
        np.save(directory / "noise_0.npy", np.full((60, number + 2, 3), number, np.uint8))
        found[name] = directory
    return found


def sections(session: PipelineSession, **kwargs: Any) -> int:
    add_section_time(playlist_name="p", session=session, force=True, **kwargs)
    return len(session.stimulus["section_time"])


def test_playlists_come_from_argument_assigned_name_or_variable(
    tmp_path: Path, directories: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import hdmea.io.section_time as module

    session = recording(tmp_path)
    monkeypatch.delenv("HDMEA_PLAYLIST_DIR", raising=False)
    monkeypatch.delenv("HDMEA_CONFIG_DIR", raising=False)
    with pytest.raises(ConfigurationError, match="playlist"):
        sections(session)
    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(directories["second"]))
    assert sections(session) == 4
    monkeypatch.setenv("HDMEA_PLAYLIST_DIR", str(directories["variable"]))
    assert sections(session) == 3
    monkeypatch.setattr(module, "DEFAULT_PLAYLIST_PATH", directories["assigned"] / "playlist.csv")
    monkeypatch.setattr(module, "DEFAULT_MOVIE_LENGTH_PATH", str(directories["assigned"] / "movie_length.csv"))
    assert sections(session) == 2
    given = directories["argument"]
    files = {"playlist_file_path": given / "playlist.csv", "movie_length_file_path": given / "movie_length.csv"}
    assert sections(session, **files) == 1


def test_configs_and_stimuli_come_from_argument_assigned_name_or_variable(
    tmp_path: Path, directories: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import hdmea.features.sta as sta
    import hdmea.io.spike_sectioning as sectioning

    session = recording(tmp_path)
    session.add_stimulus({"section_time": {"noise_0": session.metadata["frame_timestamps"][[0, 300]][None]}})

    def length(**kwargs: Any) -> int:
        section_spike_times(session=session, force=True, **kwargs)
        trial = session.units["unit_001"]["spike_times_sectioned"]["noise_0"]["trials_start_end"][0]
        return int(trial[1] - trial[0]) // 100

    def height(**kwargs: Any) -> int:
        compute_sta(cover_range=(-2, 0), session=session, force=True, **kwargs)
        return int(session.units["unit_001"]["features"]["sta_noise_0"]["data"].shape[1]) - 1

    monkeypatch.setenv("HDMEA_CONFIG_DIR", str(directories["variable"]))
    monkeypatch.setenv("HDMEA_STIMULI_DIR", str(directories["variable"]))
    assert (length(), height()) == (3, 3)
    monkeypatch.setattr(sectioning, "DEFAULT_CONFIG_DIR", directories["assigned"])
    monkeypatch.setattr(sta, "DEFAULT_STIMULI_DIR", str(directories["assigned"]))
    assert (length(), height()) == (2, 2)
    assert (length(config_dir=directories["argument"]), height(stimuli_dir=directories["argument"])) == (1, 1)


def test_default_stimuli_are_those_of_the_variable_when_the_name_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hdmea.features.dsgc_direction as bar
    import hdmea.features.sta as sta

    np.save(tmp_path / "noise.npy", np.zeros((4, 2, 3), np.uint8))
    monkeypatch.delenv("HDMEA_STIMULI_DIR", raising=False)
    unassigned = sta.DEFAULT_STIMULI_DIR  # as a script's `from … import` takes it before the variable is set
    with pytest.raises(ConfigurationError, match="HDMEA_STIMULI_DIR"):
        sta._load_stimulus_movie("noise", unassigned)
    monkeypatch.setenv("HDMEA_STIMULI_DIR", str(tmp_path))
    assert sta._load_stimulus_movie("noise", unassigned).shape == (4, 2, 3)
    assert sta._load_stimulus_movie("noise", sta.DEFAULT_STIMULI_DIR).shape == (4, 2, 3)
    for module in (sta, bar):
        assert (Path(module.DEFAULT_STIMULI_DIR) / "noise.npy").is_file()
    with pytest.raises(FileNotFoundError, match="Stimulus file not found"):
        sta._load_stimulus_movie("other", sta.DEFAULT_STIMULI_DIR)


# ---------------------------------------------------------------- messages


def test_messages_that_scripts_match(tmp_path: Path) -> None:
    session = recording(tmp_path)
    with pytest.raises(ValueError, match="Invalid cover_range"):
        compute_sta(session=session, cover_range=(0, 0))
    with pytest.raises(ConfigurationError, match="At least one"):
        load_recording()
    with pytest.raises(KeyError, match="Unknown feature"):
        FeatureRegistry.get("no such feature")
    with pytest.raises(ValueError, match="already registered"):
        FeatureRegistry.register("frif")(FeatureExtractor)


def test_noise_movies_that_are_none_or_two_are_named() -> None:
    from hdmea.features.sta import _find_noise_movie_from_session

    assert _find_noise_movie_from_session({"grey": 0, "White_Noise": 1}) == "White_Noise"
    with pytest.raises(ValueError, match="grey"):
        _find_noise_movie_from_session({"grey": 0})
    with pytest.raises(ValueError, match="noise_a, noise_b"):
        _find_noise_movie_from_session({"noise_a": 0, "noise_b": 0})


# ---------------------------------------------------------------- sections without a config


def test_sections_of_other_steps_need_no_config(tmp_path: Path) -> None:
    session = recording(tmp_path)
    files = write_playlist(tmp_path, {"p": ["grey"]}, {"grey": 60})
    write_config(tmp_path, "grey", start_frame=0, trial_length_frame=20, repeat=3)
    add_section_time(playlist_name="p", session=session, **files)
    session.stimulus["section_time"]["by_hand"] = np.array([[100, 900], [1000, 1500]], np.uint64)

    section_spike_times(session=session, config_dir=tmp_path)

    cut = session.units["unit_001"]["spike_times_sectioned"]
    assert [len(cut[name]["trials_spike_times"]) for name in ("grey", "by_hand")] == [3, 2]
    with pytest.raises(ValueError, match=r"by_hand\.json"):
        section_spike_times(session=session, movie_names=["by_hand"], config_dir=tmp_path, force=True)
    (tmp_path / "grey.json").unlink()
    with pytest.raises(ValueError, match=r"grey\.json"):
        section_spike_times(session=session, config_dir=tmp_path, force=True)


# ---------------------------------------------------------------- loaders


def test_loaders_give_dicts_of_what_the_files_hold(small_recording: SimulatedRecording) -> None:
    raw, sorted_ = load_cmcr_data(small_recording.cmcr_path), load_cmtr_data(small_recording.cmtr_path)

    assert raw["acquisition_rate"] == sorted_["acquisition_rate"] == small_recording.sampling_rate
    with h5py.File(small_recording.cmcr_path) as file:
        rate = small_recording.sampling_rate
        channels = file["Acquisition/Analog Data/ChannelData 1"][()]
        for number, channel in enumerate(channels, start=1):
            np.testing.assert_array_equal(raw["light_reference"][f"raw_ch{number}"], channel)
            for label, samples in (("1khz", round(rate / 1000)), ("10hz", round(rate / 10))):
                means = raw["light_reference"][f"{label}_ch{number}"][: channel.size // samples]
                whole = channel[: channel.size // samples * samples].reshape(-1, samples)
                np.testing.assert_allclose(means, whole.mean(axis=1), rtol=1e-6)
        assert {trace.dtype for trace in raw["light_reference"].values()} == {np.dtype(np.float32)}
        assert raw["metadata"]["recording_duration_s"] == channels.shape[1] / rate
        assert raw["sample_count"] == channels.shape[1]
        assert raw["sensor_shape"] == file["Acquisition/Sensor Data/SensorData 1 1"].shape
    assert list(sorted_["units"]) == list(small_recording.truth.unit_ids)
    assert sorted_["units"]["unit_002"]["original_name"] == "Unit 2"


@pytest.mark.parametrize("has_rate", [True, False])
def test_loaded_spike_times_are_the_files_microseconds(
    small_recording: SimulatedRecording, tmp_path: Path, has_rate: bool
) -> None:
    path = tmp_path / "sorted.cmtr"
    path.write_bytes(small_recording.cmtr_path.read_bytes())
    if has_rate:  # the link to the raw file leads to one
        (tmp_path / small_recording.cmcr_path.name).write_bytes(small_recording.cmcr_path.read_bytes())

    loaded = load_cmtr_data(path)

    assert (loaded["acquisition_rate"] is not None) == has_rate
    with h5py.File(path) as file:
        for unit in loaded["units"].values():
            peaks = file["Spike Sorter"][unit["original_name"]]["Peaks"][()]
            stamps = np.sort(peaks["Timestamp"][peaks["IncludePeak"] == 1])
            np.testing.assert_array_equal(unit["spike_times"], stamps)
            assert unit["spike_times"].dtype == np.uint64


def test_unit_meta_of_a_load_is_all_that_the_vendor_says(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    session = create_session("x", output_dir=tmp_path)
    load_recording_with_eimage_sta(
        small_recording.cmcr_path, small_recording.cmtr_path, unit_ids=["2"], duration_s=0.5, session=session
    )

    meta = session.units["unit_002"]["unit_meta"]
    wanted = {"row", "column", "snr", "separability", "kurtosis", "roisize", "unitid", "sensorid"}
    assert wanted | {"peak_amplitudes", "peaks_data", "roi_stas", "unmixing_matrix"} <= set(meta)
    with h5py.File(small_recording.cmtr_path) as file:
        group = file["Spike Sorter/Unit 2"]
        np.testing.assert_array_equal(meta["peaks_data"]["timestamp"], group["Peaks"]["Timestamp"])
        np.testing.assert_array_equal(meta["unmixing_matrix"], group["Unmixing"][()])
        assert meta["snr"] == group["Unit Info"]["SNR"][0]


def test_vendors_numbers_choose_units(small_recording: SimulatedRecording, tmp_path: Path) -> None:
    session = create_session("x", output_dir=tmp_path)
    paths = (small_recording.cmcr_path, small_recording.cmtr_path)

    load_recording_with_eimage_sta(*paths, unit_ids=["2", "unit_003"], duration_s=0.5, session=session)

    with_images = [unit_id for unit_id, unit in session.units.items() if "eimage_sta" in unit["features"]]
    assert with_images == ["unit_002", "unit_003"]
    assert (session.units["unit_002"]["unit_num"], session.units["unit_002"]["original_name"]) == (2, "Unit 2")
    with pytest.raises(ConfigurationError, match="99"):
        load_recording_with_eimage_sta(*paths, unit_ids=["99"], duration_s=0.5, session=session, force=True)
    frames = session.stimulus["frame_times"]["default"]
    assert frames.dtype == np.uint64
    np.testing.assert_array_equal(frames, session.metadata["frame_timestamps"])
    again = PipelineSession.load(session.save())
    assert again.units["unit_002"]["unit_num"] == 2
    np.testing.assert_array_equal(again.stimulus["frame_times"]["default"], frames)


def test_units_named_otherwise_than_their_number_are_warned_of(
    small_recording: SimulatedRecording, tmp_path: Path
) -> None:
    renamed = shutil.copy(small_recording.cmtr_path, tmp_path / small_recording.cmtr_path.name)
    with h5py.File(renamed, "r+") as file:
        file["Spike Sorter"].move("Unit 2", "Unit 77")

    session = load_recording(small_recording.cmcr_path, renamed, session=create_session("x", output_dir=tmp_path))

    named = [text for text in session.warnings if "UnitID" in text]
    assert named == ["groups of units are named otherwise than their UnitID: Unit 77 is unit_002"]
    assert session.units["unit_002"]["original_name"] == "Unit 77"


def test_frame_timestamps_of_a_session_a_path_and_an_open_file(tmp_path: Path) -> None:
    session = recording(tmp_path)
    path = session.save()

    with h5py.File(path) as file:
        found = [get_frame_timestamps(source) for source in (session, path, str(path), file)]
    for frames in found:
        assert frames.dtype == np.uint64
        np.testing.assert_array_equal(frames, session.metadata["frame_timestamps"])
    del session.metadata["frame_timestamps"]
    with pytest.raises(MissingInputError):
        get_frame_timestamps(session)


def test_dict_adapter_reads_a_dict_as_a_group() -> None:
    unit = {"spike_times": [1, 2], "row": 3, "spike_times_sectioned": {"m": {"trials_spike_times": {0: np.arange(2)}}}}
    group = DictAdapter(unit)

    assert group["spike_times_sectioned/m/trials_spike_times/0"][()].tolist() == [0, 1]
    assert group["spike_times"][:].tolist() == [1, 2]
    assert "spike_times_sectioned/m" in group
    assert "spike_times_sectioned/n" not in group
    assert group.attrs == {"row": 3}
    assert list(group) == list(unit)
    with pytest.raises(KeyError):
        _ = group["none"]


def test_bar_sections_take_the_directory_assigned_to_their_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hdmea.features.dsgc_direction as module

    session = recording(tmp_path, units=1)
    section = {"trials_spike_times": {0: []}, "full_spike_times": [], "trials_start_end": [[0, 1]]}
    session.units["unit_001"]["spike_times_sectioned"] = {module.DEFAULT_MOVIE_NAME: section}
    monkeypatch.delenv("HDMEA_STIMULI_DIR", raising=False)
    with pytest.raises(ConfigurationError, match="stimuli"):
        section_by_direction(session=session)
    monkeypatch.setattr(module, "DEFAULT_STIMULI_DIR", tmp_path / "mine")
    with pytest.raises(FileNotFoundError, match="mine"):
        section_by_direction(session=session)
