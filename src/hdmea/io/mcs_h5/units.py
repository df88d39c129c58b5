"""Spikes of an MCS-HDF5 file as units: each entity of one stream is an electrode's threshold crossings, unsorted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from hdmea.io import mcs_format
from hdmea.io.cmtr import UNKNOWN_ELECTRODE
from hdmea.io.kilosort import SortedUnits
from hdmea.io.light_reference import pulse_samples
from hdmea.io.mcs_h5.grids import ElectrodeGrid, grid_of
from hdmea.io.mcs_h5.recording import McsFile, McsRecording, read_mcs
from hdmea.io.mcs_h5.streams import (
    AnalogStream,
    EventStream,
    McsStream,
    SegmentEntity,
    SegmentStream,
    TimeStampEntity,
    TimeStampStream,
)
from hdmea.utils.exceptions import ConfigurationError, DataLoadError

ELECTRODES = "Electrode"  # the subtype of an analog stream of electrodes
CUTOUTS_AT_ONCE = 1 << 14

Entity = TimeStampEntity | SegmentEntity


@dataclass(frozen=True)
class McsChoice:
    """Part of an MCS-HDF5 file that is loaded; None where the file has one only.

    Attributes
    ----------
    recording : int
        Its number.
    stream : str
        Name ("TimeStampStream/Stream_0") or label of the stream of spikes.
    frames : str
        Name or label of the stream of events, or of the analog stream with a trigger channel, whose pulses are the
        frames of the stimulus. ":LABEL" behind it names the entity or channel: "AnalogStream/Stream_2:1".
    pitch_um : float
        Distance of neighbouring electrodes, where the array's name does not say it.

    Examples
    --------
    >>> from hdmea.io import McsChoice
    >>> McsChoice(recording=1, frames="Digital Events 1").recording
    1
    """

    recording: int | None = None
    stream: str | None = None
    frames: str | None = None
    pitch_um: float | None = None


_CHOICES: dict[str, tuple[type, ...]] = {
    "recording": (int, np.integer),
    "stream": (str,),
    "frames": (str,),
    "pitch_um": (int, float, np.number),
}
_WORDS = {"recording": "a number", "stream": "a text", "frames": "a text", "pitch_um": "a number of µm"}


def mcs_choice(value: McsChoice | Mapping[str, Any] | None) -> McsChoice:
    """A choice as such, as a dict of its fields, or none. `ConfigurationError` for what cannot be one."""
    if isinstance(value, McsChoice):
        return value
    if not isinstance(value, (Mapping, NoneType)):
        raise ConfigurationError(f"mcs must be a McsChoice or a dict of its fields, not {type(value).__name__}")
    given = dict(value or {})
    if unknown := sorted(map(str, given.keys() - _CHOICES.keys())):
        raise ConfigurationError(f"mcs takes {', '.join(_CHOICES)}, not {', '.join(unknown)}")
    for name, one in given.items():
        if one is not None and (isinstance(one, bool) or not isinstance(one, _CHOICES[name])):
            raise ConfigurationError(f"mcs: {name} must be {_WORDS[name]}, not {one!r}")
    if (pitch := given.get("pitch_um")) is not None and not 0 < pitch < float("inf"):
        raise ConfigurationError(f"mcs: pitch_um must be positive, not {pitch!r}")
    return McsChoice(**given)


def read_mcs_units(path: Path, acquisition_rate: float | None = None, choice: McsChoice | None = None) -> SortedUnits:
    """The spikes of an MCS-HDF5 file, an electrode a unit.

    Units are `unit_001` … in the order of the vendor's numbers. Each has `spike_times` (uint64 samples from the
    recording's zero: round(µs · rate / 10⁶)), `waveform` (float32, the mean cut-out in volts; empty without cut-outs),
    its place where the array is one of the vendor's grids, and in `unit_meta` `label`, `entity_id`, `channel_id` and
    `sorted` (False).

    Raises
    ------
    FileNotFoundError, DataLoadError
        As `read_mcs`; there are no spikes, or they are before the recording's zero.
    ConfigurationError
        Several recordings or streams could be meant; there is none of that name; the rate is not known.
    """
    choice = choice or McsChoice()
    file = read_mcs(path)
    recording = chosen_recording(file, choice.recording)
    stream = _spike_stream(recording, choice.stream)
    rate, warnings = _rate(recording, stream, acquisition_rate)
    grid = electrode_grid(file, recording, stream, choice.pitch_um)
    if grid is not None and grid.pitch_um is None:
        warnings.append(
            f"{path} does not say how far electrodes are apart, so units have no place: give mcs={{'pitch_um': …}}"
        )
    cutouts = _Cutouts(recording, stream)
    units = {
        f"unit_{index + 1:03d}": _unit(entity, stream, rate, grid, cutouts, path)
        for index, entity in enumerate(_entities(stream))
    }
    if not units:
        raise DataLoadError(f"{path}: {stream.name} ({stream.label}) has no entities", path)
    frames = None if choice.frames is None else _frames(recording, choice.frames, rate)
    facts = _facts(file, recording, stream, grid)
    duration_s = _duration_s(recording, units, rate)
    return SortedUnits(units, rate, duration_s, facts, warnings, frames, None if grid is None else grid.pitch_um)


def chosen_recording(file: McsFile, number: int | None) -> McsRecording:
    """The recording of that number; the only one for None."""
    if number is not None:
        try:
            return file.recording(number)
        except KeyError as error:
            raise ConfigurationError(str(error.args[0])) from error
    if len(file.recordings) != 1:
        if not file.recordings:
            raise DataLoadError(f"{file.path} holds no recording", file.path)
        numbers = ", ".join(str(one.number) for one in file.recordings)
        raise ConfigurationError(
            f"{file.path} holds several recordings: give mcs={{'recording': N}}, N one of {numbers}"
        )
    return file.recordings[0]


def named_stream(recording: McsRecording, name: str) -> McsStream:
    """The stream of that name or label; `ConfigurationError` lists those that there are."""
    try:
        return recording.stream(name)
    except KeyError as error:
        raise ConfigurationError(str(error.args[0])) from error


def electrode_streams(recording: McsRecording) -> list[AnalogStream]:
    """The analog streams of electrodes."""
    return [stream for stream in recording.analog_streams if stream.data_subtype == ELECTRODES]


def electrode_grid(
    file: McsFile, recording: McsRecording, stream: McsStream, pitch_um: float | None
) -> ElectrodeGrid | None:
    """The grid that the electrodes of a stream of spikes or of samples are on; None where they are on none."""
    if isinstance(stream, AnalogStream):
        labels = [channel.label for channel in stream.channels]
    elif isinstance(stream, (TimeStampStream, SegmentStream)):
        labels = [_label(entity) for entity in _entities(stream)]
    else:
        labels = []
    return grid_of(file.mea_layout, file.mea_name, labels, pitch_um)


# ---------------------------------------------------------------- choosing


def _spike_stream(recording: McsRecording, name: str | None) -> TimeStampStream | SegmentStream:
    """The stream of spikes of that name; else the only one of time stamps, else the only one of cut-outs."""
    if name is not None:
        stream = named_stream(recording, name)
        if isinstance(stream, TimeStampStream) or (isinstance(stream, SegmentStream) and not stream.holds_averages):
            return stream
        raise ConfigurationError(f"{recording.path}: {stream.name} ({stream.label}) holds no spikes")
    cutouts = [stream for stream in recording.segment_streams if not stream.holds_averages]
    for streams in (recording.timestamp_streams, cutouts):
        if len(streams) == 1:
            return streams[0]
        if streams:
            names = "; ".join(f"{one.name} ({one.label})" for one in streams)
            raise ConfigurationError(
                f"{recording.path} holds several streams of spikes: give mcs={{'stream': NAME}}, one of {names}"
            )
    raise DataLoadError(
        f"{recording.path}: recording {recording.number} holds no spikes (no TimeStampStream, no SegmentStream of "
        "cut-outs). Detect them first: hdmea.spikeinterface.McsH5Recording opens its electrodes for a spike sorter",
        recording.path,
    )


def _entities(stream: TimeStampStream | SegmentStream) -> list[Entity]:
    return [entity for entity in stream if isinstance(entity, (TimeStampEntity, SegmentEntity))]


def _label(entity: Entity) -> str:
    """The electrode's label; of several, all; the entity's own where the file names no channel."""
    if isinstance(entity, SegmentEntity):
        return entity.label
    return ", ".join(filter(None, entity.channel_labels)) or entity.label


def _channel_ids(entity: Entity) -> tuple[int, ...]:
    return (
        tuple(channel.channel_id for channel in entity.channels)
        if isinstance(entity, SegmentEntity)
        else entity.channel_ids
    )


# ---------------------------------------------------------------- rate and length


def _rate(recording: McsRecording, stream: McsStream, given: float | None) -> tuple[float, list[str]]:
    stated = _stated_rate(recording, stream)
    if given is None and stated is None:
        raise ConfigurationError(
            f"{recording.path} does not say at which rate {stream.name} was recorded: give acquisition_rate, in Hz"
        )
    if given is not None and stated is not None and not np.isclose(given, stated, rtol=1e-9):
        return given, [f"{recording.path} says {stated:g} Hz; taken are the {given:g} Hz that were given"]
    rate = given if given is not None else stated
    assert rate is not None
    return rate, []


def _stated_rate(recording: McsRecording, stream: McsStream) -> float | None:
    """Of the stream that it was made from, else of the channels of its cut-outs, else of all streams of electrodes."""
    for source in recording.analog_streams:
        if source.guid and source.guid == stream.source_guid:
            return source.sampling_frequency
    siblings = [one for one in recording.segment_streams if one is stream or one.source_guid == stream.source_guid]
    ticks = {channel.tick_us for one in siblings for channel in one.source_channels.values()}
    if not ticks:
        ticks = {source.tick_us for source in electrode_streams(recording)}
    return mcs_format.MICROSECONDS / next(iter(ticks)) if len(ticks) == 1 else None


def _duration_s(recording: McsRecording, units: Mapping[str, Mapping[str, Any]], rate: float) -> float:
    """Until the analog data end; without any, as the recording says; never before the last spike."""
    ends = [stream.end_us for stream in recording.analog_streams]
    stated = max(ends, default=0.0) or float(recording.duration_us)
    last = max((int(unit["spike_times"][-1]) for unit in units.values() if len(unit["spike_times"])), default=0)
    return max(stated / mcs_format.MICROSECONDS, (last + 1) / rate)


# ---------------------------------------------------------------- a unit


def _unit(
    entity: Entity,
    stream: McsStream,
    rate: float,
    grid: ElectrodeGrid | None,
    cutouts: _Cutouts,
    path: Path,
) -> dict[str, Any]:
    label, channels = _label(entity), _channel_ids(entity)
    meta: dict[str, Any] = {"label": label, "entity_id": entity.id, "sorted": False}
    if len(channels) == 1:
        meta["channel_id"] = channels[0]
    position = {"row": UNKNOWN_ELECTRODE, "col": UNKNOWN_ELECTRODE, "global_id": UNKNOWN_ELECTRODE}
    if grid is not None and grid.pitch_um is not None and (site := grid.place(label)) is not None:
        row, col = site
        position = {"row": row, "col": col, "global_id": grid.side * (col - 1) + row}
        meta |= {"x_um": (col - 1) * grid.pitch_um, "y_um": (row - 1) * grid.pitch_um}
    waveform = cutouts.mean_of(entity)
    if len(waveform):
        meta["waveform_unit"] = cutouts.unit_of(entity)
    train = _samples(entity.times, rate, f"{stream.name}, entity {entity.id}", path)
    return {
        "spike_times": train,
        "waveform": waveform,
        **position,
        "original_name": label or str(entity.id),
        "unit_meta": meta,
        "features": {},
    }


def _samples(times_us: npt.NDArray[np.int64], rate: float, origin: str, path: Path) -> npt.NDArray[np.uint64]:
    """Samples from the recording's zero, sorted. `DataLoadError` for times before it."""
    if len(times_us) and times_us.min() < 0:
        raise DataLoadError(f"{path}: {origin} has a time of {times_us.min()} µs, before the recording's zero", path)
    return np.sort(np.rint(times_us * rate / mcs_format.MICROSECONDS)).astype(np.uint64)


class _Cutouts:
    """The cut-outs that belong to a stream's entities: its own, or those that were made from the same stream."""

    def __init__(self, recording: McsRecording, stream: McsStream) -> None:
        given_stream = [stream] if isinstance(stream, SegmentStream) else []
        cut_streams = [one for one in recording.segment_streams if one.source_guid == stream.source_guid]
        entities = [one for source in (given_stream or cut_streams) for one in source if isinstance(one, SegmentEntity)]
        self._by_channel: dict[tuple[int, ...], list[SegmentEntity]] = {}
        for entity in entities:
            self._by_channel.setdefault(_channel_ids(entity), []).append(entity)

    def mean_of(self, entity: Entity) -> npt.NDArray[np.float32]:
        """The mean cut-out (samples,) in the channel's unit; of several channels, where it is largest."""
        cut_outs = self._of(entity)
        if cut_outs is None or not len(cut_outs):
            return np.empty(0, np.float32)
        total: Any = 0
        for start in range(0, len(cut_outs), CUTOUTS_AT_ONCE):
            total = total + cut_outs.cutouts(start, start + CUTOUTS_AT_ONCE).sum(axis=-1)
        mean = np.asarray(total / len(cut_outs))
        if mean.ndim == 2:
            mean = mean[np.argmax(np.ptp(mean, axis=1))]
        return mean.astype(np.float32)

    def unit_of(self, entity: Entity) -> str:
        cut_outs = self._of(entity)
        return "" if cut_outs is None or not cut_outs.channels[0].is_scaled else cut_outs.channels[0].unit

    def _of(self, entity: Entity) -> SegmentEntity | None:
        if isinstance(entity, SegmentEntity):
            return entity
        entities = self._by_channel.get(_channel_ids(entity), [])
        return entities[0] if len(entities) == 1 else None


# ---------------------------------------------------------------- frames of a movie


def _frames(recording: McsRecording, name: str, rate: float) -> npt.NDArray[np.uint64]:
    """Samples at which frames begin: events, or the rises of a trigger channel."""
    stream, part = _stream_and_part(recording, name)
    source = f"{stream.name} ({stream.label})"
    if isinstance(stream, EventStream):
        entity = _only_part(
            stream.entities, part, source, "entity", lambda one: (str(one.id), one.label, *one.channel_labels)
        )
        return _samples(entity.times, rate, f"{source}, entity {entity.id}", recording.path)
    if isinstance(stream, AnalogStream):
        channel = _only_part(stream.channels, part, source, "channel", lambda one: (one.label, str(one.channel_id)))
        read = partial(stream.read, channel.row, counts=True)
        counts = mcs_format.BlockSource(stream.shape[1:], stream.data.dtype, read)
        first = pulse_samples(counts).astype(np.int64) + 1  # the first sample that is up
        times = stream.times()[first] if len(first) else np.empty(0, np.int64)
        return _samples(times, rate, source, recording.path)
    raise ConfigurationError(f"{recording.path}: {source} holds neither events nor a trigger channel for frames")


def _stream_and_part(recording: McsRecording, name: str) -> tuple[McsStream, str | None]:
    """A stream by its name or label; behind its last colon may be one of its parts."""
    names = {text for one in recording.streams for text in (one.name, one.label)}
    stem, colon, part = name.rpartition(":")
    if name in names or not colon:
        return named_stream(recording, name), None
    return named_stream(recording, stem), part


def _only_part(
    parts: Sequence[Any], name: str | None, source: str, kind: str, names: Callable[[Any], tuple[str, ...]]
) -> Any:
    matches = [part for part in parts if name is None or name in names(part)]
    if len(matches) != 1:
        labels = ", ".join(next(filter(None, names(part)), "") for part in parts)
        problem = f"has no {kind} {name!r}" if name is not None else f"has {len(matches)} of them"
        raise ConfigurationError(f"{source} {problem}: name it as STREAM:{kind.upper()}, one of {labels}")
    return matches[0]


# ---------------------------------------------------------------- facts


def _facts(file: McsFile, recording: McsRecording, stream: McsStream, grid: ElectrodeGrid | None) -> dict[str, Any]:
    facts = {
        "format": f"MCS-HDF5, protocol {file.protocol_version}",
        "program": file.program,
        "mea_name": file.mea_name,
        "mea_layout": file.mea_layout,
        "mea_serial_number": str(file.meta.get("MeaSN") or ""),
        "comment": str(file.meta.get("Comment") or ""),
        "recording": recording.number,
        "recording_label": recording.label,
        "spike_stream": f"{stream.name} ({stream.label})",
        "sorting": "none: a unit holds the threshold crossings of an electrode",
    }
    if file.date is not None:
        facts["DateTime"] = file.date.isoformat()
    if grid is not None and grid.name is not None:
        facts["array"] = grid.name
    return facts
