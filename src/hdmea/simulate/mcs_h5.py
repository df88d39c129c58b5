"""Writes simulated recordings as MCS-HDF5 files (`.h5`), as Multi Channel DataManager makes them of MEA2100 systems.

What is recorded: noise of the amplifier, spikes in the background and in plane waves that cross the array, and a
trigger that is raised once a frame of a display.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from hdmea.io.mcs_h5.grids import ElectrodeGrid, grid_labels
from hdmea.simulate.mcs_files import MICROSECONDS, tick_us

ARRAYS = {60: (8, "60MEA200/30iR-Ti", 200.0), 120: (12, "120MEA100/30iR-Ti", 100.0), 252: (16, "256MEA200/30iR", 200.0)}
NO_GUID = "00000000-0000-0000-0000-000000000000"
PRE_US, POST_US = 1000, 2000
NOISE_V, SPIKE_V = 4e-6, 60e-6
FRAME_RATE_HZ = 60.0
CHUNK_SAMPLES = 2048
BLOCK_SAMPLES = 1 << 17
_TEXT = h5py.string_dtype("ascii")
_SAMPLED = [
    *(("Label", _TEXT), ("RawDataType", _TEXT), ("Unit", _TEXT)),
    *(("Exponent", "<i4"), ("ADZero", "<i4"), ("Tick", "<i8"), ("ConversionFactor", "<i8")),
    *(("HighPassFilterType", _TEXT), ("HighPassFilterCutOffFrequency", _TEXT), ("HighPassFilterOrder", "<i4")),
    *(("LowPassFilterType", _TEXT), ("LowPassFilterCutOffFrequency", _TEXT), ("LowPassFilterOrder", "<i4")),
]
_NO_FILTER = ("", "-1", -1, "", "-1", -1)
_SOURCES = [("SourceChannelIDs", _TEXT), ("SourceChannelLabels", _TEXT)]
CHANNEL_INFO = np.dtype([("ChannelID", "<i4"), ("RowIndex", "<i4"), ("GroupID", "<i4"), *_SAMPLED])
SOURCE_INFO = np.dtype([("ChannelID", "<i4"), ("GroupID", "<i4"), *_SAMPLED])
EVENT_INFO = np.dtype(
    [
        *(("EventID", "<i4"), ("GroupID", "<i4"), ("Label", _TEXT), ("RawDataType", _TEXT), ("RawDataBytes", "<i4")),
        *_SOURCES,
    ]
)
SEGMENT_INFO = np.dtype(
    [
        *(("SegmentID", "<i4"), ("GroupID", "<i4"), ("Label", _TEXT), ("PreInterval", "<i8"), ("PostInterval", "<i8")),
        *(("SegmentType", _TEXT), _SOURCES[0]),
    ]
)
STAMP_INFO = np.dtype(
    [
        *(("TimeStampEntityID", "<i4"), ("GroupID", "<i4"), ("Label", _TEXT), ("Unit", _TEXT), ("Exponent", "<i4")),
        *_SOURCES,
    ]
)


@dataclass(frozen=True, kw_only=True)
class McsH5Options:
    """Options of an MCS-HDF5 file that is written.

    Attributes
    ----------
    protocol, info_version : int
        Of the file, and of its tables.
    exponent, conversion_factor, ad_zero : int
        What a count means: (counts - ad_zero) · conversion_factor · 10^exponent volts.
    gaps_s : sequence of (float, float)
        From and to, in seconds, in which nothing was recorded.
    start_us : int
        Time of the first sample, in microseconds.
    transposed_stamps : bool
        Time stamps of segments as (3, segments), without names of columns.
    wave_interval_s : float or None
        Seconds between waves; None for none.
    wave_speed_um_s, background_hz : float
        Of the waves' fronts, in µm/s; spikes of each electrode, in Hz.
    compression : str or None
        Of the samples.

    Examples
    --------
    >>> from hdmea.simulate import McsH5Options
    >>> McsH5Options(gaps_s=[(1.0, 1.5)]).exponent
    -12
    """

    protocol: int = 1
    info_version: int = 1
    exponent: int = -12
    conversion_factor: int = 59605
    ad_zero: int = 0
    gaps_s: Sequence[tuple[float, float]] = ()
    start_us: int = 0
    transposed_stamps: bool = False
    wave_interval_s: float | None = 30.0
    wave_speed_um_s: float = 300.0
    background_hz: float = 0.5
    compression: str | None = "gzip"


@dataclass(frozen=True)
class SimulatedMcsH5:
    """Simulated MCS-HDF5 file, and its truth.

    Attributes
    ----------
    path : Path
        The file.
    labels : list of str
        Of the electrodes, in the order of the rows.
    sampling_rate : float
        Hz.
    spikes_us : list of dict
        For each recording the times (int64, microseconds) of each electrode's spikes, by label.
    waves_s : list of (waves,) float64
        For each recording when each wave begins, in seconds.
    frames_us : list of (frames,) int64
        For each recording when frames begin, in microseconds.

    Examples
    --------
    >>> from hdmea.simulate import simulate_mcs_h5
    >>> simulate_mcs_h5("slice.h5", duration_s=0.5).labels[:3]
    ['12', '13', '14']
    """

    path: Path
    labels: list[str]
    sampling_rate: float
    spikes_us: list[dict[str, npt.NDArray[np.int64]]] = field(repr=False)
    waves_s: list[npt.NDArray[np.float64]] = field(repr=False)
    frames_us: list[npt.NDArray[np.int64]] = field(repr=False)


def simulate_mcs_h5(
    path: str | os.PathLike[str],
    *,
    n_electrodes: int = 60,
    sampling_rate: float = 25_000.0,
    duration_s: float = 10.0,
    recordings: int = 1,
    seed: int = 0,
    options: McsH5Options | None = None,
) -> SimulatedMcsH5:
    """Write a recording of an array of 60, 120 or 252 electrodes with streams of every kind but frames.

    Parameters
    ----------
    path : path
        The file; one that is there is replaced.
    n_electrodes : int
        60, 120 or 252.
    sampling_rate : float
        Hz; a sample must last a whole number of microseconds.
    duration_s : float
        Seconds of each recording.
    recordings : int
        How many.
    seed : int
        The same seed gives the same values.
    options : McsH5Options, optional
        How the file is written.

    Returns
    -------
    SimulatedMcsH5
        The file and the truth.

    Raises
    ------
    ValueError
        An array or a rate that there is not.

    Examples
    --------
    >>> from hdmea.simulate import simulate_mcs_h5
    >>> made = simulate_mcs_h5("slice.h5", duration_s=2.0)
    >>> len(made.labels), len(made.spikes_us)
    (60, 1)
    """
    if n_electrodes not in ARRAYS:
        raise ValueError(f"n_electrodes must be one of {', '.join(map(str, ARRAYS))}, not {n_electrodes}")
    options = options or McsH5Options()
    side, name, pitch = ARRAYS[n_electrodes]
    array = _Array(grid_labels(side), ElectrodeGrid(side, pitch), name, tick_us(sampling_rate))
    truth = SimulatedMcsH5(Path(path), array.labels, sampling_rate, [], [], [])
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        file.attrs["McsHdf5ProtocolType"] = np.bytes_(b"RawData")
        file.attrs["McsHdf5ProtocolVersion"] = np.int32(options.protocol)
        data = file.create_group("Data")
        for attribute, text in _array_attributes(array).items():
            data.attrs[attribute] = np.bytes_(text)
        data.attrs["DateInTicks"] = np.int64(638396640000000000)  # 2024-01-01 00:00
        for number in range(recordings):
            _write_recording(data.create_group(f"Recording_{number}"), number, array, duration_s, options, truth, rng)
    return truth


@dataclass(frozen=True)
class _Array:
    labels: list[str]
    grid: ElectrodeGrid
    name: str
    tick_us: int

    def positions_um(self) -> npt.NDArray[np.float64]:
        """(electrodes, 2): x along columns, y along rows."""
        places = [position for label in self.labels if (position := self.grid.place(label)) is not None]
        return (np.array(places, np.float64)[:, ::-1] - 1) * (self.grid.pitch_um or 0.0)


def _array_attributes(array: _Array) -> dict[str, bytes]:
    padded = {"MeaName": array.name, "MeaLayout": array.name, "ProgramName": "hdmea.simulate", "ProgramVersion": "1"}
    about = {key: f"{text:<40}\r\n".encode() for key, text in padded.items()}  # filled up as the vendor's program does
    return {**about, "Date": b"1 January 2024", "FileGUID": NO_GUID.encode(), "MeaSN": b"", "Comment": b""}


def _write_recording(
    group: h5py.Group,
    number: int,
    array: _Array,
    duration_s: float,
    options: McsH5Options,
    truth: SimulatedMcsH5,
    rng: np.random.Generator,
) -> None:
    segments = _segments(duration_s, array.tick_us, options)
    spikes, waves = _spike_times(array, duration_s, segments, options, rng)
    frames = options.start_us + np.arange(0, duration_s * MICROSECONDS, MICROSECONDS / FRAME_RATE_HZ).astype(np.int64)
    frames -= (frames - options.start_us) % array.tick_us
    frames = frames[_index_of(frames, segments, array.tick_us) >= 0]
    truth.spikes_us.append(dict(zip(array.labels, spikes, strict=True)))
    truth.waves_s.append(waves)
    truth.frames_us.append(frames)
    values = {"Comment": b"", "Label": f"slice {number}".encode(), "RecordingType": b""}
    for name, text in values.items():
        group.attrs[name] = np.bytes_(text)
    group.attrs["RecordingID"] = np.int32(number)
    group.attrs["TimeStamp"] = np.int64(0)
    group.attrs["Duration"] = np.int64(duration_s * MICROSECONDS)
    guids = {
        name: str(uuid.UUID(bytes=rng.bytes(16), version=4)) for name in ("raw", "trigger", "event", "cut", "stamp")
    }
    writer = _StreamWriter(group, array, options, segments)
    writer.electrodes(guids["raw"], _voltages(array, segments, spikes, options, rng))
    writer.trigger(guids["trigger"], frames)
    writer.events(guids["event"], guids["trigger"], frames)
    writer.cutouts(guids["cut"], guids["raw"], spikes)
    writer.time_stamps(guids["stamp"], guids["raw"], spikes)


# ---------------------------------------------------------------- what is recorded

Segments = npt.NDArray[np.int64]  # (segments, 3): first time in µs, first index, last index


def _segments(duration_s: float, tick: int, options: McsH5Options) -> Segments:
    edges = [0.0, *(edge for gap in options.gaps_s for edge in gap), duration_s]
    rows, first = [], 0
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        begin, end = (round(edge * MICROSECONDS / tick) for edge in (start, stop))
        rows.append((options.start_us + begin * tick, first, first + end - begin - 1))
        first += end - begin
    return np.array(rows, np.int64)


def _index_of(times_us: npt.NDArray[np.int64], segments: Segments, tick: int) -> npt.NDArray[np.int64]:
    """Index of the sample at each time; -1 in a gap."""
    index_at = np.full(len(times_us), -1)
    for start, first, last in segments:
        index = first + (times_us - start) // tick
        inside = (times_us >= start) & (index <= last)
        index_at[inside] = index[inside]
    return index_at


def _spike_times(
    array: _Array, duration_s: float, segments: Segments, options: McsH5Options, rng: np.random.Generator
) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.float64]]:
    """Times in µs of each electrode's spikes, on samples whose cut-outs are within the recording, and of waves."""
    interval = options.wave_interval_s
    waves = np.empty(0) if interval is None else np.arange(interval / 3, duration_s, interval)
    angles = rng.uniform(0, 2 * np.pi, len(waves))
    positions = array.positions_um()
    spikes = []
    for position in positions:
        times = rng.uniform(0, duration_s, rng.poisson(options.background_hz * duration_s))
        for start, angle in zip(waves, angles, strict=True):
            along = positions @ [np.cos(angle), np.sin(angle)]
            onset = start + (position @ [np.cos(angle), np.sin(angle)] - along.min()) / options.wave_speed_um_s
            times = np.concatenate([times, onset + np.sort(rng.exponential(0.4, rng.poisson(20)))])
        samples = np.unique(np.round(times * MICROSECONDS / array.tick_us)).astype(np.int64)
        spaced = samples[np.diff(samples, prepend=-(10**9)) * array.tick_us > PRE_US + POST_US]
        stamps = options.start_us + spaced * array.tick_us
        before, after = (_index_of(stamps + shift, segments, array.tick_us) for shift in (-PRE_US, POST_US))
        whole = (before >= 0) & (after - before == (PRE_US + POST_US) // array.tick_us)
        spikes.append(stamps[whole])
    return spikes, waves


def _shape(tick: int) -> npt.NDArray[np.float64]:
    """The voltage of a spike, in volts, from `PRE_US` before its time to `POST_US` after it."""
    t_ms = (np.arange((PRE_US + POST_US) // tick) * tick - PRE_US) / 1000
    return SPIKE_V * (0.35 * np.exp(-((t_ms - 0.5) ** 2) / 0.1) - np.exp(-(t_ms**2) / 0.02))


def _voltages(
    array: _Array,
    segments: Segments,
    spikes: list[npt.NDArray[np.int64]],
    options: McsH5Options,
    rng: np.random.Generator,
) -> Iterator[npt.NDArray[np.int32]]:
    """Blocks (electrodes, samples) of counts."""
    shape, step = _shape(array.tick_us), options.conversion_factor * 10.0**options.exponent
    before = PRE_US // array.tick_us
    at = [_index_of(train, segments, array.tick_us) - before for train in spikes]
    total = int(segments[-1, 2]) + 1
    for start in range(0, total, BLOCK_SAMPLES):
        stop = min(start + BLOCK_SAMPLES, total)
        volts = rng.normal(0, NOISE_V, (len(spikes), stop - start))
        for row, first in enumerate(at):
            near = first[(first < stop) & (first + len(shape) > start)]
            for index in near.tolist():
                low, high = max(index, start), min(index + len(shape), stop)
                volts[row, low - start : high - start] += shape[low - index : high - index]
        yield (np.rint(volts / step) + options.ad_zero).astype(np.int32)


# ---------------------------------------------------------------- streams


class _StreamWriter:
    """Writes the streams of one recording."""

    def __init__(self, group: h5py.Group, array: _Array, options: McsH5Options, segments: Segments) -> None:
        self._group, self._array, self._options, self._segments = group, array, options, segments
        self._samples = int(segments[-1, 2]) + 1

    def _stream(self, kind: str, subtype: str, label: str, guid: str, source: str) -> h5py.Group:
        parent = self._group.require_group(f"{kind}Stream")
        stream = parent.create_group(f"Stream_{len(parent)}")
        texts = {"DataSubType": subtype, "Label": f"{label:<42}\r\n", "StreamType": kind}
        for name, text in {**texts, "StreamGUID": guid, "SourceStreamGUID": source}.items():
            stream.attrs[name] = np.bytes_(text.encode())
        stream.attrs["StreamInfoVersion"] = np.int32(1)
        return stream

    def _table(self, stream: h5py.Group, name: str, rows: Sequence[tuple[Any, ...]], dtype: np.dtype[Any]) -> None:
        table = stream.create_dataset(name, (len(rows),), dtype)
        table[...] = np.array(list(rows), dtype)
        table.attrs["InfoVersion"] = np.int32(self._options.info_version)

    def _scale(self) -> tuple[Any, ...]:
        options = self._options
        return (
            "Int",
            "V",
            options.exponent,
            options.ad_zero,
            self._array.tick_us,
            options.conversion_factor,
            *_NO_FILTER,
        )

    def _samples_of(self, stream: h5py.Group, rows: int) -> h5py.Dataset:
        shape = (rows, self._samples)
        stamps = self._segments.T if self._options.transposed_stamps else self._segments
        table = stream.create_dataset("ChannelDataTimeStamps", data=stamps)
        if not self._options.transposed_stamps:
            for column, name in enumerate((b"FirstTimeStamp", b"FirstIndex", b"LastIndex")):
                table.attrs[f"Column-{column}"] = np.bytes_(name)
        chunks = (rows, min(CHUNK_SAMPLES, self._samples))
        kwargs = {"chunks": chunks, "maxshape": (rows, None), "compression": self._options.compression}
        return stream.create_dataset("ChannelData", shape, np.int32, **kwargs)

    def electrodes(self, guid: str, blocks: Iterator[npt.NDArray[np.int32]]) -> None:
        """The electrodes' voltages."""
        stream = self._stream("Analog", "Electrode", "Data Acquisition (1) Electrode Raw Data", guid, NO_GUID)
        data = self._samples_of(stream, len(self._array.labels))
        start = 0
        for block in blocks:
            data[:, start : start + block.shape[1]] = block
            start += block.shape[1]
        rows = [(row, row, 0, label, *self._scale()) for row, label in enumerate(self._array.labels)]
        self._table(stream, "InfoChannel", rows[::-1], CHANNEL_INFO)

    def trigger(self, guid: str, frames_us: npt.NDArray[np.int64]) -> None:
        """A digital channel that is 1 for two milliseconds from each frame on."""
        stream = self._stream("Analog", "Digital", "Data Acquisition (1) Digital Data", guid, NO_GUID)
        data = self._samples_of(stream, 1)
        level = np.zeros(self._samples, np.int32)
        for index in _index_of(frames_us, self._segments, self._array.tick_us).tolist():
            level[index : index + 2000 // self._array.tick_us] = 1
        data[0] = level
        row = (len(self._array.labels), 0, 0, "1", "Int", "NoUnit", 0, 0, self._array.tick_us, 0, *_NO_FILTER)
        self._table(stream, "InfoChannel", [row], CHANNEL_INFO)

    def events(self, guid: str, source: str, frames_us: npt.NDArray[np.int64]) -> None:
        """The frames as events."""
        stream = self._stream("Event", "DigitalPort", "Digital Events 1", guid, source)
        events = np.stack([frames_us, np.zeros_like(frames_us)])
        stream.create_dataset("EventEntity_0", data=events, **_compressed(events))
        row = (0, 0, "", "Int", 4, str(len(self._array.labels)), f"{'1':<42}\r\n")
        self._table(stream, "InfoEvent", [row], EVENT_INFO)

    def cutouts(self, guid: str, source: str, spikes: list[npt.NDArray[np.int64]]) -> None:
        """Cut-outs of the spikes, read back from the electrodes' stream."""
        stream = self._stream("Segment", "Spike", "Spike Detector (1) Spike Data", guid, source)
        data = self._group["AnalogStream/Stream_0/ChannelData"]
        length, before = (PRE_US + POST_US) // self._array.tick_us, PRE_US // self._array.tick_us
        cut = [np.zeros((length, len(train)), np.int32) for train in spikes]
        at = [_index_of(train, self._segments, self._array.tick_us) - before for train in spikes]
        for start in range(0, self._samples, BLOCK_SAMPLES):
            stop = min(start + BLOCK_SAMPLES, self._samples)
            block = data[:, start : min(stop + length, self._samples)]
            for row, first in enumerate(at):
                for n in np.flatnonzero((first >= start) & (first < stop)).tolist():
                    cut[row][:, n] = block[row, first[n] - start : first[n] - start + length]
        for row, train in enumerate(spikes):
            stream.create_dataset(f"SegmentData_{row}", data=cut[row], **_compressed(cut[row]))
            stream.create_dataset(f"SegmentData_ts_{row}", data=train[None], **_compressed(train[None]))
        order = range(len(spikes))[::-1]  # as in the vendor's files
        rows = [(row, 0, "", PRE_US, POST_US, "Cutout", str(row)) for row in order]
        self._table(stream, "InfoSegment", rows, SEGMENT_INFO)
        self._table(
            stream, "SourceInfoChannel", [(n, 0, self._array.labels[n], *self._scale()) for n in order], SOURCE_INFO
        )

    def time_stamps(self, guid: str, source: str, spikes: list[npt.NDArray[np.int64]]) -> None:
        """Times of the spikes."""
        stream = self._stream("TimeStamp", "NeuralSpike", "Spike Detector (1) Spike Timestamps", guid, source)
        for row, train in enumerate(spikes):
            stream.create_dataset(f"TimeStampEntity_{row}", data=train[None], **_compressed(train[None]))
        labels = [f"{label:<42}\r\n" for label in self._array.labels]
        rows = [(row, 0, "", "s", -6, str(row), labels[row]) for row in range(len(spikes))[::-1]]
        self._table(stream, "InfoTimeStamp", rows, STAMP_INFO)


def _compressed(data: npt.NDArray[Any]) -> dict[str, Any]:
    """A dataset without elements cannot be cut into chunks."""
    return {"compression": "gzip"} if data.size else {}
