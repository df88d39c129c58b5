"""A recording of spikes that were sorted elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hdmea.io.cmcr import DEFAULT_RATE_HZ
from hdmea.io.kilosort import SortedUnits, is_kilosort, read_kilosort
from hdmea.io.mcs_h5 import McsChoice, is_mcs_h5, mcs_choice, read_mcs_units
from hdmea.io.si_sorting import is_sorting, open_sorting, read_sorting
from hdmea.io.spikes import read_spikes
from hdmea.session.session import PipelineSession
from hdmea.steps.load import LoadJob, RecordingData, add_frames, check_rate, common_metadata, finish_units
from hdmea.steps.per_unit import PITCH_UM
from hdmea.steps.results import LoadResult
from hdmea.steps.run_step import run_step
from hdmea.utils.discovery import existing
from hdmea.utils.exceptions import ConfigurationError, DataLoadError

LONGEST_S = 366 * 86400.0  # a recording of a year is a wrong rate, or not a list of spikes
KILOSORT_READERS = ("kilosort", "phy")  # read by this package, which runs no params.py


def load_spikes(
    path: str | Path | Any,
    dataset_id: str | None = None,
    *,
    acquisition_rate: float | None = None,
    reader: str | None = None,
    mcs: McsChoice | Mapping[str, Any] | None = None,
    output_dir: str | Path = "artifacts",
    force: bool = False,
    session: PipelineSession | None = None,
) -> LoadResult | PipelineSession:
    """Load a recording that was spike-sorted elsewhere.

    Parameters
    ----------
    path
        A file in the retinal-wave HDF5 layout (see `hdmea.io.spikes`), an MCS-HDF5 file of Multi Channel DataManager
        (see `hdmea.io.mcs_h5`; its electrodes are the units, unsorted), a directory of Kilosort or phy (see
        `hdmea.io.kilosort`), or a sorting of SpikeInterface (an object).
    dataset_id
        Default: the file's stem, the directory's name, or the sorting's annotation `recording`.
    acquisition_rate
        Hz. Default: as the source says; 20 000 Hz for the retinal-wave layout, which has seconds.
    reader
        Let SpikeInterface open the path: the name of one of its `spikeinterface.extractors.read_…`, or "folder" for
        what `sorting.save(folder=…)` wrote. "kilosort" and "phy" are this package's own reader.
    mcs
        Which part of an MCS-HDF5 file, as a `hdmea.io.McsChoice` or a dict of its fields: the recording and the stream
        of spikes where it holds several, the stream whose pulses are the frames of the stimulus (a playlist needs
        them), and the electrodes' pitch where the array's name does not say it.
    output_dir
        The file is `{output_dir}/{dataset_id}.h5`, as of `load_recording`.
    force
        Load anew, whatever is there.
    session
        Deferred mode: the session that is filled; no file is written.

    Returns
    -------
    LoadResult or PipelineSession
        What was written; or `session`.

    Raises
    ------
    FileNotFoundError
        There is no such file or directory.
    DataLoadError
        Another content.
    ConfigurationError
        A rate that is not positive or is not known, an unknown reader, a sorting without a name; `mcs` with
        another source, or one of which several recordings or streams could be meant.
    FileExistsError
        The recording was loaded with another config, from other inputs (by size, time and a hash of head and tail), or
        incompletely, and `force` is False.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from hdmea.pipeline import create_session, load_spikes
    >>> Path("sorted").mkdir()  # as Kilosort leaves it
    >>> np.save("sorted/spike_times.npy", np.array([30, 60, 90, 120]))
    >>> np.save("sorted/spike_clusters.npy", np.array([0, 1, 0, 0]))
    >>> session = load_spikes("sorted", acquisition_rate=30_000, session=create_session("sorted"))
    >>> session.units["unit_000"]["spike_times"]
    array([ 30,  90, 120], dtype=uint64)
    """
    source = path if is_sorting(path) else existing(path)
    choice = mcs_choice(mcs)
    options = {"reader": reader, **asdict(choice)}
    job = LoadJob(
        "load_spikes",
        {"acquisition_rate": DEFAULT_RATE_HZ if acquisition_rate is None else float(acquisition_rate)}
        | {name: value for name, value in options.items() if value is not None},
        lambda target: read_sorted(source, target.dataset_id, acquisition_rate, reader, choice),
        force,
        sources={"spikes_path": source if isinstance(source, Path) else None},
    )
    return run_step(job.step, job.run, job.new_file(dataset_id or _default_name(source, session), output_dir), session)


def _default_name(source: Any, session: PipelineSession | None) -> str:
    if isinstance(source, Path):
        return source.name if source.is_dir() else source.stem
    name = source.get_annotation("recording") if session is None else session.dataset_id
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError("the sorting does not say of which recording it is: give dataset_id")
    return name


def read_sorted(
    source: Any, dataset_id: str, acquisition_rate: float | None, reader: str | None, choice: McsChoice | None = None
) -> RecordingData:
    """Everything that `load_spikes` takes from any of its sources."""
    if acquisition_rate is not None and not 0 < acquisition_rate < float("inf"):
        raise ConfigurationError(f"acquisition_rate must be positive, not {acquisition_rate}")
    data = _units_of(source, acquisition_rate, reader, choice or McsChoice())
    path = source if isinstance(source, Path) else None
    if not data.duration_s < LONGEST_S:
        raise DataLoadError(
            f"{source} has spikes at {data.duration_s:g} s, at {data.acquisition_rate:g} Hz: is that the rate?", path
        )
    loaded = RecordingData(source_files={"cmcr_path": None, "cmtr_path": None, "spikes_path": path})
    check_rate(data.acquisition_rate, loaded)
    for warning in data.warnings:
        loaded.warn(warning)
    loaded.units = data.units
    finish_units(loaded.units, data.acquisition_rate, data.duration_s)
    loaded.metadata = common_metadata(dataset_id, data.acquisition_rate, data.duration_s)
    loaded.metadata["sys_meta"] = data.facts
    if data.frame_timestamps is not None:
        add_frames(data.frame_timestamps, data.acquisition_rate, loaded)
    if data.pitch_um is not None:
        loaded.metadata[PITCH_UM] = data.pitch_um
    return loaded


def _units_of(source: Any, acquisition_rate: float | None, reader: str | None, choice: McsChoice) -> SortedUnits:
    if isinstance(source, Path) and reader is None and is_mcs_h5(source):
        return read_mcs_units(source, acquisition_rate, choice)
    if choice != McsChoice():
        given = ", ".join(name for name, value in asdict(choice).items() if value is not None)
        raise ConfigurationError(f"{source} is not an MCS-HDF5 file, for which alone mcs ({given}) is")
    if not isinstance(source, Path):
        return read_sorting(source, acquisition_rate)
    if reader in KILOSORT_READERS or (reader is None and is_kilosort(source)):
        return read_kilosort(source, acquisition_rate)
    if reader is not None:
        return read_sorting(open_sorting(source, reader), acquisition_rate)
    if source.is_dir():
        raise DataLoadError(
            f"{source} is not a directory of Kilosort or phy: it lacks spike_times.npy. For what another sorter wrote, "
            "name the reader of SpikeInterface (reader=…)",
            source,
        )
    rate = DEFAULT_RATE_HZ if acquisition_rate is None else float(acquisition_rate)
    units, duration_s, facts = read_spikes(source, rate)
    return SortedUnits(units, rate, duration_s, facts)
