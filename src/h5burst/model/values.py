"""Python values to nodes and back: the one table that says how each type is stored.

A marker is written only where a plain reader of the file would not guess the type: attribute `h5burst.type` on a
dataset or group, `h5burst.types` (JSON: name to type) for the attributes of a group, `h5burst.keys` for a dict whose
keys were integers, `h5burst.text` for text in which NULs or lone surrogates had to be escaped. Markers say the version
of the encoding (see `encodings`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from h5burst.model.array_values import decode_array, encode_array, encode_source
from h5burst.model.encodings import Encodings, Marker, TypeEncoding
from h5burst.model.scalars import PLAIN_SCALARS, SCALARS, decode_scalar, encode_scalar, plain_scalar
from h5burst.model.source import ArraySource, is_source
from h5burst.model.tagged_json import from_json, load_json, load_texts, to_json
from h5burst.model.text import TEXT, escape_text, plain_text, text_node, unescape_text
from h5burst.model.tree import Array, Group, Node, UnsupportedValueError

__all__ = [
    "Scalars",
    "decode",
    "decode_attributes",
    "decode_value",
    "encode",
    "encode_attributes",
    "encode_value",
    "from_json",
    "to_json",
]

Scalars = Literal["datasets", "scalar_datasets", "attributes"]

TYPE, TYPES, KEYS = "h5burst.type", "h5burst.types", "h5burst.keys"
GROUP_MARKERS = (TYPE, KEYS)  # of what is encoded without attributes
_STORED_AS_IS = frozenset({bool, float, complex})
_MARKERS = frozenset({TYPE, TYPES, KEYS, TEXT})
_INTEGER_KEYS = Marker("int")
_ESCAPED = "escaped:"  # before the marker of a text that is escaped
_MAX_NESTING = 128  # of mappings and lists that become groups; files hold no deeper groups


# ---------------------------------------------------------------- mappings


def encode(
    values: Mapping[Any, Any], *, scalars: Scalars = "datasets", path: str = "", above: tuple[int, ...] = ()
) -> Group:
    """A group that holds `values` exactly.

    scalars: whether single values become datasets of shape (1,), datasets of shape (), or attributes of the group;
    arrays are datasets and mappings groups in any case. Keys are str or int. above: the identities of what it is in.
    Raises `UnsupportedValueError` with the path.
    """
    if id(values) in above:
        raise UnsupportedValueError("a dict or list that holds itself", path or "/")
    if len(above) >= _MAX_NESTING:
        raise UnsupportedValueError(f"more than {_MAX_NESTING} dicts and lists inside each other", path)
    above = (*above, id(values))
    group = Group(attrs=_key_marker(values, path))
    plain: dict[str, Any] = {}
    for key, value in values.items():
        name, where = str(key), f"{path}/{key}"
        if scalars == "attributes" and not _needs_node(value):
            plain[name] = value
        else:
            group.children[name] = encode_value(value, scalars=scalars, path=where, above=above)
    group.attrs.update(encode_attributes(plain, path=path))
    return group


def decode(group: Group, *, scalars: Scalars = "datasets") -> dict[Any, Any]:
    """The mapping that `encode` was given (with the same `scalars`).

    scalars: of a group without markers, "datasets" takes those of shape () and (1,) for single values, and
    "scalar_datasets" those of shape () alone, and the group's attributes for values, too.
    """
    values: dict[Any, Any] = {}
    if scalars != "datasets":
        values.update(decode_attributes(group.attrs))
    for name, node in group.children.items():
        values[name] = decode_value(node, scalars=scalars)
    return with_integer_keys(values, group.attrs)


def with_integer_keys(values: dict[Any, Any], attrs: Mapping[str, Any]) -> dict[Any, Any]:
    """The members of a group under the keys that a dict had, as the group's attributes tell."""
    if KEYS not in attrs:
        return values
    numbers = _integer_keys(attrs[KEYS], values)
    return {int(name) if name in numbers else name: value for name, value in values.items()}


def _key_marker(values: Mapping[Any, Any], path: str) -> dict[str, Any]:
    numbers = [str(key) for key in values if isinstance(key, (int, np.integer)) and not isinstance(key, bool)]
    texts = [key for key in values if isinstance(key, str)]
    if len(numbers) + len(texts) != len(values) or set(numbers) & set(texts):
        raise UnsupportedValueError("the keys of a dict must be text or integers, each name once", path or "/")
    if not numbers:
        return {}
    return {KEYS: str(_INTEGER_KEYS._replace(parameter=json.dumps(sorted(numbers)) if texts else ""))}


def _integer_keys(stored: Any, names: Iterable[str]) -> set[str]:
    """The names that stand for integers: all, or those of a JSON list."""
    if isinstance(stored, str) and stored.startswith("["):  # as the first layout has it
        return set(load_texts(stored))
    marker = Marker.parse(stored)
    if marker[:2] != _INTEGER_KEYS[:2]:
        raise ValueError(f"unknown marker {KEYS}: {str(marker)[:80]!r}")
    return set(load_texts(marker.parameter)) if marker.parameter else set(names)


def _needs_node(value: Any, depth: int = 0) -> bool:
    """True where a value cannot be an attribute: arrays and mappings, and lists that hold them."""
    if isinstance(value, PLAIN_SCALARS):
        return False
    if isinstance(value, (np.ndarray, Mapping)) or is_source(value):
        return True
    if depth > _MAX_NESTING:  # most likely a list that holds itself
        return True
    return isinstance(value, (list, tuple)) and any(_needs_node(item, depth + 1) for item in value)


# ---------------------------------------------------------------- single values as nodes


class _ValuePlace(NamedTuple):
    """The place of a value: how single values are stored there, its path, and the identities of what holds it."""

    scalars: Scalars
    path: str
    above: tuple[int, ...]


def encode_value(value: Any, *, scalars: Scalars = "datasets", path: str = "", above: tuple[int, ...] = ()) -> Node:
    """The node of one value.

    Parameters
    ----------
    value
        None, a single value or short list of Python or numpy, an array, an `ArraySource`, a dict with text or integer
        keys, or lists and tuples of these. Anything else becomes tagged JSON, if that has it.
    scalars : {"datasets", "scalar_datasets", "attributes"}
        Single values become datasets of shape (1,), datasets of shape (), or attributes of their group. With
        "attributes" an array of one element needs no marker.
    path : str
        Of the node, for errors.
    above : tuple of int
        Identities of the dicts and lists that hold the value.

    Returns
    -------
    Group or Array
        `decode_value` makes the value of it again, with the same `scalars`.

    Raises
    ------
    UnsupportedValueError
        For what cannot be kept exactly; it names the path.

    Examples
    --------
    >>> from h5burst import decode_value, encode_value
    >>> decode_value(encode_value({"window": (-10, 40), 3: None}))
    {'window': (-10, 40), 3: None}
    """
    encoding = _NODES.of(value)
    assert encoding is not None  # the last row takes every object
    node: Node = encoding.encode(value, _ValuePlace(scalars, path, above))
    if encoding.name:
        how_many = str(len(value)) if isinstance(value, (list, tuple)) else ""
        node.attrs[TYPE] = str(encoding.marker(how_many))
    return node


def decode_value(node: Node, *, scalars: Scalars = "datasets") -> Any:
    """The value that `encode_value` was given.

    Parameters
    ----------
    node : Group or Array
        Of a file of this package, or of any other.
    scalars : {"datasets", "scalar_datasets", "attributes"}
        As `encode_value` was given. Of a group without markers, "datasets" takes datasets of shape () and (1,) for
        single values, "scalar_datasets" those of shape () alone.

    Returns
    -------
    object
        A lazily read array stays lazy unless it holds a marked single value.

    Raises
    ------
    ValueError
        For a marker of a newer version, or one that does not fit what is stored.

    Examples
    --------
    >>> import numpy as np
    >>> from h5burst import Array, Group, decode_value
    >>> decode_value(Group({"rate_hz": Array(np.array([2.5]))}))
    {'rate_hz': 2.5}
    """
    marker = Marker.parse(node.attrs[TYPE]) if TYPE in node.attrs else None
    if isinstance(node, Group):
        values = decode(node, scalars=scalars)
        return values if marker is None else _NODES.reader(marker).decode(values, marker)
    if node.data is None:
        return None
    data = plain_text(node, node.data)
    if marker is None:
        one = data.shape == () if scalars == "scalar_datasets" else scalars == "datasets" and data.shape in ((), (1,))
        return plain_scalar(data.reshape(-1)[0]) if one else data
    if marker.name == _ARRAY.name:
        return decode_array(data, marker)
    is_list = SCALARS.reader(marker).is_list
    return decode_scalar(data if is_list else data.reshape(-1)[0], marker)


def _mapping(value: Mapping[Any, Any], at: _ValuePlace) -> Node:
    return encode(value, scalars=at.scalars, path=at.path, above=at.above)


def _items(value: list[Any] | tuple[Any, ...], at: _ValuePlace) -> Node:
    if id(value) in at.above:
        raise UnsupportedValueError("a dict or list that holds itself", at.path or "/")
    return _mapping(dict(enumerate(value)), at._replace(above=(*at.above, id(value))))


def _needs_group(value: list[Any] | tuple[Any, ...]) -> bool:
    return any(_needs_node(item) for item in value)


def _in_order(values: dict[Any, Any], marker: Marker) -> list[Any]:
    """The members of a list by their numbers; its marker says how many it had, but in files of earlier versions."""
    said = marker.parameter
    if said and not (said.isascii() and said.isdigit() and len(said) < 20):
        raise ValueError(f"unknown marker {str(marker)[:80]!r}")
    most = int(said or 0)
    missing = next((index for index in range(len(values)) if index not in values), None)
    if missing is None and len(values) < most:
        missing = len(values)
    if missing is not None:
        raise ValueError(f"a {marker.name} of {max(most, len(values))} without its member {missing}")
    return [values[index] for index in range(len(values))]


def _masked(value: np.ma.MaskedArray[Any, Any], at: _ValuePlace) -> Node:
    return _mapping({"data": np.asarray(value.data), "mask": np.ma.getmaskarray(value)}, at)


def _from_masked(values: dict[Any, Any], marker: Marker) -> Any:
    if not {"data", "mask"} <= values.keys():
        raise ValueError("a masked array without its data, or its mask")
    return np.ma.masked_array(np.asarray(values["data"]), mask=np.asarray(values["mask"]))


def _array(value: np.ndarray[Any, Any] | ArraySource, at: _ValuePlace) -> Node:
    if isinstance(value, np.ndarray):
        node, parameter = encode_array(value, at.path)
    else:
        node, parameter = encode_source(value, at.path)
    # A dataset of one element is otherwise taken for a single value.
    if parameter or (at.scalars != "attributes" and value.shape in ((), (1,))):
        node.attrs[TYPE] = str(_ARRAY._replace(parameter=parameter))
    return node


def _scalar(value: Any, at: _ValuePlace) -> Node:
    stored, marker = encode_scalar(value, at.path)
    if marker is not None and SCALARS.reader(marker).is_list:
        node = text_node(stored) if stored.dtype == object else Array(stored)
    else:
        shape = () if at.scalars == "scalar_datasets" else (1,)
        if isinstance(stored, str):
            node = text_node(np.array([stored], dtype=object).reshape(shape))
        else:
            node = Array(np.array([stored]).reshape(shape))
    if marker is not None:
        node.attrs[TYPE] = str(marker)
    return node


def _same(values: Any, marker: Marker) -> Any:
    return values


_ARRAY = Marker("ndarray")
_NodeEncoding: TypeAlias = TypeEncoding[Callable[[Any, _ValuePlace], Node], Callable[[dict[Any, Any], Marker], Any]]

# Readers get what the group holds. Rows without a name write the marker of their own table, or none.
_NODES: Encodings[_NodeEncoding] = Encodings(
    TypeEncoding("", PLAIN_SCALARS, _scalar, _same),
    TypeEncoding("", (Mapping,), _mapping, _same),
    TypeEncoding("list", (list,), _items, _in_order, accepts=_needs_group),
    TypeEncoding(
        "tuple", (tuple,), _items, lambda values, marker: tuple(_in_order(values, marker)), accepts=_needs_group
    ),
    TypeEncoding("", (type(None),), lambda value, at: Array(None), _same),
    TypeEncoding("masked", (np.ma.MaskedArray,), _masked, _from_masked),
    TypeEncoding("", (np.ndarray,), _array, _same),
    TypeEncoding("", (object,), _array, _same, accepts=is_source),
    TypeEncoding("", (object,), _scalar, _same),
)


# ---------------------------------------------------------------- attributes


def encode_attributes(values: Mapping[str, Any], *, path: str = "") -> dict[str, Any]:
    """Values as attributes of one object, with one more for their types if need be.

    Parameters
    ----------
    values : mapping of str to object
        Single values, short lists and arrays; no mappings. Lists of other things become tagged JSON.
    path : str
        Of the object, for errors.

    Returns
    -------
    dict
        Attributes that HDF5 holds; `decode_attributes` makes the values of them again.

    Raises
    ------
    UnsupportedValueError
        For what cannot be kept exactly, and the names of the package's own markers.

    Examples
    --------
    >>> from h5burst import encode_attributes
    >>> encode_attributes({"window": (-10, 40)})
    {'window': array([-10,  40]), 'h5burst.types': '{"window": "tuple@1"}'}
    """
    attrs: dict[str, Any] = {}
    types: dict[str, str] = {}
    for name, value in values.items():
        if name in _MARKERS:
            raise UnsupportedValueError(f"the name {name!r} is reserved", f"{path}@{name}")
        kind = type(value)
        if kind in _STORED_AS_IS or (kind is str and value.isascii() and "\0" not in value):  # by far the most
            attrs[name] = value
            continue
        if isinstance(value, np.ndarray):
            attrs[name] = value
            continue
        stored, marker = (None, None) if value is None else encode_scalar(value, f"{path}@{name}")
        if isinstance(stored, str) and (escaped := escape_text(stored)) != stored:
            attrs[name], types[name] = escaped, f"{_ESCAPED}{marker or Marker('str')}"
            continue
        attrs[name] = stored
        if marker is not None and not _tells_its_type(stored, marker):
            types[name] = str(marker)
    if types:
        attrs[TYPES] = json.dumps(types, sort_keys=True)
    return attrs


def _tells_its_type(stored: Any, marker: Marker) -> bool:
    """True where this is a numpy scalar of another dtype than Python's own: told from a Python scalar by that dtype."""
    is_numpy = marker.name == "numpy" and not marker.parameter
    return is_numpy and not isinstance(plain_scalar(stored), PLAIN_SCALARS)


def decode_attributes(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The values that `encode_attributes` was given.

    Parameters
    ----------
    attrs : mapping of str to object
        Attributes of one object, as read.

    Returns
    -------
    dict
        Without the package's own markers.

    Raises
    ------
    ValueError
        For markers that are damaged, or of a newer version.

    Examples
    --------
    >>> from h5burst import decode_attributes, encode_attributes
    >>> decode_attributes(encode_attributes({"window": (-10, 40)}))
    {'window': (-10, 40)}
    """
    types = load_json(attrs[TYPES], dict) if TYPES in attrs else {}
    values: dict[str, Any] = {}
    for name, stored in attrs.items():
        if name in _MARKERS:
            continue
        marker = types.get(name)
        if isinstance(marker, str) and marker.startswith(_ESCAPED):
            marker, stored = marker[len(_ESCAPED) :], unescape_text(stored)
        values[name] = plain_scalar(stored) if marker is None else decode_scalar(stored, Marker.parse(marker))
    return values
