"""Recording files, opened and edited in place: the building blocks of the immediate mode."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py

from h5burst import (
    Group,
    Transaction,
    compact,
    edit,
    escape_link,
    graft,
    load_texts,
    locks,
    open_file,
    read_tree,
    unescape,
    values,
)
from hdmea import __version__
from hdmea.session import layout
from hdmea.session.feature_layout import feature_node
from hdmea.session.interrupted import interrupted_steps, steps_in_progress
from hdmea.utils.clock import utc_now
from hdmea.utils.hashing import params_hash

logger = logging.getLogger(__name__)

_LEAST_COMPACTED = 1 << 20  # bytes of a file that is looked at for dead space
RECORDING_SUFFIXES = (".h5", ".hdf5")

LOCKED = (
    "File is already open for writing: {path}. HDF5 supports single-writer access only. "
    "Close the file in other processes before writing."
)
_UNREADABLE = "Cannot read HDF5 file: {path}. The file may be corrupted or incomplete."
_INTERRUPTED = (
    " HDF5 marks it as still being written: {step} was interrupted, or another process writes it at this moment. "
    "If none does, clear the mark with `h5clear -s {path}`, check the file with `hdmea verify {path}`, and run the "
    "step again with force=True."
)


# ---------------------------------------------------------------- open and create


def create_recording_hdf5(
    hdf5_path: str | Path, dataset_id: str, config: Mapping[str, Any] | None = None, overwrite: bool = False
) -> h5py.File:
    """A new recording file with its groups and root attributes, open for writing; the caller closes it.

    config: what the load was asked to do; its hash goes into `stage1_params_hash`.

    Raises `FileExistsError` for an existing file without `overwrite`, `OSError` for one that is open elsewhere.
    """
    path = Path(hdf5_path)
    if path.suffix.lower() not in RECORDING_SUFFIXES:
        logger.warning("Recording files end in .h5 or .hdf5, this one does not: %s", path)
    config_hash = params_hash(config)
    if path.exists():
        if not overwrite:
            raise FileExistsError(f"File already exists: {path}. Pass overwrite=True to replace it.")
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
    """An existing recording file, open for reading ("r") or editing in place ("r+", "a").

    Raises `FileNotFoundError`; `OSError` for a file that is open elsewhere, that cannot be read, or whose last edit
    was interrupted (the message says what to do); `ValueError` for another mode.
    """
    if mode not in ("r", "r+", "a"):
        raise ValueError(f"mode must be 'r', 'r+' or 'a', not {mode!r}")
    path = Path(hdf5_path)
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "HDF5 file not found", str(path))
    try:
        file = open_file(path, "r" if mode == "r" else "r+")
    except OSError as error:
        raise explained(error, path) from error
    _warn_of_interruption(file, path)
    return file


def recording_tree(path: Path) -> Group:
    """An existing recording file, to be read, as a lazy tree. Raises as `open_recording_hdf5` does."""
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "HDF5 file not found", str(path))
    try:
        tree = read_tree(path, lazy=True)
        _warn_of_interruption(tree, path)
        return tree
    except OSError as error:
        raise explained(error, path) from error


def _warn_of_interruption(root: h5py.Group | Group, path: Path) -> None:
    for step in steps_in_progress(root):
        logger.warning("%s: %s was interrupted while it wrote; run it again with force=True", path, step)


def explained(error: OSError, path: Path) -> OSError:
    """The contract's error for a file that does not open; of an interrupted edit it names the step."""
    reason = str(error)
    if isinstance(error, BlockingIOError) or "already open for read" in reason or "unable to lock file" in reason:
        return OSError(LOCKED.format(path=path))
    if isinstance(error, PermissionError):
        return PermissionError(error.errno, f"No permission to open HDF5 file: {path}")
    message = _UNREADABLE.format(path=path)
    if "h5clear" in reason:
        message += _INTERRUPTED.format(path=path, step=" and ".join(interrupted_steps(path)) or "an edit")
    return OSError(message)


def require_not_open(path: Path) -> None:
    """Raise the contract's `OSError` for a file that this or another process has open through HDF5."""
    with _no_other_writer(path):
        pass


@contextmanager
def _no_other_writer(path: Path) -> Iterator[None]:
    """While the block runs, nobody else edits the file; it may be read. `OSError` where somebody has it open now.

    The lock is the one that HDF5 takes; Windows and file systems without such locks do without.
    """
    if not locks.are_used():
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if locks.try_exclusive(descriptor) is locks.Answer.REFUSED:
            raise OSError(LOCKED.format(path=path))
        locks.try_shared(descriptor)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def edited(path: Path) -> Iterator[Transaction]:
    """A transaction on a recording file. Raises as `open_recording_hdf5` does; who reads the file does not matter."""
    recording_tree(path)
    try:
        transaction = edit(path)
    except OSError as error:
        raise explained(error, path) from error
    with transaction:
        yield transaction


def compact_if_mostly_dead(path: Path) -> None:
    """Write a recording file anew when more than half of it is dead space, which redone steps leave behind."""
    if path.stat().st_size < _LEAST_COMPACTED:
        return
    # It is only space: where somebody else edits the file or the disk is full, a later step does it.
    with suppress(OSError):
        compact(path, least_dead=0.5)


# ---------------------------------------------------------------- write


def write_units(root: h5py.Group, units_data: Mapping[str, Mapping[str, Any]]) -> None:
    """A group for each unit, replacing one that is there.

    units_data: unit ID -> `spike_times` (samples), `waveform`, `firing_rate_10hz`, `row`, `col`, `global_id`, …
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
    """Light reference per rate, frame and section times per movie; a group that is given is replaced whole."""
    root.require_group("stimulus")
    given = {"light_reference": light_reference, "frame_times": frame_times, "section_time": section_times}
    tree = layout.stimulus_node({name: value for name, value in given.items() if value is not None})
    for name, node in tree.children.items():
        place = layout.EARLIER_FRAME_TIMES if name == layout.FRAME_TIMES else name
        graft(root, ("stimulus", place), node)


def write_metadata(root: h5py.Group, metadata: Mapping[str, Any]) -> None:
    """Every field of `metadata`, replacing those that are there: dicts as groups, scalars and text of shape (1,)."""
    root.require_group("metadata")
    for name, node in values.encode(metadata, path="metadata").children.items():
        graft(root, ("metadata", name), node)


def write_feature_to_unit(
    root: h5py.Group, unit_id: str, feature_name: str, feature_data: Any, metadata: Mapping[str, Any] | None
) -> None:
    """A unit's feature, replacing one of that name; the name is added to the root's `features_extracted`.

    Raises `KeyError` for a unit that is not there.
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
    known = set(load_texts(root.attrs.get("features_extracted", "[]")))
    root.attrs["features_extracted"] = json.dumps(sorted(known | names))


def set_feature_mark(root: h5py.Group, unit_id: str) -> None:
    """A unit that has features has a `features` field, whatever it said before."""
    features = root[f"units/{escape_link(unit_id)}/features"]
    if layout.ABSENT in features.attrs:
        del features.attrs[layout.ABSENT]


def write_source_files(root: h5py.Group, cmcr_path: str | Path | None, cmtr_path: str | Path | None) -> None:
    """Where the recording came from, as the root attribute `source_files`."""
    root.attrs["source_files"] = source_files_text({"cmcr_path": cmcr_path, "cmtr_path": cmtr_path})


def source_files_text(paths: Mapping[str, str | Path | None]) -> str:
    """JSON with every path as text (null when not given) and, beside it, whether it is on disk at this moment."""
    record: dict[str, Any] = {name: None if path is None else str(path) for name, path in paths.items()}
    for name, path in paths.items():
        record[name.removesuffix("_path") + "_exists"] = path is not None and Path(path).exists()
    return json.dumps(record)


def mark_stage1_complete(root: h5py.Group) -> None:
    """Note that the recording was loaded to its end."""
    now = utc_now()
    root.attrs["stage1_completed"] = True
    root.attrs["updated_at"] = now
    root.require_group("pipeline").attrs.update({"stage1_completed": True, "stage1_timestamp": now})


# ---------------------------------------------------------------- ask


def get_stage1_status(root: h5py.Group | Group) -> dict[str, Any]:
    """`completed` (bool), `params_hash`, `created_at`, `updated_at` (text, None where the file does not say)."""
    return {
        "completed": bool(root.attrs.get("stage1_completed", False)),
        "params_hash": root.attrs.get("stage1_params_hash"),
        "created_at": root.attrs.get("created_at"),
        "updated_at": root.attrs.get("updated_at"),
    }


def list_units(root: h5py.Group) -> list[str]:
    """The IDs of all units."""
    return [unescape(name) for name in root["units"]] if "units" in root else []


def list_features(root: h5py.Group, unit_id: str) -> list[str]:
    """The names of a unit's features; none for a unit that is not there."""
    path = f"units/{escape_link(unit_id)}/features"
    return [unescape(name) for name in root[path]] if path in root else []
