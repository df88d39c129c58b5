"""Layout of a unit's features in a file. A feature is an open dict; each of its keys is where its name says.

Three forms, told apart by the mark `hdmea.feature_form` only where a reader could not see it:

* `{"data": array, "metadata": …, further keys}`: the dataset `data`, the metadata as its attributes, each further key a
  dataset or group beside it. Not marked.
* `{"data": dict, "metadata": …, further keys}`, the values of a feature family: arrays as datasets and single values as
  attributes of the feature's group itself, metadata as attributes, further keys beside. Marked "values".
* A dict without `data`: its keys directly in the group, single values as datasets of shape (). Not marked, or "open"
  where it has metadata, which are attributes of the group.

Whatever else is stored as one value, marked "plain". Files of the first version marked arrays "value", did not mark the
values of families, and kept a movie's spike-triggered average as `sta` among them; those are read as what they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from h5burst import Array, Group, Node, load_json, load_texts, values
from hdmea.utils.exceptions import ValidationError

STA = "sta"
STA_PREFIX = "sta_"
_STA_ATTRIBUTES = ("n_spikes", "n_spikes_excluded", "cover_range")

# Marks that a reader of the file can ignore.
METADATA_NAMES = "hdmea.metadata_names"  # JSON list: the attributes of a feature that came from its metadata
METADATA_PREFIX = "hdmea.metadata."  # before the name of one that a value had already taken
FURTHER_KEYS = "hdmea.further_keys"  # JSON list: the children of a family's feature that are not values of it
FEATURE_FORM = "hdmea.feature_form"
_MARKS = (METADATA_NAMES, FURTHER_KEYS, FEATURE_FORM)

DATA, METADATA = "data", "metadata"


def sta_feature(movie: str) -> str:
    """The name of the feature that is a movie's spike-triggered average."""
    return STA_PREFIX + movie


# ---------------------------------------------------------------- to a node


def feature_node(feature: Any, path: str) -> Group:
    """One feature as a group. Raises `UnsupportedValueError`, `ValidationError` for what a file cannot hold."""
    if not isinstance(feature, Mapping):
        return _marked(Group({DATA: values.encode_value(feature, path=path)}), "plain")
    metadata = feature.get(METADATA)
    as_attributes = METADATA not in feature or metadata is None or _fit_attributes(metadata)
    further = {key: value for key, value in feature.items() if key != DATA and not (key == METADATA and as_attributes)}
    named = dict(metadata or {}) if as_attributes else {}
    if DATA not in feature:
        return _open_node(further, named, path)
    data = feature[DATA]
    if not isinstance(data, Mapping):
        return _array_node(data, named, further, path)
    if {str(key) for key in data} & {str(key) for key in further} or any(mark in data for mark in _MARKS):
        return _open_node({**further, DATA: data}, named, path)
    return _values_node(data, named, further, path)


def further_node(value: Any, path: str) -> Node:
    """A further key of a feature, as it is beside the others."""
    return values.encode_value(value, scalars="scalar_datasets", path=path)


def _fit_attributes(metadata: Any) -> bool:
    if not isinstance(metadata, Mapping):
        return False
    return all(isinstance(name, str) and name not in _MARKS and not _is_engine_mark(name) for name in metadata)


def _is_engine_mark(name: str) -> bool:
    return name.startswith("h5burst.")


def _array_node(data: Any, metadata: dict[str, Any], further: dict[Any, Any], path: str) -> Group:
    group = values.encode(further, scalars="scalar_datasets", path=path)
    node = values.encode_value(data, scalars="scalar_datasets", path=f"{path}/{DATA}")
    group.children = {DATA: node, **group.children}
    node.attrs = {**values.encode_attributes(metadata, path=f"{path}/{DATA}"), **node.attrs}
    return group


def _open_node(content: dict[Any, Any], metadata: dict[str, Any], path: str) -> Group:
    group = values.encode(content, scalars="scalar_datasets", path=path)
    if metadata or DATA in content:
        _marked(group, "open")
        _add_metadata(group, metadata, (), path)
    return group


def _values_node(data: Mapping[Any, Any], metadata: dict[str, Any], further: dict[Any, Any], path: str) -> Group:
    group = values.encode(data, scalars="attributes", path=path)
    _marked(group, "values")
    _add_metadata(group, metadata, data, path)
    if further:
        beside = values.encode(further, scalars="scalar_datasets", path=path)
        group.children.update(beside.children)
        group.attrs[FURTHER_KEYS] = json.dumps(list(beside.children))
    return group


def _marked(group: Group, form: str) -> Group:
    group.attrs[FEATURE_FORM] = form
    return group


def _add_metadata(group: Group, metadata: Mapping[str, Any], reserved: Any, path: str) -> None:
    stored = {_metadata_attribute(name, reserved): value for name, value in metadata.items()}
    if clash := [name for name in stored if name in group.attrs or name in reserved]:
        raise ValidationError(f"{path}: metadata named {clash} clash with values", entity="feature", entity_id=path)
    if stored:
        encoded = values.encode_attributes(stored, path=path)
        types = {**load_json(group.attrs.get(values.TYPES, "{}")), **load_json(encoded.pop(values.TYPES, "{}"))}
        group.attrs.update(encoded)
        if types:
            group.attrs[values.TYPES] = json.dumps(types, sort_keys=True)
        group.attrs[METADATA_NAMES] = json.dumps(list(stored))


def _metadata_attribute(name: str, reserved: Any) -> str:
    needs_prefix = name in reserved or name in _MARKS or name.startswith(METADATA_PREFIX)
    return METADATA_PREFIX + name if needs_prefix else name


# ---------------------------------------------------------------- from a node


def features_from_node(node: Group, *, first_version: bool) -> dict[str, Any]:
    """A unit's features by name. first_version: the file may keep a movie's STA among the values of its family."""
    features: dict[str, Any] = {}
    for name, child in node.children.items():
        if first_version and isinstance(child, Group) and _holds_sta(child):
            if sta_feature(name) not in node.children:
                features[sta_feature(name)] = _sta_of(child)
            child = Group({key: item for key, item in child.children.items() if key != STA}, child.attrs)
            if not child.children and not child.attrs.keys() - {METADATA_NAMES, *_STA_ATTRIBUTES, values.TYPES}:
                continue
        features[name] = feature_from_node(child)
    return features


def _holds_sta(group: Group) -> bool:
    sta = group.children.get(STA)
    return isinstance(sta, Array) and sta.data is not None and len(sta.data.shape) == 3


def _sta_of(group: Group) -> dict[str, Any]:
    sta = group.children[STA]
    assert isinstance(sta, Array)
    figures = {name: group.attrs[name] for name in _STA_ATTRIBUTES if name in group.attrs}
    return {DATA: sta.data, METADATA: values.decode_attributes({**figures, **sta.attrs})}


def feature_from_node(node: Node) -> Any:
    """The feature that `feature_node` was given; of a group without marks, what its children and attributes say."""
    if isinstance(node, Array):
        return {DATA: values.decode_value(node, scalars="scalar_datasets"), METADATA: _plain_attributes(node)}
    form = node.attrs.get(FEATURE_FORM)
    if form == "plain":
        return values.decode_value(node.children[DATA])
    if form == "values" or (form is None and METADATA_NAMES in node.attrs):
        return _values_feature(node)
    if form == "open":
        content = _open_content(node)
        metadata = _named_metadata(node)
        return {**content, METADATA: metadata} if metadata else content
    data = node.children.get(DATA)
    if form == "value" and isinstance(data, Group):
        return {DATA: values.decode_value(data), METADATA: _named_metadata(node)}
    return _array_feature(node, data) if isinstance(data, Array) else _open_content(node)


def _named_metadata(node: Group) -> dict[str, Any]:
    names = load_texts(node.attrs.get(METADATA_NAMES, "[]"))
    types = {values.TYPES: node.attrs[values.TYPES]} if values.TYPES in node.attrs else {}
    stored = values.decode_attributes({**types, **{name: node.attrs[name] for name in names if name in node.attrs}})
    return {name.removeprefix(METADATA_PREFIX): value for name, value in stored.items()}


def _without_marks(node: Group) -> dict[str, Any]:
    """A group's attributes but for our marks and those that came from metadata."""
    names = load_texts(node.attrs.get(METADATA_NAMES, "[]"))
    return {name: value for name, value in node.attrs.items() if name not in names and name not in _MARKS}


def _values_feature(node: Group) -> dict[str, Any]:
    keys = load_texts(node.attrs.get(FURTHER_KEYS, "[]"))
    stored = Group({name: item for name, item in node.children.items() if name not in keys}, _without_marks(node))
    feature = {DATA: values.decode(stored, scalars="attributes"), METADATA: _named_metadata(node)}
    for name in keys:
        if name in node.children:
            feature[name] = values.decode_value(node.children[name], scalars="scalar_datasets")
    return feature


def _open_content(node: Group) -> dict[Any, Any]:
    return values.decode(Group(node.children, _without_marks(node)), scalars="scalar_datasets")


def _array_feature(node: Group, data: Array) -> dict[str, Any]:
    rest = {name: item for name, item in node.children.items() if name != DATA}
    marks = {values.KEYS: node.attrs[values.KEYS]} if values.KEYS in node.attrs else {}
    further = values.decode(Group(rest, marks), scalars="scalar_datasets")
    metadata = {**_plain_attributes(node), **_plain_attributes(data)}
    # In files of the first version arrays of one element bore a mark, and single values the shape (1,).
    scalars: values.Scalars = "datasets" if node.attrs.get(FEATURE_FORM) == "value" else "scalar_datasets"
    return {DATA: values.decode_value(data, scalars=scalars), METADATA: metadata, **further}


def _plain_attributes(node: Node) -> dict[str, Any]:
    attributes = {name: value for name, value in node.attrs.items() if name not in _MARKS}
    return {name.removeprefix(METADATA_PREFIX): value for name, value in values.decode_attributes(attributes).items()}
