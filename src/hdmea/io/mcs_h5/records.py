"""Records of a stream's tables: channels, entities, and which samples were taken at which times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from h5burst import Array, Group
from hdmea.io import mcs_format
from hdmea.utils.exceptions import DataLoadError

TIME_COLUMNS = ("FirstTimeStamp", "FirstIndex", "LastIndex")

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class McsChannel:
    """One channel, as `InfoChannel` (or `SourceInfoChannel`) describes it.

    Attributes
    ----------
    row : int
        Its row in the stream's data; -1 where the table does not say it.
    channel_id, group_id : int
        The vendor's numbers.
    label : str
        Of the electrode, such as "E1", "47" or "A7".
    unit : str
        Of a scaled value, such as "V".
    exponent, ad_zero, conversion_factor : int, int, float
        value = (counts - ad_zero) · conversion_factor · 10^exponent, in `unit`.
    tick_us : float
        Microseconds a sample.
    info : dict
        The table's whole row, filters included.
    """

    row: int
    channel_id: int
    group_id: int
    label: str
    unit: str
    exponent: int
    ad_zero: int
    conversion_factor: float
    tick_us: float
    info: Mapping[str, Any] = field(repr=False, default_factory=dict)

    @property
    def is_scaled(self) -> bool:
        """True where counts mean a value in `unit`; digital channels have a conversion factor of 0."""
        return self.conversion_factor != 0

    @property
    def step(self) -> float:
        """One count in `unit`."""
        return self.conversion_factor * 10.0**self.exponent

    @property
    def sampling_frequency(self) -> float:
        """Hz."""
        return mcs_format.MICROSECONDS / self.tick_us

    def scaled(self, counts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Counts in `unit`; the counts themselves where there is no conversion factor."""
        if not self.is_scaled:
            return np.asarray(counts, np.float64)
        return np.asarray((np.asarray(counts, np.int64) - self.ad_zero) * self.step, np.float64)


@dataclass(frozen=True, slots=True)
class McsSegment:
    """Samples that were taken without a gap.

    Attributes
    ----------
    start_us : int
        Time of the first one.
    first, stop : int
        Indices of the first one, and one past the last.
    """

    start_us: int
    first: int
    stop: int


def channels_of(stream: Group, table: str, path: Path) -> list[McsChannel]:
    """The channels of a table, in its order. `DataLoadError` where one does not say what is needed."""
    return [_channel(row, path, table) for row in table_rows(stream, table, path)]


def table_rows(stream: Group, name: str, path: Path) -> list[dict[str, Any]]:
    """The rows of a table as Python values. `DataLoadError` where it is missing or not a table."""
    if mcs_format.read_table(stream, name) is None:
        raise DataLoadError(f"{path}: a stream lacks its table {name}", path)
    return mcs_format.meta_rows(stream, name)


def _channel(row: Mapping[str, Any], path: Path, table: str) -> McsChannel:
    try:
        channel = McsChannel(
            row=int(row.get("RowIndex", -1)),
            channel_id=int(row["ChannelID"]),
            group_id=int(row.get("GroupID", 0)),
            label=text(row.get("Label")),
            unit=text(row.get("Unit")),
            exponent=int(row["Exponent"]),
            ad_zero=int(row["ADZero"]),
            conversion_factor=float(row["ConversionFactor"]),
            tick_us=float(row["Tick"]),
            info=dict(row),
        )
    except KeyError as error:
        raise DataLoadError(f"{path}: {table} lacks the column {error.args[0]}", path, error) from error
    if not (np.isfinite(channel.tick_us) and channel.tick_us > 0):
        raise DataLoadError(f"{path}: {table} has a Tick of {channel.tick_us:g} µs", path)
    return channel


def text(value: Any) -> str:
    """A text of the file, without the blanks and line ends that fill it up."""
    plain = mcs_format.plain(value)
    return "" if plain is None else str(plain).strip("\0 \t\r\n")


def numbers(value: Any) -> tuple[int, ...]:
    """Numbers of channels from a text such as "3,4"; none where it is empty or says something else."""
    parts = [part.strip() for part in text(value).split(",")]
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


def labels(value: Any) -> tuple[str, ...]:
    """Labels of channels from a text in which commas separate them."""
    return tuple(part.strip() for part in text(value).split(",")) if text(value) else ()


def segments_of(node: Array, samples: int, path: Path) -> tuple[McsSegment, ...]:
    """Read a table of time stamps: (segments, 3), or (3, segments) as some files have it.

    Its attributes `Column-0` … name the three columns; without them the shape decides, and where that fits both ways,
    what the numbers can mean. `DataLoadError` where neither way fits the data.
    """
    stored = np.empty((0, 3), np.int64) if node.data is None else np.asarray(node.data).astype(np.int64)
    for table in _readings(stored, node.attrs):
        if _fits(table, samples):
            return tuple(McsSegment(int(start), int(first), int(last) + 1) for start, first, last in table)
    raise DataLoadError(f"{path}: time stamps of shape {stored.shape} do not fit {samples} samples", path)


def _readings(stored: Ints, attributes: Mapping[str, Any]) -> list[Ints]:
    """The ways to read a table as (segments, 3), the likelier first."""
    if stored.ndim == 1:
        stored = stored.reshape(1, -1)
    if stored.ndim != 2:
        return []
    names = [text(attributes.get(f"Column-{index}")) for index in range(3)]
    order = [names.index(name) for name in TIME_COLUMNS] if set(names) == set(TIME_COLUMNS) else [0, 1, 2]
    return [table[:, order] for table in (stored, stored.T) if table.shape[1] == 3]


def _fits(table: Ints, samples: int) -> bool:
    """True where rows can be the segments of so many samples: in order, without overlap, inside."""
    if not len(table):
        return samples == 0
    starts, first, last = table.T
    inside = first[0] >= 0 and bool((last >= first - 1).all()) and int(last[-1]) < samples
    return inside and bool((first[1:] > last[:-1]).all()) and bool((np.diff(starts) > 0).all())


def sample_times(segments: Sequence[McsSegment], tick_us: float, start: int, stop: int) -> Ints:
    """Microseconds of the samples [start, stop), rounded; across a gap they jump."""
    times = [
        segment.start_us + np.rint((np.arange(first, last) - segment.first) * tick_us).astype(np.int64)
        for segment in segments
        if (first := max(start, segment.first)) < (last := min(stop, segment.stop))
    ]
    return np.concatenate([*times, np.empty(0, np.int64)])


def checked_range(start: int, stop: int | None, length: int) -> tuple[int, int]:
    """Bounds of a part of `length` samples; `ValueError` for what is not one."""
    stop = length if stop is None else min(stop, length)
    if start < 0 or stop < 0:
        raise ValueError(f"start and stop must not be negative, got {start} and {stop}")
    return start, max(start, stop)
