"""The pipeline's calls: loading and feature extraction, immediately or into a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hdmea.io.session_file import stage1_completed
from hdmea.pipeline import loading
from hdmea.pipeline.both_ways import Outcome, Target, run_step
from hdmea.pipeline.loading import LoadJob
from hdmea.pipeline.results import ExtractionResult, LoadResult
from hdmea.pipeline.session import PipelineSession
from hdmea.utils.exceptions import MissingInputError
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
    cmcr, cmtr = loading.checked_paths(cmcr_path, cmtr_path)
    job = LoadJob(
        "load_recording", config, lambda name: loading.read_recording(cmcr, cmtr, name), force or allow_overwrite
    )
    if session is not None:
        return job.into_session(session)
    return job.into_file(dataset_id or default_dataset_id(cmcr, cmtr), output_dir)[0]


def _paths(
    cmcr_path: str | Path | None, cmtr_path: str | Path | None, session: PipelineSession | None
) -> tuple[str | Path | None, str | Path | None]:
    """The paths that are given, else those that the session was created with."""
    if session is None or cmcr_path is not None or cmtr_path is not None:
        return cmcr_path, cmtr_path
    return session.source_files.get("cmcr_path"), session.source_files.get("cmtr_path")


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
        lambda name: loading.read_spike_file(source, name, acquisition_rate),
        force,
    )
    if session is not None:
        return job.into_session(session)
    return job.into_file(dataset_id or source.stem, output_dir)[0]


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
        from hdmea.features.extract import extract_for_units

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
