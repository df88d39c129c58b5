"""The streams of a recording: analog channels, frames, events, cut-outs and spike times. Data are read when used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from h5burst import Array, Group, LazyArray
from hdmea.io import mcs_format
from hdmea.io.mcs_h5 import records
from hdmea.io.mcs_h5.records import McsChannel, McsSegment
from hdmea.utils.exceptions import DataLoadError

KIND = "MCS-HDF5"
BLOCK_BYTES = 16 << 20  # of values that are read at once where nobody says otherwise
MICROSECOND_EXPONENT = -6
AVERAGE = "Average"  # the subtype of a segment stream whose entities are averages

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class McsStream:
    """Base of all streams.

    Attributes
    ----------
    name : str
        Its place in the recording, such as "AnalogStream/Stream_0".
    number : int
        K of its group `Stream_K`.
    label, data_subtype, stream_type : str
        As the vendor's software calls it.
    guid, source_guid : str
        Of the stream, and of the stream that it was made from.
    meta : dict
        All attributes of its group, as Python values.
    path : Path
        The file.
    """

    name: str
    number: int
    path: Path
    meta: Mapping[str, Any] = field(repr=False)
    group: Group = field(repr=False)

    @property
    def label(self) -> str:
        return records.text(self.meta.get("Label"))

    @property
    def guid(self) -> str:
        return records.text(self.meta.get("StreamGUID")).lower()

    @property
    def source_guid(self) -> str:
        return records.text(self.meta.get("SourceStreamGUID")).lower()

    @property
    def data_subtype(self) -> str:
        return records.text(self.meta.get("DataSubType"))

    @property
    def stream_type(self) -> str:
        return records.text(self.meta.get("StreamType"))


MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def _reads(method: MethodT) -> MethodT:
    """Turn what goes wrong while the method reads its file into `DataLoadError`."""

    @wraps(method)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        with mcs_format.reading(self.path, KIND):
            return method(self, *args, **kwargs)

    return cast("MethodT", guarded)


def _dataset(group: Group, name: str, path: Path) -> Array:
    """A dataset that holds something. `DataLoadError` where there is none."""
    node = group.children.get(name)
    if not isinstance(node, Array) or node.data is None:
        raise DataLoadError(f"{path}: a stream lacks its dataset {name}", path)
    return node


@dataclass(frozen=True, eq=False)
class AnalogStream(McsStream):
    """Channels that were sampled at one rate: (channels, samples) of counts.

    Attributes
    ----------
    channels : tuple of McsChannel
        By row of the data.
    segments : tuple of McsSegment
        Samples without a gap, and when each begins.
    sampling_frequency : float
        Hz.
    shape : (int, int)
        Channels and samples.
    """

    @cached_property
    @_reads
    def data(self) -> LazyArray:
        """Counts (channels, samples), read by slices."""
        data = _dataset(self.group, "ChannelData", self.path).data
        if not isinstance(data, LazyArray) or data.ndim != 2 or data.dtype.kind not in "iu":
            raise DataLoadError(f"{self.path}: ChannelData of {self.name} is not (channels, samples) of integers")
        return data

    @cached_property
    @_reads
    def channels(self) -> tuple[McsChannel, ...]:
        table = records.channels_of(self.group, "InfoChannel", self.path)
        by_row = sorted(table, key=lambda channel: channel.row)
        if [channel.row for channel in by_row] != list(range(self.data.shape[0])):
            raise DataLoadError(f"{self.path}: InfoChannel of {self.name} does not name each row of its data once")
        return tuple(by_row)

    @cached_property
    @_reads
    def segments(self) -> tuple[McsSegment, ...]:
        node = _dataset(self.group, "ChannelDataTimeStamps", self.path)
        return records.segments_of(node, self.data.shape[1], self.path)

    @property
    def shape(self) -> tuple[int, int]:
        channels, samples = self.data.shape
        return channels, samples

    @property
    def tick_us(self) -> float:
        """Microseconds a sample. `DataLoadError` where channels differ or there are none."""
        ticks = {channel.tick_us for channel in self.channels}
        if len(ticks) != 1:
            raise DataLoadError(f"{self.path}: channels of {self.name} have ticks of {sorted(ticks)} µs", self.path)
        return next(iter(ticks))

    @property
    def sampling_frequency(self) -> float:
        return mcs_format.MICROSECONDS / self.tick_us

    @property
    def end_us(self) -> float:
        """End of the last sample; 0 without samples."""
        return max((one.start_us + (one.stop - one.first) * self.tick_us for one in self.segments), default=0.0)

    def channel(self, label: str) -> McsChannel:
        """The channel of that label. `KeyError` lists those that there are."""
        for channel in self.channels:
            if channel.label == label:
                return channel
        raise KeyError(f"{self.name} has no channel {label!r}; it has {', '.join(one.label for one in self.channels)}")

    def read(self, row: int, start: int = 0, stop: int | None = None, *, counts: bool = False) -> npt.NDArray[Any]:
        """Samples [start, stop) of one row.

        Parameters
        ----------
        row : int
            Of the data, from 0: `channels[row]` says which channel it is.
        start, stop : int
            Indices of samples; default all. Beyond the end there are none.
        counts : bool
            The stored counts, not scaled.

        Returns
        -------
        (samples,) float64, or integers
            In the channel's `unit`, volts as a rule; counts where its conversion factor is 0, or asked for.

        Raises
        ------
        IndexError
            There is no such row.
        ValueError
            A negative start or stop.
        DataLoadError
            The file does not give them.
        """
        if not 0 <= row < self.shape[0]:
            raise IndexError(f"{self.name} has rows 0 to {self.shape[0] - 1}, not {row}")
        start, stop = records.checked_range(start, stop, self.shape[1])
        with mcs_format.reading(self.path, KIND):
            stored = np.asarray(self.data[row, start:stop])
        return stored if counts or not self.channels[row].is_scaled else self.channels[row].scaled(stored)

    def read_all(self, start: int = 0, stop: int | None = None, *, counts: bool = False) -> npt.NDArray[Any]:
        """Samples [start, stop) of all rows (channels, samples); counts where asked for, or where no row is scaled."""
        start, stop = records.checked_range(start, stop, self.shape[1])
        with mcs_format.reading(self.path, KIND):
            stored = np.asarray(self.data[:, start:stop])
        if counts or not any(channel.is_scaled for channel in self.channels):
            return stored
        return np.stack([channel.scaled(row) for channel, row in zip(self.channels, stored, strict=True)])

    def blocks(self, samples: int | None = None, *, counts: bool = False) -> Iterator[npt.NDArray[Any]]:
        """All rows in consecutive blocks (channels, at most `samples`), read one by one; none spans a gap."""
        step = samples or max(1, BLOCK_BYTES // (8 * max(self.shape[0], 1)))
        for segment in self.segments:
            for start in range(segment.first, segment.stop, step):
                yield self.read_all(start, min(start + step, segment.stop), counts=counts)

    def times(self, start: int = 0, stop: int | None = None) -> Ints:
        """Microseconds (int64) at which the samples [start, stop) were taken, as the file's time stamps say."""
        start, stop = records.checked_range(start, stop, self.shape[1])
        return records.sample_times(self.segments, self.tick_us, start, stop)


@dataclass(frozen=True, eq=False)
class FrameEntity:
    """Frames of one sensor array: (rows, columns, time) of counts."""

    id: int
    info: Mapping[str, Any] = field(repr=False)
    group: Group = field(repr=False)
    path: Path

    @cached_property
    @_reads
    def data(self) -> LazyArray:
        """Counts (rows, columns, time), read by slices."""
        data = _dataset(self.group, "FrameData", self.path).data
        if not isinstance(data, LazyArray) or data.ndim != 3:
            raise DataLoadError(f"{self.path}: FrameData has not the axes row, column and time", self.path)
        return data

    @cached_property
    @_reads
    def conversion_factors(self) -> npt.NDArray[Any]:
        """By row and column."""
        return np.asarray(_dataset(self.group, "ConversionFactors", self.path).data)

    @cached_property
    @_reads
    def segments(self) -> tuple[McsSegment, ...]:
        """Frames without a gap, and when each begins."""
        return records.segments_of(
            _dataset(self.group, "FrameDataTimeStamps", self.path), self.data.shape[2], self.path
        )

    @property
    def tick_us(self) -> float:
        """Microseconds a frame."""
        return float(self.info["Tick"])

    def read(self, row: int, column: int, start: int = 0, stop: int | None = None) -> Doubles:
        """Frames [start, stop) of one sensor, in the entity's unit (`info["Unit"]`, volts as a rule)."""
        start, stop = records.checked_range(start, stop, self.data.shape[2])
        with mcs_format.reading(self.path, KIND):
            counts = np.asarray(self.data[row, column, start:stop], np.int64)
            step = self.conversion_factors[row, column] * 10.0 ** int(self.info["Exponent"])
            return np.asarray((counts - int(self.info["ADZero"])) * step, np.float64)

    def times(self, start: int = 0, stop: int | None = None) -> Ints:
        """Microseconds (int64) of the frames [start, stop)."""
        start, stop = records.checked_range(start, stop, self.data.shape[2])
        return records.sample_times(self.segments, self.tick_us, start, stop)


@dataclass(frozen=True, eq=False)
class EventEntity:
    """Events of one source: when each began, and how long it was.

    id, label: of the entity; channel_ids, channel_labels: where the events come from; info: its row of the table.
    """

    id: int
    label: str
    channel_ids: tuple[int, ...]
    channel_labels: tuple[str, ...]
    info: Mapping[str, Any] = field(repr=False)
    stored: Any = field(repr=False)
    path: Path

    def __len__(self) -> int:
        return int(np.shape(self.stored)[1])

    @property
    def times(self) -> Ints:
        """Microseconds (int64)."""
        return self._row(0)

    @property
    def durations(self) -> Ints:
        """Microseconds (int64)."""
        return self._row(1)

    @_reads
    def _row(self, row: int) -> Ints:
        return np.asarray(self.stored[row], np.int64)


@dataclass(frozen=True, eq=False)
class TimeStampEntity(EventEntity):
    """Time stamps of one channel, or of one unit; as `EventEntity`, without durations."""

    @property
    def times(self) -> Ints:
        """Microseconds (int64), rounded where the file's unit is finer."""
        exponent = int(self.info.get("Exponent", MICROSECOND_EXPONENT)) - MICROSECOND_EXPONENT
        if records.text(self.info.get("Unit", "s")) not in ("s", ""):
            raise DataLoadError(f"{self.path}: time stamps in {self.info['Unit']!r}, not in seconds", self.path)
        stored = self._row(0)
        return stored * 10**exponent if exponent >= 0 else np.rint(stored / 10.0**-exponent).astype(np.int64)

    @property
    def durations(self) -> Ints:
        """Zeros: time stamps have none."""
        return np.zeros(len(self), np.int64)


@dataclass(frozen=True, eq=False)
class _Segments:
    """Base of cut-outs and of their averages."""

    id: int
    channels: tuple[McsChannel, ...]
    pre_us: int
    post_us: int
    info: Mapping[str, Any] = field(repr=False)
    stored: Any = field(repr=False)
    stamps: Any = field(repr=False)
    path: Path

    def __len__(self) -> int:
        return int(np.shape(self.stamps)[1])


class SegmentEntity(_Segments):
    """Cut-outs around events of one or more channels.

    Attributes
    ----------
    id : int
        The vendor's number.
    channels : tuple of McsChannel
        Where the cut-outs come from.
    pre_us, post_us : int
        How long a cut-out is before and after its time.
    times : (n,) int64
        Microseconds.
    """

    @property
    def label(self) -> str:
        """Labels of the channels."""
        return ", ".join(channel.label for channel in self.channels)

    @property
    @_reads
    def times(self) -> Ints:
        return np.asarray(self.stamps[0], np.int64)

    def cutouts(self, start: int = 0, stop: int | None = None, *, counts: bool = False) -> npt.NDArray[Any]:
        """The cut-outs [start, stop) in the channels' unit, volts as a rule, or in counts.

        Returns
        -------
        (samples, n) or, of several channels, (channels, samples, n)
            float64, or integers for counts.
        """
        start, stop = records.checked_range(start, stop, len(self))
        with mcs_format.reading(self.path, KIND):
            stored = np.asarray(self.stored[..., start:stop])
            if stored.ndim == 2:
                return stored if counts else self.channels[0].scaled(stored)
            if stored.shape[0] != len(self.channels) and stored.shape[1] == len(self.channels):
                stored = stored.swapaxes(0, 1)  # some files have the samples first
            if counts:
                return stored
            return np.stack([channel.scaled(one) for channel, one in zip(self.channels, stored, strict=True)])


class AverageEntity(_Segments):
    """Averages of cut-outs of one channel.

    id, channels, pre_us, post_us: as of `SegmentEntity`; ranges: (3, n) int64: from and to, in microseconds, and how
    many cut-outs each average is of.
    """

    @property
    @_reads
    def ranges(self) -> Ints:
        return np.asarray(self.stamps[...], np.int64)

    @property
    @_reads
    def means(self) -> Doubles:
        """(samples, n) in the channel's unit."""
        return np.asarray((np.asarray(self.stored[0]) - self.channels[0].ad_zero) * self.channels[0].step)

    @property
    @_reads
    def standard_deviations(self) -> Doubles:
        """(samples, n) in the channel's unit; 0 where there was one cut-out."""
        return np.asarray(np.asarray(self.stored[1]) * self.channels[0].step)


EntityT = TypeVar("EntityT")


@dataclass(frozen=True, eq=False)
class _EntityStream(McsStream, Sequence[EntityT], Generic[EntityT]):
    """A stream that is a sequence of entities, in ascending order of their numbers."""

    TABLE: ClassVar[str]
    NUMBER: ClassVar[str]

    @cached_property
    @_reads
    def entities(self) -> tuple[EntityT, ...]:
        rows = records.table_rows(self.group, self.TABLE, self.path)
        by_number = {int(row[self.NUMBER]): row for row in rows}
        entities = [self._entity(number, by_number[number]) for number in sorted(by_number)]
        return tuple(one for one in entities if one is not None)

    def _entity(self, number: int, row: Mapping[str, Any]) -> EntityT | None:
        raise NotImplementedError

    def _part(self, name: str, rows: int | None) -> Any:
        """A dataset of an entity; None where it was left out. `DataLoadError` for one of another shape."""
        if name not in self.group.children:
            return None
        data = _dataset(self.group, name, self.path).data
        shape = np.shape(cast("Any", data))
        if rows is not None and (len(shape) != 2 or shape[0] < rows):
            raise DataLoadError(f"{self.path}: {self.name}/{name} has shape {shape}, not ({rows}, n)", self.path)
        return data

    def __len__(self) -> int:
        return len(self.entities)

    @overload
    def __getitem__(self, index: int) -> EntityT: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[EntityT]: ...
    def __getitem__(self, index: int | slice) -> EntityT | Sequence[EntityT]:
        return self.entities[index]


ListedT = TypeVar("ListedT", bound=EventEntity)


class _ListedStream(_EntityStream[ListedT]):
    """A stream whose entities are tables of at least `ROWS` rows, in the datasets `PREFIX_{number}`."""

    ENTITY: type[ListedT]
    PREFIX: ClassVar[str]
    ROWS: ClassVar[int]

    def _entity(self, number: int, row: Mapping[str, Any]) -> ListedT | None:
        stored = self._part(f"{self.PREFIX}_{number}", self.ROWS)
        if stored is None:
            return None
        ids, labels = records.numbers(row.get("SourceChannelIDs")), records.labels(row.get("SourceChannelLabels"))
        return self.ENTITY(number, records.text(row.get("Label")), ids, labels, row, stored, self.path)


class EventStream(_ListedStream[EventEntity]):
    """A sequence of `EventEntity`."""

    TABLE, NUMBER = "InfoEvent", "EventID"
    ENTITY, PREFIX, ROWS = EventEntity, "EventEntity", 2


class TimeStampStream(_ListedStream[TimeStampEntity]):
    """A sequence of `TimeStampEntity`."""

    TABLE, NUMBER = "InfoTimeStamp", "TimeStampEntityID"
    ENTITY, PREFIX, ROWS = TimeStampEntity, "TimeStampEntity", 1


class FrameStream(_EntityStream[FrameEntity]):
    """A sequence of `FrameEntity`."""

    TABLE, NUMBER = "InfoFrame", "FrameDataID"

    def _entity(self, number: int, row: Mapping[str, Any]) -> FrameEntity | None:
        group = self.group.children.get(f"FrameDataEntity_{number}")
        return FrameEntity(number, row, group, self.path) if isinstance(group, Group) else None


class SegmentStream(_EntityStream["SegmentEntity | AverageEntity"]):
    """A sequence of `SegmentEntity`, or of `AverageEntity` where the subtype is "Average"."""

    TABLE, NUMBER = "InfoSegment", "SegmentID"

    @cached_property
    @_reads
    def source_channels(self) -> dict[int, McsChannel]:
        """By the vendor's number of the channel."""
        names = [name for name in ("SourceInfoChannel", "SourceChannelInfo") if name in self.group.children]
        table = records.channels_of(self.group, names[0], self.path) if names else []
        return {channel.channel_id: channel for channel in table}

    @property
    def holds_averages(self) -> bool:
        return self.data_subtype == AVERAGE

    def _entity(self, number: int, row: Mapping[str, Any]) -> SegmentEntity | AverageEntity | None:
        names = (
            (f"AverageData_{number}", f"AverageData_Range_{number}")
            if self.holds_averages
            else (f"SegmentData_{number}", f"SegmentData_ts_{number}")
        )
        stored, stamps = self._part(names[0], None), self._part(names[1], 3 if self.holds_averages else 1)
        if stored is None or stamps is None:
            return None
        channels = self._channels(number, row)
        dimensions = 2 if len(channels) == 1 and not self.holds_averages else 3
        shape, stamped = np.shape(stored), np.shape(stamps)
        if len(shape) not in (dimensions, 3) or shape[-1] != stamped[1]:
            shapes = f"{self.name}/{names[0]} has shape {shape}, its times {stamped}"
            raise DataLoadError(f"{self.path}: {shapes}", self.path)
        kind = AverageEntity if self.holds_averages else SegmentEntity
        pre, post = (int(row.get(name, 0)) for name in ("PreInterval", "PostInterval"))
        return kind(number, channels, pre, post, row, stored, stamps, self.path)

    def _channels(self, number: int, row: Mapping[str, Any]) -> tuple[McsChannel, ...]:
        channel_ids = records.numbers(row.get("SourceChannelIDs"))
        if not channel_ids or not set(channel_ids) <= self.source_channels.keys():
            raise DataLoadError(
                f"{self.path}: {self.name} does not say of which channels segment {number} is", self.path
            )
        return tuple(self.source_channels[channel] for channel in channel_ids)
