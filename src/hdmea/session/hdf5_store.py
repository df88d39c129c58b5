"""Recording files, opened and edited in place: the building blocks of the immediate mode."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from h5burst import (
    Group,
    durable,
    escape_link,
    graft,
    load_texts,
    open_file,
    unescape,
    values,
)
from hdmea import __version__
from hdmea.session import layout
from hdmea.session.feature_layout import feature_node
from hdmea.session.recording_file import explained, require_file, require_not_open, warn_of_interruption
from hdmea.utils.clock import utc_now
from hdmea.utils.hashing import params_hash

logger = logging.getLogger(__name__)

RECORDING_SUFFIXES = (".h5", ".hdf5")


# ---------------------------------------------------------------- open and create


def create_recording_hdf5(
    hdf5_path: str | Path, dataset_id: str, config: Mapping[str, Any] | None = None, overwrite: bool = False
) -> h5py.File:
    """A new recording file with its groups and root attributes, open for writing; the caller closes it.

    A name that does not end in `.h5` or `.hdf5` is a warning, and so is a file that is replaced.

    Parameters
    ----------
    hdf5_path
        The file; its directory is made.
    dataset_id
        The recording's name.
    config
        What the load was asked to do; its hash goes into `stage1_params_hash`.
    overwrite
        Delete a file that is there.

    Returns
    -------
    h5py.File
        Open for writing, with the groups `units`, `stimulus` and `metadata`.

    Raises
    ------
    FileExistsError
        The file is there, without `overwrite`.
    OSError
        The file to replace is open elsewhere.

    Examples
    --------
    >>> from hdmea.io import create_recording_hdf5
    >>> with create_recording_hdf5("day1.h5", "day1") as file:
    ...     print(sorted(file), file.attrs["dataset_id"], file.attrs["stage1_completed"])
    ['metadata', 'stimulus', 'units'] day1 False
    """
    path = Path(hdf5_path)
    if path.suffix.lower() not in RECORDING_SUFFIXES:
        logger.warning("Recording files end in .h5 or .hdf5, this one does not: %s", path)
    config_hash = params_hash(config)
    durable.require_absent(path, overwrite)
    if path.exists():
        require_not_open(path)
        logger.warning("Overwriting existing file: %s", path)
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open_file(path, "w")
    for group in ("units", "stimulus", "metadata"):
        file.create_group(group)
    file.attrs.update(root_attributes(dataset_id, utc_now(), config_hash))
    file.flush()
    return file


def root_attributes(dataset_id: str, created_at: str | None, config_hash: str) -> dict[str, Any]:
    """The root attributes of a recording that nothing has been loaded into yet."""
    now = utc_now()
    return {
        "dataset_id": dataset_id,
        "hdmea_pipeline_version": __version__,
        layout.VERSION_ATTRIBUTE: layout.LAYOUT_VERSION,
        "created_at": created_at or now,
        "updated_at": now,
        "stage1_completed": False,
        "stage1_params_hash": config_hash,
        "features_extracted": "[]",
    }


def open_recording_hdf5(hdf5_path: str | Path, mode: str = "r") -> h5py.File:
    """An existing recording file, open for reading or for editing in place.

    Parameters
    ----------
    hdf5_path
        The file.
    mode
        "r" to read; "r+" or "a" to edit.

    Returns
    -------
    h5py.File
        The caller closes it.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    OSError
        It is open elsewhere, cannot be read, or its last edit was interrupted; the message says what to do.
    ValueError
        Another mode.

    Examples
    --------
    >>> from hdmea.io import open_recording_hdf5
    >>> with open_recording_hdf5("recording.h5") as file:
    ...     print(file["units/unit_001/spike_times"].dtype, file["units/unit_001"].attrs["spike_count"])
    uint64 864
    """
    if mode not in ("r", "r+", "a"):
        raise ValueError(f"mode must be 'r', 'r+' or 'a', not {mode!r}")
    path = Path(hdf5_path)
    require_file(path)
    try:
        file = open_file(path, "r" if mode == "r" else "r+")
    except OSError as error:
        raise explained(error, path) from error
    warn_of_interruption(file, path)
    return file


# ---------------------------------------------------------------- write


def write_units(root: h5py.Group, units_data: Mapping[str, Mapping[str, Any]]) -> None:
    """A group for each unit, replacing one that is there.

    Parameters
    ----------
    root
        A recording file, open for writing.
    units_data
        Unit ID to `spike_times` (spikes,) samples, `waveform`, `firing_rate_10hz`, `row`, `col`, `global_id` and more,
        as in `PipelineSession.units`.

    Examples
    --------
    >>> import numpy as np
    >>> from hdmea.io import create_recording_hdf5, list_units, write_units
    >>> unit = {"spike_times": np.array([5, 8]), "waveform": np.zeros(3), "row": 1, "col": 1, "global_id": 1}
    >>> with create_recording_hdf5("day1.h5", "day1") as file:
    ...     write_units(file, {"unit_001": unit})
    ...     print(list_units(file), file["units/unit_001/spike_times"].dtype)
    ['unit_001'] uint64
    """
    root.require_group("units")
    for unit_id, unit in units_data.items():
        graft(root, ("units", unit_id), layout.unit_node(unit, unit_id))


def write_stimulus(
    root: h5py.Group,
    light_reference: Mapping[str, Any] | None,
    frame_times: Mapping[str, Any] | None = None,
    section_times: Mapping[str, Any] | None = None,
) -> None:
    """Light reference per rate, frame and section times per movie; a group that is given is replaced whole.

    Parameters
    ----------
    root
        A recording file, open for writing.
    light_reference
        Name, such as "10hz_ch1", to a trace (samples,), stored as float32.
    frame_times
        Movie to samples (frames,), stored as uint64 in `frame_time`.
    section_times
        Movie to samples (n, 2), stored as uint64 in `section_time`.

    Examples
    --------
    >>> from hdmea.io import create_recording_hdf5, write_stimulus
    >>> with create_recording_hdf5("day1.h5", "day1") as file:
    ...     write_stimulus(file, {"10hz_ch1": [0.0, 1.0]}, section_times={"noise": [[0, 900]]})
    ...     print(sorted(file["stimulus"]), file["stimulus/section_time/noise"][0])
    ['light_reference', 'section_time'] [  0 900]
    """
    root.require_group("stimulus")
    given = {"light_reference": light_reference, "frame_times": frame_times, "section_time": section_times}
    tree = layout.stimulus_node({name: value for name, value in given.items() if value is not None})
    for name, node in tree.children.items():
        stored_name = layout.EARLIER_FRAME_TIMES if name == layout.FRAME_TIMES else name
        graft(root, ("stimulus", stored_name), node)


def write_metadata(root: h5py.Group, metadata: Mapping[str, Any]) -> None:
    """Every field of `metadata`, replacing those that are there.

    Parameters
    ----------
    root
        A recording file, open for writing.
    metadata
        Name to value: dicts become groups, scalars and text datasets of shape (1,).

    Examples
    --------
    >>> from hdmea.io import create_recording_hdf5, write_metadata
    >>> with create_recording_hdf5("day1.h5", "day1") as file:
    ...     write_metadata(file, {"acquisition_rate": 20000.0, "sys_meta": {"program": "MC_Rack"}})
    ...     print(file["metadata/acquisition_rate"][0], file["metadata/sys_meta/program"].asstr()[0])
    20000.0 MC_Rack
    """
    root.require_group("metadata")
    for name, node in values.encode(metadata, path="metadata").children.items():
        graft(root, ("metadata", name), node)


def write_feature_to_unit(
    root: h5py.Group, unit_id: str, feature_name: str, feature_data: Any, metadata: Mapping[str, Any] | None
) -> None:
    """A unit's feature, replacing one of that name; the name is added to the root's `features_extracted`.

    Parameters
    ----------
    root
        A recording file, open for writing.
    unit_id
        The unit.
    feature_name
        The group under the unit's `features`.
    feature_data
        Arrays become datasets, scalars attributes, dicts groups.
    metadata
        How it was made: attributes. Their names are kept, so that loading tells them from values.

    Raises
    ------
    KeyError
        The unit is not there.

    Examples
    --------
    >>> from hdmea.io import list_features, open_recording_hdf5, write_feature_to_unit
    >>> with open_recording_hdf5("loaded.h5", "r+") as file:
    ...     write_feature_to_unit(file, "unit_001", "rate", {"hz": 2.5}, {"version": "1.0"})
    ...     print(list_features(file, "unit_001"), file["units/unit_001/features/rate"].attrs["hz"])
    ['eimage_sta', 'rate'] 2.5
    """
    if unit_id not in list_units(root):
        raise KeyError(f"no unit {unit_id!r} in {root.file.filename}")
    feature = {"data": feature_data, "metadata": dict(metadata or {})}
    path = ("units", unit_id, "features", feature_name)
    graft(root, path, feature_node(feature, "/".join(path)))
    set_feature_mark(root, unit_id)
    note_features(root, {feature_name})


def note_features(root: h5py.Group, names: set[str]) -> None:
    """Add names to the root's `features_extracted`."""
    listed = set(load_texts(root.attrs.get("features_extracted", "[]")))
    root.attrs["features_extracted"] = json.dumps(sorted(listed | names))


def set_feature_mark(root: h5py.Group, unit_id: str) -> None:
    """A unit that has features has a `features` field, whatever it said before."""
    features = root[f"units/{escape_link(unit_id)}/features"]
    if layout.ABSENT in features.attrs:
        del features.attrs[layout.ABSENT]


def write_source_files(root: h5py.Group, cmcr_path: str | Path | None, cmtr_path: str | Path | None) -> None:
    """Note where the recording came from, as JSON in the root attribute `source_files`.

    Parameters
    ----------
    root
        A recording file, open for writing.
    cmcr_path, cmtr_path
        The vendor's files; whether each is there at this moment is noted as well.

    Examples
    --------
    >>> from hdmea.io import create_recording_hdf5, write_source_files
    >>> with create_recording_hdf5("day1.h5", "day1") as file:
    ...     write_source_files(file, "day1.cmcr", None)
    ...     print(file.attrs["source_files"])
    {"cmcr_path": "day1.cmcr", "cmtr_path": null, "cmcr_exists": false, "cmtr_exists": false}
    """
    root.attrs["source_files"] = source_files_text({"cmcr_path": cmcr_path, "cmtr_path": cmtr_path})


def source_files_text(paths: Mapping[str, str | Path | None]) -> str:
    """JSON with every path as text (null when not given) and, beside it, whether it is on disk at this moment."""
    record: dict[str, Any] = {name: None if path is None else str(path) for name, path in paths.items()}
    for name, path in paths.items():
        record[name.removesuffix("_path") + "_exists"] = path is not None and Path(path).exists()
    return json.dumps(record)


def mark_stage1_complete(root: h5py.Group) -> None:
    """Note that the recording was loaded to its end.

    Parameters
    ----------
    root
        A recording file, open for writing.

    Examples
    --------
    >>> from hdmea.io import create_recording_hdf5, get_stage1_status, mark_stage1_complete
    >>> with create_recording_hdf5("day1.h5", "day1") as file:
    ...     mark_stage1_complete(file)
    ...     print(get_stage1_status(file)["completed"])
    True
    """
    now = utc_now()
    root.attrs["stage1_completed"] = True
    root.attrs["updated_at"] = now
    root.require_group("pipeline").attrs.update({"stage1_completed": True, "stage1_timestamp": now})


# ---------------------------------------------------------------- ask


def get_stage1_status(root: h5py.Group | Group) -> dict[str, Any]:
    """Status of a recording's load.

    Parameters
    ----------
    root
        A recording file, open.

    Returns
    -------
    dict
        `completed` (bool), `params_hash`, `created_at`, `updated_at` (text, None where the file does not say).

    Examples
    --------
    >>> from hdmea.io import get_stage1_status, open_recording_hdf5
    >>> with open_recording_hdf5("recording.h5") as file:
    ...     print(sorted(get_stage1_status(file)))
    ['completed', 'created_at', 'params_hash', 'updated_at']
    """
    return {
        "completed": bool(root.attrs.get("stage1_completed", False)),
        "params_hash": root.attrs.get("stage1_params_hash"),
        "created_at": root.attrs.get("created_at"),
        "updated_at": root.attrs.get("updated_at"),
    }


def list_units(root: h5py.Group) -> list[str]:
    """The IDs of all units.

    Parameters
    ----------
    root
        A recording file, open.

    Returns
    -------
    list of str
        Empty where there are none.

    Examples
    --------
    >>> from hdmea.io import list_units, open_recording_hdf5
    >>> with open_recording_hdf5("recording.h5") as file:
    ...     print(list_units(file)[:2])
    ['unit_001', 'unit_002']
    """
    return [unescape(name) for name in root["units"]] if "units" in root else []


def list_features(root: h5py.Group, unit_id: str) -> list[str]:
    """The names of a unit's features.

    Parameters
    ----------
    root
        A recording file, open.
    unit_id
        The unit.

    Returns
    -------
    list of str
        Empty for a unit without features, and for one that is not there.

    Examples
    --------
    >>> from hdmea.io import list_features, open_recording_hdf5
    >>> with open_recording_hdf5("recording.h5") as file:
    ...     print(list_features(file, "unit_001"))
    ['ap_tracking', 'eimage_sta', 'frif', 'sta_dense_noise_15x15']
    """
    path = f"units/{escape_link(unit_id)}/features"
    return [unescape(name) for name in root[path]] if path in root else []
