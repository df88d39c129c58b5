"""A whole session to a file and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from h5burst import (
    Array,
    Group,
    Storage,
    UnfinishedFileError,
    collection_paused,
    keeping_open,
    load_json,
    read_tree,
    values,
)
from hdmea.session import layout
from hdmea.session.data import SessionContent
from hdmea.session.hdf5_store import root_attributes, source_files_text
from hdmea.session.recording_file import LOCKED, explained, require_file, require_not_open
from hdmea.utils.clock import utc_now
from hdmea.utils.exceptions import CheckpointError
from hdmea.utils.hashing import params_hash

SOURCE_FILES = "source_files"


# ---------------------------------------------------------------- write


def write(
    session: SessionContent,
    path: Path,
    *,
    write_file: Callable[..., None],
    storage: Storage | None,
    overwrite: bool,
    saved_at: str,
    marks: Mapping[str, Any] | None = None,
) -> None:
    """The session as a new file. `OSError` names the path; the file that was there is then as it was.

    write_file: writes a tree as `write_tree` does. marks: a checkpoint's attributes.
    """
    with keeping_open():
        tree = session_tree(session, saved_at, marks or {})
    try:
        if path.exists():
            require_not_open(path)
        write_file(path, tree, storage=storage, overwrite=overwrite)
    except OSError as error:
        if isinstance(error, FileExistsError) or str(path) in str(error):
            raise
        raise OSError(error.errno, f"cannot write {path}: {error.strerror or error}", str(path)) from error


@collection_paused()
def session_tree(session: SessionContent, saved_at: str, marks: Mapping[str, Any]) -> Group:
    """The whole file as a tree; `marks` are a checkpoint's attributes."""
    stage1 = stage1_completed(session)
    attrs = root_attributes(session.dataset_id, session.created_at, session.params_hash or params_hash(None))
    units = _whole_units(session)
    attrs.update(updated_at=saved_at, stage1_completed=stage1, features_extracted=layout.features_extracted(units))
    if session.source_files:
        attrs[SOURCE_FILES] = source_files_text(session.source_files)
    children = {
        "units": layout.units_node(units),
        "stimulus": layout.stimulus_node(session.stimulus),
        "metadata": layout.metadata_node(session.metadata),
        "pipeline": _pipeline_node(session, stage1, {"saved_at": saved_at, **marks}),
    }
    return Group({**session.extra_nodes, **children}, attrs)


def _whole_units(session: SessionContent) -> dict[str, dict[str, Any]]:
    """The units with the features that the session left in its file; a feature that it has itself counts."""
    if not session.unloaded_features:
        return session.units
    return {
        unit_id: {**unit, "features": {**session.unloaded_features[unit_id], **(unit.get("features") or {})}}
        if unit_id in session.unloaded_features
        else unit
        for unit_id, unit in session.units.items()
    }


def _pipeline_node(session: SessionContent, stage1: bool, info_attrs: Mapping[str, Any]) -> Group:
    attrs: dict[str, Any] = {"stage1_completed": stage1}
    if stage1:
        attrs["stage1_timestamp"] = session.stage1_timestamp or utc_now()
    info = layout.session_info_node(session.completed_steps, session.warnings, info_attrs)
    return Group({"session_info": info}, attrs)


def checkpoint_marks(session: SessionContent) -> dict[str, Any]:
    """The attributes that mark the file a session came from as a checkpoint; none for any other file."""
    if not session.is_checkpoint_file:
        return {}
    name = {} if session.checkpoint_name is None else {"checkpoint_name": session.checkpoint_name}
    return {"is_checkpoint": True, **name}


def stage1_completed(session: SessionContent) -> bool:
    """True where a recording is loaded: its units are there, or its rate is, where it has no units."""
    return bool(session.units) or session.metadata.get("acquisition_rate") is not None


# ---------------------------------------------------------------- read


def read(path: Path, *, lazy: bool, at: Any = None) -> SessionContent:
    """The session in a file. Raises `FileNotFoundError`, and `CheckpointError` for a file that is not a session.

    at: an earlier state of the file; `LookupError` where there is none.
    """
    try:
        require_file(path)
        with keeping_open():
            tree = read_tree(path, lazy=lazy, at=at)  # our own parser: libhdf5 opens no file in this process
            with layout.reading_session(path):
                return session_from_tree(tree, path, lazy=lazy)
    except FileNotFoundError:
        raise
    except BlockingIOError as error:
        raise CheckpointError(LOCKED.format(path=path), path, error) from error
    except UnfinishedFileError as error:
        raise CheckpointError(str(explained(error, path)), path, error) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read as a session: {error}", path, error) from error


@collection_paused()
def session_from_tree(tree: Group, path: Path, *, lazy: bool = False) -> SessionContent:
    """The session that a file's tree holds, not bound to the file; lazy: its dicts are made when they are used."""
    units = tree.children.get("units")
    if not isinstance(units, Group):
        raise CheckpointError(f"{path} is not a session: it lacks the group /units", path)
    version, lazy_file = _layout_version(tree.attrs, path), path if lazy else None
    session = SessionContent(
        dataset_id=_dataset_id(tree.attrs, path),
        units=layout.units_from_node(units, version, lazy_file=lazy_file),
        stimulus=layout.deferred_dict(partial(layout.stimulus_from_node, _group(tree, "stimulus")), lazy_file),
        metadata=layout.deferred_dict(partial(layout.metadata_from_node, _group(tree, "metadata")), lazy_file),
        source_files=_source_files(tree),
        created_at=tree.attrs.get("created_at"),
        params_hash=tree.attrs.get("stage1_params_hash"),
    )
    session.layout_version = version
    laid_out = (*layout.GROUPS, SOURCE_FILES)
    session.extra_nodes = {name: node for name, node in tree.children.items() if name not in laid_out}
    _read_pipeline(session, _group(tree, "pipeline"), tree.attrs)
    return session


def _group(tree: Group, name: str) -> Group:
    node = tree.children.get(name)
    return node if isinstance(node, Group) else Group()


def _layout_version(attrs: Mapping[str, Any], path: Path) -> int:
    """The layout's version that a file says; 1 for one that says none. Raises `CheckpointError` for a later one."""
    stored = attrs.get(layout.VERSION_ATTRIBUTE, 1)
    version = int(stored) if isinstance(stored, (int, np.integer)) else 0
    if not 1 <= version <= layout.LAYOUT_VERSION:
        message = f"{path} has layout version {stored}; this program reads 1 to {layout.LAYOUT_VERSION}: update hdmea"
        raise CheckpointError(message, path)
    return version


def _dataset_id(attrs: Mapping[str, Any], path: Path) -> str:
    """The attribute, else the file's stem."""
    stored = attrs.get("dataset_id")
    return path.stem if stored is None or not str(stored).strip() else str(stored)


def _source_files(tree: Group) -> dict[str, Path | None]:
    """From the root attribute, else from a group of that name with the paths as datasets or attributes."""
    text, group = tree.attrs.get(SOURCE_FILES), tree.children.get(SOURCE_FILES)
    if text is not None:
        record = load_json(text, dict)
    elif isinstance(group, Group):
        record = values.decode(group, scalars="attributes")
        record = {name: _one_text(value) for name, value in record.items()}
    else:
        return {}
    paths = {name: value for name, value in record.items() if name.endswith("_path")}
    return {name: None if value in (None, "", "None") else Path(value) for name, value in paths.items()}


def _one_text(value: Any) -> str | None:
    if value is None:
        return None
    item = np.asarray(value).ravel()[0] if np.size(value) else ""
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)


def _read_pipeline(session: SessionContent, pipeline: Group, root_attrs: Mapping[str, Any]) -> None:
    info = _group(pipeline, "session_info")
    session.stage1_timestamp = pipeline.attrs.get("stage1_timestamp")
    session.completed_steps = set(layout.texts_from_node(info.children.get("completed_steps", Array(None))))
    session.warnings = layout.texts_from_node(info.children.get("warnings", Array(None)))
    session.saved_at = info.attrs.get("saved_at", root_attrs.get("updated_at"))
    session.is_checkpoint_file = bool(info.attrs.get("is_checkpoint", False))
    session.checkpoint_name = info.attrs.get("checkpoint_name")
