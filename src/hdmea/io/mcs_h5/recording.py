"""A file of MCS-HDF5 and its recordings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from h5burst import Group, read_tree
from hdmea.io import mcs_format
from hdmea.io.mcs_h5 import records
from hdmea.io.mcs_h5.streams import (
    KIND,
    AnalogStream,
    EventStream,
    FrameStream,
    McsStream,
    SegmentStream,
    TimeStampStream,
)
from hdmea.utils.exceptions import DataLoadError

PROTOCOL, VERSION, RAW_DATA = "McsHdf5ProtocolType", "McsHdf5ProtocolVersion", "RawData"
TICKS_A_MICROSECOND = 10  # of DateInTicks: 100 ns since 0001-01-01

StreamT = TypeVar("StreamT", bound=McsStream)


@dataclass(frozen=True, eq=False)
class McsRecording:
    """One recording of a file, `/Data/Recording_N`.

    Attributes
    ----------
    number : int
        N.
    label : str
        As the vendor's software has it.
    start_us, duration_us : int
        `TimeStamp` and `Duration` of the file; the data themselves may be longer or shorter.
    analog_streams, frame_streams, event_streams, segment_streams, timestamp_streams : tuple of streams
        In the order of their numbers.
    meta : dict
        All attributes of its group, as Python values.
    """

    number: int
    path: Path
    meta: Mapping[str, Any] = field(repr=False)
    group: Group = field(repr=False)

    @property
    def label(self) -> str:
        return records.text(self.meta.get("Label"))

    @property
    def start_us(self) -> int:
        return int(self.meta.get("TimeStamp", 0))

    @property
    def duration_us(self) -> int:
        return int(self.meta.get("Duration", 0))

    @cached_property
    def analog_streams(self) -> tuple[AnalogStream, ...]:
        return self._streams(AnalogStream)

    @cached_property
    def frame_streams(self) -> tuple[FrameStream, ...]:
        return self._streams(FrameStream)

    @cached_property
    def event_streams(self) -> tuple[EventStream, ...]:
        return self._streams(EventStream)

    @cached_property
    def segment_streams(self) -> tuple[SegmentStream, ...]:
        return self._streams(SegmentStream)

    @cached_property
    def timestamp_streams(self) -> tuple[TimeStampStream, ...]:
        return self._streams(TimeStampStream)

    @property
    def streams(self) -> tuple[McsStream, ...]:
        """All of them."""
        kinds = (self.analog_streams, self.frame_streams, self.event_streams, self.segment_streams)
        return tuple(stream for streams in (*kinds, self.timestamp_streams) for stream in streams)

    def stream(self, name: str) -> McsStream:
        """The stream of that name ("EventStream/Stream_0") or label. `KeyError` lists those that there are."""
        streams = [one for one in self.streams if name in (one.name, one.label)]
        if len(streams) != 1:
            problem = f"{len(streams)} streams are called" if streams else "there is no stream"
            names = "; ".join(f"{one.name} ({one.label})" for one in self.streams)
            raise KeyError(f"{self.path}: {problem} {name!r} in recording {self.number}; there are: {names or 'none'}")
        return streams[0]

    def _streams(self, kind: Callable[[str, int, Path, Mapping[str, Any], Group], StreamT]) -> tuple[StreamT, ...]:
        folder = kind.__name__  # type: ignore[attr-defined]
        with mcs_format.reading(self.path, KIND):
            parent = self.group.children.get(folder)
            groups = _numbered(parent, "Stream") if isinstance(parent, Group) else {}
            return tuple(
                kind(f"{folder}/Stream_{number}", number, self.path, mcs_format.attributes(group), group)
                for number, group in groups.items()
            )


@dataclass(frozen=True, eq=False)
class McsFile:
    """A file of MCS-HDF5 (Multi Channel DataManager), of which nothing is read before it is asked for.

    Attributes
    ----------
    path : Path
        The file.
    protocol_version : int
        1 to 3.
    recordings : tuple of McsRecording
        In the order of their numbers.
    mea_name, mea_layout, program : str
        What was recorded from, and by which program and version.
    date : datetime or None
        When, without a time zone.
    meta : dict
        All attributes of the file and of `/Data`, as Python values.
    """

    path: Path
    protocol_version: int
    meta: Mapping[str, Any] = field(repr=False)
    recordings: tuple[McsRecording, ...]

    @property
    def mea_name(self) -> str:
        return records.text(self.meta.get("MeaName"))

    @property
    def mea_layout(self) -> str:
        return records.text(self.meta.get("MeaLayout"))

    @property
    def program(self) -> str:
        return " ".join(filter(None, (records.text(self.meta.get(f"Program{part}")) for part in ("Name", "Version"))))

    @property
    def date(self) -> datetime | None:
        ticks = self.meta.get("DateInTicks")
        try:
            return datetime(1, 1, 1) + timedelta(microseconds=int(ticks) // TICKS_A_MICROSECOND) if ticks else None
        except (OverflowError, TypeError, ValueError):
            return None

    def recording(self, number: int) -> McsRecording:
        """The recording of that number. `KeyError` lists those that there are."""
        for one in self.recordings:
            if one.number == number:
                return one
        numbers = ", ".join(str(one.number) for one in self.recordings)
        raise KeyError(f"{self.path} has no recording {number}; it has {numbers or 'none'}")


def read_mcs(path: str | os.PathLike[str]) -> McsFile:
    """Open an MCS-HDF5 file, as Multi Channel DataManager writes them of MEA2100 and other systems.

    Parameters
    ----------
    path : path
        The `.h5` file.

    Returns
    -------
    McsFile
        Its recordings and their streams; data are read when they are asked for.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataLoadError
        It is damaged, or of another kind: the message says which.

    References
    ----------
    Multi Channel Systems, "MCS HDF5 Protocol", in the documentation of McsPyDataTools.

    Examples
    --------
    >>> from hdmea.io import read_mcs
    >>> from hdmea.simulate import simulate_mcs_h5
    >>> file = read_mcs(simulate_mcs_h5("slice.h5", n_electrodes=60, duration_s=1.0).path)
    >>> stream = file.recordings[0].analog_streams[0]
    >>> stream.shape, stream.sampling_frequency, stream.channels[0].label, stream.channels[0].unit
    ((60, 25000), 25000.0, '12', 'V')
    >>> volts = stream.read(0, 0, 1000)
    >>> file.recordings[0].timestamp_streams[0][0].times.dtype  # microseconds
    dtype('int64')
    """
    path = Path(path)
    tree = mcs_format.open_file(path, KIND)
    with mcs_format.reading(path, KIND):
        if records.text(tree.attrs.get(PROTOCOL)) != RAW_DATA:
            raise DataLoadError(f"{path} is not an MCS-HDF5 file, but {_what_it_is(tree)}", path)
        data = tree.children.get("Data")
        if not isinstance(data, Group):
            raise DataLoadError(f"{path} has no group /Data: it is not a whole MCS-HDF5 file", path)
        recordings = tuple(
            McsRecording(number, path, mcs_format.attributes(group), group)
            for number, group in _numbered(data, "Recording").items()
        )
        meta = {**mcs_format.attributes(tree), **mcs_format.attributes(data)}
        return McsFile(path, int(meta.get(VERSION, 1)), meta, recordings)


def is_mcs_h5(path: Path) -> bool:
    """True where a file says that it is MCS-HDF5; False for what cannot be opened."""
    if not path.is_file():
        return False
    try:
        return records.text(read_tree(path, lazy=True).attrs.get(PROTOCOL)) == RAW_DATA
    except (OSError, ValueError):
        return False


def _numbered(parent: Group, prefix: str) -> dict[int, Group]:
    """The groups `{prefix}_N` by N, in its order."""
    groups = {}
    for name, group in mcs_format.groups_in(parent).items():
        if match := re.fullmatch(rf"{prefix}_(\d{{1,9}})", name):
            groups[int(match[1])] = group
    return dict(sorted(groups.items()))


def _what_it_is(tree: Group) -> str:
    """Describe in words what an HDF5 file seems to be."""
    if PROTOCOL in tree.attrs:
        return f"one of the protocol {records.text(tree.attrs[PROTOCOL])!r}, which is not read"
    if "ID.Type" in tree.attrs:
        return "a .cmcr or .cmtr file of a CMOS-MEA: hdmea.io.load_recording reads it"
    if {"spikes", "sCount"} <= tree.children.keys():
        return "spikes in the retinal-wave layout: hdmea.io.load_spikes reads it"
    if "hdmea_pipeline_version" in tree.attrs or {"units", "metadata"} <= tree.children.keys():
        return "a saved recording of hdmea: PipelineSession.load reads it"
    names = ", ".join(list(tree.children)[:5])
    return f"another HDF5 file, which holds {names}" if names else "an empty HDF5 file"
