"""Content of an MCS-HDF5 file in figures; samples and cut-outs are not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hdmea.io.mcs_h5 import (
    AnalogStream,
    AverageEntity,
    EventStream,
    FrameStream,
    McsRecording,
    SegmentStream,
    TimeStampStream,
    read_mcs,
)
from hdmea.io.mcs_h5.streams import McsStream

_MICROSECONDS = 1e6


def mcs_info(path: str | Path) -> dict[str, Any]:
    """The recordings of an MCS-HDF5 file, and what their streams hold.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        `file`, `bytes`, `format`, `program`, `mea_name`, `mea_layout`, `date` (ISO 8601, no zone; None where not known)
        and `recordings`, each with `number`, `label`, `duration_s` and `streams`, each with `name`, `label`, `subtype`
        and its figures: `channels`, `samples`, `sampling_frequency_hz`, `duration_s`, `gaps` of analog ones, `entities`
        and `times` of the others.

    Raises
    ------
    FileNotFoundError, DataLoadError
        As `hdmea.io.read_mcs`.
    """
    path = Path(path)
    file = read_mcs(path)
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "format": f"MCS-HDF5, protocol {file.protocol_version}",
        "program": file.program,
        "mea_name": file.mea_name,
        "mea_layout": file.mea_layout,
        "date": None if file.date is None else file.date.isoformat(),
        "recordings": [_recording(recording) for recording in file.recordings],
    }


def _recording(recording: McsRecording) -> dict[str, Any]:
    return {
        "number": recording.number,
        "label": recording.label,
        "duration_s": recording.duration_us / _MICROSECONDS,
        "streams": [_stream(stream) for stream in recording.streams],
    }


def _stream(stream: McsStream) -> dict[str, Any]:
    about: dict[str, Any] = {"name": stream.name, "label": stream.label, "subtype": stream.data_subtype}
    if isinstance(stream, AnalogStream):
        channels, samples = stream.shape
        return about | {
            "channels": channels,
            "samples": samples,
            "sampling_frequency_hz": stream.sampling_frequency,
            "duration_s": samples / stream.sampling_frequency,
            "gaps": max(len(stream.segments) - 1, 0),
        }
    if isinstance(stream, FrameStream):
        return about | {"entities": len(stream), "times": sum(frames.data.shape[2] for frames in stream)}
    if isinstance(stream, (EventStream, SegmentStream, TimeStampStream)):
        kind = "averages" if any(isinstance(entity, AverageEntity) for entity in stream) else "times"
        return about | {"entities": len(stream), kind: sum(len(entity) for entity in stream)}
    return about


def mcs_lines(info: dict[str, Any]) -> list[str]:
    """Return what `mcs_info` says, as lines for a terminal."""
    array = info["mea_name"] or info["mea_layout"] or "an array without a name"
    lines = [
        f"{info['file']}: {info['format']}",
        f"  file      {info['program']}, {array}, {info['date'] or 'no date'}",
    ]
    for recording in info["recordings"]:
        label = f" {recording['label']!r}" if recording["label"] else ""
        lines.append(f"  recording {recording['number']}{label}: {recording['duration_s']:.2f} s")
        lines += [f"    {stream['name']}  {stream['label']}: {_figures(stream)}" for stream in recording["streams"]]
    return lines


def _figures(stream: dict[str, Any]) -> str:
    if "channels" in stream:
        channels = f"{stream['channels']} channel{'s' * (stream['channels'] != 1)}"
        gaps = f", {stream['gaps']} gap{'s' * (stream['gaps'] != 1)}" if stream["gaps"] else ""
        return f"{channels}, {stream['sampling_frequency_hz']:g} Hz, {stream['duration_s']:.2f} s{gaps}"
    entities = f"{stream['entities']} entit{'ies' if stream['entities'] != 1 else 'y'}"
    quantity = next(name for name in ("times", "averages") if name in stream)
    return f"{entities}, {stream[quantity]} {quantity}"
