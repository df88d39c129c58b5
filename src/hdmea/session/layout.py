"""How a session lies in a file, and nothing else: dicts to the engine's tree, and the tree to dicts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from h5burst import Array, BlockSource, Group, Node, values
from hdmea.utils.exceptions import ValidationError
from hdmea.utils.lazy_dict import LazyDict

SessionPath: TypeAlias = tuple[str, ...]

LAYOUT_VERSION = 2  # root attribute `hdmea_layout_version`; files of the first version have none
GROUPS = ("units", "stimulus", "metadata", "pipeline")
UNIT_ID = re.compile(r"unit_\d{3,}")
ROOT_ATTRIBUTES = (
    "dataset_id",
    "hdmea_pipeline_version",
    "created_at",
    "updated_at",
    "stage1_completed",
    "stage1_params_hash",
    "features_extracted",
)

UNIT_DTYPES = {"spike_times": np.uint64, "waveform": np.float32, "firing_rate_10hz": np.float32}
UNIT_ATTRIBUTES = ("row", "col", "global_id")
SECTION_DTYPES = {"full_spike_times": np.int64, "trials_start_end": np.int64}
SECTION_ATTRIBUTES = ("trial_repeats", "pad_margin", "pre_samples", "post_samples", "created_at")
STIMULUS_DTYPES = {
    "light_reference": np.float32,
    "frame_time": np.uint64,
    "section_time": np.uint64,
    "light_template": np.float32,
}
# The session says `frame_times` where the file says `frame_time`; a swap, so that neither name is ever lost.
_STIMULUS_NAMES = {"frame_times": "frame_time", "frame_time": "frame_times"}

STA = "sta"
STA_ATTRIBUTES = ("n_spikes", "n_spikes_excluded", "cover_range")

# Marks that a reader of the file can ignore.
METADATA_NAMES = "hdmea.metadata_names"  # JSON list: the attributes of a feature that came from its metadata
METADATA_PREFIX = "hdmea.metadata."  # before the name of one that a value had already taken
FEATURE_FORM = "hdmea.feature_form"  # "value": data is not a dict; "plain": not the usual {"data", "metadata"} at all
ABSENT = "hdmea.absent"  # an empty group that the session did not have


# ---------------------------------------------------------------- paths


def node_at(
    units: Mapping[str, Any], metadata: Mapping[str, Any], stimulus: Mapping[str, Any], path: SessionPath
) -> Node:
    """The node of the part of a session at `path`, such as ("units", "unit_001", "features", "frif")."""
    match path:
        case ("units", unit_id):
            return unit_node(units[unit_id], unit_id)
        case ("units", unit_id, "spike_times_sectioned", movie):
            return section_node(units[unit_id]["spike_times_sectioned"][movie], "/".join(path))
        case ("units", unit_id, "features", name):
            return feature_node(units[unit_id]["features"][name], "/".join(path))
        case ("units", unit_id, field):
            return _unit_field_node(field, units[unit_id][field], "/".join(path))
        case ("stimulus", field):
            return _stimulus_field_node(field, stimulus[field])
        case ("stimulus", field, name):
            return _typed(stimulus[field][name], STIMULUS_DTYPES.get(_file_name(field)), "/".join(path))
        case ("metadata", field):
            return values.encode_value(metadata[field], path="metadata/" + field)
    raise KeyError(path)


def file_path(path: SessionPath) -> SessionPath:
    """Where in the file the part of a session at `path` lies."""
    if path[0] == "stimulus" and len(path) > 1:
        return ("stimulus", _file_name(path[1]), *path[2:])
    return path


def _file_name(stimulus_field: str) -> str:
    return _STIMULUS_NAMES.get(stimulus_field, stimulus_field)


# ---------------------------------------------------------------- arrays with a fixed dtype


def _typed(value: Any, dtype: npt.DTypeLike | None, path: str, attrs: dict[str, Any] | None = None) -> Node:
    """An array node of `dtype`; what is no array at all is kept as the value that it is."""
    if dtype is None or value is None or isinstance(value, Mapping):
        return values.encode_value(value, path=path)
    array = _cast(value, np.dtype(dtype), path)
    return Array(array) if attrs is None else Array(array, attrs)


def _cast(value: Any, dtype: np.dtype[Any], path: str) -> Any:
    if getattr(value, "dtype", None) == dtype and isinstance(value, (np.ndarray, BlockSource)):
        return value
    try:
        array = np.asarray(value)
        if array.dtype.kind in "cmMV":
            raise TypeError(f"it is of dtype {array.dtype}")
        if array.size == 0:
            return array.astype(dtype)
        if dtype.kind == "u" and array.dtype.kind in "if" and array.min() < 0:
            raise ValidationError(f"{path} holds negative values", entity="array", entity_id=path, field=path)
        if dtype.kind in "iu" and array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise ValidationError(f"{path} holds NaN or infinity", entity="array", entity_id=path, field=path)
        return array.astype(dtype)
    except (TypeError, ValueError) as error:
        message = f"{path} cannot be stored as {dtype}: {error}"
        raise ValidationError(message, entity="array", entity_id=path, field=path) from error


# ---------------------------------------------------------------- units


def units_node(units: Mapping[str, Mapping[str, Any]]) -> Group:
    return Group({unit_id: unit_node(unit, unit_id) for unit_id, unit in units.items()})


def unit_node(unit: Mapping[str, Any], unit_id: str) -> Group:
    """A unit's group: spike times and waveform as arrays, its place on the chip as attributes."""
    where = f"units/{unit_id}"
    attrs = values.encode_attributes({name: unit[name] for name in UNIT_ATTRIBUTES if name in unit}, path=where)
    if unit.get("spike_times") is not None:
        attrs["spike_count"] = np.int64(len(unit["spike_times"]))
    group = Group(attrs=attrs)
    for field, value in unit.items():
        if field not in UNIT_ATTRIBUTES:
            group.children[field] = _unit_field_node(field, value, f"{where}/{field}")
    if "features" not in unit:
        group.children["features"] = Group(attrs={ABSENT: True})
    return group


def _unit_field_node(field: str, value: Any, path: str) -> Node:
    if field == "spike_times":
        return _typed(value, np.uint64, path, {"unit": "sample_index"})
    if field in UNIT_DTYPES:
        return _typed(value, UNIT_DTYPES[field], path)
    if field == "features" and isinstance(value, Mapping):
        return Group({name: feature_node(feature, f"{path}/{name}") for name, feature in value.items()})
    if field == "spike_times_sectioned" and isinstance(value, Mapping):
        return Group({movie: section_node(section, f"{path}/{movie}") for movie, section in value.items()})
    return values.encode_value(value, path=path)


def units_from_node(node: Group, *, lazy: bool = False) -> dict[str, dict[str, Any]]:
    def make() -> dict[str, dict[str, Any]]:
        units = {name: unit for name, unit in node.children.items() if isinstance(unit, Group)}
        return {name: deferred_dict(partial(unit_from_node, unit, lazy=lazy), lazy) for name, unit in units.items()}

    return deferred_dict(make, lazy)


def deferred_dict(make: Callable[[], dict[Any, Any]], lazy: bool) -> dict[Any, Any]:
    """A dict, made now or when it is first used."""
    return LazyDict(make) if lazy else make()


def unit_from_node(node: Group, *, lazy: bool = False) -> dict[str, Any]:
    unit = values.decode_attributes({name: value for name, value in node.attrs.items() if name != "spike_count"})
    for field, child in node.children.items():
        if field == "features" and isinstance(child, Group):
            if child.children or ABSENT not in child.attrs:
                unit[field] = deferred_dict(partial(_each, child, feature_from_node), lazy)
        elif field == "spike_times_sectioned" and isinstance(child, Group):
            unit[field] = deferred_dict(partial(_each, child, partial(section_from_node, lazy=lazy)), lazy)
        else:
            unit[field] = _value_at(child, field in UNIT_DTYPES)
    return unit


def _each(node: Group, from_node: Callable[[Node], Any]) -> dict[str, Any]:
    return {name: from_node(child) for name, child in node.children.items()}


def _value_at(node: Node, is_array: bool) -> Any:
    """The value of a node; a field that is an array by contract stays one however short it is."""
    if is_array and isinstance(node, Array) and values.TYPE not in node.attrs:
        return node.data
    return values.decode_value(node)


# ---------------------------------------------------------------- sectioned spikes


def section_node(section: Any, path: str) -> Node:
    """One movie's sectioned spikes: the trials as a group of arrays, how they were cut as attributes."""
    if not isinstance(section, Mapping):
        return values.encode_value(section, path=path)
    trials = section.get("trials_spike_times")
    plain = {name: section[name] for name in SECTION_ATTRIBUTES if name in section}
    group = Group(attrs=values.encode_attributes(plain, path=path))
    if isinstance(trials, Mapping):
        group.attrs["n_trials"] = np.int64(len(trials))
    for field, value in section.items():
        if field == "trials_spike_times" and isinstance(value, Mapping):
            group.children[field] = _trials_node(value, f"{path}/{field}")
        elif field not in SECTION_ATTRIBUTES:
            group.children[field] = _typed(value, SECTION_DTYPES.get(field), f"{path}/{field}")
    return group


def _trials_node(trials: Mapping[int, Any], path: str) -> Group:
    if bad := [trial for trial in trials if not isinstance(trial, (int, np.integer))]:
        raise ValidationError(f"{path}: trials are numbered by int, not {bad[0]!r}", entity="trials", entity_id=path)
    int64 = np.dtype(np.int64)
    return Group({str(trial): Array(_cast(spikes, int64, path)) for trial, spikes in trials.items()})


def section_from_node(node: Node, *, lazy: bool = False) -> Any:
    if not isinstance(node, Group):
        return values.decode_value(node)
    section = values.decode_attributes({name: value for name, value in node.attrs.items() if name != "n_trials"})
    for field, child in node.children.items():
        if field == "trials_spike_times" and isinstance(child, Group):
            section[field] = deferred_dict(partial(_trials, child), lazy)
        else:
            section[field] = _value_at(child, field in SECTION_DTYPES)
    return section


def _trials(node: Group) -> dict[int, Any]:
    return {int(trial): _value_at(node.children[trial], True) for trial in sorted(node.children, key=int)}


# ---------------------------------------------------------------- features


def feature_node(feature: Any, path: str) -> Node:
    """One feature: arrays as datasets, scalars as attributes, nested dicts as groups, metadata as attributes.

    The STA's figures stand on its dataset; so do those of a feature that is one array, besides on its group.
    """
    if not isinstance(feature, Mapping) or not feature.keys() <= {"data", "metadata"} or "data" not in feature:
        return _marked_form(Group({"data": values.encode_value(feature, path=path)}), "plain")
    data, metadata = feature["data"], dict(feature.get("metadata") or {})
    if not isinstance(data, Mapping):
        value = values.encode_value(data, path=path)
        value.attrs = {**values.encode_attributes(metadata, path=path), **value.attrs}
        group = _marked_form(Group({"data": value}), "value")
        _add_metadata(group, metadata, (), path)
        return group
    if taken := [name for name in (METADATA_NAMES, FEATURE_FORM) if name in data]:
        raise ValidationError(f"{path}: the names {taken} are reserved", entity="feature", entity_id=path)
    group = values.encode(data, scalars="attributes", path=path)
    if isinstance(sta := group.children.get(STA), Array):
        figures = {name: metadata.pop(name) for name in STA_ATTRIBUTES if name in metadata}
        sta.attrs = {**values.encode_attributes(figures, path=f"{path}/{STA}"), **sta.attrs}
    _add_metadata(group, metadata, data, path)
    return group


def _marked_form(group: Group, form: str) -> Group:
    group.attrs[FEATURE_FORM] = form
    return group


def _add_metadata(group: Group, metadata: Mapping[str, Any], taken: Any, path: str) -> None:
    stored = {_metadata_attribute(name, taken): value for name, value in metadata.items()}
    if clash := [name for name in stored if name in group.attrs or name in taken]:
        raise ValidationError(f"{path}: metadata named {clash} clash with values", entity="feature", entity_id=path)
    if stored:
        encoded = values.encode_attributes(stored, path=path)
        types = {**json.loads(group.attrs.get(values.TYPES, "{}")), **json.loads(encoded.pop(values.TYPES, "{}"))}
        group.attrs.update(encoded)
        if types:
            group.attrs[values.TYPES] = json.dumps(types, sort_keys=True)
        group.attrs[METADATA_NAMES] = json.dumps(list(stored))


def _metadata_attribute(name: str, taken: Any) -> str:
    needs_prefix = name in taken or name in (METADATA_NAMES, FEATURE_FORM) or name.startswith(METADATA_PREFIX)
    return METADATA_PREFIX + name if needs_prefix else name


def feature_from_node(node: Node) -> Any:
    """The feature as `feature_node` got it; a file without our marks gives all attributes as values."""
    if isinstance(node, Array):
        return {"data": values.decode_value(node, scalars="attributes"), "metadata": {}}
    form = node.attrs.get(FEATURE_FORM)
    if form == "plain":
        return values.decode_value(node.children["data"])
    names = json.loads(node.attrs.get(METADATA_NAMES, "[]"))
    types = {values.TYPES: node.attrs[values.TYPES]} if values.TYPES in node.attrs else {}
    stored = values.decode_attributes({**types, **{name: node.attrs[name] for name in names}})
    metadata = {name.removeprefix(METADATA_PREFIX): value for name, value in stored.items()}
    if form == "value":
        return {"data": values.decode_value(node.children["data"]), "metadata": metadata}
    own = {name: value for name, value in node.attrs.items() if name not in names and name != METADATA_NAMES}
    data = values.decode(Group(node.children, own), scalars="attributes")
    if isinstance(sta := node.children.get(STA), Array):
        metadata.update(values.decode_attributes(sta.attrs))
    return {"data": data, "metadata": metadata}


# ---------------------------------------------------------------- stimulus and metadata


def stimulus_node(stimulus: Mapping[str, Any]) -> Group:
    return Group({_file_name(field): _stimulus_field_node(field, value) for field, value in stimulus.items()})


def _stimulus_field_node(field: str, value: Any) -> Node:
    dtype = STIMULUS_DTYPES.get(_file_name(field))
    path = f"stimulus/{field}"
    if dtype is None or not isinstance(value, Mapping):
        return values.encode_value(value, path=path)
    return Group({name: _typed(item, dtype, f"{path}/{name}") for name, item in value.items()})


def stimulus_from_node(node: Group) -> dict[str, Any]:
    stimulus: dict[str, Any] = {}
    for name, child in node.children.items():
        if name in STIMULUS_DTYPES and isinstance(child, Group):
            stimulus[_file_name(name)] = {key: _value_at(item, True) for key, item in child.children.items()}
        else:
            stimulus[_file_name(name)] = values.decode_value(child)
    return stimulus


def metadata_node(metadata: Mapping[str, Any]) -> Group:
    return values.encode(metadata, path="metadata")


def metadata_from_node(node: Group) -> dict[str, Any]:
    return values.decode(node)


# ---------------------------------------------------------------- pipeline


def session_info_node(completed_steps: set[str], warnings: list[str], attrs: Mapping[str, Any]) -> Group:
    """`/pipeline/session_info`: steps and warnings as text; `attrs` with `saved_at` and a checkpoint's marks."""
    return Group(
        {"completed_steps": _texts_node(sorted(completed_steps)), "warnings": _texts_node(warnings)}, dict(attrs)
    )


def _texts_node(items: list[str]) -> Node:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    node = values.encode_value(array)
    node.attrs.pop(values.TYPE, None)  # always a list: one text needs no mark
    return node


def texts_from_node(node: Node) -> list[str]:
    data = node.data if isinstance(node, Array) else None
    if data is None:
        return []
    decoded = values.decode_value(node)
    return [decoded] if isinstance(decoded, str) else [str(item) for item in np.asarray(decoded).ravel().tolist()]


def features_extracted(units: Mapping[str, Mapping[str, Any]]) -> str:
    """The root attribute: a JSON list of the names of all features that any unit has, sorted."""
    names = {name for unit in units.values() if isinstance(unit.get("features"), Mapping) for name in unit["features"]}
    return json.dumps(sorted(names))
