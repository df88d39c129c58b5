"""From the vendor's files, or a spike file, to a session's units, stimulus and metadata."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from h5burst import BlockSource
from hdmea.io.cmcr import CmcrRecording, open_recording
from hdmea.io.cmtr import read_meta, read_units
from hdmea.io.light_reference import frame_timestamps, light_reference
from hdmea.kernels.rates import firing_rates
from hdmea.kernels.trains import to_ragged
from hdmea.session import hdf5_store
from hdmea.session.memory import SessionMemory
from hdmea.session.session import PipelineSession
from hdmea.steps.eimage import FEATURE, EImageOptions, EImageSTA, Progress, iter_eimage_sta
from hdmea.steps.results import LoadResult
from hdmea.steps.run_step import AlreadyDoneError, NewFile, Outcome
from hdmea.steps.table import metadata_of_steps
from hdmea.utils.clock import utc_now
from hdmea.utils.exceptions import ConfigurationError, DataLoadError, MismatchError
from hdmea.utils.hashing import params_hash
from hdmea.utils.names import recording_path
from hdmea.utils.progress import reporting

logger = logging.getLogger(__name__)

DEFAULT_RATE_HZ = 20000.0
USUAL_RATES_HZ = (1000.0, 100_000.0)
LARGE_SESSION_GB = 8.0
RATE_BIN_S = 0.1
TAIL_S = 1.0  # a recording that is known by its spikes alone ends so long after the last one


@dataclass
class Loaded:
    """What a load puts into a session, and what it warns of."""

    units: dict[str, dict[str, Any]] = field(default_factory=dict)
    stimulus: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    source_files: dict[str, Path | None] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        logger.warning(message)
        self.warnings.append(message)


# ---------------------------------------------------------------- source files


def checked_paths(cmcr_path: str | Path | None, cmtr_path: str | Path | None) -> tuple[Path | None, Path | None]:
    """Both as paths. Raises `ConfigurationError` for none or a wrong suffix, `FileNotFoundError` for a missing file."""
    if cmcr_path is None and cmtr_path is None:
        raise ConfigurationError(
            "At least one of cmcr_path and cmtr_path is needed: the .cmcr file, the .cmtr, or both"
        )
    cmcr = _with_suffix(cmcr_path, ".cmcr")
    cmtr = _with_suffix(cmtr_path, ".cmtr")
    for path in (cmcr, cmtr):
        if path is not None and not path.exists():
            raise FileNotFoundError(f"no such file: {path}")
    return cmcr, cmtr


def _with_suffix(path: str | Path | None, suffix: str) -> Path | None:
    if path is None:
        return None
    if Path(path).suffix.lower() != suffix:
        raise ConfigurationError(f"a file that ends in {suffix} is needed, not {path}")
    return Path(path)


def read_recording(cmcr_path: Path | None, cmtr_path: Path | None, session: PipelineSession) -> Loaded:
    """Everything that `load_recording` takes from the vendor's files, within the session's memory budget.

    Raises `DataLoadError` for content that cannot be read, `MismatchError` for two files of different recordings.
    """
    loaded = Loaded(source_files={"cmcr_path": cmcr_path, "cmtr_path": cmtr_path})
    with ExitStack() as stack:
        cmcr = None if cmcr_path is None else stack.enter_context(open_recording(cmcr_path))
        cmtr_meta, cmtr_rate = ({}, None) if cmtr_path is None else read_meta(cmtr_path)
        rate = _acquisition_rate(cmcr, cmtr_rate, (cmcr_path, cmtr_path), loaded)
        if cmtr_path is not None:
            loaded.units = read_units(cmtr_path, rate)
        duration_s = _duration_s(cmcr, loaded.units, rate, (cmcr_path, cmtr_path))
        _take_analog(cmcr, rate, loaded, session.memory)
    if cmcr_path and cmtr_path and cmcr_path.stem.rstrip("-") != cmtr_path.stem.rstrip("-"):
        loaded.warn(f"the names of {cmcr_path.name} and {cmtr_path.name} differ: are they of one recording?")
    _finish_units(loaded.units, rate, duration_s)
    loaded.metadata |= _common_metadata(session.dataset_id, rate, duration_s)
    loaded.metadata["sys_meta"] = dict(cmtr_meta if cmcr is None else cmcr.meta)
    return loaded


def _common_metadata(dataset_id: str, rate: float, duration_s: float) -> dict[str, Any]:
    return {
        "dataset_id": dataset_id,
        "acquisition_rate": rate,
        "sample_interval": 1.0 / rate,
        "recording_duration_s": duration_s,
    }


def _acquisition_rate(
    cmcr: CmcrRecording | None, cmtr_rate: float | None, paths: tuple[Path | None, Path | None], loaded: Loaded
) -> float:
    """From the `.cmcr`, else the `.cmtr`, else 20 kHz. Raises `MismatchError` where the two differ."""
    cmcr_rate = None if cmcr is None else cmcr.acquisition_rate
    if cmcr_rate is not None and cmtr_rate is not None and not np.isclose(cmcr_rate, cmtr_rate, rtol=1e-9):
        reason = f"ticks differ: {cmcr_rate:g} Hz and {cmtr_rate:g} Hz"
        raise MismatchError(f"{paths[0]} and {paths[1]} are of different recordings: {reason}", *paths, reason)
    rate = cmcr_rate or cmtr_rate
    if rate is None:
        loaded.warn(f"the acquisition rate is not in the files: taken as {DEFAULT_RATE_HZ:g} Hz")
        return DEFAULT_RATE_HZ
    check_rate(rate, loaded)
    return float(rate)


def check_rate(rate: float, loaded: Loaded) -> None:
    """Warn of a rate that no such recording has."""
    if not USUAL_RATES_HZ[0] <= rate <= USUAL_RATES_HZ[1]:
        loaded.warn(f"an acquisition rate of {rate:g} Hz is outside 1-100 kHz")


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


def _take_analog(cmcr: CmcrRecording | None, rate: float, loaded: Loaded, memory: SessionMemory) -> None:
    """Light references and frame pulses; empty ones where there are no analog channels."""
    there = {} if cmcr is None else cmcr.channels
    channels: dict[str, BlockSource] = {name: there[name] for name in ("ch1", "ch2") if name in there}
    stream = partial(memory.stream, loaded=(loaded.units, loaded.stimulus))
    loaded.stimulus["light_reference"] = light_reference(channels, rate, stream)
    pulses = np.empty(0, np.uint64)
    if channels:
        channel = "ch2" if "ch2" in channels else "ch1"
        pulses = frame_timestamps(channels[channel])
        if not len(pulses):
            loaded.warn(f"analog channel {channel} shows no frame pulses: there are no frame timestamps")
    loaded.metadata["frame_timestamps"] = pulses
    loaded.stimulus["frame_times"] = {"default": pulses.copy()}
    loaded.metadata["frame_time"] = pulses / rate


def _finish_units(units: dict[str, dict[str, Any]], rate: float, duration_s: float) -> None:
    """Add to each unit its spikes/s in 100 ms bins from 0 to the recording's end, and room for features."""
    times, offsets = to_ragged([unit["spike_times"] for unit in units.values()])
    bin_width = rate * RATE_BIN_S
    rates = firing_rates(times, offsets, bin_width=bin_width, duration=duration_s * rate, rate_hz=1 / RATE_BIN_S)
    for unit, row in zip(units.values(), rates, strict=True):
        unit["firing_rate_10hz"] = row
        unit.setdefault("features", {})


def read_with_images(
    cmcr_path: Path, cmtr_path: Path, session: PipelineSession, options: EImageLoad
) -> tuple[Loaded, EImageSTA]:
    """As `read_recording`, and the electrical image of each unit that `options` asks for among its features."""
    loaded = read_recording(cmcr_path, cmtr_path, session)
    wanted = _wanted_units(loaded.units, options.unit_ids)
    with open_recording(cmcr_path) as cmcr, reporting("electrical images") as progress:
        if cmcr.sensor is None:
            raise DataLoadError(f"{cmcr_path} holds no sensor stream: no electrical images can be made", cmcr_path)
        if options.load_sys_meta:
            loaded.metadata |= {"cmcr_meta": dict(cmcr.meta), "cmtr_meta": read_meta(cmtr_path)[0]}
        image_options = EImageOptions(sampling_rate=loaded.metadata["acquisition_rate"], **options.parameters)
        outcome = take_images(cmcr.sensor, loaded, wanted, image_options, session.memory, progress)
    if outcome.without_spikes:
        loaded.warn(
            f"no spikes to average for the electrical images of {', '.join(outcome.without_spikes)}: they are NaN"
        )
    if not options.load_sys_meta:
        del loaded.metadata["sys_meta"]
    if not options.load_unit_meta:
        for unit in loaded.units.values():
            unit.pop("unit_meta", None)
    return loaded, outcome


def take_images(
    sensor: BlockSource,
    loaded: Loaded,
    unit_ids: Sequence[str],
    options: EImageOptions,
    memory: SessionMemory,
    progress: Progress | None = None,
) -> EImageSTA:
    """Add to each of these units its electrical image; images and the sums of a pass share the memory budget."""
    outcome = EImageSTA({})
    room = memory.block_budget(loaded.units, loaded.stimulus)
    images = iter_eimage_sta(
        sensor,
        {unit_id: loaded.units[unit_id]["spike_times"] for unit_id in unit_ids},
        options,
        budget_bytes=room,
        progress=progress,
        outcome=outcome,
    )
    waiting = 0
    for unit_id, feature in images:
        loaded.units[unit_id]["features"][FEATURE] = feature
        if not feature["data"].flags.owndata:
            continue  # of a single pass, a part of the sums themselves
        waiting += feature["data"].nbytes
        if waiting > memory.budget // 8:
            memory.enforce(loaded.units, loaded.stimulus, beside=room or 0)
            waiting = 0
    return outcome


def with_images(units: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The units that have an electrical image."""
    return [unit_id for unit_id, unit in units.items() if FEATURE in (unit.get("features") or {})]


def has_images(session: PipelineSession) -> bool:
    return bool(with_images(session.units))


def count_images(path: Path) -> int:
    """How many units of a file have an electrical image."""
    with hdf5_store.open_recording_hdf5(path) as file:
        units = hdf5_store.list_units(file)
        return sum(FEATURE in hdf5_store.list_features(file, unit_id) for unit_id in units)


@dataclass(frozen=True)
class EImageLoad:
    """What `load_recording_with_eimage_sta` is asked for; `parameters` are those of `compute_eimage_sta`."""

    parameters: Mapping[str, Any]
    unit_ids: Sequence[str] | None
    load_unit_meta: bool
    load_sys_meta: bool

    def config(self) -> dict[str, Any]:
        """What tells one result from another; the length of a chunk does not."""
        config = {name: value for name, value in self.parameters.items() if name != "chunk_duration_s"}
        config["window_range"] = list(config["window_range"])
        config["unit_ids"] = None if self.unit_ids is None else sorted(map(str, self.unit_ids))
        return config | {"load_unit_meta": self.load_unit_meta, "load_sys_meta": self.load_sys_meta}


def _wanted_units(units: Mapping[str, Mapping[str, Any]], wanted: Sequence[str | int] | None) -> list[str]:
    """The IDs of units that are named by their IDs or by the vendor's numbers; all for None."""
    if wanted is None:
        return list(units)
    numbers = {str(unit["unit_num"]): unit_id for unit_id, unit in units.items() if "unit_num" in unit}
    if unknown := [name for name in wanted if name not in units and str(name) not in numbers]:
        raise ConfigurationError(f"no units {', '.join(map(str, unknown))}; there are: {', '.join(units) or 'none'}")
    return list(dict.fromkeys(str(name) if name in units else numbers[str(name)] for name in wanted))


def read_spike_file(path: Path, dataset_id: str, acquisition_rate: float) -> Loaded:
    """Everything that `load_spikes` takes from a file in the retinal-wave layout."""
    from hdmea.io.spikes import read_spikes

    if not 0 < acquisition_rate < float("inf"):
        raise ConfigurationError(f"acquisition_rate must be positive, not {acquisition_rate}")
    loaded = Loaded(source_files={"cmcr_path": None, "cmtr_path": None, "spikes_path": path})
    check_rate(acquisition_rate, loaded)
    loaded.units, duration_s, facts = read_spikes(path, float(acquisition_rate))
    _finish_units(loaded.units, float(acquisition_rate), duration_s)
    loaded.metadata = _common_metadata(dataset_id, float(acquisition_rate), duration_s)
    loaded.metadata["sys_meta"] = facts
    return loaded


# ---------------------------------------------------------------- into a session


@dataclass(frozen=True)
class LoadJob:
    """One load: its step's name, what it is asked for, how it reads for a session, and what it would do again."""

    step: str
    config: Mapping[str, Any] | None
    read: Callable[[PipelineSession], Loaded]
    force: bool
    is_done: Callable[[PipelineSession], bool] = lambda session: bool(session.units)

    def run(self, session: PipelineSession) -> Outcome[LoadResult]:
        """Load into a session. Raises `AlreadyDoneError` for one that is loaded already, without `force`."""
        done = self.is_done(session)
        if done and not self.force:
            other = " (with another config)" if session.params_hash not in (None, params_hash(self.config)) else ""
            raise AlreadyDoneError(f"{self.step} was done already{other}")
        loaded = self.read(session)
        if done:
            _clear_loaded(session)
        _fill(session, loaded)
        session.params_hash, session.stage1_timestamp = params_hash(self.config), utc_now()
        if (size := session.memory_estimate_gb) > LARGE_SESSION_GB:
            logger.warning("Session %s holds %.1f GB in memory", session.dataset_id, size)
        path = recording_path(session.output_dir, session.dataset_id)
        result = LoadResult(path, session.dataset_id, session.unit_count, True, list(loaded.warnings))
        return Outcome(result, [("units",), ("stimulus",), ("metadata",)], loaded.warnings)

    def new_file(self, dataset_id: str, output_dir: str | Path) -> NewFile[LoadResult]:
        """Where the load writes without a session; a complete file of the same config is returned as it is."""
        return NewFile(dataset_id, Path(output_dir), self.force, self._cached)

    def _cached(self, path: Path) -> LoadResult:
        with hdf5_store.open_recording_hdf5(path) as file:
            status = hdf5_store.get_stage1_status(file)
            if not status["completed"]:
                raise FileExistsError(f"{path} exists and is not complete: pass force=True to load anew")
            if status["params_hash"] != params_hash(self.config):
                raise FileExistsError(f"{path} was loaded with another config: pass force=True to load anew")
            count, dataset_id = len(hdf5_store.list_units(file)), str(file.attrs["dataset_id"])
            origin = file.attrs.get("source_files", "not known")
        warning = f"{path} was loaded with the same config before: returned as it is (cache hit); its sources: {origin}"
        logger.warning(warning)
        return LoadResult(path, dataset_id, count, True, [warning])


def _fill(session: PipelineSession, loaded: Loaded) -> None:
    for unit_id, fields in loaded.units.items():
        unit = session.units.setdefault(unit_id, {})
        unit.update({**fields, "features": {**(unit.get("features") or {}), **fields["features"]}})
    session.add_stimulus(loaded.stimulus)
    session.add_metadata(loaded.metadata)
    session.source_files.update(loaded.source_files)


def _clear_loaded(session: PipelineSession) -> None:
    """Before a recording is loaded anew: all that the former one led to."""
    session.units.clear()
    session.stimulus.clear()
    session.completed_steps.clear()
    session.warnings.clear()
    for name in metadata_of_steps():
        session.metadata.pop(name, None)
