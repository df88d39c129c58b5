"""The electrodes of an MCS-HDF5 file as a recording of SpikeInterface."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import probeinterface
from spikeinterface.core import BaseRecording, BaseRecordingSegment

from hdmea.io.mcs_h5 import AnalogStream, ElectrodeGrid, McsSegment, mcs_choice, read_mcs
from hdmea.io.mcs_h5.units import chosen_recording, electrode_grid, electrode_streams, named_stream
from hdmea.utils.exceptions import ConfigurationError, DataLoadError

MICROVOLTS = 1e6


class McsH5Recording(BaseRecording):  # type: ignore[misc, unused-ignore]
    """A stream of electrodes of an MCS-HDF5 file (`.h5` of Multi Channel DataManager); only what is asked for is read.

    Channels are named by their labels ("47", "A7", "E1"), in the order of the stream's rows. Properties: `channel_id`
    (the vendor's number), gain and offset to µV where the file states them in volts. Traces are the stored counts,
    int32. What was recorded without a gap is a segment, which begins at the time that the file states. Where the array
    is one of the vendor's square grids and its pitch is known, the recording has a probe; `row` and `col` count from 1.

    Parameters
    ----------
    path
        The `.h5` file.
    stream
        Name ("AnalogStream/Stream_1") or label of the stream; default the only one of electrodes.
    recording
        Number of the recording; default the only one.
    pitch_um
        Distance of neighbouring electrodes, where the array's name does not say it.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataLoadError
        It is not such a file, or has no stream of electrodes.
    ConfigurationError
        Several recordings or streams could be meant, or there is none of that name.

    Examples
    --------
    >>> from hdmea.simulate import simulate_mcs_h5
    >>> from hdmea.spikeinterface import McsH5Recording
    >>> recording = McsH5Recording(simulate_mcs_h5("slice.h5", duration_s=0.5).path)
    >>> recording.get_num_channels(), recording.sampling_frequency, str(recording.channel_ids[0])
    (60, 25000.0, '12')
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        stream: str | None = None,
        recording: int | None = None,
        pitch_um: float | None = None,
    ) -> None:
        path = Path(path).absolute()
        choice = mcs_choice({"recording": recording, "stream": stream, "pitch_um": pitch_um})
        opened, grid = _opened(path, choice.recording, choice.stream, choice.pitch_um)
        channels = opened.channels
        labels = [channel.label for channel in channels]
        named = len(set(labels)) == len(labels) and all(labels)
        numbers = [channel.channel_id for channel in channels]
        super().__init__(opened.sampling_frequency, labels if named else list(map(str, numbers)), opened.data.dtype)
        where = str(path), opened.name, choice.recording
        for segment in opened.segments:
            self.add_recording_segment(_Segment(where, segment, opened.sampling_frequency))
        self.set_property("channel_id", np.array(numbers))
        if all(channel.unit == "V" and channel.is_scaled for channel in channels):
            self.set_channel_gains([channel.step * MICROVOLTS for channel in channels])
            self.set_channel_offsets([-channel.ad_zero * channel.step * MICROVOLTS for channel in channels])
        if grid is not None:
            self._place(labels, grid)
        self._kwargs = {"path": str(path), "stream": stream, "recording": recording, "pitch_um": pitch_um}

    def _place(self, labels: list[str], grid: ElectrodeGrid) -> None:
        places = np.array([grid.place(label) for label in labels])
        self.set_property("row", places[:, 0])
        self.set_property("col", places[:, 1])
        if grid.pitch_um is None:
            return
        probe = probeinterface.Probe(ndim=2, si_units="um")
        positions = (places[:, ::-1] - 1) * grid.pitch_um
        probe.set_contacts(positions=positions, shapes="circle", shape_params={"radius": grid.pitch_um / 20})
        probe.set_contact_ids(labels)
        probe.set_device_channel_indices(np.arange(len(labels)))
        probe.annotate(name=grid.name, manufacturer="Multi Channel Systems")
        self.set_probe(probe, in_place=True)


def _opened(
    path: Path, recording: int | None, name: str | None, pitch_um: float | None
) -> tuple[AnalogStream, ElectrodeGrid | None]:
    """The stream of electrodes that is meant, and the grid that they are on."""
    file = read_mcs(path)
    chosen = chosen_recording(file, recording)
    if name is not None:
        stream = named_stream(chosen, name)
        if not isinstance(stream, AnalogStream):
            raise ConfigurationError(f"{path}: {stream.name} ({stream.label}) does not hold samples")
        return stream, electrode_grid(file, chosen, stream, pitch_um)
    streams = electrode_streams(chosen)
    if not streams:
        raise DataLoadError(f"{path}: recording {chosen.number} has no stream of electrodes", path)
    if len(streams) > 1:
        names = "; ".join(f"{one.name} ({one.label})" for one in streams)
        raise ConfigurationError(f"{path} holds several streams of electrodes: give stream= one of {names}")
    return streams[0], electrode_grid(file, chosen, streams[0], pitch_um)


class _Segment(BaseRecordingSegment):  # type: ignore[misc, unused-ignore]
    """Samples without a gap. Each process opens the file by itself; one thread reads at a time."""

    def __init__(self, where: tuple[str, str, int | None], part: McsSegment, rate_hz: float) -> None:
        super().__init__(sampling_frequency=rate_hz, t_start=part.start_us / 1e6)
        self._where, self._part = where, part
        self._reading = threading.Lock()
        self._opened: tuple[int, AnalogStream] | None = None

    def get_num_samples(self) -> int:
        """Samples of the segment."""
        return self._part.stop - self._part.first

    def get_traces(
        self, start_frame: int | None = None, end_frame: int | None = None, channel_indices: Any = None
    ) -> np.ndarray[Any, Any]:
        """Samples [start_frame, end_frame) of the wanted channels (samples, channels), counts; one is read alone."""
        start = 0 if start_frame is None else int(start_frame)
        stop = self.get_num_samples() if end_frame is None else min(int(end_frame), self.get_num_samples())
        first, last = self._part.first + start, self._part.first + max(start, stop)
        rows = np.arange(self._count())[slice(None) if channel_indices is None else channel_indices]
        with self._reading:
            if len(rows) == 1:
                return self._stream().read(int(rows[0]), first, last, counts=True)[:, None]
            return np.asarray(self._stream().read_all(first, last, counts=True)[rows].T)

    def _count(self) -> int:
        with self._reading:
            return self._stream().shape[0]

    def _stream(self) -> AnalogStream:
        if self._opened is None or self._opened[0] != os.getpid():
            path, name, recording = self._where
            self._opened = os.getpid(), _opened(Path(path), recording, name, None)[0]
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        """State for another process: neither the lock nor the open file."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_reading", "_opened")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reading, self._opened = threading.Lock(), None
