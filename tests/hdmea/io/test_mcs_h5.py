"""MCS-HDF5 files: every stream as the vendor's own reader gives it, of a real file and of simulated ones."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hdmea.io import read_mcs
from hdmea.io.mcs_h5 import AverageEntity, McsRecording, SegmentEntity, is_mcs_h5
from hdmea.io.mcs_h5.grids import grid_labels, grid_of
from hdmea.simulate import McsH5Options, SimulatedMcsH5, simulate_mcs_h5
from hdmea.utils.exceptions import DataLoadError

pytestmark = pytest.mark.filterwarnings("ignore:Calling the getitem method:DeprecationWarning")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from McsPy.McsData import RawData


@pytest.fixture(scope="session")
def real_file(test_data: Path) -> Path:
    return next((test_data / "mcs").glob("*.h5"))


@pytest.fixture(scope="session")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> SimulatedMcsH5:
    """60 electrodes, two recordings with a gap each, a scale and a zero of its own."""
    options = McsH5Options(
        protocol=3, info_version=2, exponent=-9, conversion_factor=60, ad_zero=32768, gaps_s=[(0.5, 0.9)], start_us=4000
    )
    path = tmp_path_factory.mktemp("mcs") / "sixty.h5"
    return simulate_mcs_h5(path, duration_s=1.5, recordings=2, options=options, seed=1)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> SimulatedMcsH5:
    """252 electrodes at 50 kHz, time stamps of segments the other way round."""
    options = McsH5Options(protocol=1, transposed_stamps=True, gaps_s=[(0.1, 0.15), (0.2, 0.21)], background_hz=20)
    path = tmp_path_factory.mktemp("mcs") / "large.h5"
    return simulate_mcs_h5(path, n_electrodes=252, sampling_rate=50_000, duration_s=0.3, options=options, seed=2)


SLOW = 12  # two of so many are compared, as the vendor's reader takes its time


def oracle(path: Path) -> Iterator[tuple[McsRecording, Any]]:
    """Each recording as ours and as the vendor's reader has it."""
    theirs = RawData(str(path))
    ours = read_mcs(path)
    assert [one.number for one in ours.recordings] == sorted(theirs.recordings)
    for one in ours.recordings:
        yield one, theirs.recordings[one.number]
    theirs.h5_file.close()


def assert_equal_streams(path: Path) -> None:
    for ours, theirs in oracle(path):
        for stream in ours.analog_streams:
            other = theirs.analog_streams[stream.number]
            assert (stream.label, stream.data_subtype) == (other.label, other.data_subtype)
            assert stream.guid == str(other.stream_guid)
            for channel in stream.channels:
                info = other.channel_infos[channel.channel_id]
                assert (channel.row, channel.label) == (info.row_index, info.label)
                assert channel.sampling_frequency == pytest.approx(info.sampling_frequency.magnitude, rel=1e-12)
                if channel.row % SLOW > 1:
                    continue
                values, unit = other.get_channel(channel.channel_id)
                assert (channel.unit == "V") == (str(unit) == "volt")
                if channel.is_scaled:
                    np.testing.assert_array_equal(stream.read(channel.row), values)
        for stream in ours.event_streams:
            for event in stream:
                other = theirs.event_streams[stream.number].event_entity[event.id]
                np.testing.assert_array_equal([event.times, event.durations], other.get_events()[0])
                assert event.channel_ids == tuple(other.info.source_channel_ids)
        for stream in ours.segment_streams:
            assert len(stream) == len(theirs.segment_streams[stream.number].segment_entity)
            for number, segment in enumerate(stream):
                assert isinstance(segment, SegmentEntity)
                if number % SLOW > 1:
                    continue
                other = theirs.segment_streams[stream.number].segment_entity[segment.id]
                np.testing.assert_array_equal(segment.cutouts(), other.get_segment_in_range(0)[0])
                np.testing.assert_array_equal(segment.times, other.data_ts[0])
                assert (segment.pre_us, segment.post_us) == (
                    other.info.pre_interval.magnitude,
                    other.info.post_interval.magnitude,
                )
                assert segment.channels[0].label == other.info.source_channel_of_segment[0].label
        for stream in ours.timestamp_streams:
            assert len(stream) == len(theirs.timestamp_streams[stream.number].timestamp_entity)
            for stamps in stream:
                other = theirs.timestamp_streams[stream.number].timestamp_entity[stamps.id]
                np.testing.assert_array_equal(stamps.times, np.ravel(other.get_timestamps()[0]))
                assert dict(zip(stamps.channel_ids, stamps.channel_labels, strict=True)) == (
                    other.info.source_channel_labels
                )


def test_every_stream_of_a_real_file_is_as_the_vendors_reader_gives_it(real_file: Path) -> None:
    assert_equal_streams(real_file)
    file = read_mcs(real_file)
    theirs = RawData(str(real_file))
    assert file.date == datetime(2014, 7, 9, 10, 17, 35, 172098)  # 635404978551720981 steps of 100 ns
    assert abs(file.date - theirs.date) < timedelta(microseconds=5)  # theirs is rounded to double precision
    assert (file.mea_layout, file.program) == ("Linear8", "Multi Channel Experimenter 0.9.8.2")
    assert [len(file.recordings[0].analog_streams), len(file.recordings[0].streams)] == [3, 6]


def test_times_of_samples_of_a_real_file_are_the_vendors(real_file: Path) -> None:
    for ours, theirs in oracle(real_file):
        for stream in ours.analog_streams:
            other = theirs.analog_streams[stream.number]
            expected, _ = other.get_channel_sample_timestamps(stream.channels[0].channel_id)
            np.testing.assert_array_equal(stream.times(), expected)
            np.testing.assert_array_equal(stream.times(17, 90), expected[17:90])
    assert read_mcs(real_file).recordings[0].analog_streams[1].times(0, 2).tolist() == [100_000, 102_000]


def test_streams_of_simulated_files_are_as_the_vendors_reader_gives_them(
    sixty: SimulatedMcsH5, large: SimulatedMcsH5
) -> None:
    assert_equal_streams(sixty.path)
    assert_equal_streams(large.path)


def test_two_recordings_and_their_gaps_are_kept_apart(sixty: SimulatedMcsH5) -> None:
    for number, recording in enumerate(read_mcs(sixty.path).recordings):
        stream = recording.analog_streams[0]
        assert [(one.start_us, one.first, one.stop) for one in stream.segments] == [
            (4000, 0, 12_500),
            (904_000, 12_500, 27_500),
        ]
        assert stream.times(12_499, 12_501).tolist() == [4000 + 12_499 * 40, 904_000]
        assert {one.label: one.times.tolist() for one in recording.segment_streams[0]} == {
            label: train.tolist() for label, train in sixty.spikes_us[number].items()
        }
    assert sixty.spikes_us[0].keys() == sixty.spikes_us[1].keys()
    first, second = (read_mcs(sixty.path).recordings[n].analog_streams[0].read(3) for n in (0, 1))
    assert not np.array_equal(first, second)


def test_time_stamps_of_segments_are_read_either_way_round(large: SimulatedMcsH5) -> None:
    segments = read_mcs(large.path).recordings[0].analog_streams[0].segments

    assert [(one.start_us, one.first, one.stop) for one in segments] == [
        (0, 0, 5000),
        (150_000, 5000, 7500),
        (210_000, 7500, 12_000),
    ]


def test_a_part_of_a_channel_blocks_of_all_and_counts(sixty: SimulatedMcsH5) -> None:
    stream = read_mcs(sixty.path).recordings[0].analog_streams[0]
    with h5py.File(sixty.path) as file:
        counts = file["Data/Recording_0/AnalogStream/Stream_0/ChannelData"][...]

    volts = (counts.astype(np.int64) - 32768) * (60 * 1e-9)
    np.testing.assert_allclose(stream.read(7, 100, 200), volts[7, 100:200], rtol=1e-14)
    np.testing.assert_array_equal(stream.read(7, 27_400, 99_999, counts=True), counts[7, 27_400:])
    np.testing.assert_allclose(np.concatenate(list(stream.blocks(6000)), axis=1), volts, rtol=1e-14)
    assert [block.shape[1] for block in stream.blocks(6000)] == [6000, 6000, 500, 6000, 6000, 3000]
    assert stream.channel("12").row == 0
    with pytest.raises(KeyError, match="no channel '99'"):
        stream.channel("99")
    with pytest.raises(IndexError, match="rows 0 to 59, not 60"):
        stream.read(60)
    with pytest.raises(ValueError, match="must not be negative"):
        stream.read(0, -5, 10)


def test_a_digital_channel_is_counts(sixty: SimulatedMcsH5) -> None:
    digital = read_mcs(sixty.path).recordings[0].analog_streams[1]

    assert digital.channels[0].unit == "NoUnit"
    assert set(digital.read(0).tolist()) == {0, 1}
    assert digital.read(0).dtype == np.int32


def test_cut_outs_of_several_channels_either_way_round_and_averages(sixty: SimulatedMcsH5, tmp_path: Path) -> None:
    path = shutil.copy(sixty.path, tmp_path / "cubes.h5")
    rng = np.random.default_rng(0)
    cube = rng.integers(-99, 99, (2, 75, 4)).astype(np.int32)
    means = rng.integers(-99, 99, (2, 75, 3)).astype(np.int32)
    with h5py.File(path, "r+") as file:
        stream = file["Data/Recording_0/SegmentStream/Stream_0"]
        info = stream["InfoSegment"][...]
        for number, data in ((0, cube), (1, cube.swapaxes(0, 1))):
            info["SourceChannelIDs"][info["SegmentID"] == number] = b"4,9"
            del stream[f"SegmentData_{number}"], stream[f"SegmentData_ts_{number}"]
            stream[f"SegmentData_{number}"] = data
            stream[f"SegmentData_ts_{number}"] = np.array([[10, 20, 30, 40]])
        stream["InfoSegment"][...] = info
        stream.move("SourceInfoChannel", "SourceChannelInfo")  # as the protocol's text calls it
        file.copy(stream, "Data/Recording_0/SegmentStream/Stream_1")
        average = file["Data/Recording_0/SegmentStream/Stream_1"]
        average.attrs["DataSubType"] = np.bytes_(b"Average")
        average["AverageData_2"] = means
        average["AverageData_Range_2"] = np.array([[0, 100, 200], [100, 200, 300], [7, 8, 1]])

    recording = read_mcs(path).recordings[0]
    for number in (0, 1):
        segment = recording.segment_streams[0][number]
        assert isinstance(segment, SegmentEntity)
        assert [channel.channel_id for channel in segment.channels] == [4, 9]
        np.testing.assert_array_equal(segment.cutouts(counts=True), cube)
        np.testing.assert_allclose(segment.cutouts(1, 3), (cube[..., 1:3] - 32768) * 60e-9, rtol=1e-13)
    (only,) = recording.segment_streams[1]
    assert isinstance(only, AverageEntity)
    np.testing.assert_allclose(only.means, (means[0] - 32768) * 60e-9, rtol=1e-13)
    np.testing.assert_allclose(only.standard_deviations, means[1] * 60e-9, rtol=1e-13)
    assert only.ranges[2].tolist() == [7, 8, 1]


def test_frames_of_a_sensor_array(sixty: SimulatedMcsH5, tmp_path: Path) -> None:
    path = shutil.copy(sixty.path, tmp_path / "frames.h5")
    counts = np.random.default_rng(0).integers(-999, 999, (5, 4, 30)).astype(np.int16)
    factors = np.arange(20, dtype=np.int32).reshape(5, 4) + 100
    fields = ["FrameID", "FrameDataID", "GroupID", "Exponent", "ADZero", "Tick", "SensorSpacing"]
    places = ["FrameLeft", "FrameTop", "FrameRight", "FrameBottom"]
    dtype = np.dtype(
        [(name, "<i8" if name == "Tick" else "<i4") for name in [*fields, *places, *(f"Reference{p}" for p in places)]]
        + [("Unit", h5py.string_dtype("ascii")), ("Label", h5py.string_dtype("ascii"))]
    )
    row = np.zeros(1, dtype)
    row[["FrameID", "FrameDataID", "Exponent", "ADZero", "Tick"]] = [(1, 3, -9, 5, 50)]
    row["Unit"], row["Label"] = b"V", b""
    with h5py.File(path, "r+") as file:
        stream = file.create_group("Data/Recording_0/FrameStream/Stream_0")
        for name, value in file["Data/Recording_0/AnalogStream/Stream_0"].attrs.items():
            stream.attrs[name] = value
        stream.create_dataset("InfoFrame", data=row, dtype=dtype).attrs["InfoVersion"] = np.int32(1)
        entity = stream.create_group("FrameDataEntity_3")
        entity["FrameData"], entity["ConversionFactors"] = counts, factors
        entity["FrameDataTimeStamps"] = np.array([[1000, 0, 9], [9000, 10, 29]])

    (frames,) = read_mcs(path).recordings[0].frame_streams[0]
    vendor = RawData(str(path))  # closes its file when it is let go
    theirs = vendor.recordings[0].frame_streams[0].frame_entity[1]
    np.testing.assert_array_equal(frames.read(4, 1, 3, 21), theirs.get_sensor_signal(4, 1, 3, 20)[0])
    np.testing.assert_array_equal(frames.times(), theirs.get_frame_timestamps(0, 29)[0])
    assert frames.times(8, 12).tolist() == [1400, 1450, 9000, 9050]


def test_labels_of_the_vendors_grids() -> None:
    sixty, large, middle = grid_labels(8), grid_labels(16), grid_labels(12)

    assert (len(sixty), len(middle), len(large)) == (60, 120, 252)
    assert not {"11", "18", "81", "88"} & set(sixty)
    assert {"12", "21", "47", "87"} <= set(sixty)
    assert not {"A1", "A16", "R1", "R16"} & set(large)
    assert {"A2", "R15", "J8"} <= set(large)
    assert not any(label[0] in "IQ" for label in large)
    assert {"D1", "A4", "M9", "J12"} <= set(middle)
    assert not {"A1", "A3", "C1", "B2", "M12"} & set(middle)


@pytest.mark.parametrize(
    ("layout", "name", "labels", "expected"),
    [
        ("60MEA200/30iR-Ti", "", ["12", "87"], (8, 200.0)),
        ("", "60PedotMEA100/30iR", ["12"], (8, 100.0)),
        ("8x8", "60EcoMEA", ["47"], (8, None)),
        ("256MEA100/30", "", ["A2", "R15"], (16, 100.0)),
        ("120MEA200/30", "", ["D1"], (12, 200.0)),
        ("Linear8", "Linear8", ["E1", "E8"], None),
        ("60HexaMEA40/10", "", ["12"], None),
        ("60MEA500/30", "", ["12"], None),
        ("60MEA200/30", "", ["12", "Ref"], None),
        ("60MEA200/30", "", ["A1"], None),
        ("", "", ["12"], None),
    ],
)
def test_only_the_vendors_squares_give_places(
    layout: str, name: str, labels: list[str], expected: tuple[int, float | None] | None
) -> None:
    grid = grid_of(layout, name, labels)

    assert (None if grid is None else (grid.side, grid.pitch_um)) == expected


def test_the_first_digit_is_the_column() -> None:
    grid = grid_of("60MEA200/30", "", ["21"])
    assert grid is not None
    assert grid.place("27") == (7, 2)
    large = grid_of("256MEA200/30", "", ["R15"])
    assert large is not None
    assert (large.place("J3"), large.place("R15"), large.place("I3"), large.place("27")) == (
        (3, 9),
        (15, 16),
        None,
        None,
    )


def test_other_files_are_refused_by_what_they_are(tmp_path: Path, sixty: SimulatedMcsH5) -> None:
    waves, empty = tmp_path / "waves.h5", tmp_path / "empty.h5"
    with h5py.File(waves, "w") as file:
        file["spikes"], file["sCount"] = np.arange(3.0), [3]
    h5py.File(empty, "w").close()
    text, cut = tmp_path / "text.h5", tmp_path / "cut.h5"
    text.write_text("no HDF5")
    cut.write_bytes(sixty.path.read_bytes()[:4000])
    other = shutil.copy(sixty.path, tmp_path / "other.h5")
    with h5py.File(other, "r+") as file:
        file.attrs["McsHdf5ProtocolType"] = np.bytes_(b"CMOS_MEA")

    for path, what in (
        (waves, "retinal-wave layout"),
        (empty, "an empty HDF5 file"),
        (other, "protocol 'CMOS_MEA'"),
        (text, "text.h5"),
        (cut, "cut.h5"),
    ):
        with pytest.raises(DataLoadError, match=what):
            read_mcs(path)
        assert not is_mcs_h5(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_mcs(tmp_path / "none.h5")


def test_damage_is_told_with_the_file_and_the_place(sixty: SimulatedMcsH5, tmp_path: Path) -> None:
    path = shutil.copy(sixty.path, tmp_path / "damaged.h5")
    with h5py.File(path, "r+") as file:
        stream = file["Data/Recording_0/AnalogStream/Stream_0"]
        table = stream["InfoChannel"][...]
        table["RowIndex"][0] = 7
        stream["InfoChannel"][...] = table
        file["Data/Recording_0/TimeStampStream/Stream_0"].move("InfoTimeStamp", "gone")
        file["Data/Recording_0/AnalogStream/Stream_1/ChannelDataTimeStamps"][0, 2] = 10**6

    recording = read_mcs(path).recordings[0]
    with pytest.raises(DataLoadError, match=r"damaged.h5: InfoChannel .* does not name each row"):
        recording.analog_streams[0].read(0)
    with pytest.raises(DataLoadError, match=r"damaged.h5.* lacks its table InfoTimeStamp"):
        len(recording.timestamp_streams[0])
    with pytest.raises(DataLoadError, match=r"time stamps .* do not fit"):
        recording.analog_streams[1].times()


def test_random_cuts_and_bytes_end_in_data_or_an_error_of_ours(sixty: SimulatedMcsH5, tmp_path: Path) -> None:
    whole = bytearray(sixty.path.read_bytes())
    rng = np.random.default_rng(5)
    path = tmp_path / "mutant.h5"
    messages = []
    for trial in range(60):
        data = bytearray(whole)
        if trial % 3 == 0:
            del data[int(rng.integers(1, len(data))) :]
        else:
            for place in rng.integers(0, min(len(data), 200_000), 30):
                data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            for recording in read_mcs(path).recordings:
                _ = [(stream.channels, stream.segments, stream.read(0, 0, 50)) for stream in recording.analog_streams]
                _ = [
                    entity.times
                    for streams in (recording.event_streams, recording.segment_streams, recording.timestamp_streams)
                    for stream in streams
                    for entity in stream
                    if not isinstance(entity, AverageEntity)
                ]
        except DataLoadError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert all(os.fspath(path) in message for message in messages)
