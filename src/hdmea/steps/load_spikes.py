"""A recording of spikes that were sorted elsewhere."""

from __future__ import annotations

from pathlib import Path

from hdmea.io.spikes import read_spikes
from hdmea.session.session import PipelineSession
from hdmea.steps.load import Loaded, LoadJob, check_rate, common_metadata, finish_units
from hdmea.steps.results import LoadResult
from hdmea.steps.run_step import run_step
from hdmea.utils.exceptions import ConfigurationError


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
        lambda target: read_spike_file(source, target.dataset_id, acquisition_rate),
        force,
    )
    return run_step(job.step, job.run, job.new_file(dataset_id or source.stem, output_dir), session)


def read_spike_file(path: Path, dataset_id: str, acquisition_rate: float) -> Loaded:
    """Everything that `load_spikes` takes from a file in the retinal-wave layout."""
    if not 0 < acquisition_rate < float("inf"):
        raise ConfigurationError(f"acquisition_rate must be positive, not {acquisition_rate}")
    loaded = Loaded(source_files={"cmcr_path": None, "cmtr_path": None, "spikes_path": path})
    check_rate(acquisition_rate, loaded)
    loaded.units, duration_s, facts = read_spikes(path, float(acquisition_rate))
    finish_units(loaded.units, float(acquisition_rate), duration_s)
    loaded.metadata = common_metadata(dataset_id, float(acquisition_rate), duration_s)
    loaded.metadata["sys_meta"] = facts
    return loaded
