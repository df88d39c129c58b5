"""The reader of raw recordings: values as the vendor's own reader gives them, tolerance, refusals."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hdmea.io import cmcr
from hdmea.simulate import SimulatedRecording, simulate_recording
from hdmea.utils.exceptions import DataLoadError


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> SimulatedRecording:
    directory = tmp_path_factory.mktemp("cmcr")
    return simulate_recording(directory, n_units=4, patch=(7, 5), playlist=["baseline_127"], sensor_duration_s=0.3)


@pytest.fixture
def copy(recording: SimulatedRecording, tmp_path: Path) -> Path:
    path = tmp_path / "copy.cmcr"
    path.write_bytes(recording.cmcr_path.read_bytes())
    return path


def test_values_are_those_of_the_vendors_reader(recording: SimulatedRecording) -> None:
    mcs = pytest.importorskip("McsPy.McsCMOSMEA")
    file = mcs.McsCMOSMEAData(str(recording.cmcr_path))  # closes itself when it is let go
    theirs = file.Acquisition
    with cmcr.open_recording(recording.cmcr_path) as ours:
        assert ours.sensor is not None
        sensor = theirs.Sensor_Data.SensorData[0]
        assert ours.sensor.shape == sensor.shape == (6000, 7, 5)
        np.testing.assert_array_equal(ours.sensor.read(100, 2100), sensor[100:2100])
        channels = theirs.Analog_Data.Data[0]
        for n, name in enumerate(("ch1", "ch2")):
            assert ours.channels[name].dtype == np.int32
            np.testing.assert_array_equal(ours.channels[name].read(0, ours.sample_count), channels[n])
        assert ours.acquisition_rate == 1e6 / theirs.Sensor_Data.SensorMeta.Tick[0]
        assert ours.acquisition_rate == 1e6 / theirs.Analog_Data.ChannelMeta.Tick[0]
        assert ours.sample_count == channels.shape[1]


def test_meta_are_plain_values(recording: SimulatedRecording) -> None:
    with cmcr.open_recording(recording.cmcr_path) as ours:
        assert ours.meta["FileVersion"] == 1
        assert ours.meta["ProgramName"] == "hdmea.simulate"
        assert ours.meta["LB.RecordingDuration"] == ours.sample_count * 50
        assert ours.meta["SensorMeta"]["Tick"] == 50
        assert ours.meta["ChannelMeta"]["Unit"] == "V"


def test_sensor_is_read_no_further_than_asked(recording: SimulatedRecording) -> None:
    with cmcr.open_recording(recording.cmcr_path) as ours:
        assert ours.sensor is not None
        block = ours.sensor.read(10, 12)
        assert block.shape == (2, 7, 5)
        assert block.base is None or block.base.nbytes == block.nbytes
        assert block.dtype == np.int16


@pytest.mark.parametrize("missing", ["SensorMeta", "ChannelMeta"])
def test_one_streams_tick_is_enough(copy: Path, missing: str) -> None:
    with h5py.File(copy, "r+") as file:
        stream = "Sensor Data" if missing == "SensorMeta" else "Analog Data"
        del file["Acquisition"][stream][missing]
    with cmcr.open_recording(copy) as ours:
        assert ours.acquisition_rate == 20000
        assert missing not in ours.meta


def test_rate_falls_back_on_the_duration(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        del file["Acquisition/Sensor Data/SensorMeta"], file["Acquisition/Analog Data/ChannelMeta"]
        samples = file["Acquisition/Analog Data/ChannelData 1"].shape[1]
        file.attrs["LB.RecordingDuration"] = np.array([samples * 100])
    with cmcr.open_recording(copy) as ours:
        assert ours.acquisition_rate == 10000


def test_rate_is_unknown_where_the_file_does_not_tell(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        del file["Acquisition/Sensor Data/SensorMeta"], file["Acquisition/Analog Data/ChannelMeta"]
        del file.attrs["LB.RecordingDuration"]
    with cmcr.open_recording(copy) as ours:
        assert ours.acquisition_rate is None


def test_meta_without_tick_and_with_other_fields(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        for stream, name in (("Sensor Data", "SensorMeta"), ("Analog Data", "ChannelMeta")):
            group = file["Acquisition"][stream]
            del group[name]
            group[name] = np.array([(3, b"x")], [("Other", "i4"), ("Label", "S4")])
    with cmcr.open_recording(copy) as ours:
        assert ours.acquisition_rate == 20000  # by the duration
        assert ours.meta["SensorMeta"] == {"Other": 3, "Label": "x"}


def test_recording_without_sensor_stream(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        del file["Acquisition/Sensor Data"]
    with cmcr.open_recording(copy) as ours:
        assert ours.sensor is None
        assert set(ours.channels) == {"ch1", "ch2"}


def test_recording_without_analog_stream_has_the_sensors_length(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        del file["Acquisition/Analog Data"]
    with cmcr.open_recording(copy) as ours:
        assert ours.channels == {}
        assert ours.sample_count == 6000


def test_streams_of_another_name_are_found_by_their_type(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file.move("Acquisition/Sensor Data", "Acquisition/Sensor Data (2)")
        file.move("Acquisition/Analog Data", "Acquisition/Auxiliary")
    with cmcr.open_recording(copy) as ours:
        assert ours.sensor is not None
        assert set(ours.channels) == {"ch1", "ch2"}


def test_further_regions_are_left_with_a_warning(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    with h5py.File(copy, "r+") as file:
        file["Acquisition/Sensor Data"].create_dataset("SensorData 1 2", (3, 2, 2), "i2")
        file["Acquisition/Sensor Data"].create_dataset("SensorData 10 1", (3, 2, 2), "i2")
    with caplog.at_level(logging.WARNING, "hdmea"), cmcr.open_recording(copy) as ours:
        assert ours.sensor is not None
        assert ours.sensor.shape == (6000, 7, 5)
    assert "3 parts" in caplog.text


def _without_acquisition(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["Acquisition"]


def _without_streams(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["Acquisition/Sensor Data"], file["Acquisition/Analog Data"]


def _with_two_clocks(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        meta = file["Acquisition/Sensor Data/SensorMeta"]
        meta["Tick"] = np.array([100])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b""), r"it is not an HDF5 file, or its beginning is lost"),
        (lambda path: path.write_bytes(b"not HDF5 at all" * 100), r"it is not an HDF5 file, or its beginning is lost"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), r"it is cut short: \d+ bytes are left"),
        (_without_acquisition, r"is no \.cmcr file: it has no group /Acquisition"),
        (_without_streams, "holds neither sensor nor analog data"),
        (_with_two_clocks, "streams of different rates: Sensor Data 10000 Hz, Analog Data "),
    ],
    ids=["empty", "text", "truncated", "no acquisition", "no streams", "two clocks"],
)
def test_what_is_no_such_file_is_refused(copy: Path, spoil: Any, reason: str) -> None:
    spoil(copy)
    with pytest.raises(DataLoadError, match=reason) as caught:
        cmcr.open_recording(copy)
    assert caught.value.file_path == copy
    assert str(copy) in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        cmcr.open_recording(tmp_path / "absent.cmcr")


def test_refused_file_is_closed_again(copy: Path) -> None:
    _without_streams(copy)
    with pytest.raises(DataLoadError):
        cmcr.open_recording(copy)
    with h5py.File(copy, "r+") as file:
        assert "Acquisition" in file
