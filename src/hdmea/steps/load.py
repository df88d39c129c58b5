"""Common parts of all loads: the paths of their files, what they put into a session, and when they are done already."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from h5burst import Group, load_json
from hdmea.kernels.rates import firing_rates
from hdmea.kernels.trains import to_ragged
from hdmea.session import hdf5_store, recording_file
from hdmea.session.session import PipelineSession
from hdmea.step_table import metadata_of_steps
from hdmea.steps.results import LoadResult
from hdmea.steps.run_step import AlreadyDoneError, NewFile, Outcome
from hdmea.utils.clock import utc_now
from hdmea.utils.discovery import existing
from hdmea.utils.exceptions import ConfigurationError, DataLoadError
from hdmea.utils.file_identity import Identity, differences, identity_of
from hdmea.utils.hashing import params_hash
from hdmea.utils.names import recording_path

logger = logging.getLogger(__name__)

USUAL_RATES_HZ = (1000.0, 100_000.0)
LARGE_SESSION_GB = 8.0
RATE_BIN_S = 0.1
INPUTS = "inputs"  # a group of the recording: its attribute `files` says what a load has read
FILES = "files"


@dataclass
class RecordingData:
    """Content that a load puts into a session, and what it warns of."""

    units: dict[str, dict[str, Any]] = field(default_factory=dict)
    stimulus: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    source_files: dict[str, Path | None] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        logger.warning(message)
        self.warnings.append(message)


# ---------------------------------------------------------------- source files


def source_paths(
    cmcr_path: str | Path | None, cmtr_path: str | Path | None, session: PipelineSession | None
) -> tuple[str | Path | None, str | Path | None]:
    """The paths that are given, else those that the session was created with."""
    if session is None or cmcr_path is not None or cmtr_path is not None:
        return cmcr_path, cmtr_path
    return session.source_file("cmcr_path"), session.source_file("cmtr_path")


def checked_paths(cmcr_path: str | Path | None, cmtr_path: str | Path | None) -> tuple[Path | None, Path | None]:
    """Both as paths. Raises `ConfigurationError` for none or a wrong suffix, `FileNotFoundError` for a missing file."""
    if cmcr_path is None and cmtr_path is None:
        raise ConfigurationError(
            "At least one of cmcr_path and cmtr_path is needed: the .cmcr file, the .cmtr, or both"
        )
    cmcr = _with_suffix(cmcr_path, ".cmcr")
    cmtr = _with_suffix(cmtr_path, ".cmtr")
    return cmcr and existing(cmcr), cmtr and existing(cmtr)


def _with_suffix(path: str | Path | None, suffix: str) -> Path | None:
    if path is None:
        return None
    if Path(path).suffix.lower() != suffix:
        raise ConfigurationError(f"a file that ends in {suffix} is needed, not {path}")
    return Path(path)


# ---------------------------------------------------------------- what every load adds


def check_rate(rate: float, loaded: RecordingData) -> None:
    """Warn of a rate that no such recording has."""
    if not USUAL_RATES_HZ[0] <= rate <= USUAL_RATES_HZ[1]:
        loaded.warn(f"an acquisition rate of {rate:g} Hz is outside 1-100 kHz")


def common_metadata(dataset_id: str, rate: float, duration_s: float) -> dict[str, Any]:
    """Metadata that every load knows of a recording; rate in Hz."""
    return {
        "dataset_id": dataset_id,
        "acquisition_rate": rate,
        "sample_interval": 1.0 / rate,
        "recording_duration_s": duration_s,
    }


def add_frames(samples: npt.NDArray[np.uint64], rate: float, loaded: RecordingData) -> None:
    """Samples (frames,) at which the movie's frames begin; rate in Hz."""
    loaded.metadata["frame_timestamps"] = samples
    loaded.stimulus["frame_times"] = {"default": samples.copy()}
    loaded.metadata["frame_time"] = samples / rate


def finish_units(units: dict[str, dict[str, Any]], rate: float, duration_s: float) -> None:
    """Add to each unit its spikes/s in 100 ms bins from 0 to the recording's end, and room for features."""
    times, offsets = to_ragged([unit["spike_times"] for unit in units.values()])
    bin_width = rate * RATE_BIN_S
    rates = firing_rates(times, offsets, bin_width=bin_width, duration=duration_s * rate, rate_hz=1 / RATE_BIN_S)
    for unit, row in zip(units.values(), rates, strict=True):
        unit["firing_rate_10hz"] = row
        unit.setdefault("features", {})


# ---------------------------------------------------------------- into a session


@dataclass(frozen=True)
class LoadJob:
    """One load: its step's name, what it is asked for, how it reads for a session, and what it would do again.

    sources: the files and directories that it reads, by the names that `source_files` has; what is None is not read.
    """

    step: str
    config: Mapping[str, Any] | None
    read: Callable[[PipelineSession], RecordingData]
    force: bool
    is_done: Callable[[PipelineSession], bool] = lambda session: bool(session.units)
    sources: Mapping[str, Path | None] = field(default_factory=dict)

    def run(self, session: PipelineSession) -> Outcome[LoadResult]:
        """Load into a session. Raises `AlreadyDoneError` for one that is loaded already, without `force`."""
        done = self.is_done(session)
        if done and not self.force:
            others = [] if session.params_hash in (None, params_hash(self.config)) else ["with another config"]
            others += self._other_inputs(session.extra_nodes.get(INPUTS))
            raise AlreadyDoneError(", ".join([f"{self.step} was done already", *others]))
        inputs = self._inputs()
        loaded = self.read(session)
        if changed := differences(inputs, self._inputs()):
            raise DataLoadError(f"an input was changed while it was read: {'; '.join(changed)}. Load it again")
        if done:
            _clear_loaded(session)
        _fill(session, loaded)
        session.params_hash, session.stage1_timestamp = params_hash(self.config), utc_now()
        session.extra_nodes[INPUTS] = Group(attrs={FILES: json.dumps(inputs)})
        if (size := session.memory_estimate_gb) > LARGE_SESSION_GB:
            logger.warning("Session %s holds %.1f GB in memory", session.dataset_id, size)
        path = recording_path(session.output_dir, session.dataset_id)
        result = LoadResult(path, session.dataset_id, session.unit_count, True, list(loaded.warnings))
        return Outcome(result, [("units",), ("stimulus",), ("metadata",)], loaded.warnings)

    def new_file(self, dataset_id: str, output_dir: str | Path) -> NewFile[LoadResult]:
        """File that the load writes without a session; a complete file of the same load is returned as it is."""
        return NewFile(dataset_id, Path(output_dir), self.force, self._cached)

    def _cached(self, path: Path) -> LoadResult:
        tree = recording_file.recording_tree(path)
        status = hdf5_store.get_stage1_status(tree)
        if not status["completed"]:
            raise FileExistsError(f"{path} exists and is not complete: pass force=True to load anew")
        if status["params_hash"] != params_hash(self.config):
            raise FileExistsError(f"{path} was loaded with another config: pass force=True to load anew")
        if others := self._other_inputs(tree.children.get(INPUTS)):
            raise FileExistsError(f"{path} was loaded {'; '.join(others)}: pass force=True to load anew")
        units = tree.children.get("units")
        count, dataset_id = len(units.children) if isinstance(units, Group) else 0, str(tree.attrs["dataset_id"])
        origin = tree.attrs.get("source_files", "not known")
        warning = f"{path} was loaded with the same config before: returned as it is (cache hit); its sources: {origin}"
        if INPUTS not in tree.children:
            warning += "; it does not say what they were like then"
        logger.warning(warning)
        return LoadResult(path, dataset_id, count, True, [warning])

    def _inputs(self) -> dict[str, Identity | None]:
        return {name: identity_of(path) for name, path in self.sources.items() if path is not None}

    def _other_inputs(self, stored: Any) -> list[str]:
        """Differences of a load's inputs, as its file or session keeps them, from today's: a list of one at most."""
        if not isinstance(stored, Group):
            return []  # of an earlier version
        try:
            before = load_json(stored.attrs.get(FILES, "{}"), dict)
        except ValueError:
            before = {}
        changed = differences(before, self._inputs())
        return [f"from other inputs ({'; '.join(changed)})"] if changed else []


def _fill(session: PipelineSession, loaded: RecordingData) -> None:
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
