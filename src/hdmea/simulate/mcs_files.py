"""Writes a simulated recording as the vendor's `.cmcr` and `.cmtr` files: plain HDF5 with an identity on every node."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from h5burst import ArraySource
from hdmea.simulate.chip import CHIP_SIDE

ROOT_TYPE = "cabb6cdd-47e0-417a-8e04-5664cbbc449b"
TYPE_IDS = {
    "Acquisition": "650d88ce-9f24-4b20-ac2b-254defd12761",
    "SensorStream": "15e5a1fe-df2f-421b-8b60-23eeb2213c45",
    "SensorData": "49da47df-f397-4121-b5da-35317a93e705",
    "SensorMeta": "ab2aa189-2e72-4148-a2ef-978119223412",
    "ChannelStream": "9217aeb4-59a0-4d7f-bdcd-0371c9fd66eb",
    "ChannelData": "5efe7932-dcfe-49ff-ba53-25accff5d622",
    "ChannelMeta": "9e8ac9cd-5571-4ee5-bbfa-8e9d9c436daa",
    "SpikeSorter": "7263d1b7-f57a-42de-8f51-5d6326d22f2a",
    "SingleUnit": "0e5a97df-9de0-4a22-ab8c-54845c1ff3b9",
}
PROGRAM = "hdmea.simulate"
PROGRAM_VERSION = "1"
RECORDED_AT = "2024-01-01T00:00:00"
MICROSECONDS = 1_000_000
_BLOCK_BYTES = 16 << 20

_META = [
    ("Tick", "<i8"),
    ("ADZero", "<i4"),
    ("Exponent", "<i4"),
    ("Unit", "S8"),
    ("ConversionFactor", "<i8"),
]
SENSOR_META = np.dtype([("RegionID", "<i4"), ("GroupID", "<i4"), *_META])
CHANNEL_META = np.dtype([("ChannelID", "<i4"), ("GroupID", "<i4"), *_META])
UNIT_INFO = np.dtype(
    [
        ("UnitID", "<i4"),
        ("SensorID", "<i4"),
        ("Row", "<i4"),
        ("Column", "<i4"),
        ("RoiSize", "<i4"),
        ("Separability", "<f8"),
        ("SNR", "<f8"),
        ("Kurtosis", "<f8"),
    ]
)


def tick_us(sampling_rate: float) -> int:
    """Microseconds a sample. `ValueError` for a rate that the files cannot hold."""
    tick = round(MICROSECONDS / sampling_rate)
    if tick < 1 or tick * sampling_rate != MICROSECONDS:
        raise ValueError(f"sampling_rate={sampling_rate:g}: a sample must last a whole number of microseconds")
    return tick


def sensor_id(row: npt.ArrayLike, column: npt.ArrayLike) -> Any:
    """A sensor's number on the chip; rows and columns from 1."""
    return CHIP_SIDE * (np.asarray(column) - 1) + np.asarray(row)


class _Identities:
    """Gives every group and dataset the vendor's four attributes; instance IDs come from a seed."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def mark(self, node: h5py.HLObject, kind: str, type_id: str | None = None, instance: str = "") -> None:
        """The four attributes; a kind without a published ID gets one derived from its name."""
        type_id = type_id or TYPE_IDS.get(kind) or str(uuid.uuid5(uuid.NAMESPACE_OID, kind))
        fresh = uuid.UUID(bytes=self._rng.bytes(16), version=4)
        values = {"ID.Type": kind, "ID.TypeID": type_id, "ID.Instance": instance or kind, "ID.InstanceID": str(fresh)}
        for name, value in values.items():
            node.attrs[name] = np.bytes_(value.encode())


def _open(path: Path, kind: str, identities: _Identities) -> h5py.File:
    file = h5py.File(path, "w")
    identities.mark(file, kind, ROOT_TYPE, path.name)
    file.attrs["FileVersion"] = np.int32(1)
    for name, value in (
        ("ProgramName", PROGRAM),
        ("ProgramVersion", PROGRAM_VERSION),
        ("DateTime", RECORDED_AT),
    ):
        file.attrs[name] = np.bytes_(value.encode())
    return file


def write_cmcr(
    path: Path,
    *,
    sampling_rate: float,
    sample_count: int,
    analog: Iterator[npt.NDArray[np.int32]],
    sensor: ArraySource | None,
    rng: np.random.Generator,
) -> None:
    """Write a raw recording block by block.

    analog: consecutive blocks (2, samples), light then frame pulses, that make up `sample_count`; sensor: (frames,
    rows, columns) int16, or None for a recording without a sensor stream.
    """
    identities, tick = _Identities(rng), tick_us(sampling_rate)
    with _open(path, "RawData", identities) as file:
        file.attrs["LB.RecordingDuration"] = np.array([sample_count * tick], np.int64)
        acquisition = file.create_group("Acquisition")
        identities.mark(acquisition, "Acquisition")
        _write_analog(acquisition, identities, tick, sample_count, analog)
        if sensor is not None:
            _write_sensor(acquisition, identities, tick, sensor)


def _stream(acquisition: h5py.Group, identities: _Identities, name: str, kind: str, subtype: bytes) -> h5py.Group:
    group = acquisition.create_group(name)
    identities.mark(group, kind, instance=name)
    group.attrs["SubType"] = np.bytes_(subtype)
    return group


def _write_analog(
    acquisition: h5py.Group,
    identities: _Identities,
    tick: int,
    sample_count: int,
    blocks: Iterator[npt.NDArray[np.int32]],
) -> None:
    stream = _stream(acquisition, identities, "Analog Data", "ChannelStream", b"Auxiliary")
    data = stream.create_dataset("ChannelData 1", (2, sample_count), np.int32)
    identities.mark(data, "ChannelData", instance="ChannelData 1")
    start = 0
    for block in blocks:
        data[:, start : start + block.shape[1]] = block
        start += block.shape[1]
    meta = np.array([(n, 1, tick, 0, -9, b"V", 1000) for n in (1, 2)], CHANNEL_META)
    identities.mark(stream.create_dataset("ChannelMeta", data=meta), "ChannelMeta")


def _write_sensor(acquisition: h5py.Group, identities: _Identities, tick: int, sensor: ArraySource) -> None:
    stream = _stream(acquisition, identities, "Sensor Data", "SensorStream", b"CMosSensor")
    data = stream.create_dataset("SensorData 1 1", sensor.shape, sensor.dtype)
    identities.mark(data, "SensorData", instance="SensorData 1 1")
    frame_bytes = int(np.prod(sensor.shape[1:])) * sensor.dtype.itemsize
    step = max(1, _BLOCK_BYTES // max(frame_bytes, 1))
    for start in range(0, sensor.shape[0], step):
        stop = min(start + step, sensor.shape[0])
        data[start:stop] = sensor.read(start, stop)
    meta = np.array([(1, 1, tick, 0, -9, b"V", 1000)], SENSOR_META)
    identities.mark(stream.create_dataset("SensorMeta", data=meta), "SensorMeta")


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """One unit of a `.cmtr` file.

    info: one row of `UNIT_INFO`; peaks: its table of peaks; roi_averages: (samples, electrodes) float32 mean waveforms
    on the region of interest, row by row; unmixing: (electrodes,) float32 weights that give the unit's own signal.
    """

    info: np.ndarray
    peaks: np.ndarray
    roi_averages: npt.NDArray[np.float32]
    unmixing: npt.NDArray[np.float32]


def write_cmtr(path: Path, cmcr_name: str, units: Iterable[UnitRecord], rng: np.random.Generator) -> None:
    """Write a spike-sorted recording beside its raw file."""
    identities = _Identities(rng)
    with _open(path, "ProcessedData", identities) as file:
        file["Acquisition"] = h5py.ExternalLink(cmcr_name, "/Acquisition")
        sorter = file.create_group("Spike Sorter")
        identities.mark(sorter, "SpikeSorter")
        table = [np.empty(0, UNIT_INFO)]
        for unit in units:
            table.append(unit.info)
            name = f"Unit {unit.info['UnitID'][0]}"
            group = sorter.create_group(name)
            identities.mark(group, "SingleUnit", instance=name)
            for field in ("UnitID", "SensorID"):
                group.attrs[field] = unit.info[field][0]
            parts = {"Peaks": unit.peaks, "Unit Info": unit.info}
            parts |= {"RoiSTAs": unit.roi_averages, "Unmixing": unit.unmixing}
            for kind, data in parts.items():
                identities.mark(group.create_dataset(kind, data=data), kind)
        identities.mark(sorter.create_dataset("Units", data=np.concatenate(table)), "Units")


def peak_table(
    timestamps_us: npt.NDArray[np.int64], included: npt.NDArray[np.bool_], cutouts: npt.NDArray[np.float32]
) -> np.ndarray:
    """The compound table of one unit's peaks: time, amplitude (the cut-out's deepest sample), flag, cut-out."""
    fields = [("Timestamp", "<i8"), ("PeakAmplitude", "<f4"), ("IncludePeak", "u1")]
    samples = cutouts.shape[1]
    table = np.zeros(len(timestamps_us), np.dtype(fields + [(str(n + 1), "<f4") for n in range(samples)]))
    table["Timestamp"], table["IncludePeak"] = timestamps_us, included
    if samples:
        table["PeakAmplitude"] = cutouts.min(axis=1)
        for n in range(samples):
            table[str(n + 1)] = cutouts[:, n]
    return table
