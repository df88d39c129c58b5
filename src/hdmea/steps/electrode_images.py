"""Electrical images of a recording that was loaded from an MCS-HDF5 file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from h5burst.progress import reporting
from hdmea.io.mcs_h5 import AnalogStream, ElectrodeGrid, McsChoice, McsSegment, is_mcs_h5, read_mcs
from hdmea.io.mcs_h5.units import chosen_recording, electrode_grid, electrode_streams, named_stream
from hdmea.session.session import PipelineSession
from hdmea.steps.eimage import FEATURE, EImageOptions, Feature, iter_eimage_sta
from hdmea.steps.frames import acquisition_rate_of
from hdmea.steps.per_unit import PITCH_UM, feature_data, number
from hdmea.steps.results import StepResult
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.utils.exceptions import ConfigurationError, MissingInputError

STEP = "add_electrode_images"
MIN_ELECTRODES = 16  # of fewer, an image shows neither a soma nor an axon
WINDOW_S = (-0.0005, 0.002)

Trains = dict[str, npt.NDArray[np.int64]]


def add_electrode_images(
    hdf5_path: Target = None,
    *,
    stream: str | None = None,
    duration_s: float = 120.0,
    spike_limit: int | None = 10_000,
    window_range: tuple[int, int] | None = None,
    cutoff_hz: float = 100.0,
    force: bool = False,
    session: PipelineSession | None = None,
) -> StepResult | PipelineSession:
    """Compute the electrical image of every unit of a recording that `load_spikes` took from an MCS-HDF5 file.

    The electrodes' stream is read in blocks, high-pass filtered without phase shift, and averaged around each unit's
    spikes: `units[id]["features"]["eimage_sta"]` holds float32 (window, rows, columns) in volts, NaN where the array
    has no electrode. Parts between gaps are filtered each by itself, and spikes near a gap take no part.

    Parameters
    ----------
    hdf5_path
        Immediate mode: the recording's file, changed in one transaction; or a session, which is saved first.
    stream
        Name or label of the electrodes' stream; default the only one, else the one of raw data that the others were
        made from.
    duration_s
        Seconds of the recording, from its zero, that are analysed. Spikes after them take no part.
    spike_limit
        Average over each unit's first so many spikes whose window is inside; None for all.
    window_range
        (lo, hi) in samples: the window of a spike at sample t is [t + lo, t + hi). Default -0.5 to 2 ms.
    cutoff_hz
        Of the Butterworth high-pass of second order, run forwards and backwards.
    force
        Compute again images that are there; otherwise those units are skipped.
    session
        Deferred mode: the session to work on; it counts where both are given.

    Returns
    -------
    StepResult or PipelineSession
        Counts of units; or `session`.

    Raises
    ------
    MissingInputError
        The recording is not from an MCS-HDF5 file, or that holds no stream of electrodes, or too few, or those are not
        on one of the vendor's grids.
    ConfigurationError
        There is no such stream.
    ValueError
        A parameter outside its range.

    References
    ----------
    Litke et al. 2004, IEEE Trans. Nucl. Sci. 51:1434 (electrical images).

    Examples
    --------
    >>> from hdmea.features import add_electrode_images
    >>> from hdmea.pipeline import create_session, load_spikes
    >>> from hdmea.simulate import simulate_mcs_h5
    >>> made = simulate_mcs_h5("slice.h5", duration_s=2.0)
    >>> session = add_electrode_images(session=load_spikes(made.path, session=create_session("slice")))
    >>> session.units["unit_001"]["features"]["eimage_sta"]["data"].shape
    (62, 8, 8)
    """

    def step(recording: PipelineSession) -> Outcome[StepResult]:
        started = time.perf_counter()
        sensor = _sensor_of(recording, stream)
        pending = [name for name, unit in recording.units.items() if force or feature_data(unit, FEATURE) is None]
        window = window_range or tuple(round(edge * sensor.rate) for edge in WINDOW_S)
        options = EImageOptions(
            sampling_rate=sensor.rate,
            duration_s=duration_s,
            spike_limit=None,
            window_range=(int(window[0]), int(window[1])),
            cutoff_hz=cutoff_hz,
        )
        outcome = Outcome(StepResult(recording.hdf5_path, STEP, units_skipped=recording.unit_count - len(pending)))
        trains = {name: np.asarray(recording.units[name]["spike_times"]).astype(np.int64) for name in pending}
        images = _images(sensor, trains, options, spike_limit, recording)
        without = [name for name, image in images.items() if not image["metadata"]["n_spikes"]]
        for name, image in images.items():
            recording.units[name]["features"] = {**(recording.units[name].get("features") or {}), FEATURE: image}
            outcome.changed.append(("units", name, "features", FEATURE))
        if without:
            outcome.warn(f"no spikes to average for the electrical images of {', '.join(without)}: they are NaN")
        result = outcome.result
        result.units_processed, result.failed_units, result.units_failed = len(images), without, len(without)
        result.warnings, result.elapsed_seconds = outcome.warnings, time.perf_counter() - started
        return outcome

    return run_step(STEP, step, hdf5_path, session)


@dataclass(frozen=True)
class _Sensor:
    """The electrodes' stream on their grid. rate: Hz, of the recording's samples and the stream's alike."""

    stream: AnalogStream
    grid: ElectrodeGrid
    rate: float

    def parts(self, duration_s: float) -> list[tuple[McsSegment, int]]:
        """The segments that begin within the duration, each with the sample of the recording at its first."""
        parts = []
        for segment in self.stream.segments:
            first = round(segment.start_us * self.rate / 1e6)
            stop = min(segment.stop, segment.first + round(duration_s * self.rate) - first)
            if stop > segment.first:
                parts.append((McsSegment(segment.start_us, segment.first, stop), first))
        return parts


def _sensor_of(recording: PipelineSession, name: str | None) -> _Sensor:
    """The electrodes that a recording's spikes are from. Raises `MissingInputError` where there are no such."""
    source = recording.source_file("spikes_path")
    if source is None or not is_mcs_h5(Path(source)):
        raise MissingInputError(f"{STEP} needs a recording loaded from an MCS-HDF5 file that is there", STEP, "spikes")
    file = read_mcs(Path(source))
    meta = recording.metadata.get("sys_meta")
    recording_number = number(meta.get("recording"), -1.0) if isinstance(meta, Mapping) else -1.0
    chosen = chosen_recording(file, int(recording_number) if recording_number >= 0 else None)
    stream = _electrodes(chosen.path, electrode_streams(chosen)) if name is None else named_stream(chosen, name)
    if not isinstance(stream, AnalogStream):
        raise ConfigurationError(f"{source}: {stream.name} ({stream.label}) does not hold samples of electrodes")
    pitch = number(recording.metadata.get(PITCH_UM))
    grid = electrode_grid(file, chosen, stream, pitch if np.isfinite(pitch) else McsChoice().pitch_um)
    if grid is None or stream.shape[0] < MIN_ELECTRODES:
        problem = f"{stream.shape[0]} electrodes of the array {file.mea_layout or file.mea_name or 'without a name'!r}"
        raise MissingInputError(
            f"{source}: {problem} make no image: they are too few or on no known grid", STEP, "grid"
        )
    rate = acquisition_rate_of(recording, STEP)
    if not np.isclose(rate, stream.sampling_frequency, rtol=1e-9):
        problem = f"{stream.name} has {stream.sampling_frequency:g} Hz, the recording was loaded with {rate:g} Hz"
        raise MissingInputError(f"{source}: {problem}", STEP, "acquisition_rate")
    return _Sensor(stream, grid, rate)


def _electrodes(path: Path, streams: list[AnalogStream]) -> AnalogStream:
    """The only stream of electrodes, or the only one that was not made from another one of them."""
    made_from = {stream.guid for stream in streams}
    raw = [stream for stream in streams if stream.source_guid not in made_from]
    if len(raw) != 1:
        names = "; ".join(f"{one.name} ({one.label})" for one in streams) or "none"
        raise MissingInputError(f"{path}: {STEP} needs stream= one of the electrodes' streams: {names}", STEP, "stream")
    return raw[0]


@dataclass(frozen=True)
class _Frames:
    """A part of the stream as frames (samples, rows, columns) of volts, float32; 0 where there is no electrode."""

    sensor: _Sensor
    part: McsSegment
    places: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.part.stop - self.part.first, self.sensor.grid.side, self.sensor.grid.side)

    @property
    def dtype(self) -> np.dtype[np.float32]:
        return np.dtype(np.float32)

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        volts = self.sensor.stream.read_all(self.part.first + start, self.part.first + stop)
        frames = np.zeros((volts.shape[1], self.sensor.grid.side**2), np.float32)
        frames[:, self.places] = volts.T
        return frames.reshape(len(frames), *self.shape[1:])


def _images(
    sensor: _Sensor, trains: Trains, options: EImageOptions, limit: int | None, recording: PipelineSession
) -> dict[str, Feature]:
    """The image of each unit, over all parts of the recording between gaps, weighted by their spikes."""
    places = np.array([_place(sensor.grid, channel.label) for channel in sensor.stream.channels])
    parts = sensor.parts(options.duration_s)
    of_parts = _spikes_of_parts(trains, parts, options.window, limit)
    shape = (options.window[1] - options.window[0], sensor.grid.side, sensor.grid.side)
    sums = {name: np.zeros(shape) for name in trains}
    used = dict.fromkeys(trains, 0)
    with reporting("electrical images") as progress:
        for (part, _), spikes in zip(parts, of_parts, strict=True):
            if not any(len(train) for train in spikes.values()):
                continue
            room = recording.memory.block_budget(recording.units, recording.stimulus)
            images = iter_eimage_sta(
                _Frames(sensor, part, places), spikes, options, budget_bytes=room, progress=progress
            )
            for name, image in images:
                count = image["metadata"]["n_spikes"]
                if count:
                    sums[name] += np.asarray(image["data"], np.float64) * count
                    used[name] += count
    within = round(options.duration_s * sensor.rate)
    empty = np.ones(sensor.grid.side**2, bool)
    empty[places] = False
    by_unit = {}
    for name, train in trains.items():
        data = (sums[name] / used[name] if used[name] else np.full(shape, np.nan)).astype(np.float32)
        data.reshape(len(data), -1)[:, empty] = np.nan
        excluded = int((train < within).sum()) - used[name] if limit is None or used[name] < limit else 0
        counts = {"n_spikes": used[name], "n_spikes_excluded": excluded, "unit": "V", "stream": sensor.stream.name}
        by_unit[name] = {"data": data, "metadata": {**options.metadata(), **counts, "spike_limit": limit}}
    return by_unit


def _place(grid: ElectrodeGrid, label: str) -> int:
    cell = grid.place(label)
    assert cell is not None  # the grid is one on which all labels are
    return (cell[0] - 1) * grid.side + cell[1] - 1


def _spikes_of_parts(
    trains: Trains, parts: list[tuple[McsSegment, int]], window: tuple[int, int], limit: int | None
) -> list[Trains]:
    """For each part each unit's spikes whose window is inside it, from its first sample on; at most `limit` in all."""
    of_parts: list[Trains] = []
    left = {name: len(train) if limit is None else limit for name, train in trains.items()}
    for part, first in parts:
        length = part.stop - part.first
        inside = {}
        for name, train in trains.items():
            local = train - first
            local = local[(local + window[0] >= 0) & (local + window[1] <= length)][: left[name]]
            left[name] -= len(local)
            inside[name] = local
        of_parts.append(inside)
    return of_parts
