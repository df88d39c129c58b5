"""The sensor stream of a `.cmcr` file as a recording of SpikeInterface, which has no reader for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import probeinterface
from spikeinterface.core import BaseRecording, BaseRecordingSegment

from h5burst import LazyArray
from hdmea.bridges.scale import volts_of
from hdmea.io import cmcr
from hdmea.io.mcs_format import CHIP_SIDE
from hdmea.steps.per_unit import DEFAULT_PITCH_UM
from hdmea.utils.exceptions import ConfigurationError, DataLoadError

MICROVOLTS = 1e6


class CmcrRecording(BaseRecording):  # type: ignore[misc, unused-ignore]
    """The sensor stream of a raw recording, of which nothing is read before it is asked for.

    Channels are the vendor's sensor numbers (from 1, column by column of the chip), in the order of the stream: row by
    row. Properties: `row`, `col` (from 1), location in µm, gain and offset to µV where the file states them. Traces are
    int16 ADC counts. The probe has a circle of a quarter pitch at each electrode: the file does not say how large they
    are.

    Parameters
    ----------
    path
        A `.cmcr` file.
    pitch_um
        Distance of neighbouring electrodes.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataLoadError
        It is not such a file, has no sensor stream, or does not say its rate.
    ConfigurationError
        A pitch that is not positive.

    Examples
    --------
    >>> from hdmea.spikeinterface import CmcrRecording
    >>> recording = CmcrRecording("recording.cmcr")
    >>> recording.get_num_channels(), recording.sampling_frequency
    (36, 10000.0)
    """

    def __init__(self, path: str | os.PathLike[str], pitch_um: float = DEFAULT_PITCH_UM) -> None:
        if not 0 < pitch_um < float("inf"):
            raise ConfigurationError(f"pitch_um must be positive, not {pitch_um}")
        path = Path(path).absolute()
        with cmcr.open_recording(path) as opened:
            if opened.sensor is None:
                raise DataLoadError(f"{path} holds no sensor stream", path)
            if opened.acquisition_rate is None:
                raise DataLoadError(f"{path} does not say at which rate it was recorded", path)
            frames, rows, cols = opened.sensor.shape
            rate, dtype, scale = opened.acquisition_rate, opened.sensor.dtype, volts_of(opened.meta, "SensorMeta")
        row, col = (axis.ravel() + 1 for axis in np.mgrid[:rows, :cols])
        numbers = CHIP_SIDE * (col - 1) + row
        super().__init__(rate, numbers, dtype)
        self.add_recording_segment(_Segment(path, frames, rate))
        self.set_property("row", row)
        self.set_property("col", col)
        if scale is not None:
            self.set_channel_gains(scale[0] * MICROVOLTS)
            self.set_channel_offsets(scale[1] * MICROVOLTS)
        places = np.stack([col - 1, row - 1], axis=1) * float(pitch_um)
        self.set_probe(_probe(places, pitch_um, numbers))
        self.annotate(pitch_um=float(pitch_um))
        self._kwargs = {"path": str(path), "pitch_um": float(pitch_um)}


def _probe(places_um: np.ndarray[Any, Any], pitch_um: float, numbers: np.ndarray[Any, Any]) -> Any:
    probe = probeinterface.Probe(ndim=2, si_units="um")
    probe.set_contacts(positions=places_um, shapes="circle", shape_params={"radius": pitch_um / 4})
    probe.set_contact_ids([str(number) for number in numbers.tolist()])
    probe.set_device_channel_indices(np.arange(len(numbers)))
    probe.annotate(name="CMOS-MEA5000", manufacturer="Multi Channel Systems")
    return probe


class _Segment(BaseRecordingSegment):  # type: ignore[misc, unused-ignore]
    """The whole stream: one segment. Each process looks for the stream in the file by itself."""

    def __init__(self, path: Path, frames: int, rate_hz: float) -> None:
        super().__init__(sampling_frequency=rate_hz)
        self._path, self._frames = path, frames
        self._sensor: LazyArray | None = None

    def get_num_samples(self) -> int:
        """Frames of the stream."""
        return self._frames

    def get_traces(
        self, start_frame: int | None = None, end_frame: int | None = None, channel_indices: Any = None
    ) -> np.ndarray[Any, Any]:
        """Frames [start_frame, end_frame) of the wanted channels (frames, channels), ADC counts; only they are read."""
        start = 0 if start_frame is None else int(start_frame)
        stop = self._frames if end_frame is None else min(int(end_frame), self._frames)
        if self._sensor is None:
            self._sensor = cmcr.open_recording(self._path).sensor
        assert self._sensor is not None
        frames = self._sensor.read(start, max(start, stop))
        traces = frames.reshape(len(frames), int(np.prod(frames.shape[1:])))
        return traces if channel_indices is None else np.asarray(traces[:, channel_indices])

    def __getstate__(self) -> dict[str, Any]:
        """State for another process: not the stream, which knows this machine's file."""
        return {**self.__dict__, "_sensor": None}
