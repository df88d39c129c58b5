"""Layout of a session in a file, and nothing else: dicts to the engine's tree, and the tree to dicts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from h5burst import Array, Group, LazyDict, Node, numbered_arrays, values
from hdmea.session.casting import cast
from hdmea.session.feature_layout import STA_PREFIX, feature_node, features_from_node, further_node, sta_feature
from hdmea.utils.exceptions import CheckpointError, ValidationError

SessionPath: TypeAlias = tuple[str, ...]
EncodedSections: TypeAlias = dict[tuple[tuple[str, ...], tuple[int, ...]], tuple[dict[str, Any], dict[str, Any]]]
SCALARS: values.Scalars = "scalar_datasets"  # single values of metadata, stimulus and open dicts: datasets of shape ()

LAYOUT_VERSION, VERSION_ATTRIBUTE = 2, "hdmea_layout_version"  # files of the first version do not have the attribute
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
VENDOR_ATTRIBUTES = ("unit_num", "original_name")  # of units that a vendor numbered
SECTION_DTYPES = {"full_spike_times": np.int64, "trials_start_end": np.int64}
DIRECTION_SECTION = "direction_section"
SECTION_ATTRIBUTES = ("trial_repeats", "pad_margin", "pre_samples", "post_samples", "created_at")
STIMULUS_DTYPES = {
    "light_reference": np.float32,
    "frame_times": np.uint64,
    "frame_time": np.uint64,
    "section_time": np.uint64,
    "light_template": np.float32,
}
FRAME_TIMES, EARLIER_FRAME_TIMES = "frame_times", "frame_time"  # the group's name now, and in earlier files
OWN_NAME = "hdmea.own_name"  # mark of a group `frame_time` that the session itself has beside `frame_times`
ABSENT = "hdmea.absent"  # mark of an empty group that the session did not have


# ---------------------------------------------------------------- paths


def node_at(
    units: Mapping[str, Any],
    metadata: Mapping[str, Any],
    stimulus: Mapping[str, Any],
    path: SessionPath,
    seen: EncodedSections | None = None,
) -> Node:
    """The node of the part of a session at `path`, such as ("units", "unit_001", "features", "frif").

    seen: see `unit_node`; one dict for all paths that are written together.
    """
    match path:
        case ("units", unit_id):
            return unit_node(units[unit_id], unit_id, seen)
        case ("units", unit_id, "spike_times_sectioned", movie):
            return section_node(units[unit_id]["spike_times_sectioned"][movie], "/".join(path), seen)
        case ("units", unit_id, "features", name):
            return feature_node(units[unit_id]["features"][name], "/".join(path))
        case ("units", unit_id, "features", name, key):
            return further_node(units[unit_id]["features"][name][key], "/".join(path))
        case ("units", unit_id, field):
            return _unit_field_node(field, units[unit_id][field], "/".join(path))
        case ("stimulus", field):
            return _stimulus_field_node(field, stimulus[field])
        case ("stimulus", field, name):
            return _typed(stimulus[field][name], STIMULUS_DTYPES.get(field), "/".join(path))
        case ("metadata", field):
            return values.encode_value(metadata[field], scalars=SCALARS, path="metadata/" + field)
    raise KeyError(path)


def paths_to_write(units: Mapping[str, Any], changed: Iterable[SessionPath], version: int) -> list[SessionPath]:
    """The parts to write into a file of that layout version when these have changed.

    A file of the first version keeps a movie's STA among its family's values. Writing one of the two features replaces
    the group that holds both, so the other is written with it.
    """
    paths = dict.fromkeys(changed)
    for path in list(paths) if version < 2 else ():
        match path:
            case ("units", unit_id, "features", name, *_):
                movie = name.removeprefix(STA_PREFIX)
                for other in (movie, sta_feature(movie)):
                    if other in units[unit_id]["features"]:
                        paths[("units", unit_id, "features", other)] = None
    return [path for path in paths if len(path) < 5 or path[:4] not in paths]


# ---------------------------------------------------------------- arrays with a fixed dtype


def _typed(value: Any, dtype: npt.DTypeLike | None, path: str, attrs: dict[str, Any] | None = None) -> Node:
    """An array node of `dtype`; what is not an array at all is kept as the value that it is."""
    if dtype is None or value is None or isinstance(value, Mapping):
        return values.encode_value(value, scalars=SCALARS, path=path)
    array = cast(value, np.dtype(dtype), path)
    return Array(array) if attrs is None else Array(array, attrs)


# ---------------------------------------------------------------- units


def units_node(units: Mapping[str, Mapping[str, Any]]) -> Group:
    seen: EncodedSections = {}
    return Group({unit_id: unit_node(unit, unit_id, seen) for unit_id, unit in units.items()})


def unit_node(unit: Mapping[str, Any], unit_id: str, seen: EncodedSections | None = None) -> Group:
    """A unit's group: spike times and waveform as arrays, its place on the chip as attributes.

    seen: how the sections of other units were cut, with what that is in the file.
    """
    where = f"units/{unit_id}"
    as_attributes = (*UNIT_ATTRIBUTES, *VENDOR_ATTRIBUTES)
    attrs = values.encode_attributes({name: unit[name] for name in as_attributes if name in unit}, path=where)
    if unit.get("spike_times") is not None:
        attrs["spike_count"] = np.int64(_spike_count(unit["spike_times"], f"{where}/spike_times"))
    group = Group(attrs=attrs)
    for field, value in unit.items():
        if field not in as_attributes:
            group.children[field] = _unit_field_node(field, value, f"{where}/{field}", seen)
    if "features" not in unit:
        group.children["features"] = Group(attrs={ABSENT: True})
    return group


def _spike_count(spike_times: Any, path: str) -> int:
    try:
        shape = np.shape(spike_times)
        if len(shape) != 1:
            raise ValueError(f"its shape is {shape}")
    except ValueError as error:
        message = f"{path} must have one axis, a sample for each spike: {error}"
        raise ValidationError(message, entity="array", entity_id=path, field=path) from error
    return int(shape[0])


def _unit_field_node(field: str, value: Any, path: str, seen: EncodedSections | None = None) -> Node:
    if field == "spike_times":
        return _typed(value, np.uint64, path, {"unit": "sample_index"})
    if field in UNIT_DTYPES:
        return _typed(value, UNIT_DTYPES[field], path)
    if field == "features" and isinstance(value, Mapping):
        return Group({name: feature_node(feature, f"{path}/{name}") for name, feature in value.items()})
    if field == "spike_times_sectioned" and isinstance(value, Mapping):
        return Group({movie: section_node(section, f"{path}/{movie}", seen) for movie, section in value.items()})
    return values.encode_value(value, scalars=SCALARS, path=path)


def units_from_node(node: Group, version: int, *, lazy_file: Path | None = None) -> dict[str, dict[str, Any]]:
    """The units of a file of that layout version; lazy_file: of this file each is made when it is first used."""

    def make() -> dict[str, dict[str, Any]]:
        units = {name: unit for name, unit in node.children.items() if isinstance(unit, Group)}
        return {
            name: deferred_dict(partial(unit_from_node, unit, version, lazy_file=lazy_file), lazy_file)
            for name, unit in units.items()
        }

    return deferred_dict(make, lazy_file)


def deferred_dict(make: Callable[[], dict[Any, Any]], lazy_file: Path | None) -> dict[Any, Any]:
    """A dict that is made now, or of a file that is read lazily: when it is first used, with errors as of reading."""
    return make() if lazy_file is None else LazyDict(partial(_named, make, lazy_file))


def _named(make: Callable[[], dict[Any, Any]], path: Path) -> dict[Any, Any]:
    with reading_session(path):
        return make()


@contextmanager
def reading_session(path: Path) -> Iterator[None]:
    """Turn what a file's content makes go wrong into a `CheckpointError` with its name. OSErrors have it anyway."""
    try:
        yield
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as a session: {error}", path, error) from error


def unit_from_node(node: Group, version: int, *, lazy_file: Path | None = None) -> dict[str, Any]:
    unit = values.decode_attributes({name: value for name, value in node.attrs.items() if name != "spike_count"})
    for field, child in node.children.items():
        if field == "features" and isinstance(child, Group):
            if child.children or ABSENT not in child.attrs:
                unit[field] = deferred_dict(partial(features_from_node, child, first_version=version < 2), lazy_file)
        elif field == "spike_times_sectioned" and isinstance(child, Group):
            unit[field] = deferred_dict(
                partial(_each, child, partial(section_from_node, lazy_file=lazy_file)), lazy_file
            )
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


def section_node(section: Any, path: str, seen: EncodedSections | None = None) -> Node:
    """One movie's sectioned spikes: the trials as a group of arrays, how they were cut as attributes."""
    if not isinstance(section, Mapping):
        return values.encode_value(section, scalars=SCALARS, path=path)
    trials = section.get("trials_spike_times")
    group = Group(attrs=_section_attributes(section, path, {} if seen is None else seen))
    if isinstance(trials, Mapping):
        group.attrs["n_trials"] = np.int64(len(trials))
    for field, value in section.items():
        if field == "trials_spike_times" and isinstance(value, Mapping):
            group.children[field] = _trials_node(value, f"{path}/{field}")
        elif field not in SECTION_ATTRIBUTES:
            group.children[field] = _typed(value, SECTION_DTYPES.get(field), f"{path}/{field}")
    return group


def _section_attributes(section: Mapping[str, Any], path: str, seen: EncodedSections) -> dict[str, Any]:
    """Attributes that say how a section was cut: all units of a movie have the same objects, which are encoded once."""
    plain = {name: section[name] for name in SECTION_ATTRIBUTES if name in section}
    key = tuple(plain), tuple(map(id, plain.values()))
    if key not in seen:
        seen[key] = plain, values.encode_attributes(plain, path=path)  # while it holds them, none has another's id
    return seen[key][1].copy()


def _trials_node(trials: Mapping[Any, Any], path: str) -> Group:
    int64 = np.dtype(np.int64)
    nodes = numbered_arrays(trials, int64)
    if nodes is None:
        numbered = numbered_trials(trials, path)
        nodes = {str(trial): Array(cast(spikes, int64, path)) for trial, spikes in numbered.items()}
    return Group(nodes)  # type: ignore[arg-type]  # a dict of arrays is one of nodes, though the checker cannot know


def numbered_trials(trials: Mapping[Any, Any], path: str) -> dict[int, Any]:
    """Trials by their numbers, which may be ints or text of digits.

    Raises `ValidationError` for another key, and for a number that is there twice.
    """
    numbered: dict[int, Any] = {}
    for key, spikes in trials.items():
        is_number = isinstance(key, (int, np.integer)) and not isinstance(key, bool)
        if not is_number and not (isinstance(key, str) and key.isdecimal()):
            message = f"{path}: trials are numbered by int, or by digits as text, not {key!r}"
            raise ValidationError(message, entity="trials", entity_id=path)
        if int(key) in numbered:
            raise ValidationError(f"{path}: trial {int(key)} is there twice", entity="trials", entity_id=path)
        numbered[int(key)] = spikes
    return numbered


def section_from_node(node: Node, *, lazy_file: Path | None = None) -> Any:
    if not isinstance(node, Group):
        return values.decode_value(node)
    section = values.decode_attributes({name: value for name, value in node.attrs.items() if name != "n_trials"})
    for field, child in node.children.items():
        if field == "trials_spike_times" and isinstance(child, Group):
            section[field] = deferred_dict(partial(_trials, child), lazy_file)
        elif field == DIRECTION_SECTION and isinstance(child, Group):
            section[field] = _directions(child)
        else:
            section[field] = _value_at(child, field in SECTION_DTYPES)
    return section


def _trials(node: Group) -> dict[int, Any]:
    numbered = numbered_trials(node.children, "trials_spike_times")
    return {trial: _value_at(numbered[trial], True) for trial in sorted(numbered)}


def _directions(node: Group) -> dict[Any, Any]:
    """Spikes by direction in degrees, each `trials` by number and `section_bounds`; and `_attrs` on all of them."""
    directions: dict[Any, Any] = {}
    for name, child in node.children.items():
        value = values.decode_value(child, scalars=SCALARS)
        if name.isdecimal() and isinstance(child, Group) and isinstance(trials := child.children.get("trials"), Group):
            value["trials"] = _trials(trials)
        directions[int(name) if name.isdecimal() else name] = value
    return directions


# ---------------------------------------------------------------- stimulus and metadata


def stimulus_node(stimulus: Mapping[str, Any]) -> Group:
    """The stimulus; earlier readers find `frame_times` under its former name, too."""
    group = Group({field: _stimulus_field_node(field, value) for field, value in stimulus.items()})
    if FRAME_TIMES in stimulus and EARLIER_FRAME_TIMES not in stimulus:
        group.links = {EARLIER_FRAME_TIMES: FRAME_TIMES}
    return group


def _stimulus_field_node(field: str, value: Any) -> Node:
    path = f"stimulus/{field}"
    if field == EARLIER_FRAME_TIMES:
        node = values.encode_value(value, scalars=SCALARS, path=path)
        node.attrs[OWN_NAME] = True
        return node
    if field not in STIMULUS_DTYPES or not isinstance(value, Mapping):
        return values.encode_value(value, scalars=SCALARS, path=path)
    dtype = STIMULUS_DTYPES[field]
    return Group({name: _typed(item, dtype, f"{path}/{name}") for name, item in value.items()})


def stimulus_from_node(node: Group) -> dict[str, Any]:
    """The stimulus; what earlier files call `frame_time` is `frame_times`."""
    stimulus: dict[str, Any] = {}
    for name, child in node.children.items():
        is_own = OWN_NAME in child.attrs
        if name == EARLIER_FRAME_TIMES and not is_own:
            if FRAME_TIMES in node.children:
                continue
            name = FRAME_TIMES
        if name in STIMULUS_DTYPES and not is_own and isinstance(child, Group):
            stimulus[name] = {key: _value_at(item, True) for key, item in child.children.items()}
        else:
            stimulus[name] = values.decode_value(child)
    return stimulus


def metadata_node(metadata: Mapping[str, Any]) -> Group:
    return values.encode(metadata, scalars=SCALARS, path="metadata")


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
