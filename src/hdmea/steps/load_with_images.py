"""A recording from the vendor's files, and in the same pass the electrical images of its units."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from h5burst import ArraySource, Group
from h5burst.progress import reporting
from hdmea.io.cmcr import open_recording
from hdmea.io.cmtr import CmtrRecording
from hdmea.session import recording_file
from hdmea.session.memory import SessionMemory
from hdmea.session.session import PipelineSession
from hdmea.steps.eimage import FEATURE, EImageOptions, EImageSTA, Progress, iter_eimage_sta
from hdmea.steps.load import LoadJob, RecordingData, checked_paths, source_paths
from hdmea.steps.load_recording import read_recording
from hdmea.steps.results import LoadWithEImageSTAResult
from hdmea.steps.run_step import run_step
from hdmea.utils.exceptions import ConfigurationError, DataLoadError
from hdmea.utils.names import default_dataset_id


def load_recording_with_eimage_sta(
    cmcr_path: str | Path | None = None,
    cmtr_path: str | Path | None = None,
    dataset_id: str | None = None,
    *,
    output_dir: str | Path = "artifacts",
    force: bool = False,
    duration_s: float = 120.0,
    spike_limit: int | None = 10000,
    unit_ids: Sequence[str] | None = None,
    window_range: tuple[int, int] = (-10, 40),
    cutoff_hz: float = 100.0,
    filter_order: int = 2,
    skip_highpass: bool = False,
    chunk_duration_s: float = 10.0,
    session: PipelineSession | None = None,
    load_unit_meta: bool = True,
    load_sys_meta: bool = True,
) -> LoadWithEImageSTAResult | PipelineSession:
    """Load a recording as `load_recording` does, and compute the electrical image of its units in the same pass.

    The sensor stream is read in chunks, high-pass filtered without phase shift and averaged around each unit's
    spikes: `units[id]["features"]["eimage_sta"]` holds float32 (window, rows, columns) in ADC counts, and in its
    metadata `n_spikes`, `n_spikes_excluded` and the parameters.

    Parameters
    ----------
    cmcr_path, cmtr_path
        The raw and the spike-sorted file. With a session, those that it names are the default.
    dataset_id, output_dir
        As of `load_recording`.
    force
        Load anew, whatever is there.
    duration_s
        Seconds of the recording, from its start, that are analysed. Spikes after them take no part.
    spike_limit
        Average over each unit's first so many spikes whose window is inside the analysed part; None for all.
    unit_ids
        Units to compute images of; default all. All units are loaded.
    window_range
        (lo, hi) in samples: the window of a spike at sample t is [t + lo, t + hi).
    cutoff_hz, filter_order
        Of the Butterworth high-pass, run forwards and backwards over the analysed part.
    skip_highpass
        Subtract each electrode's mean over the analysed part instead.
    chunk_duration_s
        Seconds to read at once; the result does not depend on it.
    session
        Deferred mode: the session that is filled; no file is written.
    load_unit_meta, load_sys_meta
        Whether to keep all that the sorter says of a unit (`unit_meta`, as `add_cmtr_unit_info` fills it), and the
        files' own facts (`sys_meta`, `cmcr_meta`, `cmtr_meta`).

    Returns
    -------
    LoadWithEImageSTAResult or PipelineSession
        What was written; or `session`.

    Raises
    ------
    ConfigurationError
        Not both paths, a wrong suffix, or unknown units.
    DataLoadError
        A file cannot be read as what it should be, or holds no sensor stream.
    ValueError
        A parameter outside its range.
    FileNotFoundError, MismatchError, FileExistsError
        As `load_recording`.

    References
    ----------
    Litke et al. 2004, IEEE Trans. Nucl. Sci. 51:1434 (electrical images). The filter gives what
    `scipy.signal.sosfiltfilt` gives.

    Examples
    --------
    >>> from hdmea.pipeline import create_session, load_recording_with_eimage_sta
    >>> session = create_session("recording", "recording.cmcr", "recording.cmtr")
    >>> session = load_recording_with_eimage_sta(duration_s=1.0, session=session)
    >>> session.units["unit_001"]["features"]["eimage_sta"]["data"].shape
    (50, 6, 6)
    """
    started = time.perf_counter()
    cmcr, cmtr = checked_paths(*source_paths(cmcr_path, cmtr_path, session))
    if cmcr is None or cmtr is None:
        raise ConfigurationError("electrical images need both the .cmcr and the .cmtr file")
    parameters = {
        "duration_s": duration_s,
        "spike_limit": spike_limit,
        "window_range": window_range,
        "cutoff_hz": cutoff_hz,
        "filter_order": filter_order,
        "skip_highpass": skip_highpass,
        "chunk_duration_s": chunk_duration_s,
    }
    options = EImageLoad(parameters, unit_ids, load_unit_meta, load_sys_meta)
    filter_seconds = 0.0

    def read(target: PipelineSession) -> RecordingData:
        nonlocal filter_seconds
        loaded, images = read_with_images(cmcr, cmtr, target, options)
        filter_seconds = images.filter_seconds
        return loaded

    sources = {"cmcr_path": cmcr, "cmtr_path": cmtr}
    job = LoadJob("load_recording_with_eimage_sta", options.config(), read, force, has_images, sources)
    new_file = job.new_file(dataset_id or default_dataset_id(cmcr, cmtr), output_dir)
    result = run_step(job.step, job.run, new_file, session)
    if isinstance(result, PipelineSession):
        return result
    count = count_images(result.hdf5_path)
    return LoadWithEImageSTAResult(
        result.hdf5_path,
        result.dataset_id,
        result.num_units,
        count,
        result.stage1_completed,
        time.perf_counter() - started,
        filter_seconds,
        result.warnings,
    )


def read_with_images(
    cmcr_path: Path, cmtr_path: Path, session: PipelineSession, options: EImageLoad
) -> tuple[RecordingData, EImageSTA]:
    """As `read_recording`, and the electrical image of each unit that `options` asks for among its features."""
    loaded = read_recording(cmcr_path, cmtr_path, session)
    chosen = _wanted_units(loaded.units, options.unit_ids)
    with open_recording(cmcr_path) as cmcr, reporting("electrical images") as progress:
        if cmcr.sensor is None:
            raise DataLoadError(f"{cmcr_path} holds no sensor stream: no electrical images can be made", cmcr_path)
        if options.load_sys_meta:
            loaded.metadata |= {"cmcr_meta": dict(cmcr.meta), "cmtr_meta": CmtrRecording(cmtr_path).meta}
        image_options = EImageOptions(sampling_rate=loaded.metadata["acquisition_rate"], **options.parameters)
        outcome = take_images(cmcr.sensor, loaded, chosen, image_options, session.memory, progress)
    if outcome.without_spikes:
        loaded.warn(
            f"no spikes to average for the electrical images of {', '.join(outcome.without_spikes)}: they are NaN"
        )
    if not options.load_sys_meta:
        del loaded.metadata["sys_meta"]
    tables = CmtrRecording(cmtr_path).unit_tables() if options.load_unit_meta else {}
    for unit_id, unit in loaded.units.items():
        if options.load_unit_meta:
            unit["unit_meta"] = {**unit["unit_meta"], **tables.get(unit_id, {})}
        else:
            unit.pop("unit_meta", None)
    return loaded, outcome


def take_images(
    sensor: ArraySource,
    loaded: RecordingData,
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
    """Number of units of a file that have an electrical image."""
    units = recording_file.recording_tree(path).children.get("units")
    return sum((name, "features", FEATURE) in units for name in units.children) if isinstance(units, Group) else 0


@dataclass(frozen=True)
class EImageLoad:
    """Request of `load_recording_with_eimage_sta`; `parameters` are those of `compute_eimage_sta`."""

    parameters: Mapping[str, Any]
    unit_ids: Sequence[str] | None
    load_unit_meta: bool
    load_sys_meta: bool

    def config(self) -> dict[str, Any]:
        """Parameters that tell one result from another; the length of a chunk does not."""
        config = {name: value for name, value in self.parameters.items() if name != "chunk_duration_s"}
        config["window_range"] = list(config["window_range"])
        config["unit_ids"] = None if self.unit_ids is None else sorted(map(str, self.unit_ids))
        return config | {"load_unit_meta": self.load_unit_meta, "load_sys_meta": self.load_sys_meta}


def _wanted_units(units: Mapping[str, Mapping[str, Any]], requested: Sequence[str | int] | None) -> list[str]:
    """The IDs of units that are named by their IDs or by the vendor's numbers; all for None."""
    if requested is None:
        return list(units)
    numbers = {str(unit["unit_num"]): unit_id for unit_id, unit in units.items() if "unit_num" in unit}
    if unknown := [name for name in requested if name not in units and str(name) not in numbers]:
        raise ConfigurationError(f"no units {', '.join(map(str, unknown))}; there are: {', '.join(units) or 'none'}")
    return list(dict.fromkeys(str(name) if name in units else numbers[str(name)] for name in requested))
