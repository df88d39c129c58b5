"""Reader of raw CMOS-MEA5000 recordings, `.cmcr`: sensor stream, light and frame-pulse channels, rates.

Nothing is read before it is asked for, and of the sensor stream never more than the rows that are asked for.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from h5burst import Array, ArraySource, Group, LazyArray, find_export, keeping_open
from hdmea.io import mcs_format
from hdmea.io.light_reference import light_reference
from hdmea.utils.exceptions import DataLoadError

KIND = ".cmcr"
DURATION = "LB.RecordingDuration"
DEFAULT_RATE_HZ = 20000.0  # where a file does not tell
_AHEAD_BYTES = 1 << 20  # of small tables

logger = logging.getLogger(__name__)


class CmcrRecording:
    """A `.cmcr` file, whose streams read themselves; within a `with` block it is opened once.

    Attributes
    ----------
    acquisition_rate : float or None
        Hz, from the stream tick, else the duration; None if neither is stored.
    sample_count : int
        Samples of the analog channels; of the sensor where there are no channels.
    channels : dict of str to h5burst.ArraySource
        "ch1" (light) and "ch2" (frame pulses), as many as there are: block sources (samples,) int32, ADC counts.
    sensor : LazyArray or None
        Block source (frames, rows, columns) int16, ADC counts; None for a recording without a sensor stream.
    meta : dict
        The root's attributes and the first rows of the streams' meta tables, as Python values.
    warnings : list of str
        What of the file is not read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.sensor: LazyArray | None = None
        self.warnings: list[str] = []
        self._blocks = ExitStack()
        tree = mcs_format.open_file(self.path, KIND, _AHEAD_BYTES)
        with mcs_format.reading(self.path, KIND):
            self._read_header(tree)

    def _read_header(self, tree: Group) -> None:
        acquisition = mcs_format.find_group(tree, mcs_format.ACQUISITION, mcs_format.ACQUISITION)
        if acquisition is None:
            raise DataLoadError(f"{self.path} is no {KIND} file: it has no group /Acquisition", self.path)
        self.meta = mcs_format.attributes(tree)
        analog = mcs_format.find_group(acquisition, "Analog Data", "ChannelStream")
        sensor = mcs_format.find_group(acquisition, "Sensor Data", "SensorStream")
        data = None if analog is None else self._first_data(analog, "ChannelData", 2)
        frames = None if sensor is None else self._first_data(sensor, "SensorData", 3)
        if isinstance(data, np.ndarray) or isinstance(frames, np.ndarray):  # so few that they were read ahead
            return self._read_header(mcs_format.open_file(self.path, KIND))
        self.channels: dict[str, ArraySource] = {}
        if frames is not None:
            if os.path.realpath(frames.path) != os.path.realpath(self.path):
                raise DataLoadError(f"{self.path} is no {KIND} file: it leads to {frames.path}, which is", self.path)
            self.sensor = frames
            self.sample_count = frames.shape[0]
        if data is not None:
            self.channels = {f"ch{n}": row for n, row in enumerate(mcs_format.row_sources(data, KIND), 1)}
            self.sample_count = int(data.shape[1])
        elif frames is None:
            raise DataLoadError(f"{self.path} holds neither sensor nor analog data", self.path)
        facts = mcs_format.stream_facts(acquisition)
        self.meta |= facts
        self.acquisition_rate = mcs_format.stream_rate_hz(facts) or self._rate_by_duration()

    def _rate_by_duration(self) -> float | None:
        duration_us = self.meta.get(DURATION)
        if not isinstance(duration_us, (int, float)) or duration_us <= 0:
            return None
        return self.sample_count * mcs_format.MICROSECONDS / duration_us

    def _first_data(self, stream: Group, prefix: str, dimensions: int) -> LazyArray | np.ndarray[Any, Any] | None:
        """The first dataset of that kind in the order of its numbers; several regions or segments give a warning."""
        datasets = []
        for name, child in stream.children.items():
            data = child.data if name.startswith(prefix) and isinstance(child, Array) else None
            if isinstance(data, (LazyArray, np.ndarray)) and data.ndim == dimensions:
                datasets.append(([int(digits) for digits in re.findall(r"\d+", name)], data))
        if not datasets:
            return None
        datasets.sort(key=lambda item: item[0])
        if len(datasets) > 1:
            self.warnings.append(f"{self.path}: {len(datasets)} parts {prefix} *, only the first is read")
            logger.warning(self.warnings[-1])
        return datasets[0][1]

    def __enter__(self) -> CmcrRecording:
        self._blocks.enter_context(keeping_open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._blocks.close()


def open_recording(path: str | os.PathLike[str]) -> CmcrRecording:
    """Open a `.cmcr` file for reading.

    Raises `FileNotFoundError`, and `DataLoadError` (with `file_path` and `original_error`) for any other file.
    """
    return CmcrRecording(path)


def load_cmcr_data(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Load what a raw file holds beside its sensor stream.

    `file_path`, `metadata`, `acquisition_rate` (Hz, None where the file does not tell), `sample_count`,
    `light_reference` (`raw_ch1`, `1khz_ch1`, `10hz_ch1` and the same of `ch2`: float32 ADC counts, the latter two block
    means) and `sensor_shape` (frames, rows, columns; None without a sensor stream). `metadata` holds
    `recording_duration_s` beside what the file says. Where the file tells no rate, both are as of 20 000 Hz. Raises as
    `open_recording`.
    """
    with open_recording(path) as recording:
        rate_hz = recording.acquisition_rate or DEFAULT_RATE_HZ
        with mcs_format.reading(recording.path, KIND):
            light = light_reference(recording.channels, rate_hz)
        return {
            "file_path": recording.path,
            "metadata": {**recording.meta, "recording_duration_s": recording.sample_count / rate_hz},
            "acquisition_rate": recording.acquisition_rate,
            "sample_count": recording.sample_count,
            "light_reference": light,
            "sensor_shape": None if recording.sensor is None else recording.sensor.shape,
        }


def __getattr__(name: str) -> Any:
    return find_export(__name__, name, {"add_sys_meta_info": "hdmea.steps.vendor_metadata"})
