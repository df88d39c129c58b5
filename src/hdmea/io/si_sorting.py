"""Sortings of SpikeInterface, and those that it opens, as units. Needs spikeinterface only for what it opens itself."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from hdmea.io.cmtr import UNKNOWN_ELECTRODE
from hdmea.io.kilosort import SortedUnits
from hdmea.io.unit_names import unit_names
from hdmea.utils.choices import there_are
from hdmea.utils.exceptions import ConfigurationError, DataLoadError

FOLDER = "folder"  # what `sorting.save(folder=…)` wrote
PLACES = ("row", "col", "global_id")


def is_sorting(source: Any) -> bool:
    """True where an object is a sorting of SpikeInterface, by what it can do."""
    return all(hasattr(source, name) for name in ("get_unit_spike_train", "unit_ids", "sampling_frequency"))


def open_sorting(path: Path, reader: str) -> Any:
    """A sorting that SpikeInterface opens.

    Parameters
    ----------
    path
        What the reader takes.
    reader
        "folder" for what `sorting.save(folder=…)` wrote, else the name of one of `spikeinterface.extractors.read_…`
        without `read_`.

    Raises
    ------
    ImportError
        spikeinterface is not installed; the message has the line that installs it.
    ConfigurationError
        SpikeInterface has no such reader.
    DataLoadError
        The reader does not read the path as a sorting.
    """
    try:
        extractors: Any = importlib.import_module("spikeinterface.extractors")
        core: Any = importlib.import_module("spikeinterface.core.sortingfolder")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "spikeinterface":
            raise
        message = f"reading by {reader} needs spikeinterface, which is not installed: pip install 'h5burst[neuro]'"
        raise ImportError(message, name="spikeinterface") from error
    function = core.NumpyFolderSorting if reader == FOLDER else getattr(extractors, f"read_{reader}", None)
    if function is None:
        readers = sorted(name.removeprefix("read_") for name in dir(extractors) if name.startswith("read_"))
        raise ConfigurationError(f"SpikeInterface has no reader {reader!r}; {there_are(reader, [FOLDER, *readers])}")
    try:
        sorting = function(path)
    except Exception as error:
        raise DataLoadError(
            f"{path} cannot be read by {reader}: {type(error).__name__}: {error}", path, error
        ) from error
    if not is_sorting(sorting):
        raise DataLoadError(f"{path}: {reader} does not read sortings, but {type(sorting).__name__}", path)
    return sorting


def read_sorting(sorting: Any, acquisition_rate: float | None = None) -> SortedUnits:
    """The units of a sorting with their properties of one value in `unit_meta`.

    `row`, `col` and `global_id` are taken to the unit itself. acquisition_rate: must be the sorting's, if given.

    Raises
    ------
    ConfigurationError
        More than one segment; a rate that is not the sorting's.
    """
    if (segments := sorting.get_num_segments()) != 1:
        raise ConfigurationError(f"the sorting has {segments} segments: give one by sorting.select_segments([0])")
    rate = float(sorting.sampling_frequency)
    if acquisition_rate is not None and not np.isclose(acquisition_rate, rate, rtol=1e-9):
        raise ConfigurationError(f"the sorting has {rate:g} Hz, not {acquisition_rate:g} Hz")
    units: dict[str, dict[str, Any]] = {}
    ids = list(sorting.unit_ids)
    last = 0
    for row, (si_id, name) in enumerate(zip(ids, unit_names(ids), strict=True)):
        train = np.sort(np.asarray(sorting.get_unit_spike_train(si_id, segment_index=0)))
        if len(train) and train[0] < 0:
            raise DataLoadError(f"unit {si_id} has spikes before the recording's start")
        last = max(last, int(train[-1]) if len(train) else 0)
        meta = {key: _plain(sorting.get_property(key)[row]) for key in sorting.get_property_keys()}
        units[name] = {
            "spike_times": train.astype(np.uint64),
            "waveform": np.empty(0, np.float32),
            **{key: int(meta.pop(key, UNKNOWN_ELECTRODE)) for key in PLACES},
            "original_name": str(meta.pop("original_name", si_id)),
            "unit_meta": {key: one for key, one in meta.items() if isinstance(one, (bool, int, float, str))},
            "features": {},
        }
    duration = sorting.get_annotation("duration_s")
    stated = float(duration) if isinstance(duration, (int, float)) else 0.0
    return SortedUnits(units, rate, max(stated, last / rate + (0.0 if stated else 1.0)), {"sorting": repr(sorting)})


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
