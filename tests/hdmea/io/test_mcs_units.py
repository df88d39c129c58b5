"""Spikes of MCS-HDF5 files as recordings: places, waveforms, frames, electrical images, flows, batches and pages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from h5burst.console import run as run_command
from hdmea.cli import app
from hdmea.features import add_electrode_images, extract_soma_geometry
from hdmea.io import McsChoice, load_spikes, read_mcs
from hdmea.pipeline import PipelineSession, create_session, run_flow
from hdmea.session.validate_layout import check_recording
from hdmea.simulate import McsH5Options, SimulatedMcsH5, simulate_mcs_h5
from hdmea.utils.exceptions import ConfigurationError, DataLoadError, MissingInputError

RATE = 25_000.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimulatedMcsH5:
    """Four seconds of 60 electrodes with a gap and a zero of its own."""
    options = McsH5Options(gaps_s=[(1.5, 2.0)], ad_zero=100, start_us=2000, background_hz=5.0, wave_interval_s=None)
    path = tmp_path_factory.mktemp("mcs") / "slice.h5"
    return simulate_mcs_h5(path, duration_s=4.0, options=options, seed=4)


def loaded(path: Path, **mcs: Any) -> PipelineSession:
    return load_spikes(path, session=create_session("slice"), mcs=mcs or None)


def test_each_electrode_is_a_unit_with_its_spikes_place_and_waveform(made: SimulatedMcsH5) -> None:
    session = loaded(made.path)

    assert session.unit_count == 60
    assert session.metadata["acquisition_rate"] == RATE
    assert session.metadata["recording_duration_s"] == pytest.approx(4.002)
    for unit in session.units.values():
        label = unit["unit_meta"]["label"]
        assert unit["original_name"] == label
        assert unit["unit_meta"]["sorted"] is False
        # Column, then row, in the vendor's labels; 200 µm apart by the array's name.
        assert (unit["col"], unit["row"]) == (int(label[0]), int(label[1]))
        assert unit["unit_meta"]["x_um"] == (int(label[0]) - 1) * 200.0
        assert np.array_equal(unit["spike_times"], made.spikes_us[0][label] * RATE / 1e6)
        assert len(unit["waveform"]) == 75
        assert unit["waveform"].min() == pytest.approx(-60e-6, rel=0.2)  # volts, at the spike
        assert abs(int(unit["waveform"].argmin()) - 25) <= 1
    assert session.metadata["sys_meta"]["array"] == "8x8_200um"
    assert session.metadata["sys_meta"]["DateTime"] == "2024-01-01T00:00:00"


def test_a_saved_recording_of_such_a_file_is_in_order(made: SimulatedMcsH5, tmp_path: Path) -> None:
    path = load_spikes(made.path, output_dir=tmp_path).hdf5_path

    assert check_recording(path) == []
    session = PipelineSession.load(path)
    assert session.units["unit_001"]["unit_meta"]["label"] == "12"
    assert not load_spikes(made.path, output_dir=tmp_path, force=True).warnings


def test_the_real_file_has_electrodes_off_any_grid(test_data: Path) -> None:
    session = loaded(next((test_data / "mcs").glob("*.h5")), frames="Digital Events 1")

    assert [unit["original_name"] for unit in session.units.values()] == [f"E{n}" for n in range(1, 9)]
    assert [len(unit["spike_times"]) for unit in session.units.values()] == [26, 23, 30, 33, 29, 28, 29, 26]
    assert {unit["row"] for unit in session.units.values()} == {-1}
    assert session.units["unit_001"]["spike_times"][:3].tolist() == [472, 477, 482]  # 944, 954, 964 ms at 500 Hz
    assert session.metadata["recording_duration_s"] == 19.7
    assert session.metadata["frame_timestamps"][:2].tolist() == [108, 958]


def test_rows_of_the_table_may_run_backwards(made: SimulatedMcsH5) -> None:
    """The simulator writes them so; entities are known by their number, not by their row."""
    with h5py.File(made.path) as file:
        stream = file["Data/Recording_0/TimeStampStream/Stream_0"]
        assert stream["InfoTimeStamp"]["TimeStampEntityID"][0] == 59
        assert np.array_equal(stream["TimeStampEntity_0"][0], made.spikes_us[0]["12"])


def test_cut_outs_are_units_where_there_are_no_time_stamps(made: SimulatedMcsH5, tmp_path: Path) -> None:
    path = shutil.copy(made.path, tmp_path / "cut.h5")
    with h5py.File(path, "r+") as file:
        del file["Data/Recording_0/TimeStampStream"]

    ours, expected = loaded(path), loaded(made.path)
    assert ours.metadata["sys_meta"]["spike_stream"].startswith("SegmentStream/Stream_0")
    for unit, other in zip(ours.units.values(), expected.units.values(), strict=True):
        assert np.array_equal(unit["spike_times"], other["spike_times"])
        assert np.array_equal(unit["waveform"], other["waveform"])


@pytest.mark.parametrize("frames", ["Digital Events 1", "EventStream/Stream_0:1", "AnalogStream/Stream_1"])
def test_frames_of_a_stimulus_are_events_or_pulses_of_a_trigger(made: SimulatedMcsH5, frames: str) -> None:
    samples = loaded(made.path, frames=frames).metadata["frame_timestamps"]

    expected = made.frames_us[0] * RATE / 1e6
    if frames.startswith("Analog"):  # a pulse is seen by its rise: the first one is up when the recording begins
        expected = expected[1:]
    assert np.array_equal(samples, expected)


def test_recordings_and_streams_that_could_be_meant_are_listed(tmp_path: Path) -> None:
    made = simulate_mcs_h5(tmp_path / "two.h5", duration_s=0.5, recordings=2, seed=1)
    with h5py.File(made.path, "r+") as file:
        streams = file["Data/Recording_1/TimeStampStream"]
        file.copy(streams["Stream_0"], streams, "Stream_1")

    with pytest.raises(ConfigurationError, match=r"several recordings: give mcs=\{'recording': N\}, N one of 0, 1"):
        loaded(made.path)
    with pytest.raises(ConfigurationError, match="has no recording 7; it has 0, 1"):
        loaded(made.path, recording=7)
    with pytest.raises(ConfigurationError, match=r"several streams of spikes.*TimeStampStream/Stream_1"):
        loaded(made.path, recording=1)
    with pytest.raises(ConfigurationError, match="there is no stream 'x'"):
        loaded(made.path, recording=0, stream="x")
    with pytest.raises(ConfigurationError, match="holds no spikes"):
        loaded(made.path, recording=0, stream="Digital Events 1")
    with pytest.raises(ConfigurationError, match="mcs takes recording, stream, frames, pitch_um, not sream"):
        loaded(made.path, sream="x")
    with pytest.raises(ConfigurationError, match="pitch_um must be positive"):
        loaded(made.path, pitch_um=-1.0)
    with pytest.raises(ConfigurationError, match="recording must be a number, not True"):
        loaded(made.path, recording=True)
    second = loaded(made.path, recording=1, stream="TimeStampStream/Stream_1")
    assert np.array_equal(second.units["unit_060"]["spike_times"], made.spikes_us[1]["87"] * RATE / 1e6)
    assert second.metadata["sys_meta"]["recording"] == 1


def test_options_for_such_files_are_refused_with_others(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "waves.h5", "w") as file:
        file["spikes"], file["sCount"] = np.arange(3.0), [3]

    with pytest.raises(ConfigurationError, match=r"not an MCS-HDF5 file, for which alone mcs \(frames\) is"):
        loaded(tmp_path / "waves.h5", frames="x")


def test_the_rate_is_of_the_stream_that_spikes_were_found_in(made: SimulatedMcsH5, tmp_path: Path) -> None:
    path = shutil.copy(made.path, tmp_path / "rate.h5")
    with h5py.File(path, "r+") as file:
        recording = file["Data/Recording_0"]
        recording["TimeStampStream/Stream_0"].attrs["SourceStreamGUID"] = np.bytes_(b"0" * 36)
        for stream in ("AnalogStream/Stream_0/InfoChannel", "SegmentStream/Stream_0/SourceInfoChannel"):
            table = recording[stream][...]
            table["Tick"] = 100
            recording[stream][...] = table
        file.flush()
        assert loaded(path).metadata["acquisition_rate"] == 10_000.0  # the electrodes' only one
        del recording["AnalogStream"]
    recording_only_spikes = load_spikes(path, session=create_session("x"), acquisition_rate=20_000.0)
    assert recording_only_spikes.metadata["acquisition_rate"] == 20_000.0
    with h5py.File(path, "r+") as file:
        del file["Data/Recording_0/SegmentStream"]
    with pytest.raises(ConfigurationError, match="does not say at which rate"):
        loaded(path)


def test_an_array_without_a_pitch_has_no_places_until_it_is_given(made: SimulatedMcsH5, tmp_path: Path) -> None:
    path = shutil.copy(made.path, tmp_path / "pitch.h5")
    with h5py.File(path, "r+") as file:
        for name in ("MeaName", "MeaLayout"):
            file["Data"].attrs[name] = np.bytes_(b"60ThinMEA  \r\n")

    session = loaded(path)
    assert {unit["row"] for unit in session.units.values()} == {-1}
    assert "give mcs={'pitch_um'" in session.warnings[0]
    session = loaded(path, pitch_um=100)
    assert session.units["unit_060"]["unit_meta"]["x_um"] == 700.0


def test_spikes_before_the_recordings_zero_are_refused(made: SimulatedMcsH5, tmp_path: Path) -> None:
    path = shutil.copy(made.path, tmp_path / "early.h5")
    with h5py.File(path, "r+") as file:
        file["Data/Recording_0/TimeStampStream/Stream_0/TimeStampEntity_3"][0, 0] = -40

    with pytest.raises(DataLoadError, match=r"TimeStampStream/Stream_0, entity 3 has a time of -40 µs"):
        loaded(path)


# ---------------------------------------------------------------- electrical images


def brute_force_image(made: SimulatedMcsH5, label: str, window: tuple[int, int], limit: int | None) -> tuple[Any, int]:
    """By scipy, each part between gaps filtered as a whole."""
    with h5py.File(made.path) as file:
        stream = file["Data/Recording_0/AnalogStream/Stream_0"]
        counts, stamps = stream["ChannelData"][...].astype(float), stream["ChannelDataTimeStamps"][...]
    volts = (counts - 100) * 59605 * 1e-12
    sos = butter(2, 100, "highpass", fs=RATE, output="sos")
    cut = []
    for start_us, first, last in stamps:
        part = sosfiltfilt(sos, volts[:, first : last + 1], axis=1)
        for time_us in made.spikes_us[0][label]:
            at = round((time_us - start_us) * RATE / 1e6)
            if at + window[0] >= 0 and at + window[1] <= part.shape[1]:
                cut.append(part[:, at + window[0] : at + window[1]])
    cut = cut[:limit]
    return np.mean(cut, axis=0), len(cut)


@pytest.mark.parametrize("limit", [10_000, 3])
def test_images_are_what_scipy_gives_of_the_parts_between_gaps(made: SimulatedMcsH5, limit: int) -> None:
    session = add_electrode_images(session=loaded(made.path), spike_limit=limit)

    labels = [unit["unit_meta"]["label"] for unit in session.units.values()]
    for label, unit in list(zip(labels, session.units.values(), strict=True))[::17]:
        image = unit["features"]["eimage_sta"]
        expected, count = brute_force_image(made, label, (-12, 50), limit)
        assert image["metadata"]["n_spikes"] == count
        assert image["data"].shape == (62, 8, 8)
        for row, other in enumerate(labels):
            electrode = image["data"][:, int(other[1]) - 1, int(other[0]) - 1]
            assert np.allclose(electrode, expected[row], atol=2e-9)
        corners = image["data"][:, [0, 0, 7, 7], [0, 7, 0, 7]]
        assert np.isnan(corners).all()
    geometry = extract_soma_geometry(session=session).units["unit_030"]["features"]["eimage_sta"]["geometry"]
    assert (geometry["peak_row"] + 1, geometry["peak_col"] + 1) == (int(labels[29][1]), int(labels[29][0]))


def test_immediate_and_deferred_images_are_equal_within_a_budget(made: SimulatedMcsH5, tmp_path: Path) -> None:
    path = load_spikes(made.path, output_dir=tmp_path).hdf5_path
    result = add_electrode_images(path, duration_s=3.0)
    deferred = create_session("slice", output_dir=tmp_path / "b", memory_budget="8MiB")
    add_electrode_images(session=load_spikes(made.path, session=deferred), duration_s=3.0)

    assert (result.units_processed, result.units_skipped) == (60, 0)
    stored = PipelineSession.load(path)
    for unit, other in zip(stored.units.values(), deferred.units.values(), strict=True):
        image, same = unit["features"]["eimage_sta"], other["features"]["eimage_sta"]
        assert np.array_equal(np.asarray(image["data"]), np.asarray(same["data"]), equal_nan=True)
        late = made.spikes_us[0][unit["unit_meta"]["label"]] > 3e6
        assert image["metadata"]["n_spikes"] <= (~late).sum()
    assert add_electrode_images(path).units_skipped == 60


def test_recordings_without_enough_electrodes_make_no_images(made: SimulatedMcsH5, test_data: Path) -> None:
    with pytest.raises(MissingInputError, match="8 electrodes of the array 'Linear8' make no image"):
        add_electrode_images(session=loaded(next((test_data / "mcs").glob("*.h5"))), stream="AnalogStream/Stream_1")
    with pytest.raises(MissingInputError, match="loaded from an MCS-HDF5 file"):
        add_electrode_images(session=create_session("empty"))


# ---------------------------------------------------------------- commands


def test_a_recording_goes_from_its_file_to_a_page(
    made: SimulatedMcsH5, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    windows = ["--set", "add_section_windows.length_s=2"]
    arguments = ["run", "--spikes", str(made.path), "-o", str(tmp_path), *windows, "--report", "--json"]
    assert run_command(app, arguments) == 0
    result = json.loads(capsys.readouterr().out)

    assert result["units"] == 60
    assert Path(result["report"]).stat().st_size > 10_000
    assert "threshold crossings" in Path(result["report"]).read_text(encoding="utf-8")


def test_batch_takes_such_files_and_options_for_them(made: SimulatedMcsH5, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"dataset_id,spikes\nfirst,{made.path}\nsecond,{made.path}\n")
    frames = "--set", 'load_spikes.mcs={"frames": "Digital Events 1"}'
    steps = "--steps", "load_spikes,add_electrode_images"
    arguments = ["batch", str(manifest), "-o", str(tmp_path / "out"), *frames, *steps]

    assert run_command(app, arguments) == 0
    for name in ("first", "second"):
        session = PipelineSession.load(tmp_path / "out" / f"{name}.h5")
        assert len(session.metadata["frame_timestamps"]) == len(made.frames_us[0])
        assert session.units["unit_005"]["features"]["eimage_sta"]["data"].shape == (62, 8, 8)


def test_info_says_what_a_vendors_file_holds(
    made: SimulatedMcsH5, test_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = next((test_data / "mcs").glob("*.h5"))
    assert run_command(app, ["info", str(real)]) == 0
    text = capsys.readouterr().out
    assert "MCS-HDF5, protocol 1" in text
    assert "AnalogStream/Stream_1  Data Acquisition (1) Electrode Raw Data: 8 channels, 500 Hz, 19.60 s" in text
    assert "TimeStampStream/Stream_0  Spike Detector (1) Spike Timestamps: 8 entities, 224 times" in text

    assert run_command(app, ["info", str(made.path), "--json"]) == 0
    (info,) = json.loads(capsys.readouterr().out)
    recording = info["recordings"][0]
    analog = recording["streams"][0]
    assert (analog["channels"], analog["sampling_frequency_hz"], analog["gaps"]) == (60, 25_000.0, 1)
    count = sum(len(train) for train in made.spikes_us[0].values())
    assert recording["streams"][-1]["times"] == count
    assert len(read_mcs(made.path).recordings[0].streams) == len(recording["streams"])
    assert McsChoice().stream is None


def test_a_flow_that_loads_a_recording_takes_spikes_as_well(
    made: SimulatedMcsH5, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    windows = ["--set", "add_section_windows.length_s=2"]
    arguments = ["run", "--spikes", str(made.path), "--flow", "spontaneous", *windows, "-o", str(tmp_path), "--report"]
    assert run_command(app, [*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)

    assert result["sections"] == ["minute"]
    assert Path(result["report"]).exists()
    immediate = run_flow(
        "spontaneous",
        spikes_path=made.path,
        output_dir=tmp_path / "b",
        parameters={"add_section_windows": {"length_s": 2.0}},
    )
    ours, other = PipelineSession.load(immediate.hdf5_path), PipelineSession.load(result["file"])
    for name, unit in ours.units.items():
        for kind in ("full_spike_times", "trials_start_end"):
            mine, theirs = (one["spike_times_sectioned"]["minute"][kind] for one in (unit, other.units[name]))
            assert np.array_equal(np.asarray(mine), np.asarray(theirs))
