"""`load_recording`, `load_recording_with_eimage_sta` and `load_spikes`, rule by rule."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hdmea.io import list_units
from hdmea.io.cmtr import CmtrRecording
from hdmea.pipeline import (
    LoadResult,
    PipelineSession,
    create_session,
    load_recording,
    load_recording_with_eimage_sta,
    load_spikes,
)
from hdmea.simulate import SimulatedRecording
from hdmea.steps import load
from hdmea.steps.results import LoadWithEImageSTAResult
from hdmea.utils.exceptions import ConfigurationError, DataLoadError, MismatchError

Paths = tuple[Path, Path]


@pytest.fixture
def paths(small_recording: SimulatedRecording) -> Paths:
    return small_recording.cmcr_path, small_recording.cmtr_path


@pytest.fixture
def copies(paths: Paths, tmp_path: Path) -> Paths:
    """Copies to spoil."""
    directory = tmp_path / "copies"
    directory.mkdir()
    copied = [Path(shutil.copy(path, directory)) for path in paths]
    return copied[0], copied[1]


def loaded(cmcr: Path | None, cmtr: Path | None, **arguments: Any) -> PipelineSession:
    session = load_recording(cmcr, cmtr, session=create_session("rec"), **arguments)
    assert isinstance(session, PipelineSession)
    return session


def stored(output_dir: Path, paths: Paths, **arguments: Any) -> LoadResult:
    result = load_recording(*paths, output_dir=output_dir, **arguments)
    assert isinstance(result, LoadResult)
    return result


# ---------------------------------------------------------------- what it loads


def test_load_produces_units_light_frames_and_metadata(paths: Paths, small_recording: SimulatedRecording) -> None:
    session = loaded(*paths)

    assert list(session.units) == ["unit_001", "unit_002", "unit_003"]
    for number, unit in enumerate(session.units.values()):
        assert {"spike_times", "waveform", "firing_rate_10hz", "row", "col", "global_id"} <= set(unit)
        np.testing.assert_array_equal(unit["spike_times"], small_recording.truth.spike_samples[number])
        assert unit["spike_times"].dtype == np.uint64
        assert unit["waveform"].dtype == np.float32
        assert (unit["row"], unit["col"]) == (
            small_recording.truth.soma_row[number],
            small_recording.truth.soma_col[number],
        )
    light = session.stimulus["light_reference"]
    assert set(light) == {f"{rate}_{channel}" for rate in ("raw", "1khz", "10hz") for channel in ("ch1", "ch2")}
    assert all(trace.dtype == np.float32 for trace in light.values())
    # The difference peaks at the sample before the pulse's first.
    np.testing.assert_array_equal(session.metadata["frame_timestamps"], small_recording.truth.frame_samples - 1)
    np.testing.assert_allclose(session.metadata["frame_time"], session.metadata["frame_timestamps"] / 10_000)
    assert session.metadata["acquisition_rate"] == 10_000.0
    assert session.metadata["sample_interval"] == pytest.approx(1e-4)
    assert session.metadata["dataset_id"] == "rec"
    assert isinstance(session.metadata["sys_meta"], dict)
    assert session.source_files == {"cmcr_path": paths[0], "cmtr_path": paths[1]}
    assert session.completed_steps == {"load_recording"}


def test_firing_rate_is_spikes_in_100_ms_bins_times_ten(paths: Paths) -> None:
    session = loaded(*paths)

    samples = len(session.stimulus["light_reference"]["raw_ch1"])
    bins = int(np.ceil(samples / 1000))
    for unit in session.units.values():
        expected = np.histogram(unit["spike_times"].astype(float), np.arange(bins + 1) * 1000.0)[0] * 10
        np.testing.assert_array_equal(unit["firing_rate_10hz"], expected.astype(np.float32))
        assert unit["firing_rate_10hz"].dtype == np.float32


def test_cmtr_alone_ends_one_second_after_its_last_spike(copies: Paths) -> None:
    session = loaded(None, copies[1])

    last = max(unit["spike_times"][-1] for unit in session.units.values())
    end_s = float(last) / session.metadata["acquisition_rate"] + 1
    assert session.metadata["recording_duration_s"] == pytest.approx(end_s)
    assert len(session.units["unit_001"]["firing_rate_10hz"]) == np.ceil(round(end_s / 0.1, 6))
    assert session.stimulus["light_reference"] == {}
    assert len(session.metadata["frame_timestamps"]) == 0


def test_cmcr_alone_has_light_and_no_units(paths: Paths) -> None:
    session = loaded(paths[0], None)

    assert session.units == {}
    assert "raw_ch1" in session.stimulus["light_reference"]
    assert session.metadata["sys_meta"]


def test_one_channel_alone_gives_the_frames(copies: Paths) -> None:
    with h5py.File(copies[0], "r+") as file:
        stream = file["Acquisition/Analog Data"]
        pulses = stream["ChannelData 1"][1:2]
        del stream["ChannelData 1"]
        stream["ChannelData 1"] = pulses

    session = loaded(*copies)

    assert set(session.stimulus["light_reference"]) == {"raw_ch1", "1khz_ch1", "10hz_ch1"}
    assert len(session.metadata["frame_timestamps"]) > 1000


def test_flat_pulse_channel_gives_no_frames_and_a_warning(copies: Paths) -> None:
    with h5py.File(copies[0], "r+") as file:
        data = file["Acquisition/Analog Data/ChannelData 1"]
        data[1] = 7

    session = loaded(*copies)

    assert len(session.metadata["frame_timestamps"]) == 0
    assert any("frame" in warning for warning in session.warnings)


# ---------------------------------------------------------------- rates


def without_ticks(paths: Paths) -> None:
    with h5py.File(paths[0], "r+") as file:
        for name in ("Sensor Data/SensorMeta", "Analog Data/ChannelMeta"):
            del file[f"Acquisition/{name}"]
        del file.attrs["LB.RecordingDuration"]


def set_tick(path: Path, tick_us: int) -> None:
    with h5py.File(path, "r+") as file:
        for name in ("Sensor Data/SensorMeta", "Analog Data/ChannelMeta"):
            table = file[f"Acquisition/{name}"]
            rows = table[()]
            rows["Tick"] = tick_us
            table[...] = rows


def test_rate_that_the_files_do_not_tell_is_20_khz_with_a_warning(copies: Paths) -> None:
    without_ticks(copies)

    session = loaded(copies[0], None)

    assert session.metadata["acquisition_rate"] == 20_000.0
    assert any("20000" in warning for warning in session.warnings)


def test_rate_outside_1_to_100_khz_warns(copies: Paths) -> None:
    set_tick(copies[0], 2000)  # 500 Hz

    session = loaded(copies[0], None)

    assert session.metadata["acquisition_rate"] == 500.0
    assert any("500" in warning for warning in session.warnings)


# ---------------------------------------------------------------- what it refuses


def test_neither_path_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError):
        load_recording(dataset_id="x")


@pytest.mark.parametrize("arguments", [{"cmcr_path": "x.h5"}, {"cmtr_path": "x.cmcr"}, {"cmcr_path": "cmcr"}])
def test_wrong_suffix_is_a_configuration_error(arguments: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="ends in"):
        load_recording(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("which", [0, 1])
def test_missing_file_is_file_not_found(copies: Paths, tmp_path: Path, which: int) -> None:
    copies[which].unlink()

    with pytest.raises(FileNotFoundError):
        load_recording(*copies, output_dir=tmp_path)

    assert not list(tmp_path.glob("*.h5"))


def spoil(path: Path, how: str) -> None:
    whole = path.read_bytes()
    content = {"empty": b"", "text": b"this is text", "truncated": whole[: len(whole) // 3]}
    if how in content:
        path.write_bytes(content[how])
    else:
        with h5py.File(path, "w") as file:
            file["something else"] = 1


@pytest.mark.parametrize("how", ["empty", "text", "truncated", "other hdf5"])
@pytest.mark.parametrize("which", [0, 1])
def test_unreadable_content_is_a_data_load_error(copies: Paths, tmp_path: Path, which: int, how: str) -> None:
    earlier = stored(tmp_path, copies).hdf5_path
    before = earlier.read_bytes()
    spoil(copies[which], how)

    with pytest.raises(DataLoadError) as caught:
        load_recording(*copies, output_dir=tmp_path, force=True)

    assert Path(str(caught.value.file_path)) == copies[which]
    assert earlier.read_bytes() == before


def test_cmtr_without_a_spike_sorter_is_a_data_load_error(copies: Paths) -> None:
    with h5py.File(copies[1], "r+") as file:
        del file["Spike Sorter"]

    with pytest.raises(DataLoadError, match="Spike Sorter"):
        loaded(*copies)


def test_spikes_long_past_the_end_are_a_mismatch(copies: Paths) -> None:
    with h5py.File(copies[0], "r+") as file:
        stream = file["Acquisition/Analog Data"]
        short = stream["ChannelData 1"][:, :50_000]
        del stream["ChannelData 1"]
        stream["ChannelData 1"] = short

    with pytest.raises(MismatchError) as caught:
        loaded(*copies)

    assert caught.value.cmcr_path == copies[0]
    assert caught.value.cmtr_path == copies[1]
    assert "past" in str(caught.value.reason)


def test_ticks_that_differ_are_a_mismatch(copies: Paths, paths: Paths) -> None:
    with h5py.File(copies[1], "r+") as file:
        del file["Acquisition"]
        with h5py.File(paths[0], "r") as other:
            other.copy("Acquisition/Analog Data", file.create_group("Acquisition"))
        table = file["Acquisition/Analog Data/ChannelMeta"]
        rows = table[()]
        rows["Tick"] = 50
        table[...] = rows

    with pytest.raises(MismatchError, match="ticks"):
        loaded(*copies)


def test_file_names_that_differ_only_warn(copies: Paths) -> None:
    renamed = copies[1].rename(copies[1].with_name("other.cmtr"))

    session = loaded(copies[0], renamed)

    assert any("other.cmtr" in warning for warning in session.warnings)
    hyphens = renamed.rename(renamed.with_name(f"{copies[0].stem}--.cmtr"))
    assert loaded(copies[0], hyphens).warnings == []


# ---------------------------------------------------------------- immediate: file, cache, force


def test_immediate_load_writes_one_file_and_returns_its_result(paths: Paths, tmp_path: Path) -> None:
    result = stored(tmp_path / "new", paths)

    assert result.hdf5_path == tmp_path / "new" / "simulated.h5"
    assert (result.dataset_id, result.num_units, result.stage1_completed) == ("simulated", 3, True)
    assert result.warnings == []
    with h5py.File(result.hdf5_path, "r") as file:
        assert list_units(file) == ["unit_001", "unit_002", "unit_003"]
        assert file.attrs["stage1_completed"]
        sources = json.loads(file.attrs["source_files"])
        assert sources["cmcr_path"] == str(paths[0])
        assert sources["cmcr_exists"]
        assert file["pipeline"].attrs["stage1_completed"]
        assert file["pipeline"].attrs["stage1_timestamp"].endswith("+00:00")
        assert file["pipeline/session_info/completed_steps"].asstr()[()].tolist() == ["load_recording"]


def test_complete_file_of_the_same_config_is_a_cache_hit(
    paths: Paths, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = stored(tmp_path, paths, config={"a": 1}).hdf5_path
    before = (path.read_bytes(), path.stat().st_mtime_ns)

    with caplog.at_level(logging.WARNING, "hdmea"):
        result = stored(tmp_path, paths, config={"a": 1})

    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert (result.hdf5_path, result.num_units, result.stage1_completed) == (path, 3, True)
    assert len(result.warnings) == 1
    assert "cache hit" in caplog.text


@pytest.mark.parametrize("config", [None, {"a": 2}])
def test_complete_file_of_another_config_is_file_exists(
    paths: Paths, tmp_path: Path, config: dict[str, int] | None
) -> None:
    path = stored(tmp_path, paths, config={"a": 1}).hdf5_path
    before = path.read_bytes()

    with pytest.raises(FileExistsError, match="force"):
        stored(tmp_path, paths, config=config)

    assert path.read_bytes() == before


@pytest.mark.parametrize("word", ["force", "allow_overwrite"])
def test_force_and_allow_overwrite_load_anew(paths: Paths, tmp_path: Path, word: str) -> None:
    path = stored(tmp_path, paths, config={"a": 1}).hdf5_path
    with h5py.File(path, "r+") as file:
        del file["units/unit_002"]

    result = stored(tmp_path, paths, config={"a": 2}, **{word: True})

    assert result.num_units == 3
    with h5py.File(path, "r") as file:
        assert "unit_002" in file["units"]


def test_incomplete_file_is_file_exists(paths: Paths, tmp_path: Path) -> None:
    path = stored(tmp_path, paths).hdf5_path
    with h5py.File(path, "r+") as file:
        file.attrs["stage1_completed"] = False

    with pytest.raises(FileExistsError, match="not complete"):
        stored(tmp_path, paths)


@pytest.mark.parametrize("dataset_id", ["given", "über/../x"])
def test_dataset_id_names_the_file_within_the_directory(paths: Paths, tmp_path: Path, dataset_id: str) -> None:
    result = stored(tmp_path / "out", paths, dataset_id=dataset_id)

    assert result.dataset_id == dataset_id
    assert result.hdf5_path.parent == tmp_path / "out"
    assert PipelineSession.load(result.hdf5_path).dataset_id == dataset_id


# ---------------------------------------------------------------- with a session


def test_session_uses_the_paths_that_it_was_created_with(paths: Paths) -> None:
    session = create_session(cmcr_path=paths[0], cmtr_path=paths[1])

    load_recording(session=session)

    assert session.unit_count == 3
    assert session.metadata["dataset_id"] == "simulated"


def test_session_that_is_loaded_is_unchanged_with_a_warning(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    session = loaded(*paths)
    units = dict(session.units)

    with caplog.at_level(logging.WARNING, "hdmea"):
        assert load_recording(*paths, session=session) is session
        assert load_recording(*paths, config={"other": 1}, session=session) is session

    assert len(caplog.records) == 2
    assert all(session.units[unit_id] is units[unit_id] for unit_id in units)


def test_session_is_loaded_anew_with_force(paths: Paths) -> None:
    session = loaded(*paths)
    session.add_metadata({"animal": 7})
    session.add_feature("unit_001", "old", {})
    session.add_units({"unit_999": {"row": 1}})
    session.mark_step_complete("compute_sta")

    load_recording(*paths, force=True, session=session)

    assert set(session.units) == {"unit_001", "unit_002", "unit_003"}
    assert session.units["unit_001"]["features"] == {}
    assert session.completed_steps == {"load_recording"}
    assert session.metadata["animal"] == 7


def test_large_session_warns(paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(load, "LARGE_SESSION_GB", 1e-3)

    with caplog.at_level(logging.WARNING, "hdmea"):
        loaded(*paths)

    assert "GB" in caplog.text
    assert load.LARGE_SESSION_GB < 8.0


# ---------------------------------------------------------------- electrical images


def test_images_are_loaded_beside_everything_else(paths: Paths, tmp_path: Path) -> None:
    result = load_recording_with_eimage_sta(*paths, output_dir=tmp_path)

    assert isinstance(result, LoadWithEImageSTAResult)
    assert (result.num_units, result.units_with_sta, result.stage1_completed) == (3, 3, True)
    assert result.elapsed_seconds > result.filter_time_seconds > 0
    with h5py.File(result.hdf5_path, "r") as file:
        data = file["units/unit_001/features/eimage_sta/data"]
        assert data.shape == (50, 6, 6)
        assert data.dtype == np.float32
        names = {"n_spikes", "n_spikes_excluded", "cutoff_hz", "filter_order", "pre_samples", "post_samples"}
        assert names | {"sampling_rate", "spike_limit"} <= set(data.attrs)
        assert data.attrs["cutoff_hz"] == 100.0
        assert (data.attrs["pre_samples"], data.attrs["post_samples"]) == (10, 40)
        assert {"cmcr_meta", "cmtr_meta", "sys_meta"} <= set(file["metadata"])
        assert "unit_meta" in file["units/unit_001"]


def test_images_of_some_units_and_no_meta(paths: Paths) -> None:
    session = create_session("rec")

    load_recording_with_eimage_sta(
        *paths, unit_ids=["unit_002"], load_unit_meta=False, load_sys_meta=False, session=session
    )

    assert [unit_id for unit_id, unit in session.units.items() if unit["features"]] == ["unit_002"]
    assert not {"cmcr_meta", "cmtr_meta", "sys_meta"} & set(session.metadata)
    assert "unit_meta" not in session.units["unit_001"]
    assert session.completed_steps == {"load_recording_with_eimage_sta"}


def test_images_do_not_depend_on_the_length_of_a_chunk(paths: Paths) -> None:
    images = []
    for chunk_s in (0.05, 10.0):
        session = create_session("rec")
        load_recording_with_eimage_sta(*paths, chunk_duration_s=chunk_s, session=session)
        images.append(session.units["unit_001"]["features"]["eimage_sta"]["data"])

    np.testing.assert_allclose(images[0], images[1], atol=1e-4 * np.abs(images[1]).max())


def test_images_are_added_to_a_session_that_is_loaded(paths: Paths) -> None:
    session = loaded(*paths)
    session.add_feature("unit_001", "mine", {"x": 1})

    load_recording_with_eimage_sta(*paths, session=session)

    assert set(session.units["unit_001"]["features"]) == {"mine", "eimage_sta"}
    assert session.completed_steps == {"load_recording", "load_recording_with_eimage_sta"}


def test_images_again_are_a_cache_hit_or_file_exists(paths: Paths, tmp_path: Path) -> None:
    load_recording_with_eimage_sta(*paths, output_dir=tmp_path)

    again = load_recording_with_eimage_sta(*paths, output_dir=tmp_path, chunk_duration_s=1.0)
    assert isinstance(again, LoadWithEImageSTAResult)
    assert again.units_with_sta == 3
    assert len(again.warnings) == 1
    with pytest.raises(FileExistsError):
        load_recording_with_eimage_sta(*paths, output_dir=tmp_path, cutoff_hz=300.0)


def test_images_need_both_files_known_units_and_a_sensor_stream(copies: Paths) -> None:
    with pytest.raises(ConfigurationError, match="both"):
        load_recording_with_eimage_sta(copies[0], None)
    with pytest.raises(ConfigurationError, match="unit_077"):
        load_recording_with_eimage_sta(*copies, unit_ids=["unit_077"], session=create_session("rec"))
    with h5py.File(copies[0], "r+") as file:
        del file["Acquisition/Sensor Data"]
    with pytest.raises(DataLoadError, match="sensor"):
        load_recording_with_eimage_sta(*copies, session=create_session("rec"))


# ---------------------------------------------------------------- load_spikes


def spike_file(path: Path, trains: list[list[float]], change: Callable[[h5py.File], None] | None = None) -> Path:
    with h5py.File(path, "w") as file:
        file["spikes"] = np.array([second for train in trains for second in train], np.float64)
        file["sCount"] = np.array([len(train) for train in trains], np.int32)
        file["names"] = np.array([f"Ch{n + 1}.{n + 5}" for n in range(len(trains))], dtype="S8")
        file["epos"] = np.array([[42.0 * n, 42.0 * (n + 4)] for n in range(len(trains))]).reshape(-1, 2).T
        file["array"] = np.array([b"APS_64x64_42um"])
        file["summary/duration"] = np.array([10.0])
        file["meta/age"] = np.array([5], np.int32)
        if change is not None:
            change(file)
    return path


def test_spikes_become_samples_and_places_are_kept(tmp_path: Path) -> None:
    path = spike_file(tmp_path / "wave.h5", [[0.00012, 1.5, 9.9], [], [3.0]])

    session = load_spikes(path, acquisition_rate=10_000.0, session=create_session("rec"))

    assert isinstance(session, PipelineSession)
    assert list(session.units) == ["unit_001", "unit_002", "unit_003"]
    np.testing.assert_array_equal(session.units["unit_001"]["spike_times"], [1, 15_000, 99_000])
    assert session.units["unit_001"]["spike_times"].dtype == np.uint64
    assert (session.units["unit_002"]["row"], session.units["unit_002"]["col"]) == (6, 2)
    assert session.units["unit_002"]["global_id"] == 64 + 6
    assert session.units["unit_002"]["unit_meta"] == {"name": "Ch2.6", "x_um": 42.0, "y_um": 210.0}
    assert len(session.units["unit_002"]["firing_rate_10hz"]) == 100
    assert session.metadata["acquisition_rate"] == 10_000.0
    assert session.metadata["recording_duration_s"] == 10.0
    assert session.metadata["sys_meta"] == {"array": "APS_64x64_42um", "age": 5}
    assert session.source_files["spikes_path"] == path
    assert session.completed_steps == {"load_spikes"}


def test_spike_file_is_stored_under_its_stem_and_cached(tmp_path: Path) -> None:
    path = spike_file(tmp_path / "wave.h5", [[1.0]])

    result = load_spikes(path, output_dir=tmp_path / "out")

    assert isinstance(result, LoadResult)
    assert (result.hdf5_path, result.dataset_id, result.num_units) == (tmp_path / "out" / "wave.h5", "wave", 1)
    again = load_spikes(path, output_dir=tmp_path / "out")
    assert isinstance(again, LoadResult)
    assert len(again.warnings) == 1
    with pytest.raises(FileExistsError):
        load_spikes(path, output_dir=tmp_path / "out", acquisition_rate=10_000.0)
    forced = load_spikes(path, output_dir=tmp_path / "out", acquisition_rate=10_000.0, force=True)
    assert isinstance(forced, LoadResult)
    assert PipelineSession.load(forced.hdf5_path).source_files["spikes_path"] == path


def test_spike_file_without_places_or_duration(tmp_path: Path) -> None:
    def bare(file: h5py.File) -> None:
        for name in ("names", "epos", "array", "summary", "meta"):
            del file[name]

    session = load_spikes(spike_file(tmp_path / "wave.h5", [[2.0]], bare), session=create_session("rec"))

    assert isinstance(session, PipelineSession)
    assert (session.units["unit_001"]["row"], session.units["unit_001"]["col"]) == (-1, -1)
    assert session.metadata["recording_duration_s"] == 3.0


def with_array(name: str, x: list[float], y: list[float]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["epos"], file["array"]
        file["epos"] = np.array([x, y], np.float64)
        file["array"] = np.array([name.encode()])

    return change


def sites_of(tmp_path: Path, change: Callable[[h5py.File], None], count: int) -> list[tuple[int, int, int]]:
    session = load_spikes(spike_file(tmp_path / "wave.h5", [[1.0]] * count, change), session=create_session("rec"))
    assert isinstance(session, PipelineSession)
    return [(unit["col"], unit["row"], unit["global_id"]) for unit in session.units.values()]


@pytest.mark.parametrize("first", [0.0, 50.0, 100.0, -350.0])
def test_electrodes_are_counted_from_the_arrays_first(tmp_path: Path, first: float) -> None:
    at = (first + 100 * np.arange(8)).tolist()
    found = sites_of(tmp_path, with_array("MEA_8x8_100um", at, at[::-1]), 8)
    assert [col for col, _, _ in found] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [row for _, row, _ in found] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert len({site for _, _, site in found}) == 8


def test_axis_that_leaves_the_origin_open_takes_that_of_the_other(tmp_path: Path) -> None:
    x, y = [200.0, 300.0, 100.0], [100.0, 800.0, 400.0]  # from 100 on: the last row is there, the last column is not
    assert sites_of(tmp_path, with_array("MEA_8x8_100um", x, y), 3) == [(2, 1, 9), (3, 8, 24), (1, 4, 4)]


@pytest.mark.parametrize(
    ("name", "x"),
    [
        ("hexagonal", [0.0, 42.0]),  # no grid
        ("APS_64x64_42um", [0.0, 40.0]),  # off the grid
        ("APS_64x64_42um", [0.0, 42.0 * 64]),  # wider than the array
        ("APS_64x64_0um", [0.0, 42.0]),
    ],
)
def test_place_that_is_not_known_is_minus_one(tmp_path: Path, name: str, x: list[float]) -> None:
    assert sites_of(tmp_path, with_array(name, x, [0.0, 42.0]), 2) == [(-1, -1, -1)] * 2


def replaced(name: str, content: list[float] | list[list[float]]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = np.array(content, np.float64)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replaced("sCount", [2.0, 0.5]), "sCount of unit_002 is 0.5"),
        (replaced("sCount", [np.nan, 1.0]), "sCount of unit_001 is nan"),
        (replaced("sCount", [4.0, -1.0]), "sCount of unit_002 is -1"),
        (replaced("spikes", [1.0, 2.0, 1e19]), "spikes of unit_002 hold 1e\\+19 s, beyond 2\\^63 samples"),
        (replaced("spikes", [1.0, np.inf, 3.0]), "spikes of unit_001 hold inf s"),
        (replaced("spikes", [np.nan, 2.0, 3.0]), "spikes of unit_001 hold nan s"),
        (replaced("summary/duration", [np.nan]), "summary/duration is nan"),
        (replaced("epos", [[0.0, np.nan], [0.0, 42.0]]), r"epos of unit_002 is \[nan 42.\]"),
    ],
)
def test_message_names_unit_and_field(tmp_path: Path, change: Callable[[h5py.File], None], message: str) -> None:
    path = spike_file(tmp_path / "wave.h5", [[1.0, 2.0], [3.0]], change)
    with pytest.raises(DataLoadError, match=message):
        load_spikes(path, session=create_session("rec"))


def wrong_count(file: h5py.File) -> None:
    file["sCount"][0] = 5


def negative_spike(file: h5py.File) -> None:
    file["spikes"][0] = -1.0


def nan_spike(file: h5py.File) -> None:
    file["spikes"][0] = np.nan


def no_counts(file: h5py.File) -> None:
    del file["sCount"]


def wrong_places(file: h5py.File) -> None:
    del file["epos"]
    file["epos"] = np.zeros((2, 7))


@pytest.mark.parametrize("change", [wrong_count, negative_spike, nan_spike, no_counts, wrong_places])
def test_inconsistent_spike_file_is_a_data_load_error(tmp_path: Path, change: Callable[[h5py.File], None]) -> None:
    path = spike_file(tmp_path / "wave.h5", [[1.0, 2.0], [3.0]], change)

    with pytest.raises(DataLoadError) as caught:
        load_spikes(path, output_dir=tmp_path / "out")

    assert caught.value.file_path == path
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"text"])
def test_spike_file_that_is_not_hdf5_is_a_data_load_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wave.h5"
    path.write_bytes(content)

    with pytest.raises(DataLoadError):
        load_spikes(path, session=create_session("rec"))


def test_missing_spike_file_is_file_not_found_and_a_bad_rate_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_spikes(tmp_path / "no.h5")
    with pytest.raises(ConfigurationError):
        load_spikes(spike_file(tmp_path / "wave.h5", [[1.0]]), acquisition_rate=0, session=create_session("rec"))


@pytest.mark.parametrize("name", ["first", "last"])
def test_real_spike_file_keeps_its_spikes(test_data: Path, name: str) -> None:
    found = sorted((test_data / "retina_mea").glob("*.h5"))
    path = found[0 if name == "first" else -1]
    with h5py.File(path, "r") as file:
        seconds, counts = file["spikes"][()], file["sCount"][()]

    session = load_spikes(path, session=create_session("rec"))

    assert isinstance(session, PipelineSession)
    joined = np.concatenate([unit["spike_times"] for unit in session.units.values()])
    np.testing.assert_array_equal(joined, np.rint(seconds * 20_000).astype(np.uint64))
    np.testing.assert_array_equal([len(unit["spike_times"]) for unit in session.units.values()], counts)


def test_a_recording_that_was_sorted_again_is_no_cache_hit(
    paths: Paths, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = tmp_path / "in"
    own.mkdir()
    cmcr, cmtr = (Path(shutil.copy2(path, own)) for path in paths)
    path = stored(tmp_path, (cmcr, cmtr)).hdf5_path
    before = path.read_bytes()
    session = load_recording(cmcr, cmtr, session=create_session("deferred"))

    moved = shutil.copytree(own, tmp_path / "moved")  # with the times of the files
    assert "cache hit" in stored(tmp_path, (moved / cmcr.name, moved / cmtr.name)).warnings[0]

    with h5py.File(cmtr, "r+") as file:
        file.attrs["sorted"] = "again"
    with pytest.raises(FileExistsError, match=r"from other inputs \(cmtr_path is different: .*force"):
        stored(tmp_path, (cmcr, cmtr))
    assert path.read_bytes() == before
    with pytest.raises(FileExistsError, match=r"cmcr_path is not asked for any more"):
        load_recording(None, cmtr, path.stem, output_dir=tmp_path)
    with caplog.at_level(logging.WARNING, "hdmea"):
        assert load_recording(cmcr, cmtr, session=session) is session
    assert "was done already, from other inputs (cmtr_path is different" in caplog.text

    stored(tmp_path, (cmcr, cmtr), force=True)
    assert "cache hit" in stored(tmp_path, (cmcr, cmtr)).warnings[0]


def test_an_input_that_is_changed_while_it_is_read_is_not_loaded(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cmtr = Path(shutil.copy2(paths[1], tmp_path))

    class SortedMeanwhile(CmtrRecording):
        def units(self, rate: float, warn: Any = None) -> dict[str, dict[str, Any]]:
            units = super().units(rate, warn)
            with h5py.File(self.path, "r+") as file:
                file.attrs["sorted"] = "again"
            return units

    monkeypatch.setattr("hdmea.steps.load_recording.CmtrRecording", SortedMeanwhile)
    with pytest.raises(DataLoadError, match="changed while it was read"):
        load_recording(None, cmtr, output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


# ---------------------------------------------------------------- what is left out is told


def _second_region(file: h5py.File) -> None:
    file.copy("Acquisition/Analog Data/ChannelData 1", "Acquisition/Analog Data/ChannelData 2")


def _light_alone(file: h5py.File) -> None:
    data = file["Acquisition/Analog Data/ChannelData 1"]
    samples = data.shape[1]
    light = np.random.default_rng(0).integers(-500, 500, (1, samples)).astype(data.dtype)
    del file["Acquisition/Analog Data/ChannelData 1"]
    file["Acquisition/Analog Data/ChannelData 1"] = light


@pytest.mark.parametrize(
    ("spoil", "warning"),
    [
        (_second_region, "2 parts ChannelData *, only the first is read"),
        (_light_alone, "as no display's frame pulses do: there are no frame timestamps"),
    ],
)
def test_what_is_not_read_of_a_raw_file_is_a_warning_of_the_recording(copies: Paths, spoil: Any, warning: str) -> None:
    with h5py.File(copies[0], "r+") as file:
        spoil(file)
    session = loaded(*copies)
    assert [one for one in session.warnings if warning in one]
    frames = session.metadata["frame_timestamps"]
    assert bool(len(frames)) == (spoil is _second_region)
