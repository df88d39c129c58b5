"""A recording from the vendor's files: units, light references, frame pulses and metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from h5burst import ArraySource, keeping_open
from hdmea.io.cmcr import DEFAULT_RATE_HZ, CmcrRecording
from hdmea.io.cmtr import CmtrRecording
from hdmea.io.light_reference import frame_timestamps, light_reference
from hdmea.session.memory import SessionMemory
from hdmea.session.session import PipelineSession
from hdmea.steps.load import (
    LoadJob,
    RecordingData,
    add_frames,
    check_rate,
    checked_paths,
    common_metadata,
    finish_units,
    source_paths,
)
from hdmea.steps.results import LoadResult
from hdmea.steps.run_step import run_step
from hdmea.utils.exceptions import MismatchError
from hdmea.utils.names import default_dataset_id

PULSES_HZ = (5.0, 2000.0)  # rates of displays, and more
MIN_PULSE_SAMPLES = 4  # from one frame to the next
TAIL_S = 1.0  # a recording that is known by its spikes alone ends so long after the last one


def load_recording(
    cmcr_path: str | Path | None = None,
    cmtr_path: str | Path | None = None,
    dataset_id: str | None = None,
    *,
    output_dir: str | Path = "artifacts",
    force: bool = False,
    allow_overwrite: bool = False,
    config: Mapping[str, Any] | None = None,
    session: PipelineSession | None = None,
) -> LoadResult | PipelineSession:
    """Load a recording: units, light references, frame pulses and metadata.

    Parameters
    ----------
    cmcr_path, cmtr_path
        The raw and the spike-sorted file; at least one. With a session, those that it names are the default.
    dataset_id
        Default: the stem of the `.cmtr`, else of the `.cmcr`. A session keeps its own.
    output_dir
        The file is `{output_dir}/{dataset_id}.h5`; characters of the ID that cannot be in a file name are
        percent-encoded in it.
    force, allow_overwrite
        Load anew, whatever is there; both mean the same.
    config
        What tells one load from another: a complete file of the same config and the same inputs is returned as it is,
        with a warning.
    session
        Deferred mode: the session that is filled; no file is written.

    Returns
    -------
    LoadResult or PipelineSession
        What was written; or `session`.

    Raises
    ------
    ConfigurationError
        Neither path, or a wrong suffix.
    FileNotFoundError
        A file is missing.
    DataLoadError
        A file cannot be read as what it should be.
    MismatchError
        The two files are of different recordings.
    FileExistsError
        The recording was loaded with another config, from other inputs (by size, time and a hash of head and tail), or
        incompletely, and neither `force` nor `allow_overwrite`.

    Examples
    --------
    >>> from hdmea.pipeline import create_session, load_recording
    >>> load_recording("recording.cmcr", "recording.cmtr").hdf5_path.as_posix()
    'artifacts/recording.h5'
    >>> session = load_recording("recording.cmcr", "recording.cmtr", session=create_session("recording"))
    >>> session.unit_count, session.metadata["acquisition_rate"]
    (3, 10000.0)
    """
    cmcr_path, cmtr_path = source_paths(cmcr_path, cmtr_path, session)
    cmcr, cmtr = checked_paths(cmcr_path, cmtr_path)
    job = LoadJob(
        "load_recording",
        config,
        lambda target: read_recording(cmcr, cmtr, target),
        force or allow_overwrite,
        sources={"cmcr_path": cmcr, "cmtr_path": cmtr},
    )
    return run_step(job.step, job.run, job.new_file(dataset_id or default_dataset_id(cmcr, cmtr), output_dir), session)


def read_recording(cmcr_path: Path | None, cmtr_path: Path | None, session: PipelineSession) -> RecordingData:
    """Everything that `load_recording` takes from the vendor's files, within the session's memory budget.

    Raises `DataLoadError` for content that cannot be read, `MismatchError` for two files of different recordings.
    """
    loaded = RecordingData(source_files={"cmcr_path": cmcr_path, "cmtr_path": cmtr_path})
    with keeping_open():
        cmcr = None if cmcr_path is None else CmcrRecording(cmcr_path)
        loaded.warnings += [] if cmcr is None else cmcr.warnings
        cmtr = None if cmtr_path is None else CmtrRecording(cmtr_path)
        rate = _acquisition_rate(cmcr, cmtr, loaded)
        if cmtr is not None:
            loaded.units = cmtr.units(rate, loaded.warn)
            _check_names(loaded)
        duration_s = _duration_s(cmcr, loaded.units, rate, (cmcr_path, cmtr_path))
        _take_analog(cmcr, rate, loaded, session.memory)
    if cmcr_path and cmtr_path and cmcr_path.stem.rstrip("-") != cmtr_path.stem.rstrip("-"):
        loaded.warn(f"the names of {cmcr_path.name} and {cmtr_path.name} differ: are they of one recording?")
    finish_units(loaded.units, rate, duration_s)
    loaded.metadata |= common_metadata(session.dataset_id, rate, duration_s)
    meta = [file.meta for file in (cmcr, cmtr) if file is not None]
    loaded.metadata["sys_meta"] = dict(meta[0]) if meta else {}
    return loaded


def _check_names(loaded: RecordingData) -> None:
    """Warn of units whose group in the file has one number and whose `UnitID` is another: IDs are by `UnitID`."""
    differ = [
        f"{unit['original_name']} is {unit_id}"
        for unit_id, unit in loaded.units.items()
        if (digits := re.search(r"\d+", str(unit["original_name"]))) and int(digits.group()) != unit["unit_num"]
    ]
    if differ:
        more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
        loaded.warn(f"groups of units are named otherwise than their UnitID: {', '.join(differ[:3])}{more}")


def _acquisition_rate(cmcr: CmcrRecording | None, cmtr: CmtrRecording | None, loaded: RecordingData) -> float:
    """From the `.cmcr`, else the `.cmtr`, else 20 kHz. Raises `MismatchError` where the two differ."""
    cmcr_rate = None if cmcr is None else cmcr.acquisition_rate
    cmtr_rate = None if cmtr is None else cmtr.acquisition_rate
    if cmcr and cmtr and cmcr_rate and cmtr_rate and not np.isclose(cmcr_rate, cmtr_rate, rtol=1e-9):
        reason = f"ticks differ: {cmcr_rate:g} Hz and {cmtr_rate:g} Hz"
        message = f"{cmcr.path} and {cmtr.path} are of different recordings: {reason}"
        raise MismatchError(message, cmcr.path, cmtr.path, reason)
    rate = cmcr_rate or cmtr_rate
    if rate is None:
        loaded.warn(f"the acquisition rate is not in the files: taken as {DEFAULT_RATE_HZ:g} Hz")
        return DEFAULT_RATE_HZ
    check_rate(rate, loaded)
    return float(rate)


def _duration_s(
    cmcr: CmcrRecording | None, units: Mapping[str, Any], rate: float, paths: tuple[Path | None, Path | None]
) -> float:
    last = max((int(unit["spike_times"][-1]) for unit in units.values() if len(unit["spike_times"])), default=0)
    if cmcr is None:
        return last / rate + TAIL_S
    if last > cmcr.sample_count + TAIL_S * rate:
        reason = f"spikes at {last / rate:.1f} s, {(last - cmcr.sample_count) / rate:.1f} s past the recording's end"
        raise MismatchError(f"{paths[0]} and {paths[1]} are of different recordings: {reason}", *paths, reason)
    return cmcr.sample_count / rate


def _take_analog(cmcr: CmcrRecording | None, rate: float, loaded: RecordingData, memory: SessionMemory) -> None:
    """Light references and frame pulses; empty ones where there are no analog channels."""
    analog = {} if cmcr is None else cmcr.channels
    channels: dict[str, ArraySource] = {name: analog[name] for name in ("ch1", "ch2") if name in analog}
    stream = partial(memory.stream, loaded=(loaded.units, loaded.stimulus))
    loaded.stimulus["light_reference"] = light_reference(channels, rate, stream)
    pulses = np.empty(0, np.uint64)
    if channels:
        channel = "ch2" if "ch2" in channels else "ch1"
        pulses = frame_timestamps(channels[channel])
        if not len(pulses):
            loaded.warn(f"analog channel {channel} shows no frame pulses: there are no frame timestamps")
        elif len(pulses) > 1 and not _may_be_frames(samples := float(np.median(np.diff(pulses))), rate):
            loaded.warn(
                f"analog channel {channel} rises {rate / samples:.6g} times a second, as no display's frame pulses do: "
                "there are no frame timestamps"
            )
            pulses = pulses[:0]
    add_frames(pulses, rate, loaded)


def _may_be_frames(samples: float, rate: float) -> bool:
    """True where a display may show frames so many samples apart; rate in Hz."""
    return samples >= MIN_PULSE_SAMPLES and PULSES_HZ[0] <= rate / samples <= PULSES_HZ[1]
