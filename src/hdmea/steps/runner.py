"""The pipeline's calls: loading and feature extraction, immediately or into a session."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from hdmea.session.file import stage1_completed
from hdmea.session.hdf5_store import open_recording_hdf5
from hdmea.session.session import PipelineSession
from hdmea.steps import load
from hdmea.steps.load import LoadJob
from hdmea.steps.results import ExtractionResult, LoadResult, LoadWithEImageSTAResult
from hdmea.steps.run_step import Outcome, Target, run_step
from hdmea.utils.exceptions import ConfigurationError, MissingInputError
from hdmea.utils.names import default_dataset_id


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
        What tells one load from another: a complete file of the same config is returned as it is, with a warning.

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
        The recording was loaded with another config, or incompletely, and neither `force` nor `allow_overwrite`.
    """
    cmcr_path, cmtr_path = _paths(cmcr_path, cmtr_path, session)
    cmcr, cmtr = load.checked_paths(cmcr_path, cmtr_path)
    job = LoadJob(
        "load_recording", config, lambda target: load.read_recording(cmcr, cmtr, target), force or allow_overwrite
    )
    return run_step(job.step, job.run, job.new_file(dataset_id or default_dataset_id(cmcr, cmtr), output_dir), session)


def _paths(
    cmcr_path: str | Path | None, cmtr_path: str | Path | None, session: PipelineSession | None
) -> tuple[str | Path | None, str | Path | None]:
    """The paths that are given, else those that the session was created with."""
    if session is None or cmcr_path is not None or cmtr_path is not None:
        return cmcr_path, cmtr_path
    return session.source_files.get("cmcr_path"), session.source_files.get("cmtr_path")


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
    """Load a recording as `load_recording` does, and compute the electrical image of its units in the same go.

    The sensor stream is read in chunks, high-pass filtered without phase shift and averaged around each unit's
    spikes: `units[id]["features"]["eimage_sta"]` holds float32 (window, rows, columns), and in its metadata
    `n_spikes`, `n_spikes_excluded` and the parameters. See `hdmea.steps.eimage.compute_eimage_sta` for these.

    Parameters
    ----------
    unit_ids
        Units to compute images of; default all. All units are loaded.
    chunk_duration_s
        Seconds to read at once; the result does not depend on it.
    load_unit_meta, load_sys_meta
        Whether to keep the sorter's quality measures (`unit_meta`), and the files' own facts (`sys_meta`,
        `cmcr_meta`, `cmtr_meta`).

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
    """
    started = time.perf_counter()
    cmcr, cmtr = load.checked_paths(*_paths(cmcr_path, cmtr_path, session))
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
    options = load.EImageLoad(parameters, unit_ids, load_unit_meta, load_sys_meta)
    filter_seconds = 0.0

    def read(target: PipelineSession) -> load.Loaded:
        nonlocal filter_seconds
        loaded, images = load.read_with_images(cmcr, cmtr, target, options)
        filter_seconds = images.filter_seconds
        return loaded

    job = LoadJob("load_recording_with_eimage_sta", options.config(), read, force, load.has_images)
    new_file = job.new_file(dataset_id or default_dataset_id(cmcr, cmtr), output_dir)
    result = run_step(job.step, job.run, new_file, session)
    if isinstance(result, PipelineSession):
        return result
    count = load.count_images(result.hdf5_path)
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


def load_spikes(
    path: str | Path,
    dataset_id: str | None = None,
    *,
    acquisition_rate: float = 20000.0,
    output_dir: str | Path = "artifacts",
    force: bool = False,
    session: PipelineSession | None = None,
) -> LoadResult | PipelineSession:
    """Load a spike-sorted recording in the retinal-wave HDF5 layout (see `hdmea.io.spikes`).

    path: the file; its stem is the default dataset ID. acquisition_rate: Hz, turns seconds into samples.

    Raises `FileNotFoundError`; `DataLoadError` for another content; `ConfigurationError` for a rate that is none;
    `FileExistsError` as `load_recording` does.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"no such file: {source}")
    job = LoadJob(
        "load_spikes",
        {"acquisition_rate": float(acquisition_rate)},
        lambda target: load.read_spike_file(source, target.dataset_id, acquisition_rate),
        force,
    )
    return run_step(job.step, job.run, job.new_file(dataset_id or source.stem, output_dir), session)


def extract_features(
    hdf5_path: Target = None,
    features: Sequence[str] | None = None,
    *,
    force: bool = False,
    config_overrides: Mapping[str, Any] | None = None,
    session: PipelineSession | None = None,
) -> ExtractionResult | PipelineSession:
    """Extract features of every unit into `units[id]["features"][name]`.

    Parameters
    ----------
    features
        Names of registered features, or of movies whose stimulus config names a family; default every feature whose
        input is there.
    force
        Extract again what is there; otherwise it is skipped.
    config_overrides
        Parameters that count before those of the stimulus configs; `movie_name` points a feature at the section of
        another movie.

    A unit that fails is a warning; a feature that no unit can have is listed as failed, with a warning.

    Raises
    ------
    MissingInputError
        No recording was loaded.
    ConfigurationError
        Overrides that JSON cannot hold.
    """

    def step(recording: PipelineSession) -> Outcome[ExtractionResult]:
        from hdmea.steps.extract import extract_for_units

        if not stage1_completed(recording):
            raise MissingInputError("extract_features needs units: run load_recording first", None, "units")
        done = extract_for_units(
            recording.units,
            recording.stimulus,
            recording.metadata,
            features,
            config_overrides=config_overrides,
            force=force,
        )
        result = ExtractionResult(
            recording.hdf5_path, list(done.extracted), list(done.skipped), list(done.failed), list(done.warnings)
        )
        return Outcome(result, list(done.changed), list(done.warnings))

    return run_step("extract_features", step, hdf5_path, session)


def get_frame_timestamps(source: PipelineSession | h5py.File | str | Path) -> npt.NDArray[np.uint64]:
    """The samples at which frames began (frames,) uint64, of a session, an open recording file or the path of one.

    Raises `MissingInputError` where the recording has none, `FileNotFoundError`.
    """
    if isinstance(source, (str, Path)):
        with open_recording_hdf5(source) as file:
            return get_frame_timestamps(file)
    if isinstance(source, PipelineSession):
        stored = source.metadata.get("frame_timestamps")
    else:
        stored = source.get("metadata/frame_timestamps")
    if stored is None or not len(stored):
        raise MissingInputError("no frame timestamps: run load_recording first", None, "frame_timestamps")
    return np.asarray(stored).astype(np.uint64)
